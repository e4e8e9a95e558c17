//! Checking, repairing and rebuilding a repository as a whole.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use heirloom_api::{RebuildReport, RepairReport, Sample, VerifyAll, VerifyReport, VerifyTally};
use heirloom_core::Caller;
use heirloom_manifest::BlobId;

#[cfg(feature = "embedded")]
use crate::client::blocking_task;
#[cfg(feature = "embedded")]
use crate::environment::ClientOptions;
use crate::progress::Listener;
use crate::{Client, Phase, Progress, Result, Tally};

impl Client {
    /// Another share of the file contents each time, of so many in a million.
    pub fn sample(&self, per_million: u32) -> Sample {
        // Short enough to be typed again.
        let seed = (self.options().random)() as u64 % 1_000_000_000;
        Sample { per_million, seed }
    }

    /// Reads and hashes what is reachable: everything, or a sample of the file
    /// contents. Manifests, version records, the journal, the catalog and the
    /// presence of objects are always checked.
    ///
    /// # Errors
    /// A failed backend; damage is no error but in the report.
    pub async fn verify_all(
        &self,
        sample: Option<Sample>,
        progress: Option<Arc<dyn Progress>>,
    ) -> Result<VerifyReport> {
        Ok(self.backend().verify_all(request(sample, progress)).await?)
    }
}

#[cfg(feature = "embedded")]
impl ClientOptions {
    /// Repairs what `verify` finds, or what an earlier `report` of it names, with
    /// good bytes from files, directories and other repositories, found by their
    /// digest.
    ///
    /// # Errors
    /// `not_found` without a repository or for a source, `no_space`; what was
    /// repaired before stays repaired. Damage that is left is in the report.
    pub async fn repair(
        &self,
        from: Vec<PathBuf>,
        report: Option<VerifyReport>,
        progress: Option<Arc<dyn Progress>>,
    ) -> Result<RepairReport> {
        let (home, given) = (self.home.clone(), crate::embedded::Given::of(self));
        let caller = Caller::owner(self.actor.clone());
        blocking_task(move || {
            // Opening makes a repository where there is none.
            heirloom_repository::Home::open(&home)?;
            let repository = heirloom_repository::Repository::open(&home, given)?;
            Ok(repository.repair(&caller, &from, report, &request(None, progress))?)
        })
        .await
    }

    /// Makes the catalog anew from what lies in the store. Nobody else may use the
    /// repository meanwhile. Where several version records claim one number, those
    /// in `choice` count. The catalog that was there is kept beside the new one.
    ///
    /// # Errors
    /// `not_found` where there are no objects of a repository, `newer_format`,
    /// `no_space`: then nothing has changed. Nothing has either when the report
    /// names ambiguous numbers.
    pub async fn rebuild_catalog(
        &self,
        choice: BTreeSet<BlobId>,
        progress: Option<Arc<dyn Progress>>,
    ) -> Result<RebuildReport> {
        let (home, given) = (self.home.clone(), crate::embedded::Given::of(self));
        blocking_task(move || {
            let report = heirloom_repository::Repository::rebuild_catalog(
                &home,
                &given,
                &choice,
                &mut |_, done| report_to(&progress, done, 0, None),
            )?;
            Ok(report)
        })
        .await
    }
}

fn request(sample: Option<Sample>, listener: Listener) -> VerifyAll {
    let progress = listener.map(|listener| {
        let tell = move |tally: VerifyTally| {
            let total = sample.is_none().then_some(tally.total);
            report_to(&Some(Arc::clone(&listener)), tally.blobs, tally.bytes, total);
        };
        Arc::new(tell) as Arc<dyn Fn(VerifyTally) + Send + Sync>
    });
    VerifyAll { sample, progress }
}

fn report_to(listener: &Listener, files: u64, bytes: u64, total: Option<u64>) {
    if let Some(listener) = listener {
        listener.report(&Tally {
            phase: Phase::Check,
            files,
            bytes,
            total_files: None,
            total_bytes: total,
        });
    }
}
