//! Tests of the crate from inside: they watch and fail single disk operations,
//! and plant objects that no writer would make.

mod bulk;
mod formats;
mod local;
mod removal;
mod whole;

use crate::{Existing, ObjectKey, Store};

/// Puts any bytes under any key.
fn plant(store: &dyn Store, key: ObjectKey, bytes: &[u8]) {
    let mut upload = store.create().unwrap();
    upload.append(bytes).unwrap();
    upload.publish(&key, Existing::Replace).unwrap();
}

fn bytes_of(store: &dyn Store, key: &ObjectKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut store.read(key, None).unwrap(), &mut bytes).unwrap();
    bytes
}

/// Bytes that do not compress, from a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(length)
    .collect()
}
