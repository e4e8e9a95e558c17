//! Making directories that are there after a power loss.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// Makes a directory and those above it that are missing, each flushed into the
/// one above. The last is flushed even when it was there: whoever made it may not
/// have come to that.
///
/// # Errors
/// What the file system says.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    if !parent.exists() {
        make_directory(parent)?;
    }
    let made = match fs::create_dir(path) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => false,
        Err(error) => return Err(error),
    };
    match File::open(parent).and_then(|parent| parent.sync_all()) {
        // Somebody else's directory, made for us long ago.
        Err(error) if !made && error.kind() == ErrorKind::PermissionDenied => Ok(()),
        flushed => flushed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_at_any_depth_and_found() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        make_directory(&deep).unwrap();
        make_directory(&deep).unwrap();
        assert!(deep.is_dir());
        fs::write(dir.path().join("file"), "").unwrap();
        let error = make_directory(&dir.path().join("file")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(make_directory(&dir.path().join("file/below")).is_err());
    }
}
