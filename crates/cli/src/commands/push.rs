//! `push`: versions to another repository.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use heirloom::{AliasPolicy, Client, Progress, TransferOptions, TransferReport};
use heirloom_api::VersionRef;
use heirloom_core::ArtifactRef;
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::progress::Bar;
use crate::table::Table;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,
    /// Directory of the other repository, made if need be
    #[arg(long, value_name = "HOME")]
    to: PathBuf,
}

/// Which versions are moved, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// Versions to move
    #[arg(value_name = "REF", required = true)]
    references: Vec<ArtifactRef>,
    /// All versions of the artifacts named
    #[arg(long)]
    all_versions: bool,
    /// Also all versions that they were made from
    #[arg(long)]
    lineage: bool,
    /// Move aliases at the receiver wherever they are
    #[arg(long)]
    force_aliases: bool,
    /// Leave aliases alone
    #[arg(long, conflicts_with = "force_aliases")]
    no_aliases: bool,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Moved, Failure> {
    let to = app.other(&args.to)?;
    transfer(app, app.client()?, &to, args.what).await
}

/// Moves versions from one repository to another.
pub(crate) async fn transfer(
    app: &App,
    from: &Client,
    to: &Client,
    what: What,
) -> Result<Moved, Failure> {
    let bar = Bar::for_terminal(&app.printer);
    let options = TransferOptions {
        all_versions: what.all_versions,
        lineage: what.lineage,
        aliases: match (what.force_aliases, what.no_aliases) {
            (true, _) => AliasPolicy::Force,
            (_, true) => AliasPolicy::Never,
            _ => AliasPolicy::Careful,
        },
        progress: bar.clone().map(|bar| bar as Arc<dyn Progress>),
    };
    let report = from.push(to, &what.references, options).await;
    drop(bar);
    let report = report?;
    for kept in &report.aliases_kept {
        let holder = kept.holder.map(|holder| format!(" on {holder}")).unwrap_or_default();
        app.printer.warning(format!(
            "alias `{}` of {} stays{holder}: {}",
            kept.alias,
            app.name_of(&kept.version),
            text::escaped(&kept.reason)
        ));
    }
    for version in &report.left_out {
        app.printer.warning(format!("{} is deleted and was left out", app.name_of(version)));
    }
    Ok(Moved::new(app, &report))
}

/// What was moved.
#[derive(Debug, Serialize)]
pub(crate) struct Moved {
    versions: Vec<One>,
    left_out: Vec<String>,
    runs: u64,
    edges: u64,
    aliases: Vec<Alias>,
    aliases_kept: Vec<Kept>,
    new_bytes: u64,
    stored_bytes: u64,
}

#[derive(Debug, Serialize)]
struct One {
    id: String,
    from: String,
    to: String,
    created: bool,
    deleted: bool,
    new_bytes: u64,
    stored_bytes: u64,
    #[serde(skip)]
    shown: (String, String),
}

#[derive(Debug, Serialize)]
struct Alias {
    alias: String,
    version: String,
}

#[derive(Debug, Serialize)]
struct Kept {
    alias: String,
    version: String,
    holder: Option<String>,
    reason: String,
}

fn full(version: &VersionRef) -> String {
    format!("{}/{version}", version.entity)
}

impl Moved {
    fn new(app: &App, report: &TransferReport) -> Self {
        let versions = report.versions.iter().map(|one| One {
            id: one.to.id.to_string(),
            from: full(&one.from),
            to: full(&one.to),
            created: one.created,
            deleted: one.deleted,
            new_bytes: one.new_bytes,
            stored_bytes: one.stored_bytes,
            shown: (app.name_of(&one.from), app.name_of(&one.to)),
        });
        let aliases = report
            .aliases
            .iter()
            .map(|(alias, version)| Alias { alias: alias.to_string(), version: full(version) });
        let kept = report.aliases_kept.iter().map(|kept| Kept {
            alias: kept.alias.to_string(),
            version: full(&kept.version),
            holder: kept.holder.map(|holder| holder.to_string()),
            reason: kept.reason.clone(),
        });
        Self {
            versions: versions.collect(),
            left_out: report.left_out.iter().map(full).collect(),
            runs: report.runs,
            edges: report.edges,
            aliases: aliases.collect(),
            aliases_kept: kept.collect(),
            new_bytes: report.versions.iter().map(|one| one.new_bytes).sum(),
            stored_bytes: report.versions.iter().map(|one| one.stored_bytes).sum(),
        }
    }
}

impl Answer for Moved {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let mut table = Table::new(["FROM", "TO", "STATE", "NEW"]).right(&[3]);
        for one in &self.versions {
            let state = match (one.created, one.deleted) {
                (true, _) => "moved",
                (false, false) => "there already",
                (false, true) => "deleted there",
            };
            table.row([
                text::escaped(&one.shown.0),
                text::escaped(&one.shown.1),
                state.to_owned(),
                text::bytes(one.new_bytes),
            ]);
        }
        table.print(printer)
    }
}
