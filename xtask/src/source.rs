//! Just enough of Rust's grammar to tell code from comments and strings, code of
//! tests from other code, and which file declares which module.

use std::ops::Range;

/// A Rust file, seen in layers of equal length: what does not belong to a layer is
/// blanked out, line breaks are kept.
pub(crate) struct Source {
    /// Without comments.
    uncommented: String,
    /// Without comments and without the contents of strings and characters.
    code: String,
    /// Parts compiled for tests only.
    tests: Vec<Range<usize>>,
}

/// A `mod name;`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// Names of the inline modules around it, then its own.
    pub(crate) path: Vec<String>,
    /// From a `#[path = "…"]`.
    pub(crate) file: Option<String>,
    pub(crate) test: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Code,
    Text,
    Comment,
}

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let classes = classify(text.as_bytes());
        let keep = |wanted: &[Class]| -> String {
            let pairs = text.bytes().zip(&classes);
            let kept = pairs.map(|(byte, class)| match byte {
                b'\n' => b'\n',
                byte if wanted.contains(class) => byte,
                _ => b' ',
            });
            // A class covers whole characters, so nothing is cut inside one.
            String::from_utf8_lossy(&kept.collect::<Vec<u8>>()).into_owned()
        };
        let code = keep(&[Class::Code]);
        let tests = test_ranges(&code);
        Self { uncommented: keep(&[Class::Code, Class::Text]), code, tests }
    }

    /// Lines (from 1) where `needle` stands in code, not as the end of a longer word;
    /// with `test`, only in what is compiled for tests, else only in the rest.
    pub(crate) fn lines_with(&self, needle: &str, test: bool) -> Vec<usize> {
        let bytes = self.code.as_bytes();
        let inside = |at: usize| at > 0 && is_word(bytes[at - 1]) && is_word(bytes[at]);
        let found = self.code.match_indices(needle).map(|(at, _)| at);
        let wanted = found.filter(|at| !inside(*at) && self.is_test(*at) == test);
        let mut lines: Vec<usize> =
            wanted.map(|at| 1 + self.code[..at].matches('\n').count()).collect();
        lines.dedup();
        lines
    }

    /// What the compiler makes a program of: no comments, no tests, blanks folded.
    pub(crate) fn essence(&self) -> String {
        let mut rest = String::new();
        let mut at = 0;
        for range in &self.tests {
            rest.push_str(self.uncommented.get(at..range.start).unwrap_or_default());
            at = at.max(range.end);
        }
        rest.push_str(self.uncommented.get(at..).unwrap_or_default());
        rest.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The modules that live in files of their own.
    pub(crate) fn modules(&self) -> Vec<Module> {
        let mut modules = Vec::new();
        let mut inside: Vec<(String, usize)> = Vec::new();
        let mut depth = 0_usize;
        let bytes = self.code.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'{' => depth += 1,
                b'}' => {
                    depth = depth.saturating_sub(1);
                    inside.retain(|(_, opened)| *opened <= depth);
                }
                b'm' if word_at(&self.code, at) == "mod" => {
                    let rest = self.code[at + 3..].trim_start();
                    let start = self.code.len() - rest.len();
                    let name = word_at(&self.code, start).to_owned();
                    let after = self.code[start + name.len()..].trim_start();
                    if !name.is_empty() && after.starts_with('{') {
                        inside.push((name, depth + 1));
                    } else if !name.is_empty() && after.starts_with(';') {
                        let around = inside.iter().map(|(name, _)| name.clone());
                        modules.push(Module {
                            path: around.chain([name]).collect(),
                            file: self.path_attribute(at),
                            test: self.is_test(at),
                        });
                    }
                    at = start;
                    continue;
                }
                byte if is_word(byte) => {
                    at += word_at(&self.code, at).len().max(1);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        modules
    }

    /// The value of `#[path = "…"]` among the attributes of the item at `at`.
    fn path_attribute(&self, at: usize) -> Option<String> {
        let start = self.code[..at].rfind([';', '}', '{']).map_or(0, |end| end + 1);
        let attributes = &self.uncommented[start..at];
        let rest = attributes.split_once("#[path")?.1;
        rest.split('"').nth(1).map(str::to_owned)
    }

    fn is_test(&self, at: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&at))
    }
}

fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

/// The word that starts at `at`; empty inside a word.
fn word_at(code: &str, at: usize) -> &str {
    let bytes = code.as_bytes();
    if at > 0 && is_word(bytes[at - 1]) {
        return "";
    }
    let length = bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
    &code[at..at + length]
}

fn classify(text: &[u8]) -> Vec<Class> {
    let mut classes = vec![Class::Code; text.len()];
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let word_before = at > 0 && is_word(text[at - 1]);
        let (class, length) = if rest.starts_with(b"//") {
            (Class::Comment, rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len()))
        } else if rest.starts_with(b"/*") {
            (Class::Comment, block_comment(rest))
        } else if let Some(length) = raw_string(rest).filter(|_| !word_before) {
            (Class::Text, length)
        } else if rest[0] == b'"' {
            (Class::Text, quoted(rest, b'"'))
        } else if rest[0] == b'\'' && is_character(rest) {
            (Class::Text, quoted(rest, b'\''))
        } else {
            at += 1;
            continue;
        };
        let end = at + length;
        classes[at..end].fill(class);
        at = end;
    }
    classes
}

fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of `r"…"`, `r#"…"#`, `br"…"`, `cr"…"` at the start of `text`.
fn raw_string(text: &[u8]) -> Option<usize> {
    let prefix = [&b"br"[..], b"cr", b"r"].into_iter().find(|p| text.starts_with(p))?.len();
    let hashes = text[prefix..].iter().take_while(|byte| **byte == b'#').count();
    let open = prefix + hashes;
    if text.get(open) != Some(&b'"') {
        return None;
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let body = &text[open + 1..];
    let end = body.windows(close.len()).position(|window| window == close);
    Some(end.map_or(text.len(), |end| open + 1 + end + close.len()))
}

/// Length of a literal with escapes that starts with `quote`.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Whether the `'` begins a character, not a lifetime.
fn is_character(text: &[u8]) -> bool {
    match text.get(1) {
        Some(b'\\') => true,
        Some(byte) if byte.is_ascii() => text.get(2) == Some(&b'\''),
        // A character of several bytes; lifetimes outside ASCII do not occur.
        Some(_) => true,
        None => false,
    }
}

/// Items under `#[cfg(test)]` or `#[cfg(all(test, …))]`, attributes included.
fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (start, _) in code.match_indices("#[cfg(").chain(code.match_indices("#![cfg(")) {
        let Some(end) = code[start..].find(']').map(|length| start + length + 1) else { continue };
        let condition = &code[start..end];
        let words = condition.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        if !words.contains(&"test") || words.contains(&"not") || words.contains(&"any") {
            continue;
        }
        if condition.starts_with("#!") {
            return std::iter::once(0..code.len()).collect();
        }
        ranges.push(start..item_end(code, end));
    }
    ranges.sort_by_key(|range| range.start);
    ranges
}

/// End of the item that starts at `at`: its `;`, or the `}` of its first block.
fn item_end(code: &str, at: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.as_bytes()[at..].iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && *byte == b'}' {
                    return at + offset + 1;
                }
            }
            b';' if depth == 0 => return at + offset + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        let text = r##"
            // x.unwrap()
            /* x.unwrap() /* nested */ x.unwrap() */
            let a = "x.unwrap() \" x.unwrap()";
            let b = r#"x.unwrap() " x.unwrap()"#;
            let c: &'static str = y.unwrap();
            let d = ['"', '\'', 'é']; z.unwrap();
        "##;
        assert_eq!(Source::parse(text).lines_with(".unwrap()", false), [6, 7]);
    }

    #[test]
    fn longer_words_do_not_match() {
        let source = Source::parse("fn no_sleep() {}\nx.sleep(1)\nsleep(2)\n(sleep)(3)");
        assert_eq!(source.lines_with("sleep(", false), [2, 3]);
    }

    #[test]
    fn tests_are_told_from_other_code() {
        let text = "fn f() { a.unwrap() }\n\
                    #[cfg(test)]\n\
                    #[allow(clippy::unwrap_used)]\n\
                    mod tests {\n\
                      fn g() { if x { b.unwrap() } }\n\
                      fn h() { c.unwrap() }\n\
                    }\n\
                    fn i() { d.unwrap() }\n\
                    #[cfg(all(test, unix))] fn j() -> [u8; 2] { e.unwrap() }\n\
                    #[cfg(not(test))] fn k() { f.unwrap() }\n\
                    #[cfg(any(test, feature = \"x\"))] fn l() { g.unwrap() }\n";
        let source = Source::parse(text);
        assert_eq!(source.lines_with(".unwrap()", false), [1, 8, 10, 11]);
        assert_eq!(source.lines_with(".unwrap()", true), [5, 6, 9]);
    }

    #[test]
    fn whole_file_may_be_for_tests() {
        let source = Source::parse("#![cfg(test)]\nfn f() { a.unwrap() }\n");
        assert!(source.lines_with(".unwrap()", false).is_empty());
    }

    #[test]
    fn modules_in_files_are_found() {
        let text = "pub(crate) mod a;\n// mod no;\nmod b { mod c; fn mod_x() {} }\n\
                    #[cfg(test)]\nmod tests;\n#[path = \"other/name.rs\"]\nmod d;\n\
                    mod e { fn f() {} }\nmod g;\n";
        let found = Source::parse(text).modules();
        let paths: Vec<String> = found.iter().map(|module| module.path.join("/")).collect();
        assert_eq!(paths, ["a", "b/c", "tests", "d", "g"]);
        assert_eq!(found[3].file.as_deref(), Some("other/name.rs"));
        assert_eq!(found[4].file, None);
        assert!(found[2].test && !found[0].test && !found[3].test);
    }

    #[test]
    fn essence_ignores_comments_tests_and_layout_only() {
        let one = "// why\nconst MAGIC: &[u8] = b\"HM\";\n#[cfg(test)]\nmod tests { }\nfn f() {}";
        let same =
            "const MAGIC: &[u8] =\n    b\"HM\"; fn f() {}\n#[cfg(test)]\nmod other { fn g() {} }";
        let other = "const MAGIC: &[u8] = b\"HN\";\nfn f() {}";
        assert_eq!(Source::parse(one).essence(), Source::parse(same).essence());
        assert_ne!(Source::parse(one).essence(), Source::parse(other).essence());
    }
}
