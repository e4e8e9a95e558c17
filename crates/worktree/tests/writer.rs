//! Writing into a directory: nothing partial, nothing outside.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heirloom_manifest::{BlobId, LogicalPath};
use heirloom_worktree::{
    Error, Existing, Expected, ExpectedKind, Finding, LinkMode, NameMatching, NameRule, Placed,
    Writer, WriterOptions, verify_tree,
};
use proptest::prelude::*;
use tempfile::TempDir;

fn path(text: &str) -> LogicalPath {
    text.parse().unwrap()
}

fn writer(dir: &Path) -> Writer {
    Writer::open(dir, WriterOptions::default()).unwrap()
}

fn replacing(dir: &Path) -> Writer {
    Writer::open(dir, WriterOptions { replace_obstacles: true, ..WriterOptions::default() })
        .unwrap()
}

fn write(writer: &Writer, name: &str, bytes: &[u8]) -> Result<(), Error> {
    let mut file = writer.write_file(&path(name), &BlobId::of(bytes), bytes.len() as u64)?;
    file.add(bytes)?;
    file.commit()
}

/// All paths below `dir`, links not followed, sorted.
fn below(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(at) = todo.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let entry = entry.unwrap();
            all.push(entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            }
        }
    }
    all.sort();
    all
}

fn expected(names: &[(&str, &[u8])]) -> Vec<Result<Expected, Error>> {
    names
        .iter()
        .map(|(name, bytes)| {
            let kind = match name.strip_suffix('/') {
                Some(_) => ExpectedKind::EmptyDirectory,
                None => ExpectedKind::File { blob: BlobId::of(bytes), size: bytes.len() as u64 },
            };
            Ok(Expected { path: path(name.trim_end_matches('/')), kind })
        })
        .collect()
}

#[test]
fn files_and_directories_are_made_with_plain_modes() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("new/root");
    let files = Arc::new(AtomicU64::new(0));
    let bytes = Arc::new(AtomicU64::new(0));
    let (f, b) = (files.clone(), bytes.clone());
    let progress = Arc::new(move |files, bytes| {
        f.fetch_add(files, Ordering::Relaxed);
        b.fetch_add(bytes, Ordering::Relaxed);
    });
    let writer =
        Writer::open(&root, WriterOptions { progress: Some(progress), ..WriterOptions::default() })
            .unwrap();
    write(&writer, "a/b/c", b"one").unwrap();
    write(&writer, "a/b/d", b"").unwrap();
    writer.write_small(&path("top\nline"), b"two").unwrap();
    writer.make_empty_dir(&path("e/f")).unwrap();
    writer.flush_to_disk().unwrap();
    assert_eq!(below(&root), ["a", "a/b", "a/b/c", "a/b/d", "e", "e/f", "top\nline"]);
    assert_eq!(fs::read(root.join("a/b/c")).unwrap(), b"one");
    assert_eq!(fs::metadata(root.join("a/b/c")).unwrap().permissions().mode() & 0o133, 0);
    assert_eq!((files.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed)), (3, 6));
}

#[test]
fn wrong_bytes_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let writer = writer(dir.path());
    fs::write(dir.path().join("x"), b"old").unwrap();
    let blob = BlobId::of(b"right");
    let start = |size| writer.write_file(&path("x"), &blob, size).unwrap();

    let mut file = start(5);
    file.add(b"wrong").unwrap();
    assert!(
        matches!(file.commit(), Err(Error::DigestMismatch { expected, .. }) if expected == blob)
    );
    let mut file = start(5);
    file.add(b"righ").unwrap();
    assert!(matches!(file.commit(), Err(Error::SizeMismatch { expected: 5, actual: 4, .. })));
    let mut file = start(5);
    assert!(matches!(file.add(b"right!"), Err(Error::SizeMismatch { expected: 5, actual: 6, .. })));
    assert!(file.write_all(b"right!").is_err());
    drop(file);
    drop(start(5));
    assert_eq!(below(dir.path()), ["x"]);
    assert_eq!(fs::read(dir.path().join("x")).unwrap(), b"old");
    write(&writer, "x", b"right").unwrap();
    assert_eq!(fs::read(dir.path().join("x")).unwrap(), b"right");
}

#[test]
fn planted_links_are_replaced_or_refused_never_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), b"precious").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    symlink(outside.path().join("file"), at("final")).unwrap();
    symlink(outside.path().join("absent"), at("dangling")).unwrap();
    symlink(outside.path(), at("dir")).unwrap();
    fs::create_dir(at("sub")).unwrap();
    symlink(outside.path(), at("sub/dir")).unwrap();
    symlink("sub", at("inside")).unwrap();
    let w = writer(dir.path());
    write(&w, "final", b"new").unwrap();
    w.write_small(&path("dangling"), b"new").unwrap();
    for name in ["dir/file", "dir/new/deeper", "sub/dir/file", "inside/file"] {
        let link =
            if name.starts_with("sub") { "sub/dir" } else { name.split('/').next().unwrap() };
        match write(&w, name, b"evil") {
            Err(Error::LinkInTheWay { path }) => assert_eq!(path, PathBuf::from(link)),
            other => panic!("{name}: {other:?}"),
        }
        assert_ne!(
            w.verify_existing(&path(name), &BlobId::of(b"precious"), 8).unwrap(),
            Existing::Same
        );
    }
    assert!(w.make_empty_dir(&path("dir")).is_err());
    assert!(fs::symlink_metadata(at("final")).unwrap().is_file());
    assert!(fs::symlink_metadata(at("dangling")).unwrap().is_file());

    // Told to replace obstacles, it removes the links, not what they lead to.
    let w = replacing(dir.path());
    for name in ["dir/file", "sub/dir/file", "inside/file"] {
        write(&w, name, b"good").unwrap();
    }
    assert_eq!(below(outside.path()), ["file"]);
    assert_eq!(fs::read(outside.path().join("file")).unwrap(), b"precious");
    assert_eq!(
        below(dir.path()),
        [
            "dangling",
            "dir",
            "dir/file",
            "final",
            "inside",
            "inside/file",
            "sub",
            "sub/dir",
            "sub/dir/file"
        ]
    );
}

#[test]
fn obstacles_are_named_or_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), b"x").unwrap();
    fs::create_dir_all(at("d/deep/er")).unwrap();
    fs::write(at("d/deep/er/x"), b"x").unwrap();
    fs::create_dir(at("empty")).unwrap();
    let w = writer(dir.path());
    assert!(
        matches!(write(&w, "file/x", b"1"), Err(Error::FileInTheWay { path }) if path == Path::new("file"))
    );
    assert!(
        matches!(write(&w, "file/x/y/z", b"1"), Err(Error::FileInTheWay { path }) if path == Path::new("file"))
    );
    for name in ["d", "empty"] {
        assert!(
            matches!(write(&w, name, b"1"), Err(Error::DirectoryInTheWay { path }) if path == Path::new(name))
        );
        assert!(matches!(w.write_small(&path(name), b"1"), Err(Error::DirectoryInTheWay { .. })));
        assert_eq!(
            w.verify_existing(&path(name), &BlobId::of(b""), 0).unwrap(),
            Existing::Different
        );
    }
    assert_eq!(w.verify_existing(&path("file/x"), &BlobId::of(b""), 0).unwrap(), Existing::Absent);
    assert_eq!(below(dir.path()), ["d", "d/deep", "d/deep/er", "d/deep/er/x", "empty", "file"]);
    let w = replacing(dir.path());
    write(&w, "file/x/y", b"1").unwrap();
    write(&w, "d", b"1").unwrap();
    w.write_small(&path("empty"), b"1").unwrap();
    assert_eq!(below(dir.path()), ["d", "empty", "file", "file/x", "file/x/y"]);
}

#[test]
fn impossible_and_reserved_names_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let w = writer(dir.path());
    let long = format!("a/{}/b", "n".repeat(256));
    for (name, rule) in [
        (long.as_str(), NameRule::TooLong),
        (".heirloom-tmp-1-1", NameRule::Reserved),
        ("a/.heirloom-tmp-/x", NameRule::Reserved),
    ] {
        assert!(
            matches!(w.check_name(&path(name)), Err(Error::NameRefused { rule: found, .. }) if found == rule)
        );
        assert!(write(&w, name, b"x").is_err());
        assert!(w.make_empty_dir(&path(name)).is_err());
    }
    assert!(below(dir.path()).is_empty());
    write(&w, &"n".repeat(255), b"x").unwrap();
}

#[test]
fn a_folding_file_system_gets_no_silent_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let options = WriterOptions { names: NameMatching::Folding, ..WriterOptions::default() };
    let w = Writer::open(dir.path(), options).unwrap();
    write(&w, "README", b"1").unwrap();
    write(&w, "README", b"2").unwrap();
    write(&w, "Dir/x", b"3").unwrap();
    write(&w, "Dir/y", b"3").unwrap();
    for name in ["readme", "dir/z", "dir", "DIR/X"] {
        assert!(matches!(write(&w, name, b"4"), Err(Error::Collision { .. })), "{name}");
    }
    assert_eq!(below(dir.path()), ["Dir", "Dir/x", "Dir/y", "README"]);
    // The usual file system here tells them apart, as the probe finds out.
    let exact = tempfile::tempdir().unwrap();
    let w = writer(exact.path());
    write(&w, "README", b"1").unwrap();
    write(&w, "readme", b"1").unwrap();
    assert_eq!(below(exact.path()), ["README", "readme"]);
}

#[test]
fn existing_files_are_judged_by_their_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let w = writer(dir.path());
    fs::write(dir.path().join("x"), b"12345").unwrap();
    symlink("x", dir.path().join("link")).unwrap();
    let check = |name: &str, bytes: &[u8]| {
        w.verify_existing(&path(name), &BlobId::of(bytes), bytes.len() as u64).unwrap()
    };
    assert_eq!(check("x", b"12345"), Existing::Same);
    assert_eq!(check("x", b"12346"), Existing::Different);
    assert_eq!(check("x", b"1234"), Existing::Different);
    assert_eq!(check("link", b"12345"), Existing::Different);
    assert_eq!(check("absent", b"12345"), Existing::Absent);
    assert_eq!(check("no/such/dir", b"12345"), Existing::Absent);
}

#[test]
fn a_removed_directory_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let w = writer(dir.path());
    write(&w, "a/b/x", b"1").unwrap();
    fs::remove_dir_all(dir.path().join("a")).unwrap();
    write(&w, "a/b/y", b"1").unwrap();
    assert_eq!(below(dir.path()), ["a", "a/b", "a/b/y"]);
}

#[test]
fn clones_copies_and_links_are_verified() {
    let cache = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let w = writer(dir.path());
    let content = vec![5; 3_000_000];
    let blob = BlobId::of(&content);
    let size = content.len() as u64;
    let source = cache.path().join("object");
    fs::write(&source, &content).unwrap();
    let file = fs::File::open(&source).unwrap();
    for mode in [LinkMode::Reflink, LinkMode::Copy, LinkMode::Hardlink] {
        let placed = w.place(&path("d/placed"), &file, &blob, size, mode).unwrap();
        assert!(matches!(placed, Placed::Copied | Placed::Reflinked));
        assert!(mode != LinkMode::Copy || placed == Placed::Copied);
        assert_eq!(fs::read(dir.path().join("d/placed")).unwrap(), content);
        assert_eq!(fs::metadata(dir.path().join("d/placed")).unwrap().nlink(), 1);
        let other = BlobId::of(b"other");
        assert!(matches!(
            w.place(&path("bad"), &file, &other, size, mode),
            Err(Error::DigestMismatch { .. })
        ));
        assert!(matches!(
            w.place(&path("bad"), &file, &blob, size + 1, mode),
            Err(Error::SizeMismatch { .. })
        ));
        assert!(matches!(
            w.place(&path("bad"), &file, &blob, size - 1, mode),
            Err(Error::SizeMismatch { .. })
        ));
    }
    assert!(matches!(w.link(&path("l"), &source, &blob, size), Err(Error::WritableSource { .. })));
    fs::set_permissions(&source, fs::Permissions::from_mode(0o444)).unwrap();
    for _ in 0..2 {
        // The second time the final name is the same file already.
        assert_eq!(w.link(&path("l"), &source, &blob, size).unwrap(), Placed::Hardlinked);
    }
    assert_eq!(
        fs::metadata(dir.path().join("l")).unwrap().ino(),
        fs::metadata(&source).unwrap().ino()
    );
    assert!(matches!(
        w.link(&path("m"), &source, &BlobId::of(b""), size),
        Err(Error::DigestMismatch { .. })
    ));
    assert!(matches!(w.link(&path("m"), &source, &blob, 3), Err(Error::SizeMismatch { .. })));
    let link = cache.path().join("planted");
    symlink(&source, &link).unwrap();
    assert!(w.link(&path("m"), &link, &blob, size).is_err());
    assert_eq!(below(dir.path()), ["d", "d/placed", "l"]);
    assert_eq!(fs::metadata(&source).unwrap().nlink(), 2);
}

fn cluttered() -> (TempDir, TempDir) {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), b"x").unwrap();
    let dir = tempfile::tempdir().unwrap();
    for name in ["a/keep", "a/extra", "a.txt", "gone/deep/x", "e/inside", "keepdir/x", "b"] {
        let at = dir.path().join(name);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, name).unwrap();
    }
    fs::create_dir(dir.path().join("gone/empty")).unwrap();
    fs::create_dir(dir.path().join("a-empty")).unwrap();
    symlink(outside.path(), dir.path().join("link")).unwrap();
    symlink(outside.path(), dir.path().join("gone/link")).unwrap();
    (dir, outside)
}

#[test]
fn extras_are_listed_or_removed_and_links_are_not_followed() {
    let (dir, outside) = cluttered();
    let w = writer(dir.path());
    let keep = || {
        expected(&[
            ("a/keep", b""),
            ("a/missing", b""),
            ("b", b""),
            ("e/", b""),
            ("keepdir/x", b""),
        ])
    };
    let extras = |remove| {
        let mut found = Vec::new();
        let count = w
            .extras(keep(), remove, |path, dir| {
                found.push(format!("{}{}", path.display(), if dir { "/" } else { "" }));
            })
            .unwrap();
        assert_eq!(count, found.len() as u64);
        found
    };
    let all = [
        "a-empty/",
        "a.txt",
        "a/extra",
        "e/inside",
        "gone/deep/x",
        "gone/deep/",
        "gone/empty/",
        "gone/link",
        "gone/",
        "link",
    ];
    let before = below(dir.path());
    assert_eq!(extras(false), all);
    assert_eq!(below(dir.path()), before);
    assert_eq!(extras(true), all);
    assert_eq!(below(dir.path()), ["a", "a/keep", "b", "e", "keepdir", "keepdir/x"]);
    assert_eq!(extras(true), Vec::<String>::new());
    assert_eq!(below(outside.path()), ["precious"]);
    let wrong_order = expected(&[("b", b""), ("a", b"")]);
    assert!(matches!(w.extras(wrong_order, false, |_, _| {}), Err(Error::OutOfOrder { .. })));
}

#[test]
fn verification_names_every_difference() {
    let (dir, _outside) = cluttered();
    let wanted = expected(&[
        ("a/absent", b""),
        ("a/extra", b"other!!"),
        ("a/keep", b"a/keep"),
        ("a-empty/", b""),
        ("b/below", b""),
        ("e", b""),
        ("gone/deep/x", b"gone/deep/x, longer"),
        ("link", b"x"),
    ]);
    let mut wanted: Vec<_> = wanted.into_iter().map(Result::unwrap).collect();
    wanted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut found = Vec::new();
    let report = verify_tree(dir.path(), wanted.into_iter().map(Ok::<_, Error>), |finding| {
        found.push(finding)
    })
    .unwrap();
    let extra = |name: &str, directory| Finding::Extra { path: name.into(), directory };
    let different = |name: &str, actual| Finding::Different { path: path(name), actual };
    assert_eq!(
        found,
        [
            extra("a.txt", false),
            Finding::Missing(path("a/absent")),
            different("a/extra", Some(BlobId::of(b"a/extra"))),
            extra("b", false),
            Finding::Missing(path("b/below")),
            different("e", None),
            extra("e/inside", false),
            extra("e", true),
            different("gone/deep/x", None),
            extra("gone/empty", true),
            extra("gone/link", false),
            extra("keepdir/x", false),
            extra("keepdir", true),
            different("link", None),
        ]
    );
    assert_eq!((report.same, report.missing, report.different, report.extra), (2, 2, 4, 8));
    assert!(!report.is_whole());
    assert!(verify_tree(&dir.path().join("no"), expected(&[]), |_| {}).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever was there: after writing and mirroring, the directory is
    /// exactly what was asked for.
    #[test]
    fn mirroring_gives_exactly_the_entries(
        before in prop::collection::vec("[ab]{1,2}(/[ab-]{1,2}){0,2}", 0..10),
        wanted in prop::collection::btree_map("[ab]{1,2}(/[ab-]{1,2}){0,2}", "[xy]{0,3}", 0..10),
    ) {
        let dir = tempfile::tempdir().unwrap();
        for name in before {
            let at = dir.path().join(name);
            if fs::create_dir_all(at.parent().unwrap()).is_ok() {
                let _ = fs::write(at, b"before");
            }
        }
        // No entry may lie below another.
        let names: Vec<String> = wanted.keys().cloned().collect();
        let wanted: Vec<(&str, &[u8])> = wanted
            .iter()
            .filter(|(name, _)| !names.iter().any(|other| name.starts_with(&format!("{other}/"))))
            .map(|(name, bytes)| (name.as_str(), bytes.as_bytes()))
            .collect();
        let w = replacing(dir.path());
        for (name, bytes) in &wanted {
            write(&w, name, bytes).unwrap();
        }
        w.extras(expected(&wanted), true, |_, _| {}).unwrap();
        let report = verify_tree(dir.path(), expected(&wanted), |_| {}).unwrap();
        prop_assert!(report.is_whole());
        prop_assert_eq!((report.same, report.extra), (wanted.len() as u64, 0));
    }
}

/// A directory is swapped for a link to outside, over and over, while files are
/// written below it: errors are fine, bytes outside are not.
#[test]
fn a_directory_swapped_for_a_link_while_writing_lets_nothing_out() {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("sub")).unwrap();
    fs::write(outside.path().join("f7"), b"precious").unwrap();
    for replace in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("d/sub")).unwrap();
        let stop = AtomicBool::new(false);
        let swaps = AtomicU64::new(0);
        let written = std::thread::scope(|scope| {
            scope.spawn(|| {
                let (d, aside) = (dir.path().join("d"), dir.path().join("aside"));
                while !stop.load(Ordering::Relaxed) {
                    if fs::rename(&d, &aside).is_ok() && symlink(outside.path(), &d).is_ok() {
                        swaps.fetch_add(1, Ordering::Relaxed);
                    }
                    let _ = fs::remove_file(&d);
                    let _ = fs::remove_dir_all(&d);
                    let _ = fs::rename(&aside, &d);
                }
            });
            let mut written = 0;
            let mut round = 0;
            while round < 100 || swaps.load(Ordering::Relaxed) < 50 {
                // A new writer each time holds no handles from before the swap.
                let w = if replace { replacing(dir.path()) } else { writer(dir.path()) };
                for n in 0..10 {
                    written += u64::from(w.write_small(&path(&format!("d/f{n}")), b"evil").is_ok());
                    written += u64::from(write(&w, &format!("d/sub/f{n}"), b"evil").is_ok());
                }
                let _ = w.make_empty_dir(&path(&format!("d/new{round}")));
                if round % 8 == 0 {
                    let _ = w.extras(expected(&[]), true, |_, _| {});
                }
                round += 1;
            }
            stop.store(true, Ordering::Relaxed);
            written
        });
        assert!(written > 0, "nothing could be written at all");
        assert_eq!(below(outside.path()), ["f7", "sub"]);
        assert_eq!(fs::read(outside.path().join("f7")).unwrap(), b"precious");
    }
}

#[test]
fn threads_share_a_writer() {
    let dir = tempfile::tempdir().unwrap();
    let w = writer(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let w = w.clone();
            scope.spawn(move || {
                for n in 0..200 {
                    let name = format!("{}/{}/{thread}-{n}", n % 7, n % 3);
                    w.write_small(&path(&name), name.as_bytes()).unwrap();
                }
            });
        }
    });
    let files: Vec<String> =
        below(dir.path()).into_iter().filter(|p| p.matches('/').count() == 2).collect();
    assert_eq!(files.len(), 800);
    for file in files {
        assert_eq!(fs::read(dir.path().join(&file)).unwrap(), file.as_bytes());
    }
}
