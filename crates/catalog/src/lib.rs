//! The catalog of a Heirloom repository: names, versions, aliases, runs, lineage
//! edges, and where the bytes of blobs are.
//!
//! Three parts, kept apart so that each can be trusted by itself:
//!
//! - [`rules`]: what every operation changes, decided by pure functions from one
//!   snapshot. They are written once and shared by all databases.
//! - [`View`], [`Edit`], [`Catalog`]: the trait. One snapshot to read, and edits
//!   that are applied all or none, so that a version, its number, its aliases and
//!   its edge appear together or not at all.
//! - [`MemoryCatalog`] and `SqliteCatalog` (feature `sqlite`): implementations
//!   without opinions. The feature `conformance` has the suite that they pass.
//!
//! The catalog never reads a clock, draws no random ids, and knows nothing of
//! who may do what: time, ids and actors come with each request, and rights are
//! checked by the repository above. It never touches a stored object.
//!
//! ```
//! use heirloom_catalog::rules::{EnsureProject, Refusal, ensure_project};
//! use heirloom_catalog::{CatalogExt, MemoryCatalog};
//! use heirloom_core::{EntityName, ProjectId, ProjectName, Timestamp};
//!
//! let catalog = MemoryCatalog::new();
//! let project = catalog.transact(|view| {
//!     let decision = ensure_project(view, &EnsureProject {
//!         entity: &EntityName::local(),
//!         name: &ProjectName::default_name(),
//!         id: ProjectId(1),
//!         at: Timestamp::from_micros(0),
//!     })?;
//!     Ok::<_, Refusal>(decision.into_parts())
//! })?;
//! assert_eq!(project.id, ProjectId(1));
//! # Ok::<(), Refusal>(())
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "sqlite")]
mod checksum;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod memory;
mod row;
pub mod rules;
#[cfg(feature = "sqlite")]
mod sqlite;
mod view;

pub use error::CatalogError;
pub use memory::MemoryCatalog;
pub use row::{
    AliasRow, CollectionKind, CollectionRow, DraftRow, EdgeKind, EdgeRow, EventKind, EventRow,
    JournalRow, Location, MembershipRow, ObjectNumber, ObjectRow, ObjectState, OperationRow,
    PartRow, PartSetRow, PartSetState, PlacedBlob, ProjectRow, Root, RunRow, TagRow, VersionRow,
    VersionState,
};
#[cfg(feature = "sqlite")]
pub use sqlite::{CatalogFile, OpenMode, SCHEMA, SnapshotTotals, SqliteCatalog, SqliteOptions};
pub use view::{Catalog, CatalogExt, Edit, Order, Result, Totals, View};
