//! Commit: check what is new, write the version record, decide in one
//! transaction.

use heirloom_api::{Commit, Committed, Problem, VersionDoc, VersionRef};
use heirloom_catalog::rules::{self, By, ExpectedIndex, FinishParts, OperationKey, Refusal};
use heirloom_catalog::{CatalogExt, CollectionKind, EdgeKind, ProjectRow, View};
use heirloom_core::{
    ArtifactName, Caller, CollectionId, DraftId, ErrorCode, Role, RunId, Scope, Timestamp,
    VersionId,
};
use heirloom_manifest::{
    BlobId, Entry, ManifestId, NodeId, ReadError, TreeSummary, check_tree, empty_tree, new_nodes,
};

use crate::numbering::{Content, Numbered, Written};
use crate::problem::{Failure, step};
use crate::read::Nodes;
use crate::record::{RecordedRun, VersionRecord};
use crate::write::{claim, fenced};
use crate::{Inner, access, docs, journal};

/// Blobs claimed at once. Large, because a catalog looks up a sorted batch that
/// is a fair part of its table by scanning rather than one by one.
const CLAIM_BATCH: usize = 65_536;

pub(crate) fn commit(
    inner: &Inner,
    caller: &Caller,
    request: &Commit,
) -> Result<Option<Committed>, Problem> {
    run(inner, caller, request).map_err(|failure| failure.0)
}

fn run(inner: &Inner, caller: &Caller, request: &Commit) -> Result<Option<Committed>, Failure> {
    access::require_named(caller, &request.project, Role::Writer)?;
    let project = inner.catalog.view(|view| {
        view.project(&request.project.entity, &request.project.project).map_err(Failure::from)
    })?;
    let Some(project) = project else {
        // Only a draft makes a project.
        return match request.draft {
            Some(draft) => Err(fenced(draft).into()),
            None => Ok(None),
        };
    };
    if let Some(id) = request.run {
        inner.catalog.view(|view| access::run(view, caller, id, Role::Writer))?;
    }
    let attempt = Attempt {
        inner,
        caller,
        request,
        project,
        digest: ManifestId::of_root(&request.root),
        operation: Operation::new(caller, request),
        metadata: request.metadata.as_ref().map(serde_json::Value::to_string),
        version: VersionId::from_random(inner.env.random()),
        collection: CollectionId((inner.env.random() >> 1) as i64),
        now: inner.env.now(),
        parts: None,
    };
    match request.draft {
        Some(draft) => {
            let committed = attempt.commit(draft)?;
            crate::edit::disown(inner, draft);
            step("repository::committed")?;
            Ok(Some(committed))
        }
        None => attempt.probe(),
    }
}

/// Commits what was put together from parts, under a draft, and ends their set.
pub(crate) fn commit_parts(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRow,
    request: &Commit,
    draft: DraftId,
    operation: &Operation,
    parts: FinishParts,
) -> Result<Committed, Failure> {
    let attempt = Attempt {
        inner,
        caller,
        request,
        project: project.clone(),
        digest: ManifestId::of_root(&request.root),
        operation: operation.clone(),
        metadata: request.metadata.as_ref().map(serde_json::Value::to_string),
        version: VersionId::from_random(inner.env.random()),
        collection: CollectionId((inner.env.random() >> 1) as i64),
        now: inner.env.now(),
        parts: Some(parts),
    };
    attempt.commit(draft)
}

/// The answer to an operation that was carried out before.
pub(crate) fn answered(inner: &Inner, operation: &Operation) -> Result<Option<Committed>, Failure> {
    inner.catalog.view(|view| {
        let Some(done) = view.operation(&operation.key)? else { return Ok(None) };
        if done.request != operation.request {
            return Err(Refusal::KeyReused { key: operation.key.clone() }.into());
        }
        let done: rules::Committed = serde_json::from_str(&done.answer).map_err(|error| {
            Problem::new(
                ErrorCode::Corrupt,
                format!("the stored answer of operation {:?}: {error}", operation.key),
            )
        })?;
        committed(view, &done).map(Some)
    })
}

/// One request on its way into the catalog.
struct Attempt<'r> {
    inner: &'r Inner,
    caller: &'r Caller,
    request: &'r Commit,
    project: ProjectRow,
    digest: ManifestId,
    operation: Operation,
    metadata: Option<String>,
    /// Fresh ids, used when these are made.
    version: VersionId,
    collection: CollectionId,
    now: Timestamp,
    /// The set that the content was put together from.
    parts: Option<FinishParts>,
}

impl Attempt<'_> {
    fn commit(&self, draft: DraftId) -> Result<Committed, Failure> {
        // A key that was answered and content that is there already need no record.
        let done = match self.known()? {
            Some(done) => done,
            None => match self.create(&Content {
                scope: Scope(self.project.id),
                draft,
                root: self.request.root,
                attachments: &self.request.attachments,
            }) {
                // The draft may have been ended by a twin of this very request.
                Err(failure) if failure.0.code == ErrorCode::Fenced => {
                    self.decide(None).map_err(|_| failure)?
                }
                other => other?,
            },
        };
        if done.created {
            journal::after_commit(self.inner, &self.project, done.version);
        }
        self.inner.catalog.view(|view| committed(view, &done))
    }

    /// Without a draft: the answer when the newest version has this content.
    fn probe(&self) -> Result<Option<Committed>, Failure> {
        let known = self.inner.catalog.view(|view| {
            Ok::<_, Failure>(
                view.operation(&self.operation.key)?.is_some()
                    || rules::newest_has(view, self.project.id, &self.request.name, &self.digest)?
                        .is_some(),
            )
        })?;
        if !known {
            return Ok(None);
        }
        match self.decide(None) {
            Ok(done) => self.inner.catalog.view(|view| committed(view, &done)).map(Some),
            Err(Refusal::NeedsDraft { .. }) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl Numbered for Attempt<'_> {
    fn inner(&self) -> &Inner {
        self.inner
    }

    fn name(&self) -> &ArtifactName {
        &self.request.name
    }

    fn rule(
        &self,
        view: &dyn View,
        written: Option<&Written>,
    ) -> Result<rules::Decision<rules::Committed>, Refusal> {
        let Self { request, .. } = self;
        let (entries, size) = written.map_or((0, 0), |written| (written.entries, written.size));
        rules::commit(
            view,
            &rules::Commit {
                key: Some(OperationKey {
                    key: &self.operation.key,
                    request: self.operation.request,
                }),
                by: By { actor: self.caller.actor(), at: self.now, admin: false },
                project: self.project.id,
                name: &request.name,
                artifact_type: request.artifact_type.as_ref(),
                collection: self.collection,
                version: self.version,
                digest: self.digest,
                root: request.root,
                entries,
                size,
                aliases: &request.aliases,
                tags: &request.tags,
                description: request.description.as_deref(),
                metadata: self.metadata.as_deref(),
                ttl: request.ttl,
                run: request.run,
                provenance: &request.provenance,
                attachments: &request.attachments,
                draft: request.draft,
                force_new: request.force_new,
                base_alias: request.base_alias.as_ref().map(|base| (&base.alias, base.version)),
                expected: written.map(|written| written.expected),
                record: written.map(|written| written.record),
                parts: self.parts,
            },
        )
    }

    fn record(
        &self,
        view: &dyn View,
        next: &ExpectedIndex,
        (entries, size): (u64, u64),
    ) -> Result<VersionRecord, Failure> {
        let Self { request, project, .. } = self;
        let collection = rules::find_collection(view, project.id, &request.name)?;
        let (collection_id, name, artifact_type) = match collection {
            Some(row) => (row.id, row.name, row.artifact_type),
            None => {
                let artifact_type = request.artifact_type.clone();
                let artifact_type = artifact_type
                    .ok_or_else(|| Refusal::NeedsType { name: request.name.clone() })?;
                (self.collection, request.name.clone(), artifact_type)
            }
        };
        let run = recorded_run(view, request.run)?;
        Ok(VersionRecord {
            version: self.version,
            collection_id,
            index: next.index,
            predecessor: next.predecessor,
            entity: project.entity.clone(),
            project: project.name.clone(),
            collection: name,
            artifact_type,
            root: request.root,
            entries,
            size,
            created_at: self.now,
            actor: self.caller.actor().to_owned(),
            description: request.description.clone(),
            metadata: self.metadata.clone(),
            ttl: request.ttl,
            run,
            provenance: request.provenance.clone(),
            aliases: sorted(&request.aliases),
            tags: sorted(&request.tags),
            attachments: request.attachments.clone(),
        })
    }
}

/// The client's key, made unique per actor, and a hash of what was asked.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) key: String,
    pub(crate) request: [u8; 32],
}

impl Operation {
    fn new(caller: &Caller, request: &Commit) -> Self {
        Self::about(caller, request, request.root.as_bytes())
    }

    /// Of a commit whose content is what `content` says.
    pub(crate) fn about(caller: &Caller, request: &Commit, content: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        // Everything that the answer depends on, but for the draft: a client whose
        // draft was ended begins another and asks again under the same key.
        part(request.project.entity.as_str().as_bytes());
        part(request.project.project.as_str().as_bytes());
        part(request.name.as_str().as_bytes());
        part(content);
        part(&request.run.map_or(0, RunId::get).to_le_bytes());
        part(&[u8::from(request.force_new)]);
        let texts = (
            &request.artifact_type,
            &request.aliases,
            &request.tags,
            &request.description,
            &request.metadata,
            &request.ttl,
            &request.attachments,
        );
        part(serde_json::to_string(&texts).expect("plain values always serialise").as_bytes());
        if let Some(base) = &request.base_alias {
            part(base.alias.as_str().as_bytes());
            part(&base.version.get().to_le_bytes());
        }
        Self {
            key: format!("{}/{}", caller.actor(), request.key),
            request: *hasher.finalize().as_bytes(),
        }
    }
}

/// A commit's answer as a document.
fn committed(view: &dyn View, done: &rules::Committed) -> Result<Committed, Failure> {
    let version = view
        .version(done.version)?
        .ok_or_else(|| Problem::new(ErrorCode::NotFound, "the version was deleted meanwhile"))?;
    let (collection, project) = access::home_of(view, done.collection)?;
    Ok(Committed {
        version: VersionRef {
            id: done.version,
            entity: project.entity,
            project: project.name,
            name: collection.name,
            index: done.index,
        },
        digest: done.digest,
        created: done.created,
        files: version.entries,
        size: version.size,
    })
}

/// A run as a record keeps it, with what it has used so far.
pub(crate) fn recorded_run(
    view: &dyn View,
    run: Option<RunId>,
) -> Result<Option<RecordedRun>, Failure> {
    let run = match run {
        None => None,
        Some(id) => view.run(id)?,
    };
    let Some(run) = run else { return Ok(None) };
    let edges = view.edges_of_runs(&[run.id], Some(EdgeKind::Used))?;
    let used: Vec<VersionId> = edges.into_iter().map(|edge| edge.version).collect();
    Ok(Some(RecordedRun {
        id: run.id,
        name: run.name,
        display_name: run.display_name,
        job_type: run.job_type,
        group: run.group,
        used: sorted(&used),
    }))
}

pub(crate) fn sorted<T: Ord + Clone>(list: &[T]) -> Vec<T> {
    let mut list = list.to_vec();
    list.sort();
    list.dedup();
    list
}

/// Checks everything that the new tree has and the draft's base has not: nodes
/// are whole and canonical, blobs are there and leased, paths follow the rules.
/// The cost follows the difference.
pub(crate) fn check_new(
    inner: &Inner,
    scope: Scope,
    draft: DraftId,
    root: NodeId,
    attachments: &[BlobId],
) -> Result<TreeSummary, Failure> {
    let base = inner.catalog.view(|view| {
        let row = rules::check_draft(view, scope, draft)?;
        match row.base {
            Some(base) => Ok(view.version(base)?.map(|version| version.root)),
            None => Ok::<_, Failure>(None),
        }
    })?;
    let base = base.unwrap_or_else(empty_tree);
    let mut nodes = Nodes::new(inner, scope);
    let mut claims = Claims { inner, scope, draft, pending: Vec::new() };
    claims.pending.extend(attachments.iter().map(|id| (*id, None)));
    // The empty tree is known to all readers, but a version's blobs are stored.
    if root == empty_tree() {
        claims.pending.push((root.as_blob(), None));
    }
    // Claimed before they are read, so that a node that was never sent is told
    // as missing, and none goes away in between.
    new_nodes(&mut nodes, &base, &root, |ids| {
        claims.pending.extend(ids.iter().map(|id| (id.as_blob(), None)));
        Ok(claims.flush()?)
    })
    .map_err(refused)?;
    // What the base has at the same path is pinned with it.
    let tree = check_tree(&mut nodes, &base, &root, |_, entry| {
        if let Entry::File { blob, size } = entry {
            claims.pending.push((*blob, Some(*size)));
        }
        Ok(claims.flush_if_full()?)
    })
    .map_err(refused)?;
    claims.flush()?;
    Ok(tree)
}

/// Why a client's tree is not accepted.
fn refused(error: ReadError<Problem>) -> Failure {
    match error {
        ReadError::Damaged { .. } => {
            Problem::invalid(format!("the manifest cannot be accepted: {error}")).into()
        }
        other => Failure::from(other),
    }
}

struct Claims<'r> {
    inner: &'r Inner,
    scope: Scope,
    draft: DraftId,
    /// Blobs, with the size that the manifest says they have.
    pending: Vec<(BlobId, Option<u64>)>,
}

impl Claims<'_> {
    fn flush_if_full(&mut self) -> Result<(), Failure> {
        if self.pending.len() >= CLAIM_BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.pending.sort_unstable();
        self.pending.dedup();
        for batch in self.pending.chunks(CLAIM_BATCH) {
            let ids: Vec<BlobId> = batch.iter().map(|(id, _)| *id).collect();
            let located = claim(self.inner, self.scope, self.draft, &ids)?;
            let mut missing = Vec::new();
            for ((id, said), location) in batch.iter().zip(located) {
                match (location, said) {
                    (None, _) => missing.push(*id),
                    (Some(location), Some(said)) if location.raw != *said => {
                        let problem = Problem::invalid(format!(
                            "blob {id} has {} bytes, the manifest says {said}",
                            location.raw
                        ));
                        return Err(problem.with_items(vec![id.to_string()]).into());
                    }
                    _ => {}
                }
            }
            if !missing.is_empty() {
                return Err(Refusal::MissingBlobs { blobs: missing }.into());
            }
        }
        self.pending.clear();
        Ok(())
    }
}

/// The version that a draft of this collection starts from when none is asked for.
pub(crate) fn base_of(
    view: &dyn View,
    caller: &Caller,
    project: &ProjectRow,
    name: &ArtifactName,
) -> Result<Option<VersionDoc>, Failure> {
    let Some(collection) = rules::find_collection(view, project.id, name)? else { return Ok(None) };
    if collection.kind != CollectionKind::Sequence {
        return Ok(None);
    }
    let Some(newest) = view.newest(collection.id)? else { return Ok(None) };
    let Some(row) = view.version(newest.version)? else { return Ok(None) };
    docs::version(view, caller, &row, &newest, &collection, project).map(Some)
}

/// The version that a draft was asked to start from. It must be the collection's
/// own: what it has is not sent, and so must be in the project already.
pub(crate) fn base_asked(
    view: &dyn View,
    caller: &Caller,
    project: &ProjectRow,
    name: &ArtifactName,
    base: VersionId,
) -> Result<VersionDoc, Failure> {
    let absent = || Failure::from(Problem::not_found("version", base));
    let collection = rules::find_collection(view, project.id, name)?.ok_or_else(absent)?;
    if collection.kind != CollectionKind::Sequence {
        return Err(Refusal::IsPortfolio { name: collection.name }.into());
    }
    let row = view
        .version(base)?
        .filter(|row| row.state.is_committed() && row.collection == collection.id)
        .ok_or_else(absent)?;
    let place = view.membership(collection.id, row.index)?.ok_or_else(absent)?;
    docs::version(view, caller, &row, &place, &collection, project)
}
