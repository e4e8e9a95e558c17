//! What the README and the guide tell readers to type works: every `console`
//! block is run, in order, and each line shown below a command must occur in what
//! it prints.

use std::path::Path;
use std::process::Stdio;

use crate::support::{Ran, Sandbox};

/// A command as a reader would type it, and the lines shown below it.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The steps of all `console` blocks. A command goes on while a quote is open.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    let mut open = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (_, Some(step)) if open => {
                step.command.push('\n');
                step.command.push_str(line);
            }
            (Some(command), _) => {
                steps.push(Step { command: command.to_owned(), shown: Vec::new() });
            }
            (None, Some(step)) if !line.is_empty() => step.shown.push(line.to_owned()),
            _ => {}
        }
        open = steps.last().is_some_and(|step| step.command.matches('\'').count() % 2 == 1);
    }
    steps
}

fn run_page(name: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(name);
    let text = std::fs::read_to_string(&page).unwrap();
    let steps = steps(&text);
    assert!(!steps.is_empty(), "{name} has no commands");
    let sandbox = Sandbox::new();
    for step in steps {
        let mut command = sandbox
            .program(Path::new("/bin/sh"), ["-euc", &format!("exec 2>&1\n{}", step.command)]);
        let ran = Ran::of(command.stdin(Stdio::null()).output().unwrap());
        assert_eq!(ran.code, 0, "{name}: `{}` printed\n{}", step.command, ran.out);
        for line in step.shown {
            assert!(
                ran.out.contains(line.trim()),
                "{name}: `{}` does not print `{line}` but\n{}",
                step.command,
                ran.out
            );
        }
    }
}

#[test]
fn backup() {
    run_page("docs/guide/backup.md");
}

#[test]
fn quickstart() {
    run_page("docs/guide/quickstart.md");
}

#[test]
fn update() {
    run_page("docs/guide/update.md");
}

#[test]
fn deleting() {
    run_page("docs/guide/delete.md");
}

#[test]
fn space() {
    run_page("docs/guide/space.md");
}

#[test]
fn repairing() {
    run_page("docs/guide/repair.md");
}

#[test]
fn using() {
    run_page("docs/guide/use.md");
}

#[test]
fn lineage() {
    run_page("docs/guide/lineage.md");
}

#[test]
fn parallel() {
    run_page("docs/guide/parallel.md");
}

#[test]
fn readme() {
    run_page("README.md");
}

#[test]
fn every_page_of_the_guide_is_run() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide");
    let mut pages: Vec<String> = std::fs::read_dir(guide)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    assert_eq!(
        pages,
        [
            "backup.md",
            "delete.md",
            "lineage.md",
            "parallel.md",
            "quickstart.md",
            "repair.md",
            "space.md",
            "update.md",
            "use.md"
        ]
    );
}

#[test]
fn a_command_goes_on_while_a_quote_is_open() {
    let page = "```console\n$ sh -c '\n  one\n  two'\nshown\n$ next\n```\n```sh\n$ not run\n```\n";
    let step = |command: &str, shown: &[&str]| Step {
        command: command.to_owned(),
        shown: shown.iter().map(|line| (*line).to_owned()).collect(),
    };
    assert_eq!(steps(page), [step("sh -c '\n  one\n  two'", &["shown"]), step("next", &[])]);
}
