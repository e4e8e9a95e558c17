//! A version's entries, page by page.

use std::collections::VecDeque;

use futures::Stream;
use heirloom_core::VersionId;
use heirloom_manifest::{Entry, LogicalPath};

use crate::{Client, Result};

/// Entries asked for at once.
const PAGE: usize = 1000;

/// Entries of a version in path order, fetched page by page; made by
/// [`Version::files`](crate::Version::files).
#[derive(Debug)]
pub struct Files {
    client: Client,
    version: VersionId,
    prefix: String,
    after: Option<LogicalPath>,
    page: VecDeque<(LogicalPath, Entry)>,
    ended: bool,
}

impl Files {
    pub(crate) fn new(client: Client, version: VersionId) -> Self {
        Self {
            client,
            version,
            prefix: String::new(),
            after: None,
            page: VecDeque::new(),
            ended: false,
        }
    }

    /// Only this path and what lies below it, by whole parts.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Only paths after this one: the last of the page before.
    #[must_use]
    pub fn after(mut self, path: LogicalPath) -> Self {
        self.after = Some(path);
        self
    }

    /// The next entry, or `None` after the last.
    ///
    /// # Errors
    /// A failed backend; damaged nodes by name.
    pub async fn next(&mut self) -> Result<Option<(LogicalPath, Entry)>> {
        if self.page.is_empty() {
            self.page = self.next_page(PAGE).await?.into();
        }
        Ok(self.page.pop_front())
    }

    /// At most `limit` further entries; empty after the last.
    ///
    /// # Errors
    /// As [`Files::next`].
    pub async fn next_page(&mut self, limit: usize) -> Result<Vec<(LogicalPath, Entry)>> {
        if !self.page.is_empty() {
            let n = limit.min(self.page.len());
            return Ok(self.page.drain(..n).collect());
        }
        if self.ended {
            return Ok(Vec::new());
        }
        let (prefix, after) = (self.prefix.clone(), self.after.clone());
        let page = self.client.backend().entries(self.version, prefix, after, limit).await?;
        self.ended = page.next.is_none();
        if let Some((path, _)) = page.entries.last() {
            self.after = Some(path.clone());
        }
        Ok(page.entries)
    }

    /// All that is left, as a stream.
    pub fn stream(self) -> impl Stream<Item = Result<(LogicalPath, Entry)>> {
        futures::stream::try_unfold(self, |mut files| async move {
            Ok(files.next().await?.map(|entry| (entry, files)))
        })
    }
}
