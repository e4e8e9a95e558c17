//! The project's machinery, as `cargo xtask VERB`.
//!
//! `test` installs what the tests need and runs them all; `lint` is everything
//! that can be said about the code without running it; `ci` is both, and what
//! `.ci/run` calls. `layers` and `gen` are the parts of `lint` that one wants
//! alone. Rules are pure functions over what Cargo or the file tree says, so that
//! each has a test that sees it fail; the verbs only fetch, call and print.
//!
//! A new verb is a module with a `run` function, a variant of [`Verb`] and one arm
//! in `run`.
//!
//! Exit codes: 0 fine, 1 something was found, 2 wrong usage or a tool is missing.
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to a developer is its job")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod demo;
mod dist;
mod generate;
mod layers;
mod licences;
mod lint;
mod shell;
mod soak;
mod source;
mod test;
mod tidy;
mod tools;
mod workspace;

use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Heirloom's machinery")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what the tests need, then run all of them
    Test(test::Args),
    /// Format, layers, licences, tidiness, generated files, spelling, clippy, API pages
    Lint(lint::Args),
    /// `test`, then `lint`
    Ci,
    /// Show the main job on a real data set and a real model
    Demo(demo::Args),
    /// Measure against plain tools; minutes, and some 20 GiB of disk
    Bench(bench::Args),
    /// Kill the command ten thousand times, and check what is left each time
    Soak(soak::Args),
    /// Pack a static binary, completions and manual pages for download
    Dist(dist::Args),
    /// Check which crate depends on which
    Layers(layers::Args),
    /// Write the generated files
    Gen(generate::Args),
}

/// What a verb found, as opposed to an error that kept it from looking.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fine,
    Found,
}

impl Verdict {
    fn of(fine: bool) -> Self {
        if fine { Self::Fine } else { Self::Found }
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(Verdict::Fine) => ExitCode::SUCCESS,
        Ok(Verdict::Found) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            let missing = error.downcast_ref::<tools::Missing>().is_some();
            ExitCode::from(if missing { 2 } else { 1 })
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<Verdict> {
    let workspace = Workspace::load()?;
    match verb {
        Verb::Test(args) => test::run(&workspace, &args),
        Verb::Lint(args) => lint::run(&workspace, &args),
        Verb::Ci => {
            let tested = test::run(&workspace, &test::Args::default())?;
            let linted = lint::run(&workspace, &lint::Args::default())?;
            Ok(Verdict::of(tested == Verdict::Fine && linted == Verdict::Fine))
        }
        Verb::Demo(args) => demo::run(&workspace, &args),
        Verb::Bench(args) => bench::run(&workspace, &args),
        Verb::Soak(args) => soak::run(&workspace, &args),
        Verb::Dist(args) => dist::run(&workspace, &args),
        Verb::Layers(args) => layers::run(&workspace, &args),
        Verb::Gen(args) => generate::run(&workspace, &args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
