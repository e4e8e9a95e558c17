//! Deletion of many things at once, selections, lifetimes, and the way back.

use std::collections::BTreeSet;

use heirloom_core::{Alias, ArtifactName, CollectionId, Timestamp, Ttl, VersionIndex};

use crate::MemoryCatalog;
use crate::conformance::{Put, World};
use crate::row::{EventKind, VersionState};
use crate::rules::{
    self, Delete, Expected, Expire, Link, ProtectAlias, Refusal, RestoreVersions, Selection,
    SetAlias, UpdateCollection, UpdateProject, UpdateVersion, expires_at,
};

fn world(versions: u64) -> (World, heirloom_core::ProjectId, CollectionId) {
    let world = World::new(Box::new(MemoryCatalog::new()));
    let p = world.project("p");
    for content in 0..versions {
        world.put(p, &Put::new("animals", content)).unwrap();
    }
    let collection = world.collection(p, "animals").id;
    (world, p, collection)
}

fn at(index: u64) -> VersionIndex {
    VersionIndex::new(index)
}

fn link(world: &World, reference: &str, portfolio: &str) -> rules::Linked {
    let request = Link {
        by: world.by(),
        version: world.version(reference).id,
        project: world.project("p"),
        name: &ArtifactName::new(portfolio).unwrap(),
        collection: CollectionId(i64::try_from(world.fresh()).unwrap()),
        aliases: &[],
    };
    world.apply(|view| rules::link(view, &request)).unwrap()
}

fn alias(world: &World, collection: CollectionId, index: u64, name: &str) {
    let request = SetAlias {
        by: world.by(),
        collection,
        alias: &Alias::new(name).unwrap(),
        index: at(index),
        expected: Expected::Any,
    };
    world.apply(|view| rules::set_alias(view, &request)).unwrap();
}

#[test]
fn latest_falls_past_all_links_that_go_together() {
    let (world, _, _) = world(3);
    for index in 0..3 {
        link(&world, &format!("animals:v{index}"), "best");
    }
    let best = world.collection(world.project("p"), "best").id;
    let links = [(best, at(2)), (best, at(1))];
    let request = Delete { links: &links, ..Delete::nothing(world.by(), 60) };
    let done = world.apply(|view| rules::delete(view, &request)).unwrap();
    assert_eq!((done.links.len(), done.versions.len()), (2, 0));
    assert_eq!(world.index("best:latest"), 0);
    assert!(world.resolve("best:v1").is_err());
    assert_eq!(world.index("animals:v2"), 2, "the source stays");
}

#[test]
fn versions_links_and_collections_go_in_one_decision() {
    let (world, p, animals) = world(2);
    world.put(p, &Put::new("plants", 9)).unwrap();
    link(&world, "plants:v0", "best");
    let (best, plants) = (world.collection(p, "best").id, world.version("plants:v0").id);
    let alone = Delete { versions: &[plants], ..Delete::nothing(world.by(), 60) };
    let refused = world.apply(|view| rules::delete(view, &alone)).unwrap_err();
    assert!(matches!(&refused, Refusal::InUse { by } if by.len() == 1), "{refused}");
    // The link that holds it goes as well.
    let links = [(best, at(0))];
    let together = Delete { links: &links, collections: &[animals], ..alone };
    let done = world.apply(|view| rules::delete(view, &together)).unwrap();
    assert_eq!(done.versions.len(), 3);
    assert_eq!(done.collections, [animals]);
    assert!(world.resolve("animals").is_err());
    assert!(world.resolve("best").is_err());
    // Once more is refused: an operation that was answered has its key.
    let again = world.apply(|view| rules::delete(view, &together)).unwrap_err();
    assert!(matches!(again, Refusal::NotFound { .. }));
}

#[test]
fn dropped_aliases_are_told() {
    let (world, _, animals) = world(2);
    alias(&world, animals, 0, "prod");
    alias(&world, animals, 0, "old");
    let version = world.version("animals:v0").id;
    let request =
        Delete { versions: &[version], delete_aliases: true, ..Delete::nothing(world.by(), 60) };
    let done = world.apply(|view| rules::delete(view, &request)).unwrap();
    let names: Vec<&str> = done.versions[0].aliases.iter().map(Alias::as_str).collect();
    assert_eq!(names, ["old", "prod"]);
}

#[test]
fn selections_combine_and_spare_what_is_held() {
    let (world, p, animals) = world(6);
    alias(&world, animals, 1, "prod");
    let row = world.collection(p, "animals");
    let chosen = |selection: &Selection<'_>, now: Timestamp, told: bool| {
        let found = world.read(|view| {
            Ok(rules::select(view, &row, selection, told, now).map_err(|error| error.to_string()))
        });
        let found = found.unwrap();
        let free: Vec<u64> = found.free.iter().map(|member| member.index.get()).collect();
        let held: Vec<u64> = found.held.iter().map(|(index, _)| index.get()).collect();
        (free, held)
    };
    let far = Timestamp::from_micros(i64::MAX);
    let all = Selection::default();
    assert_eq!(chosen(&all, far, false), (vec![0, 2, 3, 4, 5], vec![1]));
    assert_eq!(chosen(&all, far, true), ((0..6).collect(), vec![]));
    let last = Selection { keep_last: Some(3), ..all };
    assert_eq!(chosen(&last, far, false), (vec![0, 2], vec![1]));
    let only: BTreeSet<VersionIndex> = [at(2), at(4), at(5), at(9)].into();
    let some = Selection { only: Some(&only), keep_last: Some(1), ..all };
    assert_eq!(chosen(&some, far, false).0, [2, 4]);
    let made = world.version("animals:v3").created_at;
    let old = Selection { older_than: Some(100), ..all };
    assert_eq!(chosen(&old, made.plus_seconds(100), true).0, [0, 1, 2, 3]);
    assert_eq!(chosen(&old, made.plus_seconds(99), true).0, [0, 1, 2]);
}

#[test]
fn what_changed_after_it_was_chosen_is_not_deleted() {
    let (world, p, animals) = world(3);
    let row = world.collection(p, "animals");
    let only: BTreeSet<VersionIndex> = [at(0), at(2)].into();
    let choose = |as_of: u64| {
        let selection = Selection { only: Some(&only), as_of: Some(as_of), ..Selection::default() };
        let now = world.now();
        world.read(|view| Ok(rules::select(view, &row, &selection, false, now).map(drop)))
    };
    let last = || world.read(|view| Ok(view.events(animals, None, 1)?[0].seq));
    let seen = last();
    assert!(choose(seen).is_ok());
    alias(&world, animals, 1, "x");
    assert!(choose(seen).is_ok(), "what happens to others does not matter");
    // A commit takes `latest` from v2.
    world.put(p, &Put::new("animals", 7)).unwrap();
    assert!(matches!(choose(seen), Err(Refusal::Changed { .. })));
    let seen = last();
    assert!(choose(seen).is_ok());
    alias(&world, animals, 0, "prod");
    let refused = choose(seen).unwrap_err();
    assert_eq!(refused.to_string(), "`animals:v0` changed after it was chosen");
    let seen = last();
    let update = UpdateCollection {
        by: world.by(),
        collection: animals,
        description: Some(Some("other")),
        artifact_type: None,
        ttl: None,
    };
    world.apply(|view| rules::update_collection(view, &update)).unwrap();
    assert!(matches!(choose(seen), Err(Refusal::Changed { .. })));
}

fn set_ttl(world: &World, collection: CollectionId, index: u64, ttl: Ttl) {
    let update = UpdateVersion {
        by: world.by(),
        collection,
        index: at(index),
        description: None,
        metadata: None,
        ttl: Some(ttl),
    };
    world.apply(|view| rules::update_version(view, &update)).unwrap();
}

#[test]
fn lifetimes_are_inherited() {
    let (world, p, animals) = world(1);
    let end = || {
        let (version, collection) = (world.version("animals:v0"), world.collection(p, "animals"));
        let project = world.read(|view| view.project_by_id(p)).unwrap();
        let micros = version.created_at.micros();
        expires_at(&version, &collection, &project).map(|end| (end.micros() - micros) / 1_000_000)
    };
    assert_eq!(end(), None);
    let project = |ttl| {
        let request = UpdateProject { project: p, ttl };
        world.apply(|view| rules::update_project(view, &request)).unwrap();
    };
    project(Ttl::Seconds(30));
    assert_eq!(end(), Some(30));
    let collection = |ttl| {
        let update = UpdateCollection {
            by: world.by(),
            collection: animals,
            description: None,
            artifact_type: None,
            ttl: Some(ttl),
        };
        world.apply(|view| rules::update_collection(view, &update)).unwrap();
    };
    collection(Ttl::Seconds(20));
    assert_eq!(end(), Some(20));
    set_ttl(&world, animals, 0, Ttl::Seconds(u64::MAX));
    assert!(end().is_some_and(|end| end > 1_000_000_000));
    set_ttl(&world, animals, 0, Ttl::Never);
    assert_eq!(end(), None);
    set_ttl(&world, animals, 0, Ttl::Inherit);
    collection(Ttl::Never);
    assert_eq!(end(), None);
    collection(Ttl::Inherit);
    project(Ttl::Inherit);
    assert_eq!(end(), None);
}

#[test]
fn expired_versions_go_unless_held_and_come_back_for_good() {
    let (world, p, animals) = world(5);
    for index in 1..5 {
        set_ttl(&world, animals, index, Ttl::Seconds(10));
    }
    alias(&world, animals, 1, "prod");
    link(&world, "animals:v2", "best");
    let ids: Vec<_> = (0..5).map(|index| world.version(&format!("animals:v{index}")).id).collect();
    let end = world.version("animals:v4").created_at.plus_seconds(10);
    let by = |at| rules::By { at, ..world.by() };
    let early = Expire { by: by(end.plus_seconds(-1)), versions: &ids[4..], undo_seconds: 60 };
    let done = world.apply(|view| rules::expire(view, &early)).unwrap();
    assert!(done.deleted.versions.is_empty() && done.held.is_empty());

    let request = Expire { by: by(end), versions: &ids, undo_seconds: 60 };
    let done = world.apply(|view| rules::expire(view, &request)).unwrap();
    let gone: Vec<u64> = done.deleted.versions.iter().map(|one| one.index.get()).collect();
    // The holder of `latest` is no exception.
    assert_eq!((gone, done.held), (vec![3, 4], vec![ids[1], ids[2]]));
    assert_eq!(world.index("animals:latest"), 2);
    world.read(|view| {
        let events = view.events(animals, None, 100)?;
        let deleted = events.iter().find(|event| event.kind == EventKind::Deleted).unwrap();
        assert!(deleted.detail.contains(r#""reason":"expired""#), "{}", deleted.detail);
        Ok(())
    });
    let again = world.apply(|view| rules::expire(view, &request)).unwrap();
    assert!(again.deleted.versions.is_empty());

    let restore = RestoreVersions { by: by(end), versions: &[ids[3], ids[4]] };
    let back = world.apply(|view| rules::restore_versions(view, &restore)).unwrap();
    assert!(back.iter().all(|one| one.kept));
    assert_eq!(world.index("animals:latest"), 4);
    assert_eq!(world.version("animals:v3").ttl, Ttl::Never);
    let again = world.apply(|view| rules::expire(view, &request)).unwrap();
    assert!(again.deleted.versions.is_empty(), "it would be deleted as soon as it is back");
    // A protected `latest` holds as any alias does.
    set_ttl(&world, animals, 4, Ttl::Seconds(10));
    let protect = ProtectAlias {
        by: world.admin(),
        collection: world.collection(p, "animals").id,
        alias: &Alias::latest(),
        protected: true,
    };
    world.apply(|view| rules::protect_alias(view, &protect)).unwrap();
    let done = world.apply(|view| rules::expire(view, &request)).unwrap();
    assert!(done.deleted.versions.is_empty() && done.held.contains(&ids[4]));
}

#[test]
fn many_come_back_at_once_with_their_collection() {
    let (world, p, animals) = world(4);
    let ids: Vec<_> = (0..4).map(|index| world.version(&format!("animals:v{index}")).id).collect();
    let all = Delete { collections: &[animals], ..Delete::nothing(world.by(), 60) };
    world.apply(|view| rules::delete(view, &all)).unwrap();
    assert_eq!(world.read(|view| view.deleted_collections(p, None, 10))[0].id, animals);
    assert!(world.read(|view| view.deleted_collections(p, Some(animals), 10)).is_empty());
    // In whatever order: `latest` comes back to the highest.
    let restore = RestoreVersions { by: world.by(), versions: &[ids[2], ids[0], ids[2]] };
    let back = world.apply(|view| rules::restore_versions(view, &restore)).unwrap();
    let back: Vec<u64> = back.iter().map(|one| one.index.get()).collect();
    assert_eq!(back, [2, 0]);
    assert_eq!(world.index("animals:latest"), 2);
    assert!(world.read(|view| view.deleted_collections(p, None, 10)).is_empty());
    let rest = RestoreVersions { by: world.by(), versions: &[ids[3], ids[0]] };
    let refused = world.apply(|view| rules::restore_versions(view, &rest));
    assert!(matches!(refused, Err(Refusal::NotDeleted { .. })), "all or none");
    let state = world.read(|view| view.version(ids[3])).unwrap().state;
    assert!(matches!(state, VersionState::Deleted { .. }));
}
