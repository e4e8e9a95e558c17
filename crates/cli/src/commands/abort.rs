//! `artifact abort`: give up parts that were not finished.

use std::io;

use heirloom_api::PartSetDoc;
use serde::Serialize;

use super::parts::Set;
use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    set: Set,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Aborted, Failure> {
    let found = args.set.find(app).await?;
    Ok(Aborted { dropped: found.project.abort_parts(&found.name, &found.id).await? })
}

/// A set that is no more.
#[derive(Debug, Serialize)]
pub(crate) struct Aborted {
    dropped: PartSetDoc,
}

impl Answer for Aborted {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let id = text::escaped(&self.dropped.distributed_id);
        printer.note(format!(
            "dropped {} of {} under `{id}`",
            text::count(self.dropped.parts, "part", "parts"),
            text::escaped(self.dropped.name.as_str()),
        ));
        printer.line(id)
    }
}
