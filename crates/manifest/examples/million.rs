//! Measures the tree at a million entries: `cargo run --release -p
//! heirloom-manifest --example million [entries]`. Times are CPU time of this
//! process where the system tells it (Linux), else wall time.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::time::Instant;

use heirloom_manifest::{
    BlobId, Diff, Discard, Edit, Entry, LogicalPath, MemoryNodes, NodeId, NodeSink, Tree,
    TreeBuilder, TreeSummary, check_tree, patch, visit_links,
};

fn main() {
    let count: u64 = std::env::args().nth(1).map_or(1_000_000, |text| text.parse().unwrap());
    let paths: Vec<LogicalPath> = (0..count).map(name).collect();
    let entries: Vec<Entry> = (0..count).map(|n| file(n, 0)).collect();

    let build = |sink: &mut dyn NodeSink<Error = std::convert::Infallible>| {
        let mut builder = TreeBuilder::new(sink);
        for (path, entry) in paths.iter().zip(&entries) {
            builder.push(path, entry).unwrap();
        }
        builder.finish().unwrap()
    };
    timed("build, nodes dropped", || build(&mut Discard));
    let mut nodes = MemoryNodes::new();
    let tree: TreeSummary = timed("build, nodes kept", || build(&mut nodes));
    let bytes: usize = nodes.iter().map(|(_, bytes)| bytes.len()).sum();
    println!("{:>28}: {} nodes, {} KiB, {}", "tree", nodes.len(), bytes >> 10, tree.manifest);

    timed("read every entry", || {
        assert_eq!(Tree::new(&mut nodes, tree.root).entries().count() as u64, count);
    });
    timed("visit every link", || {
        let mut blobs = 0;
        for (_, bytes) in nodes.iter() {
            visit_links(bytes, |_| blobs += 1).unwrap();
        }
        assert!(blobs as u64 >= count);
    });
    timed("check the whole tree", || {
        check_tree(&mut nodes, &heirloom_manifest::empty_tree(), &tree.root, |_, _| Ok(()))
            .unwrap();
    });
    const LOOKUPS: u64 = 1000;
    timed("1000 look-ups", || {
        for i in 0..LOOKUPS {
            let n = spread(i, count);
            let found = Tree::new(&mut nodes, tree.root).lookup(&paths[n as usize]).unwrap();
            assert_eq!(found.as_ref(), Some(&entries[n as usize]));
        }
    });
    timed("list the top directory", || {
        let items = Tree::new(&mut nodes, tree.root).list_dir(None, None).count();
        assert!(items > 0);
    });

    const PATCHES: u64 = 1000;
    let mut written: Vec<u64> = Vec::new();
    timed("1000 patches of one entry", || {
        for i in 0..PATCHES {
            let n = spread(i, count);
            let edits = [(paths[n as usize].clone(), Edit::Put(file(n, 1)))];
            written.push(patch(&mut nodes, &tree.root, edits, &mut Discard).unwrap().bytes);
        }
    });
    written.sort_unstable();
    let at = |share: u64| written[(share * (PATCHES - 1) / 1000) as usize];
    println!(
        "{:>28}: median {} · 90 % {} · 99 % {} · most {}",
        "bytes per changed entry",
        at(500),
        at(900),
        at(990),
        at(1000)
    );
    let over = written.iter().filter(|bytes| **bytes > 64 << 10).count();
    println!("{:>28}: {over} of {PATCHES}", "of these above 64 KiB");

    let mut after: Vec<NodeId> = Vec::new();
    for i in 0..10 {
        let n = spread(i, count);
        let edits = [(paths[n as usize].clone(), Edit::Put(file(n, 1)))];
        let mut new = MemoryNodes::new();
        after.push(patch(&mut nodes, &tree.root, edits, &mut new).unwrap().tree.root);
        for (id, bytes) in new.iter() {
            nodes.insert(*id, bytes.to_vec());
        }
    }
    timed("10 diffs of one entry", || {
        for other in &after {
            assert_eq!(Diff::new(&mut nodes, tree.root, *other).count(), 1);
        }
    });
    timed("patch of 1 % of the entries", || {
        let edits =
            (0..count).step_by(100).map(|n| (paths[n as usize].clone(), Edit::Put(file(n, 1))));
        patch(&mut nodes, &tree.root, edits, &mut Discard).unwrap();
    });
}

/// Names as a data set has them.
fn name(n: u64) -> LogicalPath {
    LogicalPath::new(&format!("images/train/class-{:04}/{n:08}.jpeg", n / 1000)).unwrap()
}

fn file(n: u64, edition: u64) -> Entry {
    let blob = BlobId::of(&[n.to_le_bytes(), edition.to_le_bytes()].concat());
    Entry::File { blob, size: 100_000 + n % 50_000 }
}

fn spread(i: u64, count: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (wall, cpu) = (Instant::now(), cpu_ticks());
    let result = work();
    let wall = wall.elapsed().as_secs_f64() * 1e3;
    match (cpu, cpu_ticks()) {
        // The tick is 1/100 s on every Linux in use.
        (Some(before), Some(after)) => {
            println!("{what:>28}: {wall:8.1} ms wall, {:5} ms CPU", (after - before) * 10);
        }
        _ => println!("{what:>28}: {wall:8.1} ms wall"),
    }
    result
}

/// User and system time of this process in clock ticks.
fn cpu_ticks() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}
