//! `admin backup` and `admin restore`: the repository as a whole.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use heirloom::{BackupReport, ClientOptions, FORMAT, Progress};
use heirloom_core::{ErrorCode, Timestamp};
use serde::Serialize;

use crate::app::App;
use crate::commands::verify;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::progress::Bar;
use crate::text;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Admin {
    /// Copy the repository into a directory, or bring an earlier copy there up to date
    Backup(BackupArgs),
    /// Make a repository of a backup, in an empty directory
    Restore(RestoreArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// Directory of the backup: absent, empty, or with an earlier backup of this repository
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// Directory of the backup; what is made of it goes to `--home`
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Do not read everything again when it is there
    #[arg(long)]
    no_verify: bool,
}

pub(crate) async fn backup(app: &App, args: BackupArgs) -> Result<BackedUp, Failure> {
    let bar = Bar::for_terminal(&app.printer);
    let listener = bar.clone().map(|bar| bar as Arc<dyn Progress>);
    let options = ClientOptions::from_os(&app.config.home);
    let report = options.backup_to(&args.dir, listener).await;
    drop(bar);
    let report = report.map_err(|error| {
        Failure::from(error).hint_for(ErrorCode::Corrupt, || {
            "an earlier backup there is still what it was; `heirloom verify` names the versions \
             that are hurt, and the same command goes on once they are repaired or deleted"
                .into()
        })
    })?;
    Ok(BackedUp::new(args.dir, &report))
}

pub(crate) async fn restore(app: &App, args: RestoreArgs) -> Result<(), Failure> {
    let home = app.config.home.clone();
    let bar = Bar::for_terminal(&app.printer);
    let listener = bar.clone().map(|bar| bar as Arc<dyn Progress>);
    let report = ClientOptions::from_os(&home).restore_from(&args.dir, listener).await;
    drop(bar);
    let report = report?;
    let damaged = report.damaged.len() as u64;
    for what in &report.damaged {
        app.printer.warning(format!("not restored: {}", text::escaped(what)));
    }
    let answer = BackedUp::new(home, &report);
    let older = report.info.format < FORMAT;
    if older {
        app.printer.warning(format!(
            "the backup is of format {}, and so is what was made of it: `heirloom upgrade`, then \
             `heirloom verify`",
            report.info.format
        ));
    }
    if args.no_verify || older {
        // Every object was hashed on the way; the catalog is read in this format only.
        app.printer.answer(&answer)?;
    } else {
        app.printer.note(answer.line());
        verify::whole(app).await?;
    }
    match damaged {
        0 => Ok(()),
        n => Err(Failure::Damage(format!(
            "{} of the backup could not be restored",
            text::count(n, "object", "objects")
        ))),
    }
}

/// What a directory holds now.
#[derive(Debug, Serialize)]
pub(crate) struct BackedUp {
    path: String,
    repository: String,
    format: u32,
    made_at: Option<Timestamp>,
    versions: u64,
    objects: u64,
    bytes: u64,
    copied_objects: u64,
    copied_bytes: u64,
    removed_objects: u64,
    removed_bytes: u64,
}

impl BackedUp {
    fn new(path: PathBuf, report: &BackupReport) -> Self {
        Self {
            path: path.to_string_lossy().into_owned(),
            repository: report.info.repository.clone(),
            format: report.info.format,
            made_at: report.info.made_at,
            versions: report.info.versions,
            objects: report.info.objects,
            bytes: report.info.bytes,
            copied_objects: report.copied.0,
            copied_bytes: report.copied.1,
            removed_objects: report.removed.0,
            removed_bytes: report.removed.1,
        }
    }

    fn line(&self) -> String {
        let mut line = format!(
            "{}: {} in {} ({}), {} copied",
            text::escaped(&self.path),
            text::count(self.versions, "version", "versions"),
            text::count(self.objects, "object", "objects"),
            text::bytes(self.bytes),
            text::bytes(self.copied_bytes),
        );
        if self.removed_objects > 0 {
            line.push_str(&format!(", {} removed", text::bytes(self.removed_bytes)));
        }
        line
    }
}

impl Answer for BackedUp {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        printer.line(self.line())
    }
}
