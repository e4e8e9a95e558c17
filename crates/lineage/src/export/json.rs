//! Node-link JSON.

use std::sync::Arc;

use serde::Serialize;

use super::text::raw_name;
use super::time::rfc3339;
use crate::{Direction, EdgeKind, Infos, NodeKey, NodeState, Subgraph};

/// [`node_link`] as indented JSON text.
#[must_use]
pub fn json(answer: &Subgraph, infos: &Infos) -> String {
    serde_json::to_string_pretty(&node_link(answer, infos))
        .expect("strings, numbers and lists only")
}

/// The answer in the node-link shape that d3, Cytoscape and `networkx.node_link_graph`
/// (with `edges="links"`) read. Nodes and links are in the order of the answer, those
/// for hidden nodes last.
#[must_use]
pub fn node_link<'a>(answer: &'a Subgraph, infos: &'a Infos) -> NodeLink<'a> {
    let nodes = answer.nodes().iter().map(|node| {
        let info = infos.get(node.key);
        let deletion = info.and_then(|info| info.deletion.as_ref());
        JsonNode {
            id: node.key,
            kind: if node.key.is_run() { "run" } else { "version" },
            name: raw_name(node.key, info),
            type_name: info.and_then(|info| info.type_name.as_deref()),
            aliases: info.map_or(&[], |info| &info.aliases),
            state: info.map(|info| info.state),
            deleted_at: deletion.map(|deletion| rfc3339(deletion.at)),
            deleted_by: deletion.map(|deletion| deletion.by.as_str()),
            entity: info.and_then(|info| info.entity.as_deref()),
            project: info.and_then(|info| info.project.as_deref()),
            created_at: info.and_then(|info| info.created_at).map(rfc3339),
            distance: node.distance(),
            upstream: node.upstream(),
            downstream: node.downstream(),
        }
    });
    let direct = answer.edges().map(|edge| JsonLink {
        source: edge.from,
        target: edge.to,
        kind: match edge.kind() {
            EdgeKind::Produced => LinkKind::Produced,
            EdgeKind::Used => LinkKind::Used,
        },
        time: Some(rfc3339(edge.time)),
        asked: edge.asked,
        paths: edge.paths.map(|paths| paths.iter().map(Arc::as_ref).collect()),
    });
    let indirect = answer.indirect().map(|link| JsonLink {
        source: link.from,
        target: link.to,
        kind: LinkKind::Indirect,
        time: None,
        asked: None,
        paths: None,
    });
    NodeLink {
        directed: true,
        multigraph: true,
        graph: JsonGraph {
            start: answer.start(),
            direction: match answer.direction() {
                Direction::Up => "up",
                Direction::Down => "down",
                Direction::Both => "both",
            },
            hidden: answer.hidden(),
            truncated: answer.is_truncated(),
        },
        nodes: nodes.collect(),
        links: direct.chain(indirect).collect(),
    }
}

/// A graph as a list of nodes and a list of links.
#[derive(Clone, Debug, Serialize)]
pub struct NodeLink<'a> {
    directed: bool,
    multigraph: bool,
    graph: JsonGraph,
    /// The nodes.
    pub nodes: Vec<JsonNode<'a>>,
    /// The links between them.
    pub links: Vec<JsonLink<'a>>,
}

#[derive(Clone, Debug, Serialize)]
struct JsonGraph {
    start: NodeKey,
    direction: &'static str,
    hidden: usize,
    truncated: bool,
}

/// A node; what is not known is left out.
#[derive(Clone, Debug, Serialize)]
pub struct JsonNode<'a> {
    /// Its key as text, unique in the document.
    pub id: NodeKey,
    /// `run` or `version`.
    pub kind: &'static str,
    /// What it is called; its key if it has no name.
    pub name: String,
    /// Artifact type or job type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<&'a str>,
    /// Aliases that point at it.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub aliases: &'a [String],
    /// `live` or `deleted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<NodeState>,
    /// When it was deleted, as RFC 3339 text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<String>,
    /// Who deleted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_by: Option<&'a str>,
    /// The owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<&'a str>,
    /// The project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<&'a str>,
    /// When it was made, as RFC 3339 text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// Levels from the start.
    pub distance: u32,
    /// Levels upstream of the start, if it lies there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<u32>,
    /// Levels downstream of the start, if it lies there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub downstream: Option<u32>,
}

/// A link; what is not known is left out.
#[derive(Clone, Debug, Serialize)]
pub struct JsonLink<'a> {
    /// The `id` of the node where the data came from.
    pub source: NodeKey,
    /// The `id` of the node where it went.
    pub target: NodeKey,
    /// What it says.
    pub kind: LinkKind,
    /// When, as RFC 3339 text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The name asked by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<&'a str>,
    /// The paths read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<&'a str>>,
}

/// What a link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// The run at its source produced the version at its target.
    Produced,
    /// The version at its source was used by the run at its target.
    Used,
    /// Only nodes that a filter hid lie between.
    Indirect,
}
