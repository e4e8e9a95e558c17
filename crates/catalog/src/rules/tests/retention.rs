//! The decision itself, from plain facts; and facts from a catalog.

use heirloom_core::{Alias, Retention, RunId, Tag, Timestamp, VersionId, VersionIndex};
use proptest::prelude::*;

use crate::MemoryCatalog;
use crate::conformance::{Put, World};
use crate::row::{EventKind, VersionState};
use crate::rules::{
    self, ApplyRetention, Decided, Facts, Keep, Refusal, RestoreVersions, SetRetention, Use,
    UseVersion, Verdict, explain,
};

const NOW: i64 = 1_000;

fn now() -> Timestamp {
    Timestamp::from_micros(NOW * 1_000_000)
}

fn version(index: u64) -> Facts {
    Facts {
        index: VersionIndex::new(index),
        version: VersionId::from_random(index + 1),
        created_at: Timestamp::from_micros(index as i64 * 1_000_000),
        expires_at: None,
        aliases: vec![],
        tags: vec![],
        links: vec![],
        uses: vec![],
    }
}

fn used(run: u64, made: u64, inside: Option<u64>) -> Use {
    Use {
        run: RunId::from_random(run),
        made: VersionId::from_random(made),
        inside: inside.map(VersionIndex::new),
    }
}

fn kept(decided: &[Decided]) -> Vec<u64> {
    let kept = decided.iter().filter(|one| matches!(one.verdict, Verdict::Keep(_)));
    kept.map(|one| one.index.get()).collect()
}

#[test]
fn every_rule_says_why() {
    let mut facts: Vec<Facts> = (0..8).map(version).collect();
    facts[0].aliases = vec![(Alias::new("prod").unwrap(), false)];
    facts[1].links = vec!["best:v0".to_owned()];
    facts[2].tags = vec![Tag::new("good").unwrap()];
    facts[3].uses = vec![used(1, 99, None)];
    facts[7].aliases = vec![(Alias::latest(), false)];
    let retention = Retention {
        keep_last: Some(1),
        younger_than: Some(995),
        aliased: true,
        tagged: true,
        used: true,
    };
    let decided = explain(&facts, Some(&retention), now());
    let why: Vec<Verdict> = decided.into_iter().map(|one| one.verdict).collect();
    let prod = Alias::new("prod").unwrap();
    assert_eq!(
        why,
        [
            Verdict::Keep(vec![Keep::Alias { alias: prod, protected: false }]),
            Verdict::Keep(vec![Keep::Link("best:v0".to_owned())]),
            Verdict::Keep(vec![Keep::Tag(Tag::new("good").unwrap())]),
            Verdict::Keep(vec![Keep::Used {
                run: RunId::from_random(1),
                made: VersionId::from_random(99)
            }]),
            Verdict::Delete { expired: None },
            // Exactly as old as it may be is too old.
            Verdict::Delete { expired: None },
            Verdict::Keep(vec![Keep::Younger(995)]),
            Verdict::Keep(vec![Keep::Newest(1), Keep::Younger(995)]),
        ]
    );
}

#[test]
fn what_is_used_stays_only_with_what_was_made_from_it() {
    let mut facts: Vec<Facts> = (0..6).map(version).collect();
    // v0 → v1 → v5, which is the newest; v2 ⇄ v3 hold each other and nothing
    // holds them; v4 was made from itself.
    facts[0].uses = vec![used(1, 2, Some(1))];
    facts[1].uses = vec![used(2, 6, Some(5))];
    facts[2].uses = vec![used(3, 4, Some(3))];
    facts[3].uses = vec![used(4, 3, Some(2))];
    facts[4].uses = vec![used(5, 5, Some(4))];
    let retention = Retention { keep_last: Some(1), used: true, ..Retention::default() };
    assert_eq!(kept(&explain(&facts, Some(&retention), now())), [0, 1, 5]);
}

#[test]
fn expiry_comes_before_the_rules_and_after_what_holds() {
    let mut facts: Vec<Facts> = (0..4).map(version).collect();
    facts[3].expires_at = Some(now());
    facts[2].expires_at = Some(now().plus_seconds(1));
    facts[1].expires_at = Some(now());
    facts[1].aliases = vec![(Alias::latest(), true)];
    let retention = Retention { keep_last: Some(1), ..Retention::default() };
    let decided = explain(&facts, Some(&retention), now());
    // The newest of those that live on counts as the last.
    assert_eq!(kept(&decided), [1, 2]);
    assert_eq!(decided[3].verdict, Verdict::Delete { expired: Some(now()) });
    let decided = explain(&facts, None, now());
    assert_eq!(kept(&decided), [0, 1, 2]);
    assert_eq!(decided[0].verdict, Verdict::Keep(vec![Keep::NoRules]));
}

fn any_facts() -> impl Strategy<Value = Vec<Facts>> {
    let one = (
        0..1200i64,
        prop::option::weighted(0.2, 0..2000i64),
        0..8u8,
        prop::collection::vec((0..6u64, prop::option::of(0..12u64)), 0..3),
    );
    prop::collection::vec(one, 0..12).prop_map(|many| {
        many.into_iter()
            .enumerate()
            .map(|(index, (created, expires, held, uses))| Facts {
                created_at: Timestamp::from_micros(created * 1_000_000),
                expires_at: expires.map(|at| Timestamp::from_micros(at * 1_000_000)),
                aliases: match held {
                    0 => vec![(Alias::new("prod").unwrap(), false)],
                    1 => vec![(Alias::latest(), true)],
                    2 => vec![(Alias::latest(), false)],
                    _ => vec![],
                },
                tags: if held == 3 { vec![Tag::new("t").unwrap()] } else { vec![] },
                links: if held == 4 { vec!["l:v0".to_owned()] } else { vec![] },
                uses: uses
                    .into_iter()
                    .map(|(run, inside)| used(run, inside.map_or(500, |at| at + 1), inside))
                    .collect(),
                ..version(index as u64)
            })
            .collect()
    })
}

fn any_retention() -> impl Strategy<Value = Retention> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (prop::option::of(0..6u64), prop::option::of(0..1200u64), flags).prop_map(
        |(keep_last, younger_than, (aliased, tagged, used))| Retention {
            keep_last,
            younger_than,
            aliased,
            tagged,
            used,
        },
    )
}

/// The facts of what is left after a decision.
fn after(facts: &[Facts], decided: &[Decided]) -> Vec<Facts> {
    let stay = kept(decided);
    let stays = |index: VersionIndex| stay.contains(&index.get());
    let mut left: Vec<Facts> = facts.iter().filter(|one| stays(one.index)).cloned().collect();
    for one in &mut left {
        one.uses.retain(|used| used.inside.is_none_or(stays));
    }
    left
}

/// References inside the collection name versions that exist.
fn sane(facts: &mut [Facts]) {
    let count = facts.len() as u64;
    for one in facts {
        one.uses.retain(|used| used.inside.is_none_or(|at| at.get() < count));
    }
}

proptest! {
    #[test]
    fn more_rules_keep_more(
        mut facts in any_facts(), one in any_retention(), other in any_retention(),
    ) {
        sane(&mut facts);
        let both = Retention {
            keep_last: one.keep_last.max(other.keep_last),
            younger_than: one.younger_than.max(other.younger_than),
            aliased: one.aliased || other.aliased,
            tagged: one.tagged || other.tagged,
            used: one.used || other.used,
        };
        // No rule at all keeps everything, and so is no smaller than any.
        prop_assume!(!one.is_empty());
        let small = kept(&explain(&facts, Some(&one), now()));
        let large = kept(&explain(&facts, Some(&both), now()));
        prop_assert!(small.iter().all(|index| large.contains(index)), "{small:?} {large:?}");
        let all = kept(&explain(&facts, None, now()));
        prop_assert!(large.iter().all(|index| all.contains(index)));
    }

    #[test]
    fn deciding_again_changes_nothing(mut facts in any_facts(), retention in any_retention()) {
        sane(&mut facts);
        let decided = explain(&facts, Some(&retention), now());
        prop_assert_eq!(decided.len(), facts.len());
        let left = after(&facts, &decided);
        let again = kept(&explain(&left, Some(&retention), now()));
        prop_assert_eq!(again, kept(&decided));
    }

    #[test]
    fn the_last_are_exactly_so_many(mut facts in any_facts(), count in 0..6u64) {
        sane(&mut facts);
        for one in &mut facts {
            (one.aliases, one.links, one.expires_at) = (vec![], vec![], None);
        }
        let retention = Retention { keep_last: Some(count), ..Retention::default() };
        let stay = kept(&explain(&facts, Some(&retention), now()));
        let total = facts.len() as u64;
        let expected: Vec<u64> = (total.saturating_sub(count)..total).collect();
        prop_assert_eq!(stay, expected);
    }

    #[test]
    fn what_holds_a_version_keeps_it(mut facts in any_facts(), retention in any_retention()) {
        sane(&mut facts);
        let stay = kept(&explain(&facts, Some(&retention), now()));
        for one in &facts {
            let named = one.aliases.iter().any(|(alias, safe)| !alias.is_latest() || *safe);
            if named || !one.links.is_empty() {
                prop_assert!(stay.contains(&one.index.get()), "{one:?}");
            }
        }
    }
}

#[test]
fn retention_is_applied_in_one_decision() {
    let world = World::new(Box::new(MemoryCatalog::new()));
    let p = world.project("p");
    for content in 0..6 {
        let aliases: &[&str] = if content == 1 { &["prod"] } else { &[] };
        world.put(p, &Put { aliases, ..Put::new("animals", content) }).unwrap();
    }
    let run = world.run(p, "train");
    let source = world.version("animals:v2").id;
    let use_it = UseVersion { run, version: source, asked: None, at: world.now() };
    world.apply(|view| rules::use_version(view, &use_it)).unwrap();
    let model = Put { run: Some(run), artifact_type: Some("model"), ..Put::new("model", 50) };
    world.put(p, &model).unwrap();
    let collection = world.collection(p, "animals").id;
    let set = |retention| SetRetention { by: world.by(), collection, retention };
    let rules = Retention { keep_last: Some(2), used: true, ..Retention::default() };
    let none = world.apply(|view| rules::set_retention(view, &set(Some(Retention::default()))));
    assert!(matches!(none, Err(Refusal::NoRetentionRule { .. })));
    world.apply(|view| rules::set_retention(view, &set(Some(rules)))).unwrap();
    assert_eq!(world.collection(p, "animals").retention, Some(rules));

    let request = ApplyRetention { by: world.by(), collection, undo_seconds: 60 };
    let done = world.apply(|view| rules::apply_retention(view, &request)).unwrap();
    assert_eq!(kept(&done.decided), [1, 2, 4, 5]);
    let gone: Vec<u64> = done.deleted.versions.iter().map(|one| one.index.get()).collect();
    assert_eq!(gone, [0, 3]);
    world.read(|view| {
        let events = view.events(collection, None, 100)?;
        let deleted = events.iter().find(|event| event.kind == EventKind::Deleted).unwrap();
        assert!(deleted.detail.contains(r#""reason":"retention""#), "{}", deleted.detail);
        Ok(())
    });
    let again = world.apply(|view| rules::apply_retention(view, &request)).unwrap();
    assert!(again.deleted.versions.is_empty());
    // It is a plain delete.
    let back = RestoreVersions { by: world.by(), versions: &[done.deleted.versions[0].version] };
    world.apply(|view| rules::restore_versions(view, &back)).unwrap();
    let state = world.version("animals:v0").state;
    assert_eq!(state, VersionState::Committed);
    // When the model goes, nothing needs v2 any more.
    let made = world.version("model:v0").id;
    let like = rules::Delete { versions: &[made], ..rules::Delete::nothing(world.by(), 60) };
    world.apply(|view| rules::delete(view, &like)).unwrap();
    let done = world.apply(|view| rules::apply_retention(view, &request)).unwrap();
    assert_eq!(kept(&done.decided), [1, 4, 5]);
}
