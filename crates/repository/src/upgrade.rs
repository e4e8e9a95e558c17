//! From an older format to this one. Objects are the same in all formats, so an
//! upgrade changes the catalog, in one transaction, and then `heirloom.toml`.
//! Broken off at any point it can be repeated.

use std::fs;
use std::path::{Path, PathBuf};

use heirloom_api::Problem;
use heirloom_catalog::{CatalogFile, SqliteCatalog, SqliteOptions};
use heirloom_core::Timestamp;

use crate::backup::{OnBackup, backup};
use crate::home::{
    CATALOG, CONFIG, FORMAT, HomeConfig, config_text, io_problem, put_in_place, read_config,
    replace_file,
};
use crate::problem::Failure;
use crate::reserve;

/// What is kept of the older format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// The catalog and `heirloom.toml`, in `upgrade-backup-<format>` in the
    /// repository's directory: all that an upgrade changes.
    Beside,
    /// A complete backup, in this directory.
    Backup(PathBuf),
    /// Nothing.
    Nothing,
}

/// What an upgrade came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgraded {
    /// The format before.
    pub from: u32,
    /// The format now; the same when there was nothing to do.
    pub to: u32,
    /// Where the older format is kept.
    pub kept: Option<PathBuf>,
}

/// Brings the repository in `home` to this format. Other processes should not be
/// using it.
///
/// # Errors
/// `not_found`, `newer_format`, `corrupt`, `forbidden`, `io`; as [`backup`]. The
/// repository is of the one format or the other then.
pub fn upgrade(
    home: &Path,
    keep: &Keep,
    now: Timestamp,
    progress: &mut OnBackup<'_>,
) -> Result<Upgraded, Problem> {
    run(home, keep, now, progress).map_err(|failure| failure.0)
}

fn run(
    home: &Path,
    keep: &Keep,
    now: Timestamp,
    progress: &mut OnBackup<'_>,
) -> Result<Upgraded, Failure> {
    let config = read_config(home)?;
    if crate::backup::read_info(home)?.is_some() {
        let what =
            format!("{} is a backup: restore it, and upgrade what was restored", home.display());
        return Err(Problem::invalid(what).into());
    }
    let file = home.join(CATALOG);
    let format = CatalogFile::open(&file)?.format();
    let from = config.format.min(format);
    if from == FORMAT {
        return Ok(Upgraded { from, to: FORMAT, kept: None });
    }
    // A catalog that is of this format already was upgraded by one that was broken
    // off, after it had kept the older one.
    let kept = match keep {
        Keep::Nothing => None,
        Keep::Backup(target) if format < FORMAT => {
            backup(home, target, now, progress)?;
            Some(target.clone())
        }
        Keep::Backup(target) => Some(target.clone()).filter(|target| target.exists()),
        Keep::Beside => {
            let beside = home.join(format!("upgrade-backup-{from}"));
            if format < FORMAT {
                copy_beside(home, &beside)?;
            }
            Some(beside).filter(|beside| beside.exists())
        }
    };
    SqliteCatalog::upgrade(&file, SqliteOptions::default())?;
    let config = HomeConfig { format: FORMAT, ..config };
    replace_file(&home.join(CONFIG), config_text(&config).as_bytes())?;
    reserve::ensure(home);
    Ok(Upgraded { from, to: FORMAT, kept })
}

/// Copies the catalog, and last `heirloom.toml` as it is.
fn copy_beside(home: &Path, beside: &Path) -> Result<(), Failure> {
    fs::create_dir_all(beside).map_err(|error| io_problem("create", beside, &error))?;
    let staged = beside.join(format!(".{CATALOG}-new"));
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io_problem("remove", &staged, &error).into());
        }
        _ => {}
    }
    CatalogFile::open(home.join(CATALOG))?.copy_to(&staged, &mut |_, _| {})?;
    put_in_place(&staged, &beside.join(CATALOG))?;
    let config = home.join(CONFIG);
    let bytes = fs::read(&config).map_err(|error| io_problem("read", &config, &error))?;
    replace_file(&beside.join(CONFIG), &bytes)?;
    // The directory's own entry.
    fs::File::open(home)
        .and_then(|home| home.sync_all())
        .map_err(|error| io_problem("flush", home, &error).into())
}
