//! Times a scan against `find`.
//!
//! `cargo run --release -p heirloom-worktree --example bench_scan -- DIR [FILES [PER_DIRECTORY]]`
//! makes FILES files of 4 KiB below DIR/tree if DIR does not exist, hashes them
//! into a stat cache, and scans again beside it. Compare with
//! `time find DIR/tree -type f -printf '%s %T@\n' >/dev/null`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fs;
use std::io::{BufReader, BufWriter, Seek};
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use heirloom_manifest::BlobId;
use heirloom_worktree::{
    Links, Root, ScanKind, ScanOptions, ScanReport, SpoolReader, SpoolWriter, StatCache,
    StatCacheWriter, Writer, WriterOptions, cache_path, read_small, scan,
};

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().expect("a directory"));
    let files: usize = args.next().map_or(50_000, |n| n.parse().expect("a number"));
    let per_directory: usize = args.next().map_or(1000, |n| n.parse().expect("a number"));
    let tree = dir.join("tree");
    if !dir.exists() {
        let content: Vec<u8> = (0..4096).map(|n| (n * 7 % 251) as u8).collect();
        for n in 0..files {
            let parent = tree.join(format!("part-{:05}", n / per_directory));
            if n % per_directory == 0 {
                fs::create_dir_all(&parent).unwrap();
            }
            let mut content = content.clone();
            content[..8].copy_from_slice(&n.to_le_bytes());
            fs::write(parent.join(format!("image-{n:07}.bin")), content).unwrap();
        }
    }
    let root = Root::open(&tree).unwrap();
    let file_of_cache = cache_path(&dir, &root);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;

    let first = timed("scan, nothing known", || {
        scan(&root, &ScanOptions::default(), &mut StatCache::empty(), |_| Ok::<_, ()>(())).unwrap()
    });
    assert!(first.problems.is_empty());
    timed("read, hash and write the cache", || {
        let mut cache = StatCacheWriter::create(&file_of_cache, &root, now).unwrap();
        let mut buffer = Vec::new();
        let report = scan(&root, &ScanOptions::default(), &mut StatCache::empty(), |entry| {
            if let ScanKind::File { stat, .. } = entry.kind {
                read_small(&root, &entry.path, &stat, Links::Follow, &mut buffer)?;
                cache.add(&entry.path, &stat, &BlobId::of(&buffer))?;
            }
            Ok::<_, heirloom_worktree::Error>(())
        })
        .unwrap();
        cache.commit().unwrap();
        report
    });
    println!("cache file: {} KiB", fs::metadata(&file_of_cache).unwrap().len() / 1024);
    for _ in 0..5 {
        timed("scan beside the cache", || {
            scan(
                &root,
                &ScanOptions::default(),
                &mut StatCache::open(&file_of_cache, &root),
                |_| Ok::<_, ()>(()),
            )
            .unwrap()
        });
    }
    timed("scan beside the cache, one thread", || {
        let options = ScanOptions { threads: 1, ..ScanOptions::default() };
        scan(&root, &options, &mut StatCache::open(&file_of_cache, &root), |_| Ok::<_, ()>(()))
            .unwrap()
    });
    timed("scan into a spool, and read it back", || {
        let file = fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(dir.join("spool"));
        let mut spool = SpoolWriter::new(BufWriter::new(file.unwrap())).unwrap();
        let report = scan(
            &root,
            &ScanOptions::default(),
            &mut StatCache::open(&file_of_cache, &root),
            |entry| spool.push(&entry),
        )
        .unwrap();
        let mut file = spool.finish().unwrap().into_inner().unwrap();
        file.rewind().unwrap();
        let start = Instant::now();
        let read = SpoolReader::new(BufReader::new(file)).unwrap().map(Result::unwrap).count();
        println!("  spool: {read} entries read back in {:?}", start.elapsed());
        report
    });
    println!("peak memory so far: {} KiB", peak());
    if files <= 100_000 {
        let target = dir.join("copy");
        let _ = fs::remove_dir_all(&target);
        timed("copy all with write_small", || {
            let writer = Writer::open(&target, WriterOptions::default()).unwrap();
            let mut buffer = Vec::new();
            scan(&root, &ScanOptions::default(), &mut StatCache::empty(), |entry| {
                if let ScanKind::File { stat, .. } = entry.kind {
                    read_small(&root, &entry.path, &stat, Links::Follow, &mut buffer)?;
                    writer.write_small(&entry.path, &buffer)?;
                }
                Ok::<_, heirloom_worktree::Error>(())
            })
            .unwrap()
        });
    }
}

fn timed(what: &str, work: impl FnOnce() -> ScanReport) -> ScanReport {
    let (start, cpu) = (Instant::now(), cpu_ms());
    let report = work();
    println!(
        "{what}: {:.1} ms wall, {} ms CPU; {} files, {} known",
        start.elapsed().as_secs_f64() * 1e3,
        cpu_ms() - cpu,
        report.files,
        report.known_files,
    );
    report
}

/// User and system time of this process, from `/proc` (in ticks of 10 ms).
fn cpu_ms() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let field = |n: usize| fields.get(n).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    (field(11) + field(12)) * 10
}

fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}
