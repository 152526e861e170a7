//! The seeds and dictionaries: built from the recorded cases of `tests/corpus`, not committed a second time.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::targets;
use crate::tokens::{self, NOW_S};

fn recorded(json: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(json).expect("valid JSON");
    all["cases"].as_array().expect("cases").clone()
}

/// Replaces `{"$now": n}` by a time.
fn with_times(value: &Value) -> Value {
    match value {
        Value::Object(members) => match members.get("$now").and_then(Value::as_i64) {
            Some(offset) => json!(NOW_S + offset),
            None => Value::Object(members.iter().map(|(name, value)| (name.clone(), with_times(value))).collect()),
        },
        Value::Array(items) => Value::Array(items.iter().map(with_times).collect()),
        other => other.clone(),
    }
}

fn lines<'a>(bytes: &[u8], lines: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut seed = bytes.to_vec();
    for (number, line) in lines.into_iter().enumerate() {
        if number > 0 {
            seed.push(b'\n');
        }
        seed.extend_from_slice(line);
    }
    seed
}

/// Requests, tokens and claims of the recorded verdicts.
fn from_verdicts(target: &str, seeds: &mut Vec<Vec<u8>>) {
    for (number, case) in recorded(include_str!("../../tests/corpus/verdicts.json")).iter().enumerate() {
        let tokens: Vec<(String, Value)> = case["tokens"]
            .as_object()
            .map(|t| t.iter().map(|(k, v)| (k.clone(), with_times(v))).collect())
            .unwrap_or_default();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        for (_, token) in &tokens {
            let (header, payload) = (text(&token["header"]), text(&token["payload"]));
            match target {
                // Also with the policy that rejects nothing but what is always rejected.
                "claims" => seeds.extend(
                    [number as u8, 0].map(|policy| lines(&[policy, 130], [header.as_bytes(), payload.as_bytes()])),
                ),
                "jws" if token["header"].is_object() && token["payload"].is_object() => {
                    seeds.push(tokens::sign("k1", token["header"].clone(), &token["payload"]).into_bytes());
                }
                _ => {}
            }
        }
        if target == "request" || target == "cookies" {
            let fill = |value: &str| {
                let mut value = value.to_owned();
                for (name, token) in &tokens {
                    let signed = if token["header"].is_object() && token["payload"].is_object() {
                        tokens::sign("k1", json!({}), &token["payload"])
                    } else {
                        "a.b.c".to_owned()
                    };
                    value = value.replace(&format!("{{{{token:{name}}}}}"), &signed);
                }
                value
            };
            let pairs = case["request"]["headers"].as_array().cloned().unwrap_or_default();
            let mut rows = Vec::new();
            for pair in &pairs {
                let (name, value) = (text(&pair[0]), fill(&text(&pair[1])));
                let is_cookie = name.eq_ignore_ascii_case("cookie");
                match target {
                    "cookies" if is_cookie => rows.push(value),
                    "cookies" => {}
                    _ => rows.push(format!("{name}:{value}")),
                }
            }
            seeds.push(lines(&[number as u8], rows.iter().map(String::as_bytes)));
        }
    }
}

fn fixed(target: &str) -> Vec<Vec<u8>> {
    let key = |name: &str, member: &str| tokens::keys()[name][member].as_str().unwrap_or_default().as_bytes().to_vec();
    let names = ["k1", "k2", "other", "rsa1024", "rsa3072", "rsa4096", "rsa_e3", "ec256"];
    let jwk = |name: &str| tokens::keys()[name]["jwk"].to_string().into_bytes();
    match target {
        "cookies" => vec![
            b"\x01__session=a.b.c; __session_1Z8AzTQD=d.e.f; __client_uat=1; __client_uat_1Z8AzTQD=1".to_vec(),
            b"\x03__session=\"a\"; __client_uat=0\n__session_12345678=x; theme=dark".to_vec(),
        ],
        "handshake_payload" => [
            r#"{"handshake":["__session=a.b.c; Path=/","__session_1Z8AzTQD=d=e; Secure","__client_uat=1","evil=1",5]}"#,
            r#"{"handshake":["__session=","__clerk_db_jwt=x","__refresh_1Z8AzTQD=y; HttpOnly"],"exp":1}"#,
            r#"{"handshake":[],"handshake":["__session=a"]}"#,
        ]
        .map(|payload| payload.as_bytes().to_vec())
        .to_vec(),
        "handshake_url" => {
            let requests = [
                "https\n/\nCookie:__session={0}; __client_uat=1",
                "https\n/?a=b&__clerk_db_jwt=x\nCookie:__session={5}; __client_uat=1800000000",
                "https\n/orgs/acme/x?__clerk_handshake={h0}\nCookie:__session={2}; __client_uat=1",
                "https\n/a?__clerk_synced=false&__clerk_redirect_url=https%3A%2F%2Fsatellite.example.net%2F%3Fa%23b\nCookie:__clerk_db_jwt=y",
                "http\n//evil.example/\\?__clerk_handshake_nonce=abc\nHost:evil.example:8080",
                "https\n/\nX-Forwarded-Host:evil.example\nX-Forwarded-Proto:https\nCookie:__client_uat=1",
                "https\n/me/x?%5F%5Fclerk_db_jwt=%ff\nReferer:https://evil.example/a\nCookie:__session={2}; __client_uat=1",
                "https\n/\nAuthorization:Bearer {5}\nCookie:__client_uat=1",
            ];
            (0..8_u8).flat_map(|site| requests.map(|request| [&[site, 0], request.as_bytes()].concat())).collect()
        }
        "permissions" => vec![
            b"o:a,u:b,ou:c\nread,write,x\n3,1,18446744073709551616".to_vec(),
            [&b"o:a\n"[..], &b",".repeat(7500), b"\n", &b"9".repeat(4090)].concat(),
        ],
        "claims" => {
            let pending = json!({"sub": "user_1", "sid": "sess_1", "iat": NOW_S, "exp": NOW_S + 60, "sts": "pending"});
            vec![lines(&[0, 130], [&br#"{"alg":"RS256","kid":"k1"}"#[..], pending.to_string().as_bytes()])]
        }
        "keys" => names
            .iter()
            .flat_map(|name| [jwk(name), key(name, "public_pem"), key(name, "private_pem")])
            .chain([tokens::jwk_set(&["k1", "k2"]), "-----BEGIN\u{a0}PUBLIC KEY-----".into()])
            .chain(["public_pem", "private_pem"].map(|kind| {
                let pem = key(names[0], kind);
                pem.repeat((1 << 20) / pem.len().max(1))
            }))
            .filter(|seed| !seed.is_empty())
            .collect(),
        "jwk_set" => vec![
            tokens::jwk_set(&["k1"]),
            tokens::jwk_set(&names),
            [&b"{\"keys\":["[..], &b"0,".repeat(1000), b"0]}"].concat(),
        ],
        "publishable_key" => {
            vec![b"pk_live_Y2xlcmsuY2xlcmsuZGV2JA".to_vec(), b"pk_test_Y2xlcmsuZXhhbXBsZS5jb20k".to_vec()]
        }
        "webhook" => [
            r#"{"type":"user.deleted","data":{"id":"user_1"}}"#,
            r#"{"type":"user.updated","instance_id":"ins_1","data":{"id":"user_1","banned":true,"updated_at":1}}"#,
            r#"{"type":"session.ended","data":{"id":"sess_1"}}"#,
            r#"{"type":"organizationMembership.deleted","data":{"public_user_data":{"user_id":"user_1"},"organization":{"id":"org_1"}}}"#,
            r#"{"type":"role.updated","data":{}}"#,
        ]
        .iter()
        .flat_map(|body| {
            let unsigned = format!("\x00\u{7f}svix-id:msg_1\nsvix-timestamp:{NOW_S}\nsvix-signature:v1,AAAA v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=\n\n{body}");
            [unsigned.into_bytes(), format!("\x01\u{7f}svix-id:msg_1\n\n{body}").into_bytes()]
        })
        // As long as a body may be, with many signatures.
        .chain(["\x00", "\x01"].map(|signed| {
            let signatures: Vec<_> = (0..16).map(|n| format!("v1,{}tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kk=", (b'a' + n) as char)).collect();
            let body = format!(r#"{{"type":"user.updated","data":{{"id":"user_1","x":"{}"}}}}"#, "x".repeat((1 << 20) - 100));
            format!("{signed}\u{7f}svix-id:msg_1\nsvix-timestamp:{NOW_S}\nsvix-signature:{}\n\n{body}", signatures.join(" ")).into_bytes()
        }))
        .collect(),
        "sealed" => {
            let envelope = |value: &str| {
                let times = format!(r#""sealed_at_ms":{},"expires_at_ms":{}"#, NOW_S * 1000, NOW_S * 1000 + 5000);
                format!(r#"{{"id":"user_0",{times},"value":{value}}}"#)
            };
            let user = r#"{"id":"user_0","username":null,"first_name":"Ada","last_name":null,"email":{"verified":"a@example.com"},"image_url":null,"last_active_at_ms":1,"external_id":null,"banned":false,"locked":false,"deprovisioned":false,"updated_at_ms":5}"#;
            let machine = r#""kind":"user_0","id":"ak_1","subject":"org_1","scopes":["a"],"client_id":null,"name":null,"claims":"{}","expires_at_ms":null,"verified_at_ms":1,"generation":"""#;
            let revocation = r#"{"revocation":"banned","revoked_at_ms":1,"expires_at_ms":2}"#;
            let message = |change: &str| format!(r#"{{"sender":1,"number":2,"sent_at_ms":3,"change":{change}}}"#);
            let contents = [
                envelope(&format!(r#"{{"user":{user},"fetched_at_ms":1,"generation":"g"}}"#)),
                envelope(&format!(r#"[{user},1,"g"]"#)),
                envelope(&format!("{{{machine}}}")),
                envelope(r#"["user_0","ak_1","org_1",["a"],null,null,null,null]"#),
                message(r#""start""#),
                message(&format!(r#"{{"user":{{"id":"user_1","revocation":{revocation},"version_ms":5}}}}"#)),
                message(r#"{"session":{"id":"sess_1","revocation":null}}"#),
                message(r#"{"all":{"users":true}}"#),
            ];
            // The first bytes say who seals and opens, and what happens to the entry in between.
            (0..6_u8)
                .flat_map(|change| [0, 2].map(|opener| [0, opener, 0, 0, 0, 0, change, 0, 20, 1]))
                .flat_map(|start| contents.clone().map(|content| [&start[..], content.as_bytes()].concat()))
                .collect()
        }
        "config" => vec![
            b"secret_key=sk_test_x\nauthorized_parties=https://a,https://b\nuser_mode=claims\ntimeout_ms=100".to_vec(),
            b"audience=[\"a\"]\naudience+=b\n\x05:=3\n\x02?=x".to_vec(),
            [&b"authorized_parties="[..], &b"https://a,".repeat((1 << 20) / 10)].concat(),
            [&b"organization_patterns="[..], &b"/a/:slug,".repeat((1 << 20) / 10)].concat(),
            [&b"ca_pem="[..], &b"-----BEGIN CERTIFICATE----- AAAA -----END CERTIFICATE----- ".repeat((1 << 20) / 60)].concat(),
        ],
        "answers" => {
            let token = |object: &str| {
                json!({"object": object, "id": "x_1", "subject": "user_1", "scopes": ["a"], "claims": {"a": 1},
                    "revoked": false, "expired": false, "expiration": (NOW_S + 5) * 1000})
            };
            let changed = |member: &str, value: Value| {
                let mut body = token("api_key");
                body[member] = value;
                body
            };
            let bodies = [
                (0, token("api_key")),
                (0, changed("revoked", json!(true))),
                (0, changed("expired", json!(true))),
                (0, changed("active", json!(false))),
                (0, changed("expiration", json!(NOW_S * 1000))),
                (0, changed("object", json!("m2m_token"))),
                (1, token("clerk_idp_oauth_access_token")),
                (2, json!({"id": "user_0", "first_name": "Ada", "banned": false})),
                (2, json!({"id": "user_0", "public_metadata": {"x": "y".repeat((1 << 20) - 200)}})),
                (2, json!({"id": "user_0", "unsafe_metadata": vec![json!({}); (1 << 20) / 4]})),
                (0, json!({"object": "api_key", "id": "x_1", "scopes": vec!["a"; (1 << 20) / 5]})),
                (3, json!({"id": "sess_0_1", "status": "active"})),
                (4, serde_json::from_slice(&tokens::jwk_set(&["k1"])).expect("JSON")),
            ];
            bodies.iter().flat_map(|(what, body)| [0, 3, 11, 13].map(|status| lines(&[*what, status], [&b"2"[..], body.to_string().as_bytes()]))).collect()
        }
        "sync" | "cache" | "key_store" | "client" | "abi" => {
            // Different beginnings; the rest is the fuzzer's work.
            (0..24_u8).map(|n| (0..120_u8).map(|at| at.wrapping_mul(n * 2 + 1).wrapping_add(n.wrapping_mul(7))).collect()).collect()
        }
        _ => Vec::new(),
    }
}

/// Users, as the recorded scenarios have them.
fn users(seeds: &mut Vec<Vec<u8>>) {
    for case in recorded(include_str!("../../tests/corpus/seed_parity.json")) {
        let users = case["api"]["users"].as_object().cloned().unwrap_or_default();
        seeds.extend(users.values().map(|user| user.to_string().into_bytes()));
    }
    seeds.push(json!({"id": "user_1", "primary_email_address_id": "e", "email_addresses":
        [{"id": "e", "email_address": "a@b", "verification": {"status": "verified"}}], "updated_at": 1.5, "banned": true}).to_string().into_bytes());
    seeds.sort_unstable();
    seeds.dedup();
}

const JSON: &[&str] = &[
    "alg",
    "RS256",
    "kid",
    "typ",
    "JWT",
    "at+jwt",
    "cat",
    "cl_B7d4PD111AAA",
    "cl_B7d4PD333AAA",
    "crit",
    "b64",
    "zip",
    "sub",
    "user_",
    "mch_",
    "sid",
    "sess_",
    "iss",
    "azp",
    "aud",
    "exp",
    "nbf",
    "iat",
    "sts",
    "pending",
    "fva",
    "act",
    "org_id",
    "org_slug",
    "org_role",
    "org_permissions",
    "fea",
    "pla",
    "per",
    "fpm",
    "rol",
    "slg",
    "\"v\":2",
    "\"o\":{",
    "scp",
    "scope",
    "scopes",
    "client_id",
    "1800000000",
    "9007199254740993",
    "1e400",
    "\\u0061",
    "{}",
    "[]",
    "null",
    "true",
    "},{",
];
const API: &[&str] = &[
    "keys",
    "kty",
    "RSA",
    "use",
    "sig",
    "key_ops",
    "verify",
    "AQAB",
    "object",
    "api_key",
    "revoked",
    "expired",
    "active",
    "expiration",
    "subject",
    "status",
    "id",
    "username",
    "first_name",
    "email_addresses",
    "primary_email_address_id",
    "email_address",
    "verification",
    "verified",
    "banned",
    "locked",
    "deprovisioned",
    "updated_at",
    "last_active_at",
    "image_url",
    "type",
    "data",
    "instance_id",
    "user.updated",
    "user.deleted",
    "session.ended",
    "public_user_data",
    "user_id",
];
const HTTP: &[&str] = &[
    "Authorization:",
    "Cookie:",
    "Bearer ",
    "bearer\t",
    "__session=",
    "__session_1Z8AzTQD=",
    "__session_12345678=",
    "__client_uat=",
    "__client_uat_1Z8AzTQD=",
    "; ",
    "\\x0a",
    "svix-id:",
    "svix-timestamp:",
    "svix-signature:",
    "webhook-id:",
    "v1,",
    "1800000000",
    "Host:",
    "Origin:",
    "Sec-Fetch-Site:",
    "ak_",
    "oat_",
    "mt_",
    "Accept:",
    "text/html",
];
const HANDSHAKE: &[&str] = &[
    "handshake",
    "__clerk_handshake",
    "__clerk_handshake_nonce",
    "__clerk_db_jwt",
    "__clerk_synced",
    "__clerk_redirect_url",
    "__clerk_redirect_count=",
    "__dev_session",
    "__refresh_",
    "https://satellite.example.net",
    "https%3A%2F%2F",
    "app.example.com",
    "X-Forwarded-Host:",
    "X-Forwarded-Proto:",
    "Referer:",
    "User-Agent:",
    "Sec-Fetch-Dest:",
    "document",
    "{0}",
    "{2}",
    "{5}",
    "{h0}",
    "{h1}",
    "organization_id",
];
const KEYS: &[&str] = &[
    "-----BEGIN PUBLIC KEY-----",
    "-----END PUBLIC KEY-----",
    "-----BEGIN RSA PUBLIC KEY-----",
    "\\x5cn",
    "\\xc2\\xa0",
    "{",
    "pk_live_",
    "pk_test_",
    "BEGIN",
    "END",
    "PRIVATE",
];

/// Writes `DIRECTORY/TARGET/seed-…` and `DIRECTORY/TARGET.dict`.
pub fn write(directory: &Path) -> io::Result<()> {
    for target in targets::ALL {
        let folder = directory.join(target.name);
        fs::create_dir_all(&folder)?;
        let mut seeds = fixed(target.name);
        from_verdicts(target.name, &mut seeds);
        if target.name == "user" {
            users(&mut seeds);
        }
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:04}")), seed)?;
        }
        let mut dictionary = fs::File::create(directory.join(format!("{}.dict", target.name)))?;
        let settings: Vec<&str> = clerk_auth::internals::SETTINGS.iter().map(|setting| setting.name).collect();
        let words: Vec<&str> = match target.name {
            "request" | "cookies" => [HTTP, JSON].concat(),
            "jws" | "claims" => JSON.to_vec(),
            "webhook" => [HTTP, API].concat(),
            "handshake_payload" | "handshake_url" => [HTTP, HANDSHAKE].concat(),
            "keys" | "publishable_key" => [KEYS, API].concat(),
            "jwk_set" | "user" | "answers" | "sealed" => [API, JSON].concat(),
            "config" => settings,
            _ => Vec::new(),
        };
        for word in words {
            // Words with `\x` are escaped already.
            let escaped =
                if word.contains("\\x") { word.to_owned() } else { word.replace('\\', "\\\\").replace('"', "\\\"") };
            writeln!(dictionary, "\"{escaped}\"")?;
        }
    }
    Ok(())
}
