//! The names of enumerations by their numbers: for logs, and for bindings.

use std::ffi::c_char;

use super::{clerk_event_kind, guard};
use crate::api::{CallStatus, Endpoint};
use crate::events::{HandshakeSource, Source};
use crate::reason::{Category, Reason};
use crate::shared_cache::SharedCacheState;
use crate::token::TokenKind;

/// A name with NUL bytes behind it. Longer names do not compile.
type Name = [u8; 48];

const fn terminated(name: &str) -> Name {
    let mut bytes = [0; size_of::<Name>()];
    assert!(name.len() < bytes.len());
    let mut i = 0;
    while i < name.len() {
        bytes[i] = name.as_bytes()[i];
        i += 1;
    }
    bytes
}

/// The name of the value with this number, "" if there is none. The names are made at compile time.
macro_rules! name_of {
    ($enumeration:ty, $number:expr) => {{
        const VALUES: &[$enumeration] = <$enumeration as strum::VariantArray>::VARIANTS;
        static NAMES: [Name; VALUES.len()] = {
            let mut names = [[0; size_of::<Name>()]; VALUES.len()];
            let mut i = 0;
            while i < VALUES.len() {
                names[i] = terminated(<$enumeration as strum::VariantNames>::VARIANTS[i]);
                i += 1;
            }
            names
        };
        let number: i32 = $number;
        match VALUES.iter().position(|value| *value as i32 == number) {
            Some(place) => NAMES[place].as_ptr().cast(),
            None => c"".as_ptr(),
        }
    }};
}

/// Returns the name of a reason, such as "token-expired"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_reason_name(reason: i32) -> *const c_char {
    guard(c"".as_ptr(), || name_of!(Reason, reason))
}

/// Returns the `clerk_category` of a reason; 0 for an unknown number. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_reason_category(reason: i32) -> i32 {
    guard(0, || Reason::from_repr(reason).map_or(0, |reason| reason.category() as i32))
}

/// Returns the name of a category, such as "invalid_token"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_category_name(category: i32) -> *const c_char {
    guard(c"".as_ptr(), || name_of!(Category, category))
}

/// Returns the name of a source, "cache" or "verified"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_source_name(source: i32) -> *const c_char {
    guard(c"".as_ptr(), || name_of!(Source, source))
}

/// Returns the name of a handshake's source: "nonce", "token" or "refresh"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_handshake_source_name(source: i32) -> *const c_char {
    guard(c"".as_ptr(), || name_of!(HandshakeSource, source))
}

/// Returns the name of a token type, such as "session_token"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_token_kind_name(kind: i32) -> *const c_char {
    guard(c"".as_ptr(), || name_of!(TokenKind, kind))
}

/// Returns the name of an event kind, such as "auth_success"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_event_kind_name(kind: i32) -> *const c_char {
    guard(c"".as_ptr(), || name_of!(clerk_event_kind, kind))
}

/// Returns the name of an endpoint of Clerk, such as "users"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_endpoint_name(endpoint: i32) -> *const c_char {
    guard(c"".as_ptr(), || name_of!(Endpoint, endpoint))
}

/// Returns the name of the status of a call, such as "rate_limited"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_call_status_name(status: i32) -> *const c_char {
    guard(c"".as_ptr(), || name_of!(CallStatus, status))
}

/// Returns the name of the state of a shared cache, such as "available"; "" for an unknown number.
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_shared_cache_state_name(state: i32) -> *const c_char {
    guard(c"".as_ptr(), || name_of!(SharedCacheState, state))
}
