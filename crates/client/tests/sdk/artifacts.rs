//! What each call on an artifact produces.

use std::io::Write;

use heirloom::{Artifact, Error};

use crate::Bench;

#[tokio::test]
async fn the_documented_table() {
    let bench = Bench::new();
    bench.write("model.h5", "weights");
    bench.write("images/cat.png", "cat");
    bench.write("images/sub/dog.png", "dog");
    let mut table = Vec::new();
    for n in 0..4 {
        let mut artifact = Artifact::new(format!("a{n}"), "t");
        match n {
            0 => artifact.add_file(bench.path("model.h5")),
            1 => artifact.add_file_as(bench.path("model.h5"), "models/mymodel.h5"),
            2 => artifact.add_dir(bench.path("images")),
            _ => artifact.add_dir_as(bench.path("images"), "images"),
        };
        let version = bench.log(artifact).await.unwrap();
        table.push(bench.paths(&version).await);
    }
    let expected: [&[&str]; 4] = [
        &["model.h5"],
        &["models/mymodel.h5"],
        &["cat.png", "sub/dog.png"],
        &["images/cat.png", "images/sub/dog.png"],
    ];
    assert_eq!(table, expected);
}

#[tokio::test]
async fn removing_nothing_is_an_error() {
    let bench = Bench::new();
    let mut artifact = Artifact::new("r", "t");
    // A later addition is not what an earlier remove speaks of.
    artifact.remove("two/nothing").add_bytes("two/nothing", "");
    let error = bench.log(artifact).await.unwrap_err();
    assert!(error.to_string().contains("`two/nothing`"), "{error}");
}

#[tokio::test]
async fn sources_are_merged_and_come_back() {
    let bench = Bench::new();
    bench.write("one/b.txt", "b");
    bench.write("one/sub/c.txt", "c");
    bench.write("two/a.txt", "a");
    bench.write("two/sub/d.txt", "d");
    bench.write("two/junk/x", "x");
    bench.write("big.bin", vec![7; 3 << 20]);
    let mut artifact = Artifact::new("mix", "t");
    artifact.add_dir(bench.path("one")).add_dir(bench.path("two")).add_file(bench.path("big.bin"));
    artifact.remove("junk").add_bytes("junk", "now a file");
    artifact.add_bytes("large-bytes", vec![9; 2 << 20]);
    let mut small = artifact.new_file("new/small.txt");
    write!(small, "line {}", 1).unwrap();
    small.close().unwrap();
    let mut large = artifact.new_file("new/large.bin");
    for _ in 0..3 {
        large.write_all(&vec![5; 1 << 20]).unwrap();
    }
    drop(large);
    let version = bench.log(artifact).await.unwrap();
    let expected = [
        "a.txt",
        "b.txt",
        "big.bin",
        "junk",
        "large-bytes",
        "new/large.bin",
        "new/small.txt",
        "sub/c.txt",
        "sub/d.txt",
    ];
    assert_eq!(bench.paths(&version).await, expected);
    assert_eq!(version.read("junk").await.unwrap(), b"now a file");
    assert_eq!(version.read("new/small.txt").await.unwrap(), b"line 1");
    assert_eq!(version.read("new/large.bin").await.unwrap(), vec![5; 3 << 20]);
    assert_eq!(version.read("large-bytes").await.unwrap(), vec![9; 2 << 20]);
    assert_eq!(version.size(), 1 + 1 + (3 << 20) + 10 + (2 << 20) + (3 << 20) + 6 + 1 + 1);
}

#[tokio::test]
async fn collisions_name_both() {
    let bench = Bench::new();
    bench.write("a/x.txt", "1");
    bench.write("b/x.txt", "1");
    let mut artifact = Artifact::new("c", "t");
    artifact.add_dir(bench.path("a")).add_dir(bench.path("b"));
    let error = bench.log(artifact).await.unwrap_err();
    let Error::Collision { path, first, second } = &error else { panic!("{error}") };
    assert_eq!(path, "x.txt");
    assert!(first.contains("a/x.txt") && second.contains("b/x.txt"), "{error}");

    // A file where another source needs a directory, with siblings sorted between.
    let mut artifact = Artifact::new("c", "t");
    artifact.add_bytes("x", "1").add_bytes("x-y", "2").add_bytes("x.z", "3").add_bytes("x/y", "4");
    let error = bench.log(artifact).await.unwrap_err();
    assert!(matches!(&error, Error::Collision { path, .. } if path == "x"), "{error}");
    assert!(bench.client.artifact("c").await.is_err(), "nothing was committed");
}

#[tokio::test]
async fn an_empty_directory_that_another_source_fills_is_not_empty() {
    let bench = Bench::new();
    for dir in ["a/sub", "a/both", "b/both"] {
        std::fs::create_dir_all(bench.path(dir)).unwrap();
    }
    bench.write("b/sub/file", "1");
    bench.write("b/sub-way", "2");
    let mut artifact = Artifact::new("dirs", "t");
    artifact.add_dir(bench.path("a")).add_dir(bench.path("b"));
    let version = bench.log(artifact).await.unwrap();
    assert_eq!(bench.paths(&version).await, ["both", "sub-way", "sub/file"]);
}

#[tokio::test]
async fn all_bad_inputs_are_named_at_once() {
    let bench = Bench::new();
    let mut artifact = Artifact::new("bad", "t");
    artifact
        .add_file(bench.path("missing.txt"))
        .add_dir(bench.path("missing-dir"))
        .add_bytes("../escape", "x")
        .add_file(bench.dir.path())
        .add_bytes("fine", "x");
    let open = artifact.new_file("open.txt");
    let error = bench.log(artifact).await.unwrap_err();
    drop(open);
    let Error::Files { problems, more: 0 } = &error else { panic!("{error}") };
    assert_eq!(problems.len(), 5, "{error}");
    for part in ["missing.txt", "missing-dir", "../escape", "is a directory", "open.txt"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}
