//! Compares tokens, requests and JWK sets of the recorded cases with those of the reference reader.
//!
//! `data/recipe_hashes.json` has the first half of the SHA-256 of each. Of randomized signatures
//! (ECDSA, PSS) only the signing input is compared.

use clerk_sim::Json;
use clerk_sim::corpus::Corpus;
use clerk_sim::sign::sha256_hex;
use serde_json::Value;

fn half_hash(string: &str) -> String {
    sha256_hex(string.as_bytes())[..32].to_owned()
}

#[test]
fn recorded_cases_match_the_reference_reader() {
    let corpus = Corpus::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus")).unwrap();
    let expected: Value = serde_json::from_str(include_str!("data/recipe_hashes.json")).unwrap();
    let now = expected["now"].as_i64().unwrap();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    let mut compare = |kind: &str, name: &str, actual: Option<String>| {
        if let Some(expected) = expected[kind].get(name) {
            seen += 1;
            if actual.as_deref() != expected.as_str() {
                wrong.push(format!("{kind} {name}: {actual:?}, expected {expected}"));
            }
        }
    };
    for file in ["verdicts.json", "seed_parity.json"] {
        for case in corpus.cases(file).unwrap() {
            let tokens = corpus.tokens(&case, now).unwrap();
            for (name, token) in &tokens {
                let name = format!("{}/{name}", case.id());
                let alg = case.json.get("tokens").unwrap().get(name.rsplit('/').next().unwrap()).unwrap();
                let alg = alg.get("sign").and_then(|sign| sign.get("alg")).and_then(|alg| alg.as_str()).unwrap_or("");
                let actual = if alg.starts_with("ES") || alg.starts_with("PS") {
                    let input: Vec<&str> = token.split('.').take(2).collect();
                    format!("input {}", half_hash(&input.join(".")))
                } else {
                    half_hash(token)
                };
                compare("tokens", &name, Some(actual));
            }
            if let Some(request) = case.value.get("request") {
                let actual = corpus.request(request, &tokens, now).unwrap();
                let mut lines = vec![actual.method, actual.url];
                lines.extend(actual.headers.iter().map(|(name, value)| format!("{name}: {value}")));
                compare("requests", case.id(), Some(half_hash(&lines.join("\n"))));
                let key = corpus.configured_key(&case.value["options"]["jwt_key"]).unwrap();
                compare("key_texts", case.id(), key.map(|key| half_hash(&key)));
            }
            let (state, _faults) = corpus.api_state(case.value.get("api")).unwrap();
            compare("jwks", case.id(), Some(half_hash(&state.jwks.to_string())));
            for step in case.value["steps"].as_array().into_iter().flatten() {
                corpus.api_state(step.get("api")).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {seen} differ:\n{}", wrong.len(), wrong.join("\n"));
    let known: usize =
        ["tokens", "requests", "key_texts", "jwks"].iter().map(|k| expected[*k].as_object().unwrap().len()).sum();
    assert_eq!(seen, known, "cases are missing");
}

#[test]
fn every_algorithm_and_step_matches_the_reference_reader() {
    let corpus = Corpus::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus")).unwrap();
    let whole = Json::parse(include_str!("data/more_recipes.json")).unwrap();
    let now = whole.int_member("now").unwrap();
    for item in whole.get("recipes").unwrap().items().unwrap() {
        let actual = item.get("recipe").unwrap();
        let token =
            clerk_sim::recipe::mint(actual, &corpus.keys, now).unwrap_or_else(|e| panic!("{}: {e}", actual.to_json()));
        let alg = actual.get("sign").and_then(|sign| sign.get("alg")).and_then(Json::as_str).unwrap_or("");
        let compared = if alg.starts_with("ES") || alg.starts_with("PS") {
            token.rsplit_once('.').unwrap().0.to_owned()
        } else {
            token
        };
        assert_eq!(half_hash(&compared), item.str_member("hash").unwrap(), "{}", actual.to_json());
    }
}
