//! The pinned content as a stream that survives broken connections.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use heirloom_manifest::Reference;
use reqwest::header::{HeaderMap, HeaderValue, IF_MATCH, IF_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::exchange::{Exchange, Transient, describe_error, failed_status};
use super::{etag_of, header, total_length};
use crate::error::RefsError;
use crate::handler::{OpenOptions, Opened, PinKind, etags_agree, is_strong_etag};
use crate::uri::ReferenceUri;

/// Progress after which earlier interruptions are forgotten, in bytes.
const PROGRESS: u64 = 1 << 20;

pub(super) async fn open(
    exchange: Arc<Exchange>,
    reference: &Reference,
    options: &OpenOptions,
) -> Result<Opened, RefsError> {
    let uri = ReferenceUri::new(&reference.uri)?;
    let (start, cap) = (options.start, options.max_bytes);
    let pinned_size = reference.size.filter(|_| !options.allow_drift);
    let pinned_etag = reference.etag.as_deref().filter(|_| !options.allow_drift);
    check_bounds(&uri, pinned_size, start, cap)?;

    let (pinned_size, mut confirmed) = (pinned_size, Vec::new());
    let attached = attach(&exchange, &uri, start, pinned_etag).await?;
    if let Some(expected) = pinned_etag
        && let Some(found) = &attached.etag
    {
        if !etags_agree(expected, found) {
            return Err(drifted(&uri, PinKind::ETag, expected.to_owned(), found.clone()));
        }
        confirmed.push(PinKind::ETag);
    }
    if let (Some(expected), Some(found)) = (pinned_size, attached.total)
        && expected != found
    {
        return Err(drifted(&uri, PinKind::Size, expected.to_string(), found.to_string()));
    }
    let total = pinned_size.or(attached.total);
    check_bounds(&uri, total, start, cap)?;
    let body = Body {
        exchange,
        uri,
        validator: attached.etag.filter(|etag| is_strong_etag(etag)),
        response: attached.response,
        position: start,
        skip: attached.skip,
        total,
        cap,
        failures: 0,
        failed_at: start,
    };
    let body = stream::try_unfold(body, |mut body| async move {
        Ok(body.next().await?.map(|piece| (piece, body)))
    });
    Ok(Opened { body: body.boxed(), start, length: total.map(|total| total - start), confirmed })
}

fn check_bounds(
    uri: &ReferenceUri,
    size: Option<u64>,
    start: u64,
    cap: u64,
) -> Result<(), RefsError> {
    match size {
        Some(size) if size > cap => Err(RefsError::TooLarge { uri: uri.to_string(), limit: cap }),
        Some(size) if start > size => {
            Err(RefsError::BeyondEnd { uri: uri.to_string(), start, size })
        }
        _ => Ok(()),
    }
}

fn drifted(uri: &ReferenceUri, what: PinKind, expected: String, found: String) -> RefsError {
    RefsError::Drifted { uri: uri.to_string(), what, expected, found }
}

/// An answer that carries the object's bytes from some position on.
struct Attached {
    /// `None`: there are no bytes from that position on.
    response: Option<Response>,
    /// Bytes to drop before that position, where the server ignored the range.
    skip: u64,
    total: Option<u64>,
    etag: Option<String>,
}

/// Asks for the bytes from `from` on, on condition of `etag` if it is strong.
async fn attach(
    exchange: &Exchange,
    uri: &ReferenceUri,
    from: u64,
    etag: Option<&str>,
) -> Result<Attached, RefsError> {
    let plain = request_headers(from, None);
    let mut headers = request_headers(from, etag);
    let mut reached = exchange.request(uri, &Method::GET, &headers).await?;
    if reached.response.status() == StatusCode::PRECONDITION_FAILED && headers != plain {
        // Without the condition the answer tells its entity tag, which the caller
        // compares: that names the drift, and copes with servers that know no If-Match.
        headers = plain;
        reached = exchange.request(uri, &Method::GET, &headers).await?;
    }
    let response = &reached.response;
    let (total, etag) = (total_length(response), etag_of(response));
    let nonsense = |why| RefsError::Protocol { uri: uri.to_string(), why };
    let skip = match response.status() {
        StatusCode::OK => from,
        StatusCode::PARTIAL_CONTENT => {
            let range = header::content_range(response.headers()).and_then(|range| range.bytes);
            let (first, last) = range.ok_or_else(|| nonsense("a part without its range"))?;
            if first != from {
                return Err(nonsense("another range than the one asked for"));
            }
            if total.is_some_and(|total| last + 1 != total) {
                return Err(nonsense("a shorter range than the one asked for"));
            }
            0
        }
        StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
            let total = header::content_range(response.headers()).and_then(|range| range.total);
            return match total {
                Some(size) if size < from => {
                    Err(RefsError::BeyondEnd { uri: uri.to_string(), start: from, size })
                }
                // The server tells no length: from the end on there is nothing.
                _ => Ok(Attached { response: None, skip: 0, total: Some(from), etag }),
            };
        }
        status if status.is_success() => return Err(nonsense("an unexpected kind of success")),
        _ => return Err(failed_status(uri, &reached)),
    };
    Ok(Attached { response: Some(reached.response), skip, total, etag })
}

fn request_headers(from: u64, etag: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let condition = etag
        .filter(|etag| is_strong_etag(etag))
        .and_then(|etag| HeaderValue::from_bytes(etag.as_bytes()).ok());
    if from > 0 {
        let range = format!("bytes={from}-");
        headers.insert(RANGE, HeaderValue::from_str(&range).expect("digits are valid in a header"));
        if let Some(condition) = &condition {
            headers.insert(IF_RANGE, condition.clone());
        }
    }
    if let Some(condition) = condition {
        headers.insert(IF_MATCH, condition);
    }
    headers
}

struct Body {
    exchange: Arc<Exchange>,
    uri: ReferenceUri,
    /// Strong entity tag of what is being read, on which resuming depends.
    validator: Option<String>,
    response: Option<Response>,
    /// Position in the object of the next byte to pass on.
    position: u64,
    skip: u64,
    total: Option<u64>,
    cap: u64,
    /// Interruptions since the last real progress, and where it stood then.
    failures: u32,
    failed_at: u64,
}

impl Body {
    async fn next(&mut self) -> Result<Option<Bytes>, RefsError> {
        loop {
            let Some(response) = &mut self.response else { return Ok(None) };
            let why = match response.chunk().await {
                Ok(Some(piece)) => match self.accept(piece)? {
                    Some(piece) => return Ok(Some(piece)),
                    None => continue,
                },
                Ok(None)
                    if self.total.is_none_or(|total| self.position >= total) && self.skip == 0 =>
                {
                    self.response = None;
                    return Ok(None);
                }
                Ok(None) => "the body ended early".to_owned(),
                Err(error) => describe_error(error),
            };
            self.response = None;
            self.resume(why).await?;
        }
    }

    /// What of a received piece is to be passed on. Never a byte beyond the
    /// declared size or the cap.
    fn accept(&mut self, mut piece: Bytes) -> Result<Option<Bytes>, RefsError> {
        let dropped = self.skip.min(piece.len() as u64);
        self.skip -= dropped;
        // `dropped` is at most a piece's length, hence fits.
        piece = piece.slice(dropped as usize..);
        if piece.is_empty() {
            return Ok(None);
        }
        let end = self.position + piece.len() as u64;
        if let Some(total) = self.total
            && end > total
        {
            let found = format!("at least {end}");
            return Err(drifted(&self.uri, PinKind::Size, total.to_string(), found));
        }
        if end > self.cap {
            return Err(RefsError::TooLarge { uri: self.uri.to_string(), limit: self.cap });
        }
        self.position = end;
        Ok(Some(piece))
    }

    /// Gets hold of the rest after an interruption.
    async fn resume(&mut self, why: String) -> Result<(), RefsError> {
        let Some(validator) = self.validator.clone() else {
            // Another request might be answered with other content, and nothing
            // would tell.
            return Err(RefsError::Truncated {
                uri: self.uri.to_string(),
                received: self.position,
                expected: self.total,
            });
        };
        if self.position >= self.failed_at + PROGRESS {
            self.failures = 0;
            self.failed_at = self.position;
        }
        self.failures += 1;
        let transient = Transient { why, retry_after: None };
        self.exchange.pause(&self.uri, self.failures, transient).await?;

        let attached = attach(&self.exchange, &self.uri, self.position, Some(&validator)).await?;
        // Strong comparison: the two halves become one object.
        if attached.etag.as_ref() != Some(&validator) && attached.response.is_some() {
            let found = attached.etag.unwrap_or_else(|| "none".to_owned());
            return Err(drifted(&self.uri, PinKind::ETag, validator, found));
        }
        if let (Some(expected), Some(found)) = (self.total, attached.total)
            && expected != found
        {
            let (expected, found) = (expected.to_string(), found.to_string());
            return Err(drifted(&self.uri, PinKind::Size, expected, found));
        }
        self.total = self.total.or(attached.total);
        (self.response, self.skip) = (attached.response, attached.skip);
        Ok(())
    }
}
