//! Publishable keys, which name an instance and the suffix of its cookies.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::request::ClerkInstance;

/// Parses `pk_live_…` or `pk_test_…`, base64 of the Frontend API's host and a `$`. Returns `None` if the key is malformed.
pub fn parse(key: &str) -> Option<ClerkInstance> {
    let (production, rest) = match (key.strip_prefix("pk_live_"), key.strip_prefix("pk_test_")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return None,
    };
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = String::from_utf8(GeneralPurpose::new(&STANDARD, config).decode(rest).ok()?).ok()?;
    let host = decoded.strip_suffix('$')?;
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b".-:".contains(&b);
    if !host.contains('.') || !host.bytes().all(is_allowed) {
        return None;
    }
    // SHA-1 is not used for security: Clerk's frontend derives the suffix with it.
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    let suffix = URL_SAFE.encode(hash).chars().take(8).collect();
    Some(ClerkInstance { suffix, frontend_api: host.to_owned(), production })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_suffix_matches_clerks() {
        for (key, suffix) in [
            ("pk_live_Y2xlcmsuY2xlcmsuZGV2JA", "1Z8AzTQD"),
            ("pk_test_Y2xlcmsuY2xlcmsuZGV2JA", "QvfNY2dr"),
            ("pk_test_ZW5vdWdoLWFscGFjYS04Mi5jbGVyay5hY2NvdW50cy5sY2xjbGVyay5jb20k", "jtYvyt_H"),
            ("pk_test_eHh4eHh4LXhhYWFhYS1hYS5jbGVyay5hY2NvdW50cy5sY2xjbGVyay5jb20k", "tZJdb-5s"),
            ("pk_live_ZmFrZS1jbGVyay10ZXN0LmNsZXJrLmFjY291bnRzLmRldiQ=", "qReyu04C"),
        ] {
            assert_eq!(parse(key).unwrap().suffix, suffix, "{key}");
        }
        let instance = parse("pk_live_Y2xlcmsuY2xlcmsuZGV2JA").unwrap();
        assert_eq!((instance.frontend_api.as_str(), instance.production), ("clerk.clerk.dev", true));
    }

    #[test]
    fn malformed_key_is_rejected() {
        // "no-dot$", "two$.dollars$", "no.dollar", not base64
        for key in [
            "",
            "pk_live_",
            "pk_live_bm8tZG90JA",
            "pk_live_dHdvJC5kb2xsYXJzJA",
            "pk_live_bm8uZG9sbGFy",
            "pk_live_*",
            "sk_live_x",
        ] {
            assert_eq!(parse(key), None, "{key}");
        }
    }
}
