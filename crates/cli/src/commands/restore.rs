//! `artifact restore`: make deleted versions readable again.

use std::io;

use heirloom_core::{ArtifactRef, ErrorCode, Selector};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Deleted versions, each by its number, such as `animals:v3`
    #[arg(required = true, value_name = "REF")]
    references: Vec<ArtifactRef>,
    /// Restore all that can be restored of the artifacts named
    #[arg(long)]
    all_versions: bool,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Restored, Failure> {
    for reference in &args.references {
        let whole = *reference.selector() == Selector::Unspecified;
        if whole && !args.all_versions {
            return Err(Failure::usage_hint(
                format!("`{reference}` names no version"),
                format!("`{reference}:vN`, or `--all-versions` for all that can be restored"),
            ));
        }
        if !whole && args.all_versions {
            return Err(Failure::usage_hint(
                format!("`{reference}` names one version"),
                "leave `--all-versions` out, or the version",
            ));
        }
    }
    let references = args.references.iter().map(ToString::to_string);
    let restored = app.project()?.restore(references).await.map_err(|error| {
        let taken = error.to_string().ends_with(" exists already");
        let failure = Failure::from(error);
        match taken {
            true => failure.hint_for(ErrorCode::Conflict, || {
                "another artifact has the name now: give that one another with `heirloom artifact \
                 rename`, or delete it"
                    .into()
            }),
            false => failure,
        }
    })?;
    let name = |one: &heirloom_api::RestoredDoc| app.name_of(&one.version);
    Ok(Restored {
        made_endless: restored.iter().filter(|one| one.kept).map(name).collect(),
        restored: restored.iter().map(name).collect(),
    })
}

/// What can be read again.
#[derive(Debug, Serialize)]
pub(crate) struct Restored {
    restored: Vec<String>,
    /// Those whose lifetime had ended.
    made_endless: Vec<String>,
}

impl Answer for Restored {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        for name in &self.restored {
            printer.note(format!("restored {}", text::escaped(name)));
            printer.line(text::escaped(name))?;
        }
        for name in &self.made_endless {
            printer.note(format!(
                "{0} had expired and lives for ever now; `heirloom artifact update {0} --ttl SPAN` \
                 changes that",
                text::escaped(name)
            ));
        }
        Ok(())
    }
}
