//! Links between the pages of this repository must lead somewhere.

use std::path::{Component, Path, PathBuf};

use crate::workspace::Tree;

pub(crate) fn check(tree: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    for (page, text) in tree.with_extension("md") {
        for (line, target) in targets(text) {
            if let Some(what) = broken(tree, page, text, &target) {
                lines.push(format!("{}:{line}: link `{target}`: {what}", page.display()));
            }
        }
    }
    lines
}

/// What is wrong with a link of `page`, if anything.
fn broken(tree: &Tree, page: &Path, text: &str, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let (path, text) = if file.is_empty() {
        (page.to_path_buf(), Some(text))
    } else {
        let Some(path) = resolve(page, file) else { return Some("leaves the repository") };
        if !tree.contains(&path) && !tree.has_folder(&path) {
            return Some("no such file");
        }
        let text = tree.text(&path);
        (path, text)
    };
    let is_page = path.extension().is_some_and(|extension| extension == "md");
    if anchor.is_empty() || !is_page {
        return None;
    }
    let found = text.is_some_and(|text| anchors(text).iter().any(|known| known == anchor));
    (!found).then_some("no such heading")
}

/// `link` as seen from the folder of `page`; `None` if it leads outside.
fn resolve(page: &Path, link: &str) -> Option<PathBuf> {
    let mut path = page.parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(link).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// Targets of inline links and of link definitions, with their lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            if !target.is_empty() {
                found.push((number, target.to_owned()));
            }
        }
        if let Some((_, rest)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            found.extend(rest.split_whitespace().next().map(|target| (number, target.to_owned())));
        }
    }
    found
}

/// The anchors of a page's headings, as code hosts make them.
fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, line) in prose(text) {
        let Some(title) = line.trim_start_matches('#').strip_prefix(' ') else { continue };
        if !line.starts_with('#') {
            continue;
        }
        let kept = title.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let before = found.iter().filter(|known| **known == slug).count();
        found.push(if before == 0 { slug } else { format!("{slug}-{before}") });
    }
    found
}

/// Lines (numbered from 1) outside code blocks, fenced or indented.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        let skip = fenced || fence || line.starts_with("    ");
        fenced ^= fence;
        (!skip).then_some((index + 1, line))
    })
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = "# Guide\n## Use: it, now\n## Again\n## Again\n";

    fn lines(readme: &str) -> Vec<String> {
        check(&Tree::of(&[
            ("README.md", readme),
            ("docs/guide.md", GUIDE),
            ("crates/a/src/lib.rs", ""),
        ]))
    }

    #[test]
    fn good_links_pass() {
        let readme = "# Top\n[a](docs/guide.md) [b](docs/guide.md#use-it-now) [c](crates/a) \
                      [d](https://example.org/x) [e](#top) [f](docs/guide.md#again-1)\n\
                      `[g](nowhere)`\n```\n[h](nowhere)\n```\n    [i](nowhere)\n\n[j]: docs/guide.md\n";
        assert_eq!(lines(readme), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_broken_link_is_named() {
        for (readme, what) in [
            ("x\n[a](docs/gone.md)", "README.md:2: link `docs/gone.md`: no such file"),
            ("[a](docs/guide.md#gone)", "no such heading"),
            ("[a](#gone)", "no such heading"),
            ("[a](../other/README.md)", "leaves the repository"),
            ("[a]: docs/gone.md", "no such file"),
        ] {
            let lines = lines(readme);
            assert_eq!(lines.len(), 1, "{readme}: {lines:?}");
            assert!(lines[0].contains(what), "{readme}: {lines:?}");
        }
    }

    #[test]
    fn links_are_relative_to_their_page() {
        let page = Path::new("docs/guide/use.md");
        assert_eq!(resolve(page, "../format.md").unwrap(), Path::new("docs/format.md"));
        assert_eq!(resolve(page, "./a/../b.md").unwrap(), Path::new("docs/guide/b.md"));
        assert_eq!(resolve(page, "../../../x"), None);
    }
}
