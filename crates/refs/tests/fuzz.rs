//! The fuzz targets' bodies on generated input, so that they run with every
//! test.

mod fuzz_bodies;

use proptest::prelude::*;

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        fuzz_bodies::uri(&bytes);
        fuzz_bodies::netrc(&bytes);
    }

    #[test]
    fn texts_that_look_like_uris(
        text in "(https?|file|s3|gs|ssh|x):/{0,3}([a-z0-9@:%?#&=;./\\\\ é-]|%[0-9a-f]{2}|sig=|token=|://|[.]{2}|[0-9]{6}){0,25}",
    ) {
        fuzz_bodies::uri(text.as_bytes());
    }

    #[test]
    fn texts_that_look_like_netrc(
        text in "((machine|login|password|account|default|macdef|host|#)[ \n]|[a-z\"\\\\é]{1,4}[ \n]){0,20}",
    ) {
        fuzz_bodies::netrc(text.as_bytes());
    }
}
