//! The get pipeline: entries stream from the tree in path order; workers check
//! what is there already, read the rest pack by pack, and write it; references
//! are fetched from where they are; extras come last.
//!
//! Nothing is written before every name was found possible here.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use futures::StreamExt;
use heirloom_api::{Downloader, Problem};
use heirloom_core::ErrorCode;
use heirloom_manifest::{Algorithm, BlobId, Entries, Entry, LogicalPath, NodeId, Range, Reference};
use heirloom_refs::{OpenOptions, PinKind, Registry, VerifyingBody};
use heirloom_worktree::{Existing, Expected, LinkMode, Placed, Writer, WriterOptions};

use crate::client::blocking_task;
use crate::download::{Download, Downloaded, Filter, Unproven};
use crate::error::step;
use crate::nodes::{Nodes, read_problem};
use crate::progress::{Meter, Phase};
use crate::{Error, Result};

/// Files below this length are read many at a time.
const SMALL: u64 = 1 << 20;

/// Small files read at once, and their bytes.
const BATCH_FILES: usize = 1024;
const BATCH_BYTES: u64 = 4 << 20;

/// Threads that read and write.
const WRITERS: usize = 2;

/// References fetched at the same time.
const FETCHES: usize = 8;

/// Extras that are named.
const MAX_EXTRAS: usize = 1000;

pub(crate) async fn run(download: Download) -> Result<Downloaded> {
    let version = download.version.clone();
    let client = version.client();
    let backend = client.backend();
    if download.link == LinkMode::Hardlink {
        return Err(Error::usage(match backend.info().local {
            true => {
                "hard links are made from the cache of a remote repository only: a change through \
                 one would damage the objects of this repository; use reflink or copy"
            }
            false => "this client keeps no cache of blobs to make hard links from; use copy",
        }));
    }
    let filter = download.filter()?;
    let id = version.doc().id;
    let nodes = Nodes::new(backend.downloader(id).await?);
    let mut downloaders = Vec::new();
    for _ in 0..WRITERS {
        downloaders.push(backend.downloader(id).await?);
    }
    let runtime = tokio::runtime::Handle::current();
    let root = version.doc().root;
    let client = client.clone();
    blocking_task(move || {
        let mut get = Get { download, filter, nodes, root, result: Downloaded::default() };
        step("client::survey")?;
        let surveyed = get.survey()?;
        let (writer, fresh) = get.open_writer()?;
        get.files(&writer, fresh, downloaders, &surveyed)?;
        if surveyed.references > 0 {
            let registry = client.references()?;
            get.references(&writer, &registry, &runtime, &surveyed)?;
        }
        if !fresh {
            step("client::extras")?;
            get.extras(&writer)?;
        }
        if get.download.flush {
            writer.flush_to_disk()?;
        }
        Ok(get.result)
    })
    .await
}

struct Get {
    download: Download,
    filter: Filter,
    nodes: Nodes,
    root: NodeId,
    result: Downloaded,
}

/// What was found in the manifest before anything was written.
#[derive(Default)]
struct Surveyed {
    files: u64,
    bytes: u64,
    references: u64,
    reference_bytes: u64,
}

impl Default for Downloaded {
    fn default() -> Self {
        Self {
            root: PathBuf::new(),
            files: 0,
            bytes: 0,
            kept: 0,
            written: 0,
            written_bytes: 0,
            empty_directories: 0,
            reflinked: 0,
            extras: 0,
            extra_paths: Vec::new(),
            unproven: Vec::new(),
        }
    }
}

impl Get {
    /// The wanted entries, in path order.
    fn wanted(&mut self) -> impl Iterator<Item = Result<(LogicalPath, Entry)>> {
        let range = Range { within: self.filter.within.clone(), after: None };
        let filter = &self.filter;
        Entries::new(&mut self.nodes, self.root, range).filter_map(move |item| match item {
            Ok((path, entry)) => filter.wants(&path).then_some(Ok((path, entry))),
            Err(error) => Some(Err(read_problem(error).into())),
        })
    }

    /// Counts what is wanted.
    fn survey(&mut self) -> Result<Surveyed> {
        let mut surveyed = Surveyed::default();
        let mut directories = 0;
        for item in self.wanted() {
            match item?.1 {
                Entry::File { size, .. } => {
                    surveyed.files += 1;
                    surveyed.bytes += size;
                }
                Entry::Reference(reference) => {
                    surveyed.references += 1;
                    surveyed.reference_bytes += reference.size.unwrap_or(0);
                }
                Entry::EmptyDirectory => directories += 1,
            }
        }
        if surveyed.files + surveyed.references + directories == 0
            && let Some(prefix) = &self.filter.within
            && Entries::new(
                &mut self.nodes,
                self.root,
                Range { within: Some(prefix.clone()), after: None },
            )
            .next()
            .is_none()
        {
            let name = self.download.version.name();
            return Err(Problem::not_found("path", format_args!("{prefix}` in `{name}")).into());
        }
        self.result.files = surveyed.files + surveyed.references;
        self.result.bytes = surveyed.bytes + surveyed.reference_bytes;
        self.result.empty_directories = directories;
        Ok(surveyed)
    }

    /// Opens the root; whether it holds nothing. Checks all names.
    fn open_writer(&mut self) -> Result<(Writer, bool)> {
        let root = self.download.root.clone();
        let existed = root.exists();
        let fresh = match std::fs::read_dir(&root) {
            Ok(mut entries) => entries.next().is_none(),
            Err(_) => true,
        };
        let replace_obstacles = self.download.replace_obstacles;
        let writer =
            Writer::open(&root, WriterOptions { replace_obstacles, ..Default::default() })?;
        for item in self.wanted() {
            if let Err(error) = item.and_then(|(path, _)| Ok(writer.check_name(&path)?)) {
                if !existed {
                    let _ = std::fs::remove_dir(&root);
                }
                return Err(error);
            }
        }
        self.result.root = root;
        Ok((writer, fresh))
    }

    fn files(
        &mut self,
        writer: &Writer,
        fresh: bool,
        downloaders: Vec<Box<dyn Downloader>>,
        surveyed: &Surveyed,
    ) -> Result<()> {
        let totals = Some((surveyed.files, surveyed.bytes));
        let shared = Shared {
            writer,
            fresh,
            link: self.download.link,
            meter: Mutex::new(Meter::new(self.download.progress.clone(), Phase::Write, totals)),
            failed: AtomicBool::new(false),
            kept: AtomicU64::new(0),
            written: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            reflinked: AtomicU64::new(0),
        };
        let (send, queue) = bounded::<Job>(2 * WRITERS);
        let outcome: Result<()> = thread::scope(|scope| {
            let workers: Vec<_> = downloaders
                .into_iter()
                .map(|mut downloader| {
                    let (queue, shared) = (queue.clone(), &shared);
                    scope.spawn(move || {
                        let result = work(queue, downloader.as_mut(), shared);
                        shared.failed.fetch_or(result.is_err(), Ordering::Relaxed);
                        result
                    })
                })
                .collect();
            drop(queue);
            let mut small = Vec::new();
            let mut bytes = 0;
            let mut read = Ok(());
            for item in self.wanted() {
                let job = match item {
                    Err(error) => {
                        read = Err(error);
                        break;
                    }
                    Ok((path, Entry::File { blob, size })) if size < SMALL => {
                        small.push(Wanted { path, blob, size });
                        bytes += size;
                        if small.len() < BATCH_FILES && bytes < BATCH_BYTES {
                            continue;
                        }
                        bytes = 0;
                        Job::Small(std::mem::take(&mut small))
                    }
                    Ok((path, Entry::File { blob, size })) => {
                        Job::Large(Wanted { path, blob, size })
                    }
                    Ok((path, Entry::EmptyDirectory)) => Job::Directory(path),
                    Ok((_, Entry::Reference(_))) => continue,
                };
                // After a failure nothing further is begun.
                if shared.failed.load(Ordering::Relaxed) || send.send(job).is_err() {
                    break;
                }
            }
            if read.is_ok() && !small.is_empty() {
                let _ = send.send(Job::Small(small));
            }
            drop(send);
            for worker in workers {
                match worker.join() {
                    Ok(result) => read = read.and(result),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            read
        });
        outcome?;
        self.result.kept = shared.kept.into_inner();
        self.result.written = shared.written.into_inner();
        self.result.written_bytes = shared.written_bytes.into_inner();
        self.result.reflinked = shared.reflinked.into_inner();
        Ok(())
    }

    fn references(
        &mut self,
        writer: &Writer,
        registry: &Registry,
        runtime: &tokio::runtime::Handle,
        surveyed: &Surveyed,
    ) -> Result<()> {
        let totals = Some((surveyed.references, surveyed.reference_bytes));
        let mut meter = Meter::new(self.download.progress.clone(), Phase::Fetch, totals);
        let allow_drift = self.download.allow_drift;
        let mut fetched = Vec::new();
        let wanted = self.wanted().filter_map(|item| match item {
            Ok((path, Entry::Reference(reference))) => Some(Ok((path, reference))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        });
        let mut running = futures::stream::iter(wanted)
            .map(|item| async move {
                let (path, reference) = item?;
                fetch(writer, registry, path, reference, allow_drift).await
            })
            .buffer_unordered(FETCHES);
        runtime.block_on(async {
            while let Some(one) = running.next().await {
                let one = one?;
                meter.add(1, one.size);
                fetched.push(one);
            }
            Ok::<_, Error>(())
        })?;
        drop(running);
        for one in fetched {
            match one.kept {
                true => self.result.kept += 1,
                false => {
                    self.result.written += 1;
                    self.result.written_bytes += one.size;
                }
            }
            self.result.unproven.extend(one.unproven);
        }
        self.result.unproven.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(())
    }

    fn extras(&mut self, writer: &Writer) -> Result<()> {
        // Compared with the whole version: what is part of it but was not asked
        // for this time is no extra.
        let keep =
            Entries::new(&mut self.nodes, self.root, Range::default()).map(|item| match item {
                Ok((path, entry)) => Ok(Expected::of(path, &entry)),
                Err(error) => Err(Error::from(read_problem(error))),
            });
        let mut paths = Vec::new();
        let count = writer.extras(keep, self.download.mirror, |path, _| {
            if paths.len() < MAX_EXTRAS {
                paths.push(path.to_owned());
            }
        })?;
        self.result.extras = count;
        self.result.extra_paths = paths;
        Ok(())
    }
}

struct Wanted {
    path: LogicalPath,
    blob: BlobId,
    size: u64,
}

enum Job {
    Small(Vec<Wanted>),
    Large(Wanted),
    Directory(LogicalPath),
}

struct Shared<'a> {
    writer: &'a Writer,
    fresh: bool,
    link: LinkMode,
    meter: Mutex<Meter>,
    failed: AtomicBool,
    kept: AtomicU64,
    written: AtomicU64,
    written_bytes: AtomicU64,
    reflinked: AtomicU64,
}

impl Shared<'_> {
    fn is_there(&self, wanted: &Wanted) -> Result<bool> {
        if self.fresh {
            return Ok(false);
        }
        let found = self.writer.verify_existing(&wanted.path, &wanted.blob, wanted.size)?;
        if found == Existing::Same {
            self.kept.fetch_add(1, Ordering::Relaxed);
            self.progress(1, wanted.size);
            return Ok(true);
        }
        Ok(false)
    }

    fn wrote(&self, files: u64, bytes: u64) {
        self.written.fetch_add(files, Ordering::Relaxed);
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress(files, bytes);
    }

    fn progress(&self, files: u64, bytes: u64) {
        if let Ok(mut meter) = self.meter.lock() {
            meter.add(files, bytes);
        }
    }
}

fn work(queue: Receiver<Job>, downloader: &mut dyn Downloader, shared: &Shared<'_>) -> Result<()> {
    for job in queue {
        if shared.failed.load(Ordering::Relaxed) {
            break;
        }
        step("client::write")?;
        match job {
            Job::Small(wanted) => small(wanted, downloader, shared)?,
            Job::Large(wanted) => large(&wanted, downloader, shared)?,
            Job::Directory(path) => shared.writer.make_empty_dir(&path)?,
        }
    }
    Ok(())
}

fn small(wanted: Vec<Wanted>, downloader: &mut dyn Downloader, shared: &Shared<'_>) -> Result<()> {
    let mut missing = Vec::with_capacity(wanted.len());
    for one in wanted {
        if !shared.is_there(&one)? {
            missing.push(one);
        }
    }
    let blobs: Vec<(BlobId, u64)> = missing.iter().map(|one| (one.blob, one.size)).collect();
    let mut failure = None;
    let mut absent = vec![true; missing.len()];
    let mut bytes_written = 0;
    let read = downloader.read_small(&blobs, &mut |position, bytes| match shared
        .writer
        .write_small(&missing[position].path, bytes)
    {
        Ok(()) => {
            absent[position] = false;
            bytes_written += bytes.len() as u64;
            Ok(())
        }
        Err(error) => {
            failure = Some(error);
            Err(Problem::new(ErrorCode::Io, "writing failed"))
        }
    });
    if let Some(error) = failure {
        return Err(error.into());
    }
    read.map_err(|problem| named(problem, &missing))?;
    if let Some(at) = absent.iter().position(|absent| *absent) {
        let mut problem = Problem::new(ErrorCode::Corrupt, "the backend left it out");
        problem.found = Some(missing[at].blob.to_string());
        return Err(named(problem, &missing));
    }
    shared.wrote(missing.len() as u64, bytes_written);
    Ok(())
}

/// The problem with the paths that it hurts.
fn named(mut problem: Problem, wanted: &[Wanted]) -> Error {
    if let Some(found) = &problem.found {
        let hurt = wanted.iter().filter(|one| one.blob.to_string() == *found);
        problem.items.extend(hurt.map(|one| one.path.escaped()));
        if let Some(first) = problem.items.first() {
            problem.message = format!("`{first}`: {}", problem.message);
        }
    }
    problem.into()
}

fn large(wanted: &Wanted, downloader: &mut dyn Downloader, shared: &Shared<'_>) -> Result<()> {
    if shared.is_there(wanted)? {
        return Ok(());
    }
    let Wanted { path, blob, size } = wanted;
    if let Some(source) = downloader.local_file(blob) {
        match shared.writer.place(path, &source, blob, *size, shared.link) {
            Ok(placed) => {
                if placed == Placed::Reflinked {
                    shared.reflinked.fetch_add(1, Ordering::Relaxed);
                }
                shared.wrote(1, *size);
                return Ok(());
            }
            Err(error) => return Err(damaged_object(error, wanted)),
        }
    }
    let name = |problem| named(problem, std::slice::from_ref(wanted));
    let mut source = downloader.open(blob, *size, 0).map_err(name)?;
    let mut target = shared.writer.write_file(path, blob, *size)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = fill(&mut source, &mut buffer)
            .map_err(|error| crate::version::reader_error(path.as_str(), error))?;
        target.add(&buffer[..n])?;
        shared.progress(0, n as u64);
        if n < buffer.len() {
            break;
        }
    }
    target.commit()?;
    shared.written.fetch_add(1, Ordering::Relaxed);
    shared.written_bytes.fetch_add(*size, Ordering::Relaxed);
    shared.progress(1, 0);
    Ok(())
}

/// Wrong bytes from the store's own file are damage of the store.
fn damaged_object(error: heirloom_worktree::Error, wanted: &Wanted) -> Error {
    use heirloom_worktree::Error as Tree;
    match error {
        Tree::DigestMismatch { .. } | Tree::SizeMismatch { .. } => {
            let blob = wanted.blob;
            let mut problem =
                Problem::new(ErrorCode::Corrupt, format!("blob {blob} is damaged: {error}"));
            problem.found = Some(blob.to_string());
            named(problem, std::slice::from_ref(wanted))
        }
        other => other.into(),
    }
}

/// Fills the buffer as far as there are bytes.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

struct Fetched {
    size: u64,
    kept: bool,
    unproven: Option<Unproven>,
}

async fn fetch(
    writer: &Writer,
    registry: &Registry,
    path: LogicalPath,
    reference: Reference,
    allow_drift: bool,
) -> Result<Fetched> {
    // Only our own kind of checksum tells whether the file here is the right one.
    let pinned = reference.checksums.iter().find(|sum| sum.algorithm() == Algorithm::Blake3);
    let pinned =
        pinned.and_then(|sum| <[u8; 32]>::try_from(sum.as_bytes()).ok()).map(BlobId::from_bytes);
    if let (Some(blob), Some(size)) = (pinned, reference.size)
        && writer.verify_existing(&path, &blob, size)? == Existing::Same
    {
        return Ok(Fetched { size, kept: true, unproven: None });
    }
    let options = OpenOptions { allow_drift, ..OpenOptions::default() };
    let opened = registry.open(&reference, &options).await?;
    let mut body = VerifyingBody::new(&reference, opened);
    if allow_drift {
        body = body.ignoring_pins();
    }
    let failed = |error| Error::io("write", writer.path(), error);
    let mut staged = tempfile::tempfile_in(writer.path()).map_err(failed)?;
    while let Some(piece) = body.next().await {
        std::io::Write::write_all(&mut staged, &piece?).map_err(failed)?;
    }
    let Some(found) = body.verification().cloned() else {
        return Err(Error::usage(format!("{} ended without a verdict", reference.uri)));
    };
    writer.place(&path, &staged, &found.blob, found.size, LinkMode::Reflink)?;
    let unproven = (!found.is_proven()).then(|| Unproven {
        uri: reference.uri.clone(),
        confirmed: found.confirmed.iter().any(|pin| *pin != PinKind::Size),
        pins: found.unverified.iter().map(|(pin, why)| format!("{pin}: {why}")).collect(),
        path,
    });
    Ok(Fetched { size: found.size, kept: false, unproven })
}
