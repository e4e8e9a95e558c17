//! `verify` and `artifact verify`: is every byte still there and right?

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use heirloom::{Finding, Progress, TreeCheck};
use heirloom_api::{Damage, Sample, VerifyReport};
use heirloom_core::ArtifactRef;
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::progress::Bar;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Repository {
    /// Read only this share of the file contents, such as `5%`; everything else always
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    sample: Option<u32>,
    /// Which share: the same number picks the same contents [default: another one each time]
    #[arg(long, value_name = "N", requires = "sample")]
    seed: Option<u64>,
}

/// A percentage as parts of a million.
fn share(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.trim().parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok((percent * 10_000.0).ceil() as u32),
        _ => Err("a percentage such as `5%` is needed, above 0 and at most 100".to_owned()),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// Version to check
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    /// Compare this directory with the version, instead of checking the store
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

pub(crate) async fn repository(app: &App, args: Repository) -> Result<(), Failure> {
    let client = app.client()?;
    let sample = args.sample.map(|per_million| match args.seed {
        Some(seed) => Sample { per_million, seed },
        None => client.sample(per_million),
    });
    check(app, sample).await
}

pub(crate) async fn version(app: &App, args: Version) -> Result<(), Failure> {
    let version = app.version(&args.reference).await?;
    let name = app.name_of(&version.doc().as_ref());
    let Some(root) = &args.root else {
        let report = version.verify_stored().await?;
        return stored(app, Some(name), report);
    };
    let check = version.verify(root).await?;
    let answer = Directory::new(name, root.to_string_lossy().into_owned(), &check);
    app.printer.answer(&answer)?;
    if check.report.is_whole() {
        return Ok(());
    }
    let bad = check.report.missing + check.report.different + check.report.unreadable;
    let n = text::count(bad, "file", "files");
    Err(Failure::Damage(format!("{n} in `{}` differ from {}", text::path(root), answer.version)))
}

/// Checks the whole repository and prints what was found.
pub(crate) async fn whole(app: &App) -> Result<(), Failure> {
    check(app, None).await
}

async fn check(app: &App, sample: Option<Sample>) -> Result<(), Failure> {
    let bar = Bar::for_terminal(&app.printer);
    let listener = bar.clone().map(|bar| bar as Arc<dyn Progress>);
    let report = app.client()?.verify_all(sample, listener).await;
    drop(bar);
    stored(app, None, report?)
}

fn stored(app: &App, version: Option<String>, report: VerifyReport) -> Result<(), Failure> {
    let answer = Stored { ok: report.damages.is_empty(), version, report };
    app.printer.answer(&answer)?;
    if answer.ok {
        return Ok(());
    }
    let n = text::count(answer.report.damages.len() as u64, "damage", "damages");
    Err(Failure::Damage(format!("{n} found")))
}

/// What checking the store found.
#[derive(Debug, Serialize)]
struct Stored {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(flatten)]
    report: VerifyReport,
}

impl Answer for Stored {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        for damage in &self.report.damages {
            printer.line(damage_line(damage))?;
        }
        let what = match &self.version {
            Some(name) => name.clone(),
            None => text::count(self.report.versions, "version", "versions"),
        };
        let read = format!(
            "{}, {} read",
            text::count(self.report.blobs, "blob", "blobs"),
            text::bytes(self.report.bytes)
        );
        let report = &self.report;
        if let Some(Sample { per_million, seed }) = report.sample {
            printer.note(format!(
                "read {}% of the file contents, picked by --seed {seed}",
                f64::from(per_million) / 10_000.0
            ));
        }
        if report.leftovers > 0 {
            printer.note(format!(
                "{} ({}) belong to nothing: `heirloom gc` removes them",
                text::count(report.leftovers, "object", "objects"),
                text::bytes(report.leftover_bytes)
            ));
        }
        if self.ok {
            printer.line(format!("{what}: whole ({read})"))?;
        }
        Ok(())
    }
}

pub(crate) fn damage_line(damage: &Damage) -> String {
    let mut line = text::escaped(&damage.object);
    if let Some(blob) = &damage.blob {
        line.push_str(&format!(" {blob}"));
    }
    line.push_str(&format!(": {}", text::escaped(&damage.what)));
    if !damage.versions.is_empty() {
        line.push_str(&format!("; hurts {}", text::list(&damage.versions)));
    }
    line
}

/// How a directory compares with a version.
#[derive(Debug, Serialize)]
struct Directory {
    ok: bool,
    version: String,
    root: String,
    same: u64,
    bytes: u64,
    missing: u64,
    different: u64,
    extra: u64,
    unreadable: u64,
    /// The first 1000.
    findings: Vec<Item>,
}

#[derive(Debug, Serialize)]
struct Item {
    what: &'static str,
    path: String,
}

impl Directory {
    fn new(version: String, root: String, check: &TreeCheck) -> Self {
        let report = &check.report;
        Self {
            ok: report.is_whole(),
            version,
            root,
            same: report.same,
            bytes: report.bytes,
            missing: report.missing,
            different: report.different,
            extra: report.extra,
            unreadable: report.unreadable,
            findings: check.findings.iter().map(item).collect(),
        }
    }
}

fn item(finding: &Finding) -> Item {
    let lossy = |path: &PathBuf| path.to_string_lossy().into_owned();
    match finding {
        Finding::Missing(path) => Item { what: "missing", path: path.to_string() },
        Finding::Different { path, .. } => Item { what: "different", path: path.to_string() },
        Finding::Extra { path, .. } => Item { what: "extra", path: lossy(path) },
        Finding::Unreadable { path, .. } => Item { what: "unreadable", path: lossy(path) },
        other => Item { what: "other", path: format!("{other:?}") },
    }
}

impl Answer for Directory {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        for item in &self.findings {
            printer.line(format!("{:<10}  {}", item.what, text::escaped(&item.path)))?;
        }
        let found = self.missing + self.different + self.extra + self.unreadable;
        if found > self.findings.len() as u64 {
            printer
                .line(format!("… and {} more", text::number(found - self.findings.len() as u64)))?;
        }
        if self.ok {
            printer.line(format!(
                "{}: `{}` has all {}, {} hashed",
                self.version,
                text::escaped(&self.root),
                text::count(self.same, "entry", "entries"),
                text::bytes(self.bytes),
            ))?;
        }
        Ok(())
    }
}
