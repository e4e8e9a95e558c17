//! Times the put and get pipelines against a directory of small files:
//! `bench_pipelines DIR [FILES] [BYTES]` makes `DIR/data` if absent, then puts it
//! into a new repository, puts it again unchanged, puts it with one file changed,
//! and gets it. Prints wall and CPU seconds and peak memory.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use heirloom::{Artifact, ClientOptions, PutOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("a directory is needed")?);
    let files: u64 = args.next().map_or(Ok(50_000), |text| text.parse())?;
    let bytes: usize = args.next().map_or(Ok(4096), |text| text.parse())?;
    let data = dir.join("data");
    if !data.exists() {
        make(&data, files, bytes)?;
        // Files that are older than a clock tick count as settled.
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    for old in ["home", "out", "cache"] {
        let _ = fs::remove_dir_all(dir.join(old));
    }
    let client =
        ClientOptions::from_os(dir.join("home")).cache_dir(Some(dir.join("cache"))).open()?;
    let project = client.default_project();
    let artifact = || {
        let mut artifact = Artifact::new("bench", "dataset");
        artifact.add_dir(&data);
        artifact
    };
    for what in ["put", "put again", "put once more"] {
        let clock = Clock::start();
        let report = project.put(artifact(), PutOptions::default()).await?;
        clock.stop(what, &format!("{} files, {} stored", report.files, report.stored_bytes));
    }
    fs::write(data.join("00/changed"), format!("{:?}", Instant::now()))?;
    let clock = Clock::start();
    let report = project.put(artifact(), PutOptions::default()).await?;
    clock.stop(
        "put one changed",
        &format!("{} new, {} stored", report.new_bytes, report.stored_bytes),
    );
    let version = client.artifact("bench").await?;
    for what in ["get", "get again"] {
        let clock = Clock::start();
        let got = version.download().root(dir.join("out")).await?;
        clock.stop(what, &format!("{} written, {} kept", got.written, got.kept));
    }
    Ok(())
}

fn make(data: &Path, files: u64, bytes: usize) -> std::io::Result<()> {
    let mut state = 1_u64;
    let mut content = vec![0; bytes];
    for n in 0..files {
        let dir = data.join(format!("{:02}", n % 64));
        if n < 64 {
            fs::create_dir_all(&dir)?;
        }
        for piece in content.chunks_mut(8) {
            // xorshift64 (Marsaglia 2003): incompressible enough.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            piece.copy_from_slice(&state.to_le_bytes()[..piece.len()]);
        }
        fs::write(dir.join(format!("{n:07}")), &content)?;
    }
    Ok(())
}

struct Clock {
    wall: Instant,
    cpu: f64,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu_seconds() }
    }

    #[allow(clippy::print_stdout)]
    fn stop(self, what: &str, note: &str) {
        let (wall, cpu) = (self.wall.elapsed().as_secs_f64(), cpu_seconds() - self.cpu);
        println!("{what:16} {wall:7.3} s wall {cpu:7.3} s CPU, {} MiB peak; {note}", peak_mib());
    }
}

/// User and system time of this process; the kernel counts in hundredths.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        after.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0) / 1024
}
