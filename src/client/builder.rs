//! Validates a configuration and builds a client. Errors name the setting.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Client;
use super::backend::Backend;
use super::blocked_users::BlockedUsers;
use super::changes::Changes;
use super::handshakes::Handshakes;
use super::inner::{Inner, Settings};
use super::invalidations::Invalidations;
use super::machine_tokens::MachineTokens;
use super::metrics::Metrics;
use super::result_cache::ResultCache;
use super::revocations::Revocations;
use super::session_checks::SessionChecks;
use super::shared_setup;
use super::user_cache::UserCache;
use super::validate::{base_url, check_keys, check_url};
use super::verified_tokens::VerifiedTokens;
use super::webhook_receiver::WebhookReceiver;
use crate::api::{Api, HttpTransport, Transport, TransportConfig};
use crate::clock::Clock;
use crate::config::{AuthorizedPartiesMissing, Config, ConfigError, Handshake, LinkByEmail, UserMode, rows};
use crate::error::Error;
use crate::events::{Event, EventHandlers, Level};
use crate::handshake;
use crate::jwt::Policy;
use crate::keys::{self, JwksStore, KeySet, KeySource};
use crate::publishable_key;
use crate::request::ExtractOptions;
use crate::shared_cache::Engine;
use crate::stderr_log;
use crate::token::{TokenKind, is_clerk_id};
use crate::users::{UserStore, open_database};
use crate::webhooks::SigningKeys;

/// Users whose revocation is known one by one, and four times as many sessions. Independent of the size of the caches: what is
/// evicted rejects other tokens.
const REVOKED_USERS: usize = 16_384;

/// The settings of a [`Client`], and what the application provides.
///
/// There is one setter for each setting, under the name that all bindings use. The first invalid value is reported by
/// [`build`](Self::build).
///
/// # Examples
///
/// ```
/// use clerk_auth::{Client, LogLevel, UserMode};
///
/// let client = Client::builder()
///     .secret_key("sk_test_example")
///     .authorized_parties(["https://app.example.com"])
///     .user_mode(UserMode::Profile)
///     .cache_ttl_s(60)
///     .on_log(LogLevel::Warn, |level, line| eprintln!("{level:?}: {line}"))
///     .build()?;
///
/// let error = Client::builder().cache_ttl_s(86_401).build().unwrap_err();
/// assert_eq!(error.to_string(), "cache_ttl_s: 86401 is out of range: 0 to 86400");
/// # Ok::<(), clerk_auth::Error>(())
/// ```
#[derive(Default)]
#[must_use]
pub struct ClientBuilder {
    pub(crate) config: Config,
    pub(crate) store: Option<Arc<dyn UserStore>>,
    pub(crate) listeners: EventHandlers,
    pub(crate) clock: Option<Clock>,
    pub(crate) transport: Option<Arc<dyn Transport>>,
    pub(crate) engine: Option<Arc<dyn Engine>>,
    /// The first invalid value.
    pub(crate) error: Option<ConfigError>,
}

/// The setter of a setting, by its kind.
macro_rules! setter {
    ($(#[$doc:meta])* $name:ident Int) => {
        $(#[$doc])*
        pub fn $name(self, value: u32) -> Self {
            self.change(|config| config.set_int(stringify!($name), value.into()))
        }
    };
    ($(#[$doc:meta])* $name:ident Bool) => {
        $(#[$doc])*
        pub fn $name(self, value: bool) -> Self {
            self.change(|config| config.set_int(stringify!($name), value.into()))
        }
    };
    ($(#[$doc:meta])* $name:ident UserMode) => {
        $(#[$doc])*
        pub fn $name(mut self, value: UserMode) -> Self {
            self.config.$name = Some(value);
            self
        }
    };
    ($(#[$doc:meta])* $name:ident AuthorizedPartiesMissing) => {
        $(#[$doc])*
        pub fn $name(mut self, value: AuthorizedPartiesMissing) -> Self {
            self.config.$name = value;
            self
        }
    };
    ($(#[$doc:meta])* $name:ident LinkByEmail) => {
        $(#[$doc])*
        pub fn $name(mut self, value: LinkByEmail) -> Self {
            self.config.$name = value;
            self
        }
    };
    ($(#[$doc:meta])* $name:ident TokenKinds) => {
        $(#[$doc])*
        pub fn $name(self, kinds: impl IntoIterator<Item = TokenKind>) -> Self {
            let names: Vec<&str> = kinds.into_iter().map(TokenKind::as_str).collect();
            self.set(stringify!($name), &names.join(","))
        }
    };
    ($(#[$doc:meta])* $name:ident $list:ident) => {
        setter!(@$list $(#[$doc])* $name);
    };
    (@List $($row:tt)*) => { setter!(@items $($row)*); };
    (@SecretList $($row:tt)*) => { setter!(@items $($row)*); };
    (@items $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(self, items: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
            self.change(|config| {
                config.set(stringify!($name), "")?;
                items.into_iter().try_for_each(|item| config.add(stringify!($name), item.as_ref()))
            })
        }
    };
    // A string: String, Url, Secret.
    (@$string:ident $(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub fn $name(self, value: impl AsRef<str>) -> Self {
            self.set(stringify!($name), value.as_ref())
        }
    };
}

/// "" for a setting without a default.
macro_rules! default_doc {
    ("") => {
        ""
    };
    ($default:literal) => {
        concat!("\n\nDefault: `", $default, "`.")
    };
}

macro_rules! setters {
    ($($group:ident {
        $($(#[doc = $doc:literal])+ $name:ident: $kind:ident $(($($range:tt)+))? = $default:tt $(from $env:literal)?;)+
    })+) => {
        /// One setter for each setting. A list replaces the value; an empty string clears it.
        impl ClientBuilder {
            $($(setter! {
                #[doc = concat!("Sets `", stringify!($name), "`:", $($doc,)+ ".", default_doc!($default),
                    $("\n\nRange: `", stringify!($($range)+), "`.",)?)]
                $name $kind
            })+)+
        }
    };
}
rows!(setters);

impl ClientBuilder {
    /// Returns a builder with the settings whose environment variables are set and not empty; the README lists the variables.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use clerk_auth::ClientBuilder;
    ///
    /// let client = ClientBuilder::from_env().authorized_parties(["https://app.example.com"]).build()?;
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn from_env() -> Self {
        Self::default().change(Config::from_env)
    }

    /// Sets any setting by its name, such as one from a configuration file. The items of a list are separated by commas; an
    /// empty value clears an optional setting.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut builder = clerk_auth::Client::builder();
    /// for (name, value) in [("secret_key", "sk_test_example"), ("timeout_ms", "2000"), ("audience", "api, admin")] {
    ///     builder = builder.set(name, value);
    /// }
    /// builder.build()?;
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn set(self, name: &str, value: &str) -> Self {
        self.change(|config| config.set(name, value))
    }

    /// Sets the application's user table. [`UserMode::Sync`] is the default then.
    pub fn user_store(mut self, store: Arc<dyn UserStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets the function to be called for every event, on the thread of the call that causes it, with no lock held.
    ///
    /// # Examples
    ///
    /// ```
    /// use clerk_auth::{Client, Event};
    ///
    /// let builder = Client::builder().on_event(|event| match event {
    ///     Event::AuthFailed { reason, .. } => eprintln!("not signed in: {reason}"),
    ///     Event::UserCreated { user_key, .. } => eprintln!("welcome, user {user_key}"),
    ///     _ => {}
    /// });
    /// ```
    pub fn on_event(mut self, handler: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.listeners.on_event(handler);
        self
    }

    /// Sets the function to be called for log lines at `level` and above. They contain no token and no secret.
    ///
    /// Without it, warnings and errors are written to standard error, each once a minute at most. The environment variable
    /// `CLERK_LOG` (`off`, `error`, `warn`, `info`, `debug`) selects the level, and then every line is written.
    pub fn on_log(mut self, level: Level, handler: impl Fn(Level, &str) + Send + Sync + 'static) -> Self {
        self.listeners.on_log(level, handler);
        self
    }

    /// Sets the clock: a function that returns milliseconds since 1970, for tests and replays. Lifetimes of cached results
    /// follow it, too.
    pub fn clock(mut self, now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.clock = Some(Clock::from_fn(now_ms));
        self
    }

    /// Sets how requests are sent to Clerk. The settings `ca_pem`, `proxy` and `user_agent` have no effect then.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Sets the engine of the shared cache, instead of the setting `shared_cache`.
    ///
    /// # Examples
    ///
    /// Two clients that behave as those of two processes do:
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use clerk_auth::Client;
    /// use clerk_auth::shared_cache::MemoryEngine;
    ///
    /// # let (jwt_key, _) = clerk_auth::internals::example();
    /// let engine = Arc::new(MemoryEngine::new());
    /// let build = || {
    ///     Client::builder()
    ///         .jwt_key(jwt_key)
    ///         .publishable_key("pk_test_Y2xlcmsuZXhhbXBsZS5jb20k")
    ///         .shared_cache_secret(["0123456789abcdef0123456789abcdef"])
    ///         .shared_cache_engine(engine.clone())
    ///         .build()
    /// };
    /// let (a, b) = (build()?, build()?);
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn shared_cache_engine(mut self, engine: Arc<dyn Engine>) -> Self {
        self.engine = Some(engine);
        self
    }

    fn change(mut self, change: impl FnOnce(&mut Config) -> Result<(), ConfigError>) -> Self {
        if let Err(error) = change(&mut self.config) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Validates the settings and builds the client. Connects to the shared cache and to the `database`, if they are set, and to nothing
    /// else.
    ///
    /// # Errors
    ///
    /// An [`Error`] of the kind `Config` that names the invalid or missing setting.
    pub fn build(self) -> Result<Client, Error> {
        self.validate_and_build().map_err(Error::from)
    }

    fn validate_and_build(self) -> Result<Client, ConfigError> {
        let ClientBuilder { config, store, mut listeners, clock, transport, engine, error } = self;
        if let Some(error) = error {
            return Err(error);
        }
        let clock = clock.unwrap_or_else(Clock::system);
        let lines = stderr_log::Lines::from_env()?;
        if let (false, Some((level, handler))) = (listeners.has_log_handler(), lines.handler(clock.clone())) {
            listeners.on_log(level, handler);
        }
        let listeners = Arc::new(listeners);
        check_keys(&config)?;
        let instance = match &config.publishable_key {
            Some(key) => Some(publishable_key::parse(key).ok_or_else(|| {
                ConfigError::new(
                    "publishable_key",
                    "not a publishable key; copy `pk_live_…` or `pk_test_…` from Clerk's dashboard",
                )
            })?),
            None => None,
        };
        if config.expected_machine_id.as_ref().is_some_and(|id| !is_clerk_id(id, "mch_")) {
            // The value is not shown: it may be a secret that was pasted here.
            return Err(ConfigError::new("expected_machine_id", "not a machine id; it begins with `mch_`"));
        }
        if config.require_suffixed_cookie && instance.is_none() {
            return Err(ConfigError::new(
                "require_suffixed_cookie",
                "needs `publishable_key`, from which the suffix is derived",
            ));
        }
        let reads_cookies =
            config.handshake == Handshake::On || config.check_client_uat || config.require_suffixed_cookie;
        if config.ignore_cookies && reads_cookies {
            return Err(ConfigError::new(
                "ignore_cookies",
                "not together with `handshake`, `check_client_uat` or `require_suffixed_cookie`, which read cookies",
            ));
        }
        let handshake = handshake::Settings::new(&config, instance.as_ref())?;
        let instance = handshake.as_ref().map_or(instance, |settings| Some(settings.instance.clone()));
        let mode = user_mode(&config, store.is_some() || config.database.is_some())?;
        let has_database = config.database.is_some();
        if has_database && store.is_some() {
            return Err(ConfigError::new("database", "not together with another user store"));
        }
        let has_ids = store.as_ref().is_none_or(|store| store.schema().clerk_id);
        if mode == UserMode::Sync && !has_ids && config.link_by_email == LinkByEmail::Never {
            return Err(ConfigError::new(
                "link_by_email",
                "must not be `never` for a table without a Clerk id column: its rows are found by e-mail address only",
            ));
        }
        let has_columns = |store: &Arc<dyn UserStore>| store.schema().clerk_id && store.schema().is_active;
        let has_columns = has_database || store.as_ref().is_some_and(has_columns);
        if config.deactivate_deleted_users && !(mode == UserMode::Sync && has_columns) {
            return Err(ConfigError::new(
                "deactivate_deleted_users",
                "needs `user_mode` `sync` and a table with columns for the Clerk id and `is_active`",
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
        let timeout = Duration::from_millis(config.timeout_ms.unsigned_abs());
        // Last: the other settings are valid.
        let store = match &config.database {
            Some(url) => Some(open_database(url.expose(), timeout)?),
            None => store,
        };
        let shared = shared_setup::shared_cache(&config, engine, &clock, &listeners)?;
        warn(&config, store.as_deref(), &listeners);
        if let Some(settings) = &handshake {
            settings.warn(&listeners);
        }
        let api = Api::new(
            transport,
            base,
            config.secret_key.clone(),
            config.machine_secret_key.clone(),
            config.jwks_url.clone(),
            clock.clone(),
        );
        let (skew_ms, changes) = (config.clock_skew_ms, Arc::<Changes>::default());
        let inner = Inner {
            settings: Settings {
                rules: ExtractOptions {
                    instance,
                    check_client_uat: config.check_client_uat,
                    allow_bare_token: config.allow_bare_token,
                    require_suffixed_cookie: config.require_suffixed_cookie,
                    ignore_cookies: config.ignore_cookies,
                },
                csrf: config.csrf,
                accepts: config.accepts_token,
                policy: Policy {
                    authorized_parties: config.authorized_parties,
                    accept_missing_azp: config.authorized_parties_missing == AuthorizedPartiesMissing::Accept,
                    audience: config.audience,
                    issuer: config.issuer,
                    clock_skew_ms: skew_ms,
                    treat_pending_as_signed_out: config.treat_pending_as_signed_out,
                    expected_machine_id: config.expected_machine_id.clone(),
                },
                mode,
                link: config.link_by_email,
                machine_tokens_skip_user: config.machine_tokens_skip_user,
                block_deactivated_email: config.block_deactivated_email,
                deactivate_deleted_users: config.deactivate_deleted_users,
                timeout,
                has_database,
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
                shared.clone(),
                changes.clone(),
                u32::try_from(config.clerk_calls_per_s).unwrap_or_default(),
            ),
            sessions: SessionChecks::new(
                capacity,
                config.session_check_ttl_s * 1000,
                !config.treat_pending_as_signed_out,
                invalidations.clone(),
            ),
            verified: VerifiedTokens::default(),
            machine_tokens: MachineTokens::new(
                config.expected_machine_id,
                config.machine_cache_ttl_s * 1000,
                invalidations.clone(),
                shared.clone(),
                changes.clone(),
            ),
            blocked_users: BlockedUsers::new(config.revocation_ttl_s * 1000),
            revocations: Revocations::new(REVOKED_USERS, config.revocation_ttl_s * 1000, skew_ms),
            webhooks: WebhookReceiver::new(signing_keys, config.instance_id),
            handshakes: handshake.map(|settings| Box::new(Handshakes::new(settings))),
            invalidations,
            results,
            shared,
            changes,
        };
        Ok(Client { inner: Arc::new(inner), poller: Arc::default() })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("config", &self.config)
            .field("has_user_store", &self.store.is_some())
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

fn user_mode(config: &Config, has_store: bool) -> Result<UserMode, ConfigError> {
    let mode = config.user_mode.unwrap_or(if has_store { UserMode::Sync } else { UserMode::Claims });
    if mode == UserMode::Sync && !has_store {
        return Err(ConfigError::new(
            "user_mode",
            "`sync` needs a user store; set `database` or the callbacks of a user store",
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
    let limit_listeners = listeners.clone();
    let on_replaced = move |is_present: &dyn Fn(&[u8; 32]) -> bool| {
        results.retain_keys(is_present);
        listeners.emit(Event::JwksRefreshed);
    };
    let on_limited = move |retry_after_ms: u64| {
        limit_listeners.emit(Event::JwksFetchLimited { retry_after_ms });
        limit_listeners.log(Level::Debug, || {
            format!(
                "a token's key is not in the key set, which was fetched for another token just now: if Clerk has rotated its \
                 keys, tokens are rejected until the next fetch may begin, in {retry_after_ms} ms"
            )
        });
    };
    let preloaded = preloaded.map(|set| (set, now_ms));
    let store = JwksStore::new(preloaded, can_fetch, Box::new(on_replaced), Box::new(on_limited));
    Ok(KeySource::Jwks(store.into()))
}

/// Logs settings that are valid and probably not intended.
fn warn(config: &Config, store: Option<&dyn UserStore>, listeners: &EventHandlers) {
    for warning in store.map(UserStore::warnings).unwrap_or_default() {
        listeners.log(Level::Warn, || format!("user store: {warning}"));
    }
    if config.authorized_parties.is_empty() && config.accepts_token.contains(&TokenKind::SessionToken) {
        listeners.log(Level::Warn, || {
            "authorized_parties is empty: session tokens issued to sibling subdomains are accepted".into()
        });
    }
    let is_of = |kind: &str| {
        let starts = |key: &str| key.get(3..).is_some_and(|key| key.starts_with(kind));
        (
            config.secret_key.as_ref().is_some_and(|key| starts(key.expose())),
            config.publishable_key.as_deref().is_some_and(starts),
        )
    };
    if matches!((is_of("live_"), is_of("test_")), ((true, false), (false, true)) | ((false, true), (true, false))) {
        listeners.log(Level::Warn, || {
            "secret_key and publishable_key are of different instances: one is of a production instance (live), the other of a \
             development instance (test)"
                .into()
        });
    }
    for (at, party) in config.authorized_parties.iter().enumerate() {
        let rest = party.split_once("://").map(|(_, rest)| rest);
        if rest.is_none_or(|rest| rest.contains('/') || rest.bytes().any(|b| b.is_ascii_uppercase())) {
            listeners.log(Level::Warn, || {
                format!(
                    "authorized_parties: item {} matches no browser's origin; write https://host without a path",
                    at + 1
                )
            });
        }
    }
}
