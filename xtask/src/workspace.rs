//! The workspace as Cargo and the file tree show it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

use crate::shell::Shell;

/// The loaded workspace, with every feature on: optional dependencies obey the
/// same rules as the others.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    metadata: Metadata,
}

impl Workspace {
    pub(crate) fn load() -> anyhow::Result<Self> {
        // Found at run time, so that a moved checkout needs no rebuild.
        let metadata = MetadataCommand::new()
            .features(cargo_metadata::CargoOpt::AllFeatures)
            .exec()
            .context("cannot load the workspace")?;
        Ok(Self {
            root: metadata.workspace_root.clone().into(),
            target: metadata.target_directory.clone().into(),
            metadata,
        })
    }

    /// The workspace's own packages, by name.
    pub(crate) fn members(&self) -> Vec<&Package> {
        let mut members = self.metadata.workspace_packages();
        members.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
        members
    }

    /// Every package of the lock file, ours included.
    pub(crate) fn packages(&self) -> &[Package] {
        &self.metadata.packages
    }

    /// `path` relative to the root, if it lies below it.
    pub(crate) fn relative(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        path.as_ref().strip_prefix(&self.root).ok().map(Path::to_path_buf)
    }

    /// Names of all packages that `of` needs to build, not counting what only its
    /// tests need.
    pub(crate) fn reaches(&self, of: &PackageId) -> BTreeSet<String> {
        let Some(resolve) = &self.metadata.resolve else { return BTreeSet::new() };
        let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
        let mut seen = BTreeSet::new();
        let mut queue = vec![of];
        while let Some(id) = queue.pop() {
            for dep in nodes.get(id).into_iter().flat_map(|node| &node.deps) {
                let only_dev = dep.dep_kinds.iter().all(|k| k.kind == DependencyKind::Development);
                if !only_dev && seen.insert(&dep.pkg) {
                    queue.push(&dep.pkg);
                }
            }
        }
        seen.into_iter().map(|id| self.metadata[id].name.to_string()).collect()
    }

    /// The text files of the checkout: tracked, or new and not ignored.
    pub(crate) fn tree(&self) -> anyhow::Result<Tree> {
        let list = Shell::new("git", &self.root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .output()
            .context("the tidiness checks need a git checkout")?;
        let mut files = BTreeMap::new();
        for name in list.split('\0').filter(|name| !name.is_empty()) {
            let path = self.root.join(name);
            // A tracked file may be deleted but not yet committed, or a link.
            if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
                continue;
            }
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {name}"))?;
            files.insert(PathBuf::from(name), String::from_utf8(bytes).ok());
        }
        Ok(Tree { files })
    }
}

/// The files of a checkout by relative path; `None` stands for what is not text.
#[derive(Default)]
pub(crate) struct Tree {
    files: BTreeMap<PathBuf, Option<String>>,
}

impl Tree {
    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    pub(crate) fn has_folder(&self, path: &Path) -> bool {
        path.as_os_str().is_empty() || self.files.keys().any(|file| file.starts_with(path))
    }

    pub(crate) fn text(&self, path: &Path) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Text files whose name ends in `.extension`.
    pub(crate) fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&Path, &str)> {
        self.texts().filter(move |(path, _)| path.extension().is_some_and(|e| e == extension))
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_path(), text.as_deref()?)))
    }

    /// A tree for tests of rules.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| (path.into(), Some((*text).to_owned())));
        Self { files: files.collect() }
    }
}
