//! `artifact cat`: one file of a version.

use std::io::Read;

use heirloom_core::{ArtifactRef, ErrorCode};

use crate::app::App;
use crate::exit::Failure;
use crate::text;

/// Files up to this size are verified before a byte of them is printed; larger
/// ones while they stream, so that damage shows in the exit code at the end.
const VERIFIED_FIRST: u64 = 8 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Version that has the file
    #[arg(value_name = "REF")]
    reference: ArtifactRef,
    /// Its path in the artifact
    #[arg(value_name = "PATH")]
    path: String,
    /// Run that uses it [env: HEIRLOOM_RUN]
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
}

pub(crate) async fn run(app: &App, args: Args) -> Result<(), Failure> {
    let version = app.used_version(&args.reference, args.run.as_deref()).await?;
    let name = app.name_of(&version.doc().as_ref());
    let list = || format!("`heirloom artifact files {name}` lists what is there");
    let mut reader = version
        .open(&args.path)
        .await
        .map_err(|error| Failure::from(error).hint_for(ErrorCode::NotFound, list))?;
    if reader.size().is_some_and(|size| size <= VERIFIED_FIRST) {
        let bytes = version.read(&args.path).await?;
        return Ok(app.printer.bytes(&bytes)?);
    }
    let printer = app.printer.clone();
    let path = args.path;
    let copied = tokio::task::spawn_blocking(move || -> Result<(), Failure> {
        let mut buffer = vec![0; 1 << 18];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => printer.bytes(&buffer[..n])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&path, error)),
            }
        }
    });
    match copied.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Failure::failed(ErrorCode::Io, "the runtime was shut down")),
        },
    }
}

fn failed(path: &str, error: std::io::Error) -> Failure {
    match error.downcast::<heirloom_api::Problem>() {
        Ok(problem) => heirloom::Error::from(problem).into(),
        Err(error) => {
            let code = match error.kind() {
                std::io::ErrorKind::InvalidData => ErrorCode::Corrupt,
                _ => ErrorCode::Io,
            };
            let path = text::escaped(path);
            Failure::failed(code, format!("`{path}`: {error}; do not trust what was printed"))
        }
    }
}
