//! Builds the shared cache from the settings.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::events::EventHandlers;
use crate::publishable_key;
use crate::shared_cache::{Engine, EngineError, Lifetimes, MAX_SECRETS, Sealer, SharedCache};
use crate::token::TokenHash;

/// A shorter secret could be guessed by those who can read the engine.
const MIN_SECRET_LEN: usize = 32;
/// How long each operation of the check at the start may take, besides connecting.
const CHECK_TIMEOUT: Duration = Duration::from_millis(200);

/// Returns the shared cache; `None` without the setting `shared_cache` and without an engine of the application.
pub(super) fn shared_cache(
    config: &Config,
    engine: Option<Arc<dyn Engine>>,
    clock: &Clock,
    events: &Arc<EventHandlers>,
) -> Result<Option<Arc<SharedCache>>, ConfigError> {
    let engine = match (&config.shared_cache, engine) {
        (Some(_), Some(_)) => {
            return Err(ConfigError::new("shared_cache", "not together with an engine of the application"));
        }
        (Some(url), None) => engine_of(url.expose(), config, events)?,
        (None, Some(engine)) => engine,
        (None, None) => {
            return match config.shared_cache_required {
                true => Err(ConfigError::new("shared_cache_required", "needs `shared_cache`")),
                false => Ok(None),
            };
        }
    };
    let lifetimes = Lifetimes {
        user_ttl_ms: config.user_ttl_s * 1000,
        user_stale_ms: config.user_stale_if_error_s * 1000,
        machine_ttl_ms: config.machine_cache_ttl_s * 1000,
        revocation_ttl_ms: config.revocation_ttl_s * 1000,
    };
    let is_required = config.shared_cache_required;
    let cache = SharedCache::new(engine, sealer(config)?, lifetimes, is_required, clock.clone(), events.clone());
    match cache.check(CHECK_TIMEOUT) {
        Ok(()) => {}
        Err(EngineError::Refused(why)) => return Err(ConfigError::new("shared_cache", why)),
        Err(error) if is_required => {
            return Err(ConfigError::new("shared_cache_required", format!("the shared cache cannot be used: {error}")));
        }
        Err(error) => cache.record_failed_check(&error),
    }
    Ok(Some(Arc::new(cache)))
}

fn sealer(config: &Config) -> Result<Sealer, ConfigError> {
    let wrong = |why: &str| ConfigError::new("shared_cache_secret", why);
    let secrets = match &config.shared_cache_secret[..] {
        // The secret key belongs to one instance: what it makes is the same in all processes that have it, and in no others.
        [] => {
            let without = || wrong("needed to seal the entries of the shared cache without `secret_key`");
            let key = config.secret_key.as_ref().ok_or_else(without)?;
            let instance = TokenHash::of(format!("clerk-auth shared cache\0{}", key.expose()).as_bytes());
            return Sealer::new(std::slice::from_ref(key), &instance.to_string()).ok_or_else(without);
        }
        given if given.len() > MAX_SECRETS => return Err(wrong("at most two secrets: the new one and the old one")),
        given if given.iter().any(|secret| secret.expose().len() < MIN_SECRET_LEN) => {
            return Err(wrong("must be at least 32 characters long, such as the output of `openssl rand -hex 32`"));
        }
        given => given.to_vec(),
    };
    // An instance has one Frontend API. Only this names it: if another setting could do so as well, processes with one and processes
    // with the other would not find each other's entries, revocations included.
    let instance = config.publishable_key.as_deref().and_then(publishable_key::parse).ok_or_else(|| {
        ConfigError::new(
            "publishable_key",
            "needed with `shared_cache_secret`: it names the instance that the entries of the shared cache belong to",
        )
    })?;
    Sealer::new(&secrets, &instance.frontend_api.to_ascii_lowercase())
        .ok_or_else(|| wrong("no key can be derived from it"))
}

#[cfg(feature = "redis")]
fn engine_of(url: &str, config: &Config, events: &EventHandlers) -> Result<Arc<dyn Engine>, ConfigError> {
    use crate::events::Level;
    use crate::shared_cache::{Redis, RedisConfig};
    let engine = Redis::new(&RedisConfig { url, ca_pem: config.shared_cache_ca_pem.as_deref() })?;
    if engine.sends_password_in_clear() {
        events.log(Level::Warn, || "shared_cache: the password is sent without encryption; use rediss://".into());
    }
    Ok(Arc::new(engine))
}

#[cfg(not(feature = "redis"))]
fn engine_of(_: &str, _: &Config, _: &EventHandlers) -> Result<Arc<dyn Engine>, ConfigError> {
    Err(ConfigError::new("shared_cache", "this library was built without the feature `redis`"))
}

#[cfg(all(test, not(feature = "redis")))]
mod tests {
    use crate::Client;

    #[test]
    fn redis_without_its_feature_is_refused_by_name() {
        let (jwt_key, _) = crate::internals::example();
        let error = Client::builder()
            .jwt_key(jwt_key)
            .shared_cache_secret(["0123456789abcdef0123456789abcdef"])
            .publishable_key("pk_live_Y2xlcmsuY2xlcmsuZGV2JA")
            .shared_cache("redis://127.0.0.1")
            .build()
            .unwrap_err();
        assert_eq!(error.setting(), Some("shared_cache"));
    }
}
