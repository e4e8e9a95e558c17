//! Lineage questions: the catalog feeds the engine breadth-first, in batches,
//! and once with everything when a walk outgrows them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use heirloom_api::{
    DeletionDoc, LineageDoc, LineageEdge, LineageNode, LineageQuery, Problem, Towards,
};
use heirloom_catalog::{CatalogExt, EdgeKind, EdgeRow, View};
use heirloom_core::{Alias, Caller, CollectionId, RunId, Timestamp, VersionId, VersionIndex};
use heirloom_lineage::{Edge, Infos, NodeKey, Options, Subgraph, Walk};

use crate::delete::deletions;
use crate::problem::Failure;
use crate::{Inner, access, docs};

/// Rows fetched at once for names and states.
const BATCH: usize = 1000;

pub(crate) fn lineage(
    inner: &Inner,
    caller: &Caller,
    query: &LineageQuery,
) -> Result<LineageDoc, Problem> {
    inner.catalog.view(|view| answer(view, caller, query)).map_err(|failure: Failure| failure.0)
}

fn answer(view: &dyn View, caller: &Caller, query: &LineageQuery) -> Result<LineageDoc, Failure> {
    let (start, _, _) = access::version(view, caller, query.start)?;
    let root = docs::version_ref(view, &start)?;
    let options = match query.towards {
        Towards::Up => Options::up(),
        Towards::Down => Options::down(),
        Towards::Both => Options::both(),
    };
    let options = match query.depth {
        Some(depth) => options.with_depth(depth),
        None => options,
    };
    let reached = walk(view, NodeKey::Version(query.start.get()), options)?;
    describe(view, caller, root, &reached)
}

fn walk(view: &dyn View, start: NodeKey, options: Options) -> Result<Subgraph, Failure> {
    let mut walk = Walk::new(start, options);
    while !walk.is_done() {
        if walk.is_large() {
            let mut all = Vec::new();
            view.all_edges(&mut |row| all.push(engine_edge(row)))?;
            return walk.finish_with_all(all, &Infos::new()).map_err(engine_problem);
        }
        // Only the side that leads on: a data set may have been used by
        // thousands of runs that an upstream question is not about.
        let mut rows = Vec::new();
        for (wanted, upwards) in [(walk.wanted_up(), true), (walk.wanted_down(), false)] {
            let runs: Vec<RunId> = wanted
                .iter()
                .filter(|key| key.is_run())
                .map(|key| RunId::from_random(key.id()))
                .collect();
            let versions: Vec<VersionId> = wanted
                .iter()
                .filter(|key| key.is_version())
                .map(|key| VersionId::from_random(key.id()))
                .collect();
            let (of_runs, of_versions) = match upwards {
                true => (EdgeKind::Used, EdgeKind::Produced),
                false => (EdgeKind::Produced, EdgeKind::Used),
            };
            for batch in runs.chunks(BATCH) {
                rows.extend(view.edges_of_runs(batch, Some(of_runs))?);
            }
            for batch in versions.chunks(BATCH) {
                rows.extend(view.edges_of_versions(batch, Some(of_versions))?);
            }
        }
        walk.supply(rows.into_iter().map(engine_edge)).map_err(engine_problem)?;
    }
    walk.finish(&Infos::new()).map_err(engine_problem)
}

fn engine_edge(row: EdgeRow) -> Edge {
    let (run, version, at) = (row.run.get(), row.version.get(), row.at.micros());
    let edge = match row.kind {
        EdgeKind::Produced => Edge::produced(run, version, at),
        EdgeKind::Used => Edge::used(run, version, at),
    };
    match row.asked {
        Some(asked) => edge.with_asked(asked),
        None => edge,
    }
}

fn engine_problem(error: impl std::error::Error) -> Failure {
    Problem::invalid(format!("the lineage graph cannot be walked: {error}")).into()
}

/// Adds names and states; what the caller may not see is left out, with its edges.
fn describe(
    view: &dyn View,
    caller: &Caller,
    root: heirloom_api::VersionRef,
    reached: &Subgraph,
) -> Result<LineageDoc, Failure> {
    let keys: Vec<NodeKey> = reached.nodes().iter().map(|node| node.key).collect();
    let mut nodes = Vec::with_capacity(keys.len());
    let mut shown = Vec::with_capacity(keys.len());
    let mut homes = HashMap::new();
    let mut aliases: HashMap<CollectionId, HashMap<VersionIndex, Vec<Alias>>> = HashMap::new();
    let mut projects = HashMap::new();
    // Where in `nodes` those are that were deleted.
    let mut tombstones: HashMap<CollectionId, BTreeMap<VersionIndex, usize>> = HashMap::new();
    for batch in keys.chunks(BATCH) {
        let pick = |wanted: bool| {
            batch.iter().filter_map(move |key| match key {
                NodeKey::Run(id) if wanted => Some(*id),
                NodeKey::Version(id) if !wanted => Some(*id),
                _ => None,
            })
        };
        let runs: Vec<RunId> = pick(true).map(RunId::from_random).collect();
        let versions: Vec<VersionId> = pick(false).map(VersionId::from_random).collect();
        for run in view.runs(&runs)? {
            if let Entry::Vacant(slot) = projects.entry(run.project) {
                slot.insert(access::may_read(view, caller, run.project)?);
            }
            if let Some(Some(project)) = projects.get(&run.project) {
                shown.push(NodeKey::Run(run.id.get()));
                nodes.push(LineageNode::Run {
                    run: docs::run_ref(&run, project),
                    display_name: run.display_name,
                    job_type: run.job_type,
                    state: run.state,
                    started_at: run.started_at,
                });
            }
        }
        for version in view.versions(&versions)? {
            if let Entry::Vacant(slot) = homes.entry(version.collection) {
                slot.insert(access::home_of(view, version.collection)?);
            }
            let Some((collection, project)) = homes.get(&version.collection) else { continue };
            if caller.role_in(&project.entity, &project.name).is_none()
                && access::visible_version(view, caller, version.id)?.is_none()
            {
                continue;
            }
            shown.push(NodeKey::Version(version.id.get()));
            let held = match aliases.entry(version.collection) {
                Entry::Occupied(held) => held.into_mut(),
                // A collection has few aliases and may have many versions here.
                Entry::Vacant(slot) => {
                    let mut held: HashMap<VersionIndex, Vec<Alias>> = HashMap::new();
                    for row in view.aliases(version.collection)? {
                        held.entry(row.index).or_default().push(row.alias);
                    }
                    slot.insert(held)
                }
            };
            if !version.state.is_committed() {
                let gone = tombstones.entry(version.collection).or_default();
                gone.insert(version.index, nodes.len());
            }
            nodes.push(LineageNode::Version {
                version: heirloom_api::VersionRef {
                    id: version.id,
                    entity: project.entity.clone(),
                    project: project.name.clone(),
                    name: collection.name.clone(),
                    index: version.index,
                },
                artifact_type: collection.artifact_type.clone(),
                aliases: held.get(&version.index).cloned().unwrap_or_default(),
                state: docs::state(version.state),
                deleted: None,
                digest: version.digest,
                created_at: version.created_at,
            });
        }
    }
    for (collection, gone) in tombstones {
        let known = deletions(view, collection, gone.keys().copied().collect())?;
        for (index, (at, by)) in known {
            if let Some(LineageNode::Version { deleted, .. }) =
                gone.get(&index).and_then(|at| nodes.get_mut(*at))
            {
                *deleted = Some(DeletionDoc { at, by });
            }
        }
    }
    shown.sort_unstable();
    let all = shown.len() == keys.len();
    let visible = |key: NodeKey| all || shown.binary_search(&key).is_ok();
    let mut edges: Vec<LineageEdge> = reached
        .edges()
        .filter(|edge| visible(edge.from) && visible(edge.to))
        .map(|edge| {
            let produced = edge.from.is_run();
            let (run, version) = if produced { (edge.from, edge.to) } else { (edge.to, edge.from) };
            LineageEdge {
                run: RunId::from_random(run.id()),
                version: VersionId::from_random(version.id()),
                produced,
                at: Timestamp::from_micros(edge.time),
                asked: edge.asked.map(|asked| asked.to_string()),
            }
        })
        .collect();
    edges.sort_by_key(|edge| (edge.at, edge.run, edge.version, edge.produced));
    Ok(LineageDoc { root, nodes, edges })
}
