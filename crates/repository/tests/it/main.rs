//! The operations of a repository, in memory and on disk: as users need them, as
//! attackers try them, and on damaged disks.
#![allow(clippy::unwrap_used)]

mod attack;
mod base;
mod damage;
mod deletion;
mod gc;
mod hostile;
mod model;
mod parts;
mod rebuild;
mod support;
mod transfer;
mod workflow;
