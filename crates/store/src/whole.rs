//! Whole objects: one blob each, streamed in and out, never held in memory.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::mpsc;

use heirloom_manifest::{BlobHasher, BlobId};

use crate::error::{READ, StoreError};
use crate::key::ObjectKey;
use crate::store::{Existing, Hold, ObjectReader, Published, StagedClone, Store, Upload};

/// Bytes read, hashed and written at a time.
pub(crate) const BUFFER: usize = 1 << 20;

/// From here on hashing one piece on several threads is faster than on one.
const PARALLEL_FROM: usize = 128 << 10;

/// A blob that is in the store.
#[derive(Debug)]
pub struct StoredBlob {
    /// Its id, computed from the bytes that were stored.
    pub id: BlobId,
    /// Its length in bytes.
    pub size: u64,
    /// Whether the object is new; `false` when the store had it already.
    pub created: bool,
    /// To be kept until it is on record that the object exists.
    pub hold: Hold,
}

/// Writes one blob as a whole object; the name comes from the bytes.
///
/// Dropping it before [`WholeWriter::finish`] leaves nothing.
#[derive(Debug)]
pub struct WholeWriter {
    upload: Box<dyn Upload>,
    hasher: BlobHasher,
}

impl WholeWriter {
    /// Starts an object.
    ///
    /// # Errors
    /// As [`Store::create`].
    pub fn new<S: Store + ?Sized>(store: &S) -> Result<Self, StoreError> {
        Ok(Self { upload: store.create()?, hasher: BlobHasher::new() })
    }

    /// Adds the next bytes. After an error only dropping makes sense.
    ///
    /// # Errors
    /// As [`Upload::append`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        hash_piece(&mut self.hasher, bytes);
        self.upload.append(bytes)
    }

    /// Bytes written so far.
    pub fn size(&self) -> u64 {
        self.hasher.length()
    }

    /// Publishes the blob under the hash of its bytes; durable on return.
    ///
    /// # Errors
    /// As [`Upload::publish`].
    pub fn finish(self) -> Result<StoredBlob, StoreError> {
        publish(self.upload, &self.hasher, Existing::Keep)
    }

    /// Like [`WholeWriter::finish`] for bytes that were announced.
    ///
    /// # Errors
    /// [`StoreError::DigestMismatch`], and then nothing is left, when the bytes
    /// are not those of `expected`.
    pub fn finish_expecting(self, expected: &BlobId) -> Result<StoredBlob, StoreError> {
        let actual = self.hasher.finish();
        if actual != *expected {
            return Err(StoreError::DigestMismatch { key: None, expected: *expected, actual });
        }
        self.finish()
    }

    /// Like [`WholeWriter::finish_expecting`], but takes the place of an object
    /// that is there: for good bytes of one that is known to be damaged.
    ///
    /// # Errors
    /// As [`WholeWriter::finish_expecting`].
    pub fn finish_replacing(self, expected: &BlobId) -> Result<StoredBlob, StoreError> {
        let actual = self.hasher.finish();
        if actual != *expected {
            return Err(StoreError::DigestMismatch { key: None, expected: *expected, actual });
        }
        publish(self.upload, &self.hasher, Existing::Replace)
    }
}

fn publish(
    upload: Box<dyn Upload>,
    hasher: &BlobHasher,
    existing: Existing,
) -> Result<StoredBlob, StoreError> {
    let id = hasher.finish();
    let Published { created, hold } = upload.publish(&ObjectKey::Whole(id), existing)?;
    Ok(StoredBlob { id, size: hasher.length(), created, hold })
}

fn hash_piece(hasher: &mut BlobHasher, bytes: &[u8]) {
    if bytes.len() >= PARALLEL_FROM {
        hasher.update_parallel(bytes);
    } else {
        hasher.update(bytes);
    }
}

/// Stores a file, from its first to its last byte whatever its cursor, as a
/// whole object: by cloning where the file system can, else by copying. What is
/// hashed is what was stored, so a file that changes meanwhile cannot get a
/// wrong name.
///
/// `path` is only for messages. With `expected_size`, a file of another length
/// is refused; comparing modification times before and after is up to the
/// caller. `progress` hears of the bytes as they are taken. Memory: three buffers
/// of 1 MiB.
///
/// # Errors
/// [`StoreError::SizeMismatch`], and then nothing is left; else as
/// [`Upload::publish`] and for reading the file.
pub fn put_file<S: Store + ?Sized>(
    store: &S,
    file: &File,
    path: &Path,
    expected_size: Option<u64>,
    progress: &mut dyn FnMut(u64),
) -> Result<StoredBlob, StoreError> {
    let mut hasher = BlobHasher::new();
    if let Some(StagedClone { upload, file: clone }) = store.create_clone(file)? {
        let mut source = FileSource { file: &clone, path, position: 0, expected_size };
        pump(
            |buf| source.read(buf),
            |bytes| {
                hash_piece(&mut hasher, bytes);
                progress(bytes.len() as u64);
                Ok::<(), StoreError>(())
            },
        )?;
        source.check_end()?;
        return publish(upload, &hasher, Existing::Keep);
    }
    let mut upload = store.create()?;
    let mut source = FileSource { file, path, position: 0, expected_size };
    pump(
        |buf| {
            let got = source.read(buf)?;
            hash_piece(&mut hasher, &buf[..got]);
            Ok(got)
        },
        |bytes| {
            progress(bytes.len() as u64);
            upload.append(bytes)
        },
    )?;
    source.check_end()?;
    publish(upload, &hasher, Existing::Keep)
}

struct FileSource<'f> {
    file: &'f File,
    path: &'f Path,
    position: u64,
    expected_size: Option<u64>,
}

impl FileSource<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, StoreError> {
        let mut got = 0;
        while got < buf.len() {
            match std::os::unix::fs::FileExt::read_at(self.file, &mut buf[got..], self.position) {
                Ok(0) => break,
                Ok(n) => {
                    got += n;
                    self.position += n as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io(READ, self.path, error)),
            }
        }
        match self.expected_size {
            // A file that grows without end must not fill the disk first.
            Some(expected) if self.position > expected => {
                Err(StoreError::SizeMismatch { expected, actual: self.position })
            }
            _ => Ok(got),
        }
    }

    fn check_end(&self) -> Result<(), StoreError> {
        match self.expected_size {
            Some(expected) if expected != self.position => {
                Err(StoreError::SizeMismatch { expected, actual: self.position })
            }
            _ => Ok(()),
        }
    }
}

/// Reads a whole object and checks its hash at the end.
///
/// **Bytes before the end are not verified yet**: whoever writes them somewhere
/// must write to a temporary file and give it its name only after this reader
/// has returned its end (`Ok(0)` for a buffer that is not empty). When the hash
/// differs, the end is an error instead, of kind `InvalidData`, that holds
/// [`StoreError::DigestMismatch`]; [`io::Error::downcast`] gets it out.
#[derive(Debug)]
pub struct VerifiedReader {
    inner: Box<dyn ObjectReader>,
    expected: BlobId,
    hasher: BlobHasher,
}

impl VerifiedReader {
    /// Opens the whole object of a blob.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn open<S: Store + ?Sized>(store: &S, id: &BlobId) -> Result<Self, StoreError> {
        let inner = store.read(&ObjectKey::Whole(*id), None)?;
        Ok(Self { inner, expected: *id, hasher: BlobHasher::new() })
    }

    /// Length of the blob, as stored.
    pub fn size(&self) -> u64 {
        self.inner.object_size()
    }

    /// The file behind a local object, to be cloned instead of read. The clone
    /// is not verified by this.
    pub fn as_file(&self) -> Option<&File> {
        self.inner.as_file()
    }
}

impl Read for VerifiedReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buf)?;
        hash_piece(&mut self.hasher, &buf[..got]);
        if got == 0 && !buf.is_empty() {
            let actual = self.hasher.finish();
            if actual != self.expected {
                let key = Some(ObjectKey::Whole(self.expected));
                let error = StoreError::DigestMismatch { key, expected: self.expected, actual };
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        Ok(got)
    }
}

/// Passes a whole object's bytes to `sink`, in order, while the next ones are
/// read and hashed on another thread; returns their number after the hash was
/// found right. As with [`VerifiedReader`], nothing is verified before that.
///
/// # Errors
/// What `sink` returns, at once; [`StoreError::DigestMismatch`]; as
/// [`Store::read`].
pub fn stream_whole<S, E>(
    store: &S,
    id: &BlobId,
    sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<u64, E>
where
    S: Store + ?Sized,
    E: From<StoreError>,
{
    let mut reader = VerifiedReader::open(store, id)?;
    let size = reader.size();
    let key = ObjectKey::Whole(*id);
    pump(
        |buf| {
            let mut got = 0;
            while got < buf.len() {
                match reader.read(&mut buf[got..]) {
                    Ok(0) => break,
                    Ok(n) => got += n,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(from_reader(&key, error)),
                }
            }
            Ok(got)
        },
        sink,
    )?;
    Ok(size)
}

/// The error behind one of a reader's.
pub(crate) fn from_reader(key: &ObjectKey, error: io::Error) -> StoreError {
    error
        .downcast::<StoreError>()
        .unwrap_or_else(|error| StoreError::io(READ, Path::new(&key.to_string()), error))
}

/// Moves bytes from `read` (which fills its buffer unless at the end, where it
/// returns less) to `sink`; what is longer than one buffer is read on a second
/// thread with two buffers in flight.
fn pump<E: From<StoreError>>(
    mut read: impl FnMut(&mut [u8]) -> Result<usize, StoreError> + Send,
    mut sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut first = vec![0; BUFFER];
    let got = read(&mut first)?;
    if got > 0 {
        sink(&first[..got])?;
    }
    if got < BUFFER {
        // A second call at the end: verified readers speak up only there.
        read(&mut first)?;
        return Ok(());
    }
    std::thread::scope(|scope| {
        let (filled_out, filled) = mpsc::sync_channel::<Result<(Vec<u8>, usize), StoreError>>(2);
        let (empty, empty_in) = mpsc::sync_channel::<Vec<u8>>(2);
        for buffer in [first, vec![0; BUFFER]] {
            // Both fit into the channel, whose other end is still here.
            let _ = empty.send(buffer);
        }
        scope.spawn(move || {
            // Ends with the data, an error, or when the other side has gone.
            while let Ok(mut buffer) = empty_in.recv() {
                let outcome = read(&mut buffer).map(|got| (buffer, got));
                let is_last = !matches!(outcome, Ok((_, got)) if got > 0);
                if filled_out.send(outcome).is_err() || is_last {
                    break;
                }
            }
        });
        while let Ok(outcome) = filled.recv() {
            let (buffer, got) = outcome?;
            if got == 0 {
                return Ok(());
            }
            sink(&buffer[..got])?;
            // The reader may have ended already.
            let _ = empty.send(buffer);
        }
        // The channel closed without an end: the thread panicked, and the scope
        // passes the panic on when it joins.
        Err(StoreError::io(READ, Path::new("source"), ErrorKind::BrokenPipe.into()).into())
    })
}
