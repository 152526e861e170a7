//! Event, log and clock callbacks.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Arc;

use once_cell::unsync::OnceCell;
use smallvec::SmallVec;

use super::callback::{Callback, clerk_destroy_fn};
use super::{CLERK_E_ARGUMENT, CLERK_E_PANIC, as_mut, as_ref, clerk_config, clerk_str, guard, status};
use crate::clock::{Clock, system_ms};
use crate::events::{Event, EventHandlers, Level};
use crate::token::TokenHash;

/// The kind of an event.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::VariantArray, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum clerk_event_kind {
    /// A request was signed in. Every request with a credential emits one such event or one `AUTH_FAILED`.
    AUTH_SUCCESS = 1,
    /// A request with a credential was not signed in.
    AUTH_FAILED = 2,
    /// A token was not in the cache. Precedes its `AUTH_SUCCESS` or `AUTH_FAILED`.
    CACHE_MISS = 3,
    /// A row was created.
    USER_CREATED = 4,
    /// A row was updated.
    USER_UPDATED = 5,
    /// An existing row without a Clerk user was linked to one by its verified e-mail address.
    USER_LINKED = 6,
    /// A row with the user's e-mail address or username belongs to another user. It was not changed.
    LINK_CONFLICT = 7,
    /// The JWK set was fetched.
    JWKS_REFRESHED = 8,
    /// Clerk rate-limited the library (429). No requests are sent until the wait is over.
    RATE_LIMITED = 9,
    /// Clerk could not be reached. A stale cached user was used.
    STALE_USER_SERVED = 10,
    /// A webhook reported that a user was deleted. The application decides what happens to the row.
    USER_DELETED = 11,
    /// Clerk rejected the secret key. Cached results may still be served for a while.
    SECRET_KEY_REJECTED = 12,
    /// A token's key is not in the key set, which is not fetched again before `clerk_event_retry_after_ms`, because it
    /// was just fetched for another token. After a rotation of Clerk's keys, tokens are rejected until then.
    JWKS_FETCH_LIMITED = 13,
    /// A browser is redirected to Clerk.
    HANDSHAKE_STARTED = 14,
    /// A browser came back from Clerk, or its session was refreshed. The response sets Clerk's cookies.
    HANDSHAKE_RESOLVED = 15,
    /// Clerk's response to a handshake was not accepted or could not be fetched.
    HANDSHAKE_FAILED = 16,
    /// The shared cache cannot be used. Until `SHARED_CACHE_AVAILABLE` the process goes on without it.
    SHARED_CACHE_UNAVAILABLE = 17,
    /// The shared cache can be used again.
    SHARED_CACHE_AVAILABLE = 18,
}

/// An event. Valid only during the callback.
pub struct clerk_event {
    kind: clerk_event_kind,
    user_key: Option<InlineCString>,
    clerk_id: Option<InlineCString>,
    reason: i32,
    source: i32,
    retry_after_ms: i64,
    handshake_source: i32,
    dropped_lines: i64,
    hash: Option<TokenHash>,
    hash_string: OnceCell<InlineCString>,
}

/// A string followed by a NUL. Strings of the usual length need no allocation.
struct InlineCString(SmallVec<[u8; 144]>);

impl InlineCString {
    fn new(string: &str) -> Self {
        let mut bytes = SmallVec::from_slice(string.as_bytes());
        bytes.push(0);
        InlineCString(bytes)
    }

    fn view(&self) -> clerk_str {
        clerk_str { data: self.0.as_ptr().cast(), len: self.0.len() - 1 }
    }
}

impl clerk_event {
    fn new(event: &Event<'_>) -> Self {
        use clerk_event_kind as Kind;
        let mut made = clerk_event {
            kind: Kind::CACHE_MISS,
            user_key: None,
            clerk_id: None,
            reason: 0,
            source: 0,
            retry_after_ms: -1,
            handshake_source: 0,
            dropped_lines: 0,
            hash: None,
            hash_string: OnceCell::new(),
        };
        let mut user = |kind, user_key: Option<&str>, clerk_id: &str| {
            made.kind = kind;
            made.user_key = user_key.map(InlineCString::new);
            made.clerk_id = Some(InlineCString::new(clerk_id));
        };
        match *event {
            Event::AuthSuccess { user_key, clerk_id, source, token_hash } => {
                user(Kind::AUTH_SUCCESS, user_key, clerk_id);
                made.source = source as i32;
                made.hash = Some(token_hash);
            }
            Event::AuthFailed { reason, token_hash } => {
                made.kind = Kind::AUTH_FAILED;
                made.reason = reason as i32;
                made.hash = token_hash;
            }
            Event::CacheMiss { token_hash } => made.hash = Some(token_hash),
            Event::UserCreated { user_key, clerk_id } => user(Kind::USER_CREATED, Some(user_key), clerk_id),
            Event::UserUpdated { user_key, clerk_id } => user(Kind::USER_UPDATED, Some(user_key), clerk_id),
            Event::UserLinked { user_key, clerk_id } => user(Kind::USER_LINKED, Some(user_key), clerk_id),
            Event::LinkConflict { clerk_id } => user(Kind::LINK_CONFLICT, None, clerk_id),
            Event::StaleUserServed { clerk_id } => user(Kind::STALE_USER_SERVED, None, clerk_id),
            Event::UserDeleted { clerk_id } => user(Kind::USER_DELETED, None, clerk_id),
            Event::JwksRefreshed => made.kind = Kind::JWKS_REFRESHED,
            Event::SecretKeyRejected => made.kind = Kind::SECRET_KEY_REJECTED,
            Event::SharedCacheUnavailable => made.kind = Kind::SHARED_CACHE_UNAVAILABLE,
            Event::SharedCacheAvailable => made.kind = Kind::SHARED_CACHE_AVAILABLE,
            Event::RateLimited { retry_after_ms } | Event::JwksFetchLimited { retry_after_ms } => {
                let is_by_clerk = matches!(event, Event::RateLimited { .. });
                made.kind = if is_by_clerk { Kind::RATE_LIMITED } else { Kind::JWKS_FETCH_LIMITED };
                made.retry_after_ms = i64::try_from(retry_after_ms).unwrap_or(i64::MAX);
            }
            Event::HandshakeStarted { reason } => {
                made.kind = Kind::HANDSHAKE_STARTED;
                made.reason = reason as i32;
            }
            Event::HandshakeResolved { source, dropped_lines } => {
                made.kind = Kind::HANDSHAKE_RESOLVED;
                made.handshake_source = source as i32;
                made.dropped_lines = i64::try_from(dropped_lines).unwrap_or(i64::MAX);
            }
            Event::HandshakeFailed { reason } => {
                made.kind = Kind::HANDSHAKE_FAILED;
                made.reason = reason as i32;
            }
        }
        made
    }
}

/// Called for every event.
///
/// Runs on the thread of the call that caused the event, several at once, with no lock held.
pub type clerk_event_fn = Option<unsafe extern "C" fn(userdata: *mut c_void, event: *const clerk_event)>;
/// Called for every log line. `level` is a `clerk_log_level`.
///
/// `message` is valid only during the callback and contains neither tokens nor secrets. Runs as `clerk_event_fn` does.
pub type clerk_log_fn = Option<unsafe extern "C" fn(userdata: *mut c_void, level: i32, message: clerk_str)>;
/// Returns the time in milliseconds since 1970-01-01 UTC.
///
/// Called once or twice per library call, from any thread. Library calls inside the callback use the system
/// time.
pub type clerk_clock_fn = Option<unsafe extern "C" fn(userdata: *mut c_void) -> i64>;

pub(crate) type EventCallback = Callback<unsafe extern "C" fn(*mut c_void, *const clerk_event)>;
pub(crate) type LogCallback = Callback<unsafe extern "C" fn(*mut c_void, i32, clerk_str)>;
pub(crate) type ClockCallback = Callback<unsafe extern "C" fn(*mut c_void) -> i64>;

/// Sets the event callback. NULL removes it.
///
/// The config takes ownership of `userdata`, also when the call fails: `destroy`, which may be NULL, frees it.
///
/// Returns `CLERK_OK` or a negative status. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_event_callback(
    config: *mut clerk_config,
    function: clerk_event_fn,
    userdata: *mut c_void,
    destroy: clerk_destroy_fn,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        let callback = Callback::new(function, userdata, destroy);
        // SAFETY: the header's contract.
        status(unsafe { as_mut(config) }.map(|config| config.event = callback))
    })
}

/// Sets the log callback for lines at `level`, a `clerk_log_level`, or above. NULL removes it.
///
/// Without one, warnings and errors are written to standard error, each once a minute at most. The environment variable
/// `CLERK_LOG` (`off`, `error`, `warn`, `info`, `debug`) selects the level; every line is written then. Another value is
/// refused by `clerk_client_new` with `CLERK_E_CONFIG`.
///
/// Ownership of `userdata` is as for `clerk_config_set_event_callback`.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` for an unknown level. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_log_callback(
    config: *mut clerk_config,
    level: i32,
    function: clerk_log_fn,
    userdata: *mut c_void,
    destroy: clerk_destroy_fn,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        let callback = Callback::new(function, userdata, destroy);
        let Some(level) = Level::from_repr(level) else { return CLERK_E_ARGUMENT };
        // SAFETY: the header's contract.
        status(unsafe { as_mut(config) }.map(|config| config.log = callback.map(|callback| (level, callback))))
    })
}

/// Sets the clock, for tests. NULL restores the system time.
///
/// Ownership of `userdata` is as for `clerk_config_set_event_callback`.
///
/// Returns `CLERK_OK` or a negative status. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_clock_callback(
    config: *mut clerk_config,
    function: clerk_clock_fn,
    userdata: *mut c_void,
    destroy: clerk_destroy_fn,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        let callback = Callback::new(function, userdata, destroy);
        // SAFETY: the header's contract.
        status(unsafe { as_mut(config) }.map(|config| config.clock = callback))
    })
}

pub(crate) fn handlers(event: Option<Arc<EventCallback>>, log: Option<(Level, Arc<LogCallback>)>) -> EventHandlers {
    let mut handlers = EventHandlers::default();
    if let Some(callback) = event {
        handlers.on_event(move |event| {
            let event = clerk_event::new(event);
            // SAFETY: the application's own function; the event lives until it returns.
            unsafe { (callback.function)(callback.userdata(), &event) };
        });
    }
    if let Some((level, callback)) = log {
        handlers.on_log(level, move |level, message| {
            let message = super::strings::CStringBuf::new(message);
            // SAFETY: the application's own function; the message lives until it returns.
            unsafe { (callback.function)(callback.userdata(), level as i32, message.view()) };
        });
    }
    handlers
}

thread_local! {
    static IN_CLOCK_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn clock(callback: Arc<ClockCallback>) -> Clock {
    Clock::from_fn(move || {
        // The callback called a function that needs the time.
        if IN_CLOCK_CALLBACK.replace(true) {
            return system_ms();
        }
        // SAFETY: the application's own function.
        let now = unsafe { (callback.function)(callback.userdata()) };
        IN_CLOCK_CALLBACK.set(false);
        now
    })
}

/// Returns the kind of the event, a `clerk_event_kind`; 0 for NULL. Any thread, during the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_get_kind(event: *const clerk_event) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(event) }.map_or(0, |event| event.kind as i32))
}

/// Returns the application's key of the user's row; NULL data if there is none.
///
/// The string lives as long as the event. Any thread, during the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_user_key(event: *const clerk_event) -> clerk_str {
    // SAFETY: the header's contract.
    guard(clerk_str::NONE, || view(unsafe { as_ref(event) }, |event| event.user_key.as_ref()))
}

/// Returns the id of the Clerk user; NULL data if there is none.
///
/// The string lives as long as the event. Any thread, during the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_clerk_id(event: *const clerk_event) -> clerk_str {
    // SAFETY: the header's contract.
    guard(clerk_str::NONE, || view(unsafe { as_ref(event) }, |event| event.clerk_id.as_ref()))
}

/// Returns "clerk:auth:" and the token's SHA-256 in hexadecimal; NULL data if there was no token.
///
/// The string lives as long as the event. One thread at a time, during the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_token_hash(event: *const clerk_event) -> clerk_str {
    guard(clerk_str::NONE, || {
        // SAFETY: the header's contract.
        view(unsafe { as_ref(event) }, |event| {
            let hash = event.hash.as_ref()?;
            Some(event.hash_string.get_or_init(|| InlineCString::new(&hash.to_string())))
        })
    })
}

fn view(event: Result<&clerk_event, i32>, string: impl FnOnce(&clerk_event) -> Option<&InlineCString>) -> clerk_str {
    event.ok().and_then(string).map_or(clerk_str::NONE, InlineCString::view)
}

/// Returns why the request was not signed in, or a handshake was started or failed, a `clerk_reason`; 0 for other kinds.
/// Any thread, during the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_reason(event: *const clerk_event) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(event) }.map_or(0, |event| event.reason))
}

/// Returns where the result came from, a `clerk_source`; 0 for other kinds. Any thread, during the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_source(event: *const clerk_event) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(event) }.map_or(0, |event| event.source))
}

/// Returns the time to wait, in milliseconds, of `RATE_LIMITED` and `JWKS_FETCH_LIMITED`; -1 for other kinds. Any
/// thread, during the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_retry_after_ms(event: *const clerk_event) -> i64 {
    // SAFETY: the header's contract.
    guard(-1, || unsafe { as_ref(event) }.map_or(-1, |event| event.retry_after_ms))
}

/// Returns where Clerk's response to a handshake came from, a `clerk_handshake_source`; 0 for other kinds. Any thread,
/// during the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_handshake_source(event: *const clerk_event) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(event) }.map_or(0, |event| event.handshake_source))
}

/// Returns how many `Set-Cookie` lines of Clerk's response to a handshake were not passed on, because they are malformed
/// or not for Clerk's cookies; 0 for other kinds. Any thread, during the callback.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_dropped_lines(event: *const clerk_event) -> i64 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(event) }.map_or(0, |event| event.dropped_lines))
}
