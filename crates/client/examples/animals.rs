//! The usual walk-through: make a dataset from a directory, log it again with
//! one more picture, use it in another run, and download it.
//!
//! Everything happens below the directory given as the only argument, or below
//! a temporary one.

use std::error::Error;
use std::fs;
use std::path::Path;

use heirloom::{Artifact, Client};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        Some(dir) => walk_through(Path::new(&dir)).await,
        None => walk_through(tempfile::tempdir()?.path()).await,
    }
}

async fn walk_through(dir: &Path) -> Result<(), Box<dyn Error>> {
    let images = dir.join("images");
    fs::create_dir_all(&images)?;
    fs::write(images.join("cat.png"), "a picture of a cat")?;
    fs::write(images.join("dog.png"), "a picture of a dog")?;

    let client = Client::embedded(dir.join("home"))?;

    // A run loads the data.
    let run = client.run("animals-project").job_type("load-data").start().await?;
    let mut animals = Artifact::new("animals", "dataset");
    animals.add_dir(&images).description("Pictures of animals");
    let first = run.log_artifact(animals).wait().await?;
    assert_eq!(first.name(), "animals:v0");
    run.finish(0).await?;

    // Later there is one more picture: the same calls make the next version, and
    // only the new file is stored.
    fs::write(images.join("bird.png"), "a picture of a bird")?;
    let run = client.run("animals-project").job_type("update-data").start().await?;
    let mut animals = Artifact::new("animals", "dataset");
    animals.add_dir(&images);
    let second = run.log_artifact(animals).aliases(["with-birds"]).wait().await?;
    assert_eq!(second.name(), "animals:v1");
    run.finish(0).await?;

    let differences = first.diff(&second).await?;
    assert_eq!(differences.changes[0].path.as_str(), "bird.png");

    // Another run uses it.
    let training = client.run("animals-project").job_type("train").start().await?;
    let animals = training.use_artifact("animals:latest").await?;
    let got = animals.download().root(dir.join("data")).await?;
    assert_eq!(got.files, 3);
    let mut model = Artifact::new("classifier", "model");
    model.add_bytes("weights.bin", [0, 1, 2, 3]).metadata(serde_json::json!({"val_acc": 0.93}));
    let model = training.log_artifact(model).aliases(["prod"]).wait().await?;
    training.finish(0).await?;

    // Where does the model come from, and what depends on the data?
    let upstream = model.lineage().up().await?;
    assert_eq!(upstream.nodes.len(), 4, "model, training, data, update");
    assert_eq!(second.impact(Some("prod")).await?.len(), 1);

    // And where does this file come from?
    let found = client.whence(dir.join("data/bird.png")).await?.found;
    assert_eq!(found[0].version.as_ref().to_string(), "animals-project/animals:v1");
    Ok(())
}
