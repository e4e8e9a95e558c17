//! What users will try, from beginning to end.

mod backup;
mod crash;
mod damage;
mod faults;
mod files;
mod frozen;
mod kills;
mod large;
mod many;
mod moving;
mod points;
mod power;
mod parts;
mod references;
mod space;
mod upgrade;
