//! Verbs on artifacts and their versions.

use std::os::unix::fs::MetadataExt as _;

use heirloom_testkit::fixtures;
use serde_json::Value;

use super::shapes::{
    Alias, Collections, Copied, Diff, Directory, Got, Line, Plan, Put, Removed, Renamed, Shown,
    Stored, Tagged, Unlinked, Updated, Version, Versions,
};
use crate::support::Sandbox;

#[test]
fn put_prints_the_name_and_tells_the_rest() {
    let sandbox = Sandbox::new();
    let ran = sandbox.images().ok("put images -n animals -t dataset -a best");
    ran.prints("animals:v0\n").says("logged animals:v0: 3 files, 7.0 kB, blake3:");
    let again = sandbox.ok("artifact put images -n animals");
    again
        .prints("animals:v0\n")
        .says("unchanged: animals:v0 already has this content (--new-version forces one)");
    sandbox.ok("put images -n animals --new-version").prints("animals:v1\n");
}

#[test]
fn put_json_says_what_is_new() {
    let sandbox = Sandbox::new();
    let first: Put = sandbox.images().json("put images -n animals -t dataset");
    assert_eq!((first.name.as_str(), first.version.as_str(), first.index), ("animals", "v0", 0));
    assert_eq!((first.entity.as_str(), first.project.as_str()), ("local", "default"));
    assert!(first.created && first.digest.starts_with("blake3:"));
    assert_eq!((first.files, first.bytes, first.new_bytes), (3, 7012, 7012));
    assert!(first.stored_bytes > 0);

    sandbox.write("images/bird.png", fixtures::bytes(3, 500));
    let second: Put = sandbox.json("put images -n animals");
    assert_eq!((second.index, second.files, second.bytes, second.new_bytes), (1, 4, 7512, 500));
    assert!(second.stored_bytes < first.stored_bytes);
    assert_ne!(second.digest, first.digest);

    let same: Put = sandbox.json("put images -n animals");
    assert!(!same.created);
    assert_eq!((same.id, same.new_bytes, same.stored_bytes), (second.id, 0, 0));
}

#[test]
fn dry_runs_write_nothing() {
    let sandbox = Sandbox::new();
    let plan: Plan = sandbox.images().json("put images -n animals -t dataset --dry-run");
    assert!(plan.dry_run && plan.would_create && plan.newest.is_none());
    assert_eq!((plan.files, plan.bytes), (3, 7012));
    assert!(sandbox.json::<Collections>("ls").collections.is_empty());

    let made: Put = sandbox.json("put images -n animals -t dataset");
    assert_eq!(made.digest, plan.digest);
    let plan: Plan = sandbox.json("put images -n animals --dry-run");
    assert!(!plan.would_create);
    assert_eq!(plan.newest.as_deref(), Some("animals:v0"));
    assert!(
        sandbox
            .ok("put images -n animals --dry-run")
            .out
            .starts_with("would change nothing: animals:v0")
    );
}

#[test]
fn what_is_put_lands_where_the_table_says() {
    let sandbox = Sandbox::new();
    sandbox.images().write("model.h5", "weights");
    let paths = |reference: &str| -> Vec<String> {
        let ran = sandbox.ok(&format!("artifact files {reference} --json"));
        ran.lines::<Line>()
            .into_iter()
            .map(|line| match line {
                Line::File { path, .. } => path,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    sandbox.ok("put images model.h5 -n a -t t");
    assert_eq!(paths("a"), ["cat.png", "dogs/rex.png", "labels.csv", "model.h5"]);
    sandbox.ok("put images model.h5 -n b -t t --as deep/er/");
    assert_eq!(
        paths("b"),
        ["deep/er/cat.png", "deep/er/dogs/rex.png", "deep/er/labels.csv", "deep/er/model.h5"]
    );
    sandbox.with_input("put - -n c -t t --as notes/today.md", b"hello").expect(0).prints("c:v0\n");
    assert_eq!(paths("c"), ["notes/today.md"]);
    assert_eq!(sandbox.ok("artifact cat c notes/today.md").bytes, b"hello");
    sandbox.fails(2, "put - -n c").says("`--as PATH`");
    sandbox.fails(2, "put - model.h5 -n c --as x").says("`--as PATH`");
}

#[test]
fn collisions_fail_and_name_both() {
    let sandbox = Sandbox::new();
    sandbox.write("one/model.h5", "1");
    sandbox.write("two/model.h5", "2");
    let ran = sandbox.fails(1, "put one two/model.h5 -n m -t model");
    ran.says("`model.h5` is added twice").says("one/model.h5").says("two/model.h5");
    assert!(sandbox.json::<Collections>("ls").collections.is_empty());
}

#[test]
fn get_prints_the_root_alone() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset");
    let ran = sandbox.ok("get animals");
    ran.prints("artifacts/animals:v0\n").says("3 files, 7.0 kB, verified");
    assert_eq!(
        std::fs::read(sandbox.path("artifacts/animals:v0/cat.png")).unwrap(),
        fixtures::bytes(1, 4000)
    );
    sandbox.ok("-q get animals:v0 --root elsewhere").prints("elsewhere\n");
    assert_eq!(sandbox.ok("-q get animals:v0 --root elsewhere").err, "");
}

#[test]
fn get_over_a_directory_keeps_checks_and_mirrors() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset");
    sandbox.ok("get animals --root d");
    sandbox.write("d/cat.png", fixtures::bytes(9, 4000));
    sandbox.write("d/mine.txt", "mine");
    let got: Got = sandbox.json("get animals --root d");
    assert_eq!((got.files, got.kept, got.written, got.extras), (3, 2, 1, 1));
    assert_eq!((got.written_bytes, got.root.as_str()), (4000, "d"));
    assert_eq!(std::fs::read(sandbox.path("d/cat.png")).unwrap(), fixtures::bytes(1, 4000));
    assert!(sandbox.path("d/mine.txt").exists());

    sandbox
        .ok("get animals --root d")
        .says("kept 1 other file or directory (--mirror removes them)");
    sandbox.ok("get animals --root d --mirror").says("removed 1");
    assert!(!sandbox.path("d/mine.txt").exists());
}

#[test]
fn get_takes_a_part() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset");
    let some: Got = sandbox.json("get animals --root p --prefix dogs");
    assert_eq!(some.files, 1);
    assert!(sandbox.path("p/dogs/rex.png").exists() && !sandbox.path("p/cat.png").exists());
    let some: Got = sandbox.json("get animals --root g --include *.png --exclude dogs/**");
    assert_eq!(some.files, 1);
    assert!(sandbox.path("g/cat.png").exists());
    sandbox.fails(1, "get animals --root n --include *.mp3").says("nothing in animals:v0 matches");
    sandbox.fails(2, "get animals --link hardlink").says("hands out no hard links");
}

#[test]
fn without_a_user_in_the_environment_the_account_is_the_actor() {
    let sandbox = Sandbox::unprivileged();
    sandbox.write("f", "x");
    let put = sandbox.command(["put", "f", "-n", "a", "-t", "t"]).env_remove("USER").output();
    assert!(put.unwrap().status.success());
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let uid = std::fs::metadata(sandbox.home()).unwrap().uid().to_string();
    let account = accounts.lines().find(|line| line.split(':').nth(2) == Some(&uid));
    let name = account.and_then(|line| line.split(':').next()).unwrap_or("unknown");
    let shown: Value = sandbox.json("artifact show a");
    assert_eq!(shown["actor"], name);
}

#[test]
fn ls_finds_filters_and_sorts() {
    let sandbox = Sandbox::new();
    sandbox.write("m/w", "1");
    let metadata = |v: f64| format!("{{\"val_acc\":{v}}}");
    for (i, accuracy) in [0.8, 0.95, 0.9].into_iter().enumerate() {
        sandbox.write("m/w", i.to_string());
        let accuracy = metadata(accuracy);
        let ran =
            sandbox.run_args(["put", "m", "-n", "churn", "-t", "model", "--metadata", &accuracy]);
        ran.expect(0);
    }
    sandbox.ok("artifact tag churn:v1 good");
    sandbox.images().ok("put images -n animals -t dataset");

    let all: Collections = sandbox.json("ls");
    assert_eq!(
        all.collections.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(),
        ["animals", "churn"]
    );
    assert_eq!(all.collections[1].latest.as_ref().unwrap().version, "v2");
    let models: Collections = sandbox.json("ls --type model");
    assert_eq!(models.collections.len(), 1);

    let numbers = |line: &str| -> Vec<u64> {
        sandbox.json::<Versions>(line).versions.iter().map(|version| version.index).collect()
    };
    assert_eq!(numbers("ls churn"), [2, 1, 0]);
    assert_eq!(numbers("ls churn --limit 2"), [2, 1]);
    assert_eq!(numbers("ls churn --sort -metadata.val_acc"), [1, 2, 0]);
    assert_eq!(numbers("ls churn --where metadata.val_acc>0.85&&index<2"), [1]);
    assert_eq!(numbers("ls churn --tag good"), [1]);
    assert_eq!(numbers("ls churn:v0"), [0]);
    sandbox.fails(2, "ls churn --where metadata.val_acc").says("at character 17");
    for asked in ["--where val_acc>0.9", "--sort -val_acc"] {
        let ran = sandbox.fails(2, &format!("ls churn {asked}"));
        ran.says("versions have no field `val_acc`").says("`metadata.val_acc`").says("created_at");
    }
    sandbox.ok("ls churn --where metadata.nobody_set_this!=1 --sort metadata.nobody_set_this");

    let text = sandbox.ok("ls churn --sort index");
    assert_eq!(
        sandbox.filtered(&text.out),
        "\
VERSION  ALIASES  TAGS  FILES  SIZE  CREATED               RUN  DIGEST
v0                          1   1 B  [DATE] [TIME]       [SHORT]
v1                good      1   1 B  [DATE] [TIME]       [SHORT]
v2       latest             1   1 B  [DATE] [TIME]       [SHORT]
"
    );
}

#[test]
fn versions_are_shown_listed_and_printed() {
    let sandbox = Sandbox::new();
    sandbox.images();
    std::fs::create_dir(sandbox.path("images/empty")).unwrap();
    let put = [
        "put",
        "images",
        "-n",
        "animals",
        "-t",
        "dataset",
        "-d",
        "cats\nand dogs",
        "--tag",
        "small",
        "--ttl",
        "30d",
    ];
    sandbox.run_args(put).expect(0);
    let shown: Shown = sandbox.json("artifact show animals");
    assert_eq!(shown.description.as_deref(), Some("cats\nand dogs"));
    assert_eq!((shown.tags, shown.aliases), (vec!["small".to_owned()], vec!["latest".to_owned()]));
    assert_eq!((shown.files, shown.size, shown.actor.as_str()), (4, 7012, "tester"));
    assert_eq!(&shown.provenance.command[1..4], ["put", "images", "-n"]);
    assert_eq!(shown.ttl, serde_json::json!({"seconds": 30 * 86_400}));
    let text = sandbox.ok("artifact show animals:v0").out;
    assert!(text.contains("description  cats\n             and dogs\n"), "{text}");

    let ran = sandbox.ok("artifact files animals");
    ran.prints("    4.0 kB  cat.png\n    3.0 kB  dogs/rex.png\n            empty/\n      12 B  labels.csv\n");
    sandbox.ok("artifact files animals --prefix dogs/").prints("    3.0 kB  dogs/rex.png\n");
    let lines: Vec<Line> = sandbox.ok("artifact files animals --json").lines();
    assert!(matches!(&lines[2], Line::Directory { path } if path == "empty"));
    let dump: Vec<Line> = sandbox.ok("manifest dump animals").lines();
    assert!(matches!(&dump[0], Line::Manifest { files: 4, size: 7012, .. }));
    assert_eq!(dump.len(), 5);

    assert_eq!(sandbox.ok("artifact cat animals cat.png").bytes, fixtures::bytes(1, 4000));
    sandbox.fails(1, "artifact cat animals cat.pgn").says("`heirloom artifact files animals:v0`");
}

#[test]
fn large_files_are_printed_as_they_stream() {
    let sandbox = Sandbox::new();
    let content = fixtures::bytes(4, 9 << 20);
    sandbox.write("big.bin", &content);
    sandbox.ok("put big.bin -n big -t blob");
    assert_eq!(sandbox.ok("artifact cat big big.bin").bytes, content);
}

#[test]
fn diff_tells_added_removed_changed_renamed() {
    let sandbox = Sandbox::new();
    sandbox.images().write("images/old.txt", "going");
    sandbox.ok("put images -n animals -t dataset");
    std::fs::remove_file(sandbox.path("images/old.txt")).unwrap();
    std::fs::rename(sandbox.path("images/cat.png"), sandbox.path("images/tom.png")).unwrap();
    sandbox.write("images/labels.csv", "cat,1\n");
    sandbox.write("images/new.txt", "here");
    sandbox.ok("put images -n animals");
    let ran = sandbox.ok("diff animals:v0 animals:v1");
    ran.prints(
        "A  new.txt  (4 B)\nM  labels.csv  (12 B -> 6 B)\nR  cat.png -> tom.png\nD  old.txt  (5 B)\n",
    );
    ran.says("1 added, 1 changed, 1 renamed, 1 removed");
    let diff: Diff = sandbox.json("artifact diff animals:v0 animals:v1");
    assert_eq!((diff.from.as_str(), diff.to.as_str()), ("animals:v0", "animals:v1"));
    assert_eq!((diff.added[0].path.as_str(), diff.added[0].size), ("new.txt", 4));
    assert_eq!((diff.changed[0].what.as_str(), diff.changed[0].size_before), ("content", 12));
    assert_eq!(
        (diff.renamed[0].from.as_str(), diff.renamed[0].to.as_str()),
        ("cat.png", "tom.png")
    );
    assert_eq!(diff.removed[0].path, "old.txt");
    assert!(diff.renames_complete);
    sandbox.ok("diff animals:v0 animals:v0").prints("");
}

#[test]
fn history_names_commits_moves_edits_and_deletions() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n animals -t dataset");
    sandbox.ok("artifact alias animals:v0 prod");
    sandbox.ok("artifact update animals:v0 -d better");
    sandbox.ok("artifact unalias animals prod");
    sandbox.ok("put images -n animals --new-version");
    sandbox.ok("rm animals:v0");
    let events: Vec<Line> = sandbox.ok("log animals --json").lines();
    let words: Vec<String> = events
        .iter()
        .map(|line| match line {
            Line::Event { event, version, actor, .. } => {
                assert_eq!(actor, "tester");
                format!("{event} {}", version.as_deref().unwrap_or_default())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    for wanted in [
        "committed v0",
        "committed v1",
        "alias_set v0",
        "alias_removed v0",
        "updated v0",
        "deleted v0",
    ] {
        assert!(words.iter().any(|word| word == wanted), "{wanted} is not in {words:?}");
    }
    let text = sandbox.ok("log animals --limit 1").out;
    assert!(text.contains("deleted v0") && text.lines().count() == 1, "{text}");
    let text = sandbox.ok("log animals:v1").out;
    assert!(text.contains("alias set v1: `latest` from v0"), "{text}");
    assert!(text.contains("committed v1") && !text.contains("committed v0"), "{text}");
}

#[test]
fn aliases_move_under_conditions() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n a -t t -a prod");
    sandbox.ok("put images -n a --new-version");
    let ran = sandbox.fails(4, "artifact alias a:v1 prod --expect v1");
    ran.says("error: alias `prod` ").says("moved to v0 (expected v1)");
    ran.says("hint: re-run with `--expect v0`, or drop `--expect` to overwrite");
    let error = sandbox.fails(4, "--json artifact alias a:v1 prod --expect none").error();
    assert_eq!((error["code"].as_str(), error["found"].as_str()), (Some("conflict"), Some("v0")));

    let moved: Alias = sandbox.json("artifact alias a:v1 prod --expect v0");
    assert_eq!((moved.alias.as_str(), moved.version.as_deref()), ("prod", Some("a:v1")));
    sandbox.ok("artifact alias a:v1 new --expect none");
    let gone: Alias = sandbox.json("artifact unalias a:prod");
    assert_eq!(gone.version, None);
    sandbox.fails(1, "get a:prod");
    sandbox.fails(2, "artifact unalias a:v1 new").says("names a version");
    sandbox.fails(2, "artifact alias a:v1 v7").says("reserved");
}

#[test]
fn tags_descriptions_and_types_are_edited() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n a -t dataset");
    let tagged: Tagged = sandbox.json("artifact tag a:v0 one two");
    assert_eq!(tagged.tags, ["one", "two"]);
    let tagged: Tagged = sandbox.json("artifact untag a:v0 one");
    assert_eq!((tagged.version.as_str(), tagged.tags), ("a:v0", vec!["two".to_owned()]));

    let metadata = sandbox.write("facts.json", r#"{"epochs": 3}"#);
    let updated: Updated =
        sandbox.json("artifact update a:latest --metadata @facts.json --ttl never -d text");
    let Updated::Version(version) = updated else { panic!("a version was named") };
    assert_eq!(version.metadata.unwrap()["epochs"], 3);
    assert_eq!((version.ttl, version.description.as_deref()), ("never".into(), Some("text")));
    std::fs::write(metadata, "[1]").unwrap();
    sandbox.fails(2, "artifact update a:v0 --metadata @facts.json").says("not a JSON object");

    let updated: Updated = sandbox.json("artifact update a -d all --type images");
    let Updated::Collection(collection) = updated else { panic!("an artifact was named") };
    assert_eq!(
        (collection.artifact_type.as_str(), collection.description.as_deref()),
        ("images", Some("all"))
    );
    sandbox.fails(2, "artifact update a --metadata {}").says("a:latest");
    sandbox.fails(2, "artifact update a:v0 --type x").says("belongs to the artifact");
    sandbox.fails(2, "artifact update a:v0");
}

#[test]
fn links_copies_and_new_names_lead_to_the_same_content() {
    let sandbox = Sandbox::new();
    let made: Put = sandbox.images().json("put images -n a -t dataset");
    sandbox.ok("artifact link a:v0 registry/best -a production").prints("registry/best:v0\n");
    let linked: Version = sandbox.json("artifact link a:v0 registry/best");
    assert_eq!((linked.digest.as_str(), linked.index), (made.digest.as_str(), 0));
    assert_eq!(linked.source.unwrap().name, "a");
    sandbox.ok("get registry/best:production --root r");
    let unlinked: Unlinked = sandbox.json("artifact unlink registry/best:production");
    assert_eq!(unlinked.unlinked, "registry/best:v0");
    sandbox.fails(1, "get registry/best");
    sandbox.ok("get a:v0 --root r");

    let copied: Copied = sandbox.json("artifact cp a:v0 other/b");
    assert_eq!(
        (copied.digest.as_str(), copied.project.as_str(), copied.created),
        (made.digest.as_str(), "other", true)
    );
    sandbox.ok("artifact cp a:v0 other/b").prints("other/b:v0\n").says("unchanged");
    sandbox.ok("--project other get b --root r2");

    let renamed: Renamed = sandbox.json("artifact rename a z");
    assert_eq!((renamed.from.as_str(), renamed.name.as_str()), ("a", "z"));
    sandbox.ok("get a:v0 --root r").says("z:v0");
    sandbox.fails(2, "artifact rename z:v0 y");
}

#[test]
fn rm_needs_a_version_and_says_what_holds_it() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n a -t t -a prod");
    sandbox.ok("put images -n a --new-version");
    sandbox.fails(2, "rm a").says("names no version").says("--all-versions");
    let error = sandbox.fails(1, "--json rm a:v0").error();
    assert_eq!(error["code"], "in_use");
    assert!(error["items"][0].as_str().unwrap().contains("prod"), "{error}");
    let dry: Removed = sandbox.json("rm a:v0 --dry-run");
    assert!(dry.dry_run && dry.deleted[0].held_by == ["prod"]);
    assert_eq!(sandbox.json::<Versions>("ls a").versions.len(), 2);

    let ran = sandbox.ok("rm a:v0 --delete-aliases");
    ran.prints("deleted a:v0 (3 files, 7.0 kB), with aliases prod\n").says("restorable for 7 days");
    let left: Versions = sandbox.json("ls a");
    assert_eq!(left.versions.iter().map(|v| v.index).collect::<Vec<_>>(), [1]);
    let all: Versions = sandbox.json("ls a --deleted");
    assert_eq!(
        all.versions.iter().map(|v| v.state.as_str()).collect::<Vec<_>>(),
        ["committed", "deleted"]
    );
    // Numbers are never used again.
    sandbox.ok("rm a:v1").says("can be freed by");
    sandbox.ok("put images -n a").prints("a:v2\n");
}

#[test]
fn verify_checks_the_store_and_directories() {
    let sandbox = Sandbox::new();
    sandbox.images().ok("put images -n a -t t");
    let stored: Stored = sandbox.json("artifact verify a");
    assert!(stored.ok && stored.damages.is_empty() && stored.blobs > 3);
    assert_eq!(stored.version.as_deref(), Some("a:v0"));

    sandbox.ok("get a --root d");
    let check: Directory = sandbox.json("artifact verify a --root d");
    assert!(check.ok && check.same == 3);
    sandbox.write("d/cat.png", "dog");
    sandbox.write("d/more", "");
    std::fs::remove_file(sandbox.path("d/labels.csv")).unwrap();
    let ran = sandbox.fails(3, "artifact verify a --root d");
    ran.prints("different   cat.png\nmissing     labels.csv\nextra       more\n");
    ran.says("2 files in `d` differ from a:v0");
    let ran = sandbox.fails(3, "--json artifact verify a --root d");
    let check: Directory = ran.document();
    assert_eq!((check.ok, check.missing, check.different, check.extra), (false, 1, 1, 1));
    assert_eq!(ran.error()["code"], "corrupt");
}
