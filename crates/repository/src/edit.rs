//! Changing names: runs, aliases, tags, descriptions, links. Each is a rule
//! inside one transaction.

use std::collections::{BTreeMap, HashSet};

use heirloom_api::{
    BeginDraft, CollectionDoc, Commit, Committed, DraftDoc, Expected, Problem, ProjectDoc,
    ProjectRef, RunDoc, StartRun, UpdateCollection, UpdateProject, UpdateRun, UpdateVersion,
    VersionDoc,
};
use heirloom_catalog::rules::{self, By, Decision};
use heirloom_catalog::{
    CatalogExt, CollectionRow, Location, MembershipRow, ProjectRow, RunRow, View,
};
use heirloom_core::{
    Alias, ArtifactName, Caller, CollectionId, DraftId, IdempotencyKey, ProjectId, Role, RunId,
    RunName, RunState, Scope, Tag, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, Link, NodeId};
use heirloom_store::ObjectKey;

use crate::problem::{Failure, step};
use crate::read::{Nodes, each_node};
use crate::{Inner, access, browse, commit, docs, write};

/// Blobs located in one query when a version is copied.
const COPY_BATCH: usize = 8192;

impl Inner {
    pub(crate) fn by<'a>(&self, caller: &'a Caller) -> By<'a> {
        By { actor: caller.actor(), at: self.env.now(), admin: false }
    }

    pub(crate) fn decide<T>(
        &self,
        mut rule: impl FnMut(&dyn View) -> Result<Decision<T>, Failure>,
    ) -> Result<T, Failure> {
        self.catalog.transact(|view| rule(view).map(Decision::into_parts))
    }

    /// As [`Inner::decide`], for what a loss of power may undo: all about drafts.
    fn decide_soon<T>(
        &self,
        mut rule: impl FnMut(&dyn View) -> Result<Decision<T>, Failure>,
    ) -> Result<T, Failure> {
        self.catalog.transact_soon(|view| rule(view).map(Decision::into_parts))
    }

    fn fresh_collection(&self) -> CollectionId {
        CollectionId((self.env.random() >> 1) as i64)
    }
}

/// The project, made when it does not exist.
pub(crate) fn ensure_project(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
) -> Result<ProjectRow, Failure> {
    access::require_named(caller, project, Role::Writer)?;
    let found = inner.catalog.view(|view| view.project(&project.entity, &project.project))?;
    if let Some(row) = found {
        return Ok(row);
    }
    // Of 31 bits: it stands in every location row, and projects are few.
    let id = ProjectId((inner.env.random() >> 33) as i64);
    let at = inner.env.now();
    inner.decide(|view| {
        let request =
            rules::EnsureProject { entity: &project.entity, name: &project.project, id, at };
        Ok(rules::ensure_project(view, &request)?)
    })
}

pub(crate) fn start_run(
    inner: &Inner,
    caller: &Caller,
    request: &StartRun,
) -> Result<RunDoc, Failure> {
    let project = ensure_project(inner, caller, &request.project)?;
    let name = match &request.name {
        Some(name) => name.clone(),
        None => random_run_name(inner.env.random()),
    };
    let row = RunRow {
        id: RunId::from_random(inner.env.random()),
        project: project.id,
        display_name: request.display_name.clone().unwrap_or_else(|| name.to_string()),
        name,
        job_type: request.job_type.clone(),
        group: request.group.clone(),
        config: request.config.as_ref().map(serde_json::Value::to_string),
        summary: None,
        state: RunState::Running,
        exit_code: None,
        started_at: inner.env.now(),
        ended_at: None,
        actor: caller.actor().to_owned(),
        provenance: request.provenance.clone(),
    };
    let run = inner.decide(|view| {
        // The same name means the same run: processes of one job share it.
        if let Some(existing) = view.run_by_name(project.id, &row.name)? {
            return Ok(Decision::unchanged(existing));
        }
        Ok(rules::start_run(view, &row)?)
    })?;
    docs::run(&run, &project)
}

/// Eight characters of base 36, as the wandb client makes them.
fn random_run_name(mut bits: u64) -> RunName {
    const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let text: String = (0..8)
        .map(|_| {
            let digit = DIGITS[(bits % 36) as usize];
            bits /= 36;
            char::from(digit)
        })
        .collect();
    RunName::new(&text).expect("letters and digits are a valid run id")
}

pub(crate) fn update_run(
    inner: &Inner,
    caller: &Caller,
    id: RunId,
    request: &UpdateRun,
) -> Result<RunDoc, Failure> {
    let summary = request.summary.as_ref().map(serde_json::Value::to_string);
    let config = request.config.as_ref().map(serde_json::Value::to_string);
    let at = inner.env.now();
    let (_, project) = inner.catalog.view(|view| access::run(view, caller, id, Role::Writer))?;
    let mut run = None;
    if summary.is_some() || config.is_some() {
        run = Some(inner.decide(|view| {
            let request = rules::UpdateRun {
                run: id,
                display_name: None,
                job_type: None,
                group: None,
                config: config.as_deref().map(Some),
                summary: summary.as_deref().map(Some),
            };
            Ok(rules::update_run(view, &request)?)
        })?);
    }
    if let Some((state, exit_code)) = request.finish {
        run = Some(inner.decide(|view| {
            Ok(rules::finish_run(view, &rules::FinishRun { run: id, state, exit_code, at })?)
        })?);
    }
    match run {
        Some(run) => docs::run(&run, &project),
        None => {
            let (run, project) =
                inner.catalog.view(|view| access::run(view, caller, id, Role::Viewer))?;
            docs::run(&run, &project)
        }
    }
}

pub(crate) fn begin_draft(
    inner: &Inner,
    caller: &Caller,
    request: &BeginDraft,
) -> Result<DraftDoc, Failure> {
    step("repository::begin_draft")?;
    let project = ensure_project(inner, caller, &request.project)?;
    let draft = DraftId::from_random(inner.env.random());
    own(inner, draft)?;
    let base = inner.decide_soon(|view| {
        let base = match request.base {
            None => commit::base_of(view, caller, &project, &request.name)?,
            Some(base) => Some(commit::base_asked(view, caller, &project, &request.name, base)?),
        };
        let decision = rules::begin_draft(
            view,
            &rules::BeginDraft {
                by: inner.by(caller),
                draft,
                project: project.id,
                name: &request.name,
                artifact_type: request.artifact_type.as_ref(),
                base: base.as_ref().map(|doc| doc.id),
            },
        )?;
        Ok(decision.map(|_| base))
    })?;
    Ok(DraftDoc { id: draft, base })
}

/// The draft's scope, if the caller may write there.
pub(crate) fn draft_scope(
    inner: &Inner,
    caller: &Caller,
    draft: DraftId,
) -> Result<Scope, Failure> {
    inner.catalog.view(|view| {
        let row = view.draft(draft)?.ok_or_else(|| write::fenced(draft))?;
        let project =
            access::may_read(view, caller, row.project)?.ok_or_else(|| write::fenced(draft))?;
        let named = ProjectRef { entity: project.entity, project: project.name };
        access::require_named(caller, &named, Role::Writer)?;
        Ok(Scope(row.project))
    })
}

/// Marks a draft as this process's, before it is begun.
fn own(inner: &Inner, draft: DraftId) -> Result<(), Failure> {
    let Some(home) = &inner.home else { return Ok(()) };
    for old in home.many_owned() {
        if inner.catalog.view(|view| view.draft(old))?.is_none() {
            home.disown(old);
        }
    }
    home.own(draft);
    Ok(())
}

/// Takes the mark of a draft away that was committed or aborted.
pub(crate) fn disown(inner: &Inner, draft: DraftId) {
    if let Some(home) = &inner.home {
        home.disown(draft);
    }
}

pub(crate) fn abort_draft(inner: &Inner, caller: &Caller, draft: DraftId) -> Result<(), Failure> {
    match draft_scope(inner, caller, draft) {
        Ok(_) => {
            inner.decide_soon(|view| Ok(rules::abort_draft(view, draft)?))?;
            disown(inner, draft);
            Ok(())
        }
        Err(failure) if failure.0.code == heirloom_core::ErrorCode::Fenced => Ok(()),
        Err(failure) => Err(failure),
    }
}

pub(crate) fn use_version(
    inner: &Inner,
    caller: &Caller,
    run: RunId,
    version: VersionId,
    asked: &str,
) -> Result<(), Failure> {
    let at = inner.env.now();
    inner.decide(|view| {
        access::run(view, caller, run, Role::Writer)?;
        access::version(view, caller, version)?;
        let request = rules::UseVersion { run, version, asked: Some(asked), at };
        Ok(rules::use_version(view, &request)?.map(|_| ()))
    })
}

/// The collection that a document was reached through, where the caller may write
/// and the document's number still means the document's version.
fn writable(
    view: &dyn View,
    caller: &Caller,
    version: &VersionDoc,
) -> Result<(ProjectRow, CollectionRow), Failure> {
    let project = ProjectRef { entity: version.entity.clone(), project: version.project.clone() };
    let (project, collection) = browse::find(view, caller, &project, &version.name, Role::Writer)?;
    // Since the document was made its name may have gone to another collection.
    if place(view, &collection, version.index)?.version != version.id {
        return Err(gone(version).into());
    }
    Ok((project, collection))
}

pub(crate) fn set_alias(
    inner: &Inner,
    caller: &Caller,
    version: &VersionDoc,
    alias: &Alias,
    expected: Expected,
) -> Result<(), Failure> {
    inner.decide(|view| {
        let (_, collection) = writable(view, caller, version)?;
        let request = rules::SetAlias {
            by: inner.by(caller),
            collection: collection.id,
            alias,
            index: version.index,
            expected: match expected {
                Expected::Any => rules::Expected::Any,
                Expected::Absent => rules::Expected::Absent,
                Expected::Is(index) => rules::Expected::Is(index),
            },
        };
        Ok(rules::set_alias(view, &request)?.map(|_| ()))
    })
}

pub(crate) fn remove_alias(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    name: &ArtifactName,
    alias: &Alias,
) -> Result<(), Failure> {
    inner.decide(|view| {
        let (_, collection) = browse::find(view, caller, project, name, Role::Writer)?;
        let request = rules::RemoveAlias {
            by: inner.by(caller),
            collection: collection.id,
            alias,
            expected: rules::Expected::Any,
        };
        Ok(rules::remove_alias(view, &request)?.map(|_| ()))
    })
}

pub(crate) fn tag(
    inner: &Inner,
    caller: &Caller,
    version: &VersionDoc,
    add: &[Tag],
    remove: &[Tag],
) -> Result<(), Failure> {
    inner.decide(|view| {
        let (_, collection) = writable(view, caller, version)?;
        let request = |tags| rules::TagVersion {
            by: inner.by(caller),
            collection: collection.id,
            index: version.index,
            tags,
        };
        let mut decision = rules::tag(view, &request(add))?;
        decision.edits.extend(rules::untag(view, &request(remove))?.edits);
        Ok(decision.map(|_| ()))
    })
}

pub(crate) fn update_version(
    inner: &Inner,
    caller: &Caller,
    version: &VersionDoc,
    request: &UpdateVersion,
) -> Result<VersionDoc, Failure> {
    let metadata = request.metadata.as_ref().map(serde_json::Value::to_string);
    let (project, collection) = inner.decide(|view| {
        let (project, collection) = writable(view, caller, version)?;
        let decision = rules::update_version(
            view,
            &rules::UpdateVersion {
                by: inner.by(caller),
                collection: collection.id,
                index: version.index,
                description: request
                    .description
                    .as_deref()
                    .map(|text| (!text.is_empty()).then_some(text)),
                metadata: metadata.as_deref().map(Some),
                ttl: request.ttl,
            },
        )?;
        Ok(decision.map(|_| (project, collection)))
    })?;
    inner.catalog.view(|view| {
        let membership = place(view, &collection, version.index)?;
        let row = view.version(membership.version)?.ok_or_else(|| gone(version))?;
        docs::version(view, caller, &row, &membership, &collection, &project)
    })
}

pub(crate) fn place(
    view: &dyn View,
    collection: &CollectionRow,
    index: VersionIndex,
) -> Result<MembershipRow, Failure> {
    view.membership(collection.id, index)?.ok_or_else(|| {
        Problem::not_found("version", format_args!("{}:{index}", collection.name)).into()
    })
}

fn gone(version: &VersionDoc) -> Problem {
    Problem::not_found("version", version.as_ref())
}

pub(crate) fn update_collection(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    name: &ArtifactName,
    request: &UpdateCollection,
) -> Result<CollectionDoc, Failure> {
    let id = inner.decide(|view| {
        let (_, collection) = browse::find(view, caller, project, name, Role::Writer)?;
        let decision = rules::update_collection(
            view,
            &rules::UpdateCollection {
                by: inner.by(caller),
                collection: collection.id,
                description: request
                    .description
                    .as_deref()
                    .map(|text| (!text.is_empty()).then_some(text)),
                artifact_type: request.artifact_type.as_ref(),
                ttl: request.ttl,
            },
        )?;
        Ok(decision.map(|row| row.id))
    })?;
    if let Some(to) = &request.rename {
        inner.decide(|view| {
            let request = rules::Rename { by: inner.by(caller), collection: id, to };
            Ok(rules::rename(view, &request)?)
        })?;
    }
    inner.catalog.view(|view| {
        let (collection, project) = access::home_of(view, id)?;
        docs::collection(view, caller, &collection, &project)
    })
}

pub(crate) fn link(
    inner: &Inner,
    caller: &Caller,
    version: VersionId,
    project: &ProjectRef,
    portfolio: &ArtifactName,
    aliases: &[Alias],
) -> Result<VersionDoc, Failure> {
    let project = ensure_project(inner, caller, project)?;
    let collection = inner.fresh_collection();
    let linked = inner.decide(|view| {
        access::version(view, caller, version)?;
        let request = rules::Link {
            by: inner.by(caller),
            version,
            project: project.id,
            name: portfolio,
            collection,
            aliases,
        };
        Ok(rules::link(view, &request)?)
    })?;
    inner.catalog.view(|view| {
        let (collection, project) = access::home_of(view, linked.collection)?;
        let membership = place(view, &collection, linked.index)?;
        let row = view.version(version)?.ok_or_else(|| Problem::not_found("version", version))?;
        docs::version(view, caller, &row, &membership, &collection, &project)
    })
}

pub(crate) fn unlink(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    portfolio: &ArtifactName,
    index: VersionIndex,
) -> Result<(), Failure> {
    inner.decide(|view| {
        let (_, collection) = browse::find(view, caller, project, portfolio, Role::Writer)?;
        let request = rules::Unlink { by: inner.by(caller), collection: collection.id, index };
        Ok(rules::unlink(view, &request)?.map(|_| ()))
    })
}

pub(crate) fn protect_alias(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    name: &ArtifactName,
    alias: &Alias,
    protected: bool,
) -> Result<(), Failure> {
    inner.decide(|view| {
        let (_, collection) = browse::find(view, caller, project, name, Role::Admin)?;
        // Whoever may protect may end that: only here is anybody an admin, so that
        // what is protected stays until its protection was ended on purpose.
        let by = By { admin: true, ..inner.by(caller) };
        let request = rules::ProtectAlias { by, collection: collection.id, alias, protected };
        Ok(rules::protect_alias(view, &request)?.map(|_| ()))
    })
}

pub(crate) fn update_project(
    inner: &Inner,
    caller: &Caller,
    project: &ProjectRef,
    request: &UpdateProject,
) -> Result<ProjectDoc, Failure> {
    let row = inner.decide(|view| {
        let row = access::project(view, caller, project, Role::Admin)?;
        match request.ttl {
            None => Ok(Decision::unchanged(row)),
            Some(ttl) => {
                let request = rules::UpdateProject { project: row.id, ttl };
                Ok(rules::update_project(view, &request)?)
            }
        }
    })?;
    inner.catalog.view(|view| docs::project(view, &row))
}

/// A version of the same content in another collection. The target's scope gets
/// locations in the same objects, leased by a draft, and then an ordinary commit.
pub(crate) fn copy(
    inner: &Inner,
    caller: &Caller,
    version: VersionId,
    project: &ProjectRef,
    name: &ArtifactName,
    run: Option<RunId>,
) -> Result<Committed, Failure> {
    let (source, home, from) = inner.catalog.view(|view| access::version(view, caller, version))?;
    if !source.state.is_committed() {
        return Err(Problem::not_found("version", version).into());
    }
    let begin = BeginDraft {
        project: project.clone(),
        name: name.clone(),
        artifact_type: Some(home.artifact_type.clone()),
        base: None,
    };
    let draft = begin_draft(inner, caller, &begin)?.id;
    let outcome = (|| {
        let target = draft_scope(inner, caller, draft)?;
        bring(inner, Scope(from.id), target, draft, &source.root, &source.attachments)?;
        let request = Commit {
            key: IdempotencyKey::from_random(
                u128::from(inner.env.random()) << 64 | u128::from(inner.env.random()),
            ),
            project: project.clone(),
            name: name.clone(),
            artifact_type: Some(home.artifact_type.clone()),
            root: source.root,
            draft: Some(draft),
            aliases: Vec::new(),
            tags: Vec::new(),
            description: source.description.clone(),
            metadata: source.metadata.as_deref().map(serde_json::from_str).transpose().map_err(
                |error| {
                    Problem::new(
                        heirloom_core::ErrorCode::Corrupt,
                        format!("stored metadata does not parse: {error}"),
                    )
                },
            )?,
            ttl: source.ttl,
            run,
            provenance: source.provenance.clone(),
            force_new: false,
            base_alias: None,
            attachments: source.attachments.clone(),
        };
        commit::commit(inner, caller, &request)?.ok_or_else(|| write::fenced(draft).into())
    })();
    if outcome.is_err() {
        // The draft's leases would keep the objects until it expires.
        let _ = abort_draft(inner, caller, draft);
    }
    outcome
}

/// Records in `target` where the blobs of a tree are that `from` has.
fn bring(
    inner: &Inner,
    from: Scope,
    target: Scope,
    draft: DraftId,
    root: &NodeId,
    attachments: &[BlobId],
) -> Result<(), Failure> {
    let mut pending: Vec<BlobId> = attachments.to_vec();
    // The empty tree is known to all readers, but a version's blobs are stored.
    pending.push(root.as_blob());
    let (mut nodes, mut seen) = (Nodes::new(inner, from), HashSet::new());
    each_node(&mut nodes, *root, &mut seen, &mut |id, links| {
        pending.push(id.as_blob());
        pending.extend(links.iter().filter_map(|link| match link {
            Link::Blob(blob, _) => Some(*blob),
            Link::Child(_) => None,
        }));
        match pending.len() >= COPY_BATCH {
            true => record_locations(inner, from, target, draft, &mut pending),
            false => Ok(()),
        }
    })?;
    record_locations(inner, from, target, draft, &mut pending)
}

fn record_locations(
    inner: &Inner,
    from: Scope,
    target: Scope,
    draft: DraftId,
    pending: &mut Vec<BlobId>,
) -> Result<(), Failure> {
    pending.sort_unstable();
    pending.dedup();
    inner.decide_soon(|view| {
        let mut by_object: BTreeMap<ObjectKey, Vec<(BlobId, Location)>> = BTreeMap::new();
        for (id, location) in pending.iter().zip(view.locate(from, pending)?) {
            let location = location.ok_or_else(|| crate::read::missing(id))?;
            by_object.entry(location.object).or_default().push((*id, location));
        }
        let mut edits = Vec::new();
        for (key, blobs) in &by_object {
            let object = view.object(key)?.ok_or_else(|| crate::read::missing(&blobs[0].0))?;
            // It has a row that can be used, so nobody removes it before this is written.
            let request = rules::Publish { scope: target, draft, object, blobs, present: true };
            edits.extend(rules::publish(view, &request)?.edits);
        }
        Ok(Decision { edits, answer: () })
    })?;
    pending.clear();
    Ok(())
}
