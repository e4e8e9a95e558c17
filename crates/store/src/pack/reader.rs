//! Opens a pack and reads blobs from it, verified.

use heirloom_manifest::BlobId;

use crate::error::{Fault, StoreError};
use crate::extent::{Extent, Verifier};
use crate::key::{ObjectKey, PackId};
use crate::pack::format::{FOOTER_LEN, Footer, MAGIC, PackRecord, RECORD_LEN, array};
use crate::pack::index::PackIndex;
use crate::store::{ObjectReader, Store, StoreExt};

/// Read from the end at first: footer and, in most packs, the whole index.
const TAIL: u64 = 64 << 10;

/// An open pack.
///
/// For many blobs whose places are known, from a catalog say,
/// [`read_many`](crate::read_many) is faster and needs no index.
#[derive(Debug)]
pub struct PackReader {
    key: ObjectKey,
    object: Box<dyn ObjectReader>,
    index: PackIndex,
}

impl PackReader {
    /// Opens a pack and checks its index, not its blobs.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Corrupt`],
    /// [`StoreError::Unsupported`]; I/O.
    pub fn open<S: Store + ?Sized>(store: &S, id: &PackId) -> Result<Self, StoreError> {
        let key = ObjectKey::Pack(*id);
        let object = store.open(&key)?;
        let tail = read_tail(&key, &*object)?;
        let index = PackIndex::parse(&tail, object.object_size())
            .map_err(|fault| StoreError::faulty(key, fault))?;
        if index.id() != *id {
            let fault = Fault::WrongPackId { expected: *id, actual: index.id() };
            return Err(StoreError::Corrupt { key, fault });
        }
        Ok(Self { key, object, index })
    }

    /// The pack's index.
    pub fn index(&self) -> &PackIndex {
        &self.index
    }

    /// Reads and verifies a blob; `None` when this pack does not hold it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] or [`StoreError::DigestMismatch`] when it is
    /// damaged; I/O.
    pub fn read(&self, id: &BlobId) -> Result<Option<Vec<u8>>, StoreError> {
        self.index.get(id).map(|record| self.read_record(record)).transpose()
    }

    /// Reads and verifies the blob of a record of this pack.
    ///
    /// # Errors
    /// As [`PackReader::read`].
    pub fn read_record(&self, record: &PackRecord) -> Result<Vec<u8>, StoreError> {
        let extent = Extent::packed(self.index.id(), record);
        Verifier::new(&self.key)?.read(&*self.object, &extent)
    }

    /// The index alone.
    pub fn into_index(self) -> PackIndex {
        self.index
    }
}

/// Index and footer of a pack, after a look at its start.
fn read_tail(key: &ObjectKey, object: &dyn ObjectReader) -> Result<Vec<u8>, StoreError> {
    let corrupt = |fault| StoreError::Corrupt { key: *key, fault };
    let size = object.object_size();
    if size < (MAGIC.len() + RECORD_LEN + FOOTER_LEN) as u64 {
        return Err(corrupt(Fault::TooShort));
    }
    let mut magic = MAGIC;
    object.read_exact_at(&mut magic, 0)?;
    if magic != MAGIC {
        return Err(corrupt(Fault::BadMagic));
    }
    let tail_len = size.min(TAIL);
    let mut tail = vec![0; tail_len as usize];
    object.read_exact_at(&mut tail, size - tail_len)?;
    let footer = Footer::decode(&array(&tail, tail.len() - FOOTER_LEN), size).map_err(corrupt)?;
    let wanted = size - footer.index_offset;
    let wanted = usize::try_from(wanted).map_err(|_| corrupt(Fault::BadFooter))?;
    if wanted <= tail.len() {
        tail.drain(..tail.len() - wanted);
        return Ok(tail);
    }
    // The footer was checked against the object's size, so this is no longer
    // than the object.
    let mut whole = vec![0; wanted];
    let missing = wanted - tail.len();
    object.read_exact_at(&mut whole[..missing], footer.index_offset)?;
    whole[missing..].copy_from_slice(&tail);
    Ok(whole)
}
