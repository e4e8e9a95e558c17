//! `completions`: scripts for shells.

use crate::app::App;
use crate::exit::Failure;
use crate::help;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: clap_complete::Shell,
}

pub(crate) fn run(app: &App, args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut help::command(), "heirloom", &mut script);
    Ok(app.printer.bytes(&script)?)
}
