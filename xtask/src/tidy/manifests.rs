//! What every crate of the workspace has: lints, a description, a first page.

use std::path::{Path, PathBuf};

use cargo_metadata::TargetKind;

use crate::workspace::{Tree, Workspace};

pub(crate) fn check(workspace: &Workspace, tree: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for package in workspace.members() {
        let Some(manifest) = workspace.relative(&package.manifest_path) else { continue };
        let mut note = |path: &Path, what: String| {
            lines.push(format!("{}: {what}", path.display()));
        };
        let parsed = tree.text(&manifest).map(str::parse::<toml::Table>);
        if !parsed.is_some_and(|parsed| parsed.is_ok_and(|table| takes_lints(&table))) {
            note(&manifest, "lacks `[lints] workspace = true`".into());
        }
        let description = package.description.as_deref().unwrap_or_default();
        if description.len() < 20 {
            note(&manifest, format!("`{description}` is no description"));
        }
        let is_root = |kind: &TargetKind| matches!(kind, TargetKind::Lib | TargetKind::Bin);
        for target in package.targets.iter().filter(|target| target.kind.iter().any(is_root)) {
            let Some(root) = workspace.relative(&target.src_path) else { continue };
            if !tree.text(&root).is_some_and(has_first_page) {
                note(
                    &root,
                    "must begin with `//!`: what it is, why this shape, what it refuses".into(),
                );
            }
        }
    }
    lines.extend(foreign_versions(tree));
    lines
}

fn takes_lints(manifest: &toml::Table) -> bool {
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    lints.and_then(toml::Value::as_bool) == Some(true)
}

/// Whether a crate's root begins with more than a few words about it.
fn has_first_page(root: &str) -> bool {
    let page: usize = root.lines().map_while(|line| line.strip_prefix("//!")).map(str::len).sum();
    page >= 60
}

/// Dependencies of members whose version does not come from the root manifest.
fn foreign_versions(tree: &Tree) -> Vec<String> {
    let members = |path: &&Path| {
        path.ends_with("Cargo.toml") && (path.starts_with("crates") || path.starts_with("xtask"))
            || *path == Path::new("tests/Cargo.toml")
    };
    let manifests: Vec<PathBuf> =
        tree.with_extension("toml").map(|(path, _)| path).filter(members).map(Into::into).collect();
    let mut lines = Vec::new();
    for path in manifests {
        let Some(Ok(table)) = tree.text(&path).map(str::parse::<toml::Table>) else { continue };
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(listed) = table.get(kind).and_then(toml::Value::as_table) else { continue };
            for (name, value) in listed {
                if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                    let path = path.display();
                    lines.push(format!("{path}: {name}: write `{name}.workspace = true`"));
                }
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lints_must_come_from_the_workspace() {
        let takes = |text: &str| takes_lints(&text.parse().unwrap());
        assert!(takes("[lints]\nworkspace = true"));
        assert!(!takes("[lints]\nworkspace = false"));
        assert!(!takes("[lints.rust]\nunsafe_code = \"deny\""));
        assert!(!takes("[package]\nname = \"a\""));
    }

    #[test]
    fn first_page_says_something() {
        assert!(!has_first_page("//! placeholder\nmod a;"));
        assert!(!has_first_page("mod a;\n//! too late"));
        assert!(has_first_page(
            "//! Keeps blobs in one directory.\n//!\n//! It never decides what to keep."
        ));
    }

    #[test]
    fn versions_stand_in_one_place() {
        let tree = Tree::of(&[
            ("crates/a/Cargo.toml", "[dependencies]\nserde.workspace = true\nrand = \"1\""),
            ("tests/downstream/a/Cargo.toml", "[dependencies]\nrand = \"1\""),
        ]);
        let lines = foreign_versions(&tree);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("crates/a/Cargo.toml: rand"), "{lines:?}");
    }
}
