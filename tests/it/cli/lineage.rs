//! Where things come from and what came of them.

use serde_json::Value;

use super::shapes::{Graph, Impact, Whence};
use crate::support::Sandbox;

/// raw → (load) → animals → (train) → churn, aliased `prod`.
fn traced() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.images();
    sandbox.write("model.h5", "weights");
    let ran = sandbox.shell(
        "heirloom -q put images -n raw -t dataset
         heirloom -q run exec --id load --job-type load -- sh -c '
             heirloom -q get raw --root r && heirloom -q put r/cat.png -n animals -t dataset'
         heirloom -q run exec --id train --job-type train -- sh -c '
             heirloom -q use animals:latest && heirloom -q put model.h5 -n churn -t model -a prod'",
    );
    ran.expect(0);
    sandbox
}

#[test]
fn lineage_is_a_tree() {
    let sandbox = traced();
    sandbox.ok("lineage churn:prod --up").prints(
        "\
churn:v0 (model) [latest, prod]
└── produced by train (train)
    └── used animals:v0 (dataset) [latest], as animals:latest
        └── produced by load (load)
            └── used raw:v0 (dataset) [latest], as raw
",
    );
    let down = sandbox.ok("lineage raw --down --depth 2").out;
    assert!(down.contains("animals:v0") && !down.contains("churn"), "{down}");
    let types = sandbox.ok("lineage churn --up --type dataset --job-type none").out;
    assert!(types.contains("animals:v0") && types.contains("hidden"), "{types}");
    let other = sandbox.ok("--project elsewhere lineage default/churn --up").out;
    assert!(other.starts_with("default/churn:v0"), "{other}");
}

#[test]
fn lineage_has_other_forms() {
    let sandbox = traced();
    let graph: Graph = sandbox.json("lineage animals:v0");
    assert_eq!((graph.nodes.len(), graph.links.len()), (5, 4));
    let again: Graph = sandbox.ok("lineage animals:v0 --format json").document();
    assert_eq!(again.nodes.len(), 5);
    assert!(sandbox.ok("lineage churn --format dot").out.starts_with("digraph"));
    assert!(sandbox.ok("lineage churn --format mermaid").out.starts_with("flowchart LR\n"));
    let events: Vec<Value> = sandbox.ok("lineage churn --format openlineage").document();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["outputs"][0]["name"], "animals");
    assert_eq!(events[0]["eventType"], "COMPLETE");
}

#[test]
fn impact_names_what_descends() {
    let sandbox = traced();
    let all: Impact = sandbox.json("impact raw:v0");
    assert_eq!(
        all.versions.iter().map(|hit| hit.name.as_str()).collect::<Vec<_>>(),
        ["animals", "churn"]
    );
    sandbox
        .ok("impact raw:v0 --alias prod")
        .prints("VERSION   TYPE   ALIASES\nchurn:v0  model  latest, prod\n");
    let file: Impact = sandbox.json("impact --file images/cat.png");
    assert_eq!(file.from, ["raw:v0", "animals:v0"]);
    assert_eq!(file.versions.len(), 3);
    sandbox.ok("impact churn").prints("").says("nothing descends from churn:v0");
    sandbox.fails(2, "impact");
    sandbox.fails(2, "impact raw --file images/cat.png");
    sandbox.fails(1, "impact --file /proc/version");
}

#[test]
fn whence_names_version_path_run_and_upstream() {
    let sandbox = traced();
    let somewhere =
        sandbox.write("far/away.bin", std::fs::read(sandbox.path("images/cat.png")).unwrap());
    let answer: Whence = sandbox.json(&format!("whence {}", somewhere.display()));
    let found = &answer.files[0].found;
    assert_eq!(found.len(), 2);
    let animals = found.iter().find(|place| place.version.name == "animals").unwrap();
    assert_eq!((animals.path.as_str(), animals.upstream[0].name.as_str()), ("cat.png", "raw"));
    assert_eq!(animals.version.run.as_ref().unwrap().name, "load");

    let text = sandbox.ok("whence far/away.bin").out;
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("FILE"), "{text}");
    assert!(
        text.lines().any(|line| line.contains("animals:v0") && line.ends_with("raw:v0")),
        "{text}"
    );
    let long = sandbox.ok("whence --long far/away.bin").out;
    assert!(
        long.contains("made from    raw:v0\n") && long.contains("run          load\n"),
        "{long}"
    );

    sandbox.write("unknown", "nobody put this");
    let ran = sandbox.fails(1, "whence unknown far/away.bin");
    ran.says("no version holds the content of `unknown`");
    assert!(ran.out.contains("animals:v0"), "what is known is printed all the same");
}
