//! Directories of the user: scanned into entries, and written from entries.
//!
//! [`scan`] walks a directory and gives every file and empty directory, in the
//! byte order of full logical paths (the order of a manifest), without reading
//! a file. A [`StatCache`] read beside the walk says which files are as they
//! were when they were last hashed. The rest is opened with [`SourceFile`],
//! which fails when the file is not what was scanned or changes while it is
//! read. [`Writer`] goes the other way: it writes entries below a directory
//! handle, never through a link, each file under a temporary name until its
//! bytes are verified. [`verify_tree`] compares a directory with what should be
//! in it.
//!
//! # Why this shape
//! - Everything streams in path order, so that scan, stat cache and manifest
//!   are merged side by side, in memory that does not grow with the tree. Only
//!   the names of the directories on the way down are held.
//! - A path is never opened as text from the file system's root: one handle is
//!   held, and the kernel is told to stay below it and to follow no link. What
//!   another user plants or swaps there leads to an error, not outside.
//! - Problems of a scan (unreadable files, pipes, names that are not UTF-8, …)
//!   are collected, all of them, rather than met one at a time.
//!
//! # What it refuses to do
//! It stores nothing, uploads nothing and knows nothing of artifacts. It keeps
//! no mode bits, owners, times or extended attributes, and recreates no links.
//! It never prints, and reads neither environment nor clock: the time of a scan
//! is passed in. It runs on Unix; without `openat2` (Linux) the same is done one
//! path part at a time.
//!
//! ```
//! use heirloom_manifest::BlobId;
//! use heirloom_worktree::{
//!     Links, Root, ScanKind, ScanOptions, StatCache, StatCacheWriter, Writer, WriterOptions, cache_path,
//!     read_small, scan,
//! };
//! # let temporary = tempfile::tempdir()?;
//! # let (source, target, caches) = (temporary.path().join("a"), temporary.path().join("b"), temporary.path());
//! # std::fs::create_dir_all(source.join("images"))?;
//! # std::fs::write(source.join("images/cat.png"), b"meow")?;
//! # let now_ns = 2_000_000_000_000_000_000; // the caller's clock
//! let root = Root::open(&source)?;
//! let cache_file = cache_path(caches, &root);
//! let mut cache = StatCache::open(&cache_file, &root);
//! let mut next_cache = StatCacheWriter::create(&cache_file, &root, now_ns)?;
//! let writer = Writer::open(&target, WriterOptions::default())?;
//!
//! let report = scan(&root, &ScanOptions::default(), &mut cache, |entry| {
//!     match entry.kind {
//!         ScanKind::File { stat, known } => {
//!             let mut bytes = Vec::new();
//!             read_small(&root, &entry.path, &stat, Links::Follow, &mut bytes)?;
//!             let blob = known.unwrap_or_else(|| BlobId::of(&bytes));
//!             next_cache.add(&entry.path, &stat, &blob)?;
//!             let mut file = writer.write_file(&entry.path, &blob, stat.size)?;
//!             file.add(&bytes)?;
//!             file.commit()
//!         }
//!         ScanKind::EmptyDirectory => writer.make_empty_dir(&entry.path),
//!     }
//! })?;
//! next_cache.commit()?;
//! assert!(report.problems.is_empty());
//! assert_eq!(std::fs::read(target.join("images/cat.png"))?, b"meow");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache;
mod compare;
mod error;
mod listing;
mod names;
mod record;
mod root;
mod scan;
mod source;
mod spool;
mod stat;
mod sys;
mod walk;
mod writer;

pub use cache::{CacheState, StatCache, StatCacheWriter, cache_path, remove_cache_leftovers};
pub use compare::{Expected, ExpectedKind, Finding, TreeReport, verify_tree};
pub use error::{Error, escaped};
pub use names::{MAX_NAME_BYTES, NameRule, TEMPORARY_PREFIX, fold, portability};
pub use root::Root;
pub use scan::{
    Counted, Links, Problem, ProblemKind, ScanEntry, ScanKind, ScanOptions, ScanReport, scan,
};
pub use source::{SourceFile, read_small};
pub use spool::{SpoolReader, SpoolWriter};
pub use stat::FileStat;
pub use walk::IGNORE_FILE;
pub use writer::{
    Existing, FileWriter, LinkMode, NameMatching, Placed, Progress, Writer, WriterOptions,
};
