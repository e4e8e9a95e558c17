//! `gen`: the files that are made from others.
//!
//! A generated file is an entry in [`GENERATED`]: its path and the function that
//! makes its text. `gen` writes what differs, `gen --check` (part of `lint`) only
//! names it.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use crate::shell::Shell;
use crate::workspace::{Tree, Workspace};
use crate::{Verdict, layers, tidy};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail if a file is out of date
    #[arg(long)]
    check: bool,
    /// Vouch that changed format code still writes the same bytes
    #[arg(long, conflicts_with = "check")]
    format_unchanged: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Check,
    Write,
    WriteFormatUnchanged,
}

struct Source<'a> {
    workspace: &'a Workspace,
    tree: Tree,
    mode: Mode,
}

type Make = fn(&Source<'_>) -> anyhow::Result<String>;

const GENERATED: &[(&str, Make)] =
    &[("README.md", readme), ("docs/cli.md", cli_reference), (tidy::format::RECORD, format_record)];

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<Verdict> {
    let mode = match (args.check, args.format_unchanged) {
        (true, _) => Mode::Check,
        (_, true) => Mode::WriteFormatUnchanged,
        _ => Mode::Write,
    };
    let problems = refresh(workspace, mode)?;
    for line in &problems {
        eprintln!("{line}");
    }
    Ok(Verdict::of(problems.is_empty()))
}

/// Writes what is out of date, or names it. Returns what is left to do.
pub(crate) fn refresh(workspace: &Workspace, mode: Mode) -> anyhow::Result<Vec<String>> {
    let source = Source { workspace, tree: workspace.tree()?, mode };
    let mut problems = Vec::new();
    for (path, make) in GENERATED {
        let text = match make(&source) {
            Ok(text) => text,
            Err(error) => {
                problems.push(format!("{path}: {error:#}"));
                continue;
            }
        };
        if source.tree.text(Path::new(path)) == Some(&text) {
            continue;
        }
        if mode == Mode::Check {
            problems.push(format!("{path}: out of date: run `cargo xtask gen`"));
        } else {
            std::fs::write(workspace.root.join(path), text)
                .with_context(|| format!("cannot write {path}"))?;
            eprintln!("{path}: written");
        }
    }
    Ok(problems)
}

fn format_record(source: &Source<'_>) -> anyhow::Result<String> {
    let unchanged = source.mode == Mode::WriteFormatUnchanged;
    tidy::format::record(&source.tree, unchanged).map_err(anyhow::Error::msg)
}

/// What the command says of itself.
fn cli_reference(source: &Source<'_>) -> anyhow::Result<String> {
    let command = ["run", "-q", "--locked", "-p", "heirloom-cli", "--bin", "heirloom"];
    let command = command.into_iter().chain(["--", "dev", "cli-reference"]);
    Shell::cargo(&source.workspace.root).args(command).output()
}

/// The README with a fresh table of crates.
fn readme(source: &Source<'_>) -> anyhow::Result<String> {
    let text = source.tree.text(Path::new("README.md")).context("missing")?;
    with_section(text, "crates", &crate_table(source.workspace))
}

fn crate_table(workspace: &Workspace) -> String {
    let mut rows: Vec<(Option<u8>, String, String, String)> = Vec::new();
    for package in workspace.members() {
        let folder = package.manifest_path.parent().and_then(|folder| workspace.relative(folder));
        let Some(folder) = folder.filter(|folder| folder.starts_with("crates")) else { continue };
        rows.push((
            layers::rank(&package.name),
            package.name.to_string(),
            folder.display().to_string(),
            package.description.clone().unwrap_or_default(),
        ));
    }
    // Without a rank come last: they are for tests.
    rows.sort_by_key(|(rank, name, ..)| (rank.unwrap_or(u8::MAX), name.clone()));
    let mut table = String::from("| rank | crate | what it is |\n|---|---|---|\n");
    for (rank, name, folder, description) in rows {
        let rank = rank.map_or("–".to_owned(), |rank| rank.to_string());
        let _ = writeln!(table, "| {rank} | [`{name}`]({folder}) | {description} |");
    }
    table
}

/// `text` with `body` between the marks of the generated section `name`.
fn with_section(text: &str, name: &str, body: &str) -> anyhow::Result<String> {
    let open = format!("<!-- generated: {name} (cargo xtask gen) -->\n");
    let close = "<!-- end of generated -->";
    let (before, rest) = text.split_once(&open).with_context(|| format!("lacks `{open}`"))?;
    let (_, after) = rest.split_once(close).with_context(|| format!("lacks `{close}`"))?;
    Ok(format!("{before}{open}{body}{close}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_is_replaced_and_the_rest_kept() {
        let text =
            "a\n<!-- generated: x (cargo xtask gen) -->\nold\n<!-- end of generated -->\nb\n";
        let new = with_section(text, "x", "new\n").unwrap();
        assert_eq!(new, text.replace("old", "new"));
        assert_eq!(with_section(&new, "x", "new\n").unwrap(), new);
    }

    #[test]
    fn missing_marks_are_an_error() {
        assert!(with_section("no marks", "x", "new\n").is_err());
        let open = "<!-- generated: x (cargo xtask gen) -->\nbut no end";
        assert!(with_section(open, "x", "new\n").is_err());
    }
}
