//! Edits as statements.

use heirloom_core::{DraftId, Scope};
use heirloom_manifest::BlobId;
use heirloom_store::ObjectKey;
use rusqlite::{Connection, Params};

use super::convert::{
    attachments_to_sql, edge_kind_to_sql, int, key_to_sql, object_state_to_sql, provenance_to_sql,
    ttl_to_sql, version_state_to_sql,
};
use super::locate::number_of;
use super::view::SqliteView;
use crate::checksum;
use crate::error::CatalogError;
use crate::row::{
    AliasRow, CollectionKind, CollectionRow, DraftRow, EdgeRow, EventRow, Location, MembershipRow,
    ObjectRow, OperationRow, PartRow, PartSetRow, PartSetState, ProjectRow, RunRow, VersionRow,
};
use crate::view::{Edit, Result, View as _};

/// Applies edits in order; on failure the caller rolls the transaction back.
pub(super) fn apply(connection: &Connection, edits: Vec<Edit>) -> Result<()> {
    let to = Target { connection };
    edits.into_iter().try_for_each(|edit| to.apply(edit))
}

struct Target<'c> {
    connection: &'c Connection,
}

fn conflict(what: impl Into<String>) -> CatalogError {
    CatalogError::Conflict { what: what.into() }
}

impl Target<'_> {
    fn run(&self, sql: &str, params: impl Params) -> Result<usize> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    fn apply(&self, edit: Edit) -> Result<()> {
        match edit {
            Edit::PutProject(row) => self.put_project(&row),
            Edit::PutCollection(row) => self.put_collection(&row),
            Edit::PutRedirect { project, old, to } => self
                .run(
                    "INSERT INTO redirect (project, old, target) VALUES (?1, ?2, ?3)
                     ON CONFLICT (project, old) DO UPDATE SET target = excluded.target",
                    (project.0, old.as_str(), to.0),
                )
                .map(drop),
            Edit::RemoveRedirect { project, old } => self
                .run(
                    "DELETE FROM redirect WHERE project = ?1 AND old = ?2",
                    (project.0, old.as_str()),
                )
                .map(drop),
            Edit::PutVersion(row) => self.put_version(&row),
            Edit::SetVersionState { version, state } => {
                let row = SqliteView::new(self.connection).version(version)?;
                let row = row.ok_or_else(|| conflict(format!("version {version} is absent")))?;
                self.put_version(&VersionRow { state, ..row })
            }
            Edit::AddMembership(row) => self.add_membership(&row),
            Edit::RemoveMembership { collection, index } => self
                .run(
                    "DELETE FROM membership WHERE collection = ?1 AND idx = ?2",
                    (collection.0, int(index.get())?),
                )
                .map(drop),
            Edit::PutAlias(row) => self.put_alias(&row),
            Edit::RemoveAlias { collection, alias } => self
                .run(
                    "DELETE FROM alias WHERE collection = ?1 AND alias = ?2",
                    (collection.0, alias.as_str()),
                )
                .map(drop),
            Edit::AddTag { version, tag } => self
                .run(
                    "INSERT INTO tag (version, tag) VALUES (?1, ?2)
                     ON CONFLICT (version, tag) DO NOTHING",
                    (int(version.get())?, tag.as_str()),
                )
                .map(drop),
            Edit::RemoveTag { version, tag } => self
                .run(
                    "DELETE FROM tag WHERE version = ?1 AND tag = ?2",
                    (int(version.get())?, tag.as_str()),
                )
                .map(drop),
            Edit::PutRun(row) => self.put_run(&row),
            Edit::AddEdge(row) => self.add_edge(&row),
            Edit::AppendEvent(row) => self.append_event(&row),
            Edit::AddOperation(row) => self.add_operation(&row),
            Edit::PutDraft(row) => self.put_draft(&row),
            Edit::EndDraft(id) => self.end_draft(id),
            Edit::PutObject(row) => self.put_object(&row),
            Edit::AddLocations { scope, object, blobs } => {
                self.add_locations(scope, &object, blobs)
            }
            Edit::Lease { draft, object } => {
                let number = self.number(&object)?;
                self.run(
                    "INSERT INTO lease (draft, object) VALUES (?1, ?2)
                     ON CONFLICT (draft, object) DO NOTHING",
                    (int(draft.get())?, number),
                )
                .map(drop)
            }
            Edit::DropObject(key) => self.drop_object(&key),
            Edit::DropLocations(key) => match number_of(self.connection, &key)? {
                Some(number) => {
                    self.run("DELETE FROM location WHERE object = ?1", [number]).map(drop)
                }
                None => Ok(()),
            },
            Edit::DropLocation { scope, blob, object } => {
                match number_of(self.connection, &object)? {
                    Some(number) => self
                        .run(
                            "DELETE FROM location WHERE scope = ?1 AND digest = ?2 AND object = ?3",
                            (scope.0.0, blob.as_bytes(), number),
                        )
                        .map(drop),
                    None => Ok(()),
                }
            }
            Edit::PutPartSet(row) => self.put_part_set(&row),
            Edit::DropParts(set) => {
                self.run("DELETE FROM part WHERE part_set = ?1", [int(set.get())?]).map(drop)
            }
            Edit::DropPartSet(set) => {
                let set = int(set.get())?;
                self.run("DELETE FROM part WHERE part_set = ?1", [set])?;
                self.run("DELETE FROM part_set WHERE id = ?1", [set]).map(drop)
            }
            Edit::AddPart(row) => self.add_part(&row),
            Edit::AddJournal(row) => self
                .run(
                    "INSERT INTO journal (project, first, last, blob) VALUES (?1, ?2, ?3, ?4)",
                    (row.project.0, int(row.first)?, int(row.last)?, row.blob.as_bytes()),
                )
                .map(drop),
            Edit::DropOperations { before } => {
                self.run("DELETE FROM operation WHERE at < ?1", [before.micros()]).map(drop)
            }
            Edit::SetEpoch(epoch) => {
                self.run("UPDATE meta SET value = ?1 WHERE key = 'epoch'", [int(epoch)?]).map(drop)
            }
        }
    }

    fn put_project(&self, row: &ProjectRow) -> Result<()> {
        self.run(
            "INSERT INTO project (id, entity, name, created_at, ttl)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO UPDATE SET entity = excluded.entity, name = excluded.name,
                 created_at = excluded.created_at, ttl = excluded.ttl",
            (
                row.id.0,
                row.entity.as_str(),
                row.name.as_str(),
                row.created_at.micros(),
                ttl_to_sql(row.ttl)?,
            ),
        )
        .map(drop)
    }

    fn put_collection(&self, row: &CollectionRow) -> Result<()> {
        let kind = match row.kind {
            CollectionKind::Sequence => 0,
            CollectionKind::Portfolio => 1,
        };
        self.run(
            "INSERT INTO collection (id, project, name, artifact_type, kind, description, ttl,
                 retention, next_index, last_record, created_at, deleted_at, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (id) DO UPDATE SET project = excluded.project, name = excluded.name,
                 artifact_type = excluded.artifact_type, kind = excluded.kind,
                 description = excluded.description, ttl = excluded.ttl,
                 retention = excluded.retention,
                 next_index = excluded.next_index, last_record = excluded.last_record,
                 created_at = excluded.created_at, deleted_at = excluded.deleted_at,
                 checksum = excluded.checksum",
            (
                row.id.0,
                row.project.0,
                row.name.as_str(),
                row.artifact_type.as_str(),
                kind,
                row.description.as_deref(),
                ttl_to_sql(row.ttl)?,
                row.retention.map(|retention| {
                    serde_json::to_string(&retention).expect("plain fields always serialise")
                }),
                int(row.next_index.get())?,
                row.last_record.as_ref().map(BlobId::as_bytes),
                row.created_at.micros(),
                row.deleted_at.map(|at| at.micros()),
                checksum::collection(row),
            ),
        )
        .map(drop)
    }

    fn put_version(&self, row: &VersionRow) -> Result<()> {
        let (state, deleted_at, purge_after) = version_state_to_sql(row.state);
        self.run(
            "INSERT INTO version (id, collection, idx, digest, root, entries, size, description,
                 metadata, ttl, created_at, actor, run, provenance, record, attachments, state,
                 deleted_at, purge_after, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
                 ?18, ?19, ?20)
             ON CONFLICT (id) DO UPDATE SET collection = excluded.collection, idx = excluded.idx,
                 digest = excluded.digest, root = excluded.root, entries = excluded.entries,
                 size = excluded.size, description = excluded.description,
                 metadata = excluded.metadata, ttl = excluded.ttl,
                 created_at = excluded.created_at, actor = excluded.actor, run = excluded.run,
                 provenance = excluded.provenance, record = excluded.record,
                 attachments = excluded.attachments, state = excluded.state,
                 deleted_at = excluded.deleted_at, purge_after = excluded.purge_after,
                 checksum = excluded.checksum",
            rusqlite::params![
                int(row.id.get())?,
                row.collection.0,
                int(row.index.get())?,
                row.digest.as_bytes(),
                row.root.as_bytes(),
                int(row.entries)?,
                int(row.size)?,
                row.description.as_deref(),
                row.metadata.as_deref(),
                ttl_to_sql(row.ttl)?,
                row.created_at.micros(),
                row.actor,
                row.run.map(|run| int(run.get())).transpose()?,
                provenance_to_sql(&row.provenance)?,
                row.record.as_bytes(),
                attachments_to_sql(&row.attachments),
                state,
                deleted_at,
                purge_after,
                checksum::version(row),
            ],
        )
        .map(drop)
    }

    fn add_membership(&self, row: &MembershipRow) -> Result<()> {
        self.run(
            "INSERT INTO membership (collection, idx, version, created_at, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                row.collection.0,
                int(row.index.get())?,
                int(row.version.get())?,
                row.created_at.micros(),
                checksum::membership(row),
            ),
        )
        .map(drop)
    }

    fn put_alias(&self, row: &AliasRow) -> Result<()> {
        self.run(
            "INSERT INTO alias (collection, alias, idx, protected, checksum)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (collection, alias) DO UPDATE SET idx = excluded.idx,
                 protected = excluded.protected, checksum = excluded.checksum",
            (
                row.collection.0,
                row.alias.as_str(),
                int(row.index.get())?,
                i64::from(row.protected),
                checksum::alias(row),
            ),
        )
        .map(drop)
    }

    fn put_run(&self, row: &RunRow) -> Result<()> {
        self.run(
            "INSERT INTO run (id, project, name, display_name, job_type, run_group, config,
                 summary, state, exit_code, started_at, ended_at, actor, provenance)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT (id) DO UPDATE SET project = excluded.project, name = excluded.name,
                 display_name = excluded.display_name, job_type = excluded.job_type,
                 run_group = excluded.run_group, config = excluded.config,
                 summary = excluded.summary, state = excluded.state,
                 exit_code = excluded.exit_code, started_at = excluded.started_at,
                 ended_at = excluded.ended_at, actor = excluded.actor,
                 provenance = excluded.provenance",
            (
                int(row.id.get())?,
                row.project.0,
                row.name.as_str(),
                &row.display_name,
                row.job_type.as_deref(),
                row.group.as_deref(),
                row.config.as_deref(),
                row.summary.as_deref(),
                row.state.as_str(),
                row.exit_code,
                row.started_at.micros(),
                row.ended_at.map(|at| at.micros()),
                &row.actor,
                provenance_to_sql(&row.provenance)?,
            ),
        )
        .map(drop)
    }

    fn add_edge(&self, row: &EdgeRow) -> Result<()> {
        self.run(
            "INSERT INTO edge (run, kind, version, at, asked) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (run, kind, version) DO NOTHING",
            (
                int(row.run.get())?,
                edge_kind_to_sql(row.kind),
                int(row.version.get())?,
                row.at.micros(),
                row.asked.as_deref(),
            ),
        )
        .map(drop)
    }

    fn append_event(&self, row: &EventRow) -> Result<()> {
        self.run(
            "INSERT INTO event (at, actor, kind, collection, idx, run, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                row.at.micros(),
                &row.actor,
                row.kind.as_str(),
                row.collection.0,
                row.index.map(|index| int(index.get())).transpose()?,
                row.run.map(|run| int(run.get())).transpose()?,
                &row.detail,
            ),
        )
        .map(drop)
    }

    fn add_operation(&self, row: &OperationRow) -> Result<()> {
        self.run(
            "INSERT INTO operation (key, request, answer, at) VALUES (?1, ?2, ?3, ?4)",
            (&row.key, row.request, &row.answer, row.at.micros()),
        )
        .map(drop)
    }

    fn put_draft(&self, row: &DraftRow) -> Result<()> {
        self.run(
            "INSERT INTO draft (id, project, name, base, actor, created_at, epoch)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (id) DO UPDATE SET project = excluded.project, name = excluded.name,
                 base = excluded.base, actor = excluded.actor,
                 created_at = excluded.created_at, epoch = excluded.epoch",
            (
                int(row.id.get())?,
                row.project.0,
                row.name.as_str(),
                row.base.map(|base| int(base.get())).transpose()?,
                &row.actor,
                row.created_at.micros(),
                int(row.epoch)?,
            ),
        )
        .map(drop)
    }

    fn end_draft(&self, id: DraftId) -> Result<()> {
        let id = int(id.get())?;
        self.run("DELETE FROM lease WHERE draft = ?1", [id])?;
        self.run("DELETE FROM draft WHERE id = ?1", [id]).map(drop)
    }

    fn put_object(&self, row: &ObjectRow) -> Result<()> {
        let (state, epoch) = object_state_to_sql(row.state)?;
        self.run(
            "INSERT INTO object (key, size, state, state_epoch, claimed_epoch, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (key) DO UPDATE SET state = excluded.state,
                 state_epoch = excluded.state_epoch, claimed_epoch = excluded.claimed_epoch",
            (
                key_to_sql(&row.key),
                int(row.size)?,
                state,
                epoch,
                int(row.claimed_epoch)?,
                row.created_at.micros(),
            ),
        )
        .map(drop)
    }

    fn add_locations(
        &self,
        scope: Scope,
        object: &ObjectKey,
        mut blobs: Vec<(BlobId, Location)>,
    ) -> Result<()> {
        let number = self.number(object)?;
        let view = SqliteView::new(self.connection);
        if view.project_by_id(scope.0)?.is_none() {
            return Err(conflict(format!("project {} is absent", scope.0)));
        }
        // In the order of the key every page of the table is touched once.
        blobs.sort_by_key(|(blob, _)| *blob);
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO location (scope, digest, object, position, stored, raw, codec, kind)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (scope, digest, object) DO NOTHING",
        )?;
        for (blob, at) in &blobs {
            statement.execute((
                scope.0.0,
                blob.as_bytes(),
                number,
                int(at.offset)?,
                int(at.stored)?,
                int(at.raw)?,
                at.codec,
                at.kind,
            ))?;
        }
        Ok(())
    }

    fn put_part_set(&self, row: &PartSetRow) -> Result<()> {
        let (state, expired_at) = match row.state {
            PartSetState::Open => (0, None),
            PartSetState::Expired { at } => (1, Some(at.micros())),
        };
        self.run(
            "INSERT INTO part_set (id, project, name, distributed_id, artifact_type, on_conflict,
                 state, expired_at, created_at, touched_at, actor)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT (id) DO UPDATE SET project = excluded.project, name = excluded.name,
                 distributed_id = excluded.distributed_id,
                 artifact_type = excluded.artifact_type, on_conflict = excluded.on_conflict,
                 state = excluded.state, expired_at = excluded.expired_at,
                 created_at = excluded.created_at, touched_at = excluded.touched_at,
                 actor = excluded.actor",
            (
                int(row.id.get())?,
                row.project.0,
                row.name.as_str(),
                &row.distributed_id,
                row.artifact_type.as_str(),
                row.on_conflict.as_str(),
                state,
                expired_at,
                row.created_at.micros(),
                row.touched_at.micros(),
                &row.actor,
            ),
        )
        .map(drop)
    }

    fn add_part(&self, row: &PartRow) -> Result<()> {
        self.run(
            "INSERT INTO part (part_set, seq, key, root, entries, size, run, actor, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            (
                int(row.set.get())?,
                int(row.seq)?,
                &row.key,
                row.root.as_bytes(),
                int(row.entries)?,
                int(row.size)?,
                row.run.map(|run| int(run.get())).transpose()?,
                &row.actor,
                row.at.micros(),
            ),
        )
        .map(drop)
    }

    fn drop_object(&self, key: &ObjectKey) -> Result<()> {
        let Some(number) = number_of(self.connection, key)? else { return Ok(()) };
        self.run("DELETE FROM location WHERE object = ?1", [number])?;
        self.run("DELETE FROM lease WHERE object = ?1", [number])?;
        self.run("DELETE FROM object WHERE number = ?1", [number]).map(drop)
    }

    fn number(&self, key: &ObjectKey) -> Result<i64> {
        number_of(self.connection, key)?.ok_or_else(|| conflict(format!("object {key} is absent")))
    }
}
