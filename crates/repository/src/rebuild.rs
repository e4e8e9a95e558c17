//! Rebuilding a catalog from storage alone: names, numbers, aliases and lineage
//! come from the sealed journal and from the version records, places of blobs
//! from the objects themselves.
//!
//! A fresh catalog is made beside the old one and takes its place when it is
//! complete. What cannot be known any more is told, never guessed: a number that
//! two records claim is named, and nothing changes until the user decides.

mod chain;
mod content;
mod index;
mod names;
mod records;
mod rows;

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use heirloom_api::{Problem, RebuildReport};
use heirloom_catalog::{Catalog, Edit, SqliteCatalog, SqliteOptions};
use heirloom_core::{ErrorCode, Timestamp};
use heirloom_manifest::BlobId;
use heirloom_store::LocalStore;
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use crate::home::{CATALOG, FORMAT, HomeConfig, StorageConfig, io_problem, write_config};
use crate::problem::Failure;
use crate::{Environment, Home, Inner, journal};

const NEW: &str = "catalog.sqlite3.rebuilding";
const INDEX: &str = "catalog.sqlite3.rebuilding-index";
const LOCK: &str = "catalog.sqlite3.rebuilding-lock";

/// Edits applied in one transaction.
const BATCH: usize = 8192;

/// What is told as it goes: a word for the step, and what is done of it.
pub type RebuildProgress<'a> = dyn FnMut(&'static str, u64) + 'a;

/// Rebuilds the catalog of the repository in the directory `path`, which nobody
/// else may use meanwhile. `choice` has the records that count where several
/// claim a number. The old catalog is kept beside the new one.
///
/// # Errors
/// `not_found` when the directory has no objects of a repository, `unavailable`
/// when another process uses it, `newer_format`, `no_space`, `io`. Nothing has
/// changed then, nor when the answer names ambiguous numbers.
pub(crate) fn rebuild(
    path: &Path,
    env: &dyn Environment,
    choice: &BTreeSet<BlobId>,
    progress: &mut RebuildProgress<'_>,
) -> Result<RebuildReport, Problem> {
    let identity = identity(path)?;
    let alone = Alone::take(path)?;
    remove_leftovers(path)?;
    let mut report = match build(path, env, choice, progress) {
        Ok(report) if report.ambiguous.is_empty() => report,
        other => {
            remove_leftovers(path)?;
            return other.map_err(|failure| failure.0);
        }
    };
    remove_catalog(&path.join(INDEX))?;
    report.kept = swap(path, env)?.map(|kept| kept.display().to_string());
    report.new_identity = identity.is_none();
    if identity.is_none() {
        let id = uuid::Builder::from_random_bytes(
            (u128::from(env.random()) << 64 | u128::from(env.random())).to_be_bytes(),
        );
        let id = id.into_uuid().to_string();
        write_config(path, &HomeConfig { format: FORMAT, id, storage: StorageConfig::Directory })?;
    }
    drop(alone);
    Ok(report)
}

/// Keeps everybody else out: what another process commits to the old catalog
/// while the new one is made would be lost with it, and what a collector decided
/// by the old one would hold for nobody.
struct Alone {
    /// Locked against a second rebuild.
    mark: PathBuf,
    _mark: File,
    /// The old catalog, locked as SQLite locks it to have it to itself: each
    /// process that has it open holds a share until it ends.
    _catalog: Option<File>,
}

impl Alone {
    fn take(path: &Path) -> Result<Self, Problem> {
        let in_use = || {
            Problem::new(
                ErrorCode::Unavailable,
                format!(
                    "another process uses {}: its catalog is rebuilt while nobody does",
                    path.display()
                ),
            )
        };
        let mark = path.join(LOCK);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&mark)
            .map_err(|error| io_problem("open", &mark, &error))?;
        let is_taken = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        if is_taken || file.metadata().is_ok_and(|file| file.nlink() == 0) {
            return Err(in_use());
        }
        // One that is missing or cannot be opened is in nobody's way.
        let catalog = File::options().read(true).write(true).open(path.join(CATALOG)).ok();
        if let Some(catalog) = &catalog
            && let Err(Errno::AGAIN | Errno::ACCESS) =
                fcntl_lock(catalog, FlockOperation::NonBlockingLockExclusive)
        {
            return Err(in_use());
        }
        Ok(Self { mark, _mark: file, _catalog: catalog })
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // One that stays, of a process that was killed, is locked by nobody.
        let _ = fs::remove_file(&self.mark);
    }
}

/// What `heirloom.toml` says, if it is there.
fn identity(path: &Path) -> Result<Option<Home>, Problem> {
    match Home::open(path) {
        Ok(home) => Ok(Some(home)),
        Err(problem) if problem.code == ErrorCode::NotFound => match has_objects(path) {
            true => Ok(None),
            false => Err(Problem::not_found("repository", path.display())),
        },
        Err(problem) => Err(problem),
    }
}

/// Whether a directory has objects of a repository.
pub(crate) fn has_objects(path: &Path) -> bool {
    ["packs", "objects"]
        .iter()
        .any(|name| fs::read_dir(path.join(name)).is_ok_and(|mut entries| entries.next().is_some()))
}

fn build(
    path: &Path,
    env: &dyn Environment,
    choice: &BTreeSet<BlobId>,
    progress: &mut RebuildProgress<'_>,
) -> Result<RebuildReport, Failure> {
    let open = |name: &str| SqliteCatalog::open(path.join(name), SqliteOptions::default());
    let mut report = RebuildReport::default();
    let store = LocalStore::open(path)?;
    let found = index::find(store, open(INDEX)?, env.now(), &mut report, progress)?;
    let mut names = names::Names::read(&found, env, &mut report, progress)?;
    let chains = records::choose(&found, &mut names, choice, env, &mut report, progress)?;
    if !report.ambiguous.is_empty() {
        return Ok(report);
    }
    let generation = names.generation() + 1;
    let mut target = Target { catalog: open(NEW)?, env, edits: Vec::new() };
    rows::write(&found, &mut names, &chains, &mut target, &mut report, progress)?;
    content::write(&found, &mut target, &mut report, progress)?;
    // The journal begins anew, so that it never depends on what is gone.
    let inner = Inner {
        store: Box::new(LocalStore::open(path)?),
        catalog: Box::new(target.catalog),
        env: Box::new(Fixed(env.now())),
        home: None,
        local: true,
    };
    journal::seal_generation(&inner, generation)?;
    Ok(report)
}

/// The one moment at which all of it happens.
struct Fixed(Timestamp);

impl Environment for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }

    /// Nothing that a rebuild does through the operations draws an id.
    fn random(&self) -> u64 {
        0
    }
}

/// The catalog that is being made, and edits on their way into it.
struct Target<'e> {
    catalog: SqliteCatalog,
    env: &'e dyn Environment,
    edits: Vec<Edit>,
}

impl Target<'_> {
    fn push(&mut self, edit: Edit) -> Result<(), Failure> {
        self.edits.push(edit);
        if self.edits.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let mut edits = std::mem::take(&mut self.edits);
        if edits.is_empty() {
            return Ok(());
        }
        // Durable when the file is closed and flushed, before it is renamed.
        Ok(self.catalog.write_soon(&mut |_| Ok(std::mem::take(&mut edits)))?)
    }
}

/// A catalog's file and what SQLite keeps beside it.
fn files_of(catalog: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = catalog.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

fn remove_catalog(catalog: &Path) -> Result<(), Problem> {
    for file in files_of(catalog) {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io_problem("remove", &file, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn remove_leftovers(path: &Path) -> Result<(), Problem> {
    remove_catalog(&path.join(NEW))?;
    remove_catalog(&path.join(INDEX))
}

/// Puts the new catalog in the place of the old one, which gets another name.
fn swap(path: &Path, env: &dyn Environment) -> Result<Option<PathBuf>, Problem> {
    let (new, current) = (path.join(NEW), path.join(CATALOG));
    let flush = |path: &Path| {
        File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|error| io_problem("flush", path, &error))
    };
    // Closing the last connection has brought everything into the one file.
    let [_, log, _] = files_of(&new);
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        let error = io::Error::other("what is in it could not be brought into the catalog");
        return Err(io_problem("end", &log, &error));
    }
    flush(&new)?;
    let rename = |from: &Path, to: &Path| match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_problem("rename", from, &error)),
        Ok(()) => Ok(true),
    };
    let seconds = env.now().micros().div_euclid(1_000_000);
    let kept = path.join(format!("{CATALOG}.before-rebuild-{seconds}"));
    let mut was_there = false;
    // The database first: without its log it would be an older one, and who opened
    // it would miss commits. A log without its database is never read, but would be
    // taken for the new one's, so that it is gone for good before that comes.
    for (from, to) in files_of(&current).iter().zip(files_of(&kept)) {
        was_there |= rename(from, &to)?;
    }
    flush(path)?;
    rename(&new, &current)?;
    flush(path)?;
    Ok(was_there.then_some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalog_never_lies_without_its_log() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path();
        let at = |name: &str| path.join(name);
        for name in ["catalog.sqlite3", "catalog.sqlite3-wal", "catalog.sqlite3-shm", NEW] {
            fs::write(at(name), name).unwrap();
        }
        // The database cannot be moved away.
        let taken = at("catalog.sqlite3.before-rebuild-7");
        fs::create_dir(&taken).unwrap();
        let env = Fixed(Timestamp::from_micros(7_000_000));
        swap(path, &env).unwrap_err();
        for name in ["catalog.sqlite3", "catalog.sqlite3-wal", NEW] {
            assert_eq!(fs::read_to_string(at(name)).unwrap(), name);
        }

        // Broken off between database and log, and begun anew later.
        fs::remove_dir(&taken).unwrap();
        fs::rename(at("catalog.sqlite3"), &taken).unwrap();
        swap(path, &Fixed(Timestamp::from_micros(8_000_000))).unwrap();
        assert_eq!(fs::read_to_string(at("catalog.sqlite3")).unwrap(), NEW);
        assert!(!at("catalog.sqlite3-wal").exists());
    }

    #[test]
    fn what_is_not_in_the_new_catalog_yet_is_not_left_behind() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(NEW), "new").unwrap();
        fs::write(home.path().join(format!("{NEW}-wal")), "commits").unwrap();
        let problem = swap(home.path(), &Fixed(Timestamp::from_micros(0))).unwrap_err();
        assert!(problem.message.contains("rebuilding-wal"), "{}", problem.message);
        assert!(!home.path().join("catalog.sqlite3").exists());
    }
}
