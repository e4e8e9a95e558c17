//! All sources as one stream in path order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io::Read;

use heirloom_manifest::{BlobId, Entry, LogicalPath};
use heirloom_worktree::{FileStat, ScanEntry, ScanKind, SpoolReader, escaped};

use super::gather::{Gathered, SingleWhat};
use crate::{Error, Result};

/// One entry of the artifact to be.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) path: LogicalPath,
    pub(crate) from: From,
    pub(crate) what: What,
}

/// Where an entry comes from.
#[derive(Debug, Clone)]
pub(crate) enum From {
    /// A directory, and the path in it.
    Dir { index: usize, inner: LogicalPath },
    /// Something added by itself.
    Single(usize),
}

/// What an entry is.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A file that must be read.
    Unknown(FileStat),
    /// A file of a directory that was read before and has not changed since.
    Known(FileStat, BlobId),
    /// Anything else, known from the start.
    Entry(Entry),
}

impl What {
    pub(crate) fn entry(&self) -> Option<Entry> {
        match self {
            Self::Unknown(_) => None,
            Self::Known(stat, blob) => Some(Entry::File { blob: *blob, size: stat.size }),
            Self::Entry(entry) => Some(entry.clone()),
        }
    }
}

/// The entries of all sources in path order, without what was removed. After
/// [`check`], paths ascend strictly.
pub(crate) struct Merged<'a> {
    gathered: &'a Gathered,
    dirs: Vec<SpoolReader<Box<dyn Read + Send>>>,
    next_single: usize,
    heads: BinaryHeap<Reverse<Head>>,
    /// The only directory when there is nothing else: no heap is needed.
    lone: bool,
    last_empty: Option<LogicalPath>,
    not_empty: HashSet<&'a LogicalPath>,
    /// Which removes took something out.
    pub(crate) hits: Vec<bool>,
}

/// The next entry of one source; sources are ordered by their path, then index.
struct Head {
    source: usize,
    item: Item,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.item.path == other.item.path
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.item.path.cmp(&other.item.path).then(self.source.cmp(&other.source))
    }
}

impl<'a> Merged<'a> {
    pub(crate) fn new(gathered: &'a Gathered) -> Result<Self> {
        let dirs = gathered.dirs.iter().map(|dir| dir.entries()).collect::<Result<Vec<_>>>()?;
        let lone = dirs.len() == 1 && gathered.singles.is_empty() && gathered.removes.is_empty();
        let mut merged = Self {
            gathered,
            dirs,
            next_single: 0,
            heads: BinaryHeap::new(),
            lone,
            last_empty: None,
            not_empty: gathered.not_empty.iter().collect(),
            hits: vec![false; gathered.removes.len()],
        };
        if !lone {
            for source in 0..=merged.dirs.len() {
                merged.refill(source)?;
            }
        }
        Ok(merged)
    }

    fn refill(&mut self, source: usize) -> Result<()> {
        if let Some(item) = self.pull(source)? {
            self.heads.push(Reverse(Head { source, item }));
        }
        Ok(())
    }

    /// The next entry of one source that was not removed.
    fn pull(&mut self, source: usize) -> Result<Option<Item>> {
        loop {
            let (item, order) = if source == self.dirs.len() {
                let Some(single) = self.gathered.singles.get(self.next_single) else {
                    return Ok(None);
                };
                let from = From::Single(self.next_single);
                self.next_single += 1;
                let what = match (&single.what, single.what.entry()) {
                    (_, Some(entry)) => What::Entry(entry),
                    (SingleWhat::File { stat, .. }, None) => What::Unknown(*stat),
                    // Everything but a file has an entry.
                    (_, None) => continue,
                };
                (Item { path: single.path.clone(), from, what }, single.order)
            } else {
                let dir = &self.gathered.dirs[source];
                let Some(entry) = self.dirs[source].next().transpose()? else { return Ok(None) };
                let ScanEntry { path: inner, kind } = entry;
                let path = dir.logical(&inner)?;
                let what = match kind {
                    ScanKind::EmptyDirectory => What::Entry(Entry::EmptyDirectory),
                    ScanKind::File { stat, known: Some(blob) } => What::Known(stat, blob),
                    ScanKind::File { stat, known: None } => What::Unknown(stat),
                };
                (Item { path, from: From::Dir { index: source, inner }, what }, dir.order)
            };
            let mut removed = false;
            for (remove, hit) in self.gathered.removes.iter().zip(&mut self.hits) {
                if remove.order > order && item.path.is_within(&remove.path) {
                    *hit = true;
                    removed = true;
                }
            }
            if !removed {
                return Ok(Some(item));
            }
        }
    }

    /// The next entry, also one that collides with the one before.
    fn next_raw(&mut self) -> Result<Option<Item>> {
        if self.lone {
            return self.pull(0);
        }
        let Some(Reverse(Head { source, item })) = self.heads.pop() else { return Ok(None) };
        self.refill(source)?;
        Ok(Some(item))
    }

    fn next_item(&mut self) -> Result<Option<Item>> {
        loop {
            let Some(item) = self.next_raw()? else { return Ok(None) };
            if !self.lone && matches!(item.what, What::Entry(Entry::EmptyDirectory)) {
                let again = self.last_empty.as_ref() == Some(&item.path);
                if again || self.not_empty.contains(&item.path) {
                    continue;
                }
                self.last_empty = Some(item.path.clone());
            }
            return Ok(Some(item));
        }
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Result<Item>> {
        self.next_item().transpose()
    }
}

/// Finds collisions between sources, removes without effect, and empty
/// directories that another source fills.
pub(crate) fn check(gathered: &mut Gathered) -> Result<()> {
    if gathered.dirs.len() + gathered.singles.len() <= 1 && gathered.removes.is_empty() {
        return Ok(());
    }
    let mut merged = Merged::new(gathered)?;
    let mut not_empty = HashSet::new();
    // Earlier entries whose paths are text prefixes of the present one: only
    // they can be directories above it.
    let mut above: Vec<Item> = Vec::new();
    while let Some(item) = merged.next_raw()? {
        while above.last().is_some_and(|top| !item.path.as_str().starts_with(top.path.as_str())) {
            above.pop();
        }
        let mut again = false;
        for top in &above {
            let both_empty = is_empty_dir(top) && is_empty_dir(&item);
            if top.path == item.path && both_empty {
                again = true;
            } else if top.path != item.path
                && is_empty_dir(top)
                && item.path.is_within(top.path.as_str())
            {
                not_empty.insert(top.path.clone());
            } else if item.path.is_within(top.path.as_str()) {
                return Err(Error::Collision {
                    path: top.path.escaped(),
                    first: origin(gathered, top),
                    second: origin(gathered, &item),
                });
            }
        }
        if !again {
            above.push(item);
        }
    }
    let hits = std::mem::take(&mut merged.hits);
    drop(merged);
    let without = hits.iter().position(|hit| !hit);
    for (remove, hit) in gathered.removes.iter_mut().zip(hits) {
        remove.hit = hit;
    }
    // What a base has to remove is seen when it is read.
    if let (Some(at), false) = (without, gathered.over_base) {
        let path = escaped(gathered.removes[at].path.as_ref());
        return Err(Error::usage(format!(
            "nothing was added at `{path}`, so it cannot be removed"
        )));
    }
    gathered.not_empty = not_empty.into_iter().collect();
    Ok(())
}

fn is_empty_dir(item: &Item) -> bool {
    matches!(item.what, What::Entry(Entry::EmptyDirectory))
}

/// Where an entry comes from, for people.
fn origin(gathered: &Gathered, item: &Item) -> String {
    match &item.from {
        From::Dir { index, inner } => {
            let path = gathered.dirs[*index].given.join(inner.as_str());
            format!("`{}`", escaped(&path))
        }
        From::Single(index) => match &gathered.singles[*index].what {
            SingleWhat::File { source, .. } => format!("`{}`", escaped(source)),
            SingleWhat::Bytes { .. } => format!("bytes added as `{}`", item.path.escaped()),
            SingleWhat::Staged { .. } => format!("the new file `{}`", item.path.escaped()),
            SingleWhat::Reference(reference) => format!("the reference `{}`", reference.uri),
        },
    }
}
