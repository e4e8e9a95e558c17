//! `project ls`.

use std::io;

use heirloom_api::ProjectDoc;
use heirloom_core::EntityName;
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::table::Table;
use crate::text;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Project {
    /// List projects
    Ls,
}

pub(crate) async fn ls(app: &App) -> Result<Projects, Failure> {
    Ok(Projects { projects: app.client()?.projects().await? })
}

#[derive(Debug, Serialize)]
pub(crate) struct Projects {
    projects: Vec<ProjectDoc>,
}

impl Answer for Projects {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let mut table = Table::new(["PROJECT", "ARTIFACTS", "CREATED"]).right(&[1]);
        for project in &self.projects {
            let entity = match project.entity == EntityName::local() {
                true => String::new(),
                false => format!("{}/", project.entity),
            };
            table.row([
                text::escaped(&format!("{entity}{}", project.name)),
                text::number(project.collections),
                text::time(project.created_at),
            ]);
        }
        table.print(printer)
    }
}
