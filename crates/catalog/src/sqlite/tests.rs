//! What only a file can do: be reopened, shared, newer, foreign, damaged, or out
//! of reach.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::open::{has_write_ahead_log, immutable_uri};
use super::{OpenMode, SCHEMA, SqliteCatalog, SqliteOptions};
use crate::conformance::{Put, World};
use crate::error::CatalogError;
use crate::view::{Catalog as _, CatalogExt as _, Edit, View};

fn home() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("catalog.sqlite3");
    (home, file)
}

fn open(file: &Path) -> SqliteCatalog {
    SqliteCatalog::open(file, SqliteOptions::default()).unwrap()
}

fn with(mode: OpenMode) -> SqliteOptions {
    SqliteOptions { mode, ..SqliteOptions::default() }
}

fn filled(file: &Path) -> World {
    let world = World::new(Box::new(open(file)));
    let p = world.project("p");
    for content in 0..3 {
        world.put(p, &Put { aliases: &["prod"], ..Put::new("animals", content) }).unwrap();
    }
    world
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let (_home, file) = home();
    let digest = filled(&file).version("animals").digest;
    let world = World::new(Box::new(open(&file)));
    assert_eq!(world.index("animals:prod"), 2);
    assert_eq!(world.version("animals").digest, digest);
}

#[test]
fn handles_on_one_file_are_one_catalog() {
    const HANDLES: usize = 4;
    const EACH: usize = 10;
    let (_home, file) = home();
    // All of them make the file at once.
    std::thread::scope(|threads| {
        for _ in 0..HANDLES {
            threads.spawn(|| {
                let catalog = open(&file);
                let next = |view: &dyn View| Ok(vec![Edit::SetEpoch(view.epoch()? + 1)]);
                for _ in 0..EACH / 2 {
                    catalog.write(&mut |view| next(view)).unwrap();
                    catalog.write_soon(&mut |view| next(view)).unwrap();
                }
            });
        }
    });
    let epoch = open(&file).view(|view| view.epoch()).unwrap();
    assert_eq!(epoch, (HANDLES * EACH) as u64);
}

#[test]
fn one_handle_sees_what_another_wrote() {
    let (_home, file) = home();
    let (one, two) = (open(&file), open(&file));
    one.write(&mut |_| Ok(vec![Edit::SetEpoch(7)])).unwrap();
    assert_eq!(two.view(|view| view.epoch()).unwrap(), 7);
}

/// Says in the file that it is of format 9, which these formats may use.
fn make_newer(file: &Path, min_reader: u32, min_writer: u32) {
    let connection = Connection::open(file).unwrap();
    connection
        .execute_batch(&format!(
            "UPDATE meta SET value = {min_reader} WHERE key = 'min_reader';
             UPDATE meta SET value = {min_writer} WHERE key = 'min_writer';
             PRAGMA user_version = 9;"
        ))
        .unwrap();
}

#[test]
fn a_newer_format_is_refused() {
    let (_home, file) = home();
    drop(filled(&file));
    make_newer(&file, 9, 9);
    match SqliteCatalog::open(&file, SqliteOptions::default()) {
        Err(CatalogError::NewerFormat { found: 9, supported: SCHEMA }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newer_format_that_is_still_readable_is_read_and_not_written() {
    let (_home, file) = home();
    drop(filled(&file));
    make_newer(&file, 1, 9);
    let catalog = open(&file);
    assert!(catalog.is_read_only());
    assert_eq!(catalog.view(|view| view.totals()).unwrap().versions, 3);
    let outcome = catalog.write(&mut |_| Ok(vec![Edit::SetEpoch(1)]));
    assert!(matches!(outcome, Err(CatalogError::NewerFormat { found: 9, .. })), "{outcome:?}");
    make_newer(&file, 1, 1);
    open(&file).write(&mut |_| Ok(vec![Edit::SetEpoch(1)])).unwrap();
}

#[test]
fn files_of_others_are_not_touched() {
    let (_home, file) = home();
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = std::fs::read(&file).unwrap();
    let outcome = SqliteCatalog::open(&file, SqliteOptions::default());
    assert!(matches!(outcome, Err(CatalogError::Damaged { .. })), "{outcome:?}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let (_home, file) = home();
    Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 1").unwrap();
    let outcome = SqliteCatalog::open(&file, SqliteOptions::default());
    assert!(matches!(outcome, Err(CatalogError::Damaged { .. })), "{outcome:?}");
}

#[test]
fn what_is_no_database_is_damaged_and_what_is_absent_is_said() {
    let (home, file) = home();
    let garbage = tempfile::NamedTempFile::new_in(home.path()).unwrap();
    std::io::Write::write_all(&mut garbage.as_file(), &[0xA5; 8192]).unwrap();
    let outcome = SqliteCatalog::open(garbage.path(), SqliteOptions::default());
    assert!(matches!(outcome, Err(CatalogError::Damaged { .. })), "{outcome:?}");
    for mode in [OpenMode::Existing, OpenMode::ReadOnly] {
        let outcome = SqliteCatalog::open(&file, with(mode));
        assert!(matches!(outcome, Err(CatalogError::CannotOpen { .. })), "{outcome:?}");
    }
    assert!(!file.exists());
    let nowhere = home.path().join("absent").join("catalog.sqlite3");
    match SqliteCatalog::open(&nowhere, SqliteOptions::default()) {
        Err(CatalogError::CannotOpen { path, .. }) => assert!(path.ends_with("catalog.sqlite3")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_damaged_row_is_named() {
    let (_home, file) = home();
    let world = filled(&file);
    let id = world.version("animals:v1").id;
    let damage = |sql: &str| {
        let connection = Connection::open(&file).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        assert_eq!(connection.execute(sql, []).unwrap(), 1, "{sql}");
    };
    let found = || {
        let mut found = Vec::new();
        world.catalog.check(&mut |what| found.push(what)).unwrap();
        found
    };
    assert_eq!(found(), Vec::<String>::new());
    let mut count = 0;
    for (sql, named) in [
        ("UPDATE alias SET idx = 0 WHERE alias = 'prod'", "prod"),
        ("UPDATE collection SET next_index = 1", "collection row"),
        (
            "UPDATE membership SET version = (SELECT MAX(id) FROM version) WHERE idx = 0",
            "membership row",
        ),
        ("UPDATE version SET size = size + 1 WHERE idx = 1", &id.to_string()[..]),
    ] {
        damage(sql);
        count += 1;
        let found = found();
        assert_eq!(found.len(), count, "{found:?}");
        assert!(found.iter().any(|what| what.contains(named)), "{found:?} name {named}");
    }
    // A damaged version is not served either.
    let outcome = world.catalog.view(|view| view.version(id));
    assert!(matches!(outcome, Err(CatalogError::Damaged { .. })), "{outcome:?}");
    damage("UPDATE migration SET checksum = x'00' WHERE number = 1");
    assert!(found().iter().any(|what| what.contains("migration 1")));
}

#[test]
fn a_handle_for_reading_writes_nothing() {
    let (home, file) = home();
    drop(filled(&file));
    let before = std::fs::read(&file).unwrap();
    let catalog = SqliteCatalog::open(&file, with(OpenMode::ReadOnly)).unwrap();
    assert!(catalog.is_read_only());
    assert_eq!(catalog.view(|view| view.totals()).unwrap().versions, 3);
    let outcome = catalog.write(&mut |_| Ok(vec![Edit::SetEpoch(1)]));
    assert!(matches!(outcome, Err(CatalogError::ReadOnly)), "{outcome:?}");
    drop(catalog);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    drop(home);
}

#[test]
fn a_log_with_content_forbids_reading_as_immutable() {
    let (_home, file) = home();
    assert!(!has_write_ahead_log(&file));
    let catalog = open(&file);
    catalog.write(&mut |_| Ok(vec![Edit::SetEpoch(1)])).unwrap();
    // While a handle is open its commits are in the log.
    assert!(has_write_ahead_log(&file));
    drop(catalog);
    assert!(!has_write_ahead_log(&file));
}

#[test]
fn uris_of_odd_paths_name_the_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("a b?c#d%20é.sqlite3");
    drop(filled(&file));
    let uri = immutable_uri(&file);
    let connection = Connection::open_with_flags(
        uri,
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI,
    )
    .unwrap();
    let versions: i64 =
        connection.query_row("SELECT COUNT(*) FROM version", [], |row| row.get(0)).unwrap();
    assert_eq!(versions, 3);
}

#[test]
fn an_interrupted_transaction_leaves_the_handle_usable() {
    let (_home, file) = home();
    let catalog = open(&file);
    let outcome: Result<(), CatalogError> =
        catalog.transact(|_| Err::<(Vec<Edit>, ()), _>(CatalogError::NoSpace));
    assert!(matches!(outcome, Err(CatalogError::NoSpace)));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = catalog.write(&mut |_| panic!("in the middle"));
    }));
    assert!(panicked.is_err());
    catalog.write(&mut |_| Ok(vec![Edit::SetEpoch(3)])).unwrap();
    assert_eq!(catalog.view(|view| view.epoch()).unwrap(), 3);
}
