//! Upstream and downstream of one node in a whole graph.

use std::collections::BTreeSet;
use std::ops::Range;

use petgraph::visit::{VisitMap, Visitable};

use crate::graph::Graph;
use crate::links::{Bits, Rows, neighbours};
use crate::subgraph::{FAR, Node, Parts, Row, Subgraph};
use crate::{Infos, NodeKey};

/// Which way to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Where it came from.
    #[default]
    Up,
    /// What came of it.
    Down,
    /// Both: ancestors and descendants, but not the other descendants of an
    /// ancestor. (Ignoring directions would reach nearly everything through one popular
    /// data set.)
    Both,
}

impl Direction {
    /// Whether upstream is looked at.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up | Self::Both)
    }

    /// Whether downstream is looked at.
    #[must_use]
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Down | Self::Both)
    }
}

/// What to look for around a start; by default everything upstream.
///
/// **Depth** counts levels, that is edges: from a version, depth 1 reaches the run
/// that produced it, depth 2 the versions that run used. A "generation" of versions
/// is thus two levels. The same number is meant wherever people type one.
///
/// **Type filters** hide, they do not block: nodes that do not match are left out, but
/// what lies beyond them is found ("all data sets upstream of this model", even those
/// behind another model). Artifact types judge versions only and job types runs only; an
/// empty list lets all pass; a node of unknown type matches none. The start is
/// always kept. Where only hidden nodes lead to a shown one, an [`Indirect`](crate::Indirect)
/// link takes their place.
///
/// **The limit** bounds the shown nodes besides the start: nearest first, then by key.
/// [`Subgraph::is_truncated`] tells when something was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Which way to look.
    pub direction: Direction,
    /// How many levels; `None`: all.
    pub depth: Option<u32>,
    /// Show versions of these artifact types only; empty: all.
    pub artifact_types: BTreeSet<String>,
    /// Show runs of these job types only; empty: all.
    pub job_types: BTreeSet<String>,
    /// Show at most so many nodes besides the start; `None`: all.
    pub limit: Option<usize>,
}

impl Options {
    /// Everything upstream.
    #[must_use]
    pub fn up() -> Self {
        Self { direction: Direction::Up, ..Self::default() }
    }

    /// Everything downstream.
    #[must_use]
    pub fn down() -> Self {
        Self { direction: Direction::Down, ..Self::default() }
    }

    /// Everything upstream and downstream.
    #[must_use]
    pub fn both() -> Self {
        Self { direction: Direction::Both, ..Self::default() }
    }

    /// The same, so many levels deep.
    #[must_use]
    pub fn with_depth(mut self, levels: u32) -> Self {
        self.depth = Some(levels);
        self
    }

    /// The same, showing also versions of this artifact type (and of no type that was
    /// not named).
    #[must_use]
    pub fn with_artifact_type(mut self, type_name: impl Into<String>) -> Self {
        self.artifact_types.insert(type_name.into());
        self
    }

    /// The same, showing also runs of this job type (and of no type that was not
    /// named).
    #[must_use]
    pub fn with_job_type(mut self, type_name: impl Into<String>) -> Self {
        self.job_types.insert(type_name.into());
        self
    }

    /// The same, showing at most so many nodes besides the start.
    #[must_use]
    pub fn with_limit(mut self, nodes: usize) -> Self {
        self.limit = Some(nodes);
        self
    }

    /// Whether any type filter is set, so that attributes of nodes matter.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        !(self.artifact_types.is_empty() && self.job_types.is_empty())
    }

    /// Whether a node passes the type filters.
    fn shows(&self, key: NodeKey, infos: &Infos) -> bool {
        let types = if key.is_run() { &self.job_types } else { &self.artifact_types };
        types.is_empty()
            || infos
                .get(key)
                .and_then(|info| info.type_name.as_ref())
                .is_some_and(|name| types.contains(name))
    }
}

/// Answers a query. Nodes are ordered by distance, then key.
pub(crate) fn run(graph: &Graph, start: NodeKey, options: &Options, infos: &Infos) -> Subgraph {
    let Some(origin) = graph.index(start) else {
        return Subgraph::alone(start, options.direction);
    };
    let filtered = options.is_filtered();
    let shows = |index: u32| index == origin || !filtered || options.shows(graph.key(index), infos);
    let links = graph.links();
    let (up_rows, down_rows) = (links.up(), links.down());
    let up = options.direction.is_up().then(|| Reach::from(origin, up_rows, options, shows));
    let down = options.direction.is_down().then(|| Reach::from(origin, down_rows, options, shows));
    let Choice { shown, cap, hidden, truncated } =
        choose(up.as_ref(), down.as_ref(), options, shows);

    let mut position = vec![FAR; graph.node_count()];
    let mut nodes = Vec::with_capacity(shown.len());
    let within = |distance: u32| if distance <= cap { distance } else { FAR };
    for (at, &(distance, index)) in (0..).zip(&shown) {
        position[index as usize] = at;
        let (up, down) = match (&up, &down) {
            (Some(up), Some(down)) => (within(up.distance(index)), within(down.distance(index))),
            (Some(_), None) => (distance, FAR),
            _ => (FAR, distance),
        };
        nodes.push(Node { key: graph.key(index), up, down });
    }

    let hops = up.iter().chain(&down).map(|reach| reach.hops.len()).sum();
    let mut rows = Vec::with_capacity(hops);
    if let Some(up) = &up {
        for (near, far, edge) in up.positioned_hops(&position) {
            if nodes[near as usize].up < cap {
                let (from, to) = (far, near);
                rows.extend(graph.parallel(edge).map(|edge| Row { from, to, edge }));
            }
        }
    }
    if let Some(down) = &down {
        for (near, far, edge) in down.positioned_hops(&position) {
            // An edge met from both of its ends counts on the upward side.
            if nodes[near as usize].down < cap && nodes[far as usize].up >= cap {
                let (from, to) = (near, far);
                rows.extend(graph.parallel(edge).map(|edge| Row { from, to, edge }));
            }
        }
    }

    let mut indirect = Vec::new();
    if filtered {
        let mut bridge = |reach: &Reach, upward: bool| {
            for (anchor, index) in reach.bridges(cap) {
                let (near, far) = (position[anchor as usize], position[index as usize]);
                if near != FAR && far != FAR {
                    indirect.push(if upward { (far, near) } else { (near, far) });
                }
            }
        };
        if let Some(up) = &up {
            bridge(up, true);
        }
        if let Some(down) = &down {
            bridge(down, false);
        }
        indirect.sort_unstable();
        indirect.dedup();
    }

    Subgraph::new(Parts {
        direction: options.direction,
        hidden,
        truncated,
        nodes,
        rows,
        indirect,
        table: graph.table().clone(),
    })
}

/// Which of the nodes found are shown.
struct Choice {
    /// `(distance, index)`, ascending.
    shown: Vec<(u32, u32)>,
    /// Nodes this far or farther were not looked beyond.
    cap: u32,
    hidden: usize,
    truncated: bool,
}

fn choose(
    up: Option<&Reach>,
    down: Option<&Reach>,
    options: &Options,
    shows: impl Fn(u32) -> bool,
) -> Choice {
    let mut found: Vec<(u32, u32)> = match (up, down) {
        (Some(reach), None) | (None, Some(reach)) => {
            let levels = (0..).zip(&reach.levels);
            let found = levels.flat_map(|(distance, level)| {
                reach.order[level.clone()].iter().map(move |&index| (distance, index))
            });
            found.collect()
        }
        (Some(up), Some(down)) => {
            let ups =
                up.order.iter().map(|&index| (up.distance(index).min(down.distance(index)), index));
            let downs = down.order.iter().filter(|&&index| up.distance(index) == FAR);
            let mut both: Vec<_> =
                ups.chain(downs.map(|&index| (down.distance(index), index))).collect();
            both.sort_unstable();
            both
        }
        (None, None) => unreachable!("every direction is up, down or both"),
    };
    let all = options.is_filtered().then(|| found.clone());
    if all.is_some() {
        found.retain(|&(_, index)| shows(index));
    }
    let mut cap = options.depth.unwrap_or(FAR);
    let mut truncated = false;
    if let Some(&(cut, _)) = options.limit.and_then(|limit| found.get(limit.saturating_add(1))) {
        // Nodes as far as the first one cut may not have been looked beyond (a walk
        // stops there), so that edges from there on are not part of the answer.
        cap = cap.min(cut);
        truncated = true;
        found.truncate(options.limit.unwrap_or(0) + 1);
    }
    let hidden = all.map_or(0, |all| {
        all.iter().filter(|&&(distance, index)| distance <= cap && !shows(index)).count()
    });
    Choice { shown: found, cap, hidden, truncated }
}

/// What one breadth-first search found.
struct Reach {
    /// Indices by distance, then index.
    order: Vec<u32>,
    /// Which part of `order` is how far away.
    levels: Vec<Range<usize>>,
    /// Every link met, from the nodes looked beyond, in the order of these.
    hops: Vec<Hop>,
    /// By index, [`FAR`] if not found; empty for a search in one direction without
    /// filters, which has no use for them.
    distances: Vec<u32>,
    trail: Option<Trail>,
}

/// A link from a node, given by its place in the order, to the index of another, and the
/// first of its edges. (Kept while searching: going through the rows again would cost
/// as many cache misses again.)
struct Hop {
    near: u32,
    far: u32,
    edge: u32,
}

/// Kept only when nodes are hidden: which ones are shown, and how each was reached.
struct Trail {
    shown: Bits,
    parents: Vec<u32>,
}

impl Reach {
    fn from(origin: u32, rows: &Rows, options: &Options, shows: impl Fn(u32) -> bool) -> Self {
        let count = rows.node_count();
        let filtered = options.is_filtered();
        let measured = filtered || options.direction == Direction::Both;
        let mut distances = vec![FAR; if measured { count } else { 0 }];
        let mut trail = filtered.then(|| Trail::new(origin, rows));
        let mut seen = rows.visit_map();
        let mut order = vec![origin];
        let mut levels = Vec::new();
        let mut hops = Vec::new();
        seen.visit(origin);

        let mut found = 0;
        let mut begin = 0;
        for distance in 0.. {
            // What the last round found is the level at this distance.
            let end = order.len();
            order[begin..].sort_unstable();
            if measured {
                order[begin..].iter().for_each(|&node| distances[node as usize] = distance);
            }
            found += match &mut trail {
                None => end - begin,
                Some(trail) => trail.mark_shown(&order[begin..], &shows),
            };
            levels.push(begin..end);
            let deep = options.depth.is_some_and(|depth| distance >= depth);
            // The start does not count; one node more than wanted shows that there is
            // more.
            let full = options.limit.is_some_and(|limit| found - 1 > limit);
            if deep || full {
                break;
            }
            for at in begin..end {
                let node = order[at];
                let near = u32::try_from(at).expect("the builder refuses more nodes");
                for (next, edge) in neighbours(rows, node) {
                    hops.push(Hop { near, far: next, edge });
                    if seen.visit(next) {
                        order.push(next);
                        if let Some(trail) = &mut trail {
                            trail.parents[next as usize] = node;
                        }
                    } else if let Some(trail) = &mut trail {
                        // Only what this round found has no distance yet.
                        let new = distances[next as usize] == FAR;
                        trail.prefer_shown_parent(node, next, new);
                    }
                }
            }
            begin = end;
            if begin == order.len() {
                break;
            }
        }
        Self { order, levels, hops, distances, trail }
    }

    /// The links between shown nodes, by positions of these: near, far, first edge.
    fn positioned_hops<'a>(
        &'a self,
        position: &'a [u32],
    ) -> impl Iterator<Item = (u32, u32, u32)> + 'a {
        self.hops.iter().filter_map(|hop| {
            let near = position[self.order[hop.near as usize] as usize];
            let far = position[hop.far as usize];
            (near != FAR && far != FAR).then_some((near, far, hop.edge))
        })
    }

    fn distance(&self, index: u32) -> u32 {
        self.distances[index as usize]
    }

    /// For each shown node that only hidden ones lead to: the nearest shown node on the
    /// way it was found, and itself.
    fn bridges(&self, cap: u32) -> Vec<(u32, u32)> {
        let Some(trail) = &self.trail else { return Vec::new() };
        let mut bridges = Vec::new();
        // The nearest shown node at or before each node; parents come before children.
        let mut anchors = trail.parents.clone();
        for &node in &self.order {
            let parent = trail.parents[node as usize];
            let shown = trail.shown.is_visited(&node);
            let anchor = anchors[parent as usize];
            if shown && anchor != parent && self.distance(node) <= cap {
                bridges.push((anchor, node));
            }
            anchors[node as usize] = if shown { node } else { anchor };
        }
        bridges
    }
}

impl Trail {
    fn new(origin: u32, rows: &Rows) -> Self {
        Self { shown: rows.visit_map(), parents: vec![origin; rows.node_count()] }
    }

    /// Judges the nodes of a level; returns how many are shown.
    fn mark_shown(&mut self, level: &[u32], shows: impl Fn(u32) -> bool) -> usize {
        level.iter().filter(|&&node| shows(node) && self.shown.visit(node)).count()
    }

    /// Among those who lead to a node of the next level, the first is its parent, but
    /// a shown one goes before a hidden one.
    fn prefer_shown_parent(&mut self, node: u32, next: u32, in_next_level: bool) {
        let parent = self.parents[next as usize];
        if in_next_level && self.shown.is_visited(&node) && !self.shown.is_visited(&parent) {
            self.parents[next as usize] = node;
        }
    }
}
