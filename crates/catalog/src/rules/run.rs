//! Projects, runs, and what runs use.

use heirloom_core::{
    EntityName, ProjectId, ProjectName, RunId, RunState, Timestamp, Ttl, VersionId,
};

use serde_json::json;

use super::journal::event;
use super::lookup::{committed_version, existing_run};
use super::update::check_json_object;
use super::{By, Decision, Refusal};
use crate::row::{EdgeKind, EdgeRow, EventKind, ProjectRow, RunRow};
use crate::view::{Edit, View};

/// Makes a project unless it exists.
#[derive(Debug, Clone, Copy)]
pub struct EnsureProject<'a> {
    /// Owner.
    pub entity: &'a EntityName,
    /// Name.
    pub name: &'a ProjectName,
    /// Fresh id, used when the project is made.
    pub id: ProjectId,
    /// When.
    pub at: Timestamp,
}

/// Changes what a run says of itself. `None` leaves a field as it is.
#[derive(Debug, Clone, Copy)]
pub struct UpdateRun<'a> {
    /// The run.
    pub run: RunId,
    /// Name shown to people.
    pub display_name: Option<&'a str>,
    /// Kind of work; `Some(None)` removes it.
    pub job_type: Option<Option<&'a str>>,
    /// Group; `Some(None)` removes it.
    pub group: Option<Option<&'a str>>,
    /// A JSON object; `Some(None)` removes it.
    pub config: Option<Option<&'a str>>,
    /// A JSON object; `Some(None)` removes it.
    pub summary: Option<Option<&'a str>>,
}

/// Ends a run.
#[derive(Debug, Clone, Copy)]
pub struct FinishRun {
    /// The run.
    pub run: RunId,
    /// How; not `Running`.
    pub state: RunState,
    /// Exit code, when a command ended by itself.
    pub exit_code: Option<i32>,
    /// When.
    pub at: Timestamp,
}

/// Records that a run used a version.
#[derive(Debug, Clone, Copy)]
pub struct UseVersion<'a> {
    /// The run.
    pub run: RunId,
    /// The version.
    pub version: VersionId,
    /// The name asked by.
    pub asked: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

/// The project of that name, made when it does not exist.
///
/// # Errors
/// [`Refusal::IdTaken`].
pub fn ensure_project(
    view: &dyn View,
    request: &EnsureProject<'_>,
) -> Result<Decision<ProjectRow>, Refusal> {
    if let Some(row) = view.project(request.entity, request.name)? {
        return Ok(Decision::unchanged(row));
    }
    if view.project_by_id(request.id)?.is_some() {
        return Err(Refusal::IdTaken { what: "project", id: request.id.0.into() });
    }
    let row = ProjectRow {
        id: request.id,
        entity: request.entity.clone(),
        name: request.name.clone(),
        created_at: request.at,
        ttl: Ttl::Inherit,
    };
    Ok(Decision { edits: vec![Edit::PutProject(row.clone())], answer: row })
}

/// Starts a run; the row is the request. Starting the very run again (same id)
/// gives what is there.
///
/// # Errors
/// [`Refusal::NameTaken`] when another run of the project has the name,
/// [`Refusal::InvalidMetadata`], [`Refusal::NotFound`] for the project.
pub fn start_run(view: &dyn View, run: &RunRow) -> Result<Decision<RunRow>, Refusal> {
    if view.project_by_id(run.project)?.is_none() {
        return Err(Refusal::not_found("project", run.project));
    }
    if let Some(row) = view.run_by_name(run.project, &run.name)? {
        return match row.id == run.id {
            true => Ok(Decision::unchanged(row)),
            false => Err(Refusal::NameTaken { what: "run", name: run.name.to_string() }),
        };
    }
    if view.run(run.id)?.is_some() {
        return Err(Refusal::IdTaken { what: "run", id: run.id.get().into() });
    }
    check_json_object("config", run.config.as_deref())?;
    check_json_object("summary", run.summary.as_deref())?;
    Ok(Decision { edits: vec![Edit::PutRun(run.clone())], answer: run.clone() })
}

/// Changes what a run says of itself, ended or not.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::InvalidMetadata`].
pub fn update_run(view: &dyn View, request: &UpdateRun<'_>) -> Result<Decision<RunRow>, Refusal> {
    let before = existing_run(view, request.run)?;
    let mut run = before.clone();
    if let Some(name) = request.display_name {
        run.display_name = name.to_owned();
    }
    let set = |field: &mut Option<String>, value: Option<Option<&str>>| {
        if let Some(value) = value {
            *field = value.map(str::to_owned);
        }
    };
    set(&mut run.job_type, request.job_type);
    set(&mut run.group, request.group);
    set(&mut run.config, request.config);
    set(&mut run.summary, request.summary);
    check_json_object("config", request.config.flatten())?;
    check_json_object("summary", request.summary.flatten())?;
    put_if_changed(before, run)
}

/// Ends a run. Ending it again in the same way changes nothing; a run taken for
/// crashed may still report how it really ended.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::RunEnded`] when it ended otherwise.
pub fn finish_run(view: &dyn View, request: &FinishRun) -> Result<Decision<RunRow>, Refusal> {
    let before = existing_run(view, request.run)?;
    if before.state == request.state && before.exit_code == request.exit_code {
        return Ok(Decision::unchanged(before));
    }
    if !matches!(before.state, RunState::Running | RunState::Crashed) {
        return Err(Refusal::RunEnded { run: before.name, state: before.state });
    }
    let run = RunRow {
        state: request.state,
        exit_code: request.exit_code,
        ended_at: (request.state != RunState::Running).then_some(request.at),
        ..before.clone()
    };
    put_if_changed(before, run)
}

/// Records that a run used a version; the answer says whether that was new.
///
/// # Errors
/// [`Refusal::NotFound`] for the run, or a version that is absent or deleted.
pub fn use_version(view: &dyn View, request: &UseVersion<'_>) -> Result<Decision<bool>, Refusal> {
    let run = existing_run(view, request.run)?;
    let version = committed_version(view, request.version)?;
    if view.edge(EdgeKind::Used, request.run, request.version)?.is_some() {
        return Ok(Decision::unchanged(false));
    }
    let edge = EdgeRow {
        kind: EdgeKind::Used,
        run: request.run,
        version: request.version,
        at: request.at,
        asked: request.asked.map(str::to_owned),
    };
    let by = By { actor: &run.actor, at: request.at, admin: false };
    let detail = json!({ "asked": request.asked });
    let (collection, index) = (version.collection, Some(version.index));
    let event = event(by, EventKind::Used, collection, index, Some(run.id), detail);
    Ok(Decision { edits: vec![Edit::AddEdge(edge), event], answer: true })
}

fn put_if_changed(before: RunRow, run: RunRow) -> Result<Decision<RunRow>, Refusal> {
    let edits = if before == run { Vec::new() } else { vec![Edit::PutRun(run.clone())] };
    Ok(Decision { edits, answer: run })
}
