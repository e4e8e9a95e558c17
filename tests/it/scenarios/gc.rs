//! Space is freed beside those who work.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use heirloom_testkit::fixtures;
use serde_json::Value;

use crate::scenarios::crash::count;
use crate::scenarios::space::mounting;
use crate::support::{Ran, Sandbox};

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

#[test]
fn writers_beside_two_collectors_lose_nothing_and_all_garbage_goes() {
    let sandbox = Sandbox::in_memory();
    sandbox.ok("ls");
    let left = AtomicUsize::new(WRITERS);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (sandbox, left) = (&sandbox, &left);
            scope.spawn(move || {
                for round in 0..PUTS {
                    content(sandbox, writer, round);
                    sandbox.ok(&format!("put tree{writer} -n w{writer} -t t"));
                    if round > 0 {
                        sandbox.ok(&format!("rm w{writer}:v{}", round - 1));
                    }
                    // The one that stays can be read while others are removed.
                    sandbox.ok(&format!("artifact verify w{writer}:v{round} --root tree{writer}"));
                    sandbox.ok(&format!("artifact cat w{writer}:v{round} fresh"));
                }
                left.fetch_sub(1, Ordering::Release);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while left.load(Ordering::Acquire) > 0 {
                    sandbox.ok("gc --grace 0");
                }
            });
        }
    });
    sandbox.ok("verify");
    for writer in 0..WRITERS {
        sandbox.ok(&format!("get w{writer} --root copy{writer}"));
        sandbox.ok(&format!("artifact verify w{writer} --root tree{writer}"));
    }
    sandbox.ok("gc --grace 0");
    let second: Value = sandbox.json("gc --grace 0");
    let kept = second["kept"]["bytes"].as_u64().unwrap();
    // One of each: shared, two of back at most, one large, a fresh one per writer.
    let needed = 30_000 + 2 * 40_000 + 2 * (1 << 20) + 4 * 50_000;
    assert!(kept < needed + needed / 4, "{second}");
    let third: Value = sandbox.json("gc --grace 0 --dry-run");
    assert_eq!(third["freed"], 0, "{third}");
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
        let again: Value = sandbox.json("gc --grace 0 --dry-run");
        assert_eq!(again["freed"], 0, "{again}");
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
