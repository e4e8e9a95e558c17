//! Why a command failed, and with which exit code it says so.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use heirloom_core::ErrorCode;
use serde::Serialize;

use crate::{hints, text};

/// Something failed.
pub(crate) const FAILED: u8 = 1;
/// The command line makes no sense.
pub(crate) const USAGE: u8 = 2;
/// Damaged or missing bytes were found.
pub(crate) const DAMAGE: u8 = 3;
/// Something changed meanwhile; trying again makes sense.
pub(crate) const CONFLICT: u8 = 4;
/// A bug in this program.
pub(crate) const BUG: u8 = 70;

/// Why a command ended without doing all that was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The SDK's answer, and what to do next when the verb knows better than
    /// the error alone tells.
    Sdk { error: Box<heirloom::Error>, hint: Option<String> },
    /// The command line makes no sense.
    Usage { message: String, hint: Option<String> },
    /// Something failed on our side of the SDK.
    Failed { code: ErrorCode, message: String, hint: Option<String> },
    /// Damage was found; the answer that names it is printed already.
    Damage(String),
    /// End with the exit code of the command that was run, silently.
    Child(u8),
    /// A command that was to be run could not be: the shell's code for it.
    Spawn { code: u8, message: String },
    /// Whoever read our output has enough.
    PipeClosed,
}

/// An error as it is printed: text, or the last line of standard error as JSON.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(rename = "type")]
    kind: &'static str,
    pub(crate) code: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// Names close to one that was not found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nearest: Vec<String>,
    /// What was found instead of what was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
    /// What stands in the way, one by one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<String>,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: None }
    }

    pub(crate) fn usage_hint(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    pub(crate) fn failed(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Failed { code, message: message.into(), hint: None }
    }

    pub(crate) fn io(action: &str, path: &std::path::Path, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
            io::ErrorKind::NotFound => ErrorCode::NotFound,
            _ => ErrorCode::Io,
        };
        Self::failed(code, format!("cannot {action} `{}`: {error}", text::path(path)))
    }

    /// The same failure with what to do next, if it is an answer with this code.
    pub(crate) fn hint_for(self, wanted: ErrorCode, hint: impl FnOnce() -> String) -> Self {
        match self {
            Self::Sdk { error, hint: None } if error.code() == wanted => {
                Self::Sdk { error, hint: Some(hint()) }
            }
            other => other,
        }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Sdk { error, .. } => code_of(error),
            Self::Usage { .. } => USAGE,
            Self::Failed { code, .. } => code_for(*code),
            Self::Damage(_) => DAMAGE,
            Self::Child(code) | Self::Spawn { code, .. } => *code,
            Self::PipeClosed => 0,
        }
    }

    /// What to print; `None` when there is nothing to say.
    pub(crate) fn report(&self) -> Option<Report> {
        let plain = |code: &str, message: &str, hint: Option<String>| Report {
            kind: "error",
            code: code.to_owned(),
            message: text::escaped_lines(message),
            hint,
            nearest: Vec::new(),
            found: None,
            items: Vec::new(),
        };
        Some(match self {
            Self::Sdk { error, hint } => {
                let hint = hint.clone().or_else(|| hints::of(error));
                let mut report = plain(error.code().as_str(), &message_of(error), hint);
                if let Some(problem) = error.problem() {
                    report.nearest.clone_from(&problem.nearest);
                    report.found.clone_from(&problem.found);
                    report.items.clone_from(&problem.items);
                }
                if let heirloom::Error::Files { problems, .. } = &**error {
                    report.items.clone_from(problems);
                }
                report
            }
            Self::Usage { message, hint } => plain("usage", message, hint.clone()),
            Self::Failed { code, message, hint } => plain(code.as_str(), message, hint.clone()),
            Self::Damage(message) => plain(ErrorCode::Corrupt.as_str(), message, None),
            Self::Spawn { message, .. } => plain("not_started", message, None),
            Self::Child(_) | Self::PipeClosed => return None,
        })
    }
}

fn message_of(error: &heirloom::Error) -> String {
    let mut text = error.to_string();
    // Causes that the sentence does not name already.
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

fn code_of(error: &heirloom::Error) -> u8 {
    match error {
        heirloom::Error::Usage(_) => USAGE,
        // A request that the repository finds senseless is one too; files that
        // cannot be put and things added twice are not.
        heirloom::Error::Problem(problem) if problem.code == ErrorCode::Invalid => USAGE,
        other => code_for(other.code()),
    }
}

fn code_for(code: ErrorCode) -> u8 {
    match code {
        ErrorCode::Corrupt => DAMAGE,
        ErrorCode::Conflict | ErrorCode::BaseMoved | ErrorCode::Fenced => CONFLICT,
        _ => FAILED,
    }
}

impl From<heirloom::Error> for Failure {
    fn from(error: heirloom::Error) -> Self {
        Self::Sdk { error: Box::new(error), hint: None }
    }
}

/// Only output is written with bare `?`: other files are named when they fail.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if is_closed_pipe(&error) {
            return Self::PipeClosed;
        }
        let code = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
            _ => ErrorCode::Io,
        };
        Self::failed(code, format!("cannot write the output: {error}"))
    }
}

pub(crate) fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Reports what clap says of the command line: help and version with success.
pub(crate) fn usage(mut error: clap::Error) -> ExitCode {
    suggest(&mut error, std::env::args_os().skip(1));
    let wants_json =
        || std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
    if error.use_stderr() && wants_json() {
        let rendered = error.render().to_string();
        let message = rendered.split("\n\n").next().unwrap_or_default();
        let message = message.strip_prefix("error: ").unwrap_or(message);
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        let hint = rendered.lines().find_map(|line| line.trim().strip_prefix("tip: "));
        let report = Failure::Usage { message, hint: hint.map(str::to_owned) };
        let line = report.report().map(|report| serde_json::to_string(&report));
        let mut stderr = io::stderr().lock();
        if let Some(Ok(line)) = line {
            let _ = io::Write::write_all(&mut stderr, format!("{line}\n").as_bytes());
        }
    } else {
        // A closed pipe below help is no failure.
        let _ = error.print();
    }
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

/// Names the verb that was meant where clap's measure, made for longer words,
/// finds none: `gt` for `get`.
fn suggest(error: &mut clap::Error, args: impl Iterator<Item = OsString>) {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return;
    };
    if error.get(ContextKind::SuggestedSubcommand).is_some() {
        return;
    }
    // The deepest verb before the one that was mistyped has it.
    let root = crate::help::command();
    let before = args.take_while(|arg| arg != typed.as_str());
    let parent = before.fold(&root, |verb, arg| verb.find_subcommand(&arg).unwrap_or(verb));
    let near: Vec<String> = parent
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set() && one_slip_apart(typed, verb.get_name()))
        .map(|verb| verb.get_name().to_owned())
        .collect();
    if !near.is_empty() {
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(near));
    }
}

/// Whether one letter more, less or other, or two swapped, make `a` of `b`.
fn one_slip_apart(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let head = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[head..], &b[head..]);
    match (a, b) {
        ([], []) => true,
        ([_, rest @ ..], []) | ([], [_, rest @ ..]) => rest.is_empty(),
        ([a0, a_rest @ ..], [b0, b_rest @ ..]) => {
            a_rest == b
                || a == b_rest
                || a_rest == b_rest
                || matches!((a_rest, b_rest), ([a1, a2 @ ..], [b1, b2 @ ..])
                    if a0 == b1 && a1 == b0 && a2 == b2)
        }
    }
}

/// Makes a panic one sentence for people. [`BUG`] is the exit code then.
pub(crate) fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let what = info.payload_as_str().unwrap_or("no message");
        let place = info.location().map_or_else(String::new, |at| format!(" at {at}"));
        let line = format!(
            "error: this is a bug in heirloom {}: {}{place}\n\
             hint: nothing half-done was committed; please report it at {}/issues\n",
            env!("CARGO_PKG_VERSION"),
            text::escaped_lines(what),
            env!("CARGO_PKG_REPOSITORY"),
        );
        let _ = io::Write::write_all(&mut io::stderr().lock(), line.as_bytes());
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use heirloom_api::Problem;

    fn exit_of(error: impl Into<heirloom::Error>) -> u8 {
        Failure::from(error.into()).exit_code()
    }

    #[test]
    fn codes_follow_the_table() {
        let problem = |code| Problem::new(code, "x");
        assert_eq!(exit_of(problem(ErrorCode::NotFound)), FAILED);
        assert_eq!(exit_of(problem(ErrorCode::WrongType)), FAILED);
        assert_eq!(exit_of(problem(ErrorCode::InUse)), FAILED);
        assert_eq!(exit_of(problem(ErrorCode::NewerFormat)), FAILED);
        assert_eq!(exit_of(problem(ErrorCode::Invalid)), USAGE);
        assert_eq!(exit_of(problem(ErrorCode::Corrupt)), DAMAGE);
        assert_eq!(exit_of(problem(ErrorCode::Conflict)), CONFLICT);
        assert_eq!(exit_of(problem(ErrorCode::BaseMoved)), CONFLICT);
        assert_eq!(exit_of(problem(ErrorCode::Fenced)), CONFLICT);
        assert_eq!(exit_of(heirloom::Error::Usage("x".into())), USAGE);
        let files = heirloom::Error::Files { problems: vec!["x".into()], more: 0 };
        assert_eq!(exit_of(files), FAILED);
    }

    #[test]
    fn one_slip_is_forgiven() {
        for typed in ["gt", "gett", "gte", "egt", "gat", "et", "ge"] {
            assert!(one_slip_apart(typed, "get"), "{typed}");
        }
        for typed in ["", "g", "teg", "putt", "getxy"] {
            assert!(!one_slip_apart(typed, "get"), "{typed}");
        }
    }

    #[test]
    fn a_closed_pipe_is_success_and_other_output_errors_are_not() {
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit_code(), 0);
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::StorageFull)).exit_code(), FAILED);
    }

    #[test]
    fn reports_cannot_drive_a_terminal() {
        let report = Failure::usage("a\u{1b}[2Jb").report().unwrap();
        assert_eq!(report.message, "a\\u{1b}[2Jb");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["type"], "error");
        assert_eq!(json["code"], "usage");
    }
}
