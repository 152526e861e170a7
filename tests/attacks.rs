//! Hostile input: each named attack by its number, and properties that hold for whatever comes in.

#[path = "attacks/allocated.rs"]
mod allocated;
mod common;
#[path = "attacks/extraction.rs"]
mod extraction;
#[path = "attacks/json.rs"]
mod json;
#[path = "attacks/limits.rs"]
mod limits;
#[path = "attacks/mutations.rs"]
mod mutations;
#[path = "attacks/signatures.rs"]
mod signatures;
#[path = "attacks/tokens.rs"]
mod tokens;

use clerk_sim::encoding::b64u;
use clerk_sim::{KeyStore, Sim};
use common::{Fixture, NOW_S, pem};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

/// Runs a property on so many inputs; a failure shows the smallest one found.
fn for_all<S: Strategy>(cases: u32, inputs: S, property: impl Fn(S::Value)) {
    let config = Config { cases, failure_persistence: None, max_global_rejects: 100_000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&inputs, |input| {
        property(input);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

/// A client that verifies with the instance's key and asks nobody.
fn pinned() -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.secret_key = None;
    })
}

const HEADER: &str = r#"{"alg":"RS256","kid":"ins_2corpusKeyOne000000000000001","typ":"JWT"}"#;

fn payload(more: &str) -> String {
    format!(r#"{{"sub":"user_1","sid":"sess_1","exp":{}{more}}}"#, NOW_S + 60)
}

/// Signs texts as they are, with one of the built-in keys.
fn signed(key: &str, header: &str, payload: &str) -> String {
    let input = format!("{}.{}", b64u(header.as_bytes()), b64u(payload.as_bytes()));
    let signature = KeyStore::built_in().get(key).unwrap().sign("RS256", input.as_bytes()).unwrap();
    format!("{input}.{}", b64u(&signature))
}
