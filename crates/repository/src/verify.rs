//! `verify`: reads and hashes everything that versions need, and names what is
//! damaged or missing with the versions that it hurts.

use std::collections::{BTreeMap, HashSet};

use heirloom_api::{Damage, Problem, VerifyReport};
use heirloom_catalog::{CatalogExt, ProjectRow, VersionRow, VersionState, View};
use heirloom_core::{Caller, Scope, VersionId};
use heirloom_manifest::{
    BlobId, Entries, Entry, LogicalPath, Node, NodeId, NodeSource, Range, empty_tree,
};
use heirloom_store::{
    Extent, Found, HasExtent, ObjectKey, PackReader, StoreError, StoreExt, read_many, stream_whole,
};

use crate::problem::{Failure, chain};
use crate::read::{NODES_AT_ONCE, Nodes, damaged_node, extent, half};
use crate::record::VersionRecord;
use crate::{Inner, access, docs};

/// Blobs checked in one go.
const BATCH: usize = 4096;

/// Rows read at once.
const PAGE: usize = 100;

/// Most versions named with one damage.
const MAX_HURT: usize = 100;

pub(crate) fn verify(
    inner: &Inner,
    caller: &Caller,
    only: Option<VersionId>,
) -> Result<VerifyReport, Problem> {
    check(inner, caller, only).map_err(|failure| failure.0)
}

fn check(inner: &Inner, caller: &Caller, only: Option<VersionId>) -> Result<VerifyReport, Failure> {
    let mut verifier = Verifier {
        inner,
        report: VerifyReport::default(),
        good: HashSet::new(),
        bad: BTreeMap::new(),
        bad_at: BTreeMap::new(),
    };
    match only {
        Some(id) => {
            let (version, _, _) = inner.catalog.view(|view| access::version(view, caller, id))?;
            verifier.version(&version)?;
        }
        None => {
            verifier.versions(caller)?;
            // What is not of any project is for those who may see all of them.
            if inner.catalog.view(|view| sees_all(view, caller))? {
                verifier.catalog();
                verifier.objects()?;
            }
        }
    }
    let Verifier { mut report, bad, .. } = verifier;
    report.damages.extend(bad.into_values());
    Ok(report)
}

struct Verifier<'r> {
    inner: &'r Inner,
    report: VerifyReport,
    /// Blobs that were read and hashed, by scope: another scope may have the same
    /// blob in another object.
    good: HashSet<[u8; 16]>,
    /// What is wrong, by object and blob.
    bad: BTreeMap<(String, BlobId), Damage>,
    /// The object in which a scope has a bad blob.
    bad_at: BTreeMap<(Scope, BlobId), String>,
}

impl Verifier<'_> {
    /// Every version that the caller may read. A catalog that cannot be read does
    /// not keep the rest from being looked at.
    fn versions(&mut self, caller: &Caller) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = match self.inner.catalog.view(|view| view.all_versions(after, PAGE)) {
                Ok(page) => page,
                Err(error) => {
                    self.bad_thing("catalog", None, chain(&error), "");
                    return Ok(());
                }
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

    fn version(&mut self, version: &VersionRow) -> Result<(), Failure> {
        if version.state == VersionState::Purged {
            // A tombstone has no bytes.
            return Ok(());
        }
        self.report.versions += 1;
        let (scope, name) = self.inner.catalog.view(|view| place(view, version))?;
        let mut batch: Vec<(BlobId, String)> = vec![(version.record, name.clone())];
        batch.extend(version.attachments.iter().map(|id| (*id, name.clone())));
        self.blobs(scope, &mut batch)?;
        self.record(scope, version, &name)?;
        if !self.tree(scope, version.root, &name)? {
            return Ok(());
        }
        // Every node is what it should be; do they fit together?
        let entries = Entries::new(Nodes::new(self.inner, scope), version.root, Range::default());
        if let Some(Err(error)) = { entries }.find(Result::is_err) {
            self.bad_thing("manifest", None, Failure::from(error).0.message, &name);
        }
        Ok(())
    }

    /// Checks every node of a tree and all content that can be reached; whether
    /// every node could be read.
    fn tree(&mut self, scope: Scope, root: NodeId, name: &str) -> Result<bool, Failure> {
        let mut nodes = Nodes::new(self.inner, scope);
        let mut seen = HashSet::from([empty_tree(), root]);
        let mut level = vec![root];
        level.retain(|root| *root != empty_tree());
        let mut whole = true;
        let mut contents = Vec::new();
        while !level.is_empty() {
            let mut batch = level.iter().map(|id| (id.as_blob(), name.to_owned())).collect();
            self.blobs(scope, &mut batch)?;
            let mut next = Vec::new();
            for ids in level.chunks(NODES_AT_ONCE) {
                nodes.prefetch(ids);
                for id in ids {
                    let Ok(bytes) = nodes.node(id) else {
                        // It was named with the batch.
                        whole = false;
                        continue;
                    };
                    match Node::decode(&bytes) {
                        Ok(Node::Inner { children, .. }) => {
                            next.extend(children.iter().map(|c| c.id).filter(|id| seen.insert(*id)))
                        }
                        Ok(Node::Leaf(entries)) => {
                            for (path, entry) in entries {
                                if let Entry::File { blob, .. } = entry {
                                    contents.push((blob, at(name, &path)));
                                }
                            }
                        }
                        Err(error) => {
                            whole = false;
                            let what = damaged_node(id, &error).message;
                            self.bad_thing("manifest", Some(id.as_blob()), what, name);
                        }
                    }
                    if contents.len() >= BATCH {
                        self.blobs(scope, &mut contents)?;
                    }
                }
            }
            level = next;
        }
        self.blobs(scope, &mut contents)?;
        Ok(whole)
    }

    /// The record must say what the row says.
    fn record(&mut self, scope: Scope, version: &VersionRow, name: &str) -> Result<(), Failure> {
        let nodes = Nodes::new(self.inner, scope);
        let Ok(bytes) = nodes.blob(&version.record) else {
            // It was named with the batch.
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
                (!same).then(|| "the version record contradicts the catalog".to_owned())
            }
        };
        if let Some(what) = fault {
            self.bad_thing("version record", Some(version.record), what, name);
        }
        Ok(())
    }

    /// Reads and hashes blobs that were not yet; names those that are bad, with
    /// the versions that they hurt.
    fn blobs(&mut self, scope: Scope, batch: &mut Vec<(BlobId, String)>) -> Result<(), Failure> {
        let mut todo: Vec<(BlobId, String)> = Vec::with_capacity(batch.len());
        for (id, place) in batch.drain(..) {
            if let Some(object) = self.bad_at.get(&(scope, id)).cloned() {
                self.damage(scope, id, object, String::new(), place);
            } else if self.good.insert(in_scope(scope, &id)) {
                todo.push((id, place));
            }
        }
        let ids: Vec<BlobId> = todo.iter().map(|(id, _)| *id).collect();
        let located = self.inner.catalog.view(|view| view.locate(scope, &ids))?;
        let mut packed = Vec::new();
        for ((id, place), location) in todo.into_iter().zip(located) {
            let Some(location) = location else {
                let what = "it is not in the store".to_owned();
                self.damage(scope, id, "store".to_owned(), what, place);
                continue;
            };
            let extent = match extent(id, &location) {
                Ok(extent) => extent,
                Err(problem) => {
                    let object = location.object.to_string();
                    self.damage(scope, id, object, problem.message, place);
                    continue;
                }
            };
            match extent.key {
                ObjectKey::Pack(_) => packed.push(Placed { extent, place }),
                ObjectKey::Whole(_) => {
                    let read = stream_whole(&*self.inner.store, &id, |_| Ok::<(), StoreError>(()));
                    self.outcome(scope, &extent, place, read);
                }
            }
        }
        let mut outcomes = Vec::with_capacity(packed.len());
        read_many(&*self.inner.store, &mut packed, |item: &Placed, bytes| {
            let read = bytes.map(|bytes| bytes.len() as u64);
            outcomes.push((item.extent, item.place.clone(), read));
            Ok::<(), StoreError>(())
        })?;
        for (extent, place, read) in outcomes {
            self.outcome(scope, &extent, place, read);
        }
        Ok(())
    }

    fn outcome(
        &mut self,
        scope: Scope,
        extent: &Extent,
        place: String,
        read: Result<u64, StoreError>,
    ) {
        let what = match read {
            Ok(bytes) => {
                self.report.blobs += 1;
                self.report.bytes += bytes;
                if bytes == extent.raw_len {
                    return;
                }
                format!("it has {bytes} bytes, the catalog says {}", extent.raw_len)
            }
            Err(error) => chain(&error),
        };
        self.damage(scope, extent.id, extent.key.to_string(), what, place);
    }

    fn catalog(&mut self) {
        let mut rows = Vec::new();
        if let Err(error) = self.inner.catalog.check(&mut |row| rows.push(row)) {
            rows.push(chain(&error));
        }
        for row in rows {
            self.bad_thing("catalog", None, row, "");
        }
    }

    /// Registered objects must be there; names that are none of ours are told.
    fn objects(&mut self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.inner.catalog.view(|view| view.objects(after.as_ref(), PAGE))?;
            let Some(last) = page.last() else { break };
            after = Some(last.key);
            for row in page.iter().filter(|row| row.state.is_usable()) {
                let what = match self.inner.store.stat(&row.key) {
                    Ok(Some(info)) if info.size == row.size => match self.frame(&row.key)? {
                        None => continue,
                        Some(what) => what,
                    },
                    Ok(Some(info)) => {
                        format!("it has {} bytes, the catalog says {}", info.size, row.size)
                    }
                    Ok(None) => "it is not in the store".to_owned(),
                    Err(error) if error.is_damage() => chain(&error),
                    Err(error) => return Err(error.into()),
                };
                // It may have been deleted properly since the page was read.
                let now = self.inner.catalog.view(|view| view.object(&row.key))?;
                let object = row.key.to_string();
                if now.is_some_and(|now| now.state.is_usable())
                    && !self.bad.keys().any(|(named, _)| *named == object)
                {
                    self.bad_thing(&object, None, what, "");
                }
            }
        }
        for found in self.inner.store.walk() {
            if let Found::Foreign(name) = found? {
                self.bad_thing(&name, None, "it is not an object".to_owned(), "");
            }
        }
        Ok(())
    }

    /// What is wrong with what a pack has beside its blobs. Nothing that is read
    /// today needs its index, but a catalog that is rebuilt does.
    fn frame(&self, key: &ObjectKey) -> Result<Option<String>, Failure> {
        let ObjectKey::Pack(id) = key else { return Ok(None) };
        match PackReader::open(&*self.inner.store, id) {
            Ok(_) => Ok(None),
            Err(StoreError::NotFound { .. }) => Ok(Some("it is not in the store".to_owned())),
            Err(error) if error.is_damage() => Ok(Some(chain(&error))),
            Err(error @ StoreError::Unsupported { .. }) => Ok(Some(chain(&error))),
            Err(error) => Err(error.into()),
        }
    }

    /// Notes that a bad blob hurts a version.
    fn damage(&mut self, scope: Scope, id: BlobId, object: String, what: String, place: String) {
        self.good.remove(&in_scope(scope, &id));
        self.bad_at.entry((scope, id)).or_insert_with(|| object.clone());
        let damage = self.bad.entry((object.clone(), id)).or_insert_with(|| Damage {
            object,
            blob: Some(id),
            what,
            versions: Vec::new(),
        });
        if damage.versions.len() < MAX_HURT && !damage.versions.contains(&place) {
            damage.versions.push(place);
        }
    }

    fn bad_thing(&mut self, object: &str, blob: Option<BlobId>, what: String, name: &str) {
        let versions = if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
        self.report.damages.push(Damage { object: object.to_owned(), blob, what, versions });
    }
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

struct Placed {
    extent: Extent,
    place: String,
}

impl HasExtent for Placed {
    fn extent(&self) -> &Extent {
        &self.extent
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

fn at(version: &str, path: &LogicalPath) -> String {
    format!("{version} {}", path.escaped())
}

fn place(view: &dyn View, version: &VersionRow) -> Result<(Scope, String), Failure> {
    let (collection, _) = access::home_of(view, version.collection)?;
    Ok((Scope(collection.project), docs::version_ref(view, version)?.to_string()))
}
