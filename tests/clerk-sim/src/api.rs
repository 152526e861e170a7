//! The endpoints of the fake Backend API.

use crate::check::{self, Access};
use crate::complete;
use crate::fault;
use crate::frontend;
use crate::handshake;
use crate::http::{Request, Response, percent_decode};
use crate::keys::KeyStore;
use crate::list;
use crate::response;
use crate::state::{ApiState, Objects};
use serde_json::{Value, json};

/// The endpoint of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The JWK set, with a secret key
    Jwks,
    /// The JWK set, without credentials
    PublicJwks,
    /// One user
    User(String),
    /// List of users
    Users,
    /// One session
    Session(String),
    /// List of sessions
    Sessions,
    /// Revokes a session
    RevokeSession(String),
    /// Verifies an OAuth access token
    VerifyOauth,
    /// Verifies an API key
    VerifyApiKey,
    /// Verifies an M2M token
    VerifyM2m,
    /// Exchanges the nonce of a handshake
    HandshakePayload,
    /// Refreshes a session
    RefreshSession(String),
    /// A path of the Frontend API
    Frontend,
    /// A known path with the wrong method
    WrongMethod,
    /// Any other path
    Unknown,
}

impl Route {
    /// Returns the route of a request.
    pub fn of(request: &Request) -> Route {
        let segments: Vec<&str> = request.api_path().split('/').skip(1).collect();
        let id = |segment: &str| percent_decode(segment);
        let (method, route) = match segments.as_slice() {
            ["jwks"] => ("GET", Route::Jwks),
            [".well-known", "jwks.json"] => ("GET", Route::PublicJwks),
            ["users"] => ("GET", Route::Users),
            ["users", user] if !user.is_empty() => ("GET", Route::User(id(user))),
            ["sessions"] => ("GET", Route::Sessions),
            ["sessions", session] if !session.is_empty() => ("GET", Route::Session(id(session))),
            ["sessions", session, "revoke"] => ("POST", Route::RevokeSession(id(session))),
            ["sessions", session, "refresh"] => ("POST", Route::RefreshSession(id(session))),
            ["client", "handshake"] | ["sign-in"] | ["sign-in", "submit"] | ["sign-out"] => ("GET", Route::Frontend),
            ["client", "sessions", _, "tokens"] => ("POST", Route::Frontend),
            ["clients", "handshake_payload"] => ("GET", Route::HandshakePayload),
            ["oauth_applications", "access_tokens", "verify"] => ("POST", Route::VerifyOauth),
            ["api_keys", "verify"] => ("POST", Route::VerifyApiKey),
            ["m2m_tokens", "verify"] => ("POST", Route::VerifyM2m),
            _ => return Route::Unknown,
        };
        if request.method == method { route } else { Route::WrongMethod }
    }

    /// Returns the credentials that the endpoint requires.
    pub fn access(&self) -> Access {
        match self {
            Route::PublicJwks | Route::Frontend => Access::Public,
            Route::VerifyM2m => Access::Machine,
            _ => Access::Secret,
        }
    }

    /// Returns the path pattern under which requests are counted.
    pub fn pattern(&self) -> &'static str {
        match self {
            Route::Jwks => "/jwks",
            Route::PublicJwks => "/.well-known/jwks.json",
            Route::User(_) => "/users/{id}",
            Route::Users => "/users",
            Route::Session(_) => "/sessions/{id}",
            Route::Sessions => "/sessions",
            Route::RevokeSession(_) => "/sessions/{id}/revoke",
            Route::VerifyOauth => "/oauth_applications/access_tokens/verify",
            Route::VerifyApiKey => "/api_keys/verify",
            Route::VerifyM2m => "/m2m_tokens/verify",
            Route::HandshakePayload => "/clients/handshake_payload",
            Route::RefreshSession(_) => "/sessions/{id}/refresh",
            Route::Frontend => "(frontend)",
            Route::WrongMethod | Route::Unknown => "(other)",
        }
    }
}

/// Responds to a request from the state; revoking a session changes the state.
pub fn respond(request: &Request, route: &Route, state: &mut ApiState, keys: &KeyStore, now_ms: i64) -> Response {
    if *route == Route::Frontend {
        let found = frontend::respond(request, state, keys, now_ms / 1000);
        return found.unwrap_or_else(|| response::not_found("resource", request.api_path()));
    }
    let rejection = check::reject_credentials(request, route.access(), state).or_else(|| match route {
        Route::PublicJwks => None,
        _ => check::reject_version(request),
    });
    if let Some(rejection) = rejection {
        return rejection;
    }
    match route {
        Route::Jwks | Route::PublicJwks => response::object(&state.jwks),
        Route::User(id) => object(&state.users, "user", id, complete::user),
        Route::Users => list::users(request, state),
        Route::Session(id) => object(&state.sessions, "session", id, complete::session),
        Route::Sessions => list::sessions(request, state),
        Route::RevokeSession(id) => revoke(state, id, now_ms),
        Route::VerifyOauth => verify(request, &["access_token", "secret"], &state.oauth_tokens, "oauth_tokens", None),
        Route::VerifyApiKey => verify(request, &["secret"], &state.api_keys, "api_keys", None),
        Route::VerifyM2m => {
            let machine = check::calling_machine(request, state);
            verify(request, &["token"], &state.m2m_tokens, "m2m_tokens", machine.as_deref())
        }
        Route::HandshakePayload => handshake::payload(request, state),
        Route::RefreshSession(_) => handshake::refresh(request, state, keys, now_ms / 1000),
        Route::WrongMethod => {
            response::error(405, "method_not_allowed", "Method not allowed", "This endpoint has another method")
        }
        Route::Frontend | Route::Unknown => response::not_found("resource", request.api_path()),
    }
}

fn object(objects: &Objects, kind: &str, id: &str, complete: fn(&str, &Value) -> Value) -> Response {
    match objects.get(id) {
        Some(partial) => response::object(&complete(id, partial)),
        None => response::not_found(kind, id),
    }
}

fn revoke(state: &mut ApiState, id: &str, now_ms: i64) -> Response {
    let Some(session) = state.sessions.get_mut(id) else { return response::not_found("session", id) };
    if let Value::Object(members) = session {
        members.insert("status".to_owned(), json!("revoked"));
        members.insert("updated_at".to_owned(), json!(now_ms));
    }
    response::object(&complete::session(id, session))
}

/// Verifies a machine token. A machine finds only the M2M tokens that are granted to it.
fn verify(request: &Request, members: &[&str], tokens: &Objects, kind: &str, machine: Option<&str>) -> Response {
    let found = match check::read_members(request, members) {
        Ok(found) => found,
        Err(rejection) => return rejection,
    };
    let token = members.iter().find_map(|name| found.iter().find(|(member, _)| member == name));
    let partial = token.and_then(|(_, token)| tokens.get(token));
    let status = partial.and_then(|partial| partial.get("$status")?.as_u64()).and_then(|n| u16::try_from(n).ok());
    if let Some(status) = status {
        return response::for_status(status);
    }
    let object = partial.map(|partial| complete::machine_token(kind, partial));
    let is_granted = |object: &Value| {
        let scopes = object["scopes"].as_array().map(Vec::as_slice).unwrap_or_default();
        machine.is_none_or(|machine| scopes.iter().any(|scope| scope == machine))
    };
    match object.filter(is_granted) {
        // `$raw` may be any bytes.
        Some(object) => Response { body: fault::body_bytes(&object), ..response::object(&object) },
        None => response::machine_error(404, "resource_not_found", "Token not found", "There is no such token"),
    }
}
