//! Builds the shared cache from the settings.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::events::EventHandlers;
use crate::shared_cache::{Engine, EngineError, Lifetimes, MAX_SECRETS, Sealer, SharedCache};

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
        [] => config.secret_key.iter().cloned().collect(),
        given if given.len() > MAX_SECRETS => return Err(wrong("at most two secrets: the new one and the old one")),
        given if given.iter().any(|secret| secret.expose().len() < MIN_SECRET_LEN) => {
            return Err(wrong("must be at least 32 characters long, such as the output of `openssl rand -hex 32`"));
        }
        given => given.to_vec(),
    };
    // What all processes of an instance have in common, whichever of their secret keys they use.
    let instance = config.instance_id.as_deref().or(config.publishable_key.as_deref()).unwrap_or(&config.api_url);
    Sealer::new(&secrets, instance)
        .ok_or_else(|| wrong("needed to seal the entries of the shared cache without `secret_key`"))
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
            .shared_cache("redis://127.0.0.1")
            .build()
            .unwrap_err();
        assert_eq!(error.setting(), Some("shared_cache"));
    }
}
