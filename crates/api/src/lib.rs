//! What an operation on a Heirloom repository takes and answers: documents,
//! [`Problem`]s, and the [`Backend`] trait that the client drives.
//!
//! Two things implement [`Backend`]: a repository in this process, and the
//! HTTP client. Control goes through boxed futures; bytes go through the
//! blocking [`Uploader`] and [`Downloader`], because the threads that hash and
//! write files are blocking anyway (see `docs/adr/0003-two-planes.md`).
//!
//! This crate knows no storage, no HTTP and no command line.
//!
//! ```
//! use heirloom_api::Problem;
//! let problem = Problem::not_found("artifact", "animals:prod");
//! assert_eq!(problem.code.as_str(), "not_found");
//! let wire = serde_json::to_string(&problem)?;
//! assert_eq!(serde_json::from_str::<Problem>(&wire)?, problem);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod backend;
mod deletion;
mod doc;
mod gc;
mod problem;
mod repair;
mod request;
mod transfer;

pub use backend::{
    Answer, Backend, BackendInfo, BlobKind, Downloader, EntryPage, PackSent, Pending, Sent,
    Uploader, Visit,
};
pub use deletion::{
    DecisionDoc, Delete, DeletedDoc, Freeable, GoneDoc, Matching, ReasonDoc, Restore, RestoredDoc,
    RetentionDoc, StaysDoc,
};
pub use doc::{
    AddedPart, CollectionDoc, Committed, Damage, DeletionDoc, EventDoc, FinishedParts, Found,
    LineageDoc, LineageEdge, LineageNode, PartSetDoc, PartSetState, PartWriter, ProjectDoc, RunDoc,
    RunRef, RunVersion, StateDoc, Usage, UsageReport, VerifyReport, VersionDoc, VersionRef,
};
pub use gc::{GcPhase, GcProgress, GcReport, GcRequest, Kept, OnGc, Volume};
pub use problem::Problem;
pub use repair::{
    Ambiguity, Candidate, RebuildReport, RepairReport, Repaired, Sample, VerifyAll, VerifyTally,
};
pub use request::{
    AddPart, BaseAlias, BeginDraft, Commit, DraftDoc, Expected, FinishParts, LineageQuery,
    ListVersions, ProjectRef, StartRun, Towards, UpdateCollection, UpdateProject, UpdateRun,
    UpdateVersion, UsageBy,
};
pub use transfer::{ImportVersion, ImportedRun, Origin};
