//! Sealing: what the catalog alone knows goes into the store, piece by piece.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_catalog::{CatalogError, Edit};
use heirloom_catalog::{
    CatalogExt, EdgeKind, EventKind, EventRow, JournalRow, Location, ObjectRow, ProjectRow,
    VersionState, View,
};
use heirloom_core::{
    Alias, ArtifactName, CollectionId, EntityName, ProjectId, ProjectName, RunId, Scope, VersionId,
    VersionIndex,
};
use heirloom_manifest::BlobId;
use heirloom_store::{Kind, ObjectKey, PackOptions, PackWriter};
use serde_json::Value;

use super::piece::{MAX_PIECE_BYTES, Piece, PieceRun, PieceVersion, Place, PlacedAlias};
use crate::Inner;
use crate::problem::Failure;
use crate::read::Nodes;
use crate::write::is_present;

/// Events in a piece at most.
pub(crate) const EVENTS_PER_PIECE: usize = 1024;

/// A piece longer than this is made of fewer events.
const PIECE_TARGET: usize = 4 << 20;

/// Texts longer than this (a configuration, an edited description) are left out of
/// a piece, which has to fit into a pack.
const MAX_TEXT: usize = 4 << 20;

/// An event whose detail is longer has it left out: what it says of texts is
/// with the version.
const MAX_DETAIL: usize = 64 << 10;

/// Edges of one version that came with it from elsewhere, at most.
const MAX_EDGES: usize = 100_000;

/// Of so many commits one looks whether there is enough to seal.
const COMMITS_PER_LOOK: u64 = 64;

/// Projects read at once.
const PAGE: usize = 100;

/// What was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sealed {
    /// Pieces written.
    pub(crate) pieces: u64,
    /// Events in them.
    pub(crate) events: u64,
}

/// Writes the events of all projects that are in no piece yet into the store.
/// Two at once do no harm: each event gets into one piece.
///
/// # Errors
/// Of store and catalog; what was sealed before stays sealed.
pub(crate) fn seal(inner: &Inner) -> Result<Sealed, Failure> {
    seal_all(inner, None)
}

/// [`seal`] for a catalog that was just rebuilt, whose journal begins anew.
pub(crate) fn seal_generation(inner: &Inner, generation: u64) -> Result<Sealed, Failure> {
    seal_all(inner, Some(generation))
}

fn seal_all(inner: &Inner, generation: Option<u64>) -> Result<Sealed, Failure> {
    let mut sealed = Sealed::default();
    let mut after: Option<ProjectRow> = None;
    loop {
        let page = inner
            .catalog
            .view(|view| view.projects(after.as_ref().map(|row| (&row.entity, &row.name)), PAGE))?;
        let Some(last) = page.last() else { return Ok(sealed) };
        after = Some(last.clone());
        for project in &page {
            seal_project(inner, project, generation, 1, &mut sealed)?;
        }
    }
}

/// After a commit: seals the project's journal if much of it is not sealed. One
/// commit of many looks, picked by its random id, so that the look costs nothing.
/// A failure is none of the commit, which is done: the next look tries again.
pub(crate) fn after_commit(inner: &Inner, project: &ProjectRow, version: VersionId) {
    if version.get().is_multiple_of(COMMITS_PER_LOOK) {
        let _ = seal_project(inner, project, None, EVENTS_PER_PIECE, &mut Sealed::default());
    }
}

/// Seals a project's journal while at least so many events wait.
fn seal_project(
    inner: &Inner,
    project: &ProjectRow,
    generation: Option<u64>,
    at_least: usize,
    sealed: &mut Sealed,
) -> Result<(), Failure> {
    let mut most = EVENTS_PER_PIECE;
    loop {
        let last = inner.catalog.view(|view| last_piece(view, project.id))?;
        let previous = last.map(|row| row.blob);
        let generation = match (generation, previous) {
            (Some(generation), _) => generation,
            (None, None) => 1,
            (None, Some(id)) => generation_of(inner, project.id, &id)?,
        };
        let piece = inner.catalog.view(|view| {
            // Looked up again: this snapshot is the one that counts.
            if last_piece(view, project.id)? != last {
                return Ok::<_, Failure>(None);
            }
            let after = last.map_or(0, |row| row.last);
            let events = view.project_events(project.id, after, most)?;
            if events.len() < at_least.min(most).max(1) {
                return Ok(None);
            }
            gather(view, project, generation, previous, events).map(Some)
        })?;
        let Some(mut piece) = piece else { return Ok(()) };
        let mut bytes = piece.encode();
        if bytes.len() > PIECE_TARGET && piece.events.len() > 1 {
            most = piece.events.len() / 2;
            continue;
        }
        if bytes.len() > MAX_PIECE_BYTES {
            shorten(&mut piece);
            bytes = piece.encode();
        }
        if !publish(inner, project.id, last, &piece, &bytes)? {
            // Somebody else sealed the same events.
            continue;
        }
        sealed.pieces += 1;
        sealed.events += piece.events.len() as u64;
    }
}

fn last_piece(view: &dyn View, project: ProjectId) -> Result<Option<JournalRow>, CatalogError> {
    Ok(view.journal(project)?.pop())
}

/// The generation of the piece before. A piece that cannot be read does not keep
/// the next from being written.
fn generation_of(inner: &Inner, project: ProjectId, id: &BlobId) -> Result<u64, Failure> {
    match Nodes::new(inner, Scope(project)).blob(id) {
        Ok(bytes) => Ok(Piece::decode(&bytes).map_or(1, |piece| piece.generation)),
        Err(problem) if problem.code == heirloom_core::ErrorCode::Corrupt => Ok(1),
        Err(problem) => Err(problem.into()),
    }
}

/// Puts a piece into the store and on record; `false` when another was faster.
fn publish(
    inner: &Inner,
    project: ProjectId,
    last: Option<JournalRow>,
    piece: &Piece,
    bytes: &[u8],
) -> Result<bool, Failure> {
    let mut writer = PackWriter::new(&*inner.store, PackOptions::default())?;
    let blob = writer.add(Kind::Journal, bytes)?;
    let pack = writer.finish_checked(&*inner.store)?.expect("a pack with one blob is not empty");
    let key = ObjectKey::Pack(pack.id);
    let location = Location::packed(key, &pack.records[0]);
    let now = inner.env.now();
    inner.catalog.transact(|view| {
        // No draft is needed: the object is on record and needed in one step. As
        // with every publish, the store is asked under the lock of writers.
        let present = is_present(inner, &key, pack.size)?;
        if last_piece(view, project)? != last || !present {
            return Ok((Vec::new(), false));
        }
        let object = view.object(&key)?.unwrap_or(ObjectRow::stored(key, pack.size, now));
        let edits = vec![
            Edit::PutObject(object.needed(view.epoch()?)),
            Edit::AddLocations {
                scope: Scope(project),
                object: key,
                blobs: vec![(blob, location)],
            },
            Edit::AddJournal(JournalRow {
                project,
                first: piece.first(),
                last: piece.last(),
                blob,
            }),
        ];
        Ok::<_, Failure>((edits, true))
    })
}

/// What an event's detail says that points at something else.
struct Detail(Value);

impl Detail {
    fn of(event: &EventRow) -> Self {
        Self(serde_json::from_str(&event.detail).unwrap_or(Value::Null))
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field)?.as_str()
    }

    /// Whether it says anything of the field, be it that it was left out.
    fn has(&self, field: &str) -> bool {
        let omitted = self.0.get("omitted").and_then(Value::as_array);
        self.0.get(field).is_some()
            || omitted.is_some_and(|names| names.iter().any(|name| name == field))
    }

    /// The names of its fields, for a detail that is too long.
    fn without_values(&self, bytes: usize) -> String {
        let names: Vec<&String> =
            self.0.as_object().into_iter().flat_map(|map| map.keys()).collect();
        serde_json::json!({ "omitted": names, "bytes": bytes }).to_string()
    }
}

/// Everything that the events touched, as it stands.
fn gather(
    view: &dyn View,
    project: &ProjectRow,
    generation: u64,
    previous: Option<BlobId>,
    mut events: Vec<EventRow>,
) -> Result<Piece, Failure> {
    let mut collections = BTreeSet::new();
    let mut redirects: BTreeMap<String, ArtifactName> = BTreeMap::new();
    let mut places: BTreeSet<(CollectionId, VersionIndex)> = BTreeSet::new();
    let mut edited: BTreeSet<(CollectionId, VersionIndex)> = BTreeSet::new();
    let mut aliases: BTreeMap<(CollectionId, String), Alias> = BTreeMap::new();
    let mut runs: BTreeSet<RunId> = BTreeSet::new();
    for event in &mut events {
        let detail = Detail::of(event);
        collections.insert(event.collection);
        runs.extend(event.run);
        if let Some(index) = event.index {
            places.insert((event.collection, index));
            if detail.has("description") || detail.has("metadata") {
                edited.insert((event.collection, index));
            }
        }
        if let Some(alias) = detail.text("alias").and_then(|name| Alias::new(name).ok()) {
            aliases.insert((event.collection, alias.as_str().to_owned()), alias);
        }
        if event.kind == EventKind::Renamed {
            for name in ["from", "to"].into_iter().filter_map(|field| detail.text(field)) {
                if let Ok(name) = ArtifactName::new(name) {
                    redirects.insert(name.as_str().to_owned(), name);
                }
            }
        }
        if event.detail.len() > MAX_DETAIL {
            event.detail = detail.without_values(event.detail.len());
        }
    }
    let mut piece = Piece {
        entity: project.entity.clone(),
        project: project.name.clone(),
        created_at: project.created_at,
        ttl: project.ttl,
        generation,
        previous,
        collections: Vec::new(),
        redirects: Vec::new(),
        versions: Vec::new(),
        places: Vec::new(),
        aliases: Vec::new(),
        runs: Vec::new(),
        edges: Vec::new(),
        events,
    };
    for id in collections {
        if let Some(row) = view.collection_by_id(id)? {
            piece
                .collections
                .push(heirloom_catalog::CollectionRow { project: ProjectId(0), ..row });
        }
    }
    for name in redirects.into_values() {
        let to = view.redirect(project.id, &name)?;
        piece.redirects.push((name, to));
    }
    for (collection, alias) in aliases {
        let at = view.alias(collection.0, &alias)?.map(|row| (row.index, row.protected));
        piece.aliases.push(PlacedAlias { collection: collection.0, alias, at });
    }
    let mut at: BTreeMap<(CollectionId, VersionIndex), VersionId> = BTreeMap::new();
    let mut with_texts: BTreeSet<VersionId> = BTreeSet::new();
    for place in places {
        let row = view.membership(place.0, place.1)?;
        let holds = row.as_ref().map(|row| (row.version, row.created_at));
        piece.places.push(Place { collection: place.0, index: place.1, holds });
        if let Some(row) = row {
            at.insert(place, row.version);
            if edited.contains(&place) {
                with_texts.insert(row.version);
            }
        }
    }
    for id in at.values().copied().collect::<BTreeSet<_>>() {
        if let Some(version) = version(view, id, with_texts.contains(&id))? {
            piece.versions.push(version);
        }
    }
    let mut edges = BTreeMap::new();
    for event in &piece.events {
        let Some(version) = event.index.and_then(|index| at.get(&(event.collection, index))) else {
            continue;
        };
        let mut add = |edge: heirloom_catalog::EdgeRow| {
            edges.insert((edge.run, edge.kind, edge.version), edge);
        };
        if let Some(run) = event.run {
            for kind in [EdgeKind::Produced, EdgeKind::Used] {
                view.edge(kind, run, *version)?.into_iter().for_each(&mut add);
            }
        }
        let kind = match event.kind {
            EventKind::Committed => Some(EdgeKind::Produced),
            EventKind::Imported => None,
            _ => continue,
        };
        view.edges_of_versions(&[*version], kind)?.into_iter().take(MAX_EDGES).for_each(add);
    }
    runs.extend(edges.keys().map(|(run, _, _)| *run));
    piece.edges = edges.into_values().collect();
    piece.runs = rows_of(view, project, &runs)?;
    Ok(piece)
}

fn version(
    view: &dyn View,
    id: VersionId,
    edited: bool,
) -> Result<Option<PieceVersion>, CatalogError> {
    let Some(mut row) = view.version(id)? else { return Ok(None) };
    let texts = (row.description.take(), row.metadata.take());
    let fits = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= MAX_TEXT);
    // A purged version's record goes with the next gc.
    let wanted = edited || row.state == VersionState::Purged;
    let texts = (wanted && fits(&texts.0) && fits(&texts.1)).then_some(texts);
    let tags = view.tags(id)?;
    Ok(Some(PieceVersion { row, texts, tags }))
}

fn rows_of(
    view: &dyn View,
    project: &ProjectRow,
    ids: &BTreeSet<RunId>,
) -> Result<Vec<PieceRun>, CatalogError> {
    let mut names: BTreeMap<i64, (EntityName, ProjectName)> = BTreeMap::new();
    names.insert(project.id.0, (project.entity.clone(), project.name.clone()));
    let ids: Vec<RunId> = ids.iter().copied().collect();
    let mut out = Vec::with_capacity(ids.len());
    for mut row in view.runs(&ids)? {
        if !names.contains_key(&row.project.0)
            && let Some(other) = view.project_by_id(row.project)?
        {
            names.insert(other.id.0, (other.entity, other.name));
        }
        let Some((entity, project)) = names.get(&row.project.0).cloned() else { continue };
        row.project = ProjectId(0);
        for text in [&mut row.config, &mut row.summary] {
            if text.as_ref().is_some_and(|text| text.len() > MAX_DETAIL * 16) {
                *text = None;
            }
        }
        out.push(PieceRun { entity, project, row });
    }
    out.sort_by_key(|run| run.row.id);
    Ok(out)
}

/// Leaves out what made the piece of one event too long to be kept.
fn shorten(piece: &mut Piece) {
    for run in &mut piece.runs {
        run.row.config = None;
        run.row.summary = None;
    }
    let too_long = |version: &PieceVersion| {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        version.texts.as_ref().is_some_and(|(a, b)| length(a) + length(b) > MAX_TEXT)
    };
    for version in piece.versions.iter_mut().filter(|version| too_long(version)) {
        version.texts = None;
    }
    piece.edges.truncate(MAX_EDGES);
}
