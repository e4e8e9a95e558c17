//! The catalog in memory: the model that every database is compared with, and
//! the catalog of tests.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use heirloom_core::{
    Alias, ArtifactName, CollectionId, DraftId, EntityName, PartSetId, ProjectId, ProjectName,
    RunId, RunName, Scope, Tag, Timestamp, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId};
use heirloom_store::ObjectKey;

use crate::error::CatalogError;
use crate::row::{
    AliasRow, CollectionRow, DraftRow, EdgeKind, EdgeRow, EventRow, JournalRow, Location,
    MembershipRow, ObjectNumber, ObjectRow, OperationRow, PartRow, PartSetRow, PlacedBlob,
    ProjectRow, Root, RunRow, VersionRow, VersionState,
};
use crate::view::{Catalog, Edit, Order, Result, Totals, View};

/// A catalog that lives as long as its handle.
///
/// Readers see the snapshot that was newest when they began, and never wait for
/// writers. A write copies the tables that it touches.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    state: RwLock<Arc<State>>,
    writer: Mutex<()>,
}

impl MemoryCatalog {
    /// An empty catalog.
    pub fn new() -> Self {
        Self::default()
    }

    fn snapshot(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A catalog of its own with the same content; costs next to nothing.
impl Clone for MemoryCatalog {
    fn clone(&self) -> Self {
        Self { state: RwLock::new(self.snapshot()), writer: Mutex::default() }
    }
}

impl Catalog for MemoryCatalog {
    fn read(&self, f: &mut dyn FnMut(&dyn View) -> Result<()>) -> Result<()> {
        f(&*self.snapshot())
    }

    fn write(&self, decide: &mut dyn FnMut(&dyn View) -> Result<Vec<Edit>>) -> Result<()> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.snapshot();
        let edits = decide(&*before)?;
        let mut after = State::clone(&before);
        for edit in edits {
            after.apply(edit)?;
        }
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(after);
        Ok(())
    }

    fn check(&self, _damaged: &mut dyn FnMut(String)) -> Result<()> {
        Ok(())
    }
}

type Table<K, V> = Arc<BTreeMap<K, V>>;
type Set<K> = Arc<BTreeSet<K>>;

#[derive(Debug, Clone, Default)]
struct State {
    projects: Table<ProjectId, ProjectRow>,
    project_names: Table<(EntityName, ProjectName), ProjectId>,
    collections: Table<CollectionId, CollectionRow>,
    collection_names: Table<(ProjectId, ArtifactName), CollectionId>,
    redirects: Table<(ProjectId, ArtifactName), CollectionId>,
    versions: Table<VersionId, VersionRow>,
    members: Table<(CollectionId, VersionIndex), MembershipRow>,
    places: Set<(VersionId, CollectionId, VersionIndex)>,
    aliases: Table<(CollectionId, Alias), AliasRow>,
    tags: Set<(VersionId, Tag)>,
    runs: Table<RunId, RunRow>,
    run_names: Table<(ProjectId, RunName), RunId>,
    edges: Table<(RunId, EdgeKind, VersionId), EdgeRow>,
    edges_back: Set<(VersionId, EdgeKind, RunId)>,
    events: Table<u64, EventRow>,
    operations: Table<String, OperationRow>,
    drafts: Table<DraftId, DraftRow>,
    objects: Table<ObjectKey, (u64, ObjectRow)>,
    leases: Set<(DraftId, ObjectKey)>,
    /// By the object's number of registration, which decides among equals.
    locations: Table<(Scope, BlobId, u64), Location>,
    journal: Table<(ProjectId, u64), JournalRow>,
    part_sets: Table<PartSetId, PartSetRow>,
    parts: Table<(PartSetId, u64), PartRow>,
    epoch: u64,
}

fn conflict(what: impl Into<String>) -> CatalogError {
    CatalogError::Conflict { what: what.into() }
}

fn need(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(conflict(format!("{what} does not exist"))) }
}

impl State {
    fn apply(&mut self, edit: Edit) -> Result<()> {
        match edit {
            Edit::PutProject(row) => self.put_project(row),
            Edit::PutCollection(row) => self.put_collection(row),
            Edit::PutRedirect { project, old, to } => {
                need(self.projects.contains_key(&project), "project")?;
                need(self.collections.contains_key(&to), "collection")?;
                Arc::make_mut(&mut self.redirects).insert((project, old), to);
                Ok(())
            }
            Edit::RemoveRedirect { project, old } => {
                Arc::make_mut(&mut self.redirects).remove(&(project, old));
                Ok(())
            }
            Edit::PutVersion(row) => {
                need(self.collections.contains_key(&row.collection), "collection")?;
                Arc::make_mut(&mut self.versions).insert(row.id, row);
                Ok(())
            }
            Edit::SetVersionState { version, state } => {
                match Arc::make_mut(&mut self.versions).get_mut(&version) {
                    Some(row) => row.state = state,
                    None => need(false, "version")?,
                }
                Ok(())
            }
            Edit::AddMembership(row) => {
                need(self.collections.contains_key(&row.collection), "collection")?;
                need(self.versions.contains_key(&row.version), "version")?;
                let key = (row.collection, row.index);
                if self.members.contains_key(&key) {
                    return Err(conflict(format!("membership {} exists", row.index)));
                }
                Arc::make_mut(&mut self.places).insert((row.version, key.0, key.1));
                Arc::make_mut(&mut self.members).insert(key, row);
                Ok(())
            }
            Edit::RemoveMembership { collection, index } => {
                if !self.aliases_of(collection, index)?.is_empty() {
                    return Err(conflict(format!("membership {index} has aliases")));
                }
                if let Some(row) = Arc::make_mut(&mut self.members).remove(&(collection, index)) {
                    Arc::make_mut(&mut self.places).remove(&(row.version, collection, index));
                }
                Ok(())
            }
            Edit::PutAlias(row) => {
                need(self.members.contains_key(&(row.collection, row.index)), "membership")?;
                Arc::make_mut(&mut self.aliases).insert((row.collection, row.alias.clone()), row);
                Ok(())
            }
            Edit::RemoveAlias { collection, alias } => {
                Arc::make_mut(&mut self.aliases).remove(&(collection, alias));
                Ok(())
            }
            Edit::AddTag { version, tag } => {
                need(self.versions.contains_key(&version), "version")?;
                Arc::make_mut(&mut self.tags).insert((version, tag));
                Ok(())
            }
            Edit::RemoveTag { version, tag } => {
                Arc::make_mut(&mut self.tags).remove(&(version, tag));
                Ok(())
            }
            Edit::PutRun(row) => self.put_run(row),
            Edit::AddEdge(row) => {
                need(self.runs.contains_key(&row.run), "run")?;
                need(self.versions.contains_key(&row.version), "version")?;
                let key = (row.run, row.kind, row.version);
                if !self.edges.contains_key(&key) {
                    Arc::make_mut(&mut self.edges_back).insert((row.version, row.kind, row.run));
                    Arc::make_mut(&mut self.edges).insert(key, row);
                }
                Ok(())
            }
            Edit::AppendEvent(row) => {
                need(self.collections.contains_key(&row.collection), "collection")?;
                let seq = self.events.last_key_value().map_or(1, |(seq, _)| seq + 1);
                Arc::make_mut(&mut self.events).insert(seq, EventRow { seq, ..row });
                Ok(())
            }
            Edit::AddOperation(row) => {
                if self.operations.contains_key(&row.key) {
                    return Err(conflict(format!("operation {:?} exists", row.key)));
                }
                Arc::make_mut(&mut self.operations).insert(row.key.clone(), row);
                Ok(())
            }
            Edit::PutDraft(row) => {
                need(self.projects.contains_key(&row.project), "project")?;
                Arc::make_mut(&mut self.drafts).insert(row.id, row);
                Ok(())
            }
            Edit::EndDraft(id) => {
                Arc::make_mut(&mut self.drafts).remove(&id);
                Arc::make_mut(&mut self.leases).retain(|(draft, _)| *draft != id);
                Ok(())
            }
            Edit::PutObject(row) => {
                self.put_object(row);
                Ok(())
            }
            Edit::AddLocations { scope, object, blobs } => {
                need(self.projects.contains_key(&scope.0), "project")?;
                let Some((number, _)) = self.objects.get(&object) else {
                    return need(false, "object");
                };
                let number = *number;
                let locations = Arc::make_mut(&mut self.locations);
                for (blob, location) in blobs {
                    locations
                        .entry((scope, blob, number))
                        .or_insert(Location { object, ..location });
                }
                Ok(())
            }
            Edit::Lease { draft, object } => {
                need(self.drafts.contains_key(&draft), "draft")?;
                need(self.objects.contains_key(&object), "object")?;
                Arc::make_mut(&mut self.leases).insert((draft, object));
                Ok(())
            }
            Edit::DropObject(key) => {
                if let Some((number, _)) = Arc::make_mut(&mut self.objects).remove(&key) {
                    Arc::make_mut(&mut self.leases).retain(|(_, object)| *object != key);
                    Arc::make_mut(&mut self.locations).retain(|at, _| at.2 != number);
                }
                Ok(())
            }
            Edit::DropLocations(key) => {
                if let Some((number, _)) = self.objects.get(&key) {
                    Arc::make_mut(&mut self.locations).retain(|at, _| at.2 != *number);
                }
                Ok(())
            }
            Edit::DropLocation { scope, blob, object } => {
                if let Some((number, _)) = self.objects.get(&object) {
                    Arc::make_mut(&mut self.locations).remove(&(scope, blob, *number));
                }
                Ok(())
            }
            Edit::PutPartSet(row) => {
                need(self.projects.contains_key(&row.project), "project")?;
                let taken = self.part_set(row.project, &row.name, &row.distributed_id)?;
                if taken.is_some_and(|taken| taken.id != row.id) {
                    return Err(conflict(format!(
                        "a set of parts {:?} exists",
                        row.distributed_id
                    )));
                }
                Arc::make_mut(&mut self.part_sets).insert(row.id, row);
                Ok(())
            }
            Edit::DropParts(set) => {
                Arc::make_mut(&mut self.parts).retain(|(of, _), _| *of != set);
                Ok(())
            }
            Edit::DropPartSet(set) => {
                Arc::make_mut(&mut self.parts).retain(|(of, _), _| *of != set);
                Arc::make_mut(&mut self.part_sets).remove(&set);
                Ok(())
            }
            Edit::AddPart(row) => {
                need(self.part_sets.contains_key(&row.set), "set of parts")?;
                let key = (row.set, row.seq);
                if self.parts.contains_key(&key) || self.part_by_key(row.set, &row.key)?.is_some() {
                    return Err(conflict(format!("part {} exists", row.seq)));
                }
                Arc::make_mut(&mut self.parts).insert(key, row);
                Ok(())
            }
            Edit::AddJournal(row) => {
                need(self.projects.contains_key(&row.project), "project")?;
                let key = (row.project, row.last);
                if self.journal.contains_key(&key) {
                    return Err(conflict(format!("a journal piece up to {} exists", row.last)));
                }
                Arc::make_mut(&mut self.journal).insert(key, row);
                Ok(())
            }
            Edit::DropOperations { before } => {
                Arc::make_mut(&mut self.operations).retain(|_, row| row.at >= before);
                Ok(())
            }
            Edit::SetEpoch(epoch) => {
                self.epoch = epoch;
                Ok(())
            }
        }
    }

    fn put_project(&mut self, row: ProjectRow) -> Result<()> {
        let name = (row.entity.clone(), row.name.clone());
        if self.project_names.get(&name).is_some_and(|id| *id != row.id) {
            return Err(conflict(format!("project {}/{} exists", row.entity, row.name)));
        }
        let names = Arc::make_mut(&mut self.project_names);
        if let Some(old) = self.projects.get(&row.id) {
            names.remove(&(old.entity.clone(), old.name.clone()));
        }
        names.insert(name, row.id);
        Arc::make_mut(&mut self.projects).insert(row.id, row);
        Ok(())
    }

    fn put_collection(&mut self, row: CollectionRow) -> Result<()> {
        need(self.projects.contains_key(&row.project), "project")?;
        let live = row.deleted_at.is_none();
        let name = (row.project, row.name.clone());
        if live && self.collection_names.get(&name).is_some_and(|id| *id != row.id) {
            return Err(conflict(format!("collection {} exists", row.name)));
        }
        let names = Arc::make_mut(&mut self.collection_names);
        if let Some(old) = self.collections.get(&row.id).filter(|old| old.deleted_at.is_none()) {
            names.remove(&(old.project, old.name.clone()));
        }
        if live {
            names.insert(name, row.id);
        }
        Arc::make_mut(&mut self.collections).insert(row.id, row);
        Ok(())
    }

    fn put_run(&mut self, row: RunRow) -> Result<()> {
        need(self.projects.contains_key(&row.project), "project")?;
        let name = (row.project, row.name.clone());
        if self.run_names.get(&name).is_some_and(|id| *id != row.id) {
            return Err(conflict(format!("run {} exists", row.name)));
        }
        let names = Arc::make_mut(&mut self.run_names);
        if let Some(old) = self.runs.get(&row.id) {
            names.remove(&(old.project, old.name.clone()));
        }
        names.insert(name, row.id);
        Arc::make_mut(&mut self.runs).insert(row.id, row);
        Ok(())
    }

    fn put_object(&mut self, row: ObjectRow) {
        let objects = Arc::make_mut(&mut self.objects);
        if let Some((_, old)) = objects.get_mut(&row.key) {
            old.state = row.state;
            old.claimed_epoch = row.claimed_epoch;
        } else {
            let number = objects.values().map(|(number, _)| *number).max().unwrap_or(0) + 1;
            objects.insert(row.key, (number, row));
        }
    }

    fn committed(&self, row: &MembershipRow) -> bool {
        self.versions.get(&row.version).is_some_and(|version| version.state.is_committed())
    }

    fn members_in(
        &self,
        collection: CollectionId,
    ) -> impl DoubleEndedIterator<Item = &MembershipRow> {
        let all = (collection, VersionIndex::ZERO)..=(collection, VersionIndex::new(u64::MAX));
        self.members.range(all).map(|(_, row)| row)
    }

    fn locations_of(&self, scope: Scope, blob: &BlobId) -> impl Iterator<Item = (u64, &Location)> {
        let all = (scope, *blob, 0)..=(scope, *blob, u64::MAX);
        self.locations.range(all).map(|((_, _, number), location)| (*number, location))
    }
}

impl View for State {
    fn project(&self, entity: &EntityName, name: &ProjectName) -> Result<Option<ProjectRow>> {
        let id = self.project_names.get(&(entity.clone(), name.clone()));
        Ok(id.and_then(|id| self.projects.get(id)).cloned())
    }

    fn project_by_id(&self, id: ProjectId) -> Result<Option<ProjectRow>> {
        Ok(self.projects.get(&id).cloned())
    }

    fn projects(
        &self,
        after: Option<(&EntityName, &ProjectName)>,
        limit: usize,
    ) -> Result<Vec<ProjectRow>> {
        let from = match after {
            Some((entity, name)) => Excluded((entity.clone(), name.clone())),
            None => Unbounded,
        };
        let ids = self.project_names.range((from, Unbounded)).take(limit);
        Ok(ids.filter_map(|(_, id)| self.projects.get(id)).cloned().collect())
    }

    fn collection(&self, project: ProjectId, name: &ArtifactName) -> Result<Option<CollectionRow>> {
        let id = self.collection_names.get(&(project, name.clone()));
        Ok(id.and_then(|id| self.collections.get(id)).cloned())
    }

    fn collection_by_id(&self, id: CollectionId) -> Result<Option<CollectionRow>> {
        Ok(self.collections.get(&id).cloned())
    }

    fn redirect(&self, project: ProjectId, name: &ArtifactName) -> Result<Option<CollectionId>> {
        Ok(self.redirects.get(&(project, name.clone())).copied())
    }

    fn collections(
        &self,
        project: ProjectId,
        after: Option<&ArtifactName>,
        limit: usize,
    ) -> Result<Vec<CollectionRow>> {
        let ids = self
            .collection_names
            .iter()
            .filter(|((id, name), _)| *id == project && after.is_none_or(|after| name > after))
            .take(limit);
        Ok(ids.filter_map(|(_, id)| self.collections.get(id)).cloned().collect())
    }

    fn deleted_collections(
        &self,
        project: ProjectId,
        after: Option<CollectionId>,
        limit: usize,
    ) -> Result<Vec<CollectionRow>> {
        let after = after.map_or(Unbounded, Excluded);
        let rows = self.collections.range((after, Unbounded)).map(|(_, row)| row);
        let deleted = rows.filter(|row| row.project == project && row.deleted_at.is_some());
        Ok(deleted.take(limit).cloned().collect())
    }

    fn version(&self, id: VersionId) -> Result<Option<VersionRow>> {
        Ok(self.versions.get(&id).cloned())
    }

    fn versions(&self, ids: &[VersionId]) -> Result<Vec<VersionRow>> {
        Ok(ids.iter().filter_map(|id| self.versions.get(id)).cloned().collect())
    }

    fn membership(
        &self,
        collection: CollectionId,
        index: VersionIndex,
    ) -> Result<Option<MembershipRow>> {
        Ok(self.members.get(&(collection, index)).cloned())
    }

    fn newest(&self, collection: CollectionId) -> Result<Option<MembershipRow>> {
        Ok(self.members_in(collection).rev().find(|row| self.committed(row)).cloned())
    }

    fn memberships(
        &self,
        collection: CollectionId,
        after: Option<VersionIndex>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<MembershipRow>> {
        let rows = self.members_in(collection);
        Ok(match order {
            Order::Oldest => rows
                .filter(|row| after.is_none_or(|after| row.index > after))
                .take(limit)
                .cloned()
                .collect(),
            Order::Newest => rows
                .rev()
                .filter(|row| after.is_none_or(|after| row.index < after))
                .take(limit)
                .cloned()
                .collect(),
        })
    }

    fn memberships_of(&self, version: VersionId) -> Result<Vec<MembershipRow>> {
        let own = self.versions.get(&version).map(|row| row.collection);
        let from = (version, CollectionId(i64::MIN), VersionIndex::ZERO);
        let to = (version, CollectionId(i64::MAX), VersionIndex::new(u64::MAX));
        let mut rows: Vec<MembershipRow> = self
            .places
            .range(from..=to)
            .filter_map(|(_, collection, index)| self.members.get(&(*collection, *index)))
            .cloned()
            .collect();
        rows.sort_by_key(|row| Some(row.collection) != own);
        Ok(rows)
    }

    fn by_digest(
        &self,
        collection: CollectionId,
        digest: &ManifestId,
    ) -> Result<Vec<MembershipRow>> {
        let same = |row: &&MembershipRow| {
            self.versions
                .get(&row.version)
                .is_some_and(|version| version.state.is_committed() && version.digest == *digest)
        };
        Ok(self.members_in(collection).rev().filter(same).cloned().collect())
    }

    fn all_versions(&self, after: Option<VersionId>, limit: usize) -> Result<Vec<VersionRow>> {
        let from = after.map_or(Unbounded, Excluded);
        Ok(self
            .versions
            .range((from, Unbounded))
            .map(|(_, row)| row)
            .filter(|row| row.state != VersionState::Purged)
            .take(limit)
            .cloned()
            .collect())
    }

    fn each_root(&self, visit: &mut dyn FnMut(Root)) -> Result<()> {
        for row in self.versions.values() {
            let deleted_at = match row.state {
                VersionState::Committed => None,
                VersionState::Deleted { at, .. } => Some(at),
                VersionState::Purged => continue,
            };
            let collection = self.collections.get(&row.collection).ok_or_else(|| {
                CatalogError::Damaged { what: format!("version {} is in no collection", row.id) }
            })?;
            visit(Root {
                scope: Scope(collection.project),
                version: row.id,
                root: row.root,
                record: row.record,
                attachments: row.attachments.clone(),
                deleted_at,
            });
        }
        Ok(())
    }

    fn purgeable(&self, now: Timestamp, limit: usize) -> Result<Vec<VersionRow>> {
        let due = |row: &VersionRow| match row.state {
            VersionState::Deleted { purge_after, .. } if purge_after <= now => {
                Some((purge_after, row.id))
            }
            _ => None,
        };
        let mut rows: Vec<&VersionRow> =
            self.versions.values().filter(|row| due(row).is_some()).collect();
        rows.sort_by_key(|row| due(row));
        Ok(rows.into_iter().take(limit).cloned().collect())
    }

    fn alias(&self, collection: CollectionId, alias: &Alias) -> Result<Option<AliasRow>> {
        Ok(self.aliases.get(&(collection, alias.clone())).cloned())
    }

    fn aliases(&self, collection: CollectionId) -> Result<Vec<AliasRow>> {
        Ok(self.aliases.values().filter(|row| row.collection == collection).cloned().collect())
    }

    fn aliases_of(&self, collection: CollectionId, index: VersionIndex) -> Result<Vec<AliasRow>> {
        let mut rows = self.aliases(collection)?;
        rows.retain(|row| row.index == index);
        Ok(rows)
    }

    fn tags(&self, version: VersionId) -> Result<Vec<Tag>> {
        let rows = self.tags.iter().filter(|(id, _)| *id == version);
        Ok(rows.map(|(_, tag)| tag.clone()).collect())
    }

    fn run(&self, id: RunId) -> Result<Option<RunRow>> {
        Ok(self.runs.get(&id).cloned())
    }

    fn runs(&self, ids: &[RunId]) -> Result<Vec<RunRow>> {
        Ok(ids.iter().filter_map(|id| self.runs.get(id)).cloned().collect())
    }

    fn run_by_name(&self, project: ProjectId, name: &RunName) -> Result<Option<RunRow>> {
        let id = self.run_names.get(&(project, name.clone()));
        Ok(id.and_then(|id| self.runs.get(id)).cloned())
    }

    fn runs_of(
        &self,
        project: ProjectId,
        before: Option<(Timestamp, RunId)>,
        limit: usize,
    ) -> Result<Vec<RunRow>> {
        let mut rows: Vec<&RunRow> = self
            .runs
            .values()
            .filter(|row| row.project == project)
            .filter(|row| before.is_none_or(|before| (row.started_at, row.id) < before))
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.started_at, row.id)));
        Ok(rows.into_iter().take(limit).cloned().collect())
    }

    fn edge(&self, kind: EdgeKind, run: RunId, version: VersionId) -> Result<Option<EdgeRow>> {
        Ok(self.edges.get(&(run, kind, version)).cloned())
    }

    fn edges_of_runs(&self, runs: &[RunId], kind: Option<EdgeKind>) -> Result<Vec<EdgeRow>> {
        let runs: BTreeSet<RunId> = runs.iter().copied().collect();
        let mut rows = Vec::new();
        for run in runs {
            let from = (run, kind.unwrap_or(EdgeKind::Produced), VersionId::from_random(0));
            let to = (run, kind.unwrap_or(EdgeKind::Used), VersionId::from_random(u64::MAX));
            rows.extend(self.edges.range(from..=to).map(|(_, row)| row.clone()));
        }
        Ok(rows)
    }

    fn edges_of_versions(
        &self,
        versions: &[VersionId],
        kind: Option<EdgeKind>,
    ) -> Result<Vec<EdgeRow>> {
        let versions: BTreeSet<VersionId> = versions.iter().copied().collect();
        let mut rows = Vec::new();
        for version in versions {
            let from = (version, kind.unwrap_or(EdgeKind::Produced), RunId::from_random(0));
            let to = (version, kind.unwrap_or(EdgeKind::Used), RunId::from_random(u64::MAX));
            let keys = self.edges_back.range((Included(from), Included(to)));
            let found = keys.filter_map(|(v, kind, run)| self.edges.get(&(*run, *kind, *v)));
            rows.extend(found.cloned());
        }
        Ok(rows)
    }

    fn all_edges(&self, visit: &mut dyn FnMut(EdgeRow)) -> Result<()> {
        self.edges.values().cloned().for_each(visit);
        Ok(())
    }

    fn events(
        &self,
        collection: CollectionId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EventRow>> {
        let to = before.map_or(Unbounded, Excluded);
        Ok(self
            .events
            .range((Unbounded, to))
            .rev()
            .map(|(_, row)| row)
            .filter(|row| row.collection == collection)
            .take(limit)
            .cloned()
            .collect())
    }

    fn operation(&self, key: &str) -> Result<Option<OperationRow>> {
        Ok(self.operations.get(key).cloned())
    }

    fn draft(&self, id: DraftId) -> Result<Option<DraftRow>> {
        Ok(self.drafts.get(&id).cloned())
    }

    fn drafts(&self, after: Option<DraftId>, limit: usize) -> Result<Vec<DraftRow>> {
        let from = after.map_or(Unbounded, Excluded);
        Ok(self.drafts.range((from, Unbounded)).take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn project_events(
        &self,
        project: ProjectId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EventRow>> {
        let of = |row: &&EventRow| {
            self.collections.get(&row.collection).is_some_and(|row| row.project == project)
        };
        let rows = self.events.range((Excluded(after), Unbounded)).map(|(_, row)| row);
        Ok(rows.filter(of).take(limit).cloned().collect())
    }

    fn journal(&self, project: ProjectId) -> Result<Vec<JournalRow>> {
        let rows = self.journal.range((project, 0)..=(project, u64::MAX));
        Ok(rows.map(|(_, row)| *row).collect())
    }

    fn part_set(
        &self,
        project: ProjectId,
        name: &ArtifactName,
        distributed_id: &str,
    ) -> Result<Option<PartSetRow>> {
        let same = |row: &&PartSetRow| {
            row.project == project && row.name == *name && row.distributed_id == distributed_id
        };
        Ok(self.part_sets.values().find(same).cloned())
    }

    fn part_set_by_id(&self, id: PartSetId) -> Result<Option<PartSetRow>> {
        Ok(self.part_sets.get(&id).cloned())
    }

    fn part_sets(&self, after: Option<PartSetId>, limit: usize) -> Result<Vec<PartSetRow>> {
        let from = after.map_or(Unbounded, Excluded);
        let rows = self.part_sets.range((from, Unbounded)).take(limit);
        Ok(rows.map(|(_, row)| row.clone()).collect())
    }

    fn parts(&self, set: PartSetId, after: Option<u64>, limit: usize) -> Result<Vec<PartRow>> {
        let from = after.map_or(Included((set, 0)), |seq| Excluded((set, seq)));
        let rows = self.parts.range((from, Included((set, u64::MAX)))).take(limit);
        Ok(rows.map(|(_, row)| row.clone()).collect())
    }

    fn last_part(&self, set: PartSetId) -> Result<Option<PartRow>> {
        Ok(self.parts.range((set, 0)..=(set, u64::MAX)).next_back().map(|(_, row)| row.clone()))
    }

    fn part_by_key(&self, set: PartSetId, key: &str) -> Result<Option<PartRow>> {
        let mut rows = self.parts.range((set, 0)..=(set, u64::MAX)).map(|(_, row)| row);
        Ok(rows.find(|row| row.key == key).cloned())
    }

    fn object(&self, key: &ObjectKey) -> Result<Option<ObjectRow>> {
        Ok(self.objects.get(key).map(|(_, row)| row.clone()))
    }

    fn objects(&self, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectRow>> {
        let from = after.map_or(Unbounded, |key| Excluded(*key));
        let rows = self.objects.range((from, Unbounded)).take(limit);
        Ok(rows.map(|(_, (_, row))| row.clone()).collect())
    }

    fn each_object(&self, visit: &mut dyn FnMut(ObjectNumber, ObjectRow)) -> Result<()> {
        for (number, row) in self.objects.values() {
            visit(ObjectNumber(*number), row.clone());
        }
        Ok(())
    }

    fn is_leased(&self, object: &ObjectKey) -> Result<bool> {
        Ok(self.leases.iter().any(|(_, leased)| leased == object))
    }

    fn each_leased(&self, visit: &mut dyn FnMut(ObjectNumber)) -> Result<()> {
        let keys: BTreeSet<ObjectKey> = self.leases.iter().map(|(_, key)| *key).collect();
        let numbers = keys.iter().filter_map(|key| self.objects.get(key));
        numbers.for_each(|(number, _)| visit(ObjectNumber(*number)));
        Ok(())
    }

    fn placed_blobs(
        &self,
        after: Option<(Scope, BlobId)>,
        limit: usize,
        visit: &mut dyn FnMut(PlacedBlob),
    ) -> Result<Option<(Scope, BlobId)>> {
        let from = match after {
            Some((scope, blob)) => Excluded((scope, blob, u64::MAX)),
            None => Unbounded,
        };
        let mut last = None;
        let rows = self.locations.range((from, Unbounded));
        for (seen, ((scope, blob, number), at)) in rows.enumerate() {
            if seen >= limit && last != Some((*scope, *blob)) {
                return Ok(last);
            }
            last = Some((*scope, *blob));
            visit(PlacedBlob {
                scope: *scope,
                blob: *blob,
                object: ObjectNumber(*number),
                stored: at.stored,
                raw: at.raw,
            });
        }
        Ok(None)
    }

    fn leases(&self, draft: DraftId) -> Result<Vec<ObjectKey>> {
        Ok(self.leases.iter().filter(|(id, _)| *id == draft).map(|(_, key)| *key).collect())
    }

    fn locate(&self, scope: Scope, blobs: &[BlobId]) -> Result<Vec<Option<Location>>> {
        let one = |blob: &BlobId| {
            self.locations_of(scope, blob)
                .filter_map(|(number, location)| {
                    let (_, object) = self.objects.get(&location.object)?;
                    object.state.is_usable().then_some((number, *location))
                })
                .max_by_key(|(number, _)| *number)
                .map(|(_, location)| location)
        };
        Ok(blobs.iter().map(one).collect())
    }

    fn locations_anywhere(&self, blob: &BlobId) -> Result<Vec<(Scope, Location)>> {
        let scopes = self.projects.keys().map(|id| Scope(*id));
        Ok(scopes
            .flat_map(|scope| self.locations_of(scope, blob).map(move |(_, at)| (scope, *at)))
            .collect())
    }

    fn located_in(
        &self,
        object: &ObjectKey,
        visit: &mut dyn FnMut(Scope, BlobId, Location),
    ) -> Result<()> {
        if let Some((wanted, _)) = self.objects.get(object) {
            for ((scope, blob, number), location) in self.locations.iter() {
                if number == wanted {
                    visit(*scope, *blob, *location);
                }
            }
        }
        Ok(())
    }

    fn epoch(&self) -> Result<u64> {
        Ok(self.epoch)
    }

    fn totals(&self) -> Result<Totals> {
        let blobs: BTreeSet<(Scope, BlobId)> =
            self.locations.keys().map(|(scope, blob, _)| (*scope, *blob)).collect();
        Ok(Totals {
            objects: self.objects.len() as u64,
            object_bytes: self.objects.values().map(|(_, row)| row.size).sum(),
            blobs: blobs.len() as u64,
            versions: self.versions.values().filter(|v| v.state.is_committed()).count() as u64,
            runs: self.runs.len() as u64,
        })
    }
}
