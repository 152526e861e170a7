//! The formats of `jwt_key` and `jwks`, as environment variables and files deliver them.

use clerk_auth::internals::{Config, builder};
use clerk_auth::{Error, Secret};
use clerk_sim::corpus::Corpus;
use clerk_sim::{Sim, TokenSpec};
use serde_json::Value;

use super::common::Fixture;

fn corpus() -> (Corpus, Value) {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let raw = std::fs::read_to_string(format!("{dir}/keys.json")).unwrap();
    (Corpus::open(dir).unwrap(), serde_json::from_str(&raw).unwrap())
}

fn built(jwt_key: &str) -> Result<(), Error> {
    builder(Config { jwt_key: Some(jwt_key.into()), ..Config::new() }).build().map(drop)
}

#[test]
fn jwt_key_accepts_every_rsa_public_key_format_only() {
    let (corpus, raw) = corpus();
    let mut good = 0;
    for (name, key) in raw.as_object().unwrap() {
        let fair = ["k1", "k2", "k1_rotated", "other", "rsa3072", "rsa4096", "rsa_e3"].contains(&name.as_str());
        for (form, text) in key["forms"].as_object().unwrap() {
            let text = text.as_str().unwrap();
            let public = form != "private_pem" && form != "certificate_pem";
            if fair && public {
                let sim = Sim::builder().keys(corpus.keys.clone()).start();
                let fixture = Fixture::build(sim, None, |config| config.jwt_key = Some(text.into()));
                assert_eq!(
                    fixture.ask(&fixture.mint(&TokenSpec::session("user_1").key(name))),
                    "in verified",
                    "{name} {form}"
                );
                good += 1;
                continue;
            }
            let error = built(text).expect_err(&format!("{name} {form}"));
            let says = match form.as_str() {
                "private_pem" => "private key",
                "certificate_pem" => "certificate",
                _ if name == "rsa1024" => "2048",
                _ => "not an RSA public key",
            };
            assert_eq!(error.setting(), Some("jwt_key"), "{name} {form}");
            assert!(error.to_string().contains(says), "{name} {form}: {error}");
            assert!(!error.to_string().contains("MII"), "an error never shows the text");
        }
    }
    assert_eq!(good, 7 * 14);
}

#[test]
fn jwt_key_accepts_jwks_with_all_its_keys() {
    let sim = Sim::start();
    let set = sim.keys().jwks(&["k1", "k2"]).unwrap().to_string();
    let fixture = Fixture::build(sim, None, |config| config.jwt_key = Some(set));
    for (key, outcome) in [
        ("k1", "in verified"),
        ("k2", "in verified"),
        ("k1_rotated", "out token-invalid-signature"),
        ("other", "out token-invalid-signature"),
    ] {
        assert_eq!(fixture.ask(&fixture.mint(&TokenSpec::session("user_1").key(key))), outcome, "{key}");
    }
}

#[test]
fn invalid_keys_are_config_errors() {
    let sim = Sim::start();
    let pem = sim.keys().pem("k1");
    let mut private_jwk = sim.keys().jwk("k1");
    private_jwk["d"] = Value::from("AQAB");
    let two = format!("{pem}\n-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----");
    for text in [
        " ",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
        "-----BEGIN EC PARAMETERS-----\nAAAA\n-----END EC PARAMETERS-----",
        "sk_test_abc",
        "pk_test_Y2xlcmsuY2xlcmsuZGV2JA",
        "{}",
        "{",
        r#"{"keys":[]}"#,
        "/etc/ssl/clerk.pem",
        "no base64 *",
        &pem.replace("PUBLIC KEY", "PRIVATE KEY"),
        &private_jwk.to_string(),
        &pem.replace('A', "B"),
        &pem[..200],
        &two,
        &"A".repeat(100_000),
    ] {
        let error = built(text).expect_err(text);
        assert_eq!(error.setting(), Some("jwt_key"), "{text}");
    }
}

#[test]
fn pem_with_odd_label_is_a_config_error() {
    let pem = Sim::start().keys().pem("k1");
    assert!(built(&pem).is_ok());
    for space in
        ["\u{a0}", "\u{2003}", "\u{3000}", "\u{200b}", "\u{2060}", "\u{feff}", "\t", "  ", "", "_", " \u{200b}"]
    {
        for text in [
            pem.replace("BEGIN ", &format!("BEGIN{space}")),
            pem.replace("BEGIN PUBLIC ", &format!("BEGIN PUBLIC{space}")),
            pem.replace("END ", &format!("END{space}")),
            format!("{pem}{}", pem.replace("BEGIN ", &format!("BEGIN{space}"))),
        ] {
            assert_eq!(built(&text).expect_err(&text).setting(), Some("jwt_key"), "{text}");
        }
    }
    for text in [
        pem.replace("END PUBLIC KEY", "END RSA PUBLIC KEY"),
        pem.replacen('\n', "\n\u{a0}", 2),
        format!("{pem}-----BEGIN"),
        format!("{pem}-----BEGIN PUBLIC KEY-----"),
        // A second block that is not read.
        format!("{pem}{}", pem.replacen("-----BEGIN", "-----\u{200b}BEGIN", 1)),
        format!("{pem}{}", pem.replacen("-----BEGIN", "----BEGIN", 1)),
        format!("{pem}{}", pem.replacen("-----BEGIN", "\u{2013}\u{2013}BEGIN", 1)),
        format!("{pem}{}", pem.replacen("BEGIN", "begin", 1)),
        format!("{}{pem}", pem.replacen("-----BEGIN", "-----\u{200b}BEGIN", 1)),
        format!("{}{pem}", pem.replace('-', "\u{2013}")),
        format!("{pem}{}", pem.lines().nth(1).unwrap()),
    ] {
        assert_eq!(built(&text).expect_err(&text).setting(), Some("jwt_key"), "{text}");
    }
}

#[test]
fn invalid_settings_are_config_errors_with_names() {
    type Tune = fn(&mut Config);
    let cases: [(&str, Tune); 17] = [
        ("secret_key", |_| {}),
        ("secret_key", |c| c.secret_key = Some(Secret::new("pk_test_x"))),
        ("secret_key", |c| c.secret_key = Some(Secret::new("whsec_x"))),
        ("secret_key", |c| c.secret_key = Some(Secret::new("sk_test_a b"))),
        ("secret_key", |c| c.secret_key = Some(Secret::new("sk_test_a\r\nHost: x"))),
        ("publishable_key", |c| c.publishable_key = Some("sk_test_x".into())),
        ("jwks", |c| c.jwks = Some(r#"{"keys":[]}"#.into())),
        ("jwks_url", |c| c.jwks_url = Some("http://clerk.example.com/jwks".into())),
        ("jwks_url", |c| c.jwks_url = Some("https://user@clerk.example.com/jwks".into())),
        ("api_url", |c| set_api_url(c, "http://api.clerk.com")),
        ("api_url", |c| set_api_url(c, "api.clerk.com")),
        ("api_url", |c| set_api_url(c, "ftp://127.0.0.1")),
        ("api_url", |c| set_api_url(c, "http://127.0.0.1@evil.example")),
        ("api_url", |c| set_api_url(c, "http://127.0.0.1.evil.example")),
        ("expected_machine_id", |c| c.expected_machine_id = Some("sk_test_a".into())),
        ("ca_pem", |c| set_ca(c, "/etc/ssl/certs/ca.pem")),
        ("session_check_ttl_s", |c| {
            c.jwt_key = Some(Sim::start().keys().pem("k1"));
            c.session_check_ttl_s = 5;
        }),
    ];
    fn set_api_url(config: &mut Config, url: &str) {
        config.secret_key = Some(Secret::new("sk_test_x"));
        config.api_url = url.into();
    }
    fn set_ca(config: &mut Config, pem: &str) {
        config.secret_key = Some(Secret::new("sk_test_x"));
        config.ca_pem = Some(pem.into());
    }
    for (setting, tune) in cases {
        let mut config = Config::new();
        tune(&mut config);
        let error = builder(config).build().expect_err(setting);
        assert_eq!(error.setting(), Some(setting), "{error}");
        assert!(!error.to_string().contains("sk_test_a"), "{error}");
    }
}
