//! `gc`: frees what nothing needs any more, beside writers, readers and other
//! collectors. `docs/adr/0005-gc.md` tells how, and why nothing is lost; the
//! transactions are the rules of `heirloom_catalog::rules`.
//!
//! A collection that ends early, by an error or with its process, leaves a
//! repository in order: the next one goes on.

mod doubt;
mod mark;
mod remove;
mod rewrite;
mod roots;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use heirloom_api::{Damage, GcPhase, GcProgress, GcReport, GcRequest, OnGc, Problem};
use heirloom_catalog::rules::{self, By, Purge};
use heirloom_catalog::{CatalogExt, Edit, ObjectNumber, ObjectState, VersionState, View};
use heirloom_core::{Caller, DraftId, ErrorCode, Role, Timestamp, VersionId};
use heirloom_store::{LocalStore, ObjectKey};

use crate::owner::{Liveness, Owner};
use crate::problem::{Failure, step};
use crate::{Inner, docs, expire, journal, parts, reserve};
use mark::{FRAME_BYTES, Marked, Tally};
use rewrite::Rewriting;
use roots::{Roots, Why};

/// Rows read or changed in one transaction.
const PAGE: usize = 500;

/// Most purged versions that are named.
const MAX_NAMED: usize = 1000;

/// A draft whose owner is not known, as it was begun elsewhere, is ended this long
/// after it last sent something: a day, in seconds. Ended too early it begins anew.
const UNKNOWN_OWNER_SECONDS: i64 = 24 * 60 * 60;

pub(crate) fn gc(
    inner: &Arc<Inner>,
    caller: &Caller,
    request: &GcRequest,
) -> Result<GcReport, Problem> {
    run(inner, caller, request).map_err(|failure| failure.0)
}

fn run(inner: &Inner, caller: &Caller, request: &GcRequest) -> Result<GcReport, Failure> {
    inner.catalog.view(|view| require_admin(view, caller))?;
    let mut collector = Collector {
        inner,
        caller,
        grace: request.grace,
        now: inner.env.now(),
        reporter: Reporter { on: request.progress.as_ref() },
        report: GcReport { dry_run: request.dry_run, ..GcReport::default() },
    };
    match request.dry_run {
        true => collector.foretell()?,
        false => {
            let outcome = collector.collect();
            if let Some(home) = &inner.home {
                reserve::ensure(home.path());
            }
            outcome?;
        }
    }
    let report = &mut collector.report;
    let taken = report.removed.bytes + report.leftovers.bytes;
    report.freed = taken.saturating_sub(report.written.bytes);
    Ok(collector.report)
}

/// What is freed is of all projects, so only whoever administers all may.
fn require_admin(view: &dyn View, caller: &Caller) -> Result<(), Failure> {
    let mut after: Option<heirloom_catalog::ProjectRow> = None;
    loop {
        let page = view.projects(after.as_ref().map(|row| (&row.entity, &row.name)), PAGE)?;
        if page.iter().any(|row| caller.role_in(&row.entity, &row.name) < Some(Role::Admin)) {
            return Err(Problem::new(
                ErrorCode::Forbidden,
                format!(
                    "{} may not free space: that takes an admin of every project",
                    caller.actor()
                ),
            )
            .into());
        }
        match page.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => return Ok(()),
        }
    }
}

/// Tells whoever asked how it goes on.
struct Reporter<'r> {
    on: Option<&'r OnGc>,
}

impl Reporter<'_> {
    fn progress(&self, phase: GcPhase, done: u64, total: Option<u64>) {
        if let Some(on) = self.on {
            on(GcProgress { phase, done, total });
        }
    }
}

/// One collection.
struct Collector<'r> {
    inner: &'r Inner,
    caller: &'r Caller,
    grace: Option<u64>,
    now: Timestamp,
    reporter: Reporter<'r>,
    report: GcReport,
}

/// What ends with this collection, before anything is marked.
#[derive(Default)]
struct Ending {
    versions: Vec<VersionId>,
    drafts: Vec<DraftId>,
    /// When the first of the versions that stay restorable no longer is.
    restorable_until: Option<Timestamp>,
}

impl Collector<'_> {
    fn collect(&mut self) -> Result<(), Failure> {
        let inner = self.inner;
        step("gc::begin")?;
        parts::expire(inner, self.now)?;
        let epoch = self.decide(|view| rules::bump_epoch(view))?;
        step("gc::purge")?;
        let ending = inner.catalog.view(|view| self.ending(view))?;
        // What expires now has been looked at by nobody, and stays restorable.
        let expired = expire::expire(inner, self.caller.actor(), self.now, false)?;
        self.report.expired = expired.deleted;
        self.purge(&ending)?;
        self.sweep()?;
        let (mut roots, objects) =
            inner.catalog.view(|view| self.snapshot(view, &Ending::default(), None))?;
        self.report.kept.restorable_until = ending.restorable_until;
        step("gc::mark")?;
        self.report.kept.live_drafts = roots.live_drafts;
        let marked = mark::mark(inner, &mut roots, objects, &self.reporter)?;
        self.settle(&marked.unplaced)?;
        step("gc::orphans")?;
        self.orphans(true, &marked)?;
        self.remove_given_up(&marked.objects)?;
        let chosen = self.choose(&marked, epoch)?;
        self.keep(&marked, &chosen);
        self.remove_unneeded(epoch, &chosen)?;
        self.rewrite_if_there_is_room(epoch, &chosen, &marked, &mut roots)?;
        step("gc::seal")?;
        let sealed = journal::seal(inner).map(drop);
        // The next one, with the space that this one has freed, does it.
        if is_full(&sealed) { Ok(()) } else { sealed }
    }

    /// Rewriting frees more than it takes, but takes first: on a full disk it has
    /// the room of the reserve, and if that is too little, it is for another time.
    fn rewrite_if_there_is_room(
        &mut self,
        epoch: u64,
        chosen: &Chosen,
        marked: &Marked,
        roots: &mut Roots,
    ) -> Result<(), Failure> {
        let mut tried = self.rewrite(epoch, Rewriting::groups(chosen, marked), marked, roots);
        if is_full(&tried)
            && let Some(home) = &self.inner.home
            && reserve::release(home.path())
        {
            tried = self.rewrite(epoch, Rewriting::groups(chosen, marked), marked, roots);
        }
        if is_full(&tried) { Ok(()) } else { tried }
    }

    /// The same without a change.
    fn foretell(&mut self) -> Result<(), Failure> {
        let inner = self.inner;
        let ending = inner.catalog.view(|view| self.ending(view))?;
        self.report.expired = expire::expire(inner, self.caller.actor(), self.now, true)?.deleted;
        self.report.purged = ending.versions.len() as u64;
        self.report.drafts_ended = ending.drafts.len() as u64;
        self.name(&ending.versions)?;
        self.report.kept.restorable_until = ending.restorable_until;
        if let Some(home) = &inner.home {
            let found = LocalStore::open(home.path())?.tmp_leftovers()?;
            self.report.leftovers.count = found.files;
            self.report.leftovers.bytes = found.bytes;
        }
        let (epoch, (mut roots, objects)) = inner.catalog.view(|view| {
            Ok::<_, Failure>((view.epoch()? + 1, self.snapshot(view, &ending, Some(self.now))?))
        })?;
        self.report.kept.live_drafts = roots.live_drafts;
        let marked = mark::mark(inner, &mut roots, objects, &self.reporter)?;
        self.settle(&marked.unplaced)?;
        self.orphans(false, &marked)?;
        let chosen = self.choose(&marked, epoch)?;
        self.keep(&marked, &chosen);
        for object in &chosen.given_up {
            if let Some(info) = inner.store.stat(&object.key)? {
                self.report.removed.add(info.size);
            }
        }
        for object in &chosen.unneeded {
            self.report.removed.add(object.size);
        }
        let groups = Rewriting::groups(&chosen, &marked);
        self.rewrite(0, groups, &marked, &mut roots)
    }

    /// A transaction; on a full disk again with the room of the reserve.
    fn decide<T>(
        &self,
        mut rule: impl FnMut(&dyn View) -> heirloom_catalog::Result<rules::Decision<T>>,
    ) -> Result<T, Failure> {
        self.transact(|view| Ok(rule(view)?.into_parts()))
    }

    fn transact<T>(
        &self,
        mut decide: impl FnMut(&dyn View) -> Result<(Vec<Edit>, T), Failure>,
    ) -> Result<T, Failure> {
        match self.inner.catalog.transact(&mut decide) {
            Err(Failure(problem)) if problem.code == ErrorCode::NoSpace => match &self.inner.home {
                Some(home) if reserve::release(home.path()) => self.inner.catalog.transact(decide),
                _ => Err(problem.into()),
            },
            other => other,
        }
    }

    /// Versions past their undo window, and drafts without an owner.
    fn ending(&self, view: &dyn View) -> Result<Ending, Failure> {
        let mut ending = Ending::default();
        let mut deleted = Vec::new();
        view.each_root(&mut |root| deleted.extend(root.deleted_at.map(|_| root.version)))?;
        for page in deleted.chunks(PAGE) {
            for row in view.versions(page)? {
                if rules::is_purgeable(row.state, self.now, self.grace) {
                    ending.versions.push(row.id);
                } else if let VersionState::Deleted { at, purge_after } = row.state {
                    let early = self.grace.map_or(purge_after, |grace| {
                        at.plus_seconds(i64::try_from(grace).unwrap_or(i64::MAX))
                    });
                    let until = early.min(purge_after);
                    let first = ending.restorable_until.map_or(until, |first| first.min(until));
                    ending.restorable_until = Some(first);
                }
            }
        }
        let mut after = None;
        loop {
            let page = view.drafts(after, PAGE)?;
            let Some(last) = page.last() else { return Ok(ending) };
            after = Some(last.id);
            for draft in &page {
                let liveness = match &self.inner.home {
                    Some(home) => Owner::liveness(home.path(), draft.id),
                    None => Liveness::Unknown,
                };
                let is_over = match liveness {
                    Liveness::Alive => false,
                    Liveness::Dead => true,
                    Liveness::Unknown => {
                        let mut touched = draft.created_at;
                        for key in view.leases(draft.id)? {
                            let made = view.object(&key)?.map(|object| object.created_at);
                            touched = made.map_or(touched, |made| made.max(touched));
                        }
                        touched.plus_seconds(UNKNOWN_OWNER_SECONDS) <= self.now
                    }
                };
                if is_over {
                    ending.drafts.push(draft.id);
                }
            }
        }
    }

    fn purge(&mut self, ending: &Ending) -> Result<(), Failure> {
        let by = By { actor: self.caller.actor(), at: self.now, admin: true };
        let total = ending.versions.len() as u64;
        for page in ending.versions.chunks(PAGE) {
            let request = Purge { by, versions: page, grace: self.grace };
            let purged = self.decide(|view| rules::purge(view, &request))?;
            self.name(&purged)?;
            self.report.purged += purged.len() as u64;
            self.reporter.progress(GcPhase::Purge, self.report.purged, Some(total));
        }
        for page in ending.drafts.chunks(PAGE) {
            let ended = self.decide(|view| rules::end_drafts(view, page))?;
            self.report.drafts_ended += ended.len() as u64;
        }
        self.decide(|_| Ok(rules::drop_answers(self.now)))
    }

    /// Puts the names of purged versions on the report.
    fn name(&mut self, versions: &[VersionId]) -> Result<(), Failure> {
        let room = MAX_NAMED.saturating_sub(self.report.purged_versions.len());
        let names = self.inner.catalog.view(|view| {
            let rows = view.versions(&versions[..versions.len().min(room)])?;
            rows.iter().map(|row| docs::version_ref(view, row)).collect::<Result<Vec<_>, Failure>>()
        })?;
        self.report.purged_versions.extend(names);
        Ok(())
    }

    /// Removes what dead writers have left beside the objects.
    fn sweep(&mut self) -> Result<(), Failure> {
        step("gc::sweep")?;
        let Some(home) = &self.inner.home else { return Ok(()) };
        for draft in Owner::all(home.path()).map_err(|error| {
            Problem::new(ErrorCode::Io, format!("cannot list the owners of drafts: {error}"))
        })? {
            if Owner::liveness(home.path(), draft) == Liveness::Dead
                && self.inner.catalog.view(|view| view.draft(draft))?.is_none()
            {
                Owner::forget(home.path(), draft);
            }
        }
        let cleaned = LocalStore::open(home.path())?.clean_tmp()?;
        self.report.leftovers.count = cleaned.files;
        self.report.leftovers.bytes = cleaned.bytes;
        Ok(())
    }

    /// Roots and objects as one snapshot has them, as if what is to end had ended.
    fn snapshot(
        &self,
        view: &dyn View,
        ending: &Ending,
        expired_by: Option<Timestamp>,
    ) -> Result<(Roots, Vec<Tally>), Failure> {
        let purged: HashSet<VersionId> = ending.versions.iter().copied().collect();
        let ended: BTreeSet<DraftId> = ending.drafts.iter().copied().collect();
        let roots = roots::read(
            view,
            expired_by,
            |version| purged.contains(&version),
            |draft| ended.contains(&draft),
        )?;
        let mut leased: Vec<ObjectNumber> = Vec::new();
        view.each_leased(&mut |number| leased.push(number))?;
        leased.sort_unstable();
        let freed = leased_by_only(view, &ended)?;
        let mut objects = Vec::new();
        view.each_object(&mut |number, row| {
            objects.push(Tally {
                number,
                size: row.size,
                state: row.state,
                claimed_epoch: row.claimed_epoch,
                is_pack: matches!(row.key, ObjectKey::Pack(_)),
                is_leased: leased.binary_search(&number).is_ok() && !freed.contains(&row.key),
                blobs: 0,
                is_needed: false,
                firm: 0,
                restorable: 0,
                why: None,
            });
        })?;
        objects.sort_unstable_by_key(|tally| tally.number);
        Ok((roots, objects))
    }

    /// What stays, and by whom.
    fn keep(&mut self, marked: &Marked, chosen: &Chosen) {
        let kept = &mut self.report.kept;
        for tally in &marked.objects {
            if chosen.is_to_go(tally.number) {
                continue;
            }
            kept.objects += 1;
            kept.bytes += tally.size;
            let Some(why) = tally.why else {
                // Leased, or claimed since: for a version that is being made.
                match tally.is_needed {
                    true => kept.beside += tally.size,
                    false => kept.drafts += tally.size,
                }
                continue;
            };
            let firm = tally.firm.min(tally.size);
            let restorable = tally.restorable.min(tally.size - firm);
            let frame = match tally.is_pack {
                true => FRAME_BYTES.min(tally.size - firm - restorable),
                false => 0,
            };
            kept.restorable += restorable;
            kept.beside += tally.size - firm - restorable - frame;
            *match why {
                Why::Version => &mut kept.versions,
                Why::Parts => &mut kept.parts,
                Why::Draft => &mut kept.drafts,
                Why::Restorable => &mut kept.restorable,
            } += firm + frame;
        }
    }

    /// Adds a damage that was met.
    fn damaged(&mut self, damage: Damage) {
        if self.report.damages.len() < MAX_NAMED {
            self.report.damages.push(damage);
        }
    }
}

/// Objects that these drafts have under lease, and no others.
fn leased_by_only(
    view: &dyn View,
    drafts: &BTreeSet<DraftId>,
) -> Result<BTreeSet<ObjectKey>, Failure> {
    let mut keys = BTreeSet::new();
    for draft in drafts {
        keys.extend(view.leases(*draft)?);
    }
    if keys.is_empty() {
        return Ok(keys);
    }
    let mut after = None;
    loop {
        let page = view.drafts(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(keys) };
        after = Some(last.id);
        for draft in page.iter().filter(|draft| !drafts.contains(&draft.id)) {
            for key in view.leases(draft.id)? {
                keys.remove(&key);
            }
        }
    }
}

/// Whether something failed because the disk is full.
fn is_full(outcome: &Result<(), Failure>) -> bool {
    matches!(outcome, Err(Failure(problem)) if problem.code == ErrorCode::NoSpace)
}

/// An object that something is to be done with.
#[derive(Debug, Clone, Copy)]
struct Pick {
    number: ObjectNumber,
    key: ObjectKey,
    size: u64,
    blobs: u32,
}

/// What is to be done with the objects.
#[derive(Debug, Default)]
struct Chosen {
    /// Given up already, by this or another collector.
    given_up: Vec<Pick>,
    /// Needed by nothing.
    unneeded: Vec<Pick>,
    /// Mostly dead packs.
    sparse: Vec<Pick>,
    /// Small packs, where there are many.
    small: Vec<Pick>,
    /// The numbers of those that surely go, ascending.
    to_go: Vec<ObjectNumber>,
}

impl Chosen {
    fn is_to_go(&self, number: ObjectNumber) -> bool {
        self.to_go.binary_search(&number).is_ok()
    }
}

/// Packs below this length are small: a put of a few files makes two of some
/// kilobytes, and opening one costs as much as reading a hundred kilobytes.
const SMALL_BYTES: u64 = 1 << 20;

/// Packs below this length are rewritten once a quarter of them is dead: it takes a
/// moment, and repositories of many small versions have only such. Larger ones wait
/// until half is dead, so that no byte is written more than once per byte freed.
const LIGHT_BYTES: u64 = 16 << 20;

fn is_sparse(pack: &Tally) -> bool {
    let live = pack.live() + FRAME_BYTES;
    match pack.size < LIGHT_BYTES {
        true => live * 4 < pack.size * 3,
        false => live * 2 < pack.size,
    }
}

/// Small packs from which on they are joined: fewer are not worth the writing.
const MANY_SMALL: usize = 16;

impl Collector<'_> {
    /// Decides what to do with each object, and looks up the keys of those that
    /// anything is to be done with.
    fn choose(&self, marked: &Marked, epoch: u64) -> Result<Chosen, Failure> {
        #[derive(Clone, Copy, PartialEq)]
        enum What {
            GivenUp,
            Unneeded,
            Sparse,
            Small,
        }
        let mut wanted: Vec<(ObjectNumber, What, u32)> = Vec::new();
        for tally in &marked.objects {
            let what = if tally.state == ObjectState::Deleting {
                What::GivenUp
            } else if !tally.is_free(epoch) {
                continue;
            } else if !tally.is_needed {
                What::Unneeded
            } else if !tally.is_pack || tally.state != ObjectState::Live {
                continue;
            } else if is_sparse(tally) {
                What::Sparse
            } else if tally.size < SMALL_BYTES {
                What::Small
            } else {
                continue;
            };
            wanted.push((tally.number, what, tally.blobs));
        }
        if wanted.iter().filter(|(_, what, _)| *what == What::Small).count() < MANY_SMALL {
            wanted.retain(|(_, what, _)| *what != What::Small);
        }
        let mut chosen = Chosen::default();
        self.inner.catalog.view(|view| {
            view.each_object(&mut |number, row| {
                let Ok(at) = wanted.binary_search_by_key(&number, |(number, ..)| *number) else {
                    return;
                };
                let (_, what, blobs) = wanted[at];
                let one = Pick { number, key: row.key, size: row.size, blobs };
                match what {
                    What::GivenUp => chosen.given_up.push(one),
                    What::Unneeded => chosen.unneeded.push(one),
                    What::Sparse => chosen.sparse.push(one),
                    What::Small => chosen.small.push(one),
                }
            })?;
            Ok::<_, Failure>(())
        })?;
        for list in
            [&mut chosen.given_up, &mut chosen.unneeded, &mut chosen.sparse, &mut chosen.small]
        {
            list.sort_unstable_by_key(|one| one.number);
        }
        chosen.to_go =
            chosen.given_up.iter().chain(&chosen.unneeded).map(|one| one.number).collect();
        chosen.to_go.sort_unstable();
        Ok(chosen)
    }
}
