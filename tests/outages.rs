//! Each outage differs from the others by the error of the result and by the log: real sockets and TLS servers on loopback.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use clerk_auth::{Client, ClientBuilder, LogLevel, Reason, Request};
use clerk_sim::{Fault, Leaf, Sim, TokenSpec};
use common::{lateness, timed};
use serde_json::json;

/// The error of a result and the log lines of its request.
#[derive(Debug)]
struct Seen {
    error: String,
    log: String,
}

/// Authenticates one request by a client that has no keys yet.
fn request(api_url: &str, configure: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Seen {
    request_within(1500, api_url, configure)
}

/// Does the same with another `timeout_ms`.
fn request_within(timeout_ms: u32, api_url: &str, configure: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Seen {
    let lines = Arc::new(Mutex::new(String::new()));
    let log = lines.clone();
    let builder = Client::builder()
        .secret_key("sk_test_hidden")
        .api_url(api_url)
        .timeout_ms(timeout_ms)
        .on_log(LogLevel::Debug, move |_, line| log.lock().unwrap().push_str(&format!("{line}\n")));
    let client = configure(builder).build().unwrap();
    let (_, token) = clerk_auth::internals::example();
    let authorization = format!("Bearer {token}");
    lateness::of_machine();
    let (result, took) =
        timed(|| client.authenticate(Request::new().header(b"Authorization", authorization.as_bytes())));
    let latest = Duration::from_millis(timeout_ms.into()) + common::tolerated(common::SLACK);
    let (error, log) = (result.error().unwrap().to_string(), lines.lock().unwrap().clone());
    assert_eq!(result.http_status(), 503, "{error}");
    assert!(took <= latest, "{error} after {took:?}");
    assert_eq!(result.public_reason(), Some("unavailable"));
    for hidden in ["sk_test_hidden", token] {
        assert!(!error.contains(hidden) && !log.contains(hidden), "{error} {log}");
    }
    Seen { error, log }
}

fn assert_seen(seen: &Seen, cause: &str, hint: &str) {
    for text in [&seen.error, &seen.log] {
        assert!(text.contains(cause) && text.contains(hint), "expected `{cause}` and `{hint}`: {seen:?}");
    }
}

/// Starts a server on loopback that treats up to eight connections alike. Returns its port.
fn serve(respond: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().take(8).flatten().for_each(respond));
    port
}

/// Reads what the client sends first, sends `response` and closes.
fn respond_with(response: &'static [u8]) -> u16 {
    serve(move |mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(response);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut [0; 4096]);
    })
}

/// Reads a request, which may arrive in pieces, and sends `response`.
fn proxy_with(response: &'static [u8]) -> u16 {
    serve(move |mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n > 0) {
            head.push(byte[0]);
        }
        let _ = stream.write_all(response);
    })
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn https_url(sim: &Sim) -> String {
    format!("https://localhost:{}", sim.https_addr().unwrap().port())
}

#[test]
fn certificates_that_are_not_valid_are_distinguished() {
    for (leaf, cause, hint) in [
        (Leaf::Expired, "tls: certificate expired", "check this machine's clock"),
        (Leaf::WrongHost, "tls: certificate for another host", "check the host in api_url"),
        (Leaf::SelfSigned, "tls: self-signed certificate", "set ca_pem to its certificate"),
    ] {
        let sim = Sim::builder().leaf(leaf).start();
        assert_seen(&request(&https_url(&sim), |builder| builder.ca_pem(sim.ca_pem())), cause, hint);
    }
    let (sim, other) = (Sim::builder().leaf(Leaf::Ok).start(), Sim::builder().leaf(Leaf::Ok).start());
    let untrusted = request(&https_url(&sim), |builder| builder.ca_pem(other.ca_pem()));
    assert_seen(&untrusted, "tls: certificate from an unknown authority", "set ca_pem to its authority");
}

#[test]
fn connections_that_fail_are_distinguished() {
    let refused = format!("http://127.0.0.1:{}", free_port());
    assert_seen(&request(&refused, |b| b), "connect: connection refused", "check api_url, the port and the firewall");
    let unknown = request_within(20_000, "https://clerk-auth-test.invalid", |b| b);
    assert_seen(&unknown, "dns: host name not found", "/etc/resolv.conf");
    let closed = format!("http://127.0.0.1:{}", serve(drop));
    assert_seen(&request(&closed, |b| b), "connect: connection closed by the server", "");
}

#[test]
fn silent_server_is_a_timeout() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    for scheme in ["http", "https"] {
        let seen = request_within(300, &format!("{scheme}://localhost:{port}"), |b| b);
        assert_seen(&seen, "timeout: no response within timeout_ms", "raise timeout_ms");
    }
}

#[test]
fn wrong_protocol_on_the_port_is_named() {
    let http = respond_with(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let seen =
        request(&format!("https://localhost:{http}"), |b| b.ca_pem(Sim::builder().leaf(Leaf::Ok).start().ca_pem()));
    assert_seen(&seen, "tls: the server does not speak TLS on this port", "http://");
    let ssh = respond_with(b"SSH-2.0-OpenSSH_9.2\r\n");
    let tls_alert = respond_with(b"\x15\x03\x03\x00\x02\x02\x46");
    for port in [ssh, tls_alert] {
        assert_seen(&request(&format!("http://localhost:{port}"), |b| b), "http: the response is not HTTP", "https://");
    }
}

#[test]
fn proxy_that_fails_is_not_taken_for_clerk() {
    let through = |proxy: String| request("https://api.clerk.com", move |builder| builder.proxy(proxy));
    for proxy in [format!("http://127.0.0.1:{}", free_port()), "http://clerk-auth-test.invalid:3128".to_owned()] {
        assert_seen(&through(proxy), "proxy: the proxy cannot be reached", "check the setting proxy");
    }
    let asks = proxy_with(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    let refuses = proxy_with(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    for (port, cause, hint) in [
        (asks, "proxy: authentication required", "http://user:password@host:port"),
        (refuses, "proxy: no connection through the proxy", "permits the host"),
    ] {
        assert_seen(&through(format!("http://127.0.0.1:{port}")), cause, hint);
    }
}

/// A proxy that is silent, before or after it has connected, or sends its response byte by byte.
#[test]
fn proxy_that_does_not_respond_is_a_timeout() {
    let respond_slowly = |response: &'static [u8], pause_ms: u64| {
        serve(move |mut stream| {
            for byte in response {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(pause_ms));
            }
            let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
            while stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
        })
    };
    let connected = b"HTTP/1.1 200 Connection established\r\n\r\n";
    for port in [respond_slowly(b"", 0), respond_slowly(connected, 0), respond_slowly(connected, 100)] {
        let proxy = format!("http://127.0.0.1:{port}");
        let seen = request_within(400, "https://api.clerk.com", |builder| builder.proxy(proxy));
        assert_seen(&seen, "timeout: ", "timeout_ms");
    }
}

#[test]
fn rejected_handshake_of_tls_is_named() {
    // The alerts protocol_version and handshake_failure.
    for alert in [&b"\x15\x03\x03\x00\x02\x02\x46"[..], b"\x15\x03\x03\x00\x02\x02\x28"] {
        let port = respond_with(alert);
        let seen =
            request(&format!("https://localhost:{port}"), |b| b.ca_pem(Sim::builder().leaf(Leaf::Ok).start().ca_pem()));
        assert_seen(&seen, "tls: no version or cipher in common with the server", "TLS 1.2");
    }
}

/// 403 is not always about the secret key: a firewall or a proxy answers in its own format.
#[test]
fn forbidden_by_a_firewall_is_not_a_wrong_secret_key() {
    let sim = Sim::start();
    let key = common::pem(&sim).unwrap();
    let authorization = format!("Bearer {}", sim.mint_now(&TokenSpec::session("user_1")));
    for (body, cause, reason) in [
        (json!({"$text": "<html>blocked</html>"}), "http 403 (not a response of Clerk", Reason::ServerError),
        (json!({"errors": []}), "http 403 (not a response of Clerk", Reason::ServerError),
        (json!({"errors": [{"code": "quota_exceeded"}]}), "http 403 quota_exceeded", Reason::ServerError),
        (json!({"errors": [{"code": "authorization_invalid"}]}), "lacks the permission", Reason::SecretKeyInvalid),
    ] {
        sim.clear_faults();
        sim.fault(Fault::on("/users/*").status(403).body(body));
        let client = Client::builder()
            .secret_key("sk_test_hidden")
            .jwt_key(&key)
            .user_mode(clerk_auth::UserMode::Profile)
            .api_url(sim.url())
            .build()
            .unwrap();
        let result = client.authenticate(Request::new().header(b"Authorization", authorization.as_bytes()));
        assert_eq!(result.reason(), Some(reason), "{cause}");
        assert!(result.error().unwrap().to_string().contains(cause), "{cause}: {:?}", result.error());
    }
}

#[test]
fn statuses_of_clerk_are_distinguished() {
    let quota = json!({"errors": [{"code": "quota_exceeded", "message": "secret text"}]});
    for (fault, cause) in [
        (Fault::on("/jwks").status(502), "http 502"),
        (Fault::on("/jwks").status(403).body(quota.clone()), "http 403 quota_exceeded (see the plan"),
        (Fault::on("/jwks").status(402).body(quota), "http 402 quota_exceeded (see the plan"),
        (Fault::on("/jwks").status(429), "http 429 too_many_requests: rate limited by Clerk"),
        (Fault::on("/jwks").status(302), "http 302"),
        (Fault::on("/jwks").body(json!({"keys": "none"})), "http: unexpected response body"),
    ] {
        let sim = Sim::start();
        sim.fault(fault);
        let seen = request(&sim.url(), |b| b);
        assert!(seen.error.contains(cause) && !seen.error.contains("secret"), "{cause}: {seen:?}");
    }
}

#[test]
fn open_circuit_names_the_failure_that_opened_it() {
    let sim = Sim::start();
    let key = common::pem(&sim).unwrap();
    let client = Client::builder()
        .secret_key("sk_test_hidden")
        .jwt_key(key)
        .user_mode(clerk_auth::UserMode::Profile)
        .api_url(format!("http://127.0.0.1:{}", free_port()))
        .build()
        .unwrap();
    let error = |n: usize| {
        let authorization = format!("Bearer {}", sim.mint_now(&TokenSpec::session(&format!("user_{n}"))));
        let result = client.authenticate(Request::new().header(b"Authorization", authorization.as_bytes()));
        result.error().unwrap().to_string()
    };
    let errors: Vec<_> = (0..8).map(error).collect();
    assert!(errors[0].contains(": connect: connection refused ("), "{errors:?}");
    assert!(
        errors[7].contains("no request was sent") && errors[7].contains("the last one: connect: connection refused")
    );
}

/// Runs one of the tests below in a process of its own, by a shell command. Returns its output.
fn run_alone(test: &str, command: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new("sh")
        .args(["-c", &format!("{command}; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
    shown
}

#[test]
fn machine_without_certificates_is_named() {
    run_alone("alone_without_certificates", ":", &[("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/nonexistent")]);
}

#[test]
#[ignore = "run by machine_without_certificates_is_named"]
fn alone_without_certificates() {
    let sim = Sim::builder().leaf(Leaf::Ok).start();
    let seen = request(&https_url(&sim), |b| b);
    assert_seen(&seen, "tls: no trusted certificates on this machine", "install ca-certificates, or set ca_pem");
}

#[test]
fn process_without_file_descriptors_is_named() {
    run_alone("alone_without_file_descriptors", "ulimit -n 64", &[]);
}

#[test]
#[ignore = "run by process_without_file_descriptors_is_named"]
fn alone_without_file_descriptors() {
    let mut open = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        open.push(file);
    }
    for url in ["http://127.0.0.1:1", "https://127.0.0.1:1", "https://localhost:1"] {
        let seen = request(url, |b| b);
        assert_seen(&seen, "too many open files", "ulimit -n");
    }
    drop(open);
}
