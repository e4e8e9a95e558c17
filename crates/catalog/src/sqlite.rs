//! The catalog in one SQLite file.
//!
//! WAL with `synchronous = FULL`: readers never wait, a commit is durable when it
//! returns. Every write is one `BEGIN IMMEDIATE` transaction, one at a time per
//! handle by a mutex and per file by SQLite's lock. Connections are pooled; a
//! prepared statement stays with its connection.

mod apply;
mod backup;
mod check;
mod convert;
mod locate;
mod open;
mod schema;
#[cfg(test)]
mod tests;
mod view;
mod walks;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::error::CatalogError;
use crate::view::{Catalog, Edit, Result, View};

pub use backup::{CatalogFile, SnapshotTotals};
pub use schema::SCHEMA;
use view::SqliteView;

/// What opening a catalog may do to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpenMode {
    /// Make the file when it is absent; write.
    #[default]
    Create,
    /// The file must exist; write.
    Existing,
    /// The file must exist; every write fails with [`CatalogError::ReadOnly`].
    ReadOnly,
    /// As `ReadOnly`, of a backup: writes fail with [`CatalogError::Sealed`].
    Sealed,
}

/// How a catalog is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// What opening may do to the file.
    pub mode: OpenMode,
    /// How long a write waits for those of other processes before
    /// [`CatalogError::Busy`]. A minute or more, so that many processes putting
    /// at once all succeed.
    pub busy_timeout: Duration,
    /// Connections kept open while unused.
    pub idle_connections: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { mode: OpenMode::Create, busy_timeout: Duration::from_secs(120), idle_connections: 4 }
    }
}

/// What this handle may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Write,
    ReadOnly,
    /// A newer version keeps the format readable for us, but not writable.
    NewerWriter(u32),
}

/// A catalog in a SQLite file.
///
/// Any number of handles and processes may share a file on one machine; the file
/// must not lie on a network file system.
///
/// **Read-only places.** When file or directory cannot be written, the handle
/// reads only. SQLite reads a WAL database through a shared-memory file beside
/// it; where that can be neither found nor made, the database is read as
/// immutable, which is right only when nobody writes it meanwhile, and is done
/// only when no write-ahead log with content lies beside it: such a log may hold
/// commits that would be missed.
#[derive(Debug)]
pub struct SqliteCatalog {
    path: PathBuf,
    options: SqliteOptions,
    how: open::How,
    access: Access,
    idle: Mutex<Vec<Connection>>,
    writer: Mutex<()>,
}

impl SqliteCatalog {
    /// Opens a catalog, making it as the mode allows. The directory must exist.
    ///
    /// # Errors
    /// [`CatalogError::CannotOpen`], [`CatalogError::NewerFormat`] when a newer
    /// version wrote it in a way that this one cannot read,
    /// [`CatalogError::OlderFormat`] when [`SqliteCatalog::upgrade`] has to come first,
    /// [`CatalogError::Damaged`] when it is no catalog, [`CatalogError::Busy`].
    pub fn open(path: impl Into<PathBuf>, options: SqliteOptions) -> Result<Self> {
        let path = path.into();
        let (connection, how, access) = open::first(&path, &options)?;
        let idle = Mutex::new(vec![connection]);
        Ok(Self { path, options, how, access, idle, writer: Mutex::new(()) })
    }

    /// Brings the catalog of an older format to [`SCHEMA`], in one transaction, and
    /// answers the format that it had. One that is of this format stays as it is.
    ///
    /// # Errors
    /// As [`SqliteCatalog::open`]; [`CatalogError::ReadOnly`].
    pub fn upgrade(path: impl AsRef<Path>, options: SqliteOptions) -> Result<u32> {
        open::upgrade(path.as_ref(), &options)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether writes fail: the place is read-only, was opened so, or belongs to
    /// a newer version.
    pub fn is_read_only(&self) -> bool {
        self.access != Access::Write
    }

    fn take(&self) -> Result<Connection> {
        let pooled = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match pooled {
            Some(connection) => Ok(connection),
            None => open::connect(&self.path, self.how, &self.options),
        }
    }

    /// Keeps a connection for later. One that failed is not brought back: after
    /// a failed fsync SQLite's and the kernel's view of the file may differ.
    fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.options.idle_connections {
            idle.push(connection);
        }
    }
}

/// When a transaction has to survive a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    /// When it returns.
    Now,
    /// With the next one that has to.
    Soon,
}

impl SqliteCatalog {
    fn write_with(
        &self,
        durability: Durability,
        decide: &mut dyn FnMut(&dyn View) -> Result<Vec<Edit>>,
    ) -> Result<()> {
        match self.access {
            Access::Write => {}
            Access::ReadOnly if self.options.mode == OpenMode::Sealed => {
                return Err(CatalogError::Sealed);
            }
            Access::ReadOnly => return Err(CatalogError::ReadOnly),
            Access::NewerWriter(found) => {
                return Err(CatalogError::NewerFormat { found, supported: SCHEMA });
            }
        }
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = self.take()?;
        if durability == Durability::Soon {
            connection.execute_batch("PRAGMA synchronous = NORMAL")?;
        }
        let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
        let outcome = match decide(&SqliteView::new(&connection)) {
            Ok(edits) if edits.is_empty() => Ok(()),
            Ok(edits) => match apply::apply(&connection, edits) {
                Ok(()) => match transaction.commit() {
                    Ok(()) => {
                        self.give_back_after(connection, durability);
                        return Ok(());
                    }
                    Err(error) => return Err(error.into()),
                },
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        // Dropping rolls back.
        drop(transaction);
        if outcome.is_ok() || matches!(outcome, Err(CatalogError::Interrupted)) {
            self.give_back_after(connection, durability);
        }
        outcome
    }

    /// Keeps a connection that has committed or rolled back, with the durability
    /// that every connection starts with.
    fn give_back_after(&self, connection: Connection, durability: Durability) {
        let full = match durability {
            Durability::Now => Ok(()),
            Durability::Soon => connection.execute_batch("PRAGMA synchronous = FULL"),
        };
        if full.is_ok() {
            self.give_back(connection);
        }
    }
}

impl Catalog for SqliteCatalog {
    fn read(&self, f: &mut dyn FnMut(&dyn View) -> Result<()>) -> Result<()> {
        let connection = self.take()?;
        let snapshot = Transaction::new_unchecked(&connection, TransactionBehavior::Deferred)?;
        let outcome = f(&SqliteView::new(&connection));
        // Nothing was written; dropping ends the snapshot.
        drop(snapshot);
        if outcome.is_ok() || matches!(outcome, Err(CatalogError::Interrupted)) {
            self.give_back(connection);
        }
        outcome
    }

    fn write(&self, decide: &mut dyn FnMut(&dyn View) -> Result<Vec<Edit>>) -> Result<()> {
        self.write_with(Durability::Now, decide)
    }

    /// In WAL mode a commit with `synchronous = NORMAL` appends to the log without
    /// flushing it; the next one with `FULL` flushes all of the log, in any process.
    fn write_soon(&self, decide: &mut dyn FnMut(&dyn View) -> Result<Vec<Edit>>) -> Result<()> {
        self.write_with(Durability::Soon, decide)
    }

    fn check(&self, damaged: &mut dyn FnMut(String)) -> Result<()> {
        let connection = self.take()?;
        let snapshot = Transaction::new_unchecked(&connection, TransactionBehavior::Deferred)?;
        let outcome = check::check(&connection, damaged);
        drop(snapshot);
        outcome
    }
}
