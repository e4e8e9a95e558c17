//! How a version gets its number: its tree is checked, a record is written for the
//! next place in the collection, and the catalog takes both if that place still is
//! the next. The same for what is logged here and what is brought from elsewhere.

use heirloom_api::Problem;
use heirloom_catalog::rules::{self, Decision, ExpectedIndex, Refusal};
use heirloom_catalog::{CatalogExt, View};
use heirloom_core::{ArtifactName, DraftId, ErrorCode, Scope};
use heirloom_manifest::{BlobId, NodeId, TreeSummary};
use heirloom_store::{Kind, PackOptions, PackWriter};

use crate::commit::check_new;
use crate::problem::{Failure, step};
use crate::record::{MAX_RECORD_BYTES, VersionRecord};
use crate::{Inner, write};

/// Lost races for a number after which a commit gives up. Each lost race is
/// another commit's success.
const MAX_RACES: usize = 10_000;

/// A version that was checked and written down, but for its number.
pub(crate) struct Written {
    pub(crate) entries: u64,
    pub(crate) size: u64,
    pub(crate) record: BlobId,
    pub(crate) expected: ExpectedIndex,
}

/// What a version under a draft consists of.
pub(crate) struct Content<'a> {
    pub(crate) scope: Scope,
    pub(crate) draft: DraftId,
    pub(crate) root: NodeId,
    pub(crate) attachments: &'a [BlobId],
}

/// A version on its way to a number.
pub(crate) trait Numbered {
    fn inner(&self) -> &Inner;

    /// The collection, for messages.
    fn name(&self) -> &ArtifactName;

    /// The catalog's decision. Without a record it makes no version, but tells by
    /// [`Refusal::IndexTaken`] what a record is to be written for.
    fn rule(
        &self,
        view: &dyn View,
        written: Option<&Written>,
    ) -> Result<Decision<rules::Committed>, Refusal>;

    /// The record for a place, of a tree of so many entries and bytes.
    fn record(
        &self,
        view: &dyn View,
        next: &ExpectedIndex,
        tree: (u64, u64),
    ) -> Result<VersionRecord, Failure>;

    /// What a record has to be written for, as things stand; `None` when no version
    /// is made. A look only: no other writer waits for it.
    fn place(&self) -> Result<Option<ExpectedIndex>, Refusal> {
        match self.inner().catalog.view(|view| self.rule(view, None)) {
            Ok(_) => Ok(None),
            Err(Refusal::IndexTaken { next, predecessor, .. }) => {
                Ok(Some(ExpectedIndex { index: next, predecessor }))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// The transaction.
    fn decide(&self, written: Option<&Written>) -> Result<rules::Committed, Refusal> {
        self.inner().catalog.transact(|view| self.rule(view, written).map(Decision::into_parts))
    }

    /// The answer when no version has to be made, as for an operation that was
    /// answered before; `None` when one has to be.
    fn known(&self) -> Result<Option<rules::Committed>, Refusal> {
        if self.place()?.is_some() {
            return Ok(None);
        }
        match self.decide(None) {
            Err(Refusal::IndexTaken { .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Checks the tree, writes a record for the number, and commits; again for the
    /// next number when another commit was faster.
    fn create(&self, content: &Content<'_>) -> Result<rules::Committed, Failure> {
        let inner = self.inner();
        let Content { scope, draft, root, attachments } = *content;
        step("repository::check")?;
        let TreeSummary { entries, size, .. } = check_new(inner, scope, draft, root, attachments)?;
        let _turn = inner.home.as_ref().and_then(crate::Home::commit_turn);
        for _ in 0..MAX_RACES {
            // Looked up in this process's turn, so that the record can be kept.
            let Some(expected) = self.place()? else {
                match self.known()? {
                    Some(done) => return Ok(done),
                    None => continue,
                }
            };
            let record =
                inner.catalog.view(|view| self.record(view, &expected, (entries, size)))?;
            let bytes = record.encode();
            if bytes.len() > MAX_RECORD_BYTES {
                return Err(Problem::invalid(
                    "description, metadata and command line are too long: more than 4 MiB",
                )
                .into());
            }
            step("repository::record")?;
            let mut pack = PackWriter::new(&*inner.store, PackOptions::default())?;
            let record = pack.add(Kind::VersionRecord, &bytes)?;
            write::publish_pack(inner, scope, draft, pack)?;
            step("repository::decide")?;
            match self.decide(Some(&Written { entries, size, record, expected })) {
                Err(Refusal::IndexTaken { .. }) => {}
                other => return Ok(other?),
            }
        }
        Err(Problem::new(
            ErrorCode::Unavailable,
            format!(
                "`{}` is committed to faster than a record can be written; try again",
                self.name()
            ),
        )
        .into())
    }
}
