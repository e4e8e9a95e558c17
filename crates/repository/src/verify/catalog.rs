//! What the catalog says of itself and of the objects.

use std::collections::HashSet;

use heirloom_catalog::{CatalogExt, CollectionKind, CollectionRow, Order, ProjectRow, View};
use heirloom_core::{Scope, VersionIndex};
use heirloom_store::{Found, ObjectKey, PackReader, StoreError, StoreExt};

use super::pool::Place;
use super::{PAGE, Verifier};
use crate::journal::Piece;
use crate::problem::{Failure, chain};
use crate::read::Nodes;

/// Edges looked at in one go.
const EDGES: usize = 4096;

/// Most leftovers and damages of one kind that are named one by one.
const MAX_NAMED: usize = 1000;

impl Verifier<'_, '_> {
    /// Sealed pieces of the journal: whole, and what the catalog takes them for.
    pub(super) fn journal(&mut self) -> Result<(), Failure> {
        let mut projects = Vec::new();
        self.projects(&mut |project| {
            projects.push(project.clone());
            Ok(())
        })?;
        for project in projects {
            let rows = self.inner.catalog.view(|view| view.journal(project.id))?;
            let name: std::sync::Arc<str> =
                format!("the journal of {}/{}", project.entity, project.name).into();
            let place = Place { version: None, name, path: None };
            for row in &rows {
                let scope = Scope(project.id);
                self.hand_over(scope, &mut vec![(row.blob, place.clone())])?;
                let Ok(bytes) = Nodes::new(self.inner, scope).blob(&row.blob) else { continue };
                let what = match Piece::decode(&bytes) {
                    Err(error) => error.to_string(),
                    Ok(piece) if (piece.first(), piece.last()) != (row.first, row.last) => {
                        "it has other events than the catalog says".to_owned()
                    }
                    Ok(_) => continue,
                };
                self.bad_thing("journal", Some(row.blob), what, &place.name);
            }
        }
        Ok(())
    }

    /// Checksums of rows, and whether rows fit together.
    pub(super) fn catalog(&mut self) -> Result<(), Failure> {
        let mut rows = Vec::new();
        if let Err(error) = self.inner.catalog.check(&mut |row| rows.push(row)) {
            rows.push(chain(&error));
        }
        if rows.is_empty() {
            // With rows that cannot be read these would only repeat it.
            match self.relations() {
                Ok(found) => rows = found,
                Err(failure) => rows.push(failure.0.message),
            }
        }
        for row in rows {
            self.bad_thing("catalog", None, row, "");
        }
        Ok(())
    }

    fn relations(&self) -> Result<Vec<String>, Failure> {
        let mut wrong = Vec::new();
        self.projects(&mut |project| {
            let mut after = None;
            loop {
                let page = self
                    .inner
                    .catalog
                    .view(|view| view.collections(project.id, after.as_ref(), PAGE))?;
                for row in &page {
                    // In one snapshot each, so that no writer comes between.
                    self.inner.catalog.view(|view| collection(view, project, row, &mut wrong))?;
                }
                match page.into_iter().next_back() {
                    Some(last) => after = Some(last.name),
                    None => return Ok(()),
                }
            }
        })?;
        self.inner.catalog.view(|view| edges(view, &mut wrong))?;
        Ok(wrong)
    }

    /// Registered objects must be there; leftovers are counted, and names that are
    /// none of ours are told.
    pub(super) fn objects(&mut self) -> Result<(), Failure> {
        let named: HashSet<String> =
            self.report.damages.iter().map(|damage| damage.object.clone()).collect();
        let mut after = None;
        loop {
            let page = self.inner.catalog.view(|view| view.objects(after.as_ref(), PAGE))?;
            let Some(last) = page.last() else { break };
            after = Some(last.key);
            for row in page.iter().filter(|row| row.state.is_usable()) {
                let Some(what) = self.object(&row.key, row.size)? else { continue };
                // It may have been deleted properly since the page was read.
                let now = self.inner.catalog.view(|view| view.object(&row.key))?;
                let object = row.key.to_string();
                if now.is_some_and(|now| now.state.is_usable())
                    && self.object(&row.key, row.size)?.is_some()
                    && !named.contains(&object)
                {
                    self.bad_thing(&object, None, what, "");
                }
            }
        }
        let mut foreign = 0;
        for found in self.inner.store.walk() {
            match found? {
                Found::Foreign(name) => {
                    foreign += 1;
                    if foreign <= MAX_NAMED {
                        self.bad_thing(&name, None, "it is not an object".to_owned(), "");
                    }
                }
                Found::Object(key, info) => {
                    if self.inner.catalog.view(|view| view.object(&key))?.is_none()
                        && !self.inner.store.is_held(&key)?
                    {
                        self.report.leftovers += 1;
                        self.report.leftover_bytes += info.size;
                    }
                }
            }
        }
        Ok(())
    }

    /// What is wrong with an object, but for its blobs.
    fn object(&self, key: &ObjectKey, size: u64) -> Result<Option<String>, Failure> {
        Ok(match self.inner.store.stat(key) {
            Ok(Some(info)) if info.size == size => self.frame(key)?,
            Ok(Some(info)) => Some(format!("it has {} bytes, the catalog says {size}", info.size)),
            Ok(None) => Some("it is not in the store".to_owned()),
            Err(error) if error.is_damage() => Some(chain(&error)),
            Err(error) => return Err(error.into()),
        })
    }

    /// What is wrong with what a pack has beside its blobs. Nothing that is read
    /// today needs its index, but a catalog that is rebuilt does.
    fn frame(&self, key: &ObjectKey) -> Result<Option<String>, Failure> {
        let ObjectKey::Pack(id) = key else { return Ok(None) };
        match PackReader::open(&*self.inner.store, id) {
            Ok(_) => Ok(None),
            Err(StoreError::NotFound { .. }) => Ok(Some("it is not in the store".to_owned())),
            Err(error) if error.is_damage() => Ok(Some(chain(&error))),
            Err(error @ StoreError::Unsupported { .. }) => Ok(Some(chain(&error))),
            Err(error) => Err(error.into()),
        }
    }
}

/// Numbers are dense, and aliases name committed versions.
fn collection(
    view: &dyn View,
    project: &ProjectRow,
    row: &CollectionRow,
    wrong: &mut Vec<String>,
) -> Result<(), Failure> {
    let Some(row) = view.collection_by_id(row.id)? else { return Ok(()) };
    let name = format!("{}/{}/{}", project.entity, project.name, row.name);
    if row.kind == CollectionKind::Sequence {
        let mut next = VersionIndex::ZERO;
        let mut after = None;
        loop {
            let page = view.memberships(row.id, after, Order::Oldest, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.index);
            for place in &page {
                if place.index != next {
                    wrong.push(format!("{name}: no version has the number {next}"));
                    next = place.index;
                }
                next = next.next();
            }
        }
        if next != row.next_index {
            wrong.push(format!(
                "{name}: the last number is before {next}, the next one {}",
                row.next_index
            ));
        }
    }
    for alias in view.aliases(row.id)? {
        let place = view.membership(row.id, alias.index)?;
        let version = match place {
            Some(place) => view.version(place.version)?,
            None => None,
        };
        if !version.is_some_and(|version| version.state.is_committed()) {
            wrong.push(format!("{name}: alias {} names no version that can be read", alias.alias));
        }
    }
    Ok(())
}

/// Edges have a run and a version.
fn edges(view: &dyn View, wrong: &mut Vec<String>) -> Result<(), Failure> {
    let mut all = Vec::new();
    view.all_edges(&mut |edge| all.push((edge.run, edge.version)))?;
    for batch in all.chunks(EDGES) {
        let mut runs: Vec<_> = batch.iter().map(|(run, _)| *run).collect();
        let mut versions: Vec<_> = batch.iter().map(|(_, version)| *version).collect();
        runs.sort_unstable();
        runs.dedup();
        versions.sort_unstable();
        versions.dedup();
        let runs: HashSet<_> = view.runs(&runs)?.into_iter().map(|run| run.id).collect();
        let versions: HashSet<_> =
            view.versions(&versions)?.into_iter().map(|version| version.id).collect();
        for (run, version) in batch {
            if !runs.contains(run) || !versions.contains(version) {
                wrong.push(format!(
                    "an edge between run {run} and version {version} has lost an end"
                ));
            }
        }
    }
    Ok(())
}
