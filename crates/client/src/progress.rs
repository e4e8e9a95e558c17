//! What a put or get tells of itself while it runs.

use std::sync::Arc;

/// What a put or get is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Listing directories; totals are not known yet.
    Scan,
    /// Reading, hashing and sending files.
    Send,
    /// Recording the version.
    Commit,
    /// Checking what is there already, reading and writing files.
    Write,
    /// Fetching references from where they are.
    Fetch,
    /// Copying objects to or from a backup.
    Copy,
    /// Reading and hashing what is stored.
    Check,
}

/// How far a put or get has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// What it is doing.
    pub phase: Phase,
    /// Files done in this phase.
    pub files: u64,
    /// Bytes done in this phase.
    pub bytes: u64,
    /// Files to do, once known.
    pub total_files: Option<u64>,
    /// Bytes to do, once known.
    pub total_bytes: Option<u64>,
}

/// Hears how far a put or get has come: at each change of phase, and now and
/// then within one (some thousand times at most, from any thread). It must
/// return soon.
pub trait Progress: Send + Sync {
    /// Takes one report.
    fn report(&self, tally: &Tally);
}

impl<F: Fn(&Tally) + Send + Sync> Progress for F {
    fn report(&self, tally: &Tally) {
        self(tally);
    }
}

/// A shared listener, or none.
pub(crate) type Listener = Option<Arc<dyn Progress>>;

/// Counts work of one phase, and reports when enough was done since the last report.
pub(crate) struct Meter {
    listener: Listener,
    tally: Tally,
    told: (u64, u64),
}

impl Meter {
    pub(crate) fn new(listener: Listener, phase: Phase, totals: Option<(u64, u64)>) -> Self {
        let tally = Tally {
            phase,
            files: 0,
            bytes: 0,
            total_files: totals.map(|t| t.0),
            total_bytes: totals.map(|t| t.1),
        };
        let meter = Self { listener, tally, told: (0, 0) };
        meter.tell();
        meter
    }

    pub(crate) fn add(&mut self, files: u64, bytes: u64) {
        self.tally.files += files;
        self.tally.bytes += bytes;
        // Steps of a five-hundredth of the whole, but never tiny ones.
        let file_step = self.tally.total_files.map_or(1000, |n| n / 500).max(64);
        let byte_step = self.tally.total_bytes.map_or(1 << 24, |n| n / 500).max(1 << 20);
        if self.tally.files - self.told.0 >= file_step
            || self.tally.bytes - self.told.1 >= byte_step
        {
            self.told = (self.tally.files, self.tally.bytes);
            self.tell();
        }
    }

    fn tell(&self) {
        if let Some(listener) = &self.listener {
            listener.report(&self.tally);
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.tell();
    }
}
