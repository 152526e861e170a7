//! The command, run as an operator runs it, against a fake Clerk API.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use clerk_auth::users::{RowChanges, UserStore};
use clerk_sim::{Sim, TokenSpec};
use serde_json::{Value, json};

/// A Clerk API with one user, and the command with its settings.
struct Fixture {
    sim: Sim,
}

impl Fixture {
    fn new() -> Self {
        let sim = Sim::start();
        sim.put_user(json!({"id": "user_1", "first_name": "Ada"}));
        Fixture { sim }
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)], input: &[u8]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clerk-auth"));
        command.args(arguments).env_clear().envs(variables.iter().copied());
        if variables.iter().all(|(name, _)| *name != "CLERK_API_URL") {
            command.env("CLERK_API_URL", self.sim.url());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The command may end without reading.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Runs with a secret key, and returns the exit code and the JSON.
    fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.run(arguments, &[("CLERK_SECRET_KEY", "sk_test_x")], b"");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {error}"));
        (output.status.code().unwrap(), json)
    }

    fn token(&self, exp_in: i64) -> String {
        self.sim.mint_now(&TokenSpec::session("user_1").exp_in(exp_in))
    }
}

#[test]
fn valid_token_is_verified_and_explained() {
    let fixture = Fixture::new();
    let token = fixture.token(600);
    let (code, verified) = fixture.json(&["verify", &token]);
    assert_eq!((code, &verified["subject"]), (0, &json!("user_1")));
    let (code, explained) = fixture.json(&["explain", "--fetch-keys", &token]);
    assert_eq!((code, &explained["verified"], &explained["rejected"]), (0, &json!(true), &json!(false)));
    let printed = fixture.run(&["--plain", "explain", &token], &[], b"").stdout;
    assert!(String::from_utf8(printed).unwrap().contains("--fetch-keys"));
    // Nothing was fetched: not trusted, not rejected.
    let (code, explained) = fixture.json(&["explain", &token]);
    assert_eq!((code, &explained["verified"]), (0, &json!(false)));
}

#[test]
fn expired_token_is_rejected_with_the_reason() {
    let fixture = Fixture::new();
    let token = fixture.token(-600);
    let (code, verified) = fixture.json(&["verify", &token]);
    assert_eq!((code, &verified["reason"], &verified["http_status"]), (1, &json!("token-expired"), &json!(401)));
    assert_eq!(fixture.json(&["explain", &token]).0, 1);
}

#[test]
fn any_bytes_are_explained_and_no_signature_is_printed() {
    let fixture = Fixture::new();
    let token = fixture.token(-600);
    let signature = token.rsplit('.').next().unwrap();
    let mut inputs = vec![token.clone().into_bytes(), format!("Bearer {token}\n").into_bytes()];
    inputs.extend([&b""[..], b"\xff\xfe\x00", b"...", b"a.b.c", b"ak_secretvalue"].map(<[u8]>::to_vec));
    inputs.push((0..=255).cycle().take(70_000).collect());
    for input in inputs {
        for format in ["--json", "--plain"] {
            let output = fixture.run(&[format, "explain", "-"], &[], &input);
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let printed = [output.stdout, output.stderr].concat();
            assert!(!printed.is_empty() && !String::from_utf8_lossy(&printed).contains(signature));
        }
    }
}

#[test]
fn arguments_of_any_bytes_are_explained_and_never_repeated_whole() {
    use std::os::unix::ffi::OsStrExt;
    let fixture = Fixture::new();
    let token = fixture.token(600);
    let signature = token.rsplit('.').next().unwrap();
    let assigned = format!("--json={token}");
    for (arguments, code) in [
        (vec!["explain", "Bearer", &token], 2),
        (vec![&token], 2),
        (vec![&assigned], 2),
        (vec!["completions", &token], 2),
        (vec!["sim", &token], 2),
        (vec!["user", &token], 2),
        (vec!["--env-file", &token, "config"], 2),
        (vec!["store", "list", &token], 3),
        (vec!["webhook", "verify", &token, "--id", "i", "--timestamp", "1", "--signature", &token], 2),
    ] {
        let output =
            fixture.run(&arguments, &[("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_c2VjcmV0c2VjcmV0c2VjcmV0")], b"");
        let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {printed}");
        assert!(!printed.contains(signature), "{printed}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_clerk-auth"));
    let output = command.env_clear().arg("explain").arg(std::ffi::OsStr::from_bytes(b"\xff\xfe.a.b")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    // Longer than what is read.
    let output = fixture.run(&["explain", "-"], &[], &vec![b'a'; 3 << 20]);
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &explained["reason"]), (Some(1), &json!("token-invalid")));
}

#[test]
fn closed_output_is_no_failure_and_full_output_is_named() {
    for arguments in
        [&["--help"][..], &["config"], &["completions", "bash"], &["man"], &["explain", "a"], &["sim", "--help"]]
    {
        let run = |stdout: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_clerk-auth"));
            command.args(arguments).env_clear().env("CLERK_SECRET_KEY", "sk_test_x").stdout(stdout).output().unwrap()
        };
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(writer.into());
        let expected = i32::from(arguments[0] == "explain");
        assert_eq!(
            (output.status.code(), output.stderr.as_slice()),
            (Some(expected), &b""[..]),
            "{arguments:?}: {output:?}"
        );
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = run(full.into());
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {printed}");
        assert!(printed.contains("No space left") && printed.lines().count() == 1, "{printed}");
    }
}

#[test]
fn secret_key_is_sent_to_valid_urls_only() {
    let fixture = Fixture::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    // Another name of the loopback interface, which the library does not accept without TLS.
    let url = format!("http://127.1:{}", listener.local_addr().unwrap().port());
    for arguments in [&["jwks"][..], &["user", "user_1"]] {
        let variables = [("CLERK_SECRET_KEY", "sk_test_x"), ("CLERK_API_URL", &url)];
        let output = fixture.run(arguments, &variables, b"");
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{printed}");
        assert!(printed.contains("api_url"), "{printed}");
        assert!(listener.accept().is_err(), "{arguments:?} has connected");
    }
    let with_version = format!("{}/v1", fixture.sim.url());
    let variables = [("CLERK_SECRET_KEY", "sk_test_x"), ("CLERK_API_URL", &with_version)];
    for arguments in [&["jwks"][..], &["user", "user_1"], &["doctor"]] {
        let output = fixture.run(arguments, &variables, b"");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    }
    let variables = [("CLERK_SECRET_KEY", "pk_test_x")];
    let output = fixture.run(&["--plain", "doctor"], &variables, b"");
    assert!(String::from_utf8(output.stdout).unwrap().contains("not sent"));
}

#[test]
fn secrets_in_the_place_of_other_settings_are_not_printed() {
    let fixture = Fixture::new();
    for (name, value) in [
        ("CLERK_PUBLISHABLE_KEY", "sk_live_hiddenpart"),
        ("CLERK_AUDIENCE", "whsec_hiddenpart"),
        ("CLERK_TIMEOUT_MS", "sk_test_hiddenpart"),
        ("CLERK_API_URL", "https://ada:hiddenpart@127.0.0.1:9"),
        ("CLERK_API_URL", "sk_live_hiddenpart"),
        ("CLERK_JWT_KEY", "{\"d\":\"hiddenpart\",\"kty\":\"RSA\"}"),
        ("CLERK_JWT_KEY", "-----BEGIN PRIVATE KEY----- hiddenpart"),
    ] {
        for command in ["config", "doctor", "jwks"] {
            let output = fixture.run(&[command], &[(name, value), ("CLERK_SECRET_KEY", "sk_test_x")], b"");
            let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(!printed.contains("hiddenpart"), "{command} {name}: {printed}");
        }
    }
}

#[test]
fn keys_and_users_are_fetched() {
    let fixture = Fixture::new();
    let (code, keys) = fixture.json(&["jwks"]);
    assert_eq!((code, &keys["keys"][0]["accepted"]), (0, &json!(true)));
    let (code, user) = fixture.json(&["user", "user_1"]);
    assert_eq!((code, &user["first_name"], &user["banned"]), (0, &json!("Ada"), &json!(false)));
    fixture.sim.put_user(json!({"id": "user_1", "banned": true}));
    assert_eq!(fixture.json(&["user", "user_1"]).0, 1);
    let variables = [("CLERK_SECRET_KEY", "sk_test_x")];
    assert_eq!(fixture.run(&["user", "user_2"], &variables, b"").status.code(), Some(1));
    assert_eq!(fixture.run(&["user", "../users"], &variables, b"").status.code(), Some(2));
}

#[test]
fn failures_name_their_cause_and_no_secret() {
    let fixture = Fixture::new();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let token = fixture.token(600);
    for (arguments, variables, code, named) in [
        (
            &["jwks"][..],
            &[("CLERK_SECRET_KEY", "sk_test_abcdefgh"), ("CLERK_API_URL", &url)][..],
            3,
            "connection refused",
        ),
        (
            &["verify", &token],
            &[("CLERK_SECRET_KEY", "sk_test_abcdefgh"), ("CLERK_API_URL", &url)],
            3,
            "connection refused",
        ),
        (&["verify", &token], &[("CLERK_SECRET_KEY", "pk_test_abcdefgh")], 2, "publishable key"),
        (&["verify", &token], &[], 2, "secret_key"),
        (&["user", "user_1"], &[], 2, "CLERK_SECRET_KEY is not set"),
        (&["--env-file", "/nonexistent", "config"], &[], 2, "/nonexistent"),
        (&["explain"], &[], 2, "required"),
    ] {
        let output = fixture.run(arguments, variables, b"");
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {printed}");
        assert!(printed.contains(named) && !printed.contains("abcdefgh"), "{arguments:?}: {printed}");
    }
}

#[test]
fn doctor_names_the_layer_that_fails() {
    let fixture = Fixture::new();
    let status = |report: &Value, name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap()["status"].as_str().unwrap().to_owned()
    };
    let (code, report) = fixture.json(&["doctor"]);
    assert_eq!((code, &report["healthy"]), (0, &json!(true)), "{report}");
    assert_eq!(status(&report, "clock"), "ok");
    for (url, failed, passed) in [
        ("http://127.0.0.1:9", "connection", "name resolution"),
        ("https://nosuch.invalid", "name resolution", "settings"),
    ] {
        let variables = [("CLERK_SECRET_KEY", "sk_test_x"), ("CLERK_API_URL", url)];
        let output = fixture.run(&["doctor"], &variables, b"");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!((status(&report, failed).as_str(), status(&report, passed).as_str()), ("failed", "ok"), "{report}");
    }
}

#[test]
fn page_of_a_gateway_is_no_verdict_of_clerk() {
    let fixture = Fixture::new();
    for status in [401, 403, 404] {
        fixture.sim.clear_faults();
        fixture.sim.fault(clerk_sim::Fault::on("*").status(status).html());
        for arguments in [&["jwks"][..], &["user", "user_1"]] {
            let output = fixture.run(arguments, &[("CLERK_SECRET_KEY", "sk_test_x")], b"");
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(3), "{status}: {error}");
            assert!(error.contains("not a response of Clerk"), "{status}: {error}");
        }
        let report = fixture.json(&["doctor"]).1.to_string();
        assert!(report.contains("not a response of Clerk") && !report.contains("rejected with"), "{report}");
    }
    fixture.sim.clear_faults();
    fixture.sim.fault(clerk_sim::Fault::on("*").status(401));
    assert!(fixture.json(&["doctor"]).1.to_string().contains("rejected with 401"));
}

#[test]
fn config_lists_sources_and_masks_secrets() {
    let fixture = Fixture::new();
    let file = std::env::temp_dir().join(format!("clerk-auth-{}.env", std::process::id()));
    std::fs::write(&file, "# settings\nexport CLERK_SECRET_KEY='sk_test_abcdefgh'\nCLERK_TIMEOUT_MS=1234\n").unwrap();
    let output = fixture.run(&["--env-file", file.to_str().unwrap(), "config"], &[], b"");
    std::fs::remove_file(&file).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(!printed.contains("abcdefgh"), "{printed}");
    let report: Value = serde_json::from_str(&printed).unwrap();
    let settings = report["settings"].as_array().unwrap();
    let of = |name: &str| settings.iter().find(|setting| setting["name"] == name).unwrap();
    assert_eq!(of("secret_key")["source"], json!(file.to_str().unwrap()));
    assert_eq!(of("timeout_ms")["value"], "1234");
    assert_eq!(of("api_url")["source"], "environment CLERK_API_URL");
    assert_eq!(of("audience")["source"], "default");
}

#[test]
fn store_is_listed_and_checked_without_a_change() {
    let fixture = Fixture::new();
    let path = std::env::temp_dir().join(format!("clerk-auth-{}.db", std::process::id()));
    let name = path.to_str().unwrap();
    let store = clerk_auth::users::SqliteStore::open(&path).unwrap();
    let mut ada = RowChanges::default();
    (ada.clerk_id, ada.username) = (Some("user_1".into()), Some("ada".into()));
    store.create(&ada).unwrap();
    drop(store);
    let (code, listed) = fixture.json(&["store", "list", name]);
    let row = json!({"key": 1, "clerk_id": "user_1", "email": null, "username": "ada", "is_active": true});
    assert_eq!((code, &listed["rows"]), (0, &json!([row])));
    assert_eq!(fixture.json(&["store", "list", &format!("sqlite:{name}")]), (0, listed.clone()));
    assert_eq!(fixture.json(&["store", "check", name]).0, 0);
    // A database of the application keeps the journal that the application has chosen.
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "delete").unwrap();
    assert_eq!(fixture.json(&["store", "check", name]).0, 0);
    // A table of an older version.
    let older = "alter table clerk_user drop column clerk_updated_at_ms";
    rusqlite::Connection::open(&path).unwrap().execute_batch(older).unwrap();
    assert_eq!(fixture.json(&["store", "check", name]).0, 1);
    std::fs::write(&path, b"not a database, but long enough to be taken for one").unwrap();
    let output = fixture.run(&["store", "check", name], &[], b"");
    assert_ne!(output.status.code(), Some(0));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(fixture.run(&["store", "check", name], &[], b"").status.code(), Some(3));
    assert!(!path.exists(), "a check creates no database");
}

#[test]
fn webhook_deliveries_are_verified() {
    let fixture = Fixture::new();
    let made = fixture.run(&["sim", "webhook", "--type", "session.revoked", "--id", "sess_1"], &[], b"");
    let delivery: Value = serde_json::from_slice(&made.stdout).unwrap();
    let header = |name: &str| delivery["headers"][name].as_str().unwrap();
    let secret = clerk_sim::DEFAULT_WEBHOOK_SECRET;
    let variables = [("CLERK_SECRET_KEY", "sk_test_x"), ("CLERK_WEBHOOK_SIGNING_SECRET", secret)];
    let mut arguments = vec!["webhook", "verify", "-", "--id", header("svix-id"), "--timestamp"];
    arguments.extend([header("svix-timestamp"), "--signature", header("svix-signature")]);
    let body = delivery["body"].as_str().unwrap();
    assert_eq!(fixture.run(&arguments, &variables, body.as_bytes()).status.code(), Some(0));
    assert_eq!(fixture.run(&arguments, &variables, b"{}").status.code(), Some(1));
    assert_eq!(fixture.run(&arguments, &variables[..1], body.as_bytes()).status.code(), Some(2));
    // Only the signing secret is needed.
    assert_eq!(fixture.run(&arguments, &variables[1..], body.as_bytes()).status.code(), Some(0));
}

#[test]
fn store_on_a_server_is_refused_without_its_password() {
    let fixture = Fixture::new();
    for scheme in ["postgres", "postgresql", "mysql"] {
        for command in ["list", "check"] {
            let output = fixture.run(&["store", command, &format!("{scheme}://app:s3cret@127.0.0.1/db")], &[], b"");
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{message}");
            assert!(message.contains("database: ") && !message.contains("s3cret"), "{message}");
        }
    }
}
