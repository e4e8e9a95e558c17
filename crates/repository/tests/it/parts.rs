//! Parts of one version from many writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use heirloom_api::{
    AddPart, AddedPart, Backend, FinishParts, FinishedParts, PartSetState, Problem, ProjectRef,
    StartRun,
};
use heirloom_core::{ErrorCode, OnConflict, Provenance, RunId, RunName, Timestamp, Ttl};
use heirloom_repository::{Environment, Repository, RepositoryBackend, SystemEnvironment};

use crate::support::{both, dataset, key, name, owner, project, read, resolve, sent, viewer_of};

const DAY: i64 = 86_400;

/// A clock that a test moves.
#[derive(Clone)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_790_000_000_000_000)))
    }

    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Environment for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }

    fn random(&self) -> u64 {
        SystemEnvironment.random()
    }
}

async fn part_of(
    backend: &RepositoryBackend,
    project: &ProjectRef,
    files: &[(&str, &[u8])],
    run: Option<RunId>,
) -> AddPart {
    let mut files = files.to_vec();
    files.sort_unstable();
    let commit = sent(backend, project, "a", &files, run).await;
    AddPart {
        key: commit.key,
        project: commit.project,
        name: commit.name,
        artifact_type: commit.artifact_type,
        distributed_id: "job".to_owned(),
        on_conflict: None,
        root: commit.root,
        draft: commit.draft.unwrap(),
        run,
    }
}

async fn add(backend: &RepositoryBackend, files: &[(&str, &[u8])]) -> Result<AddedPart, Problem> {
    let part = part_of(backend, &project("default"), files, None).await;
    backend.add_part(part).await
}

fn finish_of(project: &ProjectRef) -> FinishParts {
    FinishParts {
        key: key(),
        project: project.clone(),
        name: name("a"),
        artifact_type: None,
        distributed_id: "job".to_owned(),
        aliases: Vec::new(),
        tags: Vec::new(),
        description: None,
        metadata: None,
        ttl: Ttl::Inherit,
        run: None,
        provenance: Provenance::default(),
        force_new: false,
    }
}

async fn finish(backend: &RepositoryBackend) -> Result<FinishedParts, Problem> {
    backend.finish_parts(finish_of(&project("default"))).await
}

async fn paths(backend: &RepositoryBackend, reference: &str) -> Vec<String> {
    let version = resolve(backend, reference).await;
    let page = backend.entries(version.id, String::new(), None, 1000).await.unwrap();
    page.entries.iter().map(|(path, _)| path.to_string()).collect()
}

async fn run(backend: &RepositoryBackend, name: &str) -> RunId {
    let request = StartRun {
        project: project("default"),
        name: Some(RunName::new(name).unwrap()),
        display_name: None,
        job_type: None,
        group: Some("job".into()),
        config: None,
        provenance: Provenance::default(),
    };
    backend.start_run(request).await.unwrap().run.id
}

#[tokio::test]
async fn parts_become_one_version() {
    both(async |repository| {
        let backend = owner(&repository);
        add(&backend, &[("x/1", b"one"), ("same", b"same")]).await.unwrap();
        add(&backend, &[("x/2", b"two"), ("same", b"same")]).await.unwrap();
        add(&backend, &[]).await.unwrap();
        let refused = backend.resolve(project("default"), "a".parse().unwrap()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotFound, "nothing can be read before the end");
        let done = finish(&backend).await.unwrap().committed;
        assert!(done.created);
        assert_eq!((done.version.to_string().as_str(), done.files), ("default/a:v0", 3));
        assert_eq!(paths(&backend, "a").await, ["same", "x/1", "x/2"]);
        for bytes in [&b"one"[..], b"two", b"same"] {
            read(&backend, &done, bytes).await.unwrap();
        }
        let report = backend.verify(None).await.unwrap();
        assert!(report.damages.is_empty(), "{report:?}");
        // The id is free: the next parts are of the next version.
        assert_eq!(add(&backend, &[("y", b"three")]).await.unwrap().part, 0);
        assert_eq!(finish(&backend).await.unwrap().committed.version.index.get(), 1);
        assert_eq!(paths(&backend, "a").await, ["y"]);
        let problem = finish(&backend).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::NotFound);
        assert!(problem.message.contains("set of parts `job` of `a`"), "{problem}");
    })
    .await;
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer() {
    both(async |repository| {
        let backend = owner(&repository);
        let part = part_of(&backend, &project("default"), &[("x", b"one")], None).await;
        let added = backend.add_part(part.clone()).await.unwrap();
        // Its draft is over, but its answer is known.
        assert_eq!(backend.add_part(part.clone()).await.unwrap(), added);
        let request = finish_of(&project("default"));
        let done = backend.finish_parts(request.clone()).await.unwrap();
        let again = backend.finish_parts(request.clone()).await.unwrap();
        assert_eq!(again.committed, done.committed);
        assert_eq!(backend.add_part(part).await.unwrap(), added);
        assert!(backend.part_sets(project("default")).await.unwrap().is_empty());
        let other = FinishParts { distributed_id: "other".to_owned(), ..request };
        assert_eq!(backend.finish_parts(other).await.unwrap_err().code, ErrorCode::Conflict);
    })
    .await;
}

#[tokio::test]
async fn finishing_what_the_newest_version_has_makes_no_version() {
    both(async |repository| {
        let backend = owner(&repository);
        let r1 = run(&backend, "r1").await;
        add(&backend, &[("x", b"one")]).await.unwrap();
        let first = finish(&backend).await.unwrap().committed;
        let part = part_of(&backend, &project("default"), &[("x", b"one")], Some(r1)).await;
        backend.add_part(part).await.unwrap();
        let second = finish(&backend).await.unwrap().committed;
        assert_eq!((second.created, second.version), (false, first.version.clone()));
        let (made_by, _) = backend.version_runs(first.version.id).await.unwrap();
        assert_eq!(made_by.len(), 1, "the run that brought it has its edge all the same");
        assert!(backend.part_sets(project("default")).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn contradictions_name_the_writers_and_leave_the_parts() {
    both(async |repository| {
        let backend = owner(&repository);
        for (writer, bytes) in [("r1", &b"one"[..]), ("r2", b"two")] {
            let run = run(&backend, writer).await;
            let files = [("d/x", bytes), ("same", b"same"), (writer, bytes)];
            let part = part_of(&backend, &project("default"), &files, Some(run)).await;
            backend.add_part(part).await.unwrap();
        }
        add(&backend, &[("r1/below", b"")]).await.unwrap();
        let problem = finish(&backend).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::Conflict);
        assert_eq!(problem.items.len(), 2, "{problem:?}");
        let first = &problem.items[0];
        for part in ["`d/x`", "run `r1` (ann, part 0)", "run `r2` (ann, part 1)", "blake3:"] {
            assert!(first.contains(part), "{part} is not in {first}");
        }
        assert!(problem.items[1].contains("`r1/below` from ann (part 2)"), "{:?}", problem.items);
        assert!(problem.message.contains(first) && problem.message.contains("1 more"));
        let sets = backend.part_sets(project("default")).await.unwrap();
        assert_eq!((sets.len(), sets[0].parts, sets[0].writers.len()), (1, 3, 3));
        assert_eq!(sets[0].writers[1].run.as_ref().unwrap().name.as_str(), "r2");
        let aborted =
            backend.abort_parts(project("default"), name("a"), "job".into()).await.unwrap();
        assert_eq!(aborted, sets[0]);
        assert!(backend.part_sets(project("default")).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_policy_settles_what_differs() {
    for (policy, wins) in [(OnConflict::First, &b"one"[..]), (OnConflict::Last, b"three")] {
        both(async |repository| {
            let backend = owner(&repository);
            for bytes in [&b"one"[..], b"two", b"three"] {
                let part = part_of(&backend, &project("default"), &[("x", bytes)], None).await;
                backend.add_part(AddPart { on_conflict: Some(policy), ..part }).await.unwrap();
            }
            let done = finish(&backend).await.unwrap().committed;
            let entry = backend.entry(done.version.id, "x".parse().unwrap()).await.unwrap();
            assert_eq!(entry.unwrap().blob(), Some(&heirloom_manifest::BlobId::of(wins)));
        })
        .await;
    }
}

#[tokio::test]
async fn an_unfinished_set_expires_visibly() {
    let clock = Clock::new();
    let repository = Repository::in_memory(clock.clone());
    let backend = owner(&repository);
    add(&backend, &[("x", b"one")]).await.unwrap();
    clock.pass(6 * DAY);
    add(&backend, &[("y", b"two")]).await.unwrap();
    clock.pass(6 * DAY);
    let open = backend.part_sets(project("default")).await.unwrap();
    assert_eq!((open[0].state, open[0].parts), (PartSetState::Open, 2));
    assert_eq!(open[0].expires_at, open[0].touched_at.plus_seconds(7 * DAY));
    clock.pass(DAY);
    // Nobody has looked yet, and still it is over.
    let problem = finish(&backend).await.unwrap_err();
    assert_eq!(problem.code, ErrorCode::Conflict);
    assert!(problem.message.contains("expired at"), "{problem}");
    let sets = backend.part_sets(project("default")).await.unwrap();
    assert_eq!((sets[0].state, sets[0].parts), (PartSetState::Expired, 0));
    assert_eq!(sets[0].expires_at, open[0].expires_at);
    assert_eq!(finish(&backend).await.unwrap_err().code, ErrorCode::Conflict);
    let begun = add(&backend, &[("z", b"three")]).await.unwrap();
    assert_eq!((begun.part, begun.replaced), (0, true));
    finish(&backend).await.unwrap();
    assert_eq!(paths(&backend, "a").await, ["z"]);
}

#[tokio::test]
async fn finishes_and_upserts_race_to_whole_versions() {
    both(async |repository| {
        let backend = owner(&repository);
        let mut expected = Vec::new();
        let mut adding = Vec::new();
        for i in 0..24 {
            expected.push(format!("f{i:02}"));
            let backend = backend.clone();
            adding.push(tokio::spawn(async move {
                let path = format!("f{i:02}");
                add(&backend, &[(path.as_str(), path.as_bytes())]).await.unwrap();
                if i % 3 == 0 {
                    // Two at once: one makes the version, the other finds nothing, or
                    // what came since.
                    let (a, b) = tokio::join!(finish(&backend), finish(&backend));
                    for outcome in [a, b] {
                        if let Err(problem) = outcome {
                            assert_eq!(problem.code, ErrorCode::NotFound, "{problem}");
                        }
                    }
                }
            }));
        }
        for task in adding {
            task.await.unwrap();
        }
        if let Err(problem) = finish(&backend).await {
            assert_eq!(problem.code, ErrorCode::NotFound);
        }
        // Every part is in exactly one version, and the numbers are dense.
        let mut found = Vec::new();
        for index in 0.. {
            let reference = format!("a:v{index}").parse().unwrap();
            if backend.resolve(project("default"), reference).await.is_err() {
                break;
            }
            found.extend(paths(&backend, &format!("a:v{index}")).await);
        }
        found.sort();
        assert_eq!(found, expected);
        assert!(backend.part_sets(project("default")).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_part_is_checked_like_a_version() {
    both(async |repository| {
        let backend = owner(&repository);
        let good = part_of(&backend, &project("default"), &[("x", b"one")], None).await;
        let (root, _) = crate::support::tree(&[("x", b"never sent")]);
        let problem = backend.add_part(AddPart { root, ..good.clone() }).await.unwrap_err();
        assert_eq!(problem.code, ErrorCode::Invalid, "{problem}");
        for id in ["", "a\nb", &"x".repeat(257)] {
            let distributed_id = id.to_owned();
            let problem =
                backend.add_part(AddPart { distributed_id, ..good.clone() }).await.unwrap_err();
            assert_eq!(problem.code, ErrorCode::Invalid, "{id:?}");
        }
        let untyped = AddPart { artifact_type: None, ..good.clone() };
        assert_eq!(backend.add_part(untyped).await.unwrap_err().code, ErrorCode::Invalid);
        // A draft of another project says nothing.
        let foreign = part_of(&backend, &project("other"), &[("x", b"one")], None).await;
        let stolen = AddPart { project: project("default"), ..foreign };
        assert_eq!(backend.add_part(stolen).await.unwrap_err().code, ErrorCode::Fenced);
        backend.add_part(good).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn parts_are_seen_and_changed_by_those_who_may() {
    both(async |repository| {
        let backend = owner(&repository);
        add(&backend, &[("x", b"one")]).await.unwrap();
        let viewer = viewer_of(&repository, "default");
        assert_eq!(viewer.part_sets(project("default")).await.unwrap().len(), 1);
        let abort = viewer.abort_parts(project("default"), name("a"), "job".into()).await;
        assert_eq!(abort.unwrap_err().code, ErrorCode::Forbidden);
        assert_eq!(finish(&viewer).await.unwrap_err().code, ErrorCode::Forbidden);
        let stranger = viewer_of(&repository, "elsewhere");
        let absent = stranger.part_sets(project("nowhere")).await.unwrap_err();
        let hidden = stranger.part_sets(project("default")).await.unwrap_err();
        assert_eq!(hidden.code, absent.code);
        let hidden = finish(&stranger).await.unwrap_err();
        assert_eq!(hidden.message, "project `local/default` does not exist");
    })
    .await;
}

#[tokio::test]
async fn a_finished_type_is_what_the_parts_said() {
    both(async |repository| {
        let backend = owner(&repository);
        add(&backend, &[("x", b"one")]).await.unwrap();
        let model = Some(heirloom_core::ArtifactType::new("model").unwrap());
        let wrong = FinishParts { artifact_type: model, ..finish_of(&project("default")) };
        let problem = backend.finish_parts(wrong).await.unwrap_err();
        assert_eq!(
            (problem.code, problem.found.as_deref()),
            (ErrorCode::WrongType, Some("dataset"))
        );
        finish(&backend).await.unwrap();
        assert_eq!(Some(resolve(&backend, "a").await.artifact_type), dataset());
    })
    .await;
}
