//! `manifest dump`: a manifest as JSON Lines.

use heirloom_core::ArtifactRef;
use serde::Serialize;

use super::files::Item;
use crate::app::App;
use crate::exit::Failure;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Manifest {
    /// Print a version's manifest as JSON Lines, in path order
    Dump(Dump),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Dump {
    /// Version whose manifest to print
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
}

/// The first line: what the entries add up to.
#[derive(Debug, Serialize)]
struct Header<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    version: &'a str,
    digest: String,
    root: String,
    files: u64,
    size: u64,
}

pub(crate) async fn dump(app: &App, args: Dump) -> Result<(), Failure> {
    let version = app.version(&args.reference).await?;
    let doc = version.doc();
    app.printer.json_line(&Header {
        kind: "manifest",
        name: doc.name.as_str(),
        version: &doc.version,
        digest: doc.digest.to_string(),
        root: doc.root.to_string(),
        files: doc.files,
        size: doc.size,
    })?;
    let mut files = version.files();
    while let Some((path, entry)) = files.next().await? {
        app.printer.json_line(&Item::new(&path, &entry))?;
    }
    Ok(())
}
