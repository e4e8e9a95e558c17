//! Answers: the part of a graph around a start.

use std::fmt;
use std::sync::{Arc, OnceLock};

use petgraph::visit::Visitable;

use crate::edge::EdgeTable;
use crate::links::{Links, flood};
use crate::paths;
use crate::{Direction, EdgeRef, Infos, NodeInfo, NodeKey, Order, Path, PathLimits, Paths};

/// No distance, no position.
pub(crate) const FAR: u32 = u32::MAX;

/// A node of an answer, with how far it is from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Which node.
    pub key: NodeKey,
    pub(crate) up: u32,
    pub(crate) down: u32,
}

impl Node {
    /// Levels from the start, whichever way is shorter.
    #[must_use]
    pub fn distance(&self) -> u32 {
        self.up.min(self.down)
    }

    /// Levels upstream of the start, if it lies there (and was looked for).
    #[must_use]
    pub fn upstream(&self) -> Option<u32> {
        (self.up != FAR).then_some(self.up)
    }

    /// Levels downstream of the start, if it lies there (and was looked for).
    #[must_use]
    pub fn downstream(&self) -> Option<u32> {
        (self.down != FAR).then_some(self.down)
    }
}

/// A way between two shown nodes that leads through hidden ones only.
///
/// There is one for each shown node that was reached through hidden nodes only, from the
/// nearest shown node on the way there. So every answer hangs together, but not every pair
/// of nodes with hidden ones between them has a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Indirect {
    /// Where the data came from.
    pub from: NodeKey,
    /// Where it went.
    pub to: NodeKey,
}

/// The part of a graph around a start: nodes with distances, and the edges within.
///
/// Nodes are ordered by distance, then key; the start is the first. Its edges are those
/// met on the way: every edge between two shown nodes, except that nodes at the full
/// [`depth`](crate::Options::depth) were not looked beyond, so that an edge from there
/// back to a nearer node is not in it.
///
/// An answer keeps the edge attributes of the graph it came from alive, but nothing else
/// of it.
#[derive(Clone)]
pub struct Subgraph {
    parts: Parts,
    links: OnceLock<Links>,
    by_key: OnceLock<Vec<u32>>,
}

/// What an answer consists of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) direction: Direction,
    pub(crate) hidden: usize,
    pub(crate) truncated: bool,
    pub(crate) nodes: Vec<Node>,
    /// Edges between the same nodes are neighbours, by time.
    pub(crate) rows: Vec<Row>,
    pub(crate) indirect: Vec<(u32, u32)>,
    pub(crate) table: Arc<EdgeTable>,
}

/// An edge by positions of its nodes and number in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) edge: u32,
}

impl Subgraph {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, links: OnceLock::new(), by_key: OnceLock::new() }
    }

    /// A start without edges.
    pub(crate) fn alone(start: NodeKey, direction: Direction) -> Self {
        let here = |looked: bool| if looked { 0 } else { FAR };
        Self::new(Parts {
            direction,
            hidden: 0,
            truncated: false,
            nodes: vec![Node {
                key: start,
                up: here(direction.is_up()),
                down: here(direction.is_down()),
            }],
            rows: Vec::new(),
            indirect: Vec::new(),
            table: Arc::default(),
        })
    }

    /// The node that was asked about.
    #[must_use]
    pub fn start(&self) -> NodeKey {
        self.parts.nodes[0].key
    }

    /// Which way was looked.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.parts.direction
    }

    /// Whether the limit left nodes out.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.parts.truncated
    }

    /// How many nodes the type filters hid (no farther than the answer reaches).
    #[must_use]
    pub fn hidden(&self) -> usize {
        self.parts.hidden
    }

    /// The nodes, by distance, then key; the start is the first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.parts.nodes
    }

    /// How many nodes there are; at least one.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the start is always there")]
    pub fn len(&self) -> usize {
        self.parts.nodes.len()
    }

    /// The node of this key, if it is part of the answer.
    #[must_use]
    pub fn node(&self, key: NodeKey) -> Option<&Node> {
        self.position(key).map(|at| &self.parts.nodes[at as usize])
    }

    /// Whether the node is part of the answer.
    #[must_use]
    pub fn contains(&self, key: NodeKey) -> bool {
        self.position(key).is_some()
    }

    /// How many edges there are.
    #[must_use]
    pub fn edge_count(&self) -> usize {
        self.parts.rows.len()
    }

    /// The edges, in one defined order; those between the same two nodes follow each
    /// other, by time.
    pub fn edges(&self) -> impl Iterator<Item = EdgeRef<'_>> {
        self.parts.rows.iter().map(|row| self.edge(row))
    }

    /// Links that stand for hidden nodes; none without type filters.
    pub fn indirect(&self) -> impl Iterator<Item = Indirect> {
        self.parts
            .indirect
            .iter()
            .map(|&(from, to)| Indirect { from: self.key(from), to: self.key(to) })
    }

    /// Nodes of the answer that no other leads to.
    #[must_use]
    pub fn roots(&self) -> Vec<NodeKey> {
        self.links().roots().map(|at| self.key(at)).collect()
    }

    /// Nodes of the answer that lead to no other.
    #[must_use]
    pub fn leaves(&self) -> Vec<NodeKey> {
        self.links().leaves().map(|at| self.key(at)).collect()
    }

    /// The nodes of the answer, causes before effects, cycles condensed.
    #[must_use]
    pub fn topological_order(&self) -> Order {
        Order::of(self.links(), |at| self.key(at))
    }

    /// A shortest path within the answer from `from` down to `to`, over indirect links
    /// too.
    #[must_use]
    pub fn shortest_path(&self, from: NodeKey, to: NodeKey) -> Option<Path> {
        let path = paths::shortest(self.links(), self.position(from)?, self.position(to)?)?;
        Some(self.path(&path))
    }

    /// Simple paths within the answer from `from` down to `to`, shortest first, within
    /// limits.
    #[must_use]
    pub fn paths(&self, from: NodeKey, to: NodeKey, limits: &PathLimits) -> Paths {
        match (self.position(from), self.position(to)) {
            (Some(from), Some(to)) => {
                paths::simple(self.links(), from, to, limits, |path| self.path(path))
            }
            _ => Paths::default(),
        }
    }

    /// The part of the answer on some way from the start down, or up, to the nodes that
    /// `wanted` picks. Just the start if it picks none.
    #[must_use]
    pub fn leading_to(&self, mut wanted: impl FnMut(NodeKey) -> bool) -> Self {
        let targets: Vec<u32> = (0..)
            .zip(&self.parts.nodes)
            .filter(|(_, node)| wanted(node.key))
            .map(|(at, _)| at)
            .collect();
        self.narrowed_to(&targets)
    }

    /// The versions in the answer, other than the start, that `wanted` picks by their
    /// attributes, and all that lies between them and the start. Versions of which
    /// nothing is known are not asked about.
    ///
    /// On a downstream answer this is "what aliased `prod` descends from this":
    /// `impact(&infos, |_, info| info.has_alias("prod"))`.
    #[must_use]
    pub fn impact(
        &self,
        infos: &Infos,
        mut wanted: impl FnMut(NodeKey, &NodeInfo) -> bool,
    ) -> Impact {
        let mut targets = Vec::new();
        for (at, node) in (0..).zip(&self.parts.nodes).skip(1) {
            if node.key.is_version()
                && infos.get(node.key).is_some_and(|info| wanted(node.key, info))
            {
                targets.push(at);
            }
        }
        let hits = targets.iter().map(|&at: &u32| self.parts.nodes[at as usize]).collect();
        Impact { hits, between: self.narrowed_to(&targets) }
    }

    fn narrowed_to(&self, targets: &[u32]) -> Self {
        let links = self.links();
        let nodes = &self.parts.nodes;
        let mut kept = links.visit_map();
        let downs = || targets.iter().copied().filter(|&at| nodes[at as usize].down != FAR);
        let ups = || targets.iter().copied().filter(|&at| nodes[at as usize].up != FAR);
        // Back from the targets, each way among the nodes that the start reaches that way.
        let mut marked = links.visit_map();
        flood(links.up(), downs(), &mut marked, |_, before| nodes[before as usize].down != FAR);
        kept.union_with(&marked);
        let mut marked = links.visit_map();
        flood(links.down(), ups(), &mut marked, |_, before| nodes[before as usize].up != FAR);
        kept.union_with(&marked);
        kept.insert(0);

        let mut position = vec![FAR; nodes.len()];
        let mut parts = Parts {
            nodes: Vec::new(),
            rows: Vec::new(),
            indirect: Vec::new(),
            ..self.parts_without_lists()
        };
        for (at, node) in nodes.iter().enumerate() {
            if kept.contains(at) {
                position[at] = u32::try_from(parts.nodes.len()).expect("no more nodes than before");
                parts.nodes.push(*node);
            }
        }
        let moved = |from: u32, to: u32| {
            let (from, to) = (position[from as usize], position[to as usize]);
            (from != FAR && to != FAR).then_some((from, to))
        };
        parts.rows.extend(
            self.parts.rows.iter().filter_map(|row| {
                moved(row.from, row.to).map(|(from, to)| Row { from, to, ..*row })
            }),
        );
        parts.indirect.extend(self.parts.indirect.iter().filter_map(|&(from, to)| moved(from, to)));
        Self::new(parts)
    }

    fn parts_without_lists(&self) -> Parts {
        Parts {
            direction: self.parts.direction,
            hidden: self.parts.hidden,
            truncated: self.parts.truncated,
            nodes: Vec::new(),
            rows: Vec::new(),
            indirect: Vec::new(),
            table: self.parts.table.clone(),
        }
    }

    /// Who is next to whom. The weight of a link is its first row, or the number of
    /// rows plus the number of an indirect link.
    pub(crate) fn links(&self) -> &Links {
        self.links.get_or_init(|| {
            let rows = (0..).zip(&self.parts.rows).map(|(at, row)| (row.from, row.to, at));
            let first_indirect =
                u32::try_from(self.parts.rows.len()).expect("edges are counted in 32 bits");
            let indirect = (first_indirect..)
                .zip(&self.parts.indirect)
                .map(|(at, &(from, to))| (from, to, at));
            Links::from_unsorted(self.parts.nodes.len(), rows.chain(indirect).collect())
        })
    }

    /// The edges that a link stands for; none if it is indirect.
    pub(crate) fn link_edges(&self, weight: u32) -> impl Iterator<Item = EdgeRef<'_>> {
        let rows = self.parts.rows.get(weight as usize..).unwrap_or_default();
        let same = move |row: &&Row| (row.from, row.to) == (rows[0].from, rows[0].to);
        rows.iter().take_while(same).map(|row| self.edge(row))
    }

    /// Whether the node at this position was found in this direction.
    pub(crate) fn was_found(&self, at: u32, upward: bool) -> bool {
        let node = &self.parts.nodes[at as usize];
        (if upward { node.up } else { node.down }) != FAR
    }

    pub(crate) fn key(&self, at: u32) -> NodeKey {
        self.parts.nodes[at as usize].key
    }

    fn edge(&self, row: &Row) -> EdgeRef<'_> {
        self.parts.table.edge(row.edge, self.key(row.from), self.key(row.to))
    }

    fn position(&self, key: NodeKey) -> Option<u32> {
        let by_key = self.by_key.get_or_init(|| {
            let mut order: Vec<u32> = (0..).take(self.parts.nodes.len()).collect();
            order.sort_unstable_by_key(|&at| self.key(at));
            order
        });
        by_key.binary_search_by_key(&key, |&at| self.key(at)).ok().map(|rank| by_key[rank])
    }

    fn path(&self, positions: &[u32]) -> Path {
        Path::new(positions.iter().map(|&at| self.key(at)).collect())
    }
}

impl PartialEq for Subgraph {
    /// The same answer, whatever graph it came from.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&self.parts, &other.parts);
        (a.direction, a.hidden, a.truncated) == (b.direction, b.hidden, b.truncated)
            && a.nodes == b.nodes
            && a.indirect == b.indirect
            && self.edges().eq(other.edges())
    }
}

impl Eq for Subgraph {}

impl fmt::Debug for Subgraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subgraph")
            .field("direction", &self.parts.direction)
            .field("hidden", &self.parts.hidden)
            .field("truncated", &self.parts.truncated)
            .field("nodes", &self.parts.nodes)
            .field("edges", &self.edges().collect::<Vec<_>>())
            .field("indirect", &self.indirect().collect::<Vec<_>>())
            .finish()
    }
}

/// What a version has an effect on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impact {
    /// The versions picked, nearest first.
    pub hits: Vec<Node>,
    /// They, the start, and everything on a way between.
    pub between: Subgraph,
}
