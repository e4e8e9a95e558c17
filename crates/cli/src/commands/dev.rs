//! Verbs for work on heirloom itself.

use crate::app::App;
use crate::exit::Failure;
use crate::reference;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Dev {
    /// Print docs/cli.md
    CliReference,
    /// Fail as a bug would
    Panic,
}

pub(crate) fn run(app: &App, dev: &Dev) -> Result<(), Failure> {
    match dev {
        Dev::CliReference => Ok(app.printer.bytes(reference::markdown().as_bytes())?),
        Dev::Panic => panic!("as asked for"),
    }
}
