//! Diff, patch, merge and check.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::support::*;
use crate::params::{FORMAT, Params};
use crate::patch::check_with;
use crate::*;

fn patch_small(
    nodes: &mut MemoryNodes,
    base: NodeId,
    edits: impl IntoIterator<Item = (LogicalPath, Edit)>,
) -> Result<(Patched, MemoryNodes), PatchError<NoSuchNode, std::convert::Infallible>> {
    let mut new = MemoryNodes::new();
    let mut patcher = Patcher::with_params(nodes, &base, Params::small())?;
    for (path, edit) in edits {
        patcher.push(nodes, &mut new, &path, edit)?;
    }
    Ok((patcher.finish(nodes, &mut new)?, new))
}

fn changes(nodes: &mut MemoryNodes, before: NodeId, after: NodeId) -> Vec<Change> {
    Diff::new(nodes, before, after).collect::<Result<_, _>>().unwrap()
}

fn expected_changes(before: &Model, after: &Model) -> Vec<Change> {
    let mut all: BTreeMap<LogicalPath, ChangeKind> = BTreeMap::new();
    for (path, entry) in before {
        let kind = match after.get(path) {
            None => ChangeKind::Removed(entry.clone()),
            Some(same) if same == entry => continue,
            Some(after) => ChangeKind::Changed { before: entry.clone(), after: after.clone() },
        };
        all.insert(path.clone(), kind);
    }
    for (path, entry) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
        all.insert(path.clone(), ChangeKind::Added(entry.clone()));
    }
    all.into_iter().map(|(path, kind)| Change { path, kind }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn diff_then_patch_is_the_other_tree(model in any_model(120), touches in any_touch()) {
        let other = touch(&model, &touches);
        let mut nodes = MemoryNodes::new();
        let before = build(Params::small(), &model, &mut nodes);
        let after = build(Params::small(), &other, &mut nodes);
        let changes = changes(&mut nodes, before.root, after.root);
        prop_assert_eq!(&changes, &expected_changes(&model, &other));

        let edits = changes.into_iter().map(|change| match change.kind.after() {
            Some(entry) => (change.path, Edit::Put(entry.clone())),
            None => (change.path, Edit::Remove),
        });
        // The sink has only what the patch emitted: with the base's nodes that
        // must be a whole tree.
        let mut base = MemoryNodes::new();
        build(Params::small(), &model, &mut base);
        let (patched, new) = patch_small(&mut base, before.root, edits).unwrap();
        prop_assert_eq!(patched.tree, after);
        prop_assert_eq!(patched.nodes as usize, new.len());
        for (id, bytes) in new.iter() {
            base.insert(*id, bytes.to_vec());
        }
        prop_assert_eq!(read(&mut base, after.root), other);
    }

    #[test]
    fn unrelated_trees_patch_into_each_other(a in any_model(60), b in any_model(60)) {
        let mut nodes = MemoryNodes::new();
        let before = build(Params::small(), &a, &mut nodes);
        let after = build(Params::small(), &b, &mut nodes);
        let (patched, _) = patch_small(&mut nodes, before.root, edits(&a, &b)).unwrap();
        prop_assert_eq!(patched.tree, after);
    }

    /// Any edits at all: the patch succeeds exactly if the result is a manifest.
    #[test]
    fn a_patch_checks_the_result(
        model in any_model(100),
        raw in proptest::collection::btree_map(any_path(), proptest::option::of(any_entry()), 0..10),
    ) {
        let mut result = model.clone();
        let mut missing = 0;
        let mut edits = Vec::new();
        for (path, entry) in raw {
            match entry {
                Some(entry) => {
                    result.insert(path.clone(), entry.clone());
                    edits.push((path, Edit::Put(entry)));
                }
                None => {
                    missing += u64::from(result.remove(&path).is_none());
                    edits.push((path, Edit::Remove));
                }
            }
        }
        let mut nodes = MemoryNodes::new();
        let base = build(Params::small(), &model, &mut nodes).root;
        let mut patcher = Patcher::with_params(&mut nodes, &base, Params::small())
            .unwrap()
            .on_missing(MissingRemove::Ignore);
        let outcome = edits
            .into_iter()
            .try_for_each(|(path, edit)| patcher.push(&mut nodes, &mut Discard, &path, edit))
            .and_then(|()| patcher.finish(&mut nodes, &mut Discard));
        match outcome {
            Ok(patched) => {
                prop_assert!(!is_broken(&result));
                prop_assert_eq!(patched.tree, build(Params::small(), &result, &mut nodes));
                prop_assert_eq!(patched.missing, missing);
            }
            Err(PatchError::Invalid(ManifestError::FileAsDirectory { file, below })) => {
                prop_assert!(is_broken(&result));
                prop_assert!(result.contains_key(&file) && result.contains_key(&below));
                prop_assert!(below.is_within(file.as_str()));
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn checking_accepts_what_we_build_and_nothing_else(model in any_model(100), touches in any_touch()) {
        let other = touch(&model, &touches);
        let mut nodes = MemoryNodes::new();
        let base = build(Params::small(), &model, &mut nodes).root;
        let tree = build(Params::small(), &other, &mut nodes);
        let mut seen = Model::new();
        let checked = check_with(&mut nodes, &base, &tree.root, Params::small(), |path, entry| {
            seen.insert(path.clone(), entry.clone());
            Ok(())
        });
        prop_assert_eq!(checked.unwrap(), tree);
        let expected: Model = other
            .iter()
            .filter(|(path, entry)| model.get(*path) != Some(entry))
            .map(|(path, entry)| (path.clone(), entry.clone()))
            .collect();
        prop_assert_eq!(seen, expected);
        // The same entries cut up by other parameters are not the format's tree.
        let foreign = build(FORMAT, &other, &mut nodes);
        if foreign.root != tree.root {
            for base in [empty_tree(), base] {
                let refused =
                    check_with(&mut nodes, &base, &foreign.root, Params::small(), |_, _| Ok(()));
                let expected = ReadError::Damaged {
                    node: foreign.root,
                    reason: Damage::NotCanonical { canonical: tree.root },
                };
                prop_assert_eq!(refused, Err(expected));
            }
        }
    }

    #[test]
    fn merges_obey_their_laws(model in any_model(80), a in any_touch(), b in any_touch()) {
        let (ours, theirs) = (touch(&model, &a), touch(&model, &b));
        let mut nodes = MemoryNodes::new();
        let mut root = |model: &Model| build(Params::small(), model, &mut nodes).root;
        let (base, our_root, their_root) = (root(&model), root(&ours), root(&theirs));
        let merge = |nodes: &mut MemoryNodes, base, ours, theirs| {
            Merge::new(nodes, base, ours, theirs).plan().unwrap()
        };
        // Nothing to take over, everything to take over, the same on both sides.
        prop_assert_eq!(merge(&mut nodes, base, our_root, base), MergePlan::default());
        prop_assert_eq!(merge(&mut nodes, base, our_root, our_root), MergePlan::default());
        let all: BTreeMap<_, _> = merge(&mut nodes, base, base, their_root).edits.into_iter().collect();
        prop_assert_eq!(all, edits(&model, &theirs));

        // Against the model: conflicts exactly where both changed differently,
        // or where the merged entries use an entry as a directory.
        let (our_edits, their_edits) = (edits(&model, &ours), edits(&model, &theirs));
        let mut merged = ours.clone();
        let mut both = Vec::new();
        for (path, edit) in &their_edits {
            match our_edits.get(path) {
                Some(same) if same == edit => {}
                Some(_) => both.push(path.clone()),
                None => match edit {
                    Edit::Put(entry) => drop(merged.insert(path.clone(), entry.clone())),
                    Edit::Remove => drop(merged.remove(path)),
                },
            }
        }
        let plan = merge(&mut nodes, base, our_root, their_root);
        let content: Vec<_> = plan
            .conflicts
            .iter()
            .filter_map(|conflict| match conflict {
                Conflict::Entry(conflict) => Some(conflict.path.clone()),
                Conflict::FileAndDirectory { .. } => None,
            })
            .collect();
        prop_assert_eq!(&content, &both);
        if both.is_empty() {
            prop_assert_eq!(plan.conflicts.is_empty(), !is_broken(&merged));
        }
        let mirrored = merge(&mut nodes, base, their_root, our_root);
        prop_assert_eq!(mirrored.conflicts.len(), plan.conflicts.len());
        if plan.conflicts.is_empty() {
            let (tree, _) = patch_small(&mut nodes, our_root, plan.edits).unwrap();
            prop_assert_eq!(tree.tree, build(Params::small(), &merged, &mut nodes));
            let (other, _) = patch_small(&mut nodes, their_root, mirrored.edits).unwrap();
            prop_assert_eq!(other.tree, tree.tree);
        }
    }

    #[test]
    fn renames_lose_nothing(model in any_model(60), touches in any_touch(), to in any_path()) {
        let mut other = touch(&model, &touches);
        if let Some((from, entry)) = model.iter().next() {
            other.remove(from);
            insert(&mut other, to, entry.clone());
        }
        let mut renames = Renames::new();
        let changes = expected_changes(&model, &other);
        let mut plain: Vec<_> =
            changes.iter().filter_map(|change| renames.push(change.clone())).collect();
        let found = renames.finish();
        prop_assert!(found.complete);
        plain.extend(found.rest);
        for rename in found.renames {
            prop_assert_eq!(model.get(&rename.from), Some(&rename.entry));
            prop_assert_eq!(other.get(&rename.to), Some(&rename.entry));
            plain.push(Change { path: rename.from, kind: ChangeKind::Removed(rename.entry.clone()) });
            plain.push(Change { path: rename.to, kind: ChangeKind::Added(rename.entry) });
        }
        plain.sort_by(|a, b| a.path.cmp(&b.path));
        prop_assert_eq!(plain, changes);
    }
}

#[test]
fn a_moved_directory_is_found_as_renames_by_name() {
    let same = |names: &[&str]| names.iter().map(|name| (path(name), file(7))).collect::<Model>();
    let before = same(&["old/a", "old/b", "old/c"]);
    let mut after = same(&["new/b", "new/c", "other"]);
    after.insert(path("z"), file(0));
    let mut renames = Renames::new();
    let passed: Vec<_> =
        expected_changes(&before, &after).into_iter().filter_map(|c| renames.push(c)).collect();
    assert_eq!(passed.len(), 1, "an empty file is never renamed");
    let found = renames.finish();
    let pairs: Vec<_> = found.renames.iter().map(|r| (r.from.as_str(), r.to.as_str())).collect();
    assert_eq!(pairs, [("old/b", "new/b"), ("old/c", "new/c"), ("old/a", "other")]);
    assert!(found.rest.is_empty() && found.complete);
}

#[test]
fn too_many_rename_candidates_are_passed_on_and_told() {
    let mut renames = Renames::new();
    let change = |n: usize| Change {
        path: path(&format!("{n:08}")),
        kind: ChangeKind::Added(file(1 + n as u64)),
    };
    for n in 0..MAX_RENAME_CANDIDATES {
        assert!(renames.push(change(n)).is_none());
    }
    assert!(renames.push(change(MAX_RENAME_CANDIDATES)).is_some());
    let found = renames.finish();
    assert!(!found.complete);
    assert_eq!(found.rest.len(), MAX_RENAME_CANDIDATES);
}

#[test]
fn bad_edits_are_refused_by_their_rule() {
    let model = files(&["a", "b/x", "b/y", "c"]);
    let put = || Edit::Put(file(9));
    let expect = |edits: &[(&str, Edit)], expected: ManifestError| {
        let mut nodes = MemoryNodes::new();
        let base = build(Params::small(), &model, &mut nodes).root;
        let edits = edits.iter().map(|(text, edit)| (path(text), edit.clone()));
        let refused = patch_small(&mut nodes, base, edits).map(|(patched, _)| patched);
        assert_eq!(refused, Err(PatchError::Invalid(expected)));
    };
    let as_directory = |file: &str, below: &str| ManifestError::FileAsDirectory {
        file: path(file),
        below: path(below),
    };
    expect(&[("d", Edit::Remove)], ManifestError::Missing { path: path("d") });
    expect(&[("d", put()), ("d", put())], ManifestError::Duplicate { path: path("d") });
    expect(
        &[("d", put()), ("c", put())],
        ManifestError::OutOfOrder { path: path("c"), after: path("d") },
    );
    expect(&[("a/x", put())], as_directory("a", "a/x"));
    expect(&[("b", put())], as_directory("b", "b/x"));
    expect(&[("b", put()), ("b/x", Edit::Remove)], as_directory("b", "b/y"));
    expect(&[("d", put()), ("d/e", put())], as_directory("d", "d/e"));
}

#[test]
fn a_file_far_from_its_directory_is_found() {
    // Between `a` and `a/x` lie enough entries for many adopted nodes, and so
    // do behind them: nothing has to be opened for another reason.
    let mut rest: Model = (0..500u64).map(|n| (path(&format!("a-{n:04}")), file(n))).collect();
    rest.extend((0..500u64).map(|n| (path(&format!("b-{n:04}")), file(n))));
    let expected = ManifestError::FileAsDirectory { file: path("a"), below: path("a/x") };
    for (there, put) in [("a/x", "a"), ("a", "a/x")] {
        let mut model = rest.clone();
        model.insert(path(there), file(1));
        let mut nodes = MemoryNodes::new();
        let base = build(Params::small(), &model, &mut nodes).root;
        let refused = patch_small(&mut nodes, base, [(path(put), Edit::Put(file(1)))]).map(drop);
        assert_eq!(refused, Err(PatchError::Invalid(expected.clone())));
        // Exchanging one for the other is fine, in either order of paths.
        let edits = BTreeMap::from([(path(there), Edit::Remove), (path(put), Edit::Put(file(1)))]);
        model.remove(&path(there));
        model.insert(path(put), file(1));
        let (patched, _) = patch_small(&mut nodes, base, edits).unwrap();
        assert_eq!(patched.tree, build(Params::small(), &model, &mut nodes));
    }
}

#[test]
fn a_tree_cut_short_at_either_end_is_canonical() {
    // Cutting leaves single nodes on levels that had several: the root moves
    // down, even past a last inner node that has one child.
    for count in 20..80u64 {
        let all: Vec<_> = (0..count).map(|n| (path(&format!("{n:03}")), file(n))).collect();
        let mut nodes = MemoryNodes::new();
        let base = build(Params::small(), &all.iter().cloned().collect(), &mut nodes).root;
        for keep in 0..10 {
            for (kept, cut) in
                [(&all[..keep], &all[keep..]), (&all[all.len() - keep..], &all[..all.len() - keep])]
            {
                let edits = cut.iter().map(|(path, _)| (path.clone(), Edit::Remove));
                let (patched, _) = patch_small(&mut nodes, base, edits).unwrap();
                let rest = kept.iter().cloned().collect();
                let expected = build(Params::small(), &rest, &mut MemoryNodes::new());
                assert_eq!(patched.tree, expected, "{keep} of {count}");
            }
        }
    }
}

#[test]
fn a_file_and_a_directory_of_one_name_conflict_from_either_side() {
    let base = files(&["k"]);
    let with = |extra: &str| {
        let mut model = base.clone();
        model.insert(path(extra), file(5));
        model
    };
    let mut nodes = MemoryNodes::new();
    let mut root = |model: &Model| build(Params::small(), model, &mut nodes).root;
    let (b, f, d) = (root(&base), root(&with("a")), root(&with("a/x")));
    for (ours, theirs, file_side) in [(f, d, Side::Ours), (d, f, Side::Theirs)] {
        let plan = Merge::new(&mut nodes, b, ours, theirs).plan().unwrap();
        let expected =
            Conflict::FileAndDirectory { file: path("a"), file_side, below: path("a/x") };
        assert_eq!(plan.conflicts, [expected]);
    }
}
