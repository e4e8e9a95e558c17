//! `artifact upsert`: add files as a part of the next version.

use std::io;
use std::path::PathBuf;

use heirloom::{UpsertOptions, UpsertReport};
use heirloom_core::OnConflict;
use serde::Serialize;

use super::parts::{Policy, Set};
use super::put::{self, LinkPolicy};
use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::progress::Bar;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files and directories; `-` reads standard input (with --as)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    set: Set,
    /// What counts when parts differ at one path; the first part fixes it [default: error]
    #[arg(long, value_enum, value_name = "POLICY")]
    on_conflict: Option<Policy>,
    /// Directory of the artifact to put everything below; with `-` the file's path
    #[arg(long = "as", value_name = "PREFIX")]
    prefix: Option<String>,
    /// What to do with symbolic links that stay inside their directory
    #[arg(long, value_enum, default_value_t = LinkPolicy::Follow)]
    links: LinkPolicy,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Upserted, Failure> {
    let found = args.set.find(app).await?;
    let mut artifact = args.set.artifact();
    put::add_paths(&mut artifact, &args.paths, args.prefix.as_deref(), args.links)?;
    let bar = Bar::for_terminal(&app.printer);
    let mut options = UpsertOptions::from(found.id);
    options.on_conflict = args.on_conflict.map(OnConflict::from);
    options.progress = bar.clone().map(|bar| bar as _);
    let report = match &found.run {
        Some(run) => run.upsert_artifact(artifact, options).await,
        None => found.project.upsert_artifact(artifact, options).await,
    };
    if let Some(bar) = bar {
        bar.clear();
    }
    let report = report?;
    put::announce(&app.printer, &report.scanned);
    if report.part.replaced {
        app.printer.warning(format!(
            "the parts that were there under `{}` had expired: this one begins another set",
            text::escaped(&report.part.distributed_id)
        ));
    }
    app.printer.note(summary(&report));
    Ok(Upserted::new(report))
}

fn summary(report: &UpsertReport) -> String {
    format!(
        "part {} of {} under `{}`: {}, {} ({} new)",
        report.part.part,
        text::escaped(report.part.name.as_str()),
        text::escaped(&report.part.distributed_id),
        text::count(report.files, "file", "files"),
        text::bytes(report.bytes),
        text::bytes(report.new_bytes),
    )
}

/// What adding a part came to.
#[derive(Debug, Serialize)]
pub(crate) struct Upserted {
    name: String,
    entity: String,
    project: String,
    distributed_id: String,
    part: u64,
    replaced: bool,
    files: u64,
    bytes: u64,
    new_bytes: u64,
    stored_bytes: u64,
    links_followed: u64,
    links_skipped: u64,
    ignored: u64,
    lost_modes: u64,
}

impl Upserted {
    fn new(report: UpsertReport) -> Self {
        Self {
            name: report.part.name.to_string(),
            entity: report.part.entity.to_string(),
            project: report.part.project.to_string(),
            distributed_id: report.part.distributed_id,
            part: report.part.part,
            replaced: report.part.replaced,
            files: report.files,
            bytes: report.bytes,
            new_bytes: report.new_bytes,
            stored_bytes: report.stored_bytes,
            links_followed: report.scanned.links_followed,
            links_skipped: report.scanned.links_skipped,
            ignored: report.scanned.ignored,
            lost_modes: report.scanned.lost_modes,
        }
    }
}

impl Answer for Upserted {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        printer.line(self.part.to_string())
    }
}
