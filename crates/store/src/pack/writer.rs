//! Writes a pack: blobs in the order they come, index and footer at the end.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use heirloom_manifest::BlobId;
use zstd::zstd_safe;

use crate::error::StoreError;
use crate::key::{ObjectKey, PackId};
use crate::pack::format::{
    Codec, FOOTER_LEN, Footer, Kind, MAGIC, MAX_PACKED_BLOB, PackRecord, RECORD_LEN, array,
};
use crate::scan::is_sound;
use crate::store::{Existing, Hold, Published, Store, StoreExt, Upload};

/// Bytes gathered before they are passed on.
const BUFFER: usize = 512 << 10;

const LEVEL: i32 = 1;

/// Shorter blobs are not worth a frame's overhead.
const COMPRESS_FROM: usize = 64;

/// After so many contents in a row that did not get smaller, only every
/// `SAMPLE_EVERY`-th is tried: compressing what does not compress costs several
/// times as much as hashing it.
const GIVE_UP_AFTER: u32 = 32;
const SAMPLE_EVERY: u32 = 16;

/// How a pack is written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PackOptions {
    /// Whether to compress blobs for which it pays. Default: yes.
    pub compress: bool,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self { compress: true }
    }
}

impl PackOptions {
    /// Sets [`PackOptions::compress`].
    #[must_use]
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }
}

/// A pack that is in the store.
#[derive(Debug)]
pub struct FinishedPack {
    /// Its id.
    pub id: PackId,
    /// Length of its object in bytes.
    pub size: u64,
    /// Its blobs, ascending by id.
    pub records: Vec<PackRecord>,
    /// Whether the object is new; `false` when the store had the same pack.
    pub created: bool,
    /// To be kept until it is on record that the object exists.
    pub hold: Hold,
}

/// Writes blobs into one pack.
///
/// When [`PackWriter::size`] reaches [`PACK_TARGET_SIZE`](crate::PACK_TARGET_SIZE)
/// the caller should finish and go on with a new writer. Memory: a buffer of
/// 512 KiB, about 100 bytes per blob, and twice the longest compressible blob.
/// Dropping a writer leaves nothing.
///
/// ```
/// use heirloom_store::{Kind, MemoryStore, PackOptions, PackReader, PackWriter};
///
/// let store = MemoryStore::new();
/// let mut writer = PackWriter::new(&store, PackOptions::default())?;
/// let id = writer.add(Kind::Content, b"a small file")?;
/// let pack = writer.finish()?.expect("it holds a blob");
///
/// let reader = PackReader::open(&store, &pack.id)?;
/// assert_eq!(reader.read(&id)?.as_deref(), Some(&b"a small file"[..]));
/// # Ok::<(), heirloom_store::StoreError>(())
/// ```
#[derive(Debug)]
pub struct PackWriter {
    upload: Box<dyn Upload>,
    buffer: Vec<u8>,
    records: Vec<PackRecord>,
    by_id: HashMap<BlobId, u32, BuildHasherDefault<IdHasher>>,
    /// Offset of the next stored byte.
    position: u64,
    squeezer: Option<Squeezer>,
}

impl PackWriter {
    /// Starts a pack.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub fn new<S: Store + ?Sized>(store: &S, options: PackOptions) -> Result<Self, StoreError> {
        Ok(Self {
            upload: store.create()?,
            buffer: Vec::with_capacity(BUFFER),
            records: Vec::new(),
            by_id: HashMap::default(),
            position: MAGIC.len() as u64,
            squeezer: options.compress.then(Squeezer::new).flatten(),
        })
    }

    /// Hashes a blob and adds it, unless the pack holds it already.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] above [`MAX_PACKED_BLOB`] (the writer can still
    /// be used); as [`Upload::append`] (it cannot).
    pub fn add(&mut self, kind: Kind, bytes: &[u8]) -> Result<BlobId, StoreError> {
        check_size(bytes.len())?;
        let id = BlobId::of(bytes);
        self.add_hashed(kind, id, bytes)?;
        Ok(id)
    }

    /// Adds a blob whose id this process has just computed from these very
    /// bytes; tells whether it was new to the pack. An id that came from
    /// elsewhere would give the bytes a name unchecked: use [`PackWriter::add`].
    ///
    /// # Errors
    /// As [`PackWriter::add`].
    pub fn add_hashed(&mut self, kind: Kind, id: BlobId, bytes: &[u8]) -> Result<bool, StoreError> {
        check_size(bytes.len())?;
        debug_assert_eq!(id, BlobId::of(bytes), "the caller has hashed these bytes");
        if self.by_id.contains_key(&id) {
            return Ok(false);
        }
        let raw_len = bytes.len() as u64;
        // Taken out so that the squeezer's output can be borrowed beside `self`.
        let mut squeezer = self.squeezer.take();
        let added = match squeezer.as_mut().and_then(|squeezer| squeezer.squeeze(kind, bytes)) {
            Some(smaller) => self.push(id, kind, Codec::Zstd, raw_len, smaller),
            None => self.push(id, kind, Codec::Raw, raw_len, bytes),
        };
        self.squeezer = squeezer;
        added.map(|()| true)
    }

    /// Adds a blob as another pack stores it; the caller has verified that.
    pub(crate) fn add_stored(
        &mut self,
        record: &PackRecord,
        stored: &[u8],
    ) -> Result<(), StoreError> {
        if self.by_id.contains_key(&record.id) {
            return Ok(());
        }
        self.push(record.id, record.kind, record.codec, record.raw_len, stored)
    }

    /// The record of a blob that was added.
    pub fn get(&self, id: &BlobId) -> Option<&PackRecord> {
        self.by_id.get(id).map(|at| &self.records[*at as usize])
    }

    /// Bytes that the object would have if it were finished now.
    pub fn size(&self) -> u64 {
        self.position + (self.records.len() * RECORD_LEN + FOOTER_LEN) as u64
    }

    /// Number of blobs added, each counted once.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Writes index and footer and publishes the pack; durable on return.
    /// `None`, and no object, when nothing was added. Of a pack that the store
    /// has already, nobody looks whether it is damaged.
    ///
    /// # Errors
    /// As [`Upload::publish`].
    pub fn finish(self) -> Result<Option<FinishedPack>, StoreError> {
        self.publish(|_| Ok(Existing::Keep))
    }

    /// Like [`PackWriter::finish`] for a caller that is going to rely on every
    /// blob of the pack: when `store`, the one that the writer was made for, has
    /// the same pack already, that one is read and verified first, and replaced
    /// when it is damaged.
    ///
    /// # Errors
    /// As [`PackWriter::finish`] and [`is_sound`].
    pub fn finish_checked<S: Store + ?Sized>(
        self,
        store: &S,
    ) -> Result<Option<FinishedPack>, StoreError> {
        self.publish(|key| {
            let is_damaged = store.contains(key)? && !is_sound(store, key)?;
            Ok(if is_damaged { Existing::Replace } else { Existing::Keep })
        })
    }

    fn publish(
        mut self,
        existing: impl FnOnce(&ObjectKey) -> Result<Existing, StoreError>,
    ) -> Result<Option<FinishedPack>, StoreError> {
        if self.records.is_empty() {
            return Ok(None);
        }
        let mut records = std::mem::take(&mut self.records);
        records.sort_unstable_by_key(|record| record.id);
        let mut end = Vec::with_capacity(records.len() * RECORD_LEN + FOOTER_LEN);
        for record in &records {
            record.encode(&mut end);
        }
        let id = PackId::of_index(&end);
        Footer { index_offset: self.position, count: records.len() as u64, id }.encode(&mut end);
        self.pass(&end)?;
        self.flush()?;
        let size = self.upload.size();
        let key = ObjectKey::Pack(id);
        let existing = existing(&key)?;
        let Published { created, hold } = self.upload.publish(&key, existing)?;
        Ok(Some(FinishedPack { id, size, records, created, hold }))
    }

    fn push(
        &mut self,
        id: BlobId,
        kind: Kind,
        codec: Codec,
        raw_len: u64,
        stored: &[u8],
    ) -> Result<(), StoreError> {
        if self.records.is_empty() {
            self.buffer.extend_from_slice(&MAGIC);
        }
        let record = PackRecord {
            id,
            offset: self.position,
            stored_len: stored.len() as u64,
            raw_len,
            codec,
            kind,
        };
        self.pass(stored)?;
        self.position += stored.len() as u64;
        // Index sections of more than 2^32 records would not fit into memory.
        self.by_id.insert(id, self.records.len() as u32);
        self.records.push(record);
        Ok(())
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
            if bytes.len() >= BUFFER {
                return self.upload.append(bytes);
            }
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let done = self.upload.append(&self.buffer);
        self.buffer.clear();
        done
    }
}

fn check_size(length: usize) -> Result<(), StoreError> {
    match length as u64 {
        size if size > MAX_PACKED_BLOB => {
            Err(StoreError::TooLarge { size, limit: MAX_PACKED_BLOB })
        }
        _ => Ok(()),
    }
}

/// Compresses where it pays.
struct Squeezer {
    compressor: zstd::bulk::Compressor<'static>,
    output: Vec<u8>,
    fruitless: u32,
}

impl std::fmt::Debug for Squeezer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Squeezer").field("fruitless", &self.fruitless).finish_non_exhaustive()
    }
}

impl Squeezer {
    /// `None` when zstd cannot get its memory: packs are then not compressed.
    fn new() -> Option<Self> {
        let compressor = zstd::bulk::Compressor::new(LEVEL).ok()?;
        Some(Self { compressor, output: Vec::new(), fruitless: 0 })
    }

    fn squeeze(&mut self, kind: Kind, bytes: &[u8]) -> Option<&[u8]> {
        let is_content = kind == Kind::Content;
        if bytes.len() < COMPRESS_FROM {
            return None;
        }
        if is_content
            && self.fruitless >= GIVE_UP_AFTER
            && !self.fruitless.is_multiple_of(SAMPLE_EVERY)
        {
            self.fruitless = self.fruitless.wrapping_add(1);
            return None;
        }
        // Nodes are read often and by the thousand (`whence` scans them all):
        // they have to become much smaller to be worth expanding each time.
        let limit =
            if kind == Kind::Node { bytes.len() / 2 } else { bytes.len() - bytes.len() / 8 };
        self.output.clear();
        self.output.reserve(zstd_safe::compress_bound(bytes.len()));
        // Cannot fail with an output of this size; were it to, storing the blob
        // as it is would be right.
        let pays = self
            .compressor
            .compress_to_buffer(bytes, &mut self.output)
            .is_ok_and(|length| length <= limit);
        if is_content {
            self.fruitless = if pays { 0 } else { self.fruitless.wrapping_add(1) };
        }
        pays.then_some(self.output.as_slice())
    }
}

/// Blob ids are hashes already: eight bytes of one are as good as any.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if bytes.len() >= 8 {
            self.0 = u64::from_le_bytes(array(bytes, 0));
        }
    }

    // The length that `[u8; 32]` writes before its bytes says nothing.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
