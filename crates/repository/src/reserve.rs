//! Room that is kept for a full disk: what frees space has to write to the
//! database's log first.
//!
//! The file `reserve` of a repository's directory (`docs/format.md` §7) holds
//! nothing. Whoever deletes on a full disk removes it, and collecting garbage makes
//! it again. All of this is best effort: a repository works without.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

/// Length of the file in bytes: several times what the log grows by until it is
/// written back.
const RESERVE_BYTES: u64 = 4 << 20;

const NAME: &str = "reserve";

/// Makes the reserve in a repository's directory unless it is there. That there is
/// no room, or no right to write, is no error; nothing is left then.
pub(crate) fn ensure(home: &Path) {
    let file = path(home);
    if fs::symlink_metadata(&file).is_ok_and(|found| found.len() >= RESERVE_BYTES) {
        return;
    }
    release(home);
    // Somebody else may be faster; theirs is as good.
    if let Ok(made) = File::options().write(true).create_new(true).open(&file)
        && occupy(made, RESERVE_BYTES).is_err()
    {
        release(home);
    }
}

/// Gives the room of the reserve back to the disk; tells whether there was any.
pub(crate) fn release(home: &Path) -> bool {
    fs::remove_file(path(home)).is_ok()
}

fn path(home: &Path) -> PathBuf {
    home.join(NAME)
}

/// Makes an empty file take up `length` bytes of the disk.
fn occupy(mut file: File, length: u64) -> io::Result<()> {
    let allocated = rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, length);
    match allocated.map_err(io::Error::from) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
            // So that no space is an error now and not later.
            file.sync_data()
        }
        allocated => allocated,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_reserve_takes_up_its_length_until_it_is_released() {
        let home = tempfile::tempdir().unwrap();
        let made = || {
            let found = fs::metadata(home.path().join("reserve")).unwrap();
            assert_eq!(found.len(), 4 << 20);
            assert!(found.blocks() * 512 >= 4 << 20, "{} blocks", found.blocks());
            found.ino()
        };
        assert!(!release(home.path()));
        ensure(home.path());
        let first = made();
        ensure(home.path());
        assert_eq!(made(), first, "made once");
        assert!(release(home.path()));
        assert!(!home.path().join("reserve").exists());
        ensure(home.path());
        made();
        // Cut short, by a file system that was full or by somebody.
        File::options().write(true).open(path(home.path())).unwrap().set_len(5).unwrap();
        ensure(home.path());
        made();
    }

    #[test]
    fn nothing_is_left_where_nothing_can_be_made() {
        let home = tempfile::tempdir().unwrap();
        ensure(&home.path().join("absent"));
        assert!(!release(&home.path().join("absent")));
        // What has the name and is no file is nobody's reserve.
        fs::create_dir(home.path().join("reserve")).unwrap();
        ensure(home.path());
        assert!(home.path().join("reserve").is_dir());
        assert!(!release(home.path()));
    }

    #[test]
    fn a_length_that_no_disk_has_is_an_error() {
        assert!(occupy(tempfile::tempfile().unwrap(), 1 << 60).is_err());
    }

    #[test]
    fn many_who_make_it_at_once_make_one() {
        for _ in 0..20 {
            let home = tempfile::tempdir().unwrap();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| ensure(home.path()));
                }
            });
            ensure(home.path());
            assert_eq!(fs::metadata(home.path().join("reserve")).unwrap().len(), RESERVE_BYTES);
            assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        }
    }
}
