//! The browser handshake: keeps pages signed in whose session cookie, which lives a minute, is stale. Clerk's Frontend API
//! knows the browser by a long-lived cookie of its own; the browser is redirected there and comes back with fresh cookies.
//!
//! Pure: decides from a request what is to be done, builds redirects, filters what Clerk responds. Calls to Clerk are in
//! `api/`, the flow is in `client/handshakes.rs`.

mod address;
mod decision;
mod organization;
mod payload;
mod query;
mod redirect;
mod referrer;
mod settings;

pub use decision::{ClerkResponse, Decision, Destination, Page, clerk_response, decide, wants_other_organization};
pub use payload::Lines;
pub use redirect::{PageResponse, after_refresh, after_response, redirect, refresh_word};
pub use referrer::needs_cross_origin_sync;
pub use settings::Settings;
