//! Stable codes of errors, as they appear in JSON and over the wire.

use std::fmt;

/// What went wrong, in one word that scripts may rely on. Codes are added,
/// never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The thing named does not exist, or the caller may not see it.
    NotFound,
    /// The caller may see it but not do this.
    Forbidden,
    /// Something changed meanwhile, or a condition did not hold.
    Conflict,
    /// The alias by which an edit found its base names another version now.
    BaseMoved,
    /// The request itself is wrong.
    Invalid,
    /// The collection has another type.
    WrongType,
    /// Stored bytes are damaged or missing.
    Corrupt,
    /// Something else holds it: an alias, a link, protection.
    InUse,
    /// A draft was ended by somebody else; lease again under the same key.
    Fenced,
    /// No space left.
    NoSpace,
    /// May work when tried again.
    Unavailable,
    /// The repository was written by a newer version of Heirloom.
    NewerFormat,
    /// The repository was written by an older version of Heirloom, and has to be
    /// upgraded before this one uses it.
    OlderFormat,
    /// An operation of the operating system failed.
    Io,
}

impl ErrorCode {
    /// The code's text, such as `not_found`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::BaseMoved => "base_moved",
            Self::Invalid => "invalid",
            Self::WrongType => "wrong_type",
            Self::Corrupt => "corrupt",
            Self::InUse => "in_use",
            Self::Fenced => "fenced",
            Self::NoSpace => "no_space",
            Self::Unavailable => "unavailable",
            Self::NewerFormat => "newer_format",
            Self::OlderFormat => "older_format",
            Self::Io => "io",
        }
    }

    /// The code with this text.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::NotFound,
            Self::Forbidden,
            Self::Conflict,
            Self::BaseMoved,
            Self::Invalid,
            Self::WrongType,
            Self::Corrupt,
            Self::InUse,
            Self::Fenced,
            Self::NoSpace,
            Self::Unavailable,
            Self::NewerFormat,
            Self::OlderFormat,
            Self::Io,
        ]
        .into_iter()
        .find(|code| code.as_str() == text)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
