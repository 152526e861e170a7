//! Verifies [Clerk](https://clerk.com) tokens and keeps a user table in sync.
//!
//! A [`Client`] takes the header lines of a request. It finds the Clerk token in them, verifies it, keeps the user's row in
//! the application's own table in sync with Clerk, caches the result, and emits events.
//!
//! # Quick start
//!
//! ```
//! use clerk_auth::{Client, Outcome, Request};
//!
//! # let (jwt_key, token) = clerk_auth::internals::example();
//! // Or `ClientBuilder::from_env()`, which reads `CLERK_SECRET_KEY` and other variables.
//! let client = Client::builder()
//!     .jwt_key(jwt_key) // or `.secret_key("sk_live_…")`, which fetches the keys
//!     .authorized_parties(["https://app.example.com"])
//!     .build()?;
//!
//! let authorization = format!("Bearer {token}");
//! let mut request = Request::new();
//! request.method(b"GET").header(b"Authorization", authorization.as_bytes());
//!
//! let result = client.authenticate(&request);
//! match result.outcome() {
//!     Outcome::SignedIn { .. } => println!("{}", result.identity().unwrap().subject()),
//!     Outcome::SignedOut { reason } => println!("rejected: {reason}"),
//!     Outcome::NoCredentials { .. } => println!("anonymous"),
//!     Outcome::Unavailable { .. } => println!("retry: {}", result.error().unwrap()),
//! }
//! # assert_eq!(result.identity().unwrap().user_id(), Some("user_ada"));
//! # Ok::<(), clerk_auth::Error>(())
//! ```
//!
//! # Results
//!
//! [`AuthResult::outcome`] is one of four, and [`AuthResult::http_status`] is the status to respond with. An outage at Clerk
//! is [`Outcome::Unavailable`], never a rejected token. [`Reason`] is a closed list; none contains data of a token.
//!
//! # Blocking and asynchronous code
//!
//! [`Client::authenticate`] may wait for Clerk, at most `timeout_ms`, and for the user store. On an asynchronous runtime call
//! [`Client::authenticate_cached`] first, which never waits, and `authenticate` on a thread that may block
//! (`tokio::task::spawn_blocking`) if it returns `None`. `examples/axum.rs` does so. An application whose database driver is
//! asynchronous takes the [steps](stepwise) itself.
//!
//! # User modes
//!
//! [`UserMode`] selects what a result contains: the claims of the token, the Clerk user as well, or also the row of the user in
//! the application's own table, a [`UserStore`](users::UserStore).
//!
//! # Cargo features
//!
//! * `sqlite`: [`SqliteStore`](users::SqliteStore), a user table in a SQLite file, with the SQLite library of the system.
//! * `bundled-sqlite` (default): the same, with a copy of SQLite that is compiled with the crate.
//! * `redis` (default): [`shared_cache`] in Redis or Valkey, for several processes.
//! * `postgres`, `mysql`: URLs of PostgreSQL, and of MySQL and MariaDB, in the setting
//!   [`database`](ClientBuilder::database).
//! * `capi` (default): the functions of `include/clerk_auth.h`. Turn it off in a Rust program, so that its binary does not
//!   export the symbols `clerk_*`.
//!
//! The same library has a C ABI (`include/clerk_auth.h`), on which its bindings for other languages are built.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(fuzzing), warn(missing_debug_implementations))]
#![warn(clippy::missing_errors_doc)]
// The library does not panic, print or exit: it lives in processes of others.
#![cfg_attr(
    not(test),
    warn(
        clippy::exit,
        clippy::expect_used,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod api;
mod cache;
mod client;
mod clock;
mod config;
mod deadline;
mod error;
mod events;
#[cfg(feature = "capi")]
mod ffi;
mod fork_mutex;
mod handshake;
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
mod revocation;
pub mod shared_cache;
mod single_flight;
mod stderr_log;
mod token;
pub mod users;
mod webhooks;

pub use api::{CallStatus, Calls, Endpoint, PerEndpoint};
pub use client::{AuthResult, Client, ClientBuilder, Outcome, Stats, WebhookOutcome};
pub use config::{AuthorizedPartiesMissing, Csrf, Handshake, HandshakeQuery, LinkByEmail, Secret, UserMode};
pub use error::{Error, ErrorKind};
pub use events::{Event, HandshakeSource, Level as LogLevel, Source};
pub use identity::{Attribute, Identity};
pub use jwt::{AuthorizationParams, Check, CheckStatus, Explanation, FactorLevel, Reverification};
pub use reason::{Category, Reason};
pub use request::Request;
pub use token::{TokenHash, TokenKind};
pub use webhooks::{Headers as WebhookHeaders, WebhookError};

/// Authentications and webhook events for applications that query their user table themselves, one request at a time.
///
/// For user tables behind an asynchronous driver. [`Client::begin`] verifies the token; then the application executes each
/// request of [`PendingAuth::next_action`](stepwise::PendingAuth::next_action) and submits the response, until the result is
/// ready.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use clerk_auth::stepwise::{AuthProgress, NextAction};
/// use clerk_auth::users::{StoreError, StoreRequest, StoreResponse};
/// use clerk_auth::{AuthResult, Client, Request};
///
/// async fn query_table(request: &StoreRequest) -> Result<StoreResponse, StoreError> {
///     match request {
///         StoreRequest::FindByClerkId { clerk_id } => {
///             // SELECT … FROM users WHERE clerk_id = $1
/// #           let _ = clerk_id;
///             Ok(StoreResponse::Rows(vec![]))
///         }
///         // … and so on for the other requests.
/// #       _ => Err(StoreError::failed(1, "not shown")),
///     }
/// }
///
/// async fn authenticate(client: &Client, request: &Request<'_>) -> Arc<AuthResult> {
///     let mut pending = match client.begin(request) {
///         AuthProgress::Done(result) => return result,
///         AuthProgress::Pending(pending) => pending,
///     };
///     loop {
///         match pending.next_action() {
///             NextAction::QueryStore(request) => {
///                 let response = query_table(request).await;
///                 pending.submit(response);
///             }
///             NextAction::FetchUser => pending.fetch_user(), // waits for Clerk: call it on a thread that may block
///             NextAction::Done => return pending.into_result(),
///         }
///     }
/// }
/// ```
pub mod stepwise {
    pub use crate::client::{AuthProgress, NextAction, PendingAuth, PendingWebhook, WebhookProgress};
}

/// How requests are sent to Clerk's Backend API.
///
/// [`ClientBuilder::transport`] takes a [`Transport`](transport::Transport) other than HTTP: for tests without network, or for
/// an HTTP client that the application has already.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use clerk_auth::transport::{Request, Response, Transport, TransportError};
/// use clerk_auth::{Client, UserMode};
///
/// /// Responds to every request with the same user.
/// struct FakeClerk;
///
/// impl Transport for FakeClerk {
///     fn send(&self, request: &Request<'_>, _timeout: Duration) -> Result<Response, TransportError> {
///         assert_eq!(request.url, "https://api.clerk.com/v1/users/user_ada");
///         let body = br#"{"id":"user_ada","first_name":"Ada"}"#.to_vec();
///         Ok(Response { status: 200, retry_after: None, trace_id: None, body })
///     }
///
///     fn reset_after_fork(&self) -> bool {
///         false
///     }
///
///     fn shutdown(&self) {}
/// }
///
/// # let (jwt_key, token) = clerk_auth::internals::example();
/// let client = Client::builder()
///     .jwt_key(jwt_key)
///     .secret_key("sk_test_fake")
///     .user_mode(UserMode::Profile)
///     .transport(Arc::new(FakeClerk))
///     .build()?;
/// # use clerk_auth::{Attribute, Request as HttpRequest};
/// # let authorization = format!("Bearer {token}");
/// # let result = client.authenticate(HttpRequest::new().header(b"Authorization", authorization.as_bytes()));
/// # assert_eq!(result.identity().unwrap().get(Attribute::FirstName), Some("Ada"));
/// # Ok::<(), clerk_auth::Error>(())
/// ```
pub mod transport {
    pub use crate::api::{Request, Response, Transport, TransportError};
}
