//! A fake Clerk Backend API for tests and demos.
//!
//! [`Sim`] starts a server on a free port. It has users, sessions, machine tokens and a JWK set,
//! rejects what the real API rejects, injects faults ([`Fault`]), and counts and logs requests.
//! The crate also mints tokens ([`TokenSpec`], [`recipe`]), signs webhooks ([`webhook`]) and reads
//! the recorded cases ([`corpus`]).
//!
//! ```
//! let sim = clerk_sim::Sim::start();
//! sim.put_user(serde_json::json!({"id": "user_1", "first_name": "Ada"}));
//! let token = sim.mint_now(&clerk_sim::TokenSpec::session("user_1"));
//! assert_eq!(token.split('.').count(), 3);
//! assert_eq!(sim.requests("/users/*"), 0);
//! ```

mod admin;
mod api;
mod check;
pub mod cli;
pub mod complete;
mod conn;
mod control;
pub mod corpus;
pub mod der;
pub mod encoding;
mod error;
mod fault;
mod frontend;
pub mod glob;
mod handshake;
mod http;
mod json;
mod keys;
mod list;
mod mint;
mod mutate;
mod pages;
mod port;
pub mod recipe;
mod response;
mod server;
pub mod sign;
mod sim;
mod state;
mod stats;
mod tls;
pub mod webhook;

pub use check::KNOWN_VERSIONS;
pub use control::{Control, Rotation};
pub use error::{Error, Result};
pub use fault::Fault;
pub use frontend::{Browser, Frontend};
pub use http::percent_decode;
pub use json::Json;
pub use keys::{DEFAULT_KID, Key, KeyStore};
pub use mint::{DEFAULT_ISSUER, DEFAULT_PARTY, Kind, Org, Spoil, TokenSpec};
pub use sim::{Builder, Sim};
pub use state::{ApiState, DEFAULT_WEBHOOK_SECRET, Objects};
pub use stats::{LogEntry, Stats};
pub use tls::{Leaf, ServerPem, server_pem};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex. Ignores poisoning: a panic in one thread must not fail the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
