//! What exports look like, and that no name breaks out of its place.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use heirloom_lineage::export::{self, OpenLineageOptions};
use heirloom_lineage::{
    Edge, Graph, Infos, NodeInfo, NodeKey, NodeState, Options, PathLimits, RunOutcome, Subgraph,
};
use serde_json::Value;

const PREPARE: u64 = 1;
const TRAIN: u64 = 2;
const RAW: u64 = 10;
const ANIMALS: u64 = 11;
const MODEL: u64 = 12;

fn project(name: &str, type_name: &str) -> NodeInfo {
    let entity = Some("local".to_owned());
    NodeInfo {
        entity,
        project: Some("default".to_owned()),
        ..NodeInfo::new(name).with_type(type_name)
    }
}

/// raw → prepare → animals → train → model; train also read raw.
fn example() -> Graph {
    let mut graph = Graph::from_edges([
        Edge::used(PREPARE, RAW, 1_000_000),
        Edge::produced(PREPARE, ANIMALS, 2_000_000),
        Edge::used(TRAIN, ANIMALS, 3_000_000).with_asked("animals:latest").with_paths(["cat.png"]),
        Edge::used(TRAIN, ANIMALS, 3_500_000).with_asked("animals:v3"),
        Edge::used(TRAIN, RAW, 3_200_000),
        Edge::produced(TRAIN, MODEL, 4_000_000),
    ])
    .unwrap();
    let outcome = Some(RunOutcome::Finished);
    graph.infos_mut().extend([
        (NodeKey::Run(PREPARE), project("prepare-7", "prepare")),
        (NodeKey::Run(TRAIN), NodeInfo { outcome, ..project("train-1", "train") }),
        (
            NodeKey::Version(RAW),
            NodeInfo { state: NodeState::Deleted, ..project("raw:v0", "dataset") },
        ),
        (
            NodeKey::Version(ANIMALS),
            project("animals:v3", "dataset").with_alias("latest").with_alias("prod"),
        ),
        (NodeKey::Version(MODEL), project("churn:v8", "model")),
    ]);
    graph
}

/// A version, the run that made it and one it used, all with this name.
fn named(name: &str) -> (Subgraph, Infos) {
    let graph = Graph::from_edges([
        Edge::produced(1, 2, 0),
        Edge::used(1, 3, 0).with_asked(name).with_paths([name]),
    ])
    .unwrap();
    let info = || NodeInfo {
        entity: Some(name.to_owned()),
        project: Some(name.to_owned()),
        ..NodeInfo::new(name).with_type(name).with_alias(name)
    };
    let infos = graph.keys().map(|key| (key, info())).collect();
    (graph.upstream(NodeKey::Version(2)), infos)
}

const HOSTILE: [&str; 12] = [
    "\"]; subgraph x",
    "a\nb\r\n\tc",
    "\\\" -> n0 [label=\"",
    "</script><b>&amp;&quot;",
    "(see above)\u{1b}[2J\u{7}\u{0}",
    "\u{202e}gnp.exe\u{2066}",
    "[x](y){z}|w|",
    "`md` **bold** #quot; %% %%{init: {}}%%",
    "1. list",
    "end",
    "",
    "\\",
];

#[test]
fn tree_upward() {
    let graph = example();
    let answer = graph.upstream(NodeKey::Version(MODEL));
    assert_eq!(
        export::tree(&answer, graph.infos()),
        "\
churn:v8 (model)
└── produced by train-1 (train)
    ├── used animals:v3 (dataset) [latest, prod], as animals:latest
    │   └── produced by prepare-7 (prepare)
    │       └── used raw:v0 (dataset, deleted)
    └── used raw:v0 (dataset, deleted) (see above)
"
    );
}

#[test]
fn tree_both_ways_filtered_and_cut() {
    let graph = example();
    let answer = graph.query(NodeKey::Version(ANIMALS), &Options::both().with_job_type("train"));
    assert_eq!(
        export::tree(&answer, graph.infos()),
        "\
animals:v3 (dataset) [latest, prod]
upstream:
└── indirectly from raw:v0 (dataset, deleted)
downstream:
└── used by train-1 (train), as animals:latest
    └── produced churn:v8 (model)
(1 hidden by type)
"
    );
    let answer = graph.query(NodeKey::Version(ANIMALS), &Options::down().with_limit(1));
    assert_eq!(
        export::tree(&answer, graph.infos()),
        "\
animals:v3 (dataset) [latest, prod]
└── used by train-1 (train), as animals:latest
(cut after 2 nodes; there are more)
"
    );
}

#[test]
fn a_cycle_ends_in_a_tree() {
    let graph = Graph::from_edges([Edge::used(1, 2, 0), Edge::produced(1, 2, 1)]).unwrap();
    let answer = graph.upstream(NodeKey::Version(2));
    let text = export::tree(&answer, graph.infos());
    assert_eq!(text, "version/2\n└── produced by run/1\n    └── used version/2 (see above)\n");
    let cycles = graph.topological_order();
    assert_eq!(cycles.cycles().collect::<Vec<_>>(), [[NodeKey::Run(1), NodeKey::Version(2)]]);
}

#[test]
fn chains_of_any_length_neither_overflow_nor_explode() {
    let length = 200_000;
    let link = |at: u64| [Edge::produced(at, at, 0), Edge::used(at, at + 1, 0)];
    let graph = Graph::from_edges((0..length).flat_map(link)).unwrap();
    let end = NodeKey::Version(length);
    let answer = graph.upstream(NodeKey::Version(0));
    assert_eq!(answer.node(end).unwrap().distance(), 2 * u32::try_from(length).unwrap());
    assert_eq!(graph.topological_order().components().len(), graph.node_count());
    assert_eq!(graph.shortest_path(end, NodeKey::Version(0)).unwrap().levels(), graph.edge_count());
    assert_eq!(graph.paths(end, NodeKey::Version(0), &PathLimits::default()).paths().len(), 1);
    let text = export::tree(&answer, graph.infos());
    assert!(text.len() < 200 * graph.edge_count(), "{} bytes", text.len());
    assert!(text.contains("(continued below)\n\n") || text.contains("(continued)\n"));
    for key in [NodeKey::Version(length / 2), end] {
        assert!(
            text.contains(&format!("used {key}\n")) || text.contains(&format!("used {key} (")),
            "{key}"
        );
    }
    assert_eq!(graph.downstream(end).len(), answer.len());
}

#[test]
fn json_is_node_link() {
    let graph = example();
    let answer = graph.query(NodeKey::Version(ANIMALS), &Options::down());
    let document: Value = serde_json::from_str(&export::json(&answer, graph.infos())).unwrap();
    let expected = serde_json::json!({
        "directed": true,
        "multigraph": true,
        "graph": {"start": "version/11", "direction": "down", "hidden": 0, "truncated": false},
        "nodes": [
            {"id": "version/11", "kind": "version", "name": "animals:v3", "type": "dataset",
             "aliases": ["latest", "prod"], "state": "live", "entity": "local", "project": "default",
             "distance": 0, "downstream": 0},
            {"id": "run/2", "kind": "run", "name": "train-1", "type": "train", "state": "live",
             "entity": "local", "project": "default", "distance": 1, "downstream": 1},
            {"id": "version/12", "kind": "version", "name": "churn:v8", "type": "model",
             "state": "live", "entity": "local", "project": "default", "distance": 2, "downstream": 2},
        ],
        "links": [
            {"source": "version/11", "target": "run/2", "kind": "used",
             "time": "1970-01-01T00:00:03.000000Z", "asked": "animals:latest", "paths": ["cat.png"]},
            {"source": "version/11", "target": "run/2", "kind": "used",
             "time": "1970-01-01T00:00:03.500000Z", "asked": "animals:v3"},
            {"source": "run/2", "target": "version/12", "kind": "produced",
             "time": "1970-01-01T00:00:04.000000Z"},
        ],
    });
    assert_eq!(document, expected);
}

#[test]
fn dot_draws_one_arrow_per_pair() {
    let graph = example();
    let answer = graph.query(NodeKey::Run(TRAIN), &Options::both().with_depth(1));
    assert_eq!(
        export::dot(&answer, graph.infos()),
        r#"digraph lineage {
  rankdir=LR;
  node [fontname="sans-serif"];
  "run/2" [label="train-1\ntrain", shape=box, style=rounded, penwidth=2];
  "version/10" [label="raw:v0\ndataset, deleted", shape=box, color=gray, fontcolor=gray];
  "version/11" [label="animals:v3\ndataset\nlatest, prod", shape=box];
  "version/12" [label="churn:v8\nmodel", shape=box];
  "version/10" -> "run/2" [label="used"];
  "version/11" -> "run/2" [label="used"];
  "run/2" -> "version/12" [label="produced"];
}
"#
    );
}

#[test]
fn mermaid_draws_one_arrow_per_pair() {
    let graph = example();
    let answer = graph.query(NodeKey::Run(TRAIN), &Options::both().with_depth(1));
    assert_eq!(
        export::mermaid(&answer, graph.infos()),
        r#"flowchart LR
  n0(["train-1<br/>train"])
  n1["raw:v0<br/>dataset#44; deleted"]:::deleted
  n2["animals:v3<br/>dataset<br/>latest#44; prod"]
  n3["churn:v8<br/>model"]
  n1 -->|used| n0
  n2 -->|used| n0
  n0 -->|produced| n3
  style n0 stroke-width:3px
  classDef deleted stroke-dasharray:4,opacity:0.6
"#
    );
}

#[test]
fn hidden_ways_are_drawn_apart() {
    let graph = example();
    let answer = graph.query(NodeKey::Version(MODEL), &Options::up().with_job_type("prepare"));
    let text = export::dot(&answer, graph.infos());
    assert!(text.contains("  \"version/11\" -> \"version/12\" [style=dashed];\n"), "{text}");
    assert!(export::mermaid(&answer, graph.infos()).contains(" -.-> n0\n"));
    let document = export::node_link(&answer, graph.infos());
    let kinds: Vec<_> = document.links.iter().map(|link| link.kind).collect();
    assert!(kinds.contains(&export::LinkKind::Indirect));
}

#[test]
fn openlineage_has_one_event_per_run() {
    let graph = example();
    let answer = graph.upstream(NodeKey::Version(MODEL));
    let options = OpenLineageOptions { authority: "lab.example:8080".to_owned() };
    let text = export::openlineage(&answer, graph.infos(), &options);
    let events: Value = serde_json::from_str(&text).unwrap();
    let events = events.as_array().unwrap();
    assert_eq!(events.len(), 2);
    events.iter().for_each(assert_run_event);
    let train = &events[1];
    assert_eq!(train["eventType"], "COMPLETE");
    assert_eq!(train["eventTime"], "1970-01-01T00:00:04.000000Z");
    assert_eq!(train["job"]["namespace"], "heirloom://lab.example:8080/local/default");
    assert_eq!(train["job"]["name"], "train");
    let names = |list: &str| {
        let sets = train[list].as_array().unwrap().iter();
        sets.map(|set| {
            let version = &set["facets"]["version"]["datasetVersion"];
            format!("{}@{}", set["name"].as_str().unwrap(), version.as_str().unwrap())
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(names("inputs"), ["raw@v0", "animals@v3"]);
    assert_eq!(names("outputs"), ["churn@v8"]);
    assert_eq!(train["inputs"][1]["facets"]["tags"]["tags"][1]["value"], "prod");
    assert_eq!(events[0]["eventType"], "OTHER", "nothing is claimed of a run of unknown outcome");
}

#[test]
fn hostile_names_stay_in_their_place() {
    let shape = |text: &str| text.lines().count();
    let (answer, infos) = named("plain");
    let plain = [
        export::tree(&answer, &infos),
        export::dot(&answer, &infos),
        export::mermaid(&answer, &infos),
    ];
    for name in HOSTILE {
        let (answer, infos) = named(name);
        let texts = [
            export::tree(&answer, &infos),
            export::dot(&answer, &infos),
            export::mermaid(&answer, &infos),
        ];
        for (text, plain) in texts.iter().zip(&plain) {
            assert_eq!(shape(text), shape(plain), "{name:?}: {text}");
            let seen =
                |c: char| c == '\n' || !c.is_control() && !('\u{2028}'..='\u{2069}').contains(&c);
            assert!(text.chars().all(seen), "{name:?}: {text}");
        }
        assert_eq!(outside_quotes_dot(&texts[1]), outside_quotes_dot(&plain[1]), "{name:?}");
        assert_eq!(
            outside_quotes_mermaid(&texts[2]),
            outside_quotes_mermaid(&plain[2]),
            "{name:?}"
        );

        let document: Value = serde_json::from_str(&export::json(&answer, &infos)).unwrap();
        let shown = |key: &str| if name.is_empty() { key.to_owned() } else { name.to_owned() };
        assert_eq!(document["nodes"][0]["name"], shown("version/2"));
        assert_eq!(document["links"][1]["paths"][0], name);
        let options = OpenLineageOptions::default();
        let events: Value =
            serde_json::from_str(&export::openlineage(&answer, &infos, &options)).unwrap();
        assert_run_event(&events[0]);
        assert_eq!(events[0]["inputs"][0]["name"], shown("version/3"));
    }
}

/// What Graphviz's lexer sees outside of quoted strings.
fn outside_quotes_dot(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => drop(chars.next()),
            c if !quoted => out.push(c),
            _ => {}
        }
    }
    assert!(!quoted, "{text}");
    out
}

/// What Mermaid's lexer sees outside of quoted strings, in which there are no escapes;
/// inside, only the line breaks that the export put there may be markup.
fn outside_quotes_mermaid(text: &str) -> String {
    let parts: Vec<&str> = text.split('"').collect();
    assert_eq!(parts.len() % 2, 1, "{text}");
    for quoted in parts.iter().skip(1).step_by(2) {
        let rest = quoted.replace("<br/>", "");
        assert!(
            !rest.contains(['<', '>', '`', '*', '[', ']', '{', '}', '(', ')', '|', '%']),
            "{quoted}"
        );
    }
    parts.into_iter().step_by(2).collect()
}

/// The required properties, types and formats of a run event in OpenLineage 2-0-2.
fn assert_run_event(event: &Value) {
    let text =
        |value: &Value| value.as_str().unwrap_or_else(|| panic!("text in {event}")).to_owned();
    let facet = |value: &Value| {
        assert!(text(&value["_producer"]).starts_with("https://"));
        assert!(text(&value["_schemaURL"]).starts_with("https://openlineage.io/spec/facets/"));
    };
    let time = text(&event["eventTime"]);
    assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
    assert!(text(&event["producer"]).starts_with("https://"));
    assert_eq!(
        event["schemaURL"],
        "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
    );
    assert!(
        ["START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"]
            .contains(&text(&event["eventType"]).as_str())
    );
    let run = text(&event["run"]["runId"]);
    assert_eq!(run.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{run}");
    assert!(text(&event["job"]["namespace"]).starts_with("heirloom://"));
    text(&event["job"]["name"]);
    event["job"]["facets"].as_object().unwrap().values().for_each(facet);
    for list in ["inputs", "outputs"] {
        for set in event[list].as_array().unwrap() {
            assert!(text(&set["namespace"]).starts_with("heirloom://"));
            text(&set["name"]);
            let facets = set["facets"].as_object().unwrap();
            facets.values().for_each(facet);
            text(&facets["version"]["datasetVersion"]);
        }
    }
}
