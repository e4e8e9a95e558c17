//! What lies in the store: places of all blobs, in a catalog of its own that
//! serves the rebuild and is thrown away, and which of them tell of names.

use heirloom_api::{Damage, RebuildReport};
use heirloom_catalog::{Catalog, Edit, Location, ObjectRow, ProjectRow, SqliteCatalog};
use heirloom_core::{EntityName, ProjectId, ProjectName, Scope, Timestamp, Ttl};
use heirloom_manifest::BlobId;
use heirloom_store::{Kind, LocalStore, ObjectKey, Scanned, scan};

use super::RebuildProgress;
use crate::Inner;
use crate::environment::SystemEnvironment;
use crate::problem::{Failure, chain};

/// The one scope of the index.
pub(super) const EVERYTHING: Scope = Scope(ProjectId(1));

/// Blobs registered in one go.
const BATCH: usize = 65_536;

/// What was found.
pub(super) struct Found {
    /// The store, with the index as its catalog.
    pub(super) inner: Inner,
    /// Blobs that say they are version records.
    pub(super) records: Vec<BlobId>,
    /// Blobs that say they are pieces of the journal.
    pub(super) pieces: Vec<BlobId>,
}

pub(super) fn find(
    store: LocalStore,
    index: SqliteCatalog,
    now: Timestamp,
    report: &mut RebuildReport,
    progress: &mut RebuildProgress<'_>,
) -> Result<Found, Failure> {
    let project = ProjectRow {
        id: EVERYTHING.0,
        entity: EntityName::local(),
        name: ProjectName::default_name(),
        created_at: now,
        ttl: Ttl::Inherit,
    };
    let mut edits = vec![Edit::PutProject(project)];
    let (mut records, mut pieces) = (Vec::new(), Vec::new());
    let (mut waiting, mut objects) = (0, 0);
    for item in scan(&store) {
        let item = item?;
        let (key, size) = match &item {
            Scanned::Whole { id, size } => (ObjectKey::Whole(*id), *size),
            Scanned::Pack { key, size, records: blobs } => {
                for blob in blobs {
                    match blob.kind {
                        Kind::VersionRecord => records.push(blob.id),
                        Kind::Journal => pieces.push(blob.id),
                        _ => {}
                    }
                }
                (*key, *size)
            }
            Scanned::Damaged { key, error } => {
                report.damages.push(bad(key.to_string(), None, chain(error)));
                continue;
            }
            Scanned::Foreign(name) => {
                report.notes.push(format!("{name} is not an object"));
                continue;
            }
        };
        let blobs = locations(&item);
        waiting += blobs.len();
        objects += 1;
        edits.push(Edit::PutObject(ObjectRow::stored(key, size, now)));
        edits.push(Edit::AddLocations { scope: EVERYTHING, object: key, blobs });
        if waiting >= BATCH {
            index.write_soon(&mut |_| Ok(std::mem::take(&mut edits)))?;
            waiting = 0;
        }
        progress("objects", objects);
    }
    index.write_soon(&mut |_| Ok(std::mem::take(&mut edits)))?;
    for list in [&mut records, &mut pieces] {
        list.sort_unstable();
        list.dedup();
    }
    let inner = Inner {
        store: Box::new(store),
        catalog: Box::new(index),
        env: Box::new(SystemEnvironment),
        home: None,
        local: true,
    };
    Ok(Found { inner, records, pieces })
}

/// Places of all blobs of an object.
pub(super) fn locations(object: &Scanned) -> Vec<(BlobId, Location)> {
    match object {
        Scanned::Whole { id, size } => vec![(*id, Location::whole(*id, *size))],
        Scanned::Pack { key, records, .. } => {
            records.iter().map(|record| (record.id, Location::packed(*key, record))).collect()
        }
        Scanned::Damaged { .. } | Scanned::Foreign(_) => Vec::new(),
    }
}

pub(super) fn bad(object: String, blob: Option<BlobId>, what: String) -> Damage {
    Damage { object, blob, what, versions: Vec::new() }
}
