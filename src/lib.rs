//! Verifies [Clerk](https://clerk.com) tokens and keeps a user table in sync.
//!
//! Give [`Client::authenticate`] the header lines of a request: it finds the Clerk token in them, verifies it, keeps the
//! user's row in the application's own table in sync with Clerk, caches the result and emits events.
//!
//! The same library is exported to C (`include/clerk_auth.h`).

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod api;
mod cache;
mod client;
mod clock;
mod config;
mod error;
mod events;
mod ffi;
mod fork_mutex;
mod identity;
#[doc(hidden)]
pub mod internals;
mod json;
mod jwt;
mod keys;
mod publishable_key;
mod rate_limit;
mod reason;
mod request;
mod single_flight;
mod token;
pub mod users;
mod webhooks;

pub use client::{AuthResult, Client, ClientBuilder, Outcome, Stats, WebhookOutcome};
pub use config::{LinkByEmail, Secret, UserMode};
pub use error::{Error, ErrorKind};
pub use events::{Event, Level as LogLevel, Source};
pub use identity::{Attribute, Identity};
pub use jwt::{AuthorizationParams, FactorLevel, Reverification};
pub use reason::{Category, Reason};
pub use request::Request;
pub use token::{TokenHash, TokenKind};
pub use webhooks::{Headers as WebhookHeaders, WebhookError};

/// Authentications and webhook events whose user table the application asks itself, step by step.
pub mod stepwise {
    pub use crate::client::{AuthProgress, NextAction, PendingAuth, PendingWebhook, WebhookProgress};
}

/// How requests to Clerk's Backend API are sent.
pub mod transport {
    pub use crate::api::{Request, Response, Transport, TransportError};
}
