//! The `heirloom` command: parse, call the SDK, print.
//!
//! Verbs are thin functions in `commands` that return data; one `Printer` owns
//! both streams; `exit` decides the exit code and `hints` what to do next.
//! Nothing below this crate knows a command's name.
//!
//! It is a library with one function so that other programs, the tests' among
//! them, can be the command. For use from Rust there is the SDK, `heirloom`:
//! this crate offers nothing else.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     heirloom_cli::main()
//! }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
mod args;
mod commands;
mod config;
mod exit;
mod filter;
mod help;
mod hints;
mod memory;
mod printer;
mod progress;
mod reference;
mod table;
mod text;

use std::process::ExitCode;

use app::App;
use clap::FromArgMatches;
use exit::Failure;
use printer::Printer;

/// Carries out the command line of this process and answers its exit code:
/// 0 done, 1 failed, 2 usage, 3 damage found, 4 conflict, 70 a bug. `run exec`
/// answers its command's.
pub fn main() -> ExitCode {
    memory::share_one_arena();
    exit::report_panics();
    let outcome = std::panic::catch_unwind(run);
    outcome.unwrap_or(ExitCode::from(exit::BUG))
}

fn run() -> ExitCode {
    let parsed = help::command()
        .try_get_matches_from(std::env::args_os())
        .and_then(|mut matches| args::Cli::from_arg_matches_mut(&mut matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return exit::usage(error),
    };
    let printer = Printer::new(&cli.globals);
    let outcome = App::new(cli.globals, printer.clone())
        .and_then(|app| commands::run(&app, cli.command))
        .and_then(|()| Ok(printer.flush()?));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => finish(&printer, &failure),
    }
}

fn finish(printer: &Printer, failure: &Failure) -> ExitCode {
    // What was printed before the failure comes first.
    let flushed = printer.flush();
    if matches!(failure, Failure::PipeClosed) || flushed.is_err_and(|e| exit::is_closed_pipe(&e)) {
        return ExitCode::SUCCESS;
    }
    if let Some(report) = failure.report() {
        printer.error(&report);
    }
    ExitCode::from(failure.exit_code())
}
