//! Walking a tree depth first, in the byte order of full paths.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use heirloom_manifest::LogicalPath;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::listing::{Listing, Slot};
use crate::names::{self, TEMPORARY_PREFIX};
use crate::root::{LinkFault, Root, Target};
use crate::scan::{Found, Links, Problem, ProblemKind, ScanReport, problem_of, special};
use crate::sys::{self, As, Kind};

/// Name of the files that say what to leave out.
pub const IGNORE_FILE: &str = ".heirloomignore";

/// A longer ignore file is not one.
const MAX_IGNORE_BYTES: u64 = 1 << 20;

const BATCH_ITEMS: usize = 512;

/// Each directory of a batch is an open handle.
const BATCH_DIRECTORIES: usize = 16;

/// Directories on the way down that stay open; those above are reopened when
/// the walk comes back to them.
const OPEN_DEPTH: usize = 48;

/// Directories reached through two links or more; a tree that needs this many is
/// taken for one that links multiply without end.
pub(crate) const MAX_MULTIPLIED: u32 = 20_000;

/// A directory that names of a batch are in.
#[derive(Debug, Clone)]
pub(crate) struct BatchDir {
    fd: Arc<OwnedFd>,
    /// Its logical path and `/`; empty for the root.
    pub(crate) prefix: Arc<str>,
}

#[derive(Debug)]
pub(crate) enum What {
    /// A regular file, by its listing.
    File,
    /// A link that leads to a regular file at this path below the root.
    Link(Vec<u8>),
    EmptyDirectory,
}

#[derive(Debug)]
pub(crate) struct Item {
    dir: u32,
    name: u32,
    pub(crate) what: What,
    pub(crate) found: Found,
}

/// Some consecutive names, first to be examined and then collected.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    dirs: Vec<BatchDir>,
    /// NUL-terminated, back to back.
    names: Vec<u8>,
    pub(crate) items: Vec<Item>,
    /// Of a single file: the name by which it was given.
    pub(crate) given: Option<Vec<u8>>,
}

impl Batch {
    /// The batch of a root that is one file.
    pub(crate) fn single(root: &Root) -> Self {
        let mut batch = Self::default();
        if let Some(single) = &root.single {
            let kind = sys::stat_name(&root.dir, &single.actual).map(|meta| meta.kind);
            let found = match kind {
                Ok(kind) => special(kind).map(Found::Problem),
                Err(error) => Some(Found::Problem(problem_of(error))),
            };
            batch.dirs.push(BatchDir { fd: Arc::clone(&root.dir), prefix: "".into() });
            batch.names.extend_from_slice(&single.actual);
            batch.names.push(0);
            let what = if found.is_some() { What::EmptyDirectory } else { What::File };
            let found = found.unwrap_or(Found::EmptyDirectory);
            batch.items.push(Item { dir: 0, name: 0, what, found });
            batch.given = Some(single.given.clone());
        }
        batch
    }

    fn push(&mut self, dir: &BatchDir, name: &CStr, what: What) {
        let same = self.dirs.last().is_some_and(|last| Arc::ptr_eq(&last.prefix, &dir.prefix));
        if !same {
            self.dirs.push(dir.clone());
        }
        let at = self.names.len() as u32;
        self.names.extend_from_slice(name.to_bytes_with_nul());
        let dir = self.dirs.len() as u32 - 1;
        self.items.push(Item { dir, name: at, what, found: Found::EmptyDirectory });
    }

    fn is_full(&self) -> bool {
        self.items.len() >= BATCH_ITEMS || self.dirs.len() >= BATCH_DIRECTORIES
    }

    pub(crate) fn dir_of(&self, item: &Item) -> &BatchDir {
        &self.dirs[item.dir as usize]
    }

    fn name_c(&self, item: &Item) -> &CStr {
        CStr::from_bytes_until_nul(&self.names[item.name as usize..]).unwrap_or_default()
    }

    pub(crate) fn name_of(&self, item: &Item) -> &[u8] {
        self.name_c(item).to_bytes()
    }

    /// Asks for the status of each file.
    pub(crate) fn examine(&mut self, root: &Root) {
        let user = sys::effective_user();
        let mut items = std::mem::take(&mut self.items);
        for item in &mut items {
            match &item.what {
                What::File => {
                    item.found = Found::file(&self.dir_of(item).fd, self.name_c(item), user)
                }
                What::Link(target) => item.found = examine_target(root, target, user),
                What::EmptyDirectory => {}
            }
        }
        self.items = items;
    }
}

fn examine_target(root: &Root, target: &[u8], user: u32) -> Found {
    let (parent, name) = match target.iter().rposition(|b| *b == b'/') {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (&target[..0], target),
    };
    let Ok(name) = std::ffi::CString::new(name) else {
        return Found::Problem(ProblemKind::Changed);
    };
    match sys::open_beneath(&root.dir, parent, As::Handle) {
        Ok(dir) => Found::file(&Arc::new(dir), &name, user),
        Err(error) => Found::Problem(problem_of(error)),
    }
}

/// A directory on the way down.
struct Frame {
    dir: BatchDir,
    open: bool,
    /// Path below the root without links on the way.
    physical: Vec<u8>,
    id: (u64, u64),
    /// Links on the way here.
    linked: u32,
    listing: Listing,
    next: usize,
    ignore: Option<Gitignore>,
    /// Names that are links, and where they lead.
    targets: HashMap<Vec<u8>, Target>,
    /// Directories that were looked into at their first place.
    probed: HashMap<u32, Probe>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Probe {
    Empty,
    NotEmpty,
    Failed,
}

/// Walks a root and hands out batches; `emit` answers `false` to stop.
pub(crate) struct Walker<'a, F> {
    root: &'a Root,
    links: Links,
    ignore_files: bool,
    /// Directories that must not be met.
    keep_out: Vec<(u64, u64)>,
    limit: usize,
    emit: F,
    batch: Batch,
    stack: Vec<Frame>,
    /// Directories reached through two links or more.
    multiplied: u32,
    report: ScanReport,
    stopped: bool,
}

impl<'a, F: FnMut(Batch) -> bool> Walker<'a, F> {
    pub(crate) fn new(
        root: &'a Root,
        links: Links,
        ignore_files: bool,
        keep_out: &[PathBuf],
        limit: usize,
        emit: F,
    ) -> Self {
        let id = |path: &PathBuf| {
            let meta = sys::stat_handle(sys::open_root(path).ok()?).ok()?;
            Some((meta.device, meta.stat.inode))
        };
        Self {
            root,
            links,
            ignore_files,
            keep_out: keep_out.iter().filter_map(id).collect(),
            limit,
            emit,
            batch: Batch::default(),
            stack: Vec::new(),
            multiplied: 0,
            report: ScanReport::default(),
            stopped: false,
        }
    }

    /// What was counted on the way (not the files: those are the collector's).
    pub(crate) fn into_report(self) -> ScanReport {
        self.report
    }

    pub(crate) fn walk(&mut self) {
        match self.read("", Vec::new()) {
            Ok((frame, found)) => {
                self.count(&frame, found);
                self.stack.push(frame);
            }
            Err(kind) => self.problem(Vec::new(), kind),
        }
        while !self.stopped && self.step() {}
        if !self.stopped && !self.batch.items.is_empty() {
            self.flush();
        }
    }

    /// Goes to the next slot; `false` at the end.
    fn step(&mut self) -> bool {
        let Some(frame) = self.stack.last_mut() else { return false };
        let Some(slot) = frame.listing.get(frame.next) else {
            self.stack.pop();
            return true;
        };
        frame.next += 1;
        if frame.listing.kind(slot) != Kind::Directory {
            let target = frame.targets.remove(frame.listing.name(slot));
            self.emit(slot, target.map_or(What::File, |target| What::Link(target.physical)));
        } else if slot.enters() {
            self.enter(slot);
        } else if frame.listing.get(frame.next).is_none_or(|next| next.id() != slot.id()) {
            // Something sorts between `name` and `name/`: whether this
            // directory is an entry must be known now. Usually nothing does,
            // and `enter` finds out.
            self.probe(slot);
        }
        true
    }

    fn probe(&mut self, slot: Slot) {
        let (prefix, physical) = self.child(slot);
        let probe = match self.read(&prefix, physical) {
            Ok((frame, found)) if frame.listing.is_empty() => {
                self.count(&frame, found);
                self.emit(slot, What::EmptyDirectory);
                Probe::Empty
            }
            Ok(_) => Probe::NotEmpty,
            Err(kind) => {
                self.problem(without_slash(&prefix), kind);
                Probe::Failed
            }
        };
        if let Some(frame) = self.stack.last_mut() {
            frame.probed.insert(slot.id(), probe);
        }
    }

    fn enter(&mut self, slot: Slot) {
        let probed = self.stack.last_mut().and_then(|frame| frame.probed.remove(&slot.id()));
        if matches!(probed, Some(Probe::Empty | Probe::Failed)) {
            return;
        }
        let (prefix, physical) = self.child(slot);
        let (mut frame, found) = match self.read(&prefix, physical) {
            Ok(read) => read,
            Err(kind) => return self.problem(without_slash(&prefix), kind),
        };
        frame.linked = self.stack.last().map_or(0, |above| {
            above.linked + u32::from(above.targets.contains_key(above.listing.name(slot)))
        });
        if frame.linked > 1 {
            self.multiplied += 1;
            if self.multiplied > MAX_MULTIPLIED {
                self.problem(without_slash(&prefix), ProblemKind::LinksMultiply);
                self.stopped = true;
                return;
            }
        }
        self.count(&frame, found);
        if !frame.listing.is_empty() {
            self.stack.push(frame);
            // Handles are scarce; a deep tree must not use them up.
            if let Some(above) = self.stack.len().checked_sub(OPEN_DEPTH) {
                let frame = &mut self.stack[above];
                frame.open = false;
                frame.dir.fd = Arc::clone(&self.root.dir);
            }
        } else if probed.is_none() {
            self.emit(slot, What::EmptyDirectory);
        } else {
            // Emptied since the probe; its place in the order has passed.
            self.problem(without_slash(&prefix), ProblemKind::Changed);
        }
    }

    /// Logical prefix and physical path of a directory in the current frame.
    fn child(&self, slot: Slot) -> (String, Vec<u8>) {
        let Some(frame) = self.stack.last() else { return (String::new(), Vec::new()) };
        let name = frame.listing.name(slot);
        let prefix = format!("{}{}/", frame.dir.prefix, String::from_utf8_lossy(name));
        let physical = match frame.targets.get(name) {
            Some(target) => target.physical.clone(),
            None => join(&frame.physical, name),
        };
        (prefix, physical)
    }

    fn emit(&mut self, slot: Slot, what: What) {
        let Some(frame) = self.stack.last_mut() else { return };
        if !frame.open {
            match sys::open_beneath(&self.root.dir, &frame.physical, As::Handle) {
                Ok(fd) => {
                    // A new prefix too: batches tell directories apart by it.
                    frame.dir =
                        BatchDir { fd: Arc::new(fd), prefix: Arc::from(&*frame.dir.prefix) };
                    frame.open = true;
                }
                Err(error) => {
                    let path = [frame.dir.prefix.as_bytes(), frame.listing.name(slot)].concat();
                    self.problem(path, problem_of(error));
                    return;
                }
            }
        }
        self.batch.push(&frame.dir, frame.listing.name_c(slot), what);
        if self.batch.is_full() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        self.stopped = !(self.emit)(batch);
    }

    fn problem(&mut self, path: Vec<u8>, kind: ProblemKind) {
        self.report.problems.add(self.limit, || Problem { path: sys::path_of(&path), kind });
    }

    /// Opens and lists a directory. What it found is counted by the caller:
    /// some directories are read twice.
    fn read(&self, prefix: &str, physical: Vec<u8>) -> Result<(Frame, Findings), ProblemKind> {
        let fd = sys::open_beneath(&self.root.dir, &physical, As::Listed).map_err(problem_of)?;
        let meta = sys::stat_handle(&fd).map_err(problem_of)?;
        let id = (meta.device, meta.stat.inode);
        if self.keep_out.contains(&id) {
            return Err(ProblemKind::KeptOut);
        }
        if self.stack.iter().any(|frame| frame.id == id) {
            return Err(ProblemKind::LinkLoops);
        }
        let mut found = Findings::default();
        let ignore = if self.ignore_files {
            self.ignore_rules(&fd, prefix, &physical, &mut found)
        } else {
            None
        };
        let mut targets = HashMap::new();
        let listing = Listing::read(&fd, |name, kind| {
            self.classify(prefix, &physical, ignore.as_ref(), name, kind, &mut targets, &mut found)
        })
        .map_err(problem_of)?;
        let dir = BatchDir { fd: Arc::new(fd), prefix: prefix.into() };
        let probed = HashMap::new();
        Ok((
            Frame {
                dir,
                open: true,
                physical,
                id,
                linked: 0,
                listing,
                next: 0,
                ignore,
                targets,
                probed,
            },
            found,
        ))
    }

    fn count(&mut self, frame: &Frame, found: Findings) {
        self.report.ignored += found.ignored;
        self.report.leftovers += found.leftovers;
        self.report.links_skipped += found.skipped;
        self.report.links_followed += found.followed_directories;
        for (path, kind) in found.problems {
            self.problem(path, kind);
        }
        self.warn(&frame.dir.prefix, &frame.listing);
    }

    /// What one name counts as; `None` leaves it out.
    #[allow(clippy::too_many_arguments)]
    fn classify(
        &self,
        prefix: &str,
        physical: &[u8],
        ignore: Option<&Gitignore>,
        name: &CStr,
        kind: Kind,
        targets: &mut HashMap<Vec<u8>, Target>,
        found: &mut Findings,
    ) -> Option<Kind> {
        let name = name.to_bytes();
        if name.starts_with(TEMPORARY_PREFIX.as_bytes()) {
            found.leftovers += 1;
            return None;
        }
        let full = || [prefix.as_bytes(), name].concat();
        let link = (kind == Kind::Link && self.links == Links::Follow)
            .then(|| self.root.resolve(&join(physical, name)));
        let kind = match &link {
            Some(Ok(target)) => target.kind,
            _ => kind,
        };
        if self.is_ignored(prefix, ignore, name, kind == Kind::Directory) {
            found.ignored += 1;
            return None;
        }
        let problem = match (link, special(kind)) {
            (_, Some(problem)) => Some(problem),
            (None, None) if kind == Kind::Link => {
                if self.links == Links::Skip {
                    found.skipped += 1;
                    return None;
                }
                Some(ProblemKind::Link)
            }
            (Some(Err(fault)), None) => Some(match fault {
                LinkFault::Dangling => ProblemKind::LinkDangles,
                LinkFault::Loops => ProblemKind::LinkLoops,
                LinkFault::Leaves(target) => ProblemKind::LinkLeaves(target),
                LinkFault::Failed(std::io::ErrorKind::PermissionDenied) => ProblemKind::Unreadable,
                LinkFault::Failed(kind) => ProblemKind::Io(kind),
            }),
            (Some(Ok(target)), None) => {
                found.followed_directories += u64::from(kind == Kind::Directory);
                targets.insert(name.to_vec(), target);
                None
            }
            (None, None) => None,
        };
        let problem = problem.or_else(|| match std::str::from_utf8(name) {
            Err(_) => Some(ProblemKind::NotUtf8),
            // Once for the directory rather than for all that is below it.
            Ok(text) if kind == Kind::Directory => {
                LogicalPath::check(&format!("{prefix}{text}")).err().map(ProblemKind::Path)
            }
            Ok(_) => None,
        });
        if let Some(problem) = problem {
            found.problems.push((full(), problem));
            return None;
        }
        Some(kind)
    }

    /// The last pattern that matches decides, those of the deepest directory
    /// first.
    fn is_ignored(
        &self,
        prefix: &str,
        ignore: Option<&Gitignore>,
        name: &[u8],
        directory: bool,
    ) -> bool {
        if ignore.is_none() && self.stack.iter().all(|frame| frame.ignore.is_none()) {
            return false;
        }
        let full = [prefix.as_bytes(), name].concat();
        let here = ignore.map(|rules| (rules, prefix.len()));
        let above =
            self.stack.iter().rev().filter_map(|f| Some((f.ignore.as_ref()?, f.dir.prefix.len())));
        for (rules, skip) in here.into_iter().chain(above) {
            let matched = rules.matched(sys::as_path(&full[skip..]), directory);
            if !matched.is_none() {
                return matched.is_ignore();
            }
        }
        false
    }

    /// Reads the ignore file of a directory, if it has one.
    fn ignore_rules(
        &self,
        dir: &OwnedFd,
        prefix: &str,
        physical: &[u8],
        found: &mut Findings,
    ) -> Option<Gitignore> {
        let mut opened = sys::open_child(dir, IGNORE_FILE.as_bytes(), As::Read);
        if matches!(opened, Err(rustix::io::Errno::LOOP)) && self.links == Links::Follow {
            // A link that leads nowhere good is refused when it is listed.
            let target = self.root.resolve(&join(physical, IGNORE_FILE.as_bytes())).ok()?;
            opened = sys::open_beneath(&self.root.dir, &target.physical, As::Read);
        }
        let path = || format!("{prefix}{IGNORE_FILE}").into_bytes();
        let fd = match opened {
            Ok(fd) => fd,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP) => return None,
            Err(error) => {
                found.problems.push((path(), problem_of(error)));
                return None;
            }
        };
        if sys::stat_handle(&fd).ok()?.kind != Kind::File {
            return None;
        }
        let mut text = String::new();
        if let Err(error) = std::fs::File::from(fd).take(MAX_IGNORE_BYTES).read_to_string(&mut text)
        {
            found.problems.push((path(), ProblemKind::Io(error.kind())));
            return None;
        }
        let mut builder = GitignoreBuilder::new(".");
        for (number, line) in text.lines().enumerate() {
            if let Err(error) = builder.add_line(None, line) {
                let kind =
                    ProblemKind::IgnorePattern { line: number + 1, message: error.to_string() };
                found.problems.push((path(), kind));
            }
        }
        match builder.build() {
            Ok(rules) if !rules.is_empty() => Some(rules),
            Ok(_) => None,
            Err(error) => {
                let kind = ProblemKind::IgnorePattern { line: 0, message: error.to_string() };
                found.problems.push((path(), kind));
                None
            }
        }
    }

    /// Counts names that would make trouble elsewhere.
    fn warn(&mut self, prefix: &str, listing: &Listing) {
        let names = || listing.names().filter_map(|name| std::str::from_utf8(name).ok());
        for group in names::collisions(names) {
            let paths = || group.iter().map(|name| format!("{prefix}{name}")).collect();
            self.report.collisions.add(self.limit, paths);
        }
        // Of this directory itself; the collector judges the files.
        if let Some(name) = prefix.strip_suffix('/').and_then(|path| path.rsplit('/').next())
            && let Some(rule) = names::portability(name)
        {
            self.report
                .unportable
                .add(self.limit, || (prefix.trim_end_matches('/').to_owned(), rule));
        }
    }
}

#[derive(Debug, Default)]
struct Findings {
    ignored: u64,
    leftovers: u64,
    skipped: u64,
    followed_directories: u64,
    problems: Vec<(Vec<u8>, ProblemKind)>,
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }
}

fn without_slash(prefix: &str) -> Vec<u8> {
    prefix.strip_suffix('/').unwrap_or(prefix).as_bytes().to_vec()
}
