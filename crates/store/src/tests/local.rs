use std::cell::Cell;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use heirloom_manifest::BlobId;
use tempfile::TempDir;

use crate::{
    Fault, Found, Kind, LocalStore, ObjectKey, PackOptions, PackWriter, Store, StoreError,
    StoreExt, WholeWriter,
};

fn store() -> (TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    (directory, store)
}

fn staged(root: &Path) -> usize {
    fs::read_dir(root.join("tmp")).map_or(0, Iterator::count)
}

#[test]
fn conforms() {
    let directory = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    crate::conformance::run(&|| {
        count.set(count.get() + 1);
        Arc::new(LocalStore::create(directory.path().join(count.get().to_string())).unwrap())
    });
}

/// The order that `docs/format.md` §5 demands, from the operations themselves.
#[test]
fn data_is_flushed_before_the_name_and_the_directories_after_it() {
    let (directory, store) = store();
    let root = directory.path();
    let relative = |log: Vec<(&'static str, std::path::PathBuf)>| -> Vec<String> {
        log.into_iter()
            .map(|(op, path)| {
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                let path = if path.starts_with("tmp/") { "tmp/*".to_owned() } else { path };
                format!("{op} {path}").trim_end().to_owned()
            })
            .collect()
    };
    let id = store.put_bytes(b"ordered").unwrap().id;
    let key = ObjectKey::Whole(id).to_string();
    let fan_out = &key[..10];
    let first = [
        "create the directory tmp".to_owned(),
        "create a file in tmp".to_owned(),
        "write tmp/*".to_owned(),
        "flush tmp/*".to_owned(),
        "create the directory objects".to_owned(),
        "flush".to_owned(),
        format!("create the directory {fan_out}"),
        "flush objects".to_owned(),
        format!("rename to {key}"),
        format!("flush {fan_out}"),
    ];
    // `objects` is made durable by way of its child, before it.
    assert_eq!(relative(store.probe().log()), first);

    // Another value in the same process and place cannot know who flushed what.
    let other = LocalStore::open(root).unwrap();
    assert!(!other.put_bytes(b"ordered").unwrap().created);
    let again = relative(other.probe().log());
    assert_eq!(again.last().unwrap(), &format!("flush {fan_out}"), "{again:?}");
    assert!(again.contains(&"flush objects".to_owned()) && again.contains(&"flush".to_owned()));

    store.probe().arm(None);
    assert!(store.delete(&ObjectKey::Whole(id)).unwrap());
    assert_eq!(
        relative(store.probe().log()),
        [format!("remove {key}"), format!("flush {fan_out}")]
    );

    // Moved, not unlinked, and nothing to wait for the disk.
    store.put_bytes(b"ordered").unwrap();
    store.probe().arm(None);
    let withdrawn = store.withdraw(&[ObjectKey::Whole(id)]).unwrap();
    assert_eq!(relative(store.probe().log()), [format!("move out of reach {key}")]);
    store.probe().arm(None);
    withdrawn.free().unwrap();
    assert_eq!(relative(store.probe().log()), ["remove tmp/*"]);
}

type Put<'p> = dyn Fn(&LocalStore) -> Result<ObjectKey, StoreError> + 'p;

/// Lets the n-th disk operation fail, for n = 0, 1, … until nothing failed.
#[test]
fn every_failing_operation_is_reported_and_leaves_all_or_nothing() {
    let blob = super::noise(1, 300_000);
    let put_whole =
        |store: &LocalStore| store.put_bytes(&blob).map(|stored| ObjectKey::Whole(stored.id));
    let put_pack = |store: &LocalStore| {
        let mut writer = PackWriter::new(store, PackOptions::default())?;
        for piece in blob.chunks(1000) {
            writer.add(Kind::Content, piece)?;
        }
        Ok(ObjectKey::Pack(writer.finish()?.expect("not empty").id))
    };
    let puts: [&Put<'_>; 2] = [&put_whole, &put_pack];
    for put in puts {
        let (_directory, reference) = store();
        let key = put(&reference).unwrap();
        let expected = super::bytes_of(&reference, &key);
        for kind in [ErrorKind::StorageFull, ErrorKind::Other, ErrorKind::ReadOnlyFilesystem] {
            let mut failures = 0;
            for n in 0.. {
                let (directory, store) = store();
                store.probe().arm(Some((n, kind)));
                let outcome = put(&store);
                let reached = store.probe().log().len() > n;
                store.probe().arm(None);
                assert_eq!(staged(directory.path()), 0, "operation {n} left a file behind");
                if !reached {
                    outcome.unwrap();
                    break;
                }
                failures += 1;
                let error = outcome.expect_err("an operation failed");
                match kind {
                    ErrorKind::StorageFull => {
                        assert!(matches!(error, StoreError::NoSpace { .. }), "{error:?}")
                    }
                    ErrorKind::ReadOnlyFilesystem => {
                        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}")
                    }
                    _ => assert!(
                        matches!(error, StoreError::Io { .. }) && !error.is_retryable(),
                        "{error:?}"
                    ),
                }
                if store.contains(&key).unwrap() {
                    assert_eq!(super::bytes_of(&store, &key), expected, "operation {n}");
                }
                // The same put then succeeds.
                assert_eq!(put(&store).unwrap(), key);
                assert_eq!(super::bytes_of(&store, &key), expected);
            }
            assert!(failures >= 8, "only {failures} operations were seen");
        }
    }
}

#[test]
fn an_upload_with_a_failed_write_cannot_be_published() {
    let (_directory, store) = store();
    let mut upload = store.create().unwrap();
    upload.append(b"first").unwrap();
    store.probe().arm(Some((0, ErrorKind::StorageFull)));
    assert!(upload.append(b"second").is_err());
    assert!(upload.append(b"third").is_err());
    let key = ObjectKey::Whole(BlobId::of(b"first"));
    assert!(upload.publish(&key, crate::Existing::Keep).is_err());
    assert!(!store.contains(&key).unwrap());
}

#[test]
fn leftovers_are_told_from_live_uploads_by_their_locks() {
    let (directory, store) = store();
    let mut live = WholeWriter::new(&store).unwrap();
    live.write(b"still being written").unwrap();
    fs::write(directory.path().join("tmp/object-left-behind"), b"12345").unwrap();
    fs::write(directory.path().join("tmp/notes.txt"), b"of somebody").unwrap();

    // Another value, as another process would have.
    let cleaned = LocalStore::open(directory.path()).unwrap().clean_tmp().unwrap();
    assert_eq!((cleaned.files, cleaned.bytes), (1, 5));
    assert_eq!(cleaned.foreign, ["notes.txt"]);
    let stored = live.finish().unwrap();
    assert_eq!(super::bytes_of(&store, &ObjectKey::Whole(stored.id)), b"still being written");
    assert_eq!(staged(directory.path()), 1, "the foreign file");
}

#[test]
fn sweeping_beside_writers_harms_none_of_them() {
    let (directory, store) = store();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0u8..3)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    for n in 0u8..15 {
                        store.put_bytes(&[writer, n]).unwrap();
                    }
                })
            })
            .collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            // It may get hold of a file that is created and not locked yet;
            // its writer then notices, and makes another.
            store.clean_tmp().unwrap();
        }
    });
    assert_eq!(store.walk().count(), 45);
    assert_eq!(staged(directory.path()), 0);
}

#[test]
fn foreign_names_are_reported_once_whatever_the_page() {
    let (directory, store) = store();
    let root = directory.path();
    let mut keys: Vec<ObjectKey> =
        (0u8..6).map(|n| ObjectKey::Whole(store.put_bytes(&[n]).unwrap().id)).collect();
    let text = keys[0].to_string();
    let misplaced = format!("objects/zz/{}", &text[11..]);
    fs::create_dir(root.join("objects/zz")).unwrap();
    fs::create_dir_all(root.join("packs/ab/directory")).unwrap();
    fs::create_dir_all(root.join("objects/ff")).unwrap();
    fs::write(root.join(&misplaced), b"").unwrap();
    let beside = format!("{}-x", &text[..10]);
    let in_between = format!("{text}.bak");
    let link = format!("objects/ff/{}", "f".repeat(64));
    for name in ["objects/README", &beside, &in_between, "packs/ab/x.pack"] {
        fs::write(root.join(name), b"").unwrap();
    }
    symlink("/etc/hostname", root.join(&link)).unwrap();
    let mut expected = vec![
        "objects/README".to_owned(),
        "objects/zz".to_owned(),
        "packs/ab/directory".to_owned(),
        "packs/ab/x.pack".to_owned(),
        beside,
        in_between,
        link,
    ];
    expected.sort();
    keys.sort();

    for limit in 1..8 {
        let (mut found, mut foreign, mut more) = (Vec::new(), Vec::new(), true);
        while more {
            let page = store.list(found.last(), limit).unwrap();
            found.extend(page.objects.into_iter().map(|(key, _)| key));
            foreign.extend(page.foreign);
            more = page.more;
        }
        assert_eq!(found, keys, "in pages of {limit}");
        foreign.sort();
        assert_eq!(foreign, expected, "in pages of {limit}");
    }
    let foreign = store.walk().filter(|found| matches!(found, Ok(Found::Foreign(_)))).count();
    assert_eq!(foreign, expected.len());
}

#[test]
fn links_and_special_files_are_not_objects() {
    let (directory, store) = store();
    let id = BlobId::of(b"target");
    let key = ObjectKey::Whole(id);
    let path = store.path_of(&key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(directory.path().join("target"), b"target").unwrap();
    let plants: [&dyn Fn(); 3] = [
        &|| symlink(directory.path().join("target"), &path).unwrap(),
        &|| fs::create_dir(&path).unwrap(),
        &|| {
            let mode = rustix::fs::Mode::from(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        },
    ];
    for plant in plants {
        plant();
        for outcome in [
            store.open(&key).map(drop),
            store.stat(&key).map(drop),
            store.put_bytes(b"target").map(drop),
        ] {
            assert!(
                matches!(outcome, Err(StoreError::Corrupt { fault: Fault::NotAFile, .. })),
                "{outcome:?} for {:?}",
                fs::symlink_metadata(&path).unwrap().file_type()
            );
        }
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir(&path)
        } else {
            fs::remove_file(&path)
        }
        .unwrap();
    }
}

#[test]
fn a_store_that_is_gone_is_not_an_empty_store() {
    let (directory, store) = store();
    let key = ObjectKey::Whole(store.put_bytes(b"here").unwrap().id);
    fs::rename(directory.path(), directory.path().with_extension("away")).unwrap();
    assert!(matches!(store.stat(&key), Err(StoreError::Io { .. })));
    assert!(matches!(store.open(&key), Err(StoreError::Io { .. })));
    assert!(matches!(store.delete(&key), Err(StoreError::Io { .. })));
    assert!(matches!(store.list(None, 10), Err(StoreError::Io { .. })));
    assert!(LocalStore::open(directory.path()).is_err());
    fs::rename(directory.path().with_extension("away"), directory.path()).unwrap();
    assert!(store.contains(&key).unwrap());

    // The same for a part of it that lies elsewhere.
    let objects = directory.path().join("objects");
    fs::rename(&objects, directory.path().join("elsewhere")).unwrap();
    symlink(directory.path().join("elsewhere"), &objects).unwrap();
    assert!(store.contains(&key).unwrap());
    assert_eq!(store.walk().count(), 1);
    fs::rename(directory.path().join("elsewhere"), directory.path().join("unmounted")).unwrap();
    assert!(matches!(store.stat(&key), Err(StoreError::Io { .. })));
    assert!(matches!(store.list(None, 10), Err(StoreError::Io { .. })));
}

#[test]
fn what_blocks_can_be_handed_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<PackWriter>();
    is_send::<WholeWriter>();
    is_send::<crate::PackReader>();
    is_send::<crate::VerifiedReader>();
    is_send::<StoreError>();
}

#[test]
fn objects_are_read_only_files_of_their_own() {
    let (_directory, store) = store();
    let key = ObjectKey::Whole(store.put_bytes(b"read only").unwrap().id);
    let metadata = fs::metadata(store.path_of(&key)).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o222, 0);
    assert_eq!(metadata.nlink(), 1);
}

#[test]
fn a_fan_out_directory_that_somebody_removed_is_made_again() {
    let (_directory, store) = store();
    let key = ObjectKey::Whole(store.put_bytes(b"twice").unwrap().id);
    fs::remove_dir_all(store.path_of(&key).parent().unwrap()).unwrap();
    assert!(store.put_bytes(b"twice").is_err());
    assert!(store.put_bytes(b"twice").unwrap().created);
}

#[test]
fn create_makes_missing_parents() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("a/b/c");
    assert!(LocalStore::open(&root).is_err());
    let store = LocalStore::create(&root).unwrap();
    let log: Vec<_> =
        store.probe().log().into_iter().filter(|(op, _)| *op == "flush").map(|(_, p)| p).collect();
    assert_eq!(
        log,
        [directory.path().to_path_buf(), directory.path().join("a"), directory.path().join("a/b")]
    );
    store.put_bytes(b"x").unwrap();
}
