//! Which versions of a collection a condition means, and whether what a client
//! chose is still what it chose.

use std::collections::BTreeSet;

use heirloom_core::{Timestamp, VersionId, VersionIndex};
use serde_json::Value;

use super::Refusal;
use super::delete::Holders;
use super::refusal::Holder;
use crate::row::{CollectionRow, MembershipRow};
use crate::view::{Order, View};

const PAGE: usize = 256;

/// Conditions on versions of one collection, all of which must hold. Without
/// any, all versions are meant.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// Only these numbers, which somebody chose by looking at the versions.
    pub only: Option<&'a BTreeSet<VersionIndex>>,
    /// The last event that was known when `only` was chosen.
    pub as_of: Option<u64>,
    /// Only those committed (or linked) at least so many seconds ago.
    pub older_than: Option<u64>,
    /// None of the newest so many.
    pub keep_last: Option<u64>,
}

/// What a selection means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// Places that nothing holds, ascending.
    pub free: Vec<MembershipRow>,
    /// Places that something holds, with all that does, ascending.
    pub held: Vec<(VersionIndex, Vec<Holder>)>,
}

/// The committed versions (or links, in a portfolio) that a selection means.
/// With `delete_aliases` unprotected aliases do not hold them.
///
/// # Errors
/// [`Refusal::Changed`] when something happened since `as_of` to a version that
/// `only` names.
pub fn select(
    view: &dyn View,
    collection: &CollectionRow,
    selection: &Selection<'_>,
    delete_aliases: bool,
    now: Timestamp,
) -> Result<Selected, Refusal> {
    if let (Some(only), Some(as_of)) = (selection.only, selection.as_of) {
        check_unchanged(view, collection, only, as_of)?;
    }
    let mut holders = Holders::new(view, delete_aliases);
    let mut selected = Selected { free: Vec::new(), held: Vec::new() };
    let mut spared = selection.keep_last.unwrap_or(0);
    let mut after = None;
    loop {
        let page = view.memberships(collection.id, after, Order::Newest, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.index);
        let ids: Vec<VersionId> = page.iter().map(|member| member.version).collect();
        // In the order asked; a version may be linked once only.
        let mut rows = view.versions(&ids)?.into_iter().peekable();
        for member in page {
            let Some(row) = rows.next_if(|row| row.id == member.version) else { continue };
            if !row.state.is_committed() {
                continue;
            }
            if spared > 0 {
                spared -= 1;
                continue;
            }
            let old = selection.older_than.is_none_or(|seconds| {
                let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
                member.created_at.plus_seconds(seconds) <= now
            });
            if !old || selection.only.is_some_and(|only| !only.contains(&member.index)) {
                continue;
            }
            let held = match row.collection == collection.id {
                true => holders.of(row.id, row.collection, row.index)?,
                false => holders.of_link(member.collection, member.index)?,
            };
            match held.is_empty() {
                true => selected.free.push(member),
                false => selected.held.push((member.index, held)),
            }
        }
    }
    selected.free.reverse();
    selected.held.reverse();
    Ok(selected)
}

/// Whether nothing happened to these versions, nor to the collection as a whole,
/// since an event.
fn check_unchanged(
    view: &dyn View,
    collection: &CollectionRow,
    only: &BTreeSet<VersionIndex>,
    as_of: u64,
) -> Result<(), Refusal> {
    let mut before = None;
    loop {
        let page = view.events(collection.id, before, PAGE)?;
        for event in &page {
            if event.seq <= as_of {
                return Ok(());
            }
            // An alias that moved away changed the version that it left.
            let left = serde_json::from_str::<Value>(&event.detail).ok();
            let left = left.and_then(|detail| detail.get("from")?.as_u64()).map(VersionIndex::new);
            let touched = [event.index, left].into_iter().flatten().find(|at| only.contains(at));
            if let Some(index) = touched {
                return Err(Refusal::Changed { what: format!("{}:{index}", collection.name) });
            }
            if event.index.is_none() {
                return Err(Refusal::Changed { what: collection.name.to_string() });
            }
        }
        let Some(last) = page.last() else { return Ok(()) };
        before = Some(last.seq);
    }
}
