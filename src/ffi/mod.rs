//! The C ABI: one file per C object. `include/clerk_auth.h` is made from these files by cbindgen.
//!
//! Everything unsafe of this crate is here. Each exported body runs inside `guard`: a panic becomes a status. Comments
//! on exported items are written for readers of the header.

#![allow(unsafe_code, non_camel_case_types)]
#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]
// What a caller has to keep to is said once, at the top of the header.
#![allow(clippy::missing_safety_doc)]

mod client;
mod config;
mod enums;
mod error;
mod events;
mod hook;
mod pending;
mod request;
mod result;
mod setting;
mod status;
mod store_request;
mod store_response;
mod strings;
mod user_store;
mod webhook;

pub use client::*;
pub use config::*;
pub use enums::*;
pub use error::*;
pub use events::*;
pub use hook::*;
pub use pending::*;
pub use request::*;
pub use result::*;
pub use setting::*;
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
    static GUARDED: Cell<u32> = const { Cell::new(0) };
    static PANICKED_AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic's message may hold anything; inside the guard only its place is kept, and nothing is printed.
static QUIET: Lazy<()> = Lazy::new(|| {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| match GUARDED.get() {
        0 => before(info),
        _ => {
            let place = info.location().map(|at| format!("{}:{}", at.file(), at.line()));
            // At the end of a thread there may be no room for it any more.
            let _ = PANICKED_AT.try_with(|at| at.replace(place));
        }
    }));
});

/// Runs an exported body. `fallback` is what the caller gets when it panics.
pub(crate) fn guard<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    Lazy::force(&QUIET);
    GUARDED.set(GUARDED.get() + 1);
    let outcome = catch_unwind(AssertUnwindSafe(body));
    GUARDED.set(GUARDED.get() - 1);
    outcome.unwrap_or_else(|payload| {
        // The payload's own destructor may panic, too: it is not run.
        std::mem::forget(payload);
        fallback
    })
}

/// Where the last panic on this thread happened.
pub(crate) fn take_panic_place() -> Option<String> {
    PANICKED_AT.try_with(RefCell::take).ok().flatten()
}
