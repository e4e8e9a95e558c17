//! The operations of Heirloom over one store and one catalog: what an embedded
//! client and a server both run.
//!
//! A [`Repository`] is opened once; [`Repository::as_caller`] gives a
//! [`Backend`](heirloom_api::Backend) that acts on somebody's behalf. Operations
//! are synchronous inside (one blocking task each, no transaction across an
//! await) and hold the write order of `docs/format.md`: blobs, nodes, version
//! record, catalog.
//!
//! This crate reads no environment, no home directory and no clock of its own:
//! an [`Environment`] supplies time and randomness.
//!
//! ```
//! use heirloom_api::{Backend, ProjectRef};
//! use heirloom_core::{Caller, EntityName, ProjectName};
//! use heirloom_repository::{Repository, SystemEnvironment};
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let repository = Repository::in_memory(SystemEnvironment);
//! let backend = repository.as_caller(Caller::owner("ann"));
//! let project = ProjectRef { entity: EntityName::local(), project: ProjectName::default_name() };
//! assert!(backend.collections(project, None, 10).await?.is_empty());
//! # Ok::<(), heirloom_api::Problem>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod access;
mod backend;
mod backup;
mod browse;
mod codec;
mod commit;
mod delete;
mod docs;
mod durable;
mod edit;
mod environment;
mod expire;
mod freeable;
mod gc;
mod home;
pub mod journal;
mod lineage;
mod numbering;
mod owner;
mod parts;
mod problem;
mod read;
mod rebuild;
mod record;
mod repair;
mod reserve;
mod retention;
mod sealed;
mod transfer;
mod upgrade;
mod usage;
mod verify;
mod whence;
mod write;

use std::path::Path;
use std::sync::Arc;

use heirloom_api::Problem;
use heirloom_catalog::{
    Catalog, CatalogError, MemoryCatalog, OpenMode, SqliteCatalog, SqliteOptions,
};
use heirloom_core::{Caller, ErrorCode};
use heirloom_store::{LocalStore, MemoryStore, Store};

pub use backend::RepositoryBackend;
pub use backup::{BackupInfo, BackupProgress, BackupReport, OnBackup, backup, restore};
pub use environment::{Environment, SystemEnvironment};
pub use home::{FORMAT, Home, HomeConfig, StorageConfig};
pub use rebuild::RebuildProgress;
pub use record::{MAX_RECORD_BYTES, RecordError, RecordedRun, VersionRecord};
pub use upgrade::{Keep, Upgraded, upgrade};

use problem::Failure;

/// What operations work on.
pub(crate) struct Inner {
    store: Box<dyn Store>,
    catalog: Box<dyn Catalog>,
    env: Box<dyn Environment>,
    home: Option<Home>,
    local: bool,
}

/// One store and one catalog, opened. Cheap to clone.
#[derive(Clone)]
pub struct Repository {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("home", &self.inner.home).finish_non_exhaustive()
    }
}

impl Repository {
    /// Opens the repository in a directory, or makes one there. A backup is opened
    /// too, and refuses every change.
    ///
    /// # Errors
    /// `newer_format`, `older_format`, `corrupt`, `forbidden`, `io`: see [`Home::open_or_create`].
    pub fn open(path: &Path, env: impl Environment + 'static) -> Result<Self, Problem> {
        let home = Home::open_or_create(path, || {
            uuid::Builder::from_random_bytes(
                (u128::from(env.random()) << 64 | u128::from(env.random())).to_be_bytes(),
            )
            .into_uuid()
            .to_string()
        })?;
        let store = LocalStore::open(home.path()).map_err(Failure::from)?;
        let (store, mode): (Box<dyn Store>, _) = match home.is_backup() {
            true => (Box::new(sealed::Sealed(store)), OpenMode::Sealed),
            false => (Box::new(store), OpenMode::Existing),
        };
        let options = SqliteOptions { mode, ..SqliteOptions::default() };
        let catalog = match SqliteCatalog::open(home.catalog_path(), options) {
            // Even looking takes some room, and who wants to delete has to look.
            Err(CatalogError::NoSpace) if reserve::release(home.path()) => {
                SqliteCatalog::open(home.catalog_path(), options)
            }
            opened => opened,
        };
        let catalog = catalog.map_err(Failure::from)?;
        Ok(Self::assemble(store, Box::new(catalog), Box::new(env), Some(home)))
    }

    /// Rebuilds the catalog of the repository in a directory from its objects
    /// alone; nobody else may use it meanwhile. Where several records claim one
    /// number, those in `choice` count. The old catalog is kept beside the new one.
    ///
    /// # Errors
    /// `not_found` when the directory has no objects of a repository,
    /// `newer_format`, `no_space`, `io`: then nothing has changed. Nothing has
    /// either when the report names ambiguous numbers.
    pub fn rebuild_catalog(
        path: &Path,
        env: &dyn Environment,
        choice: &std::collections::BTreeSet<heirloom_manifest::BlobId>,
        progress: &mut RebuildProgress<'_>,
    ) -> Result<heirloom_api::RebuildReport, Problem> {
        rebuild::rebuild(path, env, choice, progress)
    }

    /// Repairs everything that `verify` finds, or what an earlier `report` of it
    /// names, with good bytes from files, directories and other repositories.
    ///
    /// # Errors
    /// `not_found` for a source, `no_space`, `io`. What was repaired before stays
    /// repaired.
    pub fn repair(
        &self,
        caller: &Caller,
        from: &[std::path::PathBuf],
        report: Option<heirloom_api::VerifyReport>,
        request: &heirloom_api::VerifyAll,
    ) -> Result<heirloom_api::RepairReport, Problem> {
        Ok(repair::repair(&self.inner, caller, from, report, request)?)
    }

    /// Writes events that only the catalog has into the store, as gc and backup do
    /// when they end; gives the number of pieces written.
    ///
    /// # Errors
    /// `no_space`, `io`; what was sealed before stays sealed.
    pub fn seal_journal(&self) -> Result<u64, Problem> {
        Ok(journal::seal(&self.inner)?.pieces)
    }

    /// An empty repository in memory, for tests and examples.
    pub fn in_memory(env: impl Environment + 'static) -> Self {
        Self::assemble(
            Box::new(MemoryStore::new()),
            Box::new(MemoryCatalog::new()),
            Box::new(env),
            None,
        )
    }

    fn assemble(
        store: Box<dyn Store>,
        catalog: Box<dyn Catalog>,
        env: Box<dyn Environment>,
        home: Option<Home>,
    ) -> Self {
        let local = store.capabilities().local_files;
        Self { inner: Arc::new(Inner { store, catalog, env, home, local }) }
    }

    /// The repository's directory; `None` in memory.
    pub fn home(&self) -> Option<&Home> {
        self.inner.home.as_ref()
    }

    /// Makes or brings up to date a backup in the directory `target`: as [`backup`],
    /// with the journal sealed first, so that the objects alone tell of every name.
    ///
    /// # Errors
    /// As [`backup`]; `invalid` in memory.
    pub fn backup(
        &self,
        target: &Path,
        progress: &mut OnBackup<'_>,
    ) -> Result<BackupReport, Problem> {
        let Some(home) = self.home() else {
            return Err(Problem::invalid("a repository in memory has no backups"));
        };
        match journal::seal(&self.inner) {
            // A place that cannot be written can be backed up as it is.
            Err(Failure(problem)) if problem.code == ErrorCode::Forbidden => {}
            other => drop(other?),
        }
        backup(home.path(), target, self.inner.env.now(), progress)
    }

    /// The operations, made on somebody's behalf.
    pub fn as_caller(&self, caller: Caller) -> RepositoryBackend {
        RepositoryBackend::new(self.inner.clone(), caller)
    }
}
