//! Runs, edges, aliases and what can be asked.

use heirloom::api::{Expected, LineageNode};
use heirloom::core::{ErrorCode, RunState, VersionIndex};
use heirloom::{Artifact, Version};

use crate::Bench;

fn with(name: &str, content: &str) -> Artifact {
    let mut artifact = Artifact::new(name, "t");
    artifact.add_bytes("content", content);
    artifact
}

fn names(nodes: &[LineageNode]) -> Vec<String> {
    let mut names: Vec<String> = nodes
        .iter()
        .map(|node| match node {
            LineageNode::Run { display_name, .. } => display_name.clone(),
            LineageNode::Version { version, .. } => version.to_string(),
        })
        .collect();
    names.sort();
    names
}

/// raw → prepare → clean → train → model.
async fn pipeline(bench: &Bench) -> (Version, Version, Version) {
    let load = bench.client.run("p").name("load").job_type("load").start().await.unwrap();
    let raw = load.log_artifact(with("raw", "1")).wait().await.unwrap();
    load.finish(0).await.unwrap();
    let prepare = bench.client.run("p").name("prepare").group("g").start().await.unwrap();
    prepare.use_artifact("raw:latest").await.unwrap();
    let clean = prepare.log_artifact(with("clean", "2")).wait().await.unwrap();
    prepare.finish(0).await.unwrap();
    let train = bench.client.run("p").name("train").start().await.unwrap();
    train.use_artifact("clean").await.unwrap();
    let model = train.log_artifact(with("model", "3")).aliases(["prod"]).wait().await.unwrap();
    train.finish(3).await.unwrap();
    (raw, clean, model)
}

#[tokio::test]
async fn runs_record_what_they_used_and_made() {
    let bench = Bench::new();
    let (raw, clean, model) = pipeline(&bench).await;
    let made_by = clean.logged_by().await.unwrap();
    assert_eq!(made_by.len(), 1);
    assert_eq!(made_by[0].display_name, "prepare");
    assert_eq!(made_by[0].group.as_deref(), Some("g"));
    assert_eq!(made_by[0].provenance.host.as_deref(), Some("bench"));
    assert_eq!(made_by[0].provenance.command, ["test", "--all"]);
    let used_by = raw.used_by().await.unwrap();
    assert_eq!(used_by[0].display_name, "prepare");
    assert_eq!(model.logged_by().await.unwrap()[0].state, RunState::Failed);
    assert_eq!(model.logged_by().await.unwrap()[0].exit_code, Some(3));

    let up = model.lineage().up().await.unwrap();
    assert_eq!(
        names(&up.nodes),
        ["load", "p/clean:v0", "p/model:v0", "p/raw:v0", "prepare", "train"]
    );
    let near = model.lineage().up().depth(2).await.unwrap();
    assert_eq!(names(&near.nodes), ["p/clean:v0", "p/model:v0", "train"]);
    assert_eq!(names(&raw.impact(None).await.unwrap()), ["p/clean:v0", "p/model:v0"]);
    assert_eq!(names(&raw.impact(Some("prod")).await.unwrap()), ["p/model:v0"]);

    let project = bench.client.project("p").unwrap();
    assert_eq!(project.runs().await.unwrap().len(), 3);
    let run = project.run(made_by[0].run.name.as_str()).await.unwrap();
    let (produced, used) = run.versions().await.unwrap();
    assert_eq!(produced[0].version.to_string(), "p/clean:v0");
    assert_eq!(used[0].asked.as_deref(), Some("raw:latest"));
}

#[tokio::test]
async fn a_version_without_a_run_records_where_it_was_made() {
    let bench = Bench::new();
    let version = bench.log(with("alone", "1")).await.unwrap();
    assert_eq!(version.doc().actor, "tester");
    assert_eq!(version.doc().provenance.host.as_deref(), Some("bench"));
    assert_eq!(version.doc().provenance.command, ["test", "--all"]);
    assert!(version.logged_by().await.unwrap().is_empty());
}

#[tokio::test]
async fn whence_finds_a_file_by_its_content() {
    let bench = Bench::new();
    let (raw, _, _) = pipeline(&bench).await;
    let file = bench.write("somewhere/renamed.bin", "2");
    let answer = bench.client.whence(&file).await.unwrap();
    assert_eq!(answer.size, 1);
    assert_eq!(answer.found.len(), 1);
    let found = &answer.found[0];
    assert_eq!(found.version.as_ref().to_string(), "p/clean:v0");
    assert_eq!(found.path.as_str(), "content");
    assert_eq!(found.upstream, [raw.doc().as_ref()]);
    let unknown = bench.write("unknown", "never logged");
    assert!(bench.client.whence(unknown).await.unwrap().found.is_empty());
}

#[tokio::test]
async fn aliases_tags_and_words_can_be_edited() {
    let bench = Bench::new();
    let v0 = bench.log(with("a", "1")).await.unwrap();
    let v1 = bench.log(with("a", "2")).await.unwrap();
    v0.set_alias("prod", Expected::Absent).await.unwrap();
    let moved = v1.set_alias("prod", Expected::Is(VersionIndex::new(1))).await.unwrap_err();
    assert_eq!(moved.code(), ErrorCode::Conflict);
    assert_eq!(moved.problem().unwrap().found.as_deref(), Some("v0"));
    v1.set_alias("prod", Expected::Is(VersionIndex::new(0))).await.unwrap();
    let project = bench.client.default_project();
    assert_eq!(project.artifact("a:prod").await.unwrap().name(), "a:v1");
    project.remove_alias("a", "prod").await.unwrap();
    assert_eq!(project.artifact("a:prod").await.unwrap_err().code(), ErrorCode::NotFound);

    v1.tag(&["good"], &[]).await.unwrap();
    let request =
        heirloom::api::UpdateVersion { description: Some("better".into()), ..Default::default() };
    let updated = v1.update(request).await.unwrap();
    assert_eq!(updated.description(), Some("better"));
    assert_eq!(updated.tags()[0].as_str(), "good");
    assert_eq!(updated.digest(), v1.digest());

    let events = project.events("a", None, 100).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert!(kinds.contains(&"committed") && kinds.contains(&"alias_set"), "{kinds:?}");
}

#[tokio::test]
async fn collections_are_listed_renamed_linked_copied_and_deleted() {
    let bench = Bench::new();
    let v0 = bench.log(with("a", "1")).await.unwrap();
    bench.log(with("b", "1")).await.unwrap();
    let project = bench.client.default_project();
    let listed: Vec<String> =
        project.collections().await.unwrap().iter().map(|c| c.name.to_string()).collect();
    assert_eq!(listed, ["a", "b"]);
    project.rename_collection("a", "c").await.unwrap();
    assert_eq!(project.artifact("a:v0").await.unwrap().collection().as_str(), "c", "redirected");

    let registry = bench.client.project("registry").unwrap();
    let linked = v0.link(&registry, "models", &["staging"]).await.unwrap();
    assert_eq!(linked.doc().project.as_str(), "registry");
    assert_eq!(registry.artifact("models:staging").await.unwrap().doc().id, v0.doc().id);
    registry.unlink("models", linked.index()).await.unwrap();
    assert!(registry.artifact("models:staging").await.is_err());

    let copied = v0.copy_to(&registry, "copy", None).await.unwrap();
    assert!(copied.created);
    let copy = registry.artifact("copy").await.unwrap();
    assert_eq!(copy.digest(), v0.digest());
    assert_eq!(copy.read("content").await.unwrap(), b"1");

    let last = project.artifact("c:v0").await.unwrap();
    last.delete(false).await.unwrap();
    assert_eq!(project.artifact("c:v0").await.unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(bench.client.projects().await.unwrap().len(), 2);
    assert!(bench.client.verify().await.unwrap().damages.is_empty());
    let usage = bench.client.usage(Default::default(), None).await.unwrap();
    assert!(usage.stored > 0);
}

#[tokio::test]
async fn unknown_names_come_with_the_nearest() {
    let bench = Bench::new();
    bench.log(with("animals", "1")).await.unwrap();
    let error = bench.client.artifact("animols").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert_eq!(error.problem().unwrap().nearest, ["animals"]);
}
