//! Cross-site request forgery: a browser sends cookies with requests that other sites have caused, so a cookie on an unsafe
//! method counts only with evidence that the request comes from the same origin (RFC 6454, Fetch Metadata).

use super::{Request, trim};

/// A header that a request holds at most once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Single<'a> {
    #[default]
    Absent,
    Once(&'a [u8]),
    Several,
}

impl<'a> Single<'a> {
    #[inline]
    pub fn add(&mut self, value: &'a [u8]) {
        *self = if let Single::Absent = self { Single::Once(trim(value)) } else { Single::Several };
    }

    /// Does the same, but an empty line counts as absent.
    #[inline]
    pub fn add_unless_empty(&mut self, value: &'a [u8]) {
        if !trim(value).is_empty() {
            self.add(value);
        }
    }
}

impl<'a> Request<'a> {
    /// Returns the host, of `Host` or `:authority`. `None` if there is none, or several that differ.
    pub(crate) fn host(&self) -> Option<&'a [u8]> {
        let lines = self.other.get();
        match (lines.authority, lines.host) {
            (Single::Once(authority), Single::Absent) => Some(authority),
            (Single::Absent, Single::Once(host)) => Some(host),
            (Single::Once(authority), Single::Once(host)) if authority == host => Some(host),
            _ => None,
        }
    }

    /// Returns whether a cookie of this request may be a credential: the method is safe, or `Sec-Fetch-Site` or `Origin` show
    /// that the request comes from its own origin or an authorized party. Duplicate and malformed lines show nothing.
    pub(crate) fn is_same_origin(&self, authorized_parties: &[String]) -> bool {
        // RFC 9110 §9.2.1; methods are case-sensitive.
        if matches!(self.method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE") {
            return true;
        }
        match self.other.get().sec_fetch_site {
            Single::Once(b"same-origin" | b"none") => return true,
            Single::Absent | Single::Once(b"same-site" | b"cross-site") => {}
            Single::Once(_) | Single::Several => return false,
        }
        let Single::Once(origin) = self.other.get().origin else { return false };
        let Some((scheme, authority)) = split_origin(origin) else { return false };
        if authorized_parties.iter().any(|party| party.as_bytes() == origin) {
            return true;
        }
        let default_port = match scheme {
            b"https" => 443,
            b"http" => 80,
            _ => return false,
        };
        let Some(host) = self.host() else { return false };
        match (split_port(authority, default_port), split_port(host, default_port)) {
            (Some((name, port)), Some((own_name, own_port))) => name.eq_ignore_ascii_case(own_name) && port == own_port,
            _ => false,
        }
    }
}

impl<'a> Request<'a> {
    /// Returns the headers that show where a request comes from, for the log.
    pub(crate) fn origin_headers(&self) -> [(&'static str, Option<&'a [u8]>); 3] {
        let shown = |header: Single<'a>| match header {
            Single::Absent => None,
            Single::Once(value) => Some(value),
            Single::Several => Some(b"(several lines)".as_slice()),
        };
        let lines = self.other.get();
        let host = if let Single::Absent = lines.host { lines.authority } else { lines.host };
        [("Sec-Fetch-Site", lines.sec_fetch_site), ("Origin", lines.origin), ("Host", host)]
            .map(|(name, header)| (name, shown(header)))
    }
}

/// Splits `scheme://host[:port]`. An opaque origin (`null`) has no such form.
fn split_origin(origin: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', origin)?;
    let (scheme, rest) = (&origin[..colon], origin[colon + 1..].strip_prefix(b"//")?);
    let is_scheme = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.');
    (!scheme.is_empty() && scheme.iter().all(is_scheme) && is_authority(rest)).then_some((scheme, rest))
}

/// The characters of a host, an IPv6 address in brackets and a port; neither user info nor a list.
fn is_authority(authority: &[u8]) -> bool {
    let is_allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'[' | b']');
    !authority.is_empty() && authority.iter().all(is_allowed)
}

fn split_port(authority: &[u8], default_port: u16) -> Option<(&[u8], u16)> {
    let name_len = match memchr::memrchr(b']', authority) {
        Some(bracket) if authority.starts_with(b"[") => bracket + 1,
        Some(_) => return None,
        None => memchr::memchr(b':', authority).unwrap_or(authority.len()),
    };
    let (name, rest) = authority.split_at(name_len);
    let port = match rest {
        [] => default_port,
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(digits).ok()?.parse().ok()?
        }
        _ => return None,
    };
    (!name.is_empty() && is_authority(name)).then_some((name, port))
}
