//! Webhook deliveries.

use super::pending::Waiting;
use super::{
    CLERK_E_ARGUMENT, CLERK_E_NULL, CLERK_E_WEBHOOK, CLERK_OK, CLERK_PENDING, CLERK_UNAVAILABLE, CLERK_WEBHOOK_IGNORED,
    clerk_client, clerk_error, clerk_header, clerk_pending, clerk_str, client, strings,
};
use crate::client::{Cause, Handled, Heard};
use crate::users::{Failure, StoreError};
use crate::webhooks::{Headers, Refused};

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
            Ok((headers, body)) => give(client.client().handle_webhook(&headers, body), error),
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
                Heard::Handled(handled) => give(handled, error),
                Heard::Pending(row) => {
                    pending.write(Box::into_raw(Box::new(clerk_pending::new(client.clone(), Waiting::Delivery(row)))));
                    CLERK_PENDING
                }
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

/// # Safety
/// `error` is NULL or writable.
pub(crate) unsafe fn give(handled: Handled, error: *mut *mut clerk_error) -> i32 {
    let failed = match handled {
        Handled::Applied => return CLERK_OK,
        Handled::Ignored => return CLERK_WEBHOOK_IGNORED,
        Handled::Refused(refused) => clerk_error::new(CLERK_E_WEBHOOK, words(refused)),
        Handled::Failed(Failure::Store(StoreError::Failed { code, message })) => {
            clerk_error::cause(CLERK_UNAVAILABLE, Some(&Cause::Host { code, message }))
        }
        Handled::Failed(_) => clerk_error::new(CLERK_UNAVAILABLE, "the user's row cannot be brought up to date"),
    };
    // SAFETY: handed on.
    unsafe { failed.give(error) }
}

fn words(refused: Refused) -> &'static str {
    match refused {
        Refused::Malformed => "a signature header is missing or there twice, or the body is longer than 1 MiB",
        Refused::Time => "the delivery's time is more than five minutes from now",
        Refused::Signature => "the signature does not hold under any of webhook_secrets",
        Refused::NoEvent => "the body is not an event of Clerk's",
    }
}
