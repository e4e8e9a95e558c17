//! `init`: make a repository, and settings for a directory.

use std::io;
use std::path::{Path, PathBuf};

use heirloom_core::ErrorCode;
use serde::Serialize;

use crate::app::App;
use crate::config::PROJECT_FILE;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Also write `.heirloom.toml` here, so that commands in this directory and
    /// below use this repository and project
    #[arg(long)]
    here: bool,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Made, Failure> {
    let home = &app.config.home;
    let existed = home.join("heirloom.toml").exists();
    app.client()?;
    let settings = if args.here { Some(write_settings(app)?) } else { None };
    Ok(Made {
        home: home.to_string_lossy().into_owned(),
        created: !existed,
        project: app.config.project.clone(),
        settings: settings.map(|path| path.to_string_lossy().into_owned()),
    })
}

fn write_settings(app: &App) -> Result<PathBuf, Failure> {
    let path = std::env::current_dir()
        .map_err(|error| Failure::io("find the working directory", Path::new("."), &error))?
        .join(PROJECT_FILE);
    let home = app.config.home.to_str().ok_or_else(|| {
        Failure::failed(
            ErrorCode::Invalid,
            "the path of the repository is not UTF-8, as settings are",
        )
    })?;
    let mut table = toml::Table::new();
    table.insert("home".into(), home.into());
    table.insert("project".into(), app.config.project.as_str().into());
    let text = toml::to_string(&table).expect("a table of texts always serialises");
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).open(&path);
    let written = file.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    match written {
        Ok(()) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failure::Failed {
            code: ErrorCode::Conflict,
            message: format!("`{}` exists already", text::path(&path)),
            hint: Some("edit it, or remove it first".into()),
        }),
        Err(error) => Err(Failure::io("write", &path, &error)),
    }
}

/// What there is now.
#[derive(Debug, Serialize)]
pub(crate) struct Made {
    home: String,
    /// False when there was a repository already.
    created: bool,
    project: String,
    /// The settings file that was written.
    settings: Option<String>,
}

impl Answer for Made {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        printer.line(match self.created {
            true => format!("made a repository in {}", text::escaped(&self.home)),
            false => format!("there is a repository in {}", text::escaped(&self.home)),
        })?;
        match &self.settings {
            Some(path) => printer.line(format!("wrote {}", text::escaped(path))),
            None => Ok(()),
        }
    }
}
