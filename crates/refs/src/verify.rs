//! A body that says at its end what was verified.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::Stream;
use heirloom_manifest::{Algorithm, BlobHasher, BlobId, Digest, Reference};

use crate::error::RefsError;
use crate::handler::{BodyStream, Opened, PinKind};

/// Why a pin was not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unverified {
    /// The pin is a name that only the source can compare, and it said nothing.
    #[error("only the source could confirm it, and did not")]
    NotTold,
    /// The checksum's algorithm is not computed here.
    #[error("this algorithm is not computed here")]
    Algorithm,
}

/// What is known of a body that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// Hash of all bytes.
    pub blob: BlobId,
    /// Number of bytes.
    pub size: u64,
    /// Pins that we compared with the bytes.
    pub verified: Vec<PinKind>,
    /// Pins that hold on the source's word.
    pub confirmed: Vec<PinKind>,
    /// Pins about which nothing is known.
    pub unverified: Vec<(PinKind, Unverified)>,
}

impl Verification {
    /// Whether a checksum of the bytes themselves agreed. Otherwise at best the
    /// source says that they are the pinned ones.
    pub fn is_proven(&self) -> bool {
        self.verified.iter().any(|pin| matches!(pin, PinKind::Checksum(_)))
    }
}

/// Passes an object's bytes on, hashing them, and ends with an error unless they
/// have the pinned size and checksum. What was passed on before that error must
/// not be used: write to a temporary place.
///
/// Computed is BLAKE3; checksums by other algorithms are reported as
/// [`Unverified::Algorithm`].
pub struct VerifyingBody {
    inner: BodyStream,
    reference: Reference,
    confirmed: Vec<PinKind>,
    check_pins: bool,
    hasher: BlobHasher,
    state: State,
}

enum State {
    Reading,
    Done(Verification),
    Failed,
}

impl VerifyingBody {
    /// Verifies a body opened at its start.
    ///
    /// # Panics
    /// When `opened` does not start at 0: see [`VerifyingBody::resumed`].
    pub fn new(reference: &Reference, opened: Opened) -> Self {
        Self::resumed(reference, opened, BlobHasher::new())
    }

    /// Verifies the rest of a body whose beginning `hasher` has seen.
    ///
    /// # Panics
    /// When `opened` does not start where the hasher stands, which would give
    /// every object a wrong hash.
    pub fn resumed(reference: &Reference, opened: Opened, hasher: BlobHasher) -> Self {
        assert_eq!(opened.start, hasher.length(), "the body must start where the hasher stands");
        Self {
            inner: opened.body,
            reference: reference.clone(),
            confirmed: opened.confirmed,
            check_pins: true,
            hasher,
            state: State::Reading,
        }
    }

    /// Only hashes: for content that was opened with
    /// [`allow_drift`](crate::OpenOptions::allow_drift). Every pin is then
    /// reported as not told.
    #[must_use]
    pub fn ignoring_pins(mut self) -> Self {
        self.check_pins = false;
        self
    }

    /// The result, once the stream has ended without an error.
    pub fn verification(&self) -> Option<&Verification> {
        match &self.state {
            State::Done(verification) => Some(verification),
            _ => None,
        }
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), RefsError> {
        self.hasher.update(piece);
        match self.reference.size {
            Some(size) if self.check_pins && self.hasher.length() > size => {
                Err(RefsError::Drifted {
                    uri: self.reference.uri.clone(),
                    what: PinKind::Size,
                    expected: size.to_string(),
                    found: format!("at least {}", self.hasher.length()),
                })
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<Verification, RefsError> {
        let reference = &self.reference;
        let (blob, size) = (self.hasher.finish(), self.hasher.length());
        let (mut verified, mut unverified) = (Vec::new(), Vec::new());
        if let Some(expected) = reference.size {
            if !self.check_pins {
                unverified.push((PinKind::Size, Unverified::NotTold));
            } else if size < expected {
                let uri = reference.uri.clone();
                return Err(RefsError::Truncated { uri, received: size, expected: Some(expected) });
            } else {
                verified.push(PinKind::Size);
            }
        }
        let names = [
            (PinKind::ETag, reference.etag.is_some()),
            (PinKind::VersionId, reference.version_id.is_some()),
            (PinKind::Generation, reference.generation.is_some()),
        ];
        for (pin, is_pinned) in names {
            if is_pinned && !self.confirmed.contains(&pin) {
                unverified.push((pin, Unverified::NotTold));
            }
        }
        for checksum in &reference.checksums {
            let pin = PinKind::Checksum(checksum.algorithm());
            if checksum.algorithm() != Algorithm::Blake3 {
                unverified.push((pin, Unverified::Algorithm));
            } else if !self.check_pins {
                unverified.push((pin, Unverified::NotTold));
            } else if *checksum == Digest::from(blob) {
                verified.push(pin);
            } else {
                return Err(RefsError::DigestMismatch {
                    uri: reference.uri.clone(),
                    expected: checksum.clone(),
                    actual: blob.into(),
                });
            }
        }
        Ok(Verification { blob, size, verified, confirmed: self.confirmed.clone(), unverified })
    }
}

impl Stream for VerifyingBody {
    type Item = Result<Bytes, RefsError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !matches!(self.state, State::Reading) {
            return Poll::Ready(None);
        }
        let error = match futures::ready!(self.inner.as_mut().poll_next(cx)) {
            Some(Ok(piece)) => match self.take(&piece) {
                Ok(()) => return Poll::Ready(Some(Ok(piece))),
                Err(error) => error,
            },
            Some(Err(error)) => error,
            None => match self.finish() {
                Ok(verification) => {
                    self.state = State::Done(verification);
                    return Poll::Ready(None);
                }
                Err(error) => error,
            },
        };
        self.state = State::Failed;
        Poll::Ready(Some(Err(error)))
    }
}

impl std::fmt::Debug for VerifyingBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyingBody")
            .field("uri", &self.reference.uri)
            .field("hasher", &self.hasher)
            .finish_non_exhaustive()
    }
}
