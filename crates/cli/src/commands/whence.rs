//! `whence`: where a file's content comes from.

use std::io;
use std::path::PathBuf;

use heirloom_api::{Found, VersionRef};
use heirloom_core::ErrorCode;
use serde::Serialize;

use super::ls::state_note;
use super::show::Lines;
use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::table::Table;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files anywhere on this machine
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Say all that is known of each place: command, host, git remote
    #[arg(long, short)]
    long: bool,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Whence, Failure> {
    let client = app.client()?;
    let mut files = Vec::new();
    for path in &args.files {
        let answer = client.whence(path).await?;
        files.push(File {
            file: path.to_string_lossy().into_owned(),
            digest: answer.blob.to_string(),
            size: answer.size,
            found: answer.found.into_iter().map(|found| Place::new(app, found)).collect(),
        });
    }
    Ok(Whence { files, long: args.long })
}

impl Whence {
    /// Fails when nothing is known of some file, as `grep` does.
    pub(crate) fn outcome(&self) -> Result<(), Failure> {
        let unknown = self.files.iter().filter(|file| file.found.is_empty());
        let names: Vec<String> =
            unknown.map(|file| format!("`{}`", text::escaped(&file.file))).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(Failure::failed(
            ErrorCode::NotFound,
            format!("no version holds the content of {}", names.join(", ")),
        ))
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Whence {
    files: Vec<File>,
    #[serde(skip)]
    long: bool,
}

#[derive(Debug, Serialize)]
struct File {
    file: String,
    digest: String,
    size: u64,
    found: Vec<Place>,
}

#[derive(Debug, Serialize)]
struct Place {
    #[serde(flatten)]
    found: Found,
    #[serde(skip)]
    version: String,
    #[serde(skip)]
    run: String,
    #[serde(skip)]
    upstream: Vec<String>,
}

impl Place {
    fn new(app: &App, found: Found) -> Self {
        let name = |version: &VersionRef| app.name_of(version);
        Self {
            version: format!(
                "{}{}",
                name(&found.version.as_ref()),
                state_note(found.version.state)
            ),
            run: found.version.run.as_ref().map(|run| app.run_name(run)).unwrap_or_default(),
            upstream: found
                .upstream
                .iter()
                .map(|version| {
                    let note = if found.gone.contains(&version.id) { " (deleted)" } else { "" };
                    format!("{}{note}", name(version))
                })
                .collect(),
            found,
        }
    }

    fn commit(&self) -> String {
        self.found.provenance.git_commit.as_deref().unwrap_or_default().chars().take(12).collect()
    }
}

impl Answer for Whence {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        if self.long {
            return self.long(printer);
        }
        let mut table = Table::new(["FILE", "VERSION", "PATH", "LOGGED", "RUN", "COMMIT", "FROM"]);
        for file in &self.files {
            for place in &file.found {
                table.row([
                    text::escaped(&file.file),
                    text::escaped(&place.version),
                    place.found.path.escaped(),
                    text::time(place.found.version.created_at),
                    text::escaped(&place.run),
                    text::escaped(&place.commit()),
                    text::list(&place.upstream),
                ]);
            }
        }
        table.print(printer)
    }
}

impl Whence {
    fn long(&self, printer: &Printer) -> io::Result<()> {
        let mut first = true;
        for file in &self.files {
            for place in &file.found {
                if !std::mem::take(&mut first) {
                    printer.line("")?;
                }
                let mut lines = Lines::new(printer);
                lines.say("file", &file.file)?;
                lines.say("digest", &file.digest)?;
                lines.say("version", &place.version)?;
                lines.say("path", place.found.path.as_str())?;
                lines.say("aliases", &text::list(&place.found.version.aliases))?;
                lines.say("logged", &text::time(place.found.version.created_at))?;
                lines.say("by", &place.found.version.actor)?;
                lines.say("run", &place.run)?;
                lines.provenance(&place.found.provenance)?;
                lines.say("made from", &text::list(&place.upstream))?;
            }
        }
        Ok(())
    }
}
