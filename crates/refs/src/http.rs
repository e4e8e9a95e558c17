//! `http:` and `https:` URIs.

mod address;
mod body;
mod exchange;
mod header;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use heirloom_manifest::{MAX_PIN_BYTES, Reference};
use reqwest::header::{CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, RANGE, TRANSFER_ENCODING};
use reqwest::{Method, Response, StatusCode};

pub use self::address::is_private_address;
use self::exchange::{Exchange, Reached, failed_status};
use crate::credentials::Credentials;
use crate::error::RefsError;
use crate::handler::{
    CheckOutcome, EntryStream, ExpandOptions, Expanded, Handler, OpenOptions, Opened, compare_pins,
};
use crate::pace::{Pacer, RetryPolicy};
use crate::uri::{ReferenceUri, storable};

/// How the HTTP client behaves.
#[derive(Clone)]
pub struct HttpOptions {
    /// Longest time to a connection.
    pub connect_timeout: Duration,
    /// Longest silence while waiting for an answer or for more of its body.
    pub idle_timeout: Duration,
    /// How often failing requests are made again.
    pub retry: RetryPolicy,
    /// Most redirects followed for one request.
    pub max_redirects: usize,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// URL of a proxy for all requests; may hold credentials. With a proxy it
    /// resolves names, so that redirects to private addresses are recognised by
    /// literal addresses and `localhost` only.
    pub proxy: Option<String>,
    /// Which addresses count as private, for redirects.
    pub is_private: fn(IpAddr) -> bool,
}

impl Default for HttpOptions {
    /// 10 s to connect, 60 s of silence, the default [`RetryPolicy`], 10
    /// redirects, no proxy, [`is_private_address`].
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            retry: RetryPolicy::default(),
            max_redirects: 10,
            user_agent: concat!("heirloom/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxy: None,
            is_private: is_private_address,
        }
    }
}

impl fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpOptions")
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("retry", &self.retry)
            .field("max_redirects", &self.max_redirects)
            .field("proxy", &self.proxy.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

/// Handles `http:` and `https:` URIs.
///
/// A reference is pinned by the entity tag (verbatim, weak ones too) and the
/// length where the server tells them; where redirects led is recorded without
/// a signed query. Servers are asked by HEAD, and where that is not allowed or
/// tells nothing, by a GET whose body is dropped.
///
/// Content is opened at the reference's own URI, on condition of its entity tag
/// if that is strong. A body that breaks off is resumed from where it stood if a
/// strong entity tag guarantees that the halves belong together, else it ends
/// with [`RefsError::Truncated`].
///
/// Bytes are taken as sent: no content coding is asked for and none is undone.
#[derive(Clone)]
pub struct HttpHandler {
    exchange: Arc<Exchange>,
}

impl fmt::Debug for HttpHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpHandler").field("options", &self.exchange.options).finish()
    }
}

impl HttpHandler {
    /// A handler with its own connections.
    ///
    /// # Errors
    /// [`RefsError::Setup`] for a bad proxy URL or when TLS cannot be set up.
    pub fn new(
        options: HttpOptions,
        credentials: impl Credentials + 'static,
        pacer: impl Pacer + 'static,
    ) -> Result<Self, RefsError> {
        let exchange = Exchange::new(options, Box::new(credentials), Box::new(pacer))?;
        Ok(Self { exchange: Arc::new(exchange) })
    }

    /// What the server tells of the object now.
    async fn probe(&self, uri: &ReferenceUri) -> Result<Reference, RefsError> {
        let head = self.exchange.request(uri, &Method::HEAD, &HeaderMap::new()).await?;
        let status = head.response.status();
        // Statuses of servers that know no HEAD, and of URLs signed for GET.
        let refused = [
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::NOT_IMPLEMENTED,
            StatusCode::FORBIDDEN,
            StatusCode::BAD_REQUEST,
        ];
        if status.is_success() {
            let told = describe(uri, &head);
            // Some frameworks answer HEAD with length 0 whatever GET would send.
            if told.size != Some(0) && (told.size.is_some() || told.etag.is_some()) {
                return Ok(told);
            }
        } else if !refused.contains(&status) {
            return Err(failed_status(uri, &head));
        }
        drop(head);

        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        let mut get = self.exchange.request(uri, &Method::GET, &headers).await?;
        if get.response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            // An empty object has no first byte.
            get = self.exchange.request(uri, &Method::GET, &HeaderMap::new()).await?;
        }
        if !get.response.status().is_success() {
            return Err(failed_status(uri, &get));
        }
        // Dropping the answer closes the connection: the body is not fetched.
        Ok(describe(uri, &get))
    }
}

impl Handler for HttpHandler {
    fn schemes(&self) -> &[&str] {
        &["http", "https"]
    }

    fn expand<'a>(&'a self, uri: &'a ReferenceUri, options: &'a ExpandOptions) -> EntryStream<'a> {
        let entry = async move {
            let name = options.name.clone().map_or_else(|| uri.default_name(), Ok)?;
            if options.max_objects == 0 {
                let uri = uri.to_string();
                return Err(RefsError::TooManyObjects { uri, at_least: 1, limit: 0 });
            }
            Ok::<Expanded, RefsError>((name, self.probe(uri).await?))
        };
        stream::once(entry).boxed()
    }

    fn check<'a>(
        &'a self,
        reference: &'a Reference,
    ) -> BoxFuture<'a, Result<CheckOutcome, RefsError>> {
        Box::pin(async move {
            let uri = ReferenceUri::new(&reference.uri)?;
            match self.probe(&uri).await {
                Ok(found) => Ok(compare_pins(reference, &found)),
                Err(RefsError::NotFound { .. }) => Ok(CheckOutcome::Gone),
                Err(error) => Err(error),
            }
        })
    }

    fn open<'a>(
        &'a self,
        reference: &'a Reference,
        options: &'a OpenOptions,
    ) -> BoxFuture<'a, Result<Opened, RefsError>> {
        Box::pin(body::open(Arc::clone(&self.exchange), reference, options))
    }
}

/// The pins that an answer tells.
fn describe(uri: &ReferenceUri, reached: &Reached) -> Reference {
    let final_uri = if reached.redirected { storable(&reached.url) } else { None }
        .filter(|to| to != uri.as_str());
    Reference {
        size: total_length(&reached.response),
        etag: etag_of(&reached.response),
        final_uri,
        ..Reference::new(uri.as_str())
    }
}

/// The entity tag, if it is one that can be kept.
fn etag_of(response: &Response) -> Option<String> {
    let bytes = response.headers().get(ETAG)?.as_bytes();
    let text = std::str::from_utf8(bytes).ok()?;
    (1..=MAX_PIN_BYTES).contains(&text.len()).then(|| text.to_owned())
}

/// Length of the whole object, of which the answer may carry a part.
fn total_length(response: &Response) -> Option<u64> {
    let headers = response.headers();
    match response.status() {
        StatusCode::PARTIAL_CONTENT => header::content_range(headers)?.total,
        _ if headers.contains_key(TRANSFER_ENCODING) => None,
        _ => headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok(),
    }
}
