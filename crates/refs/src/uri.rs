//! URIs of references: checked once, free of credentials, kept verbatim.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use heirloom_manifest::{LogicalPath, MAX_URI_BYTES, PathError};

use crate::error::RefsError;

/// Why a text is not an acceptable URI. Messages never repeat the text, which
/// may be a secret with a mistake in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It does not begin with `scheme:`.
    #[error("it has no scheme such as `https://` or `file://`")]
    NoScheme,
    /// `C:\…`: a path, not a URI.
    #[error("it looks like a path with a drive letter; write `file:///C:/…`")]
    DrivePath,
    /// It is longer than a manifest can hold.
    #[error("it has {0} bytes, more than {MAX_URI_BYTES}")]
    TooLong(usize),
    /// It contains a control character, or white space at either end.
    #[error("it contains a control character, or begins or ends with white space")]
    Control,
    /// It carries credentials.
    #[error(
        "it carries credentials in {0}; take them out and give them to the client instead (for \
         http a netrc entry), since a URI is stored and shown to everyone who may read the artifact"
    )]
    Credentials(CredentialPlace),
    /// It breaks the rules of its scheme.
    #[error("{0}")]
    Malformed(&'static str),
}

/// Where credentials were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialPlace {
    /// `user:password@` before the host.
    UserInfo,
    /// A signature, token or password among the query's parameters.
    Query,
}

impl fmt::Display for CredentialPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserInfo => "the part before the host (`user:password@`)",
            Self::Query => "its query (a signature, token or password)",
        })
    }
}

/// Parameters that are secrets or make a URL one, lower case, without `-`, `_`
/// and `.`: signed URLs of S3, Google Cloud Storage, Azure and CloudFront, and
/// the usual names of tokens.
const SECRET_PARAMETERS: [&str; 38] = [
    "accesskey",
    "accesstoken",
    "accountkey",
    "apikey",
    "apitoken",
    "auth",
    "authkey",
    "authorization",
    "authtoken",
    "awsaccesskeyid",
    "awssecretaccesskey",
    "bearer",
    "bearertoken",
    "clientsecret",
    "credential",
    "credentials",
    "idtoken",
    "jwt",
    "oauthtoken",
    "pass",
    "passwd",
    "password",
    "privatekey",
    "privatetoken",
    "pwd",
    "refreshtoken",
    "sas",
    "secret",
    "secretaccesskey",
    "secretkey",
    "securitytoken",
    "sessiontoken",
    "sharedaccesssignature",
    "sig",
    "signature",
    "token",
    "usertoken",
    "xapikey",
];

/// Endings of the same, for `X-Amz-Signature`, `X-Goog-Credential`, ….
const SECRET_X_SUFFIXES: [&str; 4] = ["signature", "credential", "securitytoken", "sessiontoken"];

const NEED_AUTHORITY: [&str; 12] =
    ["http", "https", "file", "s3", "s3a", "s3n", "gs", "az", "abfs", "abfss", "wasb", "wasbs"];

/// A URI that may be stored: at most [`MAX_URI_BYTES`] long, without control
/// characters and without credentials; kept byte for byte.
///
/// Refused as credentials are a user name or password before the host (in a
/// nested URL too) and query or fragment parameters that sign or authorise. A
/// secret in the path cannot be told from a name.
///
/// ```
/// use heirloom_refs::ReferenceUri;
/// let uri: ReferenceUri = "s3://bucket/models/model.h5".parse()?;
/// assert_eq!((uri.scheme(), uri.default_name().unwrap().as_str()), ("s3", "model.h5"));
///
/// let refused = "https://me:hunter2-hunter2@host/x".parse::<ReferenceUri>().unwrap_err();
/// assert!(!refused.to_string().contains("hunter2"));
/// # Ok::<(), heirloom_refs::UriError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ReferenceUri {
    text: String,
    scheme: String,
}

impl ReferenceUri {
    /// Validates `text`.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn new(text: &str) -> Result<Self, UriError> {
        if text.len() > MAX_URI_BYTES {
            return Err(UriError::TooLong(text.len()));
        }
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err(UriError::Control);
        }
        let (scheme, rest) = text.split_once(':').ok_or(UriError::NoScheme)?;
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !is_scheme {
            return Err(UriError::NoScheme);
        }
        if scheme.len() == 1 {
            return Err(UriError::DrivePath);
        }
        let scheme = scheme.to_ascii_lowercase();
        refuse_credentials(text, &scheme, rest)?;
        if NEED_AUTHORITY.contains(&scheme.as_str()) && !rest.starts_with("//") {
            return Err(UriError::Malformed("its scheme must be followed by `://`"));
        }
        if rest.is_empty() || rest == "//" {
            return Err(UriError::Malformed("nothing follows its scheme"));
        }
        let uri = Self { text: text.to_owned(), scheme };
        match uri.scheme.as_str() {
            "http" | "https" => drop(uri.parse_http()?),
            "file" => drop(uri.parse_file()?),
            _ => {}
        }
        Ok(uri)
    }

    /// The `file:` URI of an absolute path, percent-encoded.
    ///
    /// # Errors
    /// [`UriError::Malformed`] for a relative path or one that is not UTF-8,
    /// [`UriError::TooLong`].
    pub fn from_path(path: &Path) -> Result<Self, UriError> {
        let text = path.to_str().ok_or(UriError::Malformed("the path is not valid UTF-8"))?;
        if !path.is_absolute() {
            return Err(UriError::Malformed("the path is relative; a `file:` URI needs all of it"));
        }
        let slash = if text.starts_with('/') { "" } else { "/" };
        Self::new(&format!("file://{slash}{}", encode_path(text)))
    }

    /// The text as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The scheme in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The name of an entry for this URI when none was given: the last part of
    /// its path. Percent-encoding is undone for `http`, `https` and `file`; keys
    /// of buckets are taken as they are, without `?versionId=…`.
    ///
    /// # Errors
    /// [`RefsError::NameNeeded`] when there is no last part (`https://host/`) or
    /// the scheme is unknown, [`RefsError::BadName`] when it breaks the rules of
    /// [`LogicalPath`].
    pub fn default_name(&self) -> Result<LogicalPath, RefsError> {
        let needed = || RefsError::NameNeeded { uri: self.text.clone() };
        let (_, rest) = self.text.split_once("://").ok_or_else(needed)?;
        let (path, is_encoded) = match self.scheme.as_str() {
            "http" | "https" | "file" => (rest.split(['?', '#']).next().unwrap_or(rest), true),
            "s3" | "s3a" | "s3n" | "gs" | "az" => {
                (rest.rsplit_once("?versionId=").map_or(rest, |(before, _)| before), false)
            }
            _ => return Err(needed()),
        };
        let last = path.rsplit_once('/').map_or("", |(_, last)| last);
        if last.is_empty() {
            return Err(needed());
        }
        let bad =
            |name: String, source| RefsError::BadName { uri: self.text.clone(), name, source };
        let name = match percent_decode(last).filter(|_| is_encoded) {
            None => last.to_owned(),
            Some(bytes) => {
                String::from_utf8(bytes).map_err(|_| bad(last.to_owned(), PathError::NotUtf8))?
            }
        };
        if is_encoded && name.contains('/') {
            // An encoded slash hides a path in what looks like one name.
            return Err(needed());
        }
        LogicalPath::new(&name).map_err(|source| bad(name, source))
    }

    /// The local path of a `file:` URI; `None` for other schemes.
    pub fn to_file_path(&self) -> Option<PathBuf> {
        self.parse_file().ok().filter(|_| self.scheme == "file").map(PathBuf::from)
    }

    /// The URL to request, without its fragment.
    pub(crate) fn to_url(&self) -> Option<reqwest::Url> {
        self.parse_http().ok().filter(|_| self.scheme.starts_with("http"))
    }

    fn parse_http(&self) -> Result<reqwest::Url, UriError> {
        let mut url = reqwest::Url::parse(&self.text)
            .map_err(|_| UriError::Malformed("it is not a valid http URL"))?;
        // The parser finds user names where a naive look does not, as in `https:///a@b`.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UriError::Credentials(CredentialPlace::UserInfo));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(UriError::Malformed("it has no host"));
        }
        url.set_fragment(None);
        Ok(url)
    }

    fn parse_file(&self) -> Result<String, UriError> {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        if rest.contains(['?', '#']) {
            return Err(UriError::Malformed(
                "a `file:` URI has no query or fragment; write `?` as %3F and `#` as %23",
            ));
        }
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
            return Err(UriError::Malformed(
                "the host of a `file:` URI must be empty or `localhost`; an absolute path follows \
                 three slashes",
            ));
        }
        let bytes = percent_decode(path)
            .ok_or(UriError::Malformed("a `%` in it is not followed by two hexadecimal digits"))?;
        if bytes.contains(&0) {
            return Err(UriError::Control);
        }
        let path = String::from_utf8(bytes)
            .map_err(|_| UriError::Malformed("its path is not valid UTF-8"))?;
        if path.is_empty() {
            return Err(UriError::Malformed("it has no path"));
        }
        Ok(path)
    }
}

impl fmt::Display for ReferenceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ReferenceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl FromStr for ReferenceUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        Self::new(text)
    }
}

/// A URL that a server led to, in the form that may be stored: without fragment,
/// without user name, and without the query if that signs or authorises (such a
/// query is different each time anyway). `None` if it is too long all the same.
pub(crate) fn storable(url: &reqwest::Url) -> Option<String> {
    let mut url = url.clone();
    url.set_fragment(None);
    if has_secret_parameter(url.as_str()) || url.as_str().len() > MAX_URI_BYTES {
        url.set_query(None);
    }
    ReferenceUri::new(url.as_str()).ok().map(|uri| uri.text)
}

/// Percent-encodes all but letters, digits and `-._~!$&'()*+,;=:/`.
pub(crate) fn encode_path(path: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn refuse_credentials(text: &str, scheme: &str, rest: &str) -> Result<(), UriError> {
    let ends = ['/', '?', '#', '\\'];
    let user_info = Err(UriError::Credentials(CredentialPlace::UserInfo));
    // `ssh://git@host` names an account, which is no secret.
    let accounts_allowed =
        scheme.split('+').any(|part| ["ssh", "sftp", "rsync", "scp"].contains(&part));
    for (at, _) in text.match_indices("://") {
        let authority = text[at + 3..].split(ends).next().unwrap_or_default();
        if let Some((user, _)) = authority.rsplit_once('@')
            && (user.contains(':') || !accounts_allowed)
        {
            return user_info;
        }
    }
    if !rest.starts_with("//") {
        let first = rest.trim_start_matches(['/', '\\']).split(ends).next().unwrap_or_default();
        if first.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')) {
            return user_info;
        }
    }
    if has_secret_parameter(text) {
        return Err(UriError::Credentials(CredentialPlace::Query));
    }
    Ok(())
}

fn has_secret_parameter(text: &str) -> bool {
    let Some(start) = text.find(['?', '#']) else { return false };
    text[start + 1..].split(['&', ';', '?', '#']).any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else { return false };
        let decoded = percent_decode(name)
            .map_or_else(|| name.to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
        let name: String =
            decoded.to_lowercase().chars().filter(|c| !['-', '_', '.', ' '].contains(c)).collect();
        let vendor = ["xamz", "xgoog", "xms", "xoss", "xcos", "xobs", "xtos"]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix));
        !value.is_empty()
            && (SECRET_PARAMETERS.contains(&name.as_str())
                || vendor.is_some_and(|rest| SECRET_X_SUFFIXES.contains(&rest))
                // Keys of Google's APIs.
                || (name == "key" && value.starts_with("AIza")))
    })
}

/// `None` when a `%` is not followed by two hexadecimal digits.
fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |b: Option<u8>| char::from(b?).to_digit(16);
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let value = digit(bytes.next())? << 4 | digit(bytes.next())?;
            out.push(value as u8);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(text: &str) -> UriError {
        ReferenceUri::new(text).expect_err(text)
    }

    #[test]
    fn credentials_are_refused_wherever_they_hide() {
        for text in [
            "https://me:secretpw@host/x",
            "https://secrettoken@host/x",
            "HTTPS://me:secretpw@host/x",
            "https:///me:secretpw@host/x",
            "https:me:secretpw@host/x",
            "https:/me:secretpw@host/x",
            "https:\\\\me:secretpw@host/x",
            "s3://AKIA:secretpw@bucket/key",
            "git+https://secrettoken@host/x",
            "ssh://git:secretpw@host/x",
            "unknown://me:secretpw@host",
            "ftp:me:secretpw@host",
            "https://proxy/?url=https://me:secretpw@host/",
        ] {
            assert_eq!(refused(text), UriError::Credentials(CredentialPlace::UserInfo), "{text}");
        }
        for text in [
            "https://b.s3.amazonaws.com/k?X-Amz-Algorithm=A&X-Amz-Signature=ab",
            "https://b.s3.amazonaws.com/k?X-Amz-Security-Token=ab",
            "https://b.s3.amazonaws.com/k?x%2Damz%2Dsignature=ab",
            "https://storage.googleapis.com/b/k?X-Goog-Signature=ab",
            "https://storage.googleapis.com/b/k?GoogleAccessId=a&Expires=1&Signature=ab",
            "https://a.blob.core.windows.net/c/b?sv=2020&sig=ab",
            "https://cdn/x?Expires=1&Signature=ab&Key-Pair-Id=c",
            "https://host/x?access_token=ab",
            "https://host/x#access_token=ab",
            "https://host/x?a=1;token=ab",
            "https://host/x?key=AIzaSyAB",
            "jdbc:mysql://h/db?user=a&password=ab",
            "s3://bucket/key?X-Amz-Signature=ab",
        ] {
            assert_eq!(refused(text), UriError::Credentials(CredentialPlace::Query), "{text}");
        }
    }

    #[test]
    fn harmless_uris_are_kept_verbatim() {
        for text in [
            "https://host:8080/@scope/pkg?x=1&token=#top",
            "https://host/search?key=value&sigma=2&page=1",
            "https://hôte.example/données été.csv",
            "s3://bucket/a b+c%20é?versionId=3sL4",
            "s3://bucket",
            "gs://bucket/a#b",
            "ssh://git@host/repo",
            "urn:isbn:0451450523",
            "mailto:someone@example.org",
            "heirloom-artifact://0000ab/model.h5",
            "file:///a/b%20c",
            "file://localhost/a",
        ] {
            let uri = ReferenceUri::new(text).expect(text);
            assert_eq!(uri.as_str(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_by_its_rule() {
        assert_eq!(refused("data/x.csv"), UriError::NoScheme);
        assert_eq!(refused("1http://x"), UriError::NoScheme);
        assert_eq!(refused(""), UriError::NoScheme);
        assert_eq!(refused("C:\\data"), UriError::DrivePath);
        assert_eq!(refused("https://host/\n"), UriError::Control);
        assert_eq!(refused(" https://host/"), UriError::Control);
        assert_eq!(refused("file:///a%00b"), UriError::Control);
        assert_eq!(refused(&format!("s3://b/{}", "k".repeat(8192))), UriError::TooLong(8199));
        for text in [
            "https:host",
            "https://",
            "http://[::1",
            "http://host:99999/",
            "file:a",
            "file:///a?b",
            "file:///a#b",
            "file://host/a",
            "file:///%zz",
            "file:///%",
            "file:///%ff",
            "urn:",
        ] {
            assert!(matches!(refused(text), UriError::Malformed(_)), "{text}");
        }
    }

    #[test]
    fn names_come_from_the_last_part() {
        let name = |text: &str| ReferenceUri::new(text).unwrap().default_name();
        for (text, expected) in [
            ("s3://bucket/model.h5", "model.h5"),
            ("s3://bucket/a/100%25 sure?", "100%25 sure?"),
            ("s3://bucket/model.h5?versionId=abc", "model.h5"),
            ("https://host/a/b%20c.csv?x=1#f", "b c.csv"),
            ("https://host/100%.csv", "100%.csv"),
            ("file:///data/%C3%A9.txt", "é.txt"),
        ] {
            assert_eq!(name(text).unwrap().as_str(), expected);
        }
        for text in [
            "https://host",
            "https://host/",
            "https://host/a/?name=b",
            "https://host/a%2Fb",
            "s3://bucket",
            "s3://bucket/prefix/",
            "other://host/name",
            "urn:a:b",
        ] {
            assert!(matches!(name(text), Err(RefsError::NameNeeded { .. })), "{text}");
        }
        for text in ["https://host/%2E%2E", "https://host/a/..%5Cb", "s3://b/C:x", "https://h/%00"]
        {
            assert!(matches!(name(text), Err(RefsError::BadName { .. })), "{text}");
        }
    }

    #[test]
    fn where_a_redirect_led_is_stored_without_its_signature() {
        let url = |text: &str| reqwest::Url::parse(text).unwrap();
        assert_eq!(
            storable(&url("https://cdn/x?X-Amz-Signature=secret&a=1#f")).as_deref(),
            Some("https://cdn/x")
        );
        assert_eq!(storable(&url("https://cdn/x?a=1")).as_deref(), Some("https://cdn/x?a=1"));
        assert_eq!(storable(&url("https://u:p@cdn/x")), None);
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_round_trips(text in "\\PC{0,40}|(https?|file|s3|x+y):/{0,3}\\PC{0,60}") {
            if let Ok(uri) = ReferenceUri::new(&text) {
                prop_assert_eq!(uri.to_string().parse::<ReferenceUri>(), Ok(uri.clone()));
                let _ = uri.default_name();
                let _ = (uri.to_file_path(), uri.to_url());
            }
        }

        #[test]
        fn a_password_is_refused_and_never_echoed(
            scheme in "https?|s3|gs|az|file|ftp|ssh|[a-z]{2,8}",
            slashes in "/{2,4}",
            password in "[A-Za-z0-9!$&'()*+,;=:%@~-]{10,30}",
            tail in "(/[a-z]{0,9})?",
        ) {
            let text = format!("{scheme}:{slashes}user:{password}@host{tail}");
            // With extra slashes only http parsers see an authority.
            prop_assume!(slashes.len() == 2 || scheme.starts_with("http"));
            let error = ReferenceUri::new(&text).expect_err("credentials");
            let shown = format!("{error} {error:?} {}", RefsError::from(error));
            prop_assert!(!shown.contains(&password), "{}", shown);
        }

        #[test]
        fn a_signed_query_is_refused_and_never_echoed(
            name in "[Xx]-[Aa]mz-[Ss]ignature|sig|SIG|Signature|Token|[aA]pi_?[kK]ey|X-Goog-Credential|PassWord",
            secret in "[A-Za-z0-9%+/-]{10,30}",
            before in "([a-z]{1,3}=[a-z]{1,3}&){0,3}",
        ) {
            let error = ReferenceUri::new(&format!("https://host/path?{before}{name}={secret}"));
            let error = error.expect_err("signed");
            let shown = format!("{error} {error:?}");
            prop_assert!(!shown.contains(&secret), "{}", shown);
        }

        #[test]
        fn file_paths_round_trip(path in "/[^\\x00]{1,40}") {
            let uri = ReferenceUri::from_path(Path::new(&path)).expect("absolute");
            prop_assert_eq!(uri.to_file_path().and_then(|p| p.to_str().map(str::to_owned)), Some(path));
        }
    }
}
