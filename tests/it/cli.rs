//! Every verb: what it prints where, its JSON, its exit codes.

mod artifacts;
mod delete;
mod edit;
mod errors;
mod lineage;
mod output;
mod parts;
mod repository;
mod runs;
mod shapes;
