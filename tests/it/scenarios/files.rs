//! Kinds of files and names.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use heirloom_testkit::fixtures;
use serde_json::Value;

use crate::support::{Ran, Sandbox};

/// Puts `tree`, gets it into `copy`, and compares both with the version.
fn round_trip(sandbox: &Sandbox) -> Ran {
    let put = sandbox.ok("put tree -n a -t t");
    sandbox.ok("get a --root copy");
    for dir in ["tree", "copy"] {
        sandbox.ok(&format!("artifact verify a --root {dir}"));
    }
    sandbox.ok("verify");
    put
}

#[test]
fn names_come_back_byte_for_byte() {
    let sandbox = Sandbox::new();
    let long = "x".repeat(255);
    let names = [
        "with space",
        " leading",
        "new\nline",
        "tab\there",
        "é-composed",
        "e\u{301}-decomposed",
        "猫",
        "😀",
        "-rf",
        "back\\slash",
        "quo\"te",
        "semi;colon",
        "a..b",
        ".hidden",
        &long,
    ];
    for name in names {
        sandbox.write(format!("tree/{name}"), name);
        sandbox.write(format!("tree/deep/er/{name}"), name);
    }
    round_trip(&sandbox);
    let mut found: Vec<String> = std::fs::read_dir(sandbox.path("copy"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "deep")
        .collect();
    found.sort();
    let mut wanted = names.map(str::to_owned);
    wanted.sort();
    assert_eq!(found, wanted);
    for name in names {
        assert_eq!(
            std::fs::read_to_string(sandbox.path(format!("copy/deep/er/{name}"))).unwrap(),
            name
        );
    }
}

#[test]
fn a_name_that_is_not_utf8_is_refused_by_name() {
    use std::os::unix::ffi::OsStrExt;
    let sandbox = Sandbox::new();
    sandbox.write("tree/good", "1");
    sandbox.write(std::path::Path::new("tree").join(std::ffi::OsStr::from_bytes(b"bad\xff")), "2");
    sandbox.fails(1, "put tree -n a -t t").says("bad\\xff");
    sandbox.fails(1, "ls a");
}

#[test]
fn empty_files_and_directories_come_back() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/empty-file", "");
    std::fs::create_dir_all(sandbox.path("tree/one/two/three")).unwrap();
    round_trip(&sandbox);
    assert!(sandbox.path("copy/one/two/three").is_dir());
    assert_eq!(std::fs::metadata(sandbox.path("copy/empty-file")).unwrap().len(), 0);

    std::fs::create_dir(sandbox.path("nothing")).unwrap();
    sandbox.ok("put nothing -n b -t t");
    sandbox.ok("get b --root nothing-again");
    assert!(sandbox.path("nothing-again").is_dir());
}

#[test]
fn links_inside_are_followed_and_announced() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/real/file", "content");
    symlink("real/file", sandbox.path("tree/link")).unwrap();
    symlink("real", sandbox.path("tree/dir")).unwrap();
    let put = sandbox.ok("put tree -n a -t t");
    put.says("followed 2 symbolic links");
    sandbox.ok("get a --root copy");
    assert_eq!(std::fs::read_to_string(sandbox.path("copy/dir/file")).unwrap(), "content");
    assert!(std::fs::symlink_metadata(sandbox.path("copy/link")).unwrap().is_file());

    sandbox.fails(1, "put tree -n a --links refuse").says("link").says("dir");
    sandbox.ok("put tree -n b -t t --links skip").says("left out 2 symbolic links");
    sandbox.ok("artifact files b").prints("       7 B  real/file\n");
}

#[test]
fn links_that_leave_loop_or_dangle_are_refused_by_name() {
    let sandbox = Sandbox::new();
    sandbox.write("secret", "secret");
    sandbox.write("tree/file", "1");
    symlink("../secret", sandbox.path("tree/leaving")).unwrap();
    symlink("/etc/passwd", sandbox.path("tree/absolute")).unwrap();
    symlink("looping", sandbox.path("tree/looping")).unwrap();
    symlink(".", sandbox.path("tree/around")).unwrap();
    symlink("nowhere", sandbox.path("tree/dangling")).unwrap();
    let ran = sandbox.fails(1, "put tree -n a -t t");
    for name in ["leaving", "absolute", "looping", "around", "dangling"] {
        ran.says(name);
    }
    sandbox.fails(1, "ls a");
}

#[test]
fn special_files_are_refused_by_name() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/file", "1");
    let _socket = UnixListener::bind(sandbox.path("tree/a-socket")).unwrap();
    let fifo = sandbox.path("tree/a-fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o644.into(), 0)
        .unwrap();
    let ran = sandbox.fails(1, "put tree -n a -t t");
    ran.says("a-socket").says("a-fifo");
    sandbox.fails(1, "put /dev/null -n a -t t").says("/dev/null");
    sandbox.fails(1, "put tree/a-fifo -n a -t t").says("a-fifo");
    sandbox.fails(1, "ls a");
}

#[test]
fn unreadable_files_are_all_named_and_nothing_is_committed() {
    let sandbox = Sandbox::unprivileged();
    for name in ["tree/one", "tree/deep/two", "tree/three"] {
        sandbox.write(name, name);
    }
    for name in ["tree/one", "tree/deep/two"] {
        std::fs::set_permissions(sandbox.path(name), PermissionsExt::from_mode(0o000)).unwrap();
    }
    let ran = sandbox.fails(1, "--json put tree -n a -t t");
    let items = ran.error()["items"].as_array().unwrap().clone();
    let named = |name: &str| items.iter().any(|item: &Value| item.as_str().unwrap().contains(name));
    assert!(named("one") && named("deep/two") && !named("three"), "{items:?}");
    sandbox.fails(1, "ls a");
    for name in ["tree/one", "tree/deep/two"] {
        std::fs::set_permissions(sandbox.path(name), PermissionsExt::from_mode(0o400)).unwrap();
    }
    sandbox.ok("put tree -n a -t t").prints("a:v0\n");
}

#[test]
fn a_read_only_home_is_told_with_what_to_do() {
    let sandbox = Sandbox::unprivileged();
    sandbox.write("tree/file", "1");
    std::fs::create_dir(sandbox.home()).unwrap();
    std::fs::set_permissions(sandbox.home(), PermissionsExt::from_mode(0o555)).unwrap();
    let ran = sandbox.fails(1, "put tree -n a -t t");
    ran.says("ermission denied").says("--home DIR");
    assert_eq!(sandbox.fails(1, "--json put tree -n a -t t").error()["code"], "forbidden");
}

#[test]
fn sparse_files_and_hard_links() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/file", fixtures::bytes(1, 100_000));
    std::fs::hard_link(sandbox.path("tree/file"), sandbox.path("tree/same")).unwrap();
    let sparse = std::fs::File::create(sandbox.path("tree/sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    drop(sparse);
    round_trip(&sandbox);
    assert_eq!(std::fs::metadata(sandbox.path("copy/sparse")).unwrap().len(), 64 << 20);
    let put: Value = sandbox.json("put tree -n again -t t");
    assert_eq!(put["new_bytes"], 0, "known from the first put");
}

#[test]
fn lost_modes_are_announced() {
    let sandbox = Sandbox::new();
    let script = sandbox.write("tree/run.sh", "#!/bin/sh\n");
    std::fs::set_permissions(script, PermissionsExt::from_mode(0o755)).unwrap();
    sandbox.ok("put tree -n a -t t").says("1 file loses its executable bit");
}

#[test]
fn names_that_other_systems_refuse_are_announced() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/con.txt", "1");
    sandbox.write("tree/Readme", "2");
    sandbox.write("tree/README", "3");
    let put = round_trip(&sandbox);
    put.says("con.txt").says("cannot tell these names apart").says("README").says("Readme");
}

#[test]
fn ignored_files_are_left_out_and_counted() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/.heirloomignore", "*.tmp\n");
    sandbox.write("tree/keep", "1");
    sandbox.write("tree/drop.tmp", "2");
    sandbox.ok("put tree -n a -t t").says("left out 1 file or directory by `.heirloomignore`");
    assert!(!sandbox.ok("artifact files a").out.contains("drop.tmp"));
}

#[test]
fn nothing_is_written_through_links_in_the_target() {
    let sandbox = Sandbox::new();
    sandbox.write("tree/dir/file", "new");
    sandbox.ok("put tree -n a -t t");
    sandbox.write("outside/file", "old");
    std::fs::create_dir(sandbox.path("copy")).unwrap();
    symlink(sandbox.path("outside"), sandbox.path("copy/dir")).unwrap();
    sandbox.fails(1, "get a --root copy").says("symbolic link");
    assert_eq!(std::fs::read_to_string(sandbox.path("outside/file")).unwrap(), "old");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    use std::io::{Seek, Write};
    use std::sync::atomic::{AtomicBool, Ordering};

    let sandbox = Sandbox::new();
    let path = sandbox.write("tree/busy", fixtures::bytes(1, 24 << 20));
    let done = AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::File::options().write(true).open(&path).unwrap();
            let mut n = 0_u64;
            while !done.load(Ordering::Relaxed) {
                n += 1;
                file.rewind().unwrap();
                file.write_all(&n.to_le_bytes()).unwrap();
            }
        });
        let ran = sandbox.run("put tree -n a -t t");
        done.store(true, Ordering::Relaxed);
        ran
    });
    ran.expect(4).says("busy").says("changed");
    sandbox.fails(1, "ls a");
    sandbox.ok("put tree -n a -t t").prints("a:v0\n");
    sandbox.ok("artifact verify a --root tree");
}
