//! `upgrade`: from an older format to this one.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use heirloom::{ClientOptions, Keep, Progress};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::progress::Bar;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Keep a complete backup in this directory, instead of the catalog beside the repository's
    #[arg(long, value_name = "DIR")]
    backup: Option<PathBuf>,
    /// Keep nothing of the older format
    #[arg(long, conflicts_with = "backup")]
    no_backup: bool,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Done, Failure> {
    let keep = match (args.backup, args.no_backup) {
        (Some(dir), _) => Keep::Backup(dir),
        (None, true) => Keep::Nothing,
        (None, false) => Keep::Beside,
    };
    let bar = Bar::for_terminal(&app.printer);
    let listener = bar.clone().map(|bar| bar as Arc<dyn Progress>);
    let done = ClientOptions::from_os(&app.config.home).upgrade(keep, listener).await;
    drop(bar);
    let done = done?;
    Ok(Done {
        home: app.config.home.to_string_lossy().into_owned(),
        from: done.from,
        to: done.to,
        kept: done.kept.map(|path| path.to_string_lossy().into_owned()),
    })
}

/// What the repository is now.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    home: String,
    from: u32,
    to: u32,
    kept: Option<String>,
}

impl Answer for Done {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let home = text::escaped(&self.home);
        if self.from == self.to {
            return printer.line(format!("{home}: format {}, nothing to do", self.to));
        }
        let mut line = format!("{home}: upgraded from format {} to {}", self.from, self.to);
        if let Some(kept) = &self.kept {
            line.push_str(&format!("; what it was is kept in {}", text::escaped(kept)));
        }
        printer.line(line)
    }
}
