//! What a deletion sets free: contents that no readable version has any more.

use std::collections::{HashMap, HashSet};

use heirloom_api::Freeable;
use heirloom_catalog::{CatalogExt, View};
use heirloom_core::{CollectionId, Scope, VersionId};
use heirloom_manifest::{Link, NodeId};

use crate::Inner;
use crate::problem::Failure;
use crate::read::{Nodes, each_node, half};

/// How long counting may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As long as an exact answer needs.
    Whatever,
    /// So many nodes that nobody notices; what is left then is a bound.
    Little,
}

/// Manifest nodes that [`Effort::Little`] reads: those of some hundred thousand
/// files, in a fraction of a second.
const FEW_NODES: u64 = 8192;

/// Versions looked up at once.
const BATCH: usize = 256;

/// Where a tree is.
type Place = (Scope, NodeId);

/// Bytes that are free when these versions are gone, whether they are yet or not.
/// Those of versions that can still be restored count as free, as they will be.
pub(crate) fn count(
    inner: &Inner,
    gone: &[VersionId],
    effort: Effort,
) -> Result<Freeable, Failure> {
    if gone.is_empty() {
        return Ok(Freeable { exact: true, ..Freeable::default() });
    }
    let (doomed, kept) = inner.catalog.view(|view| places(view, gone))?;
    let mut counter = Counter {
        inner,
        left: match effort {
            Effort::Whatever => u64::MAX,
            Effort::Little => FEW_NODES,
        },
    };
    let mut contents: HashMap<[u8; 16], u64> = HashMap::new();
    let mut total = 0;
    let whole = counter.walk(&doomed, &mut |blob, size| {
        if contents.insert(blob, size).is_none() {
            total += size;
        }
        true
    })?;
    let mut bytes = total;
    let exact = whole
        && counter.walk(&kept, &mut |blob, _| {
            if let Some(size) = contents.remove(&blob) {
                bytes -= size;
            }
            !contents.is_empty()
        })?;
    Ok(Freeable { bytes, shared: total - bytes, exact })
}

struct Counter<'a> {
    inner: &'a Inner,
    /// Nodes that may still be read.
    left: u64,
}

impl Counter<'_> {
    /// Shows every content below some trees, each node once, until `visit` has seen
    /// enough. Answers false when there are more nodes than may be read.
    fn walk(
        &mut self,
        trees: &[Place],
        visit: &mut dyn FnMut([u8; 16], u64) -> bool,
    ) -> Result<bool, Failure> {
        let mut seen: HashMap<Scope, HashSet<NodeId>> = HashMap::new();
        let (mut enough, mut tired) = (false, false);
        for (scope, root) in trees {
            let mut nodes = Nodes::new(self.inner, *scope);
            let seen = seen.entry(*scope).or_default();
            let left = &mut self.left;
            let walked = each_node(&mut nodes, *root, seen, &mut |_, links| {
                tired = *left == 0;
                *left = left.saturating_sub(1);
                for link in links {
                    if let Link::Blob(blob, size) = link {
                        enough |= !visit(half(blob), *size);
                    }
                }
                match enough || tired {
                    // Stops the walk; nobody sees it.
                    true => Err(heirloom_api::Problem::invalid("enough").into()),
                    false => Ok(()),
                }
            });
            if enough || tired {
                return Ok(enough);
            }
            walked?;
        }
        Ok(true)
    }
}

/// Distinct trees of versions that are gone, and of those that are readable.
fn places(view: &dyn View, gone: &[VersionId]) -> Result<(Vec<Place>, Vec<Place>), Failure> {
    let mut homes: HashMap<CollectionId, Scope> = HashMap::new();
    let mut doomed: HashSet<Place> = HashSet::new();
    for ids in gone.chunks(BATCH) {
        for version in view.versions(ids)? {
            let scope = match homes.get(&version.collection) {
                Some(scope) => *scope,
                None => {
                    let Some(home) = view.collection_by_id(version.collection)? else { continue };
                    homes.insert(version.collection, Scope(home.project));
                    Scope(home.project)
                }
            };
            doomed.insert((scope, version.root));
        }
    }
    let gone: HashSet<VersionId> = gone.iter().copied().collect();
    let mut kept: HashSet<Place> = HashSet::new();
    view.each_root(&mut |root| {
        if root.deleted_at.is_none() && !gone.contains(&root.version) {
            kept.insert((root.scope, root.root));
        }
    })?;
    // Trees that both have come first: they most often leave nothing to look for.
    let mut kept: Vec<Place> = kept.into_iter().collect();
    kept.sort_unstable_by_key(|place| (!doomed.contains(place), *place));
    Ok((doomed.into_iter().collect(), kept))
}
