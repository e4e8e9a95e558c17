//! Where settings come from: flags, then environment, then the project file,
//! then the user's file, then defaults.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::args::Globals;
use crate::exit::Failure;
use crate::text;

/// Name of the project file, looked for in the working directory and above.
pub(crate) const PROJECT_FILE: &str = ".heirloom.toml";

/// Settings after everything was merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// Directory of the repository.
    pub(crate) home: PathBuf,
    /// Directory of the cache, when there is one.
    pub(crate) cache: Option<PathBuf>,
    /// The project that is meant when none is named: `project` or `entity/project`.
    pub(crate) project: String,
    /// Whether `--project` was on the command line.
    pub(crate) project_flag: bool,
    /// The run on whose behalf the command acts: `name`, `project/name` or
    /// `entity/project/name`.
    pub(crate) run: Option<String>,
    /// Files that were read.
    pub(crate) files: Vec<PathBuf>,
}

/// A settings file; paths in it are relative to the file's directory.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    home: Option<PathBuf>,
    cache: Option<PathBuf>,
    project: Option<String>,
}

/// The system's directories, where known.
#[derive(Debug, Default, Clone)]
pub(crate) struct Places {
    pub(crate) data: Option<PathBuf>,
    pub(crate) cache: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
}

impl Places {
    pub(crate) fn of_platform() -> Self {
        use etcetera::BaseStrategy;
        match etcetera::choose_base_strategy() {
            Ok(base) => Self {
                data: Some(base.data_dir().join("heirloom")),
                cache: Some(base.cache_dir().join("heirloom")),
                config: Some(base.config_dir().join("heirloom").join("config.toml")),
            },
            Err(_) => Self::default(),
        }
    }
}

/// Merges all sources.
pub(crate) fn load(
    globals: &Globals,
    env: impl Fn(&str) -> Option<std::ffi::OsString>,
    dir: &Path,
    places: &Places,
) -> Result<Config, Failure> {
    let mut files = Vec::new();
    let mut read = |path: &Path| -> Result<File, Failure> {
        match read_file(path)? {
            Some(file) => {
                files.push(path.to_owned());
                Ok(file)
            }
            None => Ok(File::default()),
        }
    };
    let project_file =
        dir.ancestors().map(|dir| dir.join(PROJECT_FILE)).find(|path| path.is_file());
    let near = project_file.as_deref().map(&mut read).transpose()?.unwrap_or_default();
    let user = places.config.as_deref().map(&mut read).transpose()?.unwrap_or_default();

    let path_of = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let text_of = |name: &str| match env(name).filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) => value.into_string().map(Some).map_err(|value| {
            Failure::usage(format!("{name} is not UTF-8: {}", text::path(Path::new(&value))))
        }),
    };
    let home =
        globals.home.clone().or_else(|| path_of("HEIRLOOM_HOME")).or(near.home).or(user.home);
    let home = home.or_else(|| places.data.clone()).ok_or_else(|| {
        Failure::usage_hint(
            "there is no home directory to keep the repository in",
            "name one with `--home DIR` or HEIRLOOM_HOME",
        )
    })?;
    let project =
        globals.project.clone().or(text_of("HEIRLOOM_PROJECT")?).or(near.project).or(user.project);
    Ok(Config {
        home: dir.join(home),
        cache: path_of("HEIRLOOM_CACHE")
            .or(near.cache)
            .or(user.cache)
            .or_else(|| places.cache.clone())
            .map(|cache| dir.join(cache)),
        project: project.unwrap_or_else(|| "default".to_owned()),
        project_flag: globals.project.is_some(),
        run: text_of("HEIRLOOM_RUN")?,
        files,
    })
}

fn read_file(path: &Path) -> Result<Option<File>, Failure> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("read", path, &error)),
    };
    let mut file: File = toml::from_str(&text).map_err(|error| {
        Failure::usage_hint(
            format!("`{}`: {}", text::path(path), error.message()),
            "it may have `home`, `cache` and `project`, each a text",
        )
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    for dir in [&mut file.home, &mut file.cache].into_iter().flatten() {
        *dir = base.join(&dir);
    }
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearer_sources_win() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(dir.path().join(PROJECT_FILE), "home = 'store'\nproject = 'near'\n")
            .unwrap();
        let user = dir.path().join("config.toml");
        std::fs::write(&user, "project = 'user'\ncache = '/c'\nhome = '/u'\n").unwrap();
        let places =
            Places { data: Some("/data".into()), cache: Some("/cache".into()), config: Some(user) };
        let mut globals = Globals::default();

        let none = |_: &str| None;
        let config = load(&globals, none, &below, &places).unwrap();
        assert_eq!(config.home, dir.path().join("store"), "relative to the file");
        assert_eq!((config.project.as_str(), config.cache), ("near", Some("/c".into())));
        assert_eq!(config.files.len(), 2);

        let env = |name: &str| match name {
            "HEIRLOOM_PROJECT" => Some("env".into()),
            "HEIRLOOM_HOME" => Some("".into()),
            "HEIRLOOM_RUN" => Some("p/r".into()),
            _ => None,
        };
        let config = load(&globals, env, &below, &places).unwrap();
        assert_eq!(config.project, "env");
        assert_eq!(config.home, dir.path().join("store"), "an empty variable is none");
        assert_eq!(config.run.as_deref(), Some("p/r"));

        globals.project = Some("flag".into());
        globals.home = Some("here".into());
        let config = load(&globals, env, &below, &places).unwrap();
        assert_eq!((config.project.as_str(), config.project_flag), ("flag", true));
        assert_eq!(config.home, below.join("here"));
    }

    #[test]
    fn defaults_and_their_absence() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { data: Some("/data".into()), ..Places::default() };
        let none = |_: &str| None;
        let config = load(&Globals::default(), none, dir.path(), &places).unwrap();
        assert_eq!((config.home, config.cache), ("/data".into(), None));
        assert_eq!(config.project, "default");
        let failure = load(&Globals::default(), none, dir.path(), &Places::default()).unwrap_err();
        assert_eq!(failure.exit_code(), crate::exit::USAGE);
    }

    #[test]
    fn a_misspelt_setting_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(PROJECT_FILE), "hoem = 'x'\n").unwrap();
        let failure =
            load(&Globals::default(), |_: &str| None, dir.path(), &Places::default()).unwrap_err();
        assert_eq!(failure.exit_code(), crate::exit::USAGE);
        assert!(failure.report().unwrap().message.contains("hoem"));
    }
}
