//! Records, footer and codecs: the bytes of `docs/format.md` §4.

use heirloom_manifest::BlobId;
use zstd::zstd_safe;

use crate::error::Fault;
use crate::key::PackId;

pub(crate) const MAGIC: [u8; 8] = *b"HLMPACK1";
pub(crate) const FOOTER_MAGIC: [u8; 8] = *b"HLMPIDX1";
pub(crate) const RECORD_LEN: usize = 64;
pub(crate) const FOOTER_LEN: usize = 64;

/// Longest blob that a pack may hold, in raw bytes.
pub const MAX_PACKED_BLOB: u64 = 16 << 20;

/// Length from which a blob should be a whole object of its own.
pub const WHOLE_FROM: u64 = 1 << 20;

/// Size at which a writer should finish a pack and start the next one.
pub const PACK_TARGET_SIZE: u64 = 32 << 20;

/// Largest window that a stored frame may ask a reader for.
const MAX_WINDOW: u64 = 8 << 20;

/// How a blob's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Codec {
    /// As they are.
    Raw = 0,
    /// As one zstd frame with content size.
    Zstd = 1,
}

impl Codec {
    /// The codec's number in the format.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The codec with this number; `None` for those that this version does not
    /// know.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Raw),
            1 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// What a packed blob is, so that a pack tells by itself which of its blobs are
/// names and which are content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Kind {
    /// Content of a file, or any attachment.
    Content = 0,
    /// A node of a manifest tree.
    Node = 1,
    /// A version record.
    VersionRecord = 2,
    /// A sealed piece of the event journal.
    Journal = 3,
}

impl Kind {
    /// The kind's number in the format.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this number; `None` for those that this version does not
    /// know.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Content),
            1 => Some(Self::Node),
            2 => Some(Self::VersionRecord),
            3 => Some(Self::Journal),
            _ => None,
        }
    }
}

/// One blob in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackRecord {
    /// The blob.
    pub id: BlobId,
    /// Where its stored bytes start in the object.
    pub offset: u64,
    /// Length of the stored bytes.
    pub stored_len: u64,
    /// Length of the blob.
    pub raw_len: u64,
    /// How it is stored.
    pub codec: Codec,
    /// What it is.
    pub kind: Kind,
}

impl PackRecord {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.stored_len.to_le_bytes());
        out.extend_from_slice(&self.raw_len.to_le_bytes());
        out.extend_from_slice(&[self.codec.code(), self.kind.code()]);
        // Key id 0, then reserved.
        out.extend_from_slice(&[0; 6]);
    }

    pub(crate) fn decode(bytes: &[u8; RECORD_LEN]) -> Result<Self, Fault> {
        let id = BlobId::from_bytes(array(bytes, 0));
        let key_id = u16::from_le_bytes(array(bytes, 58));
        if bytes[60..] != [0; 4] {
            return Err(Fault::ReservedNotZero);
        }
        if key_id != 0 {
            return Err(Fault::UnknownKeyId { blob: id, key_id });
        }
        let codec = Codec::from_code(bytes[56])
            .ok_or(Fault::UnknownCodec { blob: id, codec: bytes[56] })?;
        let kind =
            Kind::from_code(bytes[57]).ok_or(Fault::UnknownKind { blob: id, kind: bytes[57] })?;
        let record = Self {
            id,
            offset: u64_at(bytes, 32),
            stored_len: u64_at(bytes, 40),
            raw_len: u64_at(bytes, 48),
            codec,
            kind,
        };
        check_lengths(&id, codec, record.stored_len, record.raw_len)?;
        Ok(record)
    }
}

/// The rules on lengths, which also bound what a reader allocates.
pub(crate) fn check_lengths(id: &BlobId, codec: Codec, stored: u64, raw: u64) -> Result<(), Fault> {
    if raw > MAX_PACKED_BLOB {
        return Err(Fault::BlobTooLarge { blob: *id, raw });
    }
    let fits = match codec {
        Codec::Raw => stored == raw,
        Codec::Zstd => stored > 0 && stored < raw,
    };
    if fits { Ok(()) } else { Err(Fault::BadLengths { blob: *id, stored, raw }) }
}

/// The last 64 bytes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) index_offset: u64,
    pub(crate) count: u64,
    pub(crate) id: PackId,
}

impl Footer {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.index_offset.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&[0; 8]);
        out.extend_from_slice(&FOOTER_MAGIC);
    }

    /// Reads the footer of an object of `size` bytes.
    pub(crate) fn decode(bytes: &[u8; FOOTER_LEN], size: u64) -> Result<Self, Fault> {
        if bytes[56..] != FOOTER_MAGIC {
            return Err(Fault::BadMagic);
        }
        if bytes[48..56] != [0; 8] {
            return Err(Fault::ReservedNotZero);
        }
        let footer = Self {
            index_offset: u64_at(bytes, 0),
            count: u64_at(bytes, 8),
            id: PackId::from_bytes(array(bytes, 16)),
        };
        let end = footer
            .count
            .checked_mul(RECORD_LEN as u64)
            .and_then(|length| length.checked_add(footer.index_offset))
            .and_then(|end| end.checked_add(FOOTER_LEN as u64));
        if footer.count == 0 || footer.index_offset < MAGIC.len() as u64 || end != Some(size) {
            return Err(Fault::BadFooter);
        }
        Ok(footer)
    }
}

/// Turns stored bytes back into the blob's, in `scratch` where they have to be
/// expanded. The caller still has to compare the hash.
pub(crate) fn expand<'b>(
    id: &BlobId,
    codec: Codec,
    stored: &'b [u8],
    raw_len: u64,
    decompressor: &mut zstd::bulk::Decompressor<'_>,
    scratch: &'b mut Vec<u8>,
) -> Result<&'b [u8], Fault> {
    check_lengths(id, codec, stored.len() as u64, raw_len)?;
    match codec {
        Codec::Raw => Ok(stored),
        Codec::Zstd => {
            let bad = |_| Fault::BadFrame { blob: *id };
            check_frame(stored, raw_len).ok_or(Fault::BadFrame { blob: *id })?;
            scratch.clear();
            // At most `MAX_PACKED_BLOB`, so it fits.
            scratch.reserve(raw_len as usize);
            decompressor.decompress_to_buffer(stored, scratch).map_err(bad)?;
            if scratch.len() as u64 != raw_len {
                return Err(Fault::BadFrame { blob: *id });
            }
            Ok(scratch)
        }
    }
}

/// One frame, nothing after it, that says its content size and asks for no more
/// than the allowed window (RFC 8878, section 3.1.1).
fn check_frame(stored: &[u8], raw_len: u64) -> Option<()> {
    const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let header = stored.strip_prefix(&ZSTD_MAGIC)?;
    let is_single_segment = header.first()? & 0x20 != 0;
    if !is_single_segment {
        let window = header.get(1)?;
        let base = 1u64 << (10 + (window >> 3));
        if base + base / 8 * u64::from(window & 7) > MAX_WINDOW {
            return None;
        }
    } else if raw_len > MAX_WINDOW {
        return None;
    }
    let content = zstd_safe::get_frame_content_size(stored).ok()??;
    let length = zstd_safe::find_frame_compressed_size(stored).ok()?;
    (content == raw_len && length == stored.len()).then_some(())
}

pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}
