//! The error of this crate.

use std::io;
use std::path::{Path, PathBuf};

use heirloom_api::Problem;
use heirloom_core::ErrorCode;

/// Why a call on the SDK failed. [`Error::code`] is the stable word for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository refused, or could not.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// Files that cannot be put as they are; nothing was committed.
    #[error("{}", files_text(problems, *more))]
    Files {
        /// One sentence each, naming the file.
        problems: Vec<String>,
        /// How many more there are beyond those named.
        more: u64,
    },
    /// Two things that were added to one artifact claim the same path, or one
    /// claims a directory of the other.
    #[error("`{path}` is added twice: from {first} and from {second}")]
    Collision {
        /// The logical path, control characters escaped.
        path: String,
        /// Where one comes from.
        first: String,
        /// Where the other comes from.
        second: String,
    },
    /// A draft would have a file and a directory of one name.
    #[error("`{file}` cannot be both a file and a directory (`{directory}`)")]
    FileAndDirectory {
        /// The logical path of the file, control characters escaped.
        file: String,
        /// What makes a directory of it: a path below, or itself with a slash.
        directory: String,
    },
    /// Reading or writing files failed.
    #[error(transparent)]
    Worktree(#[from] heirloom_worktree::Error),
    /// An external reference cannot be added, checked or read.
    #[error(transparent)]
    Reference(#[from] heirloom_refs::RefsError),
    /// The call makes no sense as it is.
    #[error("{0}")]
    Usage(String),
    /// A temporary or cache file failed.
    #[error("cannot {action} `{}`: {source}", heirloom_worktree::escaped(path))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

fn files_text(problems: &[String], more: u64) -> String {
    let total = problems.len() as u64 + more;
    let mut text = match (problems, more) {
        ([one], 0) => return one.clone(),
        _ => format!("{total} files cannot be put:"),
    };
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(problem);
    }
    if more > 0 {
        text.push_str(&format!("\n  … and {more} more"));
    }
    text
}

impl Error {
    /// The stable word for what went wrong.
    pub fn code(&self) -> ErrorCode {
        use heirloom_worktree::Error as Tree;
        match self {
            Self::Problem(problem) => problem.code,
            Self::Files { .. }
            | Self::Collision { .. }
            | Self::FileAndDirectory { .. }
            | Self::Usage(_) => ErrorCode::Invalid,
            Self::Worktree(Tree::ChangedWhileReading { .. }) => ErrorCode::Conflict,
            Self::Worktree(Tree::DigestMismatch { .. } | Tree::SizeMismatch { .. }) => {
                ErrorCode::Corrupt
            }
            Self::Worktree(Tree::Io { source, .. }) | Self::Io { source, .. } => io_code(source),
            Self::Worktree(_) => ErrorCode::Invalid,
            Self::Reference(error) => error.code(),
        }
    }

    /// Whether the same call may succeed when made again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.is_retryable(),
            Self::Worktree(error) => error.is_retryable(),
            Self::Reference(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// The repository's own answer, with nearest names and what was found.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }
}

/// A step at which tests let a pipeline fail, end or wait.
pub(crate) fn step(name: &'static str) -> Result<(), Error> {
    heirloom_failpoint::hit(name).map_err(|error| Error::io("pass", name, error))
}

fn io_code(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::NoSpace,
        io::ErrorKind::NotFound => ErrorCode::NotFound,
        _ => ErrorCode::Io,
    }
}

macro_rules! usage_from {
    ($($error:ty),*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Usage(error.to_string())
            }
        })*
    };
}
usage_from!(
    heirloom_core::NameError,
    heirloom_core::RefError,
    heirloom_manifest::PathError,
    heirloom_manifest::ManifestError,
    heirloom_refs::UriError,
    heirloom_refs::NetrcError,
    globset::Error
);
