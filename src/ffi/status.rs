//! Statuses and versions.

use std::ffi::{CStr, c_char};

use super::guard;

/// A return value. Zero is success, a positive number is an expected outcome, a negative number is a failure.
///
/// Numbers are never reused. A later version may add some: treat an unknown number as a failure.
///
/// cbindgen:prefix-with-name=false
/// cbindgen:rename-all=None
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum clerk_status {
    /// Success. An authentication returns it if and only if the request is signed in.
    CLERK_OK = 0,
    /// A credential was presented and rejected. `clerk_result_reason` says why.
    CLERK_SIGNED_OUT = 1,
    /// No credential was presented. The application may continue with a session of its own.
    CLERK_NO_CREDENTIALS = 2,
    /// The result cannot be determined now. Respond with 503, never with 401.
    CLERK_UNAVAILABLE = 3,
    /// The cached data is not sufficient. Call `clerk_authenticate` or `clerk_authenticate_begin` on a thread that may
    /// block.
    CLERK_WOULD_BLOCK = 4,
    /// The application has to query its user table. See `clerk_pending`.
    CLERK_PENDING = 5,
    /// A valid webhook that changes nothing here. Respond with 200.
    CLERK_WEBHOOK_IGNORED = 6,
    /// A required pointer is NULL.
    CLERK_E_NULL = -101,
    /// An argument is out of range, unknown or too long.
    CLERK_E_ARGUMENT = -102,
    /// A string is not valid UTF-8.
    CLERK_E_UTF8 = -103,
    /// `struct_size` is not supported, or a field that is unknown to this version of the library is set.
    CLERK_E_STRUCT_SIZE = -104,
    /// The call is not allowed in the object's current state.
    CLERK_E_STATE = -105,
    /// The requested value does not exist.
    CLERK_E_NOT_FOUND = -106,
    /// A setting is invalid. `clerk_error_setting` names it.
    CLERK_E_CONFIG = -201,
    /// The process was forked after the client was created. Call `clerk_client_warm_up` in the child.
    CLERK_E_FORKED = -301,
    /// A request to Clerk failed.
    CLERK_E_API = -302,
    /// Called from inside a callback of the same client.
    CLERK_E_REENTRANT = -401,
    /// The webhook is invalid. Respond with 400.
    CLERK_E_WEBHOOK = -501,
    /// Internal error of the library. Treat it as "not signed in".
    CLERK_E_PANIC = -901,
}

/// What a user store callback returns, and what `clerk_pending_submit` takes.
///
/// A negative number is an error code of the application.
///
/// cbindgen:prefix-with-name=false
/// cbindgen:rename-all=None
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum clerk_store_status {
    /// The request was executed. The response contains its outcome.
    CLERK_STORE_OK = 0,
    /// The store has no transactions. Only for `BEGIN`, `COMMIT` and `ROLLBACK`.
    CLERK_STORE_DECLINE = 1,
    /// A unique constraint was violated, or an `UPDATE` matched no row. Only for `CREATE` and `UPDATE`. The row is
    /// looked up again.
    CLERK_STORE_CONFLICT = 2,
}

/// The same numbers as constants of type `i32`, and the names of all.
macro_rules! numbers {
    ($list:ident, $enum:ident: $($name:ident)*) => {
        $(
            #[doc = concat!("See [`", stringify!($enum), "`].")]
            pub const $name: i32 = $enum::$name as i32;
        )*
        const $list: &[(i32, &str)] = &[$(($name, concat!(stringify!($name), "\0")),)*];
        // Fails to compile when a name is missing above.
        const _: fn($enum) = |number| match number { $($enum::$name => (),)* };
    };
}

numbers! { STATUSES, clerk_status:
    CLERK_OK CLERK_SIGNED_OUT CLERK_NO_CREDENTIALS CLERK_UNAVAILABLE CLERK_WOULD_BLOCK CLERK_PENDING
    CLERK_WEBHOOK_IGNORED CLERK_E_NULL CLERK_E_ARGUMENT CLERK_E_UTF8 CLERK_E_STRUCT_SIZE CLERK_E_STATE
    CLERK_E_NOT_FOUND CLERK_E_CONFIG CLERK_E_FORKED CLERK_E_API CLERK_E_REENTRANT CLERK_E_WEBHOOK CLERK_E_PANIC
}
numbers! { _STORE_STATUSES, clerk_store_status: CLERK_STORE_OK CLERK_STORE_DECLINE CLERK_STORE_CONFLICT }

/// Whether a call that returns `status` has failed: then it sets `*error`.
pub(crate) fn is_failure(status: i32) -> bool {
    status < 0 || status == CLERK_UNAVAILABLE
}

/// The message of a failure without further details.
pub(crate) fn message(status: i32) -> &'static str {
    match status {
        CLERK_UNAVAILABLE => "the result cannot be determined now",
        CLERK_E_NULL => "a required pointer is NULL",
        CLERK_E_ARGUMENT => "an argument is out of range, unknown or too long",
        CLERK_E_UTF8 => "a string is not valid UTF-8",
        CLERK_E_STRUCT_SIZE => "struct_size is not supported, or an unknown field is set",
        CLERK_E_STATE => "the call is not allowed in the object's current state",
        CLERK_E_NOT_FOUND => "the requested value does not exist",
        CLERK_E_CONFIG => "a setting is invalid",
        CLERK_E_FORKED => "the process was forked after the client was created; call clerk_client_warm_up",
        CLERK_E_API => "a request to Clerk failed",
        CLERK_E_REENTRANT => "called from inside a callback of the same client",
        CLERK_E_WEBHOOK => "the webhook is invalid",
        _ => "internal error of clerk-auth",
    }
}

/// Returns the name of a status, such as "CLERK_SIGNED_OUT".
///
/// The string is static and never NULL; an unknown number gives "CLERK_E_UNKNOWN". Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_status_name(status: i32) -> *const c_char {
    guard(c"CLERK_E_PANIC".as_ptr(), || {
        let known = STATUSES.iter().find(|(number, _)| *number == status);
        known.map_or(c"CLERK_E_UNKNOWN".as_ptr(), |(_, name)| name.as_ptr().cast())
    })
}

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// Major version of the binary interface. It changes when something is removed or changed.
pub const CLERK_ABI_MAJOR: u32 = 0;
/// Minor version of the binary interface. It changes when something is added.
pub const CLERK_ABI_MINOR: u32 = 1;

/// Returns the version of the loaded library, such as "0.1.0".
///
/// The string is static and never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_version() -> *const c_char {
    guard(c"".as_ptr(), || VERSION.as_ptr())
}

/// Returns `CLERK_ABI_MAJOR << 16 | CLERK_ABI_MINOR` of the loaded library.
///
/// A program must not continue if the major version differs from that of its header, or if the minor version is
/// smaller. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_abi_version() -> u32 {
    guard(0, || CLERK_ABI_MAJOR << 16 | CLERK_ABI_MINOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_message_is_specific_for_every_status() {
        let failures = STATUSES.iter().filter(|(status, _)| is_failure(*status));
        let mut messages: Vec<&str> = failures.map(|(status, _)| message(*status)).collect();
        let count = messages.len();
        messages.sort_unstable();
        messages.dedup();
        assert_eq!((messages.len(), count), (13, 13));
    }
}
