//! Which version records count, and what they say of collections.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_api::{Ambiguity, Candidate, RebuildReport};
use heirloom_catalog::{CollectionKind, CollectionRow};
use heirloom_core::{CollectionId, ProjectId, Ttl, VersionIndex};
use heirloom_manifest::{BlobId, ManifestId};

use super::RebuildProgress;
use super::chain::{self, Chain, Seen};
use super::index::{EVERYTHING, Found, bad};
use super::names::Names;
use crate::Environment;
use crate::problem::Failure;
use crate::read::Nodes;
use crate::record::VersionRecord;

/// The chain of each collection.
pub(super) type Chains = BTreeMap<CollectionId, Chain>;

/// Decides which records count; makes what collections the journal does not know.
pub(super) fn choose(
    found: &Found,
    names: &mut Names,
    choice: &BTreeSet<BlobId>,
    env: &dyn Environment,
    report: &mut RebuildReport,
    progress: &mut RebuildProgress<'_>,
) -> Result<Chains, Failure> {
    let mut seen: BTreeMap<CollectionId, Vec<Seen>> = BTreeMap::new();
    for (done, id) in found.records.iter().enumerate() {
        match record(found, id) {
            Ok(record) => {
                seen.entry(record.collection_id).or_default().push(Seen {
                    record: *id,
                    index: record.index.get(),
                    predecessor: record.predecessor,
                });
                let project =
                    names.project(&record.entity, &record.project, record.created_at, env);
                let next = names.known.get(&record.collection_id).map_or(0, |known| known.next);
                learn(names, project, &record, next);
            }
            Err(what) => report.damages.push(bad("version record".to_owned(), Some(*id), what)),
        }
        progress("records", done as u64 + 1);
    }
    let mut chains = Chains::new();
    let collections: BTreeSet<CollectionId> =
        seen.keys().chain(names.known.keys()).copied().collect();
    for collection in collections {
        let known = names.known.entry(collection).or_default().clone();
        let records = seen.remove(&collection).unwrap_or_default();
        let chain = chain::resolve(&records, &known, choice);
        let kind = names.collections.get(&collection).map(|row| row.kind);
        if kind != Some(CollectionKind::Portfolio) {
            let lost = chain.lost.iter().filter(|index| !known.at.contains_key(index));
            report.lost.extend(lost.map(|index| names.version(collection, *index)));
        }
        for (index, records) in &chain.ambiguous {
            let candidates = records.iter().filter_map(|id| candidate(found, id)).collect();
            let version = names.version(collection, *index);
            report.ambiguous.push(Ambiguity { version, candidates });
        }
        let end = chain.chosen.last_key_value();
        if let (Some(row), Some((index, record))) = (names.collections.get_mut(&collection), end)
            && *index >= known.next
        {
            row.next_index = VersionIndex::new(index + 1);
            row.last_record = Some(*record);
        }
        chains.insert(collection, chain);
    }
    Ok(chains)
}

pub(super) fn record(found: &Found, id: &BlobId) -> Result<VersionRecord, String> {
    let bytes = Nodes::new(&found.inner, EVERYTHING).blob(id).map_err(|problem| problem.message)?;
    VersionRecord::decode(&bytes).map_err(|error| error.to_string())
}

fn candidate(found: &Found, id: &BlobId) -> Option<Candidate> {
    let record = record(found, id).ok()?;
    Some(Candidate {
        record: *id,
        digest: ManifestId::of_root(&record.root),
        created_at: record.created_at,
        actor: record.actor,
        size: record.size,
    })
}

/// What a record says of its collection: a name and type that are newer than the
/// journal's, if it was written after that.
fn learn(names: &mut Names, project: ProjectId, record: &VersionRecord, sealed: u64) {
    let index = record.index;
    let row = names.collections.entry(record.collection_id).or_insert_with(|| CollectionRow {
        id: record.collection_id,
        project,
        name: record.collection.clone(),
        artifact_type: record.artifact_type.clone(),
        kind: CollectionKind::Sequence,
        description: None,
        ttl: Ttl::Inherit,
        retention: None,
        next_index: index,
        last_record: None,
        created_at: record.created_at,
        deleted_at: None,
    });
    if index.get() < sealed {
        return;
    }
    if index >= row.next_index {
        row.name = record.collection.clone();
        row.artifact_type = record.artifact_type.clone();
        row.next_index = index.next();
    }
    if sealed == 0 && record.created_at < row.created_at {
        row.created_at = record.created_at;
    }
}
