//! Parts of one version from many writers.
//!
//! Writers agree on an id and each add parts under it, in any order; somebody
//! finishes, and what all parts hold becomes one version, by the transaction of
//! [`commit`](super::commit()) that also drops the set. Until then the trees of the
//! parts are kept like those of versions.
//!
//! A set that nobody adds to for [`PART_SET_SECONDS`] is over: it can no longer be
//! finished, and the next part under its id begins another one.

use heirloom_core::{
    ArtifactName, ArtifactType, DraftId, OnConflict, PartSetId, ProjectId, RunId, Scope, Timestamp,
    VersionId,
};
use heirloom_manifest::NodeId;
use serde::{Deserialize, Serialize};

use super::draft::check_draft;
use super::lookup::{existing_run, find_collection, loggable};
use super::{By, Decision, OperationKey, Refusal, once};
use crate::error::CatalogError;
use crate::row::{EdgeKind, EdgeRow, PartRow, PartSetRow, PartSetState};
use crate::view::{Edit, View};

/// Seconds after its last part at which a set is over: a week.
pub const PART_SET_SECONDS: i64 = 7 * 86_400;

/// Seconds for which a set that is over is still told of: a month.
pub const EXPIRED_SET_SECONDS: i64 = 30 * 86_400;

/// Rows read at once.
const PAGE: usize = 512;

/// Adds a part to a set, and ends the draft under which its content was sent.
#[derive(Debug, Clone)]
pub struct AddPart<'a> {
    /// Key of idempotency; also recorded with the part.
    pub key: OperationKey<'a>,
    /// Who, when.
    pub by: By<'a>,
    /// The project.
    pub project: ProjectId,
    /// The collection, which may not exist yet; old names are followed.
    pub name: &'a ArtifactName,
    /// Its type; needed when it does not exist yet.
    pub artifact_type: Option<&'a ArtifactType>,
    /// The id that the writers agreed on.
    pub distributed_id: &'a str,
    /// The policy; `None` takes the set's, or the default for a new one.
    pub on_conflict: Option<OnConflict>,
    /// Fresh id, used when the set is made.
    pub set: PartSetId,
    /// The draft under which nodes and blobs of the part are leased.
    pub draft: DraftId,
    /// Root of the part's tree, which was checked as a version's is.
    pub root: NodeId,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the entries' sizes in bytes.
    pub size: u64,
    /// The run that brings it.
    pub run: Option<RunId>,
}

/// Answer to an [`AddPart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedPart {
    /// The set.
    pub set: PartSetId,
    /// The name that it is kept under.
    pub name: ArtifactName,
    /// The part's place in it, from 0.
    pub seq: u64,
    /// Whether a set under this id was over, so that this part begins another.
    pub replaced: bool,
}

/// What a commit takes its content from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishParts {
    /// The set.
    pub set: PartSetId,
    /// Place of the last part that went into the content.
    pub last: u64,
}

/// When a set is over unless another part comes.
pub fn part_set_end(set: &PartSetRow) -> Timestamp {
    set.touched_at.plus_seconds(PART_SET_SECONDS)
}

/// Whether a set is over, and since when, noted as such or not.
pub fn part_set_expired(set: &PartSetRow, now: Timestamp) -> Option<Timestamp> {
    match set.state {
        PartSetState::Expired { at } => Some(at),
        PartSetState::Open => Some(part_set_end(set)).filter(|end| *end <= now),
    }
}

/// The set of that id, under the collection's present name or the one given.
///
/// # Errors
/// The catalog's own failure.
pub fn find_part_set(
    view: &dyn View,
    project: ProjectId,
    name: &ArtifactName,
    distributed_id: &str,
) -> Result<Option<PartSetRow>, CatalogError> {
    let name = find_collection(view, project, name)?.map_or_else(|| name.clone(), |row| row.name);
    view.part_set(project, &name, distributed_id)
}

/// As [`find_part_set`], of a set that can be finished.
///
/// # Errors
/// [`Refusal::NotFound`] with the ids of sets that this collection has;
/// [`Refusal::PartsExpired`].
pub fn open_part_set(
    view: &dyn View,
    project: ProjectId,
    name: &ArtifactName,
    distributed_id: &str,
    now: Timestamp,
) -> Result<PartSetRow, Refusal> {
    let Some(set) = find_part_set(view, project, name, distributed_id)? else {
        return Err(no_set(view, project, name, distributed_id)?);
    };
    match part_set_expired(&set, now) {
        None => Ok(set),
        Some(at) => {
            Err(Refusal::PartsExpired { name: set.name, distributed_id: set.distributed_id, at })
        }
    }
}

fn no_set(
    view: &dyn View,
    project: ProjectId,
    name: &ArtifactName,
    distributed_id: &str,
) -> Result<Refusal, CatalogError> {
    let name = find_collection(view, project, name)?.map_or_else(|| name.clone(), |row| row.name);
    let mut ids = Vec::new();
    each_set(view, |set| {
        if set.project == project && set.name == name {
            ids.push(set.distributed_id);
        }
    })?;
    Ok(Refusal::NotFound {
        what: "set of parts",
        name: format!("{distributed_id}` of `{name}"),
        nearest: super::nearest(distributed_id, ids),
    })
}

fn each_set(view: &dyn View, mut visit: impl FnMut(PartSetRow)) -> Result<(), CatalogError> {
    let mut after = None;
    loop {
        let page = view.part_sets(after, PAGE)?;
        let more = page.len() == PAGE;
        after = page.last().map(|set| set.id);
        page.into_iter().for_each(&mut visit);
        if !more {
            return Ok(());
        }
    }
}

fn each_part(
    view: &dyn View,
    set: PartSetId,
    mut visit: impl FnMut(PartRow),
) -> Result<(), CatalogError> {
    let mut after = None;
    loop {
        let page = view.parts(set, after, PAGE)?;
        let more = page.len() == PAGE;
        after = page.last().map(|part| part.seq);
        page.into_iter().for_each(&mut visit);
        if !more {
            return Ok(());
        }
    }
}

/// Adds a part. The first one makes the set and fixes its policy. The same key
/// gets the same answer, also after the set was finished; a draft that is left
/// over from the earlier try is ended all the same.
///
/// # Errors
/// [`Refusal::KeyReused`], [`Refusal::Fenced`], [`Refusal::IsPortfolio`],
/// [`Refusal::WrongType`], [`Refusal::NeedsType`], [`Refusal::NotFound`] for the
/// run, [`Refusal::OtherPolicy`], [`Refusal::MissingBlobs`] when the root is not in
/// the project, [`Refusal::IdTaken`].
pub fn add_part(view: &dyn View, request: &AddPart<'_>) -> Result<Decision<AddedPart>, Refusal> {
    let mut decision = once(view, Some(request.key), request.by.at, || decide(view, request))?;
    let end = Edit::EndDraft(request.draft);
    if !decision.edits.contains(&end) && check_draft_of(view, request)? {
        decision.edits.push(end);
    }
    Ok(decision)
}

/// Whether the draft of a part that was added before still lives.
fn check_draft_of(view: &dyn View, request: &AddPart<'_>) -> Result<bool, CatalogError> {
    Ok(view.draft(request.draft)?.is_some_and(|draft| draft.project == request.project))
}

fn decide(view: &dyn View, request: &AddPart<'_>) -> Result<Decision<AddedPart>, Refusal> {
    let scope = Scope(request.project);
    check_draft(view, scope, request.draft)?;
    let collection = loggable(view, request.project, request.name, request.artifact_type)?;
    if let Some(run) = request.run {
        existing_run(view, run)?;
    }
    let missing = view.locate(scope, &[request.root.as_blob()])?.iter().any(Option::is_none);
    if missing {
        return Err(Refusal::MissingBlobs { blobs: vec![request.root.as_blob()] });
    }
    // Of a collection that does not exist yet, the first part says the type.
    let name = collection.as_ref().map_or(request.name, |row| &row.name);
    let found = view.part_set(request.project, name, request.distributed_id)?;
    let at = request.by.at;
    let mut edits = Vec::new();
    let over = found.as_ref().is_some_and(|set| part_set_expired(set, at).is_some());
    let (set, seq) = match found {
        Some(set) if !over => {
            if collection.is_none()
                && let Some(asked) = request.artifact_type
                && *asked != set.artifact_type
            {
                return Err(Refusal::WrongType {
                    name: set.name,
                    existing: set.artifact_type,
                    asked: asked.clone(),
                });
            }
            if let Some(asked) = request.on_conflict
                && asked != set.on_conflict
            {
                let (name, existing) = (set.name, set.on_conflict);
                let distributed_id = set.distributed_id;
                return Err(Refusal::OtherPolicy { name, distributed_id, existing, asked });
            }
            if let Some(part) = view.part_by_key(set.id, request.key.key)? {
                // The answer was forgotten, the part was not.
                if part.root != request.root {
                    return Err(Refusal::KeyReused { key: request.key.key.to_owned() });
                }
                let answer =
                    AddedPart { set: set.id, name: set.name, seq: part.seq, replaced: false };
                return Ok(Decision::unchanged(answer));
            }
            let seq = view.last_part(set.id)?.map_or(0, |last| last.seq + 1);
            // A clock that went back does not shorten anybody's time.
            let touched_at = set.touched_at.max(at);
            (PartSetRow { touched_at, ..set }, seq)
        }
        found => {
            edits.extend(found.map(|set| Edit::DropPartSet(set.id)));
            (first_of_set(view, request, name, collection.as_ref().map(|c| &c.artifact_type))?, 0)
        }
    };
    edits.push(Edit::PutPartSet(set.clone()));
    edits.push(Edit::AddPart(PartRow {
        set: set.id,
        seq,
        key: request.key.key.to_owned(),
        root: request.root,
        entries: request.entries,
        size: request.size,
        run: request.run,
        actor: request.by.actor.to_owned(),
        at,
    }));
    edits.push(Edit::EndDraft(request.draft));
    let answer = AddedPart { set: set.id, name: set.name, seq, replaced: over };
    Ok(Decision { edits, answer })
}

fn first_of_set(
    view: &dyn View,
    request: &AddPart<'_>,
    name: &ArtifactName,
    existing: Option<&ArtifactType>,
) -> Result<PartSetRow, Refusal> {
    if view.part_set_by_id(request.set)?.is_some() {
        return Err(Refusal::IdTaken { what: "set of parts", id: request.set.get().into() });
    }
    let Some(artifact_type) = existing.or(request.artifact_type) else {
        return Err(Refusal::NeedsType { name: name.clone() });
    };
    Ok(PartSetRow {
        id: request.set,
        project: request.project,
        name: name.clone(),
        distributed_id: request.distributed_id.to_owned(),
        artifact_type: artifact_type.clone(),
        on_conflict: request.on_conflict.unwrap_or_default(),
        state: PartSetState::Open,
        created_at: request.by.at,
        touched_at: request.by.at,
        actor: request.by.actor.to_owned(),
    })
}

/// Drops a set and its parts, whose content becomes garbage. The answer is the set
/// as it was.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn abort_parts(
    view: &dyn View,
    project: ProjectId,
    name: &ArtifactName,
    distributed_id: &str,
) -> Result<Decision<PartSetRow>, Refusal> {
    match find_part_set(view, project, name, distributed_id)? {
        Some(set) => Ok(Decision { edits: vec![Edit::DropPartSet(set.id)], answer: set }),
        None => Err(no_set(view, project, name, distributed_id)?),
    }
}

/// Notes which sets are over, and drops their parts; forgets those that have been
/// over for [`EXPIRED_SET_SECONDS`]. The answer is the number of sets that were
/// found to be over just now.
///
/// # Errors
/// The catalog's own failure.
pub fn expire_parts(view: &dyn View, now: Timestamp) -> Result<Decision<u64>, Refusal> {
    let mut edits = Vec::new();
    let mut expired = 0;
    each_set(view, |set| match set.state {
        PartSetState::Open if part_set_expired(&set, now).is_some() => {
            expired += 1;
            edits.push(Edit::DropParts(set.id));
            // Told from when it ended, whenever that was found.
            let state = PartSetState::Expired { at: part_set_end(&set) };
            edits.push(Edit::PutPartSet(PartSetRow { state, ..set }));
        }
        PartSetState::Expired { at } if at.plus_seconds(EXPIRED_SET_SECONDS) <= now => {
            edits.push(Edit::DropPartSet(set.id));
        }
        _ => {}
    })?;
    Ok(Decision { edits, answer: expired })
}

/// What the commit of a set's content changes beside the version: the set goes, and
/// every run that brought a part produced `version`.
pub(super) fn finish_set(
    view: &dyn View,
    by: By<'_>,
    finish: FinishParts,
    version: VersionId,
    asked: &ArtifactName,
    edits: &mut Vec<Edit>,
) -> Result<(), CatalogError> {
    let mut runs = Vec::new();
    each_part(view, finish.set, |part| runs.extend(part.run))?;
    runs.sort_unstable();
    runs.dedup();
    edits.extend(runs.iter().map(|run| {
        Edit::AddEdge(EdgeRow {
            kind: EdgeKind::Produced,
            run: *run,
            version,
            at: by.at,
            asked: Some(asked.to_string()),
        })
    }));
    edits.push(Edit::DropPartSet(finish.set));
    Ok(())
}

/// Refuses unless the set is as it was when its parts were put together.
pub(super) fn check_finish(
    view: &dyn View,
    finish: FinishParts,
    now: Timestamp,
) -> Result<(), Refusal> {
    let set = view.part_set_by_id(finish.set)?.filter(|set| part_set_expired(set, now).is_none());
    let last = view.last_part(finish.set)?.map(|part| part.seq);
    match set.is_some() && last == Some(finish.last) {
        true => Ok(()),
        false => Err(Refusal::PartsMoved),
    }
}

/// Sets go with a collection to its new name.
///
/// # Errors
/// [`Refusal::NameTaken`] when the new name has a set under one of the ids.
pub(super) fn rename_sets(
    view: &dyn View,
    project: ProjectId,
    from: &ArtifactName,
    to: &ArtifactName,
    edits: &mut Vec<Edit>,
) -> Result<(), Refusal> {
    let mut sets = Vec::new();
    each_set(view, |set| {
        if set.project == project && set.name == *from {
            sets.push(set);
        }
    })?;
    for set in sets {
        if view.part_set(project, to, &set.distributed_id)?.is_some() {
            let name = format!("{}` of `{to}", set.distributed_id);
            return Err(Refusal::NameTaken { what: "set of parts", name });
        }
        edits.push(Edit::PutPartSet(PartSetRow { name: to.clone(), ..set }));
    }
    Ok(())
}
