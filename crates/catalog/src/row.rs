//! What a catalog keeps: one plain struct per table. Rules read these and
//! write [`Edit`](crate::Edit)s; the databases only store them.

use heirloom_core::{
    Alias, ArtifactName, ArtifactType, CollectionId, DraftId, EntityName, OnConflict, PartSetId,
    ProjectId, ProjectName, Provenance, Retention, RunId, RunName, RunState, Scope, Tag, Timestamp,
    Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId, NodeId};
use heirloom_store::{Codec, Kind, ObjectKey, PackRecord};

/// A project, which is also a scope of possession.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRow {
    /// The row's id.
    pub id: ProjectId,
    /// Owner.
    pub entity: EntityName,
    /// Name, unique in the entity.
    pub name: ProjectName,
    /// When it was made.
    pub created_at: Timestamp,
    /// Default lifetime of versions; `Inherit` means for ever.
    pub ttl: Ttl,
}

/// What a collection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CollectionKind {
    /// Versions logged to it.
    Sequence,
    /// Links to versions of other collections.
    Portfolio,
}

/// A named sequence of versions, or a portfolio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionRow {
    /// The row's id.
    pub id: CollectionId,
    /// The project.
    pub project: ProjectId,
    /// Name, unique in the project among collections that are not deleted.
    pub name: ArtifactName,
    /// The one type.
    pub artifact_type: ArtifactType,
    /// Sequence or portfolio.
    pub kind: CollectionKind,
    /// Free text.
    pub description: Option<String>,
    /// Default lifetime of versions.
    pub ttl: Ttl,
    /// Which versions stay when retention is applied; `None` keeps all.
    pub retention: Option<Retention>,
    /// The number that the next commit or link gets; never goes back.
    pub next_index: VersionIndex,
    /// Record of the newest commit, whatever became of that version: the
    /// predecessor that the next record names.
    pub last_record: Option<BlobId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was deleted, if it was.
    pub deleted_at: Option<Timestamp>,
}

/// State of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionState {
    /// Readable.
    Committed,
    /// Deleted and restorable until `purge_after`.
    Deleted {
        /// When it was deleted.
        at: Timestamp,
        /// End of the undo window.
        purge_after: Timestamp,
    },
    /// Gone; the row stays as a tombstone for lineage.
    Purged,
}

/// An immutable version with its editable description, metadata and lifetime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// Random identity.
    pub id: VersionId,
    /// The collection that it was logged to.
    pub collection: CollectionId,
    /// Its number there.
    pub index: VersionIndex,
    /// The version digest.
    pub digest: ManifestId,
    /// Root of the manifest tree.
    pub root: NodeId,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the entries' sizes in bytes.
    pub size: u64,
    /// Free text.
    pub description: Option<String>,
    /// A JSON object as text, as given.
    pub metadata: Option<String>,
    /// Lifetime from `created_at`.
    pub ttl: Ttl,
    /// When it was committed.
    pub created_at: Timestamp,
    /// Who logged it.
    pub actor: String,
    /// The run that first logged it.
    pub run: Option<RunId>,
    /// What is known of its making when there was no run.
    pub provenance: Provenance,
    /// Its version record in the store.
    pub record: BlobId,
    /// Blobs beside the tree that belong to it, such as another protocol's
    /// manifest kept verbatim.
    pub attachments: Vec<BlobId>,
    /// State.
    pub state: VersionState,
}

/// A version's place in a collection: its own, or one that it is linked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MembershipRow {
    /// The collection.
    pub collection: CollectionId,
    /// The number in this collection.
    pub index: VersionIndex,
    /// The version.
    pub version: VersionId,
    /// When it was committed or linked here.
    pub created_at: Timestamp,
}

/// An alias and its one holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasRow {
    /// The collection.
    pub collection: CollectionId,
    /// The alias.
    pub alias: Alias,
    /// Number of the version that holds it.
    pub index: VersionIndex,
    /// Whether only an admin may move it, and no commit does.
    pub protected: bool,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Random identity.
    pub id: RunId,
    /// The project.
    pub project: ProjectId,
    /// Id chosen by the client, unique in the project.
    pub name: RunName,
    /// Name shown to people.
    pub display_name: String,
    /// What kind of work it was, such as `train`.
    pub job_type: Option<String>,
    /// Group of runs that work together.
    pub group: Option<String>,
    /// A JSON object as text.
    pub config: Option<String>,
    /// A JSON object as text.
    pub summary: Option<String>,
    /// State.
    pub state: RunState,
    /// Exit code of the command, when it ended by itself.
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

/// Direction of a lineage edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EdgeKind {
    /// The run made the version.
    Produced,
    /// The run used the version.
    Used,
}

/// A lineage edge; unique by (kind, run, version).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EdgeRow {
    /// Produced or used.
    pub kind: EdgeKind,
    /// The run.
    pub run: RunId,
    /// The version.
    pub version: VersionId,
    /// When it was first recorded.
    pub at: Timestamp,
    /// The name asked by, such as `animals:latest`, or what the run called it.
    pub asked: Option<String>,
}

/// What happened, for `log` and the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A version was committed.
    Committed,
    /// A run logged content that the newest version already had.
    Unchanged,
    /// An alias was set or moved.
    AliasSet,
    /// An alias was removed.
    AliasRemoved,
    /// A tag was added.
    Tagged,
    /// A tag was removed.
    Untagged,
    /// Description, metadata or lifetime of a version, or of the collection, changed.
    Updated,
    /// The collection was renamed.
    Renamed,
    /// The collection's type changed.
    TypeChanged,
    /// A version was linked into a portfolio.
    Linked,
    /// A link was removed.
    Unlinked,
    /// A version was deleted.
    Deleted,
    /// A deleted version was restored.
    Restored,
    /// A deleted version can no longer be restored.
    Purged,
    /// A version was brought from another repository.
    Imported,
    /// A run used a version.
    Used,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 16] = [
        Self::Committed,
        Self::Unchanged,
        Self::AliasSet,
        Self::AliasRemoved,
        Self::Tagged,
        Self::Untagged,
        Self::Updated,
        Self::Renamed,
        Self::TypeChanged,
        Self::Linked,
        Self::Unlinked,
        Self::Deleted,
        Self::Restored,
        Self::Purged,
        Self::Imported,
        Self::Used,
    ];

    /// The word used in databases and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Unchanged => "unchanged",
            Self::AliasSet => "alias_set",
            Self::AliasRemoved => "alias_removed",
            Self::Tagged => "tagged",
            Self::Untagged => "untagged",
            Self::Updated => "updated",
            Self::Renamed => "renamed",
            Self::TypeChanged => "type_changed",
            Self::Linked => "linked",
            Self::Unlinked => "unlinked",
            Self::Deleted => "deleted",
            Self::Restored => "restored",
            Self::Purged => "purged",
            Self::Imported => "imported",
            Self::Used => "used",
        }
    }

    /// The kind of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One line of a collection's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Order; assigned by the catalog, 0 in edits.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What.
    pub kind: EventKind,
    /// The collection.
    pub collection: CollectionId,
    /// The version's number in it, where the event is about one.
    pub index: Option<VersionIndex>,
    /// The run on whose behalf, if any.
    pub run: Option<RunId>,
    /// What the kind needs, as a small JSON object: for an alias
    /// `{"alias", "from", "to"}`; documented in `docs/format.md`.
    pub detail: String,
}

/// A version being built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftRow {
    /// Random identity.
    pub id: DraftId,
    /// The project, and scope of what it claims.
    pub project: ProjectId,
    /// Name of the collection that it is meant for.
    pub name: ArtifactName,
    /// Version whose content it starts from, which stays pinned.
    pub base: Option<VersionId>,
    /// Who began it.
    pub actor: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Epoch at which it was begun.
    pub epoch: u64,
}

/// Whether parts can still be added to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartSetState {
    /// Parts are welcome; their content stays.
    Open,
    /// Nobody finished it in time: its parts are gone, the row tells of it.
    Expired {
        /// When that was found.
        at: Timestamp,
    },
}

/// Parts that many writers bring under one id, to be finished as one version.
/// Unique by (project, name, id).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartSetRow {
    /// Random identity; another set under the same id has another.
    pub id: PartSetId,
    /// The project.
    pub project: ProjectId,
    /// Name of the collection that it is meant for.
    pub name: ArtifactName,
    /// The id that the writers agreed on.
    pub distributed_id: String,
    /// The collection's type.
    pub artifact_type: ArtifactType,
    /// What counts when parts differ at one path.
    pub on_conflict: OnConflict,
    /// State.
    pub state: PartSetState,
    /// When its first part came.
    pub created_at: Timestamp,
    /// When its last part came.
    pub touched_at: Timestamp,
    /// Who brought the first part.
    pub actor: String,
}

/// One writer's part; unique by (set, seq) and by (set, key).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRow {
    /// The set.
    pub set: PartSetId,
    /// Order of arrival in the set, from 0.
    pub seq: u64,
    /// Key of idempotency, made unique per actor by the caller.
    pub key: String,
    /// Root of the part's manifest tree.
    pub root: NodeId,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the entries' sizes in bytes.
    pub size: u64,
    /// The run that brought it.
    pub run: Option<RunId>,
    /// Who brought it.
    pub actor: String,
    /// When it came.
    pub at: Timestamp,
}

/// A piece of a project's journal that lies sealed in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalRow {
    /// The project.
    pub project: ProjectId,
    /// First event in it.
    pub first: u64,
    /// Last event in it.
    pub last: u64,
    /// The piece, a blob of the project.
    pub blob: BlobId,
}

/// What keeps content alive: a version, as far as gc has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Where its blobs are.
    pub scope: Scope,
    /// The version.
    pub version: VersionId,
    /// Its tree.
    pub root: NodeId,
    /// Its record.
    pub record: BlobId,
    /// Blobs beside the tree.
    pub attachments: Vec<BlobId>,
    /// When it was deleted, if it is restorable.
    pub deleted_at: Option<Timestamp>,
}

/// Short number of an object in one catalog; of several objects that hold a
/// blob, the one with the highest is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectNumber(pub u64);

/// A location as a walk over all of them gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedBlob {
    /// The scope.
    pub scope: Scope,
    /// The blob.
    pub blob: BlobId,
    /// The object.
    pub object: ObjectNumber,
    /// Bytes in the object.
    pub stored: u64,
    /// Bytes of the blob.
    pub raw: u64,
}

/// State of a stored object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectState {
    /// Usable.
    Live,
    /// Chosen for deletion by the gc that runs in this epoch; a claim revives it.
    Condemned {
        /// Epoch of that gc.
        epoch: u64,
    },
    /// Being deleted; a claim answers "missing".
    Deleting,
}

/// A stored object: a whole blob or a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRow {
    /// Its key in the store.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub size: u64,
    /// State.
    pub state: ObjectState,
    /// Epoch of the newest claim or commit that touched it.
    pub claimed_epoch: u64,
    /// When it was registered.
    pub created_at: Timestamp,
}

impl ObjectRow {
    /// The row of an object that lies in the store, as nobody has claimed it yet.
    pub const fn stored(key: ObjectKey, size: u64, created_at: Timestamp) -> Self {
        Self { key, size, state: ObjectState::Live, claimed_epoch: 0, created_at }
    }

    /// The row of an object that somebody needs in this epoch, whatever its state was.
    #[must_use]
    pub fn needed(self, epoch: u64) -> Self {
        Self { state: ObjectState::Live, claimed_epoch: epoch, ..self }
    }
}

/// Where a blob's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Location {
    /// The object.
    pub object: ObjectKey,
    /// First byte in the object.
    pub offset: u64,
    /// Bytes in the object.
    pub stored: u64,
    /// Bytes of the blob.
    pub raw: u64,
    /// How they are stored: the codec's number in `docs/format.md` §4.
    pub codec: u8,
    /// What the blob is: the kind's number in `docs/format.md` §4.
    pub kind: u8,
}

impl Location {
    /// The place of a blob that is an object of its own.
    pub fn whole(blob: BlobId, size: u64) -> Self {
        Self {
            object: ObjectKey::Whole(blob),
            offset: 0,
            stored: size,
            raw: size,
            codec: Codec::Raw.code(),
            kind: Kind::Content.code(),
        }
    }

    /// The place of a blob in a pack, as the pack's index tells it.
    pub fn packed(pack: ObjectKey, record: &PackRecord) -> Self {
        Self {
            object: pack,
            offset: record.offset,
            stored: record.stored_len,
            raw: record.raw_len,
            codec: record.codec.code(),
            kind: record.kind.code(),
        }
    }
}

/// Outcome of an operation that had a key, as stored with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRow {
    /// The key, made unique per actor by the caller.
    pub key: String,
    /// BLAKE3 over what was asked, so that a key used twice for different
    /// things is noticed.
    pub request: [u8; 32],
    /// The answer as JSON text.
    pub answer: String,
    /// When it was done.
    pub at: Timestamp,
}

/// A tag of a version in one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRow {
    /// The version.
    pub version: VersionId,
    /// The tag.
    pub tag: Tag,
}
