//! The engine of the shared cache as functions of the application.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use super::callback::clerk_destroy_fn;
use super::{
    CLERK_E_ARGUMENT, CLERK_E_NULL, CLERK_E_PANIC, CLERK_E_STRUCT_SIZE, as_mut, clerk_config, clerk_str, guard, status,
};
use crate::clock::Deadline;
use crate::shared_cache::{Engine, EngineError, MAX_ID_LEN, MAX_VALUE_LEN, StreamRead};

/// What a function of a `clerk_shared_cache` returns. Any other number means that the operation failed.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum clerk_cache_status {
    /// The operation was executed.
    OK = 0,
    /// There is no such value, no entry yet, or with `only_if_absent` a value exists already.
    NONE = 1,
    /// Only of `read`: entries after the given one were dropped.
    GAP = 2,
}

/// A place for bytes that a function of a `clerk_shared_cache` returns.
#[repr(C)]
pub struct clerk_buffer {
    /// Where the bytes are to be copied.
    pub data: *mut c_char,
    /// How many bytes there is room for.
    pub capacity: usize,
    /// How many bytes the function has copied.
    pub len: usize,
}

/// The functions of an engine that several processes share, such as memcached or the shared memory of a web server.
/// Initialize with `CLERK_SHARED_CACHE_INIT`.
///
/// Keys are printable ASCII of at most 96 bytes, values any bytes up to 64 KiB. Values are sealed: the engine can
/// neither read nor change them. Each function returns a `clerk_cache_status`, and should return within its timeout.
/// They run on the thread of the call that needs them, or of the poller, several at once, with no lock held; they must
/// not call functions of the client. Strings are valid only during the call.
#[repr(C)]
pub struct clerk_shared_cache {
    /// `sizeof(clerk_shared_cache)`, set by `CLERK_SHARED_CACHE_INIT`.
    pub struct_size: u32,
    /// Always 0.
    pub reserved: u32,
    /// Passed to each function.
    pub userdata: *mut c_void,
    /// Frees `userdata`; may be NULL.
    pub destroy: clerk_destroy_fn,
    /// Copies a value. `NONE` if there is none.
    pub get: Option<
        unsafe extern "C" fn(userdata: *mut c_void, key: clerk_str, value: *mut clerk_buffer, timeout_ms: i64) -> i32,
    >,
    /// Stores a value for `ttl_ms`. If `only_if_absent` is 1 and the key has a value, it stays: `NONE`. That must be
    /// atomic between processes.
    pub set: Option<
        unsafe extern "C" fn(
            userdata: *mut c_void,
            key: clerk_str,
            value: clerk_str,
            ttl_ms: i64,
            only_if_absent: i32,
            timeout_ms: i64,
        ) -> i32,
    >,
    /// Removes a value, if there is one.
    pub remove: Option<unsafe extern "C" fn(userdata: *mut c_void, key: clerk_str, timeout_ms: i64) -> i32>,
    /// Appends an entry to a stream and copies its id, at most 64 printable bytes. A stream keeps at least its newest
    /// 10 000 entries. `append` and `read` may both be NULL: then changes reach other processes only when they look up
    /// a value.
    pub append: Option<
        unsafe extern "C" fn(
            userdata: *mut c_void,
            stream: clerk_str,
            value: clerk_str,
            id: *mut clerk_buffer,
            timeout_ms: i64,
        ) -> i32,
    >,
    /// Copies id and value of the first entry after the one with the id `after`, for which it waits at most `wait_ms`;
    /// `NONE` if there is none, `GAP` if the entry `after` does not exist any more, even if it was removed meanwhile.
    /// With an empty `after`, copies the id of the newest entry, without waiting.
    pub read: Option<
        unsafe extern "C" fn(
            userdata: *mut c_void,
            stream: clerk_str,
            after: clerk_str,
            id: *mut clerk_buffer,
            value: *mut clerk_buffer,
            wait_ms: i64,
        ) -> i32,
    >,
}

/// How many entries one read returns at most.
const MAX_READ: usize = 500;
const OK: i32 = clerk_cache_status::OK as i32;
const NONE: i32 = clerk_cache_status::NONE as i32;
const GAP: i32 = clerk_cache_status::GAP as i32;

thread_local! {
    /// Whether a function of an engine is running on this thread.
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// The application's functions, and their userdata until no client uses it.
struct CallbackEngine(clerk_shared_cache);

// SAFETY: the header requires that the functions can be called from any thread, and from several at once.
unsafe impl Send for CallbackEngine {}
// SAFETY: as above.
unsafe impl Sync for CallbackEngine {}

impl Drop for CallbackEngine {
    fn drop(&mut self) {
        if let Some(destroy) = self.0.destroy {
            // SAFETY: the application's own function with its own pointer.
            unsafe { destroy(self.0.userdata) };
        }
    }
}

fn view(bytes: &[u8]) -> clerk_str {
    clerk_str { data: bytes.as_ptr().cast(), len: bytes.len() }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Returns the milliseconds that are left of an operation, which may need several calls.
fn left_ms(deadline: Deadline) -> Result<i64, EngineError> {
    match deadline.remaining() {
        left if left.is_zero() => Err(EngineError::Unavailable("the application's engine took too long".into())),
        left => Ok(milliseconds(left).max(1)),
    }
}

fn failed(code: i32) -> EngineError {
    EngineError::Unavailable(format!("the application's engine returned {code}"))
}

/// Runs a function of the engine, which must not use the shared cache itself.
fn run(function: impl FnOnce() -> i32) -> Result<i32, EngineError> {
    if IS_RUNNING.replace(true) {
        return Err(EngineError::Busy);
    }
    let code = function();
    IS_RUNNING.set(false);
    Ok(code)
}

/// A buffer that a function fills.
struct Filled(Vec<u8>);

impl Filled {
    fn new(capacity: usize) -> Self {
        Filled(vec![0; capacity])
    }

    fn buffer(&mut self) -> clerk_buffer {
        clerk_buffer { data: self.0.as_mut_ptr().cast(), capacity: self.0.len(), len: 0 }
    }

    /// Returns the bytes that were copied; none if there is no room for them: a value of that length was not stored by this library.
    fn take(mut self, len: usize) -> Vec<u8> {
        self.0.truncate(if len > self.0.len() { 0 } else { len });
        // Hundreds of them may be read at once.
        self.0.shrink_to_fit();
        self.0
    }

    fn take_id(self, len: usize) -> Result<String, EngineError> {
        let is_id = |id: &String| !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic());
        let id = String::from_utf8(self.take(len)).ok().filter(is_id);
        id.ok_or_else(|| EngineError::Unavailable("the application's engine returned an invalid id".into()))
    }
}

impl CallbackEngine {
    /// Reads one entry; `None` if there is none.
    fn read_one(
        &self,
        stream: &str,
        after: &str,
        wait: Duration,
    ) -> Result<Result<(String, Vec<u8>), i32>, EngineError> {
        let read = self.0.read.ok_or(EngineError::Unsupported)?;
        let (mut id, mut value) = (Filled::new(MAX_ID_LEN), Filled::new(MAX_VALUE_LEN));
        let (mut id_buffer, mut value_buffer) = (id.buffer(), value.buffer());
        let (stream, after) = (view(stream.as_bytes()), view(after.as_bytes()));
        // SAFETY: the application's own function; all arguments live until it returns.
        let code = run(|| unsafe {
            read(self.0.userdata, stream, after, &mut id_buffer, &mut value_buffer, milliseconds(wait))
        })?;
        match code {
            OK => Ok(Ok((id.take_id(id_buffer.len)?, value.take(value_buffer.len)))),
            NONE | GAP => Ok(Err(code)),
            code => Err(failed(code)),
        }
    }
}

impl Engine for CallbackEngine {
    fn get(&self, keys: &[String], timeout: Duration) -> Result<Vec<Option<Vec<u8>>>, EngineError> {
        let get = self.0.get.ok_or(EngineError::Unsupported)?;
        let deadline = Deadline::after(timeout);
        let one = |key: &String| {
            let mut value = Filled::new(MAX_VALUE_LEN);
            let (mut buffer, key, left_ms) = (value.buffer(), view(key.as_bytes()), left_ms(deadline)?);
            // SAFETY: the application's own function; all arguments live until it returns.
            let code = run(|| unsafe { get(self.0.userdata, key, &mut buffer, left_ms) })?;
            match code {
                OK => Ok(Some(value.take(buffer.len))),
                NONE => Ok(None),
                code => Err(failed(code)),
            }
        };
        keys.iter().map(one).collect()
    }

    fn set(
        &self,
        key: &str,
        value: &[u8],
        ttl: Duration,
        only_if_absent: bool,
        timeout: Duration,
    ) -> Result<bool, EngineError> {
        let set = self.0.set.ok_or(EngineError::Unsupported)?;
        let (key, value, timeout_ms) = (view(key.as_bytes()), view(value), milliseconds(timeout));
        // SAFETY: the application's own function; all arguments live until it returns.
        let code = run(|| unsafe {
            set(self.0.userdata, key, value, milliseconds(ttl).max(1), i32::from(only_if_absent), timeout_ms)
        })?;
        match code {
            OK => Ok(true),
            NONE if only_if_absent => Ok(false),
            code => Err(failed(code)),
        }
    }

    fn delete(&self, keys: &[String], timeout: Duration) -> Result<(), EngineError> {
        let remove = self.0.remove.ok_or(EngineError::Unsupported)?;
        let deadline = Deadline::after(timeout);
        let one = |key: &String| {
            let (key, left_ms) = (view(key.as_bytes()), left_ms(deadline)?);
            // SAFETY: the application's own function; all arguments live until it returns.
            let code = run(|| unsafe { remove(self.0.userdata, key, left_ms) })?;
            if code == OK || code == NONE { Ok(()) } else { Err(failed(code)) }
        };
        keys.iter().try_for_each(one)
    }

    fn append(&self, stream: &str, value: &[u8], timeout: Duration) -> Result<String, EngineError> {
        let append = self.0.append.ok_or(EngineError::Unsupported)?;
        let mut id = Filled::new(MAX_ID_LEN);
        let mut buffer = id.buffer();
        let (stream, value) = (view(stream.as_bytes()), view(value));
        // SAFETY: the application's own function; all arguments live until it returns.
        let code = run(|| unsafe { append(self.0.userdata, stream, value, &mut buffer, milliseconds(timeout)) })?;
        if code == OK { id.take_id(buffer.len) } else { Err(failed(code)) }
    }

    fn read(&self, stream: &str, after: &str, wait: Duration, timeout: Duration) -> Result<StreamRead, EngineError> {
        let deadline = Deadline::after(wait + timeout);
        let mut read = StreamRead { last_id: after.to_owned(), ..StreamRead::default() };
        // What is left is read next time.
        while read.entries.is_empty() || (read.entries.len() < MAX_READ && !deadline.remaining().is_zero()) {
            let wait = if read.entries.is_empty() && !after.is_empty() { wait } else { Duration::ZERO };
            match self.read_one(stream, &read.last_id, wait)? {
                Ok((id, _)) if after.is_empty() => {
                    read.last_id = id;
                    return Ok(read);
                }
                Ok((id, value)) => {
                    read.last_id.clone_from(&id);
                    read.entries.push((id, value));
                }
                Err(code) => {
                    read.has_gap = code == GAP;
                    break;
                }
            }
        }
        Ok(read)
    }
}

/// Sets the engine of the shared cache, instead of the setting `shared_cache`. NULL removes it.
///
/// The config takes ownership of `engine->userdata`, also when the call fails, except with `CLERK_E_STRUCT_SIZE`:
/// `engine->destroy` frees it. The structure itself is copied.
///
/// Returns `CLERK_OK` or a negative status: `CLERK_E_STRUCT_SIZE` if `*engine` was not initialized with
/// `CLERK_SHARED_CACHE_INIT`; `CLERK_E_NULL` if `get`, `set` or `remove` is NULL; `CLERK_E_ARGUMENT` if only one of
/// `append` and `read` is. One thread at a time.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_config_set_shared_cache(
    config: *mut clerk_config,
    engine: *const clerk_shared_cache,
) -> i32 {
    guard(CLERK_E_PANIC, || {
        // SAFETY: the header's contract.
        let engine = match unsafe { read_engine(engine) } {
            Ok(engine) => engine,
            Err(code) => return code,
        };
        // Made at once, so that userdata is destroyed in any case.
        let engine = engine.map(CallbackEngine);
        if let Some(CallbackEngine(functions)) = &engine {
            if functions.get.is_none() || functions.set.is_none() || functions.remove.is_none() {
                return CLERK_E_NULL;
            }
            if functions.append.is_some() != functions.read.is_some() {
                return CLERK_E_ARGUMENT;
            }
        }
        // SAFETY: the header's contract.
        status(unsafe { as_mut(config) }.map(|config| config.engine = engine.map(|engine| Arc::new(engine) as _)))
    })
}

/// Copies the application's structure.
///
/// # Safety
/// `engine` is NULL or readable up to its `struct_size`.
unsafe fn read_engine(engine: *const clerk_shared_cache) -> Result<Option<clerk_shared_cache>, i32> {
    if engine.is_null() {
        return Ok(None);
    }
    // SAFETY: every version of the structure begins with its size.
    let given = unsafe { engine.cast::<u32>().read() };
    if given as usize != size_of::<clerk_shared_cache>() {
        return Err(CLERK_E_STRUCT_SIZE);
    }
    // SAFETY: the caller's contract.
    Ok(Some(unsafe { engine.read() }))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    use super::*;

    /// An engine of which each function takes some time.
    #[derive(Default)]
    struct Slow {
        takes_ms: AtomicU64,
        timeouts_ms: Mutex<Vec<i64>>,
    }

    impl Slow {
        /// # Safety
        /// `userdata` is a `Slow`.
        unsafe fn call(userdata: *mut c_void, timeout_ms: i64) {
            // SAFETY: the caller's contract.
            let slow = unsafe { &*userdata.cast::<Slow>() };
            slow.timeouts_ms.lock().unwrap().push(timeout_ms);
            std::thread::sleep(Duration::from_millis(slow.takes_ms.load(Ordering::Relaxed)));
        }

        fn engine(&self) -> CallbackEngine {
            CallbackEngine(clerk_shared_cache {
                struct_size: 0,
                reserved: 0,
                userdata: std::ptr::from_ref(self).cast_mut().cast(),
                destroy: None,
                get: Some(get),
                set: None,
                remove: Some(remove),
                append: None,
                read: Some(read),
            })
        }

        fn timeouts_ms(&self) -> Vec<i64> {
            std::mem::take(&mut *self.timeouts_ms.lock().unwrap())
        }
    }

    unsafe extern "C" fn get(userdata: *mut c_void, _: clerk_str, _: *mut clerk_buffer, timeout_ms: i64) -> i32 {
        // SAFETY: as made by `Slow::engine`.
        unsafe { Slow::call(userdata, timeout_ms) };
        NONE
    }

    unsafe extern "C" fn remove(userdata: *mut c_void, _: clerk_str, timeout_ms: i64) -> i32 {
        // SAFETY: as made by `Slow::engine`.
        unsafe { Slow::call(userdata, timeout_ms) };
        OK
    }

    /// There is always a next entry, of one byte.
    unsafe extern "C" fn read(
        userdata: *mut c_void,
        _: clerk_str,
        _: clerk_str,
        id: *mut clerk_buffer,
        value: *mut clerk_buffer,
        _: i64,
    ) -> i32 {
        // SAFETY: as made by `Slow::engine`; both buffers have room for a byte.
        unsafe {
            Slow::call(userdata, i64::MAX);
            (*id).data.write(b'1' as c_char);
            (*id).len = 1;
            (*value).data.write(0);
            (*value).len = 1;
        }
        OK
    }

    const TIMEOUT: Duration = Duration::from_millis(200);

    #[test]
    fn operation_on_several_keys_has_one_timeout() {
        let (slow, keys) = (Slow::default(), ["a", "b", "c", "d"].map(str::to_owned));
        let engine = slow.engine();
        assert_eq!(engine.get(&keys, TIMEOUT), Ok(vec![None; 4]));
        assert_eq!(slow.timeouts_ms().len(), 4);
        slow.takes_ms.store(80, Ordering::Relaxed);
        for is_get in [true, false] {
            let begun = Instant::now();
            let outcome = if is_get { engine.get(&keys, TIMEOUT).map(drop) } else { engine.delete(&keys, TIMEOUT) };
            assert!(begun.elapsed() < TIMEOUT * 3 / 2, "{:?}", begun.elapsed());
            assert!(matches!(outcome, Err(EngineError::Unavailable(_))), "{outcome:?}");
            let timeouts_ms = slow.timeouts_ms();
            assert!(timeouts_ms.len() <= 3 && timeouts_ms.is_sorted_by(|a, b| a > b), "{timeouts_ms:?}");
        }
    }

    #[test]
    fn read_ends_with_its_timeout_and_keeps_what_it_has_read() {
        let slow = Slow::default();
        let engine = slow.engine();
        let read = engine.read("s", "0", Duration::ZERO, Duration::from_secs(60)).unwrap();
        assert_eq!((read.entries.len(), read.last_id.as_str()), (MAX_READ, "1"));
        assert!(read.entries.iter().all(|(id, value)| id.capacity() < 64 && value.capacity() < 64));
        slow.takes_ms.store(20, Ordering::Relaxed);
        let begun = Instant::now();
        let read = engine.read("s", "0", Duration::ZERO, TIMEOUT).unwrap();
        assert!(begun.elapsed() < TIMEOUT * 3 / 2, "{:?}", begun.elapsed());
        assert!((1..=10).contains(&read.entries.len()) && !read.has_gap);
    }
}
