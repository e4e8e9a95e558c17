//! `run exec`: a command as a run.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitStatus;

use serde::Serialize;
use tokio::process::{Child, Command};

use super::Start;
use crate::app::App;
use crate::exit::Failure;
use crate::text;

/// What shells answer for a command that is not there.
const NOT_FOUND: u8 = 127;
/// What shells answer for a command that cannot be executed.
const NOT_EXECUTABLE: u8 = 126;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    about: Start,
    /// Command and its arguments, after `--`
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The end of the run, as a JSON line on standard error: standard output
/// belongs to the command.
#[derive(Serialize)]
struct Ended<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    run: String,
    state: &'a str,
    exit_code: i32,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    let (program, arguments) = args.command.split_first().expect("clap requires one");
    let recorded =
        args.command.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let run = args.about.start(app, Some(recorded)).await?;
    let name = app.run_name(&run.doc().run);
    app.printer.note(format!("run {name} started"));

    let place = &run.doc().run;
    let project = format!("{}/{}", place.entity, place.project);
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("HEIRLOOM_HOME", &app.config.home)
        .env("HEIRLOOM_PROJECT", &project)
        .env("HEIRLOOM_RUN", format!("{project}/{}", place.name));
    if let Some(cache) = &app.config.cache {
        command.env("HEIRLOOM_CACHE", cache);
    }
    // From here on we end when the command does, not before.
    let mut signals = Signals::listen();
    let outcome = match command.spawn() {
        Ok(mut child) => wait(&mut child, &mut signals).await,
        Err(error) => Err(error),
    };
    let code = match &outcome {
        Ok(status) => code_of(*status),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => NOT_FOUND,
        Err(_) => NOT_EXECUTABLE,
    };
    let ended = run.finish(i32::from(code)).await?;
    app.printer.note(format!("run {name} {} with exit code {code}", ended.state));
    if app.printer.is_json() {
        app.printer.tell_json(&Ended {
            kind: "run",
            run: crate::app::run_address(&ended.run),
            state: ended.state.as_str(),
            exit_code: i32::from(code),
        });
    }
    match outcome {
        Ok(_) if code == 0 => Ok(()),
        Ok(_) => Err(Failure::Child(code)),
        Err(error) => Err(Failure::Spawn {
            code,
            message: format!("cannot run `{}`: {error}", text::path(Path::new(program))),
        }),
    }
}

/// The command's exit code as a shell gives it: 128 and the signal's number
/// for one that a signal ended.
fn code_of(status: ExitStatus) -> u8 {
    if let Some(code) = status.code() {
        // Codes are a byte on Unix; others are cut to "failed".
        return u8::try_from(code).unwrap_or(1);
    }
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(1);
    }
    1
}

async fn wait(child: &mut Child, signals: &mut Signals) -> std::io::Result<ExitStatus> {
    loop {
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => signals.forward(signal, child),
        }
    }
}

#[cfg(unix)]
mod unix {
    use std::io::IsTerminal;

    use rustix::process::{Pid, Signal, kill_process};
    use tokio::process::Child;
    use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

    /// Signals that would end us, passed on to the command instead.
    pub(super) struct Signals {
        streams: Vec<(Signal, Stream)>,
        terminal: bool,
    }

    impl Signals {
        pub(super) fn listen() -> Self {
            let kinds = [
                (Signal::INT, SignalKind::interrupt()),
                (Signal::QUIT, SignalKind::quit()),
                (Signal::TERM, SignalKind::terminate()),
                (Signal::HUP, SignalKind::hangup()),
            ];
            let streams =
                kinds.into_iter().filter_map(|(s, kind)| Some((s, signal(kind).ok()?))).collect();
            Self { streams, terminal: std::io::stdin().is_terminal() }
        }

        pub(super) async fn next(&mut self) -> Signal {
            std::future::poll_fn(|context| {
                for (signal, stream) in &mut self.streams {
                    if stream.poll_recv(context).is_ready() {
                        return std::task::Poll::Ready(*signal);
                    }
                }
                std::task::Poll::Pending
            })
            .await
        }

        pub(super) fn forward(&self, signal: Signal, child: &Child) {
            // A terminal sends Ctrl-C and Ctrl-\ to the command as well: it
            // must not get them twice.
            if self.terminal && (signal == Signal::INT || signal == Signal::QUIT) {
                return;
            }
            let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
            if let Some(pid) = pid {
                // It may have ended just now; then there is nobody to tell.
                let _ = kill_process(pid, signal);
            }
        }
    }
}

#[cfg(unix)]
use unix::Signals;

/// Elsewhere the console tells the command itself; we only must not end first.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn forward(&self, _: (), _: &Child) {}
}
