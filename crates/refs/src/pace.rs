//! How often and how long to wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;

/// Clock, randomness and waiting, which are the caller's.
pub trait Pacer: Send + Sync {
    /// The time, for `Retry-After` dates.
    fn now(&self) -> SystemTime;

    /// Random bits, for jitter.
    fn random(&self) -> u64;

    /// Waits.
    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()>;
}

/// Waits on tokio's timer; clock and seed are given.
#[derive(Debug)]
pub struct TokioPacer {
    now: fn() -> SystemTime,
    state: AtomicU64,
}

impl TokioPacer {
    /// A pacer over `now` (usually `SystemTime::now`) whose jitter depends on
    /// `seed`, which should differ between processes.
    pub fn new(now: fn() -> SystemTime, seed: u64) -> Self {
        Self { now, state: AtomicU64::new(seed) }
    }
}

impl Pacer for TokioPacer {
    fn now(&self) -> SystemTime {
        (self.now)()
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(span))
    }
}

/// How often a failing request is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Requests in all, at least one.
    pub attempts: u32,
    /// Longest wait before the second request; it doubles with each further one.
    pub first_delay: Duration,
    /// Longest wait between two requests unless the source asks for more.
    pub max_delay: Duration,
    /// A source that asks for a longer pause is given up at once.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    /// 5 requests, 0.5 s doubling up to 20 s, pauses asked for up to 2 minutes.
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(20),
            max_retry_after: Duration::from_secs(120),
        }
    }
}

impl RetryPolicy {
    /// The wait after failure number `failures` (1 is the first): half of the
    /// doubled delay plus a random part of the other half ("equal jitter").
    pub fn delay(&self, failures: u32, random: u64) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1).min(20));
        let full = self.first_delay.saturating_mul(doubled).min(self.max_delay);
        // 53 bits are what a double holds exactly.
        let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
        full / 2 + (full / 2).mul_f64(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_within_their_bounds() {
        let policy = RetryPolicy::default();
        for (failures, full_ms) in
            [(1, 500), (2, 1000), (3, 2000), (6, 16_000), (7, 20_000), (u32::MAX, 20_000)]
        {
            let full = Duration::from_millis(full_ms);
            assert_eq!(policy.delay(failures, 0), full / 2);
            let longest = policy.delay(failures, u64::MAX);
            assert!(longest <= full && longest > full * 9 / 10, "{failures}: {longest:?}");
        }
    }
}
