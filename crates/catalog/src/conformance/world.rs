//! A catalog with the little that tests need around it: ids and times that count
//! up, and a put from draft to commit as a repository makes it.

use std::cell::Cell;

use heirloom_core::{
    Alias, ArtifactName, ArtifactRef, ArtifactType, CollectionId, DraftId, EntityName, ProjectId,
    ProjectName, Provenance, RunId, RunName, RunState, Scope, Tag, Timestamp, Ttl, VersionId,
};
use heirloom_manifest::{BlobId, ManifestId, NodeId};
use heirloom_store::ObjectKey;

use crate::row::{CollectionRow, Location, ObjectRow, ObjectState, RunRow, VersionRow};
use crate::rules::{
    self, BeginDraft, By, Commit, Committed, Decision, EnsureProject, ExpectedIndex, OperationKey,
    Publish, Refusal, Resolved,
};
use crate::view::{Catalog, CatalogExt, Edit, View};

/// A catalog under test.
pub struct World {
    /// The catalog.
    pub catalog: Box<dyn Catalog>,
    counter: Cell<u64>,
}

/// A put to be made.
#[derive(Debug, Clone)]
pub struct Put<'a> {
    /// Collection.
    pub name: &'a str,
    /// Type.
    pub artifact_type: Option<&'a str>,
    /// Stands for the content.
    pub content: u64,
    /// Aliases.
    pub aliases: &'a [&'a str],
    /// Tags.
    pub tags: &'a [&'a str],
    /// Run.
    pub run: Option<RunId>,
    /// Another version even of the same content.
    pub force_new: bool,
    /// Key of idempotency.
    pub key: Option<OperationKey<'a>>,
    /// Description.
    pub description: Option<&'a str>,
    /// Metadata.
    pub metadata: Option<&'a str>,
}

impl<'a> Put<'a> {
    /// A data set of that content.
    pub fn new(name: &'a str, content: u64) -> Self {
        Self {
            name,
            artifact_type: Some("dataset"),
            content,
            aliases: &[],
            tags: &[],
            run: None,
            force_new: false,
            key: None,
            description: None,
            metadata: None,
        }
    }
}

/// The actor of everything in a [`World`].
pub(super) const ACTOR: &str = "ada";

impl World {
    /// A world around an empty catalog.
    pub fn new(catalog: Box<dyn Catalog>) -> Self {
        Self { catalog, counter: Cell::new(0) }
    }

    /// A number not given before.
    pub fn fresh(&self) -> u64 {
        self.counter.set(self.counter.get() + 1);
        self.counter.get()
    }

    /// The numbers given so far.
    pub fn given(&self) -> u64 {
        self.counter.get()
    }

    /// A time later than all before.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_000_000 * i64::try_from(self.fresh()).unwrap())
    }

    /// An ordinary caller.
    pub fn by(&self) -> By<'static> {
        By { actor: ACTOR, at: self.now(), admin: false }
    }

    /// An admin.
    pub fn admin(&self) -> By<'static> {
        By { admin: true, ..self.by() }
    }

    /// Decides and applies.
    pub fn apply<T>(
        &self,
        rule: impl Fn(&dyn View) -> Result<Decision<T>, Refusal>,
    ) -> Result<T, Refusal> {
        self.catalog.transact(|view| Ok::<_, Refusal>(rule(view)?.into_parts()))
    }

    /// Applies edits as they are.
    pub fn edit(&self, edits: Vec<Edit>) -> crate::Result<()> {
        self.catalog.write(&mut |_| Ok(edits.clone()))
    }

    /// Reads.
    pub fn read<T>(&self, f: impl FnOnce(&dyn View) -> crate::Result<T>) -> T {
        self.catalog.view(f).unwrap()
    }

    /// A project, made when absent.
    pub fn project(&self, name: &str) -> ProjectId {
        let request = EnsureProject {
            entity: &EntityName::local(),
            name: &ProjectName::new(name).unwrap(),
            id: ProjectId(i64::try_from(self.fresh()).unwrap()),
            at: self.now(),
        };
        self.apply(|view| rules::ensure_project(view, &request)).unwrap().id
    }

    /// A row of a run that is not started yet.
    pub fn run_row(&self, project: ProjectId, name: &str) -> RunRow {
        RunRow {
            id: RunId::from_random(self.fresh()),
            project,
            name: RunName::new(name).unwrap(),
            display_name: name.to_owned(),
            job_type: Some("train".to_owned()),
            group: None,
            config: Some(r#"{"lr":0.1}"#.to_owned()),
            summary: None,
            state: RunState::Running,
            exit_code: None,
            started_at: self.now(),
            ended_at: None,
            actor: ACTOR.to_owned(),
            provenance: Provenance { host: Some("here".to_owned()), ..Provenance::default() },
        }
    }

    /// A started run.
    pub fn run(&self, project: ProjectId, name: &str) -> RunId {
        let row = self.run_row(project, name);
        self.apply(|view| rules::start_run(view, &row)).unwrap().id
    }

    /// Begins a draft.
    pub fn draft(
        &self,
        project: ProjectId,
        name: &str,
        artifact_type: Option<&str>,
    ) -> Result<DraftId, Refusal> {
        let artifact_type = artifact_type.map(|text| ArtifactType::new(text).unwrap());
        let name = ArtifactName::new(name).unwrap();
        let request = BeginDraft {
            by: self.by(),
            draft: DraftId::from_random(self.fresh()),
            project,
            name: &name,
            artifact_type: artifact_type.as_ref(),
            base: None,
        };
        Ok(self.apply(|view| rules::begin_draft(view, &request))?.draft.id)
    }

    /// Publishes one blob as a whole object.
    pub fn publish(&self, project: ProjectId, draft: DraftId, blob: BlobId) -> Result<(), Refusal> {
        self.publish_if(project, draft, blob, true)
    }

    /// Publishes an object that the store lost again meanwhile.
    pub fn publish_absent(
        &self,
        project: ProjectId,
        draft: DraftId,
        blob: BlobId,
    ) -> Result<(), Refusal> {
        self.publish_if(project, draft, blob, false)
    }

    fn publish_if(
        &self,
        project: ProjectId,
        draft: DraftId,
        blob: BlobId,
        present: bool,
    ) -> Result<(), Refusal> {
        let (object, location) = whole(blob);
        let blobs = &[(blob, location)];
        let request = Publish { scope: Scope(project), draft, object, blobs, present };
        self.apply(|view| rules::publish(view, &request))
    }

    /// A commit of nothing in particular, to be completed.
    pub fn commit_of<'a>(&self, project: ProjectId, name: &'a ArtifactName) -> Commit<'a> {
        static NOWHERE: Provenance = Provenance {
            host: None,
            command: Vec::new(),
            git_commit: None,
            git_remote: None,
            git_dirty: None,
        };
        let root = root_of(0);
        Commit {
            key: None,
            by: self.by(),
            project,
            name,
            artifact_type: None,
            collection: CollectionId(i64::try_from(self.fresh()).unwrap()),
            version: VersionId::from_random(self.fresh()),
            digest: ManifestId::of_root(&root),
            root,
            entries: 1,
            size: 0,
            aliases: &[],
            tags: &[],
            description: None,
            metadata: None,
            ttl: Ttl::Inherit,
            run: None,
            provenance: &NOWHERE,
            attachments: &[],
            draft: None,
            force_new: false,
            base_alias: None,
            expected: None,
            record: None,
            parts: None,
        }
    }

    /// Everything from draft to commit, as a repository does it: the draft, the
    /// blobs, and the version record, written anew as often as needed.
    pub fn put(&self, project: ProjectId, put: &Put<'_>) -> Result<Committed, Refusal> {
        let draft = self.draft(project, put.name, put.artifact_type)?;
        let name = ArtifactName::new(put.name).unwrap();
        let artifact_type = put.artifact_type.map(|text| ArtifactType::new(text).unwrap());
        let aliases: Vec<Alias> = put.aliases.iter().map(|text| alias(text)).collect();
        let tags: Vec<Tag> = put.tags.iter().map(|text| Tag::new(text).unwrap()).collect();
        let root = root_of(put.content);
        self.publish(project, draft, root.as_blob())?;
        let provenance = Provenance { host: Some("there".to_owned()), ..Provenance::default() };
        let mut commit = Commit {
            key: put.key,
            artifact_type: artifact_type.as_ref(),
            digest: ManifestId::of_root(&root),
            root,
            size: put.content,
            aliases: &aliases,
            tags: &tags,
            description: put.description,
            metadata: put.metadata,
            run: put.run,
            provenance: &provenance,
            draft: Some(draft),
            force_new: put.force_new,
            ..self.commit_of(project, &name)
        };
        loop {
            match self.apply(|view| rules::commit(view, &commit)) {
                Err(Refusal::IndexTaken { next, predecessor, .. }) => {
                    let text = format!("{} {next} {predecessor:?} {:?}", put.name, root);
                    let record = BlobId::of(text.as_bytes());
                    self.publish(project, draft, record)?;
                    commit.expected = Some(ExpectedIndex { index: next, predecessor });
                    commit.record = Some(record);
                }
                other => return other,
            }
        }
    }

    /// The collection of that name.
    pub fn collection(&self, project: ProjectId, name: &str) -> CollectionRow {
        let name = ArtifactName::new(name).unwrap();
        self.read(|view| rules::find_collection(view, project, &name)).unwrap()
    }

    /// What a reference in project `p` names.
    pub fn resolve(&self, reference: &str) -> Result<Resolved, Refusal> {
        let reference: ArtifactRef = reference.parse().unwrap();
        let project = ProjectName::new("p").unwrap();
        self.catalog.view(|view| rules::resolve(view, &reference, &EntityName::local(), &project))
    }

    /// The number that a reference in project `p` names.
    pub fn index(&self, reference: &str) -> u64 {
        self.resolve(reference).unwrap().membership.index.get()
    }

    /// The version that a reference in project `p` names.
    pub fn version(&self, reference: &str) -> VersionRow {
        self.resolve(reference).unwrap().version
    }
}

/// An alias.
pub(super) fn alias(text: &str) -> Alias {
    Alias::new(text).unwrap()
}

/// Root of the tree that stands for a content.
pub(super) fn root_of(content: u64) -> NodeId {
    NodeId::of(format!("content {content}").as_bytes())
}

/// A blob that is no root.
pub(super) fn blob(number: u64) -> BlobId {
    BlobId::of(format!("blob {number}").as_bytes())
}

/// A live whole object that holds one blob.
pub(super) fn whole(blob: BlobId) -> (ObjectRow, Location) {
    let key = ObjectKey::Whole(blob);
    let object = ObjectRow {
        key,
        size: 10,
        state: ObjectState::Live,
        claimed_epoch: 0,
        created_at: Timestamp::from_micros(7),
    };
    (object, Location { object: key, offset: 0, stored: 10, raw: 10, codec: 0, kind: 0 })
}

/// A new catalog in a file of its own.
#[cfg(all(test, feature = "sqlite"))]
pub(super) fn sqlite_in(home: &std::path::Path) -> Box<dyn Catalog> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let file = home.join(format!("{}.sqlite3", NEXT.fetch_add(1, Ordering::Relaxed)));
    Box::new(crate::SqliteCatalog::open(file, crate::SqliteOptions::default()).unwrap())
}
