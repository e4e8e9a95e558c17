//! Mermaid.

use std::collections::HashMap;

use super::text::Label;
use crate::{Infos, NodeKey, Subgraph};

/// The answer as a Mermaid flowchart, data flowing left to right. Several edges between
/// the same two nodes are one arrow; hidden ways are dotted, deleted nodes dashed.
///
/// Mermaid itself refuses more than some hundreds of arrows unless configured: limit
/// the answer, or use DOT.
#[must_use]
pub fn mermaid(answer: &Subgraph, infos: &Infos) -> String {
    let mut out = String::from("flowchart LR\n");
    let mut ids: HashMap<NodeKey, usize> = HashMap::with_capacity(answer.len());
    let mut any_deleted = false;
    for (id, node) in answer.nodes().iter().enumerate() {
        ids.insert(node.key, id);
        let label = Label::of(node.key, infos);
        let lines: Vec<String> = label.lines().map(escape).collect();
        let (open, close) = if node.key.is_run() { ("([", "])") } else { ("[", "]") };
        let class = if label.deleted { ":::deleted" } else { "" };
        any_deleted |= label.deleted;
        out.push_str(&format!("  n{id}{open}\"{}\"{close}{class}\n", lines.join("<br/>")));
    }
    let mut previous = None;
    for edge in answer.edges() {
        if previous.replace((edge.from, edge.to)) != Some((edge.from, edge.to)) {
            let (from, to) = (ids[&edge.from], ids[&edge.to]);
            out.push_str(&format!("  n{from} -->|{}| n{to}\n", edge.kind().as_str()));
        }
    }
    for link in answer.indirect() {
        out.push_str(&format!("  n{} -.-> n{}\n", ids[&link.from], ids[&link.to]));
    }
    out.push_str("  style n0 stroke-width:3px\n");
    if any_deleted {
        out.push_str("  classDef deleted stroke-dasharray:4,opacity:0.6\n");
    }
    out
}

/// Every ASCII punctuation character as an entity code, which Mermaid decodes after
/// parsing: quotes, brackets, HTML and Markdown mean nothing then. The few that names are
/// full of stay where they stand between letters or digits, which Markdown leaves alone.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let after = chars.peek().copied();
        let inside = [before, after].iter().all(|c| c.is_some_and(|c| c.is_ascii_alphanumeric()));
        let kept = inside && matches!(c, '-' | '_' | '.' | ':' | '/');
        if c.is_ascii_punctuation() && !kept {
            out.push_str(&format!("#{};", u32::from(c)));
        } else {
            out.push(c);
        }
        before = Some(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_letters_digits_and_inner_punctuation_stay() {
        assert_eq!(escape("my-model_2:v3"), "my-model_2:v3");
        assert_eq!(escape("1. a"), "1#46; a");
        assert_eq!(escape("\"]; click n0 x"), "#34;#93;#59; click n0 x");
        assert_eq!(escape("`_x_` <b>#quot;"), "#96;#95;x#95;#96; #60;b#62;#35;quot#59;");
        assert_eq!(escape("猫:v0"), "猫#58;v0");
    }
}
