//! Attacks on extraction and verification. Threat ids (A1, S1, U5 …) and guarantees are those of `docs/security.md`.

mod allocated;
mod classes;
#[path = "../common/mod.rs"]
mod common;
mod costs;
#[cfg(feature = "redis")]
mod engine;
mod extraction;
mod json;
mod limits;
mod mutations;
mod shapes;
mod signatures;
mod tokens;

use clerk_sim::encoding::b64u;
use clerk_sim::{KeyStore, Sim};
use common::{Fixture, NOW_S, pem};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

/// Checks a property on `cases` inputs; a failure prints the smallest failing input found.
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

/// A client with a configured key, which never calls Clerk.
fn pinned() -> Fixture {
    let sim = Sim::start();
    let key = pem(&sim);
    Fixture::build(sim, None, |config| {
        config.jwt_key = key;
        config.secret_key = None;
    })
}

const HEADER: &str = r#"{"alg":"RS256","kid":"ins_2corpusKeyOne000000000000001","typ":"JWT"}"#;

fn payload(extra: &str) -> String {
    format!(r#"{{"sub":"user_1","sid":"sess_1","exp":{}{extra}}}"#, NOW_S + 60)
}

/// Signs header and payload unchanged with one of the built-in keys.
fn signed(key: &str, header: &str, payload: &str) -> String {
    let input = format!("{}.{}", b64u(header.as_bytes()), b64u(payload.as_bytes()));
    let signature = KeyStore::built_in().get(key).unwrap().sign("RS256", input.as_bytes()).unwrap();
    format!("{input}.{}", b64u(&signature))
}
