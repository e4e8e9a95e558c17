//! The actors: writers, one who deletes, a reader. Each step is one transaction,
//! one look, or one change of the store.

use std::collections::BTreeSet;

use heirloom_catalog::rules::{self, BeginDraft, Claim, Commit, Decision, ExpectedIndex, Publish};
use heirloom_catalog::rules::{DeleteVersions, Refusal};
use heirloom_catalog::{Edit, ObjectRow};
use heirloom_core::{
    ArtifactName, ArtifactType, CollectionId, DraftId, Provenance, Scope, Ttl, VersionId,
    VersionIndex,
};
use heirloom_manifest::ManifestId;
use heirloom_store::ObjectKey;

use super::collector::Collector;
use super::model::{
    Blob, Fault, RECORDS, World, by, id, location, number, object_row, pack_of, root_id, tree,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Actor {
    Writer(Writer),
    Deleter(Option<VersionId>),
    Reader(Reader),
    Collector(Collector),
    /// Done, or gone.
    Idle,
}

impl Actor {
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// The objects that it keeps locks on.
    pub(crate) fn holds(&self) -> Vec<ObjectKey> {
        match self {
            Self::Writer(writer) => writer.held.clone(),
            Self::Collector(collector) => collector.held.into_iter().collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn draft(&self) -> Option<DraftId> {
        match self {
            Self::Writer(writer) if writer.step != WriterStep::Begin => Some(writer.draft()),
            _ => None,
        }
    }

    /// Adds what it was told that it may rely on.
    pub(crate) fn promised(&self, world: &World, needed: &mut BTreeSet<(Scope, Blob)>) {
        let Self::Writer(writer) = self else { return };
        let alive = world.read(|view| view.draft(writer.draft())).is_some();
        if alive {
            needed.extend(writer.promised.iter().map(|blob| (writer.scope, *blob)));
        }
    }
}

/// One step of one actor.
pub(crate) fn step(world: &mut World, at: usize) {
    let actor = std::mem::replace(&mut world.actors[at], Actor::Idle);
    let after = match actor {
        Actor::Writer(writer) => writer.step(world),
        Actor::Deleter(version) => delete(world, version),
        Actor::Reader(reader) => reader.step(world),
        Actor::Collector(collector) => collector.step(world),
        Actor::Idle => Actor::Idle,
    };
    world.actors[at] = after;
}

/// The end of an actor, wherever it is. Its locks go with it.
pub(crate) fn crash(world: &mut World, at: usize) {
    let actor = std::mem::replace(&mut world.actors[at], Actor::Idle);
    world.ownerless.extend(actor.draft());
    world.crashes -= 1;
}

fn delete(world: &mut World, version: Option<VersionId>) -> Actor {
    let versions: Vec<VersionId> = version.into_iter().collect();
    let request = DeleteVersions {
        by: by(),
        versions: &versions,
        delete_aliases: true,
        delete_links: true,
        latest_holds: false,
        undo_seconds: 1_000_000,
    };
    // Somebody else may have been faster.
    let _ = world.apply(|view| rules::delete_versions(view, &request));
    Actor::Idle
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Writer {
    pub(crate) number: u8,
    pub(crate) scope: Scope,
    pub(crate) root: Blob,
    pub(crate) base: Option<VersionId>,
    /// Times that it may begin.
    attempts: u8,
    step: WriterStep,
    send: BTreeSet<Blob>,
    held: Vec<ObjectKey>,
    promised: BTreeSet<Blob>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum WriterStep {
    Begin,
    Claim,
    Store,
    Publish,
    Commit,
}

impl Writer {
    pub(crate) fn new(number: u8, scope: Scope, root: Blob, base: Option<VersionId>) -> Self {
        Self {
            number,
            scope,
            root,
            base,
            attempts: 2,
            step: WriterStep::Begin,
            send: BTreeSet::new(),
            held: Vec::new(),
            promised: BTreeSet::new(),
        }
    }

    fn draft(&self) -> DraftId {
        DraftId::from_random(u64::from(self.number) * 10 + u64::from(self.attempts))
    }

    pub(crate) fn version(&self) -> VersionId {
        version_of(self.number)
    }

    fn record(&self) -> Blob {
        RECORDS + self.number
    }

    fn name(&self) -> ArtifactName {
        ArtifactName::new(&format!("a{}", self.number)).unwrap()
    }

    fn step(mut self, world: &mut World) -> Actor {
        match self.step {
            WriterStep::Begin => self.begin(world),
            WriterStep::Claim => match self.claim(world) {
                Ok(()) => self.to(WriterStep::Store),
                Err(refusal) => self.again(&refusal),
            },
            WriterStep::Store => {
                for pack in self.packs() {
                    let key = pack_of(&pack);
                    if world.store.insert(key, pack).is_none() {
                        self.held.push(key);
                    }
                }
                self.to(WriterStep::Publish)
            }
            WriterStep::Publish => match self.publish(world) {
                Ok(()) => {
                    self.held.clear();
                    self.promised.extend(self.packs().into_iter().flatten());
                    self.to(WriterStep::Commit)
                }
                Err(refusal) => self.again(&refusal),
            },
            WriterStep::Commit => match self.commit(world) {
                Ok(()) => Actor::Idle,
                Err(refusal) => self.again(&refusal),
            },
        }
    }

    fn to(mut self, step: WriterStep) -> Actor {
        self.step = step;
        Actor::Writer(self)
    }

    /// After being fenced: from the beginning, under another draft.
    fn again(mut self, refusal: &Refusal) -> Actor {
        assert!(refusal.is_retryable(), "{refusal}");
        let (held, promised) = (Vec::new(), BTreeSet::new());
        self.attempts -= 1;
        match self.attempts {
            0 => Actor::Idle,
            _ => Actor::Writer(Self { step: WriterStep::Begin, held, promised, ..self }),
        }
    }

    fn begin(self, world: &World) -> Actor {
        let name = self.name();
        let artifact_type = ArtifactType::new("dataset").unwrap();
        let request = BeginDraft {
            by: by(),
            draft: self.draft(),
            project: self.scope.0,
            name: &name,
            artifact_type: Some(&artifact_type),
            base: self.base,
        };
        match world.apply(|view| rules::begin_draft(view, &request)) {
            Ok(_) => self.to(WriterStep::Claim),
            // The base was deleted: without one, then.
            Err(Refusal::NotFound { .. }) => Actor::Writer(Self { base: None, ..self }),
            Err(refusal) => panic!("{refusal}"),
        }
    }

    fn claim(&mut self, world: &World) -> Result<(), Refusal> {
        let base = self.base.and_then(|base| world.read(|view| view.version(base)));
        let inherited: Vec<Blob> =
            base.map(|row| tree(number(&row.root.as_blob()))).unwrap_or_default();
        let mut blobs = tree(self.root);
        blobs.retain(|blob| !inherited.contains(blob));
        let ids: Vec<_> = blobs.iter().map(|blob| id(*blob)).collect();
        let request = Claim { scope: self.scope, draft: self.draft(), blobs: &ids };
        let blind = world.has_fault(Fault::NoStampOnClaim);
        let claimed = world.apply(|view| {
            Ok(unstamped(view_epochs(view)?, rules::claim(view, &request)?, blind))
        })?;
        self.send.clear();
        self.promised.clear();
        for (blob, found) in blobs.iter().zip(&claimed.locations) {
            match found {
                Some(_) => self.promised.insert(*blob),
                None => self.send.insert(*blob),
            };
        }
        Ok(())
    }

    /// What is sent, in two packs: the version record has one of its own.
    fn packs(&self) -> Vec<BTreeSet<Blob>> {
        let mut packs = vec![self.send.clone(), BTreeSet::from([self.record()])];
        packs.retain(|pack| !pack.is_empty());
        packs
    }

    fn publish(&self, world: &World) -> Result<(), Refusal> {
        let blind = world.has_fault(Fault::NoStampOnPublish);
        world.apply(|view| {
            let mut all = Decision::unchanged(());
            for pack in self.packs() {
                let key = pack_of(&pack);
                let blobs: Vec<_> = pack.iter().map(|blob| (id(*blob), location(key))).collect();
                let request = Publish {
                    scope: self.scope,
                    draft: self.draft(),
                    object: object_row(key),
                    blobs: &blobs,
                    present: world.store.contains_key(&key)
                        || world.has_fault(Fault::PublishBlindly),
                };
                all.edits.extend(rules::publish(view, &request)?.edits);
            }
            Ok(unstamped(view_epochs(view)?, all, blind))
        })
    }

    fn commit(&self, world: &World) -> Result<(), Refusal> {
        let name = self.name();
        let artifact_type = ArtifactType::new("dataset").unwrap();
        let provenance = Provenance::default();
        let root = root_id(self.root);
        let request = Commit {
            key: None,
            by: by(),
            project: self.scope.0,
            name: &name,
            artifact_type: Some(&artifact_type),
            collection: CollectionId(i64::from(self.number)),
            version: self.version(),
            digest: ManifestId::of_root(&root),
            root,
            entries: 1,
            size: 1,
            aliases: &[],
            tags: &[],
            description: None,
            metadata: None,
            ttl: Ttl::Inherit,
            run: None,
            provenance: &provenance,
            attachments: &[],
            draft: Some(self.draft()),
            force_new: false,
            base_alias: None,
            expected: Some(ExpectedIndex { index: VersionIndex::ZERO, predecessor: None }),
            record: Some(id(self.record())),
            parts: None,
        };
        world.apply(|view| rules::commit(view, &request)).map(drop)
    }
}

pub(crate) fn version_of(number: u8) -> VersionId {
    VersionId::from_random(u64::from(number))
}

/// Runs a writer from beginning to end.
pub(crate) fn put(world: &mut World, writer: Writer) -> VersionId {
    let version = writer.version();
    let mut actor = Actor::Writer(writer);
    while let Actor::Writer(writer) = actor {
        actor = writer.step(world);
    }
    assert!(world.is_committed(version));
    version
}

/// Runs a writer until it has published, and forgets it. Its draft goes, too,
/// unless it is to be found.
pub(crate) fn put_half(world: &mut World, writer: Writer, is_found: bool) {
    let draft = writer.draft();
    let mut actor = Actor::Writer(writer);
    loop {
        match actor {
            Actor::Writer(writer) if writer.step != WriterStep::Commit => {
                actor = writer.step(world);
            }
            _ => break,
        }
    }
    match is_found {
        true => drop(world.ownerless.insert(draft)),
        false => drop(world.apply(|view| rules::abort_draft(view, draft)).unwrap()),
    }
}

type Epochs = Vec<(ObjectKey, u64)>;

fn view_epochs(view: &dyn heirloom_catalog::View) -> Result<Epochs, Refusal> {
    let mut epochs = Vec::new();
    view.each_object(&mut |_, row| epochs.push((row.key, row.claimed_epoch)))?;
    Ok(epochs)
}

/// The decision with the epochs as they were, for a fault.
pub(crate) fn unstamped<T>(before: Epochs, mut decision: Decision<T>, blind: bool) -> Decision<T> {
    if blind {
        for edit in &mut decision.edits {
            if let Edit::PutObject(ObjectRow { key, claimed_epoch, .. }) = edit {
                let old = before.iter().find(|(of, _)| of == key);
                *claimed_epoch = old.map_or(0, |(_, epoch)| *epoch);
            }
        }
    }
    decision
}

/// Gets one version, and looks again where a blob is when it was moved.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reader {
    version: VersionId,
    step: ReaderStep,
    tries: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum ReaderStep {
    Resolve,
    Locate(Scope, Vec<Blob>),
    Read(Scope, Vec<(Blob, ObjectKey)>),
}

impl Reader {
    /// As often as there are collectors can a blob move.
    pub(crate) fn new(version: VersionId, collectors: u8) -> Self {
        Self { version, step: ReaderStep::Resolve, tries: collectors + 1 }
    }

    fn step(mut self, world: &mut World) -> Actor {
        match std::mem::replace(&mut self.step, ReaderStep::Resolve) {
            ReaderStep::Resolve => {
                let found = world.read(|view| {
                    let Some(row) = view.version(self.version)? else { return Ok(None) };
                    let Some(of) = view.collection_by_id(row.collection)? else { return Ok(None) };
                    Ok(Some((Scope(of.project), row.root)))
                });
                let Some((scope, root)) = found.filter(|_| world.is_committed(self.version)) else {
                    return Actor::Idle;
                };
                self.step = ReaderStep::Locate(scope, tree(number(&root.as_blob())));
            }
            ReaderStep::Locate(scope, blobs) => {
                let mut found = Vec::new();
                for blob in blobs {
                    match world.place(scope, blob) {
                        Some(key) => found.push((blob, key)),
                        None => return self.failed(world),
                    }
                }
                self.tries -= 1;
                self.step = ReaderStep::Read(scope, found);
            }
            ReaderStep::Read(scope, mut places) => {
                // One at a time: others may come between.
                let Some((blob, key)) = places.pop() else { return Actor::Idle };
                self.step = match world.store.get(&key) {
                    Some(blobs) if blobs.contains(&blob) => ReaderStep::Read(scope, places),
                    Some(_) => {
                        world.wrong = Some(format!("{key} has other bytes"));
                        return Actor::Idle;
                    }
                    None if self.tries == 0 => return self.failed(world),
                    None => {
                        places.push((blob, key));
                        let blobs = places.into_iter().map(|(blob, _)| blob).collect();
                        ReaderStep::Locate(scope, blobs)
                    }
                };
            }
        }
        Actor::Reader(self)
    }

    fn failed(self, world: &mut World) -> Actor {
        if world.is_committed(self.version) {
            world.wrong = Some("a version that stays could not be read".to_owned());
        }
        Actor::Idle
    }
}
