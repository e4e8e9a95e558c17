//! A program among failing system calls: a [`Tracer`] runs any command, watches
//! its calls that change files below some directories, and lets the n-th one
//! fail, or be the last thing that the program does, or logs them all for
//! [`power`](crate::power).
//!
//! It stands between program and kernel, so what is tested is what users run,
//! libraries like SQLite included. It is a small C program, compiled when first
//! asked for; Linux on x86-64 only.

use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

const SOURCE: &str = include_str!("faults/tracer.c");

/// Numbers of errors as Linux has them.
pub mod errno {
    /// Input/output error: what a failing disk answers.
    pub const EIO: i32 = 5;
    /// Too many open files.
    pub const EMFILE: i32 = 24;
    /// No space left on device.
    pub const ENOSPC: i32 = 28;
}

/// What happens at the n-th watched call, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The call does nothing and answers this error number.
    Fail(u64, i32),
    /// From there on every call that needs space answers this error number.
    FailFrom(u64, i32),
    /// The process is killed (SIGKILL) instead.
    Kill(u64),
    /// If it writes, half of it is written; then the process is killed.
    Torn(u64),
    /// If it writes, only half is written, which is no error to the program.
    Short(u64),
    /// The process stands still before the call until everybody who has this
    /// FIFO open for writing has closed it. Opening it for writing waits until
    /// the process is there.
    Hold(u64, PathBuf),
}

/// A program that runs others and interferes.
#[derive(Debug, Clone)]
pub struct Tracer {
    program: PathBuf,
}

impl Tracer {
    /// Compiles it into `folder` unless it is there; `None` where it cannot work:
    /// on other systems than Linux on x86-64.
    ///
    /// # Errors
    /// When there is no C compiler `cc`, or it fails.
    pub fn build(folder: &Path) -> io::Result<Option<Self>> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Ok(None);
        }
        let mut hasher = DefaultHasher::new();
        SOURCE.hash(&mut hasher);
        let program = folder.join(format!("tracer-{:016x}", hasher.finish()));
        if !program.exists() {
            fs::create_dir_all(folder)?;
            // Several test processes may be at this: the last one's stays.
            let own = program.with_extension(std::process::id().to_string());
            let source = program.with_extension(format!("{}.c", std::process::id()));
            fs::write(&source, SOURCE)?;
            let compiled =
                Command::new("cc").args(["-O1", "-o"]).arg(&own).arg(&source).output()?;
            if !compiled.status.success() {
                let said = String::from_utf8_lossy(&compiled.stderr).into_owned();
                return Err(io::Error::other(said));
            }
            fs::rename(&own, &program)?;
            fs::remove_file(&source)?;
        }
        Ok(Some(Self { program }))
    }

    /// The program to start with the arguments of a [`Watch`].
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// What to watch, and what to do.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Calls that concern these directories, absolute paths, and what is in them.
    pub under: Vec<PathBuf>,
    /// Also calls that open, read, list and look at files.
    pub reads: bool,
    /// What happens when.
    pub fault: Option<Fault>,
    /// Where to log what was done; appended to. Bytes go to a file beside it.
    pub log: Option<PathBuf>,
    /// Where to leave a [`Report`].
    pub report: PathBuf,
}

impl Watch {
    /// Arguments for the tracer, to run `program` with arguments of its own.
    pub fn arguments<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> Vec<OsString> {
        let mut out: Vec<OsString> = vec!["--report".into(), self.report.clone().into()];
        for directory in &self.under {
            out.extend(["--under".into(), directory.clone().into()]);
        }
        if self.reads {
            out.push("--reads".into());
        }
        if let Some(log) = &self.log {
            out.extend(["--log".into(), log.clone().into()]);
        }
        let (option, at, value): (&str, u64, Option<OsString>) = match &self.fault {
            None => ("", 0, None),
            Some(Fault::Fail(at, error)) => ("--fail", *at, Some(error.to_string().into())),
            Some(Fault::FailFrom(at, error)) => ("--from", *at, Some(error.to_string().into())),
            Some(Fault::Kill(at)) => ("--kill", *at, None),
            Some(Fault::Torn(at)) => ("--torn", *at, None),
            Some(Fault::Short(at)) => ("--short", *at, None),
            Some(Fault::Hold(at, fifo)) => ("--hold", *at, Some(fifo.into())),
        };
        if self.fault.is_some() {
            out.extend([option.into(), at.to_string().into()]);
            out.extend(value);
        }
        out.extend(["--".into(), program.into()]);
        out.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        out
    }

    /// What the tracer has left after the program's end.
    ///
    /// # Errors
    /// When it has left nothing, or not what it should.
    pub fn report(&self) -> io::Result<Report> {
        let text = fs::read_to_string(&self.report)?;
        let parts = text.trim_end_matches('\n').split_once('\t');
        let (calls, fired) = parts.ok_or_else(|| io::Error::other("no report"))?;
        let calls = calls.parse().map_err(io::Error::other)?;
        Ok(Report { calls, fired: (!fired.is_empty()).then(|| fired.to_owned()) })
    }
}

/// What the tracer saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Watched calls.
    pub calls: u64,
    /// The call at which the fault happened; `None` when it was never reached.
    pub fired: Option<String>,
}
