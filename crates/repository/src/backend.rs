//! [`Backend`] over a repository: each operation is one blocking task.

use std::sync::Arc;

use heirloom_api::{
    AddPart, AddedPart, Backend, BackendInfo, BeginDraft, CollectionDoc, Commit, Committed, Delete,
    DeletedDoc, Downloader, DraftDoc, EntryPage, EventDoc, Expected, FinishParts, FinishedParts,
    Found, ImportVersion, ImportedRun, LineageDoc, LineageEdge, LineageQuery, ListVersions,
    PartSetDoc, Pending, Problem, ProjectDoc, ProjectRef, Restore, RestoredDoc, RetentionDoc,
    RunDoc, RunVersion, StartRun, UpdateCollection, UpdateProject, UpdateRun, UpdateVersion,
    Uploader, UsageBy, UsageReport, VerifyAll, VerifyReport, VersionDoc,
};
use heirloom_catalog::{CatalogExt, ProjectRow, VersionRow};
use heirloom_core::{
    Alias, ArtifactName, ArtifactRef, Caller, DraftId, EntityName, ErrorCode, ProjectName,
    Retention, RunId, RunName, Scope, Tag, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, Entry, LogicalPath, Tree};

use crate::problem::Failure;
use crate::read::{LocalDownloader, Nodes};
use crate::write::LocalUploader;
use crate::{
    Inner, access, browse, commit, delete, edit, lineage, parts, read, retention, transfer, usage,
    verify, whence,
};

/// A repository as one caller sees it.
#[derive(Clone)]
pub struct RepositoryBackend {
    inner: Arc<Inner>,
    caller: Caller,
}

impl std::fmt::Debug for RepositoryBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RepositoryBackend").field("caller", &self.caller).finish_non_exhaustive()
    }
}

impl RepositoryBackend {
    pub(crate) fn new(inner: Arc<Inner>, caller: Caller) -> Self {
        Self { inner, caller }
    }

    /// Runs `operation` on a blocking thread of the caller's runtime.
    fn blocking<T, E>(
        &self,
        operation: impl FnOnce(&Arc<Inner>, &Caller) -> Result<T, E> + Send + 'static,
    ) -> Pending<'_, T>
    where
        T: Send + 'static,
        E: Into<Problem>,
    {
        let (inner, caller) = (self.inner.clone(), self.caller.clone());
        let task =
            tokio::task::spawn_blocking(move || operation(&inner, &caller).map_err(Into::into));
        Box::pin(async move {
            match task.await {
                Ok(answer) => answer,
                Err(_) => Err(Problem::new(
                    ErrorCode::Unavailable,
                    "the operation was broken off by a defect or a shutdown",
                )),
            }
        })
    }
}

/// A version that the caller may read, and the project that it is in.
fn place(
    inner: &Inner,
    caller: &Caller,
    version: VersionId,
) -> Result<(VersionRow, ProjectRow), Failure> {
    let (row, _, project) = inner.catalog.view(|view| access::version(view, caller, version))?;
    if !row.state.is_committed() {
        return Err(Problem::not_found("version", version).into());
    }
    Ok((row, project))
}

impl Backend for RepositoryBackend {
    fn info(&self) -> BackendInfo {
        let home = self.inner.home.as_ref();
        BackendInfo {
            local: self.inner.local,
            repository: home.map(|home| home.config().id.clone()).unwrap_or_default(),
        }
    }

    fn projects(&self) -> Pending<'_, Vec<ProjectDoc>> {
        self.blocking(|inner, caller| browse::projects(inner, caller))
    }

    fn start_run(&self, request: StartRun) -> Pending<'_, RunDoc> {
        self.blocking(move |inner, caller| edit::start_run(inner, caller, &request))
    }

    fn update_run(&self, run: RunId, request: UpdateRun) -> Pending<'_, RunDoc> {
        self.blocking(move |inner, caller| edit::update_run(inner, caller, run, &request))
    }

    fn run(&self, project: ProjectRef, name: RunName) -> Pending<'_, RunDoc> {
        self.blocking(move |inner, caller| browse::run(inner, caller, &project, &name))
    }

    fn runs(
        &self,
        project: ProjectRef,
        after: Option<RunName>,
        limit: usize,
    ) -> Pending<'_, Vec<RunDoc>> {
        self.blocking(move |inner, caller| {
            browse::runs(inner, caller, &project, after.as_ref(), limit)
        })
    }

    fn run_versions(&self, run: RunId) -> Pending<'_, (Vec<RunVersion>, Vec<RunVersion>)> {
        self.blocking(move |inner, caller| browse::run_versions(inner, caller, run))
    }

    fn version_runs(&self, version: VersionId) -> Pending<'_, (Vec<RunDoc>, Vec<RunDoc>)> {
        self.blocking(move |inner, caller| browse::version_runs(inner, caller, version))
    }

    fn begin_draft(&self, request: BeginDraft) -> Pending<'_, DraftDoc> {
        self.blocking(move |inner, caller| edit::begin_draft(inner, caller, &request))
    }

    fn abort_draft(&self, draft: DraftId) -> Pending<'_, ()> {
        self.blocking(move |inner, caller| edit::abort_draft(inner, caller, draft))
    }

    fn uploader(&self, draft: DraftId) -> Pending<'_, Box<dyn Uploader>> {
        self.blocking(move |inner, caller| {
            let scope = edit::draft_scope(inner, caller, draft)?;
            Ok::<Box<dyn Uploader>, Failure>(Box::new(LocalUploader::new(
                inner.clone(),
                scope,
                draft,
            )))
        })
    }

    fn commit(&self, request: Commit) -> Pending<'_, Option<Committed>> {
        self.blocking(move |inner, caller| commit::commit(inner, caller, &request))
    }

    fn add_part(&self, request: AddPart) -> Pending<'_, AddedPart> {
        self.blocking(move |inner, caller| parts::add(inner, caller, &request))
    }

    fn finish_parts(&self, request: FinishParts) -> Pending<'_, FinishedParts> {
        self.blocking(move |inner, caller| parts::finish(inner, caller, &request))
    }

    fn abort_parts(
        &self,
        project: ProjectRef,
        name: ArtifactName,
        distributed_id: String,
    ) -> Pending<'_, PartSetDoc> {
        self.blocking(move |inner, caller| {
            parts::abort(inner, caller, &project, &name, &distributed_id)
        })
    }

    fn part_sets(&self, project: ProjectRef) -> Pending<'_, Vec<PartSetDoc>> {
        self.blocking(move |inner, caller| parts::list(inner, caller, &project))
    }

    fn resolve(&self, project: ProjectRef, reference: ArtifactRef) -> Pending<'_, VersionDoc> {
        self.blocking(move |inner, caller| browse::resolve(inner, caller, &project, &reference))
    }

    fn collections(
        &self,
        project: ProjectRef,
        after: Option<ArtifactName>,
        limit: usize,
    ) -> Pending<'_, Vec<CollectionDoc>> {
        self.blocking(move |inner, caller| {
            browse::collections(inner, caller, &project, after.as_ref(), limit)
        })
    }

    fn collection(&self, project: ProjectRef, name: ArtifactName) -> Pending<'_, CollectionDoc> {
        self.blocking(move |inner, caller| browse::collection(inner, caller, &project, &name))
    }

    fn versions(
        &self,
        project: ProjectRef,
        name: ArtifactName,
        list: ListVersions,
    ) -> Pending<'_, Vec<VersionDoc>> {
        self.blocking(move |inner, caller| browse::versions(inner, caller, &project, &name, &list))
    }

    fn events(
        &self,
        project: ProjectRef,
        name: ArtifactName,
        before: Option<u64>,
        limit: usize,
    ) -> Pending<'_, Vec<EventDoc>> {
        self.blocking(move |inner, caller| {
            browse::events(inner, caller, &project, &name, before, limit)
        })
    }

    fn downloader(&self, version: VersionId) -> Pending<'_, Box<dyn Downloader>> {
        self.blocking(move |inner, caller| {
            let (row, project) = place(inner, caller, version)?;
            let scope = Scope(project.id);
            Ok::<Box<dyn Downloader>, Failure>(Box::new(
                match caller.role_in(&project.entity, &project.name) {
                    Some(_) => LocalDownloader::of_scope(inner.clone(), scope, version),
                    None => LocalDownloader::of_version(inner.clone(), scope, row),
                },
            ))
        })
    }

    fn entries(
        &self,
        version: VersionId,
        prefix: String,
        after: Option<LogicalPath>,
        limit: usize,
    ) -> Pending<'_, EntryPage> {
        self.blocking(move |inner, caller| {
            let (row, project) = place(inner, caller, version)?;
            let limit = limit.clamp(1, browse::MAX_PAGE);
            read::page(inner, Scope(project.id), row.root, &prefix, after, limit)
        })
    }

    fn entry(&self, version: VersionId, path: LogicalPath) -> Pending<'_, Option<Entry>> {
        self.blocking(move |inner, caller| {
            let (row, project) = place(inner, caller, version)?;
            let nodes = Nodes::new(inner, Scope(project.id));
            Tree::new(nodes, row.root).lookup(&path).map_err(Failure::from)
        })
    }

    fn use_version(&self, run: RunId, version: VersionId, asked: String) -> Pending<'_, ()> {
        self.blocking(move |inner, caller| edit::use_version(inner, caller, run, version, &asked))
    }

    fn set_alias(&self, version: VersionDoc, alias: Alias, expected: Expected) -> Pending<'_, ()> {
        self.blocking(move |inner, caller| {
            edit::set_alias(inner, caller, &version, &alias, expected)
        })
    }

    fn remove_alias(
        &self,
        project: ProjectRef,
        name: ArtifactName,
        alias: Alias,
    ) -> Pending<'_, ()> {
        self.blocking(move |inner, caller| {
            edit::remove_alias(inner, caller, &project, &name, &alias)
        })
    }

    fn tag(&self, version: VersionDoc, add: Vec<Tag>, remove: Vec<Tag>) -> Pending<'_, ()> {
        self.blocking(move |inner, caller| edit::tag(inner, caller, &version, &add, &remove))
    }

    fn update_version(
        &self,
        version: VersionDoc,
        request: UpdateVersion,
    ) -> Pending<'_, VersionDoc> {
        self.blocking(move |inner, caller| edit::update_version(inner, caller, &version, &request))
    }

    fn update_collection(
        &self,
        project: ProjectRef,
        name: ArtifactName,
        request: UpdateCollection,
    ) -> Pending<'_, CollectionDoc> {
        self.blocking(move |inner, caller| {
            edit::update_collection(inner, caller, &project, &name, &request)
        })
    }

    fn link(
        &self,
        version: VersionId,
        project: ProjectRef,
        portfolio: ArtifactName,
        aliases: Vec<Alias>,
    ) -> Pending<'_, VersionDoc> {
        self.blocking(move |inner, caller| {
            edit::link(inner, caller, version, &project, &portfolio, &aliases)
        })
    }

    fn unlink(
        &self,
        project: ProjectRef,
        portfolio: ArtifactName,
        index: VersionIndex,
    ) -> Pending<'_, ()> {
        self.blocking(move |inner, caller| edit::unlink(inner, caller, &project, &portfolio, index))
    }

    fn copy(
        &self,
        version: VersionId,
        project: ProjectRef,
        name: ArtifactName,
        run: Option<RunId>,
    ) -> Pending<'_, Committed> {
        self.blocking(move |inner, caller| edit::copy(inner, caller, version, &project, &name, run))
    }

    fn protect_alias(
        &self,
        project: ProjectRef,
        name: ArtifactName,
        alias: Alias,
        protected: bool,
    ) -> Pending<'_, ()> {
        self.blocking(move |inner, caller| {
            edit::protect_alias(inner, caller, &project, &name, &alias, protected)
        })
    }

    fn update_project(
        &self,
        project: ProjectRef,
        request: UpdateProject,
    ) -> Pending<'_, ProjectDoc> {
        self.blocking(move |inner, caller| edit::update_project(inner, caller, &project, &request))
    }

    fn delete(&self, project: ProjectRef, request: Delete) -> Pending<'_, DeletedDoc> {
        self.blocking(move |inner, caller| delete::delete(inner, caller, &project, &request))
    }

    fn restore(&self, project: ProjectRef, request: Restore) -> Pending<'_, Vec<RestoredDoc>> {
        self.blocking(move |inner, caller| delete::restore(inner, caller, &project, &request))
    }

    fn restorable(&self, project: ProjectRef) -> Pending<'_, Vec<VersionDoc>> {
        self.blocking(move |inner, caller| delete::restorable(inner, caller, &project))
    }

    fn set_retention(
        &self,
        project: ProjectRef,
        name: ArtifactName,
        retention: Option<Retention>,
    ) -> Pending<'_, CollectionDoc> {
        self.blocking(move |inner, caller| {
            retention::set(inner, caller, &project, &name, retention)
        })
    }

    fn apply_retention(
        &self,
        project: ProjectRef,
        name: ArtifactName,
        dry_run: bool,
    ) -> Pending<'_, RetentionDoc> {
        self.blocking(move |inner, caller| {
            retention::apply(inner, caller, &project, &name, dry_run)
        })
    }

    fn version(&self, version: VersionId) -> Pending<'_, VersionDoc> {
        self.blocking(move |inner, caller| transfer::version(inner, caller, version))
    }

    fn import_version(&self, request: ImportVersion) -> Pending<'_, Committed> {
        self.blocking(move |inner, caller| transfer::import_version(inner, caller, &request))
    }

    fn import_run(&self, run: RunDoc) -> Pending<'_, ImportedRun> {
        self.blocking(move |inner, caller| transfer::import_run(inner, caller, &run))
    }

    fn import_edges(&self, edges: Vec<LineageEdge>) -> Pending<'_, u64> {
        self.blocking(move |inner, caller| transfer::import_edges(inner, caller, &edges))
    }

    fn lineage(&self, query: LineageQuery) -> Pending<'_, LineageDoc> {
        self.blocking(move |inner, caller| lineage::lineage(inner, caller, &query))
    }

    fn whence(&self, blob: BlobId, size: u64) -> Pending<'_, Vec<Found>> {
        self.blocking(move |inner, caller| whence::whence(inner, caller, blob, size))
    }

    fn usage(
        &self,
        by: UsageBy,
        only: Option<(EntityName, ProjectName)>,
    ) -> Pending<'_, UsageReport> {
        self.blocking(move |inner, caller| usage::usage(inner, caller, by, only.as_ref()))
    }

    fn gc(&self, request: heirloom_api::GcRequest) -> Pending<'_, heirloom_api::GcReport> {
        self.blocking(move |inner, caller| crate::gc::gc(inner, caller, &request))
    }

    fn verify(&self, version: Option<VersionId>) -> Pending<'_, VerifyReport> {
        self.blocking(move |inner, caller| verify::verify(inner, caller, version))
    }

    fn verify_all(&self, request: VerifyAll) -> Pending<'_, VerifyReport> {
        self.blocking(move |inner, caller| verify::verify_all(inner, caller, &request))
    }
}
