//! Commit: check what is new, write the version record, decide in one
//! transaction.

use std::collections::HashSet;

use heirloom_api::{Commit, Committed, Problem, VersionRef};
use heirloom_catalog::rules::{self, By, ExpectedIndex, OperationKey, Refusal};
use heirloom_catalog::{CatalogExt, CollectionKind, EdgeKind, ProjectRow, View};
use heirloom_core::{
    Caller, CollectionId, DraftId, ErrorCode, Role, Scope, Timestamp, VersionId, VersionIndex,
};
use heirloom_manifest::{
    BlobId, Link, ManifestId, NodeId, NodeSource, ReadError, TreeSummary, check_tree, empty_tree,
    visit_links,
};
use heirloom_store::{Kind, PackOptions, PackWriter};

use crate::problem::Failure;
use crate::read::Nodes;
use crate::record::{MAX_RECORD_BYTES, RecordedRun, VersionRecord};
use crate::write::{claim, fenced, pack_rows};
use crate::{Inner, access, docs, write};

/// Blobs claimed at once. Large, because a catalog looks up a sorted batch that
/// is a fair part of its table by scanning rather than one by one.
const CLAIM_BATCH: usize = 131_072;

/// Lost races for a number after which a commit gives up. Each lost race is
/// another commit's success.
const MAX_RACES: usize = 10_000;

pub(crate) fn commit(
    inner: &Inner,
    caller: &Caller,
    request: &Commit,
) -> Result<Option<Committed>, Problem> {
    run(inner, caller, request).map_err(|failure| failure.0)
}

/// Fresh ids of one attempt.
struct Fresh {
    version: VersionId,
    collection: CollectionId,
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
    let digest = ManifestId::of_root(&request.root);
    let operation = Operation::new(caller, request);
    let metadata = request.metadata.as_ref().map(serde_json::Value::to_string);
    let fresh = Fresh {
        version: VersionId::from_random(inner.env.random()),
        collection: CollectionId((inner.env.random() >> 1) as i64),
    };
    let now = inner.env.now();

    let answered = inner.catalog.view(|view| view.operation(&operation.key))?.is_some();
    let newest =
        inner.catalog.view(|view| rules::newest_has(view, project.id, &request.name, &digest))?;
    let summary = match (&newest, request.draft, answered) {
        (Some((_, version)), _, _) if !request.force_new => (version.entries, version.size),
        (_, None, false) => return Ok(None),
        // The stored answer needs none of this.
        (_, _, true) => (0, 0),
        (_, Some(draft), false) => {
            let summary = check_new(inner, Scope(project.id), draft, request)?;
            (summary.entries, summary.size)
        }
    };
    let decide = |view: &dyn View, record: Option<(ExpectedIndex, BlobId)>| {
        rules::commit(
            view,
            &rules::Commit {
                key: Some(OperationKey { key: &operation.key, request: operation.request }),
                by: By { actor: caller.actor(), at: now, admin: false },
                project: project.id,
                name: &request.name,
                artifact_type: request.artifact_type.as_ref(),
                collection: fresh.collection,
                version: fresh.version,
                digest,
                root: request.root,
                entries: summary.0,
                size: summary.1,
                aliases: &request.aliases,
                tags: &request.tags,
                description: request.description.as_deref(),
                metadata: metadata.as_deref(),
                ttl: request.ttl,
                run: request.run,
                provenance: &request.provenance,
                attachments: &request.attachments,
                draft: request.draft,
                force_new: request.force_new,
                expected: record.map(|(expected, _)| expected),
                record: record.map(|(_, id)| id),
            },
        )
    };

    // The first try shows what number the record must be written for; content
    // that is there already needs none.
    let mut next =
        match inner.catalog.transact(|view| decide(view, None).map(rules::Decision::into_parts)) {
            Ok(done) => return inner.catalog.view(|view| answer(view, &done)).map(Some),
            Err(Refusal::IndexTaken { next, predecessor, .. }) => {
                ExpectedIndex { index: next, predecessor }
            }
            Err(Refusal::NeedsDraft { .. }) if request.draft.is_none() => return Ok(None),
            Err(refusal) => return Err(refusal.into()),
        };
    let Some(draft) = request.draft else { return Ok(None) };
    let _turn = inner.home.as_ref().and_then(crate::Home::commit_turn);
    for _ in 0..MAX_RACES {
        let record = inner.catalog.view(|view| {
            build_record(
                view,
                caller,
                request,
                &project,
                &fresh,
                &next,
                summary,
                metadata.as_deref(),
                now,
            )
        })?;
        let bytes = record.encode();
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(Problem::invalid(
                "description, metadata and command line are too long: more than 4 MiB",
            )
            .into());
        }
        let mut pack = PackWriter::new(&*inner.store, PackOptions::default())?;
        let record_id = pack.add(Kind::VersionRecord, &bytes)?;
        let finished = pack.finish()?.expect("a pack with one blob is not empty");
        let (object, blobs) = pack_rows(&finished, now);
        write::publish(inner, Scope(project.id), draft, object, &blobs)?;
        let outcome = inner.catalog.transact(|view| {
            decide(view, Some((next, record_id))).map(rules::Decision::into_parts)
        });
        match outcome {
            Ok(done) => return inner.catalog.view(|view| answer(view, &done)).map(Some),
            Err(Refusal::IndexTaken { next: index, predecessor, .. }) => {
                next = ExpectedIndex { index, predecessor };
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(Problem::new(
        ErrorCode::Unavailable,
        format!(
            "`{}` is committed to faster than a record can be written; try again",
            request.name
        ),
    )
    .into())
}

/// The client's key, made unique per actor, and a hash of what was asked.
struct Operation {
    key: String,
    request: [u8; 32],
}

impl Operation {
    fn new(caller: &Caller, request: &Commit) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        part(request.project.entity.as_str().as_bytes());
        part(request.project.project.as_str().as_bytes());
        part(request.name.as_str().as_bytes());
        part(request.root.as_bytes());
        for alias in &request.aliases {
            part(alias.as_str().as_bytes());
        }
        part(&request.run.map_or(0, heirloom_core::RunId::get).to_le_bytes());
        part(&[u8::from(request.force_new)]);
        Self {
            key: format!("{}/{}", caller.actor(), request.key),
            request: *hasher.finalize().as_bytes(),
        }
    }
}

fn answer(view: &dyn View, done: &rules::Committed) -> Result<Committed, Failure> {
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

#[allow(clippy::too_many_arguments)] // one place, and each is a different thing
fn build_record(
    view: &dyn View,
    caller: &Caller,
    request: &Commit,
    project: &ProjectRow,
    fresh: &Fresh,
    next: &ExpectedIndex,
    (entries, size): (u64, u64),
    metadata: Option<&str>,
    now: Timestamp,
) -> Result<VersionRecord, Failure> {
    let collection = rules::find_collection(view, project.id, &request.name)?;
    let (collection_id, name, artifact_type) = match collection {
        Some(row) => (row.id, row.name, row.artifact_type),
        None => {
            let artifact_type = request.artifact_type.clone();
            let artifact_type =
                artifact_type.ok_or_else(|| Refusal::NeedsType { name: request.name.clone() })?;
            (fresh.collection, request.name.clone(), artifact_type)
        }
    };
    let run = match request.run {
        None => None,
        Some(id) => view.run(id)?,
    };
    let run = match run {
        None => None,
        Some(run) => {
            let mut used: Vec<VersionId> = view
                .edges_of_runs(&[run.id], Some(EdgeKind::Used))?
                .into_iter()
                .filter(|edge| edge.kind == EdgeKind::Used)
                .map(|edge| edge.version)
                .collect();
            used.sort();
            used.dedup();
            Some(RecordedRun {
                id: run.id,
                name: run.name,
                display_name: run.display_name,
                job_type: run.job_type,
                group: run.group,
                used,
            })
        }
    };
    Ok(VersionRecord {
        version: fresh.version,
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
        created_at: now,
        actor: caller.actor().to_owned(),
        description: request.description.clone(),
        metadata: metadata.map(str::to_owned),
        ttl: request.ttl,
        run,
        provenance: request.provenance.clone(),
        aliases: sorted(&request.aliases),
        tags: sorted(&request.tags),
        attachments: request.attachments.clone(),
    })
}

fn sorted<T: Ord + Clone>(list: &[T]) -> Vec<T> {
    let mut list = list.to_vec();
    list.sort();
    list.dedup();
    list
}

/// Checks everything that the new tree has and the draft's base has not: nodes
/// are whole and canonical, blobs are there and leased, paths follow the rules.
fn check_new(
    inner: &Inner,
    scope: Scope,
    draft: DraftId,
    request: &Commit,
) -> Result<TreeSummary, Failure> {
    let base = inner.catalog.view(|view| {
        let row = rules::check_draft(view, scope, draft)?;
        match row.base {
            Some(base) => Ok(view.version(base)?.map(|version| version.root)),
            None => Ok::<_, Failure>(None),
        }
    })?;
    claim_new(inner, scope, draft, base, request)?;
    let base = base.unwrap_or_else(empty_tree);
    check_tree(&mut Nodes::new(inner, scope), &base, &request.root, |_, _| {}).map_err(|error| {
        match error {
            ReadError::Damaged { .. } => {
                Problem::invalid(format!("the manifest cannot be accepted: {error}")).into()
            }
            ReadError::Source(problem) => Failure(problem),
            other => Failure::from(other),
        }
    })
}

/// Claims every node that is not in the base, and the blobs of every such leaf.
fn claim_new(
    inner: &Inner,
    scope: Scope,
    draft: DraftId,
    base: Option<NodeId>,
    request: &Commit,
) -> Result<(), Failure> {
    let known = match base {
        Some(root) => tree_nodes(&mut Nodes::new(inner, scope), root)?,
        None => HashSet::new(),
    };
    let mut nodes = Nodes::new(inner, scope);
    let mut claims = Claims { inner, scope, draft, pending: request.attachments.clone() };
    let mut seen = HashSet::new();
    let mut level = vec![request.root];
    level.retain(|root| *root != empty_tree() && !known.contains(root));
    // The empty tree is known to all readers, but a version's blobs are stored.
    if request.root == empty_tree() {
        claims.pending.push(request.root.as_blob());
    }
    while !level.is_empty() {
        claims.pending.extend(level.iter().map(NodeId::as_blob));
        let mut next = Vec::new();
        for batch in level.chunks(64) {
            claims.flush_if_full()?;
            nodes.prefetch(batch);
            for id in batch {
                let bytes = nodes.node(id)?;
                visit_links(&bytes, |link| match link {
                    Link::Child(child) => {
                        if !known.contains(&child) && seen.insert(child) {
                            next.push(child);
                        }
                    }
                    Link::Blob(blob, _) => claims.pending.push(blob),
                })
                .map_err(|error| {
                    Problem::invalid(format!("manifest node {id} cannot be accepted: {error}"))
                })?;
            }
        }
        level = next;
    }
    claims.flush()
}

struct Claims<'r> {
    inner: &'r Inner,
    scope: Scope,
    draft: DraftId,
    pending: Vec<BlobId>,
}

impl Claims<'_> {
    fn flush_if_full(&mut self) -> Result<(), Failure> {
        if self.pending.len() >= CLAIM_BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.pending.sort_unstable();
        self.pending.dedup();
        for batch in self.pending.chunks(CLAIM_BATCH) {
            let have = claim(self.inner, self.scope, self.draft, batch)?;
            let missing: Vec<BlobId> =
                batch.iter().zip(have).filter(|(_, have)| !have).map(|(id, _)| *id).collect();
            if !missing.is_empty() {
                return Err(Refusal::MissingBlobs { blobs: missing }.into());
            }
        }
        self.pending.clear();
        Ok(())
    }
}

/// Ids of all nodes of a committed tree; reads inner nodes only.
fn tree_nodes(nodes: &mut Nodes<'_>, root: NodeId) -> Result<HashSet<NodeId>, Failure> {
    let mut all = HashSet::from([root]);
    let mut level = vec![root];
    if root == empty_tree() {
        level.clear();
    }
    while !level.is_empty() {
        let mut next = Vec::new();
        let mut lowest = true;
        for batch in level.chunks(64) {
            nodes.prefetch(batch);
            for id in batch {
                let bytes = nodes.node(id)?;
                let height = visit_links(&bytes, |link| {
                    if let Link::Child(child) = link
                        && all.insert(child)
                    {
                        next.push(child);
                    }
                })
                .map_err(|error| {
                    Problem::new(
                        ErrorCode::Corrupt,
                        format!("manifest node {id} is damaged: {error}"),
                    )
                })?;
                lowest = lowest && height <= 1;
            }
        }
        // Children of level-1 nodes are leaves, which have no nodes below them.
        level = if lowest { Vec::new() } else { next };
    }
    Ok(all)
}

/// The version that a draft of this collection starts from.
pub(crate) fn base_of(
    view: &dyn View,
    project: &ProjectRow,
    name: &heirloom_core::ArtifactName,
) -> Result<Option<(heirloom_api::VersionDoc, VersionIndex)>, Failure> {
    let Some(collection) = rules::find_collection(view, project.id, name)? else { return Ok(None) };
    if collection.kind != CollectionKind::Sequence {
        return Ok(None);
    }
    let Some(newest) = view.newest(collection.id)? else { return Ok(None) };
    match view.version(newest.version)? {
        Some(row) => {
            Ok(Some((docs::version(view, &row, &newest, &collection, project)?, newest.index)))
        }
        None => Ok(None),
    }
}
