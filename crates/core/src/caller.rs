//! On whose behalf an operation is made.

use crate::name::{EntityName, ProjectName};

/// What a caller may do in an entity or a project; each includes the ones before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read.
    Viewer,
    /// Also log, alias, tag, link and delete.
    Writer,
    /// Also change roles, protection and retention.
    Admin,
}

/// A role in a whole entity, or in one project of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The entity.
    pub entity: EntityName,
    /// The project, or `None` for all of the entity's.
    pub project: Option<ProjectName>,
    /// The role.
    pub role: Role,
}

/// Where a caller's rights come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// Whoever holds the repository's files may do everything.
    Owner,
    /// Exactly what these grants say.
    Grants(Vec<Grant>),
}

/// On whose behalf an operation is made. Every operation of a repository has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    actor: String,
    authority: Authority,
}

impl Caller {
    /// The owner of an embedded repository, recorded under `actor` (the user's
    /// name on the machine).
    pub fn owner(actor: impl Into<String>) -> Self {
        Self { actor: actor.into(), authority: Authority::Owner }
    }

    /// A caller with exactly these grants.
    pub fn with_grants(actor: impl Into<String>, grants: Vec<Grant>) -> Self {
        Self { actor: actor.into(), authority: Authority::Grants(grants) }
    }

    /// The name that is recorded as who did it.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// The highest role in a project, or `None` when the caller may not even
    /// know that it exists.
    pub fn role_in(&self, entity: &EntityName, project: &ProjectName) -> Option<Role> {
        match &self.authority {
            Authority::Owner => Some(Role::Admin),
            Authority::Grants(grants) => grants
                .iter()
                .filter(|grant| {
                    grant.entity == *entity && grant.project.as_ref().is_none_or(|p| p == project)
                })
                .map(|grant| grant.role)
                .max(),
        }
    }
}
