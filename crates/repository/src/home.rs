//! The repository's directory: made at first use, refused when newer.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use heirloom_api::Problem;
use heirloom_core::ErrorCode;
use serde::{Deserialize, Serialize};

/// The format that this code reads and writes (`docs/format.md`).
pub const FORMAT: u32 = 1;

const CONFIG: &str = "heirloom.toml";
const CATALOG: &str = "catalog.sqlite3";

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
}

impl Home {
    /// Opens the directory, or makes a repository in it when there is none.
    ///
    /// # Errors
    /// `newer_format` for a newer repository, `invalid` for a damaged
    /// `heirloom.toml` or a directory that holds something else, `io`.
    pub fn open_or_create(path: &Path, new_id: impl FnOnce() -> String) -> Result<Self, Problem> {
        match Self::open(path) {
            Err(problem) if problem.code == ErrorCode::NotFound => {}
            other => return other,
        }
        if path.join(CATALOG).exists() {
            return Err(Problem::new(
                ErrorCode::Corrupt,
                format!(
                    "{} has a catalog but no {CONFIG}: part of the repository is missing",
                    path.display()
                ),
            ));
        }
        fs::create_dir_all(path).map_err(|error| io_problem("create", path, &error))?;
        let config = HomeConfig { format: FORMAT, id: new_id(), storage: StorageConfig::Directory };
        write_config(path, &config)?;
        // Another process may have been faster; what is there counts.
        Self::open(path)
    }

    /// Opens the directory.
    ///
    /// # Errors
    /// As [`Home::open_or_create`], and `not_found` when there is no repository.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let file = path.join(CONFIG);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Err(Problem::not_found("repository", path.display()));
            }
            Err(error) => return Err(io_problem("read", &file, &error)),
        };
        let damaged = |why: &str| {
            Problem::new(
                ErrorCode::Corrupt,
                format!("{} cannot be understood: {why}", file.display()),
            )
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
            Some(_) => {}
        }
        let config = table.try_into().map_err(|error: toml::de::Error| damaged(error.message()))?;
        Ok(Self { path: path.to_owned(), config })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `heirloom.toml` says.
    pub fn config(&self) -> &HomeConfig {
        &self.config
    }

    /// The catalog's file.
    pub fn catalog_path(&self) -> PathBuf {
        self.path.join(CATALOG)
    }

    /// Waits until no other process of this machine is between reading a
    /// collection's next number and committing it. A courtesy that saves
    /// rewritten records; correctness does not depend on it.
    pub(crate) fn commit_turn(&self) -> Option<File> {
        let file =
            File::options().create(true).append(true).open(self.path.join("commit.lock")).ok()?;
        file.lock().ok()?;
        Some(file)
    }
}

fn write_config(path: &Path, config: &HomeConfig) -> Result<(), Problem> {
    let text = toml::to_string(config).expect("plain fields always serialise");
    let staged = path.join(format!(".{CONFIG}-{}", config.id));
    let target = path.join(CONFIG);
    let result = (|| {
        let mut file = File::options().write(true).create_new(true).open(&staged)?;
        file.write_all(text.as_bytes())?;
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
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "nothing is left beside the file");
    }

    #[test]
    fn a_newer_or_damaged_home_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join(CONFIG);
        fs::write(&config, "format = 2\nwhatever = true\n").unwrap();
        assert_eq!(Home::open(dir.path()).unwrap_err().code, ErrorCode::NewerFormat);
        fs::write(&config, "format = ").unwrap();
        assert_eq!(Home::open(dir.path()).unwrap_err().code, ErrorCode::Corrupt);
        fs::remove_file(&config).unwrap();
        fs::write(dir.path().join(CATALOG), "").unwrap();
        let problem = Home::open_or_create(dir.path(), || "x".to_owned()).unwrap_err();
        assert_eq!(problem.code, ErrorCode::Corrupt);
    }
}
