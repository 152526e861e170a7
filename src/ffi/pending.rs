//! `clerk_pending`: an authentication or a webhook whose store requests the application executes itself.

use std::sync::Arc;

use super::authenticate::write_result;
use super::client::{ReentrancyGuard, retain, with_client};
use super::{
    CLERK_E_NULL, CLERK_E_PANIC, CLERK_E_STATE, CLERK_PENDING, CLERK_WOULD_BLOCK, as_mut, as_ref, clerk_client,
    clerk_error, clerk_request, clerk_result, clerk_store_request, clerk_store_request_kind, clerk_store_response,
    guard, report, request, status, strings,
};
use crate::client::{AuthProgress, Client, NextAction, PendingAuth, PendingWebhook};
use crate::request::Request;

/// An authentication or a webhook that waits for the application to query its user table.
///
/// May move between threads; one thread at a time. Ends with `clerk_pending_finish` or `clerk_pending_free`. Holds a
/// reference to its client.
pub struct clerk_pending {
    client: Arc<clerk_client>,
    kind: PendingKind,
    request: Option<clerk_store_request>,
    response: clerk_store_response,
}

pub(crate) enum PendingKind {
    Auth(Box<PendingAuth>),
    Webhook(Box<PendingWebhook>),
}

impl clerk_pending {
    pub(crate) fn new(client: Arc<clerk_client>, kind: PendingKind) -> Self {
        let mut made = clerk_pending { client, kind, request: None, response: clerk_store_response::default() };
        made.refresh();
        made
    }

    /// Reads the next action and clears the response.
    fn refresh(&mut self) {
        self.response = clerk_store_response::default();
        let next = match &self.kind {
            PendingKind::Auth(pending) => pending.next_action(),
            PendingKind::Webhook(pending) => pending.next_action(),
        };
        self.request = match next {
            NextAction::QueryStore(request) => Some(clerk_store_request::new(request)),
            NextAction::FetchUser => Some(clerk_store_request::without_values(clerk_store_request_kind::FETCH_USER)),
            NextAction::Done => None,
        };
    }

    fn next_action(&self) -> clerk_store_request_kind {
        self.request.as_ref().map_or(clerk_store_request_kind::DONE, |request| request.kind)
    }
}

/// Begins an authentication for an application that queries its user table itself. Blocks for at most `timeout_ms`.
///
/// Does everything that needs no user table; never calls the user store callback.
///
/// Returns `CLERK_PENDING` without a result and sets `*pending`, which the caller ends with `clerk_pending_finish` or
/// `clerk_pending_free`. Otherwise returns as `clerk_authenticate` does, with `*pending` NULL. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_authenticate_begin(
    client: *const clerk_client,
    request: *const clerk_request,
    result: *mut *mut clerk_result,
    pending: *mut *mut clerk_pending,
    error: *mut *mut clerk_error,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe { begin(client, request, result, pending, error, |client, request| Some(client.begin(request))) }
}

/// Begins an authentication from the cache. Never blocks: no request to Clerk, no user store. For event loops.
///
/// Returns `CLERK_PENDING` if only the user's row has to be looked up; a later action may still be `FETCH_USER`.
/// Returns `CLERK_WOULD_BLOCK` without a result and without `*pending` if more is needed: then call
/// `clerk_authenticate_begin` on a thread that may block. Otherwise returns as `clerk_authenticate_cached` does. The
/// caller frees `*result` and ends `*pending`. `CLERK_E_REENTRANT` in a callback of the same client. Any thread.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_authenticate_begin_cached(
    client: *const clerk_client,
    request: *const clerk_request,
    result: *mut *mut clerk_result,
    pending: *mut *mut clerk_pending,
) -> i32 {
    // SAFETY: the header's contract.
    unsafe { begin(client, request, result, pending, std::ptr::null_mut(), Client::begin_cached) }
}

/// # Safety
/// As for the exported functions.
unsafe fn begin(
    client: *const clerk_client,
    request: *const clerk_request,
    result: *mut *mut clerk_result,
    pending: *mut *mut clerk_pending,
    error: *mut *mut clerk_error,
    body: impl FnOnce(&Client, &Request<'_>) -> Option<AuthProgress>,
) -> i32 {
    // SAFETY: same contract as the caller.
    unsafe {
        strings::clear(result);
        strings::clear(pending);
        with_client(client, error, |client| {
            if result.is_null() || pending.is_null() {
                return Err(CLERK_E_NULL.into());
            }
            let mut parsed = Request::new();
            request::read(request, &mut parsed)?;
            match body(client.client(), &parsed) {
                Some(AuthProgress::Done(found)) => write_result(found, result),
                Some(AuthProgress::Pending(begun)) => write_pending(client, PendingKind::Auth(begun), pending),
                None => Ok(CLERK_WOULD_BLOCK),
            }
        })
    }
}

/// # Safety
/// `client` was made by `clerk_client_new`; `out` is writable.
pub(crate) unsafe fn write_pending(
    client: &clerk_client,
    kind: PendingKind,
    out: *mut *mut clerk_pending,
) -> Result<i32, clerk_error> {
    // SAFETY: same contract as the caller.
    unsafe { out.write(Box::into_raw(Box::new(clerk_pending::new(retain(client)?, kind)))) };
    Ok(CLERK_PENDING)
}

/// Returns what to do next, a `clerk_store_request_kind`.
///
/// `DONE`: call `clerk_pending_finish`. `FETCH_USER`: call `clerk_pending_fetch`. Any other: execute the request and
/// call `clerk_pending_submit`. `DONE` for NULL. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_next_action(pending: *const clerk_pending) -> i32 {
    // SAFETY: the header's contract.
    guard(0, || unsafe { as_ref(pending) }.map_or(0, |pending| pending.next_action() as i32))
}

/// Returns the request to execute; NULL if the next action is `DONE`.
///
/// The request belongs to `pending` and lives until `clerk_pending_submit`. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_request(pending: *const clerk_pending) -> *const clerk_store_request {
    guard(std::ptr::null(), || {
        // SAFETY: the header's contract.
        let request = unsafe { as_ref(pending) }.ok().and_then(|pending| pending.request.as_ref());
        request.map_or(std::ptr::null(), std::ptr::from_ref)
    })
}

/// Returns the response to fill; NULL if the next action is `DONE`.
///
/// The response belongs to `pending` and lives until `clerk_pending_submit`. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_response(pending: *mut clerk_pending) -> *mut clerk_store_response {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the header's contract.
        let pending = unsafe { as_mut(pending) }.ok().filter(|pending| pending.request.is_some());
        pending.map_or(std::ptr::null_mut(), |pending| &raw mut pending.response)
    })
}

/// Submits the response as it was filled, and `outcome` as a user store callback would return it: a
/// `clerk_store_status`, or a negative error code of the application. Never blocks.
///
/// Returns `CLERK_OK`, also for a failed outcome, or a negative status: `CLERK_E_STATE` if no request is to be
/// executed, `CLERK_E_REENTRANT` in a callback of the same client. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_submit(pending: *mut clerk_pending, outcome: i32) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        let pending = unsafe { as_mut(pending) }?;
        let _in_progress = ReentrancyGuard::enter(&pending.client)?;
        let kind = pending.next_action();
        if matches!(kind, clerk_store_request_kind::DONE | clerk_store_request_kind::FETCH_USER) {
            return Err(CLERK_E_STATE);
        }
        let response = match std::mem::take(&mut pending.response).into_result(kind, outcome) {
            Err(crate::users::StoreError::Conflict) => Ok(crate::users::StoreResponse::Conflict),
            other => other,
        };
        match &mut pending.kind {
            PendingKind::Auth(pending) => pending.submit(response),
            PendingKind::Webhook(pending) => pending.submit(response),
        }
        pending.refresh();
        Ok(())
    };
    guard(CLERK_E_PANIC, || status(body()))
}

/// Fetches the user from Clerk when the next action is `FETCH_USER`. Blocks for at most `timeout_ms`.
///
/// Returns `CLERK_OK`, also when the fetch failed, or a negative status: `CLERK_E_STATE` if the next action is
/// another, `CLERK_E_REENTRANT` in a callback of the same client. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_fetch(pending: *mut clerk_pending) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        let pending = unsafe { as_mut(pending) }?;
        let _in_progress = ReentrancyGuard::enter(&pending.client)?;
        if pending.next_action() != clerk_store_request_kind::FETCH_USER {
            return Err(CLERK_E_STATE);
        }
        match &mut pending.kind {
            PendingKind::Auth(pending) => pending.fetch_user(),
            PendingKind::Webhook(pending) => pending.fetch_user(),
        }
        pending.refresh();
        Ok(())
    };
    guard(CLERK_E_PANIC, || status(body()))
}

/// Finishes an authentication or a webhook. Always frees `pending`.
///
/// Returns as `clerk_authenticate` or `clerk_webhook_handle` does; the caller frees `*result`. `CLERK_UNAVAILABLE` if
/// the next action is not `DONE`. `result` may be NULL only for a webhook. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_finish(
    pending: *mut clerk_pending,
    result: *mut *mut clerk_result,
    error: *mut *mut clerk_error,
) -> i32 {
    let body = || {
        // SAFETY: the header's contract.
        unsafe {
            strings::clear(result);
            if pending.is_null() {
                return Err(CLERK_E_NULL.into());
            }
            let clerk_pending { client, kind, .. } = *Box::from_raw(pending);
            let _in_progress = ReentrancyGuard::enter(&client)?;
            match kind {
                PendingKind::Auth(_) if result.is_null() => Err(CLERK_E_NULL.into()),
                PendingKind::Auth(pending) => write_result(pending.into_result(), result),
                PendingKind::Webhook(pending) => clerk_error::of_webhook(pending.into_outcome()),
            }
        }
    };
    // SAFETY: the header's contract.
    unsafe { report(error, body) }
}

/// Cancels an authentication or a webhook and frees it. Nothing is cached. NULL is ignored. One thread at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_pending_free(pending: *mut clerk_pending) {
    guard((), || {
        if !pending.is_null() {
            // SAFETY: made by `write_pending`, freed once.
            drop(unsafe { Box::from_raw(pending) });
        }
    });
}
