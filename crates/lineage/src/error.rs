//! What can go wrong.

/// Why a graph could not be built or a walk could not be finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Ids are 63-bit; this one is larger.
    #[error("id {id} does not fit in 63 bits")]
    IdOutOfRange {
        /// The id that was given.
        id: u64,
    },
    /// More edges than the engine's 32-bit indices can count.
    #[error("{count} edges are more than the {max} that one graph holds")]
    TooManyEdges {
        /// How many distinct edges there were.
        count: usize,
        /// How many fit.
        max: usize,
    },
    /// The walk still wants edges: an answer now would silently lack nodes.
    #[error("the walk still waits for the edges of {wanted} nodes")]
    Unfinished {
        /// How many nodes are in the frontier.
        wanted: usize,
    },
}
