use heirloom_catalog::{
    CollectionKind, CollectionRow, EdgeKind, EdgeRow, EventKind, EventRow, RunRow, VersionRow,
    VersionState,
};
use heirloom_core::{
    Alias, ArtifactName, ArtifactType, CollectionId, EntityName, ProjectId, ProjectName,
    Provenance, Retention, RunId, RunName, RunState, Tag, Timestamp, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId, NodeId};
use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000 + seconds * 1_000_000)
}

/// The piece that `docs/format.md` shows.
fn sample() -> Piece {
    let collection = CollectionId(9);
    let (run, version) = (RunId::from_random(8), VersionId::from_random(7));
    let root = NodeId::of(b"root");
    let event = |seq, kind, index, run, detail: &str| EventRow {
        seq,
        at: at(seq as i64),
        actor: "ann".to_owned(),
        kind,
        collection,
        index,
        run,
        detail: detail.to_owned(),
    };
    let first = Some(VersionIndex::ZERO);
    Piece {
        entity: EntityName::local(),
        project: ProjectName::default_name(),
        created_at: at(0),
        ttl: Ttl::Inherit,
        generation: 1,
        previous: Some(BlobId::of(b"before")),
        collections: vec![CollectionRow {
            id: collection,
            project: ProjectId(0),
            name: ArtifactName::new("animals").unwrap(),
            artifact_type: ArtifactType::new("dataset").unwrap(),
            kind: CollectionKind::Sequence,
            description: None,
            ttl: Ttl::Never,
            retention: Some(Retention { keep_last: Some(3), ..Retention::default() }),
            next_index: VersionIndex::new(1),
            last_record: Some(BlobId::of(b"record")),
            created_at: at(1),
            deleted_at: None,
        }],
        redirects: vec![(ArtifactName::new("beasts").unwrap(), Some(collection))],
        versions: vec![PieceVersion {
            row: VersionRow {
                id: version,
                collection,
                index: VersionIndex::ZERO,
                digest: ManifestId::of_root(&root),
                root,
                entries: 2,
                size: 3_000_000,
                description: None,
                metadata: None,
                ttl: Ttl::Seconds(86_400),
                created_at: at(1),
                actor: "ann".to_owned(),
                run: Some(run),
                provenance: Provenance::default(),
                record: BlobId::of(b"record"),
                attachments: vec![],
                state: VersionState::Committed,
            },
            texts: Some((Some("edited".to_owned()), None)),
            tags: vec![Tag::new("small").unwrap()],
        }],
        places: vec![Place {
            collection,
            index: VersionIndex::ZERO,
            holds: Some((version, at(1))),
        }],
        aliases: vec![
            PlacedAlias { collection, alias: Alias::new("best").unwrap(), at: None },
            PlacedAlias {
                collection,
                alias: Alias::latest(),
                at: Some((VersionIndex::ZERO, false)),
            },
        ],
        runs: vec![PieceRun {
            entity: EntityName::local(),
            project: ProjectName::default_name(),
            row: RunRow {
                id: run,
                project: ProjectId(0),
                name: RunName::new("abcd1234").unwrap(),
                display_name: "first".to_owned(),
                job_type: None,
                group: None,
                config: Some("{\"lr\":0.1}".to_owned()),
                summary: None,
                state: RunState::Finished,
                exit_code: Some(0),
                started_at: at(0),
                ended_at: Some(at(9)),
                actor: "ann".to_owned(),
                provenance: Provenance::default(),
            },
        }],
        edges: vec![EdgeRow {
            kind: EdgeKind::Produced,
            run,
            version,
            at: at(1),
            asked: Some("animals".to_owned()),
        }],
        events: vec![
            event(1, EventKind::Committed, first, Some(run), "{}"),
            event(4, EventKind::Updated, first, None, "{\"description\":\"edited\"}"),
            event(5, EventKind::Renamed, None, None, "{\"from\":\"beasts\",\"to\":\"animals\"}"),
        ],
    }
}

#[test]
fn what_is_written_is_read() {
    let piece = sample();
    assert_eq!(Piece::decode(&piece.encode()), Ok(piece));
}

/// The vector of `docs/format.md` §8 is this sample.
#[test]
fn the_format_page_shows_these_bytes() {
    let page = include_str!("../../../../docs/format.md");
    let (_, vector) = page.split_once("```text piece\n").unwrap();
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
        assert!(Piece::decode(&bytes[..length]).is_err(), "cut at {length}");
    }
    assert!(Piece::decode(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn a_piece_without_events_or_with_events_of_nothing_is_refused() {
    let empty = Piece { events: vec![], ..sample() };
    assert_eq!(Piece::decode(&empty.encode()), Err(PieceError("no events")));
    let foreign = Piece { collections: vec![], ..sample() };
    assert!(Piece::decode(&foreign.encode()).is_err());
    let mut twice = sample();
    twice.events[1].seq = 1;
    assert_eq!(Piece::decode(&twice.encode()), Err(PieceError("list not ascending")));
}

proptest! {
    /// Whatever is accepted is canonical: it encodes to the same bytes.
    #[test]
    fn accepted_bytes_are_canonical(at in 0usize..2000, byte: u8) {
        let mut bytes = sample().encode();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(piece) = Piece::decode(&bytes) {
            prop_assert_eq!(piece.encode(), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(tail: Vec<u8>) {
        let _ = Piece::decode(&[&b"HLMJRN1\n"[..], &tail].concat());
    }
}
