//! Tokens and webhook deliveries.

use std::process::ExitCode;

use clerk_auth::internals::builder;
use clerk_auth::{CheckStatus, Client, LogLevel, Outcome, WebhookHeaders, WebhookOutcome};
use serde_json::{Value, json};

use crate::output::{self, Failure, Mark, Output};
use crate::settings::Settings;

/// Makes a client for what needs no key of Clerk's. A client needs one; without any, it gets one that no signature would match.
fn client_without_key(settings: &Settings) -> Result<Client, Failure> {
    if settings.optional("secret_key").is_some() || settings.optional("jwt_key").is_some() {
        return settings.client(|_| ());
    }
    let mut config = settings.config()?;
    config.set("secret_key", "sk_test_none").map_err(|error| Failure::usage(error.to_string()))?;
    Ok(builder(config).on_log(LogLevel::Warn, |_, _| ()).build()?)
}

/// Explains a token. With no settings at all its claims and times are checked, but not its signature.
pub fn explain(settings: &Settings, token: &[u8], fetch_keys: bool, output: &Output) -> Result<ExitCode, Failure> {
    let client = if fetch_keys { settings.client(|_| ())? } else { client_without_key(settings)? };
    if fetch_keys {
        client.warm_up()?;
    }
    let explanation = client.explain(token);
    let mut checks = Vec::new();
    for check in explanation.checks() {
        let (mark, found) = match check.status {
            CheckStatus::Ok => (Mark::Ok, check.found.clone()),
            CheckStatus::Failed => (Mark::Failed, format!("{}; expected: {}", check.found, check.expected)),
            _ => (Mark::Skipped, check.found.clone()),
        };
        let hint = check.hint.unwrap_or_default().to_owned();
        checks.push(output::Check { name: check.name.into(), mark, found, hint });
    }
    let (mut lines, _) = output::checks(&checks);
    let advice = "with CLERK_SECRET_KEY, --fetch-keys fetches the keys that verify it";
    lines.push(match (explanation.reason(), explanation.is_signature_verified()) {
        (Some(reason), _) => (Mark::Failed, format!("rejected: {reason}: {}", explanation.summary())),
        (None, true) => (Mark::Ok, "no check fails, and the signature is verified".into()),
        (None, false) => (
            Mark::Skipped,
            format!("no check fails, but the signature was not verified, so the token may be forged; {advice}"),
        ),
    });
    let object: Value = serde_json::from_str(&explanation.to_json()).unwrap_or_default();
    output.report(explanation.reason().is_none(), &object, &lines)
}

/// Verifies a token as a server with the same settings would.
pub fn verify(settings: &Settings, token: &[u8], output: &Output) -> Result<ExitCode, Failure> {
    // As in a server without a log callback: warnings, and what CLERK_LOG selects, go to standard error.
    let client = builder(settings.config()?).build()?;
    let result = client.verify_token(std::str::from_utf8(token).unwrap_or("\u{fffd}"));
    if let Outcome::Unavailable { .. } = result.outcome() {
        let error = result.error().map(|error| error.to_string()).unwrap_or_default();
        return Err(Failure::unavailable(error));
    }
    let reason = result.reason().map(|reason| reason.to_string());
    let mut object = json!({"signed_in": reason.is_none(), "reason": reason, "http_status": result.http_status()});
    let mut lines = Vec::new();
    match result.identity() {
        Some(identity) => {
            object["subject"] = json!(identity.subject());
            object["token_kind"] = json!(identity.kind().as_str());
            lines.push((Mark::Ok, format!("{} ({})", identity.subject(), identity.kind().as_str())));
        }
        None => lines.push((Mark::Failed, reason.unwrap_or_default())),
    }
    let is_signed_in = object["signed_in"] == true;
    if !is_signed_in {
        lines.push((Mark::None, client.explain(token).summary().to_owned()));
    }
    output.report(is_signed_in, &object, &lines)
}

/// Verifies a delivery. Nothing is applied but to this process.
pub fn webhook(settings: &Settings, headers: [&str; 3], body: &[u8], output: &Output) -> Result<ExitCode, Failure> {
    if settings.optional("webhook_secrets").is_none() {
        return Err(Failure::usage("CLERK_WEBHOOK_SIGNING_SECRET is not set"));
    }
    let client = client_without_key(settings)?;
    let mut delivery = WebhookHeaders::new();
    for (name, value) in ["svix-id", "svix-timestamp", "svix-signature"].into_iter().zip(headers) {
        delivery.header(name.as_bytes(), value.as_bytes());
    }
    let error = match client.handle_webhook(&delivery, body) {
        WebhookOutcome::Rejected(error) => Some(error.to_string()),
        _ => None,
    };
    let line = match &error {
        None => (Mark::Ok, "the delivery is from Clerk".to_owned()),
        Some(error) => (Mark::Failed, error.clone()),
    };
    output.report(error.is_none(), &json!({"valid": error.is_none(), "error": error}), &[line])
}
