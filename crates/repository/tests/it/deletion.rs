//! Deletion as an operation: once per key, all or nothing, seen whole by readers.

use std::collections::BTreeSet;

use heirloom_api::{Backend, Delete, ListVersions, Matching, Restore, UpdateProject};
use heirloom_core::{Alias, Caller, ErrorCode, Grant, Role, Ttl, VersionIndex};

use crate::support::{both, key, log, name, owner, project, read, reference, resolve};

const FILES: [&[u8]; 3] = [b"zero", b"one", b"two"];

#[tokio::test]
async fn a_deletion_is_done_once_per_key() {
    both(async |repository| {
        let (backend, p) = (owner(&repository), project("default"));
        for bytes in FILES {
            log(&backend, &p, "a", &[("f", bytes)], None).await;
        }
        let request = Delete {
            key: Some(key()),
            matching: vec![Matching {
                name: reference("a"),
                only: None,
                as_of: None,
                older_than: None,
                keep_last: Some(1),
            }],
            ..Delete::default()
        };
        let first = backend.delete(p.clone(), request.clone()).await.unwrap();
        assert_eq!(first.deleted.len(), 2);
        // Meanwhile the last would not be the last any more.
        log(&backend, &p, "a", &[("f", b"three")], None).await;
        let again = backend.delete(p.clone(), request.clone()).await.unwrap();
        assert_eq!(again.deleted, first.deleted);
        resolve(&backend, "a:v2").await;
        let other = Delete { delete_aliases: true, ..request };
        let refused = backend.delete(p.clone(), other).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict, "the key is of another operation");

        let request = Restore { key: Some(key()), versions: vec![reference("a:v0")] };
        let first = backend.restore(p.clone(), request.clone()).await.unwrap();
        assert_eq!(backend.restore(p.clone(), request).await.unwrap(), first);
        let whole =
            Delete { key: Some(key()), artifacts: vec![reference("a")], ..Delete::default() };
        let first = backend.delete(p.clone(), whole.clone()).await.unwrap();
        assert_eq!((first.deleted.len(), first.artifacts.len()), (3, 1));
        assert_eq!(backend.delete(p.clone(), whole).await.unwrap().deleted, first.deleted);
    })
    .await;
}

#[tokio::test]
async fn a_choice_that_changed_is_not_deleted() {
    both(async |repository| {
        let (backend, p) = (owner(&repository), project("default"));
        for bytes in FILES {
            log(&backend, &p, "a", &[("f", bytes)], None).await;
        }
        let seen = backend.events(p.clone(), name("a"), None, 1).await.unwrap()[0].seq;
        let choice = |as_of| Delete {
            matching: vec![Matching {
                name: reference("a"),
                only: Some(BTreeSet::from([VersionIndex::ZERO])),
                as_of: Some(as_of),
                older_than: None,
                keep_last: None,
            }],
            // Without the check the new alias would be dropped.
            delete_aliases: true,
            ..Delete::default()
        };
        let v0 = resolve(&backend, "a:v0").await;
        let prod = Alias::new("prod").unwrap();
        backend.set_alias(v0, prod, heirloom_api::Expected::Any).await.unwrap();
        let refused = backend.delete(p.clone(), choice(seen)).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
        resolve(&backend, "a:prod").await;
        let seen = backend.events(p.clone(), name("a"), None, 1).await.unwrap()[0].seq;
        backend.delete(p.clone(), choice(seen)).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_others_hold_does_not_become_free() {
    both(async |repository| {
        let (backend, p) = (owner(&repository), project("default"));
        log(&backend, &p, "a", &[("own", b"12345"), ("same", b"1234567")], None).await;
        log(&backend, &p, "a", &[("same", b"1234567")], None).await;
        log(&backend, &project("other"), "b", &[("own", b"12345")], None).await;
        let rm =
            |text: &str, dry_run| Delete { dry_run, ..Delete::versions(vec![reference(text)]) };
        let free = backend.delete(p.clone(), rm("a:v0", true)).await.unwrap().freeable.unwrap();
        assert_eq!((free.bytes, free.shared, free.exact), (0, 12, true), "another project has it");
        backend.delete(project("other"), rm("b:v0", false)).await.unwrap();
        let free = backend.delete(p.clone(), rm("a:v0", false)).await.unwrap().freeable.unwrap();
        assert_eq!((free.bytes, free.shared, free.exact), (5, 7, true));
        let free = backend.delete(p, rm("a:v1", false)).await.unwrap().freeable.unwrap();
        assert_eq!((free.bytes, free.shared, free.exact), (7, 0, true));
    })
    .await;
}

#[tokio::test]
async fn readers_beside_deletions_get_all_or_a_clean_error() {
    both(async |repository| {
        let (backend, p) = (owner(&repository), project("default"));
        let mut made = Vec::new();
        for bytes in FILES {
            made.push((log(&backend, &p, "a", &[("f", bytes)], None).await, bytes));
        }
        let deleter = {
            let (backend, p) = (owner(&repository), p.clone());
            tokio::spawn(async move {
                for _ in 0..40 {
                    let two = vec![reference("a:v1"), reference("a:v2")];
                    backend.delete(p.clone(), Delete::versions(two.clone())).await.unwrap();
                    let restore = Restore { key: None, versions: two };
                    backend.restore(p.clone(), restore).await.unwrap();
                }
            })
        };
        let mut seen = BTreeSet::new();
        while !deleter.is_finished() {
            // `latest` names a readable version at every instant.
            let latest = backend.resolve(p.clone(), reference("a:latest")).await.unwrap();
            seen.insert(latest.index.get());
            let list = ListVersions { before: None, limit: 10, deleted: false };
            let listed = backend.versions(p.clone(), name("a"), list).await.unwrap();
            assert!([1, 3].contains(&listed.len()), "both go at once: {}", listed.len());
            for (version, bytes) in &made {
                match read(&backend, version, bytes).await {
                    Ok(()) => {}
                    Err(problem) => assert_eq!(problem.code, ErrorCode::NotFound, "{problem:?}"),
                }
            }
        }
        deleter.await.unwrap();
        assert!(seen.iter().all(|index| [0, 2].contains(index)), "{seen:?}");
    })
    .await;
}

#[tokio::test]
async fn protection_lifetimes_and_retention_are_for_admins() {
    both(async |repository| {
        let (backend, p) = (owner(&repository), project("default"));
        log(&backend, &p, "a", &[("f", b"1")], None).await;
        let prod = Alias::new("prod").unwrap();
        let v0 = resolve(&backend, "a:v0").await;
        backend.set_alias(v0.clone(), prod.clone(), heirloom_api::Expected::Any).await.unwrap();
        let caller = |role| {
            let entity = p.entity.clone();
            let grant = Grant { entity, project: Some(p.project.clone()), role };
            repository.as_caller(Caller::with_grants("bob", vec![grant]))
        };
        let writer = caller(Role::Writer);
        let ttl = UpdateProject { ttl: Some(Ttl::Never) };
        let denied = [
            writer.protect_alias(p.clone(), name("a"), prod.clone(), true).await.map(drop),
            writer.update_project(p.clone(), ttl.clone()).await.map(drop),
            writer.set_retention(p.clone(), name("a"), None).await.map(drop),
            caller(Role::Viewer).apply_retention(p.clone(), name("a"), false).await.map(drop),
            caller(Role::Viewer)
                .delete(p.clone(), Delete::versions(vec![reference("a:v0")]))
                .await
                .map(drop),
        ];
        for (at, denied) in denied.into_iter().enumerate() {
            assert_eq!(denied.unwrap_err().code, ErrorCode::Forbidden, "{at}");
        }
        let admin = caller(Role::Admin);
        admin.update_project(p.clone(), ttl).await.unwrap();
        admin.protect_alias(p.clone(), name("a"), prod.clone(), true).await.unwrap();
        // Nobody moves or drops it, the owner neither.
        let moved = backend.set_alias(v0, prod.clone(), heirloom_api::Expected::Any).await;
        moved.unwrap();
        log(&backend, &p, "a", &[("f", b"2")], None).await;
        let v1 = resolve(&backend, "a:v1").await;
        let moved = backend.set_alias(v1, prod, heirloom_api::Expected::Any).await.unwrap_err();
        assert_eq!(moved.code, ErrorCode::Forbidden);
        let rm = Delete { delete_aliases: true, ..Delete::versions(vec![reference("a:v0")]) };
        assert_eq!(backend.delete(p.clone(), rm).await.unwrap_err().code, ErrorCode::InUse);
    })
    .await;
}
