//! What a client is opened with. [`ClientOptions::from_os`] is the one place of
//! the SDK that asks the operating system who and where we are; everything else
//! takes what it is given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use heirloom_core::{EntityName, ProjectName, Provenance, Timestamp};

#[cfg(feature = "embedded")]
use crate::Client;
use crate::git::GitState;
use crate::{Error, Result};

/// Tells the present time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Gives 128 unpredictable bits.
pub type Random = Arc<dyn Fn() -> u128 + Send + Sync>;

/// How to open a repository: where, on whose behalf, and what is recorded of
/// the machine and the command.
///
/// ```
/// # #[cfg(feature = "embedded")]
/// # fn main() -> Result<(), heirloom::Error> {
/// # let dir = tempfile::tempdir().expect("a temporary directory");
/// use heirloom::ClientOptions;
/// let client = ClientOptions::from_os(dir.path().join("home"))
///     .project("vision")?
///     .actor("ada")
///     .open()?;
/// assert_eq!(client.default_project().name().as_str(), "vision");
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "embedded"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct ClientOptions {
    pub(crate) home: PathBuf,
    pub(crate) cache_dir: Option<PathBuf>,
    pub(crate) entity: EntityName,
    pub(crate) project: ProjectName,
    pub(crate) actor: String,
    pub(crate) provenance: Provenance,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) netrc: Option<String>,
    pub(crate) threads: usize,
}

impl std::fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions")
            .field("home", &self.home)
            .field("cache_dir", &self.cache_dir)
            .field("entity", &self.entity)
            .field("project", &self.project)
            .field("actor", &self.actor)
            .field("provenance", &self.provenance)
            .finish_non_exhaustive()
    }
}

impl ClientOptions {
    /// Options that ask the operating system nothing: the entity is `local`, the
    /// project `default`, there is no cache directory (so unchanged files are
    /// read again), and nothing is recorded of machine, command and git.
    pub fn new(
        home: impl AsRef<Path>,
        actor: impl Into<String>,
        clock: Clock,
        random: Random,
    ) -> Self {
        Self {
            home: home.as_ref().to_owned(),
            cache_dir: None,
            entity: EntityName::local(),
            project: ProjectName::default_name(),
            actor: actor.into(),
            provenance: Provenance::default(),
            clock,
            random,
            netrc: None,
            threads: 0,
        }
    }

    /// Options of this process: the user's and the machine's name, the system's
    /// clock and randomness, the command line, the git commit of the working
    /// directory, and the user's cache directory.
    pub fn from_os(home: impl AsRef<Path>) -> Self {
        let mut options = Self::new(home, user_name(), system_clock(), system_random());
        options.cache_dir = default_cache_dir();
        options.provenance.host = host_name();
        options.provenance.command =
            std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
        match std::env::current_dir() {
            Ok(dir) => options.working_directory(dir),
            Err(_) => options,
        }
    }

    /// Where the stat caches are kept: what files hashed to, so that unchanged
    /// ones are not read again. May be deleted at any time. `None` keeps none.
    #[must_use]
    pub fn cache_dir(mut self, dir: Option<PathBuf>) -> Self {
        self.cache_dir = dir;
        self
    }

    /// The owner of projects that are named without one.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that breaks a rule.
    pub fn entity(mut self, entity: &str) -> Result<Self> {
        self.entity = EntityName::new(entity)?;
        Ok(self)
    }

    /// The project that is meant when none is named.
    ///
    /// # Errors
    /// [`Error::Usage`] for a name that breaks a rule.
    pub fn project(mut self, project: &str) -> Result<Self> {
        self.project = ProjectName::new(project)?;
        Ok(self)
    }

    /// Who is recorded as having done things.
    #[must_use]
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }

    /// The machine's name, as recorded.
    #[must_use]
    pub fn host(mut self, host: Option<String>) -> Self {
        self.provenance.host = host;
        self
    }

    /// The command line, as recorded.
    #[must_use]
    pub fn command(mut self, command: Vec<String>) -> Self {
        self.provenance.command = command;
        self
    }

    /// Reads commit and remote of the git repository around `dir`, if there is
    /// one, to be recorded.
    #[must_use]
    pub fn working_directory(mut self, dir: impl AsRef<Path>) -> Self {
        let git = GitState::of(dir.as_ref()).unwrap_or_default();
        self.provenance.git_commit = git.commit;
        self.provenance.git_remote = git.remote;
        self.provenance.git_dirty = None;
        self
    }

    /// Text of a `.netrc` file: credentials for http(s) references, by host.
    #[must_use]
    pub fn netrc(mut self, text: Option<String>) -> Self {
        self.netrc = text;
        self
    }

    /// Threads that read files; 0, the default, means one per processor, at
    /// most 8.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Opens the repository, or makes one when the directory holds none.
    ///
    /// # Errors
    /// A directory that cannot be written or holds something else; a repository
    /// of a newer format.
    #[cfg(feature = "embedded")]
    pub fn open(self) -> Result<Client> {
        Client::open_embedded(self)
    }

    pub(crate) fn reader_threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(2, usize::from).min(8),
            n => n.min(64),
        }
    }
}

/// The system's clock.
fn system_clock() -> Clock {
    Arc::new(|| {
        let micros = match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp::from_micros(micros)
    })
}

/// The system's random generator.
fn system_random() -> Random {
    Arc::new(|| {
        let half =
            || u128::from(getrandom::u64().expect("the operating system supplies random bytes"));
        half() << 64 | half()
    })
}

fn user_name() -> String {
    ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .or_else(account_name)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The name of the account that runs this process: what daemons, containers and
/// cron start has no `USER`.
#[cfg(unix)]
fn account_name() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    // A process owns its own entry.
    let uid = std::fs::metadata("/proc/self").ok()?.uid();
    account_of(&String::from_utf8_lossy(&std::fs::read("/etc/passwd").ok()?), uid)
}

#[cfg(not(unix))]
fn account_name() -> Option<String> {
    None
}

/// The name of a uid in the text of `/etc/passwd`.
#[cfg(unix)]
fn account_of(accounts: &str, uid: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

fn host_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

fn default_cache_dir() -> Option<PathBuf> {
    use etcetera::BaseStrategy;
    Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("heirloom"))
}

/// Error for what needs a directory of its own.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| Error::io("create", path, error))
}

#[cfg(all(test, unix))]
mod tests {
    use super::account_of;

    #[test]
    fn accounts_are_found_by_their_number() {
        let accounts = "# comment\n\nroot:x:0:0:root:/root:/bin/sh\nbroken\nada:x:1815:1815::/:\n";
        assert_eq!(account_of(accounts, 0).as_deref(), Some("root"));
        assert_eq!(account_of(accounts, 1815).as_deref(), Some("ada"));
        assert_eq!(account_of(accounts, 7), None);
    }
}
