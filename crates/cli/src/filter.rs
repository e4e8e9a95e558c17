//! The little language of `ls --where` and `ls --sort`.
//!
//! ```text
//! filter = clause { "&&" clause }
//! clause = field op value
//! field  = part { "." part }          a part is [A-Za-z0-9_-]+ or a "text"
//! op     = "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "~"
//! value  = "text" | 'text' | word     a word ends at a space or at "&&"
//! ```
//!
//! Fields are those of the version in `ls --json`: `metadata.val_acc`, `size`,
//! `created_at`, `run.name`. A list (`tags`, `aliases`) fits when one of its
//! items does. `~` means "contains". `<` and its like compare a number with a
//! number and a text with whatever is written, and are false for everything else,
//! what is missing included; `!=` is the opposite of `=`. Sizes may have a unit: `size<1GB`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A condition on a version, all of whose clauses must hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Filter {
    clauses: Vec<Clause>,
}

#[derive(Debug, Clone, PartialEq)]
struct Clause {
    field: Field,
    op: Op,
    value: Literal,
}

/// A way into a JSON document; at least one part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field(Vec<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

/// Longest first, so that `<=` is not read as `<`.
const OPS: [(&str, Op); 8] = [
    ("==", Op::Equal),
    ("!=", Op::NotEqual),
    ("<=", Op::LessOrEqual),
    (">=", Op::GreaterOrEqual),
    ("=", Op::Equal),
    ("<", Op::Less),
    (">", Op::Greater),
    ("~", Op::Contains),
];

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq)]
struct Literal {
    text: String,
    /// Quoted: a text, whatever it looks like.
    quoted: bool,
}

/// Why an expression was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParseError {
    at: usize,
    what: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at character {}; the form is `field op value && …`, such as `metadata.val_acc>0.9`",
            self.what,
            self.at + 1
        )
    }
}

impl std::error::Error for ParseError {}

impl Filter {
    /// Whether a version, as its JSON document, fits.
    pub(crate) fn matches(&self, doc: &Value) -> bool {
        self.clauses.iter().all(|clause| clause.matches(doc))
    }

    /// The first field asked for that a document of this shape cannot have.
    pub(crate) fn stranger(&self, doc: &Value) -> Option<&str> {
        self.clauses.iter().find_map(|clause| clause.field.stranger(doc))
    }
}

impl Clause {
    fn matches(&self, doc: &Value) -> bool {
        let found = self.field.of(doc);
        match self.op {
            Op::NotEqual => !self.any(found, |value| self.equal(value)),
            Op::Equal => self.any(found, |value| self.equal(value)),
            Op::Contains => self.any(found, |value| {
                value.as_str().is_some_and(|text| text.contains(&self.value.text))
            }),
            Op::Less => self.any(found, |value| self.order(value) == Some(Ordering::Less)),
            Op::Greater => self.any(found, |value| self.order(value) == Some(Ordering::Greater)),
            Op::LessOrEqual => self.any(found, |value| {
                matches!(self.order(value), Some(Ordering::Less | Ordering::Equal))
            }),
            Op::GreaterOrEqual => self.any(found, |value| {
                matches!(self.order(value), Some(Ordering::Greater | Ordering::Equal))
            }),
        }
    }

    /// What holds of a list holds of one of its items.
    fn any(&self, value: &Value, holds: impl Fn(&Value) -> bool) -> bool {
        match value {
            Value::Array(items) => items.iter().any(holds),
            value => holds(value),
        }
    }

    fn equal(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => *text == self.value.text,
            Value::Number(_) => self.order(value) == Some(Ordering::Equal),
            Value::Bool(flag) => !self.value.quoted && self.value.text == flag.to_string(),
            Value::Null => !self.value.quoted && self.value.text == "null",
            Value::Array(_) | Value::Object(_) => false,
        }
    }

    fn order(&self, value: &Value) -> Option<Ordering> {
        match value {
            Value::Number(number) if !self.value.quoted => {
                compare_numbers(&number.to_string(), &self.number()?)
            }
            Value::String(text) => Some(text.as_str().cmp(&self.value.text)),
            _ => None,
        }
    }

    /// The literal as a number; with a unit if the field counts bytes.
    fn number(&self) -> Option<String> {
        let text = &self.value.text;
        if text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Some(text.clone());
        }
        match self.field.0.last().map(String::as_str) {
            Some("size") => parse_size(text).map(|bytes| bytes.to_string()),
            _ => None,
        }
    }
}

/// Exactly where both are whole numbers, else as floating point.
fn compare_numbers(a: &str, b: &str) -> Option<Ordering> {
    match (a.parse::<i128>(), b.parse::<i128>()) {
        (Ok(a), Ok(b)) => Some(a.cmp(&b)),
        _ => a.parse::<f64>().ok()?.partial_cmp(&b.parse::<f64>().ok()?),
    }
}

/// Bytes from `10MB`, `1.5 GiB`.
fn parse_size(text: &str) -> Option<u64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(split);
    let factor: f64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let number: f64 = number.trim().parse().ok().filter(|n: &f64| n.is_finite() && *n >= 0.0)?;
    // Past 2^53 bytes nobody counts single ones.
    Some((number * factor) as u64)
}

impl Field {
    fn of<'a>(&self, doc: &'a Value) -> &'a Value {
        self.0.iter().fold(doc, |value, part| value.get(part).unwrap_or(&Value::Null))
    }

    /// Its first part, if that is none of the document's own: those are always
    /// there, and only what lies below them may be absent.
    fn stranger(&self, doc: &Value) -> Option<&str> {
        let first = self.0.first()?;
        (doc.is_object() && doc.get(first).is_none()).then_some(first)
    }
}

/// What `--sort` orders by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SortKey {
    field: Field,
    descending: bool,
}

impl SortKey {
    /// As [`Filter::stranger`].
    pub(crate) fn stranger(&self, doc: &Value) -> Option<&str> {
        self.field.stranger(doc)
    }

    /// Orders two documents; those without the field come last either way.
    pub(crate) fn compare(&self, a: &Value, b: &Value) -> Ordering {
        let (a, b) = (self.field.of(a), self.field.of(b));
        match (a.is_null(), b.is_null()) {
            (false, false) => {}
            (missing_a, missing_b) => return missing_a.cmp(&missing_b),
        }
        let order = match (a, b) {
            (Value::Number(a), Value::Number(b)) => {
                compare_numbers(&a.to_string(), &b.to_string()).unwrap_or(Ordering::Equal)
            }
            (Value::Number(_), _) => Ordering::Less,
            (_, Value::Number(_)) => Ordering::Greater,
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (a, b) => a.to_string().cmp(&b.to_string()),
        };
        if self.descending { order.reverse() } else { order }
    }
}

impl FromStr for SortKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (rest, descending) = match text.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let mut parser = Parser { text: rest, at: 0 };
        let field = parser.field()?;
        match parser.rest() {
            "" => Ok(Self { field, descending }),
            _ => Err(parser.error("a field cannot go on like this")),
        }
    }
}

impl FromStr for Filter {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser { text, at: 0 };
        let mut clauses = Vec::new();
        loop {
            parser.skip_spaces();
            let field = parser.field()?;
            parser.skip_spaces();
            let op = parser.op()?;
            parser.skip_spaces();
            let value = parser.value()?;
            clauses.push(Clause { field, op, value });
            parser.skip_spaces();
            if parser.rest().is_empty() {
                return Ok(Self { clauses });
            }
            if !parser.take("&&") {
                return Err(parser.error("`&&` or the end is expected"));
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, what: &'static str) -> ParseError {
        ParseError { at: self.text[..self.at].chars().count(), what }
    }

    fn skip_spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn field(&mut self) -> Result<Field, ParseError> {
        let mut parts = Vec::new();
        loop {
            let part = match self.rest().chars().next() {
                Some('"') => self.quoted('"')?,
                _ => {
                    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                    let end = self.rest().find(|c| !word(c)).unwrap_or(self.rest().len());
                    let part = self.rest()[..end].to_owned();
                    self.at += end;
                    part
                }
            };
            if part.is_empty() {
                return Err(self.error("the name of a field is expected"));
            }
            parts.push(part);
            if !self.take(".") {
                return Ok(Field(parts));
            }
        }
    }

    fn op(&mut self) -> Result<Op, ParseError> {
        for (token, op) in OPS {
            if self.take(token) {
                return Ok(op);
            }
        }
        Err(self.error("one of = != < <= > >= ~ is expected"))
    }

    fn value(&mut self) -> Result<Literal, ParseError> {
        if let Some(quote @ ('"' | '\'')) = self.rest().chars().next() {
            return Ok(Literal { text: self.quoted(quote)?, quoted: true });
        }
        let rest = self.rest();
        let end = rest.find("&&").unwrap_or(rest.len());
        let end = rest[..end].find(char::is_whitespace).unwrap_or(end);
        if end == 0 {
            return Err(self.error("a value is expected"));
        }
        self.at += end;
        Ok(Literal { text: rest[..end].to_owned(), quoted: false })
    }

    /// A text in quotes; a backslash takes the next character as it is.
    fn quoted(&mut self, quote: char) -> Result<String, ParseError> {
        let mut out = String::new();
        let mut chars = self.rest().chars();
        chars.next();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some(c) => out.push(c),
                    None => break,
                },
                c if c == quote => {
                    self.at = self.text.len() - chars.as_str().len();
                    return Ok(out);
                }
                c => out.push(c),
            }
        }
        Err(self.error("the quotation mark has no partner"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn matches(filter: &str, doc: &Value) -> bool {
        filter.parse::<Filter>().unwrap().matches(doc)
    }

    #[test]
    fn what_people_ask_for() {
        let doc = json!({
            "size": 5_000_000, "type": "model", "tags": ["good", "old"], "description": null,
            "created_at": "2026-07-28T10:00:00.000000Z", "run": {"name": "abc"},
            "metadata": {"val_acc": 0.93, "epochs": 10, "name": "resnet 50", "ok": true, "a.b": "7"},
        });
        for yes in [
            "metadata.val_acc>0.9",
            "metadata.val_acc >= 0.93 && metadata.epochs=10",
            "metadata.epochs==10.0",
            "size<10MB&&size>4.5MB",
            "size>=5MB",
            "tags=good",
            "tags!=bad",
            "tags~ol",
            "type!=dataset",
            "metadata.name='resnet 50'",
            "metadata.name ~ \"net 5\"",
            "metadata.\"a.b\"=7",
            "metadata.ok=true",
            "created_at>2026-07",
            "created_at>2026",
            "run.name=abc",
            "description=null",
            "metadata.missing=null",
            "metadata.missing!=3",
        ] {
            assert!(matches(yes, &doc), "{yes}");
        }
        for no in [
            "metadata.val_acc>0.95",
            "metadata.val_acc>\"0.9\"",
            "metadata.missing>0",
            "metadata.missing<0",
            "metadata.val_acc>x",
            "tags=bad",
            "metadata.ok=\"true\"",
            "type=model && size=1",
            "metadata.epochs>10MB",
        ] {
            assert!(!matches(no, &doc), "{no}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        for (text, at) in [
            ("", 1),
            ("size", 5),
            ("size>", 6),
            ("size>3 size<4", 8),
            (">3", 1),
            ("é>3", 1),
            ("a.>3", 3),
            ("a='x", 3),
            ("a>3 &&", 7),
        ] {
            let error = text.parse::<Filter>().unwrap_err().to_string();
            assert!(error.contains(&format!("character {at};")), "{text}: {error}");
        }
        assert!("a b".parse::<SortKey>().is_err());
        assert!("-".parse::<SortKey>().is_err());
    }

    #[test]
    fn missing_fields_sort_last_both_ways() {
        let mut docs = [json!({"m": 2}), json!({}), json!({"m": 10}), json!({"m": "x"})];
        for (key, order) in
            [("m", ["2", "10", "\"x\"", "null"]), ("-m", ["\"x\"", "10", "2", "null"])]
        {
            let key: SortKey = key.parse().unwrap();
            docs.sort_by(|a, b| key.compare(a, b));
            let found: Vec<String> =
                docs.iter().map(|doc| doc.get("m").unwrap_or(&Value::Null).to_string()).collect();
            assert_eq!(found, order);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let doc = json!({"a": 1, "b": ["x"], "size": 3});
            if let Ok(filter) = text.parse::<Filter>() {
                filter.matches(&doc);
            }
        }

        #[test]
        fn exactly_one_of_less_equal_greater(a in any::<i64>(), b in any::<i64>()) {
            let doc = json!({"a": a});
            let holds = |op: &str| matches(&format!("a{op}{b}"), &doc);
            prop_assert_eq!(u8::from(holds("<")) + u8::from(holds("=")) + u8::from(holds(">")), 1);
            prop_assert_eq!(holds("<="), !holds(">"));
            prop_assert_eq!(holds("!="), !holds("="));
            prop_assert_eq!(holds("<"), a < b);
        }

        #[test]
        fn quoted_texts_equal_themselves(text in ".{0,20}") {
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            let doc = json!({"a": text});
            let holds = matches(&format!("a={quoted}"), &doc);
            prop_assert!(holds);
        }
    }
}
