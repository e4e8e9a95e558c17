//! Why an operation was refused.

use std::fmt;

use heirloom_core::{
    Alias, ArtifactName, ArtifactType, DraftId, ErrorCode, OnConflict, RunName, RunState,
    Timestamp, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId};
use heirloom_store::ObjectKey;

use super::Expected;
use crate::error::CatalogError;

/// What keeps a version from being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// An alias.
    Alias {
        /// The version's name in that collection, such as `animals:v3`.
        version: String,
        /// The alias.
        alias: Alias,
        /// Whether it is protected, so that only an admin may drop it.
        protected: bool,
    },
    /// A link.
    Link {
        /// The version's own name, such as `animals:v3`.
        version: String,
        /// Its name in the portfolio, such as `registry/best:v0`.
        link: String,
    },
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias { version, alias, protected: false } => {
                write!(f, "alias `{alias}` of {version}")
            }
            Self::Alias { version, alias, protected: true } => {
                write!(f, "protected alias `{alias}` of {version}")
            }
            Self::Link { version, link } => write!(f, "link {link} to {version}"),
        }
    }
}

/// Why a rule refused; nothing changed. Each variant carries what was found, so
/// that a caller can say what to do next, or try again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The thing named does not exist, or is deleted.
    #[error("{what} `{name}` does not exist")]
    NotFound {
        /// What it would be, such as `artifact`, `alias`, `version`, `run`.
        what: &'static str,
        /// The name as asked.
        name: String,
        /// Names that exist and are nearest to it, nearest first; at most three.
        nearest: Vec<String>,
    },
    /// A collection has one type, fixed by its first version.
    #[error("`{name}` has type `{existing}`, not `{asked}`")]
    WrongType {
        /// The collection.
        name: ArtifactName,
        /// Its type.
        existing: ArtifactType,
        /// The type asked for.
        asked: ArtifactType,
    },
    /// The first version of a collection fixes its type, and none was given.
    #[error("`{name}` does not exist yet: its first version needs a type")]
    NeedsType {
        /// The collection to be.
        name: ArtifactName,
    },
    /// The alias names something else than expected.
    #[error("alias `{alias}` {}", moved(*.expected, *.found))]
    AliasMoved {
        /// The alias.
        alias: Alias,
        /// What the caller expected.
        expected: Expected,
        /// What it names; `None` when it does not exist.
        found: Option<VersionIndex>,
    },
    /// The alias by which the base of an edit was found names another version
    /// now, or none.
    #[error("`{name}:{alias}` {}; the edit began from {began}", now(*.found))]
    BaseMoved {
        /// The collection.
        name: ArtifactName,
        /// The alias.
        alias: Alias,
        /// The version that the edit began from.
        began: VersionIndex,
        /// What the alias names now; `None` when it does not exist.
        found: Option<VersionIndex>,
    },
    /// Only an admin may move or remove this alias.
    #[error("alias `{alias}` is protected and stays on {index}")]
    ProtectedAlias {
        /// The alias.
        alias: Alias,
        /// Its holder.
        index: VersionIndex,
    },
    /// The system keeps this alias; it can be moved, not removed.
    #[error("alias `{alias}` is kept by the system")]
    SystemAlias {
        /// The alias.
        alias: Alias,
    },
    /// Aliases, links or protection hold what was to be deleted.
    #[error("still held by {}", list(.by))]
    InUse {
        /// All that holds it, in a stable order.
        by: Vec<Holder>,
    },
    /// Something happened to what was chosen since it was chosen.
    #[error("`{what}` changed after it was chosen")]
    Changed {
        /// The version's name, or that of the collection.
        what: String,
    },
    /// A retention without rules: it would read as "keep nothing".
    #[error("the retention of `{name}` needs a rule")]
    NoRetentionRule {
        /// The collection.
        name: ArtifactName,
    },
    /// The draft was ended: by commit, abort, expiry or gc. Begin again under
    /// the same key of idempotency.
    #[error("draft {draft} was ended")]
    Fenced {
        /// The draft.
        draft: DraftId,
    },
    /// The content is new, and a new version needs a draft under which its
    /// blobs are leased.
    #[error("`{name}` does not have this content yet: a draft is needed")]
    NeedsDraft {
        /// The collection.
        name: ArtifactName,
    },
    /// The number that the version record was written for is not the next, or
    /// no record was written yet. Write one for these and commit again.
    #[error("the next version is {next}")]
    IndexTaken {
        /// What the caller expected.
        expected: Option<VersionIndex>,
        /// The number that the version would get.
        next: VersionIndex,
        /// The record that the new one must name as its predecessor.
        predecessor: Option<BlobId>,
    },
    /// Blobs that the version needs are not in the store under this project.
    #[error("{} blobs are missing, the first is {}", .blobs.len(), first(.blobs))]
    MissingBlobs {
        /// Which.
        blobs: Vec<BlobId>,
    },
    /// The key of idempotency was used for something else.
    #[error("key `{key}` was used for another operation")]
    KeyReused {
        /// The key.
        key: String,
    },
    /// Versions cannot be logged to a portfolio.
    #[error("`{name}` is a portfolio: versions are linked into it, not logged")]
    IsPortfolio {
        /// The collection.
        name: ArtifactName,
    },
    /// Links live in portfolios only.
    #[error("`{name}` is not a portfolio")]
    NotPortfolio {
        /// The collection.
        name: ArtifactName,
    },
    /// Metadata, config or summary is not a JSON object.
    #[error("{what} is not a JSON object: {reason}")]
    InvalidMetadata {
        /// Which of them.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Another one has this name.
    #[error("{what} `{name}` exists already")]
    NameTaken {
        /// What has it, such as `artifact` or `run`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A fresh id is in use; the caller draws another.
    #[error("id {id} of a {what} is in use")]
    IdTaken {
        /// What the id is of.
        what: &'static str,
        /// The id.
        id: i128,
    },
    /// The run has ended otherwise.
    #[error("run `{run}` has ended already and is {state}")]
    RunEnded {
        /// The run.
        run: RunName,
        /// Its state.
        state: RunState,
    },
    /// The version is not deleted, so there is nothing to restore.
    #[error("version {version} is not deleted")]
    NotDeleted {
        /// The version.
        version: VersionId,
    },
    /// A collector removed the object between its storing and its registration:
    /// the draft has to be begun again.
    #[error("object {object} was removed before it was registered")]
    Vanished {
        /// The object.
        object: ObjectKey,
    },
    /// Nobody finished the set of parts in time.
    #[error(
        "the parts of `{name}` under `{distributed_id}` were not finished in time: they expired \
         at {at}"
    )]
    PartsExpired {
        /// The collection.
        name: ArtifactName,
        /// The set's id.
        distributed_id: String,
        /// When.
        at: Timestamp,
    },
    /// The first part fixed what counts when parts differ.
    #[error(
        "the parts of `{name}` under `{distributed_id}` have the policy `{}`, not `{}`",
        .existing.as_str(), .asked.as_str()
    )]
    OtherPolicy {
        /// The collection.
        name: ArtifactName,
        /// The set's id.
        distributed_id: String,
        /// The set's policy.
        existing: OnConflict,
        /// The policy asked for.
        asked: OnConflict,
    },
    /// Since the content was put together, the set got another part, or is gone.
    #[error("the set of parts changed meanwhile")]
    PartsMoved,
    /// A version to be brought from another repository has the id of one that is
    /// here and has other content.
    #[error("version {version} is here already, with the content {found} instead of {asked}")]
    OtherContent {
        /// The id.
        version: VersionId,
        /// The digest here.
        found: ManifestId,
        /// The digest of what was to be brought.
        asked: ManifestId,
    },
    /// The catalog itself failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::WrongType { .. } => ErrorCode::WrongType,
            Self::NeedsType { .. }
            | Self::NeedsDraft { .. }
            | Self::IsPortfolio { .. }
            | Self::NotPortfolio { .. }
            | Self::InvalidMetadata { .. }
            | Self::NoRetentionRule { .. }
            | Self::MissingBlobs { .. }
            | Self::SystemAlias { .. } => ErrorCode::Invalid,
            Self::AliasMoved { .. }
            | Self::Changed { .. }
            | Self::IndexTaken { .. }
            | Self::KeyReused { .. }
            | Self::NameTaken { .. }
            | Self::IdTaken { .. }
            | Self::NotDeleted { .. }
            | Self::OtherContent { .. }
            | Self::RunEnded { .. }
            | Self::PartsExpired { .. }
            | Self::OtherPolicy { .. }
            | Self::PartsMoved => ErrorCode::Conflict,
            Self::BaseMoved { .. } => ErrorCode::BaseMoved,
            Self::ProtectedAlias { .. } => ErrorCode::Forbidden,
            Self::InUse { .. } => ErrorCode::InUse,
            Self::Fenced { .. } | Self::Vanished { .. } => ErrorCode::Fenced,
            Self::Catalog(error) => error.code(),
        }
    }

    /// Whether the same operation, begun anew, may succeed without anybody
    /// changing the request.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Fenced { .. }
            | Self::IndexTaken { .. }
            | Self::IdTaken { .. }
            | Self::PartsMoved
            | Self::Vanished { .. } => true,
            Self::Catalog(error) => error.is_retryable(),
            _ => false,
        }
    }

    pub(super) fn not_found(what: &'static str, name: impl fmt::Display) -> Self {
        Self::NotFound { what, name: name.to_string(), nearest: Vec::new() }
    }
}

fn moved(expected: Expected, found: Option<VersionIndex>) -> String {
    let expected = match expected {
        Expected::Any => "anything".to_owned(),
        Expected::Absent => "no such alias".to_owned(),
        Expected::Is(index) => index.to_string(),
    };
    match found {
        Some(found) => format!("moved to {found} (expected {expected})"),
        None => format!("does not exist (expected {expected})"),
    }
}

fn now(found: Option<VersionIndex>) -> String {
    match found {
        Some(found) => format!("names {found} now"),
        None => "names no version now".to_owned(),
    }
}

fn list(holders: &[Holder]) -> String {
    const SHOWN: usize = 8;
    let mut text = holders.iter().take(SHOWN).map(Holder::to_string).collect::<Vec<_>>().join(", ");
    if holders.len() > SHOWN {
        text.push_str(&format!(" and {} more", holders.len() - SHOWN));
    }
    text
}

fn first(blobs: &[BlobId]) -> String {
    blobs.first().map(BlobId::to_string).unwrap_or_default()
}
