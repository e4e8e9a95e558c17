//! What the machine must have beside Rust: Debian packages and Python programs.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::shell::Shell;
use crate::workspace::Workspace;

/// A Debian package, and the command that succeeds where it is not needed any more.
pub(crate) struct Need {
    package: &'static str,
    probe: &'static [&'static str],
}

impl Need {
    pub(crate) const fn new(package: &'static str, probe: &'static [&'static str]) -> Self {
        Self { package, probe }
    }
}

/// For spelling, and for the Python programs that tests may use.
pub(crate) const PYTHON: Need =
    Need { package: "python3-venv", probe: &["python3", "-c", "import ensurepip, venv"] };

/// Packages that the tests use. The one list: a test that needs another program
/// gets it named here, and fails where it is missing.
pub(crate) const FOR_TESTS: &[Need] = &[
    Need { package: "gcc", probe: &["cc", "--version"] },
    Need { package: "git", probe: &["git", "--version"] },
];

/// Tools are missing and we may not install them.
#[derive(Debug)]
pub(crate) struct Missing {
    command: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "something is missing on this machine; install it with\n\n    {}\n", self.command)
    }
}

impl std::error::Error for Missing {}

/// Installs the missing ones of `needs`, or says how.
pub(crate) fn ensure<'a>(
    workspace: &Workspace,
    needs: impl IntoIterator<Item = &'a Need>,
) -> anyhow::Result<()> {
    let root = &workspace.root;
    let there = |need: &Need| Shell::new(need.probe[0], root).args(&need.probe[1..]).succeeds();
    let missing: Vec<&Need> = needs.into_iter().filter(|need| !there(need)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install: Vec<&str> = ["install", "--yes", "--no-install-recommends"]
        .into_iter()
        .chain(missing.iter().map(|need| need.package))
        .collect();
    let apt = |args: &[&str]| {
        Shell::new("apt-get", root).args(args).env("DEBIAN_FRONTEND", "noninteractive")
    };
    if !may_install(root) {
        let command = format!("sudo apt-get {}", install.join(" "));
        return Err(Missing { command }.into());
    }
    // The lists of packages may be empty (fresh image) or old.
    if !apt(&install).run()? {
        apt(&["update"]).run()?;
        if !apt(&install).run()? {
            bail!("apt-get could not install {}", install[3..].join(", "));
        }
    }
    match missing.into_iter().find(|need| !there(need)) {
        Some(need) => bail!("{} is installed, yet `{}` fails", need.package, need.probe.join(" ")),
        None => Ok(()),
    }
}

fn may_install(root: &Path) -> bool {
    let user = Shell::new("id", root).args(["-u"]).output();
    user.is_ok_and(|id| id.trim() == "0")
        && Shell::new("apt-get", root).args(["--version"]).succeeds()
}

/// A virtual environment `target/tools/NAME` with exactly what `requirements`
/// pins; returns its folder of programs. Done once per content of that file.
pub(crate) fn python(
    workspace: &Workspace,
    name: &str,
    requirements: &Path,
) -> anyhow::Result<PathBuf> {
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let folder = workspace.target.join("tools").join(name);
    let programs = folder.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let stamp = folder.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(programs);
    }
    ensure(workspace, [&PYTHON])?;
    let made = Shell::new("python3", &workspace.root).args(["-m", "venv", "--clear"]);
    if !made.args([&folder]).run()? {
        bail!("cannot make a virtual environment in {}", folder.display());
    }
    let pip = Shell::new(programs.join("python"), &workspace.root)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--only-binary", ":all:", "--require-hashes", "--requirement"])
        .args([requirements]);
    if !pip.run()? {
        bail!("pip could not install {}", requirements.display());
    }
    std::fs::write(&stamp, wanted)?;
    Ok(programs)
}
