//! One execution.

use std::sync::{Arc, Mutex, PoisonError};

use heirloom_api::{RunDoc, RunVersion, StartRun, UpdateRun};
use heirloom_core::{ArtifactRef, Provenance, RunName, RunState};

use crate::draft::alias_of;
use crate::logged::Outstanding;
use crate::put::parts::{self, Behalf};
use crate::put::{self, PutOptions, PutReport};
use crate::{
    Artifact, Client, FinishOptions, Logged, Project, Result, UpsertOptions, UpsertReport, Version,
};

/// A run about to be started; made by [`Client::run`].
#[derive(Debug, Clone)]
#[must_use = "a run starts with `.start().await`"]
pub struct RunBuilder {
    client: Client,
    project: String,
    name: Option<String>,
    display_name: Option<String>,
    job_type: Option<String>,
    group: Option<String>,
    config: Option<serde_json::Value>,
    provenance: Provenance,
}

impl RunBuilder {
    pub(crate) fn new(client: Client, project: &str) -> Self {
        let provenance = client.options().provenance.clone();
        Self {
            client,
            project: project.to_owned(),
            name: None,
            display_name: None,
            job_type: None,
            group: None,
            config: None,
            provenance,
        }
    }

    /// The run's id within its project; 8 random characters by default. A run
    /// that was started under this id before is continued.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.name = Some(id.into());
        self
    }

    /// Name shown to people; the id by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.display_name = Some(name.into());
        self
    }

    /// What kind of work it is, such as `train`.
    pub fn job_type(mut self, job_type: impl Into<String>) -> Self {
        self.job_type = Some(job_type.into());
        self
    }

    /// The group of runs that work together.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Parameters: a JSON object.
    pub fn config(mut self, config: serde_json::Value) -> Self {
        self.config = Some(config);
        self
    }

    /// The command line to record instead of the client's.
    pub fn command(mut self, command: Vec<String>) -> Self {
        self.provenance.command = command;
        self
    }

    /// Starts the run.
    ///
    /// # Errors
    /// [`crate::Error::Usage`] for a name that breaks a rule; a failed backend.
    pub async fn start(self) -> Result<Run> {
        let project = self.client.project(&self.project)?;
        let request = StartRun {
            project: project.reference().clone(),
            name: self.name.as_deref().map(RunName::new).transpose()?,
            display_name: self.display_name,
            job_type: self.job_type,
            group: self.group,
            config: self.config,
            provenance: self.provenance,
        };
        let doc = self.client.backend().start_run(request).await?;
        Ok(Run::new(project, doc))
    }
}

/// A run: what is logged and used through it is recorded as its output and input.
///
/// Cheap to clone. End it with [`Run::finish`] or [`Run::fail`]; a run that is
/// merely dropped stays `running`.
#[derive(Debug, Clone)]
pub struct Run {
    project: Project,
    doc: RunDoc,
    logs: Arc<Mutex<Vec<Outstanding>>>,
}

impl Run {
    pub(crate) fn new(project: Project, doc: RunDoc) -> Self {
        Self { project, doc, logs: Arc::default() }
    }

    /// What is recorded of it, as of its start or the last call here.
    pub fn doc(&self) -> &RunDoc {
        &self.doc
    }

    /// Its id within the project.
    pub fn id(&self) -> &RunName {
        &self.doc.run.name
    }

    /// Its project.
    pub fn project(&self) -> &Project {
        &self.project
    }

    /// Logs an artifact as an output of this run. Returns at once a handle to
    /// wait on; several uploads overlap, and the versions of one collection are
    /// numbered in the order of these calls. The files must stay as they are
    /// until [`Logged::wait`] has answered.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn log_artifact(&self, artifact: Artifact) -> Logged {
        let logged = Logged::start(self.project.clone(), Some(self.doc.run.id), artifact);
        self.outstanding().push(logged.outstanding());
        logged
    }

    /// Logs an artifact and tells what it took.
    ///
    /// # Errors
    /// As [`Logged::wait`].
    pub async fn put(&self, artifact: Artifact, options: PutOptions) -> Result<PutReport> {
        let ticket = self.project.ticket(&artifact);
        put::run(&self.project, Some(self.doc.run.id), artifact, options, ticket).await
    }

    /// Adds an artifact's files as a part of its next version, which any number of
    /// runs make together under one id: by default this run's group. In any order,
    /// and as often as they like; files that several parts have are no problem as
    /// long as they are the same. Nothing can be read of it before somebody
    /// [finishes](Run::finish_artifact) it, and what nobody finishes within a week
    /// of the last part is dropped.
    ///
    /// Description, metadata, tags and lifetime are given when it is finished.
    ///
    /// ```
    /// # #[cfg(feature = "embedded")]
    /// # async fn example(client: heirloom::Client) -> Result<(), heirloom::Error> {
    /// use heirloom::Artifact;
    /// for shard in ["0", "1"] {
    ///     let run = client.run("default").group("job-7").start().await?;
    ///     let mut part = Artifact::new("table", "dataset");
    ///     part.add_bytes(format!("shard-{shard}.csv"), shard);
    ///     run.upsert_artifact(part, None).await?;
    ///     run.finish(0).await?;
    /// }
    /// let last = client.run("default").group("job-7").start().await?;
    /// let table = last.finish_artifact(Artifact::new("table", "dataset"), None).await?;
    /// assert_eq!((table.name().as_str(), table.doc().files), ("table:v0", 2));
    /// # Ok(())
    /// # }
    /// # #[cfg(feature = "embedded")]
    /// # fn main() -> Result<(), heirloom::Error> {
    /// # let dir = tempfile::tempdir().expect("a temporary directory");
    /// # let client = heirloom::Client::embedded(dir.path())?;
    /// # tokio::runtime::Runtime::new().expect("a runtime").block_on(example(client))
    /// # }
    /// # #[cfg(not(feature = "embedded"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`crate::Error::Usage`] without an id and a group; `conflict` for another
    /// policy than the first part's; as [`Logged::wait`].
    pub async fn upsert_artifact(
        &self,
        artifact: Artifact,
        options: impl Into<UpsertOptions>,
    ) -> Result<UpsertReport> {
        parts::upsert(&self.project, self.behalf(), artifact, options.into()).await
    }

    /// Makes one version of all parts that were added under an id: by default this
    /// run's group. Files of `artifact` are one more part; aliases, description,
    /// metadata and the like are the version's. Every run that added a part is
    /// recorded as having produced it. Afterwards the id is free: later parts are
    /// of the version after.
    ///
    /// # Errors
    /// `not_found` when there are no parts; `conflict` when parts contradict each
    /// other, naming the writers, or had expired; as [`Logged::wait`].
    pub async fn finish_artifact(
        &self,
        artifact: Artifact,
        options: impl Into<FinishOptions>,
    ) -> Result<Version> {
        let report = self.finish_put(artifact, options).await?;
        self.project.made(&report.committed.version).await
    }

    /// As [`Run::finish_artifact`], telling what it took.
    ///
    /// # Errors
    /// As there.
    pub async fn finish_put(
        &self,
        artifact: Artifact,
        options: impl Into<FinishOptions>,
    ) -> Result<PutReport> {
        parts::finish(&self.project, self.behalf(), artifact, options.into()).await
    }

    fn behalf(&self) -> Behalf<'_> {
        Behalf { run: Some(self.doc.run.id), group: self.doc.group.as_deref() }
    }

    /// A version by reference, recorded as an input of this run.
    ///
    /// # Errors
    /// `not_found` with the nearest names.
    pub async fn use_artifact(&self, reference: &str) -> Result<Version> {
        self.use_artifact_as(reference, reference).await
    }

    /// As [`Run::use_artifact`], recording another name as the one asked by.
    ///
    /// # Errors
    /// `not_found` with the nearest names.
    pub async fn use_artifact_as(&self, reference: &str, asked: &str) -> Result<Version> {
        let parsed: ArtifactRef = reference.parse()?;
        let backend = self.project.client().backend();
        let alias = alias_of(&parsed);
        let doc = backend.resolve(self.project.reference().clone(), parsed).await?;
        backend.use_version(self.doc.run.id, doc.id, asked.to_owned()).await?;
        Ok(Version::new(self.project.client().clone(), doc, alias))
    }

    /// Records a version that one has already as an input of this run.
    ///
    /// # Errors
    /// A failed backend.
    pub async fn use_version(&self, version: &Version) -> Result<()> {
        let backend = self.project.client().backend();
        Ok(backend.use_version(self.doc.run.id, version.doc().id, version.name()).await?)
    }

    /// Versions that this run produced, and versions that it used.
    ///
    /// # Errors
    /// A failed backend.
    pub async fn versions(&self) -> Result<(Vec<RunVersion>, Vec<RunVersion>)> {
        Ok(self.project.client().backend().run_versions(self.doc.run.id).await?)
    }

    /// Records results and parameters: JSON objects; `None` leaves them.
    ///
    /// # Errors
    /// A failed backend.
    pub async fn update(
        &self,
        summary: Option<serde_json::Value>,
        config: Option<serde_json::Value>,
    ) -> Result<RunDoc> {
        let request = UpdateRun { summary, config, finish: None };
        Ok(self.project.client().backend().update_run(self.doc.run.id, request).await?)
    }

    /// Waits for everything that is still being logged, then ends the run:
    /// `finished` with exit code 0, else `failed`.
    ///
    /// # Errors
    /// The first failure of a log whose handle was dropped; the run is then
    /// ended as `failed`.
    pub async fn finish(&self, exit_code: i32) -> Result<RunDoc> {
        let failure = self.settle().await;
        let state = match (exit_code, &failure) {
            (0, None) => RunState::Finished,
            _ => RunState::Failed,
        };
        let doc = self.end(state, Some(exit_code)).await?;
        failure.map_or(Ok(doc), Err)
    }

    /// Waits for everything that is still being logged, then ends the run as
    /// `failed`, without an exit code.
    ///
    /// # Errors
    /// A failed backend.
    pub async fn fail(&self) -> Result<RunDoc> {
        let _ = self.settle().await;
        self.end(RunState::Failed, None).await
    }

    async fn settle(&self) -> Option<crate::Error> {
        let logs = std::mem::take(&mut *self.outstanding());
        let mut failure = None;
        for log in logs {
            if let Some(error) = log.settle().await {
                failure.get_or_insert(error);
            }
        }
        failure
    }

    async fn end(&self, state: RunState, exit_code: Option<i32>) -> Result<RunDoc> {
        let request = UpdateRun { finish: Some((state, exit_code)), ..Default::default() };
        Ok(self.project.client().backend().update_run(self.doc.run.id, request).await?)
    }

    fn outstanding(&self) -> std::sync::MutexGuard<'_, Vec<Outstanding>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
