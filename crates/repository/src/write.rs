//! Writing: bytes of one draft on their way into the store and the catalog.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use heirloom_api::{Answer, BlobKind, PackSent, Problem, Sent, Uploader};
use heirloom_catalog::rules::{self, Claim, Publish};
use heirloom_catalog::{CatalogExt, Location, ObjectRow, ObjectState};
use heirloom_core::{DraftId, ErrorCode, Scope, Timestamp};
use heirloom_manifest::BlobId;
use heirloom_store::{
    Codec, FinishedPack, Kind, ObjectKey, PACK_TARGET_SIZE, PackOptions, PackRecord, PackWriter,
    put_file,
};

use crate::Inner;
use crate::problem::{Failure, store_problem};

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
        let Some(finished) = pack.finish()? else { return Ok(PackSent::default()) };
        let sent = PackSent { blobs: finished.records.len() as u64, stored: finished.size };
        if finished.created {
            self.stored += finished.size;
        }
        let (object, blobs) = pack_rows(&finished, self.inner.env.now());
        publish(&self.inner, self.scope, self.draft, object, &blobs)?;
        Ok(sent)
    }
}

impl Uploader for LocalUploader {
    fn claim(&mut self, blobs: &[BlobId]) -> Answer<Vec<bool>> {
        let mut have =
            claim(&self.inner, self.scope, self.draft, blobs).map_err(|failure| failure.0)?;
        if let Some(pack) = &self.pack {
            for (have, id) in have.iter_mut().zip(blobs) {
                *have = *have || pack.get(id).is_some();
            }
        }
        Ok(have)
    }

    fn add(&mut self, kind: BlobKind, bytes: &[u8]) -> Answer<BlobId> {
        if self.pack.as_ref().is_some_and(|pack| pack.size() >= PACK_TARGET_SIZE) {
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
        let path = Path::new("the file to store");
        let stored = put_file(&*self.inner.store, file, path, Some(size), progress)
            .map_err(|error| store_problem(&error))?;
        if stored.created {
            self.stored += stored.size;
        }
        let object = ObjectKey::Whole(stored.id);
        let location = Location {
            object,
            offset: 0,
            stored: stored.size,
            raw: stored.size,
            codec: Codec::Raw.code(),
            kind: Kind::Content.code(),
        };
        let row = object_row(object, stored.size, self.inner.env.now());
        publish(&self.inner, self.scope, self.draft, row, &[(stored.id, location)])?;
        Ok(Sent { blob: stored.id, size: stored.size, created: stored.created })
    }

    fn stored(&self) -> u64 {
        self.stored
    }
}

/// Leases the objects of what the scope has; which of the blobs those are.
pub(crate) fn claim(
    inner: &Inner,
    scope: Scope,
    draft: DraftId,
    blobs: &[BlobId],
) -> Result<Vec<bool>, Failure> {
    let request = Claim { scope, draft, blobs };
    // Most claims find everything leased already and need no write.
    let checked =
        inner.catalog.view(|view| rules::claim_check(view, &request).map_err(Failure::from))?;
    let claimed = if checked.leased {
        checked
    } else {
        inner.catalog.transact(|view| {
            rules::claim(view, &request).map(rules::Decision::into_parts).map_err(Failure::from)
        })?
    };
    Ok(claimed.locations.iter().map(Option::is_some).collect())
}

pub(crate) fn publish(
    inner: &Inner,
    scope: Scope,
    draft: DraftId,
    object: ObjectRow,
    blobs: &[(BlobId, Location)],
) -> Result<(), Failure> {
    let request = Publish { scope, draft, object, blobs };
    inner.catalog.transact(|view| {
        rules::publish(view, &request).map(rules::Decision::into_parts).map_err(Failure::from)
    })
}

/// Rows for a pack that was just published.
pub(crate) fn pack_rows(
    pack: &FinishedPack,
    now: Timestamp,
) -> (ObjectRow, Vec<(BlobId, Location)>) {
    let key = ObjectKey::Pack(pack.id);
    let blobs =
        pack.records.iter().map(|record| (record.id, packed_location(key, record))).collect();
    (object_row(key, pack.size, now), blobs)
}

fn packed_location(key: ObjectKey, record: &PackRecord) -> Location {
    Location {
        object: key,
        offset: record.offset,
        stored: record.stored_len,
        raw: record.raw_len,
        codec: record.codec.code(),
        kind: record.kind.code(),
    }
}

fn object_row(key: ObjectKey, size: u64, now: Timestamp) -> ObjectRow {
    ObjectRow { key, size, state: ObjectState::Live, claimed_epoch: 0, created_at: now }
}

/// A problem that says the draft is gone.
pub(crate) fn fenced(draft: DraftId) -> Problem {
    Problem::new(ErrorCode::Fenced, format!("draft {draft} was ended by somebody else"))
}
