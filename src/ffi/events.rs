//! Event, log and clock hooks.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Arc;

use once_cell::unsync::OnceCell;
use smallvec::SmallVec;

use super::hook::{Hook, clerk_destroy_fn};
use super::{CLERK_E_ARGUMENT, CLERK_E_PANIC, clerk_config, clerk_str, exclusive, guard, shared, status};
use crate::clock::{Clock, system_ms};
use crate::events::{Event, EventHandlers, Level};
use crate::token::TokenHash;

/// What happened.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::VariantArray, strum::VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum clerk_event_kind {
    /// A request was signed in. One such event, or one `AUTH_FAILED`, for each request with a credential.
    AUTH_SUCCESS = 1,
    /// A request was not signed in, though something was presented.
    AUTH_FAILED = 2,
    /// A token was not in the cache; comes before its `AUTH_SUCCESS` or `AUTH_FAILED`.
    CACHE_MISS = 3,
    /// A row was made.
    USER_CREATED = 4,
    /// A row was brought up to date.
    USER_UPDATED = 5,
    /// A row that was nobody's was given to a Clerk user because of a verified address.
    USER_LINKED = 6,
    /// A row with the user's address or name belongs to somebody else; it was left alone.
    LINK_CONFLICT = 7,
    /// The key set was fetched.
    JWKS_REFRESHED = 8,
    /// Clerk asks for patience; until then nothing is asked.
    RATE_LIMITED = 9,
    /// Clerk is out of reach; the user as last known was served.
    STALE_USER_SERVED = 10,
    /// A webhook told that a user is no more; the row is the host's to deal with.
    USER_DELETED = 11,
    /// Clerk refuses the secret key: the server is set up wrongly, whoever may still be let in for a while.
    SECRET_KEY_REJECTED = 12,
}

/// Something that happened. Lives only during the hook's call.
pub struct clerk_event {
    kind: clerk_event_kind,
    user_key: Option<Short>,
    clerk_id: Option<Short>,
    reason: i32,
    source: i32,
    retry_after_ms: i64,
    hash: Option<TokenHash>,
    hash_text: OnceCell<Short>,
}

/// A short text with a NUL behind it, without memory of its own for texts of the usual length.
struct Short(SmallVec<[u8; 144]>);

impl Short {
    fn new(text: &str) -> Self {
        let mut bytes = SmallVec::from_slice(text.as_bytes());
        bytes.push(0);
        Short(bytes)
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
            hash: None,
            hash_text: OnceCell::new(),
        };
        let mut user = |kind, user_key: Option<&str>, clerk_id: &str| {
            made.kind = kind;
            made.user_key = user_key.map(Short::new);
            made.clerk_id = Some(Short::new(clerk_id));
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
            Event::RateLimited { retry_after_ms } => {
                made.kind = Kind::RATE_LIMITED;
                made.retry_after_ms = i64::try_from(retry_after_ms).unwrap_or(i64::MAX);
            }
        }
        made
    }
}

/// Told of each event. Runs on the thread of the call, several at once, with no lock held. Must return.
pub type clerk_event_fn = Option<unsafe extern "C" fn(userdata: *mut c_void, event: *const clerk_event)>;
/// Given each log line; `level` is a `clerk_log_level`. Runs as `clerk_event_fn` does. Lines hold no token and no secret.
pub type clerk_log_fn = Option<unsafe extern "C" fn(userdata: *mut c_void, level: i32, message: clerk_str)>;
/// Returns milliseconds since 1970-01-01 UTC. Asked once or twice a call, from any thread. What it calls itself goes by
/// the system's time.
pub type clerk_clock_fn = Option<unsafe extern "C" fn(userdata: *mut c_void) -> i64>;

pub(crate) type EventHook = Hook<unsafe extern "C" fn(*mut c_void, *const clerk_event)>;
pub(crate) type LogHook = Hook<unsafe extern "C" fn(*mut c_void, i32, clerk_str)>;
pub(crate) type ClockHook = Hook<unsafe extern "C" fn(*mut c_void) -> i64>;

/// Has `function` told of events. NULL takes the hook away. See `clerk_destroy_fn` for `destroy`, which may be NULL; it
/// runs also when this call fails or `function` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_event_callback(
    config: *mut clerk_config,
    function: clerk_event_fn,
    userdata: *mut c_void,
    destroy: clerk_destroy_fn,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        let hook = Hook::new(function, userdata, destroy);
        // SAFETY: the header's rules.
        status(unsafe { exclusive(config) }.map(|config| config.event = hook))
    })
}

/// Has `function` given log lines that are as grave as `level` (a `clerk_log_level`) or graver. Otherwise as
/// `clerk_config_set_event_callback`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_log_callback(
    config: *mut clerk_config,
    level: i32,
    function: clerk_log_fn,
    userdata: *mut c_void,
    destroy: clerk_destroy_fn,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        let hook = Hook::new(function, userdata, destroy);
        let Some(level) = Level::from_repr(level) else { return CLERK_E_ARGUMENT };
        // SAFETY: the header's rules.
        status(unsafe { exclusive(config) }.map(|config| config.log = hook.map(|hook| (level, hook))))
    })
}

/// Has the time told by `function` instead of the system; for tests. Otherwise as `clerk_config_set_event_callback`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_clock_callback(
    config: *mut clerk_config,
    function: clerk_clock_fn,
    userdata: *mut c_void,
    destroy: clerk_destroy_fn,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        let hook = Hook::new(function, userdata, destroy);
        // SAFETY: the header's rules.
        status(unsafe { exclusive(config) }.map(|config| config.clock = hook))
    })
}

pub(crate) fn listeners(event: Option<Arc<EventHook>>, log: Option<(Level, Arc<LogHook>)>) -> EventHandlers {
    let mut listeners = EventHandlers::default();
    if let Some(hook) = event {
        listeners.on_event(move |event| {
            let event = clerk_event::new(event);
            // SAFETY: the host's own function; the event lives until it returns.
            unsafe { (hook.function)(hook.userdata(), &event) };
        });
    }
    if let Some((level, hook)) = log {
        listeners.on_log(level, move |level, text| {
            let text = super::strings::Terminated::new(text);
            // SAFETY: the host's own function; the text lives until it returns.
            unsafe { (hook.function)(hook.userdata(), level as i32, text.view()) };
        });
    }
    listeners
}

thread_local! {
    static TELLING_TIME: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn clock(hook: Arc<ClockHook>) -> Clock {
    Clock::from_fn(move || {
        // The hook has called something that asks for the time.
        if TELLING_TIME.replace(true) {
            return system_ms();
        }
        // SAFETY: the host's own function.
        let told = unsafe { (hook.function)(hook.userdata()) };
        TELLING_TIME.set(false);
        told
    })
}

/// What happened: a `clerk_event_kind`; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_get_kind(event: *const clerk_event) -> i32 {
    // SAFETY: the header's rules.
    guard(0, || unsafe { shared(event) }.map_or(0, |event| event.kind as i32))
}

/// The host's key of the user's row; NULL data if there is none. Lives during the hook's call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_user_key(event: *const clerk_event) -> clerk_str {
    // SAFETY: the header's rules.
    guard(clerk_str::NONE, || view(unsafe { shared(event) }, |event| event.user_key.as_ref()))
}

/// The Clerk user; NULL data if there is none. Lives during the hook's call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_clerk_id(event: *const clerk_event) -> clerk_str {
    // SAFETY: the header's rules.
    guard(clerk_str::NONE, || view(unsafe { shared(event) }, |event| event.clerk_id.as_ref()))
}

/// "clerk:auth:" and the SHA-256 of the token in hex; NULL data if there was no token. Lives during the hook's call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_token_hash(event: *const clerk_event) -> clerk_str {
    guard(clerk_str::NONE, || {
        // SAFETY: the header's rules.
        view(unsafe { shared(event) }, |event| {
            let hash = event.hash.as_ref()?;
            Some(event.hash_text.get_or_init(|| Short::new(&hash.to_string())))
        })
    })
}

fn view(event: Result<&clerk_event, i32>, text: impl FnOnce(&clerk_event) -> Option<&Short>) -> clerk_str {
    event.ok().and_then(text).map_or(clerk_str::NONE, Short::view)
}

/// Why nobody was signed in: a `clerk_reason`; 0 for other events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_reason(event: *const clerk_event) -> i32 {
    // SAFETY: the header's rules.
    guard(0, || unsafe { shared(event) }.map_or(0, |event| event.reason))
}

/// Where the answer came from: a `clerk_source`; 0 for other events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_source(event: *const clerk_event) -> i32 {
    // SAFETY: the header's rules.
    guard(0, || unsafe { shared(event) }.map_or(0, |event| event.source))
}

/// For how long Clerk asks for patience, in milliseconds; -1 for other events.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_event_retry_after_ms(event: *const clerk_event) -> i64 {
    // SAFETY: the header's rules.
    guard(-1, || unsafe { shared(event) }.map_or(-1, |event| event.retry_after_ms))
}
