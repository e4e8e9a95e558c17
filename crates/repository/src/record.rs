//! The version record: canonical bytes that say of a version what its catalog
//! row says, so that names can be rebuilt from storage alone (`docs/format.md` §6).

use heirloom_core::{
    Alias, ArtifactName, ArtifactType, CollectionId, EntityName, ProjectName, Provenance, RunId,
    RunName, Tag, Timestamp, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, NodeId};

use crate::codec::{Decoder, Encoder, Malformed};

const MAGIC: &[u8; 8] = b"HLMVER1\n";

/// Longest record in bytes.
pub const MAX_RECORD_BYTES: usize = 4 << 20;

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// Random identity.
    pub version: VersionId,
    /// The collection's row id, which tells a recreated collection from its namesake.
    pub collection_id: CollectionId,
    /// Number that the version is to get.
    pub index: VersionIndex,
    /// The collection's record before this one.
    pub predecessor: Option<BlobId>,
    /// Owner of the project.
    pub entity: EntityName,
    /// The project.
    pub project: ProjectName,
    /// The collection.
    pub collection: ArtifactName,
    /// Its type.
    pub artifact_type: ArtifactType,
    /// Root of the manifest tree.
    pub root: NodeId,
    /// Number of entries.
    pub entries: u64,
    /// Sum of the entries' sizes.
    pub size: u64,
    /// When it was committed.
    pub created_at: Timestamp,
    /// Who logged it.
    pub actor: String,
    /// Free text.
    pub description: Option<String>,
    /// A JSON object as text.
    pub metadata: Option<String>,
    /// Lifetime.
    pub ttl: Ttl,
    /// The run that logged it.
    pub run: Option<RecordedRun>,
    /// What is known of its making.
    pub provenance: Provenance,
    /// Aliases asked for at commit, ascending.
    pub aliases: Vec<Alias>,
    /// Tags asked for at commit, ascending.
    pub tags: Vec<Tag>,
    /// Blobs beside the tree.
    pub attachments: Vec<BlobId>,
}

/// A run as a record keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRun {
    /// Random identity.
    pub id: RunId,
    /// Its id in the project.
    pub name: RunName,
    /// Name shown to people.
    pub display_name: String,
    /// What kind of work it was.
    pub job_type: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// Versions that it had used by then, ascending.
    pub used: Vec<VersionId>,
}

/// Why bytes are not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a version record: {0}")]
pub struct RecordError(pub &'static str);

impl From<Malformed> for RecordError {
    fn from(Malformed(what): Malformed) -> Self {
        Self(what)
    }
}

impl VersionRecord {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new(MAGIC);
        out.u64(self.version.get());
        out.u64(self.collection_id.0 as u64);
        out.varint(self.index.get());
        out.optional(self.predecessor.as_ref(), |out, id| out.raw(id.as_bytes()));
        out.text(self.entity.as_str());
        out.text(self.project.as_str());
        out.text(self.collection.as_str());
        out.text(self.artifact_type.as_str());
        out.raw(self.root.as_bytes());
        out.varint(self.entries);
        out.varint(self.size);
        out.u64(self.created_at.micros() as u64);
        out.text(&self.actor);
        out.optional(self.description.as_ref(), |out, text| out.text(text));
        out.optional(self.metadata.as_ref(), |out, text| out.text(text));
        out.lifetime(self.ttl);
        out.optional(self.run.as_ref(), |out, run| {
            out.u64(run.id.get());
            out.text(run.name.as_str());
            out.text(&run.display_name);
            out.optional(run.job_type.as_ref(), |out, text| out.text(text));
            out.optional(run.group.as_ref(), |out, text| out.text(text));
            out.list(&run.used, |out, id| out.u64(id.get()));
        });
        out.provenance(&self.provenance);
        out.list(&self.aliases, |out, alias| out.text(alias.as_str()));
        out.list(&self.tags, |out, tag| out.text(tag.as_str()));
        out.list(&self.attachments, |out, id| out.raw(id.as_bytes()));
        out.finish()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`RecordError`] for anything that [`VersionRecord::encode`] would not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError("longer than 4 MiB"));
        }
        let mut input = Decoder::new(bytes);
        if input.raw::<8>()? != *MAGIC {
            return Err(RecordError("other magic"));
        }
        let record = Self {
            version: VersionId::from_random(input.id63()?),
            collection_id: CollectionId(input.id63()? as i64),
            index: VersionIndex::new(input.varint()?),
            predecessor: input.optional(|input| Ok(BlobId::from_bytes(input.raw()?)))?,
            entity: input.name(EntityName::new)?,
            project: input.name(ProjectName::new)?,
            collection: input.name(ArtifactName::new)?,
            artifact_type: input.name(ArtifactType::new)?,
            root: NodeId::from_bytes(input.raw()?),
            entries: input.varint()?,
            size: input.varint()?,
            created_at: Timestamp::from_micros(i64::from_le_bytes(input.raw()?)),
            actor: input.text()?,
            description: input.optional(Decoder::text)?,
            metadata: input.optional(Decoder::text)?,
            ttl: input.lifetime()?,
            run: input.optional(|input| {
                Ok(RecordedRun {
                    id: RunId::from_random(input.id63()?),
                    name: input.name(RunName::new)?,
                    display_name: input.text()?,
                    job_type: input.optional(Decoder::text)?,
                    group: input.optional(Decoder::text)?,
                    used: input.ascending(|input| Ok(VersionId::from_random(input.id63()?)))?,
                })
            })?,
            provenance: input.provenance()?,
            aliases: input.ascending(|input| input.name(Alias::new))?,
            tags: input.ascending(|input| input.name(Tag::new))?,
            attachments: input.list(|input| Ok(BlobId::from_bytes(input.raw()?)))?,
        };
        input.end()?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn sample() -> VersionRecord {
        VersionRecord {
            version: VersionId::from_random(7),
            collection_id: CollectionId(9),
            index: VersionIndex::new(300),
            predecessor: Some(BlobId::of(b"before")),
            entity: EntityName::local(),
            project: ProjectName::default_name(),
            collection: ArtifactName::new("animals").unwrap(),
            artifact_type: ArtifactType::new("dataset").unwrap(),
            root: NodeId::of(b"root"),
            entries: 2,
            size: 3_000_000,
            created_at: Timestamp::from_micros(1_790_000_000_000_000),
            actor: "ann".to_owned(),
            description: Some("two\nlines".to_owned()),
            metadata: None,
            ttl: Ttl::Seconds(86_400),
            run: Some(RecordedRun {
                id: RunId::from_random(8),
                name: RunName::new("abcd1234").unwrap(),
                display_name: "first".to_owned(),
                job_type: Some("train".to_owned()),
                group: None,
                used: vec![VersionId::from_random(3), VersionId::from_random(5)],
            }),
            provenance: Provenance {
                host: Some("box".to_owned()),
                command: vec!["python".to_owned(), "train.py".to_owned()],
                git_dirty: Some(true),
                ..Provenance::default()
            },
            aliases: vec![Alias::new("best").unwrap(), Alias::new("prod").unwrap()],
            tags: vec![],
            attachments: vec![BlobId::of(b"beside")],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let record = sample();
        assert_eq!(VersionRecord::decode(&record.encode()), Ok(record));
    }

    /// The vector of `docs/format.md` §6 is this sample.
    #[test]
    fn the_format_page_shows_these_bytes() {
        let page = include_str!("../../../docs/format.md");
        let (_, section) = page.split_once("## 6. Version records").unwrap();
        let (_, vector) = section.split_once("```text record\n").unwrap();
        let (vector, _) = vector.split_once("```").unwrap();
        let shown: String = vector.split_whitespace().collect();
        let bytes = sample().encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, hex, "BLAKE3 {}", BlobId::of(&bytes));
    }

    #[test]
    fn every_cut_and_every_surplus_is_refused() {
        let bytes = sample().encode();
        for length in 0..bytes.len() {
            assert!(VersionRecord::decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        assert!(VersionRecord::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    proptest! {
        /// Whatever is accepted is canonical: it encodes to the same bytes.
        #[test]
        fn accepted_bytes_are_canonical(at in 0usize..300, byte: u8) {
            let mut bytes = sample().encode();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(record) = VersionRecord::decode(&bytes) {
                prop_assert_eq!(record.encode(), bytes);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(tail: Vec<u8>) {
            let _ = VersionRecord::decode(&[&MAGIC[..], &tail].concat());
        }
    }
}
