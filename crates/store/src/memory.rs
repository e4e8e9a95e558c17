//! Objects in memory: the twin of the local store for tests, and for
//! repositories that are not meant to last.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::StoreError;
use crate::key::ObjectKey;
use crate::store::{
    Capabilities, Existing, Hold, ObjectInfo, ObjectReader, Page, Published, Store, Upload,
    check_range,
};

type Objects = BTreeMap<ObjectKey, Arc<Vec<u8>>>;

/// Objects in memory. Clones share them; they are gone with the last clone.
#[derive(Clone, Default)]
pub struct MemoryStore {
    objects: Arc<Mutex<Objects>>,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("objects", &lock(&self.objects).len()).finish()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

/// A panic while the lock was held cannot have left the map half-changed: each
/// change is one call.
fn lock(objects: &Mutex<Objects>) -> MutexGuard<'_, Objects> {
    objects.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store for MemoryStore {
    fn create(&self) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(MemoryUpload { objects: Arc::clone(&self.objects), bytes: Vec::new() }))
    }

    fn read(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<Box<dyn ObjectReader>, StoreError> {
        let bytes =
            lock(&self.objects).get(key).cloned().ok_or(StoreError::NotFound { key: *key })?;
        let range = check_range(key, range, bytes.len() as u64)?;
        Ok(Box::new(MemoryReader {
            key: *key,
            position: range.start as usize,
            end: range.end as usize,
            bytes,
        }))
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        Ok(lock(&self.objects).get(key).map(|bytes| ObjectInfo::new(bytes.len() as u64)))
    }

    fn list(&self, after: Option<&ObjectKey>, limit: usize) -> Result<Page, StoreError> {
        let objects = lock(&self.objects);
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(*key));
        let mut rest = objects.range((from, Bound::Unbounded));
        let objects: Vec<_> = rest
            .by_ref()
            .take(limit.max(1))
            .map(|(key, bytes)| (*key, ObjectInfo::new(bytes.len() as u64)))
            .collect();
        Ok(Page { objects, foreign: Vec::new(), more: rest.next().is_some() })
    }

    fn delete(&self, key: &ObjectKey) -> Result<bool, StoreError> {
        Ok(lock(&self.objects).remove(key).is_some())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { exclusive_create: true, ..Capabilities::default() }
    }
}

struct MemoryUpload {
    objects: Arc<Mutex<Objects>>,
    bytes: Vec<u8>,
}

impl Upload for MemoryUpload {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn publish(
        self: Box<Self>,
        key: &ObjectKey,
        existing: Existing,
    ) -> Result<Published, StoreError> {
        let Self { objects, bytes } = *self;
        let mut objects = lock(&objects);
        let stays = objects.get(key).is_some_and(|held| held.len() == bytes.len());
        if existing == Existing::Keep && stays {
            return Ok(Published { created: false, hold: Hold::none() });
        }
        objects.insert(*key, Arc::new(bytes));
        Ok(Published { created: true, hold: Hold::none() })
    }
}

struct MemoryReader {
    key: ObjectKey,
    bytes: Arc<Vec<u8>>,
    position: usize,
    end: usize,
}

impl Read for MemoryReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = (&self.bytes[self.position..self.end]).read(buf)?;
        self.position += got;
        Ok(got)
    }
}

impl ObjectReader for MemoryReader {
    fn object_size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StoreError> {
        let end = offset.saturating_add(buf.len() as u64);
        let range = check_range(&self.key, Some(offset..end), self.object_size())?;
        buf.copy_from_slice(&self.bytes[range.start as usize..range.end as usize]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        crate::conformance::run(&|| Arc::new(MemoryStore::new()));
    }
}
