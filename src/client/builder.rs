//! Judging a configuration and putting a client together. Whatever is wrong is said here, with the setting's name.

use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ureq::http::Uri;

use super::revocations::Revoked;
use super::webhooks::PerSubjectLimit;
use super::{CachedAuth, Client, Counters, Inner, Results};
use crate::api::{Api, HttpTransport, Transport, TransportConfig};
use crate::cache::{Cache, IdentityState};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, LinkByEmail, Secret, UserMode};
use crate::events::{Event, EventHandlers, Level};
use crate::jwt::Policy;
use crate::keys::{self, JwksStore, KeySet, KeySource};
use crate::publishable_key;
use crate::request::ExtractOptions;
use crate::single_flight::SingleFlight;
use crate::token::{TokenKind, is_clerk_id};
use crate::users::UserStore;
use crate::webhooks::SigningKeys;

/// Settings, and the parts that a host brings along.
#[derive(Default)]
pub struct ClientBuilder {
    /// The settings.
    pub config: Config,
    /// The host's user table.
    pub store: Option<Arc<dyn UserStore>>,
    /// Who is told of events and log lines.
    pub listeners: EventHandlers,
    /// Another clock than the system's.
    pub clock: Option<Clock>,
    /// Another way to Clerk than HTTP.
    pub transport: Option<Arc<dyn Transport>>,
}

impl ClientBuilder {
    /// Judges everything and connects to nothing.
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
            return Err(ConfigError::new("link_by_email", "a table without Clerk ids is matched by addresses alone"));
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
        let results: Arc<Results> = Arc::new(Cache::new(capacity, IdentityState));
        let keys = key_source(&config, &clock, results.clone(), listeners.clone())?;
        if config.session_check_ttl_s > 0 && config.secret_key.is_none() {
            return Err(ConfigError::new("session_check_ttl_s", "asking Clerk about sessions needs `secret_key`"));
        }
        let webhook_secrets = SigningKeys::parse(&config.webhook_secrets)?;
        warn(&config, &listeners);
        let api = Api::new(
            transport,
            base,
            config.secret_key.clone(),
            config.machine_secret_key.clone(),
            config.jwks_url.clone(),
            clock.clone(),
        );
        Ok(Client {
            inner: Arc::new(Inner {
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
                    clock_skew_ms: config.clock_skew_ms,
                    treat_pending_as_signed_out: config.treat_pending_as_signed_out,
                    expected_machine_id: config.expected_machine_id,
                },
                mode,
                link: config.link_by_email,
                timeout: Duration::from_millis(config.timeout_ms.unsigned_abs()),
                cache_ttl_ms: config.cache_ttl_s * 1000,
                user_ttl_ms: config.user_ttl_s * 1000,
                stale_user_ms: config.user_stale_if_error_s * 1000,
                recheck_ms: config.row_check_ttl_s * 1000,
                machine_cache_ttl_ms: config.machine_cache_ttl_s * 1000,
                session_check_ttl_ms: config.session_check_ttl_s * 1000,
                keys,
                api,
                store,
                listeners,
                clock,
                results,
                known: Cache::new(capacity, RandomState::new()),
                absent: Cache::new(1024, RandomState::new()),
                sessions: Cache::new(capacity, RandomState::new()),
                revoked: Revoked::new(capacity, config.revocation_ttl_s * 1000, config.clock_skew_ms),
                fairness: PerSubjectLimit::new(capacity),
                webhook_secrets,
                instance_id: config.instance_id,
                deliveries: Cache::new(capacity, RandomState::new()),
                told: Cache::new(capacity, RandomState::new()),
                flights: SingleFlight::new(),
                session_flights: SingleFlight::new(),
                machine_flights: SingleFlight::new(),
                epoch: AtomicU64::new(0),
                counters: Counters::default(),
            }),
        })
    }
}

fn user_mode(config: &Config, has_store: bool) -> Result<UserMode, ConfigError> {
    let mode = config.user_mode.unwrap_or(if has_store { UserMode::Sync } else { UserMode::Claims });
    if mode == UserMode::Sync && !has_store {
        return Err(ConfigError::new("user_mode", "`sync` needs a user store; set its hooks or use the SQLite store"));
    }
    if mode != UserMode::Claims && config.secret_key.is_none() {
        return Err(ConfigError::new("secret_key", "fetching users needs it; set it, or set `user_mode` to `claims`"));
    }
    Ok(mode)
}

fn key_source(
    config: &Config,
    clock: &Clock,
    results: Arc<Results>,
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
                .ok_or_else(|| ConfigError::new("jwks", "not a JWK set with an RSA public key for RS256 in it"))?,
        ),
        None => None,
    };
    let can_fetch = config.secret_key.is_some() || config.jwks_url.is_some();
    if !can_fetch && preloaded.is_none() {
        let machines_only = config.accepts_token.iter().all(|kind| *kind == TokenKind::M2mToken);
        if config.machine_secret_key.is_some() && machines_only {
            return Ok(KeySource::Missing);
        }
        let message = "there is nothing to verify tokens with; set `secret_key`, `jwt_key`, `jwks_url` or `jwks`";
        return Err(ConfigError::new("secret_key", message));
    }
    // What was verified under a key that has left the set is no longer known to be good.
    let on_replaced = move |stands: &dyn Fn(&[u8; 32]) -> bool| {
        results.retain(|kept: &Arc<CachedAuth>| kept.key_id.is_none_or(|id| stands(&id)));
        listeners.tell(Event::JwksRefreshed);
    };
    let preloaded = preloaded.map(|set| (set, now_ms));
    Ok(KeySource::Jwks(JwksStore::new(preloaded, can_fetch, Box::new(on_replaced))))
}

fn check_secret(setting: &'static str, secret: Option<&Secret>) -> Result<(), ConfigError> {
    let Some(secret) = secret.map(Secret::expose) else { return Ok(()) };
    if secret.starts_with("pk_") {
        return Err(ConfigError::new(setting, "this is a publishable key; the secret one begins with `sk_`"));
    }
    if secret.starts_with("whsec_") {
        return Err(ConfigError::new(setting, "this is a webhook signing secret; it belongs into `webhook_secrets`"));
    }
    if secret.len() > 1024 || !secret.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ConfigError::new(setting, "only printable ASCII without blanks may stand here"));
    }
    Ok(())
}

/// Without a slash or `/v1` at the end.
fn base_url(setting: &'static str, url: &str) -> Result<String, ConfigError> {
    check_url(setting, url)?;
    let url = url.trim_end_matches('/');
    Ok(url.strip_suffix("/v1").unwrap_or(url).to_owned())
}

/// `https`, or `http` to this machine: a secret travels there.
fn check_url(setting: &'static str, url: &str) -> Result<(), ConfigError> {
    let wrong = |why: &str| ConfigError::new(setting, why);
    let uri: Uri = url.parse().map_err(|_| wrong("not an address; write https://host"))?;
    let authority = uri.authority().ok_or_else(|| wrong("not a whole address; write https://host"))?;
    if authority.as_str().contains('@') || uri.query().is_some() {
        return Err(wrong("neither a user name nor a query may stand in it"));
    }
    let host = authority.host().trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if is_local => Ok(()),
        _ => Err(wrong("must begin with https:// (http:// only for this machine)")),
    }
}

/// What works and is probably not meant.
fn warn(config: &Config, listeners: &EventHandlers) {
    if config.authorized_parties.is_empty() && config.accepts_token.contains(&TokenKind::SessionToken) {
        listeners.log(Level::Warn, || {
            "authorized_parties is empty: session cookies of sibling subdomains are accepted from everywhere".into()
        });
    }
    for party in &config.authorized_parties {
        let rest = party.split_once("://").map(|(_, rest)| rest);
        if rest.is_none_or(|rest| rest.contains('/') || rest.bytes().any(|b| b.is_ascii_uppercase())) {
            listeners.log(Level::Warn, || {
                format!(
                    "authorized_parties: `{party}` will match no browser's origin; write https://host without a path"
                )
            });
        }
    }
}
