//! `artifact finish`: make one version of all parts.

use heirloom::FinishOptions;
use heirloom_core::Ttl;

use super::parts::Set;
use super::put::{self, json_object};
use crate::app::App;
use crate::exit::Failure;
use crate::progress::Bar;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    set: Set,
    /// Alias for the version, beside `latest`; may be repeated
    #[arg(short, long = "alias", value_name = "ALIAS")]
    aliases: Vec<String>,
    /// Tag for the version; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Free text about the version
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,
    /// Facts about the version: a JSON object, or `@` and a file that holds one
    #[arg(long, value_name = "JSON|@FILE")]
    metadata: Option<String>,
    /// How long the version lives: `30d`, `12h`, `never`
    #[arg(long, value_name = "SPAN")]
    ttl: Option<Ttl>,
    /// Make a new version even when the newest has this content
    #[arg(long)]
    new_version: bool,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    let mut artifact = args.set.artifact();
    if let Some(text) = &args.description {
        artifact.description(text);
    }
    if let Some(metadata) = &args.metadata {
        artifact.metadata(json_object("--metadata", metadata)?);
    }
    if let Some(ttl) = args.ttl {
        artifact.ttl(ttl);
    }
    artifact.tags(&args.tags);
    let found = args.set.find(app).await?;
    let bar = Bar::for_terminal(&app.printer);
    let mut options = FinishOptions::from(found.id);
    options.aliases = args.aliases;
    options.force_new = args.new_version;
    options.progress = bar.clone().map(|bar| bar as _);
    let report = match &found.run {
        Some(run) => run.finish_put(artifact, options).await,
        None => found.project.finish_put(artifact, options).await,
    };
    if let Some(bar) = bar {
        bar.clear();
    }
    put::print_report(app, report?)
}
