//! Taking a deletion back.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_core::{Alias, CollectionId, Ttl, VersionId, VersionIndex};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::alias::advance_latest;
use super::expire::expires_at;
use super::journal::event;
use super::lookup::newest_except;
use super::{By, Decision, Refusal};
use crate::row::{CollectionRow, EventKind, VersionRow, VersionState};
use crate::view::{Edit, View};

/// Restores deleted versions, all or none.
#[derive(Debug, Clone, Copy)]
pub struct RestoreVersions<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The versions.
    pub versions: &'a [VersionId],
}

/// Restores a deleted version.
#[derive(Debug, Clone, Copy)]
pub struct RestoreVersion<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The version.
    pub version: VersionId,
}

/// Where a restored version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The version.
    pub version: VersionId,
    /// Its collection.
    pub collection: CollectionId,
    /// Its number there.
    pub index: VersionIndex,
    /// Whether its lifetime had ended, so that it got an endless one: it would
    /// be deleted again before long.
    pub kept: bool,
}

/// Restores one version: see [`restore_versions`].
///
/// # Errors
/// As there.
pub fn restore_version(
    view: &dyn View,
    request: &RestoreVersion<'_>,
) -> Result<Decision<Restored>, Refusal> {
    let versions = &[request.version];
    let decision = restore_versions(view, &RestoreVersions { by: request.by, versions })?;
    let Decision { edits, answer } = decision;
    match answer.into_iter().next() {
        Some(answer) => Ok(Decision { edits, answer }),
        None => Err(Refusal::not_found("version", request.version)),
    }
}

/// Restores deleted versions, and their collections when those were deleted too.
/// `latest` comes back to the highest of them where it had only fallen; other
/// aliases and links do not come back. One whose lifetime has ended meanwhile
/// lives for ever from now on.
///
/// # Errors
/// [`Refusal::NotFound`] when one never was or gc purged it;
/// [`Refusal::NotDeleted`]; [`Refusal::NameTaken`] when a deleted collection's
/// name is in use.
pub fn restore_versions(
    view: &dyn View,
    request: &RestoreVersions<'_>,
) -> Result<Decision<Vec<Restored>>, Refusal> {
    let by = request.by;
    let mut edits = Vec::new();
    let mut answer = Vec::new();
    let mut seen = BTreeSet::new();
    let mut homes: BTreeMap<CollectionId, Home> = BTreeMap::new();
    for id in request.versions.iter().filter(|id| seen.insert(**id)) {
        let missing = || Refusal::not_found("version", *id);
        let version = view.version(*id)?.ok_or_else(missing)?;
        match version.state {
            VersionState::Deleted { .. } => {}
            VersionState::Committed => return Err(Refusal::NotDeleted { version: version.id }),
            VersionState::Purged => return Err(missing()),
        }
        let (collection, index, run) = (version.collection, version.index, version.run);
        if let std::collections::btree_map::Entry::Vacant(slot) = homes.entry(collection) {
            let row = view.collection_by_id(collection)?.ok_or_else(missing)?;
            slot.insert(Home::bring_back(view, row, &mut edits)?);
        }
        let Some(home) = homes.get_mut(&collection) else { return Err(missing()) };
        home.highest = home.highest.max(Some(index));
        let project = view.project_by_id(home.row.project)?.ok_or_else(missing)?;
        let ended = expires_at(&version, &home.row, &project).is_some_and(|end| end <= by.at);
        let detail = if ended { json!({ "ttl": Ttl::Never }) } else { json!({}) };
        edits.push(match ended {
            true => Edit::PutVersion(VersionRow {
                ttl: Ttl::Never,
                state: VersionState::Committed,
                ..version
            }),
            false => Edit::SetVersionState { version: *id, state: VersionState::Committed },
        });
        edits.push(event(by, EventKind::Restored, collection, Some(index), run, detail));
        answer.push(Restored { version: *id, collection, index, kept: ended });
    }
    for (collection, home) in homes {
        if let (Some(to), true) = (home.highest, home.latest_fell) {
            advance_latest(view, by, collection, to, &mut edits)?;
        }
    }
    Ok(Decision { edits, answer })
}

/// A collection that versions come back to.
struct Home {
    row: CollectionRow,
    /// Nobody moved `latest` away from the newest by hand.
    latest_fell: bool,
    /// The highest number that comes back.
    highest: Option<VersionIndex>,
}

impl Home {
    fn bring_back(
        view: &dyn View,
        row: CollectionRow,
        edits: &mut Vec<Edit>,
    ) -> Result<Self, Refusal> {
        if row.deleted_at.is_some() {
            if view.collection(row.project, &row.name)?.is_some() {
                return Err(Refusal::NameTaken { what: "artifact", name: row.name.to_string() });
            }
            if view.redirect(row.project, &row.name)?.is_some() {
                edits.push(Edit::RemoveRedirect { project: row.project, old: row.name.clone() });
            }
            edits.push(Edit::PutCollection(CollectionRow { deleted_at: None, ..row.clone() }));
        }
        let holder = view.alias(row.id, &Alias::latest())?.map(|alias| alias.index);
        let latest_fell = holder == newest_except(view, row.id, |_| false)?;
        Ok(Self { row, latest_fell, highest: None })
    }
}
