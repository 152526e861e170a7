//! `clerk_explanation`: why a token is accepted or rejected.

use super::strings::{self, CStringBuf};
use super::{CLERK_E_NULL, CLERK_OK, as_ref, clerk_client, clerk_error, clerk_str, client, guard, report};

/// Why a token is accepted or rejected, check by check. Immutable; any thread may read it. The caller frees it, once.
pub struct clerk_explanation {
    json: CStringBuf,
    text: CStringBuf,
}

/// Explains why a token is accepted or rejected, check by check, without trusting it. The token may be any bytes.
///
/// For operators and tests; it must not be sent to clients. It contains neither the token nor its signature; values of
/// the token are truncated and escaped. It rests on what is in memory: no request is sent, the user store is not
/// queried, and no event is emitted. If the JWK set was not fetched yet, the signature is not checked: call
/// `clerk_client_warm_up` first.
///
/// Returns `CLERK_OK` and sets `*explanation`, which the caller frees with `clerk_explanation_free`, also for a token
/// that is rejected. Otherwise returns a negative status, sets `*explanation` to NULL and sets `*error`. Any thread,
/// also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_explain(
    client: *const clerk_client,
    token: clerk_str,
    explanation: *mut *mut clerk_explanation,
    error: *mut *mut clerk_error,
) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        unsafe { strings::clear(explanation) };
        if explanation.is_null() {
            return Err(CLERK_E_NULL.into());
        }
        let explain = |client: &crate::client::Client| {
            // SAFETY: the header's contract.
            let explained = client.explain(unsafe { token.bytes() }?);
            let (json, text) = (CStringBuf::new(&explained.to_json()), CStringBuf::new(&explained.to_string()));
            // SAFETY: not NULL, see above; the rest is the header's contract.
            unsafe { explanation.write(Box::into_raw(Box::new(clerk_explanation { json, text }))) };
            Ok(())
        };
        // SAFETY: the header's contract.
        match unsafe { client::accessor(client, explain) } {
            CLERK_OK => Ok(CLERK_OK),
            status => Err(status.into()),
        }
    };
    // SAFETY: the header's contract.
    unsafe { report(error, body) }
}

/// Returns the explanation as a JSON object; NULL data for NULL.
///
/// Its members: `rejected`, a boolean; `reason`, the name of a `clerk_reason` or null; `summary`, the failure that
/// decides, as in the log at debug level; `kind`, the name of a `clerk_token_kind` or null; `verified`, whether the
/// signature was verified: if not, a token that no check rejects may be forged; `checks`, an array in the order of
/// verification. A check has `name`, `status` (`ok`, `failed` or `skipped`), `expected` and `found`; if it failed
/// `failure`, and if there is one `hint`. The string lives as long as the explanation. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_explanation_json(explanation: *const clerk_explanation) -> clerk_str {
    let view = |explanation: &clerk_explanation| explanation.json.view();
    // SAFETY: the header's contract.
    guard(clerk_str::NONE, || unsafe { as_ref(explanation) }.map_or(clerk_str::NONE, view))
}

/// Returns the explanation as text for people, one line for each check; NULL data for NULL.
///
/// The string lives as long as the explanation. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_explanation_text(explanation: *const clerk_explanation) -> clerk_str {
    let view = |explanation: &clerk_explanation| explanation.text.view();
    // SAFETY: the header's contract.
    guard(clerk_str::NONE, || unsafe { as_ref(explanation) }.map_or(clerk_str::NONE, view))
}

/// Frees an explanation. NULL is ignored. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_explanation_free(explanation: *mut clerk_explanation) {
    guard((), || {
        if !explanation.is_null() {
            // SAFETY: made by `clerk_explain`, freed once.
            drop(unsafe { Box::from_raw(explanation) });
        }
    });
}
