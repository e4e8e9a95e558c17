//! What users will try, from beginning to end.

mod backup;
mod crash;
mod damage;
mod faults;
mod files;
mod frozen;
mod gc;
mod kills;
mod large;
mod many;
mod moving;
mod parts;
mod points;
mod power;
mod references;
mod repair;
mod space;
mod upgrade;
