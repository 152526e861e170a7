//! Safe wrappers around the C functions for the user store callback and the event callback.

#![allow(unsafe_code, reason = "calls the C ABI")]

use std::ffi::{CStr, c_void};
use std::ptr;

use clerk_auth::internals::ffi;

use crate::capi::{self, CallResult, Config, ConfigError, NONE, from_c_str, from_clerk_str, to_clerk_str};

/// Executes a store request: fills the response and returns a `CLERK_STORE_*` status.
pub type StoreCallback = Box<dyn Fn(&StoreRequest, &mut StoreResponse) -> i32 + Send + Sync>;
/// Called for every event.
pub type EventCallback = Box<dyn Fn(Event) + Send + Sync>;

/// The result of setting a value.
pub type SetResult = Result<(), ConfigError>;

impl Config {
    /// Sets the columns of the user table: a sum of `1 << clerk_column`.
    pub fn set_user_columns(&self, columns: u32) -> SetResult {
        // SAFETY: the config is alive.
        let status = unsafe { ffi::clerk_config_set_user_columns(self.0.as_ptr(), columns) };
        check(status, "clerk_config_set_user_columns")
    }

    pub fn set_user_column_length(&self, column: ffi::clerk_column, characters: u32) -> SetResult {
        // SAFETY: as above.
        let status = unsafe { ffi::clerk_config_set_user_column_length(self.0.as_ptr(), column as i32, characters) };
        check(status, "clerk_config_set_user_column_length")
    }

    pub fn set_user_store(&self, callback: StoreCallback) -> SetResult {
        let (userdata, free) = (Box::into_raw(Box::new(callback)).cast(), Some(drop_userdata::<StoreCallback> as _));
        // SAFETY: as above; `drop_userdata` frees `userdata`, once.
        let status =
            unsafe { ffi::clerk_config_set_user_store(self.0.as_ptr(), Some(on_store_request), userdata, free) };
        check(status, "clerk_config_set_user_store")
    }

    pub fn set_event_callback(&self, callback: EventCallback) -> SetResult {
        let (userdata, free) = (Box::into_raw(Box::new(callback)).cast(), Some(drop_userdata::<EventCallback> as _));
        // SAFETY: as above.
        let status = unsafe { ffi::clerk_config_set_event_callback(self.0.as_ptr(), Some(on_event), userdata, free) };
        check(status, "clerk_config_set_event_callback")
    }
}

unsafe extern "C" fn drop_userdata<T>(userdata: *mut c_void) {
    // SAFETY: made with `Box::into_raw` of the same type; called once.
    drop(unsafe { Box::from_raw(userdata.cast::<T>()) });
}

unsafe extern "C" fn on_store_request(
    userdata: *mut c_void,
    request: *const ffi::clerk_store_request,
    response: *mut ffi::clerk_store_response,
) -> i32 {
    // SAFETY: `set_user_store` made it; it lives until `drop_userdata`.
    let callback = unsafe { &*userdata.cast::<StoreCallback>() };
    callback(&StoreRequest(request), &mut StoreResponse(response))
}

unsafe extern "C" fn on_event(userdata: *mut c_void, event: *const ffi::clerk_event) {
    // SAFETY: `set_event_callback` made it and it lives until `drop_userdata`; the event lives during this call.
    let (callback, event) = unsafe {
        let copy = Event {
            kind: ffi::clerk_event_get_kind(event),
            user_key: from_clerk_str(ffi::clerk_event_user_key(event)),
            token_hash: from_clerk_str(ffi::clerk_event_token_hash(event)),
            reason: CStr::from_ptr(ffi::clerk_reason_name(ffi::clerk_event_reason(event))).to_str().unwrap_or("?"),
            source: source(ffi::clerk_event_source(event)),
        };
        (&*userdata.cast::<EventCallback>(), copy)
    };
    callback(event);
}

/// A copy of a `clerk_event`.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: i32,
    pub user_key: Option<String>,
    pub token_hash: Option<String>,
    /// Empty if there is none.
    pub reason: &'static str,
    pub source: Option<&'static str>,
}

/// Names a source as the recordings do: "api" means that the token was not cached.
fn source(number: i32) -> Option<&'static str> {
    match number {
        1 => Some("cache"),
        2 => Some("api"),
        _ => None,
    }
}

/// A `clerk_store_request`, valid during the callback.
pub struct StoreRequest(*const ffi::clerk_store_request);

impl StoreRequest {
    /// Returns a `clerk_store_request_kind`.
    pub fn kind(&self) -> i32 {
        // SAFETY: the request is alive, here and below.
        unsafe { ffi::clerk_store_request_get_kind(self.0) }
    }

    pub fn value(&self) -> Option<String> {
        // SAFETY: as above.
        unsafe { from_clerk_str(ffi::clerk_store_request_value(self.0)) }
    }

    pub fn only_if_unlinked(&self) -> bool {
        // SAFETY: the request is alive during the callback.
        unsafe { ffi::clerk_store_request_only_if_unlinked(self.0) == 1 }
    }

    pub fn only_if_active(&self) -> bool {
        // SAFETY: as above.
        unsafe { ffi::clerk_store_request_only_if_active(self.0) == 1 }
    }

    pub fn only_if_banned(&self) -> bool {
        // SAFETY: as above.
        unsafe { ffi::clerk_store_request_only_if_banned(self.0) == 1 }
    }

    pub fn key(&self) -> Option<String> {
        // SAFETY: as above.
        unsafe { from_clerk_str(ffi::clerk_store_request_key(self.0)) }
    }

    /// Returns the new value of a string column; the outer `None` leaves it unchanged.
    pub fn string_column(&self, column: ffi::clerk_column) -> Option<Option<String>> {
        let mut value = NONE;
        // SAFETY: as above; the value is writable.
        unsafe {
            (ffi::clerk_store_request_string_column(self.0, column as i32, &mut value) == 1)
                .then(|| from_clerk_str(value))
        }
    }

    /// Returns the new value of an integer column; the outer `None` leaves it unchanged.
    pub fn int_column(&self, column: ffi::clerk_column) -> Option<Option<i64>> {
        let mut value = 0;
        // SAFETY: as above.
        match unsafe { ffi::clerk_store_request_int_column(self.0, column as i32, &mut value) } {
            1 => Some(Some(value)),
            2 => Some(None),
            _ => None,
        }
    }
}

/// A `clerk_store_response`, valid during the callback. The library rejects the response if a setter fails.
pub struct StoreResponse(*mut ffi::clerk_store_response);

impl StoreResponse {
    pub fn add_row(&mut self, key: &str) {
        // SAFETY: the response is alive and not shared, here and below; the strings live during the calls.
        let _ = unsafe { ffi::clerk_store_response_add_row(self.0, to_clerk_str(key)) };
    }

    pub fn set_string_column(&mut self, column: ffi::clerk_column, value: Option<&str>) {
        // SAFETY: as above.
        let _ = unsafe {
            ffi::clerk_store_response_set_string_column(self.0, column as i32, value.map_or(NONE, to_clerk_str))
        };
    }

    pub fn set_int_column(&mut self, column: ffi::clerk_column, value: i64) {
        // SAFETY: as above.
        let _ = unsafe { ffi::clerk_store_response_set_int_column(self.0, column as i32, value) };
    }

    pub fn set_username_taken(&mut self, taken: bool) {
        // SAFETY: as above.
        let _ = unsafe { ffi::clerk_store_response_set_username_taken(self.0, taken.into()) };
    }

    pub fn set_created_key(&mut self, key: &str) {
        // SAFETY: as above.
        let _ = unsafe { ffi::clerk_store_response_set_created_key(self.0, to_clerk_str(key)) };
    }

    pub fn set_error(&mut self, message: &str) {
        // SAFETY: as above.
        let _ = unsafe { ffi::clerk_store_response_set_error(self.0, to_clerk_str(message)) };
    }
}

/// A copy of a `clerk_result`, and the status of the call.
#[derive(Clone, Debug, Default)]
pub struct AuthOutcome {
    pub status: i32,
    /// Empty if signed in.
    pub reason: String,
    pub source: Option<&'static str>,
    pub user_key: Option<String>,
    pub http_status: i32,
    pub www_authenticate: Option<String>,
    /// Message of the underlying error.
    pub error: Option<String>,
}

impl From<CallResult> for AuthOutcome {
    fn from(call: CallResult) -> AuthOutcome {
        let CallResult { status, result, error } = call;
        let result = result.as_ref().map_or(ptr::null_mut(), |result| result.0.as_ptr());
        // SAFETY: NULL, which all functions accept, or alive as long as `call.result`.
        unsafe {
            AuthOutcome {
                status,
                reason: from_c_str(ffi::clerk_result_reason_name(result)),
                source: source(ffi::clerk_result_source(result)),
                user_key: from_clerk_str(ffi::clerk_result_user_key(result)),
                http_status: ffi::clerk_result_http_status(result),
                www_authenticate: www_authenticate(result),
                error,
            }
        }
    }
}

/// # Safety
/// `result` is NULL or alive.
unsafe fn www_authenticate(result: *const ffi::clerk_result) -> Option<String> {
    let (mut buffer, mut needed) = ([0_u8; 512], 0);
    let start = buffer.as_mut_ptr().cast();
    // SAFETY: same contract as the caller; the buffer has the given length.
    let status =
        unsafe { ffi::clerk_result_www_authenticate(result, to_clerk_str(""), start, buffer.len(), &mut needed) };
    (status == ffi::CLERK_OK).then(|| String::from_utf8_lossy(&buffer[..needed]).into_owned())
}

fn check(status: i32, function: &str) -> SetResult {
    match status {
        ffi::CLERK_OK => Ok(()),
        _ => Err(ConfigError { setting: function.into(), message: capi::status_name(status) }),
    }
}
