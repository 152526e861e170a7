//! The endpoints of the Backend API for the browser handshake: exchanges a nonce, refreshes a session.
//!
//! A nonce is exchanged once. The answers are scripted by the state, which the fake Frontend API (`frontend`) changes, too.

use crate::fault::body_bytes;
use crate::frontend;
use crate::http::{Request, Response};
use crate::keys::KeyStore;
use crate::response;
use crate::state::ApiState;
use serde_json::{Map, Value, json};

/// Exchanges the nonce of the query for `Set-Cookie` lines.
pub fn payload(request: &Request, state: &mut ApiState) -> Response {
    let nonce = request.query().into_iter().find(|(name, _)| name == "nonce").map(|(_, value)| value);
    let Some(nonce) = nonce.filter(|nonce| !nonce.is_empty()) else { return response::for_status(400) };
    match state.nonces.shift_remove(&nonce) {
        Some(Value::Array(lines)) => response::object(&json!({"directives": lines})),
        Some(scripted) => scripted_response(&scripted),
        None => response::not_found("nonce", "of this handshake"),
    }
}

/// Refreshes a session: responds with the cookies of the state, or with those of the fake Frontend API.
pub fn refresh(request: &Request, state: &mut ApiState, keys: &KeyStore, now: i64) -> Response {
    let body: Map<String, Value> = match serde_json::from_slice(&request.body) {
        Ok(body) => body,
        Err(_) => return response::for_status(400),
    };
    let known = ["format", "expired_token", "refresh_token", "request_origin", "request_headers"];
    if !known[1..4].iter().all(|name| body.get(*name).is_some_and(Value::is_string)) {
        return response::error(422, "form_param_missing", "is missing", "A member of the body is missing");
    }
    if let Some(name) = body.keys().find(|name| !known.contains(&name.as_str())) {
        return response::error(422, "form_param_unknown", "is unknown", &format!("{name} is not a member"));
    }
    let body = Value::Object(body);
    match &state.refresh {
        Value::Null if state.frontend.as_ref().is_some_and(|frontend| frontend.refresh) => {
            frontend::refresh(&body, state, keys, now).unwrap_or_else(|| {
                response::error(401, "refresh_token_not_found", "Refresh token not found", "Unknown token")
            })
        }
        Value::Null => response::error(401, "refresh_token_not_found", "Refresh token not found", "Unknown token"),
        Value::Object(answer) if answer.contains_key("cookies") => {
            response::object(&json!({"object": "cookies", "cookies": answer["cookies"]}))
        }
        scripted => scripted_response(scripted),
    }
}

/// Makes the response of `{$status, $errors?, $headers?}`, `{$body}`, `{$text, $type?}` or `{$lines, $type}`.
fn scripted_response(script: &Value) -> Response {
    let mut made = if let Some(status) = script.get("$status").and_then(Value::as_u64) {
        let status = u16::try_from(status).unwrap_or(500);
        let errors = script.get("$errors").or_else(|| script.get("errors"));
        Response::json(status, &json!({"errors": errors.unwrap_or(&json!([]))}))
    } else if let Some(body) = script.get("$body") {
        response::object(body)
    } else if let Some(lines) = script.get("$lines") {
        response::object(&json!({"directives": lines}))
    } else {
        Response { body: body_bytes(script), ..response::object(&json!(null)) }
    };
    if let Some(kind) = script.get("$type").and_then(Value::as_str) {
        made.set_header("Content-Type", kind);
    }
    for (name, value) in script.get("$headers").and_then(Value::as_object).into_iter().flatten() {
        made.set_header(name, value.as_str().unwrap_or_default());
    }
    made
}
