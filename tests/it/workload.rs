//! Commands that faults are tried on, and what must hold after each, whatever
//! happened: nothing panicked, nobody lied, `verify` has nothing to say, versions
//! are numbered without gaps and hold their bytes, and the same command succeeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use heirloom_testkit::faults::{Fault, Report, Watch};
use heirloom_testkit::{Tracer, fixtures};
use serde_json::Value;

use crate::support::{Ran, Sandbox};

/// Names of temporary files in a download directory begin so.
const TEMPORARY: &str = ".heirloom-tmp-";

/// A command, the commands before it, and the versions of `a` before and after:
/// of each its number and the tree that was put.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    before: &'static [&'static str],
    line: &'static str,
    from: &'static [(u64, usize)],
    to: &'static [(u64, usize)],
}

/// Every command that changes something. A new one belongs here.
const VERBS: &[Verb] = &[
    Verb { name: "first put", before: &[], line: "put tree0 -n a -t t", from: &[], to: &[(0, 0)] },
    Verb {
        name: "put",
        before: &["put tree0 -n a -t t"],
        line: "put tree1 -n a",
        from: &[(0, 0)],
        to: &[(0, 0), (1, 1)],
    },
    Verb {
        name: "get",
        before: &["put tree0 -n a -t t", "put tree1 -n a", "get a:v0 --root copy"],
        line: "get a:v1 --root copy --mirror",
        from: &[(0, 0), (1, 1)],
        to: &[(0, 0), (1, 1)],
    },
    Verb {
        name: "rm",
        before: &["put tree0 -n a -t t", "put tree1 -n a"],
        line: "rm a:v0",
        from: &[(0, 0), (1, 1)],
        to: &[(1, 1)],
    },
    Verb {
        name: "restore",
        before: &["put tree0 -n a -t t", "put tree1 -n a", "rm a:v0"],
        line: "artifact restore a:v0",
        from: &[(1, 1)],
        to: &[(0, 0), (1, 1)],
    },
    Verb {
        name: "retention",
        before: &["put tree0 -n a -t t", "put tree1 -n a", "retention set a --keep-last 1"],
        line: "retention apply a",
        from: &[(0, 0), (1, 1)],
        to: &[(1, 1)],
    },
    Verb {
        name: "gc",
        before: &["put tree0 -n a -t t", "put tree1 -n a", "put tree2 -n a", "rm a:v0 a:v2"],
        line: "gc --grace 0s",
        from: &[(1, 1)],
        to: &[(1, 1)],
    },
];

/// The commands that this binary has.
pub(crate) fn verbs() -> impl Iterator<Item = &'static Verb> {
    static KNOWN: OnceLock<Vec<bool>> = OnceLock::new();
    let known = KNOWN.get_or_init(|| {
        let sandbox = Sandbox::in_memory();
        let knows = |verb: &Verb| {
            let words = verb.line.split_whitespace().take_while(|word| !word.contains(':'));
            let words: Vec<_> =
                words.filter(|word| word.chars().all(char::is_alphabetic)).collect();
            let asked = match words[..] {
                [group @ ("artifact" | "retention"), second, ..] => {
                    format!("{group} {second} --help")
                }
                [first, ..] => format!("{first} --help"),
                [] => panic!("`{}` begins with no verb", verb.line),
            };
            sandbox.run(&asked).code == 0
        };
        VERBS.iter().map(knows).collect()
    });
    VERBS.iter().zip(known).filter(|(_, known)| **known).map(|(verb, _)| verb)
}

/// The content of a tree: a large file that is an object of its own, small ones
/// that share packs; some are the same in every tree.
pub(crate) fn tree(number: usize) -> BTreeMap<String, Vec<u8>> {
    let seed = number as u64;
    let mut files = BTreeMap::from([
        ("large".to_owned(), fixtures::bytes(100 + seed.div_ceil(2), (1 << 20) + 77)),
        ("same".to_owned(), fixtures::bytes(1, 2000)),
        ("deep/same".to_owned(), fixtures::text(2, 5000)),
        // Most of a pack, so that gc rewrites one of which only the rest is needed.
        ("deep/er/changed".to_owned(), fixtures::bytes(200 + seed, 20_000)),
        ("empty".to_owned(), Vec::new()),
    ]);
    files.insert(format!("only-in-{number}/file"), fixtures::text(300 + seed, 700));
    files
}

/// The tracer, where this machine can have it.
pub(crate) fn tracer() -> Option<&'static Tracer> {
    static TRACER: OnceLock<Option<Tracer>> = OnceLock::new();
    let built = || Tracer::build(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    TRACER.get_or_init(built).as_ref()
}

/// A sandbox in which a command is tried again and again from the same state.
pub(crate) struct Arena {
    pub(crate) sandbox: Sandbox,
    verb: &'static Verb,
    base: PathBuf,
}

impl Arena {
    pub(crate) fn new(verb: &'static Verb) -> Self {
        let sandbox = Sandbox::in_memory();
        for number in 0..3 {
            for (name, bytes) in tree(number) {
                sandbox.write(format!("tree{number}/{name}"), bytes);
            }
        }
        for line in verb.before {
            sandbox.ok(line);
        }
        let base = sandbox.path("../base");
        let arena = Self { sandbox, verb, base };
        for (name, place) in arena.places() {
            copy_tree(&place, &arena.base.join(name));
        }
        arena
    }

    /// What a command may change.
    fn places(&self) -> [(&'static str, PathBuf); 3] {
        let sandbox = &self.sandbox;
        [("home", sandbox.home()), ("cache", sandbox.cache()), ("copy", sandbox.path("copy"))]
    }

    /// Makes everything as it was before the command.
    pub(crate) fn reset(&self) {
        for (name, place) in self.places() {
            remove_tree(&place);
            copy_tree(&self.base.join(name), &place);
        }
    }

    pub(crate) fn watch(&self, reads: bool, fault: Option<Fault>) -> Watch {
        Watch {
            under: self.places().map(|(_, place)| place).to_vec(),
            reads,
            fault,
            log: None,
            report: self.sandbox.path("../report"),
        }
    }

    /// Runs the command with a fault.
    pub(crate) fn run(&self, tracer: &Tracer, reads: bool, fault: Option<Fault>) -> (Ran, Report) {
        let watch = self.watch(reads, fault);
        let ran = self.sandbox.traced(tracer, &watch, self.verb.line);
        let report = watch.report().unwrap();
        (ran, report)
    }

    /// The command, without a fault.
    pub(crate) fn command(&self) -> Command {
        self.sandbox.command(self.verb.line.split_whitespace())
    }

    /// Checks all that must hold after the command, which ended so; `thorough`
    /// gets every version also before the command is tried again.
    pub(crate) fn check(&self, ran: &Ran, what: &str, thorough: bool) {
        let Self { sandbox, verb, .. } = self;
        let context = format!("{} with {what}: {}\n{}", verb.name, ran.code, ran.err);
        assert_no_bug(ran, &context);
        assert!(
            ran.code <= 0 || ran.err.contains("error: "),
            "it failed without saying why; {context}"
        );
        let verified = sandbox.run("verify");
        assert_eq!(verified.code, 0, "{}{}; {context}", verified.out, verified.err);
        let found = versions(sandbox, "a", &context);
        let indices = |wanted: &[(u64, usize)]| wanted.iter().map(|(n, _)| *n).collect::<Vec<_>>();
        if ran.code == 0 {
            assert_eq!(found, indices(verb.to), "success that was none; {context}");
        } else {
            assert!(
                found == indices(verb.from) || found == indices(verb.to),
                "{found:?}; {context}"
            );
        }
        if thorough {
            let expected = if found == indices(verb.to) { verb.to } else { verb.from };
            self.whole(expected, &context);
        }
        if sandbox.path("copy").exists() {
            self.final_names_hold_whole_files(&context);
        }
        // What is deleted already cannot be deleted again; all else can be tried.
        let done = verb.from != verb.to && found == indices(verb.to);
        if !done || verb.name.ends_with("put") {
            let again = sandbox.run(verb.line);
            assert_eq!(again.code, 0, "the same again: {}; {context}", again.err);
            assert_eq!(versions(sandbox, "a", &context), indices(verb.to), "{context}");
            if thorough || verb.name == "put" {
                self.whole(verb.to, &context);
            }
        }
        if verb.name == "get" {
            assert_eq!(read_tree(&sandbox.path("copy")), tree(1), "{context}");
        }
    }

    /// Gets versions and compares every byte.
    fn whole(&self, wanted: &[(u64, usize)], context: &str) {
        for (index, number) in wanted {
            whole(&self.sandbox, &format!("a:v{index}"), &tree(*number), context);
        }
    }

    /// Whatever is in the copy under a name of its own is of one of both versions.
    fn final_names_hold_whole_files(&self, context: &str) {
        let (old, new) = (tree(0), tree(1));
        for (name, bytes) in read_tree(&self.sandbox.path("copy")) {
            let last = name.rsplit('/').next().unwrap();
            let right = old.get(&name) == Some(&bytes) || new.get(&name) == Some(&bytes);
            assert!(right || last.starts_with(TEMPORARY), "`{name}` is partial; {context}");
        }
    }
}

/// A command ended as commands end.
pub(crate) fn assert_no_bug(ran: &Ran, context: &str) {
    for sign in ["panicked", "this is a bug", "tracer: "] {
        assert!(!ran.err.contains(sign), "{context}");
    }
    assert!([0, 1, 3, 4, -6, -9].contains(&ran.code), "{context}");
}

/// Numbers of a collection's versions, ascending; none when there is no such
/// collection.
pub(crate) fn versions(sandbox: &Sandbox, collection: &str, context: &str) -> Vec<u64> {
    let ran = sandbox.run(&format!("--json ls {collection}"));
    if ran.code == 1 {
        assert_eq!(ran.error()["code"], "not_found", "{}; {context}", ran.err);
        return Vec::new();
    }
    assert_eq!(ran.code, 0, "{}; {context}", ran.err);
    let document: Value = ran.document();
    let listed = document["versions"].as_array().unwrap();
    let mut indices: Vec<u64> = listed.iter().map(|v| v["index"].as_u64().unwrap()).collect();
    indices.sort_unstable();
    indices
}

/// Gets a version into an empty directory and compares every byte.
pub(crate) fn whole(
    sandbox: &Sandbox,
    version: &str,
    wanted: &BTreeMap<String, Vec<u8>>,
    context: &str,
) {
    let target = sandbox.path("fresh");
    remove_tree(&target);
    let got = sandbox.run(&format!("get {version} --root fresh"));
    assert_eq!(got.code, 0, "get {version}: {}; {context}", got.err);
    let found = read_tree(&target);
    let names = |tree: &BTreeMap<String, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(wanted), "{version}; {context}");
    assert!(found == *wanted, "{version} has other bytes; {context}");
}

/// Tries 1, 2, … on several threads, each with an arena of its own, until a try
/// says that its number was never reached; how many were.
pub(crate) fn sweep<A: Sync>(
    arenas: &[A],
    limit: u64,
    attempt: impl Fn(&A, u64) -> bool + Sync,
) -> u64 {
    let (next, end) = (AtomicU64::new(1), AtomicBool::new(false));
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for arena in arenas {
            let (next, end, done, attempt) = (&next, &end, &done, &attempt);
            scope.spawn(move || {
                while !end.load(Ordering::SeqCst) {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n > limit || !attempt(arena, n) {
                        end.store(true, Ordering::SeqCst);
                    } else {
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    done.into_inner()
}

/// Says what was done, for whoever runs the tests with their output.
#[allow(clippy::print_stdout)]
pub(crate) fn tell(line: &str) {
    println!("{line}");
}

/// Files below a directory, with their bytes.
pub(crate) fn read_tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(top: &Path, dir: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(top, &path, into);
            } else {
                let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
                into.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(dir, dir, &mut files);
    files
}

/// Copies a directory; nothing when there is none.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    let Ok(entries) = std::fs::read_dir(from) else { return };
    std::fs::create_dir_all(to).unwrap();
    for entry in entries {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else if entry.file_name() == "reserve" {
            // Only its length counts; copying it would take longer than most tests.
            let length = entry.metadata().unwrap().len();
            std::fs::File::create(target).unwrap().set_len(length).unwrap();
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Removes a directory if there is one.
pub(crate) fn remove_tree(dir: &Path) {
    if let Err(error) = std::fs::remove_dir_all(dir) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", dir.display());
    }
}
