//! Manifests of someone who wants to write outside a download directory: every
//! trick with a path, in every place of a tree where a path can stand.

use std::collections::BTreeSet;

use heirloom_api::{Backend, Commit};
use heirloom_core::ErrorCode;
use heirloom_manifest::{BlobId, LogicalPath, MemoryNodes, Node, NodeId};
use heirloom_repository::{Repository, RepositoryBackend, SystemEnvironment};

use crate::support::*;

/// What a path may never be, said once more and plainly.
fn is_hostile(path: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(path) else { return true };
    let drive = text.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && text.as_bytes().get(1) == Some(&b':');
    let odd = |part: &str| part.is_empty() || part == ".";
    text.len() > 4096
        || drive
        || text.contains('\0')
        || text.starts_with(['/', '\\'])
        || text.split('/').any(odd)
        || text.split(['/', '\\']).any(|part| part == "..")
}

/// Tricks, with something before and behind them.
fn hostile_paths() -> BTreeSet<Vec<u8>> {
    const TRICKS: [&[u8]; 30] = [
        b"..",
        b"../..",
        b"..\\..",
        b"..\\../..",
        b".",
        b"./.",
        b"/",
        b"//",
        b"/etc/passwd",
        b"//host/share",
        b"\\",
        b"\\etc",
        b"\\\\host\\share",
        b"\\\\?\\C:\\x",
        b"\\\\.\\nul",
        b"C:",
        b"c:/x",
        b"Z:\\x",
        b"d:x",
        b"\0",
        b"a\0b",
        b"..\0",
        b"\xff",
        b"\xc0\xae\xc0\xae",
        b"\xe0\x80\xae",
        b"\xed\xa0\x80",
        b"a//b",
        b"a/./b",
        b"a/../b",
        b"a\\..\\b",
    ];
    const BEFORE: [&[u8]; 5] = [b"", b"a/", b"a\\", b"\xc3\xa9/", b"..."];
    const BEHIND: [&[u8]; 5] = [b"", b"/x", b"\\x", b"/..", b" "];
    let mut paths = BTreeSet::from([vec![b'x'; 4097]]);
    for before in BEFORE {
        for trick in TRICKS {
            paths.extend(BEHIND.iter().map(|behind| [before, trick, behind].concat()));
        }
    }
    paths.retain(|path| is_hostile(path));
    paths
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A path as a record has it after the one before.
fn key(before: &[u8], path: &[u8]) -> Vec<u8> {
    let shared = before.iter().zip(path).take_while(|(a, b)| a == b).count();
    [varint(shared), varint(path.len() - shared), path[shared..].to_vec()].concat()
}

fn node(level: u8, records: &[Vec<u8>]) -> Vec<u8> {
    [b"HM\x01".to_vec(), vec![level], varint(records.len()), records.concat()].concat()
}

/// The content of every file.
const CONTENT: &[u8] = b"evil";

/// Trees with a path in some place: their nodes, the root last.
fn ways_in(path: &[u8]) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let file = [vec![0, CONTENT.len() as u8], BlobId::of(CONTENT).as_bytes().to_vec()].concat();
    let reference = b"\x01\x08file:///\x00\x00".to_vec();
    let directory = vec![2];
    let alone = |body: &[u8]| node(0, &[[key(b"", path), body.to_vec()].concat()]);
    let mut ways = vec![
        ("a file", vec![alone(&file)]),
        ("a reference", vec![alone(&reference)]),
        ("an empty directory", vec![alone(&directory)]),
    ];
    // Behind one that is in order and shares all but its last byte.
    if path.len() > 1 && path[path.len() - 1] > b'\x01' {
        let mut good = path.to_vec();
        *good.last_mut().unwrap() = b'\x01';
        let records =
            [[key(b"", &good), file.clone()].concat(), [key(&good, path), file.clone()].concat()];
        ways.push(("a file after its neighbour", vec![node(0, &records)]));
    }
    // As the last path of a good leaf, told by the node above.
    let good = node(0, &[[key(b"", b"a"), file].concat()]);
    let told = |path: &[u8], before: &[u8], of: &[u8]| {
        let counts = [1, CONTENT.len() as u8];
        [key(before, path), NodeId::of(of).as_bytes().to_vec(), counts.to_vec()].concat()
    };
    let inner = node(1, &[told(b"\x01", b"", &good), told(path, b"\x01", &good)]);
    ways.push(("the end of a leaf", vec![good, inner]));
    ways
}

async fn refused(backend: &RepositoryBackend, nodes: &[Vec<u8>], what: &str) {
    let mut stored = MemoryNodes::new();
    let mut root = None;
    for bytes in nodes {
        let id = NodeId::of(bytes);
        stored.insert(id, bytes.clone());
        root = Some(id);
    }
    let p = project("default");
    let draft = begin(backend, &p, "x").await;
    let mut uploader = backend.uploader(draft).await.unwrap();
    send(&mut *uploader, &[CONTENT], &stored);
    let commit = Commit { draft: Some(draft), ..commit_of(&p, "x", root.unwrap()) };
    let problem = backend.commit(commit).await.expect_err(what);
    assert_eq!(problem.code, ErrorCode::Invalid, "{what}: {problem}");
    backend.abort_draft(draft).await.unwrap();
}

#[tokio::test]
#[allow(clippy::print_stdout)]
async fn no_hostile_path_is_committed_whatever_its_place() {
    let repository = Repository::in_memory(SystemEnvironment);
    let backend = owner(&repository);
    for (place, nodes) in ways_in(b"good/path") {
        let good = Node::decode(nodes.last().unwrap());
        assert!(good.is_ok(), "a good path as {place}: {good:?}");
    }
    let paths = hostile_paths();
    let mut manifests = 0;
    for path in &paths {
        assert!(LogicalPath::from_bytes(path).is_err(), "{}", path.escape_ascii());
        for (place, nodes) in ways_in(path) {
            let what = format!("`{}` as {place}", path.escape_ascii());
            assert!(Node::decode(nodes.last().unwrap()).is_err(), "{what}");
            refused(&backend, &nodes, &what).await;
            manifests += 1;
        }
    }
    println!("{} paths, {manifests} manifests", paths.len());
    assert!(manifests >= 2000, "{manifests}");
    assert_eq!(backend.verify(None).await.unwrap().versions, 0);
}
