//! Verifies Clerk tokens and keeps the application's user table in sync.
//!
//! [`Client::authenticate`] takes the header lines of a request, extracts the Clerk token, verifies it, creates or updates
//! the user's row in the application's own table, caches the result and emits events.
//!
//! The same library is exported to C (`include/clerk_auth.h`) by the module `ffi`. A layer imports from lower ones:
//!
//! | layer | modules |
//! |---|---|
//! | 6 | `ffi` |
//! | 5 | [`client`] |
//! | 4 | [`users`], [`identity`], [`webhooks`] |
//! | 3 | [`keys`] |
//! | 2 | [`api`], [`jwt`] |
//! | 1 | [`request`], [`cache`], [`publishable_key`] |
//! | 0 | [`config`], [`reason`], [`events`], [`clock`], [`token`] |

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod api;
pub mod cache;
pub mod client;
pub mod clock;
pub mod config;
pub mod events;
pub mod ffi;
mod fork_mutex;
pub mod identity;
mod json;
pub mod jwt;
pub mod keys;
pub mod publishable_key;
mod rate_limit;
pub mod reason;
pub mod request;
mod single_flight;
pub mod token;
pub mod users;
pub mod webhooks;

pub use client::{AuthResult, Client, ClientBuilder, Outcome};
pub use config::{Config, ConfigError};
pub use reason::{Category, Reason};
pub use request::Request;
