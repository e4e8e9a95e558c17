//! Digests, logical paths, entries and the hash tree of a manifest.
//!
//! A *manifest* is a sorted map from [`LogicalPath`] to [`Entry`]: what a version
//! of an artifact consists of. It is kept as a tree of *nodes* whose boundaries
//! depend on the paths alone, so that the same entries have one digest however
//! they were inserted, and two manifests share every node in which they do not
//! differ. Building, [looking up](Tree::lookup), [comparing](Diff),
//! [editing](Patcher) and [merging](Merge) therefore cost what differs, and none
//! of them holds more than a node per level in memory.
//!
//! The bytes are specified in `docs/format.md`, sections 1 to 3.
//!
//! # What this crate refuses to do
//! - Any I/O. A [`NodeSource`] is asked for nodes, a [`NodeSink`] takes them; see
//!   `docs/adr/0001-node-source.md`.
//! - To trust what it is given: node bytes must be canonical, hash to the id
//!   asked for and be what their parent says. Paths are refused, never cleaned up.
//! - To read or write serde output as stored bytes; digests and paths implement
//!   serde as text, for the documents of other crates.
//!
//! # Example
//! ```
//! use heirloom_manifest::{BlobId, Edit, Entry, MemoryNodes, Tree, TreeBuilder, patch};
//!
//! let file = |content: &[u8]| Entry::File {
//!     blob: BlobId::of(content),
//!     size: content.len() as u64,
//! };
//! let mut nodes = MemoryNodes::new();
//! let mut builder = TreeBuilder::new(&mut nodes);
//! builder.push(&"images/cat.png".parse()?, &file(b"cat"))?;
//! builder.push(&"images/dog.png".parse()?, &file(b"dog"))?;
//! let v0 = builder.finish()?;
//!
//! let edits = [("images/bird.png".parse()?, Edit::Put(file(b"bird")))];
//! let mut new = MemoryNodes::new();
//! let v1 = patch(&mut nodes, &v0.root, edits, &mut new)?.tree;
//! assert_eq!(v1.entries, 3);
//! assert_ne!(v1.manifest, v0.manifest);
//!
//! let mut tree = Tree::new(&mut new, v1.root);
//! let paths = tree.entries().map(|entry| Ok(entry?.0.to_string()));
//! assert_eq!(
//!     paths.collect::<Result<Vec<_>, Box<dyn std::error::Error>>>()?,
//!     ["images/bird.png", "images/cat.png", "images/dog.png"],
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ancestors;
mod build;
mod codec;
mod diff;
mod digest;
mod entry;
mod error;
mod fresh;
mod merge;
mod node;
mod nodes;
mod params;
mod patch;
mod path;
mod read;
mod walk;

#[cfg(test)]
mod tests;

pub use build::TreeBuilder;
pub use diff::{Change, ChangeKind, Diff, MAX_RENAME_CANDIDATES, Rename, Renamed, Renames};
pub use digest::{
    Algorithm, BlobHasher, BlobId, Digest, DigestError, MANIFEST_HEADER, ManifestId, NodeId,
};
pub use entry::{Entry, MAX_CHECKSUMS, MAX_PIN_BYTES, MAX_URI_BYTES, Reference};
pub use error::{BuildError, Damage, ManifestError, PatchError, ReadError};
pub use fresh::new_nodes;
pub use merge::{Conflict, EntryConflict, Merge, MergePlan, MergeStep, Side};
pub use node::{Child, Link, MAX_LEVEL, MAX_NODE_BYTES, Node, visit_links};
pub use nodes::{Discard, MemoryNodes, NoSuchNode, NodeSink, NodeSource, TreeSummary, empty_tree};
pub use patch::{Edit, MissingRemove, Patched, Patcher, check_tree, patch};
pub use path::{LogicalPath, MAX_PATH_BYTES, PathError};
pub use read::{DirItem, Entries, ListDir, Range, Tree};
