//! Who is next to whom, both ways: the petgraph core under graphs and answers.

use std::iter::Copied;
use std::ops::Range;
use std::slice::Iter;

use petgraph::csr::Csr;
use petgraph::visit::{
    GraphBase, IntoNeighbors, IntoNeighborsDirected, IntoNodeIdentifiers, VisitMap, Visitable,
};
use petgraph::{Directed, Direction};

/// Compressed rows of one direction; the weight of a link says which edges it
/// stands for.
pub(crate) type Rows = Csr<(), u32, Directed, u32>;

/// A set of nodes, one bit each.
pub(crate) type Bits = <Rows as Visitable>::Map;

/// Links between nodes `0..n`, at most one per ordered pair.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    down: Rows,
    up: Rows,
}

impl Links {
    /// From `(from, to, weight)` sorted by `(from, to)` and the same links as
    /// `(to, from, weight)` sorted by `(to, from)`, each without repeats.
    pub(crate) fn new(nodes: usize, down: &[(u32, u32, u32)], up: &[(u32, u32, u32)]) -> Self {
        Self { down: rows(nodes, down), up: rows(nodes, up) }
    }

    /// From `(from, to, weight)` in any order; of repeats the lowest weight stays.
    pub(crate) fn from_unsorted(nodes: usize, mut down: Vec<(u32, u32, u32)>) -> Self {
        down.sort_unstable();
        down.dedup_by_key(|link| (link.0, link.1));
        let mut up: Vec<_> = down.iter().map(|&(from, to, weight)| (to, from, weight)).collect();
        up.sort_unstable();
        Self::new(nodes, &down, &up)
    }

    /// Rows from a node to where its data went.
    pub(crate) fn down(&self) -> &Rows {
        &self.down
    }

    /// Rows from a node to where its data came from.
    pub(crate) fn up(&self) -> &Rows {
        &self.up
    }

    pub(crate) fn node_count(&self) -> usize {
        self.down.node_count()
    }

    /// Nodes that nothing leads to.
    pub(crate) fn roots(&self) -> impl Iterator<Item = u32> {
        self.indices().filter(|&node| self.up.neighbors_slice(node).is_empty())
    }

    /// Nodes that lead nowhere.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = u32> {
        self.indices().filter(|&node| self.down.neighbors_slice(node).is_empty())
    }

    pub(crate) fn indices(&self) -> Range<u32> {
        0..u32::try_from(self.node_count()).expect("builders refuse more nodes than u32 counts")
    }

    fn rows(&self, direction: Direction) -> &Rows {
        match direction {
            Direction::Outgoing => &self.down,
            Direction::Incoming => &self.up,
        }
    }
}

/// Neighbours of `node` with the weight of each link.
pub(crate) fn neighbours(rows: &Rows, node: u32) -> impl Iterator<Item = (u32, u32)> {
    let (ends, weights) = (rows.neighbors_slice(node), rows.edges_slice(node));
    ends.iter().copied().zip(weights.iter().copied())
}

fn rows(nodes: usize, links: &[(u32, u32, u32)]) -> Rows {
    let mut rows = Rows::from_sorted_edges(links).expect("links are sorted and without repeats");
    // Nodes without links are unknown to the rows so far.
    for _ in rows.node_count()..nodes {
        rows.add_node(());
    }
    rows
}

impl GraphBase for Links {
    type NodeId = u32;
    type EdgeId = usize;
}

impl<'a> IntoNeighbors for &'a Links {
    type Neighbors = Copied<Iter<'a, u32>>;

    fn neighbors(self, node: u32) -> Self::Neighbors {
        self.down.neighbors_slice(node).iter().copied()
    }
}

impl<'a> IntoNeighborsDirected for &'a Links {
    type NeighborsDirected = Copied<Iter<'a, u32>>;

    fn neighbors_directed(self, node: u32, direction: Direction) -> Self::NeighborsDirected {
        self.rows(direction).neighbors_slice(node).iter().copied()
    }
}

impl IntoNodeIdentifiers for &Links {
    type NodeIdentifiers = Range<u32>;

    fn node_identifiers(self) -> Self::NodeIdentifiers {
        self.indices()
    }
}

impl Visitable for Links {
    type Map = Bits;

    fn visit_map(&self) -> Bits {
        self.down.visit_map()
    }

    fn reset_map(&self, map: &mut Bits) {
        self.down.reset_map(map);
    }
}

/// Marks everything reachable from `from` along `rows`, stepping only onto nodes
/// that `may` allows.
pub(crate) fn flood(
    rows: &Rows,
    from: impl IntoIterator<Item = u32>,
    marked: &mut Bits,
    may: impl Fn(u32, u32) -> bool,
) {
    let mut stack: Vec<u32> = Vec::new();
    for node in from {
        if marked.visit(node) {
            stack.push(node);
        }
    }
    while let Some(node) = stack.pop() {
        for &next in rows.neighbors_slice(node) {
            if may(node, next) && marked.visit(next) {
                stack.push(next);
            }
        }
    }
}
