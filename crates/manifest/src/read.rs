//! Reading: one path, all entries, a range of them, a directory.

use crate::digest::NodeId;
use crate::entry::Entry;
use crate::error::ReadError;
use crate::node::Child;
use crate::nodes::{NodeSource, TreeSummary};
use crate::path::LogicalPath;
use crate::walk::{Item, Walk};

/// A tree to read: a source of nodes and a root.
///
/// Every operation reads only the nodes it needs, keeps none of them, and checks
/// each against its id and its parent. What it does not read it takes from the
/// parent's record, whose bytes are checked too; so counts and sizes of a tree
/// that was not [checked as a whole](crate::check_tree) are what its author
/// claims.
///
/// ```
/// use heirloom_manifest::{Entry, MemoryNodes, Tree, TreeBuilder};
/// let mut nodes = MemoryNodes::new();
/// let mut builder = TreeBuilder::new(&mut nodes);
/// builder.push(&"a/empty".parse()?, &Entry::EmptyDirectory)?;
/// let root = builder.finish()?.root;
/// let mut tree = Tree::new(&mut nodes, root);
/// assert_eq!(tree.lookup(&"a/empty".parse()?)?, Some(Entry::EmptyDirectory));
/// assert_eq!(tree.lookup(&"a".parse()?)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tree<S> {
    source: S,
    root: NodeId,
}

impl<S: NodeSource> Tree<S> {
    /// The tree `root`, whose nodes `source` supplies. Reads nothing yet.
    pub fn new(source: S, root: NodeId) -> Self {
        Self { source, root }
    }

    /// The root node's id.
    pub fn root(&self) -> &NodeId {
        &self.root
    }

    /// Entry count, size and digest; reads the root node only.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn summary(&mut self) -> Result<TreeSummary, ReadError<S::Error>> {
        Walk::open(&mut self.source, &self.root).map(|(_, summary)| summary)
    }

    /// The entry at exactly `path`; reads one node per level.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn lookup(&mut self, path: &LogicalPath) -> Result<Option<Entry>, ReadError<S::Error>> {
        lookup(&mut self.source, &self.root, path)
    }

    /// All entries in path order.
    pub fn entries(&mut self) -> Entries<&mut S> {
        Entries::new(&mut self.source, self.root, Range::default())
    }

    /// The entries of a range, in path order.
    pub fn range(&mut self, range: Range) -> Entries<&mut S> {
        Entries::new(&mut self.source, self.root, range)
    }

    /// What is immediately below a directory (`None`: the top), in order of
    /// [`DirItem::key`], starting after the key `after`. A path that is no
    /// directory has nothing below it.
    ///
    /// Sub-directories are added up from the records of inner nodes: the cost
    /// follows the number of items, not of the entries below them.
    pub fn list_dir(&mut self, dir: Option<&LogicalPath>, after: Option<&str>) -> ListDir<&mut S> {
        ListDir::new(&mut self.source, self.root, dir, after)
    }
}

pub(crate) fn lookup<S: NodeSource>(
    source: &mut S,
    root: &NodeId,
    path: &LogicalPath,
) -> Result<Option<Entry>, ReadError<S::Error>> {
    let (mut walk, _) = Walk::open(source, root)?;
    walk.seek(source, path.as_bytes())?;
    Ok(match walk.peek() {
        Some(Item::Entry { path: found, .. }) if found == path => {
            walk.take_entry().map(|(_, entry)| entry)
        }
        _ => None,
    })
}

/// Which entries to read; the default is all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Range {
    /// Only this path and what lies below it, by whole parts.
    pub within: Option<LogicalPath>,
    /// Only paths greater than this one (in byte order): the last path of the
    /// page before.
    pub after: Option<LogicalPath>,
}

/// Entries in path order; made by [`Tree::entries`] or [`Tree::range`]. Ends
/// after the first error.
///
/// Checks while it goes that no entry is used as a directory by a later one, so
/// reading a whole tree without error shows that the rule holds in it.
pub struct Entries<S> {
    source: S,
    root: NodeId,
    range: Range,
    state: State,
}

enum State {
    Start,
    /// Past the start; `below` when only entries below `within` are left.
    Reading {
        walk: Walk,
        below: bool,
    },
    Done,
}

impl<S> std::fmt::Debug for Entries<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries")
            .field("root", &self.root)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl<S: NodeSource> Entries<S> {
    /// The entries of a range of the tree `root`. Reads nothing yet.
    pub fn new(source: S, root: NodeId, range: Range) -> Self {
        Self { source, root, range, state: State::Start }
    }

    /// The source, for what the caller wants to do with it between entries.
    pub fn source(&mut self) -> &mut S {
        &mut self.source
    }

    fn advance(&mut self) -> Result<Option<(LogicalPath, Entry)>, ReadError<S::Error>> {
        if let State::Start = self.state {
            self.state = self.start()?;
        }
        let State::Reading { walk, below } = &mut self.state else { return Ok(None) };
        let Some(within) = &self.range.within else { return walk.next_entry(&mut self.source) };
        loop {
            let Some((path, entry)) = walk.next_entry(&mut self.source)? else { return Ok(None) };
            if path.is_within(within.as_str()) {
                return Ok(Some((path, entry)));
            }
            if *below {
                return Ok(None);
            }
            // Between `a` and `a/b` may lie any number of paths such as `a-b`.
            *below = true;
            walk.seek(&mut self.source, below_bound(within).as_bytes())?;
        }
    }

    fn start(&mut self) -> Result<State, ReadError<S::Error>> {
        let (mut walk, _) = Walk::open(&mut self.source, &self.root)?;
        let mut bound = Vec::new();
        if let Some(after) = &self.range.after {
            // The least string of bytes greater than `after`.
            bound = [after.as_bytes(), &[0]].concat();
        }
        let mut below = false;
        if let Some(within) = &self.range.within {
            let first_below = below_bound(within).into_bytes();
            below = bound > within.as_bytes().to_vec();
            let least = if below { first_below } else { within.as_bytes().to_vec() };
            bound = bound.max(least);
        }
        if !bound.is_empty() {
            walk.seek(&mut self.source, &bound)?;
        }
        Ok(State::Reading { walk, below })
    }
}

fn below_bound(dir: &LogicalPath) -> String {
    format!("{dir}/")
}

impl<S: NodeSource> Iterator for Entries<S> {
    type Item = Result<(LogicalPath, Entry), ReadError<S::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.advance().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.state = State::Done;
        }
        next
    }
}

/// Something immediately below a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirItem {
    /// An entry: a file, a reference or an empty directory.
    Entry {
        /// Its name, the path's last part.
        name: String,
        /// What it is.
        entry: Entry,
    },
    /// A directory with entries below it.
    Directory {
        /// Its name, without a slash.
        name: String,
        /// Number of entries below it, at any depth.
        entries: u64,
        /// Sum of their sizes, in bytes.
        size: u64,
    },
}

impl DirItem {
    /// The name, the path's last part.
    pub fn name(&self) -> &str {
        match self {
            Self::Entry { name, .. } | Self::Directory { name, .. } => name,
        }
    }

    /// What items are ordered by: the name, with a slash after it for a
    /// directory that has entries (`a-b` comes before the directory `a`).
    pub fn key(&self) -> String {
        match self {
            Self::Entry { name, .. } => name.clone(),
            Self::Directory { name, .. } => format!("{name}/"),
        }
    }
}

/// Items of one directory; made by [`Tree::list_dir`]. Ends after the first error.
pub struct ListDir<S> {
    source: S,
    root: NodeId,
    /// What every path below the directory starts with; empty at the top.
    prefix: String,
    start: Vec<u8>,
    walk: Option<Walk>,
    current: Option<Sum>,
    done: bool,
}

impl<S> std::fmt::Debug for ListDir<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ListDir")
            .field("root", &self.root)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// A sub-directory being added up.
struct Sum {
    /// Its path and a slash.
    prefix: String,
    entries: u64,
    size: u64,
}

impl<S: NodeSource> ListDir<S> {
    /// See [`Tree::list_dir`]. Reads nothing yet.
    pub fn new(source: S, root: NodeId, dir: Option<&LogicalPath>, after: Option<&str>) -> Self {
        let prefix = dir.map(below_bound).unwrap_or_default();
        let mut start = prefix.clone().into_bytes();
        if let Some(after) = after {
            start.extend_from_slice(after.as_bytes());
            match start.last_mut() {
                // Behind everything in the directory `a/` comes `a0`.
                Some(slash) if *slash == b'/' => *slash += 1,
                _ => start.push(0),
            }
        }
        Self { source, root, prefix, start, walk: None, current: None, done: false }
    }

    fn advance(&mut self) -> Result<Option<DirItem>, ReadError<S::Error>> {
        let walk = match &mut self.walk {
            Some(walk) => walk,
            walk @ None => {
                let (mut opened, _) = Walk::open(&mut self.source, &self.root)?;
                if !self.start.is_empty() {
                    opened.seek(&mut self.source, &self.start)?;
                }
                walk.insert(opened)
            }
        };
        loop {
            match walk.peek() {
                None => return Ok(self.flush()),
                Some(Item::Node { child, .. }) => match &mut self.current {
                    // All between an entry of the sub-directory and the node's
                    // last path lies in the sub-directory.
                    Some(sum) if child.last_path.as_str().starts_with(&sum.prefix) => {
                        let Child { entries, size, .. } = *child;
                        sum.add(entries, size);
                        walk.take_node();
                    }
                    _ => {
                        walk.expand(&mut self.source)?;
                    }
                },
                Some(Item::Entry { path, entry }) => {
                    if let Some(sum) = &mut self.current {
                        if !path.as_str().starts_with(&sum.prefix) {
                            return Ok(self.flush());
                        }
                        sum.add(1, entry.size());
                        walk.take_entry();
                        continue;
                    }
                    let Some(rest) = path.as_str().strip_prefix(&self.prefix) else {
                        return Ok(None);
                    };
                    if let Some((name, _)) = rest.split_once('/') {
                        let prefix = format!("{}{name}/", self.prefix);
                        self.current = Some(Sum { prefix, entries: 0, size: 0 });
                        continue;
                    }
                    let name = rest.to_owned();
                    return Ok(walk.take_entry().map(|(_, entry)| DirItem::Entry { name, entry }));
                }
            }
        }
    }

    fn flush(&mut self) -> Option<DirItem> {
        let Sum { prefix, entries, size } = self.current.take()?;
        let name = prefix[self.prefix.len()..prefix.len() - 1].to_owned();
        Some(DirItem::Directory { name, entries, size })
    }
}

impl Sum {
    fn add(&mut self, entries: u64, size: u64) {
        // An unchecked hostile tree may claim anything.
        self.entries = self.entries.saturating_add(entries);
        self.size = self.size.saturating_add(size);
    }
}

impl<S: NodeSource> Iterator for ListDir<S> {
    type Item = Result<DirItem, ReadError<S::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}
