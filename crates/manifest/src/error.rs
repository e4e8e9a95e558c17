//! Errors: what broke a rule of the format, and where.

use crate::digest::NodeId;
use crate::path::LogicalPath;

/// A rule of the manifest format that bytes, an entry or an edit broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Node bytes of a format version that this code does not know: newer
    /// software wrote them.
    #[error("manifest node of format version {found}; this software reads version 1")]
    UnknownVersion {
        /// The version byte found.
        found: u8,
    },
    /// Node bytes that are not the one canonical encoding of anything.
    #[error("malformed manifest node at byte {at}: {reason}")]
    Malformed {
        /// Offset of the first byte that cannot be accepted.
        at: usize,
        /// The broken rule.
        reason: &'static str,
    },
    /// An entry that the format cannot hold.
    #[error("entry `{}`: {reason}", path.escaped())]
    InvalidEntry {
        /// The entry's path.
        path: LogicalPath,
        /// The broken rule.
        reason: &'static str,
    },
    /// The same path twice.
    #[error("path `{}` occurs twice", path.escaped())]
    Duplicate {
        /// The path.
        path: LogicalPath,
    },
    /// Paths must come in ascending byte order.
    #[error("path `{}` comes after `{}`, but must come before it", path.escaped(), after.escaped())]
    OutOfOrder {
        /// The path that came too late.
        path: LogicalPath,
        /// The greater path that came before it.
        after: LogicalPath,
    },
    /// An entry lies below a path that is an entry itself.
    #[error("`{}` is an entry, so `{}` cannot lie below it", file.escaped(), below.escaped())]
    FileAsDirectory {
        /// The entry used as a directory: a file, a reference or an empty directory.
        file: LogicalPath,
        /// The entry below it.
        below: LogicalPath,
    },
    /// An edit removes a path that is not there.
    #[error("path `{}` is not in the manifest", path.escaped())]
    Missing {
        /// The path.
        path: LogicalPath,
    },
    /// The sizes of all entries add up to more than 2⁶³ − 1.
    #[error("the entries' sizes add up to more than 63 bits can hold")]
    TooLarge,
}

/// Why a node that a source supplied was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The bytes hash to another id.
    #[error("its bytes hash to {actual}")]
    WrongBytes {
        /// The id of the bytes supplied.
        actual: NodeId,
    },
    /// The bytes are not a canonical node, or entries break a rule of the manifest.
    #[error(transparent)]
    Invalid(#[from] ManifestError),
    /// The node is not what the record in its parent says.
    #[error("its {what} is not what its parent records")]
    Mismatch {
        /// What differs: `level`, `last path`, `entry count` or `size`.
        what: &'static str,
    },
    /// The node's first path does not come after the last path of the node before.
    #[error("its first path does not come after the node before it")]
    Overlap,
    /// An inner root with a single child, or an empty node that is not the root.
    #[error("a node of this shape cannot stand here")]
    Shape,
    /// The nodes do not end where the format says. The entries may be readable,
    /// but the same entries have another id.
    #[error("its boundaries are not canonical; the same entries give the root {canonical}")]
    NotCanonical {
        /// The root of the canonical tree.
        canonical: NodeId,
    },
}

/// Why reading a tree stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError<E> {
    /// The caller's [`NodeSource`](crate::NodeSource) failed.
    #[error("a manifest node could not be read: {0}")]
    Source(#[source] E),
    /// The source supplied bytes that cannot be accepted.
    #[error("manifest node {node} is damaged: {reason}")]
    Damaged {
        /// The node asked for.
        node: NodeId,
        /// What is wrong with it.
        reason: Damage,
    },
}

/// Why building a tree stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError<E> {
    /// The caller's [`NodeSink`](crate::NodeSink) failed.
    #[error("a manifest node could not be written: {0}")]
    Sink(#[source] E),
    /// The entries break a rule.
    #[error(transparent)]
    Invalid(#[from] ManifestError),
}

/// Why editing a tree stopped; `R` is the source's error and `W` the sink's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError<R, W> {
    /// Reading the base failed.
    #[error(transparent)]
    Read(#[from] ReadError<R>),
    /// The caller's [`NodeSink`](crate::NodeSink) failed.
    #[error("a manifest node could not be written: {0}")]
    Sink(#[source] W),
    /// The edits break a rule, or do so together with the base.
    #[error(transparent)]
    Invalid(ManifestError),
}

impl<R, W> From<BuildError<W>> for PatchError<R, W> {
    fn from(error: BuildError<W>) -> Self {
        match error {
            BuildError::Sink(error) => Self::Sink(error),
            BuildError::Invalid(error) => Self::Invalid(error),
        }
    }
}
