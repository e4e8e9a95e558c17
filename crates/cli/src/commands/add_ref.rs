//! `artifact add-ref`: log references to external objects.

use heirloom::refs::DEFAULT_MAX_OBJECTS;

use super::put::{self, About};
use crate::app::App;
use crate::exit::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Objects, prefixes or directories, such as `https://host/a/file` or `file:///data/images`
    #[arg(required = true, value_name = "URI")]
    uris: Vec<String>,
    #[command(flatten)]
    about: About,
    /// Path in the artifact; of a prefix or directory, where its objects go below
    #[arg(long = "as", value_name = "PATH")]
    path: Option<String>,
    /// Most objects that a prefix or directory may have; more is an error
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_OBJECTS)]
    max_objects: u64,
    /// Record the URI alone, without looking at the object: later changes cannot be noticed
    #[arg(long)]
    no_checksum: bool,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    let mut artifact = args.about.artifact()?;
    if args.path.is_some() && args.uris.len() > 1 {
        return Err(Failure::usage("`--as` names one path: give one URI with it"));
    }
    for uri in &args.uris {
        let reference =
            artifact.add_reference(uri).checksum(!args.no_checksum).max_objects(args.max_objects);
        if let Some(path) = &args.path {
            reference.name(path);
        }
    }
    put::log(app, &args.about.name, &args.about.said, artifact).await
}
