//! Bringing versions, runs and edges from another repository. Identity is kept:
//! what is here already, by its id, is not brought again.

use heirloom_core::{
    ArtifactName, ArtifactType, CollectionId, DraftId, ProjectId, Provenance, RunId, RunState,
    Scope, Tag, Timestamp, Ttl, VersionId,
};
use heirloom_manifest::{BlobId, ManifestId, NodeId};
use serde_json::json;

use super::alias::advance_latest;
use super::commit::{Committed, ExpectedIndex, NewVersion, Place, append};
use super::draft::check_draft;
use super::journal::event;
use super::lookup::{existing_run, loggable};
use super::update::{add_tags, check_json_object};
use super::{By, Decision, Refusal};
use crate::row::{EdgeKind, EdgeRow, EventKind, RunRow, VersionRow};
use crate::view::{Edit, View};

/// Brings a version from another repository into a collection.
#[derive(Debug, Clone)]
pub struct ImportVersion<'a> {
    /// Who brings it, when; recorded in the journal and as the time of the
    /// membership.
    pub by: By<'a>,
    /// The project.
    pub project: ProjectId,
    /// The collection, made when it does not exist; old names are followed.
    pub name: &'a ArtifactName,
    /// Its type.
    pub artifact_type: &'a ArtifactType,
    /// Fresh id, used when the collection is made.
    pub collection: CollectionId,
    /// The version's identity, kept.
    pub version: VersionId,
    /// The version digest.
    pub digest: ManifestId,
    /// Root of the manifest tree.
    pub root: NodeId,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the entries' sizes.
    pub size: u64,
    /// Tags.
    pub tags: &'a [Tag],
    /// Free text.
    pub description: Option<&'a str>,
    /// A JSON object.
    pub metadata: Option<&'a str>,
    /// Lifetime.
    pub ttl: Ttl,
    /// When it was first committed.
    pub created_at: Timestamp,
    /// Who logged it first.
    pub actor: &'a str,
    /// The run that first logged it, which must be here.
    pub run: Option<RunId>,
    /// What is known of its making when there was no run.
    pub provenance: &'a Provenance,
    /// Blobs beside the tree.
    pub attachments: &'a [BlobId],
    /// The draft under which the blobs are leased.
    pub draft: DraftId,
    /// Its name where it comes from, such as `local/default/animals:v3`.
    pub from: &'a str,
    /// The repository that it comes from.
    pub repository: &'a str,
    /// What `record` was written for.
    pub expected: Option<ExpectedIndex>,
    /// The version record, stored and published under the draft.
    pub record: Option<BlobId>,
}

/// The version of that id, wherever it is in this repository and whatever became
/// of it: then there is nothing to bring.
///
/// # Errors
/// [`Refusal::OtherContent`] when it has another digest; the catalog's failure.
pub fn already_here(
    view: &dyn View,
    version: VersionId,
    digest: &ManifestId,
) -> Result<Option<VersionRow>, Refusal> {
    match view.version(version)? {
        Some(row) if row.digest != *digest => {
            Err(Refusal::OtherContent { version, found: row.digest, asked: *digest })
        }
        found => Ok(found),
    }
}

/// Brings a version: it keeps its id, time and actor, and gets the collection's
/// next number. Content is not compared with the newest version: another id is
/// another version.
///
/// A version that is here already, by id and digest, stays as it is, deleted or
/// not; the draft is ended and the answer says where it is.
///
/// # Errors
/// [`Refusal::OtherContent`], [`Refusal::Fenced`], [`Refusal::IsPortfolio`],
/// [`Refusal::WrongType`], [`Refusal::NotFound`] for the run,
/// [`Refusal::InvalidMetadata`], [`Refusal::IndexTaken`] (write a record for the
/// values in it and call again), [`Refusal::MissingBlobs`].
pub fn import_version(
    view: &dyn View,
    request: &ImportVersion<'_>,
) -> Result<Decision<Committed>, Refusal> {
    if let Some(row) = already_here(view, request.version, &request.digest)? {
        return here(view, request, &row);
    }
    check_draft(view, Scope(request.project), request.draft)?;
    let found = loggable(view, request.project, request.name, Some(request.artifact_type))?;
    if let Some(run) = request.run {
        existing_run(view, run)?;
    }
    check_json_object("metadata", request.metadata)?;
    let by = request.by;
    let new = NewVersion {
        by,
        project: request.project,
        name: request.name,
        artifact_type: Some(request.artifact_type),
        collection: request.collection,
        version: request.version,
        digest: request.digest,
        root: request.root,
        entries: request.entries,
        size: request.size,
        description: request.description,
        metadata: request.metadata,
        ttl: request.ttl,
        created_at: request.created_at,
        actor: request.actor,
        run: request.run,
        provenance: request.provenance,
        attachments: request.attachments,
        expected: request.expected,
        record: request.record,
    };
    let (Place { collection, index, record }, mut edits) = append(view, found, &new)?;
    let id = collection.id;
    let detail = json!({
        "digest": request.digest,
        "record": record,
        "from": request.from,
        "repository": request.repository,
    });
    edits.push(event(by, EventKind::Imported, id, Some(index), request.run, detail));
    advance_latest(view, by, id, index, &mut edits)?;
    add_tags(view, by, id, index, request.version, request.tags, &mut edits)?;
    edits.push(Edit::EndDraft(request.draft));
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

fn here(
    view: &dyn View,
    request: &ImportVersion<'_>,
    row: &VersionRow,
) -> Result<Decision<Committed>, Refusal> {
    let collection = view
        .collection_by_id(row.collection)?
        .ok_or_else(|| Refusal::not_found("artifact", row.collection))?;
    let ended = view.draft(request.draft)?.is_some();
    Ok(Decision {
        edits: ended.then_some(Edit::EndDraft(request.draft)).into_iter().collect(),
        answer: Committed {
            collection: collection.id,
            name: collection.name,
            index: row.index,
            version: row.id,
            digest: row.digest,
            created: false,
        },
    })
}

/// Brings a run; the row is what the other repository says of it. A run that is
/// here already, by its id, stays as it is, except that one that is running here
/// ends as it has ended there. Where another run of the project has the name, this
/// one gets `spare` instead.
///
/// The answer says what is here now, and whether it was brought.
///
/// # Errors
/// [`Refusal::NotFound`] for the project, [`Refusal::NameTaken`] when both names
/// are, [`Refusal::InvalidMetadata`].
pub fn import_run(
    view: &dyn View,
    run: &RunRow,
    spare: &heirloom_core::RunName,
) -> Result<Decision<(RunRow, bool)>, Refusal> {
    if let Some(row) = view.run(run.id)? {
        if row.state != RunState::Running || run.state == RunState::Running {
            return Ok(Decision::unchanged((row, false)));
        }
        check_json_object("summary", run.summary.as_deref())?;
        let ended = RunRow {
            state: run.state,
            exit_code: run.exit_code,
            ended_at: run.ended_at,
            summary: run.summary.clone().or_else(|| row.summary.clone()),
            ..row
        };
        return Ok(Decision { edits: vec![Edit::PutRun(ended.clone())], answer: (ended, false) });
    }
    let mut run = run.clone();
    if view.run_by_name(run.project, &run.name)?.is_some() {
        run.name = spare.clone();
    }
    Ok(super::start_run(view, &run)?.map(|row| (row, true)))
}

/// Brings edges whose run and version are both here; the answer is how many of
/// them are new. Others are left out, and so are those that exist.
///
/// # Errors
/// The catalog's failure.
pub fn import_edges(view: &dyn View, edges: &[EdgeRow]) -> Result<Decision<u64>, Refusal> {
    let mut edits = Vec::new();
    let mut new = 0;
    for edge in edges {
        let (Some(run), Some(version)) = (view.run(edge.run)?, view.version(edge.version)?) else {
            continue;
        };
        if view.edge(edge.kind, edge.run, edge.version)?.is_some() {
            continue;
        }
        new += 1;
        edits.push(Edit::AddEdge(edge.clone()));
        if edge.kind == EdgeKind::Used {
            // As when it was recorded first: the journal alone knows of it.
            let by = By { actor: &run.actor, at: edge.at, admin: false };
            let detail = json!({ "asked": edge.asked });
            let (collection, index) = (version.collection, Some(version.index));
            edits.push(event(by, EventKind::Used, collection, index, Some(run.id), detail));
        }
    }
    Ok(Decision { edits, answer: new })
}
