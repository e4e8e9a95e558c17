//! Three-way merge: what must be done to one tree to take over the changes of
//! another since both left a common base.

use crate::diff::{Change, ChangeKind, DiffState};
use crate::digest::NodeId;
use crate::entry::Entry;
use crate::error::ReadError;
use crate::nodes::NodeSource;
use crate::patch::Edit;
use crate::path::LogicalPath;

/// One of the two trees being merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The tree that the merge's edits apply to.
    Ours,
    /// The tree whose changes are taken over.
    Theirs,
}

/// A place where both trees changed in ways that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Both changed one path, differently.
    Entry(Box<EntryConflict>),
    /// One added an entry, the other something below that path.
    FileAndDirectory {
        /// The path that one side made an entry.
        file: LogicalPath,
        /// That side.
        file_side: Side,
        /// A path below it, added by the other side.
        below: LogicalPath,
    },
}

/// A path that both trees changed, differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryConflict {
    /// The path.
    pub path: LogicalPath,
    /// The entry in the base, if it has the path.
    pub base: Option<Entry>,
    /// The entry in our tree, if it has the path.
    pub ours: Option<Entry>,
    /// The entry in their tree, if it has the path.
    pub theirs: Option<Entry>,
}

/// One step of a [`Merge`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeStep {
    /// An edit for our tree.
    Edit(LogicalPath, Edit),
    /// A conflict. Edits, earlier ones too, then make no sense as a whole.
    Conflict(Conflict),
}

/// Everything a merge says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MergePlan {
    /// Edits for our tree, in path order. To be applied only without conflicts.
    pub edits: Vec<(LogicalPath, Edit)>,
    /// The conflicts, in path order.
    pub conflicts: Vec<Conflict>,
}

/// Streams the steps of a three-way merge in path order. Ends after the first
/// error.
///
/// What only one side changed is taken; what both changed to the same is no
/// conflict. Without a conflict, patching our tree with the edits succeeds and
/// gives the tree with both sides' changes. The cost is that of the two diffs.
pub struct Merge<S> {
    source: S,
    ours: Changes,
    theirs: Changes,
    pending: Option<MergeStep>,
    done: bool,
}

impl<S> std::fmt::Debug for Merge<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merge").field("done", &self.done).finish_non_exhaustive()
    }
}

/// The changes of one side, with a view of the next.
struct Changes {
    diff: DiffState,
    next: Option<Change>,
    started: bool,
    /// Added paths that the current path starts with.
    added: Vec<LogicalPath>,
}

impl Changes {
    fn new(base: NodeId, side: NodeId) -> Self {
        Self { diff: DiffState::new(base, side), next: None, started: false, added: Vec::new() }
    }

    fn peek<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<&LogicalPath>, ReadError<S::Error>> {
        if !self.started {
            self.started = true;
            self.next = self.diff.next(source)?;
        }
        Ok(self.next.as_ref().map(|change| &change.path))
    }

    fn take<S: NodeSource>(
        &mut self,
        source: &mut S,
    ) -> Result<Option<Change>, ReadError<S::Error>> {
        let next = self.diff.next(source)?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// The added entry that `path` lies below.
    fn above(&mut self, path: &LogicalPath) -> Option<LogicalPath> {
        while self.added.last().is_some_and(|above| !path.as_str().starts_with(above.as_str())) {
            self.added.pop();
        }
        // The stack may hold `a`, `a-` and `a-b` at once.
        let below = |above: &&LogicalPath| path != *above && path.is_within(above.as_str());
        self.added.iter().find(below).cloned()
    }
}

impl<S: NodeSource> Merge<S> {
    /// Merges `theirs` into `ours`, which both come from `base`. Reads nothing
    /// yet; the source supplies the nodes of all three.
    pub fn new(source: S, base: NodeId, ours: NodeId, theirs: NodeId) -> Self {
        Self {
            source,
            ours: Changes::new(base, ours),
            theirs: Changes::new(base, theirs),
            pending: None,
            done: false,
        }
    }

    /// Runs to the end. Memory follows the number of changes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn plan(self) -> Result<MergePlan, ReadError<S::Error>> {
        let mut plan = MergePlan::default();
        for step in self {
            match step? {
                MergeStep::Edit(path, edit) => plan.edits.push((path, edit)),
                MergeStep::Conflict(conflict) => plan.conflicts.push(conflict),
            }
        }
        Ok(plan)
    }

    fn advance(&mut self) -> Result<Option<MergeStep>, ReadError<S::Error>> {
        loop {
            if let Some(step) = self.pending.take() {
                return Ok(Some(step));
            }
            let source = &mut self.source;
            let (ours, theirs) = (self.ours.peek(source)?, self.theirs.peek(source)?);
            let (take_ours, take_theirs) = match (ours, theirs) {
                (None, None) => return Ok(None),
                (Some(_), None) => (true, false),
                (None, Some(_)) => (false, true),
                (Some(a), Some(b)) => (a <= b, b <= a),
            };
            let ours = if take_ours { self.ours.take(source)? } else { None };
            let theirs = if take_theirs { self.theirs.take(source)? } else { None };
            let step = match (ours, theirs) {
                (None, None) => None,
                (Some(ours), None) => self.one_side(Side::Ours, &ours),
                (None, Some(theirs)) => {
                    let conflict = self.one_side(Side::Theirs, &theirs);
                    let edit = match theirs.kind.into_sides().1 {
                        Some(after) => Edit::Put(after),
                        None => Edit::Remove,
                    };
                    let step = MergeStep::Edit(theirs.path, edit);
                    match conflict {
                        Some(conflict) => {
                            self.pending = Some(step);
                            Some(conflict)
                        }
                        None => Some(step),
                    }
                }
                (Some(ours), Some(theirs)) => both(ours, theirs),
            };
            if step.is_some() {
                return Ok(step);
            }
        }
    }

    /// Notes an added entry, and finds what the other side added above it.
    fn one_side(&mut self, side: Side, change: &Change) -> Option<MergeStep> {
        if !matches!(change.kind, ChangeKind::Added(_)) {
            return None;
        }
        let (own, other, file_side) = match side {
            Side::Ours => (&mut self.ours, &mut self.theirs, Side::Theirs),
            Side::Theirs => (&mut self.theirs, &mut self.ours, Side::Ours),
        };
        own.above(&change.path);
        own.added.push(change.path.clone());
        let file = other.above(&change.path)?;
        let below = change.path.clone();
        Some(MergeStep::Conflict(Conflict::FileAndDirectory { file, file_side, below }))
    }
}

/// Both sides changed the path. Where both added it, nothing one side has above
/// it can be missing on the other without being a change of that other.
fn both(ours: Change, theirs: Change) -> Option<MergeStep> {
    let path = ours.path;
    let (base, ours) = ours.kind.into_sides();
    let (_, theirs) = theirs.kind.into_sides();
    if ours == theirs {
        return None;
    }
    let conflict = Box::new(EntryConflict { path, base, ours, theirs });
    Some(MergeStep::Conflict(Conflict::Entry(conflict)))
}

impl<S: NodeSource> Iterator for Merge<S> {
    type Item = Result<MergeStep, ReadError<S::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}
