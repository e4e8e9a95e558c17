//! The names of one directory, sorted, at a few bytes a name beyond the name.

use std::cmp::Ordering;
use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::io::{Errno, Result as SysResult};

use crate::sys::{self, Kind};

/// Sorted children of a directory.
///
/// A directory takes two places: one by its *name*, where it belongs among its
/// siblings as an empty directory, and one by its name and `/`, where the paths
/// below it belong. Going through the slots in order, and into each directory
/// at its second place, visits all full paths in byte order.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// kind [1] ‖ length u16 ‖ name ‖ NUL, back to back.
    arena: Vec<u8>,
    /// Offsets into `arena`; the top bit marks a directory's second place.
    slots: Vec<u32>,
}

const ENTER: u32 = 1 << 31;
const HEADER: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    /// Whether this is a directory's second place.
    pub(crate) fn enters(self) -> bool {
        self.0 & ENTER != 0
    }

    /// The same for both places of a directory.
    pub(crate) fn id(self) -> u32 {
        self.0 & !ENTER
    }
}

impl Listing {
    /// Reads and sorts the names of `dir`. `classify` may change what a name
    /// counts as (links resolved) or leave it out; it gets the real kind.
    pub(crate) fn read(
        dir: &OwnedFd,
        mut classify: impl FnMut(&CStr, Kind) -> Option<Kind>,
    ) -> SysResult<Self> {
        let mut listing = Self::default();
        let mut failed = None;
        sys::list(dir, |name, kind| {
            let kind = match kind {
                Some(kind) => kind,
                None => match sys::stat_at(dir, name, 0) {
                    Ok(meta) => meta.kind,
                    Err(Errno::NOENT) => return,
                    Err(error) => {
                        failed = Some(error);
                        return;
                    }
                },
            };
            if let Some(kind) = classify(name, kind)
                && !listing.push(name, kind)
            {
                failed = Some(Errno::OVERFLOW);
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        listing.sort();
        Ok(listing)
    }

    fn push(&mut self, name: &CStr, kind: Kind) -> bool {
        let bytes = name.to_bytes();
        let (Ok(at), Ok(length)) = (u32::try_from(self.arena.len()), u16::try_from(bytes.len()))
        else {
            return false;
        };
        if at & ENTER != 0 {
            return false;
        }
        self.arena.push(kind as u8);
        self.arena.extend_from_slice(&length.to_le_bytes());
        self.arena.extend_from_slice(bytes);
        self.arena.push(0);
        self.slots.push(at);
        if kind == Kind::Directory {
            self.slots.push(at | ENTER);
        }
        true
    }

    fn sort(&mut self) {
        let arena = std::mem::take(&mut self.arena);
        let view = |slot: u32| {
            let at = (slot & !ENTER) as usize;
            let length = usize::from(u16::from_le_bytes([arena[at + 1], arena[at + 2]]));
            (&arena[at + HEADER..at + HEADER + length], slot & ENTER != 0)
        };
        // Comparing the first bytes as a number saves most of the jumps into
        // the arena; a very large directory does without, to save memory.
        if self.slots.len() <= 1 << 17 {
            let mut keyed: Vec<(u64, u32)> =
                self.slots.iter().map(|slot| (prefix(view(*slot)), *slot)).collect();
            keyed
                .sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| compare(view(a.1), view(b.1))));
            self.slots.clear();
            self.slots.extend(keyed.into_iter().map(|(_, slot)| slot));
        } else {
            self.slots.sort_unstable_by(|a, b| compare(view(*a), view(*b)));
        }
        self.arena = arena;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(crate) fn get(&self, index: usize) -> Option<Slot> {
        self.slots.get(index).copied().map(Slot)
    }

    pub(crate) fn kind(&self, slot: Slot) -> Kind {
        const KINDS: [Kind; 6] =
            [Kind::File, Kind::Directory, Kind::Link, Kind::Fifo, Kind::Socket, Kind::Device];
        KINDS[usize::from(self.arena[slot.id() as usize])]
    }

    pub(crate) fn name(&self, slot: Slot) -> &[u8] {
        self.name_c(slot).to_bytes()
    }

    pub(crate) fn name_c(&self, slot: Slot) -> &CStr {
        let at = slot.id() as usize;
        let length = usize::from(u16::from_le_bytes([self.arena[at + 1], self.arena[at + 2]]));
        CStr::from_bytes_with_nul(&self.arena[at + HEADER..=at + HEADER + length])
            .unwrap_or_default()
    }

    /// Each name once, in no order that matters.
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.slots.iter().filter(|slot| **slot & ENTER == 0).map(|slot| self.name(Slot(*slot)))
    }
}

/// The first eight bytes of the key, big-endian; equal prefixes decide nothing.
fn prefix((name, enters): (&[u8], bool)) -> u64 {
    let mut bytes = [0; 8];
    let n = name.len().min(8);
    bytes[..n].copy_from_slice(&name[..n]);
    if enters && n < 8 {
        bytes[n] = b'/';
    }
    u64::from_be_bytes(bytes)
}

/// Byte order of `name`, with `/` appended when it is a directory's second place.
fn compare((a, a_enters): (&[u8], bool), (b, b_enters): (&[u8], bool)) -> Ordering {
    let n = a.len().min(b.len());
    a[..n].cmp(&b[..n]).then_with(|| {
        let next = |name: &[u8], enters: bool| name.get(n).copied().or(enters.then_some(b'/'));
        next(a, a_enters).cmp(&next(b, b_enters))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_is_that_of_the_keys(
            a in "[a!./0\u{e9}]{0,10}", b in "[a!./0\u{e9}]{0,10}", x: bool, y: bool
        ) {
            let (a, b) = (a.replace('/', "-"), b.replace('/', "-"));
            let key = |name: &str, enters: bool| format!("{name}{}", if enters { "/" } else { "" });
            let expected = key(&a, x).as_bytes().cmp(key(&b, y).as_bytes());
            prop_assert_eq!(compare((a.as_bytes(), x), (b.as_bytes(), y)), expected);
            let by_prefix = prefix((a.as_bytes(), x)).cmp(&prefix((b.as_bytes(), y)));
            prop_assert!(by_prefix == Ordering::Equal || by_prefix == expected);
        }
    }
}
