//! What is done to the directory of a repository as a whole: backups, and
//! upgrades of an older format.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use heirloom_repository::{BackupProgress, BackupReport, Home, Keep, Repository, Upgraded};

use crate::client::blocking_task;
use crate::embedded::Given;
use crate::environment::ClientOptions;
use crate::progress::Listener;
use crate::{Phase, Progress, Result, Tally};

impl ClientOptions {
    /// Makes or brings up to date a backup of the repository in `dir`, which is
    /// made when it does not exist. The repository may be in use meanwhile: the
    /// backup is one state of it. Objects that `dir` has already are not copied
    /// again.
    ///
    /// # Errors
    /// `not_found` without a repository, `invalid` when `dir` holds something else,
    /// `corrupt` when objects are damaged (an earlier backup stays as it was).
    pub async fn backup_to(
        &self,
        dir: impl AsRef<Path>,
        progress: Option<Arc<dyn Progress>>,
    ) -> Result<BackupReport> {
        let (home, dir, given) = (self.home.clone(), dir.as_ref().to_owned(), Given::of(self));
        blocking_task(move || {
            // Opening makes a repository where there is none.
            Home::open(&home)?;
            let repository = Repository::open(&home, given)?;
            Ok(repository.backup(&dir, &mut report_to(progress))?)
        })
        .await
    }

    /// Makes the repository of a backup: the home of these options, which must be
    /// absent or empty. Every object is verified on the way; damaged ones are left
    /// out and named in the report.
    ///
    /// # Errors
    /// `not_found` without a backup; `invalid` when it was never completed or the
    /// home is in use.
    pub async fn restore_from(
        &self,
        dir: impl AsRef<Path>,
        progress: Option<Arc<dyn Progress>>,
    ) -> Result<BackupReport> {
        let (home, dir) = (self.home.clone(), dir.as_ref().to_owned());
        blocking_task(move || {
            Ok(heirloom_repository::restore(&dir, &home, &mut report_to(progress))?)
        })
        .await
    }

    /// Brings a repository of an older format to the present one. What is changed
    /// is kept as it was, as `keep` says.
    ///
    /// # Errors
    /// `not_found` without a repository; as [`ClientOptions::backup_to`].
    pub async fn upgrade(
        &self,
        keep: Keep,
        progress: Option<Arc<dyn Progress>>,
    ) -> Result<Upgraded> {
        let (home, now): (PathBuf, _) = (self.home.clone(), (self.clock)());
        blocking_task(move || {
            Ok(heirloom_repository::upgrade(&home, &keep, now, &mut report_to(progress))?)
        })
        .await
    }
}

fn report_to(listener: Listener) -> impl FnMut(BackupProgress) {
    move |done| {
        if let Some(listener) = &listener {
            listener.report(&Tally {
                phase: Phase::Copy,
                files: done.objects,
                bytes: done.bytes,
                total_files: Some(done.total_objects),
                total_bytes: Some(done.total_bytes),
            });
        }
    }
}
