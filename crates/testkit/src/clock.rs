//! A clock that moves only when told.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// A clock that stands still until a test moves it. Clones share the time.
///
/// ```
/// use heirloom_testkit::FixedClock;
/// use std::time::Duration;
/// let clock = FixedClock::at_micros(1_790_000_000_000_000);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.micros(), 1_790_000_060_000_000);
/// ```
#[derive(Debug, Clone)]
pub struct FixedClock(Arc<AtomicI64>);

impl FixedClock {
    /// A clock at this many microseconds after 1970-01-01T00:00:00Z.
    pub fn at_micros(micros: i64) -> Self {
        Self(Arc::new(AtomicI64::new(micros)))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub fn micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    /// The same instant as the standard library's type.
    pub fn system_time(&self) -> SystemTime {
        let micros = self.micros();
        let span = Duration::from_micros(micros.unsigned_abs());
        if micros >= 0 { SystemTime::UNIX_EPOCH + span } else { SystemTime::UNIX_EPOCH - span }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).expect("tests do not move by 292,000 years");
        self.0.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets the clock, backwards too: what a wrong system clock does.
    pub fn set_micros(&self, micros: i64) {
        self.0.store(micros, Ordering::SeqCst);
    }
}

impl Default for FixedClock {
    /// 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::at_micros(1_767_225_600_000_000)
    }
}
