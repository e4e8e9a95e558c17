//! What fuzzing checks of this crate's parsers: plain functions of bytes, run by
//! the targets in `fuzz/` and by `tests/fuzz.rs` on generated input.
#![allow(dead_code, clippy::unwrap_used)]

use heirloom_refs::{Credentials, Netrc, Origin, ReferenceUri, RefsError};

/// A URI that is accepted is kept byte for byte and has no user name with a
/// password; one that is refused is not repeated.
pub(crate) fn uri(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match ReferenceUri::new(text) {
        Ok(uri) => {
            assert_eq!(uri.as_str(), text);
            assert_eq!(uri.to_string().parse::<ReferenceUri>().as_ref(), Ok(&uri));
            assert!(!text.contains(char::is_control));
            for (at, _) in text.match_indices("://") {
                let authority = text[at + 3..].split(['/', '?', '#', '\\']).next().unwrap();
                let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
                assert!(!user.contains(':'), "{text}");
            }
            if let Some(path) = uri.to_file_path() {
                assert!(path.is_absolute());
                let again = ReferenceUri::from_path(&path);
                // Percent-encoding may make it too long, nothing else.
                assert!(again.is_err() || again.unwrap().to_file_path() == Some(path));
            }
            match uri.default_name() {
                Ok(name) => assert!(!name.as_str().contains('/')),
                Err(RefsError::NameNeeded { .. } | RefsError::BadName { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        Err(error) => {
            for word in text.split(|c: char| !c.is_ascii_digit()).filter(|w| w.len() > 5) {
                assert!(!error.to_string().contains(word), "{text}");
            }
        }
    }
}

/// A netrc text is read or refused, and shows nothing either way.
pub(crate) fn netrc(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Netrc::parse(text) {
        Ok(netrc) => {
            let origin = Origin { scheme: "https".into(), host: "host".into(), port: 443 };
            if let Some(credential) = netrc.lookup(&origin) {
                assert_eq!(format!("{credential:?}"), "Credential(…)");
            }
        }
        Err(error) => assert!((1..=text.lines().count() + 1).contains(&error.line)),
    }
}
