//! `artifact restore`: make deleted versions readable again.

use std::io;

use heirloom_core::ArtifactRef;
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Deleted versions, each by its number, such as `animals:v3`
    #[arg(required = true, value_name = "REF")]
    references: Vec<ArtifactRef>,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Restored, Failure> {
    let project = app.project()?;
    let mut restored = Vec::with_capacity(args.references.len());
    for reference in &args.references {
        let version = project.restore(&reference.to_string()).await?;
        restored.push(app.name_of(&version.as_ref()));
    }
    Ok(Restored { restored })
}

/// What can be read again.
#[derive(Debug, Serialize)]
pub(crate) struct Restored {
    restored: Vec<String>,
}

impl Answer for Restored {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        for name in &self.restored {
            printer.note(format!("restored {name}"));
            printer.line(name)?;
        }
        Ok(())
    }
}
