//! `repair`: good bytes for bad ones, and a catalog for objects that lost theirs.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use heirloom::{BlobId, ClientOptions, Progress};
use heirloom_api::{RebuildReport, RepairReport, VerifyReport};
use heirloom_core::ErrorCode;
use serde::Serialize;

use crate::app::App;
use crate::commands::verify::damage_line;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::progress::Bar;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where good bytes may be: a file, a directory, or another repository's home; repeatable
    #[arg(long, value_name = "FILE|DIR|HOME")]
    from: Vec<PathBuf>,
    /// Repair what this report of `heirloom --json verify` names, instead of looking again (`-`: standard input)
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Make the catalog anew from the stored objects alone; nothing else may use the repository meanwhile
    #[arg(long, conflicts_with_all = ["from", "report"])]
    rebuild_catalog: bool,
    /// Which version record counts where several claim a number; repeatable
    #[arg(long, value_name = "NAME:vN=RECORD", value_parser = choice, requires = "rebuild_catalog")]
    choose: Vec<BlobId>,
}

/// The record of `NAME:vN=RECORD`.
fn choice(text: &str) -> Result<BlobId, String> {
    let record = text.rsplit_once('=').map_or(text, |(_, record)| record);
    record
        .parse()
        .map_err(|_| "`NAME:vN=blake3:…` with the digest of a record is needed".to_owned())
}

pub(crate) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    let bar = Bar::for_terminal(&app.printer);
    let listener = bar.clone().map(|bar| bar as Arc<dyn Progress>);
    let options = ClientOptions::from_os(&app.config.home);
    if args.rebuild_catalog {
        let choice: BTreeSet<BlobId> = args.choose.into_iter().collect();
        let report = options.rebuild_catalog(choice, listener).await;
        drop(bar);
        return rebuilt(app, report?);
    }
    for path in &args.from {
        std::fs::metadata(path).map_err(|error| Failure::io("read", path, &error))?;
    }
    let report = args.report.as_deref().map(read_report).transpose()?;
    let report = options.repair(args.from, report, listener).await;
    drop(bar);
    let report = report?;
    let left = report.left.len() as u64;
    app.printer.answer(&Mended { ok: left == 0, report })?;
    match left {
        0 => Ok(()),
        n => Err(Failure::Damage(format!("{} left", text::count(n, "damage", "damages")))),
    }
}

fn read_report(path: &Path) -> Result<VerifyReport, Failure> {
    let failed = |error: io::Error| Failure::io("read", path, &error);
    let mut text = String::new();
    match path == Path::new("-") {
        true => io::stdin().read_to_string(&mut text).map_err(failed)?,
        false => {
            text = std::fs::read_to_string(path).map_err(failed)?;
            text.len()
        }
    };
    serde_json::from_str(&text).map_err(|error| {
        let what =
            format!("`{}` is no report of `heirloom --json verify`: {error}", text::path(path));
        Failure::usage(what)
    })
}

fn rebuilt(app: &App, report: RebuildReport) -> Result<(), Failure> {
    let bad = (report.lost.len() + report.damages.len()) as u64;
    let is_ambiguous = !report.ambiguous.is_empty();
    app.printer.answer(&Rebuilt { ok: bad == 0 && !is_ambiguous, report })?;
    if is_ambiguous {
        return Err(Failure::Failed {
            code: ErrorCode::Conflict,
            message: "several version records claim one number; nothing was changed".to_owned(),
            hint: Some(
                "look at the candidates, then choose: `heirloom repair --rebuild-catalog --choose \
                 NAME:vN=RECORD`"
                    .to_owned(),
            ),
        });
    }
    match bad {
        0 => Ok(()),
        n => Err(Failure::Damage(format!(
            "{} lost or damaged",
            text::count(n, "thing is", "things are")
        ))),
    }
}

/// What was repaired.
#[derive(Debug, Serialize)]
struct Mended {
    ok: bool,
    #[serde(flatten)]
    report: RepairReport,
}

impl Answer for Mended {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let report = &self.report;
        for repaired in &report.repaired {
            let mut line = format!("repaired {}", text::escaped(&repaired.object));
            if let Some(blob) = &repaired.blob {
                line.push_str(&format!(" {blob}"));
            }
            printer.line(format!("{line}: {}", text::escaped(&repaired.from)))?;
        }
        for damage in &report.left {
            printer.line(format!("still bad: {}", damage_line(damage)))?;
        }
        match (report.found, report.left.is_empty()) {
            (0, true) => printer.line("nothing to repair"),
            (_, true) => printer.line("all is whole"),
            _ => Ok(()),
        }
    }
}

/// What was brought back.
#[derive(Debug, Serialize)]
struct Rebuilt {
    ok: bool,
    #[serde(flatten)]
    report: RebuildReport,
}

impl Answer for Rebuilt {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let report = &self.report;
        for ambiguity in &report.ambiguous {
            printer.line(format!("{}: which of these?", text::escaped(&ambiguity.version)))?;
            for candidate in &ambiguity.candidates {
                printer.line(format!(
                    "  --choose '{}={}'  {}, {} by {}",
                    text::escaped(&ambiguity.version),
                    candidate.record,
                    text::bytes(candidate.size),
                    text::time(candidate.created_at),
                    text::escaped(&candidate.actor),
                ))?;
            }
        }
        if !report.ambiguous.is_empty() {
            return Ok(());
        }
        for lost in &report.lost {
            printer.line(format!("lost: {}", text::escaped(lost)))?;
        }
        for damage in &report.damages {
            printer.line(damage_line(damage))?;
        }
        for note in &report.notes {
            printer.note(text::escaped(note));
        }
        if report.new_identity {
            printer.note("heirloom.toml was missing: the repository has a new id");
        }
        if let Some(kept) = &report.kept {
            printer.note(format!("the old catalog is kept as {}", text::escaped(kept)));
        }
        printer.line(format!(
            "rebuilt: {}, {}, {}, {}, {}, {}",
            text::count(report.projects, "project", "projects"),
            text::count(report.collections, "artifact", "artifacts"),
            text::count(report.versions, "version", "versions"),
            text::count(report.aliases, "alias", "aliases"),
            text::count(report.runs, "run", "runs"),
            text::count(report.edges, "edge", "edges"),
        ))
    }
}
