//! Names near to a mistyped one.

/// Number of single-character insertions, deletions, replacements and swaps of
/// neighbours that turn `a` into `b` (optimal string alignment), or `None` when
/// it is more than `limit`.
pub fn distance(a: &str, b: &str, limit: usize) -> Option<usize> {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i);
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        if row.iter().all(|cost| *cost > limit) {
            return None;
        }
        before = std::mem::replace(&mut above, row);
    }
    Some(above[b.len()]).filter(|cost| *cost <= limit)
}

/// The at most three candidates nearest to `name`, nearest first, ties by text.
/// A candidate counts when a third of the name's characters, at least one, suffice
/// to reach it.
pub fn nearest(name: &str, candidates: impl IntoIterator<Item = String>) -> Vec<String> {
    const SHOWN: usize = 3;
    let limit = (name.chars().count() / 3).max(1);
    let mut found: Vec<(usize, String)> = Vec::new();
    for candidate in candidates {
        if let Some(cost) = distance(name, &candidate, limit) {
            found.push((cost, candidate));
            found.sort();
            found.truncate(SHOWN);
        }
    }
    found.into_iter().map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_are_near_and_other_words_are_not() {
        let names = || ["animals", "animal", "aminals", "models", "zebra"].map(String::from);
        assert_eq!(nearest("anmials", names()), ["animals", "aminals", "animal"]);
        assert_eq!(nearest("Animals", names()), ["animals", "animal", "aminals"]);
        assert!(nearest("weights", names()).is_empty());
    }

    #[test]
    fn distances() {
        assert_eq!(distance("ab", "ba", 2), Some(1));
        assert_eq!(distance("kitten", "sitting", 3), Some(3));
        assert_eq!(distance("kitten", "sitting", 2), None);
        assert_eq!(distance("", "ab", 2), Some(2));
    }
}
