//! `whence`: which versions hold this content, and where it came from.
//!
//! A put pays nothing for it: the way back from a blob to its versions is found
//! by scanning the distinct nodes of all trees for the blob's 32 bytes, which
//! costs some 15 ms for a million entries, and only after the location table has
//! said that the content is known at all.

use std::collections::{BTreeMap, HashMap, HashSet};

use heirloom_api::{Found, Problem};
use heirloom_catalog::{CatalogExt, EdgeKind, VersionRow, View};
use heirloom_core::{Caller, ErrorCode, Scope, Timestamp, VersionId};
use heirloom_manifest::{
    BlobId, Entry, Link, LogicalPath, Node, NodeId, NodeSource, empty_tree, visit_links,
};

use crate::problem::Failure;
use crate::read::{Nodes, damaged_node, read_located};
use crate::{Inner, access, docs};

/// Versions read at once.
const PAGE: usize = 1000;

/// Most places that one answer names.
const MAX_FOUND: usize = 10_000;

pub(crate) fn whence(
    inner: &Inner,
    caller: &Caller,
    blob: BlobId,
    size: u64,
) -> Result<Vec<Found>, Problem> {
    search(inner, caller, blob, size).map_err(|failure| failure.0)
}

fn search(inner: &Inner, caller: &Caller, blob: BlobId, size: u64) -> Result<Vec<Found>, Failure> {
    let scopes: HashSet<Scope> = inner
        .catalog
        .view(|view| view.locations_anywhere(&blob))?
        .into_iter()
        .filter(|(_, location)| location.raw == size)
        .map(|(scope, _)| scope)
        .collect();
    if scopes.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = look(inner, caller, blob, &scopes, false)?;
    // Tombstones that still have their content; a purge beside us may take it away
    // under our eyes, which is no damage.
    match look(inner, caller, blob, &scopes, true) {
        Ok(deleted) => found.extend(deleted),
        Err(failure) if failure.0.code == ErrorCode::Corrupt => {}
        Err(failure) => return Err(failure),
    }
    found.truncate(MAX_FOUND);
    Ok(found)
}

/// Places of the blob in readable versions, or in those that were deleted.
fn look(
    inner: &Inner,
    caller: &Caller,
    blob: BlobId,
    scopes: &HashSet<Scope>,
    deleted: bool,
) -> Result<Vec<Found>, Failure> {
    let mut found = Vec::new();
    for (scope, versions) in candidates(inner, caller, scopes, deleted)? {
        let mut search = Search { blob, below: HashMap::new(), holders: HashSet::new() };
        search.read(inner, scope, versions.iter().map(|version| version.root))?;
        let mut nodes = Nodes::new(inner, scope);
        for version in versions.iter().filter(|version| search.holders.contains(&version.root)) {
            let mut paths = Vec::new();
            search.paths(&mut nodes, version.root, MAX_FOUND - found.len(), &mut paths)?;
            for path in paths {
                found.push(inner.catalog.view(|view| describe(view, caller, version.id, path))?);
            }
        }
    }
    Ok(found)
}

/// A version that may hold the blob.
struct Candidate {
    created_at: Timestamp,
    id: VersionId,
    root: NodeId,
}

/// Readable or restorable versions by the scope that their trees are located in,
/// oldest first.
fn candidates(
    inner: &Inner,
    caller: &Caller,
    scopes: &HashSet<Scope>,
    deleted: bool,
) -> Result<BTreeMap<Scope, Vec<Candidate>>, Failure> {
    let mut by_scope: BTreeMap<Scope, Vec<Candidate>> = BTreeMap::new();
    inner.catalog.view(|view| {
        let mut after = None;
        loop {
            let page = view.all_versions(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for version in page.iter().filter(|version| deleted != version.state.is_committed()) {
                let Some((_, home, _)) = access::visible_version(view, caller, version.id)? else {
                    continue;
                };
                let scope = Scope(home.project);
                if scopes.contains(&scope) {
                    let VersionRow { created_at, id, root, .. } = *version;
                    by_scope.entry(scope).or_default().push(Candidate { created_at, id, root });
                }
            }
        }
        Ok::<(), Failure>(())
    })?;
    for versions in by_scope.values_mut() {
        versions.sort_by_key(|version| (version.created_at, version.id));
    }
    Ok(by_scope)
}

/// What is known of the trees of one scope. Paths are not kept: one blob, such
/// as the empty file, may be at any number of them.
struct Search {
    blob: BlobId,
    /// Children of every inner node seen.
    below: HashMap<NodeId, Vec<NodeId>>,
    /// Nodes that have the blob somewhere below them, and leaves that have its
    /// bytes.
    holders: HashSet<NodeId>,
}

impl Search {
    /// Reads every node below the roots once.
    fn read(
        &mut self,
        inner: &Inner,
        scope: Scope,
        roots: impl Iterator<Item = NodeId>,
    ) -> Result<(), Failure> {
        let mut seen: HashSet<NodeId> = HashSet::from([empty_tree()]);
        let mut levels = vec![roots.filter(|root| seen.insert(*root)).collect::<Vec<_>>()];
        while let Some(level) = levels.last().filter(|level| !level.is_empty()) {
            let mut next = Vec::new();
            let blobs: Vec<BlobId> = level.iter().map(NodeId::as_blob).collect();
            // Looked at where they were read: copying the nodes would cost more
            // than searching them.
            read_located(inner, scope, &blobs, &mut |position, bytes| {
                self.look_at(level[position], bytes?, &mut |child| {
                    if seen.insert(child) {
                        next.push(child);
                    }
                })
                .map_err(|failure| failure.0)
            })?;
            levels.push(next);
        }
        // Children before their parents, but for a child that was first met
        // higher up, below another root: hence until nothing changes.
        loop {
            let known = self.holders.len();
            for id in levels.iter().rev().flatten() {
                if let Some(children) = self.below.get(id)
                    && children.iter().any(|child| self.holders.contains(child))
                {
                    self.holders.insert(*id);
                }
            }
            if self.holders.len() == known {
                return Ok(());
            }
        }
    }

    fn look_at(
        &mut self,
        id: NodeId,
        bytes: &[u8],
        child: &mut dyn FnMut(NodeId),
    ) -> Result<(), Failure> {
        // The level is the fourth byte; a leaf that does not have the 32 bytes
        // anywhere is not worth decoding.
        if bytes.get(3) == Some(&0) {
            if memchr::memmem::find(bytes, self.blob.as_bytes()).is_some() {
                self.holders.insert(id);
            }
            return Ok(());
        }
        let mut children = Vec::new();
        visit_links(bytes, |link| {
            if let Link::Child(id) = link {
                children.push(id);
            }
        })
        .map_err(|error| damaged_node(&id, &error))?;
        children.iter().copied().for_each(&mut *child);
        self.below.insert(id, children);
        Ok(())
    }

    /// Paths of the blob below a node, in their order, at most `limit` of them.
    fn paths(
        &self,
        nodes: &mut Nodes<'_>,
        root: NodeId,
        limit: usize,
        paths: &mut Vec<LogicalPath>,
    ) -> Result<(), Failure> {
        let mut pending = vec![root];
        while let Some(id) = pending.pop() {
            if paths.len() >= limit {
                break;
            }
            if let Some(children) = self.below.get(&id) {
                let holders = children.iter().rev().filter(|child| self.holders.contains(child));
                pending.extend(holders);
                continue;
            }
            let bytes = nodes.node(&id)?;
            let node = Node::decode(&bytes).map_err(|error| damaged_node(&id, &error))?;
            let Node::Leaf(entries) = node else { continue };
            let is_blob =
                |entry: &Entry| matches!(entry, Entry::File { blob, .. } if *blob == self.blob);
            let found = entries.into_iter().filter(|(_, entry)| is_blob(entry));
            paths.extend(found.map(|(path, _)| path).take(limit - paths.len()));
        }
        Ok(())
    }
}

fn describe(
    view: &dyn View,
    caller: &Caller,
    version: VersionId,
    path: LogicalPath,
) -> Result<Found, Failure> {
    let (version, _, _) = access::version(view, caller, version)?;
    let mut provenance = version.provenance.clone();
    let (mut upstream, mut gone) = (Vec::new(), Vec::new());
    if let Some(run_id) = version.run {
        // What a run was may be known to those who may see it.
        if let Some((run, _)) = access::visible_run(view, caller, run_id)? {
            provenance = run.provenance;
        }
        let edges = view.edges_of_runs(&[run_id], Some(EdgeKind::Used))?;
        let mut used: Vec<VersionId> = edges.into_iter().map(|edge| edge.version).collect();
        used.sort();
        for id in used {
            if let Some((row, _, _)) = access::visible_version(view, caller, id)? {
                if !row.state.is_committed() {
                    gone.push(row.id);
                }
                upstream.push(docs::version_ref(view, &row)?);
            }
        }
    }
    Ok(Found {
        version: docs::home_version(view, caller, &version)?,
        path,
        upstream,
        gone,
        provenance,
    })
}
