//! Timings at a million: manifest entries, blobs, lineage edges.
//!
//! `cargo run --release -p heirloom-repository --example bench_million`. What a step
//! is not about (filling the repository) is not counted.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "prints timings")]

use std::time::Instant;

use heirloom_api::{
    Backend, BeginDraft, BlobKind, Commit, GcRequest, LineageQuery, Problem, ProjectRef, Towards,
    Uploader,
};
use heirloom_catalog::{
    CatalogExt, CollectionKind, CollectionRow, EdgeKind, EdgeRow, Edit, RunRow, SqliteCatalog,
    VersionRow, VersionState,
};
use heirloom_core::{
    ArtifactName, ArtifactType, Caller, CollectionId, EntityName, IdempotencyKey, ProjectName,
    Provenance, RunId, RunName, RunState, Timestamp, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{
    BlobId, Edit as TreeEdit, Entry, LogicalPath, ManifestId, MemoryNodes, NodeId, NodeSink,
    NodeSource, TreeBuilder, empty_tree, patch,
};
use heirloom_repository::{Environment, Repository, SystemEnvironment};

const ENTRIES: u64 = 1_000_000;
const RUNS: u64 = 250_000;

struct Clock(Instant, f64);

fn cpu() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), cpu())
    }

    fn say(&self, what: &str) {
        let (wall, cpu) = (self.0.elapsed().as_secs_f64(), cpu() - self.1);
        println!("{what}: {:.1} ms wall, {:.1} ms CPU", wall * 1e3, cpu * 1e3);
    }
}

/// Hands nodes to the uploader, and keeps them to read from.
struct Send<'u> {
    uploader: &'u mut dyn Uploader,
    bytes: usize,
    kept: MemoryNodes,
}

impl NodeSink for Send<'_> {
    type Error = Problem;

    fn put_node(&mut self, id: NodeId, bytes: Vec<u8>, _level: u8) -> Result<(), Problem> {
        self.bytes += bytes.len();
        self.uploader.add(BlobKind::Node, &bytes)?;
        self.kept.insert(id, bytes);
        Ok(())
    }
}

fn path(number: u64) -> LogicalPath {
    LogicalPath::new(&format!("images/{:04}/{number:07}.png", number / 1000)).unwrap()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let repository = Repository::open(dir.path(), SystemEnvironment).unwrap();
    let backend = repository.as_caller(Caller::owner("bench"));
    let project = ProjectRef { entity: EntityName::local(), project: ProjectName::default_name() };
    let name = ArtifactName::new("million").unwrap();
    let begin = BeginDraft {
        project: project.clone(),
        name: name.clone(),
        artifact_type: Some(ArtifactType::new("dataset").unwrap()),
        base: None,
    };
    let commit = |root, draft| Commit {
        key: IdempotencyKey::from_random(u128::from(SystemEnvironment.random())),
        project: project.clone(),
        name: name.clone(),
        artifact_type: None,
        root,
        draft: Some(draft),
        aliases: vec![],
        tags: vec![],
        description: None,
        metadata: None,
        ttl: Ttl::Inherit,
        run: None,
        provenance: Provenance::default(),
        force_new: false,
        base_alias: None,
        attachments: vec![],
    };

    let draft = backend.begin_draft(begin.clone()).await.unwrap();
    let mut uploader = backend.uploader(draft.id).await.unwrap();
    let clock = Clock::start();
    for number in 0..ENTRIES {
        uploader.add(BlobKind::Content, &number.to_le_bytes()).unwrap();
    }
    uploader.flush().unwrap();
    clock.say("store 1,000,000 blobs of 8 bytes");

    let clock = Clock::start();
    let mut sink = Send { uploader: &mut *uploader, bytes: 0, kept: MemoryNodes::new() };
    let mut builder = TreeBuilder::new(&mut sink);
    for number in 0..ENTRIES {
        let blob = BlobId::of(&number.to_le_bytes());
        builder.push(&path(number), &Entry::File { blob, size: 8 }).unwrap();
    }
    let tree = builder.finish().unwrap();
    let (bytes, nodes) = (sink.bytes, sink.kept);
    uploader.flush().unwrap();
    clock.say("build a manifest of 1,000,000 entries");
    println!("  {} nodes, {bytes} bytes", nodes.len());
    let first =
        Commit { artifact_type: begin.artifact_type.clone(), ..commit(tree.root, draft.id) };
    backend.commit(first).await.unwrap();
    clock.say("build and commit it");

    let clock = Clock::start();
    let draft = backend.begin_draft(begin).await.unwrap();
    let mut uploader = backend.uploader(draft.id).await.unwrap();
    let blob = uploader.add(BlobKind::Content, b"changed").unwrap();
    let mut sink = Send { uploader: &mut *uploader, bytes: 0, kept: MemoryNodes::new() };
    let edit = (path(500_123), TreeEdit::Put(Entry::File { blob, size: 7 }));
    let mut source =
        Source { downloader: backend.downloader(draft.base.unwrap().id).await.unwrap() };
    let changed = patch(&mut source, &tree.root, [edit], &mut sink).unwrap();
    let bytes = sink.bytes;
    uploader.flush().unwrap();
    let stored = uploader.stored();
    let done = backend.commit(commit(changed.tree.root, draft.id)).await.unwrap().unwrap();
    clock.say("change one entry and commit");
    println!("  {bytes} bytes of new nodes, {stored} bytes stored");

    let clock = Clock::start();
    backend.entry(done.version.id, path(777_777)).await.unwrap().unwrap();
    clock.say("look up one path");
    let clock = Clock::start();
    let found = backend.whence(BlobId::of(&777_777u64.to_le_bytes()), 8).await.unwrap();
    clock.say("whence of one blob among 1,000,000");
    assert_eq!(found.len(), 2);

    forget_peak();
    let before = peak();
    let clock = Clock::start();
    let request = GcRequest { dry_run: true, grace: Some(0), progress: None };
    let found = backend.gc(request).await.unwrap();
    clock.say("mark 1,000,000 blobs");
    println!(
        "  {} bytes kept, peak of memory {:.1} MiB, {:.1} MiB before",
        found.kept.bytes,
        peak(),
        before
    );

    lineage(&repository, done.version.id).await;
}

/// Lets the kernel count the peak of this process's memory anew.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Peak of this process's memory in MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

struct Source {
    downloader: Box<dyn heirloom_api::Downloader>,
}

impl NodeSource for Source {
    type Bytes = Vec<u8>;
    type Error = Problem;

    fn node(&mut self, id: &NodeId) -> Result<Vec<u8>, Problem> {
        Ok(self.downloader.nodes(&[*id])?.remove(0))
    }
}

/// A million edges: each run uses three versions and makes one.
async fn lineage(repository: &Repository, any: VersionId) {
    let backend = repository.as_caller(Caller::owner("bench"));
    let catalog =
        SqliteCatalog::open(repository.home().unwrap().catalog_path(), Default::default()).unwrap();
    let at = Timestamp::from_micros(0);
    let collection = CollectionId(77);
    let project = catalog.view(|view| view.version(any)).unwrap().unwrap().collection;
    let project = catalog.view(|view| view.collection_by_id(project)).unwrap().unwrap().project;
    fill(
        &catalog,
        vec![Edit::PutCollection(CollectionRow {
            id: collection,
            project,
            name: ArtifactName::new("chain").unwrap(),
            artifact_type: ArtifactType::new("dataset").unwrap(),
            kind: CollectionKind::Sequence,
            description: None,
            ttl: Ttl::Inherit,
            retention: None,
            next_index: VersionIndex::new(RUNS),
            last_record: None,
            created_at: at,
            deleted_at: None,
        })],
    );
    let version = |number: u64| VersionId::from_random(number + 1);
    let mut edits = Vec::new();
    for number in 0..RUNS {
        edits.push(Edit::PutVersion(VersionRow {
            id: version(number),
            collection,
            index: VersionIndex::new(number),
            digest: ManifestId::of_root(&empty_tree()),
            root: empty_tree(),
            entries: 0,
            size: 0,
            description: None,
            metadata: None,
            ttl: Ttl::Inherit,
            created_at: at,
            actor: "bench".to_owned(),
            run: None,
            provenance: Provenance::default(),
            record: BlobId::of(b""),
            attachments: vec![],
            state: VersionState::Committed,
        }));
        let run = RunId::from_random(number + 1);
        edits.push(Edit::PutRun(RunRow {
            id: run,
            project,
            name: RunName::new(&format!("r{number}")).unwrap(),
            display_name: format!("run {number}"),
            job_type: None,
            group: None,
            config: None,
            summary: None,
            state: RunState::Finished,
            exit_code: Some(0),
            started_at: at,
            ended_at: None,
            actor: "bench".to_owned(),
            provenance: Provenance::default(),
        }));
        let edge = |kind, version| Edit::AddEdge(EdgeRow { kind, run, version, at, asked: None });
        edits.push(edge(EdgeKind::Produced, version(number)));
        // The first 100,000 are wide and shallow, the rest also a long chain.
        let before = if number < 100_000 { number / 5 } else { number - 1 };
        for used in [number / 2, number / 3, before] {
            edits.push(edge(EdgeKind::Used, version(used)));
        }
        if edits.len() > 20_000 {
            fill(&catalog, std::mem::take(&mut edits));
        }
    }
    fill(&catalog, edits);
    for (what, start) in [("300,000", 150_000), ("at most 1,000", 99_999), ("the same", 99_999)] {
        let query = LineageQuery { start: version(start), towards: Towards::Up, depth: None };
        let clock = Clock::start();
        let answer = backend.lineage(query).await.unwrap();
        clock.say(&format!(
            "upstream of {what} results in 1,000,000 edges, loading and names included"
        ));
        println!("  {} nodes, {} edges", answer.nodes.len(), answer.edges.len());
    }
}

fn fill(catalog: &SqliteCatalog, edits: Vec<Edit>) {
    catalog.transact(|_| Ok::<_, heirloom_catalog::CatalogError>((edits.clone(), ()))).unwrap();
}
