//! Names of objects: what a key looks like, and nothing about where it lives.

use std::fmt;
use std::str::FromStr;

use heirloom_manifest::{BlobId, DigestError};

/// Names a pack: the BLAKE3-256 hash of its index section.
///
/// The index holds every blob's hash and place, so the id fixes the whole
/// content. Text form as for other ids: `blake3:` and 64 lower-case hexadecimal
/// characters.
///
/// ```compile_fail
/// use heirloom_store::{ObjectKey, PackId};
/// let blob = heirloom_manifest::BlobId::of(b"bytes");
/// let key = ObjectKey::Pack(blob); // a blob's id does not name a pack
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId([u8; 32]);

impl PackId {
    /// Wraps the 32 raw bytes of an id computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id of the pack with this index section.
    pub fn of_index(index: &[u8]) -> Self {
        Self(*BlobId::of(index).as_bytes())
    }

    /// The 64 hexadecimal characters without the algorithm prefix, as used in
    /// object keys.
    pub fn to_hex(&self) -> String {
        BlobId::from_bytes(self.0).to_hex()
    }

    /// Parses the 64 lower-case hexadecimal characters without a prefix.
    ///
    /// # Errors
    /// [`DigestError::BadHex`] for anything else.
    pub fn from_hex(text: &str) -> Result<Self, DigestError> {
        BlobId::from_hex(text).map(|id| Self(*id.as_bytes()))
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BlobId::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackId({}…)", &self.to_hex()[..12])
    }
}

impl FromStr for PackId {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        text.parse::<BlobId>().map(|id| Self(*id.as_bytes()))
    }
}

/// Names an object of a store.
///
/// `Display` and `FromStr` are the key text of `docs/format.md` §5, the same in
/// a directory and in a bucket; nothing else parses. Keys order as their texts
/// do: whole objects before packs, each by id.
///
/// ```
/// use heirloom_manifest::BlobId;
/// use heirloom_store::ObjectKey;
///
/// let key = ObjectKey::Whole(BlobId::of(b""));
/// let text = key.to_string();
/// assert!(text.starts_with("objects/af/af1349b9f5f9"));
/// assert_eq!(text.parse(), Ok(key));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// One blob's bytes, uncompressed.
    Whole(BlobId),
    /// Many small blobs with an index.
    Pack(PackId),
}

impl ObjectKey {
    /// Directory, relative to the store's root, that holds this key: its text up
    /// to the last slash.
    pub(crate) fn fan_out(&self) -> String {
        match self {
            Self::Whole(id) => format!("{WHOLE_PREFIX}/{:02x}", id.as_bytes()[0]),
            Self::Pack(id) => format!("{PACK_PREFIX}/{:02x}", id.as_bytes()[0]),
        }
    }
}

pub(crate) const WHOLE_PREFIX: &str = "objects";
pub(crate) const PACK_PREFIX: &str = "packs";
const PACK_SUFFIX: &str = ".pack";

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hex, suffix) = match self {
            Self::Whole(id) => (id.to_hex(), ""),
            Self::Pack(id) => (id.to_hex(), PACK_SUFFIX),
        };
        write!(f, "{}/{hex}{suffix}", self.fan_out())
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({self})")
    }
}

/// The text is not the key of an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the key of an object")]
pub struct InvalidKey {
    /// The text as given.
    pub text: String,
}

impl FromStr for ObjectKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        parse(text).ok_or_else(|| InvalidKey { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<ObjectKey> {
    let (prefix, rest) = text.split_once('/')?;
    let (fan_out, name) = rest.split_once('/')?;
    let (hex, key) = match prefix {
        WHOLE_PREFIX => (name, ObjectKey::Whole(BlobId::from_hex(name).ok()?)),
        PACK_PREFIX => {
            let hex = name.strip_suffix(PACK_SUFFIX)?;
            (hex, ObjectKey::Pack(PackId::from_hex(hex).ok()?))
        }
        _ => return None,
    };
    (hex.get(..2) == Some(fan_out)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_key() -> impl Strategy<Value = ObjectKey> {
        (any::<bool>(), any::<[u8; 32]>()).prop_map(|(pack, bytes)| match pack {
            true => ObjectKey::Pack(PackId::from_bytes(bytes)),
            false => ObjectKey::Whole(BlobId::from_bytes(bytes)),
        })
    }

    proptest! {
        #[test]
        fn keys_round_trip_through_text(key in any_key()) {
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }

        #[test]
        fn keys_order_as_their_texts(a in any_key(), b in any_key()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn nothing_near_a_key_parses(key in any_key(), at in 0usize..80, with: char) {
            let text = key.to_string();
            let mut chars: Vec<char> = text.chars().collect();
            let at = at % chars.len();
            chars[at] = with;
            let changed: String = chars.into_iter().collect();
            if let Ok(other) = changed.parse::<ObjectKey>() {
                prop_assert_eq!(other.to_string(), changed);
            }
            prop_assert!(text[1..].parse::<ObjectKey>().is_err());
            prop_assert!((text.clone() + "/").parse::<ObjectKey>().is_err());
            prop_assert!(("/".to_owned() + &text).parse::<ObjectKey>().is_err());
        }
    }

    #[test]
    fn misplaced_upper_case_and_foreign_names_are_refused() {
        let whole = ObjectKey::Whole(BlobId::of(b"x")).to_string();
        let (head, hex) = whole.rsplit_once('/').unwrap();
        for text in [
            format!("objects/00/{hex}"),
            format!("{head}/{}", hex.to_uppercase()),
            format!("{head}/{hex}.pack"),
            format!("packs/{}/{hex}", &hex[..2]),
            format!("objects/{hex}"),
            format!("tmp/{}/{hex}", &hex[..2]),
            String::new(),
        ] {
            assert!(text.parse::<ObjectKey>().is_err(), "{text}");
        }
    }
}
