//! A collector: the steps of `docs/adr/0005-gc.md`, with grace 0.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_catalog::rules::{self, Copied, Purge, Rewrite};
use heirloom_catalog::{CatalogExt, ObjectNumber, ObjectState};
use heirloom_core::{DraftId, Scope, VersionId};
use heirloom_store::ObjectKey;

use super::actors::{Actor, unstamped};
use super::model::{Blob, Fault, World, by, id, location, number, object_row, pack_of, tree};

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Collector {
    epoch: u64,
    step: Step,
    live: BTreeSet<(Scope, Blob)>,
    leased: BTreeSet<ObjectKey>,
    condemn: Vec<ObjectKey>,
    jobs: Vec<Job>,
    copy: Option<ObjectKey>,
    gone: Vec<ObjectKey>,
    pub(crate) held: Option<ObjectKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Step {
    #[default]
    Bump,
    Roots,
    Places,
    Condemn,
    Copy,
    Rewrite,
    Doom,
    Remove,
    /// Of a fault: the object goes after its row.
    RemoveLate,
    Walk,
    Orphans,
}

/// A pack to give up, some of which lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Job {
    old: ObjectKey,
    copy: BTreeMap<Blob, BTreeSet<Scope>>,
    elsewhere: Vec<(Scope, Blob, ObjectKey)>,
}

impl Collector {
    pub(crate) fn step(mut self, world: &mut World) -> Actor {
        self.step = match self.step {
            Step::Bump => {
                self.epoch =
                    world.apply(|view| Ok(rules::bump_epoch(view)?)).expect("the model is sound");
                purge(world);
                Step::Roots
            }
            Step::Roots => {
                self.look_at_roots(world);
                Step::Places
            }
            Step::Places => {
                self.look_at_places(world);
                Step::Condemn
            }
            Step::Condemn => {
                let keys = std::mem::take(&mut self.condemn);
                self.condemn = world
                    .apply(|view| Ok(rules::condemn(view, self.epoch, &keys)?))
                    .expect("the model is sound");
                self.next_job()
            }
            Step::Copy => self.copy(world),
            Step::Rewrite => self.rewrite(world),
            Step::Doom => {
                let doomed = world
                    .apply(|view| Ok(rules::doom(view, self.epoch, &self.condemn)?))
                    .expect("the model is sound");
                self.condemn.clear();
                self.gone.extend(doomed);
                self.gone.sort_unstable();
                if self.gone.is_empty() { Step::Walk } else { Step::Remove }
            }
            Step::Remove => {
                let late = world.has_fault(Fault::RemoveAfterwards);
                self.gone = remove(world, &self.gone, late);
                if late { Step::RemoveLate } else { Step::Walk }
            }
            Step::RemoveLate => {
                world.store.retain(|key, _| !self.gone.contains(key));
                Step::Walk
            }
            Step::Walk => {
                self.gone = leftovers(world);
                if self.gone.is_empty() {
                    return Actor::Idle;
                }
                Step::Orphans
            }
            Step::Orphans => {
                if world.has_fault(Fault::OrphansBlindly) {
                    world.store.retain(|key, _| !self.gone.contains(key));
                } else {
                    remove(world, &self.gone, false);
                }
                return Actor::Idle;
            }
        };
        Actor::Collector(self)
    }

    /// Whether the next step is a removal, in which a crash leaves more than the
    /// state before or after it: objects that are gone, with their rows.
    pub(crate) fn crash_in_removal(&self, world: &mut World) -> bool {
        if !matches!(self.step, Step::Remove | Step::Orphans) {
            return false;
        }
        let taken = world
            .catalog
            .view(|view| rules::remove(view, &self.gone))
            .expect("the model is sound")
            .answer;
        let before = world.store.len();
        world.store.retain(|key, _| !taken.contains(key));
        world.store.len() < before
    }

    fn look_at_roots(&mut self, world: &World) {
        let bases = !world.has_fault(Fault::BasesAreNoRoots);
        world.read(|view| {
            view.each_root(&mut |root| {
                let blobs = tree(number(&root.root.as_blob()));
                self.live.extend(blobs.into_iter().map(|blob| (root.scope, blob)));
                self.live.insert((root.scope, number(&root.record)));
            })?;
            for draft in view.drafts(None, 100)?.iter().filter(|_| bases) {
                let Some(base) = draft.base else { continue };
                let Some(base) = view.version(base)? else { continue };
                let blobs = tree(number(&base.root.as_blob()));
                self.live.extend(blobs.into_iter().map(|blob| (Scope(draft.project), blob)));
            }
            Ok(())
        });
        if !world.has_fault(Fault::RootsOfTwoSnapshots) {
            self.look_at_leases(world);
        }
    }

    fn look_at_leases(&mut self, world: &World) {
        if world.has_fault(Fault::LeasesAreNoMarks) {
            return;
        }
        let numbers = numbers(world);
        world.read(|view| {
            view.each_leased(&mut |number| {
                self.leased.insert(numbers[&number].0);
            })
        });
    }

    fn look_at_places(&mut self, world: &World) {
        if world.has_fault(Fault::RootsOfTwoSnapshots) {
            self.look_at_leases(world);
        }
        let numbers = numbers(world);
        let mut places: BTreeMap<(Scope, Blob), Vec<ObjectNumber>> = BTreeMap::new();
        world.read(|view| {
            view.placed_blobs(None, usize::MAX, &mut |placed| {
                places.entry((placed.scope, number(&placed.blob))).or_default().push(placed.object);
            })
        });
        let mut marked = BTreeSet::<ObjectNumber>::new();
        for (of, at) in &places {
            if self.live.contains(of) {
                match world.has_fault(Fault::NewestPlaceCounts) {
                    true => marked.extend(at.last()),
                    false => marked.extend(at),
                }
            }
        }
        for (number, (key, state)) in &numbers {
            if *state == ObjectState::Deleting {
                self.gone.push(*key);
            } else if self.leased.contains(key) {
            } else if !marked.contains(number) {
                self.condemn.push(*key);
            } else {
                self.jobs.extend(self.job(world, *number, *key, &numbers, &places));
            }
        }
        self.live.clear();
        self.leased.clear();
    }

    /// How to give up an object that is partly dead, or partly elsewhere.
    fn job(
        &self,
        world: &World,
        number: ObjectNumber,
        key: ObjectKey,
        numbers: &BTreeMap<ObjectNumber, (ObjectKey, ObjectState)>,
        places: &BTreeMap<(Scope, Blob), Vec<ObjectNumber>>,
    ) -> Option<Job> {
        let mut job = Job { old: key, copy: BTreeMap::new(), elsewhere: Vec::new() };
        for ((scope, blob), at) in places {
            if !self.live.contains(&(*scope, *blob)) || !at.contains(&number) {
                continue;
            }
            let newest = at.iter().rfind(|at| numbers[at].1 != ObjectState::Deleting);
            match newest.filter(|newest| **newest != number) {
                Some(newest) => job.elsewhere.push((*scope, *blob, numbers[newest].0)),
                None => drop(job.copy.entry(*blob).or_default().insert(*scope)),
            }
        }
        let kept: BTreeSet<Blob> = job.copy.keys().copied().collect();
        (world.store.get(&key)? != &kept).then_some(job)
    }

    fn next_job(&mut self) -> Step {
        self.held = None;
        if self.jobs.is_empty() { Step::Doom } else { Step::Copy }
    }

    fn copy(&mut self, world: &mut World) -> Step {
        let job = &self.jobs[0];
        let readable = job.copy.keys().all(|blob| world.stored_has(&job.old, *blob))
            && job.elsewhere.iter().all(|(_, blob, holder)| world.stored_has(holder, *blob));
        if !readable {
            // Somebody else was faster.
            self.jobs.remove(0);
            return self.next_job();
        }
        self.copy = None;
        let blobs: BTreeSet<Blob> = job.copy.keys().copied().collect();
        if !blobs.is_empty() {
            let key = pack_of(&blobs);
            if world.store.insert(key, blobs).is_none() {
                self.held = Some(key);
            }
            self.copy = Some(key);
        }
        Step::Rewrite
    }

    fn rewrite(&mut self, world: &mut World) -> Step {
        let job = self.jobs.remove(0);
        let new: Vec<Copied> = self
            .copy
            .take()
            .map(|key| Copied {
                object: object_row(key),
                present: world.store.contains_key(&key),
                blobs: job
                    .copy
                    .iter()
                    .flat_map(|(blob, scopes)| {
                        scopes.iter().map(move |scope| (*scope, id(*blob), location(key)))
                    })
                    .collect(),
            })
            .into_iter()
            .collect();
        let elsewhere: Vec<_> =
            job.elsewhere.iter().map(|(scope, blob, key)| (*scope, id(*blob), *key)).collect();
        let request =
            Rewrite { epoch: self.epoch, old: &[job.old], new: &new, elsewhere: &elsewhere };
        let blind = match new.is_empty() {
            true => world.has_fault(Fault::NoStampOnHolder),
            false => world.has_fault(Fault::NoStampOnRewrite),
        };
        let epochs: Vec<_> = numbers_and_epochs(world);
        let done = world
            .apply(|view| Ok(unstamped(epochs.clone(), rules::rewrite(view, &request)?, blind)))
            .expect("the model is sound");
        if done {
            self.gone.push(job.old);
        }
        self.next_job()
    }
}

fn numbers(world: &World) -> BTreeMap<ObjectNumber, (ObjectKey, ObjectState)> {
    let mut numbers = BTreeMap::new();
    world.read(|view| {
        view.each_object(&mut |number, row| {
            numbers.insert(number, (row.key, row.state));
        })
    });
    numbers
}

fn numbers_and_epochs(world: &World) -> Vec<(ObjectKey, u64)> {
    let mut epochs = Vec::new();
    world.read(|view| view.each_object(&mut |_, row| epochs.push((row.key, row.claimed_epoch))));
    epochs
}

/// Ends undo windows, and drafts of those that are gone.
fn purge(world: &mut World) {
    let mut versions: Vec<VersionId> = Vec::new();
    world.read(|view| {
        view.each_root(&mut |root| versions.extend(root.deleted_at.map(|_| root.version)))
    });
    let request = Purge { by: by(), versions: &versions, grace: Some(0) };
    world.apply(|view| Ok(rules::purge(view, &request)?)).expect("the model is sound");
    let drafts: Vec<DraftId> = world.ownerless.iter().copied().collect();
    world.apply(|view| Ok(rules::end_drafts(view, &drafts)?)).expect("the model is sound");
    world.ownerless.clear();
}

/// The removal: rows and objects at once, or the rows alone.
fn remove(world: &mut World, keys: &[ObjectKey], rows_only: bool) -> Vec<ObjectKey> {
    let taken = world.apply(|view| Ok(rules::remove(view, keys)?)).expect("the model is sound");
    if !rows_only {
        world.store.retain(|key, _| !taken.contains(key));
    }
    taken
}

/// Objects without a row that nobody holds.
fn leftovers(world: &World) -> Vec<ObjectKey> {
    let held: Vec<ObjectKey> = world.actors.iter().flat_map(Actor::holds).collect();
    let mut keys: Vec<ObjectKey> = world.store.keys().copied().collect();
    keys.retain(|key| !held.contains(key) && world.read(|view| view.object(key)).is_none());
    keys
}
