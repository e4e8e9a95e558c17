//! Joins small packs: many short-lived objects become few.

use crate::error::StoreError;
use crate::extent::{Both, Extent, read_many_stored};
use crate::key::PackId;
use crate::pack::{
    FinishedPack, PACK_TARGET_SIZE, PackOptions, PackReader, PackRecord, PackWriter,
};
use crate::store::Store;

/// A blob that now is in another pack too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The pack it was copied from.
    pub from: PackId,
    /// Its record there.
    pub old: PackRecord,
    /// The pack it was copied to.
    pub to: PackId,
    /// Its record there.
    pub new: PackRecord,
}

/// What [`consolidate`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Consolidated {
    /// The packs written.
    pub packs: Vec<FinishedPack>,
    /// One item per blob and input that was selected; a blob that several
    /// inputs held is in several items and in one new pack.
    pub moved: Vec<Moved>,
}

impl Consolidated {
    /// Those of the inputs that are not among the results. One that is, because
    /// nothing about it had to change, must not be deleted.
    pub fn superseded<'i>(&'i self, inputs: &'i [PackId]) -> impl Iterator<Item = &'i PackId> {
        inputs.iter().filter(|id| !self.packs.iter().any(|pack| pack.id == **id))
    }
}

/// Copies the blobs that `select` wants from `inputs` to new packs of about
/// [`PACK_TARGET_SIZE`], as they are stored, without compressing them again.
/// Every blob is verified on the way: damage is not carried on under a new name.
///
/// Nothing is deleted. The caller records the new places first, and decides
/// then what happens to the inputs (see [`Consolidated::superseded`]); blobs
/// that were not selected are only there. When it fails, packs that were already
/// written are objects that nobody refers to.
///
/// # Errors
/// As [`PackReader::open`] and [`PackWriter::finish`]; the first damaged blob.
/// Leave that one out with `select` to save the others.
pub fn consolidate<S: Store + ?Sized>(
    store: &S,
    inputs: &[PackId],
    mut select: impl FnMut(&PackId, &PackRecord) -> bool,
) -> Result<Consolidated, StoreError> {
    let mut done = Consolidated::default();
    let mut open =
        Open { writer: PackWriter::new(store, PackOptions::default())?, moves: Vec::new() };
    for pack in inputs {
        let index = PackReader::open(store, pack)?.into_index();
        let mut wanted: Vec<(Extent, PackRecord)> = index
            .records()
            .iter()
            .filter(|record| select(pack, record))
            .map(|record| (Extent::packed(*pack, record), *record))
            .collect();
        read_many_stored(store, &mut wanted, |(_, record), outcome| {
            let Both { stored, .. } = outcome?;
            if open.writer.size() >= PACK_TARGET_SIZE {
                let next = Open {
                    writer: PackWriter::new(store, PackOptions::default())?,
                    moves: Vec::new(),
                };
                std::mem::replace(&mut open, next).finish(&mut done)?;
            }
            open.writer.add_stored(record, stored)?;
            open.moves.push((*pack, *record));
            Ok::<(), StoreError>(())
        })?;
    }
    open.finish(&mut done)?;
    Ok(done)
}

/// A pack being written, and where its blobs came from.
struct Open {
    writer: PackWriter,
    moves: Vec<(PackId, PackRecord)>,
}

impl Open {
    fn finish(self, done: &mut Consolidated) -> Result<(), StoreError> {
        let Some(pack) = self.writer.finish()? else { return Ok(()) };
        for (from, old) in self.moves {
            let found = pack.records.binary_search_by(|record| record.id.cmp(&old.id));
            let new = pack.records[found.expect("every move was added to this pack")];
            done.moved.push(Moved { from, old, to: pack.id, new });
        }
        done.packs.push(pack);
        Ok(())
    }
}
