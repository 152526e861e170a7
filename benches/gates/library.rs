//! The installed shared library, loaded at run time: what is measured is what a C program calls.

use std::ffi::{CStr, CString, c_void};
use std::ptr;

use clerk_auth::internals::ffi::{
    CLERK_OK, clerk_client, clerk_config, clerk_error, clerk_header, clerk_request, clerk_result, clerk_stats,
    clerk_store_request, clerk_store_response, clerk_str,
};

type Set = unsafe extern "C" fn(*mut clerk_config, clerk_str, clerk_str, *mut *mut clerk_error) -> i32;
type Authenticate = unsafe extern "C" fn(
    *const clerk_client,
    *const clerk_request,
    *mut *mut clerk_result,
    *mut *mut clerk_error,
) -> i32;
type Store = unsafe extern "C" fn(*mut c_void, *const clerk_store_request, *mut clerk_store_response) -> i32;
type SetStore = unsafe extern "C" fn(*mut clerk_config, Option<Store>, *mut c_void, *mut c_void) -> i32;

/// The functions that the benches call.
#[derive(Clone, Copy)]
pub struct Library {
    config_new: unsafe extern "C" fn() -> *mut clerk_config,
    config_free: unsafe extern "C" fn(*mut clerk_config),
    config_set: Set,
    config_set_user_store: SetStore,
    client_new: unsafe extern "C" fn(*const clerk_config, *mut *mut clerk_client, *mut *mut clerk_error) -> i32,
    client_free: unsafe extern "C" fn(*mut clerk_client),
    pub authenticate: Authenticate,
    pub authenticate_cached:
        unsafe extern "C" fn(*const clerk_client, *const clerk_request, *mut *mut clerk_result) -> i32,
    pub result_free: unsafe extern "C" fn(*mut clerk_result),
    error_message: unsafe extern "C" fn(*const clerk_error) -> clerk_str,
    pub request_kind: unsafe extern "C" fn(*const clerk_store_request) -> i32,
    pub set_username_taken: unsafe extern "C" fn(*mut clerk_store_response, i32) -> i32,
    pub set_created_key: unsafe extern "C" fn(*mut clerk_store_response, clerk_str) -> i32,
    client_stats: unsafe extern "C" fn(*const clerk_client, *mut clerk_stats) -> i32,
}

/// # Safety
/// `F` is the type of the function.
unsafe fn function<F: Copy>(handle: *mut c_void, name: &CStr) -> F {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: the handle is open, the name a C string.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    assert!(!address.is_null(), "{name:?} is not exported");
    // SAFETY: the caller's contract; a function pointer has the size of an address.
    unsafe { std::mem::transmute_copy(&address) }
}

/// Opens the library that an environment variable names.
fn open(variable: &str) -> *mut c_void {
    let path = std::env::var(variable).ok().and_then(|path| CString::new(path).ok()).unwrap_or_default();
    // SAFETY: the path is a C string.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!path.is_empty() && !handle.is_null(), "{variable}: {path:?} cannot be loaded: run the benches with make");
    handle
}

type Repeat = unsafe extern "C" fn(*const c_void, u64);

/// A token and its key in the library of benches/anchor: what every implementation needs.
pub struct Anchor {
    token: *const c_void,
    sha256: Repeat,
    rs256: Repeat,
    jsonwebtoken: Repeat,
}

impl Anchor {
    /// Loads the library that `CLERK_ANCHOR` names.
    pub fn load(pem: &str, token: &str) -> Anchor {
        type New = unsafe extern "C" fn(*const u8, usize, *const u8, usize) -> *const c_void;
        let handle = open("CLERK_ANCHOR");
        // SAFETY: the signatures are those of benches/anchor; the strings live during the call.
        let anchor = unsafe {
            let new: New = function(handle, c"anchor_new");
            Anchor {
                token: new(pem.as_ptr(), pem.len(), token.as_ptr(), token.len()),
                sha256: function(handle, c"anchor_sha256"),
                rs256: function(handle, c"anchor_rs256"),
                jsonwebtoken: function(handle, c"anchor_jsonwebtoken"),
            }
        };
        assert!(!anchor.token.is_null(), "the token is not valid");
        anchor
    }

    /// Hashes the token, so many times.
    pub fn sha256(&self, times: u64) {
        // SAFETY: the token is valid.
        unsafe { (self.sha256)(self.token, times) }
    }

    /// Verifies the signature, so many times.
    pub fn rs256(&self, times: u64) {
        // SAFETY: as above.
        unsafe { (self.rs256)(self.token, times) }
    }

    /// Verifies the token by `jsonwebtoken`, so many times.
    pub fn jsonwebtoken(&self, times: u64) {
        // SAFETY: as above.
        unsafe { (self.jsonwebtoken)(self.token, times) }
    }
}

impl Library {
    /// Loads the library that `CLERK_LIBRARY` names.
    pub fn load() -> Library {
        let handle = open("CLERK_LIBRARY");
        // SAFETY: the signatures are those of the header, which was generated from the same sources.
        unsafe {
            Library {
                config_new: function(handle, c"clerk_config_new"),
                config_free: function(handle, c"clerk_config_free"),
                config_set: function(handle, c"clerk_config_set"),
                config_set_user_store: function(handle, c"clerk_config_set_user_store"),
                client_new: function(handle, c"clerk_client_new"),
                client_free: function(handle, c"clerk_client_free"),
                authenticate: function(handle, c"clerk_authenticate"),
                authenticate_cached: function(handle, c"clerk_authenticate_cached"),
                result_free: function(handle, c"clerk_result_free"),
                error_message: function(handle, c"clerk_error_message"),
                request_kind: function(handle, c"clerk_store_request_get_kind"),
                set_username_taken: function(handle, c"clerk_store_response_set_username_taken"),
                set_created_key: function(handle, c"clerk_store_response_set_created_key"),
                client_stats: function(handle, c"clerk_client_stats"),
            }
        }
    }

    /// Creates a client with these settings, and a user store if one is given.
    pub fn client(self, settings: &[(&str, &str)], store: Option<Store>) -> Client {
        let (mut client, mut error) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: all pointers are valid; the config is freed once.
        unsafe {
            let config = (self.config_new)();
            for (name, value) in settings {
                let status = (self.config_set)(config, to_str(name), to_str(value), &mut error);
                assert_eq!(status, CLERK_OK, "{name}: {:?}", self.message(error));
            }
            if store.is_some() {
                let status = (self.config_set_user_store)(config, store, ptr::null_mut(), ptr::null_mut());
                assert_eq!(status, CLERK_OK);
            }
            let status = (self.client_new)(config, &mut client, &mut error);
            assert_eq!(status, CLERK_OK, "{:?}", self.message(error));
            (self.config_free)(config);
        }
        Client { library: self, client }
    }

    unsafe fn message(&self, error: *const clerk_error) -> &CStr {
        // SAFETY: the message lives as long as the error, which is not freed; a NUL follows it.
        unsafe { CStr::from_ptr((self.error_message)(error).data) }
    }
}

pub fn to_str(string: &str) -> clerk_str {
    clerk_str { data: string.as_ptr().cast(), len: string.len() }
}

/// A client of the shared library.
pub struct Client {
    library: Library,
    client: *mut clerk_client,
}

// SAFETY: any number of threads may use a client at once.
unsafe impl Sync for Client {}
// SAFETY: as above.
unsafe impl Send for Client {}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: freed once.
        unsafe { (self.library.client_free)(self.client) }
    }
}

impl Client {
    /// Runs what authenticates cached tokens. Panics unless each of them was cached.
    pub fn hits_only<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = self.stats();
        let result = work();
        let after = self.stats();
        let others =
            |stats: &clerk_stats| stats.cache_misses + stats.signed_out + stats.unavailable + stats.would_block;
        assert!(after.cache_hits > before.cache_hits, "no token was authenticated");
        assert_eq!(others(&after), others(&before), "a token was not cached");
        result
    }

    fn stats(&self) -> clerk_stats {
        let mut stats = clerk_stats { struct_size: size_of::<clerk_stats>() as u32, ..clerk_stats::default() };
        // SAFETY: client and stats are valid during the call.
        assert_eq!(unsafe { (self.library.client_stats)(self.client, &mut stats) }, CLERK_OK);
        stats
    }

    /// Authenticates from the cache, frees the result and returns the status.
    pub fn cached(&self, lines: &[clerk_header]) -> i32 {
        let (request, mut result) = (request(lines), ptr::null_mut());
        // SAFETY: client, request and result are valid during the calls.
        unsafe {
            let status = (self.library.authenticate_cached)(self.client, &request, &mut result);
            (self.library.result_free)(result);
            status
        }
    }

    /// Authenticates, frees the result and returns the status.
    pub fn blocking(&self, lines: &[clerk_header]) -> i32 {
        let (request, mut result) = (request(lines), ptr::null_mut());
        // SAFETY: client, request and result are valid during the calls.
        unsafe {
            let status = (self.library.authenticate)(self.client, &request, &mut result, ptr::null_mut());
            (self.library.result_free)(result);
            status
        }
    }
}

/// A request with these lines.
pub fn request(lines: &[clerk_header]) -> clerk_request {
    clerk_request {
        struct_size: size_of::<clerk_request>() as u32,
        headers: lines.as_ptr(),
        header_count: lines.len(),
        // SAFETY: zero bytes are null pointers and numbers.
        ..unsafe { std::mem::zeroed() }
    }
}
