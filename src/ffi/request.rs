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
    /// The value, as it came.
    pub value: clerk_str,
}

/// The lines of a request. Begin with `clerk_request r = CLERK_REQUEST_INIT;`. Either put all header lines into
/// `headers`, or just the two that matter into `authorization` and `cookie`; a line must not be given both ways. Nothing
/// is kept after the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct clerk_request {
    /// `sizeof(clerk_request)`, set by `CLERK_REQUEST_INIT`.
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// `header_count` lines, or NULL.
    pub headers: *const clerk_header,
    /// How many lines `headers` points to.
    pub header_count: usize,
    /// The value of the `Authorization` line, or empty.
    pub authorization: clerk_str,
    /// The value of the `Cookie` line, or empty.
    pub cookie: clerk_str,
    /// The request's method, or empty.
    pub method: clerk_str,
}

/// No server lets so many header lines through.
const MOST_HEADERS: usize = 4096;
const LARGEST: usize = 4096;
/// What the first version of the structure held; nothing shorter was ever compiled.
const SMALLEST: usize = offset_of!(clerk_request, method);

/// Reads a caller's structure, which may be older and shorter than ours, or newer and longer.
///
/// # Safety
/// `request` is NULL or points to `struct_size` readable bytes, and what it points to lives during `'a`.
pub(crate) unsafe fn read<'a>(request: *const clerk_request) -> Result<Request<'a>, i32> {
    if request.is_null() {
        return Err(CLERK_E_NULL);
    }
    // SAFETY: every version of the structure begins with its size.
    let given = unsafe { request.cast::<u32>().read() } as usize;
    if !(SMALLEST..=LARGEST).contains(&given) {
        return Err(CLERK_E_STRUCT_SIZE);
    }
    let known = size_of::<clerk_request>();
    // SAFETY: the caller vouches for `given` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(request.cast::<u8>(), given) };
    if bytes.get(known..).is_some_and(|tail| tail.iter().any(|b| *b != 0)) {
        return Err(CLERK_E_STRUCT_SIZE);
    }
    let none = clerk_str::NONE;
    let mut own = clerk_request {
        struct_size: 0,
        flags: 0,
        headers: std::ptr::null(),
        header_count: 0,
        authorization: none,
        cookie: none,
        method: none,
    };
    // SAFETY: both sides hold that many bytes; any bytes make a `clerk_request`.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut own).cast(), given.min(known)) };
    if own.flags != 0 || own.header_count > MOST_HEADERS {
        return Err(CLERK_E_ARGUMENT);
    }
    let headers = match own.header_count {
        0 => &[],
        _ if own.headers.is_null() => return Err(CLERK_E_NULL),
        // SAFETY: not NULL; the caller vouches for `header_count` lines.
        count => unsafe { std::slice::from_raw_parts(own.headers, count) },
    };
    let mut made = Request::new();
    for header in headers {
        // SAFETY: the caller vouches for both texts.
        made.header(unsafe { header.name.bytes() }?, unsafe { header.value.bytes() }?);
    }
    // SAFETY: the caller vouches for the texts.
    let (authorization, cookie) = unsafe { (own.authorization.bytes()?, own.cookie.bytes()?) };
    if !authorization.is_empty() {
        made.header(b"authorization", authorization);
    }
    if !cookie.is_empty() {
        made.header(b"cookie", cookie);
    }
    // SAFETY: the caller vouches for the text.
    made.method(unsafe { own.method.bytes() }?);
    Ok(made)
}
