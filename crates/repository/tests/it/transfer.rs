//! What comes from another repository, as its requests say and as they lie; and
//! backups of a repository whose objects go away meanwhile.

use heirloom_api::{Backend, ImportVersion, LineageEdge, Origin, VersionDoc};
use heirloom_catalog::{CatalogExt, Edit, SqliteCatalog, SqliteOptions};
use heirloom_core::{ErrorCode, RunId, Timestamp, VersionId};
use heirloom_manifest::{BlobId, ManifestId};
use heirloom_repository::{
    Home, Repository, RepositoryBackend, SystemEnvironment, backup, restore,
};
use heirloom_store::{LocalStore, ObjectKey, Store, StoreExt};

use crate::support::{begin, both, log, name, on_disk, owner, project, resolve, send, tree};

/// An import of some files, sent, under an identity.
async fn sent(backend: &RepositoryBackend, version: u64, files: &[(&str, &[u8])]) -> ImportVersion {
    let (root, nodes) = tree(files);
    let draft = begin(backend, &project("p"), "a").await;
    let contents: Vec<&[u8]> = files.iter().map(|(_, bytes)| *bytes).collect();
    send(&mut *backend.uploader(draft).await.unwrap(), &contents, &nodes);
    ImportVersion {
        project: project("p"),
        name: name("a"),
        artifact_type: crate::support::dataset().unwrap(),
        version: VersionId::from_random(version),
        digest: ManifestId::of_root(&root),
        root,
        draft,
        tags: vec![],
        description: Some("theirs".to_owned()),
        metadata: None,
        ttl: heirloom_core::Ttl::Inherit,
        created_at: Timestamp::from_micros(1000),
        actor: "eve".to_owned(),
        run: None,
        provenance: heirloom_core::Provenance::default(),
        origin: Origin { from: "x/y/z:v9".to_owned(), repository: "there".to_owned() },
    }
}

async fn doc(backend: &RepositoryBackend, id: u64) -> VersionDoc {
    backend.version(VersionId::from_random(id)).await.unwrap()
}

#[tokio::test]
async fn an_import_keeps_identity_and_gets_the_next_number() {
    both(async |repository| {
        let backend = owner(&repository);
        log(&backend, &project("p"), "a", &[("one", b"1")], None).await;
        // The same content: another identity is another version all the same.
        let first = backend.import_version(sent(&backend, 7, &[("one", b"1")]).await).await;
        let first = first.unwrap();
        assert!(first.created);
        assert_eq!((first.version.index.get(), first.version.id.get()), (1, 7));
        let there = doc(&backend, 7).await;
        assert_eq!((there.actor.as_str(), there.created_at.micros()), ("eve", 1000));
        assert_eq!(resolve(&backend, "p/a:latest").await.id, there.id);
        let events = backend.events(project("p"), name("a"), None, 100).await.unwrap();
        let imported = events.iter().find(|event| event.event == "imported").unwrap();
        assert_eq!(imported.detail["from"], "x/y/z:v9");
        assert_eq!(imported.detail["repository"], "there");
        assert_eq!(imported.actor, "ann", "who brought it, not who made it");

        // Again, and again when it is deleted.
        let again = backend.import_version(sent(&backend, 7, &[("one", b"1")]).await).await;
        assert!(!again.unwrap().created);
        log(&backend, &project("p"), "a", &[("two", b"2")], None).await;
        assert_eq!(resolve(&backend, "p/a").await.index.get(), 2);
        let verified = backend.verify(None).await.unwrap();
        assert_eq!(verified.damages, []);
    })
    .await;
}

#[tokio::test]
async fn an_identity_with_other_content_is_refused() {
    both(async |repository| {
        let backend = owner(&repository);
        backend.import_version(sent(&backend, 7, &[("one", b"1")]).await).await.unwrap();
        let other = sent(&backend, 7, &[("one", b"2")]).await;
        let problem = backend.import_version(other).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::Conflict);
        assert_eq!(resolve(&backend, "p/a").await.index.get(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_an_import_says_is_checked() {
    both(async |repository| {
        let backend = owner(&repository);
        let honest = sent(&backend, 7, &[("one", b"1")]).await;
        let refused =
            async |request: ImportVersion| backend.import_version(request).await.unwrap_err().code;
        let mut lie = honest.clone();
        lie.digest = ManifestId::of_root(&heirloom_manifest::NodeId::of(b"other"));
        assert_eq!(refused(lie).await, ErrorCode::Invalid);
        // A tree that was never sent, and one without its content.
        let mut lie = honest.clone();
        lie.root = tree(&[("two", b"2")]).0;
        lie.digest = ManifestId::of_root(&lie.root);
        assert_eq!(refused(lie.clone()).await, ErrorCode::Invalid);
        let (root, nodes) = tree(&[("three", b"3")]);
        send(&mut *backend.uploader(honest.draft).await.unwrap(), &[], &nodes);
        lie.root = root;
        lie.digest = ManifestId::of_root(&root);
        assert_eq!(refused(lie).await, ErrorCode::Invalid);
        let mut lie = honest.clone();
        lie.run = Some(RunId::from_random(5));
        assert_eq!(refused(lie).await, ErrorCode::NotFound);
        let mut lie = honest.clone();
        lie.draft = heirloom_core::DraftId::from_random(99);
        assert_eq!(refused(lie).await, ErrorCode::Fenced);
        backend.import_version(honest).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn edges_come_where_both_ends_are() {
    both(async |repository| {
        let backend = owner(&repository);
        backend.import_version(sent(&backend, 7, &[("one", b"1")]).await).await.unwrap();
        let start = heirloom_api::StartRun {
            project: project("p"),
            name: None,
            display_name: None,
            job_type: None,
            group: None,
            config: None,
            provenance: heirloom_core::Provenance::default(),
        };
        let run = backend.start_run(start).await.unwrap().run.id;
        let edge = |run, version| LineageEdge {
            run,
            version: VersionId::from_random(version),
            produced: false,
            at: Timestamp::from_micros(5),
            asked: None,
        };
        let edges = vec![edge(run, 7), edge(run, 8), edge(RunId::from_random(1), 7)];
        assert_eq!(backend.import_edges(edges.clone()).await.unwrap(), 1);
        assert_eq!(backend.import_edges(edges).await.unwrap(), 0);
        let (_, used) = backend.run_versions(run).await.unwrap();
        assert_eq!(used[0].at.micros(), 5);
    })
    .await;
}

/// As a collector does: the row goes, and the object.
fn collect(home: &Home, key: ObjectKey) {
    let catalog = SqliteCatalog::open(home.catalog_path(), SqliteOptions::default()).unwrap();
    catalog
        .transact(|_| Ok::<_, heirloom_catalog::CatalogError>((vec![Edit::DropObject(key)], ())))
        .unwrap();
    LocalStore::open(home.path()).unwrap().delete(&key).unwrap();
}

async fn with_garbage() -> (tempfile::TempDir, Repository, Vec<ObjectKey>) {
    let (dir, repository) = on_disk();
    let backend = owner(&repository);
    log(&backend, &project("p"), "a", &[("kept", b"kept")], None).await;
    let store = LocalStore::open(dir.path()).unwrap();
    let before: Vec<_> = store.walk().map(|found| format!("{found:?}")).collect();
    // Content without a version: garbage, which the catalog names all the same.
    let draft = begin(&backend, &project("p"), "a").await;
    let mut uploader = backend.uploader(draft).await.unwrap();
    let mut garbage = Vec::new();
    for i in 0..4u8 {
        let bytes = [i; 4000];
        uploader.send_file(&mut crate::support::file_of(&bytes), 4000, &mut |_| {}).unwrap();
        garbage.push(ObjectKey::Whole(BlobId::of(&bytes)));
    }
    drop(uploader);
    backend.abort_draft(draft).await.unwrap();
    assert_eq!(store.walk().count(), before.len() + garbage.len());
    garbage.sort();
    (dir, repository, garbage)
}

#[tokio::test]
async fn a_backup_goes_on_with_a_newer_catalog_when_objects_go_away() {
    let (dir, repository, garbage) = with_garbage().await;
    let home = repository.home().unwrap().clone();
    let target = tempfile::tempdir().unwrap();
    let (mut rounds, mut collected) = (0, false);
    let report = backup(dir.path(), target.path(), Timestamp::from_micros(0), &mut |done| {
        rounds += usize::from(done.objects == 0);
        // After the first object was copied, that one goes, and the last one, which
        // was not.
        if done.objects == 1 && !collected {
            collected = true;
            collect(&home, garbage[0]);
            collect(&home, garbage[3]);
        }
    })
    .unwrap();
    assert_eq!(rounds, 2, "what was missing made a newer catalog needed");
    assert_eq!(report.removed.0, 1, "what was copied before it went is gone");
    let copy = Repository::open(target.path(), SystemEnvironment).unwrap();
    assert_eq!(owner(&copy).verify(None).await.unwrap().damages, []);
    let store = LocalStore::open(target.path()).unwrap();
    assert_eq!(store.walk().count() as u64, report.info.objects);
}

#[tokio::test]
async fn an_object_that_is_lost_is_no_race() {
    let (dir, _repository, garbage) = with_garbage().await;
    LocalStore::open(dir.path()).unwrap().delete(&garbage[0]).unwrap();
    let target = tempfile::tempdir().unwrap();
    let problem =
        backup(dir.path(), target.path(), Timestamp::from_micros(0), &mut |_| {}).unwrap_err();
    assert_eq!(problem.code, ErrorCode::Corrupt);
    assert_eq!(problem.items.len(), 1);
    assert!(problem.items[0].contains(&garbage[0].to_string()), "{problem:?}");
}

#[tokio::test]
async fn drafts_of_the_backup_are_ended_in_what_is_restored() {
    let (dir, repository) = on_disk();
    let backend = owner(&repository);
    let request = sent(&backend, 7, &[("one", b"1")]).await;
    let (copy, restored) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    backup(dir.path(), copy.path(), Timestamp::from_micros(0), &mut |_| {}).unwrap();
    restore(copy.path(), restored.path(), &mut |_| {}).unwrap();
    let there = owner(&Repository::open(restored.path(), SystemEnvironment).unwrap());
    let problem = there.import_version(request.clone()).await.unwrap_err();
    assert_eq!(problem.code, ErrorCode::Fenced);
    // Where it was begun it goes on.
    backend.import_version(request).await.unwrap();
}

/// The second backup begins while the first restore copies: it may not change what
/// is being copied.
#[tokio::test]
async fn a_backup_that_is_being_restored_is_left_alone() {
    let (dir, repository) = on_disk();
    let request = sent(&owner(&repository), 7, &[("one", b"1")]).await;
    owner(&repository).import_version(request).await.unwrap();
    let (copy, restored) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = Timestamp::from_micros(0);
    backup(dir.path(), copy.path(), now, &mut |_| {}).unwrap();
    let mut codes = Vec::new();
    restore(copy.path(), restored.path(), &mut |_| {
        codes.extend(backup(dir.path(), copy.path(), now, &mut |_| {}).err().map(|p| p.code));
    })
    .unwrap();
    assert!(!codes.is_empty());
    assert!(codes.iter().all(|code| *code == ErrorCode::Unavailable), "{codes:?}");
    backup(dir.path(), copy.path(), now, &mut |_| {}).unwrap();
}
