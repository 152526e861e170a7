//! Webhooks.

use super::client::with_client;
use super::pending::{PendingKind, write_pending};
use super::request::MAX_HEADERS;
use super::{
    CLERK_E_ARGUMENT, CLERK_E_NULL, clerk_client, clerk_error, clerk_header, clerk_pending, clerk_str, strings,
};
use crate::client::WebhookProgress;
use crate::webhooks::Headers;

/// Verifies and applies a webhook. Blocks in the user store and event callbacks, and for at most `timeout_ms` each time
/// that it fetches the user from Clerk.
///
/// The user is fetched to create or link a row, to lift a ban if the event is not newer than the row, and to change a
/// row of a table without `CLERK_UPDATED_AT_MS`.
///
/// Takes all header lines and the body exactly as received. Checks the Svix signature against `webhook_secrets`, the
/// timestamp, and that this message was not processed before. Then updates the user, also in the user store; rejects
/// ended sessions and deleted users from now on; removes outdated entries from the caches.
///
/// Returns `CLERK_OK` or `CLERK_WEBHOOK_IGNORED`: respond with 200. Otherwise sets `*error`: for `CLERK_E_WEBHOOK`
/// respond with 400; for `CLERK_UNAVAILABLE`, when the user store or Clerk failed, the same webhook is being
/// processed, or a shared cache that is required has not stored a revocation, with 503, and Clerk sends the webhook
/// again. `CLERK_E_REENTRANT` in a callback of the same client. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_webhook_handle(
    client: *const clerk_client,
    headers: *const clerk_header,
    header_count: usize,
    body: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        with_client(client, error, |client| {
            let (headers, body) = read(headers, header_count, body)?;
            clerk_error::of_webhook(client.client().handle_webhook(&headers, body))
        })
    }
}

/// Begins to process a webhook for an application that queries its user table itself. With the setting `shared_cache`,
/// blocks in the cache for at most `timeout_ms`; else never.
///
/// Does everything that `clerk_webhook_handle` does, except for the user's row; never calls the user store callback.
/// The next action may be `FETCH_USER`.
///
/// Returns `CLERK_PENDING` and sets `*pending`, which the caller ends with `clerk_pending_finish` (its `result` may be
/// NULL) or `clerk_pending_free`. Otherwise returns as `clerk_webhook_handle` does, with `*pending` NULL. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_webhook_begin(
    client: *const clerk_client,
    headers: *const clerk_header,
    header_count: usize,
    body: clerk_str,
    pending: *mut *mut clerk_pending,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        strings::clear(pending);
        with_client(client, error, |client| {
            if pending.is_null() {
                return Err(CLERK_E_NULL.into());
            }
            let (headers, body) = read(headers, header_count, body)?;
            match client.client().begin_webhook(&headers, body) {
                WebhookProgress::Done(outcome) => clerk_error::of_webhook(outcome),
                WebhookProgress::Pending(row) => write_pending(client, PendingKind::Webhook(row), pending),
            }
        })
    }
}

/// Applies a webhook that another process of this server has received, in memory only. Never blocks, uses neither the
/// user store nor a shared cache: `clerk_webhook_handle` has updated both in the process that has received it.
///
/// Verifies the signature as `clerk_webhook_handle` does. A webhook that comes to this process later is processed as if
/// it had not been replayed.
///
/// Returns `CLERK_OK` or `CLERK_WEBHOOK_IGNORED`. Otherwise sets `*error`: `CLERK_E_WEBHOOK`, or `CLERK_UNAVAILABLE`
/// while this process is processing the same webhook. Runs event callbacks. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_webhook_replay(
    client: *const clerk_client,
    headers: *const clerk_header,
    header_count: usize,
    body: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe {
        with_client(client, error, |client| {
            let (headers, body) = read(headers, header_count, body)?;
            clerk_error::of_webhook(client.client().replay_webhook(&headers, body))
        })
    }
}

/// # Safety
/// As for the exported functions.
unsafe fn read<'a>(
    headers: *const clerk_header,
    header_count: usize,
    body: clerk_str,
) -> Result<(Headers<'a>, &'a [u8]), i32> {
    let lines = match header_count {
        0 => &[],
        _ if headers.is_null() => return Err(CLERK_E_NULL),
        count if count > MAX_HEADERS => return Err(CLERK_E_ARGUMENT),
        // SAFETY: not NULL; `header_count` lines are the caller's contract.
        count => unsafe { std::slice::from_raw_parts(headers, count) },
    };
    let mut parsed = Headers::default();
    for line in lines {
        // SAFETY: both strings are the caller's contract.
        unsafe { parsed.header(line.name.bytes()?, line.value.bytes()?) };
    }
    // SAFETY: as above.
    Ok((parsed, unsafe { body.bytes() }?))
}
