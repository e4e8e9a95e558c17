//! What hostile or unlucky clients and races may not achieve.

use std::fs;

use heirloom_api::{
    Backend, BeginDraft, Commit, Delete, Expected, ListVersions, StartRun, UpdateCollection,
    UsageBy, VersionDoc,
};
use heirloom_core::{
    Alias, ArtifactType, Caller, EntityName, ErrorCode, ProjectName, Provenance, Tag, Ttl,
    VersionIndex,
};
use heirloom_manifest::{BlobId, MemoryNodes, NodeId};
use heirloom_repository::{Repository, RepositoryBackend, SystemEnvironment};

use crate::support::*;

#[tokio::test]
async fn a_manifest_that_lies_about_a_size_is_refused() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        for said in [0, 4, 6, 1 << 40] {
            let (root, nodes) = tree_of([("a".to_owned(), &b"hello"[..], said)]);
            let draft = begin(&backend, &p, "x").await;
            let mut uploader = backend.uploader(draft).await.unwrap();
            send(&mut *uploader, &[b"hello"], &nodes);
            let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
            let problem = backend.commit(commit).await.unwrap_err();
            assert_eq!(problem.code, ErrorCode::Invalid, "{problem}");
            assert_eq!(problem.items, [BlobId::of(b"hello").to_string()]);
        }
        // The truth beside a lie does not cover it.
        let entries = [("a".to_owned(), &b"hello"[..], 5), ("b".to_owned(), &b"hello"[..], 6)];
        let (root, nodes) = tree_of(entries);
        let draft = begin(&backend, &p, "x").await;
        let mut uploader = backend.uploader(draft).await.unwrap();
        send(&mut *uploader, &[b"hello"], &nodes);
        let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
        assert_eq!(backend.commit(commit).await.unwrap_err().code, ErrorCode::Invalid);
        assert!(backend.collections(p, None, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_node_that_was_never_sent_is_the_clients_fault() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        let (root, _) = tree(&[("a", b"hello")]);
        let draft = begin(&backend, &p, "x").await;
        let mut uploader = backend.uploader(draft).await.unwrap();
        send(&mut *uploader, &[b"hello"], &MemoryNodes::new());
        let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
        let problem = backend.commit(commit).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::Invalid, "{problem}");
        assert_eq!(problem.items, [root.as_blob().to_string()]);
    })
    .await;
}

#[tokio::test]
async fn bytes_that_are_no_node_or_no_content_are_no_manifest() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        // Content that is used as a node, and a node sent as content.
        for (bytes, fine) in [(&b"not a node"[..], false), (b"HM\x01\x00\x00", true)] {
            let draft = begin(&backend, &p, "x").await;
            let mut uploader = backend.uploader(draft).await.unwrap();
            send(&mut *uploader, &[bytes], &MemoryNodes::new());
            let root = NodeId::of(bytes);
            let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
            let answer = backend.commit(commit).await;
            assert_eq!(answer.as_ref().map_err(|problem| problem.code).is_ok(), fine);
            if let Err(problem) = answer {
                assert_eq!(problem.code, ErrorCode::Invalid);
            }
        }
        assert_eq!(backend.verify(None).await.unwrap().damages, []);
    })
    .await;
}

#[tokio::test]
async fn a_key_that_was_used_for_something_else_is_noticed() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        let v0 = log(&backend, &p, "x", &[("a", b"1")], None).await;
        let (root, _) = tree(&[("a", b"1")]);
        let asked = commit_of(&p, "x", root);
        let done = backend.commit(asked.clone()).await.unwrap().unwrap();
        assert_eq!((done.created, done.version.id), (false, v0.version.id));
        assert_eq!(backend.commit(asked.clone()).await.unwrap().unwrap(), done);
        let others = [
            Commit { tags: vec![Tag::new("t").unwrap()], ..asked.clone() },
            Commit { aliases: vec![Alias::new("t").unwrap()], ..asked.clone() },
            Commit { description: Some("other".to_owned()), ..asked.clone() },
            Commit { metadata: Some(serde_json::json!({ "a": 1 })), ..asked.clone() },
            Commit { ttl: Ttl::Never, ..asked.clone() },
            Commit { artifact_type: None, ..asked.clone() },
            Commit { attachments: vec![BlobId::of(b"1")], ..asked.clone() },
        ];
        for other in others {
            let problem = backend.commit(other.clone()).await.unwrap_err();
            assert_eq!(problem.code, ErrorCode::Conflict, "{other:?}");
        }
        // Another actor's key is another key.
        let bob = repository.as_caller(Caller::owner("bob"));
        let tagged = Commit { tags: vec![Tag::new("t").unwrap()], ..asked };
        assert!(bob.commit(tagged).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn twins_of_one_commit_get_one_answer() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        for round in 0..12u8 {
            let content = [round];
            let (root, nodes) = tree(&[("a", &content)]);
            let draft = begin(&backend, &p, "x").await;
            let mut uploader = backend.uploader(draft).await.unwrap();
            send(&mut *uploader, &[&content], &nodes);
            let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
            let twins: Vec<_> = (0..6)
                .map(|_| {
                    let (backend, commit) = (backend.clone(), commit.clone());
                    tokio::spawn(async move { backend.commit(commit).await })
                })
                .collect();
            for twin in twins {
                let done = twin.await.unwrap().unwrap().unwrap();
                assert!(done.created);
                assert_eq!(done.version.index.get(), u64::from(round));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commits_of_many_writers_are_dense_while_verify_finds_nothing() {
    let (dir, first) = on_disk();
    let second = Repository::open(dir.path(), SystemEnvironment).unwrap();
    let p = project("default");
    let writers: Vec<_> = (0..8u8)
        .map(|writer| {
            let backend = owner(if writer % 2 == 0 { &first } else { &second });
            let p = p.clone();
            tokio::spawn(async move {
                for round in 0..6u8 {
                    let content = [writer, round];
                    assert!(log(&backend, &p, "x", &[("a", &content)], None).await.created);
                }
            })
        })
        .collect();
    let backend = owner(&first);
    while writers.iter().any(|writer| !writer.is_finished()) {
        assert_eq!(backend.verify(None).await.unwrap().damages, []);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let list = ListVersions { before, limit: 7, deleted: false };
        let page = owner(&second).versions(p.clone(), name("x"), list).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.index);
        seen.extend(page.iter().map(|version| version.index.get()));
    }
    assert_eq!(seen, (0..48).rev().collect::<Vec<_>>());
    assert_eq!(resolve(&backend, "x").await.index.get(), 47);
    let mut events = Vec::new();
    let mut before = None;
    loop {
        let page = backend.events(p.clone(), name("x"), before, 5).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        events.extend(page.into_iter().filter(|event| event.event == "committed"));
    }
    assert_eq!(events.len(), 48);
    assert!(events.windows(2).all(|pair| pair[0].seq > pair[1].seq));
}

#[tokio::test]
async fn a_process_frozen_at_its_turn_does_not_stop_others() {
    let (dir, repository) = on_disk();
    let backend = owner(&repository);
    let lock = fs::File::create(dir.path().join("commit.lock")).unwrap();
    lock.lock().unwrap();
    for round in 0..3u8 {
        log(&backend, &project("default"), "x", &[("a", &[round])], None).await;
    }
    drop(lock);
    log(&backend, &project("default"), "x", &[("a", b"after")], None).await;
}

#[tokio::test]
async fn what_is_deleted_cannot_be_copied() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        let v0 = log(&backend, &p, "m", &[("w", b"0")], None).await;
        log(&backend, &p, "m", &[("w", b"1")], None).await;
        let delete = Delete::versions(vec![reference("m:v0")]);
        backend.delete(p.clone(), delete).await.unwrap();
        let problem = backend.copy(v0.version.id, p.clone(), name("c"), None).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::NotFound);
        assert!(backend.downloader(v0.version.id).await.is_err());
        assert_eq!(backend.verify(None).await.unwrap().damages, [], "it can be restored");
        // Types and kinds hold for copies too.
        let v1 = resolve(&backend, "m:v1").await;
        let begin = BeginDraft {
            project: p.clone(),
            name: name("model"),
            artifact_type: Some(ArtifactType::new("model").unwrap()),
            base: None,
        };
        let draft = backend.begin_draft(begin).await.unwrap().id;
        let (root, nodes) = tree(&[("w", b"2")]);
        send(&mut *backend.uploader(draft).await.unwrap(), &[b"2"], &nodes);
        let model = Commit {
            draft: Some(draft),
            artifact_type: Some(ArtifactType::new("model").unwrap()),
            ..commit_of(&p, "model", root)
        };
        backend.commit(model).await.unwrap();
        let wrong = backend.copy(v1.id, p.clone(), name("model"), None).await.unwrap_err();
        assert_eq!(wrong.code, ErrorCode::WrongType);
        let same = backend.copy(v1.id, p, name("m"), None).await.unwrap();
        assert!(!same.created);
    })
    .await;
}

#[tokio::test]
async fn a_document_whose_name_went_elsewhere_changes_nothing() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        log(&backend, &p, "m", &[("w", b"old")], None).await;
        let other = log(&backend, &p, "n", &[("w", b"new")], None).await;
        let old = resolve(&backend, "m:v0").await;
        for (from, to) in [("m", "retired"), ("n", "m")] {
            let rename = UpdateCollection { rename: Some(name(to)), ..UpdateCollection::default() };
            backend.update_collection(p.clone(), name(from), rename).await.unwrap();
        }
        let prod = Alias::new("prod").unwrap();
        let tag = Tag::new("good").unwrap();
        let moved = backend.set_alias(old.clone(), prod, Expected::Any).await.unwrap_err();
        assert_eq!(moved.code, ErrorCode::NotFound);
        assert!(backend.tag(old, vec![tag], vec![]).await.is_err());
        let now = resolve(&backend, "m:v0").await;
        assert_eq!(now.id, other.version.id);
        assert_eq!((now.aliases.len(), now.tags.len()), (1, 0), "only `latest`");
    })
    .await;
}

#[tokio::test]
async fn runs_of_hidden_projects_are_not_named() {
    both(async |repository| {
        let backend = owner(&repository);
        let start = StartRun {
            project: project("secret"),
            name: None,
            display_name: None,
            job_type: None,
            group: None,
            config: None,
            provenance: Provenance {
                command: vec!["train --on secret".to_owned()],
                ..Provenance::default()
            },
        };
        let run = backend.start_run(start).await.unwrap().run;
        let v0 = log(&backend, &project("open"), "x", &[("a", b"1")], Some(run.id)).await;
        let bob = viewer_of(&repository, "open");
        let open = project("open");
        assert!(backend.resolve(open.clone(), reference("x")).await.unwrap().run.is_some());
        assert_eq!(bob.resolve(open.clone(), reference("x")).await.unwrap().run, None);
        assert_eq!(
            bob.collection(open.clone(), name("x")).await.unwrap().latest.unwrap().run,
            None
        );
        let events = bob.events(open, name("x"), None, 10).await.unwrap();
        assert!(!events.is_empty() && events.iter().all(|event| event.run.is_none()));
        let found = bob.whence(BlobId::of(b"1"), 1).await.unwrap();
        assert_eq!(found[0].version.id, v0.version.id);
        assert!(found[0].provenance.command.is_empty());
    })
    .await;
}

#[tokio::test]
async fn hidden_projects_are_no_suggestions() {
    both(async |repository| {
        let backend = owner(&repository);
        log(&backend, &project("opens"), "x", &[("a", b"1")], None).await;
        let near = backend.resolve(project("open"), reference("x")).await.unwrap_err();
        assert_eq!(near.nearest, ["opens"]);
        let bob = viewer_of(&repository, "open");
        let far = bob.resolve(project("open"), reference("x")).await.unwrap_err();
        assert_eq!((far.code, far.nearest.len()), (ErrorCode::NotFound, 0));
    })
    .await;
}

#[tokio::test]
async fn a_link_opens_its_version_and_nothing_beside_it() {
    both(async |repository| {
        let backend = owner(&repository);
        let secret = project("secret");
        let shown = log(&backend, &secret, "m", &[("w", b"shown")], None).await;
        log(&backend, &secret, "k", &[("key", b"hidden")], None).await;
        backend.link(shown.version.id, project("registry"), name("best"), vec![]).await.unwrap();
        let bob = viewer_of(&repository, "registry");
        read(&bob, &shown, b"shown").await.unwrap();
        read(&backend, &shown, b"hidden").await.unwrap();
        let hidden = read(&bob, &shown, b"hidden").await.unwrap_err();
        let absent = read(&bob, &shown, b"absent").await.unwrap_err();
        assert_eq!(hidden.code, absent.code);
        let ids = [&b"hidden"[..], b"absent"].map(|bytes| BlobId::of(bytes).to_string());
        assert_eq!(hidden.message.replace(&ids[0], &ids[1]), absent.message);
        let mut downloader = bob.downloader(shown.version.id).await.unwrap();
        assert!(downloader.open(&BlobId::of(b"hidden"), 6, 0).is_err());
        assert!(downloader.local_file(&BlobId::of(b"hidden")).is_none());
        let root = resolve_in(&bob, "registry", "best").await.root;
        assert_eq!(downloader.nodes(&[root]).unwrap().len(), 1);
    })
    .await;
}

async fn resolve_in(backend: &RepositoryBackend, of: &str, text: &str) -> VersionDoc {
    backend.resolve(project(of), reference(text)).await.unwrap()
}

#[tokio::test]
async fn whence_finds_every_path_of_shared_trees() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        // Every third file is the same; the second version shares most leaves.
        for last in [&b"x"[..], b"y"] {
            let unique: Vec<Vec<u8>> = (0..2000u32).map(|n| n.to_le_bytes().to_vec()).collect();
            let content =
                |n: usize| if n.is_multiple_of(3) { &b"same"[..] } else { &unique[n][..] };
            let mut entries: Vec<_> =
                (0..2000).map(|n| (format!("f{n:05}"), content(n), 4)).collect();
            entries.push(("z".to_owned(), last, 1));
            let contents: Vec<&[u8]> = entries.iter().map(|(_, bytes, _)| *bytes).collect();
            let (root, nodes) = tree_of(entries.clone());
            let draft = begin(&backend, &p, "x").await;
            let mut uploader = backend.uploader(draft).await.unwrap();
            send(&mut *uploader, &contents, &nodes);
            let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
            backend.commit(commit).await.unwrap().unwrap();
        }
        let found = backend.whence(BlobId::of(b"same"), 4).await.unwrap();
        assert_eq!(found.len(), 2 * 667);
        for (version, places) in [0u64, 1].into_iter().zip(found.chunks(667)) {
            assert!(places.iter().all(|place| place.version.index.get() == version));
            assert!(places.is_sorted_by_key(|place| place.path.clone()));
        }
        let once = backend.whence(BlobId::of(b"y"), 1).await.unwrap();
        assert_eq!(once.len(), 1);
        assert!(backend.whence(BlobId::of(b"y"), 2).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn usage_counts_what_is_there() {
    both(async |repository| {
        let backend = owner(&repository);
        let files: &[(&str, &[u8])] = &[("a", b"1234"), ("b", b"1234"), ("c", b"56")];
        log(&backend, &project("one"), "x", files, None).await;
        log(&backend, &project("two"), "x", &[("a", b"1234")], None).await;
        log(&backend, &project("two"), "x", &[("a", b"789")], None).await;
        let delete = Delete::versions(vec![reference("x:v1")]);
        backend.delete(project("two"), delete).await.unwrap();
        let usage = backend.usage(UsageBy::Project, None).await.unwrap();
        let rows: Vec<_> = usage
            .rows
            .iter()
            .map(|row| (row.versions, row.logical, row.unique, row.shared))
            .collect();
        assert_eq!(rows, [(1, 10, 2, 4), (1, 4, 0, 4)]);
        assert_eq!((usage.logical, usage.distinct), (14, 6));
        let two = (EntityName::local(), ProjectName::new("two").unwrap());
        let only = backend.usage(UsageBy::Project, Some(two)).await.unwrap();
        assert_eq!(only.rows, usage.rows[1..]);
    })
    .await;
}

#[tokio::test]
async fn drafts_of_others_and_of_the_past_commit_nothing() {
    both(async |repository| {
        let backend = owner(&repository);
        let (p, other) = (project("default"), project("other"));
        let (root, nodes) = tree(&[("a", b"1")]);
        let draft = begin(&backend, &p, "x").await;
        send(&mut *backend.uploader(draft).await.unwrap(), &[b"1"], &nodes);
        begin(&backend, &other, "x").await;
        let foreign = Commit { draft: Some(draft), ..commit_of(&other, "x", root) };
        assert_eq!(backend.commit(foreign).await.unwrap_err().code, ErrorCode::Fenced);
        let stranger = viewer_of(&repository, "other");
        assert_eq!(stranger.uploader(draft).await.err().unwrap().code, ErrorCode::Fenced);
        stranger.abort_draft(draft).await.unwrap();
        let mine = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
        let done = backend.commit(mine.clone()).await.unwrap().unwrap();
        // A new key under the ended draft makes nothing.
        let again = Commit { key: key(), ..mine.clone() };
        assert_eq!(backend.commit(again).await.unwrap_err().code, ErrorCode::Fenced);
        // The old key answers whatever became of draft and version.
        let newer = log(&backend, &p, "x", &[("a", b"2")], None).await;
        assert_eq!(newer.version.index, VersionIndex::new(1));
        let delete = Delete::versions(vec![reference("x:v0")]);
        backend.delete(p.clone(), delete).await.unwrap();
        let redrafted = Commit { draft: Some(begin(&backend, &p, "x").await), ..mine.clone() };
        assert_eq!(backend.commit(redrafted).await.unwrap().unwrap(), done);
        assert_eq!(backend.commit(Commit { draft: None, ..mine }).await.unwrap().unwrap(), done);
    })
    .await;
}
