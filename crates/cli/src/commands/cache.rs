//! `cache`: the directory that may be deleted at any time.

use std::io;
use std::path::Path;

use heirloom_core::ErrorCode;
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::text;

/// What heirloom keeps in the cache directory; nothing else there is touched.
const KEPT: &[&str] = &["stat"];

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Cache {
    /// Say where the cache is and how much it holds
    Info,
    /// Empty the cache
    Clean,
}

pub(crate) async fn info(app: &App) -> Result<Info, Failure> {
    let dir = directory(app)?;
    let (mut files, mut bytes) = (0, 0);
    for part in KEPT {
        let (n, size) = count(&dir.join(part))?;
        files += n;
        bytes += size;
    }
    Ok(Info { path: dir.to_string_lossy().into_owned(), files, bytes, cleaned: false })
}

pub(crate) async fn clean(app: &App) -> Result<Info, Failure> {
    let before = info(app).await?;
    let dir = directory(app)?;
    for part in KEPT {
        let path = dir.join(part);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", &path, &error));
            }
            _ => {}
        }
    }
    Ok(Info { cleaned: true, ..before })
}

fn directory(app: &App) -> Result<&Path, Failure> {
    app.config.cache.as_deref().ok_or_else(|| {
        Failure::failed(
            ErrorCode::NotFound,
            "there is no cache directory; HEIRLOOM_CACHE would name one",
        )
    })
}

/// Files below a directory, links not followed, and their bytes.
fn count(dir: &Path) -> Result<(u64, u64), Failure> {
    let (mut files, mut bytes) = (0, 0);
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Failure::io("list", &dir, &error)),
        };
        for entry in entries {
            // Files may go while we look: a put replaces them.
            let Ok(entry) = entry else { continue };
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                open.push(entry.path());
            } else {
                files += 1;
                bytes += meta.len();
            }
        }
    }
    Ok((files, bytes))
}

/// What the cache holds, or held before it was emptied.
#[derive(Debug, Serialize)]
pub(crate) struct Info {
    path: String,
    files: u64,
    bytes: u64,
    cleaned: bool,
}

impl Answer for Info {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let size =
            format!("{}, {}", text::count(self.files, "file", "files"), text::bytes(self.bytes));
        printer.line(match self.cleaned {
            true => format!("removed {size} from {}", text::escaped(&self.path)),
            false => format!("{}: {size}", text::escaped(&self.path)),
        })
    }
}
