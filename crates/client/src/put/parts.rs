//! Parts of one version from many writers: each sends its files as a put does,
//! but adds them to a set instead of committing; somebody finishes the set.

use std::sync::Arc;

use heirloom_api::{AddPart, AddedPart, BeginDraft, Committed, DraftDoc, FinishParts, PartSetDoc};
use heirloom_core::{Alias, ArtifactName, ErrorCode, IdempotencyKey, OnConflict, RunId, Ttl};

use super::gather::Gathered;
use super::send::{self, Sending};
use super::{ATTEMPTS, PutReport, Scanned, Words, gather};
use crate::client::blocking_task;
use crate::progress::{Listener, Meter, Phase};
use crate::{Artifact, Error, Progress, Project, Result};

/// How to add a part; a text is the id.
#[derive(Clone, Default)]
pub struct UpsertOptions {
    /// The id that the writers agreed on; by default the run's group.
    pub id: Option<String>,
    /// What counts when parts differ at one path. The first part fixes it; another
    /// one is refused then. [`OnConflict::Error`] when nobody says.
    pub on_conflict: Option<OnConflict>,
    /// Hears of progress.
    pub progress: Option<Arc<dyn Progress>>,
}

/// How to finish what was added in parts; a text is the id.
#[derive(Clone, Default)]
pub struct FinishOptions {
    /// The id that the writers agreed on; by default the run's group.
    pub id: Option<String>,
    /// Aliases of the version, beside `latest`.
    pub aliases: Vec<String>,
    /// Make a new version even when the newest has this content.
    pub force_new: bool,
    /// Hears of progress.
    pub progress: Option<Arc<dyn Progress>>,
}

impl std::fmt::Debug for UpsertOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpsertOptions")
            .field("id", &self.id)
            .field("on_conflict", &self.on_conflict)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for FinishOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FinishOptions")
            .field("id", &self.id)
            .field("aliases", &self.aliases)
            .field("force_new", &self.force_new)
            .finish_non_exhaustive()
    }
}

macro_rules! from_id {
    ($($options:ty),*) => {
        $(
            impl From<&str> for $options {
                fn from(id: &str) -> Self {
                    Self { id: Some(id.to_owned()), ..Self::default() }
                }
            }

            impl From<Option<&str>> for $options {
                fn from(id: Option<&str>) -> Self {
                    Self { id: id.map(str::to_owned), ..Self::default() }
                }
            }

            impl From<String> for $options {
                fn from(id: String) -> Self {
                    Self { id: Some(id), ..Self::default() }
                }
            }
        )*
    };
}
from_id!(UpsertOptions, FinishOptions);

/// What adding a part came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpsertReport {
    /// The part, and the set that it is in.
    pub part: AddedPart,
    /// Entries of the part.
    pub files: u64,
    /// Sum of their sizes.
    pub bytes: u64,
    /// Bytes of files that the store did not have: uncompressed, without nodes.
    pub new_bytes: u64,
    /// Bytes written to the store, nodes and packs' overhead included.
    pub stored_bytes: u64,
    /// What was found on the way.
    pub scanned: Scanned,
}

/// On whose behalf parts are added and finished.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Behalf<'a> {
    pub(crate) run: Option<RunId>,
    /// The run's group, which is the id when none is given.
    pub(crate) group: Option<&'a str>,
}

impl Behalf<'_> {
    fn id(&self, given: Option<String>) -> Result<String> {
        given.or_else(|| self.group.map(str::to_owned)).ok_or_else(|| {
            Error::usage(match self.run {
                Some(_) => "parts need an id that their writers agree on: none was given, and the run has no group",
                None => "parts need an id that their writers agree on: none was given, and there is no run",
            })
        })
    }
}

/// Adds an artifact's files as a part.
pub(crate) async fn upsert(
    project: &Project,
    behalf: Behalf<'_>,
    artifact: Artifact,
    options: UpsertOptions,
) -> Result<UpsertReport> {
    let about = artifact.description.is_some()
        || artifact.metadata.is_some()
        || !artifact.tags.is_empty()
        || artifact.ttl != Ttl::Inherit;
    if about {
        return Err(Error::usage(
            "description, metadata, tags and lifetime belong to the version: give them when it is finished",
        ));
    }
    let id = behalf.id(options.id)?;
    add(project, behalf, &artifact, id, options.on_conflict, &options.progress).await
}

async fn add(
    project: &Project,
    behalf: Behalf<'_>,
    artifact: &Artifact,
    id: String,
    on_conflict: Option<OnConflict>,
    listener: &Listener,
) -> Result<UpsertReport> {
    if artifact.base.is_some() {
        return Err(Error::usage("a draft of a version cannot be one of its parts"));
    }
    let words = Words::of(artifact)?;
    let gathered = Arc::new(gather(project, artifact, listener).await?);
    let key = project.client().new_key();
    let part = Part { project, run: behalf.run, words, id, on_conflict, key };
    let mut attempt = 1;
    loop {
        match part.send(&gathered, listener).await {
            Err(error) if error.code() == ErrorCode::Fenced && attempt < ATTEMPTS => attempt += 1,
            outcome => return outcome,
        }
    }
}

/// One part, however often it is tried.
struct Part<'a> {
    project: &'a Project,
    run: Option<RunId>,
    words: Words,
    id: String,
    on_conflict: Option<OnConflict>,
    key: IdempotencyKey,
}

impl Part<'_> {
    async fn send(&self, gathered: &Arc<Gathered>, listener: &Listener) -> Result<UpsertReport> {
        let backend = self.project.client().backend();
        let request = BeginDraft {
            project: self.project.reference().clone(),
            name: self.words.name.clone(),
            artifact_type: self.words.artifact_type.clone(),
            base: None,
        };
        let draft = backend.begin_draft(request).await?;
        let outcome = self.send_draft(gathered, listener, &draft).await;
        if let Err(error) = &outcome
            && error.code() != ErrorCode::Fenced
            // After an unclear answer the draft may be a part.
            && error.code() != ErrorCode::Unavailable
        {
            // What was sent stays for a retry until gc; a failure to say so is no news.
            let _ = backend.abort_draft(draft.id).await;
        }
        outcome
    }

    async fn send_draft(
        &self,
        gathered: &Arc<Gathered>,
        listener: &Listener,
        draft: &DraftDoc,
    ) -> Result<UpsertReport> {
        let client = self.project.client();
        let backend = client.backend();
        let uploader = Some(backend.uploader(draft.id).await?);
        let base = match &draft.base {
            Some(newest) => super::pinned(backend, newest).await?,
            None => None,
        };
        let sending = Sending {
            uploader,
            base,
            editing: None,
            threads: client.options().reader_threads(),
            listener: listener.clone(),
        };
        let sent = {
            let gathered = Arc::clone(gathered);
            blocking_task(move || send::run(&gathered, sending)).await?
        };
        drop(Meter::new(listener.clone(), Phase::Commit, None));
        let request = AddPart {
            key: self.key.clone(),
            project: self.project.reference().clone(),
            name: self.words.name.clone(),
            artifact_type: self.words.artifact_type.clone(),
            distributed_id: self.id.clone(),
            on_conflict: self.on_conflict,
            root: sent.tree.root,
            draft: draft.id,
            run: self.run,
        };
        Ok(UpsertReport {
            part: backend.add_part(request).await?,
            files: sent.tree.entries,
            bytes: sent.tree.size,
            new_bytes: sent.new_bytes,
            stored_bytes: sent.stored_bytes,
            scanned: gathered.scanned.clone(),
        })
    }
}

/// Makes one version of all parts; files of the artifact are one more.
pub(crate) async fn finish(
    project: &Project,
    behalf: Behalf<'_>,
    artifact: Artifact,
    options: FinishOptions,
) -> Result<PutReport> {
    let words = Words::of(&artifact)?;
    let id = behalf.id(options.id)?;
    let client = project.client();
    let aliases = options.aliases.iter().map(|alias| Ok(Alias::new(alias)?));
    let aliases = aliases.collect::<Result<_>>()?;
    let own = match artifact.steps.is_empty() {
        true => None,
        false => Some(add(project, behalf, &artifact, id.clone(), None, &options.progress).await?),
    };
    drop(Meter::new(options.progress, Phase::Commit, None));
    let request = FinishParts {
        key: client.new_key(),
        project: project.reference().clone(),
        name: words.name,
        artifact_type: words.artifact_type,
        distributed_id: id,
        aliases,
        tags: words.tags,
        description: artifact.description,
        metadata: artifact.metadata,
        ttl: artifact.ttl,
        run: behalf.run,
        provenance: match behalf.run {
            Some(_) => Default::default(),
            None => client.options().provenance.clone(),
        },
        force_new: options.force_new,
    };
    let finished = client.backend().finish_parts(request).await?;
    let (new_bytes, own_stored, scanned) = match own {
        Some(own) => (own.new_bytes, own.stored_bytes, own.scanned),
        None => (0, 0, Scanned::default()),
    };
    let Committed { files, size, .. } = finished.committed;
    Ok(PutReport {
        committed: finished.committed,
        files,
        bytes: size,
        new_bytes,
        stored_bytes: own_stored + finished.stored,
        scanned,
    })
}

/// Drops a set and its parts.
pub(crate) async fn abort(project: &Project, name: &str, id: &str) -> Result<PartSetDoc> {
    let name = ArtifactName::new(name)?;
    let backend = project.client().backend();
    Ok(backend.abort_parts(project.reference().clone(), name, id.to_owned()).await?)
}
