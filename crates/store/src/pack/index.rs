//! A pack's index: everything about a pack but its blobs' bytes.

use heirloom_manifest::BlobId;

use crate::error::Fault;
use crate::key::PackId;
use crate::pack::format::{FOOTER_LEN, Footer, MAGIC, PackRecord, RECORD_LEN};

/// The index of a pack, found to keep every rule of the format: records strictly
/// ascending by blob, bytes that fill the space to the index exactly once, and
/// a hash equal to the pack's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackIndex {
    id: PackId,
    object_size: u64,
    records: Vec<PackRecord>,
}

impl PackIndex {
    /// Reads the index and footer that end an object of `object_size` bytes.
    ///
    /// `tail` is the object's end, from the start of the index on. The first
    /// eight bytes of the object are the caller's to check.
    ///
    /// # Errors
    /// The first rule that the bytes break.
    pub fn parse(tail: &[u8], object_size: u64) -> Result<Self, Fault> {
        let (index, footer) = tail.split_last_chunk::<FOOTER_LEN>().ok_or(Fault::TooShort)?;
        let footer = Footer::decode(footer, object_size)?;
        if tail.len() as u64 != object_size - footer.index_offset {
            return Err(Fault::BadFooter);
        }
        let actual = PackId::of_index(index);
        if actual != footer.id {
            return Err(Fault::WrongPackId { expected: footer.id, actual });
        }
        let (chunks, rest) = index.as_chunks::<RECORD_LEN>();
        debug_assert!(rest.is_empty(), "the footer's check fixes the length");
        let records = chunks.iter().map(PackRecord::decode).collect::<Result<Vec<_>, _>>()?;
        check_records(&records, footer.index_offset)?;
        Ok(Self { id: footer.id, object_size, records })
    }

    /// The pack's id.
    pub fn id(&self) -> PackId {
        self.id
    }

    /// Length of the pack's object in bytes.
    pub fn object_size(&self) -> u64 {
        self.object_size
    }

    /// All records, ascending by blob id; at least one.
    pub fn records(&self) -> &[PackRecord] {
        &self.records
    }

    /// The record of a blob, if the pack holds it.
    pub fn get(&self, id: &BlobId) -> Option<&PackRecord> {
        self.records.binary_search_by(|record| record.id.cmp(id)).ok().map(|at| &self.records[at])
    }

    /// The records, to be kept without the index.
    pub fn into_records(self) -> Vec<PackRecord> {
        self.records
    }
}

fn check_records(records: &[PackRecord], index_offset: u64) -> Result<(), Fault> {
    if !records.is_sorted_by(|a, b| a.id < b.id) {
        return Err(Fault::NotAscending);
    }
    let mut places: Vec<(u64, u64)> =
        records.iter().map(|record| (record.offset, record.stored_len)).collect();
    // An empty blob lies where its successor does, and before it.
    places.sort_unstable();
    let mut expected = MAGIC.len() as u64;
    for (offset, length) in places {
        if offset != expected {
            return Err(Fault::NotContiguous { offset: expected });
        }
        expected = expected.checked_add(length).ok_or(Fault::NotContiguous { offset: expected })?;
    }
    if expected == index_offset { Ok(()) } else { Err(Fault::NotContiguous { offset: expected }) }
}
