//! The system calls. Everything that is Unix-specific is here: directories are
//! handles, and what lies below one is opened so that the kernel itself refuses
//! links and `..`.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, Result as SysResult};

use crate::stat::FileStat;

/// What kind of thing a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    Fifo,
    Socket,
    Device,
}

impl Kind {
    /// `None` when the file system does not tell.
    fn of(kind: FileType) -> Option<Self> {
        Some(match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => Self::Device,
            _ => return None,
        })
    }
}

/// What one `stat` call tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    pub(crate) kind: Kind,
    pub(crate) stat: FileStat,
    pub(crate) device: u64,
    pub(crate) executable: bool,
    /// The mode alone grants reading to us, so that no further call is needed.
    pub(crate) surely_readable: bool,
    pub(crate) writable: bool,
}

fn meta(stat: &Stat, user: u32) -> Meta {
    let mode = stat.st_mode & 0o7777;
    Meta {
        kind: Kind::of(FileType::from_raw_mode(stat.st_mode)).unwrap_or(Kind::Device),
        stat: FileStat {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
            inode: stat.st_ino,
        },
        #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
        device: stat.st_dev as u64,
        executable: mode & 0o111 != 0,
        surely_readable: mode & 0o444 == 0o444 || (stat.st_uid == user && mode & 0o400 != 0),
        writable: mode & 0o222 != 0,
    }
}

fn nanoseconds<S: TryInto<i64>, N: TryInto<i64>>(seconds: S, nanos: N) -> i64 {
    let seconds = seconds.try_into().unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos.try_into().unwrap_or(0))
}

pub(crate) fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

pub(crate) fn stat_at(dir: &OwnedFd, name: &CStr, user: u32) -> SysResult<Meta> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| meta(&stat, user))
}

pub(crate) fn stat_name(dir: &OwnedFd, name: &[u8]) -> SysResult<Meta> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .map(|stat| meta(&stat, effective_user()))
}

pub(crate) fn stat_handle(file: impl AsFd) -> SysResult<Meta> {
    rustix::fs::fstat(file).map(|stat| meta(&stat, effective_user()))
}

/// Whether the current user may read `name`; opens nothing.
pub(crate) fn may_read(dir: &OwnedFd, name: &[u8]) -> bool {
    match rustix::fs::accessat(dir, name, Access::READ_OK, AtFlags::EACCESS) {
        Ok(()) => true,
        // Without the system call, opening will tell.
        Err(error) => !matches!(error, Errno::ACCESS | Errno::PERM),
    }
}

/// Opens a directory named by the user: links on the way are the user's own.
pub(crate) fn open_root(path: &Path) -> SysResult<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// How something below a root is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// A directory to be listed.
    Listed,
    /// A directory that only serves to reach names in it.
    Handle,
    /// A file to be read. Never waits: a FIFO swapped in must not hang us.
    Read,
}

impl As {
    fn flags(self) -> OFlags {
        OFlags::CLOEXEC
            | OFlags::NOFOLLOW
            | match self {
                Self::Listed => OFlags::RDONLY | OFlags::DIRECTORY,
                Self::Handle => handle_flags(),
                Self::Read => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
            }
    }
}

/// `O_PATH` where it exists: it needs no right to list the directory.
fn handle_flags() -> OFlags {
    #[cfg(target_os = "linux")]
    return OFlags::PATH | OFlags::DIRECTORY;
    #[cfg(not(target_os = "linux"))]
    return OFlags::RDONLY | OFlags::DIRECTORY;
}

/// Opens `relative` below `root`; empty means the root itself. No link on the
/// way nor at the end is followed: that answers `ELOOP` (or `ENOTDIR`, for a link
/// at the end where a directory was asked for).
pub(crate) fn open_beneath(root: &OwnedFd, relative: &[u8], how: As) -> SysResult<OwnedFd> {
    if relative.is_empty() {
        return rustix::fs::openat(root, c".", how.flags(), Mode::empty());
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        use std::sync::atomic::{AtomicBool, Ordering};
        static MISSING: AtomicBool = AtomicBool::new(false);
        if !MISSING.load(Ordering::Relaxed) {
            let resolve =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            loop {
                match rustix::fs::openat2(root, relative, how.flags(), Mode::empty(), resolve) {
                    Ok(fd) => return Ok(fd),
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    Err(Errno::NOSYS) => {
                        MISSING.store(true, Ordering::Relaxed);
                        break;
                    }
                    // Some sandboxes answer this to system calls they do not know.
                    Err(Errno::PERM) => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }
    open_by_parts(root, relative, how)
}

/// What [`open_beneath`] does where `openat2` is missing: one part after the
/// other, each without following.
pub(crate) fn open_by_parts(root: &OwnedFd, relative: &[u8], how: As) -> SysResult<OwnedFd> {
    let mut current: Option<OwnedFd> = None;
    let mut parts = relative.split(|b| *b == b'/').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() || part == b"." || part == b".." {
            return Err(Errno::XDEV);
        }
        let dir = current.as_ref().unwrap_or(root);
        let flags = if parts.peek().is_some() { As::Handle.flags() } else { how.flags() };
        let next = rustix::fs::openat(dir, part, flags, Mode::empty()).map_err(|error| {
            // With O_DIRECTORY a link is reported as "not a directory".
            match (error, stat_name(dir, part)) {
                (Errno::NOTDIR | Errno::MLINK, Ok(found)) if found.kind == Kind::Link => {
                    Errno::LOOP
                }
                _ => error,
            }
        })?;
        current = Some(next);
    }
    current.ok_or(Errno::NOENT)
}

/// Opens a direct child directory without following a link.
pub(crate) fn open_child(dir: &OwnedFd, name: &[u8], how: As) -> SysResult<OwnedFd> {
    open_by_parts(dir, name, how)
}

/// Whether something is mounted on the directory `name`, be it a part of the
/// same file system.
pub(crate) fn is_mount_point(dir: &OwnedFd, name: &[u8]) -> SysResult<bool> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::ResolveFlags;
        let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(dir, name, As::Handle.flags(), Mode::empty(), resolve) {
            Ok(_) => return Ok(false),
            Err(Errno::XDEV) => return Ok(true),
            // The device numbers tell all but mounts within one file system.
            Err(_) => {}
        }
    }
    Ok(stat_name(dir, name)?.device != stat_handle(dir)?.device)
}

/// Calls `each` with every name but `.` and `..`, and its kind where the file
/// system tells it.
pub(crate) fn list(dir: &OwnedFd, mut each: impl FnMut(&CStr, Option<Kind>)) -> SysResult<()> {
    #[cfg(target_os = "linux")]
    {
        let mut buffer = Vec::with_capacity(32 * 1024);
        let mut entries = rustix::fs::RawDir::new(dir, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                each(name, Kind::of(entry.file_type()));
            }
        }
        Ok(())
    }
    #[cfg(not(target_os = "linux"))]
    {
        for entry in rustix::fs::Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                each(name, Kind::of(entry.file_type()));
            }
        }
        Ok(())
    }
}

pub(crate) fn make_directory(dir: &OwnedFd, name: &[u8]) -> SysResult<()> {
    rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o777))
}

/// Makes a new file that did not exist, mode 0644 less the umask.
pub(crate) fn create_new(dir: &OwnedFd, name: &[u8], readable: bool) -> SysResult<File> {
    let access = if readable { OFlags::RDWR } else { OFlags::WRONLY };
    let flags = access | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o644)).map(File::from)
}

pub(crate) fn rename(dir: &OwnedFd, from: &[u8], to: &[u8]) -> SysResult<()> {
    rustix::fs::renameat(dir, from, dir, to)
}

pub(crate) fn remove_file(dir: &OwnedFd, name: &[u8]) -> SysResult<()> {
    rustix::fs::unlinkat(dir, name, AtFlags::empty())
}

pub(crate) fn remove_directory(dir: &OwnedFd, name: &[u8]) -> SysResult<()> {
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
}

/// Hard-links `source` (itself not followed when it is a link) to a new name.
pub(crate) fn hard_link(source: &Path, dir: &OwnedFd, name: &[u8]) -> SysResult<()> {
    rustix::fs::linkat(CWD, source, dir, name, AtFlags::empty())
}

/// Reads at `offset` without moving the file's own position; fewer bytes than
/// asked for only at the end.
pub(crate) fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match rustix::io::pread(file, &mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

/// Shares the blocks of `source`, where the file system can.
pub(crate) fn clone_blocks(target: &File, source: &File) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::fs::ioctl_ficlone(target, source).is_ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (target, source);
        false
    }
}

/// Flushes the whole file system that holds `dir`.
pub(crate) fn flush_file_system(dir: &Path) -> io::Result<()> {
    let handle = open_root(dir)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&handle)?;
    #[cfg(not(target_os = "linux"))]
    rustix::fs::fsync(&handle)?;
    Ok(())
}

/// The path with these bytes.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// As [`path_of`], borrowed.
pub(crate) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The bytes of a path.
pub(crate) fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way without `openat2` must refuse what the kernel refuses.
    #[test]
    fn both_ways_of_opening_agree() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("x"), b"x").unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/x"), b"x").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("a/out")).unwrap();
        std::os::unix::fs::symlink("b", dir.path().join("a/in")).unwrap();
        std::os::unix::fs::symlink("b/x", dir.path().join("a/file")).unwrap();
        let root = open_root(dir.path()).unwrap();
        for (path, how, expected) in [
            ("a/b/x", As::Read, Ok(())),
            ("a/b", As::Listed, Ok(())),
            ("a/b", As::Handle, Ok(())),
            ("a/out/x", As::Read, Err(Errno::LOOP)),
            ("a/out", As::Handle, Err(Errno::LOOP)),
            ("a/out", As::Listed, Err(Errno::LOOP)),
            ("a/in/x", As::Read, Err(Errno::LOOP)),
            ("a/in", As::Listed, Err(Errno::LOOP)),
            ("a/file", As::Read, Err(Errno::LOOP)),
            ("a/b/x/y", As::Read, Err(Errno::NOTDIR)),
            ("a/b/x", As::Handle, Err(Errno::NOTDIR)),
            ("a/none/x", As::Read, Err(Errno::NOENT)),
        ] {
            let mut by_kernel = open_beneath(&root, path.as_bytes(), how).map(|_| ());
            let by_parts = open_by_parts(&root, path.as_bytes(), how).map(|_| ());
            // Of a link at the end the kernel says only that it is no directory.
            if how != As::Read && by_parts == Err(Errno::LOOP) && by_kernel == Err(Errno::NOTDIR) {
                by_kernel = Err(Errno::LOOP);
            }
            assert_eq!((by_kernel, by_parts), (expected, expected), "{path} {how:?}");
        }
        assert!(open_by_parts(&root, b"a/../../x", As::Read).is_err());
        assert!(open_beneath(&root, b"../x", As::Read).is_err());
        assert!(open_beneath(&root, b"/etc/passwd", As::Read).is_err());
        assert!(open_by_parts(&root, b"/etc/passwd", As::Read).is_err());
    }
}
