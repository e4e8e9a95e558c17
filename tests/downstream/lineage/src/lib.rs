//! A recall: a raw data set turned out to be wrong; what must be taken out of
//! production, and in which order is the work done again?

use heirloom_lineage::{Edge, Error, Graph, NodeInfo, NodeKey};

/// One step of a pipeline: a run, what it used and what it produced.
pub struct Step {
    pub run: u64,
    pub used: Vec<u64>,
    pub produced: Vec<u64>,
}

/// The graph of `steps`; version `deployed` bears the alias `prod`.
pub fn graph(steps: &[Step], deployed: u64) -> Result<Graph, Error> {
    let edges = (0_i64..).zip(steps).flat_map(|(time, step)| {
        let used = step.used.iter().map(move |version| Edge::used(step.run, *version, time));
        let made = step.produced.iter();
        used.chain(made.map(move |version| Edge::produced(step.run, *version, time)))
    });
    let mut graph = Graph::from_edges(edges)?;
    let name = format!("model-{deployed}");
    let info = NodeInfo::new(name).with_type("model").with_alias("prod");
    graph.infos_mut().insert(NodeKey::Version(deployed), info);
    Ok(graph)
}

/// Versions in production that descend from `bad`.
pub fn recall(graph: &Graph, bad: u64) -> Vec<NodeKey> {
    let impact = graph.impact(NodeKey::Version(bad), |_, info| info.has_alias("prod"));
    impact.hits.into_iter().map(|node| node.key).collect()
}

/// Runs to repeat once `bad` is mended, in order.
pub fn redo(graph: &Graph, bad: u64) -> Vec<NodeKey> {
    let affected = graph.downstream(NodeKey::Version(bad));
    affected.topological_order().keys().filter(|key| matches!(key, NodeKey::Run(_))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 → run 1 → 11 → run 2 → 12 (deployed); 20 → run 3 → 21, unrelated.
    fn steps() -> Vec<Step> {
        let step = |run, used: u64, produced: u64| Step {
            run,
            used: vec![used],
            produced: vec![produced],
        };
        vec![step(1, 10, 11), step(2, 11, 12), step(3, 20, 21)]
    }

    #[test]
    fn only_descendants_in_production_are_recalled() {
        let graph = graph(&steps(), 12).unwrap();
        assert_eq!(recall(&graph, 10), [NodeKey::Version(12)]);
        assert_eq!(recall(&graph, 20), []);
    }

    #[test]
    fn work_is_redone_in_order() {
        let graph = graph(&steps(), 12).unwrap();
        assert_eq!(redo(&graph, 10), [NodeKey::Run(1), NodeKey::Run(2)]);
        assert_eq!(redo(&graph, 12), []);
    }

    #[test]
    fn cycles_end() {
        let step = Step { run: 1, used: vec![10], produced: vec![10, 11] };
        let graph = graph(&[step], 11).unwrap();
        assert_eq!(recall(&graph, 10), [NodeKey::Version(11)]);
    }
}
