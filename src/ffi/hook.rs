//! A host's function with its data: destroyed exactly once, when the last config or client that holds it is gone.

use std::ffi::c_void;

/// Called exactly once with a hook's userdata, when the hook was replaced or the last config and client that hold it are
/// freed and no call is under way any more; on the thread that does so.
pub type clerk_destroy_fn = Option<unsafe extern "C" fn(userdata: *mut c_void)>;

pub(crate) struct Hook<F> {
    pub function: F,
    pub userdata: *mut c_void,
    pub destroy: clerk_destroy_fn,
}

// SAFETY: whoever sets a hook promises that it may be called from any thread, several at once; the header says so.
unsafe impl<F: Send> Send for Hook<F> {}
// SAFETY: as above.
unsafe impl<F: Sync> Sync for Hook<F> {}

impl<F> Drop for Hook<F> {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the host's own function with the host's own data.
            unsafe { destroy(self.userdata) };
        }
    }
}
