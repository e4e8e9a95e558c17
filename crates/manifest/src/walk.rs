//! A position in a tree: what every reading operation is made of.

use std::vec::IntoIter;

use crate::ancestors::Ancestors;
use crate::codec::common_prefix;
use crate::digest::NodeId;
use crate::entry::Entry;
use crate::error::{Damage, ManifestError, ReadError};
use crate::node::{Child, Node};
use crate::nodes::{NodeSource, TreeSummary, empty_tree};
use crate::path::LogicalPath;

/// Most siblings named to [`NodeSource::prefetch`] at once.
const MAX_READ_AHEAD: usize = 64;

/// A place in a tree between two entries. What lies after it is a sequence of
/// *items*, entries and whole nodes not read yet; the caller looks at the first
/// and takes it, skips it, or has it opened.
///
/// Holds one node per level. Each node is checked in full when it is read, so
/// that no entry of a damaged node is ever seen.
pub(crate) struct Walk {
    frames: Vec<Frame>,
    ancestors: Ancestors,
    last_taken: Option<LogicalPath>,
}

struct Frame {
    id: NodeId,
    /// Last path before this node.
    floor: Option<LogicalPath>,
    /// Whether the node is the last of its level.
    last: bool,
    items: Items,
}

enum Items {
    Leaf(IntoIter<(LogicalPath, Entry)>),
    Inner { level: u8, children: IntoIter<Child>, announced: usize, read_ahead: usize },
}

/// The first item after a [`Walk`]'s place.
pub(crate) enum Item<'a> {
    /// A node of `level`; `last` if it is the last of that level in the tree.
    Node { level: u8, child: &'a Child, last: bool },
    /// An entry.
    Entry { path: &'a LogicalPath, entry: &'a Entry },
}

impl Walk {
    /// The end of any tree.
    pub(crate) fn nowhere() -> Self {
        Self { frames: Vec::new(), ancestors: Ancestors::default(), last_taken: None }
    }

    /// The start of the tree `root`. Reads the root node.
    pub(crate) fn open<S: NodeSource>(
        source: &mut S,
        root: &NodeId,
    ) -> Result<(Self, TreeSummary), ReadError<S::Error>> {
        let mut walk = Self::nowhere();
        if *root == empty_tree() {
            return Ok((walk, TreeSummary::new(*root, 0, 0)));
        }
        let node = read_node(source, root)?;
        if matches!(&node, Node::Inner { children, .. } if children.len() < 2) {
            return Err(damaged(*root, Damage::Shape));
        }
        let summary = TreeSummary::new(*root, node.entries(), node.size());
        walk.frames.push(Frame::new(*root, None, true, node));
        Ok((walk, summary))
    }

    /// The first item after this place; `None` at the end.
    pub(crate) fn peek(&mut self) -> Option<Item<'_>> {
        while self.frames.last().is_some_and(|frame| frame.items.is_empty()) {
            self.frames.pop();
        }
        let frame = self.frames.last()?;
        match &frame.items {
            Items::Leaf(entries) => {
                entries.as_slice().first().map(|(path, entry)| Item::Entry { path, entry })
            }
            Items::Inner { level, children, .. } => {
                let rest = children.as_slice();
                let last = frame.last && rest.len() == 1;
                rest.first().map(|child| Item::Node { level: level - 1, child, last })
            }
        }
    }

    /// Goes past the first item, a node, without reading it.
    pub(crate) fn take_node(&mut self) -> Option<Child> {
        let frame = self.frames.last_mut()?;
        let Items::Inner { children, announced, .. } = &mut frame.items else { return None };
        let child = children.next()?;
        *announced = announced.saturating_sub(1);
        frame.floor = Some(child.last_path.clone());
        Some(child)
    }

    /// Goes past the first item, an entry.
    pub(crate) fn take_entry(&mut self) -> Option<(LogicalPath, Entry)> {
        match &mut self.frames.last_mut()?.items {
            Items::Leaf(entries) => entries.next(),
            Items::Inner { .. } => None,
        }
    }

    /// Puts what is in the first item, a node, in its place. Returns its id.
    pub(crate) fn expand<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<NodeId>, ReadError<S::Error>> {
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        let Items::Inner { level, children, announced, .. } = &mut frame.items else {
            return Ok(None);
        };
        let (level, is_last) = (*level, frame.last && children.len() == 1);
        let Some(child) = children.next() else { return Ok(None) };
        *announced = announced.saturating_sub(1);
        let floor = frame.floor.replace(child.last_path.clone());
        let node = read_node(source, &child.id)?;
        check_child(level, &child, floor.as_ref(), &node)
            .map_err(|reason| damaged(child.id, reason))?;
        self.frames.push(Frame::new(child.id, floor, is_last, node));
        Ok(Some(child.id))
    }

    /// Like [`Walk::expand`] for reading on and on: tells the source of
    /// siblings to come, more of them the longer it goes.
    pub(crate) fn expand_ahead<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<NodeId>, ReadError<S::Error>> {
        if let Some(Frame { items: Items::Inner { children, announced, read_ahead, .. }, .. }) =
            self.frames.last_mut()
            && *announced == 0
        {
            let ids: Vec<_> = children.as_slice().iter().take(*read_ahead).map(|c| c.id).collect();
            if ids.len() > 1 {
                source.prefetch(&ids);
            }
            *announced = ids.len();
            *read_ahead = (*read_ahead * 4).min(MAX_READ_AHEAD);
        }
        self.expand(source)
    }

    /// Ids of the nodes left in the innermost open inner node.
    pub(crate) fn siblings(&self) -> impl Iterator<Item = &NodeId> {
        let children = match self.frames.last().map(|frame| &frame.items) {
            Some(Items::Inner { children, .. }) => children.as_slice(),
            _ => &[],
        };
        children.iter().map(|child| &child.id)
    }

    /// Goes to the first entry whose path is not below `bound`, reading only
    /// the nodes on the way to it.
    pub(crate) fn seek<S: NodeSource>(
        &mut self,
        source: &mut S,
        bound: &[u8],
    ) -> Result<(), ReadError<S::Error>> {
        loop {
            let Some(frame) = self.frames.last_mut() else { return Ok(()) };
            frame.seek(bound);
            match self.peek() {
                Some(Item::Node { child, .. }) if child.last_path.as_bytes() >= bound => {
                    self.expand(source)?;
                }
                Some(Item::Entry { path, .. }) if path.as_bytes() >= bound => return Ok(()),
                // The innermost node had nothing left; look in its parent.
                Some(_) => {}
                None => return Ok(()),
            }
        }
    }

    /// The next entry in order, reading what is needed; checks that none taken
    /// so is used as a directory.
    pub(crate) fn next_entry<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<(LogicalPath, Entry)>, ReadError<S::Error>> {
        loop {
            match self.peek() {
                None => return Ok(None),
                Some(Item::Node { .. }) => {
                    self.expand_ahead(source)?;
                }
                Some(Item::Entry { .. }) => break,
            }
        }
        let Some((path, entry)) = self.take_entry() else { return Ok(None) };
        let before = self.last_taken.as_ref().map_or(&[][..], |path| path.as_bytes());
        let shared = common_prefix(before, path.as_bytes());
        if let (Some(length), Some(frame)) =
            (self.ancestors.next(path.as_bytes(), shared), self.frames.last())
        {
            let file = LogicalPath::from_checked(&path.as_str()[..length]);
            let reason = ManifestError::FileAsDirectory { file, below: path };
            return Err(damaged(frame.id, reason.into()));
        }
        self.last_taken = Some(path.clone());
        Ok(Some((path, entry)))
    }
}

impl Frame {
    fn new(id: NodeId, floor: Option<LogicalPath>, last: bool, node: Node) -> Self {
        let items = match node {
            Node::Leaf(entries) => Items::Leaf(entries.into_iter()),
            Node::Inner { level, children } => {
                Items::Inner { level, children: children.into_iter(), announced: 0, read_ahead: 1 }
            }
        };
        Self { id, floor, last, items }
    }

    fn seek(&mut self, bound: &[u8]) {
        match &mut self.items {
            Items::Leaf(entries) => {
                let rest = entries.as_slice();
                let below = rest.partition_point(|(path, _)| path.as_bytes() < bound);
                if below > 0 {
                    entries.nth(below - 1);
                }
            }
            Items::Inner { children, announced, .. } => {
                let rest = children.as_slice();
                let below = rest.partition_point(|child| child.last_path.as_bytes() < bound);
                if below > 0 {
                    self.floor = children.nth(below - 1).map(|child| child.last_path);
                    *announced = announced.saturating_sub(below);
                }
            }
        }
    }
}

impl Items {
    fn is_empty(&self) -> bool {
        match self {
            Self::Leaf(entries) => entries.as_slice().is_empty(),
            Self::Inner { children, .. } => children.as_slice().is_empty(),
        }
    }
}

pub(crate) fn damaged<E>(node: NodeId, reason: Damage) -> ReadError<E> {
    ReadError::Damaged { node, reason }
}

/// Reads a node, checks that it is the one asked for, and decodes it.
pub(crate) fn read_node<S: NodeSource>(
    source: &mut S,
    id: &NodeId,
) -> Result<Node, ReadError<S::Error>> {
    let bytes = source.node(id).map_err(ReadError::Source)?;
    let actual = NodeId::of(bytes.as_ref());
    if actual != *id {
        return Err(damaged(*id, Damage::WrongBytes { actual }));
    }
    Node::decode(bytes.as_ref()).map_err(|error| damaged(*id, error.into()))
}

fn check_child(
    parent_level: u8,
    child: &Child,
    floor: Option<&LogicalPath>,
    node: &Node,
) -> Result<(), Damage> {
    if node.level() + 1 != parent_level {
        return Err(Damage::Mismatch { what: "level" });
    }
    // An inner node's first path is known only as that of its first child, of
    // which this is the last: enough to refuse overlaps level by level.
    let (first, last) = match node {
        Node::Leaf(entries) => (entries.first().map(|e| &e.0), entries.last().map(|e| &e.0)),
        Node::Inner { children, .. } => {
            (children.first().map(|c| &c.last_path), children.last().map(|c| &c.last_path))
        }
    };
    let (Some(first), Some(last)) = (first, last) else { return Err(Damage::Shape) };
    if *last != child.last_path {
        return Err(Damage::Mismatch { what: "last path" });
    }
    if floor.is_some_and(|floor| first <= floor) {
        return Err(Damage::Overlap);
    }
    if node.entries() != child.entries {
        return Err(Damage::Mismatch { what: "entry count" });
    }
    if node.size() != child.size {
        return Err(Damage::Mismatch { what: "size" });
    }
    Ok(())
}
