//! What may change about a version and a collection: tags, description,
//! metadata, lifetime, type, name.

use std::collections::BTreeSet;

use heirloom_core::{
    ArtifactName, ArtifactType, CollectionId, ProjectId, Tag, Ttl, VersionId, VersionIndex,
};
use serde_json::{Map, Value, json};

use super::journal::event;
use super::lookup::{live_collection, membership_of};
use super::parts::rename_sets;
use super::{By, Decision, MAX_JSON_BYTES, Refusal};
use crate::row::{CollectionRow, EventKind, ProjectRow, VersionRow};
use crate::view::{Edit, View};

/// Adds or removes tags of a version.
#[derive(Debug, Clone, Copy)]
pub struct TagVersion<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// A collection that the version is in.
    pub collection: CollectionId,
    /// Its number there.
    pub index: VersionIndex,
    /// The tags.
    pub tags: &'a [Tag],
}

/// Changes what may change about a version. `None` leaves a field as it is.
#[derive(Debug, Clone, Copy)]
pub struct UpdateVersion<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// A collection that the version is in.
    pub collection: CollectionId,
    /// Its number there.
    pub index: VersionIndex,
    /// Free text; `Some(None)` removes it.
    pub description: Option<Option<&'a str>>,
    /// A JSON object that replaces the whole; `Some(None)` removes it.
    pub metadata: Option<Option<&'a str>>,
    /// Lifetime.
    pub ttl: Option<Ttl>,
}

/// Changes what may change about a collection. `None` leaves a field as it is.
#[derive(Debug, Clone, Copy)]
pub struct UpdateCollection<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The collection.
    pub collection: CollectionId,
    /// Free text; `Some(None)` removes it.
    pub description: Option<Option<&'a str>>,
    /// The type, of all its versions.
    pub artifact_type: Option<&'a ArtifactType>,
    /// Default lifetime of its versions.
    pub ttl: Option<Ttl>,
}

/// Changes what may change about a project. The caller must be an admin.
#[derive(Debug, Clone, Copy)]
pub struct UpdateProject {
    /// The project.
    pub project: ProjectId,
    /// Default lifetime of its versions.
    pub ttl: Ttl,
}

/// Renames a collection.
#[derive(Debug, Clone, Copy)]
pub struct Rename<'a> {
    /// Who, when.
    pub by: By<'a>,
    /// The collection.
    pub collection: CollectionId,
    /// The new name.
    pub to: &'a ArtifactName,
}

/// Adds tags; the answer has those that were new.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn tag(view: &dyn View, request: &TagVersion<'_>) -> Result<Decision<Vec<Tag>>, Refusal> {
    let collection = live_collection(view, request.collection)?;
    let (_, version) = membership_of(view, &collection, request.index)?;
    let mut edits = Vec::new();
    let TagVersion { by, index, tags, .. } = *request;
    let answer = add_tags(view, by, collection.id, index, version.id, tags, &mut edits)?;
    Ok(Decision { edits, answer })
}

/// Removes tags; the answer has those that were there.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn untag(view: &dyn View, request: &TagVersion<'_>) -> Result<Decision<Vec<Tag>>, Refusal> {
    let collection = live_collection(view, request.collection)?;
    let (_, version) = membership_of(view, &collection, request.index)?;
    let present = view.tags(version.id)?;
    let wanted: BTreeSet<&Tag> = request.tags.iter().collect();
    let answer: Vec<Tag> = present.into_iter().filter(|tag| wanted.contains(tag)).collect();
    let mut edits = Vec::new();
    for tag in &answer {
        edits.push(Edit::RemoveTag { version: version.id, tag: tag.clone() });
        edits.push(event(
            request.by,
            EventKind::Untagged,
            collection.id,
            Some(request.index),
            None,
            json!({ "tag": tag }),
        ));
    }
    Ok(Decision { edits, answer })
}

/// Changes description, metadata or lifetime; the answer is the version after it.
///
/// # Errors
/// [`Refusal::NotFound`], [`Refusal::InvalidMetadata`].
pub fn update_version(
    view: &dyn View,
    request: &UpdateVersion<'_>,
) -> Result<Decision<VersionRow>, Refusal> {
    let collection = live_collection(view, request.collection)?;
    let (_, before) = membership_of(view, &collection, request.index)?;
    check_json_object("metadata", request.metadata.flatten())?;
    let mut version = before.clone();
    let mut detail = Map::new();
    set_text(&mut version.description, request.description, "description", &mut detail);
    set_text(&mut version.metadata, request.metadata, "metadata", &mut detail);
    set_ttl(&mut version.ttl, request.ttl, &mut detail);
    if version == before {
        return Ok(Decision::unchanged(version));
    }
    let edits = vec![
        Edit::PutVersion(version.clone()),
        event(
            request.by,
            EventKind::Updated,
            collection.id,
            Some(request.index),
            None,
            Value::Object(detail),
        ),
    ];
    Ok(Decision { edits, answer: version })
}

/// Changes description, type or lifetime of a whole collection; the answer is
/// the collection after it.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn update_collection(
    view: &dyn View,
    request: &UpdateCollection<'_>,
) -> Result<Decision<CollectionRow>, Refusal> {
    let before = live_collection(view, request.collection)?;
    let mut row = before.clone();
    let mut detail = Map::new();
    set_text(&mut row.description, request.description, "description", &mut detail);
    set_ttl(&mut row.ttl, request.ttl, &mut detail);
    let mut events = Vec::new();
    let mut note = |kind, detail| {
        events.push(event(request.by, kind, before.id, None, None, detail));
    };
    if !detail.is_empty() {
        note(EventKind::Updated, Value::Object(detail));
    }
    if let Some(to) = request.artifact_type.filter(|to| **to != before.artifact_type) {
        row.artifact_type = to.clone();
        note(EventKind::TypeChanged, json!({ "from": before.artifact_type, "to": to }));
    }
    let mut edits = Vec::new();
    if row != before {
        edits.push(Edit::PutCollection(row.clone()));
        edits.extend(events);
    }
    Ok(Decision { edits, answer: row })
}

/// Changes the default lifetime of a project's versions; the answer is the
/// project after it. `inherit` means for ever: there is nothing above a project.
///
/// # Errors
/// [`Refusal::NotFound`].
pub fn update_project(
    view: &dyn View,
    request: &UpdateProject,
) -> Result<Decision<ProjectRow>, Refusal> {
    let before = view
        .project_by_id(request.project)?
        .ok_or_else(|| Refusal::not_found("project", request.project))?;
    if before.ttl == request.ttl {
        return Ok(Decision::unchanged(before));
    }
    let row = ProjectRow { ttl: request.ttl, ..before };
    Ok(Decision { edits: vec![Edit::PutProject(row.clone())], answer: row })
}

/// Renames a collection. Its old names lead to it until another collection takes
/// them; renaming it back takes them back.
///
/// # Errors
/// [`Refusal::NotFound`]; [`Refusal::NameTaken`] by a collection that exists.
pub fn rename(view: &dyn View, request: &Rename<'_>) -> Result<Decision<CollectionRow>, Refusal> {
    let before = live_collection(view, request.collection)?;
    if before.name == *request.to {
        return Ok(Decision::unchanged(before));
    }
    if view.collection(before.project, request.to)?.is_some() {
        return Err(Refusal::NameTaken { what: "artifact", name: request.to.to_string() });
    }
    let row = CollectionRow { name: request.to.clone(), ..before.clone() };
    let mut edits = Vec::new();
    if view.redirect(before.project, request.to)?.is_some() {
        edits.push(Edit::RemoveRedirect { project: before.project, old: request.to.clone() });
    }
    edits.push(Edit::PutCollection(row.clone()));
    rename_sets(view, before.project, &before.name, request.to, &mut edits)?;
    // Redirects lead to ids, so that a chain of renames never gets longer than one step.
    edits.push(Edit::PutRedirect {
        project: before.project,
        old: before.name.clone(),
        to: before.id,
    });
    let detail = json!({ "from": before.name, "to": row.name });
    edits.push(event(request.by, EventKind::Renamed, row.id, None, None, detail));
    Ok(Decision { edits, answer: row })
}

/// Whether a text is a JSON object of bearable size.
///
/// # Errors
/// [`Refusal::InvalidMetadata`], naming `what`.
pub fn check_json_object(what: &'static str, text: Option<&str>) -> Result<(), Refusal> {
    let Some(text) = text else { return Ok(()) };
    let refuse = |reason: String| Err(Refusal::InvalidMetadata { what, reason });
    if text.len() > MAX_JSON_BYTES {
        return refuse(format!("{} bytes are more than {MAX_JSON_BYTES}", text.len()));
    }
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(_)) => Ok(()),
        Ok(_) => refuse("it is another JSON value".to_owned()),
        Err(error) => refuse(error.to_string()),
    }
}

/// Adds tags that are not there; gives those.
pub(super) fn add_tags(
    view: &dyn View,
    by: By<'_>,
    collection: CollectionId,
    index: VersionIndex,
    version: VersionId,
    tags: &[Tag],
    edits: &mut Vec<Edit>,
) -> Result<Vec<Tag>, Refusal> {
    let mut present: BTreeSet<Tag> = view.tags(version)?.into_iter().collect();
    let mut added = Vec::new();
    for tag in tags {
        if present.insert(tag.clone()) {
            added.push(tag.clone());
            edits.push(Edit::AddTag { version, tag: tag.clone() });
            let detail = json!({ "tag": tag });
            edits.push(event(by, EventKind::Tagged, collection, Some(index), None, detail));
        }
    }
    Ok(added)
}

fn set_text(
    field: &mut Option<String>,
    value: Option<Option<&str>>,
    name: &str,
    detail: &mut Map<String, Value>,
) {
    if let Some(value) = value
        && field.as_deref() != value
    {
        *field = value.map(str::to_owned);
        detail.insert(name.to_owned(), json!(value));
    }
}

fn set_ttl(field: &mut Ttl, value: Option<Ttl>, detail: &mut Map<String, Value>) {
    if let Some(value) = value
        && *field != value
    {
        *field = value;
        detail.insert("ttl".to_owned(), json!(value));
    }
}
