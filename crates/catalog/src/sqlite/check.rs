//! Reads everything that carries a checksum.

use rusqlite::{Connection, Row};

use super::convert::{
    self, ALIAS_COLUMNS, COLLECTION_COLUMNS, MEMBERSHIP_COLUMNS, VERSION_COLUMNS,
};
use super::schema;
use crate::checksum;
use crate::error::CatalogError;
use crate::view::Result;

pub(super) fn check(connection: &Connection, damaged: &mut dyn FnMut(String)) -> Result<()> {
    pages(connection, damaged)?;
    schema::check(connection, damaged)?;
    each(connection, "collection", COLLECTION_COLUMNS, "id", damaged, |row| {
        let (row, found) = convert::collection_checked(row)?;
        Ok(found == checksum::collection(&row))
    })?;
    each(connection, "version", VERSION_COLUMNS, "id", damaged, |row| {
        convert::version(row).map(|_| true)
    })?;
    each(connection, "membership m", MEMBERSHIP_COLUMNS, "m.collection, m.idx", damaged, |row| {
        convert::membership(row).map(|_| true)
    })?;
    each(connection, "alias", ALIAS_COLUMNS, "collection, alias", damaged, |row| {
        convert::alias(row).map(|_| true)
    })
}

/// What SQLite itself finds: structure of the pages, order of keys, indexes.
fn pages(connection: &Connection, damaged: &mut dyn FnMut(String)) -> Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check(100)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        if text != "ok" {
            damaged(format!("pages: {text}"));
        }
    }
    Ok(())
}

fn each(
    connection: &Connection,
    table: &str,
    columns: &str,
    key: &str,
    damaged: &mut dyn FnMut(String),
    verify: impl Fn(&Row<'_>) -> Result<bool>,
) -> Result<()> {
    let sql = format!("SELECT {columns} FROM {table} ORDER BY {key}");
    let name = table.split(' ').next().unwrap_or(table);
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let what = match verify(row) {
            Ok(true) => continue,
            Ok(false) => "does not match its checksum".to_owned(),
            Err(CatalogError::Damaged { what }) => what,
            Err(error) => return Err(error),
        };
        // The first two columns are the key, or begin with it.
        let key = |at: usize| match row.get_ref(at) {
            Ok(rusqlite::types::ValueRef::Integer(value)) => value.to_string(),
            Ok(rusqlite::types::ValueRef::Text(raw)) => String::from_utf8_lossy(raw).into_owned(),
            _ => "?".to_owned(),
        };
        damaged(format!("{name} row ({}, {}): {what}", key(0), key(1)));
    }
    Ok(())
}
