//! Asking for a download, and what came of it.

use std::future::{Future, IntoFuture};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use globset::{GlobSet, GlobSetBuilder};
use heirloom_manifest::LogicalPath;
use heirloom_worktree::LinkMode;

use crate::progress::Listener;
use crate::{Error, Progress, Result, Version, get};

/// A download about to be made: `.await` it. Made by [`Version::download`].
///
/// Files that are there already are hashed, and kept when they are right.
/// Everything else arrives under a temporary name, is verified, and is renamed.
/// Nothing outside the root is ever touched, whatever links lie in it.
///
/// ```
/// # async fn example(version: heirloom::Version) -> Result<(), heirloom::Error> {
/// let got = version.download().root("data").prefix("train").exclude("*.tmp").await?;
/// assert_eq!(got.written + got.kept, got.files);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a download starts with `.await`"]
pub struct Download {
    pub(crate) version: Version,
    pub(crate) root: PathBuf,
    pub(crate) prefix: Option<String>,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) link: LinkMode,
    pub(crate) mirror: bool,
    pub(crate) allow_drift: bool,
    pub(crate) replace_obstacles: bool,
    pub(crate) flush: bool,
    pub(crate) progress: Listener,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("version", &self.version.name())
            .field("root", &self.root)
            .field("prefix", &self.prefix)
            .field("include", &self.include)
            .field("exclude", &self.exclude)
            .field("link", &self.link)
            .field("mirror", &self.mirror)
            .finish_non_exhaustive()
    }
}

/// What a download came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downloaded {
    /// Where it is.
    pub root: PathBuf,
    /// Files asked for, references included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were there already, verified.
    pub kept: u64,
    /// Files that were written.
    pub written: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Empty directories asked for.
    pub empty_directories: u64,
    /// Files written by sharing blocks with the store rather than by copying.
    pub reflinked: u64,
    /// Files and directories below the root that are no part of the version:
    /// kept, or with [`Download::mirror`] removed.
    pub extras: u64,
    /// The first 1000 of them, relative to the root.
    pub extra_paths: Vec<PathBuf>,
    /// Files from references whose bytes could not be compared with a checksum.
    pub unproven: Vec<Unproven>,
}

/// A file whose bytes came from a reference and could not be compared with a
/// recorded checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unproven {
    /// Path in the artifact.
    pub path: LogicalPath,
    /// Where it came from.
    pub uri: String,
    /// Whether the source confirmed what was recorded (an entity tag, say).
    pub confirmed: bool,
    /// What could not be verified, and why.
    pub pins: Vec<String>,
}

impl Download {
    pub(crate) fn new(version: Version) -> Self {
        let root = Path::new("artifacts").join(version.name());
        Self {
            version,
            root,
            prefix: None,
            include: Vec::new(),
            exclude: Vec::new(),
            link: LinkMode::Reflink,
            mirror: false,
            allow_drift: false,
            replace_obstacles: false,
            flush: false,
            progress: None,
        }
    }

    /// The directory to write into; made when absent.
    pub fn root(mut self, root: impl AsRef<Path>) -> Self {
        self.root = root.as_ref().to_owned();
        self
    }

    /// The directory that will be written into.
    pub fn root_path(&self) -> &Path {
        &self.root
    }

    /// Only this path and what lies below it, by whole parts. Files keep their
    /// full paths.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Only paths that match one of the globs given. `*` and `?` stop at `/`,
    /// `**` does not; a glob without `/` is matched against the last part.
    pub fn include(mut self, glob: impl Into<String>) -> Self {
        self.include.push(glob.into());
        self
    }

    /// No paths that match one of the globs given.
    pub fn exclude(mut self, glob: impl Into<String>) -> Self {
        self.exclude.push(glob.into());
        self
    }

    /// How large files get there. [`LinkMode::Hardlink`] is an error with a
    /// repository in this process, whose objects must never get a second name.
    pub fn link(mut self, link: LinkMode) -> Self {
        self.link = link;
        self
    }

    /// Removes everything below the root that is no part of the version, after
    /// all files have arrived. What is part of it but was left out this time by
    /// prefix or globs stays.
    pub fn mirror(mut self, mirror: bool) -> Self {
        self.mirror = mirror;
        self.replace_obstacles |= mirror;
        self
    }

    /// Takes what references lead to now, even when it is not what was recorded.
    pub fn allow_drift(mut self, allow: bool) -> Self {
        self.allow_drift = allow;
        self
    }

    /// Waits until everything is on disk, not merely in the system's cache.
    pub fn flush(mut self, flush: bool) -> Self {
        self.flush = flush;
        self
    }

    /// Hears of progress.
    pub fn progress(mut self, progress: impl Progress + 'static) -> Self {
        self.progress = Some(Arc::new(progress));
        self
    }

    pub(crate) fn filter(&self) -> Result<Filter> {
        let within = match self.prefix.as_deref().map(|prefix| prefix.trim_end_matches('/')) {
            None | Some("") => None,
            Some(prefix) => Some(LogicalPath::new(prefix)?),
        };
        Ok(Filter {
            within,
            include: (!self.include.is_empty()).then(|| globs(&self.include)).transpose()?,
            exclude: globs(&self.exclude)?,
        })
    }
}

impl IntoFuture for Download {
    type Output = Result<Downloaded>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(get::run(self))
    }
}

/// Which entries are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub(crate) within: Option<LogicalPath>,
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Filter {
    pub(crate) fn wants(&self, path: &LogicalPath) -> bool {
        let path = path.as_str();
        self.include.as_ref().is_none_or(|globs| globs.is_match(path))
            && !self.exclude.is_match(path)
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let anywhere = !pattern.contains('/');
        let full = if anywhere { format!("**/{pattern}") } else { pattern.clone() };
        let glob = globset::GlobBuilder::new(&full).literal_separator(true).build();
        set.add(glob.map_err(|error| Error::usage(format!("glob `{pattern}`: {}", error.kind())))?);
    }
    Ok(set.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_paths_or_names() {
        let matches =
            |pattern: &str, path: &str| globs(&[pattern.to_owned()]).unwrap().is_match(path);
        assert!(matches("*.png", "a/b/c.png") && matches("*.png", "c.png"));
        assert!(matches("a/*.png", "a/c.png") && !matches("a/*.png", "a/b/c.png"));
        assert!(matches("a/**", "a/b/c.png") && !matches("b/**", "a/b/c.png"));
        assert!(globs(&["[".to_owned()]).is_err());
    }
}
