//! The tree of verbs. What one verb takes is defined beside its code.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    abort, add_ref, admin, alias, cache, cat, completions, cp, dev, diff, doctor, du, edit, files,
    finish, gc, get, impact, init, lineage, link, log, ls, manifest, parts, project, pull, push,
    put, rename, repair, restore, retention, rm, run, show, tag, update, upgrade, upsert, use_,
    verify, whence,
};

/// Versioned machine-learning artifacts with lineage
#[derive(Debug, Parser)]
#[command(name = "heirloom", bin_name = "heirloom", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every verb, accepted before and after it.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Directory of the repository [env: HEIRLOOM_HOME]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    /// Project that is meant when none is named [env: HEIRLOOM_PROJECT] [default: default]
    #[arg(long, global = true, value_name = "[ENTITY/]PROJECT")]
    pub(crate) project: Option<String>,
    /// Answer with JSON: one document, or a line per item; errors as the last line of standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only data and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Draw no progress bar
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log files as the next version of an artifact
    Put(put::Args),
    /// Download a version, every byte verified
    Get(get::Args),
    /// Record that the current run uses a version, without downloading it
    Use(use_::Args),
    /// List artifacts, or the versions of one
    Ls(ls::Args),
    /// Delete versions; they can be restored for 7 days
    Rm(rm::Args),
    /// Compare two versions
    Diff(diff::Args),
    /// History of an artifact: commits, alias moves, edits, deletions
    Log(log::Args),
    /// Everything about artifacts and their versions
    #[command(subcommand, visible_alias = "artifacts")]
    Artifact(Artifact),
    /// Which versions hold a file's content, and where they came from
    Whence(whence::Args),
    /// What a version was made from, and what was made from it
    Lineage(lineage::Args),
    /// Versions that descend from one, or from a file
    Impact(impact::Args),
    /// Start, end, look at and wrap runs
    #[command(subcommand)]
    Run(run::Run),
    /// Which versions of an artifact stay: set, explain and apply rules
    #[command(subcommand)]
    Retention(retention::Retention),
    /// List projects, and set the lifetime of their versions
    #[command(subcommand)]
    Project(project::Project),
    /// Read and hash everything stored, and name what is damaged
    Verify(verify::Repository),
    /// Repair what is damaged with good bytes from elsewhere, or rebuild the catalog
    Repair(repair::Args),
    /// Send versions to another repository, with their runs, tags and aliases
    Push(push::Args),
    /// Bring versions from another repository, with their runs, tags and aliases
    Pull(pull::Args),
    /// Back up the repository, and make one of a backup
    #[command(subcommand)]
    Admin(admin::Admin),
    /// Bring a repository of an older format to the present one
    Upgrade(upgrade::Args),
    /// Bytes by version, artifact or project: logical, unique, shared
    Du(du::Args),
    /// Free what nothing needs any more, beside everybody who works
    Gc(gc::Args),
    /// Look into manifests
    #[command(subcommand)]
    Manifest(manifest::Manifest),
    /// The cache directory: what it holds, empty it
    #[command(subcommand)]
    Cache(cache::Cache),
    /// Make a repository, and settings for a directory
    Init(init::Args),
    /// Check the machine and the repository's surroundings
    Doctor(doctor::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// For work on heirloom itself
    #[command(subcommand, hide = true)]
    Dev(dev::Dev),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Artifact {
    /// Log files as the next version of an artifact
    Put(put::Args),
    /// Log references to external objects as the next version of an artifact
    AddRef(add_ref::Args),
    /// Add files as a part of the next version, which several writers make together
    Upsert(upsert::Args),
    /// Make one version of all parts
    Finish(finish::Args),
    /// Give up parts that were not finished
    Abort(abort::Args),
    /// Parts that wait to be finished, and those that expired
    Parts(parts::Args),
    /// Make the next version out of one, with files added, replaced and removed
    Edit(edit::Args),
    /// Download a version, every byte verified
    Get(get::Args),
    /// Record that the current run uses a version, without downloading it
    Use(use_::Args),
    /// List artifacts, or the versions of one
    Ls(ls::Args),
    /// All that is known of a version
    Show(show::Args),
    /// List the files of a version
    Files(files::Args),
    /// Print one file of a version
    Cat(cat::Args),
    /// Compare two versions
    Diff(diff::Args),
    /// History of an artifact: commits, alias moves, edits, deletions
    Log(log::Args),
    /// Check a version in the store, or a directory against it
    Verify(verify::Version),
    /// Move an alias to a version
    Alias(alias::Set),
    /// Take an alias away
    Unalias(alias::Remove),
    /// Add tags to a version
    Tag(tag::Add),
    /// Take tags off a version
    Untag(tag::Remove),
    /// Change description, metadata, lifetime or type
    Update(update::Args),
    /// Link a version into a portfolio
    Link(link::Args),
    /// Take a link out of a portfolio
    Unlink(link::Remove),
    /// Rename an artifact; the old name goes on to lead to it
    Rename(rename::Args),
    /// Make a version of the same content elsewhere, without copying bytes
    Cp(cp::Args),
    /// Delete versions; they can be restored for 7 days
    Rm(rm::Args),
    /// Make deleted versions readable again
    Restore(restore::Args),
}
