//! Documents: what operations answer. Fields may be added, never renamed.

use heirloom_core::{
    Alias, ArtifactName, ArtifactType, EntityName, OnConflict, ProjectName, Provenance, Retention,
    RunId, RunName, RunState, Tag, Timestamp, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId, NodeId};
use serde::{Deserialize, Serialize};

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectDoc {
    /// Owner.
    pub entity: EntityName,
    /// Name.
    pub name: ProjectName,
    /// When it was made.
    pub created_at: Timestamp,
    /// Number of collections.
    pub collections: u64,
    /// Default lifetime of versions; `inherit` means for ever.
    #[serde(default)]
    pub ttl: Ttl,
}

/// A run, named as people name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RunRef {
    /// Random identity.
    pub id: RunId,
    /// Owner of the project.
    pub entity: EntityName,
    /// The project.
    pub project: ProjectName,
    /// The run's id within it.
    pub name: RunName,
}

impl std::fmt::Display for RunRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunDoc {
    /// Identity and place.
    #[serde(flatten)]
    pub run: RunRef,
    /// Name shown to people.
    pub display_name: String,
    /// What kind of work it was.
    pub job_type: Option<String>,
    /// Group of runs that work together.
    pub group: Option<String>,
    /// Parameters: a JSON object.
    pub config: Option<serde_json::Value>,
    /// Results: a JSON object.
    pub summary: Option<serde_json::Value>,
    /// State.
    pub state: RunState,
    /// Exit code of the command.
    pub exit_code: Option<i32>,
    /// When it started.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who started it.
    pub actor: String,
    /// Machine, command, git state.
    pub provenance: Provenance,
}

/// A version and the edges that join it to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunVersion {
    /// The version's name, such as `animals:v3`, with its project.
    pub version: VersionRef,
    /// When the edge was recorded.
    pub at: Timestamp,
    /// The name that was asked by.
    pub asked: Option<String>,
}

/// A version, named as people name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VersionRef {
    /// Random identity.
    pub id: VersionId,
    /// Owner of the project.
    pub entity: EntityName,
    /// The project.
    pub project: ProjectName,
    /// The collection.
    pub name: ArtifactName,
    /// The number.
    pub index: VersionIndex,
}

impl std::fmt::Display for VersionRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}:{}", self.project, self.name, self.index)
    }
}

/// Whether a version can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateDoc {
    /// Readable.
    Committed,
    /// Deleted, restorable for a while.
    Deleted,
    /// Gone; kept in lineage as a tombstone.
    Purged,
}

/// A version as reached through one membership.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionDoc {
    /// Random identity.
    pub id: VersionId,
    /// Owner of the project.
    pub entity: EntityName,
    /// The project of the collection it was reached through.
    pub project: ProjectName,
    /// The collection it was reached through.
    pub name: ArtifactName,
    /// The collection's type.
    #[serde(rename = "type")]
    pub artifact_type: ArtifactType,
    /// Number there.
    pub index: VersionIndex,
    /// Number as text, `v3`.
    pub version: String,
    /// Aliases there, ascending.
    pub aliases: Vec<Alias>,
    /// Tags, ascending.
    pub tags: Vec<Tag>,
    /// The version digest.
    pub digest: ManifestId,
    /// Root of the manifest tree.
    pub root: NodeId,
    /// State.
    pub state: StateDoc,
    /// Number of entries.
    pub files: u64,
    /// Sum of the entries' sizes in bytes.
    pub size: u64,
    /// Free text.
    pub description: Option<String>,
    /// A JSON object.
    pub metadata: Option<serde_json::Value>,
    /// Lifetime as set on the version.
    pub ttl: Ttl,
    /// When it was committed.
    pub created_at: Timestamp,
    /// Who logged it.
    pub actor: String,
    /// The run that first logged it.
    pub run: Option<RunRef>,
    /// What is known of its making when there was no run.
    pub provenance: Provenance,
    /// Where it was logged, when reached through a link.
    pub source: Option<VersionRef>,
    /// Those of its aliases that are protected.
    #[serde(default)]
    pub protected: Vec<Alias>,
    /// When its lifetime ends, be it its own or inherited.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    /// What would keep it beyond that: aliases, links. Told only where it expires.
    #[serde(default)]
    pub kept_by: Vec<String>,
    /// When it was deleted, while it can be restored.
    #[serde(default)]
    pub deleted_at: Option<Timestamp>,
    /// Until when it can surely be restored.
    #[serde(default)]
    pub restorable_until: Option<Timestamp>,
}

impl VersionDoc {
    /// The version's name as people write it.
    pub fn as_ref(&self) -> VersionRef {
        VersionRef {
            id: self.id,
            entity: self.entity.clone(),
            project: self.project.clone(),
            name: self.name.clone(),
            index: self.index,
        }
    }
}

/// A collection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectionDoc {
    /// Owner of the project.
    pub entity: EntityName,
    /// The project.
    pub project: ProjectName,
    /// Name.
    pub name: ArtifactName,
    /// Type.
    #[serde(rename = "type")]
    pub artifact_type: ArtifactType,
    /// `sequence` or `portfolio`.
    pub kind: String,
    /// Free text.
    pub description: Option<String>,
    /// Lifetime of its versions.
    pub ttl: Ttl,
    /// The newest readable version.
    pub latest: Option<VersionDoc>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Which versions stay when retention is applied.
    #[serde(default)]
    pub retention: Option<Retention>,
}

/// Outcome of logging an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The version that has the content.
    pub version: VersionRef,
    /// Its digest.
    pub digest: ManifestId,
    /// False when the newest version already had this content.
    pub created: bool,
    /// Number of entries.
    pub files: u64,
    /// Sum of the entries' sizes.
    pub size: u64,
}

/// A part that was added to a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedPart {
    /// Owner of the project.
    pub entity: EntityName,
    /// The project.
    pub project: ProjectName,
    /// The collection, under its present name.
    pub name: ArtifactName,
    /// The id of the set.
    pub distributed_id: String,
    /// The part's place in order of arrival, from 0.
    pub part: u64,
    /// Whether the set that was there under this id had expired, so that this part
    /// begins another and those before are lost.
    pub replaced: bool,
}

/// What a set of parts became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedParts {
    /// The version.
    pub committed: Committed,
    /// Bytes written to the store to put the parts together; 0 when the answer is
    /// that of an earlier request under the same key.
    pub stored: u64,
}

/// Whether parts can still be added to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartSetState {
    /// They can, and it can be finished.
    Open,
    /// Nobody finished it in time; its parts are gone or go with the next gc.
    Expired,
}

/// Somebody who brought parts: a run, or a person without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartWriter {
    /// The run.
    pub run: Option<RunRef>,
    /// Who.
    pub actor: String,
    /// How many parts.
    pub parts: u64,
}

/// Parts of one version to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartSetDoc {
    /// Owner of the project.
    pub entity: EntityName,
    /// The project.
    pub project: ProjectName,
    /// The collection, which may not exist yet.
    pub name: ArtifactName,
    /// Its type.
    #[serde(rename = "type")]
    pub artifact_type: ArtifactType,
    /// The id that the writers agreed on.
    pub distributed_id: String,
    /// What counts when parts differ at one path.
    pub on_conflict: OnConflict,
    /// State.
    pub state: PartSetState,
    /// Number of parts.
    pub parts: u64,
    /// Who brought them, in order of their first part.
    pub writers: Vec<PartWriter>,
    /// Sum of the parts' entries: what several parts have counts several times.
    pub files: u64,
    /// Sum of the parts' sizes in bytes, counted likewise.
    pub bytes: u64,
    /// When the first part came.
    pub started_at: Timestamp,
    /// When the last part came.
    pub touched_at: Timestamp,
    /// When it expires unless another part comes, or expired.
    pub expires_at: Timestamp,
}

/// One line of a collection's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventDoc {
    /// Order within the repository.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What: `committed`, `alias_set`, …
    pub event: String,
    /// The version's number, where the event is about one.
    pub version: Option<String>,
    /// The run on whose behalf.
    pub run: Option<RunRef>,
    /// What the kind of event has: for an alias `alias`, `from`, `to`.
    pub detail: serde_json::Value,
}

/// A place where a file's content was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The version that holds it.
    pub version: VersionDoc,
    /// At which path.
    pub path: heirloom_manifest::LogicalPath,
    /// The versions that its run used.
    pub upstream: Vec<VersionRef>,
    /// Those of `upstream` that were deleted since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<VersionId>,
    /// The run's git commit, command and machine, or those recorded without a run.
    pub provenance: Provenance,
}

/// Bytes of one version, collection or project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// What it is about: `project`, `project/name` or `project/name:vN`.
    pub name: String,
    /// Number of versions.
    pub versions: u64,
    /// Sum of all file sizes, as if nothing were shared.
    pub logical: u64,
    /// Bytes that only this holds: what deleting it could free.
    pub unique: u64,
    /// Bytes that something else holds too.
    pub shared: u64,
}

/// Answer of `du`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    /// One row per thing asked for.
    pub rows: Vec<Usage>,
    /// Sum of file sizes over all versions.
    pub logical: u64,
    /// Bytes of distinct contents.
    pub distinct: u64,
    /// Bytes that the objects take in the store, manifests and records included.
    pub stored: u64,
    /// Number of objects in the store.
    pub objects: u64,
}

/// When something was deleted, and who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionDoc {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
}

/// A node of a lineage answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LineageNode {
    /// A run.
    Run {
        /// The run.
        run: RunRef,
        /// Name shown to people.
        display_name: String,
        /// What kind of work it was.
        job_type: Option<String>,
        /// State.
        state: RunState,
        /// When it started.
        started_at: Timestamp,
    },
    /// A version.
    Version {
        /// The version.
        version: VersionRef,
        /// Its type.
        #[serde(rename = "type")]
        artifact_type: ArtifactType,
        /// Its aliases.
        aliases: Vec<Alias>,
        /// Its state: deleted versions stay in lineage.
        state: StateDoc,
        /// When and by whom it was deleted, if it is.
        #[serde(default)]
        deleted: Option<DeletionDoc>,
        /// Its digest.
        digest: ManifestId,
        /// When it was committed.
        created_at: Timestamp,
    },
}

/// An edge of a lineage answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageEdge {
    /// The run.
    pub run: RunId,
    /// The version.
    pub version: VersionId,
    /// True for run → version, false for version → run.
    pub produced: bool,
    /// When it was recorded.
    pub at: Timestamp,
    /// The name that was asked by.
    pub asked: Option<String>,
}

/// A piece of the graph of runs and versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageDoc {
    /// The version that was asked about.
    pub root: VersionRef,
    /// Nodes that the caller may see, in no particular order.
    pub nodes: Vec<LineageNode>,
    /// Edges between them.
    pub edges: Vec<LineageEdge>,
}

/// Result of checking stored bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Versions looked at.
    pub versions: u64,
    /// Blobs and nodes read and hashed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong.
    pub damages: Vec<Damage>,
    /// Objects that the catalog does not know: gc removes them.
    #[serde(default)]
    pub leftovers: u64,
    /// Their bytes.
    #[serde(default)]
    pub leftover_bytes: u64,
    /// The share of file contents that was read, if it was not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<crate::Sample>,
}

/// One damaged, missing or foreign thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// Key of the object, or name of the row.
    pub object: String,
    /// The blob in it, where one is known.
    pub blob: Option<BlobId>,
    /// What is wrong, in one sentence.
    pub what: String,
    /// Versions that it hurts, with the path where one is known.
    pub versions: Vec<String>,
}
