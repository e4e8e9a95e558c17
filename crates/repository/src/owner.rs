//! Whether the process that builds a draft still lives: it holds a lock on
//! `tmp/draft-<id>` (`docs/format.md` §7), which ends with it, however it ends.
//!
//! Nothing rests on the answer but time: a draft that is ended too early is fenced,
//! and begun again.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use heirloom_core::DraftId;
use tempfile::NamedTempFile;

const TMP: &str = "tmp";

/// Followed by the draft's id as a decimal number.
const PREFIX: &str = "draft-";

/// The mark of a process that builds a draft. Dropped, it only lets go: a draft
/// that was not ended has no owner from then on, and the next gc ends it.
#[derive(Debug)]
pub(crate) struct Owner {
    path: PathBuf,
    _locked: File,
}

/// What is known of a draft's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// A process holds the lock.
    Alive,
    /// There is a file, and nobody holds it.
    Dead,
    /// There is no file, or nothing can be told from it: the draft was begun
    /// through a server, or the file system has no locks.
    Unknown,
}

impl Owner {
    /// Marks a draft as this process's, best before it is begun: who looks finds
    /// the file with its lock or no file. Nothing is flushed: after a loss of power
    /// the owner is gone.
    ///
    /// # Errors
    /// `AlreadyExists` when the draft has an owner that lives; no space, no right
    /// to write, other I/O.
    pub(crate) fn take(home: &Path, draft: DraftId) -> io::Result<Self> {
        let tmp = home.join(TMP);
        match fs::create_dir(&tmp) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let path = path(home, draft);
        let staged = stage(&tmp)?;
        let named = staged.persist_noclobber(&path).or_else(|taken| {
            match taken.error.kind() {
                // An owner that died, of the same id: one of the two was restored.
                ErrorKind::AlreadyExists if Self::liveness(home, draft) == Liveness::Dead => {
                    taken.file.persist(&path)
                }
                _ => Err(taken),
            }
        });
        Ok(Self { path, _locked: named.map_err(|failed| failed.error)? })
    }

    /// Removes the mark: the draft is committed or aborted.
    pub(crate) fn end(self) {
        // What stays is swept by gc.
        let _ = fs::remove_file(&self.path);
    }

    /// Whether a draft's owner lives.
    pub(crate) fn liveness(home: &Path, draft: DraftId) -> Liveness {
        let Ok(file) = File::open(path(home, draft)) else { return Liveness::Unknown };
        // Shared, so that two who ask do not take each other for the owner.
        match file.try_lock_shared() {
            // Removed while it was looked at: the draft has just ended.
            Ok(()) if file.metadata().is_ok_and(|file| file.nlink() == 0) => Liveness::Unknown,
            Ok(()) => Liveness::Dead,
            Err(TryLockError::WouldBlock) => Liveness::Alive,
            Err(TryLockError::Error(_)) => Liveness::Unknown,
        }
    }

    /// Removes the mark of a draft that somebody else has ended.
    pub(crate) fn forget(home: &Path, draft: DraftId) {
        let _ = fs::remove_file(path(home, draft));
    }

    /// The drafts that have a file, in no order: of those whose owner is dead and
    /// that the catalog does not know, the file is a leftover to [`Owner::forget`].
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub(crate) fn all(home: &Path) -> io::Result<Vec<DraftId>> {
        let entries = match fs::read_dir(home.join(TMP)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
            // Of several texts of a number one is the name of a draft's file.
            found.extend(id.map(DraftId::from_random).filter(|id| path(home, *id) == entry.path()));
        }
        Ok(found)
    }
}

fn path(home: &Path, draft: DraftId) -> PathBuf {
    home.join(TMP).join(format!("{PREFIX}{}", draft.get()))
}

/// A new file with its lock, under a name of the store's, which sweeps what is left
/// of a process that dies right here.
fn stage(tmp: &Path) -> io::Result<NamedTempFile> {
    loop {
        let staged = tempfile::Builder::new()
            .prefix("object-")
            .rand_bytes(12)
            .permissions(Permissions::from_mode(0o444))
            .tempfile_in(tmp)?;
        match staged.as_file().lock() {
            Err(error) if error.kind() != ErrorKind::Unsupported => return Err(error),
            _ => {}
        }
        // Between creation and lock, a sweep may have taken the file for a leftover.
        if staged.as_file().metadata()?.nlink() > 0 {
            return Ok(staged);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use heirloom_store::LocalStore;

    use super::*;

    const DRAFT: DraftId = DraftId::from_random(u64::MAX >> 1);

    fn names(home: &Path) -> Vec<String> {
        let entries = fs::read_dir(home.join("tmp")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_draft_is_owned_until_its_owner_lets_go_or_ends_it() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        let store = LocalStore::open(home).unwrap();
        assert_eq!(Owner::liveness(home, DRAFT), Liveness::Unknown);
        assert_eq!(Owner::all(home).unwrap(), []);

        let owner = Owner::take(home, DRAFT).unwrap();
        assert_eq!(names(home), [format!("draft-{}", DRAFT.get())]);
        for _ in 0..2 {
            assert_eq!(Owner::liveness(home, DRAFT), Liveness::Alive);
        }
        assert_eq!(Owner::take(home, DRAFT).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(names(home).len(), 1, "nothing is left of the attempt");

        drop(owner);
        let cleaned = store.clean_tmp().unwrap();
        assert_eq!((cleaned.files, cleaned.foreign), (0, vec![]), "it is known to the store");
        let asking = File::open(path(home, DRAFT)).unwrap();
        asking.lock_shared().unwrap();
        assert_eq!(Owner::liveness(home, DRAFT), Liveness::Dead, "who asks is no owner");
        drop(asking);
        assert_eq!(Owner::all(home).unwrap(), [DRAFT]);

        let again = Owner::take(home, DRAFT).unwrap();
        assert_eq!(Owner::liveness(home, DRAFT), Liveness::Alive);
        again.end();
        assert_eq!(Owner::liveness(home, DRAFT), Liveness::Unknown);
        assert_eq!(names(home), [""; 0]);

        let owner = Owner::take(home, DRAFT).unwrap();
        Owner::forget(home, DRAFT);
        Owner::forget(home, DRAFT);
        assert_eq!(Owner::liveness(home, DRAFT), Liveness::Unknown);
        owner.end();
    }

    #[test]
    fn only_files_of_drafts_are_listed() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("tmp")).unwrap();
        for name in ["draft-", "draft-+5", "draft-05", "draft-5.txt", "object-1", "draft-17"] {
            fs::write(home.path().join("tmp").join(name), "").unwrap();
        }
        assert_eq!(Owner::all(home.path()).unwrap(), [DraftId::from_random(17)]);
    }

    /// Who looks finds a living owner or none at all, also while sweeps go on; and
    /// taking succeeds.
    #[test]
    fn nobody_sees_an_owner_that_has_not_locked_yet() {
        let home = tempfile::tempdir().unwrap();
        let store = LocalStore::open(home.path()).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let taken =
                    (0..300).try_for_each(|_| Owner::take(home.path(), DRAFT).map(Owner::end));
                done.store(true, Ordering::Release);
                taken.unwrap();
            });
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    store.clean_tmp().unwrap();
                }
            });
            while !done.load(Ordering::Acquire) {
                assert_ne!(Owner::liveness(home.path(), DRAFT), Liveness::Dead);
            }
        });
        assert_eq!(names(home.path()), [""; 0]);
    }
}
