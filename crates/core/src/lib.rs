//! The words that every layer above shares, without I/O: validated names (and
//! the [`nearest()`] to a mistyped one), [`ArtifactRef`], ids, versions' numbers,
//! runs, [`Caller`], keys of idempotency and stable [`ErrorCode`]s.
//!
//! Each type is built only by its validator, so that whoever holds one need not
//! check again. Nothing here reads a clock, a file or the environment: callers
//! pass time, ids and randomness in.
//!
//! ```
//! use heirloom_core::{ArtifactRef, Selector};
//! let reference: ArtifactRef = "vision/animals:v3".parse()?;
//! assert_eq!(reference.project().map(|p| p.as_str()), Some("vision"));
//! assert_eq!(reference.name().as_str(), "animals");
//! assert!(matches!(reference.selector(), Selector::Index(index) if index.get() == 3));
//! # Ok::<(), heirloom_core::RefError>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod caller;
mod code;
mod id;
mod name;
mod nearest;
mod policy;
mod reference;
mod run;
mod time;

pub use caller::{Authority, Caller, Grant, Role};
pub use code::ErrorCode;
pub use id::{
    CollectionId, DraftId, IdempotencyKey, KeyError, PartSetId, ProjectId, RunId, Scope, VersionId,
    VersionIndex,
};
pub use name::{
    Alias, ArtifactName, ArtifactType, EntityName, NameError, ProjectName, RunName, Tag,
};
pub use nearest::{distance, nearest};
pub use policy::{OnConflict, Retention};
pub use reference::{ArtifactRef, RefError, Selector};
pub use run::{Provenance, RunState};
pub use time::{Timestamp, Ttl, TtlError, parse_duration};
