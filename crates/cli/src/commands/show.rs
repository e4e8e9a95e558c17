//! `artifact show`: all that is known of a version.

use std::io;

use heirloom_api::{Origin, RunDoc, StateDoc, VersionDoc};
use heirloom_core::{ArtifactRef, Provenance, Ttl};
use serde::Serialize;

use super::ls::{aliases, ending, state_note};
use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version to look at
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Shown, Failure> {
    let version = app.version_or_tombstone(&args.reference).await?;
    let names = |runs: Vec<RunDoc>| runs.iter().map(|run| app.run_name(&run.run)).collect();
    let origin = version.origin().await?;
    Ok(Shown {
        title: app.name_of(&version.doc().as_ref()),
        logged_by: names(version.logged_by().await?),
        used_by: names(version.used_by().await?),
        version: version.doc().clone(),
        origin,
    })
}

/// A version and the runs around it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    version: VersionDoc,
    logged_by: Vec<String>,
    used_by: Vec<String>,
    /// Where it was brought from.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
    #[serde(skip)]
    title: String,
}

impl Answer for Shown {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let version = &self.version;
        let mut lines = Lines::new(printer);
        lines.say("version", &self.title)?;
        lines.say("type", version.artifact_type.as_str())?;
        if version.state != StateDoc::Committed {
            lines.say("state", state_note(version.state).trim_matches([' ', '(', ')']))?;
        }
        lines.say("aliases", &aliases(version))?;
        lines.say("tags", &text::list(&version.tags))?;
        lines.say("digest", &version.digest.to_string())?;
        lines.say("files", &text::number(version.files))?;
        lines.say(
            "size",
            &format!("{} ({} bytes)", text::bytes(version.size), text::number(version.size)),
        )?;
        lines.say("created", &text::time(version.created_at))?;
        lines.say("by", &version.actor)?;
        if let Some(source) = &version.source {
            lines.say("linked from", &source.to_string())?;
        }
        if let Some(origin) = &self.origin {
            lines.say("origin", &format!("{} of {}", origin.from, origin.repository))?;
        }
        lines.say("logged by", &text::list(&self.logged_by))?;
        lines.say("used by", &text::list(&self.used_by))?;
        lines.provenance(&version.provenance)?;
        lines.say("lifetime", &ttl(version.ttl))?;
        lines.say("expires", &ending(version))?;
        if let Some(description) = &version.description {
            lines.say("description", description)?;
        }
        if let Some(metadata) = &version.metadata {
            lines.say("metadata", &serde_json::to_string_pretty(metadata)?)?;
        }
        Ok(())
    }
}

/// Lines of a name and a value; empty values are left out.
pub(crate) struct Lines<'a> {
    printer: &'a Printer,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(printer: &'a Printer) -> Self {
        Self { printer }
    }

    pub(crate) fn say(&mut self, name: &str, value: &str) -> io::Result<()> {
        if value.is_empty() {
            return Ok(());
        }
        // Further lines of a value stand below the first.
        let value = text::escaped_lines(value).replace('\n', "\n             ");
        self.printer.line(format!("{name:<11}  {value}"))
    }

    pub(crate) fn provenance(&mut self, known: &Provenance) -> io::Result<()> {
        self.say("host", known.host.as_deref().unwrap_or_default())?;
        self.say("command", &command(&known.command))?;
        let dirty = if known.git_dirty == Some(true) { " (changed since)" } else { "" };
        if let Some(commit) = &known.git_commit {
            self.say("git commit", &format!("{commit}{dirty}"))?;
        }
        self.say("git remote", known.git_remote.as_deref().unwrap_or_default())
    }
}

/// A command line that a shell would take, on one line.
pub(crate) fn command(arguments: &[String]) -> String {
    let quoted = arguments.iter().map(|argument| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
        if !argument.is_empty() && argument.chars().all(plain) {
            argument.clone()
        } else {
            format!("'{}'", argument.replace('\'', "'\\''"))
        }
    });
    text::escaped(&quoted.collect::<Vec<_>>().join(" "))
}

pub(crate) fn ttl(ttl: Ttl) -> String {
    match ttl {
        Ttl::Inherit => String::new(),
        Ttl::Never => "for ever".to_owned(),
        Ttl::Seconds(seconds) => {
            let units =
                [(604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
            let unit = units.iter().find(|(size, _)| seconds.is_multiple_of(*size));
            let (size, name) = unit.unwrap_or(&(1, "second"));
            text::count(seconds / size, name, &format!("{name}s"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_counted_in_their_largest_unit() {
        let said = |seconds| ttl(Ttl::Seconds(seconds));
        assert_eq!(said(1), "1 second");
        assert_eq!(said(61), "61 seconds");
        assert_eq!(said(3600), "1 hour");
        assert_eq!(said(3 * 86_400), "3 days");
    }

    #[test]
    fn commands_can_be_pasted_into_a_shell() {
        let arguments =
            ["python", "train.py", "--name", "it's a \u{1b} test", ""].map(str::to_owned);
        assert_eq!(command(&arguments), "python train.py --name 'it'\\''s a \\u{1b} test' ''");
    }

    #[test]
    fn lifetimes_use_the_largest_whole_unit() {
        assert_eq!(ttl(Ttl::Seconds(30 * 86_400)), "30 days");
        assert_eq!(ttl(Ttl::Seconds(90)), "90 seconds");
        assert_eq!(ttl(Ttl::Seconds(14 * 86_400)), "2 weeks");
    }
}
