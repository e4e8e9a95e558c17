//! What every verb needs: settings, the printer, the client, the current run.

use std::cell::OnceCell;
use std::future::Future;
use std::path::Path;

use heirloom::{Client, ClientOptions, Project, Run, Version};
use heirloom_api::{RunRef, VersionRef};
use heirloom_core::{ArtifactRef, EntityName, ErrorCode, Selector};

use crate::args::Globals;
use crate::config::{self, Config, Places};
use crate::exit::Failure;
use crate::printer::Printer;

/// What to do about a repository that cannot even be opened.
const CANNOT_OPEN: &str = "what is stored was not touched; put this file back from a backup of the repository, or make the \
     catalog anew from what is stored with `heirloom repair --rebuild-catalog`";

/// One execution of the command. Nothing is opened before it is asked for.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) printer: Printer,
    runtime: OnceCell<tokio::runtime::Runtime>,
    client: OnceCell<Client>,
}

impl App {
    pub(crate) fn new(globals: Globals, printer: Printer) -> Result<Self, Failure> {
        let dir = std::env::current_dir()
            .map_err(|error| Failure::io("find the working directory", Path::new("."), &error))?;
        let config =
            config::load(&globals, |name| std::env::var_os(name), &dir, &Places::of_platform())?;
        Ok(Self { config, printer, runtime: OnceCell::new(), client: OnceCell::new() })
    }

    /// Drives a verb to its end.
    pub(crate) fn block_on<T>(
        &self,
        future: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        if self.runtime.get().is_none() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| {
                Failure::failed(ErrorCode::Io, format!("cannot start the runtime: {error}"))
            })?;
            // Empty, as was just seen.
            let _ = self.runtime.set(runtime);
        }
        self.runtime.get().expect("it was set above").block_on(future)
    }

    /// The repository, opened now if it was not before, and made if need be.
    pub(crate) fn client(&self) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.other(&self.config.home)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// A repository beside the one that is meant, made if need be.
    pub(crate) fn other(&self, home: &Path) -> Result<Client, Failure> {
        let (entity, project) = split_project(&self.config.project);
        let mut options = ClientOptions::from_os(home).cache_dir(self.config.cache.clone());
        if let Some(entity) = entity {
            options = options.entity(entity)?;
        }
        options.project(project)?.netrc(netrc()).open().map_err(|error| {
            unwritable(home, &error).unwrap_or_else(|| {
                Failure::from(error).hint_for(ErrorCode::Corrupt, || CANNOT_OPEN.into())
            })
        })
    }

    /// The project that is meant when none is named.
    pub(crate) fn project(&self) -> Result<Project, Failure> {
        Ok(self.client()?.default_project())
    }

    /// The project that a reference means.
    pub(crate) fn project_of(&self, reference: &ArtifactRef) -> Result<Project, Failure> {
        let client = self.client()?;
        Ok(match (reference.entity(), reference.project()) {
            (Some(entity), Some(project)) => client.project(&format!("{entity}/{project}"))?,
            (None, Some(project)) => client.project(project.as_str())?,
            (_, None) => client.default_project(),
        })
    }

    /// A version by reference, recording nothing.
    pub(crate) async fn version(&self, reference: &ArtifactRef) -> Result<Version, Failure> {
        Ok(self.project()?.artifact(&reference.to_string()).await?)
    }

    /// As [`App::version`], but a deleted version is found by its number too.
    pub(crate) async fn version_or_tombstone(
        &self,
        reference: &ArtifactRef,
    ) -> Result<Version, Failure> {
        let project = self.project_of(reference)?;
        match (self.version(reference).await, reference.selector()) {
            (Err(Failure::Sdk { error, hint }), Selector::Index(index))
                if error.code() == ErrorCode::NotFound =>
            {
                let name = reference.name().as_str();
                match project.tombstone(name, *index).await {
                    Ok(Some(doc)) => Ok(project.version(doc)),
                    _ => Err(Failure::Sdk { error, hint }),
                }
            }
            (found, _) => found,
        }
    }

    /// A version by reference; inside a run also recorded as used by it.
    pub(crate) async fn used_version(
        &self,
        reference: &ArtifactRef,
        run: Option<&str>,
    ) -> Result<Version, Failure> {
        let version = self.version(reference).await?;
        if let Some(run) = self.run(run).await? {
            let client = self.client()?;
            let (run, version) = (run.doc().run.id, version.doc().id);
            client
                .backend()
                .use_version(run, version, reference.to_string())
                .await
                .map_err(heirloom::Error::from)?;
        }
        Ok(version)
    }

    /// The run given, else the one that the environment names, else none.
    pub(crate) async fn run(&self, given: Option<&str>) -> Result<Option<Run>, Failure> {
        let Some(name) = given.or(self.config.run.as_deref()) else { return Ok(None) };
        let client = self.client()?;
        let (project, run) = match name.rsplit_once('/') {
            Some((project, run)) => (client.project(project)?, run),
            None => (client.default_project(), name),
        };
        Ok(Some(project.run(run).await?))
    }

    /// As [`App::run`] where a run is needed.
    pub(crate) async fn needed_run(&self, given: Option<&str>) -> Result<Run, Failure> {
        self.run(given).await?.ok_or_else(|| {
            Failure::usage_hint(
                "this needs a run",
                "name one, set HEIRLOOM_RUN (`export HEIRLOOM_RUN=$(heirloom run start)`), or use \
                 `heirloom run exec -- COMMAND…`",
            )
        })
    }

    /// A version's name as short as the settings allow.
    pub(crate) fn name_of(&self, version: &VersionRef) -> String {
        let place = self.place(version.entity.as_str(), version.project.as_str());
        format!("{place}{}:{}", version.name, version.index)
    }

    /// A run's name as short as the settings allow.
    pub(crate) fn run_name(&self, run: &RunRef) -> String {
        format!("{}{}", self.place(run.entity.as_str(), run.project.as_str()), run.name)
    }

    /// `entity/project/` as far as it is not the default.
    pub(crate) fn place(&self, entity: &str, project: &str) -> String {
        let (own_entity, own_project) = split_project(&self.config.project);
        let local = EntityName::local();
        if entity != own_entity.unwrap_or(local.as_str()) {
            format!("{entity}/{project}/")
        } else if project != own_project {
            format!("{project}/")
        } else {
            String::new()
        }
    }
}

/// A run as `--run` and HEIRLOOM_RUN take it wherever the command runs.
pub(crate) fn run_address(run: &RunRef) -> String {
    match run.entity == EntityName::local() {
        true => format!("{}/{}", run.project, run.name),
        false => format!("{}/{}/{}", run.entity, run.project, run.name),
    }
}

fn split_project(project: &str) -> (Option<&str>, &str) {
    match project.split_once('/') {
        Some((entity, project)) => (Some(entity), project),
        None => (None, project),
    }
}

/// A failure to open the repository whose cause is that its directory cannot be
/// written: the layers below name only the file that they tried first.
fn unwritable(home: &Path, error: &heirloom::Error) -> Option<Failure> {
    if !matches!(error.code(), ErrorCode::Io | ErrorCode::Unavailable) {
        return None;
    }
    let dir = home.ancestors().find(|dir| dir.exists())?;
    let denied = crate::commands::doctor::check_writable(dir).err()?;
    Some(Failure::Sdk {
        error: Box::new(heirloom::Error::from(heirloom_api::Problem::new(
            ErrorCode::Forbidden,
            format!("{error} (`{}`: {denied})", crate::text::path(dir)),
        ))),
        hint: None,
    })
}

/// Credentials for http(s) references, as curl has them.
fn netrc() -> Option<String> {
    let named = std::env::var_os("NETRC").map(std::path::PathBuf::from);
    let file = named.or_else(|| Some(etcetera::home_dir().ok()?.join(".netrc")))?;
    std::fs::read_to_string(file).ok()
}
