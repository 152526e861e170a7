//! Safe wrappers around the C functions under test. Each wrapper frees the object that it owns.
//!
//! The functions are called through their exported signatures, as a C program calls them. Of the Rust crate only the
//! values of its enums are used.

#![allow(unsafe_code, reason = "calls the C ABI")]

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use clerk_auth::Attribute;
use clerk_auth::internals::ffi;

/// Unix time in milliseconds; advances only when it is set.
pub type Clock = Arc<AtomicI64>;

/// The error for an invalid setting or an invalid combination of settings.
#[derive(Clone, Debug)]
pub struct ConfigError {
    pub setting: String,
    pub message: String,
}

/// `clerk_config`
pub struct Config(pub(crate) NonNull<ffi::clerk_config>);

impl Config {
    pub fn new() -> Config {
        Config(NonNull::new(ffi::clerk_config_new()).expect("clerk_config_new returned NULL"))
    }

    pub fn set(&self, name: &str, value: &str) -> Result<(), ConfigError> {
        // SAFETY: the config is alive and used by this thread only; the strings live during the call.
        check(|error| unsafe { ffi::clerk_config_set(self.0.as_ptr(), to_clerk_str(name), to_clerk_str(value), error) })
    }

    pub fn set_int(&self, name: &str, value: i64) -> Result<(), ConfigError> {
        // SAFETY: as above.
        check(|error| unsafe { ffi::clerk_config_set_int(self.0.as_ptr(), to_clerk_str(name), value, error) })
    }

    pub fn add(&self, name: &str, item: &str) -> Result<(), ConfigError> {
        // SAFETY: as above.
        check(|error| unsafe { ffi::clerk_config_add(self.0.as_ptr(), to_clerk_str(name), to_clerk_str(item), error) })
    }

    /// Sets `clock` as the clock of the client.
    pub fn set_clock(&self, clock: &Clock) {
        let userdata = Arc::into_raw(clock.clone()).cast_mut().cast();
        // SAFETY: the config is alive; `drop_clock` releases the reference in `userdata`.
        let status = unsafe {
            ffi::clerk_config_set_clock_callback(self.0.as_ptr(), Some(read_clock), userdata, Some(drop_clock))
        };
        assert_eq!(status, ffi::CLERK_OK, "clerk_config_set_clock_callback");
    }

    /// Counts the `Set-Cookie` lines that are not passed on.
    pub fn count_dropped_lines(&self, counter: &Clock) {
        let userdata = Arc::into_raw(counter.clone()).cast_mut().cast();
        // SAFETY: the config is alive; `drop_clock` releases the reference in `userdata`.
        let status = unsafe {
            ffi::clerk_config_set_event_callback(self.0.as_ptr(), Some(add_dropped_lines), userdata, Some(drop_clock))
        };
        assert_eq!(status, ffi::CLERK_OK, "clerk_config_set_event_callback");
    }

    pub fn client(&self) -> Result<Client, ConfigError> {
        let mut client = ptr::null_mut();
        // SAFETY: the config is alive; both out parameters are writable.
        check(|error| unsafe { ffi::clerk_client_new(self.0.as_ptr(), &mut client, error) })?;
        Ok(Client(NonNull::new(client).expect("clerk_client_new returned CLERK_OK and NULL")))
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: made by `clerk_config_new`, freed once.
        unsafe { ffi::clerk_config_free(self.0.as_ptr()) }
    }
}

unsafe extern "C" fn read_clock(userdata: *mut c_void) -> i64 {
    // SAFETY: `set_clock` made it from an `AtomicI64` that lives until `drop_clock`.
    unsafe { &*userdata.cast::<AtomicI64>() }.load(Ordering::SeqCst)
}

unsafe extern "C" fn add_dropped_lines(userdata: *mut c_void, event: *const ffi::clerk_event) {
    // SAFETY: the event lives during the callback.
    let lines = unsafe { ffi::clerk_event_dropped_lines(event) };
    // SAFETY: `count_dropped_lines` made it from an `AtomicI64` that lives until `drop_clock`.
    unsafe { &*userdata.cast::<AtomicI64>() }.fetch_add(lines, Ordering::SeqCst);
}

unsafe extern "C" fn drop_clock(userdata: *mut c_void) {
    // SAFETY: `set_clock` made it with `Arc::into_raw`; called once.
    drop(unsafe { Arc::from_raw(userdata.cast_const().cast::<AtomicI64>()) });
}

/// `clerk_client`
pub struct Client(NonNull<ffi::clerk_client>);

/// The status, result and error of a call.
pub struct CallResult {
    pub status: i32,
    pub result: Option<AuthResult>,
    /// Message of the underlying error.
    pub error: Option<String>,
}

impl Client {
    /// Passes the header lines in their order, byte for byte.
    pub fn authenticate(&self, method: &str, headers: &[(String, String)]) -> CallResult {
        let lines: Vec<ffi::clerk_header> = headers
            .iter()
            .map(|(name, value)| ffi::clerk_header { name: to_clerk_str(name), value: to_clerk_str(value) })
            .collect();
        let request = ffi::clerk_request {
            struct_size: size_of::<ffi::clerk_request>() as u32,
            flags: 0,
            headers: lines.as_ptr(),
            header_count: lines.len(),
            authorization: NONE,
            cookie: NONE,
            method: to_clerk_str(method),
            host: NONE,
            origin: NONE,
            sec_fetch_site: NONE,
            scheme: NONE,
            target: NONE,
            accept: NONE,
            sec_fetch_dest: NONE,
            referer: NONE,
            mark: 0,
        };
        // SAFETY: the client is alive; the request and all it points to live during the call.
        self.call(|client, result, error| unsafe { ffi::clerk_authenticate(client, &request, result, error) })
    }

    /// Does the same for a request that may be redirected. `host` is empty if the header lines have it.
    pub fn authenticate_page(
        &self,
        method: &str,
        [scheme, host, target]: [&str; 3],
        headers: &[(String, String)],
    ) -> CallResult {
        let lines: Vec<ffi::clerk_header> = headers
            .iter()
            .map(|(name, value)| ffi::clerk_header { name: to_clerk_str(name), value: to_clerk_str(value) })
            .collect();
        let request = ffi::clerk_request {
            struct_size: size_of::<ffi::clerk_request>() as u32,
            flags: 0,
            headers: lines.as_ptr(),
            header_count: lines.len(),
            authorization: NONE,
            cookie: NONE,
            method: to_clerk_str(method),
            host: to_clerk_str(host),
            origin: NONE,
            sec_fetch_site: NONE,
            scheme: to_clerk_str(scheme),
            target: to_clerk_str(target),
            accept: NONE,
            sec_fetch_dest: NONE,
            referer: NONE,
            mark: 0,
        };
        // SAFETY: the client is alive; the request and all it points to live during the call.
        self.call(|client, result, error| unsafe { ffi::clerk_authenticate(client, &request, result, error) })
    }

    pub fn verify_token(&self, token: &str) -> CallResult {
        // SAFETY: the client is alive; the string lives during the call.
        self.call(|client, result, error| unsafe {
            ffi::clerk_verify_token(client, to_clerk_str(token), result, error)
        })
    }

    fn call(
        &self,
        function: impl FnOnce(*const ffi::clerk_client, *mut *mut ffi::clerk_result, *mut *mut ffi::clerk_error) -> i32,
    ) -> CallResult {
        let (mut result, mut error) = (ptr::null_mut(), ptr::null_mut());
        let status = function(self.0.as_ptr(), &mut result, &mut error);
        // SAFETY: NULL or returned by the call; freed once.
        let error = unsafe {
            let message = from_clerk_str(ffi::clerk_error_message(error));
            ffi::clerk_error_free(error);
            message
        };
        CallResult { status, result: NonNull::new(result).map(AuthResult), error }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: made by `clerk_client_new`; its only reference is released once.
        unsafe { ffi::clerk_client_free(self.0.as_ptr()) }
    }
}

/// `clerk_result`
pub struct AuthResult(pub(crate) NonNull<ffi::clerk_result>);

impl AuthResult {
    /// Returns the name of the reason, or `None` for a signed-in result.
    pub fn reason(&self) -> Option<String> {
        // SAFETY: the result is alive; the name is static.
        Some(unsafe { from_c_str(ffi::clerk_result_reason_name(self.0.as_ptr())) }).filter(|name| !name.is_empty())
    }

    pub fn get(&self, attribute: Attribute) -> Option<String> {
        // SAFETY: the result is alive, and so are its strings.
        unsafe { from_clerk_str(ffi::clerk_result_get(self.0.as_ptr(), attribute as i32)) }
    }

    /// Returns the user id; tokens of machines and organizations have none.
    pub fn user_id(&self) -> Option<String> {
        // SAFETY: as above.
        unsafe { from_clerk_str(ffi::clerk_result_user_id(self.0.as_ptr())) }
    }

    /// Returns where to redirect the browser.
    pub fn redirect(&self) -> Option<String> {
        let mut url = NONE;
        // SAFETY: the result is alive, the string is writable.
        let status = unsafe { ffi::clerk_result_redirect(self.0.as_ptr(), &mut url) };
        // SAFETY: the result is alive.
        (status == ffi::CLERK_OK).then(|| unsafe { from_clerk_str(url) }).flatten()
    }

    /// Returns the `Set-Cookie` lines.
    pub fn set_cookies(&self) -> Vec<String> {
        // SAFETY: the result is alive.
        let count = unsafe { ffi::clerk_result_set_cookie_count(self.0.as_ptr()) };
        let line = |index| {
            let mut line = NONE;
            // SAFETY: the result is alive, the string is writable.
            let status = unsafe { ffi::clerk_result_set_cookie(self.0.as_ptr(), index, &mut line) };
            assert_eq!(status, ffi::CLERK_OK, "clerk_result_set_cookie");
            // SAFETY: the result is alive.
            unsafe { from_clerk_str(line) }.unwrap_or_default()
        };
        (0..count).map(line).collect()
    }

    /// Returns the value of `Cache-Control`.
    pub fn cache_control(&self) -> Option<String> {
        let mut value = NONE;
        // SAFETY: the result is alive, the string is writable.
        let status = unsafe { ffi::clerk_result_cache_control(self.0.as_ptr(), &mut value) };
        // SAFETY: the string is static.
        (status == ffi::CLERK_OK).then(|| unsafe { from_clerk_str(value) }).flatten()
    }

    /// Returns a `clerk_token_kind`, or 0.
    pub fn token_kind(&self) -> i32 {
        // SAFETY: the result is alive.
        unsafe { ffi::clerk_result_token_kind(self.0.as_ptr()) }
    }

    pub fn factor_verification_age(&self) -> Option<[i64; 2]> {
        let [mut first, mut second] = [0; 2];
        // SAFETY: the result is alive, both numbers are writable.
        let present = unsafe { ffi::clerk_result_factor_verification_age(self.0.as_ptr(), &mut first, &mut second) };
        (present == 1).then_some([first, second])
    }

    /// Returns one claim as JSON.
    pub fn claim(&self, path: &str) -> Option<String> {
        let (result, mut needed) = (self.0.as_ptr(), 0);
        // SAFETY: the result is alive; no buffer is passed.
        let _ = unsafe { ffi::clerk_result_claim(result, to_clerk_str(path), ptr::null_mut(), 0, &mut needed) };
        let mut buffer = vec![0_u8; needed + 1];
        let start = buffer.as_mut_ptr().cast();
        // SAFETY: the buffer has the given length.
        let status =
            unsafe { ffi::clerk_result_claim(result, to_clerk_str(path), start, buffer.len(), ptr::null_mut()) };
        buffer.pop();
        (status == ffi::CLERK_OK).then(|| String::from_utf8(buffer).ok()).flatten()
    }
}

impl Drop for AuthResult {
    fn drop(&mut self) {
        // SAFETY: returned by a function of the library, freed once.
        unsafe { ffi::clerk_result_free(self.0.as_ptr()) }
    }
}

/// Returns the name of a status, such as `CLERK_SIGNED_OUT`.
pub fn status_name(status: i32) -> String {
    // SAFETY: the name is static.
    unsafe { from_c_str(ffi::clerk_status_name(status)) }
}

/// An absent string.
pub(crate) const NONE: ffi::clerk_str = ffi::clerk_str { data: ptr::null(), len: 0 };

pub(crate) fn to_clerk_str(string: &str) -> ffi::clerk_str {
    ffi::clerk_str { data: string.as_ptr().cast(), len: string.len() }
}

/// Copies a string; `None` if it is absent.
///
/// # Safety
/// The string is alive.
pub(crate) unsafe fn from_clerk_str(string: ffi::clerk_str) -> Option<String> {
    if string.data.is_null() {
        return None;
    }
    // SAFETY: same contract as the caller.
    let bytes = unsafe { std::slice::from_raw_parts(string.data.cast::<u8>(), string.len) };
    Some(String::from_utf8(bytes.to_vec()).expect("the library returned a string that is not UTF-8"))
}

/// Copies a C string.
///
/// # Safety
/// `string` is a static string that ends with NUL.
pub(crate) unsafe fn from_c_str(string: *const c_char) -> String {
    // SAFETY: same contract as the caller.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// Calls a function that takes an error out parameter and converts its status and error.
fn check(function: impl FnOnce(*mut *mut ffi::clerk_error) -> i32) -> Result<(), ConfigError> {
    let mut error = ptr::null_mut();
    let status = function(&mut error);
    if status == ffi::CLERK_OK {
        return Ok(());
    }
    // SAFETY: NULL is valid for all three; otherwise the error is alive until it is freed, once.
    let (setting, message) = unsafe {
        let strings =
            (from_clerk_str(ffi::clerk_error_setting(error)), from_clerk_str(ffi::clerk_error_message(error)));
        ffi::clerk_error_free(error);
        strings
    };
    Err(ConfigError { setting: setting.unwrap_or_default(), message: message.unwrap_or_else(|| status_name(status)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_error_names_the_setting() {
        let config = Config::new();
        assert_eq!(config.set_int("clock_skew_ms", -1).unwrap_err().setting, "clock_skew_ms");
        config.set("jwt_key", "no key").unwrap();
        assert_eq!(config.client().err().unwrap().setting, "jwt_key");
    }

    #[test]
    fn config_free_releases_the_clock() {
        let clock = Clock::default();
        let config = Config::new();
        config.set_clock(&clock);
        assert_eq!(Arc::strong_count(&clock), 2);
        drop(config);
        assert_eq!(Arc::strong_count(&clock), 1);
    }
}
