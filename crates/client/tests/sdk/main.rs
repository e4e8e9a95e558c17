//! The SDK against a real repository in a temporary directory.
#![allow(clippy::unwrap_used)]
#![cfg(feature = "embedded")]

mod artifacts;
mod attack;
mod downloads;
mod drafts;
mod fencing;
mod lineage;
mod numbering;
mod parts;
mod put;
mod references;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use heirloom::core::Timestamp;
use heirloom::{Artifact, Client, ClientOptions, Error, Version};
use tempfile::TempDir;

/// A repository, a place for files, and a clock that files are older than.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) client: Client,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let client = open(dir.path(), "home");
        Self { dir, client }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Logs without a run, and waits.
    pub(crate) async fn log(&self, artifact: Artifact) -> Result<Version, Error> {
        self.client.default_project().log_artifact(artifact).wait().await
    }

    pub(crate) async fn paths(&self, version: &Version) -> Vec<String> {
        let mut files = version.files();
        let mut paths = Vec::new();
        while let Some((path, _)) = files.next().await.unwrap() {
            paths.push(path.to_string());
        }
        paths
    }
}

/// Opens a repository with a clock that stands an hour after the tests' files
/// were made, so that these count as settled, and with counted randomness.
pub(crate) fn open(dir: &Path, home: &str) -> Client {
    static SEED: AtomicU64 = AtomicU64::new(1);
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = AtomicI64::new(start.as_micros() as i64 + 3_600_000_000);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    let counter = AtomicU64::new(0);
    let clock = Arc::new(move || Timestamp::from_micros(now.fetch_add(1, Ordering::Relaxed)));
    let random = Arc::new(move || {
        let n = counter.fetch_add(1, Ordering::Relaxed);
        let digest = heirloom::BlobId::of(format!("{seed} {n}").as_bytes());
        u128::from_le_bytes(digest.as_bytes()[..16].try_into().unwrap())
    });
    ClientOptions::new(dir.join(home), "tester", clock, random)
        .cache_dir(Some(dir.join("cache")))
        .host(Some("bench".into()))
        .command(vec!["test".into(), "--all".into()])
        .open()
        .unwrap()
}

/// All files below a directory, with their contents.
pub(crate) fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    fn visit(root: &Path, dir: &Path, out: &mut Vec<(String, Vec<u8>)>) {
        let mut empty = true;
        for entry in fs::read_dir(dir).unwrap() {
            empty = false;
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(root, &path, out);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                out.push((name, fs::read(&path).unwrap()));
            }
        }
        if empty && dir != root {
            out.push((
                format!("{}/", dir.strip_prefix(root).unwrap().to_str().unwrap()),
                Vec::new(),
            ));
        }
    }
    let mut out = Vec::new();
    visit(root, root, &mut out);
    out.sort();
    out
}
