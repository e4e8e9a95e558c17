//! Drafts from a version: what they start from, and what they may inherit.

use heirloom_api::{
    Backend, BaseAlias, BeginDraft, BlobKind, Commit, Delete, Expected, VersionDoc,
};
use heirloom_core::{Alias, ErrorCode};
use heirloom_manifest::{BlobId, Discard, Edit, Entry, LogicalPath, MemoryNodes, NodeId, patch};
use heirloom_repository::RepositoryBackend;

use crate::support::*;

fn path(text: &str) -> LogicalPath {
    LogicalPath::new(text).unwrap()
}

fn put(name: &str, bytes: &[u8]) -> (LogicalPath, Edit) {
    let size = bytes.len() as u64;
    (path(name), Edit::Put(Entry::File { blob: BlobId::of(bytes), size }))
}

/// All nodes of a version's tree.
async fn nodes_of(backend: &RepositoryBackend, version: &VersionDoc) -> MemoryNodes {
    let mut downloader = backend.downloader(version.id).await.unwrap();
    let mut nodes = MemoryNodes::new();
    let mut left = vec![version.root];
    while let Some(id) = left.pop() {
        let bytes = downloader.nodes(&[id]).unwrap().remove(0);
        heirloom_manifest::visit_links(&bytes, |link| {
            if let heirloom_manifest::Link::Child(child) = link {
                left.push(child);
            }
        })
        .unwrap();
        nodes.insert(id, bytes);
    }
    nodes
}

fn from(version: &VersionDoc) -> BeginDraft {
    BeginDraft {
        project: project(version.project.as_str()),
        name: version.name.clone(),
        artifact_type: None,
        base: Some(version.id),
    }
}

/// Sends what edits of a version add, and nothing else; what is left is to commit.
async fn edited(
    backend: &RepositoryBackend,
    version: &VersionDoc,
    edits: Vec<(LogicalPath, Edit)>,
    contents: &[&[u8]],
) -> Commit {
    let mut base = nodes_of(backend, version).await;
    let mut new = MemoryNodes::new();
    let root = patch(&mut base, &version.root, edits, &mut new).unwrap().tree.root;
    let draft = backend.begin_draft(from(version)).await.unwrap();
    assert_eq!(draft.base.as_ref().unwrap().id, version.id);
    let mut uploader = backend.uploader(draft.id).await.unwrap();
    send(&mut *uploader, contents, &new);
    let of = project(version.project.as_str());
    Commit { draft: Some(draft.id), ..commit_of(&of, version.name.as_str(), root) }
}

async fn read_all(backend: &RepositoryBackend, text: &str) -> Vec<(String, BlobId)> {
    let version = resolve(backend, text).await;
    let page = backend.entries(version.id, String::new(), None, 100_000).await.unwrap();
    page.entries.iter().map(|(path, entry)| (path.to_string(), *entry.blob().unwrap())).collect()
}

#[tokio::test]
async fn a_draft_starts_from_any_version_and_sends_what_is_new_alone() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        let files: Vec<(String, Vec<u8>)> = (0..3000u32)
            .map(|n| (format!("d{:02}/f{n:04}", n / 100), n.to_le_bytes().to_vec()))
            .collect();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(p, b)| (p.as_str(), &b[..])).collect();
        log(&backend, &p, "x", &files, None).await;
        log(&backend, &p, "x", &[("other", b"altogether")], None).await;
        let v0 = resolve(&backend, "x:v0").await;
        let edits = vec![
            put("d03/f0300-b", b"added"),
            (path("d07/f0777"), Edit::Remove),
            put("d20/f2000", b"replaced"),
        ];
        let commit = edited(&backend, &v0, edits, &[b"added", b"replaced"]).await;
        let done = backend.commit(commit).await.unwrap().unwrap();
        assert_eq!((done.created, done.version.index.get(), done.files), (true, 2, 3000));
        let mut expected: Vec<(String, BlobId)> = files
            .iter()
            .map(|(path, bytes)| ((*path).to_owned(), BlobId::of(bytes)))
            .filter(|(path, _)| path != "d07/f0777")
            .collect();
        expected.push(("d03/f0300-b".to_owned(), BlobId::of(b"added")));
        expected.sort();
        for (path, blob) in &mut expected {
            if path == "d20/f2000" {
                *blob = BlobId::of(b"replaced");
            }
        }
        assert_eq!(read_all(&backend, "x").await, expected);
        assert_eq!(backend.verify(None).await.unwrap().damages, []);
    })
    .await;
}

#[tokio::test]
async fn a_draft_starts_from_its_own_collection_only() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        log(&backend, &p, "x", &[("a", b"1")], None).await;
        let y = log(&backend, &p, "y", &[("a", b"2")], None).await.version;
        let secret = log(&backend, &project("secret"), "x", &[("a", b"3")], None).await.version;
        backend.link(y.id, p.clone(), name("best"), vec![]).await.unwrap();
        let begin = |collection: &str, base| BeginDraft {
            project: p.clone(),
            name: name(collection),
            artifact_type: None,
            base: Some(base),
        };
        for (collection, base) in [("x", y.id), ("x", secret.id), ("nowhere", y.id)] {
            let problem = backend.begin_draft(begin(collection, base)).await.unwrap_err();
            assert_eq!(problem.code, ErrorCode::NotFound, "{collection}: {problem}");
        }
        let problem = backend.begin_draft(begin("best", y.id)).await.unwrap_err();
        assert!(problem.message.contains("portfolio"), "{problem}");
        log(&backend, &p, "y", &[("a", b"4")], None).await;
        let delete = Delete::versions(vec![reference("y:v0")]);
        backend.unlink(p.clone(), name("best"), y.index).await.unwrap();
        backend.delete(p.clone(), delete).await.unwrap();
        let problem = backend.begin_draft(begin("y", y.id)).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::NotFound);
    })
    .await;
}

#[tokio::test]
async fn a_base_that_moved_is_noticed_by_the_commit_itself() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        log(&backend, &p, "x", &[("a", b"1")], None).await;
        let v0 = resolve(&backend, "x").await;
        let latest = Some(BaseAlias { alias: Alias::latest(), version: v0.id });
        let prod = Some(BaseAlias { alias: Alias::new("prod").unwrap(), version: v0.id });
        let edit = async |bytes: &'static [u8], base_alias| Commit {
            base_alias,
            ..edited(&backend, &v0, vec![put("b", bytes)], &[bytes]).await
        };

        let absent = backend.commit(edit(b"2", prod.clone()).await).await.unwrap_err();
        assert_eq!((absent.code, absent.found), (ErrorCode::BaseMoved, None));
        backend.set_alias(v0.clone(), Alias::new("prod").unwrap(), Expected::Absent).await.unwrap();
        let first = edit(b"2", latest.clone()).await;
        let done = backend.commit(first.clone()).await.unwrap().unwrap();
        assert_eq!(done.version.index.get(), 1);

        let late = edit(b"3", latest.clone()).await;
        let problem = backend.commit(late.clone()).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::BaseMoved);
        assert_eq!(problem.found.as_deref(), Some("v1"));
        assert_eq!(problem.message, "`x:latest` names v1 now; the edit began from v0");
        assert!(!problem.is_retryable());
        assert_eq!(resolve(&backend, "x").await.index.get(), 1, "nothing was committed");
        // Also when the newest has the very content.
        let same = backend.commit(edit(b"2", latest).await).await.unwrap_err();
        assert_eq!(same.code, ErrorCode::BaseMoved);
        // `prod` stayed; a refused key is free; an answered one answers again.
        let again = Commit { base_alias: prod.clone(), ..late };
        assert_eq!(backend.commit(again.clone()).await.unwrap().unwrap().version.index.get(), 2);
        assert_eq!(backend.commit(first.clone()).await.unwrap().unwrap(), done);
        let other = Commit { base_alias: prod, ..first };
        assert_eq!(backend.commit(other).await.unwrap_err().code, ErrorCode::Conflict);
    })
    .await;
}

#[tokio::test]
async fn only_what_the_base_has_at_the_same_path_is_inherited() {
    both(async |repository| {
        let backend = owner(&repository);
        log(&backend, &project("secret"), "x", &[("key", b"hidden")], None).await;
        log(&backend, &project("default"), "x", &[("a", b"12345"), ("b", b"1")], None).await;
        let v0 = resolve(&backend, "x").await;
        // Known elsewhere, but not to this project; and known here, of another size.
        let foreign = edited(&backend, &v0, vec![put("c", b"hidden")], &[]).await;
        let problem = backend.commit(foreign).await.unwrap_err();
        assert_eq!(problem.items, [BlobId::of(b"hidden").to_string()]);
        let lie = Edit::Put(Entry::File { blob: BlobId::of(b"12345"), size: 4 });
        for name in ["a", "c"] {
            let lying = edited(&backend, &v0, vec![(path(name), lie.clone())], &[]).await;
            let problem = backend.commit(lying).await.unwrap_err();
            assert_eq!(problem.code, ErrorCode::Invalid, "{problem}");
        }
        let moved = edited(&backend, &v0, vec![put("c", b"12345")], &[]).await;
        assert!(backend.commit(moved).await.unwrap().unwrap().created);
        // A node of the tree that was never sent.
        let mut base = nodes_of(&backend, &v0).await;
        let root = patch(&mut base, &v0.root, [put("d", b"1")], &mut Discard).unwrap().tree.root;
        let draft = backend.begin_draft(from(&v0)).await.unwrap().id;
        let commit = Commit { draft: Some(draft), ..commit_of(&project("default"), "x", root) };
        let problem = backend.commit(commit).await.unwrap_err();
        assert_eq!(problem.items, [root.as_blob().to_string()]);
        assert_eq!(backend.verify(None).await.unwrap().damages, []);
    })
    .await;
}

#[tokio::test]
async fn a_tree_that_repeats_its_nodes_is_refused_in_time() {
    both(async |repository| {
        let backend = owner(&repository);
        let p = project("default");
        let v0 = log(&backend, &p, "x", &[("a", b"1")], None).await.version;
        let doc = resolve(&backend, "x:v0").await;
        assert_eq!(doc.id, v0.id);
        let draft = backend.begin_draft(from(&doc)).await.unwrap().id;
        let mut uploader = backend.uploader(draft).await.unwrap();
        let entry = Entry::File { blob: BlobId::of(b"1"), size: 1 };
        let mut keep = |node: &heirloom_manifest::Node| -> NodeId {
            let bytes = node.encode().unwrap();
            uploader.add(BlobKind::Node, &bytes).unwrap();
            NodeId::of(&bytes)
        };
        let leaf = |name: &str| heirloom_manifest::Node::Leaf(vec![(path(name), entry.clone())]);
        let names: Vec<String> = (0..40).map(|n| format!("{n:02}")).collect();
        let mut below: Vec<NodeId> = names.iter().map(|name| keep(&leaf(name))).collect();
        for level in 1..=14 {
            // Forty nodes, each of which names all forty below it.
            below = names
                .iter()
                .map(|of| {
                    let children = names.iter().zip(&below).map(|(last, id)| {
                        let last_path = path(&format!("{of}{last}"));
                        heirloom_manifest::Child { last_path, id: *id, entries: 1, size: 1 }
                    });
                    let children = children.collect();
                    keep(&heirloom_manifest::Node::Inner { level, children })
                })
                .collect();
        }
        uploader.flush().unwrap();
        let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", below[0]) };
        let problem = backend.commit(commit).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::Invalid, "{problem}");
    })
    .await;
}
