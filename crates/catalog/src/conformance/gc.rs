//! What collectors look at, and the transactions by which they delete.

use std::collections::BTreeMap;

use heirloom_core::{Scope, Timestamp, VersionId};
use heirloom_manifest::BlobId;

use super::world::{Put, World, blob, whole};
use super::{Factory, suite};
use crate::row::{
    EventKind, JournalRow, Location, ObjectNumber, ObjectRow, ObjectState, OperationRow,
    PlacedBlob, Root, VersionState,
};
use crate::rules::{self, Claim, Copied, DeleteVersions, Purge, Refusal, Rewrite};
use crate::view::Edit;

suite![
    roots_are_what_can_be_read_or_restored,
    purging_ends_the_undo_window,
    walks_see_every_object_lease_and_place,
    of_several_places_the_newest_is_read,
    condemned_objects_are_claimed_again_or_go,
    what_was_claimed_since_the_bump_stays,
    rewriting_moves_what_lives,
    rewriting_is_refused_when_something_changed,
    drafts_end_and_old_answers_are_forgotten,
];

fn roots(world: &World) -> BTreeMap<VersionId, Root> {
    let mut roots = BTreeMap::new();
    world.read(|view| {
        view.each_root(&mut |root| {
            roots.insert(root.version, root);
        })
    });
    roots
}

fn delete(world: &World, version: VersionId, undo_seconds: u64) {
    let request = DeleteVersions {
        by: world.by(),
        versions: &[version],
        delete_aliases: true,
        delete_links: true,
        latest_holds: false,
        undo_seconds,
    };
    world.apply(|view| rules::delete_versions(view, &request)).unwrap();
}

fn roots_are_what_can_be_read_or_restored(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let first = world.put(p, &Put::new("a", 1)).unwrap();
    let second = world.put(p, &Put::new("a", 2)).unwrap();
    let third = world.put(p, &Put::new("a", 3)).unwrap();
    delete(&world, first.version, 1000);
    delete(&world, second.version, 1000);
    let purge =
        Purge { by: world.by(), versions: &[second.version, third.version], grace: Some(0) };
    let purged = world.apply(|view| Ok(rules::purge(view, &purge)?)).unwrap();
    assert_eq!(purged, [second.version], "one that is not deleted stays");
    let roots = roots(&world);
    assert_eq!(roots.len(), 2);
    assert!(roots[&first.version].deleted_at.is_some());
    let row = world.version("a:v2");
    let expected = Root {
        scope: Scope(p),
        version: third.version,
        root: row.root,
        record: row.record,
        attachments: vec![],
        deleted_at: None,
    };
    assert_eq!(roots[&third.version], expected);
    let events = world.read(|view| view.events(third.collection, None, 1));
    assert_eq!((events[0].kind, events[0].index), (EventKind::Purged, Some(second.index)));
    let refused = world.apply(|view| {
        rules::restore_version(
            view,
            &rules::RestoreVersion { by: world.by(), version: second.version },
        )
    });
    assert!(matches!(refused, Err(Refusal::NotFound { .. })));
    // Sealed pieces of the journal are told oldest first.
    let piece = |first, last| JournalRow { project: p, first, last, blob: blob(last) };
    world.edit(vec![Edit::AddJournal(piece(4, 6)), Edit::AddJournal(piece(1, 3))]).unwrap();
    assert_eq!(world.read(|view| view.journal(p)), [piece(1, 3), piece(4, 6)]);
    assert!(world.edit(vec![Edit::AddJournal(piece(5, 6))]).is_err());
}

fn purging_ends_the_undo_window(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let first = world.put(p, &Put::new("a", 1)).unwrap();
    let second = world.put(p, &Put::new("a", 2)).unwrap();
    delete(&world, second.version, 5000);
    delete(&world, first.version, 1000);
    let VersionState::Deleted { at, purge_after } =
        world.read(|view| view.version(first.version)).unwrap().state
    else {
        panic!("it was deleted");
    };
    let due = |now| -> Vec<VersionId> {
        world.read(|view| view.purgeable(now, 10)).iter().map(|row| row.id).collect()
    };
    assert_eq!(due(purge_after.plus_seconds(-1)), []);
    assert_eq!(due(purge_after), [first.version]);
    assert_eq!(due(Timestamp::from_micros(i64::MAX)), [first.version, second.version]);
    assert_eq!(world.read(|view| view.purgeable(Timestamp::from_micros(i64::MAX), 1)).len(), 1);
    for (now, grace, purged) in [
        (purge_after.plus_seconds(-1), None, false),
        (at.plus_seconds(9), Some(10), false),
        // A clock that was put back does not keep what is to go now.
        (at.plus_seconds(-100), Some(1), false),
        (at.plus_seconds(-100), Some(0), true),
        (at.plus_seconds(10), Some(10), true),
        (purge_after, None, true),
        (purge_after, Some(u64::MAX), true),
    ] {
        let state = VersionState::Deleted { at, purge_after };
        assert_eq!(rules::is_purgeable(state, now, grace), purged, "{now} {grace:?}");
    }
}

fn walks_see_every_object_lease_and_place(factory: Factory<'_>) {
    let world = World::new(factory());
    let (p, q) = (world.project("p"), world.project("q"));
    let draft = world.draft(p, "a", Some("t")).unwrap();
    let other = world.draft(q, "a", Some("t")).unwrap();
    for number in 0..5 {
        world.publish(p, draft, blob(number)).unwrap();
    }
    world.publish(q, other, blob(1)).unwrap();
    let (numbers, leased) = world.read(|view| {
        let (mut numbers, mut leased) = (BTreeMap::new(), Vec::new());
        view.each_object(&mut |number, row| {
            numbers.insert(number, row.key);
        })?;
        view.each_leased(&mut |number| leased.push(number))?;
        leased.sort_unstable();
        Ok((numbers, leased))
    });
    assert_eq!(numbers.len(), 5);
    assert_eq!(leased, numbers.keys().copied().collect::<Vec<ObjectNumber>>());
    assert!(world.read(|view| view.is_leased(&whole(blob(1)).0.key)));
    world.apply(|view| rules::abort_draft(view, draft)).unwrap();
    assert!(world.read(|view| view.is_leased(&whole(blob(1)).0.key)));
    assert!(!world.read(|view| view.is_leased(&whole(blob(2)).0.key)));
    for limit in [1, 2, 3, 100] {
        let mut after = None;
        let mut all: Vec<PlacedBlob> = Vec::new();
        loop {
            let before = all.len();
            let next =
                world.read(|view| view.placed_blobs(after, limit, &mut |placed| all.push(placed)));
            after = next;
            if after.is_none() {
                break;
            }
            assert!(all.len() >= before + limit);
        }
        assert_eq!(all.len(), 6);
        assert!(all.is_sorted_by_key(|placed| (placed.scope, placed.blob, placed.object)));
    }
}

/// An object with several blobs.
fn pack(number: u8, blobs: &[BlobId]) -> (ObjectRow, Vec<(BlobId, Location)>) {
    let (row, location) = whole(BlobId::from_bytes([number; 32]));
    let key = row.key;
    (row, blobs.iter().map(|id| (*id, Location { object: key, ..location })).collect())
}

fn register(world: &World, scope: Scope, pack: &(ObjectRow, Vec<(BlobId, Location)>)) {
    let (row, blobs) = pack.clone();
    let object = row.key;
    world.edit(vec![Edit::PutObject(row), Edit::AddLocations { scope, object, blobs }]).unwrap();
}

fn of_several_places_the_newest_is_read(factory: Factory<'_>) {
    let world = World::new(factory());
    let scope = Scope(world.project("p"));
    let (old, new) = (pack(9, &[blob(1), blob(2)]), pack(1, &[blob(1)]));
    register(&world, scope, &old);
    register(&world, scope, &new);
    let place = || world.read(|view| view.locate(scope, &[blob(1)]))[0].map(|at| at.object);
    assert_eq!(place(), Some(new.0.key));
    let dying = ObjectRow { state: ObjectState::Deleting, ..new.0.clone() };
    world.edit(vec![Edit::PutObject(dying)]).unwrap();
    assert_eq!(place(), Some(old.0.key));
    world.edit(vec![Edit::DropLocations(old.0.key)]).unwrap();
    assert_eq!(place(), None);
    world.edit(vec![Edit::PutObject(new.0.clone())]).unwrap();
    assert_eq!(place(), Some(new.0.key));
    let (blob, object) = (blob(1), new.0.key);
    world.edit(vec![Edit::DropLocation { scope, blob, object }]).unwrap();
    assert_eq!(place(), None);
    world.edit(vec![Edit::DropObject(old.0.key)]).unwrap();
    assert!(world.read(|view| view.object(&old.0.key)).is_none());
}

fn condemned_objects_are_claimed_again_or_go(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let writer = world.draft(p, "a", Some("t")).unwrap();
    let keys: Vec<_> = (0..3).map(|number| whole(blob(number)).0.key).collect();
    for number in 0..3 {
        world.publish(p, writer, blob(number)).unwrap();
    }
    let epoch = world.apply(|view| Ok(rules::bump_epoch(view)?)).unwrap();
    assert_eq!(world.read(|view| view.epoch()), epoch);
    let condemn = |epoch| world.apply(|view| Ok(rules::condemn(view, epoch, &keys)?)).unwrap();
    assert_eq!(condemn(epoch), [], "under lease");
    world.apply(|view| rules::abort_draft(view, writer)).unwrap();
    assert_eq!(condemn(epoch), keys);
    let next = world.apply(|view| Ok(rules::bump_epoch(view)?)).unwrap();
    assert_eq!(condemn(next), keys, "what an earlier one condemned");
    assert_eq!(condemn(epoch), [], "a later one knows more");
    let draft = world.draft(p, "a", Some("t")).unwrap();
    let blobs = [blob(1)];
    let claim = Claim { scope: Scope(p), draft, blobs: &blobs };
    world.apply(|view| rules::claim(view, &claim)).unwrap();
    let doom = |epoch| world.apply(|view| Ok(rules::doom(view, epoch, &keys)?)).unwrap();
    assert_eq!(doom(epoch), []);
    assert_eq!(doom(next), [keys[0], keys[2]]);
    let missing = world.read(|view| view.locate(Scope(p), &[blob(0), blob(1)]));
    assert!(missing[0].is_none() && missing[1].is_some());
    // What is published again meanwhile is not removed.
    world.publish(p, draft, blob(2)).unwrap();
    let unknown = whole(blob(77)).0.key;
    let removed = world
        .apply(|view| Ok(rules::remove(view, &[keys[0], keys[1], keys[2], unknown])?))
        .unwrap();
    assert_eq!(removed, [keys[0], unknown]);
    assert_eq!(world.read(|view| view.totals()).objects, 2);
}

fn what_was_claimed_since_the_bump_stays(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let first = world.draft(p, "a", Some("t")).unwrap();
    world.publish(p, first, blob(1)).unwrap();
    world.publish(p, first, blob(2)).unwrap();
    world.apply(|view| rules::abort_draft(view, first)).unwrap();
    let epoch = world.apply(|view| Ok(rules::bump_epoch(view)?)).unwrap();
    let second = world.draft(p, "a", Some("t")).unwrap();
    let blobs = [blob(1)];
    let claim = Claim { scope: Scope(p), draft: second, blobs: &blobs };
    world.apply(|view| rules::claim(view, &claim)).unwrap();
    world.publish(p, second, blob(3)).unwrap();
    // Its leases end, as by a commit.
    world.apply(|view| rules::abort_draft(view, second)).unwrap();
    let keys: Vec<_> = (1..4).map(|number| whole(blob(number)).0.key).collect();
    let condemned = world.apply(|view| Ok(rules::condemn(view, epoch, &keys)?)).unwrap();
    assert_eq!(condemned, [keys[1]]);
}

fn copied(scope: Scope, pack: &(ObjectRow, Vec<(BlobId, Location)>), present: bool) -> Copied {
    let blobs = pack.1.iter().map(|(id, location)| (scope, *id, *location)).collect();
    Copied { object: pack.0.clone(), present, blobs }
}

fn rewriting_moves_what_lives(factory: Factory<'_>) {
    let world = World::new(factory());
    let scope = Scope(world.project("p"));
    let old = pack(1, &[blob(1), blob(2), blob(3)]);
    let holder = pack(2, &[blob(2)]);
    let new = pack(3, &[blob(1)]);
    register(&world, scope, &old);
    register(&world, scope, &holder);
    let epoch = world.apply(|view| Ok(rules::bump_epoch(view)?)).unwrap();
    let later = world.apply(|view| Ok(rules::bump_epoch(view)?)).unwrap();
    let request = Rewrite {
        epoch,
        old: &[old.0.key],
        new: &[copied(scope, &new, true)],
        elsewhere: &[(scope, blob(2), holder.0.key)],
    };
    assert!(world.apply(|view| Ok(rules::rewrite(view, &request)?)).unwrap());
    let places = world.read(|view| view.locate(scope, &[blob(1), blob(2), blob(3)]));
    let places: Vec<_> = places.iter().map(|at| at.map(|at| at.object)).collect();
    assert_eq!(places, [Some(new.0.key), Some(holder.0.key), None]);
    for (key, state, epoch) in [
        (old.0.key, ObjectState::Deleting, 0),
        (holder.0.key, ObjectState::Live, later),
        (new.0.key, ObjectState::Live, later),
    ] {
        let row = world.read(|view| view.object(&key)).unwrap();
        assert_eq!((row.state, row.claimed_epoch), (state, epoch));
    }
    assert!(!world.apply(|view| Ok(rules::rewrite(view, &request)?)).unwrap(), "only once");
}

fn rewriting_is_refused_when_something_changed(factory: Factory<'_>) {
    let p = |world: &World| Scope(world.project("p"));
    type Change = fn(&World, Scope);
    let changes: [(&str, Change); 6] = [
        ("leased", |world, scope| {
            let draft = world.draft(scope.0, "a", Some("t")).unwrap();
            let object = pack(1, &[]).0.key;
            world.edit(vec![Edit::Lease { draft, object }]).unwrap();
        }),
        ("claimed since", |world, _| {
            let row = ObjectRow { claimed_epoch: 1, ..pack(1, &[]).0 };
            world.edit(vec![Edit::PutObject(row)]).unwrap();
        }),
        ("condemned", |world, _| {
            let row = ObjectRow { state: ObjectState::Condemned { epoch: 1 }, ..pack(1, &[]).0 };
            world.edit(vec![Edit::PutObject(row)]).unwrap();
        }),
        ("gone", |world, _| world.edit(vec![Edit::DropObject(pack(1, &[]).0.key)]).unwrap()),
        ("the holder is going", |world, _| {
            let row = ObjectRow { state: ObjectState::Deleting, ..pack(2, &[]).0 };
            world.edit(vec![Edit::PutObject(row)]).unwrap();
        }),
        ("the holder has it no more", |world, _| {
            world.edit(vec![Edit::DropLocations(pack(2, &[]).0.key)]).unwrap();
        }),
    ];
    for (name, change) in changes {
        let world = World::new(factory());
        let scope = p(&world);
        register(&world, scope, &pack(1, &[blob(1), blob(2)]));
        register(&world, scope, &pack(2, &[blob(2)]));
        let epoch = world.apply(|view| Ok(rules::bump_epoch(view)?)).unwrap();
        let old = [pack(1, &[]).0.key];
        let new = pack(3, &[blob(1)]);
        let elsewhere = [(scope, blob(2), pack(2, &[]).0.key)];
        let rewrite = |new: &[Copied]| {
            let request = Rewrite { epoch, old: &old, new, elsewhere: &elsewhere };
            world.read(|view| rules::rewrite(view, &request)).answer
        };
        assert!(rewrite(&[copied(scope, &new, true)]));
        assert!(!rewrite(&[copied(scope, &new, false)]), "the copy is not there");
        assert!(!rewrite(&[copied(scope, &pack(1, &[blob(1)]), true)]), "it is itself");
        change(&world, scope);
        assert!(!rewrite(&[copied(scope, &new, true)]), "{name}");
    }
}

fn drafts_end_and_old_answers_are_forgotten(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let (first, second) =
        (world.draft(p, "a", Some("t")).unwrap(), world.draft(p, "b", Some("t")).unwrap());
    world.publish(p, first, blob(1)).unwrap();
    let ended = world.apply(|view| Ok(rules::end_drafts(view, &[first, first])?)).unwrap();
    assert_eq!(ended[0], first);
    assert!(world.read(|view| view.draft(first)).is_none());
    assert!(world.read(|view| view.draft(second)).is_some());
    assert!(!world.read(|view| view.is_leased(&whole(blob(1)).0.key)));
    let now = Timestamp::from_micros(0).plus_seconds(100 * 86_400);
    let answer = |key: &str, at| {
        Edit::AddOperation(OperationRow {
            key: key.to_owned(),
            request: [0; 32],
            answer: "1".to_owned(),
            at,
        })
    };
    let kept = now.plus_seconds(-rules::ANSWERS_KEPT);
    world.edit(vec![answer("old", kept.plus_seconds(-1)), answer("new", kept)]).unwrap();
    world.apply(|_| Ok(rules::drop_answers(now))).unwrap();
    assert!(world.read(|view| view.operation("old")).is_none());
    assert!(world.read(|view| view.operation("new")).is_some());
}
