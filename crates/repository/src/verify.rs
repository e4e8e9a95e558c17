//! `verify`: reads and hashes everything that versions need, and names what is
//! damaged or missing with the versions that it hurts.
//!
//! One thread walks the trees, each distinct node once; all processors read and
//! hash. What looks bad is looked at again when everything was read, against a
//! fresh look at the catalog, because writers and collectors work beside: a
//! damage counts if the catalog still says that the bytes should be there. Only
//! then, and only if there are any, the versions that they hurt are looked for.

mod catalog;
mod hurt;
mod pool;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;

use heirloom_api::{Damage, Problem, VerifyAll, VerifyReport, VerifyTally};
use heirloom_catalog::{CatalogExt, ProjectRow, VersionRow, VersionState, View};
use heirloom_core::{Caller, CollectionId, Scope, VersionId};
use heirloom_manifest::{
    BlobId, Entry, Node, NodeId, NodeSource, ReadError, check_tree, empty_tree,
};

use crate::problem::{Failure, chain};
use crate::read::{NODES_AT_ONCE, Nodes, damaged_node, extent, half};
use crate::record::VersionRecord;
use crate::{Inner, access, docs};
pub(crate) use pool::Bad;
use pool::{Place, Pool, Tally};

/// Blobs located and read in one go.
const BATCH: usize = 4096;

/// Rows read at once.
const PAGE: usize = 100;

/// Most versions named with one damage.
const MAX_HURT: usize = 100;

/// Checks one version, whoever may read it.
pub(crate) fn verify(
    inner: &Inner,
    caller: &Caller,
    only: Option<VersionId>,
) -> Result<VerifyReport, Problem> {
    match only {
        None => verify_all(inner, caller, &VerifyAll::default()),
        Some(id) => {
            let (version, _, _) = inner.catalog.view(|view| access::version(view, caller, id))?;
            let request = VerifyAll::default();
            Ok(run(inner, &request, None, |verifier| verifier.version(&version))?.report)
        }
    }
}

/// Checks all that the caller may read; for somebody who may see every project,
/// the catalog and the objects too.
pub(crate) fn verify_all(
    inner: &Inner,
    caller: &Caller,
    request: &VerifyAll,
) -> Result<VerifyReport, Problem> {
    Ok(find(inner, caller, request, None)?.report)
}

/// What was found, for people and for whoever repairs it.
pub(crate) struct Findings {
    pub(crate) report: VerifyReport,
    /// Bad blobs, and where they should be.
    pub(crate) bad: Vec<Bad>,
}

/// As [`verify_all`]; of file contents only those in `only`, where that is given.
pub(crate) fn find(
    inner: &Inner,
    caller: &Caller,
    request: &VerifyAll,
    only: Option<&BTreeSet<BlobId>>,
) -> Result<Findings, Failure> {
    run(inner, request, only, |verifier| {
        verifier.versions(caller)?;
        if inner.catalog.view(|view| sees_all(view, caller))? {
            verifier.parts()?;
            verifier.journal()?;
            verifier.catalog()?;
            verifier.objects()?;
        }
        Ok(())
    })
}

fn run(
    inner: &Inner,
    request: &VerifyAll,
    only: Option<&BTreeSet<BlobId>>,
    walk: impl FnOnce(&mut Verifier<'_, '_>) -> Result<(), Failure>,
) -> Result<Findings, Failure> {
    let tally = Tally::default();
    std::thread::scope(|threads| {
        let mut verifier = Verifier {
            inner,
            request,
            only,
            pool: Pool::start(threads, &*inner.store, &tally),
            tally: &tally,
            report: VerifyReport { sample: request.sample, ..VerifyReport::default() },
            total: inner.catalog.view(|view| view.totals()).map_or(0, |totals| totals.object_bytes),
            seen: HashSet::new(),
            missing: Vec::new(),
            checked: HashMap::new(),
            walked: Vec::new(),
        };
        let walked = walk(&mut verifier);
        let Verifier { pool, mut report, missing, walked: versions, .. } = verifier;
        let mut bad = pool.finish()?;
        walked?;
        report.blobs = tally.blobs.load(Ordering::Relaxed);
        report.bytes = tally.bytes.load(Ordering::Relaxed);
        bad.extend(missing);
        let bad = hurt::confirm(inner, bad)?;
        let mut damages = hurt::name(inner, &bad, &versions)?;
        let named: HashSet<&str> = damages.iter().map(|damage| damage.object.as_str()).collect();
        // An object that lacks blobs need not be named once more as a whole.
        report.damages.retain(|damage| damage.blob.is_some() || !named.contains(&*damage.object));
        damages.append(&mut report.damages);
        report.damages = damages;
        Ok(Findings { report, bad })
    })
}

struct Verifier<'r, 't> {
    inner: &'r Inner,
    request: &'r VerifyAll,
    /// The only file contents to read.
    only: Option<&'r BTreeSet<BlobId>>,
    pool: Pool<'t>,
    tally: &'r Tally,
    report: VerifyReport,
    /// Bytes of all objects, for the progress.
    total: u64,
    /// Blobs that were handed over or found missing, by scope: another scope may
    /// have the same blob in another object.
    seen: HashSet<[u8; 16]>,
    /// Blobs that have no place.
    missing: Vec<Bad>,
    /// By collection a tree that was found to fit together.
    checked: HashMap<CollectionId, NodeId>,
    /// Trees that were walked, in case that something in them is bad.
    walked: Vec<hurt::Walked>,
}

impl Verifier<'_, '_> {
    /// Every version that the caller may read. A catalog that cannot be read does
    /// not keep the rest from being looked at.
    fn versions(&mut self, caller: &Caller) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = match self.inner.catalog.view(|view| view.all_versions(after, PAGE)) {
                Ok(page) => page,
                Err(error) => match self.behind(after) {
                    Some(page) => page,
                    None => {
                        self.bad_thing("catalog", None, chain(&error), "");
                        return Ok(());
                    }
                },
            };
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for version in &page {
                let visible = self
                    .inner
                    .catalog
                    .view(|view| access::visible_version(view, caller, version.id));
                match visible {
                    Ok(None) => {}
                    Ok(Some(_)) => self.version(version)?,
                    Err(failure) => self.bad_thing("catalog", None, failure.0.message, ""),
                }
            }
        }
    }

    /// The versions up to a row that cannot be read, or else the first one behind
    /// it: the row itself is named when rows are checked.
    fn behind(&self, after: Option<VersionId>) -> Option<Vec<VersionRow>> {
        let one = |after| self.inner.catalog.view(|view| view.all_versions(after, 1));
        if let Ok(page) = one(after) {
            return Some(page);
        }
        let mut rows = Vec::new();
        self.inner.catalog.check(&mut |row| rows.extend(damaged_version(&row))).ok()?;
        rows.sort_unstable();
        rows.into_iter().filter(|id| Some(*id) > after).find_map(|id| one(Some(id)).ok())
    }

    fn version(&mut self, version: &VersionRow) -> Result<(), Failure> {
        if version.state == VersionState::Purged {
            // A tombstone has no bytes.
            return Ok(());
        }
        self.report.versions += 1;
        let (scope, name) = self.inner.catalog.view(|view| place(view, version))?;
        let place = Place { version: Some(version.id), name: name.into(), path: None };
        let mut blobs = vec![(version.record, place.clone())];
        blobs.extend(version.attachments.iter().map(|id| (*id, place.clone())));
        if version.root == empty_tree() {
            blobs.push((version.root.as_blob(), place.clone()));
        }
        self.walked.push(hurt::Walked {
            scope,
            place: place.clone(),
            root: version.root,
            blobs: blobs.iter().map(|(id, _)| *id).collect(),
        });
        self.hand_over(scope, &mut blobs)?;
        self.record(scope, version, &place)?;
        if self.tree(scope, version.root, &place)? {
            // Every new node is what it should be; do they fit together?
            let base = self.checked.get(&version.collection).copied().unwrap_or(empty_tree());
            let mut nodes = Nodes::new(self.inner, scope);
            match check_tree(&mut nodes, &base, &version.root, |_, _| Ok(())) {
                Ok(_) => {
                    self.checked.insert(version.collection, version.root);
                }
                // What cannot be read is named with its blob.
                Err(ReadError::Source(_)) => {}
                Err(error) => {
                    let what = Failure::from(error).0.message;
                    self.of_version("manifest", None, what, &place)?;
                }
            }
        }
        Ok(())
    }

    /// Hands over every node of a tree that was not yet, and the content that can
    /// be reached; whether every new node could be read.
    fn tree(&mut self, scope: Scope, root: NodeId, place: &Place) -> Result<bool, Failure> {
        let mut nodes = Nodes::new(self.inner, scope);
        let mut level = vec![root];
        level.retain(|root| *root != empty_tree() && self.is_new(scope, &root.as_blob()));
        let mut whole = true;
        let mut contents = Vec::new();
        while !level.is_empty() {
            let mut next = Vec::new();
            for ids in level.chunks(NODES_AT_ONCE) {
                let blobs: Vec<_> = ids.iter().map(|id| (id.as_blob(), place.clone())).collect();
                self.send(scope, blobs)?;
                nodes.prefetch(ids);
                for id in ids {
                    let Ok(bytes) = nodes.node(id) else {
                        // It is named with its batch.
                        whole = false;
                        continue;
                    };
                    match Node::decode(&bytes) {
                        Ok(Node::Inner { children, .. }) => next.extend(
                            children
                                .iter()
                                .map(|child| child.id)
                                .filter(|id| self.is_new(scope, &id.as_blob())),
                        ),
                        Ok(Node::Leaf(entries)) => {
                            for (path, entry) in entries {
                                if let Entry::File { blob, .. } = entry
                                    && self.picks(&blob)
                                {
                                    let path = Some(path);
                                    contents.push((blob, Place { path, ..place.clone() }));
                                }
                            }
                        }
                        Err(error) => {
                            whole = false;
                            let what = damaged_node(id, &error).message;
                            self.of_version("manifest", Some(id.as_blob()), what, place)?;
                        }
                    }
                    if contents.len() >= BATCH {
                        self.hand_over(scope, &mut contents)?;
                    }
                }
            }
            level = next;
        }
        self.hand_over(scope, &mut contents)?;
        Ok(whole)
    }

    /// The record must say what the row says.
    fn record(&mut self, scope: Scope, version: &VersionRow, place: &Place) -> Result<(), Failure> {
        let Ok(bytes) = Nodes::new(self.inner, scope).blob(&version.record) else {
            // It is named with its batch.
            return Ok(());
        };
        let fault = match VersionRecord::decode(&bytes) {
            Err(error) => Some(error.to_string()),
            Ok(record) => {
                let same = record.version == version.id
                    && record.collection_id == version.collection
                    && record.index == version.index
                    && record.root == version.root
                    && record.entries == version.entries
                    && record.size == version.size
                    && record.created_at == version.created_at
                    && record.attachments == version.attachments;
                match same {
                    true => self.predecessor(version, &record)?,
                    false => Some("the version record contradicts the catalog".to_owned()),
                }
            }
        };
        if let Some(what) = fault {
            self.of_version("version record", Some(version.record), what, place)?;
        }
        Ok(())
    }

    /// The record before must be the one that the record names.
    fn predecessor(
        &self,
        version: &VersionRow,
        record: &VersionRecord,
    ) -> Result<Option<String>, Failure> {
        let Some(before) = version.index.get().checked_sub(1) else {
            let wrong = record.predecessor.is_some();
            return Ok(wrong.then(|| "the first record names one before it".to_owned()));
        };
        let index = heirloom_core::VersionIndex::new(before);
        let before = self.inner.catalog.view(|view| {
            let member = view.membership(version.collection, index)?;
            match member {
                Some(member) => view.version(member.version),
                None => Ok(None),
            }
        })?;
        let differs = before.is_some_and(|before| Some(before.record) != record.predecessor);
        Ok(differs.then(|| {
            format!(
                "the version record names another one than that of {index} as the one before it"
            )
        }))
    }

    /// Trees of parts that nobody has put together yet.
    fn parts(&mut self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let sets = self.inner.catalog.view(|view| view.part_sets(after, PAGE))?;
            let Some(last) = sets.last() else { return Ok(()) };
            after = Some(last.id);
            for set in &sets {
                let mut part = None;
                loop {
                    let page = self.inner.catalog.view(|view| view.parts(set.id, part, PAGE))?;
                    let Some(last) = page.last() else { break };
                    part = Some(last.seq);
                    for part in &page {
                        let name = format!("{} (parts of {})", set.name, set.distributed_id);
                        let place = Place { version: None, name: name.into(), path: None };
                        let scope = Scope(set.project);
                        self.walked.push(hurt::Walked {
                            scope,
                            place: place.clone(),
                            root: part.root,
                            blobs: Vec::new(),
                        });
                        self.tree(scope, part.root, &place)?;
                    }
                }
            }
        }
    }

    /// Whether a file's content is to be read.
    fn picks(&self, blob: &BlobId) -> bool {
        self.only.is_none_or(|only| only.contains(blob))
            && self.request.sample.is_none_or(|sample| sample.picks(blob))
    }

    fn is_new(&mut self, scope: Scope, id: &BlobId) -> bool {
        self.seen.insert(in_scope(scope, id))
    }

    /// Hands over the blobs that were not yet, by batches.
    fn hand_over(&mut self, scope: Scope, blobs: &mut Vec<(BlobId, Place)>) -> Result<(), Failure> {
        blobs.retain(|(id, _)| self.seen.insert(in_scope(scope, id)));
        while !blobs.is_empty() {
            let rest = blobs.split_off(blobs.len().min(BATCH));
            self.send(scope, std::mem::replace(blobs, rest))?;
        }
        Ok(())
    }

    fn send(&mut self, scope: Scope, blobs: Vec<(BlobId, Place)>) -> Result<(), Failure> {
        let ids: Vec<BlobId> = blobs.iter().map(|(id, _)| *id).collect();
        let located = self.inner.catalog.view(|view| view.locate(scope, &ids))?;
        let mut batch = Vec::with_capacity(blobs.len());
        for ((id, place), location) in blobs.into_iter().zip(located) {
            match hurt::item(scope, id, location, place) {
                Ok(item) => batch.push(item),
                Err(bad) => self.missing.push(*bad),
            }
        }
        self.pool.send(batch);
        if let Some(progress) = &self.request.progress {
            progress(VerifyTally {
                versions: self.report.versions,
                blobs: self.tally.blobs.load(Ordering::Relaxed),
                bytes: self.tally.bytes.load(Ordering::Relaxed),
                total: self.total,
            });
        }
        Ok(())
    }

    /// Notes what is wrong with a version, unless it has gone meanwhile.
    fn of_version(
        &mut self,
        object: &str,
        blob: Option<BlobId>,
        what: String,
        place: &Place,
    ) -> Result<(), Failure> {
        if hurt::is_needed(self.inner, place)? {
            self.bad_thing(object, blob, what, &place.name);
        }
        Ok(())
    }

    fn bad_thing(&mut self, object: &str, blob: Option<BlobId>, what: String, name: &str) {
        let versions = if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
        self.report.damages.push(Damage { object: object.to_owned(), blob, what, versions });
    }

    /// All projects, page by page.
    fn projects(
        &self,
        visit: &mut dyn FnMut(&ProjectRow) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut after: Option<ProjectRow> = None;
        loop {
            let page = self.inner.catalog.view(|view| {
                view.projects(after.as_ref().map(|row| (&row.entity, &row.name)), PAGE)
            })?;
            for project in &page {
                visit(project)?;
            }
            match page.into_iter().next_back() {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }
}

/// The version whose row the catalog's check complains of.
pub(crate) fn damaged_version(row: &str) -> Option<VersionId> {
    let (_, rest) = row.split_once("version row (")?;
    let (id, _) = rest.split_once(',')?;
    id.parse().ok().map(VersionId::from_random)
}

/// Whether no project is hidden from the caller.
fn sees_all(view: &dyn View, caller: &Caller) -> Result<bool, Failure> {
    let mut after: Option<ProjectRow> = None;
    loop {
        let page = view.projects(after.as_ref().map(|row| (&row.entity, &row.name)), PAGE)?;
        if page.iter().any(|row| caller.role_in(&row.entity, &row.name).is_none()) {
            return Ok(false);
        }
        match page.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => return Ok(true),
        }
    }
}

/// Tells blobs of scopes apart, at half the memory of an id.
fn in_scope(scope: Scope, id: &BlobId) -> [u8; 16] {
    let mut key = half(id);
    for (byte, of_scope) in key.iter_mut().zip(scope.0.0.to_le_bytes()) {
        *byte ^= of_scope;
    }
    key
}

fn place(view: &dyn View, version: &VersionRow) -> Result<(Scope, String), Failure> {
    let (collection, _) = access::home_of(view, version.collection)?;
    let name = docs::version_ref(view, version)?.to_string();
    Ok((
        Scope(collection.project),
        match version.state {
            VersionState::Deleted { .. } => format!("{name} (deleted, restorable)"),
            _ => name,
        },
    ))
}
