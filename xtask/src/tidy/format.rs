//! When code that lays out bytes changes, so must `docs/format.md`.
//!
//! [`RECORD`] keeps a fingerprint of both. Code that differs from the record beside
//! an unchanged page is an error; when the page changed too, `gen` writes the new
//! record. Comments, tests and layout of the code do not count. Whoever changes
//! that code without changing a byte it writes says so: `gen --format-unchanged`.

use std::path::{Path, PathBuf};

use crate::source::Source;
use crate::workspace::Tree;

/// The page.
const PAGE: &str = "docs/format.md";

/// Where the fingerprints are kept.
pub(crate) const RECORD: &str = "docs/.format-hash";

/// The code: files, and folders with all Rust files below them.
const CODE: &[&str] = &[
    "crates/manifest/src/build.rs",
    "crates/manifest/src/codec.rs",
    "crates/manifest/src/digest.rs",
    "crates/manifest/src/node.rs",
    "crates/manifest/src/params.rs",
    "crates/repository/src/record.rs",
    "crates/store/src/key.rs",
    "crates/store/src/pack",
];

/// What the record should say, and what it says.
struct State {
    code: String,
    page: String,
    recorded: Option<(String, String)>,
}

/// One line for each entry of [`CODE`] that names nothing: code was moved, and is no
/// longer watched. (A stale record is found by `gen --check`.)
pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let files = files(tree);
    let named = |code: &str| {
        let file = Path::new(code).with_extension("rs");
        files.iter().any(|path| path.starts_with(code) || *path == file)
    };
    let gone = CODE.iter().filter(|code| !named(code));
    gone.map(|code| format!("{code}: gone: mend the list in xtask/src/tidy/format.rs")).collect()
}

/// The text of the record for `tree`, or why it may not be written.
///
/// With `unchanged` a developer vouches that the bytes stayed the same.
pub(crate) fn record(tree: &Tree, unchanged: bool) -> Result<String, String> {
    State::of(tree).record(unchanged)
}

impl State {
    fn of(tree: &Tree) -> Self {
        let code = files(tree).into_iter().filter_map(|path| tree.text(&path));
        let code: Vec<String> = code.map(|text| Source::parse(text).essence()).collect();
        let recorded = tree.text(Path::new(RECORD)).and_then(|text| {
            let value = |key| text.lines().find_map(|line| line.strip_prefix(key));
            Some((value("code ")?.to_owned(), value("page ")?.to_owned()))
        });
        Self {
            code: fingerprint(&code.join("\n")),
            page: fingerprint(tree.text(Path::new(PAGE)).unwrap_or_default()),
            recorded,
        }
    }

    fn record(&self, unchanged: bool) -> Result<String, String> {
        if let Some((code, page)) = &self.recorded
            && *code != self.code
            && *page == self.page
            && !unchanged
        {
            return Err(format!(
                "{PAGE}: code that lays out bytes changed, this page did not: describe the \
                 change, or run `cargo xtask gen --format-unchanged` if every byte stays the same"
            ));
        }
        Ok(format!(
            "# Fingerprints of the code that lays out bytes and of format.md, so that neither\n\
             # changes alone. Written by `cargo xtask gen`.\ncode {}\npage {}\n",
            self.code, self.page
        ))
    }
}

fn files(tree: &Tree) -> Vec<PathBuf> {
    let listed = |path: &&Path| {
        CODE.iter()
            .any(|code| path.starts_with(code) || **path == *Path::new(code).with_extension("rs"))
    };
    tree.with_extension("rs").map(|(path, _)| path).filter(listed).map(Into::into).collect()
}

/// FNV-1a, 64 bits: guards against forgetting, not against forgers.
fn fingerprint(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All watched files, with `node` in one of them.
    fn tree(node: &str, page: &str, record: &str) -> Tree {
        let path = |code: &str| match code.ends_with(".rs") {
            true => code.to_owned(),
            false => format!("{code}/index.rs"),
        };
        let paths: Vec<String> = CODE.iter().map(|code| path(code)).collect();
        let text =
            |path: &str| if path.ends_with("node.rs") { node.to_owned() } else { String::new() };
        let texts: Vec<String> = paths.iter().map(|path| text(path)).collect();
        let code = paths.iter().zip(&texts).map(|(path, text)| (path.as_str(), text.as_str()));
        let files: Vec<_> = code.chain([(PAGE, page), (RECORD, record)]).collect();
        Tree::of(&files)
    }

    const CODE_1: &str = "const MAGIC: u8 = 1;";
    const CODE_2: &str = "const MAGIC: u8 = 2;";

    fn recorded() -> String {
        record(&tree(CODE_1, "page 1", ""), false).unwrap()
    }

    #[test]
    fn record_stays_while_code_and_page_do() {
        let commented = format!("// why\n{CODE_1}\n#[cfg(test)] mod tests {{}}");
        for code in [CODE_1, &commented] {
            assert_eq!(record(&tree(code, "page 1", &recorded()), false), Ok(recorded()));
        }
    }

    #[test]
    fn code_may_not_change_alone() {
        let tree = tree(CODE_2, "page 1", &recorded());
        let why = record(&tree, false).unwrap_err();
        assert!(why.contains("this page did not"), "{why}");
        assert_ne!(record(&tree, true).unwrap(), recorded());
    }

    #[test]
    fn record_follows_a_changed_page() {
        for code in [CODE_1, CODE_2] {
            let new = record(&tree(code, "page 2", &recorded()), false).unwrap();
            assert_ne!(new, recorded());
            assert_eq!(record(&tree(code, "page 2", &new), false).unwrap(), new);
        }
    }

    #[test]
    fn moved_code_is_noticed() {
        assert!(check(&tree("", "", "")).is_empty());
        let moved = Tree::of(&[("crates/manifest/src/build.rs", ""), (PAGE, "")]);
        assert_eq!(check(&moved).len(), CODE.len() - 1);
        let file = Tree::of(&[("crates/store/src/pack.rs", "")]);
        assert!(!check(&file).iter().any(|line| line.contains("pack")));
    }
}
