//! Condemning, giving up and removing objects.

use heirloom_api::{Damage, GcPhase};
use heirloom_catalog::rules;
use heirloom_catalog::{CatalogExt, ObjectState};
use heirloom_store::{Found, Freed, ObjectInfo, ObjectKey, StoreExt, Withdrawn};

use super::mark::{Marked, Tally};
use super::{Chosen, Collector, Pick};
use crate::problem::{Failure, step};

/// Objects removed in one transaction: that many files are renamed while no
/// writer can commit.
const REMOVED_AT_ONCE: usize = 256;

/// Places dropped in one transaction, unless one object has more.
const PLACES_AT_ONCE: u64 = 65_536;

/// Objects found in the store whose rows are looked up at once.
const FOUND_AT_ONCE: usize = 1000;

impl Collector<'_> {
    /// Removes objects that a collector has given up and not come to remove.
    pub(super) fn remove_given_up(&mut self, objects: &[Tally]) -> Result<(), Failure> {
        if !objects.iter().any(|tally| tally.state == ObjectState::Deleting) {
            return Ok(());
        }
        let mut keys = Vec::new();
        self.inner.catalog.view(|view| {
            view.each_object(&mut |_, row| {
                if row.state == ObjectState::Deleting {
                    keys.push(row.key);
                }
            })
        })?;
        for batch in keys.chunks(REMOVED_AT_ONCE) {
            let freed = self.remove(batch)?;
            self.count(freed);
        }
        Ok(())
    }

    /// Removes what nothing needs.
    pub(super) fn remove_unneeded(&mut self, epoch: u64, chosen: &Chosen) -> Result<(), Failure> {
        let total = Some(chosen.unneeded.len() as u64);
        // All are condemned before any is given up: what is claimed meanwhile need
        // not be sent again.
        step("gc::condemn")?;
        for batch in chosen.unneeded.chunks(FOUND_AT_ONCE) {
            let keys: Vec<ObjectKey> = batch.iter().map(|one| one.key).collect();
            self.decide(|view| rules::condemn(view, epoch, &keys))?;
        }
        let mut done = 0;
        for batch in Batches(&chosen.unneeded) {
            let keys: Vec<ObjectKey> = batch.iter().map(|one| one.key).collect();
            step("gc::doom")?;
            let doomed = self.decide(|view| rules::doom(view, epoch, &keys))?;
            let freed = self.remove(&doomed)?;
            self.count(freed);
            done += batch.len() as u64;
            self.reporter.progress(GcPhase::Remove, done, total);
        }
        Ok(())
    }

    fn count(&mut self, freed: Freed) {
        self.report.removed.count += freed.objects;
        self.report.removed.bytes += freed.bytes;
    }

    /// Removes those that are given up or have no row, rows and objects in one
    /// transaction. The space is freed after it.
    pub(super) fn remove(&self, keys: &[ObjectKey]) -> Result<Freed, Failure> {
        step("gc::remove")?;
        let mut withdrawn: Vec<Withdrawn> = Vec::new();
        let removed = self.transact(|view| {
            let decision = rules::remove(view, keys)?;
            withdrawn.push(self.inner.store.withdraw(&decision.answer)?);
            Ok((decision.edits, ()))
        });
        // Also when the rows could not be dropped: what they tell of is given up.
        let mut freed = Freed::default();
        step("gc::free")?;
        for withdrawn in withdrawn {
            freed += withdrawn.free()?;
        }
        removed.map(|()| freed)
    }

    /// Removes objects that no row tells of, or only counts them.
    pub(super) fn orphans(&mut self, is_real: bool, marked: &Marked) -> Result<(), Failure> {
        let store = &*self.inner.store;
        let mut found: Vec<(ObjectKey, ObjectInfo)> = Vec::with_capacity(FOUND_AT_ONCE);
        let mut doubt = Doubt::Unasked(marked);
        for item in store.walk() {
            if let Found::Object(key, info) = item? {
                found.push((key, info));
            }
            if found.len() == FOUND_AT_ONCE {
                self.orphans_among(&mut found, is_real, &mut doubt)?;
            }
        }
        self.orphans_among(&mut found, is_real, &mut doubt)
    }

    fn orphans_among(
        &mut self,
        found: &mut Vec<(ObjectKey, ObjectInfo)>,
        is_real: bool,
        doubt: &mut Doubt<'_>,
    ) -> Result<(), Failure> {
        let mut orphans = Vec::new();
        self.inner.catalog.view(|view| {
            for (key, info) in found.drain(..) {
                if view.object(&key)?.is_none() {
                    orphans.push((key, info));
                }
            }
            Ok::<_, Failure>(())
        })?;
        if orphans.is_empty() || !self.may_go(doubt)? {
            return Ok(());
        }
        let mut keys = Vec::new();
        for (key, info) in orphans {
            // One whose writer lives would only be sent again.
            if self.inner.store.is_held(&key)? {
                continue;
            }
            keys.push(key);
            if !is_real {
                self.report.orphans.add(info.size);
                self.report.removed.add(info.size);
            }
        }
        if is_real {
            for batch in keys.chunks(REMOVED_AT_ONCE) {
                let freed = self.remove(batch)?;
                self.report.orphans.count += freed.objects;
                self.report.orphans.bytes += freed.bytes;
                self.count(freed);
            }
        }
        Ok(())
    }
}

/// Whether what has no row may be what something needs.
enum Doubt<'m> {
    Unasked(&'m Marked),
    Settled(bool),
}

impl Collector<'_> {
    fn may_go(&mut self, doubt: &mut Doubt<'_>) -> Result<bool, Failure> {
        if let Doubt::Unasked(marked) = doubt {
            let absent = self.absent(marked)?;
            *doubt = Doubt::Settled(absent.is_none());
            if let Some(key) = absent {
                self.damaged(Damage {
                    object: key.to_string(),
                    blob: None,
                    what: "it is needed and not in the store; objects that the catalog does not \
                           know are kept, as they may be what is missing"
                        .to_owned(),
                    versions: Vec::new(),
                });
            }
        }
        Ok(matches!(doubt, Doubt::Settled(true)))
    }
}

/// Slices of a list that one transaction can remove.
struct Batches<'c>(&'c [Pick]);

impl<'c> Iterator for Batches<'c> {
    type Item = &'c [Pick];

    fn next(&mut self) -> Option<Self::Item> {
        let mut places = 0;
        let fits = self
            .0
            .iter()
            .take(REMOVED_AT_ONCE)
            .take_while(|one| {
                places += u64::from(one.blobs);
                places <= PLACES_AT_ONCE
            })
            .count();
        let (batch, rest) = self.0.split_at(fits.max(1).min(self.0.len()));
        self.0 = rest;
        (!batch.is_empty()).then_some(batch)
    }
}
