//! What each way of adding puts where, with the table of the documentation
//! asserted.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;

use heirloom::{Artifact, Client, Project};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let at = |path: &str| dir.path().join(path);
    fs::write(at("model.h5"), "weights")?;
    fs::create_dir_all(at("images/raw"))?;
    fs::write(at("images/cat.png"), "cat")?;
    fs::write(at("images/raw/dog.png"), "dog")?;

    let client = Client::embedded(at("home"))?;
    let project = client.project("adding")?;

    // A single file, under its own name and under another.
    let mut artifact = Artifact::new("file", "model");
    artifact.add_file(at("model.h5"));
    expect(&project, artifact, &["model.h5"]).await?;

    let mut artifact = Artifact::new("file-as", "model");
    artifact.add_file_as(at("model.h5"), "models/mymodel.h5");
    expect(&project, artifact, &["models/mymodel.h5"]).await?;

    // A directory: its contents at the root, or below a prefix.
    let mut artifact = Artifact::new("dir", "dataset");
    artifact.add_dir(at("images"));
    expect(&project, artifact, &["cat.png", "raw/dog.png"]).await?;

    let mut artifact = Artifact::new("dir-as", "dataset");
    artifact.add_dir_as(at("images"), "images");
    expect(&project, artifact, &["images/cat.png", "images/raw/dog.png"]).await?;

    // Bytes, a file being written, a reference, and something taken out again.
    let mut artifact = Artifact::new("mixed", "dataset");
    artifact.add_dir(at("images")).remove("raw");
    artifact.add_bytes("labels.json", r#"{"cat.png": "cat"}"#);
    let mut notes = artifact.new_file("notes/today.txt");
    writeln!(notes, "written piece by piece")?;
    notes.close()?;
    artifact.add_reference(file_uri(&at("model.h5"))?).name("external/model.h5");
    let expected = ["cat.png", "external/model.h5", "labels.json", "notes/today.txt"];
    expect(&project, artifact, &expected).await?;

    // Two things at one path are an error that names both.
    let mut artifact = Artifact::new("collision", "model");
    artifact.add_file(at("model.h5")).add_bytes("model.h5", "other weights");
    let error = project.log_artifact(artifact).wait().await.expect_err("they collide");
    assert!(error.to_string().contains("model.h5"));

    // A part of a version can be downloaded by prefix and by globs.
    let version = project.artifact("dir-as").await?;
    let got = version.download().root(at("out")).prefix("images/raw").await?;
    assert_eq!(got.files, 1);
    assert_eq!(fs::read(at("out/images/raw/dog.png"))?, b"dog");
    Ok(())
}

async fn expect(project: &Project, artifact: Artifact, paths: &[&str]) -> heirloom::Result<()> {
    let version = project.log_artifact(artifact).wait().await?;
    let mut files = version.files();
    let mut found = Vec::new();
    while let Some((path, _)) = files.next().await? {
        found.push(path.to_string());
    }
    assert_eq!(found, paths, "{}", version.name());
    Ok(())
}

fn file_uri(path: &Path) -> Result<String, Box<dyn Error>> {
    Ok(heirloom::refs::ReferenceUri::from_path(path)?.as_str().to_owned())
}
