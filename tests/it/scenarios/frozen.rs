//! Processes that are stopped for a while, as by SIGSTOP or a laptop that sleeps,
//! while others go on: deletion and garbage collection included.

use std::process::Stdio;
use std::time::{Duration, Instant};

use heirloom_testkit::faults::{Fault, Watch};
use heirloom_testkit::fixtures::Rng;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::scenarios::points::held;
use crate::support::{Ran, Sandbox};
use crate::workload::{assert_no_bug, remove_tree, sweep, tell, tracer, tree, versions, whole};

/// A repository with two versions, of which the newer can be deleted, and trees
/// for two more.
fn repository() -> Sandbox {
    let sandbox = Sandbox::in_memory();
    for number in 0..4 {
        for (name, bytes) in tree(number) {
            sandbox.write(format!("tree{number}/{name}"), bytes);
        }
    }
    sandbox
}

fn begin(sandbox: &Sandbox) {
    for place in [sandbox.home(), sandbox.cache(), sandbox.path("copy")] {
        remove_tree(&place);
    }
    for number in 0..2 {
        sandbox.ok(&format!("put tree{number} -n a -t t"));
    }
}

/// What goes on beside the one that is frozen: everything that it could build on
/// is deleted and collected.
fn others(sandbox: &Sandbox, context: &str) {
    let run = |line: &str| {
        let ran = sandbox.run(line);
        assert_eq!(ran.code, 0, "`{line}` beside {context}: {}", ran.err);
    };
    run("rm a:v1");
    if sandbox.run("gc --help").code == 0 {
        run("gc --grace 0s");
        run("gc --grace 0s");
    }
    run("put tree3 -n a");
    run("verify");
}

#[test]
fn a_put_frozen_at_any_change_of_the_store_survives_what_others_delete() {
    let Some(tracer) = tracer() else { return };
    let sandboxes = [repository(), repository()];
    let tries = sweep(&sandboxes, u64::MAX, |sandbox, n| {
        begin(sandbox);
        let gate = sandbox.path("../gate");
        let _ = std::fs::remove_file(&gate);
        mknodat(CWD, &gate, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        // Not at the catalog's own files: whoever is stopped in the middle of a
        // transaction does keep others waiting.
        let under =
            ["objects", "packs", "tmp", "commit.lock"].map(|name| sandbox.home().join(name));
        let watch = Watch {
            under: under.to_vec(),
            reads: false,
            fault: Some(Fault::Hold(n, gate.clone())),
            log: None,
            report: sandbox.path("../report"),
        };
        let mut command = sandbox.traced_command(tracer, &watch, "put tree2 -n a");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let opened = held(&mut child, &gate);
        let context = format!("a put frozen at its change {n} of the store");
        if opened.is_some() {
            others(sandbox, &context);
        }
        let fired = opened.is_some();
        drop(opened);
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{context}: {}", ran.err);
        if fired {
            // v1 is deleted; the two puts have 2 and 3, in whichever order.
            assert_eq!(versions(sandbox, "a", &context), [0, 2, 3], "{context}");
            sandbox.ok("verify");
            let ours = ran.out.trim().strip_prefix("a:v").unwrap().parse::<u64>().unwrap();
            whole(sandbox, &format!("a:v{ours}"), &tree(2), &context);
            whole(sandbox, &format!("a:v{}", 5 - ours), &tree(3), &context);
            whole(sandbox, "a:v0", &tree(0), &context);
        }
        fired
    });
    tell(&format!("puts frozen at {tries} changes"));
    assert!(tries > 10, "{tries}");
}

#[test]
fn processes_stopped_at_any_time_go_on_as_if_nothing_had_been() {
    let mut rng = Rng::new(8);
    let sandbox = repository();
    let mut stopped = 0;
    for round in 0..16 {
        begin(&sandbox);
        let line = ["put tree2 -n a", "get a:v0 --root copy", "rm a:v0"][round % 3];
        let mut command = sandbox.command(line.split_whitespace());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let (began, patience) = (Instant::now(), Duration::from_micros(rng.below(20_000)));
        while began.elapsed() < patience && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        if child.try_wait().unwrap().is_none() {
            kill_process(pid, Signal::STOP).unwrap();
            stopped += 1;
        }
        // Stopped in a transaction it keeps others out: then they say so.
        let beside = sandbox.run("put tree3 -n a");
        assert_no_bug(&beside, line);
        let _ = kill_process(pid, Signal::CONT);
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
        sandbox.ok("put tree3 -n a");
        sandbox.ok("verify");
        for index in versions(&sandbox, "a", line) {
            let ran = sandbox.run(&format!("artifact verify a:v{index}"));
            assert_eq!(ran.code, 0, "{}", ran.err);
        }
    }
    tell(&format!("{stopped} processes stopped and continued"));
    assert!(stopped > 0, "every command was faster");
}
