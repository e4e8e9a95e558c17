//! A configuration file that names the artifacts a service needs: each must be
//! pinned, so that a restart serves the same model.

use heirloom_core::{ArtifactRef, RefError, Selector};

/// The references of `config`, one a line; `#` begins a comment.
pub fn references(config: &str) -> Result<Vec<ArtifactRef>, RefError> {
    let lines = config.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(str::parse).collect()
}

/// Those that may mean another version tomorrow.
pub fn unpinned(references: &[ArtifactRef]) -> Vec<String> {
    let moves = |reference: &&ArtifactRef| {
        matches!(reference.selector(), Selector::Unspecified | Selector::Alias(_))
    };
    references.iter().filter(moves).map(ArtifactRef::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn movable_names_are_found() {
        let digest = "0".repeat(64);
        let config = format!(
            "# models\nvision/animals:v3\nacme/vision/animals:prod # moves\n\n\
             tokens\nweights@blake3:{digest}\n"
        );
        let references = references(&config).unwrap();
        assert_eq!(references.len(), 4);
        assert_eq!(unpinned(&references), ["acme/vision/animals:prod", "tokens"]);
    }

    #[test]
    fn wrong_references_are_refused() {
        for wrong in ["a/b/c/d:v1", "animals:", "animals:a/b", ":v1"] {
            assert!(references(wrong).is_err(), "{wrong}");
        }
    }
}
