//! Documents: bringing versions and runs from another repository.

use heirloom_core::{
    ArtifactName, ArtifactType, DraftId, Provenance, RunId, Tag, Timestamp, Ttl, VersionId,
};
use heirloom_manifest::{ManifestId, NodeId};
use serde::{Deserialize, Serialize};

use crate::doc::RunDoc;
use crate::request::ProjectRef;

/// Where a version was brought from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its name there, `entity/project/name:vN`.
    pub from: String,
    /// Identity of the repository.
    pub repository: String,
}

/// Brings a version from another repository: as a commit, but it keeps its
/// identity, time and actor. Sent again it changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportVersion {
    /// The project, made when it does not exist.
    pub project: ProjectRef,
    /// The collection; the version gets its next number.
    pub name: ArtifactName,
    /// Its type.
    pub artifact_type: ArtifactType,
    /// The version's identity.
    pub version: VersionId,
    /// Its digest, which the root must give.
    pub digest: ManifestId,
    /// Root of the manifest tree.
    pub root: NodeId,
    /// The draft under which nodes and blobs were sent.
    pub draft: DraftId,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Free text.
    pub description: Option<String>,
    /// A JSON object.
    pub metadata: Option<serde_json::Value>,
    /// Lifetime from `created_at`.
    pub ttl: Ttl,
    /// When it was first committed.
    pub created_at: Timestamp,
    /// Who logged it first.
    pub actor: String,
    /// The run that logged it first; brought before.
    pub run: Option<RunId>,
    /// What is known of its making when there was no run.
    pub provenance: Provenance,
    /// Where it comes from.
    pub origin: Origin,
}

/// A run that was brought, or was there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedRun {
    /// The run as it is now. Its name differs where another run had that name.
    #[serde(flatten)]
    pub run: RunDoc,
    /// False when it was there already, and stayed as it was.
    pub created: bool,
}
