//! Writing entries into a directory that others may tamper with.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use heirloom_manifest::{BlobHasher, BlobId, LogicalPath};
use rustix::io::Errno;

use crate::compare::{Expected, Remover, compare, hash_if, refuse_mount};
use crate::error::Error;
use crate::names::{self, TEMPORARY_PREFIX};
use crate::sys::{self, As, Kind};

/// Whether a file system tells apart names that differ in letter case or
/// Unicode normalisation only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameMatching {
    /// Find out, once, with a temporary file in the root.
    #[default]
    Probe,
    /// Every byte counts (usual on Linux).
    Exact,
    /// It does not: two such names are refused instead of one silently
    /// replacing the other.
    Folding,
}

/// Told of each step with the number of files finished and bytes written since
/// the last call. Called on the writing threads.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// How to write.
#[derive(Clone, Default)]
pub struct WriterOptions {
    /// Remove what stands in the way of an entry: a file or link where a
    /// directory is needed, a directory where a file is needed. Otherwise each
    /// is an error.
    pub replace_obstacles: bool,
    /// Whether the file system tells all names apart.
    pub names: NameMatching,
    /// Told of progress.
    pub progress: Option<Progress>,
}

impl fmt::Debug for WriterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriterOptions")
            .field("replace_obstacles", &self.replace_obstacles)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

/// What [`Writer::verify_existing`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// A regular file with exactly this content.
    Same,
    /// Something else.
    Different,
    /// Nothing.
    Absent,
}

/// How [`Writer::place`] puts a file there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkMode {
    /// Share the blocks with the source; copy where the file system cannot.
    #[default]
    Reflink,
    /// Copy the bytes.
    Copy,
    /// Another name of the same file; copy where that is impossible.
    Hardlink,
}

/// How a file was put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// It shares its blocks with the source until either is changed.
    Reflinked,
    /// Its bytes were copied.
    Copied,
    /// It is the same file as the source.
    Hardlinked,
}

/// Writes into a directory, and nowhere else.
///
/// The root is held by a handle; everything below is reached from it one
/// directory at a time without following any link, planted before or swapped in
/// meanwhile. Each file is written under a temporary name (see
/// [`TEMPORARY_PREFIX`]) in its own directory, verified, and renamed: no final
/// name ever holds partial or unverified bytes, and a link at the final name is
/// replaced, not followed. New files get mode 0644 less the umask; no other
/// attribute is set.
///
/// Clones share one state and may be used from several threads.
#[derive(Debug, Clone)]
pub struct Writer {
    inner: Arc<Inner>,
}

struct Inner {
    root: Arc<OwnedFd>,
    path: PathBuf,
    options: WriterOptions,
    /// Recently used directories; entries arrive mostly in path order.
    handles: Mutex<HashMap<Box<str>, Arc<OwnedFd>>>,
    /// On a folding file system: hash of the folded path → of the exact one.
    taken: Option<Mutex<HashMap<u64, u64>>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("path", &self.path)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Directory handles kept open.
const HANDLES: usize = 128;

impl Writer {
    /// Opens `root`, making it and its parents when absent. Links in `root`
    /// itself are the caller's and are followed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(root: &Path, options: WriterOptions) -> Result<Self, Error> {
        std::fs::create_dir_all(root).map_err(|error| Error::io("create", root, error))?;
        let fd = sys::open_root(root).map_err(|error| Error::io("open", root, error))?;
        let folding = match options.names {
            NameMatching::Exact => false,
            NameMatching::Folding => true,
            NameMatching::Probe => {
                folds_names(&fd).map_err(|error| Error::io("write", root, error))?
            }
        };
        let inner = Inner {
            root: Arc::new(fd),
            path: root.to_owned(),
            options,
            handles: Mutex::default(),
            taken: folding.then(Mutex::default),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The root as given.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Checks that `path` can be written here, without touching anything: call
    /// it for all entries before the first is written.
    ///
    /// # Errors
    /// [`Error::NameRefused`] with the rule; [`Error::Collision`] on a file
    /// system that cannot tell it from a path checked or written before.
    pub fn check_name(&self, path: &LogicalPath) -> Result<(), Error> {
        for part in path.parts() {
            if let Some(rule) = names::impossible(part) {
                return Err(Error::NameRefused { path: path.as_str().into(), rule });
            }
        }
        if self.inner.taken.is_some() {
            self.claim(path.as_str())?;
            path.ancestors().try_for_each(|directory| self.claim(directory))?;
        }
        Ok(())
    }

    /// What is at `path`, judged by its bytes: size and times alone are never
    /// trusted. Links are not followed; what cannot be read counts as different.
    ///
    /// # Errors
    /// [`Error::Io`] when reading fails half-way.
    pub fn verify_existing(
        &self,
        path: &LogicalPath,
        blob: &BlobId,
        size: u64,
    ) -> Result<Existing, Error> {
        let file = match sys::open_beneath(&self.inner.root, path.as_bytes(), As::Read) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => return Ok(Existing::Absent),
            Err(Errno::LOOP | Errno::ACCESS | Errno::PERM | Errno::NXIO | Errno::XDEV) => {
                return Ok(Existing::Different);
            }
            Err(error) => return Err(Error::io("open", path.as_str(), error)),
        };
        match hash_if(&file, size) {
            Ok(Some(actual)) if actual == *blob => Ok(Existing::Same),
            Ok(_) => Ok(Existing::Different),
            Err(error) => Err(Error::io("read", path.as_str(), error)),
        }
    }

    /// Starts a file that must turn out to be `blob`, of `size` bytes.
    ///
    /// # Errors
    /// As [`Writer::check_name`]; [`Error::LinkInTheWay`],
    /// [`Error::FileInTheWay`]; [`Error::Io`].
    pub fn write_file(
        &self,
        path: &LogicalPath,
        blob: &BlobId,
        size: u64,
    ) -> Result<FileWriter, Error> {
        self.start(path, blob, size, false)
    }

    /// Writes a whole file whose bytes the caller has verified against the
    /// manifest.
    ///
    /// # Errors
    /// As [`Writer::write_file`], and [`Error::DirectoryInTheWay`].
    pub fn write_small(&self, path: &LogicalPath, verified: &[u8]) -> Result<(), Error> {
        let mut temporary = self.temporary(path, false)?;
        step("worktree::write_small", path)?;
        temporary
            .file
            .write_all(verified)
            .map_err(|error| Error::io("write", path.as_str(), error))?;
        temporary.publish()?;
        self.progress(1, verified.len() as u64);
        Ok(())
    }

    /// Puts a copy of `source` (a whole object of the store, or a cached file)
    /// at `path`, by reflink where `mode` and the file system allow, and hashes
    /// the result before it gets its name. `source` is an open file; its position is not used. Here [`LinkMode::Hardlink`] means
    /// [`LinkMode::Reflink`]: hard links are made by [`Writer::link`] alone,
    /// since objects of a store must not be handed out under a second name.
    ///
    /// # Errors
    /// As [`FileWriter::commit`].
    pub fn place(
        &self,
        path: &LogicalPath,
        source: &File,
        blob: &BlobId,
        size: u64,
        mode: LinkMode,
    ) -> Result<Placed, Error> {
        if mode != LinkMode::Copy {
            let temporary = self.temporary(path, true)?;
            if sys::clone_blocks(&temporary.file, source) {
                temporary.verify(blob, size)?;
                temporary.publish()?;
                self.progress(1, size);
                return Ok(Placed::Reflinked);
            }
        }
        let mut target = self.start(path, blob, size, false)?;
        let mut buffer =
            vec![0; usize::try_from(size).unwrap_or(usize::MAX).saturating_add(1).min(1 << 20)];
        loop {
            let n = sys::read_at(source, &mut buffer, target.hasher.length())
                .map_err(|error| Error::io("read", path.as_str(), error))?;
            target.add(&buffer[..n])?;
            if n < buffer.len() {
                break;
            }
        }
        target.commit()?;
        Ok(Placed::Copied)
    }

    /// Puts `source`, a file of the download cache, at `path` as another name
    /// of the same file; copies it where that is impossible (other file system,
    /// too many links). The file must not be writable (mode 0444: else a change
    /// here would change the cache) and is hashed before it gets its name.
    ///
    /// # Errors
    /// [`Error::WritableSource`]; as [`FileWriter::commit`].
    pub fn link(
        &self,
        path: &LogicalPath,
        source: &Path,
        blob: &BlobId,
        size: u64,
    ) -> Result<Placed, Error> {
        let dir = self.parent(path)?;
        let name = loop {
            let name = temporary_name();
            match sys::hard_link(source, &dir, name.as_bytes()) {
                Ok(()) => break name,
                Err(Errno::EXIST) => {}
                Err(
                    Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP | Errno::ACCESS,
                ) => {
                    let file =
                        File::open(source).map_err(|error| Error::io("open", source, error))?;
                    return self.place(path, &file, blob, size, LinkMode::Reflink);
                }
                Err(error) => return Err(Error::io("link", source, error)),
            }
        };
        let opened = sys::open_child(&dir, name.as_bytes(), As::Read);
        let guard = Guard { dir, name: Some(name) };
        let file = File::from(opened.map_err(|error| Error::io("open", path.as_str(), error))?);
        let meta =
            sys::stat_handle(&file).map_err(|error| Error::io("stat", path.as_str(), error))?;
        if meta.kind != Kind::File || meta.writable {
            return Err(Error::WritableSource { path: source.to_owned() });
        }
        let temporary =
            Temporary { writer: self.clone(), path: path.clone(), file, guard, linked: true };
        temporary.verify(blob, size)?;
        temporary.publish()?;
        self.progress(1, size);
        Ok(Placed::Hardlinked)
    }

    /// Makes the directory `path`, and those above it. What is in it already
    /// stays.
    ///
    /// # Errors
    /// As [`Writer::write_file`].
    pub fn make_empty_dir(&self, path: &LogicalPath) -> Result<(), Error> {
        self.check_name(path)?;
        self.directory(path.as_str()).map(|_| ())
    }

    /// Names everything below the root that is not among `keep` (which ascends
    /// by path) nor a directory above one of them, and removes it when
    /// `remove`. Content is not compared. Links are removed, never followed;
    /// a directory comes after what is in it. Nothing is removed from what is
    /// mounted there. Call it when all files are written.
    ///
    /// # Errors
    /// What `keep` answers; [`Error::OutOfOrder`]; [`Error::MountPoint`] and
    /// [`Error::Io`], at which it stops.
    pub fn extras<E: From<Error>>(
        &self,
        keep: impl IntoIterator<Item = Result<Expected, E>>,
        remove: bool,
        found: impl FnMut(&Path, bool),
    ) -> Result<u64, E> {
        self.forget_handles();
        // Written through a name of other case that was there before.
        let alike = |path: &[u8]| self.is_claimed(path);
        let mut remover = Remover { remove, alike: &alike, found, count: 0 };
        compare(&self.inner.root, Vec::new(), keep.into_iter(), &mut remover)?;
        Ok(remover.count)
    }

    /// Flushes all that was written to disk (the whole file system, once,
    /// rather than each file). After a power loss before this, a new file may
    /// be empty; it would be found by [`Writer::verify_existing`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn flush_to_disk(&self) -> Result<(), Error> {
        sys::flush_file_system(&self.inner.path)
            .map_err(|error| Error::io("flush", &self.inner.path, error))
    }

    fn progress(&self, files: u64, bytes: u64) {
        if let Some(progress) = &self.inner.options.progress {
            progress(files, bytes);
        }
    }

    fn start(
        &self,
        path: &LogicalPath,
        blob: &BlobId,
        size: u64,
        readable: bool,
    ) -> Result<FileWriter, Error> {
        let temporary = self.temporary(path, readable)?;
        Ok(FileWriter { temporary, blob: *blob, size, hasher: BlobHasher::new() })
    }

    /// A new temporary file beside the final name.
    fn temporary(&self, path: &LogicalPath, readable: bool) -> Result<Temporary, Error> {
        let mut dir = self.parent(path)?;
        let mut reopened = false;
        loop {
            let name = temporary_name();
            step("worktree::create", path)?;
            match sys::create_new(&dir, name.as_bytes(), readable) {
                Ok(file) => {
                    let guard = Guard { dir, name: Some(name) };
                    return Ok(Temporary {
                        writer: self.clone(),
                        path: path.clone(),
                        file,
                        guard,
                        linked: false,
                    });
                }
                // Left by a killed process that had our number.
                Err(Errno::EXIST) => {}
                // Someone removed the directory that we hold; make it again.
                Err(Errno::NOENT) if !reopened => {
                    reopened = true;
                    self.forget_handles();
                    dir = self.parent(path)?;
                }
                Err(error) => return Err(Error::io("create", path.as_str(), error)),
            }
        }
    }

    fn parent(&self, path: &LogicalPath) -> Result<Arc<OwnedFd>, Error> {
        self.check_name(path)?;
        match path.parent() {
            Some(parent) => self.directory(parent),
            None => Ok(Arc::clone(&self.inner.root)),
        }
    }

    /// The handle of a directory below the root, made when absent.
    fn directory(&self, path: &str) -> Result<Arc<OwnedFd>, Error> {
        if let Some(handle) = self.handles().get(path) {
            return Ok(Arc::clone(handle));
        }
        let mut cleared = false;
        let fd = loop {
            match sys::open_beneath(&self.inner.root, path.as_bytes(), As::Handle) {
                Ok(fd) => break fd,
                Err(Errno::NOENT) => {
                    let (parent, name) = match path.rsplit_once('/') {
                        Some((parent, name)) => (self.directory(parent)?, name),
                        None => (Arc::clone(&self.inner.root), path),
                    };
                    step_at("worktree::make_directory", path)?;
                    match sys::make_directory(&parent, name.as_bytes()) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(Error::io("create", path, error)),
                    }
                    match sys::open_child(&parent, name.as_bytes(), As::Handle) {
                        Ok(fd) => break fd,
                        Err(Errno::LOOP | Errno::NOTDIR) => self.obstacle(path, &mut cleared)?,
                        Err(error) => return Err(Error::io("open", path, error)),
                    }
                }
                Err(Errno::LOOP | Errno::NOTDIR | Errno::XDEV) => {
                    self.obstacle(path, &mut cleared)?
                }
                Err(error) => return Err(Error::io("open", path, error)),
            }
        };
        let handle = Arc::new(fd);
        let mut handles = self.handles();
        if handles.len() >= HANDLES {
            handles.clear();
        }
        handles.insert(path.into(), Arc::clone(&handle));
        Ok(handle)
    }

    /// Finds what keeps `path` from being a directory; an error that names it,
    /// or its removal (once).
    fn obstacle(&self, path: &str, cleared: &mut bool) -> Result<(), Error> {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let at = &path[..end];
            let (dir, name) = match at.rsplit_once('/') {
                Some((parent, name)) => {
                    (sys::open_beneath(&self.inner.root, parent.as_bytes(), As::Handle), name)
                }
                None => (sys::open_beneath(&self.inner.root, b"", As::Handle), at),
            };
            let dir = dir.map_err(|error| Error::io("open", at, error))?;
            match sys::stat_name(&dir, name.as_bytes()) {
                Ok(meta) if meta.kind == Kind::Directory => {}
                Ok(_) if self.inner.options.replace_obstacles && !*cleared => {
                    *cleared = true;
                    return match sys::remove_file(&dir, name.as_bytes()) {
                        Ok(()) | Err(Errno::NOENT) => Ok(()),
                        Err(error) => Err(Error::io("remove", at, error)),
                    };
                }
                Ok(meta) if meta.kind == Kind::Link => {
                    return Err(Error::LinkInTheWay { path: at.into() });
                }
                Ok(_) => return Err(Error::FileInTheWay { path: at.into() }),
                Err(error) => return Err(Error::io("stat", at, error)),
            }
        }
        // Nothing now: it was swapped under us. Once more, then give up.
        if std::mem::replace(cleared, true) {
            Err(Error::LinkInTheWay { path: path.into() })
        } else {
            Ok(())
        }
    }

    /// On a folding file system, takes a path or refuses it.
    fn claim(&self, path: &str) -> Result<(), Error> {
        let Some(taken) = &self.inner.taken else { return Ok(()) };
        let mut hasher = DefaultHasher::new();
        path.hash(&mut hasher);
        let exact = hasher.finish();
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken.entry(names::fold_hash(path)).or_insert(exact) == exact {
            Ok(())
        } else {
            Err(Error::Collision { path: path.into() })
        }
    }

    /// Whether the file system takes `path` for one that was claimed.
    fn is_claimed(&self, path: &[u8]) -> bool {
        let (Some(taken), Ok(path)) = (&self.inner.taken, std::str::from_utf8(path)) else {
            return false;
        };
        let taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.contains_key(&names::fold_hash(path))
    }

    fn handles(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Arc<OwnedFd>>> {
        self.inner.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A removed directory must not be written into through an old handle.
    fn forget_handles(&self) {
        self.handles().clear();
    }

    /// Removes the directory at `path` with all that is in it.
    fn remove_tree(&self, path: &LogicalPath, dir: &OwnedFd) -> Result<(), Error> {
        self.forget_handles();
        refuse_mount(dir, path.file_name().as_bytes(), path.as_bytes())?;
        let found = |_: &Path, _: bool| {};
        let mut remover = Remover { remove: true, alike: &|_| false, found, count: 0 };
        let nothing = std::iter::empty::<Result<Expected, Error>>();
        compare(&self.inner.root, path.as_bytes().to_vec(), nothing, &mut remover)?;
        sys::remove_directory(dir, path.file_name().as_bytes())
            .map_err(|error| Error::io("remove", path.as_str(), error))
    }
}

/// A step at which tests let the writer fail, end or wait.
fn step(name: &'static str, path: &LogicalPath) -> Result<(), Error> {
    step_at(name, path.as_str())
}

fn step_at(name: &'static str, path: &str) -> Result<(), Error> {
    heirloom_failpoint::hit(name).map_err(|error| Error::io("write", path, error))
}

fn temporary_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    format!("{TEMPORARY_PREFIX}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// Whether the file system takes names of other case or normalisation for the
/// same.
fn folds_names(root: &OwnedFd) -> rustix::io::Result<bool> {
    let (stem, file) = loop {
        let stem = temporary_name();
        match sys::create_new(root, format!("{stem}-a\u{e9}").as_bytes(), false) {
            Ok(file) => break (stem, file),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    };
    drop(file);
    let seen = |tail: &str| sys::stat_name(root, format!("{stem}-{tail}").as_bytes()).is_ok();
    let folds = seen("A\u{e9}") || seen("ae\u{301}");
    sys::remove_file(root, format!("{stem}-a\u{e9}").as_bytes())?;
    Ok(folds)
}

/// Removes a temporary name unless it was renamed away.
#[derive(Debug)]
struct Guard {
    dir: Arc<OwnedFd>,
    name: Option<String>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let _ = sys::remove_file(&self.dir, name.as_bytes());
        }
    }
}

#[derive(Debug)]
struct Temporary {
    writer: Writer,
    path: LogicalPath,
    file: File,
    guard: Guard,
    /// The file has another name elsewhere.
    linked: bool,
}

impl Temporary {
    fn verify(&self, blob: &BlobId, size: u64) -> Result<(), Error> {
        let path = || self.path.as_str().into();
        match hash_if(&self.file, size)
            .map_err(|error| Error::io("read", self.path.as_str(), error))?
        {
            Some(actual) if actual == *blob => Ok(()),
            Some(actual) => Err(Error::DigestMismatch { path: path(), expected: *blob, actual }),
            None => {
                let actual = sys::stat_handle(&self.file).map_or(0, |meta| meta.stat.size);
                Err(Error::SizeMismatch { path: path(), expected: size, actual })
            }
        }
    }

    /// Gives the file its final name.
    fn publish(mut self) -> Result<(), Error> {
        let Some(temporary) = self.guard.name.clone() else { return Ok(()) };
        let dir = Arc::clone(&self.guard.dir);
        let name = self.path.file_name().as_bytes();
        step("worktree::rename", &self.path)?;
        let mut renamed = sys::rename(&dir, temporary.as_bytes(), name);
        if matches!(renamed, Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY)) {
            if !self.writer.inner.options.replace_obstacles {
                return Err(Error::DirectoryInTheWay { path: self.path.as_str().into() });
            }
            self.writer.remove_tree(&self.path, &dir)?;
            renamed = sys::rename(&dir, temporary.as_bytes(), name);
        }
        renamed.map_err(|error| Error::io("rename", self.path.as_str(), error))?;
        // Renaming one name of a file onto another name of the same file does
        // nothing: then, and only then, the temporary name is still there.
        if self.linked {
            let _ = sys::remove_file(&dir, temporary.as_bytes());
        }
        self.guard.name = None;
        Ok(())
    }
}

/// A file being written under a temporary name; hashes what passes. Dropping it
/// removes what was written.
#[derive(Debug)]
pub struct FileWriter {
    temporary: Temporary,
    blob: BlobId,
    size: u64,
    hasher: BlobHasher,
}

impl FileWriter {
    /// Appends bytes. Large pieces (256 KiB and more) are hashed on several
    /// threads.
    ///
    /// # Errors
    /// [`Error::SizeMismatch`] beyond the declared size, with nothing of
    /// `bytes` written; [`Error::Io`].
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let path = &self.temporary.path;
        let total = self.hasher.length().saturating_add(bytes.len() as u64);
        if total > self.size {
            return Err(Error::SizeMismatch {
                path: path.as_str().into(),
                expected: self.size,
                actual: total,
            });
        }
        step("worktree::write", path)?;
        self.temporary
            .file
            .write_all(bytes)
            .map_err(|error| Error::io("write", path.as_str(), error))?;
        if bytes.len() >= 256 * 1024 {
            self.hasher.update_parallel(bytes);
        } else {
            self.hasher.update(bytes);
        }
        self.temporary.writer.progress(0, bytes.len() as u64);
        Ok(())
    }

    /// Checks length and hash and gives the file its final name, replacing a
    /// file or link there.
    ///
    /// # Errors
    /// [`Error::SizeMismatch`], [`Error::DigestMismatch`],
    /// [`Error::DirectoryInTheWay`], [`Error::Io`]; nothing is left then.
    pub fn commit(self) -> Result<(), Error> {
        let path = || self.temporary.path.as_str().into();
        let actual = self.hasher.length();
        if actual != self.size {
            return Err(Error::SizeMismatch { path: path(), expected: self.size, actual });
        }
        let actual = self.hasher.finish();
        if actual != self.blob {
            return Err(Error::DigestMismatch { path: path(), expected: self.blob, actual });
        }
        let writer = self.temporary.writer.clone();
        self.temporary.publish()?;
        writer.progress(1, 0);
        Ok(())
    }
}

impl Write for FileWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self.add(buf) {
            Ok(()) => Ok(buf.len()),
            Err(Error::Io { source, .. }) => Err(source),
            Err(error) => Err(io::Error::new(io::ErrorKind::FileTooLarge, error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
