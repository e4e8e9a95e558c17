//! A repository and a working directory of one test, and the binary in them.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use heirloom_testkit::faults::Watch;
use heirloom_testkit::{Tracer, fixtures};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

/// Cargo builds it before the tests.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_heirloom-under-test");

/// Somebody who is not root and owns nothing.
const NOBODY: u32 = 65534;

/// A temporary place with `home`, `cache` and the working directory `work`.
pub(crate) struct Sandbox {
    dir: TempDir,
    /// Run as somebody without privileges.
    unprivileged: bool,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self::in_dir(tempfile::tempdir().unwrap())
    }

    /// In memory where the system has a place for that: for tests that repeat
    /// something hundreds of times.
    pub(crate) fn in_memory() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::in_dir(dir.unwrap())
    }

    /// In a directory below this one.
    pub(crate) fn below(parent: &Path) -> Self {
        Self::in_dir(tempfile::tempdir_in(parent).unwrap())
    }

    fn in_dir(dir: TempDir) -> Self {
        for name in ["work", "bin", "user"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        // As `heirloom`, so that scripts in the tests call it as users do.
        std::os::unix::fs::symlink(BINARY, dir.path().join("bin/heirloom")).unwrap();
        Self { dir, unprivileged: false }
    }

    /// As [`Sandbox::new`], for tests of permissions: root may do everything,
    /// so under root the commands run as somebody else.
    pub(crate) fn unprivileged() -> Self {
        let mut sandbox = Self::new();
        sandbox.unprivileged = rustix::process::geteuid().is_root();
        if sandbox.unprivileged {
            // The build directory may be closed to others.
            let binary = sandbox.dir.path().join("bin/heirloom");
            std::fs::remove_file(&binary).unwrap();
            std::fs::copy(BINARY, &binary).unwrap();
            for path in ["", "work", "user"] {
                let path = sandbox.dir.path().join(path);
                std::os::unix::fs::chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        sandbox
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    /// Writes a file below the working directory, with the directories above it.
    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        if self.unprivileged {
            let mut up = Some(path.as_path());
            while let Some(path) = up.filter(|path| *path != self.path("")) {
                std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
                up = path.parent();
            }
        }
        path
    }

    /// `images/` with a few files in it.
    pub(crate) fn images(&self) -> &Self {
        self.write("images/cat.png", fixtures::bytes(1, 4000));
        self.write("images/dogs/rex.png", fixtures::bytes(2, 3000));
        self.write("images/labels.csv", "cat,1\ndog,2\n");
        self
    }

    /// The binary with a cleared environment. Arguments are parted by spaces
    /// where one text is given.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.program(&self.dir.path().join("bin/heirloom"), args)
    }

    /// A shell script with `heirloom` on its path.
    pub(crate) fn shell(&self, script: &str) -> Ran {
        Ran::of(self.program(Path::new("/bin/sh"), ["-euc", script]).output().unwrap())
    }

    pub(crate) fn program<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(program);
        let bin = self.dir.path().join("bin");
        let system = std::env::var("PATH").unwrap_or_default();
        command
            .args(args)
            .current_dir(self.path(""))
            .env_clear()
            .env("PATH", format!("{}:{system}", bin.display()))
            .env("HOME", self.dir.path().join("user"))
            .env("USER", "tester")
            .env("LC_ALL", "C.UTF-8")
            .env("HEIRLOOM_HOME", self.home())
            .env("HEIRLOOM_CACHE", self.dir.path().join("cache"))
            .stdin(Stdio::null());
        if self.unprivileged {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Runs a command line, parted at spaces.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_args(line.split_whitespace())
    }

    pub(crate) fn run_args<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Runs a command line that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> Ran {
        let ran = self.run(line);
        ran.expect(0);
        ran
    }

    /// Runs a command line that must fail with this code.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, line: &str) -> Ran {
        let ran = self.run(line);
        ran.expect(code);
        ran
    }

    /// Runs a command line with `--json` and gives its document.
    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self, line: &str) -> T {
        let ran = self.ok(&format!("--json {line}"));
        ran.document()
    }

    /// Runs it with something on standard input.
    pub(crate) fn with_input(&self, line: &str, input: &[u8]) -> Ran {
        let mut child = self
            .command(line.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Runs a command line among failing system calls.
    pub(crate) fn traced(&self, tracer: &Tracer, watch: &Watch, line: &str) -> Ran {
        Ran::of(self.traced_command(tracer, watch, line).output().unwrap())
    }

    pub(crate) fn traced_command(&self, tracer: &Tracer, watch: &Watch, line: &str) -> Command {
        let program = self.dir.path().join("bin/heirloom");
        self.program(tracer.program(), watch.arguments(&program, line.split_whitespace()))
    }

    /// Starts it, both outputs piped.
    pub(crate) fn spawn(&self, line: &str) -> Child {
        let mut command = self.command(line.split_whitespace());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// What differs from run to run as a word: paths, times, digests, ids.
    pub(crate) fn filtered(&self, text: &str) -> String {
        let text = text.replace(&*self.dir.path().to_string_lossy(), "[DIR]");
        let mut out = String::new();
        for word in text.split_inclusive(|c: char| " \n\"',()".contains(c)) {
            let end = word.trim_end_matches(|c: char| " \n\"',()".contains(c));
            out.push_str(known(end).unwrap_or(end));
            out.push_str(&word[end.len()..]);
        }
        out
    }
}

fn known(word: &str) -> Option<&'static str> {
    let hex = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_hexdigit());
    if word.strip_prefix("blake3:").is_some_and(|rest| hex(rest, 64)) {
        Some("[DIGEST]")
    } else if hex(word, 12) {
        Some("[SHORT]")
    } else if word.len() == 10 && word.starts_with("20") && word.as_bytes()[4] == b'-' {
        Some("[DATE]")
    } else if word.len() == 9 && word.ends_with('Z') && word.as_bytes()[2] == b':' {
        Some("[TIME]")
    } else {
        None
    }
}

/// What came of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code, or minus the signal that ended it.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) bytes: Vec<u8>,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
        Self {
            code: output.status.code().unwrap_or_else(|| -signal.unwrap_or_default()),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }

    #[track_caller]
    pub(crate) fn expect(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Standard error has this.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "`{text}` is not in\n{}", self.err);
        self
    }

    /// Standard output is this.
    #[track_caller]
    pub(crate) fn prints(&self, text: &str) -> &Self {
        assert_eq!(self.out, text, "stderr:\n{}", self.err);
        self
    }

    #[track_caller]
    pub(crate) fn document<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in\n{}", self.out))
    }

    /// The JSON lines of standard output.
    #[track_caller]
    pub(crate) fn lines<T: DeserializeOwned>(&self) -> Vec<T> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in\n{line}"));
        self.out.lines().map(parse).collect()
    }

    /// The error, which is the last line of standard error with `--json`.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let last = self.err.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in\n{}", self.err))
    }
}
