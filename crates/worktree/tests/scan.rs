//! What a scan gives: order, rules, refusals.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use heirloom_worktree::{
    Links, NameRule, ProblemKind, Root, ScanEntry, ScanKind, ScanOptions, ScanReport, StatCache,
    scan,
};
use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode};
use tempfile::TempDir;

fn scan_with(dir: &Path, options: &ScanOptions<'_>) -> (Vec<ScanEntry>, ScanReport) {
    let root = Root::open(dir).unwrap();
    let mut entries = Vec::new();
    let report = scan(&root, options, &mut StatCache::empty(), |entry| {
        entries.push(entry);
        Ok::<_, ()>(())
    })
    .unwrap();
    (entries, report)
}

fn paths(dir: &Path, links: Links) -> (Vec<String>, ScanReport) {
    let (entries, report) = scan_with(dir, &ScanOptions { links, ..ScanOptions::default() });
    let mark = |e: &ScanEntry| if e.kind == ScanKind::EmptyDirectory { "/" } else { "" };
    (entries.iter().map(|e| format!("{}{}", e.path, mark(e))).collect(), report)
}

fn problems(report: &ScanReport) -> BTreeMap<PathBuf, ProblemKind> {
    assert_eq!(report.problems.total, report.problems.listed.len() as u64);
    report.problems.listed.iter().map(|p| (p.path.clone(), p.kind.clone())).collect()
}

fn tree(files: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        if let Some(name) = file.strip_suffix('/') {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
    }
    dir
}

#[test]
fn nested_empty_long_and_odd_names_come_in_path_order() {
    let long = "n".repeat(255);
    let dir = tree(&[
        "a/b/c",
        "a.txt",
        "a-1",
        "a0",
        "empty/",
        "empty.txt",
        "empty-dir/",
        "e\u{301}",
        "\u{e9}",
        "two\nlines",
        " s",
        "a/b.c",
        "a/b-",
        "deep/empty/",
        &long,
    ]);
    fs::write(dir.path().join("zero"), b"").unwrap();
    let (found, report) = paths(dir.path(), Links::Follow);
    let mut expected: Vec<String> = [
        " s",
        "a-1",
        "a.txt",
        "a/b-",
        "a/b.c",
        "a/b/c",
        "a0",
        "deep/empty/",
        "e\u{301}",
        "empty/",
        "empty-dir/",
        "empty.txt",
        "two\nlines",
        "zero",
        "\u{e9}",
        &long,
    ]
    .map(str::to_owned)
    .to_vec();
    expected
        .sort_by(|a, b| a.trim_end_matches('/').as_bytes().cmp(b.trim_end_matches('/').as_bytes()));
    assert_eq!(found, expected);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!((report.files, report.empty_directories), (13, 3));
    assert_eq!(report.collisions.listed, [vec!["e\u{301}".to_owned(), "\u{e9}".to_owned()]]);
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ab]{1,2}",
        2 => prop::sample::select(vec!["a-", "a.", "a0", "a/", "b!", "b ", "a\u{1}", "\u{e9}"]).prop_map(|s| s.replace('/', "_")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The order and the set are those of a naive recursive listing, sorted.
    #[test]
    fn order_is_that_of_sorted_full_paths(
        parts in prop::collection::vec((prop::collection::vec(part(), 1..4), any::<bool>()), 0..30),
        threads in 1usize..4,
    ) {
        let dir = tempfile::tempdir().unwrap();
        for (parts, directory) in parts {
            let path = dir.path().join(parts.join("/"));
            // Some clash with a file of the same name: they are left out.
            if directory {
                let _ = fs::create_dir_all(path);
            } else if fs::create_dir_all(path.parent().unwrap()).is_ok() && !path.exists() {
                fs::write(path, b"x").unwrap();
            }
        }
        let mut naive = BTreeSet::new();
        let mut todo = vec![dir.path().to_owned()];
        while let Some(at) = todo.pop() {
            let children: Vec<_> = fs::read_dir(&at).unwrap().map(|e| e.unwrap().path()).collect();
            let name = |p: &Path| p.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
            if children.is_empty() && at != dir.path() {
                naive.insert(name(&at));
            }
            for child in children {
                if child.is_dir() { todo.push(child) } else { naive.insert(name(&child)); }
            }
        }
        let (entries, report) = scan_with(dir.path(), &ScanOptions { threads, ..ScanOptions::default() });
        prop_assert!(report.problems.is_empty());
        let found: Vec<String> = entries.iter().map(|e| e.path.to_string()).collect();
        prop_assert_eq!(found, naive.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn links_inside_are_followed_and_counted() {
    let dir = tree(&["data/x", "data/y", "models/m"]);
    let at = |name: &str| dir.path().join(name);
    symlink("x", at("data/again")).unwrap();
    symlink("../data", at("models/data")).unwrap();
    symlink(at("models/m"), at("absolute")).unwrap();
    symlink("again", at("data/twice")).unwrap();
    let (found, report) = paths(dir.path(), Links::Follow);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(
        found,
        [
            "absolute",
            "data/again",
            "data/twice",
            "data/x",
            "data/y",
            "models/data/again",
            "models/data/twice",
            "models/data/x",
            "models/data/y",
            "models/m",
        ]
    );
    // again and twice, seen twice; the directory; the absolute one.
    assert_eq!(report.links_followed, 6);

    let (found, report) = paths(dir.path(), Links::Skip);
    assert_eq!(found, ["data/x", "data/y", "models/m"]);
    assert_eq!((report.links_skipped, report.problems.total), (4, 0));

    let (found, report) = paths(dir.path(), Links::Refuse);
    assert_eq!(found, ["data/x", "data/y", "models/m"]);
    let names: Vec<_> = problems(&report)
        .into_iter()
        .map(|(path, kind)| (path.to_str().unwrap().to_owned(), kind))
        .collect();
    let link = |name: &str| (name.to_owned(), ProblemKind::Link);
    assert_eq!(
        names,
        [link("absolute"), link("data/again"), link("data/twice"), link("models/data")]
    );
}

#[test]
fn links_that_leave_dangle_or_loop_are_named() {
    let outside = tree(&["secret"]);
    let dir = tree(&["d/x"]);
    let at = |name: &str| dir.path().join(name);
    symlink(outside.path().join("secret"), at("out")).unwrap();
    symlink(outside.path(), at("outdir")).unwrap();
    symlink("../../../../../../etc/passwd", at("d/up")).unwrap();
    symlink("nothing", at("dangling")).unwrap();
    symlink("self", at("self")).unwrap();
    symlink("..", at("d/parent")).unwrap();
    symlink(".", at("here")).unwrap();
    let (found, report) = paths(dir.path(), Links::Follow);
    assert_eq!(found, ["d/x"]);
    let problems = problems(&report);
    let kind = |name: &str| &problems[Path::new(name)];
    assert!(matches!(kind("out"), ProblemKind::LinkLeaves(to) if to.ends_with("secret")));
    assert!(matches!(kind("outdir"), ProblemKind::LinkLeaves(_)));
    assert!(matches!(kind("d/up"), ProblemKind::LinkLeaves(_) | ProblemKind::LinkDangles));
    assert_eq!(kind("dangling"), &ProblemKind::LinkDangles);
    assert_eq!(kind("self"), &ProblemKind::LinkLoops);
    assert_eq!(kind("d/parent"), &ProblemKind::LinkLoops);
    assert_eq!(kind("here"), &ProblemKind::LinkLoops);
    assert_eq!(problems.len(), 7);
}

#[test]
fn mutual_directory_links_end() {
    let dir = tree(&["a/x", "b/y"]);
    symlink("../b", dir.path().join("a/b")).unwrap();
    symlink("../a", dir.path().join("b/a")).unwrap();
    let (found, report) = paths(dir.path(), Links::Follow);
    assert_eq!(found, ["a/b/y", "a/x", "b/a/x", "b/y"]);
    let names: Vec<_> = problems(&report).into_keys().collect();
    assert_eq!(names, [PathBuf::from("a/b/a"), PathBuf::from("b/a/b")]);
}

#[test]
fn special_files_and_bad_names_are_all_named() {
    let dir = tree(&["ok", "d/ok"]);
    let at = |name: &str| dir.path().join(name);
    let mode = Mode::from_raw_mode(0o644);
    rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("d/socket")).unwrap();
    let device = rustix::fs::mknodat(
        CWD,
        at("null"),
        FileType::CharacterDevice,
        mode,
        rustix::fs::makedev(1, 3),
    );
    fs::write(dir.path().join(OsStr::from_bytes(b"d/\xff.bin")), b"x").unwrap();
    fs::create_dir(dir.path().join(OsStr::from_bytes(b"\xfe"))).unwrap();
    fs::write(dir.path().join(OsStr::from_bytes(b"\xfe/inside")), b"x").unwrap();
    fs::create_dir(at("C:dir")).unwrap();
    fs::write(at("C:dir/inside"), b"x").unwrap();
    fs::write(at("a\\..\\b"), b"x").unwrap();
    let (found, report) = paths(dir.path(), Links::Follow);
    assert_eq!(found, ["d/ok", "ok"]);
    let mut problems = problems(&report);
    if device.is_ok() {
        assert_eq!(problems.remove(Path::new("null")), Some(ProblemKind::Device));
    }
    assert_eq!(problems.remove(Path::new("pipe")), Some(ProblemKind::Fifo));
    assert_eq!(problems.remove(Path::new("d/socket")), Some(ProblemKind::Socket));
    for name in [&b"d/\xff.bin"[..], b"\xfe"] {
        assert_eq!(problems.remove(Path::new(OsStr::from_bytes(name))), Some(ProblemKind::NotUtf8));
    }
    assert!(matches!(problems.remove(Path::new("C:dir")), Some(ProblemKind::Path(_))));
    assert!(matches!(problems.remove(Path::new("a\\..\\b")), Some(ProblemKind::Path(_))));
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn problems_beyond_the_limit_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..20 {
        symlink("nowhere", dir.path().join(format!("{n:02}"))).unwrap();
    }
    let (_, report) =
        scan_with(dir.path(), &ScanOptions { list_limit: 3, ..ScanOptions::default() });
    assert_eq!((report.problems.total, report.problems.listed.len()), (20, 3));
}

#[test]
fn ignore_files_work_as_gits_do() {
    let dir = tree(&[
        "keep.txt",
        "a.tmp",
        "build/x",
        "build/y/z",
        "src/build",
        "src/a.tmp",
        "src/deep/keep.tmp",
        "only/a.tmp",
        "root-only",
        "src/root-only",
        "src/deep/b.log",
    ]);
    fs::write(dir.path().join(".heirloomignore"), "*.tmp\nbuild/\n/root-only\n# comment\n")
        .unwrap();
    fs::write(dir.path().join("src/deep/.heirloomignore"), "!keep.tmp\n*.log\n.heirloomignore\n")
        .unwrap();
    let (found, report) = paths(dir.path(), Links::Follow);
    assert_eq!(
        found,
        [".heirloomignore", "keep.txt", "only/", "src/build", "src/deep/keep.tmp", "src/root-only"]
    );
    // a.tmp, build, root-only; src/a.tmp; b.log and its own ignore file; only/a.tmp
    assert_eq!(report.ignored, 7);
    assert!(report.problems.is_empty());

    let (entries, report) =
        scan_with(dir.path(), &ScanOptions { ignore_files: false, ..ScanOptions::default() });
    assert_eq!((entries.len(), report.ignored), (13, 0));
}

#[test]
fn ignored_things_are_never_problems() {
    let dir = tree(&[".heirloomignore"]);
    fs::write(dir.path().join(".heirloomignore"), "bad*\n").unwrap();
    symlink("nowhere", dir.path().join("bad-link")).unwrap();
    fs::write(dir.path().join(OsStr::from_bytes(b"bad-\xff")), b"x").unwrap();
    rustix::fs::mknodat(
        CWD,
        dir.path().join("bad-pipe"),
        FileType::Fifo,
        Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let (found, report) = paths(dir.path(), Links::Follow);
    assert_eq!(found, [".heirloomignore"]);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(report.ignored, 3);
}

#[test]
fn a_bad_ignore_pattern_is_a_problem_with_its_line() {
    let dir = tree(&["x"]);
    fs::write(dir.path().join(".heirloomignore"), "fine\n{a,b\n").unwrap();
    let (_, report) = paths(dir.path(), Links::Follow);
    assert!(matches!(report.problems.listed[0].kind, ProblemKind::IgnorePattern { line: 2, .. }));
}

#[test]
fn lost_modes_hard_links_sparse_files_and_names_elsewhere() {
    let dir = tree(&["a", "README", "readme", "con.txt", "sub.dir./x"]);
    let at = |name: &str| dir.path().join(name);
    fs::set_permissions(at("a"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::hard_link(at("a"), at("b")).unwrap();
    fs::File::create(at("sparse")).unwrap().set_len(10 << 30).unwrap();
    let (found, report) = paths(dir.path(), Links::Follow);
    assert_eq!(found, ["README", "a", "b", "con.txt", "readme", "sparse", "sub.dir./x"]);
    assert_eq!(report.lost_modes, 2);
    assert!(report.bytes > 10 << 30);
    assert_eq!(report.collisions.listed, [vec!["README".to_owned(), "readme".to_owned()]]);
    assert_eq!(
        report.unportable.listed,
        [
            ("con.txt".to_owned(), NameRule::DeviceName),
            ("sub.dir.".to_owned(), NameRule::TrailingDotOrSpace),
        ]
    );
}

#[test]
fn leftovers_of_a_killed_writer_are_left_out() {
    let dir = tree(&["x", "d/.heirloom-tmp-1-2"]);
    let (found, report) = paths(dir.path(), Links::Follow);
    assert_eq!(found, ["d/", "x"]);
    assert_eq!(report.leftovers, 1);
}

#[test]
fn a_single_file_is_named_as_given() {
    let dir = tree(&["store/model-123.bin"]);
    symlink("store/model-123.bin", dir.path().join("model.bin")).unwrap();
    let (found, report) = paths(&dir.path().join("model.bin"), Links::Follow);
    assert_eq!(found, ["model.bin"]);
    assert_eq!((report.files, report.bytes), (1, 19));
    rustix::fs::mknodat(
        CWD,
        dir.path().join("pipe"),
        FileType::Fifo,
        Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let (found, report) = paths(&dir.path().join("pipe"), Links::Follow);
    assert!(found.is_empty());
    assert_eq!(report.problems.listed[0].kind, ProblemKind::Fifo);
    assert!(Root::open(&dir.path().join("absent")).is_err());
}

#[test]
fn a_very_deep_tree_needs_few_handles() {
    let dir = tempfile::tempdir().unwrap();
    let deep: PathBuf = std::iter::repeat_n("d", 400).collect();
    fs::create_dir_all(dir.path().join(&deep)).unwrap();
    let mut at = dir.path().to_owned();
    for _ in 0..400 {
        // After and before the subdirectory, so that the walk comes back.
        fs::write(at.join("a"), b"").unwrap();
        fs::write(at.join("z"), b"").unwrap();
        at.push("d");
    }
    let (found, report) = paths(dir.path(), Links::Follow);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(found.len(), 801);
    assert!(found.windows(2).all(|w| w[0].trim_end_matches('/') < w[1].trim_end_matches('/')));
}

#[test]
fn a_sink_that_gives_up_ends_the_scan() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..5000 {
        fs::write(dir.path().join(format!("{n}")), b"").unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    let mut seen = 0;
    let result = scan(&root, &ScanOptions::default(), &mut StatCache::empty(), |_| {
        seen += 1;
        if seen == 10 { Err("enough") } else { Ok(()) }
    });
    assert_eq!((result.unwrap_err(), seen), ("enough", 10));
}

/// Root reads everything, so this test runs itself again as another user.
#[test]
fn unreadable_files_and_directories_are_all_named() {
    const DIR: &str = "HEIRLOOM_TEST_UNREADABLE_DIR";
    if let Some(dir) = std::env::var_os(DIR) {
        let (found, report) = paths(Path::new(&dir), Links::Follow);
        assert_eq!(found, ["open/readable", "private-but-group"]);
        let expected = ["closed", "no-1", "no-2", "open/no-3"]
            .map(|n| (PathBuf::from(n), ProblemKind::Unreadable));
        assert_eq!(problems(&report), expected.into());
        return;
    }
    let dir =
        tree(&["no-1", "no-2", "open/no-3", "open/readable", "closed/x", "private-but-group"]);
    let set = |name: &str, mode| {
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("", 0o755);
    for name in ["no-1", "no-2", "open/no-3", "closed"] {
        set(name, 0o000);
    }
    let mut command;
    if rustix::process::geteuid().is_root() {
        use std::os::unix::process::CommandExt;
        // The test binary may lie where others cannot reach.
        let copy = dir.path().parent().unwrap().join(format!("unreadable-{}", std::process::id()));
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        std::os::unix::fs::chown(dir.path().join("private-but-group"), None, Some(65534)).unwrap();
        set("private-but-group", 0o640);
        command = std::process::Command::new(&copy);
        command.uid(65534).gid(65534).current_dir("/");
        let status = command
            .args(["--exact", "unreadable_files_and_directories_are_all_named"])
            .env(DIR, dir.path())
            .output()
            .unwrap();
        fs::remove_file(&copy).unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    } else {
        command = std::process::Command::new(std::env::current_exe().unwrap());
        let status = command
            .args(["--exact", "unreadable_files_and_directories_are_all_named"])
            .env(DIR, dir.path())
            .output()
            .unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    }
    set("closed", 0o755);
}
