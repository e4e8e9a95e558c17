//! Digests: one newtype per meaning, so that a node can never be asked for by
//! a version's digest, nor a blob by its MD5.

use std::fmt;
use std::str::FromStr;

/// Why a digest's text or bytes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// The text has no `algorithm:` prefix that is known.
    #[error("digest `{0}` does not start with a known algorithm such as `blake3:`")]
    UnknownAlgorithm(String),
    /// The hexadecimal part has the wrong length or other characters than `0-9a-f`.
    #[error("digest `{text}`: expected {expected} lower-case hexadecimal characters")]
    BadHex {
        /// The text as given.
        text: String,
        /// Number of hexadecimal characters that the algorithm has.
        expected: usize,
    },
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for byte in bytes {
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

fn parse_hex(text: &str, out: &mut [u8]) -> bool {
    let raw = text.as_bytes();
    if raw.len() != out.len() * 2 {
        return false;
    }
    let nibble = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    for (slot, pair) in out.iter_mut().zip(raw.chunks_exact(2)) {
        match (nibble(pair[0]), nibble(pair[1])) {
            (Some(high), Some(low)) => *slot = high << 4 | low,
            _ => return false,
        }
    }
    true
}

macro_rules! blake3_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Text form: `blake3:` and 64 lower-case hexadecimal characters;
        /// `Display` and `FromStr` round-trip, serde uses the text.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps the 32 raw bytes of an id computed elsewhere.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 raw bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The 64 hexadecimal characters without the algorithm prefix, as
            /// used in object keys.
            pub fn to_hex(&self) -> String {
                blake3::Hash::from_bytes(self.0).to_hex().to_string()
            }

            /// Parses the 64 hexadecimal characters without a prefix.
            ///
            /// # Errors
            /// [`DigestError::BadHex`] for anything else.
            pub fn from_hex(text: &str) -> Result<Self, DigestError> {
                let mut bytes = [0; 32];
                if parse_hex(text, &mut bytes) {
                    Ok(Self(bytes))
                } else {
                    Err(DigestError::BadHex { text: text.to_owned(), expected: 64 })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("blake3:")?;
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                write_hex(f, &self.0[..6])?;
                f.write_str("…)")
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                match text.strip_prefix("blake3:") {
                    Some(hex) => Self::from_hex(hex),
                    None => Err(DigestError::UnknownAlgorithm(text.to_owned())),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

blake3_id! {
    /// Names bytes: the BLAKE3-256 hash of a blob's content.
    BlobId
}
blake3_id! {
    /// Names a node of a manifest tree: the BLAKE3-256 hash of the node's
    /// canonical bytes. A node is kept as a blob of the same bytes, hence
    /// [`NodeId::as_blob`]; the way back does not exist.
    ///
    /// ```compile_fail
    /// use heirloom_manifest::{BlobId, NodeId};
    /// let blob = BlobId::of(b"bytes");
    /// let node: NodeId = blob; // a blob is not a node
    /// ```
    NodeId
}
blake3_id! {
    /// Names a whole manifest: the *version digest*, BLAKE3-256 over the format
    /// header and the root node (see `docs/format.md`, "Version digest").
    ManifestId
}

/// The bytes hashed before the root node to get a [`ManifestId`].
pub const MANIFEST_HEADER: &[u8] = b"heirloom-manifest-v1\n";

impl BlobId {
    /// Hashes bytes that are in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl NodeId {
    /// Hashes a node's canonical bytes.
    pub fn of(canonical: &[u8]) -> Self {
        Self(*blake3::hash(canonical).as_bytes())
    }

    /// The id of the blob that holds this node.
    pub const fn as_blob(&self) -> BlobId {
        BlobId(self.0)
    }
}

impl ManifestId {
    /// The version digest of the tree whose root is `root`.
    pub fn of_root(root: &NodeId) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(MANIFEST_HEADER);
        hasher.update(root.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }
}

/// Hashes a blob that arrives in pieces.
///
/// ```
/// use heirloom_manifest::{BlobHasher, BlobId};
/// let mut hasher = BlobHasher::new();
/// hasher.update(b"hello ");
/// hasher.update(b"world");
/// assert_eq!(hasher.finish(), BlobId::of(b"hello world"));
/// ```
#[derive(Clone, Default)]
pub struct BlobHasher {
    inner: blake3::Hasher,
    length: u64,
}

impl fmt::Debug for BlobHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobHasher").field("length", &self.length).finish_non_exhaustive()
    }
}

impl BlobHasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next bytes, on the calling thread.
    pub fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// Adds the next bytes, hashing large pieces (from about 128 KiB) on all
    /// threads of the current rayon pool.
    pub fn update_parallel(&mut self, bytes: &[u8]) {
        self.inner.update_rayon(bytes);
        self.length += bytes.len() as u64;
    }

    /// Number of bytes seen so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The id of all bytes seen.
    pub fn finish(&self) -> BlobId {
        BlobId(*self.inner.finalize().as_bytes())
    }
}

/// An algorithm of a [`Digest`]; the numbers are part of the manifest format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Algorithm {
    /// BLAKE3 with 32 bytes of output.
    Blake3 = 1,
    /// SHA-256, 32 bytes.
    Sha256 = 2,
    /// MD5, 16 bytes: what S3 ETags, GCS and the wandb protocol carry. Never an address.
    Md5 = 3,
    /// XXH3 with 128 bits, 16 bytes, big-endian. Not cryptographic.
    Xxh128 = 4,
    /// SHA-1, 20 bytes (an S3 checksum).
    Sha1 = 5,
    /// CRC-32C, 4 bytes, big-endian (GCS and S3 checksums).
    Crc32c = 6,
    /// CRC-64/NVME, 8 bytes, big-endian (an S3 checksum).
    Crc64Nvme = 7,
    /// CRC-32 (ISO-HDLC), 4 bytes, big-endian (an S3 checksum).
    Crc32 = 8,
}

impl Algorithm {
    const ALL: [Self; 8] = [
        Self::Blake3,
        Self::Sha256,
        Self::Md5,
        Self::Xxh128,
        Self::Sha1,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Crc32,
    ];

    /// Name used in text, such as `sha256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Sha256 => "sha256",
            Self::Md5 => "md5",
            Self::Xxh128 => "xxh128",
            Self::Sha1 => "sha1",
            Self::Crc32c => "crc32c",
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc32 => "crc32",
        }
    }

    /// Length of the digest in bytes.
    pub const fn length(self) -> usize {
        match self {
            Self::Blake3 | Self::Sha256 => 32,
            Self::Md5 | Self::Xxh128 => 16,
            Self::Sha1 => 20,
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
        }
    }

    /// The algorithm's number in the manifest format.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The algorithm with this number in the manifest format.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.code() == code)
    }
}

/// A digest of any known algorithm: what a store or a protocol says of bytes,
/// as an attribute. Content is addressed by [`BlobId`] only.
///
/// Text form: `algorithm:hex`, for example `md5:d41d8cd98f00b204e9800998ecf8427e`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: [u8; 32],
}

impl Digest {
    /// A digest from raw bytes, or `None` when the length is not the algorithm's.
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != algorithm.length() {
            return None;
        }
        let mut padded = [0; 32];
        padded[..bytes.len()].copy_from_slice(bytes);
        Some(Self { algorithm, bytes: padded })
    }

    /// SHA-256 of bytes in memory.
    pub fn sha256_of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self { algorithm: Algorithm::Sha256, bytes: sha2::Sha256::digest(bytes).into() }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw bytes, as many as the algorithm has.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.length()]
    }
}

impl From<BlobId> for Digest {
    fn from(id: BlobId) -> Self {
        Self { algorithm: Algorithm::Blake3, bytes: id.0 }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.algorithm.name())?;
        write_hex(f, self.as_bytes())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) =
            text.split_once(':').ok_or_else(|| DigestError::UnknownAlgorithm(text.to_owned()))?;
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| DigestError::UnknownAlgorithm(text.to_owned()))?;
        let mut bytes = [0; 32];
        if parse_hex(hex, &mut bytes[..algorithm.length()]) {
            Ok(Self { algorithm, bytes })
        } else {
            Err(DigestError::BadHex { text: text.to_owned(), expected: algorithm.length() * 2 })
        }
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_round_trip_through_text(bytes: [u8; 32]) {
            let id = BlobId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<BlobId>(), Ok(id));
            prop_assert_eq!(BlobId::from_hex(&id.to_hex()), Ok(id));
        }

        #[test]
        fn digests_round_trip_through_text(bytes: [u8; 32], code in 1u8..=8) {
            let algorithm = Algorithm::from_code(code).expect("all numbers are taken");
            let digest = Digest::new(algorithm, &bytes[..algorithm.length()]).expect("right length");
            prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = text.parse::<Digest>();
            let _ = text.parse::<NodeId>();
        }
    }

    #[test]
    fn upper_case_and_short_hex_are_refused() {
        let text = BlobId::of(b"x").to_string();
        assert!(text.to_uppercase().replace("BLAKE3", "blake3").parse::<BlobId>().is_err());
        assert!(text[..text.len() - 1].parse::<BlobId>().is_err());
        assert!(text.trim_start_matches("blake3:").parse::<BlobId>().is_err());
    }
}
