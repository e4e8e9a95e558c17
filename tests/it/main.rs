//! Tests of the real binary: `cli` checks wiring, streams, JSON shapes and exit
//! codes of every verb; `scenarios` does what users do, and what happens to them;
//! `pages` runs the commands of README and guide.
#![allow(clippy::unwrap_used)]

mod cli;
mod pages;
mod scenarios;
mod support;
mod workload;
