//! The format of the database, and how one format becomes the next.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::CatalogError;
use crate::view::Result;

/// The format that this code writes, and the newest that it knows.
pub const SCHEMA: u32 = 2;

/// Marks the file as ours, for `file` and against opening another's: "HLRM".
pub(super) const APPLICATION_ID: i64 = 0x484C_524D;

struct Migration {
    number: u32,
    name: &'static str,
    sql: &'static str,
}

/// In order; number n leads to format n. A published one never changes: its
/// checksum is kept in every catalog that it made.
const MIGRATIONS: [Migration; SCHEMA as usize] = [
    Migration { number: 1, name: "init", sql: include_str!("../../migrations/0001_init.sql") },
    Migration { number: 2, name: "safety", sql: include_str!("../../migrations/0002_safety.sql") },
];

/// The format of a database, 0 for an empty one, as one snapshot says: while
/// another process makes the catalog, two looks could see two states.
pub(super) fn format(connection: &Connection) -> Result<u32> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
    format_within(&transaction)
}

pub(super) fn format_within(connection: &Connection) -> Result<u32> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let mark: i64 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let foreign = || CatalogError::Damaged { what: "the file is not a Heirloom catalog".into() };
    if found == 0 && mark == 0 {
        let tables: i64 =
            connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))?;
        return if tables == 0 { Ok(0) } else { Err(foreign()) };
    }
    if mark != APPLICATION_ID {
        return Err(foreign());
    }
    u32::try_from(found).map_err(|_| foreign())
}

/// The oldest formats that may read and write a newer database.
pub(super) fn minimums(connection: &Connection) -> Result<(u32, u32)> {
    let value = |key: &str| -> Result<u32> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let found: i64 = connection.query_row(sql, [key], |row| row.get(0))?;
        u32::try_from(found)
            .map_err(|_| CatalogError::Damaged { what: format!("meta {key} is {found}") })
    };
    Ok((value("min_reader")?, value("min_writer")?))
}

/// Brings a database to [`SCHEMA`], in one transaction.
pub(super) fn migrate(connection: &Connection) -> Result<()> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let from = format_within(connection)?;
    for migration in MIGRATIONS.iter().filter(|migration| migration.number > from) {
        connection.execute_batch(migration.sql)?;
        connection.execute(
            "INSERT INTO migration (number, name, checksum) VALUES (?1, ?2, ?3)",
            (migration.number, migration.name, checksum(migration)),
        )?;
    }
    if from < SCHEMA {
        connection.execute_batch(&format!(
            "UPDATE meta SET value = {SCHEMA} WHERE key = 'schema';
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {SCHEMA};"
        ))?;
    }
    transaction.commit()?;
    Ok(())
}

/// Names migrations that were not those of this code.
pub(super) fn check(connection: &Connection, damaged: &mut dyn FnMut(String)) -> Result<()> {
    for migration in &MIGRATIONS {
        let sql = "SELECT checksum FROM migration WHERE number = ?1";
        let found = connection.query_row(sql, [migration.number], |row| row.get::<_, Vec<u8>>(0));
        match found {
            Ok(found) if found == checksum(migration) => {}
            Ok(_) | Err(rusqlite::Error::QueryReturnedNoRows) => damaged(format!(
                "migration {} ({}) is not the one known",
                migration.number, migration.name
            )),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn checksum(migration: &Migration) -> [u8; 32] {
    *blake3::hash(migration.sql.as_bytes()).as_bytes()
}
