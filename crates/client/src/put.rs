//! The put pipeline, step by step:
//!
//! 1. [`gather`]: directories are scanned into spools, with what the stat cache
//!    knows; single files, bytes and references are looked at; every problem is
//!    collected, and any problem ends the put.
//! 2. [`merge`]: all sources as one stream in path order; collisions are found
//!    before anything is sent.
//! 3. If every file's digest is known, the tree is built without storing it,
//!    and the backend is asked whether the newest version has this root. Then
//!    that is all: no draft, nothing read, nothing written.
//! 4. [`send`]: otherwise a draft is begun, files are read, hashed and sent
//!    unless the store has them, and the tree's new nodes with them.
//! 5. Commit, in the order of calls. A fenced draft starts again from 4 under
//!    the same key.
//!
//! A [draft](crate::Version::new_draft) goes from 2 to 4, and its tree is made of
//! its base's by [`edits`]; when the base moved it may start again from 4 with
//! the one that took its place.

mod edits;
pub(crate) mod gather;
mod hash;
mod merge;
pub(crate) mod parts;
mod send;
mod sink;

use std::sync::Arc;

use heirloom_api::{Backend, BeginDraft, Commit, Committed, Problem, VersionDoc, VersionRef};
use heirloom_core::{
    Alias, ArtifactName, ArtifactRef, ArtifactType, DraftId, ErrorCode, IdempotencyKey, RunId,
    Selector, Tag,
};
use heirloom_manifest::{ManifestId, NodeId};
use heirloom_worktree::NameRule;

use crate::client::blocking_task;
use crate::draft::{Base, IfBaseMoved};
use crate::error::step;
use crate::logged::Ticket;
use crate::nodes::Nodes;
use crate::progress::{Listener, Meter, Phase};
use crate::{Artifact, Error, Progress, Project, Result, references};

use edits::Editing;
use gather::Gathered;
use send::Sending;

/// Drafts begun for one put before a backend that keeps ending them is given up.
const ATTEMPTS: usize = 5;

/// Bases taken one after the other by a draft that is to follow its base. Each
/// that moved is another commit's success.
const REBASES: usize = 1000;

/// How to log, beyond what the [`Artifact`] says.
#[derive(Clone, Default)]
pub struct PutOptions {
    /// Aliases of the version, beside `latest`.
    pub aliases: Vec<String>,
    /// Make a new version even when the newest has this content.
    pub force_new: bool,
    /// Hears of progress.
    pub progress: Option<Arc<dyn Progress>>,
}

impl std::fmt::Debug for PutOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PutOptions")
            .field("aliases", &self.aliases)
            .field("force_new", &self.force_new)
            .finish_non_exhaustive()
    }
}

/// Something that was kept, but that the user should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A name that other systems refuse.
    Unportable {
        /// The path as found in its directory.
        path: String,
        /// The rule that it breaks there.
        rule: NameRule,
    },
    /// Names that some systems cannot tell apart.
    Collision {
        /// The paths.
        paths: Vec<String>,
    },
}

/// What a put found on the way to its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scanned {
    /// Links followed.
    pub links_followed: u64,
    /// Links left out because of [`heirloom_worktree::Links::Skip`].
    pub links_skipped: u64,
    /// Files and directories left out by `.heirloomignore`.
    pub ignored: u64,
    /// Files whose executable bit is not kept.
    pub lost_modes: u64,
    /// The first 1000 warnings.
    pub warnings: Vec<Warning>,
    /// Warnings beyond those.
    pub more_warnings: u64,
}

/// What a put came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutReport {
    /// The version, and whether it was made now.
    pub committed: Committed,
    /// Entries.
    pub files: u64,
    /// Sum of the entries' sizes.
    pub bytes: u64,
    /// Bytes of files that the store did not have: uncompressed, without nodes.
    pub new_bytes: u64,
    /// Bytes written to the store, nodes and packs' overhead included.
    pub stored_bytes: u64,
    /// What was found on the way.
    pub scanned: Scanned,
}

/// What a put would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutPlan {
    /// Digest that the version would have.
    pub digest: ManifestId,
    /// Entries.
    pub files: u64,
    /// Sum of the entries' sizes.
    pub bytes: u64,
    /// The newest version, if the collection has one.
    pub newest: Option<VersionRef>,
    /// Whether the newest version has this content already.
    pub unchanged: bool,
    /// What was found on the way.
    pub scanned: Scanned,
}

/// What is said of the version, checked.
struct Words {
    name: ArtifactName,
    artifact_type: Option<ArtifactType>,
    tags: Vec<Tag>,
}

impl Words {
    fn of(artifact: &Artifact) -> Result<Self> {
        if artifact.metadata.as_ref().is_some_and(|metadata| !metadata.is_object()) {
            return Err(Error::usage("metadata must be a JSON object"));
        }
        Ok(Self {
            name: ArtifactName::new(&artifact.name)?,
            artifact_type: artifact.artifact_type.as_deref().map(ArtifactType::new).transpose()?,
            tags: artifact.tags.iter().map(|tag| Tag::new(tag)).collect::<Result<_, _>>()?,
        })
    }
}

/// Logs an artifact.
pub(crate) async fn run(
    project: &Project,
    run: Option<RunId>,
    artifact: Artifact,
    mut options: PutOptions,
    mut ticket: Ticket,
) -> Result<PutReport> {
    let words = Words::of(&artifact)?;
    let base = artifact.base.as_deref().cloned();
    if let Some(base) = &base {
        base.check_project(project)?;
    }
    let listener = options.progress.clone();
    step("client::gather")?;
    let gathered = Arc::new(gather(project, &artifact, &listener).await?);
    let key = project.client().new_key();
    let mut log = Log { project, run, artifact: &artifact, words, key, base };

    let known_root = match log.base.is_none() && gathered.all_known() {
        true => {
            let gathered = Arc::clone(&gathered);
            Some(blocking_task(move || send::root_of_known(&gathered)).await?)
        }
        false => None,
    };
    if let Some(tree) = &known_root
        && !options.force_new
    {
        ticket.turn(&mut options).await;
        if !options.force_new
            && let Some(committed) = log.commit(&options, tree.root, None).await?
        {
            return Ok(PutReport {
                files: tree.entries,
                bytes: tree.size,
                committed,
                new_bytes: 0,
                stored_bytes: 0,
                scanned: gathered.scanned.clone(),
            });
        }
    }
    let (mut attempt, mut bases) = (1, 1);
    loop {
        let outcome = log.send(&gathered, &listener, &mut ticket, &mut options).await;
        match outcome.as_ref().map_err(Error::code) {
            Err(ErrorCode::Fenced) if attempt < ATTEMPTS => attempt += 1,
            Err(ErrorCode::BaseMoved) if bases < REBASES && log.follow_base().await? => bases += 1,
            _ => return outcome,
        }
    }
}

/// Tells what [`run`] would do.
pub(crate) async fn plan(
    project: &Project,
    artifact: Artifact,
    options: PutOptions,
) -> Result<PutPlan> {
    let words = Words::of(&artifact)?;
    let editing = match artifact.base.as_deref() {
        Some(base) => {
            base.check_project(project)?;
            Some(editing(project, base).await?)
        }
        None => None,
    };
    let gathered = gather(project, &artifact, &options.progress).await?;
    let scanned = gathered.scanned.clone();
    let threads = project.client().options().reader_threads();
    let listener = options.progress.clone();
    let tree = blocking_task(move || {
        let sending = Sending { uploader: None, base: None, editing, threads, listener };
        Ok(send::run(&gathered, sending)?.tree)
    })
    .await?;
    let latest = ArtifactRef::new(None, None, words.name, Selector::Alias(Alias::latest()));
    let backend = project.client().backend();
    let newest = match backend.resolve(project.reference().clone(), latest).await {
        Ok(doc) => Some(doc),
        Err(problem) if problem.code == ErrorCode::NotFound => None,
        Err(problem) => return Err(problem.into()),
    };
    Ok(PutPlan {
        digest: tree.manifest,
        files: tree.entries,
        bytes: tree.size,
        unchanged: newest.as_ref().is_some_and(|doc| doc.digest == tree.manifest),
        newest: newest.map(|doc| doc.as_ref()),
        scanned,
    })
}

async fn gather(project: &Project, artifact: &Artifact, listener: &Listener) -> Result<Gathered> {
    let mut expanded = Vec::new();
    for (order, step) in artifact.steps.iter().enumerate() {
        if let crate::artifact::Step::Reference(step) = step {
            expanded.push((order, references::expand(project.client(), step).await?));
        }
    }
    let options = project.client().options();
    let (home, cache_dir) = (options.home.clone(), options.cache_dir.clone());
    let clock = Arc::clone(&options.clock);
    let (artifact, listener) = (artifact.clone(), listener.clone());
    blocking_task(move || {
        gather::run(&artifact, expanded, &home, cache_dir.as_deref(), &clock, &listener)
    })
    .await
}

/// A base, to be read.
async fn editing(project: &Project, base: &Base) -> Result<Editing> {
    match project.client().backend().downloader(base.doc.id).await {
        Ok(downloader) => Ok(Editing { base: base.clone(), nodes: Nodes::new(downloader) }),
        Err(problem) => Err(base.explain(project, problem).await.into()),
    }
}

/// The newest version, of which a draft need not send again what it has: its root,
/// and where its nodes are. `None` when somebody has deleted it since the draft was
/// begun: then everything is asked for, and the put is none the worse.
async fn pinned(
    backend: &Arc<dyn Backend>,
    newest: &VersionDoc,
) -> Result<Option<(NodeId, Nodes)>> {
    match backend.downloader(newest.id).await {
        Ok(downloader) => Ok(Some((newest.root, Nodes::new(downloader)))),
        Err(problem) if problem.code == ErrorCode::NotFound => Ok(None),
        Err(problem) => Err(problem.into()),
    }
}

/// One operation, however often it is tried.
struct Log<'a> {
    project: &'a Project,
    run: Option<RunId>,
    artifact: &'a Artifact,
    words: Words,
    key: IdempotencyKey,
    /// What a draft starts from now.
    base: Option<Base>,
}

impl Log<'_> {
    /// Takes what the base's alias names now as the base, if that is wanted.
    async fn follow_base(&mut self) -> Result<bool> {
        let Some(base) = &self.base else { return Ok(false) };
        if base.if_moved == IfBaseMoved::Fail {
            return Ok(false);
        }
        self.base = Some(base.moved(self.project).await?);
        Ok(true)
    }

    /// The error, told apart where the base was deleted meanwhile.
    async fn explain(&self, problem: Problem) -> Error {
        match &self.base {
            Some(base) => base.explain(self.project, problem).await.into(),
            None => problem.into(),
        }
    }

    async fn commit(
        &mut self,
        options: &PutOptions,
        root: NodeId,
        draft: Option<DraftId>,
    ) -> Result<Option<Committed>> {
        let aliases = options.aliases.iter().map(|alias| Ok(Alias::new(alias)?));
        // A draft says again what was said of its base, unless it says otherwise.
        let said = self.base.as_ref().map(|base| &base.doc);
        let description = self.artifact.description.clone();
        let metadata = self.artifact.metadata.clone();
        let request = Commit {
            key: self.key.clone(),
            project: self.project.reference().clone(),
            name: self.words.name.clone(),
            artifact_type: self.words.artifact_type.clone(),
            root,
            draft,
            aliases: aliases.collect::<Result<_>>()?,
            tags: self.words.tags.clone(),
            description: description.or_else(|| said?.description.clone()),
            metadata: metadata.or_else(|| said?.metadata.clone()),
            ttl: self.artifact.ttl,
            run: self.run,
            provenance: match self.run {
                Some(_) => Default::default(),
                None => self.project.client().options().provenance.clone(),
            },
            force_new: options.force_new,
            base_alias: self.base.as_ref().and_then(Base::condition),
            attachments: Vec::new(),
        };
        Ok(self.project.client().backend().commit(request).await?)
    }

    async fn send(
        &mut self,
        gathered: &Arc<Gathered>,
        listener: &Listener,
        ticket: &mut Ticket,
        options: &mut PutOptions,
    ) -> Result<PutReport> {
        let backend = self.project.client().backend();
        let request = BeginDraft {
            project: self.project.reference().clone(),
            name: self.words.name.clone(),
            artifact_type: self.words.artifact_type.clone(),
            base: self.base.as_ref().map(|base| base.doc.id),
        };
        let draft = match backend.begin_draft(request).await {
            Ok(draft) => draft,
            Err(problem) => return Err(self.explain(problem).await),
        };
        let outcome = self.send_draft(gathered, listener, ticket, options, &draft).await;
        if let Err(error) = &outcome
            && error.code() != ErrorCode::Fenced
            // After an unclear answer to a commit the draft may be a version.
            && error.code() != ErrorCode::Unavailable
        {
            // What was sent stays for a retry until gc; a failure to say so is no news.
            let _ = backend.abort_draft(draft.id).await;
        }
        outcome
    }

    async fn send_draft(
        &mut self,
        gathered: &Arc<Gathered>,
        listener: &Listener,
        ticket: &mut Ticket,
        options: &mut PutOptions,
        draft: &heirloom_api::DraftDoc,
    ) -> Result<PutReport> {
        let client = self.project.client().clone();
        let backend = client.backend();
        step("client::send")?;
        let uploader = Some(backend.uploader(draft.id).await?);
        let (mut base, mut edits) = (None, None);
        match (&self.base, &draft.base) {
            (Some(from), _) => edits = Some(editing(self.project, from).await?),
            (None, Some(newest)) => base = pinned(backend, newest).await?,
            (None, None) => {}
        }
        let sending = Sending {
            uploader,
            base,
            editing: edits,
            threads: client.options().reader_threads(),
            listener: listener.clone(),
        };
        let sent = {
            let gathered = Arc::clone(gathered);
            blocking_task(move || send::run(&gathered, sending)).await?
        };
        ticket.turn(options).await;
        if let (Some(run), Some(base)) = (self.run, &self.base) {
            let used = backend.use_version(run, base.doc.id, base.asked()).await;
            if let Err(problem) = used {
                return Err(self.explain(problem).await);
            }
        }
        drop(Meter::new(listener.clone(), Phase::Commit, None));
        step("client::commit")?;
        let committed = self.commit(options, sent.tree.root, Some(draft.id)).await?;
        let committed = committed.ok_or_else(|| {
            Error::usage("the backend neither committed the draft nor said why not")
        })?;
        Ok(PutReport {
            committed,
            files: sent.tree.entries,
            bytes: sent.tree.size,
            new_bytes: sent.new_bytes,
            stored_bytes: sent.stored_bytes,
            scanned: gathered.scanned.clone(),
        })
    }
}
