//! Writing: bytes of one draft on their way into the store and the catalog.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::sync::Arc;

use heirloom_api::{Answer, BlobKind, PackSent, Problem, Sent, Uploader};
use heirloom_catalog::rules::{self, Claim, Publish};
use heirloom_catalog::{CatalogExt, Location, ObjectRow};
use heirloom_core::{DraftId, ErrorCode, Scope};
use heirloom_manifest::BlobId;
use heirloom_store::{
    FinishedPack, Kind, ObjectKey, PACK_TARGET_SIZE, PackOptions, PackWriter, Store, StoredBlob,
    WholeWriter, is_sound, put_file,
};

use crate::Inner;
use crate::problem::{Failure, step, store_problem};

/// Bytes of a file read at a time.
const COPY_BUFFER: usize = 1 << 20;

/// Blobs after which a pack is finished, whatever its size: its records are in
/// memory until then, and a pack of tiny blobs would have half a million.
const PACK_TARGET_BLOBS: usize = 65_536;

/// The embedded [`Uploader`]: hashes here, publishes to the store, then records
/// the locations under the draft.
pub(crate) struct LocalUploader {
    inner: Arc<Inner>,
    scope: Scope,
    draft: DraftId,
    pack: Option<PackWriter>,
    stored: u64,
}

impl LocalUploader {
    pub(crate) fn new(inner: Arc<Inner>, scope: Scope, draft: DraftId) -> Self {
        Self { inner, scope, draft, pack: None, stored: 0 }
    }

    fn finish_pack(&mut self) -> Result<PackSent, Failure> {
        let Some(pack) = self.pack.take() else { return Ok(PackSent::default()) };
        let finished = publish_pack(&self.inner, self.scope, self.draft, pack)?;
        let Some(finished) = finished else { return Ok(PackSent::default()) };
        if finished.created {
            self.stored += finished.size;
        }
        Ok(PackSent { blobs: finished.records.len() as u64, stored: finished.size })
    }
}

impl Uploader for LocalUploader {
    fn claim(&mut self, blobs: &[BlobId]) -> Answer<Vec<bool>> {
        step("repository::claim")?;
        let located = claim(&self.inner, self.scope, self.draft, blobs)?;
        let mut have: Vec<bool> = located.iter().map(Option::is_some).collect();
        if let Some(pack) = &self.pack {
            for (have, id) in have.iter_mut().zip(blobs) {
                *have = *have || pack.get(id).is_some();
            }
        }
        Ok(have)
    }

    fn add(&mut self, kind: BlobKind, bytes: &[u8]) -> Answer<BlobId> {
        if self
            .pack
            .as_ref()
            .is_some_and(|pack| pack.size() >= PACK_TARGET_SIZE || pack.len() >= PACK_TARGET_BLOBS)
        {
            self.finish_pack()?;
        }
        let pack = match &mut self.pack {
            Some(pack) => pack,
            none => none.insert(
                PackWriter::new(&*self.inner.store, PackOptions::default())
                    .map_err(|error| store_problem(&error))?,
            ),
        };
        let kind = match kind {
            BlobKind::Content => Kind::Content,
            BlobKind::Node => Kind::Node,
        };
        pack.add(kind, bytes).map_err(|error| store_problem(&error))
    }

    fn flush(&mut self) -> Answer<PackSent> {
        Ok(self.finish_pack()?)
    }

    fn send_file(
        &mut self,
        file: &mut File,
        size: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Answer<Sent> {
        step("repository::send_file")?;
        let store = &*self.inner.store;
        let path = Path::new("the file to store");
        let mut stored = put_file(store, file, path, Some(size), progress)
            .map_err(|error| store_problem(&error))?;
        if !stored.created
            && !is_sound(store, &ObjectKey::Whole(stored.id))
                .map_err(|error| store_problem(&error))?
        {
            stored = replace_file(store, file, &stored.id)?;
        }
        if stored.created {
            self.stored += stored.size;
        }
        let object = ObjectKey::Whole(stored.id);
        let location = Location::whole(stored.id, stored.size);
        let row = ObjectRow::stored(object, stored.size, self.inner.env.now());
        publish(&self.inner, self.scope, self.draft, row, &[(stored.id, location)])?;
        // The catalog protects it from here on.
        drop(stored.hold);
        Ok(Sent { blob: stored.id, size: stored.size, created: stored.created })
    }

    fn stored(&self) -> u64 {
        self.stored
    }
}

/// Puts a file's bytes in the place of a damaged object.
fn replace_file(store: &dyn Store, file: &mut File, id: &BlobId) -> Answer<StoredBlob> {
    let read_failed = |error: std::io::Error| {
        Problem::new(ErrorCode::Io, format!("cannot read the file to store: {error}"))
    };
    file.rewind().map_err(read_failed)?;
    let mut writer = WholeWriter::new(store).map_err(|error| store_problem(&error))?;
    let mut buffer = vec![0; COPY_BUFFER];
    loop {
        match file.read(&mut buffer).map_err(read_failed)? {
            0 => break,
            got => writer.write(&buffer[..got]).map_err(|error| store_problem(&error))?,
        }
    }
    writer.finish_replacing(id).map_err(|error| store_problem(&error))
}

/// Leases the objects of what the scope has; where each blob is, or `None` for
/// what has to be sent.
///
/// What the catalog knows but this machine's disk has lost or cut short is to be
/// sent, so that putting the same content again heals it.
pub(crate) fn claim(
    inner: &Inner,
    scope: Scope,
    draft: DraftId,
    blobs: &[BlobId],
) -> Result<Vec<Option<Location>>, Failure> {
    let request = Claim { scope, draft, blobs };
    // Most claims find everything leased already and need no write.
    let checked =
        inner.catalog.view(|view| rules::claim_check(view, &request).map_err(Failure::from))?;
    let mut claimed = if checked.leased {
        checked
    } else {
        inner.catalog.transact_soon(|view| {
            rules::claim(view, &request).map(rules::Decision::into_parts).map_err(Failure::from)
        })?
    };
    let mut lengths = Lengths { inner, known: HashMap::new(), last: None };
    for (id, found) in blobs.iter().zip(&mut claimed.locations) {
        if let Some(location) = found
            && !lengths.hold(location)?
        {
            *found = sent_again(inner, scope, draft, id, &mut lengths)?;
        }
    }
    Ok(claimed.locations)
}

/// Another place of a blob, under lease: where this draft has sent it again.
fn sent_again(
    inner: &Inner,
    scope: Scope,
    draft: DraftId,
    id: &BlobId,
    lengths: &mut Lengths<'_>,
) -> Result<Option<Location>, Failure> {
    let (places, leases) = inner
        .catalog
        .view(|view| Ok::<_, Failure>((view.locations_anywhere(id)?, view.leases(draft)?)))?;
    for (of, location) in places {
        if of == scope && leases.contains(&location.object) && lengths.hold(&location)? {
            return Ok(Some(location));
        }
    }
    Ok(None)
}

/// Lengths of objects on this machine, asked once each.
struct Lengths<'r> {
    inner: &'r Inner,
    known: HashMap<ObjectKey, u64>,
    last: Option<(ObjectKey, u64)>,
}

impl Lengths<'_> {
    /// Whether the object is there and long enough to hold this. What is not on
    /// this machine is believed: asking for each would cost a round trip.
    fn hold(&mut self, location: &Location) -> Result<bool, Failure> {
        if !self.inner.local {
            return Ok(true);
        }
        let key = location.object;
        let length = match self.last {
            Some((last, length)) if last == key => length,
            _ => match self.known.entry(key) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => *unknown.insert(length(&*self.inner.store, &key)?),
            },
        };
        self.last = Some((key, length));
        Ok(location.offset.saturating_add(location.stored) <= length)
    }
}

/// Length of an object; 0 when it is not there.
fn length(store: &dyn Store, key: &ObjectKey) -> Result<u64, Failure> {
    match store.stat(key) {
        Ok(info) => Ok(info.map_or(0, |info| info.size)),
        Err(error) if error.is_damage() => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Whether the store has an object in its full length. To be asked within the
/// transaction that registers it, under the lock of writers, which a collector holds
/// to remove it (`docs/adr/0005-gc.md`).
pub(crate) fn is_present(inner: &Inner, key: &ObjectKey, size: u64) -> Result<bool, Failure> {
    Ok(inner.store.stat(key)?.is_some_and(|info| info.size == size))
}

fn publish(
    inner: &Inner,
    scope: Scope,
    draft: DraftId,
    object: ObjectRow,
    blobs: &[(BlobId, Location)],
) -> Result<(), Failure> {
    step("repository::publish")?;
    let (key, size) = (object.key, object.size);
    inner.catalog.transact_soon(|view| {
        let present = is_present(inner, &key, size)?;
        let request = Publish { scope, draft, object: object.clone(), blobs, present };
        rules::publish(view, &request).map(rules::Decision::into_parts).map_err(Failure::from)
    })
}

/// Finishes a pack, replacing one that was there and is damaged, and records it and
/// its blobs; `None` when it is empty. The pack is held until it is on record.
pub(crate) fn publish_pack(
    inner: &Inner,
    scope: Scope,
    draft: DraftId,
    pack: PackWriter,
) -> Result<Option<FinishedPack>, Failure> {
    let Some(pack) = pack.finish_checked(&*inner.store)? else { return Ok(None) };
    let key = ObjectKey::Pack(pack.id);
    let blobs: Vec<(BlobId, Location)> =
        pack.records.iter().map(|record| (record.id, Location::packed(key, record))).collect();
    publish(inner, scope, draft, ObjectRow::stored(key, pack.size, inner.env.now()), &blobs)?;
    Ok(Some(pack))
}

/// A problem that says the draft is gone.
pub(crate) fn fenced(draft: DraftId) -> Problem {
    Problem::new(ErrorCode::Fenced, format!("draft {draft} was ended by somebody else"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::ops::Range;
    use std::sync::Mutex;

    use heirloom_api::{Backend, BeginDraft, ProjectRef};
    use heirloom_catalog::MemoryCatalog;
    use heirloom_core::{ArtifactName, ArtifactType, Caller, EntityName, ProjectName};
    use heirloom_store::{
        Capabilities, LocalStore, ObjectInfo, ObjectReader, Page, StoreError, Upload, Withdrawn,
    };

    use super::*;
    use crate::{Repository, SystemEnvironment};

    /// Notes of every object that is asked about and there, whether it is held: a
    /// publish asks within its transaction.
    #[derive(Debug, Clone)]
    struct Watched {
        inner: LocalStore,
        seen: Arc<Mutex<HashMap<ObjectKey, bool>>>,
    }

    impl Store for Watched {
        fn create(&self) -> Result<Box<dyn Upload>, StoreError> {
            self.inner.create()
        }
        fn read(
            &self,
            key: &ObjectKey,
            range: Option<Range<u64>>,
        ) -> Result<Box<dyn ObjectReader>, StoreError> {
            self.inner.read(key, range)
        }
        fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
            let found = self.inner.stat(key)?;
            if found.is_some() {
                self.seen.lock().unwrap().insert(*key, self.inner.is_held(key)?);
            }
            Ok(found)
        }
        fn list(&self, after: Option<&ObjectKey>, limit: usize) -> Result<Page, StoreError> {
            self.inner.list(after, limit)
        }
        fn delete(&self, key: &ObjectKey) -> Result<bool, StoreError> {
            self.inner.delete(key)
        }
        fn is_held(&self, key: &ObjectKey) -> Result<bool, StoreError> {
            self.inner.is_held(key)
        }
        fn withdraw(&self, keys: &[ObjectKey]) -> Result<Withdrawn, StoreError> {
            self.inner.withdraw(keys)
        }
        fn capabilities(&self) -> Capabilities {
            self.inner.capabilities()
        }
    }

    #[tokio::test]
    async fn objects_are_held_until_the_catalog_has_them() {
        let home = tempfile::tempdir().unwrap();
        let inner = LocalStore::open(home.path()).unwrap();
        let watched = Watched { inner: inner.clone(), seen: Arc::default() };
        let repository = Repository::assemble(
            Box::new(watched.clone()),
            Box::new(MemoryCatalog::new()),
            Box::new(SystemEnvironment),
            None,
        );
        let backend = repository.as_caller(Caller::owner("ann"));
        let project =
            ProjectRef { entity: EntityName::local(), project: ProjectName::default_name() };
        let begin = BeginDraft {
            project,
            name: ArtifactName::new("x").unwrap(),
            artifact_type: Some(ArtifactType::new("dataset").unwrap()),
            base: None,
        };
        let draft = backend.begin_draft(begin).await.unwrap().id;
        let mut uploader = backend.uploader(draft).await.unwrap();

        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"whole").unwrap();
        uploader.send_file(&mut file, 5, &mut |_| {}).unwrap();
        uploader.add(BlobKind::Content, b"packed").unwrap();
        uploader.flush().unwrap();

        let seen = watched.seen.lock().unwrap();
        assert_eq!(seen.len(), 2, "{seen:?}");
        for (key, held) in seen.iter() {
            assert!(held, "{key} was not held when it was recorded");
            assert!(!inner.is_held(key).unwrap(), "{key} is held after it was recorded");
        }
    }
}
