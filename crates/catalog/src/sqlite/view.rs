//! The [`View`] over one open transaction.

use std::collections::BTreeSet;

use heirloom_core::{
    Alias, ArtifactName, CollectionId, DraftId, EntityName, PartSetId, ProjectId, ProjectName,
    RunId, RunName, Scope, Tag, Timestamp, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId};
use heirloom_store::ObjectKey;
use rusqlite::{Connection, Params, Row};

use super::convert::{self, damaged, edge_kind_to_sql, int, key_to_sql, limit as rows_at_most};
use super::{locate, walks};
use crate::row::{
    AliasRow, CollectionRow, DraftRow, EdgeKind, EdgeRow, EventRow, JournalRow, Location,
    MembershipRow, ObjectNumber, ObjectRow, OperationRow, PartRow, PartSetRow, PlacedBlob,
    ProjectRow, Root, RunRow, VersionRow,
};
use crate::view::{Order, Result, Totals, View};

pub(super) struct SqliteView<'c> {
    connection: &'c Connection,
}

/// Puts a list of columns into a statement; statements are cached by their text.
macro_rules! sql {
    ($format:literal, $columns:expr) => {
        &format!($format, columns = $columns)
    };
}

impl<'c> SqliteView<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection }
    }

    fn many<T>(
        &self,
        sql: &str,
        params: impl Params,
        convert: fn(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(convert(row)?);
        }
        Ok(found)
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        convert: fn(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(convert).transpose()
    }
}

impl View for SqliteView<'_> {
    fn project(&self, entity: &EntityName, name: &ProjectName) -> Result<Option<ProjectRow>> {
        self.one(
            sql!(
                "SELECT {columns} FROM project WHERE entity = ?1 AND name = ?2",
                convert::PROJECT_COLUMNS
            ),
            (entity.as_str(), name.as_str()),
            convert::project,
        )
    }

    fn project_by_id(&self, id: ProjectId) -> Result<Option<ProjectRow>> {
        self.one(
            sql!("SELECT {columns} FROM project WHERE id = ?1", convert::PROJECT_COLUMNS),
            [id.0],
            convert::project,
        )
    }

    fn projects(
        &self,
        after: Option<(&EntityName, &ProjectName)>,
        limit: usize,
    ) -> Result<Vec<ProjectRow>> {
        let (entity, name) = after.map_or(("", ""), |(e, n)| (e.as_str(), n.as_str()));
        self.many(
            sql!(
                "SELECT {columns} FROM project WHERE (entity, name) > (?1, ?2)
                 ORDER BY entity, name LIMIT ?3",
                convert::PROJECT_COLUMNS
            ),
            (entity, name, rows_at_most(limit)),
            convert::project,
        )
    }

    fn collection(&self, project: ProjectId, name: &ArtifactName) -> Result<Option<CollectionRow>> {
        self.one(
            sql!(
                "SELECT {columns} FROM collection
                 WHERE project = ?1 AND name = ?2 AND deleted_at IS NULL",
                convert::COLLECTION_COLUMNS
            ),
            (project.0, name.as_str()),
            convert::collection,
        )
    }

    fn collection_by_id(&self, id: CollectionId) -> Result<Option<CollectionRow>> {
        self.one(
            sql!("SELECT {columns} FROM collection WHERE id = ?1", convert::COLLECTION_COLUMNS),
            [id.0],
            convert::collection,
        )
    }

    fn redirect(&self, project: ProjectId, name: &ArtifactName) -> Result<Option<CollectionId>> {
        self.one(
            "SELECT target FROM redirect WHERE project = ?1 AND old = ?2",
            (project.0, name.as_str()),
            |row| Ok(CollectionId(row.get(0)?)),
        )
    }

    fn collections(
        &self,
        project: ProjectId,
        after: Option<&ArtifactName>,
        limit: usize,
    ) -> Result<Vec<CollectionRow>> {
        self.many(
            sql!(
                "SELECT {columns} FROM collection
                 WHERE project = ?1 AND name > ?2 AND deleted_at IS NULL ORDER BY name LIMIT ?3",
                convert::COLLECTION_COLUMNS
            ),
            (project.0, after.map_or("", ArtifactName::as_str), rows_at_most(limit)),
            convert::collection,
        )
    }

    fn deleted_collections(
        &self,
        project: ProjectId,
        after: Option<CollectionId>,
        limit: usize,
    ) -> Result<Vec<CollectionRow>> {
        self.many(
            sql!(
                "SELECT {columns} FROM collection
                 WHERE project = ?1 AND id > ?2 AND deleted_at IS NOT NULL ORDER BY id LIMIT ?3",
                convert::COLLECTION_COLUMNS
            ),
            (project.0, after.map_or(i64::MIN, |id| id.0), rows_at_most(limit)),
            convert::collection,
        )
    }

    fn version(&self, id: VersionId) -> Result<Option<VersionRow>> {
        self.one(
            sql!("SELECT {columns} FROM version WHERE id = ?1", convert::VERSION_COLUMNS),
            [int(id.get())?],
            convert::version,
        )
    }

    fn versions(&self, ids: &[VersionId]) -> Result<Vec<VersionRow>> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.version(*id)?);
        }
        Ok(found)
    }

    fn membership(
        &self,
        collection: CollectionId,
        index: VersionIndex,
    ) -> Result<Option<MembershipRow>> {
        self.one(
            sql!(
                "SELECT {columns} FROM membership m WHERE m.collection = ?1 AND m.idx = ?2",
                convert::MEMBERSHIP_COLUMNS
            ),
            (collection.0, int(index.get())?),
            convert::membership,
        )
    }

    fn newest(&self, collection: CollectionId) -> Result<Option<MembershipRow>> {
        // Driven by the membership's key, not by all versions.
        self.one(
            sql!(
                "SELECT {columns} FROM membership m WHERE m.collection = ?1
                 AND (SELECT v.state FROM version v WHERE v.id = m.version) = 0
                 ORDER BY m.idx DESC LIMIT 1",
                convert::MEMBERSHIP_COLUMNS
            ),
            [collection.0],
            convert::membership,
        )
    }

    fn memberships(
        &self,
        collection: CollectionId,
        after: Option<VersionIndex>,
        order: Order,
        limit: usize,
    ) -> Result<Vec<MembershipRow>> {
        let after = after.map(|index| int(index.get())).transpose()?;
        let (beyond, direction, start) = match order {
            Order::Oldest => (">", "ASC", -1),
            Order::Newest => ("<", "DESC", i64::MAX),
        };
        let sql = format!(
            "SELECT {} FROM membership m WHERE m.collection = ?1 AND m.idx {beyond} ?2
             ORDER BY m.idx {direction} LIMIT ?3",
            convert::MEMBERSHIP_COLUMNS
        );
        let after = after.unwrap_or(start);
        self.many(&sql, (collection.0, after, rows_at_most(limit)), convert::membership)
    }

    fn memberships_of(&self, version: VersionId) -> Result<Vec<MembershipRow>> {
        self.many(
            sql!(
                "SELECT {columns} FROM membership m JOIN version v ON v.id = m.version
                 WHERE m.version = ?1
                 ORDER BY CASE WHEN m.collection = v.collection THEN 0 ELSE 1 END,
                          m.collection, m.idx",
                convert::MEMBERSHIP_COLUMNS
            ),
            [int(version.get())?],
            convert::membership,
        )
    }

    fn by_digest(
        &self,
        collection: CollectionId,
        digest: &ManifestId,
    ) -> Result<Vec<MembershipRow>> {
        self.many(
            sql!(
                "SELECT {columns} FROM version v JOIN membership m ON m.version = v.id
                 WHERE v.digest = ?2 AND v.state = 0 AND m.collection = ?1 ORDER BY m.idx DESC",
                convert::MEMBERSHIP_COLUMNS
            ),
            (collection.0, digest.as_bytes()),
            convert::membership,
        )
    }

    fn all_versions(&self, after: Option<VersionId>, limit: usize) -> Result<Vec<VersionRow>> {
        let after = after.map(|id| int(id.get())).transpose()?.unwrap_or(-1);
        self.many(
            sql!(
                "SELECT {columns} FROM version WHERE id > ?1 AND state <> 2 ORDER BY id LIMIT ?2",
                convert::VERSION_COLUMNS
            ),
            (after, rows_at_most(limit)),
            convert::version,
        )
    }

    fn each_root(&self, visit: &mut dyn FnMut(Root)) -> Result<()> {
        walks::each_root(self.connection, visit)
    }

    fn purgeable(&self, now: Timestamp, limit: usize) -> Result<Vec<VersionRow>> {
        self.many(
            sql!(
                "SELECT {columns} FROM version WHERE state = 1 AND purge_after <= ?1
                 ORDER BY purge_after, id LIMIT ?2",
                convert::VERSION_COLUMNS
            ),
            (now.micros(), rows_at_most(limit)),
            convert::version,
        )
    }

    fn alias(&self, collection: CollectionId, alias: &Alias) -> Result<Option<AliasRow>> {
        self.one(
            sql!(
                "SELECT {columns} FROM alias WHERE collection = ?1 AND alias = ?2",
                convert::ALIAS_COLUMNS
            ),
            (collection.0, alias.as_str()),
            convert::alias,
        )
    }

    fn aliases(&self, collection: CollectionId) -> Result<Vec<AliasRow>> {
        self.many(
            sql!(
                "SELECT {columns} FROM alias WHERE collection = ?1 ORDER BY alias",
                convert::ALIAS_COLUMNS
            ),
            [collection.0],
            convert::alias,
        )
    }

    fn aliases_of(&self, collection: CollectionId, index: VersionIndex) -> Result<Vec<AliasRow>> {
        self.many(
            sql!(
                "SELECT {columns} FROM alias WHERE collection = ?1 AND idx = ?2 ORDER BY alias",
                convert::ALIAS_COLUMNS
            ),
            (collection.0, int(index.get())?),
            convert::alias,
        )
    }

    fn tags(&self, version: VersionId) -> Result<Vec<Tag>> {
        self.many(
            "SELECT tag FROM tag WHERE version = ?1 ORDER BY tag",
            [int(version.get())?],
            |row| {
                let text: String = row.get(0)?;
                Tag::new(&text).map_err(|error| damaged(error.to_string()))
            },
        )
    }

    fn run(&self, id: RunId) -> Result<Option<RunRow>> {
        self.one(
            sql!("SELECT {columns} FROM run WHERE id = ?1", convert::RUN_COLUMNS),
            [int(id.get())?],
            convert::run,
        )
    }

    fn runs(&self, ids: &[RunId]) -> Result<Vec<RunRow>> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.run(*id)?);
        }
        Ok(found)
    }

    fn run_by_name(&self, project: ProjectId, name: &RunName) -> Result<Option<RunRow>> {
        self.one(
            sql!(
                "SELECT {columns} FROM run WHERE project = ?1 AND name = ?2",
                convert::RUN_COLUMNS
            ),
            (project.0, name.as_str()),
            convert::run,
        )
    }

    fn runs_of(
        &self,
        project: ProjectId,
        before: Option<(Timestamp, RunId)>,
        limit: usize,
    ) -> Result<Vec<RunRow>> {
        let (at, id) = match before {
            Some((at, id)) => (at.micros(), int(id.get())?),
            None => (i64::MAX, i64::MAX),
        };
        self.many(
            sql!(
                "SELECT {columns} FROM run WHERE project = ?1 AND (started_at, id) < (?2, ?3)
                 ORDER BY started_at DESC, id DESC LIMIT ?4",
                convert::RUN_COLUMNS
            ),
            (project.0, at, id, rows_at_most(limit)),
            convert::run,
        )
    }

    fn edge(&self, kind: EdgeKind, run: RunId, version: VersionId) -> Result<Option<EdgeRow>> {
        self.one(
            sql!(
                "SELECT {columns} FROM edge WHERE run = ?1 AND kind = ?2 AND version = ?3",
                convert::EDGE_COLUMNS
            ),
            (int(run.get())?, edge_kind_to_sql(kind), int(version.get())?),
            convert::edge,
        )
    }

    fn edges_of_runs(&self, runs: &[RunId], kind: Option<EdgeKind>) -> Result<Vec<EdgeRow>> {
        let sql = sql!(
            "SELECT {columns} FROM edge WHERE run = ?1 AND kind BETWEEN ?2 AND ?3 ORDER BY kind, version",
            convert::EDGE_COLUMNS
        );
        let (from, to) = edge_kinds(kind);
        let mut found = Vec::new();
        for run in runs.iter().copied().collect::<BTreeSet<_>>() {
            found.extend(self.many(sql, (int(run.get())?, from, to), convert::edge)?);
        }
        Ok(found)
    }

    fn edges_of_versions(
        &self,
        versions: &[VersionId],
        kind: Option<EdgeKind>,
    ) -> Result<Vec<EdgeRow>> {
        let sql = sql!(
            "SELECT {columns} FROM edge WHERE version = ?1 AND kind BETWEEN ?2 AND ?3 ORDER BY kind, run",
            convert::EDGE_COLUMNS
        );
        let (from, to) = edge_kinds(kind);
        let mut found = Vec::new();
        for version in versions.iter().copied().collect::<BTreeSet<_>>() {
            found.extend(self.many(sql, (int(version.get())?, from, to), convert::edge)?);
        }
        Ok(found)
    }

    fn all_edges(&self, visit: &mut dyn FnMut(EdgeRow)) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql!(
            "SELECT {columns} FROM edge ORDER BY run, kind, version",
            convert::EDGE_COLUMNS
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(convert::edge(row)?);
        }
        Ok(())
    }

    fn events(
        &self,
        collection: CollectionId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EventRow>> {
        let before = before.map(int).transpose()?.unwrap_or(i64::MAX);
        self.many(
            sql!(
                "SELECT {columns} FROM event WHERE collection = ?1 AND seq < ?2
                 ORDER BY seq DESC LIMIT ?3",
                convert::EVENT_COLUMNS
            ),
            (collection.0, before, rows_at_most(limit)),
            convert::event,
        )
    }

    fn operation(&self, key: &str) -> Result<Option<OperationRow>> {
        self.one(
            "SELECT key, request, answer, at FROM operation WHERE key = ?1",
            [key],
            convert::operation,
        )
    }

    fn draft(&self, id: DraftId) -> Result<Option<DraftRow>> {
        self.one(
            sql!("SELECT {columns} FROM draft WHERE id = ?1", convert::DRAFT_COLUMNS),
            [int(id.get())?],
            convert::draft,
        )
    }

    fn drafts(&self, after: Option<DraftId>, limit: usize) -> Result<Vec<DraftRow>> {
        let after = after.map(|id| int(id.get())).transpose()?.unwrap_or(-1);
        self.many(
            sql!(
                "SELECT {columns} FROM draft WHERE id > ?1 ORDER BY id LIMIT ?2",
                convert::DRAFT_COLUMNS
            ),
            (after, rows_at_most(limit)),
            convert::draft,
        )
    }

    fn project_events(
        &self,
        project: ProjectId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<EventRow>> {
        self.many(
            "SELECT e.seq, e.at, e.actor, e.kind, e.collection, e.idx, e.run, e.detail
             FROM event e CROSS JOIN collection c ON c.id = e.collection
             WHERE e.seq > ?2 AND c.project = ?1 ORDER BY e.seq LIMIT ?3",
            (project.0, int(after)?, rows_at_most(limit)),
            convert::event,
        )
    }

    fn journal(&self, project: ProjectId) -> Result<Vec<JournalRow>> {
        self.many(
            "SELECT project, first, last, blob FROM journal WHERE project = ?1 ORDER BY last",
            [project.0],
            convert::journal,
        )
    }

    fn part_set(
        &self,
        project: ProjectId,
        name: &ArtifactName,
        distributed_id: &str,
    ) -> Result<Option<PartSetRow>> {
        self.one(
            sql!(
                "SELECT {columns} FROM part_set
                 WHERE project = ?1 AND name = ?2 AND distributed_id = ?3",
                convert::PART_SET_COLUMNS
            ),
            (project.0, name.as_str(), distributed_id),
            convert::part_set,
        )
    }

    fn part_set_by_id(&self, id: PartSetId) -> Result<Option<PartSetRow>> {
        self.one(
            sql!("SELECT {columns} FROM part_set WHERE id = ?1", convert::PART_SET_COLUMNS),
            [int(id.get())?],
            convert::part_set,
        )
    }

    fn part_sets(&self, after: Option<PartSetId>, limit: usize) -> Result<Vec<PartSetRow>> {
        let after = after.map(|id| int(id.get())).transpose()?.unwrap_or(-1);
        self.many(
            sql!(
                "SELECT {columns} FROM part_set WHERE id > ?1 ORDER BY id LIMIT ?2",
                convert::PART_SET_COLUMNS
            ),
            (after, rows_at_most(limit)),
            convert::part_set,
        )
    }

    fn parts(&self, set: PartSetId, after: Option<u64>, limit: usize) -> Result<Vec<PartRow>> {
        let after = after.map(int).transpose()?.unwrap_or(-1);
        self.many(
            sql!(
                "SELECT {columns} FROM part WHERE part_set = ?1 AND seq > ?2
                 ORDER BY seq LIMIT ?3",
                convert::PART_COLUMNS
            ),
            (int(set.get())?, after, rows_at_most(limit)),
            convert::part,
        )
    }

    fn last_part(&self, set: PartSetId) -> Result<Option<PartRow>> {
        self.one(
            sql!(
                "SELECT {columns} FROM part WHERE part_set = ?1 ORDER BY seq DESC LIMIT 1",
                convert::PART_COLUMNS
            ),
            [int(set.get())?],
            convert::part,
        )
    }

    fn part_by_key(&self, set: PartSetId, key: &str) -> Result<Option<PartRow>> {
        self.one(
            sql!(
                "SELECT {columns} FROM part WHERE part_set = ?1 AND key = ?2",
                convert::PART_COLUMNS
            ),
            (int(set.get())?, key),
            convert::part,
        )
    }

    fn object(&self, key: &ObjectKey) -> Result<Option<ObjectRow>> {
        self.one(
            sql!("SELECT {columns} FROM object WHERE key = ?1", convert::OBJECT_COLUMNS),
            [key_to_sql(key)],
            convert::object,
        )
    }

    fn objects(&self, after: Option<&ObjectKey>, limit: usize) -> Result<Vec<ObjectRow>> {
        let after = after.map(key_to_sql);
        let after = after.as_ref().map_or(&[][..], |key| &key[..]);
        self.many(
            sql!(
                "SELECT {columns} FROM object WHERE key > ?1 ORDER BY key LIMIT ?2",
                convert::OBJECT_COLUMNS
            ),
            (after, rows_at_most(limit)),
            convert::object,
        )
    }

    fn each_object(&self, visit: &mut dyn FnMut(ObjectNumber, ObjectRow)) -> Result<()> {
        walks::each_object(self.connection, visit)
    }

    fn is_leased(&self, object: &ObjectKey) -> Result<bool> {
        let found = self.one(
            "SELECT 1 FROM object o JOIN lease l ON l.object = o.number WHERE o.key = ?1 LIMIT 1",
            [key_to_sql(object)],
            |_| Ok(()),
        )?;
        Ok(found.is_some())
    }

    fn each_leased(&self, visit: &mut dyn FnMut(ObjectNumber)) -> Result<()> {
        walks::each_leased(self.connection, visit)
    }

    fn placed_blobs(
        &self,
        after: Option<(Scope, BlobId)>,
        limit: usize,
        visit: &mut dyn FnMut(PlacedBlob),
    ) -> Result<Option<(Scope, BlobId)>> {
        walks::placed_blobs(self.connection, after, limit, visit)
    }

    fn leases(&self, draft: DraftId) -> Result<Vec<ObjectKey>> {
        self.many(
            "SELECT o.key FROM lease l JOIN object o ON o.number = l.object
             WHERE l.draft = ?1 ORDER BY o.key",
            [int(draft.get())?],
            |row| convert::Columns::of(row).key(),
        )
    }

    fn locate(&self, scope: Scope, blobs: &[BlobId]) -> Result<Vec<Option<Location>>> {
        locate::locate(self.connection, scope, blobs)
    }

    fn locations_anywhere(&self, blob: &BlobId) -> Result<Vec<(Scope, Location)>> {
        locate::anywhere(self.connection, blob)
    }

    fn located_in(
        &self,
        object: &ObjectKey,
        visit: &mut dyn FnMut(Scope, BlobId, Location),
    ) -> Result<()> {
        locate::located_in(self.connection, object, visit)
    }

    fn epoch(&self) -> Result<u64> {
        let epoch = self.one("SELECT value FROM meta WHERE key = 'epoch'", [], |row| {
            Ok(row.get::<_, i64>(0)?)
        })?;
        let epoch = epoch.ok_or_else(|| damaged("the epoch is missing"))?;
        u64::try_from(epoch).map_err(|_| damaged(format!("the epoch is {epoch}")))
    }

    fn totals(&self) -> Result<Totals> {
        let count = |sql: &str| -> Result<u64> {
            let value = self.one(sql, [], |row| Ok(row.get::<_, i64>(0)?))?;
            Ok(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(0))
        };
        Ok(Totals {
            objects: count("SELECT COUNT(*) FROM object")?,
            object_bytes: count("SELECT COALESCE(SUM(size), 0) FROM object")?,
            blobs: count("SELECT COUNT(*) FROM (SELECT DISTINCT scope, digest FROM location) d")?,
            versions: count("SELECT COUNT(*) FROM version WHERE state = 0")?,
            runs: count("SELECT COUNT(*) FROM run")?,
        })
    }
}

/// Numbers of the first and last kind asked for.
fn edge_kinds(kind: Option<EdgeKind>) -> (i64, i64) {
    match kind {
        Some(kind) => (edge_kind_to_sql(kind), edge_kind_to_sql(kind)),
        None => (i64::MIN, i64::MAX),
    }
}
