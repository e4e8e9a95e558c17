//! Every question against a naive answer, on random graphs with cycles and repeated
//! edges.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashMap};

use heirloom_lineage::export::{self, OpenLineageOptions};
use heirloom_lineage::{
    Direction, Edge, EdgeKind, Graph, GraphBuilder, Infos, NodeInfo, NodeKey, NodeState, Options,
    PathLimits, Subgraph, Walk,
};
use proptest::prelude::*;

const TYPES: [&str; 3] = ["a", "b", "c"];

fn edges(runs: u64, versions: u64, most: usize) -> impl Strategy<Value = Vec<Edge>> {
    let edge = (any::<bool>(), 0..runs, 0..versions, 0_i64..4, 0..4).prop_map(
        |(used, run, version, time, extra)| {
            let edge = if used {
                Edge::used(run, version, time)
            } else {
                Edge::produced(run, version, time)
            };
            match extra {
                0 => edge.with_asked("x:latest"),
                1 => edge.with_asked("x:prod").with_paths(["p", "q/r"]),
                _ => edge,
            }
        },
    );
    prop::collection::vec(edge, 0..most)
}

fn infos() -> impl Strategy<Value = Infos> {
    let key = prop_oneof![(0_u64..9).prop_map(NodeKey::Run), (0_u64..9).prop_map(NodeKey::Version)];
    let info = (".{0,6}", prop::option::of(0..TYPES.len()), any::<(bool, bool)>()).prop_map(
        |(name, kind, (prod, deleted))| NodeInfo {
            name,
            type_name: kind.map(|at| TYPES[at].to_owned()),
            aliases: if prod { vec!["prod".to_owned()] } else { Vec::new() },
            state: if deleted { NodeState::Deleted } else { NodeState::Live },
            ..NodeInfo::default()
        },
    );
    prop::collection::hash_map(key, info, 0..18).prop_map(Infos::from_iter)
}

fn key() -> impl Strategy<Value = NodeKey> {
    prop_oneof![(0_u64..9).prop_map(NodeKey::Run), (0_u64..9).prop_map(NodeKey::Version)]
}

fn options() -> impl Strategy<Value = Options> {
    let direction = prop_oneof![Just(Direction::Up), Just(Direction::Down), Just(Direction::Both)];
    let types = || {
        let names = prop::sample::subsequence(TYPES.to_vec(), 0..=2);
        names.prop_map(|names| names.into_iter().map(str::to_owned).collect::<BTreeSet<_>>())
    };
    let filters =
        prop_oneof![1 => Just((BTreeSet::new(), BTreeSet::new())), 1 => (types(), types())];
    (direction, prop::option::of(0_u32..6), filters, prop::option::weighted(0.3, 0_usize..8))
        .prop_map(|(direction, depth, (artifact_types, job_types), limit)| Options {
            direction,
            depth,
            artifact_types,
            job_types,
            limit,
        })
}

fn graph(edges: &[Edge]) -> Graph {
    Graph::from_edges(edges.iter().cloned()).unwrap()
}

fn graph_with(edges: &[Edge], infos: &Infos) -> Graph {
    let mut graph = graph(edges);
    *graph.infos_mut() = infos.clone();
    graph
}

/// Distances by relaxing every edge until nothing changes.
fn naive_distances(
    edges: &[Edge],
    start: NodeKey,
    up: bool,
    depth: Option<u32>,
) -> BTreeMap<NodeKey, u32> {
    let mut distances = BTreeMap::from([(start, 0)]);
    loop {
        let mut changed = false;
        for edge in edges {
            let (near, far) = if up { (edge.to(), edge.from()) } else { (edge.from(), edge.to()) };
            let Some(&here) = distances.get(&near) else { continue };
            if depth.is_some_and(|depth| here >= depth) {
                continue;
            }
            let known = distances.entry(far).or_insert(u32::MAX);
            if here + 1 < *known {
                *known = here + 1;
                changed = true;
            }
        }
        if !changed {
            return distances;
        }
    }
}

struct Naive {
    /// Upward and downward distance of each node.
    nodes: BTreeMap<NodeKey, (Option<u32>, Option<u32>)>,
    edges: Vec<Edge>,
    hidden: usize,
    truncated: bool,
}

/// What the documentation of `Options` and `Subgraph` says, word by word.
fn naive_query(edges: &[Edge], infos: &Infos, start: NodeKey, options: &Options) -> Naive {
    let none = BTreeMap::new;
    let depth = options.depth;
    let ups =
        if options.direction.is_up() { naive_distances(edges, start, true, depth) } else { none() };
    let downs = if options.direction.is_down() {
        naive_distances(edges, start, false, depth)
    } else {
        none()
    };
    let near = |key: &NodeKey| {
        let (up, down) = (ups.get(key), downs.get(key));
        *up.into_iter().chain(down).min().unwrap()
    };
    let all: BTreeSet<NodeKey> = ups.keys().chain(downs.keys()).copied().collect();
    let shows = |key: &NodeKey| {
        let wanted = if key.is_run() { &options.job_types } else { &options.artifact_types };
        *key == start
            || wanted.is_empty()
            || infos.get(*key).is_some_and(|info| wanted.iter().any(|name| info.is_type(name)))
    };
    let mut shown: Vec<NodeKey> = all.iter().copied().filter(shows).collect();
    shown.sort_by_key(|key| (near(key), *key));
    let cut = options.limit.and_then(|limit| shown.get(limit + 1)).map(near);
    let cap = cut.unwrap_or(u32::MAX).min(depth.unwrap_or(u32::MAX));
    if let Some(limit) = options.limit {
        shown.truncate(limit + 1);
    }
    let within = |distance: Option<&u32>| distance.copied().filter(|&distance| distance <= cap);
    let nodes: BTreeMap<_, _> =
        shown.iter().map(|key| (*key, (within(ups.get(key)), within(downs.get(key))))).collect();
    let met = |edge: &&Edge| {
        nodes.contains_key(&edge.from())
            && nodes.contains_key(&edge.to())
            && (ups.get(&edge.to()).is_some_and(|&up| up < cap)
                || downs.get(&edge.from()).is_some_and(|&down| down < cap))
    };
    Naive {
        edges: sorted(edges.iter().filter(met).cloned()),
        hidden: all.iter().filter(|key| !shows(key) && near(key) <= cap).count(),
        truncated: cut.is_some(),
        nodes,
    }
}

fn sorted_keys(keys: impl Iterator<Item = NodeKey>) -> Vec<NodeKey> {
    let mut keys: Vec<NodeKey> = keys.collect();
    keys.sort_unstable();
    keys
}

/// A set of edges in one order.
fn sorted(edges: impl IntoIterator<Item = Edge>) -> Vec<Edge> {
    let mut edges: Vec<Edge> = edges.into_iter().collect();
    edges.sort_by_cached_key(|edge| format!("{edge:?}"));
    edges.dedup();
    edges
}

fn walked(
    edges: &[Edge],
    infos: &Infos,
    start: NodeKey,
    options: &Options,
    noise: bool,
) -> Subgraph {
    let mut walk = Walk::new(start, options.clone());
    let mut rounds = 0;
    while !walk.is_done() {
        let touches = |edge: &Edge| {
            let near = |key| walk.frontier().contains(&key);
            walk.wanted_up().contains(&edge.to())
                || walk.wanted_down().contains(&edge.from())
                || (noise && (near(edge.from()) || near(edge.to())))
        };
        let found: Vec<Edge> = edges.iter().filter(|edge| touches(edge)).rev().cloned().collect();
        walk.supply(found).unwrap();
        rounds += 1;
        assert!(rounds < 100, "a walk ends by itself");
    }
    assert_eq!(walk.levels(), rounds);
    walk.finish(infos).unwrap()
}

/// Nodes that a node leads to, itself included.
fn naive_reach(edges: &[Edge], start: NodeKey) -> BTreeSet<NodeKey> {
    naive_distances(edges, start, false, None).into_keys().collect()
}

fn naive_paths(edges: &[Edge], from: NodeKey, to: NodeKey) -> BTreeSet<Vec<NodeKey>> {
    fn extend(
        next: &HashMap<NodeKey, BTreeSet<NodeKey>>,
        to: NodeKey,
        path: &mut Vec<NodeKey>,
        found: &mut BTreeSet<Vec<NodeKey>>,
    ) {
        let last = *path.last().unwrap();
        if last == to {
            found.insert(path.clone());
            return;
        }
        for &child in next.get(&last).into_iter().flatten() {
            if !path.contains(&child) {
                path.push(child);
                extend(next, to, path, found);
                path.pop();
            }
        }
    }
    let mut next: HashMap<NodeKey, BTreeSet<NodeKey>> = HashMap::new();
    for edge in edges {
        next.entry(edge.from()).or_default().insert(edge.to());
    }
    let mut found = BTreeSet::new();
    if edges.iter().any(|edge| edge.from() == from || edge.to() == from) {
        extend(&next, to, &mut vec![from], &mut found);
    }
    found
}

fn nodes_of(edges: &[Edge]) -> BTreeSet<NodeKey> {
    edges.iter().flat_map(|edge| [edge.from(), edge.to()]).collect()
}

fn every_export(answer: &Subgraph, infos: &Infos) -> [String; 5] {
    [
        export::tree(answer, infos),
        export::json(answer, infos),
        export::dot(answer, infos),
        export::mermaid(answer, infos),
        export::openlineage(answer, infos, &OpenLineageOptions::default()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_query_is_what_its_documentation_says(edges in edges(9, 9, 40), infos in infos(), start in key(), options in options()) {
        let answer = graph_with(&edges, &infos).query(start, &options);
        let naive = naive_query(&edges, &infos, start, &options);
        let nodes: BTreeMap<_, _> = answer.nodes().iter().map(|node| (node.key, (node.upstream(), node.downstream()))).collect();
        prop_assert_eq!(&nodes, &naive.nodes);
        prop_assert_eq!(nodes.len(), answer.len());
        prop_assert_eq!(sorted(answer.edges().map(|edge| edge.to_edge())), naive.edges);
        prop_assert_eq!(answer.edges().count(), answer.edge_count());
        prop_assert_eq!(sorted(answer.edges().map(|edge| edge.to_edge())).len(), answer.edge_count(), "no edge twice");
        prop_assert_eq!((answer.hidden(), answer.is_truncated()), (naive.hidden, naive.truncated));
        prop_assert_eq!(answer.start(), start);
        prop_assert!(answer.nodes().is_sorted_by_key(|node| (node.distance(), node.key)));
        prop_assert!(answer.nodes().iter().all(|node| answer.node(node.key) == Some(node)));
    }

    #[test]
    fn every_node_hangs_together_with_the_start_however_much_is_hidden(edges in edges(9, 9, 40), infos in infos(), start in key(), options in options()) {
        let answer = graph_with(&edges, &infos).query(start, &options);
        let links: Vec<(NodeKey, NodeKey)> = answer.edges().map(|edge| (edge.from, edge.to))
            .chain(answer.indirect().map(|link| (link.from, link.to))).collect();
        for up in [true, false] {
            let mut reached = BTreeSet::from([start]);
            for _ in 0..=answer.len() {
                for &(from, to) in &links {
                    let (near, far) = if up { (to, from) } else { (from, to) };
                    if reached.contains(&near) { reached.insert(far); }
                }
            }
            for node in answer.nodes() {
                let there = if up { node.upstream() } else { node.downstream() };
                prop_assert!(there.is_none() || reached.contains(&node.key), "{} {:?}", node.key, links);
            }
        }
        // Each indirect link is a true way, and one through hidden nodes only.
        for link in answer.indirect() {
            let through: Vec<Edge> = edges.iter()
                .filter(|edge| (edge.from() == link.from || !answer.contains(edge.from())) && (edge.to() == link.to || !answer.contains(edge.to())))
                .cloned().collect();
            prop_assert!(naive_reach(&through, link.from).contains(&link.to));
        }
        prop_assert!(options.is_filtered() || answer.indirect().next().is_none());
    }

    #[test]
    fn only_nodes_reached_through_hidden_ones_have_an_indirect_link(edges in edges(9, 9, 40), infos in infos(), start in key(), options in options(), up in any::<bool>()) {
        let options = Options { direction: if up { Direction::Up } else { Direction::Down }, ..options };
        let answer = graph_with(&edges, &infos).query(start, &options);
        let ends = |from, to| if up { (to, from) } else { (from, to) };
        let direct: Vec<(NodeKey, NodeKey)> = answer.edges().map(|edge| ends(edge.from, edge.to)).collect();
        let distance = |key| answer.node(key).unwrap().distance();
        let lonely = |key: &NodeKey| *key != start
            && !direct.iter().any(|&(near, far)| far == *key && distance(near) + 1 == distance(far));
        let expected: Vec<NodeKey> = sorted_keys(answer.nodes().iter().map(|node| node.key).filter(lonely));
        prop_assert_eq!(sorted_keys(answer.indirect().map(|link| ends(link.from, link.to).1)), expected);
    }

    #[test]
    fn leading_to_keeps_what_is_on_a_way(edges in edges(9, 9, 40), start in key(), options in options(), targets in prop::collection::btree_set(key(), 0..4)) {
        let options = Options { artifact_types: BTreeSet::new(), job_types: BTreeSet::new(), ..options };
        let answer = graph(&edges).query(start, &options);
        let mut expected = BTreeSet::from([start]);
        for up in [true, false] {
            let side = |key| answer.node(key).is_some_and(|node| if up { node.upstream() } else { node.downstream() }.is_some());
            let within: Vec<Edge> = answer.edges().filter(|edge| side(edge.from) && side(edge.to)).map(|edge| edge.to_edge()).collect();
            for node in answer.nodes().iter().filter(|node| side(node.key)) {
                let reached = naive_distances(&within, node.key, up, None);
                if reached.keys().any(|key| targets.contains(key)) { expected.insert(node.key); }
            }
        }
        let part = answer.leading_to(|key| targets.contains(&key));
        prop_assert_eq!(part.nodes().iter().map(|node| node.key).collect::<BTreeSet<_>>(), expected.clone());
        prop_assert!(part.nodes().iter().all(|node| answer.node(node.key) == Some(node)));
        let kept = answer.edges().filter(|edge| expected.contains(&edge.from) && expected.contains(&edge.to));
        prop_assert!(part.edges().eq(kept));
        let between = graph(&edges).between(start, *targets.first().unwrap_or(&start));
        prop_assert!(between.nodes().iter().all(|node| naive_reach(&edges, start).contains(&node.key)));
    }

    #[test]
    fn a_walk_ends_with_the_answer_of_the_whole_graph(edges in edges(9, 9, 40), infos in infos(), start in key(), options in options(), noise in any::<bool>()) {
        let whole = graph_with(&edges, &infos).query(start, &options);
        let walked = walked(&edges, &infos, start, &options, noise);
        prop_assert_eq!(&walked, &whole);
        prop_assert_eq!(every_export(&walked, &infos), every_export(&whole, &infos));
        let mut walk = Walk::new(start, options);
        walk.supply(edges.iter().filter(|edge| edge.from() == start || edge.to() == start).cloned()).unwrap();
        prop_assert_eq!(&walk.finish_with_all(edges, &infos).unwrap(), &whole);
    }

    #[test]
    fn nothing_depends_on_the_order_or_number_of_additions(edges in edges(9, 9, 40), infos in infos(), start in key(), options in options(), seed in any::<u64>()) {
        let one = graph_with(&edges, &infos).query(start, &options);
        let mut again = edges.clone();
        again.extend(edges.iter().step_by(2).cloned());
        let length = again.len().max(1);
        for at in 0..again.len() {
            again.swap(at, (usize::try_from(seed >> 33).unwrap() + at * 7) % length);
        }
        let mut builder = GraphBuilder::new();
        builder.add_edges(again).unwrap();
        let two = builder.build().unwrap();
        prop_assert_eq!(two.edge_count(), sorted(edges.clone()).len());
        let two = Walk::new(start, options).finish_with_all(two.edges().map(|edge| edge.to_edge()), &infos).unwrap();
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(every_export(&one, &infos), every_export(&two, &infos));
    }

    #[test]
    fn the_order_has_causes_first_and_names_every_cycle(edges in edges(6, 6, 24)) {
        let graph = graph(&edges);
        let order = graph.topological_order();
        let place: HashMap<NodeKey, usize> = (0..).zip(order.components()).flat_map(|(at, nodes)| nodes.iter().map(move |&key| (key, at))).collect();
        prop_assert_eq!(order.keys().collect::<BTreeSet<_>>(), nodes_of(&edges));
        prop_assert_eq!(order.keys().count(), graph.node_count());
        for edge in &edges {
            prop_assert!(place[&edge.from()] <= place[&edge.to()]);
        }
        let reach: BTreeMap<NodeKey, BTreeSet<NodeKey>> = graph.keys().map(|key| (key, naive_reach(&edges, key))).collect();
        for a in graph.keys() {
            for b in graph.keys() {
                let together = reach[&a].contains(&b) && reach[&b].contains(&a);
                prop_assert_eq!(together, place[&a] == place[&b]);
            }
        }
        // Whenever several components could come next, the one with the first node does.
        for (at, component) in order.components().iter().enumerate() {
            let ready = order.components()[at..].iter().filter(|nodes| {
                edges.iter().all(|edge| !nodes.contains(&edge.to()) || nodes.contains(&edge.from()) || place[&edge.from()] < at)
            });
            prop_assert_eq!(ready.map(|nodes| nodes[0]).min(), Some(component[0]));
        }
        prop_assert_eq!(order.is_acyclic(), order.components().iter().all(|nodes| nodes.len() == 1));
        let ends = |of: fn(&Edge) -> NodeKey| edges.iter().map(of).collect::<BTreeSet<_>>();
        let without = |taken: BTreeSet<NodeKey>| graph.keys().filter(|key| !taken.contains(key)).collect::<Vec<_>>();
        prop_assert_eq!(graph.roots(), without(ends(Edge::to)));
        prop_assert_eq!(graph.leaves(), without(ends(Edge::from)));
    }

    #[test]
    fn an_answer_orders_and_ends_like_a_graph_of_its_edges(edges in edges(9, 9, 40), start in key(), depth in 1_u32..5) {
        let answer = graph(&edges).query(start, &Options::both().with_depth(depth));
        if answer.edge_count() == 0 { return Ok(()); }
        let part = graph(&answer.edges().map(|edge| edge.to_edge()).collect::<Vec<_>>());
        let set = |keys: Vec<NodeKey>| keys.into_iter().collect::<BTreeSet<_>>();
        prop_assert_eq!(set(answer.roots()), set(part.roots()));
        prop_assert_eq!(set(answer.leaves()), set(part.leaves()));
        let components = |order: heirloom_lineage::Order| order.components().iter().cloned().collect::<BTreeSet<_>>();
        prop_assert_eq!(components(answer.topological_order()), components(part.topological_order()));
    }

    #[test]
    fn paths_are_all_simple_paths_shortest_first(edges in edges(5, 5, 18), from in key(), to in key(), most in 0_usize..6) {
        let graph = graph(&edges);
        let naive = naive_paths(&edges, from, to);
        let all = graph.paths(from, to, &PathLimits { paths: usize::MAX, ..PathLimits::default() });
        prop_assert!(all.is_complete());
        let paths: Vec<Vec<NodeKey>> = all.paths().iter().map(|path| path.nodes().to_vec()).collect();
        prop_assert_eq!(&paths.iter().cloned().collect::<BTreeSet<_>>(), &naive);
        prop_assert_eq!(paths.len(), naive.len());
        prop_assert!(all.paths().is_sorted_by_key(|path| (path.levels(), path.nodes())));
        prop_assert_eq!(graph.shortest_path(from, to), all.paths().first().cloned());

        let few = graph.paths(from, to, &PathLimits { paths: most, ..PathLimits::default() });
        prop_assert_eq!(few.paths(), &all.paths()[..most.min(paths.len())]);
        prop_assert_eq!(few.is_complete(), paths.len() <= most);
        let bound = u32::try_from(most).unwrap();
        let short = graph.paths(from, to, &PathLimits { levels: Some(bound), ..PathLimits::default() });
        prop_assert!(short.paths().iter().eq(all.paths().iter().filter(|path| path.levels() <= most)));
        prop_assert!(short.is_complete());
        let tired = graph.paths(from, to, &PathLimits { steps: 3, ..PathLimits::default() });
        prop_assert_eq!(tired.paths(), &all.paths()[..tired.paths().len()]);

        let answer = graph.downstream(from);
        let within = answer.paths(from, to, &PathLimits { paths: usize::MAX, ..PathLimits::default() });
        if graph.contains(from) {
            prop_assert_eq!(within.paths().iter().map(|path| path.nodes().to_vec()).collect::<BTreeSet<_>>(), naive);
        }
        prop_assert_eq!(answer.shortest_path(from, to).map(|path| path.levels()),
            if from == to { Some(0) } else { graph.shortest_path(from, to).map(|path| path.levels()) });
    }

    #[test]
    fn impact_hits_what_descends_and_shows_the_way(edges in edges(9, 9, 40), infos in infos(), start in key()) {
        let graph = graph_with(&edges, &infos);
        let impact = graph.impact(start, |_, info| info.has_alias("prod"));
        let descends = naive_reach(&edges, start);
        let prod = |key: &NodeKey| *key != start && key.is_version() && infos.get(*key).is_some_and(|info| info.has_alias("prod"));
        let hits: BTreeSet<NodeKey> = descends.iter().copied().filter(prod).collect();
        prop_assert_eq!(impact.hits.iter().map(|node| node.key).collect::<BTreeSet<_>>(), hits.clone());
        prop_assert!(impact.hits.is_sorted_by_key(|node| node.distance()));
        let leads = |key: &NodeKey| *key == start || naive_reach(&edges, *key).iter().any(|end| hits.contains(end));
        let between: BTreeSet<NodeKey> = descends.iter().copied().filter(leads).collect();
        prop_assert_eq!(impact.between.nodes().iter().map(|node| node.key).collect::<BTreeSet<_>>(), between.clone());
        let within = edges.iter().filter(|edge| between.contains(&edge.from()) && between.contains(&edge.to()));
        prop_assert_eq!(sorted(impact.between.edges().map(|edge| edge.to_edge())), sorted(within.cloned()));
    }

    #[test]
    fn a_tree_prints_every_link_once_and_below_its_node(edges in edges(9, 9, 40), start in key(), up in any::<bool>()) {
        let options = if up { Options::up() } else { Options::down() };
        let answer = graph(&edges).query(start, &options);
        let text = export::tree(&answer, &Infos::new());
        let mut ancestors: Vec<NodeKey> = Vec::new();
        let mut links = BTreeSet::new();
        let mut printed = BTreeSet::new();
        for line in text.lines() {
            let depth = line.chars().take_while(|c| "│ ├└─".contains(*c)).count() / 4;
            let key: NodeKey = line.split_whitespace().find_map(|word| word.trim_end_matches(',').parse().ok()).unwrap();
            ancestors.truncate(depth);
            if let Some(&parent) = ancestors.last() {
                prop_assert!(links.insert(if up { (key, parent) } else { (parent, key) }), "{}", text);
            }
            prop_assert_eq!(!printed.insert(key), line.ends_with("(see above)"), "{}", text);
            ancestors.push(key);
        }
        prop_assert_eq!(links, answer.edges().map(|edge| (edge.from, edge.to)).collect::<BTreeSet<_>>());
        prop_assert_eq!(printed.len(), answer.len());
    }

    #[test]
    fn each_part_of_a_tree_both_ways_has_the_nodes_of_its_side(edges in edges(9, 9, 40), start in key(), options in options()) {
        let options = Options { direction: Direction::Both, ..options };
        let infos = Infos::new();
        let answer = graph_with(&edges, &infos).query(start, &options);
        let mut parts: [BTreeSet<NodeKey>; 2] = [BTreeSet::from([start]), BTreeSet::from([start])];
        let mut part = 0;
        for line in export::tree(&answer, &infos).lines() {
            match line {
                "upstream:" => part = 0,
                "downstream:" => part = 1,
                _ => parts[part].extend(line.split_whitespace().find_map(|word| word.trim_end_matches(',').parse::<NodeKey>().ok())),
            }
        }
        let side = |of: fn(&heirloom_lineage::Node) -> Option<u32>| {
            answer.nodes().iter().filter(|node| of(node).is_some()).map(|node| node.key).collect::<BTreeSet<_>>()
        };
        prop_assert_eq!(parts, [side(heirloom_lineage::Node::upstream), side(heirloom_lineage::Node::downstream)]);
    }

    #[test]
    fn openlineage_events_hold_the_edges_of_each_run(edges in edges(9, 9, 40), start in key()) {
        let answer = graph(&edges).query(start, &Options::both());
        let infos = Infos::new();
        let events = export::run_events(&answer, &infos, &OpenLineageOptions::default());
        let runs = answer.nodes().iter().filter(|node| node.key.is_run()).count();
        prop_assert_eq!(events.len(), runs);
        prop_assert_eq!(events.iter().map(|event| &event.run.run_id).collect::<BTreeSet<_>>().len(), runs);
        prop_assert!(events.is_sorted_by_key(|event| &event.event_time));
        let pairs = |kind| answer.edges().filter(|edge| edge.kind() == kind).map(|edge| (edge.from, edge.to)).collect::<BTreeSet<_>>().len();
        prop_assert_eq!(events.iter().map(|event| event.inputs.len()).sum::<usize>(), pairs(EdgeKind::Used));
        prop_assert_eq!(events.iter().map(|event| event.outputs.len()).sum::<usize>(), pairs(EdgeKind::Produced));
    }
}
