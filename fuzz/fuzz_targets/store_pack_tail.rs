#![no_main]
#[path = "../../crates/store/tests/fuzz_bodies/mod.rs"]
mod bodies;
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bodies::pack_tail(bytes));
