//! What is known about nodes besides their edges.

use std::collections::HashMap;

use serde::Serialize;

use crate::NodeKey;

/// Attributes of one node; all but the name are optional.
///
/// Every text in it is taken as hostile: exports escape it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// What people call it: `animals:v3`, or the name of the run. Empty: it is shown by its
    /// key.
    pub name: String,
    /// The artifact type of a version, the job type of a run.
    pub type_name: Option<String>,
    /// Aliases that point at the version now.
    pub aliases: Vec<String>,
    /// Whether it still exists.
    pub state: NodeState,
    /// When and by whom it was deleted, where known.
    pub deletion: Option<Deletion>,
    /// The owner.
    pub entity: Option<String>,
    /// The project.
    pub project: Option<String>,
    /// When it was made, in microseconds since 1970 UTC.
    pub created_at: Option<i64>,
    /// How a run ended, where known.
    pub outcome: Option<RunOutcome>,
}

impl NodeInfo {
    /// A live node of this name, with nothing else known.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The same with an artifact type or job type.
    #[must_use]
    pub fn with_type(mut self, type_name: impl Into<String>) -> Self {
        self.type_name = Some(type_name.into());
        self
    }

    /// The same with one more alias.
    #[must_use]
    pub fn with_alias(mut self, alias: impl Into<String>) -> Self {
        self.aliases.push(alias.into());
        self
    }

    /// Whether the node carries this alias.
    #[must_use]
    pub fn has_alias(&self, alias: &str) -> bool {
        self.aliases.iter().any(|held| held == alias)
    }

    /// Whether the node is of this artifact type or job type.
    #[must_use]
    pub fn is_type(&self, type_name: &str) -> bool {
        self.type_name.as_deref() == Some(type_name)
    }
}

/// Whether a node still exists. Lineage outlives what it describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It exists.
    #[default]
    Live,
    /// It was deleted; this node is its tombstone.
    Deleted,
}

/// When and by whom a node was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// In microseconds since 1970 UTC.
    pub at: i64,
    /// Who.
    pub by: String,
}

/// How a run ended, or that it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunOutcome {
    /// Still going.
    Running,
    /// Ended well.
    Finished,
    /// Ended with an error.
    Failed,
    /// Stopped from outside.
    Aborted,
}

/// Attributes by node. A node may be missing: it is then shown by its key, and
/// matches no filter by type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Infos {
    by_key: HashMap<NodeKey, NodeInfo>,
}

impl Infos {
    /// Nothing known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what `key` is; returns what was said before.
    pub fn insert(&mut self, key: NodeKey, info: NodeInfo) -> Option<NodeInfo> {
        self.by_key.insert(key, info)
    }

    /// What is known about `key`.
    #[must_use]
    pub fn get(&self, key: NodeKey) -> Option<&NodeInfo> {
        self.by_key.get(&key)
    }

    /// How many nodes are described.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

impl Extend<(NodeKey, NodeInfo)> for Infos {
    fn extend<I: IntoIterator<Item = (NodeKey, NodeInfo)>>(&mut self, infos: I) {
        self.by_key.extend(infos);
    }
}

impl FromIterator<(NodeKey, NodeInfo)> for Infos {
    fn from_iter<I: IntoIterator<Item = (NodeKey, NodeInfo)>>(infos: I) -> Self {
        Self { by_key: infos.into_iter().collect() }
    }
}
