//! `artifact link` and `artifact unlink`: versions in portfolios.

use std::io;

use heirloom_api::VersionDoc;
use heirloom_core::{Alias, ArtifactRef, ErrorCode, Selector};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version to link
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    /// Portfolio to link it into, made when it does not exist
    #[arg(value_name = "[PROJECT/]PORTFOLIO")]
    portfolio: ArtifactRef,
    /// Alias in the portfolio; may be repeated
    #[arg(short, long = "alias", value_name = "ALIAS")]
    aliases: Vec<Alias>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The link: `portfolio:v0` or `portfolio:prod`
    #[arg(value_name = "[PROJECT/]PORTFOLIO:vN")]
    reference: ArtifactRef,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<Linked, Failure> {
    if *args.portfolio.selector() != Selector::Unspecified {
        return Err(Failure::usage(format!(
            "`{}` names a version; name the portfolio alone",
            args.portfolio
        )));
    }
    let version = app.version(&args.reference).await?;
    let aliases: Vec<&str> = args.aliases.iter().map(Alias::as_str).collect();
    let project = app.project_of(&args.portfolio)?;
    let linked = version.link(&project, args.portfolio.name().as_str(), &aliases).await.map_err(
        |error| {
            Failure::from(error).hint_for(ErrorCode::WrongType, || {
                "all versions of one artifact have one type; choose another name".into()
            })
        },
    )?;
    let name = app.name_of(&linked.doc().as_ref());
    app.printer.note(format!("linked {} as {name}", app.name_of(&version.doc().as_ref())));
    Ok(Linked { version: linked.doc().clone(), shown: name })
}

/// A link that was made.
#[derive(Debug, Serialize)]
pub(crate) struct Linked {
    #[serde(flatten)]
    version: VersionDoc,
    #[serde(skip)]
    shown: String,
}

impl Answer for Linked {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        printer.line(&self.shown)
    }
}

pub(crate) async fn remove(app: &App, args: Remove) -> Result<Unlinked, Failure> {
    if *args.reference.selector() == Selector::Unspecified {
        return Err(Failure::usage("name the link: `portfolio:v0` or `portfolio:prod`"));
    }
    let link = app.version(&args.reference).await?;
    let portfolio = link.collection().as_str();
    link.project().unlink(portfolio, link.index()).await?;
    Ok(Unlinked { unlinked: app.name_of(&link.doc().as_ref()) })
}

/// A link that was taken out.
#[derive(Debug, Serialize)]
pub(crate) struct Unlinked {
    unlinked: String,
}

impl Answer for Unlinked {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        printer.note(format!("unlinked {}; the version itself stays", self.unlinked));
        Ok(())
    }
}
