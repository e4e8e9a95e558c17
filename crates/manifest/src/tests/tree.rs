//! Building and reading.

use proptest::prelude::*;

use super::support::*;
use crate::params::{FORMAT, Params};
use crate::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn a_tree_is_what_the_format_says_and_reads_back(model in any_model(120)) {
        for params in [Params::small(), FORMAT] {
            let mut nodes = MemoryNodes::new();
            let tree = build(params, &model, &mut nodes);
            prop_assert_eq!(tree.root, build_naively(params, &model));
            prop_assert_eq!(tree.entries, model.len() as u64);
            prop_assert_eq!(tree.size, model.values().map(Entry::size).sum::<u64>());
            prop_assert_eq!(tree.manifest, ManifestId::of_root(&tree.root));
            prop_assert_eq!(Tree::new(&mut nodes, tree.root).summary().unwrap(), tree);
            prop_assert_eq!(&read(&mut nodes, tree.root), &model);
        }
    }

    #[test]
    fn every_node_encodes_to_the_bytes_it_was_decoded_from(model in any_model(120)) {
        let mut nodes = MemoryNodes::new();
        build(Params::small(), &model, &mut nodes);
        for (id, bytes) in nodes.iter() {
            let node = Node::decode(bytes).unwrap();
            prop_assert_eq!(&node.encode().unwrap()[..], bytes);
            prop_assert_eq!(NodeId::of(bytes), *id);
            let mut links = Vec::new();
            prop_assert_eq!(visit_links(bytes, |link| links.push(link)).unwrap(), node.level());
            let expected: Vec<_> = match &node {
                Node::Leaf(entries) => entries
                    .iter()
                    .filter_map(|(_, e)| Some(Link::Blob(*e.blob()?, e.size())))
                    .collect(),
                Node::Inner { children, .. } => children.iter().map(|c| Link::Child(c.id)).collect(),
            };
            prop_assert_eq!(links, expected);
        }
    }

    #[test]
    fn lookups_find_what_is_there_and_nothing_else(model in any_model(80), other in any_path()) {
        let mut nodes = MemoryNodes::new();
        let root = build(Params::small(), &model, &mut nodes).root;
        let mut tree = Tree::new(&mut nodes, root);
        for (path, entry) in &model {
            let found = tree.lookup(path).unwrap();
            prop_assert_eq!(found.as_ref(), Some(entry));
        }
        let found = tree.lookup(&other).unwrap();
        prop_assert_eq!(found.as_ref(), model.get(&other));
    }

    #[test]
    fn ranges_match_a_filter(
        model in any_model(80),
        within in proptest::option::of(any_path()),
        after in proptest::option::of(any_path()),
    ) {
        let mut nodes = MemoryNodes::new();
        let root = build(Params::small(), &model, &mut nodes).root;
        let expected: Vec<_> = model
            .iter()
            .filter(|(path, _)| within.as_ref().is_none_or(|dir| path.is_within(dir.as_str())))
            .filter(|(path, _)| after.as_ref().is_none_or(|after| *path > after))
            .map(|(path, entry)| (path.clone(), entry.clone()))
            .collect();
        let range = Range { within, after };
        let found: Vec<_> =
            Tree::new(&mut nodes, root).range(range).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn directories_list_what_is_below_them(
        model in any_model(80),
        dir in proptest::option::of(any_path()),
        skip in 0usize..6,
    ) {
        let mut nodes = MemoryNodes::new();
        let root = build(Params::small(), &model, &mut nodes).root;
        let prefix = dir.as_ref().map(|dir| format!("{dir}/")).unwrap_or_default();
        let mut expected: Vec<DirItem> = Vec::new();
        for (path, entry) in &model {
            let Some(rest) = path.as_str().strip_prefix(&prefix) else { continue };
            match (rest.split_once('/'), expected.last_mut()) {
                (Some((child, _)), Some(DirItem::Directory { name, entries, size }))
                    if name == child =>
                {
                    *entries += 1;
                    *size += entry.size();
                }
                (Some((child, _)), _) => expected.push(DirItem::Directory {
                    name: child.to_owned(),
                    entries: 1,
                    size: entry.size(),
                }),
                (None, _) => expected
                    .push(DirItem::Entry { name: rest.to_owned(), entry: entry.clone() }),
            }
        }
        let mut tree = Tree::new(&mut nodes, root);
        let all: Vec<_> = tree.list_dir(dir.as_ref(), None).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&all, &expected);
        if let Some(last) = expected.get(skip) {
            let rest: Vec<_> = tree
                .list_dir(dir.as_ref(), Some(&last.key()))
                .collect::<Result<_, _>>()
                .unwrap();
            prop_assert_eq!(&rest[..], &expected[skip + 1..]);
        }
    }

    #[test]
    fn an_entry_used_as_a_directory_is_always_found(
        paths in proptest::collection::btree_set(any_path(), 0..60),
    ) {
        let model: Model = paths.into_iter().map(|path| (path, file(1))).collect();
        let mut builder = TreeBuilder::with_params(Discard, Params::small());
        let broken = model.iter().find_map(|(path, entry)| builder.push(path, entry).err());
        match broken {
            None => prop_assert!(!is_broken(&model)),
            Some(BuildError::Invalid(ManifestError::FileAsDirectory { file, below })) => {
                prop_assert!(model.contains_key(&file) && model.contains_key(&below));
                prop_assert!(below != file && below.is_within(file.as_str()));
            }
            Some(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn pushes_out_of_order_are_refused_by_their_rule() {
    let mut builder = TreeBuilder::new(Discard);
    builder.push(&path("b"), &file(1)).unwrap();
    assert_eq!(
        builder.push(&path("b"), &file(2)),
        Err(ManifestError::Duplicate { path: path("b") }.into())
    );
    assert_eq!(
        builder.push(&path("a/c"), &file(2)),
        Err(ManifestError::OutOfOrder { path: path("a/c"), after: path("b") }.into())
    );
}

#[test]
fn entries_that_the_format_cannot_hold_are_refused() {
    let digest = |algorithm| Digest::new(algorithm, &[0; 16]).unwrap();
    let bad = [
        Entry::File { blob: BlobId::of(b""), size: 1 << 63 },
        Entry::Reference(Reference::new("")),
        Entry::Reference(Reference::new("x".repeat(8193))),
        Entry::Reference(Reference { size: Some(1 << 63), ..Reference::new("s3://b/k") }),
        Entry::Reference(Reference { etag: Some(String::new()), ..Reference::new("s3://b/k") }),
        Entry::Reference(Reference { generation: Some("1".repeat(1025)), ..Reference::new("x:") }),
        Entry::Reference(Reference {
            checksums: vec![digest(Algorithm::Xxh128), digest(Algorithm::Md5)],
            ..Reference::new("x:")
        }),
        Entry::Reference(Reference {
            checksums: vec![digest(Algorithm::Md5), digest(Algorithm::Md5)],
            ..Reference::new("x:")
        }),
    ];
    for entry in bad {
        let refused = TreeBuilder::new(Discard).push(&path("a"), &entry);
        assert!(
            matches!(&refused, Err(BuildError::Invalid(ManifestError::InvalidEntry { .. }))),
            "{entry:?}: {refused:?}"
        );
    }
    let most = Entry::File { blob: BlobId::of(b""), size: u64::MAX >> 1 };
    let mut builder = TreeBuilder::with_params(Discard, Params::small());
    builder.push(&path("a"), &most).unwrap();
    builder.push(&path("b"), &file(0)).unwrap();
    let refused = builder.push(&path("c"), &file(1)).and_then(|()| builder.finish().map(drop));
    assert_eq!(refused, Err(ManifestError::TooLarge.into()));
}

#[test]
fn the_largest_entries_fit_a_node() {
    let long = |n: usize| Some("é".repeat(n / 2));
    let reference = Reference {
        uri: "u".repeat(MAX_URI_BYTES),
        size: Some(u64::MAX >> 1),
        etag: long(MAX_PIN_BYTES),
        version_id: long(MAX_PIN_BYTES),
        generation: long(MAX_PIN_BYTES),
        final_uri: long(MAX_URI_BYTES),
        checksums: (1..=8)
            .map(|code| {
                let algorithm = Algorithm::from_code(code).unwrap();
                Digest::new(algorithm, &[code; 32][..algorithm.length()]).unwrap()
            })
            .collect(),
    };
    let model: Model = (0..40)
        .map(|n| (path(&format!("{n:04096}")), Entry::Reference(reference.clone())))
        .map(|(p, mut e)| {
            if let Entry::Reference(r) = &mut e {
                r.size = Some(1);
            }
            (p, e)
        })
        .collect();
    let mut nodes = MemoryNodes::new();
    let tree = build(FORMAT, &model, &mut nodes);
    assert_eq!(tree.root, build_naively(FORMAT, &model));
    assert_eq!(read(&mut nodes, tree.root), model);
    assert!(nodes.iter().all(|(_, bytes)| bytes.len() < MAX_NODE_BYTES));
    assert!(nodes.len() > 2);
}

/// Notes what is asked for and announced.
struct Watching<'a> {
    nodes: &'a mut MemoryNodes,
    asked: Vec<NodeId>,
    announced: Vec<NodeId>,
}

impl NodeSource for Watching<'_> {
    type Bytes = std::sync::Arc<[u8]>;
    type Error = NoSuchNode;

    fn node(&mut self, id: &NodeId) -> Result<Self::Bytes, NoSuchNode> {
        self.asked.push(*id);
        self.nodes.node(id)
    }

    fn prefetch(&mut self, ids: &[NodeId]) {
        self.announced.extend(ids);
    }
}

#[test]
fn reading_asks_for_what_it_needs_and_announces_most_of_it() {
    let model: Model =
        (0..4000u64).map(|n| (path(&format!("d{:02}/{n:06}", n / 100)), file(n))).collect();
    let mut nodes = MemoryNodes::new();
    let tree = build(Params::small(), &model, &mut nodes);
    let total = nodes.len();
    let mut source = Watching { nodes: &mut nodes, asked: vec![], announced: vec![] };

    assert_eq!(Tree::new(&mut source, tree.root).entries().count(), 4000);
    assert_eq!(source.asked.len(), total, "every node once");
    let announced: std::collections::HashSet<_> = source.announced.drain(..).collect();
    assert!(announced.is_subset(&source.asked.drain(..).collect()));
    assert!(announced.len() * 2 > total, "{} of {total}", announced.len());

    let listed = Tree::new(&mut source, tree.root)
        .list_dir(None, None)
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    assert_eq!(listed.len(), 40);
    assert!(listed.iter().all(|item| matches!(item, DirItem::Directory { entries: 100, .. })));
    assert!(source.asked.len() * 2 < total, "{} of {total}", source.asked.len());
    source.asked.clear();

    let height = Node::decode(source.nodes.get(&tree.root).unwrap()).unwrap().level() + 1;
    Tree::new(&mut source, tree.root).lookup(&path("d20/002000")).unwrap().unwrap();
    assert_eq!(source.asked.len(), usize::from(height));
}

#[test]
fn the_empty_tree_needs_no_source() {
    let mut nothing = MemoryNodes::new();
    let mut tree = Tree::new(&mut nothing, empty_tree());
    assert_eq!(tree.summary().unwrap().entries, 0);
    assert!(tree.entries().next().is_none() && tree.list_dir(None, None).next().is_none());
    assert_eq!(tree.lookup(&path("a")).unwrap(), None);
    let built = TreeBuilder::new(&mut nothing).finish().unwrap();
    assert_eq!(built.root, empty_tree());
    assert!(nothing.get(&empty_tree()).is_some(), "the builder emits it all the same");
}
