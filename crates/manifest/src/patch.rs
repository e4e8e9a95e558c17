//! Editing: a sorted stream of edits applied to a tree.

use std::collections::HashSet;

use crate::build::Builder;
use crate::diff::DiffState;
use crate::digest::NodeId;
use crate::entry::Entry;
use crate::error::{Damage, ManifestError, PatchError, ReadError};
use crate::node::Child;
use crate::nodes::{Discard, NodeSink, NodeSource, TreeSummary};
use crate::params::{FORMAT, Params};
use crate::path::LogicalPath;
use crate::read::lookup;
use crate::walk::{Item, Walk, damaged};

/// What to do at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Add the entry, or put it in place of the one that is there.
    Put(Entry),
    /// Remove the entry.
    Remove,
}

/// What removing a path does that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingRemove {
    /// [`ManifestError::Missing`].
    #[default]
    Refuse,
    /// Nothing, but it is counted in [`Patched::missing`].
    Ignore,
}

/// What an edited tree is, and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patched {
    /// The new tree.
    pub tree: TreeSummary,
    /// Nodes handed to the sink: those that the base does not have (a node that
    /// the base has elsewhere may be among them).
    pub nodes: u64,
    /// The bytes of these nodes.
    pub bytes: u64,
    /// Removals of paths that were not there; see [`MissingRemove::Ignore`].
    pub missing: u64,
}

/// Applies edits in ascending path order to a base tree, handing new nodes to a
/// sink.
///
/// The result is the tree that [`TreeBuilder`](crate::TreeBuilder) would make of
/// the resulting entries, to the byte; but only nodes that an edit touches, and
/// those up to where the boundaries fall into step again, are read and written.
/// That no entry of the *result* is used as a directory is checked, whether the
/// two come from the edits, the base or one from each. Replacing a file by a
/// directory therefore takes a removal and additions.
///
/// The base is trusted to be canonical (see [`check_tree`]). After an error the
/// patcher must be dropped. Memory: one node per level of each tree, and 32
/// bytes for each node read.
///
/// ```
/// use heirloom_manifest::{Edit, Entry, MemoryNodes, Patcher, empty_tree};
/// let mut nodes = MemoryNodes::new();
/// let mut new = MemoryNodes::new();
/// let mut patcher = Patcher::new(&mut nodes, &empty_tree())?;
/// patcher.push(&mut nodes, &mut new, &"a".parse()?, Edit::Put(Entry::EmptyDirectory))?;
/// assert_eq!(patcher.finish(&mut nodes, &mut new)?.tree.entries, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Patcher {
    base: NodeId,
    walk: Walk,
    builder: Builder,
    policy: MissingRemove,
    missing: u64,
    /// Nodes of the base that were opened: made again, they are not new.
    opened: HashSet<NodeId>,
    nodes: u64,
    bytes: u64,
    last_edit: Option<LogicalPath>,
    /// The last path passed in the base, kept or not.
    last_base: Option<LogicalPath>,
    /// The last path put that the base did not have.
    last_new: Option<LogicalPath>,
    /// Paths put that the base did not have and that the builder's last path
    /// starts with: base entries may lie below them, still to come.
    watched: Vec<LogicalPath>,
    /// Removed paths that the last edit's path starts with.
    removed: Vec<LogicalPath>,
}

impl std::fmt::Debug for Patcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patcher")
            .field("base", &self.base)
            .field("last_edit", &self.last_edit)
            .finish_non_exhaustive()
    }
}

type Failure<S, K> = PatchError<<S as NodeSource>::Error, <K as NodeSink>::Error>;

impl Patcher {
    /// Starts from the tree `base`, reading its root. The source passed here
    /// and to the other methods must supply the base's nodes each time.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn new<S: NodeSource>(source: &mut S, base: &NodeId) -> Result<Self, ReadError<S::Error>> {
        Self::with_params(source, base, FORMAT)
    }

    pub(crate) fn with_params<S: NodeSource>(
        source: &mut S,
        base: &NodeId,
        params: Params,
    ) -> Result<Self, ReadError<S::Error>> {
        let (walk, _) = Walk::open(source, base)?;
        Ok(Self {
            base: *base,
            walk,
            builder: Builder::new(params),
            policy: MissingRemove::default(),
            missing: 0,
            opened: HashSet::from([*base]),
            nodes: 0,
            bytes: 0,
            last_edit: None,
            last_base: None,
            last_new: None,
            watched: Vec::new(),
            removed: Vec::new(),
        })
    }

    /// Chooses what removing a missing path does.
    #[must_use]
    pub fn on_missing(mut self, policy: MissingRemove) -> Self {
        self.policy = policy;
        self
    }

    /// Applies the next edit, whose path must come after all before it.
    ///
    /// # Errors
    /// [`PatchError::Invalid`] as for [`TreeBuilder::push`](crate::TreeBuilder::push)
    /// and with [`ManifestError::Missing`]; what source or sink say.
    pub fn push<S: NodeSource, K: NodeSink>(
        &mut self,
        source: &mut S,
        sink: &mut K,
        path: &LogicalPath,
        edit: Edit,
    ) -> Result<(), Failure<S, K>> {
        self.check_order(path).map_err(PatchError::Invalid)?;
        self.last_edit = Some(path.clone());
        while self.removed.last().is_some_and(|above| !path.as_str().starts_with(above.as_str())) {
            self.removed.pop();
        }
        let exists = self.advance_to(source, sink, path)?;
        match edit {
            Edit::Put(entry) => {
                if exists {
                    self.last_base = self.walk.take_entry().map(|(path, _)| path);
                } else {
                    self.check_above(source, path)?;
                    self.last_new = Some(path.clone());
                }
                self.append(sink, path, &entry)?;
                if !exists {
                    self.watched.push(path.clone());
                }
            }
            Edit::Remove if exists => {
                self.last_base = self.walk.take_entry().map(|(path, _)| path);
                self.removed.push(path.clone());
            }
            Edit::Remove => match self.policy {
                MissingRemove::Ignore => self.missing += 1,
                MissingRemove::Refuse => {
                    let path = path.clone();
                    return Err(PatchError::Invalid(ManifestError::Missing { path }));
                }
            },
        }
        Ok(())
    }

    /// Takes over the rest of the base and ends the tree.
    ///
    /// # Errors
    /// As for [`Patcher::push`].
    pub fn finish<S: NodeSource, K: NodeSink>(
        mut self,
        source: &mut S,
        sink: &mut K,
    ) -> Result<Patched, Failure<S, K>> {
        loop {
            let adopt = match self.walk.peek() {
                None => break,
                Some(Item::Entry { .. }) => {
                    self.keep_entry(sink)?;
                    continue;
                }
                // With nothing after it, the last node of a level is as good as
                // any; but were it the only one of its level, the root might
                // have to be further down.
                Some(Item::Node { level, child, last }) => {
                    (!last || self.builder.has_nodes(level))
                        && may_adopt(&self.builder, &mut self.watched, level, child)
                }
            };
            if adopt { self.adopt(sink)? } else { self.open(source)? }
        }
        let mut new =
            NewOnly { sink, opened: &self.opened, nodes: &mut self.nodes, bytes: &mut self.bytes };
        let tree = self.builder.finish(&mut new)?;
        Ok(Patched { tree, nodes: self.nodes, bytes: self.bytes, missing: self.missing })
    }

    fn check_order(&self, path: &LogicalPath) -> Result<(), ManifestError> {
        match &self.last_edit {
            Some(last) if last == path => Err(ManifestError::Duplicate { path: path.clone() }),
            Some(last) if last > path => {
                Err(ManifestError::OutOfOrder { path: path.clone(), after: last.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Takes over what lies before `path`; says whether the base has `path`,
    /// which then is the walk's first item.
    fn advance_to<S: NodeSource, K: NodeSink>(
        &mut self,
        source: &mut S,
        sink: &mut K,
        path: &LogicalPath,
    ) -> Result<bool, Failure<S, K>> {
        loop {
            let adopt = match self.walk.peek() {
                None => return Ok(false),
                Some(Item::Entry { path: found, .. }) => {
                    if found >= path {
                        return Ok(found == path);
                    }
                    self.keep_entry(sink)?;
                    continue;
                }
                // The last node of a level ended because there was no more; an
                // edit after it may make it grow.
                Some(Item::Node { level, child, last }) => {
                    !last
                        && child.last_path < *path
                        && may_adopt(&self.builder, &mut self.watched, level, child)
                }
            };
            if adopt { self.adopt(sink)? } else { self.open(source)? }
        }
    }

    fn keep_entry<K: NodeSink, R>(&mut self, sink: &mut K) -> Result<(), PatchError<R, K::Error>> {
        if let Some((path, entry)) = self.walk.take_entry() {
            self.append(sink, &path, &entry)?;
            self.last_base = Some(path);
        }
        Ok(())
    }

    fn append<K: NodeSink, R>(
        &mut self,
        sink: &mut K,
        path: &LogicalPath,
        entry: &Entry,
    ) -> Result<(), PatchError<R, K::Error>> {
        let mut new =
            NewOnly { sink, opened: &self.opened, nodes: &mut self.nodes, bytes: &mut self.bytes };
        Ok(self.builder.push(path, entry, &mut new)?)
    }

    fn adopt<K: NodeSink, R>(&mut self, sink: &mut K) -> Result<(), PatchError<R, K::Error>> {
        let level = match self.walk.peek() {
            Some(Item::Node { level, .. }) => level,
            _ => return Ok(()),
        };
        if let Some(child) = self.walk.take_node() {
            let mut new = NewOnly {
                sink,
                opened: &self.opened,
                nodes: &mut self.nodes,
                bytes: &mut self.bytes,
            };
            self.builder.adopt(level, &child, &mut new)?;
            self.last_base = Some(child.last_path);
        }
        Ok(())
    }

    fn open<S: NodeSource, W>(&mut self, source: &mut S) -> Result<(), PatchError<S::Error, W>> {
        let id = self.walk.expand(source)?;
        self.opened.extend(id);
        Ok(())
    }

    /// Refuses a new path below an entry of the base that stays. An entry that
    /// the edits put there is found by the builder.
    fn check_above<S: NodeSource, W>(
        &mut self,
        source: &mut S,
        path: &LogicalPath,
    ) -> Result<(), PatchError<S::Error, W>> {
        let next = match self.walk.peek() {
            Some(Item::Entry { path, .. }) => Some(path.clone()),
            _ => None,
        };
        let known = [&self.last_base, &next, &self.last_new];
        for above in path.ancestors() {
            // What a path of the base lies below is a directory of the base, and
            // so is everything above it. Below a new path this was looked up.
            let is_directory =
                |known: &LogicalPath| known.as_str().len() > above.len() && known.is_within(above);
            if known.into_iter().flatten().any(is_directory) {
                return Ok(());
            }
            let file = LogicalPath::from_checked(above);
            if !self.removed.contains(&file) && lookup(source, &self.base, &file)?.is_some() {
                let below = path.clone();
                return Err(PatchError::Invalid(ManifestError::FileAsDirectory { file, below }));
            }
        }
        Ok(())
    }
}

/// Whether the node can be taken unread: the builder is at the start of a node
/// on every level up to its own, and nothing in it can lie below a new path.
fn may_adopt(builder: &Builder, watched: &mut Vec<LogicalPath>, level: u8, child: &Child) -> bool {
    // The builder's last path is at or after every watched one; past `w/` it can
    // only be outside of it, for else the builder had refused it.
    let passed = |path: &LogicalPath| {
        let last = builder.last_path();
        !last.starts_with(path.as_bytes()) || last.get(path.as_bytes().len()) > Some(&b'/')
    };
    while watched.last().is_some_and(passed) {
        watched.pop();
    }
    // Of paths that are prefixes of each other, none equal or below another, the
    // longest comes with its slash first.
    let may_conflict = watched.last().is_some_and(|path| {
        let last = child.last_path.as_bytes();
        let length = path.as_bytes().len();
        match last.get(..length) {
            Some(head) if head == path.as_bytes() => last.get(length) >= Some(&b'/'),
            _ => last > path.as_bytes(),
        }
    });
    !may_conflict && builder.is_aligned(level)
}

/// Keeps nodes of the base that came out the same from the sink.
struct NewOnly<'a, K> {
    sink: &'a mut K,
    opened: &'a HashSet<NodeId>,
    nodes: &'a mut u64,
    bytes: &'a mut u64,
}

impl<K: NodeSink> NodeSink for NewOnly<'_, K> {
    type Error = K::Error;

    fn put_node(&mut self, id: NodeId, bytes: Vec<u8>, level: u8) -> Result<(), K::Error> {
        if self.opened.contains(&id) {
            return Ok(());
        }
        *self.nodes += 1;
        *self.bytes += bytes.len() as u64;
        self.sink.put_node(id, bytes, level)
    }
}

/// Applies all edits of an iterator, in ascending path order, to the tree
/// `base`: [`Patcher`] in one call.
///
/// # Errors
/// As for [`Patcher::push`].
pub fn patch<S: NodeSource, K: NodeSink>(
    source: &mut S,
    base: &NodeId,
    edits: impl IntoIterator<Item = (LogicalPath, Edit)>,
    sink: &mut K,
) -> Result<Patched, PatchError<S::Error, K::Error>> {
    let mut patcher = Patcher::new(source, base)?;
    for (path, edit) in edits {
        patcher.push(source, sink, &path, edit)?;
    }
    patcher.finish(source, sink)
}

/// Checks a tree from a stranger: every node, all sums, no entry used as a
/// directory, and that the boundaries are where the format puts them, so that
/// the root is *the* digest of its entries.
///
/// With a `base` that is known to be good, only nodes that differ from it are
/// read and the cost follows the change; else pass
/// [`empty_tree`](crate::empty_tree) and everything is read. The entries that are
/// not in the base are told to `visit`, as they come; an error of `visit` ends
/// the check as [`ReadError::Source`].
///
/// # Errors
/// [`ReadError::Damaged`] names the node at fault, or the root where the fault
/// is in the whole; what `visit` returns.
pub fn check_tree<S: NodeSource>(
    source: &mut S,
    base: &NodeId,
    root: &NodeId,
    visit: impl FnMut(&LogicalPath, &Entry) -> Result<(), S::Error>,
) -> Result<TreeSummary, ReadError<S::Error>> {
    check_with(source, base, root, FORMAT, visit)
}

pub(crate) fn check_with<S: NodeSource>(
    source: &mut S,
    base: &NodeId,
    root: &NodeId,
    params: Params,
    mut visit: impl FnMut(&LogicalPath, &Entry) -> Result<(), S::Error>,
) -> Result<TreeSummary, ReadError<S::Error>> {
    // Edits that lead to the same entries lead to the same tree if that tree is
    // canonical; so remaking the tree from its difference to a good one checks
    // everything that is not the base's.
    let mut diff = DiffState::new(*base, *root);
    let mut patcher = Patcher::with_params(source, base, params)?;
    let narrow = |error| match error {
        PatchError::Read(error) => error,
        PatchError::Sink(never) => match never {},
        PatchError::Invalid(error) => damaged(*root, error.into()),
    };
    while let Some(change) = diff.next(source)? {
        let edit = match change.kind.into_sides() {
            (_, Some(after)) => {
                visit(&change.path, &after).map_err(ReadError::Source)?;
                Edit::Put(after)
            }
            _ => Edit::Remove,
        };
        patcher.push(source, &mut Discard, &change.path, edit).map_err(narrow)?;
    }
    let tree = patcher.finish(source, &mut Discard).map_err(narrow)?.tree;
    if tree.root != *root {
        return Err(damaged(*root, Damage::NotCanonical { canonical: tree.root }));
    }
    Ok(tree)
}
