//! Where nodes end: the parameters of format 1.

/// Parameters of one kind of level.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LevelParams {
    pub(crate) min: usize,
    pub(crate) divisor: u64,
    pub(crate) max: usize,
    pub(crate) max_weight: usize,
}

/// Parameters of a tree. Only [`FORMAT`] makes trees that leave this crate;
/// tests use smaller ones so that few entries make many nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Params {
    leaf: LevelParams,
    inner: LevelParams,
}

/// Format 1 (`docs/format.md`, section 3, Boundaries).
pub(crate) const FORMAT: Params = Params {
    leaf: LevelParams { min: 64, divisor: 192, max: 1024, max_weight: 262_144 },
    inner: LevelParams { min: 32, divisor: 96, max: 512, max_weight: 262_144 },
};

impl Params {
    pub(crate) const fn at(&self, level: u8) -> LevelParams {
        if level == 0 { self.leaf } else { self.inner }
    }

    #[cfg(test)]
    pub(crate) const fn small() -> Self {
        Self {
            leaf: LevelParams { min: 2, divisor: 4, max: 9, max_weight: 400 },
            inner: LevelParams { min: 2, divisor: 3, max: 6, max_weight: 600 },
        }
    }
}

impl LevelParams {
    /// Whether a node of `count` records and `weight` ends after the record
    /// whose level and path are `keyed`.
    pub(crate) fn ends(&self, count: usize, weight: usize, keyed: &[u8]) -> bool {
        if count >= self.max || weight >= self.max_weight {
            return true;
        }
        if count < self.min {
            return false;
        }
        let hash = blake3::hash(keyed);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_le_bytes(first).is_multiple_of(self.divisor)
    }
}
