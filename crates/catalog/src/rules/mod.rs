//! The rules: what each operation changes, decided from one snapshot.
//!
//! Every rule is `fn(view, request) → Result<Decision, Refusal>` and pure: no
//! clock, no randomness, no I/O but the view's. Time, actor and fresh ids come
//! with the request, so that the same view and request give the same edits, in
//! every database and when a transaction is decided again.

mod alias;
mod commit;
mod delete;
mod draft;
mod expire;
mod gc;
mod import;
mod journal;
mod link;
mod lookup;
mod nearest;
mod parts;
mod refusal;
mod restore;
mod retention;
mod run;
mod select;
#[cfg(test)]
mod tests;
mod update;

use heirloom_core::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CatalogError;
use crate::row::OperationRow;
use crate::view::{Edit, View};

pub use alias::{
    AliasChange, ProtectAlias, RemoveAlias, SetAlias, protect_alias, remove_alias, set_alias,
};
pub use commit::{Commit, Committed, ExpectedIndex, commit, newest_has};
pub use delete::{
    Delete, DeleteCollection, DeleteVersions, Deleted, DeletedVersion, Reason, delete,
    delete_collection, delete_versions, holders,
};
pub use draft::{
    BeginDraft, Begun, Claim, Claimed, Publish, abort_draft, begin_draft, check_draft, claim,
    claim_check, publish,
};
pub use expire::{Expire, Expired, expire, expires_at};
pub use gc::{
    ANSWERS_KEPT, Copied, Purge, Rewrite, bump_epoch, condemn, doom, drop_answers, end_drafts,
    is_purgeable, purge, remove, rewrite,
};
pub use import::{ImportVersion, already_here, import_edges, import_run, import_version};
pub use link::{Link, Linked, Unlink, Unlinked, link, unlink};
pub use lookup::{
    Resolved, find_collection, find_project, membership_of, nearest_collections, resolve,
    resolve_collection,
};
pub use nearest::{distance, nearest};
pub use parts::{
    AddPart, AddedPart, EXPIRED_SET_SECONDS, FinishParts, PART_SET_SECONDS, abort_parts, add_part,
    expire_parts, find_part_set, open_part_set, part_set_end, part_set_expired,
};
pub use refusal::{Holder, Refusal};
pub use restore::{RestoreVersion, RestoreVersions, Restored, restore_version, restore_versions};
pub use retention::{
    AppliedRetention, ApplyRetention, Decided, Facts, Keep, SetRetention, Use, Verdict,
    apply_retention, explain, facts, set_retention,
};
pub use run::{
    EnsureProject, FinishRun, UpdateRun, UseVersion, ensure_project, finish_run, start_run,
    update_run, use_version,
};
pub use select::{Selected, Selection, select};
pub use update::{
    Rename, TagVersion, UpdateCollection, UpdateProject, UpdateVersion, check_json_object, rename,
    tag, untag, update_collection, update_project, update_version,
};

/// Longest metadata, config or summary, in bytes.
pub const MAX_JSON_BYTES: usize = 16 << 20;

/// What a rule decided: the edits of one transaction, and the answer that holds
/// once they are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Decision<T> {
    /// Apply all or none, in this order.
    pub edits: Vec<Edit>,
    /// The answer.
    pub answer: T,
}

impl<T> Decision<T> {
    /// An answer that needs no change.
    pub fn unchanged(answer: T) -> Self {
        Self { edits: Vec::new(), answer }
    }

    /// The pair that [`CatalogExt::transact`](crate::CatalogExt::transact) takes.
    pub fn into_parts(self) -> (Vec<Edit>, T) {
        (self.edits, self.answer)
    }

    /// The same edits with another answer.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Decision<U> {
        Decision { edits: self.edits, answer: f(self.answer) }
    }
}

impl<T> From<Decision<T>> for (Vec<Edit>, T) {
    fn from(decision: Decision<T>) -> Self {
        decision.into_parts()
    }
}

/// Who asks, when, and with what weight. Rights are checked before, by whoever
/// holds the caller; `admin` only says whether protection of aliases yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By<'a> {
    /// Recorded as who did it.
    pub actor: &'a str,
    /// Recorded as when. Never used to order anything.
    pub at: Timestamp,
    /// Whether protected aliases may be moved and dropped.
    pub admin: bool,
}

/// A condition on what an alias names now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expected {
    /// No condition.
    Any,
    /// The alias must not exist.
    Absent,
    /// The alias must name this number.
    Is(heirloom_core::VersionIndex),
}

/// A client's key of idempotency and what was asked under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationKey<'a> {
    /// The key, made unique per actor by the caller.
    pub key: &'a str,
    /// BLAKE3 over what was asked.
    pub request: [u8; 32],
}

/// Runs a rule once per key: an operation whose key was answered before gives
/// the stored answer and changes nothing; else the answer is stored by the same
/// transaction as the edits. Without a key the rule just runs.
///
/// # Errors
/// [`Refusal::KeyReused`] when the key answered something else; what `decide`
/// returns. Refusals are not stored: the same key may be tried again.
pub fn once<T: Serialize + DeserializeOwned>(
    view: &dyn View,
    key: Option<OperationKey<'_>>,
    at: Timestamp,
    decide: impl FnOnce() -> Result<Decision<T>, Refusal>,
) -> Result<Decision<T>, Refusal> {
    let Some(OperationKey { key, request }) = key else { return decide() };
    if let Some(done) = view.operation(key)? {
        if done.request != request {
            return Err(Refusal::KeyReused { key: key.to_owned() });
        }
        let answer = serde_json::from_str(&done.answer).map_err(|error| CatalogError::Damaged {
            what: format!("the stored answer of operation {key:?}: {error}"),
        })?;
        return Ok(Decision::unchanged(answer));
    }
    let mut decision = decide()?;
    let answer = serde_json::to_string(&decision.answer).map_err(|error| {
        CatalogError::Conflict { what: format!("the answer of operation {key:?}: {error}") }
    })?;
    decision.edits.push(Edit::AddOperation(OperationRow {
        key: key.to_owned(),
        request,
        answer,
        at,
    }));
    Ok(decision)
}
