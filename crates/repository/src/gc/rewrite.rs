//! Rewriting packs: of what mostly is dead the rest is copied, and many small ones
//! become one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use heirloom_api::{Damage, GcPhase};
use heirloom_catalog::rules::{self, Copied};
use heirloom_catalog::{CatalogExt, Location, ObjectRow};
use heirloom_core::Scope;
use heirloom_manifest::BlobId;
use heirloom_store::{
    Extent, Moved, ObjectKey, PackId, PackRecord, StoreError, consolidate, read_many,
};

use super::mark::{self, FRAME_BYTES, Marked, Needed, RECORD_BYTES};
use super::roots::Roots;
use super::{Chosen, Collector, Pick};
use crate::problem::{Failure, chain, step};
use crate::read::extent;
use crate::write::is_present;

/// Blobs of packs that are rewritten at once: their places change in one
/// transaction.
const BLOBS_AT_ONCE: u64 = 65_536;

/// Bytes of packs that are rewritten at once: half a new pack at most, so that one
/// is enough.
const BYTES_AT_ONCE: u64 = 16 << 20;

/// Packs that are rewritten at once.
const PACKS_AT_ONCE: usize = 256;

/// Packs to be replaced by one.
#[derive(Debug, Default)]
pub(super) struct Rewriting {
    packs: Vec<(PackId, u64)>,
}

impl Rewriting {
    /// Groups of packs: mostly dead ones, and small ones together.
    pub(super) fn groups(chosen: &Chosen, marked: &Marked) -> Vec<Self> {
        let live = |one: &Pick| {
            let found = marked.objects.binary_search_by_key(&one.number, |tally| tally.number);
            found.map_or(one.size, |at| marked.objects[at].live())
        };
        let mut groups = Vec::new();
        let (mut group, mut blobs, mut bytes) = (Self::default(), 0, 0);
        for one in chosen.sparse.iter().chain(&chosen.small) {
            let ObjectKey::Pack(pack) = one.key else { continue };
            let (more_blobs, more_bytes) = (u64::from(one.blobs), live(one));
            let is_full = group.packs.len() == PACKS_AT_ONCE
                || blobs + more_blobs > BLOBS_AT_ONCE
                || bytes + more_bytes > BYTES_AT_ONCE;
            if is_full && !group.packs.is_empty() {
                groups.push(std::mem::take(&mut group));
                (blobs, bytes) = (0, 0);
            }
            group.packs.push((pack, one.size));
            blobs += more_blobs;
            bytes += more_bytes;
        }
        groups.push(group);
        let is_sparse =
            |key| chosen.sparse.iter().any(|one: &Pick| one.key == ObjectKey::Pack(key));
        // A small one alone stays what it is.
        groups.retain(|group| group.packs.len() > 1 || group.packs.iter().any(|p| is_sparse(p.0)));
        groups
    }

    /// Places in these packs.
    fn only(
        &self,
        mut placed: Vec<(PackId, Scope, BlobId, Location)>,
    ) -> Vec<(PackId, Scope, BlobId, Location)> {
        placed.retain(|(of, ..)| self.packs.iter().any(|(pack, _)| pack == of));
        placed
    }

    fn keys(&self) -> Vec<ObjectKey> {
        self.packs.iter().map(|(pack, _)| ObjectKey::Pack(*pack)).collect()
    }
}

/// What lives in a group of packs.
#[derive(Default)]
struct Living {
    /// Blobs to copy, with the scopes that have them here.
    copy: BTreeMap<(PackId, BlobId), Vec<(Scope, Location)>>,
    /// Blobs that another object holds, which is newer.
    elsewhere: Vec<(Scope, BlobId, Extent, (PackId, Location))>,
}

/// What is needed, as far as the blobs at hand go.
enum Needs<'n> {
    All(&'n Needed),
    Some(HashSet<(Scope, BlobId)>),
}

impl Needs<'_> {
    fn has(&self, scope: Scope, id: &BlobId) -> bool {
        match self {
            Self::All(needed) => needed.why(scope, id).is_some(),
            Self::Some(found) => found.contains(&(scope, *id)),
        }
    }
}

impl Collector<'_> {
    /// Rewrites groups of packs, or only counts what that would do.
    pub(super) fn rewrite(
        &mut self,
        epoch: u64,
        groups: Vec<Rewriting>,
        marked: &Marked,
        roots: &mut Roots,
    ) -> Result<(), Failure> {
        let total = Some(groups.len() as u64);
        for (done, group) in groups.iter().enumerate() {
            let placed = self.placed(group)?;
            let needs = match &marked.needed {
                Some(needed) => Needs::All(needed),
                None => {
                    let mut blobs: Vec<(Scope, BlobId)> =
                        placed.iter().map(|(_, scope, id, _)| (*scope, *id)).collect();
                    blobs.sort_unstable();
                    blobs.dedup();
                    Needs::Some(mark::ask(self.inner, roots, &blobs, &self.reporter)?)
                }
            };
            if self.report.dry_run {
                let living = self.living(group, placed, &needs)?;
                self.foretell_group(group, &living);
            } else {
                let living = self.living(group, placed.clone(), &needs)?;
                if let Some(rest) = self.rewrite_group(epoch, group, living)? {
                    let living = self.living(&rest, rest.only(placed), &needs)?;
                    self.rewrite_group(epoch, &rest, living)?;
                }
            }
            self.reporter.progress(GcPhase::Rewrite, done as u64 + 1, total);
        }
        Ok(())
    }

    /// All places in the group's packs.
    fn placed(&self, group: &Rewriting) -> Result<Vec<(PackId, Scope, BlobId, Location)>, Failure> {
        let mut placed = Vec::new();
        self.inner.catalog.view(|view| {
            for (pack, _) in &group.packs {
                view.located_in(&ObjectKey::Pack(*pack), &mut |scope, id, location| {
                    placed.push((*pack, scope, id, location));
                })?;
            }
            Ok::<_, Failure>(())
        })?;
        Ok(placed)
    }

    fn living(
        &self,
        group: &Rewriting,
        placed: Vec<(PackId, Scope, BlobId, Location)>,
        needs: &Needs<'_>,
    ) -> Result<Living, Failure> {
        let ours: BTreeSet<ObjectKey> = group.keys().into_iter().collect();
        let mut by_scope: BTreeMap<Scope, BTreeMap<BlobId, Vec<(PackId, Location)>>> =
            BTreeMap::new();
        for (pack, scope, id, location) in placed {
            if needs.has(scope, &id) {
                by_scope.entry(scope).or_default().entry(id).or_default().push((pack, location));
            }
        }
        let mut living = Living::default();
        for (scope, blobs) in by_scope {
            let ids: Vec<BlobId> = blobs.keys().copied().collect();
            let newest = self.inner.catalog.view(|view| view.locate(scope, &ids))?;
            for ((id, places), newest) in blobs.into_iter().zip(newest) {
                // Changed since: the transaction will refuse.
                let Some(newest) = newest else { continue };
                let last = places.last().copied();
                match places.iter().find(|(pack, _)| ObjectKey::Pack(*pack) == newest.object) {
                    Some((pack, location)) => {
                        living.copy.entry((*pack, id)).or_default().push((scope, *location));
                    }
                    None if ours.contains(&newest.object) => {}
                    None => {
                        let Some(here) = last else { continue };
                        living.elsewhere.push((scope, id, extent(id, &newest)?, here));
                    }
                }
            }
        }
        Ok(living)
    }

    fn foretell_group(&mut self, group: &Rewriting, living: &Living) {
        let mut distinct: BTreeMap<BlobId, u64> = BTreeMap::new();
        for ((_, id), places) in &living.copy {
            if let Some((_, location)) = places.first() {
                distinct.entry(*id).or_insert(location.stored);
            }
        }
        let written: u64 = distinct.values().map(|stored| stored + RECORD_BYTES).sum();
        self.count_group(group, (written > 0).then_some(written + FRAME_BYTES));
        for (_, size) in &group.packs {
            self.report.removed.add(*size);
        }
    }

    /// Counts a group that was replaced by packs of these lengths.
    fn count_group(&mut self, group: &Rewriting, written: impl IntoIterator<Item = u64>) {
        let report = &mut self.report;
        let mut less = 0;
        for (_, size) in &group.packs {
            report.rewritten.add(*size);
            less += size;
        }
        report.kept.objects -= group.packs.len() as u64;
        report.kept.bytes -= less;
        for size in written {
            report.written.add(size);
            report.kept.objects += 1;
            report.kept.bytes += size;
            less = less.saturating_sub(size);
        }
        // What went lay beside what stays; the frames of small packs are of versions.
        let beside = less.min(report.kept.beside);
        report.kept.beside -= beside;
        report.kept.versions = report.kept.versions.saturating_sub(less - beside);
    }

    /// Replaces a group; the answer is what is left of it to do, when one of its
    /// packs turned out to be what the others would be rewritten to.
    fn rewrite_group(
        &mut self,
        epoch: u64,
        group: &Rewriting,
        mut living: Living,
    ) -> Result<Option<Rewriting>, Failure> {
        let elsewhere = self.sound_elsewhere(&mut living)?;
        let inputs: Vec<PackId> = group.packs.iter().map(|(pack, _)| *pack).collect();
        step("gc::copy")?;
        let copied = consolidate(&*self.inner.store, &inputs, |pack, record| {
            living.copy.contains_key(&(*pack, record.id))
        });
        let done = match copied {
            Ok(done) => done,
            // Removed by somebody else, who was faster.
            Err(StoreError::NotFound { key }) if !self.is_live(&key)? => return Ok(None),
            Err(error) if error.is_damage() || matches!(error, StoreError::NotFound { .. }) => {
                for (pack, _) in &group.packs {
                    let object = ObjectKey::Pack(*pack).to_string();
                    if chain(&error).contains(&object) || group.packs.len() == 1 {
                        let what = format!("it is not rewritten: {}", chain(&error));
                        self.damaged(Damage { object, blob: None, what, versions: Vec::new() });
                    }
                }
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let ours: Vec<PackId> =
            done.packs.iter().filter(|pack| pack.created).map(|pack| pack.id).collect();
        if done.packs.iter().any(|pack| inputs.contains(&pack.id)) {
            let mut packs = group.packs.clone();
            packs.retain(|(id, _)| !done.packs.iter().any(|pack| pack.id == *id));
            self.forget(ours)?;
            return Ok((!packs.is_empty()).then_some(Rewriting { packs }));
        }
        let places = moved(&done.moved);
        if !done.unread.is_empty() || living.copy.keys().any(|of| !places.contains_key(of)) {
            for unread in &done.unread {
                self.damaged(Damage {
                    object: ObjectKey::Pack(unread.pack).to_string(),
                    blob: Some(unread.id),
                    what: format!("its pack is kept as it is: {}", chain(&unread.error)),
                    versions: Vec::new(),
                });
            }
            return self.forget(ours).map(|()| None);
        }
        let old = group.keys();
        let now = self.now;
        step("gc::rewrite")?;
        let happened = self.transact(|view| {
            let mut new = Vec::new();
            for pack in &done.packs {
                let key = ObjectKey::Pack(pack.id);
                let present = is_present(self.inner, &key, pack.size)?;
                new.push(Copied {
                    object: ObjectRow::stored(key, pack.size, now),
                    present,
                    blobs: copies(&living, &places, pack.id),
                });
            }
            let request = rules::Rewrite { epoch, old: &old, new: &new, elsewhere: &elsewhere };
            Ok(rules::rewrite(view, &request)?.into_parts())
        })?;
        if !happened {
            return self.forget(ours).map(|()| None);
        }
        self.count_group(group, done.packs.iter().map(|pack| pack.size).collect::<Vec<_>>());
        drop(done);
        let freed = self.remove(&old)?;
        self.report.removed.count += freed.objects;
        self.report.removed.bytes += freed.bytes;
        Ok(None)
    }

    /// Reads what other objects hold. What is not sound there is copied, too, and
    /// the copy counts from then on.
    fn sound_elsewhere(
        &self,
        living: &mut Living,
    ) -> Result<Vec<(Scope, BlobId, ObjectKey)>, Failure> {
        let mut items: Vec<(Extent, usize)> = Vec::new();
        for (at, (_, _, extent, _)) in living.elsewhere.iter().enumerate() {
            if let ObjectKey::Pack(_) = extent.key {
                items.push((*extent, at));
            }
        }
        let mut sound = BTreeSet::new();
        read_many(&*self.inner.store, &mut items, |(_, at), bytes| {
            if bytes.is_ok() {
                sound.insert(*at);
            }
            Ok::<(), StoreError>(())
        })?;
        let mut kept = Vec::new();
        for (at, (scope, id, extent, (pack, location))) in
            std::mem::take(&mut living.elsewhere).into_iter().enumerate()
        {
            match sound.contains(&at) {
                true => kept.push((scope, id, extent.key)),
                false => living.copy.entry((pack, id)).or_default().push((scope, location)),
            }
        }
        Ok(kept)
    }

    fn is_live(&self, key: &ObjectKey) -> Result<bool, Failure> {
        let row = self.inner.catalog.view(|view| view.object(key))?;
        Ok(row.is_some_and(|row| row.state.is_usable()))
    }

    /// Removes packs that were written in vain, unless somebody has them on record.
    fn forget(&self, packs: Vec<PackId>) -> Result<(), Failure> {
        let keys: Vec<ObjectKey> = packs.into_iter().map(ObjectKey::Pack).collect();
        if keys.is_empty() { Ok(()) } else { self.remove(&keys).map(drop) }
    }
}

/// Where each blob was copied to, by where it was.
type Places = HashMap<(PackId, BlobId), (PackId, PackRecord)>;

fn moved(moves: &[Moved]) -> Places {
    moves.iter().map(|moved| ((moved.from, moved.old.id), (moved.to, moved.new))).collect()
}

/// What a new pack holds for each scope.
fn copies(living: &Living, places: &Places, pack: PackId) -> Vec<(Scope, BlobId, Location)> {
    let mut blobs = Vec::new();
    for (of, scopes) in &living.copy {
        let Some((to, record)) = places.get(of).filter(|(to, _)| *to == pack) else { continue };
        let location = Location::packed(ObjectKey::Pack(*to), record);
        blobs.extend(scopes.iter().map(|(scope, _)| (*scope, of.1, location)));
    }
    blobs
}
