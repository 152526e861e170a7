//! What this project's own tests, benches and the command `clerk-auth` use beyond the API. Not part of the API: it changes without notice.

pub use crate::api::{
    ApiError, ClerkUser, ErrorKind as ApiErrorKind, HttpTransport, PrimaryEmail, Probe, TransportConfig,
};
use crate::client::ClientBuilder;
pub use crate::config::{Config, ConfigError, Group, Kind, SETTINGS, Setting};
pub use crate::jwt::{Claims, Decoded, UnverifiedJwt, VerifyingKey};
pub use crate::keys::KeySet;
pub use crate::request::{Credential, ExtractOptions, MAX_TOKEN_LEN, TokenSource, decode_unverified, extract};

/// Returns a builder with these settings.
pub fn builder(config: Config) -> ClientBuilder {
    ClientBuilder { config, ..ClientBuilder::default() }
}

/// Returns a public key and a session token that expires in 2100, for the examples of the documentation. The private key
/// was thrown away.
pub fn example() -> (&'static str, &'static str) {
    (EXAMPLE_KEY, EXAMPLE_TOKEN)
}

const EXAMPLE_KEY: &str = concat!(
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA4FNCxTesUwv2tfUylg494h6Vl33fwaYRm85LQVx/4i6QFSemKoFrO3Jr",
    "p/B0FqOCmPiFDwfHI23erpNO8x5XFxUWk7hpqERMUjXVaFa0fc3oUWdGDNtZ9hd69qIePrCiOUVbWkC/J63xiv97mxLim1fEOzmf",
    "mwbcvZldAhBPLmIBFykjxXWPxXhKvfGkW1IUK2QFsu8DJO51lGJrE+HqyRDe4kmC0JkQcNnnlcIWU9MxECwT2mkJUFRASRU0kj0V",
    "vI9HhfTbFTYB9Ss8nW/UojqHZx+wm+cMiVfSJrvooTarNVYJU5heO+3KIm2s2JFPWlELrTVAXckp+jKEHyDiqwIDAQAB",
);

const EXAMPLE_TOKEN: &str = concat!(
    "eyJhbGciOiJSUzI1NiIsImtpZCI6Imluc19leGFtcGxlIiwidHlwIjoiSldUIn0.eyJhenAiOiJodHRwczovL2FwcC5leGFtcGxl",
    "LmNvbSIsImV4cCI6NDEwMjQ0NDgwMCwiZmVhIjoibzppbnZvaWNlcyIsImZ2YSI6WzUsLTFdLCJpYXQiOjE3MDAwMDAwMDAsImlz",
    "cyI6Imh0dHBzOi8vY2xlcmsuZXhhbXBsZS5jb20iLCJuYmYiOjE2OTk5OTk5OTAsIm8iOnsiZnBtIjoiMyIsImlkIjoib3JnX2Fj",
    "bWUiLCJwZXIiOiJyZWFkLG1hbmFnZSIsInJvbCI6ImFkbWluIiwic2xnIjoiYWNtZSJ9LCJzaWQiOiJzZXNzX2FkYSIsInN0cyI6",
    "ImFjdGl2ZSIsInN1YiI6InVzZXJfYWRhIiwidiI6Mn0.sbLjC3nFbFj09YGgf3YIOZICuhpeXVzxZE9NSMP7LiHsFn4AsbbIcNPs",
    "H2bKlDWlQaOH39An9_GyIURMVMFHS3yy3PXgAOlGp1k3oW3C3n1ZCsVg6YOT8j7llwJ3XjUz1hnOJg3uvPMMHDJIkcKsH-D46MK7",
    "R0nTOyHrjACA-wb8bYoeJNdiO1WkpsuPJBwV8F9zlIgPvwDXksJdJpCRpCZa9JOP0TpZoOGqK-Ex_Q8rog0QHPqeMGzj-LW0OWAq",
    "qo2s7CeGhuiBu6RPZZYFb6WbhkVn1ffPMeyhBHek_mYbnXjAjJvEuzIARAyZ2lRkiFeeJfF8t464ud1DjIgRtg",
);

/// The C ABI, as `tests/corpus-replay` calls it.
#[cfg(feature = "capi")]
pub mod ffi {
    pub use crate::ffi::*;
}

/// Verification keys in the formats of `jwt_key`.
pub mod keys {
    pub use crate::keys::parse;
}

/// Publishable keys.
pub mod publishable_key {
    pub use crate::publishable_key::parse;
}

/// Limits that `tests/fleet-sim` simulates.
pub mod rate_limit {
    pub use crate::rate_limit::TokenBucket;
}

/// Parts that the targets of `fuzz/` and `tests/schedules` call directly.
#[cfg(fuzzing)]
pub mod parts {
    pub use crate::api::PrimaryEmail;
    pub use crate::cache::{Cache, Lookup};
    pub use crate::clock::{Deadline, Io};
    pub use crate::handshake::Lines as HandshakeLines;
    pub use crate::jwt::{Policy, decode_permissions};
    pub use crate::keys::{JwksFetcher, JwksStore, KeyLookupError};
    pub use crate::rate_limit::{RateLimit, Slots, TokenBucket};
    pub use crate::request::ClerkInstance;
    pub use crate::shared_cache::parts as shared_cache;
    pub use crate::single_flight::{Flight, SingleFlight};
    pub use crate::users::machine::{Origin, Snapshot, SyncRules, Transition, UserSync};
    pub use crate::webhooks::{SigningKeys, WebhookEvent, verify};

    /// Makes the error of a call to Clerk that a server error ended.
    pub fn server_error() -> crate::api::ApiError {
        crate::api::ApiError::new(crate::api::ErrorKind::Server)
    }
}

/// The ready-made user table at a URL, as the setting `database` opens it.
pub fn open_database(
    url: &str,
    timeout: std::time::Duration,
) -> Result<std::sync::Arc<dyn crate::users::UserStore>, ConfigError> {
    crate::users::open_database(url, timeout)
}
