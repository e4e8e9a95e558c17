//! What users will try, from beginning to end.

mod crash;
mod files;
mod many;
mod references;
mod space;
