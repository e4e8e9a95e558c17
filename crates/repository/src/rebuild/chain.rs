//! Which of the records found in the store were committed: a pure rule.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use heirloom_manifest::BlobId;

/// A version record of one collection, as far as its place in the chain matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) record: BlobId,
    pub(super) index: u64,
    pub(super) predecessor: Option<BlobId>,
}

/// What the journal says of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// The number after the last one that the journal knows of.
    pub(super) next: u64,
    /// The record with the number before that.
    pub(super) last: Option<BlobId>,
    /// Records by number.
    pub(super) at: BTreeMap<u64, BlobId>,
}

/// The chain of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Chain {
    /// Records by number, as far as they were found.
    pub(super) chosen: BTreeMap<u64, BlobId>,
    /// Numbers that were given to versions of which nothing was found.
    pub(super) lost: Vec<u64>,
    /// Numbers for which several records could be the one.
    pub(super) ambiguous: Vec<(u64, Vec<BlobId>)>,
}

/// Finds the chain. The journal's word counts before all. Above it, the record
/// that a later one names as its predecessor is the one; where no later one says
/// so, at the end and after a gap, it is one that leads back to the journal's
/// last; and where several do, the one that the user chose.
pub(super) fn resolve(seen: &[Seen], known: &Known, choice: &BTreeSet<BlobId>) -> Chain {
    let by_id: HashMap<BlobId, &Seen> = seen.iter().map(|seen| (seen.record, seen)).collect();
    let mut by_index: BTreeMap<u64, Vec<&Seen>> = BTreeMap::new();
    for one in seen {
        let candidates = by_index.entry(one.index).or_default();
        if !candidates.iter().any(|other| other.record == one.record) {
            candidates.push(one);
        }
    }
    let mut chain = Chain::default();
    let top = by_index.keys().next_back().map_or(0, |last| last + 1).max(known.next);
    // What the record chosen last names; the outer `None`: nobody says.
    let mut named: Option<Option<BlobId>> = None;
    for index in (0..top).rev() {
        let candidates = by_index.get(&index).map_or(&[][..], Vec::as_slice);
        let found = match (known.at.get(&index), named) {
            (Some(id), _) => {
                // Present or not, the journal has the version.
                named = by_id.get(id).map(|seen| seen.predecessor);
                if by_id.contains_key(id) {
                    chain.chosen.insert(index, *id);
                }
                continue;
            }
            (None, Some(predecessor)) => candidates
                .iter()
                .find(|seen| Some(seen.record) == predecessor)
                .map(|seen| vec![*seen])
                .unwrap_or_default(),
            (None, None) => last_of(candidates, &by_id, known, choice),
        };
        match found[..] {
            [] => {
                chain.lost.push(index);
                named = None;
            }
            [one] => {
                chain.chosen.insert(index, one.record);
                named = Some(one.predecessor);
            }
            _ => {
                let mut records: Vec<BlobId> = found.iter().map(|seen| seen.record).collect();
                records.sort_unstable();
                chain.ambiguous.push((index, records));
                named = None;
            }
        }
    }
    chain.lost.reverse();
    chain.ambiguous.reverse();
    chain
}

/// Those of the records for a number that may be the one when no later record
/// tells.
fn last_of<'s>(
    candidates: &[&'s Seen],
    by_id: &HashMap<BlobId, &'s Seen>,
    known: &Known,
    choice: &BTreeSet<BlobId>,
) -> Vec<&'s Seen> {
    if candidates.len() < 2 {
        return candidates.to_vec();
    }
    let chosen: Vec<&Seen> =
        candidates.iter().copied().filter(|seen| choice.contains(&seen.record)).collect();
    if chosen.len() == 1 {
        return chosen;
    }
    let leads_back = |seen: &&Seen| {
        let mut seen = *seen;
        loop {
            if seen.index == known.next {
                return seen.predecessor == known.last;
            }
            match seen.predecessor.and_then(|id| by_id.get(&id)) {
                Some(before) if before.index + 1 == seen.index => seen = before,
                _ => return false,
            }
        }
    };
    let back: Vec<&Seen> = candidates.iter().copied().filter(leads_back).collect();
    if back.is_empty() { candidates.to_vec() } else { back }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(text: &str) -> BlobId {
        BlobId::of(text.as_bytes())
    }

    fn seen(record: &str, index: u64, predecessor: Option<&str>) -> Seen {
        Seen { record: id(record), index, predecessor: predecessor.map(id) }
    }

    fn chosen(chain: &Chain) -> Vec<BlobId> {
        chain.chosen.values().copied().collect()
    }

    #[test]
    fn a_lost_race_is_told_by_the_next_record() {
        let records = [
            seen("a", 0, None),
            seen("b", 1, Some("a")),
            seen("x", 1, Some("a")),
            seen("c", 2, Some("b")),
        ];
        let chain = resolve(&records, &Known::default(), &BTreeSet::new());
        assert_eq!(chosen(&chain), [id("a"), id("b"), id("c")]);
        assert!(chain.lost.is_empty() && chain.ambiguous.is_empty());
    }

    #[test]
    fn two_records_at_the_end_are_both_named_until_one_is_chosen() {
        let records = [seen("a", 0, None), seen("b", 1, Some("a")), seen("x", 1, Some("a"))];
        let chain = resolve(&records, &Known::default(), &BTreeSet::new());
        assert_eq!(chain.ambiguous.len(), 1);
        assert_eq!(chain.ambiguous[0].0, 1);
        assert_eq!(chosen(&chain), [id("a")]);
        let chain = resolve(&records, &Known::default(), &BTreeSet::from([id("x")]));
        assert_eq!(chosen(&chain), [id("a"), id("x")]);
    }

    #[test]
    fn the_journal_decides_and_what_leads_back_to_it_goes_on() {
        let known = Known { next: 2, last: Some(id("b")), at: [(1, id("b"))].into() };
        let records = [
            seen("x", 1, Some("a")),
            seen("b", 1, Some("a")),
            seen("c", 2, Some("b")),
            seen("y", 2, Some("x")),
        ];
        let chain = resolve(&records, &known, &BTreeSet::new());
        assert_eq!(chosen(&chain), [id("b"), id("c")]);
        assert_eq!(chain.lost, [0]);
        // Its record is gone, the journal knows of it all the same.
        let chain = resolve(&records[2..3], &known, &BTreeSet::new());
        assert_eq!((chosen(&chain), chain.lost), (vec![id("c")], vec![0]));
    }

    #[test]
    fn a_record_that_is_gone_is_a_lost_number() {
        let records = [seen("a", 0, None), seen("c", 2, Some("b")), seen("x", 1, Some("a"))];
        let chain = resolve(&records, &Known::default(), &BTreeSet::new());
        assert_eq!((chosen(&chain), chain.lost), (vec![id("a"), id("c")], vec![1]));
    }

    proptest! {
        /// Any history of races, of which any prefix is in the journal: the chain
        /// is found when its end is not disputed.
        #[test]
        fn whatever_raced_the_chain_is_found(
            losers in prop::collection::vec(0usize..3, 1..20),
            sealed in 0usize..20,
            shuffle: u64,
        ) {
            let mut all = Vec::new();
            let mut last = None;
            for (index, count) in losers.iter().enumerate() {
                let winner = id(&format!("w{index}"));
                let end = index + 1 == losers.len();
                for loser in 0..if end { 0 } else { *count } {
                    let record = id(&format!("l{index}-{loser}"));
                    all.push(Seen { record, index: index as u64, predecessor: last });
                }
                all.push(Seen { record: winner, index: index as u64, predecessor: last });
                last = Some(winner);
            }
            let sealed = sealed.min(losers.len());
            let at: BTreeMap<u64, BlobId> =
                (0..sealed).map(|index| (index as u64, id(&format!("w{index}")))).collect();
            let known = Known { next: sealed as u64, last: at.values().next_back().copied(), at: at.clone() };
            let known = Known { last: at.get(&(sealed as u64).wrapping_sub(1)).copied(), ..known };
            let turn = shuffle as usize % all.len();
            all.rotate_left(turn);
            let chain = resolve(&all, &known, &BTreeSet::new());
            let wanted: Vec<BlobId> = (0..losers.len()).map(|index| id(&format!("w{index}"))).collect();
            prop_assert_eq!(chosen(&chain), wanted);
            prop_assert!(chain.lost.is_empty() && chain.ambiguous.is_empty());
        }
    }
}
