//! The lineage of artifacts: which run made a version, and from what.
//!
//! # What
//!
//! A graph with two kinds of nodes, *runs* and *versions*, and two kinds of
//! edges, both pointing the way the data went: a run *produced* a version
//! (run → version) and a version was *used* by a run (version → run). This crate
//! answers questions about such a graph ([`Graph`]): what lies upstream or
//! downstream, which paths lead from one node to another, what is hit when a
//! version turns out to be wrong ([`Subgraph::impact`]), in which order to redo
//! the work ([`Order`]). It writes answers as a text tree, node-link JSON, DOT,
//! Mermaid or OpenLineage events ([`export`]).
//!
//! # Why this shape
//!
//! - **Edges and attributes are apart.** An edge is two indices, a time and now and
//!   then a name; a million of them load in a fraction of a second. What a node is
//!   *called* ([`Infos`]) is needed for the few that are shown, and may be fetched
//!   after the answer is known.
//! - **Two compressed rows**, one per direction, in petgraph's `Csr`: reading the
//!   neighbours of a node is one slice, whichever way one walks.
//! - **A walk that asks.** A caller whose edges live in a database need not load
//!   them all: [`Walk`] names the nodes whose edges it wants next, takes them in
//!   batches, and yields exactly what a query over the whole graph yields.
//! - **Filters hide, they do not block.** See [`Options`].
//! - Every answer is in one defined order, whatever order the edges came in.
//!
//! A *level* is one edge: from a version to the run that made it is one level, to
//! what that run used is two. Depths and distances count levels everywhere.
//!
//! # What it refuses to do
//!
//! No I/O, no clock, no threads, no storage: it cannot tell whether a node exists,
//! may be seen, or was deleted, unless told. It never recurses, so neither cycles
//! nor very long chains overflow the stack. It never cuts an answer without saying so
//! ([`Subgraph::is_truncated`], [`Paths::is_complete`]), and a walk that is not at
//! its end refuses to answer ([`Error::Unfinished`]).
//!
//! # Example
//!
//! ```
//! use heirloom_lineage::{Edge, Graph, NodeInfo, NodeKey, Options, export};
//!
//! # fn main() -> Result<(), heirloom_lineage::Error> {
//! let (prepare, train) = (1, 2);
//! let (raw, animals, model) = (10, 11, 12);
//! let mut graph = Graph::from_edges([
//!     Edge::used(prepare, raw, 1_000_000),
//!     Edge::produced(prepare, animals, 2_000_000),
//!     Edge::used(train, animals, 3_000_000).with_asked("animals:latest"),
//!     Edge::produced(train, model, 4_000_000),
//! ])?;
//! for (key, name, kind) in [
//!     (NodeKey::Run(prepare), "prepare-1", "prepare"),
//!     (NodeKey::Run(train), "train-1", "train"),
//!     (NodeKey::Version(raw), "raw:v0", "dataset"),
//!     (NodeKey::Version(animals), "animals:v0", "dataset"),
//!     (NodeKey::Version(model), "churn:v0", "model"),
//! ] {
//!     graph.infos_mut().insert(key, NodeInfo::new(name).with_type(kind));
//! }
//!
//! let upstream = graph.query(NodeKey::Version(model), &Options::up());
//! assert_eq!(upstream.len(), 5);
//! assert_eq!(
//!     export::tree(&upstream, graph.infos()),
//!     "\
//! churn:v0 (model)
//! └── produced by train-1 (train)
//!     └── used animals:v0 (dataset), as animals:latest
//!         └── produced by prepare-1 (prepare)
//!             └── used raw:v0 (dataset)
//! "
//! );
//! # Ok(())
//! # }
//! ```

mod edge;
mod error;
pub mod export;
mod graph;
mod info;
mod key;
mod links;
mod order;
mod paths;
mod query;
mod subgraph;
mod walk;

pub use edge::{Edge, EdgeKind, EdgeRef};
pub use error::Error;
pub use graph::{Graph, GraphBuilder};
pub use info::{Deletion, Infos, NodeInfo, NodeState, RunOutcome};
pub use key::{NodeKey, ParseNodeKeyError};
pub use order::Order;
pub use paths::{Path, PathLimits, Paths};
pub use query::{Direction, Options};
pub use subgraph::{Impact, Indirect, Node, Subgraph};
pub use walk::{MAX_WALK_LEVELS, MAX_WALK_NODES, Walk};
