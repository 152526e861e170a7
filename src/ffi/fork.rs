//! Handlers that the C library calls around each `fork` of the process.

use once_cell::sync::Lazy;

use super::guard;
use crate::users::{after_fork, before_fork, set_private_copy};

extern "C" fn prepare() {
    guard((), before_fork);
}

extern "C" fn finish() {
    guard((), after_fork);
}

/// Prepares the process for SQLite stores: no connection stays open across a fork. Without memory for the handlers, a child
/// that was forked while a connection was open is refused.
pub(crate) fn prepare_for_sqlite() {
    static REGISTERED: Lazy<()> = Lazy::new(|| {
        if cfg!(feature = "bundled-sqlite") {
            set_private_copy();
        }
        // SAFETY: the handlers live as long as the process, because the library is never unmapped.
        unsafe { libc::pthread_atfork(Some(prepare), Some(finish), Some(finish)) };
    });
    Lazy::force(&REGISTERED);
}
