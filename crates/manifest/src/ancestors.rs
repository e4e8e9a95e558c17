//! The rule that no entry is used as a directory, checked over a sorted stream.

/// Finds the entry above the next path of an ascending sequence, if there is
/// one, in memory proportional to a path's length.
///
/// Between `a` and `a/b` there may be `a-c` and any number of others, so looking
/// at the path before is not enough. Kept are the lengths of those earlier paths
/// that the current path starts with (as text); all are prefixes of it, so
/// lengths say everything. A path on the stack that the next one does not start
/// with cannot be a prefix of any later one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ancestors {
    lengths: Vec<usize>,
}

impl Ancestors {
    /// Takes the next path, which has its first `shared` bytes (and no more) in
    /// common with the path before. Returns the length of the entry above it.
    pub(crate) fn next(&mut self, path: &[u8], shared: usize) -> Option<usize> {
        while self.lengths.last().is_some_and(|length| *length > shared) {
            self.lengths.pop();
        }
        // A shorter prefix was followed by the same byte in the path before,
        // and was looked at then.
        let above = self
            .lengths
            .last()
            .copied()
            .filter(|length| *length == shared && path.get(shared) == Some(&b'/'));
        self.lengths.push(path.len());
        above
    }
}
