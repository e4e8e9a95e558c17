//! The sealed journal: what version records do not know, in the store.

mod piece;
mod seal;

pub use piece::{MAX_PIECE_BYTES, Piece, PieceError, PieceRun, PieceVersion, Place, PlacedAlias};
pub(crate) use seal::{after_commit, seal, seal_generation};

#[cfg(test)]
mod tests;
