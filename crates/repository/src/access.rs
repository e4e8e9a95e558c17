//! Who may do what: checked before anything is read or changed, so that what a
//! caller may not see is answered exactly as if it did not exist.

use heirloom_api::{Problem, ProjectRef};
use heirloom_catalog::{CollectionRow, ProjectRow, RunRow, VersionRow, View};
use heirloom_core::{Caller, CollectionId, ErrorCode, ProjectId, Role, RunId, VersionId};

use crate::problem::Failure;

/// Refuses unless the caller has at least `wanted` in the project named.
pub(crate) fn require_named(
    caller: &Caller,
    project: &ProjectRef,
    wanted: Role,
) -> Result<(), Problem> {
    match caller.role_in(&project.entity, &project.project) {
        Some(role) if role >= wanted => Ok(()),
        Some(_) => Err(Problem::new(
            ErrorCode::Forbidden,
            format!(
                "{} may not change project `{}/{}`",
                caller.actor(),
                project.entity,
                project.project
            ),
        )),
        None => Err(no_project(project)),
    }
}

pub(crate) fn no_project(project: &ProjectRef) -> Problem {
    Problem::not_found("project", format_args!("{}/{}", project.entity, project.project))
}

/// The project, if it exists and the caller has `wanted` in it.
pub(crate) fn project(
    view: &dyn View,
    caller: &Caller,
    named: &ProjectRef,
    wanted: Role,
) -> Result<ProjectRow, Failure> {
    require_named(caller, named, wanted)?;
    view.project(&named.entity, &named.project)?.ok_or_else(|| no_project(named).into())
}

/// Whether the caller may read what is in this project.
pub(crate) fn may_read(
    view: &dyn View,
    caller: &Caller,
    project: ProjectId,
) -> Result<Option<ProjectRow>, Failure> {
    Ok(view.project_by_id(project)?.filter(|row| caller.role_in(&row.entity, &row.name).is_some()))
}

/// A version that the caller may read through any of its memberships, with its
/// home collection and project.
pub(crate) fn version(
    view: &dyn View,
    caller: &Caller,
    id: VersionId,
) -> Result<(VersionRow, CollectionRow, ProjectRow), Failure> {
    let unknown = || Failure::from(Problem::not_found("version", id));
    let row = view.version(id)?.ok_or_else(unknown)?;
    let (home, project) = home_of(view, row.collection)?;
    if caller.role_in(&project.entity, &project.name).is_some() {
        return Ok((row, home, project));
    }
    for membership in view.memberships_of(id)? {
        let (_, through) = home_of(view, membership.collection)?;
        if caller.role_in(&through.entity, &through.name).is_some() {
            return Ok((row, home, project));
        }
    }
    Err(unknown())
}

/// A collection and its project by id.
pub(crate) fn home_of(
    view: &dyn View,
    id: CollectionId,
) -> Result<(CollectionRow, ProjectRow), Failure> {
    let dangling = |what| {
        Failure::from(Problem::new(
            ErrorCode::Corrupt,
            format!("the catalog is damaged: {what} is missing"),
        ))
    };
    let collection = view.collection_by_id(id)?.ok_or_else(|| dangling("a collection"))?;
    let project = view.project_by_id(collection.project)?.ok_or_else(|| dangling("a project"))?;
    Ok((collection, project))
}

/// A run in a project where the caller has `wanted`.
pub(crate) fn run(
    view: &dyn View,
    caller: &Caller,
    id: RunId,
    wanted: Role,
) -> Result<(RunRow, ProjectRow), Failure> {
    let unknown = || Failure::from(Problem::not_found("run", id));
    let row = view.run(id)?.ok_or_else(unknown)?;
    let project = may_read(view, caller, row.project)?.ok_or_else(unknown)?;
    let named = ProjectRef { entity: project.entity.clone(), project: project.name.clone() };
    require_named(caller, &named, wanted)?;
    Ok((row, project))
}
