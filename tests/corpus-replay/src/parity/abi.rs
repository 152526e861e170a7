//! The C functions that a host with a user table of its own calls, behind owners that free what they hold. All that is
//! unsafe of this folder is here.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use clerk_auth::ffi;

use crate::capi::Clock;

/// Answers a step: fills the reply and returns what a user store hook returns.
pub type StoreHook = Box<dyn Fn(&Step, &mut Reply) -> i32 + Send + Sync>;
/// Is told of each event.
pub type EventHook = Box<dyn Fn(Event) + Send + Sync>;

/// `clerk_config`
pub struct Config(NonNull<ffi::clerk_config>);

/// The library's words against a setting.
pub type Judged = Result<(), Refusal>;

/// A configuration that the library does not take.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub setting: String,
    pub message: String,
}

impl Config {
    pub fn new() -> Config {
        Config(NonNull::new(ffi::clerk_config_new()).expect("clerk_config_new gives NULL"))
    }

    pub fn set(&self, name: &str, value: &str) -> Judged {
        // SAFETY: the config is alive and this thread's own; the texts live during the call.
        judged(|error| unsafe { ffi::clerk_config_set(self.0.as_ptr(), text(name), text(value), error) })
    }

    pub fn set_int(&self, name: &str, value: i64) -> Judged {
        // SAFETY: as above.
        judged(|error| unsafe { ffi::clerk_config_set_int(self.0.as_ptr(), text(name), value, error) })
    }

    pub fn add(&self, name: &str, item: &str) -> Judged {
        // SAFETY: as above.
        judged(|error| unsafe { ffi::clerk_config_add(self.0.as_ptr(), text(name), text(item), error) })
    }

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
        let status = unsafe { ffi::clerk_config_on_user_store(self.0.as_ptr(), Some(ask), userdata, forget) };
        named(status, "clerk_config_on_user_store")
    }

    pub fn on_event(&self, hook: EventHook) -> Judged {
        let (userdata, forget) = (Box::into_raw(Box::new(hook)).cast(), Some(forget::<EventHook> as _));
        // SAFETY: as above.
        let status = unsafe { ffi::clerk_config_on_event(self.0.as_ptr(), Some(tell), userdata, forget) };
        named(status, "clerk_config_on_event")
    }

    pub fn on_clock(&self, clock: &Clock) -> Judged {
        let (userdata, forget) = (Box::into_raw(Box::new(clock.clone())).cast(), Some(forget::<Clock> as _));
        // SAFETY: as above.
        let status = unsafe { ffi::clerk_config_on_clock(self.0.as_ptr(), Some(read_clock), userdata, forget) };
        named(status, "clerk_config_on_clock")
    }

    pub fn client(&self) -> Result<Client, Refusal> {
        let mut client = ptr::null_mut();
        // SAFETY: the config is alive; both out parameters are writable.
        judged(|error| unsafe { ffi::clerk_client_new(self.0.as_ptr(), &mut client, error) })?;
        Ok(Client(NonNull::new(client).expect("clerk_client_new gives CLERK_OK and NULL")))
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: made by `clerk_config_new`, freed once.
        unsafe { ffi::clerk_config_free(self.0.as_ptr()) }
    }
}

unsafe extern "C" fn forget<T>(userdata: *mut c_void) {
    // SAFETY: made with `Box::into_raw` of this very type; called once.
    drop(unsafe { Box::from_raw(userdata.cast::<T>()) });
}

unsafe extern "C" fn read_clock(userdata: *mut c_void) -> i64 {
    // SAFETY: `on_clock` made it; it lives until `forget`.
    unsafe { &*userdata.cast::<Clock>() }.load(Ordering::SeqCst)
}

unsafe extern "C" fn ask(userdata: *mut c_void, step: *const ffi::clerk_step, reply: *mut ffi::clerk_reply) -> i32 {
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
            reason: CStr::from_ptr(ffi::clerk_reason_word(ffi::clerk_event_reason(event))).to_str().unwrap_or("?"),
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

fn source(number: i32) -> Option<&'static str> {
    match number {
        1 => Some("cache"),
        2 => Some("api"),
        _ => None,
    }
}

/// `clerk_step`, during the hook's call
pub struct Step(*const ffi::clerk_step);

impl Step {
    /// A `clerk_step_kind`.
    pub fn kind(&self) -> i32 {
        // SAFETY: the step is alive, here and below.
        unsafe { ffi::clerk_step_get_kind(self.0) }
    }

    pub fn text(&self) -> Option<String> {
        // SAFETY: as above.
        unsafe { read(ffi::clerk_step_text(self.0)) }
    }

    pub fn key(&self) -> Option<String> {
        // SAFETY: as above.
        unsafe { read(ffi::clerk_step_key(self.0)) }
    }

    /// What a text column is to be; the outer `None`: as it is.
    pub fn text_column(&self, column: ffi::clerk_column) -> Option<Option<String>> {
        let mut value = NONE;
        // SAFETY: as above; the value is writable.
        unsafe { (ffi::clerk_step_text_column(self.0, column as i32, &mut value) == 1).then(|| read(value)) }
    }

    /// What a number column is to be; the outer `None`: as it is.
    pub fn int_column(&self, column: ffi::clerk_column) -> Option<Option<i64>> {
        let mut value = 0;
        // SAFETY: as above.
        match unsafe { ffi::clerk_step_int_column(self.0, column as i32, &mut value) } {
            1 => Some(Some(value)),
            2 => Some(None),
            _ => None,
        }
    }
}

/// `clerk_reply`, during the hook's call. A setter that is refused breaks the reply, which the library notices by itself.
pub struct Reply(*mut ffi::clerk_reply);

impl Reply {
    pub fn row(&mut self, key: &str) {
        // SAFETY: the reply is alive and nobody else's, here and below; the texts live during the calls.
        unsafe { ffi::clerk_reply_row(self.0, text(key)) };
    }

    pub fn text_column(&mut self, column: ffi::clerk_column, value: Option<&str>) {
        // SAFETY: as above.
        unsafe { ffi::clerk_reply_text_column(self.0, column as i32, value.map_or(NONE, text)) };
    }

    pub fn int_column(&mut self, column: ffi::clerk_column, value: i64) {
        // SAFETY: as above.
        unsafe { ffi::clerk_reply_int_column(self.0, column as i32, value) };
    }

    pub fn taken(&mut self, taken: bool) {
        // SAFETY: as above.
        unsafe { ffi::clerk_reply_taken(self.0, taken.into()) };
    }

    pub fn created(&mut self, key: &str) {
        // SAFETY: as above.
        unsafe { ffi::clerk_reply_created(self.0, text(key)) };
    }

    pub fn error(&mut self, message: &str) {
        // SAFETY: as above.
        unsafe { ffi::clerk_reply_error(self.0, text(message)) };
    }
}

/// `clerk_client`
pub struct Client(NonNull<ffi::clerk_client>);

/// `clerk_result`, copied, and the status that came with it
#[derive(Clone, Debug, Default)]
pub struct Answer {
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

impl Client {
    pub fn authenticate(&self, method: &str, headers: &[(String, String)]) -> Answer {
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
        let (mut result, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the client is alive; the request lives during the call. Result and error are NULL or alive until they
        // are freed, once; all functions take NULL.
        unsafe {
            let status = ffi::clerk_authenticate(self.0.as_ptr(), &request, &mut result, &mut error);
            let answer = Answer {
                status,
                reason: CStr::from_ptr(ffi::clerk_result_reason_word(result)).to_string_lossy().into_owned(),
                source: source(ffi::clerk_result_source(result)),
                user_key: read(ffi::clerk_result_user_key(result)),
                http_status: ffi::clerk_result_http_status(result),
                challenge: challenge(result),
                error: read(ffi::clerk_error_message(error)),
            };
            ffi::clerk_result_free(result);
            ffi::clerk_error_free(error);
            answer
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: made by `clerk_client_new`, its one reference given up once.
        unsafe { ffi::clerk_client_free(self.0.as_ptr()) }
    }
}

/// # Safety
/// NULL or a live result.
unsafe fn challenge(result: *const ffi::clerk_result) -> Option<String> {
    let (mut buffer, mut needed) = ([0_u8; 512], 0);
    let start = buffer.as_mut_ptr().cast();
    // SAFETY: the caller vouches for the result; the buffer holds as many bytes as are said.
    let status = unsafe { ffi::clerk_result_challenge(result, text(""), start, buffer.len(), &mut needed) };
    (status == ffi::CLERK_OK).then(|| String::from_utf8_lossy(&buffer[..needed]).into_owned())
}

const NONE: ffi::clerk_str = ffi::clerk_str { data: ptr::null(), len: 0 };

fn text(text: &str) -> ffi::clerk_str {
    ffi::clerk_str { data: text.as_ptr().cast(), len: text.len() }
}

/// # Safety
/// The text is alive.
unsafe fn read(text: ffi::clerk_str) -> Option<String> {
    if text.data.is_null() {
        return None;
    }
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), text.len) };
    Some(String::from_utf8(bytes.to_vec()).expect("a text of the library is not UTF-8"))
}

fn named(status: i32, function: &str) -> Judged {
    match status {
        ffi::CLERK_OK => Ok(()),
        _ => Err(Refusal { setting: function.into(), message: crate::capi::status_name(status) }),
    }
}

fn judged(call: impl FnOnce(*mut *mut ffi::clerk_error) -> i32) -> Judged {
    let mut error = ptr::null_mut();
    let status = call(&mut error);
    // SAFETY: NULL is fine for all three; otherwise the error is alive until it is freed, once.
    let (setting, message) = unsafe {
        let words = (read(ffi::clerk_error_setting(error)), read(ffi::clerk_error_message(error)));
        ffi::clerk_error_free(error);
        words
    };
    named(status, &setting.unwrap_or_default())
        .map_err(|refusal| Refusal { message: message.unwrap_or(refusal.message), ..refusal })
}
