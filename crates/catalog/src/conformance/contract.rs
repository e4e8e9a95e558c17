//! The trait itself: every listing, every edit, all or nothing, one snapshot.

use heirloom_core::{
    Alias, ArtifactName, ArtifactType, CollectionId, DraftId, EntityName, ProjectId, ProjectName,
    Provenance, RunId, RunName, Scope, Tag, Timestamp, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId, NodeId};
use heirloom_store::{ObjectKey, PackId};

use super::world::{ACTOR, Put, World, alias, blob, whole};
use super::{Factory, suite};
use crate::error::CatalogError;
use crate::row::{
    AliasRow, CollectionKind, CollectionRow, DraftRow, EdgeKind, EdgeRow, EventKind, EventRow,
    Location, MembershipRow, ObjectRow, ObjectState, OperationRow, ProjectRow, VersionRow,
    VersionState,
};
use crate::view::{Catalog, Edit, Order, View};

suite![
    rows_come_back_as_they_were_put,
    listings_are_paged,
    edges_are_found_from_both_ends,
    a_failing_edit_leaves_nothing,
    a_failing_decision_leaves_nothing,
    readers_keep_their_snapshot,
    writers_do_not_lose_updates,
    many_blobs_are_located_at_once,
    the_object_registered_last_counts,
    a_dropped_object_takes_its_rows_along,
    a_healthy_catalog_checks_clean,
];

const P: ProjectId = ProjectId(1);
const C: CollectionId = CollectionId(1);

fn name(text: &str) -> ArtifactName {
    ArtifactName::new(text).unwrap()
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn project(id: i64, name: &str) -> ProjectRow {
    ProjectRow {
        id: ProjectId(id),
        entity: EntityName::local(),
        name: ProjectName::new(name).unwrap(),
        created_at: time(id),
        ttl: Ttl::Seconds(60),
    }
}

fn collection(id: i64, text: &str) -> CollectionRow {
    CollectionRow {
        id: CollectionId(id),
        project: P,
        name: name(text),
        artifact_type: ArtifactType::new("dataset").unwrap(),
        kind: CollectionKind::Portfolio,
        description: Some("täxt".to_owned()),
        ttl: Ttl::Never,
        retention: None,
        next_index: VersionIndex::new(3),
        last_record: Some(blob(9)),
        created_at: time(-5),
        deleted_at: None,
    }
}

fn version(id: u64, index: u64) -> VersionRow {
    let root = NodeId::of(&id.to_le_bytes());
    VersionRow {
        id: VersionId::from_random(id),
        collection: C,
        index: VersionIndex::new(index),
        digest: ManifestId::of_root(&root),
        root,
        entries: 4,
        size: 1 << 62,
        description: None,
        metadata: Some(r#"{"z":1,"a":[null]}"#.to_owned()),
        ttl: Ttl::Inherit,
        created_at: time(5),
        actor: ACTOR.to_owned(),
        run: Some(RunId::from_random(u64::MAX)),
        provenance: Provenance {
            host: Some("h".to_owned()),
            command: vec!["python".to_owned(), "a b".to_owned(), String::new()],
            git_commit: None,
            git_remote: Some("https://example.org/x.git".to_owned()),
            git_dirty: Some(true),
        },
        record: blob(8),
        attachments: vec![blob(1), blob(2)],
        state: VersionState::Committed,
    }
}

fn member(index: u64, version: u64) -> MembershipRow {
    MembershipRow {
        collection: C,
        index: VersionIndex::new(index),
        version: VersionId::from_random(version),
        created_at: time(6),
    }
}

fn draft(id: u64) -> DraftRow {
    DraftRow {
        id: DraftId::from_random(id),
        project: P,
        name: name("a"),
        base: Some(VersionId::from_random(3)),
        actor: ACTOR.to_owned(),
        created_at: time(9),
        epoch: 2,
    }
}

fn pack(number: u8) -> ObjectRow {
    ObjectRow {
        key: ObjectKey::Pack(PackId::from_bytes([number; 32])),
        size: 1000,
        state: ObjectState::Live,
        claimed_epoch: 1,
        created_at: time(2),
    }
}

fn at(object: ObjectKey, offset: u64) -> Location {
    Location { object, offset, stored: 5, raw: 9, codec: 1, kind: 3 }
}

fn event(collection: CollectionId, detail: &str) -> EventRow {
    EventRow {
        seq: 0,
        at: time(3),
        actor: ACTOR.to_owned(),
        kind: EventKind::Committed,
        collection,
        index: Some(VersionIndex::ZERO),
        run: None,
        detail: detail.to_owned(),
    }
}

fn base(factory: Factory<'_>) -> World {
    let world = World::new(factory());
    world
        .edit(vec![
            Edit::PutProject(project(1, "one")),
            Edit::PutCollection(collection(1, "a")),
            Edit::PutVersion(version(10, 0)),
            Edit::AddMembership(member(0, 10)),
        ])
        .unwrap();
    world
}

fn rows_come_back_as_they_were_put(factory: Factory<'_>) {
    let world = base(factory);
    let run = world.run_row(P, "r");
    let gone = VersionState::Deleted { at: time(1), purge_after: time(2) };
    let edge = EdgeRow {
        kind: EdgeKind::Used,
        run: run.id,
        version: VersionId::from_random(10),
        at: time(4),
        asked: Some("a:latest".to_owned()),
    };
    let operation = OperationRow {
        key: "k".to_owned(),
        request: [7; 32],
        answer: "{}".to_owned(),
        at: time(1),
    };
    let holder = AliasRow {
        collection: C,
        alias: alias("prod"),
        index: VersionIndex::ZERO,
        protected: true,
    };
    let (first, second) = (Tag::new("b").unwrap(), Tag::new("a").unwrap());
    world
        .edit(vec![
            Edit::PutVersion(version(11, 1)),
            Edit::SetVersionState { version: VersionId::from_random(11), state: gone },
            Edit::PutRun(run.clone()),
            Edit::AddEdge(edge.clone()),
            Edit::AddEdge(EdgeRow { at: time(99), asked: None, ..edge.clone() }),
            Edit::AddOperation(operation.clone()),
            Edit::PutDraft(draft(5)),
            Edit::PutAlias(holder.clone()),
            Edit::AddTag { version: VersionId::from_random(10), tag: first.clone() },
            Edit::AddTag { version: VersionId::from_random(10), tag: first.clone() },
            Edit::AddTag { version: VersionId::from_random(10), tag: second.clone() },
            Edit::PutRedirect { project: P, old: name("old"), to: C },
            Edit::PutObject(ObjectRow { state: ObjectState::Condemned { epoch: 4 }, ..pack(1) }),
            Edit::Lease { draft: DraftId::from_random(5), object: pack(1).key },
            Edit::SetEpoch(1 << 40),
            Edit::AppendEvent(event(C, "{}")),
        ])
        .unwrap();
    world.read(|view| {
        assert_eq!(
            view.project(&EntityName::local(), &project(1, "one").name)?,
            Some(project(1, "one"))
        );
        assert_eq!(view.project_by_id(P)?, Some(project(1, "one")));
        assert_eq!(view.collection(P, &name("a"))?, Some(collection(1, "a")));
        assert_eq!(view.collection_by_id(C)?, Some(collection(1, "a")));
        assert_eq!(view.redirect(P, &name("old"))?, Some(C));
        let deleted = VersionRow { state: gone, ..version(11, 1) };
        assert_eq!(view.version(deleted.id)?, Some(deleted.clone()));
        let asked = [11, 3, 10].map(VersionId::from_random);
        assert_eq!(view.versions(&asked)?, [deleted, version(10, 0)]);
        assert_eq!(view.membership(C, VersionIndex::ZERO)?, Some(member(0, 10)));
        assert_eq!(view.membership(C, VersionIndex::new(1))?, None);
        assert_eq!(view.run(run.id)?, Some(run.clone()));
        assert_eq!(view.runs(&[run.id, RunId::from_random(777)])?, std::slice::from_ref(&run));
        assert_eq!(view.run_by_name(P, &RunName::new("r").unwrap())?, Some(run.clone()));
        assert_eq!(view.edge(EdgeKind::Used, run.id, edge.version)?, Some(edge.clone()));
        assert_eq!(view.edge(EdgeKind::Produced, run.id, edge.version)?, None);
        assert_eq!(view.operation("k")?, Some(operation.clone()));
        assert_eq!(view.operation("l")?, None);
        assert_eq!(view.draft(draft(5).id)?, Some(draft(5)));
        assert_eq!(view.alias(C, &holder.alias)?, Some(holder.clone()));
        assert_eq!(view.aliases_of(C, VersionIndex::ZERO)?, std::slice::from_ref(&holder));
        assert_eq!(view.tags(VersionId::from_random(10))?, [second.clone(), first.clone()]);
        let condemned = ObjectRow { state: ObjectState::Condemned { epoch: 4 }, ..pack(1) };
        assert_eq!(view.object(&pack(1).key)?, Some(condemned));
        assert_eq!(view.leases(DraftId::from_random(5))?, [pack(1).key]);
        assert_eq!(view.epoch()?, 1 << 40);
        let events = view.events(C, None, 9)?;
        assert_eq!(events, [EventRow { seq: events[0].seq, ..event(C, "{}") }]);
        Ok(())
    });
    // Putting again replaces; removing what is absent changes nothing.
    let renamed = CollectionRow { name: name("b"), deleted_at: None, ..collection(1, "a") };
    world
        .edit(vec![
            Edit::PutCollection(renamed.clone()),
            Edit::PutVersion(VersionRow { description: Some("d".to_owned()), ..version(10, 0) }),
            Edit::PutObject(ObjectRow { size: 7, claimed_epoch: 8, ..pack(1) }),
            Edit::RemoveTag { version: VersionId::from_random(10), tag: first.clone() },
            Edit::RemoveTag { version: VersionId::from_random(10), tag: first },
            Edit::RemoveAlias { collection: C, alias: alias("prod") },
            Edit::RemoveAlias { collection: C, alias: alias("prod") },
            Edit::RemoveMembership { collection: C, index: VersionIndex::ZERO },
            Edit::RemoveMembership { collection: C, index: VersionIndex::ZERO },
            Edit::RemoveRedirect { project: P, old: name("old") },
            Edit::RemoveRedirect { project: P, old: name("old") },
            Edit::EndDraft(DraftId::from_random(5)),
            Edit::EndDraft(DraftId::from_random(5)),
            Edit::DropObject(pack(9).key),
        ])
        .unwrap();
    world.read(|view| {
        assert_eq!(view.collection(P, &name("a"))?, None);
        assert_eq!(view.collection(P, &name("b"))?, Some(renamed));
        assert_eq!(
            view.version(VersionId::from_random(10))?.unwrap().description.as_deref(),
            Some("d")
        );
        // Only state and epoch of a known object change.
        assert_eq!(view.object(&pack(1).key)?, Some(ObjectRow { claimed_epoch: 8, ..pack(1) }));
        assert_eq!(view.tags(VersionId::from_random(10))?, [second]);
        assert!(view.aliases(C)?.is_empty());
        assert!(view.memberships_of(VersionId::from_random(10))?.is_empty());
        assert_eq!(view.redirect(P, &name("old"))?, None);
        assert!(view.leases(DraftId::from_random(5))?.is_empty());
        Ok(())
    });
}

/// Reads a listing page by page.
fn pages<T: Clone>(
    world: &World,
    mut next: impl FnMut(&dyn View, Option<&T>) -> crate::Result<Vec<T>>,
) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    loop {
        let page = world.read(|view| next(view, all.last()));
        assert!(page.len() <= 2);
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

fn listings_are_paged(factory: Factory<'_>) {
    let world = base(factory);
    let mut edits = Vec::new();
    for (id, text) in [(5, "é"), (2, "z"), (3, "m"), (4, "B")] {
        edits.push(Edit::PutProject(project(id, text)));
        edits.push(Edit::PutCollection(collection(id, text)));
        edits.push(Edit::PutDraft(draft(id.unsigned_abs())));
        edits.push(Edit::PutObject(pack(u8::try_from(id).unwrap())));
        edits.push(Edit::AppendEvent(event(C, &format!("{id}"))));
        edits.push(Edit::AppendEvent(event(CollectionId(2), "other")).clone());
    }
    // The event above names a collection that must exist first.
    edits.sort_by_key(|edit| matches!(edit, Edit::AppendEvent(_)));
    for index in 1..6 {
        edits.push(Edit::PutVersion(version(10 + index, index)));
        edits.push(Edit::AddMembership(member(index, 10 + index)));
    }
    edits.push(Edit::PutObject(whole(blob(1)).0));
    let purged =
        Edit::SetVersionState { version: VersionId::from_random(12), state: VersionState::Purged };
    edits.push(purged);
    world.edit(edits).unwrap();
    let mut other = project(9, "a");
    other.entity = EntityName::new("another").unwrap();
    world.edit(vec![Edit::PutProject(other)]).unwrap();

    let found = pages(&world, |view, last: Option<&ProjectRow>| {
        view.projects(last.map(|row| (&row.entity, &row.name)), 2)
    });
    let names: Vec<String> =
        found.iter().map(|row| format!("{}/{}", row.entity, row.name)).collect();
    assert_eq!(names, ["another/a", "local/B", "local/m", "local/one", "local/z", "local/é"]);

    let found = pages(&world, |view, last: Option<&CollectionRow>| {
        view.collections(P, last.map(|row| &row.name), 2)
    });
    let names: Vec<&str> = found.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["B", "a", "m", "z", "é"]);

    let indexes =
        |rows: Vec<MembershipRow>| -> Vec<u64> { rows.iter().map(|row| row.index.get()).collect() };
    for (order, expected) in
        [(Order::Oldest, [0, 1, 2, 3, 4, 5]), (Order::Newest, [5, 4, 3, 2, 1, 0])]
    {
        let found = pages(&world, |view, last: Option<&MembershipRow>| {
            view.memberships(C, last.map(|row| row.index), order, 2)
        });
        assert_eq!(indexes(found), expected);
    }

    let found = pages(&world, |view, last: Option<&VersionRow>| {
        view.all_versions(last.map(|row| row.id), 2)
    });
    let ids: Vec<u64> = found.iter().map(|row| row.id.get()).collect();
    assert_eq!(ids, [10, 11, 13, 14, 15]);

    let found =
        pages(&world, |view, last: Option<&EventRow>| view.events(C, last.map(|row| row.seq), 2));
    let details: Vec<&str> = found.iter().map(|row| row.detail.as_str()).collect();
    assert_eq!(details, ["4", "3", "2", "5"]);

    let found =
        pages(&world, |view, last: Option<&DraftRow>| view.drafts(last.map(|row| row.id), 2));
    let ids: Vec<u64> = found.iter().map(|row| row.id.get()).collect();
    assert_eq!(ids, [2, 3, 4, 5]);

    let found =
        pages(&world, |view, last: Option<&ObjectRow>| view.objects(last.map(|row| &row.key), 2));
    let keys: Vec<ObjectKey> = found.iter().map(|row| row.key).collect();
    let mut sorted = keys.clone();
    sorted.sort();
    assert_eq!((keys.len(), &keys), (5, &sorted));

    for (number, started) in [(1, 7), (2, 9), (3, 9), (4, 8)] {
        let mut row = world.run_row(P, &format!("r{number}"));
        row.id = RunId::from_random(number);
        row.started_at = time(started);
        world.edit(vec![Edit::PutRun(row)]).unwrap();
    }
    let found = pages(&world, |view, last: Option<&crate::row::RunRow>| {
        view.runs_of(P, last.map(|row| (row.started_at, row.id)), 2)
    });
    let ids: Vec<u64> = found.iter().map(|row| row.id.get()).collect();
    assert_eq!(ids, [3, 2, 4, 1]);
}

fn edges_are_found_from_both_ends(factory: Factory<'_>) {
    let world = base(factory);
    let mut edits = vec![Edit::PutVersion(version(11, 1))];
    for number in 1..4u64 {
        let mut row = world.run_row(P, &format!("r{number}"));
        row.id = RunId::from_random(number);
        edits.push(Edit::PutRun(row));
    }
    let edge = |kind, run, version| EdgeRow {
        kind,
        run: RunId::from_random(run),
        version: VersionId::from_random(version),
        at: time(1),
        asked: None,
    };
    let all = [
        edge(EdgeKind::Produced, 1, 10),
        edge(EdgeKind::Used, 1, 11),
        edge(EdgeKind::Produced, 2, 11),
        edge(EdgeKind::Used, 2, 10),
        edge(EdgeKind::Used, 3, 10),
    ];
    edits.extend(all.iter().rev().cloned().map(Edit::AddEdge));
    world.edit(edits).unwrap();
    world.read(|view| {
        let runs = [3, 1, 1].map(RunId::from_random);
        assert_eq!(view.edges_of_runs(&runs, None)?, [&all[..2], &all[4..]].concat());
        let versions = [VersionId::from_random(10); 2];
        let expected = [all[0].clone(), all[3].clone(), all[4].clone()];
        assert_eq!(view.edges_of_versions(&versions, None)?, expected);
        let used = view.edges_of_runs(&runs, Some(EdgeKind::Used))?;
        assert!(used.iter().all(|edge| edge.kind == EdgeKind::Used) && used.len() == 2, "{used:?}");
        let produced = view.edges_of_versions(&versions, Some(EdgeKind::Produced))?;
        assert_eq!(produced, [all[0].clone()]);
        let mut seen = Vec::new();
        view.all_edges(&mut |edge| seen.push(edge))?;
        assert_eq!(seen, all);
        Ok(())
    });
}

fn a_failing_edit_leaves_nothing(factory: Factory<'_>) {
    let world = base(factory);
    let run = world.run_row(P, "r");
    world
        .edit(vec![
            Edit::PutRun(run.clone()),
            Edit::AddOperation(OperationRow {
                key: "k".to_owned(),
                request: [0; 32],
                answer: String::new(),
                at: time(0),
            }),
            Edit::PutObject(pack(1)),
            Edit::PutAlias(AliasRow {
                collection: C,
                alias: alias("x"),
                index: VersionIndex::ZERO,
                protected: false,
            }),
        ])
        .unwrap();
    let nowhere = CollectionId(77);
    let mut twin = world.run_row(P, "r");
    twin.id = RunId::from_random(4444);
    let mut lost = run.clone();
    lost.project = ProjectId(77);
    let unknown = VersionId::from_random(77);
    let failing = vec![
        Edit::PutProject(project(2, "one")),
        Edit::PutCollection(collection(2, "a")),
        Edit::PutCollection(CollectionRow { project: ProjectId(77), ..collection(2, "q") }),
        Edit::PutRedirect { project: P, old: name("old"), to: nowhere },
        Edit::PutVersion(VersionRow { collection: nowhere, ..version(12, 0) }),
        Edit::SetVersionState { version: unknown, state: VersionState::Purged },
        Edit::AddMembership(member(0, 10)),
        Edit::AddMembership(member(1, 77)),
        Edit::AddMembership(MembershipRow { collection: nowhere, ..member(0, 10) }),
        Edit::RemoveMembership { collection: C, index: VersionIndex::ZERO },
        Edit::PutAlias(AliasRow {
            collection: C,
            alias: alias("prod"),
            index: VersionIndex::new(7),
            protected: false,
        }),
        Edit::AddTag { version: unknown, tag: Tag::new("t").unwrap() },
        Edit::PutRun(twin),
        Edit::PutRun(lost),
        Edit::AddEdge(EdgeRow {
            kind: EdgeKind::Used,
            run: run.id,
            version: unknown,
            at: time(0),
            asked: None,
        }),
        Edit::AppendEvent(event(nowhere, "{}")),
        Edit::AddOperation(OperationRow {
            key: "k".to_owned(),
            request: [1; 32],
            answer: String::new(),
            at: time(0),
        }),
        Edit::PutDraft(DraftRow { project: ProjectId(77), ..draft(1) }),
        Edit::Lease { draft: DraftId::from_random(1), object: pack(1).key },
        Edit::AddLocations { scope: Scope(P), object: pack(2).key, blobs: vec![] },
        Edit::AddLocations { scope: Scope(ProjectId(77)), object: pack(1).key, blobs: vec![] },
    ];
    let before = world.read(|view| view.collection_by_id(C)).unwrap();
    for edit in failing {
        let change = Edit::PutCollection(CollectionRow {
            next_index: VersionIndex::new(99),
            ..before.clone()
        });
        let outcome = world.edit(vec![change, Edit::SetEpoch(9), edit.clone()]);
        assert!(matches!(outcome, Err(CatalogError::Conflict { .. })), "{edit:?}: {outcome:?}");
        world.read(|view| {
            assert_eq!(view.collection_by_id(C)?, Some(before.clone()), "{edit:?}");
            assert_eq!(view.epoch()?, 0, "{edit:?}");
            Ok(())
        });
    }
    assert_eq!(world.read(|view| view.operation("k")).unwrap().request, [0; 32]);
}

fn a_failing_decision_leaves_nothing(factory: Factory<'_>) {
    let world = base(factory);
    let outcome = world.catalog.write(&mut |_| Err(CatalogError::Busy));
    assert!(matches!(outcome, Err(CatalogError::Busy)));
    world.catalog.write(&mut |view| Ok(vec![Edit::SetEpoch(view.epoch()? + 1)])).unwrap();
    assert_eq!(world.read(|view| view.epoch()), 1);
}

fn readers_keep_their_snapshot(factory: Factory<'_>) {
    let world = base(factory);
    let catalog: &dyn Catalog = &*world.catalog;
    catalog
        .read(&mut |view| {
            assert_eq!(view.epoch()?, 0);
            std::thread::scope(|threads| {
                let write = || catalog.write(&mut |_| Ok(vec![Edit::SetEpoch(5)])).unwrap();
                threads.spawn(write).join().unwrap();
            });
            assert_eq!(view.epoch()?, 0);
            // Another reader, in the middle of this one, sees the new state.
            catalog.read(&mut |newer| {
                assert_eq!(newer.epoch()?, 5);
                Ok(())
            })?;
            assert_eq!(view.epoch()?, 0);
            Ok(())
        })
        .unwrap();
    assert_eq!(world.read(|view| view.epoch()), 5);
}

fn writers_do_not_lose_updates(factory: Factory<'_>) {
    const THREADS: u64 = 4;
    const EACH: u64 = 12;
    let world = base(factory);
    let catalog: &dyn Catalog = &*world.catalog;
    std::thread::scope(|threads| {
        for thread in 0..THREADS {
            threads.spawn(move || {
                for step in 0..EACH {
                    catalog
                        .write(&mut |view| {
                            let row = view.collection_by_id(C)?.unwrap();
                            let index = row.next_index;
                            let id = 100 + thread * EACH + step;
                            Ok(vec![
                                Edit::PutCollection(CollectionRow {
                                    next_index: index.next(),
                                    ..row
                                }),
                                Edit::PutVersion(version(id, index.get())),
                                Edit::AddMembership(member(index.get(), id)),
                            ])
                        })
                        .unwrap();
                    catalog
                        .read(&mut |view| {
                            // Whatever a reader sees fits together.
                            let row = view.collection_by_id(C)?.unwrap();
                            let newest = view.newest(C)?.unwrap();
                            assert_eq!(
                                newest.index.next(),
                                row.next_index.max(VersionIndex::new(1))
                            );
                            Ok(())
                        })
                        .unwrap();
                }
            });
        }
    });
    let next = world.read(|view| view.collection_by_id(C)).unwrap().next_index.get();
    assert_eq!(next, 3 + THREADS * EACH);
}

fn many_blobs_are_located_at_once(factory: Factory<'_>) {
    let world = base(factory);
    let object = pack(1);
    let other = project(2, "two");
    let stored: Vec<u64> = (0..3000).filter(|number| number % 7 != 0).collect();
    let locations = |numbers: &[u64]| -> Vec<(BlobId, Location)> {
        numbers.iter().map(|number| (blob(*number), at(object.key, *number))).collect()
    };
    world
        .edit(vec![
            Edit::PutProject(other),
            Edit::PutObject(object.clone()),
            Edit::AddLocations { scope: Scope(P), object: object.key, blobs: locations(&stored) },
            Edit::AddLocations {
                scope: Scope(ProjectId(2)),
                object: object.key,
                blobs: locations(&[0, 1]),
            },
        ])
        .unwrap();
    let check = |asked: &[BlobId], numbers: &[u64]| {
        let found = world.read(|view| view.locate(Scope(P), asked));
        assert_eq!(found.len(), asked.len());
        for (number, found) in numbers.iter().zip(found) {
            let expected = stored.contains(number).then(|| at(object.key, *number));
            assert_eq!(found, expected, "blob {number}");
        }
    };
    // Dense, sparse, few; unsorted, sorted, twice; with strangers among them.
    for step in [1, 3, 50, 701] {
        let mut numbers: Vec<u64> = (0..3300).step_by(step).collect();
        numbers.extend([5, 5, 4000, 5]);
        let asked: Vec<BlobId> = numbers.iter().map(|number| blob(*number)).collect();
        check(&asked, &numbers);
        numbers.sort_by_key(|number| blob(*number));
        let asked: Vec<BlobId> = numbers.iter().map(|number| blob(*number)).collect();
        check(&asked, &numbers);
    }
    check(&[], &[]);
    let strangers: Vec<BlobId> = (9000..9100).map(blob).collect();
    let found = world.read(|view| view.locate(Scope(P), &strangers));
    assert!(found.iter().all(Option::is_none));
    let nobody = world.read(|view| view.locate(Scope(ProjectId(3)), &[blob(1)]));
    assert_eq!(nobody, [None]);
    let mut seen = Vec::new();
    world.read(|view| {
        view.located_in(&object.key, &mut |scope, blob, location| {
            seen.push((scope, blob, location))
        })
    });
    assert_eq!(seen.len(), stored.len() + 2);
    assert!(seen.is_sorted_by_key(|(scope, blob, _)| (*scope, *blob)));
    assert_eq!(world.read(|view| view.totals()).blobs, stored.len() as u64 + 2);
    assert_eq!(world.read(|view| view.locations_anywhere(&blob(1))).len(), 2);
}

/// Whatever their states: collectors rely on it (`docs/adr/0005-gc.md`).
fn the_object_registered_last_counts(factory: Factory<'_>) {
    let world = base(factory);
    let mut edits = Vec::new();
    for number in [3, 1, 2] {
        let object = pack(number);
        edits.push(Edit::PutObject(object.clone()));
        // Recording a blob again leaves what is there.
        for offset in [u64::from(number), 77] {
            let blobs = vec![(blob(1), at(object.key, offset))];
            edits.push(Edit::AddLocations { scope: Scope(P), object: object.key, blobs });
        }
    }
    world.edit(edits).unwrap();
    let found = || world.read(|view| view.locate(Scope(P), &[blob(1)]))[0];
    let state = |number, state| {
        world.edit(vec![Edit::PutObject(ObjectRow { state, ..pack(number) })]).unwrap();
    };
    assert_eq!(found(), Some(at(pack(2).key, 2)));
    state(2, ObjectState::Condemned { epoch: 1 });
    assert_eq!(found(), Some(at(pack(2).key, 2)));
    state(2, ObjectState::Deleting);
    assert_eq!(found(), Some(at(pack(1).key, 1)));
    let drop = Edit::DropLocation { scope: Scope(P), blob: blob(1), object: pack(1).key };
    world.edit(vec![drop]).unwrap();
    assert_eq!(found(), Some(at(pack(3).key, 3)));
    world.edit(vec![Edit::DropLocations(pack(3).key)]).unwrap();
    assert_eq!(found(), None);
    assert_eq!(world.read(|view| view.locations_anywhere(&blob(1))).len(), 1);
}

fn a_dropped_object_takes_its_rows_along(factory: Factory<'_>) {
    let world = base(factory);
    let record = |number: u8| {
        let object = pack(number);
        let blobs = vec![(blob(number.into()), at(object.key, 0)), (blob(50), at(object.key, 1))];
        vec![
            Edit::PutObject(object.clone()),
            Edit::AddLocations { scope: Scope(P), object: object.key, blobs },
            Edit::PutDraft(draft(u64::from(number))),
            Edit::Lease { draft: draft(u64::from(number)).id, object: object.key },
            Edit::Lease { draft: draft(u64::from(number)).id, object: object.key },
        ]
    };
    world.edit([record(1), record(2)].concat()).unwrap();
    world.edit(vec![Edit::DropObject(pack(1).key)]).unwrap();
    world.read(|view| {
        assert_eq!(view.object(&pack(1).key)?, None);
        assert!(view.leases(draft(1).id)?.is_empty());
        assert_eq!(view.leases(draft(2).id)?, [pack(2).key]);
        let found = view.locate(Scope(P), &[blob(1), blob(2), blob(50)])?;
        assert_eq!(found, [None, Some(at(pack(2).key, 0)), Some(at(pack(2).key, 1))]);
        let totals = view.totals()?;
        assert_eq!((totals.objects, totals.object_bytes, totals.blobs), (1, 1000, 2));
        Ok(())
    });
}

fn a_healthy_catalog_checks_clean(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    for content in 0..3 {
        let put =
            Put { aliases: &["a", "b"], metadata: Some("{}"), ..Put::new("animals", content) };
        world.put(p, &put).unwrap();
    }
    let mut damaged = Vec::new();
    world.catalog.check(&mut |what| damaged.push(what)).unwrap();
    assert_eq!(damaged, Vec::<String>::new());
    let totals = world.read(|view| view.totals());
    assert_eq!((totals.versions, totals.runs), (3, 0));
    assert_eq!(world.read(|view| view.alias(CollectionId(1), &Alias::latest())), None);
}
