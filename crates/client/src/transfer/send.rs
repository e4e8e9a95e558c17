//! The bytes of one version on their way to another repository.

use std::fs::File;
use std::io::{Read, Seek, Write};

use heirloom_api::{
    Backend, BeginDraft, BlobKind, Downloader, DraftDoc, Problem, ProjectRef, Uploader, VersionDoc,
};
use heirloom_core::ErrorCode;
use heirloom_manifest::{
    BlobId, Link, NodeId, NodeSource, ReadError, empty_tree, new_nodes, visit_links,
};

use crate::Result;
use crate::client::blocking_task;
use crate::nodes::{Nodes, read_problem};
use crate::progress::{Listener, Meter, Phase};

/// Files below this length are packed.
const SMALL: u64 = 1 << 20;

/// Digests asked about at once.
const CLAIM: usize = 4096;

/// Nodes fetched at once.
const NODES_AT_ONCE: usize = 64;

/// Small files read at once, and their bytes.
const BATCH_FILES: usize = 1024;
const BATCH_BYTES: u64 = 4 << 20;

/// What sending came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SentBytes {
    /// Bytes of files that the receiver did not have.
    pub(super) new_bytes: u64,
    /// Bytes written to its store.
    pub(super) stored_bytes: u64,
}

/// Begins the version at the receiver.
pub(super) async fn begin(to: &dyn Backend, doc: &VersionDoc) -> Result<DraftDoc> {
    let request = BeginDraft {
        project: ProjectRef { entity: doc.entity.clone(), project: doc.project.clone() },
        name: doc.name.clone(),
        artifact_type: Some(doc.artifact_type.clone()),
        base: None,
    };
    Ok(to.begin_draft(request).await?)
}

/// Sends what the receiver lacks of a version.
pub(super) async fn bytes(
    from: &dyn Backend,
    to: &dyn Backend,
    doc: &VersionDoc,
    draft: &DraftDoc,
    listener: Listener,
) -> Result<SentBytes> {
    let base = match &draft.base {
        Some(base) => Some((base.root, Nodes::new(to.downloader(base.id).await?))),
        None => None,
    };
    let (base_root, base) = match base {
        Some((root, nodes)) => (root, Some(nodes)),
        None => (empty_tree(), None),
    };
    let mut trees = Trees { from: Nodes::new(from.downloader(doc.id).await?), base };
    let mut sender = Sender {
        downloader: from.downloader(doc.id).await?,
        uploader: to.uploader(draft.id).await?,
        pending: Vec::new(),
        new_bytes: 0,
        meter: Meter::new(listener, Phase::Send, Some((doc.files, doc.size))),
    };
    let root = doc.root;
    blocking_task(move || {
        match root == empty_tree() {
            // Known to all readers, but the blobs of a version are stored.
            true => sender.nodes(&[root])?,
            false => new_nodes(&mut trees, &base_root, &root, |ids| sender.nodes(ids))
                .map_err(|error: ReadError<Problem>| read_problem(error))?,
        }
        sender.finish()
    })
    .await
}

/// Nodes of the version at the sender and of the base at the receiver.
struct Trees {
    from: Nodes,
    base: Option<Nodes>,
}

impl NodeSource for Trees {
    type Bytes = Vec<u8>;
    type Error = Problem;

    fn node(&mut self, id: &NodeId) -> std::result::Result<Vec<u8>, Problem> {
        match (self.from.node(id), &mut self.base) {
            (Err(problem), Some(base)) => base.node(id).map_err(|_| problem),
            (outcome, _) => outcome,
        }
    }

    fn prefetch(&mut self, ids: &[NodeId]) {
        self.from.prefetch(ids);
    }
}

struct Sender {
    downloader: Box<dyn Downloader>,
    uploader: Box<dyn Uploader>,
    /// Contents to ask about.
    pending: Vec<(BlobId, u64)>,
    new_bytes: u64,
    meter: Meter,
}

impl Sender {
    /// Sends nodes that the receiver lacks, and what they point at.
    fn nodes(&mut self, ids: &[NodeId]) -> std::result::Result<(), Problem> {
        for ids in ids.chunks(NODES_AT_ONCE) {
            let blobs: Vec<BlobId> = ids.iter().map(NodeId::as_blob).collect();
            let have = self.uploader.claim(&blobs)?;
            let nodes = self.downloader.nodes(ids)?;
            for ((id, bytes), have) in ids.iter().zip(nodes).zip(have) {
                if NodeId::of(&bytes) != *id {
                    return Err(damaged(&id.as_blob()));
                }
                let pending = &mut self.pending;
                visit_links(&bytes, |link| {
                    if let Link::Blob(blob, size) = link {
                        pending.push((blob, size));
                    }
                })
                .map_err(|error| {
                    let what = format!("manifest node {id} is damaged: {error}");
                    Problem::new(ErrorCode::Corrupt, what)
                })?;
                if !have {
                    self.uploader.add(BlobKind::Node, &bytes)?;
                }
            }
            if self.pending.len() >= CLAIM {
                self.contents()?;
            }
        }
        Ok(())
    }

    /// Asks about contents, and sends what is missing.
    fn contents(&mut self) -> std::result::Result<(), Problem> {
        let mut pending = std::mem::take(&mut self.pending);
        let all = pending.len() as u64;
        let bytes: u64 = pending.iter().map(|(_, size)| size).sum();
        pending.sort_unstable();
        pending.dedup();
        let ids: Vec<BlobId> = pending.iter().map(|(id, _)| *id).collect();
        let have = self.uploader.claim(&ids)?;
        let missing: Vec<(BlobId, u64)> =
            pending.into_iter().zip(have).filter(|(_, have)| !have).map(|(one, _)| one).collect();
        let to_send: u64 = missing.iter().map(|(_, size)| size).sum();
        // What need not be sent is done.
        self.meter.add(all - missing.len() as u64, bytes.saturating_sub(to_send));
        let mut small = Vec::new();
        let mut small_bytes = 0;
        for (blob, size) in missing {
            if size >= SMALL {
                self.large(&blob, size)?;
                continue;
            }
            small.push((blob, size));
            small_bytes += size;
            if small.len() >= BATCH_FILES || small_bytes >= BATCH_BYTES {
                self.small(&std::mem::take(&mut small))?;
                small_bytes = 0;
            }
        }
        self.small(&small)
    }

    fn small(&mut self, blobs: &[(BlobId, u64)]) -> std::result::Result<(), Problem> {
        if blobs.is_empty() {
            return Ok(());
        }
        let Self { downloader, uploader, meter, new_bytes, .. } = self;
        downloader.read_small(blobs, &mut |position, bytes| {
            if uploader.add(BlobKind::Content, bytes)? != blobs[position].0 {
                return Err(damaged(&blobs[position].0));
            }
            *new_bytes += bytes.len() as u64;
            meter.add(1, bytes.len() as u64);
            Ok(())
        })
    }

    fn large(&mut self, blob: &BlobId, size: u64) -> std::result::Result<(), Problem> {
        let mut file = match self.downloader.local_file(blob) {
            Some(file) => file,
            None => spool(&mut *self.downloader, blob, size)?,
        };
        let length = file.metadata().map_err(|error| io(&error))?.len();
        if length != size {
            return Err(damaged(blob));
        }
        let meter = &mut self.meter;
        let sent = self.uploader.send_file(&mut file, size, &mut |bytes| meter.add(0, bytes))?;
        if sent.blob != *blob {
            return Err(damaged(blob));
        }
        self.meter.add(1, 0);
        if sent.created {
            self.new_bytes += size;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<SentBytes> {
        self.contents()?;
        self.uploader.flush()?;
        Ok(SentBytes { new_bytes: self.new_bytes, stored_bytes: self.uploader.stored() })
    }
}

/// A large blob that is not a file here, as one.
fn spool(
    downloader: &mut dyn Downloader,
    blob: &BlobId,
    size: u64,
) -> std::result::Result<File, Problem> {
    let mut file = tempfile::tempfile().map_err(|error| io(&error))?;
    let mut reader = downloader.open(blob, size, 0)?.take(size.saturating_add(1));
    // An error of the reader is damage of the blob as often as one of the network.
    std::io::copy(&mut reader, &mut file).map_err(|error| {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return io(&error);
        }
        let what = format!("cannot read blob {blob} where it comes from: {error}");
        let mut problem = Problem::new(ErrorCode::Corrupt, what);
        problem.found = Some(blob.to_string());
        problem
    })?;
    file.flush().and_then(|()| file.rewind()).map_err(|error| io(&error))?;
    Ok(file)
}

fn damaged(blob: &BlobId) -> Problem {
    let what = format!("blob {blob} is damaged where it comes from");
    let mut problem = Problem::new(ErrorCode::Corrupt, what);
    problem.found = Some(blob.to_string());
    problem
}

fn io(error: &std::io::Error) -> Problem {
    let code = match error.kind() {
        std::io::ErrorKind::StorageFull => ErrorCode::NoSpace,
        _ => ErrorCode::Io,
    };
    Problem::new(code, format!("a temporary file failed: {error}"))
}
