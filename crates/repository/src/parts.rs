//! Parts of one version from many writers: adding, finishing, giving up, telling.
//!
//! A part is sent under a draft of its own and checked like a version. Finishing
//! puts the parts' trees together by streaming them side by side, and commits the
//! outcome in one transaction that also ends the set, if no part came meanwhile.

mod union;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use heirloom_api::{
    AddPart, AddedPart, BeginDraft, BlobKind, Commit, FinishParts, FinishedParts, PartSetDoc,
    PartSetState, PartWriter, Problem, ProjectRef, Uploader,
};
use heirloom_catalog::rules::{self, By, OperationKey};
use heirloom_catalog::{CatalogExt, PartRow, PartSetRow, ProjectRow, View};
use heirloom_core::{
    ArtifactName, Caller, DraftId, ErrorCode, OnConflict, PartSetId, Role, RunId, Scope, Timestamp,
};
use heirloom_manifest::{
    BlobId, BuildError, Entries, Entry, NodeId, NodeSink, NodeSource, Range, TreeBuilder,
    TreeSummary, empty_tree,
};

use crate::commit::{self, Operation};
use crate::problem::Failure;
use crate::read::Nodes;
use crate::write::{LocalUploader, fenced};
use crate::{Inner, access, docs, edit};

use union::{Clash, Pick, Union, mark, parts_of};

/// Longest id of a set, in bytes.
const MAX_ID_BYTES: usize = 256;

/// Rows read at once.
const PAGE: usize = 512;

/// How often the parts are put together anew because more of them came.
const MERGES: usize = 100;

/// Drafts begun for one finish before somebody who keeps ending them is given up.
const DRAFTS: usize = 5;

/// Nodes read ahead, over all parts.
const NODES_AHEAD: usize = 512;

/// Nodes of one part read ahead at most.
const NODES_AT_ONCE: usize = 64;

/// Finished nodes that are asked about together, and their bytes.
const NODE_BATCH: usize = 1024;
const NODE_BYTES: usize = 2 << 20;

fn check_id(id: &str) -> Result<(), Failure> {
    if id.is_empty() || id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
        return Err(Problem::invalid(format!(
            "the id of a set of parts has 1 to {MAX_ID_BYTES} bytes and no control characters"
        ))
        .into());
    }
    Ok(())
}

/// The project, where the caller may write.
fn project_of(
    inner: &Inner,
    caller: &Caller,
    named: &ProjectRef,
) -> Result<Option<ProjectRow>, Failure> {
    access::require_named(caller, named, Role::Writer)?;
    Ok(inner.catalog.view(|view| view.project(&named.entity, &named.project))?)
}

pub(crate) fn add(inner: &Inner, caller: &Caller, request: &AddPart) -> Result<AddedPart, Failure> {
    check_id(&request.distributed_id)?;
    let project = project_of(inner, caller, &request.project)?;
    let project = project.ok_or_else(|| fenced(request.draft))?;
    if let Some(run) = request.run {
        inner.catalog.view(|view| access::run(view, caller, run, Role::Writer))?;
    }
    let operation = Operation::about(
        caller,
        &commit_of(request),
        &[request.distributed_id.as_bytes(), &[0], request.root.as_bytes()].concat(),
    );
    let set = PartSetId::from_random(inner.env.random());
    let at = inner.env.now();
    let decide = |entries, size| {
        inner.catalog.transact(|view| {
            rules::add_part(
                view,
                &rules::AddPart {
                    key: OperationKey { key: &operation.key, request: operation.request },
                    by: By { actor: caller.actor(), at, admin: false },
                    project: project.id,
                    name: &request.name,
                    artifact_type: request.artifact_type.as_ref(),
                    distributed_id: &request.distributed_id,
                    on_conflict: request.on_conflict,
                    set,
                    draft: request.draft,
                    root: request.root,
                    entries,
                    size,
                    run: request.run,
                },
            )
            .map(rules::Decision::into_parts)
        })
    };
    let scope = Scope(project.id);
    let added = match commit::check_new(inner, scope, request.draft, request.root, &[]) {
        Ok(tree) => decide(tree.entries, tree.size)?,
        // A twin of this very request may have ended the draft, and have the answer;
        // without a draft nothing else is decided.
        Err(failure) if failure.0.code == ErrorCode::Fenced => decide(0, 0).map_err(|_| failure)?,
        Err(failure) => return Err(failure),
    };
    Ok(AddedPart {
        entity: project.entity.clone(),
        project: project.name.clone(),
        name: added.name,
        distributed_id: request.distributed_id.clone(),
        part: added.seq,
        replaced: added.replaced,
    })
}

/// What of an [`AddPart`] is asked of a commit too.
fn commit_of(request: &AddPart) -> Commit {
    Commit {
        key: request.key.clone(),
        project: request.project.clone(),
        name: request.name.clone(),
        artifact_type: request.artifact_type.clone(),
        root: request.root,
        draft: Some(request.draft),
        aliases: Vec::new(),
        tags: Vec::new(),
        description: request.on_conflict.map(|policy| policy.as_str().to_owned()),
        metadata: None,
        ttl: Default::default(),
        run: request.run,
        provenance: Default::default(),
        force_new: false,
        base_alias: None,
        attachments: Vec::new(),
    }
}

pub(crate) fn finish(
    inner: &Arc<Inner>,
    caller: &Caller,
    request: &FinishParts,
) -> Result<FinishedParts, Failure> {
    check_id(&request.distributed_id)?;
    let project = project_of(inner, caller, &request.project)?;
    let project = project.ok_or_else(|| no_set(request))?;
    if let Some(run) = request.run {
        inner.catalog.view(|view| access::run(view, caller, run, Role::Writer))?;
    }
    let commit = Commit {
        key: request.key.clone(),
        project: request.project.clone(),
        name: request.name.clone(),
        artifact_type: request.artifact_type.clone(),
        root: empty_tree(),
        draft: None,
        aliases: request.aliases.clone(),
        tags: request.tags.clone(),
        description: request.description.clone(),
        metadata: request.metadata.clone(),
        ttl: request.ttl,
        run: request.run,
        provenance: request.provenance.clone(),
        force_new: request.force_new,
        base_alias: None,
        attachments: Vec::new(),
    };
    // What the parts come to is not asked for: sent again, they are gone.
    let asked = format!("parts {}", request.distributed_id);
    let operation = Operation::about(caller, &commit, asked.as_bytes());
    let mut finish =
        Finish { inner, caller, id: &request.distributed_id, project, commit, operation };
    finish.run()
}

fn no_set(request: &FinishParts) -> Problem {
    let name = format!("{}` of `{}", request.distributed_id, request.name);
    Problem::not_found("set of parts", name)
}

/// A set on its way to become a version.
struct Finish<'r> {
    inner: &'r Arc<Inner>,
    caller: &'r Caller,
    id: &'r str,
    project: ProjectRow,
    commit: Commit,
    operation: Operation,
}

impl Finish<'_> {
    fn run(&mut self) -> Result<FinishedParts, Failure> {
        for _ in 0..DRAFTS {
            if let Some(committed) = commit::answered(self.inner, &self.operation)? {
                return Ok(FinishedParts { committed, stored: 0 });
            }
            // The type is the collection's, or what the first part said.
            let set = match self.set() {
                Ok((set, _)) => set,
                Err(failure) => return self.or_answered(failure),
            };
            let begin = BeginDraft {
                project: self.commit.project.clone(),
                name: self.commit.name.clone(),
                artifact_type: self.type_for(set)?,
                base: None,
            };
            let draft = edit::begin_draft(self.inner, self.caller, &begin)?.id;
            match self.under(draft) {
                Ok(finished) => return Ok(finished),
                Err(failure) if failure.0.code == ErrorCode::Fenced => {}
                Err(failure) => {
                    // Its leases would keep what was put together until it is ended.
                    let _ = edit::abort_draft(self.inner, self.caller, draft);
                    return self.or_answered(failure);
                }
            }
        }
        Err(Problem::new(ErrorCode::Unavailable, "somebody keeps ending the draft; try again")
            .into())
    }

    /// A twin of this very request may have been faster.
    fn or_answered(&self, failure: Failure) -> Result<FinishedParts, Failure> {
        match commit::answered(self.inner, &self.operation)? {
            Some(committed) => Ok(FinishedParts { committed, stored: 0 }),
            None => Err(failure),
        }
    }

    fn type_for(
        &mut self,
        set: PartSetRow,
    ) -> Result<Option<heirloom_core::ArtifactType>, Failure> {
        let exists = self.inner.catalog.view(|view| {
            rules::find_collection(view, self.project.id, &self.commit.name)
                .map(|row| row.is_some())
        })?;
        if !exists {
            if let Some(asked) = &self.commit.artifact_type
                && *asked != set.artifact_type
            {
                return Err(rules::Refusal::WrongType {
                    name: set.name,
                    existing: set.artifact_type,
                    asked: asked.clone(),
                }
                .into());
            }
            self.commit.artifact_type = Some(set.artifact_type);
        }
        Ok(self.commit.artifact_type.clone())
    }

    /// The set as it is now, and its parts.
    fn set(&self) -> Result<(PartSetRow, Vec<PartRow>), Failure> {
        let now = self.inner.env.now();
        self.inner.catalog.view(|view| {
            let set = rules::open_part_set(view, self.project.id, &self.commit.name, self.id, now)?;
            let parts = parts(view, set.id)?;
            Ok((set, parts))
        })
    }

    fn under(&mut self, draft: DraftId) -> Result<FinishedParts, Failure> {
        let scope = Scope(self.project.id);
        let mut stored = 0;
        for _ in 0..MERGES {
            let (set, parts) = self.set()?;
            let last = parts.last().map(|part| part.seq).unwrap_or_default();
            let parts_now = rules::FinishParts { set: set.id, last };
            let merged = self.merge(scope, draft, &set, &parts, &mut stored);
            let outcome = merged.and_then(|tree| {
                self.commit.root = tree.root;
                self.commit.draft = Some(draft);
                commit::commit_parts(
                    self.inner,
                    self.caller,
                    &self.project,
                    &self.commit,
                    draft,
                    &self.operation,
                    parts_now,
                )
            });
            match outcome {
                Ok(committed) => return Ok(FinishedParts { committed, stored }),
                Err(failure) if failure.0.code == ErrorCode::Fenced => return Err(failure),
                // More parts came, or the set was ended and its content went.
                Err(_) if self.moved(parts_now)? => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(Problem::new(
            ErrorCode::Unavailable,
            format!(
                "parts of `{}` come faster than they can be put together; try again",
                self.commit.name
            ),
        )
        .into())
    }

    fn moved(&self, parts: rules::FinishParts) -> Result<bool, Failure> {
        let now = self.inner.env.now();
        Ok(self.inner.catalog.view(|view| {
            let set = view.part_set_by_id(parts.set)?;
            let open = set.is_some_and(|set| rules::part_set_expired(&set, now).is_none());
            Ok::<_, heirloom_catalog::CatalogError>(
                !open || view.last_part(parts.set)?.map(|part| part.seq) != Some(parts.last),
            )
        })?)
    }

    /// Puts the parts' trees together, and stores under the draft what is new.
    fn merge(
        &self,
        scope: Scope,
        draft: DraftId,
        set: &PartSetRow,
        parts: &[PartRow],
        stored: &mut u64,
    ) -> Result<TreeSummary, Failure> {
        let parts = distinct(parts, set.on_conflict);
        let ahead = (NODES_AHEAD / parts.len().max(1)).min(NODES_AT_ONCE);
        let mut sink = Sink {
            uploader: LocalUploader::new(self.inner.clone(), scope, draft),
            nodes: Vec::new(),
            bytes: 0,
        };
        let mut filled: HashSet<[u8; 16]> = HashSet::new();
        loop {
            let cursors = parts.iter().map(|part| {
                let nodes = Ahead::new(Nodes::new(self.inner, scope), ahead);
                Entries::new(nodes, part.root, Range::default())
            });
            let mut union = Union::new(cursors.collect(), set.on_conflict)?;
            let mut builder = TreeBuilder::new(&mut sink);
            while let Some(Pick { path, entry }) = union.next()? {
                let left_out = entry == Entry::EmptyDirectory && filled.contains(&mark(&path));
                // Once the tree is known to be wrong, only the rest is looked at.
                if !left_out && !union.is_broken() && union.filled().len() <= filled.len() {
                    builder.push(&path, &entry).map_err(build_failure)?;
                }
            }
            if union.is_broken() {
                let (clashes, more) = union.into_clashes();
                return Err(self.conflict(set, &parts, &clashes, more)?.into());
            }
            if union.filled().len() <= filled.len() {
                let tree = builder.finish().map_err(build_failure)?;
                sink.flush()?;
                sink.uploader.flush()?;
                *stored += sink.uploader.stored();
                return Ok(tree);
            }
            filled.clone_from(union.filled());
        }
    }

    /// Says which parts contradict each other, who brought them, and where.
    fn conflict(
        &self,
        set: &PartSetRow,
        parts: &[&PartRow],
        clashes: &[Clash],
        more: u64,
    ) -> Result<Problem, Failure> {
        let names: HashMap<usize, String> = self.inner.catalog.view(|view| {
            parts_of(clashes)
                .into_iter()
                .map(|part| Ok((part, writer_name(view, self.caller, parts[part])?)))
                .collect::<Result<_, Failure>>()
        })?;
        let items: Vec<String> = clashes.iter().map(|clash| describe(clash, &names)).collect();
        let total = items.len() as u64 + more;
        let first = items.first().cloned().unwrap_or_default();
        let rest = match total {
            0 | 1 => String::new(),
            2 => " (and 1 more)".to_owned(),
            total => format!(" (and {} more)", total - 1),
        };
        let message = format!(
            "parts of `{}` under `{}` contradict each other: {first}{rest}",
            set.name, set.distributed_id
        );
        Ok(Problem::new(ErrorCode::Conflict, message).with_items(items))
    }
}

/// Parts that differ, in order of arrival: of those with the same content the one
/// that the policy looks at.
fn distinct(parts: &[PartRow], on_conflict: OnConflict) -> Vec<&PartRow> {
    let mut seen = HashSet::new();
    let mut first = |part: &&PartRow| seen.insert(part.root);
    match on_conflict {
        OnConflict::Error | OnConflict::First => parts.iter().filter(&mut first).collect(),
        OnConflict::Last => {
            let mut kept: Vec<&PartRow> = parts.iter().rev().filter(&mut first).collect();
            kept.reverse();
            kept
        }
    }
}

fn build_failure(error: BuildError<Problem>) -> Failure {
    match error {
        BuildError::Sink(problem) => problem.into(),
        other => Problem::invalid(format!("the parts cannot be put together: {other}")).into(),
    }
}

fn writer_name(view: &dyn View, caller: &Caller, part: &PartRow) -> Result<String, Failure> {
    let run = match part.run {
        Some(run) => access::visible_run(view, caller, run)?,
        None => None,
    };
    Ok(match run {
        Some((run, _)) => format!("run `{}` ({}, part {})", run.name, part.actor, part.seq),
        None => format!("{} (part {})", part.actor, part.seq),
    })
}

fn describe(clash: &Clash, names: &HashMap<usize, String>) -> String {
    let name = |part: &usize| names.get(part).map_or("another part", String::as_str);
    match clash {
        Clash::Entries { path, sides } => {
            let sides: Vec<String> = sides
                .iter()
                .map(|(part, entry)| format!("{} from {}", content(entry), name(part)))
                .collect();
            format!("`{}` is {}", path.escaped(), sides.join(" and "))
        }
        Clash::Below { file, file_of, below, below_of } => format!(
            "`{}` is a file from {}, and `{}` from {} lies below it",
            file.escaped(),
            name(file_of),
            below.escaped(),
            name(below_of)
        ),
    }
}

fn content(entry: &Entry) -> String {
    match entry {
        Entry::File { blob, .. } => blob.to_string(),
        Entry::Reference(reference) => match &reference.etag {
            Some(etag) => format!("a reference to {} with ETag {etag}", reference.uri),
            None => format!("a reference to {}", reference.uri),
        },
        Entry::EmptyDirectory => "an empty directory".to_owned(),
    }
}

/// Reads a few nodes ahead: with many parts open at once, few of each.
struct Ahead<'r> {
    nodes: Nodes<'r>,
    limit: usize,
    /// What was announced and not asked for yet, in reverse order.
    announced: Vec<NodeId>,
}

impl<'r> Ahead<'r> {
    fn new(nodes: Nodes<'r>, limit: usize) -> Self {
        Self { nodes, limit, announced: Vec::new() }
    }
}

impl NodeSource for Ahead<'_> {
    type Bytes = Vec<u8>;
    type Error = Problem;

    fn node(&mut self, id: &NodeId) -> Result<Vec<u8>, Problem> {
        if let Some(at) = self.announced.iter().rposition(|announced| announced == id) {
            self.announced.truncate(at + 1);
            let rest = self.announced.len().saturating_sub(self.limit);
            let batch: Vec<NodeId> = self.announced.drain(rest..).rev().collect();
            self.nodes.prefetch(&batch);
        }
        self.nodes.node(id)
    }

    fn prefetch(&mut self, ids: &[NodeId]) {
        self.announced.clear();
        if self.limit > 1 {
            self.announced.extend(ids.iter().rev());
        }
    }
}

/// Takes the nodes of the new tree to the store, as far as it lacks them.
struct Sink {
    uploader: LocalUploader,
    nodes: Vec<(BlobId, Vec<u8>)>,
    bytes: usize,
}

impl Sink {
    fn flush(&mut self) -> Result<(), Problem> {
        let ids: Vec<BlobId> = self.nodes.iter().map(|(id, _)| *id).collect();
        for ((_, bytes), have) in self.nodes.iter().zip(self.uploader.claim(&ids)?) {
            if !have {
                self.uploader.add(BlobKind::Node, bytes)?;
            }
        }
        self.nodes.clear();
        self.bytes = 0;
        Ok(())
    }
}

impl NodeSink for Sink {
    type Error = Problem;

    fn put_node(&mut self, id: NodeId, bytes: Vec<u8>, _level: u8) -> Result<(), Problem> {
        self.bytes += bytes.len();
        self.nodes.push((id.as_blob(), bytes));
        match self.nodes.len() >= NODE_BATCH || self.bytes >= NODE_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }
}

/// All parts of a set, in order of arrival.
fn parts(view: &dyn View, set: PartSetId) -> Result<Vec<PartRow>, Failure> {
    let mut all: Vec<PartRow> = Vec::new();
    loop {
        let page = view.parts(set, all.last().map(|part| part.seq), PAGE)?;
        let more = page.len() == PAGE;
        all.extend(page);
        if !more {
            return Ok(all);
        }
    }
}

pub(crate) fn abort(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    name: &ArtifactName,
    distributed_id: &str,
) -> Result<PartSetDoc, Failure> {
    access::require_named(caller, project, Role::Writer)?;
    let now = inner.env.now();
    inner.catalog.transact(|view| {
        let row = access::project(view, caller, project, Role::Writer)?;
        let decision = rules::abort_parts(view, row.id, name, distributed_id)?;
        let doc = document(view, caller, &row, &decision.answer, now)?;
        Ok((decision.edits, doc))
    })
}

pub(crate) fn list(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
) -> Result<Vec<PartSetDoc>, Failure> {
    let now = inner.env.now();
    if caller.role_in(&project.entity, &project.project) >= Some(Role::Writer) {
        expire(inner, now)?;
    }
    inner.catalog.view(|view| {
        let row = access::project(view, caller, project, Role::Viewer)?;
        let mut docs = Vec::new();
        let mut after = None;
        loop {
            let page = view.part_sets(after, PAGE)?;
            after = page.last().map(|set| set.id);
            let more = page.len() == PAGE;
            for set in page.iter().filter(|set| set.project == row.id) {
                docs.push(document(view, caller, &row, set, now)?);
            }
            if !more {
                break;
            }
        }
        docs.sort_by(|a, b| (&a.name, &a.distributed_id).cmp(&(&b.name, &b.distributed_id)));
        Ok(docs)
    })
}

fn document(
    view: &dyn View,
    caller: &Caller,
    project: &ProjectRow,
    set: &PartSetRow,
    now: Timestamp,
) -> Result<PartSetDoc, Failure> {
    let (mut count, mut files, mut bytes) = (0, 0u64, 0u64);
    // By run and actor: when the first part came, and how many.
    let mut writers: BTreeMap<(Option<RunId>, String), (u64, u64)> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = view.parts(set.id, after, PAGE)?;
        after = page.last().map(|part| part.seq);
        let more = page.len() == PAGE;
        for part in page {
            count += 1;
            files = files.saturating_add(part.entries);
            bytes = bytes.saturating_add(part.size);
            writers.entry((part.run, part.actor)).or_insert((part.seq, 0)).1 += 1;
        }
        if !more {
            break;
        }
    }
    let mut writers: Vec<_> = writers.into_iter().collect();
    writers.sort_by_key(|(_, (first, _))| *first);
    let writers = writers.into_iter().map(|((run, actor), (_, parts))| {
        let run = match run {
            Some(run) => access::visible_run(view, caller, run)?,
            None => None,
        };
        let run = run.map(|(run, project)| docs::run_ref(&run, &project));
        Ok(PartWriter { run, actor, parts })
    });
    let expired = rules::part_set_expired(set, now);
    Ok(PartSetDoc {
        entity: project.entity.clone(),
        project: project.name.clone(),
        name: set.name.clone(),
        artifact_type: set.artifact_type.clone(),
        distributed_id: set.distributed_id.clone(),
        on_conflict: set.on_conflict,
        state: match expired {
            Some(_) => PartSetState::Expired,
            None => PartSetState::Open,
        },
        parts: count,
        writers: writers.collect::<Result<_, Failure>>()?,
        files,
        bytes,
        started_at: set.created_at,
        touched_at: set.touched_at,
        expires_at: expired.unwrap_or_else(|| rules::part_set_end(set)),
    })
}

/// Ends sets that nobody finished in time, so that gc frees their content: called
/// where one begins, and where sets are listed. The answer is how many.
pub(crate) fn expire(inner: &Inner, now: Timestamp) -> Result<u64, Failure> {
    let due = inner.catalog.view(|view| rules::expire_parts(view, now))?;
    if due.edits.is_empty() {
        return Ok(0);
    }
    Ok(inner
        .catalog
        .transact(|view| rules::expire_parts(view, now).map(rules::Decision::into_parts))?)
}
