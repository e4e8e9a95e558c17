//! Several sorted lists of entries as one: what the parts of a version hold
//! together.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashSet};

use heirloom_core::OnConflict;
use heirloom_manifest::{BlobId, Entry, LogicalPath};

use crate::read::half;

/// Clashes that are kept to be named.
const NAMED: usize = 100;

/// Different entries at one path that are kept to be named.
const SIDES: usize = 8;

/// Where parts contradict each other. Parts are named by their place among the
/// sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Clash {
    /// Different entries at one path, each with the first part that has it.
    Entries {
        /// The path.
        path: LogicalPath,
        /// The entries; at most eight.
        sides: Vec<(usize, Entry)>,
    },
    /// One part needs a directory where another has a file or reference.
    Below {
        /// The path of the file.
        file: LogicalPath,
        /// The part that has it.
        file_of: usize,
        /// The first path below it.
        below: LogicalPath,
        /// The part that has that.
        below_of: usize,
    },
}

/// One entry of the union.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pick {
    pub(crate) path: LogicalPath,
    pub(crate) entry: Entry,
}

/// The union of several lists of entries, each ascending by path and free of
/// contradictions, in ascending order.
///
/// Identical entries are one. Of different entries at a path the policy picks; with
/// [`OnConflict::Error`] they clash. An empty directory that another list fills is
/// still picked, for its content may come much later, but noted in
/// [`Union::filled`]: whoever builds a tree leaves those out.
///
/// Memory: the next entry of each list, and the picked paths that the present one
/// starts with.
pub(crate) struct Union<I> {
    sources: Vec<I>,
    heads: BinaryHeap<Reverse<Head>>,
    on_conflict: OnConflict,
    above: Vec<Above>,
    clashes: Vec<Clash>,
    more: u64,
    filled: HashSet<[u8; 16]>,
}

/// The next entry of one list; lists are ordered by their path, then place.
struct Head {
    path: LogicalPath,
    source: usize,
    entry: Entry,
}

/// A picked path that later ones may lie below.
struct Above {
    path: LogicalPath,
    source: usize,
    is_directory: bool,
    told: bool,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.source) == (&other.path, other.source)
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.path.cmp(&other.path).then(self.source.cmp(&other.source))
    }
}

impl<I, E> Union<I>
where
    I: Iterator<Item = Result<(LogicalPath, Entry), E>>,
{
    /// The union of these, which are in the order that `first` and `last` mean.
    ///
    /// # Errors
    /// What a list's first entry is.
    pub(crate) fn new(sources: Vec<I>, on_conflict: OnConflict) -> Result<Self, E> {
        let count = sources.len();
        let mut union = Self {
            sources,
            heads: BinaryHeap::with_capacity(count),
            on_conflict,
            above: Vec::new(),
            clashes: Vec::new(),
            more: 0,
            filled: HashSet::new(),
        };
        for source in 0..count {
            union.refill(source)?;
        }
        Ok(union)
    }

    fn refill(&mut self, source: usize) -> Result<(), E> {
        if let Some((path, entry)) = self.sources[source].next().transpose()? {
            self.heads.push(Reverse(Head { path, source, entry }));
        }
        Ok(())
    }

    /// The next entry.
    ///
    /// # Errors
    /// What a list's entry is.
    pub(crate) fn next(&mut self) -> Result<Option<Pick>, E> {
        let Some(Reverse(first)) = self.heads.pop() else { return Ok(None) };
        self.refill(first.source)?;
        let path = first.path;
        let mut picked = (first.source, first.entry);
        let mut others: Vec<(usize, Entry)> = Vec::new();
        while self.heads.peek().is_some_and(|Reverse(head)| head.path == path) {
            let Some(Reverse(Head { source, entry, .. })) = self.heads.pop() else { break };
            self.refill(source)?;
            match self.on_conflict {
                OnConflict::First => {}
                OnConflict::Last => picked = (source, entry),
                OnConflict::Error => {
                    let known = entry == picked.1 || others.iter().any(|(_, e)| *e == entry);
                    if !known && others.len() + 1 < SIDES {
                        others.push((source, entry));
                    }
                }
            }
        }
        if !others.is_empty() {
            let mut sides = vec![picked];
            sides.append(&mut others);
            // Whatever the order of the lists, the same is found below this path.
            let witness = sides.iter().find(|(_, entry)| *entry != Entry::EmptyDirectory);
            picked = witness.unwrap_or(&sides[0]).clone();
            self.clash(|| Clash::Entries { path: path.clone(), sides });
        }
        self.place(&path, &picked);
        Ok(Some(Pick { path, entry: picked.1 }))
    }

    /// Finds what was picked above the next path.
    fn place(&mut self, path: &LogicalPath, (source, entry): &(usize, Entry)) {
        while self.above.last().is_some_and(|top| !path.as_str().starts_with(top.path.as_str())) {
            self.above.pop();
        }
        let mut clashes = Vec::new();
        for top in &mut self.above {
            if !path.is_within(top.path.as_str()) {
                continue;
            }
            if top.is_directory {
                self.filled.insert(mark(&top.path));
            } else if !std::mem::replace(&mut top.told, true) {
                clashes.push(Clash::Below {
                    file: top.path.clone(),
                    file_of: top.source,
                    below: path.clone(),
                    below_of: *source,
                });
            }
        }
        for clash in clashes {
            self.clash(|| clash);
        }
        self.above.push(Above {
            path: path.clone(),
            source: *source,
            is_directory: *entry == Entry::EmptyDirectory,
            told: false,
        });
    }

    fn clash(&mut self, clash: impl FnOnce() -> Clash) {
        match self.clashes.len() < NAMED {
            true => self.clashes.push(clash()),
            false => self.more += 1,
        }
    }

    /// Whether anything clashed so far.
    pub(crate) fn is_broken(&self) -> bool {
        !self.clashes.is_empty()
    }

    /// Empty directories that turned out to be filled so far; see [`mark`].
    pub(crate) fn filled(&self) -> &HashSet<[u8; 16]> {
        &self.filled
    }

    /// What clashed, the first hundred, and how many more there are.
    pub(crate) fn into_clashes(self) -> (Vec<Clash>, u64) {
        (self.clashes, self.more)
    }
}

/// Stands for a path in a set of many.
pub(crate) fn mark(path: &LogicalPath) -> [u8; 16] {
    half(&BlobId::of(path.as_str().as_bytes()))
}

/// The parts that clashes are about.
pub(crate) fn parts_of(clashes: &[Clash]) -> BTreeSet<usize> {
    let mut parts = BTreeSet::new();
    for clash in clashes {
        match clash {
            Clash::Entries { sides, .. } => parts.extend(sides.iter().map(|(part, _)| *part)),
            Clash::Below { file_of, below_of, .. } => parts.extend([*file_of, *below_of]),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use heirloom_manifest::{Discard, NodeId, TreeBuilder};
    use proptest::prelude::*;

    use super::*;

    type Part = BTreeMap<LogicalPath, Entry>;

    fn file(content: u8) -> Entry {
        Entry::File { blob: BlobId::of(&[content]), size: 1 }
    }

    fn part(entries: &[(&str, Entry)]) -> Part {
        entries.iter().map(|(path, entry)| (path.parse().unwrap(), entry.clone())).collect()
    }

    /// What differs, without saying in which part.
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Seen {
        Entries(String, BTreeSet<String>),
        Below(String, String),
    }

    fn union(parts: &[Part], on_conflict: OnConflict) -> Result<NodeId, Vec<Seen>> {
        let mut filled = HashSet::new();
        loop {
            let sources: Vec<_> = parts
                .iter()
                .map(|part| part.clone().into_iter().map(Ok::<_, Infallible>))
                .collect();
            let mut union = Union::new(sources, on_conflict).unwrap();
            let mut builder = TreeBuilder::new(Discard);
            while let Some(Pick { path, entry }) = union.next().unwrap() {
                let left_out = entry == Entry::EmptyDirectory && filled.contains(&mark(&path));
                if !left_out && !union.is_broken() && union.filled().is_subset(&filled) {
                    builder.push(&path, &entry).unwrap();
                }
            }
            if union.is_broken() {
                return Err(union.into_clashes().0.into_iter().map(seen).collect());
            }
            if union.filled().is_subset(&filled) {
                return Ok(builder.finish().unwrap().root);
            }
            filled.clone_from(union.filled());
        }
    }

    fn seen(clash: Clash) -> Seen {
        match clash {
            Clash::Entries { path, sides } => Seen::Entries(
                path.to_string(),
                sides.iter().map(|(_, entry)| format!("{entry:?}")).collect(),
            ),
            Clash::Below { file, below, .. } => Seen::Below(file.to_string(), below.to_string()),
        }
    }

    fn root(entries: &[(&str, Entry)]) -> NodeId {
        let mut builder = TreeBuilder::new(Discard);
        for (path, entry) in part(entries) {
            builder.push(&path, &entry).unwrap();
        }
        builder.finish().unwrap().root
    }

    #[test]
    fn what_all_have_once_and_what_one_has_too() {
        let parts = [
            part(&[("a", file(1)), ("c", file(3))]),
            part(&[("b/x", file(2)), ("c", file(3))]),
            part(&[]),
        ];
        let all = root(&[("a", file(1)), ("b/x", file(2)), ("c", file(3))]);
        for policy in OnConflict::ALL {
            assert_eq!(union(&parts, policy), Ok(all));
        }
    }

    #[test]
    fn the_policy_says_which_content_counts() {
        let parts = [1, 2, 3].map(|content| part(&[("a", file(content))]));
        assert_eq!(union(&parts, OnConflict::First), Ok(root(&[("a", file(1))])));
        assert_eq!(union(&parts, OnConflict::Last), Ok(root(&[("a", file(3))])));
        let Err(clashes) = union(&parts, OnConflict::Error) else { panic!("it is no error") };
        let [Seen::Entries(path, sides)] = &clashes[..] else { panic!("{clashes:?}") };
        assert_eq!((path.as_str(), sides.len()), ("a", 3));
    }

    #[test]
    fn a_file_is_no_directory_whatever_the_policy() {
        let parts = [
            part(&[("a/b/c", file(1)), ("a/d", file(1))]),
            part(&[("a-", file(2))]),
            part(&[("a", file(3))]),
        ];
        for policy in OnConflict::ALL {
            assert_eq!(union(&parts, policy), Err(vec![Seen::Below("a".into(), "a/b/c".into())]));
        }
    }

    #[test]
    fn an_empty_directory_is_filled_by_another_part() {
        let empty = Entry::EmptyDirectory;
        let parts = [
            part(&[("a", empty.clone()), ("z", empty.clone())]),
            part(&[("a-b", file(1)), ("a/x", empty.clone())]),
            part(&[("a/x/y", file(2)), ("z", empty.clone())]),
        ];
        let all = root(&[("a-b", file(1)), ("a/x/y", file(2)), ("z", empty)]);
        for policy in OnConflict::ALL {
            assert_eq!(union(&parts, policy), Ok(all));
        }
    }

    #[test]
    fn many_clashes_are_counted() {
        let paths: Vec<String> = (0..250).map(|i| format!("{i:03}")).collect();
        let of = |content| -> Part {
            paths.iter().map(|path| (path.parse().unwrap(), file(content))).collect()
        };
        let sources = [of(1), of(2)].map(|part| part.into_iter().map(Ok::<_, Infallible>));
        let mut union = Union::new(sources.into(), OnConflict::Error).unwrap();
        while union.next().unwrap().is_some() {}
        let (named, more) = union.into_clashes();
        assert_eq!((named.len(), more), (NAMED, 150));
        assert_eq!(parts_of(&named), BTreeSet::from([0, 1]));
    }

    /// A part over few names, so that parts meet; free of contradictions in itself.
    fn arbitrary_part() -> impl Strategy<Value = Part> {
        let name = prop::sample::select(vec!["a", "a-", "a/b", "a/b/c", "a/d", "b", "b/a", "c"]);
        let entry = prop_oneof![4 => (0u8..3).prop_map(file), 1 => Just(Entry::EmptyDirectory)];
        prop::collection::btree_map(name, entry, 0..5).prop_map(|entries| {
            let mut part: Part = BTreeMap::new();
            for (path, entry) in entries {
                let path: LogicalPath = path.parse().unwrap();
                if path
                    .ancestors()
                    .all(|above| !part.contains_key(&LogicalPath::new(above).unwrap()))
                {
                    part.insert(path, entry);
                }
            }
            part
        })
    }

    proptest! {
        #[test]
        fn the_order_of_parts_means_nothing_without_a_policy(
            (parts, other) in prop::collection::vec(arbitrary_part(), 0..5)
                .prop_flat_map(|parts| (Just(parts.clone()), Just(parts).prop_shuffle())),
        ) {
            prop_assert_eq!(union(&parts, OnConflict::Error), union(&other, OnConflict::Error));
        }

        #[test]
        fn a_part_that_comes_twice_changes_nothing(
            parts in prop::collection::vec(arbitrary_part(), 1..5),
        ) {
            let mut twice = parts.clone();
            twice.extend(parts.clone());
            for policy in [OnConflict::Error, OnConflict::First, OnConflict::Last] {
                prop_assert_eq!(union(&parts, policy), union(&twice, policy));
            }
        }

        #[test]
        fn last_is_first_in_reverse(parts in prop::collection::vec(arbitrary_part(), 0..5)) {
            let reversed: Vec<Part> = parts.iter().rev().cloned().collect();
            prop_assert_eq!(union(&parts, OnConflict::First), union(&reversed, OnConflict::Last));
        }

        #[test]
        fn one_part_is_itself(part in arbitrary_part()) {
            let mut builder = TreeBuilder::new(Discard);
            for (path, entry) in &part {
                builder.push(path, entry).unwrap();
            }
            prop_assert_eq!(union(&[part], OnConflict::Error), Ok(builder.finish().unwrap().root));
        }
    }
}
