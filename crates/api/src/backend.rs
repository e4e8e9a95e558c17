//! The transport: what a client asks of a repository, near or far.

use std::fs::File;
use std::future::Future;
use std::io::Read;
use std::pin::Pin;

use heirloom_core::{
    Alias, ArtifactName, ArtifactRef, DraftId, EntityName, ProjectName, Retention, RunId, RunName,
    Tag, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, Entry, LogicalPath, NodeId};

use crate::deletion::{Delete, DeletedDoc, Restore, RestoredDoc, RetentionDoc};
use crate::doc::{
    AddedPart, CollectionDoc, Committed, EventDoc, FinishedParts, Found, LineageDoc, LineageEdge,
    PartSetDoc, ProjectDoc, RunDoc, RunVersion, UsageReport, VerifyReport, VersionDoc,
};
use crate::problem::Problem;
use crate::repair::VerifyAll;
use crate::request::{
    AddPart, BeginDraft, Commit, DraftDoc, Expected, FinishParts, LineageQuery, ListVersions,
    ProjectRef, StartRun, UpdateCollection, UpdateProject, UpdateRun, UpdateVersion, UsageBy,
};
use crate::transfer::{ImportVersion, ImportedRun};

/// What every operation answers.
pub type Answer<T> = Result<T, Problem>;

/// A boxed answer, so that `dyn Backend` works.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Answer<T>> + Send + 'a>>;

/// What a backend can do beyond the contract.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BackendInfo {
    /// Bytes are on this machine: files can be cloned instead of sent.
    pub local: bool,
    /// Identity of the repository, as `heirloom.toml` has it; empty in memory.
    pub repository: String,
}

/// A file's bytes, as sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Hash of what was actually sent.
    pub blob: BlobId,
    /// Length in bytes.
    pub size: u64,
    /// False when the store had it already.
    pub created: bool,
}

/// What became of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PackSent {
    /// Blobs in it.
    pub blobs: u64,
    /// Length of the stored object in bytes; 0 when the pack was empty.
    pub stored: u64,
}

/// Sends bytes of one draft. Blocking: used from worker threads, which read and
/// hash files anyway; every method returns only when its bytes are durable,
/// except [`Uploader::add`].
///
/// Contract: what was sent is leased for the draft, so a commit finds it. A
/// problem with the code `fenced` means that the draft was ended by somebody
/// else: begin a new one and send again.
pub trait Uploader: Send {
    /// Which of these blobs the project has, in the order asked; those are
    /// leased for the draft from now on.
    ///
    /// # Errors
    /// A fenced draft, or a failed backend.
    fn claim(&mut self, blobs: &[BlobId]) -> Answer<Vec<bool>>;

    /// Adds a small blob (less than 1 MiB, or a node of at most 1 MiB) to the
    /// open pack; it is durable after [`Uploader::flush`]. Hashed here.
    ///
    /// # Errors
    /// A failed write.
    fn add(&mut self, kind: BlobKind, bytes: &[u8]) -> Answer<BlobId>;

    /// Finishes the open pack, if any, and publishes it.
    ///
    /// # Errors
    /// A fenced draft, or a failed write.
    fn flush(&mut self) -> Answer<PackSent>;

    /// Sends a whole file of `size` bytes from its start. `progress` hears of
    /// the bytes taken.
    ///
    /// # Errors
    /// A file of another length, a fenced draft, a failed write.
    fn send_file(
        &mut self,
        file: &mut File,
        size: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Answer<Sent>;

    /// Bytes written to the store so far by this uploader, packs' overhead included.
    fn stored(&self) -> u64;
}

/// What a packed blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobKind {
    /// Content of a file.
    Content,
    /// Node of a manifest tree.
    Node,
}

/// Bytes of one blob, for the visitor of [`Downloader::read_small`].
pub type Visit<'a> = dyn FnMut(usize, &[u8]) -> Answer<()> + 'a;

/// Reads bytes of one version. Blocking, for the same reason as [`Uploader`].
///
/// Contract: bytes that reach a visitor were verified against their id.
pub trait Downloader: Send {
    /// Nodes of the version's tree, in the order asked, verified.
    ///
    /// # Errors
    /// Damaged or missing nodes, by name.
    fn nodes(&mut self, ids: &[NodeId]) -> Answer<Vec<Vec<u8>>>;

    /// Reads many small blobs in whatever order suits the store; the visitor
    /// gets the position in `blobs` and the verified bytes.
    ///
    /// # Errors
    /// Damaged or missing blobs, by name; what the visitor returns.
    fn read_small(&mut self, blobs: &[(BlobId, u64)], visit: &mut Visit<'_>) -> Answer<()>;

    /// A blob as a stream that starts at `offset`. From offset 0 it ends in an
    /// error when the bytes do not match the id: do not trust them before the end.
    ///
    /// # Errors
    /// A missing blob.
    fn open(&mut self, blob: &BlobId, size: u64, offset: u64) -> Answer<Box<dyn Read + Send>>;

    /// The blob as a file of its own on this machine, where there is one:
    /// to clone from, after which the clone must be verified.
    fn local_file(&mut self, blob: &BlobId) -> Option<File>;
}

/// A page of entries.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryPage {
    /// The entries, in path order.
    pub entries: Vec<(LogicalPath, Entry)>,
    /// Where to continue, when there is more.
    pub next: Option<LogicalPath>,
}

/// One repository as one caller sees it, in this process or behind HTTP.
///
/// Contract: names are resolved against the project given; what the caller may
/// not see does not exist. Operations with a key take effect once. Every
/// operation is complete or leaves nothing behind but garbage that gc frees.
#[allow(missing_docs)] // one operation each; the request and answer types say what
pub trait Backend: Send + Sync {
    fn info(&self) -> BackendInfo;

    // Projects and runs.
    fn projects<'a>(&'a self) -> Pending<'a, Vec<ProjectDoc>>;
    fn start_run<'a>(&'a self, request: StartRun) -> Pending<'a, RunDoc>;
    fn update_run<'a>(&'a self, run: RunId, request: UpdateRun) -> Pending<'a, RunDoc>;
    fn run<'a>(&'a self, project: ProjectRef, name: RunName) -> Pending<'a, RunDoc>;
    fn runs<'a>(
        &'a self,
        project: ProjectRef,
        after: Option<RunName>,
        limit: usize,
    ) -> Pending<'a, Vec<RunDoc>>;
    /// Versions that a run (produced, used).
    fn run_versions<'a>(&'a self, run: RunId) -> Pending<'a, (Vec<RunVersion>, Vec<RunVersion>)>;
    /// Runs that a version was (produced by, used by).
    fn version_runs<'a>(&'a self, version: VersionId) -> Pending<'a, (Vec<RunDoc>, Vec<RunDoc>)>;

    // Writing.
    fn begin_draft<'a>(&'a self, request: BeginDraft) -> Pending<'a, DraftDoc>;
    fn abort_draft<'a>(&'a self, draft: DraftId) -> Pending<'a, ()>;
    fn uploader<'a>(&'a self, draft: DraftId) -> Pending<'a, Box<dyn Uploader>>;
    /// Commits; or, without a draft, answers `None` unless the newest version
    /// has this content, in which case aliases, tags and edges are recorded.
    fn commit<'a>(&'a self, request: Commit) -> Pending<'a, Option<Committed>>;

    // Parts from many writers.
    fn add_part<'a>(&'a self, request: AddPart) -> Pending<'a, AddedPart>;
    fn finish_parts<'a>(&'a self, request: FinishParts) -> Pending<'a, FinishedParts>;
    /// Drops a set and its parts; answers what it was.
    fn abort_parts<'a>(
        &'a self,
        project: ProjectRef,
        name: ArtifactName,
        distributed_id: String,
    ) -> Pending<'a, PartSetDoc>;
    /// Sets that were not finished, of all collections of a project: by name and id.
    fn part_sets<'a>(&'a self, project: ProjectRef) -> Pending<'a, Vec<PartSetDoc>>;

    // Reading.
    fn resolve<'a>(
        &'a self,
        project: ProjectRef,
        reference: ArtifactRef,
    ) -> Pending<'a, VersionDoc>;
    fn collections<'a>(
        &'a self,
        project: ProjectRef,
        after: Option<ArtifactName>,
        limit: usize,
    ) -> Pending<'a, Vec<CollectionDoc>>;
    fn collection<'a>(
        &'a self,
        project: ProjectRef,
        name: ArtifactName,
    ) -> Pending<'a, CollectionDoc>;
    fn versions<'a>(
        &'a self,
        project: ProjectRef,
        name: ArtifactName,
        list: ListVersions,
    ) -> Pending<'a, Vec<VersionDoc>>;
    fn events<'a>(
        &'a self,
        project: ProjectRef,
        name: ArtifactName,
        before: Option<u64>,
        limit: usize,
    ) -> Pending<'a, Vec<EventDoc>>;
    fn downloader<'a>(&'a self, version: VersionId) -> Pending<'a, Box<dyn Downloader>>;
    fn entries<'a>(
        &'a self,
        version: VersionId,
        prefix: String,
        after: Option<LogicalPath>,
        limit: usize,
    ) -> Pending<'a, EntryPage>;
    fn entry<'a>(&'a self, version: VersionId, path: LogicalPath) -> Pending<'a, Option<Entry>>;

    // Editing.
    fn use_version<'a>(&'a self, run: RunId, version: VersionId, asked: String) -> Pending<'a, ()>;
    fn set_alias<'a>(
        &'a self,
        version: VersionDoc,
        alias: Alias,
        expected: Expected,
    ) -> Pending<'a, ()>;
    fn remove_alias<'a>(
        &'a self,
        project: ProjectRef,
        name: ArtifactName,
        alias: Alias,
    ) -> Pending<'a, ()>;
    fn tag<'a>(&'a self, version: VersionDoc, add: Vec<Tag>, remove: Vec<Tag>) -> Pending<'a, ()>;
    fn update_version<'a>(
        &'a self,
        version: VersionDoc,
        request: UpdateVersion,
    ) -> Pending<'a, VersionDoc>;
    fn update_collection<'a>(
        &'a self,
        project: ProjectRef,
        name: ArtifactName,
        request: UpdateCollection,
    ) -> Pending<'a, CollectionDoc>;
    fn link<'a>(
        &'a self,
        version: VersionId,
        project: ProjectRef,
        portfolio: ArtifactName,
        aliases: Vec<Alias>,
    ) -> Pending<'a, VersionDoc>;
    fn unlink<'a>(
        &'a self,
        project: ProjectRef,
        portfolio: ArtifactName,
        index: VersionIndex,
    ) -> Pending<'a, ()>;
    /// A version of the same content in another collection; no bytes move.
    fn copy<'a>(
        &'a self,
        version: VersionId,
        project: ProjectRef,
        name: ArtifactName,
        run: Option<RunId>,
    ) -> Pending<'a, Committed>;
    /// Protects an alias, or ends that: a protected one is moved and dropped by
    /// nobody until its protection ends. For admins.
    fn protect_alias<'a>(
        &'a self,
        project: ProjectRef,
        name: ArtifactName,
        alias: Alias,
        protected: bool,
    ) -> Pending<'a, ()>;
    /// For admins.
    fn update_project<'a>(
        &'a self,
        project: ProjectRef,
        request: UpdateProject,
    ) -> Pending<'a, ProjectDoc>;

    // Deleting.
    fn delete<'a>(&'a self, project: ProjectRef, request: Delete) -> Pending<'a, DeletedDoc>;
    fn restore<'a>(
        &'a self,
        project: ProjectRef,
        request: Restore,
    ) -> Pending<'a, Vec<RestoredDoc>>;
    /// What can be restored in a project, that which is purged first first; at
    /// most 10,000.
    fn restorable<'a>(&'a self, project: ProjectRef) -> Pending<'a, Vec<VersionDoc>>;
    /// Sets which versions stay when retention is applied; `None` keeps all. For
    /// admins.
    fn set_retention<'a>(
        &'a self,
        project: ProjectRef,
        name: ArtifactName,
        retention: Option<Retention>,
    ) -> Pending<'a, CollectionDoc>;
    /// Deletes what the retention of a collection does not keep, and what has
    /// expired; with `dry_run` only explains.
    fn apply_retention<'a>(
        &'a self,
        project: ProjectRef,
        name: ArtifactName,
        dry_run: bool,
    ) -> Pending<'a, RetentionDoc>;

    // Moving between repositories.
    /// A version by its identity, in its own collection, whatever its state.
    fn version<'a>(&'a self, version: VersionId) -> Pending<'a, VersionDoc>;
    fn import_version<'a>(&'a self, request: ImportVersion) -> Pending<'a, Committed>;
    /// Brings a run into the project that it names, which is made when it does not
    /// exist.
    fn import_run<'a>(&'a self, run: RunDoc) -> Pending<'a, ImportedRun>;
    /// Brings those edges whose run and version are here; how many are new.
    fn import_edges<'a>(&'a self, edges: Vec<LineageEdge>) -> Pending<'a, u64>;

    // Asking.
    fn lineage<'a>(&'a self, query: LineageQuery) -> Pending<'a, LineageDoc>;
    fn whence<'a>(&'a self, blob: BlobId, size: u64) -> Pending<'a, Vec<Found>>;
    fn usage<'a>(
        &'a self,
        by: UsageBy,
        only: Option<(EntityName, ProjectName)>,
    ) -> Pending<'a, UsageReport>;
    /// Frees what nothing needs any more; for admins of every project.
    fn gc<'a>(&'a self, request: crate::gc::GcRequest) -> Pending<'a, crate::gc::GcReport>;
    fn verify<'a>(&'a self, version: Option<VersionId>) -> Pending<'a, VerifyReport>;
    /// As [`Backend::verify`] of everything, with a say in how.
    fn verify_all<'a>(&'a self, request: VerifyAll) -> Pending<'a, VerifyReport>;
}
