//! Places of what the versions need, scope by scope. What no version needs gets
//! no row: it is a leftover that gc removes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use heirloom_api::RebuildReport;
use heirloom_catalog::{CatalogExt, Edit, ObjectRow, VersionRow, VersionState};
use heirloom_core::{CollectionId, Scope};
use heirloom_manifest::{BlobId, Link, NodeId, NodeSource, empty_tree, visit_links};
use heirloom_store::{Scanned, scan};

use super::index::{EVERYTHING, Found, bad, locations};
use super::{RebuildProgress, Target};
use crate::problem::Failure;
use crate::read::{NODES_AT_ONCE, Nodes, half};

/// Rows read at once.
const PAGE: usize = 256;

/// Blobs looked up at once.
const LOOK: usize = 4096;

/// Places written in one go.
const BLOBS: usize = 65_536;

/// Most damages named.
const MAX_NAMED: usize = 1000;

/// What a scope needs, by the first halves of the ids.
type Needed = HashMap<Scope, HashSet<[u8; 16]>>;

pub(super) fn write(
    found: &Found,
    target: &mut Target<'_>,
    report: &mut RebuildReport,
    progress: &mut RebuildProgress<'_>,
) -> Result<(), Failure> {
    target.flush()?;
    let needed = mark(found, target, report, progress)?;
    let now = target.env.now();
    let (mut objects, mut waiting) = (0, 0);
    for item in scan(&*found.inner.store) {
        let item = item?;
        let (key, size) = match &item {
            Scanned::Whole { id, size } => (heirloom_store::ObjectKey::Whole(*id), *size),
            Scanned::Pack { key, size, .. } => (*key, *size),
            Scanned::Damaged { .. } | Scanned::Foreign(_) => continue,
        };
        let all = locations(&item);
        let mut is_needed = false;
        for (scope, ids) in &needed {
            let blobs: Vec<_> =
                all.iter().filter(|(id, _)| ids.contains(&half(id))).copied().collect();
            if blobs.is_empty() {
                continue;
            }
            if !is_needed {
                target.push(Edit::PutObject(ObjectRow::stored(key, size, now)))?;
                is_needed = true;
            }
            waiting += blobs.len();
            target.push(Edit::AddLocations { scope: *scope, object: key, blobs })?;
        }
        if waiting >= BLOBS {
            target.flush()?;
            waiting = 0;
        }
        if is_needed {
            objects += 1;
            progress("places", objects);
        }
    }
    target.flush()
}

/// Walks the trees of all versions that can be read or restored.
fn mark(
    found: &Found,
    target: &Target<'_>,
    report: &mut RebuildReport,
    progress: &mut RebuildProgress<'_>,
) -> Result<Needed, Failure> {
    let mut walk = Walk { found, needed: Needed::new(), report };
    let mut names: HashMap<CollectionId, (Scope, String)> = HashMap::new();
    let (mut after, mut done) = (None, 0);
    loop {
        let page = target.catalog.view(|view| view.all_versions(after, PAGE))?;
        let Some(last) = page.last() else { return Ok(walk.needed) };
        after = Some(last.id);
        for version in page.iter().filter(|version| version.state != VersionState::Purged) {
            let (scope, name) = match names.entry(version.collection) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let (row, project) = target
                        .catalog
                        .view(|view| crate::access::home_of(view, version.collection))?;
                    let name = format!("{}/{}/{}", project.entity, project.name, row.name);
                    unknown.insert((Scope(project.id), name))
                }
            };
            walk.version(*scope, version, &format!("{name}:{}", version.index))?;
            done += 1;
            progress("trees", done);
        }
    }
}

struct Walk<'r> {
    found: &'r Found,
    needed: Needed,
    report: &'r mut RebuildReport,
}

impl Walk<'_> {
    fn version(&mut self, scope: Scope, version: &VersionRow, name: &str) -> Result<(), Failure> {
        let mut blobs = vec![version.record];
        blobs.extend(&version.attachments);
        if version.root == empty_tree() {
            blobs.push(version.root.as_blob());
        }
        self.blobs(scope, &mut blobs, name)?;
        let mut nodes = Nodes::new(&self.found.inner, EVERYTHING);
        let mut level: Vec<NodeId> = vec![version.root];
        level.retain(|root| *root != empty_tree() && self.is_new(scope, &root.as_blob()));
        while !level.is_empty() {
            let mut next = BTreeSet::new();
            for batch in level.chunks(NODES_AT_ONCE) {
                nodes.prefetch(batch);
                for id in batch {
                    let bytes = match nodes.node(id) {
                        Ok(bytes) => bytes,
                        Err(problem) => {
                            self.bad(Some(id.as_blob()), problem.message, name);
                            continue;
                        }
                    };
                    let (mut children, mut contents) = (Vec::new(), Vec::new());
                    let read = visit_links(&bytes, |link| match link {
                        Link::Child(child) => children.push(child),
                        Link::Blob(blob, _) => contents.push(blob),
                    });
                    if let Err(error) = read {
                        self.bad(Some(id.as_blob()), error.to_string(), name);
                        continue;
                    }
                    for child in children {
                        if self.is_new(scope, &child.as_blob()) {
                            next.insert(child);
                        }
                    }
                    blobs.extend(contents);
                    if blobs.len() >= LOOK {
                        self.blobs(scope, &mut blobs, name)?;
                    }
                }
            }
            level = next.into_iter().collect();
        }
        self.blobs(scope, &mut blobs, name)
    }

    fn is_new(&mut self, scope: Scope, id: &BlobId) -> bool {
        self.needed.entry(scope).or_default().insert(half(id))
    }

    /// Notes blobs as needed; names those that no object holds.
    fn blobs(&mut self, scope: Scope, blobs: &mut Vec<BlobId>, name: &str) -> Result<(), Failure> {
        blobs.retain(|id| self.is_new(scope, id));
        blobs.sort_unstable();
        let places = self.found.inner.catalog.view(|view| view.locate(EVERYTHING, blobs))?;
        for (id, place) in blobs.drain(..).zip(places) {
            if place.is_none() {
                self.bad(Some(id), "it is not in the store".to_owned(), name);
            }
        }
        Ok(())
    }

    fn bad(&mut self, blob: Option<BlobId>, what: String, name: &str) {
        if self.report.damages.len() < MAX_NAMED {
            let mut damage = bad("store".to_owned(), blob, what);
            damage.versions.push(name.to_owned());
            self.report.damages.push(damage);
        }
    }
}
