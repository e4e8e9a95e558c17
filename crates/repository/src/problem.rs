//! Failures of the layers below, as problems that a caller understands.

use heirloom_api::Problem;
use heirloom_catalog::CatalogError;
use heirloom_catalog::rules::Refusal;
use heirloom_core::ErrorCode;
use heirloom_manifest::ReadError;
use heirloom_store::StoreError;

/// Any failure inside the repository on its way to becoming a [`Problem`].
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self(Problem::new(error.code(), chain(&error)))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(store_problem(&error))
    }
}

/// A step at which tests let the repository fail, end or wait.
pub(crate) fn step(name: &'static str) -> Result<(), Failure> {
    heirloom_failpoint::hit(name)
        .map_err(|error| Problem::new(heirloom_core::ErrorCode::Io, error.to_string()).into())
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let mut problem = Problem::new(refusal.code(), chain(&refusal));
        match refusal {
            Refusal::NotFound { nearest, .. } => problem.nearest = nearest,
            Refusal::WrongType { existing, .. } => problem.found = Some(existing.to_string()),
            Refusal::AliasMoved { found, .. } | Refusal::BaseMoved { found, .. } => {
                problem.found = found.map(|index| index.to_string())
            }
            Refusal::OtherPolicy { existing, .. } => {
                problem.found = Some(existing.as_str().to_owned());
            }
            Refusal::InUse { by } => problem.items = by.iter().map(ToString::to_string).collect(),
            Refusal::MissingBlobs { blobs } => {
                problem.items = blobs.iter().take(100).map(ToString::to_string).collect();
            }
            _ => {}
        }
        Self(problem)
    }
}

impl From<ReadError<Problem>> for Failure {
    fn from(error: ReadError<Problem>) -> Self {
        match error {
            ReadError::Source(problem) => Self(problem),
            other => Self(Problem::new(ErrorCode::Corrupt, other.to_string())),
        }
    }
}

pub(crate) fn store_problem(error: &StoreError) -> Problem {
    let code = match error {
        StoreError::NotFound { .. }
        | StoreError::Corrupt { .. }
        | StoreError::OutOfRange { .. } => ErrorCode::Corrupt,
        StoreError::DigestMismatch { key: Some(_), .. } => ErrorCode::Corrupt,
        StoreError::DigestMismatch { key: None, .. } | StoreError::SizeMismatch { .. } => {
            ErrorCode::Conflict
        }
        StoreError::Unsupported { .. } => ErrorCode::NewerFormat,
        StoreError::TooLarge { .. } => ErrorCode::Invalid,
        StoreError::NoSpace { .. } => ErrorCode::NoSpace,
        StoreError::ReadOnly { .. } => ErrorCode::Forbidden,
        _ => ErrorCode::Io,
    };
    Problem::new(code, chain(error))
}

/// The error and what caused it, in one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
