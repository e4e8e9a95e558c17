//! Blobs by their place: what a catalog remembers, read in bulk and verified.

use std::io::{Cursor, Read};
use std::ops::Range;
use std::path::Path;

use heirloom_manifest::BlobId;

use crate::error::{Fault, READ, StoreError};
use crate::key::{ObjectKey, PackId};
use crate::pack::format::{Codec, MAX_PACKED_BLOB, PackRecord, expand};
use crate::store::{ObjectReader, Store, StoreExt};

/// Where a blob's bytes are, and how they are stored: all that reading it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The blob.
    pub id: BlobId,
    /// The object that holds it.
    pub key: ObjectKey,
    /// Where in the object its stored bytes start.
    pub offset: u64,
    /// Length of the stored bytes.
    pub stored_len: u64,
    /// Length of the blob.
    pub raw_len: u64,
    /// How it is stored.
    pub codec: Codec,
}

impl Extent {
    /// The place of a blob of `size` bytes that is a whole object.
    pub fn whole(id: BlobId, size: u64) -> Self {
        let key = ObjectKey::Whole(id);
        Self { id, key, offset: 0, stored_len: size, raw_len: size, codec: Codec::Raw }
    }

    /// The place of a blob in a pack.
    pub fn packed(pack: PackId, record: &PackRecord) -> Self {
        Self {
            id: record.id,
            key: ObjectKey::Pack(pack),
            offset: record.offset,
            stored_len: record.stored_len,
            raw_len: record.raw_len,
            codec: record.codec,
        }
    }

    fn end(&self) -> u64 {
        self.offset.saturating_add(self.stored_len)
    }
}

/// Something to read with [`read_many`]: an extent, alone or with what the
/// caller wants to know when its bytes arrive.
pub trait HasExtent {
    /// The place to read.
    fn extent(&self) -> &Extent;
}

impl HasExtent for Extent {
    fn extent(&self) -> &Extent {
        self
    }
}

impl<T> HasExtent for (Extent, T) {
    fn extent(&self) -> &Extent {
        &self.0
    }
}

impl<T: HasExtent> HasExtent for &T {
    fn extent(&self) -> &Extent {
        (*self).extent()
    }
}

/// Reads one blob and verifies it.
///
/// # Errors
/// [`StoreError::TooLarge`] above [`MAX_PACKED_BLOB`]: such a blob is a whole
/// object, to be read with [`stream_whole`](crate::stream_whole) or
/// [`VerifiedReader`](crate::VerifiedReader). [`StoreError::NotFound`],
/// [`StoreError::Corrupt`], [`StoreError::DigestMismatch`]; I/O.
pub fn read_blob<S: Store + ?Sized>(store: &S, extent: &Extent) -> Result<Vec<u8>, StoreError> {
    let object = store.open(&extent.key)?;
    Verifier::new(&extent.key)?.read(&*object, extent)
}

/// Opens a range of a blob's bytes.
///
/// A packed blob is read and verified as a whole first. **Of a whole object the
/// bytes come unverified**: a part cannot be checked against the hash of all.
/// Whoever needs certainty reads the whole with
/// [`stream_whole`](crate::stream_whole).
///
/// # Errors
/// [`StoreError::OutOfRange`]; as [`read_blob`].
pub fn open_range<S: Store + ?Sized>(
    store: &S,
    extent: &Extent,
    range: Range<u64>,
) -> Result<Box<dyn Read + Send>, StoreError> {
    if let ObjectKey::Whole(_) = extent.key {
        return Ok(store.read(&extent.key, Some(range))?);
    }
    let mut blob = read_blob(store, extent)?;
    let range = crate::store::check_range(&extent.key, Some(range), blob.len() as u64)?;
    blob.truncate(range.end as usize);
    let mut cursor = Cursor::new(blob);
    cursor.set_position(range.start);
    Ok(Box::new(cursor))
}

/// Longest stretch of an object read at once, unless one blob is longer.
const STRETCH: u64 = 1 << 20;

/// Bytes between two wanted blobs that are cheaper to read than to skip.
const GAP: u64 = 32 << 10;

/// Reads many blobs of at most [`MAX_PACKED_BLOB`] and verifies each: sorts
/// `items` by place, reads neighbours at once, and calls `visit` once per item
/// with its bytes, or with why there are none. One damaged blob does not hide
/// the others; a caller that wants to stop at it passes the error on.
///
/// Memory: a stretch of 1 MiB, or twice the longest blob.
///
/// # Errors
/// What `visit` returns, at once. The function itself fails only when zstd
/// cannot be set up.
pub fn read_many<S, T, E>(
    store: &S,
    items: &mut [T],
    mut visit: impl FnMut(&T, Result<&[u8], StoreError>) -> Result<(), E>,
) -> Result<(), E>
where
    S: Store + ?Sized,
    T: HasExtent,
    E: From<StoreError>,
{
    read_many_stored(store, items, |item, outcome| visit(item, outcome.map(|both| both.raw)))
}

/// A verified blob with the bytes it is stored as.
pub(crate) struct Both<'b> {
    pub(crate) stored: &'b [u8],
    pub(crate) raw: &'b [u8],
}

pub(crate) fn read_many_stored<S, T, E>(
    store: &S,
    items: &mut [T],
    mut visit: impl FnMut(&T, Result<Both<'_>, StoreError>) -> Result<(), E>,
) -> Result<(), E>
where
    S: Store + ?Sized,
    T: HasExtent,
    E: From<StoreError>,
{
    items.sort_unstable_by_key(|item| (item.extent().key, item.extent().offset));
    let mut verifier: Option<Verifier> = None;
    for of_object in items.chunk_by(|a, b| a.extent().key == b.extent().key) {
        let key = of_object[0].extent().key;
        let verifier = match &mut verifier {
            Some(verifier) => verifier,
            None => verifier.insert(Verifier::new(&key)?),
        };
        let mut object = store.open(&key);
        let mut rest = of_object;
        while !rest.is_empty() {
            let (stretch, after) = rest.split_at(stretch_len(rest));
            rest = after;
            let start = stretch[0].extent().offset;
            let end = stretch.iter().map(|item| item.extent().end()).max().unwrap_or(start);
            let all_sane = stretch.iter().all(|item| check(item.extent()).is_ok());
            let filled = all_sane
                && object.as_ref().is_ok_and(|object| verifier.fill(&**object, start, end).is_ok());
            for item in stretch {
                let extent = item.extent();
                let outcome = if filled {
                    let at = (extent.offset - start) as usize;
                    verifier.check_filled(at..at + extent.stored_len as usize, extent)
                } else {
                    // Each by itself, so that one bad sector or wrong place costs
                    // one blob, and each gets an error of its own.
                    match &object {
                        Ok(object) => verifier.read_both(&**object, extent),
                        Err(_) => {
                            object = store.open(&key);
                            match &object {
                                Ok(object) => verifier.read_both(&**object, extent),
                                Err(_) => Err(take_error(&mut object, &key)),
                            }
                        }
                    }
                };
                visit(item, outcome)?;
            }
        }
    }
    Ok(())
}

/// Errors cannot be copied: hands this one out and leaves a plain one, which
/// makes the next item try again.
fn take_error(
    object: &mut Result<Box<dyn ObjectReader>, StoreError>,
    key: &ObjectKey,
) -> StoreError {
    match std::mem::replace(object, Err(StoreError::NotFound { key: *key })) {
        Err(error) => error,
        Ok(_) => StoreError::NotFound { key: *key },
    }
}

fn stretch_len<T: HasExtent>(items: &[T]) -> usize {
    let start = items[0].extent().offset;
    let mut end = items[0].extent().end();
    let fits = |extent: &Extent, end: u64| {
        extent.offset.saturating_sub(end) <= GAP && extent.end().saturating_sub(start) <= STRETCH
    };
    let mut count = 1;
    while let Some(item) = items.get(count).filter(|item| fits(item.extent(), end)) {
        end = end.max(item.extent().end());
        count += 1;
    }
    count
}

/// Places may come from a damaged catalog; what they claim bounds memory.
fn check(extent: &Extent) -> Result<(), StoreError> {
    if extent.raw_len > MAX_PACKED_BLOB {
        return Err(StoreError::TooLarge { size: extent.raw_len, limit: MAX_PACKED_BLOB });
    }
    crate::pack::format::check_lengths(&extent.id, extent.codec, extent.stored_len, extent.raw_len)
        .map_err(|fault| StoreError::Corrupt { key: extent.key, fault })
}

/// Buffers and decoder for reading blobs, kept from one to the next.
pub(crate) struct Verifier {
    stored: Vec<u8>,
    scratch: Vec<u8>,
    decompressor: zstd::bulk::Decompressor<'static>,
}

impl Verifier {
    /// `key` is only for the message.
    pub(crate) fn new(key: &ObjectKey) -> Result<Self, StoreError> {
        let decompressor = zstd::bulk::Decompressor::new()
            .map_err(|error| StoreError::io(READ, Path::new(&key.to_string()), error))?;
        Ok(Self { stored: Vec::new(), scratch: Vec::new(), decompressor })
    }

    pub(crate) fn read(
        mut self,
        object: &dyn ObjectReader,
        extent: &Extent,
    ) -> Result<Vec<u8>, StoreError> {
        self.read_both(object, extent)?;
        let mut blob = match extent.codec {
            Codec::Raw => self.stored,
            Codec::Zstd => self.scratch,
        };
        blob.truncate(extent.raw_len as usize);
        Ok(blob)
    }

    fn read_both(
        &mut self,
        object: &dyn ObjectReader,
        extent: &Extent,
    ) -> Result<Both<'_>, StoreError> {
        check(extent)?;
        if let ObjectKey::Whole(_) = extent.key
            && object.object_size() != extent.raw_len
        {
            return Err(StoreError::Corrupt { key: extent.key, fault: Fault::TooShort });
        }
        self.fill(object, extent.offset, extent.end())?;
        self.check_filled(0..extent.stored_len as usize, extent)
    }

    fn fill(&mut self, object: &dyn ObjectReader, start: u64, end: u64) -> Result<(), StoreError> {
        // Never shrinks, so that it is cleared once and not per stretch.
        let length = (end - start) as usize;
        if self.stored.len() < length {
            self.stored.resize(length, 0);
        }
        object.read_exact_at(&mut self.stored[..length], start)
    }

    fn check_filled(
        &mut self,
        range: Range<usize>,
        extent: &Extent,
    ) -> Result<Both<'_>, StoreError> {
        let stored = &self.stored[range];
        let raw = expand(
            &extent.id,
            extent.codec,
            stored,
            extent.raw_len,
            &mut self.decompressor,
            &mut self.scratch,
        )
        .map_err(|fault| StoreError::Corrupt { key: extent.key, fault })?;
        let actual = BlobId::of(raw);
        if actual != extent.id {
            return Err(StoreError::DigestMismatch {
                key: Some(extent.key),
                expected: extent.id,
                actual,
            });
        }
        Ok(Both { stored, raw })
    }
}
