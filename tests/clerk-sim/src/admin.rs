//! The admin API: JSON on a separate port, so that its requests are not counted.

use crate::conn::Conn;
use crate::control::{Control, Rotation};
use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::http::{ReadError, Request, Response, percent_decode, read_request};
use crate::json::Json;
use crate::mint::TokenSpec;
use crate::server::now_ms;
use crate::state::named_jwks;
use crate::webhook::WebhookSpec;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::io::Write;

/// Serves a connection until it closes.
pub fn serve(control: &Control, mut conn: Conn) {
    let mut buffer = Vec::new();
    loop {
        let (response, keep_alive) = match read_request(&mut conn, &mut buffer) {
            Ok(request) => (respond(control, &request), request.keep_alive),
            Err(ReadError::Closed) => return,
            Err(ReadError::Invalid(status, message)) => (Response::json(status, &json!({"error": message})), false),
        };
        let sent = conn.write_all(&response.to_bytes(keep_alive)).and_then(|()| conn.flush());
        if sent.is_err() || !keep_alive {
            return;
        }
    }
}

fn respond(control: &Control, request: &Request) -> Response {
    match execute(control, request) {
        Ok(Some(body)) => Response::json(200, &body),
        Ok(None) => Response::json(404, &json!({"error": "not found"})),
        Err(error) => Response::json(400, &json!({"error": error.to_string()})),
    }
}

fn execute(control: &Control, request: &Request) -> Result<Option<Value>> {
    let path = request.target.split('?').next().unwrap_or_default();
    let segments: Vec<String> = path.split('/').skip(1).map(percent_decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let done = || Ok(Some(json!({"ok": true})));
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["state"]) => Ok(Some(control.state().to_json())),
        ("PUT", ["state"]) => {
            control.apply(&read(request)?)?;
            done()
        }
        ("PUT", ["users", id]) => {
            let mut user: Value = read(request)?;
            if let Value::Object(members) = &mut user
                && !members.contains_key("$raw")
            {
                members.entry("id").or_insert_with(|| json!(id));
            }
            control.update(|state| state.users.insert((*id).to_owned(), user));
            done()
        }
        ("PATCH", ["users", id]) => {
            control.patch_user(id, read(request)?)?;
            done()
        }
        ("DELETE", ["users", id]) => Ok(control.delete_user(id).then(|| json!({"ok": true}))),
        ("PUT", ["sessions", id]) => {
            let session: Value = read(request)?;
            control.update(|state| state.sessions.insert((*id).to_owned(), session));
            done()
        }
        ("PUT", ["jwks"]) => {
            let jwks = named_jwks(&read(request)?, &control.keys())?;
            control.set_jwks_raw(jwks);
            done()
        }
        ("PUT", ["faults"]) => {
            control.set_faults(read::<Vec<Fault>>(request)?);
            done()
        }
        ("GET", ["faults"]) => Ok(Some(json!(control.faults()))),
        ("DELETE", ["faults"]) => {
            control.clear_faults();
            done()
        }
        ("POST", ["mint"]) => Ok(Some(json!({"token": mint(control, request)?}))),
        ("POST", ["webhook"]) => {
            let spec: WebhookSpec = read(request)?;
            let delivery = control.webhook(&spec)?;
            let headers: serde_json::Map<String, Value> =
                delivery.headers.into_iter().map(|(name, value)| (name, json!(value))).collect();
            Ok(Some(json!({"headers": headers, "body": delivery.body})))
        }
        ("GET", ["counts"]) => Ok(Some(control.stats().to_json())),
        ("DELETE", ["counts"]) => {
            control.reset_counts();
            done()
        }
        ("GET", ["log"]) => Ok(Some(json!(control.log()))),
        ("PUT", ["down"]) => {
            let given: Value = read(request)?;
            let down = given["down"].as_bool().ok_or_else(|| Error::new("down: must be true or false"))?;
            control.set_down(down)?;
            done()
        }
        ("POST", ["rotate"]) => {
            let name = control.rotate(read::<Rotation>(request)?)?;
            let kid = control.keys().get(&name)?.kid.clone();
            Ok(Some(json!({"key": name, "kid": kid})))
        }
        ("GET", ["keys"]) => Ok(Some(json!(control.keys().names().collect::<Vec<_>>()))),
        ("GET", ["keys", name]) => Ok(control.keys().get(name).ok().map(|key| {
            json!({"kid": key.kid, "alg": key.alg, "jwk": key.jwk, "pem": key.form("pem"),
                   "private_pem": key.private_pem})
        })),
        ("GET", ["ca"]) => Ok(control.try_ca_pem().map(|pem| json!({"pem": pem}))),
        _ => Ok(None),
    }
}

/// Parses the body; an empty body is an empty object.
fn read<T: DeserializeOwned>(request: &Request) -> Result<T> {
    let body = if request.body.is_empty() { b"{}".as_slice() } else { &request.body };
    Ok(serde_json::from_slice(body)?)
}

/// Mints the token of `{"recipe": …}`, with exact numbers, or of a token specification; `now` is optional.
fn mint(control: &Control, request: &Request) -> Result<String> {
    let body = std::str::from_utf8(&request.body).map_err(|_| Error::new("the body is not UTF-8"))?;
    let spec = Json::parse(if body.is_empty() { "{}" } else { body })?;
    let now = spec.get("now").and_then(Json::as_i64).unwrap_or_else(|| now_ms() / 1000);
    if let Some(recipe) = spec.get("recipe") {
        return control.mint_recipe(recipe, now);
    }
    let mut spec = spec.to_value();
    if let Value::Object(members) = &mut spec {
        members.shift_remove("now");
    }
    control.try_mint(&serde_json::from_value::<TokenSpec>(spec)?, now)
}
