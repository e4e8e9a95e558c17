//! `lint`: all that can be said about the code without running it.

use std::path::Path;

use clap::ValueEnum;

use crate::shell::Shell;
use crate::workspace::Workspace;
use crate::{Verdict, generate, layers, licences, test, tidy, tools};

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Mend what can be mended: format, generated files, spelling
    #[arg(long)]
    fix: bool,
    /// Run only these steps
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    only: Vec<Step>,
}

/// The steps, those that take seconds first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    Fmt,
    Layers,
    Licences,
    Tidy,
    Gen,
    Typos,
    Clippy,
    Docs,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<Verdict> {
    let mut failed = Vec::new();
    for step in Step::value_variants() {
        if !args.only.is_empty() && !args.only.contains(step) {
            continue;
        }
        let name = format!("{step:?}").to_lowercase();
        eprintln!("== {name}");
        // All are tried: who waits for a machine wants the whole list at once.
        match step.run(workspace, args.fix) {
            Ok(true) => {}
            Ok(false) => failed.push(name),
            Err(error) if error.is::<tools::Missing>() => return Err(error),
            Err(error) => {
                eprintln!("{name}: {error:#}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        eprintln!("lint: fine");
    } else {
        eprintln!("lint: failed: {}", failed.join(", "));
    }
    Ok(Verdict::of(failed.is_empty()))
}

impl Step {
    fn run(self, workspace: &Workspace, fix: bool) -> anyhow::Result<bool> {
        let cargo = |args: &[&str]| Shell::cargo(&workspace.root).args(args);
        match self {
            Self::Fmt => format(workspace, fix),
            Self::Layers => Ok(report(&layers::check(workspace))),
            Self::Licences => Ok(report(&licences::refused(workspace))),
            Self::Tidy => Ok(report(&tidy::check(workspace, &workspace.tree()?)?)),
            Self::Gen => {
                let stale = generate::refresh(
                    workspace,
                    if fix { generate::Mode::Write } else { generate::Mode::Check },
                )?;
                Ok(report(&stale))
            }
            Self::Typos => typos(workspace, fix),
            Self::Clippy => cargo(&["clippy", "--workspace", "--all-targets", "--locked"])
                .args(["--", "-D", "warnings"])
                .run(),
            Self::Docs => cargo(&["doc", "--workspace", "--no-deps", "--locked"])
                .env("RUSTDOCFLAGS", "-D warnings")
                .run(),
        }
    }
}

fn format(workspace: &Workspace, fix: bool) -> anyhow::Result<bool> {
    let fmt = |folder: &Path, all: &[&str]| {
        Shell::cargo(folder).args(["fmt"]).args(all).args((!fix).then_some("--check")).run()
    };
    let mut fine = fmt(&workspace.root, &["--all"])?;
    for folder in test::downstream(&workspace.root)? {
        fine &= fmt(&folder, &[])?;
    }
    Ok(fine)
}

fn typos(workspace: &Workspace, fix: bool) -> anyhow::Result<bool> {
    let requirements = workspace.root.join("xtask/requirements.txt");
    let programs = tools::python(workspace, "lint", &requirements)?;
    let typos = Shell::new(programs.join("typos"), &workspace.root);
    if fix { typos.args(["--write-changes"]) } else { typos.args(["--format", "brief"]) }.run()
}

fn report(lines: &[String]) -> bool {
    for line in lines {
        eprintln!("{line}");
    }
    lines.is_empty()
}
