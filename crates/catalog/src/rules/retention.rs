//! Retention: which versions of a collection stay, and why each does.
//!
//! [`explain`] is the whole decision, made from plain facts; [`facts`] collects
//! them from a catalog, and [`apply_retention`] deletes what nothing keeps.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use heirloom_core::{
    Alias, CollectionId, Retention, RunId, Tag, Timestamp, VersionId, VersionIndex,
};
use serde_json::json;

use super::delete::{Delete, Deleted, Holders, Reason, delete, each_version};
use super::expire::expires_at;
use super::journal::event;
use super::lookup::live_collection;
use super::refusal::Holder;
use super::{By, Decision, Refusal};
use crate::error::CatalogError;
use crate::row::{CollectionKind, CollectionRow, EdgeKind, EventKind};
use crate::view::{Edit, View};

/// Versions whose edges are read at once. Small, because one data set may have
/// been used by thousands of runs.
const BATCH: usize = 64;

/// Sets which versions of a collection stay. The caller must be an admin.
#[derive(Debug, Clone, Copy)]
pub struct SetRetention<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The collection.
    pub collection: CollectionId,
    /// The rules; `None` keeps all versions.
    pub retention: Option<Retention>,
}

/// Deletes what a collection's retention does not keep, and what has expired.
#[derive(Debug, Clone, Copy)]
pub struct ApplyRetention<'a> {
    /// Who, when: ages and lifetimes are compared with this time.
    pub by: By<'a>,
    /// The collection.
    pub collection: CollectionId,
    /// Length of the undo window in seconds.
    pub undo_seconds: u64,
}

/// A run that used one version and made another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The run.
    pub run: RunId,
    /// The version that it made, which is committed.
    pub made: VersionId,
    /// That version's number, when it is of the same collection and so may be
    /// deleted by the same decision.
    pub inside: Option<VersionIndex>,
}

/// What is known of a committed version when its fate is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its number.
    pub index: VersionIndex,
    /// Its id.
    pub version: VersionId,
    /// When it was committed.
    pub created_at: Timestamp,
    /// When its lifetime ends.
    pub expires_at: Option<Timestamp>,
    /// Its aliases; each with whether it is protected.
    pub aliases: Vec<(Alias, bool)>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Links to it, by name.
    pub links: Vec<String>,
    /// What was made from it. Collected only where a rule asks.
    pub uses: Vec<Use>,
}

/// Why a version stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// The collection has no rules.
    NoRules,
    /// It is among the newest so many.
    Newest(u64),
    /// It is younger than so many seconds.
    Younger(u64),
    /// It has this alias, which holds it whatever the rules say.
    Alias {
        /// The alias.
        alias: Alias,
        /// Whether it is protected.
        protected: bool,
    },
    /// It has this tag.
    Tag(Tag),
    /// It is linked, which holds it whatever the rules say.
    Link(String),
    /// A run made a version from it that stays.
    Used {
        /// The run.
        run: RunId,
        /// The version.
        made: VersionId,
    },
}

/// What becomes of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stays, for all of these reasons.
    Keep(Vec<Keep>),
    /// It goes.
    Delete {
        /// When its lifetime ended, where that is why.
        expired: Option<Timestamp>,
    },
}

/// What was decided of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Its number.
    pub index: VersionIndex,
    /// Its id.
    pub version: VersionId,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What became of a collection's versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedRetention {
    /// Of every version that was committed, ascending by number.
    pub decided: Vec<Decided>,
    /// What was deleted.
    pub deleted: Deleted,
}

/// Decides of each version whether it stays, ascending by number as given.
///
/// Aliases other than `latest`, protected aliases and links hold a version as
/// they do against any deletion. Of the others those go whose lifetime has ended.
/// Of what is left, a version stays when any rule keeps it; without rules all
/// stay. "Used" counts a version that was made from this one only if that stays
/// itself: the smallest such set is what is kept, so that deciding again changes
/// nothing.
pub fn explain(facts: &[Facts], retention: Option<&Retention>, now: Timestamp) -> Vec<Decided> {
    let rules = retention.filter(|retention| !retention.is_empty());
    let mut reasons: BTreeMap<VersionIndex, Vec<Keep>> = BTreeMap::new();
    let mut expired: BTreeMap<VersionIndex, Timestamp> = BTreeMap::new();
    for version in facts {
        let held = held(version);
        match version.expires_at.filter(|end| *end <= now && held.is_empty()) {
            Some(end) => drop(expired.insert(version.index, end)),
            None => drop(reasons.insert(version.index, held)),
        }
    }
    let newest: BTreeSet<VersionIndex> = {
        let count = rules.and_then(|rules| rules.keep_last).unwrap_or(0);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        reasons.keys().rev().take(count).copied().collect()
    };
    for version in facts {
        let Some(reasons) = reasons.get_mut(&version.index) else { continue };
        let Some(rules) = rules else {
            reasons.push(Keep::NoRules);
            continue;
        };
        if let (Some(count), true) = (rules.keep_last, newest.contains(&version.index)) {
            reasons.push(Keep::Newest(count));
        }
        if let Some(seconds) = rules.younger_than
            && version.created_at.plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)) > now
        {
            reasons.push(Keep::Younger(seconds));
        }
        if rules.tagged {
            reasons.extend(version.tags.iter().cloned().map(Keep::Tag));
        }
    }
    if rules.is_some_and(|rules| rules.used) {
        keep_used(facts, &mut reasons);
    }
    let verdict = |index: &VersionIndex| match reasons.get(index) {
        Some(keep) if !keep.is_empty() => Verdict::Keep(keep.clone()),
        _ => Verdict::Delete { expired: expired.get(index).copied() },
    };
    let decided = |version: &Facts| Decided {
        index: version.index,
        version: version.version,
        verdict: verdict(&version.index),
    };
    facts.iter().map(decided).collect()
}

/// What holds a version against any deletion.
fn held(version: &Facts) -> Vec<Keep> {
    let aliases =
        version.aliases.iter().filter(|(alias, protected)| !alias.is_latest() || *protected);
    aliases
        .map(|(alias, protected)| Keep::Alias { alias: alias.clone(), protected: *protected })
        .chain(version.links.iter().cloned().map(Keep::Link))
        .collect()
}

/// Adds what stays because of what was made from it, step by step from what
/// stays for another reason.
fn keep_used(facts: &[Facts], reasons: &mut BTreeMap<VersionIndex, Vec<Keep>>) {
    // From what was made to what it was made from, within the collection.
    let mut sources: BTreeMap<VersionIndex, Vec<(VersionIndex, Use)>> = BTreeMap::new();
    let mut pending: Vec<VersionIndex> = Vec::new();
    let mut because: BTreeMap<VersionIndex, Use> = BTreeMap::new();
    for version in facts.iter().filter(|version| reasons.contains_key(&version.index)) {
        for used in &version.uses {
            match used.inside {
                None => drop(because.entry(version.index).or_insert(*used)),
                Some(made) if made != version.index => {
                    sources.entry(made).or_default().push((version.index, *used));
                }
                Some(_) => {}
            }
        }
    }
    for (index, keep) in reasons.iter() {
        if !keep.is_empty() || because.contains_key(index) {
            pending.push(*index);
        }
    }
    while let Some(stays) = pending.pop() {
        for (index, used) in sources.remove(&stays).unwrap_or_default() {
            let idle = reasons.get(&index).is_some_and(Vec::is_empty);
            if let Entry::Vacant(slot) = because.entry(index) {
                slot.insert(used);
                if idle {
                    pending.push(index);
                }
            }
        }
    }
    for (index, Use { run, made, .. }) in because {
        if let Some(keep) = reasons.get_mut(&index) {
            keep.push(Keep::Used { run, made });
        }
    }
}

/// What [`explain`] has to know of a collection's committed versions, ascending.
///
/// # Errors
/// The catalog's own failure.
pub fn facts(
    view: &dyn View,
    collection: &CollectionRow,
    retention: Option<&Retention>,
) -> Result<Vec<Facts>, Refusal> {
    let project = view
        .project_by_id(collection.project)?
        .ok_or_else(|| Refusal::not_found("project", collection.project))?;
    let mut facts = Vec::new();
    each_version(view, collection.id, |version| {
        facts.push(Facts {
            index: version.index,
            version: version.id,
            created_at: version.created_at,
            expires_at: expires_at(&version, collection, &project),
            aliases: Vec::new(),
            tags: Vec::new(),
            links: Vec::new(),
            uses: Vec::new(),
        });
    })?;
    let mut holders = Holders::new(view, false);
    for version in &mut facts {
        for holder in holders.of(version.version, collection.id, version.index)? {
            if let Holder::Link { link, .. } = holder {
                version.links.push(link);
            }
        }
        let aliases = holders.aliases_of(collection.id, version.index)?;
        version.aliases = aliases.into_iter().map(|row| (row.alias, row.protected)).collect();
        if retention.is_some_and(|retention| retention.tagged) {
            version.tags = view.tags(version.version)?;
        }
    }
    if retention.is_some_and(|retention| retention.used) {
        let mut made = Made { view, collection: collection.id, by_run: BTreeMap::new() };
        for batch in facts.chunks_mut(BATCH) {
            made.collect(batch)?;
        }
    }
    Ok(facts)
}

/// What runs made, as far as it matters.
struct Made<'a> {
    view: &'a dyn View,
    collection: CollectionId,
    /// Of each run one committed version elsewhere, or else all in this collection.
    by_run: BTreeMap<RunId, Vec<Use>>,
}

impl Made<'_> {
    fn collect(&mut self, batch: &mut [Facts]) -> Result<(), CatalogError> {
        let ids: Vec<VersionId> = batch.iter().map(|version| version.version).collect();
        let mut users: BTreeMap<VersionId, BTreeSet<RunId>> = BTreeMap::new();
        for edge in self.view.edges_of_versions(&ids, Some(EdgeKind::Used))? {
            users.entry(edge.version).or_default().insert(edge.run);
        }
        let runs: BTreeSet<RunId> = users.values().flatten().copied().collect();
        let unknown: Vec<RunId> =
            runs.into_iter().filter(|run| !self.by_run.contains_key(run)).collect();
        for runs in unknown.chunks(BATCH) {
            self.look_up(runs)?;
        }
        for version in batch {
            let mut uses: BTreeMap<Option<VersionIndex>, Use> = BTreeMap::new();
            for run in users.get(&version.version).into_iter().flatten() {
                for found in self.by_run.get(run).into_iter().flatten() {
                    uses.entry(found.inside).or_insert(*found);
                }
            }
            // One outside is enough: what is inside may go, that does not.
            version.uses = match uses.remove(&None) {
                Some(outside) => vec![outside],
                None => uses.into_values().collect(),
            };
        }
        Ok(())
    }

    fn look_up(&mut self, runs: &[RunId]) -> Result<(), CatalogError> {
        let edges = self.view.edges_of_runs(runs, Some(EdgeKind::Produced))?;
        let ids: BTreeSet<VersionId> = edges.iter().map(|edge| edge.version).collect();
        let ids: Vec<VersionId> = ids.into_iter().collect();
        let mut homes = BTreeMap::new();
        for ids in ids.chunks(BATCH) {
            for row in self.view.versions(ids)? {
                if row.state.is_committed() {
                    homes.insert(row.id, (row.collection, row.index));
                }
            }
        }
        for run in runs {
            self.by_run.insert(*run, Vec::new());
        }
        for edge in edges {
            let Some((collection, index)) = homes.get(&edge.version) else { continue };
            let inside = (*collection == self.collection).then_some(*index);
            let found = Use { run: edge.run, made: edge.version, inside };
            self.by_run.entry(edge.run).or_default().push(found);
        }
        for found in self.by_run.values_mut() {
            found.sort_unstable_by_key(|found| (found.inside, found.made));
            if found.first().is_some_and(|first| first.inside.is_none()) {
                found.truncate(1);
            }
        }
        Ok(())
    }
}

/// Sets which versions of a collection stay; the answer is the collection after it.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::IsPortfolio`]: links are taken out by hand;
/// [`Refusal::NoRetentionRule`] for rules that are none.
pub fn set_retention(
    view: &dyn View,
    request: &SetRetention<'_>,
) -> Result<Decision<CollectionRow>, Refusal> {
    let before = live_collection(view, request.collection)?;
    if before.kind == CollectionKind::Portfolio {
        return Err(Refusal::IsPortfolio { name: before.name });
    }
    if request.retention.is_some_and(|retention| retention.is_empty()) {
        return Err(Refusal::NoRetentionRule { name: before.name });
    }
    if before.retention == request.retention {
        return Ok(Decision::unchanged(before));
    }
    let row = CollectionRow { retention: request.retention, ..before };
    let detail = json!({ "retention": row.retention });
    let edits = vec![
        Edit::PutCollection(row.clone()),
        event(request.by, EventKind::Updated, row.id, None, None, detail),
    ];
    Ok(Decision { edits, answer: row })
}

/// Deletes the versions of a collection that have expired or that its retention
/// does not keep, in one decision. They can be restored like any others.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn apply_retention(
    view: &dyn View,
    request: &ApplyRetention<'_>,
) -> Result<Decision<AppliedRetention>, Refusal> {
    let by = request.by;
    let row = live_collection(view, request.collection)?;
    let rules = row.retention.as_ref();
    let decided = explain(&facts(view, &row, rules)?, rules, by.at);
    let ids = |wanted: fn(&Verdict) -> bool| -> Vec<VersionId> {
        let found = decided.iter().filter(|decided| wanted(&decided.verdict));
        found.map(|decided| decided.version).collect()
    };
    let doomed = ids(|verdict| matches!(verdict, Verdict::Delete { .. }));
    let expired = ids(|verdict| matches!(verdict, Verdict::Delete { expired: Some(_) }));
    let request = Delete {
        versions: &doomed,
        expired: &expired,
        reason: Some(Reason::Retention),
        ..Delete::nothing(by, request.undo_seconds)
    };
    let decision = delete(view, &request)?;
    Ok(decision.map(|deleted| AppliedRetention { decided, deleted }))
}
