//! `du`: who holds how many bytes.

use std::io;

use heirloom_api::{UsageBy, UsageReport};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::table::Table;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to count by; `--project` limits the answer to one project
    #[arg(long, value_enum, default_value_t = By::Artifact)]
    by: By,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Project,
    #[value(alias = "collection")]
    Artifact,
    Version,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Du, Failure> {
    let by = match args.by {
        By::Project => UsageBy::Project,
        By::Artifact => UsageBy::Collection,
        By::Version => UsageBy::Version,
    };
    let project = app.project()?;
    let only = app.config.project_flag.then_some(&project);
    Ok(Du(app.client()?.usage(by, only).await?))
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Du(UsageReport);

impl Answer for Du {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let mut table =
            Table::new(["NAME", "VERSIONS", "LOGICAL", "UNIQUE", "SHARED"]).right(&[1, 2, 3, 4]);
        for row in &self.0.rows {
            table.row([
                text::escaped(&row.name),
                text::number(row.versions),
                text::bytes(row.logical),
                text::bytes(row.unique),
                text::bytes(row.shared),
            ]);
        }
        table.print(printer)?;
        printer.line(format!(
            "in all: {} logical, {} distinct, {} stored in {}",
            text::bytes(self.0.logical),
            text::bytes(self.0.distinct),
            text::bytes(self.0.stored),
            text::count(self.0.objects, "object", "objects"),
        ))
    }
}
