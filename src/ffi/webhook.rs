//! Webhook deliveries.

use super::pending::{Waiting, hand_out};
use super::{
    CLERK_E_ARGUMENT, CLERK_E_NULL, clerk_client, clerk_error, clerk_header, clerk_pending, clerk_str, client, strings,
};
use crate::client::WebhookProgress;
use crate::webhooks::Headers;

/// No server lets so many header lines through.
const MOST_HEADERS: usize = 4096;

/// Takes a webhook delivery: all its header lines and its body as it came, byte by byte. The delivery is checked against
/// `webhook_secrets` (Svix signature, time, once only) and applied: users are brought up to date, in the user store too;
/// ended sessions and deleted users are no longer let in; what is no longer true is no longer remembered. Answer the
/// delivery with 200 for `CLERK_OK` and `CLERK_WEBHOOK_IGNORED`, 400 for `CLERK_E_WEBHOOK`, and 503 for
/// `CLERK_UNAVAILABLE` (the user store failed; Clerk delivers again). May call hooks. `CLERK_E_REENTRANT` from inside a
/// hook of the same client.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_webhook_handle(
    client: *const clerk_client,
    headers: *const clerk_header,
    header_count: usize,
    body: clerk_str,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe {
        strings::clear(error);
        client::verb(client, |client| match delivery(headers, header_count, body) {
            Ok((headers, body)) => clerk_error::of_delivery(client.client().handle_webhook(&headers, body), error),
            Err(status) => status,
        })
    }
}

/// Begins with a webhook delivery for a host that asks its user table itself: everything but the user's row is done; no
/// user store hook is called. `CLERK_PENDING`: `*pending` says what is wanted of the table; `clerk_pending_finish`, whose
/// `result` may be NULL then, says in the end what `clerk_webhook_handle` would. Otherwise it is over: as
/// `clerk_webhook_handle`, and `*pending` is NULL. Never waits.
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
    // SAFETY: the header's rules.
    unsafe {
        strings::clear(pending);
        strings::clear(error);
        client::verb(client, |client| {
            if pending.is_null() {
                return CLERK_E_NULL;
            }
            let heard = match delivery(headers, header_count, body) {
                Ok((headers, body)) => client.client().begin_webhook(&headers, body),
                Err(status) => return status,
            };
            match heard {
                WebhookProgress::Done(handled) => clerk_error::of_delivery(handled, error),
                WebhookProgress::Pending(row) => hand_out(client, Waiting::Delivery(row), pending),
            }
        })
    }
}

/// # Safety
/// As for the exported functions.
unsafe fn delivery<'a>(
    headers: *const clerk_header,
    header_count: usize,
    body: clerk_str,
) -> Result<(Headers<'a>, &'a [u8]), i32> {
    let lines = match header_count {
        0 => &[],
        _ if headers.is_null() => return Err(CLERK_E_NULL),
        count if count > MOST_HEADERS => return Err(CLERK_E_ARGUMENT),
        // SAFETY: the caller's lines.
        count => unsafe { std::slice::from_raw_parts(headers, count) },
    };
    let mut read = Headers::default();
    for line in lines {
        // SAFETY: the caller's texts.
        unsafe { read.header(line.name.bytes()?, line.value.bytes()?) };
    }
    // SAFETY: as above.
    Ok((read, unsafe { body.bytes() }?))
}
