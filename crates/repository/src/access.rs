//! Who may do what: checked before anything is read or changed, so that what a
//! caller may not see is answered exactly as if it did not exist.

use heirloom_api::{Problem, ProjectRef};
use heirloom_catalog::rules::{self, Refusal, Resolved};
use heirloom_catalog::{CollectionRow, ProjectRow, RunRow, VersionRow, VersionState, View};
use heirloom_core::{
    ArtifactRef, Caller, CollectionId, ErrorCode, ProjectId, ProjectName, Role, RunId, Selector,
    VersionId,
};

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

/// What a reference names, where the caller has `wanted`. Of the names near to one
/// that does not exist, only those that the caller may see are told.
pub(crate) fn resolve(
    view: &dyn View,
    caller: &Caller,
    default: &ProjectRef,
    reference: &ArtifactRef,
    wanted: Role,
) -> Result<Resolved, Failure> {
    let named = named(default, reference);
    require_named(caller, &named, wanted)?;
    let resolved = rules::resolve(view, reference, &default.entity, &default.project);
    if let Err(Refusal::NotFound { what: "version", .. }) = &resolved
        && let Some(problem) = deleted(view, default, reference)?
    {
        return Err(problem.into());
    }
    resolved.map_err(|mut refusal| {
        if let Refusal::NotFound { what: "project", nearest, .. } = &mut refusal {
            nearest.retain(|name| {
                ProjectName::new(name)
                    .is_ok_and(|name| caller.role_in(&named.entity, &name).is_some())
            });
        }
        refusal.into()
    })
}

/// That the version of this number was there once.
fn deleted(
    view: &dyn View,
    default: &ProjectRef,
    reference: &ArtifactRef,
) -> Result<Option<Problem>, Failure> {
    let Selector::Index(index) = reference.selector() else { return Ok(None) };
    let (_, collection) =
        rules::resolve_collection(view, reference, &default.entity, &default.project)?;
    let Some(member) = view.membership(collection.id, *index)? else { return Ok(None) };
    let how = match view.version(member.version)?.map(|version| version.state) {
        Some(VersionState::Deleted { .. }) => "is deleted",
        Some(VersionState::Purged) => "was purged: its time to be restored is over",
        Some(VersionState::Committed) | None => return Ok(None),
    };
    let what = format!("version `{}:{index}` {how}", collection.name);
    Ok(Some(Problem::new(ErrorCode::NotFound, what)))
}

/// The project that a reference means.
pub(crate) fn named(default: &ProjectRef, reference: &ArtifactRef) -> ProjectRef {
    ProjectRef {
        entity: reference.entity().unwrap_or(&default.entity).clone(),
        project: reference.project().unwrap_or(&default.project).clone(),
    }
}

/// A version with its home collection and project.
pub(crate) type Placed = (VersionRow, CollectionRow, ProjectRow);

/// A version that the caller may read through any of its memberships.
pub(crate) fn version(view: &dyn View, caller: &Caller, id: VersionId) -> Result<Placed, Failure> {
    visible_version(view, caller, id)?.ok_or_else(|| Problem::not_found("version", id).into())
}

/// The version, if it exists and the caller may read it. A catalog that fails is
/// an error, never a version that does not exist.
pub(crate) fn visible_version(
    view: &dyn View,
    caller: &Caller,
    id: VersionId,
) -> Result<Option<Placed>, Failure> {
    let Some(row) = view.version(id)? else { return Ok(None) };
    let (home, project) = home_of(view, row.collection)?;
    if caller.role_in(&project.entity, &project.name).is_some() {
        return Ok(Some((row, home, project)));
    }
    for membership in view.memberships_of(id)? {
        let (_, through) = home_of(view, membership.collection)?;
        if caller.role_in(&through.entity, &through.name).is_some() {
            return Ok(Some((row, home, project)));
        }
    }
    Ok(None)
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

/// The run, if it exists and the caller may read its project.
pub(crate) fn visible_run(
    view: &dyn View,
    caller: &Caller,
    id: RunId,
) -> Result<Option<(RunRow, ProjectRow)>, Failure> {
    let Some(row) = view.run(id)? else { return Ok(None) };
    Ok(may_read(view, caller, row.project)?.map(|project| (row, project)))
}

/// A run in a project where the caller has `wanted`.
pub(crate) fn run(
    view: &dyn View,
    caller: &Caller,
    id: RunId,
    wanted: Role,
) -> Result<(RunRow, ProjectRow), Failure> {
    let (row, project) =
        visible_run(view, caller, id)?.ok_or_else(|| Problem::not_found("run", id))?;
    let named = ProjectRef { entity: project.entity.clone(), project: project.name.clone() };
    require_named(caller, &named, wanted)?;
    Ok((row, project))
}
