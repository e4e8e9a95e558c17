//! `doctor`: the repository's surroundings.

use std::io;
use std::path::Path;

use heirloom_core::ErrorCode;
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::text;

/// Less free space than this is worth a warning, in bytes.
const LITTLE_SPACE: u64 = 1 << 30;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) async fn run(app: &App, _: Args) -> Result<(), Failure> {
    let answer = Doctor { checks: checks(app).await };
    app.printer.answer(&answer)?;
    let failed = answer.checks.iter().filter(|check| check.status == Status::Failed).count();
    if failed == 0 {
        return Ok(());
    }
    let n = text::count(failed as u64, "check", "checks");
    Err(Failure::failed(ErrorCode::Io, format!("{n} failed")))
}

async fn checks(app: &App) -> Vec<Check> {
    let config = &app.config;
    let shown = |path: &Path| text::path(path);
    let mut checks = vec![Check::fine("version", env!("CARGO_PKG_VERSION"))];
    let files: Vec<String> = config.files.iter().map(|path| shown(path)).collect();
    checks.push(Check::fine(
        "settings",
        if files.is_empty() { "none".into() } else { files.join(", ") },
    ));
    checks.push(Check::fine("project", text::escaped(&config.project)));

    let home = &config.home;
    let exists = home.join("heirloom.toml").exists();
    checks.push(Check::fine(
        "home",
        match exists {
            true => shown(home),
            false => format!("{} (made at the first put)", shown(home)),
        },
    ));
    let base = home.ancestors().find(|dir| dir.exists()).unwrap_or(home);
    checks.push(writable(base));
    checks.extend(space(base));
    if exists {
        checks.push(match app.client() {
            Err(failure) => Check::failed("repository", message(&failure)),
            Ok(client) => match client.projects().await {
                Ok(projects) => Check::fine(
                    "repository",
                    text::count(projects.len() as u64, "project", "projects"),
                ),
                Err(error) => Check::failed("repository", message(&error.into())),
            },
        });
        if let Some(run) = &config.run {
            checks.push(match app.run(None).await {
                Ok(Some(found)) => Check::fine(
                    "run",
                    format!("{} ({})", app.run_name(&found.doc().run), found.doc().state),
                ),
                Ok(None) => Check::fine("run", "none"),
                Err(failure) => Check::warning(
                    "run",
                    format!("HEIRLOOM_RUN is `{}`: {}", text::escaped(run), message(&failure)),
                ),
            });
        }
    }
    checks.push(match &config.cache {
        Some(cache) => {
            let base = cache.ancestors().find(|dir| dir.exists()).unwrap_or(cache);
            match writable(base).status {
                Status::Fine => Check::fine("cache", shown(cache)),
                _ => Check::warning(
                    "cache",
                    format!(
                        "{} cannot be written: unchanged files will be read again",
                        shown(cache)
                    ),
                ),
            }
        }
        None => Check::warning("cache", "none: unchanged files will be read again"),
    });
    checks
}

fn message(failure: &Failure) -> String {
    failure.report().map(|report| report.message).unwrap_or_default()
}

/// Whether files can be made in a directory, without making one.
#[cfg(unix)]
pub(crate) fn check_writable(dir: &Path) -> io::Result<()> {
    let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    Ok(rustix::fs::access(dir, wanted)?)
}

/// Whether files can be made in a directory, as far as its attributes tell.
#[cfg(not(unix))]
pub(crate) fn check_writable(dir: &Path) -> io::Result<()> {
    match std::fs::metadata(dir)?.permissions().readonly() {
        true => Err(io::ErrorKind::PermissionDenied.into()),
        false => Ok(()),
    }
}

fn writable(dir: &Path) -> Check {
    match check_writable(dir) {
        Ok(()) => Check::fine("writable", format!("{} can be written", text::path(dir))),
        Err(error) => Check::failed("writable", format!("{}: {error}", text::path(dir))),
    }
}

#[cfg(unix)]
fn space(dir: &Path) -> Option<Check> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let detail = format!("{} free", text::bytes(free));
    Some(if free < LITTLE_SPACE {
        Check::warning("space", detail)
    } else {
        Check::fine("space", detail)
    })
}

#[cfg(not(unix))]
fn space(_: &Path) -> Option<Check> {
    None
}

#[derive(Debug, Serialize)]
struct Doctor {
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Fine,
    Warning,
    Failed,
}

impl Check {
    fn fine(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Fine, detail: detail.into() }
    }

    fn warning(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Warning, detail: detail.into() }
    }

    fn failed(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Failed, detail: detail.into() }
    }
}

impl Answer for Doctor {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        for check in &self.checks {
            let status = match check.status {
                Status::Fine => "fine",
                Status::Warning => "warning",
                Status::Failed => "failed",
            };
            printer.line(format!("{status:<7}  {:<10}  {}", check.name, check.detail))?;
        }
        Ok(())
    }
}
