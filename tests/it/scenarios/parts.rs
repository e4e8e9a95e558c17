//! Many processes make one version together.

use std::collections::BTreeSet;
use std::process::Child;

use heirloom_testkit::fixtures;
use serde_json::Value;

use crate::support::{Ran, Sandbox};

fn paths(sandbox: &Sandbox, reference: &str) -> BTreeSet<String> {
    let lines: Vec<Value> = sandbox.ok(&format!("--json artifact files {reference}")).lines();
    lines.iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect()
}

fn versions(sandbox: &Sandbox, name: &str) -> usize {
    let listed: Value = sandbox.json(&format!("ls {name}"));
    listed["versions"].as_array().unwrap().len()
}

fn wait(children: Vec<Child>) -> Vec<Ran> {
    children.into_iter().map(|child| Ran::of(child.wait_with_output().unwrap())).collect()
}

#[test]
fn eight_writers_some_killed_make_the_union() {
    let sandbox = Sandbox::new();
    let mut expected = BTreeSet::from(["same".to_owned()]);
    for writer in 0..8 {
        for part in 0..5 {
            let dir = format!("w{writer}p{part}");
            let bytes = fixtures::bytes(writer * 5 + part, 20_000);
            sandbox.write(format!("{dir}/out/{dir}"), bytes);
            sandbox.write(format!("{dir}/same"), "same");
            expected.insert(format!("out/{dir}"));
        }
    }
    for writer in 0..8 {
        sandbox.ok(&format!("run start --id r{writer} --group job"));
    }
    let upsert = |writer: u64, part: u64| {
        format!("artifact upsert w{writer}p{part} -n table -t dataset --run r{writer}")
    };
    let mut killed = 0;
    for part in 0..5 {
        let mut children: Vec<Child> =
            (0..8).map(|writer| sandbox.spawn(&upsert(writer, part))).collect();
        // Two die, one at its start and one at whatever it is doing when another has
        // ended; nobody knows whether they were done.
        let (early, late) = (part as usize, 7 - part as usize);
        let _ = children[early].kill();
        children[(late + 1) % 8].wait().unwrap();
        let _ = children[late].kill();
        for (writer, ran) in wait(children).into_iter().enumerate() {
            killed += usize::from(ran.code == -9);
            if ran.code != -9 {
                ran.expect(0);
            }
            // Whoever was killed tries again; others do so for no reason.
            if ran.code == -9 || writer == 3 {
                sandbox.ok(&upsert(writer as u64, part));
            }
        }
    }
    assert!(killed > 0, "every process was faster than its end");
    sandbox.ok("verify");
    let done: Value = sandbox.json("artifact finish -n table --run r0");
    assert_eq!((done["version"].as_str(), done["files"].as_u64()), (Some("v0"), Some(41)));
    assert_eq!(paths(&sandbox, "table"), expected);
    let shown: Value = sandbox.json("artifact show table");
    assert_eq!(shown["logged_by"].as_array().unwrap().len(), 8, "{shown}");
    sandbox.ok("verify");
    sandbox.ok("get table --root copy");
    sandbox.ok("artifact verify table --root copy");
}

#[test]
fn finishing_races_with_parts_and_with_itself() {
    let sandbox = Sandbox::new();
    let mut expected = BTreeSet::new();
    for part in 0..12 {
        sandbox.write(format!("d{part}/f{part}"), part.to_string());
        expected.insert(format!("f{part}"));
    }
    let set = "-n table -t dataset --distributed-id job";
    sandbox.ok(&format!("artifact upsert d0 {set}"));
    let mut adding = Vec::new();
    let mut finishing = Vec::new();
    for part in 1..12 {
        adding.push(sandbox.spawn(&format!("artifact upsert d{part} {set}")));
        if part % 4 == 0 {
            for _ in 0..2 {
                finishing.push(sandbox.spawn(&format!("artifact finish {set}")));
            }
        }
    }
    for ran in wait(adding) {
        ran.expect(0);
    }
    let mut made = BTreeSet::new();
    for ran in wait(finishing) {
        match ran.code {
            0 => assert!(made.insert(ran.out.trim().to_owned()), "two made {}", ran.out),
            _ => {
                ran.expect(1).says("nothing to finish");
            }
        }
    }
    // Later parts belong to the next set, which may be empty.
    let last = sandbox.run(&format!("artifact finish {set}"));
    if last.code == 0 {
        made.insert(last.out.trim().to_owned());
    }
    let count = versions(&sandbox, "table");
    assert_eq!(made, (0..count).map(|index| format!("table:v{index}")).collect());
    let mut found = BTreeSet::new();
    for name in &made {
        for path in paths(&sandbox, name) {
            assert!(found.insert(path.clone()), "{path} is in two versions");
        }
    }
    assert_eq!(found, expected);
    sandbox.ok("artifact parts").prints("");
    sandbox.ok("verify");
}

#[test]
fn a_killed_finish_is_repeated() {
    let sandbox = Sandbox::new();
    for part in 0..6 {
        for file in 0..200 {
            sandbox.write(format!("d{part}/p{part}/{file}"), format!("{part} {file}"));
        }
        sandbox.ok(&format!("artifact upsert d{part} -n table -t dataset --distributed-id job"));
    }
    let finish = "artifact finish -n table --distributed-id job";
    for steps in [0, 500, 5_000, 50_000] {
        let mut child = sandbox.spawn(finish);
        for _ in 0..steps {
            if child.try_wait().unwrap().is_some() {
                break;
            }
        }
        let _ = child.kill();
        child.wait().unwrap();
        sandbox.ok("verify");
    }
    let last = sandbox.run(finish);
    if last.code != 0 {
        last.expect(1).says("nothing to finish");
    }
    assert_eq!(versions(&sandbox, "table"), 1);
    assert_eq!(paths(&sandbox, "table").len(), 1200);
    sandbox.ok("verify");
}

#[test]
fn gc_takes_nothing_of_parts_and_all_of_what_was_given_up() {
    let sandbox = Sandbox::new();
    let set = "-n table -t dataset --distributed-id job";
    for part in 0..6 {
        sandbox.write(format!("d{part}/large"), fixtures::bytes(1, 2 << 20));
        sandbox.write(format!("d{part}/p{part}"), fixtures::bytes(10 + part, 30_000));
    }
    // A part shares content with a version that goes.
    sandbox.ok("put d0 -n table -t dataset");
    sandbox.ok(&format!("artifact upsert d0 {set}"));
    sandbox.ok("rm table:v0");
    sandbox.ok("gc --grace 0");
    for part in 1..6 {
        let gc = sandbox.spawn("gc --grace 0");
        sandbox.ok(&format!("artifact upsert d{part} {set}"));
        for ran in wait(vec![gc]) {
            ran.expect(0);
        }
    }
    sandbox.ok("gc --grace 0");
    let collectors = vec![sandbox.spawn("gc --grace 0"), sandbox.spawn("gc --grace 0")];
    sandbox.ok(&format!("artifact finish {set}")).prints("table:v1\n");
    for ran in wait(collectors) {
        ran.expect(0);
    }
    sandbox.ok("gc --grace 0");
    sandbox.ok("verify");
    sandbox.ok("get table --root copy");
    assert_eq!(paths(&sandbox, "table").len(), 7);

    let stored = || sandbox.json::<Value>("du")["stored"].as_u64().unwrap();
    let before = stored();
    sandbox.write("given-up/file", fixtures::bytes(99, 3 << 20));
    sandbox.ok(&format!("artifact upsert given-up {set}"));
    sandbox.ok("gc --grace 0");
    assert!(stored() >= before + (3 << 20), "an open set keeps what it has");
    sandbox.ok("artifact abort -n table --distributed-id job");
    sandbox.ok("gc --grace 0");
    assert!(stored() < before + (64 << 10), "{} after {before}", stored());
    sandbox.ok("verify");
}
