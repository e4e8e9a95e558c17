//! The n-th system call that touches a file fails, for n = 1, 2, … until the
//! command completes: it says so and nothing is lost.

use heirloom_testkit::Tracer;
use heirloom_testkit::faults::{Fault, errno};

use crate::workload::{Arena, sweep, tell, tracer, verbs};

const ERRORS: [(&str, i32); 3] =
    [("EIO", errno::EIO), ("ENOSPC", errno::ENOSPC), ("EMFILE", errno::EMFILE)];

/// Every position of every command, or one in so many, each with one fault.
fn positions(what: &str, one_in: u64, reads: bool, fault: impl Fn(u64) -> (String, Fault) + Sync) {
    let Some(tracer) = tracer() else { return };
    for verb in verbs() {
        let arenas = [Arena::new(verb), Arena::new(verb)];
        let attempt = |arena: &Arena, n: u64| {
            let at = n * one_in;
            one(arena, tracer, reads, fault(at), at)
        };
        let positions = sweep(&arenas, u64::MAX, attempt);
        assert!(positions * one_in > 10, "{}: only {positions} positions", verb.name);
        tell(&format!("{what}, {}: {positions} positions", verb.name));
    }
}

/// Whether the n-th call was reached.
fn one(arena: &Arena, tracer: &Tracer, reads: bool, fault: (String, Fault), n: u64) -> bool {
    arena.reset();
    let (name, fault) = fault;
    let (ran, report) = arena.run(tracer, reads, Some(fault));
    let call = report.fired.as_deref().unwrap_or("nothing");
    let harmless = report.fired.is_none() || name == "half a write";
    assert!(!harmless || ran.code == 0, "{name} at {n}, {call}: {}", ran.err);
    arena.check(&ran, &format!("{name} at {n} of {}: {call}", report.calls), n.is_multiple_of(8));
    report.fired.is_some()
}

#[test]
fn a_change_that_fails_is_told_and_harms_nothing() {
    // Which error comes at which position differs from one to the next.
    positions("failing changes", 1, false, |n| {
        let (name, error) = ERRORS[(n % 3) as usize];
        (name.to_owned(), Fault::Fail(n, error))
    });
}

#[test]
fn a_read_that_fails_is_told_and_harms_nothing() {
    positions("failing reads", 3, true, |n| {
        let (name, error) = [ERRORS[0], ERRORS[2]][(n / 3 % 2) as usize];
        (name.to_owned(), Fault::Fail(n, error))
    });
}

#[test]
fn a_disk_that_is_full_from_some_moment_on_harms_nothing() {
    positions("full from there on", 4, false, |n| {
        ("a full disk".to_owned(), Fault::FailFrom(n, errno::ENOSPC))
    });
}

#[test]
fn short_writes_are_no_failure() {
    positions("short writes", 4, false, |n| ("half a write".to_owned(), Fault::Short(n)));
}
