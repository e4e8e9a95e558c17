//! Points in time and spans.

use std::fmt;

/// Microseconds since 1970-01-01T00:00:00Z. Text and JSON form: RFC 3339 in UTC
/// with six decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// `self` moved by a number of seconds, saturating.
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_micros(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
            None => write!(f, "@{}us", self.0),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = chrono::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(chrono::DateTime::parse_from_rfc3339(text)?.timestamp_micros()))
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How long a version lives, counted from its creation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Ttl {
    /// What the collection says, then the project, else for ever.
    #[default]
    Inherit,
    /// For ever, whatever collection and project say.
    Never,
    /// This many seconds, at least one.
    Seconds(u64),
}

/// Why a span of time was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a duration of at most 10,000 years: use a number and one of s, m, h, d, w, such as \
     `30d`"
)]
pub struct TtlError(pub String);

/// Parses `90s`, `15m`, `12h`, `30d`, `2w` into seconds.
///
/// # Errors
/// [`TtlError`] for any other text, and for spans beyond 10,000 years.
pub fn parse_duration(text: &str) -> Result<u64, TtlError> {
    let refuse = || TtlError(text.to_owned());
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        Some('w') => 604_800,
        _ => return Err(refuse()),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(refuse());
    }
    let number: u64 = digits.parse().map_err(|_| refuse())?;
    number.checked_mul(unit).filter(|seconds| *seconds <= 10_000 * 366 * 86_400).ok_or_else(refuse)
}

impl std::str::FromStr for Ttl {
    type Err = TtlError;

    /// `inherit`, `never`, or a duration as in [`parse_duration`], not zero.
    fn from_str(text: &str) -> Result<Self, TtlError> {
        match text {
            "inherit" => Ok(Self::Inherit),
            "never" => Ok(Self::Never),
            _ => match parse_duration(text)? {
                0 => Err(TtlError(text.to_owned())),
                seconds => Ok(Self::Seconds(seconds)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_round_trip_through_text() {
        let time = Timestamp::from_micros(1_790_000_000_123_456);
        assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
        assert!(time.to_string().ends_with(".123456Z"));
    }

    #[test]
    fn durations() {
        assert_eq!("30d".parse(), Ok(Ttl::Seconds(30 * 86_400)));
        for bad in ["", "d", "30", "-1d", "0s", "1.5h", "99999999999999999999d", "é"] {
            assert!(bad.parse::<Ttl>().is_err(), "{bad}");
        }
    }
}
