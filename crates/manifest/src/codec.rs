//! The byte codec below nodes: varints, texts and entry bodies
//! (`docs/format.md`, conventions and section 3).

use crate::digest::{Algorithm, BlobId, Digest};
use crate::entry::{Entry, MAX_PIN_BYTES, MAX_URI_BYTES, Reference};
use crate::error::ManifestError;

/// Largest size of an entry, and of all entries of a tree together.
pub(crate) const MAX_SIZE: u64 = i64::MAX as u64;

const TAG_FILE: u8 = 0x00;
const TAG_REFERENCE: u8 = 0x01;
const TAG_EMPTY_DIRECTORY: u8 = 0x02;

const PIN_ETAG: u8 = 0x01;
const PIN_VERSION_ID: u8 = 0x02;
const PIN_GENERATION: u8 = 0x03;
const PIN_FINAL_URI: u8 = 0x04;
const PIN_CHECKSUM: u8 = 0x10;

/// Number of leading bytes that are equal.
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 16;
    let mut at = 0;
    for (x, y) in a.chunks_exact(STEP).zip(b.chunks_exact(STEP)) {
        if x != y {
            break;
        }
        at += STEP;
    }
    at + a[at..].iter().zip(&b[at..]).take_while(|(x, y)| x == y).count()
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends tag and body, or says which rule the entry breaks (`out` then holds
/// rubbish after its former end).
pub(crate) fn put_entry(out: &mut Vec<u8>, entry: &Entry) -> Result<(), &'static str> {
    match entry {
        Entry::File { blob, size } => {
            if *size > MAX_SIZE {
                return Err("the size does not fit 63 bits");
            }
            out.push(TAG_FILE);
            put_varint(out, *size);
            out.extend_from_slice(blob.as_bytes());
        }
        Entry::Reference(reference) => put_reference(out, reference)?,
        Entry::EmptyDirectory => out.push(TAG_EMPTY_DIRECTORY),
    }
    Ok(())
}

fn put_reference(out: &mut Vec<u8>, reference: &Reference) -> Result<(), &'static str> {
    if !(1..=MAX_URI_BYTES).contains(&reference.uri.len()) {
        return Err("the URI must have 1 to 8192 bytes");
    }
    let size = match reference.size {
        None => 0,
        Some(size) if size > MAX_SIZE => return Err("the size does not fit 63 bits"),
        Some(size) => size + 1,
    };
    let texts = [
        (PIN_ETAG, &reference.etag, MAX_PIN_BYTES),
        (PIN_VERSION_ID, &reference.version_id, MAX_PIN_BYTES),
        (PIN_GENERATION, &reference.generation, MAX_PIN_BYTES),
        (PIN_FINAL_URI, &reference.final_uri, MAX_URI_BYTES),
    ];
    let present = texts.iter().filter(|(_, text, _)| text.is_some()).count();
    out.push(TAG_REFERENCE);
    put_bytes(out, reference.uri.as_bytes());
    put_varint(out, size);
    put_varint(out, (present + reference.checksums.len()) as u64);
    for (kind, text, limit) in texts {
        let Some(text) = text else { continue };
        if !(1..=limit).contains(&text.len()) {
            return Err("a pin is empty or too long");
        }
        out.push(kind);
        put_bytes(out, text.as_bytes());
    }
    let mut last = 0;
    for checksum in &reference.checksums {
        let code = checksum.algorithm().code();
        if code <= last {
            return Err("checksums must ascend by algorithm, at most one each");
        }
        last = code;
        out.push(PIN_CHECKSUM | code);
        put_bytes(out, checksum.as_bytes());
    }
    Ok(())
}

/// An entry body as it lies in a node's bytes, checked but not copied.
pub(crate) enum RawEntry<'a> {
    File { blob: BlobId, size: u64 },
    Reference(RawReference<'a>),
    EmptyDirectory,
}

/// A checked reference whose texts still lie in the node's bytes.
pub(crate) struct RawReference<'a> {
    uri: &'a str,
    size: Option<u64>,
    texts: [Option<&'a str>; 4],
    checksums: [Option<&'a [u8]>; 8],
}

impl RawEntry<'_> {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Reference(reference) => reference.size.unwrap_or(0),
            Self::EmptyDirectory => 0,
        }
    }

    pub(crate) fn to_entry(&self) -> Entry {
        match self {
            Self::File { blob, size } => Entry::File { blob: *blob, size: *size },
            Self::Reference(raw) => {
                let [etag, version_id, generation, final_uri] =
                    raw.texts.map(|text| text.map(str::to_owned));
                let checksums = (1u8..)
                    .zip(raw.checksums)
                    .filter_map(|(code, bytes)| Digest::new(Algorithm::from_code(code)?, bytes?))
                    .collect();
                Entry::Reference(Reference {
                    uri: raw.uri.to_owned(),
                    size: raw.size,
                    etag,
                    version_id,
                    generation,
                    final_uri,
                    checksums,
                })
            }
            Self::EmptyDirectory => Entry::EmptyDirectory,
        }
    }
}

/// Reads canonical bytes; every refusal names the offset.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn refuse<T>(&self, reason: &'static str) -> Result<T, ManifestError> {
        Err(ManifestError::Malformed { at: self.at, reason })
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ManifestError> {
        match self.bytes.get(self.at) {
            Some(byte) => {
                self.at += 1;
                Ok(*byte)
            }
            None => self.refuse("the bytes end too early"),
        }
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], ManifestError> {
        if length > self.left() {
            return self.refuse("the bytes end too early");
        }
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(taken)
    }

    pub(crate) fn digest(&mut self) -> Result<[u8; 32], ManifestError> {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.take(32)?);
        Ok(digest)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, ManifestError> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return self.refuse("a number does not fit 64 bits");
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                if byte == 0 {
                    return self.refuse("a number is not in its shortest form");
                }
                break;
            }
        }
        Ok(value)
    }

    pub(crate) fn size(&mut self) -> Result<u64, ManifestError> {
        match self.varint()? {
            size if size <= MAX_SIZE => Ok(size),
            _ => self.refuse("a size does not fit 63 bits"),
        }
    }

    fn bytes_upto(&mut self, limit: usize) -> Result<&'a [u8], ManifestError> {
        let length = self.varint()?;
        if length == 0 || length > limit as u64 {
            return self.refuse("a field is empty or too long");
        }
        self.take(length as usize)
    }

    fn text(&mut self, limit: usize) -> Result<&'a str, ManifestError> {
        let start = self.at;
        std::str::from_utf8(self.bytes_upto(limit)?)
            .map_err(|_| ManifestError::Malformed { at: start, reason: "a text is not UTF-8" })
    }

    /// The `shared` and `suffix` of a record's key, within `limit` bytes of path.
    pub(crate) fn key(&mut self, limit: usize) -> Result<(usize, &'a [u8]), ManifestError> {
        let shared = self.varint()?;
        if shared > limit as u64 {
            return self.refuse("a path is too long");
        }
        Ok((shared as usize, self.bytes_upto(limit)?))
    }

    pub(crate) fn entry(&mut self) -> Result<RawEntry<'a>, ManifestError> {
        match self.byte()? {
            TAG_FILE => {
                let size = self.size()?;
                Ok(RawEntry::File { blob: BlobId::from_bytes(self.digest()?), size })
            }
            TAG_REFERENCE => Ok(RawEntry::Reference(self.reference()?)),
            TAG_EMPTY_DIRECTORY => Ok(RawEntry::EmptyDirectory),
            _ => self.refuse("unknown kind of entry"),
        }
    }

    fn reference(&mut self) -> Result<RawReference<'a>, ManifestError> {
        let uri = self.text(MAX_URI_BYTES)?;
        let size = match self.varint()? {
            0 => None,
            coded if coded - 1 <= MAX_SIZE => Some(coded - 1),
            _ => return self.refuse("a size does not fit 63 bits"),
        };
        let mut raw = RawReference { uri, size, texts: [None; 4], checksums: [None; 8] };
        let pins = self.varint()?;
        let mut last = 0;
        for _ in 0..pins {
            let kind = self.byte()?;
            if kind <= last {
                return self.refuse("pins do not ascend by kind");
            }
            last = kind;
            match kind {
                PIN_ETAG..=PIN_GENERATION => {
                    raw.texts[usize::from(kind - PIN_ETAG)] = Some(self.text(MAX_PIN_BYTES)?);
                }
                PIN_FINAL_URI => raw.texts[3] = Some(self.text(MAX_URI_BYTES)?),
                _ => {
                    let code = kind.wrapping_sub(PIN_CHECKSUM);
                    let Some(algorithm) = Algorithm::from_code(code) else {
                        return self.refuse("unknown kind of pin");
                    };
                    let bytes = self.bytes_upto(algorithm.length())?;
                    if bytes.len() != algorithm.length() {
                        return self.refuse("a checksum has the wrong length");
                    }
                    raw.checksums[usize::from(code - 1)] = Some(bytes);
                }
            }
        }
        Ok(raw)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_round_trip_in_one_form_only(value: u64, bits in 0u32..64) {
            let value = value >> bits;
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut input = Input::new(&bytes);
            prop_assert_eq!(input.varint(), Ok(value));
            prop_assert_eq!(input.left(), 0);
            // The same value padded by one more group must be refused.
            *bytes.last_mut().unwrap() |= 0x80;
            bytes.push(0);
            prop_assert!(Input::new(&bytes).varint().is_err());
        }

        #[test]
        fn any_accepted_varint_is_the_one_we_write(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut input = Input::new(&bytes);
            if let Ok(value) = input.varint() {
                let mut again = Vec::new();
                put_varint(&mut again, value);
                prop_assert_eq!(&again[..], &bytes[..input.at()]);
            }
        }

        #[test]
        fn common_prefixes_match_a_naive_count(a in "[ab]{0,40}", b in "[ab]{0,40}", same in "[ab]{0,40}") {
            let (a, b) = (format!("{same}{a}"), format!("{same}{b}"));
            let naive = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
            prop_assert_eq!(common_prefix(a.as_bytes(), b.as_bytes()), naive);
        }
    }

    #[test]
    fn numbers_beyond_64_bits_are_refused() {
        assert_eq!(Input::new(&[[0xff; 9].as_slice(), &[1]].concat()).varint(), Ok(u64::MAX));
        assert!(Input::new(&[[0xff; 9].as_slice(), &[2]].concat()).varint().is_err());
        assert!(Input::new(&[[0xff; 10].as_slice(), &[1]].concat()).varint().is_err());
    }
}
