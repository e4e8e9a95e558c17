//! What differs between two trees.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::digest::{BlobId, NodeId};
use crate::entry::{Entry, Reference};
use crate::error::ReadError;
use crate::nodes::NodeSource;
use crate::path::LogicalPath;
use crate::walk::{Item, Walk};

/// A path at which two trees differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The path.
    pub path: LogicalPath,
    /// How they differ there.
    pub kind: ChangeKind,
}

/// How two trees differ at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// Only the second tree has the path.
    Added(Entry),
    /// Only the first tree has the path.
    Removed(Entry),
    /// Both have it, with different entries.
    Changed {
        /// The first tree's entry.
        before: Entry,
        /// The second tree's entry.
        after: Entry,
    },
}

impl ChangeKind {
    /// The first tree's entry.
    pub fn before(&self) -> Option<&Entry> {
        match self {
            Self::Removed(before) | Self::Changed { before, .. } => Some(before),
            Self::Added(_) => None,
        }
    }

    /// The second tree's entry.
    pub fn after(&self) -> Option<&Entry> {
        match self {
            Self::Added(after) | Self::Changed { after, .. } => Some(after),
            Self::Removed(_) => None,
        }
    }

    pub(crate) fn into_sides(self) -> (Option<Entry>, Option<Entry>) {
        match self {
            Self::Added(after) => (None, Some(after)),
            Self::Removed(before) => (Some(before), None),
            Self::Changed { before, after } => (Some(before), Some(after)),
        }
    }
}

/// The changes from one tree to another, in path order. Ends after the first
/// error.
///
/// Equal subtrees are skipped unread, so the cost follows the number of nodes
/// that differ, and memory is one node per level and tree.
///
/// ```
/// use heirloom_manifest::{ChangeKind, Diff, Entry, MemoryNodes, TreeBuilder, empty_tree};
/// let mut nodes = MemoryNodes::new();
/// let mut builder = TreeBuilder::new(&mut nodes);
/// builder.push(&"a".parse()?, &Entry::EmptyDirectory)?;
/// let tree = builder.finish()?;
/// let changes = Diff::new(&mut nodes, empty_tree(), tree.root).collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(changes[0].kind, ChangeKind::Added(Entry::EmptyDirectory));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Diff<S> {
    source: S,
    state: DiffState,
    done: bool,
}

impl<S> std::fmt::Debug for Diff<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Diff").field("done", &self.done).finish_non_exhaustive()
    }
}

impl<S: NodeSource> Diff<S> {
    /// The changes from the tree `before` to the tree `after`. Reads nothing
    /// yet; the source supplies the nodes of both.
    pub fn new(source: S, before: NodeId, after: NodeId) -> Self {
        Self { source, state: DiffState::new(before, after), done: false }
    }

    /// The source, for what the caller wants to do with it between changes.
    pub fn source(&mut self) -> &mut S {
        &mut self.source
    }
}

impl<S: NodeSource> Iterator for Diff<S> {
    type Item = Result<Change, ReadError<S::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.state.next(&mut self.source).transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// A diff that is lent its source at each step.
pub(crate) struct DiffState {
    roots: Option<(NodeId, NodeId)>,
    before: Walk,
    after: Walk,
}

enum Step {
    Skip,
    Expand { before: bool, after: bool },
    Removed,
    Added,
    Both,
}

impl DiffState {
    pub(crate) fn new(before: NodeId, after: NodeId) -> Self {
        Self { roots: Some((before, after)), before: Walk::nowhere(), after: Walk::nowhere() }
    }

    pub(crate) fn next<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<Change>, ReadError<S::Error>> {
        if let Some((before, after)) = self.roots.take() {
            if before == after {
                return Ok(None);
            }
            (self.before, _) = Walk::open(source, &before)?;
            (self.after, _) = Walk::open(source, &after)?;
        }
        loop {
            let step = match (self.before.peek(), self.after.peek()) {
                (None, None) => return Ok(None),
                (
                    Some(Item::Node { level: x, child: a, .. }),
                    Some(Item::Node { level: y, child: b, .. }),
                ) => {
                    if a.id == b.id {
                        Step::Skip
                    } else {
                        Step::Expand { before: x >= y, after: y >= x }
                    }
                }
                (Some(Item::Node { .. }), _) => Step::Expand { before: true, after: false },
                (_, Some(Item::Node { .. })) => Step::Expand { before: false, after: true },
                (Some(Item::Entry { .. }), None) => Step::Removed,
                (None, Some(Item::Entry { .. })) => Step::Added,
                (Some(Item::Entry { path: a, .. }), Some(Item::Entry { path: b, .. })) => {
                    match a.cmp(b) {
                        std::cmp::Ordering::Less => Step::Removed,
                        std::cmp::Ordering::Greater => Step::Added,
                        std::cmp::Ordering::Equal => Step::Both,
                    }
                }
            };
            match step {
                Step::Skip => {
                    self.before.take_node();
                    self.after.take_node();
                }
                Step::Expand { before: true, after: true } => {
                    self.before.expand(source)?;
                    self.after.expand(source)?;
                    announce_differing(source, &self.before, &self.after);
                }
                // One side alone: it is ahead or has more levels; what lies below
                // is likely all new.
                Step::Expand { before, .. } => {
                    let walk = if before { &mut self.before } else { &mut self.after };
                    walk.expand_ahead(source)?;
                }
                Step::Removed => {
                    return Ok(self
                        .before
                        .take_entry()
                        .map(|(path, entry)| Change { path, kind: ChangeKind::Removed(entry) }));
                }
                Step::Added => {
                    return Ok(self
                        .after
                        .take_entry()
                        .map(|(path, entry)| Change { path, kind: ChangeKind::Added(entry) }));
                }
                Step::Both => {
                    if let (Some((path, before)), Some((_, after))) =
                        (self.before.take_entry(), self.after.take_entry())
                        && before != after
                    {
                        let kind = ChangeKind::Changed { before, after };
                        return Ok(Some(Change { path, kind }));
                    }
                }
            }
        }
    }
}

/// Nodes that only one of two just opened siblings has will all be read.
fn announce_differing<S: NodeSource>(source: &mut S, before: &Walk, after: &Walk) {
    let (a, b): (HashSet<_>, HashSet<_>) =
        (before.siblings().collect(), after.siblings().collect());
    for ids in [
        before.siblings().filter(|id| !b.contains(id)).copied().collect::<Vec<_>>(),
        after.siblings().filter(|id| !a.contains(id)).copied().collect(),
    ] {
        if ids.len() > 1 {
            source.prefetch(&ids);
        }
    }
}

/// Most removed, and most added, entries that [`Renames`] compares; some 20 MiB.
/// What exceeds it stays a plain change.
pub const MAX_RENAME_CANDIDATES: usize = 50_000;

/// An entry that kept its content and changed its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The path in the first tree.
    pub from: LogicalPath,
    /// The path in the second tree.
    pub to: LogicalPath,
    /// The entry, the same in both.
    pub entry: Entry,
}

/// Finds renames among the changes of a [`Diff`]: a removed and an added file
/// with the same content, or a removed and an added reference that are equal.
/// Empty files and empty directories are never taken for renamed.
///
/// Of several candidates with one content those with the same file name are
/// paired first, then the rest in path order.
///
/// Changes that cannot be part of a rename pass straight through
/// [`Renames::push`], so memory is bounded by [`MAX_RENAME_CANDIDATES`].
#[derive(Debug, Clone, Default)]
pub struct Renames {
    removed: Vec<(LogicalPath, Entry)>,
    added: Vec<(LogicalPath, Entry)>,
    incomplete: bool,
}

/// What [`Renames::finish`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// The renames, ordered by new path.
    pub renames: Vec<Rename>,
    /// Candidates that found no partner, in path order.
    pub rest: Vec<Change>,
    /// Whether every candidate was compared; if not there were more than
    /// [`MAX_RENAME_CANDIDATES`], and a rename may have been reported as one
    /// addition and one removal.
    pub complete: bool,
}

#[derive(PartialEq, Eq, Hash)]
enum Content<'a> {
    File(&'a BlobId),
    Reference(&'a Reference),
}

fn content(entry: &Entry) -> Option<Content<'_>> {
    match entry {
        Entry::File { size: 0, .. } | Entry::EmptyDirectory => None,
        Entry::File { blob, .. } => Some(Content::File(blob)),
        Entry::Reference(reference) => Some(Content::Reference(reference)),
    }
}

impl Renames {
    /// Without candidates.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a change that may be half of a rename, and hands any other back.
    pub fn push(&mut self, change: Change) -> Option<Change> {
        let (held, entry) = match &change.kind {
            ChangeKind::Removed(entry) => (&mut self.removed, entry),
            ChangeKind::Added(entry) => (&mut self.added, entry),
            ChangeKind::Changed { .. } => return Some(change),
        };
        if content(entry).is_none() {
            return Some(change);
        }
        if held.len() >= MAX_RENAME_CANDIDATES {
            self.incomplete = true;
            return Some(change);
        }
        match change.kind {
            ChangeKind::Removed(entry) | ChangeKind::Added(entry) => {
                held.push((change.path, entry))
            }
            ChangeKind::Changed { .. } => {}
        }
        None
    }

    /// Pairs the candidates.
    pub fn finish(self) -> Renamed {
        let pairs = self.pairs();
        let mut renames = Vec::new();
        let mut rest = Vec::new();
        let mut from: Vec<_> = self.removed.into_iter().map(Some).collect();
        for ((to, entry), partner) in self.added.into_iter().zip(pairs) {
            match partner.and_then(|index| from[index].take()) {
                Some((from, _)) => renames.push(Rename { from, to, entry }),
                None => rest.push(Change { path: to, kind: ChangeKind::Added(entry) }),
            }
        }
        rest.extend(
            from.into_iter()
                .flatten()
                .map(|(path, entry)| Change { path, kind: ChangeKind::Removed(entry) }),
        );
        rest.sort_by(|a, b| a.path.cmp(&b.path));
        Renamed { renames, rest, complete: !self.incomplete }
    }

    /// For each added entry the index of the removed one it came from.
    fn pairs(&self) -> Vec<Option<usize>> {
        let mut pairs = vec![None; self.added.len()];
        let mut used = vec![false; self.removed.len()];
        let mut by_name: HashMap<_, VecDeque<usize>> = HashMap::new();
        let mut by_content: HashMap<_, VecDeque<usize>> = HashMap::new();
        for (index, (path, entry)) in self.removed.iter().enumerate() {
            by_name.entry((content(entry), path.file_name())).or_default().push_back(index);
            by_content.entry(content(entry)).or_default().push_back(index);
        }
        for (pair, (path, entry)) in pairs.iter_mut().zip(&self.added) {
            *pair = by_name
                .get_mut(&(content(entry), path.file_name()))
                .and_then(VecDeque::pop_front)
                .inspect(|index| used[*index] = true);
        }
        for (pair, (_, entry)) in pairs.iter_mut().zip(&self.added) {
            if pair.is_none()
                && let Some(candidates) = by_content.get_mut(&content(entry))
            {
                while let Some(index) = candidates.pop_front() {
                    if !std::mem::replace(&mut used[index], true) {
                        *pair = Some(index);
                        break;
                    }
                }
            }
        }
        pairs
    }
}
