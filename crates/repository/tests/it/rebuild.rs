//! A catalog made anew from storage alone says what the lost one said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use heirloom_api::{
    Backend, Delete, Expected, ProjectRef, RebuildReport, Restore, StartRun, UpdateCollection,
    UpdateRun, UpdateVersion,
};
use heirloom_catalog::{
    CatalogExt, EdgeKind, Order, SqliteCatalog, SqliteOptions, VersionState, View,
};
use heirloom_core::{Alias, Provenance, RunState, Tag};
use heirloom_manifest::BlobId;
use heirloom_repository::{Repository, RepositoryBackend, SystemEnvironment};
use proptest::prelude::*;

use crate::support::*;

fn rebuild(home: &Path) -> RebuildReport {
    rebuild_choosing(home, &BTreeSet::new())
}

fn rebuild_choosing(home: &Path, choice: &BTreeSet<BlobId>) -> RebuildReport {
    Repository::rebuild_catalog(home, &SystemEnvironment, choice, &mut |_, _| {}).unwrap()
}

fn lose_catalog(home: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.join(format!("catalog.sqlite3{suffix}")));
    }
}

/// Everything that users see, with names for the ids that a rebuild may change.
fn dump(home: &Path, with_events: bool) -> BTreeSet<String> {
    let catalog =
        SqliteCatalog::open(home.join("catalog.sqlite3"), SqliteOptions::default()).unwrap();
    catalog
        .view(|view| Ok::<_, heirloom_catalog::CatalogError>(dump_view(view, with_events)))
        .unwrap()
}

fn dump_view(view: &dyn View, with_events: bool) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut collections = BTreeSet::new();
    let mut runs = BTreeMap::new();
    for project in view.projects(None, 1000).unwrap() {
        let name = format!("{}/{}", project.entity, project.name);
        // One with nothing but runs is known by them alone.
        if !view.project_events(project.id, 0, 1).unwrap().is_empty() {
            out.insert(format!("project {name} {:?} {:?}", project.ttl, project.created_at));
        }
        for row in view.collections(project.id, None, 1000).unwrap() {
            collections.insert(row.id);
        }
        for event in view.project_events(project.id, 0, 100_000).unwrap() {
            collections.insert(event.collection);
            if with_events {
                out.insert(format!("event {:?}", heirloom_catalog::EventRow { seq: 0, ..event }));
            }
        }
        for old in ["a", "b", "c", "renamed-a", "renamed-b", "renamed-c"] {
            out.insert(format!(
                "redirect {name} {old} {:?}",
                view.redirect(project.id, &crate::support::name(old)).unwrap()
            ));
        }
        for run in view.runs_of(project.id, None, 1000).unwrap() {
            runs.insert(
                run.id,
                format!(
                    "run {name} {:?}",
                    heirloom_catalog::RunRow { project: heirloom_core::ProjectId(0), ..run }
                ),
            );
        }
    }
    for id in collections {
        let row = view.collection_by_id(id).unwrap().unwrap();
        let home = view.project_by_id(row.project).unwrap().unwrap();
        out.insert(format!(
            "collection {} {:?}",
            home.name,
            heirloom_catalog::CollectionRow { project: heirloom_core::ProjectId(0), ..row }
        ));
        for place in view.memberships(id, None, Order::Oldest, 1000).unwrap() {
            let version = view.version(place.version).unwrap().unwrap();
            out.insert(format!("{place:?} {:?} {version:?}", view.tags(version.id).unwrap()));
        }
        for alias in view.aliases(id).unwrap() {
            out.insert(format!("{alias:?}"));
        }
    }
    let mut touched = BTreeSet::new();
    view.all_edges(&mut |edge| {
        touched.insert((edge.kind, edge.run, edge.version));
    })
    .unwrap();
    for (kind, run, version) in touched {
        out.insert(format!("{:?}", view.edge(kind, run, version).unwrap()));
        // Runs that touched nothing are not kept.
        out.extend(runs.remove(&run));
    }
    out
}

fn same(before: &BTreeSet<String>, after: &BTreeSet<String>) {
    let lost: Vec<&String> = before.difference(after).collect();
    let new: Vec<&String> = after.difference(before).collect();
    assert!(lost.is_empty() && new.is_empty(), "lost {lost:#?}\nnew {new:#?}");
}

#[derive(Debug, Clone)]
enum Step {
    Put { name: usize, content: u8, alias: Option<u8>, tag: Option<u8>, run: bool },
    Alias { name: usize, alias: u8 },
    Unalias { name: usize, alias: u8 },
    Tag { name: usize, tag: u8 },
    Describe { name: usize },
    DescribeAll { name: usize },
    Use { name: usize },
    Link { name: usize },
    Rename { name: usize },
    Delete { name: usize, version: u8 },
    Restore { name: usize, version: u8 },
    EndRun,
    Seal,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0usize..3;
    prop_oneof![
        6 => (name.clone(), 0u8..4, prop::option::of(0u8..3), prop::option::of(0u8..3), any::<bool>())
            .prop_map(|(name, content, alias, tag, run)| Step::Put { name, content, alias, tag, run }),
        2 => (name.clone(), 0u8..3).prop_map(|(name, alias)| Step::Alias { name, alias }),
        1 => (name.clone(), 0u8..3).prop_map(|(name, alias)| Step::Unalias { name, alias }),
        1 => (name.clone(), 0u8..3).prop_map(|(name, tag)| Step::Tag { name, tag }),
        1 => name.clone().prop_map(|name| Step::Describe { name }),
        1 => name.clone().prop_map(|name| Step::DescribeAll { name }),
        2 => name.clone().prop_map(|name| Step::Use { name }),
        1 => name.clone().prop_map(|name| Step::Link { name }),
        1 => name.clone().prop_map(|name| Step::Rename { name }),
        1 => (name.clone(), 0u8..4).prop_map(|(name, version)| Step::Delete { name, version }),
        1 => (name, 0u8..4).prop_map(|(name, version)| Step::Restore { name, version }),
        1 => Just(Step::EndRun),
        1 => Just(Step::Seal),
    ]
}

fn alias(n: u8) -> Alias {
    Alias::new(&format!("alias{n}")).unwrap()
}

fn label(n: u8) -> Tag {
    Tag::new(&format!("tag{n}")).unwrap()
}

/// Runs a history. Steps that make no sense at their time are refused, which is
/// as good as any other outcome here.
async fn play(repository: &Repository, backend: &RepositoryBackend, steps: &[Step]) {
    let projects = [project("one"), project("two"), project("one")];
    let mut names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    let mut run = None;
    for step in steps {
        let newest =
            async |n: usize| backend.resolve(projects[n].clone(), reference(&names[n])).await.ok();
        match step {
            Step::Put { name, content, alias: wanted, tag, run: in_run } => {
                if *in_run && run.is_none() {
                    run = Some(start(backend, &projects[0]).await);
                }
                let text = format!("content {content}");
                let files = [("f", text.as_bytes()), ("g/h", &[7][..])];
                let of_run = run.filter(|_| *in_run);
                let mut commit =
                    sent(backend, &projects[*name], &names[*name], &files, of_run).await;
                commit.aliases = wanted.iter().map(|n| alias(*n)).collect();
                commit.tags = tag.iter().map(|n| label(*n)).collect();
                commit.description = Some(format!("about {content}"));
                backend.commit(commit).await.unwrap();
            }
            Step::Alias { name, alias: n } => {
                if let Some(version) = newest(*name).await {
                    let _ = backend.set_alias(version, alias(*n), Expected::Any).await;
                }
            }
            Step::Unalias { name, alias: n } => {
                let of = crate::support::name(&names[*name]);
                let _ = backend.remove_alias(projects[*name].clone(), of, alias(*n)).await;
            }
            Step::Tag { name, tag: n } => {
                if let Some(version) = newest(*name).await {
                    let removed = vec![label((n + 1) % 3)];
                    backend.tag(version, vec![label(*n)], removed).await.unwrap();
                }
            }
            Step::Describe { name } => {
                if let Some(version) = newest(*name).await {
                    let description = Some("edited".to_owned());
                    let metadata = Some(serde_json::json!({ "edited": true }));
                    let request = UpdateVersion { description, metadata, ..Default::default() };
                    backend.update_version(version, request).await.unwrap();
                }
            }
            Step::DescribeAll { name } => {
                let of = crate::support::name(&names[*name]);
                let description = Some("all of them".to_owned());
                let request = UpdateCollection { description, ..Default::default() };
                let _ = backend.update_collection(projects[*name].clone(), of, request).await;
            }
            Step::Use { name } => {
                if let Some(version) = newest(*name).await {
                    let id = match run {
                        Some(id) => id,
                        None => *run.insert(start(backend, &projects[0]).await),
                    };
                    backend.use_version(id, version.id, names[*name].clone()).await.unwrap();
                }
            }
            Step::Link { name } => {
                if let Some(version) = newest(*name).await {
                    let into = crate::support::name("portfolio");
                    let _ = backend.link(version.id, project("two"), into, vec![alias(9)]).await;
                }
            }
            Step::Rename { name } => {
                let of = crate::support::name(&names[*name]);
                let to = match names[*name].strip_prefix("renamed-") {
                    Some(plain) => plain.to_owned(),
                    None => format!("renamed-{}", names[*name]),
                };
                let rename = Some(crate::support::name(&to));
                let request = UpdateCollection { rename, ..Default::default() };
                if backend.update_collection(projects[*name].clone(), of, request).await.is_ok() {
                    names[*name] = to;
                }
            }
            Step::Delete { name, version } => {
                let versions = vec![reference(&format!("{}:v{version}", names[*name]))];
                delete(backend, &projects[*name], versions).await;
            }
            Step::Restore { name, version } => {
                let versions = vec![reference(&format!("{}:v{version}", names[*name]))];
                let request = Restore { versions, ..Restore::default() };
                let _ = backend.restore(projects[*name].clone(), request).await;
            }
            Step::EndRun => {
                if let Some(id) = run.take() {
                    let finish = Some((RunState::Finished, Some(0)));
                    let request = UpdateRun { finish, ..Default::default() };
                    backend.update_run(id, request).await.unwrap();
                    // Sealed runs are told of again when they touch something.
                    let _ = id;
                }
            }
            Step::Seal => {
                repository.seal_journal().unwrap();
            }
        }
    }
}

async fn delete(
    backend: &RepositoryBackend,
    project: &ProjectRef,
    versions: Vec<heirloom_core::ArtifactRef>,
) {
    let request = Delete { delete_aliases: true, ..Delete::versions(versions) };
    let _ = backend.delete(project.clone(), request).await;
}

async fn start(backend: &RepositoryBackend, project: &ProjectRef) -> heirloom_core::RunId {
    let request = StartRun {
        project: project.clone(),
        name: None,
        display_name: None,
        job_type: Some("job".to_owned()),
        group: None,
        config: Some(serde_json::json!({ "lr": 1 })),
        provenance: Provenance::default(),
    };
    backend.start_run(request).await.unwrap().run.id
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happened: sealed, lost, rebuilt, it is as before; and once more
    /// from what the rebuild sealed.
    #[test]
    fn a_rebuilt_catalog_is_the_lost_one(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = in_memory_dir();
        let home = dir.path();
        let repository = Repository::open(home, SystemEnvironment).unwrap();
        runtime.block_on(async {
            let backend = owner(&repository);
            play(&repository, &backend, &steps).await;
        });
        repository.seal_journal().unwrap();
        drop(repository);
        // A run that ended after it was sealed last is as it was then.
        let settled = |dump: BTreeSet<String>| -> BTreeSet<String> {
            dump.into_iter().filter(|line| !line.starts_with("run ")).collect()
        };
        let before = settled(dump(home, true));
        for _ in 0..2 {
            lose_catalog(home);
            let report = rebuild(home);
            prop_assert!(report.damages.is_empty() && report.ambiguous.is_empty(), "{report:?}");
            prop_assert!(report.lost.is_empty() && report.notes.is_empty(), "{report:?}");
            same(&before, &settled(dump(home, true)));
        }
        let repository = Repository::open(home, SystemEnvironment).unwrap();
        let clean = runtime.block_on(async {
            let backend = owner(&repository);
            let damages = backend.verify(None).await.unwrap().damages;
            log(&backend, &project("one"), "a-new-one", &[("n", b"new")], None).await;
            damages
        });
        prop_assert_eq!(clean, vec![]);
    }

    /// Without a journal: what the records know is there.
    #[test]
    fn records_alone_bring_back_versions_and_lineage(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = in_memory_dir();
        let home = dir.path();
        let repository = Repository::open(home, SystemEnvironment).unwrap();
        let only_puts: Vec<Step> = steps
            .into_iter()
            .filter(|step| matches!(step, Step::Put { .. } | Step::Use { .. }))
            .collect();
        runtime.block_on(async {
            play(&repository, &owner(&repository), &only_puts).await;
        });
        drop(repository);
        let facts = |home: &Path| -> BTreeSet<String> {
            let catalog =
                SqliteCatalog::open(home.join("catalog.sqlite3"), SqliteOptions::default()).unwrap();
            let mut out = BTreeSet::new();
            catalog.view(|view| {
                for version in view.all_versions(None, 1000)? {
                    out.insert(format!("{version:?}"));
                    out.insert(format!("{:?}", view.collection_by_id(version.collection)?.map(|row| (row.id, row.name, row.next_index, row.last_record))));
                    out.insert(format!("{:?}", view.alias(version.collection, &Alias::latest())?));
                }
                view.all_edges(&mut |edge| {
                    if edge.kind == EdgeKind::Produced {
                        out.insert(format!("{:?} {:?}", edge.run, edge.version));
                    }
                })
            }).unwrap();
            out
        };
        let before = facts(home);
        lose_catalog(home);
        rebuild(home);
        let after = facts(home);
        let lost: Vec<_> = before.difference(&after).collect();
        // A run that logged what the newest version had leaves no record of it.
        prop_assert!(lost.iter().all(|line| line.starts_with("RunId")), "{lost:#?}");
    }
}

fn in_memory_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

#[tokio::test]
async fn a_number_that_two_records_claim_is_named_and_chosen() {
    let (dir, repository) = on_disk();
    let home = dir.path();
    let backend = owner(&repository);
    let p = project("default");
    log(&backend, &p, "x", &[("f", b"zero")], None).await;
    // The catalog as it was before v1: the next put writes a record for v1, too.
    let fork = in_memory_dir();
    for file in fs::read_dir(home).unwrap() {
        let file = file.unwrap();
        if file.file_name().to_string_lossy().starts_with("catalog.sqlite3") {
            fs::copy(file.path(), fork.path().join(file.file_name())).unwrap();
        }
    }
    log(&backend, &p, "x", &[("f", b"one")], None).await;
    drop((backend, repository));
    lose_catalog(home);
    for file in fs::read_dir(fork.path()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), home.join(file.file_name())).unwrap();
    }
    let repository = Repository::open(home, SystemEnvironment).unwrap();
    log(&owner(&repository), &p, "x", &[("f", b"other one")], None).await;
    drop(repository);

    let before = dump(home, true);
    let report = rebuild(home);
    assert_eq!(report.ambiguous.len(), 1, "{report:?}");
    assert_eq!(report.ambiguous[0].version, "local/default/x:v1");
    assert_eq!(report.ambiguous[0].candidates.len(), 2);
    same(&before, &dump(home, true));
    for candidate in &report.ambiguous[0].candidates {
        let report = rebuild_choosing(home, &BTreeSet::from([candidate.record]));
        assert!(report.ambiguous.is_empty() && report.kept.is_some(), "{report:?}");
        let repository = Repository::open(home, SystemEnvironment).unwrap();
        let backend = owner(&repository);
        let version = resolve(&backend, "x:latest").await;
        assert_eq!((version.digest, version.index.get()), (candidate.digest, 1));
        assert_eq!(backend.verify(None).await.unwrap().damages, []);
        // What was chosen is sealed; choose the other from the start again.
        drop((backend, repository));
        forget_journal(home);
    }
}

/// Removes the packs that hold pieces of the journal.
fn forget_journal(home: &Path) {
    let store = heirloom_store::LocalStore::open(home).unwrap();
    for object in heirloom_store::scan(&store) {
        if let heirloom_store::Scanned::Pack { key, records, .. } = object.unwrap()
            && records.iter().any(|record| record.kind == heirloom_store::Kind::Journal)
        {
            heirloom_store::Store::delete(&store, &key).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_missing_is_named_and_the_rest_comes_back() {
    let (dir, repository) = on_disk();
    let home = dir.path();
    let backend = owner(&repository);
    let p = project("default");
    log(&backend, &p, "x", &[("f", b"zero")], None).await;
    let before: BTreeSet<_> = packs(home).into_iter().collect();
    log(&backend, &p, "x", &[("f", b"one")], None).await;
    let of_one: Vec<_> = packs(home).into_iter().filter(|pack| !before.contains(pack)).collect();
    log(&backend, &p, "x", &[("f", b"two")], None).await;
    drop((backend, repository));
    for pack in of_one {
        fs::remove_file(pack).unwrap();
    }
    lose_catalog(home);
    fs::remove_file(home.join("heirloom.toml")).unwrap();
    let report = rebuild(home);
    assert_eq!((report.lost, report.versions), (vec!["local/default/x:v1".to_owned()], 2));
    assert!(report.new_identity && report.kept.is_none());
    let repository = Repository::open(home, SystemEnvironment).unwrap();
    let backend = owner(&repository);
    let next = log(&backend, &p, "x", &[("f", b"three")], None).await;
    assert_eq!(next.version.index.get(), 3);
    assert!(backend.resolve(p, reference("x:v1")).await.is_err());
}

#[tokio::test]
async fn numbers_that_were_deleted_and_purged_are_not_used_again() {
    let (dir, repository) = on_disk();
    let home = dir.path();
    let backend = owner(&repository);
    let p = project("default");
    for content in [&b"zero"[..], b"one", b"two"] {
        log(&backend, &p, "x", &[("f", content)], None).await;
    }
    delete(&backend, &p, vec![reference("x:v1"), reference("x:v2")]).await;
    repository.seal_journal().unwrap();
    drop((backend, repository));
    lose_catalog(home);
    let report = rebuild(home);
    assert!(report.lost.is_empty(), "{report:?}");
    let repository = Repository::open(home, SystemEnvironment).unwrap();
    let backend = owner(&repository);
    let next = log(&backend, &p, "x", &[("f", b"three")], None).await;
    assert_eq!(next.version.index.get(), 3);
    let request = Restore { versions: vec![reference("x:v1")], ..Restore::default() };
    backend.restore(p, request).await.unwrap();
    drop((backend, repository));
    let catalog = SqliteCatalog::open(home.join("catalog.sqlite3"), SqliteOptions::default());
    let states: Vec<VersionState> = catalog
        .unwrap()
        .view(|view| view.all_versions(None, 10))
        .unwrap()
        .into_iter()
        .map(|version| version.state)
        .collect();
    assert_eq!(states.iter().filter(|state| state.is_committed()).count(), 3);
}
