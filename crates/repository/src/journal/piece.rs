//! A sealed piece of a project's journal: canonical bytes that say what happened
//! and what stands afterwards, so that what version records do not know can be
//! rebuilt from storage alone (`docs/format.md` §8).

use heirloom_catalog::{
    AliasRow, CollectionKind, CollectionRow, EdgeKind, EdgeRow, EventKind, EventRow, RunRow,
    VersionRow, VersionState,
};
use heirloom_core::{
    Alias, ArtifactName, ArtifactType, CollectionId, EntityName, ProjectId, ProjectName, Retention,
    RunId, RunName, RunState, Tag, Timestamp, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId, NodeId};

use crate::codec::{Decoder, Encoder, Malformed};

const MAGIC: &[u8; 8] = b"HLMJRN1\n";

/// Longest piece in bytes: what fits into a pack.
pub const MAX_PIECE_BYTES: usize = 16 << 20;

/// One piece. Every list is ascending by its key, without duplicates. What it
/// says of collections, versions, places, aliases and runs is how they stood when
/// it was written: at its last event or later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Owner of the project.
    pub entity: EntityName,
    /// The project.
    pub project: ProjectName,
    /// When the project was made.
    pub created_at: Timestamp,
    /// The project's lifetime for versions.
    pub ttl: Ttl,
    /// Grows with every rebuild of the catalog, which begins the journal anew.
    pub generation: u64,
    /// The piece before it, of the same project and generation.
    pub previous: Option<BlobId>,
    /// Collections of the events. Their `project` is 0 here.
    pub collections: Vec<CollectionRow>,
    /// Old names, and the collections that they lead to, if they still do.
    pub redirects: Vec<(ArtifactName, Option<CollectionId>)>,
    /// Versions of the events.
    pub versions: Vec<PieceVersion>,
    /// Places of the events: who is there.
    pub places: Vec<Place>,
    /// Aliases of the events: where they are.
    pub aliases: Vec<PlacedAlias>,
    /// Runs of the events.
    pub runs: Vec<PieceRun>,
    /// Edges of the events, by run, kind and version.
    pub edges: Vec<EdgeRow>,
    /// What happened, at least one event.
    pub events: Vec<EventRow>,
}

/// A version as a piece has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceVersion {
    /// The row, without description and metadata.
    pub row: VersionRow,
    /// Description and metadata, where the version record may not have them: they
    /// were edited, or the record is gone.
    pub texts: Option<(Option<String>, Option<String>)>,
    /// Its tags, ascending.
    pub tags: Vec<Tag>,
}

/// A number of a collection, and the version there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The collection.
    pub collection: CollectionId,
    /// The number.
    pub index: VersionIndex,
    /// The version and since when it is there; `None` when it was taken away.
    pub holds: Option<(VersionId, Timestamp)>,
}

/// An alias, and the number that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedAlias {
    /// The collection.
    pub collection: CollectionId,
    /// The alias.
    pub alias: Alias,
    /// The number and whether it is protected; `None` when there is no such alias.
    pub at: Option<(VersionIndex, bool)>,
}

impl PlacedAlias {
    pub(crate) fn row(&self) -> Option<AliasRow> {
        self.at.map(|(index, protected)| AliasRow {
            collection: self.collection,
            alias: self.alias.clone(),
            index,
            protected,
        })
    }
}

/// A run, which may be of another project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceRun {
    /// Owner of its project.
    pub entity: EntityName,
    /// Its project.
    pub project: ProjectName,
    /// The row. Its `project` is 0 here.
    pub row: RunRow,
}

/// Why bytes are not a piece of the journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a piece of the journal: {0}")]
pub struct PieceError(pub &'static str);

impl From<Malformed> for PieceError {
    fn from(Malformed(what): Malformed) -> Self {
        Self(what)
    }
}

impl Piece {
    /// Number of its last event; 0 in a piece without events, which is invalid.
    pub fn last(&self) -> u64 {
        self.events.last().map_or(0, |event| event.seq)
    }

    /// Number of its first event.
    pub fn first(&self) -> u64 {
        self.events.first().map_or(0, |event| event.seq)
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new(MAGIC);
        out.text(self.entity.as_str());
        out.text(self.project.as_str());
        out.i64(self.created_at.micros());
        out.lifetime(self.ttl);
        out.varint(self.generation);
        out.optional(self.previous.as_ref(), |out, id| out.raw(id.as_bytes()));
        out.list(&self.collections, put_collection);
        out.list(&self.redirects, |out, (old, to)| {
            out.text(old.as_str());
            out.optional(*to, |out, id| out.i64(id.0));
        });
        out.list(&self.versions, put_version);
        out.list(&self.places, |out, place| {
            out.i64(place.collection.0);
            out.varint(place.index.get());
            out.optional(place.holds, |out, (version, at)| {
                out.u64(version.get());
                out.i64(at.micros());
            });
        });
        out.list(&self.aliases, |out, alias| {
            out.i64(alias.collection.0);
            out.text(alias.alias.as_str());
            out.optional(alias.at, |out, (index, protected)| {
                out.varint(index.get());
                out.raw(&[u8::from(protected)]);
            });
        });
        out.list(&self.runs, put_run);
        out.list(&self.edges, |out, edge| {
            out.u64(edge.run.get());
            out.raw(&[match edge.kind {
                EdgeKind::Produced => 0,
                EdgeKind::Used => 1,
            }]);
            out.u64(edge.version.get());
            out.i64(edge.at.micros());
            out.optional(edge.asked.as_ref(), |out, text| out.text(text));
        });
        out.list(&self.events, |out, event| {
            out.varint(event.seq);
            out.i64(event.at.micros());
            out.text(&event.actor);
            out.text(event.kind.as_str());
            out.i64(event.collection.0);
            out.optional(event.index, |out, index| out.varint(index.get()));
            out.optional(event.run, |out, run| out.u64(run.get()));
            out.text(&event.detail);
        });
        out.finish()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`PieceError`] for anything that [`Piece::encode`] would not write.
    pub fn decode(bytes: &[u8]) -> Result<Self, PieceError> {
        if bytes.len() > MAX_PIECE_BYTES {
            return Err(PieceError("longer than 16 MiB"));
        }
        let mut input = Decoder::new(bytes);
        if input.raw::<8>()? != *MAGIC {
            return Err(PieceError("other magic"));
        }
        let piece = Self {
            entity: input.name(EntityName::new)?,
            project: input.name(ProjectName::new)?,
            created_at: time(&mut input)?,
            ttl: input.lifetime()?,
            generation: input.varint()?,
            previous: input.optional(|input| Ok(BlobId::from_bytes(input.raw()?)))?,
            collections: input.ascending_by(collection, |a, b| a.id < b.id)?,
            redirects: input.ascending_by(
                |input| Ok((input.name(ArtifactName::new)?, input.optional(collection_id)?)),
                |a, b| a.0.as_str() < b.0.as_str(),
            )?,
            versions: input.ascending_by(version, |a, b| a.row.id < b.row.id)?,
            places: input.ascending_by(
                |input| {
                    Ok(Place {
                        collection: collection_id(input)?,
                        index: VersionIndex::new(input.varint()?),
                        holds: input.optional(|input| Ok((version_id(input)?, time(input)?)))?,
                    })
                },
                |a, b| (a.collection, a.index) < (b.collection, b.index),
            )?,
            aliases: input.ascending_by(
                |input| {
                    Ok(PlacedAlias {
                        collection: collection_id(input)?,
                        alias: input.name(Alias::new)?,
                        at: input.optional(|input| {
                            Ok((VersionIndex::new(input.varint()?), input.flag()?))
                        })?,
                    })
                },
                |a, b| (a.collection, a.alias.as_str()) < (b.collection, b.alias.as_str()),
            )?,
            runs: input.ascending_by(run, |a, b| a.row.id < b.row.id)?,
            edges: input.ascending_by(edge, |a, b| {
                (a.run, a.kind, a.version) < (b.run, b.kind, b.version)
            })?,
            events: input.ascending_by(event, |a, b| a.seq < b.seq)?,
        };
        input.end()?;
        if piece.events.is_empty() {
            return Err(PieceError("no events"));
        }
        let known = |event: &EventRow| {
            piece.collections.binary_search_by_key(&event.collection, |row| row.id).is_ok()
        };
        if !piece.events.iter().all(known) {
            return Err(PieceError("an event of a collection that is not named"));
        }
        Ok(piece)
    }
}

fn put_collection(out: &mut Encoder, row: &CollectionRow) {
    out.i64(row.id.0);
    out.text(row.name.as_str());
    out.text(row.artifact_type.as_str());
    out.raw(&[match row.kind {
        CollectionKind::Sequence => 0,
        CollectionKind::Portfolio => 1,
    }]);
    out.optional(row.description.as_ref(), |out, text| out.text(text));
    out.lifetime(row.ttl);
    out.optional(row.retention, |out, retention| out.text(&retention_text(&retention)));
    out.varint(row.next_index.get());
    out.optional(row.last_record.as_ref(), |out, id| out.raw(id.as_bytes()));
    out.i64(row.created_at.micros());
    out.optional(row.deleted_at, |out, at| out.i64(at.micros()));
}

fn retention_text(retention: &Retention) -> String {
    serde_json::to_string(retention).expect("plain fields always serialise")
}

fn collection(input: &mut Decoder<'_>) -> Result<CollectionRow, Malformed> {
    Ok(CollectionRow {
        id: collection_id(input)?,
        project: ProjectId(0),
        name: input.name(ArtifactName::new)?,
        artifact_type: input.name(ArtifactType::new)?,
        kind: match input.flag()? {
            false => CollectionKind::Sequence,
            true => CollectionKind::Portfolio,
        },
        description: input.optional(Decoder::text)?,
        ttl: input.lifetime()?,
        retention: input.optional(|input| {
            let text = input.text()?;
            serde_json::from_str(&text)
                .ok()
                .filter(|retention| retention_text(retention) == text)
                .ok_or(Malformed("unknown retention"))
        })?,
        next_index: VersionIndex::new(input.varint()?),
        last_record: input.optional(|input| Ok(BlobId::from_bytes(input.raw()?)))?,
        created_at: time(input)?,
        deleted_at: input.optional(time)?,
    })
}

fn put_version(out: &mut Encoder, PieceVersion { row, texts, tags }: &PieceVersion) {
    out.u64(row.id.get());
    out.i64(row.collection.0);
    out.varint(row.index.get());
    out.raw(row.root.as_bytes());
    out.varint(row.entries);
    out.varint(row.size);
    out.lifetime(row.ttl);
    out.i64(row.created_at.micros());
    out.text(&row.actor);
    out.optional(row.run, |out, run| out.u64(run.get()));
    out.provenance(&row.provenance);
    out.raw(row.record.as_bytes());
    out.list(&row.attachments, |out, id| out.raw(id.as_bytes()));
    match row.state {
        VersionState::Committed => out.raw(&[0]),
        VersionState::Deleted { at, purge_after } => {
            out.raw(&[1]);
            out.i64(at.micros());
            out.i64(purge_after.micros());
        }
        VersionState::Purged => out.raw(&[2]),
    }
    out.optional(texts.as_ref(), |out, (description, metadata)| {
        out.optional(description.as_ref(), |out, text| out.text(text));
        out.optional(metadata.as_ref(), |out, text| out.text(text));
    });
    out.list(tags, |out, tag| out.text(tag.as_str()));
}

fn version(input: &mut Decoder<'_>) -> Result<PieceVersion, Malformed> {
    let id = version_id(input)?;
    let collection = collection_id(input)?;
    let index = VersionIndex::new(input.varint()?);
    let root = NodeId::from_bytes(input.raw()?);
    let row = VersionRow {
        id,
        collection,
        index,
        digest: ManifestId::of_root(&root),
        root,
        entries: input.varint()?,
        size: input.varint()?,
        description: None,
        metadata: None,
        ttl: input.lifetime()?,
        created_at: time(input)?,
        actor: input.text()?,
        run: input.optional(run_id)?,
        provenance: input.provenance()?,
        record: BlobId::from_bytes(input.raw()?),
        attachments: input.list(|input| Ok(BlobId::from_bytes(input.raw()?)))?,
        state: match input.raw::<1>()? {
            [0] => VersionState::Committed,
            [1] => VersionState::Deleted { at: time(input)?, purge_after: time(input)? },
            [2] => VersionState::Purged,
            _ => return Err(Malformed("unknown state")),
        },
    };
    Ok(PieceVersion {
        row,
        texts: input.optional(|input| {
            Ok((input.optional(Decoder::text)?, input.optional(Decoder::text)?))
        })?,
        tags: input.ascending(|input| input.name(Tag::new))?,
    })
}

fn put_run(out: &mut Encoder, PieceRun { entity, project, row }: &PieceRun) {
    out.u64(row.id.get());
    out.text(entity.as_str());
    out.text(project.as_str());
    out.text(row.name.as_str());
    out.text(&row.display_name);
    for text in [&row.job_type, &row.group, &row.config, &row.summary] {
        out.optional(text.as_ref(), |out, text| out.text(text));
    }
    out.text(row.state.as_str());
    out.optional(row.exit_code, |out, code| out.i64(code.into()));
    out.i64(row.started_at.micros());
    out.optional(row.ended_at, |out, at| out.i64(at.micros()));
    out.text(&row.actor);
    out.provenance(&row.provenance);
}

fn run(input: &mut Decoder<'_>) -> Result<PieceRun, Malformed> {
    let id = run_id(input)?;
    let (entity, project) = (input.name(EntityName::new)?, input.name(ProjectName::new)?);
    let row = RunRow {
        id,
        project: ProjectId(0),
        name: input.name(RunName::new)?,
        display_name: input.text()?,
        job_type: input.optional(Decoder::text)?,
        group: input.optional(Decoder::text)?,
        config: input.optional(Decoder::text)?,
        summary: input.optional(Decoder::text)?,
        state: {
            let word = input.text()?;
            [RunState::Running, RunState::Finished, RunState::Failed, RunState::Crashed]
                .into_iter()
                .find(|state| state.as_str() == word)
                .ok_or(Malformed("unknown state of a run"))?
        },
        exit_code: input.optional(|input| {
            i32::try_from(input.i64()?).map_err(|_| Malformed("exit code out of range"))
        })?,
        started_at: time(input)?,
        ended_at: input.optional(time)?,
        actor: input.text()?,
        provenance: input.provenance()?,
    };
    Ok(PieceRun { entity, project, row })
}

fn edge(input: &mut Decoder<'_>) -> Result<EdgeRow, Malformed> {
    Ok(EdgeRow {
        run: run_id(input)?,
        kind: match input.flag()? {
            false => EdgeKind::Produced,
            true => EdgeKind::Used,
        },
        version: version_id(input)?,
        at: time(input)?,
        asked: input.optional(Decoder::text)?,
    })
}

fn event(input: &mut Decoder<'_>) -> Result<EventRow, Malformed> {
    Ok(EventRow {
        seq: input.varint()?,
        at: time(input)?,
        actor: input.text()?,
        kind: EventKind::from_word(&input.text()?).ok_or(Malformed("unknown event"))?,
        collection: collection_id(input)?,
        index: input.optional(|input| Ok(VersionIndex::new(input.varint()?)))?,
        run: input.optional(run_id)?,
        detail: input.text()?,
    })
}

fn time(input: &mut Decoder<'_>) -> Result<Timestamp, Malformed> {
    Ok(Timestamp::from_micros(input.i64()?))
}

fn collection_id(input: &mut Decoder<'_>) -> Result<CollectionId, Malformed> {
    Ok(CollectionId(input.id63()? as i64))
}

fn version_id(input: &mut Decoder<'_>) -> Result<VersionId, Malformed> {
    Ok(VersionId::from_random(input.id63()?))
}

fn run_id(input: &mut Decoder<'_>) -> Result<RunId, Malformed> {
    Ok(RunId::from_random(input.id63()?))
}
