//! `artifact parts`, and what its sister verbs share: which set of parts is meant.

use std::io;

use heirloom::{Project, Run};
use heirloom_api::{PartSetDoc, PartSetState, PartWriter};
use heirloom_core::{ArtifactRef, OnConflict};
use serde::Serialize;

use super::put;
use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::table::Table;
use crate::text;

/// Writers that are named in a table.
const SHOWN_WRITERS: usize = 3;

/// Which set of parts is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// Artifact that the parts are of
    #[arg(short, long, value_name = "[PROJECT/]NAME")]
    name: ArtifactRef,
    /// Its type, such as `dataset`; needed as long as it has no version
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    artifact_type: Option<String>,
    /// Id that the writers agree on; by default the group of the run
    #[arg(long, value_name = "ID")]
    distributed_id: Option<String>,
    /// Run on whose behalf [env: HEIRLOOM_RUN]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

/// A [`Set`] with its run and project looked up.
pub(crate) struct Found {
    pub(crate) project: Project,
    pub(crate) run: Option<Run>,
    /// Name of the artifact.
    pub(crate) name: String,
    pub(crate) id: String,
}

impl Set {
    pub(crate) async fn find(&self, app: &App) -> Result<Found, Failure> {
        put::check_unversioned(&self.name)?;
        let run = app.run(self.run.as_deref()).await?;
        let project = put::project_for(app, run.as_ref(), &self.name)?;
        let group = run.as_ref().and_then(|run| run.doc().group.clone());
        let id = self.distributed_id.clone().or(group).ok_or_else(|| {
            Failure::usage_hint(
                match &run {
                    Some(run) => format!(
                        "parts need an id that their writers agree on, and run `{}` has no group",
                        run.id()
                    ),
                    None => "parts need an id that their writers agree on".to_owned(),
                },
                "`--distributed-id ID`, or a run with a group (`heirloom run start --group ID`)",
            )
        })?;
        Ok(Found { project, run, name: self.name.name().to_string(), id })
    }

    /// An empty artifact of that name and type.
    pub(crate) fn artifact(&self) -> heirloom::Artifact {
        let name = self.name.name().as_str();
        match &self.artifact_type {
            Some(artifact_type) => heirloom::Artifact::new(name, artifact_type),
            None => heirloom::Artifact::without_type(name),
        }
    }
}

/// A policy as an option says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Policy {
    Error,
    First,
    Last,
}

impl From<Policy> for OnConflict {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Error => Self::Error,
            Policy::First => Self::First,
            Policy::Last => Self::Last,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only sets of this artifact
    #[arg(value_name = "[PROJECT/]NAME", conflicts_with = "name")]
    artifact: Option<ArtifactRef>,
    /// The same as an option
    #[arg(short, long, value_name = "[PROJECT/]NAME")]
    name: Option<ArtifactRef>,
    /// Only sets of artifacts of this type
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    artifact_type: Option<String>,
    /// Only sets under this id
    #[arg(long, value_name = "ID")]
    distributed_id: Option<String>,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Sets, Failure> {
    let name = args.artifact.or(args.name);
    let project = match &name {
        Some(name) => app.project_of(name)?,
        None => app.project()?,
    };
    let mut sets = project.part_sets().await?;
    sets.retain(|set| {
        name.as_ref().is_none_or(|name| *name.name() == set.name)
            && args.artifact_type.as_ref().is_none_or(|t| *t == set.artifact_type.as_str())
            && args.distributed_id.as_ref().is_none_or(|id| *id == set.distributed_id)
    });
    if sets.is_empty() {
        app.printer.note("no parts wait to be finished");
    }
    Ok(Sets { sets })
}

/// Sets that were not finished.
#[derive(Debug, Serialize)]
pub(crate) struct Sets {
    sets: Vec<PartSetDoc>,
}

impl Answer for Sets {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let mut table = Table::new([
            "NAME",
            "ID",
            "STATE",
            "POLICY",
            "PARTS",
            "WRITERS",
            "FILES",
            "SIZE",
            "STARTED",
            "LAST PART",
            "EXPIRES",
        ])
        .right(&[4, 6, 7]);
        for set in &self.sets {
            table.row([
                text::escaped(set.name.as_str()),
                text::escaped(&set.distributed_id),
                match set.state {
                    PartSetState::Open => "open".to_owned(),
                    PartSetState::Expired => "expired".to_owned(),
                },
                set.on_conflict.as_str().to_owned(),
                text::number(set.parts),
                writers(&set.writers),
                text::number(set.files),
                text::bytes(set.bytes),
                text::time(set.started_at),
                text::time(set.touched_at),
                text::time(set.expires_at),
            ]);
        }
        table.print(printer)
    }
}

fn writers(writers: &[PartWriter]) -> String {
    let mut names: Vec<String> = writers
        .iter()
        .take(SHOWN_WRITERS)
        .map(|writer| match &writer.run {
            Some(run) => run.name.to_string(),
            None => writer.actor.clone(),
        })
        .collect();
    if writers.len() > SHOWN_WRITERS {
        names.push(format!("{} more", writers.len() - SHOWN_WRITERS));
    }
    text::list(&names)
}
