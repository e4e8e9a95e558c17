//! `gc`: free what nothing needs any more.

use std::io;
use std::sync::Arc;

use heirloom_api::{GcReport, GcRequest, OnGc, Volume};
use heirloom_core::parse_duration;
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::progress::Bar;
use crate::table::Table;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Tell what would be freed and what stays, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Versions deleted at least this long ago can no longer be restored, such as
    /// `1d`; `0` for all that are deleted. Otherwise each has its seven days
    #[arg(long, value_name = "SPAN", value_parser = grace)]
    grace: Option<u64>,
}

/// Purged versions that are named on a terminal.
const NAMED: usize = 10;

fn grace(text: &str) -> Result<u64, String> {
    match text {
        "0" => Ok(0),
        text => parse_duration(text).map_err(|error| error.to_string()),
    }
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Freed, Failure> {
    let bar = Bar::for_terminal(&app.printer);
    let progress = bar.clone().map(|bar| Arc::new(move |at| bar.gc(at)) as OnGc);
    let request = GcRequest { dry_run: args.dry_run, grace: args.grace, progress };
    let report = app.client()?.gc(request).await;
    if let Some(bar) = bar {
        bar.clear();
    }
    Ok(Freed(report?))
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Freed(GcReport);

impl Freed {
    /// Damage was met: the answer that names it is printed already.
    pub(crate) fn outcome(&self) -> Result<(), Failure> {
        match self.0.damages.len() as u64 {
            0 => Ok(()),
            n => Err(Failure::Damage(format!("{} met", text::count(n, "damage", "damages")))),
        }
    }
}

impl Answer for Freed {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let report = &self.0;
        for damage in &report.damages {
            printer.line(super::verify::damage_line(damage))?;
        }
        if report.expired > 0 {
            let verb = if report.dry_run { "would expire" } else { "expired" };
            printer.line(format!(
                "{} {verb}, restorable for 7 days (`heirloom ls --deleted`)",
                text::count(report.expired, "version", "versions"),
            ))?;
        }
        for version in report.purged_versions.iter().take(NAMED) {
            let what = if report.dry_run { "would be gone for good" } else { "gone for good" };
            printer.line(format!("{}: {what}", text::escaped(&version.to_string())))?;
        }
        if report.purged > NAMED as u64 {
            let more = text::number(report.purged - NAMED as u64);
            printer.line(format!("… and {more} more"))?;
        }
        let mut table = Table::new(["WHAT", "COUNT", "BYTES"]).right(&[1, 2]);
        let mut row = |what: &str, volume: Volume| {
            if volume.count > 0 {
                let cells =
                    [what.to_owned(), text::number(volume.count), text::bytes(volume.bytes)];
                table.row(cells);
            }
        };
        let plain = report.removed.count - report.rewritten.count.min(report.removed.count);
        let bytes = report.removed.bytes.saturating_sub(report.rewritten.bytes);
        row("objects removed", Volume { count: plain, bytes });
        row("packs rewritten", report.rewritten);
        row("packs written for them", report.written);
        row("unfinished files removed", report.leftovers);
        let kept = &report.kept;
        for (what, bytes) in [
            ("kept for versions", kept.versions),
            ("kept for versions that can be restored", kept.restorable),
            ("kept for versions being made", kept.drafts),
            ("kept for parts that wait to be finished", kept.parts),
            ("kept beside what is needed", kept.beside),
        ] {
            if bytes > 0 {
                table.row([what.to_owned(), String::new(), text::bytes(bytes)]);
            }
        }
        table.print(printer)?;
        if let Some(until) = kept.restorable_until {
            printer.line(format!(
                "the first of what can be restored ends {}; --grace 0 frees it now",
                text::time(until)
            ))?;
        }
        let verb = if report.dry_run { "would free" } else { "freed" };
        printer.line(format!(
            "{verb} {}; {} in {} stay",
            text::bytes(report.freed),
            text::bytes(kept.bytes),
            text::count(kept.objects, "object", "objects"),
        ))
    }
}
