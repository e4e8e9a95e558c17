//! Which version gets which number, and what the handles do.

use heirloom::core::ErrorCode;
use heirloom::{Artifact, PutOptions};

use crate::Bench;

fn with(name: &str, content: &str) -> Artifact {
    let mut artifact = Artifact::new(name, "t");
    artifact.add_bytes("content", content);
    artifact
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_numbered_in_call_order_though_uploads_overlap() {
    let bench = Bench::new();
    let run = bench.client.run("p").start().await.unwrap();
    // The first takes longest, so that without order it would come last.
    let mut handles = Vec::new();
    for n in 0..8_usize {
        let mut artifact = Artifact::new("seq", "t");
        artifact.add_bytes("n", n.to_string());
        artifact.add_bytes("ballast", vec![n as u8; (8 - n) << 19]);
        handles.push(run.log_artifact(artifact));
    }
    for (n, handle) in handles.into_iter().enumerate().rev() {
        let version = handle.wait().await.unwrap();
        assert_eq!(version.name(), format!("seq:v{n}"));
        assert_eq!(version.read("n").await.unwrap(), n.to_string().as_bytes());
    }
    run.finish(0).await.unwrap();
}

#[tokio::test]
async fn content_compares_with_the_newest_only() {
    let bench = Bench::new();
    let mut names = Vec::new();
    for content in ["A", "A", "B", "A"] {
        names.push(bench.log(with("abc", content)).await.unwrap().name());
    }
    assert_eq!(names, ["abc:v0", "abc:v0", "abc:v1", "abc:v2"]);
    let project = bench.client.default_project();
    let options = PutOptions { force_new: true, ..Default::default() };
    let forced = project.put(with("abc", "A"), options).await.unwrap();
    assert_eq!((forced.committed.version.index.get(), forced.committed.created), (3, true));
}

#[tokio::test]
async fn aliases_come_with_the_commit_and_also_without_a_new_version() {
    let bench = Bench::new();
    let project = bench.client.default_project();
    let first = project.log_artifact(with("a", "1")).aliases(["best", "x"]).wait().await.unwrap();
    let aliases: Vec<_> = first.aliases().iter().map(|alias| alias.as_str()).collect();
    assert_eq!(aliases, ["best", "latest", "x"]);
    let same = project.log_artifact(with("a", "1")).aliases(["prod"]).wait().await.unwrap();
    assert_eq!(same.name(), "a:v0");
    assert!(same.aliases().iter().any(|alias| alias.as_str() == "prod"));
    let error = project.log_artifact(with("a", "2")).aliases(["v7"]).wait().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Invalid);
    // A failed log gives up its turn.
    assert_eq!(bench.log(with("a", "3")).await.unwrap().name(), "a:v1");
}

#[tokio::test]
async fn aliases_after_a_later_log_are_set_all_the_same() {
    let bench = Bench::new();
    let project = bench.client.default_project();
    let first = project.log_artifact(with("a", "1"));
    let second = project.log_artifact(with("a", "2"));
    let first = first.aliases(["early"]);
    assert_eq!(second.wait().await.unwrap().name(), "a:v1");
    let first = first.wait().await.unwrap();
    assert_eq!(first.name(), "a:v0");
    assert!(first.aliases().iter().any(|alias| alias.as_str() == "early"));
}

#[tokio::test]
async fn finishing_a_run_waits_for_dropped_handles_and_tells_their_failures() {
    let bench = Bench::new();
    let run = bench.client.run("p").start().await.unwrap();
    drop(run.log_artifact(with("dropped", "1")));
    let held = run.log_artifact(with("held", "1"));
    run.finish(0).await.unwrap();
    let project = bench.client.project("p").unwrap();
    assert_eq!(project.artifact("dropped:v0").await.unwrap().name(), "dropped:v0");
    assert_eq!(project.artifact("held:v0").await.unwrap().name(), "held:v0");
    held.wait().await.unwrap();

    let run = bench.client.run("p").start().await.unwrap();
    let mut bad = Artifact::new("bad", "t");
    bad.add_file(bench.path("missing"));
    drop(run.log_artifact(bad));
    let error = run.finish(0).await.unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    let doc = project.run(run.id().as_str()).await.unwrap().doc().clone();
    assert_eq!(doc.state, heirloom::core::RunState::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn separate_clients_of_one_home_share_one_sequence() {
    let bench = Bench::new();
    let mut tasks = Vec::new();
    for writer in 0..4 {
        let client = crate::open(bench.dir.path(), "home");
        tasks.push(tokio::spawn(async move {
            for n in 0..5 {
                let artifact = with("shared", &format!("{writer} {n}"));
                let logged = client.default_project().log_artifact(artifact);
                logged.wait().await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let versions = bench.client.default_project().versions("shared", false, None).await.unwrap();
    let indexes: Vec<u64> = versions.iter().map(|doc| doc.index.get()).collect();
    assert_eq!(indexes, (0..20).rev().collect::<Vec<_>>());
}

#[test]
fn the_blocking_calls_do_the_same() {
    let bench = Bench::new();
    let client = heirloom::blocking::Client::new(bench.client.clone()).unwrap();
    let run = client.start(client.run("p").job_type("load")).unwrap();
    let version = run.log_artifact(with("b", "1")).aliases(["x"]).wait().unwrap();
    assert_eq!(version.read("content").unwrap(), b"1");
    let used = run.use_artifact("b:x").unwrap();
    assert_eq!(used.name(), "b:v0");
    let got = version.download(|download| download.root(bench.path("out"))).unwrap();
    assert_eq!(got.files, 1);
    run.finish(0).unwrap();
}
