//! Reading: nodes and blobs of one version, located in the scope that the
//! version was committed in.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use heirloom_api::{Answer, Downloader, Problem, Visit};
use heirloom_catalog::{CatalogExt, Location, VersionRow, VersionState};
use heirloom_core::{ErrorCode, Scope, VersionId};
use heirloom_manifest::{
    BlobId, Link, LogicalPath, ManifestError, NodeId, NodeSource, empty_tree, visit_links,
};
use heirloom_store::{
    Codec, Extent, HasExtent, ObjectKey, Store, StoreError, VerifiedReader, open_range, read_blob,
    read_many,
};

use crate::Inner;
use crate::problem::{Failure, store_problem};

/// Blobs located in one query.
const LOCATE_BATCH: usize = 4096;

/// How often a blob is looked for again that was moved to another object since it
/// was located: each time takes a gc that rewrote the object in between.
const MOVES: usize = 4;

/// Nodes read at once.
pub(crate) const NODES_AT_ONCE: usize = 64;

pub(crate) fn extent(id: BlobId, location: &Location) -> Result<Extent, Problem> {
    let codec = Codec::from_code(location.codec).ok_or_else(|| {
        Problem::new(
            ErrorCode::NewerFormat,
            format!("blob {id} is stored with the unknown codec {}", location.codec),
        )
    })?;
    Ok(Extent {
        id,
        key: location.object,
        offset: location.offset,
        stored_len: location.stored,
        raw_len: location.raw,
        codec,
    })
}

pub(crate) fn missing(id: &BlobId) -> Problem {
    let mut problem =
        Problem::new(ErrorCode::Corrupt, format!("blob {id} is missing from the store"));
    problem.found = Some(id.to_string());
    problem
}

/// A damaged blob, named.
fn damaged(id: &BlobId, error: &StoreError) -> Problem {
    let mut problem = store_problem(error);
    if problem.code == ErrorCode::Corrupt {
        problem.message = format!("blob {id} is damaged: {}", problem.message);
        problem.found = Some(id.to_string());
    }
    problem
}

/// A manifest node whose bytes are what they were, but no node.
pub(crate) fn damaged_node(id: &NodeId, error: &ManifestError) -> Problem {
    Problem::new(ErrorCode::Corrupt, format!("manifest node {id} is damaged: {error}"))
}

/// Extents of blobs in a scope, in the order asked.
pub(crate) fn locate(
    inner: &Inner,
    scope: Scope,
    blobs: &[BlobId],
) -> Result<Vec<Extent>, Problem> {
    let located = inner.catalog.view(|view| view.locate(scope, blobs)).map_err(Failure::from)?;
    blobs
        .iter()
        .zip(located)
        .map(|(id, location)| extent(*id, &location.ok_or_else(|| missing(id))?))
        .collect()
}

struct Wanted {
    position: usize,
    extent: Extent,
}

impl HasExtent for Wanted {
    fn extent(&self) -> &Extent {
        &self.extent
    }
}

/// Other places of a blob in the scope than the one that could not be read: what
/// was sent again after a loss, or by two writers at once.
fn elsewhere(inner: &Inner, scope: Scope, failed: &Extent) -> Result<Vec<Extent>, Failure> {
    inner
        .catalog
        .view(|view| view.locations_anywhere(&failed.id))?
        .into_iter()
        .filter(|(of, location)| *of == scope && location.object != failed.key)
        .map(|(_, location)| extent(failed.id, &location).map_err(Failure))
        .collect()
}

/// A small blob that could not be read at one place, from any other.
fn second_try(
    inner: &Inner,
    scope: Scope,
    failed: &Extent,
    error: &StoreError,
) -> Result<Vec<u8>, Problem> {
    for extent in elsewhere(inner, scope, failed)? {
        if let Ok(bytes) = read_blob(&*inner.store, &extent) {
            return Ok(bytes);
        }
    }
    Err(damaged(&failed.id, error))
}

/// Gets the position of a blob and its bytes, or why there are none.
type VisitLocated<'a> = dyn FnMut(usize, Result<&[u8], Problem>) -> Answer<()> + 'a;

/// Reads located blobs pack by pack; the visitor gets the position in `blobs`. What
/// gc moves meanwhile is read where it is now.
pub(crate) fn read_located(
    inner: &Inner,
    scope: Scope,
    blobs: &[BlobId],
    visit: &mut VisitLocated<'_>,
) -> Answer<()> {
    for (batch, ids) in blobs.chunks(LOCATE_BATCH).enumerate() {
        let mut positions: Vec<usize> =
            (0..ids.len()).map(|position| batch * LOCATE_BATCH + position).collect();
        let mut ids = ids.to_vec();
        for round in 0.. {
            let mut wanted: Vec<Wanted> = locate(inner, scope, &ids)?
                .into_iter()
                .zip(&positions)
                .map(|(extent, position)| Wanted { position: *position, extent })
                .collect();
            let mut moved: Vec<(usize, BlobId)> = Vec::new();
            read_many(&*inner.store, &mut wanted, |item: &Wanted, bytes| {
                match bytes {
                    Ok(bytes) => visit(item.position, Ok(bytes)),
                    Err(StoreError::NotFound { .. }) if round < MOVES => {
                        moved.push((item.position, item.extent.id));
                        Ok(())
                    }
                    Err(error) => match second_try(inner, scope, &item.extent, &error) {
                        Ok(bytes) => visit(item.position, Ok(&bytes)),
                        Err(problem) => visit(item.position, Err(problem)),
                    },
                }
                .map_err(Failure)
            })?;
            if moved.is_empty() {
                break;
            }
            (positions, ids) = moved.into_iter().unzip();
        }
    }
    Ok(())
}

/// Opens a blob where it is, again where gc moves it meanwhile, and at its other
/// places when it is damaged.
fn open_located<T>(
    inner: &Inner,
    scope: Scope,
    blob: &BlobId,
    mut open: impl FnMut(&Extent) -> Result<T, StoreError>,
) -> Result<T, Problem> {
    for round in 0.. {
        let extent = locate(inner, scope, &[*blob])?.remove(0);
        match open(&extent) {
            Ok(opened) => return Ok(opened),
            Err(StoreError::NotFound { .. }) if round < MOVES => {}
            Err(error) => {
                return elsewhere(inner, scope, &extent)?
                    .iter()
                    .find_map(|other| open(other).ok())
                    .ok_or_else(|| damaged(blob, &error));
            }
        }
    }
    Err(missing(blob))
}

/// A source of manifest nodes for the manifest crate's readers.
pub(crate) struct Nodes<'r> {
    inner: &'r Inner,
    scope: Scope,
    ahead: HashMap<NodeId, Vec<u8>>,
}

impl<'r> Nodes<'r> {
    pub(crate) fn new(inner: &'r Inner, scope: Scope) -> Self {
        Self { inner, scope, ahead: HashMap::new() }
    }

    /// Any small blob, verified.
    pub(crate) fn blob(&self, id: &BlobId) -> Result<Vec<u8>, Problem> {
        open_located(self.inner, self.scope, id, |extent| read_blob(&*self.inner.store, extent))
    }
}

impl NodeSource for Nodes<'_> {
    type Bytes = Vec<u8>;
    type Error = Problem;

    fn node(&mut self, id: &NodeId) -> Result<Vec<u8>, Problem> {
        if let Some(bytes) = self.ahead.remove(id) {
            return Ok(bytes);
        }
        self.blob(&id.as_blob())
    }

    fn prefetch(&mut self, ids: &[NodeId]) {
        self.ahead.clear();
        let blobs: Vec<BlobId> = ids.iter().map(NodeId::as_blob).collect();
        // A failure shows, with its node's name, when that node is asked for.
        let _ = read_located(self.inner, self.scope, &blobs, &mut |position, bytes| {
            if let Ok(bytes) = bytes {
                self.ahead.insert(ids[position], bytes.to_vec());
            }
            Ok(())
        });
    }
}

/// Gets a node and what it points at.
type VisitNode<'a> = dyn FnMut(&NodeId, &[Link]) -> Result<(), Failure> + 'a;

/// Visits every node of a tree that is not in `seen`, with what it points at.
pub(crate) fn each_node(
    nodes: &mut Nodes<'_>,
    root: NodeId,
    seen: &mut HashSet<NodeId>,
    visit: &mut VisitNode<'_>,
) -> Result<(), Failure> {
    let is_new = root != empty_tree() && seen.insert(root);
    let mut level: Vec<NodeId> = is_new.then_some(root).into_iter().collect();
    let mut links = Vec::new();
    while !level.is_empty() {
        let mut next = Vec::new();
        for batch in level.chunks(NODES_AT_ONCE) {
            nodes.prefetch(batch);
            for id in batch {
                let bytes = nodes.node(id)?;
                links.clear();
                visit_links(&bytes, |link| links.push(link))
                    .map_err(|error| damaged_node(id, &error))?;
                for link in &links {
                    if let Link::Child(child) = link
                        && seen.insert(*child)
                    {
                        next.push(*child);
                    }
                }
                visit(id, &links)?;
            }
        }
        level = next;
    }
    Ok(())
}

/// The embedded [`Downloader`].
pub(crate) struct LocalDownloader {
    inner: Arc<Inner>,
    scope: Scope,
    version: VersionId,
    only: Option<Only>,
}

/// What a caller may read who reaches a version by a link into a project that is
/// not theirs: what belongs to that version. The rest of the project does not
/// exist for them.
struct Only {
    version: VersionRow,
    /// First halves of the ids, gathered when first asked for.
    ids: Option<HashSet<[u8; 16]>>,
}

impl LocalDownloader {
    /// Reads blobs of the whole scope, on behalf of this version.
    pub(crate) fn of_scope(inner: Arc<Inner>, scope: Scope, version: VersionId) -> Self {
        Self { inner, scope, version, only: None }
    }

    /// Reads blobs of this version.
    pub(crate) fn of_version(inner: Arc<Inner>, scope: Scope, version: VersionRow) -> Self {
        let id = version.id;
        Self { inner, scope, version: id, only: Some(Only { version, ids: None }) }
    }

    /// What is missing because the version was deleted while it was read, and its
    /// bytes freed, is no damage.
    fn explained(&self, problem: Problem) -> Problem {
        if problem.code != ErrorCode::Corrupt {
            return problem;
        }
        let row = self.inner.catalog.view(|view| view.version(self.version));
        match row.map(|row| row.is_none_or(|row| row.state == VersionState::Purged)) {
            Ok(true) => {
                Problem::new(ErrorCode::NotFound, "the version was deleted while it was read")
            }
            _ => problem,
        }
    }

    fn check(&mut self, blobs: impl IntoIterator<Item = BlobId>) -> Result<(), Problem> {
        let Some(Only { version, ids }) = &mut self.only else { return Ok(()) };
        let ids = match ids {
            Some(ids) => ids,
            none => none.insert(ids_of(&self.inner, self.scope, version)?),
        };
        match blobs.into_iter().find(|id| !ids.contains(&half(id))) {
            None => Ok(()),
            Some(id) => Err(missing(&id)),
        }
    }
}

/// First halves of the ids of everything that belongs to a version.
fn ids_of(inner: &Inner, scope: Scope, version: &VersionRow) -> Result<HashSet<[u8; 16]>, Failure> {
    let mut ids: HashSet<[u8; 16]> = version.attachments.iter().map(half).collect();
    ids.insert(half(&version.root.as_blob()));
    let (mut nodes, mut seen) = (Nodes::new(inner, scope), HashSet::new());
    each_node(&mut nodes, version.root, &mut seen, &mut |_, links| {
        ids.extend(links.iter().map(|link| match link {
            Link::Child(child) => half(&child.as_blob()),
            Link::Blob(blob, _) => half(blob),
        }));
        Ok(())
    })?;
    Ok(ids)
}

/// The first half of a blob's id: enough to tell blobs apart, at half the memory.
pub(crate) fn half(id: &BlobId) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&id.as_bytes()[..16]);
    out
}

impl Downloader for LocalDownloader {
    fn nodes(&mut self, ids: &[NodeId]) -> Answer<Vec<Vec<u8>>> {
        let blobs: Vec<BlobId> = ids.iter().map(NodeId::as_blob).collect();
        self.check(blobs.iter().copied())?;
        let mut out = vec![Vec::new(); ids.len()];
        read_located(&self.inner, self.scope, &blobs, &mut |position, bytes| {
            out[position] = bytes?.to_vec();
            Ok(())
        })
        .map_err(|problem| self.explained(problem))?;
        Ok(out)
    }

    fn read_small(&mut self, blobs: &[(BlobId, u64)], visit: &mut Visit<'_>) -> Answer<()> {
        let ids: Vec<BlobId> = blobs.iter().map(|(id, _)| *id).collect();
        self.check(ids.iter().copied())?;
        read_located(&self.inner, self.scope, &ids, &mut |position, bytes| {
            let bytes = bytes?;
            if bytes.len() as u64 != blobs[position].1 {
                return Err(wrong_size(&blobs[position].0, blobs[position].1, bytes.len() as u64));
            }
            visit(position, bytes)
        })
        .map_err(|problem| self.explained(problem))
    }

    fn open(&mut self, blob: &BlobId, size: u64, offset: u64) -> Answer<Box<dyn Read + Send>> {
        self.check([*blob])?;
        let opened =
            open_located(&self.inner, self.scope, blob, |extent| match extent.raw_len == size {
                true => open_from(&*self.inner.store, extent, offset).map(Ok),
                false => Ok(Err(wrong_size(blob, size, extent.raw_len))),
            });
        opened.map_err(|problem| self.explained(problem))?
    }

    fn local_file(&mut self, blob: &BlobId) -> Option<File> {
        self.check([*blob]).ok()?;
        let extent = locate(&self.inner, self.scope, &[*blob]).ok()?.remove(0);
        let ObjectKey::Whole(_) = extent.key else { return None };
        let reader = self.inner.store.read(&extent.key, Some(0..0)).ok()?;
        reader.as_file()?.try_clone().ok()
    }
}

fn open_from(
    store: &dyn Store,
    extent: &Extent,
    offset: u64,
) -> Result<Box<dyn Read + Send>, StoreError> {
    match extent.key {
        ObjectKey::Whole(id) if offset == 0 => Ok(Box::new(VerifiedReader::open(store, &id)?)),
        _ => open_range(store, extent, offset.min(extent.raw_len)..extent.raw_len),
    }
}

fn wrong_size(blob: &BlobId, expected: u64, actual: u64) -> Problem {
    Problem::new(
        ErrorCode::Corrupt,
        format!("blob {blob} has {actual} bytes, the manifest says {expected}"),
    )
}

/// A page of a tree's entries, for `Backend::entries`.
pub(crate) fn page(
    inner: &Inner,
    scope: Scope,
    root: NodeId,
    prefix: &str,
    after: Option<LogicalPath>,
    limit: usize,
) -> Result<heirloom_api::EntryPage, Failure> {
    let within = match prefix.trim_end_matches('/') {
        "" => None,
        prefix => Some(LogicalPath::new(prefix).map_err(|error| {
            Problem::invalid(format!("`{prefix}` cannot be a path in an artifact: {error}"))
        })?),
    };
    let range = heirloom_manifest::Range { within, after };
    let mut entries = Vec::new();
    let mut stream = heirloom_manifest::Entries::new(Nodes::new(inner, scope), root, range);
    let mut next = None;
    for entry in &mut stream {
        if entries.len() == limit {
            next = entries.last().map(|(path, _): &(LogicalPath, _)| path.clone());
            break;
        }
        entries.push(entry?);
    }
    Ok(heirloom_api::EntryPage { entries, next })
}
