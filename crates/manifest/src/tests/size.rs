//! Work is proportional to what changed: nodes and bytes counted.

use std::sync::OnceLock;

use super::support::*;
use crate::params::FORMAT;
use crate::*;

const ENTRIES: u64 = 100_000;

fn name(n: u64) -> LogicalPath {
    path(&format!("train/{:03}/sample-{n:08}.parquet", n / 500))
}

/// A spread of positions that does not depend on a random generator.
fn positions(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % ENTRIES).chain([0, ENTRIES - 1])
}

fn height(nodes: &MemoryNodes, root: &NodeId) -> u64 {
    u64::from(Node::decode(nodes.get(root).unwrap()).unwrap().level()) + 1
}

/// The tree of all names, built once.
fn large() -> (MemoryNodes, TreeSummary) {
    static LARGE: OnceLock<(MemoryNodes, TreeSummary)> = OnceLock::new();
    LARGE
        .get_or_init(|| {
            let mut nodes = MemoryNodes::new();
            let mut builder = TreeBuilder::new(&mut nodes);
            for n in 0..ENTRIES {
                builder.push(&name(n), &file(n)).unwrap();
            }
            let tree = builder.finish().unwrap();
            (nodes, tree)
        })
        .clone()
}

#[test]
fn one_edit_rewrites_one_path_of_nodes() {
    let (mut nodes, base) = large();
    let height = height(&nodes, &base.root);
    assert_eq!(height, 3);
    let mut one = |edits: Vec<(LogicalPath, Edit)>| {
        patch(&mut nodes, &base.root, edits, &mut Discard).unwrap()
    };

    for n in positions(40) {
        let changed = one(vec![(name(n), Edit::Put(file(ENTRIES + n)))]);
        assert_eq!(changed.nodes, height, "entry {n}: exactly one path");
        assert!(changed.bytes <= 64 << 10, "entry {n}: {} bytes", changed.bytes);
    }
    let (mut nodes_written, mut runs) = (0, 0);
    for n in positions(40) {
        let removed = one(vec![(name(n), Edit::Remove)]);
        let below = path(&format!("{}x", name(n)));
        let added = one(vec![(below, Edit::Put(file(1)))]);
        for patched in [removed, added] {
            // Boundaries fall into step again after a few nodes of each level.
            assert!(patched.nodes <= height + 12, "entry {n}: {} nodes", patched.nodes);
            nodes_written += patched.nodes;
            runs += 1;
        }
    }
    assert!(nodes_written <= runs * (height + 1), "{nodes_written} nodes in {runs} edits");
    let appended = one(vec![(path("zzz"), Edit::Put(file(1)))]);
    assert!(appended.nodes <= height + 1);
    assert_eq!(one(vec![]).nodes, 0);
    assert_eq!(one(vec![(name(7), Edit::Put(file(7)))]).nodes, 0, "the same entry again");
}

/// Counts what is read.
struct Counting<'a>(&'a mut MemoryNodes, u64);

impl NodeSource for Counting<'_> {
    type Bytes = std::sync::Arc<[u8]>;
    type Error = NoSuchNode;

    fn node(&mut self, id: &NodeId) -> Result<Self::Bytes, NoSuchNode> {
        self.1 += 1;
        self.0.node(id)
    }
}

#[test]
fn diff_patch_and_check_read_only_what_differs() {
    let (mut nodes, base) = large();
    let height = height(&nodes, &base.root);
    let n = 12_345;
    let mut new = MemoryNodes::new();
    let mut source = Counting(&mut nodes, 0);
    let edits = [(name(n), Edit::Put(file(0)))];
    let after = patch(&mut source, &base.root, edits, &mut new).unwrap().tree;
    assert_eq!(source.1, height);
    for (id, bytes) in new.iter() {
        source.0.insert(*id, bytes.to_vec());
    }
    source.1 = 0;
    let changes: Vec<_> =
        Diff::new(&mut source, base.root, after.root).collect::<Result<_, _>>().unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(source.1, 2 * height);
    source.1 = 0;
    assert_eq!(check_tree(&mut source, &base.root, &after.root, |_, _| Ok(())), Ok(after));
    assert_eq!(source.1, 3 * height);
}

#[test]
fn the_format_cuts_leaves_of_about_256_and_inner_nodes_of_about_128() {
    let mut leaves = Vec::new();
    let mut inner = Vec::new();
    let (nodes, _) = large();
    for (_, bytes) in nodes.iter() {
        match Node::decode(bytes).unwrap() {
            Node::Leaf(entries) => leaves.push(entries.len()),
            Node::Inner { level: 1, children } => inner.push(children.len()),
            Node::Inner { .. } => {}
        }
    }
    let mean = |counts: &[usize]| counts.iter().sum::<usize>() / counts.len();
    assert!((200..320).contains(&mean(&leaves)), "{}", mean(&leaves));
    assert!((60..260).contains(&mean(&inner)), "{}", mean(&inner));
    assert!(leaves.iter().max().unwrap() <= &FORMAT.at(0).max);
}
