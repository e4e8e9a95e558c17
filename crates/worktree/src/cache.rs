//! The stat cache: what files hashed to, for as long as they look the same.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

use heirloom_manifest::{BlobId, LogicalPath};

use crate::error::Error;
use crate::record::{Fault, FileKind, Header, Record, RecordReader, RecordWriter};
use crate::root::Root;
use crate::stat::FileStat;
use crate::sys;

/// The file below `directory` in which the cache of `root` belongs: one per
/// scanned path, named by a hash of it.
pub fn cache_path(directory: &Path, root: &Root) -> PathBuf {
    let hex = BlobId::of(sys::bytes_of(root.path())).to_hex();
    directory.join(format!("{}.stat", &hex[..32]))
}

/// Removes what writers of caches in `directory` left when they were killed:
/// temporary files last changed before `before_ns`.
pub fn remove_cache_leftovers(directory: &Path, before_ns: i64) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let changed = |meta: fs::Metadata| {
            meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
        };
        if name.contains(".stat.")
            && name.ends_with(".tmp")
            && entry.metadata().is_ok_and(|meta| changed(meta) < before_ns)
        {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// What became of a [`StatCache`] as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CacheState {
    /// All that was read so far was sound.
    #[default]
    Sound,
    /// There was none, or it belongs to another directory.
    Absent,
    /// It could not be read, or a checksum did not match; from there on nothing
    /// of it was believed.
    Damaged,
}

/// Reads a stat cache in path order, beside a scan.
///
/// It can only ever save work: no file, another root, a damaged block all mean
/// that files count as unknown. Each block is checked before any digest in it
/// is believed.
pub struct StatCache {
    reader: Option<RecordReader<Box<dyn Read + Send>>>,
    current: Option<Record>,
    state: CacheState,
}

impl std::fmt::Debug for StatCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatCache").field("state", &self.state).finish_non_exhaustive()
    }
}

impl StatCache {
    /// A cache that knows nothing.
    pub fn empty() -> Self {
        Self { reader: None, current: None, state: CacheState::Absent }
    }

    /// Opens the cache file of `root`, written by [`StatCacheWriter`].
    pub fn open(file: &Path, root: &Root) -> Self {
        match File::open(file) {
            Ok(file) => {
                Self::from_reader(Box::new(io::BufReader::with_capacity(128 * 1024, file)), root)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::empty(),
            Err(_) => Self { state: CacheState::Damaged, ..Self::empty() },
        }
    }

    /// As [`StatCache::open`], from bytes kept elsewhere.
    pub fn from_reader(input: Box<dyn Read + Send>, root: &Root) -> Self {
        match RecordReader::new(input) {
            Ok((header, reader)) if header == header_of(root, header.started_ns) => {
                let mut cache =
                    Self { reader: Some(reader), current: None, state: CacheState::Sound };
                cache.advance();
                cache
            }
            Ok(_) => Self::empty(),
            Err(_) => Self { state: CacheState::Damaged, ..Self::empty() },
        }
    }

    /// What became of it so far.
    pub fn state(&self) -> CacheState {
        self.state
    }

    /// The digest of the file at `path`, if it is known and the file looks as
    /// it did then. Ask in ascending order of paths; what was passed is gone.
    pub fn lookup(&mut self, path: &LogicalPath, stat: &FileStat) -> Option<BlobId> {
        while let (Some(reader), Some(record)) = (&self.reader, &self.current) {
            match reader.path().cmp(path.as_bytes()) {
                Ordering::Less => self.advance(),
                Ordering::Greater => return None,
                Ordering::Equal => {
                    return match record {
                        Record::File { stat: then, known } if then == stat => *known,
                        _ => None,
                    };
                }
            }
        }
        None
    }

    fn advance(&mut self) {
        let Some(reader) = &mut self.reader else { return };
        match reader.next() {
            Ok(Some(record)) => self.current = Some(record),
            Ok(None) => self.reader = None,
            Err(_) => {
                self.reader = None;
                self.state = CacheState::Damaged;
            }
        }
    }
}

fn header_of(root: &Root, started_ns: i64) -> Header {
    Header {
        kind: FileKind::Cache,
        started_ns,
        root_inode: root.inode(),
        root_path: sys::bytes_of(root.path()).to_vec(),
    }
}

/// Writes a new stat cache beside the old one and puts it in its place.
///
/// Not flushed to disk: a cache torn by a power loss fails its checksums and
/// costs one reading of the files.
#[derive(Debug)]
pub struct StatCacheWriter {
    writer: Option<RecordWriter<BufWriter<File>>>,
    temporary: PathBuf,
    path: PathBuf,
    started_ns: i64,
}

impl StatCacheWriter {
    /// Starts the cache file `path` of `root`. `started_ns` is the time, in
    /// nanoseconds since 1970, at which the scan **started**: files that
    /// changed about then or later are not believed (see
    /// [`FileStat::settled_before`]). Pass a time that is too early rather than
    /// too late.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be made.
    pub fn create(path: &Path, root: &Root, started_ns: i64) -> Result<Self, Error> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let failed = |source: io::Error| Error::io("write", path, source);
        let (file, temporary) = loop {
            let number = COUNTER.fetch_add(1, Atomic::Relaxed);
            let mut name = path.as_os_str().to_owned();
            name.push(format!(".{}-{number}.tmp", std::process::id()));
            match File::create_new(&name) {
                Ok(file) => break (file, PathBuf::from(name)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        };
        let mut this = Self { writer: None, temporary, path: path.to_owned(), started_ns };
        // Blocks pass through whole; only their frames are gathered.
        let out = BufWriter::with_capacity(1024, file);
        this.writer = Some(RecordWriter::new(out, &header_of(root, started_ns)).map_err(failed)?);
        Ok(this)
    }

    /// Records that the file at `path`, which looked like `stat` when scanned
    /// and after reading, has this content. Left out when it changed too
    /// recently to be told from a file changed again.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] unless paths ascend; [`Error::Io`].
    pub fn add(&mut self, path: &LogicalPath, stat: &FileStat, blob: &BlobId) -> Result<(), Error> {
        if !stat.settled_before(self.started_ns) {
            return Ok(());
        }
        let Some(writer) = &mut self.writer else { return Ok(()) };
        match writer.push(path, &Record::File { stat: *stat, known: Some(*blob) }) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::OutOfOrder { path: path.as_str().into() }),
            Err(source) => Err(Error::io("write", &self.path, source)),
        }
    }

    /// Puts the new cache in place of the old one. Without this call, the old
    /// one stays.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn commit(mut self) -> Result<(), Error> {
        let failed = |source: io::Error| Error::io("write", &self.path, source);
        if let Some(writer) = self.writer.take() {
            writer.finish().and_then(|mut out| out.flush()).map_err(failed)?;
        }
        fs::rename(&self.temporary, &self.path).map_err(failed)
    }
}

impl Drop for StatCacheWriter {
    fn drop(&mut self) {
        // Gone already after a commit.
        let _ = fs::remove_file(&self.temporary);
    }
}

pub(crate) fn damaged(fault: Fault) -> Error {
    match fault {
        Fault::Io(source) => Error::io("read", "scan record", source),
        Fault::Damaged(what) => Error::Corrupt { what },
    }
}
