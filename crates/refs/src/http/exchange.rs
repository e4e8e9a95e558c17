//! One request with all that it takes: credentials, redirects, retries.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::HttpOptions;
use super::address::{PublicOnly, is_private_literal, is_refused_address};
use super::header::retry_after;
use crate::credentials::{Credentials, Origin};
use crate::error::{RedirectProblem, RefsError};
use crate::pace::Pacer;
use crate::uri::ReferenceUri;

/// The connections and what governs their use.
pub(super) struct Exchange {
    pub(super) options: HttpOptions,
    credentials: Box<dyn Credentials>,
    pacer: Box<dyn Pacer>,
    /// For what the user named, wherever it is.
    any: Client,
    /// For where a public server leads: reaches no private address.
    public: Client,
}

/// An answer that is neither a redirect nor worth another attempt.
pub(super) struct Reached {
    pub(super) response: Response,
    pub(super) url: Url,
    pub(super) redirected: bool,
    authenticated: bool,
}

/// A failure that may pass.
pub(super) struct Transient {
    pub(super) why: String,
    pub(super) retry_after: Option<Duration>,
}

enum Failure {
    Transient(Transient),
    Fatal(RefsError),
}

impl Exchange {
    pub(super) fn new(
        options: HttpOptions,
        credentials: Box<dyn Credentials>,
        pacer: Box<dyn Pacer>,
    ) -> Result<Self, RefsError> {
        let setup = |error: reqwest::Error| RefsError::Setup { why: describe_error(error) };
        let base = || -> Result<reqwest::ClientBuilder, RefsError> {
            // `no_proxy` first: it keeps reqwest from looking at the environment.
            let mut builder = Client::builder()
                .no_proxy()
                .redirect(Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .connect_timeout(options.connect_timeout)
                .read_timeout(options.idle_timeout)
                .user_agent(&options.user_agent);
            if let Some(proxy) = &options.proxy {
                let refused = RefsError::Setup { why: "the proxy's URL is not valid".into() };
                builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|_| refused)?);
            }
            Ok(builder)
        };
        let any = base()?.build().map_err(setup)?;
        let public = base()?.dns_resolver(PublicOnly(options.is_private)).build().map_err(setup)?;
        Ok(Self { options, credentials, pacer, any, public })
    }

    /// Makes a request until it is answered by something that is not transient.
    pub(super) async fn request(
        &self,
        uri: &ReferenceUri,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Reached, RefsError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let transient = match self.follow(uri, method, headers).await {
                Ok(reached) => match self.transient_status(&reached.response) {
                    None => return Ok(reached),
                    Some(transient) => transient,
                },
                Err(Failure::Transient(transient)) => transient,
                Err(Failure::Fatal(error)) => return Err(error),
            };
            self.pause(uri, attempts, transient).await?;
        }
    }

    /// Waits after failure number `failures`, or gives up.
    pub(super) async fn pause(
        &self,
        uri: &ReferenceUri,
        failures: u32,
        transient: Transient,
    ) -> Result<(), RefsError> {
        let policy = &self.options.retry;
        let asked = transient.retry_after.unwrap_or_default();
        if failures >= policy.attempts || asked > policy.max_retry_after {
            return Err(RefsError::Unavailable {
                uri: uri.to_string(),
                attempts: failures,
                why: transient.why,
                retry_after: transient.retry_after,
            });
        }
        let delay = policy.delay(failures, self.pacer.random());
        self.pacer.sleep(delay.max(asked)).await;
        Ok(())
    }

    /// One attempt, through all redirects from the start: a target that was
    /// signed for a minute is signed anew.
    async fn follow(
        &self,
        uri: &ReferenceUri,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Reached, Failure> {
        let no_url = || RefsError::NoHandler { uri: uri.to_string(), scheme: uri.scheme().into() };
        let mut url = uri.to_url().ok_or_else(|| Failure::Fatal(no_url()))?;
        let mut seen = vec![url.clone()];
        let origin = Origin::of(&url);
        // Taken away for good at the first step to another origin.
        let mut credential = self.credentials.lookup(&origin);
        let mut was_public = false;
        loop {
            let client =
                if was_public && self.options.proxy.is_none() { &self.public } else { &self.any };
            let mut request = client
                .request(method.clone(), url.clone())
                .headers(headers.clone())
                .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(credential) = &credential {
                request = credential.apply(request);
            }
            let response = request.send().await.map_err(|error| failure(uri, error))?;
            if !is_redirect(response.status()) {
                let redirected = seen.len() > 1;
                let authenticated = credential.is_some();
                return Ok(Reached { response, url, redirected, authenticated });
            }
            was_public |= self.is_public(&url, &response);
            let next = self
                .next_hop(&url, &response, was_public, &seen)
                .map_err(|problem| Failure::Fatal(refused(uri, problem)))?;
            if Origin::of(&next) != origin {
                credential = None;
            }
            seen.push(next.clone());
            url = next;
        }
    }

    /// Where a redirect leads, if it may be followed.
    fn next_hop(
        &self,
        from: &Url,
        response: &Response,
        was_public: bool,
        seen: &[Url],
    ) -> Result<Url, RedirectProblem> {
        let location = response.headers().get(LOCATION).ok_or(RedirectProblem::NoTarget)?;
        let location =
            std::str::from_utf8(location.as_bytes()).map_err(|_| RedirectProblem::NoTarget)?;
        let next = target(from, location)?;
        if was_public && is_private_literal(&next, self.options.is_private) {
            return Err(RedirectProblem::Private);
        }
        if seen.contains(&next) {
            return Err(RedirectProblem::Loop);
        }
        if seen.len() > self.options.max_redirects {
            return Err(RedirectProblem::TooMany(self.options.max_redirects));
        }
        Ok(next)
    }

    /// Whether the server that answered is a public one: by the address it was
    /// reached at, or behind a proxy, which hides that, by its name.
    fn is_public(&self, url: &Url, response: &Response) -> bool {
        let is_private: fn(IpAddr) -> bool = self.options.is_private;
        match response.remote_addr() {
            Some(address) if self.options.proxy.is_none() => !is_private(address.ip()),
            _ => !is_private_literal(url, is_private),
        }
    }

    fn transient_status(&self, response: &Response) -> Option<Transient> {
        let status = response.status();
        let is_transient = match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                true
            }
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => false,
            _ => status.is_server_error(),
        };
        is_transient.then(|| Transient {
            why: format!("status {}", status.as_u16()),
            retry_after: retry_after(response.headers(), self.pacer.now()),
        })
    }
}

/// The error of an answer that is not a success.
pub(super) fn failed_status(uri: &ReferenceUri, reached: &Reached) -> RefsError {
    let (uri, status) = (uri.to_string(), reached.response.status().as_u16());
    match status {
        404 | 410 => RefsError::NotFound { uri },
        401 | 403 | 407 => RefsError::Denied { uri, status, authenticated: reached.authenticated },
        _ => RefsError::Status { uri, status },
    }
}

/// What reqwest says, without the URL, which may be that of a signed redirect.
pub(super) fn describe_error(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}

fn failure(uri: &ReferenceUri, error: reqwest::Error) -> Failure {
    if is_refused_address(&error) {
        return Failure::Fatal(refused(uri, RedirectProblem::Private));
    }
    let is_setup = error.is_builder();
    let why = describe_error(error);
    if is_setup {
        return Failure::Fatal(RefsError::Setup { why });
    }
    Failure::Transient(Transient { why, retry_after: None })
}

fn refused(uri: &ReferenceUri, problem: RedirectProblem) -> RefsError {
    RefsError::Redirect { uri: uri.to_string(), problem }
}

/// The URL that `location` means, if a step to it gives nothing away.
fn target(from: &Url, location: &str) -> Result<Url, RedirectProblem> {
    let mut next = from.join(location).map_err(|_| RedirectProblem::NoTarget)?;
    next.set_fragment(None);
    match (from.scheme(), next.scheme()) {
        ("https", "http") => return Err(RedirectProblem::Downgrade),
        (_, "http" | "https") => {}
        _ => return Err(RedirectProblem::Scheme),
    }
    if !next.username().is_empty() || next.password().is_some() {
        return Err(RedirectProblem::Credentials);
    }
    Ok(next)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_from_https_stay_on_https() {
        let from = Url::parse("https://host/a/b?q").unwrap();
        let step = |location: &str| target(&from, location).map(|url| url.to_string());
        assert_eq!(step("c#f").as_deref(), Ok("https://host/a/c"));
        assert_eq!(step("//other/c").as_deref(), Ok("https://other/c"));
        assert_eq!(step("http://host/a"), Err(RedirectProblem::Downgrade));
        assert_eq!(step("FILE:///etc/passwd"), Err(RedirectProblem::Scheme));
        assert_eq!(step("https://token@other/"), Err(RedirectProblem::Credentials));
        let plain = Url::parse("http://host/").unwrap();
        assert!(target(&plain, "https://host/").is_ok());
    }
}
