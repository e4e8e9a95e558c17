//! Walks over whole tables, for gc: a row at a time, whatever there is.

use heirloom_core::{ProjectId, Scope};
use heirloom_manifest::BlobId;
use rusqlite::{Connection, Row};

use super::convert::{self, damaged};
use crate::row::{ObjectNumber, ObjectRow, PlacedBlob, Root, VersionState};
use crate::view::Result;

pub(super) fn each_root(connection: &Connection, visit: &mut dyn FnMut(Root)) -> Result<()> {
    let mut projects = std::collections::HashMap::new();
    let mut statement = connection.prepare_cached("SELECT id, project FROM collection")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        projects.insert(row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
    }
    // Whole rows, so that their checksums are looked at: content would be deleted
    // because of a rotten one.
    let sql = format!("SELECT {} FROM version WHERE state <> 2", convert::VERSION_COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let version = convert::version(row)?;
        let project = projects
            .get(&version.collection.0)
            .ok_or_else(|| damaged(format!("version {} is in no collection", version.id)))?;
        visit(Root {
            scope: Scope(ProjectId(*project)),
            version: version.id,
            root: version.root,
            record: version.record,
            attachments: version.attachments,
            deleted_at: match version.state {
                VersionState::Deleted { at, .. } => Some(at),
                _ => None,
            },
        });
    }
    Ok(())
}

pub(super) fn each_object(
    connection: &Connection,
    visit: &mut dyn FnMut(ObjectNumber, ObjectRow),
) -> Result<()> {
    let sql = format!("SELECT {}, number FROM object", convert::OBJECT_COLUMNS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let number = number(row, 6)?;
        visit(number, convert::object(row)?);
    }
    Ok(())
}

pub(super) fn each_leased(
    connection: &Connection,
    visit: &mut dyn FnMut(ObjectNumber),
) -> Result<()> {
    let mut statement = connection.prepare_cached("SELECT DISTINCT object FROM lease")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        visit(number(row, 0)?);
    }
    Ok(())
}

pub(super) fn placed_blobs(
    connection: &Connection,
    after: Option<(Scope, BlobId)>,
    limit: usize,
    visit: &mut dyn FnMut(PlacedBlob),
) -> Result<Option<(Scope, BlobId)>> {
    let mut last: Option<(Scope, BlobId)> = None;
    let mut seen = 0;
    let (first, from) = match &after {
        Some((scope, blob)) => (scope.0.0, blob.as_bytes().to_vec()),
        None => (i64::MIN, Vec::new()),
    };
    let mut statement = connection.prepare_cached(
        "SELECT scope, digest, object, stored, raw FROM location
         WHERE (scope, digest) > (?1, ?2) ORDER BY scope, digest, object",
    )?;
    let mut rows = statement.query((first, from))?;
    while let Some(row) = rows.next()? {
        let scope = Scope(ProjectId(row.get(0)?));
        let blob = BlobId::from_bytes(
            row.get_ref(1)?
                .as_blob()
                .ok()
                .and_then(|raw| raw.try_into().ok())
                .ok_or_else(|| damaged("a digest is malformed"))?,
        );
        if seen >= limit && last != Some((scope, blob)) {
            return Ok(last);
        }
        last = Some((scope, blob));
        seen += 1;
        let unsigned = |at: usize| -> Result<u64> {
            u64::try_from(row.get::<_, i64>(at)?).map_err(|_| damaged("a length is negative"))
        };
        visit(PlacedBlob {
            scope,
            blob,
            object: number(row, 2)?,
            stored: unsigned(3)?,
            raw: unsigned(4)?,
        });
    }
    Ok(None)
}

fn number(row: &Row<'_>, at: usize) -> Result<ObjectNumber> {
    let number: i64 = row.get(at)?;
    u64::try_from(number)
        .map(ObjectNumber)
        .map_err(|_| damaged(format!("the number of an object is {number}")))
}
