//! Versions between repositories.

use std::path::Path;

use heirloom_testkit::fixtures;
use serde_json::Value;

use super::crash::count;
use crate::support::{Ran, Sandbox};

/// Prepared data, a run that trains on it, and its model; a second dataset version.
fn history(sandbox: &Sandbox) {
    sandbox.images();
    sandbox.ok("run start --id prep --job-type prepare");
    sandbox.ok("put images -n animals -t dataset --alias raw --tag small --run default/prep");
    sandbox.ok("artifact update animals:v0 --description pictures");
    sandbox.ok("artifact update animals:v0 --metadata {\"n\":3}");
    sandbox.ok("run start --id train --job-type train");
    sandbox.ok("use animals:raw --run default/train");
    sandbox.write("model.h5", fixtures::bytes(5, 2 << 20));
    sandbox.ok("put model.h5 -n churn -t model --alias prod --run default/train");
    sandbox.ok("run finish default/train");
    sandbox.write("images/bird.png", "a bird");
    sandbox.ok("put images -n animals --alias best");
}

fn versions(sandbox: &Sandbox, home: &str, name: &str) -> Vec<Value> {
    let found: Value = sandbox.json(&format!("{home} ls {name}"));
    found["versions"].as_array().unwrap().clone()
}

/// What stays the same wherever a version is.
fn identity(version: &Value) -> Vec<Value> {
    let names = [
        "id",
        "digest",
        "files",
        "size",
        "tags",
        "description",
        "metadata",
        "ttl",
        "created_at",
        "actor",
        "provenance",
    ];
    names.iter().map(|name| version[*name].clone()).collect()
}

#[test]
fn a_version_is_pushed_with_what_belongs_to_it() {
    let sandbox = Sandbox::new();
    history(&sandbox);
    let pushed: Value = sandbox.json("push churn --lineage --to other");
    assert_eq!(pushed["versions"].as_array().unwrap().len(), 2, "{pushed}");
    assert_eq!(pushed["runs"], 2);
    assert_eq!(pushed["edges"], 3);
    sandbox.ok("--home other verify");
    for name in ["churn:v0", "animals:v0"] {
        let show = |home: &str| -> Value { sandbox.json(&format!("{home} artifact show {name}")) };
        let (here, there) = (show(""), show("--home other"));
        assert_eq!(identity(&here), identity(&there));
        for field in ["run", "logged_by", "used_by"] {
            assert_eq!(here[field], there[field], "{field} of {name}");
        }
        assert!(here.get("origin").is_none());
        assert_eq!(there["origin"]["from"], format!("local/default/{name}"));
    }
    let (here, there): (Value, Value) =
        (sandbox.json("lineage churn"), sandbox.json("--home other lineage churn"));
    let edges = |graph: &Value| {
        let mut edges: Vec<String> =
            graph["links"].as_array().unwrap().iter().map(Value::to_string).collect();
        edges.sort();
        edges
    };
    assert_eq!(edges(&here), edges(&there));
    let (here, there): (Value, Value) = (
        sandbox.json("run show default/train"),
        sandbox.json("--home other run show default/train"),
    );
    assert_eq!(here, there);
    sandbox.ok("--home other get animals:raw --root copy");
    sandbox.ok("artifact verify animals:raw --root copy");
    let log = sandbox.ok("--home other log churn").out;
    assert!(log.contains("imported v0") && log.contains("local/default/churn:v0"), "{log}");
    // Going on there.
    sandbox.write("images/new", "new");
    sandbox.ok("--home other put images -n animals").prints("animals:v1\n");
}

#[test]
fn pushing_again_does_nothing_and_the_receiver_numbers() {
    let sandbox = Sandbox::new();
    history(&sandbox);
    sandbox.write("own/file", "own");
    sandbox.ok("--home other put own -n animals -t dataset").prints("animals:v0\n");
    let pushed: Value = sandbox.json("push animals --all-versions --to other");
    let to: Vec<&str> =
        pushed["versions"].as_array().unwrap().iter().map(|v| v["to"].as_str().unwrap()).collect();
    assert_eq!(to, ["local/default/animals:v1", "local/default/animals:v2"]);
    let objects = count(&sandbox.path("other/packs"));
    let again: Value = sandbox.json("push animals --all-versions --to other");
    assert!(again["versions"].as_array().unwrap().iter().all(|v| v["created"] == false));
    assert_eq!(
        (&again["runs"], &again["edges"], &again["stored_bytes"]),
        (&0.into(), &0.into(), &0.into())
    );
    assert_eq!(count(&sandbox.path("other/packs")), objects);
    assert_eq!(versions(&sandbox, "--home other", "animals").len(), 3);
    // The same content is another version when it has another identity.
    sandbox.ok("--home third put images -n animals -t dataset");
    sandbox.ok("push animals:v1 --to third");
    let there = versions(&sandbox, "--home third", "animals");
    assert_eq!(there.len(), 2);
    assert_eq!(there[0]["digest"], there[1]["digest"]);
    // What was deleted there stays deleted.
    sandbox.ok("--home other rm animals:v1 --delete-aliases");
    let kept: Value = sandbox.json("push animals:v0 --to other");
    assert_eq!(kept["versions"][0]["deleted"], true);
    assert_eq!(versions(&sandbox, "--home other", "animals").len(), 2);
    sandbox.ok("--home other verify");
}

#[test]
fn both_directions_come_to_the_same() {
    let sandbox = Sandbox::new();
    history(&sandbox);
    sandbox.ok("push animals --all-versions --to pushed");
    sandbox.ok("--home pulled pull animals --all-versions --from ../home");
    let all = |home: &str| -> Vec<Vec<Value>> {
        versions(&sandbox, home, "animals").iter().map(identity).collect()
    };
    assert_eq!(all(""), all("--home pushed"));
    assert_eq!(all(""), all("--home pulled"));
    // There and back: what came from here is known here.
    sandbox.write("images/there", "there");
    sandbox.ok("--home pushed put images -n animals").prints("animals:v2\n");
    let back: Value = sandbox.json("pull animals --all-versions --from pushed");
    let created: Vec<bool> = back["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| version["created"].as_bool().unwrap())
        .collect();
    assert_eq!(created, [false, false, true]);
    assert_eq!(all(""), all("--home pushed"));
    sandbox.ok("verify");
    // A backup is a source too.
    sandbox.ok("admin backup backup");
    sandbox.ok("--home again pull churn --lineage --from backup");
    sandbox.ok("--home again verify");
    sandbox.fails(1, "pull churn --from nowhere").says("repository `nowhere` does not exist");
    assert!(!sandbox.path("nowhere").exists());
}

#[test]
fn aliases_move_only_onward() {
    let sandbox = Sandbox::new();
    history(&sandbox);
    let alias = |home: &str, alias: &str| -> String {
        let found: Value = sandbox.json(&format!("{home} artifact show animals:{alias}"));
        found["version"].as_str().unwrap().to_owned()
    };
    sandbox.ok("artifact alias animals:v0 prod");
    sandbox.ok("push animals:v0 --to other");
    assert_eq!(alias("--home other", "prod"), "v0");
    // Onward, to a newer version of the same sequence.
    sandbox.ok("artifact alias animals:v1 prod");
    sandbox.ok("push animals:v1 --to other");
    assert_eq!(alias("--home other", "prod"), "v1");
    // Not back, and not away from what the receiver chose.
    sandbox.ok("artifact alias animals:v0 prod");
    let kept = sandbox.ok("push animals:v0 --to other");
    kept.says("alias `prod` of animals:v0 stays on v1");
    assert_eq!(alias("--home other", "prod"), "v1");
    sandbox.write("own/file", "own");
    sandbox.ok("--home other put own -n animals --alias prod").prints("animals:v2\n");
    sandbox.ok("artifact alias animals:v1 prod");
    sandbox.ok("push animals:v1 --to other").says("stays on v2");
    sandbox.ok("push animals:v1 --to other --no-aliases");
    assert_eq!(alias("--home other", "prod"), "v2");
    let forced: Value = sandbox.json("push animals:v1 --to other --force-aliases");
    assert_eq!(forced["aliases"][0]["alias"], "prod", "{forced}");
    assert_eq!(alias("--home other", "prod"), "v1");
    assert_eq!(alias("--home other", "latest"), "v2");
}

#[test]
fn a_run_whose_name_is_taken_comes_under_another() {
    let sandbox = Sandbox::new();
    history(&sandbox);
    sandbox.ok("--home other run start --id train");
    sandbox.ok("push churn --to other");
    let there: Value = sandbox.json("--home other artifact show churn");
    let by = there["logged_by"][0].as_str().unwrap();
    assert!(by.starts_with("train-"), "{by}");
    assert_eq!(there["run"]["id"], sandbox.json::<Value>("artifact show churn")["run"]["id"]);
}

#[test]
fn a_run_that_was_running_ends_with_the_next_push() {
    let sandbox = Sandbox::new();
    sandbox.images();
    sandbox.ok("run start --id train");
    sandbox.ok("put images -n animals -t dataset --run default/train");
    sandbox.ok("push animals --to other");
    let state = || -> Value { sandbox.json("--home other run show default/train") };
    assert_eq!(state()["state"], "running");
    sandbox.ok("run finish default/train --exit-code 3 --summary {\"loss\":2}");
    sandbox.ok("push animals --to other");
    let here: Value = sandbox.json("run show default/train");
    assert_eq!(here["state"], "failed");
    for field in ["state", "exit_code", "ended_at", "summary"] {
        assert_eq!(state()[field], here[field], "{field}");
    }
    // What has ended there stays as it is.
    sandbox.ok("pull animals --from other");
    sandbox.ok("run start --id late");
    sandbox.ok("use animals --run default/late");
    sandbox.ok("push animals --to other");
    sandbox.ok("--home other run finish default/late");
    sandbox.ok("run finish default/late --exit-code 1");
    sandbox.ok("push animals --to other");
    let late: Value = sandbox.json("--home other run show default/late");
    assert_eq!(late["state"], "finished");
}

#[test]
fn a_push_that_was_killed_goes_on_where_it_was() {
    let sandbox = Sandbox::new();
    let total: u64 = 8 * (3 << 20) + 300 * 2000;
    for i in 0..8 {
        sandbox.write(format!("tree/large{i}"), fixtures::bytes(i, 3 << 20));
    }
    for i in 0..300 {
        sandbox.write(format!("tree/small/{i}"), fixtures::bytes(100 + i, 2000));
    }
    sandbox.ok("put tree -n a -t t --alias one");
    let objects = sandbox.path("other/objects");
    let mut killed = 0;
    for at in [0, 1, 3, 6, 8] {
        let mut child = sandbox.spawn("push a --to other");
        while count(&objects) < at && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let _ = child.kill();
        killed += usize::from(Ran::of(child.wait_with_output().unwrap()).code == -9);
        if Path::new(&sandbox.path("other/heirloom.toml")).exists() {
            sandbox.ok("--home other verify");
        }
    }
    assert!(killed > 0, "every push was faster than its end");
    let there = (count(&objects) as u64).saturating_sub(1) * (3 << 20);
    let done: Value = sandbox.json("push a --to other");
    let sent = done["new_bytes"].as_u64().unwrap();
    assert!(sent <= total - there, "{sent} of {total} bytes sent again, {there} were there");
    assert_eq!(versions(&sandbox, "--home other", "a").len(), 1);
    sandbox.ok("--home other verify");
    sandbox.ok("--home other get a:one --root copy");
    sandbox.ok("artifact verify a --root copy");
}

#[test]
fn little_is_sent_where_little_is_new() {
    let sandbox = Sandbox::new();
    for i in 0..3000 {
        sandbox.write(format!("tree/{:02}/{i}", i % 50), format!("content {i}"));
    }
    sandbox.ok("put tree -n a -t t");
    sandbox.ok("push a --to other");
    sandbox.write("tree/07/7", "changed");
    sandbox.ok("put tree -n a");
    let second: Value = sandbox.json("push a --to other");
    assert_eq!(second["new_bytes"], 7);
    assert!(second["stored_bytes"].as_u64().unwrap() < 60_000, "{second}");
    // Bytes that the receiver has under another name are not sent either.
    sandbox.ok("--home third put tree -n b -t t");
    let known: Value = sandbox.json("push a --to third");
    assert_eq!(known["new_bytes"], 0, "{known}");
}

#[test]
fn a_damaged_source_is_named_and_nothing_of_it_arrives() {
    let sandbox = Sandbox::new();
    sandbox.write("large/file", fixtures::bytes(1, 2 << 20));
    sandbox.write("small/file", fixtures::bytes(2, 3000));
    sandbox.write("good/file", "good");
    for name in ["large", "small", "good"] {
        sandbox.ok(&format!("put {name} -n {name} -t t"));
    }
    let damage = |name: &str, needle: &[u8]| {
        use std::os::unix::fs::PermissionsExt;
        let mut done = false;
        let script = format!("find '{}' -type f", sandbox.home().join(name).display());
        for path in sandbox.shell(&script).out.lines() {
            let mut bytes = std::fs::read(path).unwrap();
            if let Some(at) = bytes.windows(needle.len()).position(|part| part == needle) {
                bytes[at + 50] ^= 1;
                let open = std::fs::Permissions::from_mode(0o644);
                std::fs::set_permissions(path, open).unwrap();
                std::fs::write(path, bytes).unwrap();
                done = true;
            }
        }
        assert!(done, "{name} has no such object");
    };
    damage("objects", &fixtures::bytes(1, 2 << 20)[..100]);
    damage("packs", &fixtures::bytes(2, 3000)[..100]);
    for name in ["large", "small"] {
        sandbox.fails(3, &format!("push {name} --to other")).says("damaged");
        sandbox.fails(1, &format!("--home other artifact show {name}"));
    }
    sandbox.ok("push good --to other");
    sandbox.ok("--home other verify");
}
