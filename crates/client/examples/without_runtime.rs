//! The same calls for a program without an asynchronous runtime.

use std::error::Error;
use std::io::Read;

use heirloom::Artifact;
use heirloom::blocking::Client;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let client = Client::embedded(dir.path().join("home"))?;
    let run = client.start(client.run("default").job_type("measure"))?;

    // Logging returns at once: both uploads go on side by side.
    let mut one = Artifact::new("readings", "dataset");
    one.add_bytes("monday.csv", "1,2,3");
    let mut two = Artifact::new("summary", "result");
    two.add_bytes("mean.txt", "2");
    let (one, two) = (run.log_artifact(one), run.log_artifact(two).aliases(["weekly"]));
    assert_eq!(one.wait()?.name(), "readings:v0");
    assert_eq!(two.wait()?.name(), "summary:v0");
    run.finish(0)?;

    let summary = client.artifact("summary:weekly")?;
    let mut text = String::new();
    summary.open("mean.txt")?.read_to_string(&mut text)?;
    assert_eq!(text, "2");
    Ok(())
}
