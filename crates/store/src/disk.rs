//! Every change that a local store makes to a disk goes through here: one
//! place to name the operation and path in errors, and one place where tests
//! watch the order of operations and let the n-th one fail.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags};
use tempfile::TempPath;

use crate::error::{FLUSH, OPEN, StoreError};

/// The operations; a value so that tests can count and fail them.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) probe: probe::Probe,
}

/// How names under `tmp/` of objects without a key begin: of those on their way
/// to one, and of those that had one.
pub(crate) const STAGED: &str = "object-";
pub(crate) const GONE: &str = "gone-";

/// A file under `tmp/`, removed when dropped unless it was renamed.
#[derive(Debug)]
pub(crate) struct Staging {
    pub(crate) file: File,
    pub(crate) path: TempPath,
}

impl Disk {
    #[cfg(not(test))]
    #[allow(clippy::unused_self)]
    fn step(&self, _op: &'static str, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self, op: &'static str, path: &Path) -> io::Result<()> {
        self.probe.step(op, path)
    }

    fn run<T>(
        &self,
        op: &'static str,
        path: &Path,
        action: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, StoreError> {
        self.step(op, path).and_then(|()| action()).map_err(|error| StoreError::io(op, path, error))
    }

    /// A new file in `directory`, locked by this process until it is closed.
    pub(crate) fn stage(&self, directory: &Path) -> Result<Staging, StoreError> {
        self.run("create a file in", directory, || {
            heirloom_failpoint::hit("store::stage")?;
            loop {
                let staged = tempfile::Builder::new()
                    .prefix(STAGED)
                    .rand_bytes(12)
                    // Objects are never changed in place; the mode says so to
                    // people and tools that come across them.
                    .permissions(fs::Permissions::from_mode(0o444))
                    .tempfile_in(directory)?;
                let (file, path) = staged.into_parts();
                match file.lock() {
                    // A file system without locks: then `sweep` cannot take one
                    // either, and removes nothing.
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::Unsupported => {}
                    Err(error) => return Err(error),
                }
                // Between creation and lock, a sweep may have taken the file for
                // a leftover.
                if file.metadata()?.nlink() > 0 {
                    return Ok(Staging { file, path });
                }
            }
        })
    }

    pub(crate) fn append(
        &self,
        mut file: &File,
        path: &Path,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        self.run("write", path, || {
            heirloom_failpoint::hit("store::write")?;
            file.write_all(bytes)
        })
    }

    /// Makes `to` share the blocks of `from`; `false` when that is not possible
    /// here and copying may be.
    pub(crate) fn clone_into(&self, from: &File, to: &Staging) -> Result<bool, StoreError> {
        self.step("clone into", &to.path)
            .map_err(|error| StoreError::io("clone into", &to.path, error))?;
        clone_blocks(from, &to.file)
            .or_else(|error| match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Err(error),
                // Another file system, no support, not aligned, an ioctl unknown
                // to it: whatever the reason, copying tells whether there is a
                // real problem.
                _ => Ok(false),
            })
            .map_err(|error| StoreError::io("clone into", &to.path, error))
    }

    pub(crate) fn sync_file(&self, file: &File, path: &Path) -> Result<(), StoreError> {
        self.run(FLUSH, path, || {
            heirloom_failpoint::hit("store::sync")?;
            file.sync_all()
        })
    }

    pub(crate) fn sync_directory(&self, path: &Path) -> Result<(), StoreError> {
        self.run(FLUSH, path, || {
            heirloom_failpoint::hit("store::sync_directory")?;
            File::open(path)?.sync_all()
        })
    }

    /// Creates a directory; `Ok(false)` when it exists, also as a link to one.
    pub(crate) fn make_directory(&self, path: &Path) -> Result<bool, StoreError> {
        self.run("create the directory", path, || {
            heirloom_failpoint::hit("store::make_directory")?;
            match fs::create_dir(path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        })
    }

    /// Gives a staged file its name unless that is taken; `false` when it is.
    pub(crate) fn rename_new(&self, staging: &Path, to: &Path) -> Result<bool, StoreError> {
        self.run("rename to", to, || {
            heirloom_failpoint::hit("store::rename")?;
            rename_exclusively(staging, to)
        })
    }

    /// Gives a staged file its name, whether that is taken or not.
    pub(crate) fn rename_over(&self, staging: &Path, to: &Path) -> Result<(), StoreError> {
        self.run("rename to", to, || fs::rename(staging, to))
    }

    /// Gives a file a fresh name in `directory`, or tells that it was not there.
    pub(crate) fn move_away(
        &self,
        from: &Path,
        directory: &Path,
    ) -> Result<Option<PathBuf>, StoreError> {
        self.run("move out of reach", from, || {
            let moved = tempfile::Builder::new()
                .prefix(GONE)
                .rand_bytes(12)
                .disable_cleanup(true)
                // Called with other names until it does not say "already exists".
                .make_in(directory, |to| match rename_exclusively(from, to) {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(ErrorKind::AlreadyExists.into()),
                    Err(error) => Err(error),
                });
            absent_is_none(moved).map(|moved| moved.map(|to| to.path().to_path_buf()))
        })
    }

    /// Removes a file; `false` when it was not there.
    pub(crate) fn remove(&self, path: &Path) -> Result<bool, StoreError> {
        self.run("remove", path, || {
            heirloom_failpoint::hit("store::remove")?;
            absent_is_none(fs::remove_file(path)).map(|done| done.is_some())
        })
    }
}

/// Opens what is stored under a name; never follows a link, never waits for
/// the other end of a FIFO. `None` when there is nothing.
pub(crate) fn open(path: &Path) -> Result<Option<File>, StoreError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    absent_is_none(opened).map_err(|error| StoreError::io(OPEN, path, error))
}

/// Whether another opening of a file has it locked exclusively. Never on a file
/// system without locks.
pub(crate) fn is_locked(file: &File, path: &Path) -> Result<bool, StoreError> {
    // A shared lock is the one that can be had on NFS with a file that is not
    // open for writing; and two who ask at once do not see each other.
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Err(TryLockError::Error(error)) => Err(StoreError::io("look for a lock on", path, error)),
    }
}

/// What is stored under a name, links not followed.
pub(crate) fn metadata(path: &Path) -> Result<Option<Metadata>, StoreError> {
    absent_is_none(fs::symlink_metadata(path)).map_err(|error| StoreError::io(OPEN, path, error))
}

/// Names in a directory, in no order, decoded lossily (the names of objects are
/// ASCII); empty when the directory does not exist.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let fail = |error| StoreError::io("list", path, error);
    let Some(entries) = absent_is_none(fs::read_dir(path)).map_err(fail)? else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(fail)?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn rename_exclusively(from: &Path, to: &Path) -> io::Result<bool> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
            .map_err(io::Error::from)
        {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            // The file system does not know the flag (NFS, some FUSE ones).
            Err(error)
                if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => {}
            Err(error) => return Err(error),
        }
    }
    link_exclusively(from, to)
}

fn link_exclusively(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        // Neither: replacing equal content by equal content harms nobody, only
        // two publishers may both be told that they created it.
        Err(_) => fs::rename(from, to).map(|()| true),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn clone_blocks(from: &File, to: &File) -> io::Result<bool> {
    rustix::fs::ioctl_ficlone(to, from)?;
    Ok(true)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn clone_blocks(_from: &File, _to: &File) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
pub(crate) mod probe {
    use super::*;
    use std::sync::Mutex;

    /// A log of operations, and which of them fails.
    #[derive(Debug, Default)]
    pub(crate) struct Probe {
        state: Mutex<State>,
    }

    #[derive(Debug, Default)]
    struct State {
        log: Vec<(&'static str, std::path::PathBuf)>,
        fail_at: Option<(usize, ErrorKind)>,
    }

    impl Probe {
        /// Forgets the log; lets the `n`-th operation from now (0: the next) fail.
        pub(crate) fn arm(&self, fail_at: Option<(usize, ErrorKind)>) {
            *self.state.lock().unwrap() = State { log: Vec::new(), fail_at };
        }

        pub(crate) fn log(&self) -> Vec<(&'static str, std::path::PathBuf)> {
            self.state.lock().unwrap().log.clone()
        }

        pub(super) fn step(&self, op: &'static str, path: &Path) -> io::Result<()> {
            let mut state = self.state.lock().unwrap();
            let n = state.log.len();
            state.log.push((op, path.to_path_buf()));
            match state.fail_at {
                Some((at, kind)) if at == n => Err(kind.into()),
                _ => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_rename_keep_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let ways: [fn(&Path, &Path) -> io::Result<bool>; 2] =
            [rename_exclusively, link_exclusively];
        for way in ways {
            fs::write(&from, "first").unwrap();
            assert!(way(&from, &to).unwrap());
            assert!(!from.exists());
            fs::write(&from, "second").unwrap();
            assert!(!way(&from, &to).unwrap());
            assert_eq!(fs::read_to_string(&to).unwrap(), "first");
            fs::remove_file(&to).unwrap();
        }
        assert!(link_exclusively(&directory.path().join("absent"), &to).is_err());
    }
}
