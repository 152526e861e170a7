//! Validates the values of settings: keys in the place of others, URLs. Messages name the setting, never the value.

use std::net::Ipv4Addr;

use ureq::http::Uri;

use crate::config::{Config, ConfigError, Secret};

/// What Clerk's keys begin with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Secret,
    Publishable,
    Machine,
    Webhook,
    Token,
    Public,
    Url,
}

impl KeyKind {
    /// Returns what a value looks like.
    fn of(value: &str) -> Option<Self> {
        Some(match value {
            _ if value.starts_with("sk_") => KeyKind::Secret,
            _ if value.starts_with("pk_") => KeyKind::Publishable,
            _ if value.starts_with("ak_") => KeyKind::Machine,
            _ if value.starts_with("whsec_") => KeyKind::Webhook,
            _ if value.starts_with("eyJ") || value.starts_with("oat_") || value.starts_with("mt_") => KeyKind::Token,
            _ if value.starts_with("-----BEGIN") || value.starts_with("MII") || value.starts_with('{') => {
                KeyKind::Public
            }
            _ if value.starts_with("https://") || value.starts_with("http://") => KeyKind::Url,
            _ => return None,
        })
    }

    fn description(self) -> &'static str {
        match self {
            KeyKind::Secret => "this is a secret key; set it as `secret_key`",
            KeyKind::Publishable => "this is a publishable key; set it as `publishable_key`",
            KeyKind::Machine => {
                "this is an API key or a machine secret key; a machine's is set as `machine_secret_key`"
            }
            KeyKind::Webhook => "this is a webhook signing secret; set it as `webhook_secrets`",
            KeyKind::Token => "this is a token; set the key that Clerk's dashboard shows",
            KeyKind::Public => "this is a public key; set it as `jwt_key`",
            KeyKind::Url => "this is a URL; set the key that Clerk's dashboard shows",
        }
    }
}

/// Checks that each key setting has a key of its own kind.
pub(super) fn check_keys(config: &Config) -> Result<(), ConfigError> {
    let secret = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    if let Some(key) = secret(&config.secret_key).map(zeroize::Zeroizing::new) {
        check_kind("secret_key", &key, KeyKind::Secret)?;
        check_characters("secret_key", &key)?;
        // Keys of old instances have no `sk_`.
        if !["sk_", "test_", "live_"].iter().any(|prefix| key.starts_with(prefix)) {
            return Err(ConfigError::new("secret_key", "not a secret key; it begins with `sk_live_` or `sk_test_`"));
        }
    }
    if let Some(key) = secret(&config.machine_secret_key).map(zeroize::Zeroizing::new) {
        check_kind("machine_secret_key", &key, KeyKind::Machine)?;
        check_characters("machine_secret_key", &key)?;
    }
    if let Some(key) = &config.publishable_key {
        check_kind("publishable_key", key, KeyKind::Publishable)?;
        check_characters("publishable_key", key)?;
    }
    for secret in config.webhook_secrets.iter().map(Secret::expose) {
        check_kind("webhook_secrets", secret, KeyKind::Webhook)?;
        check_characters("webhook_secrets", secret)?;
    }
    // The key itself is parsed later, also in quotes and with escaped line ends.
    let jwt_key = config.jwt_key.as_deref().map(|key| key.trim_start_matches(['"', '\'', ' ']));
    match jwt_key.and_then(KeyKind::of) {
        None | Some(KeyKind::Public) => Ok(()),
        Some(KeyKind::Secret) => Err(ConfigError::new(
            "jwt_key",
            "this is a secret key; set it as `secret_key`, or set the JWKS public key of Clerk's dashboard here",
        )),
        Some(other) => Err(ConfigError::new("jwt_key", other.description())),
    }
}

fn check_kind(setting: &'static str, value: &str, expected: KeyKind) -> Result<(), ConfigError> {
    let kind = KeyKind::of(value.trim_start_matches(['"', '\'', '`', ' ']));
    match kind.filter(|kind| *kind != expected) {
        // Base64 may begin like a public key or a token.
        Some(KeyKind::Public | KeyKind::Token) if expected == KeyKind::Webhook => Ok(()),
        Some(KeyKind::Publishable) if setting == "secret_key" => {
            Err(ConfigError::new(setting, "this is a publishable key; a secret key begins with `sk_`"))
        }
        Some(other) => Err(ConfigError::new(setting, other.description())),
        None => Ok(()),
    }
}

/// Rejects what shells, container runtimes, editors and copying leave in a key.
fn check_characters(setting: &'static str, value: &str) -> Result<(), ConfigError> {
    let wrong = |why: &str| Err(ConfigError::new(setting, why));
    if value.contains(['"', '\'', '`', '“', '”', '„', '‘', '’', '«', '»']) {
        return wrong("the key is in quotes; set it without them");
    }
    if value.contains('\\') {
        return wrong("the key contains a backslash, such as a literal `\\n`; remove it");
    }
    if value.contains(['$', '{', '}', '<', '>']) {
        return wrong("this is a placeholder that was not replaced by the key");
    }
    if value.contains(['*', '•', '●', '…']) || value.contains("...") {
        return wrong("this is a masked key; copy the whole key from Clerk's dashboard");
    }
    if value.contains(['\u{feff}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}']) {
        return wrong("the key contains an invisible character, such as a byte order mark; remove it");
    }
    if value.len() > 1024 || !value.bytes().all(|b| b.is_ascii_graphic()) {
        return wrong("must be printable ASCII without spaces, and at most 1024 bytes long");
    }
    // The alphabets of base64 and base64url.
    if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+/=".contains(&b)) {
        return wrong("contains a character that no key has, such as a comma, a semicolon or a number sign");
    }
    if value.rsplit('_').next().is_some_and(|end| end.len() >= 4 && end.bytes().all(|b| b.eq_ignore_ascii_case(&b'x')))
    {
        return wrong("this is a placeholder that was not replaced by the key");
    }
    if value.split('_').all(|part| ["sk", "pk", "ak", "live", "test", "whsec", ""].contains(&part)) {
        return wrong("this is only the beginning of a key");
    }
    Ok(())
}

/// Returns the URL without a slash or `/v1` at its end.
pub(super) fn base_url(setting: &'static str, url: &str) -> Result<String, ConfigError> {
    check_url(setting, url)?;
    let url = url.trim_end_matches('/');
    Ok(url.strip_suffix("/v1").unwrap_or(url).to_owned())
}

/// Accepts `https`, and `http` on a loopback address only, because a secret is sent there.
pub(super) fn check_url(setting: &'static str, url: &str) -> Result<(), ConfigError> {
    let wrong = |why: &str| ConfigError::new(setting, why);
    // The parser drops a fragment.
    if !url.bytes().all(|b| b.is_ascii_graphic() && !b"#\\<>\"^`{|}".contains(&b)) {
        return Err(wrong("must be printable ASCII without spaces, fragment or backslash"));
    }
    let uri: Uri = url.parse().map_err(|_| wrong("not a URL; write https://host"))?;
    let authority = uri.authority().ok_or_else(|| wrong("URL has no host; write https://host"))?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(wrong("must not contain user info or a query"));
    }
    let host = authority.host();
    let port = authority.as_str().strip_prefix(host).unwrap_or(authority.as_str());
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    if host.is_empty() || !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
        return Err(wrong("host or port is malformed; write https://host"));
    }
    if uri.path().split('/').any(|segment| matches!(segment, "." | "..")) || uri.path().contains('%') {
        return Err(wrong("must have a plain path"));
    }
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("https") => Ok(()),
        Some("http") if is_loopback(host) => Ok(()),
        _ => Err(wrong("must begin with https:// (http:// only for localhost, 127.0.0.0/8 and [::1])")),
    }
}

/// The usual spellings only: a resolver may read others, such as `127.1` or `0x7f000001`, as another host.
fn is_loopback(host: &str) -> bool {
    let is_v4 = |host: &str| host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback() && ip.to_string() == host);
    host == "localhost" || host == "[::1]" || is_v4(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_accepted_only_in_its_usual_spelling() {
        for good in [
            "https://api.clerk.com",
            "https://api.clerk.com/v1/",
            "https://proxy.example:8443/clerk",
            "http://localhost:3000",
            "http://127.0.0.1:1",
            "http://127.255.255.254/",
            "http://[::1]:80",
            "https://[2001:db8::1]",
        ] {
            assert_eq!(check_url("api_url", good), Ok(()), "{good}");
        }
        for bad in [
            "https://user@api.clerk.com",
            "https://user:password@api.clerk.com",
            "https://@api.clerk.com",
            "https://api.clerk.com#x",
            "https://api.clerk.com/#",
            "https://api.clerk.com?x=1",
            "https://api.clerk.com/?",
            "https://api.clerk.com/../v1",
            "https://api.clerk.com/%2e%2e",
            "https://api.clerk.com:",
            "https://api.clerk.com:0",
            "https://api.clerk.com:065",
            "https://api.clerk.com:65536",
            "https://api.clerk.com\\@evil.example",
            "https://api clerk.com",
            "https://ápi.clerk.com",
            "https://",
            "https:///v1",
            "HTTP://127.0.0.1",
            "http://api.clerk.com",
            "http://LOCALHOST",
            "http://localhost.",
            "http://localhost.example",
            "http://[localhost]",
            "http://[127.0.0.1]",
            "http://127.1",
            "http://127.0.0.01",
            "http://0127.0.0.1",
            "http://0x7f.0.0.1",
            "http://0x7f000001",
            "http://2130706433",
            "http://127.0.0.1.",
            "http://0.0.0.0",
            "http://[::]",
            "http://::1",
            "http://[0:0:0:0:0:0:0:1]",
            "http://[::ffff:127.0.0.1]",
            "http://[::1%lo]",
            "ftp://127.0.0.1",
            "127.0.0.1",
        ] {
            assert!(check_url("api_url", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn key_in_the_place_of_another_is_rejected_by_name() {
        const PUBLISHABLE: &str = "pk_test_Y2xlcmsuY2xlcmsuZGV2JA";
        let config = |setting: &str, value: &str| {
            let mut config = Config::new();
            config.set(setting, value).unwrap();
            check_keys(&config)
        };
        for (setting, good, bad) in [
            (
                "secret_key",
                "sk_test_x",
                &[PUBLISHABLE, "whsec_c2VjcmV0", "ak_x", "eyJh.e30.AAAA", "x", "-----BEGIN"][..],
            ),
            ("machine_secret_key", "ak_x", &[PUBLISHABLE, "whsec_c2VjcmV0", "sk_test_x", "eyJh.e30.AAAA"]),
            ("publishable_key", PUBLISHABLE, &["sk_test_x", "whsec_c2VjcmV0", "ak_x", "https://clerk.example"]),
            ("webhook_secrets", "whsec_c2VjcmV0", &["sk_test_x", PUBLISHABLE, "ak_x", "https://x.example"]),
            ("jwt_key", "MIIB", &["sk_test_x", PUBLISHABLE, "whsec_c2VjcmV0", "'sk_test_x'", "eyJh.e30.AAAA"]),
        ] {
            assert_eq!(config(setting, good), Ok(()), "{setting}");
            assert_eq!(config(setting, &format!("  {good}\n")), Ok(()), "{setting} with white space around it");
            for bad in bad {
                let error = config(setting, bad).unwrap_err();
                assert_eq!(error.setting, setting, "{bad}");
                assert!(!error.message.contains(bad), "{error}");
            }
        }
    }

    #[test]
    fn beginning_of_a_key_is_rejected_by_name() {
        for (setting, beginnings) in [
            ("secret_key", &["sk_", "sk_live", "sk_live_", "sk_test_", "sk_test__", "live_", "test_"][..]),
            ("machine_secret_key", &["ak_"]),
            ("publishable_key", &["pk_", "pk_live_", "pk_test"]),
            ("webhook_secrets", &["whsec_"]),
        ] {
            for beginning in beginnings {
                let mut config = Config::new();
                config.set(setting, beginning).unwrap();
                let error = check_keys(&config).unwrap_err();
                assert!(
                    error.setting == setting && error.message.contains("beginning of a key"),
                    "{beginning}: {error}"
                );
            }
        }
    }

    #[test]
    fn key_with_quotes_or_escapes_is_rejected_by_name() {
        for (setting, key) in [
            ("secret_key", "sk_live_x"),
            ("machine_secret_key", "ak_x"),
            ("publishable_key", "pk_test_Y2xlcmsuY2xlcmsuZGV2JA"),
            ("webhook_secrets", "whsec_c2VjcmV0"),
        ] {
            for (bad, why) in [
                (format!("\"{key}\""), "quotes"),
                (format!("'{key}'"), "quotes"),
                (format!("{key}'"), "quotes"),
                (format!("{key}\\n"), "literal"),
                (format!("{key}\\r\\n"), "literal"),
                (format!("${{{key}}}"), "placeholder"),
                (format!("“{key}”"), "quotes"),
                (format!("‘{key}"), "quotes"),
                (format!("\u{feff}{key}"), "invisible"),
                (format!("{key}\u{200b}"), "invisible"),
                (format!("{key}..."), "masked"),
                (format!("{}_xxxxxxxx", &key[..2]), "placeholder"),
                (format!("{}…", &key[..4]), "masked"),
                (format!("{}••••", &key[..4]), "masked"),
                (format!("{}****", &key[..4]), "masked"),
                (format!("{key};"), "no key has"),
                (format!("{key}#main"), "no key has"),
                (format!("{key}%0A"), "no key has"),
                (format!("{key}|"), "no key has"),
                (format!("{key} x"), "without spaces"),
                (format!("{key}\nx"), "without spaces"),
                (format!("{key}\u{a0}x"), "without spaces"),
            ] {
                let mut config = Config::new();
                config.add(setting, &bad).or_else(|_| config.set(setting, &bad)).unwrap();
                let error = check_keys(&config).unwrap_err();
                assert_eq!(error.setting, setting, "{bad:?}");
                assert!(error.message.contains(why) && !error.message.contains(key), "{bad:?}: {error}");
            }
        }
    }
}
