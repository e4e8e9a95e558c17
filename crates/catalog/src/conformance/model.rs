//! Random operations on two catalogs at once: every answer, and after every step
//! everything that can be read, must be equal; and the invariants must hold.

use heirloom_core::{
    Alias, ArtifactName, ArtifactType, CollectionId, RunId, RunState, Scope, Tag, VersionId,
    VersionIndex,
};
use proptest::prelude::*;

use super::world::{Put, World, alias, blob, root_of, whole};
use crate::row::{CollectionKind, MembershipRow, ObjectRow, ObjectState};
use crate::rules::{
    self, Claim, DeleteCollection, DeleteVersions, Expected, FinishRun, Link, OperationKey,
    ProtectAlias, Refusal, RemoveAlias, Rename, RestoreVersion, SetAlias, TagVersion, Unlink,
    UpdateCollection, UpdateVersion, UseVersion,
};
use crate::view::{CatalogExt as _, Edit, Order, View};

const NAMES: [&str; 3] = ["a", "b", "c"];
const ALIASES: [&str; 3] = ["latest", "prod", "dev"];
const PROJECTS: [&str; 2] = ["p", "q"];

/// Small numbers that the step interprets.
#[derive(Debug, Clone)]
struct Step {
    what: u8,
    project: usize,
    name: usize,
    other: usize,
    alias: usize,
    index: u64,
    content: u64,
    flags: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0u8..34, 0usize..2, 0usize..3, 0usize..3, 0usize..3, 0u64..5, 0u64..3, any::<u8>())
        .prop_map(|(what, project, name, other, alias, index, content, flags)| Step {
            what,
            project,
            name,
            other,
            alias,
            index,
            content,
            flags,
        });
    prop::collection::vec(step, 1..40)
}

/// Does one step; the answer in words.
fn act(world: &World, step: &Step) -> String {
    let flag = |bit: u8| step.flags & (1 << bit) != 0;
    let project = world.project(PROJECTS[step.project]);
    let name = ArtifactName::new(NAMES[step.name]).unwrap();
    let index = VersionIndex::new(step.index);
    let chosen = alias(ALIASES[step.alias]);
    let by = if flag(0) { world.admin() } else { world.by() };
    let found = world.read(|view| rules::find_collection(view, project, &name));
    let version = found.as_ref().and_then(|row| {
        world.read(|view| view.membership(row.id, index)).map(|member| member.version)
    });
    let collection = found.as_ref().map_or(CollectionId(-1), |row| row.id);
    let version = version.unwrap_or(VersionId::from_random(1 << 40));
    let run = world.read(|view| view.runs_of(project, None, 5)).get(step.other).map(|row| row.id);
    let expected = match step.flags >> 6 {
        0 => Expected::Absent,
        1 => Expected::Is(VersionIndex::new(step.content)),
        _ => Expected::Any,
    };
    match step.what {
        0..=9 => {
            let text = format!("key {}", step.content);
            let key = OperationKey { key: &text, request: [step.index as u8; 32] };
            let put = Put {
                name: NAMES[step.name],
                artifact_type: [Some("dataset"), Some("dataset"), None, Some("model")]
                    [usize::from(step.flags >> 6)],
                content: step.content,
                aliases: if flag(1) { &ALIASES[step.alias..=step.alias] } else { &[] },
                tags: if flag(2) { &["good"] } else { &[] },
                run: run.filter(|_| flag(3)),
                force_new: flag(4) && flag(5),
                key: (step.what == 9).then_some(key),
                description: flag(2).then_some("words"),
                metadata: if flag(3) { Some("{}") } else { None },
            };
            format!("{:?}", world.put(project, &put))
        }
        10 | 11 => {
            let request = SetAlias { by, collection, alias: &chosen, index, expected };
            show(world.apply(|view| rules::set_alias(view, &request)))
        }
        12 => {
            let request = RemoveAlias { by, collection, alias: &chosen, expected };
            show(world.apply(|view| rules::remove_alias(view, &request)))
        }
        13 => {
            let request = ProtectAlias { by, collection, alias: &chosen, protected: flag(1) };
            show(world.apply(|view| rules::protect_alias(view, &request)))
        }
        14 | 15 => {
            let tags = [Tag::new(ALIASES[step.alias]).unwrap()];
            let request = TagVersion { by, collection, index, tags: &tags };
            match step.what {
                14 => show(world.apply(|view| rules::tag(view, &request))),
                _ => show(world.apply(|view| rules::untag(view, &request))),
            }
        }
        16 => {
            let request = UpdateVersion {
                by,
                collection,
                index,
                description: flag(1).then_some(flag(2).then_some("other words")),
                metadata: flag(3).then_some(Some(if flag(4) { r#"{"a":1}"# } else { "no" })),
                ttl: flag(5).then_some(heirloom_core::Ttl::Seconds(5)),
            };
            show(world.apply(|view| rules::update_version(view, &request)))
        }
        17 => {
            let model = ArtifactType::new("model").unwrap();
            let request = UpdateCollection {
                by,
                collection,
                description: flag(1).then_some(flag(2).then_some("about")),
                artifact_type: flag(3).then_some(&model),
                ttl: flag(4).then_some(heirloom_core::Ttl::Never),
            };
            show(world.apply(|view| rules::update_collection(view, &request)))
        }
        18 | 19 => {
            let to = ArtifactName::new(NAMES[step.other]).unwrap();
            let request = Rename { by, collection, to: &to };
            show(world.apply(|view| rules::rename(view, &request)))
        }
        20 | 21 => {
            let aliases = [chosen];
            let name = ArtifactName::new(["registry", "c", "registry"][step.other]).unwrap();
            let fresh = CollectionId(i64::try_from(world.fresh()).unwrap());
            let aliases = if flag(1) { &aliases[..] } else { &[] };
            let request = Link { by, version, project, name: &name, collection: fresh, aliases };
            show(world.apply(|view| rules::link(view, &request)))
        }
        22 => {
            let name = ArtifactName::new("registry").unwrap();
            let row = world.read(|view| view.collection(project, &name));
            let collection = row.map_or(collection, |row| row.id);
            let request = Unlink { by, collection, index };
            show(world.apply(|view| rules::unlink(view, &request)))
        }
        23 | 24 => {
            let request = DeleteVersions {
                by,
                versions: &[version],
                delete_aliases: flag(1),
                delete_links: flag(2),
                latest_holds: flag(3),
                undo_seconds: 60,
            };
            show(world.apply(|view| rules::delete_versions(view, &request)))
        }
        25 => {
            let request = DeleteCollection {
                by,
                collection,
                delete_aliases: flag(1) || flag(3),
                delete_links: flag(2) || flag(4),
                undo_seconds: 60,
            };
            show(world.apply(|view| rules::delete_collection(view, &request)))
        }
        26 | 27 => {
            // Any version there is, so that those of deleted collections come back too.
            let all = world.read(|view| view.all_versions(None, 1000));
            let version = all.get(usize::from(step.flags) % all.len().max(1)).map(|row| row.id);
            let version = version.unwrap_or(VersionId::from_random(1 << 40));
            let request = RestoreVersion { by, version };
            show(world.apply(|view| rules::restore_version(view, &request)))
        }
        28 => format!("{:?}", world.run(project, &format!("run{}", world.fresh()))),
        29 => {
            let run = run.unwrap_or(RunId::from_random(1 << 40));
            let state = if flag(1) { RunState::Finished } else { RunState::Crashed };
            let request = FinishRun { run, state, exit_code: Some(0), at: by.at };
            show(world.apply(|view| rules::finish_run(view, &request)))
        }
        30 => {
            let run = run.unwrap_or(RunId::from_random(1 << 40));
            let request = UseVersion { run, version, asked: Some("x"), at: by.at };
            show(world.apply(|view| rules::use_version(view, &request)))
        }
        31 => {
            let selector = match step.content {
                0 => String::new(),
                1 => format!(":{index}"),
                _ => format!(":{chosen}"),
            };
            let reference = format!("{}/{}{selector}", PROJECTS[step.project], NAMES[step.name]);
            show(world.resolve(&reference))
        }
        32 => {
            let blobs: Vec<_> = (0..3).map(|n| root_of(n).as_blob()).chain([blob(1)]).collect();
            let Ok(draft) = world.draft(project, NAMES[step.name], Some("dataset")) else {
                return "no draft".to_owned();
            };
            let request = Claim { scope: Scope(project), draft, blobs: &blobs };
            let claimed = world.apply(|view| rules::claim(view, &request));
            if flag(1) {
                world.apply(|view| rules::abort_draft(view, draft)).unwrap();
            }
            show(claimed)
        }
        _ => {
            // What gc does to an object between two operations.
            let (object, _) = whole(root_of(step.content).as_blob());
            let state = match step.index {
                0 | 1 => ObjectState::Condemned { epoch: step.index },
                2 => ObjectState::Deleting,
                _ => ObjectState::Live,
            };
            let registered = world.read(|view| view.object(&object.key)).is_some();
            let edit = match step.index {
                4 => Edit::DropObject(object.key),
                _ if registered => Edit::PutObject(ObjectRow { state, ..object }),
                _ => Edit::SetEpoch(step.index),
            };
            format!("{:?}", world.edit(vec![edit]))
        }
    }
}

fn show<T: std::fmt::Debug>(answer: Result<T, Refusal>) -> String {
    format!("{answer:?}")
}

/// Everything that can be read.
fn dump(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    let far = i64::try_from(world.given()).unwrap() + 1;
    world.read(|view| {
        for project in view.projects(None, 100)? {
            lines.push(format!("{project:?}"));
            for text in NAMES.iter().chain(&["registry"]) {
                let name = ArtifactName::new(text).unwrap();
                lines.push(format!("{:?}", view.redirect(project.id, &name)?));
            }
            lines.push(format!("{:?}", view.collections(project.id, None, 100)?));
            let blobs: Vec<_> = (0..3).map(|content| root_of(content).as_blob()).collect();
            lines.push(format!("{:?}", view.locate(Scope(project.id), &blobs)?));
            for run in view.runs_of(project.id, None, 1000)? {
                lines.push(format!("{run:?} {:?}", view.edges_of_runs(&[run.id], None)?));
            }
        }
        for id in 0..far {
            let Some(row) = view.collection_by_id(CollectionId(id))? else { continue };
            lines.push(format!("{row:?}"));
            lines.push(format!("{:?}", view.aliases(row.id)?));
            lines.push(format!("{:?}", view.newest(row.id)?));
            lines.push(format!("{:?}", view.memberships(row.id, None, Order::Newest, 1000)?));
            lines.push(format!("{:?}", view.events(row.id, None, 1000)?));
        }
        for version in view.all_versions(None, 1000)? {
            lines.push(format!("{:?}", view.tags(version.id)?));
            lines.push(format!("{:?}", view.memberships_of(version.id)?));
            lines.push(format!("{:?}", view.by_digest(version.collection, &version.digest)?));
            lines.push(format!("{version:?}"));
        }
        view.all_edges(&mut |edge| lines.push(format!("{edge:?}")))?;
        for draft in view.drafts(None, 1000)? {
            lines.push(format!("{draft:?} {:?}", view.leases(draft.id)?));
        }
        lines.push(format!("{:?}", view.objects(None, 1000)?));
        lines.push(format!("{:?} {:?}", view.epoch()?, view.totals()?));
        for content in 0..3 {
            lines.push(format!("{:?}", view.operation(&format!("key {content}"))?));
        }
        Ok(())
    });
    lines
}

/// I2 and I3 of every collection that ever was.
fn check_invariants(world: &World) {
    let far = i64::try_from(world.given()).unwrap() + 1;
    world.read(|view| {
        for id in 0..far {
            let Some(row) = view.collection_by_id(CollectionId(id))? else { continue };
            let members = view.memberships(row.id, None, Order::Oldest, 1000)?;
            let indexes: Vec<u64> = members.iter().map(|member| member.index.get()).collect();
            if row.kind == CollectionKind::Sequence {
                let dense: Vec<u64> = (0..row.next_index.get()).collect();
                assert_eq!(indexes, dense, "numbers of {row:?}");
            }
            assert!(indexes.iter().all(|index| *index < row.next_index.get()), "{row:?}");
            let committed = |member: &MembershipRow| -> crate::Result<bool> {
                Ok(view.version(member.version)?.is_some_and(|v| v.state.is_committed()))
            };
            for held in view.aliases(row.id)? {
                let member = view.membership(row.id, held.index)?.expect("an alias has a holder");
                assert!(committed(&member)?, "{held:?} names a deleted version");
                assert!(row.deleted_at.is_none(), "{held:?} of a deleted collection");
            }
            let latest = view.alias(row.id, &Alias::latest())?;
            let newest = view.newest(row.id)?;
            assert_eq!(latest.is_some(), newest.is_some(), "latest of {row:?}");
            if let Some(newest) = newest {
                assert!(committed(&newest)?);
            }
        }
        Ok(())
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_any_operations(steps in steps()) {
        let world = World::new(Box::new(crate::MemoryCatalog::new()));
        for step in &steps {
            act(&world, step);
            check_invariants(&world);
        }
    }
}

#[cfg(feature = "sqlite")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn both_catalogs_agree(steps in steps()) {
        let home = tempfile::tempdir().unwrap();
        let left = World::new(Box::new(crate::MemoryCatalog::new()));
        let right = World::new(super::world::sqlite_in(home.path()));
        for step in &steps {
            prop_assert_eq!(act(&left, step), act(&right, step), "{:?}", step);
        }
        for (left, right) in dump(&left).into_iter().zip(dump(&right)) {
            prop_assert_eq!(left, right);
        }
        let mut damaged = Vec::new();
        right.catalog.check(&mut |what| damaged.push(what)).unwrap();
        prop_assert!(damaged.is_empty(), "{:?}", damaged);
    }
}

/// The same view and request give the same edits: a transaction decided again
/// after a serialisation failure does what it would have done.
#[test]
fn decisions_are_repeatable() {
    let world = World::new(Box::new(crate::MemoryCatalog::new()));
    let project = world.project("p");
    world.put(project, &Put { aliases: &["prod"], ..Put::new("a", 1) }).unwrap();
    let version = world.version("a").id;
    let request = DeleteVersions {
        by: world.by(),
        versions: &[version],
        delete_aliases: true,
        delete_links: true,
        latest_holds: false,
        undo_seconds: 1,
    };
    world.read(|view: &dyn View| {
        let decide = || rules::delete_versions(view, &request).unwrap();
        assert_eq!(decide(), decide());
        Ok(())
    });
    assert!(world.catalog.view(|view| view.version(version)).unwrap().is_some());
}
