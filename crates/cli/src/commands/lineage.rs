//! `lineage`: the runs and versions around one version.

use heirloom_api::{LineageDoc, LineageNode, StateDoc};
use heirloom_core::{ArtifactRef, ErrorCode, RunState};
use heirloom_lineage::export::{self, OpenLineageOptions};
use heirloom_lineage::{
    Deletion, Direction, Edge, Graph, NodeInfo, NodeKey, NodeState, Options, RunOutcome,
};

use crate::app::App;
use crate::exit::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version to start from
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    /// Only what it was made from
    #[arg(long, conflicts_with = "down")]
    up: bool,
    /// Only what was made from it
    #[arg(long)]
    down: bool,
    /// At most this many levels: 1 reaches runs, 2 the versions beyond
    #[arg(long, value_name = "N")]
    depth: Option<u32>,
    /// Show only versions of this type; what lies beyond others is still found
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Show only runs of this job type
    #[arg(long, value_name = "TYPE")]
    job_type: Vec<String>,
    /// Form of the answer [default: tree, or json with --json]
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Indented lines
    Tree,
    /// Nodes and links, as d3 and networkx read them
    Json,
    /// Graphviz
    Dot,
    /// A Mermaid flowchart
    Mermaid,
    /// OpenLineage run events
    Openlineage,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    let version = app.version_or_tombstone(&args.reference).await?;
    let mut request = version.lineage();
    if args.up {
        request = request.up();
    } else if args.down {
        request = request.down();
    }
    if let Some(depth) = args.depth {
        request = request.depth(depth);
    }
    let doc = request.await?;
    let format =
        args.format.unwrap_or(if app.printer.is_json() { Format::Json } else { Format::Tree });
    // Formats with fields of their own for the project want the bare name.
    let qualified = matches!(format, Format::Tree | Format::Dot | Format::Mermaid);
    let graph = graph(app, &doc, qualified)?;
    let mut options = Options {
        direction: match (args.up, args.down) {
            (true, _) => Direction::Up,
            (_, true) => Direction::Down,
            _ => Direction::Both,
        },
        depth: args.depth,
        ..Options::default()
    };
    options.artifact_types.extend(args.types);
    options.job_types.extend(args.job_type);
    let start = NodeKey::Version(doc.root.id.get());
    let answer = graph.query(start, &options);
    let infos = graph.infos();
    let text = match format {
        Format::Tree => export::tree(&answer, infos),
        Format::Json => export::json(&answer, infos),
        Format::Dot => export::dot(&answer, infos),
        Format::Mermaid => export::mermaid(&answer, infos),
        Format::Openlineage => export::openlineage(&answer, infos, &OpenLineageOptions::default()),
    };
    app.printer.bytes(text.as_bytes())?;
    if !text.ends_with('\n') {
        app.printer.bytes(b"\n")?;
    }
    Ok(())
}

/// The engine's graph of what the repository answered.
fn graph(app: &App, doc: &LineageDoc, qualified: bool) -> Result<Graph, Failure> {
    let edges = doc.edges.iter().map(|edge| {
        let (run, version, at) = (edge.run.get(), edge.version.get(), edge.at.micros());
        let made = match edge.produced {
            true => Edge::produced(run, version, at),
            false => Edge::used(run, version, at),
        };
        // What a run produces is asked for by the artifact's name: no news.
        match &edge.asked {
            Some(asked) if !edge.produced => made.with_asked(asked.as_str()),
            _ => made,
        }
    });
    let mut graph = Graph::from_edges(edges).map_err(|error| {
        Failure::failed(ErrorCode::Corrupt, format!("the lineage makes no sense: {error}"))
    })?;
    for node in &doc.nodes {
        let (key, info) = describe(app, node, qualified);
        graph.infos_mut().insert(key, info);
    }
    Ok(graph)
}

fn describe(app: &App, node: &LineageNode, qualified: bool) -> (NodeKey, NodeInfo) {
    match node {
        LineageNode::Run { run, display_name, job_type, state, started_at } => {
            let place = if qualified {
                app.place(run.entity.as_str(), run.project.as_str())
            } else {
                String::new()
            };
            let mut info = NodeInfo::new(format!("{place}{display_name}"));
            info.type_name.clone_from(job_type);
            info.entity = Some(run.entity.to_string());
            info.project = Some(run.project.to_string());
            info.created_at = Some(started_at.micros());
            info.outcome = Some(match state {
                RunState::Running => RunOutcome::Running,
                RunState::Finished => RunOutcome::Finished,
                RunState::Failed => RunOutcome::Failed,
                RunState::Crashed => RunOutcome::Aborted,
            });
            (NodeKey::Run(run.id.get()), info)
        }
        LineageNode::Version {
            version,
            artifact_type,
            aliases,
            state,
            deleted,
            created_at,
            ..
        } => {
            let name = match qualified {
                true => app.name_of(version),
                false => format!("{}:{}", version.name, version.index),
            };
            let mut info = NodeInfo::new(name).with_type(artifact_type.as_str());
            info.aliases = aliases.iter().map(ToString::to_string).collect();
            info.entity = Some(version.entity.to_string());
            info.project = Some(version.project.to_string());
            info.created_at = Some(created_at.micros());
            info.deletion = deleted
                .as_ref()
                .map(|deleted| Deletion { at: deleted.at.micros(), by: deleted.by.clone() });
            info.state = match state {
                StateDoc::Committed => NodeState::Live,
                StateDoc::Deleted | StateDoc::Purged => NodeState::Deleted,
            };
            (NodeKey::Version(version.id.get()), info)
        }
    }
}
