//! Deleting versions and collections, and taking that back.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_core::{Alias, CollectionId, Timestamp, VersionId, VersionIndex};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::alias::{advance_latest, drop_aliases_of};
use super::journal::event;
use super::link::remove_links;
use super::lookup::{committed_version, live_collection, newest_except};
use super::refusal::Holder;
use super::{By, Decision, Refusal};
use crate::row::{
    CollectionKind, CollectionRow, EventKind, MembershipRow, VersionRow, VersionState,
};
use crate::view::{Edit, Order, View};

const PAGE: usize = 512;

/// Deletes versions from their own collections, all or none.
#[derive(Debug, Clone, Copy)]
pub struct DeleteVersions<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The versions.
    pub versions: &'a [VersionId],
    /// Drops the aliases that hold them. Protected ones yield to admins only.
    pub delete_aliases: bool,
    /// Drops the links to them, with the links' aliases if `delete_aliases`.
    pub delete_links: bool,
    /// Whether `latest` holds a version as other aliases do, as one protocol has it.
    pub latest_holds: bool,
    /// Length of the undo window in seconds.
    pub undo_seconds: u64,
}

/// Deletes a collection with all its versions, or a portfolio with its links.
#[derive(Debug, Clone, Copy)]
pub struct DeleteCollection<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The collection.
    pub collection: CollectionId,
    /// As in [`DeleteVersions`].
    pub delete_aliases: bool,
    /// As in [`DeleteVersions`].
    pub delete_links: bool,
    /// Length of the undo window in seconds.
    pub undo_seconds: u64,
}

/// Restores a deleted version.
#[derive(Debug, Clone, Copy)]
pub struct RestoreVersion<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The version.
    pub version: VersionId,
}

/// A deleted version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedVersion {
    /// The version.
    pub version: VersionId,
    /// Its collection.
    pub collection: CollectionId,
    /// Its number there.
    pub index: VersionIndex,
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// In the order asked.
    pub versions: Vec<DeletedVersion>,
    /// Links that were removed with them.
    pub unlinked: u64,
    /// Until when they can surely be restored.
    pub purge_after: Timestamp,
}

/// Where a restored version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Its collection.
    pub collection: CollectionId,
    /// Its number there.
    pub index: VersionIndex,
}

/// Deletes versions: their rows stay as tombstones, restorable until gc purges
/// them. `latest` falls to the highest number that remains.
///
/// # Errors
/// [`Refusal::NotFound`] for one that is absent or deleted already;
/// [`Refusal::InUse`] naming all that holds any of them.
pub fn delete_versions(
    view: &dyn View,
    request: &DeleteVersions<'_>,
) -> Result<Decision<Deleted>, Refusal> {
    let mut seen = BTreeSet::new();
    let mut rows = Vec::new();
    for id in request.versions {
        if seen.insert(*id) {
            rows.push(committed_version(view, *id)?);
        }
    }
    let mut edits = Vec::new();
    let answer = delete_rows(view, request, &rows, &mut edits)?;
    Ok(Decision { edits, answer })
}

/// Deletes a collection: its name is free, its numbers are gone with it. Its
/// versions can be restored one by one, which brings the collection back.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::InUse`] as for [`delete_versions`].
pub fn delete_collection(
    view: &dyn View,
    request: &DeleteCollection<'_>,
) -> Result<Decision<Deleted>, Refusal> {
    let row = live_collection(view, request.collection)?;
    let members = all_memberships(view, row.id)?;
    let mut edits = Vec::new();
    let like = DeleteVersions {
        by: request.by,
        versions: &[],
        delete_aliases: request.delete_aliases,
        delete_links: request.delete_links,
        latest_holds: false,
        undo_seconds: request.undo_seconds,
    };
    let answer = match row.kind {
        CollectionKind::Sequence => {
            let ids: Vec<VersionId> = members.iter().map(|member| member.version).collect();
            let mut rows = view.versions(&ids)?;
            rows.retain(|version| version.state.is_committed());
            delete_rows(view, &like, &rows, &mut edits)?
        }
        CollectionKind::Portfolio => {
            let mut by = Vec::new();
            for member in &members {
                let name = format!("{}:{}", row.name, member.index);
                alias_holders(view, &like, row.id, member.index, &name, &mut by)?;
            }
            if !by.is_empty() {
                return Err(Refusal::InUse { by });
            }
            remove_links(view, request.by, row.id, &members, &mut edits)?;
            Deleted {
                versions: Vec::new(),
                unlinked: members.len() as u64,
                purge_after: purge_after(request.by, request.undo_seconds),
            }
        }
    };
    let by = request.by;
    let detail = json!({ "collection": row.name });
    edits.push(event(by, EventKind::Deleted, row.id, None, None, detail));
    edits.push(Edit::PutCollection(CollectionRow { deleted_at: Some(by.at), ..row }));
    Ok(Decision { edits, answer })
}

/// Restores a deleted version, and its collection when that was deleted too.
/// `latest` comes back to it where it had only fallen; other aliases and links
/// do not come back.
///
/// # Errors
/// [`Refusal::NotFound`] when it never was or gc purged it;
/// [`Refusal::NotDeleted`]; [`Refusal::NameTaken`] when the deleted
/// collection's name is in use.
pub fn restore_version(
    view: &dyn View,
    request: &RestoreVersion<'_>,
) -> Result<Decision<Restored>, Refusal> {
    let missing = || Refusal::not_found("version", request.version);
    let version = view.version(request.version)?.ok_or_else(missing)?;
    match version.state {
        VersionState::Deleted { .. } => {}
        VersionState::Committed => return Err(Refusal::NotDeleted { version: version.id }),
        VersionState::Purged => return Err(missing()),
    }
    let by = request.by;
    let mut edits = Vec::new();
    let row = view.collection_by_id(version.collection)?.ok_or_else(missing)?;
    if row.deleted_at.is_some() {
        if view.collection(row.project, &row.name)?.is_some() {
            return Err(Refusal::NameTaken { what: "artifact", name: row.name.to_string() });
        }
        if view.redirect(row.project, &row.name)?.is_some() {
            edits.push(Edit::RemoveRedirect { project: row.project, old: row.name.clone() });
        }
        edits.push(Edit::PutCollection(CollectionRow { deleted_at: None, ..row.clone() }));
    }
    edits.push(Edit::SetVersionState { version: version.id, state: VersionState::Committed });
    let (collection, index) = (version.collection, version.index);
    edits.push(event(by, EventKind::Restored, collection, Some(index), version.run, json!({})));
    let holder = view.alias(collection, &Alias::latest())?.map(|alias| alias.index);
    if holder == newest_except(view, collection, |_| false)? {
        // Nobody moved it away by hand.
        advance_latest(view, by, collection, index, &mut edits)?;
    }
    Ok(Decision { edits, answer: Restored { collection, index } })
}

fn delete_rows(
    view: &dyn View,
    request: &DeleteVersions<'_>,
    rows: &[VersionRow],
    edits: &mut Vec<Edit>,
) -> Result<Deleted, Refusal> {
    let by = request.by;
    let mut names: BTreeMap<CollectionId, CollectionRow> = BTreeMap::new();
    let mut holders = Vec::new();
    let mut own: BTreeMap<CollectionId, BTreeSet<VersionIndex>> = BTreeMap::new();
    let mut links: BTreeMap<CollectionId, Vec<MembershipRow>> = BTreeMap::new();
    for version in rows {
        for member in view.memberships_of(version.id)? {
            let name = member_name(view, &member, &mut names)?;
            alias_holders(view, request, member.collection, member.index, &name, &mut holders)?;
            if member.collection == version.collection {
                own.entry(member.collection).or_default().insert(member.index);
                continue;
            }
            if !request.delete_links {
                let own = MembershipRow {
                    collection: version.collection,
                    index: version.index,
                    ..member.clone()
                };
                let version = member_name(view, &own, &mut names)?;
                holders.push(Holder::Link { version, link: name });
            }
            links.entry(member.collection).or_default().push(member);
        }
    }
    if !holders.is_empty() {
        return Err(Refusal::InUse { by: holders });
    }
    let mut unlinked = 0;
    for (portfolio, members) in &links {
        remove_links(view, by, *portfolio, members, edits)?;
        unlinked += members.len() as u64;
    }
    for (collection, gone) in &own {
        drop_aliases_of(view, by, *collection, gone, edits)?;
    }
    let purge_after = purge_after(by, request.undo_seconds);
    let state = VersionState::Deleted { at: by.at, purge_after };
    let mut versions = Vec::with_capacity(rows.len());
    for version in rows {
        edits.push(Edit::SetVersionState { version: version.id, state });
        let detail = json!({ "digest": version.digest, "purge_after": purge_after });
        let (collection, index) = (version.collection, version.index);
        edits.push(event(by, EventKind::Deleted, collection, Some(index), None, detail));
        versions.push(DeletedVersion { version: version.id, collection, index });
    }
    Ok(Deleted { versions, unlinked, purge_after })
}

/// Aliases on one membership that forbid its end.
fn alias_holders(
    view: &dyn View,
    request: &DeleteVersions<'_>,
    collection: CollectionId,
    index: VersionIndex,
    name: &str,
    holders: &mut Vec<Holder>,
) -> Result<(), Refusal> {
    for row in view.aliases_of(collection, index)? {
        let counts = !row.alias.is_latest() || request.latest_holds || row.protected;
        let yields = request.delete_aliases && (!row.protected || request.by.admin);
        if counts && !yields {
            holders.push(Holder::Alias {
                version: name.to_owned(),
                alias: row.alias,
                protected: row.protected,
            });
        }
    }
    Ok(())
}

fn member_name(
    view: &dyn View,
    member: &MembershipRow,
    names: &mut BTreeMap<CollectionId, CollectionRow>,
) -> Result<String, Refusal> {
    if !names.contains_key(&member.collection)
        && let Some(row) = view.collection_by_id(member.collection)?
    {
        names.insert(member.collection, row);
    }
    Ok(match names.get(&member.collection) {
        Some(row) => format!("{}:{}", row.name, member.index),
        None => format!("{}:{}", member.collection, member.index),
    })
}

fn all_memberships(
    view: &dyn View,
    collection: CollectionId,
) -> Result<Vec<MembershipRow>, Refusal> {
    let mut all: Vec<MembershipRow> = Vec::new();
    loop {
        let after = all.last().map(|row| row.index);
        let page = view.memberships(collection, after, Order::Oldest, PAGE)?;
        let done = page.len() < PAGE;
        all.extend(page);
        if done {
            return Ok(all);
        }
    }
}

fn purge_after(by: By<'_>, seconds: u64) -> Timestamp {
    by.at.plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}
