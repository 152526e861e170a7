//! The C functions that are replayed, behind owners that free what they hold. All that is unsafe is here.
//!
//! The functions are called through their exported signatures, as a C program would: nothing of the library's inside is
//! used but the numbers of its enums.

#![allow(unsafe_code, reason = "calls the C ABI")]

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use clerk_auth::Attribute;
use clerk_auth::internals::ffi;

/// Milliseconds since 1970; moves only when it is told to.
pub type Clock = Arc<AtomicI64>;

/// Why a setting, or all of them together, were refused.
#[derive(Clone, Debug)]
pub struct AuthError {
    pub setting: String,
    pub message: String,
}

/// `clerk_config`
pub struct Config(pub(crate) NonNull<ffi::clerk_config>);

impl Config {
    pub fn new() -> Config {
        Config(NonNull::new(ffi::clerk_config_new()).expect("clerk_config_new gives NULL"))
    }

    pub fn set(&self, name: &str, value: &str) -> Result<(), AuthError> {
        // SAFETY: the config is alive and this thread's own; the texts live during the call.
        accepted(|error| unsafe { ffi::clerk_config_set(self.0.as_ptr(), text(name), text(value), error) })
    }

    pub fn set_int(&self, name: &str, value: i64) -> Result<(), AuthError> {
        // SAFETY: as above.
        accepted(|error| unsafe { ffi::clerk_config_set_int(self.0.as_ptr(), text(name), value, error) })
    }

    pub fn add(&self, name: &str, item: &str) -> Result<(), AuthError> {
        // SAFETY: as above.
        accepted(|error| unsafe { ffi::clerk_config_add(self.0.as_ptr(), text(name), text(item), error) })
    }

    /// Has the time told by `clock`.
    pub fn on_clock(&self, clock: &Clock) {
        let userdata = Arc::into_raw(clock.clone()).cast_mut().cast();
        // SAFETY: the config is alive; `forget` gives back the reference that `userdata` is.
        let status = unsafe {
            ffi::clerk_config_set_clock_callback(self.0.as_ptr(), Some(read_clock), userdata, Some(forget_clock))
        };
        assert_eq!(status, ffi::CLERK_OK, "clerk_config_set_clock_callback");
    }

    pub fn client(&self) -> Result<Client, AuthError> {
        let mut client = ptr::null_mut();
        // SAFETY: the config is alive; both out parameters are writable.
        accepted(|error| unsafe { ffi::clerk_client_new(self.0.as_ptr(), &mut client, error) })?;
        Ok(Client(NonNull::new(client).expect("clerk_client_new gives CLERK_OK and NULL")))
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: made by `clerk_config_new`, freed once.
        unsafe { ffi::clerk_config_free(self.0.as_ptr()) }
    }
}

unsafe extern "C" fn read_clock(userdata: *mut c_void) -> i64 {
    // SAFETY: `on_clock` made it from an `AtomicI64` that lives until `forget_clock`.
    unsafe { &*userdata.cast::<AtomicI64>() }.load(Ordering::SeqCst)
}

unsafe extern "C" fn forget_clock(userdata: *mut c_void) {
    // SAFETY: `on_clock` made it with `Arc::into_raw`; called once.
    drop(unsafe { Arc::from_raw(userdata.cast_const().cast::<AtomicI64>()) });
}

/// `clerk_client`
pub struct Client(NonNull<ffi::clerk_client>);

/// What a verb gave back.
pub struct Reply {
    pub status: i32,
    pub answer: Option<AuthResult>,
    /// What stands behind it, for the person who runs the server.
    pub error: Option<String>,
}

impl Client {
    /// Header lines go over in their order, as the bytes they are.
    pub fn authenticate(&self, method: &str, headers: &[(String, String)]) -> Reply {
        let lines: Vec<ffi::clerk_header> =
            headers.iter().map(|(name, value)| ffi::clerk_header { name: text(name), value: text(value) }).collect();
        let request = ffi::clerk_request {
            struct_size: size_of::<ffi::clerk_request>() as u32,
            flags: 0,
            headers: lines.as_ptr(),
            header_count: lines.len(),
            authorization: NONE,
            cookie: NONE,
            method: text(method),
        };
        // SAFETY: the client is alive; the request and all it points to live during the call.
        self.verb(|client, result, error| unsafe { ffi::clerk_authenticate(client, &request, result, error) })
    }

    pub fn verify_token(&self, token: &str) -> Reply {
        // SAFETY: the client is alive; the text lives during the call.
        self.verb(|client, result, error| unsafe { ffi::clerk_verify_token(client, text(token), result, error) })
    }

    fn verb(
        &self,
        call: impl FnOnce(*const ffi::clerk_client, *mut *mut ffi::clerk_result, *mut *mut ffi::clerk_error) -> i32,
    ) -> Reply {
        let (mut result, mut error) = (ptr::null_mut(), ptr::null_mut());
        let status = call(self.0.as_ptr(), &mut result, &mut error);
        // SAFETY: NULL or handed out by the call, alive until it is freed, once.
        let error = unsafe {
            let message = read(ffi::clerk_error_message(error));
            ffi::clerk_error_free(error);
            message
        };
        Reply { status, answer: NonNull::new(result).map(AuthResult), error }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: made by `clerk_client_new`, its one reference given up once.
        unsafe { ffi::clerk_client_free(self.0.as_ptr()) }
    }
}

/// `clerk_result`
pub struct AuthResult(pub(crate) NonNull<ffi::clerk_result>);

impl AuthResult {
    /// The word, or `None` when somebody is signed in.
    pub fn reason(&self) -> Option<String> {
        // SAFETY: the result is alive; the word is static.
        Some(unsafe { word(ffi::clerk_result_reason_name(self.0.as_ptr())) }).filter(|word| !word.is_empty())
    }

    pub fn get(&self, which: Attribute) -> Option<String> {
        // SAFETY: the result is alive, and so its texts are.
        unsafe { read(ffi::clerk_result_get(self.0.as_ptr(), which as i32)) }
    }

    /// `user_…`; machines and organizations have none.
    pub fn user_id(&self) -> Option<String> {
        // SAFETY: as above.
        unsafe { read(ffi::clerk_result_user_id(self.0.as_ptr())) }
    }

    /// A `clerk_token_kind`, or 0.
    pub fn token_kind(&self) -> i32 {
        // SAFETY: the result is alive.
        unsafe { ffi::clerk_result_token_kind(self.0.as_ptr()) }
    }

    pub fn factor_ages(&self) -> Option<[i64; 2]> {
        let [mut first, mut second] = [0; 2];
        // SAFETY: the result is alive, both numbers are writable.
        let there = unsafe { ffi::clerk_result_factor_verification_age(self.0.as_ptr(), &mut first, &mut second) };
        (there == 1).then_some([first, second])
    }

    /// One claim as JSON text.
    pub fn claim(&self, path: &str) -> Option<String> {
        let (result, mut needed) = (self.0.as_ptr(), 0);
        // SAFETY: the result is alive; no buffer is offered.
        let _ = unsafe { ffi::clerk_result_claim(result, text(path), ptr::null_mut(), 0, &mut needed) };
        let mut buffer = vec![0_u8; needed + 1];
        let start = buffer.as_mut_ptr().cast();
        // SAFETY: the buffer holds as many bytes as are said.
        let status = unsafe { ffi::clerk_result_claim(result, text(path), start, buffer.len(), ptr::null_mut()) };
        buffer.pop();
        (status == ffi::CLERK_OK).then(|| String::from_utf8(buffer).ok()).flatten()
    }
}

impl Drop for AuthResult {
    fn drop(&mut self) {
        // SAFETY: handed out by a verb, freed once.
        unsafe { ffi::clerk_result_free(self.0.as_ptr()) }
    }
}

/// The name of a status, such as `CLERK_SIGNED_OUT`.
pub fn status_name(status: i32) -> String {
    // SAFETY: the name is static.
    unsafe { word(ffi::clerk_status_name(status)) }
}

/// A text that is not there.
pub(crate) const NONE: ffi::clerk_str = ffi::clerk_str { data: ptr::null(), len: 0 };

pub(crate) fn text(text: &str) -> ffi::clerk_str {
    ffi::clerk_str { data: text.as_ptr().cast(), len: text.len() }
}

/// # Safety
/// The text is alive and, as the header says, UTF-8.
pub(crate) unsafe fn read(text: ffi::clerk_str) -> Option<String> {
    if text.data.is_null() {
        return None;
    }
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), text.len) };
    Some(String::from_utf8(bytes.to_vec()).expect("a text of the library is not UTF-8"))
}

/// # Safety
/// A static text with a NUL at its end.
pub(crate) unsafe fn word(text: *const c_char) -> String {
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Runs a call that may refuse, and takes its error along.
fn accepted(call: impl FnOnce(*mut *mut ffi::clerk_error) -> i32) -> Result<(), AuthError> {
    let mut error = ptr::null_mut();
    let status = call(&mut error);
    if status == ffi::CLERK_OK {
        return Ok(());
    }
    // SAFETY: NULL is fine for all three; otherwise the error is alive until it is freed, once.
    let (setting, message) = unsafe {
        let words = (read(ffi::clerk_error_setting(error)), read(ffi::clerk_error_message(error)));
        ffi::clerk_error_free(error);
        words
    };
    Err(AuthError { setting: setting.unwrap_or_default(), message: message.unwrap_or_else(|| status_name(status)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_setting() {
        let config = Config::new();
        assert_eq!(config.set_int("clock_skew_ms", -1).unwrap_err().setting, "clock_skew_ms");
        config.set("jwt_key", "no key").unwrap();
        assert_eq!(config.client().err().unwrap().setting, "jwt_key");
    }

    #[test]
    fn the_clock_is_given_back() {
        let clock = Clock::default();
        let config = Config::new();
        config.on_clock(&clock);
        assert_eq!(Arc::strong_count(&clock), 2);
        drop(config);
        assert_eq!(Arc::strong_count(&clock), 1);
    }
}
