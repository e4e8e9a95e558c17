//! `repair`: takes good bytes by their digest from files, other repositories, and
//! other places of this one, stores them anew, and lets go of what is bad.
//!
//! Nothing bad is removed before all that is needed of it is good somewhere else.

mod sources;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use heirloom_api::{Damage, RepairReport, Repaired, VerifyAll, VerifyReport};
use heirloom_catalog::{CatalogExt, Edit, ObjectRow, ObjectState, VersionRow, VersionState, View};
use heirloom_core::{Caller, EntityName, ProjectName, Scope, VersionId};
use heirloom_manifest::{BlobId, ManifestId};
use heirloom_store::{Extent, Kind, ObjectKey, Scanned, read_blob, read_many, scan};

use crate::Inner;
use crate::problem::Failure;
use crate::read::extent;
use crate::record::VersionRecord;
use crate::verify::{self, Bad, damaged_version};
use sources::{Sources, from_repository};
use writer::Rewriter;

/// Repairs everything that `verify` finds, or what an earlier report of it names.
///
/// # Errors
/// `not_found` for a source, `forbidden` for callers who may not see everything,
/// `no_space`, `io`. What was repaired before stays repaired.
pub(crate) fn repair(
    inner: &Inner,
    caller: &Caller,
    from: &[PathBuf],
    report: Option<VerifyReport>,
    request: &VerifyAll,
) -> Result<RepairReport, Failure> {
    let mut work = Work {
        inner,
        out: RepairReport::default(),
        wanted: BTreeMap::new(),
        done: BTreeSet::new(),
    };
    // Whether everything that is needed and bad is known: what hangs on a node
    // that cannot be read is not, and an earlier report may be out of date.
    let mut is_complete = false;
    let mut report = match report {
        Some(report) => {
            work.named_by(&report)?;
            report
        }
        None => {
            let found = verify::find(inner, caller, request, None)?;
            is_complete = !found.bad.iter().any(hides_others);
            work.found(&found.bad);
            found.report
        }
    };
    work.out.found = report.damages.len() as u64;
    let rows: Vec<VersionId> = report
        .damages
        .iter()
        .filter(|damage| damage.object == "catalog")
        .filter_map(|damage| damaged_version(&damage.what))
        .collect();
    if !rows.is_empty() {
        work.rows(&rows)?;
        is_complete = false;
    }
    let mut objects: BTreeSet<ObjectKey> = BTreeSet::new();
    loop {
        objects.extend(
            report.damages.iter().filter_map(|damage| damage.object.parse::<ObjectKey>().ok()),
        );
        objects.extend(work.wanted.values().filter_map(|wanted| wanted.object));
        let repaired = work.blobs(from)?;
        if is_complete {
            break;
        }
        let found = verify::find(inner, caller, request, None)?;
        is_complete = !found.bad.iter().any(hides_others);
        let known = work.wanted.len();
        work.found(&found.bad);
        report = found.report;
        // Each round brings a level of a tree to light, or is the last.
        if repaired == 0 && work.wanted.len() == known {
            break;
        }
    }
    work.let_go(&objects, is_complete)?;
    let contents: BTreeSet<BlobId> = work.wanted.keys().copied().collect();
    let left = verify::find(inner, caller, &VerifyAll::default(), Some(&contents))?.report.damages;
    let still =
        |repaired: &Repaired| left.iter().any(|damage: &Damage| damage.blob == repaired.blob);
    work.out.repaired.retain(|repaired| repaired.blob.is_none() || !still(repaired));
    work.out.left = left;
    Ok(work.out)
}

/// Whether more may be bad behind it: it is no file's content.
fn hides_others(bad: &Bad) -> bool {
    bad.item.place.path.is_none()
}

struct Work<'r> {
    inner: &'r Inner,
    out: RepairReport,
    wanted: BTreeMap<BlobId, Wanted>,
    /// Those that were stored anew.
    done: BTreeSet<BlobId>,
}

/// A blob that is bad.
#[derive(Default)]
struct Wanted {
    /// Where it is needed.
    scopes: BTreeSet<Scope>,
    /// The object that should hold it.
    object: Option<ObjectKey>,
}

impl Work<'_> {
    /// What a check found.
    fn found(&mut self, bad: &[Bad]) {
        for bad in bad {
            let wanted = self.wanted.entry(bad.item.extent.id).or_default();
            wanted.scopes.insert(bad.item.scope);
            wanted.object = bad.item.object();
        }
    }

    /// What an earlier report names: a blob is bad wherever the object is its
    /// place, and missing in the projects of the versions that it hurts.
    fn named_by(&mut self, report: &VerifyReport) -> Result<(), Failure> {
        for damage in &report.damages {
            let Some(id) = damage.blob else { continue };
            let object: Option<ObjectKey> = damage.object.parse().ok();
            let mut scopes = BTreeSet::new();
            self.inner.catalog.view(|view| {
                for (scope, location) in view.locations_anywhere(&id)? {
                    if Some(location.object) == object {
                        scopes.insert(scope);
                    }
                }
                for version in &damage.versions {
                    scopes.extend(scope_named(view, version)?);
                }
                Ok::<_, Failure>(())
            })?;
            if !scopes.is_empty() {
                let wanted = self.wanted.entry(id).or_default();
                wanted.scopes.append(&mut scopes);
                wanted.object = object;
            }
        }
        Ok(())
    }

    /// Gets every bad blob from wherever there are good bytes; gives the number of
    /// those that were found.
    fn blobs(&mut self, from: &[PathBuf]) -> Result<usize, Failure> {
        let ids: BTreeSet<BlobId> =
            self.wanted.keys().filter(|id| !self.done.contains(id)).copied().collect();
        if ids.is_empty() {
            return Ok(0);
        }
        let sizes = self.sizes(&ids)?;
        let sources = Sources::open(from, &ids, sizes.as_ref())?;
        let mut rewriter = Rewriter::new(self.inner);
        let before = self.done.len();
        for id in &ids {
            let wanted = &self.wanted[id];
            let scopes: Vec<Scope> = wanted.scopes.iter().copied().collect();
            let inner = self.inner;
            let got = rewriter.store(id, &scopes, &mut |start, sink| {
                if from_repository(inner, id, wanted.object.as_ref(), start, sink)? {
                    return Ok(Some("another place in this repository".to_owned()));
                }
                sources.get(id, start, sink)
            })?;
            if let Some(from) = got {
                let object = wanted.object.map_or("store".to_owned(), |key| key.to_string());
                self.out.repaired.push(Repaired { object, blob: Some(*id), from });
                self.done.insert(*id);
            }
        }
        rewriter.flush()?;
        Ok(self.done.len() - before)
    }

    /// Sizes of the files that are wanted, when only files are: then no others need
    /// to be hashed.
    fn sizes(&self, ids: &BTreeSet<BlobId>) -> Result<Option<BTreeSet<u64>>, Failure> {
        let mut sizes = BTreeSet::new();
        for id in ids {
            let wanted = &self.wanted[id];
            let places = self.inner.catalog.view(|view| view.locations_anywhere(id))?;
            let place = places.iter().find(|(_, at)| Some(at.object) == wanted.object);
            match place {
                Some((_, at)) if at.kind == Kind::Content.code() => sizes.insert(at.raw),
                _ => return Ok(None),
            };
        }
        Ok(Some(sizes))
    }

    /// Lets go of objects that are bad: what of them is good moves elsewhere, and
    /// what is bad and needed keeps its object; unless `is_complete`, all that is
    /// bad may be.
    fn let_go(&mut self, objects: &BTreeSet<ObjectKey>, is_complete: bool) -> Result<(), Failure> {
        for key in objects {
            let Some(row) = self.inner.catalog.view(|view| view.object(key))? else { continue };
            if self.is_good(key, &row)? {
                continue;
            }
            let keep = self.move_good(key, is_complete)?;
            // The same blobs make the same pack: then it was written in its place.
            if self.is_good(key, &row)? {
                let from = "what is good of it was written again".to_owned();
                self.out.repaired.push(Repaired { object: key.to_string(), blob: None, from });
                continue;
            }
            if keep {
                continue;
            }
            let is_there = self.inner.store.stat(key).is_ok_and(|info| info.is_some());
            self.inner.catalog.transact(|view| {
                let Some(row) = view.object(key)? else { return Ok((Vec::new(), ())) };
                // The file goes with the next gc, which looks for objects in this state.
                let edits = match is_there {
                    true => vec![
                        Edit::DropLocations(*key),
                        Edit::PutObject(ObjectRow { state: ObjectState::Deleting, ..row }),
                    ],
                    false => vec![Edit::DropObject(*key)],
                };
                Ok::<_, Failure>((edits, ()))
            })?;
            self.out.repaired.push(Repaired {
                object: key.to_string(),
                blob: None,
                from: "what is good of it is in another object now".to_owned(),
            });
        }
        Ok(())
    }

    fn is_good(&self, key: &ObjectKey, row: &ObjectRow) -> Result<bool, Failure> {
        let size = match self.inner.store.stat(key) {
            Ok(info) => info.map(|info| info.size),
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error.into()),
        };
        Ok(size == Some(row.size) && heirloom_store::is_sound(&*self.inner.store, key)?)
    }

    /// Copies the good blobs of an object that count there to a new pack; whether
    /// one that could not be copied is still needed.
    fn move_good(&self, key: &ObjectKey, is_complete: bool) -> Result<bool, Failure> {
        let mut blobs: BTreeMap<BlobId, (Extent, Vec<Scope>)> = BTreeMap::new();
        self.inner.catalog.view(|view| {
            let mut all = Vec::new();
            view.located_in(key, &mut |scope, id, location| all.push((scope, id, location)))?;
            for (scope, id, location) in all {
                // Where another place counts, this one is not needed.
                let counts = view.locate(scope, &[id])?.pop().flatten();
                if counts.is_some_and(|counts| counts.object != *key) {
                    continue;
                }
                if let Ok(extent) = extent(id, &location) {
                    blobs.entry(id).or_insert((extent, Vec::new())).1.push(scope);
                }
            }
            Ok::<_, Failure>(())
        })?;
        if let ObjectKey::Whole(_) = key {
            // Nothing good is in it, or it was replaced already.
            return Ok(blobs.keys().any(|id| !is_complete || self.wanted.contains_key(id)));
        }
        let mut rewriter = Rewriter::new(self.inner);
        let mut items: Vec<(Extent, Vec<Scope>)> = blobs.into_values().collect();
        let mut keep = false;
        read_many(&*self.inner.store, &mut items, |(extent, scopes), bytes| {
            match bytes {
                Ok(bytes) => rewriter.add(extent.id, bytes, scopes)?,
                Err(_) => keep |= !is_complete || self.wanted.contains_key(&extent.id),
            }
            Ok::<_, Failure>(())
        })?;
        rewriter.flush()?;
        Ok(keep)
    }

    /// Writes rows of versions anew from their records.
    fn rows(&mut self, wanted: &[VersionId]) -> Result<(), Failure> {
        for object in scan(&*self.inner.store) {
            let object = object?;
            let Scanned::Pack { key: ObjectKey::Pack(pack), records, .. } = &object else {
                continue;
            };
            for place in records.iter().filter(|place| place.kind == Kind::VersionRecord) {
                let extent = Extent::packed(*pack, place);
                let Ok(bytes) = read_blob(&*self.inner.store, &extent) else { continue };
                let Ok(record) = VersionRecord::decode(&bytes) else { continue };
                if wanted.contains(&record.version) {
                    self.row(place.id, record)?;
                }
            }
        }
        Ok(())
    }

    /// Writes one row, if the record is that of the version in its place and not
    /// that of a lost race.
    fn row(&mut self, id: BlobId, record: VersionRecord) -> Result<(), Failure> {
        let (version, object) = (record.version, format!("version {}", record.version));
        let written = self.inner.catalog.transact(|view| {
            let member = view.membership(record.collection_id, record.index)?;
            let is_its = member.is_some_and(|member| member.version == version)
                && view.version(version).is_err();
            if !is_its {
                return Ok::<_, Failure>((Vec::new(), false));
            }
            // What the record does not know is taken from the journal's events.
            let row = state_from_events(
                view,
                VersionRow {
                    id: version,
                    collection: record.collection_id,
                    index: record.index,
                    digest: ManifestId::of_root(&record.root),
                    root: record.root,
                    entries: record.entries,
                    size: record.size,
                    description: record.description.clone(),
                    metadata: record.metadata.clone(),
                    ttl: record.ttl,
                    created_at: record.created_at,
                    actor: record.actor.clone(),
                    run: record.run.as_ref().map(|run| run.id),
                    provenance: record.provenance.clone(),
                    record: id,
                    attachments: record.attachments.clone(),
                    state: VersionState::Committed,
                },
            )?;
            Ok((vec![Edit::PutVersion(row)], true))
        })?;
        if written {
            let from = "its version record and the journal".to_owned();
            self.out.repaired.push(Repaired { object, blob: None, from });
        }
        Ok(())
    }
}

/// Applies what was done to a version since it was committed.
fn state_from_events(view: &dyn View, mut row: VersionRow) -> Result<VersionRow, Failure> {
    let mut before = None;
    let mut events = Vec::new();
    loop {
        let page = view.events(row.collection, before, 1000)?;
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        events.extend(page.into_iter().filter(|event| event.index == Some(row.index)));
    }
    for event in events.into_iter().rev() {
        let detail: serde_json::Value = serde_json::from_str(&event.detail).unwrap_or_default();
        use heirloom_catalog::EventKind;
        match event.kind {
            EventKind::Deleted => {
                let purge_after = detail
                    .get("purge_after")
                    .and_then(|value| serde_json::from_value(value.clone()).ok())
                    .unwrap_or(event.at);
                row.state = VersionState::Deleted { at: event.at, purge_after };
            }
            EventKind::Restored => row.state = VersionState::Committed,
            EventKind::Purged => row.state = VersionState::Purged,
            EventKind::Updated => {
                if let Some(value) = detail.get("description") {
                    row.description = value.as_str().map(str::to_owned);
                }
                if let Some(value) = detail.get("metadata") {
                    row.metadata = value.as_str().map(str::to_owned);
                }
                if let Some(ttl) = detail.get("ttl") {
                    row.ttl = serde_json::from_value(ttl.clone()).unwrap_or(row.ttl);
                }
            }
            _ => {}
        }
    }
    Ok(row)
}

/// The scope of `entity/project/name:vN`, with a path behind or not.
fn scope_named(view: &dyn View, version: &str) -> Result<Option<Scope>, Failure> {
    let mut parts = version.splitn(3, '/');
    let (Some(entity), Some(project), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return Ok(None);
    };
    let (Ok(entity), Ok(project)) = (EntityName::new(entity), ProjectName::new(project)) else {
        return Ok(None);
    };
    Ok(view.project(&entity, &project)?.map(|row| Scope(row.id)))
}
