//! `project ls` and `project update`.

use std::io;

use heirloom_api::{ProjectDoc, UpdateProject};
use heirloom_core::{EntityName, Ttl};
use serde::Serialize;

use super::show;
use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::table::Table;
use crate::text;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Project {
    /// List projects
    Ls,
    /// Set the default lifetime of the versions in the project
    Update(Update),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    /// How long versions live unless they or their artifact say otherwise: `30d`, `never`
    #[arg(long, value_name = "SPAN", required = true)]
    ttl: Option<Ttl>,
}

pub(crate) async fn update(app: &App, args: Update) -> Result<Updated, Failure> {
    let project = app.project()?.update(UpdateProject { ttl: args.ttl }).await?;
    Ok(Updated { project })
}

/// A project as it is now.
#[derive(Debug, Serialize)]
pub(crate) struct Updated {
    project: ProjectDoc,
}

impl Answer for Updated {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let name = text::escaped(self.project.name.as_str());
        printer.note(match show::ttl(self.project.ttl).as_str() {
            "" | "for ever" => {
                format!("versions in {name} live for ever unless something says otherwise")
            }
            ttl => format!("versions in {name} live {ttl} unless something says otherwise"),
        });
        Ok(())
    }
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
        let lives = self.projects.iter().any(|project| !show::ttl(project.ttl).is_empty());
        let mut table = Table::new(["PROJECT", "ARTIFACTS", "CREATED"]).right(&[1]);
        if lives {
            table = table.and("VERSIONS LIVE");
        }
        for project in &self.projects {
            let entity = match project.entity == EntityName::local() {
                true => String::new(),
                false => format!("{}/", project.entity),
            };
            let mut cells = vec![
                text::escaped(&format!("{entity}{}", project.name)),
                text::number(project.collections),
                text::time(project.created_at),
            ];
            cells.extend(lives.then(|| show::ttl(project.ttl)));
            table.row(cells);
        }
        table.print(printer)
    }
}
