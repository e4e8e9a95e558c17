//! A store that only reads: that of a backup.

use std::ops::Range;
use std::path::PathBuf;

use heirloom_store::{
    Capabilities, LocalStore, ObjectInfo, ObjectKey, ObjectReader, Page, Store, StoreError, Upload,
    Withdrawn,
};

/// Refuses whatever would change the store below it.
#[derive(Debug)]
pub(crate) struct Sealed(pub(crate) LocalStore);

impl Sealed {
    fn refuse<T>(&self, op: &'static str) -> Result<T, StoreError> {
        let path: PathBuf = self.0.root().to_owned();
        let source = std::io::ErrorKind::ReadOnlyFilesystem.into();
        Err(StoreError::ReadOnly { op, path, source })
    }
}

impl Store for Sealed {
    fn create(&self) -> Result<Box<dyn Upload>, StoreError> {
        self.refuse("write to the backup")
    }

    fn read(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<Box<dyn ObjectReader>, StoreError> {
        self.0.read(key, range)
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.0.stat(key)
    }

    fn list(&self, after: Option<&ObjectKey>, limit: usize) -> Result<Page, StoreError> {
        self.0.list(after, limit)
    }

    fn delete(&self, _: &ObjectKey) -> Result<bool, StoreError> {
        self.refuse("remove from the backup")
    }

    fn withdraw(&self, _: &[ObjectKey]) -> Result<Withdrawn, StoreError> {
        self.refuse("remove from the backup")
    }

    fn is_held(&self, key: &ObjectKey) -> Result<bool, StoreError> {
        self.0.is_held(key)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
}
