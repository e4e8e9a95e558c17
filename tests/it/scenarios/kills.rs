//! kill -9 at any moment: the commands of one long life of a repository are
//! killed at counted system calls (some in the middle of a write) and at random
//! times. What was acknowledged is there, what was not is whole or absent, and
//! numbers have no gap.
//!
//! `cargo xtask soak` runs the same for longer, by the variable
//! `HEIRLOOM_SOAK=KILLS,SEED,MINUTES,DIRECTORY`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use heirloom_testkit::Tracer;
use heirloom_testkit::faults::{Fault, Watch};
use heirloom_testkit::fixtures::{self, Rng};
use serde_json::Value;

use crate::support::{Ran, Sandbox};
use crate::workload::{
    Arena, assert_no_bug, read_tree, remove_tree, sweep, tell, tracer, verbs, versions, whole,
};

/// Every change of every command is once the last thing that it does.
#[test]
fn killed_at_every_change_of_every_command() {
    let Some(tracer) = tracer() else { return };
    let mut kills = 0;
    for verb in verbs() {
        let arenas = [Arena::new(verb), Arena::new(verb)];
        let attempt = |arena: &Arena, n: u64| {
            arena.reset();
            let fault = if n.is_multiple_of(4) { Fault::Torn(n) } else { Fault::Kill(n) };
            let (ran, report) = arena.run(tracer, false, Some(fault));
            let call = report.fired.as_deref().unwrap_or("nothing");
            assert_eq!(ran.code, if report.fired.is_some() { -9 } else { 0 }, "{}", ran.err);
            arena.check(&ran, &format!("a kill at {n}: {call}"), n.is_multiple_of(8));
            report.fired.is_some()
        };
        kills += sweep(&arenas, u64::MAX, attempt);
    }
    tell(&format!("kills at every change: {kills}"));
    assert!(kills > 300, "{kills}");
}

/// How long to go on.
struct Soak {
    kills: u64,
    seed: u64,
    minutes: Option<u64>,
    dir: Option<PathBuf>,
}

impl Soak {
    fn asked() -> Self {
        let Ok(text) = std::env::var("HEIRLOOM_SOAK") else {
            return Self { kills: 250, seed: 1, minutes: None, dir: None };
        };
        let mut parts = text.splitn(4, ',');
        let mut number = || parts.next().and_then(|part| part.parse().ok());
        let (kills, seed, minutes) = (number(), number(), number());
        let dir = parts.next().filter(|dir| !dir.is_empty()).map(PathBuf::from);
        Self { kills: kills.expect("kills"), seed: seed.expect("a seed"), minutes, dir }
    }

    fn is_over(&self, kills: u64, began: Instant) -> bool {
        let time = self.minutes.map(|minutes| Duration::from_secs(60 * minutes));
        kills >= self.kills || time.is_some_and(|time| began.elapsed() >= time)
    }
}

#[test]
fn a_life_of_kills() {
    let Some(tracer) = tracer() else { return };
    let soak = Soak::asked();
    let began = Instant::now();
    let halves = [0, 1].map(|half| Soak {
        kills: soak.kills.div_ceil(2),
        seed: soak.seed * 2 + half,
        minutes: soak.minutes,
        dir: soak.dir.clone(),
    });
    let tallies = std::thread::scope(|scope| {
        let lives: Vec<_> = halves
            .iter()
            .map(|soak| scope.spawn(move || Life::new(tracer, soak).live(soak, began)))
            .collect();
        lives.into_iter().map(|life| life.join().unwrap()).collect::<Vec<_>>()
    });
    for (half, tally) in halves.iter().zip(&tallies) {
        tell(&format!("seed {}: {tally:?}", half.seed));
    }
    let kills: u64 = tallies.iter().map(Tally::kills).sum();
    tell(&format!("{kills} kills, seed {}, {:.0} s", soak.seed, began.elapsed().as_secs_f64()));
    assert!(soak.minutes.is_some() || kills >= soak.kills, "{kills} kills");
}

/// What was done.
#[derive(Debug, Default)]
struct Tally {
    commands: u64,
    /// By command: killed at a call, in the middle of a write, at some time.
    killed: BTreeMap<&'static str, [u64; 3]>,
    /// Killed commands that had taken effect.
    taken_effect: u64,
    verified: u64,
    versions: u64,
    compared: u64,
}

impl Tally {
    fn kills(&self) -> u64 {
        self.killed.values().flatten().sum()
    }
}

/// Collections of the repository.
const COLLECTIONS: [&str; 3] = ["a", "b", "c"];

/// Versions that a collection keeps.
const KEPT: usize = 12;

/// Commands between two checks of everything.
const VERIFY_EVERY: u64 = 8;

/// What should be in a collection.
#[derive(Default)]
struct Collection {
    /// Number and content of each version that is there.
    versions: BTreeMap<u64, u64>,
    next: u64,
}

struct Life<'t> {
    tracer: &'t Tracer,
    sandbox: Sandbox,
    rng: Rng,
    collections: BTreeMap<&'static str, Collection>,
    has_gc: bool,
    tally: Tally,
}

/// The content of a version: some files of a few, and one of its own.
fn content(seed: u64) -> BTreeMap<String, Vec<u8>> {
    let mut rng = Rng::new(seed);
    let mut files = BTreeMap::from([("own".to_owned(), fixtures::bytes(seed, 500))]);
    for n in 0..6 {
        let pick = rng.below(8);
        files.insert(format!("d{}/{n}", n % 3), fixtures::text(pick * 10 + n, 1500));
    }
    if rng.below(3) == 0 {
        files.insert("large".to_owned(), fixtures::bytes(rng.below(4), (1 << 20) + 5));
    }
    files
}

impl<'t> Life<'t> {
    fn new(tracer: &'t Tracer, soak: &Soak) -> Self {
        let sandbox = match &soak.dir {
            Some(dir) => Sandbox::below(dir),
            None => Sandbox::in_memory(),
        };
        let has_gc = sandbox.run("gc --help").code == 0;
        Self {
            tracer,
            sandbox,
            rng: Rng::new(soak.seed),
            collections: COLLECTIONS.map(|name| (name, Collection::default())).into(),
            has_gc,
            tally: Tally::default(),
        }
    }

    fn live(mut self, soak: &Soak, began: Instant) -> Tally {
        while !soak.is_over(self.tally.kills(), began) {
            let name = COLLECTIONS[self.rng.below(3) as usize];
            let count = self.collections[name].versions.len();
            match self.rng.below(10) {
                _ if count == 0 => self.put(name),
                _ if count > KEPT => self.rm(name),
                0..5 => self.put(name),
                5..7 => self.get(name),
                7 if self.has_gc => self.gc(),
                _ => self.rm(name),
            }
            self.tally.commands += 1;
            if self.tally.commands.is_multiple_of(VERIFY_EVERY) {
                self.verify();
            }
        }
        self.verify();
        for (name, collection) in &self.collections {
            for (index, seed) in &collection.versions {
                whole(&self.sandbox, &format!("{name}:v{index}"), &content(*seed), "at the end");
                self.tally.compared += 1;
            }
            self.tally.versions += collection.next;
        }
        self.tally
    }

    fn verify(&mut self) {
        let ran = self.sandbox.run("verify");
        assert_eq!(ran.code, 0, "{}{}{}", ran.out, ran.err, self.story());
        self.tally.verified += 1;
    }

    fn story(&self) -> String {
        format!("\nafter {:?}", self.tally)
    }

    /// Runs a command that is killed somewhere, if it does not end before.
    fn killed(&mut self, verb: &'static str, line: &str, calls: u64) -> Ran {
        let sandbox = &self.sandbox;
        let way = self.rng.below(10);
        let ran = if way == 0 {
            let patience = Duration::from_micros(self.rng.below(30_000));
            let mut command = sandbox.command(line.split_whitespace());
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let began = Instant::now();
            while began.elapsed() < patience && child.try_wait().unwrap().is_none() {
                std::thread::yield_now();
            }
            let _ = child.kill();
            Ran::of(child.wait_with_output().unwrap())
        } else {
            let at = 1 + self.rng.below(calls);
            let fault = if way < 3 { Fault::Torn(at) } else { Fault::Kill(at) };
            let watch = Watch {
                under: vec![sandbox.home(), sandbox.cache(), sandbox.path("copy")],
                reads: false,
                fault: Some(fault),
                log: None,
                report: sandbox.path("../report"),
            };
            sandbox.traced(self.tracer, &watch, line)
        };
        assert_no_bug(&ran, line);
        match ran.code {
            -9 => {
                let ways = self.tally.killed.entry(verb).or_default();
                ways[match way {
                    0 => 2,
                    1..3 => 1,
                    _ => 0,
                }] += 1;
            }
            code => assert_eq!(code, 0, "{line}: {}{}", ran.err, self.story()),
        }
        ran
    }

    fn put(&mut self, name: &'static str) {
        let seed = self.rng.next_u64();
        remove_tree(&self.sandbox.path("tree"));
        for (file, bytes) in content(seed) {
            self.sandbox.write(format!("tree/{file}"), bytes);
        }
        let line = format!("put tree -n {name} -t t");
        let ran = self.killed("put", &line, 130);
        self.settle_put(name, seed, &ran, false);
        if ran.code == -9 && self.rng.below(4) == 0 {
            // The same once more, which makes no second version.
            let ran = self.sandbox.run(&line);
            assert_eq!(ran.code, 0, "{}{}", ran.err, self.story());
            self.settle_put(name, seed, &ran, true);
        }
    }

    fn settle_put(&mut self, name: &'static str, seed: u64, ran: &Ran, again: bool) {
        let found = self.found(name);
        let story = self.story();
        let collection = self.collections.get_mut(name).unwrap();
        let known: Vec<u64> = collection.versions.keys().copied().collect();
        let there = again && collection.versions.values().next_back() == Some(&seed);
        if !there && found.len() == known.len() + 1 {
            collection.versions.insert(collection.next, seed);
            collection.next += 1;
            self.tally.taken_effect += u64::from(ran.code == -9);
        } else {
            assert!(there || ran.code == -9, "{}{story}", ran.err);
        }
        let known: Vec<u64> = collection.versions.keys().copied().collect();
        assert_eq!(found, known, "numbers of {name}{story}");
        if let Some(said) = ran.out.trim().strip_prefix(&format!("{name}:v")) {
            assert_eq!(collection.versions[&said.parse::<u64>().unwrap()], seed);
        }
    }

    fn found(&self, name: &str) -> Vec<u64> {
        versions(&self.sandbox, name, &self.story())
    }

    fn rm(&mut self, name: &'static str) {
        let known: Vec<u64> = self.collections[name].versions.keys().copied().collect();
        let index = known[self.rng.below(known.len() as u64) as usize];
        let ran = self.killed("rm", &format!("rm {name}:v{index}"), 40);
        let found = self.found(name);
        let story = self.story();
        let collection = self.collections.get_mut(name).unwrap();
        if !found.contains(&index) {
            collection.versions.remove(&index);
            self.tally.taken_effect += u64::from(ran.code == -9);
        } else {
            assert_eq!(ran.code, -9, "{}{story}", ran.err);
        }
        let known: Vec<u64> = collection.versions.keys().copied().collect();
        assert_eq!(found, known, "numbers of {name}{story}");
    }

    fn get(&mut self, name: &'static str) {
        let known: Vec<(u64, u64)> =
            self.collections[name].versions.iter().map(|(n, seed)| (*n, *seed)).collect();
        let (index, seed) = known[self.rng.below(known.len() as u64) as usize];
        let wanted = content(seed);
        if self.rng.below(2) == 0 {
            remove_tree(&self.sandbox.path("copy"));
        }
        let before = match self.sandbox.path("copy").exists() {
            true => read_tree(&self.sandbox.path("copy")),
            false => BTreeMap::new(),
        };
        let line = format!("get {name}:v{index} --root copy --mirror");
        let ran = self.killed("get", &line, 30);
        if self.sandbox.path("copy").exists() {
            for (file, bytes) in read_tree(&self.sandbox.path("copy")) {
                let right = wanted.get(&file) == Some(&bytes) || before.get(&file) == Some(&bytes);
                assert!(right || file.contains(".heirloom-tmp-"), "`{file}`{}", self.story());
            }
        }
        if ran.code == -9 && self.rng.below(2) == 0 {
            let again = self.sandbox.run(&line);
            assert_eq!(again.code, 0, "{}{}", again.err, self.story());
            assert_eq!(read_tree(&self.sandbox.path("copy")), wanted, "{}", self.story());
        }
    }

    fn gc(&mut self) {
        self.killed("gc", "gc --grace 0s", 60);
        if self.rng.below(4) == 0 {
            let _: Value = self.sandbox.json("gc --grace 0s");
        }
    }
}
