//! Cached hits beside a stream of webhook events about other users: 100 000 cached tokens, 1 000 `user.updated` a second.
//! Prints the latency of a hit and the calls to Clerk, without and with the events.
//!
//! `CLERK_BENCH_TOKENS` and `CLERK_BENCH_SECONDS` change the size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clerk_auth::transport::{Request as ApiRequest, Response, Transport, TransportError};
use clerk_auth::{Client, Outcome, Request, Source, UserMode, WebhookHeaders, WebhookOutcome};
use clerk_sim::{KeyStore, TokenSpec};

const EVENTS_PER_SECOND: u64 = 1000;
/// New tokens, so that there are cold requests as well.
const COLD_PER_SECOND: u64 = 40;
/// The users of those tokens: each has to be fetched once.
const COLD_USERS: u64 = 50;
const SECRET: &str = "YSBzaWduaW5nIHNlY3JldCBvZiAyNCBi";

/// Responds like `GET /users/{id}` after 20 ms, and counts.
#[derive(Default)]
struct Clerk(AtomicU64);

impl Transport for Clerk {
    fn send(&self, request: &ApiRequest<'_>, _: Duration) -> Result<Response, TransportError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
        let id = request.url.rsplit('/').next().unwrap_or_default();
        let body = format!(r#"{{"id":"{id}","first_name":"Ada","updated_at":1}}"#).into_bytes();
        Ok(Response { status: 200, retry_after: None, trace_id: None, body })
    }
    fn reset_after_fork(&self) -> bool {
        false
    }
    fn shutdown(&self) {}
}

fn now_s() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn authenticate(client: &Client, token: &str) -> bool {
    let line = format!("Bearer {token}");
    client.authenticate(Request::new().header(b"Authorization", line.as_bytes())).identity().is_some()
}

/// Delivers `user.updated` about a user who has no cached token.
fn deliver(client: &Client, key: &hmac::Key, number: u64) {
    let (id, timestamp) = (format!("msg_{number}"), now_s().to_string());
    let body =
        format!(r#"{{"type":"user.updated","data":{{"id":"user_other{}","updated_at":{number}}}}}"#, number % 50_000);
    let tag = hmac::sign(key, format!("{id}.{timestamp}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(tag));
    let mut headers = WebhookHeaders::default();
    for (name, value) in [("svix-id", &id), ("svix-timestamp", &timestamp), ("svix-signature", &signature)] {
        headers.header(name.as_bytes(), value.as_bytes());
    }
    assert_eq!(client.handle_webhook(&headers, body.as_bytes()), WebhookOutcome::Applied);
}

/// Runs `work` at a rate until `stop`; skips what a slow machine cannot complete in time.
fn at_rate(per_second: u64, stop: &AtomicBool, mut work: impl FnMut(u64)) -> u64 {
    let (begun, mut done) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = begun.elapsed().as_micros() as u64 * per_second / 1_000_000;
        if done < due {
            work(done);
            done += 1;
        } else {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
    done
}

struct Measured {
    hits: u64,
    misses: u64,
    median_ns: u64,
    p99_ns: u64,
    max_ns: u64,
    events: u64,
    cold: u64,
    cold_p99_us: u64,
    calls: u64,
}

fn measure(
    client: &Client,
    clerk: &Clerk,
    cached: &[String],
    fresh: &mut std::vec::IntoIter<String>,
    seconds: u64,
    with_events: bool,
) -> Measured {
    let (stop, key) = (AtomicBool::new(false), hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(SECRET).unwrap()));
    let calls_before = clerk.0.load(Ordering::Relaxed);
    let mut latencies: Vec<u64> = Vec::with_capacity(4_000_000);
    let (mut misses, mut cold_us) = (0, Vec::new());
    let events = std::thread::scope(|scope| {
        let webhooks = scope.spawn(|| {
            if with_events { at_rate(EVENTS_PER_SECOND, &stop, |number| deliver(client, &key, number)) } else { 0 }
        });
        let cold = scope.spawn(|| {
            at_rate(COLD_PER_SECOND, &stop, |_| {
                if let Some(token) = fresh.next() {
                    let before = Instant::now();
                    assert!(authenticate(client, &token));
                    cold_us.push(before.elapsed().as_micros() as u64);
                }
            })
        });
        let begun = Instant::now();
        let mut at = 0_usize;
        while begun.elapsed() < Duration::from_secs(seconds) {
            // A stride that visits all tokens in a scattered order.
            at = (at + 38_183) % cached.len();
            let line = format!("Bearer {}", cached[at]);
            let mut request = Request::new();
            request.header(b"Authorization", line.as_bytes());
            let before = Instant::now();
            let hit = client.authenticate_cached(&request);
            latencies.push(before.elapsed().as_nanos() as u64);
            // A token whose result was evicted would be verified again.
            misses +=
                u64::from(hit.is_none_or(|result| result.outcome() != Outcome::SignedIn { source: Source::Cache }));
        }
        stop.store(true, Ordering::Relaxed);
        cold.join().unwrap();
        webhooks.join().unwrap()
    });
    latencies.sort_unstable();
    cold_us.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    Measured {
        hits: latencies.len() as u64,
        misses,
        median_ns: at(0.5),
        p99_ns: at(0.99),
        max_ns: at(1.0),
        events,
        cold: cold_us.len() as u64,
        cold_p99_us: cold_us[((cold_us.len() - 1) as f64 * 0.99) as usize],
        calls: clerk.0.load(Ordering::Relaxed) - calls_before,
    }
}

fn main() {
    let tokens = setting("CLERK_BENCH_TOKENS", 100_000);
    let seconds = setting("CLERK_BENCH_SECONDS", 10);
    let keys = KeyStore::built_in();
    let clerk = Arc::new(Clerk::default());
    let builder = Client::builder()
        .jwt_key(keys.pem("k1"))
        .secret_key("sk_test_bench")
        .user_mode(UserMode::Profile)
        .webhook_secrets([format!("whsec_{SECRET}")])
        .authorized_parties(["https://app.example.com"])
        .cache_capacity(1_000_000)
        .cache_ttl_s(3600)
        .user_ttl_s(3600)
        .transport(clerk.clone());
    let client = builder.build().unwrap();
    let mint = |user: &str| TokenSpec::session(user).exp_in(7200).mint(&keys, "k1", now_s()).unwrap();
    // At most 32 tokens of a subject are cached.
    let users = tokens.div_ceil(25);
    println!("minting {tokens} tokens of {users} users");
    let cached: Vec<String> = (0..tokens).map(|i| mint(&format!("user_{}", i % users))).collect();
    let fresh = |round: u64| -> Vec<String> {
        (0..(COLD_PER_SECOND * seconds)).map(|i| mint(&format!("user_cold{round}_{}", i % COLD_USERS))).collect()
    };
    let fresh = [fresh(0), fresh(1)];
    let threads = 16;
    std::thread::scope(|scope| {
        for chunk in cached.chunks(cached.len().div_ceil(threads)) {
            let client = &client;
            scope.spawn(move || chunk.iter().for_each(|token| assert!(authenticate(client, token))));
        }
    });
    println!("cached: {} tokens, {} users", client.stats().cached_tokens, client.stats().cached_users);
    for (with_events, fresh) in [false, true].into_iter().zip(fresh) {
        let m = measure(&client, &clerk, &cached, &mut fresh.into_iter(), seconds, with_events);
        println!(
            "{} events: {} hits ({} missed), median {} ns, p99 {} ns, max {} us; {} cold requests, p99 {} us, {} Clerk calls",
            m.events,
            m.hits,
            m.misses,
            m.median_ns,
            m.p99_ns,
            m.max_ns / 1000,
            m.cold,
            m.cold_p99_us,
            m.calls
        );
    }
}
