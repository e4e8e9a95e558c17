//! Times the SQLite catalog's bulk work; medians of five, on a scratch file.
//!
//! `cargo run --release -p heirloom-catalog --example bench_sqlite [DIRECTORY]`
#![allow(clippy::print_stdout, clippy::unwrap_used)] // A program for people at a terminal.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use heirloom_catalog::{
    Catalog, CatalogError, CatalogExt, CollectionKind, CollectionRow, DraftRow, EdgeKind, EdgeRow,
    Edit, Location, ObjectRow, ObjectState, ProjectRow, RunRow, SqliteCatalog, SqliteOptions,
    VersionRow, VersionState,
};
use heirloom_core::{
    ArtifactName, ArtifactType, CollectionId, DraftId, EntityName, ProjectId, ProjectName,
    Provenance, RunId, RunName, RunState, Scope, Timestamp, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId, NodeId};
use heirloom_store::{ObjectKey, PackId};

const BLOBS: u64 = 50_000;
const EDGES: u64 = 1_000_000;
const ROUNDS: usize = 5;
const PROJECT: ProjectId = ProjectId(0x0123_4567_89ab_cdef);

fn main() {
    let root = std::env::args_os().nth(1).map(PathBuf::from);
    let scratch = match root {
        Some(root) => tempfile::tempdir_in(root).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let file = scratch.path().join("catalog.sqlite3");
    let made = Instant::now();
    let catalog = SqliteCatalog::open(&file, SqliteOptions::default()).unwrap();
    println!("make the file                      {:>9.2?}", made.elapsed());
    write(
        &catalog,
        vec![
            Edit::PutProject(ProjectRow {
                id: PROJECT,
                entity: EntityName::local(),
                name: ProjectName::default_name(),
                created_at: Timestamp::from_micros(0),
                ttl: Ttl::Inherit,
            }),
            Edit::PutDraft(DraftRow {
                id: DraftId::from_random(1),
                project: PROJECT,
                name: ArtifactName::new("animals").unwrap(),
                base: None,
                actor: "bench".to_owned(),
                created_at: Timestamp::from_micros(0),
                epoch: 0,
            }),
        ],
    );

    report(
        "small commit",
        (0..20).map(|epoch| time(|| write(&catalog, vec![Edit::SetEpoch(epoch)]))),
    );
    report(
        "add 50,000 locations, table grows",
        (0..ROUNDS as u64).map(|round| {
            let edits = pack(round);
            time(|| write(&catalog, edits))
        }),
    );
    let blobs = sorted(0..BLOBS);
    report(
        "locate 50,000 sorted of 250,000",
        (0..ROUNDS).map(|_| time(|| locate(&catalog, &blobs, BLOBS))),
    );
    let all = sorted(0..BLOBS * ROUNDS as u64);
    report(
        "locate 250,000 sorted of 250,000",
        (0..ROUNDS).map(|_| time(|| locate(&catalog, &all, BLOBS * 5))),
    );
    let absent = sorted(1 << 40..(1 << 40) + BLOBS);
    report(
        "locate 50,000 that are absent",
        (0..ROUNDS).map(|_| time(|| locate(&catalog, &absent, 0))),
    );
    for round in ROUNDS as u64..20 {
        write(&catalog, pack(round));
    }
    report(
        "locate 50,000 sorted of 1,000,000",
        (0..ROUNDS).map(|_| time(|| locate(&catalog, &blobs, BLOBS))),
    );
    let few = sorted((0..1000).map(|number| number * 7));
    report("locate 1,000 of 1,000,000", (0..ROUNDS).map(|_| time(|| locate(&catalog, &few, 1000))));
    report(
        "add 50,000 to 1,000,000",
        (20..20 + ROUNDS as u64).map(|round| {
            let edits = pack(round);
            time(|| write(&catalog, edits))
        }),
    );

    let filling = Instant::now();
    fill_edges(&catalog);
    println!("fill {EDGES} edges              {:>9.2?}", filling.elapsed());
    report(
        "all_edges of 1,000,000",
        (0..ROUNDS).map(|_| {
            time(|| {
                let mut seen = 0;
                catalog.view(|view| view.all_edges(&mut |_| seen += 1)).unwrap();
                assert_eq!(seen, EDGES);
            })
        }),
    );
    drop(catalog);

    report(
        "open, read the epoch, close",
        (0..50).map(|_| {
            time(|| {
                let catalog = SqliteCatalog::open(&file, SqliteOptions::default()).unwrap();
                catalog.view(|view| view.epoch()).unwrap();
            })
        }),
    );
    report(
        "open alone",
        (0..50).map(|_| {
            let started = Instant::now();
            let catalog = SqliteCatalog::open(&file, SqliteOptions::default()).unwrap();
            let took = started.elapsed();
            drop(catalog);
            took
        }),
    );
    println!(
        "size of the file                   {:>9} bytes",
        std::fs::metadata(&file).unwrap().len()
    );
}

fn write(catalog: &SqliteCatalog, edits: Vec<Edit>) {
    let mut edits = Some(edits);
    catalog.write(&mut |_| Ok(edits.take().unwrap_or_default())).unwrap();
}

fn time(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn report(what: &str, times: impl Iterator<Item = Duration>) {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    let middle = times[times.len() / 2];
    println!("{what:<34} {middle:>9.2?}   ({:.2?} to {:.2?})", times[0], times[times.len() - 1]);
}

fn sorted(numbers: impl Iterator<Item = u64>) -> Vec<BlobId> {
    let mut blobs: Vec<BlobId> = numbers.map(|number| BlobId::of(&number.to_le_bytes())).collect();
    blobs.sort();
    blobs
}

fn pack(round: u64) -> Vec<Edit> {
    let key = ObjectKey::Pack(PackId::from_bytes(*BlobId::of(&round.to_be_bytes()).as_bytes()));
    let object = ObjectRow {
        key,
        size: 200_000_000,
        state: ObjectState::Live,
        claimed_epoch: 0,
        created_at: Timestamp::from_micros(0),
    };
    let blobs = (round * BLOBS..(round + 1) * BLOBS)
        .map(|number| {
            let offset = number % BLOBS * 4096;
            let at = Location { object: key, offset, stored: 4096, raw: 4096, codec: 0, kind: 0 };
            (BlobId::of(&number.to_le_bytes()), at)
        })
        .collect();
    vec![
        Edit::PutObject(object),
        Edit::AddLocations { scope: Scope(PROJECT), object: key, blobs },
        Edit::Lease { draft: DraftId::from_random(1), object: key },
    ]
}

fn locate(catalog: &SqliteCatalog, blobs: &[BlobId], expected: u64) {
    let found = catalog.view(|view| view.locate(Scope(PROJECT), blobs)).unwrap();
    assert_eq!(found.iter().flatten().count() as u64, expected);
}

/// Runs and versions with random ids, ten edges each.
fn fill_edges(catalog: &SqliteCatalog) {
    let random = |kind: u8, number: u64| {
        let id = BlobId::of(&[&[kind][..], &number.to_le_bytes()].concat());
        u64::from_le_bytes(id.as_bytes()[..8].try_into().unwrap())
    };
    let runs: Vec<RunId> = (0..EDGES / 10).map(|n| RunId::from_random(random(1, n))).collect();
    let versions: Vec<VersionId> =
        (0..EDGES / 10).map(|n| VersionId::from_random(random(2, n))).collect();
    let at = Timestamp::from_micros(0);
    let root = NodeId::of(b"root");
    write(
        catalog,
        vec![Edit::PutCollection(CollectionRow {
            id: CollectionId(1),
            project: PROJECT,
            name: ArtifactName::new("animals").unwrap(),
            artifact_type: ArtifactType::new("dataset").unwrap(),
            kind: CollectionKind::Sequence,
            description: None,
            ttl: Ttl::Inherit,
            retention: None,
            next_index: VersionIndex::ZERO,
            last_record: None,
            created_at: at,
            deleted_at: None,
        })],
    );
    let mut edits = Vec::new();
    for (number, (run, version)) in runs.iter().zip(&versions).enumerate() {
        edits.push(Edit::PutRun(RunRow {
            id: *run,
            project: PROJECT,
            name: RunName::new(&format!("run{number}")).unwrap(),
            display_name: String::new(),
            job_type: None,
            group: None,
            config: None,
            summary: None,
            state: RunState::Finished,
            exit_code: Some(0),
            started_at: at,
            ended_at: Some(at),
            actor: "bench".to_owned(),
            provenance: Provenance::default(),
        }));
        edits.push(Edit::PutVersion(VersionRow {
            id: *version,
            collection: CollectionId(1),
            index: VersionIndex::new(number as u64),
            digest: ManifestId::of_root(&root),
            root,
            entries: 1,
            size: 1,
            description: None,
            metadata: None,
            ttl: Ttl::Inherit,
            created_at: at,
            actor: "bench".to_owned(),
            run: None,
            provenance: Provenance::default(),
            record: BlobId::of(b"record"),
            attachments: Vec::new(),
            state: VersionState::Committed,
        }));
    }
    write(catalog, edits);
    let count = runs.len();
    let mut edges: Vec<(RunId, EdgeKind, VersionId)> = (0..count)
        .flat_map(|run| {
            (0..10).map(move |step| {
                let kind = if step == 0 { EdgeKind::Produced } else { EdgeKind::Used };
                (run, kind, (run * 7 + step * 131 + 1) % count)
            })
        })
        .map(|(run, kind, version)| (runs[run], kind, versions[version]))
        .collect();
    edges.sort();
    let asked = Some("animals:latest".to_owned());
    let edits = edges.into_iter().map(|(run, kind, version)| {
        Edit::AddEdge(EdgeRow { kind, run, version, at, asked: asked.clone() })
    });
    write(catalog, edits.collect());
    let totals: Result<_, CatalogError> = catalog.view(|view| view.totals());
    assert_eq!(totals.unwrap().runs, count as u64);
}
