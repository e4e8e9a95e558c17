//! The file format that stat caches and spools share: entries of a scan in path
//! order, front-coded, in blocks that are checked before anything in them is
//! believed. It is a local, disposable format: a reader that does not know it
//! does without.
//!
//! ```text
//! file   = header ‖ block* ‖ end
//! header = "HLMSCAN1" [8] ‖ kind [1] ‖ started i64 ‖ root inode u64 ‖ root path bytes
//! block  = length u32 (not 0) ‖ payload [length] ‖ check [32]
//! end    = 0 u32 ‖ records u64 ‖ check [32]
//! check  = BLAKE3(BLAKE3(header) ‖ number of the block u64 ‖ payload, or records)
//! record = shared varint ‖ suffix bytes ‖ tag [1] ‖ stat, when a file ‖ BlobId [32], when known
//! stat   = size varint ‖ mtime − previous mtime ‖ ctime − mtime ‖ inode − previous inode
//! ```
//!
//! Fixed integers are little-endian, differences wrap and are zigzag varints;
//! `shared` and "previous" start from nothing in each block. Tags: 0 empty
//! directory, 1 file, 2 file with known digest.

use std::io::{self, Read, Write};

use heirloom_manifest::{BlobHasher, BlobId, LogicalPath, MAX_PATH_BYTES};

use crate::stat::FileStat;

const MAGIC: &[u8; 8] = b"HLMSCAN1";

/// A block is closed when its payload reaches this, in bytes.
const BLOCK_BYTES: usize = 64 * 1024;

/// No block is longer: a full one, and one more record of the longest kind.
const MAX_BLOCK_BYTES: usize = BLOCK_BYTES + MAX_PATH_BYTES + 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Cache = 1,
    Spool = 2,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: FileKind,
    pub(crate) started_ns: i64,
    pub(crate) root_inode: u64,
    pub(crate) root_path: Vec<u8>,
}

/// What a record says of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    EmptyDirectory,
    File { stat: FileStat, known: Option<BlobId> },
}

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    Damaged(&'static str),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it is cut short"),
            _ => Self::Io(error),
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Previous {
    mtime_ns: i64,
    inode: u64,
}

/// Writes records in path order.
#[derive(Debug)]
pub(crate) struct RecordWriter<W: Write> {
    out: W,
    seed: BlobId,
    number: u64,
    records: u64,
    block: Vec<u8>,
    path: Vec<u8>,
    /// Length of `path` that the next record of this block may share.
    sharable: usize,
    previous: Previous,
}

impl<W: Write> RecordWriter<W> {
    pub(crate) fn new(mut out: W, header: &Header) -> io::Result<Self> {
        let mut bytes = MAGIC.to_vec();
        bytes.push(header.kind as u8);
        bytes.extend_from_slice(&header.started_ns.to_le_bytes());
        bytes.extend_from_slice(&header.root_inode.to_le_bytes());
        put_varint(&mut bytes, header.root_path.len() as u64);
        bytes.extend_from_slice(&header.root_path);
        out.write_all(&bytes)?;
        Ok(Self {
            out,
            seed: BlobId::of(&bytes),
            number: 0,
            records: 0,
            block: Vec::new(),
            path: Vec::new(),
            sharable: 0,
            previous: Previous::default(),
        })
    }

    /// Appends one record; `false`, and nothing done, when `path` is not after
    /// the one before.
    pub(crate) fn push(&mut self, path: &LogicalPath, record: &Record) -> io::Result<bool> {
        let bytes = path.as_bytes();
        if self.records > 0 && self.path.as_slice() >= bytes {
            return Ok(false);
        }
        let shared = common(&self.path[..self.sharable], bytes);
        put_varint(&mut self.block, shared as u64);
        put_varint(&mut self.block, (bytes.len() - shared) as u64);
        self.block.extend_from_slice(&bytes[shared..]);
        self.path.truncate(common(&self.path, bytes));
        self.path.extend_from_slice(&bytes[self.path.len()..]);
        self.sharable = self.path.len();
        match record {
            Record::EmptyDirectory => self.block.push(0),
            Record::File { stat, known } => {
                self.block.push(if known.is_some() { 2 } else { 1 });
                put_varint(&mut self.block, stat.size);
                put_varint(
                    &mut self.block,
                    zigzag(stat.mtime_ns.wrapping_sub(self.previous.mtime_ns)),
                );
                put_varint(&mut self.block, zigzag(stat.ctime_ns.wrapping_sub(stat.mtime_ns)));
                put_varint(
                    &mut self.block,
                    zigzag(stat.inode.wrapping_sub(self.previous.inode).cast_signed()),
                );
                self.previous = Previous { mtime_ns: stat.mtime_ns, inode: stat.inode };
                if let Some(blob) = known {
                    self.block.extend_from_slice(blob.as_bytes());
                }
            }
        }
        self.records += 1;
        if self.block.len() >= BLOCK_BYTES {
            self.flush_block()?;
        }
        Ok(true)
    }

    fn flush_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.block.len()).map_err(io::Error::other)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&self.block)?;
        self.out.write_all(check(&self.seed, self.number, &self.block).as_bytes())?;
        self.number += 1;
        self.block.clear();
        self.sharable = 0;
        self.previous = Previous::default();
        Ok(())
    }

    /// Writes the end and gives the output back, flushed.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.flush_block()?;
        let records = self.records.to_le_bytes();
        self.out.write_all(&0u32.to_le_bytes())?;
        self.out.write_all(&records)?;
        self.out.write_all(check(&self.seed, self.number, &records).as_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Reads records in path order; believes a block only after its check.
#[derive(Debug)]
pub(crate) struct RecordReader<R: Read> {
    input: R,
    seed: BlobId,
    number: u64,
    records: u64,
    block: Vec<u8>,
    at: usize,
    path: Vec<u8>,
    sharable: usize,
    previous: Previous,
    ended: bool,
}

impl<R: Read> RecordReader<R> {
    pub(crate) fn new(mut input: R) -> Result<(Header, Self), Fault> {
        let mut bytes = vec![0; 25];
        input.read_exact(&mut bytes)?;
        if &bytes[..8] != MAGIC {
            return Err(Fault::Damaged("it is not a scan record of this version"));
        }
        let kind = match bytes[8] {
            1 => FileKind::Cache,
            2 => FileKind::Spool,
            _ => return Err(Fault::Damaged("its kind is unknown")),
        };
        let mut fixed = [0; 8];
        fixed.copy_from_slice(&bytes[9..17]);
        let started_ns = i64::from_le_bytes(fixed);
        fixed.copy_from_slice(&bytes[17..25]);
        let root_inode = u64::from_le_bytes(fixed);
        let mut length_bytes = Vec::new();
        let length = loop {
            let mut byte = [0];
            input.read_exact(&mut byte)?;
            length_bytes.push(byte[0]);
            if byte[0] & 0x80 == 0 {
                let mut at = 0;
                break get_varint(&length_bytes, &mut at)
                    .ok_or(Fault::Damaged("its header does not parse"))?;
            }
            if length_bytes.len() >= 10 {
                return Err(Fault::Damaged("its header does not parse"));
            }
        };
        if length > 64 * 1024 {
            return Err(Fault::Damaged("its header is too long"));
        }
        let mut root_path = vec![0; usize::try_from(length).unwrap_or(0)];
        input.read_exact(&mut root_path)?;
        bytes.extend_from_slice(&length_bytes);
        bytes.extend_from_slice(&root_path);
        let reader = Self {
            input,
            seed: BlobId::of(&bytes),
            number: 0,
            records: 0,
            block: Vec::new(),
            at: 0,
            path: Vec::new(),
            sharable: 0,
            previous: Previous::default(),
            ended: false,
        };
        Ok((Header { kind, started_ns, root_inode, root_path }, reader))
    }

    /// The next record; its path is [`RecordReader::path`]. After `None` or a
    /// fault there is nothing more.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, Fault> {
        if self.ended {
            return Ok(None);
        }
        let result = self.advance();
        if !matches!(result, Ok(Some(_))) {
            self.ended = true;
        }
        result
    }

    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    fn advance(&mut self) -> Result<Option<Record>, Fault> {
        if self.at == self.block.len() && !self.read_block()? {
            return Ok(None);
        }
        self.decode().map(Some).ok_or(Fault::Damaged("a record does not parse"))
    }

    /// Reads and checks the next block; `false` at the checked end.
    fn read_block(&mut self) -> Result<bool, Fault> {
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_BLOCK_BYTES {
            return Err(Fault::Damaged("a block is too long"));
        }
        let payload = if length == 0 { 8 } else { length };
        self.block.resize(payload + 32, 0);
        self.input.read_exact(&mut self.block)?;
        let (content, sum) = self.block.split_at(payload);
        if check(&self.seed, self.number, content).as_bytes() != sum {
            return Err(Fault::Damaged("a checksum does not match"));
        }
        self.number += 1;
        self.block.truncate(payload);
        if length == 0 {
            if self.block != self.records.to_le_bytes() {
                return Err(Fault::Damaged("its number of records is wrong"));
            }
            let mut byte = [0];
            if self.input.read(&mut byte)? != 0 {
                return Err(Fault::Damaged("it goes on after its end"));
            }
            return Ok(false);
        }
        self.at = 0;
        self.sharable = 0;
        self.previous = Previous::default();
        Ok(true)
    }

    fn decode(&mut self) -> Option<Record> {
        let block = &self.block;
        let mut at = self.at;
        let shared = usize::try_from(get_varint(block, &mut at)?).ok()?;
        let length = usize::try_from(get_varint(block, &mut at)?).ok()?;
        let suffix = block.get(at..at.checked_add(length)?)?;
        at += length;
        if shared > self.sharable || shared.checked_add(length)? > MAX_PATH_BYTES {
            return None;
        }
        let ascending = self.records == 0 || suffix > self.path.get(shared..)?;
        // After a block's start nothing is shared, but the order must go on.
        if !ascending || length == 0 {
            return None;
        }
        self.path.truncate(shared);
        self.path.extend_from_slice(suffix);
        self.sharable = self.path.len();
        let tag = *block.get(at)?;
        at += 1;
        let record = match tag {
            0 => Record::EmptyDirectory,
            1 | 2 => {
                let size = get_varint(block, &mut at)?;
                let mtime_ns =
                    self.previous.mtime_ns.wrapping_add(unzigzag(get_varint(block, &mut at)?));
                let ctime_ns = mtime_ns.wrapping_add(unzigzag(get_varint(block, &mut at)?));
                let inode = self
                    .previous
                    .inode
                    .wrapping_add(unzigzag(get_varint(block, &mut at)?).cast_unsigned());
                self.previous = Previous { mtime_ns, inode };
                let known = if tag == 2 {
                    let digest: [u8; 32] = block.get(at..at.checked_add(32)?)?.try_into().ok()?;
                    at += 32;
                    Some(BlobId::from_bytes(digest))
                } else {
                    None
                };
                Record::File { stat: FileStat { size, mtime_ns, ctime_ns, inode }, known }
            }
            _ => return None,
        };
        self.at = at;
        self.records += 1;
        Some(record)
    }
}

fn check(seed: &BlobId, number: u64, payload: &[u8]) -> BlobId {
    let mut hasher = BlobHasher::new();
    hasher.update(seed.as_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.update(payload);
    hasher.finish()
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn get_varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(kind: FileKind) -> Header {
        Header { kind, started_ns: -5, root_inode: u64::MAX, root_path: b"/data/\xff".to_vec() }
    }

    fn records() -> impl Strategy<Value = Vec<(LogicalPath, Record)>> {
        let stat = (any::<u64>(), any::<i64>(), any::<i64>(), any::<u64>()).prop_map(
            |(size, mtime_ns, ctime_ns, inode)| FileStat { size, mtime_ns, ctime_ns, inode },
        );
        let record = prop_oneof![
            Just(Record::EmptyDirectory),
            (stat, any::<Option<[u8; 32]>>()).prop_map(|(stat, known)| Record::File {
                stat,
                known: known.map(BlobId::from_bytes)
            }),
        ];
        proptest::collection::btree_map("[a-c]{1,3}(/[a-c\u{e9}\n]{1,40}){0,3}", record, 0..40)
            .prop_map(|map| {
                let mut all: Vec<_> = map
                    .into_iter()
                    .filter_map(|(path, record)| Some((LogicalPath::new(&path).ok()?, record)))
                    .collect();
                all.sort_by(|a, b| a.0.cmp(&b.0));
                all
            })
    }

    fn write(entries: &[(LogicalPath, Record)]) -> Vec<u8> {
        let mut writer = RecordWriter::new(Vec::new(), &header(FileKind::Spool)).expect("memory");
        for (path, record) in entries {
            assert!(writer.push(path, record).expect("memory"));
        }
        writer.finish().expect("memory")
    }

    /// The records up to the first fault, and whether there was none.
    fn read(bytes: &[u8]) -> (Vec<(Vec<u8>, Record)>, bool) {
        let mut all = Vec::new();
        let Ok((_, mut reader)) = RecordReader::new(bytes) else { return (all, false) };
        loop {
            match reader.next() {
                Ok(Some(record)) => all.push((reader.path().to_vec(), record)),
                Ok(None) => return (all, true),
                Err(_) => return (all, false),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_written_is_read(entries in records()) {
            let (back, whole) = read(&write(&entries));
            prop_assert!(whole);
            let expected: Vec<_> = entries.iter().map(|(p, r)| (p.as_bytes().to_vec(), *r)).collect();
            prop_assert_eq!(back, expected);
        }

        #[test]
        fn a_damaged_file_never_gives_other_records(
            entries in records(), at: prop::sample::Index, with in 1u8..=255, cut: Option<prop::sample::Index>
        ) {
            let good = write(&entries);
            let mut bad = good.clone();
            let at = at.index(bad.len());
            bad[at] ^= with;
            if let Some(cut) = cut {
                bad.truncate(cut.index(good.len()));
            }
            let (back, whole) = read(&bad);
            prop_assert!(!whole);
            let expected: Vec<_> = entries.iter().map(|(p, r)| (p.as_bytes().to_vec(), *r)).collect();
            prop_assert_eq!(&back[..], &expected[..back.len()]);
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>, payload: Vec<u8>, records: u64) {
            read(&bytes);
            // A well-formed frame around arbitrary payload reaches the decoder.
            let mut framed = write(&[])[..25].to_vec();
            put_varint(&mut framed, 0);
            let seed = BlobId::of(&framed);
            framed.extend_from_slice(&u32::try_from(payload.len()).expect("short").to_le_bytes());
            framed.extend_from_slice(&payload);
            framed.extend_from_slice(check(&seed, 0, &payload).as_bytes());
            framed.extend_from_slice(&0u32.to_le_bytes());
            framed.extend_from_slice(&records.to_le_bytes());
            framed.extend_from_slice(check(&seed, 1, &records.to_le_bytes()).as_bytes());
            read(&framed);
        }

        #[test]
        fn varints_round_trip(value: u64, signed: i64) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            prop_assert_eq!(get_varint(&bytes, &mut 0), Some(value));
            prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        }
    }

    #[test]
    fn order_holds_across_blocks() {
        let path =
            |n: u32| LogicalPath::new(&format!("{}/{n:06}", "d".repeat(200))).expect("valid");
        let file = Record::File {
            stat: FileStat { size: 1, mtime_ns: 2, ctime_ns: 3, inode: 4 },
            known: Some(BlobId::of(b"x")),
        };
        let mut writer = RecordWriter::new(Vec::new(), &header(FileKind::Cache)).expect("memory");
        for n in 0..5000 {
            assert!(writer.push(&path(n), &file).expect("memory"));
        }
        assert!(writer.number > 2, "several blocks were written");
        assert!(!writer.push(&path(4999), &file).expect("memory"));
        assert!(!writer.push(&path(17), &file).expect("memory"));
        let bytes = writer.finish().expect("memory");
        let (back, whole) = read(&bytes);
        assert!(whole);
        assert_eq!(back.len(), 5000);
        assert!(back.windows(2).all(|w| w[0].0 < w[1].0));
    }
}
