//! Header fields that reqwest leaves to us.

use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_RANGE, HeaderMap, RETRY_AFTER};

/// `Content-Range: bytes first-last/total`, or `bytes */total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// First and last byte, which is at or after the first.
    pub(super) bytes: Option<(u64, u64)>,
    /// Length of the whole, unless `*`.
    pub(super) total: Option<u64>,
}

/// The field of RFC 9110 §14.4; `None` if absent or malformed.
pub(super) fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    parse_content_range(headers.get(CONTENT_RANGE)?.to_str().ok()?)
}

fn parse_content_range(text: &str) -> Option<ContentRange> {
    let (unit, rest) = text.trim().split_once(' ')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (range, total) = rest.trim().split_once('/')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    let bytes = match range {
        "*" => None,
        _ => {
            let (first, last) = range.split_once('-')?;
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            if first > last || total.is_some_and(|total| last >= total) {
                return None;
            }
            Some((first, last))
        }
    };
    Some(ContentRange { bytes, total })
}

/// The pause asked for by `Retry-After` (RFC 9110 §10.2.3), in seconds or until
/// a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn content_ranges() {
        let range = |bytes, total| Some(ContentRange { bytes, total });
        assert_eq!(parse_content_range("bytes 0-0/10"), range(Some((0, 0)), Some(10)));
        assert_eq!(parse_content_range("Bytes 4-9/*"), range(Some((4, 9)), None));
        assert_eq!(parse_content_range("bytes */10"), range(None, Some(10)));
        for bad in ["bytes 5-4/10", "bytes 0-10/10", "bytes", "items 0-1/2", "bytes a-b/c", ""] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn pauses_by_seconds_and_by_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        let pause = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        // The example date of RFC 9110 §5.6.7.
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(pause("Sun, 06 Nov 1983 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(pause("soon"), None);
    }

    proptest! {
        #[test]
        fn any_content_range_is_read_or_refused(text in "(bytes )?[0-9*-]{0,22}/?[0-9*]{0,22}") {
            let _ = parse_content_range(&text);
        }
    }
}
