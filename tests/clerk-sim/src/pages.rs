//! Pages for browsers: one signs in, one signs out. Both lead back to `redirect_url`. Browsers send a cookie to every port of a
//! host, so the session that starts here counts for every server on the same address.

use crate::encoding::b64u;
use crate::http::{Request, Response};
use crate::keys::KeyStore;
use crate::mint::TokenSpec;

/// Responds to a request for a page; `None` if it is for none of them.
pub fn respond(request: &Request, keys: &KeyStore, signing_key: &str, now_s: i64) -> Option<Response> {
    let path = request.target.split('?').next().unwrap_or_default();
    let (title, button) = match path {
        "/sign-in" => ("Sign in", "Continue as Ada"),
        "/sign-out" => ("Sign out", "Sign out"),
        _ => return None,
    };
    let query = request.query();
    let url = query.iter().find(|(name, _)| name == "redirect_url").map(|(_, url)| url.as_str()).unwrap_or_default();
    let Some(origin) = origin_of(url) else { return Some(page(400, "<title>redirect_url is required</title>")) };
    Some(match (request.method.as_str(), path) {
        ("POST", "/sign-in") => {
            let sid = format!("sess_{}", b64u(now_s.to_string().as_bytes()));
            match TokenSpec::session("user_ada").sid(&sid).azp(origin).mint(keys, signing_key, now_s) {
                Ok(token) => redirect(url, &format!("__session={token}; Path=/; SameSite=Lax")),
                Err(_) => page(500, "<title>no token</title>"),
            }
        }
        ("POST", _) => redirect(url, "__session=; Path=/; Max-Age=0"),
        _ => page(200, &format!("<title>{title}</title><form method=post><button id=go>{button}</button></form>")),
    })
}

/// Returns the scheme and authority of a URL without characters that could end a header line.
fn origin_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    let authority = rest.split(['/', '?', '#']).next().filter(|authority| !authority.is_empty())?;
    let is_printable = url.bytes().all(|b| b.is_ascii_graphic());
    is_printable.then(|| &url[..url.len() - rest.len() + authority.len()])
}

fn page(status: u16, html: &str) -> Response {
    let headers = vec![("Content-Type".to_owned(), "text/html; charset=utf-8".to_owned())];
    Response { status, headers, body: format!("<!doctype html>{html}").into_bytes() }
}

fn redirect(url: &str, cookie: &str) -> Response {
    let mut response = page(303, "<title>redirect</title>");
    response.set_header("Location", url);
    response.set_header("Set-Cookie", cookie);
    response
}
