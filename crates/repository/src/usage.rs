//! `du`: logical, unique and shared bytes.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use heirloom_api::{Problem, Usage, UsageBy, UsageReport};
use heirloom_catalog::{CatalogExt, CollectionRow, MembershipRow, Order, ProjectRow, View};
use heirloom_core::{Caller, EntityName, ProjectName, Scope};
use heirloom_manifest::{Link, NodeId};

use crate::Inner;
use crate::problem::Failure;
use crate::read::{Nodes, each_node, half};

const PAGE: usize = 1000;

/// Which things hold a blob.
#[derive(Clone, Copy)]
struct Holder {
    /// The first group that was seen to hold it.
    first: u32,
    /// The last one.
    last: u32,
    shared: bool,
}

#[derive(Default)]
struct Tally {
    /// Distinct blobs by the first half of their id: enough to tell them apart,
    /// at half the memory.
    holders: HashMap<[u8; 16], Holder>,
    /// Sum of their sizes.
    distinct: u64,
}

#[derive(Default)]
struct Group {
    name: String,
    versions: u64,
    logical: u64,
    unique: u64,
    distinct: u64,
}

pub(crate) fn usage(
    inner: &Inner,
    caller: &Caller,
    by: UsageBy,
    only: Option<&(EntityName, ProjectName)>,
) -> Result<UsageReport, Problem> {
    count(inner, caller, by, only).map_err(|failure| failure.0)
}

fn count(
    inner: &Inner,
    caller: &Caller,
    by: UsageBy,
    only: Option<&(EntityName, ProjectName)>,
) -> Result<UsageReport, Failure> {
    let projects = projects(inner, caller)?;
    if let Some((entity, name)) = only
        && !projects.iter().any(|project| project.entity == *entity && project.name == *name)
    {
        return Err(Problem::not_found("project", format_args!("{entity}/{name}")).into());
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut tally = Tally::default();
    for project in projects {
        let place = place(&project);
        let before = groups.len();
        let mut seen = HashSet::new();
        if by == UsageBy::Project {
            groups.push(Group { name: place.clone(), ..Group::default() });
        }
        for collection in collections(inner, &project)? {
            if by == UsageBy::Collection {
                let name = format!("{place}/{}", collection.name);
                groups.push(Group { name, ..Group::default() });
                seen.clear();
            }
            let mut after = None;
            loop {
                let page = inner
                    .catalog
                    .view(|view| view.memberships(collection.id, after, Order::Oldest, PAGE))?;
                let Some(last) = page.last() else { break };
                after = Some(last.index);
                for membership in &page {
                    let Some((root, size)) =
                        inner.catalog.view(|view| own_version(view, &collection, membership))?
                    else {
                        continue;
                    };
                    if by == UsageBy::Version {
                        let name = format!("{place}/{}:{}", collection.name, membership.index);
                        groups.push(Group { name, ..Group::default() });
                        seen.clear();
                    }
                    let at = groups.len() - 1;
                    groups[at].versions += 1;
                    groups[at].logical += size;
                    let nodes = Nodes::new(inner, Scope(project.id));
                    add_tree(nodes, root, at, &mut groups, &mut tally, &mut seen)?;
                }
            }
        }
        if only.is_some_and(|(entity, name)| *entity != project.entity || *name != project.name) {
            // Counted, because it decides what others share, but not shown.
            for group in &mut groups[before..] {
                group.name.clear();
            }
        }
    }
    let totals = inner.catalog.view(|view| view.totals())?;
    let logical = groups.iter().map(|group| group.logical).sum();
    Ok(UsageReport {
        rows: groups
            .into_iter()
            .filter(|group| !group.name.is_empty())
            .map(|group| Usage {
                name: group.name,
                versions: group.versions,
                logical: group.logical,
                unique: group.unique,
                shared: group.distinct - group.unique,
            })
            .collect(),
        logical,
        distinct: tally.distinct,
        stored: totals.object_bytes,
        objects: totals.objects,
    })
}

/// A project as people name it: entities other than the machine's own are said.
fn place(project: &ProjectRow) -> String {
    match project.entity == EntityName::local() {
        true => project.name.to_string(),
        false => format!("{}/{}", project.entity, project.name),
    }
}

fn projects(inner: &Inner, caller: &Caller) -> Result<Vec<ProjectRow>, Failure> {
    let mut out = Vec::new();
    inner.catalog.view(|view| {
        let mut after: Option<ProjectRow> = None;
        loop {
            let page = view.projects(after.as_ref().map(|row| (&row.entity, &row.name)), PAGE)?;
            let Some(last) = page.last().cloned() else { return Ok::<(), Failure>(()) };
            after = Some(last);
            out.extend(
                page.into_iter().filter(|row| caller.role_in(&row.entity, &row.name).is_some()),
            );
        }
    })?;
    Ok(out)
}

fn collections(inner: &Inner, project: &ProjectRow) -> Result<Vec<CollectionRow>, Failure> {
    let mut out: Vec<CollectionRow> = Vec::new();
    inner.catalog.view(|view| {
        loop {
            let page = view.collections(project.id, out.last().map(|row| &row.name), PAGE)?;
            if page.is_empty() {
                return Ok::<(), Failure>(());
            }
            out.extend(page);
        }
    })?;
    Ok(out)
}

/// Root and size of a committed version that belongs to this collection; links
/// hold no bytes of their own.
fn own_version(
    view: &dyn View,
    collection: &CollectionRow,
    membership: &MembershipRow,
) -> Result<Option<(NodeId, u64)>, Failure> {
    let version = view.version(membership.version)?;
    Ok(version
        .filter(|version| version.collection == collection.id && version.state.is_committed())
        .map(|version| (version.root, version.size)))
}

fn add_tree(
    mut nodes: Nodes<'_>,
    root: NodeId,
    at: usize,
    groups: &mut [Group],
    tally: &mut Tally,
    seen: &mut HashSet<NodeId>,
) -> Result<(), Failure> {
    let group_number = at as u32;
    each_node(&mut nodes, root, seen, &mut |_, links| {
        for link in links {
            let Link::Blob(blob, size) = link else { continue };
            match tally.holders.entry(half(blob)) {
                Entry::Vacant(slot) => {
                    slot.insert(Holder { first: group_number, last: group_number, shared: false });
                    tally.distinct += size;
                    groups[at].unique += size;
                    groups[at].distinct += size;
                }
                Entry::Occupied(mut slot) => {
                    let holder = slot.get_mut();
                    if holder.last != group_number {
                        holder.last = group_number;
                        groups[at].distinct += size;
                        if !holder.shared {
                            holder.shared = true;
                            groups[holder.first as usize].unique -= size;
                        }
                    }
                }
            }
        }
        Ok(())
    })
}
