//! Tests of the admin API and the command.

mod common;

use clerk_sim::webhook;
use common::{GOOD, must, parse, send};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_clerk-sim");

struct Server {
    child: Child,
    ready: Value,
}

impl Server {
    fn start(args: &[&str]) -> Server {
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--exit-with-stdin"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Server { child, ready: serde_json::from_str(&line).unwrap() }
    }

    fn addr(&self, name: &str) -> SocketAddr {
        self.ready[name].as_str().unwrap().split("//").nth(1).unwrap().parse().unwrap()
    }

    fn admin(&self, method: &str, path: &str, body: &str) -> Value {
        let response = send(self.addr("admin_url"), method, path, "", body);
        assert_eq!(response.status, 200, "{method} {path}: {}", String::from_utf8_lossy(&response.body));
        response.json()
    }

    fn get(&self, path: &str) -> common::Response {
        send(self.addr("url"), "GET", path, GOOD, "")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn admin_api_controls_state_faults_keys_and_ports() {
    let server = Server::start(&["--https"]);
    assert!(server.ready["https_url"].as_str().unwrap().starts_with("https://127.0.0.1:"));
    let pem = std::fs::read_to_string(server.ready["ca_pem_file"].as_str().unwrap()).unwrap();
    assert_eq!(server.admin("GET", "/ca", "")["pem"], json!(pem));

    server.admin(
        "PUT",
        "/state",
        r#"{"users":{"user_1":{"id":"user_1"}},"secret_keys":["sk_test_1"],"jwks":["k1","k2"]}"#,
    );
    server.admin("PUT", "/users/user_2", r#"{"first_name":"Bob"}"#);
    server.admin("PATCH", "/users/user_2", r#"{"banned":true}"#);
    server.admin("PUT", "/sessions/sess_1", r#"{"user_id":"user_2"}"#);
    let bob = server.get("/v1/users/user_2").json();
    assert_eq!((&bob["id"], &bob["first_name"], &bob["banned"]), (&json!("user_2"), &json!("Bob"), &json!(true)));
    assert_eq!(server.get("/v1/sessions/sess_1").json()["user_id"], "user_2");
    assert_eq!(server.get("/v1/jwks").json()["keys"].as_array().unwrap().len(), 2);
    server.admin("DELETE", "/users/user_1", "");
    assert_eq!(server.get("/v1/users/user_1").status, 404);
    assert_eq!(server.admin("GET", "/state", "")["secret_keys"], json!(["sk_test_1"]));

    server.admin("PUT", "/faults", r#"[{"path":"/users/*","status":429,"headers":{"Retry-After":"2"},"times":1}]"#);
    assert_eq!(server.get("/v1/users/user_2").header("retry-after"), Some("2"));
    assert_eq!(server.admin("GET", "/faults", "")[0]["times"], 0);
    server.admin("DELETE", "/faults", "");

    let token = server.admin("POST", "/mint", r#"{"user":"user_2","now":1800000000,"claims":{"x":1}}"#);
    assert_eq!(token["token"].as_str().unwrap().split('.').count(), 3);
    let exact =
        r#"{"recipe":{"header":{"alg":"none"},"payload":{"n":1000000000000000000000000000000},"sign":{"alg":"none"}}}"#;
    let token = server.admin("POST", "/mint", exact)["token"].as_str().unwrap().to_owned();
    let payload = clerk_sim::encoding::from_b64u(token.split('.').nth(1).unwrap()).unwrap();
    assert_eq!(payload, br#"{"n":1000000000000000000000000000000}"#);

    let rotated = server.admin("POST", "/rotate", r#"{"same_kid":true}"#);
    assert_eq!((&rotated["key"], &rotated["kid"]), (&json!("k1_rotated"), &json!(clerk_sim::DEFAULT_KID)));
    assert_eq!(server.admin("GET", "/keys/k1_rotated", "")["jwk"], server.get("/v1/jwks").json()["keys"][0]);
    server.admin("PUT", "/jwks", r#"{"keys":[]}"#);
    assert_eq!(server.get("/v1/jwks").json(), json!({"keys": []}));

    let counts = server.admin("GET", "/counts", "");
    assert_eq!(counts["by_path"]["/users/{id}"], 3);
    assert_eq!((&counts["peak_concurrency"], &counts["violations"]), (&json!(1), &json!({})));
    assert_eq!(server.admin("GET", "/log", "").as_array().unwrap().len(), counts["total"].as_u64().unwrap() as usize);
    server.admin("DELETE", "/counts", "");
    assert_eq!(server.admin("GET", "/counts", "")["total"], 0);

    server.admin("PUT", "/down", r#"{"down":true}"#);
    assert!(std::net::TcpStream::connect(server.addr("url")).is_err());
    server.admin("PUT", "/down", r#"{"down":false}"#);
    assert_eq!(server.get("/v1/jwks").status, 200);
}

#[test]
fn invalid_admin_request_is_400_and_changes_nothing() {
    let server = Server::start(&[]);
    let before = server.admin("GET", "/state", "");
    for (method, path, body) in [
        ("PUT", "/state", r#"{"secret_keys":["x"],"nonsense":1}"#),
        ("PUT", "/state", r#"{"secret_keys":["x"],"faults":[{"nonsense":1}]}"#),
        ("PUT", "/state", "{"),
        ("PUT", "/faults", r#"[{"pth":"x"}]"#),
        ("PUT", "/jwks", r#"["no such key"]"#),
        ("POST", "/mint", r#"{"kind":"nonsense"}"#),
        ("POST", "/webhook", r#"{"type":"role.created"}"#),
        ("PATCH", "/users/user_9", "{}"),
    ] {
        let rejected = send(server.addr("admin_url"), method, path, "", body);
        assert_eq!(rejected.status, 400, "{method} {path} {body}");
        assert!(rejected.json()["error"].is_string());
    }
    assert_eq!(send(server.addr("admin_url"), "GET", "/nonsense", "", "").status, 404);
    assert_eq!(server.admin("GET", "/state", ""), before);
}

#[test]
fn webhooks_of_admin_api_and_command_are_signed() {
    let server = Server::start(&[]);
    server.admin("PUT", "/users/user_1", r#"{"first_name":"Ada"}"#);
    let delivery = server.admin("POST", "/webhook", r#"{"type":"user.updated","id":"user_1","timestamp":1800000000}"#);
    let body = delivery["body"].as_str().unwrap();
    let event: Value = serde_json::from_str(body).unwrap();
    assert_eq!(event["data"]["first_name"], "Ada");
    let id = delivery["headers"]["svix-id"].as_str().unwrap();
    let again = must(webhook::sign(clerk_sim::DEFAULT_WEBHOOK_SECRET, id, 1_800_000_000, body.as_bytes()));
    assert_eq!(delivery["headers"]["svix-signature"], json!(again[2].1));

    let printed =
        run(&["webhook", "--type", "user.deleted", "--id", "user_1", "--svix-id", "msg_1", "--timestamp", "5"]);
    let delivery: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(delivery["headers"]["svix-timestamp"], "5");
    assert!(delivery["body"].as_str().unwrap().contains(r#""deleted":true"#));
}

fn run(args: &[&str]) -> String {
    let done = Command::new(PROGRAM).args(args).output().unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn mint_and_key_commands_print_tokens_and_keys() {
    let args = ["mint", "--kind", "session-v2", "--user", "user_1", "--azp", "https://a.test", "--org-id", "org_1"];
    let more = [
        "--org-permissions",
        "org:x:read",
        "--claim",
        "n=[1]",
        "--aud",
        "a",
        "--aud",
        "b",
        "--exp-in",
        "-5",
        "--now",
        "100",
    ];
    let token = run(&[&args[..], &more].concat());
    let claims = clerk_sim::encoding::from_b64u(token.trim().split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["azp"], &claims["exp"], &claims["n"]), (&json!("https://a.test"), &json!(95), &json!([1])));
    assert_eq!((&claims["o"]["id"], &claims["aud"]), (&json!("org_1"), &json!(["a", "b"])));
    assert_eq!(run(&["mint", "--recipe", r#"{"text":"{{now+1}}"}"#, "--now", "1"]).trim(), "2");
    assert!(run(&["key", "--name", "k2"]).starts_with("-----BEGIN PUBLIC KEY-----"));
    assert!(run(&["key", "--form", "jwks"]).starts_with(r#"{"keys":[{"#));
    assert!(run(&["--help"]).contains("clerk-sim serve"));
    for invalid in
        [&["nonsense"][..], &[], &["mint", "--nonsense"], &["mint", "--now", "x"], &["key", "--name", "nonsense"]]
    {
        assert!(!Command::new(PROGRAM).args(invalid).output().unwrap().status.success(), "{invalid:?}");
    }
}

#[test]
fn serve_reads_state_file_and_writes_ready_file() {
    let directory = std::env::temp_dir().join(format!("clerk-sim-test-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let (state, ready) = (directory.join("state.json"), directory.join("ready.json"));
    std::fs::write(&state, r#"{"users":[{"id":"user_1"}],"faults":[{"path":"/jwks","status":500}]}"#).unwrap();
    let string = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let server =
        Server::start(&["--state", &string(&state), "--ready-file", &string(&ready), "--listen", "127.0.0.1:0"]);
    assert_eq!(serde_json::from_str::<Value>(&std::fs::read_to_string(&ready).unwrap()).unwrap(), server.ready);
    assert_eq!((server.get("/v1/users/user_1").status, server.get("/v1/jwks").status), (200, 500));
    drop(server);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn server_exits_when_stdin_closes() {
    let server = Server::start(&["--https"]);
    let (addr, ca) = (server.addr("url"), server.ready["ca_pem_file"].as_str().unwrap().to_owned());
    let mut stream = std::net::TcpStream::connect(addr).unwrap();
    drop(server);
    assert!(std::net::TcpStream::connect(addr).is_err());
    assert!(!std::path::Path::new(&ca).exists());
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty() || parse(&rest).status >= 400);
}
