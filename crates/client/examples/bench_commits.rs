//! Times small commits into one collection.
//!
//! `cargo run --release -p heirloom --example bench_commits -- DIRECTORY WRITERS VERSIONS`
//! makes a repository in `DIRECTORY/home` and VERSIONS versions of one small file, by
//! WRITERS clients of their own at once, and counts what is there afterwards.
#![allow(clippy::print_stdout)] // A program for people at a terminal.

use std::error::Error;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use heirloom::{Artifact, Client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let directory = PathBuf::from(args.next().unwrap_or_else(|| "bench".into()));
    let mut number = |default: u64| -> Result<u64, Box<dyn Error>> {
        match args.next() {
            Some(text) => Ok(text.to_string_lossy().parse()?),
            None => Ok(default),
        }
    };
    let (writers, versions) = (number(4)?, number(1000)?);
    std::fs::create_dir_all(&directory)?;
    let home = directory.join("home");
    Client::embedded(&home)?;
    let next = AtomicU64::new(0);
    let (next, home) = (&next, &home);
    let start = Instant::now();
    // Threads of their own: a commit blocks, and each writer is a client as in a
    // process of its own.
    std::thread::scope(|threads| {
        let all: Vec<_> = (0..writers)
            .map(|_| {
                threads.spawn(move || -> Result<(), String> {
                    let client = heirloom::blocking::Client::embedded(home)
                        .map_err(|error| error.to_string())?;
                    let project = client.default_project();
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= versions {
                            return Ok(());
                        }
                        let mut artifact = Artifact::new("small", "dataset");
                        artifact.add_bytes("number.txt", n.to_string());
                        project
                            .log_artifact(artifact)
                            .wait()
                            .map_err(|error| format!("{n}: {error}"))?;
                    }
                })
            })
            .collect();
        all.into_iter().try_for_each(|thread| thread.join().map_err(|_| "panicked".to_owned())?)
    })?;
    let took = start.elapsed().as_secs_f64();
    let last = Client::embedded(home)?.artifact("small:latest").await?;
    println!(
        "{versions} commits by {writers} writers: {:.0}/s; {}",
        versions as f64 / took,
        last.name()
    );
    Ok(())
}
