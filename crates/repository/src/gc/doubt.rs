//! What would make a collection remove what is needed: a catalog that has rotted.
//! Before anything but unfinished files is removed, what is needed must be where
//! the catalog says, in objects that nobody has given up.

use std::collections::{BTreeSet, HashSet};

use heirloom_api::Problem;
use heirloom_catalog::{CatalogExt, View};
use heirloom_core::{ErrorCode, Scope};
use heirloom_manifest::{BlobId, Link};
use heirloom_store::ObjectKey;

use super::mark::{Marked, named};
use super::roots::{self, RootTree, still};
use super::{Collector, PAGE};
use crate::Inner;
use crate::problem::Failure;
use crate::read::{Nodes, each_node, half};

/// Blobs that are needed by the first half of their id.
type Halves = HashSet<(Scope, [u8; 16])>;

impl Collector<'_> {
    /// Stops the collection when a needed blob has no place. The roots are read
    /// anew: what somebody else has purged since the mark began may be gone.
    pub(super) fn settle(&self, unplaced: &Halves) -> Result<(), Failure> {
        if unplaced.is_empty() {
            return Ok(());
        }
        let inner = self.inner;
        let fresh = inner.catalog.view(|view| {
            let roots = roots::read(view, Some(self.now), |_| false, |_| false)?;
            for (scope, _, id) in &roots.blobs {
                if unplaced.contains(&(*scope, half(id))) && !is_placed(view, *scope, id)? {
                    return Err(lost(id).into());
                }
            }
            Ok::<_, Failure>(roots)
        })?;
        for tree in &fresh.trees {
            if let Err(failure) = settle_tree(inner, tree, unplaced)
                && inner.catalog.view(|view| still(view, tree.origin))?
            {
                return Err(named(inner, tree.origin, failure));
            }
        }
        Ok(())
    }

    /// A needed object that is not in the store, if there is one: its row may have
    /// rotted, and it be the very one that has no row.
    pub(super) fn absent(&self, marked: &Marked) -> Result<Option<ObjectKey>, Failure> {
        let wanted: BTreeSet<_> = marked
            .objects
            .iter()
            .filter(|tally| tally.is_needed && tally.state.is_usable())
            .map(|tally| tally.number)
            .collect();
        let mut keys = Vec::new();
        self.inner.catalog.view(|view| {
            view.each_object(&mut |number, row| {
                if wanted.contains(&number) && row.state.is_usable() {
                    keys.push((row.key, row.size));
                }
            })
        })?;
        for (key, size) in keys {
            if self.inner.store.stat(&key)?.is_some_and(|info| info.size == size) {
                continue;
            }
            // Removed meanwhile by somebody who knows more?
            let row = self.inner.catalog.view(|view| view.object(&key))?;
            if row.is_some_and(|row| row.state.is_usable()) {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }
}

fn settle_tree(inner: &Inner, tree: &RootTree, unplaced: &Halves) -> Result<(), Failure> {
    let mut suspected: Vec<BlobId> = Vec::new();
    let mut suspect = |id: &BlobId| {
        if unplaced.contains(&(tree.scope, half(id))) {
            suspected.push(*id);
        }
    };
    let mut nodes = Nodes::new(inner, tree.scope);
    each_node(&mut nodes, tree.root, &mut HashSet::new(), &mut |_, links| {
        for link in links {
            match link {
                Link::Child(child) => suspect(&child.as_blob()),
                Link::Blob(blob, _) => suspect(blob),
            }
        }
        Ok(())
    })?;
    for batch in suspected.chunks(PAGE) {
        inner.catalog.view(|view| {
            for id in batch {
                if !is_placed(view, tree.scope, id)? {
                    return Err(lost(id).into());
                }
            }
            Ok::<_, Failure>(())
        })?;
    }
    Ok(())
}

fn is_placed(view: &dyn View, scope: Scope, id: &BlobId) -> Result<bool, Failure> {
    let Some(at) = view.locate(scope, &[*id])?.into_iter().flatten().next() else {
        return Ok(false);
    };
    Ok(view.object(&at.object)?.is_some_and(|object| object.state.is_usable()))
}

fn lost(id: &BlobId) -> Problem {
    Problem::new(ErrorCode::Corrupt, format!("the catalog has no place of blob {id}"))
}
