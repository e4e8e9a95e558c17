//! Parts of one version from many writers.

use heirloom::api::PartSetState;
use heirloom::core::{ErrorCode, OnConflict};
use heirloom::{Artifact, FinishOptions, UpsertOptions};

use crate::Bench;

fn part(files: &[(&str, &str)]) -> Artifact {
    let mut artifact = Artifact::new("table", "dataset");
    for (path, content) in files {
        artifact.add_bytes(*path, content);
    }
    artifact
}

#[tokio::test]
async fn runs_of_a_group_make_one_version_together() {
    let bench = Bench::new();
    let mut runs = Vec::new();
    for i in 0..3 {
        let run = bench.client.run("p").id(format!("w{i}")).group("job").start().await.unwrap();
        let own = format!("part-{i}");
        let report =
            run.upsert_artifact(part(&[(&own, &own), ("same", "same")]), None).await.unwrap();
        assert_eq!((report.part.part, report.part.distributed_id.as_str()), (i, "job"));
        assert_eq!(report.files, 2);
        assert_eq!(report.new_bytes, if i == 0 { 10 } else { 6 }, "what is known is not sent");
        runs.push(run);
    }
    let sets = runs[0].project().part_sets().await.unwrap();
    assert_eq!((sets[0].state, sets[0].parts, sets[0].files), (PartSetState::Open, 3, 6));
    let mut last = part(&[("summary", "all")]);
    last.description("nightly").tags(["good"]).metadata(serde_json::json!({"rows": 3}));
    let options = FinishOptions { aliases: vec!["best".into()], ..FinishOptions::default() };
    let table = runs[2].finish_artifact(last, options).await.unwrap();
    assert_eq!(table.name(), "table:v0");
    assert_eq!(bench.paths(&table).await, ["part-0", "part-1", "part-2", "same", "summary"]);
    assert_eq!(table.read("part-1").await.unwrap(), b"part-1");
    let doc = table.doc();
    assert_eq!(doc.description.as_deref(), Some("nightly"));
    assert_eq!(doc.metadata, Some(serde_json::json!({"rows": 3})));
    assert!(doc.aliases.iter().any(|alias| alias.as_str() == "best"));
    let mut made_by: Vec<String> =
        table.logged_by().await.unwrap().iter().map(|run| run.run.name.to_string()).collect();
    made_by.sort();
    assert_eq!(made_by, ["w0", "w1", "w2"]);
    // What comes later belongs to the next version.
    runs[0].upsert_artifact(part(&[("new", "new")]), None).await.unwrap();
    let next = runs[0].finish_artifact(part(&[]), None).await.unwrap();
    assert_eq!((next.name().as_str(), bench.paths(&next).await), ("table:v1", vec!["new".into()]));
    for run in runs {
        run.finish(0).await.unwrap();
    }
}

#[tokio::test]
async fn without_a_group_an_id_is_needed() {
    let bench = Bench::new();
    let project = bench.client.default_project();
    let error = project.upsert_artifact(part(&[("x", "1")]), None).await.unwrap_err();
    assert!(error.to_string().contains("there is no run"), "{error}");
    let run = bench.client.run("default").start().await.unwrap();
    let error = run.upsert_artifact(part(&[("x", "1")]), None).await.unwrap_err();
    assert!(error.to_string().contains("the run has no group"), "{error}");
    assert_eq!(error.code(), ErrorCode::Invalid);
    run.upsert_artifact(part(&[("x", "1")]), "job").await.unwrap();
    project.upsert_artifact(part(&[("y", "2")]), "job").await.unwrap();
    let error = project.finish_artifact(part(&[]), "jop").await.unwrap_err();
    assert_eq!(error.problem().unwrap().nearest, ["job"]);
    let table = project.finish_artifact(part(&[]), "job").await.unwrap();
    assert_eq!(bench.paths(&table).await, ["x", "y"]);
}

#[tokio::test]
async fn what_is_said_of_the_version_is_said_at_its_end() {
    let bench = Bench::new();
    let project = bench.client.default_project();
    let mut artifact = part(&[("x", "1")]);
    artifact.description("too early");
    let error = project.upsert_artifact(artifact, "job").await.unwrap_err();
    assert!(error.to_string().contains("when it is finished"), "{error}");
    project.upsert_artifact(part(&[("x", "1")]), "job").await.unwrap();
    let table = project.finish_artifact(part(&[]), "job").await.unwrap();
    let error = project.upsert_artifact(table.new_draft(), "job").await.unwrap_err();
    assert!(error.to_string().contains("draft"), "{error}");
}

#[tokio::test]
async fn a_contradiction_stays_until_somebody_settles_it() {
    let bench = Bench::new();
    let project = bench.client.default_project();
    project.upsert_artifact(part(&[("x", "1")]), "job").await.unwrap();
    project.upsert_artifact(part(&[("x", "2")]), "job").await.unwrap();
    let error = project.finish_artifact(part(&[]), "job").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
    assert!(error.to_string().contains("`x` is blake3:"), "{error}");
    project.abort_parts("table", "job").await.unwrap();
    let last = || UpsertOptions {
        id: Some("job".into()),
        on_conflict: Some(OnConflict::Last),
        ..UpsertOptions::default()
    };
    project.upsert_artifact(part(&[("x", "1")]), last()).await.unwrap();
    project.upsert_artifact(part(&[("x", "2")]), last()).await.unwrap();
    let table = project.finish_artifact(part(&[]), "job").await.unwrap();
    assert_eq!(table.read("x").await.unwrap(), b"2");
}

#[test]
fn parts_without_a_runtime() {
    let bench = Bench::new();
    let client = heirloom::blocking::Client::new(bench.client.clone()).unwrap();
    let run = client.start(client.run("default").group("job")).unwrap();
    run.upsert_artifact(part(&[("x", "1")]), None).unwrap();
    client.default_project().upsert_artifact(part(&[("y", "2")]), "job").unwrap();
    let table = run.finish_artifact(part(&[]), None).unwrap();
    assert_eq!(table.read("y").unwrap(), b"2");
}
