//! Portfolios: links to versions of other collections, each with a number and
//! aliases of its own.

use std::collections::BTreeSet;

use heirloom_core::{Alias, ArtifactName, CollectionId, ProjectId, Ttl, VersionId, VersionIndex};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::alias::{advance_latest, drop_aliases_of, put_aliases};
use super::commit::fresh_collection;
use super::journal::event;
use super::lookup::{check_type, committed_version, find_collection, live_collection};
use super::{By, Decision, Refusal};
use crate::row::{CollectionKind, CollectionRow, EventKind, MembershipRow};
use crate::view::{Edit, View};

/// Links a version into a portfolio.
#[derive(Debug, Clone, Copy)]
pub struct Link<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The version.
    pub version: VersionId,
    /// The portfolio's project.
    pub project: ProjectId,
    /// The portfolio, made with the version's type when it does not exist.
    pub name: &'a ArtifactName,
    /// Fresh id, used when the portfolio is made.
    pub collection: CollectionId,
    /// Aliases for the link.
    pub aliases: &'a [Alias],
}

/// Removes a link.
#[derive(Debug, Clone, Copy)]
pub struct Unlink<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The portfolio.
    pub collection: CollectionId,
    /// The link's number.
    pub index: VersionIndex,
}

/// A link's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Linked {
    /// The portfolio.
    pub collection: CollectionId,
    /// Its present name.
    pub name: ArtifactName,
    /// The link's number.
    pub index: VersionIndex,
    /// Whether the link was made; otherwise it was there.
    pub created: bool,
}

/// What was unlinked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unlinked {
    /// The version, which stays where it is.
    pub version: VersionId,
}

/// Links a version into a portfolio. A version that is linked there already
/// keeps its newest link, which gets the aliases.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::NotPortfolio`], [`Refusal::WrongType`],
/// [`Refusal::ProtectedAlias`], [`Refusal::IdTaken`].
pub fn link(view: &dyn View, request: &Link<'_>) -> Result<Decision<Linked>, Refusal> {
    let by = request.by;
    let version = committed_version(view, request.version)?;
    let source = live_collection(view, version.collection)?;
    if view.project_by_id(request.project)?.is_none() {
        return Err(Refusal::not_found("project", request.project));
    }
    let mut edits = Vec::new();
    let before = match find_collection(view, request.project, request.name)? {
        Some(row) if row.kind == CollectionKind::Portfolio => {
            check_type(&row, Some(&source.artifact_type))?;
            row
        }
        Some(row) => return Err(Refusal::NotPortfolio { name: row.name }),
        None => fresh_collection(view, new_portfolio(request, &source), &mut edits)?,
    };
    let there = view
        .memberships_of(version.id)?
        .into_iter()
        .filter(|row| row.collection == before.id)
        .map(|row| row.index)
        .max();
    if let Some(index) = there {
        put_aliases(view, by, before.id, request.aliases, index, true, &mut edits)?;
        let answer = Linked { collection: before.id, name: before.name, index, created: false };
        return Ok(Decision { edits, answer });
    }
    let index = before.next_index;
    let row = CollectionRow { next_index: index.next(), ..before };
    let (id, name) = (row.id, row.name.clone());
    edits.push(Edit::PutCollection(row));
    edits.push(Edit::AddMembership(MembershipRow {
        collection: id,
        index,
        version: version.id,
        created_at: by.at,
    }));
    let detail = json!({
        "version": version.id,
        "digest": version.digest,
        "source": source.name,
        "source_index": version.index,
    });
    edits.push(event(by, EventKind::Linked, id, Some(index), None, detail));
    advance_latest(view, by, id, index, &mut edits)?;
    put_aliases(view, by, id, request.aliases, index, false, &mut edits)?;
    Ok(Decision { edits, answer: Linked { collection: id, name, index, created: true } })
}

/// Removes a link with its aliases; the version stays, the number is not used
/// again, and `latest` falls to the highest link that remains.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::NotPortfolio`] for a version's own place;
/// [`Refusal::ProtectedAlias`] when one is on the link.
pub fn unlink(view: &dyn View, request: &Unlink<'_>) -> Result<Decision<Unlinked>, Refusal> {
    let row = live_collection(view, request.collection)?;
    if row.kind != CollectionKind::Portfolio {
        return Err(Refusal::NotPortfolio { name: row.name });
    }
    let membership = view.membership(row.id, request.index)?.ok_or_else(|| {
        Refusal::not_found("version", format_args!("{}:{}", row.name, request.index))
    })?;
    if !request.by.admin {
        let aliases = view.aliases_of(row.id, request.index)?;
        if let Some(held) = aliases.into_iter().find(|alias| alias.protected) {
            return Err(Refusal::ProtectedAlias { alias: held.alias, index: held.index });
        }
    }
    let mut edits = Vec::new();
    remove_links(view, request.by, row.id, std::slice::from_ref(&membership), &mut edits)?;
    Ok(Decision { edits, answer: Unlinked { version: membership.version } })
}

/// Removes memberships of one portfolio.
pub(super) fn remove_links(
    view: &dyn View,
    by: By<'_>,
    portfolio: CollectionId,
    links: &[MembershipRow],
    edits: &mut Vec<Edit>,
) -> Result<(), Refusal> {
    let gone: BTreeSet<VersionIndex> = links.iter().map(|link| link.index).collect();
    drop_aliases_of(view, by, portfolio, &gone, edits)?;
    for link in links {
        edits.push(Edit::RemoveMembership { collection: portfolio, index: link.index });
        let detail = json!({ "version": link.version });
        edits.push(event(by, EventKind::Unlinked, portfolio, Some(link.index), None, detail));
    }
    Ok(())
}

fn new_portfolio(request: &Link<'_>, source: &CollectionRow) -> CollectionRow {
    CollectionRow {
        id: request.collection,
        project: request.project,
        name: request.name.clone(),
        artifact_type: source.artifact_type.clone(),
        kind: CollectionKind::Portfolio,
        description: None,
        ttl: Ttl::Inherit,
        retention: None,
        next_index: VersionIndex::ZERO,
        last_record: None,
        created_at: request.by.at,
        deleted_at: None,
    }
}
