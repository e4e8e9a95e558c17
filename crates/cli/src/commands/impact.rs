//! `impact`: what descends from a version or a file.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use heirloom_api::{LineageNode, StateDoc, VersionRef};
use heirloom_core::{Alias, ArtifactRef, ErrorCode, VersionId};
use serde::Serialize;

use super::ls::state_note;
use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::table::Table;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version to start from
    #[arg(value_name = "REF", required_unless_present = "file", conflicts_with = "file")]
    reference: Option<ArtifactRef>,
    /// Start from every version that holds this file's content; those count too
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Only versions that hold this alias now
    #[arg(long, value_name = "ALIAS")]
    alias: Option<Alias>,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Impact, Failure> {
    let alias = args.alias.as_ref().map(Alias::as_str);
    let mut hit: BTreeMap<VersionId, Hit> = BTreeMap::new();
    let mut from = Vec::new();
    let starts = match (&args.reference, &args.file) {
        (Some(reference), _) => vec![app.version_or_tombstone(reference).await?],
        (None, Some(file)) => {
            let answer = app.client()?.whence(file).await?;
            if answer.found.is_empty() {
                let message = format!("no version holds the content of `{}`", text::path(file));
                return Err(Failure::failed(ErrorCode::NotFound, message));
            }
            let project = app.project()?;
            answer.found.into_iter().map(|found| project.version(found.version)).collect()
        }
        (None, None) => return Err(Failure::usage("name a version, or a file with `--file`")),
    };
    for start in starts {
        let doc = start.doc();
        let own = doc.as_ref();
        if from.contains(&app.name_of(&own)) {
            continue;
        }
        from.push(app.name_of(&own));
        if args.file.is_some()
            && args.alias.as_ref().is_none_or(|alias| doc.aliases.contains(alias))
        {
            let artifact_type = doc.artifact_type.as_str();
            hit.insert(doc.id, Hit::new(app, &own, artifact_type, doc.state, &doc.aliases));
        }
        for node in start.impact(alias).await? {
            if let LineageNode::Version { version, artifact_type, aliases, state, .. } = node {
                let artifact_type = artifact_type.as_str();
                hit.insert(version.id, Hit::new(app, &version, artifact_type, state, &aliases));
            }
        }
    }
    let mut versions: Vec<Hit> = hit.into_values().collect();
    versions.sort_by(|a, b| (&a.project, &a.name, a.index).cmp(&(&b.project, &b.name, b.index)));
    if versions.is_empty() {
        let held = alias.map(|alias| format!(" that `{alias}` names")).unwrap_or_default();
        app.printer.note(format!("nothing{held} descends from {}", from.join(", ")));
    }
    Ok(Impact { from, versions })
}

/// Versions that descend from the start.
#[derive(Debug, Serialize)]
pub(crate) struct Impact {
    from: Vec<String>,
    versions: Vec<Hit>,
}

#[derive(Debug, Serialize)]
struct Hit {
    entity: String,
    project: String,
    name: String,
    version: String,
    index: u64,
    #[serde(rename = "type")]
    artifact_type: String,
    state: StateDoc,
    aliases: Vec<String>,
    #[serde(skip)]
    shown: String,
}

impl Hit {
    fn new(
        app: &App,
        version: &VersionRef,
        artifact_type: &str,
        state: StateDoc,
        aliases: &[Alias],
    ) -> Self {
        Self {
            entity: version.entity.to_string(),
            project: version.project.to_string(),
            name: version.name.to_string(),
            version: version.index.to_string(),
            index: version.index.get(),
            artifact_type: artifact_type.to_owned(),
            state,
            aliases: aliases.iter().map(ToString::to_string).collect(),
            shown: app.name_of(version),
        }
    }
}

impl Answer for Impact {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let mut table = Table::new(["VERSION", "TYPE", "ALIASES"]);
        for hit in &self.versions {
            table.row([
                format!("{}{}", text::escaped(&hit.shown), state_note(hit.state)),
                text::escaped(&hit.artifact_type),
                text::list(&hit.aliases),
            ]);
        }
        table.print(printer)
    }
}
