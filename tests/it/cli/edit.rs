//! `artifact edit`: the next version, made out of one.

use std::io::Write as _;
use std::process::{Child, Stdio};

use super::shapes::{Line, Plan, Put};
use crate::support::{Ran, Sandbox};

fn paths(sandbox: &Sandbox, reference: &str) -> Vec<String> {
    let ran = sandbox.run_args(["artifact", "files", reference, "--json"]);
    ran.expect(0);
    let path = |line| match line {
        Line::File { path, .. } => path,
        other => panic!("{other:?}"),
    };
    ran.lines::<Line>().into_iter().map(path).collect()
}

#[test]
fn edit_prints_what_put_prints() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset -d pets --metadata {\"n\":3}");
    sandbox.write("new/bird.png", "bird");
    sandbox.write("labels.csv", "bird,3\n");
    let ran = sandbox.ok("artifact edit animals --add new --add labels.csv --remove dogs -a best");
    ran.prints("animals:v1\n").says("logged animals:v1: 3 files, 4.0 kB (11 B new), blake3:");
    assert_eq!(paths(&sandbox, "animals:best"), ["bird.png", "cat.png", "labels.csv"]);
    sandbox.ok("artifact cat animals labels.csv").prints("bird,3\n");
    let shown = sandbox.ok("artifact show animals --json").out;
    assert!(shown.contains("\"pets\"") && shown.contains("\"n\": 3"), "{shown}");

    sandbox
        .ok("artifact edit animals --add labels.csv")
        .prints("animals:v1\n")
        .says("unchanged: animals:v1 already has this content");
    sandbox.ok("artifact edit animals --add labels.csv --new-version").prints("animals:v2\n");

    // Of an old version, in a run, into a directory.
    sandbox.write("bird.png", "another");
    let run = sandbox.ok("run start").out;
    let edited: Put = sandbox.json(&format!(
        "artifact edit animals:v0 --add bird.png=birds/ --add new=deep/er --run {}",
        run.trim()
    ));
    assert!(edited.created);
    assert_eq!((edited.index, edited.files, edited.new_bytes), (3, 5, 7));
    assert_eq!(
        paths(&sandbox, "animals"),
        ["birds/bird.png", "cat.png", "deep/er/bird.png", "dogs/rex.png", "labels.csv"]
    );
    let lineage = sandbox.ok("lineage animals:v3 --up");
    assert!(lineage.out.contains("animals:v0"), "{}", lineage.out);
}

#[test]
fn what_cannot_be_done_is_named_and_nothing_is_committed() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset");
    sandbox.write("x", "1");
    sandbox
        .fails(1, "artifact edit animals --remove dogs/rec.png")
        .says("path `dogs/rec.png` in `animals:v0` does not exist")
        .says("did you mean `dogs/rex.png`?");
    sandbox.fails(1, "artifact edit animals --remove birds").says("heirloom artifact files");
    sandbox
        .fails(1, "artifact edit animals --add x=labels.csv/below")
        .says("`labels.csv` cannot be both a file and a directory (`labels.csv/below`)")
        .says("`--remove`");
    sandbox.fails(1, "artifact edit animals --add x=dogs").says("cannot be both");
    sandbox.fails(1, "artifact edit animals --add nowhere=a/b").says("`nowhere` does not exist");
    sandbox.fails(1, "artifact edit animals --add x=../x").says("..");
    sandbox.fails(1, "artifact edit animals:v7 --add x");
    sandbox.fails(2, "artifact edit animals").says("--add");
    sandbox.fails(2, "artifact edit animals --add -").says("--add=-=PATH");
    sandbox.ok("artifact link animals:v0 registry/best");
    sandbox.fails(2, "artifact edit registry/best --add x").says("portfolio");
    assert_eq!(sandbox.ok("ls animals --json").out.matches("\"index\"").count(), 1);
    // What is in the way can be taken out first.
    sandbox
        .ok("artifact edit animals --add x=labels.csv/below --add x=dogs --remove labels.csv --remove dogs/")
        .prints("animals:v1\n");
    assert_eq!(paths(&sandbox, "animals"), ["cat.png", "dogs", "labels.csv/below"]);
}

#[test]
fn a_dry_run_writes_nothing() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset");
    let plan: Plan = sandbox.json("artifact edit animals --remove dogs --dry-run");
    assert!(plan.dry_run && plan.would_create);
    assert_eq!((plan.files, plan.newest.as_deref()), (2, Some("animals:v0")));
    sandbox.fails(1, "artifact edit animals --remove cats --dry-run");
    let made: Put = sandbox.json("artifact edit animals --remove dogs");
    assert_eq!((made.digest, made.index), (plan.digest, 1));
}

#[test]
fn odd_paths_are_told_apart() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n odd -t dataset");
    for name in ["day=1/part", "a=b", "new\nline", "-dash", "spa ce", "größe"] {
        sandbox.write(name, name);
    }
    let args = [
        "artifact",
        "edit",
        "odd",
        "--add",
        "a=b",
        "--add",
        "day=1=days/day=1",
        "--add",
        "new\nline=new\nline",
        "--add=-dash",
        "--add",
        "spa ce=spa ce/x =",
        "--add",
        "größe",
        "--remove",
        "labels.csv",
    ];
    sandbox.run_args(args).expect(0);
    let expected = [
        "-dash",
        "a=b",
        "cat.png",
        "days/day=1/part",
        "dogs/rex.png",
        "größe",
        "new\nline",
        "spa ce/x =",
    ];
    assert_eq!(paths(&sandbox, "odd"), expected);
    sandbox
        .run_args(["artifact", "edit", "odd", "--remove", "new\nline", "--remove=-dash"])
        .expect(0);
    assert_eq!(paths(&sandbox, "odd").len(), 6);
    sandbox.with_input("artifact edit odd --add=-=notes/today.md", b"hello").expect(0);
    assert_eq!(sandbox.ok("artifact cat odd notes/today.md").bytes, b"hello");
}

#[test]
fn references_are_added_too() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n mixed -t dataset");
    let there = sandbox.write("there/one", "1");
    let uri = format!("file://{}", there.display());
    sandbox
        .run_args([
            "artifact",
            "edit",
            "mixed",
            "--add-ref",
            &uri,
            "--add-ref-as",
            &uri,
            "refs/one",
        ])
        .expect(0);
    let files = sandbox.ok("artifact files mixed").out;
    assert!(files.contains("refs/one") && files.lines().count() == 5, "{files}");
}

/// An edit that has looked up its base and waits for the rest of its input.
struct Waiting(Child);

impl Waiting {
    fn start(sandbox: &Sandbox, line: &str) -> Self {
        let mut child = sandbox
            .command(line.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // More than a pipe holds: when it is written, the edit has begun to read.
        child.stdin.as_mut().unwrap().write_all(&[b'x'; 1 << 20]).unwrap();
        Self(child)
    }

    fn go_on(mut self) -> Ran {
        drop(self.0.stdin.take());
        Ran::of(self.0.wait_with_output().unwrap())
    }
}

#[test]
fn a_base_that_moved_is_a_conflict_or_is_followed() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset -a prod");
    let waiting = Waiting::start(&sandbox, "--json artifact edit animals --add=-=late");
    sandbox.ok("artifact edit animals --remove dogs").prints("animals:v1\n");
    let ran = waiting.go_on();
    ran.expect(4);
    let error = ran.error();
    assert_eq!((&error["code"], &error["found"]), (&"base_moved".into(), &"v1".into()));
    assert!(error["message"].as_str().unwrap().contains("the edit began from v0"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--if-base-moved rebase"), "{error}");

    let line = "artifact edit animals --add=-=late --remove labels.csv --if-base-moved rebase";
    let waiting = Waiting::start(&sandbox, line);
    sandbox.ok("artifact edit animals --remove labels.csv").prints("animals:v2\n");
    waiting.go_on().expect(0).prints("animals:v3\n");
    assert_eq!(paths(&sandbox, "animals"), ["cat.png", "late"]);

    // Neither another alias nor a number has moved.
    for base in ["animals:prod", "animals:v0"] {
        let waiting = Waiting::start(&sandbox, &format!("artifact edit {base} --add=-=late"));
        sandbox.ok("artifact edit animals --remove late --new-version");
        waiting.go_on().expect(0);
        assert_eq!(paths(&sandbox, "animals").len(), 4, "{base}");
    }
}

#[test]
fn processes_that_edit_one_name_all_get_their_change_in() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset");
    let children: Vec<Child> = (0..6)
        .map(|n| {
            sandbox.write(format!("by-{n}"), format!("{n}"));
            sandbox.spawn(&format!("artifact edit animals --add by-{n} --if-base-moved rebase"))
        })
        .collect();
    for child in children {
        Ran::of(child.wait_with_output().unwrap()).expect(0);
    }
    let expected = ["by-0", "by-1", "by-2", "by-3", "by-4", "by-5"];
    assert_eq!(paths(&sandbox, "animals:v6")[..6], expected);
}
