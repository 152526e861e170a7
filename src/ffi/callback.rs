//! An application's function with its userdata, destroyed exactly once.

use std::ffi::c_void;
use std::sync::Arc;

/// Destroys the userdata of a callback.
///
/// Called exactly once: when the callback is replaced, or when the last config or client that uses it has been freed
/// and no call is in progress. Runs on the thread that does so.
pub type clerk_destroy_fn = Option<unsafe extern "C" fn(userdata: *mut c_void)>;

pub(crate) struct Callback<F> {
    pub function: F,
    userdata: Userdata,
}

impl<F> Callback<F> {
    /// Takes ownership of `userdata` also without a function: then it is destroyed at once.
    pub fn new(function: Option<F>, userdata: *mut c_void, destroy: clerk_destroy_fn) -> Option<Arc<Self>> {
        let userdata = Userdata { pointer: userdata, destroy };
        function.map(|function| Arc::new(Callback { function, userdata }))
    }

    pub fn userdata(&self) -> *mut c_void {
        self.userdata.pointer
    }
}

struct Userdata {
    pointer: *mut c_void,
    destroy: clerk_destroy_fn,
}

// SAFETY: the header requires that a callback can be called from any thread, and from several at once.
unsafe impl Send for Userdata {}
// SAFETY: as above.
unsafe impl Sync for Userdata {}

impl Drop for Userdata {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the application's own function with its own pointer.
            unsafe { destroy(self.pointer) };
        }
    }
}
