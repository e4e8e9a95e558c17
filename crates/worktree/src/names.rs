//! What other systems make of a name: rules and foldings, pure.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use icu_normalizer::DecomposingNormalizerBorrowed;

/// Names that start with this are temporary files of [`crate::Writer`]. A scan
/// leaves them out and counts them; the writer refuses them as final names, so
/// that no manifest can aim an entry at a file that is being written.
pub const TEMPORARY_PREFIX: &str = ".heirloom-tmp-";

/// Longest name of one file or directory, in bytes, on the common file systems.
pub const MAX_NAME_BYTES: usize = 255;

/// A rule that a name breaks, here or on another system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameRule {
    /// A part is longer than [`MAX_NAME_BYTES`].
    TooLong,
    /// A part starts with [`TEMPORARY_PREFIX`].
    Reserved,
    /// A part is a device on Windows: `CON`, `nul.txt`, `COM1`, …
    DeviceName,
    /// A part ends in a dot or a space, which Windows drops.
    TrailingDotOrSpace,
    /// A part has one of `< > : " | ? * \` or a control character.
    Character,
}

impl fmt::Display for NameRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "a part of the name is longer than 255 bytes",
            Self::Reserved => "the name is kept for temporary files",
            Self::DeviceName => "the name is a device on Windows",
            Self::TrailingDotOrSpace => "the name ends in a dot or a space, which Windows drops",
            Self::Character => "the name has a character that Windows refuses",
        })
    }
}

/// The rule of *other* systems (Windows, mostly) that one part of a path
/// breaks. Such a name is kept as it is; a put announces it.
pub fn portability(name: &str) -> Option<NameRule> {
    let bytes = name.as_bytes();
    if bytes.iter().any(|b| {
        b.is_ascii_control() || matches!(b, b'<' | b'>' | b':' | b'"' | b'|' | b'?' | b'*' | b'\\')
    }) {
        return Some(NameRule::Character);
    }
    if matches!(bytes.last(), Some(b'.' | b' ')) {
        return Some(NameRule::TrailingDotOrSpace);
    }
    // The part before the first dot decides, spaces before that dot aside.
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    let device = match stem.len() {
        3 => ["con", "prn", "aux", "nul"].iter().any(|device| stem.eq_ignore_ascii_case(device)),
        4 | 5 => {
            let (word, digit) = stem.split_at_checked(3).unwrap_or(("", ""));
            (word.eq_ignore_ascii_case("com") || word.eq_ignore_ascii_case("lpt"))
                && matches!(
                    digit,
                    "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
                )
        }
        6 => stem.eq_ignore_ascii_case("conin$"),
        7 => stem.eq_ignore_ascii_case("conout$"),
        _ => false,
    };
    device.then_some(NameRule::DeviceName)
}

/// The rule that makes `name`, one part of a path, impossible to write here.
pub(crate) fn impossible(name: &str) -> Option<NameRule> {
    if name.len() > MAX_NAME_BYTES {
        Some(NameRule::TooLong)
    } else if name.starts_with(TEMPORARY_PREFIX) {
        Some(NameRule::Reserved)
    } else {
        None
    }
}

/// A form that two names share when some file system cannot tell them apart:
/// canonical decomposition (Unicode NFD), then lower case, then decomposed
/// again since lower-casing may compose.
pub fn fold(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return Cow::Owned(name.to_ascii_lowercase());
        }
        return Cow::Borrowed(name);
    }
    let nfd = DecomposingNormalizerBorrowed::new_nfd();
    let lower = nfd.normalize(name).to_lowercase();
    Cow::Owned(nfd.normalize(&lower).into_owned())
}

/// A 64-bit hash of [`fold`]; 8 bytes a name are what a directory of a million
/// names can afford.
pub(crate) fn fold_hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    fold(name).hash(&mut hasher);
    hasher.finish()
}

/// Groups of names in one directory that fold to the same form. `names` is
/// called up to three times and yields each name once.
pub(crate) fn collisions<'a, I: Iterator<Item = &'a str>>(
    names: impl Fn() -> I,
) -> Vec<Vec<&'a str>> {
    // Two different names in lower-case ASCII never fold together: the usual
    // directory ends here.
    if !names().any(|name| name.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii())) {
        return Vec::new();
    }
    let mut hashes: Vec<u64> = names().map(fold_hash).collect();
    hashes.sort_unstable();
    let mut twice: Vec<u64> = hashes.windows(2).filter(|w| w[0] == w[1]).map(|w| w[0]).collect();
    drop(hashes);
    twice.dedup();
    if twice.is_empty() {
        return Vec::new();
    }
    let mut groups: HashMap<String, Vec<&'a str>> = HashMap::new();
    for name in names() {
        if twice.binary_search(&fold_hash(name)).is_ok() {
            groups.entry(fold(name).into_owned()).or_default().push(name);
        }
    }
    let mut groups: Vec<_> = groups.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_other_systems_refuse_are_known() {
        for (name, rule) in [
            ("con", NameRule::DeviceName),
            ("NUL.txt", NameRule::DeviceName),
            ("com1", NameRule::DeviceName),
            ("LPT9.tar.gz", NameRule::DeviceName),
            ("aux .c", NameRule::DeviceName),
            ("com²", NameRule::DeviceName),
            ("a.", NameRule::TrailingDotOrSpace),
            ("a ", NameRule::TrailingDotOrSpace),
            ("a:b", NameRule::Character),
            ("a\\b", NameRule::Character),
            ("a\nb", NameRule::Character),
            ("a?", NameRule::Character),
        ] {
            assert_eq!(portability(name), Some(rule), "{name:?}");
        }
        for name in ["com", "com0", "con1", "console", "a.b", ".hidden", "é", "com10", "aé", "€a"]
        {
            assert_eq!(portability(name), None, "{name:?}");
        }
    }

    #[test]
    fn case_and_normalisation_fold_together() {
        assert_eq!(fold("É"), fold("e\u{301}"));
        assert_eq!(fold("README"), fold("readme"));
        assert_ne!(fold("e"), fold("é"));
        let names = ["A", "B", "a", "b.txt", "e\u{301}", "é"];
        let groups = collisions(|| names.iter().copied());
        assert_eq!(groups, [vec!["A", "a"], vec!["e\u{301}", "é"]]);
    }
}
