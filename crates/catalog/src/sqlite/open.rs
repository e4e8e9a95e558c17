//! Opening: the first connection of a handle, which may make or upgrade the
//! file, and the later ones, which only follow.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::schema::{self, SCHEMA};
use super::{Access, OpenMode, SqliteOptions};
use crate::error::CatalogError;
use crate::view::Result;

/// How connections of one handle open the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    ReadWrite,
    ReadOnly,
    /// Read-only, trusting that nobody writes.
    Immutable,
}

/// Opens the first connection; says how it went and what may be done with it.
pub(super) fn first(path: &Path, options: &SqliteOptions) -> Result<(Connection, How, Access)> {
    loop {
        let before = identity(path);
        let opened = open_as_allowed(path, options).map_err(|error| named(path, error))?;
        // A rebuild has the file to itself until it has put another in its place: who
        // came meanwhile and waited has the old one. Now nobody can, as we look in it.
        if before.is_none() || before == identity(path) {
            return Ok(opened);
        }
    }
}

/// Which file a path leads to.
fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn open_as_allowed(path: &Path, options: &SqliteOptions) -> Result<(Connection, How, Access)> {
    if options.mode != OpenMode::Create && !path.is_file() {
        return Err(CatalogError::CannotOpen {
            path: path.display().to_string(),
            what: "the file does not exist".to_owned(),
        });
    }
    if matches!(options.mode, OpenMode::ReadOnly | OpenMode::Sealed) {
        return read_only(path, options);
    }
    match read_write(path, options) {
        Err(CatalogError::ReadOnly | CatalogError::CannotOpen { .. }) if path.is_file() => {
            read_only(path, options)
        }
        other => other,
    }
}

/// Opens a later connection.
pub(super) fn connect(path: &Path, how: How, options: &SqliteOptions) -> Result<Connection> {
    let base = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = match how {
        How::ReadWrite => Connection::open_with_flags(
            path,
            base | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        ),
        How::ReadOnly => Connection::open_with_flags(path, base | OpenFlags::SQLITE_OPEN_READ_ONLY),
        How::Immutable => Connection::open_with_flags(
            immutable_uri(path),
            base | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
        ),
    };
    let connection = opened.map_err(|error| named(path, error.into()))?;
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(96);
    // FULL: a commit that returned survives a power loss. 8 MiB of cache hold
    // the inner pages of tables with millions of rows; each connection has them.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -8192;",
    )?;
    Ok(connection)
}

fn read_write(path: &Path, options: &SqliteOptions) -> Result<(Connection, How, Access)> {
    let connection = connect(path, How::ReadWrite, options)?;
    let mut format = schema::format(&connection)?;
    let read_only = connection.is_readonly("main")?;
    // What has a format already is migrated by `upgrade` alone.
    if format == 0 && !read_only {
        prepare(&connection, options, path)?;
        format = schema::format(&connection)?;
    }
    let access = access(&connection, format)?;
    if access == Access::Write && !read_only {
        // The copy that a backup keeps has no log; a restored one needs it again.
        let mode: String =
            connection.query_row("PRAGMA main.journal_mode", [], |row| row.get(0))?;
        if mode != "wal" {
            prepare(&connection, options, path)?;
        }
    }
    let access = match (access, read_only) {
        (Access::Write, true) => Access::ReadOnly,
        (access, _) => access,
    };
    Ok((connection, How::ReadWrite, access))
}

fn read_only(path: &Path, options: &SqliteOptions) -> Result<(Connection, How, Access)> {
    let attempt = |how| -> Result<(Connection, How, Access)> {
        let connection = connect(path, how, options)?;
        let format = schema::format(&connection)?;
        access(&connection, format)?;
        Ok((connection, how, Access::ReadOnly))
    };
    match attempt(How::ReadOnly) {
        Err(CatalogError::ReadOnly | CatalogError::CannotOpen { .. })
            if !has_write_ahead_log(path) =>
        {
            attempt(How::Immutable)
        }
        other => other,
    }
}

/// What may be done with a database of this format.
fn access(connection: &Connection, format: u32) -> Result<Access> {
    if format == 0 {
        return Err(CatalogError::Damaged { what: "the catalog is empty".to_owned() });
    }
    if format < SCHEMA {
        return Err(CatalogError::OlderFormat { found: format, supported: SCHEMA });
    }
    if format == SCHEMA {
        return Ok(Access::Write);
    }
    let (min_reader, min_writer) = schema::minimums(connection)?;
    if min_reader > SCHEMA {
        return Err(CatalogError::NewerFormat { found: min_reader, supported: SCHEMA });
    }
    match min_writer > SCHEMA {
        true => Ok(Access::NewerWriter(min_writer)),
        false => Ok(Access::Write),
    }
}

/// Makes or migrates the database. Turning WAL on needs the file for itself and
/// does not wait as other locks do, so that processes which all make the file at
/// once try again here.
fn prepare(connection: &Connection, options: &SqliteOptions, path: &Path) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    loop {
        match try_prepare(connection, path) {
            Err(CatalogError::Busy) if waited < options.busy_timeout => {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
            other => return other,
        }
    }
}

fn try_prepare(connection: &Connection, path: &Path) -> Result<()> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(CatalogError::CannotOpen {
            path: path.display().to_string(),
            what: format!("write-ahead logging is not possible here (mode stays {mode})"),
        });
    }
    schema::migrate(connection)
}

/// Brings the database of an older format to [`SCHEMA`]; its format before.
pub(super) fn upgrade(path: &Path, options: &SqliteOptions) -> Result<u32> {
    let outcome = (|| {
        if !path.is_file() {
            return Err(CatalogError::CannotOpen {
                path: path.display().to_string(),
                what: "the file does not exist".to_owned(),
            });
        }
        let connection = connect(path, How::ReadWrite, options)?;
        let format = schema::format(&connection)?;
        if format < SCHEMA && connection.is_readonly("main")? {
            return Err(CatalogError::ReadOnly);
        }
        if (1..SCHEMA).contains(&format) {
            prepare(&connection, options, path)?;
        }
        access(&connection, schema::format(&connection)?)?;
        Ok(format)
    })();
    outcome.map_err(|error| named(path, error))
}

/// Says which file could not be opened.
fn named(path: &Path, error: CatalogError) -> CatalogError {
    match error {
        CatalogError::CannotOpen { what, .. } => {
            CatalogError::CannotOpen { path: path.display().to_string(), what }
        }
        other => other,
    }
}

/// Whether a write-ahead log with content lies beside the database.
pub(super) fn has_write_ahead_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match std::fs::metadata(log) {
        Ok(meta) => meta.len() > 0,
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// `file:` URI of the database with `immutable=1`; what has a meaning in URIs is
/// written as `%` and two digits.
pub(super) fn immutable_uri(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(char::from(*byte));
            }
            other => {
                // Writing to a string cannot fail.
                let _ = write!(uri, "%{other:02X}");
            }
        }
    }
    uri.push_str("?immutable=1");
    uri
}
