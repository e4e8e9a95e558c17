//! Reading names: projects, runs, collections, versions, history.

use heirloom_api::{
    CollectionDoc, EventDoc, ListVersions, Problem, ProjectDoc, ProjectRef, RunDoc, RunVersion,
    VersionDoc,
};
use heirloom_catalog::rules::{self, Refusal};
use heirloom_catalog::{CatalogExt, CollectionRow, EdgeKind, Order, ProjectRow, View};
use heirloom_core::{ArtifactName, ArtifactRef, Caller, Role, RunId, RunName, VersionId};

use crate::delete::find_even_deleted;
use crate::problem::Failure;
use crate::{Inner, access, docs};

/// Most rows that one call answers.
pub(crate) const MAX_PAGE: usize = 10_000;

pub(crate) fn projects(inner: &Inner, caller: &Caller) -> Result<Vec<ProjectDoc>, Failure> {
    inner.catalog.view(|view| {
        let mut out = Vec::new();
        let mut after: Option<ProjectRow> = None;
        loop {
            let page = view.projects(after.as_ref().map(|row| (&row.entity, &row.name)), 1000)?;
            let Some(last) = page.last().cloned() else { return Ok(out) };
            after = Some(last);
            for row in page {
                if caller.role_in(&row.entity, &row.name).is_some() {
                    out.push(docs::project(view, &row)?);
                }
            }
        }
    })
}

pub(crate) fn run(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    name: &RunName,
) -> Result<RunDoc, Failure> {
    inner.catalog.view(|view| {
        let project = access::project(view, caller, project, Role::Viewer)?;
        match view.run_by_name(project.id, name)? {
            Some(row) => docs::run(&row, &project),
            None => Err(Problem::not_found("run", name).into()),
        }
    })
}

pub(crate) fn runs(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    after: Option<&RunName>,
    limit: usize,
) -> Result<Vec<RunDoc>, Failure> {
    inner.catalog.view(|view| {
        let project = access::project(view, caller, project, Role::Viewer)?;
        let before = match after {
            None => None,
            Some(name) => {
                let run = view.run_by_name(project.id, name)?;
                let run = run.ok_or_else(|| Problem::not_found("run", name))?;
                Some((run.started_at, run.id))
            }
        };
        view.runs_of(project.id, before, limit.min(MAX_PAGE))?
            .iter()
            .map(|row| docs::run(row, &project))
            .collect()
    })
}

/// Versions that a run (produced, used), oldest first.
pub(crate) fn run_versions(
    inner: &Inner,
    caller: &Caller,
    run: RunId,
) -> Result<(Vec<RunVersion>, Vec<RunVersion>), Failure> {
    inner.catalog.view(|view| {
        access::run(view, caller, run, Role::Viewer)?;
        let mut edges = view.edges_of_runs(&[run], None)?;
        edges.sort_by_key(|edge| (edge.at, edge.version));
        let (mut produced, mut used) = (Vec::new(), Vec::new());
        for edge in edges {
            let Some((row, _, _)) = access::visible_version(view, caller, edge.version)? else {
                continue;
            };
            let entry = RunVersion {
                version: docs::version_ref(view, &row)?,
                at: edge.at,
                asked: edge.asked,
            };
            match edge.kind {
                EdgeKind::Produced => produced.push(entry),
                EdgeKind::Used => used.push(entry),
            }
        }
        Ok((produced, used))
    })
}

/// Runs that a version was (produced by, used by), oldest first.
pub(crate) fn version_runs(
    inner: &Inner,
    caller: &Caller,
    version: VersionId,
) -> Result<(Vec<RunDoc>, Vec<RunDoc>), Failure> {
    inner.catalog.view(|view| {
        access::version(view, caller, version)?;
        let mut edges = view.edges_of_versions(&[version], None)?;
        edges.sort_by_key(|edge| (edge.at, edge.run));
        let (mut producers, mut users) = (Vec::new(), Vec::new());
        for edge in edges {
            let Some((row, project)) = access::visible_run(view, caller, edge.run)? else {
                continue;
            };
            let doc = docs::run(&row, &project)?;
            match edge.kind {
                EdgeKind::Produced => producers.push(doc),
                EdgeKind::Used => users.push(doc),
            }
        }
        Ok((producers, users))
    })
}

pub(crate) fn resolve(
    inner: &Inner,
    caller: &Caller,
    default: &ProjectRef,
    reference: &ArtifactRef,
) -> Result<VersionDoc, Failure> {
    inner.catalog.view(|view| {
        let found = access::resolve(view, caller, default, reference, Role::Viewer)?;
        docs::version(
            view,
            caller,
            &found.version,
            &found.membership,
            &found.collection,
            &found.project,
        )
    })
}

/// A collection by name, old names followed, nearest names suggested.
pub(crate) fn find(
    view: &dyn View,
    caller: &Caller,
    project: &ProjectRef,
    name: &ArtifactName,
    wanted: Role,
) -> Result<(ProjectRow, CollectionRow), Failure> {
    let project = access::project(view, caller, project, wanted)?;
    match rules::find_collection(view, project.id, name)? {
        Some(row) => Ok((project, row)),
        None => Err(Refusal::NotFound {
            what: "artifact",
            name: name.to_string(),
            nearest: rules::nearest_collections(view, project.id, name)?,
        }
        .into()),
    }
}

pub(crate) fn collections(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    after: Option<&ArtifactName>,
    limit: usize,
) -> Result<Vec<CollectionDoc>, Failure> {
    inner.catalog.view(|view| {
        access::require_named(caller, project, Role::Viewer)?;
        // A project that nobody has written to yet is empty, not an error.
        let Some(project) = view.project(&project.entity, &project.project)? else {
            return Ok(Vec::new());
        };
        view.collections(project.id, after, limit.min(MAX_PAGE))?
            .iter()
            .map(|row| docs::collection(view, caller, row, &project))
            .collect()
    })
}

pub(crate) fn collection(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    name: &ArtifactName,
) -> Result<CollectionDoc, Failure> {
    inner.catalog.view(|view| {
        let (project, row) = find(view, caller, project, name, Role::Viewer)?;
        docs::collection(view, caller, &row, &project)
    })
}

pub(crate) fn versions(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    name: &ArtifactName,
    list: &ListVersions,
) -> Result<Vec<VersionDoc>, Failure> {
    inner.catalog.view(|view| {
        let (project, collection) = match list.deleted {
            true => find_even_deleted(view, caller, project, name)?,
            false => find(view, caller, project, name, Role::Viewer)?,
        };
        let limit = list.limit.min(MAX_PAGE);
        let mut out = Vec::new();
        let mut before = list.before;
        while out.len() < limit {
            let page = view.memberships(collection.id, before, Order::Newest, limit)?;
            let Some(last) = page.last() else { break };
            before = Some(last.index);
            for membership in &page {
                let Some(row) = view.version(membership.version)? else { continue };
                if out.len() < limit && (list.deleted || row.state.is_committed()) {
                    out.push(docs::version(view, caller, &row, membership, &collection, &project)?);
                }
            }
        }
        Ok(out)
    })
}

pub(crate) fn events(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    name: &ArtifactName,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<EventDoc>, Failure> {
    inner.catalog.view(|view| {
        let (_, collection) = find_even_deleted(view, caller, project, name)?;
        view.events(collection.id, before, limit.min(MAX_PAGE))?
            .into_iter()
            .map(|row| docs::event(view, caller, row))
            .collect()
    })
}
