//! What the Backend API demands of every request: credentials, version, cookies, framing.
//!
//! Two results: violations, words for the log that tests assert on, and the refusal, if any.

use crate::http::{Request, Response};
use crate::reply;
use crate::state::ApiState;

/// Versions of the Backend API that exist.
pub const KNOWN_VERSIONS: [&str; 6] =
    ["2021-02-05", "2024-10-01", "2025-03-12", "2025-04-10", "2025-11-10", "2026-05-12"];

/// Who may call an endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone
    Public,
    /// Holders of a secret key
    Secret,
    /// Holders of a secret key or of a machine secret key
    Machine,
}

/// The token of a well-formed `Bearer` credential.
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let plain = |byte: u8| byte.is_ascii_graphic();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(plain)).then_some(token)
}

/// All that a well-behaved client would not do.
pub fn violations(request: &Request, access: Access) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |words: &str| found.push(words.to_owned());
    let credentials: Vec<&str> = request.header_values("authorization").collect();
    match credentials.as_slice() {
        [] if access == Access::Public => {}
        [] => note("authorization missing"),
        [_] if access == Access::Public => note("authorization on a public path"),
        [one] if bearer(one).is_none() => note("authorization ill-formed"),
        [_] => {}
        _ => note("authorization more than once"),
    }
    match request.header_values("clerk-api-version").count() {
        0 if access == Access::Public => {}
        0 => note("version header missing"),
        1 => {}
        _ => note("version header more than once"),
    }
    if request.query().iter().any(|(name, _)| name == "__clerk_api_version") {
        note("version in the query");
    }
    if request.header("cookie").is_some() {
        note("cookie sent");
    }
    match request.header_values("host").count() {
        1 => {}
        0 => note("host header missing"),
        _ => note("host header more than once"),
    }
    if request.header_values("content-length").count() > 1
        || (request.header("content-length").is_some() && request.header("transfer-encoding").is_some())
    {
        note("ambiguous body length");
    }
    if matches!(request.method.as_str(), "GET" | "HEAD") && !request.body.is_empty() {
        note("body on a GET");
    }
    if request
        .api_path()
        .split('/')
        .any(|part| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
    {
        note("dot segment in the path");
    }
    if request.header("user-agent").is_none() {
        note("user-agent missing");
    }
    found
}

/// The refusal of the credentials, if they do not do.
pub fn refuse_credentials(request: &Request, access: Access, state: &ApiState) -> Option<Response> {
    if access == Access::Public {
        return None;
    }
    let credentials: Vec<&str> = request.header_values("authorization").collect();
    let token = match credentials.as_slice() {
        [] => {
            return Some(reply::error(
                401,
                "authentication_invalid",
                "Invalid authentication",
                "The request carries no Authorization header",
            ));
        }
        [one] => bearer(one),
        _ => None,
    };
    let Some(token) = token else {
        return Some(reply::error(
            401,
            "authorization_header_format_invalid",
            "Invalid Authorization header",
            "Exactly one header of the form Bearer <secret key> is needed",
        ));
    };
    if state.secret_keys.iter().any(|known| known == "*" || known == token) {
        return None;
    }
    if access == Access::Machine && state.machine_secrets.contains_key(token) {
        return None;
    }
    Some(reply::error(401, "clerk_key_invalid", "Invalid secret key", "No instance has this secret key"))
}

/// The machine whose secret key the request carries, if it is not an instance's key.
pub fn calling_machine(request: &Request, state: &ApiState) -> Option<String> {
    let token = bearer(request.header("authorization")?)?;
    if state.secret_keys.iter().any(|known| known == token) {
        return None;
    }
    state.machine_secrets.get(token)?.as_str().map(str::to_owned)
}

/// The refusal of the API version, if it is unknown or given twice.
pub fn refuse_version(request: &Request) -> Option<Response> {
    let refuse = |words: &str| Some(reply::error(400, "api_version_invalid", "Invalid API version", words));
    let query = request.query();
    let in_query: Vec<&str> =
        query.iter().filter(|(name, _)| name == "__clerk_api_version").map(|(_, value)| value.as_str()).collect();
    let in_header: Vec<&str> = request.header_values("clerk-api-version").collect();
    if !in_query.is_empty() && !in_header.is_empty() {
        return refuse("The version may come in the header or in the query, not in both");
    }
    if in_query.iter().chain(&in_header).any(|version| !KNOWN_VERSIONS.contains(version)) {
        return refuse("There is no such version");
    }
    None
}

/// The refusal of a body that is not JSON of exactly these text members, at least one of them.
pub fn read_members(request: &Request, allowed: &[&str]) -> Result<Vec<(String, String)>, Response> {
    let refuse = |words: &str| Err(reply::machine_error(400, "request_body_invalid", "Request body invalid", words));
    let mut types = request.header_values("content-type");
    let essence = types.next().and_then(|value| value.split(';').next()).unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") || types.next().is_some() {
        return refuse("The Content-Type must be application/json");
    }
    let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(&request.body) else {
        return refuse("The body must be a JSON object");
    };
    let mut found = Vec::new();
    for (name, value) in &members {
        match value.as_str() {
            Some(text) if allowed.contains(&name.as_str()) => found.push((name.clone(), text.to_owned())),
            Some(_) => return refuse(&format!("{name} is not a member of this request")),
            None => return refuse(&format!("{name} must be a text")),
        }
    }
    if found.is_empty() {
        return refuse(&format!("{} is missing", allowed[0]));
    }
    Ok(found)
}
