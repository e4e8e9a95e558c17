//! `cargo xtask bench`: how fast, as ratios against plain tools within one run.
//!
//! Both sides of a row do the same job on the same files and end in `sync`; they
//! run in turn, five times each, and the medians are compared. Figures of
//! different machines or days mean little; the ratios are what
//! `docs/performance.md` records.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::shell::Shell;
use crate::workspace::Workspace;
use crate::{Verdict, demo, tools};
use measure::{Case, Sample, compare};

mod measure;

#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Only rows whose name contains this
    filter: Option<String>,
    /// Runs of each command, of which the median counts
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Write the results into docs/performance.md
    #[arg(long)]
    record: bool,
    /// Use this `heirloom` instead of building one
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Where to work; needs some 20 GiB
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What the yardsticks need.
const NEEDS: &[tools::Need] = &[tools::Need::new("b3sum", &["b3sum", "--version"])];

const BEGIN: &str = "<!-- results: cargo xtask bench --record -->\n";
const END: &str = "<!-- end of results -->";

/// One comparison: our median over the yardstick's.
struct Row {
    work: String,
    goal: String,
    ours: Sample,
    theirs: Option<Sample>,
    /// What the goal speaks of, and whether it was met.
    reached: String,
    met: bool,
}

struct Bench<'w> {
    workspace: &'w Workspace,
    args: &'w Args,
    folder: PathBuf,
    path: std::ffi::OsString,
    rows: Vec<Row>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> anyhow::Result<Verdict> {
    tools::ensure(workspace, NEEDS)?;
    let binary = match &args.binary {
        Some(binary) => fs::canonicalize(binary)?,
        None => demo::build(workspace, "release")?,
    };
    let folder = args.dir.clone().unwrap_or_else(|| workspace.target.join("bench"));
    fs::create_dir_all(&folder)?;
    let programs = binary.parent().context("a program lies in a folder")?;
    let path = std::env::join_paths(
        std::iter::once(programs.to_owned())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let mut bench = Bench { workspace, args, folder, path, rows: Vec::new() };
    bench.start_up()?;
    bench.small_files()?;
    bench.edits()?;
    bench.freeing()?;
    bench.checking()?;
    bench.large_file()?;
    bench.reflinks()?;
    bench.million_files()?;
    bench.engine()?;
    let table = table(&bench.rows);
    println!("\n{table}");
    if args.record {
        record(&workspace.root, &table)?;
    }
    Ok(Verdict::Fine)
}

const ENV: &str = "export HEIRLOOM_HOME=$PWD/home HEIRLOOM_CACHE=$PWD/cache;";

impl Bench<'_> {
    fn wanted(&self, work: &str) -> bool {
        self.args.filter.as_ref().is_none_or(|filter| work.contains(filter.as_str()))
    }

    fn compare(&self, cases: &[Case]) -> anyhow::Result<Vec<Sample>> {
        compare(&self.folder, &self.path, self.args.runs, cases)
    }

    /// Runs two cases and records wall time of the first over the second's.
    fn ratio(
        &mut self,
        work: &str,
        goal: f64,
        against: &str,
        ours: Case,
        theirs: Case,
    ) -> anyhow::Result<()> {
        if !self.wanted(work) {
            return Ok(());
        }
        eprintln!("bench: {work}, against {against}");
        let samples = self.compare(&[ours, theirs])?;
        let ratio = samples[0].wall / samples[1].wall;
        self.push(Row {
            work: work.to_owned(),
            goal: format!("≤ {goal} × {against}"),
            ours: samples[0],
            theirs: Some(samples[1]),
            reached: format!("{ratio:.2} ×"),
            met: ratio <= goal,
        });
        Ok(())
    }

    fn push(&mut self, row: Row) {
        eprintln!(
            "  {:.3} s wall, {:.3} s CPU, {:.0} MiB: {} (goal {}){}",
            row.ours.wall,
            row.ours.cpu,
            row.ours.memory,
            row.reached,
            row.goal,
            if row.met { "" } else { " MISSED" }
        );
        self.rows.push(row);
    }

    fn start_up(&mut self) -> anyhow::Result<()> {
        for (work, command) in [
            ("start-up: `--version`", "heirloom --version"),
            ("start-up: `ls` of a repository", "heirloom ls --json"),
        ] {
            if !self.wanted(work) {
                continue;
            }
            let prepare = format!(
                "rm -rf home cache; mkdir -p one; echo 1 > one/1; {ENV} heirloom put -q one -n one -t t"
            );
            shell(self, &prepare)?;
            // Fifty starts in one sample, so that the clock's grain does not matter.
            let many = format!(
                "{ENV} i=0; while [ $i -lt 50 ]; do {command} >/dev/null; i=$((i+1)); done"
            );
            let nothing = "i=0; while [ $i -lt 50 ]; do /bin/true >/dev/null; i=$((i+1)); done";
            let samples = self.compare(&[Case::new("", many), Case::new("", nothing)])?;
            let each = (samples[0].wall - samples[1].wall) / 50.0 * 1000.0;
            self.push(Row {
                work: work.to_owned(),
                goal: "≤ 10 ms".to_owned(),
                ours: samples[0],
                theirs: None,
                reached: format!("{each:.1} ms"),
                met: each <= 10.0,
            });
        }
        Ok(())
    }

    fn small_files(&mut self) -> anyhow::Result<()> {
        let (put, again, get) =
            ("put 50,000 × 4 KiB files", "put them again unchanged", "get the 50,000, verified");
        if ![put, again, get].iter().any(|work| self.wanted(work)) {
            return Ok(());
        }
        self.tree("small", 50_000, 4096)?;
        let clean = "rm -rf home cache copy out; sync";
        let ours =
            || Case::new(clean, format!("{ENV} heirloom put -q small -n small -t dataset; sync"));
        self.ratio(put, 0.6, "`cp -r`", ours(), Case::new(clean, "cp -r small copy; sync"))?;
        let tar = Case::new(clean, "tar -cf copy small; b3sum --no-names copy; sync");
        self.ratio(put, 2.0, "(`tar` + `b3sum`)", ours(), tar)?;
        shell(
            self,
            &format!(
                "{clean}; {ENV} heirloom put -q small -n small -t dataset; sync; sleep 2; heirloom put -q small -n small"
            ),
        )?;
        self.ratio(
            again,
            2.0,
            "`find -printf '%s %T@'`",
            Case::new("", format!("{ENV} heirloom put -q small -n small; sync")),
            Case::new("", "find small -type f -printf '%s %T@\\n' >/dev/null; sync"),
        )?;
        self.ratio(
            get,
            1.2,
            "`cp -r`",
            Case::new(
                "rm -rf out copy; sync",
                format!("{ENV} heirloom get -q small --root out; sync"),
            ),
            Case::new("rm -rf out copy; sync", "cp -r small copy; sync"),
        )
    }

    /// A hundred files of fifty thousand replaced by `artifact edit`, against
    /// looking at them all: side by side, and as far apart as they can be.
    fn edits(&mut self) -> anyhow::Result<()> {
        const COUNT: usize = 100;
        const SIZE: usize = 4096;
        for (work, step) in [
            ("edit 100 of 50,000 files, side by side", 1),
            ("edit 100 of 50,000 files, far apart", 500),
        ] {
            if !self.wanted(work) {
                continue;
            }
            self.tree("small", 50_000, SIZE)?;
            let changed: Vec<String> =
                (0..COUNT).map(|n| format!("{:04}/{:06}", n * step / 1000, n * step)).collect();
            let mut fresh = String::from("rm -rf changed; mkdir changed;");
            for name in &changed {
                let _ = write!(
                    fresh,
                    "mkdir -p changed/{}; head -c {SIZE} /dev/urandom > changed/{name};",
                    &name[..4]
                );
            }
            shell(self, &format!("rm -rf home cache; {ENV} heirloom put -q small -n small -t t"))?;
            self.ratio(
                work,
                3.0,
                "`find -printf '%s %T@'`",
                Case::new(
                    format!("{fresh} sync"),
                    format!("{ENV} heirloom artifact edit small --add changed --json > edited.json; sync"),
                ),
                Case::new("", "find small -type f -printf '%s %T@\n' >/dev/null; sync"),
            )?;
            let stored = number(&self.folder.join("edited.json"), "stored_bytes")?;
            let most = COUNT as u64 * SIZE as u64 * 6 / 5 + 65_536;
            self.push(Row {
                work: format!("{work}: stored"),
                goal: "≤ 1.2 × changed + 64 KiB".to_owned(),
                ours: self.rows.last().map(|row| row.ours).unwrap_or_default(),
                theirs: None,
                reached: format!(
                    "{:.1} of {:.1} KiB",
                    stored as f64 / 1024.0,
                    most as f64 / 1024.0
                ),
                met: (1..=most).contains(&stored),
            });
        }
        Ok(())
    }

    /// A version of fifty thousand files deleted and freed, of two that share nothing,
    /// against removing a directory with as many.
    fn freeing(&mut self) -> anyhow::Result<()> {
        let work = "rm + gc of 50,000 files";
        if !self.wanted(work) {
            return Ok(());
        }
        self.tree("small", 50_000, 4096)?;
        let fill = format!(
            "rm -rf home cache copy; {ENV} heirloom put -q small -n small -t t; \
             echo kept > kept; heirloom put -q kept -n small; sync"
        );
        self.ratio(
            work,
            1.0,
            "`rm -rf`",
            Case::new(
                fill,
                format!("{ENV} heirloom -q rm small:v0; heirloom -q gc --grace 0; sync"),
            ),
            Case::new("rm -rf copy; cp -r small copy; sync", "rm -rf copy; sync"),
        )
    }

    /// Everything stored read and hashed, against hashing the same files.
    fn checking(&mut self) -> anyhow::Result<()> {
        let work = "verify 50,000 files and one of 2 GiB";
        if !self.wanted(work) {
            return Ok(());
        }
        self.tree("small", 50_000, 4096)?;
        self.big_file(&self.folder.join("big"))?;
        let fill = "heirloom put -q small -n small -t t; heirloom put -q big -n big -t model; sync";
        shell(self, &format!("rm -rf home cache; {ENV} {fill}"))?;
        self.ratio(
            work,
            1.5,
            "`b3sum`",
            Case::new("", format!("{ENV} heirloom -q verify")),
            Case::new("", "find small big -type f -print0 | xargs -0 b3sum >/dev/null"),
        )?;
        shell(self, "rm -rf home cache")
    }

    fn large_file(&mut self) -> anyhow::Result<()> {
        let (put, get) = ("put one 2 GiB incompressible file", "get it, verified");
        if !self.wanted(put) && !self.wanted(get) {
            return Ok(());
        }
        self.big_file(&self.folder.join("big"))?;
        let clean = "rm -rf home cache copy out; sync";
        let theirs = || {
            Case::new("rm -f copy; sync", "cp --reflink=never big copy; b3sum --no-mmap copy; sync")
        };
        self.ratio(
            put,
            1.5,
            "(`cp` + `b3sum`)",
            Case::new(clean, format!("{ENV} heirloom put -q big -n big -t model; sync")),
            theirs(),
        )?;
        shell(self, &format!("rm -rf home; {ENV} heirloom put -q big -n big -t model; sync"))?;
        self.ratio(
            get,
            1.3,
            "(`cp` + `b3sum`)",
            Case::new(
                "rm -rf out copy; sync",
                format!("{ENV} heirloom get -q big --root out; sync"),
            ),
            theirs(),
        )?;
        shell(self, "rm -rf home cache copy out")
    }

    /// On a file system that has them: Btrfs in a file, when we may mount it.
    fn reflinks(&mut self) -> anyhow::Result<()> {
        let work = "put it, with reflinks";
        if !self.wanted(work) {
            return Ok(());
        }
        let mount = "set -e; truncate -s 8G btrfs.img; mkfs.btrfs -q -f btrfs.img; mkdir -p btrfs; mount -o loop btrfs.img btrfs";
        if shell(self, mount).is_err() {
            eprintln!(
                "bench: {work}: skipped, Btrfs cannot be mounted here (needs root and btrfs-progs)"
            );
            return Ok(());
        }
        let outcome = self.big_file(&self.folder.join("btrfs/big")).and_then(|()| {
            let ours = "cd btrfs; export HEIRLOOM_HOME=$PWD/home HEIRLOOM_CACHE=$PWD/cache; heirloom put -q big -n big -t model; sync";
            self.ratio(
                work,
                1.3,
                "`b3sum`",
                Case::new("rm -rf btrfs/home btrfs/cache; sync", ours),
                Case::new("", "b3sum --no-mmap btrfs/big; sync"),
            )
        });
        shell(self, "umount btrfs; rm -f btrfs.img")?;
        outcome
    }

    fn million_files(&mut self) -> anyhow::Result<()> {
        let work = "1,000,000 small files";
        if !self.wanted(work) {
            return Ok(());
        }
        self.tree("million", 1_000_000, 16)?;
        let once = compare(
            &self.folder,
            &self.path,
            1,
            &[
                Case::new(
                    "rm -rf home cache; sync",
                    format!("{ENV} heirloom put -q million -n million -t dataset; sync"),
                ),
                Case::new("sleep 2", format!("{ENV} heirloom put -q million -n million")),
                Case::new("", format!("{ENV} heirloom put -q million -n million")),
                Case::new(
                    "date +%s%N > million/0500/500123",
                    format!("{ENV} heirloom put --json million -n million > changed.json"),
                ),
                Case::new("", "find million -type f -printf '%s %T@\\n' > /dev/null"),
                Case::new("", format!("{ENV} heirloom artifact cat million 0500/500123")),
            ],
        )?;
        let names = [
            "put",
            "put again (fills the stat cache)",
            "unchanged",
            "one changed",
            "(`find`)",
            "`cat` of one path",
        ];
        for (name, sample) in names.iter().zip(&once) {
            self.push(Row {
                work: format!("{work}: {name}"),
                goal: "≤ 96 MiB".to_owned(),
                ours: *sample,
                theirs: None,
                reached: format!("{:.0} MiB", sample.memory),
                met: sample.memory <= 96.0,
            });
        }
        let stored = number(&self.folder.join("changed.json"), "stored_bytes")?;
        let beyond = once[3].wall - once[2].wall;
        self.push(Row {
            work: format!("{work}: one changed, beyond an unchanged put"),
            goal: "≤ 0.5 s; ≤ 64 KiB stored".to_owned(),
            ours: once[3],
            theirs: Some(once[2]),
            reached: format!("{beyond:.2} s; {:.1} KiB", stored as f64 / 1024.0),
            met: beyond <= 0.5 && (1..=65_536).contains(&stored),
        });
        Ok(())
    }

    /// What needs no files: manifests, lineage and `whence` at a million.
    fn engine(&mut self) -> anyhow::Result<()> {
        if !self.wanted("engine") {
            return Ok(());
        }
        for (package, example) in [
            ("heirloom-manifest", "million"),
            ("heirloom-lineage", "bench_upstream"),
            ("heirloom-repository", "bench_million"),
        ] {
            if !Shell::cargo(&self.workspace.root)
                .args(["run", "--release", "--locked", "-q", "-p", package, "--example", example])
                .run()?
            {
                bail!("{package}'s example {example} failed");
            }
        }
        Ok(())
    }

    /// `count` files of pseudo-random bytes, a thousand in a folder, made once.
    fn tree(&self, name: &str, count: usize, size: usize) -> anyhow::Result<()> {
        let folder = self.folder.join(name);
        let done = self.folder.join(format!("{name}.made"));
        if done.exists() {
            return Ok(());
        }
        eprintln!("bench: making {count} files of {size} bytes");
        let mut random = Random(count as u64);
        let mut bytes = vec![0; size];
        for number in 0..count {
            let below = folder.join(format!("{:04}", number / 1000));
            if number % 1000 == 0 {
                fs::create_dir_all(&below)?;
            }
            random.fill(&mut bytes);
            fs::write(below.join(format!("{number:06}")), &bytes)?;
        }
        Ok(fs::write(done, "")?)
    }

    fn big_file(&self, path: &Path) -> anyhow::Result<()> {
        use std::io::Write as _;
        const SIZE: usize = 2 << 30;
        if fs::metadata(path).is_ok_and(|metadata| metadata.len() == SIZE as u64) {
            return Ok(());
        }
        let mut file = fs::File::create(path)?;
        let mut random = Random(7);
        let mut bytes = vec![0; 1 << 20];
        for _ in 0..SIZE / bytes.len() {
            random.fill(&mut bytes);
            file.write_all(&bytes)?;
        }
        Ok(file.sync_all()?)
    }
}

/// A number of a JSON document that was printed with a field per line.
fn number(document: &Path, field: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(document)?;
    let start = format!("\"{field}\": ");
    text.lines()
        .find_map(|line| line.trim().strip_prefix(&start))
        .and_then(|rest| rest.trim_end_matches(',').parse().ok())
        .with_context(|| format!("`{}` has no {field}", document.display()))
}

fn shell(bench: &Bench<'_>, command: &str) -> anyhow::Result<()> {
    compare(&bench.folder, &bench.path, 1, &[Case::new("", command)]).map(|_| ())
}

/// SplitMix64: incompressible bytes, the same each time.
struct Random(u64);

impl Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| work | goal | reached | ours: wall, CPU, memory | theirs: wall, CPU |\n|---|---|---|---|---|\n",
    );
    for row in rows {
        let theirs =
            row.theirs.map_or(String::new(), |s| format!("{:.2} s, {:.2} s", s.wall, s.cpu));
        let missed = if row.met { "" } else { " **missed**" };
        let _ = writeln!(
            text,
            "| {} | {} | {}{missed} | {:.2} s, {:.2} s, {:.0} MiB | {theirs} |",
            row.work, row.goal, row.reached, row.ours.wall, row.ours.cpu, row.ours.memory
        );
    }
    text
}

fn record(root: &Path, table: &str) -> anyhow::Result<()> {
    let path = root.join("docs/performance.md");
    let text = fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(BEGIN).context("docs/performance.md lacks its marker")?;
    let (_, after) = rest.split_once(END).context("docs/performance.md lacks its end marker")?;
    Ok(fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}"))?)
}
