//! External references: added, downloaded, drifted.

use std::fs;

use heirloom::core::ErrorCode;
use heirloom::refs::ReferenceUri;
use heirloom::{Artifact, Entry};
use heirloom_testkit::{HttpServer, Route};

use crate::{Bench, tree};

fn file_uri(path: &std::path::Path) -> String {
    ReferenceUri::from_path(path).unwrap().as_str().to_owned()
}

#[tokio::test]
async fn a_directory_elsewhere_is_tracked_and_fetched() {
    let bench = Bench::new();
    bench.write("store/a.bin", "aaa");
    bench.write("store/deep/b.bin", "bb");
    let mut artifact = Artifact::new("refs", "t");
    artifact.add_reference(file_uri(&bench.path("store"))).name("ext");
    artifact.add_bytes("local", "here");
    let version = bench.log(artifact).await.unwrap();
    assert_eq!(bench.paths(&version).await, ["ext/a.bin", "ext/deep/b.bin", "local"]);
    assert_eq!(version.size(), 9);
    assert_eq!(version.read("ext/deep/b.bin").await.unwrap(), b"bb");

    let out = bench.path("out");
    let got = version.download().root(&out).await.unwrap();
    assert_eq!((got.files, got.written, got.unproven.len()), (3, 3, 0));
    assert_eq!(fs::read(out.join("ext/a.bin")).unwrap(), b"aaa");
    let again = version.download().root(&out).await.unwrap();
    assert_eq!((again.kept, again.written), (3, 0));

    bench.write("store/a.bin", "AAA");
    let fresh = bench.path("fresh");
    let error = version.download().root(&fresh).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Corrupt, "{error}");
    assert!(error.to_string().contains("a.bin"), "{error}");
    assert!(!fresh.join("ext/a.bin").exists());
    // Elsewhere: what the failed download had fetched and verified stays there.
    let fresh = bench.path("drifted");
    let drifted = version.download().root(&fresh).allow_drift(true).await.unwrap();
    assert_eq!(drifted.unproven.len(), 2);
    assert_eq!(fs::read(fresh.join("ext/a.bin")).unwrap(), b"AAA");
    assert!(tree(&fresh).iter().all(|(name, _)| !name.contains("tmp")));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_objects_are_pinned_by_what_the_server_tells() {
    let server = HttpServer::start();
    server.route("/data/model.h5", Route::content("weights").etag("\"one\""));
    let bench = Bench::new();
    let mut artifact = Artifact::new("web", "model");
    artifact.add_reference(server.url("/data/model.h5"));
    let version = bench.log(artifact.clone()).await.unwrap();
    let entry = version.entry("model.h5").await.unwrap();
    let Some(Entry::Reference(reference)) = entry else { panic!("{entry:?}") };
    assert_eq!(reference.etag.as_deref(), Some("\"one\""));
    assert_eq!(reference.size, Some(7));
    assert_eq!(bench.log(artifact.clone()).await.unwrap().name(), "web:v0", "nothing changed");

    let got = version.download().root(bench.path("out")).await.unwrap();
    assert_eq!(fs::read(bench.path("out/model.h5")).unwrap(), b"weights");
    assert_eq!(got.unproven.len(), 1, "no checksum was recorded");
    assert!(got.unproven[0].confirmed, "the server said that the tag still holds");

    server.route("/data/model.h5", Route::content("WEIGHTS").etag("\"two\""));
    let error = version.download().root(bench.path("other")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Corrupt, "{error}");
    assert!(!bench.path("other/model.h5").exists());
    assert_eq!(bench.log(artifact).await.unwrap().name(), "web:v1");
}

#[tokio::test]
async fn limits_and_secrets() {
    let bench = Bench::new();
    for n in 0..4 {
        bench.write(&format!("store/{n}"), "x");
    }
    let mut artifact = Artifact::new("many", "t");
    artifact.add_reference(file_uri(&bench.path("store"))).max_objects(3);
    let error = bench.log(artifact).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Invalid, "{error}");

    let mut artifact = Artifact::new("secret", "t");
    artifact.add_reference("https://me:hunter2@host/x");
    let error = bench.log(artifact).await.unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");

    let mut artifact = Artifact::new("unknown", "t");
    artifact.add_reference("dvc://somewhere/model").name("tracked");
    let version = bench.log(artifact).await.unwrap();
    let error = version.download().root(bench.path("out")).await.unwrap_err();
    assert!(error.to_string().contains("dvc"), "{error}");
}
