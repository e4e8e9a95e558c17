//! Copies blobs to new packs: many short-lived objects become few, and a mostly
//! dead pack becomes a small one.

use heirloom_manifest::BlobId;

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

/// A blob that was selected and could not be copied.
#[derive(Debug)]
pub struct Unread {
    /// The pack that should hold it.
    pub pack: PackId,
    /// The blob.
    pub id: BlobId,
    /// Why: it is damaged, or could not be read at all.
    pub error: StoreError,
}

/// What [`consolidate`] did.
#[derive(Debug, Default)]
pub struct Consolidated {
    /// The packs written, each with its hold: to be kept until the new places are
    /// on record.
    pub packs: Vec<FinishedPack>,
    /// One item per blob and input that was selected; a blob that several
    /// inputs held is in several items and in one new pack.
    pub moved: Vec<Moved>,
    /// What was selected and is in no new pack: its input must stay, as the only
    /// place that may be repaired or read by other means.
    pub unread: Vec<Unread>,
}

impl Consolidated {
    /// Those of the inputs that are not needed any more, apart from blobs that
    /// were not selected: everything selected was copied, and the input is not
    /// itself among the results, which it is when nothing about it had to change.
    pub fn superseded<'i>(&'i self, inputs: &'i [PackId]) -> impl Iterator<Item = &'i PackId> {
        inputs.iter().filter(|id| {
            !self.packs.iter().any(|pack| pack.id == **id)
                && !self.unread.iter().any(|unread| unread.pack == **id)
        })
    }
}

/// Copies the blobs that `select` wants from `inputs` to new packs of about
/// [`PACK_TARGET_SIZE`], as they are stored, without compressing them again.
/// Every blob is verified on the way: damage is not carried on under a new name,
/// and does not keep the blobs beside it from being copied
/// ([`Consolidated::unread`] names what was not). Should the store have one of
/// the new packs already, it is verified too: the caller may rely on it.
///
/// Nothing is deleted. The caller records the new places first, and decides
/// then what happens to the inputs (see [`Consolidated::superseded`]); blobs
/// that were not selected are only there. When it fails, packs that were already
/// written are objects that nobody refers to.
///
/// Memory: the index of one input and a few records per blob copied, beside what
/// [`PackWriter`] takes. Each new pack keeps a file open.
///
/// # Errors
/// As [`PackReader::open`] and [`PackWriter::finish_checked`];
/// [`StoreError::NotFound`] for an input that is gone.
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
            let Both { stored, .. } = match outcome {
                Ok(both) => both,
                Err(error @ StoreError::NotFound { .. }) => return Err(error),
                Err(error) => {
                    done.unread.push(Unread { pack: *pack, id: record.id, error });
                    return Ok(());
                }
            };
            if open.writer.size() >= PACK_TARGET_SIZE {
                let next = Open {
                    writer: PackWriter::new(store, PackOptions::default())?,
                    moves: Vec::new(),
                };
                std::mem::replace(&mut open, next).finish(store, &mut done)?;
            }
            open.writer.add_stored(record, stored)?;
            open.moves.push((*pack, *record));
            Ok::<(), StoreError>(())
        })?;
    }
    open.finish(store, &mut done)?;
    Ok(done)
}

/// A pack being written, and where its blobs came from.
struct Open {
    writer: PackWriter,
    moves: Vec<(PackId, PackRecord)>,
}

impl Open {
    fn finish<S: Store + ?Sized>(
        self,
        store: &S,
        done: &mut Consolidated,
    ) -> Result<(), StoreError> {
        let Some(pack) = self.writer.finish_checked(store)? else { return Ok(()) };
        for (from, old) in self.moves {
            let found = pack.records.binary_search_by(|record| record.id.cmp(&old.id));
            let new = pack.records[found.expect("every move was added to this pack")];
            done.moved.push(Moved { from, old, to: pack.id, new });
        }
        done.packs.push(pack);
        Ok(())
    }
}
