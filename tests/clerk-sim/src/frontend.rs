//! A fake Frontend API: the handshake, a sign-in and a sign-out page, and new session tokens, so that a browser can go through
//! them. It knows a browser by the cookie `__client`.
//!
//! Enabled by the member `frontend` of the state.

use crate::encoding::hex;
use crate::http::{Request, Response, percent_decode};
use crate::keys::KeyStore;
use crate::mint::TokenSpec;
use crate::response;
use crate::state::ApiState;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PAST: &str = "Expires=Thu, 01 Jan 1970 00:00:00 GMT";
const YEAR_S: u32 = 31_536_000;

/// The settings and the browsers of the fake Frontend API.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Frontend {
    /// Publishable key of the instance; names its kind and the suffix of its cookies
    pub publishable_key: String,
    /// Issuer of session tokens
    pub issuer: String,
    /// Lifetime of a session token in seconds
    pub token_life_s: i64,
    /// Whether the payload is sent as a handshake token, whatever the request asks for
    pub token_format: bool,
    /// Origins that a browser may be sent back to; empty: any
    pub allowed_origins: Vec<String>,
    /// Key that session tokens are signed with; the instance's by default
    pub signing_key: Option<String>,
    /// Whether there are refresh cookies
    pub refresh: bool,
    /// Browsers by their cookie `__client`
    pub browsers: BTreeMap<String, Browser>,
    /// Browsers by their refresh token
    pub refresh_tokens: BTreeMap<String, String>,
}

/// A browser.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Browser {
    /// User who is signed in
    pub user: Option<String>,
    /// Session of that user
    pub session: Option<String>,
    /// Time of the last sign-in, in Unix seconds
    pub signed_in_at: i64,
}

impl Default for Frontend {
    fn default() -> Self {
        Frontend {
            publishable_key: "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k".to_owned(),
            issuer: "https://clerk.example.com".to_owned(),
            token_life_s: 60,
            token_format: false,
            allowed_origins: Vec::new(),
            signing_key: None,
            refresh: false,
            browsers: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
        }
    }
}

impl Frontend {
    fn is_production(&self) -> bool {
        self.publishable_key.starts_with("pk_live_")
    }

    fn suffix(&self) -> String {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, self.publishable_key.as_bytes());
        URL_SAFE.encode(hash).chars().take(8).collect()
    }

    fn is_allowed(&self, url: &str) -> bool {
        let origin = origin_of(url);
        !origin.is_empty() && (self.allowed_origins.is_empty() || self.allowed_origins.contains(&origin))
    }

    /// Mints a session token for a browser, for the application at `origin`.
    fn mint(&self, browser: &Browser, origin: &str, keys: &KeyStore, instance_key: &str, now: i64) -> Option<String> {
        let (user, session) = (browser.user.as_deref()?, browser.session.as_deref()?);
        let mut spec = TokenSpec::session(user).sid(session).azp(origin).exp_in(self.token_life_s);
        spec.iss = Some(self.issuer.clone());
        spec.iat_in = Some(0);
        spec.mint(keys, self.signing_key.as_deref().unwrap_or(instance_key), now).ok()
    }

    /// Returns the `Set-Cookie` lines for a browser: of its session, or of a browser that is signed out.
    fn lines(&mut self, id: &str, origin: &str, keys: &KeyStore, instance_key: &str, now: i64) -> Vec<String> {
        let suffix = self.suffix();
        let browser = self.browsers.get(id).cloned().unwrap_or_default();
        let keep = format!("Path=/; Max-Age={YEAR_S}; SameSite=Lax");
        let mut lines =
            vec![format!("__clerk_handshake=; Path=/; {PAST}"), format!("__clerk_handshake_nonce=; Path=/; {PAST}")];
        let token = self.mint(&browser, origin, keys, instance_key, now);
        for name in [String::new(), format!("_{suffix}")] {
            match &token {
                Some(token) => {
                    lines.push(format!("__client_uat{name}={}; {keep}", browser.signed_in_at));
                    lines.push(format!("__session{name}={token}; {keep}"));
                }
                None => {
                    lines.push(format!("__client_uat{name}=0; {keep}"));
                    lines.push(format!("__session{name}=; Path=/; {PAST}"));
                }
            }
            if !self.is_production() {
                lines.push(format!("__clerk_db_jwt{name}={id}; {keep}"));
            }
        }
        match token {
            Some(_) if self.refresh => {
                let refresh = new_id("rt_");
                self.refresh_tokens.insert(refresh.clone(), id.to_owned());
                lines.push(format!("__refresh_{suffix}={refresh}; {keep}; HttpOnly"));
            }
            _ => lines.push(format!("__refresh_{suffix}=; Path=/; {PAST}")),
        }
        lines
    }
}

/// Responds to a request for the Frontend API; `None` if it is none.
pub fn respond(request: &Request, state: &mut ApiState, keys: &KeyStore, now: i64) -> Option<Response> {
    let mut frontend = state.frontend.take()?;
    let path = request.api_path().to_owned();
    let response = match (request.method.as_str(), path.as_str()) {
        ("GET", "/client/handshake") => Some(handshake(request, &mut frontend, state, keys, now)),
        ("GET", "/sign-in") => Some(sign_in_page(request)),
        ("GET", "/sign-in/submit") => Some(sign_in(request, &mut frontend, now)),
        ("GET", "/sign-out") => Some(sign_out(request, &mut frontend)),
        ("POST", _) if path.starts_with("/client/sessions/") && path.ends_with("/tokens") => {
            Some(new_token(request, &frontend, state, keys, now))
        }
        _ => None,
    };
    state.frontend = Some(frontend);
    response
}

/// Refreshes a session for its refresh token, once. `None` if the token is unknown.
pub fn refresh(body: &Value, state: &mut ApiState, keys: &KeyStore, now: i64) -> Option<Response> {
    let mut frontend = state.frontend.take()?;
    let token = body["refresh_token"].as_str().unwrap_or_default();
    let id = frontend.refresh_tokens.remove(token);
    let origin = body["request_origin"].as_str().unwrap_or_default();
    let response = id.map(|id| match frontend.browsers.get(&id).and_then(|browser| browser.session.clone()) {
        Some(_) => {
            let lines = frontend.lines(&id, origin, keys, &state.signing_key, now);
            response::object(&json!({"object": "cookies", "cookies": lines}))
        }
        None => response::error(401, "session_refresh_inactive_session", "Session inactive", "The session has ended"),
    });
    state.frontend = Some(frontend);
    response
}

/// `GET /v1/client/handshake`: sends the browser back with a nonce or a token.
fn handshake(request: &Request, frontend: &mut Frontend, state: &mut ApiState, keys: &KeyStore, now: i64) -> Response {
    let query = request.query();
    let find = |name: &str| query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    let Some(url) = find("redirect_url").filter(|url| frontend.is_allowed(url)) else {
        return response::error(422, "redirect_url_not_associated_with_instance", "Redirect URL", "Not allowed");
    };
    // In development the browser is known by the parameter, too: cookies do not cross domains.
    let dev_browser = find("__clerk_db_jwt").filter(|id| frontend.browsers.contains_key(*id));
    let id = dev_browser.map(str::to_owned).or_else(|| cookie(request, "__client")).unwrap_or_else(|| new_id("dvb_"));
    frontend.browsers.entry(id.clone()).or_default();
    let lines = frontend.lines(&id, &origin_of(url), keys, &state.signing_key, now);
    let (name, value) = match find("format") {
        Some("nonce") if !frontend.token_format => {
            let nonce = new_id("nonce_");
            state.nonces.insert(nonce.clone(), json!(lines));
            ("__clerk_handshake_nonce", nonce)
        }
        _ => {
            let mut spec = TokenSpec::session("user_handshake");
            spec.claims =
                json!({"handshake": lines, "sub": null, "sid": null}).as_object().cloned().unwrap_or_default();
            ("__clerk_handshake", spec.mint(keys, &state.signing_key, now).unwrap_or_default())
        }
    };
    let url = url.replace("__clerk_synced=false", "__clerk_synced=true");
    let mut cookies = vec![format!("__client={id}; Path=/; HttpOnly; SameSite=Lax; Max-Age={YEAR_S}")];
    let location = if frontend.is_production() {
        cookies.push(format!("{name}={value}; Path=/; SameSite=Lax; Max-Age=60"));
        url
    } else {
        format!("{url}{}{name}={value}", if url.contains('?') { '&' } else { '?' })
    };
    redirect(&location, &cookies)
}

/// `GET /sign-in`: a form with the user's id.
fn sign_in_page(request: &Request) -> Response {
    let url = parameter(request, "redirect_url");
    let url = url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let page = format!(
        "<!doctype html><title>Sign in</title><form action=\"/sign-in/submit\">\
         <input type=\"hidden\" name=\"redirect_url\" value=\"{url}\">\
         <input name=\"user\" value=\"user_1\"><button>Sign in</button></form>"
    );
    Response {
        status: 200,
        headers: vec![("Content-Type".to_owned(), "text/html; charset=utf-8".to_owned())],
        body: page.into_bytes(),
    }
}

/// `GET /sign-in/submit?user=&redirect_url=`: signs the browser in.
fn sign_in(request: &Request, frontend: &mut Frontend, now: i64) -> Response {
    let (user, url) = (parameter(request, "user"), parameter(request, "redirect_url"));
    if user.is_empty() || !frontend.is_allowed(&url) {
        return response::for_status(422);
    }
    let id = cookie(request, "__client").unwrap_or_else(|| new_id("dvb_"));
    let browser = Browser { user: Some(user), session: Some(new_id("sess_")), signed_in_at: now };
    frontend.browsers.insert(id.clone(), browser);
    back(frontend, &url, &id, &now.to_string())
}

/// `GET /sign-out?redirect_url=`: signs the browser out.
fn sign_out(request: &Request, frontend: &mut Frontend) -> Response {
    let url = parameter(request, "redirect_url");
    let Some(id) = cookie(request, "__client").filter(|_| frontend.is_allowed(&url)) else {
        return response::for_status(422);
    };
    frontend.browsers.insert(id.clone(), Browser::default());
    back(frontend, &url, &id, "0")
}

/// Sends the browser back to the application, which notices the sign-in by `__client_uat` or, in development, by the address.
fn back(frontend: &Frontend, url: &str, id: &str, uat: &str) -> Response {
    let mut cookies = vec![format!("__client={id}; Path=/; HttpOnly; SameSite=Lax; Max-Age={YEAR_S}")];
    let suffix = frontend.suffix();
    if frontend.is_production() {
        for name in ["__client_uat".to_owned(), format!("__client_uat_{suffix}")] {
            cookies.push(format!("{name}={uat}; Path=/; SameSite=Lax; Max-Age={YEAR_S}"));
        }
        return redirect(url, &cookies);
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    redirect(&format!("{url}{separator}__clerk_db_jwt={id}"), &cookies)
}

/// `POST /v1/client/sessions/{id}/tokens`: a new session token, for Clerk's script.
fn new_token(request: &Request, frontend: &Frontend, state: &ApiState, keys: &KeyStore, now: i64) -> Response {
    let id = cookie(request, "__client").unwrap_or_default();
    let browser = frontend.browsers.get(&id).cloned().unwrap_or_default();
    let session = request.api_path().split('/').nth(3).map(percent_decode);
    let origin = request.header("origin").unwrap_or_default();
    if browser.session.is_none() || session != browser.session {
        return response::error(401, "session_not_found", "Session not found", "There is no such session");
    }
    match frontend.mint(&browser, origin, keys, &state.signing_key, now) {
        Some(token) => {
            let mut response = response::object(&json!({"object": "token", "jwt": token}));
            response.set_header("Access-Control-Allow-Origin", origin);
            response.set_header("Access-Control-Allow-Credentials", "true");
            response
        }
        None => response::for_status(500),
    }
}

fn redirect(location: &str, cookies: &[String]) -> Response {
    let mut headers =
        vec![("Location".to_owned(), location.to_owned()), ("Cache-Control".to_owned(), "no-store".to_owned())];
    headers.extend(cookies.iter().map(|line| ("Set-Cookie".to_owned(), line.clone())));
    Response { status: 307, headers, body: Vec::new() }
}

fn parameter(request: &Request, name: &str) -> String {
    request.query().into_iter().find(|(other, _)| other == name).map(|(_, value)| value).unwrap_or_default()
}

fn cookie(request: &Request, name: &str) -> Option<String> {
    let pairs = request.header_values("cookie").flat_map(|line| line.split(';'));
    let mut found = pairs.filter_map(|pair| pair.trim().split_once('='));
    found.find(|(other, value)| *other == name && !value.is_empty()).map(|(_, value)| value.to_owned())
}

/// Returns the origin of an absolute http or https URL without control characters; "" for anything else.
fn origin_of(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return String::new() };
    let is_safe = url.bytes().all(|byte| byte.is_ascii_graphic());
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !is_safe || host.is_empty() || !matches!(scheme, "http" | "https") {
        return String::new();
    }
    format!("{scheme}://{host}")
}

fn new_id(prefix: &str) -> String {
    let mut bytes = [0; 12];
    rand::fill(&mut bytes).expect("random bytes");
    format!("{prefix}{}", hex(&bytes))
}
