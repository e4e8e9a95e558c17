//! Measuring whole commands, two against each other in one run.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// What one run of a command took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// Seconds on the clock.
    pub(crate) wall: f64,
    /// Seconds of processor time, children included.
    pub(crate) cpu: f64,
    /// Peak resident memory in MiB of the largest process.
    pub(crate) memory: f64,
}

/// A command to measure, with what must happen before each run, unmeasured.
pub(crate) struct Case {
    pub(crate) before: String,
    pub(crate) command: String,
}

impl Case {
    pub(crate) fn new(before: impl Into<String>, command: impl Into<String>) -> Self {
        Self { before: before.into(), command: command.into() }
    }
}

/// Runs the cases in turn (A B A B …), so that a drift of the machine hits all
/// alike, and gives each one's median.
pub(crate) fn compare(
    folder: &Path,
    path: &std::ffi::OsStr,
    runs: usize,
    cases: &[Case],
) -> anyhow::Result<Vec<Sample>> {
    let mut samples = vec![Vec::new(); cases.len()];
    for _ in 0..runs {
        for (case, samples) in cases.iter().zip(&mut samples) {
            if !case.before.is_empty() {
                shell(folder, path, &case.before)?;
            }
            samples.push(once(folder, path, &case.command)?);
        }
    }
    Ok(samples.into_iter().map(median).collect())
}

fn shell(folder: &Path, path: &std::ffi::OsStr, command: &str) -> anyhow::Result<()> {
    let status = Command::new("sh")
        .args(["-e", "-c", command])
        .current_dir(folder)
        .env("PATH", path)
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        bail!("`{command}` ended with {status}");
    }
    Ok(())
}

fn once(folder: &Path, path: &std::ffi::OsStr, command: &str) -> anyhow::Result<Sample> {
    let output = Command::new("python3")
        .args(["-c", include_str!("measure.py"), command])
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .context("cannot start python3")?;
    if !output.status.success() {
        bail!("`{command}` failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .context("measure.py's line")?;
    let [wall, cpu, memory] = numbers[..] else { bail!("measure.py printed `{text}`") };
    Ok(Sample { wall, cpu, memory: memory / 1024.0 })
}

fn median(mut samples: Vec<Sample>) -> Sample {
    let middle = samples.len() / 2;
    let mut pick = |of: fn(&Sample) -> f64| {
        samples.sort_by(|a, b| of(a).total_cmp(&of(b)));
        of(&samples[middle])
    };
    Sample { wall: pick(|s| s.wall), cpu: pick(|s| s.cpu), memory: pick(|s| s.memory) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_its_own_median() {
        let sample = |wall, cpu| Sample { wall, cpu, memory: 0.0 };
        let median = median(vec![sample(3.0, 1.0), sample(1.0, 3.0), sample(2.0, 2.5)]);
        assert_eq!((median.wall, median.cpu), (2.0, 2.5));
    }
}
