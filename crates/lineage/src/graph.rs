//! The whole graph and how it is built.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::edge::{EdgeTable, Sparse};
use crate::links::{Bits, Links, neighbours};
use crate::paths;
use crate::query;
use crate::{
    Edge, EdgeRef, Error, Impact, Infos, NodeInfo, NodeKey, Options, Order, Path, PathLimits,
    Paths, Subgraph,
};

/// Distinct edges that one graph holds: twice as many nodes must still fit in 32
/// bits.
const MAX_EDGES: usize = (u32::MAX / 2) as usize;

/// Collects edges and attributes in any order; [`build`](Self::build) makes the
/// graph.
#[derive(Clone, Debug, Default)]
pub struct GraphBuilder {
    edges: Vec<RawEdge>,
    asked: Interner<Arc<str>>,
    paths: Interner<Arc<[Arc<str>]>>,
    infos: Infos,
}

impl GraphBuilder {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one edge. An edge added twice counts once.
    ///
    /// # Errors
    ///
    /// [`Error::IdOutOfRange`] if an id has more than 63 bits; nothing is added.
    pub fn add_edge(&mut self, edge: Edge) -> Result<(), Error> {
        let raw = RawEdge {
            from: edge.from().pack()?,
            to: edge.to().pack()?,
            time: edge.time,
            asked: edge.asked.map_or(0, |name| self.asked.number(name)),
            paths: edge.paths.map_or(0, |paths| self.paths.number(paths)),
        };
        self.edges.push(raw);
        Ok(())
    }

    /// Adds edges in bulk, sorted or not; sorted ones are faster.
    ///
    /// # Errors
    ///
    /// As [`add_edge`](Self::add_edge); the edges before the bad one stay added.
    pub fn add_edges(&mut self, edges: impl IntoIterator<Item = Edge>) -> Result<(), Error> {
        let edges = edges.into_iter();
        self.edges.reserve(edges.size_hint().0);
        for edge in edges {
            self.add_edge(edge)?;
        }
        Ok(())
    }

    /// Says what a node is; the last word counts.
    pub fn add_info(&mut self, key: NodeKey, info: NodeInfo) {
        self.infos.insert(key, info);
    }

    /// Says what nodes are, in bulk.
    pub fn add_infos(&mut self, infos: impl IntoIterator<Item = (NodeKey, NodeInfo)>) {
        self.infos.extend(infos);
    }

    /// The graph of everything added. It does not depend on the order of adding.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyEdges`] beyond 2,147,483,647 distinct edges.
    pub fn build(mut self) -> Result<Graph, Error> {
        let asked = self.asked.into_sorted();
        let paths = self.paths.into_sorted();
        for edge in &mut self.edges {
            edge.asked = asked.renumbered[edge.asked as usize];
            edge.paths = paths.renumbered[edge.paths as usize];
        }
        self.edges.sort_unstable();
        self.edges.dedup();
        if self.edges.len() > MAX_EDGES {
            return Err(Error::TooManyEdges { count: self.edges.len(), max: MAX_EDGES });
        }
        let table = EdgeTable {
            times: self.edges.iter().map(|edge| edge.time).collect(),
            asked: sparse(&self.edges, |edge| edge.asked, asked.values),
            paths: sparse(&self.edges, |edge| edge.paths, paths.values),
        };
        let (pairs, repeats) = pairs_of(&self.edges);
        drop(self.edges);
        let (keys, links) = link(pairs);
        Ok(Graph { keys, links, repeats, table: Arc::new(table), infos: self.infos })
    }
}

/// A graph of runs and versions, ready for questions.
///
/// It is immutable but for its attributes, compact (about 40 bytes an edge) and does not
/// depend on the order in which its edges were added. Questions about a node without
/// edges answer with that node alone: whether it exists is not known here.
#[derive(Debug)]
pub struct Graph {
    /// Packed keys, ascending: a node's index is its rank, so indices sort like keys.
    keys: Vec<u64>,
    /// The weight of a link is the number of its first edge.
    links: Links,
    /// Edges that have the same ends as the edge before. (A bit each, so that looking it
    /// up stays in the cache.)
    repeats: Bits,
    table: Arc<EdgeTable>,
    infos: Infos,
}

impl Graph {
    /// A graph of these edges, with no attributes.
    ///
    /// # Errors
    ///
    /// As [`GraphBuilder::add_edge`] and [`GraphBuilder::build`].
    pub fn from_edges(edges: impl IntoIterator<Item = Edge>) -> Result<Self, Error> {
        let mut builder = GraphBuilder::new();
        builder.add_edges(edges)?;
        builder.build()
    }

    /// How many nodes have an edge.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.keys.len()
    }

    /// How many distinct edges there are.
    #[must_use]
    pub fn edge_count(&self) -> usize {
        self.table.times.len()
    }

    /// Whether the node has an edge.
    #[must_use]
    pub fn contains(&self, key: NodeKey) -> bool {
        self.index(key).is_some()
    }

    /// Every node that has an edge, ascending.
    pub fn keys(&self) -> impl Iterator<Item = NodeKey> {
        self.keys.iter().map(|&packed| NodeKey::unpack(packed))
    }

    /// Every edge, by `(from, to, time, name, paths)`.
    pub fn edges(&self) -> impl Iterator<Item = EdgeRef<'_>> {
        self.links.indices().flat_map(move |from| {
            neighbours(self.links.down(), from).flat_map(move |(to, edge)| {
                let (from, to) = (self.key(from), self.key(to));
                self.parallel(edge).map(move |edge| self.table.edge(edge, from, to))
            })
        })
    }

    /// What is known about the nodes.
    #[must_use]
    pub fn infos(&self) -> &Infos {
        &self.infos
    }

    /// What is known about the nodes, to add to.
    pub fn infos_mut(&mut self) -> &mut Infos {
        &mut self.infos
    }

    /// Everything upstream or downstream of `start`, as the options say.
    ///
    /// Takes time proportional to what is reached, not to the whole graph (but for one bit
    /// and two numbers per node).
    #[must_use]
    pub fn query(&self, start: NodeKey, options: &Options) -> Subgraph {
        query::run(self, start, options, &self.infos)
    }

    /// All that `start` came from.
    #[must_use]
    pub fn upstream(&self, start: NodeKey) -> Subgraph {
        self.query(start, &Options::up())
    }

    /// All that came from `start`.
    #[must_use]
    pub fn downstream(&self, start: NodeKey) -> Subgraph {
        self.query(start, &Options::down())
    }

    /// The versions downstream of `start` that `wanted` picks, and all that lies
    /// between: "what aliased `prod` descends from this". See [`Subgraph::impact`].
    #[must_use]
    pub fn impact(&self, start: NodeKey, wanted: impl FnMut(NodeKey, &NodeInfo) -> bool) -> Impact {
        self.downstream(start).impact(&self.infos, wanted)
    }

    /// Every node and edge on some way from `from` down to `to`, however many ways
    /// there are. Only `from` if there is none.
    #[must_use]
    pub fn between(&self, from: NodeKey, to: NodeKey) -> Subgraph {
        self.downstream(from).leading_to(|key| key == to)
    }

    /// A shortest path from `from` down to `to`; among equals the one whose keys come
    /// first. `None` if `to` does not descend from `from`.
    #[must_use]
    pub fn shortest_path(&self, from: NodeKey, to: NodeKey) -> Option<Path> {
        let path = paths::shortest(&self.links, self.index(from)?, self.index(to)?)?;
        Some(self.path(&path))
    }

    /// Simple paths (no node twice) from `from` down to `to`, shortest first, within
    /// limits: there may be exponentially many.
    #[must_use]
    pub fn paths(&self, from: NodeKey, to: NodeKey, limits: &PathLimits) -> Paths {
        match (self.index(from), self.index(to)) {
            (Some(from), Some(to)) => {
                paths::simple(&self.links, from, to, limits, |path| self.path(path))
            }
            _ => Paths::default(),
        }
    }

    /// Every node, causes before effects, cycles condensed.
    #[must_use]
    pub fn topological_order(&self) -> Order {
        Order::of(&self.links, |index| self.key(index))
    }

    /// Nodes that nothing leads to: raw data, runs that used nothing.
    #[must_use]
    pub fn roots(&self) -> Vec<NodeKey> {
        self.links.roots().map(|index| self.key(index)).collect()
    }

    /// Nodes that lead nowhere: versions nobody used, runs that produced nothing.
    #[must_use]
    pub fn leaves(&self) -> Vec<NodeKey> {
        self.links.leaves().map(|index| self.key(index)).collect()
    }

    pub(crate) fn index(&self, key: NodeKey) -> Option<u32> {
        let rank = self.keys.binary_search(&key.pack().ok()?).ok()?;
        Some(u32::try_from(rank).expect("the builder refuses more nodes"))
    }

    pub(crate) fn key(&self, index: u32) -> NodeKey {
        NodeKey::unpack(self.keys[index as usize])
    }

    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    pub(crate) fn table(&self) -> &Arc<EdgeTable> {
        &self.table
    }

    /// The numbers of the edges with the same ends as this, the first of them, by time.
    pub(crate) fn parallel(&self, first: u32) -> impl Iterator<Item = u32> {
        let more = move |&edge: &u32| edge == first || self.repeats.contains(edge as usize);
        (first..).take_while(more)
    }

    fn path(&self, indices: &[u32]) -> Path {
        Path::new(indices.iter().map(|&index| self.key(index)).collect())
    }
}

/// An edge before indices are known; sorts by ends, then time, name and paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RawEdge {
    from: u64,
    to: u64,
    time: i64,
    /// 0: none; else one more than the number of the value.
    asked: u32,
    paths: u32,
}

/// Numbers equal values alike, from 1.
#[derive(Clone, Debug)]
struct Interner<T> {
    numbers: HashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new() }
    }
}

impl<T: Eq + Hash + Ord> Interner<T> {
    fn number(&mut self, value: T) -> u32 {
        let next = u32::try_from(self.numbers.len() + 1)
            .expect("fewer than 2^32 distinct names fit in memory");
        *self.numbers.entry(value).or_insert(next)
    }

    /// Numbers again by order of value, so that nothing depends on who came first.
    fn into_sorted(self) -> Sorted<T> {
        let mut values: Vec<(T, u32)> = self.numbers.into_iter().collect();
        values.sort_unstable();
        let mut renumbered = vec![0; values.len() + 1];
        for (new, &(_, old)) in (1..).zip(&values) {
            renumbered[old as usize] = new;
        }
        Sorted { values: values.into_iter().map(|(value, _)| value).collect(), renumbered }
    }
}

struct Sorted<T> {
    values: Vec<T>,
    /// New number by old number; 0 stays 0.
    renumbered: Vec<u32>,
}

fn sparse<T>(edges: &[RawEdge], number: impl Fn(&RawEdge) -> u32, values: Vec<T>) -> Sparse<T> {
    let at = (0..)
        .zip(edges)
        .filter(|(_, edge)| number(edge) != 0)
        .map(|(at, edge)| (at, number(edge) - 1));
    Sparse::new(at.collect(), values)
}

/// Distinct `(from, to)` of sorted edges with the first edge of each, and which edges
/// have the same ends as the one before.
fn pairs_of(edges: &[RawEdge]) -> (Vec<Pair>, Bits) {
    let mut pairs: Vec<Pair> = Vec::with_capacity(edges.len());
    let mut repeats = Bits::with_capacity(edges.len());
    for (edge, raw) in (0_u32..).zip(edges) {
        match pairs.last() {
            Some(last) if (last.from, last.to) == (raw.from, raw.to) => {
                repeats.insert(edge as usize)
            }
            _ => pairs.push(Pair { from: raw.from, to: raw.to, edge }),
        }
    }
    (pairs, repeats)
}

/// Two nodes with an edge, and the number of the first one.
struct Pair {
    from: u64,
    to: u64,
    edge: u32,
}

/// Sorted keys and links between their ranks, from sorted pairs. Ranks come from
/// merging sorted lists: no hash table of a million keys, and nothing to attack.
fn link(pairs: Vec<Pair>) -> (Vec<u64>, Links) {
    let mut by_end: Vec<(u64, u32)> = pairs.iter().map(|pair| pair.to).zip(0..).collect();
    by_end.sort_unstable();
    let mut keys: Vec<u64> = Vec::with_capacity(pairs.len());
    {
        let (mut froms, mut tos) = (
            pairs.iter().map(|pair| pair.from).peekable(),
            by_end.iter().map(|end| end.0).peekable(),
        );
        loop {
            let next = match (froms.peek(), tos.peek()) {
                (Some(from), Some(to)) if from <= to => froms.next(),
                (Some(_), None) => froms.next(),
                _ => tos.next(),
            };
            match next {
                Some(key) if keys.last() == Some(&key) => {}
                Some(key) => keys.push(key),
                None => break,
            }
        }
    }
    keys.shrink_to_fit();
    let mut down: Vec<(u32, u32, u32)> = Vec::with_capacity(pairs.len());
    let mut rank = Ranks::new(&keys);
    down.extend(pairs.iter().map(|pair| (rank.of(pair.from), 0, pair.edge)));
    drop(pairs);
    // `by_end` is sorted by end, then by pair, that is by start: the upward links.
    let mut rank = Ranks::new(&keys);
    let mut up: Vec<(u32, u32, u32)> = Vec::with_capacity(down.len());
    for (to, pair) in by_end {
        let to = rank.of(to);
        let entry = &mut down[pair as usize];
        entry.1 = to;
        up.push((to, entry.0, entry.2));
    }
    let links = Links::new(keys.len(), &down, &up);
    (keys, links)
}

/// Ranks of ascending keys, in one pass.
struct Ranks<'a> {
    keys: &'a [u64],
    at: usize,
}

impl<'a> Ranks<'a> {
    fn new(keys: &'a [u64]) -> Self {
        Self { keys, at: 0 }
    }

    fn of(&mut self, key: u64) -> u32 {
        while self.keys[self.at] < key {
            self.at += 1;
        }
        u32::try_from(self.at).expect("at most two nodes per edge, checked against MAX_EDGES")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_edges_count_once_and_others_stay() {
        let graph = Graph::from_edges([
            Edge::used(1, 10, 5).with_asked("b"),
            Edge::used(1, 10, 5).with_asked("a"),
            Edge::used(1, 10, 5).with_asked("a"),
            Edge::used(1, 10, 3).with_paths(["x", "y"]),
            Edge::produced(1, 10, 5),
        ])
        .expect("small ids");
        assert_eq!((graph.node_count(), graph.edge_count()), (2, 4));
        let edges: Vec<_> = graph.edges().map(|edge| edge.to_edge()).collect();
        assert_eq!(
            edges,
            [
                Edge::produced(1, 10, 5),
                Edge::used(1, 10, 3).with_paths(["x", "y"]),
                Edge::used(1, 10, 5).with_asked("a"),
                Edge::used(1, 10, 5).with_asked("b"),
            ]
        );
    }

    #[test]
    fn ids_of_64_bits_are_refused() {
        let error = Graph::from_edges([Edge::used(1 << 63, 1, 0)]).expect_err("too large");
        assert_eq!(error, Error::IdOutOfRange { id: 1 << 63 });
        let largest = (1 << 63) - 1;
        let graph = Graph::from_edges([Edge::used(largest, largest, 0)]).expect("63 bits fit");
        assert_eq!(
            graph.keys().collect::<Vec<_>>(),
            [NodeKey::Run(largest), NodeKey::Version(largest)]
        );
    }

    #[test]
    fn an_empty_graph_answers() {
        let graph = Graph::from_edges([]).expect("nothing to refuse");
        assert_eq!((graph.node_count(), graph.edge_count()), (0, 0));
        assert_eq!(graph.upstream(NodeKey::Version(1)).len(), 1);
        assert!(graph.topological_order().components().is_empty());
        assert!(graph.roots().is_empty() && graph.leaves().is_empty());
        assert_eq!(graph.shortest_path(NodeKey::Run(1), NodeKey::Run(1)), None);
    }
}
