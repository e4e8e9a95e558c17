//! Killed at some moment, then tried again.

use heirloom_testkit::fixtures;
use serde_json::Value;

use crate::support::{Ran, Sandbox};

/// Files below a directory.
pub(super) fn count(dir: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) { count(&entry.path()) } else { 1 }
        })
        .sum()
}

#[test]
fn killed_puts_leave_nothing_and_the_same_put_succeeds() {
    let sandbox = Sandbox::new();
    for i in 0..6 {
        sandbox.write(format!("tree/large{i}"), fixtures::bytes(i, 3 << 20));
    }
    for i in 0..500 {
        sandbox.write(format!("tree/small/{i}"), fixtures::bytes(100 + i, 2000));
    }
    let mut killed = 0;
    for published in 0..7 {
        let mut child = sandbox.spawn("put tree -n a -t t");
        let objects = sandbox.home().join("objects");
        // Kill it as soon as that many objects are there, or it has ended.
        while count(&objects) < published && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        let ran = Ran::of(child.wait_with_output().unwrap());
        killed += usize::from(ran.code == -9);
        sandbox.ok("verify");
    }
    assert!(killed > 0, "every put was faster than its end");
    sandbox.ok("put tree -n a -t t").prints("a:v0\n");
    sandbox.ok("verify");
    sandbox.ok("get a --root copy");
    sandbox.ok("artifact verify a --root copy");
    let versions: Value = sandbox.json("ls a");
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1);
}

#[test]
fn what_was_stored_before_the_kill_is_not_stored_again() {
    let sandbox = Sandbox::new();
    for i in 0..8 {
        sandbox.write(format!("tree/large{i}"), fixtures::bytes(i, 3 << 20));
    }
    let mut child = sandbox.spawn("put tree -n a -t t");
    let objects = sandbox.home().join("objects");
    while count(&objects) < 3 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let _ = child.kill();
    if child.wait().unwrap().success() {
        // It was faster than we are: then all is stored.
        assert_eq!(count(&objects), 8);
    }
    let put: Value = sandbox.json("put tree -n a -t t");
    assert_eq!(put["bytes"], 24 << 20);
    assert!(put["new_bytes"].as_u64().unwrap() <= (24 << 20) - (2 * (3 << 20)), "{put}");
}

#[test]
fn killed_gets_leave_no_wrong_file() {
    let sandbox = Sandbox::new();
    for i in 0..200 {
        sandbox.write(format!("tree/{i}"), fixtures::bytes(i, 20_000));
    }
    sandbox.ok("put tree -n a -t t");
    std::fs::create_dir(sandbox.path("copy")).unwrap();
    for arrived in [0, 1, 50] {
        let mut child = sandbox.spawn("get a --root copy");
        while count(&sandbox.path("copy")) < arrived && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        child.wait().unwrap();
        let check: Value = sandbox.run("--json artifact verify a --root copy").document();
        assert_eq!(check["different"], 0, "{check}");
    }
    sandbox.ok("get a --root copy --mirror");
    sandbox.ok("artifact verify a --root copy");
    assert_eq!(count(&sandbox.path("copy")), 200, "temporary files of killed gets are gone");
}
