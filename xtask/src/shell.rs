//! Running other programs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// A program to run in a folder, said on standard error before it runs.
pub(crate) struct Shell {
    command: Command,
}

impl Shell {
    pub(crate) fn new(program: impl AsRef<OsStr>, folder: &Path) -> Self {
        let mut command = Command::new(program);
        command.current_dir(folder);
        Self { command }
    }

    /// The Cargo that runs us, so that `+toolchain` reaches what it starts.
    pub(crate) fn cargo(folder: &Path) -> Self {
        Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), folder)
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it with our streams; true if it ended well.
    pub(crate) fn run(mut self) -> anyhow::Result<bool> {
        self.announce();
        let status = self.command.status().with_context(|| self.cannot_start())?;
        Ok(status.success())
    }

    /// Runs it with both streams passed on and shown to `see` line by line,
    /// without colours; true if it ended well.
    pub(crate) fn watch(mut self, see: impl Fn(&str) + Sync) -> anyhow::Result<bool> {
        self.announce();
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().with_context(|| self.cannot_start())?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        std::thread::scope(|scope| {
            scope.spawn(|| pass_on(out, std::io::stdout(), &see));
            scope.spawn(|| pass_on(err, std::io::stderr(), &see));
        });
        Ok(child.wait()?.success())
    }

    /// Its standard output; an error if it fails.
    pub(crate) fn output(mut self) -> anyhow::Result<String> {
        let output = self.command.output().with_context(|| self.cannot_start())?;
        if !output.status.success() {
            bail!("{}: {}", self.line(), String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).with_context(|| format!("{}: not UTF-8", self.line()))
    }

    /// True if it starts and ends well; silent. To ask whether something is there.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.command.status().is_ok_and(|status| status.success())
    }

    fn announce(&self) {
        eprintln!("$ {}", self.line());
    }

    fn cannot_start(&self) -> String {
        format!("cannot start {}", self.command.get_program().to_string_lossy())
    }

    fn line(&self) -> String {
        let program = Path::new(self.command.get_program());
        let name = program.file_name().unwrap_or(program.as_os_str());
        let words = std::iter::once(name).chain(self.command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }
}

fn pass_on(from: Option<impl Read>, mut to: impl Write, see: impl Fn(&str)) {
    let Some(from) = from else { return };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    // A reader that ended early or a closed terminal must not stop the child, which
    // would wait for its pipe to be emptied.
    while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let _ = to.write_all(&line);
        let _ = to.flush();
        see(without_colours(&String::from_utf8_lossy(&line)).trim_end());
        line.clear();
    }
}

/// `text` without ANSI escape sequences.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
        } else if chars.next() == Some('[') {
            chars.by_ref().find(char::is_ascii_alphabetic);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_removed() {
        assert_eq!(without_colours("\u{1b}[32;1m   Summary\u{1b}[0m [ 1s]"), "   Summary [ 1s]");
        assert_eq!(without_colours("no colours"), "no colours");
    }
}
