//! Where good bytes may come from: files, directories, other repositories.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use heirloom_api::Problem;
use heirloom_catalog::CatalogExt;
use heirloom_core::Scope;
use heirloom_manifest::{BlobHasher, BlobId, Entry, LogicalPath, NodeId, NodeSink, TreeBuilder};
use heirloom_store::{ObjectKey, StoreError, read_blob, stream_whole};

use crate::home::io_problem;
use crate::problem::Failure;
use crate::read::extent;
use crate::{Inner, Repository, SystemEnvironment};

/// Bytes of a file read at a time.
const BUFFER: usize = 1 << 20;

/// Takes the bytes of one blob, piece by piece.
pub(super) type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Failure> + 'a;

/// Good bytes by digest.
#[derive(Default)]
pub(super) struct Sources {
    repositories: Vec<(String, Repository)>,
    files: HashMap<BlobId, PathBuf>,
    /// Nodes that the trees of the directories have, of those that are wanted.
    nodes: HashMap<BlobId, (Vec<u8>, PathBuf)>,
}

impl Sources {
    /// Opens what is given and hashes the files that may be wanted: those of a
    /// size in `sizes`, or all when `wanted` has blobs of unknown size or nodes.
    pub(super) fn open(
        paths: &[PathBuf],
        wanted: &BTreeSet<BlobId>,
        sizes: Option<&BTreeSet<u64>>,
    ) -> Result<Self, Problem> {
        let mut sources = Self::default();
        for path in paths {
            if path.join("heirloom.toml").exists() {
                // A directory that opens is one that exists: nothing is made.
                crate::Home::open(path)?;
                let repository = Repository::open(path, SystemEnvironment)?;
                sources.repositories.push((path.display().to_string(), repository));
            } else {
                sources.files_of(path, wanted, sizes)?;
            }
        }
        Ok(sources)
    }

    fn files_of(
        &mut self,
        root: &Path,
        wanted: &BTreeSet<BlobId>,
        sizes: Option<&BTreeSet<u64>>,
    ) -> Result<(), Problem> {
        let mut found = BTreeMap::new();
        let meta = fs::metadata(root).map_err(|error| io_problem("read", root, &error))?;
        match meta.is_dir() {
            true => list(root, "", &mut found)?,
            false => {
                let name = root.file_name().map(|name| name.to_string_lossy().into_owned());
                found.insert(name.unwrap_or_default(), Listed::File(root.to_owned(), meta.len()));
            }
        }
        let mut kept = Wanted { ids: wanted, found: Vec::new() };
        let mut builder = TreeBuilder::new(&mut kept);
        let mut is_tree = sizes.is_none();
        for (name, listed) in found {
            let entry = match listed {
                Listed::Empty => Entry::EmptyDirectory,
                Listed::File(path, size) => {
                    if sizes.is_some_and(|sizes| !sizes.contains(&size)) {
                        continue;
                    }
                    let (blob, size) = hash(&path)?;
                    if wanted.contains(&blob) {
                        self.files.insert(blob, path);
                    }
                    Entry::File { blob, size }
                }
            };
            // A name that no artifact can have: then this is the tree of none.
            is_tree = is_tree
                && LogicalPath::new(&name).is_ok_and(|path| builder.push(&path, &entry).is_ok());
        }
        if is_tree && builder.finish().is_ok() {
            for (id, bytes) in kept.found {
                self.nodes.insert(id, (bytes, root.to_owned()));
            }
        }
        Ok(())
    }

    /// Gives the bytes of a blob, verified at the end, and says where from; `None`
    /// when no source has them. What `sink` got before an error is worth nothing.
    pub(super) fn get(
        &self,
        id: &BlobId,
        start: &mut dyn FnMut(),
        sink: &mut Sink<'_>,
    ) -> Result<Option<String>, Failure> {
        if let Some((bytes, root)) = self.nodes.get(id) {
            start();
            sink(bytes)?;
            return Ok(Some(root.display().to_string()));
        }
        if let Some(path) = self.files.get(id) {
            start();
            if copy(path, id, sink)? {
                return Ok(Some(path.display().to_string()));
            }
        }
        for (name, repository) in &self.repositories {
            if from_repository(&repository.inner, id, None, start, sink)? {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }
}

/// Bytes of a blob from any place of a repository, but for one object.
pub(super) fn from_repository(
    inner: &Inner,
    id: &BlobId,
    but: Option<&ObjectKey>,
    start: &mut dyn FnMut(),
    sink: &mut Sink<'_>,
) -> Result<bool, Failure> {
    let places: Vec<(Scope, _)> = inner.catalog.view(|view| view.locations_anywhere(id))?;
    let mut tried = BTreeSet::new();
    for (_, location) in places {
        if Some(&location.object) == but || !tried.insert((location.object, location.offset)) {
            continue;
        }
        let Ok(extent) = extent(*id, &location) else { continue };
        start();
        let read = match extent.key {
            ObjectKey::Pack(_) => match read_blob(&*inner.store, &extent) {
                Ok(bytes) => sink(&bytes).map(|()| true),
                Err(_) => Ok(false),
            },
            ObjectKey::Whole(_) => {
                match stream_whole(&*inner.store, id, |bytes| sink(bytes).map_err(Stop::Sink)) {
                    Ok(_) => Ok(true),
                    Err(Stop::Sink(failure)) => Err(failure),
                    Err(Stop::Source) => Ok(false),
                }
            }
        };
        if read? {
            return Ok(true);
        }
    }
    Ok(false)
}

enum Stop {
    Source,
    Sink(Failure),
}

impl From<StoreError> for Stop {
    fn from(_: StoreError) -> Self {
        Self::Source
    }
}

enum Listed {
    File(PathBuf, u64),
    Empty,
}

/// Files and empty directories below a directory by their paths in it; links and
/// special files are passed over.
fn list(dir: &Path, prefix: &str, found: &mut BTreeMap<String, Listed>) -> Result<(), Problem> {
    let failed = |error: std::io::Error| io_problem("read", dir, &error);
    let mut is_empty = true;
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        is_empty = false;
        let kind = entry.file_type().map_err(failed)?;
        let name = entry.file_name();
        // No artifact has such a name.
        let Some(name) = name.to_str() else { continue };
        let name = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if kind.is_dir() {
            list(&entry.path(), &name, found)?;
        } else if kind.is_file() {
            let size = entry.metadata().map_err(failed)?.len();
            found.insert(name, Listed::File(entry.path(), size));
        }
    }
    if is_empty && !prefix.is_empty() {
        found.insert(prefix.to_owned(), Listed::Empty);
    }
    Ok(())
}

fn hash(path: &Path) -> Result<(BlobId, u64), Problem> {
    let failed = |error: std::io::Error| io_problem("read", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = BlobHasher::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok((hasher.finish(), hasher.length())),
            got => hasher.update(&buffer[..got]),
        };
    }
}

/// Gives a file's bytes; `false` when they are not (or no longer) those of the blob.
fn copy(path: &Path, id: &BlobId, sink: &mut Sink<'_>) -> Result<bool, Failure> {
    let failed = |error: std::io::Error| Failure(io_problem("read", path, &error));
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = BlobHasher::new();
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok(hasher.finish() == *id),
            got => {
                hasher.update(&buffer[..got]);
                sink(&buffer[..got])?;
            }
        }
    }
}

/// Keeps the wanted nodes of a tree.
struct Wanted<'w> {
    ids: &'w BTreeSet<BlobId>,
    found: Vec<(BlobId, Vec<u8>)>,
}

impl NodeSink for Wanted<'_> {
    type Error = Infallible;

    fn put_node(&mut self, id: NodeId, bytes: Vec<u8>, _: u8) -> Result<(), Infallible> {
        if self.ids.contains(&id.as_blob()) {
            self.found.push((id.as_blob(), bytes));
        }
        Ok(())
    }
}
