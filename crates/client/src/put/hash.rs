//! Reading and hashing small files on several threads, in order.
//!
//! One thread cuts the merged entries into batches, workers read and hash the
//! small unknown files of a batch, and the caller receives the batches in the
//! order in which they were cut. A bounded number of batches is under way, so
//! memory does not grow with the number of files.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use heirloom_manifest::BlobId;
use heirloom_worktree::{FileStat, Links, Root, read_small};

use super::gather::{Gathered, SingleWhat};
use super::merge::{From, Item, Merged, What};
use crate::Result;

/// Files below this length are packed, and read whole.
pub(crate) const SMALL: u64 = 1 << 20;

/// Entries in one batch, at most.
const BATCH_ITEMS: usize = 1024;

/// Bytes of small unknown files in one batch, at most, but for the last file.
const BATCH_BYTES: u64 = 2 << 20;

/// Entries, with the bytes of those small files that nothing was known of.
pub(crate) struct Batch {
    pub(crate) items: Vec<Item>,
    /// Contents, back to back.
    pub(crate) data: Vec<u8>,
    /// Of each item whose content is in `data`: end of it, and its hash.
    pub(crate) read: Vec<Option<(usize, BlobId)>>,
}

/// Calls `each` with every batch in order.
pub(crate) fn each_batch(
    gathered: &Gathered,
    threads: usize,
    mut each: impl FnMut(Batch) -> Result<()>,
) -> Result<()> {
    let ahead = threads + 2;
    type Ticket = (Vec<Item>, Sender<Result<Batch>>);
    let (jobs, queue): (Sender<Ticket>, Receiver<Ticket>) = bounded(ahead);
    let (order, in_order) = bounded::<Receiver<Result<Batch>>>(ahead);
    thread::scope(|scope| {
        for _ in 0..threads {
            let queue = queue.clone();
            scope.spawn(move || {
                for (items, done) in queue {
                    // The receiver is gone when the caller gave up.
                    let _ = done.send(read_batch(gathered, items));
                }
            });
        }
        drop(queue);
        scope.spawn(move || {
            let send = |items: Vec<Item>| {
                let (done, result) = bounded(1);
                order.send(result).is_ok() && jobs.send((items, done)).is_ok()
            };
            if let Err(error) = cut(gathered, send) {
                let (done, result) = bounded(1);
                let _ = done.send(Err(error));
                let _ = order.send(result);
            }
        });
        for batch in in_order {
            match batch.recv() {
                Ok(batch) => each(batch?)?,
                // A worker panicked; the scope passes the panic on.
                Err(_) => break,
            }
        }
        Ok(())
    })
}

/// Cuts the entries into batches until `send` says that nobody wants more.
fn cut(gathered: &Gathered, send: impl Fn(Vec<Item>) -> bool) -> Result<()> {
    let mut items = Vec::new();
    let mut bytes = 0;
    for item in Merged::new(gathered)? {
        let item = item?;
        if let What::Unknown(stat) = &item.what
            && stat.size < SMALL
        {
            bytes += stat.size;
        }
        items.push(item);
        if items.len() >= BATCH_ITEMS || bytes >= BATCH_BYTES {
            bytes = 0;
            if !send(std::mem::take(&mut items)) {
                return Ok(());
            }
        }
    }
    if !items.is_empty() {
        send(items);
    }
    Ok(())
}

fn read_batch(gathered: &Gathered, items: Vec<Item>) -> Result<Batch> {
    let mut batch = Batch { read: vec![None; items.len()], data: Vec::new(), items };
    let mut buffer = Vec::new();
    for (item, read) in batch.items.iter().zip(&mut batch.read) {
        let What::Unknown(stat) = &item.what else { continue };
        if stat.size >= SMALL {
            continue;
        }
        read_file(gathered, &item.from, stat, &mut buffer)?;
        batch.data.extend_from_slice(&buffer);
        *read = Some((batch.data.len(), BlobId::of(&buffer)));
    }
    Ok(batch)
}

/// Reads a whole file, guarded against changes since the scan.
pub(crate) fn read_file(
    gathered: &Gathered,
    from: &From,
    stat: &FileStat,
    buffer: &mut Vec<u8>,
) -> Result<()> {
    match from {
        From::Dir { index, inner } => {
            let dir = &gathered.dirs[*index];
            read_small(&dir.root, inner, stat, dir.links, buffer)
                .map_err(|error| at(&dir.given, error))?;
        }
        From::Single(index) => {
            if let SingleWhat::File { source, name, .. } = &gathered.singles[*index].what {
                let root = Root::open(source)?;
                read_small(&root, name, stat, Links::Follow, buffer)
                    .map_err(|error| at(&source.with_file_name(""), error))?;
            }
        }
    }
    Ok(())
}

/// The error with the directory's own path before the path in it.
pub(crate) fn at(
    dir: &std::path::Path,
    error: heirloom_worktree::Error,
) -> heirloom_worktree::Error {
    use heirloom_worktree::Error as Tree;
    match error {
        Tree::ChangedWhileReading { path } => Tree::ChangedWhileReading { path: dir.join(path) },
        Tree::Io { action, path, source } => Tree::Io { action, path: dir.join(path), source },
        other => other,
    }
}
