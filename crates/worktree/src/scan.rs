//! Scanning a directory: what is asked, what comes back, and the pipeline of
//! threads between.
//!
//! One thread walks ([`crate::walk`]) and cuts the names into batches, workers
//! ask for each file's status, and the caller's thread receives the batches in
//! the order in which they were cut and joins them with the stat cache. A
//! bounded number of batches is under way, so memory does not grow with the
//! tree; the largest single directory decides.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use heirloom_manifest::{BlobId, LogicalPath, PathError};
use rustix::io::Errno;

use crate::cache::StatCache;
use crate::names::{self, NameRule};
use crate::root::Root;
use crate::stat::FileStat;
use crate::sys::{self, Kind};
use crate::walk::{Batch, Item, Walker, What};

/// What is done with symbolic links below the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// Links to files and directories inside the root are followed, and
    /// counted; those that leave it, dangle or loop are problems.
    #[default]
    Follow,
    /// Every link is a problem.
    Refuse,
    /// Links are left out, and counted.
    Skip,
}

/// How to scan.
#[derive(Clone, Copy)]
pub struct ScanOptions<'a> {
    /// What is done with symbolic links.
    pub links: Links,
    /// Whether `.heirloomignore` files are obeyed.
    pub ignore_files: bool,
    /// Directories that must not become part of an artifact: meeting one is a
    /// problem. Those that do not exist are never met.
    pub keep_out: &'a [PathBuf],
    /// Threads that ask for file status; 0 means as many as there are
    /// processors, at most 8.
    pub threads: usize,
    /// Problems and warnings listed by name in the report; beyond that they
    /// are only counted.
    pub list_limit: usize,
    /// Called now and then with the number of files and bytes found so far.
    pub progress: Option<&'a dyn Fn(u64, u64)>,
}

impl Default for ScanOptions<'_> {
    fn default() -> Self {
        Self {
            links: Links::Follow,
            ignore_files: true,
            keep_out: &[],
            threads: 0,
            list_limit: 1000,
            progress: None,
        }
    }
}

impl std::fmt::Debug for ScanOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScanOptions")
            .field("links", &self.links)
            .field("ignore_files", &self.ignore_files)
            .field("keep_out", &self.keep_out)
            .field("threads", &self.threads)
            .field("list_limit", &self.list_limit)
            .finish_non_exhaustive()
    }
}

/// One thing that the scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanEntry {
    /// Its path from the root; for a single file, the file's name.
    pub path: LogicalPath,
    /// What it is.
    pub kind: ScanKind,
}

/// What a scan entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanKind {
    /// A regular file (of a followed link: the file it leads to).
    File {
        /// What it looks like; [`crate::SourceFile::open`] wants it back.
        stat: FileStat,
        /// Its content, when the stat cache knows it.
        known: Option<BlobId>,
    },
    /// A directory in which nothing remains after the ignore rules.
    EmptyDirectory,
}

/// Why something cannot become part of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The name is not UTF-8.
    #[error("the name is not valid UTF-8")]
    NotUtf8,
    /// The path breaks a rule of logical paths.
    #[error("{0}")]
    Path(PathError),
    /// A link, with [`Links::Refuse`].
    #[error("is a symbolic link")]
    Link,
    /// A link to a place outside the root.
    #[error("is a symbolic link that leaves the directory (to `{}`)", crate::error::escaped(.0))]
    LinkLeaves(PathBuf),
    /// A link to nothing.
    #[error("is a symbolic link to something that does not exist")]
    LinkDangles,
    /// A link to itself, or to a directory that contains it.
    #[error("is a symbolic link that leads back to itself or to a directory it is in")]
    LinkLoops,
    /// Links to directories, met again below other such links, make a small tree
    /// a huge one.
    #[error(
        "is reached through links in linked directories, which come to more than {} directories",
        crate::walk::MAX_MULTIPLIED
    )]
    LinksMultiply,
    /// One of [`ScanOptions::keep_out`].
    #[error("is where the repository or its cache is kept")]
    KeptOut,
    /// A named pipe.
    #[error("is a named pipe (FIFO)")]
    Fifo,
    /// A socket.
    #[error("is a socket")]
    Socket,
    /// A device, or another kind of special file.
    #[error("is a device")]
    Device,
    /// The current user may not read it.
    #[error("cannot be read: permission denied")]
    Unreadable,
    /// It was removed or became something else while being scanned.
    #[error("changed while it was scanned")]
    Changed,
    /// A line of an ignore file is not a valid pattern.
    #[error("line {line} is not a valid pattern: {message}")]
    IgnorePattern {
        /// Counted from 1.
        line: usize,
        /// What the pattern parser says.
        message: String,
    },
    /// The system refused for another reason.
    #[error("{0}")]
    Io(std::io::ErrorKind),
    /// The system refused with this error number.
    #[error("{}", std::io::Error::from_raw_os_error(*.0))]
    System(i32),
}

/// A problem and the path that has it. A put must not go on when there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path from the root; the empty path is the root itself.
    pub path: PathBuf,
    /// What is wrong.
    pub kind: ProblemKind,
}

/// Things of which the first ones are listed and the others only counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted<T> {
    /// How many there are.
    pub total: u64,
    /// The first ones, sorted by path; all when there are as many as `total`.
    pub listed: Vec<T>,
}

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self { total: 0, listed: Vec::new() }
    }
}

impl<T> Counted<T> {
    pub(crate) fn add(&mut self, limit: usize, item: impl FnOnce() -> T) {
        self.total += 1;
        if self.listed.len() < limit {
            self.listed.push(item());
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.total += other.total;
        self.listed.extend(other.listed);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// What a scan found, beyond its entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScanReport {
    /// Files given to the sink.
    pub files: u64,
    /// Their lengths, in bytes.
    pub bytes: u64,
    /// Empty directories given to the sink.
    pub empty_directories: u64,
    /// Files whose content the stat cache knows.
    pub known_files: u64,
    /// Their lengths, in bytes.
    pub known_bytes: u64,
    /// Links followed, to files and to directories.
    pub links_followed: u64,
    /// Links left out, with [`Links::Skip`].
    pub links_skipped: u64,
    /// Files and directories left out by an ignore file; what lies in an
    /// ignored directory is not looked at and does not count.
    pub ignored: u64,
    /// Leftover temporary files of a [`crate::Writer`] that was killed; left out.
    pub leftovers: u64,
    /// Files that are executable: artifacts keep no mode bits.
    pub lost_modes: u64,
    /// Groups of paths that some file systems cannot tell apart (letter case,
    /// Unicode normalisation).
    pub collisions: Counted<Vec<String>>,
    /// Paths with a name that other systems refuse, and the rule.
    pub unportable: Counted<(String, NameRule)>,
    /// What cannot become part of an artifact, sorted by path. Unless this is
    /// empty the entries are incomplete.
    pub problems: Counted<Problem>,
}

/// Scans `root` and gives each entry to `sink`, in the byte order of full
/// logical paths, on the calling thread. Files are not read, only looked at.
///
/// Problems do not stop the scan; they are collected in the report.
/// Mode bits, times, owners and extended attributes are not kept; hard links
/// become separate entries; holes of sparse files read as zeros.
///
/// `.heirloomignore` files, in any directory, hold patterns as `.gitignore`
/// does. Such a file is itself part of the artifact, like any file, unless it
/// ignores itself. A directory in which everything is ignored counts as empty.
///
/// # Errors
/// What `sink` answers, which ends the scan.
pub fn scan<E>(
    root: &Root,
    options: &ScanOptions<'_>,
    cache: &mut StatCache,
    sink: impl FnMut(ScanEntry) -> Result<(), E>,
) -> Result<ScanReport, E> {
    let mut collector =
        Collector { options, cache, sink, report: ScanReport::default(), path: String::new() };
    let mut report = if root.single.is_some() {
        let mut batch = Batch::single(root);
        batch.examine(root);
        collector.take(&batch)?;
        collector.report
    } else {
        let walked = pipeline(root, options, &mut collector)?;
        let mut report = collector.report;
        report.links_followed += walked.links_followed;
        report.links_skipped += walked.links_skipped;
        report.ignored += walked.ignored;
        report.leftovers += walked.leftovers;
        report.collisions.append(walked.collisions);
        report.unportable.append(walked.unportable);
        report.problems.append(walked.problems);
        report
    };
    report.collisions.listed.sort_unstable();
    report.collisions.listed.truncate(options.list_limit);
    report.unportable.listed.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    report.unportable.listed.truncate(options.list_limit);
    report.problems.listed.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    report.problems.listed.truncate(options.list_limit);
    Ok(report)
}

/// Batches under way at once, beyond one per worker. Each holds open the
/// directories that its names are in.
const BATCHES_AHEAD: usize = 6;

fn pipeline<E, S: FnMut(ScanEntry) -> Result<(), E>>(
    root: &Root,
    options: &ScanOptions<'_>,
    collector: &mut Collector<'_, S>,
) -> Result<ScanReport, E> {
    let workers = match options.threads {
        0 => thread::available_parallelism().map_or(1, usize::from).min(8),
        n => n.min(64),
    };
    type Ticket = (Batch, Sender<Batch>);
    let (jobs, queue): (Sender<Ticket>, Receiver<Ticket>) = bounded(BATCHES_AHEAD);
    let (order, in_order): (Sender<Receiver<Batch>>, _) = bounded(BATCHES_AHEAD);
    let (links, ignore_files, limit) = (options.links, options.ignore_files, options.list_limit);
    let keep_out = options.keep_out;
    thread::scope(|scope| {
        for _ in 0..workers {
            let queue = queue.clone();
            scope.spawn(move || {
                for (mut batch, done) in queue {
                    batch.examine(root);
                    // The receiver is gone when the sink gave up.
                    let _ = done.send(batch);
                }
            });
        }
        drop(queue);
        let walker = scope.spawn(move || {
            let mut walker = Walker::new(root, links, ignore_files, keep_out, limit, |batch| {
                let (done, result) = bounded(1);
                order.send(result).is_ok() && jobs.send((batch, done)).is_ok()
            });
            walker.walk();
            walker.into_report()
        });
        let mut result = Ok(());
        for batch in in_order {
            let Ok(batch) = batch.recv() else { break };
            result = collector.take(&batch);
            if result.is_err() {
                break;
            }
        }
        match walker.join() {
            Ok(report) => result.map(|()| report),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Turns examined batches into entries and counts.
struct Collector<'a, S> {
    options: &'a ScanOptions<'a>,
    cache: &'a mut StatCache,
    sink: S,
    report: ScanReport,
    path: String,
}

impl<S> Collector<'_, S> {
    fn take<E>(&mut self, batch: &Batch) -> Result<(), E>
    where
        S: FnMut(ScanEntry) -> Result<(), E>,
    {
        let limit = self.options.list_limit;
        for item in &batch.items {
            let dir = batch.dir_of(item);
            let name = batch.name_of(item);
            let Ok(name) = std::str::from_utf8(batch.given.as_deref().unwrap_or(name)) else {
                let path = sys::as_path(dir.prefix.as_bytes()).join(sys::as_path(name));
                self.report.problems.add(limit, || Problem { path, kind: ProblemKind::NotUtf8 });
                continue;
            };
            self.path.clear();
            self.path.push_str(&dir.prefix);
            self.path.push_str(name);
            let problem = match (&item.found, LogicalPath::new(&self.path)) {
                (Found::Problem(kind), _) => kind.clone(),
                (_, Err(error)) => ProblemKind::Path(error),
                (found, Ok(path)) => {
                    self.entry(item, found, path, name)?;
                    continue;
                }
            };
            self.report
                .problems
                .add(limit, || Problem { path: self.path.as_str().into(), kind: problem });
        }
        if let Some(progress) = self.options.progress {
            progress(self.report.files, self.report.bytes);
        }
        Ok(())
    }

    fn entry<E>(
        &mut self,
        item: &Item,
        found: &Found,
        path: LogicalPath,
        name: &str,
    ) -> Result<(), E>
    where
        S: FnMut(ScanEntry) -> Result<(), E>,
    {
        let report = &mut self.report;
        if matches!(item.what, What::Link(_)) {
            report.links_followed += 1;
        }
        // Directories were judged by the walker, once for all below them.
        if matches!(found, Found::File { .. })
            && let Some(rule) = names::portability(name)
        {
            report.unportable.add(self.options.list_limit, || (path.to_string(), rule));
        }
        let kind = match *found {
            Found::File { stat, executable } => {
                report.files += 1;
                report.bytes += stat.size;
                report.lost_modes += u64::from(executable);
                let known = self.cache.lookup(&path, &stat);
                if known.is_some() {
                    report.known_files += 1;
                    report.known_bytes += stat.size;
                }
                ScanKind::File { stat, known }
            }
            _ => {
                report.empty_directories += 1;
                ScanKind::EmptyDirectory
            }
        };
        (self.sink)(ScanEntry { path, kind })
    }
}

/// What a worker found out about a name.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// Not looked at: an empty directory, known from its listing.
    EmptyDirectory,
    File {
        stat: FileStat,
        executable: bool,
    },
    Problem(ProblemKind),
}

impl Found {
    /// Looks at one name in `dir`, which a listing gave as a regular file.
    pub(crate) fn file(dir: &Arc<std::os::fd::OwnedFd>, name: &std::ffi::CStr, user: u32) -> Self {
        match sys::stat_at(dir, name, user) {
            Ok(meta) if meta.kind == Kind::File => {
                if meta.surely_readable || sys::may_read(dir, name.to_bytes()) {
                    Self::File { stat: meta.stat, executable: meta.executable }
                } else {
                    Self::Problem(ProblemKind::Unreadable)
                }
            }
            Ok(_) => Self::Problem(ProblemKind::Changed),
            Err(error) => Self::Problem(problem_of(error)),
        }
    }
}

/// The problem that a refused system call on a listed name means.
pub(crate) fn problem_of(error: Errno) -> ProblemKind {
    match error {
        Errno::ACCESS | Errno::PERM => ProblemKind::Unreadable,
        Errno::NOENT | Errno::LOOP | Errno::NOTDIR => ProblemKind::Changed,
        error => ProblemKind::System(error.raw_os_error()),
    }
}

/// The problem that a kind of special file is.
pub(crate) fn special(kind: Kind) -> Option<ProblemKind> {
    match kind {
        Kind::Fifo => Some(ProblemKind::Fifo),
        Kind::Socket => Some(ProblemKind::Socket),
        Kind::Device => Some(ProblemKind::Device),
        Kind::File | Kind::Directory | Kind::Link => None,
    }
}
