//! A tree for terminals.

use std::collections::VecDeque;

use petgraph::visit::{VisitMap, Visitable};

use super::text::{Label, visible};
use crate::links::{Bits, neighbours};
use crate::{Direction, Infos, NodeKey, Subgraph};

/// The start is the first node of an answer.
const START: u32 = 0;

/// Deeper lines would consist of indentation: a chain of n nodes would take n² bytes.
const MAX_INDENT: usize = 40;

/// The answer as a tree of box-drawing characters, start at the root, one line per
/// link; each line ends in a newline.
///
/// A node's own links are printed once; where the node comes up again, the line ends in
/// `(see above)`. That is also how cycles end. Siblings are ordered by the time of their
/// first edge, then by key. A branch deeper than forty lines of ancestors is `(continued
/// below)` as a tree of its own. An answer in both directions has a part for
/// each.
#[must_use]
pub fn tree(answer: &Subgraph, infos: &Infos) -> String {
    let mut out = describe(answer.start(), infos);
    out.push('\n');
    match answer.direction() {
        Direction::Up => Printer::new(answer, infos, true).print(&mut out),
        Direction::Down => Printer::new(answer, infos, false).print(&mut out),
        Direction::Both => {
            for (heading, upward) in [("upstream", true), ("downstream", false)] {
                let mut part = String::new();
                Printer::new(answer, infos, upward).print(&mut part);
                if !part.is_empty() {
                    out.push_str(heading);
                    out.push_str(":\n");
                    out.push_str(&part);
                }
            }
        }
    }
    if answer.hidden() > 0 {
        out.push_str(&format!("({} hidden by type)\n", answer.hidden()));
    }
    if answer.is_truncated() {
        out.push_str(&format!("(cut after {} nodes; there are more)\n", answer.len()));
    }
    out
}

/// Prints one direction.
struct Printer<'a> {
    answer: &'a Subgraph,
    infos: &'a Infos,
    upward: bool,
    printed: Bits,
}

/// A node whose children are being printed.
struct Frame {
    children: std::vec::IntoIter<Child>,
    /// How long the indentation of its children is.
    indent: usize,
}

/// A line to print: a link and the node at its far end.
struct Child {
    time: i64,
    key: NodeKey,
    at: u32,
    link: u32,
}

impl<'a> Printer<'a> {
    fn new(answer: &'a Subgraph, infos: &'a Infos, upward: bool) -> Self {
        let printed = answer.links().visit_map();
        Self { answer, infos, upward, printed }
    }

    fn print(&mut self, out: &mut String) {
        self.printed.visit(START);
        let mut postponed = VecDeque::new();
        self.print_below(START, out, &mut postponed);
        while let Some(root) = postponed.pop_front() {
            out.push_str(&format!("{} (continued)\n", describe(self.answer.key(root), self.infos)));
            self.print_below(root, out, &mut postponed);
        }
    }

    fn print_below(&mut self, root: u32, out: &mut String, postponed: &mut VecDeque<u32>) {
        let mut prefix = String::new();
        let mut stack = vec![Frame { children: self.children(root), indent: 0 }];
        while let Some(frame) = stack.last_mut() {
            let Some(child) = frame.children.next() else {
                stack.pop();
                continue;
            };
            let last = frame.children.len() == 0;
            prefix.truncate(frame.indent);
            out.push_str(&prefix);
            out.push_str(if last { "└── " } else { "├── " });
            out.push_str(self.relation(&child));
            out.push(' ');
            out.push_str(&describe(child.key, self.infos));
            out.push_str(&self.asked(&child));
            if !self.printed.visit(child.at) {
                out.push_str(" (see above)\n");
                continue;
            }
            let children = self.children(child.at);
            if stack.len() >= MAX_INDENT && children.len() > 0 {
                out.push_str(" (continued below)\n");
                postponed.push_back(child.at);
                continue;
            }
            out.push('\n');
            prefix.push_str(if last { "    " } else { "│   " });
            stack.push(Frame { children, indent: prefix.len() });
        }
    }

    fn children(&self, at: u32) -> std::vec::IntoIter<Child> {
        let links = self.answer.links();
        let rows = if self.upward { links.up() } else { links.down() };
        let mut children: Vec<Child> = neighbours(rows, at)
            .filter(|&(at, _)| self.answer.was_found(at, self.upward))
            .map(|(at, link)| Child {
                // Hidden ways come last: they have no time.
                time: self.answer.link_edges(link).next().map_or(i64::MAX, |edge| edge.time),
                key: self.answer.key(at),
                at,
                link,
            })
            .collect();
        children.sort_unstable_by_key(|child| (child.time, child.key));
        children.into_iter()
    }

    fn relation(&self, child: &Child) -> &'static str {
        let direct = self.answer.link_edges(child.link).next().is_some();
        match (direct, self.upward, child.key) {
            (true, true, NodeKey::Run(_)) => "produced by",
            (true, true, NodeKey::Version(_)) => "used",
            (true, false, NodeKey::Run(_)) => "used by",
            (true, false, NodeKey::Version(_)) => "produced",
            (false, true, _) => "indirectly from",
            (false, false, _) => "indirectly to",
        }
    }

    /// The names that a version was asked by, where they differ from its own.
    fn asked(&self, child: &Child) -> String {
        let Some(first) = self.answer.link_edges(child.link).next() else { return String::new() };
        let version = if first.from.is_version() { first.from } else { first.to };
        let own = self.infos.get(version).map(|info| info.name.as_str());
        let asked = self.answer.link_edges(child.link).filter_map(|edge| edge.asked);
        let mut names: Vec<&str> = asked.filter(|name| Some(*name) != own).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() {
            return String::new();
        }
        format!(", as {}", names.into_iter().map(visible).collect::<Vec<_>>().join(", "))
    }
}

/// `animals:v3 (dataset) [latest, prod]`.
fn describe(key: NodeKey, infos: &Infos) -> String {
    let label = Label::of(key, infos);
    let mut out = label.name;
    if !label.kind.is_empty() {
        out.push_str(&format!(" ({})", label.kind));
    }
    if !label.aliases.is_empty() {
        out.push_str(&format!(" [{}]", label.aliases));
    }
    out
}
