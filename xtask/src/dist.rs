//! `cargo xtask dist`: what users download.
//!
//! A static binary for Linux on x86-64, completions, manual pages and the texts that
//! go with them, laid out as below `~/.local` or `/usr/local`, so that unpacking is
//! installing. The archive of the same files is the same bytes: names are sorted,
//! nobody owns them, and the time is that of the commit.
//!
//! `--check` does what a user does: it unpacks the archive in an empty place and
//! follows the quickstart with nothing else at hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::Verdict;
use crate::shell::Shell;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to put directory, archive and SHA256SUMS [default: target/dist]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Cargo's profile
    #[arg(long, default_value = "release")]
    pub(crate) profile: String,
    /// Install the archive in an empty directory and follow the quickstart with it
    #[arg(long)]
    pub(crate) check: bool,
}

/// Whether this machine can.
pub(crate) const POSSIBLE: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

const TARGET: &str = "x86_64-unknown-linux-gnu";
const CFLAGS: &str = "CFLAGS_x86_64_unknown_linux_gnu";

/// Texts that go along.
const TEXTS: &[&str] = &["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// What each shell's completion script is called where that shell looks for it.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "share/bash-completion/completions/heirloom"),
    ("fish", "share/fish/vendor_completions.d/heirloom.fish"),
    ("zsh", "share/zsh/site-functions/_heirloom"),
];

const BINARY: &str = "bin/heirloom";
const MAN: &str = "share/man/man1";
const DOC: &str = "share/doc/heirloom";

/// The page that `--check` follows.
const QUICKSTART: &str = "docs/guide/quickstart.md";

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<Verdict> {
    if !POSSIBLE {
        bail!("`dist` runs what it built, so it needs Linux on x86-64");
    }
    let out = args.out.clone().unwrap_or_else(|| workspace.target.join("dist"));
    fs::create_dir_all(&out)?;
    let out = fs::canonicalize(out)?;
    let name = format!("heirloom-{}-x86_64-linux", version(workspace)?);
    let binary = build(workspace, &args.profile)?;
    lay_out(workspace, &binary, &out.join(&name))?;
    let archive = pack(workspace, &out, &name)?;
    println!("{}", archive.display());
    if args.check {
        check(workspace, &archive)?;
        println!("installed it in an empty directory and followed {QUICKSTART}: fine");
    }
    Ok(Verdict::Fine)
}

fn version(workspace: &Workspace) -> anyhow::Result<String> {
    let members = workspace.members();
    let package = members.iter().find(|package| package.name.as_str() == "heirloom-cli");
    Ok(package.context("no package heirloom-cli")?.version.to_string())
}

fn build(workspace: &Workspace, profile: &str) -> anyhow::Result<PathBuf> {
    // With an explicit target, flags leave build scripts and macros alone. Paths of
    // this machine have no place in what others get.
    let home = match (std::env::var_os("CARGO_HOME"), std::env::var_os("HOME")) {
        (Some(home), _) => PathBuf::from(home),
        (None, home) => PathBuf::from(home.unwrap_or_default()).join(".cargo"),
    };
    let flags = [
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Cstrip=debuginfo".to_owned(),
        // Looked up by name at run time, which a static program cannot, it would be
        // replaced by /dev/urandom, and some chroots have no /dev.
        "--cfg=getrandom_backend=\"linux_getrandom\"".to_owned(),
        format!("--remap-path-prefix={}=/cargo", home.display()),
        format!("--remap-path-prefix={}=/heirloom", workspace.root.display()),
    ];
    let built = Shell::cargo(&workspace.root)
        .args(["build", "--locked", "-p", "heirloom-cli", "--bin", "heirloom"])
        .args(["--target", TARGET, "--profile", profile])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env(CFLAGS, format!("-ffile-prefix-map={}=/cargo", home.display()))
        .run()?;
    if !built {
        bail!("heirloom does not build");
    }
    // Cargo's one profile that is not its folder.
    let folder = if profile == "dev" { "debug" } else { profile };
    let binary = workspace.target.join(TARGET).join(folder).join("heirloom");
    let bytes = fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
    match interpreter(&bytes) {
        Ok(None) => Ok(binary),
        Ok(Some(loader)) => bail!("{} is not static: it needs {loader}", binary.display()),
        Err(why) => bail!("{}: {why}", binary.display()),
    }
}

/// The dynamic loader that a 64-bit little-endian ELF program asks for; a static
/// one asks for none.
fn interpreter(elf: &[u8]) -> Result<Option<String>, &'static str> {
    const CUT: &str = "is cut off";
    const INTERP: u32 = 3;
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return Err("is no 64-bit ELF program");
    }
    let number = |at: usize, size: usize| -> Result<usize, &'static str> {
        let bytes = elf.get(at..).and_then(|rest| rest.get(..size)).ok_or(CUT)?;
        let value = bytes.iter().rev().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
        usize::try_from(value).map_err(|_| CUT)
    };
    // Program headers: where, how long each, how many.
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        let header = table.checked_add(index * size).filter(|at| *at < elf.len()).ok_or(CUT)?;
        if number(header, 4)? == INTERP as usize {
            let (at, length) = (number(header + 8, 8)?, number(header + 32, 8)?);
            let text = elf.get(at..).and_then(|rest| rest.get(..length)).ok_or(CUT)?;
            let text = String::from_utf8_lossy(text);
            return Ok(Some(text.trim_end_matches('\0').to_owned()));
        }
    }
    Ok(None)
}

/// Makes the directory anew.
fn lay_out(workspace: &Workspace, binary: &Path, folder: &Path) -> anyhow::Result<()> {
    remove(folder)?;
    for sub in ["bin", MAN, DOC] {
        fs::create_dir_all(folder.join(sub))?;
    }
    let program = folder.join(BINARY);
    fs::copy(binary, &program)?;
    for (shell, file) in COMPLETIONS {
        let script = Shell::new(&program, folder).args(["completions", shell]).output()?;
        let file = folder.join(file);
        fs::create_dir_all(file.parent().context("a file lies in a folder")?)?;
        fs::write(file, script)?;
    }
    Shell::new(&program, folder).args(["dev", "man", MAN]).output()?;
    for text in TEXTS {
        let copied = fs::copy(workspace.root.join(text), folder.join(DOC).join(text));
        copied.with_context(|| format!("cannot copy {text}"))?;
    }
    Ok(())
}

/// Writes `NAME.tar.gz` and `SHA256SUMS` beside the directory `name`.
fn pack(workspace: &Workspace, out: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let time = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(time) => time,
        Err(_) => {
            let log = ["log", "-1", "--format=%ct"];
            Shell::new("git", &workspace.root).args(log).output()?.trim().to_owned()
        }
    };
    let tar = format!("{name}.tar");
    let packed = Shell::new("tar", out)
        .env("LC_ALL", "C")
        .args(["--create", "--file", &tar, "--format=ustar", "--sort=name"])
        .args(["--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX"])
        .args([&format!("--mtime=@{time}"), name])
        .run()?;
    // -n: neither name nor time in the header.
    if !packed || !Shell::new("gzip", out).args(["-9", "-n", "-f", &tar]).run()? {
        bail!("{name} cannot be packed");
    }
    let archive = format!("{name}.tar.gz");
    let sums = Shell::new("sha256sum", out).args([&archive]).output()?;
    fs::write(out.join("SHA256SUMS"), sums)?;
    Ok(out.join(archive))
}

/// A folder of its own below the system's for temporary files, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("heirloom-dist-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed from there the system removes some day.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Installs the archive as the README says and follows the quickstart.
fn check(workspace: &Workspace, archive: &Path) -> anyhow::Result<()> {
    let folder = archive.parent().context("an archive lies in a folder")?;
    if !Shell::new("sha256sum", folder).args(["--check", "SHA256SUMS"]).run()? {
        bail!("SHA256SUMS does not fit");
    }
    let scratch = Scratch::new()?;
    let (prefix, work) = (scratch.0.join("user/.local"), scratch.0.join("work"));
    fs::create_dir_all(&prefix)?;
    fs::create_dir(&work)?;
    let unpack = Shell::new("tar", &prefix).args(["-xzf"]).args([archive]);
    if !unpack.args(["--strip-components=1"]).run()? {
        bail!("{} cannot be unpacked", archive.display());
    }
    let wanted = COMPLETIONS.iter().map(|(_, file)| PathBuf::from(file));
    let wanted = wanted.chain(TEXTS.iter().map(|text| Path::new(DOC).join(text)));
    let pages = ["heirloom.1", "heirloom-put.1", "heirloom-artifact-get.1"];
    for file in wanted.chain(pages.iter().map(|page| Path::new(MAN).join(page))) {
        let there = fs::metadata(prefix.join(&file)).is_ok_and(|meta| meta.len() > 0);
        if !there {
            bail!("{} is missing or empty in the archive", file.display());
        }
    }

    let shell = |command: &str| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-euc", &format!("exec 2>&1\n{command}")]).current_dir(&work).env_clear();
        shell.env("PATH", format!("{}:/usr/bin:/bin", prefix.join("bin").display()));
        shell.env("HOME", scratch.0.join("user")).stdin(std::process::Stdio::null());
        let output = shell.output().context("cannot start /bin/sh")?;
        anyhow::Ok((output.status, String::from_utf8_lossy(&output.stdout).into_owned()))
    };
    let (_, found) = shell("command -v heirloom")?;
    if Path::new(found.trim()) != prefix.join(BINARY) {
        bail!("`heirloom` is {found:?}, not what was installed");
    }
    let page = fs::read_to_string(workspace.root.join(QUICKSTART))?;
    let steps = steps(&page);
    if steps.is_empty() {
        bail!("{QUICKSTART} has no commands");
    }
    for Step { command, shown } in steps {
        let (status, text) = shell(&command)?;
        if !status.success() {
            bail!("{QUICKSTART}: `{command}` ended with {status} and printed\n{text}");
        }
        if let Some(line) = shown.iter().find(|line| !text.contains(line.trim())) {
            bail!("{QUICKSTART}: `{command}` does not print `{line}` but\n{text}");
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// A command as a reader would type it, and the lines shown below it.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The steps of all `console` blocks, read as `tests/it/pages.rs` reads them: a
/// command goes on while a quote is open.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut open) = (false, false);
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (_, Some(step)) if open => {
                step.command.push('\n');
                step.command.push_str(line);
            }
            (Some(command), _) => {
                steps.push(Step { command: command.to_owned(), shown: Vec::new() });
            }
            (None, Some(step)) if !line.is_empty() => step.shown.push(line.to_owned()),
            _ => {}
        }
        open = steps.last().is_some_and(|step| step.command.matches('\'').count() % 2 == 1);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF program with program headers of these types, all of which point to
    /// the name of a loader.
    fn elf(kinds: &[u32]) -> Vec<u8> {
        let loader = b"/lib64/ld.so\0";
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(64, 0);
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = u8::try_from(kinds.len()).unwrap();
        let at = 64 + 56 * kinds.len() as u64;
        for kind in kinds {
            let mut header = vec![0; 56];
            header[..4].copy_from_slice(&kind.to_le_bytes());
            header[8..16].copy_from_slice(&at.to_le_bytes());
            header[32..40].copy_from_slice(&(loader.len() as u64).to_le_bytes());
            bytes.extend(header);
        }
        bytes.extend(loader);
        bytes
    }

    #[test]
    fn program_that_asks_for_a_loader_is_not_static() {
        assert_eq!(interpreter(&elf(&[6, 3, 1])), Ok(Some("/lib64/ld.so".to_owned())));
        assert_eq!(interpreter(&elf(&[6, 1, 2])), Ok(None));
        assert_eq!(interpreter(&elf(&[])), Ok(None));
    }

    #[test]
    fn what_is_no_whole_program_is_an_error() {
        assert!(interpreter(b"#!/bin/sh\n").is_err());
        let whole = elf(&[6, 1, 3]);
        for cut in 0..64 + 56 * 3 {
            assert!(interpreter(&whole[..cut]).is_err(), "{cut}");
        }
        let mut far = elf(&[1]);
        far[32..40].fill(0xff);
        assert!(interpreter(&far).is_err());
    }

    #[test]
    fn steps_are_read_with_what_they_show() {
        let page =
            "```console\n$ sh -c '\n  one'\nshown\n$ next\n```\ntext\n```sh\n$ not run\n```\n";
        let step = |command: &str, shown: &[&str]| Step {
            command: command.to_owned(),
            shown: shown.iter().map(|line| (*line).to_owned()).collect(),
        };
        assert_eq!(steps(page), [step("sh -c '\n  one'", &["shown"]), step("next", &[])]);
    }
}
