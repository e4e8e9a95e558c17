//! Parts of one version from many writers.

use heirloom_core::{
    ArtifactName, ArtifactType, DraftId, ErrorCode, OnConflict, PartSetId, ProjectId, RunId,
    Timestamp, VersionId,
};
use heirloom_manifest::{ManifestId, NodeId};

use super::world::{ACTOR, Put, blob, root_of};
use super::{Factory, World, suite};
use crate::row::{EdgeKind, EventKind, PartRow, PartSetRow, PartSetState};
use crate::rules::{
    self, AddPart, AddedPart, By, Commit, Committed, ExpectedIndex, FinishParts, OperationKey,
    PART_SET_SECONDS, Refusal,
};
use crate::view::{CatalogExt, Edit};

suite![
    rows_of_parts_keep_their_promises,
    the_first_part_makes_the_set_and_fixes_its_policy,
    a_key_adds_one_part,
    a_part_needs_its_draft_and_its_content,
    a_part_of_the_wrong_type_is_refused,
    finishing_makes_one_version_and_edges_for_all,
    finishing_the_same_content_again_makes_no_version,
    a_part_that_comes_meanwhile_is_not_lost,
    a_set_is_over_a_week_after_its_last_part,
    sets_that_are_over_lose_their_parts_and_are_told_of,
    an_aborted_set_is_gone,
    sets_go_with_a_renamed_collection,
];

/// A part to be added.
struct Part<'a> {
    name: &'a str,
    artifact_type: Option<&'a str>,
    id: &'a str,
    key: String,
    content: u64,
    on_conflict: Option<OnConflict>,
    run: Option<RunId>,
    at: Timestamp,
}

impl<'a> Part<'a> {
    fn new(world: &World, name: &'a str, id: &'a str) -> Self {
        let content = world.fresh();
        Self {
            name,
            artifact_type: Some("dataset"),
            id,
            key: format!("key {content}"),
            content,
            on_conflict: None,
            run: None,
            at: world.now(),
        }
    }

    fn begin(&self, world: &World, p: ProjectId) -> Result<DraftId, Refusal> {
        let draft = world.draft(p, self.name, self.artifact_type)?;
        world.publish(p, draft, root_of(self.content).as_blob())?;
        Ok(draft)
    }

    fn add(&self, world: &World, p: ProjectId) -> Result<AddedPart, Refusal> {
        let draft = self.begin(world, p)?;
        self.add_under(world, p, draft)
    }

    fn add_under(&self, world: &World, p: ProjectId, draft: DraftId) -> Result<AddedPart, Refusal> {
        let name = ArtifactName::new(self.name).unwrap();
        let artifact_type = self.artifact_type.map(|text| ArtifactType::new(text).unwrap());
        let mut request = [0; 32];
        request[..8].copy_from_slice(&self.content.to_le_bytes());
        let request = AddPart {
            key: OperationKey { key: &self.key, request },
            by: By { actor: ACTOR, at: self.at, admin: false },
            project: p,
            name: &name,
            artifact_type: artifact_type.as_ref(),
            distributed_id: self.id,
            on_conflict: self.on_conflict,
            set: PartSetId::from_random(world.fresh()),
            draft,
            root: root_of(self.content),
            entries: 1,
            size: 10,
            run: self.run,
        };
        world.apply(|view| rules::add_part(view, &request))
    }
}

/// Commits a content as what these parts are together, with a record.
fn finish(
    world: &World,
    p: ProjectId,
    name: &str,
    content: u64,
    parts: FinishParts,
    run: Option<RunId>,
) -> Result<Committed, Refusal> {
    let draft = world.draft(p, name, Some("dataset"))?;
    let root: NodeId = root_of(content);
    world.publish(p, draft, root.as_blob())?;
    let name = ArtifactName::new(name).unwrap();
    let artifact_type = ArtifactType::new("dataset").unwrap();
    let mut commit = Commit {
        artifact_type: Some(&artifact_type),
        digest: ManifestId::of_root(&root),
        root,
        draft: Some(draft),
        run,
        parts: Some(parts),
        ..world.commit_of(p, &name)
    };
    loop {
        match world.apply(|view| rules::commit(view, &commit)) {
            Err(Refusal::IndexTaken { next, predecessor, .. }) => {
                let record = blob(world.fresh());
                world.publish(p, draft, record)?;
                commit.expected = Some(ExpectedIndex { index: next, predecessor });
                commit.record = Some(record);
            }
            other => return other,
        }
    }
}

fn set_of(world: &World, p: ProjectId, name: &str, id: &str) -> Option<PartSetRow> {
    let name = ArtifactName::new(name).unwrap();
    world.read(|view| rules::find_part_set(view, p, &name, id))
}

fn rows_of_parts_keep_their_promises(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let row = |id: u64, name: &str, distributed_id: &str| PartSetRow {
        id: PartSetId::from_random(id),
        project: p,
        name: ArtifactName::new(name).unwrap(),
        distributed_id: distributed_id.to_owned(),
        artifact_type: ArtifactType::new("dataset").unwrap(),
        on_conflict: OnConflict::Last,
        state: PartSetState::Open,
        created_at: Timestamp::from_micros(5),
        touched_at: Timestamp::from_micros(6),
        actor: "ann".to_owned(),
    };
    let part = |set: &PartSetRow, seq: u64, key: &str| PartRow {
        set: set.id,
        seq,
        key: key.to_owned(),
        root: root_of(seq),
        entries: 3,
        size: u64::from(u32::MAX) * 4,
        run: None,
        actor: "bob".to_owned(),
        at: Timestamp::from_micros(7),
    };
    let (a, b) = (row(9, "a", "x"), row(4, "b", "x"));
    world.edit(vec![Edit::PutPartSet(a.clone()), Edit::PutPartSet(b.clone())]).unwrap();
    assert_eq!(world.read(|view| view.part_sets(None, 10)), [b.clone(), a.clone()]);
    assert_eq!(world.read(|view| view.part_sets(Some(b.id), 10)), std::slice::from_ref(&a));
    assert_eq!(world.read(|view| view.part_set(p, &a.name, "x")), Some(a.clone()));
    assert_eq!(world.read(|view| view.part_set(p, &a.name, "y")), None);
    assert!(world.edit(vec![Edit::PutPartSet(row(7, "a", "x"))]).is_err());

    let parts = [part(&a, 0, "k0"), part(&a, 1, "k1"), part(&a, 2, "k2")];
    world.edit(parts.iter().rev().cloned().map(Edit::AddPart).collect()).unwrap();
    world.edit(vec![Edit::AddPart(part(&b, 0, "k0"))]).unwrap();
    assert!(world.edit(vec![Edit::AddPart(part(&a, 2, "k9"))]).is_err());
    assert!(world.edit(vec![Edit::AddPart(part(&a, 3, "k1"))]).is_err());
    assert_eq!(world.read(|view| view.parts(a.id, None, 2)), parts[..2]);
    assert_eq!(world.read(|view| view.parts(a.id, Some(1), 2)), parts[2..]);
    assert_eq!(world.read(|view| view.last_part(a.id)).as_ref(), parts.last());
    assert_eq!(world.read(|view| view.part_by_key(a.id, "k1")).as_ref(), Some(&parts[1]));

    let a = PartSetRow { name: ArtifactName::new("z").unwrap(), ..a };
    world.edit(vec![Edit::PutPartSet(a.clone())]).unwrap();
    assert_eq!(world.read(|view| view.part_set(p, &a.name, "x")), Some(a.clone()));
    let over = PartSetRow { state: PartSetState::Expired { at: Timestamp::from_micros(8) }, ..a };
    world.edit(vec![Edit::DropParts(over.id), Edit::PutPartSet(over.clone())]).unwrap();
    assert_eq!(world.read(|view| view.part_set_by_id(over.id)), Some(over.clone()));
    assert_eq!(world.read(|view| view.last_part(over.id)), None);
    world.edit(vec![Edit::DropPartSet(b.id)]).unwrap();
    assert_eq!(world.read(|view| view.parts(b.id, None, 9)), []);
    assert_eq!(world.read(|view| view.part_sets(None, 10)), [over]);
}

fn the_first_part_makes_the_set_and_fixes_its_policy(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let last = Part { on_conflict: Some(OnConflict::Last), ..Part::new(&world, "a", "x") };
    assert_eq!(last.add(&world, p).unwrap().seq, 0);
    let set = set_of(&world, p, "a", "x").unwrap();
    assert_eq!((set.on_conflict, set.state), (OnConflict::Last, PartSetState::Open));
    assert_eq!(Part::new(&world, "a", "x").add(&world, p).unwrap().seq, 1);
    let first = Part { on_conflict: Some(OnConflict::First), ..Part::new(&world, "a", "x") };
    let refused = first.add(&world, p).unwrap_err();
    assert!(refused.to_string().contains("`last`, not `first`"), "{refused}");
    assert_eq!(refused.code(), ErrorCode::Conflict);
    // Under another id, and of another artifact, it is another set.
    assert_eq!(Part::new(&world, "a", "y").add(&world, p).unwrap().seq, 0);
    assert_eq!(Part::new(&world, "b", "x").add(&world, p).unwrap().seq, 0);
    assert_eq!(set_of(&world, p, "b", "x").unwrap().on_conflict, OnConflict::Error);
    // Nothing can be read of it yet.
    assert!(matches!(world.resolve("a"), Err(Refusal::NotFound { .. })));
}

fn a_key_adds_one_part(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let part = Part::new(&world, "a", "x");
    let added = part.add(&world, p).unwrap();
    let draft = part.begin(&world, p).unwrap();
    assert_eq!(part.add_under(&world, p, draft).unwrap(), added);
    assert_eq!(world.read(|view| view.draft(draft)), None, "the draft of the retry is over too");
    assert_eq!(world.read(|view| view.parts(added.set, None, 9)).len(), 1);
    // Even when its answer was forgotten.
    let before = Timestamp::from_micros(i64::MAX);
    world.edit(vec![Edit::DropOperations { before }]).unwrap();
    assert_eq!(part.add(&world, p).unwrap(), added);
    assert_eq!(world.read(|view| view.parts(added.set, None, 9)).len(), 1);
    let other = Part { key: part.key.clone(), ..Part::new(&world, "a", "x") };
    assert!(matches!(other.add(&world, p), Err(Refusal::KeyReused { .. })));
    // A late retry of a finished set's part begins no other set.
    let parts = FinishParts { set: added.set, last: 0 };
    finish(&world, p, "a", 77, parts, None).unwrap();
    assert_eq!(part.add(&world, p).unwrap(), added);
    assert_eq!(set_of(&world, p, "a", "x"), None);
}

fn a_part_needs_its_draft_and_its_content(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let part = Part::new(&world, "a", "x");
    let draft = world.draft(p, "a", Some("dataset")).unwrap();
    let refused = part.add_under(&world, p, draft);
    assert!(matches!(refused, Err(Refusal::MissingBlobs { .. })));
    world.publish(p, draft, root_of(part.content).as_blob()).unwrap();
    world.apply(|view| rules::abort_draft(view, draft)).unwrap();
    assert!(matches!(part.add_under(&world, p, draft), Err(Refusal::Fenced { .. })));
    let stranger = Part { run: Some(RunId::from_random(12)), ..Part::new(&world, "a", "x") };
    assert!(matches!(stranger.add(&world, p), Err(Refusal::NotFound { what: "run", .. })));
    assert_eq!(set_of(&world, p, "a", "x"), None);
}

fn a_part_of_the_wrong_type_is_refused(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    Part::new(&world, "a", "x").add(&world, p).unwrap();
    // No version says the type yet: the first part does.
    let model = Part { artifact_type: Some("model"), ..Part::new(&world, "a", "x") };
    assert!(matches!(model.add(&world, p), Err(Refusal::WrongType { .. })));
    world.put(p, &Put::new("b", 1)).unwrap();
    let model = Part { artifact_type: Some("model"), ..Part::new(&world, "b", "x") };
    assert!(matches!(model.add(&world, p), Err(Refusal::WrongType { .. })));
    let untyped = Part { artifact_type: None, ..Part::new(&world, "b", "x") };
    untyped.add(&world, p).unwrap();
}

fn finishing_makes_one_version_and_edges_for_all(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let runs = [world.run(p, "r1"), world.run(p, "r2"), world.run(p, "r3")];
    for run in [Some(runs[0]), Some(runs[1]), None, Some(runs[0])] {
        Part { run, ..Part::new(&world, "a", "x") }.add(&world, p).unwrap();
    }
    let set = set_of(&world, p, "a", "x").unwrap();
    let parts = FinishParts { set: set.id, last: 3 };
    let done = finish(&world, p, "a", 50, parts, Some(runs[2])).unwrap();
    assert!(done.created);
    let made_by = |version: VersionId| {
        let edges = world.read(|view| view.edges_of_versions(&[version], Some(EdgeKind::Produced)));
        let mut runs: Vec<RunId> = edges.into_iter().map(|edge| edge.run).collect();
        runs.sort();
        runs
    };
    let mut all = runs.to_vec();
    all.sort();
    assert_eq!(made_by(done.version), all);
    assert_eq!(world.version("a").run, Some(runs[2]));
    let events = world.read(|view| view.events(done.collection, None, 9));
    let committed = events.iter().find(|event| event.kind == EventKind::Committed).unwrap();
    assert!(committed.detail.contains("\"parts\":4"), "{}", committed.detail);
    // The set is gone, so it cannot be finished again; its id is free.
    assert_eq!(set_of(&world, p, "a", "x"), None);
    assert_eq!(world.read(|view| view.parts(set.id, None, 9)), []);
    let again = finish(&world, p, "a", 50, parts, None);
    assert!(matches!(again, Err(Refusal::PartsMoved)));
    assert_eq!(Part::new(&world, "a", "x").add(&world, p).unwrap().seq, 0);
}

fn finishing_the_same_content_again_makes_no_version(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let before = world.put(p, &Put::new("a", 50)).unwrap();
    let run = world.run(p, "r1");
    let added = Part { run: Some(run), ..Part::new(&world, "a", "x") }.add(&world, p).unwrap();
    let done = finish(&world, p, "a", 50, FinishParts { set: added.set, last: 0 }, None).unwrap();
    assert_eq!((done.created, done.version), (false, before.version));
    assert!(world.read(|view| view.edge(EdgeKind::Produced, run, before.version)).is_some());
    assert_eq!(set_of(&world, p, "a", "x"), None);
}

fn a_part_that_comes_meanwhile_is_not_lost(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let added = Part::new(&world, "a", "x").add(&world, p).unwrap();
    let read = FinishParts { set: added.set, last: 0 };
    Part::new(&world, "a", "x").add(&world, p).unwrap();
    let refused = finish(&world, p, "a", 50, read, None).unwrap_err();
    assert!(matches!(refused, Refusal::PartsMoved) && refused.is_retryable());
    assert!(matches!(world.resolve("a"), Err(Refusal::NotFound { .. })));
    let done = finish(&world, p, "a", 51, FinishParts { set: added.set, last: 1 }, None);
    assert!(done.unwrap().created);
}

fn a_set_is_over_a_week_after_its_last_part(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let name = ArtifactName::new("a").unwrap();
    let first = Part::new(&world, "a", "x");
    let added = first.add(&world, p).unwrap();
    let open = |at| world.catalog.view(|view| rules::open_part_set(view, p, &name, "x", at));
    let week = |from: Timestamp| from.plus_seconds(PART_SET_SECONDS);
    // Another part makes it last longer, one from a clock that went back no less.
    let second = Part { at: first.at.plus_seconds(60), ..Part::new(&world, "a", "x") };
    second.add(&world, p).unwrap();
    let early = Part { at: first.at.plus_seconds(-60), ..Part::new(&world, "a", "x") };
    early.add(&world, p).unwrap();
    open(week(first.at)).unwrap();
    let just_before = Timestamp::from_micros(week(second.at).micros() - 1);
    open(just_before).unwrap();
    let refused = open(week(second.at)).unwrap_err();
    assert!(matches!(&refused, Refusal::PartsExpired { at, .. } if *at == week(second.at)));
    // The next part begins another set, and says so.
    let late = Part { at: week(second.at), ..Part::new(&world, "a", "x") };
    let begun = late.add(&world, p).unwrap();
    assert_eq!((begun.seq, begun.replaced), (0, true));
    assert_ne!(begun.set, added.set);
    assert_eq!(world.read(|view| view.parts(added.set, None, 9)), []);
}

fn sets_that_are_over_lose_their_parts_and_are_told_of(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let old = Part::new(&world, "a", "old");
    let set = old.add(&world, p).unwrap().set;
    let young = Part { at: old.at.plus_seconds(60), ..Part::new(&world, "a", "young") };
    young.add(&world, p).unwrap();
    let end = old.at.plus_seconds(PART_SET_SECONDS);
    let expire = |now| world.apply(|view| rules::expire_parts(view, now)).unwrap();
    assert_eq!(expire(Timestamp::from_micros(end.micros() - 1)), 0);
    assert_eq!(expire(end), 1);
    assert_eq!(expire(end), 0);
    assert_eq!(set_of(&world, p, "a", "old").unwrap().state, PartSetState::Expired { at: end });
    assert_eq!(world.read(|view| view.parts(set, None, 9)), []);
    assert_eq!(set_of(&world, p, "a", "young").unwrap().state, PartSetState::Open);
    let name = ArtifactName::new("a").unwrap();
    // Once it is over, no clock brings it back.
    let refused = world.catalog.view(|view| rules::open_part_set(view, p, &name, "old", old.at));
    assert!(matches!(refused, Err(Refusal::PartsExpired { .. })));
    let parts = FinishParts { set, last: 0 };
    assert!(matches!(finish(&world, p, "a", 3, parts, None), Err(Refusal::PartsMoved)));
    // After a month it is forgotten.
    expire(end.plus_seconds(rules::EXPIRED_SET_SECONDS));
    assert_eq!(set_of(&world, p, "a", "old"), None);
}

fn an_aborted_set_is_gone(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    let name = ArtifactName::new("a").unwrap();
    let added = Part::new(&world, "a", "job-7").add(&world, p).unwrap();
    let abort = |id: &str| world.apply(|view| rules::abort_parts(view, p, &name, id));
    let Err(Refusal::NotFound { what, nearest, .. }) = abort("job-8") else { panic!() };
    assert_eq!((what, nearest), ("set of parts", vec!["job-7".to_owned()]));
    assert_eq!(abort("job-7").unwrap().id, added.set);
    assert!(matches!(abort("job-7"), Err(Refusal::NotFound { .. })));
    let parts = FinishParts { set: added.set, last: 0 };
    assert!(matches!(finish(&world, p, "a", 3, parts, None), Err(Refusal::PartsMoved)));
}

fn sets_go_with_a_renamed_collection(factory: Factory<'_>) {
    let world = World::new(factory());
    let p = world.project("p");
    world.put(p, &Put::new("a", 1)).unwrap();
    let collection = world.collection(p, "a").id;
    let set = Part::new(&world, "a", "x").add(&world, p).unwrap().set;
    // A set may wait for an artifact that does not exist yet.
    Part::new(&world, "c", "x").add(&world, p).unwrap();
    let rename = |to: &str| {
        let to = ArtifactName::new(to).unwrap();
        let request = rules::Rename { by: world.by(), collection, to: &to };
        world.apply(|view| rules::rename(view, &request))
    };
    let refused = rename("c").unwrap_err();
    assert!(matches!(refused, Refusal::NameTaken { what: "set of parts", .. }));
    rename("b").unwrap();
    // Under both names it is the same set.
    assert_eq!(Part::new(&world, "b", "x").add(&world, p).unwrap().set, set);
    assert_eq!(Part::new(&world, "a", "x").add(&world, p).unwrap().set, set);
    assert_eq!(set_of(&world, p, "a", "x").unwrap().name.as_str(), "b");
}
