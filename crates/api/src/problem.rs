//! What an operation answers when it does not do what was asked.

use heirloom_core::ErrorCode;

/// A failed operation: a stable code, one sentence, and what a caller may act on.
///
/// Embedded and remote backends answer the same problems; over HTTP they travel
/// as RFC 9457 documents.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{message}")]
pub struct Problem {
    /// The code.
    #[serde(serialize_with = "code_text", deserialize_with = "code_parse")]
    pub code: ErrorCode,
    /// One sentence: what happened, to what.
    pub message: String,
    /// Names close to one that was not found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<String>,
    /// What was found instead of what was expected: the version that holds an
    /// alias, the existing type, the blob that is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What stands in the way: aliases, links, damaged objects, unreadable files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<String>,
}

fn code_text<S: serde::Serializer>(code: &ErrorCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

fn code_parse<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<ErrorCode, D::Error> {
    let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
    Ok(ErrorCode::parse(&text).unwrap_or(ErrorCode::Unavailable))
}

impl Problem {
    /// A problem with a code and a sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), nearest: Vec::new(), found: None, items: Vec::new() }
    }

    /// Something that does not exist, or that the caller may not see.
    pub fn not_found(what: &str, name: impl std::fmt::Display) -> Self {
        Self::new(ErrorCode::NotFound, format!("{what} `{name}` does not exist"))
    }

    /// A request that cannot be carried out as it is.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, message)
    }

    /// The same problem with the names that stand in the way.
    #[must_use]
    pub fn with_items(mut self, items: Vec<String>) -> Self {
        self.items = items;
        self
    }

    /// Whether the same request may succeed when sent again.
    pub fn is_retryable(&self) -> bool {
        matches!(self.code, ErrorCode::Unavailable | ErrorCode::Fenced)
    }
}
