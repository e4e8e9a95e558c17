//! Random histories against a simple model: puts, aliases, deletions, restores,
//! abandoned drafts, crashes, collections. After each step the repository says what
//! the model says, and what a collection was told to free it frees.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_api::{Backend, Commit, Delete, Expected, Restore};
use heirloom_core::{Alias, ErrorCode};
use heirloom_manifest::BlobId;
use heirloom_repository::{Repository, RepositoryBackend, SystemEnvironment};
use proptest::prelude::*;

use crate::gc::{gc, noise};
use crate::support::*;

/// Numbers of files; each has its bytes.
type Content = BTreeSet<u8>;

#[derive(Debug, Clone)]
enum Step {
    Put { of: u8, content: Content, claims: bool },
    Alias { of: u8, to: usize },
    Remove { which: usize },
    Restore { which: usize },
    Abandon { of: u8, content: Content },
    Gc { now: bool },
    CrashAndReopen,
    Verify,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let content = || prop::collection::btree_set(0_u8..12, 1..8);
    let put = (0_u8..2, content(), any::<bool>());
    prop::collection::vec(
        prop_oneof![
            5 => put.prop_map(|(of, content, claims)| Step::Put { of, content, claims }),
            1 => (0_u8..2, 0_usize..9).prop_map(|(of, to)| Step::Alias { of, to }),
            3 => (0_usize..9).prop_map(|which| Step::Remove { which }),
            1 => (0_usize..9).prop_map(|which| Step::Restore { which }),
            1 => (0_u8..2, content()).prop_map(|(of, content)| Step::Abandon { of, content }),
            3 => any::<bool>().prop_map(|now| Step::Gc { now }),
            1 => Just(Step::CrashAndReopen),
            1 => Just(Step::Verify),
        ],
        1..24,
    )
}

fn bytes_of(file: u8) -> Vec<u8> {
    noise(u64::from(file), 500 + usize::from(file) * 900)
}

fn name_of(of: u8) -> String {
    format!("a{of}")
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Here,
    Deleted,
    Purged,
}

#[derive(Debug)]
struct Version {
    of: u8,
    index: u64,
    content: Content,
    state: State,
}

/// What the repository should be.
#[derive(Debug, Default)]
struct Model {
    versions: Vec<Version>,
    /// Holders of the alias `prod`.
    prod: BTreeMap<u8, u64>,
}

impl Model {
    fn newest(&self, of: u8) -> Option<&Version> {
        self.versions.iter().rfind(|version| version.of == of && version.state == State::Here)
    }

    fn next(&self, of: u8) -> u64 {
        self.versions.iter().filter(|version| version.of == of).count() as u64
    }

    fn pick(&self, which: usize, state: State) -> Option<usize> {
        let all: Vec<usize> =
            (0..self.versions.len()).filter(|at| self.versions[*at].state == state).collect();
        (!all.is_empty()).then(|| all[which % all.len()])
    }
}

async fn send_content(
    backend: &RepositoryBackend,
    of: u8,
    content: &Content,
    claims: bool,
) -> Commit {
    let default = project("default");
    let files: Vec<(String, Vec<u8>)> =
        content.iter().map(|file| (format!("f{file:02}"), bytes_of(*file))).collect();
    let files: Vec<(&str, &[u8])> =
        files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    if !claims {
        return sent(backend, &default, &name_of(of), &files, None).await;
    }
    let (root, nodes) = tree(&files);
    let draft = begin(backend, &default, &name_of(of)).await;
    let mut uploader = backend.uploader(draft).await.unwrap();
    let ids: Vec<BlobId> = files.iter().map(|(_, bytes)| BlobId::of(bytes)).collect();
    let have = uploader.claim(&ids).unwrap();
    let missing: Vec<&[u8]> =
        files.iter().zip(have).filter(|(_, have)| !have).map(|((_, bytes), _)| *bytes).collect();
    send(&mut *uploader, &missing, &nodes);
    Commit { draft: Some(draft), ..commit_of(&default, &name_of(of), root) }
}

async fn do_step(backend: &RepositoryBackend, model: &mut Model, step: &Step) {
    let default = project("default");
    match step {
        Step::Put { of, content, claims } => {
            let commit = send_content(backend, *of, content, *claims).await;
            let done = backend.commit(commit).await.unwrap().unwrap();
            match model.newest(*of).filter(|newest| newest.content == *content) {
                Some(newest) => {
                    assert_eq!((done.created, done.version.index.get()), (false, newest.index));
                }
                None => {
                    let index = model.next(*of);
                    assert_eq!((done.created, done.version.index.get()), (true, index));
                    let content = content.clone();
                    model.versions.push(Version { of: *of, index, content, state: State::Here });
                }
            }
        }
        Step::Alias { of, to } => {
            let here: Vec<u64> = model
                .versions
                .iter()
                .filter(|version| version.of == *of && version.state == State::Here)
                .map(|version| version.index)
                .collect();
            let Some(index) = here.get(to % here.len().max(1)) else { return };
            let version = resolve(backend, &format!("{}:v{index}", name_of(*of))).await;
            let alias = Alias::new("prod").unwrap();
            backend.set_alias(version, alias, Expected::Any).await.unwrap();
            model.prod.insert(*of, *index);
        }
        Step::Remove { which } => {
            let Some(at) = model.pick(*which, State::Here) else { return };
            let version = &mut model.versions[at];
            let text = format!("{}:v{}", name_of(version.of), version.index);
            let versions = vec![reference(&text)];
            let request = Delete { versions, delete_aliases: true, ..Delete::default() };
            backend.delete(default, request).await.unwrap();
            version.state = State::Deleted;
            if model.prod.get(&version.of) == Some(&version.index) {
                model.prod.remove(&version.of);
            }
        }
        Step::Restore { which } => {
            let Some(at) = model.pick(*which, State::Deleted) else { return };
            let version = &mut model.versions[at];
            let text = format!("{}:v{}", name_of(version.of), version.index);
            let request = Restore { key: None, versions: vec![reference(&text)] };
            backend.restore(default, request).await.unwrap();
            version.state = State::Here;
        }
        Step::Abandon { of, content } => {
            let _ = send_content(backend, *of, content, true).await;
        }
        Step::Gc { now } => {
            let done = gc(backend, now.then_some(0)).await;
            let mut purged = 0;
            for version in model.versions.iter_mut().filter(|_| *now) {
                if version.state == State::Deleted {
                    version.state = State::Purged;
                    purged += 1;
                }
            }
            assert_eq!(done.purged, purged);
        }
        Step::Verify => {
            assert_eq!(backend.verify(None).await.unwrap().damages, []);
        }
        Step::CrashAndReopen => {}
    }
}

async fn check(backend: &RepositoryBackend, model: &Model) {
    for version in &model.versions {
        let text = format!("{}:v{}", name_of(version.of), version.index);
        let found = backend.resolve(project("default"), reference(&text)).await;
        if version.state != State::Here {
            assert_eq!(found.unwrap_err().code, ErrorCode::NotFound, "{text}");
            continue;
        }
        let mut downloader = backend.downloader(found.unwrap().id).await.unwrap();
        let files: Vec<Vec<u8>> = version.content.iter().map(|file| bytes_of(*file)).collect();
        let wanted: Vec<(BlobId, u64)> =
            files.iter().map(|bytes| (BlobId::of(bytes), bytes.len() as u64)).collect();
        let mut seen = 0;
        downloader
            .read_small(&wanted, &mut |at, bytes| {
                assert_eq!(bytes, files[at], "{text}");
                seen += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, files.len());
    }
    for of in 0..2 {
        for (alias, holder) in [
            ("latest", model.newest(of).map(|version| version.index)),
            ("prod", model.prod.get(&of).copied()),
        ] {
            let text = format!("{}:{alias}", name_of(of));
            let found = backend.resolve(project("default"), reference(&text)).await;
            assert_eq!(found.ok().map(|version| version.index.get()), holder, "{text}");
        }
    }
}

/// After a collection that nobody disturbs: no more than twice what is needed, as a
/// pack may be half dead, and a little for trees and records.
async fn check_end(backend: &RepositoryBackend, model: &mut Model) {
    do_step(backend, model, &Step::Gc { now: true }).await;
    check(backend, model).await;
    let stored = gc(backend, Some(0)).await.kept.bytes;
    let here = || model.versions.iter().filter(|version| version.state == State::Here);
    let files: Content = here().flat_map(|version| version.content.iter().copied()).collect();
    let needed: usize = files.iter().map(|file| bytes_of(*file).len() + 200).sum();
    let little = 3000 * here().count() + 4000;
    assert!(stored <= (2 * needed + little) as u64, "{stored} bytes for {needed}");
    assert_eq!(backend.verify(None).await.unwrap().damages, []);
}

async fn run(steps: &[Step], on_disk: bool) {
    let dir = tempfile::tempdir().unwrap();
    let open = || match on_disk {
        true => Repository::open(dir.path(), SystemEnvironment).unwrap(),
        false => Repository::in_memory(SystemEnvironment),
    };
    let mut repository = open();
    let mut model = Model::default();
    for step in steps {
        if let (Step::CrashAndReopen, true) = (step, on_disk) {
            // As it is: drafts, locks and staged files of whoever was at work.
            let staged = dir.path().join("tmp/object-of-a-dead-writer");
            std::fs::create_dir_all(dir.path().join("tmp")).unwrap();
            std::fs::write(staged, [7; 100]).unwrap();
            drop(repository);
            repository = open();
        }
        let backend = owner(&repository);
        do_step(&backend, &mut model, step).await;
        check(&backend, &model).await;
    }
    if on_disk {
        drop(repository);
        repository = open();
        check_end(&owner(&repository), &mut model).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_repository_does_what_the_model_says(steps in steps(), on_disk in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&steps, on_disk));
    }
}
