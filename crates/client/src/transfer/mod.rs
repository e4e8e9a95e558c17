//! Versions from one repository to another, over two backends.
//!
//! A version keeps its identity, so that bringing it again does nothing. Its bytes
//! go as a put's do: what the receiver has, told by digest, is not sent; what an
//! earlier try has sent, it has. Numbers are the receiver's; where a version comes
//! from stands in the receiver's journal.

mod send;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use heirloom_api::{
    Backend, Committed, Expected, ImportVersion, LineageEdge, LineageNode, LineageQuery,
    ListVersions, Origin, ProjectRef, RunDoc, StateDoc, Towards, UpdateCollection, VersionDoc,
    VersionRef,
};
use heirloom_core::{
    Alias, ArtifactName, ArtifactRef, EntityName, ErrorCode, ProjectName, RunId, Selector,
    VersionId, VersionIndex,
};

use crate::progress::Listener;
use crate::{Client, Error, Progress, Result, Version};

use send::SentBytes;

/// Drafts begun for one version before a receiver that keeps ending them is given up.
const ATTEMPTS: usize = 5;

/// Versions and events asked for at once.
const PAGE: usize = 500;

/// What becomes of the aliases of versions that are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AliasPolicy {
    /// An alias comes along unless the receiver has it on something else than an
    /// older version of the same sequence. `latest` is always the receiver's own.
    #[default]
    Careful,
    /// Every alias comes along, wherever it is at the receiver.
    Force,
    /// None does.
    Never,
}

/// How versions are moved.
#[derive(Clone, Default)]
pub struct TransferOptions {
    /// All versions of the artifacts named, not one of each.
    pub all_versions: bool,
    /// Also every version that they were made from.
    pub lineage: bool,
    /// What becomes of aliases.
    pub aliases: AliasPolicy,
    /// Hears of progress, version by version.
    pub progress: Option<Arc<dyn Progress>>,
}

impl std::fmt::Debug for TransferOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransferOptions")
            .field("all_versions", &self.all_versions)
            .field("lineage", &self.lineage)
            .field("aliases", &self.aliases)
            .finish_non_exhaustive()
    }
}

/// One version that was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// Its name at the sender.
    pub from: VersionRef,
    /// Its name at the receiver.
    pub to: VersionRef,
    /// False when the receiver had it already.
    pub created: bool,
    /// Whether it is deleted at the receiver, and stays so.
    pub deleted: bool,
    /// Bytes of files that the receiver did not have.
    pub new_bytes: u64,
    /// Bytes that were written to the receiver's store.
    pub stored_bytes: u64,
}

/// An alias that stayed where it was at the receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasKept {
    /// The alias.
    pub alias: Alias,
    /// The version that has it at the sender, by its name at the receiver.
    pub version: VersionRef,
    /// The number that holds it at the receiver, where that is known.
    pub holder: Option<VersionIndex>,
    /// Why it was not moved.
    pub reason: String,
}

/// What moving versions came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TransferReport {
    /// The versions, in the order in which they were moved.
    pub versions: Vec<Transferred>,
    /// Upstream versions that are deleted at the sender, so that they stay there.
    pub left_out: Vec<VersionRef>,
    /// Runs that came along.
    pub runs: u64,
    /// Edges that came along.
    pub edges: u64,
    /// Aliases that were set or moved, with the versions that have them now.
    pub aliases: Vec<(Alias, VersionRef)>,
    /// Aliases that were not.
    pub aliases_kept: Vec<AliasKept>,
}

/// The order in which versions are moved: that of the sender's numbers.
type Place = (EntityName, ProjectName, ArtifactName, VersionIndex);

impl Client {
    /// Sends versions to another repository, with the runs that made and used
    /// them, tags, description, metadata and aliases. A version that is there
    /// already, by its identity, is not sent again; one that was broken off goes on
    /// where it was.
    ///
    /// References are seen from this client's default project. The receiver files
    /// versions under the same entity, project and name, and numbers them itself.
    ///
    /// # Errors
    /// `not_found`; `corrupt` when bytes are damaged here (the version does not
    /// appear there); `conflict` when the receiver has a version of the same
    /// identity with other content; `wrong_type`.
    pub async fn push(
        &self,
        to: &Client,
        references: &[ArtifactRef],
        options: TransferOptions,
    ) -> Result<TransferReport> {
        let transfer = Transfer {
            from: self.backend(),
            to: to.backend(),
            options,
            report: TransferReport::default(),
            runs: HashSet::new(),
        };
        transfer.run(self, references).await
    }

    /// Brings versions from another repository: [`Client::push`] from there.
    /// References are seen from the other client's default project.
    ///
    /// # Errors
    /// As [`Client::push`].
    pub async fn pull(
        &self,
        from: &Client,
        references: &[ArtifactRef],
        options: TransferOptions,
    ) -> Result<TransferReport> {
        from.push(self, references, options).await
    }
}

impl Version {
    /// Where the version was brought from; `None` when it was logged here.
    ///
    /// # Errors
    /// A failed backend.
    pub async fn origin(&self) -> Result<Option<Origin>> {
        let home = match &self.doc().source {
            Some(source) => source.clone(),
            None => self.doc().as_ref(),
        };
        let (project, number) = (project_of(&home), home.index.to_string());
        let mut before = None;
        loop {
            let backend = self.client().backend();
            let page = backend.events(project.clone(), home.name.clone(), before, PAGE).await;
            let page = match page {
                // A link shows a version of a project that one may not see.
                Err(problem) if problem.code == ErrorCode::NotFound => return Ok(None),
                other => other?,
            };
            // The first event of a version is how it came to be.
            let began = page.iter().find(|event| {
                event.version.as_ref() == Some(&number)
                    && matches!(event.event.as_str(), "committed" | "imported")
            });
            if let Some(event) = began {
                return Ok(serde_json::from_value(event.detail.clone()).ok());
            }
            match page.last() {
                Some(last) if page.len() == PAGE => before = Some(last.seq),
                _ => return Ok(None),
            }
        }
    }
}

struct Transfer<'c> {
    from: &'c Arc<dyn Backend>,
    to: &'c Arc<dyn Backend>,
    options: TransferOptions,
    report: TransferReport,
    /// Runs that are at the receiver.
    runs: HashSet<RunId>,
}

impl Transfer<'_> {
    async fn run(mut self, from: &Client, references: &[ArtifactRef]) -> Result<TransferReport> {
        let versions = self.collect(from.default_project().reference(), references).await?;
        for doc in versions.values() {
            self.bring_runs(doc).await?;
            let to = self.bring(doc).await?;
            if !to.deleted {
                self.bring_aliases(doc, &to.to).await?;
            }
            self.report.versions.push(to);
        }
        // Edges to versions that came after the run.
        let mut runs: Vec<RunId> = self.runs.iter().copied().collect();
        runs.sort_unstable();
        for run in runs {
            self.bring_edges(run).await?;
        }
        Ok(self.report)
    }

    /// What is to be moved, in order.
    async fn collect(
        &mut self,
        default: &ProjectRef,
        references: &[ArtifactRef],
    ) -> Result<BTreeMap<Place, VersionDoc>> {
        let mut all = BTreeMap::new();
        let mut starts = Vec::new();
        for reference in references {
            let found = match self.options.all_versions {
                true => self.versions_of(default, reference).await?,
                false => vec![self.from.resolve(default.clone(), reference.clone()).await?],
            };
            for doc in found {
                starts.push(doc.id);
                self.add(&mut all, doc).await?;
            }
        }
        if self.options.lineage {
            for start in starts {
                self.upstream(start, &mut all).await?;
            }
        }
        Ok(all)
    }

    async fn add(&self, all: &mut BTreeMap<Place, VersionDoc>, doc: VersionDoc) -> Result<()> {
        // A link is another name; the version is moved under its own.
        let doc = match doc.source {
            Some(_) => self.from.version(doc.id).await?,
            None => doc,
        };
        let place = (doc.entity.clone(), doc.project.clone(), doc.name.clone(), doc.index);
        all.insert(place, doc);
        Ok(())
    }

    async fn versions_of(
        &self,
        default: &ProjectRef,
        reference: &ArtifactRef,
    ) -> Result<Vec<VersionDoc>> {
        if *reference.selector() != Selector::Unspecified {
            return Err(Error::usage(format!(
                "`{reference}` names one version; all versions are those of `{}`",
                reference.name()
            )));
        }
        let project = ProjectRef {
            entity: reference.entity().unwrap_or(&default.entity).clone(),
            project: reference.project().unwrap_or(&default.project).clone(),
        };
        let mut all: Vec<VersionDoc> = Vec::new();
        loop {
            let before = all.last().map(|last| last.index);
            let list = ListVersions { before, limit: PAGE, deleted: false };
            let page = self.from.versions(project.clone(), reference.name().clone(), list).await?;
            let more = page.len() == PAGE;
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    async fn upstream(
        &mut self,
        start: VersionId,
        all: &mut BTreeMap<Place, VersionDoc>,
    ) -> Result<()> {
        let query = LineageQuery { start, towards: Towards::Up, depth: None };
        for node in self.from.lineage(query).await?.nodes {
            let LineageNode::Version { version, state, .. } = node else { continue };
            if state == StateDoc::Committed {
                let doc = self.from.version(version.id).await?;
                self.add(all, doc).await?;
            } else if !self.report.left_out.contains(&version) {
                self.report.left_out.push(version);
            }
        }
        Ok(())
    }

    /// The runs that made and used a version, as far as they are not there.
    async fn bring_runs(&mut self, doc: &VersionDoc) -> Result<()> {
        let (producers, users) = self.from.version_runs(doc.id).await?;
        for run in producers.into_iter().chain(users) {
            let id = run.run.id;
            if self.runs.contains(&id) {
                continue;
            }
            self.bring_run(run).await?;
            self.runs.insert(id);
            // What it used before: the record of the version is to name that.
            self.bring_edges(id).await?;
        }
        Ok(())
    }

    async fn bring_run(&mut self, run: RunDoc) -> Result<()> {
        if self.to.import_run(run).await?.created {
            self.report.runs += 1;
        }
        Ok(())
    }

    async fn bring_edges(&mut self, run: RunId) -> Result<()> {
        let (produced, used) = self.from.run_versions(run).await?;
        let edge = |produced| {
            move |edge: heirloom_api::RunVersion| LineageEdge {
                run,
                version: edge.version.id,
                produced,
                at: edge.at,
                asked: edge.asked,
            }
        };
        let edges: Vec<LineageEdge> =
            produced.into_iter().map(edge(true)).chain(used.into_iter().map(edge(false))).collect();
        for batch in edges.chunks(PAGE) {
            self.report.edges += self.to.import_edges(batch.to_vec()).await?;
        }
        Ok(())
    }

    /// One version, unless it is there.
    async fn bring(&self, doc: &VersionDoc) -> Result<Transferred> {
        match self.to.version(doc.id).await {
            Ok(there) if there.digest != doc.digest => {
                return Err(heirloom_api::Problem::new(
                    ErrorCode::Conflict,
                    format!(
                        "{} has the identity of {} there, which has other content",
                        doc.as_ref(),
                        there.as_ref()
                    ),
                )
                .into());
            }
            Ok(there) => {
                return Ok(Transferred {
                    from: doc.as_ref(),
                    deleted: there.state != StateDoc::Committed,
                    to: there.as_ref(),
                    created: false,
                    new_bytes: 0,
                    stored_bytes: 0,
                });
            }
            Err(problem) if problem.code == ErrorCode::NotFound => {}
            Err(problem) => return Err(problem.into()),
        }
        let mut attempt = 1;
        let (committed, sent) = loop {
            match self.send(doc).await {
                Err(error) if error.code() == ErrorCode::Fenced && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                other => break other?,
            }
        };
        if committed.created && committed.version.index == VersionIndex::ZERO {
            self.describe(doc, &committed.version).await?;
        }
        Ok(Transferred {
            from: doc.as_ref(),
            to: committed.version,
            created: committed.created,
            deleted: false,
            new_bytes: sent.new_bytes,
            stored_bytes: sent.stored_bytes,
        })
    }

    async fn send(&self, doc: &VersionDoc) -> Result<(Committed, SentBytes)> {
        let draft = send::begin(&**self.to, doc).await?;
        let outcome = self.send_draft(doc, &draft).await;
        if let Err(error) = &outcome
            && error.code() != ErrorCode::Fenced
            && error.code() != ErrorCode::Unavailable
        {
            // What was sent stays for another try until gc; a failure to say so is
            // no news.
            let _ = self.to.abort_draft(draft.id).await;
        }
        outcome
    }

    async fn send_draft(
        &self,
        doc: &VersionDoc,
        draft: &heirloom_api::DraftDoc,
    ) -> Result<(Committed, SentBytes)> {
        let listener: Listener = self.options.progress.clone();
        let sent = send::bytes(&**self.from, &**self.to, doc, draft, listener).await?;
        let request = ImportVersion {
            project: project_of(&doc.as_ref()),
            name: doc.name.clone(),
            artifact_type: doc.artifact_type.clone(),
            version: doc.id,
            digest: doc.digest,
            root: doc.root,
            draft: draft.id,
            tags: doc.tags.clone(),
            description: doc.description.clone(),
            metadata: doc.metadata.clone(),
            ttl: doc.ttl,
            created_at: doc.created_at,
            actor: doc.actor.clone(),
            run: doc.run.as_ref().map(|run| run.id).filter(|id| self.runs.contains(id)),
            provenance: doc.provenance.clone(),
            origin: Origin {
                from: format!("{}/{}", doc.entity, doc.as_ref()),
                repository: self.from.info().repository,
            },
        };
        Ok((self.to.import_version(request).await?, sent))
    }

    /// What the sender says of a collection that the receiver has just made.
    async fn describe(&self, doc: &VersionDoc, to: &VersionRef) -> Result<()> {
        let from = self.from.collection(project_of(&doc.as_ref()), doc.name.clone()).await?;
        if from.description.is_none() {
            return Ok(());
        }
        let request =
            UpdateCollection { description: from.description, ..UpdateCollection::default() };
        self.to.update_collection(project_of(to), to.name.clone(), request).await?;
        Ok(())
    }

    async fn bring_aliases(&mut self, doc: &VersionDoc, to: &VersionRef) -> Result<()> {
        if self.options.aliases == AliasPolicy::Never {
            return Ok(());
        }
        for alias in doc.aliases.iter().filter(|alias| !alias.is_latest()) {
            self.bring_alias(doc, to, alias).await?;
        }
        Ok(())
    }

    /// The receiver's version that an alias is on.
    async fn alias_holder(&self, to: &VersionRef, alias: &Alias) -> Result<Option<VersionDoc>> {
        let selector = Selector::Alias(alias.clone());
        let named = ArtifactRef::new(None, None, to.name.clone(), selector);
        match self.to.resolve(project_of(to), named).await {
            Ok(holder) => Ok(Some(holder)),
            Err(problem) if problem.code == ErrorCode::NotFound => Ok(None),
            Err(problem) => Err(problem.into()),
        }
    }

    async fn bring_alias(
        &mut self,
        doc: &VersionDoc,
        to: &VersionRef,
        alias: &Alias,
    ) -> Result<()> {
        let holder = self.alias_holder(to, alias).await?;
        let kept = |reason: &str, holder: Option<VersionIndex>| AliasKept {
            alias: alias.clone(),
            version: to.clone(),
            holder,
            reason: reason.to_owned(),
        };
        let expected = match &holder {
            None => Expected::Absent,
            Some(holder) if holder.id == doc.id => return Ok(()),
            Some(holder) => {
                if self.options.aliases != AliasPolicy::Force && !self.is_older(holder, doc).await?
                {
                    let reason = "it is on a version that is not an older one of the sender's";
                    self.report.aliases_kept.push(kept(reason, Some(holder.index)));
                    return Ok(());
                }
                Expected::Is(holder.index)
            }
        };
        let version = self.to.version(to.id).await?;
        match self.to.set_alias(version, alias.clone(), expected).await {
            Ok(()) => self.report.aliases.push((alias.clone(), to.clone())),
            Err(problem) if matches!(problem.code, ErrorCode::Conflict | ErrorCode::Forbidden) => {
                // Another push of the same version may have been faster.
                let holder = self.alias_holder(to, alias).await?;
                if holder.as_ref().is_some_and(|holder| holder.id == doc.id) {
                    return Ok(());
                }
                let holder = holder.map(|holder| holder.index);
                self.report.aliases_kept.push(kept(&problem.message, holder));
            }
            Err(problem) => return Err(problem.into()),
        }
        Ok(())
    }

    /// Whether a version at the receiver is an older one of the sender's sequence.
    async fn is_older(&self, holder: &VersionDoc, doc: &VersionDoc) -> Result<bool> {
        match self.from.version(holder.id).await {
            Ok(known) => Ok(known.entity == doc.entity
                && known.project == doc.project
                && known.name == doc.name
                && known.index < doc.index),
            Err(problem) if problem.code == ErrorCode::NotFound => Ok(false),
            Err(problem) => Err(problem.into()),
        }
    }
}

fn project_of(version: &VersionRef) -> ProjectRef {
    ProjectRef { entity: version.entity.clone(), project: version.project.clone() }
}
