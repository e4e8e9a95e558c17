//! Reading: nodes and blobs of one version, located in the scope that the
//! version was committed in.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use heirloom_api::{Answer, Downloader, Problem, Visit};
use heirloom_catalog::{CatalogExt, Location};
use heirloom_core::{ErrorCode, Scope};
use heirloom_manifest::{BlobId, LogicalPath, NodeId, NodeSource};
use heirloom_store::{
    Codec, Extent, HasExtent, ObjectKey, Store, StoreError, VerifiedReader, open_range, read_blob,
    read_many,
};

use crate::Inner;
use crate::problem::{Failure, store_problem};

/// Blobs located in one query.
const LOCATE_BATCH: usize = 4096;

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

/// Reads located blobs pack by pack; the visitor gets the position in `blobs`.
pub(crate) fn read_located(
    inner: &Inner,
    scope: Scope,
    blobs: &[BlobId],
    visit: &mut dyn FnMut(usize, Result<&[u8], Problem>) -> Answer<()>,
) -> Answer<()> {
    for (batch, ids) in blobs.chunks(LOCATE_BATCH).enumerate() {
        let mut wanted: Vec<Wanted> = locate(inner, scope, ids)?
            .into_iter()
            .enumerate()
            .map(|(position, extent)| Wanted { position: batch * LOCATE_BATCH + position, extent })
            .collect();
        read_many(&*inner.store, &mut wanted, |item: &Wanted, bytes| {
            visit(item.position, bytes.map_err(|error| damaged(&item.extent.id, &error)))
                .map_err(Failure)
        })?;
    }
    Ok(())
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
        let extents = locate(self.inner, self.scope, &[*id])?;
        read_blob(&*self.inner.store, &extents[0]).map_err(|error| damaged(id, &error))
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

/// The embedded [`Downloader`].
pub(crate) struct LocalDownloader {
    pub(crate) inner: Arc<Inner>,
    pub(crate) scope: Scope,
}

impl Downloader for LocalDownloader {
    fn nodes(&mut self, ids: &[NodeId]) -> Answer<Vec<Vec<u8>>> {
        let blobs: Vec<BlobId> = ids.iter().map(NodeId::as_blob).collect();
        let mut out = vec![Vec::new(); ids.len()];
        read_located(&self.inner, self.scope, &blobs, &mut |position, bytes| {
            out[position] = bytes?.to_vec();
            Ok(())
        })?;
        Ok(out)
    }

    fn read_small(&mut self, blobs: &[(BlobId, u64)], visit: &mut Visit<'_>) -> Answer<()> {
        let ids: Vec<BlobId> = blobs.iter().map(|(id, _)| *id).collect();
        read_located(&self.inner, self.scope, &ids, &mut |position, bytes| {
            let bytes = bytes?;
            if bytes.len() as u64 != blobs[position].1 {
                return Err(wrong_size(&blobs[position].0, blobs[position].1, bytes.len() as u64));
            }
            visit(position, bytes)
        })
    }

    fn open(&mut self, blob: &BlobId, size: u64, offset: u64) -> Answer<Box<dyn Read + Send>> {
        let extent = locate(&self.inner, self.scope, &[*blob])?.remove(0);
        if extent.raw_len != size {
            return Err(wrong_size(blob, size, extent.raw_len));
        }
        let store = &*self.inner.store;
        match extent.key {
            ObjectKey::Whole(_) if offset == 0 => {
                let reader =
                    VerifiedReader::open(store, blob).map_err(|error| damaged(blob, &error))?;
                Ok(Box::new(reader))
            }
            _ => open_range(store, &extent, offset.min(size)..size)
                .map_err(|error| damaged(blob, &error)),
        }
    }

    fn local_file(&mut self, blob: &BlobId) -> Option<File> {
        let extent = locate(&self.inner, self.scope, &[*blob]).ok()?.remove(0);
        let ObjectKey::Whole(_) = extent.key else { return None };
        let reader = self.inner.store.read(&extent.key, Some(0..0)).ok()?;
        reader.as_file()?.try_clone().ok()
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
