//! Versions, runs and edges that come from another repository.

use heirloom_api::{
    Committed, ImportVersion, ImportedRun, LineageEdge, Problem, ProjectRef, RunDoc, VersionDoc,
    VersionRef,
};
use heirloom_catalog::rules::{self, By, ExpectedIndex, Refusal};
use heirloom_catalog::{CatalogExt, EdgeKind, EdgeRow, ProjectRow, RunRow, VersionRow, View};
use heirloom_core::{
    ArtifactName, Caller, CollectionId, Role, RunName, Scope, Timestamp, VersionId,
};
use heirloom_manifest::ManifestId;

use crate::commit::{recorded_run, sorted};
use crate::numbering::{Content, Numbered, Written};
use crate::problem::Failure;
use crate::record::VersionRecord;
use crate::write::fenced;
use crate::{Inner, access, docs, edit};

/// A version by its identity, in its own collection, whatever its state.
pub(crate) fn version(
    inner: &Inner,
    caller: &Caller,
    id: VersionId,
) -> Result<VersionDoc, Failure> {
    inner.catalog.view(|view| {
        let (row, _, _) = access::version(view, caller, id)?;
        docs::home_version(view, caller, &row)
    })
}

/// Brings a version. What is here already, by id and digest, is answered with its
/// place, deleted or not.
pub(crate) fn import_version(
    inner: &Inner,
    caller: &Caller,
    request: &ImportVersion,
) -> Result<Committed, Failure> {
    access::require_named(caller, &request.project, Role::Writer)?;
    if ManifestId::of_root(&request.root) != request.digest {
        return Err(Problem::invalid("the digest is not that of the root").into());
    }
    let project = inner
        .catalog
        .view(|view| view.project(&request.project.entity, &request.project.project))?
        .ok_or_else(|| fenced(request.draft))?;
    let import = Import {
        inner,
        caller,
        request,
        project,
        metadata: request.metadata.as_ref().map(serde_json::Value::to_string),
        collection: CollectionId((inner.env.random() >> 1) as i64),
        now: inner.env.now(),
    };
    let done = match import.known()? {
        Some(done) => done,
        None => import.create(&Content {
            scope: Scope(import.project.id),
            draft: request.draft,
            root: request.root,
            attachments: &[],
        })?,
    };
    inner.catalog.view(|view| {
        let row: VersionRow = view
            .version(done.version)?
            .ok_or_else(|| Problem::not_found("version", done.version))?;
        let version: VersionRef = docs::version_ref(view, &row)?;
        Ok(Committed {
            version,
            digest: row.digest,
            created: done.created,
            files: row.entries,
            size: row.size,
        })
    })
}

struct Import<'r> {
    inner: &'r Inner,
    caller: &'r Caller,
    request: &'r ImportVersion,
    project: ProjectRow,
    metadata: Option<String>,
    collection: CollectionId,
    now: Timestamp,
}

impl Numbered for Import<'_> {
    fn inner(&self) -> &Inner {
        self.inner
    }

    fn name(&self) -> &ArtifactName {
        &self.request.name
    }

    fn rule(
        &self,
        view: &dyn View,
        written: Option<&Written>,
    ) -> Result<rules::Decision<rules::Committed>, Refusal> {
        let request = self.request;
        let (entries, size) = written.map_or((0, 0), |written| (written.entries, written.size));
        rules::import_version(
            view,
            &rules::ImportVersion {
                by: By { actor: self.caller.actor(), at: self.now, admin: false },
                project: self.project.id,
                name: &request.name,
                artifact_type: &request.artifact_type,
                collection: self.collection,
                version: request.version,
                digest: request.digest,
                root: request.root,
                entries,
                size,
                tags: &request.tags,
                description: request.description.as_deref(),
                metadata: self.metadata.as_deref(),
                ttl: request.ttl,
                created_at: request.created_at,
                actor: &request.actor,
                run: request.run,
                provenance: &request.provenance,
                attachments: &[],
                draft: request.draft,
                from: &request.origin.from,
                repository: &request.origin.repository,
                expected: written.map(|written| written.expected),
                record: written.map(|written| written.record),
            },
        )
    }

    fn record(
        &self,
        view: &dyn View,
        next: &ExpectedIndex,
        tree: (u64, u64),
    ) -> Result<VersionRecord, Failure> {
        let request = self.request;
        let found = rules::find_collection(view, self.project.id, &request.name)?;
        let (collection_id, collection, artifact_type) = match found {
            Some(row) => (row.id, row.name, row.artifact_type),
            None => (self.collection, request.name.clone(), request.artifact_type.clone()),
        };
        Ok(VersionRecord {
            version: request.version,
            collection_id,
            index: next.index,
            predecessor: next.predecessor,
            entity: self.project.entity.clone(),
            project: self.project.name.clone(),
            collection,
            artifact_type,
            root: request.root,
            entries: tree.0,
            size: tree.1,
            created_at: request.created_at,
            actor: request.actor.clone(),
            description: request.description.clone(),
            metadata: self.metadata.clone(),
            ttl: request.ttl,
            run: recorded_run(view, request.run)?,
            provenance: request.provenance.clone(),
            aliases: Vec::new(),
            tags: sorted(&request.tags),
            attachments: Vec::new(),
        })
    }
}

/// Brings a run, or the end of one that was running when it came.
pub(crate) fn import_run(
    inner: &Inner,
    caller: &Caller,
    run: &RunDoc,
) -> Result<ImportedRun, Failure> {
    let named = ProjectRef { entity: run.run.entity.clone(), project: run.run.project.clone() };
    access::require_named(caller, &named, Role::Writer)?;
    // It may be here, in a project of another name.
    let here = inner.catalog.view(|view| match view.run(run.run.id)? {
        Some(_) => access::run(view, caller, run.run.id, Role::Writer).map(Some),
        None => Ok(None),
    })?;
    let project = match here {
        Some((_, project)) => project,
        None => edit::ensure_project(inner, caller, &named)?,
    };
    let row = RunRow {
        id: run.run.id,
        project: project.id,
        name: run.run.name.clone(),
        display_name: run.display_name.clone(),
        job_type: run.job_type.clone(),
        group: run.group.clone(),
        config: run.config.as_ref().map(serde_json::Value::to_string),
        summary: run.summary.as_ref().map(serde_json::Value::to_string),
        state: run.state,
        exit_code: run.exit_code,
        started_at: run.started_at,
        ended_at: run.ended_at,
        actor: run.actor.clone(),
        provenance: run.provenance.clone(),
    };
    let spare = spare_name(&row.name, row.id.get())?;
    let (row, created) = inner
        .catalog
        .transact(|view| Ok::<_, Failure>(rules::import_run(view, &row, &spare)?.into_parts()))?;
    Ok(ImportedRun { run: docs::run(&row, &project)?, created })
}

/// The name of a run whose own is taken: the same wherever it is brought to.
fn spare_name(name: &RunName, id: u64) -> Result<RunName, Problem> {
    RunName::new(&format!("{name}-{id:016x}"))
        .or_else(|_| RunName::new(&format!("run-{id:016x}")))
        .map_err(|error| Problem::invalid(error.to_string()))
}

/// Brings edges between what is here and the caller may write to.
pub(crate) fn import_edges(
    inner: &Inner,
    caller: &Caller,
    edges: &[LineageEdge],
) -> Result<u64, Failure> {
    inner.catalog.transact(|view| {
        let mut rows = Vec::with_capacity(edges.len());
        for edge in edges {
            let visible = access::visible_run(view, caller, edge.run)?.is_some_and(|(_, row)| {
                caller.role_in(&row.entity, &row.name) >= Some(Role::Writer)
            });
            if visible && access::visible_version(view, caller, edge.version)?.is_some() {
                rows.push(EdgeRow {
                    kind: if edge.produced { EdgeKind::Produced } else { EdgeKind::Used },
                    run: edge.run,
                    version: edge.version,
                    at: edge.at,
                    asked: edge.asked.clone(),
                });
            }
        }
        Ok::<_, Failure>(rules::import_edges(view, &rows)?.into_parts())
    })
}
