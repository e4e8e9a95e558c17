//! Lines of the journal.

use heirloom_core::{CollectionId, RunId, VersionIndex};
use serde_json::Value;

use super::By;
use crate::row::{EventKind, EventRow};
use crate::view::Edit;

/// An event about one version, or about the collection when `index` is `None`.
pub(super) fn event(
    by: By<'_>,
    kind: EventKind,
    collection: CollectionId,
    index: Option<VersionIndex>,
    run: Option<RunId>,
    detail: Value,
) -> Edit {
    Edit::AppendEvent(EventRow {
        seq: 0,
        at: by.at,
        actor: by.actor.to_owned(),
        kind,
        collection,
        index,
        run,
        detail: detail.to_string(),
    })
}
