//! The commit: one transaction in which a version gets its number, its aliases
//! and its edge, or is found to be the newest already.

use heirloom_core::{
    Alias, ArtifactName, ArtifactType, CollectionId, DraftId, ProjectId, Provenance, RunId, Scope,
    Tag, Timestamp, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId, NodeId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::alias::{advance_latest, put_aliases};
use super::draft::check_draft;
use super::journal::event;
use super::lookup::{existing_run, find_collection, loggable};
use super::parts::{FinishParts, check_finish, finish_set};
use super::update::{add_tags, check_json_object};
use super::{By, Decision, OperationKey, Refusal, once};
use crate::error::CatalogError;
use crate::row::{
    CollectionKind, CollectionRow, EdgeKind, EdgeRow, EventKind, MembershipRow, VersionRow,
    VersionState,
};
use crate::view::{Edit, View};

/// The place in the sequence that a version record was written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedIndex {
    /// The number.
    pub index: VersionIndex,
    /// The record that it names as its predecessor.
    pub predecessor: Option<BlobId>,
}

/// Commits content as a version of a collection.
#[derive(Debug, Clone)]
pub struct Commit<'a> {
    /// Key of idempotency.
    pub key: Option<OperationKey<'a>>,
    /// Who, when.
    pub by: By<'a>,
    /// The project.
    pub project: ProjectId,
    /// The collection, made when it does not exist; old names are followed.
    pub name: &'a ArtifactName,
    /// Its type; needed when it does not exist yet.
    pub artifact_type: Option<&'a ArtifactType>,
    /// Fresh id, used when the collection is made.
    pub collection: CollectionId,
    /// Fresh id, used when a version is made.
    pub version: VersionId,
    /// The version digest.
    pub digest: ManifestId,
    /// Root of the manifest tree.
    pub root: NodeId,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the entries' sizes.
    pub size: u64,
    /// Aliases asked for.
    pub aliases: &'a [Alias],
    /// Tags asked for.
    pub tags: &'a [Tag],
    /// Free text; only a new version takes it.
    pub description: Option<&'a str>,
    /// A JSON object; only a new version takes it.
    pub metadata: Option<&'a str>,
    /// Lifetime; only a new version takes it.
    pub ttl: Ttl,
    /// The run that logs it.
    pub run: Option<RunId>,
    /// What is known of its making when there is no run.
    pub provenance: &'a Provenance,
    /// Blobs beside the tree.
    pub attachments: &'a [BlobId],
    /// The draft under which the blobs are leased. Needed for a new version.
    pub draft: Option<DraftId>,
    /// Makes a version even when the newest has the same content.
    pub force_new: bool,
    /// The alias by which the base of an edit was found, and that base: the
    /// commit happens only while the one names the other.
    pub base_alias: Option<(&'a Alias, VersionId)>,
    /// What `record` was written for.
    pub expected: Option<ExpectedIndex>,
    /// The version record, stored and published under the draft.
    pub record: Option<BlobId>,
    /// The set of parts that the content was put together from; it ends here.
    pub parts: Option<FinishParts>,
}

/// Answer to a [`Commit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The collection.
    pub collection: CollectionId,
    /// Its present name.
    pub name: ArtifactName,
    /// The number.
    pub index: VersionIndex,
    /// The version.
    pub version: VersionId,
    /// The version digest.
    pub digest: ManifestId,
    /// Whether a version was made; otherwise the newest had this content.
    pub created: bool,
}

/// The newest committed version of a collection, if it has exactly this
/// content: then a commit needs no draft and sends nothing.
///
/// # Errors
/// The catalog's own failure.
pub fn newest_has(
    view: &dyn View,
    project: ProjectId,
    name: &ArtifactName,
    digest: &ManifestId,
) -> Result<Option<(MembershipRow, VersionRow)>, CatalogError> {
    match find_collection(view, project, name)? {
        Some(row) if row.kind == CollectionKind::Sequence => newest_of(view, row.id, digest),
        _ => Ok(None),
    }
}

/// Commits content: the newest version when that has it already, else the next.
///
/// The order of the checks is part of the contract: an answered key gives its
/// answer whatever changed since; then the draft, the type, the base of an edit,
/// the comparison with the newest version, and last the place in the sequence.
///
/// # Errors
/// [`Refusal::KeyReused`], [`Refusal::Fenced`], [`Refusal::IsPortfolio`],
/// [`Refusal::WrongType`], [`Refusal::NeedsType`], [`Refusal::NotFound`] for the
/// run, [`Refusal::BaseMoved`], [`Refusal::PartsMoved`], [`Refusal::ProtectedAlias`],
/// [`Refusal::InvalidMetadata`],
/// [`Refusal::NeedsDraft`], [`Refusal::IndexTaken`] (write a record for the
/// values in it and call again), [`Refusal::MissingBlobs`] when root, record or
/// attachments are not in the project, [`Refusal::IdTaken`].
pub fn commit(view: &dyn View, request: &Commit<'_>) -> Result<Decision<Committed>, Refusal> {
    once(view, request.key, request.by.at, || decide(view, request))
}

fn decide(view: &dyn View, request: &Commit<'_>) -> Result<Decision<Committed>, Refusal> {
    if let Some(draft) = request.draft {
        check_draft(view, Scope(request.project), draft)?;
    }
    let found = loggable(view, request.project, request.name, request.artifact_type)?;
    if let Some(run) = request.run {
        existing_run(view, run)?;
    }
    if let Some((alias, base)) = request.base_alias {
        check_base(view, request, found.as_ref(), alias, base)?;
    }
    if let Some(parts) = request.parts {
        check_finish(view, parts, request.by.at)?;
    }
    if let (Some(collection), false) = (&found, request.force_new)
        && let Some((membership, version)) = newest_of(view, collection.id, &request.digest)?
    {
        return unchanged(view, request, collection, &membership, version);
    }
    create(view, request, found)
}

/// The alias must name what it named when the edit began.
fn check_base(
    view: &dyn View,
    request: &Commit<'_>,
    collection: Option<&CollectionRow>,
    alias: &Alias,
    base: VersionId,
) -> Result<(), Refusal> {
    let holder = match collection {
        Some(row) => view.alias(row.id, alias)?.map(|holder| (row.id, holder.index)),
        None => None,
    };
    // Ids are compared, for a collection may have been deleted and made anew.
    let named = match holder {
        Some((collection, index)) => view.membership(collection, index)?,
        None => None,
    };
    if named.as_ref().is_some_and(|row| row.version == base) {
        return Ok(());
    }
    let began = view.version(base)?.ok_or_else(|| Refusal::not_found("version", base))?;
    Err(Refusal::BaseMoved {
        name: collection.map_or(request.name, |row| &row.name).clone(),
        alias: alias.clone(),
        began: began.index,
        found: named.map(|row| row.index),
    })
}

fn unchanged(
    view: &dyn View,
    request: &Commit<'_>,
    collection: &CollectionRow,
    membership: &MembershipRow,
    version: VersionRow,
) -> Result<Decision<Committed>, Refusal> {
    let by = request.by;
    let index = membership.index;
    let mut edits = Vec::new();
    put_aliases(view, by, collection.id, request.aliases, index, true, &mut edits)?;
    add_tags(view, by, collection.id, index, version.id, request.tags, &mut edits)?;
    push_produced(request, collection, version.id, &mut edits);
    let mut detail = json!({ "digest": version.digest });
    finish_parts(view, request, collection, version.id, &mut detail, &mut edits)?;
    edits.push(event(by, EventKind::Unchanged, collection.id, Some(index), request.run, detail));
    edits.extend(request.draft.map(Edit::EndDraft));
    let answer = Committed {
        collection: collection.id,
        name: collection.name.clone(),
        index,
        version: version.id,
        digest: version.digest,
        created: false,
    };
    Ok(Decision { edits, answer })
}

fn create(
    view: &dyn View,
    request: &Commit<'_>,
    found: Option<CollectionRow>,
) -> Result<Decision<Committed>, Refusal> {
    let by = request.by;
    check_json_object("metadata", request.metadata)?;
    let Some(draft) = request.draft else {
        return Err(Refusal::NeedsDraft { name: request.name.clone() });
    };
    let new = NewVersion {
        by,
        project: request.project,
        name: request.name,
        artifact_type: request.artifact_type,
        collection: request.collection,
        version: request.version,
        digest: request.digest,
        root: request.root,
        entries: request.entries,
        size: request.size,
        description: request.description,
        metadata: request.metadata,
        ttl: request.ttl,
        created_at: by.at,
        actor: by.actor,
        run: request.run,
        provenance: request.provenance,
        attachments: request.attachments,
        expected: request.expected,
        record: request.record,
    };
    let (Place { collection, index, record }, mut edits) = append(view, found, &new)?;
    let id = collection.id;
    let mut detail = json!({ "digest": request.digest, "record": record });
    finish_parts(view, request, &collection, request.version, &mut detail, &mut edits)?;
    edits.push(event(by, EventKind::Committed, id, Some(index), request.run, detail));
    advance_latest(view, by, id, index, &mut edits)?;
    put_aliases(view, by, id, request.aliases, index, false, &mut edits)?;
    add_tags(view, by, id, index, request.version, request.tags, &mut edits)?;
    push_produced(request, &collection, request.version, &mut edits);
    edits.push(Edit::EndDraft(draft));
    let answer = Committed {
        collection: id,
        name: collection.name,
        index,
        version: request.version,
        digest: request.digest,
        created: true,
    };
    Ok(Decision { edits, answer })
}

/// A version on its way to the next number of a collection, logged here or brought
/// from elsewhere.
pub(super) struct NewVersion<'a> {
    pub(super) by: By<'a>,
    pub(super) project: ProjectId,
    pub(super) name: &'a ArtifactName,
    pub(super) artifact_type: Option<&'a ArtifactType>,
    pub(super) collection: CollectionId,
    pub(super) version: VersionId,
    pub(super) digest: ManifestId,
    pub(super) root: NodeId,
    pub(super) entries: u64,
    pub(super) size: u64,
    pub(super) description: Option<&'a str>,
    pub(super) metadata: Option<&'a str>,
    pub(super) ttl: Ttl,
    /// When it was first committed, and by whom.
    pub(super) created_at: Timestamp,
    pub(super) actor: &'a str,
    pub(super) run: Option<RunId>,
    pub(super) provenance: &'a Provenance,
    pub(super) attachments: &'a [BlobId],
    pub(super) expected: Option<ExpectedIndex>,
    pub(super) record: Option<BlobId>,
}

/// What a new version got.
pub(super) struct Place {
    /// The collection, with the version in it.
    pub(super) collection: CollectionRow,
    pub(super) index: VersionIndex,
    pub(super) record: BlobId,
}

/// Gives a version the next number of its collection, which is made when there is
/// none. What else there is to say of it (event, aliases, tags, edges) is for the
/// caller to add to the edits.
///
/// # Errors
/// [`Refusal::IndexTaken`] unless the record was written for this very place;
/// [`Refusal::MissingBlobs`], [`Refusal::IdTaken`], [`Refusal::NeedsType`].
pub(super) fn append(
    view: &dyn View,
    found: Option<CollectionRow>,
    new: &NewVersion<'_>,
) -> Result<(Place, Vec<Edit>), Refusal> {
    let (index, predecessor) = match &found {
        Some(row) => (row.next_index, row.last_record),
        None => (VersionIndex::ZERO, None),
    };
    let place = ExpectedIndex { index, predecessor };
    let record = match (new.expected, new.record) {
        (Some(expected), Some(record)) if expected == place => record,
        (expected, _) => {
            let expected = expected.map(|expected| expected.index);
            return Err(Refusal::IndexTaken { expected, next: index, predecessor });
        }
    };
    check_stored(view, new, record)?;
    if view.version(new.version)?.is_some() {
        return Err(Refusal::IdTaken { what: "version", id: new.version.get().into() });
    }
    let mut edits = Vec::new();
    let before = match found {
        Some(row) => row,
        None => new_collection(view, new, &mut edits)?,
    };
    let collection =
        CollectionRow { next_index: index.next(), last_record: Some(record), ..before };
    edits.push(Edit::PutCollection(collection.clone()));
    edits.push(Edit::PutVersion(VersionRow {
        id: new.version,
        collection: collection.id,
        index,
        digest: new.digest,
        root: new.root,
        entries: new.entries,
        size: new.size,
        description: new.description.map(str::to_owned),
        metadata: new.metadata.map(str::to_owned),
        ttl: new.ttl,
        created_at: new.created_at,
        actor: new.actor.to_owned(),
        run: new.run,
        provenance: new.provenance.clone(),
        record,
        attachments: new.attachments.to_vec(),
        state: VersionState::Committed,
    }));
    edits.push(Edit::AddMembership(MembershipRow {
        collection: collection.id,
        index,
        version: new.version,
        created_at: new.by.at,
    }));
    Ok((Place { collection, index, record }, edits))
}

/// The row of a collection to be made; a redirect of that name, which leads to
/// nothing any more, goes.
fn new_collection(
    view: &dyn View,
    new: &NewVersion<'_>,
    edits: &mut Vec<Edit>,
) -> Result<CollectionRow, Refusal> {
    let Some(artifact_type) = new.artifact_type else {
        return Err(Refusal::NeedsType { name: new.name.clone() });
    };
    fresh_collection(
        view,
        CollectionRow {
            id: new.collection,
            project: new.project,
            name: new.name.clone(),
            artifact_type: artifact_type.clone(),
            kind: CollectionKind::Sequence,
            description: None,
            ttl: Ttl::Inherit,
            retention: None,
            next_index: VersionIndex::ZERO,
            last_record: None,
            created_at: new.by.at,
            deleted_at: None,
        },
        edits,
    )
}

pub(super) fn fresh_collection(
    view: &dyn View,
    row: CollectionRow,
    edits: &mut Vec<Edit>,
) -> Result<CollectionRow, Refusal> {
    if view.collection_by_id(row.id)?.is_some() {
        return Err(Refusal::IdTaken { what: "collection", id: row.id.0.into() });
    }
    if view.redirect(row.project, &row.name)?.is_some() {
        edits.push(Edit::RemoveRedirect { project: row.project, old: row.name.clone() });
    }
    Ok(row)
}

/// Root, record and attachments must be in the project. The rest of the tree was
/// claimed or published under the draft, which is alive, or hangs on its base.
fn check_stored(view: &dyn View, new: &NewVersion<'_>, record: BlobId) -> Result<(), Refusal> {
    let mut needed = vec![new.root.as_blob(), record];
    needed.extend(new.attachments);
    needed.sort_unstable();
    needed.dedup();
    let found = view.locate(Scope(new.project), &needed)?;
    let blobs: Vec<BlobId> =
        needed.into_iter().zip(found).filter(|(_, at)| at.is_none()).map(|(id, _)| id).collect();
    match blobs.is_empty() {
        true => Ok(()),
        false => Err(Refusal::MissingBlobs { blobs }),
    }
}

/// Ends the set of parts; the event tells how many there were.
fn finish_parts(
    view: &dyn View,
    request: &Commit<'_>,
    collection: &CollectionRow,
    version: VersionId,
    detail: &mut Value,
    edits: &mut Vec<Edit>,
) -> Result<(), Refusal> {
    if let Some(parts) = request.parts {
        finish_set(view, request.by, parts, version, &collection.name, edits)?;
        detail["parts"] = json!(parts.last + 1);
    }
    Ok(())
}

fn push_produced(
    request: &Commit<'_>,
    collection: &CollectionRow,
    version: VersionId,
    edits: &mut Vec<Edit>,
) {
    if let Some(run) = request.run {
        edits.push(Edit::AddEdge(EdgeRow {
            kind: EdgeKind::Produced,
            run,
            version,
            at: request.by.at,
            asked: Some(collection.name.to_string()),
        }));
    }
}

fn newest_of(
    view: &dyn View,
    collection: CollectionId,
    digest: &ManifestId,
) -> Result<Option<(MembershipRow, VersionRow)>, CatalogError> {
    let Some(membership) = view.newest(collection)? else { return Ok(None) };
    let version = view.version(membership.version)?;
    Ok(version.filter(|version| version.digest == *digest).map(|version| (membership, version)))
}
