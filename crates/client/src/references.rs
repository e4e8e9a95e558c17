//! External references: which handlers there are, and what an added one expands to.

use std::time::SystemTime;

use heirloom_manifest::{LogicalPath, Reference};
use heirloom_refs::{
    ExpandOptions, FileHandler, HttpHandler, HttpOptions, Netrc, NoCredentials, ReferenceUri,
    Registry, TokioPacer,
};

use crate::artifact::ReferenceStep;
use crate::environment::ClientOptions;
use crate::{Client, Result};

/// The handlers of a client. Waiting and jitter are tokio's and the client's
/// random bits; the time of day is asked for only to understand `Retry-After`.
pub(crate) fn registry(options: &ClientOptions) -> Result<Registry> {
    let pacer = TokioPacer::new(SystemTime::now, (options.random)() as u64);
    let http = HttpOptions::default();
    let http = match &options.netrc {
        Some(text) => HttpHandler::new(http, Netrc::parse(text)?, pacer)?,
        None => HttpHandler::new(http, NoCredentials, pacer)?,
    };
    Ok(Registry::new().with(FileHandler::new()).with(http))
}

/// The entries that an added reference stands for.
pub(crate) async fn expand(
    client: &Client,
    step: &ReferenceStep,
) -> Result<Vec<(LogicalPath, Reference)>> {
    let uri = ReferenceUri::new(&step.uri)?;
    let options = ExpandOptions {
        name: step.name.as_deref().map(LogicalPath::new).transpose()?,
        max_objects: step.max_objects,
        checksum: step.checksum,
    };
    Ok(client.references()?.expand_all(&uri, &options).await?)
}
