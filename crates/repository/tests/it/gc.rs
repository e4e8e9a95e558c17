//! What gc frees, keeps and tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use heirloom_api::{Backend, BlobKind, Commit, Delete, GcReport, GcRequest, Problem};
use heirloom_core::{Caller, ErrorCode, Timestamp};
use heirloom_repository::{Environment, Repository, RepositoryBackend, SystemEnvironment};

use crate::support::*;

pub(crate) async fn gc(backend: &RepositoryBackend, grace: Option<u64>) -> GcReport {
    let told = backend.gc(GcRequest { dry_run: true, grace, progress: None }).await.unwrap();
    let done = backend.gc(GcRequest { dry_run: false, grace, progress: None }).await.unwrap();
    assert_eq!(GcReport { dry_run: false, ..told }, done, "what was told is what happened");
    done
}

async fn rm(backend: &RepositoryBackend, text: &str) {
    let request =
        Delete { versions: vec![reference(text)], delete_aliases: true, ..Delete::default() };
    backend.delete(project("default"), request).await.unwrap();
}

/// Bytes that do not become less when they are compressed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

#[tokio::test]
async fn what_is_deleted_goes_when_its_window_ends_and_the_rest_stays() {
    both(async |repository| {
        let backend = owner(&repository);
        let default = project("default");
        let (old, new) = (noise(1, 100_000), noise(2, 100_000));
        let first = log(&backend, &default, "a", &[("x", &old)], None).await;
        let second = log(&backend, &default, "a", &[("x", &new)], None).await;
        let idle = gc(&backend, Some(0)).await;
        assert_eq!((idle.freed, idle.purged), (0, 0));
        rm(&backend, "a:v0").await;
        let kept = gc(&backend, None).await;
        assert_eq!((kept.freed, kept.purged), (0, 0));
        assert!(kept.kept.restorable > 100_000 && kept.kept.restorable < 110_000);
        assert!(kept.kept.restorable_until.is_some());
        let freed = gc(&backend, Some(0)).await;
        assert_eq!(
            (freed.purged, freed.purged_versions[0].to_string()),
            (1, first.version.to_string())
        );
        assert!(freed.freed > 100_000, "{freed:?}");
        assert_eq!(freed.kept.restorable, 0);
        let kept = &freed.kept;
        let sum = kept.versions + kept.restorable + kept.drafts + kept.parts + kept.beside;
        assert_eq!(sum, kept.bytes);
        read(&backend, &second, &new).await.unwrap();
        assert!(backend.verify(None).await.unwrap().damages.is_empty());
        assert_eq!(gc(&backend, Some(0)).await.freed, 0);
    })
    .await;
}

#[tokio::test]
async fn a_mostly_dead_pack_becomes_a_small_one() {
    both(async |repository| {
        let backend = owner(&repository);
        let default = project("default");
        let files: Vec<Vec<u8>> = (0..10).map(|at| noise(at, 50_000)).collect();
        let names: Vec<String> = (0..10).map(|at| format!("f{at}")).collect();
        let all: Vec<(&str, &[u8])> =
            names.iter().zip(&files).map(|(name, file)| (name.as_str(), &file[..])).collect();
        log(&backend, &default, "a", &all, None).await;
        // Claimed, not sent again.
        let draft = begin(&backend, &default, "a").await;
        let mut uploader = backend.uploader(draft).await.unwrap();
        let (root, nodes) = tree(&all[..2]);
        let ids: Vec<_> =
            files[..2].iter().map(|file| heirloom_manifest::BlobId::of(file)).collect();
        assert_eq!(uploader.claim(&ids).unwrap(), [true, true]);
        send(&mut *uploader, &[], &nodes);
        let commit = heirloom_api::Commit { draft: Some(draft), ..commit_of(&default, "a", root) };
        let second = backend.commit(commit).await.unwrap().unwrap();
        rm(&backend, "a:v0").await;
        let done = gc(&backend, Some(0)).await;
        assert!(done.rewritten.count >= 1, "{done:?}");
        assert!(done.freed > 390_000, "{done:?}");
        assert!(done.kept.bytes < 110_000, "{done:?}");
        for file in &files[..2] {
            read(&backend, &second, file).await.unwrap();
        }
        assert!(backend.verify(None).await.unwrap().damages.is_empty());
        assert_eq!(gc(&backend, Some(0)).await.freed, 0);
    })
    .await;
}

#[tokio::test]
async fn many_small_packs_are_joined() {
    both(async |repository| {
        let backend = owner(&repository);
        let default = project("default");
        let mut all = Vec::new();
        for at in 0..20_u64 {
            let bytes = noise(at, 100);
            all.push((log(&backend, &default, "a", &[("x", &bytes)], None).await, bytes));
        }
        let done = gc(&backend, Some(0)).await;
        assert!(done.rewritten.count >= 20 && done.written.count == 1, "{done:?}");
        for (version, bytes) in &all {
            read(&backend, version, bytes).await.unwrap();
        }
        assert!(backend.verify(None).await.unwrap().damages.is_empty());
        let again = gc(&backend, Some(0)).await;
        assert_eq!(again.rewritten.count, 0, "{again:?}");
    })
    .await;
}

/// A repository's clock that a test sets.
#[derive(Clone)]
struct At(Arc<AtomicI64>);

impl Environment for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn random(&self) -> u64 {
        SystemEnvironment.random()
    }
}

#[tokio::test]
async fn a_living_draft_keeps_what_it_sent_and_an_abandoned_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = noise(1, 200_000);
    let default = project("default");
    let repository = Repository::open(dir.path(), SystemEnvironment).unwrap();
    let backend = owner(&repository);
    log(&backend, &default, "a", &[("x", b"1")], None).await;
    let commit = sent(&backend, &default, "a", &[("x", &bytes)], None).await;
    let done = gc(&backend, Some(0)).await;
    assert_eq!((done.drafts_ended, done.freed), (0, 0));
    assert!(done.kept.drafts > 200_000 && done.kept.live_drafts == 1);
    let version = backend.commit(commit).await.unwrap().unwrap();
    read(&backend, &version, &bytes).await.unwrap();
    // Another that is abandoned with its process.
    let lost = noise(2, 300_000);
    let commit = sent(&backend, &default, "a", &[("x", &lost)], None).await;
    drop((backend, repository));
    let repository = Repository::open(dir.path(), SystemEnvironment).unwrap();
    let backend = owner(&repository);
    let done = gc(&backend, None).await;
    assert_eq!(done.drafts_ended, 1);
    assert!(done.freed > 300_000, "{done:?}");
    let late = backend.commit(commit).await.unwrap_err();
    assert_eq!(late.code, ErrorCode::Fenced);
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    read(&backend, &version, &bytes).await.unwrap();
}

#[tokio::test]
async fn a_draft_of_unknown_owner_has_a_day() {
    let clock = At(Arc::new(AtomicI64::new(1_000_000_000)));
    let repository = Repository::in_memory(clock.clone());
    let backend = owner(&repository);
    sent(&backend, &project("default"), "a", &[("x", &noise(1, 1000))], None).await;
    assert_eq!(gc(&backend, Some(0)).await.drafts_ended, 0);
    clock.0.fetch_add(25 * 3600 * 1_000_000, Ordering::Relaxed);
    let done = gc(&backend, None).await;
    assert_eq!(done.drafts_ended, 1);
    assert_eq!(done.kept.bytes, 0);
}

#[tokio::test]
async fn objects_without_a_row_and_unfinished_files_go() {
    let (dir, repository) = on_disk();
    let backend = owner(&repository);
    let kept = log(&backend, &project("default"), "a", &[("x", b"1")], None).await;
    std::fs::create_dir_all(dir.path().join("objects/00")).unwrap();
    std::fs::write(dir.path().join(format!("objects/00/{:064}", 0)), vec![0; 5000]).unwrap();
    std::fs::write(dir.path().join("tmp/object-left"), vec![0; 700]).unwrap();
    let done = gc(&backend, None).await;
    assert_eq!((done.orphans.count, done.orphans.bytes), (1, 5000));
    assert_eq!((done.leftovers.count, done.leftovers.bytes), (1, 700));
    assert_eq!(done.freed, 5700);
    read(&backend, &kept, b"1").await.unwrap();
}

#[tokio::test]
async fn a_tree_that_cannot_be_read_stops_the_removal() {
    let (dir, repository) = on_disk();
    let backend = owner(&repository);
    let default = project("default");
    log(&backend, &default, "good", &[("x", &noise(1, 100_000))], None).await;
    rm(&backend, "good:v0").await;
    log(&backend, &default, "bad", &[("some-path-in-a-node", b"content")], None).await;
    assert!(packs(dir.path()).iter().any(|pack| damage(pack, b"some-path-in-a-node")));
    let before = packs(dir.path());
    let refused: Problem =
        backend.gc(GcRequest { grace: Some(0), ..GcRequest::default() }).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Corrupt);
    assert!(refused.message.contains("bad:v0"), "{}", refused.message);
    assert_eq!(packs(dir.path()), before, "nothing was removed");
}

/// A bit of a row turns, and what a version needs seems to be given up, or garbage.
#[tokio::test]
async fn a_catalog_that_rots_makes_gc_remove_nothing_that_is_needed() {
    let content = noise(3, 3 << 20);
    for (rot, stops) in [
        ("UPDATE object SET state = 2 WHERE size > 3000000", true),
        ("UPDATE object SET state = 2", true),
        ("UPDATE object SET key = zeroblob(length(key)) WHERE size > 3000000", false),
        ("DELETE FROM location WHERE stored > 3000000", true),
        ("UPDATE location SET digest = zeroblob(32) WHERE stored > 3000000", true),
    ] {
        let (dir, repository) = on_disk();
        let backend = owner(&repository);
        let p = project("default");
        let (root, nodes) = tree(&[("w", &content)]);
        let draft = begin(&backend, &p, "x").await;
        let mut uploader = backend.uploader(draft).await.unwrap();
        let size = content.len() as u64;
        uploader.send_file(&mut file_of(&content), size, &mut |_| {}).unwrap();
        send(&mut *uploader, &[], &nodes);
        drop(uploader);
        let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root) };
        backend.commit(commit).await.unwrap();
        let before = packs(dir.path());
        let catalog = rusqlite::Connection::open(dir.path().join("catalog.sqlite3")).unwrap();
        catalog.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        assert!(catalog.execute(rot, []).unwrap() > 0);
        drop(catalog);
        for dry_run in [true, false, false] {
            let request = GcRequest { grace: Some(0), dry_run, progress: None };
            match backend.gc(request).await {
                Ok(report) => assert!(!stops && report.damages.len() == 1, "{rot}: {report:?}"),
                Err(problem) => {
                    assert_eq!(problem.code, ErrorCode::Corrupt, "{rot}: {problem:?}");
                    assert!(stops && problem.message.contains("x:v0"), "{rot}: {problem:?}");
                }
            }
        }
        let after = packs(dir.path());
        assert!(before.iter().all(|pack| after.contains(pack)), "{rot}: {after:?}");
        assert_eq!(std::fs::read(whole_path(dir.path(), &content)).unwrap(), content, "{rot}");
    }
}

#[tokio::test]
async fn only_who_administers_all_projects_frees_space() {
    both(async |repository| {
        log(&owner(&repository), &project("default"), "a", &[("x", b"1")], None).await;
        let refused = viewer_of(&repository, "default").gc(GcRequest::default()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden);
        let stranger = repository.as_caller(Caller::with_grants("eve", vec![]));
        assert_eq!(stranger.gc(GcRequest::default()).await.unwrap_err().code, ErrorCode::Forbidden);
    })
    .await;
}

#[tokio::test]
async fn damage_in_a_mostly_dead_pack_keeps_it() {
    let (dir, repository) = on_disk();
    let backend = owner(&repository);
    let default = project("default");
    let draft = begin(&backend, &default, "a").await;
    let mut uploader = backend.uploader(draft).await.unwrap();
    let (live, dead) = (noise(1, 2000), noise(2, 50_000));
    uploader.add(BlobKind::Content, &dead).unwrap();
    let (root, nodes) = tree(&[("x", &live)]);
    send(&mut *uploader, &[&live], &nodes);
    let commit = heirloom_api::Commit { draft: Some(draft), ..commit_of(&default, "a", root) };
    let version = backend.commit(commit).await.unwrap().unwrap();
    assert!(packs(dir.path()).iter().any(|pack| damage(pack, &live[..64])));
    let before = packs(dir.path());
    let done = backend.gc(GcRequest::default()).await.unwrap();
    assert_eq!(done.damages.len(), 1, "{done:?}");
    assert!(before.iter().all(|pack| pack.exists()));
    assert!(read(&backend, &version, &live).await.is_err());
}
