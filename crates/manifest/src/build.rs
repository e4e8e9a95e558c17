//! Building a tree from sorted entries.

use crate::ancestors::Ancestors;
use crate::digest::NodeId;
use crate::entry::Entry;
use crate::error::{BuildError, ManifestError};
use crate::node::{Child, NodeWriter};
use crate::nodes::{NodeSink, TreeSummary};
use crate::params::{FORMAT, Params};
use crate::path::LogicalPath;

/// Builds a tree from entries in ascending path order, handing each node to a
/// sink as soon as it is finished.
///
/// Memory is one open node per level, whatever the number of entries. The same
/// entries always give the same tree; to add to an existing tree, see
/// [`Patcher`](crate::Patcher).
///
/// After an error the builder must be dropped: nodes already handed over are
/// garbage.
///
/// ```
/// use heirloom_manifest::{BlobId, Entry, MemoryNodes, TreeBuilder};
/// let mut nodes = MemoryNodes::new();
/// let mut builder = TreeBuilder::new(&mut nodes);
/// let blob = BlobId::of(b"hello");
/// builder.push(&"a.txt".parse()?, &Entry::File { blob, size: 5 })?;
/// builder.push(&"logs".parse()?, &Entry::EmptyDirectory)?;
/// let tree = builder.finish()?;
/// assert_eq!((tree.entries, tree.size), (2, 5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TreeBuilder<K> {
    sink: K,
    core: Builder,
}

impl<K: NodeSink> TreeBuilder<K> {
    /// A builder without entries that hands nodes to `sink`; pass `&mut sink` to
    /// keep it.
    pub fn new(sink: K) -> Self {
        Self { sink, core: Builder::new(FORMAT) }
    }

    #[cfg(test)]
    pub(crate) fn with_params(sink: K, params: Params) -> Self {
        Self { sink, core: Builder::new(params) }
    }

    /// Appends an entry, whose path must come after all before it.
    ///
    /// # Errors
    /// [`ManifestError::Duplicate`], [`ManifestError::OutOfOrder`],
    /// [`ManifestError::FileAsDirectory`], [`ManifestError::InvalidEntry`],
    /// [`ManifestError::TooLarge`], or what the sink says.
    pub fn push(&mut self, path: &LogicalPath, entry: &Entry) -> Result<(), BuildError<K::Error>> {
        self.core.push(path, entry, &mut self.sink)
    }

    /// Ends the tree and hands over its last nodes, the root last. Without
    /// entries that is the [empty tree](crate::empty_tree).
    ///
    /// # Errors
    /// What the sink says, or [`ManifestError::TooLarge`].
    pub fn finish(mut self) -> Result<TreeSummary, BuildError<K::Error>> {
        self.core.finish(&mut self.sink)
    }
}

/// The builder without its sink, able to adopt nodes of an existing tree.
pub(crate) struct Builder {
    params: Params,
    levels: Vec<Level>,
    ancestors: Ancestors,
}

struct Level {
    writer: NodeWriter,
    /// Whether a node of this level was finished.
    emitted: bool,
}

impl Level {
    fn new(level: u8) -> Self {
        Self { writer: NodeWriter::new(level), emitted: false }
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("levels", &self.levels.len()).finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(params: Params) -> Self {
        Self { params, levels: vec![Level::new(0)], ancestors: Ancestors::default() }
    }

    pub(crate) fn push<K: NodeSink>(
        &mut self,
        path: &LogicalPath,
        entry: &Entry,
        sink: &mut K,
    ) -> Result<(), BuildError<K::Error>> {
        let shared = self.next_path(path)?;
        self.levels[0].writer.entry(shared, path, entry)?;
        self.end_if_due(0, sink)
    }

    /// Takes a whole node of another tree in place of the entries below it.
    ///
    /// Gives the tree that these entries would give only if
    /// [`Builder::is_aligned`] and if the node ended by a rule of its own (it is
    /// not the last of its level) or nothing comes after it. That no entry above
    /// conflicts with one in the node is the caller's to know.
    pub(crate) fn adopt<K: NodeSink>(
        &mut self,
        level: u8,
        child: &Child,
        sink: &mut K,
    ) -> Result<(), BuildError<K::Error>> {
        let shared = self.next_path(&child.last_path)?;
        self.levels[0].writer.pass(shared, &child.last_path);
        self.append_child(level + 1, child, sink)
    }

    /// Whether every level up to `level` is at the start of a node.
    pub(crate) fn is_aligned(&self, level: u8) -> bool {
        self.levels.iter().take(usize::from(level) + 1).all(|level| level.writer.count == 0)
    }

    /// Whether a node of `level` has been finished or adopted.
    pub(crate) fn has_nodes(&self, level: u8) -> bool {
        // The topmost level always has an open record.
        self.levels.iter().skip(usize::from(level) + 1).any(|level| level.writer.count > 0)
    }

    /// The last path pushed or adopted; empty before the first.
    pub(crate) fn last_path(&self) -> &[u8] {
        self.levels[0].writer.last_path()
    }

    pub(crate) fn finish<K: NodeSink>(
        &mut self,
        sink: &mut K,
    ) -> Result<TreeSummary, BuildError<K::Error>> {
        if self.levels.len() == 1 && self.levels[0].writer.count == 0 {
            let child = self.emit(0, sink)?;
            return Ok(TreeSummary::new(child, 0, 0));
        }
        let mut level = 0;
        loop {
            let top = usize::from(level) + 1 == self.levels.len();
            let open = &self.levels[usize::from(level)];
            if top && level > 0 && !open.emitted && open.writer.count == 1 {
                // The level below has one node only: that is the root. Its
                // record is the whole of this level.
                return Ok(open.writer.only_child());
            }
            if open.writer.count > 0 {
                self.end_node(level, sink)?;
            }
            level += 1;
        }
    }

    fn next_path(&mut self, path: &LogicalPath) -> Result<usize, ManifestError> {
        let shared = self.levels[0].writer.check_next(path)?;
        match self.ancestors.next(path.as_bytes(), shared) {
            None => Ok(shared),
            Some(length) => Err(ManifestError::FileAsDirectory {
                file: LogicalPath::from_checked(&path.as_str()[..length]),
                below: path.clone(),
            }),
        }
    }

    fn append_child<K: NodeSink>(
        &mut self,
        level: u8,
        child: &Child,
        sink: &mut K,
    ) -> Result<(), BuildError<K::Error>> {
        while self.levels.len() <= usize::from(level) {
            let next = self.levels.len() as u8;
            self.levels.push(Level::new(next));
        }
        let writer = &mut self.levels[usize::from(level)].writer;
        let shared = writer.check_next(&child.last_path)?;
        writer.child(shared, child)?;
        self.end_if_due(level, sink)
    }

    fn end_if_due<K: NodeSink>(
        &mut self,
        level: u8,
        sink: &mut K,
    ) -> Result<(), BuildError<K::Error>> {
        let writer = &self.levels[usize::from(level)].writer;
        if self.params.at(level).ends(writer.count, writer.weight, writer.hash_input()) {
            self.end_node(level, sink)?;
        }
        Ok(())
    }

    fn end_node<K: NodeSink>(
        &mut self,
        level: u8,
        sink: &mut K,
    ) -> Result<(), BuildError<K::Error>> {
        let writer = &mut self.levels[usize::from(level)].writer;
        let (entries, size) = writer.sums();
        let last_path = writer.last();
        let id = self.emit(level, sink)?;
        self.append_child(level + 1, &Child { last_path, id, entries, size }, sink)
    }

    fn emit<K: NodeSink>(
        &mut self,
        level: u8,
        sink: &mut K,
    ) -> Result<NodeId, BuildError<K::Error>> {
        let open = &mut self.levels[usize::from(level)];
        let bytes = open.writer.finish();
        open.emitted = true;
        let id = NodeId::of(&bytes);
        sink.put_node(id, bytes, level).map_err(BuildError::Sink)?;
        Ok(id)
    }
}
