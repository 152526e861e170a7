//! Texts across the border.

use std::ffi::{CStr, c_char};
use std::ptr;

use super::{CLERK_E_ARGUMENT, CLERK_E_NULL, CLERK_E_UTF8, guard};

/// A text: not owned, not necessarily terminated when it comes from a caller. Texts that the library hands out are UTF-8,
/// live as long as the object they came from, and are followed by a NUL byte that `len` does not count. `data` is NULL
/// for a text that is not there. With `len` 0, `data` is not looked at.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clerk_str {
    /// The first byte.
    pub data: *const c_char,
    /// How many bytes.
    pub len: usize,
}

impl clerk_str {
    pub(crate) const NONE: clerk_str = clerk_str { data: ptr::null(), len: 0 };

    /// A view of a text that is followed by a NUL in the same memory.
    pub(crate) fn terminated(text: Option<&str>) -> Self {
        text.map_or(Self::NONE, |text| clerk_str { data: text.as_ptr().cast(), len: text.len() })
    }

    /// The bytes behind it.
    ///
    /// # Safety
    /// If `len` is not 0, `data` is NULL or points to `len` readable bytes that nobody writes to during `'a`.
    pub(crate) unsafe fn bytes<'a>(self) -> Result<&'a [u8], i32> {
        if self.len == 0 {
            return Ok(&[]);
        }
        if self.data.is_null() {
            return Err(CLERK_E_NULL);
        }
        if self.len > isize::MAX as usize {
            return Err(CLERK_E_ARGUMENT);
        }
        // SAFETY: not NULL, not too long; the caller vouches for the rest.
        Ok(unsafe { std::slice::from_raw_parts(self.data.cast(), self.len) })
    }

    /// The text behind it.
    ///
    /// # Safety
    /// As for [`Self::bytes`].
    pub(crate) unsafe fn text<'a>(self) -> Result<&'a str, i32> {
        // SAFETY: handed on.
        std::str::from_utf8(unsafe { self.bytes() }?).map_err(|_| CLERK_E_UTF8)
    }
}

/// A view of a text that ends with a NUL; NULL gives a text that is not there. Lives as long as the text does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_str_of(terminated: *const c_char) -> clerk_str {
    guard(clerk_str::NONE, || match terminated.is_null() {
        true => clerk_str::NONE,
        // SAFETY: not NULL; the caller vouches for the NUL at its end.
        false => clerk_str { data: terminated, len: unsafe { CStr::from_ptr(terminated) }.count_bytes() },
    })
}

/// An owned text with a NUL behind it. A NUL inside ends it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terminated(String);

impl Terminated {
    pub fn new(text: &str) -> Self {
        let text = text.split('\0').next().unwrap_or_default();
        let mut owned = String::with_capacity(text.len() + 1);
        owned.push_str(text);
        owned.push('\0');
        Terminated(owned)
    }

    pub fn view(&self) -> clerk_str {
        clerk_str::terminated(self.0.strip_suffix('\0'))
    }
}

/// A caller's pointer as a reference.
///
/// # Safety
/// `pointer` is NULL or points to a live `T` that nobody changes during `'a`.
pub(crate) unsafe fn shared<'a, T>(pointer: *const T) -> Result<&'a T, i32> {
    // SAFETY: the caller vouches for it.
    unsafe { pointer.as_ref() }.ok_or(CLERK_E_NULL)
}

/// A caller's pointer as a reference to change.
///
/// # Safety
/// `pointer` is NULL or points to a live `T` that nobody else touches during `'a`.
pub(crate) unsafe fn exclusive<'a, T>(pointer: *mut T) -> Result<&'a mut T, i32> {
    // SAFETY: the caller vouches for it.
    unsafe { pointer.as_mut() }.ok_or(CLERK_E_NULL)
}

/// Clears an out parameter, so that no failure leaves something old in it.
///
/// # Safety
/// `out` is NULL or writable.
pub(crate) unsafe fn clear<T>(out: *mut *mut T) {
    if !out.is_null() {
        // SAFETY: not NULL; the caller vouches for the rest.
        unsafe { out.write(ptr::null_mut()) };
    }
}

/// The status a fallible body ends with.
pub(crate) fn status(outcome: Result<(), i32>) -> i32 {
    outcome.err().unwrap_or(super::CLERK_OK)
}
