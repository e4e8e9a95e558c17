//! Drafts, leases, keys and runs: what holds a put together from its beginning
//! to its commit.

use heirloom_core::{
    ArtifactName, ArtifactType, CollectionId, DraftId, EntityName, ErrorCode, ProjectName,
    Provenance, RunState, Scope, Tag, Ttl, VersionId, VersionIndex,
};
use heirloom_manifest::{BlobId, ManifestId};

use super::world::{Put, World, blob, root_of, whole};
use super::{Factory, suite};
use crate::row::{ObjectRow, ObjectState};
use crate::rules::{
    self, Claim, Commit, ExpectedIndex, FinishRun, OperationKey, Refusal, TagVersion, UpdateRun,
};
use crate::view::{CatalogExt as _, Edit};

suite![
    a_commit_needs_a_live_draft_and_its_place,
    a_commit_lacking_bytes_does_not_happen,
    one_key_one_effect,
    claims_lease_and_revive,
    possession_is_per_project,
    an_object_is_published_as_long_as_it_is_there,
    runs_start_change_and_end,
];

fn a_commit_needs_a_live_draft_and_its_place(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let name = ArtifactName::new("animals").unwrap();
    let dataset = ArtifactType::new("dataset").unwrap();
    let root = root_of(1);
    let draft = world.draft(p, "animals", Some("dataset")).unwrap();
    world.publish(p, draft, root.as_blob()).unwrap();
    let record = blob(1);
    world.publish(p, draft, record).unwrap();
    let provenance = Provenance::default();
    let mut commit = Commit {
        key: None,
        by: world.by(),
        project: p,
        name: &name,
        artifact_type: Some(&dataset),
        collection: CollectionId(500),
        version: VersionId::from_random(500),
        digest: ManifestId::of_root(&root),
        root,
        entries: 0,
        size: 0,
        aliases: &[],
        tags: &[],
        description: None,
        metadata: None,
        ttl: Ttl::Inherit,
        run: None,
        provenance: &provenance,
        attachments: &[],
        draft: None,
        force_new: false,
        base_alias: None,
        expected: None,
        record: None,
        parts: None,
    };
    let try_commit = |commit: &Commit<'_>| world.apply(|view| rules::commit(view, commit));
    assert!(matches!(try_commit(&commit), Err(Refusal::NeedsDraft { .. })));
    commit.draft = Some(draft);
    let refused = try_commit(&commit).unwrap_err();
    assert!(refused.is_retryable());
    let Refusal::IndexTaken { expected, next, predecessor } = refused else { panic!("{refused}") };
    assert_eq!((expected, next, predecessor), (None, VersionIndex::ZERO, None));
    commit.record = Some(record);
    for wrong in [
        ExpectedIndex { index: VersionIndex::new(1), predecessor: None },
        ExpectedIndex { index: VersionIndex::ZERO, predecessor: Some(record) },
    ] {
        commit.expected = Some(wrong);
        assert!(matches!(try_commit(&commit), Err(Refusal::IndexTaken { .. })));
    }
    // Somebody else is faster: both number and predecessor differ.
    world.put(p, &Put::new("animals", 77)).unwrap();
    commit.expected = Some(ExpectedIndex { index: VersionIndex::ZERO, predecessor: None });
    let refused = try_commit(&commit).unwrap_err();
    let Refusal::IndexTaken { next, predecessor, .. } = refused else { panic!("{refused}") };
    assert_eq!(next.get(), 1);
    assert_eq!(predecessor, world.collection(p, "animals").last_record);
    commit.expected = Some(ExpectedIndex { index: next, predecessor });
    let stranger = Commit { draft: Some(DraftId::from_random(9_999)), ..commit.clone() };
    assert!(matches!(try_commit(&stranger), Err(Refusal::Fenced { .. })));
    let elsewhere = Commit { project: world.project("q"), ..commit.clone() };
    assert!(matches!(try_commit(&elsewhere), Err(Refusal::Fenced { .. })));
    assert_eq!(try_commit(&commit).unwrap().index.get(), 1);
    assert_eq!(world.collection(p, "animals").last_record, Some(record));
    // The draft ended with it.
    assert!(matches!(try_commit(&commit), Err(Refusal::Fenced { .. })));
    assert!(world.read(|view| view.leases(draft)).is_empty());
    let aborted = world.draft(p, "animals", None).unwrap();
    assert!(world.apply(|view| rules::abort_draft(view, aborted)).unwrap());
    assert!(!world.apply(|view| rules::abort_draft(view, aborted)).unwrap());
    assert!(matches!(world.publish(p, aborted, blob(2)), Err(Refusal::Fenced { .. })));
}

fn a_commit_lacking_bytes_does_not_happen(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let name = ArtifactName::new("animals").unwrap();
    let dataset = ArtifactType::new("dataset").unwrap();
    let draft = world.draft(p, "animals", Some("dataset")).unwrap();
    let root = root_of(1);
    let provenance = Provenance::default();
    let extra = [blob(5)];
    let commit = Commit {
        key: None,
        by: world.by(),
        project: p,
        name: &name,
        artifact_type: Some(&dataset),
        collection: CollectionId(500),
        version: VersionId::from_random(500),
        digest: ManifestId::of_root(&root),
        root,
        entries: 0,
        size: 0,
        aliases: &[],
        tags: &[],
        description: None,
        metadata: None,
        ttl: Ttl::Inherit,
        run: None,
        provenance: &provenance,
        attachments: &extra,
        draft: Some(draft),
        force_new: false,
        base_alias: None,
        expected: Some(ExpectedIndex { index: VersionIndex::ZERO, predecessor: None }),
        record: Some(blob(4)),
        parts: None,
    };
    let mut needed = vec![root.as_blob(), blob(4), blob(5)];
    while let Some(next) = needed.pop() {
        let refused = world.apply(|view| rules::commit(view, &commit)).unwrap_err();
        let Refusal::MissingBlobs { blobs } = refused else { panic!("{refused}") };
        assert_eq!(blobs.len(), needed.len() + 1);
        assert!(world.read(|view| view.collection(p, &name)).is_none());
        world.publish(p, draft, next).unwrap();
    }
    world.apply(|view| rules::commit(view, &commit)).unwrap();
    assert_eq!(world.version("animals").attachments, extra);
}

fn one_key_one_effect(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let key = OperationKey { key: "ada/k1", request: [1; 32] };
    let put = Put { key: Some(key), ..Put::new("animals", 1) };
    let first = world.put(p, &put).unwrap();
    world.put(p, &Put::new("animals", 2)).unwrap();
    // The answer of the first time, though the newest is another by now.
    assert_eq!(world.put(p, &put).unwrap(), first);
    assert_eq!(world.collection(p, "animals").next_index.get(), 2);
    let other = OperationKey { request: [2; 32], ..key };
    let reused = Put { key: Some(other), ..put.clone() };
    assert!(matches!(world.put(p, &reused), Err(Refusal::KeyReused { .. })));
    // A refusal is not an answer: the key works once the reason is gone.
    let key = OperationKey { key: "ada/k2", request: [3; 32] };
    let put = Put { key: Some(key), artifact_type: None, ..Put::new("plants", 1) };
    assert!(world.put(p, &put).is_err());
    world.put(p, &Put { key: Some(key), ..Put::new("plants", 1) }).unwrap();
    // Other operations use keys in the same way.
    let row = world.collection(p, "animals");
    let tag = Tag::new("good").unwrap();
    let tags = [tag.clone()];
    let key = Some(OperationKey { key: "ada/k3", request: [4; 32] });
    for _ in 0..2 {
        let request = TagVersion {
            by: world.by(),
            collection: row.id,
            index: VersionIndex::ZERO,
            tags: &tags,
        };
        let added = world
            .apply(|view| rules::once(view, key, request.by.at, || rules::tag(view, &request)))
            .unwrap();
        assert_eq!(added, tags);
    }
}

fn claims_lease_and_revive(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let writer = world.draft(p, "animals", Some("dataset")).unwrap();
    for number in 0..4 {
        world.publish(p, writer, blob(number)).unwrap();
    }
    let state = |number: u64, state| {
        let (object, _) = whole(blob(number));
        Edit::PutObject(ObjectRow { state, claimed_epoch: 3, ..object })
    };
    world
        .edit(vec![
            Edit::SetEpoch(5),
            state(1, ObjectState::Condemned { epoch: 5 }),
            state(2, ObjectState::Deleting),
        ])
        .unwrap();
    let draft = world.draft(p, "animals", Some("dataset")).unwrap();
    let blobs: Vec<BlobId> = (0..5).map(blob).collect();
    let claim = Claim { scope: Scope(p), draft, blobs: &blobs };
    let probe = world.catalog.view(|view| rules::claim_check(view, &claim)).unwrap();
    assert!(!probe.leased);
    assert!(world.read(|view| view.leases(draft)).is_empty());
    let claimed = world.apply(|view| rules::claim(view, &claim)).unwrap();
    let there: Vec<bool> = claimed.locations.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, true, false, true, false]);
    assert_eq!(claimed.locations, probe.locations);
    world.read(|view| {
        assert_eq!(view.leases(draft)?.len(), 3);
        for number in [0, 1, 3] {
            let object = view.object(&whole(blob(number)).0.key)?.unwrap();
            assert_eq!((object.state, object.claimed_epoch), (ObjectState::Live, 5));
        }
        let dying = view.object(&whole(blob(2)).0.key)?.unwrap();
        assert_eq!(dying.state, ObjectState::Deleting);
        Ok(())
    });
    // Asked again, nothing needs writing.
    let probe = world.catalog.view(|view| rules::claim_check(view, &claim)).unwrap();
    assert!(probe.leased);
    let decision = world.catalog.view(|view| rules::claim(view, &claim)).unwrap();
    assert!(decision.edits.is_empty());
    world.apply(|view| rules::abort_draft(view, draft)).unwrap();
    let refused = world.catalog.view(|view| rules::claim_check(view, &claim));
    assert!(matches!(refused, Err(Refusal::Fenced { .. })));
}

fn possession_is_per_project(factory: Factory<'_>) {
    let world = World::new(factory());
    let (p, q) = (world.project("p"), world.project("q"));
    let ours = world.draft(p, "animals", Some("dataset")).unwrap();
    world.publish(p, ours, blob(1)).unwrap();
    let theirs = world.draft(q, "animals", Some("dataset")).unwrap();
    let blobs = [blob(1)];
    let claim = Claim { scope: Scope(q), draft: theirs, blobs: &blobs };
    let claimed = world.apply(|view| rules::claim(view, &claim)).unwrap();
    assert_eq!(claimed.locations, [None]);
    // Nor does a draft of one project open another.
    let crossed = Claim { scope: Scope(p), ..claim };
    let refused = world.apply(|view| rules::claim(view, &crossed));
    assert!(matches!(refused, Err(Refusal::Fenced { .. })));
    // Uploaded there too, both rows point at the one object.
    world.publish(q, theirs, blob(1)).unwrap();
    let both = world.read(|view| view.locations_anywhere(&blob(1)));
    let scopes: Vec<Scope> = both.iter().map(|(scope, _)| *scope).collect();
    assert_eq!(scopes, [Scope(p), Scope(q)]);
    assert_eq!(world.read(|view| view.totals()).objects, 1);
}

fn an_object_is_published_as_long_as_it_is_there(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let draft = world.draft(p, "animals", Some("dataset")).unwrap();
    world.publish(p, draft, blob(1)).unwrap();
    let (object, _) = whole(blob(1));
    let dying = ObjectRow { state: ObjectState::Deleting, ..object.clone() };
    world.edit(vec![Edit::PutObject(dying)]).unwrap();
    let refused = world.publish_absent(p, draft, blob(1)).unwrap_err();
    assert!(matches!(refused, Refusal::Vanished { .. }) && refused.is_retryable());
    assert_eq!(refused.code(), ErrorCode::Fenced);
    // As long as the store has it, nobody has removed it, and nobody will.
    world.publish(p, draft, blob(1)).unwrap();
    let revived = world.read(|view| view.object(&object.key)).unwrap();
    assert_eq!(revived.state, ObjectState::Live);
    assert!(world.read(|view| view.locate(Scope(p), &[blob(1)]))[0].is_some());
}

fn runs_start_change_and_end(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let row = world.run_row(p, "r1");
    let started = world.apply(|view| rules::start_run(view, &row)).unwrap();
    assert_eq!(world.apply(|view| rules::start_run(view, &row)).unwrap(), started);
    let rival = world.run_row(p, "r1");
    let refused = world.apply(|view| rules::start_run(view, &rival));
    assert!(matches!(refused, Err(Refusal::NameTaken { what: "run", .. })));
    let update = UpdateRun {
        run: row.id,
        display_name: Some("better"),
        job_type: None,
        group: Some(Some("g")),
        config: None,
        summary: Some(Some(r#"{"acc":0.9}"#)),
    };
    let after = world.apply(|view| rules::update_run(view, &update)).unwrap();
    assert_eq!((after.display_name.as_str(), after.group.as_deref()), ("better", Some("g")));
    assert_eq!((after.config, after.job_type), (row.config.clone(), row.job_type.clone()));
    let bad = UpdateRun { config: Some(Some("[1]")), ..update };
    let refused = world.apply(|view| rules::update_run(view, &bad));
    assert!(matches!(refused, Err(Refusal::InvalidMetadata { what: "config", .. })));
    let end = |state, exit_code| {
        let request = FinishRun { run: row.id, state, exit_code, at: world.now() };
        world.apply(|view| rules::finish_run(view, &request))
    };
    end(RunState::Crashed, None).unwrap();
    let ended = end(RunState::Failed, Some(3)).unwrap();
    assert_eq!(end(RunState::Failed, Some(3)).unwrap(), ended);
    assert!(matches!(end(RunState::Finished, Some(0)), Err(Refusal::RunEnded { .. })));
    let kept = world.read(|view| view.run_by_name(p, &row.name)).unwrap();
    assert_eq!((kept.exit_code, kept.state), (Some(3), RunState::Failed));
    assert!(kept.ended_at.is_some());
    let entity = EntityName::local();
    let name = ProjectName::new("p").unwrap();
    assert_eq!(world.read(|view| view.project(&entity, &name)).unwrap().id, p);
}
