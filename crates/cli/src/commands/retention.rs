//! `retention`: which versions of an artifact stay.

use std::io;

use heirloom_api::RetentionDoc;
use heirloom_core::{ArtifactRef, Retention as Rules, Selector, parse_duration};
use serde::Serialize;

use super::rm::freed;
use super::show;
use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::table::Table;
use crate::text;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Retention {
    /// Say which versions of an artifact stay; the others go when this is applied
    Set(Set),
    /// Show an artifact's rules, and what they decide of each version now
    Show(Show),
    /// Delete the versions that no rule keeps, and those that have expired
    Apply(Apply),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// The artifact
    #[arg(value_name = "[PROJECT/]NAME")]
    name: ArtifactRef,
    #[command(flatten)]
    rules: Chosen,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Chosen {
    /// Keep the newest N versions
    #[arg(long, value_name = "N")]
    keep_last: Option<u64>,
    /// Keep versions younger than this, such as `30d`
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    younger_than: Option<u64>,
    /// Keep versions with an alias other than `latest`: only they, unless another rule
    /// keeps more
    #[arg(long)]
    aliased: bool,
    /// Keep versions with a tag
    #[arg(long)]
    tagged: bool,
    /// Keep versions from which a run made one that stays
    #[arg(long)]
    used: bool,
    /// Take the rules away: all versions stay
    #[arg(long, conflicts_with_all = ["keep_last", "younger_than", "aliased", "tagged", "used"])]
    none: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The artifact
    #[arg(value_name = "[PROJECT/]NAME")]
    name: ArtifactRef,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Apply {
    /// Artifacts
    #[arg(value_name = "[PROJECT/]NAME", required_unless_present = "all", conflicts_with = "all")]
    names: Vec<ArtifactRef>,
    /// Every artifact of the project
    #[arg(long)]
    all: bool,
    /// Tell what would be deleted and why, delete nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn set(app: &App, args: Set) -> Result<Explained, Failure> {
    let Chosen { keep_last, younger_than, aliased, tagged, used, none } = args.rules;
    let rules = Rules { keep_last, younger_than, aliased, tagged, used };
    let name = artifact(&args.name)?;
    let project = app.project_of(&args.name)?;
    project.set_retention(name, (!none).then_some(rules)).await?;
    let doc = project.apply_retention(name, true).await?;
    Ok(Explained { artifacts: vec![doc], quiet: true })
}

pub(crate) async fn show(app: &App, args: Show) -> Result<Explained, Failure> {
    let doc = app.project_of(&args.name)?.apply_retention(artifact(&args.name)?, true).await?;
    Ok(Explained { artifacts: vec![doc], quiet: false })
}

pub(crate) async fn apply(app: &App, args: Apply) -> Result<Explained, Failure> {
    let mut artifacts = Vec::new();
    if args.all {
        let project = app.project()?;
        for collection in project.collections().await? {
            if collection.kind == "sequence" {
                let name = collection.name.as_str();
                artifacts.push(project.apply_retention(name, args.dry_run).await?);
            }
        }
    }
    for name in &args.names {
        let project = app.project_of(name)?;
        artifacts.push(project.apply_retention(artifact(name)?, args.dry_run).await?);
    }
    Ok(Explained { artifacts, quiet: false })
}

fn artifact(name: &ArtifactRef) -> Result<&str, Failure> {
    match name.selector() {
        Selector::Unspecified => Ok(name.name().as_str()),
        _ => Err(Failure::usage_hint(
            format!("`{name}` names a version; retention belongs to the artifact"),
            format!("`{}`", name.with_selector(Selector::Unspecified)),
        )),
    }
}

/// What was decided of each version, and why.
#[derive(Debug, Serialize)]
pub(crate) struct Explained {
    artifacts: Vec<RetentionDoc>,
    /// Rules were set: what they decide is a note.
    #[serde(skip)]
    quiet: bool,
}

impl Answer for Explained {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        if self.quiet {
            for artifact in &self.artifacts {
                let total = artifact.versions.len();
                let go = artifact.versions.iter().filter(|version| !version.keep).count();
                printer.note(format!(
                    "{} keeps {}; of {} now, {go} would go with `heirloom retention apply`",
                    text::escaped(artifact.name.as_str()),
                    rules(artifact.retention.as_ref()),
                    text::count(total as u64, "version", "versions"),
                ));
            }
            return Ok(());
        }
        let mut table = Table::new(["VERSION", "DECISION", "WHY"]);
        for artifact in &self.artifacts {
            for version in &artifact.versions {
                let decision = match (version.keep, artifact.dry_run) {
                    (true, _) => "keep",
                    (false, true) => "would delete",
                    (false, false) => "deleted",
                };
                let why: Vec<&str> =
                    version.reasons.iter().map(|reason| reason.text.as_str()).collect();
                table.row([
                    text::escaped(&format!("{}:{}", artifact.name, version.version)),
                    decision.to_owned(),
                    text::escaped(&why.join("; ")),
                ]);
            }
        }
        table.print(printer)?;
        for artifact in &self.artifacts {
            let name = text::escaped(artifact.name.as_str());
            printer.note(format!("{name} keeps {}", rules(artifact.retention.as_ref())));
            if artifact.versions.iter().any(|version| !version.keep) {
                freed(printer, artifact.freeable, artifact.restorable_until);
                if !artifact.dry_run {
                    printer.note(format!(
                        "restorable for 7 days, until {} (`heirloom artifact restore`)",
                        text::time(artifact.restorable_until)
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Rules in words.
fn rules(rules: Option<&Rules>) -> String {
    let Some(rules) = rules else { return "all versions".to_owned() };
    let Rules { keep_last, younger_than, aliased, tagged, used } = *rules;
    let words = [
        keep_last.map(|count| format!("the newest {count}")),
        younger_than.map(|seconds| {
            format!("those younger than {}", show::ttl(heirloom_core::Ttl::Seconds(seconds)))
        }),
        aliased.then(|| "those with an alias".to_owned()),
        tagged.then(|| "those with a tag".to_owned()),
        used.then(|| "those that something was made from".to_owned()),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
