//! OpenLineage run events.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::text::raw_name;
use super::time::rfc3339;
use crate::{Infos, NodeInfo, NodeKey, RunOutcome, Subgraph};

const PRODUCER: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/tree/v", env!("CARGO_PKG_VERSION"));
const RUN_EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const JOB_TYPE: &str =
    "https://openlineage.io/spec/facets/2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet";
const DATASET_VERSION: &str = "https://openlineage.io/spec/facets/1-0-0/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet";
const DATASET_TYPE: &str = "https://openlineage.io/spec/facets/1-0-0/DatasetTypeDatasetFacet.json#/$defs/DatasetTypeDatasetFacet";
const TAGS: &str =
    "https://openlineage.io/spec/facets/1-0-0/TagsDatasetFacet.json#/$defs/TagsDatasetFacet";

/// How events name things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenLineageOptions {
    /// The host (and port) of the server, part of every namespace and run id, so that
    /// the events of two servers do not mix; empty for an embedded repository.
    pub authority: String,
}

/// [`run_events`] as indented JSON text: one array.
#[must_use]
pub fn openlineage(answer: &Subgraph, infos: &Infos, options: &OpenLineageOptions) -> String {
    serde_json::to_string_pretty(&run_events(answer, infos, options))
        .expect("strings and lists only")
}

/// One OpenLineage 2-0-2 event per run of the answer, by time: what it used as inputs,
/// what it produced as outputs, as far as that is part of the answer.
///
/// - The *job* is the job type, else the run's name; the run id is a UUID (version 8) that
///   holds the authority and the run's id.
/// - A *dataset* is a collection (`animals`), its version (`v3`) a facet; aliases are tags.
///   Namespaces are `heirloom://<authority>/<entity>/<project>`.
/// - The *event type* is the run's outcome, and `OTHER` where that is not known. The *time* is
///   that of its last edge here, else of its making, else 1970.
/// - Links that stand for hidden nodes are left out: the standard has no word for them.
#[must_use]
pub fn run_events<'a>(
    answer: &Subgraph,
    infos: &'a Infos,
    options: &OpenLineageOptions,
) -> Vec<RunEvent<'a>> {
    let mut runs: BTreeMap<u64, Run> = BTreeMap::new();
    for node in answer.nodes() {
        if let NodeKey::Run(id) = node.key {
            runs.entry(id).or_default();
        }
    }
    for edge in answer.edges() {
        let (run, version) = match (edge.from, edge.to) {
            (NodeKey::Run(run), version) | (version, NodeKey::Run(run)) => {
                (runs.entry(run).or_default(), version)
            }
            _ => unreachable!("one end of every edge is a run"),
        };
        run.time = run.time.max(Some(edge.time));
        if edge.from == version { &mut run.inputs } else { &mut run.outputs }.insert(version);
    }
    let mut events: Vec<(i64, u64, Run)> = runs
        .into_iter()
        .map(|(id, run)| {
            let made = infos.get(NodeKey::Run(id)).and_then(|info| info.created_at);
            (run.time.or(made).unwrap_or(0), id, run)
        })
        .collect();
    events.sort_by_key(|&(time, id, _)| (time, id));
    events.into_iter().map(|(time, id, run)| event(time, id, &run, infos, options)).collect()
}

/// A run event of OpenLineage 2-0-2.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunEvent<'a> {
    /// When, as RFC 3339 text.
    pub event_time: String,
    /// Who says so: this software and its version, as a URL.
    pub producer: &'static str,
    /// The definition that this event follows.
    #[serde(rename = "schemaURL")]
    pub schema_url: &'static str,
    /// `RUNNING`, `COMPLETE`, `FAIL`, `ABORT` or `OTHER`.
    pub event_type: &'static str,
    /// The execution.
    pub run: RunRef,
    /// What was executed.
    pub job: Job<'a>,
    /// What it used.
    pub inputs: Vec<Dataset<'a>>,
    /// What it produced.
    pub outputs: Vec<Dataset<'a>>,
}

/// An execution.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRef {
    /// A UUID, the same for the same run of the same server.
    pub run_id: String,
}

/// What is executed again and again.
#[derive(Clone, Debug, Serialize)]
pub struct Job<'a> {
    /// Whose it is.
    pub namespace: String,
    /// What it is called there.
    pub name: String,
    /// More about it.
    pub facets: JobFacets<'a>,
}

/// More about a job.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobFacets<'a> {
    /// Its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_type: Option<JobTypeFacet<'a>>,
}

/// The type of a job.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobTypeFacet<'a> {
    #[serde(flatten)]
    base: Facet,
    /// `BATCH`.
    pub processing_type: &'static str,
    /// `HEIRLOOM`.
    pub integration: &'static str,
    /// The job type.
    pub job_type: &'a str,
}

/// A collection, at one of its versions.
#[derive(Clone, Debug, Serialize)]
pub struct Dataset<'a> {
    /// Whose it is.
    pub namespace: String,
    /// The collection.
    pub name: String,
    /// More about it.
    pub facets: DatasetFacets<'a>,
}

/// More about a dataset.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatasetFacets<'a> {
    /// Which version.
    pub version: VersionFacet,
    /// The artifact type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset_type: Option<TypeFacet<'a>>,
    /// The aliases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<TagsFacet<'a>>,
}

/// Which version of a dataset.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionFacet {
    #[serde(flatten)]
    base: Facet,
    /// `v3`, or the key of the version if its name does not tell.
    pub dataset_version: String,
}

/// What a dataset is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TypeFacet<'a> {
    #[serde(flatten)]
    base: Facet,
    /// The artifact type.
    pub dataset_type: &'a str,
}

/// What a dataset is tagged with.
#[derive(Clone, Debug, Serialize)]
pub struct TagsFacet<'a> {
    #[serde(flatten)]
    base: Facet,
    /// One per alias.
    pub tags: Vec<Tag<'a>>,
}

/// One tag.
#[derive(Clone, Debug, Serialize)]
pub struct Tag<'a> {
    /// `alias`.
    pub key: &'static str,
    /// The alias.
    pub value: &'a str,
    /// `HEIRLOOM`.
    pub source: &'static str,
}

/// What every facet has.
#[derive(Clone, Debug, Serialize)]
struct Facet {
    #[serde(rename = "_producer")]
    producer: &'static str,
    #[serde(rename = "_schemaURL")]
    schema_url: &'static str,
}

#[derive(Default)]
struct Run {
    time: Option<i64>,
    inputs: BTreeSet<NodeKey>,
    outputs: BTreeSet<NodeKey>,
}

fn event<'a>(
    time: i64,
    id: u64,
    run: &Run,
    infos: &'a Infos,
    options: &OpenLineageOptions,
) -> RunEvent<'a> {
    let key = NodeKey::Run(id);
    let info = infos.get(key);
    let job_type = info.and_then(|info| info.type_name.as_deref()).filter(|name| !name.is_empty());
    let datasets =
        |keys: &BTreeSet<NodeKey>| keys.iter().map(|&key| dataset(key, infos, options)).collect();
    RunEvent {
        event_time: rfc3339(time),
        producer: PRODUCER,
        schema_url: RUN_EVENT,
        event_type: match info.and_then(|info| info.outcome) {
            Some(RunOutcome::Running) => "RUNNING",
            Some(RunOutcome::Finished) => "COMPLETE",
            Some(RunOutcome::Failed) => "FAIL",
            Some(RunOutcome::Aborted) => "ABORT",
            None => "OTHER",
        },
        run: RunRef { run_id: run_uuid(id, &options.authority) },
        job: Job {
            namespace: namespace(info, options),
            name: job_type.map_or_else(|| raw_name(key, info), str::to_owned),
            facets: JobFacets {
                job_type: job_type.map(|job_type| JobTypeFacet {
                    base: facet(JOB_TYPE),
                    processing_type: "BATCH",
                    integration: "HEIRLOOM",
                    job_type,
                }),
            },
        },
        inputs: datasets(&run.inputs),
        outputs: datasets(&run.outputs),
    }
}

fn dataset<'a>(key: NodeKey, infos: &'a Infos, options: &OpenLineageOptions) -> Dataset<'a> {
    let info = infos.get(key);
    let full = raw_name(key, info);
    let (name, version) =
        match full.rsplit_once(':').filter(|(name, version)| !name.is_empty() && is_index(version))
        {
            Some((name, version)) => (name.to_owned(), version.to_owned()),
            None => (full, key.to_string()),
        };
    let tags = info.map_or_else(Vec::new, |info| {
        info.aliases
            .iter()
            .map(|alias| Tag { key: "alias", value: alias, source: "HEIRLOOM" })
            .collect()
    });
    Dataset {
        namespace: namespace(info, options),
        name,
        facets: DatasetFacets {
            version: VersionFacet { base: facet(DATASET_VERSION), dataset_version: version },
            dataset_type: info
                .and_then(|info| info.type_name.as_deref())
                .map(|dataset_type| TypeFacet { base: facet(DATASET_TYPE), dataset_type }),
            tags: (!tags.is_empty()).then(|| TagsFacet { base: facet(TAGS), tags }),
        },
    }
}

fn facet(schema_url: &'static str) -> Facet {
    Facet { producer: PRODUCER, schema_url }
}

/// `v` and digits.
fn is_index(text: &str) -> bool {
    text.strip_prefix('v').is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn namespace(info: Option<&NodeInfo>, options: &OpenLineageOptions) -> String {
    let mut out = format!("heirloom://{}", options.authority);
    let owner = [
        info.and_then(|info| info.entity.as_deref()),
        info.and_then(|info| info.project.as_deref()),
    ];
    for part in owner.into_iter().flatten() {
        out.push('/');
        push_encoded(&mut out, part);
    }
    out
}

/// Percent-encodes all but what RFC 3986 calls unreserved.
fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// A UUID of version 8 (RFC 9562: "custom"): 48 bits of a hash of the authority, and in the
/// remaining 74 the whole id, so that runs of one server never collide.
fn run_uuid(id: u64, authority: &str) -> String {
    // FNV-1a: tells servers apart, protects nothing.
    let hash = authority.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let site = hash >> 16;
    let middle = 0x8000 | (id >> 62);
    let low = (0b10 << 62) | (id & ((1 << 62) - 1));
    format!(
        "{:08x}-{:04x}-{middle:04x}-{:04x}-{:012x}",
        site >> 16,
        site & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_are_valid_uuids_and_differ() {
        let ids = [0, 1, 1 << 48, (1 << 62) - 1, 1 << 62, (1 << 63) - 1];
        let mut uuids: Vec<String> = ids.iter().map(|&id| run_uuid(id, "")).collect();
        uuids.push(run_uuid(0, "example.com"));
        for uuid in &uuids {
            let groups: Vec<&str> = uuid.split('-').collect();
            assert_eq!(
                groups.iter().map(|group| group.len()).collect::<Vec<_>>(),
                [8, 4, 4, 4, 12],
                "{uuid}"
            );
            assert!(groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit()));
            assert!(
                groups[2].starts_with('8') && groups[3].starts_with(['8', '9', 'a', 'b']),
                "{uuid}"
            );
        }
        let count = uuids.len();
        uuids.sort();
        uuids.dedup();
        assert_eq!(uuids.len(), count);
    }

    #[test]
    fn namespaces_are_uris_whatever_the_names() {
        let info = NodeInfo {
            entity: Some("a/b c".into()),
            project: Some("é\n".into()),
            ..NodeInfo::default()
        };
        let options = OpenLineageOptions { authority: "example.com:8443".into() };
        assert_eq!(
            namespace(Some(&info), &options),
            "heirloom://example.com:8443/a%2Fb%20c/%C3%A9%0A"
        );
        assert_eq!(namespace(None, &OpenLineageOptions::default()), "heirloom://");
    }
}
