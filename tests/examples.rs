//! The axum example, over TCP.

#[allow(dead_code, reason = "its `main`")]
#[path = "../examples/axum.rs"]
mod axum_example;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clerk_auth::Client;
use clerk_sim::webhook::WebhookSpec;
use clerk_sim::{DEFAULT_WEBHOOK_SECRET, Sim, TokenSpec};
use serde_json::json;

fn now_s() -> i64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64
}

/// Sends a request, and returns the status line, the headers and the body.
fn exchange(server: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let length = body.len();
    write!(stream, "{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn get(server: SocketAddr, token: &str) -> String {
    exchange(server, &format!("GET / HTTP/1.1\r\nAuthorization: Bearer {token}"), "")
}

#[test]
fn axum_example_authenticates_and_applies_webhooks() {
    let sim = Sim::start();
    let builder = Client::builder().api_url(sim.url()).secret_key("sk_test_axum");
    let client = builder.webhook_secrets([DEFAULT_WEBHOOK_SECRET]).build().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_io().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let server = listener.local_addr().unwrap();
    runtime.spawn(axum::serve(listener, axum_example::app(client.clone())).into_future());

    let token = sim.mint(&TokenSpec::session("user_1").sid("sess_1"), now_s());
    for _ in 0..2 {
        let response = get(server, &token);
        assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("\r\n\r\nhello, user_1"), "{response}");
    }
    assert_eq!(client.stats().cache_hits, 1);
    let anonymous = exchange(server, "GET / HTTP/1.1", "");
    assert!(anonymous.starts_with("HTTP/1.1 401") && anonymous.ends_with("session-token-missing"), "{anonymous}");
    assert!(anonymous.to_ascii_lowercase().contains("www-authenticate: bearer"), "{anonymous}");

    let event = WebhookSpec {
        timestamp: Some(now_s()),
        data: Some(json!({"id": "sess_1"})),
        ..WebhookSpec::new("session.revoked", "")
    };
    let delivery = sim.webhook(&event).unwrap();
    let head: String = delivery.headers.iter().map(|(name, value)| format!("\r\n{name}: {value}")).collect();
    let post = |body: &str| exchange(server, &format!("POST /webhooks/clerk HTTP/1.1{head}"), body);
    assert!(post("{}").starts_with("HTTP/1.1 400"));
    assert!(post(&delivery.body).starts_with("HTTP/1.1 204"));
    let revoked = get(server, &token);
    assert!(revoked.starts_with("HTTP/1.1 401") && revoked.ends_with("session-revoked"), "{revoked}");
    runtime.shutdown_timeout(Duration::from_secs(5));
}
