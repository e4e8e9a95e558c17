//! The operations end to end.

use heirloom_api::{
    Backend, BlobKind, Commit, Committed, Delete, Expected, LineageNode, LineageQuery,
    ListVersions, ProjectRef, Restore, StartRun, Towards, UpdateCollection, UsageBy,
};
use heirloom_core::{
    Alias, Caller, EntityName, ErrorCode, Grant, ProjectName, Provenance, Role, RunId, VersionIndex,
};
use heirloom_manifest::{BlobId, Discard, TreeBuilder};
use heirloom_repository::RepositoryBackend;

use crate::support::*;

async fn log_twice(
    backend: &RepositoryBackend,
    project: &ProjectRef,
    collection: &str,
    files: &[(&str, &[u8])],
    run: Option<RunId>,
) -> Committed {
    let commit = sent(backend, project, collection, files, run).await;
    let done = backend.commit(commit.clone()).await.unwrap().unwrap();
    // A lost reply: the same key answers the same, though the draft is gone.
    assert_eq!(backend.commit(commit).await.unwrap().unwrap(), done);
    done
}

#[tokio::test]
async fn what_is_logged_is_read_and_numbered() {
    both(async |repository| {
        let backend = repository.as_caller(Caller::owner("ann"));
        let p = project("default");
        let cat: (&str, &[u8]) = ("cat.png", b"cat");
        let v0 = log_twice(&backend, &p, "animals", &[cat], None).await;
        assert!(v0.created && v0.version.index == VersionIndex::ZERO);
        let v1 = log_twice(&backend, &p, "animals", &[cat, ("dog.png", b"dog")], None).await;
        assert_eq!(v1.version.index.get(), 1);
        let again = log_twice(&backend, &p, "animals", &[cat, ("dog.png", b"dog")], None).await;
        assert!(!again.created && again.version.index.get() == 1);
        let back = log_twice(&backend, &p, "animals", &[cat], None).await;
        assert!(back.created && back.version.index.get() == 2, "A, B, A is v0, v1, v2");

        assert_eq!(resolve(&backend, "animals").await.index.get(), 2);
        let by_digest = resolve(&backend, &format!("animals@{}", v1.digest)).await;
        assert_eq!(by_digest.index.get(), 1);
        let page = backend.entries(v1.version.id, String::new(), None, 1).await.unwrap();
        assert_eq!(page.entries[0].0.as_str(), "cat.png");
        let rest = backend.entries(v1.version.id, String::new(), page.next, 10).await.unwrap();
        assert_eq!(rest.entries[0].0.as_str(), "dog.png");
        let mut downloader = backend.downloader(v1.version.id).await.unwrap();
        let mut seen = Vec::new();
        downloader
            .read_small(&[(BlobId::of(b"dog"), 3), (BlobId::of(b"cat"), 3)], &mut |at, bytes| {
                seen.push((at, bytes.to_vec()));
                Ok(())
            })
            .unwrap();
        seen.sort();
        assert_eq!(seen, [(0, b"dog".to_vec()), (1, b"cat".to_vec())]);

        let report = backend.verify(None).await.unwrap();
        assert_eq!((report.versions, report.damages), (3, vec![]));
        let list = ListVersions { limit: 2, ..ListVersions::default() };
        let versions = backend.versions(p.clone(), name("animals"), list).await.unwrap();
        assert_eq!(versions.iter().map(|v| v.version.as_str()).collect::<Vec<_>>(), ["v2", "v1"]);
        let usage = backend.usage(UsageBy::Version, None).await.unwrap();
        assert_eq!(usage.distinct, 6);
        assert_eq!(usage.rows.iter().map(|row| row.unique).collect::<Vec<_>>(), [0, 3, 0]);
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_lacks_a_byte_does_not_happen() {
    both(async |repository| {
        let backend = repository.as_caller(Caller::owner("ann"));
        let p = project("default");
        let (root, nodes) = tree(&[("a", b"here"), ("b", b"missing")]);
        let draft = begin(&backend, &p, "x").await;
        let mut uploader = backend.uploader(draft).await.unwrap();
        uploader.add(BlobKind::Content, b"here").unwrap();
        for (_, bytes) in nodes.iter() {
            uploader.add(BlobKind::Node, bytes).unwrap();
        }
        uploader.flush().unwrap();
        let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
        let problem = backend.commit(commit.clone()).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::Invalid);
        assert_eq!(problem.items, [BlobId::of(b"missing").to_string()]);
        // Content of another project is missing too: possession is per project.
        log_twice(&backend, &project("other"), "y", &[("b", b"missing")], None).await;
        assert!(backend.commit(commit.clone()).await.is_err());
        uploader.add(BlobKind::Content, b"missing").unwrap();
        uploader.flush().unwrap();
        assert!(backend.commit(commit).await.unwrap().unwrap().created);
        backend.abort_draft(draft).await.unwrap();
        let fenced = uploader.claim(&[BlobId::of(b"here")]).unwrap_err();
        assert_eq!(fenced.code, ErrorCode::Fenced);
    })
    .await;
}

#[tokio::test]
async fn lineage_and_whence_follow_runs() {
    both(async |repository| {
        let backend = repository.as_caller(Caller::owner("ann"));
        let p = project("default");
        let provenance =
            Provenance { git_commit: Some("c0ffee".to_owned()), ..Provenance::default() };
        let start = |job: &str| StartRun {
            project: p.clone(),
            name: None,
            display_name: None,
            job_type: Some(job.to_owned()),
            group: None,
            config: None,
            provenance: provenance.clone(),
        };
        let prepare = backend.start_run(start("prepare")).await.unwrap().run;
        let raw = log_twice(&backend, &p, "raw", &[("data.csv", b"1,2")], Some(prepare.id)).await;
        let train = backend.start_run(start("train")).await.unwrap().run;
        backend.use_version(train.id, raw.version.id, "raw:latest".to_owned()).await.unwrap();
        let model =
            log_twice(&backend, &p, "model", &[("w.bin", b"weights")], Some(train.id)).await;
        // A second run that logs the same content becomes a producer too.
        let again = backend.start_run(start("train")).await.unwrap().run;
        let same = log_twice(&backend, &p, "model", &[("w.bin", b"weights")], Some(again.id)).await;
        assert!(!same.created);
        assert_eq!(backend.version_runs(model.version.id).await.unwrap().0.len(), 2);

        let query = LineageQuery { start: model.version.id, towards: Towards::Up, depth: None };
        let lineage = backend.lineage(query).await.unwrap();
        let versions =
            lineage.nodes.iter().filter(|node| matches!(node, LineageNode::Version { .. })).count();
        assert_eq!((versions, lineage.nodes.len(), lineage.edges.len()), (2, 5, 4));

        let found = backend.whence(BlobId::of(b"weights"), 7).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path.as_str(), "w.bin");
        assert_eq!(found[0].version.name.as_str(), "model");
        assert_eq!(found[0].upstream[0].name.as_str(), "raw");
        assert_eq!(found[0].provenance.git_commit.as_deref(), Some("c0ffee"));
        assert!(backend.whence(BlobId::of(b"unknown"), 7).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn names_move_and_versions_are_copied_linked_and_deleted() {
    both(async |repository| {
        let backend = repository.as_caller(Caller::owner("ann"));
        let p = project("default");
        let v0 = log_twice(&backend, &p, "m", &[("w", b"0")], None).await;
        log_twice(&backend, &p, "m", &[("w", b"1")], None).await;
        let prod = Alias::new("prod").unwrap();
        let doc = resolve(&backend, "m:v0").await;
        backend.set_alias(doc, prod.clone(), Expected::Absent).await.unwrap();
        let newer = resolve(&backend, "m:v1").await;
        let expected = Expected::Is(VersionIndex::new(1));
        let moved = backend.set_alias(newer, prod, expected).await.unwrap_err();
        assert_eq!((moved.code, moved.found.as_deref()), (ErrorCode::Conflict, Some("v0")));

        let other = project("other");
        let copied = backend.copy(v0.version.id, other, name("mine"), None).await.unwrap();
        assert!(copied.created && copied.digest == v0.digest);
        let mut reader = backend.downloader(copied.version.id).await.unwrap();
        reader.read_small(&[(BlobId::of(b"0"), 1)], &mut |_, _| Ok(())).unwrap();
        let registry = project("registry");
        let linked =
            backend.link(v0.version.id, registry.clone(), name("best"), vec![]).await.unwrap();
        assert_eq!(linked.source.unwrap().to_string(), "default/m:v0");

        let delete = |text: &str, delete_aliases| Delete {
            delete_aliases,
            ..Delete::versions(vec![reference(text)])
        };
        let held = backend.delete(p.clone(), delete("m:v0", false)).await.unwrap_err();
        assert_eq!((held.code, held.items.len()), (ErrorCode::InUse, 2), "{:?}", held.items);
        backend.unlink(registry, name("best"), VersionIndex::ZERO).await.unwrap();
        backend.delete(p.clone(), delete("m:v0", true)).await.unwrap();
        let gone = backend.resolve(p.clone(), reference("m:v0")).await.unwrap_err();
        assert_eq!(gone.code, ErrorCode::NotFound);
        assert!(backend.delete(p.clone(), delete("m", true)).await.is_err());
        let restore = |text: &str| Restore { key: None, versions: vec![reference(text)] };
        let restored = backend.restore(p.clone(), restore("m:v0")).await.unwrap();
        assert_eq!(restored[0].version.index, VersionIndex::ZERO);
        let twice = backend.restore(p.clone(), restore("m:v0")).await.unwrap_err();
        assert_eq!(twice.code, ErrorCode::Conflict);
        assert!(backend.restore(p.clone(), restore("m:prod")).await.is_err());
        let linked =
            backend.link(v0.version.id, project("registry"), name("best"), vec![]).await.unwrap();
        let link = reference(&format!("registry/best:{}", linked.version));
        let gone = Delete::versions(vec![link]);
        backend.delete(p.clone(), gone).await.unwrap();
        assert_eq!(resolve(&backend, "m:v0").await.id, v0.version.id, "unlinked, not deleted");

        let rename = UpdateCollection { rename: Some(name("n")), ..UpdateCollection::default() };
        backend.update_collection(p.clone(), name("m"), rename).await.unwrap();
        assert_eq!(resolve(&backend, "m").await.name.as_str(), "n", "the old name redirects");
        let typo = backend.resolve(p, reference("nn")).await.unwrap_err();
        assert_eq!(typo.nearest, ["n"]);
        assert_eq!(backend.verify(None).await.unwrap().damages, []);
    })
    .await;
}

#[tokio::test]
async fn what_a_caller_may_not_see_does_not_exist() {
    both(async |repository| {
        let owner = repository.as_caller(Caller::owner("ann"));
        let secret = log(&owner, &project("secret"), "s", &[("f", b"x")], None).await;
        let grant = Grant {
            entity: EntityName::local(),
            project: Some(ProjectName::new("open").unwrap()),
            role: Role::Viewer,
        };
        let viewer = repository.as_caller(Caller::with_grants("bob", vec![grant]));
        let absent = viewer.resolve(project("nowhere"), reference("s")).await.unwrap_err();
        let hidden = viewer.resolve(project("secret"), reference("s")).await.unwrap_err();
        assert_eq!(absent.message.replace("nowhere", "secret"), hidden.message);
        let entries = viewer.entries(secret.version.id, String::new(), None, 1).await;
        assert_eq!(entries.unwrap_err().code, ErrorCode::NotFound);
        assert!(viewer.whence(BlobId::of(b"x"), 1).await.unwrap().is_empty());
        assert!(viewer.projects().await.unwrap().is_empty());
        let (root, _) = tree(&[("f", b"x")]);
        let refused = viewer.commit(commit_of(&project("open"), "s", root)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden);
    })
    .await;
}

#[tokio::test]
async fn a_probe_without_a_draft_changes_nothing_for_new_content() {
    both(async |repository| {
        let backend = repository.as_caller(Caller::owner("ann"));
        let p = project("default");
        let root = TreeBuilder::new(Discard).finish().unwrap().root;
        assert_eq!(backend.commit(commit_of(&p, "x", root)).await.unwrap(), None);
        log_twice(&backend, &p, "x", &[("a", b"1")], None).await;
        let (root, _) = tree(&[("a", b"1")]);
        let aliases = vec![Alias::new("seen").unwrap()];
        let aliased = Commit { aliases, ..commit_of(&p, "x", root) };
        assert!(!backend.commit(aliased).await.unwrap().unwrap().created);
        assert_eq!(resolve(&backend, "x:seen").await.index, VersionIndex::ZERO);
    })
    .await;
}
