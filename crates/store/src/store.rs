//! The seam: what every place that keeps objects has to offer.

use std::fmt::Debug;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use crate::error::StoreError;
use crate::key::ObjectKey;
use crate::whole::{StoredBlob, WholeWriter};

/// A place that keeps objects under their keys.
///
/// The contract, checked by the `conformance` suite:
///
/// - An object is there whole or not at all. Nobody sees a part of one, and
///   what was staged but not published never gets a key.
/// - When [`Upload::publish`] returns `Ok`, the object survives loss of power,
///   and every later `read`, `stat` and `list` of any process sees it.
/// - Publishing is idempotent. Of several publishers of one absent key, exactly
///   one is told `created` (where the place cannot tell, see
///   [`Capabilities::exclusive_create`], at least one).
/// - `delete` is idempotent and durable, `withdraw` idempotent and quick.
///   Readers that are open may go on or fail; they never get other bytes.
/// - A failed listing is an error, never a short or empty page.
///
/// The store trusts its callers that the bytes match the key:
/// [`WholeWriter`] and [`PackWriter`](crate::PackWriter) are the callers that
/// hash. Methods block; see `docs/adr/0002-blocking-store.md`. A wrapper
/// forwards every method, those with a default body too.
pub trait Store: Send + Sync + Debug {
    /// Starts an object that has no name yet.
    ///
    /// # Errors
    /// When nothing can be staged: no space, not writable, I/O.
    fn create(&self) -> Result<Box<dyn Upload>, StoreError>;

    /// Starts an object as a copy-on-write clone of `source`, whatever its
    /// cursor, or `None` when this place cannot, in which case the bytes have to
    /// be copied. Nothing is known of the clone's bytes: read them from
    /// [`Clone::file`](StagedClone::file) and hash them before publishing.
    ///
    /// # Errors
    /// As [`Store::create`]; "not supported" is `None`.
    fn create_clone(&self, source: &File) -> Result<Option<StagedClone>, StoreError> {
        let _ = source;
        Ok(None)
    }

    /// Opens an object for reading `range` of its bytes in order, or all of
    /// them. An empty range only opens it, for [`ObjectReader::read_exact_at`].
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::OutOfRange`] when the range is
    /// reversed or reaches past the end (ranges are never cut down silently).
    fn read(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<Box<dyn ObjectReader>, StoreError>;

    /// What is known of an object without reading it; `None` when it is absent.
    ///
    /// # Errors
    /// When the answer cannot be had; that is never `None`.
    fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError>;

    /// The next at most `limit` (at least 1) objects in key order, those whose
    /// key is greater than `after`.
    ///
    /// # Errors
    /// When the listing is not known to be complete.
    fn list(&self, after: Option<&ObjectKey>, limit: usize) -> Result<Page, StoreError>;

    /// Removes an object; tells whether it was there.
    ///
    /// # Errors
    /// When the object may still be there, now or after loss of power.
    fn delete(&self, key: &ObjectKey) -> Result<bool, StoreError>;

    /// Whether a writer that lives holds the object of this key: its
    /// [`Published::hold`] is not dropped yet. `false` for an absent object, and
    /// where nothing can be held. Nothing may depend on the answer but who is
    /// spared needless work: a `true` may be over at once, and whoever publishes
    /// under a taken key holds nothing.
    ///
    /// # Errors
    /// When the answer cannot be had.
    fn is_held(&self, key: &ObjectKey) -> Result<bool, StoreError> {
        let _ = key;
        Ok(false)
    }

    /// Takes objects out of reach at once: when this returns, no `read`, `stat`
    /// or `list` finds them, and their keys can be published again. Absent ones
    /// are skipped. Their space is freed by [`Withdrawn::free`].
    ///
    /// This is for a caller inside a database's write transaction, which nobody
    /// should wait for: where freeing takes time (a file of many gigabytes),
    /// it is left for later. Nor is anything flushed. After a loss of power a
    /// withdrawn object may be back, which harms nothing as long as the caller
    /// had written down durably, before, that it is to go; then it either is
    /// still on record as such, or has no record and is a leftover.
    ///
    /// # Errors
    /// When one of them may still be there; others may be gone by then.
    fn withdraw(&self, keys: &[ObjectKey]) -> Result<Withdrawn, StoreError> {
        let mut freed = Freed::default();
        for key in keys {
            let size = self.stat(key)?.map_or(0, |info| info.size);
            if self.delete(key)? {
                freed += Freed { objects: 1, bytes: size };
            }
        }
        Ok(Withdrawn::new(move || Ok(freed)))
    }

    /// What this place can do beyond the contract.
    fn capabilities(&self) -> Capabilities;
}

/// An object being written. Dropping it leaves nothing behind that has a key.
pub trait Upload: Send {
    /// Adds the next bytes. After an error only dropping makes sense:
    /// [`Upload::publish`] then refuses.
    ///
    /// # Errors
    /// No space, I/O.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Bytes in the object so far.
    fn size(&self) -> u64;

    /// Gives the object its name: atomically, and durably when this returns.
    ///
    /// # Errors
    /// On error the object may be there or not; it is never there in part.
    /// A failed flush is final, repeat the whole upload.
    fn publish(
        self: Box<Self>,
        key: &ObjectKey,
        existing: Existing,
    ) -> Result<Published, StoreError>;
}

/// What happens when the key to publish under is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// The object that is there stays, and the upload is dropped. As keys are
    /// hashes of the content, an existing object *of another length* is damaged,
    /// and is replaced.
    Keep,
    /// The object that is there is replaced, as one that is known to be damaged.
    Replace,
}

/// What publishing did.
#[derive(Debug)]
pub struct Published {
    /// `false` when the key was taken and its object stayed.
    pub created: bool,
    /// Keeps the new object from being taken for a leftover.
    pub hold: Hold,
}

/// Says that an object was published by a writer that lives and has yet to write
/// down that it exists: [`Store::is_held`] tells others. Dropping it, and the end
/// of the process, lets go. Empty where a place knows no locks, and when the
/// object was there already.
///
/// In a directory it is an exclusive `flock` on the very file that has the key,
/// taken when the file was staged and never let go in between.
#[derive(Debug, Default)]
pub struct Hold {
    _locked: Option<File>,
}

impl Hold {
    /// A hold of nothing.
    pub const fn none() -> Self {
        Self { _locked: None }
    }

    /// The hold of an object whose file has an exclusive lock.
    pub(crate) const fn of_locked(file: File) -> Self {
        Self { _locked: Some(file) }
    }
}

/// Objects out of reach whose space may not be free yet.
///
/// Dropped without [`Withdrawn::free`] it leaves files that nobody can read and
/// that [`LocalStore::clean_tmp`](crate::LocalStore::clean_tmp) removes.
#[must_use = "the space is freed by `free`"]
pub struct Withdrawn {
    free: Box<dyn FnOnce() -> Result<Freed, StoreError> + Send>,
}

impl Withdrawn {
    /// Objects whose space `free` frees; it tells only of those that were there.
    pub fn new(free: impl FnOnce() -> Result<Freed, StoreError> + Send + 'static) -> Self {
        Self { free: Box::new(free) }
    }

    /// Frees the space. What somebody else has removed in between counts there.
    ///
    /// # Errors
    /// The first failure; all others were freed nevertheless.
    pub fn free(self) -> Result<Freed, StoreError> {
        (self.free)()
    }
}

impl Debug for Withdrawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Withdrawn").finish_non_exhaustive()
    }
}

/// What [`Withdrawn::free`] freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freed {
    /// Objects.
    pub objects: u64,
    /// Their lengths, summed, in bytes.
    pub bytes: u64,
}

impl std::ops::AddAssign for Freed {
    fn add_assign(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

/// A clone of a file, not yet named.
#[derive(Debug)]
pub struct StagedClone {
    /// The object to publish. Nothing may be appended to it.
    pub upload: Box<dyn Upload>,
    /// The clone itself, to be read with positioned reads.
    pub file: File,
}

impl Debug for dyn Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("size", &self.size()).finish_non_exhaustive()
    }
}

/// An open object: its range in order through [`Read`], and any place of it
/// through [`ObjectReader::read_exact_at`]. Bytes are as stored, not verified.
pub trait ObjectReader: Read + Send {
    /// Length of the whole object, whatever the range.
    fn object_size(&self) -> u64;

    /// Fills `buf` from `offset` of the object on, independent of the range and
    /// of what was read in order.
    ///
    /// # Errors
    /// [`StoreError::OutOfRange`] past the end; I/O.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StoreError>;

    /// The file behind a local object, for cloning or copying it in the kernel.
    /// It must only be read, with positioned reads or by path-less calls.
    fn as_file(&self) -> Option<&File> {
        None
    }
}

impl Debug for dyn ObjectReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectReader").field("size", &self.object_size()).finish_non_exhaustive()
    }
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Length in bytes.
    pub size: u64,
}

impl ObjectInfo {
    /// The information of an object of `size` bytes.
    pub const fn new(size: u64) -> Self {
        Self { size }
    }
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Objects in ascending key order.
    pub objects: Vec<(ObjectKey, ObjectInfo)>,
    /// Names among the keys that are not keys of objects, at most lossily
    /// decoded, for a report: nothing of ours made them. Over all pages each
    /// occurs once.
    pub foreign: Vec<String>,
    /// Whether a listing after the last of `objects` (which then is not empty)
    /// may find more.
    pub more: bool,
}

/// What a place can do beyond the contract of [`Store`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// Objects are files of this machine: [`ObjectReader::as_file`] answers.
    pub local_files: bool,
    /// [`Store::create_clone`] may answer (it depends on the file system too).
    pub clone_files: bool,
    /// A URL can be made that lets its holder read one whole object.
    pub presign: bool,
    /// Exactly one of several publishers of a key is told `created`.
    pub exclusive_create: bool,
}

/// Conveniences over [`Store`], for every store.
pub trait StoreExt: Store {
    /// Opens an object for positioned reads.
    ///
    /// # Errors
    /// As [`Store::read`].
    fn open(&self, key: &ObjectKey) -> Result<Box<dyn ObjectReader>, StoreError> {
        self.read(key, Some(0..0))
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// As [`Store::stat`].
    fn contains(&self, key: &ObjectKey) -> Result<bool, StoreError> {
        Ok(self.stat(key)?.is_some())
    }

    /// Stores bytes in memory as a whole object.
    ///
    /// # Errors
    /// As [`Upload::publish`].
    fn put_bytes(&self, bytes: &[u8]) -> Result<StoredBlob, StoreError> {
        let mut writer = WholeWriter::new(self)?;
        writer.write(bytes)?;
        writer.finish()
    }

    /// All objects and foreign names, page by page as the iterator advances.
    fn walk(&self) -> Walk<'_, Self> {
        Walk {
            store: self,
            after: None,
            ended: false,
            found: Vec::new().into_iter(),
            foreign: Vec::new().into_iter(),
        }
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

/// Something found by [`StoreExt::walk`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An object.
    Object(ObjectKey, ObjectInfo),
    /// A name that is not the key of an object.
    Foreign(String),
}

/// Iterator of [`StoreExt::walk`]. It ends after the first error.
#[derive(Debug)]
pub struct Walk<'s, S: ?Sized> {
    store: &'s S,
    after: Option<ObjectKey>,
    ended: bool,
    found: std::vec::IntoIter<(ObjectKey, ObjectInfo)>,
    foreign: std::vec::IntoIter<String>,
}

const WALK_PAGE: usize = 1000;

impl<S: Store + ?Sized> Iterator for Walk<'_, S> {
    type Item = Result<Found, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(name) = self.foreign.next() {
                return Some(Ok(Found::Foreign(name)));
            }
            if let Some((key, info)) = self.found.next() {
                return Some(Ok(Found::Object(key, info)));
            }
            if self.ended {
                return None;
            }
            match self.store.list(self.after.as_ref(), WALK_PAGE) {
                Ok(page) => {
                    match page.objects.last() {
                        Some((last, _)) => self.after = Some(*last),
                        None => self.ended = true,
                    }
                    self.ended |= !page.more;
                    self.found = page.objects.into_iter();
                    self.foreign = page.foreign.into_iter();
                }
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<S: Store + ?Sized> Store for $pointer {
            fn create(&self) -> Result<Box<dyn Upload>, StoreError> {
                (**self).create()
            }
            fn create_clone(&self, source: &File) -> Result<Option<StagedClone>, StoreError> {
                (**self).create_clone(source)
            }
            fn read(
                &self,
                key: &ObjectKey,
                range: Option<Range<u64>>,
            ) -> Result<Box<dyn ObjectReader>, StoreError> {
                (**self).read(key, range)
            }
            fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
                (**self).stat(key)
            }
            fn list(&self, after: Option<&ObjectKey>, limit: usize) -> Result<Page, StoreError> {
                (**self).list(after, limit)
            }
            fn delete(&self, key: &ObjectKey) -> Result<bool, StoreError> {
                (**self).delete(key)
            }
            fn is_held(&self, key: &ObjectKey) -> Result<bool, StoreError> {
                (**self).is_held(key)
            }
            fn withdraw(&self, keys: &[ObjectKey]) -> Result<Withdrawn, StoreError> {
                (**self).withdraw(keys)
            }
            fn capabilities(&self) -> Capabilities {
                (**self).capabilities()
            }
        }
    )*};
}

forward!(&S, Arc<S>, Box<S>);

/// Checks that a range lies inside an object, for implementations of
/// [`Store::read`].
///
/// # Errors
/// [`StoreError::OutOfRange`].
pub fn check_range(
    key: &ObjectKey,
    range: Option<Range<u64>>,
    size: u64,
) -> Result<Range<u64>, StoreError> {
    let range = range.unwrap_or(0..size);
    if range.start <= range.end && range.end <= size {
        Ok(range)
    } else {
        Err(StoreError::OutOfRange { key: *key, start: range.start, end: range.end, size })
    }
}
