//! Holding, withdrawing, and cleaning up, in a directory; and a model of both in
//! every store.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::symlink;

use heirloom_manifest::BlobId;
use proptest::prelude::*;
use tempfile::TempDir;

use super::noise;
use crate::{
    Freed, Hold, Kind, LocalStore, MemoryStore, ObjectKey, PackOptions, PackWriter, Store,
    StoreError, StoreExt, WholeWriter, Withdrawn, consolidate, put_file,
};

fn store() -> (TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    (directory, store)
}

/// Names under `tmp/`, in order.
fn tmp(directory: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory.path().join("tmp"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Each way to make an object holds it, from the moment that others see it, until
/// the hold is dropped.
#[test]
fn what_was_published_is_held_until_its_hold_is_dropped() {
    let (directory, store) = store();
    // As another process would look.
    let other = LocalStore::open(directory.path()).unwrap();
    let source = directory.path().join("source");
    fs::write(&source, noise(1, 3 << 20)).unwrap();

    let whole = store.put_bytes(b"whole").unwrap();
    let file = put_file(&store, &File::open(&source).unwrap(), &source, None, &mut |_| {}).unwrap();
    let mut writer = WholeWriter::new(&store).unwrap();
    writer.write(b"whole").unwrap();
    let replaced = writer.finish_replacing(&whole.id).unwrap();
    let mut writer = PackWriter::new(&store, PackOptions::default()).unwrap();
    writer.add(Kind::Content, b"packed").unwrap();
    writer.add(Kind::Content, b"too").unwrap();
    let pack = writer.finish().unwrap().unwrap();
    let dead = pack.records[0].id;
    let mut rewritten = consolidate(&store, &[pack.id], |_, record| record.id != dead).unwrap();
    let rewritten = rewritten.packs.pop().unwrap();

    let held: Vec<(ObjectKey, Hold)> = vec![
        (ObjectKey::Whole(file.id), file.hold),
        (ObjectKey::Whole(whole.id), replaced.hold),
        (ObjectKey::Pack(pack.id), pack.hold),
        (ObjectKey::Pack(rewritten.id), rewritten.hold),
    ];
    // Of the inode that was replaced; says nothing of the object that is there.
    drop(whole.hold);
    for (key, hold) in held {
        for store in [&store, &other] {
            assert!(store.is_held(&key).unwrap(), "{key}");
            assert!(store.is_held(&key).unwrap(), "asking lets nobody go");
        }
        drop(hold);
        for store in [&store, &other] {
            assert!(!store.is_held(&key).unwrap(), "{key}");
        }
    }
}

#[test]
fn who_finds_the_key_taken_holds_nothing_and_takes_nothing() {
    let (_directory, store) = store();
    let first = store.put_bytes(b"same").unwrap();
    let key = ObjectKey::Whole(first.id);
    let second = store.put_bytes(b"same").unwrap();
    assert!(!second.created);
    drop(second);
    assert!(store.is_held(&key).unwrap());
    drop(first);
    assert!(!store.is_held(&key).unwrap());
    let again = store.put_bytes(b"same").unwrap();
    assert!(!store.is_held(&key).unwrap());
    drop(again);
}

/// A reader takes no lock, and two who ask do not see each other.
#[test]
fn neither_readers_nor_those_who_ask_hold_an_object() {
    let (_directory, store) = store();
    let key = ObjectKey::Whole(store.put_bytes(b"read").unwrap().id);
    let mut reader = store.read(&key, None).unwrap();
    let asking = File::open(store.path_of(&key)).unwrap();
    asking.lock_shared().unwrap();
    assert!(!store.is_held(&key).unwrap());
    let mut bytes = String::new();
    reader.read_to_string(&mut bytes).unwrap();
    assert_eq!(bytes, "read");
}

#[test]
fn what_is_no_file_is_neither_held_nor_withdrawn() {
    let (directory, store) = store();
    let key = ObjectKey::Whole(BlobId::of(b"target"));
    let path = store.path_of(&key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(directory.path().join("target"), b"target").unwrap();
    symlink(directory.path().join("target"), &path).unwrap();
    assert!(matches!(store.is_held(&key), Err(StoreError::Corrupt { .. })));
    assert_eq!(store.withdraw(&[key]).unwrap().free().unwrap(), Freed::default());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(store.is_held(&key), Err(StoreError::Corrupt { .. })));
    assert_eq!(store.withdraw(&[key]).unwrap().free().unwrap(), Freed::default());
    assert!(path.is_dir());
}

#[test]
fn an_object_of_a_writer_is_withdrawn_all_the_same() {
    let (directory, store) = store();
    let stored = store.put_bytes(b"held").unwrap();
    let key = ObjectKey::Whole(stored.id);
    let withdrawn = store.withdraw(&[key]).unwrap();
    assert!(!store.is_held(&key).unwrap());
    assert_eq!(store.clean_tmp().unwrap().files, 0, "its file is locked still");
    assert_eq!(withdrawn.free().unwrap(), Freed { objects: 1, bytes: 4 });
    assert_eq!(tmp(&directory), [""; 0]);
}

#[test]
fn what_was_withdrawn_and_not_freed_is_a_leftover() {
    let (directory, store) = store();
    let keys = [b"one", b"two"].map(|bytes| ObjectKey::Whole(store.put_bytes(bytes).unwrap().id));
    let withdrawn = store.withdraw(&keys).unwrap();
    assert_eq!(tmp(&directory).len(), 2);
    assert!(tmp(&directory).iter().all(|name| name.starts_with("gone-")));
    // What one has swept is not counted a second time.
    let cleaned = LocalStore::open(directory.path()).unwrap().clean_tmp().unwrap();
    assert_eq!((cleaned.files, cleaned.bytes, cleaned.foreign), (2, 6, vec![]));
    assert_eq!(withdrawn.free().unwrap(), Freed::default());

    store.put_bytes(b"one").unwrap();
    drop(store.withdraw(&keys).unwrap());
    assert_eq!(store.clean_tmp().unwrap().files, 1);
    assert_eq!(tmp(&directory), [""; 0]);
}

#[test]
fn the_files_of_drafts_are_left_to_whoever_ends_these() {
    let (directory, store) = store();
    fs::create_dir(directory.path().join("tmp")).unwrap();
    for name in ["draft-1", "draft-9000000000000000000", "draft-", "draft-x1", "draft-1.txt"] {
        fs::write(directory.path().join("tmp").join(name), b"").unwrap();
    }
    let locked = File::open(directory.path().join("tmp/draft-1")).unwrap();
    locked.lock().unwrap();
    let mut cleaned = store.clean_tmp().unwrap();
    cleaned.foreign.sort();
    assert_eq!(cleaned.files, 0);
    assert_eq!(cleaned.foreign, ["draft-", "draft-1.txt", "draft-x1"]);
    assert_eq!(tmp(&directory).len(), 5);
}

/// Lets the n-th disk operation of a withdrawal and of the freeing fail, for
/// n = 0, 1, … until nothing failed.
#[test]
fn a_withdrawal_that_fails_loses_track_of_nothing() {
    let blobs: [&[u8]; 4] = [b"a", b"bb", b"ccc", b"dddd"];
    for n in 0.. {
        let (directory, store) = store();
        let keys = blobs.map(|bytes| ObjectKey::Whole(store.put_bytes(bytes).unwrap().id));
        store.probe().arm(Some((n, ErrorKind::Other)));
        let outcome = store.withdraw(&keys).and_then(Withdrawn::free);
        let reached = store.probe().log().len() > n;
        store.probe().arm(None);
        // Each object is whole at its key or whole under `tmp/` or freed.
        let there = keys.iter().filter(|key| store.contains(key).unwrap()).count();
        let gone = tmp(&directory).len();
        match &outcome {
            Ok(freed) => {
                assert!(!reached);
                assert_eq!(*freed, Freed { objects: 4, bytes: 10 });
                assert_eq!((there, gone), (0, 0));
                assert!(n >= 8, "each object is moved and removed, yet {n} operations");
                break;
            }
            Err(_) if there > 0 => assert_eq!(there + gone, 4, "operation {n}"),
            Err(_) => assert_eq!(gone, 1, "operation {n}: the others were freed"),
        }
        assert_eq!(store.withdraw(&keys).unwrap().free().unwrap().objects, there as u64);
        assert_eq!(store.clean_tmp().unwrap().files, gone as u64);
        assert_eq!(tmp(&directory), [""; 0]);
        assert_eq!(store.walk().count(), 0);
    }
}

#[test]
fn a_withdrawal_from_a_store_that_is_gone_is_an_error() {
    let (directory, store) = store();
    let key = ObjectKey::Whole(store.put_bytes(b"here").unwrap().id);
    let away = directory.path().with_extension("away");
    fs::rename(directory.path(), &away).unwrap();
    assert!(store.withdraw(&[key]).is_err());
    assert!(store.is_held(&key).is_err());
    fs::rename(&away, directory.path()).unwrap();
    assert!(store.contains(&key).unwrap());

    // The same for a part of it that lies elsewhere.
    let objects = directory.path().join("objects");
    fs::rename(&objects, directory.path().join("unmounted")).unwrap();
    symlink(directory.path().join("elsewhere"), &objects).unwrap();
    assert!(store.withdraw(&[key]).is_err());
    assert!(store.is_held(&key).is_err());
}

#[derive(Debug, Clone)]
enum Op {
    Put(u8),
    LetGo(usize),
    Withdraw(Vec<u8>),
    Free(usize),
    GiveUp(usize),
    Delete(u8),
    Clean,
}

fn any_op() -> impl Strategy<Value = Op> {
    let blob = 0u8..5;
    prop_oneof![
        4 => blob.clone().prop_map(Op::Put),
        2 => any::<usize>().prop_map(Op::LetGo),
        3 => proptest::collection::vec(blob.clone(), 0..4).prop_map(Op::Withdraw),
        2 => any::<usize>().prop_map(Op::Free),
        1 => any::<usize>().prop_map(Op::GiveUp),
        1 => blob.prop_map(Op::Delete),
        1 => Just(Op::Clean),
    ]
}

fn bytes_of(blob: u8) -> Vec<u8> {
    vec![blob; usize::from(blob) * 10]
}

fn key_of(blob: u8) -> ObjectKey {
    ObjectKey::Whole(BlobId::of(&bytes_of(blob)))
}

/// Takes something out of a list, whichever.
fn pick<T>(from: &mut Vec<T>, at: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(at % from.len()))
}

/// Runs the operations beside a model: which blobs are there, and which of the
/// holds is of the very object that is there. Returns what was freed in all.
fn run(store: &dyn Store, ops: &[Op], holds_things: bool, clean: &dyn Fn() -> u64) -> u64 {
    let mut there: BTreeMap<u8, u32> = BTreeMap::new();
    let (mut next, mut holds, mut withdrawals) = (0, Vec::new(), Vec::new());
    let (mut made, mut deleted, mut freed) = (0, 0, 0);
    for op in ops {
        match op {
            Op::Put(blob) => {
                let stored = store.put_bytes(&bytes_of(*blob)).unwrap();
                assert_eq!(stored.created, !there.contains_key(blob));
                if stored.created {
                    next += 1;
                    made += 1;
                    there.insert(*blob, next);
                    holds.push((*blob, next, stored.hold));
                }
            }
            Op::LetGo(at) => drop(pick(&mut holds, *at)),
            Op::Withdraw(blobs) => {
                let keys: Vec<ObjectKey> = blobs.iter().map(|blob| key_of(*blob)).collect();
                withdrawals.push(store.withdraw(&keys).unwrap());
                there.retain(|blob, _| !blobs.contains(blob));
            }
            Op::Free(at) => {
                if let Some(withdrawn) = pick(&mut withdrawals, *at) {
                    freed += withdrawn.free().unwrap().objects;
                }
            }
            Op::GiveUp(at) => drop(pick(&mut withdrawals, *at)),
            Op::Delete(blob) => {
                let was_there = there.remove(blob).is_some();
                assert_eq!(store.delete(&key_of(*blob)).unwrap(), was_there);
                deleted += u64::from(was_there);
            }
            Op::Clean => freed += clean(),
        }
        for blob in 0..5 {
            let key = key_of(blob);
            let found = store.stat(&key).unwrap().map(|info| info.size);
            assert_eq!(found, there.get(&blob).map(|_| bytes_of(blob).len() as u64));
            let is_held = there
                .get(&blob)
                .is_some_and(|n| holds.iter().any(|(of, at, _)| (*of, *at) == (blob, *n)));
            assert_eq!(store.is_held(&key).unwrap(), is_held && holds_things);
        }
        assert_eq!(store.walk().count(), there.len());
    }
    drop(holds);
    for withdrawn in withdrawals {
        freed += withdrawn.free().unwrap().objects;
    }
    freed += clean();
    assert!(freed <= made - deleted - there.len() as u64);
    made - deleted - there.len() as u64 - freed
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn removals_do_as_a_model_does(ops in proptest::collection::vec(any_op(), 0..40)) {
        let (directory, store) = store();
        fs::create_dir(directory.path().join("tmp")).unwrap();
        let clean = || store.clean_tmp().unwrap().files;
        let unaccounted = run(&store, &ops, true, &clean);
        prop_assert_eq!(unaccounted, 0, "each object that went was freed once");
        prop_assert_eq!(tmp(&directory), [""; 0]);
        // Given up, in memory, is freed without being told of.
        run(&MemoryStore::new(), &ops, false, &|| 0);
    }
}
