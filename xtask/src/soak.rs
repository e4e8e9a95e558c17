//! `soak`: the kill loop of the tests, for longer.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Verdict;
use crate::shell::Shell;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kills after which it ends
    #[arg(long, default_value_t = 10_000)]
    kills: u64,
    /// Repeat the run with this seed
    #[arg(long)]
    seed: Option<u64>,
    /// End after this time all the same
    #[arg(long)]
    minutes: Option<u64>,
    /// Instead of kills: for this many minutes, writers beside collectors
    #[arg(long, value_name = "MINUTES", conflicts_with_all = ["kills", "seed", "minutes"])]
    gc: Option<u64>,
    /// Where the repositories are made; in memory if need not be
    #[arg(long)]
    dir: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<Verdict> {
    if let Some(minutes) = args.gc {
        return gc(workspace, minutes);
    }
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let seed = args.seed.unwrap_or(clock.as_secs() % 1_000_000);
    let minutes = args.minutes.map(|minutes| minutes.to_string()).unwrap_or_default();
    let dir = match &args.dir {
        Some(dir) => {
            std::fs::create_dir_all(dir)?;
            dir.canonicalize()?.display().to_string()
        }
        None => String::new(),
    };
    eprintln!("seed {seed}");
    let test = ["test", "--locked", "-p", "heirloom-tests", "--test", "it"];
    let fine = Shell::cargo(&workspace.root)
        .args(test)
        .args(["a_life_of_kills", "--", "--nocapture"])
        .env("HEIRLOOM_SOAK", format!("{},{seed},{minutes},{dir}", args.kills))
        .run()?;
    Ok(Verdict::of(fine))
}

/// Sixteen writers beside two collectors: every put succeeds, nothing is lost, and
/// two more collections free what is garbage.
fn gc(workspace: &Workspace, minutes: u64) -> anyhow::Result<Verdict> {
    let test = ["test", "--locked", "-p", "heirloom-tests", "--test", "it"];
    let name = "writers_beside_two_collectors";
    let fine = Shell::cargo(&workspace.root)
        .args(test)
        .args([name, "--", "--nocapture"])
        .env("HEIRLOOM_SOAK_GC", minutes.to_string())
        .run()?;
    Ok(Verdict::of(fine))
}
