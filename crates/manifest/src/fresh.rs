//! Which nodes of a tree are new against another, told before they are read.

use std::collections::HashSet;

use crate::digest::NodeId;
use crate::error::{Damage, ReadError};
use crate::node::{Child, Node};
use crate::nodes::{NodeSource, empty_tree};
use crate::path::LogicalPath;
use crate::walk::{damaged, read_node};

/// Inner nodes read at once; their children are at hand together.
const NODES_AT_ONCE: usize = 16;

/// Tells `visit` of every node of the tree `root` that the tree `base` does not
/// have, in batches, parents before children, and each batch before any node in
/// it is read: so that a caller can see to it that the nodes are there and stay.
/// Leaves are told, never read. An error of `visit` ends the walk as
/// [`ReadError::Source`].
///
/// Both trees are descended side by side, and what they have in common at one
/// place is left out unread: the cost follows the difference, wherever
/// boundaries moved and however the heights differ. A node that `base` has at
/// another place may be told as new.
///
/// `base` is trusted; `root` may be a stranger's. Of that tree only levels and
/// the order of paths are checked, which bounds the work by its distinct nodes;
/// the rest is for [`check_tree`](crate::check_tree). Memory: per level the
/// records in 16 nodes of each tree.
///
/// # Errors
/// [`ReadError`]; what `visit` returns.
///
/// ```
/// use heirloom_manifest::{Edit, Entry, MemoryNodes, TreeBuilder, new_nodes, patch};
/// let mut nodes = MemoryNodes::new();
/// let mut builder = TreeBuilder::new(&mut nodes);
/// builder.push(&"a".parse()?, &Entry::EmptyDirectory)?;
/// let before = builder.finish()?;
/// let edit = ("b".parse()?, Edit::Put(Entry::EmptyDirectory));
/// let mut added = MemoryNodes::new();
/// let after = patch(&mut nodes, &before.root, [edit], &mut added)?.tree;
/// for (id, bytes) in added.iter() {
///     nodes.insert(*id, bytes.to_vec());
/// }
/// let mut told = Vec::new();
/// new_nodes(&mut nodes, &before.root, &after.root, |ids| Ok(told.extend_from_slice(ids)))?;
/// assert_eq!(told, [after.root]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn new_nodes<S: NodeSource>(
    source: &mut S,
    base: &NodeId,
    root: &NodeId,
    mut visit: impl FnMut(&[NodeId]) -> Result<(), S::Error>,
) -> Result<(), ReadError<S::Error>> {
    if root == base || *root == empty_tree() {
        return Ok(());
    }
    visit(&[*root]).map_err(ReadError::Source)?;
    let level = read_node(source, root)?.level();
    if level == 0 {
        return Ok(());
    }
    let mut old = Old { level: 0, records: Vec::new() };
    if *base != empty_tree() {
        old.level = read_node(source, base)?.level();
        old.records.push(Record::root(*base));
    }
    let fresh = [Record::root(*root)];
    while old.level > level {
        old = old.below(source, &fresh)?;
        // What is left of a tree may be one of its own nodes.
        if old.level == level && old.records.iter().any(|record| record.id == *root) {
            return Ok(());
        }
    }
    descend(source, &fresh, level, &old, &mut visit)
}

/// A node that was not read yet, and the paths that it covers.
#[derive(Clone)]
struct Record {
    id: NodeId,
    /// The paths after this one, if there is one before the node.
    floor: Option<LogicalPath>,
    /// The paths up to this one; of a root, which has no record, all.
    last: Option<LogicalPath>,
}

impl Record {
    fn root(id: NodeId) -> Self {
        Self { id, floor: None, last: None }
    }

    fn overlaps(&self, other: &Self) -> bool {
        let before = |floor: &Option<LogicalPath>, last: &Option<LogicalPath>| match (floor, last) {
            (Some(floor), Some(last)) => floor < last,
            _ => true,
        };
        before(&self.floor, &other.last) && before(&other.floor, &self.last)
    }
}

/// Nodes of the base, all of one level and in order.
struct Old {
    level: u8,
    records: Vec<Record>,
}

impl Old {
    /// What covers the paths of `fresh`, which are in order too.
    fn overlapping(&self, fresh: &[Record]) -> Vec<Record> {
        let mut found: Vec<Record> = Vec::new();
        let mut from = 0;
        for node in fresh {
            // Of a stranger's tree the order is not known yet; then this only
            // finds less in common.
            while self.records.get(from).is_some_and(|old| match (&old.last, &node.floor) {
                (Some(last), Some(floor)) => last <= floor,
                _ => false,
            }) {
                from += 1;
            }
            while let Some(old) = self.records.get(from).filter(|old| old.overlaps(node)) {
                found.push(old.clone());
                from += 1;
            }
        }
        found
    }

    /// One level down, as far as it covers the paths of `fresh`.
    fn below<S: NodeSource>(
        &self,
        source: &mut S,
        fresh: &[Record],
    ) -> Result<Self, ReadError<S::Error>> {
        let mut records = Vec::new();
        for batch in self.overlapping(fresh).chunks(NODES_AT_ONCE) {
            read_children(source, batch, self.level, &mut records)?;
        }
        Ok(Self { level: self.level - 1, records })
    }
}

/// Goes on below nodes of `level` that were told already; `old` is at most as high.
fn descend<S: NodeSource>(
    source: &mut S,
    fresh: &[Record],
    level: u8,
    old: &Old,
    visit: &mut impl FnMut(&[NodeId]) -> Result<(), S::Error>,
) -> Result<(), ReadError<S::Error>> {
    let Some(below) = level.checked_sub(1) else { return Ok(()) };
    for batch in fresh.chunks(NODES_AT_ONCE) {
        let mut children = Vec::new();
        read_children(source, batch, level, &mut children)?;
        let old = match old.level == level {
            true => old.below(source, batch)?,
            false => Old { level: old.level, records: old.overlapping(batch) },
        };
        if old.level == below {
            let known: HashSet<NodeId> = old.records.iter().map(|record| record.id).collect();
            children.retain(|child| !known.contains(&child.id));
        }
        let mut told = HashSet::with_capacity(children.len());
        children.retain(|child| told.insert(child.id));
        let ids: Vec<NodeId> = children.iter().map(|child| child.id).collect();
        if !ids.is_empty() {
            visit(&ids).map_err(ReadError::Source)?;
        }
        descend(source, &children, below, &old, visit)?;
    }
    Ok(())
}

/// Reads inner nodes of `level` and appends their children's records. That each
/// covers the paths it should makes every node occur once, whoever made the tree.
fn read_children<S: NodeSource>(
    source: &mut S,
    nodes: &[Record],
    level: u8,
    children: &mut Vec<Record>,
) -> Result<(), ReadError<S::Error>> {
    let ids: Vec<NodeId> = nodes.iter().map(|record| record.id).collect();
    if ids.len() > 1 {
        source.prefetch(&ids);
    }
    for record in nodes {
        let refuse = |reason| Err(damaged(record.id, reason));
        let found = match read_node(source, &record.id)? {
            Node::Inner { level: found, children } if found == level => children,
            _ => return refuse(Damage::Mismatch { what: "level" }),
        };
        let (first, last) = (found.first(), found.last());
        if record.last.is_some() && last.map(|child| &child.last_path) != record.last.as_ref() {
            return refuse(Damage::Mismatch { what: "last path" });
        }
        if record.floor.is_some() && first.map(|child| &child.last_path) <= record.floor.as_ref() {
            return refuse(Damage::Overlap);
        }
        let mut floor = record.floor.clone();
        for Child { last_path, id, .. } in found {
            let last = Some(last_path);
            children.push(Record { id, floor: std::mem::replace(&mut floor, last.clone()), last });
        }
    }
    Ok(())
}
