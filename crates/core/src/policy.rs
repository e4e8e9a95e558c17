//! Settings that people choose: which versions stay, and whose part counts.

use serde::{Deserialize, Serialize};

/// Which versions of a collection stay when its retention is applied. A version
/// stays when any of these says so; one that nothing keeps is deleted. Without
/// any rule, all stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// The newest so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u64>,
    /// Those made less than so many seconds ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub younger_than: Option<u64>,
    /// Those with an alias other than `latest`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub aliased: bool,
    /// Those with a tag.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tagged: bool,
    /// Those from which a run made a version that is still there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub used: bool,
}

impl Retention {
    /// Whether it names no rule, so that all versions stay.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What counts when two parts of a version have different content at one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// Nothing: it is an error that names both writers.
    #[default]
    Error,
    /// The part that came first.
    First,
    /// The part that came last.
    Last,
}

impl OnConflict {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Error, Self::First, Self::Last];

    /// The word used in databases, JSON and options.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::First => "first",
            Self::Last => "last",
        }
    }

    /// The policy of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_their_policy() {
        for policy in OnConflict::ALL {
            assert_eq!(OnConflict::from_word(policy.as_str()), Some(policy));
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.as_str());
        }
        assert_eq!(OnConflict::from_word("newest"), None);
    }

    #[test]
    fn a_retention_shows_only_what_was_set() {
        let retention = Retention { keep_last: Some(3), tagged: true, ..Retention::default() };
        let text = serde_json::to_string(&retention).unwrap();
        assert_eq!(text, r#"{"keep_last":3,"tagged":true}"#);
        assert_eq!(serde_json::from_str::<Retention>(&text).unwrap(), retention);
        assert!(serde_json::from_str::<Retention>("{}").unwrap().is_empty());
        assert!(serde_json::from_str::<Retention>(r#"{"keep_newest":3}"#).is_err());
    }
}
