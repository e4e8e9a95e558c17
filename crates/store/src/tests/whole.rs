use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};

use heirloom_manifest::BlobId;

use super::{bytes_of, noise, plant};
use crate::whole::BUFFER;
use crate::{
    LocalStore, MemoryStore, ObjectKey, Scanned, Store, StoreError, StoreExt, VerifiedReader,
    put_file, scan, stream_whole, verify_object,
};

fn stores() -> (tempfile::TempDir, Vec<Box<dyn Store>>) {
    let directory = tempfile::tempdir().unwrap();
    let local = LocalStore::create(directory.path().join("store")).unwrap();
    (directory, vec![Box::new(local), Box::new(MemoryStore::new())])
}

#[test]
fn files_of_every_length_around_the_buffers_are_put_and_streamed() {
    let (directory, stores) = stores();
    for store in &stores {
        for length in
            [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 3 * BUFFER, 5 * BUFFER + 17]
        {
            let path = directory.path().join("file");
            let bytes = noise(length as u64, length);
            fs::write(&path, &bytes).unwrap();
            let mut file = File::open(&path).unwrap();
            // The cursor plays no part, and stays.
            file.seek(SeekFrom::Start(3)).unwrap();
            let stored = put_file(store, &file, &path, Some(length as u64), &mut |_| {}).unwrap();
            assert_eq!(file.stream_position().unwrap(), 3);
            assert!(stored.created);
            assert_eq!((stored.id, stored.size), (BlobId::of(&bytes), length as u64));
            assert!(!put_file(store, &file, &path, None, &mut |_| {}).unwrap().created);

            let mut streamed = Vec::new();
            stream_whole(store, &stored.id, |piece| {
                streamed.extend_from_slice(piece);
                Ok::<(), StoreError>(())
            })
            .unwrap();
            assert!(streamed == bytes, "{length}");
        }
    }
}

#[test]
fn a_file_of_another_length_is_refused_and_leaves_nothing() {
    let (directory, stores) = stores();
    let path = directory.path().join("file");
    fs::write(&path, noise(1, 3 * BUFFER)).unwrap();
    let file = File::open(&path).unwrap();
    for store in &stores {
        for expected in [0, 1, 3 * BUFFER as u64 - 1, 3 * BUFFER as u64 + 1] {
            match put_file(store, &file, &path, Some(expected), &mut |_| {}) {
                Err(StoreError::SizeMismatch { expected: named, .. }) => {
                    assert_eq!(named, expected)
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(store.walk().count(), 0);
    }
    // An endless one is given up soon.
    let endless = File::open("/dev/zero").unwrap();
    assert!(put_file(&stores[0], &endless, &path, Some(10), &mut |_| {}).is_err());
}

/// Where the file system can clone, `put_file` has; both ways have to agree.
#[test]
fn a_clone_is_published_like_a_copy() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    let mut source = tempfile::tempfile_in(directory.path()).unwrap();
    source.write_all(b"cloned bytes").unwrap();
    let Some(staged) = store.create_clone(&source).unwrap() else {
        // Not on this file system: nothing may be left of the attempt.
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
        return;
    };
    assert_eq!(staged.upload.size(), 12);
    source.write_all(b" and more").unwrap();
    let key = ObjectKey::Whole(BlobId::of(b"cloned bytes"));
    staged.upload.publish(&key, crate::Existing::Keep).unwrap();
    assert_eq!(bytes_of(&store, &key), b"cloned bytes");
}

#[test]
fn every_kind_of_damage_to_a_whole_object_is_found_at_its_end() {
    let (_directory, stores) = stores();
    let bytes = noise(7, BUFFER + 1000);
    for store in &stores {
        let id = store.put_bytes(&bytes).unwrap().id;
        let key = ObjectKey::Whole(id);
        let mut flipped = bytes.clone();
        flipped[BUFFER + 5] ^= 1;
        let mut longer = bytes.clone();
        longer.push(0);
        for damaged in [flipped, longer, bytes[..bytes.len() - 1].to_vec(), Vec::new()] {
            plant(store, key, &damaged);
            let mut reader = VerifiedReader::open(store, &id).unwrap();
            let error =
                reader.read_to_end(&mut Vec::new()).unwrap_err().downcast::<StoreError>().unwrap();
            assert!(matches!(error, StoreError::DigestMismatch { expected, .. } if expected == id));
            assert!(reader.read(&mut [0]).is_err(), "the end stays an error");
            let outcome = stream_whole(store, &id, |_| Ok::<(), StoreError>(()));
            assert!(matches!(outcome, Err(StoreError::DigestMismatch { .. })));
            assert_eq!(verify_object(store, &key).unwrap().damaged.len(), 1);
        }
        plant(store, key, &bytes);
        let report = verify_object(store, &key).unwrap();
        assert_eq!((report.blobs, report.bytes, report.damaged.len()), (1, bytes.len() as u64, 0));
        let all: Vec<Scanned> = scan(store).collect::<Result<_, _>>().unwrap();
        assert!(matches!(all[..], [Scanned::Whole { id: found, .. }] if found == id));
    }
}

#[test]
fn an_error_of_the_sink_ends_the_stream() {
    #[derive(Debug)]
    enum Stop {
        Here,
        Store,
    }
    impl From<StoreError> for Stop {
        fn from(_: StoreError) -> Self {
            Self::Store
        }
    }
    let store = MemoryStore::new();
    let id = store.put_bytes(&noise(3, 8 * BUFFER)).unwrap().id;
    for stop_at in [0, 1, 5] {
        let mut seen = 0;
        let outcome = stream_whole(&store, &id, |_| {
            seen += 1;
            if seen > stop_at { Err(Stop::Here) } else { Ok(()) }
        });
        assert!(matches!(outcome, Err(Stop::Here)));
        assert_eq!(seen, stop_at + 1);
    }
    let absent = BlobId::of(b"absent");
    assert!(matches!(stream_whole(&store, &absent, |_| Ok(())), Err(Stop::Store)));
}
