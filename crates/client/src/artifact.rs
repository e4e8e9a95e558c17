//! What is about to be logged.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use heirloom_core::Ttl;
use heirloom_refs::DEFAULT_MAX_OBJECTS;
use heirloom_worktree::Links;

use crate::draft::{Base, IfBaseMoved};

/// An artifact being put together: which files, directories, bytes and
/// references it will hold, and what is said of it.
///
/// The calls only note what is wanted. Files are looked at when the artifact is
/// [logged](crate::Run::log_artifact); then every problem is reported at once:
/// invalid names and paths, missing and unreadable files, two things added at
/// one path.
///
/// ```
/// use heirloom::Artifact;
/// let mut artifact = Artifact::new("mnist", "dataset");
/// artifact
///     .description("Handwritten digits")
///     .add_dir_as("train", "train")
///     .add_bytes("classes.txt", "0123456789");
/// artifact.add_reference("https://example.org/mnist/test.gz").name("test.gz");
/// artifact.remove("train/.cache");
/// ```
#[derive(Debug, Clone)]
pub struct Artifact {
    pub(crate) name: String,
    pub(crate) artifact_type: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Option<serde_json::Value>,
    pub(crate) tags: Vec<String>,
    pub(crate) ttl: Ttl,
    pub(crate) links: Links,
    pub(crate) steps: Vec<Step>,
    /// The version that it starts from; see [`Version::new_draft`](crate::Version::new_draft).
    pub(crate) base: Option<Box<Base>>,
}

/// One call on an [`Artifact`]; a later `remove` affects only what came before.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    File { source: PathBuf, path: Option<String> },
    Dir { source: PathBuf, prefix: Option<String> },
    Bytes { path: String, bytes: Arc<[u8]> },
    Staged { path: String, file: Arc<Mutex<Staged>> },
    Reference(ReferenceStep),
    Remove { path: String },
}

#[derive(Debug, Clone)]
pub(crate) struct ReferenceStep {
    pub(crate) uri: String,
    pub(crate) name: Option<String>,
    pub(crate) checksum: bool,
    pub(crate) max_objects: u64,
}

/// Bytes written through [`NewFile`].
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) data: StagedData,
    pub(crate) size: u64,
    pub(crate) open: bool,
    pub(crate) failed: Option<io::ErrorKind>,
}

#[derive(Debug)]
pub(crate) enum StagedData {
    Memory(Vec<u8>),
    Disk(File),
}

impl Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let StagedData::Memory(held) = &mut self.data {
            if held.len() + bytes.len() <= STAGED_IN_MEMORY {
                held.extend_from_slice(bytes);
                return Ok(bytes.len());
            }
            let mut file = tempfile::tempfile()?;
            file.write_all(held)?;
            self.data = StagedData::Disk(file);
        }
        match &mut self.data {
            StagedData::Disk(file) => file.write(bytes),
            StagedData::Memory(_) => Ok(0),
        }
    }

    /// Calls `each` with all bytes, piece by piece, from the start.
    pub(crate) fn read_all(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        match &mut self.data {
            StagedData::Memory(bytes) => each(bytes),
            StagedData::Disk(file) => {
                file.seek(SeekFrom::Start(0))?;
                let mut buffer = vec![0; 1 << 18];
                loop {
                    match file.read(&mut buffer)? {
                        0 => break,
                        n => each(&buffer[..n]),
                    }
                }
            }
        }
        Ok(())
    }
}

/// Bytes of a [`NewFile`] that stay in memory before they move to a temporary file.
const STAGED_IN_MEMORY: usize = 1 << 20;

impl Artifact {
    /// An artifact that becomes the next version of the collection `name`, whose
    /// type is `artifact_type`: `dataset`, `model`, …
    pub fn new(name: impl Into<String>, artifact_type: impl Into<String>) -> Self {
        let mut artifact = Self::without_type(name);
        artifact.artifact_type = Some(artifact_type.into());
        artifact
    }

    /// As [`Artifact::new`] for a collection that exists and so has a type.
    pub fn without_type(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            artifact_type: None,
            description: None,
            metadata: None,
            tags: Vec::new(),
            ttl: Ttl::Inherit,
            links: Links::Follow,
            steps: Vec::new(),
            base: None,
        }
    }

    /// A draft of the next version, which starts with all that `base` has.
    pub(crate) fn from_base(base: Base) -> Self {
        let mut artifact = Self::without_type(base.doc.name.as_str());
        artifact.base = Some(Box::new(base));
        artifact
    }

    /// Adds one file under its own name: `dir/model.h5` becomes `model.h5`.
    pub fn add_file(&mut self, source: impl AsRef<Path>) -> &mut Self {
        self.push(Step::File { source: source.as_ref().to_owned(), path: None })
    }

    /// Adds one file at a path of the artifact.
    pub fn add_file_as(&mut self, source: impl AsRef<Path>, path: impl Into<String>) -> &mut Self {
        self.push(Step::File { source: source.as_ref().to_owned(), path: Some(path.into()) })
    }

    /// Adds the contents of a directory at the root of the artifact.
    pub fn add_dir(&mut self, source: impl AsRef<Path>) -> &mut Self {
        self.push(Step::Dir { source: source.as_ref().to_owned(), prefix: None })
    }

    /// Adds the contents of a directory below a directory of the artifact.
    pub fn add_dir_as(&mut self, source: impl AsRef<Path>, prefix: impl Into<String>) -> &mut Self {
        self.push(Step::Dir { source: source.as_ref().to_owned(), prefix: Some(prefix.into()) })
    }

    /// Adds an external object, or all objects below a prefix or directory, by
    /// URI. Its bytes stay where they are; what pins its present content is
    /// recorded when the artifact is logged.
    pub fn add_reference(&mut self, uri: impl Into<String>) -> ReferenceSource<'_> {
        self.push(Step::Reference(ReferenceStep {
            uri: uri.into(),
            name: None,
            checksum: true,
            max_objects: DEFAULT_MAX_OBJECTS,
        }));
        match self.steps.last_mut() {
            Some(Step::Reference(step)) => ReferenceSource { step },
            _ => unreachable!("a reference was pushed just now"),
        }
    }

    /// Adds a file with these bytes.
    pub fn add_bytes(&mut self, path: impl Into<String>, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.push(Step::Bytes { path: path.into(), bytes: bytes.as_ref().into() })
    }

    /// Adds a file that is yet to be written: write its bytes into what this
    /// returns, and close that before logging. Up to 1 MiB is kept in memory,
    /// more in a temporary file.
    pub fn new_file(&mut self, path: impl Into<String>) -> NewFile {
        let staged =
            Staged { data: StagedData::Memory(Vec::new()), size: 0, open: true, failed: None };
        let file = Arc::new(Mutex::new(staged));
        self.push(Step::Staged { path: path.into(), file: Arc::clone(&file) });
        NewFile { file }
    }

    /// Takes out what was added before at `path` or below it, and of a
    /// [draft](crate::Version::new_draft) what its base has there. It is an
    /// error, reported when the artifact is logged, if there is nothing.
    pub fn remove(&mut self, path: impl Into<String>) -> &mut Self {
        self.push(Step::Remove { path: path.into() })
    }

    /// Free text about this version.
    pub fn description(&mut self, text: impl Into<String>) -> &mut Self {
        self.description = Some(text.into());
        self
    }

    /// Facts about this version: a JSON object.
    pub fn metadata(&mut self, metadata: serde_json::Value) -> &mut Self {
        self.metadata = Some(metadata);
        self
    }

    /// Labels of this version, added to those given before.
    pub fn tags<T: Into<String>>(&mut self, tags: impl IntoIterator<Item = T>) -> &mut Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// How long this version lives.
    pub fn ttl(&mut self, ttl: Ttl) -> &mut Self {
        self.ttl = ttl;
        self
    }

    /// What is done with symbolic links in added directories. By default those
    /// that stay inside the directory are followed and the others refused.
    pub fn links(&mut self, links: Links) -> &mut Self {
        self.links = links;
        self
    }

    /// What a [draft](crate::Version::new_draft) does when the name by which its
    /// base was found names another version once it is committed. Has no effect
    /// on an artifact that is not a draft.
    pub fn if_base_moved(&mut self, policy: IfBaseMoved) -> &mut Self {
        if let Some(base) = &mut self.base {
            base.if_moved = policy;
        }
        self
    }

    fn push(&mut self, step: Step) -> &mut Self {
        self.steps.push(step);
        self
    }
}

/// Settings of one added reference; see [`Artifact::add_reference`].
#[derive(Debug)]
pub struct ReferenceSource<'a> {
    step: &'a mut ReferenceStep,
}

impl ReferenceSource<'_> {
    /// Path in the artifact; of a prefix or directory, the directory that its
    /// objects go below. By default the last part of the URI's path, or the root.
    pub fn name(self, path: impl Into<String>) -> Self {
        self.step.name = Some(path.into());
        self
    }

    /// Whether the object is looked at and pinned (the default). Without, the
    /// URI alone is recorded, and nobody can tell later whether it changed.
    pub fn checksum(self, checksum: bool) -> Self {
        self.step.checksum = checksum;
        self
    }

    /// Most objects that a prefix or directory may have; more is an error.
    pub fn max_objects(self, limit: u64) -> Self {
        self.step.max_objects = limit;
        self
    }
}

/// A file of an artifact that is being written; see [`Artifact::new_file`].
/// Dropping it ends the file.
#[derive(Debug)]
pub struct NewFile {
    file: Arc<Mutex<Staged>>,
}

impl NewFile {
    /// Ends the file.
    ///
    /// # Errors
    /// The first write that failed.
    pub fn close(self) -> io::Result<()> {
        match lock(&self.file).failed {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut staged = lock(&self.file);
        if let Some(kind) = staged.failed {
            return Err(kind.into());
        }
        match staged.write(bytes) {
            Ok(n) => {
                staged.size += n as u64;
                Ok(n)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    staged.failed = Some(error.kind());
                }
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        lock(&self.file).open = false;
    }
}

pub(crate) fn lock(file: &Mutex<Staged>) -> std::sync::MutexGuard<'_, Staged> {
    // A panic elsewhere leaves at worst a shorter file, whose size is checked.
    file.lock().unwrap_or_else(PoisonError::into_inner)
}
