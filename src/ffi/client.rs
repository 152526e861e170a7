//! `clerk_client`: lifetime, re-entrancy, invalidation.

use std::cell::Cell;
use std::ffi::c_char;
use std::sync::Arc;
use std::time::Duration;

use super::user_store::{CallbackStore, StoreChoice};
use super::{
    CLERK_E_API, CLERK_E_ARGUMENT, CLERK_E_NULL, CLERK_E_PANIC, CLERK_E_REENTRANT, CLERK_E_STATE, CLERK_OK,
    CLERK_UNAVAILABLE, as_ref, clerk_config, clerk_error, clerk_str, conclude, events, guard, report, strings,
    take_panic_location,
};
use crate::client::{Client, ClientBuilder};
use crate::users::UserStore;

/// The longest wait of one call: a day.
const MAX_POLL_MS: u64 = 24 * 60 * 60 * 1000;

/// A client: keys, caches and connections. Any number of threads may use it at once. Reference-counted: every
/// `clerk_client_new` and `clerk_client_retain` needs one `clerk_client_free`.
pub struct clerk_client {
    client: Client,
    /// Whether a call without I/O can run a callback all the same.
    pub(crate) has_callbacks: bool,
    /// Whether any call can run a callback.
    calls_back: bool,
}

impl clerk_client {
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

thread_local! {
    /// The clients whose calls are in progress on this thread, outermost first, then zeros. Without a destructor: an
    /// application's cleanup at the end of a thread may still call.
    static IN_PROGRESS: Cell<[usize; 8]> = const { Cell::new([0; 8]) };
}

/// Marks a client's call as being in progress on this thread, for as long as it lives.
pub(crate) struct ReentrancyGuard;

impl ReentrancyGuard {
    pub fn enter(client: &Arc<clerk_client>) -> Result<Self, i32> {
        let id = Arc::as_ptr(client) as usize;
        let mut clients = IN_PROGRESS.get();
        let depth = clients.iter().position(|other| *other == 0 || *other == id);
        match depth.and_then(|depth| clients.get_mut(depth)) {
            Some(free) if *free == 0 => *free = id,
            // A call of this client, or of too many others, is in progress already.
            _ => return Err(CLERK_E_REENTRANT),
        }
        IN_PROGRESS.set(clients);
        Ok(ReentrancyGuard)
    }
}

impl Drop for ReentrancyGuard {
    fn drop(&mut self) {
        let mut clients = IN_PROGRESS.get();
        if let Some(innermost) = clients.iter_mut().rfind(|id| **id != 0) {
            *innermost = 0;
        }
        IN_PROGRESS.set(clients);
    }
}

/// A reference for the duration of a call: a callback may free the application's meanwhile.
///
/// # Safety
/// `client` is NULL or was made by `clerk_client_new` and is not freed yet.
pub(crate) unsafe fn retain(client: *const clerk_client) -> Result<Arc<clerk_client>, i32> {
    if client.is_null() {
        return Err(CLERK_E_NULL);
    }
    // SAFETY: it came from `Arc::into_raw` and is alive.
    unsafe {
        Arc::increment_strong_count(client);
        Ok(Arc::from_raw(client))
    }
}

/// Runs a function that may call callbacks. Refuses to run inside a callback of the same client; logs a panic.
///
/// # Safety
/// As for [`retain`] and [`report`].
pub(crate) unsafe fn with_client(
    client: *const clerk_client,
    error: *mut *mut clerk_error,
    body: impl FnOnce(&clerk_client) -> Result<i32, clerk_error>,
) -> i32 {
    // SAFETY: same contract as the caller.
    unsafe {
        strings::clear(error);
        let borrowed = match as_ref(client) {
            Ok(borrowed) => borrowed,
            Err(status) => return conclude(error, Some(Err(status.into()))),
        };
        // Without callbacks nothing can free the client meanwhile, or call it again.
        let retained = borrowed.calls_back.then(|| retain(client));
        let outcome = guard(None, || {
            let in_progress = retained.iter().flatten().map(ReentrancyGuard::enter).next().transpose();
            Some(in_progress.map_err(clerk_error::from).and_then(|_in_progress| body(borrowed)))
        });
        let outcome = outcome.unwrap_or_else(|| {
            let location = take_panic_location().unwrap_or_default();
            guard((), || borrowed.client.log_panic(&location));
            Err(CLERK_E_PANIC.into())
        });
        if retained.is_some() {
            // The last reference runs the destructors of callbacks.
            guard((), || drop(retained));
        }
        conclude(error, Some(outcome))
    }
}

/// Creates a client from a copy of the config. Opens no connection, except to the shared cache and to the database if
/// they are set.
///
/// Returns `CLERK_OK` and sets `*client`, which the caller frees with `clerk_client_free`. Otherwise returns a
/// negative status, sets `*client` to NULL and sets `*error`: `CLERK_E_CONFIG` names an invalid or missing setting.
/// One thread at a time per config.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_new(
    config: *const clerk_config,
    client: *mut *mut clerk_client,
    error: *mut *mut clerk_error,
) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        let config = unsafe {
            strings::clear(client);
            as_ref(config)?
        };
        if client.is_null() {
            return Err(CLERK_E_NULL.into());
        }
        let store: Option<Arc<dyn UserStore>> = match &config.store {
            StoreChoice::None => None,
            StoreChoice::Callback(callback) => {
                Some(Arc::new(CallbackStore { callback: callback.clone(), schema: config.schema }))
            }
            StoreChoice::BuiltIn(store) => Some(store.clone()),
        };
        #[cfg(feature = "sqlite")]
        if config.config.database.as_ref().is_some_and(|url| url.expose().starts_with("sqlite:")) {
            super::fork::prepare_for_sqlite();
        }
        let has_callbacks = config.event.is_some() || config.log.is_some() || config.clock.is_some();
        let builder = ClientBuilder {
            config: config.config.clone(),
            store,
            listeners: events::handlers(config.event.clone(), config.log.clone()),
            clock: config.clock.clone().map(events::clock),
            engine: config.engine.clone(),
            ..ClientBuilder::default()
        };
        let calls_back = has_callbacks || config.engine.is_some() || matches!(config.store, StoreChoice::Callback(_));
        let made = Arc::into_raw(Arc::new(clerk_client { client: builder.build()?, has_callbacks, calls_back }));
        // SAFETY: not NULL, see above; the rest is the header's contract.
        unsafe { client.write(made.cast_mut()) };
        Ok(CLERK_OK)
    };
    // SAFETY: the header's contract.
    unsafe { report(error, body) }
}

/// Adds a reference to a client.
///
/// Returns the same pointer, which needs a `clerk_client_free` of its own; NULL for NULL. Any thread, also in
/// callbacks.
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

/// Drops a reference to a client. The last one frees it. NULL is ignored.
///
/// A callback may drop the reference of the call that it runs in. A thread needs its own reference if another thread
/// may drop the last one during its calls. Any thread, also in callbacks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_free(client: *mut clerk_client) {
    guard((), || {
        if !client.is_null() {
            // SAFETY: it came from `Arc::into_raw`; this reference is dropped once.
            drop(unsafe { Arc::from_raw(client) });
        }
    });
}

/// Fetches the JWK set now, so that the first request does not wait for it. Blocks for at most `timeout_ms`.
///
/// In a child process after `fork` it must be called before any function that may send a request to Clerk.
///
/// Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_API` if the request failed,
/// `CLERK_E_REENTRANT` in a callback of the same client. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_warm_up(client: *const clerk_client, error: *mut *mut clerk_error) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        with_client(client, error, |client| match client.client.warm_up() {
            Ok(()) => Ok(CLERK_OK),
            Err(error) => Err(clerk_error::cause(CLERK_E_API, error.cause())),
        })
    }
}

/// Runs a function that callbacks of the same client may call, too.
///
/// # Safety
/// As for [`retain`].
pub(crate) unsafe fn accessor(client: *const clerk_client, body: impl FnOnce(&Client) -> Result<(), i32>) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: same contract as the caller.
        let retained = unsafe { retain(client) };
        strings::status(retained.and_then(|client| {
            // The clock callback may run here. Inside another callback, that one's guard stays in place.
            let _in_progress = ReentrancyGuard::enter(&client).ok();
            body(&client.client)
        }))
    })
}

/// Removes one token from the cache. The next request with it verifies it again.
///
/// Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_invalidate_token(client: *const clerk_client, token: clerk_str) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        accessor(client, |client| {
            client.invalidate_token(token.to_str()?);
            Ok(())
        })
    }
}

/// Removes a Clerk user and all tokens of this user from the cache. The next request fetches the user again.
///
/// Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_invalidate_user(client: *const clerk_client, clerk_id: clerk_str) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        accessor(client, |client| {
            client.invalidate_user(clerk_id.to_str()?);
            Ok(())
        })
    }
}

/// Removes all tokens of a session from the cache.
///
/// Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_invalidate_session(client: *const clerk_client, session_id: clerk_str) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        accessor(client, |client| {
            client.invalidate_session(session_id.to_str()?);
            Ok(())
        })
    }
}

/// Rejects all tokens of a session from now on, for `revocation_ttl_s`, as the webhook event `session.ended` does.
///
/// Other processes learn of it through the shared cache, see `clerk_client_poll`; without one, revocations are stored in
/// this client only, and `clerk_client_export_revocations` copies them for other processes.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` if the string is not a session id. Any thread,
/// also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_revoke_session(client: *const clerk_client, session_id: clerk_str) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        accessor(client, |client| client.revoke_session(session_id.to_str()?).then_some(()).ok_or(CLERK_E_ARGUMENT))
    }
}

/// Rejects all tokens of a Clerk user from now on, for `revocation_ttl_s`, also tokens of sessions that begin later.
///
/// Returns as `clerk_client_revoke_session` does. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_revoke_user(client: *const clerk_client, clerk_id: clerk_str) -> i32 {
    // SAFETY: the header's contract.
    unsafe { accessor(client, |client| client.revoke_user(clerk_id.to_str()?).then_some(()).ok_or(CLERK_E_ARGUMENT)) }
}

/// Copies all revocations as JSON into `buffer`, followed by a NUL, for `clerk_client_import_revocations` in another
/// process. The JSON contains ids and times, but no tokens.
///
/// `*needed` receives the length without the NUL. `needed` may be NULL. The length may grow between two calls.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_ARGUMENT` if `capacity` is too small; with a `capacity` of 0,
/// `buffer` may be NULL. `CLERK_E_STATE` in a forked child if a thread of the parent was using them at the fork. Any
/// thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_export_revocations(
    client: *const clerk_client,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        accessor(client, |client| {
            let json = client.export_revocations().ok_or(CLERK_E_STATE)?;
            strings::copy_out(&json, buffer, capacity, needed)
        })
    }
}

/// Merges the revocations of another process into those of this client. Each keeps its expiry.
///
/// Idempotent: an export may be imported repeatedly, and processes may import from each other.
///
/// Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_ARGUMENT` if the JSON is malformed or of another
/// version; then nothing is imported. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_import_revocations(
    client: *const clerk_client,
    json: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        let imported = unsafe {
            accessor(client, |client| client.import_revocations(json.to_str()?).then_some(()).ok_or(CLERK_E_ARGUMENT))
        };
        if imported == CLERK_OK { Ok(CLERK_OK) } else { Err(imported.into()) }
    };
    // SAFETY: the header's contract.
    unsafe { report(error, body) }
}

/// Clears all caches except the JWK set, in all processes that share a cache.
///
/// Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_invalidate_all(client: *const clerk_client) -> i32 {
    let body = |client: &Client| {
        client.invalidate_all();
        Ok(())
    };
    // SAFETY: the header's contract.
    unsafe { accessor(client, body) }
}

/// Clears the caches of this process, the JWK set and the revocations excepted. Other processes, and the shared cache,
/// keep theirs: for a process that may have missed webhooks which another one has received. Never blocks.
///
/// Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_clear_cache(client: *const clerk_client) -> i32 {
    let body = |client: &Client| {
        client.clear_cache();
        Ok(())
    };
    // SAFETY: the header's contract.
    unsafe { accessor(client, body) }
}

/// Applies what other processes have changed: revocations, webhook events and invalidations. Waits at most `timeout_ms`
/// milliseconds for the first change; 0 does not wait.
///
/// To be called in a loop, on a thread that may wait; or `clerk_client_start_poller` does so. Without it, a revocation
/// by another process takes effect for tokens that are not cached here. While the shared cache cannot be used, a call
/// waits until it is tried again, at most `timeout_ms`. `clerk_client_shutdown` ends a call within half a second.
///
/// Returns `CLERK_OK`; `CLERK_UNAVAILABLE` if the shared cache cannot be used; or a negative status: `CLERK_E_CONFIG`
/// without the setting `shared_cache`, `CLERK_E_ARGUMENT` for a negative timeout. Runs callbacks. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_poll(client: *const clerk_client, timeout_ms: i64) -> i32 {
    let body = |client: &clerk_client| {
        let timeout = u64::try_from(timeout_ms).map_err(|_| CLERK_E_ARGUMENT)?;
        // A longer wait is several calls.
        match client.client.poll(Duration::from_millis(timeout.min(MAX_POLL_MS))) {
            Ok(_) => Ok(CLERK_OK),
            Err(error) if error.is_unavailable() => Ok(CLERK_UNAVAILABLE),
            Err(error) => Err(error.into()),
        }
    };
    // SAFETY: the header's contract.
    unsafe { with_client(client, std::ptr::null_mut(), body) }
}

/// Starts a thread that calls `clerk_client_poll` until `clerk_client_shutdown`, or until the client is freed, which
/// waits for it, half a second at most. It is the only thread that the library leaves running, and runs
/// callbacks.
///
/// Starts none if it is running already. The thread has the signal mask of the caller. A forked child has none; there
/// `clerk_client_warm_up` starts it again. What the thread of the parent was using stays allocated in the child: there
/// `destroy` of callbacks is not called.
///
/// Returns `CLERK_OK`, or a negative status and sets `*error`: `CLERK_E_CONFIG` without the setting `shared_cache`,
/// `CLERK_E_STATE` if the system has no thread left. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_start_poller(client: *const clerk_client, error: *mut *mut clerk_error) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        let client = unsafe { as_ref(client)? };
        match client.client.start_poller() {
            Ok(()) => Ok(CLERK_OK),
            Err(error) if error.is_unavailable() => Err(CLERK_E_STATE.into()),
            Err(error) => Err(error.into()),
        }
    };
    // SAFETY: the header's contract.
    unsafe { report(error, body) }
}

/// Cancels all requests to Clerk that are in progress, and stops the poller. Calls that wait return `CLERK_UNAVAILABLE`;
/// in a callback, also the call that runs it, if it still needs Clerk.
/// Sends changes that other processes do not know yet to the shared cache, for at most a second.
///
/// Call it before the process exits. The client stays usable: later calls connect again.
///
/// Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_shutdown(client: *const clerk_client) -> i32 {
    let body = |client: &Client| {
        client.shutdown();
        Ok(())
    };
    // SAFETY: the header's contract.
    unsafe { accessor(client, body) }
}
