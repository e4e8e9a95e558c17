//! A catalog as a file: copied while it is in use, and read for what a backup
//! needs, whatever its format.

use std::path::{Path, PathBuf};
use std::time::Duration;

use heirloom_store::ObjectKey;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use super::convert::{Columns, key_to_sql};
use super::{SCHEMA, open, schema};
use crate::error::CatalogError;
use crate::view::Result;

/// Pages copied between two reports of progress: 4 MiB with SQLite's default size.
const PAGES_AT_ONCE: i32 = 1024;

/// How long a copy waits for a lock of the file that it reads.
const PATIENCE: Duration = Duration::from_secs(120);

/// A catalog's file, opened for reading only, of this format or an older one:
/// what can be said of it without understanding all of its tables.
#[derive(Debug)]
pub struct CatalogFile {
    connection: Connection,
    path: PathBuf,
    format: u32,
}

/// What a catalog holds, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotTotals {
    /// Objects that are not being deleted.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Versions that can be read.
    pub versions: u64,
}

impl CatalogFile {
    /// Opens the file.
    ///
    /// # Errors
    /// [`CatalogError::CannotOpen`], [`CatalogError::NewerFormat`],
    /// [`CatalogError::Damaged`] when it is no catalog.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let cannot =
            |what: String| CatalogError::CannotOpen { path: path.display().to_string(), what };
        if !path.is_file() {
            return Err(cannot("the file does not exist".to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = |connection: Connection| -> Result<(Connection, u32)> {
            connection.busy_timeout(PATIENCE)?;
            let format = schema::format(&connection)?;
            Ok((connection, format))
        };
        let first = Connection::open_with_flags(&path, flags).map_err(Into::into).and_then(opened);
        // A place that cannot be written has no shared memory for the log: then
        // nobody writes, and the file is all there is.
        let (connection, format) = match first {
            Err(CatalogError::ReadOnly | CatalogError::CannotOpen { .. })
                if !open::has_write_ahead_log(&path) =>
            {
                let flags = flags | OpenFlags::SQLITE_OPEN_URI;
                let uri = open::immutable_uri(&path);
                opened(Connection::open_with_flags(uri, flags).map_err(CatalogError::from)?)?
            }
            other => other.map_err(|error| match error {
                CatalogError::CannotOpen { what, .. } => cannot(what),
                other => other,
            })?,
        };
        match format {
            0 => Err(CatalogError::Damaged { what: "the catalog is empty".to_owned() }),
            1..=SCHEMA => Ok(Self { connection, path, format }),
            found => Err(CatalogError::NewerFormat { found, supported: SCHEMA }),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its format.
    pub fn format(&self) -> u32 {
        self.format
    }

    /// Copies one consistent state of the catalog into `target`, an absent file,
    /// while others go on reading and writing. `progress` hears of the bytes
    /// copied and of all. The copy is complete and flushed when this returns; it
    /// is one file, without a log beside it.
    ///
    /// # Errors
    /// [`CatalogError::NoSpace`], [`CatalogError::Busy`], and what SQLite says.
    pub fn copy_to(&self, target: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        let mut copy = Connection::open(target)?;
        // A copy that is broken off is made anew: it needs no log of its own.
        copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
        // A snapshot that is held from the first page to the last: without it
        // every commit of others would begin the copy again.
        let snapshot = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        schema::format_within(&snapshot)?;
        let page: i64 = self.connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let bytes = |pages: i32| i64::from(pages).saturating_mul(page).unsigned_abs();
        {
            let backup = Backup::new(&self.connection, &mut copy)?;
            loop {
                let step = backup.step(PAGES_AT_ONCE)?;
                let now = backup.progress();
                progress(bytes(now.pagecount - now.remaining), bytes(now.pagecount));
                match step {
                    StepResult::Done => break,
                    StepResult::More => {}
                    _ => return Err(CatalogError::Busy),
                }
            }
        }
        drop(snapshot);
        // The copy says, as the original does, that it has a log; one file that
        // is only read is better off without.
        let mode: String = copy.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
        if mode != "delete" {
            return Err(CatalogError::CannotOpen {
                path: target.display().to_string(),
                what: format!("the copy keeps a log (mode stays {mode})"),
            });
        }
        copy.close().map_err(|(_, error)| error)?;
        std::fs::File::open(target).and_then(|file| file.sync_all()).map_err(|error| io(&error))
    }

    /// Every object that is not being deleted, with its length in bytes.
    ///
    /// # Errors
    /// What `visit` returns; the catalog's failure.
    pub fn each_object<E: From<CatalogError>>(
        &self,
        mut visit: impl FnMut(ObjectKey, u64) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let failed = |error: rusqlite::Error| E::from(error.into());
        let sql = "SELECT key, size FROM object WHERE state < 2 ORDER BY key";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let mut at = Columns::of(row);
            let (key, size) = (at.key()?, at.unsigned()?);
            visit(key, size)?;
        }
        Ok(())
    }

    /// Whether the catalog has this object, and is not deleting it.
    ///
    /// # Errors
    /// The catalog's failure.
    pub fn has_object(&self, key: &ObjectKey) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM object WHERE key = ?1 AND state < 2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found: i64 = statement.query_row([key_to_sql(key)], |row| row.get(0))?;
        Ok(found > 0)
    }

    /// Counts.
    ///
    /// # Errors
    /// The catalog's failure.
    pub fn totals(&self) -> Result<SnapshotTotals> {
        let of = |sql: &str| -> Result<u64> {
            let found: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
            Ok(found.unsigned_abs())
        };
        Ok(SnapshotTotals {
            objects: of("SELECT COUNT(*) FROM object WHERE state < 2")?,
            bytes: of("SELECT COALESCE(SUM(size), 0) FROM object WHERE state < 2")?,
            versions: of("SELECT COUNT(*) FROM version WHERE state = 0")?,
        })
    }
}

fn io(error: &std::io::Error) -> CatalogError {
    match error.kind() {
        std::io::ErrorKind::StorageFull => CatalogError::NoSpace,
        _ => CatalogError::Io { code: error.raw_os_error().unwrap_or(0), what: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OpenMode, SqliteCatalog, SqliteOptions};
    use super::*;
    use crate::view::{Catalog as _, CatalogExt as _, Edit};

    fn epoch(file: &Path) -> u64 {
        let options = SqliteOptions { mode: OpenMode::ReadOnly, ..SqliteOptions::default() };
        SqliteCatalog::open(file, options).unwrap().view(|view| view.epoch()).unwrap()
    }

    #[test]
    fn a_copy_is_one_state_though_others_write() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("catalog.sqlite3");
        let catalog = SqliteCatalog::open(&file, SqliteOptions::default()).unwrap();
        catalog.write(&mut |_| Ok(vec![Edit::SetEpoch(1)])).unwrap();
        let copy = home.path().join("copy");
        let mut told = Vec::new();
        CatalogFile::open(&file)
            .unwrap()
            .copy_to(&copy, &mut |done, all| {
                told.push((done, all));
                // A commit in the middle neither shows nor begins the copy again.
                catalog.write(&mut |_| Ok(vec![Edit::SetEpoch(2)])).unwrap();
            })
            .unwrap();
        assert_eq!(epoch(&copy), 1);
        assert_eq!(epoch(&file), 2);
        let (done, all) = *told.last().unwrap();
        assert!(done == all && all > 0, "{told:?}");
        let names = std::fs::read_dir(home.path()).unwrap();
        let beside = names.filter(|name| {
            name.as_ref().unwrap().file_name().to_string_lossy().starts_with("copy-")
        });
        assert_eq!(beside.count(), 0, "the copy is one file");
    }

    #[test]
    fn what_is_no_catalog_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("x");
        assert!(matches!(CatalogFile::open(&file), Err(CatalogError::CannotOpen { .. })));
        std::fs::write(&file, "").unwrap();
        assert!(matches!(CatalogFile::open(&file), Err(CatalogError::Damaged { .. })));
        std::fs::write(&file, "not a database").unwrap();
        assert!(matches!(CatalogFile::open(&file), Err(CatalogError::Damaged { .. })));
    }
}
