//! What a catalog's own work can fail with.

use heirloom_core::ErrorCode;

/// A failure of the catalog itself, as opposed to a [`Refusal`](crate::rules::Refusal)
/// of what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The closure of [`CatalogExt`](crate::CatalogExt) returned its own error;
    /// never seen by callers of that trait.
    #[error("the transaction was given up by its caller")]
    Interrupted,
    /// An edit contradicts what is there: it inserts what exists, or names a
    /// row that does not. Rules never produce such edits, so this is a bug or a
    /// catalog that was changed by hand.
    #[error("conflict in the catalog: {what}")]
    Conflict {
        /// What contradicts what.
        what: String,
    },
    /// Other processes held the catalog for the whole time that this one was
    /// willing to wait.
    #[error("the catalog is in use by other processes")]
    Busy,
    /// Written by a newer version of Heirloom.
    #[error("the catalog needs format {found}; this version knows {supported}")]
    NewerFormat {
        /// The format that is needed for what was asked.
        found: u32,
        /// The newest that this code knows.
        supported: u32,
    },
    /// Written by an older version of Heirloom: `upgrade` makes it this one's.
    #[error("the catalog has format {found}; this version works on {supported}")]
    OlderFormat {
        /// Its format.
        found: u32,
        /// The format that this code reads and writes.
        supported: u32,
    },
    /// Rows or pages do not hold what was written.
    #[error("the catalog is damaged: {what}")]
    Damaged {
        /// Which row or page, and what is wrong.
        what: String,
    },
    /// The disk or the quota is full. Nothing was changed.
    #[error("no space left for the catalog")]
    NoSpace,
    /// The catalog's file or directory cannot be written.
    #[error("the catalog cannot be written")]
    ReadOnly,
    /// The catalog is that of a backup.
    #[error("this is a backup, which is only read")]
    Sealed,
    /// The operating system failed below the database.
    #[error("reading or writing the catalog failed: {what} (SQLite code {code})")]
    Io {
        /// SQLite's extended result code, such as 1034 for a failed fsync.
        code: i32,
        /// What it says.
        what: String,
    },
    /// The database could not be opened at all.
    #[error("cannot open the catalog at {path}: {what}")]
    CannotOpen {
        /// The file.
        path: String,
        /// Why.
        what: String,
    },
    /// Any other failure of SQLite.
    #[cfg(feature = "sqlite")]
    #[error("the catalog's database failed")]
    Database {
        /// What it says.
        #[source]
        source: rusqlite::Error,
    },
}

impl CatalogError {
    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy)
    }

    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Interrupted | Self::Conflict { .. } => ErrorCode::Conflict,
            Self::Busy => ErrorCode::Unavailable,
            Self::NewerFormat { .. } => ErrorCode::NewerFormat,
            Self::OlderFormat { .. } => ErrorCode::OlderFormat,
            Self::Damaged { .. } => ErrorCode::Corrupt,
            Self::NoSpace => ErrorCode::NoSpace,
            Self::ReadOnly | Self::Sealed => ErrorCode::Forbidden,
            Self::Io { .. } | Self::CannotOpen { .. } => ErrorCode::Io,
            #[cfg(feature = "sqlite")]
            Self::Database { .. } => ErrorCode::Io,
        }
    }
}
