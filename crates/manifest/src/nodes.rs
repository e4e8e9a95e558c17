//! Where nodes come from and go to. This crate reads and writes none itself:
//! it says which node it needs, or has made, and the caller does the rest
//! (`docs/adr/0001-node-source.md` tells why as a trait).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, LazyLock};

use crate::digest::{ManifestId, NodeId};
use crate::node::NodeWriter;

/// Supplies nodes by id.
///
/// The bytes need not be trusted: every node is checked against its id and
/// against what its parent says before anything of it is used. The
/// [empty tree](empty_tree) is never asked for.
pub trait NodeSource {
    /// Bytes of a node, owned or shared.
    type Bytes: AsRef<[u8]>;
    /// Why a node could not be supplied; "there is no such node" included.
    type Error: std::error::Error + 'static;

    /// The bytes of the node `id`.
    ///
    /// # Errors
    /// Whatever kept the source from supplying them. The reader passes it on as
    /// [`ReadError::Source`](crate::ReadError::Source) and stops.
    fn node(&mut self, id: &NodeId) -> Result<Self::Bytes, Self::Error>;

    /// Says that these nodes will probably be asked for soon, in this order. A
    /// remote source may fetch them in one request and keep them until asked;
    /// doing nothing is always right. No more are named at a time than one node
    /// may have children, and none may ever be asked for.
    fn prefetch(&mut self, ids: &[NodeId]) {
        let _ = ids;
    }
}

impl<S: NodeSource + ?Sized> NodeSource for &mut S {
    type Bytes = S::Bytes;
    type Error = S::Error;

    fn node(&mut self, id: &NodeId) -> Result<Self::Bytes, Self::Error> {
        (**self).node(id)
    }

    fn prefetch(&mut self, ids: &[NodeId]) {
        (**self).prefetch(ids);
    }
}

/// Takes finished nodes, children before their parents.
pub trait NodeSink {
    /// Why a node could not be taken.
    type Error: std::error::Error + 'static;

    /// Takes one node. `id` is the hash of `bytes`; `level` is 0 for a leaf.
    /// The same node may come more than once.
    ///
    /// # Errors
    /// Whatever kept the sink from taking it; building stops.
    fn put_node(&mut self, id: NodeId, bytes: Vec<u8>, level: u8) -> Result<(), Self::Error>;
}

impl<K: NodeSink + ?Sized> NodeSink for &mut K {
    type Error = K::Error;

    fn put_node(&mut self, id: NodeId, bytes: Vec<u8>, level: u8) -> Result<(), Self::Error> {
        (**self).put_node(id, bytes, level)
    }
}

/// A sink that forgets: for when only the root is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Discard;

impl NodeSink for Discard {
    type Error = Infallible;

    fn put_node(&mut self, _: NodeId, _: Vec<u8>, _: u8) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Nodes in memory: a sink, and a source of what it took. Clones share the
/// nodes' bytes.
#[derive(Debug, Clone, Default)]
pub struct MemoryNodes {
    nodes: HashMap<NodeId, Arc<[u8]>>,
}

/// A [`MemoryNodes`] was asked for a node that it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no node {0}")]
pub struct NoSuchNode(pub NodeId);

impl MemoryNodes {
    /// Without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of distinct nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The bytes of a node, if present.
    pub fn get(&self, id: &NodeId) -> Option<&[u8]> {
        self.nodes.get(id).map(|bytes| &**bytes)
    }

    /// Keeps bytes under an id without checking either: what a hostile store
    /// could do.
    pub fn insert(&mut self, id: NodeId, bytes: Vec<u8>) {
        self.nodes.insert(id, bytes.into());
    }

    /// All nodes, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, &[u8])> {
        self.nodes.iter().map(|(id, bytes)| (id, &**bytes))
    }
}

impl NodeSource for MemoryNodes {
    type Bytes = Arc<[u8]>;
    type Error = NoSuchNode;

    fn node(&mut self, id: &NodeId) -> Result<Arc<[u8]>, NoSuchNode> {
        self.nodes.get(id).cloned().ok_or(NoSuchNode(*id))
    }
}

impl NodeSink for MemoryNodes {
    type Error = Infallible;

    fn put_node(&mut self, id: NodeId, bytes: Vec<u8>, _level: u8) -> Result<(), Infallible> {
        self.insert(id, bytes);
        Ok(())
    }
}

/// What a whole tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeSummary {
    /// The root node.
    pub root: NodeId,
    /// The version digest: names the manifest to users.
    pub manifest: ManifestId,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the entries' [`size`](crate::Entry::size), in bytes.
    pub size: u64,
}

impl TreeSummary {
    pub(crate) fn new(root: NodeId, entries: u64, size: u64) -> Self {
        Self { root, manifest: ManifestId::of_root(&root), entries, size }
    }
}

/// Root of the tree without entries. Everyone knows it: readers never ask a
/// source for it. Builders do emit it, for a tree is stored whole.
pub fn empty_tree() -> NodeId {
    static EMPTY: LazyLock<NodeId> = LazyLock::new(|| NodeId::of(&NodeWriter::new(0).finish()));
    *EMPTY
}
