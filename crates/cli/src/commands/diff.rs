//! `artifact diff`: how two versions differ.

use std::io;

use heirloom::Differences;
use heirloom_core::ArtifactRef;
use heirloom_manifest::{ChangeKind, Entry, LogicalPath};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The version before
    #[arg(value_name = "A")]
    before: ArtifactRef,
    /// The version after
    #[arg(value_name = "B")]
    after: ArtifactRef,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Diff, Failure> {
    let before = app.version(&args.before).await?;
    let after = app.version(&args.after).await?;
    let differences = before.diff(&after).await?;
    let name = |version: &heirloom::Version| app.name_of(&version.doc().as_ref());
    Ok(Diff::new(name(&before), name(&after), differences))
}

/// Differences by kind, each in path order.
#[derive(Debug, Serialize)]
pub(crate) struct Diff {
    from: String,
    to: String,
    added: Vec<Item>,
    removed: Vec<Item>,
    changed: Vec<Changed>,
    renamed: Vec<Renamed>,
    /// False when there were too many candidates to find every rename.
    renames_complete: bool,
}

#[derive(Debug, Serialize)]
struct Item {
    path: LogicalPath,
    size: u64,
}

#[derive(Debug, Serialize)]
struct Changed {
    path: LogicalPath,
    size_before: u64,
    size: u64,
    /// `content`, or what it was and became: `file -> reference`.
    what: String,
}

#[derive(Debug, Serialize)]
struct Renamed {
    from: LogicalPath,
    to: LogicalPath,
    size: u64,
}

impl Diff {
    fn new(from: String, to: String, differences: Differences) -> Self {
        let (mut added, mut removed, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for change in differences.changes {
            let path = change.path;
            match change.kind {
                ChangeKind::Added(entry) => added.push(Item { path, size: entry.size() }),
                ChangeKind::Removed(entry) => removed.push(Item { path, size: entry.size() }),
                ChangeKind::Changed { before, after } => changed.push(Changed {
                    path,
                    size_before: before.size(),
                    size: after.size(),
                    what: what(&before, &after),
                }),
            }
        }
        let renamed = differences
            .renamed
            .into_iter()
            .map(|rename| Renamed { size: rename.entry.size(), from: rename.from, to: rename.to })
            .collect();
        Self { from, to, added, removed, changed, renamed, renames_complete: differences.complete }
    }
}

fn kind(entry: &Entry) -> &'static str {
    match entry {
        Entry::File { .. } => "file",
        Entry::Reference(_) => "reference",
        Entry::EmptyDirectory => "directory",
    }
}

fn what(before: &Entry, after: &Entry) -> String {
    match (kind(before), kind(after)) {
        ("file", "file") => "content".to_owned(),
        (a, b) if a == b => "reference".to_owned(),
        (a, b) => format!("{a} -> {b}"),
    }
}

impl Answer for Diff {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        for item in &self.added {
            printer.line(format!("A  {}  ({})", item.path.escaped(), text::bytes(item.size)))?;
        }
        for item in &self.changed {
            let sizes = format!("{} -> {}", text::bytes(item.size_before), text::bytes(item.size));
            printer.line(format!("M  {}  ({sizes})", item.path.escaped()))?;
        }
        for item in &self.renamed {
            printer.line(format!("R  {} -> {}", item.from.escaped(), item.to.escaped()))?;
        }
        for item in &self.removed {
            printer.line(format!("D  {}  ({})", item.path.escaped(), text::bytes(item.size)))?;
        }
        let n = |n: usize| text::number(n as u64);
        printer.note(format!(
            "{} -> {}: {} added, {} changed, {} renamed, {} removed",
            self.from,
            self.to,
            n(self.added.len()),
            n(self.changed.len()),
            n(self.renamed.len()),
            n(self.removed.len()),
        ));
        Ok(())
    }
}
