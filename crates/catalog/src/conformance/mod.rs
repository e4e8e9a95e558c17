//! The suite that every [`Catalog`] passes: the trait's contract, and the rules
//! run against it. Panics where something does not hold.

#![allow(clippy::unwrap_used)] // Tests: a failure here is the caller's failing test.

mod contract;
mod drafts;
mod gc;
#[cfg(test)]
mod model;
mod parts;
mod semantics;
mod world;

use crate::view::Catalog;

pub use world::{Put, World};

/// Makes empty catalogs, one per call, independent of each other.
pub type Factory<'a> = &'a dyn Fn() -> Box<dyn Catalog>;

/// One case of the suite.
pub type Case = fn(Factory<'_>);

/// Every case by name.
pub fn cases() -> impl Iterator<Item = (&'static str, Case)> {
    [contract::CASES, semantics::CASES, drafts::CASES, gc::CASES, parts::CASES]
        .into_iter()
        .flatten()
        .copied()
}

/// Runs every case.
///
/// # Panics
/// When a case fails; the panic message before it says what.
pub fn run(factory: Factory<'_>) {
    for (name, case) in cases() {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(factory)));
        assert!(outcome.is_ok(), "conformance case `{name}` failed");
    }
}

/// Lists cases, and makes of each a test of both catalogs of this crate.
macro_rules! suite {
    ($($name:ident),+ $(,)?) => {
        pub(super) const CASES: &[(&str, super::Case)] = &[$((stringify!($name), $name)),+];

        #[cfg(test)]
        mod memory {
            $(#[test]
            fn $name() {
                super::$name(&|| Box::new(crate::MemoryCatalog::new()));
            })+
        }

        #[cfg(all(test, feature = "sqlite"))]
        mod sqlite {
            $(#[test]
            fn $name() {
                let home = tempfile::tempdir().unwrap();
                super::$name(&|| super::super::world::sqlite_in(home.path()));
            })+
        }
    };
}
use suite;
