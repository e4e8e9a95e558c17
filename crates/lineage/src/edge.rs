//! Edges as callers hand them in, and the compact table they end up in.

use std::sync::Arc;

use serde::Serialize;

use crate::NodeKey;

/// What an edge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeKind {
    /// Run → version: the run made it (or logged the same content again).
    Produced,
    /// Version → run: the run read it.
    Used,
}

impl EdgeKind {
    /// `produced` or `used`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Produced => "produced",
            Self::Used => "used",
        }
    }
}

/// One recorded fact about a run and a version.
///
/// Edges are a set: equal ones count once. The same run may use a version several
/// times, at other times or by other names; those are different edges.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Edge {
    /// Which way it points.
    pub kind: EdgeKind,
    /// The run's id.
    pub run: u64,
    /// The version's id.
    pub version: u64,
    /// When, in microseconds since 1970 UTC.
    pub time: i64,
    /// The name the run asked by, such as `animals:latest`.
    pub asked: Option<Arc<str>>,
    /// The paths that were read, where recorded.
    pub paths: Option<Arc<[Arc<str>]>>,
}

impl Edge {
    /// `run` produced `version`.
    #[must_use]
    pub const fn produced(run: u64, version: u64, time: i64) -> Self {
        Self { kind: EdgeKind::Produced, run, version, time, asked: None, paths: None }
    }

    /// `run` used `version`.
    #[must_use]
    pub const fn used(run: u64, version: u64, time: i64) -> Self {
        Self { kind: EdgeKind::Used, run, version, time, asked: None, paths: None }
    }

    /// The same with the name asked by.
    #[must_use]
    pub fn with_asked(mut self, name: impl Into<Arc<str>>) -> Self {
        self.asked = Some(name.into());
        self
    }

    /// The same with the paths read.
    #[must_use]
    pub fn with_paths<P: Into<Arc<str>>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.paths = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Where the data came from: the run of a *produced* edge, the version of a
    /// *used* one.
    #[must_use]
    pub const fn from(&self) -> NodeKey {
        match self.kind {
            EdgeKind::Produced => NodeKey::Run(self.run),
            EdgeKind::Used => NodeKey::Version(self.version),
        }
    }

    /// Where the data went.
    #[must_use]
    pub const fn to(&self) -> NodeKey {
        match self.kind {
            EdgeKind::Produced => NodeKey::Version(self.version),
            EdgeKind::Used => NodeKey::Run(self.run),
        }
    }
}

/// An edge as a graph or an answer holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EdgeRef<'a> {
    /// Where the data came from.
    pub from: NodeKey,
    /// Where it went.
    pub to: NodeKey,
    /// When, in microseconds since 1970 UTC.
    pub time: i64,
    /// The name asked by.
    pub asked: Option<&'a str>,
    /// The paths read.
    pub paths: Option<&'a [Arc<str>]>,
}

impl EdgeRef<'_> {
    /// What the edge says; follows from which end is the run.
    #[must_use]
    pub const fn kind(&self) -> EdgeKind {
        match self.from {
            NodeKey::Run(_) => EdgeKind::Produced,
            NodeKey::Version(_) => EdgeKind::Used,
        }
    }

    /// An owned copy.
    #[must_use]
    pub fn to_edge(&self) -> Edge {
        let (run, version) = match self.kind() {
            EdgeKind::Produced => (self.from.id(), self.to.id()),
            EdgeKind::Used => (self.to.id(), self.from.id()),
        };
        Edge {
            kind: self.kind(),
            run,
            version,
            time: self.time,
            asked: self.asked.map(Arc::from),
            paths: self.paths.map(Arc::from),
        }
    }
}

/// Attributes of edges by edge number: times are dense; names and paths, which many
/// edges lack and others share, are interned and kept only where given.
#[derive(Debug, Default)]
pub(crate) struct EdgeTable {
    pub(crate) times: Vec<i64>,
    pub(crate) asked: Sparse<Arc<str>>,
    pub(crate) paths: Sparse<Arc<[Arc<str>]>>,
}

impl EdgeTable {
    pub(crate) fn edge(&self, number: u32, from: NodeKey, to: NodeKey) -> EdgeRef<'_> {
        EdgeRef {
            from,
            to,
            time: self.times[number as usize],
            asked: self.asked.get(number).map(AsRef::as_ref),
            paths: self.paths.get(number).map(AsRef::as_ref),
        }
    }
}

/// A column with few values: sorted pairs of edge number and value number.
#[derive(Debug)]
pub(crate) struct Sparse<T> {
    at: Vec<(u32, u32)>,
    values: Vec<T>,
}

impl<T> Sparse<T> {
    pub(crate) fn new(at: Vec<(u32, u32)>, values: Vec<T>) -> Self {
        debug_assert!(at.is_sorted(), "lookups are binary searches");
        Self { at, values }
    }

    fn get(&self, edge: u32) -> Option<&T> {
        let found = self.at.binary_search_by_key(&edge, |&(edge, _)| edge).ok()?;
        Some(&self.values[self.at[found].1 as usize])
    }
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self { at: Vec::new(), values: Vec::new() }
    }
}
