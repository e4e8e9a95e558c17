//! What holds runs and collections.

use heirloom_api::{
    CollectionDoc, Delete, DeletedDoc, EventDoc, ListVersions, PartSetDoc, ProjectDoc, ProjectRef,
    Restore, RestoredDoc, RetentionDoc, RunDoc, UpdateCollection, UpdateProject, VersionDoc,
    VersionRef,
};
use heirloom_core::{Alias, ArtifactName, ArtifactRef, Retention, RunName, Selector, VersionIndex};

use crate::draft::alias_of;
use crate::put::parts::{self, Behalf};
use crate::put::{self, PutOptions, PutPlan, PutReport};
use crate::{
    Artifact, Client, FinishOptions, Logged, Result, Run, UpsertOptions, UpsertReport, Version,
};

/// Documents asked for at once when all are wanted.
const PAGE: usize = 500;

/// A project, reached through a client.
#[derive(Debug, Clone)]
pub struct Project {
    client: Client,
    reference: ProjectRef,
}

impl Project {
    pub(crate) fn new(client: Client, reference: ProjectRef) -> Self {
        Self { client, reference }
    }

    /// The client it is reached through.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its owner and name.
    pub fn reference(&self) -> &ProjectRef {
        &self.reference
    }

    /// Its name.
    pub fn name(&self) -> &heirloom_core::ProjectName {
        &self.reference.project
    }

    /// Logs an artifact without a run: what is recorded of its making is the
    /// machine, the command line and the git commit. Returns at once; the files
    /// must stay as they are until [`Logged::wait`] has answered.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn log_artifact(&self, artifact: Artifact) -> Logged {
        Logged::start(self.clone(), None, artifact)
    }

    /// Logs an artifact and tells what it took.
    ///
    /// # Errors
    /// As [`Logged::wait`].
    pub async fn put(&self, artifact: Artifact, options: PutOptions) -> Result<PutReport> {
        let ticket = self.ticket(&artifact);
        put::run(self, None, artifact, options, ticket).await
    }

    /// What [`Project::put`] would do; reads and hashes, but writes nothing.
    ///
    /// # Errors
    /// As [`Logged::wait`].
    pub async fn plan(&self, artifact: Artifact, options: PutOptions) -> Result<PutPlan> {
        put::plan(self, artifact, options).await
    }

    /// As [`Run::upsert_artifact`] without a run: an id is needed.
    ///
    /// # Errors
    /// As there.
    pub async fn upsert_artifact(
        &self,
        artifact: Artifact,
        options: impl Into<UpsertOptions>,
    ) -> Result<UpsertReport> {
        parts::upsert(self, Behalf::default(), artifact, options.into()).await
    }

    /// As [`Run::finish_artifact`] without a run: an id is needed.
    ///
    /// # Errors
    /// As there.
    pub async fn finish_artifact(
        &self,
        artifact: Artifact,
        options: impl Into<FinishOptions>,
    ) -> Result<Version> {
        let report = self.finish_put(artifact, options).await?;
        self.made(&report.committed.version).await
    }

    /// As [`Project::finish_artifact`], telling what it took.
    ///
    /// # Errors
    /// As there.
    pub async fn finish_put(
        &self,
        artifact: Artifact,
        options: impl Into<FinishOptions>,
    ) -> Result<PutReport> {
        parts::finish(self, Behalf::default(), artifact, options.into()).await
    }

    /// Drops the parts that were added to an artifact under an id; gives what there
    /// was.
    ///
    /// # Errors
    /// `not_found` with the nearest ids.
    pub async fn abort_parts(&self, name: &str, id: &str) -> Result<PartSetDoc> {
        parts::abort(self, name, id).await
    }

    /// Parts that were added and not finished: open sets, and those that expired.
    ///
    /// # Errors
    /// A project that does not exist.
    pub async fn part_sets(&self) -> Result<Vec<PartSetDoc>> {
        Ok(self.client.backend().part_sets(self.reference.clone()).await?)
    }

    /// A version that was just committed.
    pub(crate) async fn made(&self, made: &VersionRef) -> Result<Version> {
        let reference = ArtifactRef::new(
            Some(made.entity.clone()),
            Some(made.project.clone()),
            made.name.clone(),
            Selector::Index(made.index),
        );
        let doc = self.client.backend().resolve(self.reference.clone(), reference).await?;
        Ok(self.version(doc))
    }

    pub(crate) fn ticket(&self, artifact: &Artifact) -> crate::logged::Ticket {
        self.client.inner().tickets.next(&self.reference, &artifact.name, None)
    }

    /// A version by reference, seen from this project. Records nothing.
    ///
    /// # Errors
    /// `not_found` with the nearest names.
    pub async fn artifact(&self, reference: &str) -> Result<Version> {
        let reference: ArtifactRef = reference.parse()?;
        let alias = alias_of(&reference);
        let doc = self.client.backend().resolve(self.reference.clone(), reference).await?;
        Ok(Version::new(self.client.clone(), doc, alias))
    }

    /// A version that is known by its document.
    pub fn version(&self, doc: VersionDoc) -> Version {
        Version::new(self.client.clone(), doc, None)
    }

    /// All collections, by name.
    ///
    /// # Errors
    /// A project that does not exist.
    pub async fn collections(&self) -> Result<Vec<CollectionDoc>> {
        let mut all: Vec<CollectionDoc> = Vec::new();
        loop {
            let after = all.last().map(|last| last.name.clone());
            let page =
                self.client.backend().collections(self.reference.clone(), after, PAGE).await?;
            let more = page.len() == PAGE;
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    /// One collection.
    ///
    /// # Errors
    /// `not_found` with the nearest names.
    pub async fn collection(&self, name: &str) -> Result<CollectionDoc> {
        let name = ArtifactName::new(name)?;
        Ok(self.client.backend().collection(self.reference.clone(), name).await?)
    }

    /// Versions of a collection, newest first; with `deleted` also those that
    /// were deleted. At most `limit`.
    ///
    /// # Errors
    /// `not_found` with the nearest names.
    pub async fn versions(
        &self,
        name: &str,
        deleted: bool,
        limit: Option<usize>,
    ) -> Result<Vec<VersionDoc>> {
        let name = ArtifactName::new(name)?;
        let mut all: Vec<VersionDoc> = Vec::new();
        loop {
            let wanted = limit.map_or(PAGE, |limit| limit.saturating_sub(all.len()).min(PAGE));
            let before = all.last().map(|last| last.index);
            let list = ListVersions { before, limit: wanted, deleted };
            let page =
                self.client.backend().versions(self.reference.clone(), name.clone(), list).await?;
            let more = page.len() == wanted;
            all.extend(page);
            if !more || limit.is_some_and(|limit| all.len() >= limit) {
                return Ok(all);
            }
        }
    }

    /// What happened to a collection, newest first: at most `limit` events
    /// before the sequence number `before`.
    ///
    /// # Errors
    /// `not_found` with the nearest names.
    pub async fn events(
        &self,
        name: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<EventDoc>> {
        let name = ArtifactName::new(name)?;
        Ok(self.client.backend().events(self.reference.clone(), name, before, limit).await?)
    }

    /// Takes an alias away from whichever version holds it.
    ///
    /// # Errors
    /// `not_found` for an alias that nothing holds.
    pub async fn remove_alias(&self, name: &str, alias: &str) -> Result<()> {
        let (name, alias) = (ArtifactName::new(name)?, Alias::new(alias)?);
        Ok(self.client.backend().remove_alias(self.reference.clone(), name, alias).await?)
    }

    /// Changes description, type, lifetime or name of a collection.
    ///
    /// # Errors
    /// `not_found`; `conflict` for a new name that is taken.
    pub async fn update_collection(
        &self,
        name: &str,
        request: UpdateCollection,
    ) -> Result<CollectionDoc> {
        let name = ArtifactName::new(name)?;
        let backend = self.client.backend();
        Ok(backend.update_collection(self.reference.clone(), name, request).await?)
    }

    /// Gives a collection a new name; the old one goes on to lead to it.
    ///
    /// # Errors
    /// As [`Project::update_collection`].
    pub async fn rename_collection(&self, name: &str, to: &str) -> Result<CollectionDoc> {
        let rename = Some(ArtifactName::new(to)?);
        self.update_collection(name, UpdateCollection { rename, ..Default::default() }).await
    }

    /// Deletes versions, each named by alias or number. They can be restored
    /// for a while.
    ///
    /// # Errors
    /// `in_use`, with what holds them, unless `delete_aliases`.
    pub async fn delete<R: AsRef<str>>(
        &self,
        versions: impl IntoIterator<Item = R>,
        delete_aliases: bool,
    ) -> Result<DeletedDoc> {
        let versions =
            versions.into_iter().map(|r| r.as_ref().parse()).collect::<Result<_, _>>()?;
        self.delete_all(Delete { delete_aliases, ..Delete::versions(versions) }).await
    }

    /// Deletes versions, links and whole artifacts in one operation, which gets a
    /// key of its own unless it has one.
    ///
    /// # Errors
    /// `in_use`, with all that holds what was named; `conflict` when what was chosen
    /// has changed since.
    pub async fn delete_all(&self, mut request: Delete) -> Result<DeletedDoc> {
        request.key.get_or_insert_with(|| self.client.new_key());
        Ok(self.client.backend().delete(self.reference.clone(), request).await?)
    }

    /// Makes deleted versions readable again: each is named by its number, or all
    /// that can be restored of an artifact by its name.
    ///
    /// # Errors
    /// `not_found`; `conflict` when one is not deleted, or when another artifact has
    /// the name by now.
    pub async fn restore<R: AsRef<str>>(
        &self,
        versions: impl IntoIterator<Item = R>,
    ) -> Result<Vec<RestoredDoc>> {
        let versions =
            versions.into_iter().map(|r| r.as_ref().parse()).collect::<Result<_, _>>()?;
        let request = Restore { key: Some(self.client.new_key()), versions };
        Ok(self.client.backend().restore(self.reference.clone(), request).await?)
    }

    /// A version by its number, even when it was deleted or purged, be it with its
    /// whole collection.
    ///
    /// # Errors
    /// `not_found` for an unknown collection.
    pub async fn tombstone(&self, name: &str, index: VersionIndex) -> Result<Option<VersionDoc>> {
        let list = ListVersions { before: Some(index.next()), limit: 1, deleted: true };
        let name = ArtifactName::new(name)?;
        let found = self.client.backend().versions(self.reference.clone(), name, list).await?;
        Ok(found.into_iter().find(|version| version.index == index))
    }

    /// What can be restored, that which is purged first first; at most 10,000.
    ///
    /// # Errors
    /// A project that does not exist.
    pub async fn restorable(&self) -> Result<Vec<VersionDoc>> {
        Ok(self.client.backend().restorable(self.reference.clone()).await?)
    }

    /// Protects an alias, or ends that: until then nobody moves or drops it.
    ///
    /// # Errors
    /// `not_found` for an alias that nothing holds; `forbidden`.
    pub async fn protect_alias(&self, name: &str, alias: &str, protected: bool) -> Result<()> {
        let (name, alias) = (ArtifactName::new(name)?, Alias::new(alias)?);
        let backend = self.client.backend();
        Ok(backend.protect_alias(self.reference.clone(), name, alias, protected).await?)
    }

    /// Changes the project's settings, such as the default lifetime of versions.
    ///
    /// # Errors
    /// A project that does not exist; `forbidden`.
    pub async fn update(&self, request: UpdateProject) -> Result<ProjectDoc> {
        Ok(self.client.backend().update_project(self.reference.clone(), request).await?)
    }

    /// Sets which versions of a collection stay when retention is applied; `None`
    /// keeps all.
    ///
    /// # Errors
    /// `not_found`; `forbidden`.
    pub async fn set_retention(
        &self,
        name: &str,
        retention: Option<Retention>,
    ) -> Result<CollectionDoc> {
        let name = ArtifactName::new(name)?;
        let backend = self.client.backend();
        Ok(backend.set_retention(self.reference.clone(), name, retention).await?)
    }

    /// Deletes what a collection's retention does not keep, and what has expired;
    /// with `dry_run` only explains.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn apply_retention(&self, name: &str, dry_run: bool) -> Result<RetentionDoc> {
        let name = ArtifactName::new(name)?;
        let backend = self.client.backend();
        Ok(backend.apply_retention(self.reference.clone(), name, dry_run).await?)
    }

    /// Takes a link out of a portfolio; the linked version stays.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn unlink(&self, portfolio: &str, index: VersionIndex) -> Result<()> {
        let portfolio = ArtifactName::new(portfolio)?;
        Ok(self.client.backend().unlink(self.reference.clone(), portfolio, index).await?)
    }

    /// All runs, by id.
    ///
    /// # Errors
    /// A project that does not exist.
    pub async fn runs(&self) -> Result<Vec<RunDoc>> {
        let mut all: Vec<RunDoc> = Vec::new();
        loop {
            let after = all.last().map(|last| last.run.name.clone());
            let page = self.client.backend().runs(self.reference.clone(), after, PAGE).await?;
            let more = page.len() == PAGE;
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    /// A run that was started before, here or elsewhere.
    ///
    /// # Errors
    /// `not_found`.
    pub async fn run(&self, name: &str) -> Result<Run> {
        let name = RunName::new(name)?;
        let doc = self.client.backend().run(self.reference.clone(), name).await?;
        Ok(Run::new(self.clone(), doc))
    }
}
