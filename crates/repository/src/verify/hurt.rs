//! What looked bad: whether it really is, and whom it hurts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use heirloom_api::Damage;
use heirloom_catalog::{CatalogExt, Location, VersionState};
use heirloom_core::Scope;
use heirloom_manifest::{BlobId, Entry, LogicalPath, Node, NodeId, NodeSource, empty_tree};
use heirloom_store::{Codec, Extent, ObjectKey};

use super::pool::{Bad, Item, Place, check};
use super::{MAX_HURT, extent};
use crate::Inner;
use crate::problem::Failure;
use crate::read::Nodes;

/// Looks at one blob that was moved again and again.
const MAX_LOOKS: usize = 8;

/// A tree whose blobs were handed over.
pub(super) struct Walked {
    pub(super) scope: Scope,
    pub(super) place: Place,
    pub(super) root: NodeId,
    /// What it needs beside the tree.
    pub(super) blobs: Vec<BlobId>,
}

/// A blob to read, or why there is nothing to read.
pub(super) fn item(
    scope: Scope,
    id: BlobId,
    location: Option<Location>,
    place: Place,
) -> Result<Item, Box<Bad>> {
    let nowhere = Extent {
        id,
        key: ObjectKey::Whole(id),
        offset: 0,
        stored_len: 0,
        raw_len: 0,
        codec: Codec::Raw,
    };
    let bad =
        |place, what| Err(Box::new(Bad { item: Item { scope, extent: nowhere, place }, what }));
    match location.map(|location| extent(id, &location)) {
        None => bad(place, NOWHERE.to_owned()),
        Some(Err(problem)) => bad(place, problem.message),
        Some(Ok(extent)) => Ok(Item { scope, extent, place }),
    }
}

const NOWHERE: &str = "it is not in the store";

/// Whether what was read still is to be kept: its version may have been deleted
/// and purged since.
pub(super) fn is_needed(inner: &Inner, place: &Place) -> Result<bool, Failure> {
    let Some(id) = place.version else { return Ok(true) };
    let version = inner.catalog.view(|view| view.version(id))?;
    Ok(version.is_some_and(|version| version.state != VersionState::Purged))
}

/// Those that are bad after a fresh look at the catalog and at the bytes.
pub(super) fn confirm(inner: &Inner, found: Vec<Bad>) -> Result<Vec<Bad>, Failure> {
    let mut out = Vec::new();
    for bad in found {
        let mut bad = Some(bad);
        for _ in 0..MAX_LOOKS {
            let Some(Bad { item: before, what }) = bad.take() else { break };
            let (scope, id) = (before.scope, before.extent.id);
            let location = inner.catalog.view(|view| view.locate(scope, &[id]))?.pop().flatten();
            let was_nowhere = what == NOWHERE;
            let place = before.place;
            match item(scope, id, location, place) {
                Err(now) => {
                    bad = Some(*now);
                    break;
                }
                Ok(now) => {
                    let is_same = !was_nowhere && now.extent == before.extent;
                    check(
                        &*inner.store,
                        std::slice::from_mut(&mut now.clone()),
                        &mut |_, read| {
                            bad = read.err().map(|what| Bad { item: now.clone(), what });
                        },
                    )?;
                    if is_same {
                        break;
                    }
                }
            }
        }
        if let Some(bad) = bad
            && is_needed(inner, &bad.item.place)?
        {
            out.push(bad);
        }
    }
    Ok(out)
}

/// One damage per object and blob, with everything that it hurts.
pub(super) fn name(inner: &Inner, bad: &[Bad], walked: &[Walked]) -> Result<Vec<Damage>, Failure> {
    let mut damages: BTreeMap<(String, BlobId), Damage> = BTreeMap::new();
    let mut of: HashMap<(Scope, BlobId), (String, BlobId)> = HashMap::new();
    for Bad { item, what } in bad {
        let id = item.extent.id;
        let object = match what == NOWHERE {
            true => "store".to_owned(),
            false => item.extent.key.to_string(),
        };
        let key = (object.clone(), id);
        of.insert((item.scope, id), key.clone());
        let damage = damages.entry(key).or_insert_with(|| Damage {
            object,
            blob: Some(id),
            what: what.clone(),
            versions: Vec::new(),
        });
        // The one it was found with, should its tree not be readable by now.
        hurts(damage, item.place.shown());
    }
    if damages.is_empty() {
        return Ok(Vec::new());
    }
    let mut clean: HashSet<(Scope, NodeId)> = HashSet::new();
    for walked in walked {
        if !is_needed(inner, &walked.place)? {
            continue;
        }
        let mut search = Search {
            nodes: Nodes::new(inner, walked.scope),
            scope: walked.scope,
            bad: &of,
            clean: &mut clean,
            found: BTreeSet::new(),
        };
        for id in &walked.blobs {
            search.look(id, None);
        }
        if walked.root != empty_tree() {
            search.tree(walked.root);
        }
        for (key, path) in search.found {
            if let Some(damage) = damages.get_mut(&key) {
                let place = Place { path, ..walked.place.clone() };
                hurts(damage, place.shown());
            }
        }
    }
    Ok(damages.into_values().collect())
}

fn hurts(damage: &mut Damage, place: String) {
    if damage.versions.len() < MAX_HURT && !damage.versions.contains(&place) {
        damage.versions.push(place);
    }
}

/// Looks for bad blobs in one tree.
struct Search<'s> {
    nodes: Nodes<'s>,
    scope: Scope,
    bad: &'s HashMap<(Scope, BlobId), (String, BlobId)>,
    /// Nodes with nothing bad below them.
    clean: &'s mut HashSet<(Scope, NodeId)>,
    found: BTreeSet<((String, BlobId), Option<LogicalPath>)>,
}

impl Search<'_> {
    fn look(&mut self, id: &BlobId, path: Option<LogicalPath>) -> bool {
        let Some(key) = self.bad.get(&(self.scope, *id)) else { return false };
        if self.found.len() < MAX_HURT * MAX_HURT {
            self.found.insert((key.clone(), path));
        }
        true
    }

    /// Whether anything in the tree is bad. A tree has at most 16 levels.
    fn tree(&mut self, id: NodeId) -> bool {
        if self.clean.contains(&(self.scope, id)) {
            return false;
        }
        let mut is_bad = self.look(&id.as_blob(), None);
        match self.nodes.node(&id).ok().and_then(|bytes| Node::decode(&bytes).ok()) {
            Some(Node::Inner { children, .. }) => {
                for child in children {
                    is_bad |= self.tree(child.id);
                }
            }
            Some(Node::Leaf(entries)) => {
                for (path, entry) in entries {
                    if let Entry::File { blob, .. } = entry {
                        is_bad |= self.look(&blob, Some(path));
                    }
                }
            }
            None => is_bad = true,
        }
        if !is_bad {
            self.clean.insert((self.scope, id));
        }
        is_bad
    }
}
