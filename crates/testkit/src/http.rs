//! A tiny HTTP/1.1 server whose answers are programmed, oddities included.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRequest {
    /// `GET`, `HEAD`, …
    pub method: String,
    /// Path with its query, as sent.
    pub path: String,
    /// Headers in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// Body, where a Content-Length announced one.
    pub body: Vec<u8>,
}

impl RecordedRequest {
    /// Value of the first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answers with this status and no content.
    Status {
        /// Such as 503.
        code: u16,
        /// Value of `Retry-After`.
        retry_after: Option<String>,
    },
    /// Closes the connection without an answer.
    Close,
    /// Answers as programmed but closes after this many bytes of the body.
    Cut {
        /// Bytes of this answer's body that are sent.
        after: usize,
    },
    /// Never answers; the connection stays open until the server is dropped.
    Stall,
}

#[derive(Debug, Clone)]
enum Body {
    Bytes(Arc<[u8]>),
    Endless,
}

/// What the server answers at a path. The default is honest: a length, ranges,
/// conditions, HEAD; each method makes it odd in one way.
#[derive(Debug, Clone)]
pub struct Route {
    status: u16,
    body: Body,
    headers: Vec<(String, String)>,
    etag: Option<String>,
    head_etag: Option<String>,
    head_status: Option<u16>,
    head_length: bool,
    chunked: bool,
    ranges: bool,
    conditions: bool,
    authorization: Option<String>,
    faults: VecDeque<Fault>,
}

impl Route {
    /// Status 200 with these bytes.
    pub fn content(body: impl AsRef<[u8]>) -> Self {
        Self {
            status: 200,
            body: Body::Bytes(body.as_ref().into()),
            headers: Vec::new(),
            etag: None,
            head_etag: None,
            head_status: None,
            head_length: true,
            chunked: false,
            ranges: true,
            conditions: true,
            authorization: None,
            faults: VecDeque::new(),
        }
    }

    /// Only a status, such as 404.
    pub fn status(code: u16) -> Self {
        Self { status: code, ..Self::content("") }
    }

    /// A redirect (301, 302, 303, 307, 308) to `location`, sent as given.
    pub fn redirect(code: u16, location: impl Into<String>) -> Self {
        Self::status(code).header("Location", location)
    }

    /// Chunked zeros without end, and without a length.
    pub fn endless() -> Self {
        Self { body: Body::Endless, chunked: true, ranges: false, ..Self::content("") }
    }

    /// Sends `ETag`, verbatim: strong `"abc"` or weak `W/"abc"`.
    pub fn etag(mut self, etag: impl Into<String>) -> Self {
        self.etag = Some(etag.into());
        self
    }

    /// HEAD sends this `ETag` instead: content that changed in between.
    pub fn etag_on_head(mut self, etag: impl Into<String>) -> Self {
        self.head_etag = Some(etag.into());
        self
    }

    /// HEAD is answered with this status, such as 405.
    pub fn head_status(mut self, code: u16) -> Self {
        self.head_status = Some(code);
        self
    }

    /// HEAD does not tell the length.
    pub fn no_length_on_head(mut self) -> Self {
        self.head_length = false;
        self
    }

    /// Chunked transfer coding: no length is told.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// `Range` is ignored: always the whole body with status 200.
    pub fn ignore_ranges(mut self) -> Self {
        self.ranges = false;
        self
    }

    /// `If-Match` is ignored.
    pub fn ignore_conditions(mut self) -> Self {
        self.conditions = false;
        self
    }

    /// Status 401 unless `Authorization` has exactly this value.
    pub fn require_authorization(mut self, value: impl Into<String>) -> Self {
        self.authorization = Some(value.into());
        self
    }

    /// Adds a header to every answer.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a fault; each request uses up one, in order, then all is well.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push_back(fault);
        self
    }

    /// The first `times` requests fail with this status.
    pub fn fail_first(mut self, times: usize, code: u16) -> Self {
        for _ in 0..times {
            self.faults.push_back(Fault::Status { code, retry_after: None });
        }
        self
    }
}

#[derive(Default)]
struct Shared {
    routes: Mutex<HashMap<String, Route>>,
    requests: Mutex<Vec<RecordedRequest>>,
    open: Mutex<HashMap<u64, TcpStream>>,
    next: AtomicU64,
    stopped: AtomicBool,
    stopping: (Mutex<bool>, Condvar),
}

/// A server on a free port of the loopback interface, ended when dropped. Each
/// connection carries one request and is then closed.
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Starts on 127.0.0.1. Unknown paths answer 404.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start() -> Self {
        Self::start_on(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Starts on another address of this machine, such as 127.0.0.2, which a
    /// client sees as another host.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start_on(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a free port on the loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of `path`, which starts with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The URL of `path` by another name of the same machine, such as
    /// `localhost`.
    pub fn url_at(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.address.port())
    }

    /// Programs what `path` answers, in place of what it did before. A path
    /// with a query answers that query alone, one without answers any.
    pub fn route(&self, path: &str, route: Route) {
        lock(&self.shared.routes).insert(path.to_owned(), route);
    }

    /// Programs `hops` redirects, the first at `path`, the last to `target`.
    pub fn redirect_chain(&self, path: &str, hops: usize, target: &str) {
        for hop in 0..hops {
            let here = if hop == 0 { path.to_owned() } else { format!("{path}-{hop}") };
            let next =
                if hop + 1 == hops { target.to_owned() } else { format!("{path}-{}", hop + 1) };
            self.route(&here, Route::redirect(302, next));
        }
    }

    /// All requests so far, in the order they came.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        lock(&self.shared.requests).clone()
    }

    /// The requests so far as `METHOD path`.
    pub fn request_lines(&self) -> Vec<String> {
        lock(&self.shared.requests).iter().map(|r| format!("{} {}", r.method, r.path)).collect()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        lock(&self.shared.requests).clear();
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        *lock(&self.shared.stopping.0) = true;
        self.shared.stopping.1.notify_all();
        for stream in lock(&self.shared.open).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the acceptor, which then sees the flag.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(handle) = stream.try_clone() else { continue };
        let id = shared.next.fetch_add(1, Ordering::SeqCst);
        lock(&shared.open).insert(id, handle);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // A client that goes away is part of what is tested.
            let _ = serve(&stream, &shared);
            let _ = stream.shutdown(Shutdown::Both);
            lock(&shared.open).remove(&id);
        });
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let Some(request) = read_request(stream)? else { return Ok(()) };
    let (route, fault) = {
        let mut routes = lock(&shared.routes);
        let bare = request.path.split('?').next().unwrap_or_default();
        let key = if routes.contains_key(&request.path) { request.path.as_str() } else { bare };
        match routes.get_mut(key) {
            Some(route) => {
                let fault = route.faults.pop_front();
                (route.clone(), fault)
            }
            None => (Route::status(404), None),
        }
    };
    lock(&shared.requests).push(request.clone());
    let mut cut = None;
    match fault {
        None => {}
        Some(Fault::Close) => return Ok(()),
        Some(Fault::Cut { after }) => cut = Some(after),
        Some(Fault::Status { code, retry_after }) => {
            let mut failing = Route::status(code);
            if let Some(value) = retry_after {
                failing = failing.header("Retry-After", value);
            }
            return answer(stream, &request, &failing, None);
        }
        Some(Fault::Stall) => {
            let mut stopping = lock(&shared.stopping.0);
            while !*stopping {
                stopping = shared
                    .stopping
                    .1
                    .wait(stopping)
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            return Ok(());
        }
    }
    answer(stream, &request, &route, cut)
}

fn read_request(stream: &TcpStream) -> std::io::Result<Option<RecordedRequest>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut request = RecordedRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            request.headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    if let Some(length) = request.header("content-length").and_then(|v| v.parse().ok()) {
        reader.take(length).read_to_end(&mut request.body)?;
    }
    Ok(Some(request))
}

fn answer(
    stream: &TcpStream,
    request: &RecordedRequest,
    route: &Route,
    cut: Option<usize>,
) -> std::io::Result<()> {
    let is_head = request.method == "HEAD";
    let etag = if is_head {
        route.head_etag.as_ref().or(route.etag.as_ref())
    } else {
        route.etag.as_ref()
    };
    let mut status = route.status;
    if is_head && let Some(code) = route.head_status {
        status = code;
    }
    if let Some(expected) = &route.authorization
        && request.header("authorization") != Some(expected)
    {
        status = 401;
    }
    if route.conditions
        && status == 200
        && let Some(condition) = request.header("if-match")
        && condition != "*"
        && !condition.split(',').any(|tag| is_strong_match(etag, tag.trim()))
    {
        status = 412;
    }

    let whole: &[u8] = match &route.body {
        Body::Bytes(bytes) if status == route.status => bytes,
        _ => &[],
    };
    let endless = status == 200 && matches!(route.body, Body::Endless);
    let mut slice = whole;
    let mut content_range = None;
    if status == 200
        && route.ranges
        && let Some(range) = request.header("range")
        && request.header("if-range").is_none_or(|tag| is_strong_match(etag, tag))
    {
        match parse_range(range, whole.len()) {
            Some((start, end)) => {
                status = 206;
                slice = &whole[start..end];
                content_range = Some(format!("bytes {start}-{}/{}", end - 1, whole.len()));
            }
            None => {
                status = 416;
                slice = &[];
                content_range = Some(format!("bytes */{}", whole.len()));
            }
        }
    }

    let mut head = format!("HTTP/1.1 {status} Programmed\r\nConnection: close\r\n");
    for (name, value) in &route.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(etag) = etag {
        head.push_str(&format!("ETag: {etag}\r\n"));
    }
    if let Some(range) = content_range {
        head.push_str(&format!("Content-Range: {range}\r\n"));
    }
    if route.chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
    } else if !is_head || route.head_length {
        head.push_str(&format!("Content-Length: {}\r\n", slice.len()));
    }
    head.push_str("\r\n");
    let mut out = stream;
    out.write_all(head.as_bytes())?;
    if is_head {
        return Ok(());
    }
    if endless {
        let chunk = [b"10000\r\n".as_slice(), &[0; 65_536], b"\r\n"].concat();
        loop {
            out.write_all(&chunk)?;
        }
    }
    let sent = &slice[..cut.unwrap_or(slice.len()).min(slice.len())];
    if !route.chunked {
        return out.write_all(sent);
    }
    for chunk in sent.chunks(8192) {
        write!(out, "{:x}\r\n", chunk.len())?;
        out.write_all(chunk)?;
        out.write_all(b"\r\n")?;
    }
    if cut.is_none() { out.write_all(b"0\r\n\r\n") } else { Ok(()) }
}

fn is_strong_match(etag: Option<&String>, asked: &str) -> bool {
    etag.is_some_and(|etag| etag == asked && !etag.starts_with("W/"))
}

/// `bytes=a-` or `bytes=a-b` as a half-open range; `None` cannot be satisfied.
fn parse_range(header: &str, length: usize) -> Option<(usize, usize)> {
    let (start, end) = header.strip_prefix("bytes=")?.split_once('-')?;
    let start: usize = start.parse().ok()?;
    let end = match end {
        "" => length,
        text => text.parse::<usize>().ok()?.saturating_add(1).min(length),
    };
    (start < end).then_some((start, end))
}
