//! Lifetimes: when a version's ends, and what that does.
//!
//! A clock decides here, and nowhere else but at the end of the undo window: an
//! expired version is deleted as if somebody had asked for it, and can be
//! restored as long.

use heirloom_core::{Timestamp, Ttl, VersionId};
use serde::{Deserialize, Serialize};

use super::delete::{Delete, Deleted, Holders, Reason, delete};
use super::{By, Decision, Refusal};
use crate::row::{CollectionRow, ProjectRow, VersionRow};
use crate::view::View;

/// Deletes those of some versions whose lifetime has ended.
#[derive(Debug, Clone, Copy)]
pub struct Expire<'a> {
    /// Who, when: it is this time that lifetimes are compared with.
    pub by: By<'a>,
    /// Versions to look at.
    pub versions: &'a [VersionId],
    /// Length of the undo window in seconds.
    pub undo_seconds: u64,
}

/// What became of versions whose lifetime has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expired {
    /// Those that nothing held.
    pub deleted: Deleted,
    /// Those that an alias other than `latest`, a protected alias or a link holds.
    pub held: Vec<VersionId>,
}

/// When a version's lifetime ends, counted from its creation; `None` for never.
/// What a version does not say its own collection says, and what that does not
/// say the project. `collection` and `project` are those it was logged to, not
/// those of a link.
pub fn expires_at(
    version: &VersionRow,
    collection: &CollectionRow,
    project: &ProjectRow,
) -> Option<Timestamp> {
    let said = [version.ttl, collection.ttl, project.ttl];
    match said.into_iter().find(|ttl| *ttl != Ttl::Inherit) {
        Some(Ttl::Seconds(seconds)) => {
            let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
            Some(version.created_at.plus_seconds(seconds))
        }
        _ => None,
    }
}

/// Deletes expired versions. One that something holds stays until nothing does.
/// Versions that are gone, and those whose lifetime has not ended (any more), are
/// passed over. The holder of `latest` expires like any other.
///
/// # Errors
/// The catalog's own failure.
pub fn expire(view: &dyn View, request: &Expire<'_>) -> Result<Decision<Expired>, Refusal> {
    let by = request.by;
    let mut holders = Holders::new(view, false);
    let mut doomed = Vec::new();
    let mut held = Vec::new();
    for id in request.versions {
        let Some(version) = view.version(*id)?.filter(|row| row.state.is_committed()) else {
            continue;
        };
        let Some(collection) = view.collection_by_id(version.collection)? else { continue };
        let Some(project) = view.project_by_id(collection.project)? else { continue };
        if expires_at(&version, &collection, &project).is_none_or(|end| end > by.at) {
            continue;
        }
        match holders.of(version.id, version.collection, version.index)?.is_empty() {
            true => doomed.push(version.id),
            false => held.push(version.id),
        }
    }
    let request = Delete {
        versions: &doomed,
        reason: Some(Reason::Expired),
        ..Delete::nothing(by, request.undo_seconds)
    };
    Ok(delete(view, &request)?.map(|deleted| Expired { deleted, held }))
}
