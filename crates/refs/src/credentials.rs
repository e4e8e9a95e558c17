//! Credentials for http(s), looked up by origin and never shown.

use std::fmt;

/// Scheme, host and port of a URL: what credentials belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// `http` or `https`.
    pub scheme: String,
    /// Host in lower case, without brackets for IPv6.
    pub host: String,
    /// Port, the scheme's own where none was written.
    pub port: u16,
}

impl Origin {
    pub(crate) fn of(url: &reqwest::Url) -> Self {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        Self {
            scheme: url.scheme().to_owned(),
            host: host.to_ascii_lowercase(),
            port: url.port_or_known_default().unwrap_or(0),
        }
    }
}

/// What authorises a request. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Basic { user: String, password: String },
    Bearer(String),
}

impl Credential {
    /// User name and password (RFC 7617).
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self(Kind::Basic { user: user.into(), password: password.into() })
    }

    /// A bearer token (RFC 6750).
    pub fn bearer(token: impl Into<String>) -> Self {
        Self(Kind::Bearer(token.into()))
    }

    pub(crate) fn apply(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.0 {
            Kind::Basic { user, password } => request.basic_auth(user, Some(password)),
            Kind::Bearer(token) => request.bearer_auth(token),
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}

/// Where credentials come from. Asked once per request, for the origin of the
/// reference's own URI only; they are never sent to another.
pub trait Credentials: Send + Sync {
    /// What to send to `origin`, if anything.
    fn lookup(&self, origin: &Origin) -> Option<Credential>;
}

impl<F: Fn(&Origin) -> Option<Credential> + Send + Sync> Credentials for F {
    fn lookup(&self, origin: &Origin) -> Option<Credential> {
        self(origin)
    }
}

/// No credentials for anyone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredentials;

impl Credentials for NoCredentials {
    fn lookup(&self, _: &Origin) -> Option<Credential> {
        None
    }
}

/// Why a netrc text was refused. Its words are not repeated: any may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the netrc text cannot be understood at line {line}")]
pub struct NetrcError {
    /// Line, counted from 1.
    pub line: usize,
}

/// Credentials from the text of a netrc file, by host.
///
/// `default` entries are read but not used: they would send a password to any
/// host that a URI names. The first entry of a host counts.
///
/// ```
/// use heirloom_refs::{Credentials, Netrc, Origin};
/// let netrc = Netrc::parse("machine data.example.org login me password hunter2")?;
/// let origin = |host: &str| Origin { scheme: "https".into(), host: host.into(), port: 443 };
/// assert!(netrc.lookup(&origin("data.example.org")).is_some());
/// assert!(netrc.lookup(&origin("example.org")).is_none());
/// # Ok::<(), heirloom_refs::NetrcError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Netrc {
    machines: Vec<(String, Credential)>,
}

impl Netrc {
    /// Reads the text of a netrc file: `machine`, `default`, `login`, `account`,
    /// `password`, `macdef`, comments from `#` where a keyword could stand, and
    /// values in double quotes with `\` escapes as curl reads them.
    ///
    /// # Errors
    /// [`NetrcError`] for an unknown keyword, a value that is missing, or one
    /// before any `machine`.
    pub fn parse(text: &str) -> Result<Self, NetrcError> {
        let mut netrc = Self::default();
        let mut words = Words { rest: text, line: 1 };
        let mut current: Option<Machine> = None;
        while let Some(keyword) = words.keyword() {
            let error = NetrcError { line: words.line };
            match keyword {
                "machine" | "default" => {
                    netrc.push(current.take());
                    let host = match keyword {
                        "machine" => Some(words.value().ok_or(error)?.to_ascii_lowercase()),
                        _ => None,
                    };
                    current = Some(Machine { host, login: String::new(), password: None });
                }
                "login" | "user" => {
                    current.as_mut().ok_or(error)?.login = words.value().ok_or(error)?
                }
                "password" | "passwd" => {
                    current.as_mut().ok_or(error)?.password = Some(words.value().ok_or(error)?);
                }
                "account" => drop(words.value().ok_or(error)?),
                "macdef" => words.skip_macro(),
                _ => return Err(error),
            }
        }
        netrc.push(current);
        Ok(netrc)
    }

    fn push(&mut self, machine: Option<Machine>) {
        if let Some(Machine { host: Some(host), login, password: Some(password) }) = machine {
            self.machines.push((host, Credential::basic(login, password)));
        }
    }
}

impl Credentials for Netrc {
    fn lookup(&self, origin: &Origin) -> Option<Credential> {
        self.machines
            .iter()
            .find(|(host, _)| *host == origin.host)
            .map(|(_, credential)| credential.clone())
    }
}

struct Machine {
    host: Option<String>,
    login: String,
    password: Option<String>,
}

struct Words<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Words<'a> {
    fn skip_space(&mut self) {
        let trimmed = self.rest.trim_start();
        self.advance(self.rest.len() - trimmed.len());
    }

    fn advance(&mut self, by: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(by);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn bare(&mut self) -> &'a str {
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        self.advance(end)
    }

    fn keyword(&mut self) -> Option<&'a str> {
        loop {
            self.skip_space();
            if self.rest.is_empty() {
                return None;
            }
            if !self.rest.starts_with('#') {
                return Some(self.bare());
            }
            self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
    }

    fn value(&mut self) -> Option<String> {
        self.skip_space();
        if !self.rest.starts_with('"') {
            return Some(self.bare().to_owned()).filter(|word| !word.is_empty());
        }
        let mut out = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.advance(at + 1);
                    return Some(out);
                }
                '\\' => match characters.next()?.1 {
                    'n' => out.push('\n'),
                    'r' => out.push('\r'),
                    't' => out.push('\t'),
                    other => out.push(other),
                },
                other => out.push(other),
            }
        }
        None
    }

    /// A macro ends at the first empty line.
    fn skip_macro(&mut self) {
        let end = self.rest.find("\n\n").map_or(self.rest.len(), |at| at + 2);
        self.advance(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(netrc: &Netrc, host: &str) -> Option<Credential> {
        netrc.lookup(&Origin { scheme: "https".into(), host: host.into(), port: 443 })
    }

    #[test]
    fn netrc_as_people_write_it() {
        let text = "# comment machine no\nmachine A.example\n  login me\n  password #pa\"ss\n\
                    macdef init\ncd /pub\nmachine evil\n\n\
                    machine b account x login \"a b\" password \"q\\\"\\\\\" machine a.example password late\n\
                    default login any password thing\nmachine nopassword login x";
        let netrc = Netrc::parse(text).unwrap();
        assert_eq!(found(&netrc, "a.example"), Some(Credential::basic("me", "#pa\"ss")));
        assert_eq!(found(&netrc, "b"), Some(Credential::basic("a b", "q\"\\")));
        for absent in ["evil", "other", "nopassword", "no"] {
            assert_eq!(found(&netrc, absent), None, "{absent}");
        }
        assert!(!format!("{netrc:?}").contains("late"));
    }

    #[test]
    fn a_broken_netrc_names_its_line_only() {
        assert_eq!(Netrc::parse("machine a\nlogni me").unwrap_err().line, 2);
        assert!(Netrc::parse("password hunter2").is_err());
        assert!(Netrc::parse("machine").is_err());
        assert!(Netrc::parse("machine a password \"open").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(machine|login|password|default|macdef|[a-z#\"\\\\é]{0,4}|[ \n]){0,30}") {
            let _ = Netrc::parse(&text);
        }

        #[test]
        fn quoted_passwords_round_trip(password in "\\PC{1,20}") {
            let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
            let netrc = Netrc::parse(&format!("machine h login u password \"{quoted}\"")).unwrap();
            prop_assert_eq!(found(&netrc, "h"), Some(Credential::basic("u", password)));
        }
    }
}
