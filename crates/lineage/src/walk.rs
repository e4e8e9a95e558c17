//! A query whose edges are fetched as it goes.

use std::collections::HashSet;

use crate::graph::GraphBuilder;
use crate::query;
use crate::{Edge, Error, Graph, Infos, NodeKey, Options, Subgraph};

/// Past so many levels a caller had better load all edges at once: see
/// [`Walk::is_large`].
pub const MAX_WALK_LEVELS: u32 = 64;

/// Past so many nodes a caller had better load all edges at once: see
/// [`Walk::is_large`].
pub const MAX_WALK_NODES: usize = 10_000;

/// The same as [`Graph::query`], for a caller whose edges live elsewhere: the walk
/// names nodes, the caller supplies their edges, level by level.
///
/// ```
/// use heirloom_lineage::{Edge, Infos, NodeKey, Options, Walk};
///
/// # fn main() -> Result<(), heirloom_lineage::Error> {
/// // Stands for a database.
/// let table = [Edge::produced(1, 10, 0), Edge::used(1, 20, 0), Edge::used(2, 10, 0)];
///
/// let mut walk = Walk::new(NodeKey::Version(10), Options::up());
/// while !walk.is_done() {
///     if walk.is_large() {
///         // One scan of the table beats many small reads:
///         // return walk.finish_with_all(every_edge, &infos);
///     }
///     let wanted = walk.frontier();
///     let found: Vec<Edge> = table.iter().filter(|edge| wanted.contains(&edge.to())).cloned().collect();
///     walk.supply(found)?;
/// }
/// let upstream = walk.finish(&Infos::new())?;
/// assert_eq!(upstream.len(), 3);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Walk {
    start: NodeKey,
    options: Options,
    edges: GraphBuilder,
    up: Option<Side>,
    down: Option<Side>,
    seen: HashSet<NodeKey>,
    frontier: Vec<NodeKey>,
    levels: u32,
}

impl Walk {
    /// A walk about to ask for the edges of `start`.
    #[must_use]
    pub fn new(start: NodeKey, options: Options) -> Self {
        let mut walk = Self {
            start,
            edges: GraphBuilder::new(),
            up: options.direction.is_up().then(|| Side::new(start)),
            down: options.direction.is_down().then(|| Side::new(start)),
            seen: HashSet::from([start]),
            frontier: Vec::new(),
            levels: 0,
            options,
        };
        walk.settle();
        walk
    }

    /// The nodes whose edges are wanted next, ascending; empty at the end.
    ///
    /// Upward these are edges that end in the node, downward those that begin there;
    /// [`wanted_up`](Self::wanted_up) and [`wanted_down`](Self::wanted_down) tell which.
    /// Supplying the other edges of these nodes too does no harm.
    #[must_use]
    pub fn frontier(&self) -> &[NodeKey] {
        &self.frontier
    }

    /// The nodes of the frontier of which edges that *end* there are wanted: the run that
    /// produced a version, the versions a run used.
    #[must_use]
    pub fn wanted_up(&self) -> &[NodeKey] {
        self.up.as_ref().map_or(&[], |side| &side.frontier)
    }

    /// The nodes of the frontier of which edges that *begin* there are wanted: the runs
    /// that used a version, the versions a run produced.
    #[must_use]
    pub fn wanted_down(&self) -> &[NodeKey] {
        self.down.as_ref().map_or(&[], |side| &side.frontier)
    }

    /// Takes **all** wanted edges of **all** nodes of the frontier, in any order, and
    /// moves on by one level. Repeated edges count once, edges that were not wanted are
    /// ignored. At the end it does nothing.
    ///
    /// # Errors
    ///
    /// [`Error::IdOutOfRange`] for an id of more than 63 bits; the walk is then of no
    /// further use.
    pub fn supply(&mut self, edges: impl IntoIterator<Item = Edge>) -> Result<(), Error> {
        if self.is_done() {
            return Ok(());
        }
        for edge in edges {
            let (from, to) = (edge.from(), edge.to());
            let up = self.up.as_mut().is_some_and(|side| side.step(to, from));
            let down = self.down.as_mut().is_some_and(|side| side.step(from, to));
            if up || down {
                self.seen.extend([from, to]);
                self.edges.add_edge(edge)?;
            }
        }
        self.levels += 1;
        for side in [&mut self.up, &mut self.down].into_iter().flatten() {
            side.advance();
        }
        self.settle();
        Ok(())
    }

    /// Whether no more edges are wanted.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.frontier.is_empty()
    }

    /// How many levels were supplied.
    #[must_use]
    pub fn levels(&self) -> u32 {
        self.levels
    }

    /// How many nodes were seen, the start and the frontier included, whatever the type
    /// filters say.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.seen.len()
    }

    /// The nodes seen so far, in no particular order: those whose attributes a caller may
    /// want to load before [`finish`](Self::finish).
    pub fn nodes(&self) -> impl Iterator<Item = NodeKey> {
        self.seen.iter().copied()
    }

    /// Whether the walk is past [`MAX_WALK_LEVELS`] or [`MAX_WALK_NODES`] and still not
    /// done: time to load the whole table of edges and call
    /// [`finish_with_all`](Self::finish_with_all).
    #[must_use]
    pub fn is_large(&self) -> bool {
        !self.is_done() && (self.levels > MAX_WALK_LEVELS || self.node_count() > MAX_WALK_NODES)
    }

    /// The answer. Attributes are looked at only for type filters.
    ///
    /// # Errors
    ///
    /// [`Error::Unfinished`] while edges are wanted; [`Error::TooManyEdges`].
    pub fn finish(self, infos: &Infos) -> Result<Subgraph, Error> {
        if !self.is_done() {
            return Err(Error::Unfinished { wanted: self.frontier.len() });
        }
        self.answer(infos)
    }

    /// The answer from a table of all edges, whatever was supplied so far: the same as
    /// walking to the end.
    ///
    /// # Errors
    ///
    /// As [`GraphBuilder::add_edge`] and [`GraphBuilder::build`].
    pub fn finish_with_all(
        mut self,
        edges: impl IntoIterator<Item = Edge>,
        infos: &Infos,
    ) -> Result<Subgraph, Error> {
        self.edges = GraphBuilder::new();
        self.edges.add_edges(edges)?;
        self.answer(infos)
    }

    fn answer(self, infos: &Infos) -> Result<Subgraph, Error> {
        // The query over the edges met is the query over the whole graph: it looks
        // beyond exactly the nodes whose edges were asked for.
        let graph: Graph = self.edges.build()?;
        Ok(query::run(&graph, self.start, &self.options, infos))
    }

    /// Ends sides that are deep or large enough, and joins what the others want.
    fn settle(&mut self) {
        let deep = self.options.depth.is_some_and(|depth| self.levels >= depth);
        // With type filters only the answer itself knows how many nodes are shown.
        let limit = self.options.limit.filter(|_| !self.options.is_filtered());
        self.frontier.clear();
        for side in [&mut self.up, &mut self.down].into_iter().flatten() {
            if deep || limit.is_some_and(|limit| side.seen.len() - 1 > limit) {
                side.frontier.clear();
            }
            self.frontier.extend_from_slice(&side.frontier);
        }
        self.frontier.sort_unstable();
        self.frontier.dedup();
    }
}

/// A breadth-first search in one direction.
#[derive(Clone, Debug)]
struct Side {
    seen: HashSet<NodeKey>,
    /// Ascending.
    frontier: Vec<NodeKey>,
    next: Vec<NodeKey>,
}

impl Side {
    fn new(start: NodeKey) -> Self {
        Self { seen: HashSet::from([start]), frontier: vec![start], next: Vec::new() }
    }

    /// Follows a link if it was asked for.
    fn step(&mut self, near: NodeKey, far: NodeKey) -> bool {
        let wanted = self.frontier.binary_search(&near).is_ok();
        if wanted && self.seen.insert(far) {
            self.next.push(far);
        }
        wanted
    }

    fn advance(&mut self) {
        self.frontier = std::mem::take(&mut self.next);
        self.frontier.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_walk_refuses_to_answer() {
        let walk = Walk::new(NodeKey::Version(1), Options::up());
        assert_eq!(walk.finish(&Infos::new()), Err(Error::Unfinished { wanted: 1 }));
    }

    #[test]
    fn depth_zero_wants_nothing() {
        let walk = Walk::new(NodeKey::Version(1), Options::both().with_depth(0));
        assert!(walk.is_done());
        assert_eq!(walk.finish(&Infos::new()).expect("done").len(), 1);
    }

    #[test]
    fn each_side_asks_only_for_its_own_edges() {
        let mut walk = Walk::new(NodeKey::Version(1), Options::both());
        assert_eq!((walk.wanted_up(), walk.wanted_down()), (walk.frontier(), walk.frontier()));
        walk.supply([Edge::produced(2, 1, 0), Edge::used(3, 1, 0)]).expect("small ids");
        assert_eq!(walk.wanted_up(), [NodeKey::Run(2)]);
        assert_eq!(walk.wanted_down(), [NodeKey::Run(3)]);
        assert_eq!(walk.frontier(), [NodeKey::Run(2), NodeKey::Run(3)]);
        assert_eq!((walk.levels(), walk.node_count()), (1, 3));
    }

    #[test]
    fn a_long_chain_becomes_large_and_may_then_be_loaded_at_once() {
        let chain = |link: u64| [Edge::produced(link, link, 0), Edge::used(link, link + 1, 0)];
        let all: Vec<Edge> = (0..100).flat_map(chain).collect();
        let mut walk = Walk::new(NodeKey::Version(0), Options::up());
        while !walk.is_large() {
            let wanted: Vec<Edge> =
                all.iter().filter(|edge| walk.frontier().contains(&edge.to())).cloned().collect();
            walk.supply(wanted).expect("small ids");
        }
        assert_eq!(walk.levels(), MAX_WALK_LEVELS + 1);
        let answer = walk.finish_with_all(all, &Infos::new()).expect("small");
        assert_eq!(answer.len(), 201);
    }
}
