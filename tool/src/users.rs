//! Calls to Clerk's Backend API.

use std::process::ExitCode;
use std::time::Duration;

use clerk_auth::Secret;
use clerk_auth::internals::{ApiErrorKind, ClerkUser, HttpTransport, KeySet, PrimaryEmail, Probe, TransportConfig};
use serde_json::{Value, json};

use crate::output::{Failure, Mark, Output, redact};
use crate::settings::Settings;

/// Sends a GET. `path` begins with a slash. A secret is given only if the settings are valid: it must not be sent elsewhere.
pub fn get(settings: &Settings, path: &str, secret: Option<&Secret>) -> Result<Probe, Failure> {
    let config = TransportConfig {
        ca_pem: settings.optional("ca_pem"),
        proxy: settings.optional("proxy"),
        user_agent: settings.optional("user_agent"),
    };
    let transport = HttpTransport::new(&config).map_err(|error| Failure::usage(error.to_string()))?;
    let timeout = settings.get("timeout_ms").trim().parse().ok().filter(|ms| (1..=60_000).contains(ms)).unwrap_or(5000);
    let base = settings.get("api_url").trim().trim_end_matches('/');
    let url = format!("{}{path}", base.strip_suffix("/v1").unwrap_or(base));
    transport
        .probe(&url, secret, Duration::from_millis(timeout))
        .map_err(|error| Failure::unavailable(redact(&format!("{url}: {error}"))))
}

/// Sends a GET with the secret key, once all settings are known to be valid.
fn get_with_key(settings: &Settings, path: &str) -> Result<Probe, Failure> {
    let secret = settings.secret_key()?;
    settings.client(|_| ())?;
    get(settings, path, Some(&secret))
}

/// Returns the body of a successful response.
fn body(probe: Probe, what: &str) -> Result<Vec<u8>, Failure> {
    let Some(error) = probe.error() else { return Ok(probe.body) };
    Err(match error.kind {
        ApiErrorKind::Unauthorized | ApiErrorKind::Forbidden => {
            Failure::usage(format!("Clerk rejects CLERK_SECRET_KEY ({})", error.status))
        }
        ApiErrorKind::NotFound => Failure { message: format!("{what} is not at this instance"), code: 1 },
        _ => Failure::unavailable(error.to_string()),
    })
}

/// Prints the keys of the instance.
pub fn jwks(settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let json = body(get_with_key(settings, "/v1/jwks")?, "the key set")?;
    let accepted = KeySet::parse(&json).ok_or_else(|| Failure::unavailable("the response is no key set"))?.kids();
    let set: Value = serde_json::from_slice(&json).unwrap_or_default();
    let (mut lines, mut keys) = (Vec::new(), Vec::new());
    for key in set["keys"].as_array().into_iter().flatten() {
        let member = |name: &str| key[name].as_str().unwrap_or("-").to_owned();
        let is_accepted = accepted.contains(&member("kid"));
        let mark = if is_accepted { Mark::Ok } else { Mark::Skipped };
        let [kid, kty, alg, usage] = ["kid", "kty", "alg", "use"].map(member);
        lines.push((mark, format!("{kid}  {kty} {alg} use={usage}")));
        keys.push(json!({"kid": kid, "kty": kty, "alg": alg, "use": usage, "accepted": is_accepted}));
    }
    output.report(!accepted.is_empty(), &json!({"keys": keys}), &lines)
}

/// Prints a user as the library reads it.
pub fn user(settings: &Settings, id: &str, output: &Output) -> Result<ExitCode, Failure> {
    let is_id = id
        .strip_prefix("user_")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    if !is_id {
        return Err(Failure::usage("not a user id; it begins with `user_`"));
    }
    let json = body(get_with_key(settings, &format!("/v1/users/{id}"))?, "the user")?;
    let user = ClerkUser::parse(&json).ok_or_else(|| Failure::unavailable("the response is no user"))?;
    let email = match &user.email {
        PrimaryEmail::Verified(address) => address.clone(),
        PrimaryEmail::Unverified => "not verified: it is ignored".into(),
        PrimaryEmail::NoPrimary => "none is the primary one".into(),
        PrimaryEmail::NoAddress => "none".into(),
    };
    let members = [
        ("id", json!(user.id)),
        ("email", json!(email)),
        ("username", json!(user.username)),
        ("first_name", json!(user.first_name)),
        ("last_name", json!(user.last_name)),
        ("external_id", json!(user.external_id)),
        ("banned", json!(user.banned)),
        ("locked", json!(user.locked)),
        ("deprovisioned", json!(user.deprovisioned)),
        ("updated_at_ms", json!(user.updated_at_ms)),
    ];
    let is_blocked = user.banned || user.deprovisioned;
    let lines: Vec<_> = members.iter().map(|(name, value)| (Mark::None, format!("{name:<16}{value}"))).collect();
    let object = Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    output.report(!is_blocked, &object, &lines)
}
