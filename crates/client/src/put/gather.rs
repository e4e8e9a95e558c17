//! Looking at everything that was added, without reading directories' files.

use std::fs;
use std::io::{self, Seek};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use heirloom_manifest::{BlobHasher, BlobId, Entry, LogicalPath, Reference};
use heirloom_worktree::{
    CacheState, FileStat, Links, Root, ScanEntry, ScanKind, ScanOptions, ScanReport, SpoolReader,
    SpoolWriter, StatCache, cache_path, escaped, scan,
};
use tempfile::{SpooledData, SpooledTempFile};

use super::{Scanned, Warning, merge};
use crate::artifact::{Artifact, Staged, Step, lock};
use crate::environment::{Clock, make_dir};
use crate::progress::{Listener, Meter, Phase};
use crate::{Error, Result};

/// Problems and warnings that are named; more are only counted.
const LIST_LIMIT: usize = 1000;

/// Bytes of a spool that stay in memory: about a hundred thousand files.
const SPOOL_IN_MEMORY: usize = 6 << 20;

/// Longest wait for the clock of the file system to tick, whatever clocks say.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// From this length on a single file has a stat cache of its own.
const CACHED_SINGLE: u64 = 1 << 20;

/// Everything that was added, looked at and free of problems.
pub(crate) struct Gathered {
    pub(crate) dirs: Vec<DirSource>,
    /// Everything else, ascending by path.
    pub(crate) singles: Vec<Single>,
    pub(crate) removes: Vec<Remove>,
    /// Whether there is a base, from which may be removed too.
    pub(crate) over_base: bool,
    /// Empty directories that are not empty once everything is put together.
    pub(crate) not_empty: Vec<LogicalPath>,
    pub(crate) scanned: Scanned,
    /// Files whose content is not known yet.
    pub(crate) unknown: u64,
    /// Files and bytes, before anything was removed.
    pub(crate) totals: (u64, u64),
}

/// A scanned directory.
pub(crate) struct DirSource {
    pub(crate) root: Root,
    pub(crate) given: PathBuf,
    pub(crate) prefix: Option<LogicalPath>,
    pub(crate) links: Links,
    pub(crate) order: usize,
    spool: Spool,
    pub(crate) cache: Option<CacheFile>,
}

/// Where a stat cache goes, and when the scan that fills it started.
pub(crate) struct CacheFile {
    pub(crate) path: PathBuf,
    pub(crate) started_ns: i64,
}

/// One thing added by itself.
pub(crate) struct Single {
    pub(crate) path: LogicalPath,
    pub(crate) order: usize,
    pub(crate) what: SingleWhat,
}

pub(crate) enum SingleWhat {
    File {
        source: PathBuf,
        /// The file's own name.
        name: LogicalPath,
        stat: FileStat,
        known: Option<BlobId>,
        cache: Option<CacheFile>,
    },
    Bytes {
        bytes: Arc<[u8]>,
        blob: BlobId,
    },
    Staged {
        file: Arc<Mutex<Staged>>,
        blob: BlobId,
        size: u64,
    },
    Reference(Reference),
}

/// A path taken out of what was added before, and of the base if there is one.
pub(crate) struct Remove {
    pub(crate) order: usize,
    pub(crate) path: String,
    /// Whether something added was taken out.
    pub(crate) hit: bool,
}

enum Spool {
    Memory(Arc<[u8]>),
    Disk(Mutex<fs::File>),
}

impl DirSource {
    /// The scan's entries from the beginning. One reader at a time.
    pub(crate) fn entries(&self) -> Result<SpoolReader<Box<dyn io::Read + Send>>> {
        let input: Box<dyn io::Read + Send> = match &self.spool {
            Spool::Memory(bytes) => Box::new(io::Cursor::new(Arc::clone(bytes))),
            Spool::Disk(file) => {
                let failed = |error| Error::io("read", "the scan's temporary file", error);
                let mut file = file
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .try_clone()
                    .map_err(failed)?;
                file.rewind().map_err(failed)?;
                Box::new(io::BufReader::with_capacity(1 << 17, file))
            }
        };
        Ok(SpoolReader::new(input)?)
    }

    /// The path in the artifact of what is at `path` in the directory.
    pub(crate) fn logical(&self, path: &LogicalPath) -> Result<LogicalPath> {
        match &self.prefix {
            None => Ok(path.clone()),
            Some(prefix) => Ok(prefix.join(path.as_str())?),
        }
    }
}

impl Gathered {
    /// The stat caches that will be written.
    pub(crate) fn caches(&self) -> impl Iterator<Item = &CacheFile> {
        let singles = self.singles.iter().filter_map(|single| match &single.what {
            SingleWhat::File { cache, .. } => cache.as_ref(),
            _ => None,
        });
        self.dirs.iter().filter_map(|dir| dir.cache.as_ref()).chain(singles)
    }

    /// Whether the tree can be built without reading a file.
    pub(crate) fn all_known(&self) -> bool {
        self.unknown == 0
    }
}

/// Looks at everything, and checks that it goes together.
pub(crate) fn run(
    artifact: &Artifact,
    references: Vec<(usize, Vec<(LogicalPath, Reference)>)>,
    home: &Path,
    cache_dir: Option<&Path>,
    clock: &Clock,
    listener: &Listener,
) -> Result<Gathered> {
    let keep_out = std::iter::once(home).chain(cache_dir).map(Path::to_owned).collect();
    let cache_dir = cache_dir.map(|dir| dir.join("stat")).filter(|dir| make_dir(dir).is_ok());
    let mut gatherer = Gatherer {
        clock,
        keep_out,
        cache_dir,
        links: artifact.links,
        meter: Mutex::new(Meter::new(listener.clone(), Phase::Scan, None)),
        problems: Vec::new(),
        more_problems: 0,
        settled_ns: i64::MIN,
        gathered: Gathered {
            dirs: Vec::new(),
            singles: Vec::new(),
            removes: Vec::new(),
            over_base: artifact.base.is_some(),
            not_empty: Vec::new(),
            scanned: Scanned::default(),
            unknown: 0,
            totals: (0, 0),
        },
    };
    for (order, step) in artifact.steps.iter().enumerate() {
        gatherer.step(order, step)?;
    }
    for (order, entries) in references {
        for (path, reference) in entries {
            gatherer.single(order, path, SingleWhat::Reference(reference));
        }
    }
    let now_ns = gatherer.now_ns();
    let Gatherer { mut gathered, problems, more_problems, settled_ns, .. } = gatherer;
    if !problems.is_empty() {
        return Err(Error::Files { problems, more: more_problems });
    }
    if let Ok(wait) = u64::try_from(settled_ns.saturating_sub(now_ns)) {
        std::thread::sleep(Duration::from_nanos(wait).min(MAX_WAIT));
    }
    gathered.singles.sort_by(|a, b| a.path.cmp(&b.path));
    merge::check(&mut gathered)?;
    Ok(gathered)
}

struct Gatherer<'a> {
    clock: &'a Clock,
    /// The repository and the stat caches change by being used.
    keep_out: Vec<PathBuf>,
    cache_dir: Option<PathBuf>,
    links: Links,
    meter: Mutex<Meter>,
    problems: Vec<String>,
    more_problems: u64,
    /// When files that must be read and were changed just now may be read.
    settled_ns: i64,
    gathered: Gathered,
}

impl Gatherer<'_> {
    fn step(&mut self, order: usize, step: &Step) -> Result<()> {
        match step {
            Step::File { source, path } => self.file(order, source, path.as_deref())?,
            Step::Dir { source, prefix } => self.dir(order, source, prefix.as_deref())?,
            Step::Bytes { path, bytes } => {
                if let Some(path) = self.logical(path) {
                    let blob = BlobId::of(bytes);
                    self.single(order, path, SingleWhat::Bytes { bytes: Arc::clone(bytes), blob });
                }
            }
            Step::Staged { path, file } => {
                if let Some(path) = self.logical(path) {
                    self.staged(order, path, file);
                }
            }
            Step::Remove { path } => {
                if let Some(path) = self.logical(path.trim_end_matches('/')) {
                    let path = path.as_str().to_owned();
                    self.gathered.removes.push(Remove { order, path, hit: false });
                }
            }
            // Expanded before, since that may ask servers.
            Step::Reference(_) => {}
        }
        Ok(())
    }

    fn problem(&mut self, text: String) {
        if self.problems.len() < LIST_LIMIT {
            self.problems.push(text);
        } else {
            self.more_problems += 1;
        }
    }

    fn logical(&mut self, text: &str) -> Option<LogicalPath> {
        match LogicalPath::new(text) {
            Ok(path) => Some(path),
            Err(error) => {
                self.problem(format!("`{}`: {error}", escaped(Path::new(text))));
                None
            }
        }
    }

    fn single(&mut self, order: usize, path: LogicalPath, what: SingleWhat) {
        self.gathered.totals.0 += 1;
        self.gathered.totals.1 += what.size();
        if what.entry().is_none() {
            self.gathered.unknown += 1;
        }
        self.gathered.singles.push(Single { path, order, what });
    }

    fn staged(&mut self, order: usize, path: LogicalPath, file: &Arc<Mutex<Staged>>) {
        let mut staged = lock(file);
        let name = path.escaped();
        if staged.open {
            drop(staged);
            return self.problem(format!("`{name}` is still being written: close it first"));
        }
        let mut hasher = BlobHasher::new();
        let read = match staged.failed {
            Some(kind) => Err(kind.into()),
            None => staged.read_all(|piece| hasher.update(piece)),
        };
        let size = staged.size;
        drop(staged);
        match read {
            Ok(()) if hasher.length() == size => {
                let blob = hasher.finish();
                self.single(order, path, SingleWhat::Staged { file: Arc::clone(file), blob, size });
            }
            Ok(()) => self.problem(format!("`{name}`: its temporary file was cut short")),
            Err(error) => self.problem(format!("`{name}` could not be written: {error}")),
        }
    }

    fn file(&mut self, order: usize, source: &Path, path: Option<&str>) -> Result<()> {
        let shown = escaped(source);
        let root = match self.open(source) {
            Some(root) => root,
            None => return Ok(()),
        };
        if !root.is_single_file() {
            self.problem(format!("`{shown}` is a directory, not a file"));
            return Ok(());
        }
        let started_ns = self.now_ns();
        let cache_file = self.cache_dir.as_ref().map(|dir| cache_path(dir, &root));
        let mut cache = match &cache_file {
            Some(file) => StatCache::open(file, &root),
            None => StatCache::empty(),
        };
        let mut found = None;
        let report = scan(&root, &self.scan_options(None), &mut cache, |entry| {
            found = Some(entry);
            Ok::<_, Error>(())
        })?;
        self.report(source, &report, true);
        let Some(ScanEntry { path: name, kind: ScanKind::File { stat, known } }) = found else {
            return Ok(());
        };
        if known.is_none() {
            settle(&mut self.settled_ns, self.clock, started_ns, &stat);
        }
        let path = match path {
            None => name.clone(),
            Some(path) => match self.logical(path) {
                Some(path) => path,
                None => return Ok(()),
            },
        };
        let cache = cache_file
            .filter(|_| known.is_none() && stat.size >= CACHED_SINGLE)
            .map(|path| CacheFile { path, started_ns });
        let source = source.to_owned();
        self.single(order, path, SingleWhat::File { source, name, stat, known, cache });
        Ok(())
    }

    fn dir(&mut self, order: usize, source: &Path, prefix: Option<&str>) -> Result<()> {
        let root = match self.open(source) {
            Some(root) => root,
            None => return Ok(()),
        };
        if root.is_single_file() {
            self.problem(format!("`{}` is a file, not a directory", escaped(source)));
            return Ok(());
        }
        let prefix = match prefix.map(|prefix| prefix.trim_end_matches('/')) {
            None | Some("") => None,
            Some(prefix) => match self.logical(prefix) {
                Some(prefix) => Some(prefix),
                None => return Ok(()),
            },
        };
        let started_ns = self.now_ns();
        let cache_file = self.cache_dir.as_ref().map(|dir| cache_path(dir, &root));
        let mut cache = match &cache_file {
            Some(file) => StatCache::open(file, &root),
            None => StatCache::empty(),
        };
        let mut spool = SpoolWriter::new(SpooledTempFile::new(SPOOL_IN_MEMORY))?;
        let before = std::cell::Cell::new((0, 0));
        let meter = &self.meter;
        let progress = move |files: u64, bytes: u64| {
            let (told_files, told_bytes) = before.replace((files, bytes));
            if let Ok(mut meter) = meter.lock() {
                meter.add(files - told_files, bytes - told_bytes);
            }
        };
        let options = self.scan_options(Some(&progress));
        let mut settled_ns = self.settled_ns;
        let report = scan(&root, &options, &mut cache, |entry| {
            if let ScanKind::File { stat, known: None } = &entry.kind {
                settle(&mut settled_ns, self.clock, started_ns, stat);
            }
            spool.push(&entry)
        })?;
        self.settled_ns = settled_ns;
        let sound = cache.state() == CacheState::Sound;
        let spool = match spool.finish()?.into_inner() {
            SpooledData::InMemory(bytes) => Spool::Memory(bytes.into_inner().into()),
            SpooledData::OnDisk(file) => Spool::Disk(Mutex::new(file)),
        };
        self.report(source, &report, false);
        let totals = &mut self.gathered.totals;
        *totals = (totals.0 + report.files, totals.1 + report.bytes);
        self.gathered.unknown += report.files - report.known_files;
        let all_known = sound && report.known_files == report.files;
        self.gathered.dirs.push(DirSource {
            root,
            given: source.to_owned(),
            prefix,
            links: self.links,
            order,
            spool,
            cache: cache_file.filter(|_| !all_known).map(|path| CacheFile { path, started_ns }),
        });
        Ok(())
    }

    fn open(&mut self, source: &Path) -> Option<Root> {
        match Root::open(source) {
            Ok(root) => Some(root),
            Err(heirloom_worktree::Error::Io { source: error, .. }) => {
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "does not exist".to_owned(),
                    io::ErrorKind::PermissionDenied => {
                        "cannot be read: permission denied".to_owned()
                    }
                    _ => error.to_string(),
                };
                self.problem(format!("`{}` {why}", escaped(source)));
                None
            }
            Err(error) => {
                self.problem(error.to_string());
                None
            }
        }
    }

    fn scan_options<'p>(&'p self, progress: Option<&'p dyn Fn(u64, u64)>) -> ScanOptions<'p> {
        // A file named by the user is what the link leads to.
        ScanOptions {
            links: self.links,
            keep_out: &self.keep_out,
            list_limit: LIST_LIMIT,
            progress,
            ..Default::default()
        }
    }

    fn now_ns(&self) -> i64 {
        now_ns(self.clock)
    }

    /// Adds what a scan found. Problems name the path as the user can find it.
    fn report(&mut self, source: &Path, report: &ScanReport, single: bool) {
        for problem in &report.problems.listed {
            let at = match (single, problem.path.as_os_str().is_empty()) {
                (true, _) | (_, true) => source.to_owned(),
                _ => source.join(&problem.path),
            };
            self.problem(format!("`{}` {}", escaped(&at), sentence(&problem.kind.to_string())));
        }
        self.more_problems += report.problems.total - report.problems.listed.len() as u64;
        let scanned = &mut self.gathered.scanned;
        scanned.links_followed += report.links_followed;
        scanned.links_skipped += report.links_skipped;
        scanned.ignored += report.ignored;
        scanned.lost_modes += report.lost_modes;
        let unportable = report
            .unportable
            .listed
            .iter()
            .map(|(path, rule)| Warning::Unportable { path: path.clone(), rule: *rule });
        let collisions = report
            .collisions
            .listed
            .iter()
            .map(|paths| Warning::Collision { paths: paths.clone() });
        let room = LIST_LIMIT.saturating_sub(scanned.warnings.len());
        let before = scanned.warnings.len();
        scanned.warnings.extend(unportable.chain(collisions).take(room));
        let named = (scanned.warnings.len() - before) as u64;
        scanned.more_warnings += report.unportable.total + report.collisions.total - named;
    }
}

fn now_ns(clock: &Clock) -> i64 {
    clock().micros().saturating_mul(1000)
}

/// Moves `settled_ns` on to when `stat`, met in a scan that began at
/// `started_ns`, tells every later change.
fn settle(settled_ns: &mut i64, clock: &Clock, started_ns: i64, stat: &FileStat) {
    // Most files are old: the clock need not be asked.
    if stat.unsettled_for(started_ns) > 0 {
        let now = now_ns(clock);
        let wait = i64::try_from(stat.unsettled_for(now)).unwrap_or(i64::MAX);
        *settled_ns = (*settled_ns).max(now.saturating_add(wait));
    }
}

/// Problems of scans are ends of sentences, except some that bring their own subject.
fn sentence(kind: &str) -> String {
    match kind.split_once(' ') {
        Some(("is" | "cannot" | "changed", _)) => kind.to_owned(),
        _ => format!("cannot be kept: {kind}"),
    }
}

impl SingleWhat {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::File { stat, .. } => stat.size,
            Self::Bytes { bytes, .. } => bytes.len() as u64,
            Self::Staged { size, .. } => *size,
            Self::Reference(reference) => reference.size.unwrap_or(0),
        }
    }

    /// The entry, when it is known without reading.
    pub(crate) fn entry(&self) -> Option<Entry> {
        match self {
            Self::File { stat, known, .. } => {
                known.map(|blob| Entry::File { blob, size: stat.size })
            }
            Self::Bytes { bytes, blob } => {
                Some(Entry::File { blob: *blob, size: bytes.len() as u64 })
            }
            Self::Staged { blob, size, .. } => Some(Entry::File { blob: *blob, size: *size }),
            Self::Reference(reference) => Some(Entry::Reference(reference.clone())),
        }
    }
}
