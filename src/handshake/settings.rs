//! The settings of the handshake, validated.

use super::address::{origin, split_url};
use super::organization::Patterns;
use crate::config::{Config, ConfigError, Handshake, HandshakeQuery};
use crate::events::{EventHandlers, Level};
use crate::request::ClerkInstance;

/// What the handshake needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The instance. Its Frontend API is the satellite's own one for a satellite in production.
    pub instance: ClerkInstance,
    /// `proxy_url`: absolute, or a path on the origin of the request. Without a slash at its end.
    pub proxy_url: Option<String>,
    /// `is_satellite`
    pub is_satellite: bool,
    /// `satellite_auto_sync`
    pub satellite_auto_sync: bool,
    /// `sign_in_url`
    pub sign_in_url: Option<String>,
    /// The origins that a browser is sent back to.
    pub origins: Vec<String>,
    /// Whether a browser is sent back to whatever host its request names: no setting names the origins.
    pub any_origin: bool,
    /// The origins of satellites that the primary application of a development instance responds to.
    pub satellite_origins: Vec<String>,
    /// `trust_forwarded`
    pub trust_forwarded: bool,
    /// Whether a response is read from the query.
    pub reads_query: bool,
    /// `handshake_send_session`
    pub sends_session: bool,
    /// `cross_origin_sync`
    pub cross_origin_sync: bool,
    /// `refresh`
    pub refresh: bool,
    /// `organization_patterns` and `personal_account_patterns`
    pub patterns: Patterns,
}

impl Settings {
    /// Validates the settings. Returns `Ok(None)` if the handshake is off.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the setting.
    pub fn new(config: &Config, instance: Option<&ClerkInstance>) -> Result<Option<Self>, ConfigError> {
        if config.handshake == Handshake::Off {
            return Ok(None);
        }
        let error = |setting: &'static str, message: &str| Err(ConfigError::new(setting, message));
        let Some(instance) = instance else {
            return error("publishable_key", "`handshake` needs it: it names the instance and its Frontend API");
        };
        if config.secret_key.is_none() {
            return error("secret_key", "`handshake` needs it: nonces and refreshes are calls to Clerk");
        }
        let domain = config.domain.as_deref();
        if domain.is_some_and(|domain| origin(b"https", domain.as_bytes()).is_none()) {
            return error("domain", "not a host; write `app.example.com`, without scheme and path");
        }
        let proxy_url = config.proxy_url.as_deref().map(proxy_url).transpose()?;
        let sign_in_url = match config.sign_in_url.as_deref() {
            Some(url) if split_url(url).is_none() || url.contains('#') => {
                return error("sign_in_url", "not a URL; write https://host/path, without user info and fragment");
            }
            url => url,
        };
        if config.is_satellite && domain.is_none() && proxy_url.is_none() {
            return error("domain", "a satellite (`is_satellite`) needs `domain` or `proxy_url`");
        }
        if config.is_satellite && !instance.production {
            match sign_in_url.and_then(split_url) {
                None => return error("sign_in_url", "a satellite of a development instance needs it"),
                Some((of_page, _))
                    if domain.and_then(|domain| origin(b"https", domain.as_bytes())) == Some(of_page.clone()) =>
                {
                    return error("sign_in_url", "must be on the primary domain, not on the satellite's own");
                }
                Some(_) => {}
            }
        }
        let mut instance = instance.clone();
        if let Some(domain) = domain.filter(|_| config.is_satellite && instance.production) {
            instance.frontend_api = format!("clerk.{}", domain.to_ascii_lowercase());
        }
        let public_origins = origins("public_origin", &config.public_origin)?;
        let parties = config.authorized_parties.iter().filter_map(|party| whole_origin(party));
        let mut origins_known: Vec<String> = public_origins.into_iter().chain(parties.clone()).collect();
        // A party that is no origin limits the tokens all the same, so it does not open the redirects to any host.
        let any_origin = config.public_origin.is_empty() && config.authorized_parties.is_empty();
        if let Some(domain) = domain.filter(|_| !any_origin) {
            origins_known.extend(origin(b"https", domain.as_bytes()));
        }
        let satellites = origins("satellite_origins", &config.satellite_origins)?.into_iter().chain(parties).collect();
        let patterns = Patterns::parse(&config.organization_patterns, &config.personal_account_patterns)
            .map_err(|(setting, message)| ConfigError::new(setting, message))?;
        Ok(Some(Settings {
            reads_query: !instance.production || config.handshake_query == HandshakeQuery::Always,
            instance,
            proxy_url,
            is_satellite: config.is_satellite,
            satellite_auto_sync: config.satellite_auto_sync,
            sign_in_url: sign_in_url.map(str::to_owned),
            origins: origins_known,
            any_origin,
            satellite_origins: satellites,
            trust_forwarded: config.trust_forwarded,
            sends_session: config.handshake_send_session,
            cross_origin_sync: config.cross_origin_sync,
            refresh: config.refresh,
            patterns,
        }))
    }

    /// Logs settings that are valid and probably not intended.
    pub fn warn(&self, listeners: &EventHandlers) {
        if self.any_origin {
            listeners.log(Level::Warn, || {
                "handshake: neither public_origin nor authorized_parties is set: a browser is sent back to the host that its \
                 request names, which a server has to check"
                    .into()
            });
        }
    }

    /// Returns whether browsers may be sent back to an origin.
    pub fn is_known_origin(&self, origin: &str) -> bool {
        self.any_origin || self.origins.iter().any(|known| known == origin)
    }

    /// Returns the host of the Frontend API, or of its proxy on `own_origin` or elsewhere, without port.
    pub fn frontend_host<'a>(&'a self, own_origin: &'a str) -> &'a str {
        let url = match self.proxy_url.as_deref() {
            Some(path) if path.is_empty() || path.starts_with('/') => own_origin,
            Some(url) => url,
            None => &self.instance.frontend_api,
        };
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        rest.split(['/', ':']).next().unwrap_or_default()
    }
}

/// Checks a proxy's URL and removes slashes at its end.
fn proxy_url(url: &str) -> Result<String, ConfigError> {
    let is_plain = |path: &str| path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\\"<>".contains(&b));
    let is_valid = match url.strip_prefix('/') {
        Some(rest) => !rest.starts_with('/') && is_plain(rest),
        None => split_url(url).is_some_and(|(_, rest)| is_plain(rest)),
    };
    if !is_valid {
        let message =
            "write https://host/path, or a path that begins with one slash; without user info, query and fragment";
        return Err(ConfigError::new("proxy_url", message));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Returns the origin if the URL is nothing else.
fn whole_origin(url: &str) -> Option<String> {
    split_url(url).filter(|(_, rest)| rest.is_empty()).map(|(origin, _)| origin)
}

fn origins(setting: &'static str, urls: &[String]) -> Result<Vec<String>, ConfigError> {
    let message = "not an origin; write https://host or https://host:port, without a slash at the end";
    urls.iter().map(|url| whole_origin(url).ok_or_else(|| ConfigError::new(setting, message))).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::publishable_key;

    /// Settings for tests: with these values.
    pub fn settings(production: bool, change: impl FnOnce(&mut Config)) -> Result<Settings, ConfigError> {
        let key = match production {
            true => "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k",
            false => "pk_test_Y2xlYW4tbWF5Zmx5LTYyLmNsZXJrLmFjY291bnRzLmRldiQ=",
        };
        let mut config = Config::new();
        config.handshake = Handshake::On;
        config.secret_key = Some(Secret::new("sk_test_x"));
        change(&mut config);
        Settings::new(&config, publishable_key::parse(key).as_ref()).map(Option::unwrap)
    }

    #[test]
    fn handshake_without_keys_names_the_missing_one() {
        let mut config = Config::new();
        assert!(Settings::new(&config, None).unwrap().is_none());
        config.set("handshake", "on").unwrap();
        assert_eq!(Settings::new(&config, None).unwrap_err().setting, "publishable_key");
        let error = settings(true, |config| config.secret_key = None).unwrap_err();
        assert_eq!(error.setting, "secret_key");
        assert!(error.message.contains("handshake"));
    }

    #[test]
    fn invalid_value_or_combination_names_the_setting() {
        for (name, value) in [
            ("proxy_url", "app.example.com/__clerk"),
            ("proxy_url", "https://"),
            ("proxy_url", "https://user@app.example.com/"),
            ("proxy_url", "https://app.example.com/?x"),
            ("proxy_url", "//evil.example/"),
            ("proxy_url", "javascript://app.example.com/"),
            ("domain", "https://satellite.example.net"),
            ("domain", "satellite.example.net/a"),
            ("sign_in_url", "/sign-in"),
            ("sign_in_url", "https://primary.example.com/#a"),
            ("public_origin", "https://app.example.com/"),
            ("public_origin", "https://*.example.com"),
            ("satellite_origins", "satellite.example.net"),
            ("organization_patterns", "/:slug?"),
        ] {
            let error = settings(true, |config| config.set(name, value).unwrap()).unwrap_err();
            assert_eq!(error.setting, name, "{value}");
        }
        let satellite = |production: bool, domain: &str, url: &str| {
            settings(production, |config| {
                config.is_satellite = true;
                config.set("domain", domain).unwrap();
                config.set("sign_in_url", url).unwrap();
            })
        };
        let page = "https://primary.example.com/sign-in";
        assert_eq!(satellite(true, "", "").unwrap_err().setting, "domain");
        assert_eq!(satellite(false, "satellite.example.net", "").unwrap_err().setting, "sign_in_url");
        assert_eq!(satellite(false, "primary.example.com", page).unwrap_err().setting, "sign_in_url");
        assert!(satellite(false, "satellite.example.net", page).is_ok());
    }

    #[test]
    fn satellite_in_production_has_a_frontend_api_of_its_own() {
        let host = |production: bool, is_satellite: bool| {
            let change = |config: &mut Config| {
                config.is_satellite = is_satellite;
                config.set("domain", "Satellite.example.net").unwrap();
                config.set("sign_in_url", "https://primary.example.com/").unwrap();
            };
            settings(production, change).unwrap().instance.frontend_api
        };
        assert_eq!(host(true, true), "clerk.satellite.example.net");
        assert_eq!(host(true, false), "clerk.example.com");
        assert_eq!(host(false, true), "clean-mayfly-62.clerk.accounts.dev");
    }

    #[test]
    fn party_that_is_no_origin_does_not_allow_any_host() {
        let known = |parties: &[&str]| {
            let set =
                |config: &mut Config| parties.iter().for_each(|party| config.add("authorized_parties", party).unwrap());
            settings(true, set).unwrap().is_known_origin("https://evil.example")
        };
        assert!(known(&[]));
        for party in ["api", "https://*.example.com", "https://app.example.com/", "app.example.com", "null"] {
            assert!(!known(&[party]), "{party}");
        }
    }

    #[test]
    fn origins_are_those_of_the_settings_and_the_domain() {
        let settings = settings(true, |config| {
            config.add("public_origin", "https://App.example.com:443").unwrap();
            config.add("authorized_parties", "http://localhost:3000").unwrap();
            config.set("domain", "other.example.com").unwrap();
        });
        let origins = settings.unwrap().origins;
        assert_eq!(origins, ["https://app.example.com", "http://localhost:3000", "https://other.example.com"]);
    }
}
