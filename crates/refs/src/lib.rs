//! External references: entries of an artifact whose bytes stay where they are.
//!
//! A URI is *expanded* into entries with what pins their content (entity tag,
//! length, checksum, …), later *checked* for drift without a download, and
//! *opened* to fetch the pinned content. One [`Handler`] per kind of URI knows
//! how; the [`Registry`] picks it. This crate has [`FileHandler`] and
//! [`HttpHandler`]; URIs that no handler claims are tracked by their text alone.
//!
//! Shape: handlers yield streams, so that a prefix of a million objects needs no
//! memory for a million entries, and bodies never exceed what was declared.
//! Every URI passes [`ReferenceUri`], which refuses credentials, so that whatever
//! is stored, logged or shown from here on is free of them. Clock, randomness
//! and waiting come from a [`Pacer`], credentials from [`Credentials`]: both are
//! the caller's.
//!
//! It refuses to run in a server (nothing there may resolve a user's URI), to
//! send credentials to another origin than the one they were looked up for, to
//! follow a redirect from a public to a private address, to plain text or to
//! `file:`, to read the environment (no proxy variables, no `~/.netrc`: callers
//! pass them in), and to cut a long listing silently.
//!
//! ```
//! use futures::TryStreamExt;
//! use heirloom_refs::{ExpandOptions, FileHandler, OpenOptions, ReferenceUri, Registry, VerifyingBody};
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let dir = tempfile::tempdir()?;
//! std::fs::write(dir.path().join("model.h5"), b"weights")?;
//!
//! let registry = Registry::new().with(FileHandler::new());
//! let uri = ReferenceUri::from_path(&dir.path().join("model.h5"))?;
//! let entries = registry.expand_all(&uri, &ExpandOptions::default()).await?;
//! let (path, reference) = &entries[0];
//! assert_eq!((path.as_str(), reference.size), ("model.h5", Some(7)));
//!
//! let opened = registry.open(reference, &OpenOptions::default()).await?;
//! let mut body = VerifyingBody::new(reference, opened);
//! while let Some(piece) = body.try_next().await? {
//!     assert_eq!(&piece[..], b"weights");
//! }
//! assert!(body.verification().is_some_and(|v| v.is_proven()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).map_err(|e| e.to_string())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod credentials;
mod error;
mod file;
mod handler;
mod http;
mod pace;
mod registry;
mod uri;
mod verify;

pub use credentials::{Credential, Credentials, Netrc, NetrcError, NoCredentials, Origin};
pub use error::{RedirectProblem, RefsError};
pub use file::FileHandler;
pub use handler::{
    BodyStream, CheckOutcome, DEFAULT_MAX_OBJECTS, EntryStream, ExpandOptions, Expanded, Handler,
    OpenOptions, Opened, PinKind, UnknownWhy, compare_pins, etags_agree, is_strong_etag,
};
pub use http::{HttpHandler, HttpOptions, is_private_address};
pub use pace::{Pacer, RetryPolicy, TokioPacer};
pub use registry::Registry;
pub use uri::{CredentialPlace, ReferenceUri, UriError};
pub use verify::{Unverified, Verification, VerifyingBody};
