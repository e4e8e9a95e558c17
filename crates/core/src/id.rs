//! Ids and numbers.

use std::fmt;
use std::str::FromStr;

use crate::name::{NameError, looks_like_index};

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Makes an id from 64 random bits, of which the highest is dropped
            /// so that every database's signed integer holds it.
            pub const fn from_random(bits: u64) -> Self {
                Self(bits & (u64::MAX >> 1))
            }

            /// The number, below 2^63.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        // As text: JSON numbers hold 53 bits in most readers.
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map(Self::from_random).map_err(serde::de::Error::custom)
            }
        }
    };
}

random_id! {
    /// A version's identity: random, kept through export and import.
    VersionId
}
random_id! {
    /// A run's identity: random, kept through export and import. People name
    /// a run by project and [`RunName`](crate::RunName).
    RunId
}
random_id! {
    /// A version being built.
    DraftId
}
random_id! {
    /// Parts that many writers bring to one version.
    PartSetId
}

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

row_id! {
    /// A project's row in one catalog; not kept through export.
    ProjectId
}
row_id! {
    /// A collection's row in one catalog; not kept through export. A
    /// collection made again under an old name has another id.
    CollectionId
}

/// Where a digest must have been uploaded, or brought by an authorised link, to
/// count as possessed: one project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(pub ProjectId);

/// A version's number within one collection: `v0`, `v1`, …
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct VersionIndex(u64);

impl VersionIndex {
    /// The first number.
    pub const ZERO: Self = Self(0);

    /// Wraps a number.
    pub const fn new(index: u64) -> Self {
        Self(index)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next number.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for VersionIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl FromStr for VersionIndex {
    type Err = NameError;

    /// Parses `v` and digits; leading zeros are refused so that a version has one name.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |reason| NameError { what: "version", text: text.to_owned(), reason };
        if !looks_like_index(text) {
            return Err(refuse("is not `v` and a number"));
        }
        let digits = &text[1..];
        if digits.len() > 1 && digits.starts_with('0') {
            return Err(refuse("has leading zeros"));
        }
        match digits.parse() {
            Ok(index) if index < 1 << 62 => Ok(Self(index)),
            _ => Err(refuse("is too large")),
        }
    }
}

/// Why a key of idempotency was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("key {0:?} must be 1 to 128 printable ASCII characters without spaces")]
pub struct KeyError(pub String);

/// Chosen by the client, once per operation: however often the operation is
/// sent, it takes effect once, and the later answers equal the first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Validates a key.
    ///
    /// # Errors
    /// [`KeyError`] unless it is 1 to 128 printable ASCII characters.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        if (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError(text.to_owned()))
        }
    }

    /// A key from 128 random bits.
    pub fn from_random(bits: u128) -> Self {
        Self(format!("{bits:032x}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for IdempotencyKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn indexes_round_trip(index in 0u64..1 << 62) {
            let index = VersionIndex::new(index);
            prop_assert_eq!(index.to_string().parse::<VersionIndex>(), Ok(index));
        }
    }

    #[test]
    fn other_spellings_of_an_index_are_refused() {
        for bad in ["v", "v01", "3", "V3", "v-1", "v3 ", "v99999999999999999999"] {
            assert!(bad.parse::<VersionIndex>().is_err(), "{bad}");
        }
        assert!(VersionId::from_random(u64::MAX).get() < 1 << 63);
    }
}
