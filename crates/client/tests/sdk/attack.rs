//! What odd inputs and surroundings may not achieve.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use heirloom::core::{ErrorCode, Timestamp};
use heirloom::{Artifact, ClientOptions, Phase, PutOptions, Tally};

use crate::Bench;

#[tokio::test]
#[cfg(target_os = "linux")]
async fn files_that_the_kernel_makes_up_are_refused_by_name() {
    let bench = Bench::new();
    let mut artifact = Artifact::new("kernel", "text");
    artifact.add_file("/proc/version");
    let error = bench.log(artifact).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
    assert!(error.to_string().contains("`/proc/version`"), "{error}");
    assert!(bench.client.artifact("kernel").await.is_err());
}

#[tokio::test]
async fn the_repository_and_its_cache_do_not_go_into_an_artifact() {
    let bench = Bench::new();
    bench.write("file", "x");
    bench.log(Artifact::new("first", "text")).await.unwrap();
    let mut artifact = Artifact::new("all", "text");
    artifact.add_dir(bench.dir.path());
    let error = bench.log(artifact.clone()).await.unwrap_err();
    for name in ["home", "cache"] {
        let path = bench.path(name).display().to_string();
        assert!(error.to_string().contains(&format!("`{path}` is where")), "{error}");
    }
    bench.write(".heirloomignore", "/home\n/cache\n");
    let version = bench.log(artifact).await.unwrap();
    assert_eq!(bench.paths(&version).await, [".heirloomignore", "file"]);
}

/// `put shards/*` of a thousand files must not need a thousand handles.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn large_files_added_one_by_one_keep_no_handles_open() {
    let bench = Bench::new();
    let mut artifact = Artifact::new("shards", "dataset");
    for n in 0..24 {
        let path = bench.write(&format!("shards/{n}"), "");
        fs::File::options().write(true).open(&path).unwrap().set_len((1 << 20) + n).unwrap();
        artifact.add_file(path);
    }
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, ours) = (Arc::clone(&most), bench.path("cache"));
    let progress = move |_: &Tally| {
        let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
            let target = fs::read_link(entry.unwrap().path()).ok()?;
            target.starts_with(&ours).then_some(())
        });
        seen.fetch_max(open.count(), Ordering::Relaxed);
    };
    let options = PutOptions { progress: Some(Arc::new(progress)), ..Default::default() };
    bench.client.default_project().put(artifact, options).await.unwrap();
    assert!(most.load(Ordering::Relaxed) <= 1, "{most:?} stat caches were open at once");
}

fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}

fn changed_ns(path: &Path) -> i64 {
    let meta = fs::metadata(path).unwrap();
    meta.ctime() * 1_000_000_000 + meta.ctime_nsec()
}

/// Where the clock of the file system ticks seldom, a file rewritten while it
/// is read would else look unchanged, and a torn mixture would be committed.
#[tokio::test]
async fn a_file_written_just_now_is_read_when_its_clock_has_ticked() {
    let bench = Bench::new();
    let clock = Arc::new(|| Timestamp::from_micros(now_ns() / 1000));
    let client = ClientOptions::new(bench.path("other"), "tester", clock, Arc::new(|| 7));
    let client = client.open().unwrap();
    let path = bench.write("data/new", "x");
    let mut artifact = Artifact::new("data", "dataset");
    artifact.add_dir(bench.path("data"));
    let began = Arc::new(AtomicI64::new(i64::MAX));
    let phases = Arc::new(Mutex::new(Vec::new()));
    let (begin, seen) = (Arc::clone(&began), Arc::clone(&phases));
    let progress = move |tally: &Tally| {
        seen.lock().unwrap().push(tally.phase);
        if tally.phase == Phase::Send {
            begin.fetch_min(now_ns(), Ordering::Relaxed);
        }
    };
    let options = PutOptions { progress: Some(Arc::new(progress)), ..Default::default() };
    client.default_project().put(artifact, options).await.unwrap();
    assert!(phases.lock().unwrap().contains(&Phase::Send));
    let age = began.load(Ordering::Relaxed) - changed_ns(&path);
    assert!(age > 49_000_000, "reading began {age} ns after the change");
}
