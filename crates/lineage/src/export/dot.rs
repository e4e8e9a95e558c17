//! Graphviz.

use super::text::Label;
use crate::{Infos, NodeKey, Subgraph};

/// The answer as a Graphviz digraph, data flowing left to right. Several edges between
/// the same two nodes are one arrow; hidden ways are dashed, deleted nodes grey.
#[must_use]
pub fn dot(answer: &Subgraph, infos: &Infos) -> String {
    let mut out =
        String::from("digraph lineage {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n");
    for node in answer.nodes() {
        let label = Label::of(node.key, infos);
        let lines: Vec<String> = label.lines().map(escape).collect();
        let shape = if node.key.is_run() { "shape=box, style=rounded" } else { "shape=box" };
        let start = if node.key == answer.start() { ", penwidth=2" } else { "" };
        let deleted = if label.deleted { ", color=gray, fontcolor=gray" } else { "" };
        out.push_str(&format!(
            "  {} [label=\"{}\", {shape}{start}{deleted}];\n",
            id(node.key),
            lines.join("\\n")
        ));
    }
    let mut previous = None;
    for edge in answer.edges() {
        if previous.replace((edge.from, edge.to)) != Some((edge.from, edge.to)) {
            out.push_str(&format!(
                "  {} -> {} [label=\"{}\"];\n",
                id(edge.from),
                id(edge.to),
                edge.kind().as_str()
            ));
        }
    }
    for link in answer.indirect() {
        out.push_str(&format!("  {} -> {} [style=dashed];\n", id(link.from), id(link.to)));
    }
    out.push_str("}\n");
    out
}

fn id(key: NodeKey) -> String {
    format!("\"{key}\"")
}

/// For the inside of a quoted label: quotes end it, backslashes begin escapes there, and
/// `&` begins an HTML entity.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_cannot_end_a_label() {
        assert_eq!(escape(r#"a"]; b [label="\"#), r#"a\"]; b [label=\"\\"#);
        assert_eq!(escape("<b>&quot;</b>"), "<b>&amp;quot;</b>");
    }
}
