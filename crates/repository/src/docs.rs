//! Rows of the catalog as documents.

use heirloom_api::{
    CollectionDoc, EventDoc, Problem, ProjectDoc, RunDoc, RunRef, StateDoc, VersionDoc, VersionRef,
};
use heirloom_catalog::rules;
use heirloom_catalog::{
    CollectionKind, CollectionRow, EventRow, MembershipRow, ProjectRow, RunRow, VersionRow,
    VersionState, View,
};
use heirloom_core::{Caller, ErrorCode, RunId};

use crate::access::{self, home_of};
use crate::problem::Failure;

pub(crate) fn state(state: VersionState) -> StateDoc {
    match state {
        VersionState::Committed => StateDoc::Committed,
        VersionState::Deleted { .. } => StateDoc::Deleted,
        VersionState::Purged => StateDoc::Purged,
    }
}

pub(crate) fn run_ref(run: &RunRow, project: &ProjectRow) -> RunRef {
    RunRef {
        id: run.id,
        entity: project.entity.clone(),
        project: project.name.clone(),
        name: run.name.clone(),
    }
}

/// A run's name, unless it is in a project that the caller may not see.
fn visible_run_ref(
    view: &dyn View,
    caller: &Caller,
    id: Option<RunId>,
) -> Result<Option<RunRef>, Failure> {
    let Some(id) = id else { return Ok(None) };
    Ok(access::visible_run(view, caller, id)?.map(|(run, project)| run_ref(&run, &project)))
}

pub(crate) fn run(row: &RunRow, project: &ProjectRow) -> Result<RunDoc, Failure> {
    Ok(RunDoc {
        run: run_ref(row, project),
        display_name: row.display_name.clone(),
        job_type: row.job_type.clone(),
        group: row.group.clone(),
        config: json(row.config.as_deref())?,
        summary: json(row.summary.as_deref())?,
        state: row.state,
        exit_code: row.exit_code,
        started_at: row.started_at,
        ended_at: row.ended_at,
        actor: row.actor.clone(),
        provenance: row.provenance.clone(),
    })
}

pub(crate) fn project(view: &dyn View, row: &ProjectRow) -> Result<ProjectDoc, Failure> {
    let mut collections = 0;
    let mut after = None;
    loop {
        let page = view.collections(row.id, after.as_ref(), 1000)?;
        collections += page.len() as u64;
        match page.into_iter().next_back() {
            Some(last) => after = Some(last.name),
            None => break,
        }
    }
    Ok(ProjectDoc {
        entity: row.entity.clone(),
        name: row.name.clone(),
        created_at: row.created_at,
        collections,
        ttl: row.ttl,
    })
}

pub(crate) fn collection(
    view: &dyn View,
    caller: &Caller,
    row: &CollectionRow,
    project: &ProjectRow,
) -> Result<CollectionDoc, Failure> {
    let latest = match view.newest(row.id)? {
        None => None,
        Some(membership) => match view.version(membership.version)? {
            None => None,
            Some(found) => Some(version(view, caller, &found, &membership, row, project)?),
        },
    };
    Ok(CollectionDoc {
        entity: project.entity.clone(),
        project: project.name.clone(),
        name: row.name.clone(),
        artifact_type: row.artifact_type.clone(),
        kind: match row.kind {
            CollectionKind::Sequence => "sequence",
            CollectionKind::Portfolio => "portfolio",
        }
        .to_owned(),
        description: row.description.clone(),
        ttl: row.ttl,
        latest,
        created_at: row.created_at,
        retention: row.retention,
    })
}

/// A version as reached through `membership`, which is one of `collection`.
pub(crate) fn version(
    view: &dyn View,
    caller: &Caller,
    row: &VersionRow,
    membership: &MembershipRow,
    collection: &CollectionRow,
    project: &ProjectRow,
) -> Result<VersionDoc, Failure> {
    let source = if row.collection == collection.id { None } else { Some(version_ref(view, row)?) };
    let expires_at = match source {
        None => rules::expires_at(row, collection, project),
        Some(_) => {
            let (collection, project) = home_of(view, row.collection)?;
            rules::expires_at(row, &collection, &project)
        }
    };
    let kept_by = match expires_at {
        Some(_) if row.state.is_committed() => {
            rules::holders(view, row)?.iter().map(ToString::to_string).collect()
        }
        _ => Vec::new(),
    };
    let (deleted_at, restorable_until) = match row.state {
        VersionState::Deleted { at, purge_after } => (Some(at), Some(purge_after)),
        _ => (None, None),
    };
    let aliases = view.aliases_of(collection.id, membership.index)?;
    let protected = aliases.iter().filter(|row| row.protected).map(|row| row.alias.clone());
    let run = visible_run_ref(view, caller, row.run)?;
    Ok(VersionDoc {
        id: row.id,
        entity: project.entity.clone(),
        project: project.name.clone(),
        name: collection.name.clone(),
        artifact_type: collection.artifact_type.clone(),
        index: membership.index,
        version: membership.index.to_string(),
        protected: protected.collect(),
        aliases: aliases.into_iter().map(|row| row.alias).collect(),
        tags: view.tags(row.id)?,
        digest: row.digest,
        root: row.root,
        state: state(row.state),
        files: row.entries,
        size: row.size,
        description: row.description.clone(),
        metadata: json(row.metadata.as_deref())?,
        ttl: row.ttl,
        created_at: row.created_at,
        actor: row.actor.clone(),
        run,
        provenance: row.provenance.clone(),
        source,
        expires_at,
        kept_by,
        deleted_at,
        restorable_until,
    })
}

/// A version in its own collection.
pub(crate) fn home_version(
    view: &dyn View,
    caller: &Caller,
    row: &VersionRow,
) -> Result<VersionDoc, Failure> {
    let (collection, project) = home_of(view, row.collection)?;
    let membership = MembershipRow {
        collection: collection.id,
        index: row.index,
        version: row.id,
        created_at: row.created_at,
    };
    version(view, caller, row, &membership, &collection, &project)
}

/// A version's name in its own collection.
pub(crate) fn version_ref(view: &dyn View, row: &VersionRow) -> Result<VersionRef, Failure> {
    let (collection, project) = home_of(view, row.collection)?;
    Ok(VersionRef {
        id: row.id,
        entity: project.entity,
        project: project.name,
        name: collection.name,
        index: row.index,
    })
}

pub(crate) fn event(view: &dyn View, caller: &Caller, row: EventRow) -> Result<EventDoc, Failure> {
    Ok(EventDoc {
        seq: row.seq,
        at: row.at,
        actor: row.actor,
        event: row.kind.as_str().to_owned(),
        version: row.index.map(|index| index.to_string()),
        run: visible_run_ref(view, caller, row.run)?,
        detail: json(Some(&row.detail))?.unwrap_or_default(),
    })
}

fn json(text: Option<&str>) -> Result<Option<serde_json::Value>, Failure> {
    text.map(serde_json::from_str).transpose().map_err(|error| {
        Problem::new(
            ErrorCode::Corrupt,
            format!("the catalog is damaged: stored JSON does not parse: {error}"),
        )
        .into()
    })
}
