//! Counts the instructions of a hit by callgrind. SHA-256 is taken out: it is counted by itself, by the same crate.

use std::hint::black_box;
use std::process::Command;

use clerk_auth::internals::ffi::CLERK_OK;
use clerk_sim::KeyStore;

use crate::USER;
use crate::library::{Anchor, Library};
use crate::sample::{PARTY, cookie, lines, token};
use crate::table::Gate;

const FEW: u64 = 500;
const MANY: u64 = 1500;

/// Runs one path, under callgrind: `--run PATH COUNT TOKEN`.
pub fn run(path: &str, arguments: &[String]) {
    let [.., count, token] = arguments else { panic!("--run PATH COUNT TOKEN") };
    let count: u64 = count.parse().unwrap();
    let (pem, ttl) = (KeyStore::built_in().pem("k1"), if path == "cold" { "0" } else { "300" });
    if path == "sha256" {
        return Anchor::load(&pem, token).sha256(count);
    }
    let client = Library::load().client(&[("jwt_key", &pem), PARTY, ("cache_ttl_s", ttl)], None);
    let (bearer, cookie) = (format!("Bearer {token}"), cookie(token));
    let lines = if path == "cookie" { lines("Cookie", &cookie) } else { lines("Authorization", &bearer) };
    assert_eq!(client.cached(&lines), CLERK_OK);
    (0..count).for_each(|_| _ = black_box(client.cached(&lines)));
}

/// Returns the instructions of one operation of a path.
fn instructions(path: &str, token: &str) -> f64 {
    let total = |count: u64| {
        let own = std::env::current_exe().unwrap();
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(own)
            .args(["--run", path, &count.to_string(), token])
            .output()
            .expect("valgrind cannot be run");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        let collected = log.lines().find_map(|line| line.split_once("Collected : ")).expect("callgrind's total");
        collected.1.trim().parse::<f64>().unwrap()
    };
    (total(MANY) - total(FEW)) / (MANY - FEW) as f64
}

/// Measures both hits.
pub fn measure() -> Gate {
    let token = token(&KeyStore::built_in(), USER);
    let sha256 = instructions("sha256", &token);
    let [header, cookie] = ["header", "cookie"].map(|path| instructions(path, &token) - sha256);
    println!("instructions: SHA-256 {sha256:.0}; besides it a hit by Authorization {header:.0}, by Cookie {cookie:.0}");
    Gate::at_most("instructions of a hit besides SHA-256", "", header, 600.0, 800.0)
}
