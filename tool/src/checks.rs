//! Tokens and webhook deliveries.

use std::process::ExitCode;

use clerk_auth::{CheckStatus, Outcome, WebhookHeaders, WebhookOutcome};
use serde_json::{Value, json};

use crate::output::{self, Failure, Mark, Output};
use crate::settings::Settings;

/// Explains a token. With no settings at all its claims and times are checked, but not its signature.
pub fn explain(settings: &Settings, token: &[u8], fetch_keys: bool, output: &Output) -> Result<ExitCode, Failure> {
    // A client needs a key. Without one, there is none that any signature would match.
    let client = match settings.client(|_| ()) {
        Err(_)
            if settings.optional("secret_key").is_none() && settings.optional("jwt_key").is_none() && !fetch_keys =>
        {
            let mut config = settings.config()?;
            config.set("secret_key", "sk_test_none").map_err(|error| Failure::usage(error.to_string()))?;
            clerk_auth::internals::builder(config).build()?
        }
        client => client?,
    };
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
    Ok(output.report(explanation.reason().is_none(), &object, &lines))
}

/// Verifies a token as a server with the same settings would.
pub fn verify(settings: &Settings, token: &[u8], output: &Output) -> Result<ExitCode, Failure> {
    let client = settings.client(|line| eprintln!("{line}"))?;
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
    Ok(output.report(is_signed_in, &object, &lines))
}

/// Verifies a delivery. Nothing is applied but to this process.
pub fn webhook(settings: &Settings, headers: [&str; 3], body: &[u8], output: &Output) -> Result<ExitCode, Failure> {
    if settings.optional("webhook_secrets").is_none() {
        return Err(Failure::usage("CLERK_WEBHOOK_SIGNING_SECRET is not set"));
    }
    let client = settings.client(|_| ())?;
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
    Ok(output.report(error.is_none(), &json!({"valid": error.is_none(), "error": error}), &[line]))
}
