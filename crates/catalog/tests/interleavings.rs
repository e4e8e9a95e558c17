//! Every interleaving of the transactions of writers, collectors and a reader,
//! with crashes between any two steps and inside a removal, from several small
//! beginnings (`docs/adr/0005-gc.md`). An actor that is frozen is one that comes
//! late or never: each end of the others is looked at without it, too.
//!
//! The rules are the real ones. What they are good for is shown by leaving them
//! out one at a time: each time some interleaving loses something.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that tells what it saw")]

#[path = "interleavings/actors.rs"]
mod actors;
#[path = "interleavings/collector.rs"]
mod collector;
#[path = "interleavings/model.rs"]
mod model;

use std::collections::HashSet;

use heirloom_catalog::{CatalogExt, Edit, ObjectState};
use heirloom_core::Scope;

use actors::{Actor, Reader, Writer, crash, put, put_half, step, version_of};
use collector::Collector;
use model::{Fault, P, Q, World};

/// States after which an exploration is taken for broken.
const MAX_STATES: usize = 3_000_000;

/// Looks at every state that can be reached; how many there are, or what is wrong
/// in one, with the steps that lead to it.
fn explore(begin: World) -> Result<usize, String> {
    let mut seen = HashSet::new();
    let mut path = Vec::new();
    visit(begin, &mut seen, &mut path)?;
    Ok(seen.len())
}

fn visit(world: World, seen: &mut HashSet<u128>, path: &mut Vec<String>) -> Result<(), String> {
    if !seen.insert(world.fingerprint()) {
        return Ok(());
    }
    assert!(seen.len() < MAX_STATES, "too many states");
    world.check().map_err(|wrong| format!("{wrong}, after {}", path.join(", ")))?;
    if world.actors.iter().all(Actor::is_idle) {
        let mut end = world.clone();
        // What is gone for good leaves no lock behind.
        quiet_gc(&mut end);
        let checked = end.check().and_then(|()| end.check_end());
        return checked
            .map_err(|wrong| format!("{wrong}, after {} and a last gc", path.join(", ")));
    }
    for at in 0..world.actors.len() {
        if world.actors[at].is_idle() {
            continue;
        }
        let mut next = world.clone();
        step(&mut next, at);
        path.push(format!("{at}"));
        visit(next, seen, path)?;
        path.pop();
        if world.crashes == 0 {
            continue;
        }
        let mut gone = world.clone();
        crash(&mut gone, at);
        path.push(format!("{at} crashes"));
        visit(gone, seen, path)?;
        path.pop();
        if let Actor::Collector(collector) = &world.actors[at] {
            let mut torn = world.clone();
            if collector.crash_in_removal(&mut torn) {
                crash(&mut torn, at);
                path.push(format!("{at} crashes while it removes"));
                visit(torn, seen, path)?;
                path.pop();
            }
        }
    }
    Ok(())
}

fn quiet_gc(world: &mut World) {
    world.actors = vec![gc()];
    while !world.actors[0].is_idle() {
        step(world, 0);
    }
}

fn gc() -> Actor {
    Actor::Collector(Collector::default())
}

fn writer(number: u8, root: u8) -> Writer {
    Writer::new(number, Scope(P), root, None)
}

/// Lists beginnings, and makes of each a test.
macro_rules! scenarios {
    ($($name:ident,)+) => {
        const SCENARIOS: &[(&str, fn(World) -> World)] = &[$((stringify!($name), $name)),+];

        mod sound {
            $(#[test]
            fn $name() {
                super::is_sound(super::$name);
            })+
        }
    };
}

scenarios! {
    two_writers,
    base_is_deleted,
    garbage_is_used_again,
    two_places,
    shared_pack,
    leftovers_of_a_collector,
    leftovers_of_a_writer,
    two_projects,
    reader_of_what_moves,
    all_at_once,
}

/// Of one content.
fn two_writers(mut world: World) -> World {
    world.actors = vec![Actor::Writer(writer(1, 100)), Actor::Writer(writer(2, 101)), gc(), gc()];
    world
}

fn base_is_deleted(mut world: World) -> World {
    let base = put(&mut world, writer(1, 100));
    world.crashes = 1;
    world.actors = vec![
        Actor::Writer(Writer::new(2, Scope(P), 101, Some(base))),
        Actor::Deleter(Some(base)),
        gc(),
        gc(),
    ];
    world
}

fn garbage_is_used_again(mut world: World) -> World {
    put_half(&mut world, writer(1, 100), false);
    world.crashes = 1;
    world.actors = vec![Actor::Writer(writer(2, 100)), gc(), gc()];
    world
}

/// Two writers sent the same in different packs; the one of the newer is gone.
fn two_places(mut world: World) -> World {
    let mut first = Actor::Writer(writer(1, 103));
    let mut other = Actor::Writer(writer(2, 105));
    // Both ask before either sends.
    for actor in [&mut first, &mut other] {
        world.actors = vec![actor.clone()];
        step(&mut world, 0);
        step(&mut world, 0);
        *actor = world.actors.remove(0);
    }
    for actor in [&mut first, &mut other] {
        world.actors = vec![actor.clone()];
        step(&mut world, 0);
        step(&mut world, 0);
        *actor = world.actors.remove(0);
    }
    world.ownerless.extend(other.draft());
    world.actors = vec![first, gc(), gc(), Actor::Reader(Reader::new(version_of(1), 2))];
    world
}

fn shared_pack(mut world: World) -> World {
    let first = put(&mut world, writer(1, 101));
    let second = put(&mut world, Writer::new(2, Scope(P), 100, Some(first)));
    world.crashes = 1;
    world.actors =
        vec![Actor::Deleter(Some(first)), gc(), gc(), Actor::Reader(Reader::new(second, 2))];
    world
}

fn leftovers_of_a_collector(mut world: World) -> World {
    put_half(&mut world, writer(1, 100), false);
    put_half(&mut world, writer(2, 103), false);
    let mut states =
        [ObjectState::Condemned { epoch: 1 }, ObjectState::Deleting].into_iter().cycle();
    let rows = world.read(|view| view.objects(None, 10));
    let mut edits = vec![Edit::SetEpoch(1)];
    for mut row in rows {
        row.state = states.next().unwrap();
        edits.push(Edit::PutObject(row));
    }
    let written: heirloom_catalog::Result<()> = world.catalog.transact(|_| Ok((edits.clone(), ())));
    written.unwrap();
    world.actors = vec![Actor::Writer(writer(3, 100)), Actor::Writer(writer(4, 103)), gc()];
    world.crashes = 1;
    world
}

fn leftovers_of_a_writer(mut world: World) -> World {
    let blobs = std::collections::BTreeSet::from([4, 104]);
    world.store.insert(model::pack_of(&blobs), blobs);
    put_half(&mut world, writer(1, 103), true);
    world.crashes = 1;
    world.actors = vec![Actor::Writer(writer(3, 104)), gc(), gc()];
    world
}

fn two_projects(mut world: World) -> World {
    let first = put(&mut world, writer(1, 100));
    let other = put(&mut world, Writer::new(2, Scope(Q), 100, None));
    world.actors = vec![
        Actor::Deleter(Some(first)),
        Actor::Writer(Writer::new(3, Scope(Q), 101, Some(other))),
        gc(),
        gc(),
    ];
    world
}

/// Two collectors move one after the other what is read.
fn reader_of_what_moves(mut world: World) -> World {
    let first = put(&mut world, writer(1, 102));
    let second = put(&mut world, Writer::new(2, Scope(P), 103, Some(first)));
    world.actors =
        vec![Actor::Deleter(Some(first)), Actor::Reader(Reader::new(second, 2)), gc(), gc()];
    world
}

fn all_at_once(mut world: World) -> World {
    let base = put(&mut world, writer(1, 100));
    world.actors = vec![
        Actor::Writer(Writer::new(3, Scope(P), 101, Some(base))),
        Actor::Writer(writer(4, 103)),
        Actor::Reader(Reader::new(base, 2)),
        gc(),
        gc(),
    ];
    world
}

fn is_sound(scenario: fn(World) -> World) {
    let started = std::time::Instant::now();
    match explore(scenario(World::new(None))) {
        Ok(states) => println!("{states} states in {:?}", started.elapsed()),
        Err(wrong) => panic!("{wrong}"),
    }
}

fn is_found(fault: Fault) {
    // The last is the largest, and finds no more than the others.
    let found = SCENARIOS[..SCENARIOS.len() - 1]
        .iter()
        .filter_map(|(name, scenario)| {
            explore(scenario(World::new(Some(fault)))).err().map(|wrong| (name, wrong))
        })
        .next();
    match found {
        Some((name, wrong)) => println!("{fault:?}: {name}: {wrong}"),
        None => panic!("{fault:?} does no harm"),
    }
}

macro_rules! faults {
    ($($name:ident: $fault:ident,)+) => {$(
        #[test]
        fn $name() {
            is_found(Fault::$fault);
        }
    )+};
}

faults! {
    publishing_without_a_stamp_is_found: NoStampOnPublish,
    claiming_without_a_stamp_is_found: NoStampOnClaim,
    copying_without_a_stamp_is_found: NoStampOnRewrite,
    relying_on_another_place_without_a_stamp_is_found: NoStampOnHolder,
    marking_only_the_newest_place_is_found: NewestPlaceCounts,
    publishing_blindly_is_found: PublishBlindly,
    leases_that_are_no_marks_are_found: LeasesAreNoMarks,
    roots_of_two_snapshots_are_found: RootsOfTwoSnapshots,
    bases_that_are_no_roots_are_found: BasesAreNoRoots,
    removing_after_the_transaction_is_found: RemoveAfterwards,
    removing_leftovers_blindly_is_found: OrphansBlindly,
}
