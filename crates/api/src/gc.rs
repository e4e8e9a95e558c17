//! Documents of `gc`.

use std::fmt;
use std::sync::Arc;

use heirloom_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::doc::{Damage, VersionRef};

/// Asks to free what nothing needs any more.
#[derive(Clone, Default)]
pub struct GcRequest {
    /// Changes nothing and tells what would be freed.
    pub dry_run: bool,
    /// Seconds after a deletion from which a version cannot be restored any more,
    /// should its own window be longer. `None` leaves it its window.
    pub grace: Option<u64>,
    /// Hears how it goes on, from another thread.
    pub progress: Option<OnGc>,
}

impl fmt::Debug for GcRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcRequest")
            .field("dry_run", &self.dry_run)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// Hears of a collection's progress.
pub type OnGc = Arc<dyn Fn(GcProgress) + Send + Sync>;

/// How far a collection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcProgress {
    /// What it does.
    pub phase: GcPhase,
    /// Things done in this phase: roots, objects or packs.
    pub done: u64,
    /// How many there are, when that is known.
    pub total: Option<u64>,
}

/// A part of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GcPhase {
    /// Ends undo windows and drafts, and sweeps leftovers.
    Purge,
    /// Finds what is needed.
    Mark,
    /// Rewrites packs.
    Rewrite,
    /// Removes what is not needed.
    Remove,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GcReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Versions past their lifetime that were deleted; restorable for now.
    pub expired: u64,
    /// Versions that cannot be restored any more.
    pub purged: u64,
    /// Which, as far as a bounded list holds them.
    pub purged_versions: Vec<VersionRef>,
    /// Drafts of writers that are gone.
    pub drafts_ended: u64,
    /// Bytes of storage that were freed: all removed less all written.
    pub freed: u64,
    /// Objects removed.
    pub removed: Volume,
    /// Of those, packs that were rewritten to fewer or smaller ones.
    pub rewritten: Volume,
    /// Packs written for them.
    pub written: Volume,
    /// Of the removed, those that no catalog row told of.
    pub orphans: Volume,
    /// Files of writers that died, which were not objects yet.
    pub leftovers: Volume,
    /// What stays.
    pub kept: Kept,
    /// Damage that was met; what it concerns was kept as it is.
    pub damages: Vec<Damage>,
}

/// A number of things and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Volume {
    /// How many.
    pub count: u64,
    /// Their lengths, summed.
    pub bytes: u64,
}

impl Volume {
    /// Adds one thing.
    pub fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// Bytes that stay, each counted once: with the first of these that needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Kept {
    /// Objects that stay.
    pub objects: u64,
    /// Their bytes; the sum of what follows.
    pub bytes: u64,
    /// Of versions, with their journal.
    pub versions: u64,
    /// Of versions that can be restored.
    pub restorable: u64,
    /// When the first of those ends.
    pub restorable_until: Option<Timestamp>,
    /// Of drafts: what they lease, and their bases.
    pub drafts: u64,
    /// How many drafts live.
    pub live_drafts: u64,
    /// Of open sets of parts.
    pub parts: u64,
    /// Of packs that are needed for other blobs in them.
    pub beside: u64,
}
