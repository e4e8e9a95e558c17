//! Building the tree and sending what the store lacks.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read, Seek, Write};

use heirloom_api::{BlobKind, Uploader};
use heirloom_manifest::{
    BlobHasher, BlobId, BuildError, Discard, Entry, Link, LogicalPath, NodeId, TreeBuilder,
    TreeSummary, empty_tree, visit_links,
};
use heirloom_worktree::{
    FileStat, Links, Root, SourceFile, StatCacheWriter, remove_cache_leftovers,
};

use super::edits::{Edited, Editing};
use super::gather::{Gathered, SingleWhat};
use super::hash::{self, Batch, SMALL, at, each_batch};
use super::merge::{From, Item, Merged, What};
use super::sink::{Finished, Tray};
use crate::artifact::{StagedData, lock};
use crate::nodes::Nodes;
use crate::progress::{Listener, Meter, Phase};
use crate::{Error, Result};

/// Digests asked about at once, where so many are at hand.
const CLAIM: usize = 4096;

/// Bytes of unknown small files held back until so many digests are at hand.
const GROUP_BYTES: usize = 8 << 20;

/// Batches held back for the same reason.
const GROUP_BATCHES: usize = 16;

/// Bytes of nodes held back until they are asked about.
const NODE_BYTES: usize = 2 << 20;

/// Age, in nanoseconds, at which a temporary file beside the stat caches is
/// nobody's any more: a day.
const LEFTOVER_NS: i64 = 86_400_000_000_000;

/// Inner nodes of the base read at once.
const NODES_AT_ONCE: usize = 64;

/// What sending needs.
pub(crate) struct Sending {
    /// `None` only hashes.
    pub(crate) uploader: Option<Box<dyn Uploader>>,
    /// The pinned base: its root, and where its nodes are.
    pub(crate) base: Option<(NodeId, Nodes)>,
    /// The base of a draft, of which the tree is made by edits.
    pub(crate) editing: Option<Editing>,
    pub(crate) threads: usize,
    pub(crate) listener: Listener,
}

/// What sending came to.
pub(crate) struct SentAll {
    pub(crate) tree: TreeSummary,
    pub(crate) new_bytes: u64,
    pub(crate) stored_bytes: u64,
}

/// The tree of entries that are all known.
pub(crate) fn root_of_known(gathered: &Gathered) -> Result<TreeSummary> {
    let mut builder = TreeBuilder::new(Discard);
    for item in Merged::new(gathered)? {
        let item = item?;
        if let Some(entry) = item.what.entry() {
            builder.push(&item.path, &entry).map_err(build_error)?;
        }
    }
    builder.finish().map_err(build_error)
}

/// Reads, hashes and sends everything, and builds the tree.
pub(crate) fn run(gathered: &Gathered, mut sending: Sending) -> Result<SentAll> {
    let base = match &mut sending.base {
        Some((root, nodes)) => base_nodes(*root, nodes)?,
        None => HashSet::new(),
    };
    let tray = Tray::default();
    let mut tree = match sending.editing.take() {
        None => Tree::New(TreeBuilder::new(tray.clone())),
        Some(editing) => Tree::Edited(Box::new(Edited::new(gathered, editing, tray.clone())?)),
    };
    let mut sender = Sender {
        gathered,
        uploader: sending.uploader,
        base,
        tray,
        leaf: Vec::new(),
        to_claim: Vec::new(),
        nodes: Vec::new(),
        node_bytes: 0,
        new_bytes: 0,
        caches: Caches::new(gathered),
        meter: Meter::new(sending.listener, Phase::Send, Some(gathered.totals)),
    };
    let mut group = Group::default();
    each_batch(gathered, sending.threads, |batch| {
        group.add(batch);
        if group.is_due() {
            sender.group(&mut tree, std::mem::take(&mut group))?;
        }
        Ok(())
    })?;
    sender.group(&mut tree, group)?;
    let tree = tree.finish()?;
    sender.finish(tree)
}

/// The tree in the making. Finished nodes that are new go to the tray.
enum Tree {
    /// Of the entries alone.
    New(TreeBuilder<Tray>),
    /// Of a base, with the entries put into it.
    Edited(Box<Edited>),
}

impl Tree {
    fn push(&mut self, path: &LogicalPath, entry: &Entry) -> Result<()> {
        match self {
            Self::New(builder) => builder.push(path, entry).map_err(build_error),
            Self::Edited(edited) => edited.push(path, entry),
        }
    }

    fn finish(self) -> Result<TreeSummary> {
        match self {
            Self::New(builder) => builder.finish().map_err(build_error),
            Self::Edited(edited) => edited.finish(),
        }
    }
}

/// Ids of all nodes of a tree; reads inner nodes only.
fn base_nodes(root: NodeId, nodes: &mut Nodes) -> Result<HashSet<NodeId>> {
    let mut all = HashSet::from([root]);
    let mut level = match root == empty_tree() {
        true => Vec::new(),
        false => vec![root],
    };
    while !level.is_empty() {
        let mut children = Vec::new();
        let mut height = 0;
        for ids in level.chunks(NODES_AT_ONCE) {
            for bytes in nodes.fetch(ids)? {
                height = visit_links(&bytes, |link| {
                    if let Link::Child(id) = link {
                        children.push(id);
                    }
                })?;
            }
        }
        all.extend(children.iter().copied());
        // The children of level 1 are leaves, which need not be read.
        level = if height > 1 { children } else { Vec::new() };
    }
    Ok(all)
}

/// Batches that are asked about together.
#[derive(Default)]
struct Group {
    batches: Vec<Batch>,
    unknown: usize,
    bytes: usize,
}

impl Group {
    /// Whether to go on: enough is at hand, or there is nothing to ask about, or
    /// the entries between would take too much memory.
    fn is_due(&self) -> bool {
        self.unknown == 0
            || self.unknown >= CLAIM
            || self.bytes >= GROUP_BYTES
            || self.batches.len() >= GROUP_BATCHES
    }

    fn add(&mut self, batch: Batch) {
        self.unknown += batch.read.iter().flatten().count();
        self.bytes += batch.data.len();
        self.batches.push(batch);
    }
}

/// A file whose content is known, and may have to be sent all the same.
struct Pending {
    blob: BlobId,
    size: u64,
    from: From,
    /// Of a file on disk.
    stat: Option<FileStat>,
}

struct Sender<'a> {
    gathered: &'a Gathered,
    uploader: Option<Box<dyn Uploader>>,
    base: HashSet<NodeId>,
    tray: Tray,
    /// Known files of the leaf that is open.
    leaf: Vec<Pending>,
    /// Known files of finished leaves that the base does not have.
    to_claim: Vec<Pending>,
    /// Finished nodes that the base does not have.
    nodes: Vec<Finished>,
    node_bytes: usize,
    new_bytes: u64,
    caches: Caches<'a>,
    meter: Meter,
}

impl Sender<'_> {
    fn group(&mut self, tree: &mut Tree, group: Group) -> Result<()> {
        self.send_small(&group)?;
        for batch in group.batches {
            for (item, read) in batch.items.into_iter().zip(batch.read) {
                let entry = match (&item.what, read) {
                    (What::Unknown(stat), Some((_, blob))) => Entry::File { blob, size: stat.size },
                    (What::Unknown(stat), None) => {
                        let blob = self.send_large(&item.from, stat, None)?;
                        Entry::File { blob, size: stat.size }
                    }
                    (What::Known(stat, blob), _) => {
                        self.pending(&item, *blob, stat.size, Some(*stat));
                        Entry::File { blob: *blob, size: stat.size }
                    }
                    (What::Entry(entry), _) => {
                        if let Entry::File { blob, size } = entry {
                            self.pending(&item, *blob, *size, self.stat_of(&item.from));
                        }
                        entry.clone()
                    }
                };
                let large = matches!(item.what, What::Unknown(_)) && read.is_none();
                self.meter.add(1, if large { 0 } else { entry.size() });
                if let (What::Unknown(stat) | What::Known(stat, _), Entry::File { blob, .. }) =
                    (&item.what, &entry)
                {
                    self.caches.add(&item.from, stat, blob);
                }
                tree.push(&item.path, &entry)?;
                self.finished()?;
            }
        }
        Ok(())
    }

    fn stat_of(&self, from: &From) -> Option<FileStat> {
        match from {
            From::Single(index) => match &self.gathered.singles[*index].what {
                SingleWhat::File { stat, .. } => Some(*stat),
                _ => None,
            },
            From::Dir { .. } => None,
        }
    }

    fn pending(&mut self, item: &Item, blob: BlobId, size: u64, stat: Option<FileStat>) {
        if self.uploader.is_some() {
            self.leaf.push(Pending { blob, size, from: item.from.clone(), stat });
        }
    }

    /// Asks about the contents that were just read, and adds what is missing.
    fn send_small(&mut self, group: &Group) -> Result<()> {
        let Some(uploader) = &mut self.uploader else { return Ok(()) };
        let mut seen = HashSet::with_capacity(group.unknown);
        let mut contents: Vec<(BlobId, &[u8])> = Vec::with_capacity(group.unknown);
        for batch in &group.batches {
            let mut start = 0;
            for (end, blob) in batch.read.iter().flatten() {
                if seen.insert(*blob) {
                    contents.push((*blob, &batch.data[start..*end]));
                }
                start = *end;
            }
        }
        if contents.is_empty() {
            return Ok(());
        }
        let ids: Vec<BlobId> = contents.iter().map(|(blob, _)| *blob).collect();
        for ((blob, bytes), have) in contents.into_iter().zip(uploader.claim(&ids)?) {
            if !have {
                let added = uploader.add(BlobKind::Content, bytes)?;
                debug_assert_eq!(added, blob);
                self.new_bytes += bytes.len() as u64;
            }
        }
        Ok(())
    }

    /// Sends a large file from disk; `expected` is what the stat cache says of it.
    fn send_large(
        &mut self,
        from: &From,
        stat: &FileStat,
        expected: Option<BlobId>,
    ) -> Result<BlobId> {
        let (source, shown) = open_source(self.gathered, from, stat)?;
        let failed = |error| Error::io("read", &shown, error);
        let blob = match &mut self.uploader {
            Some(uploader) => {
                let mut file = source.file().try_clone().map_err(failed)?;
                let meter = &mut self.meter;
                let mut told = 0;
                let sent = uploader.send_file(&mut file, stat.size, &mut |bytes| {
                    told += bytes;
                    meter.add(0, bytes);
                });
                // A file that changed explains whatever went wrong with it.
                source.finish().map_err(|error| shown_at(&shown, error))?;
                let sent = sent?;
                meter.add(0, sent.size.saturating_sub(told));
                if sent.created {
                    self.new_bytes += sent.size;
                }
                sent.blob
            }
            None => {
                let mut source = source;
                let blob = hash_all(&mut source).map_err(failed)?;
                source.finish().map_err(|error| shown_at(&shown, error))?;
                self.meter.add(0, stat.size);
                blob
            }
        };
        if expected.is_some_and(|expected| expected != blob) {
            return Err(heirloom_worktree::Error::ChangedWhileReading { path: shown }.into());
        }
        Ok(blob)
    }

    /// Takes nodes that the builder has finished.
    fn finished(&mut self) -> Result<()> {
        if self.tray.is_empty() {
            return Ok(());
        }
        for node in self.tray.take() {
            let inherited = self.base.contains(&node.id);
            if node.level == 0 {
                // What a leaf of the base holds is pinned with the base.
                if inherited {
                    self.leaf.clear();
                } else {
                    self.to_claim.append(&mut self.leaf);
                }
            }
            if !inherited && self.uploader.is_some() {
                self.node_bytes += node.bytes.len();
                self.nodes.push(node);
            }
        }
        if self.to_claim.len() >= CLAIM {
            self.claim_known()?;
        }
        if self.nodes.len() >= CLAIM || self.node_bytes >= NODE_BYTES {
            self.send_nodes()?;
        }
        Ok(())
    }

    /// Asks about files of known content, and sends what is missing.
    fn claim_known(&mut self) -> Result<()> {
        let mut pending = std::mem::take(&mut self.to_claim);
        let mut seen = HashSet::with_capacity(pending.len());
        pending.retain(|file| seen.insert(file.blob));
        let ids: Vec<BlobId> = pending.iter().map(|file| file.blob).collect();
        let have = match &mut self.uploader {
            Some(uploader) if !ids.is_empty() => uploader.claim(&ids)?,
            _ => return Ok(()),
        };
        let mut buffer = Vec::new();
        for (file, _) in pending.iter().zip(have).filter(|(_, have)| !have) {
            self.send_known(file, &mut buffer)?;
        }
        Ok(())
    }

    fn send_known(&mut self, file: &Pending, buffer: &mut Vec<u8>) -> Result<()> {
        if let Some(stat) = &file.stat {
            if stat.size >= SMALL {
                return self.send_large(&file.from, stat, Some(file.blob)).map(|_| ());
            }
            hash::read_file(self.gathered, &file.from, stat, buffer)?;
            return self.add_known(file, buffer, &shown_path(self.gathered, &file.from));
        }
        let From::Single(index) = &file.from else { return Ok(()) };
        let single = &self.gathered.singles[*index];
        let shown = std::path::PathBuf::from(single.path.as_str());
        let failed = |error| Error::io("read", &shown, error);
        match &single.what {
            SingleWhat::Bytes { bytes, .. } if file.size < SMALL => {
                self.add_known(file, bytes, &shown)
            }
            SingleWhat::Bytes { bytes, .. } => {
                let mut staged = tempfile::tempfile().map_err(failed)?;
                staged.write_all(bytes).map_err(failed)?;
                self.send_temporary(file, &mut staged, &shown)
            }
            SingleWhat::Staged { file: staged, .. } => {
                let mut staged = lock(staged);
                match &mut staged.data {
                    StagedData::Memory(bytes) if file.size < SMALL => {
                        self.add_known(file, bytes, &shown)
                    }
                    StagedData::Memory(bytes) => {
                        let mut copy = tempfile::tempfile().map_err(failed)?;
                        copy.write_all(bytes).map_err(failed)?;
                        self.send_temporary(file, &mut copy, &shown)
                    }
                    StagedData::Disk(data) => self.send_temporary(file, data, &shown),
                }
            }
            SingleWhat::File { .. } | SingleWhat::Reference(_) => Ok(()),
        }
    }

    fn add_known(&mut self, file: &Pending, bytes: &[u8], shown: &std::path::Path) -> Result<()> {
        let Some(uploader) = &mut self.uploader else { return Ok(()) };
        let added = uploader.add(BlobKind::Content, bytes)?;
        if added != file.blob {
            let path = shown.to_owned();
            return Err(heirloom_worktree::Error::ChangedWhileReading { path }.into());
        }
        self.new_bytes += file.size;
        Ok(())
    }

    fn send_temporary(
        &mut self,
        file: &Pending,
        data: &mut File,
        shown: &std::path::Path,
    ) -> Result<()> {
        let Some(uploader) = &mut self.uploader else { return Ok(()) };
        data.rewind().map_err(|error| Error::io("read", shown, error))?;
        let sent = uploader.send_file(data, file.size, &mut |_| {})?;
        if sent.blob != file.blob {
            let path = shown.to_owned();
            return Err(heirloom_worktree::Error::ChangedWhileReading { path }.into());
        }
        if sent.created {
            self.new_bytes += file.size;
        }
        Ok(())
    }

    fn send_nodes(&mut self) -> Result<()> {
        let nodes = std::mem::take(&mut self.nodes);
        self.node_bytes = 0;
        let Some(uploader) = &mut self.uploader else { return Ok(()) };
        if nodes.is_empty() {
            return Ok(());
        }
        let ids: Vec<BlobId> = nodes.iter().map(|node| node.id.as_blob()).collect();
        for (node, have) in nodes.iter().zip(uploader.claim(&ids)?) {
            if !have {
                uploader.add(BlobKind::Node, &node.bytes)?;
            }
        }
        Ok(())
    }

    fn finish(mut self, tree: TreeSummary) -> Result<SentAll> {
        self.finished()?;
        self.claim_known()?;
        self.send_nodes()?;
        let mut stored_bytes = 0;
        if let Some(uploader) = &mut self.uploader {
            uploader.flush()?;
            stored_bytes = uploader.stored();
            // What was hashed stays true even if the commit fails.
            self.caches.commit();
        }
        Ok(SentAll { tree, new_bytes: self.new_bytes, stored_bytes })
    }
}

/// Opens a file on disk, with its path as the user knows it.
fn open_source(
    gathered: &Gathered,
    from: &From,
    stat: &FileStat,
) -> Result<(SourceFile, std::path::PathBuf)> {
    match from {
        From::Dir { index, inner } => {
            let dir = &gathered.dirs[*index];
            let source = SourceFile::open(&dir.root, inner, stat, dir.links)
                .map_err(|error| at(&dir.given, error))?;
            Ok((source, shown_path(gathered, from)))
        }
        From::Single(index) => match &gathered.singles[*index].what {
            SingleWhat::File { source: path, name, .. } => {
                let root = Root::open(path)?;
                let source = SourceFile::open(&root, name, stat, Links::Follow)
                    .map_err(|error| at(&path.with_file_name(""), error))?;
                Ok((source, path.clone()))
            }
            _ => Err(Error::usage("only files are opened")),
        },
    }
}

/// The path as the user knows it.
fn shown_path(gathered: &Gathered, from: &From) -> std::path::PathBuf {
    match from {
        From::Dir { index, inner } => gathered.dirs[*index].given.join(inner.as_str()),
        From::Single(index) => match &gathered.singles[*index].what {
            SingleWhat::File { source, .. } => source.clone(),
            _ => gathered.singles[*index].path.as_str().into(),
        },
    }
}

fn shown_at(shown: &std::path::Path, error: heirloom_worktree::Error) -> Error {
    use heirloom_worktree::Error as Tree;
    match error {
        Tree::ChangedWhileReading { .. } => Tree::ChangedWhileReading { path: shown.to_owned() },
        other => other,
    }
    .into()
}

fn hash_all(input: &mut impl Read) -> io::Result<BlobId> {
    let mut hasher = BlobHasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn build_error(error: BuildError<Infallible>) -> Error {
    match error {
        BuildError::Invalid(error) => error.into(),
        BuildError::Sink(never) => match never {},
        other => Error::usage(other.to_string()),
    }
}

/// The new stat caches, one per source that has one. Only ever an
/// optimisation: a cache that cannot be written is left out.
struct Caches<'a> {
    gathered: &'a Gathered,
    dirs: Vec<Option<StatCacheWriter>>,
}

impl<'a> Caches<'a> {
    fn new(gathered: &'a Gathered) -> Self {
        if let Some(cache) = gathered.caches().next()
            && let Some(directory) = cache.path.parent()
        {
            remove_cache_leftovers(directory, cache.started_ns.saturating_sub(LEFTOVER_NS));
        }
        let dirs = gathered.dirs.iter().map(|dir| {
            let cache = dir.cache.as_ref()?;
            StatCacheWriter::create(&cache.path, &dir.root, cache.started_ns).ok()
        });
        Self { gathered, dirs: dirs.collect() }
    }

    fn add(&mut self, from: &From, stat: &FileStat, blob: &BlobId) {
        match from {
            From::Dir { index, inner } => {
                if let Some(writer) = &mut self.dirs[*index]
                    && writer.add(inner, stat, blob).is_err()
                {
                    self.dirs[*index] = None;
                }
            }
            From::Single(index) => {
                // At once: many files must not mean many open ones.
                if let Some(writer) = self.single(*index, stat, blob) {
                    let _ = writer.commit();
                }
            }
        }
    }

    fn single(&self, index: usize, stat: &FileStat, blob: &BlobId) -> Option<StatCacheWriter> {
        let SingleWhat::File { source, name, cache: Some(cache), .. } =
            &self.gathered.singles[index].what
        else {
            return None;
        };
        let root = Root::open(source).ok()?;
        let mut writer = StatCacheWriter::create(&cache.path, &root, cache.started_ns).ok()?;
        let name: &LogicalPath = name;
        writer.add(name, stat, blob).ok()?;
        Some(writer)
    }

    fn commit(&mut self) {
        for writer in self.dirs.iter_mut().filter_map(Option::take) {
            let _ = writer.commit();
        }
    }
}
