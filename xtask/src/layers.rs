//! Which crate may depend on which.
//!
//! Every crate has a rank; a dependency that is needed to build points to a
//! strictly lower one. Heavy dependencies have owners, so that a change of database
//! or HTTP stack stays in one place. Dependencies of tests are free, but `testkit`
//! is never anything else.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use cargo_metadata::DependencyKind;

use crate::Verdict;
use crate::workspace::Workspace;

/// The ranks of `docs/architecture.md`.
const RANKS: &[(&str, u8)] = &[
    ("heirloom-failpoint", 0),
    ("heirloom-manifest", 0),
    ("heirloom-lineage", 0),
    ("heirloom-core", 1),
    ("heirloom-wandb-format", 1),
    ("heirloom-worktree", 1),
    ("heirloom-store", 2),
    ("heirloom-refs", 2),
    ("heirloom-catalog", 3),
    ("heirloom-api", 3),
    ("heirloom-repository", 4),
    ("heirloom-server", 5),
    ("heirloom", 5),
    ("heirloom-cli", 6),
];

const TESTKIT: &str = "heirloom-testkit";

/// What no user builds: above all ranks and nobody's dependency.
const OUTSIDE: &[&str] = &[TESTKIT, "heirloom-tests", "xtask"];

/// Heavy dependencies and the only crates that may name them.
const OWNERS: &[(&str, &[&str])] = &[
    ("petgraph", &["heirloom-lineage"]),
    ("object_store", &["heirloom-store", "heirloom-refs"]),
    ("rusqlite", &["heirloom-catalog"]),
    ("tokio-postgres", &["heirloom-catalog"]),
    ("deadpool-postgres", &["heirloom-catalog"]),
    ("reqwest", &["heirloom-refs", "heirloom"]),
    ("axum", &["heirloom-server"]),
    ("async-graphql", &["heirloom-server"]),
    ("async-graphql-axum", &["heirloom-server"]),
    ("utoipa", &["heirloom-api"]),
    ("clap", &["heirloom-cli", "xtask"]),
];

/// What must not be among all that a crate builds, however far down.
const NEVER_REACHED: &[(&str, &[&str])] = &[
    ("heirloom-manifest", &["tokio"]),
    ("heirloom-lineage", &["tokio"]),
    ("heirloom-core", &["tokio"]),
    ("heirloom-wandb-format", &["tokio"]),
    ("xtask", &["tokio"]),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print the graph of our crates in DOT on standard output
    #[arg(long)]
    dot: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<Verdict> {
    let members = members(workspace);
    if args.dot {
        print!("{}", dot(&members));
    }
    let broken = broken(&members);
    for line in &broken {
        eprintln!("{line}");
    }
    Ok(Verdict::of(broken.is_empty()))
}

/// One line per bad edge of this workspace.
pub(crate) fn check(workspace: &Workspace) -> Vec<String> {
    broken(&members(workspace))
}

/// The rank of a package, where it has one.
pub(crate) fn rank(package: &str) -> Option<u8> {
    RANKS.iter().find(|(name, _)| *name == package).map(|(_, rank)| *rank)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Needed to build: normal and build dependencies.
    Build,
    Dev,
}

struct Member {
    name: String,
    dependencies: Vec<(String, Kind)>,
    reaches: BTreeSet<String>,
}

fn members(workspace: &Workspace) -> Vec<Member> {
    let of = |package: &cargo_metadata::Package| {
        let dependencies = package.dependencies.iter().map(|dependency| {
            let dev = dependency.kind == DependencyKind::Development;
            (dependency.name.clone(), if dev { Kind::Dev } else { Kind::Build })
        });
        Member {
            name: package.name.to_string(),
            dependencies: dependencies.collect(),
            reaches: workspace.reaches(&package.id),
        }
    };
    workspace.members().into_iter().map(of).collect()
}

/// The rule: one line per bad edge.
fn broken(members: &[Member]) -> Vec<String> {
    let mut lines = Vec::new();
    for member in members {
        let from = member.name.as_str();
        let outside = OUTSIDE.contains(&from);
        let own_rank = rank(from);
        if own_rank.is_none() && !outside {
            lines.push(format!("layers: {from} has no rank: give it one in xtask/src/layers.rs"));
        }
        for (to, kind) in &member.dependencies {
            if *kind == Kind::Dev {
                continue;
            }
            if to == TESTKIT {
                lines.push(format!("layers: {from} -> {to}: it may only be a dev-dependency"));
            } else if OUTSIDE.contains(&to.as_str()) {
                lines.push(format!("layers: {from} -> {to}: nothing may depend on it"));
            }
            if let (Some(own), Some(other)) = (own_rank, rank(to))
                && other >= own
            {
                lines.push(format!(
                    "layers: {from} (rank {own}) -> {to} (rank {other}): \
                     a dependency must point to a lower rank"
                ));
            }
            let owners = OWNERS.iter().find(|(name, _)| name == to).map(|(_, owners)| *owners);
            // Doubles of servers and whole scenarios may use what they please.
            let exempt = outside && from != "xtask";
            if let Some(owners) = owners
                && !exempt
                && !owners.contains(&from)
            {
                lines.push(format!(
                    "layers: {from} -> {to}: only {} may use {to}",
                    owners.join(" and ")
                ));
            }
        }
        let banned = NEVER_REACHED.iter().filter(|(name, _)| *name == from);
        for name in banned.flat_map(|(_, names)| *names) {
            if member.reaches.contains(*name) {
                lines.push(format!(
                    "layers: {from} -> … -> {name}: not even through another crate \
                     (see `cargo tree -e normal -p {from} --all-features -i {name}`)"
                ));
            }
        }
    }
    lines
}

fn dot(members: &[Member]) -> String {
    let mut text = String::from("digraph layers {\n  rankdir=BT;\n  node [shape=box];\n");
    for level in 0..=RANKS.iter().map(|(_, rank)| *rank).max().unwrap_or(0) {
        let same = members.iter().filter(|member| rank(&member.name) == Some(level));
        let names: String = same.map(|member| format!(" \"{}\";", member.name)).collect();
        let _ = writeln!(text, "  {{ rank=same;{names} }}");
    }
    let ours: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    for member in members.iter().filter(|member| rank(&member.name).is_some()) {
        for (to, kind) in &member.dependencies {
            if *kind == Kind::Build && ours.contains(to.as_str()) {
                let _ = writeln!(text, "  \"{}\" -> \"{to}\";", member.name);
            }
        }
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, dependencies: &[(&str, Kind)]) -> Member {
        let dependencies: Vec<_> =
            dependencies.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Member { name: name.into(), dependencies, reaches: BTreeSet::new() }
    }

    fn only(member: Member) -> String {
        let mut lines = broken(&[member]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    #[test]
    fn downward_edges_and_test_dependencies_are_fine() {
        let store = member(
            "heirloom-store",
            &[
                ("heirloom-manifest", Kind::Build),
                ("heirloom-core", Kind::Build),
                ("serde", Kind::Build),
                ("object_store", Kind::Build),
                (TESTKIT, Kind::Dev),
                ("reqwest", Kind::Dev),
            ],
        );
        let testkit = member(TESTKIT, &[("heirloom", Kind::Build), ("axum", Kind::Build)]);
        let tests = member("heirloom-tests", &[(TESTKIT, Kind::Dev)]);
        assert_eq!(broken(&[store, testkit, tests]), Vec::<String>::new());
    }

    #[test]
    fn edge_to_a_higher_rank_is_named() {
        let line = only(member("heirloom-store", &[("heirloom-catalog", Kind::Build)]));
        assert!(line.contains("heirloom-store (rank 2) -> heirloom-catalog (rank 3)"), "{line}");
    }

    #[test]
    fn edge_to_the_same_rank_is_named() {
        let line = only(member("heirloom-store", &[("heirloom-refs", Kind::Build)]));
        assert!(line.contains("heirloom-store (rank 2) -> heirloom-refs (rank 2)"), "{line}");
    }

    #[test]
    fn testkit_is_only_for_tests() {
        let line = only(member("heirloom-store", &[(TESTKIT, Kind::Build)]));
        assert!(line.contains("dev-dependency"), "{line}");
        let line = only(member("heirloom-tests", &[(TESTKIT, Kind::Build)]));
        assert!(line.contains("dev-dependency"), "{line}");
    }

    #[test]
    fn heavy_dependency_outside_its_owner_is_named() {
        let line = only(member("heirloom-repository", &[("rusqlite", Kind::Build)]));
        assert!(line.contains("heirloom-repository -> rusqlite"), "{line}");
        let line = only(member("xtask", &[("reqwest", Kind::Build)]));
        assert!(line.contains("xtask -> reqwest"), "{line}");
    }

    #[test]
    fn pure_crate_must_not_reach_the_runtime_through_others() {
        let mut lineage = member("heirloom-lineage", &[("petgraph", Kind::Build)]);
        lineage.reaches.insert("tokio".into());
        assert!(only(lineage).contains("heirloom-lineage -> … -> tokio"));
    }

    #[test]
    fn new_crate_needs_a_rank() {
        assert!(only(member("heirloom-extra", &[])).contains("no rank"));
    }

    #[test]
    fn nothing_depends_on_the_machinery() {
        let line = only(member("heirloom-cli", &[("xtask", Kind::Build)]));
        assert!(line.contains("heirloom-cli -> xtask"), "{line}");
    }

    #[test]
    fn dot_shows_ranks_and_only_our_edges() {
        let members = [
            member("heirloom-manifest", &[("blake3", Kind::Build)]),
            member("heirloom-core", &[("heirloom-manifest", Kind::Build), (TESTKIT, Kind::Dev)]),
        ];
        let text = dot(&members);
        assert!(text.contains("\"heirloom-core\" -> \"heirloom-manifest\";"), "{text}");
        assert!(!text.contains("blake3") && !text.contains(TESTKIT), "{text}");
    }
}
