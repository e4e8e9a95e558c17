//! Logical paths: names of entries inside an artifact.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest logical path, in bytes: what Linux accepts for one path name.
pub const MAX_PATH_BYTES: usize = 4096;

/// Why a logical path was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The path has no characters.
    #[error("the path is empty")]
    Empty,
    /// A part between slashes is empty (`a//b`, or a slash at the end).
    #[error("the path has an empty part (a doubled or trailing `/`)")]
    EmptyPart,
    /// The path starts with `/` or `\`, which makes it absolute or UNC.
    #[error("the path is absolute; paths in an artifact are relative")]
    Absolute,
    /// A part is `.`.
    #[error("the path has a part `.`")]
    CurrentSegment,
    /// A part is `..`, read with either kind of slash.
    #[error("the path has a part `..`")]
    ParentSegment,
    /// The path starts with a drive prefix such as `C:`.
    #[error("the path starts with a drive letter")]
    DrivePrefix,
    /// The path contains a NUL byte, which no file system accepts.
    #[error("the path contains a NUL byte")]
    Nul,
    /// The path is longer than [`MAX_PATH_BYTES`].
    #[error("the path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// The bytes are not UTF-8.
    #[error("the path is not valid UTF-8")]
    NotUtf8,
}

/// A validated path inside an artifact: relative, `/`-separated UTF-8, kept
/// byte for byte (no normalisation of any kind).
///
/// It never contains an empty part, `.`, `..` (between slashes of either
/// kind), a leading `/` or `\`, a drive prefix (`C:` alone or before a slash or
/// anything else), or NUL. Other control characters are allowed; escape them on
/// output with [`LogicalPath::escaped`]. Paths order by their bytes.
///
/// ```
/// use heirloom_manifest::{LogicalPath, PathError};
/// let path: LogicalPath = "images/cat.png".parse()?;
/// assert_eq!(path.file_name(), "cat.png");
/// assert_eq!("../etc/passwd".parse::<LogicalPath>(), Err(PathError::ParentSegment));
/// # Ok::<(), PathError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogicalPath(Arc<str>);

impl LogicalPath {
    /// Validates and wraps `text`. Nothing is ever "cleaned up".
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, PathError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }

    /// Like [`LogicalPath::new`] for bytes that may not be UTF-8.
    ///
    /// # Errors
    /// The first rule that the bytes break.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathError> {
        Self::new(std::str::from_utf8(bytes).map_err(|_| PathError::NotUtf8)?)
    }

    /// Checks the rules without allocating.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn check(text: &str) -> Result<(), PathError> {
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return Err(PathError::Empty);
        }
        if bytes.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        if bytes[0] == b'/' || bytes[0] == b'\\' {
            return Err(PathError::Absolute);
        }
        if bytes.contains(&0) {
            return Err(PathError::Nul);
        }
        if bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' {
            return Err(PathError::DrivePrefix);
        }
        check_parts(text)
    }

    /// Wraps text that [`check_from`] accepted.
    pub(crate) fn from_checked(text: &str) -> Self {
        debug_assert_eq!(Self::check(text), Ok(()));
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text's bytes, by which paths are ordered.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The parts between slashes; at least one.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The path without its last part; `None` for a path of one part.
    pub fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// All proper ancestors, longest first: `a/b`, `a` for `a/b/c`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.rmatch_indices('/').map(|(at, _)| &self.0[..at])
    }

    /// `self` with `below` appended.
    ///
    /// # Errors
    /// [`PathError`] when the result is too long or `below` breaks a rule.
    pub fn join(&self, below: &str) -> Result<Self, PathError> {
        Self::new(&format!("{}/{below}", self.0))
    }

    /// Whether `self` is `prefix` itself or lies below it, by whole parts. The
    /// empty prefix contains everything.
    pub fn is_within(&self, prefix: &str) -> bool {
        prefix.is_empty()
            || self
                .0
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The text with control characters escaped (`\n`, `\u{1b}`, …), safe to
    /// print on a terminal. A backslash stays as it is.
    pub fn escaped(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        out
    }
}

fn check_parts(text: &str) -> Result<(), PathError> {
    for part in text.split('/') {
        match part {
            "" => return Err(PathError::EmptyPart),
            "." => return Err(PathError::CurrentSegment),
            _ if part.contains("..") && part.split('\\').any(|piece| piece == "..") => {
                return Err(PathError::ParentSegment);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks a path whose bytes before `from` are the leading whole parts, slash
/// included, of a path that was checked before; `from` 0 checks all of it.
pub(crate) fn check_from(path: &[u8], from: usize) -> Result<(), PathError> {
    let tail = std::str::from_utf8(&path[from..]).map_err(|_| PathError::NotUtf8)?;
    if from == 0 {
        return LogicalPath::check(tail);
    }
    if path.len() > MAX_PATH_BYTES {
        return Err(PathError::TooLong);
    }
    if tail.as_bytes().contains(&0) {
        return Err(PathError::Nul);
    }
    check_parts(tail)
}

impl fmt::Display for LogicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LogicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl FromStr for LogicalPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl AsRef<str> for LogicalPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for LogicalPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for LogicalPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for LogicalPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_trick_is_refused_by_its_rule() {
        let cases = [
            ("", PathError::Empty),
            ("/etc/passwd", PathError::Absolute),
            ("\\\\server\\share", PathError::Absolute),
            ("\\x", PathError::Absolute),
            ("a//b", PathError::EmptyPart),
            ("a/", PathError::EmptyPart),
            (".", PathError::CurrentSegment),
            ("a/./b", PathError::CurrentSegment),
            ("..", PathError::ParentSegment),
            ("a/../b", PathError::ParentSegment),
            ("a\\..\\b", PathError::ParentSegment),
            ("..\\b", PathError::ParentSegment),
            ("a/b\\..", PathError::ParentSegment),
            ("C:", PathError::DrivePrefix),
            ("c:/windows", PathError::DrivePrefix),
            ("C:relative", PathError::DrivePrefix),
            ("a\0b", PathError::Nul),
        ];
        for (text, error) in cases {
            assert_eq!(LogicalPath::new(text), Err(error), "{text:?}");
        }
        assert_eq!(LogicalPath::from_bytes(b"a\xff"), Err(PathError::NotUtf8));
        assert_eq!(LogicalPath::new(&"a".repeat(4097)), Err(PathError::TooLong));
    }

    #[test]
    fn unusual_but_harmless_names_are_kept() {
        for text in
            ["...", "a..b", "..a", "a b", "a\nb", "é", "e\u{301}", "a\\b", "ab:c", "😀", "-rf"]
        {
            assert_eq!(LogicalPath::new(text).map(|p| p.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn ancestors_and_prefixes_go_by_whole_parts() {
        let path = LogicalPath::new("a/b/c").expect("valid");
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["a/b", "a"]);
        assert_eq!(path.parent(), Some("a/b"));
        assert!(path.is_within("a/b") && path.is_within("") && path.is_within("a/b/c"));
        assert!(!path.is_within("a/b/") && !path.is_within("a/bb") && !path.is_within("a/b/c/d"));
    }

    proptest! {
        #[test]
        fn text_round_trips_or_is_refused(text: String) {
            if let Ok(path) = LogicalPath::new(&text) {
                prop_assert_eq!(path.as_str(), &text);
                prop_assert_eq!(path.to_string().parse::<LogicalPath>(), Ok(path));
            }
        }
    }
}
