//! Steps named in the sources (`heirloom_failpoint`): at each of them every
//! command that comes by fails, ends without a word, or stands still while
//! others go on.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};

use crate::support::Ran;
use crate::workload::{Arena, Verb, remove_tree, sweep, tell, tree, verbs, versions, whole};

/// Times that a step is interrupted on its way through one command, at most.
const ROUNDS: u64 = 3;

/// Steps that the sources name.
fn steps() -> Vec<String> {
    fn walk(dir: &Path, into: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.extend(named_in(&std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    let mut names = Vec::new();
    for crate_dir in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates")).unwrap() {
        let crate_dir = crate_dir.unwrap().path();
        if !crate_dir.ends_with("failpoint") {
            walk(&crate_dir.join("src"), &mut names);
        }
    }
    names.sort();
    names.dedup();
    names
}

fn named_in(source: &str) -> Vec<String> {
    ["hit(\"", "step(\"", "step_at(\""]
        .iter()
        .flat_map(|call| source.split(call).skip(1))
        .filter_map(|rest| rest.split_once('"'))
        .map(|(name, _)| name.to_owned())
        .filter(|name| name.contains("::"))
        .collect()
}

/// What a command came by, and how often.
fn reached(arena: &Arena, all: &[String]) -> BTreeMap<String, u64> {
    arena.reset();
    let marks = arena.sandbox.path("../marks");
    let _ = std::fs::remove_file(&marks);
    let each = |name: &String| format!("{name}=return(mark {})", marks.display());
    let script = all.iter().map(each).collect::<Vec<_>>().join(";");
    Ran::of(arena.command().env("FAILPOINTS", script).output().unwrap()).expect(0);
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(&marks).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Every command with every step that it comes by, and the how-manieth time.
fn each_step(test: impl Fn(&Arena, &'static Verb, &str, u64) + Sync) {
    let all = steps();
    assert!(all.len() > 20, "{all:?}");
    let mut unreached = all.clone();
    let mut tried = 0;
    for verb in verbs() {
        let arenas = [Arena::new(verb), Arena::new(verb)];
        let counts = reached(&arenas[0], &all);
        unreached.retain(|name| !counts.contains_key(name));
        let times = |(name, count): (&String, &u64)| {
            (0..(*count).min(ROUNDS)).map(|n| (name.clone(), n)).collect::<Vec<_>>()
        };
        let tries: Vec<(String, u64)> = counts.iter().flat_map(times).collect();
        tried += sweep(&arenas, tries.len() as u64, |arena, n| {
            let (name, before) = &tries[n as usize - 1];
            arena.reset();
            test(arena, verb, name, *before);
            true
        });
    }
    tell(&format!("{} steps, {tried} tries", all.len()));
    // Objects are removed by gc alone.
    let has_gc = verbs().any(|verb| verb.name == "gc");
    unreached.retain(|name| has_gc || name != "store::remove");
    assert_eq!(unreached, [""; 0], "no command of the list in `workload` comes by these steps");
}

#[test]
fn every_step_may_fail_or_be_the_last() {
    each_step(|arena, _, name, before| {
        for action in ["error", "exit"] {
            arena.reset();
            let script = format!("{name}={before}*off->return({action})");
            let ran = Ran::of(arena.command().env("FAILPOINTS", &script).output().unwrap());
            if action == "exit" {
                // As often as it was seen before: threads may share the work otherwise.
                assert!([-6, 0].contains(&ran.code), "{script}: {}", ran.code);
            }
            arena.check(&ran, &script, before == 0);
        }
    });
}

#[test]
fn a_writer_that_stands_still_at_any_step_hinders_nobody_and_then_succeeds() {
    each_step(|arena, verb, name, before| {
        // Waiting for the courtesy of those who commit takes seconds; once will do.
        // gc touches the store inside transactions, in which it does keep others
        // waiting.
        if before > 0 || (verb.name == "gc" && name.starts_with("store::")) {
            return;
        }
        let sandbox = &arena.sandbox;
        let gate = sandbox.path("../gate");
        let _ = std::fs::remove_file(&gate);
        mknodat(CWD, &gate, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        let script = format!("{name}=1*return(hold {})", gate.display());
        let mut command = arena.command();
        command.env("FAILPOINTS", &script).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let opened = held(&mut child, &gate);
        assert!(opened.is_some(), "{}: {script} was not reached", verb.name);

        let newest = versions(sandbox, "a", &script).last().map_or(0, |newest| newest + 1);
        let put = sandbox.run("put tree2 -n a -t t");
        assert_eq!(put.code, 0, "{}: beside {script}: {}", verb.name, put.err);
        let other: u64 = put.out.trim().strip_prefix("a:v").unwrap().parse().unwrap();
        sandbox.ok("verify");
        whole(sandbox, &format!("a:v{other}"), &tree(2), &script);

        drop(opened);
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{}: woken at {script}: {}", verb.name, ran.err);
        sandbox.ok("verify");
        let found = versions(sandbox, "a", &script);
        assert!(found.contains(&other), "{found:?} {script}");
        if verb.name.ends_with("put") {
            let ours: u64 = ran.out.trim().strip_prefix("a:v").unwrap().parse().unwrap();
            assert_eq!(found, (0..newest + 2).collect::<Vec<_>>()[..found.len()], "{script}");
            assert_ne!(ours, other, "{script}");
            whole(sandbox, &format!("a:v{ours}"), &tree(usize::from(verb.name == "put")), &script);
        }
        remove_tree(&sandbox.path("fresh"));
    });
}

/// Opens a FIFO for writing when the child waits at its other end; `None` when
/// the child ends instead.
pub(crate) fn held(child: &mut Child, gate: &Path) -> Option<File> {
    loop {
        match open(gate, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => return Some(File::from(fd)),
            Err(error) if error == rustix::io::Errno::NXIO => {}
            Err(error) => panic!("{}: {error}", gate.display()),
        }
        if child.try_wait().unwrap().is_some() {
            return None;
        }
        std::thread::yield_now();
    }
}
