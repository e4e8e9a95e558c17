//! Deleting versions, links and collections.
//!
//! A deletion is one decision however much it takes away: what holds any of it
//! is looked for everywhere before anything goes, and `latest` falls once, past
//! all that goes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use heirloom_core::{Alias, CollectionId, Timestamp, VersionId, VersionIndex};
use heirloom_manifest::ManifestId;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::alias::drop_aliases_of;
use super::journal::event;
use super::link::remove_links;
use super::lookup::{committed_version, live_collection};
use super::refusal::Holder;
use super::{By, Decision, Refusal};
use crate::row::{
    AliasRow, CollectionKind, CollectionRow, EventKind, MembershipRow, VersionRow, VersionState,
};
use crate::view::{Edit, Order, View};

/// Rows read at once. Small, because a version's metadata may be large.
const PAGE: usize = 256;

/// Why versions are deleted without anybody naming them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Their lifetime ended.
    Expired,
    /// The collection's retention keeps others.
    Retention,
}

impl Reason {
    /// The word in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Retention => "retention",
        }
    }
}

/// Deletes versions, links and whole collections, all or none.
#[derive(Debug, Clone, Copy)]
pub struct Delete<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// Versions, from their own collections.
    pub versions: &'a [VersionId],
    /// Links, by portfolio and number; the versions stay.
    pub links: &'a [(CollectionId, VersionIndex)],
    /// Collections with all their versions, portfolios with all their links.
    pub collections: &'a [CollectionId],
    /// Drops the aliases that hold them. Protected ones yield to admins only.
    pub delete_aliases: bool,
    /// Drops the links to the versions, with the links' aliases if `delete_aliases`.
    pub delete_links: bool,
    /// Whether `latest` holds a version as other aliases do, as one protocol has it.
    pub latest_holds: bool,
    /// Length of the undo window in seconds.
    pub undo_seconds: u64,
    /// Recorded as why, unless somebody asked.
    pub reason: Option<Reason>,
    /// Those of `versions` for which the end of their lifetime is recorded instead.
    pub expired: &'a [VersionId],
}

/// Deletes versions from their own collections, all or none.
#[derive(Debug, Clone, Copy)]
pub struct DeleteVersions<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The versions.
    pub versions: &'a [VersionId],
    /// As in [`Delete`].
    pub delete_aliases: bool,
    /// As in [`Delete`].
    pub delete_links: bool,
    /// As in [`Delete`].
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
    /// As in [`Delete`].
    pub delete_aliases: bool,
    /// As in [`Delete`].
    pub delete_links: bool,
    /// Length of the undo window in seconds.
    pub undo_seconds: u64,
}

/// A deleted version, or a removed link to one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletedVersion {
    /// The version.
    pub version: VersionId,
    /// Its collection, or the link's portfolio.
    pub collection: CollectionId,
    /// Its number there.
    pub index: VersionIndex,
    /// Aliases that went with it, `latest` not among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Alias>,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the entries' sizes in bytes.
    pub size: u64,
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Versions in the order asked, those of whole collections last.
    pub versions: Vec<DeletedVersion>,
    /// Links that were asked for, were in a portfolio that went, or led to a
    /// version that went; by portfolio and number.
    pub links: Vec<DeletedVersion>,
    /// Collections that went as a whole.
    pub collections: Vec<CollectionId>,
    /// Until when the versions can surely be restored.
    pub purge_after: Timestamp,
}

/// Deletes versions: their rows stay as tombstones, restorable until gc purges
/// them. `latest` falls to the highest number that remains.
///
/// # Errors
/// As [`delete`].
pub fn delete_versions(
    view: &dyn View,
    request: &DeleteVersions<'_>,
) -> Result<Decision<Deleted>, Refusal> {
    let DeleteVersions { by, versions, delete_aliases, delete_links, latest_holds, undo_seconds } =
        *request;
    let request = Delete {
        versions,
        delete_aliases,
        delete_links,
        latest_holds,
        ..Delete::nothing(by, undo_seconds)
    };
    delete(view, &request)
}

/// Deletes a collection: its name is free, its numbers are gone with it. Its
/// versions can be restored, which brings the collection back.
///
/// # Errors
/// As [`delete`].
pub fn delete_collection(
    view: &dyn View,
    request: &DeleteCollection<'_>,
) -> Result<Decision<Deleted>, Refusal> {
    let DeleteCollection { by, collection, delete_aliases, delete_links, undo_seconds } = *request;
    let collections = &[collection];
    let request =
        Delete { collections, delete_aliases, delete_links, ..Delete::nothing(by, undo_seconds) };
    delete(view, &request)
}

impl<'a> Delete<'a> {
    /// A deletion of nothing, that drops nothing.
    pub fn nothing(by: By<'a>, undo_seconds: u64) -> Self {
        Self {
            by,
            versions: &[],
            links: &[],
            collections: &[],
            delete_aliases: false,
            delete_links: false,
            latest_holds: false,
            undo_seconds,
            reason: None,
            expired: &[],
        }
    }
}

/// Deletes versions, links and collections in one decision. Rows of versions
/// stay as tombstones, restorable until gc purges them; `latest` falls to the
/// highest number that remains; the name of a collection is free again, its
/// numbers are gone with it.
///
/// # Errors
/// [`Refusal::NotFound`] for what is absent or deleted already;
/// [`Refusal::NotPortfolio`] for a link that is a version's own place;
/// [`Refusal::InUse`] naming all that holds any of them.
pub fn delete(view: &dyn View, request: &Delete<'_>) -> Result<Decision<Deleted>, Refusal> {
    let by = request.by;
    let mut doomed = Doomed::default();
    for id in request.versions {
        doomed.add_version(committed_version(view, *id)?);
    }
    let mut collections = Vec::new();
    for id in request.collections {
        let row = live_collection(view, *id)?;
        match row.kind {
            CollectionKind::Sequence => each_version(view, row.id, |version| {
                doomed.add_version(version);
            })?,
            CollectionKind::Portfolio => each_membership(view, row.id, |member| {
                doomed.add_link(member);
            })?,
        }
        collections.push(row);
    }
    for (portfolio, index) in request.links {
        let row = live_collection(view, *portfolio)?;
        if row.kind != CollectionKind::Portfolio {
            return Err(Refusal::NotPortfolio { name: row.name });
        }
        let member = view
            .membership(row.id, *index)?
            .ok_or_else(|| Refusal::not_found("version", format_args!("{}:{index}", row.name)))?;
        doomed.add_link(member);
    }

    let mut look = Look::new(view, request);
    let mut holders = Vec::new();
    for members in doomed.links.values() {
        for member in members.values() {
            look.aliases(member.collection, member.index, &mut holders)?;
        }
    }
    let mut dropped: Vec<MembershipRow> = Vec::new();
    for version in &doomed.versions {
        look.version(version.id, (version.collection, version.index), &mut holders, |member| {
            let known = doomed.links.get(&member.collection);
            if known.is_some_and(|members| members.contains_key(&member.index)) {
                return false;
            }
            dropped.push(member.clone());
            true
        })?;
    }
    if !holders.is_empty() {
        return Err(Refusal::InUse { by: holders });
    }
    for member in dropped {
        doomed.add_link(member);
    }

    let mut edits = Vec::new();
    let mut links = Vec::new();
    for (portfolio, members) in &doomed.links {
        let members: Vec<MembershipRow> = members.values().cloned().collect();
        remove_links(view, by, *portfolio, &members, &mut edits)?;
        for member in members {
            let aliases = look.named(member.collection, member.index)?;
            let source = view.version(member.version)?;
            links.push(DeletedVersion {
                version: member.version,
                collection: member.collection,
                index: member.index,
                aliases,
                entries: source.as_ref().map_or(0, |version| version.entries),
                size: source.as_ref().map_or(0, |version| version.size),
            });
        }
    }
    let mut own: BTreeMap<CollectionId, BTreeSet<VersionIndex>> = BTreeMap::new();
    for version in &doomed.versions {
        own.entry(version.collection).or_default().insert(version.index);
    }
    for (collection, gone) in &own {
        drop_aliases_of(view, by, *collection, gone, &mut edits)?;
    }
    let purge_after = by.at.plus_seconds(i64::try_from(request.undo_seconds).unwrap_or(i64::MAX));
    let state = VersionState::Deleted { at: by.at, purge_after };
    let expired: BTreeSet<VersionId> = request.expired.iter().copied().collect();
    let mut versions = Vec::with_capacity(doomed.versions.len());
    for version in doomed.versions {
        edits.push(Edit::SetVersionState { version: version.id, state });
        let mut detail = json!({ "digest": version.digest, "purge_after": purge_after });
        let reason = match expired.contains(&version.id) {
            true => Some(Reason::Expired),
            false => request.reason,
        };
        if let Some(reason) = reason {
            detail["reason"] = reason.as_str().into();
        }
        let Victim { id, collection, index, entries, size, .. } = version;
        edits.push(event(by, EventKind::Deleted, collection, Some(index), None, detail));
        let aliases = look.named(collection, index)?;
        versions.push(DeletedVersion { version: id, collection, index, aliases, entries, size });
    }
    let answer = Deleted {
        versions,
        links,
        collections: collections.iter().map(|row| row.id).collect(),
        purge_after,
    };
    for row in collections {
        let detail = json!({ "collection": row.name });
        edits.push(event(by, EventKind::Deleted, row.id, None, None, detail));
        edits.push(Edit::PutCollection(CollectionRow { deleted_at: Some(by.at), ..row }));
    }
    Ok(Decision { edits, answer })
}

/// What keeps a version from being deleted by somebody who is told to drop
/// nothing: aliases other than `latest`, protected ones, links.
///
/// # Errors
/// The catalog's own failure.
pub fn holders(view: &dyn View, version: &VersionRow) -> Result<Vec<Holder>, Refusal> {
    Holders::new(view, false).of(version.id, version.collection, version.index)
}

/// [`holders`] of many versions: each collection's aliases are read once.
pub(super) struct Holders<'a> {
    look: Look<'a>,
}

impl<'a> Holders<'a> {
    /// With `drops_aliases` only what stays in the way of a deletion that drops
    /// aliases.
    pub(super) fn new(view: &'a dyn View, drops_aliases: bool) -> Self {
        Self {
            look: Look {
                view,
                drops_aliases,
                drops_links: false,
                admin: false,
                latest_holds: false,
                names: BTreeMap::new(),
                held: BTreeMap::new(),
            },
        }
    }

    pub(super) fn of(
        &mut self,
        version: VersionId,
        collection: CollectionId,
        index: VersionIndex,
    ) -> Result<Vec<Holder>, Refusal> {
        let mut holders = Vec::new();
        self.look.version(version, (collection, index), &mut holders, |_| true)?;
        Ok(holders)
    }

    /// What holds a link by itself: aliases in its portfolio.
    pub(super) fn of_link(
        &mut self,
        portfolio: CollectionId,
        index: VersionIndex,
    ) -> Result<Vec<Holder>, Refusal> {
        let mut holders = Vec::new();
        self.look.aliases(portfolio, index, &mut holders)?;
        Ok(holders)
    }

    pub(super) fn aliases_of(
        &mut self,
        collection: CollectionId,
        index: VersionIndex,
    ) -> Result<Vec<AliasRow>, Refusal> {
        Ok(self.look.held(collection)?.get(&index).cloned().unwrap_or_default())
    }
}

/// What of a version a deletion needs: its row has metadata of any size.
struct Victim {
    id: VersionId,
    collection: CollectionId,
    index: VersionIndex,
    digest: ManifestId,
    entries: u64,
    size: u64,
}

/// What is to go, each once.
#[derive(Default)]
struct Doomed {
    versions: Vec<Victim>,
    seen: BTreeSet<VersionId>,
    links: BTreeMap<CollectionId, BTreeMap<VersionIndex, MembershipRow>>,
}

impl Doomed {
    fn add_version(&mut self, row: VersionRow) {
        if self.seen.insert(row.id) {
            let VersionRow { id, collection, index, digest, entries, size, .. } = row;
            self.versions.push(Victim { id, collection, index, digest, entries, size });
        }
    }

    fn add_link(&mut self, member: MembershipRow) {
        self.links.entry(member.collection).or_default().insert(member.index, member);
    }
}

type Held = BTreeMap<VersionIndex, Vec<AliasRow>>;

/// Looks for what holds versions. A collection has few aliases and may lose
/// thousands of versions: its aliases and its name are read once.
struct Look<'a> {
    view: &'a dyn View,
    drops_aliases: bool,
    drops_links: bool,
    admin: bool,
    latest_holds: bool,
    names: BTreeMap<CollectionId, String>,
    held: BTreeMap<CollectionId, Held>,
}

impl<'a> Look<'a> {
    fn new(view: &'a dyn View, request: &Delete<'_>) -> Self {
        Self {
            view,
            drops_aliases: request.delete_aliases,
            drops_links: request.delete_links,
            admin: request.by.admin,
            latest_holds: request.latest_holds,
            names: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    fn held(&mut self, collection: CollectionId) -> Result<&Held, Refusal> {
        Ok(match self.held.entry(collection) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(slot) => {
                let mut held = Held::new();
                for row in self.view.aliases(collection)? {
                    held.entry(row.index).or_default().push(row);
                }
                slot.insert(held)
            }
        })
    }

    /// Aliases of a place that go with it.
    fn named(
        &mut self,
        collection: CollectionId,
        index: VersionIndex,
    ) -> Result<Vec<Alias>, Refusal> {
        let rows = self.held(collection)?.get(&index);
        let names = rows.into_iter().flatten().map(|row| row.alias.clone());
        Ok(names.filter(|alias| !alias.is_latest()).collect())
    }

    /// Aliases that forbid the end of a place.
    fn aliases(
        &mut self,
        collection: CollectionId,
        index: VersionIndex,
        holders: &mut Vec<Holder>,
    ) -> Result<(), Refusal> {
        let Some(rows) = self.held(collection)?.get(&index).cloned() else { return Ok(()) };
        for row in rows {
            let counts = !row.alias.is_latest() || self.latest_holds || row.protected;
            let yields = self.drops_aliases && (!row.protected || self.admin);
            if counts && !yields {
                holders.push(Holder::Alias {
                    version: self.name(collection, index)?,
                    alias: row.alias,
                    protected: row.protected,
                });
            }
        }
        Ok(())
    }

    /// All that forbids the end of a version; `counts` says of each link whether
    /// it matters.
    fn version(
        &mut self,
        version: VersionId,
        own: (CollectionId, VersionIndex),
        holders: &mut Vec<Holder>,
        mut counts: impl FnMut(&MembershipRow) -> bool,
    ) -> Result<(), Refusal> {
        for member in self.view.memberships_of(version)? {
            let is_link = member.collection != own.0;
            if is_link && !counts(&member) {
                continue;
            }
            self.aliases(member.collection, member.index, holders)?;
            if is_link && !self.drops_links {
                holders.push(Holder::Link {
                    version: self.name(own.0, own.1)?,
                    link: self.name(member.collection, member.index)?,
                });
            }
        }
        Ok(())
    }

    fn name(&mut self, collection: CollectionId, index: VersionIndex) -> Result<String, Refusal> {
        let name = match self.names.entry(collection) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(slot) => slot.insert(match self.view.collection_by_id(collection)? {
                Some(row) => row.name.to_string(),
                None => collection.to_string(),
            }),
        };
        Ok(format!("{name}:{index}"))
    }
}

/// Committed versions of a collection's own, oldest first.
pub(super) fn each_version(
    view: &dyn View,
    collection: CollectionId,
    mut visit: impl FnMut(VersionRow),
) -> Result<(), Refusal> {
    let mut after = None;
    loop {
        let page = view.memberships(collection, after, Order::Oldest, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.index);
        let ids: Vec<VersionId> = page.iter().map(|member| member.version).collect();
        for version in view.versions(&ids)? {
            if version.state.is_committed() && version.collection == collection {
                visit(version);
            }
        }
    }
}

fn each_membership(
    view: &dyn View,
    collection: CollectionId,
    mut visit: impl FnMut(MembershipRow),
) -> Result<(), Refusal> {
    let mut after = None;
    loop {
        let page = view.memberships(collection, after, Order::Oldest, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.index);
        page.into_iter().for_each(&mut visit);
    }
}
