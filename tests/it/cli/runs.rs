//! Runs, and commands as runs.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::shapes::{Ended, Run, Runs, Used};
use crate::support::{Ran, Sandbox};

#[test]
fn a_run_is_started_used_and_finished() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset -a best");
    let started: Run = sandbox
        .json("run start --job-type train --group g --name first --id r1 --config {\"epochs\":3}");
    assert_eq!((started.name.as_str(), started.display_name.as_str()), ("r1", "first"));
    assert_eq!(started.config.unwrap()["epochs"], 3);
    assert_eq!(started.address.as_deref(), Some("default/r1"));

    let used: Used = sandbox.json("use animals:best --run default/r1 --as training-data");
    assert_eq!((used.run.as_str(), used.asked.as_str()), ("r1", "training-data"));
    assert_eq!(used.version.version, "v0");
    sandbox.write("model.h5", "weights");
    sandbox.ok("put model.h5 -n churn -t model --run r1");
    let finished: Run = sandbox.json("run finish r1 --summary {\"val_acc\":0.9}");
    assert_eq!((finished.state.as_str(), finished.exit_code), ("finished", Some(0)));

    let shown: Run = sandbox.json("run show r1");
    assert_eq!(shown.summary.unwrap()["val_acc"], 0.9);
    assert_eq!(
        (shown.used[0].version.name.as_str(), shown.used[0].asked.as_deref()),
        ("animals", Some("training-data"))
    );
    assert_eq!(shown.produced[0].version.name, "churn");
    let text = sandbox.ok("run show r1").out;
    assert!(
        text.contains("used         animals:v0 (as training-data)\nproduced     churn:v0\n"),
        "{text}"
    );
}

#[test]
fn run_start_prints_what_the_environment_takes() {
    let sandbox = Sandbox::new();
    sandbox.images();
    let ran = sandbox.shell(
        "export HEIRLOOM_RUN=$(heirloom --project vision run start --job-type load)
         heirloom --quiet put images -n animals -t dataset
         heirloom run finish --exit-code 2
         heirloom --project vision run ls",
    );
    ran.expect(0).says("failed");
    assert!(ran.out.starts_with("vision/animals:v0\n"), "{}", ran.out);
    assert!(ran.out.contains("load") && ran.out.contains("failed (2)"), "{}", ran.out);
    sandbox.fails(2, "use vision/animals").says("this needs a run").says("run exec");
    let stale = Ran::of(
        sandbox
            .command(["use", "vision/animals"])
            .env("HEIRLOOM_RUN", "vision/gone")
            .output()
            .unwrap(),
    );
    stale.expect(1).says("HEIRLOOM_RUN");
}

#[test]
fn a_run_logs_into_its_own_project() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("--project vision run start --id r1");
    let ran = sandbox.fails(2, "put images -n other/a -t t --run vision/r1");
    ran.says("its own project, `vision`");
    sandbox.ok("put images -n a -t t --run vision/r1").prints("vision/a:v0\n");
}

#[test]
fn exec_records_the_command_and_what_it_puts_and_gets() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset");
    let script = "echo to-stdout; heirloom -q get animals --root d; \
                  heirloom -q put d/cat.png -n cats -t dataset; exit 5";
    let ran = sandbox.run_args([
        "run",
        "exec",
        "--job-type",
        "crop",
        "--group",
        "g",
        "--",
        "sh",
        "-c",
        script,
    ]);
    ran.expect(5).prints("to-stdout\nd\ncats:v0\n").says("failed with exit code 5");

    let runs: Runs = sandbox.json("run ls --job-type crop");
    let [run] = runs.runs.as_slice() else { panic!("one run: {runs:?}") };
    assert_eq!(
        (run.state.as_str(), run.exit_code, run.group.as_deref()),
        ("failed", Some(5), Some("g"))
    );
    assert_eq!(run.provenance.command[..2], ["sh", "-c"]);
    let shown: Run = sandbox.json(&format!("run show {}", run.name));
    assert_eq!(
        (shown.used[0].version.name.as_str(), shown.used[0].asked.as_deref()),
        ("animals", Some("animals"))
    );
    assert_eq!(shown.produced[0].version.name, "cats");
    assert!(sandbox.json::<Runs>("run ls --state running").runs.is_empty());
}

#[test]
fn exec_records_the_git_commit() {
    let sandbox = Sandbox::new();
    let ran = sandbox.shell(
        "git init -q . && git -c user.name=t -c user.email=t@t commit -q --allow-empty -m x
         git remote add origin https://me:secret@host/repo.git
         heirloom -q run exec -- true
         git rev-parse HEAD",
    );
    ran.expect(0);
    let run = sandbox.json::<Runs>("run ls").runs.remove(0);
    assert_eq!(run.provenance.git_commit.as_deref(), Some(ran.out.trim()));
    assert_eq!(run.provenance.git_remote.as_deref(), Some("https://host/repo.git"));
}

#[test]
fn exec_answers_as_a_shell_does() {
    let sandbox = Sandbox::new();
    sandbox.ok("run exec -- true");
    sandbox.fails(127, "run exec -- no-such-command").says("cannot run `no-such-command`");
    std::fs::write(sandbox.path("plain"), "").unwrap();
    sandbox.fails(126, "run exec -- ./plain");
    let ran = sandbox.run_args(["--json", "run", "exec", "--", "sh", "-c", "kill -TERM $$"]);
    ran.expect(143);
    let ended: Ended = serde_json::from_value(ran.error()).unwrap();
    assert_eq!(
        (ended.kind.as_str(), ended.state.as_str(), ended.exit_code),
        ("run", "failed", 143)
    );
    sandbox.fails(2, "run exec").says("COMMAND");
}

#[test]
fn exec_passes_signals_on_and_outlives_them() {
    let sandbox = Sandbox::new();
    let script = "trap 'exit 7' TERM; echo ready; read line";
    let mut child = sandbox
        .command(["run", "exec", "--", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let held = child.stdin.take();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ran = Ran::of(child.wait_with_output().unwrap());
    drop(held);
    ran.expect(7).says("failed with exit code 7");
    assert_eq!(sandbox.json::<Runs>("run ls").runs[0].exit_code, Some(7));
}

#[test]
fn without_a_run_gets_leave_no_edge() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset");
    sandbox.ok("get animals --root d");
    let text = sandbox.ok("lineage animals").out;
    assert_eq!(text, "animals:v0 (dataset) [latest]\n");
}
