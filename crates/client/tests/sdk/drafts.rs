//! Drafts from a version: what they keep, what they refuse, what they cost.

use std::fs;

use heirloom::core::ErrorCode;
use heirloom::{Artifact, Error, IfBaseMoved, PutOptions, Version};

use crate::Bench;

async fn base(bench: &Bench) -> Version {
    let mut artifact = Artifact::new("data", "dataset");
    for n in 0..20 {
        artifact.add_bytes(format!("train/{n:02}"), format!("content {n}"));
    }
    artifact.add_bytes("train-more", "1").add_bytes("readme", "first").add_bytes("x/y/z", "deep");
    artifact.description("of cats").metadata(serde_json::json!({"rows": 20})).tags(["small"]);
    bench.log(artifact).await.unwrap()
}

async fn latest(bench: &Bench) -> Version {
    bench.client.artifact("data").await.unwrap()
}

#[tokio::test]
async fn a_draft_is_its_base_with_what_was_changed() {
    let bench = Bench::new();
    let v0 = base(&bench).await;
    bench.write("new/a/1", "one");
    bench.write("new/02", "replaced");
    let mut draft = v0.new_draft();
    draft.remove("x").remove("train/07").remove("train/08/");
    draft.add_dir_as(bench.path("new"), "train").add_bytes("readme", "second");
    draft.add_bytes("x", "a file where a directory was");
    let v1 = bench.log(draft).await.unwrap();
    assert_eq!(v1.name(), "data:v1");
    let mut expected = bench.paths(&v0).await;
    expected.retain(|path| !["train/07", "train/08", "x/y/z"].contains(&path.as_str()));
    expected.extend(["train/a/1".to_owned(), "x".to_owned()]);
    expected.sort();
    assert_eq!(bench.paths(&v1).await, expected);
    for (path, content) in
        [("train/02", "replaced"), ("readme", "second"), ("train/03", "content 3")]
    {
        assert_eq!(v1.read(path).await.unwrap(), content.as_bytes(), "{path}");
    }
    // It says of itself what its base said, but for labels.
    assert_eq!(v1.description(), Some("of cats"));
    assert_eq!(v1.metadata(), Some(&serde_json::json!({"rows": 20})));
    assert!(v1.tags().is_empty());
    assert!(v1.verify_stored().await.unwrap().damages.is_empty());

    // The same content as a put of the whole.
    let whole = v1.download().root(bench.path("out")).await.unwrap();
    let mut again = Artifact::without_type("data");
    again.add_dir(whole.root);
    assert_eq!(bench.log(again).await.unwrap().name(), "data:v1");
}

#[tokio::test]
async fn old_versions_are_edited_and_what_comes_to_the_same_is_unchanged() {
    let bench = Bench::new();
    let v0 = base(&bench).await;
    let project = bench.client.default_project();
    let mut draft = v0.new_draft();
    draft.add_bytes("readme", "second").description("better");
    let v1 = bench.log(draft.clone()).await.unwrap();
    assert_eq!(v1.description(), Some("better"));
    // Again from the same version: the newest has this content.
    let again = project.put(draft, PutOptions::default()).await.unwrap();
    assert!(!again.committed.created);
    assert_eq!(
        (again.committed.version.index.get(), again.new_bytes, again.stored_bytes),
        (1, 0, 0)
    );
    assert_eq!(again.files, 23);
    let mut nothing = v1.new_draft();
    nothing.add_bytes("readme", "second");
    assert_eq!(bench.log(nothing).await.unwrap().name(), "data:v1");
    // Nothing changed of an old version is a version like it, as a put would make.
    let back = bench.log(v0.new_draft()).await.unwrap();
    assert_eq!((back.name().as_str(), back.digest()), ("data:v2", v0.digest()));
}

#[tokio::test]
async fn what_is_not_there_is_named_and_nothing_is_committed() {
    let bench = Bench::new();
    let v0 = base(&bench).await;
    let mut draft = v0.new_draft();
    draft.remove("raedme").remove("train/99").remove("trai");
    let error = bench.log(draft).await.unwrap_err();
    let problem = error.problem().unwrap();
    assert_eq!(problem.code, ErrorCode::NotFound);
    assert_eq!(problem.items, ["raedme", "trai", "train/99"]);
    assert_eq!(problem.nearest, ["readme"]);
    let mut draft = v0.new_draft();
    draft.remove("x/y/zz");
    let error = bench.log(draft).await.unwrap_err();
    assert_eq!(error.to_string(), "path `x/y/zz` in `data:v0` does not exist");
    assert_eq!(error.problem().unwrap().nearest, ["x/y/z"]);
    // What is added and removed again needs no base.
    let mut draft = v0.new_draft();
    draft.add_bytes("passing", "1").remove("passing");
    assert_eq!(bench.log(draft).await.unwrap().name(), "data:v0");
    assert_eq!(latest(&bench).await.name(), "data:v0");
}

#[tokio::test]
async fn a_name_is_a_file_or_a_directory() {
    let bench = Bench::new();
    let v0 = base(&bench).await;
    fs::create_dir_all(bench.path("hollow/readme")).unwrap();
    type Change<'a> = &'a dyn Fn(&mut Artifact);
    let both = |change: Change<'_>| {
        let mut draft = v0.new_draft();
        change(&mut draft);
        draft
    };
    let refused: [(&str, Change<'_>); 4] = [
        ("readme", &|draft| {
            draft.add_bytes("readme/below", "1");
        }),
        ("train", &|draft| {
            draft.add_bytes("train", "1");
        }),
        ("x/y", &|draft| {
            draft.remove("train").add_bytes("x/y", "1");
        }),
        ("readme", &|draft| {
            draft.add_dir(bench.path("hollow"));
        }),
    ];
    for (name, change) in refused {
        let error = bench.log(both(change)).await.unwrap_err();
        assert!(matches!(&error, Error::FileAndDirectory { file, .. } if file == name), "{error}");
    }
    let mut draft = both(&|draft| {
        draft.remove("readme").remove("train").remove("train/01");
    });
    draft
        .add_bytes("readme/below", "1")
        .add_bytes("train", "1")
        .add_dir_as(bench.path("hollow"), "x");
    let v1 = bench.log(draft).await.unwrap();
    assert_eq!(
        bench.paths(&v1).await,
        ["readme/below", "train", "train-more", "x/readme", "x/y/z"]
    );
}

#[tokio::test]
async fn empty_directories_give_way_and_are_not_added_where_something_is() {
    let bench = Bench::new();
    for dir in ["a/b", "c", "d/e"] {
        fs::create_dir_all(bench.path("data").join(dir)).unwrap();
    }
    bench.write("data/f/g", "1");
    let mut artifact = Artifact::new("data", "dataset");
    artifact.add_dir(bench.path("data"));
    let v0 = bench.log(artifact).await.unwrap();
    assert_eq!(bench.paths(&v0).await, ["a/b", "c", "d/e", "f/g"]);
    fs::create_dir_all(bench.path("more/f")).unwrap();
    fs::create_dir_all(bench.path("more/h")).unwrap();
    let mut draft = v0.new_draft();
    draft.add_bytes("a/b/deep/file", "1").add_bytes("c-d", "1").add_bytes("c/x", "1");
    draft.add_dir(bench.path("more"));
    let v1 = bench.log(draft).await.unwrap();
    assert_eq!(bench.paths(&v1).await, ["a/b/deep/file", "c-d", "c/x", "d/e", "f/g", "h"]);
    // Where all is taken away, there may be an empty directory.
    let mut draft = v1.new_draft();
    draft.remove("f/g").add_dir(bench.path("more"));
    let v2 = bench.log(draft).await.unwrap();
    assert_eq!(bench.paths(&v2).await, ["a/b/deep/file", "c-d", "c/x", "d/e", "f", "h"]);
}

#[tokio::test]
async fn an_edit_costs_what_it_changes() {
    let bench = Bench::new();
    for n in 0..20_000 {
        bench.write(&format!("data/{:03}/{n:05}", n / 100), format!("content {n}"));
    }
    let mut artifact = Artifact::new("data", "dataset");
    artifact.add_dir(bench.path("data"));
    bench.log(artifact).await.unwrap();
    let v0 = latest(&bench).await;
    let mut draft = v0.new_draft();
    draft.add_bytes("100/10050", "changed").add_bytes("new", "1").remove("007/00700");
    let project = bench.client.default_project();
    let report = project.put(draft, PutOptions::default()).await.unwrap();
    assert_eq!((report.files, report.new_bytes), (20_000, 8));
    assert!(report.stored_bytes < 64 << 10, "{}", report.stored_bytes);
    let changes = v0.diff(&latest(&bench).await).await.unwrap().changes;
    assert_eq!(changes.len(), 3);
    let mut draft = latest(&bench).await.new_draft();
    draft.remove("100").remove("1001").add_bytes("zz", "1");
    assert!(bench.log(draft).await.is_err(), "there is no `1001`");
    let mut draft = latest(&bench).await.new_draft();
    draft.remove("100").remove("101/10100").remove("101");
    assert_eq!(bench.log(draft).await.unwrap().doc().files, 19_800);
}

#[tokio::test]
async fn a_base_that_moved_fails_or_is_followed() {
    let bench = Bench::new();
    base(&bench).await;
    let old = latest(&bench).await;
    let numbered = bench.client.artifact("data:v0").await.unwrap();
    let mut other = old.new_draft();
    other.add_bytes("other", "1").remove("train/00").description("by somebody else");
    bench.log(other).await.unwrap();

    let mut draft = old.new_draft();
    draft.add_bytes("mine", "1").remove("train/00").remove("train/01");
    let error = bench.log(draft.clone()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::BaseMoved);
    assert_eq!(error.problem().unwrap().found.as_deref(), Some("v1"));
    assert_eq!(latest(&bench).await.name(), "data:v1");
    draft.if_base_moved(IfBaseMoved::Rebase);
    let v2 = bench.log(draft.clone()).await.unwrap();
    assert_eq!(v2.name(), "data:v2");
    assert_eq!(v2.description(), Some("by somebody else"));
    let paths = bench.paths(&v2).await;
    for path in ["mine", "other"] {
        assert!(paths.contains(&path.to_owned()), "{paths:?}");
    }
    assert!(!paths.iter().any(|path| path == "train/00" || path == "train/01"));

    // A number never moves, and neither does what was not asked for by name.
    let mut fixed = numbered.new_draft();
    fixed.add_bytes("mine", "2");
    let v3 = bench.log(fixed).await.unwrap();
    assert!(!bench.paths(&v3).await.contains(&"other".to_owned()));
    let mut next = v2.new_draft();
    next.add_bytes("mine", "3");
    assert_eq!(bench.log(next).await.unwrap().name(), "data:v4");

    // What cannot be made of the new base is an error.
    let mut file = latest(&bench).await.new_draft();
    file.add_bytes("spot", "1").if_base_moved(IfBaseMoved::Rebase);
    let mut directory = latest(&bench).await.new_draft();
    directory.add_bytes("spot/below", "1");
    bench.log(directory).await.unwrap();
    let error = bench.log(file).await.unwrap_err();
    assert!(matches!(error, Error::FileAndDirectory { .. }), "{error}");
}

#[tokio::test]
async fn a_base_that_was_deleted_has_moved() {
    let bench = Bench::new();
    let v0 = base(&bench).await;
    let mut other = v0.new_draft();
    other.add_bytes("other", "1");
    bench.log(other).await.unwrap();
    let (old, numbered) = (latest(&bench).await, bench.client.artifact("data:v1").await.unwrap());
    old.delete(false).await.unwrap();

    let mut draft = old.new_draft();
    draft.add_bytes("mine", "1");
    let project = bench.client.default_project();
    let planned = project.plan(draft.clone(), PutOptions::default()).await.unwrap_err();
    for error in [bench.log(draft.clone()).await.unwrap_err(), planned] {
        assert_eq!(error.code(), ErrorCode::BaseMoved, "{error}");
        assert!(error.to_string().contains("began from v1, which was deleted"), "{error}");
        assert_eq!(error.problem().unwrap().found.as_deref(), Some("v0"));
    }
    let mut fixed = numbered.new_draft();
    fixed.add_bytes("mine", "1").if_base_moved(IfBaseMoved::Rebase);
    let error = bench.log(fixed).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.to_string().contains("`data:v1`"), "{error}");

    draft.if_base_moved(IfBaseMoved::Rebase);
    let v2 = bench.log(draft.clone()).await.unwrap();
    assert_eq!(v2.name(), "data:v2");
    let paths = bench.paths(&v2).await;
    assert!(paths.contains(&"mine".into()) && !paths.contains(&"other".into()), "{paths:?}");

    // Where nothing is left the alias is gone too.
    v2.delete(false).await.unwrap();
    v0.delete(false).await.unwrap();
    let error = bench.log(draft).await.unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[tokio::test]
async fn many_writers_of_one_alias_all_get_their_change_in() {
    let bench = Bench::new();
    base(&bench).await;
    let version = latest(&bench).await;
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let project = bench.client.default_project();
            let mut draft = version.new_draft();
            draft.add_bytes(format!("by/{n}"), "1").if_base_moved(IfBaseMoved::Rebase);
            tokio::spawn(async move { project.put(draft, PutOptions::default()).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    let last = latest(&bench).await;
    assert_eq!((last.name().as_str(), last.doc().files), ("data:v8", 31));
}

#[tokio::test]
async fn a_draft_belongs_where_its_base_is() {
    let bench = Bench::new();
    let v0 = base(&bench).await;
    let other = bench.client.project("other").unwrap();
    let mut draft = v0.new_draft();
    draft.add_bytes("readme", "second");
    let error = other.log_artifact(draft.clone()).wait().await.unwrap_err();
    assert!(error.to_string().contains("its own project"), "{error}");
    v0.link(&other, "registry", &[]).await.unwrap();
    let linked = other.artifact("registry").await.unwrap();
    let error = other.log_artifact(linked.new_draft()).wait().await.unwrap_err();
    assert!(error.to_string().contains("is a portfolio"), "{error}");
    // In a run the base is an input.
    let run = bench.client.run("default").start().await.unwrap();
    let v1 = run.log_artifact(draft).wait().await.unwrap();
    let (made, used) = run.versions().await.unwrap();
    let indexes = |list: &[heirloom::api::RunVersion]| -> Vec<u64> {
        list.iter().map(|version| version.version.index.get()).collect()
    };
    assert_eq!((indexes(&made), indexes(&used)), (vec![1], vec![0]));
    assert_eq!(v1.name(), "data:v1");
}

#[tokio::test]
async fn a_plan_says_what_a_draft_would_be() {
    let bench = Bench::new();
    let v0 = base(&bench).await;
    let project = bench.client.default_project();
    let mut draft = v0.new_draft();
    draft.add_bytes("readme", "second").remove("train");
    let plan = project.plan(draft.clone(), PutOptions::default()).await.unwrap();
    assert_eq!((plan.files, plan.unchanged), (3, false));
    assert_eq!(plan.newest.as_ref().unwrap().index.get(), 0);
    assert_eq!(latest(&bench).await.name(), "data:v0");
    assert_eq!(bench.log(draft).await.unwrap().digest(), plan.digest);
    let unchanged = project.plan(latest(&bench).await.new_draft(), PutOptions::default()).await;
    assert!(unchanged.unwrap().unchanged);
}
