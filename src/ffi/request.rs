//! `clerk_request`: the one public input structure.

use std::mem::{offset_of, size_of};

use super::{CLERK_E_ARGUMENT, CLERK_E_NULL, CLERK_E_STRUCT_SIZE, clerk_str};
use crate::request::Request;

/// One header line.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clerk_header {
    /// The name, in any case.
    pub name: clerk_str,
    /// The value, as received.
    pub value: clerk_str,
}

/// The header lines of a request. Initialize with `CLERK_REQUEST_INIT`.
///
/// Set either `headers` to all lines, or `authorization` and `cookie` to the values of these two; do not pass a line
/// both ways. Nothing has to outlive the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clerk_request {
    /// `sizeof(clerk_request)`, set by `CLERK_REQUEST_INIT`.
    pub struct_size: u32,
    /// Must be 0.
    pub flags: u32,
    /// `header_count` lines, or NULL.
    pub headers: *const clerk_header,
    /// Number of lines in `headers`.
    pub header_count: usize,
    /// Value of the `Authorization` header, or empty.
    pub authorization: clerk_str,
    /// Value of the `Cookie` header, or empty.
    pub cookie: clerk_str,
    /// Method of the request, or empty.
    pub method: clerk_str,
}

/// No server accepts more header lines.
pub(crate) const MAX_HEADERS: usize = 4096;
const MAX_SIZE: usize = 4096;
/// Size of the structure in its first version.
const MIN_SIZE: usize = offset_of!(clerk_request, method);

/// Reads a caller's structure, which may be older and shorter than this one, or newer and longer.
///
/// # Safety
/// `request` is NULL or points to `struct_size` readable bytes; they and what they point to live during `'a`.
pub(crate) unsafe fn read<'a>(request: *const clerk_request) -> Result<Request<'a>, i32> {
    if request.is_null() {
        return Err(CLERK_E_NULL);
    }
    // SAFETY: every version of the structure begins with its size.
    let given = unsafe { request.cast::<u32>().read() } as usize;
    if !(MIN_SIZE..=MAX_SIZE).contains(&given) {
        return Err(CLERK_E_STRUCT_SIZE);
    }
    let known = size_of::<clerk_request>();
    // SAFETY: `given` bytes are the caller's contract.
    let bytes = unsafe { std::slice::from_raw_parts(request.cast::<u8>(), given) };
    if bytes.get(known..).is_some_and(|tail| tail.iter().any(|b| *b != 0)) {
        return Err(CLERK_E_STRUCT_SIZE);
    }
    let none = clerk_str::NONE;
    let mut copy = clerk_request {
        struct_size: 0,
        flags: 0,
        headers: std::ptr::null(),
        header_count: 0,
        authorization: none,
        cookie: none,
        method: none,
    };
    // SAFETY: both sides hold that many bytes; any bytes make a `clerk_request`.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut copy).cast(), given.min(known)) };
    if copy.flags != 0 || copy.header_count > MAX_HEADERS {
        return Err(CLERK_E_ARGUMENT);
    }
    let headers = match copy.header_count {
        0 => &[],
        _ if copy.headers.is_null() => return Err(CLERK_E_NULL),
        // SAFETY: not NULL; `header_count` lines are the caller's contract.
        count => unsafe { std::slice::from_raw_parts(copy.headers, count) },
    };
    let mut parsed = Request::new();
    for header in headers {
        // SAFETY: both strings are the caller's contract.
        parsed.header(unsafe { header.name.bytes() }?, unsafe { header.value.bytes() }?);
    }
    // SAFETY: the strings are the caller's contract.
    let (authorization, cookie) = unsafe { (copy.authorization.bytes()?, copy.cookie.bytes()?) };
    if !authorization.is_empty() {
        parsed.header(b"authorization", authorization);
    }
    if !cookie.is_empty() {
        parsed.header(b"cookie", cookie);
    }
    // SAFETY: the string is the caller's contract.
    parsed.method(unsafe { copy.method.bytes() }?);
    Ok(parsed)
}
