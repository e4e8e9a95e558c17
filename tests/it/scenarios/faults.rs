//! The n-th system call that touches a file fails, for n = 1, 2, … until the
//! command completes: it says so and nothing is lost.

use heirloom_testkit::Tracer;
use heirloom_testkit::faults::{Fault, errno};

use crate::workload::{Arena, sweep, tell, tracer, verbs};

const ERRORS: [(&str, i32); 3] =
    [("EIO", errno::EIO), ("ENOSPC", errno::ENOSPC), ("EMFILE", errno::EMFILE)];

/// Every position of every command, each with one kind of fault.
fn every_position(what: &str, reads: bool, fault: impl Fn(u64) -> (String, Fault) + Sync) {
    let Some(tracer) = tracer() else { return };
    for verb in verbs() {
        let arenas = [Arena::new(verb), Arena::new(verb)];
        let attempt = |arena: &Arena, n: u64| one(arena, tracer, reads, fault(n), n);
        let positions = sweep(&arenas, u64::MAX, attempt);
        assert!(positions > 10, "{}: only {positions} positions", verb.name);
        tell(&format!("{what}, {}: {positions} positions", verb.name));
    }
}

/// Whether the n-th call was reached.
fn one(arena: &Arena, tracer: &Tracer, reads: bool, fault: (String, Fault), n: u64) -> bool {
    arena.reset();
    let (name, fault) = fault;
    let (ran, report) = arena.run(tracer, reads, Some(fault));
    let call = report.fired.as_deref().unwrap_or("nothing");
    arena.check(&ran, &format!("{name} at {n} of {}: {call}", report.calls), n % 8 == 0);
    report.fired.is_some()
}

#[test]
fn a_change_that_fails_is_told_and_harms_nothing() {
    // Which error comes at which position differs from one to the next.
    every_position("failing changes", false, |n| {
        let (name, error) = ERRORS[(n % 3) as usize];
        (name.to_owned(), Fault::Fail(n, error))
    });
}

#[test]
fn a_read_that_fails_is_told_and_harms_nothing() {
    every_position("failing reads", true, |n| {
        let (name, error) = [ERRORS[0], ERRORS[2]][(n % 2) as usize];
        (name.to_owned(), Fault::Fail(n, error))
    });
}

#[test]
fn a_disk_that_is_full_from_some_moment_on_harms_nothing() {
    every_position("full from there on", false, |n| {
        ("a full disk".to_owned(), Fault::FailFrom(n, errno::ENOSPC))
    });
}

#[test]
fn short_writes_are_no_failure() {
    let Some(tracer) = tracer() else { return };
    for verb in verbs() {
        let arenas = [Arena::new(verb), Arena::new(verb)];
        let attempt = |arena: &Arena, n: u64| {
            arena.reset();
            let (ran, report) = arena.run(tracer, false, Some(Fault::Short(n)));
            let call = report.fired.as_deref().unwrap_or("nothing");
            ran.expect(0);
            arena.check(&ran, &format!("half a write at {n}: {call}"), n % 8 == 0);
            report.fired.is_some()
        };
        tell(&format!("short writes, {}: {}", verb.name, sweep(&arenas, u64::MAX, attempt)));
    }
}
