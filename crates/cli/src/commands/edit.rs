//! `artifact edit`: the next version, made out of one.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use heirloom::IfBaseMoved;
use heirloom_core::{ArtifactRef, ErrorCode};

use super::put::{self, Said};
use crate::app::App;
use crate::exit::Failure;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version to start from: `animals` or `animals:prod` as it is now, or `animals:v3`
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    said: Said,
    /// What to do when REF names another version once the new one is ready
    #[arg(long, value_enum, value_name = "POLICY", default_value_t = Moved::Fail)]
    if_base_moved: Moved,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Changes {
    /// File to add or replace, or directory whose files are; LOGICAL is its path in the artifact
    /// (a directory with a `/` at its end). By default a file keeps its name and a directory's
    /// files land at the root; `--add=-=LOGICAL` reads standard input. May be repeated
    #[arg(long = "add", value_name = "PATH[=LOGICAL]")]
    add: Vec<OsString>,
    /// External object, prefix or directory to add as references, under its own name. May be repeated
    #[arg(long = "add-ref", value_name = "URI")]
    add_ref: Vec<String>,
    /// As `--add-ref`, at a path of the artifact. May be repeated
    #[arg(long = "add-ref-as", num_args = 2, value_names = ["URI", "LOGICAL"])]
    add_ref_as: Vec<String>,
    /// Path of the artifact to remove, with everything below it; done before anything is added.
    /// May be repeated
    #[arg(long = "remove", value_name = "LOGICAL")]
    remove: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Moved {
    /// Commit nothing
    Fail,
    /// Make the same changes to the version that REF names then
    Rebase,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    let mut draft = app.version(&args.reference).await?.new_draft();
    draft.if_base_moved(match args.if_base_moved {
        Moved::Fail => IfBaseMoved::Fail,
        Moved::Rebase => IfBaseMoved::Rebase,
    });
    args.said.say_of(&mut draft)?;
    for path in &args.changes.remove {
        draft.remove(path);
    }
    for given in &args.changes.add {
        let added = Added::parse(given, |path| std::fs::symlink_metadata(path).is_ok());
        let logical = added.logical.map(logical_text).transpose()?;
        if added.path == Path::new("-") {
            let Some(path) = logical else {
                return Err(Failure::usage_hint(
                    "`--add -` reads standard input as one file, and needs its path in the artifact",
                    "`--add=-=PATH`; a file named `-` is `./-`",
                ));
            };
            put::stdin(&mut draft, &path)?;
        } else if std::fs::metadata(&added.path).is_ok_and(|meta| meta.is_dir()) {
            match logical {
                Some(prefix) => draft.add_dir_as(&added.path, prefix),
                None => draft.add_dir(&added.path),
            };
        } else {
            // What is no file, or not there, is reported with all other problems.
            match file_path(&added.path, logical)? {
                Some(path) => draft.add_file_as(&added.path, path),
                None => draft.add_file(&added.path),
            };
        }
    }
    for uri in &args.changes.add_ref {
        draft.add_reference(uri);
    }
    for named in args.changes.add_ref_as.chunks_exact(2) {
        draft.add_reference(&named[0]).name(&named[1]);
    }
    put::log(app, &args.reference, &args.said, draft).await
}

/// One `--add`.
#[derive(Debug, PartialEq, Eq)]
struct Added {
    path: PathBuf,
    logical: Option<OsString>,
}

impl Added {
    /// Both sides of a `=` may have more of them: what is there counts, the whole
    /// before any part, a short path before a longer one.
    fn parse(given: &OsStr, exists: impl Fn(&Path) -> bool) -> Self {
        let whole = || Self { path: given.into(), logical: None };
        if exists(Path::new(given)) {
            return whole();
        }
        let bytes = given.as_bytes();
        let splits = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'=');
        let mut splits = splits.map(|(at, _)| {
            let (path, logical) = (&bytes[..at], &bytes[at + 1..]);
            let logical = Some(OsStr::from_bytes(logical).to_owned()).filter(|l| !l.is_empty());
            Self { path: OsStr::from_bytes(path).into(), logical }
        });
        let Some(first) = splits.next() else { return whole() };
        let is_there = |added: &Self| added.path == Path::new("-") || exists(&added.path);
        if is_there(&first) {
            return first;
        }
        splits.find(is_there).unwrap_or(first)
    }
}

fn logical_text(logical: OsString) -> Result<String, Failure> {
    logical.into_string().map_err(|logical| not_utf8(Path::new(&logical)))
}

fn not_utf8(path: &Path) -> Failure {
    let message = format!("`{}` is not UTF-8, as paths in an artifact are", text::path(path));
    Failure::failed(ErrorCode::Invalid, message)
}

/// Where a file goes: with a `/` at the end, below that directory.
fn file_path(path: &Path, logical: Option<String>) -> Result<Option<String>, Failure> {
    let Some(logical) = logical else { return Ok(None) };
    if !logical.ends_with('/') {
        return Ok(Some(logical));
    }
    let dir = logical.trim_end_matches('/');
    let Some(name) = path.file_name() else { return Ok(Some(logical)) };
    let name = name.to_str().ok_or_else(|| not_utf8(path))?;
    Ok(Some(if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &str, there: &[&str]) -> (String, Option<String>) {
        let added = Added::parse(OsStr::new(given), |path| {
            there.iter().any(|known| Path::new(known) == path)
        });
        let logical = added.logical.map(|logical| logical.into_string().unwrap());
        (added.path.into_os_string().into_string().unwrap(), logical)
    }

    #[test]
    fn paths_and_where_they_go_are_told_apart() {
        let is = |path: &str, logical: Option<&str>| (path.into(), logical.map(Into::into));
        assert_eq!(parse("a.csv", &["a.csv"]), is("a.csv", None));
        assert_eq!(parse("a.csv=train/a.csv", &["a.csv"]), is("a.csv", Some("train/a.csv")));
        assert_eq!(parse("a.csv=", &["a.csv"]), is("a.csv", None));
        // Names with `=`, as tables cut up by a column have.
        assert_eq!(parse("day=1/a", &["day=1/a"]), is("day=1/a", None));
        assert_eq!(parse("day=1=days/day=1", &["day=1"]), is("day=1", Some("days/day=1")));
        assert_eq!(parse("day=1=x", &["day", "day=1"]), is("day", Some("1=x")));
        assert_eq!(parse("day=1=x", &["day", "day=1=x"]), is("day=1=x", None));
        // Nothing is there: the problem names what was most likely meant.
        assert_eq!(parse("no=where=x", &[]), is("no", Some("where=x")));
        assert_eq!(parse("nowhere", &[]), is("nowhere", None));
        assert_eq!(parse("-=notes/today.md", &[]), is("-", Some("notes/today.md")));
        assert_eq!(parse("-", &[]), is("-", None));
    }

    #[test]
    fn a_slash_at_the_end_makes_a_directory() {
        let place = |logical: Option<&str>| {
            file_path(Path::new("dir/a.csv"), logical.map(str::to_owned)).unwrap()
        };
        assert_eq!(place(None), None);
        assert_eq!(place(Some("b.csv")).as_deref(), Some("b.csv"));
        assert_eq!(place(Some("train/")).as_deref(), Some("train/a.csv"));
        assert_eq!(place(Some("/")).as_deref(), Some("a.csv"));
    }
}
