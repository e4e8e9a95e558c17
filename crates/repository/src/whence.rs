//! `whence`: which versions hold this content, and where it came from.
//!
//! A put pays nothing for it: the way back from a blob to its versions is found
//! by scanning the distinct nodes of all trees for the blob's 32 bytes, which
//! costs some 15 ms for a million entries, and only after the location table has
//! said that the content is known at all.

use std::collections::{HashMap, HashSet};

use heirloom_api::{Found, Problem};
use heirloom_catalog::{CatalogExt, EdgeKind, VersionRow, View};
use heirloom_core::{Caller, ErrorCode, Scope, VersionId};
use heirloom_manifest::{BlobId, Entry, Link, LogicalPath, Node, NodeId, empty_tree, visit_links};

use crate::problem::Failure;
use crate::read::read_located;
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
    let mut found = Vec::new();
    for (scope, versions) in candidates(inner, caller, &scopes)? {
        let search = Search { blob, below: HashMap::new(), leaves: HashMap::new() };
        let hits = search.run(inner, scope, versions.iter().map(|version| version.root))?;
        for version in versions {
            for path in hits.get(&version.root).map(Vec::as_slice).unwrap_or_default() {
                if found.len() == MAX_FOUND {
                    return Ok(found);
                }
                let path = path.clone();
                found.push(inner.catalog.view(|view| describe(view, caller, &version, path))?);
            }
        }
    }
    Ok(found)
}

/// Readable versions by the scope that their trees are located in.
fn candidates(
    inner: &Inner,
    caller: &Caller,
    scopes: &HashSet<Scope>,
) -> Result<Vec<(Scope, Vec<VersionRow>)>, Failure> {
    let mut by_scope: HashMap<Scope, Vec<VersionRow>> = HashMap::new();
    inner.catalog.view(|view| {
        let mut after = None;
        loop {
            let page = view.all_versions(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for version in page {
                if !version.state.is_committed() {
                    continue;
                }
                let (collection, _) = access::home_of(view, version.collection)?;
                let scope = Scope(collection.project);
                if scopes.contains(&scope) && access::version(view, caller, version.id).is_ok() {
                    by_scope.entry(scope).or_default().push(version);
                }
            }
        }
        Ok::<(), Failure>(())
    })?;
    let mut out: Vec<_> = by_scope.into_iter().collect();
    out.sort_by_key(|(scope, _)| *scope);
    for (_, versions) in &mut out {
        versions.sort_by_key(|version| (version.created_at, version.id));
    }
    Ok(out)
}

struct Search {
    blob: BlobId,
    /// Children of every inner node seen.
    below: HashMap<NodeId, Vec<NodeId>>,
    /// Paths of the blob in every leaf seen that holds it.
    leaves: HashMap<NodeId, Vec<LogicalPath>>,
}

impl Search {
    /// For each root, the paths below it at which the blob is.
    fn run(
        mut self,
        inner: &Inner,
        scope: Scope,
        roots: impl Iterator<Item = NodeId>,
    ) -> Result<HashMap<NodeId, Vec<LogicalPath>>, Failure> {
        let roots: Vec<NodeId> = roots.filter(|root| *root != empty_tree()).collect();
        let mut seen: HashSet<NodeId> = HashSet::new();
        let mut level: Vec<NodeId> =
            roots.iter().copied().filter(|root| seen.insert(*root)).collect();
        while !level.is_empty() {
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
            level = next;
        }
        let mut memo = HashMap::new();
        for root in roots {
            self.collect(root, &mut memo);
        }
        Ok(memo)
    }

    fn look_at(
        &mut self,
        id: NodeId,
        bytes: &[u8],
        child: &mut dyn FnMut(NodeId),
    ) -> Result<(), Failure> {
        let corrupt = |error: heirloom_manifest::ManifestError| {
            Failure(Problem::new(
                ErrorCode::Corrupt,
                format!("manifest node {id} is damaged: {error}"),
            ))
        };
        // The level is the fourth byte; a leaf that does not have the 32 bytes
        // anywhere is not worth decoding.
        if bytes.get(3) == Some(&0) {
            if memchr::memmem::find(bytes, self.blob.as_bytes()).is_none() {
                return Ok(());
            }
            let Node::Leaf(entries) = Node::decode(bytes).map_err(corrupt)? else { return Ok(()) };
            let paths: Vec<LogicalPath> = entries
                .into_iter()
                .filter(
                    |(_, entry)| matches!(entry, Entry::File { blob, .. } if *blob == self.blob),
                )
                .map(|(path, _)| path)
                .collect();
            if !paths.is_empty() {
                self.leaves.insert(id, paths);
            }
            return Ok(());
        }
        let mut children = Vec::new();
        visit_links(bytes, |link| {
            if let Link::Child(id) = link {
                children.push(id);
            }
        })
        .map_err(corrupt)?;
        children.iter().copied().for_each(&mut *child);
        self.below.insert(id, children);
        Ok(())
    }

    fn collect(&self, id: NodeId, memo: &mut HashMap<NodeId, Vec<LogicalPath>>) {
        // A tree has at most 16 levels, so recursion is bounded.
        if memo.contains_key(&id) {
            return;
        }
        let mut paths = self.leaves.get(&id).cloned().unwrap_or_default();
        for child in self.below.get(&id).into_iter().flatten() {
            self.collect(*child, memo);
            paths.extend(memo.get(child).into_iter().flatten().cloned());
        }
        memo.insert(id, paths);
    }
}

fn describe(
    view: &dyn View,
    caller: &Caller,
    version: &VersionRow,
    path: LogicalPath,
) -> Result<Found, Failure> {
    let mut provenance = version.provenance.clone();
    let mut upstream = Vec::new();
    if let Some(run_id) = version.run {
        if let Some(run) = view.run(run_id)? {
            provenance = run.provenance;
        }
        let mut used: Vec<VersionId> = view
            .edges_of_runs(&[run_id], Some(EdgeKind::Used))?
            .into_iter()
            .filter(|edge| edge.kind == EdgeKind::Used)
            .map(|edge| edge.version)
            .collect();
        used.sort();
        for row in view.versions(&used)? {
            if access::version(view, caller, row.id).is_ok() {
                upstream.push(docs::version_ref(view, &row)?);
            }
        }
    }
    Ok(Found { version: docs::home_version(view, version)?, path, upstream, provenance })
}
