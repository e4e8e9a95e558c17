//! `artifact get`: download a version.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use heirloom::{Downloaded, LinkMode, Tally};
use heirloom_core::{ArtifactRef, ErrorCode};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::progress::Bar;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version to download: `animals`, `animals:v3`, `animals:prod`, `project/animals:v3`
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    /// Directory to write into, made when absent [default: ./artifacts/NAME:vN]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Only this path and what lies below it; files keep their full paths
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    /// Only paths that match one of these globs; `*` stops at `/`, `**` does not
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// No paths that match one of these globs
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// How large files get there; hardlink only from the cache of a remote repository
    #[arg(long, value_enum, default_value_t = Link::Reflink)]
    link: Link,
    /// Remove everything else below the root, after all files have arrived
    #[arg(long)]
    mirror: bool,
    /// Run that uses it [env: HEIRLOOM_RUN]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Link {
    Reflink,
    Copy,
    Hardlink,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Got, Failure> {
    if args.link == Link::Hardlink && app.client()?.backend().info().local {
        return Err(Failure::usage_hint(
            "a repository on this machine hands out no hard links: a change to one would damage it",
            "`--link reflink` shares the blocks where the file system can",
        ));
    }
    let version = app.used_version(&args.reference, args.run.as_deref()).await?;
    let mut download = version
        .download()
        .link(match args.link {
            Link::Reflink => LinkMode::Reflink,
            Link::Copy => LinkMode::Copy,
            Link::Hardlink => LinkMode::Hardlink,
        })
        .mirror(args.mirror);
    if let Some(root) = &args.root {
        download = download.root(root);
    }
    if let Some(prefix) = &args.prefix {
        download = download.prefix(prefix);
    }
    for glob in args.include.iter().cloned() {
        download = download.include(glob);
    }
    for glob in args.exclude.iter().cloned() {
        download = download.exclude(glob);
    }
    let bar = Bar::for_terminal(&app.printer);
    if let Some(bar) = &bar {
        let bar = Arc::clone(bar);
        download = download.progress(move |tally: &Tally| heirloom::Progress::report(&*bar, tally));
    }
    let got = download.await;
    if let Some(bar) = bar {
        bar.clear();
    }
    let filtered = args.prefix.is_some() || !args.include.is_empty() || !args.exclude.is_empty();
    let name = app.name_of(&version.doc().as_ref());
    let list = || format!("`heirloom artifact files {name}` lists what is there");
    let got = got.map_err(|error| Failure::from(error).hint_for(ErrorCode::NotFound, list))?;
    if filtered && got.files == 0 && got.empty_directories == 0 {
        return Err(Failure::Failed {
            code: ErrorCode::NotFound,
            message: format!("nothing in {name} matches"),
            hint: Some(list()),
        });
    }
    announce(&app.printer, &name, args.mirror, &got);
    Ok(Got::new(&version, got))
}

fn announce(printer: &Printer, name: &str, mirror: bool, got: &Downloaded) {
    let kept = match got.kept {
        0 => String::new(),
        kept => format!(", {} there already", text::number(kept)),
    };
    let empty = match got.empty_directories {
        0 => String::new(),
        n => format!(", {}", text::count(n, "empty directory", "empty directories")),
    };
    printer.note(format!(
        "{name}: {}{empty}, {}, verified ({} written{kept})",
        text::count(got.files, "file", "files"),
        text::bytes(got.bytes),
        text::bytes(got.written_bytes),
    ));
    if got.extras > 0 {
        let n = text::count(got.extras, "other file or directory", "other files and directories");
        printer.note(match mirror {
            true => format!("removed {n}"),
            false => format!("kept {n} (--mirror removes them)"),
        });
    }
    for unproven in &got.unproven {
        let what = if unproven.confirmed { "only the source's word says" } else { "nothing says" };
        printer.warning(format!(
            "`{}`: {what} that it is what was recorded; it came from {}",
            unproven.path.escaped(),
            text::escaped(&unproven.uri),
        ));
    }
}

/// A finished download.
#[derive(Debug, Serialize)]
pub(crate) struct Got {
    name: String,
    version: String,
    index: u64,
    digest: String,
    root: String,
    files: u64,
    bytes: u64,
    kept: u64,
    written: u64,
    written_bytes: u64,
    reflinked: u64,
    empty_directories: u64,
    extras: u64,
    /// Paths whose bytes could not be compared with a recorded checksum.
    unproven: Vec<String>,
    #[serde(skip)]
    path: PathBuf,
}

impl Got {
    fn new(version: &heirloom::Version, got: Downloaded) -> Self {
        Self {
            name: version.collection().to_string(),
            version: version.index().to_string(),
            index: version.index().get(),
            digest: version.digest().to_string(),
            root: got.root.to_string_lossy().into_owned(),
            files: got.files,
            bytes: got.bytes,
            kept: got.kept,
            written: got.written,
            written_bytes: got.written_bytes,
            reflinked: got.reflinked,
            empty_directories: got.empty_directories,
            extras: got.extras,
            unproven: got.unproven.iter().map(|u| u.path.to_string()).collect(),
            path: got.root,
        }
    }
}

impl Answer for Got {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        // As it is, not escaped: `cd "$(heirloom get animals)"` must work.
        printer.bytes(self.path.as_os_str().as_encoded_bytes())?;
        printer.bytes(b"\n")
    }
}
