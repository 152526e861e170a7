//! `clerk_result`: the outcome of an authentication.

use std::ffi::c_char;
use std::sync::Arc;

use super::{
    CLERK_E_ARGUMENT, CLERK_E_NOT_FOUND, CLERK_E_NULL, CLERK_E_PANIC, CLERK_NO_CREDENTIALS, CLERK_OK, CLERK_SIGNED_OUT,
    CLERK_UNAVAILABLE, as_mut, as_ref, clerk_category_name, clerk_reason_name, clerk_str, guard, status, strings,
};
use crate::client::{AuthResult, Outcome};
use crate::handshake::PageResponse;
use crate::identity::{Attribute, Identity};
use crate::jwt::{AuthorizationParams, FactorLevel, Reverification};
use crate::reason::Category;

/// The outcome of an authentication. Immutable; any thread may read it. Its strings live until it is freed, also after
/// the client was freed. The caller frees it, once.
pub struct clerk_result {
    _result: AuthResult,
}

pub(crate) fn status_of(result: &AuthResult) -> i32 {
    match result.outcome() {
        Outcome::SignedIn { .. } => CLERK_OK,
        Outcome::SignedOut { .. } => CLERK_SIGNED_OUT,
        Outcome::NoCredentials { .. } => CLERK_NO_CREDENTIALS,
        Outcome::Unavailable { .. } => CLERK_UNAVAILABLE,
    }
}

/// Writes a result to `*out`: the pointer is the shared result itself, so that a cached one needs no allocation.
///
/// # Safety
/// `out` is writable.
pub(crate) unsafe fn write_out(result: Arc<AuthResult>, out: *mut *mut clerk_result) -> i32 {
    let status = status_of(&result);
    // SAFETY: same contract as the caller.
    unsafe { out.write(Arc::into_raw(result).cast_mut().cast()) };
    status
}

/// # Safety
/// `result` is NULL or was made by [`write_out`] and is not freed yet.
unsafe fn read<'a>(result: *const clerk_result) -> Result<&'a AuthResult, i32> {
    // SAFETY: `write_out` made the pointer from one to an `AuthResult`.
    unsafe { as_ref(result.cast::<AuthResult>()) }
}

/// # Safety
/// As for [`read`].
unsafe fn identity<'a>(result: *const clerk_result) -> Option<&'a Identity> {
    // SAFETY: same contract as the caller.
    unsafe { read(result) }.ok().and_then(AuthResult::identity)
}

/// # Safety
/// As for [`read`].
unsafe fn attribute(result: *const clerk_result, attribute: Attribute) -> clerk_str {
    guard(clerk_str::NONE, || {
        // SAFETY: same contract as the caller.
        let identity = unsafe { identity(result) };
        // The strings of an identity are followed by a NUL.
        clerk_str::nul_terminated(identity.and_then(|identity| identity.get(attribute)))
    })
}

/// Returns the status of the authentication: `CLERK_OK`, `CLERK_SIGNED_OUT`, `CLERK_NO_CREDENTIALS` or
/// `CLERK_UNAVAILABLE`; `CLERK_E_NULL` for NULL. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_status(result: *const clerk_result) -> i32 {
    // SAFETY: the header's contract.
    guard(CLERK_E_PANIC, || unsafe { read(result) }.map_or(CLERK_E_NULL, status_of))
}

/// Returns why the request is not signed in, a `clerk_reason`; 0 if it is. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_reason(result: *const clerk_result) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { read(result) }.ok().and_then(AuthResult::reason).map_or(0, |reason| reason as i32))
}

/// Returns the name of the reason, such as "token-expired", for the log; "" if the request is signed in.
///
/// The string is static and never NULL. Send `clerk_result_public_reason` to clients instead. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_reason_name(result: *const clerk_result) -> *const c_char {
    // SAFETY: the header's contract.
    guard(c"".as_ptr(), || clerk_reason_name(unsafe { clerk_result_reason(result) }))
}

/// Returns the reason in a form that may be sent to clients; "" if the request is signed in.
///
/// The name of the reason for 401 and 403. For 500 and 503, and for NULL, the name of its category: "misconfigured" or
/// "unavailable", because the reason describes the server. The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_public_reason(result: *const clerk_result) -> *const c_char {
    guard(c"".as_ptr(), || {
        // SAFETY: the header's contract.
        match unsafe { read(result) }.map(|result| result.reason().map(|reason| (reason, reason.category()))) {
            Ok(None) => c"".as_ptr(),
            Ok(Some((_, category @ (Category::Misconfigured | Category::Unavailable)))) => {
                clerk_category_name(category as i32)
            }
            Ok(Some((reason, _))) => clerk_reason_name(reason as i32),
            Err(_) => clerk_category_name(Category::Unavailable as i32),
        }
    })
}

/// Returns the HTTP status to respond with: 200, 401, 403, 500 or 503; 307 with `clerk_result_redirect`; 500 for NULL.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_http_status(result: *const clerk_result) -> i32 {
    // SAFETY: the header's contract.
    guard(500, || match unsafe { read(result) } {
        Ok(result) => i32::from(result.http_status()),
        Err(_) => 500,
    })
}

/// Returns how many milliseconds to wait before the next attempt, for `Retry-After`; -1 if unknown. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_retry_after_ms(result: *const clerk_result) -> i64 {
    // SAFETY: the header's contract.
    guard(-1, || match unsafe { read(result) }.map(AuthResult::outcome) {
        Ok(Outcome::Unavailable { retry_after_ms: Some(ms), .. }) => i64::try_from(ms).unwrap_or(i64::MAX),
        _ => -1,
    })
}

/// Reads where to redirect the browser, with the setting `handshake` on: the value of `Location` for a 307.
///
/// To be called before the status is looked at: a request that is signed in may be redirected, too, to remove Clerk's
/// response from the address. An application that does not redirect serves or refuses the request by its status as
/// usual. With a redirect, also send the `Set-Cookie` lines and `clerk_result_cache_control`.
///
/// Returns `CLERK_OK` and sets `*url`, or `CLERK_E_NOT_FOUND` if there is no redirect, or another negative status. The
/// string is printable ASCII, is followed by a NUL and lives as long as the result. Do not log it: it may hold a token.
/// Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_redirect(result: *const clerk_result, url: *mut clerk_str) -> i32 {
    // SAFETY: the header's contract.
    guard(CLERK_E_PANIC, || status(unsafe { response_string(result, url, |response| response.location.as_deref()) }))
}

/// Returns the number of `Set-Cookie` lines that belong to the response; 0 for NULL.
///
/// There may be some with any status: a browser that was signed out elsewhere has its cookies removed. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_set_cookie_count(result: *const clerk_result) -> usize {
    // SAFETY: the header's contract.
    guard(0, || unsafe { read(result) }.map_or(0, |result| result.set_cookies().len()))
}

/// Reads the value of a `Set-Cookie` line; `index` is less than `clerk_result_set_cookie_count`.
///
/// Add each line to the response by itself, in this order, whatever the status is; do not join them.
///
/// Returns `CLERK_OK` and sets `*line`, or `CLERK_E_NOT_FOUND` if there is no such line, or another negative status.
/// The string is printable ASCII, is followed by a NUL and lives as long as the result. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_set_cookie(
    result: *const clerk_result,
    index: usize,
    line: *mut clerk_str,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's contract.
        status(unsafe { response_string(result, line, |response| response.set_cookies.get(index).map(String::as_str)) })
    })
}

/// Reads the value of a `Cache-Control` line to be added to the response: "no-store" with a redirect or cookies.
///
/// Returns `CLERK_OK` and sets `*value`, or `CLERK_E_NOT_FOUND` if there is none, or another negative status. The
/// string is static and followed by a NUL. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_cache_control(result: *const clerk_result, value: *mut clerk_str) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's contract.
        status(unsafe { response_string(result, value, |response| response.no_store.then_some("no-store\0")) })
    })
}

/// Sets `*out` to a string of the response, whose last byte is a NUL.
///
/// # Safety
/// As for [`read`]; `out` is NULL or writable.
unsafe fn response_string(
    result: *const clerk_result,
    out: *mut clerk_str,
    string: impl for<'r> FnOnce(&'r PageResponse) -> Option<&'r str>,
) -> Result<(), i32> {
    // SAFETY: same contract as the caller; the string lives as long as the result.
    let (out, result) = unsafe { (as_mut(out)?, read(result)) };
    *out = clerk_str::NONE;
    let found = result?.response().and_then(string).ok_or(CLERK_E_NOT_FOUND)?;
    *out = clerk_str { data: found.as_ptr().cast(), len: found.len() - 1 };
    Ok(())
}

/// Returns 1 if Clerk's frontend libraries would resolve this request with a handshake (a redirect to Clerk and back);
/// else 0. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_handshake_recommended(result: *const clerk_result) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { read(result) }.map_or(0, |result| result.handshake_recommended.into()))
}

/// Returns 1 if the request showed no token, so that an application that serves anonymous requests may serve this one:
/// without credentials, and with the setting `handshake` on also where no session cookie was read, for which the status
/// is `CLERK_SIGNED_OUT`; else 0. Call `clerk_result_redirect` first: such a request may be redirected. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_is_anonymous(result: *const clerk_result) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { read(result) }.map_or(0, |result| result.is_anonymous().into()))
}

/// Returns where the result came from, a `clerk_source`; 0 if the request is not signed in. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_source(result: *const clerk_result) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || match unsafe { read(result) }.map(AuthResult::outcome) {
        Ok(Outcome::SignedIn { source }) => source as i32,
        _ => 0,
    })
}

/// Returns the hash of the request's token, as events have it: `clerk:auth:` and the SHA-256 in hexadecimal digits.
///
/// Also for a request that is not signed in; NULL data if it carries no token or a malformed credential. The string
/// lives as long as the result. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_token_hash(result: *const clerk_result) -> clerk_str {
    guard(clerk_str::NONE, || {
        // SAFETY: the header's contract.
        let result = unsafe { read(result) }.ok();
        // A NUL follows the hash.
        clerk_str::nul_terminated(result.and_then(AuthResult::token_hash))
    })
}

/// Returns the type of the token, a `clerk_token_kind`; 0 if the request is not signed in. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_token_kind(result: *const clerk_result) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { identity(result) }.map_or(0, |identity| identity.kind() as i32))
}

/// Returns a string attribute, a `clerk_attribute`; NULL data if there is none or the request is not signed in.
///
/// The string lives as long as the result. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_get(result: *const clerk_result, which: i32) -> clerk_str {
    match Attribute::from_repr(which) {
        // SAFETY: the header's contract.
        Some(known) => unsafe { attribute(result, known) },
        None => clerk_str::NONE,
    }
}

/// Returns the id of the Clerk user, `user_…`; NULL data for a machine or if the request is not signed in.
///
/// The string lives as long as the result. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_user_id(result: *const clerk_result) -> clerk_str {
    // SAFETY: the header's contract; the strings of an identity are followed by a NUL.
    guard(clerk_str::NONE, || clerk_str::nul_terminated(unsafe { identity(result) }.and_then(Identity::user_id)))
}

/// Returns the application's key of the user's row, with a user store; else NULL data.
///
/// The string lives as long as the result. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_user_key(result: *const clerk_result) -> clerk_str {
    // SAFETY: the header's contract.
    unsafe { attribute(result, Attribute::UserKey) }
}

/// Returns the id of the session, `sess_…`; NULL data if the token has none.
///
/// The string lives as long as the result. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_session_id(result: *const clerk_result) -> clerk_str {
    // SAFETY: the header's contract.
    unsafe { attribute(result, Attribute::SessionId) }
}

/// Returns all claims as a JSON object; NULL data if there are none.
///
/// The string lives as long as the result. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_claims_json(result: *const clerk_result) -> clerk_str {
    // SAFETY: the header's contract.
    unsafe { attribute(result, Attribute::Claims) }
}

/// Returns when the token expires, in milliseconds since 1970-01-01 UTC; 0 if it does not expire or the request is not
/// signed in. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_expires_at_ms(result: *const clerk_result) -> i64 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { identity(result) }.map_or(0, Identity::expires_at_ms))
}

/// Reads how many minutes ago the first and the second factor were verified; -1 means never.
///
/// Returns 1 and sets `*first` and `*second`, either of which may be NULL; returns 0 and sets neither if the token
/// has no claim `fva`. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_factor_verification_age(
    result: *const clerk_result,
    first: *mut i64,
    second: *mut i64,
) -> i32 {
    guard(0, || {
        // SAFETY: the header's contract.
        let Some(ages) = (unsafe { identity(result) }).and_then(Identity::factor_ages) else { return 0 };
        for (out, age) in [first, second].into_iter().zip(ages) {
            // SAFETY: the header's contract.
            if let Ok(out) = unsafe { as_mut(out) } {
                *out = age;
            }
        }
        1
    })
}

/// What `clerk_result_has` checks.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum clerk_check {
    /// A role in the active organization: `org:admin`, or without the prefix.
    ROLE = 1,
    /// A permission in the active organization: `org:invoices:create`, or without the prefix.
    PERMISSION = 2,
    /// A feature. The prefix `org:` or `user:` restricts it to the organization's or the user's.
    FEATURE = 3,
    /// A plan. The prefix is as for a feature.
    PLAN = 4,
    /// A recent verification: `strict_mfa`, `strict`, `moderate`, `lax`, or a level and an age in minutes, such as
    /// `first_factor:10` (levels: `first_factor`, `second_factor`, `multi_factor`).
    REVERIFICATION = 5,
}

/// Checks an authorization of the user's session. `check` is a `clerk_check`.
///
/// Returns 1 if the check passes. Returns 0 otherwise, also for an unknown check, an invalid value, a machine token
/// and a request that is not signed in. Combine several checks with `&&`. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_has(result: *const clerk_result, check: i32, value: clerk_str) -> i32 {
    guard(0, || {
        // SAFETY: the header's contract.
        let (Some(identity), Ok(value)) = (unsafe { identity(result) }, unsafe { value.to_str() }) else { return 0 };
        let mut params = AuthorizationParams::default();
        match check {
            c if c == clerk_check::ROLE as i32 => params.role = Some(value),
            c if c == clerk_check::PERMISSION as i32 => params.permission = Some(value),
            c if c == clerk_check::FEATURE as i32 => params.feature = Some(value),
            c if c == clerk_check::PLAN as i32 => params.plan = Some(value),
            c if c == clerk_check::REVERIFICATION as i32 => params.reverification = reverification(value),
            _ => return 0,
        }
        identity.has(&params).into()
    })
}

/// A preset, or `<level>:<minutes>`.
fn reverification(value: &str) -> Option<Reverification> {
    let Some((level, minutes)) = value.split_once(':') else { return Reverification::preset(value) };
    let level = match level {
        "first_factor" => FactorLevel::FirstFactor,
        "second_factor" => FactorLevel::SecondFactor,
        "multi_factor" => FactorLevel::MultiFactor,
        _ => return None,
    };
    let after_minutes = minutes.parse().ok()?;
    Some(Reverification { level, after_minutes })
}

/// Copies one claim as JSON into `buffer`, followed by a NUL.
///
/// `path` is the name of a claim, or a JSON Pointer (RFC 6901) such as `/o/id`. `*needed` receives the length without
/// the NUL. `needed` may be NULL.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_NOT_FOUND`, or `CLERK_E_ARGUMENT` if `capacity` is too small.
/// With a `capacity` of 0, `buffer` may be NULL. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_claim(
    result: *const clerk_result,
    path: clerk_str,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        let (result, path) = unsafe { (read(result)?, path.to_str()?) };
        let json = result.identity().and_then(|i| i.get(Attribute::Claims)).ok_or(CLERK_E_NOT_FOUND)?;
        let claims: serde_json::Value = serde_json::from_str(json).map_err(|_| CLERK_E_NOT_FOUND)?;
        let claim = if path.starts_with('/') { claims.pointer(path) } else { claims.get(path) };
        let claim = claim.ok_or(CLERK_E_NOT_FOUND)?.to_string();
        // SAFETY: the header's contract.
        unsafe { strings::copy_out(&claim, buffer, capacity, needed) }
    };
    guard(CLERK_E_PANIC, || status(body()))
}

/// Copies the value of a `WWW-Authenticate` header (RFC 6750) for a 401 or 403 into `buffer`, followed by a NUL.
///
/// The value has no `error` if no credential was presented; else `invalid_token` or `insufficient_scope`. `realm` may be
/// empty.
///
/// Returns as `clerk_result_claim` does; `CLERK_E_NOT_FOUND` if the HTTP status is neither 401 nor 403. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_www_authenticate(
    result: *const clerk_result,
    realm: clerk_str,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        let (result, realm) = unsafe { (read(result)?, realm.to_str()?) };
        if !realm.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err(CLERK_E_ARGUMENT);
        }
        let reason = result.reason().ok_or(CLERK_E_NOT_FOUND)?;
        let error = match reason.category() {
            Category::NoCredentials => None,
            Category::InvalidToken => Some("invalid_token"),
            Category::Forbidden => Some("insufficient_scope"),
            Category::Misconfigured | Category::Unavailable => return Err(CLERK_E_NOT_FOUND),
        };
        let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let realm = (!realm.is_empty()).then(|| format!("realm=\"{quoted}\""));
        let error = error.map(|code| format!("error=\"{code}\", error_description=\"{reason}\""));
        let parts: Vec<String> = realm.into_iter().chain(error).collect();
        let header = format!("Bearer {}", parts.join(", "));
        // SAFETY: the header's contract.
        unsafe { strings::copy_out(header.trim_end(), buffer, capacity, needed) }
    };
    guard(CLERK_E_PANIC, || status(body()))
}

/// Frees a result. NULL is ignored. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_free(result: *mut clerk_result) {
    if !result.is_null() {
        // SAFETY: `write_out` made the pointer with `Arc::into_raw`; it is freed once.
        let result = unsafe { Arc::from_raw(result.cast::<AuthResult>()) };
        // A cached result stays alive: only a counter changes, which cannot panic.
        if let Some(last) = Arc::into_inner(result) {
            guard((), || drop(last));
        }
    }
}
