use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::node::NodeWriter;
use crate::params::Params;
use crate::*;

pub(super) type Model = BTreeMap<LogicalPath, Entry>;

pub(super) fn path(text: &str) -> LogicalPath {
    LogicalPath::new(text).unwrap()
}

pub(super) fn file(n: u64) -> Entry {
    Entry::File { blob: BlobId::of(&n.to_le_bytes()), size: n }
}

pub(super) fn files(paths: &[&str]) -> Model {
    paths.iter().zip(1..).map(|(text, n)| (path(text), file(n))).collect()
}

pub(super) fn build(params: Params, model: &Model, nodes: &mut MemoryNodes) -> TreeSummary {
    let mut builder = TreeBuilder::with_params(nodes, params);
    for (path, entry) in model {
        builder.push(path, entry).unwrap();
    }
    builder.finish().unwrap()
}

/// The tree as `docs/format.md` describes it, level by level and all in memory.
pub(super) fn build_naively(params: Params, model: &Model) -> NodeId {
    let body = |entry: &Entry| {
        let mut out = Vec::new();
        crate::codec::put_entry(&mut out, entry).unwrap();
        out.len()
    };
    let chunk = |level: u8, weighed: Vec<(LogicalPath, usize)>| {
        let params = params.at(level);
        let (mut cuts, mut count, mut weight) = (Vec::new(), 0, 0);
        for (index, (path, body)) in weighed.iter().enumerate() {
            count += 1;
            weight += path.as_bytes().len() + body;
            let hash = BlobId::of(&[&[level], path.as_bytes()].concat());
            let hash = u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap());
            if count >= params.max
                || weight >= params.max_weight
                || (count >= params.min && hash % params.divisor == 0)
                || index + 1 == weighed.len()
            {
                cuts.push(index + 1);
                (count, weight) = (0, 0);
            }
        }
        cuts
    };
    let record = |node: Node, last_path| Child {
        id: NodeId::of(&node.encode().unwrap()),
        last_path,
        entries: node.entries(),
        size: node.size(),
    };
    if model.is_empty() {
        return NodeId::of(&NodeWriter::new(0).finish());
    }
    let entries: Vec<_> = model.iter().map(|(p, e)| (p.clone(), e.clone())).collect();
    let mut start = 0;
    let mut below = Vec::new();
    for cut in chunk(0, entries.iter().map(|(p, e)| (p.clone(), body(e))).collect()) {
        let last = entries[cut - 1].0.clone();
        below.push(record(Node::Leaf(entries[start..cut].to_vec()), last));
        start = cut;
    }
    for level in 1.. {
        if below.len() == 1 {
            break;
        }
        let cuts = chunk(level, below.iter().map(|c| (c.last_path.clone(), 48)).collect());
        let (mut start, mut next) = (0, Vec::new());
        for cut in cuts {
            let last = below[cut - 1].last_path.clone();
            next.push(record(Node::Inner { level, children: below[start..cut].to_vec() }, last));
            start = cut;
        }
        below = next;
    }
    below[0].id
}

pub(super) fn read(nodes: &mut MemoryNodes, root: NodeId) -> Model {
    Tree::new(nodes, root).entries().collect::<Result<_, _>>().unwrap()
}

/// Entries of every kind; few enough files that contents repeat.
pub(super) fn any_entry() -> impl Strategy<Value = Entry> {
    let text = |limit: usize| {
        let regex = format!("[a-z\"é]{{1,{limit}}}");
        proptest::option::weighted(0.3, proptest::string::string_regex(&regex).unwrap())
    };
    let checksums = proptest::sample::subsequence((1u8..=8).collect::<Vec<_>>(), 0..4);
    let reference = ("[a-z]{1,6}://[a-z/]{1,30}", proptest::option::of(0u64..1 << 40))
        .prop_flat_map(move |(uri, size)| {
            (Just(uri), Just(size), text(20), text(20), text(20), text(60), checksums.clone())
        })
        .prop_map(|(uri, size, etag, version_id, generation, final_uri, codes)| {
            let checksum = |code| {
                let algorithm = Algorithm::from_code(code).unwrap();
                Digest::new(algorithm, &[code; 32][..algorithm.length()]).unwrap()
            };
            let checksums = codes.into_iter().map(checksum).collect();
            let reference =
                Reference { uri, size, etag, version_id, generation, final_uri, checksums };
            Entry::Reference(reference)
        });
    prop_oneof![
        8 => (0u64..40).prop_map(file),
        1 => reference,
        1 => Just(Entry::EmptyDirectory),
    ]
}

/// Paths that are prefixes of each other in every way.
pub(super) fn any_path() -> impl Strategy<Value = LogicalPath> {
    let part = prop_oneof!["[ab]", "[ab][-.0a]", Just("é".to_owned()), "[a-z]{1,12}"];
    proptest::collection::vec(part, 1..4).prop_map(|parts| path(&parts.join("/")))
}

fn conflicts(model: &Model, new: &LogicalPath) -> bool {
    let below = format!("{new}/");
    new.ancestors().any(|above| model.contains_key(above))
        || model.keys().any(|path| path.as_str().starts_with(&below))
}

pub(super) fn insert(model: &mut Model, path: LogicalPath, entry: Entry) {
    if model.contains_key(&path) || !conflicts(model, &path) {
        model.insert(path, entry);
    }
}

/// Whether some entry of the model is used as a directory.
pub(super) fn is_broken(model: &Model) -> bool {
    model.keys().any(|path| path.ancestors().any(|above| model.contains_key(above)))
}

pub(super) fn any_model(most: usize) -> impl Strategy<Value = Model> {
    proptest::collection::vec((any_path(), any_entry()), 0..most).prop_map(|pairs| {
        let mut model = Model::new();
        for (path, entry) in pairs {
            insert(&mut model, path, entry);
        }
        model
    })
}

/// What to do to a model: entries to put, and shares of entries to remove.
pub(super) type Touch = (Vec<(LogicalPath, Entry)>, Vec<proptest::sample::Index>);

pub(super) fn any_touch() -> impl Strategy<Value = Touch> {
    (
        proptest::collection::vec((any_path(), any_entry()), 0..8),
        proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
    )
}

pub(super) fn touch(model: &Model, (put, remove): &Touch) -> Model {
    let mut touched = model.clone();
    for index in remove {
        if !touched.is_empty() {
            let victim = touched.keys().nth(index.index(touched.len())).unwrap().clone();
            touched.remove(&victim);
        }
    }
    for (path, entry) in put {
        insert(&mut touched, path.clone(), entry.clone());
    }
    touched
}

pub(super) fn edits(from: &Model, to: &Model) -> BTreeMap<LogicalPath, Edit> {
    let removed = from.keys().filter(|path| !to.contains_key(*path));
    let put = to.iter().filter(|(path, entry)| from.get(*path) != Some(entry));
    removed
        .map(|path| (path.clone(), Edit::Remove))
        .chain(put.map(|(path, entry)| (path.clone(), Edit::Put(entry.clone()))))
        .collect()
}
