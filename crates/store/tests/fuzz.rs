//! The fuzz targets' bodies on generated input, so that they run with every
//! test: arbitrary bytes, and sound input with a few bytes changed.
#![allow(clippy::unwrap_used)]

mod fuzz_bodies;

use std::io::Read;

use heirloom_store::{Kind, MemoryStore, ObjectKey, PackOptions, PackWriter, Store};
use proptest::prelude::*;
use proptest::sample::Index;

/// A sound pack: the whole object, and the number of its blobs.
fn sound(blobs: &[Vec<u8>]) -> (Vec<u8>, usize) {
    let store = MemoryStore::new();
    let mut writer = PackWriter::new(&store, PackOptions::default()).unwrap();
    for blob in blobs {
        writer.add(Kind::Content, blob).unwrap();
    }
    let pack = writer.finish().unwrap().unwrap();
    let mut object = Vec::new();
    store.read(&ObjectKey::Pack(pack.id), None).unwrap().read_to_end(&mut object).unwrap();
    (object, pack.records.len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        fuzz_bodies::pack_tail(&bytes);
        fuzz_bodies::pack_object(&bytes);
        fuzz_bodies::object_key(&bytes);
    }

    #[test]
    fn sound_packs_with_changes(
        blobs in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..100),
                (any::<u8>(), 0usize..500).prop_map(|(byte, length)| vec![byte; length]),
            ],
            1..8,
        ),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..3),
    ) {
        let (object, records) = sound(&blobs);
        let index_offset = object.len() - 64 * (records + 1);
        let mut tail = object[index_offset..].to_vec();
        // The body puts magic and footer around what is between.
        let mut inner = vec![records as u8 - 1];
        inner.extend_from_slice(&object[8..object.len() - 64]);
        for (at, value) in changes {
            let place = at.index(tail.len());
            tail[place] = value;
            let place = 1 + at.index(inner.len() - 1);
            inner[place] = value;
        }
        fuzz_bodies::pack_tail(&tail);
        fuzz_bodies::pack_object(&inner);
    }
}
