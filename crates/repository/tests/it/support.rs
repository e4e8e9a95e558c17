//! Repositories, trees and commits that the tests share.

use std::fs;
use std::io::{Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use heirloom_api::{
    Backend, BeginDraft, BlobKind, Commit, Committed, Problem, ProjectRef, Uploader, VersionDoc,
};
use heirloom_core::{
    ArtifactName, ArtifactRef, ArtifactType, Caller, DraftId, EntityName, Grant, IdempotencyKey,
    ProjectName, Provenance, Role, RunId, Ttl,
};
use heirloom_manifest::{BlobId, Entry, LogicalPath, MemoryNodes, NodeId, TreeBuilder};
use heirloom_repository::{Environment, Repository, RepositoryBackend, SystemEnvironment};

pub(crate) fn project(name: &str) -> ProjectRef {
    ProjectRef { entity: EntityName::local(), project: ProjectName::new(name).unwrap() }
}

pub(crate) fn name(text: &str) -> ArtifactName {
    ArtifactName::new(text).unwrap()
}

pub(crate) fn reference(text: &str) -> ArtifactRef {
    text.parse().unwrap()
}

pub(crate) fn dataset() -> Option<ArtifactType> {
    Some(ArtifactType::new("dataset").unwrap())
}

pub(crate) fn owner(repository: &Repository) -> RepositoryBackend {
    repository.as_caller(Caller::owner("ann"))
}

pub(crate) fn viewer_of(repository: &Repository, of: &str) -> RepositoryBackend {
    let project = Some(ProjectName::new(of).unwrap());
    let grant = Grant { entity: EntityName::local(), project, role: Role::Viewer };
    repository.as_caller(Caller::with_grants("bob", vec![grant]))
}

pub(crate) fn on_disk() -> (tempfile::TempDir, Repository) {
    let dir = tempfile::tempdir().unwrap();
    let repository = Repository::open(dir.path(), SystemEnvironment).unwrap();
    (dir, repository)
}

/// Every test runs on both kinds.
pub(crate) async fn both<F: AsyncFn(Repository)>(test: F) {
    test(Repository::in_memory(SystemEnvironment)).await;
    let (_dir, repository) = on_disk();
    test(repository).await;
}

/// A tree of entries whose sizes are whatever they are said to be.
pub(crate) fn tree_of<'a>(
    entries: impl IntoIterator<Item = (String, &'a [u8], u64)>,
) -> (NodeId, MemoryNodes) {
    let mut nodes = MemoryNodes::new();
    let mut builder = TreeBuilder::new(&mut nodes);
    for (path, bytes, size) in entries {
        let entry = Entry::File { blob: BlobId::of(bytes), size };
        builder.push(&LogicalPath::new(&path).unwrap(), &entry).unwrap();
    }
    (builder.finish().unwrap().root, nodes)
}

pub(crate) fn tree(files: &[(&str, &[u8])]) -> (NodeId, MemoryNodes) {
    tree_of(files.iter().map(|(path, bytes)| (path.to_string(), *bytes, bytes.len() as u64)))
}

pub(crate) fn key() -> IdempotencyKey {
    IdempotencyKey::from_random(u128::from(SystemEnvironment.random()))
}

pub(crate) fn commit_of(project: &ProjectRef, collection: &str, root: NodeId) -> Commit {
    Commit {
        key: key(),
        project: project.clone(),
        name: name(collection),
        artifact_type: dataset(),
        root,
        draft: None,
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
    }
}

pub(crate) async fn begin(
    backend: &RepositoryBackend,
    project: &ProjectRef,
    collection: &str,
) -> DraftId {
    let request = BeginDraft {
        project: project.clone(),
        name: name(collection),
        artifact_type: dataset(),
        base: None,
    };
    backend.begin_draft(request).await.unwrap().id
}

pub(crate) fn send(uploader: &mut dyn Uploader, contents: &[&[u8]], nodes: &MemoryNodes) {
    for bytes in contents {
        uploader.add(BlobKind::Content, bytes).unwrap();
    }
    for (_, bytes) in nodes.iter() {
        uploader.add(BlobKind::Node, bytes).unwrap();
    }
    uploader.flush().unwrap();
}

/// Sends files and their tree under a draft; what is left is to commit.
pub(crate) async fn sent(
    backend: &RepositoryBackend,
    project: &ProjectRef,
    collection: &str,
    files: &[(&str, &[u8])],
    run: Option<RunId>,
) -> Commit {
    let (root, nodes) = tree(files);
    let draft = begin(backend, project, collection).await;
    let mut uploader = backend.uploader(draft).await.unwrap();
    let contents: Vec<&[u8]> = files.iter().map(|(_, bytes)| *bytes).collect();
    send(&mut *uploader, &contents, &nodes);
    Commit { draft: Some(draft), run, ..commit_of(project, collection, root) }
}

pub(crate) async fn log(
    backend: &RepositoryBackend,
    project: &ProjectRef,
    collection: &str,
    files: &[(&str, &[u8])],
    run: Option<RunId>,
) -> Committed {
    let commit = sent(backend, project, collection, files, run).await;
    backend.commit(commit).await.unwrap().unwrap()
}

pub(crate) async fn resolve(backend: &RepositoryBackend, text: &str) -> VersionDoc {
    backend.resolve(project("default"), reference(text)).await.unwrap()
}

pub(crate) async fn read(
    backend: &RepositoryBackend,
    version: &Committed,
    bytes: &[u8],
) -> Result<(), Problem> {
    let mut downloader = backend.downloader(version.version.id).await?;
    let wanted = [(BlobId::of(bytes), bytes.len() as u64)];
    downloader.read_small(&wanted, &mut |_, got| {
        assert_eq!(got, bytes);
        Ok(())
    })
}

pub(crate) fn file_of(bytes: &[u8]) -> fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

pub(crate) fn whole_path(home: &Path, bytes: &[u8]) -> PathBuf {
    let id = BlobId::of(bytes).to_string();
    let hex = id.strip_prefix("blake3:").unwrap_or(&id);
    home.join("objects").join(&hex[..2]).join(hex)
}

pub(crate) fn packs(home: &Path) -> Vec<PathBuf> {
    let Ok(fans) = fs::read_dir(home.join("packs")) else { return Vec::new() };
    let files = fans.flat_map(|fan| fs::read_dir(fan.unwrap().path()).unwrap());
    let mut all: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    all.sort();
    all
}

/// Replaces a stretch of bytes in a file that has it.
pub(crate) fn damage(path: &Path, stretch: &[u8]) -> bool {
    let mut bytes = fs::read(path).unwrap();
    let Some(at) = bytes.windows(stretch.len()).position(|window| window == stretch) else {
        return false;
    };
    bytes[at] ^= 1;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    true
}
