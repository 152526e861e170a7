//! What is to be done with a request that has no `Authorization` token, up to the verification of its session token. The order
//! is that of Clerk's JavaScript SDK.

use std::borrow::Cow;

use once_cell::unsync::OnceCell;

use super::address::{Address, MAX_TARGET_LEN};
use super::organization::{MAX_PATH_LEN, Target};
use super::query::{self, Value};
use super::redirect::MAX_LOCATION_LEN;
use super::settings::Settings;
use crate::reason::Reason;
use crate::request::{BrowserCookies, Request};

/// A request as the handshake sees it.
#[derive(Debug)]
pub struct Page<'r, 'a> {
    /// The cookies of the instance.
    pub cookies: BrowserCookies<'a>,
    request: &'r Request<'a>,
    settings: &'r Settings,
    /// Made when it is needed: most requests do without.
    address: OnceCell<Option<Address<'a>>>,
    /// The query of the request, with the path before it; read even if the public URL is not known.
    target: &'a [u8],
    /// Whether a browser requests a document, so that it may be redirected.
    pub is_eligible: bool,
    /// Whether it is a document for a tab of its own.
    pub is_top_level: bool,
    /// Whether the method is GET.
    pub is_get: bool,
    /// `Referer`
    pub referer: Option<&'a str>,
}

/// Where a browser is redirected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Clerk's Frontend API.
    FrontendApi,
    /// The sign-in page of the primary application, which passes the development browser on.
    PrimaryDomain,
    /// The satellite that asked for the development browser.
    Satellite,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision<'a> {
    /// The request is not signed in.
    SignedOut(Reason),
    /// A redirect if the request is eligible; otherwise the request is not signed in, for the same reason.
    Redirect(Reason, Destination),
    /// The session token has to be verified.
    Verify(&'a [u8]),
}

/// The response of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClerkResponse<'a> {
    /// A nonce, to be exchanged for the payload.
    Nonce(Cow<'a, str>),
    /// A token that contains the payload.
    Token(Cow<'a, str>),
}

impl<'r, 'a> Page<'r, 'a> {
    /// Reads a request.
    pub fn read(request: &'r Request<'a>, cookies: BrowserCookies<'a>, settings: &'r Settings) -> Self {
        let lines = request.page();
        Page {
            cookies,
            request,
            settings,
            address: OnceCell::new(),
            target: if lines.target.len() <= MAX_TARGET_LEN { lines.target } else { b"" },
            is_eligible: request.is_document_request(),
            is_top_level: request.is_top_level_document(),
            is_get: request.is_get(),
            referer: lines.referer.and_then(|line| std::str::from_utf8(line).ok()),
        }
    }

    /// Returns the public URL, if it is known and one that browsers may be sent back to.
    pub fn address(&self) -> Option<&Address<'a>> {
        let made = self.address.get_or_init(|| {
            let address = Address::of(self.request, self.settings.trust_forwarded);
            address.filter(|address| self.settings.is_known_origin(&address.origin))
        });
        made.as_ref()
    }

    /// Returns the value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<Value<'a>> {
        query::find(self.target, name)
    }

    /// Returns the same for a parameter that counts as absent if it is empty.
    pub fn parameter_value(&self, name: &str) -> Option<Value<'a>> {
        self.parameter(name).filter(|value| !value.is_empty())
    }

    /// Returns the development browser: that of the query, or else of the cookie.
    pub fn dev_browser(&self) -> Option<Value<'a>> {
        self.parameter_value("__clerk_db_jwt").or(self.cookies.dev_browser().map(Value::Plain))
    }

    fn is_signed_out(&self) -> bool {
        self.cookies.session.is_none() && self.cookies.client_uat == 0
    }
}

/// Returns the response of a handshake that the request carries: in the query if the settings allow it, or in a cookie. A nonce
/// comes before a token.
pub fn clerk_response<'a>(page: &Page<'_, 'a>, settings: &Settings) -> Option<ClerkResponse<'a>> {
    let find = |name: &str, cookie: Option<&'a [u8]>| {
        let in_query = settings.reads_query.then(|| page.parameter_value(name)).flatten();
        in_query.or(cookie.map(Value::Plain)).map(Value::to_str)
    };
    let nonce = find("__clerk_handshake_nonce", page.cookies.nonce).map(ClerkResponse::Nonce);
    nonce.or_else(|| find("__clerk_handshake", page.cookies.handshake).map(ClerkResponse::Token))
}

/// Decides about a request without a response.
pub fn decide<'a>(page: &Page<'_, 'a>, settings: &Settings) -> Decision<'a> {
    let is_development = !settings.instance.production;
    if settings.is_satellite && page.is_top_level {
        let synced = page.parameter("__clerk_synced");
        let is = |word: &str| synced.is_some_and(|value| value.bytes().eq(word.bytes()));
        let asks_to_sync = is("false");
        if !is("true") && (page.is_signed_out() || asks_to_sync) {
            if !asks_to_sync && !settings.satellite_auto_sync {
                return Decision::SignedOut(Reason::SessionTokenAndUatMissing);
            }
            let destination = if is_development { Destination::PrimaryDomain } else { Destination::FrontendApi };
            return Decision::Redirect(Reason::SatelliteNeedsSyncing, destination);
        }
    }
    if is_development {
        if !settings.is_satellite && satellite_url(page, settings).is_some() {
            return Decision::Redirect(Reason::PrimaryRespondsToSyncing, Destination::Satellite);
        }
        if page.parameter("__clerk_db_jwt").is_some() {
            return Decision::Redirect(Reason::DevBrowserSync, Destination::FrontendApi);
        }
        if page.cookies.dev_browser().is_none() {
            return Decision::Redirect(Reason::DevBrowserMissing, Destination::FrontendApi);
        }
    }
    match (page.cookies.client_uat, page.cookies.session) {
        (0, None) => Decision::SignedOut(Reason::SessionTokenAndUatMissing),
        (0, Some(_)) => Decision::Redirect(Reason::SessionTokenButNoClientUat, Destination::FrontendApi),
        (_, None) => Decision::Redirect(Reason::ClientUatButNoSessionToken, Destination::FrontendApi),
        (_, Some(session)) => Decision::Verify(session),
    }
}

/// Returns the URL of the satellite that asks for the development browser, if it is one that the settings name.
pub(super) fn satellite_url<'a>(page: &Page<'_, 'a>, settings: &Settings) -> Option<Cow<'a, str>> {
    let url = page.parameter_value("__clerk_redirect_url")?;
    // Of a longer one no redirect is made.
    let url = (url.bytes().count() <= MAX_LOCATION_LEN).then(|| url.to_str())?;
    let (origin, _) = super::address::split_url(&url)?;
    settings.satellite_origins.contains(&origin).then_some(url)
}

/// Returns whether the path belongs to another organization than the active one, given by id and slug.
pub fn wants_other_organization(
    page: &Page<'_, '_>,
    settings: &Settings,
    id: Option<&str>,
    slug: Option<&str>,
) -> bool {
    if settings.patterns.is_empty() {
        return false;
    }
    let path = page.address().map(|address| address.path(MAX_PATH_LEN));
    match path.as_deref().and_then(|path| settings.patterns.find(path)) {
        Some(Target::OrganizationId(wanted)) => id != Some(wanted),
        Some(Target::OrganizationSlug(wanted)) => slug != Some(wanted),
        Some(Target::PersonalAccount) => id.is_some(),
        None => false,
    }
}
