//! What tells an unchanged file from a changed one.

/// What the system says of a file without reading it. Two equal values mean
/// "the same, as far as one can tell unread"; see [`FileStat::settled_before`]
/// for how far that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileStat {
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change of content, in nanoseconds since 1970 (UTC).
    pub mtime_ns: i64,
    /// Time of the last change of content, name or mode; unlike `mtime_ns` it
    /// cannot be set by a program.
    pub ctime_ns: i64,
    /// Number of the file in its file system.
    pub inode: u64,
}

/// Where time stamps have fractions of a second, the clock behind them ticks
/// at least this often, in nanoseconds (the slowest kernels tick at 100 Hz).
const FINE_MARGIN_NS: i64 = 50_000_000;

/// Where both stamps are whole seconds the file system may count in steps of
/// two seconds, as FAT does.
const COARSE_MARGIN_NS: i64 = 2_100_000_000;

impl FileStat {
    /// Whether the last change lies so far before `time_ns` that any change at
    /// or after that time must give other stamps.
    ///
    /// A digest computed after `time_ns` from a file of which this is true can
    /// be believed for as long as the stamps stay. Otherwise the file is
    /// *racily clean*: it may have been written again within the same tick of
    /// the clock, after it was read, and look unchanged. (The rule of git's
    /// index, with a margin for coarse clocks.)
    pub fn settled_before(&self, time_ns: i64) -> bool {
        let limit = time_ns.saturating_sub(self.margin());
        self.mtime_ns < limit && self.ctime_ns < limit
    }

    /// How many nanoseconds from `now_ns` on a further change may still go
    /// without a new `ctime_ns`; 0 when none may. Reading must not begin before:
    /// else a file that is rewritten while it is read can look unchanged, on
    /// systems whose clock for files ticks seldom.
    pub fn unsettled_for(&self, now_ns: i64) -> u64 {
        let margin = self.margin();
        // A stamp in the future is from another clock, which ticks as well.
        let left = self.ctime_ns.saturating_add(margin).saturating_sub(now_ns);
        left.clamp(0, margin).unsigned_abs()
    }

    fn margin(&self) -> i64 {
        let whole = |ns: i64| ns.rem_euclid(1_000_000_000) == 0;
        if whole(self.mtime_ns) && whole(self.ctime_ns) { COARSE_MARGIN_NS } else { FINE_MARGIN_NS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_files_are_not_settled() {
        const S: i64 = 1_000_000_000;
        let stat = |mtime_ns, ctime_ns| FileStat { size: 1, mtime_ns, ctime_ns, inode: 1 };
        let now = 1000 * S + 123;
        assert!(stat(900 * S + 1, 990 * S + 1).settled_before(now));
        // Either stamp decides.
        assert!(!stat(900 * S + 1, now).settled_before(now));
        assert!(!stat(now, 900 * S + 1).settled_before(now));
        // The future is never settled.
        assert!(!stat(900 * S + 1, now + S).settled_before(now));
        // Whole seconds may mean a coarse clock.
        assert!(stat(999 * S - 1, 999 * S).settled_before(now));
        assert!(!stat(999 * S, 999 * S).settled_before(now));
        // What was just changed may be changed again within the same tick.
        assert_eq!(stat(0, 990 * S + 1).unsettled_for(now), 0);
        assert_eq!(stat(0, now - 40_000_000).unsettled_for(now), 10_000_000);
        assert_eq!(stat(0, now + S).unsettled_for(now), 50_000_000);
        assert_eq!(stat(0, 1000 * S).unsettled_for(now), 2_100_000_000 - 123);
        // A margin below the tick of the clock.
        assert!(!stat(now - 40_000_000, 900 * S + 1).settled_before(now));
    }
}
