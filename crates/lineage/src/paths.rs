//! Paths from one node down to another.

use petgraph::visit::{VisitMap, Visitable};
use serde::Serialize;

use crate::NodeKey;
use crate::links::Links;
use crate::subgraph::FAR;

/// A way from one node down to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Path {
    nodes: Vec<NodeKey>,
}

impl Path {
    pub(crate) fn new(nodes: Vec<NodeKey>) -> Self {
        Self { nodes }
    }

    /// The nodes, both ends included, in the direction of the data.
    #[must_use]
    pub fn nodes(&self) -> &[NodeKey] {
        &self.nodes
    }

    /// How many levels, that is edges; 0 from a node to itself.
    #[must_use]
    pub fn levels(&self) -> usize {
        self.nodes.len() - 1
    }
}

/// How far an enumeration of paths goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathLimits {
    /// At most so many paths (100).
    pub paths: usize,
    /// None longer than so many levels (no bound).
    pub levels: Option<u32>,
    /// At most so many steps from node to node (1,000,000): paths may be few and
    /// dead ends still exponentially many.
    pub steps: u64,
}

impl Default for PathLimits {
    fn default() -> Self {
        Self { paths: 100, levels: None, steps: 1_000_000 }
    }
}

/// Simple paths, shortest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    paths: Vec<Path>,
    complete: bool,
}

impl Paths {
    /// The paths, shortest first, then by their nodes.
    #[must_use]
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Whether these are all simple paths (no longer than [`PathLimits::levels`]). If
    /// not, the longest are missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }
}

impl Default for Paths {
    /// No path, and surely none.
    fn default() -> Self {
        Self { paths: Vec::new(), complete: true }
    }
}

/// The first shortest path in lexicographic order of indices.
pub(crate) fn shortest(links: &Links, from: u32, to: u32) -> Option<Vec<u32>> {
    let mut seen = links.visit_map();
    let mut parents = vec![FAR; links.node_count()];
    let mut queue = vec![from];
    seen.visit(from);
    let mut at = 0;
    while !seen.is_visited(&to) {
        let &node = queue.get(at)?;
        at += 1;
        for &next in links.down().neighbors_slice(node) {
            if seen.visit(next) {
                parents[next as usize] = node;
                queue.push(next);
            }
        }
    }
    let mut path = vec![to];
    let mut node = to;
    while node != from {
        node = parents[node as usize];
        path.push(node);
    }
    path.reverse();
    Some(path)
}

/// Enumerates simple paths by deepening: all of the shortest length first, then all of
/// the next length that can exist. Branches that cannot reach the end in time are not
/// entered.
pub(crate) fn simple(
    links: &Links,
    from: u32,
    to: u32,
    limits: &PathLimits,
    mut make: impl FnMut(&[u32]) -> Path,
) -> Paths {
    let left = distances_to(links, to);
    let mut search =
        Search { links, to, left: &left, steps: limits.steps, on_path: links.visit_map() };
    let mut found = Paths::default();
    let mut length = left[from as usize];
    while length != FAR && limits.levels.is_none_or(|most| length <= most) {
        let mut longer = FAR;
        let outcome = search.paths_of_length(from, length, &mut longer, |path| {
            let room = found.paths.len() < limits.paths;
            if room {
                found.paths.push(make(path));
            }
            room
        });
        if outcome.is_none() {
            found.complete = false;
            break;
        }
        length = longer;
    }
    found
}

struct Search<'a> {
    links: &'a Links,
    to: u32,
    /// Levels from each node to the end; [`FAR`] if it does not lead there.
    left: &'a [u32],
    steps: u64,
    on_path: crate::links::Bits,
}

impl Search<'_> {
    /// Hands over every simple path of exactly `length` levels, in order; `longer` gets
    /// the least length of a path that may exist beyond. `None` if out of steps or the
    /// taker wants no more.
    fn paths_of_length(
        &mut self,
        from: u32,
        length: u32,
        longer: &mut u32,
        mut take: impl FnMut(&[u32]) -> bool,
    ) -> Option<()> {
        self.on_path.clear();
        self.on_path.visit(from);
        let mut path = vec![from];
        // How many neighbours of each node of the path were tried.
        let mut tried = vec![0_usize];
        if from == self.to {
            return take(&path).then_some(());
        }
        while let (Some(&node), Some(next)) = (path.last(), tried.last_mut()) {
            let Some(&child) = self.links.down().neighbors_slice(node).get(*next) else {
                self.on_path.set(node as usize, false);
                path.pop();
                tried.pop();
                continue;
            };
            *next += 1;
            self.steps = self.steps.checked_sub(1)?;
            let left = self.left[child as usize];
            if left == FAR || self.on_path.is_visited(&child) {
                continue;
            }
            let levels = u32::try_from(path.len()).expect("a path has each node once");
            let least = levels.saturating_add(left);
            if least > length {
                *longer = least.min(*longer);
            } else if child != self.to {
                self.on_path.visit(child);
                path.push(child);
                tried.push(0);
            } else if levels == length {
                path.push(child);
                if !take(&path) {
                    return None;
                }
                path.pop();
            }
        }
        Some(())
    }
}

fn distances_to(links: &Links, to: u32) -> Vec<u32> {
    let mut left = vec![FAR; links.node_count()];
    left[to as usize] = 0;
    let mut queue = vec![to];
    let mut at = 0;
    while let Some(&node) = queue.get(at) {
        at += 1;
        for &next in links.up().neighbors_slice(node) {
            if left[next as usize] == FAR {
                left[next as usize] = left[node as usize] + 1;
                queue.push(next);
            }
        }
    }
    left
}
