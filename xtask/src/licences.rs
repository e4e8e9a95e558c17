//! Every package we build on must be usable under a licence that we accept.

use cargo_metadata::Package;

use crate::workspace::Workspace;

/// SPDX names that may stand in the licence of a dependency. Permissive ones, and
/// MPL-2.0, whose terms stop at the files of the package itself.
const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    // aws-lc-sys carries code of OpenSSL.
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// One line per package whose licence is not accepted.
pub(crate) fn refused(workspace: &Workspace) -> Vec<String> {
    // Nobody gets what is not published: no licence is needed for it.
    let published = |package: &&Package| package.publish.as_ref().is_none_or(|to| !to.is_empty());
    let packages = workspace.packages().iter().filter(published);
    packages.filter_map(|package| refusal(package).map(|why| line(package, &why))).collect()
}

fn line(package: &Package, why: &str) -> String {
    format!("licences: {} {}: {why}", package.name, package.version)
}

fn refusal(package: &Package) -> Option<String> {
    let Some(licence) = &package.license else {
        return Some("names no licence".into());
    };
    match satisfied(licence, |name| ACCEPTED.contains(&name)) {
        Ok(true) => None,
        Ok(false) => Some(format!("`{licence}` is not accepted")),
        Err(why) => Some(format!("`{licence}` is not an SPDX expression: {why}")),
    }
}

/// Whether the SPDX expression can be met with licences that `accepts` takes.
///
/// `AND` binds stronger than `OR`, `WITH` belongs to its licence (SPDX 2.3, annex
/// D). The `/` of old manifests means `OR`.
fn satisfied(expression: &str, accepts: impl Fn(&str) -> bool) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, accepts: &accepts };
    let met = parser.any()?;
    match parser.words.first() {
        None => Ok(met),
        Some(word) => Err(format!("unexpected `{word}`")),
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    accepts: &'a dyn Fn(&str) -> bool,
}

impl<'a> Parser<'a> {
    fn any(&mut self) -> Result<bool, String> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Ok(met)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Ok(met)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.take("(") {
            let met = self.any()?;
            return if self.take(")") { Ok(met) } else { Err("`)` is missing".into()) };
        }
        let licence = self.name()?;
        if self.take("WITH") {
            let exception = self.name()?;
            return Ok((self.accepts)(&format!("{licence} WITH {exception}")));
        }
        Ok((self.accepts)(licence))
    }

    fn name(&mut self) -> Result<&'a str, String> {
        let (first, rest) = self.words.split_first().ok_or("it ends too early")?;
        if matches!(*first, "OR" | "AND" | "WITH" | "(" | ")") {
            return Err(format!("unexpected `{first}`"));
        }
        self.words = rest;
        Ok(first)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.words = &self.words[1..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(expression: &str) -> bool {
        satisfied(expression, |name| ACCEPTED.contains(&name)).unwrap()
    }

    #[test]
    fn one_choice_is_enough() {
        assert!(met("MIT OR GPL-3.0-only"));
        assert!(met("GPL-3.0-only OR MIT"));
        assert!(met("MIT/Apache-2.0"));
        assert!(!met("GPL-3.0-only"));
        assert!(!met("GPL-3.0-only OR AGPL-3.0-only"));
    }

    #[test]
    fn all_parts_are_needed() {
        assert!(met("ISC AND (Apache-2.0 OR ISC) AND OpenSSL"));
        assert!(!met("MIT AND GPL-2.0-only"));
        assert!(!met("GPL-2.0-only AND MIT"));
    }

    #[test]
    fn and_binds_stronger_than_or() {
        assert!(met("MIT OR GPL-2.0-only AND GPL-3.0-only"));
        assert!(!met("(MIT OR GPL-2.0-only) AND GPL-3.0-only"));
        assert!(met("(MIT OR Apache-2.0) AND Unicode-3.0"));
    }

    #[test]
    fn exception_belongs_to_its_licence() {
        assert!(met("Apache-2.0 WITH LLVM-exception OR GPL-2.0-only"));
        assert!(!met("GPL-2.0-only WITH Classpath-exception-2.0"));
        assert!(!met("MIT WITH LLVM-exception"));
    }

    #[test]
    fn malformed_expressions_are_errors() {
        for bad in ["", "MIT OR", "OR MIT", "(MIT", "MIT)", "MIT Apache-2.0", "MIT WITH"] {
            assert!(satisfied(bad, |_| true).is_err(), "{bad:?}");
        }
    }
}
