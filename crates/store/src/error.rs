//! What can go wrong, by what a caller does about it.

use std::io;
use std::path::{Path, PathBuf};

use heirloom_manifest::BlobId;

use crate::key::{ObjectKey, PackId};

/// Why an operation on a store failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No object has this key.
    #[error("object {key} does not exist")]
    NotFound {
        /// The key asked for.
        key: ObjectKey,
    },
    /// The object exists and breaks its format: it is damaged, or was not made
    /// by this software.
    #[error("object {key} is damaged: {fault}")]
    Corrupt {
        /// The damaged object.
        key: ObjectKey,
        /// The first rule it breaks.
        #[source]
        fault: Fault,
    },
    /// The object is whole and uses something that this version does not know.
    #[error("object {key} needs a newer version: {fault}")]
    Unsupported {
        /// The object.
        key: ObjectKey,
        /// What is not known.
        #[source]
        fault: Fault,
    },
    /// Bytes do not hash to the id they were stored or announced under.
    #[error("bytes{} hash to {actual}, expected {expected}", of_object(.key))]
    DigestMismatch {
        /// The object read, or `None` when the bytes came from the caller.
        key: Option<ObjectKey>,
        /// The id that the bytes should have.
        expected: BlobId,
        /// The id that they have.
        actual: BlobId,
    },
    /// A source has another length than announced: it changed meanwhile.
    #[error("the source has {actual} bytes, expected {expected}")]
    SizeMismatch {
        /// Bytes announced.
        expected: u64,
        /// Bytes found; when the source went on past `expected`, as many as
        /// were seen before giving up.
        actual: u64,
    },
    /// A range does not lie inside the object.
    #[error("bytes {start}..{end} do not lie inside object {key} of {size} bytes")]
    OutOfRange {
        /// The object.
        key: ObjectKey,
        /// First byte asked for.
        start: u64,
        /// One past the last byte asked for.
        end: u64,
        /// Length of the object.
        size: u64,
    },
    /// A blob is too long to be held in memory or in a pack; it has to be a
    /// whole object, and be streamed.
    #[error("a blob of {size} bytes is longer than {limit} bytes")]
    TooLarge {
        /// Length of the blob.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The disk or the quota is full. Nothing was published.
    #[error("no space left: cannot {op} {}", path.display())]
    NoSpace {
        /// What was tried.
        op: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The store cannot be written to: read-only, or not ours to write.
    #[error("not writable: cannot {op} {}", path.display())]
    ReadOnly {
        /// What was tried.
        op: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Any other failure of input or output.
    #[error("cannot {op} {}", path.display())]
    Io {
        /// What was tried.
        op: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether the same call may succeed when repeated as it is. A failed flush
    /// never is: the system may have dropped the dirty pages, so a second flush
    /// that succeeds proves nothing. The whole put has to be repeated.
    pub fn is_retryable(&self) -> bool {
        use io::ErrorKind as K;
        match self {
            Self::Io { op, source, .. } => {
                *op != FLUSH
                    && matches!(
                        source.kind(),
                        K::Interrupted | K::TimedOut | K::WouldBlock | K::ResourceBusy
                    )
            }
            _ => false,
        }
    }

    /// Whether stored bytes are known to be damaged, as opposed to absent or
    /// not reachable.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::DigestMismatch { key: Some(_), .. })
    }

    /// Sorts a system error by what a caller does about it.
    pub(crate) fn io(op: &'static str, path: &Path, source: io::Error) -> Self {
        use io::ErrorKind as K;
        let path = path.to_path_buf();
        match source.kind() {
            K::StorageFull | K::QuotaExceeded => Self::NoSpace { op, path, source },
            K::ReadOnlyFilesystem => Self::ReadOnly { op, path, source },
            K::PermissionDenied if op != OPEN && op != READ => Self::ReadOnly { op, path, source },
            _ => Self::Io { op, path, source },
        }
    }

    pub(crate) fn faulty(key: ObjectKey, fault: Fault) -> Self {
        match fault {
            Fault::UnknownCodec { .. } | Fault::UnknownKind { .. } | Fault::UnknownKeyId { .. } => {
                Self::Unsupported { key, fault }
            }
            _ => Self::Corrupt { key, fault },
        }
    }
}

pub(crate) const OPEN: &str = "open";
pub(crate) const READ: &str = "read";
pub(crate) const FLUSH: &str = "flush";

fn of_object(key: &Option<ObjectKey>) -> String {
    key.map(|key| format!(" of object {key}")).unwrap_or_default()
}

/// The rule of `docs/format.md` §4 that bytes break.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The object is shorter than the smallest pack, or than its own footer says.
    #[error("it is cut short")]
    TooShort,
    /// The first or the last eight bytes are not those of a pack.
    #[error("it does not start and end as a pack does")]
    BadMagic,
    /// The footer's numbers do not describe an object of this length.
    #[error("its footer does not fit its length")]
    BadFooter,
    /// Bytes that have to be zero are not.
    #[error("reserved bytes are not zero")]
    ReservedNotZero,
    /// The index hashes to another id than the object is named by.
    #[error("its index has the id {actual}, the name says {expected}")]
    WrongPackId {
        /// The id in the key or footer.
        expected: PackId,
        /// The hash of the index.
        actual: PackId,
    },
    /// The records are not strictly ascending by blob id.
    #[error("the index is not strictly ascending by blob id")]
    NotAscending,
    /// Stored bytes overlap, leave a gap or leave the space before the index.
    #[error("the blobs do not fill the space from {offset} on exactly once")]
    NotContiguous {
        /// Where the next blob should start.
        offset: u64,
    },
    /// A record's two lengths cannot belong to its codec.
    #[error("blob {blob}: {stored} stored bytes cannot stand for {raw} with its codec")]
    BadLengths {
        /// The blob.
        blob: BlobId,
        /// Stored length.
        stored: u64,
        /// Raw length.
        raw: u64,
    },
    /// The record's blob is longer than packs may hold.
    #[error("blob {blob} of {raw} bytes is too long for a pack")]
    BlobTooLarge {
        /// The blob.
        blob: BlobId,
        /// Raw length.
        raw: u64,
    },
    /// Stored bytes are not one zstd frame of the recorded length.
    #[error("blob {blob} is not one valid zstd frame")]
    BadFrame {
        /// The blob.
        blob: BlobId,
    },
    /// A codec that this version does not know.
    #[error("blob {blob} has the unknown codec {codec}")]
    UnknownCodec {
        /// The blob.
        blob: BlobId,
        /// The codec's number.
        codec: u8,
    },
    /// A kind of blob that this version does not know.
    #[error("blob {blob} is of the unknown kind {kind}")]
    UnknownKind {
        /// The blob.
        blob: BlobId,
        /// The kind's number.
        kind: u8,
    },
    /// A key id other than 0, "not encrypted".
    #[error("blob {blob} is encrypted with the unknown key {key_id}")]
    UnknownKeyId {
        /// The blob.
        blob: BlobId,
        /// The key's number.
        key_id: u16,
    },
    /// What has the object's name is a directory, link or special file.
    #[error("it is not a regular file")]
    NotAFile,
}
