//! Writes 50,000 blobs of 4 KiB into packs and reads them back in bulk, each
//! verified; prints wall and processor time of both. Run it with `--release`
//! and a directory on the disk of interest:
//!
//! `cargo run --release -p heirloom-store --example bench_pack -- DIRECTORY`

#![allow(clippy::print_stdout)]

use std::time::Instant;

use heirloom_store::{
    Extent, Kind, LocalStore, ObjectKey, PACK_TARGET_SIZE, PackOptions, PackWriter, Store,
    StoreError, StoreExt, put_file, read_many, stream_whole,
};

const BLOBS: usize = 50_000;
const LENGTH: usize = 4096;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let below = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(below)?;
    let store = LocalStore::create(directory.path().join("store"))?;

    for compressible in [false, true] {
        let what = if compressible { "compressible" } else { "incompressible" };
        let blobs: Vec<Vec<u8>> = (0..BLOBS).map(|n| blob(n as u64, compressible)).collect();
        let mut places: Vec<Extent> = Vec::new();
        measure(&format!("write {BLOBS} x {LENGTH} {what}"), BLOBS * LENGTH, || {
            let mut writer = PackWriter::new(&store, PackOptions::default())?;
            let mut finish = |writer: PackWriter| -> Result<(), StoreError> {
                if let Some(pack) = writer.finish()? {
                    places
                        .extend(pack.records.iter().map(|record| Extent::packed(pack.id, record)));
                }
                Ok(())
            };
            for blob in &blobs {
                if writer.size() >= PACK_TARGET_SIZE {
                    finish(std::mem::replace(
                        &mut writer,
                        PackWriter::new(&store, PackOptions::default())?,
                    ))?;
                }
                writer.add(Kind::Content, blob)?;
            }
            finish(writer)
        })?;
        let stored: u64 = places.iter().map(|place| place.stored_len).sum();
        println!("  stored as {} KiB", stored >> 10);
        let mut bytes = 0;
        measure("read them back, verified", BLOBS * LENGTH, || {
            read_many(&store, &mut places, |_, blob| {
                bytes += blob?.len();
                Ok::<(), StoreError>(())
            })
        })?;
        assert_eq!(bytes, BLOBS * LENGTH);
    }

    let path = directory.path().join("large");
    let large: Vec<u8> = (0..64).flat_map(|n| noise(n, 4 << 20)).collect();
    std::fs::write(&path, &large)?;
    let file = std::fs::File::open(&path)?;
    // Else its own writing back is counted as that of the copy.
    file.sync_all()?;
    let put = |what: &str| {
        let mut stored = None;
        measure(what, large.len(), || {
            stored = Some(put_file(&store, &file, &path, None, &mut |_| {})?);
            Ok(())
        })?;
        Ok::<_, StoreError>(stored.expect("it was put").id)
    };
    // In a virtual machine, memory touched for the first time costs more than
    // all the rest; the second put gets pages that the first one gave back.
    let id = put("put a file of 256 MiB")?;
    store.delete(&ObjectKey::Whole(id))?;
    let id = put("put it again, after deleting it")?;
    measure("stream it, verified", large.len(), || {
        stream_whole(&store, &id, |_| Ok::<(), StoreError>(())).map(drop)
    })?;
    println!("{} objects", store.walk().count());
    Ok(())
}

fn blob(seed: u64, compressible: bool) -> Vec<u8> {
    if compressible {
        let words = noise(seed, LENGTH / 16);
        words
            .iter()
            .flat_map(|word| format!("the value is {word:02x} ").into_bytes())
            .take(LENGTH)
            .collect()
    } else {
        noise(seed, LENGTH)
    }
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn measure(
    what: &str,
    bytes: usize,
    work: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (cpu, wall) = (processor_seconds(), Instant::now());
    work()?;
    let (cpu, wall) = (processor_seconds() - cpu, wall.elapsed().as_secs_f64());
    let rate = bytes as f64 / wall / 1e9;
    println!("{what}: {wall:.3} s wall, {cpu:.3} s CPU, {rate:.2} GB/s");
    Ok(())
}

/// User and system time of all threads of this process so far, where the system
/// tells it as Linux does, in hundredths of a second; else 0.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
