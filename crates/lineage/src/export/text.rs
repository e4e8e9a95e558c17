//! Names made visible.

use crate::{Infos, NodeInfo, NodeKey, NodeState};

/// What a node is called, as given; its key if it has no name.
pub(crate) fn raw_name(key: NodeKey, info: Option<&NodeInfo>) -> String {
    match info {
        Some(info) if !info.name.is_empty() => info.name.clone(),
        _ => key.to_string(),
    }
}

/// What a node is called and is, each part visible: name, then type and state, then
/// aliases.
pub(crate) struct Label {
    pub(crate) name: String,
    /// `dataset`, `dataset, deleted`, `deleted by ann` or nothing.
    pub(crate) kind: String,
    /// Comma-separated.
    pub(crate) aliases: String,
    pub(crate) deleted: bool,
}

impl Label {
    pub(crate) fn of(key: NodeKey, infos: &Infos) -> Self {
        let info = infos.get(key);
        let deleted = info.is_some_and(|info| info.state == NodeState::Deleted);
        let mut kind =
            info.and_then(|info| info.type_name.as_deref()).map(visible).unwrap_or_default();
        if deleted {
            kind.push_str(if kind.is_empty() { "deleted" } else { ", deleted" });
            if let Some(deletion) = info.and_then(|info| info.deletion.as_ref()) {
                kind.push_str(&format!(" by {}", visible(&deletion.by)));
            }
        }
        let aliases: Vec<String> = info.map_or_else(Vec::new, |info| {
            info.aliases.iter().map(|alias| visible(alias)).collect()
        });
        Self { name: visible(&raw_name(key, info)), kind, aliases: aliases.join(", "), deleted }
    }

    /// The parts that there are.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        [&self.name, &self.kind, &self.aliases]
            .into_iter()
            .map(String::as_str)
            .filter(|line| !line.is_empty())
    }
}

/// `text` on one line, with nothing that moves a cursor, reorders text or cannot be
/// seen.
pub(crate) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_deceptive(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Line and paragraph separators, direction marks and overrides, zero-width space, byte
/// order mark. (Joiners stay: some scripts and emoji need them.)
fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes_the_line() {
        assert_eq!(visible("a\nb\u{1b}[31m\u{202e}c\\d\u{0}"), r"a\nb\u{1b}[31m\u{202e}c\\d\u{0}");
        assert_eq!(visible("Straße 猫 👨\u{200d}👩"), "Straße 猫 👨\u{200d}👩");
    }
}
