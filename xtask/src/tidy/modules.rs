//! Which file belongs to which target.
//!
//! Cargo compiles what a target's root names, directly or through other modules; a
//! test file that nobody names never runs and never fails. So every Rust file of a
//! package must be reached from one of its targets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cargo_metadata::TargetKind;

use crate::source::Source;
use crate::workspace::{Tree, Workspace};

/// A package's folder and the roots of its targets, relative to the workspace.
pub(crate) struct Package {
    folder: PathBuf,
    /// With `true` for a target that holds tests only.
    roots: Vec<(PathBuf, bool)>,
}

pub(crate) fn packages(workspace: &Workspace) -> Vec<Package> {
    let of = |package: &cargo_metadata::Package| {
        let roots = package.targets.iter().filter_map(|target| {
            let test = target.kind.contains(&TargetKind::Test);
            Some((workspace.relative(&target.src_path)?, test))
        });
        let folder = workspace.relative(package.manifest_path.parent()?)?;
        Some(Package { folder, roots: roots.collect() })
    };
    workspace.members().into_iter().filter_map(of).collect()
}

/// The files that targets reach, parsed; and those that none does.
pub(crate) struct Modules {
    /// With `true` for what is compiled for tests only.
    reached: BTreeMap<PathBuf, bool>,
    orphans: Vec<PathBuf>,
}

impl Modules {
    /// Whether the whole file is code of tests.
    pub(crate) fn is_test(&self, path: &Path) -> bool {
        self.reached.get(path).copied().unwrap_or(false)
    }

    /// One line per file that is never compiled.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |path: &PathBuf| {
            format!("{}: no target names this file: add a `mod` for it", path.display())
        };
        self.orphans.iter().map(line).collect()
    }
}

pub(crate) fn find(tree: &Tree, packages: &[Package]) -> Modules {
    let mut reached = BTreeMap::new();
    for package in packages {
        for (root, test) in &package.roots {
            visit(tree, root, parent(root), *test, &mut reached);
        }
    }
    let orphans = tree.with_extension("rs").map(|(path, _)| path);
    let orphans = orphans.filter(|path| !reached.contains_key(*path));
    // Crates of their own inside a member (downstream, fuzz) are not ours to judge.
    let of_member = |path: &&Path| {
        let home = path.ancestors().skip(1).find(|up| tree.contains(&up.join("Cargo.toml")));
        home.is_some_and(|home| packages.iter().any(|package| package.folder == home))
    };
    let orphans = orphans.filter(of_member).map(Path::to_path_buf).collect();
    Modules { reached, orphans }
}

/// Notes `file` and all modules below it; `folder` is where those live.
fn visit(
    tree: &Tree,
    file: &Path,
    folder: PathBuf,
    test: bool,
    reached: &mut BTreeMap<PathBuf, bool>,
) {
    match reached.get(file) {
        // What two targets share is for tests only if both are.
        Some(before) if !*before || test => return,
        _ => {}
    }
    let Some(text) = tree.text(file) else { return };
    reached.insert(file.to_path_buf(), test);
    for module in Source::parse(text).modules() {
        let test = test || module.test;
        if let Some(name) = module.file {
            let file = parent(file).join(name);
            visit(tree, &file, parent(&file), test, reached);
            continue;
        }
        let inner: PathBuf = module.path.iter().collect();
        let inner = folder.join(inner);
        // Only one of the two may exist, says the compiler.
        visit(tree, &inner.with_extension("rs"), inner.clone(), test, reached);
        visit(tree, &inner.join("mod.rs"), inner, test, reached);
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Vec<Package> {
        vec![
            Package {
                folder: "crates/a".into(),
                roots: vec![
                    ("crates/a/src/lib.rs".into(), false),
                    ("crates/a/tests/x.rs".into(), true),
                ],
            },
            Package { folder: "tests".into(), roots: vec![("tests/it/main.rs".into(), true)] },
        ]
    }

    #[test]
    fn files_are_followed_through_modules() {
        let tree = Tree::of(&[
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", "mod b; mod c; #[cfg(test)] mod proofs;"),
            ("crates/a/src/b.rs", "mod d; mod inline { mod e; }"),
            ("crates/a/src/b/d.rs", ""),
            ("crates/a/src/b/inline/e.rs", ""),
            ("crates/a/src/c/mod.rs", "mod f;"),
            ("crates/a/src/c/f.rs", ""),
            ("crates/a/src/proofs.rs", "mod g;"),
            ("crates/a/src/proofs/g.rs", ""),
            ("crates/a/tests/x.rs", "#[path = \"common/helper.rs\"] mod helper;"),
            ("crates/a/tests/common/helper.rs", ""),
            ("tests/Cargo.toml", ""),
            ("tests/it/main.rs", "mod cli;"),
            ("tests/it/cli/mod.rs", ""),
            ("tests/downstream/z/Cargo.toml", ""),
            ("tests/downstream/z/src/lib.rs", ""),
        ]);
        let modules = find(&tree, &packages());
        assert_eq!(modules.lines(), Vec::<String>::new());
        for test in ["crates/a/src/proofs/g.rs", "crates/a/tests/common/helper.rs"] {
            assert!(modules.is_test(Path::new(test)), "{test}");
        }
        assert!(!modules.is_test(Path::new("crates/a/src/c/f.rs")));
    }

    #[test]
    fn test_file_that_is_not_listed_is_named() {
        let tree = Tree::of(&[
            ("tests/Cargo.toml", ""),
            ("tests/it/main.rs", "mod cli;"),
            ("tests/it/cli.rs", ""),
            ("tests/it/crash.rs", ""),
            ("tests/it/cli/forgotten.rs", ""),
        ]);
        let lines = find(&tree, &packages()).lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("tests/it/cli/forgotten.rs:"), "{lines:?}");
        assert!(lines[1].starts_with("tests/it/crash.rs:"), "{lines:?}");
    }
}
