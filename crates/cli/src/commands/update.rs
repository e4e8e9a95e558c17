//! `artifact update`: what may be edited of a version or an artifact.

use std::io;

use heirloom_api::{CollectionDoc, UpdateCollection, UpdateVersion, VersionDoc};
use heirloom_core::{ArtifactRef, ArtifactType, Selector, Ttl};
use serde::Serialize;

use super::put::json_object;
use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `animals:v3` or `animals:prod` edits that version, `animals` the artifact as a whole
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    #[command(flatten)]
    changes: Changes,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// Free text; empty removes it
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,
    /// Facts about a version that replace the present ones: a JSON object, or `@` and a file
    #[arg(long, value_name = "JSON|@FILE")]
    metadata: Option<String>,
    /// How long a version lives: `30d`, `never`, `inherit`; of an artifact, its versions' default
    #[arg(long, value_name = "SPAN")]
    ttl: Option<Ttl>,
    /// Type of the artifact as a whole
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    artifact_type: Option<ArtifactType>,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Updated, Failure> {
    let Args { reference, changes } = args;
    if *reference.selector() == Selector::Unspecified {
        if changes.metadata.is_some() {
            return Err(Failure::usage_hint(
                "metadata belongs to a version, not to the artifact",
                format!("`{reference}:latest` names the newest"),
            ));
        }
        let request = UpdateCollection {
            description: changes.description,
            artifact_type: changes.artifact_type,
            ttl: changes.ttl,
            rename: None,
        };
        let project = app.project_of(&reference)?;
        let doc = project.update_collection(reference.name().as_str(), request).await?;
        return Ok(Updated::Collection(Box::new(doc)));
    }
    if changes.artifact_type.is_some() {
        return Err(Failure::usage_hint(
            "the type belongs to the artifact, not to one version",
            format!(
                "`heirloom artifact update {} --type …`",
                reference.with_selector(Selector::Unspecified)
            ),
        ));
    }
    let request = UpdateVersion {
        description: changes.description,
        metadata: changes
            .metadata
            .map(|metadata| json_object("--metadata", &metadata))
            .transpose()?,
        ttl: changes.ttl,
    };
    let version = app.version(&reference).await?.update(request).await?;
    Ok(Updated::Version(Box::new(version.doc().clone())))
}

/// What was edited, as it is now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Updated {
    Version(Box<VersionDoc>),
    Collection(Box<CollectionDoc>),
}

impl Answer for Updated {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        printer.note(match self {
            Self::Version(doc) => format!("updated {}:{}", doc.name, doc.version),
            Self::Collection(doc) => format!("updated {}", doc.name),
        });
        Ok(())
    }
}
