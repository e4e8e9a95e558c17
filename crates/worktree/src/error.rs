//! The error of this crate.

use std::io;
use std::path::{Path, PathBuf};

use heirloom_manifest::BlobId;

use crate::names::NameRule;

/// Why an operation on a directory failed. Every variant names the path, as
/// seen from the root where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} `{}`: {source}", escaped(path))]
    Io {
        /// What was tried, as a verb: `open`, `write`, `rename`, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// A file is not, or is no longer, what the scan saw: size, modification or
    /// change time or identity differ. Scan again and retry.
    #[error("`{}` changed while it was read", escaped(path))]
    ChangedWhileReading {
        /// The file.
        path: PathBuf,
    },
    /// The bytes written do not have the expected hash; nothing was left under
    /// the final name.
    #[error("`{}`: expected {expected}, got {actual}", escaped(path))]
    DigestMismatch {
        /// The file.
        path: PathBuf,
        /// What the manifest says.
        expected: BlobId,
        /// What the bytes hash to.
        actual: BlobId,
    },
    /// More or fewer bytes were written than the manifest declares.
    #[error("`{}`: expected {expected} bytes, got {actual}", escaped(path))]
    SizeMismatch {
        /// The file.
        path: PathBuf,
        /// What the manifest says.
        expected: u64,
        /// Bytes given; when too many, counted up to the refused piece.
        actual: u64,
    },
    /// A symbolic link stands where a directory on the way is needed. Links
    /// inside the root are never followed.
    #[error(
        "`{}` is a symbolic link; links below the target directory are not followed",
        escaped(path)
    )]
    LinkInTheWay {
        /// The link.
        path: PathBuf,
    },
    /// A file stands where a directory is needed.
    #[error("`{}` is a file, but a directory is needed there", escaped(path))]
    FileInTheWay {
        /// The file.
        path: PathBuf,
    },
    /// A directory stands where a file is needed.
    #[error("`{}` is a directory, but a file is needed there", escaped(path))]
    DirectoryInTheWay {
        /// The directory.
        path: PathBuf,
    },
    /// Another file system is mounted on a directory that was to be removed.
    /// Nothing in it was touched.
    #[error("`{}` is a mount point; what is mounted there is never removed", escaped(path))]
    MountPoint {
        /// The directory.
        path: PathBuf,
    },
    /// The name cannot be written here.
    #[error("`{}` cannot be written here: {rule}", escaped(path))]
    NameRefused {
        /// The logical path.
        path: PathBuf,
        /// The rule that its name breaks.
        rule: NameRule,
    },
    /// The file system takes this name and one written before for the same
    /// (letter case or Unicode normalisation).
    #[error("`{}`: this file system cannot tell its name from one already written", escaped(path))]
    Collision {
        /// The second of the two paths.
        path: PathBuf,
    },
    /// A spool is damaged or cut short.
    #[error("damaged scan record: {what}")]
    Corrupt {
        /// What does not hold.
        what: &'static str,
    },
    /// Entries were not given in ascending order of their paths.
    #[error("`{}` is out of order", escaped(path))]
    OutOfOrder {
        /// The path that is not after its predecessor.
        path: PathBuf,
    },
    /// A file offered for hard-linking can be written to, so that a change of
    /// the copy would change the source.
    #[error("`{}` is writable; only read-only files are hard-linked", escaped(path))]
    WritableSource {
        /// The source.
        path: PathBuf,
    },
}

impl Error {
    /// Whether the same call may succeed later without anyone repairing
    /// something: the file changed under the reader, or the system was
    /// interrupted or out of handles.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::ChangedWhileReading { .. } => true,
            Self::Io { source, .. } => {
                matches!(
                    source.kind(),
                    io::ErrorKind::Interrupted
                        | io::ErrorKind::WouldBlock
                        | io::ErrorKind::ResourceBusy
                ) || matches!(source.raw_os_error(), Some(code)
                    if code == rustix::io::Errno::MFILE.raw_os_error()
                        || code == rustix::io::Errno::NFILE.raw_os_error())
            }
            _ => false,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Io { action, path: path.into(), source: source.into() }
    }
}

/// `path` for a message: control characters escaped, so that a hostile name
/// cannot drive the terminal; bytes that are not UTF-8 shown as `\xNN`.
pub fn escaped(path: &Path) -> String {
    let mut out = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}
