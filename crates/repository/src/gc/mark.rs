//! The mark: which blobs are needed, and what that makes of each object.
//!
//! Needed blobs are gathered by the first half of their id, and compared with all
//! places in one walk in the same order. When they are too many to hold, the ids
//! are divided into ranges, and the trees are read once per range. Half an id can
//! only mark too much.

use std::collections::{BTreeMap, HashSet};

use heirloom_api::{GcPhase, Problem};
use heirloom_catalog::{CatalogExt, ObjectNumber, ObjectState};
use heirloom_core::Scope;
use heirloom_manifest::{BlobId, Link, NodeId, empty_tree};

use super::Reporter;
use super::roots::{Origin, RootTree, Roots, Why, still};
use crate::problem::Failure;
use crate::read::{Nodes, each_node, half};
use crate::{Inner, docs};

/// Most needed blobs held at once: 17 bytes each.
const MAX_HELD: usize = 3_000_000;

/// Places read in one transaction, so that none is open for long.
const PLACES_PAGE: usize = 100_000;

/// The first half of a blob's id, and why it is needed, with [`PLACED`].
type Held = [u8; 17];

/// Added to the reason once a place of the blob was seen.
const PLACED: u8 = 0x80;

/// A range of halves of ids, as numbers: from the first, to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: u128,
    /// `None`: to the end.
    to: Option<u128>,
}

impl Span {
    const ALL: Self = Self { from: 0, to: None };

    fn has(&self, half: [u8; 16]) -> bool {
        let at = u128::from_be_bytes(half);
        at >= self.from && self.to.is_none_or(|to| at < to)
    }

    /// The lower half of it.
    fn halved(self) -> Self {
        let to = self.to.unwrap_or(u128::MAX);
        Self { from: self.from, to: Some(self.from + (to - self.from) / 2) }
    }

    /// What follows, of the same width.
    fn next(self) -> Option<Self> {
        let to = self.to?;
        Some(Self { from: to, to: to.checked_add(to - self.from) })
    }
}

/// Needed blobs of a range of ids.
#[derive(Debug)]
pub(super) struct Needed {
    span: Span,
    scopes: BTreeMap<Scope, Vec<Held>>,
    /// Number of entries, those that occur twice counted twice.
    count: usize,
    /// At this number they are sorted, and what occurs twice is dropped.
    sort_at: usize,
    limit: usize,
}

impl Needed {
    fn new(span: Span, limit: usize) -> Self {
        Self { span, scopes: BTreeMap::new(), count: 0, sort_at: limit / 2, limit }
    }

    fn add(&mut self, scope: Scope, id: &BlobId, why: Why) {
        let half = half(id);
        if !self.span.has(half) {
            return;
        }
        let mut held = [why as u8; 17];
        held[..16].copy_from_slice(&half);
        self.scopes.entry(scope).or_default().push(held);
        self.count += 1;
        if self.count >= self.sort_at {
            self.shrink();
        }
    }

    /// Drops what occurs twice, and the upper part of the range while there still
    /// are too many.
    fn shrink(&mut self) {
        self.sort();
        while self.count > self.limit * 3 / 4 {
            self.span = self.span.halved();
            let span = self.span;
            for held in self.scopes.values_mut() {
                held.retain(|held| span.has(half_of(held)));
            }
            self.count = self.scopes.values().map(Vec::len).sum();
        }
        self.sort_at = (self.count * 2).clamp(self.limit / 2, self.limit);
    }

    fn sort(&mut self) {
        for held in self.scopes.values_mut() {
            held.sort_unstable();
            held.dedup_by_key(|held| half_of(held));
        }
        self.count = self.scopes.values().map(Vec::len).sum();
    }

    /// Whether a scope needs a blob, whose id is in the range. Only once sorted.
    pub(super) fn why(&self, scope: Scope, id: &BlobId) -> Option<Why> {
        let held = self.scopes.get(&scope)?;
        let at = held.binary_search_by_key(&half(id), half_of).ok()?;
        Some(Why::ALL[usize::from(held[at][16] & !PLACED)])
    }

    fn set_placed(&mut self, scope: Scope, id: &BlobId) {
        if let Some(held) = self.scopes.get_mut(&scope)
            && let Ok(at) = held.binary_search_by_key(&half(id), half_of)
        {
            held[at][16] |= PLACED;
        }
    }

    /// What no place was seen of, but the empty tree, which nobody has to store.
    fn unplaced(&self) -> impl Iterator<Item = (Scope, [u8; 16])> {
        let empty = half(&empty_tree().as_blob());
        self.scopes.iter().flat_map(move |(scope, held)| {
            let lost = held.iter().filter(|held| held[16] & PLACED == 0).map(half_of);
            lost.filter(move |half| *half != empty).map(|half| (*scope, half))
        })
    }
}

fn half_of(held: &Held) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&held[..16]);
    half
}

/// What is known of an object. Memory: one of these for each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub(super) number: ObjectNumber,
    pub(super) size: u64,
    pub(super) state: ObjectState,
    pub(super) claimed_epoch: u64,
    pub(super) is_pack: bool,
    pub(super) is_leased: bool,
    /// Places in it, needed or not.
    pub(super) blobs: u32,
    /// Whether a needed blob has a place in it.
    pub(super) is_needed: bool,
    /// Bytes of blobs for which it is the newest place, by why they are needed:
    /// for good, or for as long as a version can be restored.
    pub(super) firm: u64,
    pub(super) restorable: u64,
    /// The first reason of all.
    pub(super) why: Option<Why>,
}

impl Tally {
    /// Whether a collector of this epoch may give it up at all.
    pub(super) fn is_free(&self, epoch: u64) -> bool {
        !self.is_leased && self.claimed_epoch < epoch && self.state != ObjectState::Deleting
    }

    /// Bytes that a pack of what it is read for would have.
    pub(super) fn live(&self) -> u64 {
        (self.firm + self.restorable).min(self.size)
    }
}

/// What the mark found.
pub(super) struct Marked {
    /// Ascending by number.
    pub(super) objects: Vec<Tally>,
    /// All needed blobs, when they could be held at once.
    pub(super) needed: Option<Needed>,
    /// Needed blobs, by the first half of their id, that no usable place was seen of.
    pub(super) unplaced: HashSet<(Scope, [u8; 16])>,
}

/// Bytes that a blob takes in a pack, and a pack by itself (`docs/format.md` §4).
pub(super) const RECORD_BYTES: u64 = 64;
pub(super) const FRAME_BYTES: u64 = 72;

/// Reads all trees, and tells what each object is needed for. The objects and
/// leases are those of the snapshot that the roots were read in.
pub(super) fn mark(
    inner: &Inner,
    roots: &mut Roots,
    mut objects: Vec<Tally>,
    report: &Reporter<'_>,
) -> Result<Marked, Failure> {
    let mut span = Span::ALL;
    let mut unplaced = HashSet::new();
    loop {
        let mut needed = gather(inner, roots, span, MAX_HELD, report)?;
        tally(inner, &mut needed, &mut objects)?;
        unplaced.extend(needed.unplaced());
        match needed.span.next() {
            None => {
                let needed = (needed.span == Span::ALL).then_some(needed);
                return Ok(Marked { objects, needed, unplaced });
            }
            Some(next) => span = next,
        }
    }
}

/// Which of the given blobs, sorted, are needed: the trees are read once more.
pub(super) fn ask(
    inner: &Inner,
    roots: &mut Roots,
    blobs: &[(Scope, BlobId)],
    report: &Reporter<'_>,
) -> Result<HashSet<(Scope, BlobId)>, Failure> {
    let mut found = HashSet::new();
    walk(inner, roots, report, &mut |scope, id, _| {
        if let Ok(at) = blobs.binary_search(&(scope, *id)) {
            found.insert(blobs[at]);
        }
    })?;
    Ok(found)
}

fn gather(
    inner: &Inner,
    roots: &mut Roots,
    span: Span,
    limit: usize,
    report: &Reporter<'_>,
) -> Result<Needed, Failure> {
    let mut needed = Needed::new(span, limit);
    walk(inner, roots, report, &mut |scope, id, why| needed.add(scope, id, why))?;
    needed.sort();
    Ok(needed)
}

/// Visits everything that hangs on the roots, at least once.
fn walk(
    inner: &Inner,
    roots: &mut Roots,
    report: &Reporter<'_>,
    visit: &mut dyn FnMut(Scope, &BlobId, Why),
) -> Result<(), Failure> {
    for (scope, why, id) in &roots.blobs {
        visit(*scope, id, *why);
    }
    let total = roots.trees.len() as u64;
    let mut at = 0;
    while at < roots.trees.len() {
        let scope = roots.trees[at].scope;
        let of_scope = roots.trees[at..].partition_point(|tree| tree.scope == scope);
        match walk_scope(inner, &roots.trees[at..at + of_scope], visit, &mut |done| {
            report.progress(GcPhase::Mark, at as u64 + done, Some(total));
        })? {
            None => at += of_scope,
            // Somebody else has purged it. What was read until then does no harm,
            // but of the trees that share nodes with it not all was seen.
            Some(gone) => drop(roots.trees.remove(at + gone)),
        }
    }
    Ok(())
}

/// Visits the trees of a scope; the answer is one that turned out to be a root no
/// more.
fn walk_scope(
    inner: &Inner,
    trees: &[RootTree],
    visit: &mut dyn FnMut(Scope, &BlobId, Why),
    progress: &mut dyn FnMut(u64),
) -> Result<Option<usize>, Failure> {
    let mut seen: HashSet<NodeId> = HashSet::new();
    for (at, tree) in trees.iter().enumerate() {
        let RootTree { why, scope, root, .. } = *tree;
        visit(scope, &root.as_blob(), why);
        let mut nodes = Nodes::new(inner, scope);
        let walked = each_node(&mut nodes, root, &mut seen, &mut |_, links| {
            for link in links {
                match link {
                    Link::Child(child) => visit(scope, &child.as_blob(), why),
                    Link::Blob(blob, _) => visit(scope, blob, why),
                }
            }
            Ok(())
        });
        if let Err(failure) = walked {
            return match inner.catalog.view(|view| still(view, tree.origin))? {
                true => Err(named(inner, tree.origin, failure)),
                false => Ok(Some(at)),
            };
        }
        progress(at as u64 + 1);
    }
    Ok(None)
}

/// The failure to read a root's tree, with what it is.
pub(super) fn named(inner: &Inner, origin: Origin, failure: Failure) -> Failure {
    let name = match origin {
        Origin::Version(id) => inner.catalog.view(|view| {
            Ok::<_, Failure>(match view.version(id)? {
                Some(row) => docs::version_ref(view, &row)?.to_string(),
                None => id.to_string(),
            })
        }),
        Origin::Draft(id) => Ok(format!("the base of draft {id}")),
        Origin::Parts(id) => Ok(format!("a part of set {}", id.get())),
    };
    let name = name.unwrap_or_else(|_| format!("{origin:?}"));
    let problem = failure.0;
    Problem {
        message: format!(
            "what {name} needs cannot be told, so nothing is removed: {}",
            problem.message
        ),
        ..problem
    }
    .into()
}

/// Adds the places of a range of blobs to the objects that they are in.
fn tally(inner: &Inner, needed: &mut Needed, objects: &mut [Tally]) -> Result<(), Failure> {
    let mut after = None;
    let mut blob = Places::default();
    loop {
        after = inner.catalog.view(|view| {
            view.placed_blobs(after, PLACES_PAGE, &mut |placed| {
                if !needed.span.has(half(&placed.blob)) {
                    return;
                }
                let of = (placed.scope, placed.blob);
                if blob.of != Some(of) {
                    blob.close(objects);
                    blob = Places { of: Some(of), why: needed.why(of.0, &of.1), newest: None };
                }
                let Ok(at) = objects.binary_search_by_key(&placed.object, |tally| tally.number)
                else {
                    // Newer than the snapshot, and no matter of ours but as a place.
                    if blob.why.is_some() {
                        needed.set_placed(of.0, &of.1);
                    }
                    return;
                };
                let tally = &mut objects[at];
                tally.blobs = tally.blobs.saturating_add(1);
                if blob.why.is_some() {
                    tally.is_needed = true;
                }
                if tally.state != ObjectState::Deleting {
                    if blob.why.is_some() {
                        needed.set_placed(of.0, &of.1);
                    }
                    blob.newest = Some((at, placed.stored));
                }
            })
        })?;
        if after.is_none() {
            blob.close(objects);
            return Ok(());
        }
    }
}

/// The places of one blob.
#[derive(Default)]
struct Places {
    of: Option<(Scope, BlobId)>,
    why: Option<Why>,
    newest: Option<(usize, u64)>,
}

impl Places {
    fn close(&self, objects: &mut [Tally]) {
        let (Some(why), Some((at, stored))) = (self.why, self.newest) else { return };
        let tally = &mut objects[at];
        let bytes = if tally.is_pack { stored + RECORD_BYTES } else { stored };
        match why {
            Why::Restorable => tally.restorable += bytes,
            _ => tally.firm += bytes,
        }
        tally.why = Some(tally.why.map_or(why, |before| before.min(why)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(number: u64) -> BlobId {
        BlobId::of(&number.to_le_bytes())
    }

    proptest! {
        /// However small the memory, each blob is in exactly one range, with the
        /// first of its reasons.
        #[test]
        fn ranges_cover_everything_once(
            blobs in prop::collection::vec((0_u64..300, 0_usize..4, 0_i64..2), 0..400),
            limit in 8_usize..200,
        ) {
            let mut found = BTreeMap::new();
            let mut span = Span::ALL;
            loop {
                let mut needed = Needed::new(span, limit);
                for (number, why, scope) in &blobs {
                    needed.add(Scope(heirloom_core::ProjectId(*scope)), &id(*number), Why::ALL[*why]);
                }
                needed.sort();
                prop_assert!(needed.count <= limit);
                for (number, _, scope) in &blobs {
                    let scope = Scope(heirloom_core::ProjectId(*scope));
                    if needed.span.has(half(&id(*number))) {
                        let why = needed.why(scope, &id(*number)).unwrap();
                        let before = found.insert((scope, *number), (why, span.from));
                        prop_assert!(before.is_none_or(|before| before == (why, span.from)));
                    }
                }
                match needed.span.next() {
                    Some(next) => span = next,
                    None => break,
                }
            }
            for (number, _, scope) in &blobs {
                let scope = Scope(heirloom_core::ProjectId(*scope));
                let first = blobs
                    .iter()
                    .filter(|of| of.0 == *number && Scope(heirloom_core::ProjectId(of.2)) == scope)
                    .map(|of| Why::ALL[of.1])
                    .min();
                prop_assert_eq!(found.get(&(scope, *number)).map(|at| at.0), first);
            }
        }
    }
}
