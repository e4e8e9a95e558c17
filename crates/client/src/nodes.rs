//! Manifest nodes read through a [`Downloader`].

use std::collections::HashMap;

use heirloom_api::{Downloader, Problem};
use heirloom_core::ErrorCode;
use heirloom_manifest::{NodeId, NodeSource, ReadError};

/// Nodes asked for in one request when the reader said that it will want them.
const AHEAD: usize = 32;

/// Supplies the nodes of one version's tree, several at a time.
pub(crate) struct Nodes {
    downloader: Box<dyn Downloader>,
    /// What was announced and not asked for yet, in reverse order.
    announced: Vec<NodeId>,
    fetched: HashMap<NodeId, Vec<u8>>,
}

impl Nodes {
    pub(crate) fn new(downloader: Box<dyn Downloader>) -> Self {
        Self { downloader, announced: Vec::new(), fetched: HashMap::new() }
    }

    pub(crate) fn fetch(&mut self, ids: &[NodeId]) -> Result<Vec<Vec<u8>>, Problem> {
        self.downloader.nodes(ids)
    }
}

impl NodeSource for Nodes {
    type Bytes = Vec<u8>;
    type Error = Problem;

    fn node(&mut self, id: &NodeId) -> Result<Vec<u8>, Problem> {
        if let Some(bytes) = self.fetched.remove(id) {
            return Ok(bytes);
        }
        let mut wanted = vec![*id];
        if let Some(at) = self.announced.iter().rposition(|announced| announced == id) {
            // What was announced before this one was skipped.
            self.announced.truncate(at);
            let rest = self.announced.len().saturating_sub(AHEAD - 1);
            wanted.extend(self.announced.drain(rest..).rev());
        }
        let mut found = self.downloader.nodes(&wanted)?.into_iter();
        let first = found.next().ok_or_else(|| short(id))?;
        self.fetched = wanted.into_iter().skip(1).zip(found).collect();
        Ok(first)
    }

    fn prefetch(&mut self, ids: &[NodeId]) {
        // A deep tree announces inner nodes first, then the leaves of each: the
        // newest announcement is the one that is used next.
        self.announced = ids.iter().rev().copied().collect();
    }
}

fn short(id: &NodeId) -> Problem {
    Problem::new(ErrorCode::Corrupt, format!("the backend answered without node {id}"))
}

/// A failed reading of a tree as the problem it is.
pub(crate) fn read_problem(error: ReadError<Problem>) -> Problem {
    match error {
        ReadError::Source(problem) => problem,
        other => Problem::new(ErrorCode::Corrupt, other.to_string()),
    }
}
