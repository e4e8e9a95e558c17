//! Versions, and everything that hangs on them: from the journal as far as it
//! reaches, from the records beyond.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use heirloom_api::RebuildReport;
use heirloom_catalog::{
    AliasRow, EdgeKind, EdgeRow, Edit, EventKind, EventRow, MembershipRow, RunRow, VersionRow,
    VersionState,
};
use heirloom_core::{
    Alias, CollectionId, ProjectId, Provenance, RunId, RunName, RunState, Tag, Timestamp, Ttl,
    VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId};
use serde_json::{Value, json};

use super::index::Found;
use super::names::{Names, piece};
use super::records::{Chains, record};
use super::{RebuildProgress, Target};
use crate::journal::Piece;
use crate::problem::Failure;
use crate::record::{RecordedRun, VersionRecord};

/// A number of a collection.
type At = (CollectionId, VersionIndex);

/// Writes rows for everything but blobs.
pub(super) fn write(
    found: &Found,
    names: &mut Names,
    chains: &Chains,
    target: &mut Target<'_>,
    report: &mut RebuildReport,
    progress: &mut RebuildProgress<'_>,
) -> Result<(), Failure> {
    names.settle(report);
    for row in names.projects.values() {
        target.push(Edit::PutProject(row.clone()))?;
    }
    for row in names.collections.values() {
        target.push(Edit::PutCollection(row.clone()))?;
    }
    for ((project, _), (old, to)) in &names.redirects {
        if let Some(to) = to {
            let (project, old, to) = (*project, old.clone(), *to);
            target.push(Edit::PutRedirect { project, old, to })?;
        }
    }
    report.projects = names.projects.len() as u64;
    report.collections = names.collections.len() as u64;
    let journal = Journal::read(found, names);
    let mut writer = Writer { found, names, target, report, journal, state: State::default() };
    writer.runs_of_journal()?;
    writer.versions_of_records(chains, progress)?;
    writer.versions_of_journal()?;
    writer.places()?;
    writer.happened()?;
    writer.edges_of_records()?;
    writer.aliases_and_tags()
}

/// The journal's last word on each thing.
#[derive(Default)]
struct Journal {
    versions: HashMap<VersionId, Fact>,
    places: BTreeMap<At, Option<(VersionId, Timestamp)>>,
    aliases: BTreeMap<(CollectionId, String), Option<AliasRow>>,
    tags: BTreeMap<VersionId, Vec<Tag>>,
}

/// What may have changed about a version since its record was written.
struct Fact {
    state: VersionState,
    ttl: Ttl,
    texts: Option<(Option<String>, Option<String>)>,
}

impl Journal {
    fn read(found: &Found, names: &Names) -> Self {
        let mut journal = Self::default();
        for id in &names.pieces {
            // One that cannot be read was named when it was looked for.
            if let Ok(piece) = piece(found, id) {
                journal.add(piece);
            }
        }
        journal
    }

    fn add(&mut self, piece: Piece) {
        for version in piece.versions {
            let fact = self.versions.entry(version.row.id).or_insert(Fact {
                state: version.row.state,
                ttl: version.row.ttl,
                texts: None,
            });
            (fact.state, fact.ttl) = (version.row.state, version.row.ttl);
            if version.texts.is_some() {
                fact.texts = version.texts;
            }
            if !version.tags.is_empty() || self.tags.contains_key(&version.row.id) {
                self.tags.insert(version.row.id, version.tags);
            }
        }
        for place in piece.places {
            self.places.insert((place.collection, place.index), place.holds);
        }
        for alias in piece.aliases {
            let key = (alias.collection, alias.alias.as_str().to_owned());
            self.aliases.insert(key, alias.row());
        }
    }
}

/// Which rows there are, and what has to wait.
#[derive(Default)]
struct State {
    versions: HashMap<VersionId, VersionState>,
    places: HashMap<At, VersionId>,
    runs: HashSet<RunId>,
    run_names: HashMap<(ProjectId, RunName), RunId>,
    /// Edges that are there.
    edges: HashSet<(RunId, EdgeKind, VersionId)>,
    /// Edges that records tell of.
    recorded: Vec<EdgeRow>,
    /// Versions that the journal does not know: they were made after it.
    later: Vec<Later>,
}

struct Later {
    at: At,
    version: VersionId,
    when: Timestamp,
    actor: String,
    aliases: Vec<Alias>,
    tags: Vec<Tag>,
}

struct Writer<'w, 't> {
    found: &'w Found,
    names: &'w mut Names,
    target: &'w mut Target<'t>,
    report: &'w mut RebuildReport,
    journal: Journal,
    state: State,
}

impl Writer<'_, '_> {
    fn runs_of_journal(&mut self) -> Result<(), Failure> {
        // Newest first, so that what was said last of a run counts.
        for id in self.names.pieces.clone().iter().rev() {
            let Ok(piece) = piece(self.found, id) else { continue };
            for run in piece.runs {
                let (env, at) = (self.target.env, run.row.started_at);
                let known = self.names.projects.len();
                let project = self.names.project(&run.entity, &run.project, at, env);
                if self.names.projects.len() > known {
                    self.report.projects += 1;
                    let row = self.names.projects[&(run.entity, run.project)].clone();
                    self.target.push(Edit::PutProject(row))?;
                }
                self.run(RunRow { project, ..run.row })?;
            }
        }
        Ok(())
    }

    /// Puts a run unless it is there; whether it is there now.
    fn run(&mut self, row: RunRow) -> Result<bool, Failure> {
        if self.state.runs.contains(&row.id) {
            return Ok(true);
        }
        let name = (row.project, row.name.clone());
        if self.state.run_names.get(&name).is_some_and(|other| *other != row.id) {
            self.report.notes.push(format!("two runs are named {}; one was left out", row.name));
            return Ok(false);
        }
        self.state.run_names.insert(name, row.id);
        self.state.runs.insert(row.id);
        self.report.runs += 1;
        self.target.push(Edit::PutRun(row))?;
        Ok(true)
    }

    fn versions_of_records(
        &mut self,
        chains: &Chains,
        progress: &mut RebuildProgress<'_>,
    ) -> Result<(), Failure> {
        for chain in chains.values() {
            for id in chain.chosen.values() {
                // One that cannot be read was named when records were looked for.
                if let Ok(record) = record(self.found, id) {
                    self.version_of_record(*id, record)?;
                    progress("versions", self.state.versions.len() as u64);
                }
            }
        }
        Ok(())
    }

    fn version_of_record(&mut self, id: BlobId, record: VersionRecord) -> Result<(), Failure> {
        let (collection, version) = (record.collection_id, record.version);
        let fact = self.journal.versions.get(&version);
        let is_later = fact.is_none();
        let mut row = VersionRow {
            id: version,
            collection,
            index: record.index,
            digest: ManifestId::of_root(&record.root),
            root: record.root,
            entries: record.entries,
            size: record.size,
            description: record.description,
            metadata: record.metadata,
            ttl: record.ttl,
            created_at: record.created_at,
            actor: record.actor.clone(),
            run: record.run.as_ref().map(|run| run.id),
            provenance: record.provenance,
            record: id,
            attachments: record.attachments,
            state: VersionState::Committed,
        };
        if let Some(fact) = fact {
            (row.state, row.ttl) = (fact.state, fact.ttl);
            if let Some((description, metadata)) = &fact.texts {
                (row.description, row.metadata) = (description.clone(), metadata.clone());
            }
        }
        if !self.version(row)? {
            return Ok(());
        }
        if is_later {
            self.state.later.push(Later {
                at: (collection, record.index),
                version,
                when: record.created_at,
                actor: record.actor.clone(),
                aliases: record.aliases,
                tags: record.tags,
            });
        }
        let project = self.names.collections.get(&collection).map(|row| row.project);
        if let (Some(project), Some(run)) = (project, record.run) {
            let name = record.collection.to_string();
            self.run_of_record(project, run, version, name, &record.actor, record.created_at)?;
        }
        Ok(())
    }

    /// Puts a version and its own place; `false` when it was there or has none.
    fn version(&mut self, row: VersionRow) -> Result<bool, Failure> {
        let at = (row.collection, row.index);
        let fits = self.names.collections.contains_key(&row.collection)
            && !self.state.versions.contains_key(&row.id)
            && !self.state.places.contains_key(&at);
        if !fits {
            return Ok(false);
        }
        self.state.versions.insert(row.id, row.state);
        match row.state {
            VersionState::Purged => self.report.tombstones += 1,
            _ => self.report.versions += 1,
        }
        let (version, created_at) = (row.id, row.created_at);
        self.target.push(Edit::PutVersion(row))?;
        if self.journal.places.get(&at) != Some(&None) {
            self.place(at, version, created_at)?;
        }
        Ok(true)
    }

    fn place(&mut self, at: At, version: VersionId, created_at: Timestamp) -> Result<(), Failure> {
        if self.state.places.contains_key(&at) || !self.names.collections.contains_key(&at.0) {
            return Ok(());
        }
        self.state.places.insert(at, version);
        let (collection, index) = at;
        let row = MembershipRow { collection, index, version, created_at };
        self.target.push(Edit::AddMembership(row))
    }

    fn run_of_record(
        &mut self,
        project: ProjectId,
        run: RecordedRun,
        version: VersionId,
        asked: String,
        actor: &str,
        at: Timestamp,
    ) -> Result<(), Failure> {
        let is_there = self.run(RunRow {
            id: run.id,
            project,
            name: run.name,
            display_name: run.display_name,
            job_type: run.job_type,
            group: run.group,
            config: None,
            summary: None,
            // How it ended is not known; it may still say so.
            state: RunState::Crashed,
            exit_code: None,
            started_at: at,
            ended_at: None,
            actor: actor.to_owned(),
            provenance: Provenance::default(),
        })?;
        if is_there {
            let edge = |kind, version, asked| EdgeRow { kind, run: run.id, version, at, asked };
            self.state.recorded.push(edge(EdgeKind::Produced, version, Some(asked)));
            let used = run.used.into_iter().map(|version| edge(EdgeKind::Used, version, None));
            self.state.recorded.extend(used);
        }
        Ok(())
    }

    /// Versions whose records are gone: tombstones, above all.
    fn versions_of_journal(&mut self) -> Result<(), Failure> {
        for id in self.names.pieces.clone().iter().rev() {
            let Ok(piece) = piece(self.found, id) else { continue };
            for version in piece.versions {
                let mut row = version.row;
                if let Some(fact) = self.journal.versions.get_mut(&row.id)
                    && let Some((description, metadata)) = fact.texts.clone()
                {
                    (row.description, row.metadata) = (description, metadata);
                }
                self.version(row)?;
            }
        }
        Ok(())
    }

    /// Links.
    fn places(&mut self) -> Result<(), Failure> {
        for (at, holds) in std::mem::take(&mut self.journal.places) {
            if let Some((version, created_at)) = holds
                && self.state.versions.contains_key(&version)
            {
                self.place(at, version, created_at)?;
            }
        }
        Ok(())
    }

    /// Edges and events of the journal, then what the records tell beyond it.
    fn happened(&mut self) -> Result<(), Failure> {
        for id in self.names.pieces.clone() {
            let Ok(piece) = piece(self.found, &id) else { continue };
            for edge in piece.edges {
                self.edge(edge)?;
            }
            for event in piece.events {
                self.event(event)?;
            }
        }
        Ok(())
    }

    /// Puts an edge; whether it is new.
    fn edge(&mut self, edge: EdgeRow) -> Result<bool, Failure> {
        let fits = self.state.runs.contains(&edge.run)
            && self.state.versions.contains_key(&edge.version)
            && self.state.edges.insert((edge.run, edge.kind, edge.version));
        if fits {
            self.report.edges += 1;
            self.target.push(Edit::AddEdge(edge))?;
        }
        Ok(fits)
    }

    fn event(&mut self, event: EventRow) -> Result<(), Failure> {
        if !self.names.collections.contains_key(&event.collection) {
            return Ok(());
        }
        self.report.events += 1;
        self.target.push(Edit::AppendEvent(EventRow { seq: 0, ..event }))
    }

    fn edges_of_records(&mut self) -> Result<(), Failure> {
        let places: HashMap<VersionId, At> =
            self.state.places.iter().map(|(at, version)| (*version, *at)).collect();
        for edge in std::mem::take(&mut self.state.recorded) {
            let (kind, run, version, at) = (edge.kind, edge.run, edge.version, edge.at);
            let is_new = self.edge(edge)?;
            // The next journal has to tell of it, too.
            if is_new
                && kind == EdgeKind::Used
                && let Some(place) = places.get(&version)
            {
                let detail = json!({ "asked": null });
                self.note(*place, EventKind::Used, at, "", Some(run), &detail)?;
            }
        }
        Ok(())
    }

    fn note(
        &mut self,
        (collection, index): At,
        kind: EventKind,
        at: Timestamp,
        actor: &str,
        run: Option<RunId>,
        detail: &Value,
    ) -> Result<(), Failure> {
        let (actor, detail) = (actor.to_owned(), detail.to_string());
        let index = Some(index);
        self.event(EventRow { seq: 0, at, actor, kind, collection, index, run, detail })
    }

    fn aliases_and_tags(&mut self) -> Result<(), Failure> {
        let mut aliases: BTreeMap<(CollectionId, String), AliasRow> = BTreeMap::new();
        for (key, row) in std::mem::take(&mut self.journal.aliases) {
            aliases.extend(row.map(|row| (key, row)));
        }
        let mut tags = std::mem::take(&mut self.journal.tags);
        let mut later = std::mem::take(&mut self.state.later);
        later.sort_by_key(|later| later.at);
        for Later { at, version, when, actor, aliases: asked, tags: more } in later {
            let detail = json!({});
            self.note(at, EventKind::Committed, when, &actor, None, &detail)?;
            let asked: BTreeSet<Alias> = asked.into_iter().chain([Alias::latest()]).collect();
            for alias in asked {
                let key = (at.0, alias.as_str().to_owned());
                let before = aliases.get(&key);
                // As the commit did it: a protected `latest` stayed.
                let stays =
                    |row: &&AliasRow| row.alias.is_latest() && (row.protected || row.index > at.1);
                if before.is_some_and(|row| stays(&row)) {
                    continue;
                }
                let detail = json!({
                    "alias": alias, "from": before.map(|row| row.index), "to": at.1, "auto": alias.is_latest(),
                });
                let protected = before.is_some_and(|row| row.protected);
                aliases.insert(key, AliasRow { collection: at.0, alias, index: at.1, protected });
                self.note(at, EventKind::AliasSet, when, &actor, None, &detail)?;
            }
            for tag in more {
                self.note(at, EventKind::Tagged, when, &actor, None, &json!({ "tag": tag }))?;
                tags.entry(version).or_default().push(tag);
            }
        }
        for row in aliases.into_values() {
            let holder = self.state.places.get(&(row.collection, row.index));
            let is_committed = holder
                .and_then(|version| self.state.versions.get(version))
                .is_some_and(|state| state.is_committed());
            if is_committed {
                self.report.aliases += 1;
                self.target.push(Edit::PutAlias(row))?;
            }
        }
        for (version, tags) in tags {
            if self.state.versions.contains_key(&version) {
                for tag in tags {
                    self.target.push(Edit::AddTag { version, tag })?;
                }
            }
        }
        self.target.flush()
    }
}
