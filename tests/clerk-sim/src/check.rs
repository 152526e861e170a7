//! Checks of every request: credentials, version, cookies, framing.
//!
//! A request may have violations, which are logged for the tests, and it may be rejected.

use crate::http::{Request, Response};
use crate::response;
use crate::state::ApiState;

/// The versions of the Backend API.
pub const KNOWN_VERSIONS: [&str; 6] =
    ["2021-02-05", "2024-10-01", "2025-03-12", "2025-04-10", "2025-11-10", "2026-05-12"];

/// The credentials that an endpoint requires.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// None
    Public,
    /// A secret key
    Secret,
    /// A secret key or a machine secret key
    Machine,
}

/// Returns the token of a well-formed `Bearer` credential.
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let is_valid = |byte: u8| byte.is_ascii_graphic();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(is_valid)).then_some(token)
}

/// Lists what a correct client would not do.
pub fn violations(request: &Request, access: Access) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |violation: &str| found.push(violation.to_owned());
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

/// Returns the error for missing or invalid credentials.
pub fn reject_credentials(request: &Request, access: Access, state: &ApiState) -> Option<Response> {
    if access == Access::Public {
        return None;
    }
    let credentials: Vec<&str> = request.header_values("authorization").collect();
    let token = match credentials.as_slice() {
        [] => {
            return Some(response::error(
                401,
                "authentication_invalid",
                "Invalid authentication",
                "The request has no Authorization header",
            ));
        }
        [one] => bearer(one),
        _ => None,
    };
    let Some(token) = token else {
        return Some(response::error(
            401,
            "authorization_header_format_invalid",
            "Invalid Authorization header",
            "There must be exactly one header of the form Bearer <secret key>",
        ));
    };
    if state.secret_keys.iter().any(|key| key == "*" || key == token) {
        return None;
    }
    if access == Access::Machine && state.machine_secrets.contains_key(token) {
        return None;
    }
    Some(response::error(401, "clerk_key_invalid", "Invalid secret key", "No instance has this secret key"))
}

/// Returns the machine whose secret key the request has, unless it is the key of an instance.
pub fn calling_machine(request: &Request, state: &ApiState) -> Option<String> {
    let token = bearer(request.header("authorization")?)?;
    if state.secret_keys.iter().any(|key| key == token) {
        return None;
    }
    state.machine_secrets.get(token)?.as_str().map(str::to_owned)
}

/// Returns the error for an API version that is unknown or given twice.
pub fn reject_version(request: &Request) -> Option<Response> {
    let reject = |message: &str| Some(response::error(400, "api_version_invalid", "Invalid API version", message));
    let query = request.query();
    let in_query: Vec<&str> =
        query.iter().filter(|(name, _)| name == "__clerk_api_version").map(|(_, value)| value.as_str()).collect();
    let in_header: Vec<&str> = request.header_values("clerk-api-version").collect();
    if !in_query.is_empty() && !in_header.is_empty() {
        return reject("The version may be in the header or in the query, not in both");
    }
    if in_query.iter().chain(&in_header).any(|version| !KNOWN_VERSIONS.contains(version)) {
        return reject("Unknown version");
    }
    None
}

/// Reads a JSON body of these string members, at least one of them. Returns the error for any other body.
pub fn read_members(request: &Request, allowed: &[&str]) -> Result<Vec<(String, String)>, Response> {
    let reject =
        |message: &str| Err(response::machine_error(400, "request_body_invalid", "Request body invalid", message));
    let mut types = request.header_values("content-type");
    let essence = types.next().and_then(|value| value.split(';').next()).unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") || types.next().is_some() {
        return reject("The Content-Type must be application/json");
    }
    let Ok(serde_json::Value::Object(members)) = serde_json::from_slice(&request.body) else {
        return reject("The body must be a JSON object");
    };
    let mut found = Vec::new();
    for (name, value) in &members {
        match value.as_str() {
            Some(value) if allowed.contains(&name.as_str()) => found.push((name.clone(), value.to_owned())),
            Some(_) => return reject(&format!("{name} is not a member of this request")),
            None => return reject(&format!("{name} must be a string")),
        }
    }
    if found.is_empty() {
        return reject(&format!("{} is missing", allowed[0]));
    }
    Ok(found)
}
