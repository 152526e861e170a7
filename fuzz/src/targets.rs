//! The targets.

mod abi;
mod answers;
mod caches;
mod client;
mod configs;
mod handshake;
mod json;
mod requests;
mod sealed;
mod sync;

use crate::{AUTHENTICATED, CALL, Limit, Target, UNAUTHENTICATED};

const fn target(name: &'static str, limit: Limit, max_len: usize, run: fn(&[u8])) -> Target {
    Target { name, limit, max_len, run }
}

/// All targets. `make fuzz-quick` runs each of them for a few seconds.
pub const ALL: &[Target] = &[
    target("request", UNAUTHENTICATED, 80 << 10, requests::request),
    target("cookies", UNAUTHENTICATED, 80 << 10, requests::cookies),
    target("jws", UNAUTHENTICATED, 17 << 10, requests::jws),
    target("claims", Limit { bytes: 128 << 10, ..UNAUTHENTICATED }, 12 << 10, requests::claims),
    target("permissions", Limit { bytes: 1 << 20, ..UNAUTHENTICATED }, 12 << 10, requests::permissions),
    target("webhook", Limit { bytes_per_byte: 8, ..AUTHENTICATED }, (1 << 20) + 1024, requests::webhook),
    target("handshake_payload", AUTHENTICATED, 20 << 10, handshake::payload),
    target("handshake_url", UNAUTHENTICATED, 80 << 10, handshake::url),
    target("keys", AUTHENTICATED, (1 << 20) + 1024, configs::keys),
    target("jwk_set", Limit { bytes: 256 << 10, ..AUTHENTICATED }, 1 << 20, configs::jwk_set),
    target("publishable_key", UNAUTHENTICATED, 4 << 10, configs::publishable_key),
    target("config", AUTHENTICATED, (1 << 20) + 1024, configs::config),
    target("user", AUTHENTICATED, 1 << 20, json::user),
    target("sealed", AUTHENTICATED, 64 << 10, sealed::sealed),
    target("answers", Limit { bytes: 512 << 10, ..AUTHENTICATED }, (1 << 20) + 1024, answers::answers),
    target("sync", CALL, 4 << 10, sync::sync),
    target("cache", CALL, 4 << 10, caches::cache),
    target("key_store", CALL, 2 << 10, caches::key_store),
    target("client", CALL, 2 << 10, client::client),
    target("abi", CALL, 4 << 10, abi::abi),
];
