//! `artifact cp`: the same content elsewhere.

use std::io;

use heirloom_api::Committed;
use heirloom_core::{ArtifactRef, ErrorCode, Selector};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version to copy
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    /// Artifact that gets a version of the same content
    #[arg(value_name = "[PROJECT/]NAME")]
    to: ArtifactRef,
    /// Run that copies it [env: HEIRLOOM_RUN]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Copied, Failure> {
    if *args.to.selector() != Selector::Unspecified {
        return Err(Failure::usage(format!(
            "`{}` names a version; the copy becomes the next one",
            args.to
        )));
    }
    let version = app.version(&args.reference).await?;
    let run = app.run(args.run.as_deref()).await?;
    let project = app.project_of(&args.to)?;
    let committed = version
        .copy_to(&project, args.to.name().as_str(), run.as_ref())
        .await
        .map_err(|error| {
            Failure::from(error).hint_for(ErrorCode::WrongType, || {
                "all versions of one artifact have one type; choose another name".into()
            })
        })?;
    let name = app.name_of(&committed.version);
    app.printer.note(match committed.created {
        true => format!(
            "copied {} to {name}; no bytes were copied",
            app.name_of(&version.doc().as_ref())
        ),
        false => format!("unchanged: {name} already has this content"),
    });
    Ok(Copied::new(name, &committed))
}

/// A copy.
#[derive(Debug, Serialize)]
pub(crate) struct Copied {
    name: String,
    version: String,
    index: u64,
    id: String,
    entity: String,
    project: String,
    digest: String,
    created: bool,
    files: u64,
    bytes: u64,
    #[serde(skip)]
    shown: String,
}

impl Copied {
    fn new(shown: String, committed: &Committed) -> Self {
        let version = &committed.version;
        Self {
            name: version.name.to_string(),
            version: version.index.to_string(),
            index: version.index.get(),
            id: version.id.to_string(),
            entity: version.entity.to_string(),
            project: version.project.to_string(),
            digest: committed.digest.to_string(),
            created: committed.created,
            files: committed.files,
            bytes: committed.size,
            shown,
        }
    }
}

impl Answer for Copied {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        printer.line(&self.shown)
    }
}
