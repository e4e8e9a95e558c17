//! Backups: made while the repository is in use, broken off, damaged, restored.

use std::path::{Path, PathBuf};

use heirloom_testkit::fixtures;
use serde_json::Value;

use super::crash::count;
use crate::support::{Ran, Sandbox};

/// Objects of a repository or a backup, by size.
fn objects(home: &Path) -> Vec<PathBuf> {
    fn below(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { below(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    below(&home.join("objects"), &mut found);
    below(&home.join("packs"), &mut found);
    found.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    found
}

fn flip(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut bytes = std::fs::read(path).unwrap();
    // Not in the magic, and not in the index of a pack.
    bytes[9] ^= 1;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Some history: aliases, tags, a run with lineage, a deleted version.
fn history(sandbox: &Sandbox) {
    sandbox.images();
    sandbox.ok("put images -n animals -t dataset --alias raw --tag small");
    sandbox.write("images/large.bin", fixtures::bytes(9, 2 << 20));
    let run = sandbox.ok("run start --job-type train").out.trim().to_owned();
    sandbox.ok(&format!("put images -n animals --alias best --run {run}"));
    sandbox.ok(&format!("use animals:raw --run {run}"));
    sandbox.write("images/cat.png", "another cat");
    sandbox.ok("put images -n animals");
    sandbox.ok("rm animals:v2");
}

fn answers(sandbox: &Sandbox, home: &str) -> Vec<Value> {
    ["ls --deleted", "ls animals --deleted", "lineage animals:best", "run ls"]
        .iter()
        .map(|verb| sandbox.json(&format!("{home} {verb}")))
        .collect()
}

#[test]
fn a_backup_is_brought_up_to_date_and_restored() {
    let sandbox = Sandbox::new();
    history(&sandbox);
    let first: Value = sandbox.json("admin backup backup");
    assert_eq!(first["versions"], 2);
    assert_eq!(first["objects"], first["copied_objects"]);
    let again: Value = sandbox.json("admin backup backup");
    assert_eq!((&again["copied_objects"], &again["removed_objects"]), (&0.into(), &0.into()));

    sandbox.write("images/new.bin", fixtures::bytes(10, 3 << 20));
    sandbox.ok("put images -n animals").prints("animals:v3\n");
    let more: Value = sandbox.json("admin backup backup");
    let copied = more["copied_bytes"].as_u64().unwrap();
    assert!((3 << 20..(3 << 20) + 100_000).contains(&copied), "{more}");

    sandbox.ok("admin restore backup --home restored");
    assert_eq!(answers(&sandbox, ""), answers(&sandbox, "--home restored"));
    sandbox.ok("--home restored artifact restore animals:v2");
    sandbox.ok("--home restored get animals:v1 --root copy");
    sandbox.ok("artifact verify animals:v1 --root copy");
    sandbox.write("images/newer", "newer");
    sandbox.ok("--home restored put images -n animals").prints("animals:v4\n");
    sandbox.ok("--home restored verify");
}

#[test]
fn a_backup_is_read_like_a_repository_and_never_written() {
    let sandbox = Sandbox::new();
    history(&sandbox);
    sandbox.ok("admin backup backup");
    let names = |dir: &Path| {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    };
    let before = (count(&sandbox.path("backup")), names(&sandbox.path("backup")));
    let catalog = std::fs::read(sandbox.path("backup/catalog.sqlite3")).unwrap();
    assert_eq!(answers(&sandbox, ""), answers(&sandbox, "--home backup"));
    sandbox.ok("--home backup verify");
    sandbox.ok("--home backup get animals:best --root copy");
    for verb in [
        "put images -n more -t t",
        "rm animals:v1 --delete-aliases",
        "artifact alias animals:v0 x",
        "run start",
    ] {
        let ran = sandbox.run(&format!("--home backup {verb}"));
        ran.expect(1).says("this is a backup").says("admin restore");
    }
    let after = (count(&sandbox.path("backup")), names(&sandbox.path("backup")));
    assert_eq!(before, after);
    assert!(catalog == std::fs::read(sandbox.path("backup/catalog.sqlite3")).unwrap());
}

#[test]
fn what_is_something_else_is_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.fails(1, "admin backup backup").says("repository `");
    assert!(!sandbox.home().exists(), "none was made");
    history(&sandbox);
    sandbox.write("full/file", "mine");
    sandbox.fails(2, "admin backup full").says("is not empty");
    sandbox.fails(1, "admin restore full --home x").says("backup `");
    assert!(!sandbox.path("x").exists());
    let inside = sandbox.home().join("backup");
    sandbox.fails(2, &format!("admin backup {}", inside.display())).says("one in the other");
    assert!(!inside.exists());
    sandbox.ok("admin backup backup");
    sandbox.ok("--home other put images -n animals -t dataset");
    sandbox.fails(2, "--home other admin backup backup").says("another repository");
    sandbox.fails(2, "admin restore backup --home full").says("is not empty");
    sandbox.fails(2, "admin restore backup").says("has a repository already");
    sandbox.fails(2, "admin restore backup --home backup").says("one in the other");
    sandbox.fails(2, "--home backup admin backup again").says("is a backup itself");
    sandbox.ok("verify");
    assert_eq!(std::fs::read(sandbox.path("full/file")).unwrap(), b"mine");
}

fn large(sandbox: &Sandbox) {
    for i in 0..8 {
        sandbox.write(format!("tree/large{i}"), fixtures::bytes(i, 3 << 20));
    }
    for i in 0..50 {
        sandbox.write(format!("tree/small/{i}"), fixtures::bytes(100 + i, 2000));
    }
    sandbox.ok("put tree -n a -t t");
}

/// Kills a command as soon as there are that many objects below a directory;
/// whether it was killed before its end.
fn killed_at(sandbox: &Sandbox, line: &str, dir: &Path, at: usize) -> bool {
    let mut child = sandbox.spawn(line);
    while count(&dir.join("objects")) < at && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let _ = child.kill();
    Ran::of(child.wait_with_output().unwrap()).code == -9
}

#[test]
fn a_backup_that_was_killed_is_no_backup_and_goes_on() {
    let sandbox = Sandbox::new();
    large(&sandbox);
    let dir = sandbox.path("backup");
    let mut killed = 0;
    for at in [0, 1, 4, 7] {
        if killed_at(&sandbox, "admin backup backup", &dir, at) {
            killed += 1;
            // Killed before its first file it has made nothing.
            if dir.join("backup.json").exists() && !dir.join("heirloom.toml").exists() {
                sandbox.fails(2, "admin restore backup --home x").says("before it was complete");
                sandbox.fails(4, "--home backup put tree -n a -t t").says("is no repository");
                sandbox.fails(4, "--home backup ls").says("broken off");
            }
        }
    }
    assert!(killed > 0, "every backup was faster than its end");
    let there = objects(&dir).len() as u64;
    let done: Value = sandbox.json("admin backup backup");
    assert!(done["copied_objects"].as_u64().unwrap() <= done["objects"].as_u64().unwrap() - there);
    sandbox.ok("--home backup verify");
    sandbox.ok("admin restore backup --home restored");
    sandbox.ok("--home restored get a --root copy");
    sandbox.ok("artifact verify a --root copy");
}

#[test]
fn an_update_that_was_killed_leaves_the_backup_before() {
    let sandbox = Sandbox::new();
    sandbox.write("first", "first");
    sandbox.ok("put first -n first -t t");
    sandbox.ok("admin backup backup");
    large(&sandbox);
    assert!(killed_at(&sandbox, "admin backup backup", &sandbox.path("backup"), 3));
    sandbox.ok("admin restore backup --home restored");
    sandbox.ok("--home restored artifact cat first first").prints("first");
    sandbox.ok("admin backup backup");
    sandbox.ok("--home backup verify");
    sandbox.ok("--home backup artifact show a");
}

#[test]
fn a_restore_that_was_killed_is_no_repository_and_is_repeated() {
    let sandbox = Sandbox::new();
    large(&sandbox);
    sandbox.ok("admin backup backup");
    let dir = sandbox.path("restored");
    let mut killed = 0;
    for at in [0, 1, 4, 7] {
        if dir.join("heirloom.toml").exists() {
            break;
        }
        killed +=
            usize::from(killed_at(&sandbox, "admin restore backup --home restored", &dir, at));
        if dir.join("restore.json").exists() && !dir.join("heirloom.toml").exists() {
            sandbox.fails(4, "--home restored put tree -n a -t t").says("is no repository");
        }
    }
    assert!(killed > 0, "every restore was faster than its end");
    if !dir.join("heirloom.toml").exists() {
        sandbox.ok("admin restore backup --home restored");
    }
    sandbox.ok("--home restored verify");
    sandbox.ok("--home restored get a --root copy");
    sandbox.ok("artifact verify a --root copy");
}

#[test]
fn backups_beside_writers_and_collectors_are_whole() {
    let sandbox = Sandbox::new();
    for i in 0..30 {
        sandbox.write(format!("tree/{i}"), fixtures::bytes(i, 5000));
    }
    sandbox.ok("put tree -n a -t t");
    let writer = "
        for i in $(seq 1 25); do
            echo $i > tree/counter
            heirloom -q put tree -n a --alias newest > /dev/null
            [ $i -lt 3 ] || heirloom -q rm a:v$((i - 2)) > /dev/null
            heirloom -q gc --grace 0 > /dev/null
        done";
    let mut child = sandbox.program(Path::new("/bin/sh"), ["-euc", writer]).spawn().unwrap();
    let mut backups = 0;
    while child.try_wait().unwrap().is_none() || backups < 3 {
        sandbox.ok("admin backup backup");
        sandbox.ok("--home backup verify");
        backups += 1;
    }
    assert!(child.wait().unwrap().success());
    sandbox.ok("admin backup backup");
    sandbox.ok("admin restore backup --home restored");
    let (here, there): (Value, Value) =
        (sandbox.json("ls a"), sandbox.json("--home restored ls a"));
    assert_eq!(here, there);
}

#[test]
fn damage_in_the_repository_is_named_and_spares_the_backup_before() {
    let sandbox = Sandbox::new();
    history(&sandbox);
    sandbox.ok("admin backup backup");
    sandbox.write("more/large", fixtures::bytes(77, 2 << 20));
    sandbox.ok("put more -n more -t t");
    let all = objects(&sandbox.home());
    let known = objects(&sandbox.path("backup"));
    let added: Vec<&PathBuf> = all
        .iter()
        .filter(|path| !known.iter().any(|known| known.file_name() == path.file_name()))
        .collect();
    assert!(added.len() >= 2);
    added.iter().for_each(|path| flip(path));
    let refused = sandbox.run("--json admin backup backup");
    refused.expect(3);
    let named = refused.error()["items"].to_string();
    for path in &added {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(named.contains(&name), "{name} is not in {named}");
    }
    added.iter().for_each(|path| flip(path));
    sandbox.ok("admin restore backup --home restored");
    sandbox.ok("admin backup backup");
    sandbox.ok("--home backup artifact show more");
    // What was good when it was backed up is good there.
    flip(&all[all.len() - 1]);
    sandbox.ok("admin backup backup");
    sandbox.ok("--home backup verify");
    sandbox.fails(3, "verify");
}

#[test]
fn damage_in_a_backup_spares_the_rest() {
    let sandbox = Sandbox::new();
    history(&sandbox);
    sandbox.write("more/large", fixtures::bytes(77, 3 << 20));
    sandbox.ok("put more -n more -t t");
    sandbox.ok("admin backup backup");
    // The largest: what `more` alone has.
    flip(objects(&sandbox.path("backup")).last().unwrap());
    let ran = sandbox.run("admin restore backup --home restored");
    ran.expect(3).says("not restored");
    assert!(ran.out.contains("more:v0"), "verify names what is hurt:\n{}", ran.out);
    sandbox.ok("--home restored get animals:best --root copy");
    sandbox.ok("artifact verify animals:best --root copy");
}
