//! What a store holds, found out from the objects alone.

use crate::error::StoreError;
use crate::extent::{Extent, read_many};
use crate::key::ObjectKey;
use crate::pack::{PackReader, PackRecord};
use crate::store::{Found, Store, StoreExt, Walk};
use crate::whole::stream_whole;
use heirloom_manifest::BlobId;

/// Something found by [`scan`].
#[derive(Debug)]
pub enum Scanned {
    /// A whole object. Its name says which blob it should be.
    Whole {
        /// The blob.
        id: BlobId,
        /// Length in bytes.
        size: u64,
    },
    /// A pack whose index is sound.
    Pack {
        /// Its key.
        key: ObjectKey,
        /// Length of the object in bytes.
        size: u64,
        /// Its blobs, ascending by id.
        records: Vec<PackRecord>,
    },
    /// A pack whose index cannot be read.
    Damaged {
        /// Its key.
        key: ObjectKey,
        /// Why.
        error: StoreError,
    },
    /// A name that is not the key of an object.
    Foreign(String),
}

impl Scanned {
    /// The places of all blobs that this object holds.
    pub fn extents(&self) -> impl Iterator<Item = Extent> + '_ {
        let whole = match self {
            Self::Whole { id, size } => Some(Extent::whole(*id, *size)),
            _ => None,
        };
        let packed = match self {
            Self::Pack { key: ObjectKey::Pack(pack), records, .. } => Some((*pack, records)),
            _ => None,
        };
        whole.into_iter().chain(packed.into_iter().flat_map(|(pack, records)| {
            records.iter().map(move |record| Extent::packed(pack, record))
        }))
    }
}

/// Goes through all objects in key order and reads the index of every pack: the
/// places of all blobs, rebuilt from storage alone. No blob is read or verified.
///
/// The iterator yields an error, and ends, when a listing fails; a pack that
/// cannot be read is an item. A pack deleted meanwhile is left out.
pub fn scan<S: Store + ?Sized>(store: &S) -> Scan<'_, S> {
    Scan { store, walk: store.walk() }
}

/// Iterator of [`scan`].
#[derive(Debug)]
pub struct Scan<'s, S: ?Sized> {
    store: &'s S,
    walk: Walk<'s, S>,
}

impl<S: Store + ?Sized> Iterator for Scan<'_, S> {
    type Item = Result<Scanned, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (key, info) = match self.walk.next()? {
                Ok(Found::Object(key, info)) => (key, info),
                Ok(Found::Foreign(name)) => return Some(Ok(Scanned::Foreign(name))),
                Err(error) => return Some(Err(error)),
            };
            let pack = match key {
                ObjectKey::Whole(id) => return Some(Ok(Scanned::Whole { id, size: info.size })),
                ObjectKey::Pack(pack) => pack,
            };
            return Some(Ok(match PackReader::open(self.store, &pack) {
                Ok(reader) => {
                    let index = reader.into_index();
                    Scanned::Pack { key, size: index.object_size(), records: index.into_records() }
                }
                Err(StoreError::NotFound { .. }) => continue,
                Err(error) => Scanned::Damaged { key, error },
            }));
        }
    }
}

/// What [`verify_object`] found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Blobs that are as they should be.
    pub blobs: u64,
    /// Their raw lengths, summed, in bytes.
    pub bytes: u64,
    /// Blobs that are not, with the reason.
    pub damaged: Vec<(BlobId, StoreError)>,
}

/// Whether the bytes of an object are there and right, all of them: for one that
/// was found under a key, of which only name and length are known to match.
///
/// # Errors
/// I/O errors that say nothing about the bytes.
pub fn is_sound<S: Store + ?Sized>(store: &S, key: &ObjectKey) -> Result<bool, StoreError> {
    match verify_object(store, key) {
        Ok(verified) => Ok(verified.damaged.is_empty()),
        Err(error) if error.is_damage() || matches!(error, StoreError::NotFound { .. }) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Reads a whole object, or every blob of a pack, and compares the hashes.
/// Damaged blobs are named in the answer.
///
/// # Errors
/// [`StoreError::NotFound`]; when a pack's index is damaged, so that its blobs
/// are not known; I/O errors that say nothing about the bytes.
pub fn verify_object<S: Store + ?Sized>(
    store: &S,
    key: &ObjectKey,
) -> Result<Verified, StoreError> {
    let mut report = Verified::default();
    match key {
        ObjectKey::Whole(id) => match stream_whole(store, id, |_| Ok::<(), StoreError>(())) {
            Ok(size) => {
                report.blobs = 1;
                report.bytes = size;
            }
            Err(error) if error.is_damage() => report.damaged.push((*id, error)),
            Err(error) => return Err(error),
        },
        ObjectKey::Pack(pack) => {
            let index = PackReader::open(store, pack)?.into_index();
            let mut extents: Vec<Extent> =
                index.records().iter().map(|record| Extent::packed(*pack, record)).collect();
            read_many(store, &mut extents, |extent, outcome| {
                match outcome {
                    Ok(bytes) => {
                        report.blobs += 1;
                        report.bytes += bytes.len() as u64;
                    }
                    Err(error @ StoreError::NotFound { .. }) => return Err(error),
                    Err(error) => report.damaged.push((extent.id, error)),
                }
                Ok(())
            })?;
        }
    }
    Ok(report)
}
