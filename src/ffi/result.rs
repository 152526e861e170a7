//! `clerk_result`: the answer to "who is calling?".

use std::ffi::c_char;
use std::sync::Arc;

use super::{
    CLERK_E_ARGUMENT, CLERK_E_NOT_FOUND, CLERK_E_NULL, CLERK_E_PANIC, CLERK_NO_CREDENTIALS, CLERK_OK, CLERK_SIGNED_OUT,
    CLERK_UNAVAILABLE, clerk_reason_name, clerk_str, exclusive, guard, shared, status,
};
use crate::client::{AuthResult, Outcome};
use crate::identity::{Attribute, Identity};
use crate::jwt::{Asked, Factors, Reverification};
use crate::reason::Category;

/// An answer: an immutable snapshot that any thread may read. Its texts live until it is freed, whatever becomes of the
/// client. The caller frees it, once.
pub struct clerk_result {
    _answer: AuthResult,
}

pub(crate) fn status_of(answer: &AuthResult) -> i32 {
    match answer.outcome {
        Outcome::SignedIn { .. } => CLERK_OK,
        Outcome::SignedOut { .. } => CLERK_SIGNED_OUT,
        Outcome::NoCredentials { .. } => CLERK_NO_CREDENTIALS,
        Outcome::Unavailable { .. } => CLERK_UNAVAILABLE,
    }
}

/// Hands an answer out as it is: the pointer is the shared answer itself, so that a cached one costs no memory.
///
/// # Safety
/// `out` is writable.
pub(crate) unsafe fn give(answer: Arc<AuthResult>, out: *mut *mut clerk_result) -> i32 {
    let status = status_of(&answer);
    // SAFETY: the caller vouches for it.
    unsafe { out.write(Arc::into_raw(answer).cast_mut().cast()) };
    status
}

/// # Safety
/// `result` is NULL or was handed out by [`give`] and is not freed yet.
unsafe fn read<'a>(result: *const clerk_result) -> Result<&'a AuthResult, i32> {
    // SAFETY: `give` made the pointer from one to an `Answer`.
    unsafe { shared(result.cast::<AuthResult>()) }
}

/// # Safety
/// As for [`read`].
unsafe fn identity<'a>(result: *const clerk_result) -> Option<&'a Identity> {
    // SAFETY: handed on.
    unsafe { read(result) }.ok().and_then(AuthResult::identity)
}

/// # Safety
/// As for [`read`].
unsafe fn text(result: *const clerk_result, text: Attribute) -> clerk_str {
    guard(clerk_str::NONE, || {
        // SAFETY: handed on.
        let identity = unsafe { identity(result) };
        // An identity's texts are followed by a NUL.
        clerk_str::terminated(identity.and_then(|identity| identity.get(text)))
    })
}

/// The status that came with the result: `CLERK_OK`, `CLERK_SIGNED_OUT`, `CLERK_NO_CREDENTIALS` or `CLERK_UNAVAILABLE`;
/// `CLERK_E_NULL` for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_status(result: *const clerk_result) -> i32 {
    // SAFETY: the header's rules.
    guard(CLERK_E_PANIC, || unsafe { read(result) }.map_or(CLERK_E_NULL, status_of))
}

/// Why nobody is signed in: a `clerk_reason`; 0 when somebody is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_reason(result: *const clerk_result) -> i32 {
    // SAFETY: the header's rules.
    guard(0, || unsafe { read(result) }.ok().and_then(AuthResult::reason).map_or(0, |reason| reason as i32))
}

/// The word for `clerk_result_reason`; "" when somebody is signed in. Static; never NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_reason_name(result: *const clerk_result) -> *const c_char {
    // SAFETY: the header's rules.
    guard(c"".as_ptr(), || clerk_reason_name(unsafe { clerk_result_reason(result) }))
}

/// The HTTP status that fits: 200, 401 (nothing good was presented), 403, 500 (the server is set up wrongly) or 503.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_http_status(result: *const clerk_result) -> i32 {
    // SAFETY: the header's rules.
    guard(500, || match unsafe { read(result) } {
        Ok(answer) => match answer.reason().map(|reason| reason.category()) {
            None => 200,
            Some(Category::NoCredentials | Category::InvalidToken) => 401,
            Some(Category::Forbidden) => 403,
            Some(Category::Misconfigured) => 500,
            Some(Category::Unavailable) => 503,
        },
        Err(_) => 500,
    })
}

/// How many milliseconds to wait before asking again (for `Retry-After`); -1 if that is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_retry_after_ms(result: *const clerk_result) -> i64 {
    // SAFETY: the header's rules.
    guard(-1, || match unsafe { read(result) }.map(|answer| answer.outcome) {
        Ok(Outcome::Unavailable { retry_after_ms: Some(ms), .. }) => i64::try_from(ms).unwrap_or(i64::MAX),
        _ => -1,
    })
}

/// 1 if Clerk's own front-end libraries would send this browser to Clerk and back to settle its session, else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_handshake_recommended(result: *const clerk_result) -> i32 {
    // SAFETY: the header's rules.
    guard(0, || unsafe { read(result) }.map_or(0, |answer| answer.handshake_recommended.into()))
}

/// Where the answer came from: a `clerk_source`; 0 when nobody is signed in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_source(result: *const clerk_result) -> i32 {
    // SAFETY: the header's rules.
    guard(0, || match unsafe { read(result) }.map(|answer| answer.outcome) {
        Ok(Outcome::SignedIn { source }) => source as i32,
        _ => 0,
    })
}

/// The kind of token: a `clerk_token_kind`; 0 when nobody is signed in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_token_kind(result: *const clerk_result) -> i32 {
    // SAFETY: the header's rules.
    guard(0, || unsafe { identity(result) }.map_or(0, |identity| identity.kind() as i32))
}

/// One of the identity's texts, a `clerk_attribute`; NULL data if it is not there or nobody is signed in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_get(result: *const clerk_result, which: i32) -> clerk_str {
    match Attribute::from_repr(which) {
        // SAFETY: the header's rules.
        Some(which) => unsafe { text(result, which) },
        None => clerk_str::NONE,
    }
}

/// The Clerk user's id, `user_…`; NULL data for machines, or when nobody is signed in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_user_id(result: *const clerk_result) -> clerk_str {
    // SAFETY: the header's rules; an identity's texts are followed by a NUL.
    guard(clerk_str::NONE, || clerk_str::terminated(unsafe { identity(result) }.and_then(Identity::user_id)))
}

/// The host's own key of the user's row, in `sync` mode; else NULL data.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_user_key(result: *const clerk_result) -> clerk_str {
    // SAFETY: the header's rules.
    unsafe { text(result, Attribute::UserKey) }
}

/// The session's id; NULL data if the token has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_session_id(result: *const clerk_result) -> clerk_str {
    // SAFETY: the header's rules.
    unsafe { text(result, Attribute::SessionId) }
}

/// All claims as JSON; NULL data if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_claims_json(result: *const clerk_result) -> clerk_str {
    // SAFETY: the header's rules.
    unsafe { text(result, Attribute::Claims) }
}

/// The end of the token in milliseconds since 1970-01-01 UTC; 0 if it has none or nobody is signed in.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_expires_at_ms(result: *const clerk_result) -> i64 {
    // SAFETY: the header's rules.
    guard(0, || unsafe { identity(result) }.map_or(0, Identity::expires_at_ms))
}

/// How many minutes ago the user's first and second factor were verified, -1 for never. Returns 1, or 0 if the token does
/// not say. Either pointer may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_factor_verification_age(
    result: *const clerk_result,
    first: *mut i64,
    second: *mut i64,
) -> i32 {
    guard(0, || {
        // SAFETY: the header's rules.
        let Some(ages) = (unsafe { identity(result) }).and_then(Identity::factor_ages) else { return 0 };
        for (out, age) in [first, second].into_iter().zip(ages) {
            // SAFETY: the header's rules.
            if let Ok(out) = unsafe { exclusive(out) } {
                *out = age;
            }
        }
        1
    })
}

/// What `clerk_result_has` can be asked for.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum clerk_check {
    /// A role in the active organization: `org:admin`, or without the prefix.
    ROLE = 1,
    /// A permission there: `org:invoices:create`, or without the prefix.
    PERMISSION = 2,
    /// A feature; `org:` or `user:` in front looks only there.
    FEATURE = 3,
    /// A plan; `org:` or `user:` in front looks only there.
    PLAN = 4,
    /// A verification of late: `strict_mfa`, `strict`, `moderate`, `lax`, or `<first_factor|second_factor|multi_factor>:<minutes>`.
    REVERIFICATION = 5,
}

/// Whether a user's session holds something: 1 or 0. `dimension` is a `clerk_check`. Unknown dimensions, odd values,
/// machine tokens and results without an identity give 0. Several demands are several calls joined by `&&`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_has(result: *const clerk_result, dimension: i32, value: clerk_str) -> i32 {
    guard(0, || {
        // SAFETY: the header's rules.
        let (Some(identity), Ok(value)) = (unsafe { identity(result) }, unsafe { value.text() }) else { return 0 };
        let mut asked = Asked::default();
        match dimension {
            d if d == clerk_check::ROLE as i32 => asked.role = Some(value),
            d if d == clerk_check::PERMISSION as i32 => asked.permission = Some(value),
            d if d == clerk_check::FEATURE as i32 => asked.feature = Some(value),
            d if d == clerk_check::PLAN as i32 => asked.plan = Some(value),
            d if d == clerk_check::REVERIFICATION as i32 => asked.reverification = reverification(value),
            _ => return 0,
        }
        identity.has(&asked).into()
    })
}

fn reverification(value: &str) -> Option<Reverification> {
    let Some((factors, minutes)) = value.split_once(':') else { return Reverification::preset(value) };
    let factors = match factors {
        "first_factor" => Factors::First,
        "second_factor" => Factors::Second,
        "multi_factor" => Factors::Both,
        _ => return None,
    };
    let after_minutes = minutes.parse().ok()?;
    Some(Reverification { factors, after_minutes })
}

/// Copies one claim as JSON into `buffer`, with a NUL behind it. `path` is a claim's name, or a JSON Pointer (RFC 6901)
/// such as `/o/id`. `*needed`, if wanted, is the size without the NUL. `CLERK_OK`; `CLERK_E_NOT_FOUND`;
/// `CLERK_E_ARGUMENT` when `capacity` is too small (with 0, `buffer` may be NULL).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_claim(
    result: *const clerk_result,
    path: clerk_str,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> i32 {
    let body = || {
        // SAFETY: the header's rules.
        let (answer, path) = unsafe { (read(result)?, path.text()?) };
        let json = answer.identity().and_then(|i| i.get(Attribute::Claims)).ok_or(CLERK_E_NOT_FOUND)?;
        let claims: serde_json::Value = serde_json::from_str(json).map_err(|_| CLERK_E_NOT_FOUND)?;
        let claim = if path.starts_with('/') { claims.pointer(path) } else { claims.get(path) };
        let text = claim.ok_or(CLERK_E_NOT_FOUND)?.to_string();
        // SAFETY: the header's rules.
        unsafe { copy_out(&text, buffer, capacity, needed) }
    };
    guard(CLERK_E_PANIC, || status(body()))
}

/// Copies the value of a `WWW-Authenticate` line for a 401 or 403 into `buffer`, with a NUL behind it (RFC 6750 section
/// 3): the bare scheme when nothing was presented, `invalid_token` for what is no good, `insufficient_scope` for callers
/// who may not come in. `realm` may be empty. Otherwise as `clerk_result_claim`; `CLERK_E_NOT_FOUND` when the result is
/// neither 401 nor 403.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_www_authenticate(
    result: *const clerk_result,
    realm: clerk_str,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> i32 {
    let body = || {
        // SAFETY: the header's rules.
        let (answer, realm) = unsafe { (read(result)?, realm.text()?) };
        if !realm.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return Err(CLERK_E_ARGUMENT);
        }
        let reason = answer.reason().ok_or(CLERK_E_NOT_FOUND)?;
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
        let text = format!("Bearer {}", parts.join(", "));
        // SAFETY: the header's rules.
        unsafe { copy_out(text.trim_end(), buffer, capacity, needed) }
    };
    guard(CLERK_E_PANIC, || status(body()))
}

/// # Safety
/// `buffer` is NULL or holds `capacity` bytes; `needed` is NULL or writable.
unsafe fn copy_out(text: &str, buffer: *mut c_char, capacity: usize, needed: *mut usize) -> Result<(), i32> {
    // SAFETY: handed on.
    if let Ok(needed) = unsafe { exclusive(needed) } {
        *needed = text.len();
    }
    if capacity <= text.len() {
        return Err(CLERK_E_ARGUMENT);
    }
    if buffer.is_null() {
        return Err(CLERK_E_NULL);
    }
    // SAFETY: `buffer` holds `capacity` bytes, more than the text and its NUL need.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, text.len());
        buffer.add(text.len()).write(0);
    }
    Ok(())
}

/// Frees a result. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_result_free(result: *mut clerk_result) {
    guard((), || {
        if !result.is_null() {
            // SAFETY: `give` made the pointer with `Arc::into_raw`; it is freed once.
            drop(unsafe { Arc::from_raw(result.cast::<AuthResult>()) });
        }
    });
}
