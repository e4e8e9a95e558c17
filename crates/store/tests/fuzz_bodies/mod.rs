//! What fuzzing checks of this crate's parsers: plain functions of bytes, run by
//! the targets in `fuzz/` and by `tests/fuzz.rs` on generated input.
#![allow(dead_code, clippy::unwrap_used)]

use heirloom_manifest::BlobId;
use heirloom_store::{
    Existing, MemoryStore, ObjectKey, PackId, PackIndex, PackReader, Store, StoreExt, verify_object,
};

const RECORD: usize = 64;

/// Footer and index as they come: nearly always refused, never a panic.
pub(crate) fn pack_tail(bytes: &[u8]) {
    for object_size in [bytes.len(), bytes.len() + 8] {
        if let Ok(index) = PackIndex::parse(bytes, object_size as u64) {
            check_index(&index);
        }
    }
}

/// An object that starts, ends and hashes as a pack does around arbitrary
/// records and stored bytes: what is handed out has the hash it is asked by.
pub(crate) fn pack_object(bytes: &[u8]) {
    let Some((&[records, ..], rest)) = bytes.split_first_chunk::<1>() else { return };
    let records = (usize::from(records % 8) + 1).min(rest.len() / RECORD);
    let (stored, index) = rest.split_at(rest.len() - records * RECORD);
    let id = PackId::of_index(index);
    let mut object = b"HLMPACK1".to_vec();
    object.extend_from_slice(stored);
    let index_offset = object.len() as u64;
    object.extend_from_slice(index);
    object.extend_from_slice(&index_offset.to_le_bytes());
    object.extend_from_slice(&(records as u64).to_le_bytes());
    object.extend_from_slice(id.as_bytes());
    object.extend_from_slice(&[0; 8]);
    object.extend_from_slice(b"HLMPIDX1");

    let store = MemoryStore::new();
    let key = ObjectKey::Pack(id);
    let mut upload = store.create().unwrap();
    upload.append(&object).unwrap();
    upload.publish(&key, Existing::Keep).unwrap();
    assert!(store.contains(&key).unwrap());
    let Ok(reader) = PackReader::open(&store, &id) else {
        return;
    };
    check_index(reader.index());
    let mut good = 0;
    for record in reader.index().records() {
        if let Ok(blob) = reader.read_record(record) {
            assert_eq!((BlobId::of(&blob), blob.len() as u64), (record.id, record.raw_len));
            good += 1;
        }
    }
    let report = verify_object(&store, &key).unwrap();
    assert_eq!(report.blobs, good);
    assert_eq!(report.damaged.len() as u64 + good, records as u64);
}

/// A key that parses is the one text of what it parses to.
pub(crate) fn object_key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(key) = text.parse::<ObjectKey>() {
        assert_eq!(key.to_string(), text);
    }
}

fn check_index(index: &PackIndex) {
    assert!(!index.records().is_empty());
    assert!(index.records().is_sorted_by(|a, b| a.id < b.id));
    let stored: u64 = index.records().iter().map(|record| record.stored_len).sum();
    let fixed = 8 + 64 * (index.records().len() as u64 + 1);
    assert_eq!(stored + fixed, index.object_size());
    for record in index.records() {
        assert_eq!(index.get(&record.id), Some(record));
    }
}
