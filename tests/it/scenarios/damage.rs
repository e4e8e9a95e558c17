//! Every object of a repository is harmed in every way: `verify` names it, and no
//! get gives wrong bytes.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use heirloom_testkit::fixtures::Rng;
use serde_json::Value;

use crate::support::Sandbox;
use crate::workload::{assert_no_bug, read_tree, remove_tree, tell, tree, versions};

/// What happens to an object.
#[derive(Debug, Clone, PartialEq)]
enum Harm {
    /// A bit of this byte is turned.
    Flip(usize),
    /// It is cut to this length.
    Cut(usize),
    /// A byte is added.
    Grow,
    /// It is gone.
    Remove,
    /// It and another one have each other's names.
    Swap(PathBuf),
    /// A directory has its name.
    Directory,
    /// It is elsewhere, and a link has its name.
    Link,
}

/// A repository of three versions.
fn repository() -> Sandbox {
    let sandbox = Sandbox::in_memory();
    for number in 0..3 {
        for (name, bytes) in tree(number) {
            sandbox.write(format!("tree{number}/{name}"), bytes);
        }
        sandbox.ok(&format!("put tree{number} -n a -t t"));
    }
    sandbox.ok("verify");
    sandbox
}

/// Its objects' files, sorted.
fn objects(sandbox: &Sandbox) -> Vec<PathBuf> {
    let files = |kind: &str| {
        let dir = sandbox.home().join(kind);
        read_tree(&dir).into_keys().map(|name| dir.join(name)).collect::<Vec<_>>()
    };
    [files("objects"), files("packs")].concat()
}

fn key(sandbox: &Sandbox, object: &Path) -> String {
    object.strip_prefix(sandbox.home()).unwrap().to_str().unwrap().to_owned()
}

/// The objects that a check of everything names.
fn named(sandbox: &Sandbox, what: &str) -> Vec<String> {
    let ran = sandbox.run("--json verify");
    assert_eq!(ran.code, 3, "{what}: {}{}", ran.out, ran.err);
    let report: Value = ran.document();
    let damages = report["damages"].as_array().unwrap();
    damages.iter().map(|damage| damage["object"].as_str().unwrap().to_owned()).collect()
}

/// No version comes out wrong; how many do not come out.
fn never_wrong(sandbox: &Sandbox, what: &str) -> u64 {
    let mut refused = 0;
    for number in 0..3 {
        remove_tree(&sandbox.path("copy"));
        let ran = sandbox.run(&format!("get a:v{number} --root copy"));
        assert_no_bug(&ran, what);
        let wanted = tree(number);
        let found = match sandbox.path("copy").exists() {
            true => read_tree(&sandbox.path("copy")),
            false => Default::default(),
        };
        for (name, bytes) in &found {
            assert!(wanted.get(name) == Some(bytes), "v{number} `{name}` is wrong: {what}");
        }
        assert!(ran.code != 0 || found.len() == wanted.len(), "v{number} is not whole: {what}");
        refused += u64::from(ran.code != 0);
    }
    refused
}

#[test]
fn every_harm_to_every_object_is_named_and_serves_no_wrong_byte() {
    let sandbox = repository();
    let all = objects(&sandbox);
    assert!(all.iter().any(|path| path.starts_with(sandbox.home().join("objects"))));
    assert!(all.iter().filter(|path| path.starts_with(sandbox.home().join("packs"))).count() > 2);
    let mut rng = Rng::new(6);
    let (mut harms, mut refused) = (0, 0);
    for (n, object) in all.iter().enumerate() {
        let length = std::fs::metadata(object).unwrap().len() as usize;
        let mut ways = vec![
            Harm::Flip(0),
            Harm::Flip(length - 1),
            Harm::Cut(0),
            Harm::Cut(length / 2),
            Harm::Cut(length - 1),
            Harm::Grow,
            Harm::Remove,
            Harm::Directory,
            Harm::Link,
        ];
        ways.extend((0..6).map(|_| Harm::Flip(rng.below(length as u64) as usize)));
        ways.extend(all[n + 1..].iter().cloned().map(Harm::Swap));
        for way in ways {
            let what = format!("{way:?} of {}", key(&sandbox, object));
            let undo = harm(object, &way);
            let names = named(&sandbox, &what);
            assert!(names.contains(&key(&sandbox, object)), "{what} is not among {names:?}");
            if let Harm::Swap(other) = &way {
                assert!(names.contains(&key(&sandbox, other)), "{what}: the other, {names:?}");
            }
            refused += never_wrong(&sandbox, &what);
            undo();
            harms += 1;
        }
    }
    sandbox.ok("verify");
    assert_eq!(never_wrong(&sandbox, "nothing"), 0);
    tell(&format!("{harms} harms to {} objects, all named; {refused} gets refused", all.len()));
    assert!(refused > 0);
}

/// Harms an object; what undoes it.
fn harm(object: &Path, way: &Harm) -> Box<dyn FnOnce()> {
    let whole = std::fs::read(object).unwrap();
    let path = object.to_owned();
    let write = |path: &Path, bytes: &[u8]| {
        let _ = std::fs::remove_file(path);
        std::fs::write(path, bytes).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o444)).unwrap();
    };
    match way {
        Harm::Flip(at) => {
            let mut turned = whole.clone();
            turned[*at] ^= 1 << (at % 8);
            write(object, &turned);
        }
        Harm::Cut(length) => write(object, &whole[..*length]),
        Harm::Grow => write(object, &[&whole[..], b"x"].concat()),
        Harm::Remove => std::fs::remove_file(object).unwrap(),
        Harm::Swap(other) => {
            let theirs = std::fs::read(other).unwrap();
            write(object, &theirs);
            write(other, &whole);
            let other = other.clone();
            return Box::new(move || {
                write(&path, &whole);
                write(&other, &theirs);
            });
        }
        Harm::Directory => {
            std::fs::remove_file(object).unwrap();
            std::fs::create_dir(object).unwrap();
            return Box::new(move || {
                std::fs::remove_dir(&path).unwrap();
                write(&path, &whole);
            });
        }
        Harm::Link => {
            let elsewhere = path.ancestors().nth(3).unwrap().join("elsewhere");
            std::fs::rename(object, &elsewhere).unwrap();
            symlink(&elsewhere, object).unwrap();
            return Box::new(move || std::fs::rename(&elsewhere, &path).unwrap());
        }
    }
    Box::new(move || write(&path, &whole))
}

#[test]
fn names_that_are_no_objects_are_named() {
    let sandbox = repository();
    let objects = objects(&sandbox);
    let wrong_place = {
        let name = objects[0].file_name().unwrap().to_str().unwrap();
        let other = if name.starts_with("00") { "01" } else { "00" };
        format!("objects/{other}/{name}")
    };
    let foreign =
        ["objects/stray", "objects/ab/short", "packs/zz/x.pack", "packs/README", &wrong_place];
    for name in foreign {
        let path = sandbox.home().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "x").unwrap();
        let names = named(&sandbox, name);
        let above = name.rsplit_once('/').unwrap().0;
        let said = |named: &String| named == name || named.trim_end_matches('/') == above;
        assert!(names.iter().any(said), "{name} is not among {names:?}");
        assert_eq!(never_wrong(&sandbox, name), 0);
        std::fs::remove_file(&path).unwrap();
        if above.contains('/')
            && std::fs::read_dir(path.parent().unwrap()).unwrap().next().is_none()
        {
            std::fs::remove_dir(path.parent().unwrap()).unwrap();
        }
    }
    sandbox.ok("verify");
}

/// Most bytes of a catalog are free or copied elsewhere; a turned bit that
/// `verify` does not mind must not matter.
#[test]
fn a_turned_bit_of_the_catalog_is_named_or_changes_nothing() {
    let sandbox = repository();
    let catalog = sandbox.home().join("catalog.sqlite3");
    let whole = std::fs::read(&catalog).unwrap();
    let mut rng = Rng::new(7);
    // Where there is something: most of a small catalog is room for more.
    let filled: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let (mut noticed, tries) = (0, 300);
    for _ in 0..tries {
        let at = filled[rng.below(filled.len() as u64) as usize];
        let mut turned = whole.clone();
        turned[at] ^= 1 << rng.below(8);
        for tail in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(sandbox.home().join(format!("catalog.sqlite3{tail}")));
        }
        std::fs::write(&catalog, turned).unwrap();
        let what = format!("byte {at} of the catalog");
        let ran = sandbox.run("verify");
        assert_no_bug(&ran, &what);
        let refused = never_wrong(&sandbox, &what);
        if ran.code == 0 {
            assert_eq!(refused, 0, "{what} was not minded");
            assert_eq!(versions(&sandbox, "a", &what), [0, 1, 2]);
        }
        noticed += u64::from(ran.code != 0);
    }
    tell(&format!("{tries} turned bits of the catalog, {noticed} named, none served wrong"));
    assert!(noticed > 0);
}
