//! Picks the handler of a URI.

use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use heirloom_manifest::Reference;

use crate::error::RefsError;
use crate::handler::{
    CheckOutcome, EntryStream, ExpandOptions, Expanded, Handler, OpenOptions, Opened, UnknownWhy,
};
use crate::uri::ReferenceUri;

/// The handlers in use. The one added last is asked first, so that a special
/// handler can take part of a general one's URIs.
#[derive(Clone, Default)]
pub struct Registry {
    handlers: Vec<Arc<dyn Handler>>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.handlers.iter().map(|handler| handler.schemes())).finish()
    }
}

impl Registry {
    /// Without handlers: every URI is tracked by itself alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler.
    #[must_use]
    pub fn with(mut self, handler: impl Handler + 'static) -> Self {
        self.handlers.push(Arc::new(handler));
        self
    }

    /// The handler that wants `uri`.
    pub fn handler(&self, uri: &ReferenceUri) -> Option<&dyn Handler> {
        self.handlers.iter().rev().find(|handler| handler.claims(uri)).map(|handler| &**handler)
    }

    /// The entries of `uri`, as [`Handler::expand`]. Without
    /// [`ExpandOptions::checksum`], and for schemes that no handler knows, that
    /// is one entry with the URI alone; the latter need a name.
    pub fn expand<'a>(
        &'a self,
        uri: &'a ReferenceUri,
        options: &'a ExpandOptions,
    ) -> EntryStream<'a> {
        match self.handler(uri) {
            Some(handler) if options.checksum => handler.expand(uri, options),
            _ => {
                let name = options.name.clone().map_or_else(|| uri.default_name(), Ok);
                let entry = name.map(|name| (name, Reference::new(uri.as_str())));
                stream::iter([entry]).boxed()
            }
        }
    }

    /// [`Registry::expand`] at once: all entries or none.
    ///
    /// # Errors
    /// The first error of any entry.
    pub async fn expand_all(
        &self,
        uri: &ReferenceUri,
        options: &ExpandOptions,
    ) -> Result<Vec<Expanded>, RefsError> {
        self.expand(uri, options).try_collect().await
    }

    /// As [`Handler::check`]; schemes without a handler are
    /// [`UnknownWhy::NoHandler`].
    ///
    /// # Errors
    /// When the source could not be asked, or the URI is not acceptable.
    pub async fn check(&self, reference: &Reference) -> Result<CheckOutcome, RefsError> {
        let uri = ReferenceUri::new(&reference.uri)?;
        match self.handler(&uri) {
            None => Ok(CheckOutcome::Unknown { why: UnknownWhy::NoHandler }),
            Some(handler) => handler.check(reference).await,
        }
    }

    /// As [`Handler::open`].
    ///
    /// # Errors
    /// [`RefsError::NoHandler`], and what the handler says.
    pub async fn open(
        &self,
        reference: &Reference,
        options: &OpenOptions,
    ) -> Result<Opened, RefsError> {
        let uri = ReferenceUri::new(&reference.uri)?;
        let Some(handler) = self.handler(&uri) else {
            let scheme = uri.scheme().to_owned();
            return Err(RefsError::NoHandler { uri: reference.uri.clone(), scheme });
        };
        handler.open(reference, options).await
    }
}
