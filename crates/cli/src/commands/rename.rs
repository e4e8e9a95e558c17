//! `artifact rename`.

use std::io;

use heirloom_api::CollectionDoc;
use heirloom_core::{ArtifactName, ArtifactRef, Selector};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Artifact to rename
    #[arg(value_name = "[PROJECT/]NAME")]
    name: ArtifactRef,
    /// Its new name
    #[arg(value_name = "NEW")]
    to: ArtifactName,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Renamed, Failure> {
    if *args.name.selector() != Selector::Unspecified {
        return Err(Failure::usage(format!(
            "`{}` names a version; an artifact is renamed as a whole",
            args.name
        )));
    }
    let project = app.project_of(&args.name)?;
    let from = args.name.name().to_string();
    let collection = project.rename_collection(&from, args.to.as_str()).await?;
    Ok(Renamed { from, collection })
}

/// An artifact under its new name.
#[derive(Debug, Serialize)]
pub(crate) struct Renamed {
    from: String,
    #[serde(flatten)]
    collection: CollectionDoc,
}

impl Answer for Renamed {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        if self.from == self.collection.name.as_str() {
            printer.note(format!("`{}` has that name already", self.from));
            return Ok(());
        }
        printer.note(format!(
            "`{}` is `{}` now; the old name leads to it",
            self.from, self.collection.name
        ));
        Ok(())
    }
}
