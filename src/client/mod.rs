//! The client: owns every part and answers one question, *who is calling?*

mod auth_context;
mod auth_result;
mod builder;

mod authenticate;
mod pending;
mod revocations;
mod users;
mod verify;
mod webhooks;

use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::single_flight::SingleFlight;
pub use auth_result::{AuthError, AuthResult, Cause, Outcome};
pub use authenticate::AuthProgress;
pub use builder::ClientBuilder;
pub use pending::{NextAction, PendingAuth};
use revocations::Revoked;
use users::CachedUser;
use webhooks::PerSubjectLimit;
pub use webhooks::{PendingWebhook, WebhookOutcome, WebhookProgress};

use crate::api::{Api, ApiError, MachineToken, SessionState};
use crate::cache::{Cache, IdentityState};
use crate::clock::Clock;
use crate::config::{LinkByEmail, UserMode};
use crate::events::{Event, EventHandlers, Source};
use crate::identity::Attribute;
use crate::jwt::Policy;
use crate::keys::{Fetch, KeySource, Miss};
use crate::reason::Reason;
use crate::request::ExtractOptions;
use crate::token::{TokenHash, TokenKind};
use crate::users::{SyncEvent, UserStore};
use crate::webhooks::SigningKeys;

/// Shared by all threads; clones are handles to the same client.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

type Results = Cache<TokenHash, Arc<CachedAuth>, IdentityState>;

struct Inner {
    rules: ExtractOptions,
    accepts: Vec<TokenKind>,
    policy: Policy,
    mode: UserMode,
    link: LinkByEmail,
    timeout: Duration,
    cache_ttl_ms: i64,
    user_ttl_ms: i64,
    stale_user_ms: i64,
    recheck_ms: i64,
    machine_cache_ttl_ms: i64,
    session_check_ttl_ms: i64,
    keys: KeySource,
    api: Api,
    store: Option<Arc<dyn UserStore>>,
    listeners: Arc<EventHandlers>,
    clock: Clock,
    results: Arc<Results>,
    known: Cache<Box<str>, Arc<CachedUser>, RandomState>,
    absent: Cache<Box<str>, (), RandomState>,
    sessions: Cache<Box<str>, bool, RandomState>,
    revoked: Revoked,
    fairness: PerSubjectLimit,
    webhook_secrets: SigningKeys,
    instance_id: Option<String>,
    /// Ids of webhook deliveries that were taken.
    deliveries: Cache<Box<str>, (), RandomState>,
    /// The `updated_at` of users as webhooks told it last.
    told: Cache<Box<str>, i64, RandomState>,
    flights: SingleFlight<Box<str>, Result<Arc<CachedUser>, ApiError>>,
    session_flights: SingleFlight<Box<str>, Result<SessionState, ApiError>>,
    machine_flights: SingleFlight<TokenHash, Result<Option<MachineToken>, ApiError>>,
    /// Moves on with each invalidation: what was begun before is not remembered after.
    epoch: AtomicU64,
    counters: Counters,
}

/// A verified token, as it is remembered.
struct CachedAuth {
    answer: Arc<AuthResult>,
    /// Before this moment of the wall clock the token is not good yet.
    begins_at_ms: i64,
    /// From this moment of the wall clock on the token is over.
    ends_at_ms: i64,
    /// Which key verified it.
    key_id: Option<[u8; 32]>,
    /// When the store last said that the row stands and is active.
    checked_ms: std::sync::atomic::AtomicI64,
}

impl CachedAuth {
    fn get(&self, attribute: Attribute) -> Option<&str> {
        self.answer.identity().and_then(|identity| identity.get(attribute))
    }
}

#[derive(Default)]
struct Counters {
    signed_in: AtomicU64,
    signed_out: AtomicU64,
    unavailable: AtomicU64,
    cache_misses: AtomicU64,
    jwks_fetches: AtomicU64,
    user_fetches: AtomicU64,
}

/// What a client has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Answers from the cache.
    pub cache_hits: u64,
    /// Tokens that had to be verified.
    pub cache_misses: u64,
    /// Requests signed in after verification.
    pub signed_in: u64,
    /// Requests refused.
    pub signed_out: u64,
    /// Requests that nobody could judge.
    pub unavailable: u64,
    /// Times the key set was asked for.
    pub jwks_fetches: u64,
    /// Times a user was asked for.
    pub user_fetches: u64,
    /// Tokens remembered now.
    pub cached_tokens: u64,
    /// Users remembered now.
    pub cached_users: u64,
    /// Age of the key set in milliseconds, -1 without one.
    pub jwks_age_ms: i64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Client {
    /// How to make one.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Fetches what the first request would have to wait for. Call it at start, and in a child after `fork`.
    pub fn warm_up(&self) -> Result<(), AuthError> {
        let inner = &*self.inner;
        let is_new_child = inner.api.reset_after_fork();
        if is_new_child {
            inner.flights.abandon();
            inner.session_flights.abandon();
            inner.machine_flights.abandon();
        }
        let KeySource::Jwks(store) = &inner.keys else { return Ok(()) };
        if is_new_child {
            store.abandon();
        }
        let deadline = Instant::now() + inner.timeout;
        let cause = parking_lot::Mutex::new(None);
        let jwks = || inner.fetch_jwks(deadline, &cause);
        store.warm_up(inner.clock.now().mono_ms, &Fetch::new(&jwks, deadline)).map_err(|miss| {
            let (reason, retry_after_ms) = match miss {
                Miss::Unavailable(reason, retry_after_ms) => (reason, retry_after_ms),
                Miss::Refused(reason) => (reason, None),
                Miss::WouldBlock => (Reason::JwkFailedToLoad, None),
            };
            AuthError { reason, retry_after_ms, cause: cause.lock().take() }
        })
    }

    /// Forgets what is known of one token.
    pub fn invalidate_token(&self, token: &str) {
        self.inner.epoch.fetch_add(1, Ordering::SeqCst);
        self.inner.results.remove(&TokenHash::of(token.as_bytes()));
    }

    /// Forgets all tokens of a Clerk user, and the user.
    pub fn invalidate_user(&self, clerk_id: &str) {
        self.inner.forget_user(clerk_id);
    }

    /// Forgets all tokens of a session.
    pub fn invalidate_session(&self, session_id: &str) {
        self.inner.forget_where(Attribute::SessionId, session_id);
        self.inner.sessions.remove(&session_id.into());
    }

    /// Forgets everything but the key set.
    pub fn invalidate_all(&self) {
        self.inner.epoch.fetch_add(1, Ordering::SeqCst);
        self.inner.results.clear();
        self.inner.known.clear();
        self.inner.absent.clear();
        self.inner.sessions.clear();
    }

    /// Tells the log of a fault of this library.
    pub(crate) fn report_fault(&self, place: &str) {
        self.inner.listeners.log(crate::events::Level::Error, || format!("internal error at {place}"));
    }

    /// Breaks off calls that are under way; later ones connect anew.
    pub fn shutdown(&self) {
        self.inner.api.shutdown();
    }

    /// What has happened so far.
    pub fn stats(&self) -> Stats {
        let inner = &*self.inner;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            cache_hits: inner.results.hits(),
            cache_misses: read(&inner.counters.cache_misses),
            signed_in: read(&inner.counters.signed_in),
            signed_out: read(&inner.counters.signed_out),
            unavailable: read(&inner.counters.unavailable),
            jwks_fetches: read(&inner.counters.jwks_fetches),
            user_fetches: read(&inner.counters.user_fetches),
            cached_tokens: inner.results.len() as u64,
            cached_users: inner.known.len() as u64,
            jwks_age_ms: match &inner.keys {
                KeySource::Jwks(store) => store.age_ms(inner.clock.now().mono_ms).unwrap_or(-1),
                _ => -1,
            },
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({:?}, {:?})", self.inner.mode, self.inner.accepts)
    }
}

impl Inner {
    /// Forgets all tokens whose identity has this text.
    fn forget_where(&self, text: Attribute, value: &str) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.results.retain(|kept| kept.get(text) != Some(value));
    }

    fn forget_user(&self, clerk_id: &str) {
        self.forget_where(Attribute::Subject, clerk_id);
        self.known.remove(&clerk_id.into());
        self.absent.remove(&clerk_id.into());
    }

    fn tell_notes(&self, notes: &[SyncEvent], user_key: &str, clerk_id: &str) {
        for note in notes {
            self.listeners.tell(match note {
                SyncEvent::Created => Event::UserCreated { user_key, clerk_id },
                SyncEvent::Updated => Event::UserUpdated { user_key, clerk_id },
                SyncEvent::Linked => Event::UserLinked { user_key, clerk_id },
                SyncEvent::LinkConflict => Event::LinkConflict { clerk_id },
            });
        }
    }

    /// Settles how a request ended: one event, one count.
    fn conclude(&self, token_hash: Option<TokenHash>, answer: Arc<AuthResult>) -> Arc<AuthResult> {
        match (answer.outcome, token_hash) {
            (Outcome::SignedIn { source }, Some(token_hash)) => {
                // Hits are counted by the cache itself: one shared counter less to fight over.
                if source == Source::Verified {
                    count(&self.counters.signed_in);
                }
                if let Some(identity) = answer.identity() {
                    let user_key = identity.get(Attribute::UserKey);
                    let clerk_id = identity.subject();
                    self.listeners.tell(Event::AuthSuccess { user_key, clerk_id, source, token_hash });
                }
            }
            (Outcome::SignedIn { .. } | Outcome::NoCredentials { .. }, _) => {}
            (Outcome::SignedOut { reason }, _) => {
                count(&self.counters.signed_out);
                self.listeners.tell(Event::AuthFailed { reason, token_hash });
            }
            (Outcome::Unavailable { reason, .. }, _) => {
                count(&self.counters.unavailable);
                self.listeners.tell(Event::AuthFailed { reason, token_hash });
            }
        }
        answer
    }
}
