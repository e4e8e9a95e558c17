//! What must not stand in Rust files.

use std::path::Path;

use super::modules::Modules;
use crate::source::Source;
use crate::workspace::Tree;

/// Longer files are split, by meaning.
const MAX_LINES: usize = 800;

pub(crate) fn check(tree: &Tree, modules: &Modules) -> Vec<String> {
    tree.with_extension("rs")
        .flat_map(|(path, text)| {
            let found = file(path, text, modules.is_test(path));
            found.into_iter().map(|(line, what)| format!("{}:{line}: {what}", path.display()))
        })
        .collect()
}

fn file(path: &Path, text: &str, for_tests: bool) -> Vec<(usize, &'static str)> {
    let source = Source::parse(text);
    let mut found = Vec::new();
    let mut note = |lines: Vec<usize>, what| found.extend(lines.into_iter().map(|l| (l, what)));

    let lines = text.lines().count();
    if lines > MAX_LINES {
        note(vec![lines], "over 800 lines: split the file by meaning");
    }
    for test in [false, true] {
        for stub in ["todo!(", "unimplemented!("] {
            note(source.lines_with(stub, test), "a stub: do it or leave it out");
        }
        note(
            source.lines_with("#[ignore", test),
            "an ignored test proves nothing: mend or remove it",
        );
        // The test kit waits for servers by polling what they do, too.
        let waits =
            test || for_tests || path.starts_with("tests") || path.starts_with("crates/testkit");
        if waits {
            let what = "a sleep: wait for the event itself, or inject the clock";
            // A definition, or a clock that was passed in, is no sleep.
            note(source.lines_with("::sleep(", test), what);
        }
    }
    // A conformance suite is a test that lives where other crates can run it.
    let for_tests =
        for_tests || path.iter().any(|part| part == "conformance" || part == "conformance.rs");
    if path.starts_with("crates") && !for_tests && path.iter().any(|part| part == "src") {
        let what = "`.unwrap()` outside tests: return the error, or `expect` with why it holds";
        note(source.lines_with(".unwrap()", false), what);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str, for_tests: bool) -> Vec<usize> {
        file(Path::new(path), text, for_tests).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn unwrap_is_for_tests() {
        let text = "fn f() {\n a.unwrap() }\n#[cfg(test)]\nmod tests { fn g() { b.unwrap() } }\n";
        assert_eq!(lines("crates/a/src/lib.rs", text, false), [2]);
        assert!(lines("crates/a/src/tests.rs", text, true).is_empty());
        assert!(lines("crates/a/tests/x.rs", text, true).is_empty());
    }

    #[test]
    fn stubs_and_ignored_tests_are_found_everywhere() {
        let text = "fn f() { todo!() }\n#[cfg(test)]\nmod tests {\n #[ignore = \"later\"]\n fn g() { unimplemented!() } }\n";
        assert_eq!(lines("crates/a/src/lib.rs", text, false), [1, 5, 4]);
    }

    #[test]
    fn tests_do_not_sleep() {
        let text = "fn f() { thread::sleep(d) }\n#[cfg(test)]\nmod tests { fn g() { std::thread::sleep(d) } }\n";
        assert_eq!(lines("crates/a/src/lib.rs", text, false), [3]);
        assert_eq!(lines("crates/a/tests/x.rs", text, true), [1, 3]);
        assert_eq!(lines("crates/testkit/src/lib.rs", text, false), [1, 3]);
    }

    #[test]
    fn long_files_are_found() {
        assert!(lines("xtask/src/a.rs", &"\n".repeat(800), false).is_empty());
        assert_eq!(lines("xtask/src/a.rs", &"\n".repeat(801), false), [801]);
    }
}
