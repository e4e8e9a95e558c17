//! Deletion of content: the transactions of a collection (`docs/adr/0005-gc.md`).
//!
//! A collector decides on what it saw in a snapshot, and each of these rules
//! looks again, in the transaction that changes something, whether what it was
//! decided on still holds. What does not is left as it is: every rule can be
//! repeated, and stopping after any of them leaves a repository in order.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_core::{DraftId, Scope, Timestamp, VersionId};
use heirloom_manifest::BlobId;
use heirloom_store::ObjectKey;
use serde_json::json;

use super::journal::event;
use super::{By, Decision};
use crate::row::{EventKind, Location, ObjectRow, ObjectState, VersionState};
use crate::view::{Edit, Result, View};

/// How long answers of operations are kept for clients that ask again: seven
/// days, in seconds.
pub const ANSWERS_KEPT: i64 = 7 * 24 * 60 * 60;

/// Ends the undo window of deleted versions.
#[derive(Debug, Clone, Copy)]
pub struct Purge<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The versions; those that are not deleted are left as they are.
    pub versions: &'a [VersionId],
    /// Seconds after the deletion at which the window ends, should that be
    /// before its own end; `None` leaves it. Zero ends it whatever the clock says.
    pub grace: Option<u64>,
}

/// Replaces objects by others that hold what lives in them.
#[derive(Debug, Clone, Copy)]
pub struct Rewrite<'a> {
    /// Epoch of the collector that decided on it.
    pub epoch: u64,
    /// The objects to give up.
    pub old: &'a [ObjectKey],
    /// The objects that hold copies; none when everything lives elsewhere too.
    pub new: &'a [Copied],
    /// What lives in `old` and was not copied, because another object was found
    /// to hold it, sound: the scope's newest place of the blob.
    pub elsewhere: &'a [(Scope, BlobId, ObjectKey)],
}

/// A new object with copies of blobs.
#[derive(Debug, Clone)]
pub struct Copied {
    /// The object, durable in the store. State and epoch are set by the rule.
    pub object: ObjectRow,
    /// Whether the store has it, in its full length: asked within the transaction,
    /// as for [`Publish`](super::Publish).
    pub present: bool,
    /// What it holds, by scope.
    pub blobs: Vec<(Scope, BlobId, Location)>,
}

/// Begins a collection: the answer is its epoch, which everything carries that
/// is claimed or published from now on.
///
/// # Errors
/// The catalog's own failure.
pub fn bump_epoch(view: &dyn View) -> Result<Decision<u64>> {
    let epoch = view.epoch()? + 1;
    Ok(Decision { edits: vec![Edit::SetEpoch(epoch)], answer: epoch })
}

/// Whether a deleted version cannot be restored any more.
pub fn is_purgeable(state: VersionState, now: Timestamp, grace: Option<u64>) -> bool {
    match state {
        VersionState::Deleted { at, purge_after } => {
            let early = grace.is_some_and(|seconds| {
                let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
                seconds == 0 || at.plus_seconds(seconds) <= now
            });
            early || purge_after <= now
        }
        VersionState::Committed | VersionState::Purged => false,
    }
}

/// Makes tombstones of deleted versions past their undo window; the answer names
/// them.
///
/// # Errors
/// The catalog's own failure.
pub fn purge(view: &dyn View, request: &Purge<'_>) -> Result<Decision<Vec<VersionId>>> {
    let by = request.by;
    let mut edits = Vec::new();
    let mut answer = Vec::new();
    for row in view.versions(request.versions)? {
        if !is_purgeable(row.state, by.at, request.grace) {
            continue;
        }
        edits.push(Edit::SetVersionState { version: row.id, state: VersionState::Purged });
        edits.push(event(by, EventKind::Purged, row.collection, Some(row.index), None, json!({})));
        answer.push(row.id);
    }
    Ok(Decision { edits, answer })
}

/// Ends drafts that nobody owns any more; the answer names those that lived. A
/// client that was wrongly taken for gone is fenced and begins again.
///
/// # Errors
/// The catalog's own failure.
pub fn end_drafts(view: &dyn View, drafts: &[DraftId]) -> Result<Decision<Vec<DraftId>>> {
    let mut answer = Vec::new();
    for id in drafts {
        if view.draft(*id)?.is_some() {
            answer.push(*id);
        }
    }
    Ok(Decision { edits: answer.iter().map(|id| Edit::EndDraft(*id)).collect(), answer })
}

/// Forgets answers of operations that nobody will ask for again.
pub fn drop_answers(now: Timestamp) -> Decision<()> {
    let before = now.plus_seconds(-ANSWERS_KEPT);
    Decision { edits: vec![Edit::DropOperations { before }], answer: () }
}

/// Chooses objects for deletion: those that nobody claimed or published since the
/// collector's epoch and no draft has under lease. The answer names what is
/// condemned now. A claim revives it until it is [doomed](doom).
///
/// # Errors
/// The catalog's own failure.
pub fn condemn(
    view: &dyn View,
    epoch: u64,
    objects: &[ObjectKey],
) -> Result<Decision<Vec<ObjectKey>>> {
    let mut edits = Vec::new();
    let mut answer = Vec::new();
    for key in objects {
        let Some(object) = view.object(key)? else { continue };
        let free = match object.state {
            ObjectState::Live => true,
            // Of a collector that is gone or slow. One that began later knows more.
            ObjectState::Condemned { epoch: of } => of <= epoch,
            ObjectState::Deleting => false,
        };
        if free && is_unneeded(view, &object, epoch)? {
            let state = ObjectState::Condemned { epoch };
            edits.push(Edit::PutObject(ObjectRow { state, ..object }));
            answer.push(*key);
        }
    }
    Ok(Decision { edits, answer })
}

/// Gives up condemned objects for good: from now on a claim answers that they are
/// missing. The answer names them.
///
/// # Errors
/// The catalog's own failure.
pub fn doom(
    view: &dyn View,
    epoch: u64,
    objects: &[ObjectKey],
) -> Result<Decision<Vec<ObjectKey>>> {
    let mut edits = Vec::new();
    let mut answer = Vec::new();
    for key in objects {
        let Some(object) = view.object(key)? else { continue };
        let ours = object.state == ObjectState::Condemned { epoch };
        if ours && is_unneeded(view, &object, epoch)? {
            edits.push(Edit::PutObject(ObjectRow { state: ObjectState::Deleting, ..object }));
            answer.push(*key);
        }
    }
    Ok(Decision { edits, answer })
}

/// Registers copies and gives up the originals, if all of those are still as
/// unneeded as when the collector looked, and what was found elsewhere still is
/// there. The answer says whether it happened; otherwise nothing changed.
///
/// The copies, and what holds the rest, carry the present epoch: no collector
/// that has begun by now takes them for unneeded. Without that one collector could
/// give up the original for the copy while another gives up the copy, of which it
/// saw only that nothing needed it yet.
///
/// # Errors
/// The catalog's own failure.
pub fn rewrite(view: &dyn View, request: &Rewrite<'_>) -> Result<Decision<bool>> {
    let no = || Ok(Decision::unchanged(false));
    let mut dropped = Vec::new();
    for key in request.old {
        if request.new.iter().any(|copied| copied.object.key == *key) {
            return no();
        }
        match view.object(key)? {
            Some(object)
                if object.state == ObjectState::Live
                    && is_unneeded(view, &object, request.epoch)? =>
            {
                dropped.push(Edit::PutObject(ObjectRow { state: ObjectState::Deleting, ..object }));
                dropped.push(Edit::DropLocations(*key));
            }
            _ => return no(),
        }
    }
    let epoch = view.epoch()?;
    let mut edits = Vec::new();
    for copied in request.new {
        if !copied.present {
            return no();
        }
        let object = view.object(&copied.object.key)?.unwrap_or_else(|| copied.object.clone());
        let key = object.key;
        edits.push(Edit::PutObject(object.needed(epoch)));
        let mut by_scope: BTreeMap<Scope, Vec<(BlobId, Location)>> = BTreeMap::new();
        for (scope, blob, location) in &copied.blobs {
            by_scope.entry(*scope).or_default().push((*blob, *location));
        }
        edits.extend(by_scope.into_iter().map(|(scope, blobs)| Edit::AddLocations {
            scope,
            object: key,
            blobs,
        }));
    }
    let Some(holders) = holders(view, request)? else { return no() };
    for key in holders {
        let Some(object) = view.object(&key)?.filter(|object| object.state.is_usable()) else {
            return no();
        };
        edits.push(Edit::PutObject(object.needed(epoch)));
    }
    edits.extend(dropped);
    Ok(Decision { edits, answer: true })
}

/// The objects that hold what was found elsewhere, if they still do.
fn holders(view: &dyn View, request: &Rewrite<'_>) -> Result<Option<BTreeSet<ObjectKey>>> {
    let mut by_scope: BTreeMap<Scope, Vec<(BlobId, ObjectKey)>> = BTreeMap::new();
    for (scope, blob, holder) in request.elsewhere {
        by_scope.entry(*scope).or_default().push((*blob, *holder));
    }
    let mut holders = BTreeSet::new();
    for (scope, mut blobs) in by_scope {
        blobs.sort_unstable();
        let ids: Vec<BlobId> = blobs.iter().map(|(blob, _)| *blob).collect();
        for ((_, holder), found) in blobs.iter().zip(view.locate(scope, &ids)?) {
            if request.old.contains(holder) || found.is_none_or(|found| found.object != *holder) {
                return Ok(None);
            }
            holders.insert(*holder);
        }
    }
    Ok(Some(holders))
}

/// Drops the rows of objects that are being deleted. The answer names those, and
/// the ones without a row, which are leftovers: what the caller moves out of
/// reach in the store **before this transaction ends**. Whoever registers an
/// object looks at the store within a transaction, too, so that one of both sees
/// what the other did.
///
/// # Errors
/// The catalog's own failure.
pub fn remove(view: &dyn View, objects: &[ObjectKey]) -> Result<Decision<Vec<ObjectKey>>> {
    let mut edits = Vec::new();
    let mut answer = Vec::new();
    for key in objects {
        match view.object(key)?.map(|object| object.state) {
            None => answer.push(*key),
            Some(ObjectState::Deleting) => {
                edits.push(Edit::DropObject(*key));
                answer.push(*key);
            }
            Some(ObjectState::Live | ObjectState::Condemned { .. }) => {}
        }
    }
    Ok(Decision { edits, answer })
}

/// Whether nobody has an object under lease, or claimed or published it since
/// the collector's epoch.
fn is_unneeded(view: &dyn View, object: &ObjectRow, epoch: u64) -> Result<bool> {
    Ok(object.claimed_epoch < epoch && !view.is_leased(&object.key)?)
}
