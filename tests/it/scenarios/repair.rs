//! Damage of every kind to every object: named by `verify`, repaired from where
//! good bytes are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use heirloom_testkit::fixtures;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use crate::scenarios::points::held;
use crate::support::{Ran, Sandbox};

/// Every object of a repository.
fn objects(home: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for kind in ["objects", "packs"] {
        let Ok(fans) = fs::read_dir(home.join(kind)) else { continue };
        for fan in fans {
            all.extend(fs::read_dir(fan.unwrap().path()).unwrap().map(|file| file.unwrap().path()));
        }
    }
    all.sort();
    all
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Flip,
    Cut,
    Swap,
    Remove,
}

fn damage(object: &Path, way: Way, other: &Path) {
    fs::set_permissions(object, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(object).unwrap();
    match way {
        Way::Flip => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            fs::write(object, bytes).unwrap();
        }
        Way::Cut => fs::write(object, &bytes[..bytes.len() / 2]).unwrap(),
        Way::Swap => fs::write(object, fs::read(other).unwrap()).unwrap(),
        Way::Remove => fs::remove_file(object).unwrap(),
    }
}

/// Files of all kinds: small, large, empty; two versions, a run, a deleted version.
fn filled(sandbox: &Sandbox) {
    sandbox.images();
    sandbox.write("images/large.bin", fixtures::bytes(9, 3 << 20));
    sandbox.write("images/empty", "");
    sandbox.ok("put images -n animals -t dataset -a best --description first");
    sandbox.write("images/labels.csv", "cat,1\ndog,2\nowl,3\n");
    sandbox.ok("put images -n animals --tag owls");
    sandbox.write("other.txt", "something else");
    sandbox.ok("put other.txt -n other -t text");
    sandbox.ok("put images/cat.png -n other");
    sandbox.ok("rm other:v0");
}

/// The name of an object as `verify` says it.
fn key(home: &Path, object: &Path) -> String {
    object.strip_prefix(home).unwrap().to_string_lossy().into_owned()
}

#[test]
fn whatever_is_damaged_is_named_and_repaired_from_a_second_home() {
    let sandbox = Sandbox::in_memory();
    filled(&sandbox);
    sandbox.ok("admin backup ../second");
    let before = sandbox.ok("--json ls animals").out;
    let count = objects(&sandbox.home()).len();
    assert!(count >= 5, "{count} objects");
    for way in [Way::Flip, Way::Cut, Way::Swap, Way::Remove] {
        for n in 0..count {
            let all = objects(&sandbox.home());
            let Some(object) = all.get(n) else { continue };
            let other = &all[(n + 1) % all.len()];
            let known = sandbox.json::<Value>("verify");
            damage(object, way, other);
            let name = key(&sandbox.home(), object);
            let ran = sandbox.run("--json verify");
            let found: Value = ran.document();
            let damages = found["damages"].as_array().unwrap();
            if damages.is_empty() {
                // What repair has emptied waits for gc; nothing needs it.
                assert!(way == Way::Remove || found["leftovers"] != 0 || known["ok"] == true);
                sandbox.run("repair --from ../second").expect(0);
                continue;
            }
            ran.expect(3);
            assert!(
                damages.iter().any(|damage| damage["object"] == name.as_str()),
                "{way:?} of {name}: {damages:#?}"
            );
            let ran = sandbox.run("repair --from ../second");
            assert_eq!(ran.code, 0, "{way:?} of {name}:\n{}{}", ran.out, ran.err);
            let again = sandbox.run("verify");
            assert_eq!(again.code, 0, "{way:?} of {name}:\n{}\n{}", ran.out, again.out);
            sandbox.ok("get animals:v1 --root out --mirror");
            assert!(sandbox.shell("diff -r images out").code == 0, "{way:?} of {name}");
        }
    }
    assert_eq!(sandbox.ok("--json ls animals").out, before);
    // The deleted version is whole, too.
    sandbox.ok("artifact restore other:v0");
    assert_eq!(sandbox.ok("artifact cat other:v0 other.txt").out, "something else");
}

#[test]
fn files_and_nodes_are_repaired_from_the_original_directory() {
    let sandbox = Sandbox::in_memory();
    sandbox.images();
    sandbox.write("images/large.bin", fixtures::bytes(9, 3 << 20));
    sandbox.ok("put images -n animals -t dataset");
    let record = |bytes: &[u8]| bytes.windows(8).any(|window| window == b"HLMVER1\n");
    for object in objects(&sandbox.home()) {
        if record(&fs::read(&object).unwrap()) {
            continue;
        }
        damage(&object, Way::Flip, &object);
    }
    let found: Value = sandbox.run("--json verify").document();
    let saved = sandbox.write("report.json", found.to_string());
    // Without a source nothing can be done, and nothing is lost.
    sandbox.fails(3, "repair").says("left");
    let ran = sandbox.ok(&format!("repair --from images --report {}", saved.display()));
    assert!(ran.out.ends_with("all is whole\n"), "{}", ran.out);
    sandbox.ok("verify");
    sandbox.ok("get animals --root out");
    assert_eq!(sandbox.shell("diff -r images out").code, 0);
    // What was let go is freed, and nothing else is.
    sandbox.ok("repair");
}

#[test]
fn what_has_no_source_stays_named_and_foreign_files_stay() {
    let sandbox = Sandbox::in_memory();
    sandbox.images();
    sandbox.write("images/large.bin", fixtures::bytes(9, 3 << 20));
    sandbox.ok("put images -n animals -t dataset");
    let whole = objects(&sandbox.home()).into_iter().next().unwrap();
    damage(&whole, Way::Remove, &whole);
    fs::write(sandbox.home().join("objects/stray.txt"), "mine").unwrap();
    let ran = sandbox.fails(3, "repair --from images/cat.png");
    assert!(ran.out.contains("still bad: objects/"), "{}", ran.out);
    assert!(ran.out.contains("animals:v0 large.bin"), "{}", ran.out);
    assert!(ran.out.contains("objects/stray.txt: it is not an object"), "{}", ran.out);
    let ran = sandbox.fails(3, "repair --from images/large.bin");
    assert!(ran.out.contains("repaired objects/"), "{}", ran.out);
    assert!(!ran.out.contains("animals:v0"), "{}", ran.out);
    assert!(sandbox.home().join("objects/stray.txt").exists());
    fs::remove_file(sandbox.home().join("objects/stray.txt")).unwrap();
    sandbox.ok("verify");
    sandbox.fails(1, "repair --from nowhere").says("nowhere");
}

#[test]
fn a_lost_catalog_is_made_anew() {
    let sandbox = Sandbox::in_memory();
    filled(&sandbox);
    sandbox.ok("artifact alias animals:v0 prod");
    let seen = |sandbox: &Sandbox| {
        ["--json ls animals", "--json ls other", "--json ls", "--json artifact show animals:prod"]
            .map(|line| sandbox.ok(line).out)
    };
    let before = seen(&sandbox);
    // A backup seals the journal, as gc does.
    sandbox.ok("admin backup ../second");
    let catalog = sandbox.home().join("catalog.sqlite3");
    for (n, bytes) in [None, Some(&b""[..]), Some(b"this is no database")].into_iter().enumerate() {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(sandbox.home().join(format!("catalog.sqlite3{suffix}")));
        }
        if let Some(bytes) = bytes {
            fs::write(&catalog, bytes).unwrap();
        }
        sandbox.fails(3, "ls").says("`heirloom repair --rebuild-catalog`");
        if n == 0 {
            // Nor is it taken for an empty place when more is lost.
            let config = sandbox.home().join("heirloom.toml");
            let text = fs::read(&config).unwrap();
            fs::remove_file(&config).unwrap();
            sandbox.fails(3, "ls").says("`heirloom repair --rebuild-catalog`");
            fs::write(config, text).unwrap();
        }
        sandbox.ok("repair --rebuild-catalog");
        assert_eq!(seen(&sandbox), before, "loss {n}");
        sandbox.ok("verify");
    }
    sandbox.write("images/labels.csv", "new");
    let ran = sandbox.ok("put images -n animals");
    assert_eq!(ran.out, "animals:v2\n");
    sandbox.ok("artifact restore other:v0");
    sandbox.ok("verify");
}

/// What somebody commits to the old catalog while a new one is made would be lost.
#[test]
fn a_catalog_is_rebuilt_while_nobody_uses_it() {
    let sandbox = Sandbox::in_memory();
    filled(&sandbox);
    let gate = sandbox.path("../gate");
    for step in ["client::commit", "gc::remove"] {
        let _ = fs::remove_file(&gate);
        mknodat(CWD, &gate, FileType::Fifo, Mode::from(0o600), 0).unwrap();
        sandbox.write("images/labels.csv", format!("beside {step}"));
        let line = if step.starts_with("gc") { "gc --grace 0" } else { "put images -n animals" };
        let mut command = sandbox.command(line.split_whitespace());
        command.env("FAILPOINTS", format!("{step}=1*return(hold {})", gate.display()));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if step.starts_with("gc") {
            sandbox.ok("rm animals:v2");
        }
        let mut child = command.spawn().unwrap();
        let opened = held(&mut child, &gate);
        assert!(opened.is_some(), "{step} was not reached");
        let refused = sandbox.fails(1, "repair --rebuild-catalog");
        refused.says("another process uses");
        drop(opened);
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{step}: {}", ran.err);
        let before = sandbox.ok("--json ls animals").out;
        sandbox.ok("repair --rebuild-catalog");
        assert_eq!(sandbox.ok("--json ls animals").out, before, "{step}");
        sandbox.ok("verify");
    }
}

/// A row that does not match its checksum any more.
#[test]
fn a_damaged_row_of_a_version_is_written_anew_from_its_record() {
    let sandbox = Sandbox::in_memory();
    filled(&sandbox);
    sandbox.ok("artifact update animals:v1 --description edited");
    let before = sandbox.ok("--json ls animals").out;
    let catalog = sandbox.home().join("catalog.sqlite3");
    // The actor's name in the row, with a bit turned in the file itself.
    let mut bytes = fs::read(&catalog).unwrap();
    let found: Vec<usize> =
        (0..bytes.len() - 6).filter(|at| &bytes[*at..at + 6] == b"edited").collect();
    assert!(!found.is_empty());
    for at in found {
        bytes[at] ^= 1;
    }
    fs::write(&catalog, bytes).unwrap();
    let ran = sandbox.fails(3, "verify");
    assert!(ran.out.contains("version row"), "{}", ran.out);
    let ran = sandbox.run("repair");
    assert!(ran.out.contains("its version record"), "{}{}", ran.out, ran.err);
    sandbox.ok("verify");
    let after = sandbox.ok("--json ls animals").out;
    // The event that told of the edit was turned with it.
    assert_eq!(after.replace("ddited", "edited"), before);
}

/// Writers, deletions and gc beside it: a healthy repository is whole at any time.
#[test]
fn a_busy_repository_raises_no_false_alarm() {
    let sandbox = Sandbox::in_memory();
    filled(&sandbox);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for n in 0..30u64 {
                sandbox.write("busy/f", fixtures::bytes(n, 3000));
                sandbox.write("busy/g", fixtures::bytes(n / 2, 1_200_000));
                sandbox.ok("put busy -n busy -t dataset");
                if n > 2 {
                    sandbox.ok(&format!("rm busy:v{}", n - 2));
                    sandbox.ok("gc --grace 0s");
                }
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut looks = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let ran = sandbox.run("verify");
            assert_eq!(ran.code, 0, "look {looks}: {}{}", ran.out, ran.err);
            looks += 1;
        }
        assert!(looks > 3, "{looks} looks");
    });
    sandbox.ok("verify");
}

#[test]
fn a_sample_says_its_seed_and_reads_less() {
    let sandbox = Sandbox::in_memory();
    for n in 0..200 {
        sandbox.write(format!("many/{n}"), fixtures::bytes(n, 2000));
    }
    sandbox.ok("put many -n many -t dataset");
    let whole: Value = sandbox.json("verify");
    let part: Value = sandbox.json("verify --sample 10% --seed 7");
    assert_eq!(part["sample"]["seed"], 7);
    assert_eq!(sandbox.json::<Value>("verify --sample 10% --seed 7"), part);
    let (all, some) = (whole["blobs"].as_u64().unwrap(), part["blobs"].as_u64().unwrap());
    assert!(some > 2 && some < all / 2, "{some} of {all}");
    sandbox.ok("verify --sample 100%").says("--seed ");
    assert_eq!(sandbox.json::<Value>("verify --sample 100%")["blobs"], whole["blobs"]);
    sandbox.fails(2, "verify --sample 0").says("percentage");
    sandbox.fails(2, "verify --seed 7");
}
