//! `verify`: reads and hashes everything that versions need, and names what is
//! damaged or missing with the versions that it hurts.

use std::collections::{BTreeMap, HashSet};

use heirloom_api::{Damage, Problem, VerifyReport};
use heirloom_catalog::{CatalogExt, VersionRow, View};
use heirloom_core::{Caller, Scope, VersionId};
use heirloom_manifest::{BlobId, Entries, Entry, LogicalPath, Range, empty_tree};
use heirloom_store::{Extent, HasExtent, StoreError, WHOLE_FROM, read_many, stream_whole};

use crate::problem::{Failure, chain};
use crate::read::{Nodes, extent};
use crate::record::VersionRecord;
use crate::{Inner, access, docs};

/// Blobs checked in one go.
const BATCH: usize = 4096;

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
    };
    match only {
        Some(id) => {
            let (version, _, _) = inner.catalog.view(|view| access::version(view, caller, id))?;
            verifier.version(&version)?;
        }
        None => {
            let mut after = None;
            loop {
                let page = inner.catalog.view(|view| view.all_versions(after, 100))?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                for version in &page {
                    if inner.catalog.view(|view| access::version(view, caller, version.id)).is_ok()
                    {
                        verifier.version(version)?;
                    }
                }
            }
            verifier.catalog()?;
        }
    }
    let Verifier { mut report, bad, .. } = verifier;
    report.damages.extend(bad.into_values());
    Ok(report)
}

struct Verifier<'r> {
    inner: &'r Inner,
    report: VerifyReport,
    /// First halves of the ids of blobs that were read and hashed.
    good: HashSet<[u8; 16]>,
    bad: BTreeMap<BlobId, Damage>,
}

impl Verifier<'_> {
    fn version(&mut self, version: &VersionRow) -> Result<(), Failure> {
        self.report.versions += 1;
        let (scope, name) = self.inner.catalog.view(|view| place(view, version))?;
        let mut batch: Vec<(BlobId, String)> = vec![(version.record, name.clone())];
        batch.extend(version.attachments.iter().map(|id| (*id, name.clone())));
        if version.root != empty_tree() {
            batch.push((version.root.as_blob(), name.clone()));
        }
        self.blobs(scope, &mut batch)?;
        self.record(scope, version, &name)?;
        // Reading every entry reads and checks every node.
        let entries = Entries::new(Nodes::new(self.inner, scope), version.root, Range::default());
        for item in entries {
            match item {
                Ok((path, Entry::File { blob, .. })) => batch.push((blob, at(&name, &path))),
                Ok(_) => {}
                Err(error) => {
                    let problem = Failure::from(error).0;
                    self.bad_thing("manifest", None, problem.message, &name);
                    break;
                }
            }
            if batch.len() == BATCH {
                self.blobs(scope, &mut batch)?;
            }
        }
        self.blobs(scope, &mut batch)
    }

    /// The record must say what the row says.
    fn record(&mut self, scope: Scope, version: &VersionRow, name: &str) -> Result<(), Failure> {
        if self.bad.contains_key(&version.record) {
            return Ok(());
        }
        let nodes = Nodes::new(self.inner, scope);
        let bytes = match nodes.blob(&version.record) {
            Ok(bytes) => bytes,
            Err(problem) => {
                self.bad_thing("version record", Some(version.record), problem.message, name);
                return Ok(());
            }
        };
        let fault = match VersionRecord::decode(&bytes) {
            Err(error) => Some(error.to_string()),
            Ok(record) => {
                let same = record.version == version.id
                    && record.index == version.index
                    && record.root == version.root
                    && record.entries == version.entries
                    && record.size == version.size
                    && record.created_at == version.created_at;
                (!same).then(|| "the version record contradicts the catalog".to_owned())
            }
        };
        if let Some(what) = fault {
            self.bad_thing("version record", Some(version.record), what, name);
        }
        Ok(())
    }

    fn blobs(&mut self, scope: Scope, batch: &mut Vec<(BlobId, String)>) -> Result<(), Failure> {
        let mut todo: Vec<(BlobId, String)> = Vec::with_capacity(batch.len());
        for (id, place) in batch.drain(..) {
            if let Some(damage) = self.bad.get_mut(&id) {
                if damage.versions.len() < 100 && !damage.versions.contains(&place) {
                    damage.versions.push(place);
                }
            } else if self.good.insert(half(&id)) {
                todo.push((id, place));
            }
        }
        let ids: Vec<BlobId> = todo.iter().map(|(id, _)| *id).collect();
        let located = self.inner.catalog.view(|view| view.locate(scope, &ids))?;
        let mut packed = Vec::new();
        for ((id, place), location) in todo.into_iter().zip(located) {
            let Some(location) = location else {
                self.damage(id, "store", "it is not in the store".to_owned(), place);
                continue;
            };
            let extent = extent(id, &location)?;
            if extent.raw_len >= WHOLE_FROM {
                match stream_whole(&*self.inner.store, &id, |_| Ok::<(), StoreError>(())) {
                    Ok(bytes) => self.read(bytes),
                    Err(error) => self.damage(id, &extent.key.to_string(), chain(&error), place),
                }
            } else {
                packed.push(Placed { extent, place });
            }
        }
        let mut outcomes = Vec::with_capacity(packed.len());
        read_many(&*self.inner.store, &mut packed, |item: &Placed, bytes| {
            outcomes.push((item.extent, item.place.clone(), bytes.map(<[u8]>::len)));
            Ok::<(), StoreError>(())
        })?;
        for (extent, place, outcome) in outcomes {
            match outcome {
                Ok(bytes) => self.read(bytes as u64),
                Err(error) => self.damage(extent.id, &extent.key.to_string(), chain(&error), place),
            }
        }
        Ok(())
    }

    fn catalog(&mut self) -> Result<(), Failure> {
        let mut rows = Vec::new();
        self.inner.catalog.check(&mut |row| rows.push(row))?;
        for row in rows {
            self.bad_thing("catalog", None, row, "");
        }
        Ok(())
    }

    fn read(&mut self, bytes: u64) {
        self.report.blobs += 1;
        self.report.bytes += bytes;
    }

    fn damage(&mut self, id: BlobId, object: &str, what: String, place: String) {
        self.good.remove(&half(&id));
        self.bad.insert(
            id,
            Damage { object: object.to_owned(), blob: Some(id), what, versions: vec![place] },
        );
    }

    fn bad_thing(&mut self, object: &str, blob: Option<BlobId>, what: String, name: &str) {
        let versions = if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
        self.report.damages.push(Damage { object: object.to_owned(), blob, what, versions });
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

fn half(id: &BlobId) -> [u8; 16] {
    let mut out = [0; 16];
    out.copy_from_slice(&id.as_bytes()[..16]);
    out
}

fn at(version: &str, path: &LogicalPath) -> String {
    format!("{version} {}", path.escaped())
}

fn place(view: &dyn View, version: &VersionRow) -> Result<(Scope, String), Failure> {
    let (collection, _) = access::home_of(view, version.collection)?;
    Ok((Scope(collection.project), docs::version_ref(view, version)?.to_string()))
}
