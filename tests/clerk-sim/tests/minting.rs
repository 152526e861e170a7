//! Tests of minted tokens: valid ones verify, invalid ones do not.

mod common;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use clerk_sim::encoding::from_b64u;
use clerk_sim::{Kind, Org, Rotation, Sim, Spoil, TokenSpec};
use common::{get, must};
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

fn part(token: &str, at: usize) -> Value {
    serde_json::from_slice(&from_b64u(token.split('.').nth(at).unwrap()).unwrap()).unwrap()
}

/// Returns whether the signature verifies with the key of the token's kid in the JWK set.
fn verifies(sim: &Sim, token: &str) -> bool {
    let jwks = get(sim, "/v1/jwks").json();
    let kid = part(token, 0)["kid"].clone();
    let Some(jwk) = jwks["keys"].as_array().unwrap().iter().find(|jwk| jwk["kid"] == kid) else { return false };
    let number = |name: &str| from_b64u(jwk[name].as_str().unwrap()).unwrap();
    let (input, signature) = token.rsplit_once('.').unwrap();
    RsaPublicKeyComponents { n: number("n"), e: number("e") }
        .verify(&RSA_PKCS1_2048_8192_SHA256, input.as_bytes(), &from_b64u(signature).unwrap())
        .is_ok()
}

#[test]
fn session_token_has_version_2_claims() {
    let sim = Sim::start();
    let token = sim.mint(&TokenSpec::session("user_1"), NOW);
    assert!(verifies(&sim, &token));
    let claims = part(&token, 1);
    assert_eq!((&claims["sub"], &claims["sid"], &claims["v"]), (&json!("user_1"), &json!("sess_1"), &json!(2)));
    assert_eq!((&claims["iat"], &claims["exp"], &claims["nbf"]), (&json!(NOW), &json!(NOW + 60), &json!(NOW - 10)));
    assert_eq!((&claims["sts"], &claims["fva"]), (&json!("active"), &json!([0, -1])));
    assert_eq!(part(&token, 0)["cat"], "cl_B7d4PD111AAA");
    let header = part(&token, 0);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("RS256"), &json!("JWT")));
    assert_ne!(token, sim.mint(&TokenSpec::session("user_1"), NOW), "each has its own jti");
}

#[test]
fn organization_claims_follow_the_version() {
    let sim = Sim::start();
    let org = Org {
        id: "org_1".into(),
        slug: Some("acme".into()),
        role: Some("org:admin".into()),
        permissions: vec!["org:invoices:read".into(), "org:users:manage".into(), "org:invoices:create".into()],
        features: vec!["u:beta".into()],
    };
    let claims = part(&sim.mint(&TokenSpec::session("user_1").org(org.clone()), NOW), 1);
    assert_eq!(
        claims["o"],
        json!({"id": "org_1", "slg": "acme", "rol": "admin", "per": "read,manage,create", "fpm": "5,2,0"})
    );
    assert_eq!(claims["fea"], "o:invoices,o:users,u:beta");
    let claims = part(&sim.mint(&TokenSpec::new(Kind::SessionV1, "user_1").org(org), NOW), 1);
    assert_eq!((&claims["org_id"], &claims["org_role"]), (&json!("org_1"), &json!("org:admin")));
    assert_eq!(claims["org_permissions"][1], "org:users:manage");
    assert!(claims.get("v").is_none());
}

#[test]
fn other_kinds_have_their_claims_and_overrides_apply() {
    let sim = Sim::start();
    let template = sim.mint(&TokenSpec::new(Kind::Template, "user_1"), NOW);
    assert!(part(&template, 1).get("sid").is_none());
    assert_eq!(part(&template, 0)["cat"], "cl_B7d4PD222AAA");
    let oauth =
        sim.mint(&TokenSpec { scopes: vec!["a".into(), "b".into()], ..TokenSpec::new(Kind::OauthJwt, "user_1") }, NOW);
    assert_eq!((&part(&oauth, 0)["typ"], &part(&oauth, 1)["scope"]), (&json!("at+jwt"), &json!("a b")));
    let m2m = sim.mint(&TokenSpec::new(Kind::M2mJwt, "mch_1"), NOW);
    assert_eq!(part(&m2m, 1)["sub"], "mch_1");
    let changed = TokenSpec::session("user_1")
        .azp("https://a.test")
        .sid("sess_x")
        .exp_in(5)
        .claim("jti", Value::Null)
        .claim("act", json!({"sub": "user_2"}));
    let claims = part(&sim.mint(&changed, NOW), 1);
    assert_eq!(
        (&claims["azp"], &claims["sid"], &claims["exp"]),
        (&json!("https://a.test"), &json!("sess_x"), &json!(NOW + 5))
    );
    assert!(claims.get("jti").is_none() && claims["act"]["sub"] == "user_2");
    assert!([template, oauth, m2m].iter().all(|token| verifies(&sim, token)));
    assert!(sim.try_mint(&TokenSpec::session("user_1").key("none"), NOW).is_err());
}

#[test]
fn spoiled_tokens_are_invalid_as_named() {
    let sim = Sim::start();
    let spoiled = |spoil| sim.mint(&TokenSpec::session("user_1").spoil(spoil), NOW);
    assert!(part(&spoiled(Spoil::Expired), 1)["exp"].as_i64().unwrap() < NOW);
    assert!(part(&spoiled(Spoil::NotYet), 1)["nbf"].as_i64().unwrap() > NOW);
    assert!(verifies(&sim, &spoiled(Spoil::Expired)) && verifies(&sim, &spoiled(Spoil::NotYet)));
    for spoil in [Spoil::WrongKey, Spoil::Tampered] {
        assert_eq!(part(&spoiled(spoil), 0)["kid"], clerk_sim::DEFAULT_KID);
        assert!(!verifies(&sim, &spoiled(spoil)), "{spoil:?}");
    }
    let unsigned = spoiled(Spoil::AlgNone);
    assert!(unsigned.ends_with('.') && part(&unsigned, 0)["alg"] == "none");
}

#[test]
fn rotation_replaces_the_signing_key() {
    let sim = Sim::start();
    let old = sim.mint(&TokenSpec::session("user_1"), NOW);
    assert_eq!(must(sim.rotate(Rotation { same_kid: true, keep_old: false })), "k1_rotated");
    assert!(!verifies(&sim, &old));
    let new = sim.mint(&TokenSpec::session("user_1"), NOW);
    assert_eq!(part(&new, 0)["kid"], part(&old, 0)["kid"]);
    assert!(verifies(&sim, &new));
    let name = must(sim.rotate(Rotation { same_kid: false, keep_old: true }));
    let newest = sim.mint(&TokenSpec::session("user_1"), NOW);
    assert_ne!(part(&newest, 0)["kid"], part(&old, 0)["kid"]);
    assert!(verifies(&sim, &newest) && verifies(&sim, &new));
    let keys = sim.keys();
    assert!(keys.pem(&name).starts_with("-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"));
    assert!(keys.get(&name).unwrap().form("bare_base64").unwrap().starts_with("MIIBIjAN"));
}
