//! Documents: what operations are asked with.

use heirloom_core::{
    Alias, ArtifactName, ArtifactType, DraftId, EntityName, IdempotencyKey, OnConflict,
    ProjectName, Provenance, RunId, RunName, RunState, Tag, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, NodeId};

/// A project by its names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProjectRef {
    /// Owner.
    pub entity: EntityName,
    /// Name.
    pub project: ProjectName,
}

/// Starts a run, or finds the one that was started under the same name.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRun {
    /// The project, made when it does not exist.
    pub project: ProjectRef,
    /// The run's id; a random one when absent.
    pub name: Option<RunName>,
    /// Name shown to people; the id when absent.
    pub display_name: Option<String>,
    /// What kind of work it is.
    pub job_type: Option<String>,
    /// Group of runs that work together.
    pub group: Option<String>,
    /// Parameters: a JSON object.
    pub config: Option<serde_json::Value>,
    /// Machine, command, git state.
    pub provenance: Provenance,
}

/// Changes what a run says of itself; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UpdateRun {
    /// Results: a JSON object.
    pub summary: Option<serde_json::Value>,
    /// Parameters: a JSON object.
    pub config: Option<serde_json::Value>,
    /// End of the run: its state and exit code.
    pub finish: Option<(RunState, Option<i32>)>,
}

/// Begins a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginDraft {
    /// The project, made when it does not exist.
    pub project: ProjectRef,
    /// The collection.
    pub name: ArtifactName,
    /// Its type; needed for the first version only.
    pub artifact_type: Option<ArtifactType>,
    /// The version of this collection to start from; the newest when `None`.
    pub base: Option<VersionId>,
}

/// A draft that was begun.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftDoc {
    /// Its id.
    pub id: DraftId,
    /// The version asked for, or the newest of the collection. It stays pinned
    /// while the draft lives: its nodes and blobs need not be claimed.
    pub base: Option<crate::VersionDoc>,
}

/// Everything that is known of a version but its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Commit {
    /// One key per operation: sent again, it answers the same.
    pub key: IdempotencyKey,
    /// The project, made when it does not exist.
    pub project: ProjectRef,
    /// The collection.
    pub name: ArtifactName,
    /// Its type; needed for the first version only.
    pub artifact_type: Option<ArtifactType>,
    /// Root of the manifest tree.
    pub root: NodeId,
    /// The draft under which nodes and blobs were sent. `None` asks only
    /// whether the newest version has this content already.
    pub draft: Option<DraftId>,
    /// Aliases to set, `latest` not needed.
    pub aliases: Vec<Alias>,
    /// Tags to add.
    pub tags: Vec<Tag>,
    /// Free text.
    pub description: Option<String>,
    /// A JSON object.
    pub metadata: Option<serde_json::Value>,
    /// Lifetime.
    pub ttl: Ttl,
    /// The run that logs it.
    pub run: Option<RunId>,
    /// What is known of its making when there is no run.
    pub provenance: Provenance,
    /// Make a new version even when the newest has this content.
    pub force_new: bool,
    /// Commit only while this alias names that version; else `base_moved`.
    pub base_alias: Option<BaseAlias>,
    /// Blobs beside the tree that belong to the version.
    pub attachments: Vec<BlobId>,
}

/// The alias by which an edit found the version that it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseAlias {
    /// The alias, of the collection that is committed to.
    pub alias: Alias,
    /// The version that it named when the edit began.
    pub version: VersionId,
}

/// Adds what was sent under a draft to a set of parts, from which one version is
/// made by [`FinishParts`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddPart {
    /// One key per part: sent again, it answers the same.
    pub key: IdempotencyKey,
    /// The project.
    pub project: ProjectRef,
    /// The collection.
    pub name: ArtifactName,
    /// Its type; needed as long as it has no version.
    pub artifact_type: Option<ArtifactType>,
    /// The id that the writers agreed on: 1 to 256 bytes of printable text.
    pub distributed_id: String,
    /// What counts when parts differ; the first part fixes it, `None` takes what is
    /// fixed.
    pub on_conflict: Option<OnConflict>,
    /// Root of the part's manifest tree.
    pub root: NodeId,
    /// The draft under which nodes and blobs were sent; it ends.
    pub draft: DraftId,
    /// The run that brings the part.
    pub run: Option<RunId>,
}

/// Makes one version of all parts of a set, and ends the set.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishParts {
    /// One key per operation: sent again, it answers the same.
    pub key: IdempotencyKey,
    /// The project.
    pub project: ProjectRef,
    /// The collection.
    pub name: ArtifactName,
    /// Its type, to be checked.
    pub artifact_type: Option<ArtifactType>,
    /// The id of the set.
    pub distributed_id: String,
    /// Aliases to set, `latest` not needed.
    pub aliases: Vec<Alias>,
    /// Tags to add.
    pub tags: Vec<Tag>,
    /// Free text.
    pub description: Option<String>,
    /// A JSON object.
    pub metadata: Option<serde_json::Value>,
    /// Lifetime.
    pub ttl: Ttl,
    /// The run that finishes; those that brought parts get edges too.
    pub run: Option<RunId>,
    /// What is known of its making when there is no run.
    pub provenance: Provenance,
    /// Make a new version even when the newest has this content.
    pub force_new: bool,
}

/// Condition on the holder of an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever holds it.
    Any,
    /// Nothing holds it.
    Absent,
    /// This version holds it.
    Is(VersionIndex),
}

/// Changes what may be edited of a version; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UpdateVersion {
    /// Free text.
    pub description: Option<String>,
    /// A JSON object that replaces the present one.
    pub metadata: Option<serde_json::Value>,
    /// Lifetime.
    pub ttl: Option<Ttl>,
}

/// Changes what may be edited of a collection; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UpdateCollection {
    /// Free text.
    pub description: Option<String>,
    /// The type, of the collection as a whole.
    pub artifact_type: Option<ArtifactType>,
    /// Lifetime of its versions.
    pub ttl: Option<Ttl>,
    /// A new name; the old one redirects.
    pub rename: Option<ArtifactName>,
}

/// Changes what may be edited of a project; what is `None` stays.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UpdateProject {
    /// Default lifetime of its versions.
    pub ttl: Option<Ttl>,
}

/// Which versions to list, and in which order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListVersions {
    /// Continue before this number (newest first).
    pub before: Option<VersionIndex>,
    /// At most this many.
    pub limit: usize,
    /// Also deleted ones.
    pub deleted: bool,
}

/// Direction of a lineage question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Towards {
    /// What it was made from.
    Up,
    /// What was made from it.
    Down,
    /// Both.
    #[default]
    Both,
}

/// A lineage question.
#[derive(Debug, Clone, PartialEq)]
pub struct LineageQuery {
    /// The version to start from.
    pub start: VersionId,
    /// Direction.
    pub towards: Towards,
    /// Number of edges to go at most: 1 reaches the run, 2 the versions beyond.
    pub depth: Option<u32>,
}

/// What `du` counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UsageBy {
    /// Projects.
    Project,
    /// Collections.
    #[default]
    Collection,
    /// Versions.
    Version,
}
