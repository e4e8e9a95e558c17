//! Times building and querying a graph of a million edges. Run it in release:
//! `cargo run --release -p heirloom-lineage --example bench_upstream`.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::time::{Duration, Instant};

use heirloom_lineage::{Edge, Graph, NodeKey, Options, Subgraph, export};

const EDGES: usize = 1_000_000;

fn main() {
    for (what, (start, edges)) in
        [("in order", sorted_edges()), ("shuffled, random ids", shuffled_edges())]
    {
        println!("{EDGES} edges {what}");
        let (built, graph) = time(|| Graph::from_edges(edges));
        let graph = graph.expect("ids fit in 63 bits");
        report("build", built, &format!("{} nodes", graph.node_count()));

        let mut times: Vec<(Duration, Subgraph)> =
            (0..9).map(|_| time(|| graph.upstream(start))).collect();
        times.sort_by_key(|(took, _)| *took);
        let (median, answer) = &times[times.len() / 2];
        let size =
            |answer: &Subgraph| format!("{} nodes, {} edges", answer.len(), answer.edge_count());
        report("upstream, median of 9", *median, &size(answer));
        report("  fastest", times[0].0, "");
        report("  slowest", times[times.len() - 1].0, "");

        let near = Options::up().with_limit(1000);
        let (took, answer) = time(|| graph.query(start, &near));
        report("upstream, 1,000 nearest", took, &size(&answer));
        let typed = Options::up().with_job_type("train");
        let (took, answer) = time(|| graph.query(start, &typed));
        report("upstream, filtered by type", took, &size(&answer));
        let (took, answer) = time(|| graph.query(start, &Options::both()));
        report("both ways", took, &size(&answer));
        let (took, order) = time(|| graph.topological_order());
        report("topological order", took, &format!("{} components", order.components().len()));
        let (took, text) = time(|| export::tree(&times[0].1, graph.infos()));
        report("tree", took, &format!("{} bytes", text.len()));
        let (took, text) = time(|| export::json(&times[0].1, graph.infos()));
        report("json", took, &format!("{} bytes", text.len()));
    }
}

/// Runs that use two rather recent versions and produce two new ones; and a version at
/// seven tenths of the history to start from.
fn sorted_edges() -> (NodeKey, Vec<Edge>) {
    let runs = EDGES as u64 / 4;
    let mut random = Random(7);
    let mut edges = Vec::with_capacity(EDGES);
    for run in 0..runs {
        let time = i64::try_from(run).expect("small");
        for _ in 0..2 {
            let back = 1 + random.below(2 * run.min(3000) + 1);
            edges.push(Edge::used(run, (2 * run).saturating_sub(back), time));
        }
        edges.extend([2 * run, 2 * run + 1].map(|version| Edge::produced(run, version, time)));
    }
    (NodeKey::Version(runs * 2 * 7 / 10), edges)
}

/// The same graph as a database with random ids would give it.
fn shuffled_edges() -> (NodeKey, Vec<Edge>) {
    let (start, mut edges) = sorted_edges();
    let scatter = |id: u64| id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
    for edge in &mut edges {
        (edge.run, edge.version) = (scatter(edge.run), scatter(edge.version));
    }
    let mut random = Random(11);
    for at in (1..edges.len()).rev() {
        let other = random.below(at as u64 + 1);
        edges.swap(at, usize::try_from(other).expect("below the length"));
    }
    (NodeKey::Version(scatter(start.id())), edges)
}

fn time<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let result = work();
    (begin.elapsed(), result)
}

fn report(what: &str, took: Duration, size: &str) {
    println!("  {what:<28} {:>9.2} ms   {size}", took.as_secs_f64() * 1e3);
}

/// A small generator (xorshift64*): the same graph every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound
    }
}
