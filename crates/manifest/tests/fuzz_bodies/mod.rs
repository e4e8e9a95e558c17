//! What fuzzing checks of this crate's parsers: plain functions of bytes, run by
//! the targets in `fuzz/` and by `tests/fuzz.rs` on generated input.
#![allow(dead_code, clippy::unwrap_used)]

use heirloom_manifest::{
    BlobId, Digest, LogicalPath, ManifestId, MemoryNodes, Node, NodeId, PathError, Tree,
    check_tree, empty_tree, visit_links,
};

/// A path that parses obeys every rule and is kept byte for byte.
pub(crate) fn path(bytes: &[u8]) {
    let Ok(path) = LogicalPath::from_bytes(bytes) else {
        return;
    };
    assert_eq!(path.as_bytes(), bytes);
    assert_eq!(path.to_string().parse::<LogicalPath>().as_ref(), Ok(&path));
    assert!(!bytes.contains(&0) && !bytes.starts_with(b"/") && !bytes.starts_with(b"\\"));
    for part in path.as_str().split(['/', '\\']) {
        assert_ne!(part, "..");
    }
    for part in path.parts() {
        assert!(!part.is_empty() && part != ".");
    }
    assert_eq!(path.join(".."), Err(PathError::ParentSegment));
    for above in path.ancestors() {
        assert!(path.is_within(above) && LogicalPath::new(above).is_ok());
    }
    assert!(!path.escaped().contains(char::is_control));
}

/// A node that decodes is the one encoding of what it decodes to, and the light
/// reader agrees with the full one.
pub(crate) fn node(bytes: &[u8]) {
    let mut links = 0u64;
    let visited = visit_links(bytes, |_| links += 1);
    match Node::decode(bytes) {
        Ok(node) => {
            assert_eq!(node.encode().unwrap(), bytes);
            assert_eq!(visited.unwrap(), node.level());
            assert!(links <= node.entries());
        }
        Err(error) => assert_eq!(visited, Err(error)),
    }
}

/// Cuts the input into nodes (a length in two bytes before each), the last one
/// the root, wires the others up under it where it leaves room, and reads that
/// tree in every way. Nothing may panic, hang or use memory beyond the nodes'.
pub(crate) fn tree(bytes: &[u8]) {
    let mut nodes = MemoryNodes::new();
    let mut rest = bytes;
    let mut last = NodeId::of(&[]);
    while let [low, high, tail @ ..] = rest {
        let length = (usize::from(*low) | usize::from(*high) << 8).min(tail.len());
        let (node, tail) = tail.split_at(length);
        let mut node = node.to_vec();
        // An id cannot be guessed by a fuzzer: 32 times 0xfe stand for the node
        // before this one.
        if let Some(at) = node.windows(32).position(|window| window == [0xfe; 32]) {
            node[at..at + 32].copy_from_slice(last.as_bytes());
        }
        last = NodeId::of(&node);
        nodes.insert(last, node);
        rest = tail;
    }
    let mut paths = Vec::new();
    let mut failed = false;
    for entry in Tree::new(&mut nodes, last).entries() {
        match entry {
            Ok((path, _)) => paths.push(path),
            Err(_) => failed = true,
        }
    }
    assert!(paths.windows(2).all(|pair| pair[0] < pair[1]));
    let mut tree = Tree::new(&mut nodes, last);
    let listed = tree.list_dir(None, None).count();
    assert!(failed || listed <= paths.len());
    for path in paths.iter().take(8) {
        assert!(failed || tree.lookup(path).unwrap().is_some());
    }
    if let Ok(summary) = check_tree(&mut nodes, &empty_tree(), &last, |_, _| Ok(())) {
        assert!(!failed && summary.entries == paths.len() as u64 && summary.root == last);
    }
}

/// A digest that parses prints as it was written.
pub(crate) fn digest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::new(digest.algorithm(), digest.as_bytes()), Some(digest));
    }
    for (parsed, again) in [
        (text.parse::<BlobId>().is_ok(), text.parse::<BlobId>().map(|id| id.to_string())),
        (text.parse::<NodeId>().is_ok(), text.parse::<NodeId>().map(|id| id.to_string())),
        (text.parse::<ManifestId>().is_ok(), text.parse::<ManifestId>().map(|id| id.to_string())),
    ] {
        assert!(!parsed || again.as_deref() == Ok(text));
    }
}
