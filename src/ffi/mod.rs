//! The C ABI: one file per C object. `make header` generates `include/clerk_auth.h` from these files with cbindgen, in
//! the order of `include/clerk_auth.h.in`.
//!
//! All unsafe code of this crate is here. Each exported body runs inside `guard`: a panic becomes a status. Doc
//! comments of exported items are written for readers of the header.

#![allow(unsafe_code, non_camel_case_types, reason = "the C ABI")]
#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]
#![allow(clippy::missing_safety_doc, reason = "the contract of callers is stated once, at the top of the header")]
#![allow(missing_debug_implementations, reason = "opaque types of C")]

mod authenticate;
mod callback;
mod client;
mod config;
mod enums;
mod error;
mod events;
mod explanation;
#[cfg(feature = "sqlite")]
mod fork;
mod pending;
mod request;
mod result;
mod setting;
mod shared_cache;
mod stats;
mod status;
mod store_request;
mod store_response;
mod strings;
mod user_store;
mod webhook;

pub use authenticate::*;
pub use callback::*;
pub use client::*;
pub use config::*;
pub use enums::*;
pub use error::*;
pub use events::*;
pub use explanation::*;
pub use pending::*;
pub use request::*;
pub use result::*;
pub use setting::*;
pub use shared_cache::*;
pub use stats::*;
pub use status::*;
pub use store_request::*;
pub use store_response::*;
pub use strings::*;
pub use user_store::*;
pub use webhook::*;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use once_cell::sync::Lazy;

thread_local! {
    static GUARD_DEPTH: Cell<u32> = const { Cell::new(0) };
    static PANIC_LOCATION: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic's message may contain a secret: inside `guard`, only its location is recorded and nothing is printed.
static PANIC_HOOK: Lazy<()> = Lazy::new(|| {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| match GUARD_DEPTH.get() {
        0 => previous(info),
        _ => {
            let location = info.location().map(|at| format!("{}:{}", at.file(), at.line()));
            // At the end of a thread its thread-local storage may be gone.
            let _ = PANIC_LOCATION.try_with(|recorded| recorded.replace(location));
        }
    }));
});

/// Runs an exported body. Returns `fallback` if it panics.
pub(crate) fn guard<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    Lazy::force(&PANIC_HOOK);
    let outcome = GUARD_DEPTH.with(|depth| {
        depth.set(depth.get() + 1);
        let outcome = catch_unwind(AssertUnwindSafe(body));
        depth.set(depth.get() - 1);
        outcome
    });
    outcome.unwrap_or_else(|payload| {
        // The payload's own destructor may panic, too: it is not run.
        std::mem::forget(payload);
        fallback
    })
}

/// The source location of the last panic on this thread.
pub(crate) fn take_panic_location() -> Option<String> {
    PANIC_LOCATION.try_with(RefCell::take).ok().flatten()
}
