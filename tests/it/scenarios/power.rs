//! Power loss: what a life of commands did is replayed up to any step, what was
//! not flushed by then is lost in several ways, and the repository is opened.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use heirloom_testkit::faults::{Fault, Watch, errno};
use heirloom_testkit::power::{Disk, Loss, Step, read_log};

use crate::support::Sandbox;
use crate::workload::{remove_tree, sweep, tell, tracer, tree, versions, whole};

/// Commands, and the versions of `a` after each: number and tree.
const LIFE: [(&str, &[(u64, usize)]); 6] = [
    ("put tree0 -n a -t t", &[(0, 0)]),
    ("put tree1 -n a", &[(0, 0), (1, 1)]),
    ("rm a:v0", &[(1, 1)]),
    ("gc --grace 0s", &[(1, 1)]),
    ("put tree2 -n a", &[(1, 1), (2, 2)]),
    ("artifact alias a:v1 best", &[(1, 1), (2, 2)]),
];

/// States tried in one run.
const STATES: usize = 400;

type Content = &'static [(u64, usize)];

/// A step after which the power fails: its number, and what must and may be there.
struct Moment {
    steps: usize,
    acknowledged: Content,
    under_way: Content,
}

#[test]
fn nothing_acknowledged_is_lost_with_the_power() {
    let Some(tracer) = tracer() else { return };
    let sandbox = Sandbox::in_memory();
    for number in 0..3 {
        for (name, bytes) in tree(number) {
            sandbox.write(format!("tree{number}/{name}"), bytes);
        }
    }
    let root = sandbox.path("..").canonicalize().unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let watch = Watch {
        under: vec![root.clone()],
        reads: false,
        fault: None,
        log: Some(log.path().to_owned()),
        report: root.join("report"),
    };
    let mut moments = Vec::new();
    let mut before: Content = &[];
    let mut done = 0;
    for (line, after) in LIFE {
        if sandbox.run(&format!("{} --help", line.split(' ').next().unwrap())).code != 0 {
            continue;
        }
        sandbox.traced(tracer, &watch, line).expect(0);
        let steps = read_log(log.path()).unwrap().len();
        moments.extend((done..steps).map(|steps| Moment {
            steps,
            acknowledged: before,
            under_way: after,
        }));
        (before, done) = (after, steps);
    }
    moments.push(Moment { steps: done, acknowledged: before, under_way: before });
    let steps = read_log(log.path()).unwrap();

    let every = moments.len().div_ceil(STATES / 4);
    let states = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for half in 0..2 {
            let (moments, steps, root, states) = (&moments, &steps, &root, &states);
            scope.spawn(move || {
                let mut disk = empty(root);
                let mut applied = 0;
                let after = Sandbox::in_memory();
                after.write("next/file", "x");
                for (n, moment) in moments.iter().enumerate() {
                    // The last one of a command is when it was acknowledged.
                    let last = moments
                        .get(n + 1)
                        .is_none_or(|next| !std::ptr::eq(next.acknowledged, moment.acknowledged));
                    if n % 2 != half || (n / 2 % every != 0 && !last) {
                        continue;
                    }
                    steps[applied..moment.steps].iter().for_each(|step| disk.apply(step));
                    applied = moment.steps;
                    let seed = n as u64;
                    for loss in [Loss::All, Loss::Bytes, Loss::Zeros, Loss::Some(seed)] {
                        let context = context(loss, &steps[..applied], root);
                        power_returns(&after, &disk, loss, &context);
                        check(&after, moment, &context);
                        states.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let states = states.into_inner();
    tell(&format!("power loss: {} steps, {states} states", steps.len()));
    assert!(states > 200, "{states}");
}

/// The sandbox before the first command.
fn empty(root: &Path) -> Disk {
    let mut disk = Disk::new(root);
    for name in ["work", "bin", "user"] {
        disk.apply(&Step::MakeDirectory(root.join(name)));
    }
    disk.apply(&Step::SyncAll);
    disk
}

/// Puts what is left of a repository into a sandbox.
fn power_returns(sandbox: &Sandbox, disk: &Disk, loss: Loss, context: &str) {
    let left = sandbox.path("left");
    remove_tree(&left);
    std::fs::create_dir(&left).unwrap();
    disk.write(loss, &left).unwrap_or_else(|error| panic!("{error}; {context}"));
    for (name, place) in [("home", sandbox.home()), ("cache", sandbox.cache())] {
        remove_tree(&place);
        if left.join(name).exists() {
            std::fs::rename(left.join(name), place).unwrap();
        }
    }
}

fn check(sandbox: &Sandbox, moment: &Moment, context: &str) {
    let verified = sandbox.run("verify");
    assert_eq!(verified.code, 0, "{}{}; {context}", verified.out, verified.err);
    let found = versions(sandbox, "a", context);
    let there = match found {
        _ if found == numbers(moment.acknowledged) => moment.acknowledged,
        _ if found == numbers(moment.under_way) => moment.under_way,
        _ => panic!("{found:?}, acknowledged {:?}; {context}", moment.acknowledged),
    };
    for (index, number) in there {
        whole(sandbox, &format!("a:v{index}"), &tree(*number), context);
    }
    let put = sandbox.run("put next -n a -t t");
    assert_eq!(put.code, 0, "{}; {context}", put.err);
}

fn context(loss: Loss, steps: &[Step], root: &Path) -> String {
    let last: Vec<_> = steps.iter().rev().take(6).map(|step| described(step, root)).collect();
    format!("{loss:?} lost after step {}, latest first: {last:#?}", steps.len())
}

fn numbers(content: Content) -> Vec<u64> {
    content.iter().map(|(index, _)| *index).collect()
}

fn described(step: &Step, root: &Path) -> String {
    let text = match step {
        Step::Write(file, at, bytes) => format!("Write({file}, {} bytes at {at})", bytes.len()),
        other => format!("{other:?}"),
    };
    text.replace(&*root.to_string_lossy(), "")
}

/// An error of a flush that is passed over would be seen only here: the bytes are
/// in the page cache, but no disk has them.
#[test]
fn no_flush_that_failed_is_taken_for_done() {
    let Some(tracer) = tracer() else { return };
    let arenas = [0, 1].map(|_| {
        let sandbox = Sandbox::in_memory();
        for (name, bytes) in tree(0) {
            sandbox.write(format!("tree0/{name}"), bytes);
        }
        sandbox.write("next/file", "x");
        sandbox
    });
    let passed_over = AtomicU64::new(0);
    let attempt = |sandbox: &Sandbox, n: u64| {
        remove_tree(&sandbox.home());
        remove_tree(&sandbox.cache());
        let root = sandbox.path("..").canonicalize().unwrap();
        let log = tempfile::NamedTempFile::new().unwrap();
        let watch = Watch {
            under: vec![root.clone()],
            reads: false,
            fault: Some(Fault::Fail(n, errno::EIO)),
            log: Some(log.path().to_owned()),
            report: root.join("report"),
        };
        let ran = sandbox.traced(tracer, &watch, "put tree0 -n a -t t");
        let Some(call) = watch.report().unwrap().fired else { return false };
        if ran.code == 0 {
            passed_over.fetch_add(1, Ordering::SeqCst);
            let steps = read_log(log.path()).unwrap();
            let mut disk = empty(&root);
            steps.iter().for_each(|step| disk.apply(step));
            let context = format!("{call} failed, and all that was not flushed is lost");
            power_returns(sandbox, &disk, Loss::All, &context);
            let steps = steps.len();
            let content = LIFE[0].1;
            check(sandbox, &Moment { steps, acknowledged: content, under_way: content }, &context);
        }
        true
    };
    let positions = sweep(&arenas, u64::MAX, attempt);
    tell(&format!("{positions} failures, {passed_over:?} of which did not matter"));
    assert!(passed_over.into_inner() > 0, "a cache that cannot be written is no failure");
}
