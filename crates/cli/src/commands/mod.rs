//! One module per verb: its arguments, and a thin function that asks the SDK
//! and returns what to print.

pub(crate) mod abort;
pub(crate) mod add_ref;
pub(crate) mod admin;
pub(crate) mod alias;
pub(crate) mod cache;
pub(crate) mod cat;
pub(crate) mod completions;
pub(crate) mod cp;
pub(crate) mod dev;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod du;
pub(crate) mod edit;
pub(crate) mod files;
pub(crate) mod finish;
pub(crate) mod gc;
pub(crate) mod get;
pub(crate) mod impact;
pub(crate) mod init;
pub(crate) mod lineage;
pub(crate) mod link;
pub(crate) mod log;
pub(crate) mod ls;
pub(crate) mod manifest;
pub(crate) mod parts;
pub(crate) mod project;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod put;
pub(crate) mod rename;
pub(crate) mod repair;
pub(crate) mod restore;
pub(crate) mod retention;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod tag;
pub(crate) mod update;
pub(crate) mod upgrade;
pub(crate) mod upsert;
pub(crate) mod use_;
pub(crate) mod verify;
pub(crate) mod whence;

use crate::app::App;
use crate::args::{Artifact, Command};
use crate::exit::Failure;

/// Carries out a verb and prints its answer.
pub(crate) fn run(app: &App, command: Command) -> Result<(), Failure> {
    match command {
        Command::Completions(args) => completions::run(app, &args),
        Command::Dev(dev) => dev::run(app, &dev),
        other => app.block_on(dispatch(app, other)),
    }
}

/// Prints what a verb answered.
macro_rules! say {
    ($app:ident, $answer:expr) => {{
        let answer = $answer.await?;
        Ok($app.printer.answer(&answer)?)
    }};
}

async fn dispatch(app: &App, command: Command) -> Result<(), Failure> {
    match command {
        Command::Put(args) => artifact(app, Artifact::Put(args)).await,
        Command::Get(args) => artifact(app, Artifact::Get(args)).await,
        Command::Use(args) => artifact(app, Artifact::Use(args)).await,
        Command::Ls(args) => artifact(app, Artifact::Ls(args)).await,
        Command::Rm(args) => artifact(app, Artifact::Rm(args)).await,
        Command::Diff(args) => artifact(app, Artifact::Diff(args)).await,
        Command::Log(args) => artifact(app, Artifact::Log(args)).await,
        Command::Artifact(verb) => artifact(app, verb).await,
        Command::Whence(args) => {
            let answer = whence::run(app, args).await?;
            app.printer.answer(&answer)?;
            answer.outcome()
        }
        Command::Lineage(args) => lineage::run(app, args).await,
        Command::Impact(args) => say!(app, impact::run(app, args)),
        Command::Run(verb) => run::run(app, verb).await,
        Command::Retention(retention::Retention::Set(args)) => {
            say!(app, retention::set(app, args))
        }
        Command::Retention(retention::Retention::Show(args)) => {
            say!(app, retention::show(app, args))
        }
        Command::Retention(retention::Retention::Apply(args)) => {
            say!(app, retention::apply(app, args))
        }
        Command::Project(project::Project::Ls) => say!(app, project::ls(app)),
        Command::Project(project::Project::Update(args)) => {
            say!(app, project::update(app, args))
        }
        Command::Verify(args) => verify::repository(app, args).await,
        Command::Repair(args) => repair::run(app, args).await,
        Command::Push(args) => say!(app, push::run(app, args)),
        Command::Pull(args) => say!(app, pull::run(app, args)),
        Command::Admin(admin::Admin::Backup(args)) => say!(app, admin::backup(app, args)),
        Command::Admin(admin::Admin::Restore(args)) => admin::restore(app, args).await,
        Command::Upgrade(args) => say!(app, upgrade::run(app, args)),
        Command::Du(args) => say!(app, du::run(app, args)),
        Command::Gc(args) => {
            let answer = gc::run(app, args).await?;
            app.printer.answer(&answer)?;
            answer.outcome()
        }
        Command::Manifest(manifest::Manifest::Dump(args)) => manifest::dump(app, args).await,
        Command::Cache(cache::Cache::Info) => say!(app, cache::info(app)),
        Command::Cache(cache::Cache::Clean) => say!(app, cache::clean(app)),
        Command::Init(args) => say!(app, init::run(app, args)),
        Command::Doctor(args) => doctor::run(app, args).await,
        Command::Completions(_) | Command::Dev(_) => unreachable!("these need no repository"),
    }
}

async fn artifact(app: &App, verb: Artifact) -> Result<(), Failure> {
    match verb {
        Artifact::Put(args) => put::run(app, args).await,
        Artifact::Upsert(args) => say!(app, upsert::run(app, args)),
        Artifact::Finish(args) => finish::run(app, args).await,
        Artifact::Abort(args) => say!(app, abort::run(app, args)),
        Artifact::Parts(args) => say!(app, parts::run(app, args)),
        Artifact::AddRef(args) => add_ref::run(app, args).await,
        Artifact::Edit(args) => edit::run(app, args).await,
        Artifact::Get(args) => say!(app, get::run(app, args)),
        Artifact::Use(args) => say!(app, use_::run(app, args)),
        Artifact::Ls(args) => ls::run(app, args).await,
        Artifact::Show(args) => say!(app, show::run(app, args)),
        Artifact::Files(args) => files::run(app, args).await,
        Artifact::Cat(args) => cat::run(app, args).await,
        Artifact::Diff(args) => say!(app, diff::run(app, args)),
        Artifact::Log(args) => log::run(app, args).await,
        Artifact::Verify(args) => verify::version(app, args).await,
        Artifact::Alias(args) => say!(app, alias::set(app, args)),
        Artifact::Unalias(args) => say!(app, alias::remove(app, args)),
        Artifact::Tag(args) => say!(app, tag::add(app, args)),
        Artifact::Untag(args) => say!(app, tag::remove(app, args)),
        Artifact::Update(args) => say!(app, update::run(app, args)),
        Artifact::Link(args) => say!(app, link::run(app, args)),
        Artifact::Unlink(args) => say!(app, link::remove(app, args)),
        Artifact::Rename(args) => say!(app, rename::run(app, args)),
        Artifact::Cp(args) => say!(app, cp::run(app, args)),
        Artifact::Rm(args) => say!(app, rm::run(app, args)),
        Artifact::Restore(args) => say!(app, restore::run(app, args)),
    }
}
