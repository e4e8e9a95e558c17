//! The model of a disk that loses what was not flushed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use heirloom_testkit::power::{Disk, Loss, Step};

fn below(name: &str) -> PathBuf {
    Path::new("/top").join(name)
}

/// What is left: names with their bytes as text.
fn left(steps: &[Step], loss: Loss) -> Vec<(String, String)> {
    let mut disk = Disk::new(Path::new("/top"));
    steps.iter().for_each(|step| disk.apply(step));
    let dir = std::env::temp_dir().join(format!(
        "heirloom-power-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::create_dir(&dir).unwrap();
    disk.write(loss, &dir).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), text)
        })
        .collect();
    names.sort();
    std::fs::remove_dir_all(&dir).unwrap();
    names
}

fn pair(name: &str, text: &str) -> (String, String) {
    (name.to_owned(), text.to_owned())
}

#[test]
fn a_file_survives_when_it_and_its_name_were_flushed() {
    let made = [Step::Create(1, below("a")), Step::Write(1, 0, b"new".to_vec())];
    let with = |more: &[Step]| left(&[&made, more].concat(), Loss::All);
    assert_eq!(with(&[]), []);
    assert_eq!(with(&[Step::Sync(1)]), []);
    let directory = Step::SyncDirectory("/top".into());
    assert_eq!(with(std::slice::from_ref(&directory)), [pair("a", "")]);
    assert_eq!(with(&[Step::Sync(1), directory]), [pair("a", "new")]);
    assert_eq!(with(&[Step::SyncAll]), [pair("a", "new")]);
    assert_eq!(left(&made, Loss::Nothing), [pair("a", "new")]);
    assert_eq!(left(&made, Loss::Bytes), [pair("a", "")]);
    assert_eq!(left(&made, Loss::Zeros), [pair("a", "\0\0\0")]);
}

#[test]
fn names_go_back_to_what_was_flushed() {
    let steps = [
        Step::Create(1, below("a")),
        Step::Write(1, 0, b"1".to_vec()),
        Step::Create(2, below("gone")),
        Step::SyncAll,
        Step::Rename(below("a"), below("b")),
        Step::Unlink(below("gone")),
        // The number of a file that is gone goes to another one.
        Step::Create(2, below("c")),
    ];
    assert_eq!(left(&steps, Loss::All), [pair("a", "1"), pair("gone", "")]);
    assert_eq!(left(&steps, Loss::Nothing), [pair("b", "1"), pair("c", "")]);
}

#[test]
fn every_mixture_comes_up_by_chance() {
    let steps = [
        Step::Create(1, below("a")),
        Step::Write(1, 0, b"1".to_vec()),
        Step::SyncAll,
        Step::Rename(below("a"), below("b")),
    ];
    let seen: BTreeSet<_> = (0..64).map(|seed| left(&steps, Loss::Some(seed))).collect();
    let (a, b) = (pair("a", "1"), pair("b", "1"));
    let all = [vec![], vec![a.clone()], vec![b.clone()], vec![a, b]];
    assert_eq!(seen, BTreeSet::from(all));
}
