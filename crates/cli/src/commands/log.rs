//! `artifact log`: the history of an artifact.

use heirloom_api::EventDoc;
use heirloom_core::{ArtifactRef, Selector};
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::exit::Failure;
use crate::text;

/// Events asked for at once.
const PAGE: usize = 500;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Artifact whose history to show; with `:vN`, only what is about that version
    #[arg(value_name = "[PROJECT/]NAME")]
    name: ArtifactRef,
    /// At most this many events, the newest
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    let project = app.project_of(&args.name)?;
    let only = match args.name.selector() {
        Selector::Unspecified => None,
        // A version that is gone has a history, too.
        Selector::Index(index) => Some(index.to_string()),
        _ => Some(app.version(&args.name).await?.index().to_string()),
    };
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut before = None;
    while left > 0 {
        let page = project.events(args.name.name().as_str(), before, PAGE).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        let ended = page.len() < PAGE;
        for event in page {
            if only.is_some() && event.version != only {
                continue;
            }
            if left == 0 {
                break;
            }
            left -= 1;
            if app.printer.is_json() {
                app.printer.json_line(&Line { kind: "event", event })?;
            } else {
                app.printer.line(line(&event))?;
            }
        }
        if ended {
            break;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    event: EventDoc,
}

fn line(event: &EventDoc) -> String {
    let mut text = format!(
        "{}  {:<12}  {}",
        text::time(event.at),
        text::escaped(&event.actor),
        sentence(event)
    );
    if let Some(run) = &event.run {
        text.push_str(&format!("  (run {})", run.name));
    }
    text
}

/// What happened, in words, then whatever else is recorded of it that people read.
fn sentence(event: &EventDoc) -> String {
    let version = event.version.as_deref().unwrap_or_default();
    let word = event.event.replace('_', " ");
    let mut text = if version.is_empty() { word } else { format!("{word} {version}") };
    let Value::Object(detail) = &event.detail else { return text };
    let get = |name: &str| detail.get(name).and_then(Value::as_str).map(text::escaped);
    let number = |name: &str| {
        let index = detail.get(name).and_then(Value::as_u64);
        index.map(|index| format!("v{index}")).or_else(|| get(name))
    };
    let mut told = vec!["auto", "record"];
    if event.event == "deleted" {
        if let Some(reason) = get("reason") {
            text.push_str(&format!(" ({reason})"));
        }
        let until = get("purge_after").and_then(|until| until.parse().ok());
        if let Some(until) = until {
            text.push_str(&format!(", restorable until {}", text::time(until)));
        }
        told.extend(["reason", "purge_after"]);
    }
    if let Some(alias) = get("alias") {
        let from = number("from").map(|from| format!(" from {from}")).unwrap_or_default();
        let to = number("to")
            .filter(|to| to != version)
            .map(|to| format!(" to {to}"))
            .unwrap_or_default();
        text.push_str(&format!(": `{alias}`{from}{to}"));
        told.extend(["alias", "from", "to"]);
    }
    for (name, value) in detail.iter().filter(|(name, _)| !told.contains(&name.as_str())) {
        let value = match value {
            Value::Null => continue,
            Value::String(digest) if digest.starts_with("blake3:") => text::short(digest),
            Value::String(value) => text::escaped(value),
            other => text::escaped(&other.to_string()),
        };
        text.push_str(&format!("  {}={value}", text::escaped(name)));
    }
    text
}
