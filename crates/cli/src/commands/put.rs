//! `artifact put`: log files.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use heirloom::{Artifact, Links, Project, PutOptions, PutPlan, PutReport, Run, Scanned, Warning};
use heirloom_core::{ArtifactRef, ErrorCode, Selector, Ttl};
use heirloom_manifest::{LogicalPath, ManifestId};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::progress::Bar;
use crate::text;

/// Warnings that are printed one by one.
const SHOWN_WARNINGS: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files and directories; `-` reads standard input (with --as)
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    about: About,
    /// Directory of the artifact to put everything below; with `-` the file's path
    #[arg(long = "as", value_name = "PREFIX")]
    prefix: Option<String>,
    /// What to do with symbolic links that stay inside their directory
    #[arg(long, value_enum, default_value_t = LinkPolicy::Follow)]
    links: LinkPolicy,
}

/// What is logged, and what is said of it.
#[derive(Debug, clap::Args)]
pub(crate) struct About {
    /// Artifact to make a version of
    #[arg(short, long, value_name = "[PROJECT/]NAME")]
    pub(crate) name: ArtifactRef,
    /// Its type, such as `dataset`; needed for the first version only
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub(crate) artifact_type: Option<String>,
    #[command(flatten)]
    pub(crate) said: Said,
}

/// What is said of a version that is being logged.
#[derive(Debug, clap::Args)]
pub(crate) struct Said {
    /// Alias for the version, beside `latest`; may be repeated
    #[arg(short, long = "alias", value_name = "ALIAS")]
    pub(crate) aliases: Vec<String>,
    /// Tag for the version; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// Free text about the version
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Facts about the version: a JSON object, or `@` and a file that holds one
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) metadata: Option<String>,
    /// How long the version lives: `30d`, `12h`, `never`
    #[arg(long, value_name = "SPAN")]
    pub(crate) ttl: Option<Ttl>,
    /// Run that logs it [env: HEIRLOOM_RUN]
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Make a new version even when the newest has this content
    #[arg(long)]
    pub(crate) new_version: bool,
    /// Read and hash, tell what would happen, write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LinkPolicy {
    Follow,
    Refuse,
    Skip,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    let mut artifact = args.about.artifact()?;
    add_paths(&mut artifact, &args.paths, args.prefix.as_deref(), args.links)?;
    log(app, &args.about.name, &args.about.said, artifact).await
}

/// Adds files and directories as they are named on a command line.
pub(crate) fn add_paths(
    artifact: &mut Artifact,
    paths: &[PathBuf],
    prefix: Option<&str>,
    links: LinkPolicy,
) -> Result<(), Failure> {
    artifact.links(match links {
        LinkPolicy::Follow => Links::Follow,
        LinkPolicy::Refuse => Links::Refuse,
        LinkPolicy::Skip => Links::Skip,
    });
    let prefix = prefix.map(|prefix| prefix.trim_end_matches('/')).filter(|p| !p.is_empty());
    if let Some(Err(error)) = prefix.map(LogicalPath::new) {
        return Err(Failure::usage_hint(
            format!("--as `{}`: {error}", text::escaped(prefix.unwrap_or_default())),
            "a path in the artifact, such as `models/best`",
        ));
    }
    for path in paths {
        if path.as_os_str() == "-" {
            let Some(prefix) = prefix.filter(|_| paths.len() == 1) else {
                return Err(Failure::usage_hint(
                    "`-` reads standard input as one file, and needs its path in the artifact",
                    "`--as PATH`, and no other paths; a file named `-` is `./-`",
                ));
            };
            stdin(artifact, prefix)?;
        } else if std::fs::metadata(path).is_ok_and(|meta| meta.is_dir()) {
            match prefix {
                Some(prefix) => artifact.add_dir_as(path, prefix),
                None => artifact.add_dir(path),
            };
        } else {
            // What is no file, or not there, is reported with all other problems.
            match (prefix, path.file_name()) {
                (Some(prefix), Some(name)) => {
                    let Some(name) = name.to_str() else {
                        return Err(Failure::failed(
                            ErrorCode::Invalid,
                            format!(
                                "`{}` is not UTF-8, as paths in an artifact are",
                                text::path(path)
                            ),
                        ));
                    };
                    artifact.add_file_as(path, format!("{prefix}/{name}"))
                }
                _ => artifact.add_file(path),
            };
        }
    }
    Ok(())
}

/// Adds standard input as a file.
pub(crate) fn stdin(artifact: &mut Artifact, path: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::failed(ErrorCode::Io, format!("cannot keep standard input: {error}"))
    };
    let mut file = artifact.new_file(path);
    let mut input = io::stdin().lock();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => file.write_all(&buffer[..n]).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Failure::failed(
                    ErrorCode::Io,
                    format!("cannot read standard input: {error}"),
                ));
            }
        }
    }
    file.close().map_err(failed)
}

impl About {
    /// An empty artifact with what is said of it.
    pub(crate) fn artifact(&self) -> Result<Artifact, Failure> {
        check_unversioned(&self.name)?;
        let name = self.name.name().as_str();
        let mut artifact = match &self.artifact_type {
            Some(artifact_type) => Artifact::new(name, artifact_type),
            None => Artifact::without_type(name),
        };
        self.said.say_of(&mut artifact)?;
        Ok(artifact)
    }
}

impl Said {
    /// Says it of an artifact. Aliases and the run are said when it is logged.
    pub(crate) fn say_of(&self, artifact: &mut Artifact) -> Result<(), Failure> {
        if let Some(text) = &self.description {
            artifact.description(text);
        }
        if let Some(metadata) = &self.metadata {
            artifact.metadata(json_object("--metadata", metadata)?);
        }
        if let Some(ttl) = self.ttl {
            artifact.ttl(ttl);
        }
        artifact.tags(&self.tags);
        Ok(())
    }
}

/// Refuses a name that has a version or alias.
pub(crate) fn check_unversioned(name: &ArtifactRef) -> Result<(), Failure> {
    if *name.selector() == Selector::Unspecified {
        return Ok(());
    }
    Err(Failure::usage_hint(
        format!("`{name}` names a version; what is logged becomes the next one"),
        format!("`-n {}`, and `-a ALIAS` for aliases", name.with_selector(Selector::Unspecified)),
    ))
}

const JSON_OBJECT: &str =
    "a JSON object such as `'{\"epochs\": 3}'`, or `@` and a file that holds one";

/// A JSON object given as text, or as `@` and a file.
pub(crate) fn json_object(option: &str, given: &str) -> Result<serde_json::Value, Failure> {
    let text = match given.strip_prefix('@') {
        None => given.to_owned(),
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::io("read", std::path::Path::new(file), &error))?,
    };
    match serde_json::from_str(&text) {
        Ok(value @ serde_json::Value::Object(_)) => Ok(value),
        Ok(_) => Err(Failure::usage_hint(format!("{option} is not a JSON object"), JSON_OBJECT)),
        Err(error) => {
            Err(Failure::usage_hint(format!("{option} is not JSON: {error}"), JSON_OBJECT))
        }
    }
}

/// The project that is logged into: the run's, or the one that the name says.
pub(crate) fn project_for(
    app: &App,
    run: Option<&Run>,
    name: &ArtifactRef,
) -> Result<Project, Failure> {
    Ok(match run {
        // A run logs into its own project.
        Some(run) => {
            let asked = app.project_of(name)?;
            let named = name.project().is_some() || app.config.project_flag;
            if named && asked.reference() != run.project().reference() {
                return Err(Failure::usage_hint(
                    format!(
                        "run `{}` logs into its own project, `{}`",
                        run.id(),
                        run.project().name()
                    ),
                    "leave the project out, or log without the run (unset HEIRLOOM_RUN)",
                ));
            }
            run.project().clone()
        }
        None => app.project_of(name)?,
    })
}

/// Logs an artifact, in a run if there is one, and prints what came of it.
pub(crate) async fn log(
    app: &App,
    name: &ArtifactRef,
    said: &Said,
    artifact: Artifact,
) -> Result<(), Failure> {
    let run = app.run(said.run.as_deref()).await?;
    let project = project_for(app, run.as_ref(), name)?;
    let bar = Bar::for_terminal(&app.printer);
    let mut options = PutOptions::default();
    options.aliases.clone_from(&said.aliases);
    options.force_new = said.new_version;
    options.progress = bar.clone().map(|bar| bar as _);

    if said.dry_run {
        let plan = project.plan(artifact, options).await?;
        drop(bar);
        announce(&app.printer, &plan.scanned);
        let name = name.name().to_string();
        return Ok(app.printer.answer(&Plan::new(app, name, said.new_version, plan))?);
    }
    let report = match &run {
        Some(run) => run.put(artifact, options).await,
        None => project.put(artifact, options).await,
    };
    if let Some(bar) = bar {
        bar.clear();
    }
    print_report(app, report?)
}

/// Prints what a version came to that was made or found.
pub(crate) fn print_report(app: &App, report: PutReport) -> Result<(), Failure> {
    announce(&app.printer, &report.scanned);
    let name = app.name_of(&report.committed.version);
    app.printer.note(summary(&name, &report));
    Ok(app.printer.answer(&Put::new(name, report))?)
}

fn summary(name: &str, report: &PutReport) -> String {
    if !report.committed.created {
        return format!("unchanged: {name} already has this content (--new-version forces one)");
    }
    let new = match report.new_bytes {
        0 if report.bytes > 0 => " (nothing new to store)".to_owned(),
        new if new < report.bytes => format!(" ({} new)", text::bytes(new)),
        _ => String::new(),
    };
    format!(
        "logged {name}: {}, {}{new}, {}",
        text::count(report.files, "file", "files"),
        text::bytes(report.bytes),
        report.committed.digest,
    )
}

/// Says what was kept differently than it was found.
pub(crate) fn announce(printer: &Printer, scanned: &Scanned) {
    let links = |n| text::count(n, "symbolic link", "symbolic links");
    if scanned.links_followed > 0 {
        printer.note(format!(
            "followed {}: their targets are kept as files",
            links(scanned.links_followed)
        ));
    }
    if scanned.links_skipped > 0 {
        printer.warning(format!("left out {}", links(scanned.links_skipped)));
    }
    if scanned.ignored > 0 {
        let n = text::count(scanned.ignored, "file or directory", "files and directories");
        printer.note(format!("left out {n} by `.heirloomignore`"));
    }
    if scanned.lost_modes > 0 {
        let n = text::count(scanned.lost_modes, "file loses its", "files lose their");
        printer.warning(format!("{n} executable bit: an artifact keeps names and bytes"));
    }
    for warning in scanned.warnings.iter().take(SHOWN_WARNINGS) {
        printer.warning(warning_text(warning));
    }
    let more = scanned.warnings.len().saturating_sub(SHOWN_WARNINGS) as u64 + scanned.more_warnings;
    if more > 0 {
        printer.warning(format!("{} like these", text::count(more, "more name", "more names")));
    }
}

fn warning_text(warning: &Warning) -> String {
    match warning {
        Warning::Unportable { path, rule } => {
            format!("`{}` cannot be downloaded everywhere: {rule}", text::escaped(path))
        }
        Warning::Collision { paths } => {
            format!("some file systems cannot tell these names apart: {}", text::list(paths))
        }
        _ => "a name will not work everywhere".to_owned(),
    }
}

/// What a put came to.
#[derive(Debug, Serialize)]
struct Put {
    name: String,
    version: String,
    index: u64,
    id: String,
    entity: String,
    project: String,
    digest: ManifestId,
    created: bool,
    files: u64,
    bytes: u64,
    new_bytes: u64,
    stored_bytes: u64,
    links_followed: u64,
    links_skipped: u64,
    ignored: u64,
    lost_modes: u64,
    #[serde(skip)]
    shown: String,
}

impl Put {
    fn new(shown: String, report: PutReport) -> Self {
        let version = report.committed.version;
        Self {
            name: version.name.to_string(),
            version: version.index.to_string(),
            index: version.index.get(),
            id: version.id.to_string(),
            entity: version.entity.to_string(),
            project: version.project.to_string(),
            digest: report.committed.digest,
            created: report.committed.created,
            files: report.files,
            bytes: report.bytes,
            new_bytes: report.new_bytes,
            stored_bytes: report.stored_bytes,
            links_followed: report.scanned.links_followed,
            links_skipped: report.scanned.links_skipped,
            ignored: report.scanned.ignored,
            lost_modes: report.scanned.lost_modes,
            shown,
        }
    }
}

impl Answer for Put {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        printer.line(&self.shown)
    }
}

/// What a put would come to.
#[derive(Debug, Serialize)]
struct Plan {
    dry_run: bool,
    name: String,
    digest: ManifestId,
    files: u64,
    bytes: u64,
    /// Whether a version would be made.
    would_create: bool,
    /// The newest version there is.
    newest: Option<String>,
}

impl Plan {
    fn new(app: &App, name: String, force_new: bool, plan: PutPlan) -> Self {
        Self {
            dry_run: true,
            name,
            digest: plan.digest,
            files: plan.files,
            bytes: plan.bytes,
            would_create: force_new || !plan.unchanged,
            newest: plan.newest.map(|version| app.name_of(&version)),
        }
    }
}

impl Answer for Plan {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let size = format!(
            "{}, {}, {}",
            text::count(self.files, "file", "files"),
            text::bytes(self.bytes),
            self.digest
        );
        printer.line(match (&self.newest, self.would_create) {
            (Some(newest), false) => {
                format!("would change nothing: {newest} already has this content ({size})")
            }
            (Some(newest), true) => {
                format!("would make a version of {} after {newest}: {size}", self.name)
            }
            (None, _) => format!("would make the first version of {}: {size}", self.name),
        })
    }
}
