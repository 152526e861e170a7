//! The words for numbers, and the names of the settings: for logs, and for bindings that check their own lists.

use std::ffi::{CStr, c_char};

use super::{clerk_event_kind, guard};
use crate::config::SETTINGS;
use crate::events::Source;
use crate::reason::{Category, Reason};
use crate::token::TokenKind;

/// Returns the name of a reason, such as "token-expired"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_reason_name(reason: i32) -> *const c_char {
    guard(c"".as_ptr(), || Reason::from_number(reason).map_or(c"", Reason::c_str).as_ptr())
}

/// Returns the `clerk_category` of a reason; 0 for an unknown number. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_reason_category(reason: i32) -> i32 {
    guard(0, || Reason::from_number(reason).map_or(0, |reason| reason.category() as i32))
}

/// Returns the name of a category, such as "invalid_token"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_category_name(category: i32) -> *const c_char {
    let find = || Category::ALL.into_iter().find(|one| *one as i32 == category);
    guard(c"".as_ptr(), || find().map_or(c"", Category::c_str).as_ptr())
}

/// Returns the name of a source, "cache" or "verified"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_source_name(source: i32) -> *const c_char {
    let find = || [Source::Cache, Source::Verified].into_iter().find(|one| *one as i32 == source);
    guard(c"".as_ptr(), || find().map_or(c"", Source::c_str).as_ptr())
}

/// Returns the name of a token type, such as "session_token"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_token_kind_name(kind: i32) -> *const c_char {
    let find = || TokenKind::ALL.into_iter().find(|one| *one as i32 == kind);
    guard(c"".as_ptr(), || find().map_or(c"", TokenKind::c_str).as_ptr())
}

/// Returns the name of an event kind, such as "auth_success"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_event_kind_name(kind: i32) -> *const c_char {
    let find = || EVENTS.iter().find(|(one, _)| *one as i32 == kind);
    guard(c"".as_ptr(), || find().map_or(c"", |(_, word)| word).as_ptr())
}

const EVENTS: [(clerk_event_kind, &CStr); 12] = [
    (clerk_event_kind::AUTH_SUCCESS, c"auth_success"),
    (clerk_event_kind::AUTH_FAILED, c"auth_failed"),
    (clerk_event_kind::CACHE_MISS, c"cache_miss"),
    (clerk_event_kind::USER_CREATED, c"user_created"),
    (clerk_event_kind::USER_UPDATED, c"user_updated"),
    (clerk_event_kind::USER_LINKED, c"user_linked"),
    (clerk_event_kind::LINK_CONFLICT, c"link_conflict"),
    (clerk_event_kind::JWKS_REFRESHED, c"jwks_refreshed"),
    (clerk_event_kind::RATE_LIMITED, c"rate_limited"),
    (clerk_event_kind::STALE_USER_SERVED, c"stale_user_served"),
    (clerk_event_kind::USER_DELETED, c"user_deleted"),
    (clerk_event_kind::SECRET_KEY_REJECTED, c"secret_key_rejected"),
];

/// Returns the name of a setting by its position in the README's table, from 0; NULL after the last.
///
/// The string is static. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_setting_name(place: usize) -> *const c_char {
    guard(std::ptr::null(), || SETTINGS.get(place).map_or(std::ptr::null(), |setting| setting.c_name.as_ptr().cast()))
}
