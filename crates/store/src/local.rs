//! Objects in a directory of this machine.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::disk::{self, Disk, GONE, STAGED, Staging};
use crate::error::{Fault, OPEN, READ, StoreError};
use crate::key::{ObjectKey, PACK_PREFIX, WHOLE_PREFIX};
use crate::store::{
    Capabilities, Existing, Freed, Hold, ObjectInfo, ObjectReader, Page, Published, StagedClone,
    Store, Upload, Withdrawn, check_range,
};

const TMP: &str = "tmp";

/// How the names of files under `tmp/` begin that are not the store's but known
/// to it: the rest is a number (`docs/format.md` §7).
const DRAFT: &str = "draft-";

/// Objects below a directory: `objects/`, `packs/`, and `tmp/` for what has no
/// name yet. Other names in the directory are not touched or looked at.
///
/// An object is written under `tmp/`, flushed, renamed to its key without
/// replacing, and the directories that lead to it are flushed, in this order.
/// Directories are made when first needed, so that a read-only directory can
/// be opened and read. Object files have mode 0444 (less the umask). A link is
/// not an object, wherever it leads; `objects/` and `packs/` may be links
/// themselves, to directories of the file system that `tmp/` is on.
///
/// Clones of a value share what they know; several values, also in several
/// processes, may use one directory at once.
#[derive(Debug, Clone)]
pub struct LocalStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    disk: Disk,
    /// Directories whose own entry this process has flushed. Without it, one
    /// would have to flush the parents at every publish: that a directory
    /// exists does not tell that whoever made it has flushed it already.
    durable: Mutex<HashSet<PathBuf>>,
}

impl LocalStore {
    /// The store in an existing directory, which stays unchanged by this.
    ///
    /// # Errors
    /// When `root` is not a directory that can be looked at.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let inner = Inner { root: root.into(), disk: Disk::default(), durable: Mutex::default() };
        inner.check_root()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The store in a directory, which is made (durably, and its parents too)
    /// when it does not exist.
    ///
    /// # Errors
    /// When it cannot be made or looked at.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let root = root.into();
        let inner = Inner { root, disk: Disk::default(), durable: Mutex::default() };
        if !inner.root.is_dir() {
            inner.make_durable(&inner.root)?;
        }
        inner.check_root()?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The directory given to [`LocalStore::open`].
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Where the object of this key is, or would be. Only for reading; its
    /// file must never be linked to, since a change through the link would
    /// change the object.
    pub fn path_of(&self, key: &ObjectKey) -> PathBuf {
        self.inner.path_of(key)
    }

    /// Removes what writers that are gone have left under `tmp/`, and withdrawn
    /// objects that were not freed. A writer that lives holds a lock on its file,
    /// so age plays no part. The files that tell whether a draft has an owner stay,
    /// locked or not: whoever ends the draft removes them. Names not made by this
    /// store stay and are returned.
    ///
    /// # Errors
    /// When `tmp/` cannot be listed or a leftover cannot be removed.
    pub fn clean_tmp(&self) -> Result<Cleaned, StoreError> {
        self.sweep(true)
    }

    /// What [`LocalStore::clean_tmp`] would remove now.
    ///
    /// # Errors
    /// When `tmp/` cannot be listed.
    pub fn tmp_leftovers(&self) -> Result<Cleaned, StoreError> {
        self.sweep(false)
    }

    fn sweep(&self, removes: bool) -> Result<Cleaned, StoreError> {
        let directory = self.inner.root.join(TMP);
        let mut cleaned = Cleaned::default();
        for name in disk::names(&directory)? {
            let path = directory.join(&name);
            if is_of_draft(&name) {
                continue;
            }
            if !name.starts_with(STAGED) && !name.starts_with(GONE) {
                cleaned.foreign.push(name);
                continue;
            }
            // Gone meanwhile: its writer has finished.
            let Some(file) = disk::open(&path)? else { continue };
            let metadata = file.metadata().map_err(|error| StoreError::io(OPEN, &path, error))?;
            if !metadata.is_file() {
                cleaned.foreign.push(name);
            } else if file.try_lock_shared().is_ok()
                && (!removes || (file.try_lock().is_ok() && self.inner.disk.remove(&path)?))
            {
                cleaned.files += 1;
                cleaned.bytes += metadata.len();
            }
        }
        Ok(cleaned)
    }
}

fn is_of_draft(name: &str) -> bool {
    name.strip_prefix(DRAFT)
        .is_some_and(|id| !id.is_empty() && id.bytes().all(|digit| digit.is_ascii_digit()))
}

/// What [`LocalStore::clean_tmp`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// Leftovers removed.
    pub files: u64,
    /// Their lengths, summed, in bytes.
    pub bytes: u64,
    /// Names under `tmp/` that no writer of ours made; they stay.
    pub foreign: Vec<String>,
}

impl Store for LocalStore {
    fn create(&self) -> Result<Box<dyn Upload>, StoreError> {
        Ok(Box::new(self.stage()?))
    }

    fn create_clone(&self, source: &File) -> Result<Option<StagedClone>, StoreError> {
        let mut upload = self.stage()?;
        if !self.inner.disk.clone_into(source, &upload.staging)? {
            return Ok(None);
        }
        let path = &upload.staging.path;
        let metadata =
            upload.staging.file.metadata().map_err(|error| StoreError::io(OPEN, path, error))?;
        upload.size = metadata.len();
        let file =
            upload.staging.file.try_clone().map_err(|error| StoreError::io(OPEN, path, error))?;
        Ok(Some(StagedClone { upload: Box::new(upload), file }))
    }

    fn read(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<Box<dyn ObjectReader>, StoreError> {
        let Some((file, size)) = self.inner.open(key)? else {
            return Err(StoreError::NotFound { key: *key });
        };
        let range = check_range(key, range, size)?;
        Ok(Box::new(LocalReader {
            file,
            path: self.path_of(key),
            key: *key,
            size,
            position: range.start,
            end: range.end,
        }))
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        match disk::metadata(&self.path_of(key))? {
            Some(metadata) if metadata.is_file() => Ok(Some(ObjectInfo::new(metadata.len()))),
            Some(_) => Err(StoreError::Corrupt { key: *key, fault: Fault::NotAFile }),
            None => self.inner.check_root().map(|()| None),
        }
    }

    fn list(&self, after: Option<&ObjectKey>, limit: usize) -> Result<Page, StoreError> {
        self.inner.check_root()?;
        let mut listing = Listing {
            after: after.map(ToString::to_string),
            limit: limit.max(1),
            page: Page::default(),
        };
        for prefix in [WHOLE_PREFIX, PACK_PREFIX] {
            if listing.add_prefix(&self.inner.root, prefix)?.is_full() {
                break;
            }
        }
        Ok(listing.page)
    }

    fn delete(&self, key: &ObjectKey) -> Result<bool, StoreError> {
        let path = self.path_of(key);
        let existed = self.inner.disk.remove(&path)?;
        let directory = self.inner.root.join(key.fan_out());
        // Also when it was gone: whoever removed it may not have come to this.
        if directory.is_dir() {
            self.inner.disk.sync_directory(&directory)?;
        } else {
            self.inner.check_root()?;
        }
        Ok(existed)
    }

    fn is_held(&self, key: &ObjectKey) -> Result<bool, StoreError> {
        match self.inner.open(key)? {
            Some((file, _)) => disk::is_locked(&file, &self.path_of(key)),
            None => Ok(false),
        }
    }

    fn withdraw(&self, keys: &[ObjectKey]) -> Result<Withdrawn, StoreError> {
        self.inner.check_root()?;
        let tmp = self.inner.root.join(TMP);
        if !tmp.is_dir() {
            self.inner.disk.make_directory(&tmp)?;
        }
        let mut gone: Vec<(PathBuf, u64)> = Vec::new();
        for key in keys {
            let path = self.path_of(key);
            // What is no file is no object, and not ours to move.
            let object = disk::metadata(&path)?.filter(Metadata::is_file);
            let Some(size) = object.map(|metadata| metadata.len()) else { continue };
            if let Some(moved) = self.inner.disk.move_away(&path, &tmp)? {
                gone.push((moved, size));
            }
        }
        let inner = Arc::clone(&self.inner);
        Ok(Withdrawn::new(move || inner.free(gone)))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            local_files: true,
            clone_files: cfg!(any(target_os = "linux", target_os = "android")),
            presign: false,
            exclusive_create: true,
        }
    }
}

impl LocalStore {
    fn stage(&self) -> Result<LocalUpload, StoreError> {
        let directory = self.inner.root.join(TMP);
        // Not made durable: nothing under it has to survive anything.
        self.inner.disk.make_directory(&directory)?;
        let staging = self.inner.disk.stage(&directory)?;
        Ok(LocalUpload { inner: Arc::clone(&self.inner), staging, size: 0, failed: false })
    }
}

impl Inner {
    fn path_of(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.to_string())
    }

    /// An object and its length; `None` when it is absent.
    fn open(&self, key: &ObjectKey) -> Result<Option<(File, u64)>, StoreError> {
        let path = self.path_of(key);
        let not_a_file = StoreError::Corrupt { key: *key, fault: Fault::NotAFile };
        let file = match disk::open(&path) {
            Ok(Some(file)) => file,
            Ok(None) => return self.check_root().map(|()| None),
            // What `O_NOFOLLOW` answers to a link.
            Err(StoreError::Io { source, .. })
                if source.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) =>
            {
                return Err(not_a_file);
            }
            Err(error) => return Err(error),
        };
        let metadata = file.metadata().map_err(|error| StoreError::io(OPEN, &path, error))?;
        if metadata.is_file() { Ok(Some((file, metadata.len()))) } else { Err(not_a_file) }
    }

    /// Removes withdrawn objects, with their lengths.
    fn free(&self, gone: Vec<(PathBuf, u64)>) -> Result<Freed, StoreError> {
        let mut freed = Freed::default();
        let mut failed = None;
        for (path, bytes) in gone {
            match self.disk.remove(&path) {
                Ok(true) => freed += Freed { objects: 1, bytes },
                // Somebody has cleaned `tmp/` meanwhile.
                Ok(false) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(freed), Err)
    }

    /// Tells an absent object from an absent store, such as a disk that is not
    /// mounted: the latter must not look like the loss of everything.
    fn check_root(&self) -> Result<(), StoreError> {
        Self::check_directory(&self.root)?;
        for prefix in [WHOLE_PREFIX, PACK_PREFIX] {
            let directory = self.root.join(prefix);
            // Not made yet is fine, a link to nowhere is not.
            if disk::metadata(&directory)?.is_some() {
                Self::check_directory(&directory)?;
            }
        }
        Ok(())
    }

    fn check_directory(path: &Path) -> Result<(), StoreError> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(StoreError::io(OPEN, path, ErrorKind::NotADirectory.into())),
            Err(error) => Err(StoreError::io(OPEN, path, error)),
        }
    }

    /// Makes a directory where it is missing, and sees to it that its entry has
    /// been flushed.
    fn make_durable(&self, directory: &Path) -> Result<(), StoreError> {
        if self.durable.lock().unwrap_or_else(PoisonError::into_inner).contains(directory) {
            return Ok(());
        }
        // The root's own parents are looked at only when they have to be made.
        let parent = directory
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        if directory != self.root && directory.starts_with(&self.root) {
            if parent != self.root {
                self.make_durable(parent)?;
            }
        } else if !parent.is_dir() {
            self.make_durable(parent)?;
        }
        self.disk.make_directory(directory)?;
        self.disk.sync_directory(parent)?;
        self.durable.lock().unwrap_or_else(PoisonError::into_inner).insert(directory.to_path_buf());
        Ok(())
    }

    /// Renames a flushed file to its key; `false` when the key was taken and its
    /// object stays.
    fn name(
        &self,
        staging: &Staging,
        key: &ObjectKey,
        size: u64,
        existing: Existing,
    ) -> Result<bool, StoreError> {
        let target = self.path_of(key);
        if existing == Existing::Keep {
            if self.disk.rename_new(&staging.path, &target)? {
                return Ok(true);
            }
            if self.size_of_existing(key)? == Some(size) {
                return Ok(false);
            }
        }
        self.disk.rename_over(&staging.path, &target)?;
        Ok(true)
    }

    fn size_of_existing(&self, key: &ObjectKey) -> Result<Option<u64>, StoreError> {
        match disk::metadata(&self.path_of(key))? {
            Some(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Some(_) => Err(StoreError::Corrupt { key: *key, fault: Fault::NotAFile }),
            None => Ok(None),
        }
    }
}

struct LocalUpload {
    inner: Arc<Inner>,
    staging: Staging,
    size: u64,
    failed: bool,
}

impl Upload for LocalUpload {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.check()?;
        let done = self.inner.disk.append(&self.staging.file, &self.staging.path, bytes);
        match done {
            Ok(()) => self.size += bytes.len() as u64,
            // Part of the bytes may have been written.
            Err(_) => self.failed = true,
        }
        done
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn publish(
        self: Box<Self>,
        key: &ObjectKey,
        existing: Existing,
    ) -> Result<Published, StoreError> {
        self.check()?;
        let Self { inner, staging, size, .. } = *self;
        let directory = inner.root.join(key.fan_out());
        if existing == Existing::Keep && inner.size_of_existing(key)? == Some(size) {
            // Whoever published it may not have come to flushing the directory.
            inner.make_durable(&directory)?;
            inner.disk.sync_directory(&directory)?;
            return Ok(Published { created: false, hold: Hold::none() });
        }
        inner.disk.sync_file(&staging.file, &staging.path)?;
        inner.make_durable(&directory)?;
        let named = inner.name(&staging, key, size, existing);
        if named.is_err() {
            // Should somebody have removed the directory: the next one makes it.
            inner.durable.lock().unwrap_or_else(PoisonError::into_inner).remove(&directory);
        }
        let created = named?;
        let hold = if created {
            // The name under `tmp/` is gone and must not be removed: by now it
            // could be somebody else's. Keeping cannot fail on Unix.
            let _ = staging.path.keep();
            Hold::of_locked(staging.file)
        } else {
            Hold::none()
        };
        inner.disk.sync_directory(&directory)?;
        Ok(Published { created, hold })
    }
}

impl LocalUpload {
    fn check(&self) -> Result<(), StoreError> {
        if self.failed {
            let error = io::Error::other("an earlier write to it has failed");
            return Err(StoreError::io("write", &self.staging.path, error));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct LocalReader {
    file: File,
    path: PathBuf,
    key: ObjectKey,
    size: u64,
    position: u64,
    end: u64,
}

impl Read for LocalReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.end - self.position;
        let wanted = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let got = self.file.read_at(&mut buf[..wanted], self.position)?;
        if got == 0 {
            // Objects do not shrink; this one was tampered with while open.
            let fault = StoreError::Corrupt { key: self.key, fault: Fault::TooShort };
            return Err(io::Error::new(ErrorKind::UnexpectedEof, fault));
        }
        self.position += got as u64;
        Ok(got)
    }
}

impl ObjectReader for LocalReader {
    fn object_size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<(), StoreError> {
        let end = offset.saturating_add(buf.len() as u64);
        check_range(&self.key, Some(offset..end), self.size)?;
        self.file.read_exact_at(buf, offset).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                StoreError::Corrupt { key: self.key, fault: Fault::TooShort }
            }
            _ => StoreError::io(READ, &self.path, error),
        })
    }

    fn as_file(&self) -> Option<&File> {
        Some(&self.file)
    }
}

/// A page while it is filled. All comparisons are of whole key texts, so that
/// foreign names have their place among the keys, too.
struct Listing {
    after: Option<String>,
    limit: usize,
    page: Page,
}

impl Listing {
    fn is_full(&self) -> bool {
        self.page.more
    }

    fn is_wanted(&self, text: &str) -> bool {
        self.after.as_deref().is_none_or(|after| text > after)
    }

    fn add_prefix(&mut self, root: &Path, prefix: &str) -> Result<&Self, StoreError> {
        // A fan-out directory sorts as the keys in it do: with its slash.
        let mut below = Vec::new();
        for name in disk::names(&root.join(prefix))? {
            let is_fan_out = name.len() == 2
                && name.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
                && disk::metadata(&root.join(prefix).join(&name))?
                    .is_some_and(|metadata| metadata.is_dir());
            below.push((
                format!("{prefix}/{name}{}", if is_fan_out { "/" } else { "" }),
                is_fan_out,
            ));
        }
        below.sort_unstable();
        for (text, is_fan_out) in below {
            if self.is_full() {
                break;
            }
            if is_fan_out {
                // `~` sorts after every character of a key.
                if self.is_wanted(&format!("{text}~")) {
                    self.add_fan_out(root, &text)?;
                }
            } else if self.is_wanted(&text) && self.has_room() {
                self.page.foreign.push(text);
            }
        }
        Ok(self)
    }

    /// Whether the next name in order still belongs to this page. Foreign names
    /// after the last key of a full page wait for the next one, which finds them
    /// again.
    fn has_room(&mut self) -> bool {
        self.page.more = self.page.objects.len() == self.limit;
        !self.page.more
    }

    fn add_fan_out(&mut self, root: &Path, fan_out: &str) -> Result<(), StoreError> {
        let mut texts: Vec<String> = disk::names(&root.join(fan_out))?
            .into_iter()
            .map(|name| format!("{fan_out}{name}"))
            .collect();
        texts.retain(|text| self.is_wanted(text));
        texts.sort_unstable();
        for text in texts {
            if !self.has_room() {
                break;
            }
            let Ok(key) = text.parse::<ObjectKey>() else {
                self.page.foreign.push(text);
                continue;
            };
            match disk::metadata(&root.join(&text))? {
                Some(metadata) if metadata.is_file() => {
                    self.page.objects.push((key, ObjectInfo::new(metadata.len())));
                }
                Some(_) => self.page.foreign.push(text),
                // Deleted since the directory was read.
                None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl LocalStore {
    pub(crate) fn probe(&self) -> &disk::probe::Probe {
        &self.inner.disk.probe
    }
}
