//! The test vectors of `docs/format.md`, sections 1 to 3, read from that page:
//! code and specification cannot drift apart. The values on the page were computed
//! by an independent implementation, written from the page in another language.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use heirloom_manifest::{
    Algorithm, BlobId, Digest, Discard, Entry, LogicalPath, ManifestId, MemoryNodes, Node, NodeId,
    Reference, Tree, TreeBuilder, TreeSummary,
};

/// The fenced block `name` of the page: `key: value` lines, where a value goes
/// on in lines that start with a space.
fn vector(name: &str) -> BTreeMap<String, String> {
    let page = include_str!("../../../docs/format.md");
    let fence = format!("```vector {name}\n");
    let (_, rest) = page.split_once(&fence).unwrap_or_else(|| panic!("no vector {name}"));
    let (block, _) = rest.split_once("\n```").unwrap();
    let mut values = BTreeMap::new();
    let mut key = String::new();
    for line in block.lines() {
        // What follows `|` explains the bytes before it.
        let line = line.split('|').next().unwrap();
        if line.starts_with(' ') {
            values.entry(key.clone()).and_modify(|value: &mut String| value.push_str(line.trim()));
        } else {
            let (name, value) = line.split_once(':').unwrap();
            key = name.to_owned();
            values.insert(key.clone(), value.trim().to_owned());
        }
    }
    values
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn build(entries: &[(LogicalPath, Entry)]) -> (TreeSummary, MemoryNodes) {
    let mut nodes = MemoryNodes::new();
    let mut builder = TreeBuilder::new(&mut nodes);
    for (path, entry) in entries {
        builder.push(path, entry).unwrap();
    }
    (builder.finish().unwrap(), nodes)
}

fn check(name: &str, tree: &TreeSummary, nodes: &MemoryNodes) {
    let vector = vector(name);
    assert_eq!(vector["root"], tree.root.to_string(), "{name}");
    assert_eq!(vector["version digest"], tree.manifest.to_string(), "{name}");
    if let Some(bytes) = vector.get("node") {
        assert_eq!(hex(&from_hex(bytes)), hex(nodes.get(&tree.root).unwrap()), "{name}");
    }
}

#[test]
fn the_empty_tree() {
    let (tree, nodes) = build(&[]);
    check("empty", &tree, &nodes);
}

#[test]
fn one_entry_of_each_kind() {
    let reference = Reference {
        uri: "s3://models/base.bin".to_owned(),
        size: Some(1 << 20),
        etag: Some("\"abc\"".to_owned()),
        version_id: Some("v1".to_owned()),
        generation: None,
        final_uri: None,
        checksums: vec![
            Digest::new(Algorithm::Sha256, &[0x11; 32]).unwrap(),
            Digest::new(Algorithm::Crc32c, &[0x22; 4]).unwrap(),
        ],
    };
    let file = Entry::File { blob: BlobId::of(b"hello\n"), size: 6 };
    let entries = [
        ("data/base.bin".parse().unwrap(), Entry::Reference(reference)),
        ("data/readme.txt".parse().unwrap(), file),
        ("logs".parse().unwrap(), Entry::EmptyDirectory),
    ];
    let (tree, nodes) = build(&entries);
    check("three", &tree, &nodes);

    // And the other way: the page's bytes alone lead to the entries.
    let bytes = from_hex(&vector("three")["node"]);
    assert_eq!(Node::decode(&bytes).unwrap(), Node::Leaf(entries.to_vec()));
    assert_eq!(ManifestId::of_root(&NodeId::of(&bytes)), tree.manifest);
}

/// The rule that the page states for its generated tree.
fn generated() -> Vec<(LogicalPath, Entry)> {
    (0..10_000u64)
        .map(|i| {
            let path = format!("part-{:02}/{i:05}.bin", i / 100).parse().unwrap();
            (path, Entry::File { blob: BlobId::of(&i.to_le_bytes()), size: i })
        })
        .collect()
}

#[test]
fn ten_thousand_entries() {
    let entries = generated();
    let (tree, mut nodes) = build(&entries);
    check("generated", &tree, &nodes);
    let vector = vector("generated");
    assert_eq!(vector["entries"], tree.entries.to_string());
    assert_eq!(vector["size"], tree.size.to_string());
    let mut levels = [0; 16];
    for (_, bytes) in nodes.iter() {
        levels[usize::from(Node::decode(bytes).unwrap().level())] += 1;
    }
    let counts: Vec<_> =
        levels.iter().take_while(|count| **count > 0).map(ToString::to_string).collect();
    assert_eq!(vector["nodes by level"], counts.join(", "));
    let ends: Vec<_> = Tree::new(&mut nodes, tree.root)
        .entries()
        .map(|entry| entry.unwrap())
        .zip(&entries)
        .filter(|(read, pushed)| read != *pushed)
        .collect();
    assert!(ends.is_empty());
}

/// The vectors would be worth little if the order of the fields did not matter.
#[test]
fn a_swapped_pair_of_entries_has_another_digest() {
    let mut entries = generated();
    let (first, second) = (entries[0].1.clone(), entries[1].1.clone());
    (entries[0].1, entries[1].1) = (second, first);
    let mut builder = TreeBuilder::new(Discard);
    for (path, entry) in &entries {
        builder.push(path, entry).unwrap();
    }
    let swapped = builder.finish().unwrap();
    assert_ne!(vector("generated")["root"], swapped.root.to_string());
}
