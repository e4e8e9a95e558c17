//! Answers as documents: for people, for programs, for other tools.
//!
//! Every export is a pure function of the answer and of what is known about its
//! nodes: the same input gives the same bytes. Names are taken as hostile. Control
//! characters, and characters that reorder or hide text, appear as visible escapes (`\n`,
//! `\u{202e}`; a backslash is doubled); on top of that each format quotes what it must.
//! In JSON and OpenLineage names stay what they are, escaped as JSON strings.

mod dot;
mod json;
mod mermaid;
mod openlineage;
mod text;
mod time;
mod tree;

pub use dot::dot;
pub use json::{JsonLink, JsonNode, LinkKind, NodeLink, json, node_link};
pub use mermaid::mermaid;
pub use openlineage::{
    Dataset, DatasetFacets, Job, JobFacets, JobTypeFacet, OpenLineageOptions, RunEvent, RunRef,
    Tag, TagsFacet, TypeFacet, VersionFacet, openlineage, run_events,
};
pub use time::rfc3339;
pub use tree::tree;
