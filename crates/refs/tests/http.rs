//! `HttpHandler` against a server with every oddity.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use heirloom_manifest::{BlobHasher, BlobId, Reference};
use heirloom_refs::{
    CheckOutcome, Credential, Credentials, ExpandOptions, HttpHandler, HttpOptions, Netrc,
    NoCredentials, OpenOptions, Pacer, PinKind, RedirectProblem, ReferenceUri, RefsError, Registry,
    RetryPolicy, UnknownWhy, Unverified, VerifyingBody,
};
use heirloom_testkit::{Fault, FixedClock, HttpServer, Route, fixtures};

/// Does not wait, but writes down for how long it was asked to.
#[derive(Clone, Default)]
struct Recorder {
    waits: Arc<Mutex<Vec<Duration>>>,
    clock: FixedClock,
}

impl Pacer for Recorder {
    fn now(&self) -> SystemTime {
        self.clock.system_time()
    }

    fn random(&self) -> u64 {
        0
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'_, ()> {
        self.waits.lock().unwrap().push(span);
        Box::pin(async {})
    }
}

struct Bench {
    server: HttpServer,
    registry: Registry,
    pacer: Recorder,
}

impl Bench {
    fn new() -> Self {
        Self::with(HttpOptions::default(), NoCredentials)
    }

    fn with(options: HttpOptions, credentials: impl Credentials + 'static) -> Self {
        let pacer = Recorder::default();
        let handler = HttpHandler::new(options, credentials, pacer.clone()).unwrap();
        Self { server: HttpServer::start(), registry: Registry::new().with(handler), pacer }
    }

    async fn pin(&self, path: &str) -> Result<Reference, RefsError> {
        let uri = ReferenceUri::new(&self.server.url(path)).unwrap();
        let entries = self.registry.expand_all(&uri, &ExpandOptions::default()).await?;
        let [(name, reference)] = <[_; 1]>::try_from(entries).unwrap();
        assert_eq!(name.as_str(), path.rsplit('/').next().unwrap());
        Ok(reference)
    }

    async fn read(&self, reference: &Reference) -> Result<Vec<u8>, RefsError> {
        self.read_with(reference, OpenOptions::default()).await
    }

    async fn read_with(
        &self,
        reference: &Reference,
        options: OpenOptions,
    ) -> Result<Vec<u8>, RefsError> {
        let opened = self.registry.open(reference, &options).await?;
        let pieces: Vec<_> = opened.body.try_collect().await?;
        Ok(pieces.concat())
    }

    fn waits(&self) -> Vec<Duration> {
        self.pacer.waits.lock().unwrap().clone()
    }
}

fn redirect_problem(result: Result<Reference, RefsError>) -> RedirectProblem {
    match result {
        Err(RefsError::Redirect { problem, .. }) => problem,
        other => panic!("expected a refused redirect, got {other:?}"),
    }
}

const BODY: &[u8] = b"0123456789";

#[tokio::test]
async fn strong_and_weak_tags_and_the_length_are_pinned_verbatim() {
    let bench = Bench::new();
    for tag in ["\"v1\"", "W/\"v1\"", "unquoted"] {
        bench.server.route("/x.bin", Route::content(BODY).etag(tag));
        let pinned = bench.pin("/x.bin").await.unwrap();
        assert_eq!(pinned.etag.as_deref(), Some(tag));
        assert_eq!((pinned.size, &pinned.final_uri), (Some(10), &None));
        assert_eq!(bench.registry.check(&pinned).await.unwrap(), CheckOutcome::Same);
        assert_eq!(bench.read(&pinned).await.unwrap(), BODY);
    }
    let gets: Vec<_> =
        bench.server.requests().into_iter().filter(|request| request.method == "GET").collect();
    assert_eq!(gets.len(), 3, "pinning and checking fetch nothing");
    assert_eq!(gets[0].header("if-match"), Some("\"v1\""));
    assert_eq!(gets[1].header("if-match"), None, "a weak tag never matches strongly");
    assert_eq!(gets[2].header("if-match"), None);
    assert!(gets.iter().all(|get| get.header("accept-encoding") == Some("identity")));
}

#[tokio::test]
async fn servers_without_head_are_asked_by_get_of_one_byte() {
    let bench = Bench::new();
    for status in [400, 403, 405, 501] {
        bench.server.forget_requests();
        bench.server.route("/x", Route::content(BODY).etag("\"a\"").head_status(status));
        let pinned = bench.pin("/x").await.unwrap();
        assert_eq!((pinned.size, pinned.etag.as_deref()), (Some(10), Some("\"a\"")));
        let requests = bench.server.requests();
        assert_eq!(bench.server.request_lines(), ["HEAD /x", "GET /x"], "{status}");
        assert_eq!(requests[1].header("range"), Some("bytes=0-0"));
    }
    bench.server.route("/x", Route::content(BODY).head_status(405).ignore_ranges());
    assert_eq!(bench.pin("/x").await.unwrap().size, Some(10));
    bench.server.route("/x", Route::content("").etag("\"e\"").head_status(405));
    let empty = bench.pin("/x").await.unwrap();
    assert_eq!((empty.size, empty.etag.as_deref()), (Some(0), Some("\"e\"")));
    assert_eq!(bench.read(&empty).await.unwrap(), b"");
    bench.server.route("/x", Route::endless().head_status(405));
    assert_eq!(bench.pin("/x").await.unwrap().size, None);
}

#[tokio::test]
async fn a_length_is_pinned_only_if_told() {
    let bench = Bench::new();
    bench.server.route("/x", Route::content(BODY).chunked().ignore_ranges());
    let pinned = bench.pin("/x").await.unwrap();
    assert_eq!((pinned.size, pinned.is_pinned()), (None, false));
    assert_eq!(bench.read(&pinned).await.unwrap(), BODY);
    let why = UnknownWhy::NotPinned;
    assert_eq!(bench.registry.check(&pinned).await.unwrap(), CheckOutcome::Unknown { why });
    // HEAD alone does not tell; GET does, be it by the range's total.
    bench.server.route("/x", Route::content(BODY).chunked());
    assert_eq!(bench.pin("/x").await.unwrap().size, Some(10));
    bench.server.route("/x", Route::content(BODY).no_length_on_head());
    assert_eq!(bench.pin("/x").await.unwrap().size, Some(10));
}

#[tokio::test]
async fn checks_tell_same_drifted_gone_and_unknown() {
    let bench = Bench::new();
    bench.server.route("/x", Route::content(BODY).etag("\"a\""));
    let pinned = bench.pin("/x").await.unwrap();

    bench.server.route("/x", Route::content(BODY).etag("\"b\""));
    let drifted = |what, expected: &str, found: &str| CheckOutcome::Drifted {
        what,
        expected: expected.into(),
        found: found.into(),
    };
    let check = async || bench.registry.check(&pinned).await;
    assert_eq!(check().await.unwrap(), drifted(PinKind::ETag, "\"a\"", "\"b\""));
    bench.server.route("/x", Route::content("longer than ten"));
    assert_eq!(check().await.unwrap(), drifted(PinKind::Size, "10", "15"));
    bench.server.route("/x", Route::content(BODY));
    let why = UnknownWhy::NotTold;
    assert_eq!(check().await.unwrap(), CheckOutcome::Unknown { why }, "only the length agrees");
    for status in [404, 410] {
        bench.server.route("/x", Route::status(status));
        assert_eq!(check().await.unwrap(), CheckOutcome::Gone);
    }
    bench.server.route("/x", Route::status(403));
    assert!(matches!(check().await, Err(RefsError::Denied { status: 403, .. })));
    bench.server.route("/x", Route::status(418));
    assert!(matches!(check().await, Err(RefsError::Status { status: 418, .. })));
}

#[tokio::test]
async fn drifted_content_is_refused_before_any_byte_unless_allowed() {
    let bench = Bench::new();
    bench.server.route("/x", Route::content(BODY).etag("\"a\""));
    let pinned = bench.pin("/x").await.unwrap();
    let changed = Route::content("abc").etag("\"b\"");
    for route in [changed.clone(), changed.ignore_conditions()] {
        bench.server.route("/x", route);
        match bench.read(&pinned).await {
            Err(RefsError::Drifted { what: PinKind::ETag, expected, found, uri }) => {
                assert_eq!((expected.as_str(), found.as_str()), ("\"a\"", "\"b\""));
                assert_eq!(uri, bench.server.url("/x"));
            }
            other => panic!("{other:?}"),
        }
    }
    let options = OpenOptions { allow_drift: true, ..OpenOptions::default() };
    assert_eq!(bench.read_with(&pinned, options).await.unwrap(), b"abc");

    bench.server.route("/x", Route::content("abc"));
    let size_differs = bench.read(&pinned).await;
    assert!(matches!(size_differs, Err(RefsError::Drifted { what: PinKind::Size, .. })));
}

#[tokio::test]
async fn a_tag_that_changes_between_head_and_get_is_drift() {
    let bench = Bench::new();
    bench.server.route("/x", Route::content(BODY).etag("\"get\"").etag_on_head("\"head\""));
    let pinned = bench.pin("/x").await.unwrap();
    assert_eq!(pinned.etag.as_deref(), Some("\"head\""));
    assert!(matches!(
        bench.read(&pinned).await,
        Err(RefsError::Drifted { what: PinKind::ETag, .. })
    ));
}

#[tokio::test]
async fn redirects_are_followed_and_recorded_without_secrets() {
    let bench = Bench::new();
    bench.server.route("/end", Route::content(BODY).etag("\"a\""));
    bench.server.redirect_chain("/x", 10, "/end");
    let pinned = bench.pin("/x").await.unwrap();
    assert_eq!(pinned.uri, bench.server.url("/x"));
    assert_eq!(pinned.final_uri, Some(bench.server.url("/end")));
    assert_eq!(bench.read(&pinned).await.unwrap(), BODY);

    bench.server.route("/x", Route::redirect(307, "/end?X-Amz-Signature=topsecret#frag"));
    let pinned = bench.pin("/x").await.unwrap();
    assert_eq!(pinned.final_uri, Some(bench.server.url("/end")));
    assert_eq!(bench.read(&pinned).await.unwrap(), BODY);
    bench.server.route("/end", Route::status(403));
    let error = bench.pin("/x").await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("topsecret"));
}

#[tokio::test]
async fn redirects_that_lead_nowhere_good_are_refused() {
    let bench = Bench::new();
    bench.server.route("/end", Route::content(BODY));
    bench.server.redirect_chain("/x", 11, "/end");
    assert_eq!(redirect_problem(bench.pin("/x").await), RedirectProblem::TooMany(10));
    bench.server.route("/a", Route::redirect(302, "/b"));
    bench.server.route("/b", Route::redirect(302, "/a#again"));
    assert_eq!(redirect_problem(bench.pin("/a").await), RedirectProblem::Loop);
    for (location, problem) in [
        ("file:///etc/passwd", RedirectProblem::Scheme),
        ("ftp://host/x", RedirectProblem::Scheme),
        ("//user:password@127.0.0.1/x", RedirectProblem::Credentials),
        ("http://[bad", RedirectProblem::NoTarget),
    ] {
        bench.server.route("/a", Route::redirect(302, location));
        assert_eq!(redirect_problem(bench.pin("/a").await), problem, "{location}");
    }
    bench.server.route("/a", Route::status(302));
    assert_eq!(redirect_problem(bench.pin("/a").await), RedirectProblem::NoTarget);
}

#[tokio::test]
async fn a_public_server_cannot_lead_to_a_private_one() {
    let private = HttpServer::start_on("127.0.0.2".parse().unwrap());
    private.route("/secret", Route::content("metadata").etag("\"s\""));
    private.route("/back", Route::redirect(302, "/secret"));

    // The loopback of 127.0.0.1 plays the public Internet.
    let is_private: fn(IpAddr) -> bool = |address| address == IpAddr::from([127, 0, 0, 2]);
    let bench = Bench::with(HttpOptions { is_private, ..HttpOptions::default() }, NoCredentials);
    bench.server.route("/x", Route::redirect(302, private.url("/secret")));
    assert_eq!(redirect_problem(bench.pin("/x").await), RedirectProblem::Private);
    bench.server.route("/x", Route::redirect(302, bench.server.url_at("localhost", "/y")));
    assert_eq!(redirect_problem(bench.pin("/x").await), RedirectProblem::Private);
    assert_eq!(private.request_lines(), Vec::<String>::new());

    // By default both are private, and moving about among those is fine; so is a
    // private address that the user named.
    let bench = Bench::new();
    bench.server.route("/x", Route::redirect(302, private.url("/back")));
    assert_eq!(bench.pin("/x").await.unwrap().final_uri, Some(private.url("/secret")));
}

#[tokio::test]
async fn credentials_go_to_their_host_only() {
    let netrc = Netrc::parse("machine 127.0.0.1 login me password hunter2").unwrap();
    let bench = Bench::with(HttpOptions::default(), netrc);
    let basic = "Basic bWU6aHVudGVyMg==";
    bench.server.route("/x", Route::content(BODY).require_authorization(basic));
    let pinned = bench.pin("/x").await.unwrap();
    assert_eq!(bench.read(&pinned).await.unwrap(), BODY);

    let other = HttpServer::start_on("127.0.0.2".parse().unwrap());
    other.route("/y", Route::content(BODY).etag("\"y\""));
    other.route("/back", Route::redirect(302, bench.server.url("/x")));
    bench.server.route("/same", Route::redirect(302, "/x"));
    bench.server.route("/away", Route::redirect(302, other.url("/y")));
    bench.server.route("/round", Route::redirect(302, other.url("/back")));
    bench.pin("/same").await.unwrap();
    bench.pin("/away").await.unwrap();
    let error = bench.pin("/round").await.unwrap_err();
    assert!(
        matches!(error, RefsError::Denied { authenticated: false, .. }),
        "credentials do not return by way of another host: {error:?}"
    );
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
    assert_eq!(other.requests().len(), 2);

    // Another port of the same host is another origin.
    let neighbour = HttpServer::start();
    neighbour.route("/y", Route::content(BODY).etag("\"y\""));
    bench.server.route("/away", Route::redirect(302, neighbour.url("/y")));
    bench.pin("/away").await.unwrap();
    assert!(neighbour.requests().iter().all(|request| request.header("authorization").is_none()));
}

#[tokio::test]
async fn wrong_credentials_are_told_from_missing_ones_and_never_shown() {
    let bearer = |_: &heirloom_refs::Origin| Some(Credential::bearer("topsecret"));
    let bench = Bench::with(HttpOptions::default(), bearer);
    bench.server.route("/x", Route::content(BODY).require_authorization("Bearer other"));
    let error = bench.pin("/x").await.unwrap_err();
    assert!(matches!(error, RefsError::Denied { status: 401, authenticated: true, .. }));
    assert!(!format!("{error} {error:?}").contains("topsecret"));
    assert_eq!(bench.waits(), [], "denial is final");
    assert_eq!(bench.server.requests()[0].header("authorization"), Some("Bearer topsecret"));

    let plain = Bench::new();
    plain.server.route("/x", Route::status(401));
    let error = plain.pin("/x").await.unwrap_err();
    assert!(matches!(error, RefsError::Denied { authenticated: false, .. }));
}

#[tokio::test]
async fn passing_failures_are_retried_with_growing_pauses() {
    let bench = Bench::new();
    let route = Route::content(BODY)
        .etag("\"a\"")
        .fail_first(2, 500)
        .fault(Fault::Close)
        .fault(Fault::Status { code: 429, retry_after: Some("7".into()) });
    bench.server.route("/x", route);
    bench.pin("/x").await.unwrap();
    assert_eq!(bench.server.requests().len(), 5);
    let waits: Vec<_> = bench.waits().iter().map(Duration::as_millis).collect();
    assert_eq!(waits, [250, 500, 1000, 7000], "half of each, without jitter; then as told");
}

#[tokio::test]
async fn retries_end_and_the_error_names_uri_and_cause() {
    let bench = Bench::new();
    bench.server.route("/x", Route::content(BODY).fail_first(99, 503));
    let error = bench.pin("/x").await.unwrap_err();
    assert!(error.is_retryable());
    let text = error.to_string();
    assert!(text.contains(&bench.server.url("/x")) && text.contains("503"), "{text}");
    assert_eq!(bench.server.requests().len(), 5);

    // Told to stay away for long, we give up at once.
    bench.server.forget_requests();
    let date = "Thu, 01 Jan 2026 01:00:00 GMT";
    let away = Fault::Status { code: 503, retry_after: Some(date.into()) };
    bench.server.route("/x", Route::content(BODY).fault(away));
    match bench.pin("/x").await {
        Err(RefsError::Unavailable { retry_after, attempts: 1, .. }) => {
            assert_eq!(retry_after, Some(Duration::from_secs(3600)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.server.requests().len(), 1);

    drop(bench.server);
    let nobody = Bench::new();
    let uri = "http://127.0.0.1:1/x";
    let error = nobody.registry.check(&Reference::new(uri)).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains(uri), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let retry = RetryPolicy { attempts: 2, ..RetryPolicy::default() };
    let idle_timeout = Duration::from_millis(50);
    let options = HttpOptions { idle_timeout, retry, ..HttpOptions::default() };
    let bench = Bench::with(options, NoCredentials);
    bench.server.route("/x", Route::content(BODY).fault(Fault::Stall).fault(Fault::Stall));
    let error = bench.pin("/x").await.unwrap_err();
    assert!(matches!(error, RefsError::Unavailable { attempts: 2, .. }), "{error:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_resumed_under_its_strong_tag() {
    let bench = Bench::new();
    let body = fixtures::bytes(1, 300_000);
    let cut = |after| Fault::Cut { after };
    for ignore_ranges in [false, true] {
        bench.server.route("/x", Route::content(&body).etag("\"a\""));
        let pinned = bench.pin("/x").await.unwrap();
        bench.server.forget_requests();
        let mut route = Route::content(&body)
            .etag("\"a\"")
            .fault(cut(100_000))
            .fault(Fault::Close)
            .fault(cut(0));
        if ignore_ranges {
            route = route.ignore_ranges();
        }
        bench.server.route("/x", route);
        let read = bench.read(&pinned).await.unwrap();
        assert_eq!(BlobId::of(&read), BlobId::of(&body));
        let requests = bench.server.requests();
        assert_eq!(requests.len(), 4);
        assert_eq!(requests[3].header("range"), Some("bytes=100000-"));
        assert_eq!(requests[3].header("if-range"), Some("\"a\""));
    }
}

#[tokio::test]
async fn a_chunked_body_that_breaks_off_is_resumed_too() {
    let bench = Bench::new();
    let body = fixtures::bytes(2, 100_000);
    bench.server.route("/x", Route::content(&body).etag("\"a\"").chunked());
    let pinned = bench.pin("/x").await.unwrap();
    assert_eq!(pinned.size, None);
    for after in [50_000, 100_000] {
        let route = Route::content(&body).etag("\"a\"").chunked().fault(Fault::Cut { after });
        bench.server.route("/x", route);
        assert_eq!(bench.read(&pinned).await.unwrap().len(), 100_000, "cut after {after}");
    }
}

#[tokio::test]
async fn halves_of_different_contents_are_never_joined() {
    let bench = Bench::new();
    let body = fixtures::bytes(3, 200_000);
    for (tag, changed) in [("\"a\"", true), ("W/\"a\"", false)] {
        bench.server.route("/x", Route::content(&body).etag(tag));
        let pinned = bench.pin("/x").await.unwrap();
        let cut = Route::content(&body).etag(tag).fault(Fault::Cut { after: 70_000 });
        bench.server.route("/x", cut);
        let mut opened = bench.registry.open(&pinned, &OpenOptions::default()).await.unwrap();
        bench.server.route("/x", Route::content(vec![7; 200_000]).etag("\"b\""));
        let mut read = Vec::new();
        let error = loop {
            match opened.body.next().await.expect("an error, not the end") {
                Ok(piece) => read.extend_from_slice(&piece),
                Err(error) => break error,
            }
        };
        assert_eq!(read, body[..read.len()]);
        if changed {
            assert!(matches!(error, RefsError::Drifted { what: PinKind::ETag, .. }), "{error:?}");
        } else {
            // A weak tag does not promise equal bytes: no attempt is made.
            assert!(matches!(error, RefsError::Truncated { received: 70_000, .. }), "{error:?}");
        }
        assert!(opened.body.next().await.is_none());
    }
}

#[tokio::test]
async fn resuming_does_not_go_on_for_ever() {
    let bench = Bench::new();
    bench.server.route("/x", Route::content(BODY).etag("\"a\""));
    let pinned = bench.pin("/x").await.unwrap();
    let mut route = Route::content(BODY).etag("\"a\"");
    for _ in 0..50 {
        route = route.fault(Fault::Cut { after: 1 });
    }
    bench.server.route("/x", route);
    let error = bench.read(&pinned).await.unwrap_err();
    assert!(matches!(error, RefsError::Unavailable { attempts: 5, .. }), "{error:?}");
}

#[tokio::test]
async fn endless_bodies_end_at_the_declared_size_or_the_cap() {
    let bench = Bench::new();
    bench.server.route("/x", Route::endless());
    let declared = Reference { size: Some(100_000), ..Reference::new(bench.server.url("/x")) };
    let error = bench.read(&declared).await.unwrap_err();
    assert!(matches!(error, RefsError::Drifted { what: PinKind::Size, .. }), "{error:?}");

    let undeclared = Reference::new(bench.server.url("/x"));
    let options = OpenOptions { max_bytes: 200_000, ..OpenOptions::default() };
    let mut body = bench.registry.open(&undeclared, &options).await.unwrap().body;
    let mut passed_on = 0;
    let error = loop {
        match body.next().await.expect("an error, not the end") {
            Ok(piece) => passed_on += piece.len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RefsError::TooLarge { limit: 200_000, .. }), "{error:?}");
    assert!(passed_on <= 200_000);

    bench.server.route("/y", Route::content(BODY));
    let options = OpenOptions { max_bytes: 9, ..OpenOptions::default() };
    let longer = bench.read_with(&Reference::new(bench.server.url("/y")), options).await;
    assert!(matches!(longer, Err(RefsError::TooLarge { .. })));
}

#[tokio::test]
async fn reading_may_start_anywhere() {
    let bench = Bench::new();
    bench.server.route("/x", Route::content(BODY).etag("\"a\""));
    let pinned = bench.pin("/x").await.unwrap();
    let from = |start| OpenOptions { start, ..OpenOptions::default() };
    for route in [
        Route::content(BODY).etag("\"a\""),
        Route::content(BODY).etag("\"a\"").ignore_ranges(),
        Route::content(BODY).chunked(),
    ] {
        bench.server.route("/x", route);
        for start in [0, 1, 9, 10] {
            let read = bench.read_with(&pinned, from(start)).await.unwrap();
            assert_eq!(read, &BODY[start as usize..]);
        }
        let beyond = bench.read_with(&pinned, from(11)).await;
        assert!(matches!(beyond, Err(RefsError::BeyondEnd { start: 11, size: 10, .. })));
    }
    bench.server.route("/x", Route::content("changed!!!").etag("\"b\""));
    assert!(matches!(bench.read_with(&pinned, from(4)).await, Err(RefsError::Drifted { .. })));
}

#[tokio::test]
async fn the_end_of_a_body_says_what_was_verified() {
    let bench = Bench::new();
    bench.server.route("/x", Route::content(BODY).etag("\"a\""));
    let pinned = bench.pin("/x").await.unwrap();
    let verify = async |reference: &Reference| {
        let opened = bench.registry.open(reference, &OpenOptions::default()).await?;
        let mut body = VerifyingBody::new(reference, opened);
        while body.try_next().await?.is_some() {}
        Ok::<_, RefsError>(body.verification().unwrap().clone())
    };
    let verification = verify(&pinned).await.unwrap();
    assert_eq!(verification.blob, BlobId::of(BODY));
    assert_eq!(verification.verified, [PinKind::Size]);
    assert_eq!(verification.confirmed, [PinKind::ETag]);
    assert!(verification.unverified.is_empty() && !verification.is_proven());

    bench.server.route("/x", Route::content(BODY));
    let verification = verify(&pinned).await.unwrap();
    assert_eq!(verification.unverified, [(PinKind::ETag, Unverified::NotTold)]);

    let checksums = vec![BlobId::of(BODY).into()];
    let hashed = Reference { checksums, ..pinned.clone() };
    assert!(verify(&hashed).await.unwrap().is_proven());
    bench.server.route("/x", Route::content("0123456780"));
    assert!(matches!(verify(&hashed).await, Err(RefsError::DigestMismatch { .. })));

    // A download taken up again verifies the whole.
    bench.server.route("/x", Route::content(BODY));
    let mut hasher = BlobHasher::new();
    hasher.update(&BODY[..4]);
    let options = OpenOptions { start: 4, ..OpenOptions::default() };
    let opened = bench.registry.open(&hashed, &options).await.unwrap();
    let mut body = VerifyingBody::resumed(&hashed, opened, hasher);
    while body.try_next().await.unwrap().is_some() {}
    assert!(body.verification().unwrap().is_proven());
}

#[tokio::test]
async fn without_checksum_and_without_handler_nothing_is_asked() {
    let bench = Bench::new();
    let options = ExpandOptions { checksum: false, ..ExpandOptions::default() };
    let uri = ReferenceUri::new(&bench.server.url("/x")).unwrap();
    let entries = bench.registry.expand_all(&uri, &options).await.unwrap();
    assert_eq!(entries, [("x".parse().unwrap(), Reference::new(uri.as_str()))]);
    assert!(bench.server.requests().is_empty());

    let uri = ReferenceUri::new("ipfs://bafy/x").unwrap();
    let unnamed = bench.registry.expand_all(&uri, &ExpandOptions::default()).await;
    assert!(matches!(unnamed, Err(RefsError::NameNeeded { .. })));
    let options = ExpandOptions { name: Some("a/b".parse().unwrap()), ..ExpandOptions::default() };
    let entries = bench.registry.expand_all(&uri, &options).await.unwrap();
    let (path, reference) = &entries[0];
    assert_eq!((path.as_str(), reference.uri.as_str()), ("a/b", "ipfs://bafy/x"));
    let why = UnknownWhy::NoHandler;
    assert_eq!(bench.registry.check(reference).await.unwrap(), CheckOutcome::Unknown { why });
    let opened = bench.registry.open(reference, &OpenOptions::default()).await;
    assert!(matches!(opened, Err(RefsError::NoHandler { .. })));
    // What a hostile manifest may hold is checked again.
    let hostile = Reference::new("https://me:hunter2-hunter2@host/x");
    let error = bench.registry.check(&hostile).await.unwrap_err();
    assert!(matches!(error, RefsError::Uri(_)) && !format!("{error:?}").contains("hunter2"));
}
