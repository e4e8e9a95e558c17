//! The one owner of standard output and standard error.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::args::Globals;
use crate::exit::Report;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// Prints data to standard output and everything else to standard error.
///
/// Cheap to clone; clones share the streams. Data is buffered until
/// [`Printer::flush`]; a closed pipe appears as an error of kind `BrokenPipe`.
#[derive(Clone)]
pub(crate) struct Printer {
    out: Arc<Mutex<BufWriter<io::Stdout>>>,
    err: Arc<Mutex<anstream::AutoStream<io::Stderr>>>,
    json: bool,
    quiet: bool,
    progress: bool,
}

/// What a verb answers: one JSON document, or text for people.
pub(crate) trait Answer: Serialize {
    /// Writes the text form.
    fn text(&self, printer: &Printer) -> io::Result<()>;
}

impl Printer {
    pub(crate) fn new(globals: &Globals) -> Self {
        let stderr = io::stderr();
        let terminal = stderr.is_terminal();
        Self {
            out: Arc::new(Mutex::new(BufWriter::with_capacity(1 << 16, io::stdout()))),
            // Looks at NO_COLOR, CLICOLOR and whether it is a terminal.
            err: Arc::new(Mutex::new(anstream::AutoStream::auto(stderr))),
            json: globals.json,
            quiet: globals.quiet,
            progress: terminal && !globals.quiet && !globals.no_progress && !globals.json,
        }
    }

    /// Whether answers are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress may be drawn on standard error.
    pub(crate) fn shows_progress(&self) -> bool {
        self.progress
    }

    /// Whether standard output is a terminal, so that tables are drawn for it.
    pub(crate) fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Prints an answer in the form asked for.
    pub(crate) fn answer(&self, answer: &impl Answer) -> io::Result<()> {
        if self.json {
            let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
            serde_json::to_writer_pretty(&mut *out, answer)?;
            return out.write_all(b"\n");
        }
        answer.text(self)
    }

    /// One JSON line of a stream.
    pub(crate) fn json_line(&self, line: &impl Serialize) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_writer(&mut *out, line)?;
        out.write_all(b"\n")
    }

    /// Data as it is.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
    }

    /// A line of data; the caller has escaped what needs it.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_ref().as_bytes())?;
        out.write_all(b"\n")
    }

    /// Hands over everything printed so far.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }

    /// A line for people on standard error; nothing with `--quiet` or `--json`.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.quiet && !self.json {
            self.tell(None, text.as_ref());
        }
    }

    /// Something that should not go unnoticed, on standard error.
    pub(crate) fn warning(&self, text: impl AsRef<str>) {
        if self.json {
            self.tell_json(&serde_json::json!({"type": "warning", "message": text.as_ref()}));
        } else if !self.quiet {
            self.tell(Some((WARNING, "warning: ")), text.as_ref());
        }
    }

    /// Why the command failed, as the last thing on standard error.
    pub(crate) fn error(&self, report: &Report) {
        if self.json {
            self.tell_json(report);
            return;
        }
        self.tell(Some((ERROR, "error: ")), &report.message);
        if let Some(hint) = &report.hint {
            self.tell(Some((HINT, "hint: ")), hint);
        }
    }

    /// A JSON line on standard error.
    pub(crate) fn tell_json(&self, line: &impl Serialize) {
        let text = serde_json::to_string(line).expect("documents have string keys");
        self.tell(None, &text);
    }

    fn tell(&self, label: Option<(Style, &str)>, text: &str) {
        // On a terminal both streams are read as one. Data that cannot be
        // written shows in the next write, or in the last flush.
        let _ = self.flush();
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody can be told that standard error is closed.
        let _ = match label {
            Some((style, label)) => writeln!(err, "{style}{label}{style:#}{text}"),
            None => writeln!(err, "{text}"),
        };
    }
}
