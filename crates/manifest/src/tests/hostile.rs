//! Bytes and trees from someone who wants to do harm.

use proptest::prelude::*;

use super::support::*;
use crate::params::Params;
use crate::*;

fn leaf(count: u8, records: &[&[u8]]) -> Vec<u8> {
    [b"HM\x01\x00".as_slice(), &[count], &records.concat()].concat()
}

#[test]
fn what_is_not_canonical_is_refused() {
    const DIR: &[u8] = b"\x02";
    let good = leaf(2, &[b"\x00\x02ab", DIR, b"\x01\x01c", DIR]);
    assert_eq!(Node::decode(&good).unwrap().encode().unwrap(), good);

    let file_body = [b"\x00\x05".as_slice(), &[7; 32]].concat();
    let reference = |tail: &[u8]| [b"\x00\x01a\x01".as_slice(), tail].concat();
    let long = "x".repeat(4095);
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("empty input", vec![]),
        ("magic", b"HN\x01\x00\x00".to_vec()),
        ("level 16", b"HM\x01\x10\x00".to_vec()),
        ("inner node without children", b"HM\x01\x01\x00".to_vec()),
        ("bytes after the end", [good.clone(), vec![0]].concat()),
        ("bytes after no record", b"HM\x01\x00\x00\x00".to_vec()),
        ("count too high", leaf(3, &[b"\x00\x02ab", DIR, b"\x01\x01c", DIR])),
        ("count too low", leaf(1, &[b"\x00\x02ab", DIR, b"\x01\x01c", DIR])),
        ("absurd count", [b"HM\x01\x00".as_slice(), &[0xff; 9], &[1]].concat()),
        ("count in two bytes", [b"HM\x01\x00\x81\x00\x00\x01a".as_slice(), DIR].concat()),
        ("shared by the first", leaf(1, &[b"\x01\x01a", DIR])),
        ("shared too short", leaf(2, &[b"\x00\x02ab", DIR, b"\x00\x02ac", DIR])),
        ("shared too long", leaf(2, &[b"\x00\x02ab", DIR, b"\x03\x01c", DIR])),
        ("shared in two bytes", leaf(2, &[b"\x00\x02ab", DIR, b"\x81\x00\x01c", DIR])),
        ("empty suffix", leaf(2, &[b"\x00\x02ab", DIR, b"\x02\x00", DIR])),
        ("unsorted", leaf(2, &[b"\x00\x02ab", DIR, b"\x01\x01a", DIR])),
        ("the same twice", leaf(2, &[b"\x00\x02ab", DIR, b"\x01\x01b", DIR])),
        ("parent segment", leaf(1, &[b"\x00\x04a/..", DIR])),
        ("parent segment from two records", leaf(2, &[b"\x00\x03a/.", DIR, b"\x03\x01.", DIR])),
        ("parent by suffix", leaf(2, &[b"\x00\x04a/.-", DIR, b"\x03\x01.", DIR])),
        ("absolute", leaf(1, &[b"\x00\x02/a", DIR])),
        ("NUL", leaf(2, &[b"\x00\x03a/b", DIR, b"\x03\x02c\0", DIR])),
        ("not UTF-8", leaf(1, &[b"\x00\x02a\xff", DIR])),
        ("half a character", leaf(2, &[b"\x00\x03a/b", DIR, b"\x03\x01\xc3", DIR])),
        (
            "path too long",
            leaf(
                2,
                &[
                    &[b"\x00\xff\x1f".as_slice(), long.as_bytes()].concat(),
                    DIR,
                    b"\xff\x1f\x02yy",
                    DIR,
                ],
            ),
        ),
        ("unknown tag", leaf(1, &[b"\x00\x01a\x03"])),
        ("file cut short", leaf(1, &[b"\x00\x01a", &file_body[..20]])),
        ("file of 2^63 bytes", leaf(1, &[b"\x00\x01a\x00", &[0x80; 9], b"\x01", &[7; 32]])),
        ("size in two bytes", leaf(1, &[b"\x00\x01a\x00\x85\x00", &[7; 32]])),
        ("empty URI", leaf(1, &[&reference(b"\x00\x00\x00")])),
        ("URI not UTF-8", leaf(1, &[&reference(b"\x01\xff\x00\x00")])),
        ("unknown pin", leaf(1, &[&reference(b"\x01u\x00\x01\x05\x01x")])),
        ("unknown checksum", leaf(1, &[&reference(b"\x01u\x00\x01\x19\x01x")])),
        ("pin kind zero", leaf(1, &[&reference(b"\x01u\x00\x01\x00\x01x")])),
        ("empty pin", leaf(1, &[&reference(b"\x01u\x00\x01\x01\x00")])),
        ("pins unsorted", leaf(1, &[&reference(b"\x01u\x00\x02\x02\x01x\x01\x01x")])),
        ("pin twice", leaf(1, &[&reference(b"\x01u\x00\x02\x01\x01x\x01\x01x")])),
        ("checksum too short", leaf(1, &[&reference(b"\x01u\x00\x01\x16\x03xyz")])),
        ("more pins than bytes", leaf(1, &[&reference(b"\x01u\x00\x02\x01\x01x")])),
        (
            "child without entries",
            [b"HM\x01\x01\x01\x00\x01a".as_slice(), &[7; 32], b"\x00\x00"].concat(),
        ),
        (
            "sums beyond 63 bits",
            leaf(
                2,
                &[b"\x00\x01a\x00", &[0xff; 8], b"\x7f", &[7; 32], b"\x00\x01b\x00\x01", &[7; 32]],
            ),
        ),
    ];
    for (what, bytes) in bad {
        let refused = Node::decode(&bytes);
        assert!(matches!(&refused, Err(ManifestError::Malformed { .. })), "{what}: {refused:?}");
        assert!(visit_links(&bytes, |_| {}).is_err(), "{what}");
    }
    assert_eq!(Node::decode(b"HM\x02\x00\x00"), Err(ManifestError::UnknownVersion { found: 2 }));
}

#[test]
fn a_node_cannot_unpack_to_more_than_a_node_may_hold() {
    // Front coding lets one byte stand for a path of 4 KiB.
    let mut records =
        vec![[b"\x00\xff\x1f".as_slice(), "x".repeat(4095).as_bytes(), b"\x02"].concat()];
    let last_bytes = (1..b'/').chain(b'0'..0x7f);
    records.extend(last_bytes.map(|last| vec![0xff, 0x1f, 1, last, 2]));
    let bytes = [b"HM\x01\x00\x5b".as_slice(), &records[..91].concat()].concat();
    let refused = Node::decode(&bytes);
    assert!(
        matches!(&refused, Err(ManifestError::Malformed { reason, .. }) if reason.contains("weight")),
        "{refused:?}"
    );
    let mut many = b"HM\x01\x00\x81\x08".to_vec();
    for n in 0..1025u32 {
        let text = format!("{n:04}");
        many.extend_from_slice(&[0, 4]);
        many.extend_from_slice(text.as_bytes());
        many.push(2);
    }
    assert!(matches!(
        Node::decode(&many),
        Err(ManifestError::Malformed { reason, .. }) if reason.contains("records")
    ));
    assert!(Node::decode(&vec![0; MAX_NODE_BYTES + 1]).is_err());
}

#[test]
fn nodes_that_do_not_encode_are_refused() {
    let child =
        |text: &str, entries| Child { last_path: path(text), id: empty_tree(), entries, size: 0 };
    let bad = [
        Node::Leaf(vec![(path("b"), file(1)), (path("a"), file(1))]),
        Node::Leaf(vec![(path("a"), file(1)), (path("a"), file(1))]),
        Node::Inner { level: 0, children: vec![child("a", 1)] },
        Node::Inner { level: 16, children: vec![child("a", 1)] },
        Node::Inner { level: 1, children: vec![] },
        Node::Inner { level: 1, children: vec![child("a", 0)] },
        Node::Leaf((0..1025).map(|n| (path(&format!("{n:05}")), file(1))).collect()),
    ];
    for node in bad {
        assert!(node.encode().is_err(), "{node:?}");
    }
}

/// A tree of which every node can be replaced, with honest ids all the way up.
fn forge(
    children: Vec<(Node, LogicalPath)>,
    lie: impl Fn(&mut Vec<Child>),
) -> (MemoryNodes, NodeId) {
    let mut nodes = MemoryNodes::new();
    let mut keep = |node: &Node| {
        let bytes = node.encode().unwrap();
        let id = NodeId::of(&bytes);
        nodes.insert(id, bytes);
        id
    };
    let mut level = 1;
    let mut records: Vec<_> = children
        .into_iter()
        .map(|(node, last_path)| {
            level = node.level() + 1;
            Child { last_path, id: keep(&node), entries: node.entries(), size: node.size() }
        })
        .collect();
    lie(&mut records);
    let root = keep(&Node::Inner { level, children: records });
    (nodes, root)
}

fn leaf_of(paths: &[&str]) -> (Node, LogicalPath) {
    let entries = paths.iter().map(|text| (path(text), file(3))).collect();
    (Node::Leaf(entries), path(paths[paths.len() - 1]))
}

fn damage((mut nodes, root): (MemoryNodes, NodeId)) -> Damage {
    let read: Result<Vec<_>, _> = Tree::new(&mut nodes, root).entries().collect();
    let checked = check_tree(&mut nodes, &empty_tree(), &root, |_, _| Ok(()));
    match (read, checked) {
        (Err(ReadError::Damaged { reason, .. }), Err(_)) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_parent_that_lies_is_found_out() {
    let two = || vec![leaf_of(&["a", "b"]), leaf_of(&["c", "d"])];
    let mismatch = |what| Damage::Mismatch { what };
    let (mut honest, root) = forge(two(), |_| {});
    assert_eq!(Tree::new(&mut honest, root).entries().count(), 4);

    assert_eq!(damage(forge(two(), |c| c[0].entries += 1)), mismatch("entry count"));
    assert_eq!(damage(forge(two(), |c| c[1].size -= 1)), mismatch("size"));
    assert_eq!(damage(forge(two(), |c| c[1].last_path = path("e"))), mismatch("last path"));
    assert_eq!(damage(forge(two(), |c| drop(c.pop()))), Damage::Shape);
    assert_eq!(
        damage(forge(vec![leaf_of(&["a", "c"]), leaf_of(&["b", "d"])], |_| {})),
        Damage::Overlap
    );
    let empty = NodeId::of(&Node::Leaf(vec![]).encode().unwrap());
    let (mut nodes, root) = forge(two(), |c| c[0].id = empty);
    nodes.insert(empty, Node::Leaf(vec![]).encode().unwrap());
    assert_eq!(damage((nodes, root)), Damage::Shape);
    // A level is skipped.
    let (inner, below) = forge(two(), |_| {});
    let node = Node::decode(inner.get(&below).unwrap()).unwrap();
    let (mut nodes, root) = forge(vec![(node, path("d")), (leaf_of(&["e"]).0, path("e"))], |_| {});
    for (id, bytes) in inner.iter() {
        nodes.insert(*id, bytes.to_vec());
    }
    assert_eq!(damage((nodes, root)), mismatch("level"));
    assert_eq!(
        damage(forge(vec![leaf_of(&["a", "a-b"]), leaf_of(&["a/c", "d"])], |_| {})),
        ManifestError::FileAsDirectory { file: path("a"), below: path("a/c") }.into()
    );
}

#[test]
fn an_overlap_two_levels_down_is_found() {
    // The inner nodes are in order; the first leaf below the second is not.
    let wrap = |leaves: Vec<(Node, LogicalPath)>| {
        let (nodes, root) = forge(leaves, |_| {});
        let node = Node::decode(nodes.get(&root).unwrap()).unwrap();
        (nodes, node)
    };
    let (left, a) = wrap(vec![leaf_of(&["a", "b"]), leaf_of(&["m"])]);
    let (right, b) = wrap(vec![leaf_of(&["c", "n"]), leaf_of(&["o"])]);
    let (mut nodes, root) = forge(vec![(a, path("m")), (b, path("o"))], |_| {});
    for (id, bytes) in left.iter().chain(right.iter()) {
        nodes.insert(*id, bytes.to_vec());
    }
    assert_eq!(damage((nodes, root)), Damage::Overlap);
}

#[test]
fn an_overlap_behind_a_skipped_node_is_found() {
    let (mut nodes, before) = forge(vec![leaf_of(&["a", "m"]), leaf_of(&["n", "z"])], |_| {});
    let (new, after) = forge(vec![leaf_of(&["a", "m"]), leaf_of(&["c", "z"])], |_| {});
    for (id, bytes) in new.iter() {
        nodes.insert(*id, bytes.to_vec());
    }
    let last = Diff::new(&mut nodes, before, after).last();
    assert!(
        matches!(&last, Some(Err(ReadError::Damaged { reason: Damage::Overlap, .. }))),
        "{last:?}"
    );
}

#[test]
fn a_missing_node_is_the_sources_error() {
    let (mut nodes, root) = forge(vec![leaf_of(&["a"]), leaf_of(&["b"])], |c| {
        c[1].id = NodeId::from_bytes([9; 32]);
    });
    let last = Tree::new(&mut nodes, root).entries().last();
    let missing = NoSuchNode(NodeId::from_bytes([9; 32]));
    assert_eq!(last, Some(Err(ReadError::Source(missing))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Every byte of every node counts: no change to one goes unnoticed.
    #[test]
    fn every_flipped_bit_is_damage(
        model in any_model(60),
        which: proptest::sample::Index,
        at: proptest::sample::Index,
        bit in 0u8..8,
    ) {
        prop_assume!(!model.is_empty());
        let mut nodes = MemoryNodes::new();
        let root = build(Params::small(), &model, &mut nodes).root;
        let mut ids: Vec<_> = nodes.iter().map(|(id, _)| *id).collect();
        ids.sort();
        let id = ids[which.index(ids.len())];
        let mut bytes = nodes.get(&id).unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // What still decodes must be canonical.
        if let Ok(node) = Node::decode(&bytes) {
            prop_assert_eq!(&node.encode().unwrap(), &bytes);
        }
        nodes.insert(id, bytes);
        let read: Result<Vec<_>, _> = Tree::new(&mut nodes, root).entries().collect();
        let named = matches!(
            read,
            Err(ReadError::Damaged { node, reason: Damage::WrongBytes { .. } }) if node == id
        );
        prop_assert!(named);
    }
}
