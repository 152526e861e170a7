//! Authentication in one call.

use std::sync::Arc;

use super::client::{ReentrancyGuard, retain, with_client};
use super::{
    CLERK_E_FORKED, CLERK_E_NULL, CLERK_E_PANIC, CLERK_UNAVAILABLE, CLERK_WOULD_BLOCK, as_ref, clerk_client,
    clerk_error, clerk_request, clerk_result, clerk_str, guard, request, result, strings,
};
use crate::api::ErrorKind;
use crate::client::AuthResult;
use crate::error::Cause;
use crate::request::Request;

/// Authenticates a request. Blocks for at most `timeout_ms` while it fetches keys and users.
///
/// Calls the user store, event, log and clock callbacks on this thread.
///
/// Returns `CLERK_OK` if and only if the request is signed in. `CLERK_SIGNED_OUT`, `CLERK_NO_CREDENTIALS` and
/// `CLERK_UNAVAILABLE` also set `*result`; a negative status sets it to NULL. The caller frees `*result` with
/// `clerk_result_free`. `*error` is set for `CLERK_UNAVAILABLE` and negative statuses: `CLERK_E_FORKED` after a
/// `fork`, `CLERK_E_REENTRANT` in a callback of the same client. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_authenticate(
    client: *const clerk_client,
    request: *const clerk_request,
    result: *mut *mut clerk_result,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        blocking(client, result, error, |client| {
            let mut parsed = Request::new();
            request::read(request, &mut parsed)?;
            Ok(client.client().authenticate(&parsed))
        })
    }
}

/// Authenticates a request from the cache. Never blocks: no request to Clerk, no user store. For event loops.
///
/// Verifies a token that is not in the cache if its key is cached and no user has to be looked up. With a user store,
/// there is a result only if the user's row was confirmed less than `row_check_ttl_s` ago by a call that may block. The
/// default is 0, with which there is none: for an event loop set it, for example to 5. After the application has changed
/// a row, `clerk_client_invalidate_user` makes the change take effect at once.
///
/// Returns `CLERK_WOULD_BLOCK` without a result if more is needed: then call `clerk_authenticate` or
/// `clerk_authenticate_begin` on a thread that may block. Otherwise returns as `clerk_authenticate` does, and the
/// caller frees `*result`. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_authenticate_cached(
    client: *const clerk_client,
    request: *const clerk_request,
    result: *mut *mut clerk_result,
) -> i32 {
    let found = guard(Err(CLERK_E_PANIC), || {
        // SAFETY: the header's contract.
        unsafe {
            strings::clear(result);
            if result.is_null() {
                return Err(CLERK_E_NULL);
            }
            let client = as_ref(client)?;
            // Without callbacks nothing can free the client meanwhile, or call it again.
            let retained = client.has_callbacks.then(|| retain(client)).transpose()?;
            // Inside another callback, that one's guard stays in place.
            let _in_progress = retained.as_ref().and_then(|client| ReentrancyGuard::enter(client).ok());
            let mut parsed = Request::new();
            request::read(request, &mut parsed)?;
            client.client().authenticate_cached(&parsed).ok_or(CLERK_WOULD_BLOCK)
        }
    });
    match found {
        // SAFETY: not NULL, see above.
        Ok(found) => unsafe { result::write_out(found, result) },
        Err(status) => status,
    }
}

/// Verifies one JWT: fetches no user, queries no user store, caches nothing, emits no event. Blocks for at most
/// `timeout_ms` if keys are fetched.
///
/// Rejects tokens of users and sessions that this client has recorded as deleted, banned or revoked.
///
/// Returns as `clerk_authenticate` does; the caller frees `*result`. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_verify_token(
    client: *const clerk_client,
    token: clerk_str,
    result: *mut *mut clerk_result,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        blocking(client, result, error, |client| {
            // Bytes that are not UTF-8 are not a token either.
            let token = std::str::from_utf8(token.bytes()?).unwrap_or_default();
            Ok(client.client().verify_token(token))
        })
    }
}

/// # Safety
/// As for the exported functions.
unsafe fn blocking(
    client: *const clerk_client,
    result: *mut *mut clerk_result,
    error: *mut *mut clerk_error,
    body: impl FnOnce(&clerk_client) -> Result<Arc<AuthResult>, i32>,
) -> i32 {
    // SAFETY: same contract as the caller.
    unsafe {
        strings::clear(result);
        with_client(client, error, |client| {
            if result.is_null() {
                return Err(CLERK_E_NULL.into());
            }
            write_result(body(client)?, result)
        })
    }
}

/// Writes a result to `*out` and returns its status; after a fork only the error.
///
/// # Safety
/// `out` is writable.
pub(crate) unsafe fn write_result(found: Arc<AuthResult>, out: *mut *mut clerk_result) -> Result<i32, clerk_error> {
    let cause = found.cause();
    if matches!(cause, Some(Cause::Api(error)) if error.kind == ErrorKind::Forked) {
        return Err(clerk_error::cause(CLERK_E_FORKED, cause));
    }
    let error = (result::status_of(&found) == CLERK_UNAVAILABLE).then(|| clerk_error::cause(CLERK_UNAVAILABLE, cause));
    // SAFETY: same contract as the caller.
    let status = unsafe { result::write_out(found, out) };
    error.map_or(Ok(status), Err)
}
