//! `artifact use`: record that a run uses a version.

use std::io;

use heirloom_api::VersionDoc;
use heirloom_core::ArtifactRef;
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version that is used
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    /// Record this name as the one it was asked by
    #[arg(long = "as", value_name = "NAME")]
    asked: Option<String>,
    /// Run that uses it [env: HEIRLOOM_RUN]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Used, Failure> {
    let run = app.needed_run(args.run.as_deref()).await?;
    let version = app.version(&args.reference).await?;
    let asked = args.asked.unwrap_or_else(|| args.reference.to_string());
    let backend = app.client()?.backend();
    backend
        .use_version(run.doc().run.id, version.doc().id, asked.clone())
        .await
        .map_err(heirloom::Error::from)?;
    let name = app.name_of(&version.doc().as_ref());
    app.printer.note(format!("run {} uses {name}", app.run_name(&run.doc().run)));
    Ok(Used { run: run.id().to_string(), asked, version: version.doc().clone(), shown: name })
}

/// A use that was recorded.
#[derive(Debug, Serialize)]
pub(crate) struct Used {
    run: String,
    asked: String,
    version: VersionDoc,
    #[serde(skip)]
    shown: String,
}

impl Answer for Used {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        printer.line(&self.shown)
    }
}
