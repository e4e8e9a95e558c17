//! Deleting, and the way back. One transaction each, however much is named.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_api::{
    Delete, DeletedDoc, GoneDoc, Problem, ProjectRef, Restore, RestoredDoc, StaysDoc, VersionDoc,
    VersionRef,
};
use heirloom_catalog::rules::{self, By, Decision, OperationKey, Refusal, Selection};
use heirloom_catalog::{CatalogExt, CollectionRow, Order, ProjectRow, VersionState, View};
use heirloom_core::{
    ArtifactName, ArtifactRef, Caller, CollectionId, ErrorCode, IdempotencyKey, ProjectId, Role,
    Selector, Timestamp, VersionId, VersionIndex,
};
use serde::{Deserialize, Serialize};

use crate::freeable::{self, Effort};
use crate::problem::{Failure, step};
use crate::{Inner, access, browse, docs, reserve};

/// How long a deleted version can be restored.
pub(crate) const UNDO_SECONDS: u64 = 7 * 86_400;

/// Rows read at once.
const PAGE: usize = 256;

/// What a deletion did, as it is stored with its key.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    deleted: rules::Deleted,
    /// What a condition meant, but something holds.
    stays: Vec<(CollectionId, VersionIndex, Vec<String>)>,
}

pub(crate) fn delete(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    request: &Delete,
) -> Result<DeletedDoc, Failure> {
    step("repository::delete")?;
    let by = inner.by(caller);
    let asked = Asked { caller, project, request };
    if request.dry_run {
        let (done, held_by) = inner.catalog.view(|view| asked.dry_run(view, by))?;
        let gone: Vec<VersionId> = done.deleted.versions.iter().map(|one| one.version).collect();
        let freeable = freeable::count(inner, &gone, Effort::Whatever)?;
        let mut doc = inner.catalog.view(|view| describe(view, &done))?;
        (doc.held_by, doc.freeable) = (held_by, Some(freeable));
        return Ok(doc);
    }
    let key = request.key.as_ref().map(|key| Key::new(caller, key, &(project, request)));
    let done = despite_full_disk(inner, || {
        inner.decide(|view| match &key {
            Some(key) if view.operation(&key.key)?.is_some() => Ok(key.answered(view, by)?),
            Some(key) => {
                let plan = asked.plan(view, by.at)?;
                Ok(rules::once(view, Some(key.rule()), by.at, || plan.decide(view, by, request))?)
            }
            None => Ok(asked.plan(view, by.at)?.decide(view, by, request)?),
        })
    })?;
    let mut doc = inner.catalog.view(|view| describe(view, &done))?;
    let gone: Vec<VersionId> = done.deleted.versions.iter().map(|one| one.version).collect();
    // It is deleted, whatever else may be wrong with the repository.
    doc.freeable = freeable::count(inner, &gone, Effort::Little).ok();
    Ok(doc)
}

/// Runs what frees space, on a full disk once more with the room that is kept for
/// it: the database has to write before anything can be freed.
pub(crate) fn despite_full_disk<T>(
    inner: &Inner,
    mut operation: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    match operation() {
        Err(failure) if failure.0.code == ErrorCode::NoSpace => match &inner.home {
            Some(home) if reserve::release(home.path()) => operation(),
            _ => Err(failure),
        },
        done => done,
    }
}

/// A client's key and a hash of what was asked.
struct Key {
    key: String,
    request: [u8; 32],
}

impl Key {
    fn new(caller: &Caller, key: &IdempotencyKey, request: &dyn std::fmt::Debug) -> Self {
        let request = blake3::hash(format!("{request:?}").as_bytes());
        Self { key: format!("{}/{key}", caller.actor()), request: *request.as_bytes() }
    }

    fn rule(&self) -> OperationKey<'_> {
        OperationKey { key: &self.key, request: self.request }
    }

    /// The stored answer, which is there.
    fn answered<T: Serialize + serde::de::DeserializeOwned>(
        &self,
        view: &dyn View,
        by: By<'_>,
    ) -> Result<Decision<T>, Refusal> {
        rules::once(view, Some(self.rule()), by.at, || {
            Err(Refusal::KeyReused { key: self.key.clone() })
        })
    }
}

/// Names to be deleted, as somebody asked.
struct Asked<'a> {
    caller: &'a Caller,
    project: &'a ProjectRef,
    request: &'a Delete,
}

/// What the names mean.
#[derive(Default)]
struct Plan {
    versions: Vec<VersionId>,
    links: Vec<(CollectionId, VersionIndex)>,
    collections: Vec<CollectionId>,
    stays: Vec<(CollectionId, VersionIndex, Vec<String>)>,
}

impl Asked<'_> {
    fn plan(&self, view: &dyn View, now: Timestamp) -> Result<Plan, Failure> {
        let Self { caller, project, request } = *self;
        let mut plan = Plan::default();
        for reference in &request.versions {
            if *reference.selector() == Selector::Unspecified {
                return Err(Problem::invalid(format!(
                    "`{reference}` names no version: deleting needs one, such as `{reference}:v0`"
                ))
                .into());
            }
            let found = access::resolve(view, caller, project, reference, Role::Writer)?;
            let (version, home) = (found.version.id, found.version.collection);
            plan.add(version, home, found.collection.id, found.membership.index);
        }
        for reference in &request.artifacts {
            plan.collections.push(self.collection(view, reference)?.id);
        }
        for matching in &request.matching {
            let collection = self.collection(view, &matching.name)?;
            let selection = Selection {
                only: matching.only.as_ref(),
                as_of: matching.as_of,
                older_than: matching.older_than,
                keep_last: matching.keep_last,
            };
            let told = request.delete_aliases;
            let selected = rules::select(view, &collection, &selection, told, now)?;
            for member in selected.free {
                let Some(version) = view.version(member.version)? else { continue };
                plan.add(version.id, version.collection, collection.id, member.index);
            }
            for (index, by) in selected.held {
                let by = by.iter().map(ToString::to_string).collect();
                plan.stays.push((collection.id, index, by));
            }
        }
        Ok(plan)
    }

    fn collection(&self, view: &dyn View, name: &ArtifactRef) -> Result<CollectionRow, Failure> {
        if *name.selector() != Selector::Unspecified {
            return Err(
                Problem::invalid(format!("`{name}` names a version, not an artifact")).into()
            );
        }
        let named = access::named(self.project, name);
        Ok(browse::find(view, self.caller, &named, name.name(), Role::Writer)?.1)
    }

    /// What would be deleted if nothing were in the way, and what is.
    fn dry_run(&self, view: &dyn View, by: By<'_>) -> Result<(Done, Vec<String>), Failure> {
        let plan = self.plan(view, by.at)?;
        match plan.decide(view, by, self.request) {
            Ok(decision) => Ok((decision.answer, Vec::new())),
            Err(Refusal::InUse { by: holders }) => {
                let by = By { admin: true, ..by };
                let delete = rules::Delete {
                    delete_aliases: true,
                    delete_links: true,
                    ..plan.request(by, self.request)
                };
                let deleted = rules::delete(view, &delete)?.answer;
                let holders = holders.iter().map(ToString::to_string).collect();
                Ok((Done { deleted, stays: plan.stays }, holders))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

impl Plan {
    fn add(
        &mut self,
        version: VersionId,
        home: CollectionId,
        through: CollectionId,
        index: VersionIndex,
    ) {
        match home == through {
            true => self.versions.push(version),
            // A link: it goes, its source stays.
            false => self.links.push((through, index)),
        }
    }

    fn request<'a>(&'a self, by: By<'a>, request: &Delete) -> rules::Delete<'a> {
        rules::Delete {
            versions: &self.versions,
            links: &self.links,
            collections: &self.collections,
            delete_aliases: request.delete_aliases,
            ..rules::Delete::nothing(by, UNDO_SECONDS)
        }
    }

    fn decide(
        &self,
        view: &dyn View,
        by: By<'_>,
        request: &Delete,
    ) -> Result<Decision<Done>, Refusal> {
        let decision = rules::delete(view, &self.request(by, request))?;
        Ok(decision.map(|deleted| Done { deleted, stays: self.stays.clone() }))
    }
}

fn describe(view: &dyn View, done: &Done) -> Result<DeletedDoc, Failure> {
    let mut names = Names::new(view);
    let mut gone = Vec::with_capacity(done.deleted.versions.len() + done.deleted.links.len());
    let links = done.deleted.links.iter().map(|one| (one, true));
    for (one, link) in done.deleted.versions.iter().map(|one| (one, false)).chain(links) {
        gone.push(GoneDoc {
            version: names.of(one.version, one.collection, one.index)?,
            link,
            aliases: one.aliases.clone(),
            files: one.entries,
            size: one.size,
        });
    }
    let mut stays = Vec::with_capacity(done.stays.len());
    for (collection, index, by) in &done.stays {
        let Some(member) = view.membership(*collection, *index)? else { continue };
        let version = names.of(member.version, *collection, *index)?;
        stays.push(StaysDoc { version, by: by.clone() });
    }
    let mut artifacts = Vec::new();
    for id in &done.deleted.collections {
        let (collection, project) = access::home_of(view, *id)?;
        artifacts.push(format!("{}/{}/{}", project.entity, project.name, collection.name));
    }
    Ok(DeletedDoc {
        deleted: gone,
        artifacts,
        stays,
        held_by: Vec::new(),
        restorable_until: done.deleted.purge_after,
        freeable: None,
    })
}

/// Names of versions; each collection's is read once.
pub(crate) struct Names<'a> {
    view: &'a dyn View,
    homes: BTreeMap<CollectionId, (CollectionRow, ProjectRow)>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(view: &'a dyn View) -> Self {
        Self { view, homes: BTreeMap::new() }
    }

    pub(crate) fn of(
        &mut self,
        id: VersionId,
        collection: CollectionId,
        index: VersionIndex,
    ) -> Result<VersionRef, Failure> {
        if let std::collections::btree_map::Entry::Vacant(slot) = self.homes.entry(collection) {
            slot.insert(access::home_of(self.view, collection)?);
        }
        let (home, project) = &self.homes[&collection];
        Ok(VersionRef {
            id,
            entity: project.entity.clone(),
            project: project.name.clone(),
            name: home.name.clone(),
            index,
        })
    }
}

/// Makes deleted versions readable again.
pub(crate) fn restore(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    request: &Restore,
) -> Result<Vec<RestoredDoc>, Failure> {
    step("repository::restore")?;
    let by = inner.by(caller);
    let key = request.key.as_ref().map(|key| Key::new(caller, key, &(project, request)));
    let done: Vec<rules::Restored> = inner.decide(|view| {
        if let Some(key) = &key
            && view.operation(&key.key)?.is_some()
        {
            return Ok(key.answered(view, by)?);
        }
        let mut versions = Vec::new();
        for reference in &request.versions {
            versions.extend(restorable_of(view, caller, project, reference)?);
        }
        let request = rules::RestoreVersions { by, versions: &versions };
        let key = key.as_ref().map(Key::rule);
        Ok(rules::once(view, key, by.at, || rules::restore_versions(view, &request))?)
    })?;
    inner.catalog.view(|view| {
        let mut names = Names::new(view);
        let doc = |one: &rules::Restored| {
            let version = names.of(one.version, one.collection, one.index)?;
            Ok(RestoredDoc { version, kept: one.kept })
        };
        done.iter().map(doc).collect()
    })
}

/// What a reference means that can be restored. The artifact of that name counts;
/// where that has nothing of the kind, the one that was deleted last under it.
fn restorable_of(
    view: &dyn View,
    caller: &Caller,
    project: &ProjectRef,
    reference: &ArtifactRef,
) -> Result<Vec<VersionId>, Failure> {
    let only = match reference.selector() {
        Selector::Unspecified => None,
        Selector::Index(index) => Some(*index),
        _ => {
            return Err(Problem::invalid(format!(
                "`{reference}` names no number: what is deleted has no alias, so restoring needs one, such as `{}:v0`",
                reference.name()
            ))
            .into());
        }
    };
    let named = access::named(project, reference);
    let row = access::project(view, caller, &named, Role::Writer)?;
    let live = rules::find_collection(view, row.id, reference.name())?;
    let gone = deleted_as(view, row.id, reference.name())?;
    for collection in live.iter().chain(&gone) {
        let found = match only {
            Some(index) => match view.membership(collection.id, index)? {
                Some(member) => is_restorable(view, member.version)?
                    .then_some(member.version)
                    .into_iter()
                    .collect(),
                None => Vec::new(),
            },
            None => all_restorable(view, collection.id)?,
        };
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let Some(collection) = live.as_ref().or(gone.first()) else {
        // With the names near to it.
        browse::find(view, caller, &named, reference.name(), Role::Writer)?;
        return Ok(Vec::new());
    };
    let name = &collection.name;
    let Some(index) = only else {
        let message = format!("no deleted version of `{name}` can be restored");
        return Err(Problem::new(ErrorCode::NotFound, message).into());
    };
    let state = match view.membership(collection.id, index)? {
        Some(member) => view.version(member.version)?.map(|version| version.state),
        None => None,
    };
    Err(match state {
        Some(VersionState::Committed) => {
            Problem::new(ErrorCode::Conflict, format!("version `{name}:{index}` is not deleted"))
        }
        Some(VersionState::Purged) => Problem::new(
            ErrorCode::NotFound,
            format!("version `{name}:{index}` was purged: its time to be restored is over"),
        ),
        _ => Problem::not_found("version", format_args!("{name}:{index}")),
    }
    .into())
}

fn is_restorable(view: &dyn View, version: VersionId) -> Result<bool, Failure> {
    let row = view.version(version)?;
    Ok(row.is_some_and(|row| matches!(row.state, VersionState::Deleted { .. })))
}

fn all_restorable(view: &dyn View, collection: CollectionId) -> Result<Vec<VersionId>, Failure> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = view.memberships(collection, after, Order::Oldest, PAGE)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some(last.index);
        let ids: Vec<VersionId> = page.iter().map(|member| member.version).collect();
        for row in view.versions(&ids)? {
            if row.collection == collection && matches!(row.state, VersionState::Deleted { .. }) {
                found.push(row.id);
            }
        }
    }
}

/// Deleted collections of that name, the one deleted last first.
pub(crate) fn deleted_as(
    view: &dyn View,
    project: ProjectId,
    name: &ArtifactName,
) -> Result<Vec<CollectionRow>, Failure> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = view.deleted_collections(project, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        found.extend(page.into_iter().filter(|row| row.name == *name));
    }
    found.sort_by_key(|row| std::cmp::Reverse((row.deleted_at, row.id)));
    Ok(found)
}

/// What can be restored in a project, that which is purged first first.
pub(crate) fn restorable(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
) -> Result<Vec<VersionDoc>, Failure> {
    inner.catalog.view(|view| {
        let row = access::project(view, caller, project, Role::Viewer)?;
        let ever = Timestamp::from_micros(i64::MAX);
        let mut homes: BTreeMap<CollectionId, bool> = BTreeMap::new();
        let mut found = Vec::new();
        for version in view.purgeable(ever, browse::MAX_PAGE)? {
            let here = match homes.get(&version.collection) {
                Some(here) => *here,
                None => {
                    let (_, home) = access::home_of(view, version.collection)?;
                    homes.insert(version.collection, home.id == row.id);
                    home.id == row.id
                }
            };
            if here {
                found.push(docs::home_version(view, caller, &version)?);
            }
        }
        Ok(found)
    })
}

/// When and by whom versions of a collection were deleted, as its journal tells.
pub(crate) fn deletions(
    view: &dyn View,
    collection: CollectionId,
    mut wanted: BTreeSet<VersionIndex>,
) -> Result<BTreeMap<VersionIndex, (Timestamp, String)>, Failure> {
    let mut found = BTreeMap::new();
    let mut before = None;
    while !wanted.is_empty() {
        let page = view.events(collection, before, PAGE)?;
        let Some(last) = page.last() else { break };
        before = Some(last.seq);
        for event in page {
            let is_deletion = event.kind == heirloom_catalog::EventKind::Deleted;
            if let Some(index) = event.index.filter(|_| is_deletion)
                && wanted.remove(&index)
            {
                found.insert(index, (event.at, event.actor));
            }
        }
    }
    Ok(found)
}

/// A collection by name for those who ask what became of it: the present one, or
/// else the one that was deleted last.
pub(crate) fn find_even_deleted(
    view: &dyn View,
    caller: &Caller,
    project: &ProjectRef,
    name: &ArtifactName,
) -> Result<(ProjectRow, CollectionRow), Failure> {
    match browse::find(view, caller, project, name, Role::Viewer) {
        Err(failure) if failure.0.code == ErrorCode::NotFound => {
            let Ok(row) = access::project(view, caller, project, Role::Viewer) else {
                return Err(failure);
            };
            match deleted_as(view, row.id, name)?.into_iter().next() {
                Some(collection) => Ok((row, collection)),
                None => Err(failure),
            }
        }
        found => found,
    }
}
