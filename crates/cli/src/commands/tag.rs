//! `artifact tag` and `artifact untag`.

use std::io;

use heirloom_core::{ArtifactRef, Tag};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::printer::{Answer, Printer};
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The version
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    /// Tags to add
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<Tag>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The version
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    /// Tags to take off
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<Tag>,
}

pub(crate) async fn add(app: &App, args: Add) -> Result<Tagged, Failure> {
    edit(app, args.reference, &args.tags, &[]).await
}

pub(crate) async fn remove(app: &App, args: Remove) -> Result<Tagged, Failure> {
    edit(app, args.reference, &[], &args.tags).await
}

async fn edit(
    app: &App,
    reference: ArtifactRef,
    add: &[Tag],
    remove: &[Tag],
) -> Result<Tagged, Failure> {
    let version = app.version(&reference).await?;
    let add: Vec<&str> = add.iter().map(Tag::as_str).collect();
    let remove: Vec<&str> = remove.iter().map(Tag::as_str).collect();
    version.tag(&add, &remove).await?;
    let name = app.name_of(&version.doc().as_ref());
    let now = app.version(&name.parse().map_err(heirloom::Error::from)?).await?;
    Ok(Tagged { version: name, tags: now.doc().tags.clone() })
}

/// Tags as they are now.
#[derive(Debug, Serialize)]
pub(crate) struct Tagged {
    version: String,
    tags: Vec<Tag>,
}

impl Answer for Tagged {
    fn text(&self, printer: &Printer) -> io::Result<()> {
        let tags = if self.tags.is_empty() { "none".to_owned() } else { text::list(&self.tags) };
        printer.note(format!("tags of {}: {tags}", self.version));
        Ok(())
    }
}
