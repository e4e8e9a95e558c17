//! Reading a scanned file, and noticing when it is no longer what was scanned.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use heirloom_manifest::LogicalPath;
use rustix::io::Errno;

use crate::error::Error;
use crate::root::Root;
use crate::scan::Links;
use crate::stat::FileStat;
use crate::sys::{self, Kind};

/// A scanned file, open for reading. Reads at most as many bytes as the scan
/// saw; what was read counts only after [`SourceFile::finish`] succeeded.
///
/// The file is opened below the root's handle without following links (unless
/// the policy follows them, then only to a place inside the root), and is
/// refused at once when it is not the file that was scanned.
#[derive(Debug)]
pub struct SourceFile {
    file: File,
    path: LogicalPath,
    expected: FileStat,
    left: u64,
    ended_early: bool,
}

impl SourceFile {
    /// Opens `path` below `root`.
    ///
    /// # Errors
    /// [`Error::ChangedWhileReading`] when the file is gone, is not a regular
    /// file or does not look like `expected` any more; [`Error::Io`] otherwise
    /// (permission denied, among others).
    pub fn open(
        root: &Root,
        path: &LogicalPath,
        expected: &FileStat,
        links: Links,
    ) -> Result<Self, Error> {
        let (fd, meta) = root.open_file(path, links).map_err(|error| open_error(path, error))?;
        if meta.kind != Kind::File || meta.stat != *expected {
            return Err(changed(path));
        }
        Ok(Self {
            file: File::from(fd),
            path: path.clone(),
            expected: *expected,
            left: expected.size,
            ended_early: false,
        })
    }

    /// The handle, to clone blocks from.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its length in bytes, as scanned.
    pub fn size(&self) -> u64 {
        self.expected.size
    }

    /// Asks the system again. Call it after the last read and before believing
    /// anything that was read.
    ///
    /// # Errors
    /// [`Error::ChangedWhileReading`] when length, times or identity differ
    /// from the scan, when reading met an early end, or when there is more than
    /// the stated length (as in files that the kernel makes up: `/proc`).
    pub fn finish(self) -> Result<(), Error> {
        let more = sys::read_at(&self.file, &mut [0], self.expected.size)
            .map_err(|error| Error::io("read", self.path.as_str(), error))?;
        if more != 0 {
            return Err(changed(&self.path));
        }
        self.check_stat()
    }

    fn check_stat(self) -> Result<(), Error> {
        let meta =
            sys::stat_handle(&self.file).map_err(|e| Error::io("stat", self.path.as_str(), e))?;
        if self.ended_early || meta.stat != self.expected {
            return Err(changed(&self.path));
        }
        Ok(())
    }
}

impl Read for SourceFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let limit = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if limit == 0 {
            return Ok(0);
        }
        let n = self.file.read(&mut buf[..limit])?;
        self.ended_early |= n == 0;
        self.left -= n as u64;
        Ok(n)
    }
}

/// Reads a whole small file into `buf` (cleared first) with few system calls:
/// open, `stat`, one read, `stat`, close.
///
/// # Errors
/// As [`SourceFile::open`] and [`SourceFile::finish`].
pub fn read_small(
    root: &Root,
    path: &LogicalPath,
    expected: &FileStat,
    links: Links,
    buf: &mut Vec<u8>,
) -> Result<(), Error> {
    buf.clear();
    let source = SourceFile::open(root, path, expected, links)?;
    let size = usize::try_from(expected.size).map_err(|_| changed(path))?;
    // One byte of room beyond the stated length: more content is noticed without
    // another call.
    buf.resize(size.checked_add(1).ok_or_else(|| changed(path))?, 0);
    let mut filled = 0;
    while filled < size.max(1) {
        match source.file.read_at(&mut buf[filled..], filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path.as_str(), error)),
        }
    }
    if filled != size {
        return Err(changed(path));
    }
    buf.truncate(size);
    source.check_stat()
}

fn changed(path: &LogicalPath) -> Error {
    Error::ChangedWhileReading { path: path.as_str().into() }
}

fn open_error(path: &LogicalPath, error: Errno) -> Error {
    match error {
        // Removed, or replaced by a link or something else, since the scan.
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::NXIO => changed(path),
        error => Error::io("open", path.as_str(), error),
    }
}
