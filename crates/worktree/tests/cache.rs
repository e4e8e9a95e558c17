//! The stat cache and the change guard: what may be believed unread.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, FileTimes};
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use heirloom_manifest::{BlobId, LogicalPath};
use heirloom_worktree::{
    CacheState, Error, FileStat, Links, Root, ScanEntry, ScanKind, ScanOptions, SourceFile,
    SpoolReader, SpoolWriter, StatCache, StatCacheWriter, cache_path, read_small, scan,
};
use proptest::prelude::*;

/// A time at which everything that the tests wrote is long settled. (The guard
/// against recent files has its own tests.)
const FAR_FUTURE_NS: i64 = 4_000_000_000_000_000_000;

fn entries(root: &Root, cache: &mut StatCache) -> Vec<ScanEntry> {
    let mut all = Vec::new();
    let report = scan(root, &ScanOptions::default(), cache, |entry| {
        all.push(entry);
        Ok::<_, ()>(())
    })
    .unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.known_files, all.iter().filter(|e| known(e).is_some()).count() as u64);
    all
}

fn known(entry: &ScanEntry) -> Option<BlobId> {
    match entry.kind {
        ScanKind::File { known, .. } => known,
        ScanKind::EmptyDirectory => None,
    }
}

fn stat(entry: &ScanEntry) -> FileStat {
    match entry.kind {
        ScanKind::File { stat, .. } => stat,
        ScanKind::EmptyDirectory => panic!("{} is a directory", entry.path),
    }
}

/// Hashes what is unknown and writes the next cache, as a put does.
fn put(root: &Root, file: &Path, started_ns: i64) -> Vec<(String, bool)> {
    let mut cache = StatCache::open(file, root);
    let mut next = StatCacheWriter::create(file, root, started_ns).unwrap();
    let mut result = Vec::new();
    for entry in entries(root, &mut cache) {
        let actual = {
            let mut bytes = Vec::new();
            read_small(root, &entry.path, &stat(&entry), Links::Follow, &mut bytes).unwrap();
            BlobId::of(&bytes)
        };
        if let Some(known) = known(&entry) {
            assert_eq!(known, actual, "{}: the cache gave a wrong digest", entry.path);
        }
        next.add(&entry.path, &stat(&entry), &actual).unwrap();
        result.push((entry.path.to_string(), known(&entry).is_some()));
    }
    next.commit().unwrap();
    result
}

#[derive(Debug, Clone)]
enum Change {
    Write(u8),
    SameLength(u8),
    SameLengthAndTime(u8),
    Remove,
    SwapWith(u8),
}

fn change() -> impl Strategy<Value = (u8, Change)> {
    let kind = prop_oneof![
        any::<u8>().prop_map(Change::Write),
        any::<u8>().prop_map(Change::SameLength),
        any::<u8>().prop_map(Change::SameLengthAndTime),
        Just(Change::Remove),
        (0u8..12).prop_map(Change::SwapWith),
    ];
    (0u8..12, kind)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens to the files between two scans, no digest is ever
    /// believed of other content, and untouched files are known.
    #[test]
    fn changes_between_scans_are_always_seen(rounds in prop::collection::vec(prop::collection::vec(change(), 0..6), 1..4)) {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let name = |n: u8| tree.join(format!("{}/{n}", n % 3));
        for n in 0..12 {
            fs::create_dir_all(name(n).parent().unwrap()).unwrap();
            fs::write(name(n), [n; 5]).unwrap();
        }
        let root = Root::open(&tree).unwrap();
        let file = cache_path(dir.path(), &root);
        put(&root, &file, FAR_FUTURE_NS);
        for changes in rounds {
            // Let the clock of the file system tick on, so that stamps differ;
            // what happens within one tick is the racy case, tested below.
            let ticked = tree.join("tick");
            let now = |path: &Path| { fs::write(path, b"t").unwrap(); fs::metadata(path).unwrap().modified().unwrap() };
            let start = now(&ticked);
            while now(&ticked) == start {}
            fs::remove_file(&ticked).unwrap();
            let mut touched = BTreeMap::new();
            for (n, change) in changes {
                touched.insert(n, ());
                let path = name(n);
                match change {
                    Change::Write(byte) => fs::write(&path, vec![byte; usize::from(byte)]).unwrap(),
                    Change::SameLength(byte) => fs::write(&path, [byte; 5]).unwrap(),
                    Change::SameLengthAndTime(byte) => {
                        let before = fs::metadata(&path).and_then(|m| m.modified());
                        fs::write(&path, [byte; 5]).unwrap();
                        if let Ok(time) = before {
                            let file = fs::File::options().write(true).open(&path).unwrap();
                            file.set_times(FileTimes::new().set_modified(time)).unwrap();
                        }
                    }
                    Change::Remove => { let _ = fs::remove_file(&path); }
                    Change::SwapWith(other) => {
                        touched.insert(other, ());
                        let (a, b) = (fs::read(&path), fs::read(name(other)));
                        if a.is_ok() && b.is_ok() && n != other {
                            fs::rename(&path, tree.join("swap")).unwrap();
                            fs::rename(name(other), &path).unwrap();
                            fs::rename(tree.join("swap"), name(other)).unwrap();
                        }
                    }
                }
            }
            for (path, was_known) in put(&root, &file, FAR_FUTURE_NS) {
                let n: u8 = path.rsplit('/').next().unwrap().parse().unwrap();
                prop_assert!(was_known || touched.contains_key(&n), "{} was not known", path);
            }
        }
    }

    /// Bytes flipped or cut anywhere: known files may become unknown, never wrong.
    #[test]
    fn a_damaged_cache_never_gives_a_wrong_digest(at: prop::sample::Index, with in 1u8..=255, cut: bool) {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..40u8 {
            fs::write(dir.path().join(format!("{n}")), [n]).unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        let other = tempfile::tempdir().unwrap();
        let file = cache_path(other.path(), &root);
        put(&root, &file, FAR_FUTURE_NS);
        let mut bytes = fs::read(&file).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= with }
        let mut cache = StatCache::from_reader(Box::new(Cursor::new(bytes)), &root);
        let mut all_known = true;
        for entry in entries(&root, &mut cache) {
            let content = fs::read(dir.path().join(entry.path.as_str())).unwrap();
            prop_assert!(known(&entry).is_none_or(|blob| blob == BlobId::of(&content)));
            all_known &= known(&entry).is_some();
        }
        // Damage behind the last record that was asked for goes unseen.
        prop_assert!(all_known || cache.state() != CacheState::Sound);
    }
}

#[test]
fn files_changed_about_the_scan_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("x"), b"one").unwrap();
    let root = Root::open(&tree).unwrap();
    let file = cache_path(dir.path(), &root);
    let written = stat(&entries(&root, &mut StatCache::empty())[0]);
    // As if the scan had started when the file was written.
    put(&root, &file, written.ctime_ns);
    assert_eq!(put(&root, &file, written.ctime_ns + 1_000_000), [("x".to_owned(), false)]);
    // A scan that started well after it: from then on the file is known.
    assert_eq!(put(&root, &file, written.ctime_ns + 10_000_000_000), [("x".to_owned(), false)]);
    assert_eq!(put(&root, &file, written.ctime_ns), [("x".to_owned(), true)]);
    // That last cache started at the time of writing again, and believes nothing.
    assert_eq!(put(&root, &file, FAR_FUTURE_NS), [("x".to_owned(), false)]);
}

#[test]
fn a_cache_is_of_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("x"), b"one").unwrap();
    let root = Root::open(&tree).unwrap();
    let file = cache_path(dir.path(), &root);
    put(&root, &file, FAR_FUTURE_NS);
    assert!(known(&entries(&root, &mut StatCache::open(&file, &root))[0]).is_some());

    // Another directory under the same name, with the very same file in it.
    fs::rename(&tree, dir.path().join("old")).unwrap();
    fs::create_dir(&tree).unwrap();
    fs::rename(dir.path().join("old/x"), tree.join("x")).unwrap();
    let again = Root::open(&tree).unwrap();
    assert_eq!(cache_path(dir.path(), &again), file);
    let mut cache = StatCache::open(&file, &again);
    assert_eq!(cache.state(), CacheState::Absent);
    assert!(known(&entries(&again, &mut cache)[0]).is_none());
    let absent = StatCache::open(&dir.path().join("no such file"), &root);
    assert_eq!(absent.state(), CacheState::Absent);
}

#[test]
fn an_abandoned_cache_leaves_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("x"), b"one").unwrap();
    let root = Root::open(&tree).unwrap();
    let file = cache_path(dir.path(), &root);
    put(&root, &file, FAR_FUTURE_NS);
    let before = fs::read(&file).unwrap();
    drop(StatCacheWriter::create(&file, &root, 0).unwrap());
    assert_eq!(fs::read(&file).unwrap(), before);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "a temporary file was left");
}

fn one_file(content: &[u8]) -> (tempfile::TempDir, Root, LogicalPath, FileStat) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    fs::write(dir.path().join("d/x"), content).unwrap();
    // A stamp in the past, so that any write gives another one.
    let old = SystemTime::now() - Duration::from_secs(100);
    fs::File::options()
        .write(true)
        .open(dir.path().join("d/x"))
        .unwrap()
        .set_times(FileTimes::new().set_modified(old))
        .unwrap();
    let root = Root::open(dir.path()).unwrap();
    let entry = entries(&root, &mut StatCache::empty()).remove(0);
    (dir, root, entry.path.clone(), stat(&entry))
}

fn is_change<T: std::fmt::Debug>(result: Result<T, Error>) {
    match result {
        Err(error @ Error::ChangedWhileReading { .. }) => assert!(error.is_retryable()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_changes_while_read_is_an_error() {
    let content = vec![7; 100_000];
    let open = |root: &Root, path: &LogicalPath, stat: &FileStat| {
        SourceFile::open(root, path, stat, Links::Follow)
    };
    let mut buffer = Vec::new();

    let (_dir, root, path, stat) = one_file(&content);
    let mut source = open(&root, &path, &stat).unwrap();
    source.read_to_end(&mut buffer).unwrap();
    assert_eq!(buffer, content);
    source.finish().unwrap();
    read_small(&root, &path, &stat, Links::Follow, &mut buffer).unwrap();
    assert_eq!(buffer, content);

    // Overwritten in place, same length, half-way through.
    let (dir, root, path, stat) = one_file(&content);
    let mut source = open(&root, &path, &stat).unwrap();
    source.read_exact(&mut [0; 1000]).unwrap();
    let mut file = fs::File::options().write(true).open(dir.path().join("d/x")).unwrap();
    file.write_all(&[8; 100_000]).unwrap();
    source.read_to_end(&mut Vec::new()).unwrap();
    is_change(source.finish());

    // Appended to: only the scanned length is read.
    let (dir, root, path, stat) = one_file(&content);
    let mut source = open(&root, &path, &stat).unwrap();
    fs::File::options()
        .append(true)
        .open(dir.path().join("d/x"))
        .unwrap()
        .write_all(b"more")
        .unwrap();
    buffer.clear();
    source.read_to_end(&mut buffer).unwrap();
    assert_eq!(buffer.len(), content.len());
    is_change(source.finish());

    // Cut short.
    let (dir, root, path, stat) = one_file(&content);
    let mut source = open(&root, &path, &stat).unwrap();
    fs::File::options().write(true).open(dir.path().join("d/x")).unwrap().set_len(10).unwrap();
    source.read_to_end(&mut Vec::new()).unwrap();
    is_change(source.finish());

    // Replaced before it is opened: by another file, by a link, by nothing.
    let (dir, root, path, stat) = one_file(&content);
    let file = dir.path().join("d/x");
    fs::copy(&file, dir.path().join("d/y")).unwrap();
    fs::rename(dir.path().join("d/y"), &file).unwrap();
    is_change(open(&root, &path, &stat));
    fs::remove_file(&file).unwrap();
    is_change(open(&root, &path, &stat));
    symlink("/etc/passwd", &file).unwrap();
    is_change(open(&root, &path, &stat));
    is_change(SourceFile::open(&root, &path, &stat, Links::Skip));
}

#[test]
fn a_directory_swapped_for_a_link_is_not_followed() {
    let (dir, root, path, stat) = one_file(b"inside");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x"), b"secret").unwrap();
    fs::rename(dir.path().join("d"), dir.path().join("moved")).unwrap();
    symlink(outside.path(), dir.path().join("d")).unwrap();
    for links in [Links::Follow, Links::Refuse, Links::Skip] {
        is_change(SourceFile::open(&root, &path, &stat, links));
    }
    // Even a link to the very same directory is followed by policy only.
    fs::remove_file(dir.path().join("d")).unwrap();
    symlink("moved", dir.path().join("d")).unwrap();
    assert!(SourceFile::open(&root, &path, &stat, Links::Follow).is_ok());
    is_change(SourceFile::open(&root, &path, &stat, Links::Skip));
}

#[test]
fn followed_links_and_single_files_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x"), b"content").unwrap();
    symlink("x", dir.path().join("link")).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    for at in [dir.path().to_owned(), dir.path().join("link")] {
        let root = Root::open(&at).unwrap();
        assert_eq!(root.is_single_file(), at.ends_with("link"));
        for entry in entries(&root, &mut StatCache::empty()) {
            assert!(stat(&entry).ctime_ns <= now);
            let mut buffer = vec![1];
            read_small(&root, &entry.path, &stat(&entry), Links::Follow, &mut buffer).unwrap();
            assert_eq!(buffer, b"content");
        }
    }
}

#[test]
fn a_spool_gives_back_the_scan_or_fails() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("d/empty")).unwrap();
    for n in 0..50 {
        fs::write(dir.path().join(format!("d/{n}")), format!("{n}")).unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    let mut all = entries(&root, &mut StatCache::empty());
    for entry in all.iter_mut().step_by(2) {
        if let ScanKind::File { known, .. } = &mut entry.kind {
            *known = Some(BlobId::of(entry.path.as_bytes()));
        }
    }
    let mut spool = SpoolWriter::new(Vec::new()).unwrap();
    all.iter().for_each(|entry| spool.push(entry).unwrap());
    assert!(matches!(spool.push(&all[0]), Err(Error::OutOfOrder { .. })));
    let bytes = spool.finish().unwrap();
    let back: Vec<_> = SpoolReader::new(&bytes[..]).unwrap().map(Result::unwrap).collect();
    assert_eq!(back, all);
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x10;
        let read = |bytes: &[u8]| SpoolReader::new(bytes)?.collect::<Result<Vec<_>, _>>();
        assert!(matches!(read(&bad), Err(Error::Corrupt { .. })), "byte {at}");
        assert!(matches!(read(&bytes[..at]), Err(Error::Corrupt { .. })), "cut at {at}");
    }
}
