#![no_main]
#[path = "../../crates/refs/tests/fuzz_bodies/mod.rs"]
mod bodies;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::netrc(bytes));
