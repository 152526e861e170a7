//! Strings and pointers across the C boundary.

use std::ffi::{CStr, c_char};
use std::ptr;

use super::{CLERK_E_ARGUMENT, CLERK_E_NULL, CLERK_E_UTF8, guard};

/// A string: a pointer and a length in bytes. It does not own its bytes.
///
/// A string from the library is UTF-8, lives as long as the object it came from, and is followed by a NUL byte that
/// `len` does not count. `data` is NULL if there is no value. A string from the application need not end with a NUL;
/// with `len` 0, `data` is ignored.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct clerk_str {
    /// The first byte, or NULL.
    pub data: *const c_char,
    /// Length in bytes.
    pub len: usize,
}

impl clerk_str {
    pub(crate) const NONE: clerk_str = clerk_str { data: ptr::null(), len: 0 };

    /// A view of a string that is followed by a NUL in the same memory.
    pub(crate) fn nul_terminated(string: Option<&str>) -> Self {
        string.map_or(Self::NONE, |string| clerk_str { data: string.as_ptr().cast(), len: string.len() })
    }

    /// Returns whether both are certainly valid: neither pointer is NULL, even if the length is 0, and no length is too long.
    #[inline(always)]
    pub(crate) fn are_valid(&self, other: &Self) -> bool {
        !self.data.is_null() && !other.data.is_null() && (self.len | other.len) <= isize::MAX as usize
    }

    /// Checks pointer and length, without reading.
    #[inline(always)]
    pub(crate) fn check(self) -> Result<(), i32> {
        match self.len {
            0 => Ok(()),
            _ if self.data.is_null() => Err(CLERK_E_NULL),
            len if len > isize::MAX as usize => Err(CLERK_E_ARGUMENT),
            _ => Ok(()),
        }
    }

    /// The bytes it points to.
    ///
    /// # Safety
    /// If `len` is not 0, `data` is NULL or points to `len` readable bytes that do not change during `'a`.
    #[inline(always)]
    pub(crate) unsafe fn bytes<'a>(self) -> Result<&'a [u8], i32> {
        self.check()?;
        // SAFETY: checked; the rest is the caller's contract.
        Ok(unsafe { self.checked_bytes() })
    }

    /// The bytes it points to, if [`Self::check`] accepts it.
    ///
    /// # Safety
    /// As for [`Self::bytes`]; and it was checked.
    #[inline(always)]
    pub(crate) unsafe fn checked_bytes<'a>(self) -> &'a [u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the caller's contract.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.len) }
    }

    /// The bytes it points to, as UTF-8.
    ///
    /// # Safety
    /// As for [`Self::bytes`].
    pub(crate) unsafe fn to_str<'a>(self) -> Result<&'a str, i32> {
        // SAFETY: same contract as the caller.
        std::str::from_utf8(unsafe { self.bytes() }?).map_err(|_| CLERK_E_UTF8)
    }
}

/// Returns a view of a NUL-terminated string.
///
/// NULL gives a string with NULL data. The view lives as long as `string`. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clerk_str_of(string: *const c_char) -> clerk_str {
    guard(clerk_str::NONE, || match string.is_null() {
        true => clerk_str::NONE,
        // SAFETY: not NULL; a NUL at its end is the caller's contract.
        false => clerk_str { data: string, len: unsafe { CStr::from_ptr(string) }.count_bytes() },
    })
}

/// An owned string followed by a NUL. A NUL inside ends it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CStringBuf(String);

impl CStringBuf {
    pub fn new(string: &str) -> Self {
        let string = string.split('\0').next().unwrap_or_default();
        let mut owned = String::with_capacity(string.len() + 1);
        owned.push_str(string);
        owned.push('\0');
        CStringBuf(owned)
    }

    pub fn view(&self) -> clerk_str {
        clerk_str::nul_terminated(self.0.strip_suffix('\0'))
    }
}

/// A caller's pointer as a shared reference.
///
/// # Safety
/// `pointer` is NULL or points to a live `T` that does not change during `'a`.
pub(crate) unsafe fn as_ref<'a, T>(pointer: *const T) -> Result<&'a T, i32> {
    // SAFETY: same contract as the caller.
    unsafe { pointer.as_ref() }.ok_or(CLERK_E_NULL)
}

/// A caller's pointer as an exclusive reference.
///
/// # Safety
/// `pointer` is NULL or points to a live `T` that nothing else accesses during `'a`.
pub(crate) unsafe fn as_mut<'a, T>(pointer: *mut T) -> Result<&'a mut T, i32> {
    // SAFETY: same contract as the caller.
    unsafe { pointer.as_mut() }.ok_or(CLERK_E_NULL)
}

/// Sets an out parameter to NULL, so that no failure leaves an old pointer in it.
///
/// # Safety
/// `out` is NULL or writable.
pub(crate) unsafe fn clear<T>(out: *mut *mut T) {
    if !out.is_null() {
        // SAFETY: not NULL; the rest is the caller's contract.
        unsafe { out.write(ptr::null_mut()) };
    }
}

/// The status of a body that returns nothing else.
pub(crate) fn status(outcome: Result<(), i32>) -> i32 {
    outcome.err().unwrap_or(super::CLERK_OK)
}

/// Copies a string into the application's buffer, with a NUL behind it.
///
/// # Safety
/// `buffer` is NULL or holds `capacity` bytes; `needed` is NULL or writable.
pub(crate) unsafe fn copy_out(
    string: &str,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> Result<(), i32> {
    // SAFETY: same contract as the caller.
    if let Ok(needed) = unsafe { as_mut(needed) } {
        *needed = string.len();
    }
    if capacity <= string.len() {
        return Err(CLERK_E_ARGUMENT);
    }
    if buffer.is_null() {
        return Err(CLERK_E_NULL);
    }
    // SAFETY: `buffer` holds `capacity` bytes, more than the string and its NUL need.
    unsafe {
        ptr::copy_nonoverlapping(string.as_ptr().cast(), buffer, string.len());
        buffer.add(string.len()).write(0);
    }
    Ok(())
}
