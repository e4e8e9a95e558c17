//! Where blobs are: the table with the most rows, asked for thousands at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use heirloom_core::{ProjectId, Scope};
use heirloom_manifest::BlobId;
use heirloom_store::ObjectKey;
use rusqlite::{Connection, Row};

use super::convert::{Columns, damaged, key_to_sql};
use crate::error::CatalogError;
use crate::row::{Location, ObjectState};
use crate::view::Result;

/// From this many blobs on, one cursor walks the table instead of a look-up each.
const WALK_FROM: usize = 32;

/// Most rows stepped over before the cursor is set anew. Stepping costs about an
/// eighth of setting.
const MAX_STEPS: u32 = 32;

pub(super) fn locate(
    connection: &Connection,
    scope: Scope,
    blobs: &[BlobId],
) -> Result<Vec<Option<Location>>> {
    let mut order: Vec<usize> = (0..blobs.len()).collect();
    if !blobs.is_sorted() {
        order.sort_unstable_by_key(|at| blobs[*at]);
    }
    let mut search = Search {
        blobs,
        order: &order,
        objects: Objects::new(connection),
        found: vec![None; blobs.len()],
    };
    if blobs.len() < WALK_FROM {
        search.look_up(connection, scope)?;
    } else {
        search.walk(connection, scope)?;
    }
    let mut found = search.found;
    for pair in order.windows(2) {
        if blobs[pair[0]] == blobs[pair[1]] {
            found[pair[1]] = found[pair[0]];
        }
    }
    Ok(found)
}

pub(super) fn anywhere(connection: &Connection, blob: &BlobId) -> Result<Vec<(Scope, Location)>> {
    // Projects are few and the table's key begins with them: one seek each, and
    // no index by digest to keep up on every put.
    let mut statement = connection.prepare_cached(
        "SELECT l.scope, l.object, l.position, l.stored, l.raw, l.codec, l.kind
         FROM project p CROSS JOIN location l
         WHERE l.scope = p.id AND l.digest = ?1 ORDER BY p.id, l.object",
    )?;
    let mut objects = Objects::new(connection);
    let mut rows = statement.query([blob.as_bytes()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let (key, _) = objects.get(row.get(1)?)?;
        found.push((Scope(ProjectId(row.get(0)?)), location(row, 2, key)?));
    }
    Ok(found)
}

pub(super) fn located_in(
    connection: &Connection,
    object: &ObjectKey,
    visit: &mut dyn FnMut(Scope, BlobId, Location),
) -> Result<()> {
    let Some(number) = number_of(connection, object)? else { return Ok(()) };
    let mut statement = connection.prepare_cached(
        "SELECT scope, digest, position, stored, raw, codec, kind FROM location
         WHERE object = ?1 ORDER BY scope, digest",
    )?;
    let mut rows = statement.query([number])?;
    while let Some(row) = rows.next()? {
        let blob = BlobId::from_bytes(digest(row, 1)?);
        visit(Scope(ProjectId(row.get(0)?)), blob, location(row, 2, *object)?);
    }
    Ok(())
}

/// The short number of an object.
pub(super) fn number_of(connection: &Connection, object: &ObjectKey) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT number FROM object WHERE key = ?1")?;
    let mut rows = statement.query([key_to_sql(object)])?;
    match rows.next()? {
        Some(row) => Ok(Some(row.get(0)?)),
        None => Ok(None),
    }
}

struct Search<'a, 'c> {
    blobs: &'a [BlobId],
    /// Positions of the blobs in the order of their ids.
    order: &'a [usize],
    objects: Objects<'c>,
    /// The best so far.
    found: Vec<Option<Location>>,
}

impl Search<'_, '_> {
    fn look_up(&mut self, connection: &Connection, scope: Scope) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT digest, object, position, stored, raw, codec, kind FROM location
             WHERE scope = ?1 AND digest = ?2 ORDER BY object",
        )?;
        for at in 0..self.order.len() {
            let blob = &self.blobs[self.order[at]];
            let mut rows = statement.query((scope.0.0, blob.as_bytes()))?;
            while let Some(row) = rows.next()? {
                self.consider(at, row)?;
            }
        }
        Ok(())
    }

    /// Steps through the table from one wanted blob to the next while they are
    /// near to each other, and jumps while they are far apart, learning which
    /// from how the last jumps went.
    fn walk(&mut self, connection: &Connection, scope: Scope) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT digest, object, position, stored, raw, codec, kind FROM location
             WHERE scope = ?1 AND digest >= ?2 ORDER BY digest, object",
        )?;
        let count = self.order.len();
        let mut at = 0;
        let mut patience = MAX_STEPS / 4;
        'jump: while at < count {
            let start = self.blobs[self.order[at]];
            let mut rows = statement.query((scope.0.0, start.as_bytes()))?;
            let mut steps = 0;
            while let Some(row) = rows.next()? {
                let here = digest(row, 0)?;
                while at < count && *self.blobs[self.order[at]].as_bytes() < here {
                    at += 1;
                }
                if at == count {
                    return Ok(());
                }
                if *self.blobs[self.order[at]].as_bytes() == here {
                    self.consider(at, row)?;
                    if steps > 0 {
                        patience = (patience * 2).min(MAX_STEPS);
                    }
                    steps = 0;
                } else {
                    steps += 1;
                    if steps > patience {
                        patience = (patience / 2).max(1);
                        continue 'jump;
                    }
                }
            }
            return Ok(());
        }
        Ok(())
    }

    /// Takes a row for the blob at a place of `order`: rows come in the order of
    /// the objects' numbers, and the last one that can be used counts.
    fn consider(&mut self, at: usize, row: &Row<'_>) -> Result<()> {
        let (key, state) = self.objects.get(row.get(1)?)?;
        if state.is_usable() {
            self.found[self.order[at]] = Some(location(row, 2, key)?);
        }
        Ok(())
    }
}

/// Keys and states of objects by number, read once each.
struct Objects<'c> {
    connection: &'c Connection,
    known: HashMap<i64, (ObjectKey, ObjectState)>,
    last: Option<(i64, ObjectKey, ObjectState)>,
}

impl<'c> Objects<'c> {
    fn new(connection: &'c Connection) -> Self {
        Self { connection, known: HashMap::new(), last: None }
    }

    fn get(&mut self, number: i64) -> Result<(ObjectKey, ObjectState)> {
        if let Some((known, key, state)) = self.last
            && known == number
        {
            return Ok((key, state));
        }
        let (key, state) = match self.known.entry(number) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(unknown) => *unknown.insert(read_object(self.connection, number)?),
        };
        self.last = Some((number, key, state));
        Ok((key, state))
    }
}

fn read_object(connection: &Connection, number: i64) -> Result<(ObjectKey, ObjectState)> {
    let mut statement = connection
        .prepare_cached("SELECT key, state, state_epoch FROM object WHERE number = ?1")?;
    let mut rows = statement.query([number])?;
    let row = rows
        .next()?
        .ok_or_else(|| damaged(format!("a location names object {number}, which is absent")))?;
    let mut at = Columns::of(row);
    Ok((at.key()?, at.object_state()?))
}

fn digest(row: &Row<'_>, at: usize) -> Result<[u8; 32]> {
    let raw = row.get_ref(at)?.as_blob().map_err(|_| damaged("a digest is no bytes"))?;
    raw.try_into().map_err(|_| damaged(format!("a digest has {} bytes", raw.len())))
}

/// A location from five columns starting at `at`.
fn location(row: &Row<'_>, at: usize, object: ObjectKey) -> Result<Location> {
    let unsigned = |at: usize| -> Result<u64> {
        let value: i64 = row.get(at)?;
        u64::try_from(value).map_err(|_| damaged(format!("a location has the number {value}")))
    };
    let small = |at: usize| -> Result<u8> {
        let value: i64 = row.get(at).map_err(CatalogError::from)?;
        u8::try_from(value).map_err(|_| damaged(format!("a location has the code {value}")))
    };
    Ok(Location {
        object,
        offset: unsigned(at)?,
        stored: unsigned(at + 1)?,
        raw: unsigned(at + 2)?,
        codec: small(at + 3)?,
        kind: small(at + 4)?,
    })
}
