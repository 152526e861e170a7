//! What a server needs, layer by layer: each check is made even if the one before fails.

use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use clerk_auth::internals::{ApiError, ApiErrorKind, KeySet};
use serde_json::json;

use crate::output::{self, Check, Failure, Mark, Output, redact};
use crate::settings::Settings;
use crate::users::get;

/// Tokens live for a minute: clocks that differ by more are no use.
const MAX_CLOCK_DIFFERENCE_S: u64 = 5;

struct Report(Vec<Check>);

impl Report {
    fn add(&mut self, name: &str, mark: Mark, found: impl Into<String>, hint: &str) {
        self.0.push(Check { name: name.into(), mark, found: redact(&found.into()), hint: hint.into() });
    }
}

pub fn run(settings: &Settings, output: &Output) -> Result<ExitCode, Failure> {
    let mut report = Report(Vec::new());
    let is_valid = check_settings(settings, &mut report);
    check_connection(settings, &mut report);
    check_clerk(settings, is_valid, &mut report);
    let is_good = report.0.iter().all(|check| check.mark != Mark::Failed);
    let (lines, array) = output::checks(&report.0);
    output.report(is_good, &json!({"healthy": is_good, "checks": array}), &lines)
}

/// Returns whether the settings are valid.
fn check_settings(settings: &Settings, report: &mut Report) -> bool {
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let log = warnings.clone();
    let client = settings.client(move |line| log.lock().unwrap_or_else(|e| e.into_inner()).push(line.to_owned()));
    let is_valid = client.is_ok();
    match client {
        Ok(_) => report.add("settings", Mark::Ok, "valid", ""),
        Err(failure) => report.add("settings", Mark::Failed, failure.message, "`clerk-auth config` lists them"),
    }
    for warning in warnings.lock().unwrap_or_else(|e| e.into_inner()).drain(..) {
        report.add("settings", Mark::Skipped, warning, "");
    }
    is_valid
}

/// Returns host and port of a URL.
fn authority(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let default = if scheme == "http" { 80 } else { 443 };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, default),
    };
    Some((host.trim_matches(['[', ']']).to_owned(), port))
}

fn check_connection(settings: &Settings, report: &mut Report) {
    let (what, url) = match settings.optional("proxy") {
        Some(proxy) => ("proxy", if proxy.contains("://") { proxy } else { format!("http://{proxy}") }),
        None => ("Clerk", settings.get("api_url").trim().to_owned()),
    };
    // A proxy's user and password stay out.
    let url = url
        .rsplit_once('@')
        .map_or(url.clone(), |(start, host)| format!("{}://{host}", start.split("://").next().unwrap_or("http")));
    let Some((host, port)) = authority(&url) else {
        return report.add(
            "name resolution",
            Mark::Failed,
            format!("{url} is no URL"),
            "set CLERK_API_URL or the proxy to a URL",
        );
    };
    let addresses: Vec<_> = match (host.as_str(), port).to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            report.add(
                "name resolution",
                Mark::Failed,
                format!("{host}: {error}"),
                "check the name, /etc/resolv.conf and the network",
            );
            return report.add("connection", Mark::Skipped, format!("no address of {what}"), "");
        }
    };
    let list: Vec<_> = addresses.iter().take(4).map(|address| address.ip().to_string()).collect();
    report.add("name resolution", Mark::Ok, format!("{host}: {}", list.join(", ")), "");
    let begun = Instant::now();
    let connected = addresses.iter().any(|address| TcpStream::connect_timeout(address, Duration::from_secs(3)).is_ok());
    match connected {
        true => report.add(
            "connection",
            Mark::Ok,
            format!("{what}, port {port}, in {} ms", begun.elapsed().as_millis()),
            "",
        ),
        false => report.add(
            "connection",
            Mark::Failed,
            format!("{what}, port {port}"),
            "check the port, the firewall and the proxy",
        ),
    }
}

/// The secret key is sent only if the settings are valid: an invalid URL may lead elsewhere.
fn check_clerk(settings: &Settings, is_valid: bool, report: &mut Report) {
    let secret = settings.secret_key().ok().filter(|_| is_valid);
    let probe = match get(settings, "/v1/jwks", secret.as_ref()) {
        Ok(probe) => probe,
        Err(failure) => {
            report.add("TLS and HTTP", Mark::Failed, failure.message, "");
            for name in ["clock", "secret key", "keys", "rate limit"] {
                report.add(name, Mark::Skipped, "no response from Clerk", "");
            }
            return;
        }
    };
    report.add("TLS and HTTP", Mark::Ok, format!("status {} in {} ms", probe.status, probe.elapsed.as_millis()), "");
    match probe.date.as_deref().and_then(|date| httpdate::parse_http_date(date).ok()) {
        None => report.add("clock", Mark::Skipped, "the response has no date", ""),
        Some(theirs) => {
            let now = SystemTime::now();
            let apart =
                now.duration_since(theirs).or_else(|_| theirs.duration_since(now)).unwrap_or_default().as_secs();
            let is_near = apart <= MAX_CLOCK_DIFFERENCE_S;
            let hint =
                if is_near { "" } else { "synchronize this machine's clock (NTP): tokens are valid for one minute" };
            report.add("clock", if is_near { Mark::Ok } else { Mark::Failed }, format!("{apart} s from Clerk's"), hint);
        }
    }
    let error = probe.error();
    match (&error, secret.is_some()) {
        (_, false) if !is_valid => {
            report.add("secret key", Mark::Skipped, "not sent, because the settings are not valid", "");
        }
        (_, false) => report.add("secret key", Mark::Skipped, "CLERK_SECRET_KEY is not set", ""),
        (Some(error), true) if error.is_secret_key_rejected() => {
            report.add(
                "secret key",
                Mark::Failed,
                format!("rejected with {}", error.status),
                "copy it from the API keys of this instance",
            );
        }
        (None, true) => report.add("secret key", Mark::Ok, "accepted", ""),
        (Some(ApiError { kind: ApiErrorKind::RateLimited, .. }), true) => {
            report.add("secret key", Mark::Ok, "accepted", "");
        }
        (Some(error), true) => report.add("secret key", Mark::Failed, error.to_string(), "try again later"),
    }
    match (probe.status, KeySet::parse(&probe.body)) {
        (200, Some(set)) if !set.kids().is_empty() => report.add("keys", Mark::Ok, set.kids().join(", "), ""),
        (200, _) => report.add("keys", Mark::Failed, "none that can verify tokens", "check CLERK_API_URL"),
        (status, _) => report.add("keys", Mark::Skipped, format!("not read: status {status}"), ""),
    }
    match probe.status {
        429 => {
            let wait = probe.retry_after.unwrap_or_else(|| "a while".into());
            report.add(
                "rate limit",
                Mark::Failed,
                format!("reached; try again after {wait}"),
                "raise the lifetimes of the caches",
            );
        }
        _ => report.add("rate limit", Mark::Ok, "not reached", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_of_urls_are_found() {
        for (url, host, port) in [
            ("https://api.clerk.com", "api.clerk.com", 443),
            ("http://127.0.0.1:8080/v1", "127.0.0.1", 8080),
            ("https://[::1]:8443", "::1", 8443),
            ("https://[::1]", "::1", 443),
        ] {
            assert_eq!(authority(url), Some((host.to_owned(), port)), "{url}");
        }
        assert_eq!(authority("api.clerk.com"), None);
    }
}
