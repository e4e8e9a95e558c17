//! Keys of nodes.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::Error;

/// A node: a run or a version, by an opaque 63-bit id.
///
/// What the id means is the caller's business. Runs and versions are counted
/// apart: `Run(7)` and `Version(7)` are different nodes. Text form: `run/7` and
/// `version/7`.
///
/// ```
/// use heirloom_lineage::NodeKey;
/// assert_eq!("version/7".parse(), Ok(NodeKey::Version(7)));
/// assert_eq!(NodeKey::Run(7).to_string(), "run/7");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKey {
    /// One execution.
    Run(u64),
    /// One immutable version of an artifact.
    Version(u64),
}

/// The bit that tells versions from runs in a packed key; ids leave it free.
const VERSION_BIT: u64 = 1 << 63;

impl NodeKey {
    /// The id without its kind.
    #[must_use]
    pub const fn id(self) -> u64 {
        match self {
            Self::Run(id) | Self::Version(id) => id,
        }
    }

    /// Whether this is a run.
    #[must_use]
    pub const fn is_run(self) -> bool {
        matches!(self, Self::Run(_))
    }

    /// Whether this is a version.
    #[must_use]
    pub const fn is_version(self) -> bool {
        matches!(self, Self::Version(_))
    }

    /// Eight bytes that sort like the key itself.
    pub(crate) const fn pack(self) -> Result<u64, Error> {
        match self {
            Self::Run(id) | Self::Version(id) if id >= VERSION_BIT => {
                Err(Error::IdOutOfRange { id })
            }
            Self::Run(id) => Ok(id),
            Self::Version(id) => Ok(id | VERSION_BIT),
        }
    }

    pub(crate) const fn unpack(packed: u64) -> Self {
        if packed & VERSION_BIT == 0 {
            Self::Run(packed)
        } else {
            Self::Version(packed & !VERSION_BIT)
        }
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(id) => write!(f, "run/{id}"),
            Self::Version(id) => write!(f, "version/{id}"),
        }
    }
}

/// The text is not `run/<id>` or `version/<id>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a node key: expected `run/<id>` or `version/<id>` with an id below 2^63")]
pub struct ParseNodeKeyError;

impl FromStr for NodeKey {
    type Err = ParseNodeKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, digits) = text.split_once('/').ok_or(ParseNodeKeyError)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit())
            || (digits.len() > 1 && digits.starts_with('0'))
        {
            return Err(ParseNodeKeyError);
        }
        let id = digits.parse().map_err(|_| ParseNodeKeyError)?;
        let key = match kind {
            "run" => Self::Run(id),
            "version" => Self::Version(id),
            _ => return Err(ParseNodeKeyError),
        };
        key.pack().map(|_| key).map_err(|_| ParseNodeKeyError)
    }
}

impl Serialize for NodeKey {
    /// A string: JSON numbers lose the low bits of a 63-bit id.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_refuses_what_is_not_canonical() {
        for key in [NodeKey::Run(0), NodeKey::Version(u64::MAX >> 1), NodeKey::Run(42)] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for text in [
            "",
            "run",
            "run/",
            "run/+1",
            "run/01",
            "version/9223372036854775808",
            "edge/1",
            "run/1/2",
        ] {
            assert_eq!(text.parse::<NodeKey>(), Err(ParseNodeKeyError), "{text}");
        }
    }

    #[test]
    fn packed_keys_sort_like_keys() {
        let max = u64::MAX >> 1;
        let keys = [NodeKey::Run(0), NodeKey::Run(max), NodeKey::Version(0), NodeKey::Version(max)];
        assert!(keys.is_sorted());
        assert!(keys.map(|key| key.pack().expect("63 bits")).is_sorted());
        assert!(keys.iter().all(|&key| NodeKey::unpack(key.pack().expect("63 bits")) == key));
        assert_eq!(NodeKey::Run(1 << 63).pack(), Err(Error::IdOutOfRange { id: 1 << 63 }));
    }
}
