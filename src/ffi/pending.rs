//! `clerk_pending`: an authentication, or a webhook delivery, that waits for the host's user table.

use std::sync::Arc;

use super::client::Inside;
use super::{
    CLERK_E_NULL, CLERK_E_PANIC, CLERK_E_REENTRANT, CLERK_E_STATE, CLERK_OK, CLERK_PENDING, CLERK_WOULD_BLOCK,
    clerk_client, clerk_error, clerk_request, clerk_result, clerk_store_request, clerk_store_request_kind,
    clerk_store_response, client, exclusive, guard, request, shared, strings,
};
use crate::client::{AuthProgress, Client, NextAction, PendingAuth, PendingWebhook};
use crate::request::Request;

/// An authentication, or a webhook delivery, that waits for the host's user table. May move from thread to thread; one at
/// a time. Ended by `clerk_pending_finish` or `clerk_pending_free`. It keeps its client alive.
pub struct clerk_pending {
    client: Arc<clerk_client>,
    waiting: Waiting,
    step: Option<clerk_store_request>,
    reply: clerk_store_response,
}

/// What waits.
pub(crate) enum Waiting {
    Request(Box<PendingAuth>),
    Delivery(Box<PendingWebhook>),
}

impl clerk_pending {
    pub(crate) fn new(client: Arc<clerk_client>, waiting: Waiting) -> Self {
        let mut made = clerk_pending { client, waiting, step: None, reply: clerk_store_response::default() };
        made.look();
        made
    }

    /// Takes note of what is wanted now.
    fn look(&mut self) {
        self.reply = clerk_store_response::default();
        let wanted = match &self.waiting {
            Waiting::Request(pending) => pending.next_action(),
            Waiting::Delivery(pending) => pending.next_action(),
        };
        self.step = match wanted {
            NextAction::QueryStore(step) => Some(clerk_store_request::new(step)),
            NextAction::FetchUser => Some(clerk_store_request::bare(clerk_store_request_kind::FETCH_USER)),
            NextAction::Done => None,
        };
    }

    fn wants(&self) -> clerk_store_request_kind {
        self.step.as_ref().map_or(clerk_store_request_kind::DONE, |step| step.kind)
    }
}

/// Begins an authentication for a host that asks its user table itself: all that needs no user store is done, waiting for
/// Clerk if need be; no user store hook is called. `CLERK_PENDING`: `*pending` says what is wanted, and there is no result
/// yet. Otherwise it is over: as `clerk_authenticate`, and `*pending` is NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_authenticate_begin(
    client: *const clerk_client,
    request: *const clerk_request,
    result: *mut *mut clerk_result,
    pending: *mut *mut clerk_pending,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { begun(client, request, result, pending, error, |client, request| Some(client.begin(request))) }
}

/// The same without waiting for Clerk: event loops may call it. `CLERK_PENDING` when all that remains is a look at the
/// user's row (it may turn out that Clerk must be asked: then `FETCH_USER` is wanted). `CLERK_WOULD_BLOCK`, without a result and
/// without `*pending`: ask `clerk_authenticate_begin`. Otherwise as `clerk_authenticate_cached`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_authenticate_begin_cached(
    client: *const clerk_client,
    request: *const clerk_request,
    result: *mut *mut clerk_result,
    pending: *mut *mut clerk_pending,
) -> i32 {
    // SAFETY: the header's rules.
    unsafe { begun(client, request, result, pending, std::ptr::null_mut(), Client::begin_cached) }
}

/// # Safety
/// As for the exported functions.
unsafe fn begun(
    client: *const clerk_client,
    request: *const clerk_request,
    result: *mut *mut clerk_result,
    pending: *mut *mut clerk_pending,
    error: *mut *mut clerk_error,
    begin: impl FnOnce(&Client, &Request<'_>) -> Option<AuthProgress>,
) -> i32 {
    // SAFETY: handed on.
    unsafe {
        strings::clear(result);
        strings::clear(pending);
        strings::clear(error);
        client::verb(client, |client| {
            if result.is_null() || pending.is_null() {
                return CLERK_E_NULL;
            }
            let request = match request::read(request) {
                Ok(request) => request,
                Err(status) => return status,
            };
            match begin(client.client(), &request) {
                Some(AuthProgress::Done(answer)) => client::give(answer, result, error),
                Some(AuthProgress::Pending(begun)) => hand_out(client, Waiting::Request(begun), pending),
                None => CLERK_WOULD_BLOCK,
            }
        })
    }
}

/// # Safety
/// `pending` is writable.
pub(crate) unsafe fn hand_out(client: &Arc<clerk_client>, waiting: Waiting, pending: *mut *mut clerk_pending) -> i32 {
    // SAFETY: handed on.
    unsafe { pending.write(Box::into_raw(Box::new(clerk_pending::new(client.clone(), waiting)))) };
    CLERK_PENDING
}

/// What is to be done next, a `clerk_store_request_kind`: a step for the host's table, `FETCH_USER`, or `DONE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_next_action(pending: *const clerk_pending) -> i32 {
    // SAFETY: the header's rules.
    guard(0, || unsafe { shared(pending) }.map_or(0, |pending| pending.wants() as i32))
}

/// The step for the host's table; NULL when none is wanted. Lives until `clerk_pending_submit`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_request(pending: *const clerk_pending) -> *const clerk_store_request {
    guard(std::ptr::null(), || {
        // SAFETY: the header's rules.
        let step = unsafe { shared(pending) }.ok().and_then(|pending| pending.step.as_ref());
        step.map_or(std::ptr::null(), std::ptr::from_ref)
    })
}

/// The reply to fill for the step; NULL when none is wanted. Lives until `clerk_pending_submit`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_response(pending: *mut clerk_pending) -> *mut clerk_store_response {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the header's rules.
        let pending = unsafe { exclusive(pending) }.ok().filter(|pending| pending.step.is_some());
        pending.map_or(std::ptr::null_mut(), |pending| &raw mut pending.reply)
    })
}

/// Answers the step: the reply as it was filled, and what a user store hook would return (`CLERK_STORE_OK`,
/// `CLERK_STORE_CONFLICT`, or a negative number of the host's own). Never waits. `CLERK_E_STATE` when no step is wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_submit(pending: *mut clerk_pending, returned: i32) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's rules.
        let pending = match unsafe { exclusive(pending) } {
            Ok(pending) => pending,
            Err(status) => return status,
        };
        let Ok(_inside) = Inside::enter(&pending.client) else { return CLERK_E_REENTRANT };
        let kind = pending.wants();
        if matches!(kind, clerk_store_request_kind::DONE | clerk_store_request_kind::FETCH_USER) {
            return CLERK_E_STATE;
        }
        let reply = std::mem::take(&mut pending.reply).judge(kind, returned);
        let reply = match reply {
            Err(crate::users::StoreError::Conflict) => Ok(crate::users::StoreResponse::Conflict),
            other => other,
        };
        match &mut pending.waiting {
            Waiting::Request(pending) => pending.submit(reply),
            Waiting::Delivery(pending) => pending.submit(reply),
        }
        pending.look();
        CLERK_OK
    })
}

/// Waits for Clerk, at most `timeout_ms`, when `FETCH_USER` is wanted (the row of a remembered answer is gone). `CLERK_E_STATE`
/// when it is not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_fetch(pending: *mut clerk_pending) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's rules.
        let pending = match unsafe { exclusive(pending) } {
            Ok(pending) => pending,
            Err(status) => return status,
        };
        let Ok(_inside) = Inside::enter(&pending.client) else { return CLERK_E_REENTRANT };
        if pending.wants() != clerk_store_request_kind::FETCH_USER {
            return CLERK_E_STATE;
        }
        if let Waiting::Request(pending) = &mut pending.waiting {
            pending.fetch_user();
        }
        pending.look();
        CLERK_OK
    })
}

/// Ends it: hands out the result and frees `pending`, whatever is returned. As `clerk_authenticate`, or, without a result,
/// as `clerk_webhook_handle`; one that still wants something ends as `CLERK_UNAVAILABLE`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_finish(
    pending: *mut clerk_pending,
    result: *mut *mut clerk_result,
    error: *mut *mut clerk_error,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's rules.
        unsafe {
            strings::clear(result);
            strings::clear(error);
            if pending.is_null() {
                return CLERK_E_NULL;
            }
            let clerk_pending { client, waiting, .. } = *Box::from_raw(pending);
            let Ok(_inside) = Inside::enter(&client) else { return CLERK_E_REENTRANT };
            match waiting {
                Waiting::Request(_) if result.is_null() => CLERK_E_NULL,
                Waiting::Request(pending) => client::give(pending.into_result(), result, error),
                Waiting::Delivery(pending) => clerk_error::of_delivery(pending.into_outcome(), error),
            }
        }
    })
}

/// Gives it up: nobody is signed in, nothing is remembered. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_free(pending: *mut clerk_pending) {
    guard((), || {
        if !pending.is_null() {
            // SAFETY: it was made by `clerk_authenticate_begin` and is freed once.
            drop(unsafe { Box::from_raw(pending) });
        }
    });
}
