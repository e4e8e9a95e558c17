//! Validated names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name, in characters, as the wandb client has it.
const MAX_CHARS: usize = 128;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} {reason}")]
pub struct NameError {
    /// What the name was meant for, such as `alias`.
    pub what: &'static str,
    /// The text as given.
    pub text: String,
    /// The rule it breaks, as the end of a sentence.
    pub reason: &'static str,
}

fn check_common(text: &str, forbidden: &[char]) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("is empty");
    }
    if text.chars().count() > MAX_CHARS {
        return Err("is longer than 128 characters");
    }
    if text == "." || text == ".." {
        return Err("is not a usable name");
    }
    if text.chars().any(char::is_control) {
        return Err("contains a control character");
    }
    if text.trim() != text {
        return Err("starts or ends with white space");
    }
    if text.contains(forbidden) {
        return Err(match forbidden {
            ['/', ':'] => "contains `/` or `:`, which separate the parts of a reference",
            _ => "contains one of `/ \\ : # ? %`",
        });
    }
    Ok(())
}

/// Whether the text is `v` and ASCII digits, the form reserved for version numbers.
pub(crate) fn looks_like_index(text: &str) -> bool {
    text.strip_prefix('v')
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Validates and wraps `text`.
            ///
            /// # Errors
            /// [`NameError`] naming the rule that the text breaks.
            pub fn new(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), &'static str> = $check;
                match check(text) {
                    Ok(()) => Ok(Self(text.into())),
                    Err(reason) => Err(NameError { what: $what, text: text.to_owned(), reason }),
                }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type! {
    /// Owner of projects: a user or a team. Up to 128 characters without
    /// `/ \ : # ? %` and control characters.
    EntityName, "entity", |text| check_common(text, &['/', '\\', ':', '#', '?', '%'])
}
name_type! {
    /// Holder of runs and collections; same characters as [`EntityName`].
    ProjectName, "project", |text| check_common(text, &['/', '\\', ':', '#', '?', '%'])
}
name_type! {
    /// Name of a collection, unique in its project: up to 128 characters
    /// without `/`, `:`, `\` and control characters; `@` may occur.
    ArtifactName, "artifact name", |text| {
        check_common(text, &['/', ':'])?;
        if text.contains('\\') { return Err("contains `\\`"); }
        Ok(())
    }
}
name_type! {
    /// Type of a collection, such as `dataset`.
    ArtifactType, "artifact type", |text| check_common(text, &['/', ':'])
}
name_type! {
    /// Movable name of a version. Never `v` and digits, which are version numbers.
    Alias, "alias", |text| {
        check_common(text, &['/', ':'])?;
        if looks_like_index(text) {
            return Err("is reserved: `v` and digits name a version by its number");
        }
        Ok(())
    }
}
name_type! {
    /// Label of a version: letters, digits, `_`, `-`, and single words parted
    /// by spaces, as the wandb client accepts them.
    Tag, "tag", |text| {
        check_common(text, &['/', ':'])?;
        let ok = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ' ');
        if text.chars().all(ok) { Ok(()) } else {
            Err("may contain only letters, digits, `_`, `-` and spaces")
        }
    }
}
name_type! {
    /// A run's id within its project, chosen by the client (8 characters of
    /// base 36 by default); same characters as [`EntityName`].
    RunName, "run id", |text| check_common(text, &['/', '\\', ':', '#', '?', '%'])
}

impl Alias {
    /// The alias that the system keeps on the newest version.
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// Whether this is the alias that the system keeps.
    pub fn is_latest(&self) -> bool {
        &*self.0 == "latest"
    }
}

impl EntityName {
    /// The entity of an embedded repository.
    pub fn local() -> Self {
        Self("local".into())
    }
}

impl ProjectName {
    /// The project used when none is named.
    pub fn default_name() -> Self {
        Self("default".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_escape_or_confuse_are_refused() {
        for bad in ["", ".", "..", "a/b", "a:b", "a\nb", " a", "a ", "a\\b", &"x".repeat(129)] {
            assert!(ArtifactName::new(bad).is_err(), "{bad:?}");
        }
        for good in ["animals", "a.b_c-d", "model@prod", "é", "a b", "v3", &"x".repeat(128)] {
            assert!(ArtifactName::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn aliases_never_look_like_versions() {
        assert!(Alias::new("v3").is_err());
        assert!(Alias::new("v03").is_err());
        for good in ["v", "v3a", "V3", "prod", "latest", "v٣"] {
            assert!(Alias::new(good).is_ok(), "{good:?}");
        }
    }
}
