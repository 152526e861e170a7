//! The counters of a client in the text exposition format 0.0.4 of Prometheus.

use std::fmt::Write as _;

use strum::VariantArray as _;

use super::metrics::Stats;
use crate::api::{CallStatus, Endpoint};
use crate::shared_cache::{SharedCacheState, SharedCacheStats};

/// A metric without labels.
struct Metric {
    name: &'static str,
    help: &'static str,
    value: fn(&Stats) -> u64,
}

macro_rules! metrics {
    ($($name:literal: $member:ident, $help:literal;)*) => {
        &[$(Metric { name: $name, help: $help, value: |stats| stats.$member }),*]
    };
}

const COUNTERS: &[Metric] = metrics! {
    "cache_hits_total": cache_hits, "Results from the cache.";
    "cache_misses_total": cache_misses, "Tokens that had to be verified.";
    "signed_in_total": signed_in, "Requests signed in after verification.";
    "signed_out_total": signed_out, "Requests rejected.";
    "unavailable_total": unavailable, "Requests whose result could not be determined.";
    "no_credentials_total": no_credentials, "Requests without a credential.";
    "would_block_total": would_block, "Calls that may not block and had no result.";
    "store_errors_total": store_errors, "Requests for which the user store failed; also counted as unavailable.";
    "jwks_fetches_total": jwks_fetches, "Fetches of the JWK set.";
    "user_fetches_total": user_fetches, "Fetches of users.";
};

const GAUGES: &[Metric] = metrics! {
    "cached_tokens": cached_tokens, "Results in the cache.";
    "cached_users": cached_users, "Users in the cache.";
};

/// Begins a metric.
fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(out, "# HELP clerk_auth_{name} {help}\n# TYPE clerk_auth_{name} {kind}");
}

impl Stats {
    /// Returns the counters in the text exposition format 0.0.4 of Prometheus, `text/plain; version=0.0.4`.
    ///
    /// # Examples
    ///
    /// ```
    /// # let (jwt_key, _) = clerk_auth::internals::example();
    /// # let client = clerk_auth::Client::builder().jwt_key(jwt_key).build()?;
    /// let text = client.stats().metrics_text();
    /// assert!(text.contains("clerk_auth_cache_hits_total 0\n"));
    /// # Ok::<(), clerk_auth::Error>(())
    /// ```
    pub fn metrics_text(&self) -> String {
        let mut out = String::with_capacity(8192);
        for (metrics, kind) in [(COUNTERS, "counter"), (GAUGES, "gauge")] {
            for Metric { name, help, value } in metrics {
                head(&mut out, name, kind, help);
                let _ = writeln!(out, "clerk_auth_{name} {}", value(self));
            }
        }
        if let Ok(age_ms) = u64::try_from(self.jwks_age_ms) {
            head(&mut out, "jwks_age_seconds", "gauge", "Age of the JWK set.");
            let _ = writeln!(out, "clerk_auth_jwks_age_seconds {}.{:03}", age_ms / 1000, age_ms % 1000);
        }
        self.write_endpoints(&mut out);
        self.write_shared_cache(&mut out);
        out
    }

    fn write_shared_cache(&self, out: &mut String) {
        let SharedCacheStats { hits, misses, errors, rejected, state, revocation_lag_ms } = self.shared_cache;
        if state == SharedCacheState::Off {
            return;
        }
        for (name, help, value) in [
            ("shared_cache_hits_total", "Users that were found in the shared cache.", hits),
            ("shared_cache_misses_total", "Users that were not found in the shared cache.", misses),
            ("shared_cache_errors_total", "Operations on the shared cache that failed.", errors),
            ("shared_cache_rejected_total", "Entries of the shared cache that were ignored.", rejected),
        ] {
            head(out, name, "counter", help);
            let _ = writeln!(out, "clerk_auth_{name} {value}");
        }
        head(out, "shared_cache_available", "gauge", "1 if the shared cache is used, 0 while it cannot be.");
        let _ = writeln!(out, "clerk_auth_shared_cache_available {}", u8::from(state == SharedCacheState::Available));
        if let Ok(lag_ms) = u64::try_from(revocation_lag_ms) {
            head(
                out,
                "revocation_lag_seconds",
                "gauge",
                "How long the last change by another process took to be applied.",
            );
            let _ = writeln!(out, "clerk_auth_revocation_lag_seconds {}.{:03}", lag_ms / 1000, lag_ms % 1000);
        }
    }

    fn write_endpoints(&self, out: &mut String) {
        head(out, "clerk_calls_total", "counter", "Calls to Clerk, each attempt counted, by endpoint and status.");
        for endpoint in Endpoint::VARIANTS {
            for status in CallStatus::VARIANTS {
                let (count, endpoint, status) =
                    (self.calls.get(*endpoint, *status), endpoint.as_str(), status.as_str());
                let _ = writeln!(
                    out,
                    "clerk_auth_clerk_calls_total{{endpoint=\"{endpoint}\",status=\"{status}\"}} {count}"
                );
            }
        }
        let gauges = [
            (
                "clerk_circuit_open",
                "1 while calls to an endpoint of Clerk are stopped after failures.",
                &self.open_circuits,
            ),
            (
                "clerk_rate_limited",
                "1 while calls to an endpoint of Clerk are stopped after a 429.",
                &self.rate_limited,
            ),
        ];
        for (name, help, values) in gauges {
            head(out, name, "gauge", help);
            for endpoint in Endpoint::VARIANTS {
                let (value, endpoint) = (values.get(*endpoint), endpoint.as_str());
                let _ = writeln!(out, "clerk_auth_{name}{{endpoint=\"{endpoint}\"}} {value}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn is_name(name: &str) -> bool {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        name.starts_with(|c: char| is_part(c) && !c.is_ascii_digit()) && name.chars().all(is_part)
    }

    /// Splits a sample into its name, its labels and its value.
    fn sample(line: &str) -> (&str, Vec<(&str, &str)>, f64) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("closed labels")),
            None => (series, ""),
        };
        (
            name,
            labels.split(',').filter(|label| !label.is_empty()).map(label).collect(),
            value.parse().expect("a number"),
        )
    }

    fn label(label: &str) -> (&str, &str) {
        let (name, value) = label.split_once("=\"").expect("a quoted value");
        let value = value.strip_suffix('"').expect("a closed value");
        assert!(is_name(name) && !value.contains(['"', '\\', '\n']), "{label}: not escaped");
        (name, value)
    }

    /// Checks the rules of the format: one HELP and one TYPE before the samples of a metric, all samples of a metric together, unique
    /// series, and those of the names: base units, `_total` for counters only.
    fn check(text: &str) -> usize {
        assert!(text.ends_with('\n') && !text.contains('\r') && !text.contains("\n\n"));
        let (mut metrics, mut series) = (HashSet::new(), HashSet::new());
        let (mut name, mut kind) = ("", "");
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (described, help) = help.split_once(' ').expect("a description");
                assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
                assert!(is_name(described) && metrics.insert(described), "{described} is repeated");
                let typed = lines.next().and_then(|line| line.strip_prefix("# TYPE ")).expect("TYPE after HELP");
                (name, kind) = typed.split_once(' ').expect("a type");
                assert_eq!(name, described);
                assert!(["counter", "gauge"].contains(&kind));
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
                assert!(!["_ms", "_milliseconds", "_minutes"].iter().any(|unit| name.ends_with(unit)), "{name}");
                continue;
            }
            let (of, labels, value) = sample(line);
            assert_eq!(of, name, "a sample of another metric");
            assert!(value >= 0.0 && (kind != "counter" || value.fract() == 0.0));
            assert!(series.insert((of, labels)), "{line} is repeated");
        }
        series.len()
    }

    #[test]
    fn text_follows_the_rules_of_the_format() {
        let mut stats = Stats { jwks_age_ms: -1, ..Stats::default() };
        let without_age = check(&stats.metrics_text());
        stats.jwks_age_ms = 61_005;
        stats.cache_hits = u64::MAX;
        assert_eq!(check(&stats.metrics_text()), without_age + 1);
        assert!(stats.metrics_text().contains("\nclerk_auth_jwks_age_seconds 61.005\n"));
        assert!(stats.metrics_text().contains("\nclerk_auth_cache_hits_total 18446744073709551615\n"));
    }

    #[test]
    fn each_number_has_its_own_series() {
        let mut stats = Stats { cache_hits: 1, cache_misses: 2, signed_in: 3, signed_out: 4, ..Stats::default() };
        (stats.unavailable, stats.no_credentials, stats.would_block, stats.store_errors) = (5, 6, 7, 8);
        (stats.jwks_fetches, stats.user_fetches, stats.cached_tokens, stats.cached_users) = (9, 10, 11, 12);
        stats.calls.0[Endpoint::Users as usize][CallStatus::RateLimited as usize] = 13;
        stats.rate_limited.0[Endpoint::Users as usize] = 1;
        let text = stats.metrics_text();
        for line in [
            "cache_hits_total 1",
            "cache_misses_total 2",
            "signed_in_total 3",
            "signed_out_total 4",
            "unavailable_total 5",
            "no_credentials_total 6",
            "would_block_total 7",
            "store_errors_total 8",
            "jwks_fetches_total 9",
            "user_fetches_total 10",
            "cached_tokens 11",
            "cached_users 12",
            "clerk_calls_total{endpoint=\"users\",status=\"rate_limited\"} 13",
            "clerk_calls_total{endpoint=\"users\",status=\"success\"} 0",
            "clerk_circuit_open{endpoint=\"users\"} 0",
            "clerk_rate_limited{endpoint=\"users\"} 1",
        ] {
            assert!(text.contains(&format!("\nclerk_auth_{line}\n")), "{line}");
        }
    }
}
