//! Heirloom keeps *artifacts*: versioned directories of data, models and
//! results, with the lineage of the runs that made and used them. This crate is
//! its Rust SDK; the `heirloom` command is built on it.
//!
//! A [`Client`] is a way into one repository. A [`Run`] is one execution; what
//! it [logs](Run::log_artifact) and [uses](Run::use_artifact) is recorded as
//! lineage. An [`Artifact`] is what you are about to log; a [`Version`] is what
//! has been logged: immutable, checkable, downloadable.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! # async fn example(dir: &std::path::Path) -> Result<(), heirloom::Error> {
//! use heirloom::{Artifact, Client};
//!
//! let client = Client::embedded(dir.join("home"))?;
//! let run = client.run("animals-project").job_type("load-data").start().await?;
//! let mut artifact = Artifact::new("animals", "dataset");
//! artifact.add_bytes("readme.txt", "two cats").description("cats and dogs");
//! let version = run.log_artifact(artifact).aliases(["best"]).wait().await?;
//! assert_eq!(version.name(), "animals:v0");
//! run.finish(0).await?;
//!
//! let training = client.run("animals-project").job_type("train").start().await?;
//! let animals = training.use_artifact("animals:best").await?;
//! let got = animals.download().root(dir.join("data")).await?;
//! assert_eq!(got.files, 1);
//! training.finish(0).await?;
//! # Ok(())
//! # }
//! # #[cfg(feature = "embedded")]
//! # fn main() -> Result<(), heirloom::Error> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! # tokio::runtime::Runtime::new().expect("a runtime").block_on(example(dir.path()))
//! # }
//! # #[cfg(not(feature = "embedded"))]
//! # fn main() {}
//! ```
//!
//! What each call puts where:
//!
//! | call | path in the artifact |
//! |---|---|
//! | `add_file("dir/model.h5")` | `model.h5` |
//! | `add_file_as("model.h5", "models/mymodel.h5")` | `models/mymodel.h5` |
//! | `add_dir("images")` | the contents of `images`, at the root |
//! | `add_dir_as("images", "images")` | the contents of `images`, below `images/` |
//! | `add_reference("https://host/a/model.h5")` | `model.h5` |
//!
//! What has been logged is changed by a draft of the next version: it starts with
//! all of a version, and costs what is added, replaced and removed.
//!
//! ```
//! # #[cfg(feature = "embedded")]
//! # async fn example(client: heirloom::Client) -> Result<(), heirloom::Error> {
//! # let mut artifact = heirloom::Artifact::new("animals", "dataset");
//! # artifact.add_bytes("cats/tom.txt", "tom").add_bytes("readme.txt", "cats");
//! # client.default_project().log_artifact(artifact).wait().await?;
//! use heirloom::IfBaseMoved;
//!
//! let project = client.default_project();
//! let mut draft = project.artifact("animals:latest").await?.new_draft();
//! draft.add_bytes("readme.txt", "a dog").add_bytes("dogs/rex.txt", "rex").remove("cats");
//! draft.if_base_moved(IfBaseMoved::Rebase);
//! let version = project.log_artifact(draft).wait().await?;
//! assert_eq!((version.name().as_str(), version.doc().files), ("animals:v1", 2));
//! # Ok(())
//! # }
//! # #[cfg(feature = "embedded")]
//! # fn main() -> Result<(), heirloom::Error> {
//! # let dir = tempfile::tempdir().expect("a temporary directory");
//! # let client = heirloom::Client::embedded(dir.path())?;
//! # tokio::runtime::Runtime::new().expect("a runtime").block_on(example(client))
//! # }
//! # #[cfg(not(feature = "embedded"))]
//! # fn main() {}
//! ```
//!
//! # Shape
//! Everything is asynchronous and wants a tokio runtime; [`blocking`] has the
//! same calls for code without one. Bytes move on blocking threads, driven by
//! the put and get pipelines over `dyn Backend`, so that a repository in this
//! process and one behind HTTP work alike. Memory does not grow with the size or
//! number of files.
//!
//! # What it refuses to do
//! It never commits a part of what was asked: one unreadable file, one name that
//! cannot be kept, one collision, and nothing is committed, with every problem
//! named. It never trusts a file it did not hash. It prints nothing, and reads
//! neither environment nor clock except in [`ClientOptions::from_os`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod artifact;
pub mod blocking;
mod client;
mod download;
mod draft;
#[cfg(feature = "embedded")]
mod embedded;
mod environment;
mod error;
mod files;
mod get;
mod git;
mod logged;
#[cfg(feature = "embedded")]
mod maintain;
mod nodes;
mod progress;
mod project;
mod put;
mod reader;
mod references;
mod repair;
mod run;
mod transfer;
mod version;

pub use artifact::{Artifact, NewFile, ReferenceSource};
pub use client::{Client, WhenceAnswer};
pub use download::{Download, Downloaded, Unproven};
pub use draft::IfBaseMoved;
pub use environment::{ClientOptions, Clock, Random};
pub use error::Error;
pub use files::Files;
pub use git::GitState;
pub use logged::Logged;
pub use progress::{Phase, Progress, Tally};
pub use project::Project;
pub use put::parts::{FinishOptions, UpsertOptions, UpsertReport};
pub use put::{PutOptions, PutPlan, PutReport, Scanned, Warning};
pub use reader::EntryReader;
pub use run::{Run, RunBuilder};
pub use transfer::{AliasKept, AliasPolicy, TransferOptions, TransferReport, Transferred};
pub use version::{Differences, LineageRequest, TreeCheck, Version};

#[cfg(feature = "embedded")]
pub use heirloom_repository::{BackupInfo, BackupReport, FORMAT, Keep, Upgraded};

pub use heirloom_api as api;
pub use heirloom_core as core;
pub use heirloom_lineage as lineage;
pub use heirloom_manifest::{BlobId, Digest, Entry, LogicalPath, ManifestId, Reference};
pub use heirloom_refs as refs;
pub use heirloom_worktree::{Finding, LinkMode, Links, NameRule, TreeReport};

/// What every call of the SDK answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;
