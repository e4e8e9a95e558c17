//! Checksums of rows that matter: names, numbers and what they stand for. A
//! database page can rot without the database noticing; these rows say so.
//!
//! A checksum is the first 16 bytes of BLAKE3 over the table's name and every
//! field in the order of the struct: integers as 8 bytes little-endian, texts and
//! bytes with their length before them, optional fields after a byte 0 or 1.

use heirloom_core::{Timestamp, Ttl};

use crate::row::{
    AliasRow, CollectionKind, CollectionRow, MembershipRow, VersionRow, VersionState,
};

/// A row's checksum.
pub(crate) type Checksum = [u8; 16];

pub(crate) fn collection(row: &CollectionRow) -> Checksum {
    let mut fold = Fold::new("collection");
    fold.int(row.id.0).int(row.project.0);
    fold.text(row.name.as_str()).text(row.artifact_type.as_str());
    fold.int(match row.kind {
        CollectionKind::Sequence => 0,
        CollectionKind::Portfolio => 1,
    });
    fold.optional(row.description.as_deref(), |fold, text| {
        fold.text(text);
    });
    fold.ttl(row.ttl).unsigned(row.next_index.get());
    fold.optional(row.last_record.as_ref(), |fold, id| {
        fold.bytes(id.as_bytes());
    });
    fold.time(row.created_at);
    fold.optional(row.deleted_at, |fold, at| {
        fold.time(at);
    });
    // Rows of format 1 have none, and keep their checksum.
    if let Some(retention) = row.retention {
        fold.optional(retention.keep_last, |fold, count| {
            fold.unsigned(count);
        });
        fold.optional(retention.younger_than, |fold, seconds| {
            fold.unsigned(seconds);
        });
        fold.int(retention.aliased.into()).int(retention.tagged.into());
        fold.int(retention.used.into());
    }
    fold.finish()
}

pub(crate) fn version(row: &VersionRow) -> Checksum {
    let mut fold = Fold::new("version");
    fold.unsigned(row.id.get()).int(row.collection.0).unsigned(row.index.get());
    fold.bytes(row.digest.as_bytes()).bytes(row.root.as_bytes());
    fold.unsigned(row.entries).unsigned(row.size);
    for text in [&row.description, &row.metadata] {
        fold.optional(text.as_deref(), |fold, text| {
            fold.text(text);
        });
    }
    fold.ttl(row.ttl).time(row.created_at).text(&row.actor);
    fold.optional(row.run, |fold, run| {
        fold.unsigned(run.get());
    });
    let from = &row.provenance;
    for text in [&from.host, &from.git_commit, &from.git_remote] {
        fold.optional(text.as_deref(), |fold, text| {
            fold.text(text);
        });
    }
    fold.optional(from.git_dirty, |fold, dirty| {
        fold.int(dirty.into());
    });
    fold.unsigned(from.command.len() as u64);
    for argument in &from.command {
        fold.text(argument);
    }
    fold.bytes(row.record.as_bytes());
    fold.unsigned(row.attachments.len() as u64);
    for blob in &row.attachments {
        fold.bytes(blob.as_bytes());
    }
    match row.state {
        VersionState::Committed => fold.int(0),
        VersionState::Deleted { at, purge_after } => fold.int(1).time(at).time(purge_after),
        VersionState::Purged => fold.int(2),
    };
    fold.finish()
}

pub(crate) fn membership(row: &MembershipRow) -> Checksum {
    let mut fold = Fold::new("membership");
    fold.int(row.collection.0).unsigned(row.index.get()).unsigned(row.version.get());
    fold.time(row.created_at);
    fold.finish()
}

pub(crate) fn alias(row: &AliasRow) -> Checksum {
    let mut fold = Fold::new("alias");
    fold.int(row.collection.0).text(row.alias.as_str()).unsigned(row.index.get());
    fold.int(row.protected.into());
    fold.finish()
}

struct Fold(blake3::Hasher);

impl Fold {
    fn new(table: &str) -> Self {
        let mut fold = Self(blake3::Hasher::new());
        fold.text(table);
        fold
    }

    fn int(&mut self, value: i64) -> &mut Self {
        self.0.update(&value.to_le_bytes());
        self
    }

    fn unsigned(&mut self, value: u64) -> &mut Self {
        self.0.update(&value.to_le_bytes());
        self
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.unsigned(bytes.len() as u64);
        self.0.update(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn time(&mut self, at: Timestamp) -> &mut Self {
        self.int(at.micros())
    }

    fn ttl(&mut self, ttl: Ttl) -> &mut Self {
        match ttl {
            Ttl::Inherit => self.int(0),
            Ttl::Never => self.int(1),
            Ttl::Seconds(seconds) => self.int(2).unsigned(seconds),
        }
    }

    fn optional<T>(&mut self, value: Option<T>, some: impl FnOnce(&mut Self, T)) -> &mut Self {
        match value {
            None => {
                self.0.update(&[0]);
            }
            Some(value) => {
                self.0.update(&[1]);
                some(self, value);
            }
        }
        self
    }

    fn finish(&self) -> Checksum {
        let mut short = Checksum::default();
        short.copy_from_slice(&self.0.finalize().as_bytes()[..16]);
        short
    }
}
