//! A release check: is what we shipped what was built, and if not, what differs?

use std::collections::BTreeMap;
use std::error::Error;

use heirloom_manifest::{
    BlobId, ChangeKind, Diff, Entry, LogicalPath, MemoryNodes, TreeBuilder, TreeSummary,
};

/// A folder in memory: contents by path.
pub type Folder<'a> = BTreeMap<&'a str, &'a [u8]>;

/// The manifest of `folder`, its nodes added to `nodes`.
pub fn manifest(
    folder: &Folder<'_>,
    nodes: &mut MemoryNodes,
) -> Result<TreeSummary, Box<dyn Error>> {
    let mut builder = TreeBuilder::new(nodes);
    for (path, content) in folder {
        let path: LogicalPath = path.parse()?;
        let entry = Entry::File { blob: BlobId::of(content), size: content.len() as u64 };
        builder.push(&path, &entry)?;
    }
    Ok(builder.finish()?)
}

/// What differs, one line per path: `+`, `-` or `~`.
pub fn compare(built: &Folder<'_>, shipped: &Folder<'_>) -> Result<Vec<String>, Box<dyn Error>> {
    let mut nodes = MemoryNodes::new();
    let before = manifest(built, &mut nodes)?;
    let after = manifest(shipped, &mut nodes)?;
    if before.manifest == after.manifest {
        return Ok(Vec::new());
    }
    let mut lines = Vec::new();
    for change in Diff::new(&mut nodes, before.root, after.root) {
        let change = change?;
        let sign = match change.kind {
            ChangeKind::Added(_) => '+',
            ChangeKind::Removed(_) => '-',
            ChangeKind::Changed { .. } => '~',
        };
        lines.push(format!("{sign} {}", change.path));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> Folder<'static> {
        let files: [(&str, &[u8]); 4] =
            [("a.txt", b"a"), ("bin/tool", b"1.0"), ("doc/x.md", b"x"), ("z", b"")];
        files.into_iter().collect()
    }

    #[test]
    fn same_content_has_the_same_digest() {
        assert_eq!(compare(&folder(), &folder()).unwrap(), Vec::<String>::new());
        let summary = manifest(&folder(), &mut MemoryNodes::new()).unwrap();
        assert_eq!((summary.entries, summary.size), (4, 5));
    }

    #[test]
    fn each_difference_is_listed_in_path_order() {
        let mut shipped = folder();
        shipped.insert("bin/tool", b"1.1");
        shipped.insert("doc/y.md", b"y");
        shipped.remove("z");
        assert_eq!(compare(&folder(), &shipped).unwrap(), ["~ bin/tool", "+ doc/y.md", "- z"]);
    }

    #[test]
    fn escaping_paths_are_refused() {
        let folder: Folder<'_> = [("../etc/passwd", &b"x"[..])].into_iter().collect();
        assert!(manifest(&folder, &mut MemoryNodes::new()).is_err());
    }
}
