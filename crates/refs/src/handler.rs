//! The seam: what a handler of a URI scheme must do.

use std::fmt;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use heirloom_manifest::{Algorithm, LogicalPath, Reference};

use crate::error::RefsError;
use crate::uri::ReferenceUri;

/// [`ExpandOptions::max_objects`] unless told otherwise.
pub const DEFAULT_MAX_OBJECTS: u64 = 10_000;

/// An entry that a URI expands to.
pub type Expanded = (LogicalPath, Reference);

/// Entries as they are found; an error is the last item and voids those before.
pub type EntryStream<'a> = BoxStream<'a, Result<Expanded, RefsError>>;

/// The bytes of an object; an error is the last item.
pub type BodyStream = BoxStream<'static, Result<Bytes, RefsError>>;

/// How a URI is turned into entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpandOptions {
    /// Where the entries land: the path of a single object, the directory above
    /// the objects of a prefix. `None`: the object's own name, or the top.
    pub name: Option<LogicalPath>,
    /// Most objects that a prefix or directory may hold. One more is an error.
    pub max_objects: u64,
    /// Whether to pin the content. If not, the source is not asked at all and
    /// the URI becomes one entry.
    pub checksum: bool,
}

impl Default for ExpandOptions {
    fn default() -> Self {
        Self { name: None, max_objects: DEFAULT_MAX_OBJECTS, checksum: true }
    }
}

/// How an object is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// First byte wanted.
    pub start: u64,
    /// Take what is there now, whatever was pinned.
    pub allow_drift: bool,
    /// Longest object accepted, in bytes from its own start. This is what ends
    /// bodies whose length nobody told.
    pub max_bytes: u64,
}

impl Default for OpenOptions {
    /// From the start, as pinned, at most 1 TiB.
    fn default() -> Self {
        Self { start: 0, allow_drift: false, max_bytes: 1 << 40 }
    }
}

/// An object being read.
pub struct Opened {
    /// The bytes from [`Opened::start`] on: exactly [`Opened::length`] where that
    /// is known, else an error.
    pub body: BodyStream,
    /// Position of the body's first byte in the object.
    pub start: u64,
    /// Bytes that follow, where the source told.
    pub length: Option<u64>,
    /// Pins that the source says still hold, on its word.
    pub confirmed: Vec<PinKind>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("start", &self.start)
            .field("length", &self.length)
            .field("confirmed", &self.confirmed)
            .finish_non_exhaustive()
    }
}

/// One of the things that tell one content of a reference from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PinKind {
    /// Length in bytes.
    Size,
    /// Entity tag.
    ETag,
    /// Version id in a bucket.
    VersionId,
    /// Generation of a Google Cloud Storage object.
    Generation,
    /// Checksum by this algorithm.
    Checksum(Algorithm),
}

impl fmt::Display for PinKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::ETag => "etag",
            Self::VersionId => "version id",
            Self::Generation => "generation",
            Self::Checksum(algorithm) => algorithm.name(),
        })
    }
}

/// What became of a referenced object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckOutcome {
    /// Still the pinned content, by what the source tells.
    Same,
    /// Another content.
    Drifted {
        /// What tells the difference.
        what: PinKind,
        /// The pinned value.
        expected: String,
        /// The value found.
        found: String,
    },
    /// Nothing is there any more.
    Gone,
    /// The source cannot tell.
    Unknown {
        /// Why not.
        why: UnknownWhy,
    },
}

/// Why a check has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownWhy {
    /// No handler knows the scheme.
    #[error("references of this scheme are tracked by their URI alone")]
    NoHandler,
    /// The reference was added without anything that pins its content.
    #[error("nothing but the URI was recorded")]
    NotPinned,
    /// The source no longer tells what was pinned. A length that agrees proves
    /// nothing.
    #[error("the source does not tell what was recorded")]
    NotTold,
}

/// Knows the references of one or several URI schemes.
///
/// Contract, beyond that of each method: no method reads the environment or
/// keeps state on disk; errors name the URI; a dropped future or stream ends the
/// work; calls may run concurrently.
pub trait Handler: Send + Sync {
    /// The schemes, in lower case.
    fn schemes(&self) -> &[&str];

    /// Whether this handler wants `uri`. A handler may claim part of a scheme
    /// that another handles in general, such as https URLs of one vendor.
    fn claims(&self, uri: &ReferenceUri) -> bool {
        self.schemes().contains(&uri.scheme())
    }

    /// The entries that `uri` stands for, in ascending path order, pinned by
    /// what the scheme offers. One object becomes one entry named
    /// [`ExpandOptions::name`], else [`ReferenceUri::default_name`]; what lies
    /// below a prefix or directory keeps its structure, below the name if given.
    ///
    /// Beyond [`ExpandOptions::max_objects`] the stream ends with
    /// [`RefsError::TooManyObjects`], and what it yielded must not be used.
    /// [`ExpandOptions::checksum`] was true: the registry deals with false.
    fn expand<'a>(&'a self, uri: &'a ReferenceUri, options: &'a ExpandOptions) -> EntryStream<'a>;

    /// Compares the object with its pins without fetching its content over a
    /// network. An error means that the source could not be asked.
    fn check<'a>(
        &'a self,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<CheckOutcome, RefsError>>;

    /// Opens the pinned content. [`RefsError::Drifted`] comes before any byte
    /// where the source tells; the body never exceeds the declared size or
    /// [`OpenOptions::max_bytes`]. Checksums are for
    /// [`VerifyingBody`](crate::VerifyingBody).
    fn open<'a>(
        &'a self,
        reference: &'a Reference,
        options: &'a OpenOptions,
    ) -> BoxFuture<'a, Result<Opened, RefsError>>;
}

/// Compares the pins of `expected` with what the source told of the object now.
///
/// Checksums in common decide; else any pin in both that differs is drift, and
/// one beyond the size that agrees means the same. `final_uri` does not count.
pub fn compare_pins(expected: &Reference, found: &Reference) -> CheckOutcome {
    let drift =
        |what, expected: String, found: String| CheckOutcome::Drifted { what, expected, found };
    let mut agreed = false;
    for checksum in &expected.checksums {
        let other = found.checksums.iter().find(|other| other.algorithm() == checksum.algorithm());
        match other {
            Some(other) if other != checksum => {
                let what = PinKind::Checksum(checksum.algorithm());
                return drift(what, checksum.to_string(), other.to_string());
            }
            Some(_) => agreed = true,
            None => {}
        }
    }
    if agreed {
        return CheckOutcome::Same;
    }
    if let (Some(expected), Some(found)) = (expected.size, found.size)
        && expected != found
    {
        return drift(PinKind::Size, expected.to_string(), found.to_string());
    }
    let texts = [
        (PinKind::ETag, &expected.etag, &found.etag),
        (PinKind::VersionId, &expected.version_id, &found.version_id),
        (PinKind::Generation, &expected.generation, &found.generation),
    ];
    for (what, expected, found) in texts {
        if let (Some(expected), Some(found)) = (expected, found) {
            let same = if what == PinKind::ETag {
                etags_agree(expected, found)
            } else {
                expected == found
            };
            if !same {
                return drift(what, expected.clone(), found.clone());
            }
            agreed = true;
        }
    }
    match (agreed, expected.is_pinned()) {
        (true, _) => CheckOutcome::Same,
        (false, true) => CheckOutcome::Unknown { why: UnknownWhy::NotTold },
        (false, false) => CheckOutcome::Unknown { why: UnknownWhy::NotPinned },
    }
}

/// The weak comparison of RFC 9110 §8.8.3.2: equal but for `W/`. Enough to say
/// "not changed", not enough to join bytes of two answers.
pub fn etags_agree(one: &str, other: &str) -> bool {
    one.strip_prefix("W/").unwrap_or(one) == other.strip_prefix("W/").unwrap_or(other)
}

/// Whether the entity tag promises equal bytes (RFC 9110 §8.8.1), and is well
/// formed, so that conditions may be built on it.
pub fn is_strong_etag(etag: &str) -> bool {
    etag.len() >= 2
        && etag.starts_with('"')
        && etag.ends_with('"')
        && !etag[1..etag.len() - 1].contains('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use heirloom_manifest::BlobId;

    #[test]
    fn pins_decide_in_order_of_strength() {
        let pinned = Reference {
            size: Some(3),
            etag: Some("\"a\"".into()),
            checksums: vec![BlobId::of(b"abc").into()],
            ..Reference::new("x://y")
        };
        let mut found = Reference { etag: Some("\"b\"".into()), ..pinned.clone() };
        assert_eq!(compare_pins(&pinned, &found), CheckOutcome::Same, "the checksum agrees");
        found.checksums.clear();
        assert!(matches!(
            compare_pins(&pinned, &found),
            CheckOutcome::Drifted { what: PinKind::ETag, .. }
        ));
        found.etag = Some("W/\"a\"".into());
        assert_eq!(compare_pins(&pinned, &found), CheckOutcome::Same);
        found.etag = None;
        let unknown = |why| CheckOutcome::Unknown { why };
        assert_eq!(compare_pins(&pinned, &found), unknown(UnknownWhy::NotTold));
        found.size = Some(4);
        assert!(matches!(
            compare_pins(&pinned, &found),
            CheckOutcome::Drifted { what: PinKind::Size, .. }
        ));
        assert_eq!(compare_pins(&Reference::new("x://y"), &pinned), unknown(UnknownWhy::NotPinned));
    }

    #[test]
    fn strong_tags_are_quoted_and_not_weak() {
        assert!(is_strong_etag("\"a\"") && is_strong_etag("\"\""));
        for weak in ["W/\"a\"", "a", "\"", "\"a\"b\"", ""] {
            assert!(!is_strong_etag(weak), "{weak}");
        }
    }
}
