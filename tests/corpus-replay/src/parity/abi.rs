//! The C functions that a host with a user table of its own calls, behind owners that free what they hold. All that is
//! unsafe of this folder is here.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::ptr;

use clerk_auth::ffi;

use crate::capi::{self, AuthError, Config, NONE, read, text, word};

/// Answers a step: fills the reply and returns what a user store hook returns.
pub type StoreHook = Box<dyn Fn(&Step, &mut Reply) -> i32 + Send + Sync>;
/// Is told of each event.
pub type EventHook = Box<dyn Fn(Event) + Send + Sync>;

/// The library's words against a setting.
pub type Judged = Result<(), AuthError>;

impl Config {
    /// Says which columns the table has: a sum of `1 << clerk_column`.
    pub fn user_columns(&self, columns: u32) -> Judged {
        // SAFETY: the config is alive.
        let status = unsafe { ffi::clerk_config_set_user_columns(self.0.as_ptr(), columns) };
        named(status, "clerk_config_set_user_columns")
    }

    pub fn user_column_length(&self, column: ffi::clerk_column, characters: u32) -> Judged {
        // SAFETY: as above.
        let status = unsafe { ffi::clerk_config_set_user_column_length(self.0.as_ptr(), column as i32, characters) };
        named(status, "clerk_config_set_user_column_length")
    }

    pub fn on_user_store(&self, hook: StoreHook) -> Judged {
        let (userdata, forget) = (Box::into_raw(Box::new(hook)).cast(), Some(forget::<StoreHook> as _));
        // SAFETY: as above; `forget` takes back what `userdata` is, once.
        let status = unsafe { ffi::clerk_config_set_user_store(self.0.as_ptr(), Some(ask), userdata, forget) };
        named(status, "clerk_config_set_user_store")
    }

    pub fn on_event(&self, hook: EventHook) -> Judged {
        let (userdata, forget) = (Box::into_raw(Box::new(hook)).cast(), Some(forget::<EventHook> as _));
        // SAFETY: as above.
        let status = unsafe { ffi::clerk_config_set_event_callback(self.0.as_ptr(), Some(tell), userdata, forget) };
        named(status, "clerk_config_set_event_callback")
    }
}

unsafe extern "C" fn forget<T>(userdata: *mut c_void) {
    // SAFETY: made with `Box::into_raw` of this very type; called once.
    drop(unsafe { Box::from_raw(userdata.cast::<T>()) });
}

unsafe extern "C" fn ask(
    userdata: *mut c_void,
    step: *const ffi::clerk_store_request,
    reply: *mut ffi::clerk_store_response,
) -> i32 {
    // SAFETY: `on_user_store` made it; it lives until `forget`.
    let hook = unsafe { &*userdata.cast::<StoreHook>() };
    hook(&Step(step), &mut Reply(reply))
}

unsafe extern "C" fn tell(userdata: *mut c_void, event: *const ffi::clerk_event) {
    // SAFETY: `on_event` made it and it lives until `forget`; the event lives during this call.
    let (hook, event) = unsafe {
        let told = Event {
            kind: ffi::clerk_event_get_kind(event),
            user_key: read(ffi::clerk_event_user_key(event)),
            token_hash: read(ffi::clerk_event_token_hash(event)),
            reason: CStr::from_ptr(ffi::clerk_reason_name(ffi::clerk_event_reason(event))).to_str().unwrap_or("?"),
            source: source(ffi::clerk_event_source(event)),
        };
        (&*userdata.cast::<EventHook>(), told)
    };
    hook(event);
}

/// `clerk_event`, copied
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: i32,
    pub user_key: Option<String>,
    pub token_hash: Option<String>,
    /// Empty when there is none.
    pub reason: &'static str,
    pub source: Option<&'static str>,
}

/// The recordings say "api" for a token that was verified now.
fn source(number: i32) -> Option<&'static str> {
    match number {
        1 => Some("cache"),
        2 => Some("api"),
        _ => None,
    }
}

/// `clerk_store_request`, during the hook's call
pub struct Step(*const ffi::clerk_store_request);

impl Step {
    /// A `clerk_store_request_kind`.
    pub fn kind(&self) -> i32 {
        // SAFETY: the step is alive, here and below.
        unsafe { ffi::clerk_store_request_get_kind(self.0) }
    }

    pub fn text(&self) -> Option<String> {
        // SAFETY: as above.
        unsafe { read(ffi::clerk_store_request_value(self.0)) }
    }

    pub fn key(&self) -> Option<String> {
        // SAFETY: as above.
        unsafe { read(ffi::clerk_store_request_key(self.0)) }
    }

    /// Whether only a row without a Clerk id may be updated.
    pub fn only_if_unlinked(&self) -> bool {
        // SAFETY: as above.
        unsafe { ffi::clerk_store_request_only_if_unlinked(self.0) == 1 }
    }

    /// What a text column is to be; the outer `None`: as it is.
    pub fn text_column(&self, column: ffi::clerk_column) -> Option<Option<String>> {
        let mut value = NONE;
        // SAFETY: as above; the value is writable.
        unsafe { (ffi::clerk_store_request_string_column(self.0, column as i32, &mut value) == 1).then(|| read(value)) }
    }

    /// What a number column is to be; the outer `None`: as it is.
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

/// `clerk_store_response`, during the hook's call. A setter that is refused breaks the reply, which the library notices by itself.
pub struct Reply(*mut ffi::clerk_store_response);

impl Reply {
    pub fn row(&mut self, key: &str) {
        // SAFETY: the reply is alive and nobody else's, here and below; the texts live during the calls.
        let _ = unsafe { ffi::clerk_store_response_add_row(self.0, text(key)) };
    }

    pub fn text_column(&mut self, column: ffi::clerk_column, value: Option<&str>) {
        // SAFETY: as above.
        let _ = unsafe { ffi::clerk_store_response_set_string_column(self.0, column as i32, value.map_or(NONE, text)) };
    }

    pub fn int_column(&mut self, column: ffi::clerk_column, value: i64) {
        // SAFETY: as above.
        let _ = unsafe { ffi::clerk_store_response_set_int_column(self.0, column as i32, value) };
    }

    pub fn taken(&mut self, taken: bool) {
        // SAFETY: as above.
        let _ = unsafe { ffi::clerk_store_response_set_username_taken(self.0, taken.into()) };
    }

    pub fn created(&mut self, key: &str) {
        // SAFETY: as above.
        let _ = unsafe { ffi::clerk_store_response_set_created_key(self.0, text(key)) };
    }

    pub fn error(&mut self, message: &str) {
        // SAFETY: as above.
        let _ = unsafe { ffi::clerk_store_response_set_error(self.0, text(message)) };
    }
}

/// `clerk_result`, copied, and the status that came with it
#[derive(Clone, Debug, Default)]
pub struct AuthResult {
    pub status: i32,
    /// Empty when somebody is signed in.
    pub reason: String,
    pub source: Option<&'static str>,
    pub user_key: Option<String>,
    pub http_status: i32,
    pub challenge: Option<String>,
    /// What stands behind it, for the person who runs the server.
    pub error: Option<String>,
}

impl AuthResult {
    pub fn of(reply: capi::Reply) -> AuthResult {
        let capi::Reply { status, answer, error } = reply;
        let result = answer.as_ref().map_or(ptr::null_mut(), |answer| answer.0.as_ptr());
        // SAFETY: NULL, which all functions take, or alive as long as `answer` is.
        unsafe {
            AuthResult {
                status,
                reason: word(ffi::clerk_result_reason_name(result)),
                source: source(ffi::clerk_result_source(result)),
                user_key: read(ffi::clerk_result_user_key(result)),
                http_status: ffi::clerk_result_http_status(result),
                challenge: challenge(result),
                error,
            }
        }
    }
}

/// # Safety
/// NULL or a live result.
unsafe fn challenge(result: *const ffi::clerk_result) -> Option<String> {
    let (mut buffer, mut needed) = ([0_u8; 512], 0);
    let start = buffer.as_mut_ptr().cast();
    // SAFETY: the caller vouches for the result; the buffer holds as many bytes as are said.
    let status = unsafe { ffi::clerk_result_www_authenticate(result, text(""), start, buffer.len(), &mut needed) };
    (status == ffi::CLERK_OK).then(|| String::from_utf8_lossy(&buffer[..needed]).into_owned())
}

fn named(status: i32, function: &str) -> Judged {
    match status {
        ffi::CLERK_OK => Ok(()),
        _ => Err(AuthError { setting: function.into(), message: capi::status_name(status) }),
    }
}
