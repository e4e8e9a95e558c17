//! What has been logged.

use std::future::{Future, IntoFuture};
use std::path::Path;
use std::pin::Pin;

use heirloom_api::{
    Committed, Expected, LineageDoc, LineageNode, LineageQuery, ProjectRef, RunDoc, Towards,
    UpdateVersion, VerifyReport, VersionDoc,
};
use heirloom_core::{
    Alias, ArtifactName, ArtifactRef, ArtifactType, ErrorCode, Selector, Tag, VersionIndex,
};
use heirloom_manifest::{
    Change, Diff, Entry, LogicalPath, ManifestId, NodeSource, Range, Rename, Renames,
};
use heirloom_worktree::{Expected as Wanted, Finding, TreeReport, verify_tree};

use crate::client::blocking_task;
use crate::draft::Base;
use crate::nodes::{Nodes, read_problem};
use crate::{Artifact, Client, Download, EntryReader, Error, Files, Project, Result, Run};

/// A committed version: immutable, and known by what [`Version::doc`] says.
#[derive(Debug, Clone)]
pub struct Version {
    client: Client,
    doc: VersionDoc,
    /// The alias by which it was found.
    alias: Option<Alias>,
}

/// How two versions differ; made by [`Version::diff`].
#[derive(Debug, Clone, PartialEq)]
pub struct Differences {
    /// Paths that differ, in path order; of renames both ends are left out.
    pub changes: Vec<Change>,
    /// Files that went from one path to another unchanged.
    pub renamed: Vec<Rename>,
    /// False when there were too many candidates to find every rename.
    pub complete: bool,
}

/// How a directory compares with a version; made by [`Version::verify`].
#[derive(Debug, Clone, PartialEq)]
pub struct TreeCheck {
    /// Counts.
    pub report: TreeReport,
    /// What differs, in path order; the first 1000.
    pub findings: Vec<Finding>,
}

/// Findings that [`TreeCheck`] lists.
const MAX_FINDINGS: usize = 1000;

impl Version {
    pub(crate) fn new(client: Client, doc: VersionDoc, alias: Option<Alias>) -> Self {
        Self { client, doc, alias }
    }

    /// A draft of the next version of its collection, which starts with all that
    /// this version has, its description and its metadata: add, replace and
    /// [remove](Artifact::remove) paths, then log it as any artifact, in the same
    /// project. What it costs follows what is changed.
    ///
    /// If this version was asked for by an alias, and the alias names another
    /// when the draft is committed, that is an error, or the changes are made to
    /// that one: see [`Artifact::if_base_moved`].
    ///
    /// It is an error, reported when the draft is logged, when this version was
    /// found in a portfolio, which holds links only.
    pub fn new_draft(&self) -> Artifact {
        Artifact::from_base(Base::new(self.doc.clone(), self.alias.clone()))
    }

    /// Everything that is known of it, as of when it was asked for.
    pub fn doc(&self) -> &VersionDoc {
        &self.doc
    }

    /// The client it is reached through.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its project.
    pub fn project(&self) -> Project {
        self.client.project_named(self.doc.entity.clone(), self.doc.project.clone())
    }

    /// Its name within the project, such as `animals:v3`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.doc.name, self.doc.index)
    }

    /// Its collection's name.
    pub fn collection(&self) -> &ArtifactName {
        &self.doc.name
    }

    /// Its collection's type.
    pub fn artifact_type(&self) -> &ArtifactType {
        &self.doc.artifact_type
    }

    /// Its number.
    pub fn index(&self) -> VersionIndex {
        self.doc.index
    }

    /// Its digest: equal for equal content.
    pub fn digest(&self) -> ManifestId {
        self.doc.digest
    }

    /// Sum of its entries' sizes in bytes.
    pub fn size(&self) -> u64 {
        self.doc.size
    }

    /// Its aliases, ascending.
    pub fn aliases(&self) -> &[Alias] {
        &self.doc.aliases
    }

    /// Its tags, ascending.
    pub fn tags(&self) -> &[Tag] {
        &self.doc.tags
    }

    /// What was said of it.
    pub fn description(&self) -> Option<&str> {
        self.doc.description.as_deref()
    }

    /// Facts recorded with it: a JSON object.
    pub fn metadata(&self) -> Option<&serde_json::Value> {
        self.doc.metadata.as_ref()
    }

    /// Prepares a download; `.await` it, by default into
    /// `./artifacts/NAME:vN`. Every byte is verified before it appears under
    /// its final name.
    pub fn download(&self) -> Download {
        Download::new(self.clone())
    }

    /// The entry at exactly this path.
    ///
    /// # Errors
    /// [`Error::Usage`] for a path that breaks a rule; damaged nodes by name.
    pub async fn entry(&self, path: &str) -> Result<Option<Entry>> {
        let path = LogicalPath::new(path)?;
        Ok(self.client.backend().entry(self.doc.id, path).await?)
    }

    /// Opens one file; a reference is opened where it is, as pinned.
    ///
    /// # Errors
    /// `not_found`; [`Error::Usage`] for an empty directory.
    pub async fn open(&self, path: &str) -> Result<EntryReader> {
        match self.entry(path).await? {
            None => Err(heirloom_api::Problem::not_found(
                "path",
                format_args!("{path}` in `{}", self.name()),
            )
            .into()),
            Some(Entry::EmptyDirectory) => {
                Err(Error::usage(format!("`{path}` in `{}` is an empty directory", self.name())))
            }
            Some(Entry::File { blob, size }) => {
                let downloader = self.client.backend().downloader(self.doc.id).await?;
                Ok(EntryReader::blob(downloader, blob, size))
            }
            Some(Entry::Reference(reference)) => {
                EntryReader::reference(&self.client, &reference).await
            }
        }
    }

    /// All bytes of one file, verified.
    ///
    /// # Errors
    /// As [`Version::open`]; damage.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>> {
        let mut reader = self.open(path).await?;
        let name = path.to_owned();
        blocking_task(move || {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut bytes)
                .map_err(|error| reader_error(&name, error))?;
            Ok(bytes)
        })
        .await
    }

    /// Its entries in path order, page by page.
    pub fn files(&self) -> Files {
        Files::new(self.client.clone(), self.doc.id)
    }

    /// How `other` differs from this version: added means that only `other` has
    /// it. Costs what differs.
    ///
    /// # Errors
    /// Damaged nodes by name.
    pub async fn diff(&self, other: &Self) -> Result<Differences> {
        let before = Nodes::new(self.client.backend().downloader(self.doc.id).await?);
        let after = Nodes::new(other.client.backend().downloader(other.doc.id).await?);
        let (from, to) = (self.doc.root, other.doc.root);
        blocking_task(move || {
            let mut renames = Renames::new();
            let mut changes = Vec::new();
            for change in Diff::new(Either { before, after }, from, to) {
                changes.extend(renames.push(change.map_err(read_problem)?));
            }
            let found = renames.finish();
            changes.extend(found.rest);
            changes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
            Ok(Differences { changes, renamed: found.renames, complete: found.complete })
        })
        .await
    }

    /// Compares a directory with this version by hashing every file in it. What
    /// references lead to is not judged, only that there is a file.
    ///
    /// # Errors
    /// A directory that cannot be opened; damaged nodes by name.
    pub async fn verify(&self, root: impl AsRef<Path>) -> Result<TreeCheck> {
        let nodes = Nodes::new(self.client.backend().downloader(self.doc.id).await?);
        let (tree, root) = (self.doc.root, root.as_ref().to_owned());
        blocking_task(move || {
            let mut findings = Vec::new();
            let expected = heirloom_manifest::Entries::new(nodes, tree, Range::default()).map(
                |item| match item {
                    Ok((path, entry)) => Ok(Wanted::of(path, &entry)),
                    Err(error) => Err(Error::from(read_problem(error))),
                },
            );
            let report = verify_tree(&root, expected, |finding| {
                if findings.len() < MAX_FINDINGS {
                    findings.push(finding);
                }
            })?;
            Ok(TreeCheck { report, findings })
        })
        .await
    }

    /// Reads and hashes everything this version has in the store.
    ///
    /// # Errors
    /// A failed backend; damage is no error but in the report.
    pub async fn verify_stored(&self) -> Result<VerifyReport> {
        Ok(self.client.backend().verify(Some(self.doc.id)).await?)
    }

    /// The runs that produced it. None when it was logged without a run.
    ///
    /// # Errors
    /// A failed backend.
    pub async fn logged_by(&self) -> Result<Vec<RunDoc>> {
        Ok(self.client.backend().version_runs(self.doc.id).await?.0)
    }

    /// The runs that used it.
    ///
    /// # Errors
    /// A failed backend.
    pub async fn used_by(&self) -> Result<Vec<RunDoc>> {
        Ok(self.client.backend().version_runs(self.doc.id).await?.1)
    }

    /// Asks for runs and versions around it; `.await` it. By default in both
    /// directions and without a limit.
    pub fn lineage(&self) -> LineageRequest {
        let query = LineageQuery { start: self.doc.id, towards: Towards::Both, depth: None };
        LineageRequest { client: self.client.clone(), query }
    }

    /// Versions that were made from this one, directly or not; with an alias
    /// only those that hold it now.
    ///
    /// # Errors
    /// [`Error::Usage`] for an alias that breaks a rule.
    pub async fn impact(&self, alias: Option<&str>) -> Result<Vec<LineageNode>> {
        let alias = alias.map(Alias::new).transpose()?;
        let doc = self.lineage().down().await?;
        let hit = |node: &LineageNode| match node {
            LineageNode::Version { version, aliases, .. } => {
                version.id != self.doc.id
                    && alias.as_ref().is_none_or(|alias| aliases.contains(alias))
            }
            LineageNode::Run { .. } => false,
        };
        Ok(doc.nodes.into_iter().filter(hit).collect())
    }

    /// Moves an alias to this version.
    ///
    /// # Errors
    /// `conflict` with the present holder when it is not the expected one.
    pub async fn set_alias(&self, alias: &str, expected: Expected) -> Result<()> {
        let alias = Alias::new(alias)?;
        Ok(self.client.backend().set_alias(self.doc.clone(), alias, expected).await?)
    }

    /// Adds and removes tags.
    ///
    /// # Errors
    /// [`Error::Usage`] for a tag that breaks a rule.
    pub async fn tag(&self, add: &[&str], remove: &[&str]) -> Result<()> {
        let parse = |tags: &[&str]| -> Result<Vec<Tag>> {
            tags.iter().map(|tag| Ok(Tag::new(tag)?)).collect()
        };
        Ok(self.client.backend().tag(self.doc.clone(), parse(add)?, parse(remove)?).await?)
    }

    /// Changes description, metadata or lifetime, and gives the version as it
    /// is then.
    ///
    /// # Errors
    /// A failed backend.
    pub async fn update(&self, request: UpdateVersion) -> Result<Self> {
        let doc = self.client.backend().update_version(self.doc.clone(), request).await?;
        Ok(Self { client: self.client.clone(), doc, alias: self.alias.clone() })
    }

    /// Links it into a portfolio, made when it does not exist, and gives the
    /// version as seen there.
    ///
    /// # Errors
    /// `conflict` when the name belongs to a collection of another kind.
    pub async fn link(&self, project: &Project, portfolio: &str, aliases: &[&str]) -> Result<Self> {
        let name = ArtifactName::new(portfolio)?;
        let aliases =
            aliases.iter().map(|alias| Ok(Alias::new(alias)?)).collect::<Result<Vec<_>>>()?;
        let project: ProjectRef = project.reference().clone();
        let doc = self.client.backend().link(self.doc.id, project, name, aliases).await?;
        Ok(Self::new(self.client.clone(), doc, None))
    }

    /// Makes a version of the same content in another collection, without
    /// moving bytes; `run` is recorded as what made it.
    ///
    /// # Errors
    /// `wrong_type` for an existing collection of another type.
    pub async fn copy_to(
        &self,
        project: &Project,
        name: &str,
        run: Option<&Run>,
    ) -> Result<Committed> {
        let name = ArtifactName::new(name)?;
        let run = run.map(|run| run.doc().run.id);
        let project = project.reference().clone();
        Ok(self.client.backend().copy(self.doc.id, project, name, run).await?)
    }

    /// Deletes it; it can be restored for a while.
    ///
    /// # Errors
    /// `in_use`, with what holds it, unless `delete_aliases`.
    pub async fn delete(&self, delete_aliases: bool) -> Result<()> {
        let reference = ArtifactRef::new(
            Some(self.doc.entity.clone()),
            Some(self.doc.project.clone()),
            self.doc.name.clone(),
            Selector::Index(self.doc.index),
        );
        self.project().delete([reference.to_string()], delete_aliases).await.map(|_| ())
    }
}

/// What a reader says when it fails, as the error it stands for.
pub(crate) fn reader_error(path: &str, error: std::io::Error) -> Error {
    match error.downcast::<heirloom_api::Problem>() {
        Ok(problem) => problem.into(),
        Err(error) => match error.downcast::<heirloom_refs::RefsError>() {
            Ok(error) => error.into(),
            // The store's readers say so of bytes that are not the ones stored.
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                let message = format!("`{path}` is damaged: {error}");
                heirloom_api::Problem::new(ErrorCode::Corrupt, message).into()
            }
            Err(error) => Error::io("read", path, error),
        },
    }
}

/// Nodes of two versions, which may be in different scopes.
struct Either {
    before: Nodes,
    after: Nodes,
}

impl NodeSource for Either {
    type Bytes = Vec<u8>;
    type Error = heirloom_api::Problem;

    fn node(&mut self, id: &heirloom_manifest::NodeId) -> Result<Vec<u8>, Self::Error> {
        match self.after.node(id) {
            Ok(bytes) => Ok(bytes),
            Err(_) => self.before.node(id),
        }
    }
}

/// A question about lineage; `.await` it. Made by [`Version::lineage`].
#[derive(Debug, Clone)]
#[must_use = "a question is asked with `.await`"]
pub struct LineageRequest {
    client: Client,
    query: LineageQuery,
}

impl LineageRequest {
    /// Only what it was made from.
    pub fn up(mut self) -> Self {
        self.query.towards = Towards::Up;
        self
    }

    /// Only what was made from it.
    pub fn down(mut self) -> Self {
        self.query.towards = Towards::Down;
        self
    }

    /// At most this many edges away: 1 reaches the runs, 2 the versions beyond.
    pub fn depth(mut self, depth: u32) -> Self {
        self.query.depth = Some(depth);
        self
    }
}

impl IntoFuture for LineageRequest {
    type Output = Result<LineageDoc>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.client.backend().lineage(self.query).await?) })
    }
}
