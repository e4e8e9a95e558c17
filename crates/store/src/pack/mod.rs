//! Packs: many small blobs in one object, with an index at its end.
//!
//! The bytes are those of `docs/format.md` §4. [`format`] knows records and
//! footer, [`index`] a whole index and what has to hold in it, [`writer`] and
//! [`reader`] join them with objects.

pub(crate) mod format;
pub(crate) mod index;
pub(crate) mod reader;
pub(crate) mod writer;

pub use format::{Codec, Kind, MAX_PACKED_BLOB, PACK_TARGET_SIZE, PackRecord, WHOLE_FROM};
pub use index::PackIndex;
pub use reader::PackReader;
pub use writer::{FinishedPack, PackOptions, PackWriter};
