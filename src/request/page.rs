//! What the browser handshake reads of a request besides credentials: the parts of the public URL, and what is passed on to
//! Clerk about the browser when a session is refreshed.

use super::csrf::Single;
use super::{Request, trim};

/// The lines and parts. Only a request that is handed over with them can be redirected.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageLines<'a> {
    /// `https` or `http`; empty if it is not known.
    pub scheme: &'a [u8],
    /// The request target: path and query as the browser sent them; empty if it is not known.
    pub target: &'a [u8],
    /// `Referer`
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`
    pub user_agent: Option<&'a [u8]>,
    /// `X-Forwarded-For`
    pub forwarded_for: Option<&'a [u8]>,
    /// `X-Forwarded-Host`
    pub forwarded_host: Option<&'a [u8]>,
    /// `X-Forwarded-Proto`
    pub forwarded_proto: Option<&'a [u8]>,
}

/// Sets the value of the first line that is not empty.
#[inline]
pub(super) fn set_first<'a>(field: &mut Option<&'a [u8]>, value: &'a [u8]) {
    let value = trim(value);
    if field.is_none() && !value.is_empty() {
        *field = Some(value);
    }
}

impl<'a> PageLines<'a> {
    pub(super) fn forwarded_header(&mut self, name: &[u8], value: &'a [u8]) {
        let field = if name.eq_ignore_ascii_case(b"x-forwarded-for") {
            &mut self.forwarded_for
        } else if name.eq_ignore_ascii_case(b"x-forwarded-host") {
            &mut self.forwarded_host
        } else if name.eq_ignore_ascii_case(b"x-forwarded-proto") {
            &mut self.forwarded_proto
        } else {
            return;
        };
        set_first(field, value);
    }
}

impl<'a> Request<'a> {
    /// Sets the scheme under which the request arrived, `https` or `http`. Without it no request is redirected.
    pub fn scheme(&mut self, scheme: &'a [u8]) -> &mut Self {
        self.other.change(|lines| lines.page.scheme = scheme);
        self
    }

    /// Sets the request target: path and query, exactly as the browser sent them. Without it no request is redirected.
    pub fn target(&mut self, target: &'a [u8]) -> &mut Self {
        self.other.change(|lines| lines.page.target = target);
        self
    }

    /// Returns what the handshake reads.
    pub(crate) fn page(&self) -> &PageLines<'a> {
        &self.other.get().page
    }

    /// Returns the cookie lines.
    pub(crate) fn cookie_lines(&self) -> &[&'a [u8]] {
        &self.cookies
    }

    /// Returns the value of `Origin`, if there is one.
    pub(crate) fn origin(&self) -> Option<&'a [u8]> {
        match self.other.get().origin {
            Single::Once(origin) => Some(origin),
            Single::Absent | Single::Several => None,
        }
    }

    pub(crate) fn is_get(&self) -> bool {
        self.method == b"GET"
    }

    /// Returns whether `Sec-Fetch-Dest` says that a document is requested, for a tab of its own.
    pub(crate) fn is_top_level_document(&self) -> bool {
        self.is_get() && matches!(self.other.get().fetch_dest, Single::Once(b"document"))
    }
}
