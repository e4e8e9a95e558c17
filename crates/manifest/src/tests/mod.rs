//! Tests of the tree as a whole. They live inside the crate because they build
//! trees with small parameters, so that a few dozen entries have several levels.
#![allow(clippy::unwrap_used)]

mod edit;
mod fresh;
mod hostile;
mod size;
mod support;
mod tree;
