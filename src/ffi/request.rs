//! `clerk_request`: the one public input structure.

use std::mem::{offset_of, size_of};

use super::client::accessor;
use super::{CLERK_E_ARGUMENT, CLERK_E_NULL, CLERK_E_STRUCT_SIZE, CLERK_OK, as_mut, clerk_client, clerk_str};
use crate::request::{Request, TokenSource};

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
/// Set either `headers` to all lines, or the other members to the values of their lines. A line that is passed both
/// ways counts as two. The library copies what it keeps: nothing has to outlive the call.
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
    /// Value of the `Host` header (or `:authority`), or empty. Needed with `authorization` and `cookie` if the setting
    /// `csrf` is on, like the next two.
    pub host: clerk_str,
    /// Value of the `Origin` header, or empty.
    pub origin: clerk_str,
    /// Value of the `Sec-Fetch-Site` header, or empty.
    pub sec_fetch_site: clerk_str,
    /// Scheme of the request, "https" or "http", as the browser used it; or empty. The setting `handshake` needs this
    /// and the next two, and `host` unless `headers` has the line; without them no request is redirected.
    pub scheme: clerk_str,
    /// Request target: path and query exactly as the browser sent them, beginning with "/"; or empty.
    pub target: clerk_str,
    /// Value of the `Accept` header, or empty. This and the next two count instead of lines in `headers`.
    pub accept: clerk_str,
    /// Value of the `Sec-Fetch-Dest` header, or empty.
    pub sec_fetch_dest: clerk_str,
    /// Value of the `Referer` header, or empty.
    pub referer: clerk_str,
    /// Value of `clerk_client_mark` when the request began; or 0: it begins with the call. For applications that pass
    /// requests to other threads.
    pub mark: u64,
}

/// No server accepts more header lines.
pub(crate) const MAX_HEADERS: usize = 4096;
const MAX_SIZE: usize = 4096;
/// Size of the structure in its first version.
const MIN_SIZE: usize = offset_of!(clerk_request, method);

/// Adds the lines of a caller's structure, which may be older and shorter than this one, or newer and longer.
///
/// # Safety
/// `request` is NULL or points to `struct_size` readable bytes; they and what they point to live during `'a`.
#[inline]
pub(crate) unsafe fn read<'a>(request: *const clerk_request, parsed: &mut Request<'a>) -> Result<(), i32> {
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
    let mut copy;
    let request = if given >= known && request.is_aligned() {
        // SAFETY: the whole structure is readable.
        unsafe { &*request }
    } else {
        // SAFETY: zero bytes are null pointers and numbers; `known` bytes at most are copied, and any bytes are as good.
        unsafe {
            copy = std::mem::zeroed::<clerk_request>();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut copy).cast(), given.min(known));
        }
        &copy
    };
    if request.flags != 0 || request.header_count > MAX_HEADERS {
        return Err(CLERK_E_ARGUMENT);
    }
    let headers = match request.header_count {
        0 => &[],
        _ if request.headers.is_null() => return Err(CLERK_E_NULL),
        // SAFETY: not NULL; `header_count` lines are the caller's contract.
        count => unsafe { std::slice::from_raw_parts(request.headers, count) },
    };
    let overrides = || {
        [(&b"accept"[..], request.accept), (b"sec-fetch-dest", request.sec_fetch_dest), (b"referer", request.referer)]
    };
    let has_overrides = (request.accept.len | request.sec_fetch_dest.len | request.referer.len) != 0;
    let is_overridden =
        |name: &[u8]| overrides().iter().any(|(other, value)| value.len > 0 && name.eq_ignore_ascii_case(other));
    for header in headers {
        // SAFETY: both strings are the caller's contract.
        let (name, value) = unsafe { (header.name.bytes()?, header.value.bytes()?) };
        if !has_overrides || !is_overridden(name) {
            parsed.header(name, value);
        }
    }
    let mut add = |name: &[u8], value: clerk_str| {
        if value.len > 0 {
            // SAFETY: the string is the caller's contract.
            parsed.header(name, unsafe { value.bytes() }?);
        }
        Ok::<(), i32>(())
    };
    if has_overrides {
        overrides().into_iter().try_for_each(|(name, value)| add(name, value))?;
    }
    add(b"authorization", request.authorization)?;
    add(b"cookie", request.cookie)?;
    add(b"host", request.host)?;
    add(b"origin", request.origin)?;
    add(b"sec-fetch-site", request.sec_fetch_site)?;
    // SAFETY: the string is the caller's contract.
    parsed.method(unsafe { request.method.bytes() }?);
    // SAFETY: the strings are the caller's contract.
    parsed.scheme(unsafe { request.scheme.bytes() }?).target(unsafe { request.target.bytes() }?);
    if let Some(mark) = request.mark.checked_sub(1) {
        parsed.mark(mark);
    }
    Ok(())
}

/// Returns a mark of this moment, for `mark` of a `clerk_request` that another thread will authenticate. A user that
/// Clerk returns after it counts as fetched for that request: requests that begin together share one fetch.
///
/// Returns 0 if `client` is NULL. Any thread, also in callbacks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_client_mark(client: *const clerk_client) -> u64 {
    let mut mark = 0;
    // SAFETY: the header's contract.
    let status = unsafe {
        accessor(client, |client| {
            mark = client.mark().saturating_add(1);
            Ok(())
        })
    };
    if status == CLERK_OK { mark } else { 0 }
}

/// Where the token of a request was found.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum clerk_token_source {
    /// There is no credential.
    NONE = 0,
    /// The `Authorization` header.
    HEADER = 1,
    /// A session cookie.
    COOKIE = 2,
}

/// Finds the credential of a request, as `clerk_authenticate` would. Verifies nothing and emits no event.
///
/// Sets `*token` to a slice of the request's own lines, not followed by a NUL; NULL data if there is no credential or
/// it is malformed. Sets `*source` to a `clerk_token_source`. `token` and `source` may be NULL.
///
/// Returns `CLERK_OK` or a negative status. Any thread, also in callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_request_credential(
    client: *const clerk_client,
    request: *const clerk_request,
    token: *mut clerk_str,
    source: *mut i32,
) -> i32 {
    let set = |found: clerk_str, place: clerk_token_source| {
        // SAFETY: the header's contract.
        unsafe {
            if let Ok(token) = as_mut(token) {
                *token = found;
            }
            if let Ok(source) = as_mut(source) {
                *source = place as i32;
            }
        }
    };
    set(clerk_str::NONE, clerk_token_source::NONE);
    // SAFETY: the header's contract.
    unsafe {
        accessor(client, |client| {
            let mut parsed = Request::new();
            read(request, &mut parsed)?;
            if let Some((place, found)) = client.credential(&parsed) {
                let place = match place {
                    TokenSource::Header => clerk_token_source::HEADER,
                    TokenSource::Cookie => clerk_token_source::COOKIE,
                };
                let token = found.map(|token| clerk_str { data: token.as_ptr().cast(), len: token.len() });
                set(token.unwrap_or(clerk_str::NONE), place);
            }
            Ok(())
        })
    }
}
