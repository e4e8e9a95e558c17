//! Runs, and what is recorded of an execution.

use std::fmt;
use std::str::FromStr;

use crate::name::NameError;

/// State of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Started and not ended.
    Running,
    /// Ended with exit code 0.
    Finished,
    /// Ended with another exit code.
    Failed,
    /// Ended without saying so.
    Crashed,
}

impl RunState {
    /// The word used in text, JSON and the catalog.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RunState {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        [Self::Running, Self::Finished, Self::Failed, Self::Crashed]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| NameError {
                what: "run state",
                text: text.to_owned(),
                reason: "is not one of running, finished, failed, crashed",
            })
    }
}

/// Where and by what something was made: recorded of every run, and of versions
/// logged without one. Each part is told by the client and may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Name of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Command line, arguments as given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Commit that the working directory was at, 40 or 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// URL of the git remote, without credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_remote: Option<String>,
    /// Whether the working tree differed from the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_dirty: Option<bool>,
}
