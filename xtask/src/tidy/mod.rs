//! Rules about files that neither the compiler nor clippy knows.

use crate::workspace::{Tree, Workspace};

pub(crate) mod format;
mod links;
mod manifests;
mod modules;
mod rust;

/// One line per broken rule: `path:line: what`.
pub(crate) fn check(workspace: &Workspace, tree: &Tree) -> anyhow::Result<Vec<String>> {
    let modules = modules::find(tree, &modules::packages(workspace));
    let mut lines = modules.lines();
    lines.extend(rust::check(tree, &modules));
    lines.extend(manifests::check(workspace, tree));
    lines.extend(links::check(tree));
    lines.extend(format::check(tree));
    Ok(lines)
}
