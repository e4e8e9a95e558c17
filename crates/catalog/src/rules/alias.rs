//! Aliases: each names one committed version of its collection, and `latest`
//! is kept by the system.

use std::collections::BTreeSet;

use heirloom_core::{Alias, CollectionId, VersionIndex};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::journal::event;
use super::lookup::{alias_missing, live_collection, membership_of, newest_except};
use super::{By, Decision, Expected, Refusal};
use crate::error::CatalogError;
use crate::row::{AliasRow, EventKind};
use crate::view::{Edit, View};

/// Sets or moves an alias by hand.
#[derive(Debug, Clone, Copy)]
pub struct SetAlias<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The collection.
    pub collection: CollectionId,
    /// The alias; `latest` too, until the next commit.
    pub alias: &'a Alias,
    /// The number that it shall name.
    pub index: VersionIndex,
    /// What it must name now.
    pub expected: Expected,
}

/// Removes an alias.
#[derive(Debug, Clone, Copy)]
pub struct RemoveAlias<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The collection.
    pub collection: CollectionId,
    /// The alias; not `latest`.
    pub alias: &'a Alias,
    /// What it must name now.
    pub expected: Expected,
}

/// Protects an alias, or ends that. The caller must be an admin.
#[derive(Debug, Clone, Copy)]
pub struct ProtectAlias<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The collection.
    pub collection: CollectionId,
    /// The alias.
    pub alias: &'a Alias,
    /// Whether only an admin may move it from now on.
    pub protected: bool,
}

/// What an alias named before and names now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasChange {
    /// Before; `None` when it did not exist.
    pub from: Option<VersionIndex>,
    /// Now; `None` when it does not exist.
    pub to: Option<VersionIndex>,
}

/// Sets or moves an alias.
///
/// # Errors
/// [`Refusal::NotFound`] for an unknown or deleted version,
/// [`Refusal::AliasMoved`], [`Refusal::ProtectedAlias`].
pub fn set_alias(
    view: &dyn View,
    request: &SetAlias<'_>,
) -> Result<Decision<AliasChange>, Refusal> {
    let collection = live_collection(view, request.collection)?;
    membership_of(view, &collection, request.index)?;
    let from = view.alias(collection.id, request.alias)?.map(|row| row.index);
    check_expected(request.alias, request.expected, from)?;
    let mut edits = Vec::new();
    put_alias(view, request.by, collection.id, request.alias, request.index, &mut edits)?;
    Ok(Decision { edits, answer: AliasChange { from, to: Some(request.index) } })
}

/// Removes an alias.
///
/// # Errors
/// [`Refusal::SystemAlias`] for `latest`, [`Refusal::NotFound`],
/// [`Refusal::AliasMoved`], [`Refusal::ProtectedAlias`].
pub fn remove_alias(
    view: &dyn View,
    request: &RemoveAlias<'_>,
) -> Result<Decision<AliasChange>, Refusal> {
    if request.alias.is_latest() {
        return Err(Refusal::SystemAlias { alias: request.alias.clone() });
    }
    let collection = live_collection(view, request.collection)?;
    let Some(row) = view.alias(collection.id, request.alias)? else {
        check_expected(request.alias, request.expected, None)?;
        return Err(alias_missing(view, &collection, request.alias)?);
    };
    check_expected(request.alias, request.expected, Some(row.index))?;
    check_protected(request.by, &row)?;
    let from = Some(row.index);
    let mut edits = Vec::new();
    drop_alias(request.by, &row, false, &mut edits);
    Ok(Decision { edits, answer: AliasChange { from, to: None } })
}

/// Protects an alias, or ends that; the answer says whether anything changed.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::ProtectedAlias`] unless the caller is admin.
pub fn protect_alias(
    view: &dyn View,
    request: &ProtectAlias<'_>,
) -> Result<Decision<bool>, Refusal> {
    let collection = live_collection(view, request.collection)?;
    let Some(row) = view.alias(collection.id, request.alias)? else {
        return Err(alias_missing(view, &collection, request.alias)?);
    };
    check_protected(request.by, &row)?;
    if row.protected == request.protected {
        return Ok(Decision::unchanged(false));
    }
    let detail = json!({ "alias": row.alias, "protected": request.protected });
    let index = row.index;
    Ok(Decision {
        edits: vec![
            Edit::PutAlias(AliasRow { protected: request.protected, ..row }),
            event(request.by, EventKind::Updated, collection.id, Some(index), None, detail),
        ],
        answer: true,
    })
}

/// Puts an alias on a number, unless it is there already.
pub(super) fn put_alias(
    view: &dyn View,
    by: By<'_>,
    collection: CollectionId,
    alias: &Alias,
    to: VersionIndex,
    edits: &mut Vec<Edit>,
) -> Result<(), Refusal> {
    let found = view.alias(collection, alias)?;
    if let Some(row) = &found {
        if row.index == to {
            return Ok(());
        }
        check_protected(by, row)?;
    }
    move_to(by, collection, alias, found, to, false, edits);
    Ok(())
}

/// Aliases asked for by a commit or a link of version `to`, in the order asked.
/// `latest` among them is as [`advance_latest`] has it, or, when `hand` is set,
/// moved there unless it is protected.
pub(super) fn put_aliases(
    view: &dyn View,
    by: By<'_>,
    collection: CollectionId,
    aliases: &[Alias],
    to: VersionIndex,
    hand: bool,
    edits: &mut Vec<Edit>,
) -> Result<(), Refusal> {
    let mut done = BTreeSet::new();
    for alias in aliases.iter().filter(|alias| done.insert((*alias).clone())) {
        if !alias.is_latest() {
            put_alias(view, by, collection, alias, to, edits)?;
        } else if hand {
            // Clients ask for `latest` as a matter of course: a protected one
            // stays, and that is no reason to refuse what else they ask.
            let found = view.alias(collection, alias)?;
            if found.as_ref().is_none_or(|row| row.index != to && !row.protected) {
                move_to(by, collection, alias, found, to, false, edits);
            }
        }
    }
    Ok(())
}

/// What a commit or a new link does to `latest`: it moves there unless it is
/// protected or names a higher number.
pub(super) fn advance_latest(
    view: &dyn View,
    by: By<'_>,
    collection: CollectionId,
    to: VersionIndex,
    edits: &mut Vec<Edit>,
) -> Result<(), CatalogError> {
    let alias = Alias::latest();
    let found = view.alias(collection, &alias)?;
    if found.as_ref().is_none_or(|row| !row.protected && row.index < to) {
        move_to(by, collection, &alias, found, to, true, edits);
    }
    Ok(())
}

/// Takes all aliases off numbers that go away; `latest` falls to the highest
/// number that remains, or goes too when none does.
pub(super) fn drop_aliases_of(
    view: &dyn View,
    by: By<'_>,
    collection: CollectionId,
    gone: &BTreeSet<VersionIndex>,
    edits: &mut Vec<Edit>,
) -> Result<(), CatalogError> {
    for row in view.aliases(collection)? {
        if !gone.contains(&row.index) {
            continue;
        }
        let remaining = match row.alias.is_latest() {
            true => newest_except(view, collection, |index| gone.contains(&index))?,
            false => None,
        };
        match remaining {
            Some(to) => {
                let alias = row.alias.clone();
                move_to(by, collection, &alias, Some(row), to, true, edits);
            }
            None => drop_alias(by, &row, row.alias.is_latest(), edits),
        }
    }
    Ok(())
}

fn move_to(
    by: By<'_>,
    collection: CollectionId,
    alias: &Alias,
    found: Option<AliasRow>,
    to: VersionIndex,
    auto: bool,
    edits: &mut Vec<Edit>,
) {
    let from = found.as_ref().map(|row| row.index);
    let protected = found.is_some_and(|row| row.protected);
    edits.push(Edit::PutAlias(AliasRow { collection, alias: alias.clone(), index: to, protected }));
    let mut detail = json!({ "alias": alias, "from": from, "to": to });
    if auto {
        detail["auto"] = true.into();
    }
    edits.push(event(by, EventKind::AliasSet, collection, Some(to), None, detail));
}

fn drop_alias(by: By<'_>, row: &AliasRow, auto: bool, edits: &mut Vec<Edit>) {
    edits.push(Edit::RemoveAlias { collection: row.collection, alias: row.alias.clone() });
    let mut detail = json!({ "alias": row.alias, "from": row.index, "to": null });
    if auto {
        detail["auto"] = true.into();
    }
    edits.push(event(by, EventKind::AliasRemoved, row.collection, Some(row.index), None, detail));
}

fn check_protected(by: By<'_>, row: &AliasRow) -> Result<(), Refusal> {
    if row.protected && !by.admin {
        return Err(Refusal::ProtectedAlias { alias: row.alias.clone(), index: row.index });
    }
    Ok(())
}

fn check_expected(
    alias: &Alias,
    expected: Expected,
    found: Option<VersionIndex>,
) -> Result<(), Refusal> {
    let holds = match expected {
        Expected::Any => true,
        Expected::Absent => found.is_none(),
        Expected::Is(index) => found == Some(index),
    };
    match holds {
        true => Ok(()),
        false => Err(Refusal::AliasMoved { alias: alias.clone(), expected, found }),
    }
}
