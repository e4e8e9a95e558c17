//! What a download writes, keeps and refuses.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::symlink;

use heirloom::core::ErrorCode;
use heirloom::{Artifact, LinkMode, Version};
use heirloom_testkit::fixtures;

use crate::{Bench, tree};

async fn animals(bench: &Bench) -> Version {
    let mut artifact = Artifact::new("animals", "dataset");
    artifact.add_bytes("cats/1.png", "one").add_bytes("cats/2.jpg", "two");
    artifact.add_bytes("cats-and-dogs.txt", "both").add_bytes("dogs/3.png", "three");
    artifact.add_bytes("large.bin", fixtures::bytes(3, (2 << 20) + 17));
    bench.log(artifact).await.unwrap()
}

fn names(bench: &Bench, dir: &str) -> Vec<String> {
    tree(&bench.path(dir)).into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn prefixes_and_globs_choose() {
    let bench = Bench::new();
    let version = animals(&bench).await;
    let got = version.download().root(bench.path("a")).prefix("cats").await.unwrap();
    assert_eq!((got.files, got.bytes), (2, 6));
    assert_eq!(names(&bench, "a"), ["cats/1.png", "cats/2.jpg"]);
    version.download().root(bench.path("b")).include("*.png").exclude("dogs/**").await.unwrap();
    assert_eq!(names(&bench, "b"), ["cats/1.png"]);
    let error = version.download().root(bench.path("c")).prefix("birds").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(!bench.path("c").exists());
    let error = version.download().root(bench.path("c")).prefix("../x").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Invalid);
}

#[tokio::test]
async fn what_is_right_is_kept_and_what_is_wrong_replaced() {
    let bench = Bench::new();
    let version = animals(&bench).await;
    let out = bench.path("out");
    let first = version.download().root(&out).await.unwrap();
    assert_eq!((first.written, first.kept, first.extras), (5, 0, 0));
    // Same size and time, other bytes: only hashing tells.
    let path = out.join("cats/1.png");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "ONE").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    fs::write(out.join("extra.txt"), "mine").unwrap();
    fs::create_dir(out.join("cats/empty")).unwrap();
    let second = version.download().root(&out).await.unwrap();
    assert_eq!((second.written, second.kept, second.extras), (1, 4, 2));
    assert_eq!(fs::read(&path).unwrap(), b"one");
    assert!(out.join("extra.txt").exists(), "extras are kept");

    let part = version.download().root(&out).prefix("dogs").mirror(true).await.unwrap();
    assert_eq!((part.kept, part.extras), (1, 2));
    assert!(!out.join("extra.txt").exists() && !out.join("cats/empty").exists());
    assert!(out.join("cats/2.jpg").exists(), "part of the version, though not asked for");
    assert!(version.verify(&out).await.unwrap().report.is_whole());
}

#[tokio::test]
async fn nothing_outside_the_root_is_touched() {
    let bench = Bench::new();
    let version = animals(&bench).await;
    let out = bench.path("out");
    fs::create_dir_all(&out).unwrap();
    fs::create_dir_all(bench.path("outside")).unwrap();
    symlink(bench.path("outside"), out.join("cats")).unwrap();
    let error = version.download().root(&out).await.unwrap_err();
    assert!(error.to_string().contains("cats"), "{error}");
    assert_eq!(fs::read_dir(bench.path("outside")).unwrap().count(), 0);
    // A link at a file's own place is replaced, not followed.
    fs::remove_dir_all(&out).unwrap();
    fs::create_dir_all(&out).unwrap();
    bench.write("outside/target", "keep me");
    symlink(bench.path("outside/target"), out.join("large.bin")).unwrap();
    version.download().root(&out).await.unwrap();
    assert_eq!(fs::read(bench.path("outside/target")).unwrap(), b"keep me");
    assert!(version.verify(&out).await.unwrap().report.is_whole());
}

#[tokio::test]
async fn link_modes() {
    let bench = Bench::new();
    let version = animals(&bench).await;
    let copied = version.download().root(bench.path("a")).link(LinkMode::Copy).await.unwrap();
    assert_eq!(copied.reflinked, 0);
    version.download().root(bench.path("b")).link(LinkMode::Reflink).await.unwrap();
    assert_eq!(tree(&bench.path("a")), tree(&bench.path("b")));
    let refused = version.download().root(bench.path("c")).link(LinkMode::Hardlink).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::Invalid);
}

#[tokio::test]
async fn a_damaged_object_is_named_and_leaves_no_file() {
    let bench = Bench::new();
    let version = animals(&bench).await;
    let mut damaged = 0;
    for (name, bytes) in tree(&bench.path("home/objects")) {
        let mut bytes = bytes;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        let path = bench.path("home/objects").join(name);
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        #[allow(clippy::permissions_set_readonly_false)]
        permissions.set_readonly(false);
        fs::set_permissions(&path, permissions).unwrap();
        fs::write(path, bytes).unwrap();
        damaged += 1;
    }
    assert_eq!(damaged, 1);
    let error = version.download().root(bench.path("out")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Corrupt, "{error}");
    assert!(error.to_string().contains("large.bin"), "{error}");
    assert!(!bench.path("out/large.bin").exists());
    let error = version.read("large.bin").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Corrupt, "{error}");
}

#[tokio::test]
async fn readers_stream_and_seek() {
    let bench = Bench::new();
    let version = animals(&bench).await;
    let all = fixtures::bytes(3, (2 << 20) + 17);
    let mut reader = version.open("large.bin").await.unwrap();
    assert_eq!(reader.size(), Some(all.len() as u64));
    tokio::task::spawn_blocking(move || {
        let mut piece = [0; 100];
        reader.seek(SeekFrom::Start(1_000_000)).unwrap();
        reader.read_exact(&mut piece).unwrap();
        assert_eq!(piece, all[1_000_000..1_000_100]);
        reader.seek(SeekFrom::End(-50)).unwrap();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, all[all.len() - 50..]);
        reader.rewind().unwrap();
        rest.clear();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, all);
        assert_eq!(reader.seek(SeekFrom::Start(1 << 40)).unwrap(), 1 << 40);
        assert_eq!(reader.read(&mut piece).unwrap(), 0);
    })
    .await
    .unwrap();
    assert_eq!(version.open("no/such").await.unwrap_err().code(), ErrorCode::NotFound);
    let mut small = version.open("cats/2.jpg").await.unwrap();
    tokio::task::spawn_blocking(move || {
        small.seek(SeekFrom::Start(1)).unwrap();
        let mut rest = String::new();
        small.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "wo");
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn files_are_paged() {
    let bench = Bench::new();
    let mut artifact = Artifact::new("many", "t");
    for n in 0..2500 {
        artifact.add_bytes(format!("{}/{n:04}", if n % 2 == 0 { "even" } else { "odd" }), "");
    }
    let version = bench.log(artifact).await.unwrap();
    assert_eq!(bench.paths(&version).await.len(), 2500);
    let mut odd = version.files().prefix("odd");
    let page = odd.next_page(10).await.unwrap();
    assert_eq!((page.len(), page[9].0.as_str()), (10, "odd/0019"));
    let mut left = 0;
    while odd.next().await.unwrap().is_some() {
        left += 1;
    }
    assert_eq!(left, 1240);
    assert!(version.entry("even/0000").await.unwrap().is_some());
    assert!(version.entry("even").await.unwrap().is_none());
}
