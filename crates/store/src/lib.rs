//! Objects of a Heirloom repository: kept, published atomically, read verified.
//!
//! An *object* is either a **whole** blob, named by its BLAKE3 hash, or a
//! **pack** of many small blobs with an index, named by the hash of that index.
//! Both are written once and never change. The bytes are specified in
//! `docs/format.md` §4 and §5.
//!
//! # Shape
//!
//! [`Store`] is the seam: a few methods, blocking, about objects as opaque bytes
//! under an [`ObjectKey`]. [`LocalStore`] keeps them in a directory,
//! [`MemoryStore`] in memory; others (S3, Azure) have the same contract, which
//! the `conformance` module (feature `conformance`) checks. Everything that
//! understands the bytes is written once on top of it: [`WholeWriter`],
//! [`put_file`], [`VerifiedReader`] and [`stream_whole`] for whole objects,
//! [`PackWriter`] and [`PackReader`] for packs, [`read_many`] for blobs whose
//! [`Extent`] the caller remembers, [`scan`] to rebuild those, [`consolidate`]
//! to join packs or to leave out what is dead in one. Blocking, because hashing, files and databases are; a cloud
//! implementation drives its client on a runtime of its own
//! (`docs/adr/0002-blocking-store.md`).
//!
//! Bytes get a name only from a hash that was computed here, from the bytes that
//! were stored; and they are handed out only after comparing it. The two
//! exceptions, a stream before its end and a range of a whole object, say so.
//!
//! # What it refuses to do
//!
//! It knows no projects, versions or leases, never decides what may be deleted,
//! keeps no cache, looks at no clock, and does not repeat a failed flush. Local
//! objects are never handed out by hard link. Unix only.
//!
//! # Example
//!
//! ```
//! use heirloom_store::{Extent, Kind, MemoryStore, PackOptions, PackWriter, StoreExt, read_many};
//!
//! let store = MemoryStore::new();
//! let model = store.put_bytes(&vec![7; 2 << 20])?; // a whole object
//!
//! let mut writer = PackWriter::new(&store, PackOptions::default())?;
//! let a = writer.add(Kind::Content, b"first")?;
//! let b = writer.add(Kind::Content, b"second")?;
//! let pack = writer.finish()?.expect("two blobs were added");
//!
//! let mut places: Vec<Extent> =
//!     pack.records.iter().map(|record| Extent::packed(pack.id, record)).collect();
//! places.push(Extent::whole(model.id, model.size));
//! let mut bytes = 0;
//! read_many(&store, &mut places, |_, blob| {
//!     bytes += blob?.len();
//!     Ok::<(), heirloom_store::StoreError>(())
//! })?;
//! assert_eq!(bytes, (2 << 20) + 11);
//! # Ok::<(), heirloom_store::StoreError>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod consolidate;
mod disk;
mod error;
mod extent;
mod key;
mod local;
mod memory;
mod pack;
mod scan;
mod store;
mod whole;

#[cfg(test)]
mod tests;

pub use consolidate::{Consolidated, Moved, Unread, consolidate};
pub use error::{Fault, StoreError};
pub use extent::{Extent, HasExtent, open_range, read_blob, read_many};
pub use key::{InvalidKey, ObjectKey, PackId};
pub use local::{Cleaned, LocalStore};
pub use memory::MemoryStore;
pub use pack::{
    Codec, FinishedPack, Kind, MAX_PACKED_BLOB, PACK_TARGET_SIZE, PackIndex, PackOptions,
    PackReader, PackRecord, PackWriter, WHOLE_FROM,
};
pub use scan::{Scan, Scanned, Verified, is_sound, scan, verify_object};
pub use store::{
    Capabilities, Existing, Found, Freed, Hold, ObjectInfo, ObjectReader, Page, Published,
    StagedClone, Store, StoreExt, Upload, Walk, Withdrawn, check_range,
};
pub use whole::{StoredBlob, VerifiedReader, WholeWriter, put_file, stream_whole};
