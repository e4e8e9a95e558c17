//! `FileHandler` on a real directory.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use futures::TryStreamExt;
use heirloom_manifest::{Algorithm, BlobId, PathError, Reference};
use heirloom_refs::{
    CheckOutcome, ExpandOptions, FileHandler, OpenOptions, PinKind, ReferenceUri, RefsError,
    Registry, VerifyingBody,
};
use heirloom_testkit::fixtures::{self, write_file};

fn registry() -> Registry {
    Registry::new().with(FileHandler::new())
}

async fn expand(
    path: &Path,
    options: &ExpandOptions,
) -> Result<Vec<(String, Reference)>, RefsError> {
    let uri = ReferenceUri::from_path(path).unwrap();
    let entries = registry().expand_all(&uri, options).await?;
    Ok(entries.into_iter().map(|(path, reference)| (path.to_string(), reference)).collect())
}

fn named(name: &str) -> ExpandOptions {
    ExpandOptions { name: Some(name.parse().unwrap()), ..ExpandOptions::default() }
}

fn names(entries: &[(String, Reference)]) -> Vec<&str> {
    entries.iter().map(|(path, _)| path.as_str()).collect()
}

#[tokio::test]
async fn a_file_lands_under_its_name_hashed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("my model #1.h5");
    fs::write(&path, b"weights").unwrap();
    let entries = expand(&path, &ExpandOptions::default()).await.unwrap();
    let (name, reference) = &entries[0];
    assert_eq!(name, "my model #1.h5");
    assert!(reference.uri.ends_with("/my%20model%20%231.h5"));
    assert_eq!(reference.size, Some(7));
    assert_eq!(reference.checksums, [BlobId::of(b"weights").into()]);
    let entries = expand(&path, &named("models/mymodel.h5")).await.unwrap();
    assert_eq!(names(&entries), ["models/mymodel.h5"]);
}

#[tokio::test]
async fn a_directory_expands_in_path_order_with_its_structure() {
    let dir = tempfile::tempdir().unwrap();
    // `a-b` sorts before `a/…` and `a.txt` in between: the order is that of bytes.
    for path in ["a/z", "a-b", "a.txt", "a/b/c", "B", "é"] {
        write_file(dir.path(), path, path.as_bytes()).unwrap();
    }
    fs::create_dir(dir.path().join("empty")).unwrap();
    let entries = expand(dir.path(), &ExpandOptions::default()).await.unwrap();
    let order = ["B", "a-b", "a.txt", "a/b/c", "a/z", "é"];
    assert_eq!(names(&entries), order);
    for (path, reference) in &entries {
        assert_eq!(reference.checksums, [BlobId::of(path.as_bytes()).into()]);
        assert_eq!(registry().check(reference).await.unwrap(), CheckOutcome::Same);
    }
    let entries = expand(dir.path(), &named("images")).await.unwrap();
    assert_eq!(names(&entries)[3], "images/a/b/c");
}

#[tokio::test]
async fn too_many_files_are_an_error_not_a_cut() {
    let dir = tempfile::tempdir().unwrap();
    fixtures::tree(dir.path(), 1, 12, 0..=3).unwrap();
    let limit = |max_objects| ExpandOptions { max_objects, ..ExpandOptions::default() };
    assert_eq!(expand(dir.path(), &limit(12)).await.unwrap().len(), 12);
    let error = expand(dir.path(), &limit(11)).await.unwrap_err();
    assert!(matches!(error, RefsError::TooManyObjects { at_least: 12, limit: 11, .. }));
    assert!(error.to_string().contains("at least 12") && error.to_string().contains("max_objects"));
}

#[tokio::test]
async fn checks_tell_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    fs::write(&path, b"one").unwrap();
    let (_, pinned) = expand(&path, &ExpandOptions::default()).await.unwrap().remove(0);
    let check = async || registry().check(&pinned).await.unwrap();
    assert_eq!(check().await, CheckOutcome::Same);
    fs::write(&path, b"two").unwrap();
    let blake3 = PinKind::Checksum(Algorithm::Blake3);
    assert!(matches!(check().await, CheckOutcome::Drifted { what, .. } if what == blake3));
    fs::write(&path, b"three").unwrap();
    assert!(matches!(check().await, CheckOutcome::Drifted { what: PinKind::Size, .. }));
    fs::remove_file(&path).unwrap();
    assert_eq!(check().await, CheckOutcome::Gone);
    let gone = expand(&path, &ExpandOptions::default()).await;
    assert!(matches!(gone, Err(RefsError::NotFound { .. })));
}

#[tokio::test]
async fn opening_verifies_and_may_start_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let content = fixtures::bytes(5, 2_500_000);
    fs::write(&path, &content).unwrap();
    let (_, pinned) = expand(&path, &ExpandOptions::default()).await.unwrap().remove(0);
    let options = OpenOptions { start: 1_234_567, ..OpenOptions::default() };
    let opened = registry().open(&pinned, &options).await.unwrap();
    assert_eq!(opened.length, Some(1_265_433));
    let read: Vec<_> = opened.body.try_collect().await.unwrap();
    assert_eq!(read.concat(), &content[1_234_567..]);
    let beyond = OpenOptions { start: 2_500_001, ..OpenOptions::default() };
    assert!(matches!(registry().open(&pinned, &beyond).await, Err(RefsError::BeyondEnd { .. })));

    // Same length, other bytes: only the hash tells, and it comes as an error.
    let mut changed = content;
    changed[2_000_000] ^= 1;
    fs::write(&path, &changed).unwrap();
    let opened = registry().open(&pinned, &OpenOptions::default()).await.unwrap();
    let mut body = VerifyingBody::new(&pinned, opened);
    let error = loop {
        match body.try_next().await {
            Ok(piece) => assert!(piece.is_some(), "ended without an error"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RefsError::DigestMismatch { .. }));
    assert!(body.verification().is_none());

    fs::write(&path, b"short").unwrap();
    let error = registry().open(&pinned, &OpenOptions::default()).await.unwrap_err();
    assert!(matches!(error, RefsError::Drifted { what: PinKind::Size, .. }));
    let options = OpenOptions { allow_drift: true, ..OpenOptions::default() };
    let opened = registry().open(&pinned, &options).await.unwrap();
    let mut body = VerifyingBody::new(&pinned, opened).ignoring_pins();
    while body.try_next().await.unwrap().is_some() {}
    let verification = body.verification().unwrap();
    assert_eq!(verification.blob, BlobId::of(b"short"));
    assert!(!verification.is_proven());
}

#[cfg(unix)]
#[tokio::test]
async fn special_files_and_links_to_directories_are_refused_by_name() {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    let refused = async |dir: &Path, name: &str, kind: &str| {
        let error = expand(dir, &ExpandOptions::default()).await.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(kind), "{error}");
    };
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("target"), b"x").unwrap();
    symlink("target", dir.path().join("link")).unwrap();
    let entries = expand(dir.path(), &ExpandOptions::default()).await.unwrap();
    assert_eq!(names(&entries), ["link", "target"]);
    assert_eq!(entries[0].1.checksums, entries[1].1.checksums);

    symlink(".", dir.path().join("loop")).unwrap();
    refused(dir.path(), "loop", "symbolic link to a directory").await;
    fs::remove_file(dir.path().join("loop")).unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    refused(dir.path(), "dangling", "dangling").await;
    fs::remove_file(dir.path().join("dangling")).unwrap();
    let socket = dir.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    refused(dir.path(), "socket", "a socket").await;
    refused(&socket, "socket", "a socket").await;
    refused(Path::new("/dev/null"), "null", "a device").await;
    let reference = Reference::new("file:///dev/zero");
    let opened = registry().open(&reference, &OpenOptions::default()).await;
    assert!(matches!(opened, Err(RefsError::NotRegular { kind: "a device", .. })));
}

#[cfg(unix)]
#[tokio::test]
async fn names_that_cannot_be_paths_are_refused() {
    use std::os::unix::ffi::OsStrExt;

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"bad\xff")), b"").unwrap();
    let error = expand(dir.path(), &ExpandOptions::default()).await.unwrap_err();
    assert!(matches!(error, RefsError::BadName { source: PathError::NotUtf8, .. }));

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("..\\up"), b"").unwrap();
    let error = expand(dir.path(), &ExpandOptions::default()).await.unwrap_err();
    assert!(matches!(error, RefsError::BadName { source: PathError::ParentSegment, .. }));

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("line\nbreak"), b"x").unwrap();
    let entries = expand(dir.path(), &ExpandOptions::default()).await.unwrap();
    assert_eq!(names(&entries), ["line\nbreak"]);
    assert_eq!(registry().check(&entries[0].1).await.unwrap(), CheckOutcome::Same);
}
