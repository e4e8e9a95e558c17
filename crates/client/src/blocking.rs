//! The same calls for code without a runtime.
//!
//! Each type wraps the asynchronous one of the same name, which
//! `inner()` gives for calls that are not repeated here; [`Client::block_on`]
//! waits for any of them. Do not use these from asynchronous code: waiting
//! inside a runtime's thread panics.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! # fn main() -> Result<(), heirloom::Error> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! use heirloom::{Artifact, blocking::Client};
//! let client = Client::embedded(dir.path().join("home"))?;
//! let run = client.start(client.run("default").job_type("load"))?;
//! let mut artifact = Artifact::new("numbers", "dataset");
//! artifact.add_bytes("one.txt", "1");
//! let version = run.log_artifact(artifact).aliases(["first"]).wait()?;
//! run.finish(0)?;
//! let mut draft = version.new_draft();
//! draft.add_bytes("two.txt", "2");
//! let edited = client.default_project().log_artifact(draft).wait()?;
//! assert_eq!(edited.name(), "numbers:v1");
//! let got = version.download(|download| download.root(dir.path().join("data")))?;
//! assert_eq!(std::fs::read(got.root.join("one.txt")).expect("it was written"), b"1");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "embedded"))]
//! # fn main() {}
//! ```

use std::future::{Future, IntoFuture};
#[cfg(feature = "embedded")]
use std::path::Path;
use std::sync::Arc;

use heirloom_api::{LineageDoc, RunDoc};
use tokio::runtime::Runtime;

use crate::{
    Artifact, Differences, Download, Downloaded, EntryReader, Error, FinishOptions, Result,
    RunBuilder, UpsertOptions, UpsertReport,
};

/// A [`crate::Client`] with a runtime of its own.
#[derive(Debug, Clone)]
pub struct Client {
    inner: crate::Client,
    runtime: Arc<Runtime>,
}

impl Client {
    /// As [`crate::Client::embedded`].
    ///
    /// # Errors
    /// As there; [`Error::Io`] when threads cannot be started.
    #[cfg(feature = "embedded")]
    pub fn embedded(home: impl AsRef<Path>) -> Result<Self> {
        Self::new(crate::Client::embedded(home)?)
    }

    /// Wraps a client.
    ///
    /// # Errors
    /// [`Error::Io`] when threads cannot be started.
    pub fn new(inner: crate::Client) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Error::io("start", "a thread", error))?;
        Ok(Self { inner, runtime: Arc::new(runtime) })
    }

    /// The asynchronous client.
    pub fn inner(&self) -> &crate::Client {
        &self.inner
    }

    /// Waits for any asynchronous call.
    pub fn block_on<F: IntoFuture>(&self, call: F) -> F::Output {
        self.runtime.block_on(call.into_future())
    }

    /// As [`crate::Client::project`].
    ///
    /// # Errors
    /// As there.
    pub fn project(&self, name: &str) -> Result<Project> {
        Ok(Project { inner: self.inner.project(name)?, client: self.clone() })
    }

    /// As [`crate::Client::default_project`].
    pub fn default_project(&self) -> Project {
        Project { inner: self.inner.default_project(), client: self.clone() }
    }

    /// Prepares a run, for [`Client::start`].
    pub fn run(&self, project: &str) -> RunBuilder {
        self.inner.run(project)
    }

    /// Starts a run.
    ///
    /// # Errors
    /// As [`RunBuilder::start`].
    pub fn start(&self, run: RunBuilder) -> Result<Run> {
        Ok(Run { inner: self.block_on(run.start())?, client: self.clone() })
    }

    /// As [`crate::Client::artifact`].
    ///
    /// # Errors
    /// As there.
    pub fn artifact(&self, reference: &str) -> Result<Version> {
        self.version(self.inner.artifact(reference))
    }

    fn version(&self, found: impl Future<Output = Result<crate::Version>>) -> Result<Version> {
        Ok(Version { inner: self.block_on(found)?, client: self.clone() })
    }

    fn logged(&self, log: impl FnOnce() -> crate::Logged) -> Logged {
        let _inside = self.runtime.enter();
        Logged { inner: log(), client: self.clone() }
    }
}

/// A [`crate::Project`] to be used without a runtime.
#[derive(Debug, Clone)]
pub struct Project {
    inner: crate::Project,
    client: Client,
}

impl Project {
    /// The asynchronous project.
    pub fn inner(&self) -> &crate::Project {
        &self.inner
    }

    /// As [`crate::Project::log_artifact`].
    pub fn log_artifact(&self, artifact: Artifact) -> Logged {
        self.client.logged(|| self.inner.log_artifact(artifact))
    }

    /// As [`crate::Project::upsert_artifact`].
    ///
    /// # Errors
    /// As there.
    pub fn upsert_artifact(
        &self,
        artifact: Artifact,
        options: impl Into<UpsertOptions>,
    ) -> Result<UpsertReport> {
        self.client.block_on(self.inner.upsert_artifact(artifact, options))
    }

    /// As [`crate::Project::finish_artifact`].
    ///
    /// # Errors
    /// As there.
    pub fn finish_artifact(
        &self,
        artifact: Artifact,
        options: impl Into<FinishOptions>,
    ) -> Result<Version> {
        self.client.version(self.inner.finish_artifact(artifact, options))
    }

    /// As [`crate::Project::artifact`].
    ///
    /// # Errors
    /// As there.
    pub fn artifact(&self, reference: &str) -> Result<Version> {
        self.client.version(self.inner.artifact(reference))
    }
}

/// A [`crate::Run`] to be used without a runtime.
#[derive(Debug, Clone)]
pub struct Run {
    inner: crate::Run,
    client: Client,
}

impl Run {
    /// The asynchronous run.
    pub fn inner(&self) -> &crate::Run {
        &self.inner
    }

    /// As [`crate::Run::log_artifact`]: returns at once.
    pub fn log_artifact(&self, artifact: Artifact) -> Logged {
        self.client.logged(|| self.inner.log_artifact(artifact))
    }

    /// As [`crate::Run::upsert_artifact`].
    ///
    /// # Errors
    /// As there.
    pub fn upsert_artifact(
        &self,
        artifact: Artifact,
        options: impl Into<UpsertOptions>,
    ) -> Result<UpsertReport> {
        self.client.block_on(self.inner.upsert_artifact(artifact, options))
    }

    /// As [`crate::Run::finish_artifact`].
    ///
    /// # Errors
    /// As there.
    pub fn finish_artifact(
        &self,
        artifact: Artifact,
        options: impl Into<FinishOptions>,
    ) -> Result<Version> {
        self.client.version(self.inner.finish_artifact(artifact, options))
    }

    /// As [`crate::Run::use_artifact`].
    ///
    /// # Errors
    /// As there.
    pub fn use_artifact(&self, reference: &str) -> Result<Version> {
        self.client.version(self.inner.use_artifact(reference))
    }

    /// As [`crate::Run::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(&self, exit_code: i32) -> Result<RunDoc> {
        self.client.block_on(self.inner.finish(exit_code))
    }

    /// As [`crate::Run::fail`].
    ///
    /// # Errors
    /// As there.
    pub fn fail(&self) -> Result<RunDoc> {
        self.client.block_on(self.inner.fail())
    }
}

/// A [`crate::Logged`] to be used without a runtime.
#[derive(Debug)]
pub struct Logged {
    inner: crate::Logged,
    client: Client,
}

impl Logged {
    /// As [`crate::Logged::aliases`].
    #[must_use = "wait for the outcome with `.wait()`"]
    pub fn aliases<A: Into<String>>(mut self, aliases: impl IntoIterator<Item = A>) -> Self {
        self.inner = self.inner.aliases(aliases);
        self
    }

    /// As [`crate::Logged::new_version`].
    #[must_use = "wait for the outcome with `.wait()`"]
    pub fn new_version(mut self) -> Self {
        self.inner = self.inner.new_version();
        self
    }

    /// As [`crate::Logged::wait`].
    ///
    /// # Errors
    /// As there.
    pub fn wait(self) -> Result<Version> {
        self.client.version(self.inner.wait())
    }
}

/// A [`crate::Version`] to be used without a runtime.
#[derive(Debug, Clone)]
pub struct Version {
    inner: crate::Version,
    client: Client,
}

impl Version {
    /// The asynchronous version.
    pub fn inner(&self) -> &crate::Version {
        &self.inner
    }

    /// Its name within the project, such as `animals:v3`.
    pub fn name(&self) -> String {
        self.inner.name()
    }

    /// As [`crate::Version::new_draft`].
    pub fn new_draft(&self) -> Artifact {
        self.inner.new_draft()
    }

    /// As [`crate::Version::download`]; `with` sets what is wanted.
    ///
    /// # Errors
    /// As there.
    pub fn download(&self, with: impl FnOnce(Download) -> Download) -> Result<Downloaded> {
        self.client.block_on(with(self.inner.download()))
    }

    /// As [`crate::Version::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(&self, path: &str) -> Result<EntryReader> {
        self.client.block_on(self.inner.open(path))
    }

    /// As [`crate::Version::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.client.block_on(self.inner.read(path))
    }

    /// As [`crate::Version::diff`].
    ///
    /// # Errors
    /// As there.
    pub fn diff(&self, other: &Self) -> Result<Differences> {
        self.client.block_on(self.inner.diff(&other.inner))
    }

    /// As [`crate::Version::lineage`], in both directions without a limit.
    ///
    /// # Errors
    /// As there.
    pub fn lineage(&self) -> Result<LineageDoc> {
        self.client.block_on(self.inner.lineage())
    }
}
