//! Which nodes are new.

use std::collections::HashSet;

use proptest::prelude::*;

use super::support::*;
use crate::params::Params;
use crate::*;

/// Ids of all nodes of a tree.
fn all(nodes: &mut MemoryNodes, root: NodeId) -> HashSet<NodeId> {
    let mut found = HashSet::new();
    let mut left = if root == empty_tree() { vec![] } else { vec![root] };
    while let Some(id) = left.pop() {
        found.insert(id);
        visit_links(nodes.get(&id).unwrap(), |link| {
            if let Link::Child(child) = link {
                left.push(child);
            }
        })
        .unwrap();
    }
    found
}

/// Refuses to supply what was not told before.
struct Told<'a> {
    nodes: &'a mut MemoryNodes,
    base: &'a HashSet<NodeId>,
    told: std::rc::Rc<std::cell::RefCell<Vec<NodeId>>>,
    reads: usize,
}

impl NodeSource for Told<'_> {
    type Bytes = std::sync::Arc<[u8]>;
    type Error = NoSuchNode;

    fn node(&mut self, id: &NodeId) -> Result<Self::Bytes, NoSuchNode> {
        assert!(self.base.contains(id) || self.told.borrow().contains(id), "read before told");
        self.reads += 1;
        self.nodes.node(id)
    }
}

/// The nodes told, and how many were read.
fn told(nodes: &mut MemoryNodes, base: NodeId, root: NodeId) -> (Vec<NodeId>, usize) {
    let known = all(nodes, base);
    let told = std::rc::Rc::default();
    let mut source = Told { nodes, base: &known, told: std::rc::Rc::clone(&told), reads: 0 };
    new_nodes(&mut source, &base, &root, |ids| {
        assert!(!ids.is_empty());
        told.borrow_mut().extend_from_slice(ids);
        Ok(())
    })
    .unwrap();
    let reads = source.reads;
    (told.take(), reads)
}

fn check(nodes: &mut MemoryNodes, base: NodeId, root: NodeId) -> Result<(), TestCaseError> {
    let (told, _) = told(nodes, base, root);
    let set: HashSet<NodeId> = told.iter().copied().collect();
    prop_assert_eq!(set.len(), told.len(), "each is told once");
    let (base, after) = (all(nodes, base), all(nodes, root));
    prop_assert!(set.is_subset(&after));
    let missed: Vec<_> = after.difference(&base).filter(|id| !set.contains(id)).collect();
    prop_assert!(missed.is_empty(), "{missed:?}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_new_node_is_told_once_before_it_is_read(model in any_model(150), touches in any_touch()) {
        let other = touch(&model, &touches);
        let mut nodes = MemoryNodes::new();
        let before = build(Params::small(), &model, &mut nodes).root;
        let after = build(Params::small(), &other, &mut nodes).root;
        check(&mut nodes, before, after)?;
        check(&mut nodes, after, before)?;
    }

    #[test]
    fn trees_of_any_heights_are_compared(a in any_model(150), cut in 0usize..150, b in any_model(20)) {
        let mut nodes = MemoryNodes::new();
        let whole = build(Params::small(), &a, &mut nodes).root;
        let head = a.iter().take(cut).map(|(p, e)| (p.clone(), e.clone())).collect();
        let tail = a.iter().skip(cut).map(|(p, e)| (p.clone(), e.clone())).collect();
        let others = [&head, &tail, &b, &Model::new()];
        for other in others.map(|model| build(Params::small(), model, &mut nodes).root) {
            check(&mut nodes, whole, other)?;
            check(&mut nodes, other, whole)?;
        }
    }
}

#[test]
fn only_what_differs_is_read() {
    let model: Model = (0..3000u64).map(|n| (path(&format!("{n:05}")), file(n))).collect();
    let mut nodes = MemoryNodes::new();
    let before = build(Params::small(), &model, &mut nodes).root;
    let height = Node::decode(nodes.get(&before).unwrap()).unwrap().level() as usize;
    assert!(height >= 4);
    for n in [0, 1, 1234, 2999] {
        let mut other = model.clone();
        other.insert(path(&format!("{n:05}")), file(9999));
        let after = build(Params::small(), &other, &mut nodes).root;
        let (told, reads) = told(&mut nodes, before, after);
        assert_eq!(told.len(), height + 1, "one node per level");
        // Its inner nodes and the base's, and both roots once more for their level.
        assert_eq!(reads, 2 * height + 2);
    }
    assert_eq!(told(&mut nodes, before, before).0, []);
    assert_eq!(told(&mut nodes, before, empty_tree()).0, []);
}

#[test]
fn a_tree_that_repeats_its_nodes_is_not_walked_again_and_again() {
    // Each of eight levels names the two nodes below it, and both of these name
    // the same two again: walked as a tree, that doubles with every level.
    let mut nodes = MemoryNodes::new();
    let mut keep = |node: &Node| {
        let bytes = node.encode().unwrap();
        let id = NodeId::of(&bytes);
        nodes.insert(id, bytes);
        id
    };
    let leaf = |name: &str| Node::Leaf(vec![(path(name), file(1))]);
    let mut below = [keep(&leaf("a")), keep(&leaf("b"))];
    for level in 1..=8 {
        let of = |paths: [&str; 2]| Node::Inner {
            level,
            children: paths
                .into_iter()
                .zip(below)
                .map(|(last, id)| Child { last_path: path(last), id, entries: 1, size: 1 })
                .collect(),
        };
        below = [keep(&of(["a", "b"])), keep(&of(["a", "c"]))];
    }
    let refused = new_nodes(&mut nodes, &empty_tree(), &below[0], |_| Ok(()));
    assert!(matches!(refused, Err(ReadError::Damaged { .. })), "{refused:?}");
}

#[test]
fn what_the_visitor_answers_ends_the_walk() {
    let model: Model = (0..100u64).map(|n| (path(&format!("{n:05}")), file(n))).collect();
    let mut nodes = MemoryNodes::new();
    let root = build(Params::small(), &model, &mut nodes).root;
    let mut calls = 0;
    let stopped = new_nodes(&mut nodes, &empty_tree(), &root, |ids| {
        calls += 1;
        if calls == 2 { Err(NoSuchNode(ids[0])) } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(ReadError::Source(NoSuchNode(_)))));
    assert_eq!(calls, 2);
}
