//! Between rows of tables and the structs of [`crate::row`].

use heirloom_core::{
    Alias, ArtifactName, ArtifactType, CollectionId, DraftId, EntityName, OnConflict, PartSetId,
    ProjectId, ProjectName, Provenance, RunId, RunName, Timestamp, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId, NodeId};
use heirloom_store::{ObjectKey, PackId};
use rusqlite::types::ValueRef;
use rusqlite::{ErrorCode, Row};

use crate::checksum::Checksum;
use crate::error::CatalogError;
use crate::row::{
    AliasRow, CollectionKind, CollectionRow, DraftRow, EdgeKind, EdgeRow, EventKind, EventRow,
    JournalRow, MembershipRow, ObjectRow, ObjectState, OperationRow, PartRow, PartSetRow,
    PartSetState, ProjectRow, RunRow, VersionRow, VersionState,
};
use crate::view::Result;

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::SqliteFailure(failure, ref message) => {
                let what = message.clone().unwrap_or_else(|| failure.to_string());
                match failure.code {
                    ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::FileLockingProtocolFailed => Self::Busy,
                    ErrorCode::DiskFull => Self::NoSpace,
                    ErrorCode::ReadOnly => Self::ReadOnly,
                    ErrorCode::CannotOpen => Self::CannotOpen { path: String::new(), what },
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Damaged { what },
                    ErrorCode::ConstraintViolation => Self::Conflict { what },
                    // The log's index, which is given its size when it is made.
                    ErrorCode::SystemIoFailure
                        if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE =>
                    {
                        Self::NoSpace
                    }
                    ErrorCode::SystemIoFailure => Self::Io { code: failure.extended_code, what },
                    _ => Self::Database { source: error },
                }
            }
            // The statements are right, so a value of another type was not ours.
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => Self::Damaged { what: error.to_string() },
            other => Self::Database { source: other },
        }
    }
}

/// A number that a signed column can hold.
pub(super) fn int(value: u64) -> Result<i64> {
    i64::try_from(value)
        .map_err(|_| CatalogError::Conflict { what: format!("{value} does not fit 63 bits") })
}

pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn ttl_to_sql(ttl: Ttl) -> Result<Option<i64>> {
    match ttl {
        Ttl::Inherit => Ok(None),
        Ttl::Never => Ok(Some(-1)),
        Ttl::Seconds(seconds) => int(seconds).map(Some),
    }
}

pub(super) fn key_to_sql(key: &ObjectKey) -> [u8; 33] {
    let mut raw = [0; 33];
    let id = match key {
        ObjectKey::Whole(id) => id.as_bytes(),
        ObjectKey::Pack(id) => {
            raw[0] = 1;
            id.as_bytes()
        }
    };
    raw[1..].copy_from_slice(id);
    raw
}

pub(super) fn edge_kind_to_sql(kind: EdgeKind) -> i64 {
    match kind {
        EdgeKind::Produced => 0,
        EdgeKind::Used => 1,
    }
}

/// State and epoch of an object.
pub(super) fn object_state_to_sql(state: ObjectState) -> Result<(i64, i64)> {
    Ok(match state {
        ObjectState::Live => (0, 0),
        ObjectState::Condemned { epoch } => (1, int(epoch)?),
        ObjectState::Deleting => (2, 0),
    })
}

/// State of a version, when it was deleted, when it may be purged.
pub(super) fn version_state_to_sql(state: VersionState) -> (i64, Option<i64>, Option<i64>) {
    match state {
        VersionState::Committed => (0, None, None),
        VersionState::Deleted { at, purge_after } => {
            (1, Some(at.micros()), Some(purge_after.micros()))
        }
        VersionState::Purged => (2, None, None),
    }
}

pub(super) fn attachments_to_sql(blobs: &[BlobId]) -> Vec<u8> {
    blobs.iter().flat_map(|blob| *blob.as_bytes()).collect()
}

pub(super) fn provenance_to_sql(provenance: &Provenance) -> Result<String> {
    serde_json::to_string(provenance)
        .map_err(|error| CatalogError::Conflict { what: format!("provenance: {error}") })
}

pub(super) fn damaged(what: impl Into<String>) -> CatalogError {
    CatalogError::Damaged { what: what.into() }
}

/// Columns of a row, in the order that the `…_COLUMNS` constants name them.
pub(super) struct Columns<'a, 'row> {
    row: &'a Row<'row>,
    next: usize,
}

impl<'a, 'row> Columns<'a, 'row> {
    pub(super) fn of(row: &'a Row<'row>) -> Self {
        Self { row, next: 0 }
    }

    fn next<T: rusqlite::types::FromSql>(&mut self) -> Result<T> {
        let at = self.next;
        self.next += 1;
        Ok(self.row.get(at)?)
    }

    pub(super) fn int(&mut self) -> Result<i64> {
        self.next()
    }

    fn text(&mut self) -> Result<String> {
        self.next()
    }

    pub(super) fn unsigned(&mut self) -> Result<u64> {
        let value = self.int()?;
        u64::try_from(value).map_err(|_| damaged(format!("a number is {value}")))
    }

    fn time(&mut self) -> Result<Timestamp> {
        Ok(Timestamp::from_micros(self.int()?))
    }

    fn name<T>(
        &mut self,
        parse: fn(&str) -> std::result::Result<T, heirloom_core::NameError>,
    ) -> Result<T> {
        let at = self.next;
        self.next += 1;
        let value = self.row.get_ref(at)?;
        let text = match value {
            ValueRef::Text(raw) => {
                std::str::from_utf8(raw).map_err(|_| damaged("a name is not UTF-8"))?
            }
            _ => return Err(damaged("a name is no text")),
        };
        parse(text).map_err(|error| damaged(error.to_string()))
    }

    fn id32(&mut self) -> Result<[u8; 32]> {
        let at = self.next;
        self.next += 1;
        match self.row.get_ref(at)? {
            ValueRef::Blob(raw) => {
                raw.try_into().map_err(|_| damaged(format!("an id has {} bytes", raw.len())))
            }
            _ => Err(damaged("an id is no bytes")),
        }
    }

    fn ttl(&mut self) -> Result<Ttl> {
        match self.next::<Option<i64>>()? {
            None => Ok(Ttl::Inherit),
            Some(-1) => Ok(Ttl::Never),
            Some(seconds) => u64::try_from(seconds)
                .map(Ttl::Seconds)
                .map_err(|_| damaged(format!("a lifetime is {seconds}"))),
        }
    }

    fn provenance(&mut self) -> Result<Provenance> {
        serde_json::from_str(&self.text()?).map_err(|error| damaged(format!("provenance: {error}")))
    }

    pub(super) fn key(&mut self) -> Result<ObjectKey> {
        let raw: Vec<u8> = self.next()?;
        let id = |raw: &[u8]| <[u8; 32]>::try_from(raw).ok();
        match raw.split_first() {
            Some((0, rest)) => id(rest).map(|id| ObjectKey::Whole(BlobId::from_bytes(id))),
            Some((1, rest)) => id(rest).map(|id| ObjectKey::Pack(PackId::from_bytes(id))),
            _ => None,
        }
        .ok_or_else(|| damaged("the key of an object is malformed"))
    }

    pub(super) fn checksum(&mut self) -> Result<Checksum> {
        let raw: Vec<u8> = self.next()?;
        raw.try_into().map_err(|_| damaged("a checksum is not 16 bytes long"))
    }

    fn version_state(&mut self) -> Result<VersionState> {
        let state = self.int()?;
        let deleted: Option<i64> = self.next()?;
        let purge: Option<i64> = self.next()?;
        match (state, deleted, purge) {
            (0, None, None) => Ok(VersionState::Committed),
            (1, Some(at), Some(purge)) => Ok(VersionState::Deleted {
                at: Timestamp::from_micros(at),
                purge_after: Timestamp::from_micros(purge),
            }),
            (2, None, None) => Ok(VersionState::Purged),
            _ => Err(damaged(format!("the state of a version is {state}"))),
        }
    }

    pub(super) fn object_state(&mut self) -> Result<ObjectState> {
        let state = self.int()?;
        let epoch = self.unsigned()?;
        match state {
            0 => Ok(ObjectState::Live),
            1 => Ok(ObjectState::Condemned { epoch }),
            2 => Ok(ObjectState::Deleting),
            _ => Err(damaged(format!("the state of an object is {state}"))),
        }
    }
}

pub(super) const PROJECT_COLUMNS: &str = "id, entity, name, created_at, ttl";

pub(super) fn project(row: &Row<'_>) -> Result<ProjectRow> {
    let mut at = Columns::of(row);
    Ok(ProjectRow {
        id: ProjectId(at.int()?),
        entity: at.name(EntityName::new)?,
        name: at.name(ProjectName::new)?,
        created_at: at.time()?,
        ttl: at.ttl()?,
    })
}

pub(super) const COLLECTION_COLUMNS: &str = "id, project, name, artifact_type, kind, description, \
     ttl, retention, next_index, last_record, created_at, deleted_at, checksum";

pub(super) fn collection(row: &Row<'_>) -> Result<CollectionRow> {
    Ok(collection_checked(row)?.0)
}

pub(super) fn collection_checked(row: &Row<'_>) -> Result<(CollectionRow, Checksum)> {
    let mut at = Columns::of(row);
    let row = CollectionRow {
        id: CollectionId(at.int()?),
        project: ProjectId(at.int()?),
        name: at.name(ArtifactName::new)?,
        artifact_type: at.name(ArtifactType::new)?,
        kind: match at.int()? {
            0 => CollectionKind::Sequence,
            1 => CollectionKind::Portfolio,
            other => return Err(damaged(format!("the kind of a collection is {other}"))),
        },
        description: at.next()?,
        ttl: at.ttl()?,
        retention: match at.next::<Option<String>>()? {
            None => None,
            Some(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|error| damaged(format!("the retention of a collection: {error}")))?,
        },
        next_index: VersionIndex::new(at.unsigned()?),
        last_record: match at.next::<Option<Vec<u8>>>()? {
            None => None,
            Some(raw) => Some(BlobId::from_bytes(
                raw.try_into().map_err(|_| damaged("the id of a record is malformed"))?,
            )),
        },
        created_at: at.time()?,
        deleted_at: at.next::<Option<i64>>()?.map(Timestamp::from_micros),
    };
    Ok((row, at.checksum()?))
}

pub(super) const VERSION_COLUMNS: &str = "id, collection, idx, digest, root, entries, size, \
     description, metadata, ttl, created_at, actor, run, provenance, record, attachments, state, \
     deleted_at, purge_after, checksum";

/// A version, refused when it does not match its checksum: content would be
/// served, or deleted, under a wrong digest.
pub(super) fn version(row: &Row<'_>) -> Result<VersionRow> {
    let mut at = Columns::of(row);
    let id = at.int()?;
    let row = VersionRow {
        id: VersionId::from_random(id.cast_unsigned()),
        collection: CollectionId(at.int()?),
        index: VersionIndex::new(at.unsigned()?),
        digest: ManifestId::from_bytes(at.id32()?),
        root: NodeId::from_bytes(at.id32()?),
        entries: at.unsigned()?,
        size: at.unsigned()?,
        description: at.next()?,
        metadata: at.next()?,
        ttl: at.ttl()?,
        created_at: at.time()?,
        actor: at.text()?,
        run: at.next::<Option<i64>>()?.map(|run| RunId::from_random(run.cast_unsigned())),
        provenance: at.provenance()?,
        record: BlobId::from_bytes(at.id32()?),
        attachments: {
            let raw: Vec<u8> = at.next()?;
            let (ids, rest) = raw.as_chunks::<32>();
            if !rest.is_empty() {
                return Err(damaged(format!("attachments of version {id} are malformed")));
            }
            ids.iter().map(|id| BlobId::from_bytes(*id)).collect()
        },
        state: at.version_state()?,
    };
    if at.checksum()? != crate::checksum::version(&row) {
        return Err(damaged(format!(
            "version {id} ({} of collection {}) does not match its checksum",
            row.index, row.collection
        )));
    }
    Ok(row)
}

pub(super) const MEMBERSHIP_COLUMNS: &str =
    "m.collection, m.idx, m.version, m.created_at, m.checksum";

/// A membership, refused when it does not match its checksum: another version
/// would be served under its number.
pub(super) fn membership(row: &Row<'_>) -> Result<MembershipRow> {
    let mut at = Columns::of(row);
    let row = MembershipRow {
        collection: CollectionId(at.int()?),
        index: VersionIndex::new(at.unsigned()?),
        version: VersionId::from_random(at.unsigned()?),
        created_at: at.time()?,
    };
    if at.checksum()? != crate::checksum::membership(&row) {
        return Err(damaged(format!(
            "the place {} of collection {} does not match its checksum",
            row.index, row.collection
        )));
    }
    Ok(row)
}

pub(super) const ALIAS_COLUMNS: &str = "collection, alias, idx, protected, checksum";

/// An alias, refused when it does not match its checksum: it would name another
/// version.
pub(super) fn alias(row: &Row<'_>) -> Result<AliasRow> {
    let mut at = Columns::of(row);
    let row = AliasRow {
        collection: CollectionId(at.int()?),
        alias: at.name(Alias::new)?,
        index: VersionIndex::new(at.unsigned()?),
        protected: at.int()? != 0,
    };
    if at.checksum()? != crate::checksum::alias(&row) {
        return Err(damaged(format!(
            "the alias {} of collection {} does not match its checksum",
            row.alias, row.collection
        )));
    }
    Ok(row)
}

pub(super) const RUN_COLUMNS: &str = "id, project, name, display_name, job_type, run_group, \
     config, summary, state, exit_code, started_at, ended_at, actor, provenance";

pub(super) fn run(row: &Row<'_>) -> Result<RunRow> {
    let mut at = Columns::of(row);
    Ok(RunRow {
        id: RunId::from_random(at.unsigned()?),
        project: ProjectId(at.int()?),
        name: at.name(RunName::new)?,
        display_name: at.text()?,
        job_type: at.next()?,
        group: at.next()?,
        config: at.next()?,
        summary: at.next()?,
        state: at.text()?.parse().map_err(|error| damaged(format!("{error}")))?,
        exit_code: at.next()?,
        started_at: at.time()?,
        ended_at: at.next::<Option<i64>>()?.map(Timestamp::from_micros),
        actor: at.text()?,
        provenance: at.provenance()?,
    })
}

pub(super) const EDGE_COLUMNS: &str = "kind, run, version, at, asked";

pub(super) fn edge(row: &Row<'_>) -> Result<EdgeRow> {
    let mut at = Columns::of(row);
    Ok(EdgeRow {
        kind: match at.int()? {
            0 => EdgeKind::Produced,
            1 => EdgeKind::Used,
            other => return Err(damaged(format!("the kind of an edge is {other}"))),
        },
        run: RunId::from_random(at.unsigned()?),
        version: VersionId::from_random(at.unsigned()?),
        at: at.time()?,
        asked: at.next()?,
    })
}

pub(super) const EVENT_COLUMNS: &str = "seq, at, actor, kind, collection, idx, run, detail";

pub(super) fn event(row: &Row<'_>) -> Result<EventRow> {
    let mut at = Columns::of(row);
    Ok(EventRow {
        seq: at.unsigned()?,
        at: at.time()?,
        actor: at.text()?,
        kind: {
            let word = at.text()?;
            EventKind::from_word(&word)
                .ok_or_else(|| damaged(format!("the kind of an event is {word:?}")))?
        },
        collection: CollectionId(at.int()?),
        index: at.next::<Option<i64>>()?.map(|index| VersionIndex::new(index.cast_unsigned())),
        run: at.next::<Option<i64>>()?.map(|run| RunId::from_random(run.cast_unsigned())),
        detail: at.text()?,
    })
}

pub(super) fn operation(row: &Row<'_>) -> Result<OperationRow> {
    let mut at = Columns::of(row);
    Ok(OperationRow { key: at.text()?, request: at.id32()?, answer: at.text()?, at: at.time()? })
}

pub(super) const DRAFT_COLUMNS: &str = "id, project, name, base, actor, created_at, epoch";

pub(super) fn draft(row: &Row<'_>) -> Result<DraftRow> {
    let mut at = Columns::of(row);
    Ok(DraftRow {
        id: DraftId::from_random(at.unsigned()?),
        project: ProjectId(at.int()?),
        name: at.name(ArtifactName::new)?,
        base: at.next::<Option<i64>>()?.map(|id| VersionId::from_random(id.cast_unsigned())),
        actor: at.text()?,
        created_at: at.time()?,
        epoch: at.unsigned()?,
    })
}

pub(super) const OBJECT_COLUMNS: &str = "key, size, state, state_epoch, claimed_epoch, created_at";

pub(super) fn object(row: &Row<'_>) -> Result<ObjectRow> {
    let mut at = Columns::of(row);
    Ok(ObjectRow {
        key: at.key()?,
        size: at.unsigned()?,
        state: at.object_state()?,
        claimed_epoch: at.unsigned()?,
        created_at: at.time()?,
    })
}

pub(super) const PART_SET_COLUMNS: &str = "id, project, name, distributed_id, artifact_type, \
     on_conflict, state, expired_at, created_at, touched_at, actor";

pub(super) fn part_set(row: &Row<'_>) -> Result<PartSetRow> {
    let mut at = Columns::of(row);
    Ok(PartSetRow {
        id: PartSetId::from_random(at.unsigned()?),
        project: ProjectId(at.int()?),
        name: at.name(ArtifactName::new)?,
        distributed_id: at.text()?,
        artifact_type: at.name(ArtifactType::new)?,
        on_conflict: {
            let word = at.text()?;
            OnConflict::from_word(&word)
                .ok_or_else(|| damaged(format!("the policy of a set of parts is {word:?}")))?
        },
        state: match (at.int()?, at.next::<Option<i64>>()?) {
            (0, None) => PartSetState::Open,
            (1, Some(micros)) => PartSetState::Expired { at: Timestamp::from_micros(micros) },
            (other, _) => return Err(damaged(format!("the state of a set of parts is {other}"))),
        },
        created_at: at.time()?,
        touched_at: at.time()?,
        actor: at.text()?,
    })
}

pub(super) const PART_COLUMNS: &str = "part_set, seq, key, root, entries, size, run, actor, at";

pub(super) fn part(row: &Row<'_>) -> Result<PartRow> {
    let mut at = Columns::of(row);
    Ok(PartRow {
        set: PartSetId::from_random(at.unsigned()?),
        seq: at.unsigned()?,
        key: at.text()?,
        root: NodeId::from_bytes(at.id32()?),
        entries: at.unsigned()?,
        size: at.unsigned()?,
        run: at.next::<Option<i64>>()?.map(|run| RunId::from_random(run.cast_unsigned())),
        actor: at.text()?,
        at: at.time()?,
    })
}

pub(super) fn journal(row: &Row<'_>) -> Result<JournalRow> {
    let mut at = Columns::of(row);
    Ok(JournalRow {
        project: ProjectId(at.int()?),
        first: at.unsigned()?,
        last: at.unsigned()?,
        blob: BlobId::from_bytes(at.id32()?),
    })
}
