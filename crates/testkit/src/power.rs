//! What a disk may hold after the power failed: a log of what programs did, from
//! a [`Tracer`](crate::Tracer), is replayed up to any step on a [`Disk`] that
//! knows what was flushed; the rest is lost in one of several ways.
//!
//! The model is harsher than most file systems: flushing a file does not flush
//! its name, each name of a directory and each 512 bytes of a file survive or
//! not by themselves, and nothing is ever written back without being asked.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::fixtures::Rng;

/// Bytes that a disk writes at once or not at all.
const SECTOR: usize = 512;

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A new file, known by a number while it exists, got a name.
    Create(u64, PathBuf),
    /// Bytes of a file from an offset on.
    Write(u64, usize, Vec<u8>),
    /// A file got this length.
    Truncate(u64, usize),
    /// A file's bytes were flushed.
    Sync(u64),
    /// A directory's names were flushed.
    SyncDirectory(PathBuf),
    /// Everything was flushed.
    SyncAll,
    /// A name went to another place.
    Rename(PathBuf, PathBuf),
    /// A file got another name.
    Link(PathBuf, PathBuf),
    /// A file's name went.
    Unlink(PathBuf),
    /// An empty directory went.
    RemoveDirectory(PathBuf),
    /// A directory was made.
    MakeDirectory(PathBuf),
}

/// Reads the log that a tracer has written to `file`.
///
/// # Errors
/// When it cannot be read, or has something that the model does not know.
pub fn read_log(file: &Path) -> io::Result<Vec<Step>> {
    let text = fs::read_to_string(file)?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".data");
    let data = fs::read(beside)?;
    text.lines()
        .map(|line| {
            parse(line, &data)
                .ok_or_else(|| io::Error::other(format!("the model does not know `{line}`")))
        })
        .collect()
}

fn parse(line: &str, data: &[u8]) -> Option<Step> {
    let mut parts = line.split('\t');
    let word = parts.next()?;
    let parts: Vec<&str> = parts.collect();
    let path = |at: usize| parts.get(at).map(|text| PathBuf::from(unescaped(text)));
    let number = |at: usize| parts.get(at)?.parse::<u64>().ok();
    let size = |at: usize| parts.get(at)?.parse::<usize>().ok();
    Some(match word {
        "create" => Step::Create(number(0)?, path(1)?),
        "write" => {
            let (offset, length, at) = (size(1)?, size(2)?, size(3)?);
            Step::Write(number(0)?, offset, data.get(at..at + length)?.to_vec())
        }
        "truncate" => Step::Truncate(number(0)?, size(1)?),
        "sync" => Step::Sync(number(0)?),
        "sync-directory" => Step::SyncDirectory(path(0)?),
        "sync-all" => Step::SyncAll,
        "rename" => Step::Rename(path(0)?, path(1)?),
        "link" => Step::Link(path(0)?, path(1)?),
        "unlink" => Step::Unlink(path(0)?),
        "rmdir" => Step::RemoveDirectory(path(0)?),
        "mkdir" => Step::MakeDirectory(path(0)?),
        _ => return None,
    })
}

fn unescaped(text: &str) -> String {
    ["\\09", "\\0a", "\\5c"]
        .into_iter()
        .zip(["\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// What is lost of what was not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: as if the process had been killed.
    Nothing,
    /// All of it: names and bytes.
    All,
    /// Bytes beyond what was flushed: files are shorter than they were.
    Bytes,
    /// Bytes: they read as zeros.
    Zeros,
    /// Each name and each sector by itself, as this seed throws.
    Some(u64),
}

/// A file: its bytes, those flushed, and what was done since.
#[derive(Debug, Clone, Default)]
struct File {
    now: Vec<u8>,
    flushed: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Bytes(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>, survives: &mut impl FnMut() -> bool) {
        match self {
            Self::Length(length) => {
                if survives() {
                    to.resize(*length, 0);
                }
            }
            Self::Bytes(offset, bytes) => {
                for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                    if survives() {
                        let start = offset + n * SECTOR;
                        let end = start + sector.len();
                        if to.len() < end {
                            to.resize(end, 0);
                        }
                        to[start..end].copy_from_slice(sector);
                    }
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File(usize),
    Directory(usize),
}

/// A directory: its names, those flushed, and what names stood for since.
#[derive(Debug, Clone, Default)]
struct Directory {
    now: BTreeMap<String, Node>,
    flushed: BTreeMap<String, Node>,
    since: Vec<(String, Option<Node>)>,
}

/// Files and directories below one directory, with what of them was flushed.
#[derive(Debug, Clone)]
pub struct Disk {
    root: PathBuf,
    files: Vec<File>,
    /// The first is the root, which is there for ever.
    directories: Vec<Directory>,
    /// What a number of the log stands for now.
    numbers: HashMap<u64, usize>,
}

impl Disk {
    /// An empty directory at `root`.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            files: Vec::new(),
            directories: vec![Directory::default()],
            numbers: HashMap::new(),
        }
    }

    /// Does a step; what is not below the root is none of ours.
    ///
    /// # Panics
    /// When the step makes no sense here: the log is not whole.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Create(number, path) => {
                self.files.push(File::default());
                let file = self.files.len() - 1;
                self.numbers.insert(*number, file);
                self.set(path, Some(Node::File(file)));
            }
            Step::Write(number, offset, bytes) => {
                self.change(*number, Change::Bytes(*offset, bytes.clone()))
            }
            Step::Truncate(number, length) => self.change(*number, Change::Length(*length)),
            Step::Sync(number) => {
                let file = self.numbers[number];
                self.flush_file(file);
            }
            Step::SyncDirectory(path) => {
                if let Some(directory) = self.directory(path) {
                    self.flush_directory(directory);
                }
            }
            Step::SyncAll => {
                (0..self.files.len()).for_each(|file| self.flush_file(file));
                (0..self.directories.len()).for_each(|directory| self.flush_directory(directory));
            }
            Step::Rename(from, to) => {
                let node = self.get(from).expect("what is renamed was made before");
                // On the disk the two names change by themselves.
                self.set(to, Some(node));
                self.set(from, None);
            }
            Step::Link(from, to) => {
                let node = self.get(from).expect("what is linked was made before");
                self.set(to, Some(node));
            }
            Step::Unlink(path) | Step::RemoveDirectory(path) => self.set(path, None),
            Step::MakeDirectory(path) => {
                self.directories.push(Directory::default());
                let directory = self.directories.len() - 1;
                self.set(path, Some(Node::Directory(directory)));
            }
        }
    }

    /// Writes what is left after a loss into `target`, an empty directory.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, loss: Loss, target: &Path) -> io::Result<()> {
        let mut rng = Rng::new(match loss {
            Loss::Some(seed) => seed,
            _ => 0,
        });
        self.write_directory(0, loss, &mut rng, target)
    }

    fn write_directory(
        &self,
        directory: usize,
        loss: Loss,
        rng: &mut Rng,
        target: &Path,
    ) -> io::Result<()> {
        let directory = &self.directories[directory];
        let names = match loss {
            Loss::All => directory.flushed.clone(),
            Loss::Nothing | Loss::Bytes | Loss::Zeros => directory.now.clone(),
            Loss::Some(_) => {
                let mut names = directory.flushed.clone();
                // Later changes of a name replace earlier ones where they survive.
                for (name, node) in &directory.since {
                    if rng.below(2) == 0 {
                        match node {
                            Some(node) => names.insert(name.clone(), *node),
                            None => names.remove(name),
                        };
                    }
                }
                names
            }
        };
        for (name, node) in names {
            let path = target.join(name);
            match node {
                Node::Directory(below) => {
                    fs::create_dir(&path)?;
                    self.write_directory(below, loss, rng, &path)?;
                }
                Node::File(file) => fs::write(&path, self.left_of(file, loss, rng))?,
            }
        }
        Ok(())
    }

    fn left_of(&self, file: usize, loss: Loss, rng: &mut Rng) -> Vec<u8> {
        let file = &self.files[file];
        match loss {
            Loss::Nothing => file.now.clone(),
            Loss::All | Loss::Bytes => file.flushed.clone(),
            Loss::Zeros => {
                let mut bytes = file.flushed.clone();
                bytes.resize(file.now.len(), 0);
                bytes
            }
            Loss::Some(_) => {
                let mut bytes = file.flushed.clone();
                let mut survives = || rng.below(2) == 0;
                file.since.iter().for_each(|change| change.apply(&mut bytes, &mut survives));
                bytes
            }
        }
    }

    fn change(&mut self, number: u64, change: Change) {
        let file = &mut self.files[self.numbers[&number]];
        change.apply(&mut file.now, &mut || true);
        file.since.push(change);
    }

    fn flush_file(&mut self, file: usize) {
        let file = &mut self.files[file];
        file.flushed.clone_from(&file.now);
        file.since.clear();
    }

    fn flush_directory(&mut self, directory: usize) {
        let directory = &mut self.directories[directory];
        directory.flushed.clone_from(&directory.now);
        directory.since.clear();
    }

    fn get(&self, path: &Path) -> Option<Node> {
        if path == self.root {
            return Some(Node::Directory(0));
        }
        let name = path.file_name()?.to_str()?;
        self.directories[self.directory(path.parent()?)?].now.get(name).copied()
    }

    fn directory(&self, path: &Path) -> Option<usize> {
        if !path.starts_with(&self.root) {
            return None;
        }
        match self.get(path) {
            Some(Node::Directory(directory)) => Some(directory),
            _ => None,
        }
    }

    fn set(&mut self, path: &Path, node: Option<Node>) {
        let parent = path.parent().and_then(|parent| self.directory(parent));
        let name = path.file_name().and_then(|name| name.to_str());
        let (Some(parent), Some(name)) = (parent, name) else {
            panic!("{} is not below {}", path.display(), self.root.display())
        };
        let directory = &mut self.directories[parent];
        match node {
            Some(node) => directory.now.insert(name.to_owned(), node),
            None => directory.now.remove(name),
        };
        directory.since.push((name.to_owned(), node));
    }
}
