//! Going through a directory and a sorted list of what should be in it, side by
//! side: for verification, and for finding and removing extras.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use heirloom_manifest::{BlobHasher, BlobId, Entry, LogicalPath};
use rustix::io::Errno;

use crate::error::Error;
use crate::listing::Listing;
use crate::sys::{self, As, Kind};

/// One thing that should be in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its path from the root.
    pub path: LogicalPath,
    /// What it should be.
    pub kind: ExpectedKind,
}

/// What should be at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedKind {
    /// A regular file with this content.
    File {
        /// The content.
        blob: BlobId,
        /// Its length in bytes.
        size: u64,
    },
    /// A regular file whose content is not judged here (what a reference led to).
    AnyFile,
    /// A directory without anything in it.
    EmptyDirectory,
}

impl Expected {
    /// What `entry` of a manifest should look like in a directory.
    pub fn of(path: LogicalPath, entry: &Entry) -> Self {
        let kind = match entry {
            Entry::File { blob, size } => ExpectedKind::File { blob: *blob, size: *size },
            Entry::Reference(_) => ExpectedKind::AnyFile,
            Entry::EmptyDirectory => ExpectedKind::EmptyDirectory,
        };
        Self { path, kind }
    }
}

/// One difference between a directory and what should be in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Nothing is there.
    Missing(LogicalPath),
    /// Something else is there.
    Different {
        /// Where.
        path: LogicalPath,
        /// What a file there hashes to; `None` when its length alone tells, or
        /// it is no regular file.
        actual: Option<BlobId>,
    },
    /// Something is there that should not be. A directory comes after what is
    /// in it.
    Extra {
        /// Where; the name may be one that no artifact can hold.
        path: PathBuf,
        /// Whether it is a directory.
        directory: bool,
    },
    /// It is there, but cannot be read.
    Unreadable {
        /// Where.
        path: PathBuf,
        /// The kind of error.
        error: io::ErrorKind,
    },
}

/// Counts of a [`verify_tree`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeReport {
    /// Entries found as they should be.
    pub same: u64,
    /// Bytes hashed.
    pub bytes: u64,
    /// Entries that are missing.
    pub missing: u64,
    /// Entries that are something else.
    pub different: u64,
    /// Files and directories that should not be there.
    pub extra: u64,
    /// What could not be read.
    pub unreadable: u64,
}

impl TreeReport {
    /// Whether every entry is as it should be; extras do not count against it.
    pub fn is_whole(&self) -> bool {
        self.missing == 0 && self.different == 0 && self.unreadable == 0
    }
}

/// Compares the directory `root` with `expected`, which ascends by path. Every
/// file is hashed, whatever its size or times say; links are not followed.
/// Findings arrive in path order, each directory's after those in it.
///
/// # Errors
/// What `expected` answers; [`Error::OutOfOrder`]; [`Error::Io`] when the root
/// itself cannot be opened.
pub fn verify_tree<E: From<Error>>(
    root: &Path,
    expected: impl IntoIterator<Item = Result<Expected, E>>,
    sink: impl FnMut(Finding),
) -> Result<TreeReport, E> {
    let dir = sys::open_root(root).map_err(|error| Error::io("open", root, error))?;
    let mut verifier = Verifier { sink, report: TreeReport::default() };
    compare(&dir, Vec::new(), expected.into_iter(), &mut verifier)?;
    Ok(verifier.report)
}

struct Verifier<S> {
    sink: S,
    report: TreeReport,
}

impl<S: FnMut(Finding)> Visit for Verifier<S> {
    fn both(&mut self, expected: Expected, at: &At<'_>) -> Result<(), Error> {
        let actual = match (expected.kind, at.kind) {
            (ExpectedKind::EmptyDirectory, Kind::Directory)
            | (ExpectedKind::AnyFile, Kind::File) => Ok(Ok(())),
            (ExpectedKind::File { blob, size }, Kind::File) => {
                match sys::open_child(at.dir, at.name, As::Read) {
                    Ok(fd) => hash_if(&File::from(fd), size).map(|hash| {
                        self.report.bytes += if hash.is_some() { size } else { 0 };
                        if hash == Some(blob) { Ok(()) } else { Err(hash) }
                    }),
                    Err(error) => Err(error.into()),
                }
            }
            _ => Ok(Err(None)),
        };
        match actual {
            Ok(Ok(())) => self.report.same += 1,
            Ok(Err(actual)) => {
                self.report.different += 1;
                (self.sink)(Finding::Different { path: expected.path, actual });
            }
            Err(error) => self.unreadable(at.path, &error)?,
        }
        Ok(())
    }

    fn missing(&mut self, expected: Expected) -> Result<(), Error> {
        self.report.missing += 1;
        (self.sink)(Finding::Missing(expected.path));
        Ok(())
    }

    fn extra(&mut self, at: &At<'_>) -> Result<(), Error> {
        self.report.extra += 1;
        (self.sink)(Finding::Extra {
            path: sys::path_of(at.path),
            directory: at.kind == Kind::Directory,
        });
        Ok(())
    }

    fn unreadable(&mut self, path: &[u8], error: &io::Error) -> Result<(), Error> {
        self.report.unreadable += 1;
        (self.sink)(Finding::Unreadable { path: sys::path_of(path), error: error.kind() });
        Ok(())
    }
}

/// Hashes a file if it is a regular one of length `size`; `None` otherwise.
pub(crate) fn hash_if(file: &File, size: u64) -> io::Result<Option<BlobId>> {
    let meta = sys::stat_handle(file)?;
    if meta.kind != Kind::File || meta.stat.size != size {
        return Ok(None);
    }
    // One byte more than the file: a file that grows is noticed.
    let mut buffer =
        vec![0; usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1).min(1 << 20)];
    let mut hasher = BlobHasher::new();
    loop {
        let n = sys::read_at(file, &mut buffer, hasher.length())?;
        if n >= 256 * 1024 {
            hasher.update_parallel(&buffer[..n]);
        } else {
            hasher.update(&buffer[..n]);
        }
        if n < buffer.len() || hasher.length() > size {
            break;
        }
    }
    Ok((hasher.length() == size).then(|| hasher.finish()))
}

/// Where the comparison stands: a name in an open directory.
pub(crate) struct At<'a> {
    pub(crate) dir: &'a OwnedFd,
    pub(crate) name: &'a [u8],
    /// From the root.
    pub(crate) path: &'a [u8],
    pub(crate) kind: Kind,
}

/// What to do about each thing met.
pub(crate) trait Visit {
    /// Something is expected at exactly this path, and something is there.
    fn both(&mut self, expected: Expected, at: &At<'_>) -> Result<(), Error>;
    /// Expected, and nothing is there.
    fn missing(&mut self, expected: Expected) -> Result<(), Error>;
    /// There, and not expected. A directory comes after what is in it.
    fn extra(&mut self, at: &At<'_>) -> Result<(), Error>;
    /// A directory that is not expected, nor anything below it, is about to be
    /// gone into.
    fn enters(&mut self, _: &At<'_>) -> Result<(), Error> {
        Ok(())
    }
    /// A directory or file that cannot be opened.
    fn unreadable(&mut self, path: &[u8], error: &io::Error) -> Result<(), Error>;
}

/// Names what is not expected, and removes it.
pub(crate) struct Remover<'a, F> {
    pub(crate) remove: bool,
    /// Whether the file system takes a path for that of something to be kept.
    pub(crate) alike: &'a dyn Fn(&[u8]) -> bool,
    pub(crate) found: F,
    pub(crate) count: u64,
}

impl<F: FnMut(&Path, bool)> Visit for Remover<'_, F> {
    fn both(&mut self, expected: Expected, at: &At<'_>) -> Result<(), Error> {
        // A link, or a directory, where a file should be is not the entry.
        let matches = match expected.kind {
            ExpectedKind::File { .. } | ExpectedKind::AnyFile => at.kind == Kind::File,
            ExpectedKind::EmptyDirectory => at.kind == Kind::Directory,
        };
        if matches || at.kind == Kind::Directory { Ok(()) } else { self.extra(at) }
    }

    fn missing(&mut self, _: Expected) -> Result<(), Error> {
        Ok(())
    }

    fn extra(&mut self, at: &At<'_>) -> Result<(), Error> {
        if (self.alike)(at.path) {
            return Ok(());
        }
        let directory = at.kind == Kind::Directory;
        if self.remove {
            let removed = if directory {
                sys::remove_directory(at.dir, at.name)
            } else {
                sys::remove_file(at.dir, at.name)
            };
            match removed {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(Error::io("remove", sys::path_of(at.path), error)),
            }
        }
        self.count += 1;
        (self.found)(sys::as_path(at.path), directory);
        Ok(())
    }

    /// What is mounted below the root belongs to someone else.
    fn enters(&mut self, at: &At<'_>) -> Result<(), Error> {
        if self.remove { refuse_mount(at.dir, at.name, at.path) } else { Ok(()) }
    }

    fn unreadable(&mut self, path: &[u8], error: &io::Error) -> Result<(), Error> {
        Err(Error::io("list", sys::path_of(path), io::Error::from(error.kind())))
    }
}

/// An error when something is mounted on the directory `name`, whose path is `path`.
pub(crate) fn refuse_mount(dir: &OwnedFd, name: &[u8], path: &[u8]) -> Result<(), Error> {
    match sys::is_mount_point(dir, name) {
        Ok(false) | Err(Errno::NOENT) => Ok(()),
        Ok(true) => Err(Error::MountPoint { path: sys::path_of(path) }),
        Err(error) => Err(Error::io("stat", sys::path_of(path), error)),
    }
}

struct Frame {
    /// Path from the root and `/`; empty for the root.
    prefix: Vec<u8>,
    /// Closed far above, since handles are scarce.
    fd: Option<OwnedFd>,
    listing: Listing,
    next: usize,
    /// Directories here that are expected to be there and empty.
    kept: HashSet<u32>,
    /// Whether this directory itself is expected, or something below it.
    expected: bool,
}

/// Directories on the way down that stay open.
const OPEN_DEPTH: usize = 48;

/// Walks what is below `start` (a path below `root`; empty for all) beside
/// `expected`. Never follows a link.
pub(crate) fn compare<E: From<Error>, V: Visit>(
    root: &OwnedFd,
    start: Vec<u8>,
    expected: impl Iterator<Item = Result<Expected, E>>,
    visit: &mut V,
) -> Result<(), E> {
    let mut wanted = Wanted { source: expected, head: None, last: None };
    wanted.fetch()?;
    let mut stack = Vec::new();
    match open_frame(root, start, true) {
        Ok(frame) => stack.push(frame),
        Err((path, error)) => visit.unreadable(&path, &error.into())?,
    }
    while let Some(frame) = stack.last_mut() {
        let Some(slot) = frame.listing.get(frame.next) else {
            let done = stack.pop();
            if let (Some(done), Some(frame)) = (done, stack.last_mut())
                && !done.expected
                && let Some(slot) = frame.listing.get(frame.next - 1)
            {
                reopen(root, frame)?;
                if let Some(dir) = &frame.fd {
                    let path = done.prefix.strip_suffix(b"/").unwrap_or(&done.prefix);
                    visit.extra(&At {
                        dir,
                        name: frame.listing.name(slot),
                        path,
                        kind: Kind::Directory,
                    })?;
                }
            }
            continue;
        };
        frame.next += 1;
        reopen(root, frame)?;
        let Some(dir) = &frame.fd else { continue };
        let name = frame.listing.name(slot);
        let mut path = [&frame.prefix, name].concat();
        let kind = frame.listing.kind(slot);
        if slot.enters() {
            path.push(b'/');
            while let Some(early) = wanted.take_if(|head| head < path.as_slice())? {
                visit.missing(early)?;
            }
            let needed =
                wanted.head.as_ref().is_some_and(|head| head.path.as_bytes().starts_with(&path));
            let needed = frame.kept.contains(&slot.id()) || needed;
            path.pop();
            if !needed {
                visit.enters(&At { dir, name, path: &path, kind })?;
            }
            match open_frame(root, path, needed) {
                Ok(child) => {
                    stack.push(child);
                    if let Some(above) = stack.len().checked_sub(OPEN_DEPTH) {
                        stack[above].fd = None;
                    }
                }
                Err((path, error)) => visit.unreadable(&path, &error.into())?,
            }
            continue;
        }
        while let Some(early) = wanted.take_if(|head| head < path.as_slice())? {
            visit.missing(early)?;
        }
        let at = At { dir, name, path: &path, kind };
        match wanted.take_if(|head| head == path.as_slice())? {
            Some(found) => {
                let kept = found.kind == ExpectedKind::EmptyDirectory && kind == Kind::Directory;
                visit.both(found, &at)?;
                if kept {
                    frame.kept.insert(slot.id());
                }
            }
            // A directory is judged when what is below it is known.
            None if kind == Kind::Directory => {}
            None => visit.extra(&at)?,
        }
    }
    while let Some(late) = wanted.take_if(|_| true)? {
        visit.missing(late)?;
    }
    Ok(())
}

fn open_frame(root: &OwnedFd, path: Vec<u8>, expected: bool) -> Result<Frame, (Vec<u8>, Errno)> {
    let opened = sys::open_beneath(root, &path, As::Listed)
        .and_then(|fd| Ok((Listing::read(&fd, |_, kind| Some(kind))?, fd)));
    match opened {
        Err(error) => Err((path, error)),
        Ok((listing, fd)) => {
            let mut prefix = path;
            if !prefix.is_empty() {
                prefix.push(b'/');
            }
            Ok(Frame { prefix, fd: Some(fd), listing, next: 0, kept: HashSet::new(), expected })
        }
    }
}

fn reopen(root: &OwnedFd, frame: &mut Frame) -> Result<(), Error> {
    if frame.fd.is_none() {
        let path = frame.prefix.strip_suffix(b"/").unwrap_or(&frame.prefix);
        let fd = sys::open_beneath(root, path, As::Handle)
            .map_err(|e| Error::io("open", sys::path_of(path), e))?;
        frame.fd = Some(fd);
    }
    Ok(())
}

/// The expected entries, one looked at ahead, their order checked.
struct Wanted<I> {
    source: I,
    head: Option<Expected>,
    last: Option<LogicalPath>,
}

impl<I: Iterator<Item = Result<Expected, E>>, E: From<Error>> Wanted<I> {
    fn fetch(&mut self) -> Result<(), E> {
        self.head = self.source.next().transpose()?;
        if let Some(head) = &self.head {
            if self.last.as_ref().is_some_and(|last| *last >= head.path) {
                return Err(Error::OutOfOrder { path: head.path.as_str().into() }.into());
            }
            self.last = Some(head.path.clone());
        }
        Ok(())
    }

    fn take_if(&mut self, take: impl FnOnce(&[u8]) -> bool) -> Result<Option<Expected>, E> {
        if !self.head.as_ref().is_some_and(|head| take(head.path.as_bytes())) {
            return Ok(None);
        }
        let taken = self.head.take();
        self.fetch()?;
        Ok(taken)
    }
}
