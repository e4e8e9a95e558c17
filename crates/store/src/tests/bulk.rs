//! Many blobs at once: `read_many`, `scan`, `consolidate`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use heirloom_manifest::BlobId;
use proptest::prelude::*;

use super::{bytes_of, noise, plant};
use crate::{
    Capabilities, Codec, Extent, FinishedPack, Kind, LocalStore, MAX_PACKED_BLOB, MemoryStore,
    ObjectInfo, ObjectKey, ObjectReader, PackOptions, PackReader, PackWriter, Page, Scanned, Store,
    StoreError, StoreExt, Upload, consolidate, open_range, read_blob, read_many, scan,
    verify_object,
};

fn pack(store: &dyn Store, blobs: &[Vec<u8>]) -> FinishedPack {
    let mut writer = PackWriter::new(store, PackOptions::default()).unwrap();
    for blob in blobs {
        writer.add(Kind::Content, blob).unwrap();
    }
    writer.finish().unwrap().unwrap()
}

fn extents(pack: &FinishedPack) -> Vec<Extent> {
    pack.records.iter().map(|record| Extent::packed(pack.id, record)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any selection, in any order and with repetitions, over several packs and
    /// whole objects.
    #[test]
    fn read_many_gives_each_item_its_bytes(
        lengths in proptest::collection::vec(0usize..40_000, 1..40),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let store = MemoryStore::new();
        let blobs: Vec<Vec<u8>> = lengths
            .iter()
            .enumerate()
            .map(|(n, length)| if n % 3 == 0 { vec![n as u8; *length] } else { noise(n as u64, *length) })
            .collect();
        let (left, right) = blobs.split_at(blobs.len() / 2);
        let mut all = Vec::new();
        for half in [left, right] {
            if !half.is_empty() {
                all.extend(extents(&pack(&store, half)));
            }
        }
        let whole = store.put_bytes(&blobs[0]).unwrap();
        all.push(Extent::whole(whole.id, whole.size));
        let mut wanted: Vec<(Extent, usize)> =
            picks.iter().enumerate().map(|(n, pick)| (*pick.get(&all), n)).collect();
        let mut seen = BTreeSet::new();
        read_many(&store, &mut wanted, |(extent, n), bytes| {
            assert_eq!(BlobId::of(bytes?), extent.id);
            assert!(seen.insert(*n), "visited twice");
            Ok::<(), StoreError>(())
        }).unwrap();
        prop_assert_eq!(seen.len(), picks.len());
    }
}

#[test]
fn one_damaged_blob_does_not_hide_its_neighbours() {
    let store = MemoryStore::new();
    let blobs: Vec<Vec<u8>> = (0..50).map(|n| noise(n, 5000)).collect();
    let finished = pack(&store, &blobs);
    let key = ObjectKey::Pack(finished.id);
    let mut bytes = bytes_of(&store, &key);
    let victim = finished.records[17];
    bytes[victim.offset as usize + 2500] ^= 0x40;
    plant(&store, key, &bytes);

    let absent = ObjectKey::Whole(BlobId::of(b"absent"));
    let mut wanted = extents(&finished);
    let beyond = Extent {
        offset: finished.size - 10,
        stored_len: 100,
        raw_len: 100,
        codec: Codec::Raw,
        ..wanted[3]
    };
    let overflowing = Extent { offset: u64::MAX - 5, ..wanted[4] };
    let liar = Extent { raw_len: 4999, ..wanted[5] };
    let huge = Extent { raw_len: u64::MAX, stored_len: u64::MAX, ..wanted[6] };
    let gone = Extent { key: absent, ..wanted[7] };
    wanted.extend([beyond, overflowing, liar, huge, gone, gone]);
    let (mut good, mut bad) = (0, Vec::new());
    read_many(&store, &mut wanted, |extent, outcome| {
        match outcome {
            Ok(bytes) => {
                assert_eq!(BlobId::of(bytes), extent.id);
                good += 1;
            }
            Err(error) => bad.push((extent.id, error)),
        }
        Ok::<(), StoreError>(())
    })
    .unwrap();
    assert_eq!(good, 49);
    assert_eq!(bad.len(), 7, "{bad:?}");
    let named = |id: BlobId, matches: fn(&StoreError) -> bool| {
        bad.iter().any(|(at, error)| *at == id && matches(error))
    };
    assert!(named(victim.id, |e| matches!(e, StoreError::DigestMismatch { .. }) && e.is_damage()));
    assert!(named(beyond.id, |e| matches!(e, StoreError::OutOfRange { .. })));
    assert!(named(overflowing.id, |e| matches!(e, StoreError::OutOfRange { .. })));
    assert!(named(liar.id, |e| matches!(e, StoreError::Corrupt { .. })));
    assert!(named(huge.id, |e| matches!(e, StoreError::TooLarge { .. })));
    assert_eq!(
        bad.iter()
            .filter(|(_, e)| matches!(e, StoreError::NotFound { key } if *key == absent))
            .count(),
        2
    );

    let report = verify_object(&store, &key).unwrap();
    assert_eq!(report.blobs, 49);
    assert_eq!(report.damaged.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [victim.id]);
    // And a caller may stop at the first.
    let mut wanted = extents(&finished);
    assert!(read_many(&store, &mut wanted, |_, outcome| outcome.map(drop)).is_err());
}

#[test]
fn ranges_of_packed_blobs_are_verified_and_exact() {
    let store = MemoryStore::new();
    let blob = vec![b'a'; 1000];
    let finished = pack(&store, std::slice::from_ref(&blob));
    let extent = extents(&finished)[0];
    assert_eq!(extent.codec, Codec::Zstd);
    let mut bytes = Vec::new();
    open_range(&store, &extent, 990..1000).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, &blob[990..]);
    assert!(matches!(
        open_range(&store, &extent, 990..1001).map(drop),
        Err(StoreError::OutOfRange { .. })
    ));
}

#[test]
fn what_is_too_long_for_a_pack_is_refused_and_the_rest_goes_on() {
    let store = MemoryStore::new();
    let mut writer = PackWriter::new(&store, PackOptions::default()).unwrap();
    let long = vec![1; MAX_PACKED_BLOB as usize + 1];
    assert!(matches!(writer.add(Kind::Content, &long), Err(StoreError::TooLarge { .. })));
    let longest = &long[1..];
    let id = writer.add(Kind::Content, longest).unwrap();
    let long_noise = noise(5, 9 << 20);
    let other = writer.add(Kind::Content, &long_noise).unwrap();
    let finished = writer.finish().unwrap().unwrap();
    let reader = PackReader::open(&store, &finished.id).unwrap();
    assert!(reader.read(&id).unwrap().unwrap() == longest);
    assert!(reader.read(&other).unwrap().unwrap() == long_noise);
    let extent = Extent::whole(id, MAX_PACKED_BLOB + 1);
    assert!(store.put_bytes(&long).is_ok());
    assert!(matches!(
        read_blob(&store, &Extent { key: ObjectKey::Whole(BlobId::of(&long)), ..extent }),
        Err(StoreError::TooLarge { .. })
    ));
}

#[test]
fn consolidation_keeps_every_blob_and_tells_the_new_places() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    let shared = b"in every pack ".repeat(50);
    let packs: Vec<FinishedPack> = (0u64..10)
        .map(|n| pack(&store, &[noise(n, 3000), vec![n as u8; 2000], shared.clone(), Vec::new()]))
        .collect();
    let ids: Vec<_> = packs.iter().map(|pack| pack.id).collect();
    let left_out = packs[4].records[0].id;
    let done = consolidate(&store, &ids, |_, record| record.id != left_out).unwrap();

    assert_eq!(done.packs.len(), 1);
    assert_eq!(done.superseded(&ids).count(), ids.len());
    let selected = |record: &&crate::PackRecord| record.id != left_out;
    assert_eq!(
        done.moved.len(),
        packs.iter().flat_map(|pack| &pack.records).filter(selected).count()
    );
    let mut wanted: Vec<Extent> =
        done.moved.iter().map(|moved| Extent::packed(moved.to, &moved.new)).collect();
    let mut expected: BTreeSet<BlobId> =
        packs.iter().flat_map(|pack| &pack.records).map(|record| record.id).collect();
    expected.remove(&left_out);
    read_many(&store, &mut wanted, |extent, bytes| {
        expected.remove(&BlobId::of(bytes?));
        assert_ne!(extent.id, left_out);
        Ok::<(), StoreError>(())
    })
    .unwrap();
    assert!(expected.is_empty(), "{expected:?} got lost");
    for moved in &done.moved {
        assert_eq!(
            (moved.old.id, moved.old.codec),
            (moved.new.id, moved.new.codec),
            "not compressed again"
        );
    }
    for id in &ids {
        assert!(PackReader::open(&store, id).is_ok(), "inputs stay");
    }

    // Everything of one pack again: the same pack, which then is no garbage.
    let once_more = consolidate(&store, &[done.packs[0].id], |_, _| true).unwrap();
    assert!(!once_more.packs[0].created);
    assert_eq!(once_more.superseded(&[done.packs[0].id]).count(), 0);
    // Nothing selected: no pack.
    assert!(consolidate(&store, &ids, |_, _| false).unwrap().packs.is_empty());
}

#[test]
fn consolidation_does_not_carry_damage_on() {
    let store = MemoryStore::new();
    let finished = pack(&store, &[noise(1, 3000), noise(2, 3000)]);
    let other = pack(&store, &[noise(3, 3000)]);
    let key = ObjectKey::Pack(finished.id);
    let mut bytes = bytes_of(&store, &key);
    let victim = finished.records[1];
    bytes[victim.offset as usize] ^= 1;
    plant(&store, key, &bytes);
    let inputs = [finished.id, other.id];
    let saved = consolidate(&store, &inputs, |_, _| true).unwrap();
    let moved: BTreeSet<BlobId> = saved.moved.iter().map(|moved| moved.old.id).collect();
    assert_eq!(moved, BTreeSet::from([finished.records[0].id, other.records[0].id]));
    for moved in &saved.moved {
        read_blob(&store, &Extent::packed(moved.to, &moved.new)).unwrap();
    }
    assert_eq!(saved.unread.len(), 1);
    let unread = &saved.unread[0];
    assert_eq!((unread.pack, unread.id), (finished.id, victim.id));
    assert!(unread.error.is_damage());
    let superseded: Vec<_> = saved.superseded(&inputs).collect();
    assert_eq!(superseded, [&other.id], "the pack with the damage stays");

    // Damage that nobody wants does not matter.
    let without = consolidate(&store, &inputs, |_, record| record.id != victim.id).unwrap();
    assert!(without.unread.is_empty());
    assert_eq!(without.superseded(&inputs).count(), 2);

    // Nothing at all could be copied: no pack, and the input stays.
    let none = consolidate(&store, &inputs, |_, record| record.id == victim.id).unwrap();
    assert!(none.packs.is_empty() && none.moved.is_empty());
    assert_eq!(none.superseded(&inputs).collect::<Vec<_>>(), [&other.id]);

    // An input that is gone is no damage.
    store.delete(&key).unwrap();
    assert!(matches!(
        consolidate(&store, &inputs, |_, _| true),
        Err(StoreError::NotFound { key: named }) if named == key
    ));
    let other_key = ObjectKey::Pack(other.id);
    let goes_meanwhile =
        consolidate(&store, &inputs[1..], |_, _| store.delete(&other_key).unwrap());
    assert!(
        matches!(goes_meanwhile, Err(StoreError::NotFound { key: named }) if named == other_key)
    );
}

/// The caller deletes the input on the strength of the copies.
#[test]
fn consolidation_does_not_rely_on_a_rotten_pack_that_is_there() {
    let store = MemoryStore::new();
    let input = pack(&store, &[noise(1, 3000), noise(2, 3000), noise(3, 3000)]);
    let dead = input.records[1].id;
    let copy = |_: &_, record: &crate::PackRecord| record.id != dead;
    let first = consolidate(&store, &[input.id], copy).unwrap();
    assert!(first.packs[0].created);
    assert!(!consolidate(&store, &[input.id], copy).unwrap().packs[0].created);
    let key = ObjectKey::Pack(first.packs[0].id);
    let mut bytes = bytes_of(&store, &key);
    bytes[100] ^= 1;
    plant(&store, key, &bytes);
    let again = consolidate(&store, &[input.id], copy).unwrap();
    assert!(again.packs[0].created);
    assert!(verify_object(&store, &key).unwrap().damaged.is_empty());
}

/// A mostly dead pack of many mebibytes: only what is alive is read, a stretch at
/// a time.
#[test]
fn rewriting_a_mostly_dead_pack_reads_little_more_than_what_lives() {
    let inner = MemoryStore::new();
    const SIZE: usize = 64 << 10;
    let blobs: Vec<Vec<u8>> = (0..200).map(|n| noise(n, SIZE)).collect();
    let input = pack(&inner, &blobs);
    let store = Counting { inner, reads: Arc::default() };
    // Many side by side, and some with dead ones in between.
    let alive = (0..40).chain((100..120).step_by(2));
    let alive: BTreeSet<BlobId> = alive.map(|n| BlobId::of(&blobs[n])).collect();
    let done = consolidate(&store, &[input.id], |_, record| alive.contains(&record.id)).unwrap();
    assert_eq!(done.moved.len(), alive.len());
    assert_eq!(done.superseded(&[input.id]).count(), 1);
    let reads = store.reads.lock().unwrap();
    let (most, sum): (usize, usize) = (*reads.iter().max().unwrap(), reads.iter().sum());
    assert!(most <= 1 << 20, "{most} bytes at once");
    // And the index.
    assert!(sum <= (alive.len() + 2) * SIZE, "{sum} bytes read");
}

/// Notes the lengths of all positioned reads.
#[derive(Debug)]
struct Counting {
    inner: MemoryStore,
    reads: Arc<Mutex<Vec<usize>>>,
}

struct CountingReader {
    inner: Box<dyn ObjectReader>,
    reads: Arc<Mutex<Vec<usize>>>,
}

impl Store for Counting {
    fn create(&self) -> Result<Box<dyn Upload>, StoreError> {
        self.inner.create()
    }
    fn read(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<Box<dyn ObjectReader>, StoreError> {
        let inner = self.inner.read(key, range)?;
        Ok(Box::new(CountingReader { inner, reads: Arc::clone(&self.reads) }))
    }
    fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.inner.stat(key)
    }
    fn list(&self, after: Option<&ObjectKey>, limit: usize) -> Result<Page, StoreError> {
        self.inner.list(after, limit)
    }
    fn delete(&self, key: &ObjectKey) -> Result<bool, StoreError> {
        self.inner.delete(key)
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

impl Read for CountingReader {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("packs are read at places")
    }
}

impl ObjectReader for CountingReader {
    fn object_size(&self) -> u64 {
        self.inner.object_size()
    }
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StoreError> {
        self.reads.lock().unwrap().push(buf.len());
        self.inner.read_exact_at(buf, offset)
    }
}

#[test]
fn places_are_rebuilt_from_objects_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    let mut expected = BTreeMap::new();
    for n in 0u64..4 {
        let finished = pack(&store, &[noise(n, 500), noise(n + 100, 500)]);
        expected.extend(extents(&finished).into_iter().map(|extent| (extent.id, extent)));
        let whole = store.put_bytes(&noise(n + 200, 500)).unwrap();
        expected.insert(whole.id, Extent::whole(whole.id, whole.size));
    }
    let broken = pack(&store, &[noise(300, 10)]);
    plant(&store, ObjectKey::Pack(broken.id), b"not a pack at all");
    std::fs::write(directory.path().join("packs/lost+found"), b"").unwrap();

    let (mut found, mut damaged, mut foreign) = (BTreeMap::new(), Vec::new(), Vec::new());
    for scanned in scan(&store) {
        let scanned = scanned.unwrap();
        found.extend(scanned.extents().map(|extent| (extent.id, extent)));
        match scanned {
            Scanned::Damaged { key, error } => {
                assert!(error.is_damage());
                damaged.push(key);
            }
            Scanned::Foreign(name) => foreign.push(name),
            _ => {}
        }
    }
    assert_eq!(found, expected);
    assert_eq!(damaged, [ObjectKey::Pack(broken.id)]);
    assert_eq!(foreign, ["packs/lost+found"]);
}
