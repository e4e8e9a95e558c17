//! Drafts: artifacts that start from a version.

use heirloom_api::{BaseAlias, Problem, ProjectRef, StateDoc, VersionDoc};
use heirloom_core::{Alias, ArtifactRef, ErrorCode, Selector};

use crate::{Error, Project, Result};

/// What a draft does when its base moved: when the alias by which the base was
/// found (`latest` where none was given) names another version once the draft is
/// committed. A version that was found by number or digest never moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfBaseMoved {
    /// Nothing is committed; the error has the code `base_moved`.
    #[default]
    Fail,
    /// The same changes are made to the version that the alias names now, and
    /// committed if it names that still; and so on. What was to be removed and
    /// is gone already is no error then.
    Rebase,
}

/// What a draft starts from.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) doc: VersionDoc,
    /// The alias by which it was found.
    pub(crate) alias: Option<Alias>,
    pub(crate) if_moved: IfBaseMoved,
    /// Whether this base took the place of another.
    pub(crate) rebased: bool,
}

impl Base {
    pub(crate) fn new(doc: VersionDoc, alias: Option<Alias>) -> Self {
        Self { doc, alias, if_moved: IfBaseMoved::default(), rebased: false }
    }

    /// Its name within the project, such as `animals:v3`.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.doc.name, self.doc.index)
    }

    /// The name by which it was asked for.
    pub(crate) fn asked(&self) -> String {
        match &self.alias {
            Some(alias) => format!("{}:{alias}", self.doc.name),
            None => self.name(),
        }
    }

    /// What must be true still when the draft is committed.
    pub(crate) fn condition(&self) -> Option<BaseAlias> {
        let alias = self.alias.clone()?;
        Some(BaseAlias { alias, version: self.doc.id })
    }

    /// A draft belongs where its base is: what it inherits is stored there.
    pub(crate) fn check_project(&self, project: &Project) -> Result<()> {
        let home =
            ProjectRef { entity: self.doc.entity.clone(), project: self.doc.project.clone() };
        if *project.reference() == home {
            return Ok(());
        }
        Err(Error::usage(format!(
            "a draft of `{}` is logged to its own project, `{}/{}`",
            self.name(),
            home.entity,
            home.project
        )))
    }

    /// The version that the alias names now.
    pub(crate) async fn moved(&self, project: &Project) -> Result<Self> {
        let doc = self.named_now(project).await?;
        Ok(Self { doc, rebased: true, ..self.clone() })
    }

    async fn named_now(&self, project: &Project) -> Result<VersionDoc, Problem> {
        let selector = match &self.alias {
            Some(alias) => Selector::Alias(alias.clone()),
            None => Selector::Index(self.doc.index),
        };
        let reference = ArtifactRef::new(None, None, self.doc.name.clone(), selector);
        project.client().backend().resolve(project.reference().clone(), reference).await
    }

    /// What somebody was told who needed the base: that it has moved, or is gone,
    /// when it was deleted since it was found.
    pub(crate) async fn explain(&self, project: &Project, problem: Problem) -> Problem {
        if problem.code != ErrorCode::NotFound {
            return problem;
        }
        let is_there = match project.client().backend().version(self.doc.id).await {
            Ok(doc) => doc.state == StateDoc::Committed,
            Err(_) => false,
        };
        if is_there {
            return problem;
        }
        let name = self.name();
        let Some(_) = &self.alias else {
            let what = format!("version `{name}`, from which the edit began, was deleted");
            return Problem::new(ErrorCode::NotFound, what);
        };
        let found = match self.named_now(project).await {
            Ok(doc) => Some(doc.index),
            Err(problem) if problem.code == ErrorCode::NotFound => None,
            Err(problem) => return problem,
        };
        let now = match found {
            Some(index) => format!("names {index} now"),
            None => "names no version now".to_owned(),
        };
        let what = format!(
            "`{}` {now}; the edit began from {}, which was deleted",
            self.asked(),
            self.doc.index
        );
        let mut moved = Problem::new(ErrorCode::BaseMoved, what);
        moved.found = found.map(|index| index.to_string());
        moved
    }
}

/// The alias by which a reference finds a version, if it does.
pub(crate) fn alias_of(reference: &ArtifactRef) -> Option<Alias> {
    match reference.selector() {
        Selector::Unspecified => Some(Alias::latest()),
        Selector::Alias(alias) => Some(alias.clone()),
        Selector::Index(_) | Selector::Digest(_) => None,
    }
}
