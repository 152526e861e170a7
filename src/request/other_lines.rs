//! The lines of a request besides those of its credential. Most requests end with a cached result and need none of them.

use std::fmt;
use std::sync::OnceLock;

use super::csrf::Single;
use super::name::Name;
use super::page::{self, PageLines};

/// What is read of the other lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OtherLines<'a> {
    pub fetch_dest: Single<'a>,
    /// The first `Accept` line: several count as one list.
    pub accept: Option<&'a [u8]>,
    pub host: Single<'a>,
    /// `:authority` of HTTP/2 and HTTP/3.
    pub authority: Single<'a>,
    pub origin: Single<'a>,
    pub sec_fetch_site: Single<'a>,
    pub page: PageLines<'a>,
}

impl<'a> OtherLines<'a> {
    pub fn add(&mut self, name: &[u8], value: &'a [u8]) {
        const HOST: Name = Name::new(b"host");
        const ORIGIN: Name = Name::new(b"origin");
        const ACCEPT: Name = Name::new(b"accept");
        const REFERER: Name = Name::new(b"referer");
        const USER_AGENT: Name = Name::new(b"user-agent");
        const AUTHORITY: Name = Name::new(b":authority");
        const SEC_FETCH_DEST: Name = Name::new(b"sec-fetch-dest");
        const SEC_FETCH_SITE: Name = Name::new(b"sec-fetch-site");
        match name.len() {
            4 if HOST.is(name) => self.host.add(value),
            6 if ORIGIN.is(name) => self.origin.add(value),
            6 if ACCEPT.is(name) => page::set_first(&mut self.accept, value),
            7 if REFERER.is(name) => page::set_first(&mut self.page.referer, value),
            10 if USER_AGENT.is(name) => page::set_first(&mut self.page.user_agent, value),
            10 if AUTHORITY.is(name) => self.authority.add(value),
            14 if SEC_FETCH_SITE.is(name) => self.sec_fetch_site.add(value),
            14 if SEC_FETCH_DEST.is(name) => self.fetch_dest.add_unless_empty(value),
            15..=17 if matches!(name, [b'x' | b'X', ..]) => self.page.forwarded_header(name, value),
            _ => {}
        }
    }
}

/// The lines of a request in the form that the caller has them in.
pub trait LineSource<'a>: Sync {
    /// Calls `add` with the name and the value of each line, in order. Those of the credential are ignored.
    fn for_each(&self, add: &mut dyn FnMut(&[u8], &'a [u8]));
}

/// [`OtherLines`], read when one of them is asked for or added.
#[derive(Clone, Default)]
pub(super) struct LazyLines<'a> {
    source: Option<&'a dyn LineSource<'a>>,
    lines: OnceLock<OtherLines<'a>>,
}

impl<'a> LazyLines<'a> {
    pub fn defer(&mut self, source: &'a dyn LineSource<'a>) {
        self.source = Some(source);
    }

    fn read(&self) -> OtherLines<'a> {
        let mut lines = OtherLines::default();
        if let Some(source) = self.source {
            source.for_each(&mut |name, value| lines.add(name, value));
        }
        lines
    }

    pub fn get(&self) -> &OtherLines<'a> {
        self.lines.get_or_init(|| self.read())
    }

    /// Reads the lines, then changes them.
    pub fn change(&mut self, change: impl FnOnce(&mut OtherLines<'a>)) {
        if self.lines.get().is_none() {
            self.lines = OnceLock::from(self.read());
        }
        if let Some(lines) = self.lines.get_mut() {
            change(lines);
        }
    }
}

impl fmt::Debug for LazyLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::*;

    struct Lines;

    impl LineSource<'static> for Lines {
        fn for_each(&self, add: &mut dyn FnMut(&[u8], &'static [u8])) {
            add(b"Host", b" a.example ");
            add(b"Authorization", b"Bearer b");
            add(b"Origin", b"https://a.example");
        }
    }

    #[test]
    fn deferred_lines_come_before_added_ones() {
        let mut request = Request::new();
        request.defer(&Lines);
        assert!(!request.has_authorization());
        assert_eq!((request.host(), request.origin()), (Some(&b"a.example"[..]), Some(&b"https://a.example"[..])));
        let mut request = Request::new();
        request.defer(&Lines).header(b"origin", b"https://b.example").scheme(b"https");
        assert_eq!((request.host(), request.origin()), (Some(&b"a.example"[..]), None));
        assert_eq!(request.page().scheme, b"https");
    }
}
