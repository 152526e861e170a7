//! `clerk_request`: the one public input structure.

use std::mem::{offset_of, size_of};

use super::client::accessor;
use super::{CLERK_E_ARGUMENT, CLERK_E_NULL, CLERK_E_STRUCT_SIZE, CLERK_OK, as_mut, clerk_client, clerk_str};
use crate::request::{LineSource, Request, TokenSource};

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

/// A structure whose pointers and lengths [`read`] has checked.
#[repr(transparent)]
struct CheckedRequest(clerk_request);

// SAFETY: what a caller passes to a function does not change before it returns.
unsafe impl Sync for CheckedRequest {}

impl clerk_request {
    /// The values of members that count as lines, besides those of the credential. The first three replace lines of `headers`.
    fn members(&self) -> [(&'static [u8], clerk_str); 6] {
        [
            (b"accept", self.accept),
            (b"sec-fetch-dest", self.sec_fetch_dest),
            (b"referer", self.referer),
            (b"host", self.host),
            (b"origin", self.origin),
            (b"sec-fetch-site", self.sec_fetch_site),
        ]
    }

    /// Returns whether a member besides `headers` is set. Callers that pass all lines may set none.
    #[inline(always)]
    fn has_members(&self) -> bool {
        let others = [self.authorization, self.cookie, self.method, self.scheme, self.target];
        let lengths = self.members().iter().fold(self.mark, |lengths, (_, value)| lengths | value.len as u64);
        others.iter().fold(lengths, |lengths, value| lengths | value.len as u64) != 0
    }

    /// The lines in `headers`.
    ///
    /// # Safety
    /// `headers` is NULL or points to `header_count` lines, which live during `'a`.
    unsafe fn lines<'a>(&self) -> Result<&'a [clerk_header], i32> {
        match self.header_count {
            0 => Ok(&[]),
            _ if self.headers.is_null() => Err(CLERK_E_NULL),
            // SAFETY: not NULL; the rest is the caller's contract.
            count => Ok(unsafe { std::slice::from_raw_parts(self.headers, count) }),
        }
    }
}

impl<'a> LineSource<'a> for CheckedRequest {
    fn for_each(&self, add: &mut dyn FnMut(&[u8], &'a [u8])) {
        // SAFETY: `read` has checked the strings; that they can be read is its contract.
        let bytes = |string: clerk_str| unsafe { string.bytes() }.unwrap_or_default();
        let members = self.0.members();
        let is_replaced =
            |name: &[u8]| members[..3].iter().any(|(other, value)| value.len > 0 && name.eq_ignore_ascii_case(other));
        // SAFETY: as above.
        for header in unsafe { self.0.lines() }.unwrap_or_default() {
            let name = bytes(header.name);
            if !is_replaced(name) {
                add(name, bytes(header.value));
            }
        }
        members.into_iter().filter(|(_, value)| value.len > 0).for_each(|(name, value)| add(name, bytes(value)));
    }
}

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
    if given >= known && request.is_aligned() {
        // SAFETY: the whole structure is readable and lives as long as the request; a newtype of it has its layout.
        let checked = unsafe { &*request.cast::<CheckedRequest>() };
        // SAFETY: same contract as the caller.
        unsafe { read_lines(&checked.0, parsed)? };
        parsed.defer(checked);
        // SAFETY: same contract as the caller.
        return if checked.0.has_members() { unsafe { read_members(&checked.0, parsed) } } else { Ok(()) };
    }
    // SAFETY: zero bytes are null pointers and numbers; `known` bytes at most are copied, and any bytes are as good.
    let copy = unsafe {
        let mut copy = std::mem::zeroed::<clerk_request>();
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut copy).cast(), given.min(known));
        CheckedRequest(copy)
    };
    // SAFETY: same contract as the caller.
    unsafe { read_lines(&copy.0, parsed)? };
    copy.for_each(&mut |name, value| parsed.other_header(name, value));
    // SAFETY: same contract as the caller.
    unsafe { read_members(&copy.0, parsed) }
}

/// Checks all lines, and adds those that can hold a credential.
///
/// # Safety
/// As for [`read`].
#[inline(always)]
unsafe fn read_lines<'a>(request: &clerk_request, parsed: &mut Request<'a>) -> Result<(), i32> {
    if request.flags != 0 || request.header_count > MAX_HEADERS {
        return Err(CLERK_E_ARGUMENT);
    }
    // SAFETY: same contract as the caller.
    for header in unsafe { request.lines() }? {
        if !header.name.are_valid(&header.value) {
            header.name.check()?;
            header.value.check()?;
        }
        // Most lines end here.
        if matches!(header.name.len, 6 | 13) {
            // SAFETY: both were checked; that they can be read is the caller's contract.
            let (name, value) = unsafe { (header.name.checked_bytes(), header.value.checked_bytes()) };
            parsed.credential_header(name, value);
        }
    }
    Ok(())
}

/// Checks and adds the members besides `headers`.
///
/// # Safety
/// As for [`read`].
unsafe fn read_members<'a>(request: &clerk_request, parsed: &mut Request<'a>) -> Result<(), i32> {
    request.members().iter().try_for_each(|(_, value)| value.check())?;
    let mut add = |name: &[u8], value: clerk_str| {
        if value.len > 0 {
            // SAFETY: the string is the caller's contract.
            parsed.credential_header(name, unsafe { value.bytes() }?);
        }
        Ok::<(), i32>(())
    };
    add(b"authorization", request.authorization)?;
    add(b"cookie", request.cookie)?;
    // SAFETY: the strings are the caller's contract.
    let (method, scheme, target) =
        unsafe { (request.method.bytes()?, request.scheme.bytes()?, request.target.bytes()?) };
    parsed.method(method);
    if !(scheme.is_empty() && target.is_empty()) {
        parsed.scheme(scheme).target(target);
    }
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
