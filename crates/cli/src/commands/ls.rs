//! `artifact ls`: artifacts, or the versions of one.

use std::io;

use heirloom_api::{CollectionDoc, StateDoc, VersionDoc};
use heirloom_core::{ArtifactRef, ErrorCode, Selector};
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::exit::Failure;
use crate::filter::{Filter, SortKey};
use crate::printer::{Answer, Printer};
use crate::table::Table;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Artifact whose versions to list; without it, all artifacts of the project
    #[arg(value_name = "[PROJECT/]NAME")]
    name: Option<ArtifactRef>,
    /// Only artifacts of this type
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    artifact_type: Option<String>,
    /// Only what has this tag; of an artifact, its newest version counts
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Only what this is true of, such as `metadata.val_acc>0.9 && size<1GB`; of an
    /// artifact, its newest version counts
    #[arg(long = "where", value_name = "EXPRESSION")]
    filter: Option<Filter>,
    /// Order by this field of --json, ascending; `-FIELD` for descending
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    sort: Option<SortKey>,
    /// At most this many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Also deleted versions; without a name, what can be restored and until when
    #[arg(long)]
    deleted: bool,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    match &args.name {
        Some(name) => Ok(app.printer.answer(&versions(app, &args, name).await?)?),
        None if args.deleted => Ok(app.printer.answer(&restorable(app, &args).await?)?),
        None => Ok(app.printer.answer(&collections(app, &args).await?)?),
    }
}

async fn versions(app: &App, args: &Args, name: &ArtifactRef) -> Result<Versions, Failure> {
    let project = app.project_of(name)?;
    let collection = name.name().as_str();
    let judged = args.filter.is_some() || !args.tag.is_empty() || args.sort.is_some();
    let mut versions = match name.selector() {
        Selector::Unspecified => {
            let limit = if judged { None } else { args.limit };
            project.versions(collection, args.deleted, limit).await?
        }
        // `ls animals:v3` lists that one.
        _ => vec![app.version(name).await?.doc().clone()],
    };
    if let Some(wanted) = &args.artifact_type {
        versions.retain(|version| version.artifact_type.as_str() == wanted);
    }
    let (name, artifact_type) = match versions.first() {
        Some(first) => (first.name.to_string(), Some(first.artifact_type.to_string())),
        None => (collection.to_owned(), None),
    };
    Ok(Versions { name, artifact_type, versions: judge(args, versions, |doc| Some(doc))? })
}

async fn restorable(app: &App, args: &Args) -> Result<Restorable, Failure> {
    let mut versions = app.project()?.restorable().await?;
    if let Some(wanted) = &args.artifact_type {
        versions.retain(|version| version.artifact_type.as_str() == wanted);
    }
    let restorable = judge(args, versions, |doc| Some(doc))?;
    if restorable.is_empty() {
        app.printer.note("nothing can be restored");
    }
    Ok(Restorable { restorable })
}

async fn collections(app: &App, args: &Args) -> Result<Collections, Failure> {
    let project = app.project()?;
    let mut collections = match project.collections().await {
        Ok(collections) => collections,
        // A project is made by the first put into it; nobody asked for this one.
        Err(error)
            if error.code() == ErrorCode::NotFound
                && !app.config.project_flag
                && app.config.project == "default" =>
        {
            Vec::new()
        }
        Err(error) => return Err(error.into()),
    };
    if let Some(wanted) = &args.artifact_type {
        collections.retain(|collection| collection.artifact_type.as_str() == wanted);
    }
    let collections = judge(args, collections, |doc| doc.latest.as_ref())?;
    if collections.is_empty() {
        app.printer.note(format!(
            "no artifacts{} in project `{}`; `heirloom put PATH… -n NAME -t TYPE` logs one",
            if args.artifact_type.is_some() || args.filter.is_some() || !args.tag.is_empty() {
                " like that"
            } else {
                ""
            },
            text::escaped(&app.config.project),
        ));
    }
    Ok(Collections { collections })
}

/// Keeps, orders and cuts documents by what is true of the version in each.
fn judge<T>(
    args: &Args,
    docs: Vec<T>,
    version: impl Fn(&T) -> Option<&VersionDoc>,
) -> Result<Vec<T>, Failure> {
    let json = |doc: &T| match version(doc) {
        Some(version) => serde_json::to_value(version).expect("documents have string keys"),
        None => Value::Null,
    };
    let tagged = |doc: &T| {
        let tags = version(doc).map(|version| version.tags.as_slice()).unwrap_or_default();
        args.tag.iter().all(|wanted| tags.iter().any(|tag| tag.as_str() == wanted))
    };
    let docs: Vec<(Value, T)> = docs.into_iter().map(|doc| (json(&doc), doc)).collect();
    for (shape, _) in &docs {
        let stranger = args.filter.as_ref().and_then(|filter| filter.stranger(shape));
        let stranger = stranger.or_else(|| args.sort.as_ref().and_then(|key| key.stranger(shape)));
        if let Some(field) = stranger {
            return Err(unknown_field(field, shape));
        }
    }
    let mut kept: Vec<(Value, T)> = docs
        .into_iter()
        .filter(|(_, doc)| tagged(doc))
        .filter(|(json, _)| args.filter.as_ref().is_none_or(|filter| filter.matches(json)))
        .collect();
    if let Some(key) = &args.sort {
        kept.sort_by(|(a, _), (b, _)| key.compare(a, b));
    }
    kept.truncate(args.limit.unwrap_or(usize::MAX));
    Ok(kept.into_iter().map(|(_, doc)| doc).collect())
}

/// A field that no version has would silently fit nothing.
pub(super) fn unknown_field(field: &str, shape: &Value) -> Failure {
    let known: Vec<&str> =
        shape.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    Failure::usage_hint(
        format!("versions have no field `{}`", text::escaped(field)),
        format!(
            "facts put with `--metadata` are `metadata.{}`; other fields are {}",
            text::escaped(field),
            known.join(", ")
        ),
    )
}

#[derive(Debug, Serialize)]
struct Versions {
    name: String,
    #[serde(rename = "type")]
    artifact_type: Option<String>,
    versions: Vec<VersionDoc>,
}

impl Answer for Versions {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let endings: Vec<String> = self.versions.iter().map(ending).collect();
        let ends = endings.iter().any(|ending| !ending.is_empty());
        const COLUMNS: [&str; 8] =
            ["VERSION", "ALIASES", "TAGS", "FILES", "SIZE", "CREATED", "RUN", "DIGEST"];
        let mut table = Table::new(COLUMNS).right(&[3, 4]);
        if ends {
            table = table.and("EXPIRES");
        }
        for (version, ending) in self.versions.iter().zip(endings) {
            let mut row = vec![
                format!("{}{}", version.version, state_note(version.state)),
                aliases(version),
                text::list(&version.tags),
                text::number(version.files),
                text::bytes(version.size),
                text::time(version.created_at),
                version.run.as_ref().map(|run| run.name.to_string()).unwrap_or_default(),
                text::short(&version.digest),
            ];
            row.extend(ends.then_some(ending));
            table.row(row);
        }
        table.print(printer)
    }
}

/// What follows the name of a version that cannot be read.
pub(super) fn state_note(state: StateDoc) -> &'static str {
    match state {
        StateDoc::Committed => "",
        StateDoc::Deleted => " (deleted)",
        StateDoc::Purged => " (purged)",
    }
}

/// Aliases with a word for those that are protected.
pub(super) fn aliases(version: &VersionDoc) -> String {
    let named = version.aliases.iter().map(|alias| {
        let protected = if version.protected.contains(alias) { " (protected)" } else { "" };
        format!("{}{protected}", text::escaped(alias.as_str()))
    });
    named.collect::<Vec<_>>().join(", ")
}

/// When a version's lifetime ends, or until when it can be restored.
pub(super) fn ending(version: &VersionDoc) -> String {
    if let Some(until) = version.restorable_until {
        return format!("restorable until {}", text::time(until));
    }
    let Some(end) = version.expires_at.filter(|_| version.state == StateDoc::Committed) else {
        return String::new();
    };
    match (end <= text::now(), version.kept_by.is_empty()) {
        (false, _) => text::time(end),
        (true, false) => format!("expired, kept by {}", text::list(&version.kept_by)),
        (true, true) => format!("expired {}", text::time(end)),
    }
}

#[derive(Debug, Serialize)]
struct Restorable {
    restorable: Vec<VersionDoc>,
}

impl Answer for Restorable {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let mut table =
            Table::new(["VERSION", "TYPE", "FILES", "SIZE", "DELETED", "RESTORABLE UNTIL"])
                .right(&[2, 3]);
        for version in &self.restorable {
            table.row([
                text::escaped(&format!("{}:{}", version.name, version.version)),
                text::escaped(version.artifact_type.as_str()),
                text::number(version.files),
                text::bytes(version.size),
                version.deleted_at.map(text::time).unwrap_or_default(),
                version.restorable_until.map(text::time).unwrap_or_default(),
            ]);
        }
        table.print(printer)
    }
}

#[derive(Debug, Serialize)]
struct Collections {
    collections: Vec<CollectionDoc>,
}

impl Answer for Collections {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let mut table =
            Table::new(["NAME", "TYPE", "LATEST", "ALIASES", "FILES", "SIZE", "CREATED"])
                .right(&[4, 5]);
        for collection in &self.collections {
            let latest = collection.latest.as_ref();
            let of = |cell: fn(&VersionDoc) -> String| latest.map(cell).unwrap_or_default();
            table.row([
                text::escaped(collection.name.as_str()),
                text::escaped(collection.artifact_type.as_str()),
                of(|version| version.version.clone()),
                of(|version| text::list(&version.aliases)),
                of(|version| text::number(version.files)),
                of(|version| text::bytes(version.size)),
                of(|version| text::time(version.created_at)),
            ]);
        }
        table.print(printer)
    }
}
