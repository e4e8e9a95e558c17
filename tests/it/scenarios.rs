//! What users will try, from beginning to end.

mod crash;
mod faults;
mod files;
mod kills;
mod large;
mod many;
mod points;
mod power;
mod references;
mod space;
