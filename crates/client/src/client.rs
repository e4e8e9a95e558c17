//! The way into one repository.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use heirloom_api::{Backend, Found, ProjectDoc, ProjectRef, UsageBy, UsageReport, VerifyReport};
use heirloom_core::{EntityName, IdempotencyKey, ProjectName};
use heirloom_manifest::{BlobHasher, BlobId};
use heirloom_refs::Registry;

use crate::environment::ClientOptions;
use crate::logged::Tickets;
use crate::{Error, Project, Result, RunBuilder, Version};

/// A way into one repository, on behalf of one user. Cheap to clone; clones
/// share everything.
///
/// The calls are asynchronous and want a tokio runtime with its blocking
/// threads; [`crate::blocking`] has the same calls without.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) options: ClientOptions,
    /// Made when first needed: setting up TLS takes longer than most calls.
    registry: Mutex<Option<Arc<Registry>>>,
    pub(crate) tickets: Tickets,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

/// Where a file's content comes from, as far as this repository knows.
#[derive(Debug, Clone, PartialEq)]
pub struct WhenceAnswer {
    /// Hash of the file.
    pub blob: BlobId,
    /// Its length in bytes.
    pub size: u64,
    /// Every readable version that holds this content.
    pub found: Vec<Found>,
}

impl Client {
    /// Opens the repository in the directory `home`, or makes one there, with
    /// [`ClientOptions::from_os`].
    ///
    /// # Errors
    /// As [`ClientOptions::open`].
    #[cfg(feature = "embedded")]
    pub fn embedded(home: impl AsRef<Path>) -> Result<Self> {
        ClientOptions::from_os(home).open()
    }

    /// A client of any [`Backend`]. `options.home` is not used.
    pub fn with_backend(backend: Arc<dyn Backend>, options: ClientOptions) -> Self {
        let tickets = Tickets::default();
        let registry = Mutex::default();
        Self { inner: Arc::new(Inner { backend, options, registry, tickets }) }
    }

    #[cfg(feature = "embedded")]
    pub(crate) fn open_embedded(options: ClientOptions) -> Result<Self> {
        let backend = crate::embedded::open(&options)?;
        Ok(Self::with_backend(backend, options))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// The handlers of external references.
    ///
    /// # Errors
    /// [`Error::Reference`] when they cannot be set up.
    pub fn references(&self) -> Result<Arc<Registry>> {
        let mut registry = self.inner.registry.lock().unwrap_or_else(PoisonError::into_inner);
        match &*registry {
            Some(registry) => Ok(Arc::clone(registry)),
            None => {
                let made = Arc::new(crate::references::registry(&self.inner.options)?);
                *registry = Some(Arc::clone(&made));
                Ok(made)
            }
        }
    }

    /// The transport, for what this SDK does not wrap.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.inner.backend
    }

    /// What the client was opened with.
    pub fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    /// The project that is meant when none is named.
    pub fn default_project(&self) -> Project {
        let options = &self.inner.options;
        self.project_named(options.entity.clone(), options.project.clone())
    }

    /// A project by name, `project` or `entity/project`. It is made when
    /// something is first put into it.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that breaks a rule.
    pub fn project(&self, name: &str) -> Result<Project> {
        let (entity, project) = match name.split_once('/') {
            Some((entity, project)) => (EntityName::new(entity)?, project),
            None => (self.inner.options.entity.clone(), name),
        };
        Ok(self.project_named(entity, ProjectName::new(project)?))
    }

    pub(crate) fn project_named(&self, entity: EntityName, project: ProjectName) -> Project {
        Project::new(self.clone(), ProjectRef { entity, project })
    }

    /// Prepares a run in a project; [`RunBuilder::start`] starts it.
    pub fn run(&self, project: &str) -> RunBuilder {
        RunBuilder::new(self.clone(), project)
    }

    /// All projects that one may see.
    ///
    /// # Errors
    /// A failed backend.
    pub async fn projects(&self) -> Result<Vec<ProjectDoc>> {
        Ok(self.inner.backend.projects().await?)
    }

    /// A version by reference, `[[entity/]project/]name[:alias or :vN]`, seen
    /// from the default project. Records nothing; in a run,
    /// [`Run::use_artifact`](crate::Run::use_artifact) does.
    ///
    /// # Errors
    /// `not_found` with the nearest names.
    pub async fn artifact(&self, reference: &str) -> Result<Version> {
        self.default_project().artifact(reference).await
    }

    /// Hashes a file, wherever it is, and asks which versions hold its content.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub async fn whence(&self, file: impl AsRef<Path>) -> Result<WhenceAnswer> {
        let path = file.as_ref().to_owned();
        let (blob, size) = blocking_task(move || hash_file(&path)).await?;
        let found = self.inner.backend.whence(blob, size).await?;
        Ok(WhenceAnswer { blob, size, found })
    }

    /// Bytes by project, collection or version; of one project (`Some`) or all.
    ///
    /// # Errors
    /// A failed backend.
    pub async fn usage(&self, by: UsageBy, only: Option<&Project>) -> Result<UsageReport> {
        let only = only.map(|project| {
            let named = project.reference();
            (named.entity.clone(), named.project.clone())
        });
        Ok(self.inner.backend.usage(by, only).await?)
    }

    /// Reads and hashes everything that is reachable, and names what is damaged.
    ///
    /// # Errors
    /// A failed backend; damage is no error but in the report.
    pub async fn verify(&self) -> Result<VerifyReport> {
        Ok(self.inner.backend.verify(None).await?)
    }

    /// Frees what nothing needs any more, or tells what that would be.
    ///
    /// # Errors
    /// `forbidden` unless one administers every project; `corrupt` when it cannot be
    /// told what is needed, in which case what might be is kept.
    pub async fn gc(&self, request: heirloom_api::GcRequest) -> Result<heirloom_api::GcReport> {
        Ok(self.inner.backend.gc(request).await?)
    }

    pub(crate) fn new_key(&self) -> IdempotencyKey {
        IdempotencyKey::from_random((self.inner.options.random)())
    }
}

fn hash_file(path: &PathBuf) -> Result<(BlobId, u64)> {
    use std::io::Read;
    let failed = |error| Error::io("read", path, error);
    let mut file = std::fs::File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::usage(format!("{} is not a file", heirloom_worktree::escaped(path))));
    }
    let mut hasher = BlobHasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finish(), hasher.length())),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Runs blocking work beside the runtime; a panic goes on in the caller.
pub(crate) async fn blocking_task<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::usage("the runtime was shut down")),
        },
    }
}
