//! `artifact files`: what a version holds.

use heirloom_core::ArtifactRef;
use heirloom_manifest::{Entry, LogicalPath};
use serde::Serialize;

use crate::app::App;
use crate::exit::Failure;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version to list
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    /// Only this path and what lies below it
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    let version = app.version(&args.reference).await?;
    let mut files = version.files();
    if let Some(prefix) = &args.prefix {
        files = files.prefix(prefix.trim_end_matches('/'));
    }
    while let Some((path, entry)) = files.next().await? {
        if app.printer.is_json() {
            app.printer.json_line(&Item::new(&path, &entry))?;
        } else {
            app.printer.line(line(&path, &entry))?;
        }
    }
    Ok(())
}

/// One line of text: size, path, and where a reference leads.
pub(crate) fn line(path: &LogicalPath, entry: &Entry) -> String {
    let (size, rest) = match entry {
        Entry::File { size, .. } => (text::bytes(*size), String::new()),
        Entry::EmptyDirectory => (String::new(), "/".to_owned()),
        Entry::Reference(reference) => {
            let size = reference.size.map(text::bytes).unwrap_or_else(|| "?".to_owned());
            (size, format!(" -> {}", text::escaped(&reference.uri)))
        }
    };
    format!("{size:>10}  {}{rest}", path.escaped())
}

/// One entry as a JSON line.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Item<'a> {
    File {
        path: &'a str,
        size: u64,
        digest: String,
    },
    Reference {
        path: &'a str,
        uri: &'a str,
        size: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        etag: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        version_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        generation: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        final_uri: Option<&'a str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        checksums: Vec<String>,
    },
    Directory {
        path: &'a str,
    },
}

impl<'a> Item<'a> {
    pub(crate) fn new(path: &'a LogicalPath, entry: &'a Entry) -> Self {
        let path = path.as_str();
        match entry {
            Entry::File { blob, size } => {
                Self::File { path, size: *size, digest: blob.to_string() }
            }
            Entry::EmptyDirectory => Self::Directory { path },
            Entry::Reference(reference) => Self::Reference {
                path,
                uri: &reference.uri,
                size: reference.size,
                etag: reference.etag.as_deref(),
                version_id: reference.version_id.as_deref(),
                generation: reference.generation.as_deref(),
                final_uri: reference.final_uri.as_deref(),
                checksums: reference.checksums.iter().map(ToString::to_string).collect(),
            },
        }
    }
}
