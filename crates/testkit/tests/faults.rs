//! The tracer, with the shell and its tools among failing system calls.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use heirloom_testkit::Tracer;
use heirloom_testkit::faults::{Fault, Report, Watch, errno};
use heirloom_testkit::power::{Disk, Loss, read_log};

/// A directory of one test, empty.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tracer-{name}"));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(dir.join("in")).unwrap();
        Self(dir)
    }

    fn run(&self, script: &str, reads: bool, fault: Option<Fault>) -> (Output, Report) {
        let tracer = Tracer::build(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap().unwrap();
        let watch = Watch {
            under: vec![self.0.join("in")],
            reads,
            fault,
            log: Some(self.0.join("log")),
            report: self.0.join("report"),
        };
        let mut command = Command::new(tracer.program());
        command.args(watch.arguments(Path::new("/bin/sh"), ["-c", script]));
        let output = command.current_dir(self.0.join("in")).env("LC_ALL", "C").output().unwrap();
        (output, watch.report().unwrap())
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join("in").join(name)).ok()
    }
}

const SCRIPT: &str = "echo one > a; mkdir d; mv a d/b; echo outside > ../beside; rm d/b";

#[test]
fn calls_below_the_directory_are_counted_and_others_are_not() {
    let place = Place::new("count");
    let (output, report) = place.run(SCRIPT, false, None);
    assert!(output.status.success(), "{output:?}");
    // open, write, mkdir, rename, unlink
    assert_eq!(report, Report { calls: 5, fired: None });
    let (_, with_reads) = place.run("cat d/b < /dev/null; true", true, None);
    assert!(with_reads.calls > 0);
}

#[test]
fn a_call_fails_as_it_is_told_to() {
    let place = Place::new("fail");
    let (output, report) = place.run(SCRIPT, false, Some(Fault::Fail(3, errno::ENOSPC)));
    assert!(report.fired.unwrap().starts_with("mkdir "));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(place.read("a").as_deref(), Some("one\n"), "there was nowhere to move it");
}

#[test]
fn a_kill_leaves_what_was_done_before() {
    let place = Place::new("kill");
    let (output, report) = place.run(SCRIPT, false, Some(Fault::Kill(2)));
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(9));
    assert!(report.fired.unwrap().starts_with("write "));
    assert_eq!(place.read("a").as_deref(), Some(""));
    let place = Place::new("torn");
    place.run(SCRIPT, false, Some(Fault::Torn(2)));
    assert_eq!(place.read("a").as_deref(), Some("on"));
}

#[test]
fn what_was_logged_can_be_done_again() {
    let place = Place::new("log");
    let (output, _) =
        place.run("printf %s one > a; printf %s more >> a; mv a b; : > c", false, None);
    assert!(output.status.success());
    let mut disk = Disk::new(&place.0.join("in"));
    read_log(&place.0.join("log")).unwrap().iter().for_each(|step| disk.apply(step));
    let copy = place.0.join("copy");
    std::fs::create_dir(&copy).unwrap();
    disk.write(Loss::Nothing, &copy).unwrap();
    assert_eq!(std::fs::read_to_string(copy.join("b")).unwrap(), "onemore");
    assert_eq!(std::fs::read_to_string(copy.join("c")).unwrap(), "");
    assert!(!copy.join("a").exists());
}
