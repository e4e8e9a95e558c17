//! The directory (or single file) that is scanned, held by a handle.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use heirloom_manifest::LogicalPath;
use rustix::io::{Errno, Result as SysResult};

use crate::error::Error;
use crate::scan::Links;
use crate::sys::{self, As, Kind, Meta};

/// What is scanned and read: a directory, or one file.
///
/// The path given by the user is resolved once, links included: naming a link
/// on a command line means what it points to. From then on everything is
/// reached from the handle; links below it go by [`Links`].
#[derive(Debug)]
pub struct Root {
    pub(crate) dir: Arc<OwnedFd>,
    /// Absolute and free of links when opened.
    path: PathBuf,
    inode: u64,
    pub(crate) single: Option<Single>,
}

/// One file as the whole root: the name as the user gave it, and the name in
/// its directory after links were resolved.
#[derive(Debug)]
pub(crate) struct Single {
    pub(crate) given: Vec<u8>,
    pub(crate) actual: Vec<u8>,
}

/// Why a link below a root leads nowhere that may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkFault {
    Dangling,
    Loops,
    Leaves(PathBuf),
    Failed(io::ErrorKind),
}

/// What a link leads to: a path below the root without links on the way.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) physical: Vec<u8>,
    pub(crate) kind: Kind,
}

impl Root {
    /// Opens `path`, a directory or a single file. A file's entry is named by
    /// the last part of `path` as given.
    ///
    /// # Errors
    /// [`Error::Io`] when it does not exist or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::io("open", path, source);
        let real = std::fs::canonicalize(path).map_err(failed)?;
        let (directory, single) = match sys::open_root(&real) {
            Ok(_) => (real.as_path(), None),
            Err(Errno::NOTDIR) => {
                let (Some(parent), Some(actual)) = (real.parent(), real.file_name()) else {
                    return Err(failed(Errno::NOTDIR.into()));
                };
                let given = path.file_name().unwrap_or(actual);
                let single = Single {
                    given: given.as_encoded_bytes().to_vec(),
                    actual: actual.as_encoded_bytes().to_vec(),
                };
                (parent, Some(single))
            }
            Err(error) => return Err(failed(error.into())),
        };
        let dir = sys::open_root(directory).map_err(|error| failed(error.into()))?;
        let inode = sys::stat_handle(&dir).map_err(|error| failed(error.into()))?.stat.inode;
        Ok(Self { dir: Arc::new(dir), inode, single, path: real })
    }

    /// The absolute path without links, as it was when opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the root is one file rather than a directory.
    pub fn is_single_file(&self) -> bool {
        self.single.is_some()
    }

    /// Number of the root directory in its file system; for a single file, of
    /// the directory that holds it.
    pub(crate) fn inode(&self) -> u64 {
        self.inode
    }

    /// Follows the link at `physical` (a path below the root) and says where it
    /// leads, if it stays below the root.
    pub(crate) fn resolve(&self, physical: &[u8]) -> Result<Target, LinkFault> {
        let fault = |error: &io::Error| match (error.raw_os_error(), error.kind()) {
            (Some(code), _) if code == Errno::LOOP.raw_os_error() => LinkFault::Loops,
            (_, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => LinkFault::Dangling,
            (_, kind) => LinkFault::Failed(kind),
        };
        let real =
            std::fs::canonicalize(self.path.join(sys::as_path(physical))).map_err(|e| fault(&e))?;
        let Ok(below) = real.strip_prefix(&self.path) else {
            return Err(LinkFault::Leaves(real));
        };
        let physical = sys::bytes_of(below).to_vec();
        let name: &[u8] = if physical.is_empty() { b"." } else { &physical };
        match sys::stat_name(&self.dir, name) {
            // Swapped since: what was resolved is no longer there.
            Ok(meta) if meta.kind == Kind::Link => Err(LinkFault::Loops),
            Ok(meta) => Ok(Target { physical, kind: meta.kind }),
            Err(error) => Err(fault(&error.into())),
        }
    }

    /// Opens a file for reading, as the scan found it.
    pub(crate) fn open_file(&self, path: &LogicalPath, links: Links) -> SysResult<(OwnedFd, Meta)> {
        let opened = match &self.single {
            Some(single) if single.given == path.as_bytes() => {
                sys::open_beneath(&self.dir, &single.actual, As::Read)
            }
            Some(_) => Err(Errno::NOENT),
            None => sys::open_beneath(&self.dir, path.as_bytes(), As::Read),
        };
        let fd = match opened {
            Err(Errno::LOOP) if links == Links::Follow && self.single.is_none() => {
                let target = self.resolve(path.as_bytes()).map_err(|_| Errno::LOOP)?;
                sys::open_beneath(&self.dir, &target.physical, As::Read)?
            }
            other => other?,
        };
        let meta = sys::stat_handle(&fd)?;
        Ok((fd, meta))
    }
}
