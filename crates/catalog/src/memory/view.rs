//! What a snapshot of the tables answers.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::*;

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
