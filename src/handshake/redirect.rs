//! The redirect to Clerk, and the one that removes Clerk's response from the address of a development instance.

use super::address::{Address, split_url};
use super::decision::{Destination, Page, satellite_url};
use super::organization::{MAX_PATH_LEN, Target};
use super::query::{self, Url};
use super::settings::Settings;
use crate::api::API_VERSION;
use crate::reason::Reason;

/// A browser that was redirected this often within two seconds is not redirected again.
const MAX_REDIRECTS: u32 = 3;
/// Longer addresses do not pass common limits of header lines.
pub(super) const MAX_LOCATION_LEN: usize = 7 * 1024;

/// What the response to a request needs besides its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageResponse {
    /// `Location` of a 307; empty if there is no redirect. A NUL follows it.
    pub location: Option<String>,
    /// `Set-Cookie` lines, in order. A NUL follows each.
    pub set_cookies: Vec<String>,
    /// Whether the response must not be stored: `Cache-Control: no-store`.
    pub no_store: bool,
}

impl PageResponse {
    /// Makes a response. The values hold printable ASCII only.
    fn new(location: Option<String>, set_cookies: Vec<String>, no_store: bool) -> Self {
        let terminate = |mut value: String| {
            value.push('\0');
            value
        };
        PageResponse {
            location: location.map(terminate),
            set_cookies: set_cookies.into_iter().map(terminate).collect(),
            no_store,
        }
    }
}

/// Returns the redirect for a reason; `None` if the request is not eligible, its public URL is not known, it is too long, or the
/// browser was redirected too often.
///
/// `word` is the reason as Clerk's SDKs write it, `session` the session token.
pub fn redirect(
    page: &Page<'_, '_>,
    settings: &Settings,
    destination: Destination,
    word: &str,
    session: Option<&[u8]>,
) -> Option<PageResponse> {
    let address = page.address().filter(|_| page.is_eligible)?;
    let count = page.cookies.redirect_count;
    if count >= MAX_REDIRECTS {
        return None;
    }
    let location = match destination {
        Destination::FrontendApi => {
            let session = session.filter(|_| settings.sends_session);
            let back = address.url_for_clerk(settings.reads_query, MAX_LOCATION_LEN)?;
            let build = |session| frontend_api_url(page, address, &back, settings, word, session);
            let session = session.filter(|session| back.len() + session.len() < MAX_LOCATION_LEN);
            session.and_then(|session| build(Some(session))).or_else(|| build(None))?
        }
        Destination::PrimaryDomain => {
            let back = address.url(MAX_LOCATION_LEN)?;
            let mut url = Url::new(settings.sign_in_url.as_deref()?, back.len() + 512, MAX_LOCATION_LEN);
            url.push_parameter("__clerk_redirect_url", back.bytes());
            url.finish()?
        }
        Destination::Satellite => {
            let url = satellite_url(page, settings)?;
            let (start, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
            let mut with_browser = Url::new(start, start.len() + 512, MAX_LOCATION_LEN);
            if let Some(dev_browser) = page.dev_browser() {
                with_browser.push_parameter("__clerk_db_jwt", dev_browser.bytes());
            }
            let with_browser = with_browser.finish()?;
            let (origin, rest) = split_url(&with_browser)?;
            let mut url = Url::new(&origin, url.len() + 512, MAX_LOCATION_LEN);
            url.push(if rest.starts_with('/') { "" } else { "/" });
            url.push_target(query::set(rest.as_bytes(), "__clerk_synced", b"__clerk_synced=true")).push(fragment);
            url.finish()?
        }
    };
    let cookie = format!("__clerk_redirect_count={}; SameSite=Lax; HttpOnly; Max-Age=2", count + 1);
    Some(PageResponse::new(Some(location), vec![cookie], true))
}

fn frontend_api_url(
    page: &Page<'_, '_>,
    address: &Address<'_>,
    back: &str,
    settings: &Settings,
    word: &str,
    session: Option<&[u8]>,
) -> Option<String> {
    let start = match settings.proxy_url.as_deref() {
        Some(path) if path.is_empty() || path.starts_with('/') => &address.origin,
        Some(_) => "",
        None => "https://",
    };
    let expected_len = back.len() + session.map_or(0, <[u8]>::len) + 1024;
    let mut url = Url::new(start, expected_len, MAX_LOCATION_LEN);
    url.push(settings.proxy_url.as_deref().unwrap_or(&settings.instance.frontend_api));
    url.push("/v1/client/handshake?redirect_url=").push_encoded(back.bytes());
    url.push("&__clerk_api_version=").push(API_VERSION);
    url.push("&suffixed_cookies=").push(if page.cookies.is_suffixed() { "true" } else { "false" });
    url.push("&__clerk_hs_reason=").push_encoded(word.bytes()).push("&format=nonce");
    if let Some(session) = session {
        url.push("&__session=").push_encoded(session.iter().copied());
    }
    if let Some(dev_browser) = page.dev_browser().filter(|_| !settings.instance.production) {
        url.push("&__clerk_db_jwt=").push_encoded(dev_browser.bytes());
    }
    let path = address.path(MAX_PATH_LEN);
    let organization = match settings.patterns.find(&path) {
        Some(Target::OrganizationId(id) | Target::OrganizationSlug(id)) => Some(id),
        Some(Target::PersonalAccount) => Some(""),
        None => None,
    };
    if let Some(organization) = organization {
        url.push("&organization_id=").push_encoded(organization.bytes());
    }
    url.finish()
}

/// Returns the response to a request with a response from Clerk: its lines, and for a development instance the redirect to the
/// address without the response. `redirects_unchanged`: also if the response was not in the address.
pub fn after_response(
    page: &Page<'_, '_>,
    settings: &Settings,
    lines: Vec<String>,
    redirects_unchanged: bool,
) -> PageResponse {
    let address = page.address().filter(|_| page.is_eligible && !settings.instance.production);
    let clean = address.map(|address| address.url_without_response(MAX_LOCATION_LEN));
    let location = clean.filter(|(_, is_changed)| *is_changed || redirects_unchanged).and_then(|(url, _)| url);
    let no_store = location.is_some() || !lines.is_empty();
    PageResponse::new(location, lines, no_store)
}

/// Returns the response to a request whose session was refreshed.
pub fn after_refresh(lines: Vec<String>) -> PageResponse {
    let no_store = !lines.is_empty();
    PageResponse::new(None, lines, no_store)
}

/// Returns a reason as Clerk's SDKs write it. `refresh` says why an expired session was not refreshed.
pub fn refresh_word(reason: Reason, refresh: &str) -> String {
    match reason {
        Reason::TokenExpired => format!("session-token-expired-refresh-{refresh}"),
        Reason::TokenNotActiveYet => "session-token-nbf".to_owned(),
        Reason::TokenIatInTheFuture => "session-token-iat-in-the-future".to_owned(),
        other => other.as_str().to_owned(),
    }
}
