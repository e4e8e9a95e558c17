//! A file larger than memory should ever be.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::support::Sandbox;

/// Address space that the command may have, in KiB: far less than the file.
const LIMIT: u32 = 700_000;

const SIZE: u64 = 4 << 30;

#[test]
fn four_gibibytes_go_in_and_out_within_bounded_memory() {
    let sandbox = Sandbox::new();
    // Sparse, with something in it, so that places that get lost would show.
    let file = File::create(sandbox.path("big.bin")).unwrap();
    file.set_len(SIZE).unwrap();
    file.write_all_at(b"first", 0).unwrap();
    file.write_all_at(b"middle", SIZE / 2 + 1).unwrap();
    file.write_all_at(b"last", SIZE - 4).unwrap();
    let bounded = |command: &str| {
        let ran = sandbox.shell(&format!("ulimit -v {LIMIT}; {command}"));
        ran.expect(0);
        ran
    };
    bounded("heirloom put big.bin -n big -t blob").prints("big:v0\n");
    bounded("heirloom put big.bin -n big").says("unchanged");
    bounded("heirloom get big --root out");
    std::fs::remove_dir_all(sandbox.home()).unwrap();
    bounded("cmp big.bin out/big.bin");
}
