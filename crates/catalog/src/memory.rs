//! The catalog in memory: the model that every database is compared with, and
//! the catalog of tests.

mod view;

use std::collections::{BTreeMap, BTreeSet};
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
