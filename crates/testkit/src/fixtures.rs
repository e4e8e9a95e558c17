//! Bytes and directory trees that depend on a seed alone.

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

/// A small deterministic generator (SplitMix64, Steele, Lea and Flood 2014). Not
/// for secrets.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator whose output depends on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}

/// `length` pseudo-random bytes, which do not compress.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        out.extend_from_slice(&rng.next_u64().to_le_bytes());
    }
    out.truncate(length);
    out
}

/// `length` bytes of words and lines, which compress well.
pub fn text(seed: u64, length: usize) -> Vec<u8> {
    const WORDS: [&str; 12] = [
        "animal ",
        "label ",
        "0.0\n",
        "cat ",
        "dog ",
        "epoch ",
        "loss ",
        "bird ",
        "train ",
        "1\n",
        "validation ",
        "accuracy ",
    ];
    let mut rng = Rng::new(seed);
    let mut out = Vec::with_capacity(length + 16);
    while out.len() < length {
        out.extend_from_slice(WORDS[rng.below(WORDS.len() as u64) as usize].as_bytes());
    }
    out.truncate(length);
    out
}

/// A directory tree made of pseudo-random files, described rather than held.
///
/// ```
/// use heirloom_testkit::fixtures::Tree;
/// let tree = Tree { seed: 1, files: 5, per_directory: 2, sizes: 0..=10 };
/// let paths: Vec<_> = tree.entries().map(|(path, _)| path).collect();
/// assert_eq!(paths[4], "d00002/f000004.bin");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// What the sizes and contents depend on.
    pub seed: u64,
    /// Number of files.
    pub files: usize,
    /// Files in each directory; 0 puts all of them at the top.
    pub per_directory: usize,
    /// Sizes in bytes, spread evenly.
    pub sizes: RangeInclusive<usize>,
}

impl Tree {
    /// The files in path order, made as they are asked for: path below the top,
    /// and content.
    pub fn entries(&self) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
        (0..self.files).map(|number| {
            let seed = self.seed.wrapping_mul(0x0100_0000_01b3) ^ number as u64;
            let span = (self.sizes.end() - self.sizes.start()) as u64 + 1;
            let size = self.sizes.start() + Rng::new(!seed).below(span) as usize;
            (self.path(number), bytes(seed, size))
        })
    }

    /// Writes the files below `directory`, which is created.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory)?;
        for (path, content) in self.entries() {
            write_file(directory, &path, &content)?;
        }
        Ok(())
    }

    fn path(&self, number: usize) -> String {
        match number.checked_div(self.per_directory) {
            Some(directory) => format!("d{directory:05}/f{number:06}.bin"),
            None => format!("f{number:06}.bin"),
        }
    }
}

/// Writes `content` to `path` below `directory`, creating what lies between.
///
/// # Errors
/// What the file system says.
pub fn write_file(directory: &Path, path: &str, content: &[u8]) -> io::Result<()> {
    let target = directory.join(path);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(target, content)
}

/// Shorthand for [`Tree`]: `files` files of `sizes` bytes, 100 in a directory,
/// written below `directory`; returns the paths in order.
///
/// # Errors
/// What the file system says.
pub fn tree(
    directory: &Path,
    seed: u64,
    files: usize,
    sizes: RangeInclusive<usize>,
) -> io::Result<Vec<String>> {
    let tree = Tree { seed, files, per_directory: 100, sizes };
    tree.write(directory)?;
    Ok((0..files).map(|number| tree.path(number)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_depend_on_the_seed_alone_and_prefixes_agree() {
        assert_eq!(bytes(7, 100)[..33], bytes(7, 33)[..]);
        assert_ne!(bytes(7, 100), bytes(8, 100));
        // First output of the reference implementation for seed 0.
        assert_eq!(bytes(0, 8), 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
    }

    #[test]
    fn trees_are_in_path_order_and_within_their_sizes() {
        let tree = Tree { seed: 3, files: 250, per_directory: 100, sizes: 2..=5 };
        let paths: Vec<_> = tree.entries().map(|(path, _)| path).collect();
        assert!(paths.is_sorted());
        assert!(tree.entries().all(|(_, content)| (2..=5).contains(&content.len())));
        assert_eq!(paths[249], "d00002/f000249.bin");
    }
}
