//! Good bytes on their way into the store and the catalog.

use heirloom_catalog::{CatalogExt, Edit, Location, ObjectRow};
use heirloom_core::Scope;
use heirloom_manifest::{BlobId, Node};
use heirloom_store::{
    Kind, MAX_PACKED_BLOB, ObjectKey, PACK_TARGET_SIZE, PackOptions, PackWriter, WHOLE_FROM,
    WholeWriter,
};

use super::sources::Sink;
use crate::Inner;
use crate::journal::Piece;
use crate::problem::Failure;
use crate::record::VersionRecord;
use crate::write::is_present;

/// Gives the bytes of a blob: calls the first function whenever it begins, the second
/// with the bytes as they come, and says where from.
pub(super) type Fetch<'a> =
    dyn FnMut(&mut dyn FnMut(), &mut Sink<'_>) -> Result<Option<String>, Failure> + 'a;

/// Stores blobs anew, and puts their new places on record. Of several places of a
/// blob the one registered last counts.
pub(super) struct Rewriter<'r> {
    inner: &'r Inner,
    pack: Option<PackWriter>,
    /// Blobs in the open pack, with the scopes that need them.
    packed: Vec<(BlobId, Vec<Scope>)>,
}

impl<'r> Rewriter<'r> {
    pub(super) fn new(inner: &'r Inner) -> Self {
        Self { inner, pack: None, packed: Vec::new() }
    }

    /// Stores one blob for the scopes. `fetch` supplies the bytes: it may begin
    /// several times, and says where from, or `None` when there are none. What is
    /// in the catalog when this returns may still be on its way: [`Self::flush`].
    pub(super) fn store(
        &mut self,
        id: &BlobId,
        scopes: &[Scope],
        fetch: &mut Fetch<'_>,
    ) -> Result<Option<String>, Failure> {
        let inner = self.inner;
        // Small ones are gathered in memory, larger ones go to a file.
        let staged = std::cell::RefCell::new(Staged::default());
        let from = fetch(&mut || *staged.borrow_mut() = Staged::default(), &mut |bytes| {
            staged.borrow_mut().take(inner, bytes)
        })?;
        let Some(from) = from else { return Ok(None) };
        let Staged { small, whole } = staged.into_inner();
        match whole {
            Some(writer) => {
                let size = writer.size();
                let stored = writer.finish_replacing(id)?;
                let object = ObjectKey::Whole(*id);
                register(inner, object, size, scopes, &[(*id, Location::whole(*id, size))])?;
                drop(stored);
            }
            None => {
                if BlobId::of(&small) != *id {
                    return Ok(None);
                }
                self.add(*id, &small, scopes)?;
            }
        }
        Ok(Some(from))
    }

    /// Adds a small blob to the open pack.
    pub(super) fn add(
        &mut self,
        id: BlobId,
        bytes: &[u8],
        scopes: &[Scope],
    ) -> Result<(), Failure> {
        if self.pack.as_ref().is_some_and(|pack| pack.size() >= PACK_TARGET_SIZE) {
            self.flush()?;
        }
        let pack = match &mut self.pack {
            Some(pack) => pack,
            none => none.insert(PackWriter::new(&*self.inner.store, PackOptions::default())?),
        };
        pack.add(kind_of(bytes), bytes)?;
        self.packed.push((id, scopes.to_vec()));
        Ok(())
    }

    /// Puts everything on record.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let packed = std::mem::take(&mut self.packed);
        let Some(pack) = self.pack.take() else { return Ok(()) };
        let Some(pack) = pack.finish_checked(&*self.inner.store)? else { return Ok(()) };
        let object = ObjectKey::Pack(pack.id);
        let mut scopes: Vec<Scope> =
            packed.iter().flat_map(|(_, scopes)| scopes).copied().collect();
        scopes.sort_unstable();
        scopes.dedup();
        for scope in scopes {
            let blobs: Vec<(BlobId, Location)> = packed
                .iter()
                .filter(|(_, scopes)| scopes.contains(&scope))
                .filter_map(|(id, _)| {
                    let found = pack.records.binary_search_by(|record| record.id.cmp(id)).ok()?;
                    Some((*id, Location::packed(object, &pack.records[found])))
                })
                .collect();
            register(self.inner, object, pack.size, &[scope], &blobs)?;
        }
        Ok(())
    }
}

/// Registers an object and its blobs. No draft is needed: what is registered is
/// needed already. The object is stamped with the present epoch, so that no
/// collector that began before takes it for unneeded.
fn register(
    inner: &Inner,
    object: ObjectKey,
    size: u64,
    scopes: &[Scope],
    blobs: &[(BlobId, Location)],
) -> Result<(), Failure> {
    let now = inner.env.now();
    inner.catalog.transact(|view| {
        if !is_present(inner, &object, size)? {
            let what = format!("{object} was removed while it was registered; try again");
            return Err(Failure(heirloom_api::Problem::new(
                heirloom_core::ErrorCode::Conflict,
                what,
            )));
        }
        let mut edits = Vec::new();
        if let Some(before) = view.object(&object)?
            && before.size != size
        {
            // Its places were wrong with it.
            edits.push(Edit::DropObject(object));
        }
        edits.push(Edit::PutObject(ObjectRow::stored(object, size, now).needed(view.epoch()?)));
        for scope in scopes {
            let blobs = blobs.to_vec();
            for (blob, location) in &blobs {
                let known = view.locate(*scope, &[*blob])?.pop().flatten();
                if known.is_some_and(|known| known.object == object && known != *location) {
                    edits.push(Edit::DropLocation { scope: *scope, blob: *blob, object });
                }
            }
            edits.push(Edit::AddLocations { scope: *scope, object, blobs });
        }
        Ok((edits, ()))
    })
}

/// What a blob is, told by its bytes.
fn kind_of(bytes: &[u8]) -> Kind {
    if Node::decode(bytes).is_ok() {
        Kind::Node
    } else if VersionRecord::decode(bytes).is_ok() {
        Kind::VersionRecord
    } else if Piece::decode(bytes).is_ok() {
        Kind::Journal
    } else {
        Kind::Content
    }
}

/// Bytes of one blob as they come.
#[derive(Default)]
struct Staged {
    small: Vec<u8>,
    whole: Option<WholeWriter>,
}

impl Staged {
    fn take(&mut self, inner: &Inner, bytes: &[u8]) -> Result<(), Failure> {
        if let Some(whole) = &mut self.whole {
            return Ok(whole.write(bytes)?);
        }
        self.small.extend_from_slice(bytes);
        let is_large = self.small.len() as u64 >= WHOLE_FROM;
        // Records and pieces of the journal are found by their kind, which only
        // packs tell.
        let is_ours = self.small.starts_with(b"HLM") && (self.small.len() as u64) < MAX_PACKED_BLOB;
        if is_large && !is_ours {
            let mut whole = WholeWriter::new(&*inner.store)?;
            whole.write(&std::mem::take(&mut self.small))?;
            self.whole = Some(whole);
        }
        Ok(())
    }
}
