//! One entry's bytes, as a stream that can seek.

use std::io::{self, Read, Seek, SeekFrom};

use futures::StreamExt;
use heirloom_api::Downloader;
use heirloom_manifest::{BlobId, Reference};
use heirloom_refs::{OpenOptions, VerifyingBody};

use crate::{Client, Result};

/// Reads one file of a version. Blocking: use it on a thread that may block,
/// such as one of `tokio::task::spawn_blocking`.
///
/// Read from the start to the end it fails at the end unless the bytes are the
/// ones that were logged; what is read after seeking into a large file is
/// checked only as far as the store checks ranges.
pub struct EntryReader {
    source: Source,
    stream: Option<Box<dyn Read + Send>>,
    size: u64,
    position: u64,
}

enum Source {
    Blob {
        downloader: Box<dyn Downloader>,
        blob: BlobId,
    },
    /// Read once from the start; what is seeked over is read and dropped.
    Reference,
}

impl std::fmt::Debug for EntryReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EntryReader")
            .field("size", &self.size)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl EntryReader {
    pub(crate) fn blob(downloader: Box<dyn Downloader>, blob: BlobId, size: u64) -> Self {
        Self { source: Source::Blob { downloader, blob }, stream: None, size, position: 0 }
    }

    /// Opens the pinned content of a reference where it is.
    pub(crate) async fn reference(client: &Client, reference: &Reference) -> Result<Self> {
        let opened = client.references()?.open(reference, &OpenOptions::default()).await?;
        let size = reference.size.or(opened.length);
        let stream = BodyReader {
            body: VerifyingBody::new(reference, opened),
            piece: Vec::new().into(),
            runtime: tokio::runtime::Handle::current(),
        };
        Ok(Self {
            source: Source::Reference,
            stream: Some(Box::new(stream)),
            size: size.unwrap_or(u64::MAX),
            position: 0,
        })
    }

    /// Length in bytes; `None` for a reference whose length nobody tells.
    pub fn size(&self) -> Option<u64> {
        (self.size != u64::MAX).then_some(self.size)
    }
}

impl Read for EntryReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.stream.is_none() {
            let Source::Blob { downloader, blob } = &mut self.source else { return Ok(0) };
            if self.position >= self.size && self.position > 0 {
                return Ok(0);
            }
            let stream = downloader
                .open(blob, self.size, self.position)
                .map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem))?;
            self.stream = Some(stream);
        }
        let Some(stream) = &mut self.stream else { return Ok(0) };
        let n = stream.read(buf)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for EntryReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let target = match to {
            SeekFrom::Start(target) => Some(target),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.size().ok_or_else(invalid)?.checked_add_signed(by),
        }
        .ok_or_else(invalid)?;
        match &self.source {
            _ if target == self.position => {}
            Source::Blob { .. } => {
                self.stream = None;
                self.position = target;
            }
            Source::Reference if target > self.position => {
                let skip = target - self.position;
                io::copy(&mut self.by_ref().take(skip), &mut io::sink())?;
            }
            Source::Reference => return Err(io::ErrorKind::Unsupported.into()),
        }
        Ok(self.position)
    }
}

/// A reference's body, read by a blocking thread.
pub(crate) struct BodyReader {
    pub(crate) body: VerifyingBody,
    piece: bytes::Bytes,
    runtime: tokio::runtime::Handle,
}

impl Read for BodyReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.body.next()) {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
                None => return Ok(0),
            }
        }
        let n = buf.len().min(self.piece.len());
        buf[..n].copy_from_slice(&self.piece[..n]);
        let _ = self.piece.split_to(n);
        Ok(n)
    }
}
