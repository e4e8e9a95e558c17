//! Space is freed beside those who work.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use heirloom_testkit::fixtures;
use serde_json::Value;

use crate::scenarios::crash::count;
use crate::scenarios::space::mounting;
use crate::support::Sandbox;
use crate::workload::tell;

const WRITERS: usize = 4;
const PUTS: u64 = 8;

/// What a writer puts: files that all put, some that come back, some that are new.
fn content(sandbox: &Sandbox, writer: usize, round: u64) {
    let dir = format!("tree{writer}");
    sandbox.write(format!("{dir}/shared"), fixtures::bytes(1, 30_000));
    sandbox.write(format!("{dir}/back"), fixtures::bytes(10 + round % 3, 40_000));
    sandbox.write(format!("{dir}/large"), fixtures::bytes(20 + round % 2, (1 << 20) + 5));
    let fresh = 1000 * (writer as u64 + 1) + round;
    sandbox.write(format!("{dir}/fresh"), fixtures::bytes(fresh, 50_000));
}

/// What came of writers beside two collectors.
#[derive(Debug, Default)]
struct Tally {
    puts: AtomicUsize,
    collections: AtomicUsize,
    freed: AtomicU64,
}

/// Writers that put, delete and read, each until its last round, beside two
/// collectors. Every command succeeds.
fn work(sandbox: &Sandbox, writers: usize, goes_on: impl Fn(u64) -> bool + Sync) -> Tally {
    let tally = Tally::default();
    let left = AtomicUsize::new(writers);
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let (left, tally, goes_on) = (&left, &tally, &goes_on);
            scope.spawn(move || {
                let _ended = Ended(left);
                let mut round = 0;
                while goes_on(round) {
                    content(sandbox, writer, round);
                    sandbox.ok(&format!("put tree{writer} -n w{writer} -t t"));
                    tally.puts.fetch_add(1, Ordering::Relaxed);
                    if round > 0 {
                        sandbox.ok(&format!("rm w{writer}:v{}", round - 1));
                    }
                    // The one that stays can be read while others are removed.
                    sandbox.ok(&format!("artifact verify w{writer}:v{round} --root tree{writer}"));
                    sandbox.ok(&format!("artifact cat w{writer}:v{round} fresh"));
                    round += 1;
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while left.load(Ordering::Acquire) > 0 {
                    let done: Value = sandbox.json("gc --grace 0");
                    tally.freed.fetch_add(done["freed"].as_u64().unwrap(), Ordering::Relaxed);
                    tally.collections.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    tally
}

/// Counts one down, also when what was done has failed.
struct Ended<'a>(&'a AtomicUsize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// All that should be there is, and after two more collections nothing else.
fn settled(sandbox: &Sandbox, writers: u64, tally: &Tally) {
    sandbox.ok("verify");
    for writer in 0..writers {
        sandbox.ok(&format!("get w{writer} --root copy{writer}"));
        sandbox.ok(&format!("artifact verify w{writer} --root tree{writer}"));
    }
    let mut freed = tally.freed.load(Ordering::Relaxed);
    for _ in 0..2 {
        let done: Value = sandbox.json("gc --grace 0");
        freed += done["freed"].as_u64().unwrap();
    }
    let told: Value = sandbox.json("gc --grace 0 --dry-run");
    let kept = |what: &str| told["kept"][what].as_u64().unwrap();
    // One of each: shared, three of back and two large at most, a fresh one each;
    // trees, records, and the journal of all that happened.
    let files = 30_000 + 3 * 40_000 + 2 * (1 << 20) + writers * 50_000;
    let puts = tally.puts.load(Ordering::Relaxed) as u64;
    tell(&format!("{tally:?}: {freed} bytes freed in all; kept {}", told["kept"]));
    assert!(kept("versions") < files + files / 10 + puts * 2000, "{told}");
    assert_eq!(kept("drafts") + kept("parts") + kept("restorable"), 0, "{told}");
    let garbage = told["freed"].as_u64().unwrap() + kept("beside");
    let most = if puts > 1000 { freed / 99 } else { files };
    assert!(garbage <= most, "{garbage} of {freed}");
}

/// Bytes that a collection would free, some of them by joining small packs.
fn garbage(sandbox: &Sandbox) -> u64 {
    let told: Value = sandbox.json("gc --grace 0 --dry-run");
    told["freed"].as_u64().unwrap()
}

/// For some puts; or, with `HEIRLOOM_SOAK_GC`, for so many minutes with sixteen
/// writers (`cargo xtask soak --gc`).
#[test]
fn writers_beside_two_collectors_lose_nothing_and_all_garbage_goes() {
    let sandbox = Sandbox::in_memory();
    let minutes = std::env::var("HEIRLOOM_SOAK_GC").ok().map(|text| text.parse::<u64>().unwrap());
    let writers = if minutes.is_some() { 16 } else { WRITERS };
    let end = minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let tally = work(&sandbox, writers, |round| match end {
        Some(end) => Instant::now() < end,
        None => round < PUTS,
    });
    settled(&sandbox, writers as u64, &tally);
}

#[test]
fn a_killed_collector_is_finished_by_the_next() {
    let sandbox = Sandbox::in_memory();
    for round in 0..6 {
        for version in 0..3 {
            content(&sandbox, 0, 3 * round + version);
            sandbox.ok("put tree0 -n a -t t");
        }
        let first = 3 * round;
        sandbox.ok(&format!("rm a:v{first} a:v{}", first + 1));
        let objects =
            || count(&sandbox.home().join("objects")) + count(&sandbox.home().join("packs"));
        let before = objects();
        let mut child = sandbox.command(["gc", "--grace", "0"]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Later each time: once that many objects are gone.
        while before - objects() < round as usize && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
        sandbox.ok("verify");
        sandbox.ok(&format!("artifact verify a:v{} --root tree0", first + 2));
        sandbox.ok("gc --grace 0");
        assert!(garbage(&sandbox) < 10_000);
    }
    assert_eq!(count(&sandbox.home().join("tmp")), 0);
}

#[test]
fn a_full_disk_is_freed() {
    let sandbox = Sandbox::new();
    for n in 0..40 {
        sandbox.write(format!("d{n}/file"), fixtures::bytes(n, 900_000));
    }
    std::fs::create_dir(sandbox.home()).unwrap();
    let script = "
        mount -t tmpfs -o size=16m tmpfs \"$HEIRLOOM_HOME\"
        n=0
        while heirloom -q put d$n -n a -t t 2>err; do n=$((n + 1)); done
        grep -q space err
        # To the last byte.
        cat /dev/zero > \"$HEIRLOOM_HOME/other\" 2>/dev/null || true
        heirloom -q rm a:v0 a:v1 a:v2
        heirloom gc --grace 0
        rm \"$HEIRLOOM_HOME/other\"
        heirloom -q verify
        heirloom -q put d0 -n b -t t
        ls \"$HEIRLOOM_HOME\" | grep -c reserve
    ";
    let Some(ran) = mounting(&sandbox, script) else { return };
    ran.expect(0);
    assert!(ran.out.contains("freed 2.7 MB"), "{}", ran.out);
    assert!(ran.out.ends_with("b:v0\n1\n"), "{}", ran.out);
}
