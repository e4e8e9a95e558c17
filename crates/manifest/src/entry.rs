//! Entries: what a logical path names.

use crate::digest::{BlobId, Digest};

/// Longest URI of a reference, in bytes.
pub const MAX_URI_BYTES: usize = 8192;

/// Longest value of a text pin (ETag, version id, generation), in bytes.
pub const MAX_PIN_BYTES: usize = 1024;

/// Most checksums in one reference: one per algorithm is all that makes sense.
pub const MAX_CHECKSUMS: usize = 8;

/// What a path of an artifact names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Entry {
    /// A file whose bytes the store holds.
    File {
        /// The content.
        blob: BlobId,
        /// Length in bytes.
        size: u64,
    },
    /// Bytes that stay where they are, named by a URI.
    Reference(Reference),
    /// A directory without entries of its own.
    EmptyDirectory,
}

impl Entry {
    /// Bytes that the entry stands for: a file's length, a reference's size
    /// where known, else 0.
    pub fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Reference(reference) => reference.size.unwrap_or(0),
            Self::EmptyDirectory => 0,
        }
    }

    /// The blob of a file entry.
    pub fn blob(&self) -> Option<&BlobId> {
        match self {
            Self::File { blob, .. } => Some(blob),
            _ => None,
        }
    }
}

/// An external object, and what pins the content it had when it was added.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Reference {
    /// The URI as given, without credentials; at most [`MAX_URI_BYTES`].
    pub uri: String,
    /// Length in bytes, where the scheme tells it.
    pub size: Option<u64>,
    /// Entity tag as the server sent it, quotes and `W/` included for HTTP.
    pub etag: Option<String>,
    /// Version id of the object in a versioned bucket.
    pub version_id: Option<String>,
    /// Generation of a Google Cloud Storage object, in decimal.
    pub generation: Option<String>,
    /// URI reached after redirects, when it differs from `uri`.
    pub final_uri: Option<String>,
    /// Checksums that the store told or we computed; ascending by algorithm,
    /// at most one each.
    pub checksums: Vec<Digest>,
}

impl Reference {
    /// A reference pinned by nothing but its URI.
    pub fn new(uri: impl Into<String>) -> Self {
        Self { uri: uri.into(), ..Self::default() }
    }

    /// Whether anything beyond the URI tells one content from another.
    pub fn is_pinned(&self) -> bool {
        self.etag.is_some()
            || self.version_id.is_some()
            || self.generation.is_some()
            || !self.checksums.is_empty()
    }
}
