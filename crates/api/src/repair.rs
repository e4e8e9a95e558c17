//! Documents of `verify`, `repair` and the rebuild of a catalog.

use std::sync::Arc;

use heirloom_core::Timestamp;
use heirloom_manifest::{BlobId, ManifestId};
use serde::{Deserialize, Serialize};

use crate::doc::Damage;

/// What `verify` looks at, and whom it tells how far it is.
#[derive(Clone, Default)]
pub struct VerifyAll {
    /// Of file contents only these; everything else always.
    pub sample: Option<Sample>,
    /// Hears of the progress, from any thread.
    pub progress: Option<Arc<dyn Fn(VerifyTally) + Send + Sync>>,
}

impl std::fmt::Debug for VerifyAll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyAll").field("sample", &self.sample).finish_non_exhaustive()
    }
}

/// How far `verify` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyTally {
    /// Versions walked.
    pub versions: u64,
    /// Blobs read and hashed.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of all objects: about what there is to read, less where blobs are
    /// compressed or not needed.
    pub total: u64,
}

/// A share of all blobs, picked by their ids and a seed: the same blobs whenever
/// it is asked with the same seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// How many of a million.
    pub per_million: u32,
    /// What picks them.
    pub seed: u64,
}

impl Sample {
    /// Whether the blob is among those picked.
    pub fn picks(&self, blob: &BlobId) -> bool {
        let mut word = [0; 8];
        word.copy_from_slice(&blob.as_bytes()[24..]);
        // Ids are hashes already; this only mixes the seed in (splitmix64).
        let mut mixed = u64::from_le_bytes(word) ^ self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 1_000_000 < u64::from(self.per_million)
    }
}

/// What `repair` did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RepairReport {
    /// Damages found at first.
    pub found: u64,
    /// What was repaired, and where the good bytes came from.
    pub repaired: Vec<Repaired>,
    /// What is still bad.
    pub left: Vec<Damage>,
}

/// Something that is whole again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// Key of the object, or name of the row, that was bad.
    pub object: String,
    /// The blob that is good again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobId>,
    /// Where its bytes came from.
    pub from: String,
}

/// What rebuilding a catalog from storage alone brought back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RebuildReport {
    /// Projects.
    pub projects: u64,
    /// Collections, deleted ones too.
    pub collections: u64,
    /// Versions that can be read or restored.
    pub versions: u64,
    /// Versions that are gone, kept for lineage.
    pub tombstones: u64,
    /// Aliases.
    pub aliases: u64,
    /// Runs.
    pub runs: u64,
    /// Lineage edges.
    pub edges: u64,
    /// Events of the journal.
    pub events: u64,
    /// Sealed pieces of the journal that were read.
    pub pieces: u64,
    /// Numbers for which several records were found and none was chosen. When
    /// there are any, nothing was changed.
    pub ambiguous: Vec<Ambiguity>,
    /// Versions whose record is lost, and which the journal does not know.
    pub lost: Vec<String>,
    /// Objects that could not be read, and versions whose content is not all there;
    /// what several versions lack is named with one.
    pub damages: Vec<Damage>,
    /// Where the catalog that was there is kept.
    pub kept: Option<String>,
    /// Whether `heirloom.toml` was missing, so that the repository has a new id.
    pub new_identity: bool,
    /// What else one should know.
    pub notes: Vec<String>,
}

/// Several records for one number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ambiguity {
    /// Name and number, such as `local/default/animals:v3`.
    pub version: String,
    /// The records.
    pub candidates: Vec<Candidate>,
}

/// A record that may be the one that was committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The record.
    pub record: BlobId,
    /// The version digest.
    pub digest: ManifestId,
    /// When it was written.
    pub created_at: Timestamp,
    /// By whom.
    pub actor: String,
    /// Sum of its entries' sizes in bytes.
    pub size: u64,
}
