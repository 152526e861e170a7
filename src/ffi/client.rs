//! `clerk_client` and its verbs.

use std::cell::Cell;
use std::sync::Arc;

use super::user_store::{HookStore, StoreChoice};
use super::{
    CLERK_E_API, CLERK_E_FORKED, CLERK_E_NULL, CLERK_E_PANIC, CLERK_E_REENTRANT, CLERK_E_STRUCT_SIZE, CLERK_OK,
    CLERK_WOULD_BLOCK, clerk_config, clerk_error, clerk_request, clerk_result, clerk_str, events, guard, request,
    result, shared, strings, take_panic_place,
};
use crate::api::ErrorKind;
use crate::client::{AuthResult, Cause, Client, ClientBuilder};
use crate::users::UserStore;

/// A client: shared by all threads, every call at once. Counted: each `clerk_client_new` and `clerk_client_retain` needs
/// one `clerk_client_free`.
pub struct clerk_client {
    client: Client,
    /// Whether a call that asks nobody can run a hook all the same.
    has_hooks: bool,
}

impl clerk_client {
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

thread_local! {
    /// The clients whose calls this thread is inside of, outermost first, then zeros. Without a destructor: a host's
    /// clean-up at the end of a thread may still call.
    static INSIDE: Cell<[usize; 8]> = const { Cell::new([0; 8]) };
}

/// Marks this thread as being inside a call of a client, for as long as it lives.
pub(crate) struct Inside;

impl Inside {
    pub fn enter(client: &Arc<clerk_client>) -> Result<Self, i32> {
        let id = Arc::as_ptr(client) as usize;
        let mut inside = INSIDE.get();
        let depth = inside.iter().position(|other| *other == 0 || *other == id);
        match depth.and_then(|depth| inside.get_mut(depth)) {
            Some(free) if *free == 0 => *free = id,
            // Inside of it already, or of more clients than anybody nests.
            _ => return Err(CLERK_E_REENTRANT),
        }
        INSIDE.set(inside);
        Ok(Inside)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut inside = INSIDE.get();
        if let Some(innermost) = inside.iter_mut().rfind(|id| **id != 0) {
            *innermost = 0;
        }
        INSIDE.set(inside);
    }
}

/// A reference of this call's own: a hook may free the host's while the call runs.
///
/// # Safety
/// `client` is NULL or was made by `clerk_client_new` and is not freed yet.
pub(crate) unsafe fn hold(client: *const clerk_client) -> Result<Arc<clerk_client>, i32> {
    if client.is_null() {
        return Err(CLERK_E_NULL);
    }
    // SAFETY: it came from `Arc::into_raw` and is alive.
    unsafe {
        Arc::increment_strong_count(client);
        Ok(Arc::from_raw(client))
    }
}

/// Runs a verb that may call hooks: never from inside a hook of the same client; a panic is told to the log.
///
/// # Safety
/// As for [`hold`].
pub(crate) unsafe fn verb(client: *const clerk_client, body: impl FnOnce(&Arc<clerk_client>) -> i32) -> i32 {
    // SAFETY: handed on.
    let held = match guard(Err(CLERK_E_PANIC), || unsafe { hold(client) }) {
        Ok(held) => held,
        Err(status) => return status,
    };
    let status = guard(CLERK_E_PANIC, || match Inside::enter(&held) {
        Ok(_inside) => body(&held),
        Err(status) => status,
    });
    if status == CLERK_E_PANIC {
        let place = take_panic_place().unwrap_or_default();
        guard((), || held.client.log_panic(&place));
    }
    // The last reference may run hooks' destructors: guarded, too.
    guard((), || drop(held));
    status
}

/// Makes a client from a copy of the config. Everything that is wrong with the settings is found here: then `*client` is
/// NULL and `*error`, if wanted, names the setting and says what to do. Connects to nothing yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_new(
    config: *const clerk_config,
    client: *mut *mut clerk_client,
    error: *mut *mut clerk_error,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's rules.
        unsafe {
            strings::clear(client);
            strings::clear(error);
        }
        // SAFETY: the header's rules.
        let config = match unsafe { shared(config) } {
            Ok(config) if !client.is_null() => config,
            _ => return CLERK_E_NULL,
        };
        let store: Option<Arc<dyn UserStore>> = match &config.store {
            StoreChoice::None => None,
            StoreChoice::Hook(hook) => Some(Arc::new(HookStore { hook: hook.clone(), schema: config.schema })),
            StoreChoice::Ready(store) => Some(store.clone()),
        };
        let has_hooks = config.event.is_some() || config.log.is_some() || config.clock.is_some();
        let builder = ClientBuilder {
            config: config.config.clone(),
            store,
            listeners: events::listeners(config.event.clone(), config.log.clone()),
            clock: config.clock.clone().map(events::clock),
            transport: None,
        };
        match builder.build() {
            Ok(made) => {
                let made = Arc::into_raw(Arc::new(clerk_client { client: made, has_hooks }));
                // SAFETY: not NULL, see above; the caller vouches for the rest.
                unsafe { client.write(made.cast_mut()) };
                CLERK_OK
            }
            // SAFETY: the header's rules.
            Err(why) => unsafe { clerk_error::from(&why).give(error) },
        }
    })
}

/// One more reference to the same client; returns it. NULL for NULL. May be called from a hook.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_retain(client: *const clerk_client) -> *mut clerk_client {
    guard(std::ptr::null_mut(), || {
        if !client.is_null() {
            // SAFETY: it came from `Arc::into_raw` and is alive.
            unsafe { Arc::increment_strong_count(client) };
        }
        client.cast_mut()
    })
}

/// Gives up one reference. NULL is fine. Calls that are under way end as they would have. May be called from a hook.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_free(client: *mut clerk_client) {
    guard((), || {
        if !client.is_null() {
            // SAFETY: it came from `Arc::into_raw`; this reference is given up once.
            drop(unsafe { Arc::from_raw(client) });
        }
    });
}

/// Answers from memory: never waits, asks neither Clerk nor the user store; event loops may call it. A token is verified
/// here, too, if its key is in memory and nothing has to be found out about the user. `CLERK_WOULD_BLOCK`, without a
/// result: ask `clerk_authenticate` or `clerk_authenticate_begin`. Otherwise as `clerk_authenticate`. May be called from
/// a hook.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_authenticate_cached(
    client: *const clerk_client,
    request: *const clerk_request,
    result: *mut *mut clerk_result,
) -> i32 {
    let answer = guard(Err(CLERK_E_PANIC), || {
        // SAFETY: the header's rules.
        unsafe {
            strings::clear(result);
            if result.is_null() {
                return Err(CLERK_E_NULL);
            }
            let client = shared(client)?;
            // Without hooks nothing can run that would free the client meanwhile, or call back into it.
            let held = client.has_hooks.then(|| hold(client)).transpose()?;
            // Whoever is inside already may call this, and stays inside.
            let _inside = held.as_ref().and_then(|held| Inside::enter(held).ok());
            client.client.authenticate_cached(&request::read(request)?).ok_or(CLERK_WOULD_BLOCK)
        }
    });
    match answer {
        // SAFETY: not NULL, see above.
        Ok(answer) => unsafe { result::give(answer, result) },
        Err(status) => status,
    }
}

/// Answers, whatever it takes: fetches keys and users, within `timeout_ms` in all; asks the user store on this thread.
/// Returns `CLERK_OK` (signed in), `CLERK_SIGNED_OUT`, `CLERK_NO_CREDENTIALS` or `CLERK_UNAVAILABLE` with a result, or a
/// negative status without one. `*error`, if wanted, says what stands behind `CLERK_UNAVAILABLE` and negative statuses.
/// `result` must not be NULL. `CLERK_E_REENTRANT` from inside a hook of the same client.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_authenticate(
    client: *const clerk_client,
    request: *const clerk_request,
    result: *mut *mut clerk_result,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        finish(client, result, error, |client| {
            let request = request::read(request)?;
            Ok(client.client.authenticate(&request))
        })
    }
}

/// Verifies one JWT and nothing else: no user, no cache, no event; keys may be fetched. Otherwise as `clerk_authenticate`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_verify_token(
    client: *const clerk_client,
    token: clerk_str,
    result: *mut *mut clerk_result,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        finish(client, result, error, |client| {
            // Bytes that are no text are no token either.
            let token = std::str::from_utf8(token.bytes()?).unwrap_or_default();
            Ok(client.client.verify_token(token))
        })
    }
}

/// # Safety
/// As for the exported functions.
pub(crate) unsafe fn finish(
    client: *const clerk_client,
    result: *mut *mut clerk_result,
    error: *mut *mut clerk_error,
    body: impl FnOnce(&clerk_client) -> Result<Arc<AuthResult>, i32>,
) -> i32 {
    // SAFETY: handed on.
    unsafe {
        strings::clear(result);
        strings::clear(error);
        verb(client, |client| {
            if result.is_null() {
                return CLERK_E_NULL;
            }
            match body(client) {
                Ok(answer) => give(answer, result, error),
                Err(status) => status,
            }
        })
    }
}

/// Hands out an answer, and an error if there is one to tell of.
///
/// # Safety
/// `result` is writable; `error` is NULL or writable.
pub(crate) unsafe fn give(
    answer: Arc<AuthResult>,
    result: *mut *mut clerk_result,
    error: *mut *mut clerk_error,
) -> i32 {
    let is_forked = matches!(answer.cause.as_deref(), Some(Cause::Api(e)) if e.kind == ErrorKind::Forked);
    let status = if is_forked { CLERK_E_FORKED } else { result::status_of(&answer) };
    if is_forked || status == super::CLERK_UNAVAILABLE {
        // SAFETY: handed on.
        unsafe { clerk_error::cause(status, answer.cause.as_deref()).give(error) };
    }
    if is_forked {
        return status;
    }
    // SAFETY: handed on.
    unsafe { result::give(answer, result) }
}

/// Fetches the key set now, so that the first request need not wait. In a child after `fork` it must be called before
/// anything else that may reach Clerk. `CLERK_OK`, or `CLERK_E_API` with `*error`, if wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_warm_up(client: *const clerk_client, error: *mut *mut clerk_error) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        strings::clear(error);
        verb(client, |client| match client.client.warm_up() {
            Ok(()) => CLERK_OK,
            Err(refusal) => clerk_error::cause(CLERK_E_API, refusal.cause.as_deref()).give(error),
        })
    }
}

/// # Safety
/// As for [`hold`].
unsafe fn accessor(client: *const clerk_client, body: impl FnOnce(&Client) -> Result<(), i32>) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: handed on.
        let held = unsafe { hold(client) };
        strings::status(held.and_then(|held| {
            // The clock's hook is asked here, too. Whoever is inside already may call this, and stays inside.
            let _inside = Inside::enter(&held).ok();
            body(&held.client)
        }))
    })
}

/// Forgets what is remembered of one token: the next request with it is verified anew. May be called from a hook.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_invalidate_token(client: *const clerk_client, token: clerk_str) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        accessor(client, |client| {
            client.invalidate_token(token.text()?);
            Ok(())
        })
    }
}

/// Forgets all tokens of a Clerk user, and the user: the next request asks Clerk. May be called from a hook.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_invalidate_user(client: *const clerk_client, clerk_id: clerk_str) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        accessor(client, |client| {
            client.invalidate_user(clerk_id.text()?);
            Ok(())
        })
    }
}

/// Forgets all tokens of a session. May be called from a hook.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_invalidate_session(client: *const clerk_client, session_id: clerk_str) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        accessor(client, |client| {
            client.invalidate_session(session_id.text()?);
            Ok(())
        })
    }
}

/// Forgets everything but the key set. May be called from a hook.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_invalidate_all(client: *const clerk_client) -> i32 {
    let body = |client: &Client| {
        client.invalidate_all();
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { accessor(client, body) }
}

/// Breaks off calls to Clerk that are under way; those who wait for them get `CLERK_UNAVAILABLE`. Call it before the
/// process ends. The client stays usable: later calls connect anew. May be called from a hook.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_shutdown(client: *const clerk_client) -> i32 {
    let body = |client: &Client| {
        client.shutdown();
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { accessor(client, body) }
}

/// What a client has done since it was made. Begin with `clerk_stats s = CLERK_STATS_INIT;`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct clerk_stats {
    /// `sizeof(clerk_stats)`, set by `CLERK_STATS_INIT`.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
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

/// Fills `*stats` as far as its `struct_size` goes. May be called from a hook.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_stats(client: *const clerk_client, stats: *mut clerk_stats) -> i32 {
    let body = |client: &Client| {
        if stats.is_null() {
            return Err(CLERK_E_NULL);
        }
        // SAFETY: every version of the structure begins with its size.
        let given = unsafe { stats.cast::<u32>().read() };
        let known = size_of::<clerk_stats>();
        if !(16..=4096).contains(&given) {
            return Err(CLERK_E_STRUCT_SIZE);
        }
        let now = client.stats();
        let filled = clerk_stats {
            struct_size: given,
            reserved: 0,
            cache_hits: now.cache_hits,
            cache_misses: now.cache_misses,
            signed_in: now.signed_in,
            signed_out: now.signed_out,
            unavailable: now.unavailable,
            jwks_fetches: now.jwks_fetches,
            user_fetches: now.user_fetches,
            cached_tokens: now.cached_tokens,
            cached_users: now.cached_users,
            jwks_age_ms: now.jwks_age_ms,
        };
        // SAFETY: the caller vouches for `given` bytes; ours are `known`.
        unsafe {
            std::ptr::copy_nonoverlapping((&raw const filled).cast::<u8>(), stats.cast(), known.min(given as usize));
        }
        Ok(())
    };
    // SAFETY: the header's rules.
    unsafe { accessor(client, body) }
}
