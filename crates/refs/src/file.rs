//! `file:` URIs: hashed when added, hashed again when checked.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use heirloom_manifest::{Algorithm, BlobHasher, BlobId, LogicalPath, PathError, Reference};
use tokio::sync::mpsc;

use crate::error::RefsError;
use crate::handler::{
    CheckOutcome, EntryStream, ExpandOptions, Expanded, Handler, OpenOptions, Opened, PinKind,
    UnknownWhy,
};
use crate::uri::ReferenceUri;

/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// Handles `file:` URIs of files and directories on this machine.
///
/// A file is pinned by its length and BLAKE3 hash. A directory expands to the
/// regular files below it in path order; directories without files leave no
/// trace. A symbolic link to a regular file is followed; links to directories,
/// dangling links, FIFOs, sockets and devices are refused by name, and the
/// whole expansion with them. Checking reads the file unless its length differs.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileHandler;

impl FileHandler {
    /// A handler without options.
    pub fn new() -> Self {
        Self
    }
}

impl Handler for FileHandler {
    fn schemes(&self) -> &[&str] {
        &["file"]
    }

    fn expand<'a>(&'a self, uri: &'a ReferenceUri, options: &'a ExpandOptions) -> EntryStream<'a> {
        // A few entries of lead keep the disk busy; more would only hold memory.
        let (sender, receiver) = mpsc::channel(64);
        let (uri, options) = (uri.clone(), options.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = expand_blocking(&uri, &options, &sender) {
                let _ = sender.blocking_send(Err(error));
            }
        });
        stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|entry| (entry, receiver))
        })
        .boxed()
    }

    fn check<'a>(
        &'a self,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<CheckOutcome, RefsError>> {
        let reference = reference.clone();
        Box::pin(async move {
            let uri = reference.uri.clone();
            blocking(&uri, move || check_blocking(&reference)).await
        })
    }

    fn open<'a>(
        &'a self,
        reference: &'a Reference,
        options: &'a OpenOptions,
    ) -> BoxFuture<'a, Result<Opened, RefsError>> {
        let (reference, options) = (reference.clone(), options.clone());
        Box::pin(async move {
            let uri = reference.uri.clone();
            blocking(&uri, move || open_blocking(&reference, &options)).await
        })
    }
}

async fn blocking<T: Send + 'static>(
    uri: &str,
    work: impl FnOnce() -> Result<T, RefsError> + Send + 'static,
) -> Result<T, RefsError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // Only a runtime that is shutting down, or a panic that was reported already.
        Err(error) => Err(RefsError::Io { uri: uri.to_owned(), source: io::Error::other(error) }),
    }
}

fn io_error(uri: &str, source: io::Error) -> RefsError {
    let uri = uri.to_owned();
    // A file where a directory was expected is as absent as nothing at all.
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => RefsError::NotFound { uri },
        _ => RefsError::Io { uri, source },
    }
}

fn local_path(uri: &ReferenceUri) -> Result<PathBuf, RefsError> {
    uri.to_file_path().ok_or_else(|| RefsError::NoHandler {
        uri: uri.to_string(),
        scheme: uri.scheme().to_owned(),
    })
}

fn parse(reference: &Reference) -> Result<(ReferenceUri, PathBuf), RefsError> {
    let uri = ReferenceUri::new(&reference.uri)?;
    let path = local_path(&uri)?;
    Ok((uri, path))
}

/// What the path leads to, links followed, if that is a regular file.
fn regular(uri: &str, path: &Path) -> Result<Metadata, RefsError> {
    let metadata = fs::metadata(path).map_err(|source| io_error(uri, source))?;
    match special_kind(&metadata) {
        None if metadata.is_dir() => {
            Err(RefsError::NotRegular { uri: uri.to_owned(), kind: "a directory" })
        }
        None => Ok(metadata),
        Some(kind) => Err(RefsError::NotRegular { uri: uri.to_owned(), kind }),
    }
}

fn special_kind(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_dir() {
        return None;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return Some("a FIFO");
        }
        if kind.is_socket() {
            return Some("a socket");
        }
        if kind.is_block_device() || kind.is_char_device() {
            return Some("a device");
        }
    }
    Some("a special file")
}

type Sender = mpsc::Sender<Result<Expanded, RefsError>>;

fn expand_blocking(
    uri: &ReferenceUri,
    options: &ExpandOptions,
    sender: &Sender,
) -> Result<(), RefsError> {
    let root = local_path(uri)?;
    let metadata = fs::metadata(&root).map_err(|source| io_error(uri.as_str(), source))?;
    if !metadata.is_dir() {
        let name = options.name.clone().map_or_else(|| uri.default_name(), Ok)?;
        if options.max_objects == 0 {
            return Err(too_many(uri, 1, options));
        }
        let reference = pin(uri.as_str().to_owned(), &root)?;
        let _ = sender.blocking_send(Ok((name, reference)));
        return Ok(());
    }

    // Counted before anything is hashed: a refusal should not take hours, and a
    // list of all paths would take memory.
    let mut count = 0;
    walk(uri, &root, &mut |_, _| {
        count += 1;
        if count > options.max_objects {
            return Err(too_many(uri, count, options));
        }
        Ok(true)
    })?;
    let mut sent = 0;
    walk(uri, &root, &mut |path, relative| {
        sent += 1;
        if sent > options.max_objects {
            return Err(too_many(uri, sent, options));
        }
        let bad = |name: &str, source| RefsError::BadName {
            uri: uri.to_string(),
            name: name.to_owned(),
            source,
        };
        let name = match &options.name {
            Some(above) => above.join(relative),
            None => LogicalPath::new(relative),
        }
        .map_err(|source| bad(relative, source))?;
        let child = ReferenceUri::from_path(path)?;
        let reference = pin(child.to_string(), path)?;
        // Nobody waits for the rest any more: stop reading the disk.
        Ok(sender.blocking_send(Ok((name, reference))).is_ok())
    })
}

fn too_many(uri: &ReferenceUri, at_least: u64, options: &ExpandOptions) -> RefsError {
    RefsError::TooManyObjects { uri: uri.to_string(), at_least, limit: options.max_objects }
}

/// Calls `visit` with each regular file below `root`, in the order of the bytes
/// of its path relative to `root`, until it says false.
fn walk(
    uri: &ReferenceUri,
    root: &Path,
    visit: &mut dyn FnMut(&Path, &str) -> Result<bool, RefsError>,
) -> Result<(), RefsError> {
    // Listings yet to be done, last first; each in descending order.
    let mut stack = vec![list(uri, root, "")?];
    while let Some(listing) = stack.last_mut() {
        let Some(key) = listing.pop() else {
            stack.pop();
            continue;
        };
        match key.strip_suffix('/') {
            Some(directory) => {
                let below = list(uri, &root.join(directory), directory)?;
                stack.push(below);
            }
            None => {
                if !visit(&root.join(&key), &key)? {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Relative paths of what `directory` holds, descending; directories end in a
/// slash, which also puts them where their contents belong in the order.
fn list(uri: &ReferenceUri, directory: &Path, prefix: &str) -> Result<Vec<String>, RefsError> {
    let place = shown(uri, directory);
    let failed = |source| io_error(&place, source);
    let mut keys = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(RefsError::BadName {
                uri: place,
                name: name.to_string_lossy().into_owned(),
                source: PathError::NotUtf8,
            });
        };
        let slash = if prefix.is_empty() { "" } else { "/" };
        let mut key = format!("{prefix}{slash}{name}");
        let mut metadata = entry.metadata().map_err(failed)?;
        if metadata.is_symlink() {
            let refuse = |kind| RefsError::NotRegular { uri: shown(uri, &entry.path()), kind };
            metadata =
                fs::metadata(entry.path()).map_err(|_| refuse("a dangling symbolic link"))?;
            if metadata.is_dir() {
                return Err(refuse("a symbolic link to a directory"));
            }
        }
        if let Some(kind) = special_kind(&metadata) {
            return Err(RefsError::NotRegular { uri: shown(uri, &entry.path()), kind });
        }
        if metadata.is_dir() {
            key.push('/');
        }
        keys.push(key);
    }
    keys.sort_unstable_by(|one, other| other.cmp(one));
    Ok(keys)
}

/// The URI of a path below `uri`, for messages.
fn shown(uri: &ReferenceUri, path: &Path) -> String {
    ReferenceUri::from_path(path).map_or_else(|_| uri.to_string(), |child| child.to_string())
}

fn pin(uri: String, path: &Path) -> Result<Reference, RefsError> {
    let (blob, size) = hash(&uri, path)?;
    let checksums = vec![blob.into()];
    Ok(Reference { size: Some(size), checksums, ..Reference::new(uri) })
}

fn hash(uri: &str, path: &Path) -> Result<(BlobId, u64), RefsError> {
    let before = regular(uri, path)?;
    let failed = |source| io_error(uri, source);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = BlobHasher::new();
    let capacity = usize::try_from(before.len()).map_or(PIECE, |size| size.clamp(1, PIECE));
    let mut buffer = vec![0; capacity];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    // The length and time of the file that was read, not of what may have been
    // put in its place.
    let after = file.metadata().map_err(failed)?;
    let changed = after.len() != hasher.length()
        || before.len() != after.len()
        || before.modified().ok() != after.modified().ok();
    if changed {
        return Err(RefsError::ChangedMeanwhile { uri: uri.to_owned() });
    }
    Ok((hasher.finish(), after.len()))
}

fn check_blocking(reference: &Reference) -> Result<CheckOutcome, RefsError> {
    let (uri, path) = parse(reference)?;
    let metadata = match regular(uri.as_str(), &path) {
        Ok(metadata) => metadata,
        Err(RefsError::NotFound { .. }) => return Ok(CheckOutcome::Gone),
        Err(error) => return Err(error),
    };
    if let Some(expected) = reference.size
        && expected != metadata.len()
    {
        let (expected, found) = (expected.to_string(), metadata.len().to_string());
        return Ok(CheckOutcome::Drifted { what: PinKind::Size, expected, found });
    }
    let is_blake3 = |algorithm| algorithm == Algorithm::Blake3;
    let Some(expected) = reference.checksums.iter().find(|sum| is_blake3(sum.algorithm())) else {
        let why = if reference.is_pinned() { UnknownWhy::NotTold } else { UnknownWhy::NotPinned };
        return Ok(CheckOutcome::Unknown { why });
    };
    let found = match hash(uri.as_str(), &path) {
        Ok((blob, _)) => blob.into(),
        Err(RefsError::NotFound { .. }) => return Ok(CheckOutcome::Gone),
        Err(error) => return Err(error),
    };
    if *expected == found {
        return Ok(CheckOutcome::Same);
    }
    Ok(CheckOutcome::Drifted {
        what: PinKind::Checksum(Algorithm::Blake3),
        expected: expected.to_string(),
        found: found.to_string(),
    })
}

fn open_blocking(reference: &Reference, options: &OpenOptions) -> Result<Opened, RefsError> {
    let (uri, path) = parse(reference)?;
    let failed = |source| io_error(uri.as_str(), source);
    // Opening a FIFO would wait for a writer.
    regular(uri.as_str(), &path)?;
    let mut file = File::open(&path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    match reference.size {
        Some(expected) if expected != size && !options.allow_drift => {
            return Err(RefsError::Drifted {
                uri: uri.to_string(),
                what: PinKind::Size,
                expected: expected.to_string(),
                found: size.to_string(),
            });
        }
        _ => {}
    }
    if size > options.max_bytes {
        return Err(RefsError::TooLarge { uri: uri.to_string(), limit: options.max_bytes });
    }
    let length = size.checked_sub(options.start).ok_or_else(|| RefsError::BeyondEnd {
        uri: uri.to_string(),
        start: options.start,
        size,
    })?;
    file.seek(SeekFrom::Start(options.start)).map_err(failed)?;
    let reading = Reading { uri: uri.to_string(), file, position: options.start, size };
    let body = stream::try_unfold(reading, |reading| async move {
        let uri = reading.uri.clone();
        blocking(&uri, move || reading.next()).await
    });
    Ok(Opened { body: body.boxed(), start: options.start, length: Some(length), confirmed: vec![] })
}

struct Reading {
    uri: String,
    file: File,
    position: u64,
    size: u64,
}

impl Reading {
    /// The next piece. A file that grows meanwhile ends at the length it had.
    fn next(mut self) -> Result<Option<(Bytes, Self)>, RefsError> {
        let left = usize::try_from(self.size - self.position).unwrap_or(PIECE).min(PIECE);
        if left == 0 {
            return Ok(None);
        }
        let mut buffer = vec![0; left];
        let count = loop {
            match self.file.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(|source| io_error(&self.uri, source))?,
            }
        };
        if count == 0 {
            let (received, expected) = (self.position, Some(self.size));
            return Err(RefsError::Truncated { uri: self.uri, received, expected });
        }
        buffer.truncate(count);
        self.position += count as u64;
        Ok(Some((buffer.into(), self)))
    }
}
