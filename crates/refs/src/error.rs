//! What can go wrong with an external reference.

use std::io;
use std::time::Duration;

use heirloom_core::ErrorCode;
use heirloom_manifest::{Digest, PathError};

use crate::handler::PinKind;
use crate::uri::UriError;

/// An error about one external reference. Every variant but
/// [`RefsError::Uri`] names the URI; none ever holds credentials, because a URI
/// that carries them is refused before it gets anywhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefsError {
    /// The text is not an acceptable URI. It is not repeated: it may hold a secret.
    #[error("the URI was refused: {0}")]
    Uri(#[from] UriError),
    /// The URI gives no name for the entry; pass one.
    #[error("{uri}: the URI does not end in a name; give the entry a name")]
    NameNeeded {
        /// The URI.
        uri: String,
    },
    /// A name below the URI cannot be a path in an artifact.
    #[error("{uri}: the name `{}` cannot be used: {source}", .name.escape_debug())]
    BadName {
        /// The URI.
        uri: String,
        /// The name as found.
        name: String,
        /// The rule it breaks.
        source: PathError,
    },
    /// No handler opens URIs of this scheme.
    #[error(
        "{uri}: references with the scheme `{scheme}` are tracked by their URI alone and cannot be opened"
    )]
    NoHandler {
        /// The URI.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// There are more objects than asked for; nothing was added.
    #[error(
        "{uri}: holds at least {at_least} objects, more than the limit of {limit}; raise `max_objects` to add them all"
    )]
    TooManyObjects {
        /// The URI.
        uri: String,
        /// Objects counted before stopping.
        at_least: u64,
        /// [`ExpandOptions::max_objects`](crate::ExpandOptions::max_objects).
        limit: u64,
    },
    /// Nothing is there.
    #[error("{uri}: not found")]
    NotFound {
        /// The URI.
        uri: String,
    },
    /// The source does not let us read it.
    #[error("{uri}: access denied (status {status}{})", if *.authenticated { ", although credentials were sent" } else { ", no credentials were sent" })]
    Denied {
        /// The URI.
        uri: String,
        /// HTTP status: 401, 403 or 407.
        status: u16,
        /// Whether credentials were sent.
        authenticated: bool,
    },
    /// The content is no longer the pinned one.
    #[error("{uri}: changed since it was added: {what} was {expected}, now {found}")]
    Drifted {
        /// The URI.
        uri: String,
        /// What tells the difference.
        what: PinKind,
        /// The pinned value.
        expected: String,
        /// The value found.
        found: String,
    },
    /// The bytes received do not have the pinned checksum.
    #[error("{uri}: the bytes received have digest {actual}, pinned was {expected}")]
    DigestMismatch {
        /// The URI.
        uri: String,
        /// The pinned checksum.
        expected: Digest,
        /// The checksum of what was received.
        actual: Digest,
    },
    /// The body ended early and could not be resumed safely.
    #[error("{uri}: the body ended after {received} bytes{}", .expected.map_or(String::new(), |n| format!(" of {n}")))]
    Truncated {
        /// The URI.
        uri: String,
        /// Position reached, in bytes from the object's start.
        received: u64,
        /// Declared length, where known.
        expected: Option<u64>,
    },
    /// The object is longer than the given cap.
    #[error("{uri}: longer than the limit of {limit} bytes")]
    TooLarge {
        /// The URI.
        uri: String,
        /// [`OpenOptions::max_bytes`](crate::OpenOptions::max_bytes).
        limit: u64,
    },
    /// A position beyond the object's end was asked for.
    #[error("{uri}: position {start} is beyond its end at {size}")]
    BeyondEnd {
        /// The URI.
        uri: String,
        /// First byte asked for.
        start: u64,
        /// The object's length.
        size: u64,
    },
    /// A redirect was not followed.
    #[error("{uri}: {problem}")]
    Redirect {
        /// The URI that was asked first; where it led may hold secrets.
        uri: String,
        /// Why.
        problem: RedirectProblem,
    },
    /// The source did not answer usefully, though asked several times.
    #[error("{uri}: unavailable after {attempts} attempts: {why}")]
    Unavailable {
        /// The URI.
        uri: String,
        /// Requests made.
        attempts: u32,
        /// The last failure: a status or what the network said.
        why: String,
        /// How long the source asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// A status that is neither content nor worth another attempt.
    #[error("{uri}: the server answered with status {status}")]
    Status {
        /// The URI.
        uri: String,
        /// HTTP status.
        status: u16,
    },
    /// The answer contradicts itself or the protocol.
    #[error("{uri}: the server's answer makes no sense: {why}")]
    Protocol {
        /// The URI.
        uri: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Neither a regular file nor a directory of such.
    #[error("{uri}: is {kind}; only regular files can be referenced")]
    NotRegular {
        /// The URI.
        uri: String,
        /// Such as `a FIFO`.
        kind: &'static str,
    },
    /// The file changed while it was read.
    #[error("{uri}: changed while it was read")]
    ChangedMeanwhile {
        /// The URI.
        uri: String,
    },
    /// The file system failed.
    #[error("{uri}: {source}")]
    Io {
        /// The URI.
        uri: String,
        /// What it said.
        source: io::Error,
    },
    /// The HTTP client could not be set up (proxy address, TLS roots).
    #[error("the HTTP client cannot be set up: {why}")]
    Setup {
        /// What it said.
        why: String,
    },
}

impl RefsError {
    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Truncated { .. } | Self::ChangedMeanwhile { .. }
        )
    }

    /// The stable code of this error. Drift and wrong bytes count as damage.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Denied { .. } => ErrorCode::Forbidden,
            Self::Drifted { .. } | Self::DigestMismatch { .. } => ErrorCode::Corrupt,
            Self::Truncated { .. }
            | Self::Unavailable { .. }
            | Self::ChangedMeanwhile { .. }
            | Self::Status { .. }
            | Self::Protocol { .. } => ErrorCode::Unavailable,
            Self::Io { .. } => ErrorCode::Io,
            Self::Uri(_)
            | Self::NameNeeded { .. }
            | Self::BadName { .. }
            | Self::NoHandler { .. }
            | Self::TooManyObjects { .. }
            | Self::TooLarge { .. }
            | Self::BeyondEnd { .. }
            | Self::Redirect { .. }
            | Self::NotRegular { .. }
            | Self::Setup { .. } => ErrorCode::Invalid,
        }
    }
}

/// Why a redirect was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectProblem {
    /// More hops than allowed.
    #[error("more than {0} redirects")]
    TooMany(usize),
    /// The same URL twice.
    #[error("the redirects go in a circle")]
    Loop,
    /// No `Location`, or one that is no URL.
    #[error("a redirect without a usable target")]
    NoTarget,
    /// To `file:`, `ftp:` or anything else that is not http(s).
    #[error("a redirect to something other than http or https")]
    Scheme,
    /// From https to http.
    #[error("a redirect from https to http")]
    Downgrade,
    /// From a public address to a private or loopback one.
    #[error("a redirect from a public address to a private one")]
    Private,
    /// The target carries a user name or password.
    #[error("a redirect to a URL with a user name or password")]
    Credentials,
}
