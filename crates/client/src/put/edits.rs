//! What is added to and removed from a draft's base, as edits of its tree.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::rc::Rc;

use heirloom_api::Problem;
use heirloom_core::nearest;
use heirloom_manifest::{
    Edit, Entries, Entry, LogicalPath, ManifestError, NodeId, NodeSource, PatchError, Patcher,
    Range, Tree, TreeSummary,
};

use super::gather::Gathered;
use super::merge::{Merged, What};
use super::sink::Tray;
use crate::draft::Base;
use crate::nodes::{Nodes, read_problem};
use crate::{Error, Result};

/// Bytes of nodes that are kept for the next look at them: those near the root
/// are needed for every path.
const KEPT_BYTES: usize = 4 << 20;

/// Names of one directory among which those near to a mistyped one are sought.
const NAMES_SEARCHED: usize = 10_000;

/// A base, and where its nodes are.
pub(crate) struct Editing {
    pub(crate) base: Base,
    pub(crate) nodes: Nodes,
}

/// The tree of a base with edits that come in path order.
pub(crate) struct Edited {
    nodes: Shared,
    patcher: Patcher,
    removals: Removals,
    /// Empty directories that would not be empty.
    skipped: HashSet<LogicalPath>,
    tray: Tray,
}

impl Edited {
    /// Looks for everything that is to be removed, and at every directory that
    /// something is added to: what does not go together with the base is found
    /// before anything is sent.
    pub(crate) fn new(gathered: &Gathered, editing: Editing, tray: Tray) -> Result<Self> {
        let Editing { base, nodes } = editing;
        let mut nodes = Shared(Rc::new(RefCell::new(Kept::new(nodes))));
        let root = base.doc.root;
        let mut removals = Removals::find(gathered, &base, &mut nodes)?;
        let mut fitting =
            Fitting { nodes: nodes.clone(), root, gathered, above: Vec::new(), absent: None };
        let mut skipped = HashSet::new();
        for item in Merged::new(gathered)? {
            let item = item?;
            removals.emptied.extend(fitting.fit(&item.path)?);
            if matches!(item.what, What::Entry(Entry::EmptyDirectory))
                && fitting.is_filled(&item.path)?
            {
                skipped.insert(item.path);
            }
        }
        let patcher = Patcher::new(&mut nodes, &root).map_err(read_problem)?;
        removals.start();
        Ok(Self { nodes, patcher, removals, skipped, tray })
    }

    /// Puts an entry, after all before it in path order.
    pub(crate) fn push(&mut self, path: &LogicalPath, entry: &Entry) -> Result<()> {
        if self.skipped.contains(path) {
            return Ok(());
        }
        while let Some(removed) = self.removals.next_up_to(path)? {
            if removed != *path {
                self.edit(&removed, Edit::Remove)?;
            }
        }
        self.edit(path, Edit::Put(entry.clone()))
    }

    pub(crate) fn finish(mut self) -> Result<TreeSummary> {
        while let Some(removed) = self.removals.next()? {
            self.edit(&removed, Edit::Remove)?;
        }
        let patched = self.patcher.finish(&mut self.nodes, &mut self.tray).map_err(patch_error)?;
        Ok(patched.tree)
    }

    fn edit(&mut self, path: &LogicalPath, edit: Edit) -> Result<()> {
        self.patcher.push(&mut self.nodes, &mut self.tray, path, edit).map_err(patch_error)
    }
}

fn patch_error(error: PatchError<Problem, Infallible>) -> Error {
    match error {
        PatchError::Read(error) => read_problem(error).into(),
        PatchError::Invalid(ManifestError::FileAsDirectory { file, below }) => {
            both(&file, below.escaped())
        }
        PatchError::Invalid(error) => error.into(),
        PatchError::Sink(never) => match never {},
        other => Error::usage(other.to_string()),
    }
}

fn both(file: &LogicalPath, directory: String) -> Error {
    Error::FileAndDirectory { file: file.escaped(), directory }
}

/// Whether a path of the base is removed by what the user said.
fn is_removed(gathered: &Gathered, path: &LogicalPath) -> bool {
    gathered.removes.iter().any(|remove| path.is_within(&remove.path))
}

/// Holds the directories that things are added to against the base.
struct Fitting<'a> {
    nodes: Shared,
    root: NodeId,
    gathered: &'a Gathered,
    /// Directories above the last path, from the top, which were looked at.
    above: Vec<LogicalPath>,
    /// A directory of which the base has nothing.
    absent: Option<LogicalPath>,
}

impl Fitting<'_> {
    /// The empty directories of the base above `path`, where something is to lie
    /// now, that were not told before.
    fn fit(&mut self, path: &LogicalPath) -> Result<Vec<LogicalPath>> {
        while self.above.last().is_some_and(|dir| !path.is_within(dir.as_str())) {
            self.above.pop();
        }
        let mut emptied = Vec::new();
        let above: Vec<&str> = path.ancestors().collect();
        for dir in above.into_iter().rev().skip(self.above.len()) {
            let dir = LogicalPath::new(dir)?;
            self.above.push(dir.clone());
            if self.absent.as_ref().is_some_and(|absent| dir.is_within(absent.as_str())) {
                continue;
            }
            let found = Tree::new(&mut self.nodes, self.root).lookup(&dir).map_err(read_problem)?;
            match found {
                None => {
                    if self.first_within(&dir)?.is_none() {
                        self.absent = Some(dir);
                    }
                }
                Some(_) if is_removed(self.gathered, &dir) => {}
                Some(Entry::EmptyDirectory) => emptied.push(dir),
                Some(_) => return Err(both(&dir, path.escaped())),
            }
        }
        Ok(emptied)
    }

    /// Whether the base keeps something below `dir`, which is to be added as an
    /// empty directory.
    fn is_filled(&mut self, dir: &LogicalPath) -> Result<bool> {
        let range = Range { within: Some(dir.clone()), after: None };
        for entry in Entries::new(&mut self.nodes, self.root, range) {
            let (path, entry) = entry.map_err(read_problem)?;
            if is_removed(self.gathered, &path) {
                continue;
            }
            match path == *dir {
                true if entry == Entry::EmptyDirectory => {}
                true => return Err(both(dir, format!("{}/", dir.escaped()))),
                false => return Ok(true),
            }
        }
        Ok(false)
    }

    fn first_within(&mut self, dir: &LogicalPath) -> Result<Option<LogicalPath>> {
        first_within(&mut self.nodes, self.root, dir)
    }
}

/// The first path at or below `dir`.
fn first_within(
    nodes: &mut Shared,
    root: NodeId,
    dir: &LogicalPath,
) -> Result<Option<LogicalPath>> {
    let range = Range { within: Some(dir.clone()), after: None };
    let first = Entries::new(nodes, root, range).next().transpose().map_err(read_problem)?;
    Ok(first.map(|(path, _)| path))
}

/// Paths to remove from the base, in order.
struct Removals {
    nodes: Shared,
    root: NodeId,
    /// Single paths, and directories by their first path, the next one last.
    left: Vec<(LogicalPath, Option<LogicalPath>)>,
    /// Empty directories that something is added to.
    emptied: Vec<LogicalPath>,
    open: Option<Entries<Shared>>,
    next: Option<LogicalPath>,
}

impl Removals {
    /// Finds where each begins; one that removes nothing is an error.
    fn find(gathered: &Gathered, base: &Base, nodes: &mut Shared) -> Result<Self> {
        let root = base.doc.root;
        let mut wanted: Vec<(&str, bool)> =
            gathered.removes.iter().map(|remove| (remove.path.as_str(), remove.hit)).collect();
        wanted.sort_unstable();
        let mut left: Vec<(LogicalPath, Option<LogicalPath>)> = Vec::new();
        let mut missing = Vec::new();
        for (path, hit) in wanted {
            let path = LogicalPath::new(path)?;
            match first_within(nodes, root, &path)? {
                Some(first) if first == path => left.push((first, None)),
                Some(first) => left.push((first, Some(path))),
                None if hit || base.rebased => {}
                None => missing.push(path),
            }
        }
        if let Some(first) = missing.first() {
            return Err(absent(base, nodes, first, &missing)?.into());
        }
        Ok(Self { nodes: nodes.clone(), root, left, emptied: Vec::new(), open: None, next: None })
    }

    /// Puts everything in order. What lies below a directory lies together, so
    /// first paths order them; of those with one first path the highest counts.
    fn start(&mut self) {
        self.left.extend(self.emptied.drain(..).map(|path| (path, None)));
        self.left.sort_unstable_by(|a, b| {
            let depth = |dir: &Option<LogicalPath>| {
                dir.as_ref().map_or(usize::MAX, |dir| dir.as_str().len())
            };
            b.0.cmp(&a.0).then(depth(&b.1).cmp(&depth(&a.1)))
        });
    }

    /// The next path, if it is at most this.
    fn next_up_to(&mut self, path: &LogicalPath) -> Result<Option<LogicalPath>> {
        if self.next.is_none() {
            self.next = self.advance()?;
        }
        Ok(self.next.take_if(|next| *next <= *path))
    }

    fn next(&mut self) -> Result<Option<LogicalPath>> {
        match self.next.take() {
            Some(next) => Ok(Some(next)),
            None => self.advance(),
        }
    }

    fn advance(&mut self) -> Result<Option<LogicalPath>> {
        loop {
            if let Some(entries) = &mut self.open {
                if let Some(entry) = entries.next() {
                    return Ok(Some(entry.map_err(read_problem)?.0));
                }
                self.open = None;
            }
            let Some((first, dir)) = self.left.pop() else { return Ok(None) };
            // What this one covers need not be removed twice.
            let within = dir.as_ref().unwrap_or(&first);
            while self.left.last().is_some_and(|(next, _)| next.is_within(within.as_str())) {
                self.left.pop();
            }
            match dir {
                None => return Ok(Some(first)),
                Some(dir) => {
                    let range = Range { within: Some(dir), after: None };
                    self.open = Some(Entries::new(self.nodes.clone(), self.root, range));
                }
            }
        }
    }
}

/// That these are not in the base, and what is there of a name near to the first.
fn absent(
    base: &Base,
    nodes: &mut Shared,
    first: &LogicalPath,
    missing: &[LogicalPath],
) -> Result<Problem> {
    let name = base.name();
    let mut problem = Problem::not_found("path", format_args!("{}` in `{name}", first.escaped()));
    let parent = first.parent().map(LogicalPath::new).transpose()?;
    let mut names = Vec::new();
    for item in Tree::new(nodes, base.doc.root).list_dir(parent.as_ref(), None).take(NAMES_SEARCHED)
    {
        names.push(item.map_err(read_problem)?.name().to_owned());
    }
    let near = nearest(first.file_name(), names);
    problem.nearest = near
        .into_iter()
        .map(|name| match &parent {
            Some(parent) => format!("{parent}/{name}"),
            None => name,
        })
        .collect();
    if missing.len() > 1 {
        problem.message = format!(
            "path `{}` in `{name}` does not exist, nor do {} others",
            first.escaped(),
            missing.len() - 1
        );
        problem.items = missing.iter().map(LogicalPath::escaped).collect();
    }
    Ok(problem)
}

/// The base's nodes for all who read them.
#[derive(Clone)]
struct Shared(Rc<RefCell<Kept>>);

impl NodeSource for Shared {
    type Bytes = Rc<[u8]>;
    type Error = Problem;

    fn node(&mut self, id: &NodeId) -> Result<Rc<[u8]>, Problem> {
        self.0.borrow_mut().node(id)
    }

    fn prefetch(&mut self, ids: &[NodeId]) {
        self.0.borrow_mut().nodes.prefetch(ids);
    }
}

/// Keeps the nodes that were read last.
struct Kept {
    nodes: Nodes,
    kept: HashMap<NodeId, Rc<[u8]>>,
    order: VecDeque<NodeId>,
    bytes: usize,
}

impl Kept {
    fn new(nodes: Nodes) -> Self {
        Self { nodes, kept: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    fn node(&mut self, id: &NodeId) -> Result<Rc<[u8]>, Problem> {
        if let Some(bytes) = self.kept.get(id) {
            return Ok(Rc::clone(bytes));
        }
        let bytes: Rc<[u8]> = self.nodes.node(id)?.into();
        self.bytes += bytes.len();
        self.kept.insert(*id, Rc::clone(&bytes));
        self.order.push_back(*id);
        while self.bytes > KEPT_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.kept.remove(&oldest).map_or(0, |bytes| bytes.len());
        }
        Ok(bytes)
    }
}
