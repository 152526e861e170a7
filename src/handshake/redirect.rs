//! The redirect to Clerk, and the one that removes Clerk's response from the address of a development instance.

use super::address::{Address, split_url};
use super::decision::{Destination, Page, satellite_url};
use super::organization::Target;
use super::query::{self, encode};
use super::settings::Settings;
use crate::api::API_VERSION;
use crate::reason::Reason;

/// A browser that was redirected this often within two seconds is not redirected again.
const MAX_REDIRECTS: u32 = 3;
/// Longer addresses do not pass common limits of header lines.
const MAX_LOCATION_LEN: usize = 7 * 1024;

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
            let build = |session| frontend_api_url(page, address, settings, word, session);
            Some(build(session)).filter(|url| url.len() <= MAX_LOCATION_LEN).unwrap_or_else(|| build(None))
        }
        Destination::PrimaryDomain => {
            query::append(settings.sign_in_url.as_deref()?, "__clerk_redirect_url", &address.url())
        }
        Destination::Satellite => {
            let url = satellite_url(page, settings)?;
            let (url, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
            let url = match page.dev_browser() {
                Some(dev_browser) => query::append(url, "__clerk_db_jwt", &dev_browser),
                None => url.to_owned(),
            };
            let (origin, rest) = split_url(&url)?;
            let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
            format!("{origin}{}{fragment}", query::set(&rest, "__clerk_synced", "true"))
        }
    };
    let cookie = format!("__clerk_redirect_count={}; SameSite=Lax; HttpOnly; Max-Age=2", count + 1);
    (location.len() <= MAX_LOCATION_LEN).then(|| PageResponse::new(Some(location), vec![cookie], true))
}

fn frontend_api_url(
    page: &Page<'_, '_>,
    address: &Address<'_>,
    settings: &Settings,
    word: &str,
    session: Option<&[u8]>,
) -> String {
    let base = match settings.proxy_url.as_deref() {
        Some(path) if path.is_empty() || path.starts_with('/') => format!("{}{path}", address.origin),
        Some(url) => url.to_owned(),
        None => format!("https://{}", settings.instance.frontend_api),
    };
    let mut url = format!(
        "{base}/v1/client/handshake?redirect_url={}&__clerk_api_version={API_VERSION}&suffixed_cookies={}\
         &__clerk_hs_reason={}&format=nonce",
        encode(address.url_for_clerk(settings.reads_query).as_bytes()),
        page.cookies.is_suffixed,
        encode(word.as_bytes()),
    );
    let mut add = |name: &str, value: &[u8]| {
        url.push('&');
        url.push_str(name);
        url.push('=');
        url.push_str(&encode(value));
    };
    if let Some(session) = session {
        add("__session", session);
    }
    if let Some(dev_browser) = page.dev_browser().filter(|_| !settings.instance.production) {
        add("__clerk_db_jwt", dev_browser.as_bytes());
    }
    match settings.patterns.find(address.path()) {
        Some(Target::OrganizationId(id)) => add("organization_id", id.as_bytes()),
        Some(Target::OrganizationSlug(slug)) => add("organization_id", slug.as_bytes()),
        Some(Target::PersonalAccount) => add("organization_id", b""),
        None => {}
    }
    url
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
    let clean = address.map(Address::url_without_response);
    let location = clean.filter(|(_, is_changed)| *is_changed || redirects_unchanged).map(|(url, _)| url);
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
