//! `artifact upsert`, `finish`, `abort` and `parts`.

use serde_json::Value;

use super::shapes;
use crate::support::Sandbox;

fn part(sandbox: &Sandbox, dir: &str, files: &[(&str, &str)]) {
    for (path, content) in files {
        sandbox.write(format!("{dir}/{path}"), content);
    }
}

#[test]
fn parts_are_added_shown_and_finished() {
    let sandbox = Sandbox::new();
    part(&sandbox, "a", &[("x", "one"), ("same", "same")]);
    part(&sandbox, "b", &[("y", "two"), ("same", "same")]);
    let upsert = "-n table -t dataset --distributed-id job-7";
    sandbox
        .ok(&format!("artifact upsert a {upsert}"))
        .prints("0\n")
        .says("part 0 of table under `job-7`: 2 files, 7 B (7 B new)");
    let second: shapes::Upserted = sandbox.json(&format!("artifact upsert b {upsert}"));
    assert_eq!((second.part, second.files, second.new_bytes), (1, 2, 3));
    assert_eq!((second.name.as_str(), second.distributed_id.as_str()), ("table", "job-7"));
    assert!(!second.replaced);
    sandbox.fails(1, "artifact show table");
    let table = sandbox.ok("artifact parts");
    let row = table.out.lines().nth(1).unwrap();
    for cell in ["table", "job-7", "open", "error", "tester", "2", "4", "14 B"] {
        assert!(row.contains(cell), "{cell} is not in {row}");
    }
    let sets: shapes::PartSets = sandbox.json("artifact parts table --distributed-id job-7");
    assert_eq!((sets.sets[0].parts, sets.sets[0].writers[0].parts), (2, 2));
    assert!(sandbox.json::<shapes::PartSets>("artifact parts -n other").sets.is_empty());
    let done: shapes::Put = sandbox
        .json("artifact finish -n table --distributed-id job-7 -a nightly --tag good -d text");
    assert_eq!((done.version.as_str(), done.files, done.new_bytes), ("v0", 3, 0));
    let shown: Value = sandbox.json("artifact show table:nightly");
    assert_eq!((&shown["description"], &shown["tags"][0]), (&"text".into(), &"good".into()));
    sandbox.ok("artifact parts").prints("").says("no parts wait");
    sandbox
        .fails(1, "artifact finish -n table --distributed-id job-7")
        .says("set of parts `job-7` of `table` does not exist")
        .says("nothing to finish");
}

#[test]
fn the_group_of_the_run_is_the_id() {
    let sandbox = Sandbox::new();
    part(&sandbox, "a", &[("x", "one")]);
    sandbox.fails(2, "artifact upsert a -n table -t dataset").says("--distributed-id ID");
    let ran = sandbox.shell(
        "export HEIRLOOM_RUN=$(heirloom run start --id r1)
         heirloom artifact upsert a -n table -t dataset || echo code $?
         export HEIRLOOM_RUN=$(heirloom run start --id r2 --group job)
         heirloom artifact upsert a -n table -t dataset
         export HEIRLOOM_RUN=$(heirloom run start --id r3 --group job)
         heirloom artifact upsert a -n table -t dataset
         heirloom artifact parts
         heirloom artifact finish -n table",
    );
    ran.expect(0).says("run `r1` has no group");
    assert!(ran.out.starts_with("code 2\n0\n1\n"), "{}", ran.out);
    assert!(ran.out.contains("r2, r3") && ran.out.ends_with("table:v0\n"), "{}", ran.out);
    let shown: Value = sandbox.json("artifact show table");
    let logged_by: std::collections::BTreeSet<&str> =
        shown["logged_by"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(logged_by, ["r2", "r3"].into());
    // The same parts once more: nothing is new.
    sandbox.ok("artifact upsert a -n table --distributed-id again");
    sandbox.ok("artifact finish -n table --distributed-id again").says("unchanged: table:v0");
}

#[test]
fn contradictions_are_named_and_settled() {
    let sandbox = Sandbox::new();
    part(&sandbox, "a", &[("x", "one"), ("d", "file")]);
    part(&sandbox, "b", &[("x", "two"), ("d/y", "below")]);
    let set = "-n table -t dataset --distributed-id job";
    sandbox.ok(&format!("artifact upsert a {set}"));
    sandbox.ok(&format!("artifact upsert b {set}"));
    let ran = sandbox.fails(4, &format!("--json artifact finish {set}"));
    let error = ran.error();
    assert_eq!(error["code"], "conflict");
    let items = error["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{error}");
    assert!(items[0].as_str().unwrap().contains("`d/y` from tester (part 1)"), "{error}");
    assert!(items[1].as_str().unwrap().starts_with("`x` is blake3:"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--on-conflict"), "{error}");
    sandbox.fails(1, "artifact show table");
    let dropped: shapes::Aborted = sandbox.json(&format!("artifact abort {set}"));
    assert_eq!(dropped.dropped.parts, 2);
    sandbox.fails(1, &format!("artifact abort {set}")).says("does not exist");
    sandbox.ok(&format!("artifact upsert a {set} --on-conflict first"));
    sandbox
        .fails(4, &format!("artifact upsert a {set} --on-conflict last"))
        .says("have the policy `first`, not `last`")
        .says("give `--on-conflict first`");
    part(&sandbox, "c", &[("x", "three")]);
    sandbox.ok(&format!("artifact upsert c {set}"));
    sandbox.ok(&format!("artifact finish {set}"));
    sandbox.ok("artifact cat table x").prints("one");
    sandbox.ok("verify");
}
