//! Causes before effects.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use petgraph::algo::kosaraju_scc;

use crate::NodeKey;
use crate::links::Links;

/// A topological order in which every cycle counts as one place.
///
/// A cycle is possible: a run may log again the very version it used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    components: Vec<Vec<NodeKey>>,
}

impl Order {
    /// The strongly connected components in order: everything that leads to a component
    /// comes before it. Most have one node; the nodes of a larger one lie on cycles with
    /// each other, and are sorted by key. Among components that could come next the one with the
    /// first node does.
    #[must_use]
    pub fn components(&self) -> &[Vec<NodeKey>] {
        &self.components
    }

    /// All nodes in order.
    pub fn keys(&self) -> impl Iterator<Item = NodeKey> {
        self.components.iter().flatten().copied()
    }

    /// The components that are cycles.
    pub fn cycles(&self) -> impl Iterator<Item = &[NodeKey]> {
        // Runs and versions alternate, so that no node leads to itself at once.
        self.components.iter().map(Vec::as_slice).filter(|component| component.len() > 1)
    }

    /// Whether there is no cycle.
    #[must_use]
    pub fn is_acyclic(&self) -> bool {
        self.cycles().next().is_none()
    }

    pub(crate) fn of(links: &Links, key: impl Fn(u32) -> NodeKey) -> Self {
        // Kosaraju's algorithm is the one in petgraph that does not recurse.
        let mut members = kosaraju_scc(links);
        let mut component_of = vec![0_usize; links.node_count()];
        for (component, nodes) in members.iter_mut().enumerate() {
            nodes.sort_unstable();
            for &node in &*nodes {
                component_of[node as usize] = component;
            }
        }
        let outside = |node: u32| {
            let here = component_of[node as usize];
            let next = links.down().neighbors_slice(node).iter();
            next.map(|&next| component_of[next as usize]).filter(move |&next| next != here)
        };
        let mut waiting_for = vec![0_usize; members.len()];
        for next in links.indices().flat_map(outside) {
            waiting_for[next] += 1;
        }
        let ready = waiting_for.iter().enumerate().filter(|&(_, &count)| count == 0);
        let mut ready: BinaryHeap<_> =
            ready.map(|(component, _)| Reverse((members[component][0], component))).collect();
        let mut components = Vec::with_capacity(members.len());
        while let Some(Reverse((_, component))) = ready.pop() {
            for next in members[component].iter().copied().flat_map(outside) {
                waiting_for[next] -= 1;
                if waiting_for[next] == 0 {
                    ready.push(Reverse((members[next][0], next)));
                }
            }
            let mut nodes: Vec<NodeKey> =
                members[component].iter().map(|&node| key(node)).collect();
            nodes.sort_unstable();
            components.push(nodes);
        }
        Self { components }
    }
}
