#![no_main]
#[path = "../../crates/manifest/tests/fuzz_bodies/mod.rs"]
mod bodies;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::node(bytes));
