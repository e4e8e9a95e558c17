//! What users will try, from beginning to end.

mod crash;
mod files;
mod large;
mod many;
mod references;
mod space;
