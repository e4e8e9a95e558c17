//! Reading and hashing on all processors, within bounded memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope as Threads, ScopedJoinHandle};

use heirloom_core::{Scope, VersionId};
use heirloom_manifest::LogicalPath;
use heirloom_store::{Extent, HasExtent, ObjectKey, Store, StoreError, read_many, stream_whole};

use crate::problem::{Failure, chain};

/// Batches that wait for each worker.
const AHEAD: usize = 2;

/// Most bad blobs that are looked at again; a store with more has no need of a
/// complete list.
const MAX_BAD: usize = 100_000;

/// What a blob belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The version; `None` for what is of no version.
    pub(crate) version: Option<VersionId>,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// The path in it.
    pub(crate) path: Option<LogicalPath>,
}

impl Place {
    pub(super) fn shown(&self) -> String {
        match &self.path {
            Some(path) => format!("{} {}", self.name, path.escaped()),
            None => self.name.to_string(),
        }
    }
}

/// A blob to read.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) scope: Scope,
    pub(crate) extent: Extent,
    pub(crate) place: Place,
}

impl Item {
    /// The object that should hold it; `None` when none is known to.
    pub(crate) fn object(&self) -> Option<ObjectKey> {
        let known = self.extent.stored_len > 0 || self.extent.raw_len > 0;
        (known || matches!(self.extent.key, ObjectKey::Pack(_))).then_some(self.extent.key)
    }
}

impl HasExtent for Item {
    fn extent(&self) -> &Extent {
        &self.extent
    }
}

/// A blob that could not be read, or is not what it should be.
#[derive(Debug, Clone)]
pub(crate) struct Bad {
    pub(crate) item: Item,
    pub(crate) what: String,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) blobs: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// Threads that read; batches go in, what is bad comes out.
pub(super) struct Pool<'t> {
    batches: Option<SyncSender<Vec<Item>>>,
    bad: Receiver<Result<Bad, Failure>>,
    workers: Vec<ScopedJoinHandle<'t, ()>>,
}

impl<'t> Pool<'t> {
    /// Starts one worker per processor.
    pub(super) fn start<'e>(
        threads: &'t Threads<'t, 'e>,
        store: &'t dyn Store,
        tally: &'t Tally,
    ) -> Self {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let (batches, queue) = sync_channel::<Vec<Item>>(AHEAD * count);
        let queue = Arc::new(Mutex::new(queue));
        let (out, bad) = channel();
        let workers = (0..count)
            .map(|_| {
                let (queue, out) = (Arc::clone(&queue), out.clone());
                threads.spawn(move || work(store, tally, &queue, &out))
            })
            .collect();
        Self { batches: Some(batches), bad, workers }
    }

    /// Hands over a batch; waits while the workers have enough to do.
    pub(super) fn send(&self, batch: Vec<Item>) {
        if let Some(batches) = &self.batches
            && !batch.is_empty()
        {
            // Workers go only when all of them have panicked, which the end shows.
            let _ = batches.send(batch);
        }
    }

    /// Waits for all batches and gives what was bad.
    pub(super) fn finish(mut self) -> Result<Vec<Bad>, Failure> {
        self.batches = None;
        let mut all = Vec::new();
        let mut failure = None;
        while let Ok(bad) = self.bad.recv() {
            match bad {
                Ok(bad) if all.len() < MAX_BAD => all.push(bad),
                Ok(_) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        for worker in self.workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
        failure.map_or(Ok(all), Err)
    }
}

fn work(
    store: &dyn Store,
    tally: &Tally,
    queue: &Mutex<Receiver<Vec<Item>>>,
    out: &Sender<Result<Bad, Failure>>,
) {
    loop {
        let batch = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut batch) = batch else { return };
        let read = check(store, &mut batch, &mut |item, outcome| match outcome {
            Ok(bytes) => {
                tally.blobs.fetch_add(1, Ordering::Relaxed);
                tally.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            Err(what) => {
                // Whoever listens waits for the end.
                let _ = out.send(Ok(Bad { item: item.clone(), what }));
            }
        });
        if let Err(failure) = read {
            let _ = out.send(Err(failure));
        }
    }
}

/// Reads and hashes blobs; tells of each its length, or what is wrong with it.
pub(super) fn check(
    store: &dyn Store,
    items: &mut [Item],
    tell: &mut dyn FnMut(&Item, Result<u64, String>),
) -> Result<(), Failure> {
    let judge = |item: &Item, read: Result<u64, StoreError>| match read {
        Ok(bytes) if bytes == item.extent.raw_len => Ok(bytes),
        Ok(bytes) => Err(format!("it has {bytes} bytes, the catalog says {}", item.extent.raw_len)),
        Err(error) => Err(chain(&error)),
    };
    let is_whole = |item: &Item| matches!(item.extent.key, ObjectKey::Whole(_));
    items.sort_by_key(|item| !is_whole(item));
    let (wholes, packed) = items.split_at_mut(items.partition_point(is_whole));
    for item in wholes {
        let read = stream_whole(store, &item.extent.id, |_| Ok::<(), StoreError>(()));
        tell(item, judge(item, read));
    }
    read_many(store, packed, |item: &Item, bytes| {
        tell(item, judge(item, bytes.map(|bytes| bytes.len() as u64)));
        Ok::<(), StoreError>(())
    })?;
    Ok(())
}
