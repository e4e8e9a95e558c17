//! Documents: deletion, the way back, and retention.

use std::collections::BTreeSet;

use heirloom_core::{
    Alias, ArtifactName, ArtifactRef, IdempotencyKey, Retention, Timestamp, VersionIndex,
};
use serde::{Deserialize, Serialize};

use crate::doc::VersionRef;

/// Deletes versions, links and whole artifacts: all that is named, or nothing.
///
/// What `versions` and `artifacts` name is refused as a whole while something
/// holds any of it. Of what `matching` means, that which something holds stays,
/// and the answer says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delete {
    /// One key per operation: sent again, it answers the same.
    pub key: Option<IdempotencyKey>,
    /// Versions or links; each reference names one (no implied `latest`).
    pub versions: Vec<ArtifactRef>,
    /// Artifacts with all their versions, portfolios with all their links: the
    /// names are free again.
    pub artifacts: Vec<ArtifactRef>,
    /// Versions of artifacts that fit conditions.
    pub matching: Vec<Matching>,
    /// Whether aliases other than `latest` are dropped rather than in the way.
    pub delete_aliases: bool,
    /// Only tell what would be deleted, and what is in the way.
    pub dry_run: bool,
}

impl Delete {
    /// Deletion of versions that are named one by one.
    pub fn versions(versions: Vec<ArtifactRef>) -> Self {
        Self { versions, ..Self::default() }
    }
}

/// Versions of one artifact that fit all of these conditions; without any, all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matching {
    /// The artifact.
    pub name: ArtifactRef,
    /// Only these, which somebody chose by looking at them.
    pub only: Option<BTreeSet<VersionIndex>>,
    /// Number of the newest event that was known then: if something happened since
    /// to a version of `only`, or to the artifact as a whole, the operation is
    /// refused with `conflict`, because the choice may not stand any more.
    pub as_of: Option<u64>,
    /// Only those committed (or linked) at least so many seconds ago.
    pub older_than: Option<u64>,
    /// None of the newest so many.
    pub keep_last: Option<u64>,
}

/// A version that was deleted, or a link that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneDoc {
    /// Its name, which for a link is that in the portfolio.
    pub version: VersionRef,
    /// Only a link: the version that it led to stays.
    pub link: bool,
    /// Aliases that went with it, `latest` not among them.
    pub aliases: Vec<Alias>,
    /// Number of entries.
    pub files: u64,
    /// Sum of the entries' sizes in bytes.
    pub size: u64,
}

/// A version that a condition meant, but that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaysDoc {
    /// Its name.
    pub version: VersionRef,
    /// What holds it.
    pub by: Vec<String>,
}

/// Bytes that a deletion sets free, once the undo window has ended and gc has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Freeable {
    /// Bytes of contents that no readable version has any more, each counted once.
    pub bytes: u64,
    /// Bytes that were deleted, but that readable versions have too.
    pub shared: u64,
    /// Whether these are exact. If not, counting was broken off so that deleting
    /// does not take long: at most `bytes` can be freed.
    pub exact: bool,
}

/// What was deleted, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedDoc {
    /// Versions and links.
    pub deleted: Vec<GoneDoc>,
    /// Artifacts that went as a whole, each as `entity/project/name`.
    pub artifacts: Vec<String>,
    /// What conditions meant, but something holds.
    pub stays: Vec<StaysDoc>,
    /// What is in the way, so that the same without `dry_run` would be refused.
    pub held_by: Vec<String>,
    /// Until when versions can surely be restored; gc may free their bytes after.
    pub restorable_until: Timestamp,
    /// What that frees; `None` when it could not be counted.
    pub freeable: Option<Freeable>,
}

/// Makes deleted versions readable again, all that are named or none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restore {
    /// One key per operation: sent again, it answers the same.
    pub key: Option<IdempotencyKey>,
    /// Each names a version by its number, or an artifact: then all of it that can
    /// be restored.
    pub versions: Vec<ArtifactRef>,
}

/// A version that can be read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredDoc {
    /// Its name.
    pub version: VersionRef,
    /// Whether its lifetime had ended, so that it was made endless.
    pub kept: bool,
}

/// Why a version stays or goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonDoc {
    /// `keep_last`, `younger_than`, `aliased`, `tagged`, `used`, `linked`, `none` (no
    /// rules); of what goes `expired`, `unkept`.
    pub rule: String,
    /// In words.
    pub text: String,
}

/// What retention decides of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionDoc {
    /// Number as text, `v3`.
    pub version: String,
    /// Its number.
    pub index: VersionIndex,
    /// Whether it stays.
    pub keep: bool,
    /// All reasons.
    pub reasons: Vec<ReasonDoc>,
}

/// What a collection's retention decides, and whether it was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionDoc {
    /// The artifact.
    pub name: ArtifactName,
    /// Its rules; `None` keeps all but what expires.
    pub retention: Option<Retention>,
    /// Whether nothing was done.
    pub dry_run: bool,
    /// Of every readable version, oldest first.
    pub versions: Vec<DecisionDoc>,
    /// Until when those that went can surely be restored.
    pub restorable_until: Timestamp,
    /// What that frees; `None` when it could not be counted.
    pub freeable: Option<Freeable>,
}
