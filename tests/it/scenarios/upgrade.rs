//! Repositories that older versions have made.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Sandbox;

/// Unpacks a repository of an older format as this sandbox's home.
fn golden(sandbox: &Sandbox, name: &str) -> PathBuf {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.tar.gz"));
    let home = sandbox.home();
    let (archive, parent) = (archive.display(), home.parent().unwrap().display());
    sandbox
        .shell(&format!(
            "tar xzf '{archive}' -C '{parent}' && mv '{parent}/{name}' \"$HEIRLOOM_HOME\""
        ))
        .expect(0);
    home
}

/// What every golden repository holds (`tests/golden/make.sh`).
fn check_contents(sandbox: &Sandbox) {
    sandbox.ok("verify");
    let animals: Value = sandbox.json("ls animals --deleted");
    let said: Vec<(String, String, String)> = animals["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| {
            let text = |name: &str| version[name].as_str().unwrap().to_owned();
            (text("version"), text("state"), version["aliases"].to_string())
        })
        .collect();
    let expected = [
        ("v3", "deleted", "[]"),
        ("v2", "committed", "[\"latest\"]"),
        ("v1", "committed", "[\"best\"]"),
        ("v0", "committed", "[\"raw\"]"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(said, expected);
    let model: Value = sandbox.json("artifact show model");
    assert_eq!(model["name"], "model2", "the old name leads on");
    assert_eq!(model["tags"][0], "good");
    assert_eq!(model["logged_by"][0], "train");
    let link: Value = sandbox.json("artifact show registry-models:staging");
    assert_eq!(link["source"]["name"], "model2");
    let lineage: Value = sandbox.json("lineage model2:prod");
    assert!(lineage.to_string().contains("prep"), "{lineage}");
    let odd: Value =
        sandbox.run_args(["--json", "artifact", "show", "other/ünï cödé"]).expect(0).document();
    assert_eq!(odd["version"], "v0");
    sandbox.ok("get animals:v0 --root animals");
    sandbox.ok("artifact verify animals:v0 --root animals");
    sandbox.write("more/one", "more");
    sandbox.ok("put more -n animals").prints("animals:v4\n");
    sandbox.ok("verify");
}

#[test]
fn a_repository_of_format_1_is_refused_then_upgraded_and_used() {
    let sandbox = Sandbox::new();
    let home = golden(&sandbox, "format-1");
    let file = |name: &str| std::fs::read(home.join(name)).unwrap();
    let (catalog, config) = (file("catalog.sqlite3"), file("heirloom.toml"));
    for verb in ["ls", "put . -n x -t t", "verify", "admin backup ../backup"] {
        let refused = sandbox.run(verb);
        refused.expect(1).says("has format 1").says("`heirloom upgrade`");
    }
    assert_eq!(sandbox.run("--json ls").error()["code"], "older_format");
    assert_eq!(file("catalog.sqlite3"), catalog, "nothing was touched");

    let done: Value = sandbox.json("upgrade");
    assert_eq!((&done["from"], &done["to"]), (&1.into(), &2.into()));
    let kept = PathBuf::from(done["kept"].as_str().unwrap());
    assert_eq!(kept, home.join("upgrade-backup-1"));
    assert_eq!(std::fs::read(kept.join("heirloom.toml")).unwrap(), config);
    // The copy says that it has no log, and counts its own changes of the schema;
    // for the rest it is the original, byte by byte.
    let masked = |mut bytes: Vec<u8>| {
        bytes[18..20].fill(0);
        bytes[24..28].fill(0);
        bytes[40..44].fill(0);
        bytes[92..100].fill(0);
        bytes
    };
    let copy = std::fs::read(kept.join("catalog.sqlite3")).unwrap();
    assert!(masked(copy) == masked(catalog), "the catalog that is kept is another");
    sandbox.ok("upgrade").prints(&format!("{}: format 2, nothing to do\n", home.display()));
    check_contents(&sandbox);
}

#[test]
fn an_upgrade_can_go_back_to_what_it_kept() {
    let sandbox = Sandbox::new();
    let home = golden(&sandbox, "format-1");
    sandbox.ok("upgrade");
    for name in ["catalog.sqlite3", "heirloom.toml"] {
        std::fs::copy(home.join("upgrade-backup-1").join(name), home.join(name)).unwrap();
    }
    sandbox.fails(1, "ls").says("has format 1");
    sandbox.ok("upgrade");
    check_contents(&sandbox);
}

#[test]
fn an_upgrade_that_was_broken_off_is_repeated() {
    let sandbox = Sandbox::new();
    let home = golden(&sandbox, "format-1");
    let config = std::fs::read(home.join("heirloom.toml")).unwrap();
    sandbox.ok("upgrade");
    // Between the catalog and `heirloom.toml`.
    std::fs::write(home.join("heirloom.toml"), config).unwrap();
    let kept = std::fs::read(home.join("upgrade-backup-1/catalog.sqlite3")).unwrap();
    sandbox.fails(1, "ls").says("has format 1");
    sandbox.ok("upgrade");
    let now = std::fs::read(home.join("upgrade-backup-1/catalog.sqlite3")).unwrap();
    assert!(kept == now, "what was kept of the older format is kept");
    check_contents(&sandbox);
}

#[test]
fn a_complete_backup_of_an_older_format_is_restored_and_upgraded() {
    let sandbox = Sandbox::new();
    let home = golden(&sandbox, "format-1");
    sandbox.ok("upgrade --backup backup");
    assert!(!home.join("upgrade-backup-1").exists());
    sandbox.fails(1, "--home backup ls").says("has format 1");
    sandbox.fails(2, "--home backup upgrade").says("is a backup");
    sandbox.ok("admin restore backup --home restored --no-verify");
    sandbox.fails(1, "--home restored ls").says("has format 1");
    // It is whole, though nothing can be looked for in its catalog yet.
    sandbox.ok("admin restore backup --home other").says("is of format 1").says("heirloom upgrade");
    sandbox.ok("--home restored upgrade --no-backup");
    assert!(!sandbox.path("restored/upgrade-backup-1").exists());
    sandbox.ok("--home restored verify");
    let (here, there): (Value, Value) =
        (sandbox.json("ls animals"), sandbox.json("--home restored ls animals"));
    assert_eq!(here, there);
}

#[test]
fn every_golden_repository_is_understood() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut formats = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".tar.gz") else { continue };
        let sandbox = Sandbox::new();
        golden(&sandbox, name);
        // Nothing to do for one of the present format.
        sandbox.ok("upgrade");
        check_contents(&sandbox);
        formats += 1;
    }
    assert!(formats > 0);
}
