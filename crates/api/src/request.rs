//! Documents: what operations are asked with.

use heirloom_core::{
    Alias, ArtifactName, ArtifactRef, ArtifactType, DraftId, EntityName, IdempotencyKey,
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
}

/// A draft that was begun.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftDoc {
    /// Its id.
    pub id: DraftId,
    /// The newest version of the collection, which stays pinned while the
    /// draft lives: its nodes and blobs need not be claimed.
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
    /// Blobs beside the tree that belong to the version.
    pub attachments: Vec<BlobId>,
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

/// Deletes versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The versions; each reference names one (no implied `latest`).
    pub versions: Vec<ArtifactRef>,
    /// Whether aliases other than `latest` are dropped rather than in the way.
    pub delete_aliases: bool,
}
