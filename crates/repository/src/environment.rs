//! What the world supplies: time and randomness.

use heirloom_core::Timestamp;

/// Clock and randomness of a repository, passed in so that tests can fix them.
///
/// Time is recorded and decides the end of lifetimes; it never orders versions
/// and never decides whether bytes are kept.
pub trait Environment: Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;

    /// 64 random bits, unpredictable enough that ids do not collide.
    fn random(&self) -> u64;
}

/// The system's clock and random generator, for programs at the edge.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn now(&self) -> Timestamp {
        let micros = match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp::from_micros(micros)
    }

    fn random(&self) -> u64 {
        getrandom::u64().expect("the operating system supplies random bytes")
    }
}
