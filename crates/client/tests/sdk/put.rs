//! What a put writes, reads and refuses.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use heirloom::core::ErrorCode;
use heirloom::{Artifact, Error, Links, Phase, PutOptions, Tally};
use heirloom_testkit::fixtures;

use crate::{Bench, open};

fn dataset(bench: &Bench) -> Artifact {
    let mut artifact = Artifact::new("data", "dataset");
    artifact.add_dir(bench.path("data"));
    artifact
}

#[tokio::test]
async fn putting_it_again_unchanged_reads_and_writes_nothing() {
    let bench = Bench::new();
    for n in 0..700 {
        bench.write(&format!("data/{:02}/{n}.bin", n % 7), format!("content {n}"));
    }
    bench.write("data/large.bin", fixtures::bytes(1, 2 << 20));
    let project = bench.client.default_project();
    let first = project.put(dataset(&bench), PutOptions::default()).await.unwrap();
    assert!(first.committed.created);
    assert_eq!((first.files, first.new_bytes), (701, first.bytes));
    assert!(first.stored_bytes > 2 << 20);

    // Whatever reads a file from now on fails: only the stat cache may speak.
    for entry in fs::read_dir(bench.path("data/00")).unwrap() {
        assert!(entry.unwrap().path().is_file());
    }
    let reads = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&reads);
    let progress = move |tally: &Tally| {
        if tally.phase == Phase::Send {
            seen.store(true, Ordering::Relaxed);
        }
    };
    let options = PutOptions { progress: Some(Arc::new(progress)), ..Default::default() };
    let again = project.put(dataset(&bench), options).await.unwrap();
    assert!(!again.committed.created);
    assert_eq!(again.committed.version, first.committed.version);
    assert_eq!((again.new_bytes, again.stored_bytes, again.files), (0, 0, 701));
    assert!(!reads.load(Ordering::Relaxed), "nothing was sent");
}

#[tokio::test]
async fn one_changed_file_is_all_that_is_new() {
    let bench = Bench::new();
    for n in 0..3000 {
        bench.write(&format!("data/{n:04}"), format!("content {n}"));
    }
    let project = bench.client.default_project();
    let first = project.put(dataset(&bench), PutOptions::default()).await.unwrap();
    bench.write("data/1500", "something else altogether");
    let second = project.put(dataset(&bench), PutOptions::default()).await.unwrap();
    assert!(second.committed.created);
    assert_eq!(second.new_bytes, 25);
    assert!(second.stored_bytes < first.stored_bytes / 4, "{second:?}");
    let version = bench.client.artifact("data").await.unwrap();
    assert_eq!(version.read("1500").await.unwrap(), b"something else altogether");
    assert_eq!(version.read("1501").await.unwrap(), b"content 1501");
    let before = bench.client.artifact("data:v0").await.unwrap();
    let differences = before.diff(&version).await.unwrap();
    assert_eq!(differences.changes.len(), 1);
    assert_eq!(differences.changes[0].path.as_str(), "1500");
}

#[tokio::test]
async fn a_known_file_is_sent_to_a_repository_that_lacks_it() {
    let bench = Bench::new();
    for n in 0..300 {
        bench.write(&format!("data/{n}"), format!("content {n}"));
    }
    bench.write("data/large", fixtures::bytes(2, 1 << 20));
    bench.log(dataset(&bench)).await.unwrap();
    // The same stat cache, another home: every digest is known, no byte is there.
    let other = open(bench.dir.path(), "other");
    let report = other.default_project().put(dataset(&bench), PutOptions::default()).await.unwrap();
    assert_eq!((report.files, report.new_bytes), (301, report.bytes));
    let version = other.artifact("data").await.unwrap();
    assert_eq!(version.read("large").await.unwrap(), fixtures::bytes(2, 1 << 20));
    assert!(version.verify_stored().await.unwrap().damages.is_empty());
}

#[tokio::test]
async fn a_plan_tells_without_writing() {
    let bench = Bench::new();
    bench.write("data/a", "1");
    bench.write("data/large", vec![1; 2 << 20]);
    let project = bench.client.default_project();
    let plan = project.plan(dataset(&bench), PutOptions::default()).await.unwrap();
    assert_eq!((plan.files, plan.unchanged, plan.newest), (2, false, None));
    assert!(bench.client.artifact("data").await.is_err());
    let version = bench.log(dataset(&bench)).await.unwrap();
    assert_eq!(version.digest(), plan.digest);
    let plan = project.plan(dataset(&bench), PutOptions::default()).await.unwrap();
    assert!(plan.unchanged);
}

#[tokio::test]
async fn a_file_that_changes_meanwhile_fails_the_put_by_name() {
    for size in [10, 3 << 20] {
        let bench = Bench::new();
        let path = bench.write("data/victim", vec![1; size]);
        bench.write("data/other", "x");
        let changed = AtomicBool::new(false);
        // Between scan and read: when the phase of sending begins.
        let progress = move |tally: &Tally| {
            if tally.phase == Phase::Send && !changed.swap(true, Ordering::Relaxed) {
                fs::write(&path, vec![2; size + 1]).unwrap();
            }
        };
        let options = PutOptions { progress: Some(Arc::new(progress)), ..Default::default() };
        let error = bench.client.default_project().put(dataset(&bench), options).await.unwrap_err();
        assert!(error.to_string().contains("data/victim"), "{error}");
        assert!(error.to_string().contains("changed"), "{error}");
        assert_eq!(error.code(), ErrorCode::Conflict);
        assert!(bench.client.artifact("data").await.is_err(), "nothing was committed");
        bench.log(dataset(&bench)).await.unwrap();
    }
}

#[tokio::test]
async fn special_files_and_bad_names_are_all_named_and_nothing_is_committed() {
    let bench = Bench::new();
    bench.write("data/fine", "x");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        bench.path("data/pipe"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("data/socket")).unwrap();
    fs::write(bench.path("data").join(std::ffi::OsStr::from_bytes(b"bad-\xff")), "x").unwrap();
    symlink("/etc/passwd", bench.path("data/leaves")).unwrap();
    symlink("nowhere", bench.path("data/dangles")).unwrap();
    symlink(".", bench.path("data/loops")).unwrap();
    let error = bench.log(dataset(&bench)).await.unwrap_err();
    let Error::Files { problems, .. } = &error else { panic!("{error}") };
    assert_eq!(problems.len(), 6, "{error}");
    for name in ["data/pipe", "data/socket", "data/bad-\\xff", "leaves", "dangles", "loops"] {
        assert!(problems.iter().any(|problem| problem.contains(name)), "{name}: {error}");
    }
    assert_eq!(error.code(), ErrorCode::Invalid);
    assert!(bench.client.artifact("data").await.is_err());
}

#[tokio::test]
async fn links_by_policy() {
    let bench = Bench::new();
    bench.write("data/real/file", "x");
    symlink("real/file", bench.path("data/link")).unwrap();
    symlink("real", bench.path("data/dir")).unwrap();
    let project = bench.client.default_project();
    let followed = project.put(dataset(&bench), PutOptions::default()).await.unwrap();
    assert_eq!(followed.scanned.links_followed, 2);
    let version = bench.client.artifact("data").await.unwrap();
    assert_eq!(bench.paths(&version).await, ["dir/file", "link", "real/file"]);
    let mut artifact = dataset(&bench);
    artifact.links(Links::Skip);
    let skipped = project.put(artifact, PutOptions::default()).await.unwrap();
    assert_eq!((skipped.scanned.links_skipped, skipped.files), (2, 1));
    let mut artifact = dataset(&bench);
    artifact.links(Links::Refuse);
    let error = project.put(artifact, PutOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("data/link"), "{error}");
}

#[tokio::test]
async fn odd_names_and_shapes_come_back_byte_for_byte() {
    let bench = Bench::new();
    let long = "n".repeat(255);
    let names =
        ["new\nline", " spaces ", "tab\t", "e\u{301}", "\u{e9}", "back\\slash", &long, "a\"b"];
    for name in names {
        bench.write(&format!("data/{name}"), name);
    }
    bench.write("data/empty", "");
    bench.write("data/deep/er/still/x", "x");
    fs::create_dir_all(bench.path("data/hollow/inner")).unwrap();
    let script = bench.write("data/script.sh", "#!");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::File::create(bench.path("data/sparse")).unwrap().set_len(5 << 20).unwrap();
    fs::hard_link(bench.path("data/empty"), bench.path("data/linked")).unwrap();
    let report =
        bench.client.default_project().put(dataset(&bench), PutOptions::default()).await.unwrap();
    assert_eq!(report.scanned.lost_modes, 1);
    assert!(!report.scanned.warnings.is_empty(), "names that other systems refuse");
    let version = bench.client.artifact("data").await.unwrap();
    let got = version.download().root(bench.path("out")).await.unwrap();
    assert_eq!(got.empty_directories, 1);
    assert_eq!(crate::tree(&bench.path("out")), crate::tree(&bench.path("data")));
    assert!(version.verify(bench.path("out")).await.unwrap().report.is_whole());
}

#[tokio::test]
async fn ignored_files_stay_out() {
    let bench = Bench::new();
    bench.write("data/.heirloomignore", "*.tmp\n.heirloomignore\n");
    bench.write("data/a.tmp", "x");
    bench.write("data/a.txt", "x");
    let version = bench.log(dataset(&bench)).await.unwrap();
    assert_eq!(bench.paths(&version).await, ["a.txt"]);
}

#[tokio::test]
async fn an_empty_artifact_is_a_version_too() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("data")).unwrap();
    let version = bench.log(dataset(&bench)).await.unwrap();
    assert_eq!((version.name().as_str(), version.doc().files), ("data:v0", 0));
    let got = version.download().root(bench.path("out")).await.unwrap();
    assert_eq!(got.files, 0);
    let again = bench.log(dataset(&bench)).await.unwrap();
    assert_eq!(again.name(), "data:v0");
}

#[tokio::test]
async fn words_are_checked_and_kept() {
    let bench = Bench::new();
    let mut artifact = Artifact::new("words", "t");
    artifact.add_bytes("a", "1").metadata(serde_json::json!([1]));
    assert_eq!(bench.log(artifact.clone()).await.unwrap_err().code(), ErrorCode::Invalid);
    artifact.metadata(serde_json::json!({"b": 1, "a": 2})).description("d").tags(["x", "y"]);
    artifact.ttl("30d".parse().unwrap());
    let version = bench.log(artifact).await.unwrap();
    assert_eq!(version.metadata(), Some(&serde_json::json!({"b": 1, "a": 2})));
    assert_eq!(version.description(), Some("d"));
    assert_eq!(version.tags().len(), 2);
    assert_eq!(version.doc().ttl, heirloom::core::Ttl::Seconds(30 * 86_400));
    let untyped = Artifact::without_type("never-seen");
    assert!(bench.log(untyped).await.is_err(), "the first version needs a type");
    let mut other = Artifact::new("words", "other");
    other.add_bytes("a", "2");
    assert_eq!(bench.log(other).await.unwrap_err().code(), ErrorCode::WrongType);
}
