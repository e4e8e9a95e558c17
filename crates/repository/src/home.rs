//! The repository's directory: made at first use, refused when it is newer, older
//! or not whole.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use heirloom_api::Problem;
use heirloom_catalog::{CatalogExt, SqliteCatalog, SqliteOptions};
use heirloom_core::{DraftId, ErrorCode};
use serde::{Deserialize, Serialize};

use crate::owner::Owner;
use crate::problem::Failure;
use crate::{durable, rebuild, reserve};

/// The format that this code reads and writes (`docs/format.md`).
pub const FORMAT: u32 = 2;

pub(crate) const CONFIG: &str = "heirloom.toml";
pub(crate) const CATALOG: &str = "catalog.sqlite3";

/// Says that the directory is a backup, or becomes one.
pub(crate) const BACKUP: &str = "backup.json";

/// Says that a backup is being restored into the directory.
pub(crate) const RESTORE: &str = "restore.json";

const COMMIT_LOCK: &str = "commit.lock";

/// Drafts marked at once from which on those that have ended are looked for.
const MANY_OWNED: usize = 32;

/// How long a commit waits for its turn.
const COMMIT_PATIENCE: Duration = Duration::from_secs(3);

/// `heirloom.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomeConfig {
    /// Format of everything in the directory.
    pub format: u32,
    /// Identity of the repository.
    pub id: String,
    /// Where objects are.
    pub storage: StorageConfig,
}

/// Where objects are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum StorageConfig {
    /// Below the repository's directory.
    Directory,
}

/// An opened repository directory.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
    config: HomeConfig,
    is_backup: bool,
    /// Whether a commit waited for its turn in vain, and nobody had one since.
    stuck: Arc<AtomicBool>,
    /// The drafts that were begun here and have not ended, as far as is known.
    owned: Arc<Mutex<HashMap<DraftId, Owner>>>,
}

impl Home {
    /// Opens the directory, or makes a repository in it when there is none.
    ///
    /// # Errors
    /// `newer_format` for a newer repository, `older_format` for one that has to be
    /// upgraded first, `conflict` for a backup or restore that was broken off,
    /// `corrupt` for a damaged
    /// `heirloom.toml` or a directory that has lost it or the catalog, `io`.
    pub fn open_or_create(path: &Path, new_id: impl FnOnce() -> String) -> Result<Self, Problem> {
        match Self::open(path) {
            Err(problem) if problem.code == ErrorCode::NotFound => {}
            other => return other.and_then(Self::with_catalog),
        }
        half_made(path)?;
        lost(path)?;
        durable::make_directory(path).map_err(|error| io_problem("create", path, &error))?;
        // A catalog that was prepared but never used is one whose maker was
        // broken off, or is at work beside us.
        if !is_unused(&prepare_catalog(path)?)? {
            return Self::open(path).map_err(|_| {
                Problem::new(
                    ErrorCode::Corrupt,
                    format!(
                        "{} has a catalog but no {CONFIG}: part of the repository is missing",
                        path.display()
                    ),
                )
            });
        }
        let config = HomeConfig { format: FORMAT, id: new_id(), storage: StorageConfig::Directory };
        write_config(path, &config)?;
        reserve::ensure(path);
        // Another process may have been faster; what is there counts.
        Self::open(path)
    }

    /// Refuses a directory without its catalog: a new one would make everything
    /// in the repository look as if it had never been.
    fn with_catalog(self) -> Result<Self, Problem> {
        let file = self.catalog_path();
        match fs::metadata(&file) {
            Ok(metadata) if metadata.len() > 0 => Ok(self),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(io_problem("look at", &file, &error))
            }
            _ => Err(Problem::new(
                ErrorCode::Corrupt,
                format!("the catalog {} is missing or empty", file.display()),
            )),
        }
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// As [`Home::open_or_create`], and `not_found` when there is no repository.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let config = read_config(path)?;
        if config.format < FORMAT {
            return Err(Problem::new(
                ErrorCode::OlderFormat,
                format!(
                    "the repository at {} has format {}; this version of heirloom works on format {FORMAT}",
                    path.display(),
                    config.format
                ),
            ));
        }
        let is_backup = path.join(BACKUP).exists();
        Ok(Self {
            path: path.to_owned(),
            config,
            is_backup,
            stuck: Arc::default(),
            owned: Arc::default(),
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `heirloom.toml` says.
    pub fn config(&self) -> &HomeConfig {
        &self.config
    }

    /// Whether the directory is a backup, which is only read.
    pub fn is_backup(&self) -> bool {
        self.is_backup
    }

    /// The catalog's file.
    pub fn catalog_path(&self) -> PathBuf {
        self.path.join(CATALOG)
    }

    /// Marks a draft as one that this process builds, so that gc leaves it alone for
    /// as long as the process lives. Best effort: a draft without a mark is kept for
    /// a while.
    pub(crate) fn own(&self, draft: DraftId) {
        // Whose draft it is in a backup, where none can begin, need not be known.
        if !self.is_backup
            && let Ok(owner) = Owner::take(&self.path, draft)
        {
            self.owned.lock().unwrap_or_else(PoisonError::into_inner).insert(draft, owner);
        }
    }

    /// Removes the mark of a draft that has ended.
    pub(crate) fn disown(&self, draft: DraftId) {
        let owner = self.owned.lock().unwrap_or_else(PoisonError::into_inner).remove(&draft);
        if let Some(owner) = owner {
            owner.end();
        }
    }

    /// The drafts that are marked here, when there are so many that some surely have
    /// ended without anybody saying so.
    pub(crate) fn many_owned(&self) -> Vec<DraftId> {
        let owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        match owned.len() >= MANY_OWNED {
            true => owned.keys().copied().collect(),
            false => Vec::new(),
        }
    }

    /// Waits until no other process of this machine is between reading a
    /// collection's next number and committing it, but not for long: the other
    /// may be frozen. A courtesy that saves rewritten records; correctness does
    /// not depend on it.
    pub(crate) fn commit_turn(&self) -> Option<File> {
        let file =
            File::options().create(true).append(true).open(self.path.join(COMMIT_LOCK)).ok()?;
        if file.try_lock().is_ok() {
            self.stuck.store(false, Ordering::Relaxed);
            return Some(file);
        }
        // Whoever waits already will say when the turns go on.
        if self.stuck.load(Ordering::Relaxed) {
            return None;
        }
        let (sender, turn) = mpsc::sync_channel(1);
        let stuck = Arc::clone(&self.stuck);
        std::thread::Builder::new()
            .spawn(move || {
                let locked = file.lock().is_ok();
                stuck.store(false, Ordering::Relaxed);
                if locked {
                    // Nobody may be listening any more, which gives the turn up.
                    let _ = sender.send(file);
                }
            })
            .ok()?;
        let locked = turn.recv_timeout(COMMIT_PATIENCE);
        if matches!(locked, Err(mpsc::RecvTimeoutError::Timeout)) {
            self.stuck.store(true, Ordering::Relaxed);
        }
        locked.ok()
    }
}

/// Reads `heirloom.toml` of this format or an older one.
pub(crate) fn read_config(path: &Path) -> Result<HomeConfig, Problem> {
    let file = path.join(CONFIG);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(Problem::not_found("repository", path.display()));
        }
        Err(error) => return Err(io_problem("read", &file, &error)),
    };
    let damaged = |why: &str| {
        Problem::new(ErrorCode::Corrupt, format!("{} cannot be understood: {why}", file.display()))
    };
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| damaged(error.message()))?;
    let format = table.get("format").and_then(toml::Value::as_integer);
    match format {
        None => return Err(damaged("it has no `format`")),
        // Looked at before the rest, which a newer format may have changed.
        Some(found) if found > i64::from(FORMAT) => {
            return Err(Problem::new(
                ErrorCode::NewerFormat,
                format!(
                    "the repository at {} has format {found}; this version of heirloom knows {FORMAT}",
                    path.display()
                ),
            ));
        }
        Some(found) if found < 1 => return Err(damaged("its `format` is below 1")),
        Some(_) => {}
    }
    table.try_into().map_err(|error: toml::de::Error| damaged(error.message()))
}

/// Refuses a directory that is to become a backup or a restored repository: a new
/// repository in it would be taken for that.
fn half_made(path: &Path) -> Result<(), Problem> {
    let what = match (path.join(BACKUP).exists(), path.join(RESTORE).exists()) {
        (true, _) => "a backup into it",
        (_, true) => "restoring a backup into it",
        _ => return Ok(()),
    };
    Err(Problem::new(
        ErrorCode::Conflict,
        format!("{} is no repository: {what} was broken off or is at work", path.display()),
    ))
}

/// Refuses a directory that has objects, but neither `heirloom.toml` nor a catalog:
/// in a new repository they would be leftovers, which gc removes.
fn lost(path: &Path) -> Result<(), Problem> {
    let is_new = path.join(CATALOG).exists() || !rebuild::has_objects(path);
    // Another process may have made the repository, and put something, meanwhile.
    if is_new || path.join(CONFIG).exists() {
        return Ok(());
    }
    Err(Problem::new(
        ErrorCode::Corrupt,
        format!(
            "{} has objects of a repository, but neither {CONFIG} nor a catalog",
            path.display()
        ),
    ))
}

/// The catalog of a directory that is becoming a repository.
fn prepare_catalog(path: &Path) -> Result<SqliteCatalog, Problem> {
    Ok(SqliteCatalog::open(path.join(CATALOG), SqliteOptions::default()).map_err(Failure::from)?)
}

fn is_unused(catalog: &SqliteCatalog) -> Result<bool, Problem> {
    let projects = catalog.view(|view| view.projects(None, 1)).map_err(Failure::from)?;
    Ok(projects.is_empty())
}

pub(crate) fn write_config(path: &Path, config: &HomeConfig) -> Result<(), Problem> {
    let staged = path.join(format!(".{CONFIG}-{}", config.id));
    let target = path.join(CONFIG);
    let result = (|| {
        let mut file = File::options().write(true).create_new(true).open(&staged)?;
        file.write_all(config_text(config).as_bytes())?;
        file.sync_all()?;
        // A link fails where a rename would replace what another process wrote.
        match fs::hard_link(&staged, &target) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        File::open(path)?.sync_all()
    })();
    let _ = fs::remove_file(&staged);
    result.map_err(|error| io_problem("write", &target, &error))
}

/// The bytes of `heirloom.toml`.
pub(crate) fn config_text(config: &HomeConfig) -> String {
    toml::to_string(config).expect("plain fields always serialise")
}

/// Puts a small file in its place: whole or not at all, durable on return.
pub(crate) fn replace_file(target: &Path, bytes: &[u8]) -> Result<(), Problem> {
    let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let staged = target.with_file_name(format!(".{name}-new"));
    let written = (|| {
        let mut file = File::create(&staged)?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    written.map_err(|error| io_problem("write", &staged, &error))?;
    put_in_place(&staged, target)
}

/// Renames a flushed file over another of the same directory, durably.
pub(crate) fn put_in_place(staged: &Path, target: &Path) -> Result<(), Problem> {
    fs::rename(staged, target)
        .and_then(|()| match target.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        })
        .map_err(|error| io_problem("write", target, &error))
}

pub(crate) fn io_problem(op: &str, path: &Path, error: &std::io::Error) -> Problem {
    let code = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => ErrorCode::Forbidden,
        _ => ErrorCode::Io,
    };
    Problem::new(code, format!("cannot {op} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_made_once_and_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("deep/home");
        let first = Home::open_or_create(&home, || "one".to_owned()).unwrap();
        let second = Home::open_or_create(&home, || "two".to_owned()).unwrap();
        assert_eq!(first.config(), second.config());
        let names = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, [CATALOG, CONFIG, "reserve"], "nothing is left beside the files");
    }

    #[test]
    fn a_newer_or_damaged_home_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join(CONFIG);
        fs::write(&config, format!("format = {}\nwhatever = true\n", FORMAT + 1)).unwrap();
        assert_eq!(Home::open(dir.path()).unwrap_err().code, ErrorCode::NewerFormat);
        fs::write(&config, "format = ").unwrap();
        assert_eq!(Home::open(dir.path()).unwrap_err().code, ErrorCode::Corrupt);
        fs::write(&config, "format = 0\n").unwrap();
        assert_eq!(Home::open(dir.path()).unwrap_err().code, ErrorCode::Corrupt);
    }

    #[test]
    fn a_home_whose_making_was_broken_off_is_made() {
        for prepared in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            match prepared {
                true => drop(prepare_catalog(dir.path()).unwrap()),
                false => fs::write(dir.path().join(CATALOG), "").unwrap(),
            }
            Home::open_or_create(dir.path(), || "x".to_owned()).unwrap();
        }
    }
}
