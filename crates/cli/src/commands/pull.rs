//! `pull`: versions from another repository.

use std::path::PathBuf;

use heirloom_api::Problem;

use crate::app::App;
use crate::commands::push::{Moved, What, transfer};
use crate::exit::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    what: What,
    /// Directory of the other repository, or of a backup
    #[arg(long, value_name = "HOME")]
    from: PathBuf,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Moved, Failure> {
    // Opening makes a repository where there is none.
    if !args.from.join("heirloom.toml").exists() {
        let missing = Problem::not_found("repository", args.from.display());
        return Err(heirloom::Error::from(missing).into());
    }
    let from = app.other(&args.from)?;
    transfer(app, &from, app.client()?, args.what).await
}
