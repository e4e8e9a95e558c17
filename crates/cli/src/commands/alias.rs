//! `artifact alias` and `artifact unalias`.

use std::io;
use std::str::FromStr;

use heirloom_api::Expected;
use heirloom_core::{Alias, ArtifactRef, Selector, VersionIndex};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};

#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// Version that the alias shall name
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    /// The alias
    #[arg(value_name = "ALIAS")]
    alias: Alias,
    /// Only if the alias names this version now, or nothing with `none`
    #[arg(long, value_name = "vN|none")]
    expect: Option<Expect>,
    /// Protect the alias: nobody moves or drops it until its protection ends, and no put
    #[arg(long)]
    protect: bool,
    /// End the alias's protection first
    #[arg(long, conflicts_with = "protect")]
    unprotect: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The artifact: `animals`, or `animals:prod` with the alias in it
    #[arg(value_name = "[PROJECT/]NAME[:ALIAS]")]
    name: ArtifactRef,
    /// The alias
    #[arg(value_name = "ALIAS")]
    alias: Option<Alias>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expect(Expected);

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Expected::Absent));
        }
        match text.parse::<VersionIndex>() {
            Ok(index) => Ok(Self(Expected::Is(index))),
            Err(error) => Err(format!("{error}; give `v` and a number, or `none`")),
        }
    }
}

pub(crate) async fn set(app: &App, args: Set) -> Result<Moved, Failure> {
    let version = app.version(&args.reference).await?;
    let expected = args.expect.map_or(Expected::Any, |expect| expect.0);
    let (project, alias) = (version.project(), args.alias.as_str());
    let collection = version.collection().as_str();
    if args.unprotect {
        project.protect_alias(collection, alias, false).await?;
    }
    version.set_alias(alias, expected).await?;
    if args.protect {
        project.protect_alias(collection, alias, true).await?;
    }
    let name = app.name_of(&version.doc().as_ref());
    Ok(Moved {
        alias: args.alias.to_string(),
        version: Some(name),
        name: version.collection().to_string(),
    })
}

pub(crate) async fn remove(app: &App, args: Remove) -> Result<Moved, Failure> {
    let alias = match (args.name.selector(), args.alias) {
        (Selector::Unspecified, Some(alias)) => alias,
        (Selector::Alias(alias), None) => alias.clone(),
        (Selector::Unspecified, None) => {
            return Err(Failure::usage("name the alias: `animals prod` or `animals:prod`"));
        }
        _ => {
            return Err(Failure::usage_hint(
                format!("`{}` names a version; an alias belongs to the artifact", args.name),
                "`heirloom artifact unalias animals prod`, or `animals:prod`",
            ));
        }
    };
    let project = app.project_of(&args.name)?;
    let name = args.name.name().to_string();
    project.remove_alias(&name, alias.as_str()).await?;
    Ok(Moved { alias: alias.to_string(), version: None, name })
}

/// Where an alias is now.
#[derive(Debug, Serialize)]
pub(crate) struct Moved {
    name: String,
    alias: String,
    /// The version that it names; none after it was taken away.
    version: Option<String>,
}

impl Answer for Moved {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        match &self.version {
            Some(version) => printer.note(format!("`{}` is {version} now", self.alias)),
            None => printer.note(format!("`{}` of {} is gone", self.alias, self.name)),
        }
        Ok(())
    }
}
