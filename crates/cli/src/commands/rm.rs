//! `artifact rm`: delete versions, links, whole artifacts.

use std::collections::BTreeSet;
use std::io;

use heirloom_api::{Delete, DeletedDoc, Freeable, Matching};
use heirloom_core::{ArtifactRef, ErrorCode, Selector, Timestamp, parse_duration};
use serde::Serialize;

use super::ls::unknown_field;
use crate::app::App;
use crate::exit::Failure;
use crate::filter::Filter;
use crate::printer::{Answer, Printer};
use crate::text;

/// How often a choice by `--where` is made anew because something changed meanwhile.
const CHOICES: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Versions, each with `:vN`, `:ALIAS` or `@blake3:…`; with conditions, artifacts
    #[arg(required = true, value_name = "REF")]
    references: Vec<ArtifactRef>,
    /// Delete the artifacts named, with every version: the names are free again
    #[arg(long, conflicts_with_all = ["filter", "older_than", "keep_last"])]
    all_versions: bool,
    /// Of the artifacts named, only versions that this is true of, such as
    /// `metadata.val_acc<0.5 && size>1GB`
    #[arg(long = "where", value_name = "EXPRESSION")]
    filter: Option<Filter>,
    /// Of the artifacts named, only versions at least this old, such as `30d`
    #[arg(long, value_name = "SPAN", value_parser = parse_duration)]
    older_than: Option<u64>,
    /// Of the artifacts named, all but the newest N versions
    #[arg(long, value_name = "N")]
    keep_last: Option<u64>,
    /// Drop aliases other than `latest` that hold the versions
    #[arg(long)]
    delete_aliases: bool,
    /// Tell what would be deleted and what that frees, delete nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn has_conditions(&self) -> bool {
        self.filter.is_some() || self.older_than.is_some() || self.keep_last.is_some()
    }
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Removed, Failure> {
    for reference in &args.references {
        let whole = *reference.selector() == Selector::Unspecified;
        if whole != (args.all_versions || args.has_conditions()) {
            return Err(match whole {
                true => Failure::usage_hint(
                    format!("`{reference}` names no version"),
                    format!(
                        "`{reference}:vN`, `--all-versions` for the whole artifact, or a condition: \
                         `--where`, `--older-than`, `--keep-last`"
                    ),
                ),
                false => Failure::usage_hint(
                    format!("`{reference}` names one version"),
                    "leave `--all-versions`, `--where`, `--older-than` and `--keep-last` out, or the \
                     version",
                ),
            });
        }
    }
    let mut tries = 1;
    let doc = loop {
        let request = request(app, &args).await?;
        match app.project()?.delete_all(request).await {
            // A choice that does not stand any more is made again; nothing was deleted.
            Err(error)
                if args.filter.is_some()
                    && error.code() == ErrorCode::Conflict
                    && tries < CHOICES =>
            {
                tries += 1;
            }
            Err(error) => return Err(explained(app, &args, error).await),
            Ok(doc) => break doc,
        }
    };
    Ok(Removed::new(app, doc, args.dry_run))
}

async fn request(app: &App, args: &Args) -> Result<Delete, Failure> {
    let mut request =
        Delete { delete_aliases: args.delete_aliases, dry_run: args.dry_run, ..Delete::default() };
    if args.all_versions {
        request.artifacts.clone_from(&args.references);
    } else if args.has_conditions() {
        for name in &args.references {
            request.matching.push(matching(app, args, name).await?);
        }
    } else {
        request.versions.clone_from(&args.references);
    }
    Ok(request)
}

/// The conditions on one artifact. Expressions are this command's own language: it
/// makes the choice, and the repository refuses if something happened to what was
/// chosen.
async fn matching(app: &App, args: &Args, name: &ArtifactRef) -> Result<Matching, Failure> {
    let (mut only, mut as_of) = (None, None);
    if let Some(filter) = &args.filter {
        let project = app.project_of(name)?;
        let collection = name.name().as_str();
        let newest = project.events(collection, None, 1).await?;
        as_of = Some(newest.first().map_or(0, |event| event.seq));
        let mut chosen = BTreeSet::new();
        for version in project.versions(collection, false, None).await? {
            let json = serde_json::to_value(&version).expect("documents have string keys");
            if let Some(field) = filter.stranger(&json) {
                return Err(unknown_field(field, &json));
            }
            if filter.matches(&json) {
                chosen.insert(version.index);
            }
        }
        only = Some(chosen);
    }
    let (older_than, keep_last) = (args.older_than, args.keep_last);
    Ok(Matching { name: name.clone(), only, as_of, older_than, keep_last })
}

/// The error, told apart for what is deleted already.
async fn explained(app: &App, args: &Args, error: heirloom::Error) -> Failure {
    if error.code() == ErrorCode::NotFound && !args.all_versions && !args.has_conditions() {
        for reference in &args.references {
            if app.version(reference).await.is_err()
                && let Ok(tombstone) = app.version_or_tombstone(reference).await
                && let Some(until) = tombstone.doc().restorable_until
            {
                return Failure::failed(
                    ErrorCode::NotFound,
                    format!(
                        "`{reference}` is deleted already, restorable until {}",
                        text::time(until)
                    ),
                );
            }
        }
    }
    error.into()
}

/// What was deleted, or would be.
#[derive(Debug, Serialize)]
pub(crate) struct Removed {
    dry_run: bool,
    #[serde(rename = "deleted")]
    versions: Vec<Item>,
    /// Artifacts that went as a whole.
    artifacts: Vec<String>,
    stays: Vec<Stays>,
    /// What would have to be dropped first.
    in_the_way: Vec<String>,
    restorable_until: Option<Timestamp>,
    freeable: Option<Freeable>,
}

#[derive(Debug, Serialize)]
struct Item {
    name: String,
    /// A link only: the version it leads to stays.
    link: bool,
    /// Aliases that held it.
    held_by: Vec<String>,
    files: u64,
    size: u64,
}

#[derive(Debug, Serialize)]
struct Stays {
    name: String,
    by: Vec<String>,
}

impl Removed {
    fn new(app: &App, doc: DeletedDoc, dry_run: bool) -> Self {
        let versions: Vec<Item> = doc
            .deleted
            .iter()
            .map(|gone| Item {
                name: app.name_of(&gone.version),
                link: gone.link,
                held_by: gone.aliases.iter().map(ToString::to_string).collect(),
                files: gone.files,
                size: gone.size,
            })
            .collect();
        let stays = doc.stays.into_iter();
        Self {
            dry_run,
            artifacts: doc.artifacts,
            stays: stays.map(|one| Stays { name: app.name_of(&one.version), by: one.by }).collect(),
            in_the_way: doc.held_by,
            restorable_until: versions.iter().any(|one| !one.link).then_some(doc.restorable_until),
            freeable: doc.freeable,
            versions,
        }
    }
}

impl Answer for Removed {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        for item in &self.versions {
            let verb = match (self.dry_run, item.link) {
                (true, false) => "would delete",
                (true, true) => "would unlink",
                (false, false) => "deleted",
                (false, true) => "unlinked",
            };
            let held = match item.held_by.as_slice() {
                [] => String::new(),
                aliases => format!(", with aliases {}", text::list(aliases)),
            };
            let size =
                format!("{}, {}", text::count(item.files, "file", "files"), text::bytes(item.size));
            printer.line(format!("{verb} {} ({size}){held}", text::escaped(&item.name)))?;
        }
        for one in &self.stays {
            printer.note(format!("{} stays: {}", text::escaped(&one.name), text::list(&one.by)));
        }
        if !self.in_the_way.is_empty() {
            printer.note(format!(
                "in the way: {} (`--delete-aliases` drops aliases that are not protected)",
                text::list(&self.in_the_way)
            ));
        }
        if self.versions.is_empty() {
            printer.note("nothing to delete");
        }
        if let Some(until) = self.restorable_until {
            freed(printer, self.freeable, until);
            if !self.dry_run {
                printer.note(format!(
                    "restorable for 7 days, until {} (`heirloom artifact restore`); lineage keeps a \
                     tombstone",
                    text::time(until)
                ));
            }
        }
        Ok(())
    }
}

/// Says what a deletion frees, and when.
pub(super) fn freed(printer: &Printer, freeable: Option<Freeable>, until: Timestamp) {
    let Some(Freeable { bytes, shared, exact }) = freeable else { return };
    let bound = if exact { "" } else { "at most " };
    let shared = match shared {
        0 => String::new(),
        shared => format!("; other versions have {} of it too", text::bytes(shared)),
    };
    match bytes {
        0 => printer.note(format!("no bytes become free{shared}")),
        bytes => printer.note(format!(
            "{bound}{} can be freed by `heirloom gc` after {} (or now with `--grace 0s`){shared}",
            text::bytes(bytes),
            text::time(until),
        )),
    }
}
