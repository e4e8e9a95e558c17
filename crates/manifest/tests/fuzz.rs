//! The fuzz targets' bodies on generated input, so that they run with every
//! test: arbitrary bytes, and sound input with a few bytes changed.
#![allow(clippy::unwrap_used)]

mod fuzz_bodies;

use heirloom_manifest::{BlobId, Child, Entry, LogicalPath, Node, NodeId, Reference};
use proptest::prelude::*;
use proptest::sample::Index;

fn leaf(first: u32, count: u32) -> (Node, LogicalPath) {
    let entries: Vec<_> = (first..first + count)
        .map(|n| {
            let path: LogicalPath = format!("d{:02}/é{n:04}", n / 5).parse().unwrap();
            let entry = match n % 4 {
                0 => Entry::EmptyDirectory,
                1 => Entry::Reference(Reference {
                    size: Some(7),
                    etag: Some("\"e\"".to_owned()),
                    ..Reference::new("s3://b/k")
                }),
                _ => Entry::File { blob: BlobId::of(&n.to_le_bytes()), size: n.into() },
            };
            (path, entry)
        })
        .collect();
    let last = entries[entries.len() - 1].0.clone();
    (Node::Leaf(entries), last)
}

/// The bytes of a leaf, and of an inner node over it and another leaf.
fn sound(count: u32) -> (Vec<u8>, Vec<u8>) {
    let (left, left_last) = leaf(0, count);
    let (right, right_last) = leaf(count, 3);
    let child = |node: &Node, last_path, id| Child {
        last_path,
        id,
        entries: node.entries(),
        size: node.size(),
    };
    let children = vec![
        child(&left, left_last, NodeId::from_bytes([0xfe; 32])),
        child(&right, right_last, NodeId::of(&right.encode().unwrap())),
    ];
    (left.encode().unwrap(), Node::Inner { level: 1, children }.encode().unwrap())
}

fn mutate(bytes: &mut Vec<u8>, changes: &[(Index, u8, u8)]) {
    for (at, value, how) in changes {
        if bytes.is_empty() {
            return;
        }
        let at = at.index(bytes.len());
        match how % 4 {
            0 => bytes[at] = *value,
            1 => bytes[at] ^= 1 << (value % 8),
            2 => bytes.insert(at, *value),
            _ => drop(bytes.remove(at)),
        }
    }
}

fn changes() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    proptest::collection::vec(any::<(Index, u8, u8)>(), 0..4)
}

fn framed(nodes: &[&[u8]]) -> Vec<u8> {
    let frame = |node: &&[u8]| [&(node.len() as u16).to_le_bytes(), *node].concat();
    nodes.iter().flat_map(frame).collect()
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        fuzz_bodies::path(&bytes);
        fuzz_bodies::node(&bytes);
        fuzz_bodies::node(&[b"HM\x01\x00".as_slice(), &bytes].concat());
        fuzz_bodies::node(&[b"HM\x01\x01".as_slice(), &bytes].concat());
        fuzz_bodies::tree(&bytes);
        fuzz_bodies::digest(&bytes);
    }

    #[test]
    fn paths_of_nasty_parts(text in "([a-c/.\\\\:\0é]|\\.\\.){0,12}") {
        fuzz_bodies::path(text.as_bytes());
    }

    #[test]
    fn digests_with_changes(
        name in "(blake3|md5|sha256|crc32c|x)",
        hex in "[0-9a-f]{0,64}",
        changes in changes(),
    ) {
        let mut text = format!("{name}:{hex}").into_bytes();
        mutate(&mut text, &changes);
        fuzz_bodies::digest(&text);
    }

    #[test]
    fn nodes_with_changes(count in 1u32..30, changes in changes()) {
        let (mut leaf, mut inner) = sound(count);
        mutate(&mut leaf, &changes);
        mutate(&mut inner, &changes);
        fuzz_bodies::node(&leaf);
        fuzz_bodies::node(&inner);
    }

    #[test]
    fn trees_with_changes(count in 1u32..30, leaf_changes in changes(), inner_changes in changes()) {
        let (mut left, mut inner) = sound(count);
        let right = leaf(count, 3).0.encode().unwrap();
        mutate(&mut left, &leaf_changes);
        mutate(&mut inner, &inner_changes);
        fuzz_bodies::tree(&framed(&[&right, &left, &inner]));
    }
}

/// The generator above makes trees that read: without that, the properties say
/// little.
#[test]
fn the_unchanged_tree_is_sound() {
    let (left, inner) = sound(20);
    let mut nodes = heirloom_manifest::MemoryNodes::new();
    let at = inner.windows(32).position(|window| window == [0xfe; 32]).unwrap();
    let mut root = inner.clone();
    root[at..at + 32].copy_from_slice(NodeId::of(&left).as_bytes());
    for bytes in [&left, &root, &leaf(20, 3).0.encode().unwrap()] {
        nodes.insert(NodeId::of(bytes), bytes.clone());
    }
    let tree = heirloom_manifest::Tree::new(&mut nodes, NodeId::of(&root))
        .entries()
        .collect::<Result<Vec<_>, _>>();
    assert_eq!(tree.unwrap().len(), 23);
    fuzz_bodies::tree(&framed(&[&leaf(20, 3).0.encode().unwrap(), &left, &inner]));
}
