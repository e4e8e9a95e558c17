//! The pack format: round trips, damage, hostile bytes, the documented vector.

use std::collections::BTreeMap;

use heirloom_manifest::BlobId;
use proptest::prelude::*;

use super::{bytes_of, noise, plant};
use crate::pack::format::{FOOTER_LEN, Footer, MAGIC, RECORD_LEN};
use crate::{
    Codec, Extent, Fault, Kind, MemoryStore, ObjectKey, PackId, PackIndex, PackOptions, PackReader,
    PackRecord, PackWriter, StoreError, read_blob,
};

fn any_blob() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..200),
        2 => (any::<u8>(), 0usize..20_000).prop_map(|(byte, length)| vec![byte; length]),
        1 => (any::<u64>(), 0usize..20_000).prop_map(|(seed, length)| noise(seed, length)),
    ]
}

fn any_kind() -> impl Strategy<Value = Kind> {
    (0u8..4).prop_map(|code| Kind::from_code(code).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packs_round_trip(
        blobs in proptest::collection::vec((any_kind(), any_blob()), 1..60),
        compress: bool,
    ) {
        let store = MemoryStore::new();
        let mut writer = PackWriter::new(&store, PackOptions::default().compress(compress)).unwrap();
        let mut expected = BTreeMap::new();
        for (kind, blob) in &blobs {
            let id = writer.add(*kind, blob).unwrap();
            prop_assert_eq!(id, BlobId::of(blob));
            expected.entry(id).or_insert((*kind, blob));
            prop_assert_eq!(writer.len(), expected.len());
        }
        let size = writer.size();
        let finished = writer.finish().unwrap().unwrap();
        prop_assert_eq!(finished.size, size);
        let object = bytes_of(&store, &ObjectKey::Pack(finished.id));
        prop_assert_eq!(object.len() as u64, size);

        let reader = PackReader::open(&store, &finished.id).unwrap();
        prop_assert_eq!(reader.index().records(), &finished.records[..]);
        prop_assert_eq!(finished.records.len(), expected.len());
        for (record, (id, (kind, blob))) in finished.records.iter().zip(&expected) {
            prop_assert_eq!((&record.id, record.kind), (id, *kind));
            prop_assert_eq!(reader.index().get(id), Some(record));
            prop_assert_eq!(&&reader.read(id).unwrap().unwrap(), blob);
            prop_assert_eq!(&&read_blob(&store, &Extent::packed(finished.id, record)).unwrap(), blob);
            prop_assert!(compress || record.codec == Codec::Raw);
        }
        prop_assert_eq!(reader.read(&BlobId::of(b"in no pack of this test")).unwrap(), None);
    }

    #[test]
    fn hostile_tails_are_refused_without_panic(
        mut tail in proptest::collection::vec(any::<u8>(), 0..400),
        object_size in 0u64..1000,
        with_magic: bool,
    ) {
        if with_magic && tail.len() >= 16 {
            let at = tail.len() - 16;
            tail[at..at + 8].fill(0);
            tail[at + 8..].copy_from_slice(b"HLMPIDX1");
        }
        prop_assert!(PackIndex::parse(&tail, object_size).is_err());
    }

    /// Indexes that carry a right hash and arbitrary records.
    #[test]
    fn hostile_indexes_with_a_right_hash_are_refused_or_sound(
        changes in proptest::collection::vec((0usize..RECORD_LEN * 3, any::<u8>()), 1..4),
    ) {
        let (good, index_offset) = tiny_index();
        let mut changed = good.clone();
        for (at, byte) in changes {
            changed[at] = byte;
        }
        match PackIndex::parse(&seal(&changed, index_offset), object_len(&changed, index_offset)) {
            Err(_) => {}
            Ok(index) => {
                // What is accepted has one encoding: what was read.
                let mut again = Vec::new();
                index.records().iter().for_each(|record| record.encode(&mut again));
                prop_assert_eq!(again, changed);
            }
        }
    }
}

fn tiny_index() -> (Vec<u8>, u64) {
    let mut blobs = [vec![1; 10], vec![2; 20], vec![3; 30]];
    blobs.sort_by_key(|blob| BlobId::of(blob));
    let mut index = Vec::new();
    let mut offset = MAGIC.len() as u64;
    for blob in &blobs {
        record(blob, offset).encode(&mut index);
        offset += blob.len() as u64;
    }
    (index, offset)
}

fn record(blob: &[u8], offset: u64) -> PackRecord {
    let length = blob.len() as u64;
    let id = BlobId::of(blob);
    PackRecord {
        id,
        offset,
        stored_len: length,
        raw_len: length,
        codec: Codec::Raw,
        kind: Kind::Content,
    }
}

/// The end of a pack with this index, whatever is in it.
fn seal(index: &[u8], index_offset: u64) -> Vec<u8> {
    let mut tail = index.to_vec();
    let count = (index.len() / RECORD_LEN) as u64;
    Footer { index_offset, count, id: PackId::of_index(index) }.encode(&mut tail);
    tail
}

fn object_len(index: &[u8], index_offset: u64) -> u64 {
    index_offset + (index.len() + FOOTER_LEN) as u64
}

#[test]
fn each_rule_of_the_index_is_checked_and_named() {
    let (good, index_offset) = tiny_index();
    let parse = |index: &[u8]| {
        PackIndex::parse(&seal(index, index_offset), object_len(index, index_offset))
    };
    assert!(parse(&good).is_ok());
    let change = |at: usize, byte: u8| {
        let mut index = good.clone();
        index[at] = byte;
        parse(&index).unwrap_err()
    };
    assert!(matches!(change(32, 9), Fault::NotContiguous { .. }), "gap or overlap");
    assert!(matches!(change(40, 99), Fault::BadLengths { .. }), "raw with two lengths");
    assert!(matches!(change(56, 2), Fault::UnknownCodec { codec: 2, .. }));
    assert!(matches!(change(56, 1), Fault::BadLengths { .. }), "zstd that is not shorter");
    assert!(matches!(change(57, 4), Fault::UnknownKind { kind: 4, .. }));
    assert!(matches!(change(58, 1), Fault::UnknownKeyId { key_id: 1, .. }));
    assert!(matches!(change(59, 1), Fault::UnknownKeyId { key_id: 256, .. }));
    assert_eq!(change(60, 1), Fault::ReservedNotZero);
    assert_eq!(change(63, 1), Fault::ReservedNotZero);
    assert!(matches!(change(51, 2), Fault::BlobTooLarge { .. }));

    let swapped = [&good[64..128], &good[..64], &good[128..]].concat();
    assert_eq!(parse(&swapped).unwrap_err(), Fault::NotAscending);
    let doubled = [&good[..64], &good[..64], &good[128..]].concat();
    assert_eq!(parse(&doubled).unwrap_err(), Fault::NotAscending);
    assert!(
        matches!(parse(&good[..128]).unwrap_err(), Fault::NotContiguous { .. }),
        "a blob without record"
    );
    assert_eq!(parse(&[]).unwrap_err(), Fault::BadFooter, "no blob at all");
    assert_eq!(PackIndex::parse(&[], 0).unwrap_err(), Fault::TooShort);

    // What is unknown is told from what is damaged.
    let key = ObjectKey::Whole(BlobId::of(b""));
    assert!(matches!(StoreError::faulty(key, change(56, 2)), StoreError::Unsupported { .. }));
    assert!(StoreError::faulty(key, change(60, 1)).is_damage());
}

/// Every single byte changed, and every length cut or extended: an error or the
/// identical blob, never other bytes.
#[test]
fn no_single_damage_to_a_pack_gives_wrong_bytes() {
    let store = MemoryStore::new();
    let blobs = [b"short".to_vec(), b"compressible ".repeat(20), noise(1, 100), Vec::new()];
    let mut writer = PackWriter::new(&store, PackOptions::default()).unwrap();
    for blob in &blobs {
        writer.add(Kind::Content, blob).unwrap();
    }
    let finished = writer.finish().unwrap().unwrap();
    let key = ObjectKey::Pack(finished.id);
    let good = bytes_of(&store, &key);
    assert!(finished.records.iter().any(|record| record.codec == Codec::Zstd));

    // Returns whether anything was noticed.
    let check = |damaged: &[u8]| {
        plant(&store, key, damaged);
        let mut noticed = 0;
        for record in &finished.records {
            match read_blob(&store, &Extent::packed(finished.id, record)) {
                Ok(bytes) => assert_eq!(BlobId::of(&bytes), record.id),
                Err(_) => noticed += 1,
            }
        }
        match PackReader::open(&store, &finished.id) {
            Err(_) => noticed += 1,
            Ok(reader) => {
                for blob in &blobs {
                    match reader.read(&BlobId::of(blob)) {
                        Ok(read) => assert_eq!(read.as_ref(), Some(blob)),
                        Err(error) => {
                            assert!(error.is_damage(), "{error:?}");
                            noticed += 1;
                        }
                    }
                }
            }
        }
        noticed
    };
    assert_eq!(check(&good), 0);
    for at in 0..good.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut damaged = good.clone();
            damaged[at] ^= mask;
            let noticed = check(&damaged);
            // A frame has bits without meaning, such as an unused descriptor bit;
            // the blob it gives is nevertheless the right one.
            let in_frame = finished.records.iter().any(|record| {
                record.codec == Codec::Zstd
                    && (record.offset..record.offset + record.stored_len).contains(&(at as u64))
            });
            assert!(noticed > 0 || in_frame, "byte {at} changed by {mask:#x}");
        }
    }
    for length in 0..good.len() {
        assert!(check(&good[..length]) > 0, "cut to {length}");
    }
    assert!(check(&[&good[..], b"\0"].concat()) > 0);
}

#[test]
fn frames_that_the_format_forbids_are_refused() {
    let raw = b"frame ".repeat(100);
    let frame = zstd::bulk::compress(&raw, 1).unwrap();
    let id = BlobId::of(&raw);
    let half = zstd::bulk::compress(&raw[..300], 1).unwrap();
    let other_half = zstd::bulk::compress(&raw[300..], 1).unwrap();
    let mut without_size = Vec::new();
    let mut encoder = zstd::stream::Encoder::new(&mut without_size, 1).unwrap();
    encoder.include_contentsize(false).unwrap();
    std::io::copy(&mut &raw[..], &mut encoder).unwrap();
    encoder.finish().unwrap();
    let mut wide_window = frame.clone();
    wide_window[4] &= !0x20;
    wide_window.insert(5, 0xf8);
    let cases: [(&str, Vec<u8>, bool); 6] = [
        ("one frame", frame.clone(), true),
        ("two frames", [half, other_half].concat(), false),
        ("bytes after it", [&frame[..], b"x"].concat(), false),
        ("no content size", without_size, false),
        ("a window of terabytes", wide_window, false),
        ("no frame", noise(1, 50), false),
    ];
    let store = MemoryStore::new();
    for (what, stored, good) in cases {
        let key = ObjectKey::Pack(PackId::from_bytes([1; 32]));
        plant(&store, key, &stored);
        let (stored_len, raw_len) = (stored.len() as u64, raw.len() as u64);
        let extent = Extent { id, key, offset: 0, stored_len, raw_len, codec: Codec::Zstd };
        match read_blob(&store, &extent) {
            Ok(bytes) => assert!(good && bytes == raw, "{what}"),
            Err(error) => assert!(!good && error.is_damage(), "{what}: {error:?}"),
        }
        assert!(read_blob(&store, &Extent { raw_len: raw_len - 1, ..extent }).is_err(), "{what}");
    }
}

#[test]
fn a_pack_under_another_name_is_refused() {
    let store = MemoryStore::new();
    let mut writer = PackWriter::new(&store, PackOptions::default()).unwrap();
    writer.add(Kind::Content, b"x").unwrap();
    let finished = writer.finish().unwrap().unwrap();
    let bytes = bytes_of(&store, &ObjectKey::Pack(finished.id));
    let other = PackId::from_bytes([3; 32]);
    plant(&store, ObjectKey::Pack(other), &bytes);
    match PackReader::open(&store, &other) {
        Err(StoreError::Corrupt { fault: Fault::WrongPackId { expected, actual }, .. }) => {
            assert_eq!((expected, actual), (other, finished.id));
        }
        found => panic!("{found:?}"),
    }
}

#[test]
fn an_index_longer_than_the_first_read_is_read_whole() {
    let store = MemoryStore::new();
    let mut writer = PackWriter::new(&store, PackOptions::default()).unwrap();
    for n in 0u32..3000 {
        writer.add(Kind::Content, &n.to_le_bytes()).unwrap();
    }
    let finished = writer.finish().unwrap().unwrap();
    let reader = PackReader::open(&store, &finished.id).unwrap();
    assert_eq!(reader.index().records().len(), 3000);
    assert_eq!(reader.read(&BlobId::of(&7u32.to_le_bytes())).unwrap().unwrap(), 7u32.to_le_bytes());
}

#[test]
fn compression_is_used_where_it_pays() {
    let store = MemoryStore::new();
    let mut writer = PackWriter::new(&store, PackOptions::default()).unwrap();
    let mut codec = |kind, bytes: &[u8]| {
        let id = writer.add(kind, bytes).unwrap();
        writer.get(&id).unwrap().codec
    };
    // Three bytes of four are noise: saves about a quarter.
    let quarter: Vec<u8> = noise(1, 4000)
        .into_iter()
        .enumerate()
        .map(|(n, byte)| if n < 1000 { 0 } else { byte })
        .collect();
    assert_eq!(codec(Kind::Content, &quarter), Codec::Zstd);
    assert_eq!(
        codec(Kind::Node, &quarter[1..]),
        Codec::Raw,
        "nodes are read too often for so little"
    );
    assert_eq!(codec(Kind::Node, &[7; 4000]), Codec::Zstd);
    assert_eq!(codec(Kind::Content, &[7; 63]), Codec::Raw);
    assert_eq!(codec(Kind::Content, &noise(2, 4000)), Codec::Raw);

    // After much noise it tries seldom, and finds back when that pays again.
    for seed in 100..200 {
        codec(Kind::Content, &noise(seed, 4000));
    }
    let tried: Vec<Codec> = (0u8..40).map(|n| codec(Kind::Content, &[n; 5000])).collect();
    let first = tried.iter().position(|codec| *codec == Codec::Zstd).unwrap();
    assert!(first > 0 && first <= 16, "{first}");
    assert!(tried[first..].iter().all(|codec| *codec == Codec::Zstd));
}

#[test]
fn an_empty_pack_is_no_object() {
    let store = MemoryStore::new();
    let nothing = PackWriter::new(&store, PackOptions::default()).unwrap();
    assert!(nothing.finish().unwrap().is_none());
    assert_eq!(crate::StoreExt::walk(&store).count(), 0);
}

/// Compares `docs/format.md` §4, "Test vector", with what is written today.
#[test]
fn the_documented_pack_is_what_is_written() {
    let document = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/format.md"));
    let section =
        document.split("### Test vector: a pack").nth(1).unwrap().split("\n## ").next().unwrap();
    let block = section.split("```").nth(1).unwrap().trim_start_matches("text");
    let hex: String = block
        .lines()
        .filter_map(|line| {
            line.split_once("  ").map(|(_, rest)| rest.split('|').next().unwrap_or(rest))
        })
        .flat_map(str::chars)
        .filter(|c| !c.is_whitespace())
        .collect();
    let documented: Vec<u8> = (0..hex.len() / 2)
        .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
        .collect();

    let store = MemoryStore::new();
    let mut writer = PackWriter::new(&store, PackOptions::default()).unwrap();
    writer.add(Kind::Content, b"hello\n").unwrap();
    writer.add(Kind::Content, b"").unwrap();
    writer.add(Kind::Journal, b"{}\n").unwrap();
    let finished = writer.finish().unwrap().unwrap();
    let key = ObjectKey::Pack(finished.id);
    let written = bytes_of(&store, &key);
    let dump: String = written
        .chunks(16)
        .enumerate()
        .map(|(n, line)| {
            let bytes: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{:04x}  {}\n", n * 16, bytes.join(" "))
        })
        .collect();
    assert!(documented == written, "the object is now\n{dump}");
    assert!(section.contains(&key.to_string()), "its key is now {key}");

    // And a reader that knows only the document's bytes gets the blobs.
    let store = MemoryStore::new();
    plant(&store, key, &documented);
    let reader = PackReader::open(&store, &finished.id).unwrap();
    for blob in [&b"hello\n"[..], b"", b"{}\n"] {
        assert_eq!(reader.read(&BlobId::of(blob)).unwrap().unwrap(), blob);
    }
    // A stored frame, which other versions of zstd may write differently.
    let frame = section.split("`28b52ffd").nth(1).unwrap().split('`').next().unwrap();
    let frame = format!("28b52ffd{frame}");
    let stored: Vec<u8> = (0..frame.len() / 2)
        .map(|n| u8::from_str_radix(&frame[2 * n..2 * n + 2], 16).unwrap())
        .collect();
    plant(&store, key, &stored);
    let extent = Extent {
        id: BlobId::of(&[b'a'; 100]),
        key,
        offset: 0,
        stored_len: stored.len() as u64,
        raw_len: 100,
        codec: Codec::Zstd,
    };
    assert_eq!(read_blob(&store, &extent).unwrap(), [b'a'; 100]);
}
