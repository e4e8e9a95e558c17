//! The contract of [`Store`], as a suite that every implementation calls from
//! its tests:
//!
//! ```
//! # use std::sync::Arc;
//! heirloom_store::conformance::run(&|| Arc::new(heirloom_store::MemoryStore::new()));
//! ```
//!
//! A bug found in one implementation is fixed by adding a case here.

use std::io::Read;
use std::sync::{Arc, Barrier};

use heirloom_manifest::BlobId;

use crate::error::StoreError;
use crate::extent::{Extent, open_range, read_blob};
use crate::key::{ObjectKey, PackId};
use crate::pack::{Kind, PackOptions, PackReader, PackWriter};
use crate::scan::is_sound;
use crate::store::{Existing, Found, Freed, Store, StoreExt};
use crate::whole::{VerifiedReader, WholeWriter, stream_whole};

/// Runs every case, each on a store of its own.
///
/// # Panics
/// When the contract is broken, naming the case by its function.
pub fn run(fresh_store: &dyn Fn() -> Arc<dyn Store>) {
    what_was_put_is_read(&*fresh_store());
    absent_is_not_found(&*fresh_store());
    a_second_put_creates_nothing(&*fresh_store());
    a_dropped_upload_leaves_nothing(&*fresh_store());
    a_wrong_digest_leaves_nothing(&*fresh_store());
    damage_is_replaced(&*fresh_store());
    ranges_are_exact(&*fresh_store());
    listing_is_ordered_and_paged(&*fresh_store());
    delete_is_idempotent(&*fresh_store());
    withdrawn_objects_are_out_of_reach(&*fresh_store());
    withdrawn_objects_can_come_back(&*fresh_store());
    nothing_is_held_that_nobody_holds(&*fresh_store());
    an_open_reader_sees_one_object(&*fresh_store());
    a_large_object_is_streamed(&*fresh_store());
    packs_are_objects(&*fresh_store());
    a_rotten_pack_is_replaced_when_looked_at(&*fresh_store());
    one_of_many_publishers_creates(&fresh_store());
}

fn put(store: &dyn Store, bytes: &[u8]) -> ObjectKey {
    ObjectKey::Whole(store.put_bytes(bytes).expect("a put succeeds").id)
}

fn get(store: &dyn Store, key: &ObjectKey) -> Vec<u8> {
    let mut bytes = Vec::new();
    store
        .read(key, None)
        .expect("the object is there")
        .read_to_end(&mut bytes)
        .expect("it can be read");
    bytes
}

fn keys(store: &dyn Store) -> Vec<ObjectKey> {
    store
        .walk()
        .map(|found| match found.expect("the listing succeeds") {
            Found::Object(key, _) => key,
            Found::Foreign(name) => panic!("nothing foreign was put, yet {name} is listed"),
        })
        .collect()
}

fn what_was_put_is_read(store: &dyn Store) {
    for bytes in [&b""[..], b"x", b"some bytes", &[0; 70_000]] {
        let stored = store.put_bytes(bytes).expect("a put succeeds");
        assert!(stored.created);
        assert_eq!((stored.id, stored.size), (BlobId::of(bytes), bytes.len() as u64));
        let key = ObjectKey::Whole(stored.id);
        assert_eq!(get(store, &key), bytes);
        assert_eq!(
            store.stat(&key).expect("stat succeeds").map(|info| info.size),
            Some(bytes.len() as u64)
        );
        assert_eq!(
            read_blob(store, &Extent::whole(stored.id, stored.size)).expect("it verifies"),
            bytes
        );
    }
    let mut upload = store.create().expect("an upload starts");
    for piece in [&b"in "[..], b"", b"pieces"] {
        upload.append(piece).expect("an append succeeds");
    }
    assert_eq!(upload.size(), 9);
    let key = ObjectKey::Whole(BlobId::of(b"in pieces"));
    assert!(!store.contains(&key).expect("stat succeeds"), "an object without a name is not seen");
    upload.publish(&key, Existing::Keep).expect("publishing succeeds");
    assert_eq!(get(store, &key), b"in pieces");
}

fn absent_is_not_found(store: &dyn Store) {
    for key in
        [ObjectKey::Whole(BlobId::of(b"absent")), ObjectKey::Pack(PackId::from_bytes([9; 32]))]
    {
        assert_eq!(store.stat(&key).expect("stat of an absent object succeeds"), None);
        for range in [None, Some(0..0), Some(0..1)] {
            match store.read(&key, range) {
                Err(StoreError::NotFound { key: named }) => assert_eq!(named, key),
                other => panic!("reading an absent object gave {other:?}"),
            }
        }
    }
    assert_eq!(keys(store), []);
}

fn a_second_put_creates_nothing(store: &dyn Store) {
    assert!(store.put_bytes(b"twice").expect("a put succeeds").created);
    let again = store.put_bytes(b"twice").expect("a second put succeeds");
    assert!(!again.created);
    assert_eq!(get(store, &ObjectKey::Whole(again.id)), b"twice");
    assert_eq!(keys(store).len(), 1);
}

fn a_dropped_upload_leaves_nothing(store: &dyn Store) {
    let mut writer = WholeWriter::new(store).expect("a writer starts");
    writer.write(b"never finished").expect("a write succeeds");
    drop(writer);
    let mut writer = PackWriter::new(store, PackOptions::default()).expect("a writer starts");
    writer.add(Kind::Content, b"never finished").expect("an add succeeds");
    drop(writer);
    assert_eq!(keys(store), []);
}

fn a_wrong_digest_leaves_nothing(store: &dyn Store) {
    let expected = BlobId::of(b"announced");
    for replacing in [false, true] {
        let mut writer = WholeWriter::new(store).expect("a writer starts");
        writer.write(b"sent").expect("a write succeeds");
        let outcome = if replacing {
            writer.finish_replacing(&expected)
        } else {
            writer.finish_expecting(&expected)
        };
        match outcome {
            Err(StoreError::DigestMismatch { expected: named, actual, .. }) => {
                assert_eq!((named, actual), (expected, BlobId::of(b"sent")));
            }
            other => panic!("bytes under a wrong id gave {other:?}"),
        }
    }
    assert_eq!(keys(store), []);
}

fn damage_is_replaced(store: &dyn Store) {
    let id = BlobId::of(b"good");
    let key = ObjectKey::Whole(id);
    let plant = |bytes: &[u8]| {
        let mut upload = store.create().expect("an upload starts");
        upload.append(bytes).expect("an append succeeds");
        assert!(upload.publish(&key, Existing::Replace).expect("publishing succeeds").created);
    };

    plant(b"evil");
    match stream_whole(store, &id, |_| Ok::<(), StoreError>(())) {
        Err(error @ StoreError::DigestMismatch { .. }) => assert!(error.is_damage()),
        other => panic!("damaged bytes gave {other:?}"),
    }
    let mut reader = VerifiedReader::open(store, &id).expect("the object is there");
    assert!(reader.read_to_end(&mut Vec::new()).is_err());
    assert!(
        !store.put_bytes(b"good").expect("a put succeeds").created,
        "the same length: not looked into"
    );
    let mut writer = WholeWriter::new(store).expect("a writer starts");
    writer.write(b"good").expect("a write succeeds");
    assert!(writer.finish_replacing(&id).expect("replacing succeeds").created);
    assert_eq!(get(store, &key), b"good");

    plant(b"cut");
    assert!(
        store.put_bytes(b"good").expect("a put succeeds").created,
        "another length: known to be damaged"
    );
    assert_eq!(get(store, &key), b"good");
    assert_eq!(keys(store), [key]);
}

fn ranges_are_exact(store: &dyn Store) {
    let key = put(store, b"0123456789");
    for (start, end) in [(0, 10), (0, 0), (10, 10), (3, 7), (9, 10), (5, 5)] {
        let mut reader = store.read(&key, Some(start..end)).expect("the range lies inside");
        assert_eq!(reader.object_size(), 10);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).expect("it can be read");
        assert_eq!(bytes, &b"0123456789"[start as usize..end as usize]);
        let mut anywhere = [0; 4];
        reader.read_exact_at(&mut anywhere, 6).expect("any place can be read");
        assert_eq!(&anywhere, b"6789");
        reader.read_exact_at(&mut [], 10).expect("nothing, at the end");
    }
    #[allow(clippy::reversed_empty_ranges)]
    for range in [0..11, 11..11, 4..3, 5..u64::MAX, u64::MAX..u64::MAX] {
        match store.read(&key, Some(range.clone())) {
            Err(StoreError::OutOfRange { size: 10, .. }) => {}
            other => panic!("range {range:?} gave {other:?}"),
        }
    }
    let reader = store.open(&key).expect("the object is there");
    for (offset, length) in [(7, 4), (11, 0), (u64::MAX, 1)] {
        match reader.read_exact_at(&mut vec![0; length], offset) {
            Err(StoreError::OutOfRange { .. }) => {}
            other => panic!("{length} bytes at {offset} gave {other:?}"),
        }
    }
    let extent = Extent::whole(BlobId::of(b"0123456789"), 10);
    let mut bytes = Vec::new();
    open_range(store, &extent, 2..5)
        .expect("inside")
        .read_to_end(&mut bytes)
        .expect("it can be read");
    assert_eq!(bytes, b"234");
}

fn listing_is_ordered_and_paged(store: &dyn Store) {
    let mut expected: Vec<ObjectKey> = (0u8..9).map(|n| put(store, &[n])).collect();
    let mut writer = PackWriter::new(store, PackOptions::default()).expect("a writer starts");
    writer.add(Kind::Content, b"packed").expect("an add succeeds");
    expected
        .push(ObjectKey::Pack(writer.finish().expect("finishing succeeds").expect("not empty").id));
    expected.sort();
    assert_eq!(keys(store), expected);

    for limit in 1..=expected.len() + 1 {
        let mut listed = Vec::new();
        loop {
            let page = store.list(listed.last(), limit).expect("the listing succeeds");
            assert!(page.objects.len() <= limit);
            listed.extend(page.objects.iter().map(|(key, info)| {
                assert_eq!(Some(*info), store.stat(key).expect("stat succeeds"));
                *key
            }));
            if !page.more {
                break;
            }
            assert!(!page.objects.is_empty(), "an empty page cannot be gone on from");
        }
        assert_eq!(listed, expected, "in pages of {limit}");
    }
    // Also from a key that is not there.
    let absent = ObjectKey::Whole(BlobId::from_bytes([0x80; 32]));
    let page = store.list(Some(&absent), 100).expect("the listing succeeds");
    let after: Vec<ObjectKey> = page.objects.into_iter().map(|(key, _)| key).collect();
    assert_eq!(after, expected.iter().copied().filter(|key| *key > absent).collect::<Vec<_>>());
}

fn delete_is_idempotent(store: &dyn Store) {
    let gone = put(store, b"gone");
    let kept = put(store, b"kept");
    assert!(store.delete(&gone).expect("deleting succeeds"));
    assert!(!store.delete(&gone).expect("deleting again succeeds"));
    assert!(!store.contains(&gone).expect("stat succeeds"));
    assert_eq!(keys(store), [kept]);
    assert!(store.put_bytes(b"gone").expect("a put succeeds").created, "it can come back");
}

fn withdrawn_objects_are_out_of_reach(store: &dyn Store) {
    let gone = [put(store, b"gone"), put(store, b""), put(store, &[1; 100_000])];
    let kept = put(store, b"kept");
    let absent = ObjectKey::Pack(PackId::from_bytes([9; 32]));
    let withdrawn = store
        .withdraw(&[gone[0], absent, gone[1], gone[2], gone[0]])
        .expect("withdrawing succeeds, also of what is absent or named twice");
    let look = || {
        for key in &gone {
            assert_eq!(store.stat(key).expect("stat succeeds"), None);
            assert!(matches!(store.open(key), Err(StoreError::NotFound { .. })));
            assert!(!store.is_held(key).expect("asking succeeds"));
            assert!(!store.delete(key).expect("deleting succeeds"));
        }
        assert_eq!(keys(store), [kept]);
    };
    look();
    let freed = withdrawn.free().expect("freeing succeeds");
    assert_eq!(freed, Freed { objects: 3, bytes: 4 + 100_000 });
    look();
    let again = store.withdraw(&gone).expect("withdrawing again succeeds");
    assert_eq!(again.free().expect("freeing succeeds"), Freed::default());
    let nothing = store.withdraw(&[]).expect("withdrawing nothing succeeds");
    assert_eq!(nothing.free().expect("freeing succeeds"), Freed::default());
    assert_eq!(get(store, &kept), b"kept");
}

fn withdrawn_objects_can_come_back(store: &dyn Store) {
    let key = put(store, b"back");
    let first = store.withdraw(&[key]).expect("withdrawing succeeds");
    assert!(store.put_bytes(b"back").expect("a put succeeds").created);
    let second = store.withdraw(&[key]).expect("withdrawing succeeds");
    assert!(store.put_bytes(b"back").expect("a put succeeds").created);
    // Freeing what is out of reach does not touch what has the key now; nor does
    // giving the freeing up.
    assert_eq!(first.free().expect("freeing succeeds"), Freed { objects: 1, bytes: 4 });
    drop(second);
    assert_eq!(get(store, &key), b"back");
    assert_eq!(keys(store), [key]);
}

fn nothing_is_held_that_nobody_holds(store: &dyn Store) {
    let first = store.put_bytes(b"held").expect("a put succeeds");
    let key = ObjectKey::Whole(first.id);
    let second = store.put_bytes(b"held").expect("a put succeeds");
    // Whether anything is held at all is up to the place.
    store.is_held(&key).expect("asking succeeds");
    assert_eq!(get(store, &key), b"held", "a hold keeps nobody from reading");
    drop((first, second));
    assert!(!store.is_held(&key).expect("asking succeeds"));
    assert!(store.delete(&key).expect("deleting succeeds"));
    assert!(!store.is_held(&key).expect("asking about an absent object succeeds"));
}

fn an_open_reader_sees_one_object(store: &dyn Store) {
    let bytes = vec![5; 3 << 20];
    let key = put(store, &bytes);
    let removals: [&dyn Fn(); 2] =
        [&|| assert!(store.delete(&key).expect("deleting succeeds")), &|| {
            let withdrawn = store.withdraw(&[key]).expect("withdrawing succeeds");
            assert_eq!(withdrawn.free().expect("freeing succeeds").objects, 1);
        }];
    for remove in removals {
        put(store, &bytes);
        let mut reader = store.read(&key, None).expect("the object is there");
        let mut read = vec![0; 1000];
        reader.read_exact(&mut read).expect("it can be read");
        remove();
        // Going on is allowed to fail, but not to give other or fewer bytes.
        if reader.read_to_end(&mut read).is_ok() {
            assert_eq!(read, bytes);
        }
    }
}

fn a_large_object_is_streamed(store: &dyn Store) {
    let mut writer = WholeWriter::new(store).expect("a writer starts");
    let mut expected = Vec::new();
    for n in 0u32..5000 {
        let piece: Vec<u8> = (0..n % 4000).map(|i| ((i * n) >> 7) as u8).collect();
        writer.write(&piece).expect("a write succeeds");
        expected.extend_from_slice(&piece);
    }
    writer.write(&expected.clone()).expect("a long write succeeds");
    expected.extend_from_within(..);
    assert_eq!(writer.size(), expected.len() as u64);
    let stored = writer.finish_expecting(&BlobId::of(&expected)).expect("the hash is right");

    let mut streamed = Vec::new();
    let size = stream_whole(store, &stored.id, |piece| {
        streamed.extend_from_slice(piece);
        Ok::<(), StoreError>(())
    })
    .expect("it verifies");
    assert!(size == expected.len() as u64 && streamed == expected);
}

fn packs_are_objects(store: &dyn Store) {
    let blobs: Vec<Vec<u8>> = (0u32..500).map(|n| n.to_le_bytes().repeat(n as usize)).collect();
    let mut writer = PackWriter::new(store, PackOptions::default()).expect("a writer starts");
    for blob in &blobs {
        writer.add(Kind::Content, blob).expect("an add succeeds");
    }
    let pack = writer.finish().expect("finishing succeeds").expect("not empty");
    assert!(pack.created);
    assert_eq!(
        store.stat(&ObjectKey::Pack(pack.id)).expect("stat succeeds").map(|info| info.size),
        Some(pack.size)
    );
    let reader = PackReader::open(store, &pack.id).expect("the pack opens");
    for blob in &blobs {
        assert_eq!(reader.read(&BlobId::of(blob)).expect("it verifies").as_ref(), Some(blob));
    }
}

fn a_rotten_pack_is_replaced_when_looked_at(store: &dyn Store) {
    let blobs = [&b"first"[..], b"second"];
    let finish = |checked: bool| {
        let mut writer = PackWriter::new(store, PackOptions::default()).expect("a writer starts");
        for blob in blobs {
            writer.add(Kind::Content, blob).expect("an add succeeds");
        }
        let done = if checked { writer.finish_checked(store) } else { writer.finish() };
        done.expect("finishing succeeds").expect("not empty")
    };
    let pack = finish(true);
    assert!(pack.created);
    assert!(!finish(true).created, "sound, so it stays");
    let key = ObjectKey::Pack(pack.id);
    let good = get(store, &key);
    for at in [0, 8, 12, good.len() / 2, good.len() - 1] {
        let mut rotten = good.clone();
        rotten[at] ^= 0x10;
        let mut upload = store.create().expect("an upload starts");
        upload.append(&rotten).expect("an append succeeds");
        upload.publish(&key, Existing::Replace).expect("publishing succeeds");
        assert!(!is_sound(store, &key).expect("it can be read"));
        assert!(!finish(false).created, "the same length: not looked into");
        assert!(finish(true).created, "byte {at} was wrong");
        assert!(get(store, &key) == good && is_sound(store, &key).expect("it can be read"));
    }
    store.delete(&key).expect("deleting succeeds");
    assert!(!is_sound(store, &key).expect("asking about an absent object succeeds"));
}

fn one_of_many_publishers_creates(store: &Arc<dyn Store>) {
    const THREADS: usize = 8;
    for round in 0u8..5 {
        let bytes = vec![round; 100_000];
        let whole = || {
            let stored = store.put_bytes(&bytes).expect("a concurrent put succeeds");
            // Whoever was answered sees the object at once.
            assert_eq!(get(store, &ObjectKey::Whole(stored.id)), bytes);
            stored.created
        };
        let pack = || {
            let mut writer =
                PackWriter::new(store, PackOptions::default()).expect("a writer starts");
            writer.add(Kind::Content, &bytes).expect("an add succeeds");
            let pack = writer.finish_checked(store).expect("finishing succeeds");
            pack.expect("not empty").created
        };
        let puts: [&(dyn Fn() -> bool + Sync); 2] = [&whole, &pack];
        for put in puts {
            let barrier = Barrier::new(THREADS);
            let created: usize = std::thread::scope(|scope| {
                let publish = || {
                    barrier.wait();
                    usize::from(put())
                };
                let publishers: Vec<_> = (0..THREADS).map(|_| scope.spawn(publish)).collect();
                publishers
                    .into_iter()
                    .map(|publisher| publisher.join().expect("no publisher panics"))
                    .sum()
            });
            if store.capabilities().exclusive_create {
                assert_eq!(created, 1);
            } else {
                assert!(created >= 1);
            }
        }
    }
}
