//! The JSON that scripts rely on. A field that is missing, renamed or new fails
//! to parse: new ones are added here.
#![allow(dead_code, reason = "fields are here to be parsed")]

use serde::Deserialize;
use serde_json::Value;

type Map = serde_json::Map<String, Value>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Put {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) index: u64,
    pub(crate) id: String,
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) digest: String,
    pub(crate) created: bool,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) new_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) links_followed: u64,
    pub(crate) links_skipped: u64,
    pub(crate) ignored: u64,
    pub(crate) lost_modes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upserted {
    pub(crate) name: String,
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) distributed_id: String,
    pub(crate) part: u64,
    pub(crate) replaced: bool,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) new_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) links_followed: u64,
    pub(crate) links_skipped: u64,
    pub(crate) ignored: u64,
    pub(crate) lost_modes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartWriter {
    pub(crate) run: Option<RunRef>,
    pub(crate) actor: String,
    pub(crate) parts: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartSet {
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) artifact_type: String,
    pub(crate) distributed_id: String,
    pub(crate) on_conflict: String,
    pub(crate) state: String,
    pub(crate) parts: u64,
    pub(crate) writers: Vec<PartWriter>,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) started_at: String,
    pub(crate) touched_at: String,
    pub(crate) expires_at: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PartSets {
    pub(crate) sets: Vec<PartSet>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aborted {
    pub(crate) dropped: PartSet,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    pub(crate) dry_run: bool,
    pub(crate) name: String,
    pub(crate) digest: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) would_create: bool,
    pub(crate) newest: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Got {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) index: u64,
    pub(crate) digest: String,
    pub(crate) root: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) kept: u64,
    pub(crate) written: u64,
    pub(crate) written_bytes: u64,
    pub(crate) reflinked: u64,
    pub(crate) empty_directories: u64,
    pub(crate) extras: u64,
    pub(crate) unproven: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provenance {
    pub(crate) host: Option<String>,
    #[serde(default)]
    pub(crate) command: Vec<String>,
    pub(crate) git_commit: Option<String>,
    pub(crate) git_remote: Option<String>,
    pub(crate) git_dirty: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRef {
    pub(crate) id: String,
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionRef {
    pub(crate) id: String,
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) index: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) artifact_type: String,
    pub(crate) index: u64,
    pub(crate) version: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) digest: String,
    pub(crate) root: String,
    pub(crate) state: String,
    pub(crate) files: u64,
    pub(crate) size: u64,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Option<Map>,
    pub(crate) ttl: Value,
    pub(crate) created_at: String,
    pub(crate) actor: String,
    pub(crate) run: Option<RunRef>,
    pub(crate) provenance: Provenance,
    pub(crate) source: Option<VersionRef>,
    pub(crate) protected: Vec<String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) kept_by: Vec<String>,
    pub(crate) deleted_at: Option<String>,
    pub(crate) restorable_until: Option<String>,
}

/// As [`Version`], and the runs around it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) artifact_type: String,
    pub(crate) index: u64,
    pub(crate) version: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) digest: String,
    pub(crate) root: String,
    pub(crate) state: String,
    pub(crate) files: u64,
    pub(crate) size: u64,
    pub(crate) description: Option<String>,
    pub(crate) metadata: Option<Map>,
    pub(crate) ttl: Value,
    pub(crate) created_at: String,
    pub(crate) actor: String,
    pub(crate) run: Option<RunRef>,
    pub(crate) provenance: Provenance,
    pub(crate) source: Option<VersionRef>,
    pub(crate) protected: Vec<String>,
    pub(crate) expires_at: Option<String>,
    pub(crate) kept_by: Vec<String>,
    pub(crate) deleted_at: Option<String>,
    pub(crate) restorable_until: Option<String>,
    pub(crate) logged_by: Vec<String>,
    pub(crate) used_by: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Versions {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) versions: Vec<Version>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Collections {
    pub(crate) collections: Vec<Collection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Collection {
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) artifact_type: String,
    pub(crate) kind: String,
    pub(crate) description: Option<String>,
    pub(crate) ttl: Value,
    pub(crate) latest: Option<Version>,
    pub(crate) created_at: String,
    pub(crate) retention: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(crate) enum Updated {
    Version(Box<Version>),
    Collection(Box<Collection>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Renamed {
    pub(crate) from: String,
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) artifact_type: String,
    pub(crate) kind: String,
    pub(crate) description: Option<String>,
    pub(crate) ttl: Value,
    pub(crate) latest: Option<Version>,
    pub(crate) created_at: String,
    pub(crate) retention: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "type", rename_all = "lowercase")]
pub(crate) enum Line {
    Manifest {
        name: String,
        version: String,
        digest: String,
        root: String,
        files: u64,
        size: u64,
    },
    File {
        path: String,
        size: u64,
        digest: String,
    },
    Reference {
        path: String,
        uri: String,
        size: Option<u64>,
        etag: Option<String>,
        version_id: Option<String>,
        generation: Option<String>,
        final_uri: Option<String>,
        #[serde(default)]
        checksums: Vec<String>,
    },
    Directory {
        path: String,
    },
    Event {
        seq: u64,
        at: String,
        actor: String,
        event: String,
        version: Option<String>,
        run: Option<RunRef>,
        detail: Map,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Diff {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) added: Vec<Item>,
    pub(crate) removed: Vec<Item>,
    pub(crate) changed: Vec<Changed>,
    pub(crate) renamed: Vec<RenamedFile>,
    pub(crate) renames_complete: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    pub(crate) path: String,
    pub(crate) size: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changed {
    pub(crate) path: String,
    pub(crate) size_before: u64,
    pub(crate) size: u64,
    pub(crate) what: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenamedFile {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) size: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    pub(crate) ok: bool,
    pub(crate) version: Option<String>,
    pub(crate) versions: u64,
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
    pub(crate) damages: Vec<Damage>,
    pub(crate) leftovers: u64,
    pub(crate) leftover_bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Damage {
    pub(crate) object: String,
    pub(crate) blob: Option<String>,
    pub(crate) what: String,
    pub(crate) versions: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Directory {
    pub(crate) ok: bool,
    pub(crate) version: String,
    pub(crate) root: String,
    pub(crate) same: u64,
    pub(crate) bytes: u64,
    pub(crate) missing: u64,
    pub(crate) different: u64,
    pub(crate) extra: u64,
    pub(crate) unreadable: u64,
    pub(crate) findings: Vec<Finding>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) path: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alias {
    pub(crate) name: String,
    pub(crate) alias: String,
    pub(crate) version: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tagged {
    pub(crate) version: String,
    pub(crate) tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unlinked {
    pub(crate) unlinked: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Copied {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) index: u64,
    pub(crate) id: String,
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) digest: String,
    pub(crate) created: bool,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Removed {
    pub(crate) dry_run: bool,
    pub(crate) deleted: Vec<Deleted>,
    pub(crate) artifacts: Vec<String>,
    pub(crate) stays: Vec<Stays>,
    pub(crate) in_the_way: Vec<String>,
    pub(crate) restorable_until: Option<String>,
    pub(crate) freeable: Option<Freeable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stays {
    pub(crate) name: String,
    pub(crate) by: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Freeable {
    pub(crate) bytes: u64,
    pub(crate) shared: u64,
    pub(crate) exact: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restored {
    pub(crate) restored: Vec<String>,
    pub(crate) made_endless: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Restorable {
    pub(crate) restorable: Vec<Version>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Explained {
    pub(crate) artifacts: Vec<Retention>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retention {
    pub(crate) name: String,
    pub(crate) retention: Option<Value>,
    pub(crate) dry_run: bool,
    pub(crate) versions: Vec<Decision>,
    pub(crate) restorable_until: String,
    pub(crate) freeable: Option<Freeable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    pub(crate) version: String,
    pub(crate) index: u64,
    pub(crate) keep: bool,
    pub(crate) reasons: Vec<Reason>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    pub(crate) rule: String,
    pub(crate) text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deleted {
    pub(crate) name: String,
    pub(crate) link: bool,
    pub(crate) held_by: Vec<String>,
    pub(crate) files: u64,
    pub(crate) size: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Used {
    pub(crate) run: String,
    pub(crate) asked: String,
    pub(crate) version: Version,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) id: String,
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) job_type: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) config: Option<Map>,
    pub(crate) summary: Option<Map>,
    pub(crate) state: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) started_at: String,
    pub(crate) ended_at: Option<String>,
    pub(crate) actor: String,
    pub(crate) provenance: Provenance,
    /// Of `run start`.
    pub(crate) address: Option<String>,
    /// Of `run show`.
    #[serde(default)]
    pub(crate) used: Vec<Edge>,
    /// Of `run show`.
    #[serde(default)]
    pub(crate) produced: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edge {
    pub(crate) version: VersionRef,
    pub(crate) at: String,
    pub(crate) asked: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Runs {
    pub(crate) runs: Vec<Run>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ended {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) run: String,
    pub(crate) state: String,
    pub(crate) exit_code: i32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whence {
    pub(crate) files: Vec<WhenceFile>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhenceFile {
    pub(crate) file: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) found: Vec<Place>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) version: Version,
    pub(crate) path: String,
    pub(crate) upstream: Vec<VersionRef>,
    #[serde(default)]
    pub(crate) gone: Vec<String>,
    pub(crate) provenance: Provenance,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Graph {
    pub(crate) directed: bool,
    pub(crate) multigraph: bool,
    pub(crate) graph: Map,
    pub(crate) nodes: Vec<Value>,
    pub(crate) links: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Impact {
    pub(crate) from: Vec<String>,
    pub(crate) versions: Vec<Hit>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hit {
    pub(crate) entity: String,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) index: u64,
    #[serde(rename = "type")]
    pub(crate) artifact_type: String,
    pub(crate) state: String,
    pub(crate) aliases: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Projects {
    pub(crate) projects: Vec<Project>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Project {
    pub(crate) entity: String,
    pub(crate) name: String,
    pub(crate) created_at: String,
    pub(crate) collections: u64,
    pub(crate) ttl: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Du {
    pub(crate) rows: Vec<Usage>,
    pub(crate) logical: u64,
    pub(crate) distinct: u64,
    pub(crate) stored: u64,
    pub(crate) objects: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Usage {
    pub(crate) name: String,
    pub(crate) versions: u64,
    pub(crate) logical: u64,
    pub(crate) unique: u64,
    pub(crate) shared: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cache {
    pub(crate) path: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) cleaned: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Made {
    pub(crate) home: String,
    pub(crate) created: bool,
    pub(crate) project: String,
    pub(crate) settings: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Doctor {
    pub(crate) checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) detail: String,
}
