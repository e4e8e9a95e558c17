//! How people name a version.

use std::fmt;
use std::str::FromStr;

use heirloom_manifest::ManifestId;

use crate::id::VersionIndex;
use crate::name::{Alias, ArtifactName, EntityName, NameError, ProjectName, looks_like_index};

/// Which version of a collection is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Selector {
    /// No version was named: `latest` where one version is wanted, the whole
    /// collection where that makes sense.
    Unspecified,
    /// The holder of an alias.
    Alias(Alias),
    /// A version by its number.
    Index(VersionIndex),
    /// A version by its digest.
    Digest(ManifestId),
}

/// Why a reference was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefError {
    /// A part is not a valid name.
    #[error("reference `{text}`: {source}")]
    Name {
        /// The reference as given.
        text: String,
        /// What is wrong with the part.
        source: NameError,
    },
    /// More than `entity/project/name`.
    #[error(
        "reference `{0}` has too many `/`: the form is `[[entity/]project/]name[:alias or :vN]`"
    )]
    TooManyParts(String),
}

/// A parsed reference: `[[entity/]project/]name[:alias or :vN]` or
/// `…name@blake3:<64 hex>`. Any other `@` belongs to the name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ArtifactRef {
    entity: Option<EntityName>,
    project: Option<ProjectName>,
    name: ArtifactName,
    selector: Selector,
}

impl ArtifactRef {
    /// A reference from its parts. An entity without a project is dropped.
    pub fn new(
        entity: Option<EntityName>,
        project: Option<ProjectName>,
        name: ArtifactName,
        selector: Selector,
    ) -> Self {
        let entity = entity.filter(|_| project.is_some());
        Self { entity, project, name, selector }
    }

    /// The entity, when named.
    pub fn entity(&self) -> Option<&EntityName> {
        self.entity.as_ref()
    }

    /// The project, when named.
    pub fn project(&self) -> Option<&ProjectName> {
        self.project.as_ref()
    }

    /// The collection's name.
    pub fn name(&self) -> &ArtifactName {
        &self.name
    }

    /// Which version is meant.
    pub fn selector(&self) -> &Selector {
        &self.selector
    }

    /// The same collection with another selector.
    pub fn with_selector(&self, selector: Selector) -> Self {
        Self { selector, ..self.clone() }
    }
}

impl fmt::Display for ArtifactRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entity) = &self.entity {
            write!(f, "{entity}/")?;
        }
        if let Some(project) = &self.project {
            write!(f, "{project}/")?;
        }
        write!(f, "{}", self.name)?;
        match &self.selector {
            Selector::Unspecified => Ok(()),
            Selector::Alias(alias) => write!(f, ":{alias}"),
            Selector::Index(index) => write!(f, ":{index}"),
            Selector::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl FromStr for ArtifactRef {
    type Err = RefError;

    fn from_str(text: &str) -> Result<Self, RefError> {
        let named = |source| RefError::Name { text: text.to_owned(), source };
        let (rest, digest) = match text.rsplit_once('@') {
            Some((before, after)) => match after.parse::<ManifestId>() {
                Ok(digest) => (before, Some(digest)),
                Err(_) => (text, None),
            },
            None => (text, None),
        };
        let mut parts: Vec<&str> = rest.split('/').collect();
        let last = parts.pop().unwrap_or_default();
        let (name, selector) = match (digest, last.split_once(':')) {
            (Some(digest), None) => (last, Selector::Digest(digest)),
            // Refused by the name's validator, which names the colon.
            (Some(_), Some(_)) | (None, None) => (last, Selector::Unspecified),
            (None, Some((name, version))) if looks_like_index(version) => {
                (name, Selector::Index(version.parse().map_err(named)?))
            }
            (None, Some((name, alias))) => {
                (name, Selector::Alias(Alias::new(alias).map_err(named)?))
            }
        };
        let (entity, project) = match parts.as_slice() {
            [] => (None, None),
            [project] => (None, Some(*project)),
            [entity, project] => (Some(*entity), Some(*project)),
            _ => return Err(RefError::TooManyParts(text.to_owned())),
        };
        Ok(Self {
            entity: entity.map(EntityName::new).transpose().map_err(named)?,
            project: project.map(ProjectName::new).transpose().map_err(named)?,
            name: ArtifactName::new(name).map_err(named)?,
            selector,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> ArtifactRef {
        text.parse().unwrap()
    }

    #[test]
    fn the_documented_forms() {
        assert_eq!(*parse("animals").selector(), Selector::Unspecified);
        assert_eq!(*parse("animals:prod").selector(), Selector::Alias(Alias::new("prod").unwrap()));
        assert_eq!(*parse("animals:v3").selector(), Selector::Index(VersionIndex::new(3)));
        let full = parse("me/vision/animals:v3");
        assert_eq!(full.entity().unwrap().as_str(), "me");
        assert_eq!(full.project().unwrap().as_str(), "vision");
        let digest = format!("a@b@blake3:{}", "ab".repeat(32));
        assert_eq!(parse(&digest).name().as_str(), "a@b");
        assert!(matches!(parse(&digest).selector(), Selector::Digest(_)));
        assert_eq!(parse("a@b").name().as_str(), "a@b");
    }

    #[test]
    fn what_is_no_reference() {
        for bad in ["", ":v1", "a:", "a:b:c", "a/b/c/d", "/a", "a:v01", "a/../b", "../x:latest"] {
            assert!(bad.parse::<ArtifactRef>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn display_round_trips(text in "([a-z@.]{1,5}/){0,2}[a-z@._-]{1,8}(:(v[0-9]{1,3}|[a-z]{1,6}))?") {
            if let Ok(reference) = text.parse::<ArtifactRef>() {
                prop_assert_eq!(reference.to_string().parse::<ArtifactRef>().unwrap(), reference);
            }
        }
    }
}
