//! Names near to a mistyped one.

pub use heirloom_core::{distance, nearest};
