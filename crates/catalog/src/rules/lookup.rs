//! From names to rows: projects, collections through redirects, versions
//! through memberships.

use heirloom_core::{
    Alias, ArtifactName, ArtifactRef, ArtifactType, CollectionId, EntityName, ProjectId,
    ProjectName, Selector, VersionId, VersionIndex,
};

use super::nearest::nearest;
use super::refusal::Refusal;
use crate::error::CatalogError;
use crate::row::{CollectionKind, CollectionRow, MembershipRow, ProjectRow, RunRow, VersionRow};
use crate::view::{Order, View};

/// Most names looked at to find those near to a mistyped one.
const NAMES_SEARCHED: usize = 10_000;

/// Names read at once.
const PAGE: usize = 512;

/// What a reference names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The project of the collection.
    pub project: ProjectRow,
    /// The collection, under its present name.
    pub collection: CollectionRow,
    /// The version's place in it.
    pub membership: MembershipRow,
    /// The version, which is committed.
    pub version: VersionRow,
}

/// The version that a reference names. Old names of collections are followed;
/// no version means `latest`; a digest means the newest version that has it;
/// what is deleted does not exist.
///
/// # Errors
/// [`Refusal::NotFound`] naming what does not exist (`project`, `artifact`,
/// `alias` or `version`) and the nearest names.
pub fn resolve(
    view: &dyn View,
    reference: &ArtifactRef,
    default_entity: &EntityName,
    default_project: &ProjectName,
) -> Result<Resolved, Refusal> {
    let (project, collection) =
        resolve_collection(view, reference, default_entity, default_project)?;
    let name = &collection.name;
    let missing = |what| Refusal::not_found(what, reference);
    let membership = match reference.selector() {
        Selector::Unspecified => by_alias(view, &collection, &Alias::latest())?,
        Selector::Alias(alias) => by_alias(view, &collection, alias)?,
        Selector::Index(index) => view
            .membership(collection.id, *index)?
            .ok_or_else(|| Refusal::not_found("version", format_args!("{name}:{index}")))?,
        Selector::Digest(digest) => view
            .by_digest(collection.id, digest)?
            .into_iter()
            .next()
            .ok_or_else(|| missing("version"))?,
    };
    let version = view
        .version(membership.version)?
        .filter(|version| version.state.is_committed())
        .ok_or_else(|| {
            Refusal::not_found("version", format_args!("{name}:{}", membership.index))
        })?;
    Ok(Resolved { project, collection, membership, version })
}

/// The project and collection that a reference names, whatever its selector.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_collection(
    view: &dyn View,
    reference: &ArtifactRef,
    default_entity: &EntityName,
    default_project: &ProjectName,
) -> Result<(ProjectRow, CollectionRow), Refusal> {
    let entity = reference.entity().unwrap_or(default_entity);
    let project = find_project(view, entity, reference.project().unwrap_or(default_project))?;
    match find_collection(view, project.id, reference.name())? {
        Some(collection) => Ok((project, collection)),
        None => Err(Refusal::NotFound {
            what: "artifact",
            name: reference.name().to_string(),
            nearest: nearest_collections(view, project.id, reference.name())?,
        }),
    }
}

/// The project of that name.
///
/// # Errors
/// [`Refusal::NotFound`] with the nearest names of the same entity.
pub fn find_project(
    view: &dyn View,
    entity: &EntityName,
    name: &ProjectName,
) -> Result<ProjectRow, Refusal> {
    if let Some(row) = view.project(entity, name)? {
        return Ok(row);
    }
    let mut names = Vec::new();
    let mut seen = 0;
    let mut after: Option<ProjectRow> = None;
    while seen < NAMES_SEARCHED {
        let page = view.projects(after.as_ref().map(|row| (&row.entity, &row.name)), PAGE)?;
        seen += page.len();
        names.extend(page.iter().filter(|row| row.entity == *entity).map(|r| r.name.to_string()));
        after = page.last().cloned();
        if page.len() < PAGE {
            break;
        }
    }
    Err(Refusal::NotFound {
        what: "project",
        name: format!("{entity}/{name}"),
        nearest: nearest(name.as_str(), names),
    })
}

/// The collection of that name, or the one that had it before and was renamed.
///
/// # Errors
/// The catalog's own failure.
pub fn find_collection(
    view: &dyn View,
    project: ProjectId,
    name: &ArtifactName,
) -> Result<Option<CollectionRow>, CatalogError> {
    if let Some(row) = view.collection(project, name)? {
        return Ok(Some(row));
    }
    let Some(id) = view.redirect(project, name)? else { return Ok(None) };
    Ok(view.collection_by_id(id)?.filter(|row| row.deleted_at.is_none()))
}

/// Names of collections near to one that does not exist.
///
/// # Errors
/// The catalog's own failure.
pub fn nearest_collections(
    view: &dyn View,
    project: ProjectId,
    name: &ArtifactName,
) -> Result<Vec<String>, CatalogError> {
    let mut names = Vec::new();
    let mut after: Option<ArtifactName> = None;
    while names.len() < NAMES_SEARCHED {
        let page = view.collections(project, after.as_ref(), PAGE)?;
        names.extend(page.iter().map(|row| row.name.to_string()));
        after = page.last().map(|row| row.name.clone());
        if page.len() < PAGE {
            break;
        }
    }
    Ok(nearest(name.as_str(), names))
}

/// The place of a committed version in a collection.
///
/// # Errors
/// [`Refusal::NotFound`] when there is none, or the version is deleted.
pub fn membership_of(
    view: &dyn View,
    collection: &CollectionRow,
    index: VersionIndex,
) -> Result<(MembershipRow, VersionRow), Refusal> {
    let missing = || Refusal::not_found("version", format_args!("{}:{index}", collection.name));
    let membership = view.membership(collection.id, index)?.ok_or_else(missing)?;
    let version = view
        .version(membership.version)?
        .filter(|version| version.state.is_committed())
        .ok_or_else(missing)?;
    Ok((membership, version))
}

fn by_alias(
    view: &dyn View,
    collection: &CollectionRow,
    alias: &Alias,
) -> Result<MembershipRow, Refusal> {
    match view.alias(collection.id, alias)? {
        Some(row) => {
            Ok(view.membership(collection.id, row.index)?.ok_or_else(|| CatalogError::Damaged {
                what: format!(
                    "alias {}:{alias} names {}, which is absent",
                    collection.name, row.index
                ),
            })?)
        }
        None => Err(alias_missing(view, collection, alias)?),
    }
}

pub(super) fn alias_missing(
    view: &dyn View,
    collection: &CollectionRow,
    alias: &Alias,
) -> Result<Refusal, CatalogError> {
    let names = view.aliases(collection.id)?.into_iter().map(|row| row.alias.to_string());
    Ok(Refusal::NotFound {
        what: "alias",
        name: format!("{}:{alias}", collection.name),
        nearest: nearest(alias.as_str(), names),
    })
}

pub(super) fn live_collection(view: &dyn View, id: CollectionId) -> Result<CollectionRow, Refusal> {
    view.collection_by_id(id)?
        .filter(|row| row.deleted_at.is_none())
        .ok_or_else(|| Refusal::not_found("artifact", id))
}

pub(super) fn committed_version(view: &dyn View, id: VersionId) -> Result<VersionRow, Refusal> {
    view.version(id)?
        .filter(|version| version.state.is_committed())
        .ok_or_else(|| Refusal::not_found("version", id))
}

pub(super) fn existing_run(view: &dyn View, id: heirloom_core::RunId) -> Result<RunRow, Refusal> {
    view.run(id)?.ok_or_else(|| Refusal::not_found("run", id))
}

/// A collection that versions may be logged to, of the type asked for; `None`
/// when it is still to be made, for which a type is needed.
pub(super) fn loggable(
    view: &dyn View,
    project: ProjectId,
    name: &ArtifactName,
    asked: Option<&ArtifactType>,
) -> Result<Option<CollectionRow>, Refusal> {
    let Some(row) = find_collection(view, project, name)? else {
        if view.project_by_id(project)?.is_none() {
            return Err(Refusal::not_found("project", project));
        }
        return match asked {
            Some(_) => Ok(None),
            None => Err(Refusal::NeedsType { name: name.clone() }),
        };
    };
    if row.kind == CollectionKind::Portfolio {
        return Err(Refusal::IsPortfolio { name: row.name });
    }
    check_type(&row, asked)?;
    Ok(Some(row))
}

pub(super) fn check_type(row: &CollectionRow, asked: Option<&ArtifactType>) -> Result<(), Refusal> {
    match asked {
        Some(asked) if *asked != row.artifact_type => Err(Refusal::WrongType {
            name: row.name.clone(),
            existing: row.artifact_type.clone(),
            asked: asked.clone(),
        }),
        _ => Ok(()),
    }
}

/// The highest number of a committed version that `without` does not exclude.
pub(super) fn newest_except(
    view: &dyn View,
    collection: CollectionId,
    without: impl Fn(VersionIndex) -> bool,
) -> Result<Option<VersionIndex>, CatalogError> {
    // Most deletions leave the newest alone or take it alone: small pages first.
    let mut limit = 4;
    let mut after = None;
    loop {
        let page = view.memberships(collection, after, Order::Newest, limit)?;
        for row in &page {
            if !without(row.index)
                && view.version(row.version)?.is_some_and(|v| v.state.is_committed())
            {
                return Ok(Some(row.index));
            }
        }
        if page.len() < limit {
            return Ok(None);
        }
        after = page.last().map(|row| row.index);
        limit = PAGE;
    }
}
