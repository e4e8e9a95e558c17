//! Nodes: the canonical bytes of one piece of a manifest tree.
//!
//! `docs/format.md`, section 3, is the specification. Decoding is strict: bytes
//! that are not the one encoding of a node are refused, so that what decodes
//! encodes to the same bytes again and a content has one digest only. It is
//! bounded too: a node that no builder could have made, because it holds more
//! records or more weight than a node may, is refused before it is unpacked.

use crate::codec::{Input, MAX_SIZE, RawEntry, common_prefix, put_entry, put_varint};
use crate::digest::{BlobId, NodeId};
use crate::entry::Entry;
use crate::error::ManifestError;
use crate::nodes::TreeSummary;
use crate::params::FORMAT;
use crate::path::{LogicalPath, MAX_PATH_BYTES, check_from};

/// Longest encoding of a node, in bytes; longer ones are refused unread.
pub const MAX_NODE_BYTES: usize = 1 << 20;

/// Highest level that a node may have. Leaves have level 0.
pub const MAX_LEVEL: u8 = 15;

const MAGIC: [u8; 2] = *b"HM";
const VERSION: u8 = 1;
pub(crate) const INNER_BODY_WEIGHT: usize = 48;

/// A node in decoded form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Level 0: entries in ascending path order.
    Leaf(Vec<(LogicalPath, Entry)>),
    /// Level 1 and above.
    Inner {
        /// The node's level, 1 to [`MAX_LEVEL`]; its children are one lower.
        level: u8,
        /// The children in ascending order; at least one.
        children: Vec<Child>,
    },
}

/// What an inner node records of one child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Path of the last entry below the child.
    pub last_path: LogicalPath,
    /// The child's id.
    pub id: NodeId,
    /// Number of entries below the child, at least 1.
    pub entries: u64,
    /// Sum of these entries' [`Entry::size`], in bytes.
    pub size: u64,
}

/// What a node points at; see [`visit_links`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A child of an inner node.
    Child(NodeId),
    /// The content of a file entry, and its size in bytes.
    Blob(BlobId, u64),
}

impl Node {
    /// Decodes one node.
    ///
    /// Accepts exactly what [`Node::encode`] can produce, so `encode` of the
    /// result gives the same bytes. Memory is bounded by the format's limits on
    /// a node's records and weight (some hundred KiB), whatever the bytes say.
    ///
    /// # Errors
    /// [`ManifestError::UnknownVersion`] or [`ManifestError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut records = Records::new(bytes)?;
        if records.level == 0 {
            let mut entries = Vec::with_capacity(records.left);
            while let Some((path, entry)) = records.next_entry()? {
                entries.push((LogicalPath::from_checked(path), entry.to_entry()));
            }
            Ok(Self::Leaf(entries))
        } else {
            let level = records.level;
            let mut children = Vec::with_capacity(records.left);
            while let Some((path, id, entries, size)) = records.next_child()? {
                let last_path = LogicalPath::from_checked(path);
                children.push(Child { last_path, id, entries, size });
            }
            Ok(Self::Inner { level, children })
        }
    }

    /// The canonical bytes.
    ///
    /// Where nodes of a tree end is the business of
    /// [`TreeBuilder`](crate::TreeBuilder); this encodes any node that
    /// [`Node::decode`] would accept.
    ///
    /// # Errors
    /// The first rule of the format that the node breaks.
    pub fn encode(&self) -> Result<Vec<u8>, ManifestError> {
        let at_start = |reason| ManifestError::Malformed { at: 0, reason };
        let mut writer = NodeWriter::new(self.level());
        match self {
            Self::Leaf(entries) => {
                for (path, entry) in entries {
                    let shared = writer.check_next(path)?;
                    writer.entry(shared, path, entry)?;
                }
            }
            Self::Inner { level, children } => {
                if !(1..=MAX_LEVEL).contains(level) || children.is_empty() {
                    return Err(at_start("an inner node has a level of 1 to 15 and children"));
                }
                for child in children {
                    let shared = writer.check_next(&child.last_path)?;
                    writer.child(shared, child)?;
                }
            }
        }
        let bytes = writer.finish();
        // Limits on count, weight and length are the decoder's; asking it keeps
        // the two from drifting apart.
        Records::new(&bytes)?.run(|_| {})?;
        Ok(bytes)
    }

    /// The level: 0 for a leaf.
    pub fn level(&self) -> u8 {
        match self {
            Self::Leaf(_) => 0,
            Self::Inner { level, .. } => *level,
        }
    }

    /// Number of entries in or below the node.
    pub fn entries(&self) -> u64 {
        match self {
            Self::Leaf(entries) => entries.len() as u64,
            Self::Inner { children, .. } => {
                children.iter().fold(0, |sum, child| sum.saturating_add(child.entries))
            }
        }
    }

    /// Sum of the sizes of the entries in or below the node, in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Leaf(entries) => {
                entries.iter().fold(0, |sum, (_, entry)| sum.saturating_add(entry.size()))
            }
            Self::Inner { children, .. } => {
                children.iter().fold(0, |sum, child| sum.saturating_add(child.size))
            }
        }
    }
}

/// Tells every child or blob that a node points at, in order, without
/// unpacking paths or references: for marking, existence checks and reverse
/// look-ups over very many nodes. Returns the node's level.
///
/// The bytes are checked as strictly as by [`Node::decode`], but links may have
/// been told before a fault is found further on.
///
/// # Errors
/// As [`Node::decode`].
pub fn visit_links(bytes: &[u8], visit: impl FnMut(Link)) -> Result<u8, ManifestError> {
    let mut records = Records::new(bytes)?;
    let level = records.level;
    records.run(visit)?;
    Ok(level)
}

/// Walks the records of a node's bytes, checking as it goes. One buffer holds
/// the current path.
struct Records<'a> {
    input: Input<'a>,
    level: u8,
    left: usize,
    path: Vec<u8>,
    first: bool,
    weight: usize,
    entries: u64,
    size: u64,
}

impl<'a> Records<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, ManifestError> {
        let mut input = Input::new(bytes);
        if bytes.len() > MAX_NODE_BYTES {
            return input.refuse("the node is longer than 1 MiB");
        }
        if input.take(2)? != MAGIC {
            return input.refuse("not a manifest node");
        }
        match input.byte()? {
            VERSION => {}
            found => return Err(ManifestError::UnknownVersion { found }),
        }
        let level = input.byte()?;
        if level > MAX_LEVEL {
            return input.refuse("the level is above 15");
        }
        let count = input.varint()?;
        if count > FORMAT.at(level).max as u64 {
            return input.refuse("more records than a node may hold");
        }
        if count == 0 && level > 0 {
            return input.refuse("an inner node without children");
        }
        let mut records = Self {
            input,
            level,
            left: count as usize,
            path: Vec::new(),
            first: true,
            weight: 0,
            entries: 0,
            size: 0,
        };
        if records.left == 0 {
            records.end()?;
        }
        Ok(records)
    }

    fn run(&mut self, mut visit: impl FnMut(Link)) -> Result<(), ManifestError> {
        if self.level == 0 {
            while let Some((_, entry)) = self.next_entry()? {
                if let RawEntry::File { blob, size } = entry {
                    visit(Link::Blob(blob, size));
                }
            }
        } else {
            while let Some((_, id, _, _)) = self.next_child()? {
                visit(Link::Child(id));
            }
        }
        Ok(())
    }

    fn next_entry(&mut self) -> Result<Option<(&str, RawEntry<'a>)>, ManifestError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.key()?;
        let body = self.input.at();
        let entry = self.input.entry()?;
        self.account(self.input.at() - body, 1, entry.size())?;
        Ok(Some((self.text()?, entry)))
    }

    #[allow(clippy::type_complexity)]
    fn next_child(&mut self) -> Result<Option<(&str, NodeId, u64, u64)>, ManifestError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.key()?;
        let id = NodeId::from_bytes(self.input.digest()?);
        let entries = self.input.size()?;
        if entries == 0 {
            return self.input.refuse("a child without entries");
        }
        let size = self.input.size()?;
        self.account(INNER_BODY_WEIGHT, entries, size)?;
        Ok(Some((self.text()?, id, entries, size)))
    }

    fn key(&mut self) -> Result<(), ManifestError> {
        if self.weight >= FORMAT.at(self.level).max_weight {
            return self.input.refuse("more weight than a node may hold");
        }
        let (shared, suffix) = self.input.key(MAX_PATH_BYTES)?;
        if shared > self.path.len() || (self.first && shared > 0) {
            return self.input.refuse("a path shares more than there is");
        }
        if shared + suffix.len() > MAX_PATH_BYTES {
            return self.input.refuse("a path is too long");
        }
        // One comparison says both that `shared` is the longest common prefix
        // and that the paths ascend; a suffix is never empty.
        if self.path.get(shared).is_some_and(|before| suffix[0] <= *before) {
            return self.input.refuse("paths do not ascend, or share more than recorded");
        }
        self.first = false;
        self.path.truncate(shared);
        // Parts before the last shared slash were checked with the path before.
        let from = self.path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        self.path.extend_from_slice(suffix);
        if check_from(&self.path, from).is_err() {
            return self.input.refuse("a path breaks the rules of logical paths");
        }
        Ok(())
    }

    fn account(&mut self, body: usize, entries: u64, size: u64) -> Result<(), ManifestError> {
        self.weight += self.path.len() + body;
        self.entries += entries;
        self.size += size;
        // Both stay below 2^63 before each addition, which is below 2^63 too.
        if self.entries > MAX_SIZE || self.size > MAX_SIZE {
            return self.input.refuse("the counts or sizes add up to more than 63 bits");
        }
        self.left -= 1;
        if self.left == 0 { self.end() } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), ManifestError> {
        match self.input.left() {
            0 => Ok(()),
            _ => self.input.refuse("bytes after the last record"),
        }
    }

    fn text(&self) -> Result<&str, ManifestError> {
        std::str::from_utf8(&self.path).or_else(|_| self.input.refuse("a path is not UTF-8"))
    }
}

/// Writes the nodes of one level, one after the other.
pub(crate) struct NodeWriter {
    /// The level, then the last path: the input of the boundary hash.
    keyed: Vec<u8>,
    body: Vec<u8>,
    pub(crate) count: usize,
    pub(crate) weight: usize,
    entries: u64,
    size: u64,
}

impl NodeWriter {
    pub(crate) fn new(level: u8) -> Self {
        Self { keyed: vec![level], body: Vec::new(), count: 0, weight: 0, entries: 0, size: 0 }
    }

    /// The last path written, in this node or an earlier one.
    pub(crate) fn last_path(&self) -> &[u8] {
        &self.keyed[1..]
    }

    /// What the boundary hash is taken of: level and last path.
    pub(crate) fn hash_input(&self) -> &[u8] {
        &self.keyed
    }

    /// Makes `path` the last path without writing a record.
    pub(crate) fn pass(&mut self, shared: usize, path: &LogicalPath) {
        self.keyed.truncate(1 + shared);
        self.keyed.extend_from_slice(&path.as_bytes()[shared..]);
    }

    /// Checks that `path` may follow; returns what it shares with the last path.
    pub(crate) fn check_next(&self, path: &LogicalPath) -> Result<usize, ManifestError> {
        let (last, next) = (self.last_path(), path.as_bytes());
        let shared = common_prefix(last, next);
        match (last.get(shared), next.get(shared)) {
            (None, Some(_)) => Ok(shared),
            (Some(before), Some(after)) if before < after => Ok(shared),
            (None, None) => Err(ManifestError::Duplicate { path: path.clone() }),
            _ => Err(ManifestError::OutOfOrder { path: path.clone(), after: self.last() }),
        }
    }

    /// Appends an entry. `shared` is the result of [`NodeWriter::check_next`].
    pub(crate) fn entry(
        &mut self,
        shared: usize,
        path: &LogicalPath,
        entry: &Entry,
    ) -> Result<(), ManifestError> {
        let start = self.body.len();
        self.key(shared, path);
        let at = self.body.len();
        if let Err(reason) = put_entry(&mut self.body, entry) {
            self.body.truncate(start);
            return Err(ManifestError::InvalidEntry { path: path.clone(), reason });
        }
        self.account(shared, path, self.body.len() - at, 1, entry.size())
    }

    /// Appends the record of a child. `shared` as for an entry.
    pub(crate) fn child(&mut self, shared: usize, child: &Child) -> Result<(), ManifestError> {
        self.key(shared, &child.last_path);
        self.body.extend_from_slice(child.id.as_bytes());
        put_varint(&mut self.body, child.entries);
        put_varint(&mut self.body, child.size);
        self.account(shared, &child.last_path, INNER_BODY_WEIGHT, child.entries, child.size)
    }

    fn key(&mut self, shared: usize, path: &LogicalPath) {
        let shared = if self.count == 0 { 0 } else { shared };
        let suffix = &path.as_bytes()[shared..];
        put_varint(&mut self.body, shared as u64);
        put_varint(&mut self.body, suffix.len() as u64);
        self.body.extend_from_slice(suffix);
    }

    fn account(
        &mut self,
        shared: usize,
        path: &LogicalPath,
        body: usize,
        entries: u64,
        size: u64,
    ) -> Result<(), ManifestError> {
        let sum = |a: u64, b| a.checked_add(b).filter(|sum| *sum <= MAX_SIZE);
        self.entries = sum(self.entries, entries).ok_or(ManifestError::TooLarge)?;
        self.size = sum(self.size, size).ok_or(ManifestError::TooLarge)?;
        self.pass(shared, path);
        self.count += 1;
        self.weight += path.as_bytes().len() + body;
        Ok(())
    }

    /// Entries and bytes of the open node.
    pub(crate) fn sums(&self) -> (u64, u64) {
        (self.entries, self.size)
    }

    /// Path of the last record, for the record in the parent.
    pub(crate) fn last(&self) -> LogicalPath {
        LogicalPath::from_bytes(self.last_path()).expect("only valid paths were written")
    }

    /// The one child of the open inner node, taken as a whole tree.
    pub(crate) fn only_child(&self) -> TreeSummary {
        let mut input = Input::new(&self.body);
        let id = input
            .key(MAX_PATH_BYTES)
            .and_then(|_| input.digest())
            .expect("the record of a child was written here");
        TreeSummary::new(NodeId::from_bytes(id), self.entries, self.size)
    }

    /// Ends the node and starts the next, which knows the last path still.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.body.len() + 8);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION);
        bytes.push(self.keyed[0]);
        put_varint(&mut bytes, self.count as u64);
        bytes.extend_from_slice(&self.body);
        self.body.clear();
        self.count = 0;
        self.weight = 0;
        self.entries = 0;
        self.size = 0;
        bytes
    }
}
