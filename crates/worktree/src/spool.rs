//! The spool: a scan on file, to be gone through again without scanning again
//! and without holding it in memory.

use std::io::{Read, Write};

use heirloom_manifest::LogicalPath;

use crate::cache::damaged;
use crate::error::Error;
use crate::record::{FileKind, Header, Record, RecordReader, RecordWriter};
use crate::scan::{ScanEntry, ScanKind};

/// Writes scan entries, in the order in which the scan gives them, into any
/// `Write` (buffer it; some tens of bytes an entry).
///
/// ```
/// use heirloom_worktree::{ScanEntry, ScanKind, SpoolReader, SpoolWriter};
/// let mut spool = SpoolWriter::new(Vec::new())?;
/// spool.push(&ScanEntry { path: "empty".parse()?, kind: ScanKind::EmptyDirectory })?;
/// let bytes = spool.finish()?;
/// let back: Vec<_> = SpoolReader::new(&bytes[..])?.collect::<Result<_, _>>()?;
/// assert_eq!(back[0].path.as_str(), "empty");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SpoolWriter<W: Write> {
    writer: RecordWriter<W>,
}

impl<W: Write> SpoolWriter<W> {
    /// Starts a spool.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(out: W) -> Result<Self, Error> {
        let header =
            Header { kind: FileKind::Spool, started_ns: 0, root_inode: 0, root_path: Vec::new() };
        let writer =
            RecordWriter::new(out, &header).map_err(|e| Error::io("write", "scan record", e))?;
        Ok(Self { writer })
    }

    /// Appends one entry.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] unless paths ascend; [`Error::Io`].
    pub fn push(&mut self, entry: &ScanEntry) -> Result<(), Error> {
        let record = match entry.kind {
            ScanKind::File { stat, known } => Record::File { stat, known },
            ScanKind::EmptyDirectory => Record::EmptyDirectory,
        };
        match self.writer.push(&entry.path, &record) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::OutOfOrder { path: entry.path.as_str().into() }),
            Err(source) => Err(Error::io("write", "scan record", source)),
        }
    }

    /// Writes the end, flushes, and gives the output back (to be rewound and
    /// read, when it is a file).
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(self) -> Result<W, Error> {
        self.writer.finish().map_err(|e| Error::io("write", "scan record", e))
    }
}

/// Reads a spool from its beginning, in order. Unlike a cache a spool must be
/// whole: damage is an error, after which the iterator ends.
#[derive(Debug)]
pub struct SpoolReader<R: Read> {
    reader: RecordReader<R>,
}

impl<R: Read> SpoolReader<R> {
    /// Reads the header. Buffer the input.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is not a spool; [`Error::Io`].
    pub fn new(input: R) -> Result<Self, Error> {
        let (header, reader) = RecordReader::new(input).map_err(damaged)?;
        match header.kind {
            FileKind::Spool => Ok(Self { reader }),
            FileKind::Cache => Err(Error::Corrupt { what: "it is a stat cache, not a spool" }),
        }
    }
}

impl<R: Read> Iterator for SpoolReader<R> {
    type Item = Result<ScanEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.reader.next() {
            Ok(Some(record)) => record,
            Ok(None) => return None,
            Err(fault) => return Some(Err(damaged(fault))),
        };
        let kind = match record {
            Record::EmptyDirectory => ScanKind::EmptyDirectory,
            Record::File { stat, known } => ScanKind::File { stat, known },
        };
        Some(match LogicalPath::from_bytes(self.reader.path()) {
            Ok(path) => Ok(ScanEntry { path, kind }),
            Err(_) => Err(Error::Corrupt { what: "a path is not valid" }),
        })
    }
}
