//! Status numbers.

use std::ffi::{CStr, c_char};

use super::guard;

/// Signed in, and nothing else: `if (clerk_authenticate(...) == CLERK_OK)` fails closed.
pub const CLERK_OK: i32 = 0;
/// Something was presented, and it is no good; the result says why.
pub const CLERK_SIGNED_OUT: i32 = 1;
/// Nothing was presented; the host may go on with a session of its own.
pub const CLERK_NO_CREDENTIALS: i32 = 2;
/// Nobody can tell right now: answer 503, never 401.
pub const CLERK_UNAVAILABLE: i32 = 3;
/// Memory does not hold the answer; `clerk_authenticate` or `clerk_authenticate_begin` can tell.
pub const CLERK_WOULD_BLOCK: i32 = 4;
/// The store has to be asked; see `clerk_pending`.
pub const CLERK_PENDING: i32 = 5;
/// A webhook delivery that is Clerk's and changes nothing here: answer 200.
pub const CLERK_WEBHOOK_IGNORED: i32 = 6;
/// A pointer that must not be NULL is NULL.
pub const CLERK_E_NULL: i32 = -101;
/// An argument is out of range, unknown or too long.
pub const CLERK_E_ARGUMENT: i32 = -102;
/// A text that must be UTF-8 is not.
pub const CLERK_E_UTF8: i32 = -103;
/// `struct_size` is wrong, or a newer caller asks for something this library does not know.
pub const CLERK_E_STRUCT_SIZE: i32 = -104;
/// The call does not fit the object's state (an answer to a question that was not asked).
pub const CLERK_E_STATE: i32 = -105;
/// What was asked for is not there.
pub const CLERK_E_NOT_FOUND: i32 = -106;
/// A setting is wrong; the error names it.
pub const CLERK_E_CONFIG: i32 = -201;
/// The process was forked since the client was made; call `clerk_client_warm_up` in the child.
pub const CLERK_E_FORKED: i32 = -301;
/// Clerk could not be asked.
pub const CLERK_E_API: i32 = -302;
/// Called from inside a hook of the same client.
pub const CLERK_E_REENTRANT: i32 = -401;
/// A webhook delivery that is not Clerk's: answer 400.
pub const CLERK_E_WEBHOOK: i32 = -501;
/// A fault of this library; nobody is signed in.
pub const CLERK_E_PANIC: i32 = -901;

fn name(status: i32) -> &'static CStr {
    match status {
        CLERK_OK => c"CLERK_OK",
        CLERK_SIGNED_OUT => c"CLERK_SIGNED_OUT",
        CLERK_NO_CREDENTIALS => c"CLERK_NO_CREDENTIALS",
        CLERK_UNAVAILABLE => c"CLERK_UNAVAILABLE",
        CLERK_WOULD_BLOCK => c"CLERK_WOULD_BLOCK",
        CLERK_PENDING => c"CLERK_PENDING",
        CLERK_WEBHOOK_IGNORED => c"CLERK_WEBHOOK_IGNORED",
        CLERK_E_NULL => c"CLERK_E_NULL",
        CLERK_E_ARGUMENT => c"CLERK_E_ARGUMENT",
        CLERK_E_UTF8 => c"CLERK_E_UTF8",
        CLERK_E_STRUCT_SIZE => c"CLERK_E_STRUCT_SIZE",
        CLERK_E_STATE => c"CLERK_E_STATE",
        CLERK_E_NOT_FOUND => c"CLERK_E_NOT_FOUND",
        CLERK_E_CONFIG => c"CLERK_E_CONFIG",
        CLERK_E_FORKED => c"CLERK_E_FORKED",
        CLERK_E_API => c"CLERK_E_API",
        CLERK_E_REENTRANT => c"CLERK_E_REENTRANT",
        CLERK_E_WEBHOOK => c"CLERK_E_WEBHOOK",
        CLERK_E_PANIC => c"CLERK_E_PANIC",
        _ => c"CLERK_E_UNKNOWN",
    }
}

/// The name of a status, such as "CLERK_SIGNED_OUT". Static; never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_status_name(status: i32) -> *const c_char {
    guard(c"CLERK_E_PANIC".as_ptr(), || name(status).as_ptr())
}

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// Major number of the binary interface: moves only when something is taken away or changed.
pub const CLERK_ABI_MAJOR: u32 = 0;
/// Minor number of the binary interface: moves when something is added.
pub const CLERK_ABI_MINOR: u32 = 1;

/// The library's version, such as "0.1.0". Static; never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_version() -> *const c_char {
    guard(c"".as_ptr(), || VERSION.as_ptr())
}

/// `CLERK_ABI_MAJOR << 16 | CLERK_ABI_MINOR` of the library that is loaded. A caller compiled against another major number,
/// or a larger minor one, must not go on. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn clerk_abi_version() -> u32 {
    guard(0, || CLERK_ABI_MAJOR << 16 | CLERK_ABI_MINOR)
}
