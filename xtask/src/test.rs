//! `test`: everything, from a fresh machine.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::shell::Shell;
use crate::workspace::Workspace;
use crate::{Verdict, demo, dist, tools};

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Run only tests whose name contains this
    filter: Option<String>,
    /// Accept what the tests see as the new snapshots and golden files
    #[arg(long)]
    bless: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<Verdict> {
    let root = &workspace.root;
    tools::ensure(workspace, tools::FOR_TESTS)?;
    let requirements = root.join("tests/requirements.txt");
    let python = requirements
        .exists()
        .then(|| tools::python(workspace, "tests", &requirements))
        .transpose()?;

    let mut session = Session { args, python, counts: Counts::default(), fine: true };
    // nextest runs each test in its own process, and several crates at once. Where
    // it is not installed, building it would cost more than it saves.
    let cargo = || Shell::cargo(root);
    if cargo().args(["nextest", "--version"]).succeeds() {
        let nextest = ["nextest", "run", "--workspace", "--locked", "--no-fail-fast"];
        session.run(Runner::Nextest, cargo().args(nextest).args(["--no-tests", "pass"]))?;
    } else {
        let test = ["test", "--workspace", "--locked", "--no-fail-fast"];
        let targets = ["--lib", "--bins", "--tests", "--examples"];
        session.run(Runner::Libtest, cargo().args(test).args(targets))?;
    }
    let doc = ["test", "--doc", "--workspace", "--locked", "--no-fail-fast"];
    session.run(Runner::Libtest, cargo().args(doc))?;
    for folder in downstream(root)? {
        // Same versions as ours, all fetched already.
        std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        let test = Shell::cargo(&folder)
            .args(["test", "--offline", "--no-fail-fast"])
            .env("CARGO_TARGET_DIR", workspace.target.join("downstream"))
            .env("CARGO_PROFILE_DEV_DEBUG", "false");
        eprintln!("{}:", folder.strip_prefix(root).unwrap_or(&folder).display());
        session.run(Runner::Libtest, test)?;
    }
    if args.filter.is_none() {
        session.demo(workspace)?;
        if dist::POSSIBLE {
            session.install(workspace);
        }
    }
    println!("tests: {} passed, {} failed", session.counts.passed, session.counts.failed);
    Ok(Verdict::of(session.fine))
}

struct Session<'a> {
    args: &'a Args,
    python: Option<PathBuf>,
    counts: Counts,
    fine: bool,
}

impl Session<'_> {
    fn run(&mut self, runner: Runner, mut command: Shell) -> anyhow::Result<()> {
        command = command.args(self.args.filter.iter());
        if self.args.bless {
            let accept = [("INSTA_UPDATE", "always"), ("INSTA_FORCE_PASS", "1")];
            command = accept.into_iter().fold(command, |command, (k, v)| command.env(k, v));
            command = command.env("HEIRLOOM_BLESS", "1");
        }
        if let Some(programs) = &self.python {
            // For tests that start Python programs.
            command = command.env("HEIRLOOM_TEST_PYTHON", programs.join("python"));
        }
        let counts = Mutex::new(Counts::default());
        let fine = command.watch(|line| {
            let mut counts = counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            *counts = counts.plus(Counts::of(runner, line).unwrap_or_default());
        })?;
        let counts = counts.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.counts = self.counts.plus(counts.settled(fine));
        self.fine &= fine;
        Ok(())
    }
}

impl Session<'_> {
    /// The README's first command, with the binary that was just built.
    fn demo(&mut self, workspace: &Workspace) -> anyhow::Result<()> {
        let build = ["build", "--workspace", "--bins", "--locked"];
        let built = Shell::cargo(&workspace.root).args(build).run()?;
        let binary = Some(workspace.target.join("debug/heirloom"));
        if built {
            self.count(demo::run(workspace, &demo::Args { binary }));
        } else {
            self.count(Ok(Verdict::Found));
        }
        Ok(())
    }

    /// The archive for users, installed in an empty directory.
    fn install(&mut self, workspace: &Workspace) {
        // Optimised, it would be the same files after minutes more.
        let out = Some(workspace.target.join("dist-test"));
        let args = dist::Args { out, profile: "dev".to_owned(), check: true };
        self.count(dist::run(workspace, &args));
    }

    /// Counts a verb of ours as one test.
    fn count(&mut self, outcome: anyhow::Result<Verdict>) {
        let fine = outcome.unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Verdict::Found
        }) == Verdict::Fine;
        let counts = Counts { passed: fine.into(), failed: (!fine).into() };
        self.counts = self.counts.plus(counts);
        self.fine &= fine;
    }
}

/// Folders of the crates below `tests/downstream`, which stand outside the
/// workspace.
pub(crate) fn downstream(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(root.join("tests/downstream"))? {
        let folder = entry?.path();
        if folder.join("Cargo.toml").is_file() {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Who runs the tests, and so in which form the sums come.
#[derive(Clone, Copy)]
enum Runner {
    Nextest,
    Libtest,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

impl Counts {
    /// What a line of output counts, if it is a summary: nextest prints one per run,
    /// libtest one per binary. nextest also repeats, indented, what libtest said in a
    /// test that failed: each runner is heard on its own line only.
    fn of(runner: Runner, line: &str) -> Option<Self> {
        let tallies = match runner {
            Runner::Nextest if line.trim_start().starts_with("Summary [") => {
                line.split_once(" run: ")?.1
            }
            Runner::Libtest => line.strip_prefix("test result: ")?.split_once(". ")?.1,
            Runner::Nextest => return None,
        };
        let mut counts = Self::default();
        for tally in tallies.split([';', ',']) {
            let Some((number, what)) = tally.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what.split(" (").next() {
                Some("passed") => counts.passed += number,
                Some("failed" | "timed out" | "exec failed") => counts.failed += number,
                _ => {}
            }
        }
        Some(counts)
    }

    fn plus(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }

    /// A run that failed without saying so in numbers (it did not build, a test
    /// aborted) counts as one failure: the sum must never look better than it is.
    fn settled(self, fine: bool) -> Self {
        if fine || self.failed > 0 { self } else { Self { failed: 1, ..self } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64) -> Option<Counts> {
        Some(Counts { passed, failed })
    }

    #[test]
    fn summary_of_nextest_is_read() {
        let line = "     Summary [   0.212s] 3 tests run: 1 passed, 2 failed, 0 skipped";
        assert_eq!(Counts::of(Runner::Nextest, line), counts(1, 2));
        let line = "Summary [ 9.1s] 9/12 tests run: 6 passed (1 slow, 2 leaky), 1 failed, 1 timed out, 1 exec failed, 3 skipped";
        assert_eq!(Counts::of(Runner::Nextest, line), counts(6, 3));
        let line = "     Summary [   0.000s] 1 test run: 1 passed, 3 skipped";
        assert_eq!(Counts::of(Runner::Nextest, line), counts(1, 0));
    }

    #[test]
    fn summary_of_libtest_is_read() {
        let line = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s";
        assert_eq!(Counts::of(Runner::Libtest, line), counts(3, 0));
        let line = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(Counts::of(Runner::Libtest, line), counts(1, 2));
    }

    #[test]
    fn other_lines_count_nothing() {
        for line in ["", "        PASS [   0.005s] (1/3) nx a", "3 passed", "running 3 tests"] {
            assert_eq!(Counts::of(Runner::Nextest, line), None, "{line:?}");
            assert_eq!(Counts::of(Runner::Libtest, line), None, "{line:?}");
        }
    }

    #[test]
    fn what_a_runner_repeats_of_the_other_is_not_counted_again() {
        let inner = "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured";
        assert_eq!(Counts::of(Runner::Nextest, inner), None);
        assert_eq!(Counts::of(Runner::Libtest, inner), None);
    }

    #[test]
    fn failure_without_numbers_is_counted() {
        let silent = Counts { passed: 4, failed: 0 };
        assert_eq!(silent.settled(false), Counts { passed: 4, failed: 1 });
        assert_eq!(silent.settled(true), silent);
        let told = Counts { passed: 4, failed: 2 };
        assert_eq!(told.settled(false), told);
    }
}
