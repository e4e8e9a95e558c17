//! `run`: executions.

mod exec;

use std::io;

use heirloom_api::{RunDoc, RunVersion};
use heirloom_core::RunState;
use serde::Serialize;

use super::put::json_object;
use super::show::Lines;
use crate::app::{App, run_address};
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::table::Table;
use crate::text;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Run {
    /// Start a run and print its name, for HEIRLOOM_RUN
    Start(Start),
    /// End a run
    Finish(Finish),
    /// List the runs of a project
    Ls(Ls),
    /// All that is known of a run
    Show(Show),
    /// Run a command as a run: what it puts and gets becomes lineage
    Exec(exec::Args),
}

/// What a run is called and belongs to.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// What kind of work it is, such as `train`
    #[arg(long, short, value_name = "TYPE")]
    job_type: Option<String>,
    /// Group of runs that work together
    #[arg(long, short, value_name = "GROUP")]
    group: Option<String>,
    /// Name shown to people [default: the id]
    #[arg(long, short, value_name = "NAME")]
    name: Option<String>,
    /// Id within the project; an id that was started before continues that run
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Parameters: a JSON object, or `@` and a file that holds one
    #[arg(long, value_name = "JSON|@FILE")]
    config: Option<String>,
}

impl Start {
    /// Starts it, with this command line recorded instead of ours.
    async fn start(
        &self,
        app: &App,
        command: Option<Vec<String>>,
    ) -> Result<heirloom::Run, Failure> {
        let mut run = app.client()?.run(&app.config.project);
        if let Some(job_type) = &self.job_type {
            run = run.job_type(job_type);
        }
        if let Some(group) = &self.group {
            run = run.group(group);
        }
        if let Some(name) = &self.name {
            run = run.name(name);
        }
        if let Some(id) = &self.id {
            run = run.id(id);
        }
        if let Some(config) = &self.config {
            run = run.config(json_object("--config", config)?);
        }
        if let Some(command) = command {
            run = run.command(command);
        }
        Ok(run.start().await?)
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Finish {
    /// The run [env: HEIRLOOM_RUN]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Exit code of what was run; other than 0 means failed
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    exit_code: i32,
    /// Results: a JSON object, or `@` and a file that holds one
    #[arg(long, value_name = "JSON|@FILE")]
    summary: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Only runs of this job type
    #[arg(long, short, value_name = "TYPE")]
    job_type: Option<String>,
    /// Only runs of this group
    #[arg(long, short, value_name = "GROUP")]
    group: Option<String>,
    /// Only runs in this state: running, finished, failed, crashed
    #[arg(long, value_name = "STATE")]
    state: Option<RunState>,
    /// At most this many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The run [env: HEIRLOOM_RUN]
    #[arg(value_name = "RUN")]
    run: Option<String>,
}

pub(crate) async fn run(app: &App, verb: Run) -> Result<(), Failure> {
    match verb {
        Run::Start(args) => Ok(app.printer.answer(&start(app, args).await?)?),
        Run::Finish(args) => Ok(app.printer.answer(&finish(app, args).await?)?),
        Run::Ls(args) => Ok(app.printer.answer(&ls(app, args).await?)?),
        Run::Show(args) => Ok(app.printer.answer(&show(app, args).await?)?),
        Run::Exec(args) => exec::run(app, args).await,
    }
}

async fn start(app: &App, args: Start) -> Result<Started, Failure> {
    let run = args.start(app, None).await?;
    Ok(Started { name: run_address(&run.doc().run), run: run.doc().clone() })
}

/// A run that was started; its name is what HEIRLOOM_RUN takes.
#[derive(Debug, Serialize)]
struct Started {
    #[serde(flatten)]
    run: RunDoc,
    #[serde(rename = "address")]
    name: String,
}

impl Answer for Started {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        printer.line(&self.name)
    }
}

async fn finish(app: &App, args: Finish) -> Result<Finished, Failure> {
    let run = app.needed_run(args.run.as_deref()).await?;
    if let Some(summary) = &args.summary {
        run.update(Some(json_object("--summary", summary)?), None).await?;
    }
    let doc = run.finish(args.exit_code).await?;
    app.printer.note(format!("run {} is {}", app.run_name(&doc.run), doc.state));
    Ok(Finished(doc))
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Finished(RunDoc);

impl Answer for Finished {
    fn text(&self, _: &Printer) -> io::Result<()> {
        Ok(())
    }
}

async fn ls(app: &App, args: Ls) -> Result<Runs, Failure> {
    let mut runs = app.project()?.runs().await?;
    let is = |value: &Option<String>, wanted: &Option<String>| wanted.is_none() || value == wanted;
    runs.retain(|run| {
        is(&run.job_type, &args.job_type)
            && is(&run.group, &args.group)
            && args.state.is_none_or(|state| run.state == state)
    });
    runs.sort_by_key(|run| std::cmp::Reverse(run.started_at));
    runs.truncate(args.limit.unwrap_or(usize::MAX));
    Ok(Runs { runs })
}

/// Runs, newest first.
#[derive(Debug, Serialize)]
struct Runs {
    runs: Vec<RunDoc>,
}

impl Answer for Runs {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let mut table =
            Table::new(["RUN", "NAME", "JOB TYPE", "GROUP", "STATE", "STARTED", "COMMIT"]);
        for run in &self.runs {
            table.row([
                text::escaped(run.run.name.as_str()),
                text::escaped(&run.display_name),
                text::escaped(run.job_type.as_deref().unwrap_or_default()),
                text::escaped(run.group.as_deref().unwrap_or_default()),
                state(run),
                text::time(run.started_at),
                run.provenance.git_commit.as_deref().unwrap_or_default().chars().take(12).collect(),
            ]);
        }
        table.print(printer)
    }
}

fn state(run: &RunDoc) -> String {
    match run.exit_code {
        Some(code) if code != 0 => format!("{} ({code})", run.state),
        _ => run.state.to_string(),
    }
}

async fn show(app: &App, args: Show) -> Result<Shown, Failure> {
    let run = app.needed_run(args.run.as_deref()).await?;
    let (produced, used) = run.versions().await?;
    let name = |version: &RunVersion| app.name_of(&version.version);
    let asked = |version: &RunVersion| match &version.asked {
        Some(asked) if *asked != name(version) => format!("{} (as {asked})", name(version)),
        _ => name(version),
    };
    Ok(Shown {
        shown_produced: produced.iter().map(name).collect(),
        shown_used: used.iter().map(asked).collect(),
        title: app.run_name(&run.doc().run),
        run: run.doc().clone(),
        produced,
        used,
    })
}

/// A run and the versions that it used and produced.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    run: RunDoc,
    used: Vec<RunVersion>,
    produced: Vec<RunVersion>,
    #[serde(skip)]
    title: String,
    #[serde(skip)]
    shown_used: Vec<String>,
    #[serde(skip)]
    shown_produced: Vec<String>,
}

impl Answer for Shown {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let run = &self.run;
        let mut lines = Lines::new(printer);
        lines.say("run", &self.title)?;
        lines.say("name", &run.display_name)?;
        lines.say("job type", run.job_type.as_deref().unwrap_or_default())?;
        lines.say("group", run.group.as_deref().unwrap_or_default())?;
        lines.say("state", &state(run))?;
        lines.say("started", &text::time(run.started_at))?;
        lines.say("ended", &run.ended_at.map(text::time).unwrap_or_default())?;
        lines.say("by", &run.actor)?;
        lines.say("used", &self.shown_used.join("\n"))?;
        lines.say("produced", &self.shown_produced.join("\n"))?;
        lines.provenance(&run.provenance)?;
        for (name, value) in [("config", &run.config), ("summary", &run.summary)] {
            if let Some(value) = value {
                lines.say(name, &serde_json::to_string_pretty(value)?)?;
            }
        }
        Ok(())
    }
}
