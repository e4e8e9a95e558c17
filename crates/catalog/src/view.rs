//! The trait: one snapshot to read, and edits to apply.

use heirloom_core::{
    Alias, ArtifactName, CollectionId, DraftId, EntityName, PartSetId, ProjectId, ProjectName,
    RunId, RunName, Scope, Tag, Timestamp, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId};
use heirloom_store::ObjectKey;

use crate::error::CatalogError;
use crate::row::{
    AliasRow, CollectionRow, DraftRow, EdgeKind, EdgeRow, EventRow, JournalRow, Location,
    MembershipRow, ObjectNumber, ObjectRow, ObjectState, OperationRow, PartRow, PartSetRow,
    PlacedBlob, ProjectRow, Root, RunRow, VersionRow, VersionState,
};

/// Result of a catalog's own work.
pub type Result<T> = std::result::Result<T, CatalogError>;

/// Order of a listing by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// v0 first.
    Oldest,
    /// Newest first.
    Newest,
}

/// Totals for `du` and `doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Registered objects.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Located blobs, counted once per scope.
    pub blobs: u64,
    /// Committed versions.
    pub versions: u64,
    /// Runs.
    pub runs: u64,
}

/// One consistent snapshot of a catalog. Every listing is paged; `limit` bounds
/// what is returned at once.
#[allow(missing_docs)] // names and types say it; what they do not say is written out
pub trait View {
    // Projects.
    fn project(&self, entity: &EntityName, name: &ProjectName) -> Result<Option<ProjectRow>>;
    fn project_by_id(&self, id: ProjectId) -> Result<Option<ProjectRow>>;
    /// Ascending by (entity, name), after the given pair.
    fn projects(
        &self,
        after: Option<(&EntityName, &ProjectName)>,
        limit: usize,
    ) -> Result<Vec<ProjectRow>>;

    // Collections.
    /// The collection of that name that is not deleted. Old names are not followed.
    fn collection(&self, project: ProjectId, name: &ArtifactName) -> Result<Option<CollectionRow>>;
    fn collection_by_id(&self, id: CollectionId) -> Result<Option<CollectionRow>>;
    /// The collection that an old name redirects to.
    fn redirect(&self, project: ProjectId, name: &ArtifactName) -> Result<Option<CollectionId>>;
    /// Those not deleted, ascending by name, after the given name.
    fn collections(
        &self,
        project: ProjectId,
        after: Option<&ArtifactName>,
        limit: usize,
    ) -> Result<Vec<CollectionRow>>;

    /// Those deleted, ascending by id, after the given id. Names may repeat.
    fn deleted_collections(
        &self,
        project: ProjectId,
        after: Option<CollectionId>,
        limit: usize,
    ) -> Result<Vec<CollectionRow>>;

    // Versions and memberships.
    fn version(&self, id: VersionId) -> Result<Option<VersionRow>>;
    /// In the order asked; unknown ids are left out.
    fn versions(&self, ids: &[VersionId]) -> Result<Vec<VersionRow>>;
    fn membership(
        &self,
        collection: CollectionId,
        index: VersionIndex,
    ) -> Result<Option<MembershipRow>>;
    /// The membership with the highest number whose version is committed.
    fn newest(&self, collection: CollectionId) -> Result<Option<MembershipRow>>;
    /// Memberships after `after` in the given order, whatever the version's state.
    fn memberships(
        &self,
        collection: CollectionId,
        after: Option<VersionIndex>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<MembershipRow>>;
    /// All places of a version, its own collection's first.
    fn memberships_of(&self, version: VersionId) -> Result<Vec<MembershipRow>>;
    /// Memberships of committed versions of a collection with this digest, newest first.
    fn by_digest(
        &self,
        collection: CollectionId,
        digest: &ManifestId,
    ) -> Result<Vec<MembershipRow>>;
    /// All versions of a state other than `Purged`, ascending by id, after the given id: for gc, verify, whence.
    fn all_versions(&self, after: Option<VersionId>, limit: usize) -> Result<Vec<VersionRow>>;
    /// Every committed or restorable version, in any order, as far as gc needs it.
    fn each_root(&self, visit: &mut dyn FnMut(Root)) -> Result<()>;
    /// Deleted versions whose undo window ended at that time or before; at most
    /// `limit`, those longest past it first.
    fn purgeable(&self, now: Timestamp, limit: usize) -> Result<Vec<VersionRow>>;

    // Aliases and tags.
    fn alias(&self, collection: CollectionId, alias: &Alias) -> Result<Option<AliasRow>>;
    /// Ascending by alias.
    fn aliases(&self, collection: CollectionId) -> Result<Vec<AliasRow>>;
    /// Aliases of one number, ascending.
    fn aliases_of(&self, collection: CollectionId, index: VersionIndex) -> Result<Vec<AliasRow>>;
    /// Ascending.
    fn tags(&self, version: VersionId) -> Result<Vec<Tag>>;

    // Runs and edges.
    fn run(&self, id: RunId) -> Result<Option<RunRow>>;
    fn runs(&self, ids: &[RunId]) -> Result<Vec<RunRow>>;
    fn run_by_name(&self, project: ProjectId, name: &RunName) -> Result<Option<RunRow>>;
    /// Newest start first, strictly before the given (start, id).
    fn runs_of(
        &self,
        project: ProjectId,
        before: Option<(Timestamp, RunId)>,
        limit: usize,
    ) -> Result<Vec<RunRow>>;
    fn edge(&self, kind: EdgeKind, run: RunId, version: VersionId) -> Result<Option<EdgeRow>>;
    /// Edges that touch any of these runs, of one kind or of both (one batch of
    /// a breadth-first walk).
    fn edges_of_runs(&self, runs: &[RunId], kind: Option<EdgeKind>) -> Result<Vec<EdgeRow>>;
    /// All edges that touch any of these versions.
    fn edges_of_versions(
        &self,
        versions: &[VersionId],
        kind: Option<EdgeKind>,
    ) -> Result<Vec<EdgeRow>>;
    /// Streams the whole edge table (kind, run, version only matter to the
    /// engine) for walks that outgrow batches.
    fn all_edges(&self, visit: &mut dyn FnMut(EdgeRow)) -> Result<()>;

    // Journal, operations, drafts.
    /// Newest first, strictly before `before`.
    fn events(
        &self,
        collection: CollectionId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EventRow>>;
    fn operation(&self, key: &str) -> Result<Option<OperationRow>>;
    fn draft(&self, id: DraftId) -> Result<Option<DraftRow>>;
    fn drafts(&self, after: Option<DraftId>, limit: usize) -> Result<Vec<DraftRow>>;
    /// Events of a project's collections, oldest first, after the given one.
    fn project_events(&self, project: ProjectId, after: u64, limit: usize)
    -> Result<Vec<EventRow>>;
    /// Sealed pieces of a project's journal, oldest first.
    fn journal(&self, project: ProjectId) -> Result<Vec<JournalRow>>;

    // Parts.
    fn part_set(
        &self,
        project: ProjectId,
        name: &ArtifactName,
        distributed_id: &str,
    ) -> Result<Option<PartSetRow>>;
    fn part_set_by_id(&self, id: PartSetId) -> Result<Option<PartSetRow>>;
    /// Sets of all projects, ascending by id, after the given id.
    fn part_sets(&self, after: Option<PartSetId>, limit: usize) -> Result<Vec<PartSetRow>>;
    /// Parts of a set in order of arrival, after the given number.
    fn parts(&self, set: PartSetId, after: Option<u64>, limit: usize) -> Result<Vec<PartRow>>;
    /// The last part of a set.
    fn last_part(&self, set: PartSetId) -> Result<Option<PartRow>>;
    fn part_by_key(&self, set: PartSetId, key: &str) -> Result<Option<PartRow>>;

    // Objects and locations.
    fn object(&self, key: &ObjectKey) -> Result<Option<ObjectRow>>;
    /// Ascending by key, after the given key.
    fn objects(&self, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectRow>>;
    /// All objects with their numbers, in any order.
    fn each_object(&self, visit: &mut dyn FnMut(ObjectNumber, ObjectRow)) -> Result<()>;
    /// Keys of the objects that a draft has under lease.
    fn leases(&self, draft: DraftId) -> Result<Vec<ObjectKey>>;
    /// Whether any draft has the object under lease.
    fn is_leased(&self, object: &ObjectKey) -> Result<bool>;
    /// Every object that any draft has under lease, each once.
    fn each_leased(&self, visit: &mut dyn FnMut(ObjectNumber)) -> Result<()>;
    /// Locations ascending by (scope, blob, object), of blobs after the given one:
    /// at least `limit` unless there are no more, and never only some of one
    /// blob's. Answers the last blob when there may be more.
    fn placed_blobs(
        &self,
        after: Option<(Scope, BlobId)>,
        limit: usize,
        visit: &mut dyn FnMut(PlacedBlob),
    ) -> Result<Option<(Scope, BlobId)>>;
    /// One location per blob in a live or condemned (not deleting) object, in
    /// the order asked; `None` for what is missing in this scope. Of several
    /// objects that hold it, the one registered last, whatever their states:
    /// collectors depend on that (`docs/adr/0005-gc.md`). Callers pass thousands
    /// at a time, preferably sorted.
    fn locate(&self, scope: Scope, blobs: &[BlobId]) -> Result<Vec<Option<Location>>>;
    /// Every location of one blob, in any scope: for whence, verify and repair only.
    fn locations_anywhere(&self, blob: &BlobId) -> Result<Vec<(Scope, Location)>>;
    /// Blobs located in one object, with the scopes: for consolidation and gc.
    fn located_in(
        &self,
        object: &ObjectKey,
        visit: &mut dyn FnMut(Scope, BlobId, Location),
    ) -> Result<()>;

    /// The epoch that claims and commits stamp.
    fn epoch(&self) -> Result<u64>;
    fn totals(&self) -> Result<Totals>;
}

/// One change. A transaction applies all its edits or none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // as above
pub enum Edit {
    /// Insert or replace by id.
    PutProject(ProjectRow),
    PutCollection(CollectionRow),
    PutRedirect {
        project: ProjectId,
        old: ArtifactName,
        to: CollectionId,
    },
    RemoveRedirect {
        project: ProjectId,
        old: ArtifactName,
    },
    /// Insert or replace by id.
    PutVersion(VersionRow),
    SetVersionState {
        version: VersionId,
        state: VersionState,
    },
    /// Insert; an existing (collection, index) is a conflict.
    AddMembership(MembershipRow),
    RemoveMembership {
        collection: CollectionId,
        index: VersionIndex,
    },
    /// Insert or move.
    PutAlias(AliasRow),
    RemoveAlias {
        collection: CollectionId,
        alias: Alias,
    },
    AddTag {
        version: VersionId,
        tag: Tag,
    },
    RemoveTag {
        version: VersionId,
        tag: Tag,
    },
    /// Insert or replace by id.
    PutRun(RunRow),
    /// Insert; an edge that exists stays as it is.
    AddEdge(EdgeRow),
    /// `seq` is assigned.
    AppendEvent(EventRow),
    /// Insert; an existing key is a conflict.
    AddOperation(OperationRow),
    PutDraft(DraftRow),
    /// Removes the draft and its leases.
    EndDraft(DraftId),
    /// Insert, or set state and epoch of an existing object.
    PutObject(ObjectRow),
    /// Records blobs of one registered object under a scope; existing rows stay.
    AddLocations {
        scope: Scope,
        object: ObjectKey,
        blobs: Vec<(BlobId, Location)>,
    },
    Lease {
        draft: DraftId,
        object: ObjectKey,
    },
    /// Drops one object's rows: locations, leases, the object.
    DropObject(ObjectKey),
    /// Drops all locations in one object; the object stays.
    DropLocations(ObjectKey),
    /// Drops one location.
    DropLocation {
        scope: Scope,
        blob: BlobId,
        object: ObjectKey,
    },
    /// Insert or replace by id; another set of the same (project, name,
    /// distributed id) is a conflict.
    PutPartSet(PartSetRow),
    /// Removes a set's parts.
    DropParts(PartSetId),
    /// Removes a set and its parts.
    DropPartSet(PartSetId),
    /// Insert; an existing (set, seq) or (set, key) is a conflict.
    AddPart(PartRow),
    AddJournal(JournalRow),
    /// Removes the answers of operations that were done before.
    DropOperations {
        before: Timestamp,
    },
    SetEpoch(u64),
}

/// A catalog: the one place where names, numbers, aliases, edges and locations
/// change together.
///
/// Contract: `read` sees one committed snapshot. `write` runs `decide` on the
/// newest state with no other writer in between (`BEGIN IMMEDIATE` or stronger;
/// `decide` may run again after a serialisation failure, so it must have no
/// effects of its own), applies the edits all or nothing, and returns only when
/// they are durable. When `decide` or an edit fails nothing changed. Both may
/// block; call them from blocking threads.
pub trait Catalog: Send + Sync {
    /// Runs `f` on one snapshot.
    ///
    /// # Errors
    /// What `f` returns, or the catalog's own failure.
    fn read(&self, f: &mut dyn FnMut(&dyn View) -> Result<()>) -> Result<()>;

    /// Decides on the newest state and applies the edits.
    ///
    /// # Errors
    /// What `decide` returns, a conflict of an edit, or the catalog's own failure.
    fn write(&self, decide: &mut dyn FnMut(&dyn View) -> Result<Vec<Edit>>) -> Result<()>;

    /// [`Catalog::write`] of what nobody relies on after a loss of power: drafts,
    /// leases, places of objects that no version names yet. Everyone sees it when
    /// this returns and no crash of a process undoes it, but it becomes durable
    /// only with the next [`Catalog::write`], which is never durable without it.
    ///
    /// # Errors
    /// As [`Catalog::write`].
    fn write_soon(&self, decide: &mut dyn FnMut(&dyn View) -> Result<Vec<Edit>>) -> Result<()> {
        self.write(decide)
    }

    /// Re-reads every row that carries a checksum and names the damaged ones.
    ///
    /// # Errors
    /// The catalog's own failure.
    fn check(&self, damaged: &mut dyn FnMut(String)) -> Result<()>;
}

/// Conveniences over [`Catalog`].
pub trait CatalogExt: Catalog {
    /// [`Catalog::read`] with a value and the caller's own error type.
    ///
    /// # Errors
    /// What `f` returns, or the catalog's failure.
    fn view<T, E: From<CatalogError>>(
        &self,
        f: impl FnOnce(&dyn View) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut f = Some(f);
        let mut out = None;
        self.read(&mut |view| {
            if let Some(f) = f.take() {
                out = Some(f(view));
            }
            Ok(())
        })?;
        out.unwrap_or_else(|| Err(CatalogError::Interrupted.into()))
    }

    /// [`Catalog::write`] with an answer beside the edits, and the caller's own
    /// error type, which leaves everything unchanged.
    ///
    /// # Errors
    /// What `decide` returns, or the catalog's failure.
    fn transact<T, E: From<CatalogError>>(
        &self,
        decide: impl FnMut(&dyn View) -> std::result::Result<(Vec<Edit>, T), E>,
    ) -> std::result::Result<T, E> {
        with_answer(decide, |decide| self.write(decide))
    }

    /// [`Catalog::write_soon`] with an answer, as [`CatalogExt::transact`].
    ///
    /// # Errors
    /// As [`CatalogExt::transact`].
    fn transact_soon<T, E: From<CatalogError>>(
        &self,
        decide: impl FnMut(&dyn View) -> std::result::Result<(Vec<Edit>, T), E>,
    ) -> std::result::Result<T, E> {
        with_answer(decide, |decide| self.write_soon(decide))
    }
}

/// What a transaction decides with.
type Decide<'a> = dyn FnMut(&dyn View) -> Result<Vec<Edit>> + 'a;

/// Carries an answer, or an error of another type, out of a transaction.
fn with_answer<T, E: From<CatalogError>>(
    mut decide: impl FnMut(&dyn View) -> std::result::Result<(Vec<Edit>, T), E>,
    write: impl FnOnce(&mut Decide<'_>) -> Result<()>,
) -> std::result::Result<T, E> {
    let mut out: Option<std::result::Result<T, E>> = None;
    let written = write(&mut |view| match decide(view) {
        Ok((edits, answer)) => {
            out = Some(Ok(answer));
            Ok(edits)
        }
        Err(error) => {
            out = Some(Err(error));
            Err(CatalogError::Interrupted)
        }
    });
    match (written, out) {
        (Ok(()), Some(answer)) => answer,
        (Err(CatalogError::Interrupted), Some(Err(error))) => Err(error),
        (Err(error), _) => Err(error.into()),
        (Ok(()), None) => Err(CatalogError::Interrupted.into()),
    }
}

impl<C: Catalog + ?Sized> CatalogExt for C {}

/// Whether a state can be read.
impl VersionState {
    /// Readable by name.
    pub fn is_committed(self) -> bool {
        matches!(self, Self::Committed)
    }
}

impl ObjectState {
    /// Bytes can still be read and claimed.
    pub fn is_usable(self) -> bool {
        !matches!(self, Self::Deleting)
    }
}
