//! `artifact rm`: delete versions.

use std::io;

use heirloom_api::VersionDoc;
use heirloom_core::{ArtifactRef, Selector};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Versions, each with `:vN`, `:ALIAS` or `@blake3:…`
    #[arg(required = true, value_name = "REF")]
    references: Vec<ArtifactRef>,
    /// Delete every version of the artifacts named
    #[arg(long)]
    all_versions: bool,
    /// Drop aliases other than `latest` that hold the versions
    #[arg(long)]
    delete_aliases: bool,
    /// Tell what would be deleted, delete nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Removed, Failure> {
    let mut versions: Vec<VersionDoc> = Vec::new();
    for reference in &args.references {
        let whole = *reference.selector() == Selector::Unspecified;
        if whole != args.all_versions {
            return Err(match whole {
                true => Failure::usage_hint(
                    format!("`{reference}` names no version"),
                    format!("`{reference}:vN`, or `--all-versions` for all of them"),
                ),
                false => Failure::usage_hint(
                    format!("`{reference}` names one version"),
                    "leave `--all-versions` out, or the version",
                ),
            });
        }
        let found = if whole {
            app.project_of(reference)?.versions(reference.name().as_str(), false, None).await?
        } else {
            vec![app.version(reference).await?.doc().clone()]
        };
        for version in found {
            if !versions.iter().any(|v| v.as_ref() == version.as_ref()) {
                versions.push(version);
            }
        }
    }
    if !args.dry_run {
        let full = |version: &VersionDoc| {
            format!("{}/{}/{}:{}", version.entity, version.project, version.name, version.index)
        };
        app.project()?.delete(versions.iter().map(full), args.delete_aliases).await?;
    }
    Ok(Removed {
        dry_run: args.dry_run,
        versions: versions
            .iter()
            .map(|version| Item {
                name: app.name_of(&version.as_ref()),
                link: version.source.is_some(),
                held_by: version
                    .aliases
                    .iter()
                    .filter(|a| !a.is_latest())
                    .map(ToString::to_string)
                    .collect(),
                files: version.files,
                size: version.size,
            })
            .collect(),
        delete_aliases: args.delete_aliases,
    })
}

/// What was deleted, or would be.
#[derive(Debug, Serialize)]
pub(crate) struct Removed {
    dry_run: bool,
    #[serde(rename = "deleted")]
    versions: Vec<Item>,
    #[serde(skip)]
    delete_aliases: bool,
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

impl Answer for Removed {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        for item in &self.versions {
            let verb = match (self.dry_run, item.link) {
                (true, false) => "would delete",
                (true, true) => "would unlink",
                (false, false) => "deleted",
                (false, true) => "unlinked",
            };
            let held = match (item.held_by.as_slice(), self.delete_aliases) {
                ([], _) => String::new(),
                (aliases, true) => format!(", with aliases {}", text::list(aliases)),
                (aliases, false) if self.dry_run => {
                    format!(
                        ", but it is held by aliases {} (--delete-aliases drops them)",
                        text::list(aliases)
                    )
                }
                (aliases, false) => format!(", with aliases {}", text::list(aliases)),
            };
            let size =
                format!("{}, {}", text::count(item.files, "file", "files"), text::bytes(item.size));
            printer.line(format!("{verb} {} ({size}){held}", item.name))?;
        }
        if !self.dry_run && self.versions.iter().any(|item| !item.link) {
            printer.note(
                "restorable for 7 days (`heirloom artifact restore`); lineage keeps a tombstone",
            );
        }
        Ok(())
    }
}
