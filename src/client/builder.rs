//! Validates a configuration and builds a client. Errors name the setting.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;

use super::Client;
use super::backend::Backend;
use super::inner::{Inner, Settings};
use super::invalidations::Invalidations;
use super::machine_tokens::MachineTokens;
use super::metrics::Metrics;
use super::result_cache::ResultCache;
use super::revocations::Revocations;
use super::session_checks::SessionChecks;
use super::user_cache::UserCache;
use super::webhook_receiver::WebhookReceiver;
use crate::api::{Api, HttpTransport, Transport, TransportConfig};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, LinkByEmail, Secret, UserMode};
use crate::events::{Event, EventHandlers, Level};
use crate::jwt::Policy;
use crate::keys::{self, JwksStore, KeySet, KeySource};
use crate::publishable_key;
use crate::request::ExtractOptions;
use crate::token::{TokenKind, is_clerk_id};
use crate::users::UserStore;
use crate::webhooks::SigningKeys;

/// The settings of a client, and what the application provides.
#[derive(Default)]
pub struct ClientBuilder {
    /// The settings.
    pub config: Config,
    /// The application's user table.
    pub store: Option<Arc<dyn UserStore>>,
    /// Called for events and log lines.
    pub listeners: EventHandlers,
    /// A clock other than the system's.
    pub clock: Option<Clock>,
    /// A transport other than HTTP.
    pub transport: Option<Arc<dyn Transport>>,
}

impl ClientBuilder {
    /// Validates the settings and builds the client. Opens no connection.
    pub fn build(self) -> Result<Client, ConfigError> {
        let ClientBuilder { config, store, listeners, clock, transport } = self;
        let clock = clock.unwrap_or_else(Clock::system);
        let listeners = Arc::new(listeners);
        let instance = match &config.publishable_key {
            Some(key) => Some(publishable_key::parse(key).ok_or_else(|| {
                ConfigError::new(
                    "publishable_key",
                    "not a publishable key; copy `pk_live_…` or `pk_test_…` from Clerk's dashboard",
                )
            })?),
            None => None,
        };
        check_secret("secret_key", config.secret_key.as_ref())?;
        check_secret("machine_secret_key", config.machine_secret_key.as_ref())?;
        if let Some(id) = config.expected_machine_id.as_ref().filter(|id| !is_clerk_id(id, "mch_")) {
            return Err(ConfigError::new(
                "expected_machine_id",
                format!("`{id}` is not the id of a machine (`mch_…`)"),
            ));
        }
        let mode = user_mode(&config, store.is_some())?;
        let has_ids = store.as_ref().is_none_or(|store| store.schema().clerk_id);
        if mode == UserMode::Sync && !has_ids && config.link_by_email == LinkByEmail::Never {
            return Err(ConfigError::new(
                "link_by_email",
                "must not be `never` for a table without a Clerk id column: its rows are found by e-mail address only",
            ));
        }
        let base = base_url("api_url", &config.api_url)?;
        if let Some(url) = &config.jwks_url {
            check_url("jwks_url", url)?;
        }
        let transport = match transport {
            Some(transport) => transport,
            None => Arc::new(HttpTransport::new(&TransportConfig {
                ca_pem: config.ca_pem.clone(),
                proxy: config.proxy.clone(),
                user_agent: config.user_agent.clone(),
            })?),
        };
        let capacity = usize::try_from(config.cache_capacity).unwrap_or(1);
        let invalidations = Arc::new(Invalidations::default());
        let results = Arc::new(ResultCache::new(capacity, invalidations.clone()));
        let keys = key_source(&config, &clock, results.clone(), listeners.clone())?;
        if config.session_check_ttl_s > 0 && config.secret_key.is_none() {
            return Err(ConfigError::new("session_check_ttl_s", "session checks need `secret_key`"));
        }
        let signing_keys = SigningKeys::parse(&config.webhook_secrets)?;
        warn(&config, &listeners);
        let api = Api::new(
            transport,
            base,
            config.secret_key.clone(),
            config.machine_secret_key.clone(),
            config.jwks_url.clone(),
            clock.clone(),
        );
        let skew_ms = config.clock_skew_ms;
        let inner = Inner {
            settings: Settings {
                rules: ExtractOptions {
                    instance,
                    check_client_uat: config.check_client_uat,
                    allow_bare_token: config.allow_bare_token,
                },
                accepts: config.accepts_token,
                policy: Policy {
                    authorized_parties: config.authorized_parties,
                    audience: config.audience,
                    issuer: config.issuer,
                    clock_skew_ms: skew_ms,
                    treat_pending_as_signed_out: config.treat_pending_as_signed_out,
                    expected_machine_id: config.expected_machine_id.clone(),
                },
                mode,
                link: config.link_by_email,
                timeout: Duration::from_millis(config.timeout_ms.unsigned_abs()),
                cache_ttl_ms: config.cache_ttl_s * 1000,
                machine_cache_ttl_ms: config.machine_cache_ttl_s * 1000,
                row_check_ttl_ms: config.row_check_ttl_s * 1000,
            },
            clock,
            keys,
            backend: Backend { api, events: listeners, metrics: Metrics::default() },
            store,
            users: UserCache::new(
                capacity,
                config.user_ttl_s * 1000,
                config.user_stale_if_error_s * 1000,
                invalidations.clone(),
            ),
            sessions: SessionChecks::new(
                capacity,
                config.session_check_ttl_s * 1000,
                !config.treat_pending_as_signed_out,
                invalidations.clone(),
            ),
            machine_tokens: MachineTokens::new(config.expected_machine_id, invalidations.clone()),
            revocations: Revocations::new(capacity, config.revocation_ttl_s * 1000, skew_ms),
            webhooks: WebhookReceiver::new(signing_keys, config.instance_id, capacity),
            invalidations,
            results,
        };
        Ok(Client { inner: Arc::new(inner) })
    }
}

fn user_mode(config: &Config, has_store: bool) -> Result<UserMode, ConfigError> {
    let mode = config.user_mode.unwrap_or(if has_store { UserMode::Sync } else { UserMode::Claims });
    if mode == UserMode::Sync && !has_store {
        return Err(ConfigError::new(
            "user_mode",
            "`sync` needs a user store; set its callbacks or use the SQLite store",
        ));
    }
    if mode != UserMode::Claims && config.secret_key.is_none() {
        return Err(ConfigError::new("secret_key", "needed to fetch users; set it, or set `user_mode` to `claims`"));
    }
    Ok(mode)
}

fn key_source(
    config: &Config,
    clock: &Clock,
    results: Arc<ResultCache>,
    listeners: Arc<EventHandlers>,
) -> Result<KeySource, ConfigError> {
    if let Some(text) = &config.jwt_key {
        let keys = keys::parse(text).map_err(|why| ConfigError::new("jwt_key", why))?;
        return Ok(KeySource::Pinned(keys.into()));
    }
    let now_ms = clock.now().mono_ms;
    let preloaded = match &config.jwks {
        Some(text) => Some(
            KeySet::parse(text.as_bytes())
                .ok_or_else(|| ConfigError::new("jwks", "not a JWK set with an RSA public key for RS256"))?,
        ),
        None => None,
    };
    let can_fetch = config.secret_key.is_some() || config.jwks_url.is_some();
    if !can_fetch && preloaded.is_none() {
        let machines_only = config.accepts_token.iter().all(|kind| *kind == TokenKind::M2mToken);
        if config.machine_secret_key.is_some() && machines_only {
            return Ok(KeySource::Missing);
        }
        let message = "no verification key configured; set `secret_key`, `jwt_key`, `jwks_url` or `jwks`";
        return Err(ConfigError::new("secret_key", message));
    }
    // Tokens signed with a key that was removed from the set are no longer valid.
    let on_replaced = move |is_present: &dyn Fn(&[u8; 32]) -> bool| {
        results.retain_keys(is_present);
        listeners.emit(Event::JwksRefreshed);
    };
    let preloaded = preloaded.map(|set| (set, now_ms));
    Ok(KeySource::Jwks(JwksStore::new(preloaded, can_fetch, Box::new(on_replaced))))
}

fn check_secret(setting: &'static str, secret: Option<&Secret>) -> Result<(), ConfigError> {
    let Some(secret) = secret.map(Secret::expose) else { return Ok(()) };
    if secret.starts_with("pk_") {
        return Err(ConfigError::new(setting, "this is a publishable key; a secret key begins with `sk_`"));
    }
    if secret.starts_with("whsec_") {
        return Err(ConfigError::new(setting, "this is a webhook signing secret; set it as `webhook_secrets`"));
    }
    if secret.len() > 1024 || !secret.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ConfigError::new(setting, "must be printable ASCII without spaces"));
    }
    Ok(())
}

/// Returns the URL without a slash or `/v1` at its end.
fn base_url(setting: &'static str, url: &str) -> Result<String, ConfigError> {
    check_url(setting, url)?;
    let url = url.trim_end_matches('/');
    Ok(url.strip_suffix("/v1").unwrap_or(url).to_owned())
}

/// Accepts `https`, and `http` on a loopback address only, because a secret is sent there.
fn check_url(setting: &'static str, url: &str) -> Result<(), ConfigError> {
    let wrong = |why: &str| ConfigError::new(setting, why);
    let uri: Uri = url.parse().map_err(|_| wrong("not a URL; write https://host"))?;
    let authority = uri.authority().ok_or_else(|| wrong("URL has no host; write https://host"))?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(wrong("must not contain user info or a query"));
    }
    let host = authority.host().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_local => Ok(()),
        _ => Err(wrong("must begin with https:// (http:// only for this machine)")),
    }
}

/// Logs settings that are valid and probably not intended.
fn warn(config: &Config, listeners: &EventHandlers) {
    if config.authorized_parties.is_empty() && config.accepts_token.contains(&TokenKind::SessionToken) {
        listeners.log(Level::Warn, || {
            "authorized_parties is empty: session tokens issued to sibling subdomains are accepted".into()
        });
    }
    for party in &config.authorized_parties {
        let rest = party.split_once("://").map(|(_, rest)| rest);
        if rest.is_none_or(|rest| rest.contains('/') || rest.bytes().any(|b| b.is_ascii_uppercase())) {
            listeners.log(Level::Warn, || {
                format!("authorized_parties: `{party}` matches no browser's origin; write https://host without a path")
            });
        }
    }
}
