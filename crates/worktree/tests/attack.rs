//! What a hostile or merely odd directory may not achieve.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use heirloom_manifest::{BlobId, LogicalPath};
use heirloom_worktree::{
    Error, Expected, ExpectedKind, Links, NameMatching, ProblemKind, Root, ScanEntry, ScanKind,
    ScanOptions, SourceFile, StatCache, Writer, WriterOptions, read_small, remove_cache_leftovers,
    scan,
};

fn path(text: &str) -> LogicalPath {
    text.parse().unwrap()
}

fn file(name: &str, bytes: &[u8]) -> Result<Expected, Error> {
    let kind = ExpectedKind::File { blob: BlobId::of(bytes), size: bytes.len() as u64 };
    Ok(Expected { path: path(name), kind })
}

fn problems(root: &Root, options: &ScanOptions<'_>) -> Vec<(PathBuf, ProblemKind)> {
    let report =
        scan(root, options, &mut StatCache::empty(), |_: ScanEntry| Ok::<_, ()>(())).unwrap();
    report.problems.listed.into_iter().map(|problem| (problem.path, problem.kind)).collect()
}

/// Files of `/proc` have length 0 and content all the same.
#[test]
#[cfg(target_os = "linux")]
fn content_beyond_the_stated_length_is_a_change() {
    let root = Root::open(Path::new("/proc/version")).unwrap();
    let mut stat = None;
    scan(&root, &ScanOptions::default(), &mut StatCache::empty(), |entry| {
        if let ScanKind::File { stat: found, .. } = entry.kind {
            stat = Some(found);
        }
        Ok::<_, ()>(())
    })
    .unwrap();
    let stat = stat.unwrap();
    assert_eq!(stat.size, 0);
    let name = path("version");
    let read = read_small(&root, &name, &stat, Links::Follow, &mut Vec::new());
    assert!(matches!(read, Err(Error::ChangedWhileReading { .. })), "{read:?}");
    let source = SourceFile::open(&root, &name, &stat, Links::Follow).unwrap();
    assert!(matches!(source.finish(), Err(Error::ChangedWhileReading { .. })));
}

#[test]
fn links_that_multiply_a_tree_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let levels = 40;
    for level in 0..levels {
        let at = dir.path().join(format!("d{level:02}"));
        fs::create_dir(&at).unwrap();
        for name in ["a", "b"].iter().filter(|_| level + 1 < levels) {
            symlink(format!("../d{:02}", level + 1), at.join(name)).unwrap();
        }
    }
    let root = Root::open(dir.path()).unwrap();
    let found = problems(&root, &ScanOptions::default());
    let [(at, ProblemKind::LinksMultiply)] = &found[..] else { panic!("{found:?}") };
    assert!(at.starts_with("d00/a/a"), "{at:?}");

    // The end of the chain is a tree like any other.
    for level in 0..levels - 6 {
        fs::remove_dir_all(dir.path().join(format!("d{level:02}"))).unwrap();
    }
    assert_eq!(problems(&root, &ScanOptions::default()), []);
}

#[test]
fn directories_to_keep_out_are_problems_however_they_are_reached() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("sub/kept");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("catalog"), "x").unwrap();
    symlink("sub/kept", dir.path().join("link")).unwrap();
    let keep_out = [kept.clone(), dir.path().join("never-made")];
    let options = ScanOptions { keep_out: &keep_out, ..ScanOptions::default() };
    let found = problems(&Root::open(dir.path()).unwrap(), &options);
    let named = |path: &str| (PathBuf::from(path), ProblemKind::KeptOut);
    assert_eq!(found, [named("link"), named("sub/kept")]);
    assert_eq!(problems(&Root::open(&kept).unwrap(), &options), [named("")]);

    // Leaving it out is the way out.
    fs::write(dir.path().join(".heirloomignore"), "kept\nlink\n").unwrap();
    assert_eq!(problems(&Root::open(dir.path()).unwrap(), &options), []);
}

#[test]
fn errors_of_the_system_are_told_in_its_words() {
    let text = ProblemKind::System(rustix::io::Errno::MFILE.raw_os_error()).to_string();
    assert!(text.contains("Too many open files"), "{text}");
}

/// A directory with another mounted on it, until dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn bind(from: &Path, to: &Path) -> Option<Self> {
        let done = Command::new("mount").arg("--bind").args([from, to]).status();
        done.is_ok_and(|status| status.success()).then(|| Self(to.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Without the right to mount there is nothing to try.
#[test]
fn what_is_mounted_below_the_root_is_never_removed() {
    let precious = tempfile::tempdir().unwrap();
    fs::create_dir(precious.path().join("deep")).unwrap();
    fs::write(precious.path().join("deep/thing"), "x").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = WriterOptions { replace_obstacles: true, ..WriterOptions::default() };
    let writer = Writer::open(dir.path(), options).unwrap();

    // As an extra, at any depth.
    fs::create_dir_all(dir.path().join("extra/mnt")).unwrap();
    let Some(mounted) = Mounted::bind(precious.path(), &dir.path().join("extra/mnt")) else {
        return;
    };
    writer.write_small(&path("kept"), b"kept").unwrap();
    let keep = || [file("kept", b"kept")];
    assert_eq!(writer.extras(keep(), false, |_, _| {}).unwrap(), 4, "named all the same");
    let error = writer.extras(keep(), true, |_, _| {}).unwrap_err();
    let Error::MountPoint { path: at } = &error else { panic!("{error}") };
    assert_eq!(at, Path::new("extra/mnt"));
    drop(mounted);

    // Where a file must go.
    fs::create_dir(dir.path().join("model")).unwrap();
    let mounted = Mounted::bind(precious.path(), &dir.path().join("model")).unwrap();
    let error = writer.write_small(&path("model"), b"weights").unwrap_err();
    assert!(matches!(error, Error::MountPoint { .. }), "{error}");
    drop(mounted);
    assert_eq!(fs::read(precious.path().join("deep/thing")).unwrap(), b"x");
}

/// Such a file system keeps the old name: `README` is what was written as `readme`.
#[test]
fn a_folding_file_system_keeps_what_went_to_a_name_of_other_case() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("DOCS")).unwrap();
    for name in ["README", "DOCS/a", "DOCS/other"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let options = WriterOptions { names: NameMatching::Folding, ..WriterOptions::default() };
    let writer = Writer::open(dir.path(), options).unwrap();
    writer.check_name(&path("docs/a")).unwrap();
    writer.check_name(&path("readme")).unwrap();
    let mut extras = Vec::new();
    let keep = [file("docs/a", b"x"), file("readme", b"x")];
    writer.extras(keep, true, |path, _| extras.push(path.to_owned())).unwrap();
    assert_eq!(extras, [Path::new("DOCS/other")]);
    assert!(dir.path().join("README").exists() && dir.path().join("DOCS/a").exists());
}

#[test]
fn temporary_caches_of_killed_writers_go_when_they_are_old() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a1b2.stat", "a1b2.stat.17-0.tmp", "else.tmp"] {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let left = || {
        let names = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    remove_cache_leftovers(dir.path(), 1_000_000_000);
    assert_eq!(left().len(), 3, "they are younger");
    remove_cache_leftovers(dir.path(), i64::MAX);
    assert_eq!(left(), ["a1b2.stat", "else.tmp"]);
    remove_cache_leftovers(&dir.path().join("none"), i64::MAX);
}
