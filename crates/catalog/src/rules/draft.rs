//! Drafts, and the leases under which their blobs stay.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_core::{ArtifactName, ArtifactType, DraftId, ProjectId, Scope, VersionId};
use heirloom_manifest::BlobId;
use heirloom_store::ObjectKey;

use super::lookup::{committed_version, loggable};
use super::{By, Decision, Refusal};
use crate::row::{CollectionRow, DraftRow, Location, ObjectRow, ObjectState};
use crate::view::{Edit, View};

/// Begins a version of a collection.
#[derive(Debug, Clone, Copy)]
pub struct BeginDraft<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// Fresh id.
    pub draft: DraftId,
    /// The project.
    pub project: ProjectId,
    /// The collection, which may not exist yet.
    pub name: &'a ArtifactName,
    /// Its type; needed when it does not exist yet.
    pub artifact_type: Option<&'a ArtifactType>,
    /// A version whose content the draft starts from; it stays pinned.
    pub base: Option<VersionId>,
}

/// What a new draft starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The draft.
    pub draft: DraftRow,
    /// The collection, when it exists.
    pub collection: Option<CollectionRow>,
}

/// Asks which blobs a scope has, and leases those for a draft.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The scope.
    pub scope: Scope,
    /// The draft.
    pub draft: DraftId,
    /// The blobs; sorted ones are found faster.
    pub blobs: &'a [BlobId],
}

/// Answer to a [`Claim`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Where each blob is, in the order asked; `None` means missing: send it.
    pub locations: Vec<Option<Location>>,
    /// Whether everything found is under lease: always after [`claim`]. When
    /// [`claim_check`] says no, its answer protects nothing.
    pub leased: bool,
}

/// Registers an object that was stored for a draft, with the blobs in it.
#[derive(Debug, Clone)]
pub struct Publish<'a> {
    /// The scope whose possession of the blobs was proven by their bytes.
    pub scope: Scope,
    /// The draft.
    pub draft: DraftId,
    /// The object, durable in the store. State and epoch are set by the rule.
    pub object: ObjectRow,
    /// The blobs in it; each location's `object` is this object.
    pub blobs: &'a [(BlobId, Location)],
    /// Whether the store has the object, in its full length: asked within the
    /// transaction that this is decided in, so that no collector can remove it
    /// between the look and the row (`docs/adr/0005-gc.md`).
    pub present: bool,
}

/// Begins a draft. The type is checked here, so that a wrong one is known
/// before anything is sent; and again at commit. Beginning the very draft again
/// (same id, project, name, base) changes nothing.
///
/// # Errors
/// [`Refusal::WrongType`], [`Refusal::NeedsType`], [`Refusal::IsPortfolio`],
/// [`Refusal::NotFound`] for the base or the project, [`Refusal::IdTaken`].
pub fn begin_draft(view: &dyn View, request: &BeginDraft<'_>) -> Result<Decision<Begun>, Refusal> {
    let collection = loggable(view, request.project, request.name, request.artifact_type)?;
    if let Some(draft) = view.draft(request.draft)? {
        let same = draft.project == request.project
            && draft.name == *request.name
            && draft.base == request.base;
        return match same {
            true => Ok(Decision::unchanged(Begun { draft, collection })),
            false => Err(Refusal::IdTaken { what: "draft", id: request.draft.get().into() }),
        };
    }
    if let Some(base) = request.base {
        committed_version(view, base)?;
    }
    let draft = DraftRow {
        id: request.draft,
        project: request.project,
        name: request.name.clone(),
        base: request.base,
        actor: request.by.actor.to_owned(),
        created_at: request.by.at,
        epoch: view.epoch()?,
    };
    Ok(Decision { edits: vec![Edit::PutDraft(draft.clone())], answer: Begun { draft, collection } })
}

/// Ends a draft and its leases; the answer says whether it was alive.
///
/// # Errors
/// The catalog's own failure.
pub fn abort_draft(view: &dyn View, draft: DraftId) -> Result<Decision<bool>, Refusal> {
    Ok(match view.draft(draft)? {
        Some(_) => Decision { edits: vec![Edit::EndDraft(draft)], answer: true },
        None => Decision::unchanged(false),
    })
}

/// The draft, alive and of this scope.
///
/// # Errors
/// [`Refusal::Fenced`] otherwise; a foreign draft looks like an ended one.
pub fn check_draft(view: &dyn View, scope: Scope, draft: DraftId) -> Result<DraftRow, Refusal> {
    view.draft(draft)?.filter(|row| row.project == scope.0).ok_or(Refusal::Fenced { draft })
}

/// What a claim would find, without taking leases: when the answer says that
/// all is leased already, the write of [`claim`] can be skipped.
///
/// # Errors
/// [`Refusal::Fenced`].
pub fn claim_check(view: &dyn View, request: &Claim<'_>) -> Result<Claimed, Refusal> {
    let decision = claim(view, request)?;
    let leased = decision.edits.is_empty();
    Ok(Claimed { leased, ..decision.answer })
}

/// Says which blobs the scope has, and leases the objects that hold them for
/// the draft, reviving condemned ones. Blobs in objects that are being deleted
/// are missing.
///
/// # Errors
/// [`Refusal::Fenced`].
pub fn claim(view: &dyn View, request: &Claim<'_>) -> Result<Decision<Claimed>, Refusal> {
    check_draft(view, request.scope, request.draft)?;
    let mut locations = view.locate(request.scope, request.blobs)?;
    let leased: BTreeSet<ObjectKey> = view.leases(request.draft)?.into_iter().collect();
    let epoch = view.epoch()?;
    // Usable or not, by object: a handful of packs holds thousands of blobs.
    let mut found: BTreeMap<ObjectKey, bool> = BTreeMap::new();
    let mut last: Option<ObjectKey> = None;
    for location in locations.iter().flatten() {
        if last != Some(location.object) {
            found.insert(location.object, true);
            last = Some(location.object);
        }
    }
    let mut edits = Vec::new();
    for (key, usable) in &mut found {
        let Some(object) = view.object(key)?.filter(|object| object.state.is_usable()) else {
            *usable = false;
            continue;
        };
        let live = object.state == ObjectState::Live;
        let held = leased.contains(key);
        if !live || (!held && object.claimed_epoch < epoch) {
            edits.push(Edit::PutObject(ObjectRow {
                state: ObjectState::Live,
                claimed_epoch: epoch.max(object.claimed_epoch),
                ..object
            }));
        }
        if !held {
            edits.push(Edit::Lease { draft: request.draft, object: *key });
        }
    }
    for location in &mut locations {
        if location.is_some_and(|at| found.get(&at.object) != Some(&true)) {
            *location = None;
        }
    }
    Ok(Decision { edits, answer: Claimed { locations, leased: true } })
}

/// Registers a stored object and its blobs under the scope, and leases it for
/// the draft. Publishing it again changes nothing that matters. An object that a
/// collector has given up is used again: it is there, and nobody removes it
/// without a look at this row.
///
/// # Errors
/// [`Refusal::Fenced`]; [`Refusal::Vanished`] when the store has it no more.
pub fn publish(view: &dyn View, request: &Publish<'_>) -> Result<Decision<()>, Refusal> {
    check_draft(view, request.scope, request.draft)?;
    let key = request.object.key;
    if !request.present {
        return Err(Refusal::Vanished { object: key });
    }
    let before = view.object(&key)?;
    let epoch = view.epoch()?;
    let object = before.unwrap_or_else(|| request.object.clone());
    Ok(Decision {
        edits: vec![
            Edit::PutObject(object.needed(epoch)),
            Edit::AddLocations { scope: request.scope, object: key, blobs: request.blobs.to_vec() },
            Edit::Lease { draft: request.draft, object: key },
        ],
        answer: (),
    })
}
