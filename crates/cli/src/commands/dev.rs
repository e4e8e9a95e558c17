//! Verbs for work on heirloom itself.

use std::path::PathBuf;

use crate::app::App;
use crate::exit::Failure;
use crate::{help, reference};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Dev {
    /// Print docs/cli.md
    CliReference,
    /// Write manual pages into a directory, one per verb
    Man {
        /// The directory; made if need be
        dir: PathBuf,
    },
    /// Fail as a bug would
    Panic,
}

pub(crate) fn run(app: &App, dev: &Dev) -> Result<(), Failure> {
    match dev {
        Dev::CliReference => Ok(app.printer.bytes(reference::markdown().as_bytes())?),
        Dev::Man { dir } => {
            let written = std::fs::create_dir_all(dir)
                .and_then(|()| clap_mangen::generate_to(help::command(), dir));
            written.map_err(|error| Failure::io("write manual pages into", dir, &error))
        }
        Dev::Panic => panic!("as asked for"),
    }
}
