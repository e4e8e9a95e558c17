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
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use heirloom_api::{Problem, RebuildReport};
use heirloom_catalog::{Catalog, Edit, SqliteCatalog, SqliteOptions};
use heirloom_core::{ErrorCode, Timestamp};
use heirloom_manifest::BlobId;
use heirloom_store::LocalStore;

use crate::home::{FORMAT, HomeConfig, StorageConfig, io_problem, write_config};
use crate::problem::Failure;
use crate::{Environment, Home, Inner, journal};

const NEW: &str = "catalog.sqlite3.rebuilding";
const INDEX: &str = "catalog.sqlite3.rebuilding-index";

/// Edits applied in one transaction.
const BATCH: usize = 8192;

/// What is told as it goes: a word for the step, and what is done of it.
pub type RebuildProgress<'a> = dyn FnMut(&'static str, u64) + 'a;

/// Rebuilds the catalog of the repository in the directory `path`, which nobody
/// else may use meanwhile. `choice` has the records that count where several
/// claim a number. The old catalog is kept beside the new one.
///
/// # Errors
/// `not_found` when the directory has no objects of a repository,
/// `newer_format`, `no_space`, `io`. Nothing has changed then, nor when the
/// answer names ambiguous numbers.
pub(crate) fn rebuild(
    path: &Path,
    env: &dyn Environment,
    choice: &BTreeSet<BlobId>,
    progress: &mut RebuildProgress<'_>,
) -> Result<RebuildReport, Problem> {
    let identity = identity(path)?;
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
    Ok(report)
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
    let (new, current) = (path.join(NEW), path.join("catalog.sqlite3"));
    // Closing the last connection has brought everything into the one file.
    let flush = |path: &Path| {
        File::open(path)
            .and_then(|file| file.sync_all())
            .map_err(|error| io_problem("flush", path, &error))
    };
    flush(&new)?;
    let rename = |from: &Path, to: &Path| match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_problem("rename", from, &error)),
        Ok(()) => Ok(true),
    };
    let seconds = env.now().micros().div_euclid(1_000_000);
    let kept = path.join(format!("catalog.sqlite3.before-rebuild-{seconds}"));
    let mut was_there = false;
    // The log first: without its database it is nothing, the database without its
    // log would be an older one.
    for (from, to) in files_of(&current).iter().zip(files_of(&kept)).rev() {
        was_there |= rename(from, &to)?;
    }
    rename(&new, &current)?;
    flush(path)?;
    Ok(was_there.then_some(kept))
}
