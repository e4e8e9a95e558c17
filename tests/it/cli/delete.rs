//! Deletion, lifetimes, retention and protection, as users meet them.

use heirloom_testkit::fixtures;
use serde_json::Value;

use super::shapes::{Explained, Impact, Line, Removed, Restorable, Restored, Shown, Versions};
use crate::support::Sandbox;

/// `a` with so many versions: v0 has the file `common` of 1000 bytes and one of 500
/// of its own, and so has every other.
fn versions(sandbox: &Sandbox, count: u64) {
    sandbox.write("d/common", fixtures::bytes(99, 1000));
    for index in 0..count {
        sandbox.write("d/own", fixtures::bytes(index, 500));
        sandbox.ok("put d -n a -t t").prints(&format!("a:v{index}\n"));
    }
}

fn indexes(sandbox: &Sandbox, line: &str) -> Vec<u64> {
    sandbox.json::<Versions>(line).versions.iter().map(|version| version.index).collect()
}

fn names(removed: &Removed) -> Vec<&str> {
    removed.deleted.iter().map(|one| one.name.as_str()).collect()
}

#[test]
fn rm_tells_what_becomes_free() {
    let sandbox = Sandbox::new();
    versions(&sandbox, 3);
    let dry: Removed = sandbox.json("rm a:v0 a:v1 --dry-run");
    let free = dry.freeable.unwrap();
    assert_eq!((free.bytes, free.shared, free.exact), (1000, 1000, true));
    assert_eq!(indexes(&sandbox, "ls a"), [2, 1, 0]);
    let done: Removed = sandbox.json("rm a:v0 a:v1");
    let free = done.freeable.unwrap();
    assert_eq!((free.bytes, free.shared, free.exact), (1000, 1000, true));
    assert!(done.restorable_until.is_some());
    // The last one has what the others had shared.
    sandbox
        .ok("rm a:v2")
        .prints("deleted a:v2 (2 files, 1.5 kB)\n")
        .says("1.5 kB can be freed by `heirloom gc` after ")
        .says("(or now with `--grace 0s`)")
        .says("restorable for 7 days, until ");
}

#[test]
fn conditions_choose_versions_and_combine() {
    let sandbox = Sandbox::new();
    versions(&sandbox, 6);
    sandbox.ok("artifact tag a:v1 bad");
    sandbox.ok("artifact tag a:v5 bad");
    sandbox.ok("artifact alias a:v2 prod");
    let dry: Removed = sandbox.json("rm a --where tags=bad --dry-run");
    assert_eq!(names(&dry), ["a:v1", "a:v5"]);
    let dry: Removed = sandbox.json("rm a --where tags=bad --keep-last 1 --dry-run");
    assert_eq!(names(&dry), ["a:v1"]);
    let dry: Removed = sandbox.json("rm a --older-than 1d --dry-run");
    assert!(dry.deleted.is_empty());
    sandbox.ok("rm a --older-than 1d").prints("").says("nothing to delete");
    let dry: Removed = sandbox.json("rm a --older-than 0s --where size>9MB --dry-run");
    assert!(dry.deleted.is_empty());
    sandbox.fails(2, "rm a --where nonsense=3").says("no field `nonsense`");
    sandbox.fails(2, "rm a:v1 --keep-last 1").says("names one version");
    sandbox.fails(2, "rm a --keep-last 1 --all-versions");

    // What something holds stays, and is told.
    let done: Removed = sandbox.json("rm a --keep-last 2");
    assert_eq!(names(&done), ["a:v0", "a:v1", "a:v3"]);
    assert_eq!(done.stays.len(), 1);
    assert_eq!((done.stays[0].name.as_str(), done.stays[0].by.len()), ("a:v2", 1));
    assert!(done.stays[0].by[0].contains("prod"), "{:?}", done.stays);
    assert_eq!(indexes(&sandbox, "ls a"), [5, 4, 2]);
    sandbox.ok("rm a --keep-last 2").prints("").says("a:v2 stays: alias `prod` of a:v2");
    let done: Removed = sandbox.json("rm a --keep-last 2 --delete-aliases");
    assert_eq!(done.deleted[0].held_by, ["prod"]);
}

#[test]
fn a_whole_artifact_goes_and_comes_back() {
    let sandbox = Sandbox::new();
    versions(&sandbox, 3);
    sandbox.ok("artifact alias a:v1 prod");
    sandbox.fails(1, "rm a --all-versions").says("alias `prod` of a:v1");
    let gone: Removed = sandbox.json("rm a --all-versions --delete-aliases");
    assert_eq!(
        (gone.deleted.len(), gone.artifacts.as_slice()),
        (3, &["local/default/a".into()][..])
    );
    sandbox.fails(1, "get a");
    assert_eq!(indexes(&sandbox, "ls a --deleted"), [2, 1, 0]);
    let listed: Restorable = sandbox.json("ls --deleted");
    assert_eq!(listed.restorable.len(), 3);
    assert!(listed.restorable[0].restorable_until.is_some());
    // Its history is still told.
    let log = sandbox.ok("log a");
    assert!(log.out.contains("deleted v1, restorable until "), "{}", log.out);

    let back: Restored = sandbox.json("artifact restore a --all-versions");
    assert_eq!(back.restored, ["a:v0", "a:v1", "a:v2"]);
    sandbox.ok("get a --root out");
    assert_eq!(indexes(&sandbox, "ls a:latest"), [2]);
    sandbox.ok("ls --deleted").prints("").says("nothing can be restored");
    sandbox.fails(1, "artifact restore a --all-versions").says("no deleted version of `a`");

    // A recreated artifact is a new one: another type, numbers from 0.
    sandbox.ok("rm a --all-versions");
    sandbox.ok("put d -n a -t other").prints("a:v0\n");
    sandbox
        .fails(4, "artifact restore a:v1")
        .says("artifact `a` exists already")
        .says("heirloom artifact rename");
    sandbox.ok("artifact rename a b");
    sandbox.ok("artifact restore a:v1").prints("a:v1\n");
}

#[test]
fn restore_takes_many_and_says_what_it_cannot() {
    let sandbox = Sandbox::new();
    versions(&sandbox, 3);
    sandbox.ok("rm a:v0 a:v2");
    sandbox.fails(2, "artifact restore a").says("--all-versions");
    sandbox.fails(2, "artifact restore a:latest").says("names no number");
    sandbox.fails(4, "artifact restore a:v0 a:v1").says("version `a:v1` is not deleted");
    sandbox.fails(1, "artifact restore a:v9").says("version `a:v9` does not exist");
    sandbox.fails(1, "artifact restore b:v0").says("artifact `b` does not exist");
    assert_eq!(indexes(&sandbox, "ls a"), [1], "all or none");
    sandbox.fails(1, "rm a:v0").says("`a:v0` is deleted already, restorable until ");
    for verb in
        ["get a:v0", "artifact cat a:v0 n", "diff a:v0 a:v1", "artifact edit a:v0 --remove n"]
    {
        sandbox.fails(1, verb).says("version `a:v0` is deleted").says("heirloom artifact restore");
    }
    sandbox.fails(1, "get nothing").says("--deleted");
    sandbox.ok("artifact restore a:v2 a:v0").prints("a:v2\na:v0\n");
    assert_eq!(indexes(&sandbox, "ls a:latest"), [2]);
}

#[test]
fn rm_of_links_leaves_the_source_and_a_latest_that_exists() {
    let sandbox = Sandbox::new();
    versions(&sandbox, 3);
    for index in 0..3 {
        sandbox.ok(&format!("artifact link a:v{index} registry/best"));
    }
    let done: Removed = sandbox.json("rm registry/best:v2 registry/best:v1");
    assert!(done.deleted.iter().all(|one| one.link));
    assert!(done.freeable.is_some_and(|free| free.bytes == 0));
    sandbox.ok("artifact show registry/best:latest");
    assert_eq!(indexes(&sandbox, "ls a"), [2, 1, 0]);
    sandbox.fails(1, "rm a:v0").says("link best:v0 to a:v0").says("artifact unlink");
}

#[test]
fn protected_aliases_hold_until_their_protection_ends() {
    let sandbox = Sandbox::new();
    versions(&sandbox, 2);
    sandbox.ok("artifact alias a:v0 prod --protect");
    let listed = sandbox.ok("ls a");
    assert!(listed.out.contains("prod (protected)"), "{}", listed.out);
    sandbox.fails(1, "artifact alias a:v1 prod").says("is protected").says("--unprotect");
    sandbox.fails(1, "artifact unalias a prod").says("is protected");
    sandbox.write("d/own", "another");
    sandbox.fails(1, "put d -n a -a prod").says("is protected");
    let refused = sandbox.fails(1, "rm a:v0 --delete-aliases");
    refused.says("protected alias `prod` of a:v0").says("--unprotect");
    let stays: Removed = sandbox.json("rm a --keep-last 1 --delete-aliases");
    assert_eq!(stays.stays[0].name, "a:v0");
    sandbox.ok("artifact alias a:v1 prod --unprotect");
    sandbox.ok("rm a:v0");
}

#[test]
fn lifetimes_are_inherited_and_end_in_a_delete() {
    let sandbox = Sandbox::new();
    versions(&sandbox, 4);
    let expires = |reference: &str| {
        sandbox.json::<Shown>(&format!("artifact show {reference}")).expires_at.is_some()
    };
    assert!(!expires("a:v0"));
    sandbox.ok("project update --ttl 30d").says("versions in default live 30 days");
    assert!(expires("a:v0"));
    sandbox.ok("artifact update a --ttl never");
    assert!(!expires("a:v0"));
    sandbox.ok("artifact update a --ttl inherit");
    sandbox.fails(2, "artifact update a:v0 --ttl 99999999d").says("at most 10,000 years");
    // Every lifetime counts from the creation: one of the past has ended.
    for index in 0..2 {
        sandbox.ok(&format!("artifact update a:v{index} --ttl 1s"));
    }
    sandbox.ok("artifact alias a:v0 prod");
    let plan = |sandbox: &Sandbox| -> Explained { sandbox.json("retention apply a --dry-run") };
    // A second passes by itself while commands run.
    let expired = || plan(&sandbox).artifacts[0].versions.iter().any(|version| !version.keep);
    while !expired() {}
    let explained = plan(&sandbox);
    let decisions = &explained.artifacts[0].versions;
    assert!(decisions[0].keep && decisions[0].reasons[0].text == "alias prod");
    assert_eq!(decisions[1].reasons[0].rule, "expired");
    let listed = sandbox.ok("ls a");
    assert!(listed.out.contains("expired, kept by alias `prod` of a:v0"), "{}", listed.out);
    sandbox.ok("retention apply --all");
    assert_eq!(indexes(&sandbox, "ls a"), [3, 2, 0]);
    let log = sandbox.ok("log a:v1");
    assert!(log.out.contains("deleted v1 (expired)"), "{}", log.out);
    sandbox.ok("artifact restore a:v1").says("had expired and lives for ever now");
    // A collector tells of what it ends, as well.
    sandbox.ok("artifact update a:v1 --ttl 1s");
    for (verb, told) in [("gc --dry-run", "1 version would expire"), ("gc", "1 version expired")] {
        let out = sandbox.ok(verb).out;
        assert!(out.starts_with(told), "{out}");
    }
    assert_eq!(indexes(&sandbox, "ls a"), [3, 2, 0]);
    sandbox.ok("artifact restore a:v1");
    sandbox.ok("retention apply a");
    assert_eq!(indexes(&sandbox, "ls a"), [3, 2, 1, 0]);
}

#[test]
fn retention_explains_every_version() {
    let sandbox = Sandbox::new();
    versions(&sandbox, 5);
    sandbox.ok("artifact alias a:v0 prod");
    sandbox.ok("artifact tag a:v1 good");
    sandbox.shell(
        "heirloom run exec --job-type train -- sh -c 'heirloom use a:v2 && echo m > m && heirloom put m -n m -t model'",
    );
    sandbox.ok("retention set a --keep-last 1 --tagged --used").says("1 would go");
    let shown = sandbox.ok("retention show a");
    for line in ["alias prod", "tag good", "used by run ", "→ m:v0", "newest 1", "no rule keeps it"]
    {
        assert!(shown.out.contains(line), "{line} is not in\n{}", shown.out);
    }
    let dry: Explained = sandbox.json("retention apply a --dry-run");
    assert!(dry.artifacts[0].dry_run && dry.artifacts[0].retention.is_some());
    let go = |explained: &Explained| -> Vec<u64> {
        let versions = explained.artifacts[0].versions.iter();
        versions.filter(|version| !version.keep).map(|version| version.index).collect()
    };
    assert_eq!(go(&dry), [3]);
    assert_eq!(indexes(&sandbox, "ls a").len(), 5);
    let done: Explained = sandbox.json("retention apply a");
    assert_eq!((go(&done), indexes(&sandbox, "ls a")), (vec![3], vec![4, 2, 1, 0]));
    assert_eq!(go(&sandbox.json("retention apply a")), [0u64; 0]);
    sandbox.ok("artifact restore a:v3");
    sandbox.ok("retention set a --none").says("a keeps all versions");
    assert_eq!(go(&sandbox.json("retention apply a")), [0u64; 0]);
    sandbox.fails(2, "retention set a");
    sandbox.fails(2, "retention set a --none --used");
    sandbox.fails(2, "retention show a:v1").says("belongs to the artifact");
    sandbox.fails(1, "retention apply b").says("does not exist");
}

#[test]
fn tombstones_stay_in_lineage_and_in_the_log() {
    let sandbox = Sandbox::new();
    sandbox.write("x", "1");
    sandbox.shell("heirloom run exec -- heirloom put x -n raw -t data");
    sandbox.shell("heirloom run exec -- sh -c 'heirloom use raw && echo 2 > y && heirloom put y -n clean -t data'");
    sandbox.ok("rm raw:v0");
    sandbox.ok("rm clean --all-versions");
    for line in ["lineage raw:v0", "lineage clean:v0"] {
        let tree = sandbox.ok(line);
        assert!(tree.out.contains("raw:v0 (data, deleted by tester)"), "{}", tree.out);
        assert!(tree.out.contains("clean:v0 (data, deleted by tester)"), "{}", tree.out);
    }
    let graph: Value = sandbox.json("lineage raw:v0");
    let nodes = graph["nodes"].as_array().unwrap();
    let gone = nodes.iter().filter(|node| node["deleted_by"] == "tester").count();
    assert_eq!(gone, 2, "{graph}");
    let impact: Impact = sandbox.json("impact raw:v0");
    assert_eq!((impact.versions.len(), impact.versions[0].state.as_str()), (1, "deleted"));
    sandbox
        .ok("impact raw:v0")
        .prints("VERSION             TYPE  ALIASES\nclean:v0 (deleted)  data\n");
    sandbox.ok("artifact restore raw:v0");
    let events: Vec<String> = sandbox
        .ok("log raw --json")
        .lines()
        .into_iter()
        .map(|line| match line {
            Line::Event { event, .. } => event,
            other => panic!("{other:?}"),
        })
        .collect();
    let told: Vec<&str> = events.iter().map(String::as_str).collect();
    let at = |word| told.iter().position(|event| *event == word).unwrap();
    assert!(at("restored") < at("deleted") && at("deleted") < at("committed"), "{told:?}");
}

#[test]
fn names_of_what_is_not_there_are_told() {
    let sandbox = Sandbox::new();
    versions(&sandbox, 1);
    sandbox.fails(1, "rm b:v0").says("artifact `b` does not exist");
    sandbox.fails(1, "rm a:v7").says("version `a:v7` does not exist").says("heirloom ls NAME");
    sandbox.fails(1, "rm a:stagign").says("alias");
    sandbox.ok("artifact rename a a").says("has that name already");
}

#[test]
fn whence_tells_of_deleted_versions_and_sources() {
    let sandbox = Sandbox::new();
    sandbox.write("x", "1");
    sandbox.shell("heirloom run exec -- heirloom put x -n raw -t data");
    sandbox.shell(
        "heirloom run exec -- sh -c 'heirloom use raw && echo 2 > y && heirloom put y -n clean -t data'",
    );
    sandbox.ok("rm raw:v0");
    let ran = sandbox.ok("whence x");
    assert!(ran.out.contains("raw:v0 (deleted)"), "{}", ran.out);
    let ran = sandbox.ok("whence y");
    assert!(ran.out.contains("raw:v0 (deleted)") && ran.out.contains("clean:v0"), "{}", ran.out);
    // Readable versions come first.
    sandbox.ok("put x -n other -t data");
    let ran = sandbox.ok("whence x");
    let at = |name| ran.out.find(name).unwrap();
    assert!(at("other:v0") < at("raw:v0 (deleted)"), "{}", ran.out);
}
