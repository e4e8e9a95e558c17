//! The rules, run against a catalog: what is promised of versions, aliases,
//! links, deletion and names.

use heirloom_core::{
    Alias, ArtifactName, ArtifactType, CollectionId, ErrorCode, Tag, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::ManifestId;

use super::world::{Put, World, alias, root_of};
use super::{Factory, suite};
use crate::row::{EdgeKind, EventKind, VersionState};
use crate::rules::{
    self, DeleteCollection, DeleteVersions, Expected, Holder, Link, ProtectAlias, Refusal,
    RemoveAlias, Rename, RestoreVersion, SetAlias, TagVersion, Unlink, UpdateCollection,
    UpdateVersion, UseVersion,
};
use crate::view::{Edit, Order};

suite![
    identical_content_makes_no_version,
    only_the_newest_is_compared,
    description_and_metadata_make_no_version,
    numbers_are_dense_and_never_reused,
    latest_follows_commits,
    a_hand_moved_latest_lasts_until_the_next_commit,
    a_protected_latest_stays,
    latest_falls_to_the_highest_that_remains,
    alias_moves_are_conditional_and_journalled,
    protected_aliases_yield_to_admins_only,
    a_collection_has_one_type,
    deletion_is_refused_while_something_holds_the_version,
    deletion_of_many_is_all_or_none,
    deleted_versions_can_be_restored,
    a_recreated_collection_is_a_new_one,
    a_deleted_collection_comes_back_with_a_version,
    lineage_outlives_deletion,
    links_have_numbers_of_their_own,
    unlinking_leaves_the_source,
    old_names_lead_to_the_renamed_collection,
    references_resolve,
    typos_get_suggestions,
    a_version_without_a_run_records_its_making,
    tags_are_labels_not_names,
    lifetimes_are_kept,
];

fn deletion<'a>(world: &World, versions: &'a [VersionId]) -> DeleteVersions<'a> {
    DeleteVersions {
        by: world.by(),
        versions,
        delete_aliases: false,
        delete_links: false,
        latest_holds: false,
        undo_seconds: 7 * 86_400,
    }
}

fn delete(world: &World, reference: &str) -> Result<rules::Deleted, Refusal> {
    let id = world.version(reference).id;
    let request = deletion(world, &[id]).versions.to_vec();
    let request = deletion(world, &request);
    world.apply(|view| rules::delete_versions(view, &request))
}

fn set(world: &World, reference: &str, to: &str, expected: Expected) -> Result<(), Refusal> {
    let found = world.resolve(reference)?;
    let request = SetAlias {
        by: world.by(),
        collection: found.collection.id,
        alias: &alias(to),
        index: found.membership.index,
        expected,
    };
    world.apply(|view| rules::set_alias(view, &request)).map(drop)
}

fn identical_content_makes_no_version(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let (one, two) = (world.run(p, "one"), world.run(p, "two"));
    let first = world.put(p, &Put { run: Some(one), ..Put::new("animals", 1) }).unwrap();
    assert!(first.created);
    let again =
        Put { run: Some(two), aliases: &["prod"], tags: &["good"], ..Put::new("animals", 1) };
    let again = world.put(p, &again).unwrap();
    assert!(!again.created);
    assert_eq!((again.version, again.index), (first.version, first.index));
    assert_eq!(world.index("animals:prod"), 0);
    world.read(|view| {
        for run in [one, two] {
            assert!(view.edge(EdgeKind::Produced, run, first.version)?.is_some());
        }
        assert_eq!(view.tags(first.version)?.len(), 1);
        let events = view.events(first.collection, None, 100)?;
        let unchanged = events.iter().find(|event| event.kind == EventKind::Unchanged).unwrap();
        assert_eq!((unchanged.run, unchanged.index), (Some(two), Some(VersionIndex::ZERO)));
        assert_eq!(view.version(first.version)?.unwrap().run, Some(one));
        assert!(view.drafts(None, 10)?.is_empty());
        Ok(())
    });
    let probe = |content| {
        let digest = ManifestId::of_root(&root_of(content));
        let name = ArtifactName::new("animals").unwrap();
        world.read(|view| rules::newest_has(view, p, &name, &digest)).is_some()
    };
    assert!(probe(1) && !probe(2));
}

fn only_the_newest_is_compared(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    for (content, index) in [(1, 0), (2, 1), (1, 2)] {
        let done = world.put(p, &Put::new("animals", content)).unwrap();
        assert_eq!((done.index.get(), done.created), (index, true));
    }
    let forced = Put { force_new: true, ..Put::new("animals", 1) };
    assert_eq!(world.put(p, &forced).unwrap().index.get(), 3);
}

fn description_and_metadata_make_no_version(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let put = Put {
        description: Some("first"),
        metadata: Some(r#"{"b":1,"a":2}"#),
        ..Put::new("animals", 1)
    };
    world.put(p, &put).unwrap();
    let other = Put { description: Some("second"), metadata: Some("{}"), ..put.clone() };
    assert!(!world.put(p, &other).unwrap().created);
    let before = world.version("animals");
    assert_eq!(before.description.as_deref(), Some("first"));
    assert_eq!(before.metadata.as_deref(), Some(r#"{"b":1,"a":2}"#));
    let update = UpdateVersion {
        by: world.by(),
        collection: before.collection,
        index: before.index,
        description: Some(Some("third")),
        metadata: Some(None),
        ttl: None,
    };
    let after = world.apply(|view| rules::update_version(view, &update)).unwrap();
    assert_eq!((after.description.as_deref(), &after.metadata), (Some("third"), &None));
    assert_eq!(world.version("animals"), after);
    assert_eq!(after.digest, before.digest);
    for bad in ["[]", "1", "{", ""] {
        let bad = UpdateVersion { metadata: Some(Some(bad)), ..update };
        let refused = world.apply(|view| rules::update_version(view, &bad)).unwrap_err();
        assert!(matches!(refused, Refusal::InvalidMetadata { what: "metadata", .. }), "{refused}");
        let put = Put { metadata: Some("[]"), ..Put::new("plants", 1) };
        assert!(matches!(world.put(p, &put), Err(Refusal::InvalidMetadata { .. })));
    }
}

fn numbers_are_dense_and_never_reused(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    for content in 0..3 {
        assert_eq!(world.put(p, &Put::new("animals", content)).unwrap().index.get(), content);
    }
    delete(&world, "animals:v2").unwrap();
    delete(&world, "animals:v0").unwrap();
    // What v2 had is new again: the newest that exists is v1.
    assert_eq!(world.put(p, &Put::new("animals", 2)).unwrap().index.get(), 3);
    let row = world.collection(p, "animals");
    let members = world.read(|view| view.memberships(row.id, None, Order::Oldest, 10));
    let indexes: Vec<u64> = members.iter().map(|member| member.index.get()).collect();
    assert_eq!(indexes, [0, 1, 2, 3]);
    assert_eq!(row.next_index.get(), 4);
}

fn latest_follows_commits(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    for content in 0..3 {
        world.put(p, &Put { aliases: &["latest", "x"], ..Put::new("animals", content) }).unwrap();
        assert_eq!(world.index("animals:latest"), content);
        assert_eq!(world.index("animals"), content);
        assert_eq!(world.index("animals:x"), content);
    }
    let row = world.collection(p, "animals");
    let refused = world.apply(|view| {
        let alias = Alias::latest();
        let request = RemoveAlias {
            by: world.by(),
            collection: row.id,
            alias: &alias,
            expected: Expected::Any,
        };
        rules::remove_alias(view, &request)
    });
    assert!(matches!(refused, Err(Refusal::SystemAlias { .. })));
}

fn a_hand_moved_latest_lasts_until_the_next_commit(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    for content in 0..3 {
        world.put(p, &Put::new("animals", content)).unwrap();
    }
    set(&world, "animals:v0", "latest", Expected::Any).unwrap();
    assert_eq!(world.index("animals"), 0);
    // The same content is no commit; asking for `latest` by name moves it.
    assert!(!world.put(p, &Put::new("animals", 2)).unwrap().created);
    assert_eq!(world.index("animals"), 0);
    world.put(p, &Put { aliases: &["latest"], ..Put::new("animals", 2) }).unwrap();
    assert_eq!(world.index("animals"), 2);
    set(&world, "animals:v1", "latest", Expected::Any).unwrap();
    world.put(p, &Put::new("animals", 9)).unwrap();
    assert_eq!(world.index("animals"), 3);
}

fn a_protected_latest_stays(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    world.put(p, &Put::new("animals", 0)).unwrap();
    let collection = world.collection(p, "animals").id;
    protect(&world, collection, "latest", true).unwrap();
    let done = world.put(p, &Put { aliases: &["latest"], ..Put::new("animals", 1) }).unwrap();
    assert!(done.created);
    assert_eq!(world.index("animals"), 0);
    assert!(
        !world.put(p, &Put { aliases: &["latest"], ..Put::new("animals", 1) }).unwrap().created
    );
    assert_eq!(world.index("animals"), 0);
}

fn protect(world: &World, collection: CollectionId, name: &str, on: bool) -> Result<bool, Refusal> {
    let alias = alias(name);
    let request = ProtectAlias { by: world.admin(), collection, alias: &alias, protected: on };
    world.apply(|view| rules::protect_alias(view, &request))
}

fn latest_falls_to_the_highest_that_remains(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    for content in 0..4 {
        world.put(p, &Put::new("animals", content)).unwrap();
    }
    delete(&world, "animals:v2").unwrap();
    assert_eq!(world.index("animals"), 3);
    delete(&world, "animals:latest").unwrap();
    assert_eq!(world.index("animals"), 1);
    let both = [world.version("animals:v0").id, world.version("animals:v1").id];
    let request = deletion(&world, &both);
    world.apply(|view| rules::delete_versions(view, &request)).unwrap();
    let refused = world.resolve("animals").unwrap_err();
    assert!(matches!(refused, Refusal::NotFound { what: "alias", .. }), "{refused}");
    world.put(p, &Put::new("animals", 0)).unwrap();
    assert_eq!(world.index("animals"), 4);
}

fn alias_moves_are_conditional_and_journalled(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    for content in 0..3 {
        world.put(p, &Put::new("animals", content)).unwrap();
    }
    set(&world, "animals:v0", "prod", Expected::Absent).unwrap();
    let refused = set(&world, "animals:v1", "prod", Expected::Absent).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict);
    let Refusal::AliasMoved { found, .. } = refused else { panic!("{refused}") };
    assert_eq!(found, Some(VersionIndex::ZERO));
    set(&world, "animals:v1", "prod", Expected::Is(VersionIndex::ZERO)).unwrap();
    assert!(set(&world, "animals:v2", "prod", Expected::Is(VersionIndex::new(2))).is_err());
    assert_eq!(world.index("animals:prod"), 1);
    let row = world.collection(p, "animals");
    let events = world.read(|view| view.events(row.id, None, 1));
    assert_eq!(events[0].kind, EventKind::AliasSet);
    assert_eq!(events[0].detail, r#"{"alias":"prod","from":0,"to":1}"#);
    assert_eq!(events[0].actor, super::world::ACTOR);
    let prod = alias("prod");
    let mut request = RemoveAlias {
        by: world.by(),
        collection: row.id,
        alias: &prod,
        expected: Expected::Is(VersionIndex::ZERO),
    };
    assert!(world.apply(|view| rules::remove_alias(view, &request)).is_err());
    request.expected = Expected::Any;
    let change = world.apply(|view| rules::remove_alias(view, &request)).unwrap();
    assert_eq!((change.from, change.to), (Some(VersionIndex::new(1)), None));
    let refused = world.apply(|view| rules::remove_alias(view, &request)).unwrap_err();
    assert!(matches!(refused, Refusal::NotFound { what: "alias", .. }), "{refused}");
    assert!(matches!(
        set(&world, "animals:v7", "prod", Expected::Any),
        Err(Refusal::NotFound { what: "version", .. })
    ));
}

fn protected_aliases_yield_to_admins_only(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    world.put(p, &Put { aliases: &["prod"], ..Put::new("animals", 0) }).unwrap();
    let collection = world.collection(p, "animals").id;
    assert!(protect(&world, collection, "prod", true).unwrap());
    assert!(!protect(&world, collection, "prod", true).unwrap());
    // The whole commit is refused: nothing is half done.
    let put = Put { aliases: &["prod"], ..Put::new("animals", 1) };
    assert!(matches!(world.put(p, &put), Err(Refusal::ProtectedAlias { .. })));
    assert!(world.resolve("animals:v1").is_err());
    world.put(p, &Put::new("animals", 1)).unwrap();
    assert!(matches!(
        set(&world, "animals:v1", "prod", Expected::Any),
        Err(Refusal::ProtectedAlias { .. })
    ));
    set(&world, "animals:v0", "prod", Expected::Any).unwrap();
    let refused = delete(&world, "animals:v0").unwrap_err();
    let Refusal::InUse { by } = &refused else { panic!("{refused}") };
    assert!(matches!(&by[..], [Holder::Alias { protected: true, .. }]));
    let ids = [world.version("animals:v0").id];
    let told = DeleteVersions { delete_aliases: true, ..deletion(&world, &ids) };
    assert!(world.apply(|view| rules::delete_versions(view, &told)).is_err());
    let prod = alias("prod");
    let request = SetAlias {
        by: world.admin(),
        collection,
        alias: &prod,
        index: VersionIndex::new(1),
        expected: Expected::Any,
    };
    world.apply(|view| rules::set_alias(view, &request)).unwrap();
    let row = world.read(|view| view.alias(collection, &prod)).unwrap();
    assert_eq!((row.index.get(), row.protected), (1, true));
}

fn a_collection_has_one_type(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let untyped = Put { artifact_type: None, ..Put::new("animals", 0) };
    assert!(matches!(world.put(p, &untyped), Err(Refusal::NeedsType { .. })));
    world.put(p, &Put::new("animals", 0)).unwrap();
    world.put(p, &Put { content: 1, ..untyped.clone() }).unwrap();
    let wrong = Put { artifact_type: Some("model"), ..Put::new("animals", 2) };
    let refused = world.put(p, &wrong).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::WrongType);
    let Refusal::WrongType { existing, asked, .. } = refused else { panic!("{refused}") };
    assert_eq!((existing.as_str(), asked.as_str()), ("dataset", "model"));
    let model = ArtifactType::new("model").unwrap();
    let update = UpdateCollection {
        by: world.by(),
        collection: world.collection(p, "animals").id,
        description: Some(Some("beasts")),
        artifact_type: Some(&model),
        ttl: None,
    };
    world.apply(|view| rules::update_collection(view, &update)).unwrap();
    assert_eq!(world.put(p, &wrong).unwrap().index.get(), 2);
    let row = world.collection(p, "animals");
    assert_eq!(row.description.as_deref(), Some("beasts"));
    let events = world.read(|view| view.events(row.id, None, 100));
    assert!(events.iter().any(|event| event.kind == EventKind::TypeChanged));
}

fn deletion_is_refused_while_something_holds_the_version(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    world.put(p, &Put { aliases: &["prod"], ..Put::new("animals", 0) }).unwrap();
    world.put(p, &Put::new("animals", 1)).unwrap();
    link(&world, p, "animals:v0", "registry", &["best"]).unwrap();
    let refused = delete(&world, "animals:v0").unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InUse);
    let Refusal::InUse { by } = &refused else { panic!("{refused}") };
    let held: Vec<String> = by.iter().map(Holder::to_string).collect();
    assert_eq!(
        held,
        [
            "alias `prod` of animals:v0",
            "alias `best` of registry:v0",
            "link registry:v0 to animals:v0",
        ]
    );
    let ids = [world.version("animals:v0").id];
    let mut request = DeleteVersions { delete_aliases: true, ..deletion(&world, &ids) };
    assert!(world.apply(|view| rules::delete_versions(view, &request)).is_err());
    request.delete_links = true;
    let done = world.apply(|view| rules::delete_versions(view, &request)).unwrap();
    assert_eq!((done.versions.len(), done.links.len()), (1, 1));
    assert!(world.resolve("registry").is_err());
    assert!(world.resolve("animals:prod").is_err());
    // `latest` alone does not hold a version, unless the protocol says so.
    let ids = [world.version("animals:latest").id];
    let strict = DeleteVersions { latest_holds: true, ..deletion(&world, &ids) };
    assert!(world.apply(|view| rules::delete_versions(view, &strict)).is_err());
    delete(&world, "animals:latest").unwrap();
}

fn deletion_of_many_is_all_or_none(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    world.put(p, &Put::new("animals", 0)).unwrap();
    world.put(p, &Put { aliases: &["prod"], ..Put::new("animals", 1) }).unwrap();
    world.put(p, &Put::new("animals", 2)).unwrap();
    let ids: Vec<VersionId> =
        ["animals:v0", "animals:v1"].map(|name| world.version(name).id).to_vec();
    let request = deletion(&world, &ids);
    assert!(world.apply(|view| rules::delete_versions(view, &request)).is_err());
    assert_eq!(world.index("animals:v0"), 0);
    let request = DeleteVersions { delete_aliases: true, ..request };
    let done = world.apply(|view| rules::delete_versions(view, &request)).unwrap();
    assert_eq!(done.versions.len(), 2);
    let again = world.apply(|view| rules::delete_versions(view, &request));
    assert!(matches!(again, Err(Refusal::NotFound { what: "version", .. })));
}

fn deleted_versions_can_be_restored(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    for content in 0..3 {
        world.put(p, &Put::new("animals", content)).unwrap();
    }
    let gone = world.version("animals:v2");
    let done = delete(&world, "animals:v2").unwrap();
    let row = world.read(|view| view.version(gone.id)).unwrap();
    let VersionState::Deleted { at, purge_after } = row.state else { panic!("{row:?}") };
    assert_eq!((purge_after, done.purge_after), (at.plus_seconds(7 * 86_400), purge_after));
    assert!(world.resolve("animals:v2").is_err());
    assert!(world.resolve(&format!("animals@{}", gone.digest)).is_err());
    let restore = RestoreVersion { by: world.by(), version: gone.id };
    let back = world.apply(|view| rules::restore_version(view, &restore)).unwrap();
    assert_eq!(back.index.get(), 2);
    assert_eq!(world.version("animals:v2"), gone);
    assert_eq!(world.index("animals:latest"), 2);
    let again = world.apply(|view| rules::restore_version(view, &restore));
    assert!(matches!(again, Err(Refusal::NotDeleted { .. })));
    // A `latest` moved by hand is left where it is.
    delete(&world, "animals:v2").unwrap();
    set(&world, "animals:v0", "latest", Expected::Any).unwrap();
    world.apply(|view| rules::restore_version(view, &restore)).unwrap();
    assert_eq!(world.index("animals:latest"), 0);
    delete(&world, "animals:v2").unwrap();
    let state = VersionState::Purged;
    world.edit(vec![Edit::SetVersionState { version: gone.id, state }]).unwrap();
    let refused = world.apply(|view| rules::restore_version(view, &restore));
    assert!(matches!(refused, Err(Refusal::NotFound { .. })));
}

fn delete_all(
    world: &World,
    collection: CollectionId,
    told: bool,
) -> Result<rules::Deleted, Refusal> {
    let request = DeleteCollection {
        by: world.by(),
        collection,
        delete_aliases: told,
        delete_links: told,
        undo_seconds: 60,
    };
    world.apply(|view| rules::delete_collection(view, &request))
}

fn a_recreated_collection_is_a_new_one(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    world.put(p, &Put { aliases: &["prod"], ..Put::new("animals", 0) }).unwrap();
    world.put(p, &Put::new("animals", 1)).unwrap();
    let old = world.collection(p, "animals");
    assert!(matches!(delete_all(&world, old.id, false), Err(Refusal::InUse { .. })));
    assert_eq!(delete_all(&world, old.id, true).unwrap().versions.len(), 2);
    assert!(world.resolve("animals").is_err());
    assert!(world.read(|view| view.aliases(old.id)).is_empty());
    let other = Put { artifact_type: Some("model"), ..Put::new("animals", 1) };
    let done = world.put(p, &other).unwrap();
    assert_eq!(done.index, VersionIndex::ZERO);
    assert_ne!(done.collection, old.id);
    assert!(world.read(|view| view.collection_by_id(old.id)).unwrap().deleted_at.is_some());
}

fn a_deleted_collection_comes_back_with_a_version(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    for content in 0..2 {
        world.put(p, &Put::new("animals", content)).unwrap();
    }
    let version = world.version("animals:v0").id;
    let old = world.collection(p, "animals");
    delete_all(&world, old.id, true).unwrap();
    let restore = RestoreVersion { by: world.by(), version };
    world.put(p, &Put::new("animals", 5)).unwrap();
    let refused = world.apply(|view| rules::restore_version(view, &restore));
    assert!(matches!(refused, Err(Refusal::NameTaken { .. })));
    let rename = Rename {
        by: world.by(),
        collection: world.collection(p, "animals").id,
        to: &ArtifactName::new("others").unwrap(),
    };
    world.apply(|view| rules::rename(view, &rename)).unwrap();
    world.apply(|view| rules::restore_version(view, &restore)).unwrap();
    assert_eq!(world.collection(p, "animals").id, old.id);
    assert_eq!(world.index("animals:latest"), 0);
    assert_eq!(world.put(p, &Put::new("animals", 7)).unwrap().index.get(), 2);
}

fn lineage_outlives_deletion(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let (maker, user) = (world.run(p, "maker"), world.run(p, "user"));
    let done = world.put(p, &Put { run: Some(maker), ..Put::new("animals", 0) }).unwrap();
    let used =
        UseVersion { run: user, version: done.version, asked: Some("animals"), at: world.now() };
    assert!(world.apply(|view| rules::use_version(view, &used)).unwrap());
    assert!(!world.apply(|view| rules::use_version(view, &used)).unwrap());
    let to = ArtifactName::new("beasts").unwrap();
    let rename = Rename { by: world.by(), collection: done.collection, to: &to };
    world.apply(|view| rules::rename(view, &rename)).unwrap();
    delete(&world, "beasts:v0").unwrap();
    world.read(|view| {
        let edges = view.edges_of_versions(&[done.version], None)?;
        let kinds: Vec<_> = edges.iter().map(|edge| (edge.kind, edge.run)).collect();
        assert_eq!(kinds, [(EdgeKind::Produced, maker), (EdgeKind::Used, user)]);
        assert_eq!(edges[1].asked.as_deref(), Some("animals"));
        assert!(view.version(done.version)?.is_some());
        Ok(())
    });
    // What is deleted cannot be used any more.
    assert!(world.apply(|view| rules::use_version(view, &used)).is_err());
    let nobody = UseVersion { run: heirloom_core::RunId::from_random(99_999), ..used };
    let refused = world.apply(|view| rules::use_version(view, &nobody));
    assert!(matches!(refused, Err(Refusal::NotFound { what: "run", .. })));
}

fn link(
    world: &World,
    project: heirloom_core::ProjectId,
    reference: &str,
    portfolio: &str,
    aliases: &[&str],
) -> Result<rules::Linked, Refusal> {
    let aliases: Vec<Alias> = aliases.iter().map(|text| alias(text)).collect();
    let name = ArtifactName::new(portfolio).unwrap();
    let request = Link {
        by: world.by(),
        version: world.version(reference).id,
        project,
        name: &name,
        collection: CollectionId(i64::try_from(world.fresh()).unwrap()),
        aliases: &aliases,
    };
    world.apply(|view| rules::link(view, &request))
}

fn links_have_numbers_of_their_own(factory: Factory<'_>) {
    let world = World::new(factory());
    let (p, other) = (world.project("p"), world.project("registry"));
    for content in 0..3 {
        world.put(p, &Put::new("animals", content)).unwrap();
    }
    world.put(p, &Put { artifact_type: Some("model"), ..Put::new("net", 8) }).unwrap();
    let first = link(&world, other, "animals:v2", "best", &["prod"]).unwrap();
    assert_eq!((first.index.get(), first.created), (0, true));
    let second = link(&world, other, "animals:v0", "best", &[]).unwrap();
    assert_eq!(second.index.get(), 1);
    let again = link(&world, other, "animals:v2", "best", &["prod", "old"]).unwrap();
    assert_eq!((again.index.get(), again.created), (0, false));
    assert_eq!(world.version("registry/best:prod"), world.version("animals:v2"));
    assert_eq!(world.version("registry/best:old"), world.version("animals:v2"));
    assert_eq!(world.version("registry/best"), world.version("animals:v0"));
    // A link of a link is a link of the version.
    assert!(!link(&world, other, "registry/best:v1", "best", &[]).unwrap().created);
    assert!(matches!(link(&world, other, "net", "best", &[]), Err(Refusal::WrongType { .. })));
    assert!(matches!(link(&world, p, "net", "animals", &[]), Err(Refusal::NotPortfolio { .. })));
    let put = Put::new("best", 1);
    assert!(matches!(world.put(other, &put), Err(Refusal::IsPortfolio { .. })));
    let places = world.read(|view| view.memberships_of(world.version("animals:v2").id));
    assert_eq!(places[0].collection, world.collection(p, "animals").id);
    assert_eq!(places.len(), 2);
}

fn unlinking_leaves_the_source(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    for content in 0..2 {
        world.put(p, &Put::new("animals", content)).unwrap();
        link(&world, p, &format!("animals:v{content}"), "best", &["prod"]).unwrap();
    }
    let portfolio = world.collection(p, "best");
    let request = Unlink { by: world.by(), collection: portfolio.id, index: VersionIndex::new(1) };
    let done = world.apply(|view| rules::unlink(view, &request)).unwrap();
    assert_eq!(done.version, world.version("animals:v1").id);
    assert_eq!(world.index("best:latest"), 0);
    assert!(world.resolve("best:prod").is_err());
    assert_eq!(link(&world, p, "animals:v1", "best", &[]).unwrap().index.get(), 2);
    let own = Unlink { collection: world.collection(p, "animals").id, ..request };
    let refused = world.apply(|view| rules::unlink(view, &own));
    assert!(matches!(refused, Err(Refusal::NotPortfolio { .. })));
    protect(&world, portfolio.id, "latest", true).unwrap();
    let held = Unlink { index: VersionIndex::new(2), ..request };
    let refused = world.apply(|view| rules::unlink(view, &held));
    assert!(matches!(refused, Err(Refusal::ProtectedAlias { .. })));
    protect(&world, portfolio.id, "latest", false).unwrap();
    delete_all(&world, portfolio.id, true).unwrap();
    assert!(world.resolve("best").is_err());
    assert_eq!(world.index("animals"), 1);
}

fn rename_to(world: &World, collection: CollectionId, to: &str) -> Result<(), Refusal> {
    let to = ArtifactName::new(to).unwrap();
    let request = Rename { by: world.by(), collection, to: &to };
    world.apply(|view| rules::rename(view, &request)).map(drop)
}

fn old_names_lead_to_the_renamed_collection(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let a = world.put(p, &Put::new("a", 0)).unwrap().collection;
    world.put(p, &Put::new("taken", 0)).unwrap();
    assert!(matches!(rename_to(&world, a, "taken"), Err(Refusal::NameTaken { .. })));
    rename_to(&world, a, "b").unwrap();
    rename_to(&world, a, "c").unwrap();
    for name in ["a", "b", "c"] {
        let found = world.resolve(name).unwrap();
        assert_eq!((found.collection.id, found.collection.name.as_str()), (a, "c"));
    }
    // Logging under an old name goes on with the sequence.
    let done = world.put(p, &Put::new("a", 1)).unwrap();
    assert_eq!((done.collection, done.index.get(), done.name.as_str()), (a, 1, "c"));
    // Renaming back takes the name back; the others still lead there.
    rename_to(&world, a, "a").unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(world.resolve(name).unwrap().collection.name.as_str(), "a");
    }
    // Another collection that takes an old name keeps it for itself.
    let other = world.collection(p, "taken").id;
    rename_to(&world, other, "b").unwrap();
    assert_eq!(world.resolve("b").unwrap().collection.id, other);
    assert_eq!(world.resolve("taken").unwrap().collection.id, other);
    // The redirect went for good: it does not come back when that one goes.
    delete_all(&world, other, true).unwrap();
    assert!(world.resolve("b").is_err());
    assert_eq!(world.resolve("c").unwrap().collection.id, a);
    // So does a new one, once the old name leads nowhere.
    delete_all(&world, a, true).unwrap();
    assert!(world.resolve("c").is_err());
    let new = world.put(p, &Put::new("c", 0)).unwrap();
    assert_ne!(new.collection, a);
    let c = ArtifactName::new("c").unwrap();
    assert_eq!(world.read(|view| view.redirect(p, &c)), None);
}

fn references_resolve(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let q = world.project("q");
    for content in [1, 2, 1] {
        world.put(p, &Put::new("animals", content)).unwrap();
    }
    world.put(q, &Put::new("animals", 3)).unwrap();
    let digest = ManifestId::of_root(&root_of(1));
    assert_eq!(world.index(&format!("animals@{digest}")), 2);
    assert_eq!(world.index("animals:v1"), 1);
    assert_eq!(world.version("q/animals").size, 3);
    assert_eq!(world.version("local/p/animals:latest").size, 1);
    for (bad, what) in [
        ("nobody/p/animals", "project"),
        ("r/animals", "project"),
        ("plants", "artifact"),
        ("animals:prod", "alias"),
        ("animals:v9", "version"),
        ("q/animals:v1", "version"),
    ] {
        let refused = world.resolve(bad).unwrap_err();
        assert_eq!(refused.code(), ErrorCode::NotFound);
        let Refusal::NotFound { what: found, .. } = refused else { panic!("{bad}: {refused}") };
        assert_eq!(found, what, "{bad}");
    }
    assert!(world.resolve(&format!("q/animals@{digest}")).is_err());
}

fn typos_get_suggestions(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    world.put(p, &Put { aliases: &["production"], ..Put::new("animals", 1) }).unwrap();
    world.put(p, &Put::new("weights", 1)).unwrap();
    let nearest = |reference: &str| match world.resolve(reference) {
        Err(Refusal::NotFound { nearest, .. }) => nearest,
        other => panic!("{other:?}"),
    };
    assert_eq!(nearest("animlas"), ["animals"]);
    assert_eq!(nearest("animals:prodction"), ["production"]);
    assert!(nearest("completely-different").is_empty());
    world.project("vision");
    assert_eq!(nearest("vison/animals"), ["vision"]);
}

fn a_version_without_a_run_records_its_making(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    world.put(p, &Put::new("animals", 1)).unwrap();
    let version = world.version("animals");
    assert_eq!(version.actor, super::world::ACTOR);
    assert_eq!(version.provenance.host.as_deref(), Some("there"));
    assert_eq!(version.run, None);
    assert!(world.read(|view| view.edges_of_versions(&[version.id], None)).is_empty());
}

fn tags_are_labels_not_names(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    for content in 0..2 {
        world.put(p, &Put { tags: &["good"], ..Put::new("animals", content) }).unwrap();
    }
    let row = world.collection(p, "animals");
    let tags = ["good", "fresh"].map(|text| Tag::new(text).unwrap());
    let request =
        TagVersion { by: world.by(), collection: row.id, index: VersionIndex::ZERO, tags: &tags };
    let added = world.apply(|view| rules::tag(view, &request)).unwrap();
    assert_eq!(added, [tags[1].clone()]);
    let of = |reference: &str| {
        let id = world.version(reference).id;
        world.read(|view| view.tags(id))
    };
    assert_eq!(of("animals:v0"), [tags[1].clone(), tags[0].clone()]);
    assert_eq!(of("animals:v1"), [tags[0].clone()]);
    assert_eq!(world.apply(|view| rules::untag(view, &request)).unwrap().len(), 2);
    assert!(world.apply(|view| rules::untag(view, &request)).unwrap().is_empty());
    assert!(of("animals:v0").is_empty());
    assert!(world.resolve("animals:good").is_err());
}

fn lifetimes_are_kept(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    world.put(p, &Put::new("animals", 1)).unwrap();
    let row = world.collection(p, "animals");
    for ttl in [Ttl::Seconds(3600), Ttl::Never, Ttl::Inherit] {
        let version = UpdateVersion {
            by: world.by(),
            collection: row.id,
            index: VersionIndex::ZERO,
            description: None,
            metadata: None,
            ttl: Some(ttl),
        };
        world.apply(|view| rules::update_version(view, &version)).unwrap();
        assert_eq!(world.version("animals").ttl, ttl);
        let all = UpdateCollection {
            by: world.by(),
            collection: row.id,
            description: None,
            artifact_type: None,
            ttl: Some(ttl),
        };
        world.apply(|view| rules::update_collection(view, &all)).unwrap();
        assert_eq!(world.collection(p, "animals").ttl, ttl);
    }
}
