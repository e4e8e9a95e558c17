//! What content hangs on, read in one snapshot.

use heirloom_catalog::rules::part_set_end;
use heirloom_catalog::{PartSetState, View};
use heirloom_core::{DraftId, PartSetId, ProjectId, Scope, Timestamp, VersionId};
use heirloom_manifest::{BlobId, NodeId};

use crate::problem::Failure;

const PAGE: usize = 1000;

/// Why a blob is kept. Of several reasons the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Why {
    Version,
    Parts,
    Draft,
    Restorable,
}

impl Why {
    pub(super) const ALL: [Self; 4] = [Self::Version, Self::Parts, Self::Draft, Self::Restorable];
}

/// What a tree is a root for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Version(VersionId),
    Draft(DraftId),
    Parts(PartSetId),
}

/// A tree, all of whose nodes and content are kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct RootTree {
    pub(super) why: Why,
    pub(super) scope: Scope,
    pub(super) root: NodeId,
    pub(super) origin: Origin,
}

/// Everything that content hangs on. Memory: about a hundred bytes per version.
#[derive(Debug, Default)]
pub(super) struct Roots {
    /// By scope, those of the first reasons first.
    pub(super) trees: Vec<RootTree>,
    /// Blobs beside trees.
    pub(super) blobs: Vec<(Scope, Why, BlobId)>,
    pub(super) live_drafts: u64,
}

/// Reads the roots. What is said to be purged or ended is left out, as if it were
/// already; with a time, so are sets of parts that nobody finished by then.
pub(super) fn read(
    view: &dyn View,
    expired_by: Option<Timestamp>,
    mut is_purged: impl FnMut(VersionId) -> bool,
    is_ended: impl Fn(DraftId) -> bool,
) -> Result<Roots, Failure> {
    let mut roots = Roots::default();
    view.each_root(&mut |root| {
        let why = match root.deleted_at {
            None => Why::Version,
            Some(_) if is_purged(root.version) => return,
            Some(_) => Why::Restorable,
        };
        let (scope, origin) = (root.scope, Origin::Version(root.version));
        roots.trees.push(RootTree { why, scope, root: root.root, origin });
        roots.blobs.push((scope, why, root.record));
        roots.blobs.extend(root.attachments.iter().map(|id| (scope, why, *id)));
    })?;
    drafts(view, &is_ended, &mut roots)?;
    parts(view, expired_by, &mut roots)?;
    for project in projects(view)? {
        let pieces = view.journal(project)?;
        let scope = Scope(project);
        roots.blobs.extend(pieces.iter().map(|piece| (scope, Why::Version, piece.blob)));
    }
    roots.trees.sort_by_key(|tree| (tree.scope, tree.why));
    Ok(roots)
}

fn drafts(
    view: &dyn View,
    is_ended: &dyn Fn(DraftId) -> bool,
    roots: &mut Roots,
) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let page = view.drafts(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        for draft in page.iter().filter(|draft| !is_ended(draft.id)) {
            roots.live_drafts += 1;
            let Some(base) = draft.base else { continue };
            // It may have been purged since: the draft keeps it.
            let Some(base) = view.version(base)? else { continue };
            let Some(of) = view.collection_by_id(base.collection)? else { continue };
            roots.trees.push(RootTree {
                why: Why::Draft,
                scope: Scope(of.project),
                root: base.root,
                origin: Origin::Draft(draft.id),
            });
        }
    }
}

/// Parts of sets that can still be finished.
fn parts(view: &dyn View, expired_by: Option<Timestamp>, roots: &mut Roots) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let page = view.part_sets(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        for set in &page {
            // By the row alone: it could be finished by a writer with another clock.
            let over = expired_by.is_some_and(|at| part_set_end(set) <= at);
            if set.state != PartSetState::Open || over {
                continue;
            }
            let mut seq = None;
            loop {
                let parts = view.parts(set.id, seq, PAGE)?;
                let Some(last) = parts.last() else { break };
                seq = Some(last.seq);
                roots.trees.extend(parts.iter().map(|part| RootTree {
                    why: Why::Parts,
                    scope: Scope(set.project),
                    root: part.root,
                    origin: Origin::Parts(set.id),
                }));
            }
        }
    }
}

fn projects(view: &dyn View) -> Result<Vec<ProjectId>, Failure> {
    let mut all = Vec::new();
    let mut after: Option<heirloom_catalog::ProjectRow> = None;
    loop {
        let page = view.projects(after.as_ref().map(|row| (&row.entity, &row.name)), PAGE)?;
        all.extend(page.iter().map(|row| row.id));
        match page.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => return Ok(all),
        }
    }
}

/// Whether a tree still is a root: what somebody else has purged or ended since
/// the roots were read may be gone.
pub(super) fn still(view: &dyn View, origin: Origin) -> Result<bool, Failure> {
    Ok(match origin {
        Origin::Version(id) => {
            view.version(id)?.is_some_and(|row| row.state != heirloom_catalog::VersionState::Purged)
        }
        Origin::Draft(id) => view.draft(id)?.is_some(),
        Origin::Parts(id) => {
            view.part_set_by_id(id)?.is_some_and(|set| set.state == PartSetState::Open)
        }
    })
}
