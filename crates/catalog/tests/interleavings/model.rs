//! A repository as small as can be: a catalog, a set of objects, and actors that
//! do one step at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use heirloom_catalog::rules::{self, By, Refusal};
use heirloom_catalog::{
    CatalogExt, Location, MemoryCatalog, ObjectRow, ObjectState, Result, VersionState, View,
};
use heirloom_core::{DraftId, EntityName, ProjectId, ProjectName, Scope, Timestamp, VersionId};
use heirloom_manifest::{BlobId, NodeId};
use heirloom_store::{ObjectKey, PackId};

use super::actors::Actor;

/// A blob by its number. Those from 100 on are trees, those from [`RECORDS`] on
/// version records.
pub(crate) type Blob = u8;

pub(crate) const RECORDS: Blob = 200;

/// What a tree consists of, itself included.
pub(crate) fn tree(root: Blob) -> Vec<Blob> {
    let mut blobs: Vec<Blob> = match root {
        100 => vec![1],
        101 => vec![1, 2],
        102 => vec![2, 3],
        103 => vec![3],
        104 => vec![4],
        // A tree with another in it.
        105 => vec![3, 103],
        _ => panic!("{root} is no tree"),
    };
    blobs.push(root);
    blobs
}

pub(crate) fn id(blob: Blob) -> BlobId {
    BlobId::from_bytes([blob; 32])
}

pub(crate) fn number(id: &BlobId) -> Blob {
    id.as_bytes()[0]
}

pub(crate) fn root_id(root: Blob) -> NodeId {
    NodeId::from_bytes([root; 32])
}

/// The key of a pack, which is made of what is in it.
pub(crate) fn pack_of(blobs: &BTreeSet<Blob>) -> ObjectKey {
    let mut key = [0; 32];
    for (at, blob) in blobs.iter().enumerate() {
        key[at] = *blob;
    }
    ObjectKey::Pack(PackId::from_bytes(key))
}

pub(crate) fn object_row(key: ObjectKey) -> ObjectRow {
    ObjectRow { key, size: 1, state: ObjectState::Live, claimed_epoch: 0, created_at: now() }
}

pub(crate) fn location(object: ObjectKey) -> Location {
    Location { object, offset: 0, stored: 1, raw: 1, codec: 0, kind: 0 }
}

/// Time stands still: nothing here may depend on it.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(1)
}

pub(crate) fn by() -> By<'static> {
    By { actor: "ada", at: now(), admin: false }
}

/// A rule of the decision left out, to see that its absence is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// What is published carries no epoch.
    NoStampOnPublish,
    /// What is claimed carries no epoch.
    NoStampOnClaim,
    /// What is copied carries no epoch.
    NoStampOnRewrite,
    /// What holds a blob that is given up elsewhere carries no epoch.
    NoStampOnHolder,
    /// A blob marks only the newest object that holds it.
    NewestPlaceCounts,
    /// Publishing does not look at the store.
    PublishBlindly,
    /// Objects under lease are no marks.
    LeasesAreNoMarks,
    /// Leases are read after the versions, in another snapshot.
    RootsOfTwoSnapshots,
    /// Bases of drafts are no roots.
    BasesAreNoRoots,
    /// Rows go in a transaction, the object after it.
    RemoveAfterwards,
    /// Leftovers go without a look for a row.
    OrphansBlindly,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) catalog: MemoryCatalog,
    /// What the store has. A key says what is in an object, but who looks for a
    /// blob looks here.
    pub(crate) store: BTreeMap<ObjectKey, BTreeSet<Blob>>,
    pub(crate) actors: Vec<Actor>,
    /// Drafts of actors that are gone.
    pub(crate) ownerless: BTreeSet<DraftId>,
    /// Crashes that may still happen.
    pub(crate) crashes: u8,
    pub(crate) fault: Option<Fault>,
    /// Something is wrong that is not to be seen in what is stored.
    pub(crate) wrong: Option<String>,
}

pub(crate) const P: ProjectId = ProjectId(1);
pub(crate) const Q: ProjectId = ProjectId(2);

impl World {
    pub(crate) fn new(fault: Option<Fault>) -> Self {
        let world = Self {
            catalog: MemoryCatalog::new(),
            store: BTreeMap::new(),
            actors: Vec::new(),
            ownerless: BTreeSet::new(),
            crashes: 0,
            fault,
            wrong: None,
        };
        for (id, name) in [(P, "p"), (Q, "q")] {
            let request = rules::EnsureProject {
                entity: &EntityName::local(),
                name: &ProjectName::new(name).unwrap(),
                id,
                at: now(),
            };
            world.apply(|view| rules::ensure_project(view, &request)).unwrap();
        }
        world
    }

    pub(crate) fn has_fault(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(crate) fn apply<T>(
        &self,
        rule: impl Fn(&dyn View) -> std::result::Result<rules::Decision<T>, Refusal>,
    ) -> std::result::Result<T, Refusal> {
        self.catalog.transact(|view| Ok::<_, Refusal>(rule(view)?.into_parts()))
    }

    pub(crate) fn read<T>(&self, f: impl FnOnce(&dyn View) -> Result<T>) -> T {
        self.catalog.view(f).unwrap()
    }

    /// The object that a reader of a scope would look into.
    pub(crate) fn place(&self, scope: Scope, blob: Blob) -> Option<ObjectKey> {
        self.read(|view| view.locate(scope, &[id(blob)]))[0].map(|at| at.object)
    }

    pub(crate) fn stored_has(&self, key: &ObjectKey, blob: Blob) -> bool {
        self.store.get(key).is_some_and(|blobs| blobs.contains(&blob))
    }

    /// Everything that must be there: of versions that are or can be restored, of
    /// bases of drafts, and what drafts were promised.
    pub(crate) fn needed(&self) -> BTreeSet<(Scope, Blob)> {
        let mut needed = BTreeSet::new();
        self.read(|view| {
            view.each_root(&mut |root| {
                let blobs = tree(number(&root.root.as_blob()));
                needed.extend(blobs.into_iter().map(|blob| (root.scope, blob)));
                needed.insert((root.scope, number(&root.record)));
            })?;
            for draft in view.drafts(None, 100)? {
                if let Some(base) = draft.base {
                    let base = view.version(base)?.unwrap();
                    let blobs = tree(number(&base.root.as_blob()));
                    needed.extend(blobs.into_iter().map(|blob| (Scope(draft.project), blob)));
                }
            }
            Ok(())
        });
        for actor in &self.actors {
            actor.promised(self, &mut needed);
        }
        needed
    }

    /// What must hold in every state.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        for (scope, blob) in self.needed() {
            match self.place(scope, blob) {
                None => return Err(format!("blob {blob} of {scope:?} has no place")),
                Some(key) if !self.stored_has(&key, blob) => {
                    return Err(format!("blob {blob} of {scope:?} is not in {key}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// What must hold once nobody does anything any more and one collection ran:
    /// every blob that is stored is needed, and every object has its row.
    pub(crate) fn check_end(&self) -> std::result::Result<(), String> {
        let needed: BTreeSet<Blob> = self.needed().into_iter().map(|(_, blob)| blob).collect();
        for (key, blobs) in &self.store {
            if let Some(blob) = blobs.iter().find(|blob| !needed.contains(blob)) {
                return Err(format!("blob {blob} stays in {key}"));
            }
            match self.read(|view| view.object(key)) {
                Some(row) if row.state == ObjectState::Live => {}
                other => return Err(format!("{key} is left as {other:?}")),
            }
        }
        Ok(())
    }

    /// Whether the version can be read.
    pub(crate) fn is_committed(&self, version: VersionId) -> bool {
        let row = self.read(|view| view.version(version));
        row.is_some_and(|row| row.state == VersionState::Committed)
    }

    /// Tells states apart: whatever a rule or an actor can see.
    pub(crate) fn fingerprint(&self) -> u128 {
        let mut seen = Seen(blake3::Hasher::new());
        self.hash_into(&mut seen);
        let mut half = [0; 16];
        half.copy_from_slice(&seen.0.finalize().as_bytes()[..16]);
        u128::from_le_bytes(half)
    }

    fn hash_into(&self, hasher: &mut impl Hasher) {
        self.store.hash(hasher);
        self.actors.hash(hasher);
        self.ownerless.hash(hasher);
        self.crashes.hash(hasher);
        self.read(|view| {
            view.epoch()?.hash(hasher);
            let mut objects = Vec::new();
            view.each_object(&mut |number, row| {
                objects.push((number, row.key, row.state, row.claimed_epoch));
            })?;
            // Only the order of the numbers matters.
            objects.sort_unstable_by_key(|(number, ..)| *number);
            for (_, key, state, epoch) in &objects {
                (key, state, epoch).hash(hasher);
            }
            view.placed_blobs(None, usize::MAX, &mut |placed| {
                let at = objects.binary_search_by_key(&placed.object, |(number, ..)| *number);
                (placed.scope, placed.blob, at.unwrap_or(usize::MAX)).hash(hasher);
            })?;
            for draft in view.drafts(None, 100)? {
                (draft.id, draft.base, view.leases(draft.id)?).hash(hasher);
            }
            view.each_root(&mut |root| {
                (root.version, root.deleted_at.is_some()).hash(hasher);
            })
        });
    }
}

/// Hashes of two worlds differ when the worlds do.
struct Seen(blake3::Hasher);

impl Hasher for Seen {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the whole hash is asked for")
    }
}
