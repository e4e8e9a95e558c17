//! The end of lifetimes: expired versions are deleted, in bounded batches, as if
//! somebody had asked for it.

use heirloom_catalog::rules::{self, By};
use heirloom_catalog::{CatalogExt, CollectionRow, ProjectRow, View};
use heirloom_core::{CollectionId, Timestamp, VersionId};
use std::collections::HashMap;

use crate::Inner;
use crate::delete::{Names, UNDO_SECONDS, despite_full_disk};
use crate::problem::Failure;

/// Versions read at once, and most that one transaction deletes.
const BATCH: usize = 256;

/// Names that a report lists of each kind.
const NAMED: usize = 1000;

/// What expired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expired {
    /// Number of versions that were deleted, or would be.
    pub(crate) deleted: u64,
    /// Their names, as `project/name:vN`; the first 1000.
    pub(crate) names: Vec<String>,
    /// Number of versions whose lifetime has ended but that something holds.
    pub(crate) held: u64,
}

/// Deletes every version of the repository whose lifetime ended at `now` or before
/// and that nothing holds; with `dry_run` only counts. `actor` is recorded as who
/// did it.
pub(crate) fn expire(
    inner: &Inner,
    actor: &str,
    now: Timestamp,
    dry_run: bool,
) -> Result<Expired, Failure> {
    let mut report = Expired::default();
    let mut homes = Homes::default();
    let mut after = None;
    loop {
        let (last, due) = inner.catalog.view(|view| page(view, after, now, &mut homes))?;
        if !due.is_empty() {
            let by = By { actor, at: now, admin: false };
            let request = rules::Expire { by, versions: &due, undo_seconds: UNDO_SECONDS };
            let expired = match dry_run {
                true => inner
                    .catalog
                    .view(|view| Ok::<_, Failure>(rules::expire(view, &request)?.answer))?,
                false => despite_full_disk(inner, || {
                    inner.decide(|view| Ok(rules::expire(view, &request)?))
                })?,
            };
            report.held += expired.held.len() as u64;
            report.deleted += expired.deleted.versions.len() as u64;
            let room = NAMED.saturating_sub(report.names.len());
            inner.catalog.view(|view| {
                let mut names = Names::new(view);
                for one in expired.deleted.versions.iter().take(room) {
                    let name = names.of(one.version, one.collection, one.index)?;
                    report.names.push(name.to_string());
                }
                Ok::<(), Failure>(())
            })?;
        }
        after = Some(match last {
            Some(last) => last,
            None => return Ok(report),
        });
    }
}

/// Collections and projects that lifetimes were inherited from in this pass.
#[derive(Default)]
struct Homes(HashMap<CollectionId, Option<(CollectionRow, ProjectRow)>>);

/// One page of versions: its last, and those of it whose lifetime has ended.
fn page(
    view: &dyn View,
    after: Option<VersionId>,
    now: Timestamp,
    homes: &mut Homes,
) -> Result<(Option<VersionId>, Vec<VersionId>), Failure> {
    let page = view.all_versions(after, BATCH)?;
    let last = page.last().map(|version| version.id);
    let mut due = Vec::new();
    for version in page.iter().filter(|version| version.state.is_committed()) {
        let home = match homes.0.get(&version.collection) {
            Some(home) => home,
            None => {
                let collection = view.collection_by_id(version.collection)?;
                let project = match &collection {
                    Some(collection) => view.project_by_id(collection.project)?,
                    None => None,
                };
                homes.0.entry(version.collection).or_insert(collection.zip(project))
            }
        };
        let end = home
            .as_ref()
            .and_then(|(collection, project)| rules::expires_at(version, collection, project));
        if end.is_some_and(|end| end <= now) {
            due.push(version.id);
        }
    }
    Ok((last, due))
}
