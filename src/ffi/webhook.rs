//! Webhook deliveries.

use super::{
    CLERK_E_ARGUMENT, CLERK_E_NULL, CLERK_E_WEBHOOK, CLERK_OK, CLERK_UNAVAILABLE, CLERK_WEBHOOK_IGNORED, clerk_client,
    clerk_error, clerk_header, clerk_str, client, strings,
};
use crate::client::{Cause, Handled};
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
        client::verb(client, |client| {
            let lines = match header_count {
                0 => &[],
                _ if headers.is_null() => return CLERK_E_NULL,
                count if count > MOST_HEADERS => return CLERK_E_ARGUMENT,
                count => std::slice::from_raw_parts(headers, count),
            };
            let mut read = Headers::default();
            for line in lines {
                match (line.name.bytes(), line.value.bytes()) {
                    (Ok(name), Ok(value)) => read.header(name, value),
                    (Err(status), _) | (_, Err(status)) => return status,
                }
            }
            let body = match body.bytes() {
                Ok(body) => body,
                Err(status) => return status,
            };
            let handled = client.client().handle_webhook(&read, body);
            let failed = match handled {
                Handled::Applied => return CLERK_OK,
                Handled::Ignored => return CLERK_WEBHOOK_IGNORED,
                Handled::Refused(refused) => clerk_error::new(CLERK_E_WEBHOOK, words(refused)),
                Handled::Failed(Failure::Store(StoreError::Failed { code, message })) => {
                    clerk_error::cause(CLERK_UNAVAILABLE, Some(&Cause::Host { code, message }))
                }
                Handled::Failed(_) => {
                    clerk_error::new(CLERK_UNAVAILABLE, "the user's row cannot be brought up to date")
                }
            };
            failed.give(error)
        })
    }
}

fn words(refused: Refused) -> &'static str {
    match refused {
        Refused::Malformed => "a signature header is missing or there twice, or the body is longer than 1 MiB",
        Refused::Time => "the delivery's time is more than five minutes from now",
        Refused::Signature => "the signature does not hold under any of webhook_secrets",
        Refused::NoEvent => "the body is not an event of Clerk's",
    }
}
