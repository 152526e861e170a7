//! A host's function with its data: destroyed exactly once, when the last config or client that holds it is gone.

use std::ffi::c_void;
use std::sync::Arc;

/// Called exactly once with a hook's userdata, when the hook was replaced or the last config and client that hold it are
/// freed and no call is under way any more; on the thread that does so.
pub type clerk_destroy_fn = Option<unsafe extern "C" fn(userdata: *mut c_void)>;

pub(crate) struct Hook<F> {
    pub function: F,
    data: Data,
}

impl<F> Hook<F> {
    /// Without a function the data has been given away all the same, and is destroyed at once.
    pub fn new(function: Option<F>, userdata: *mut c_void, destroy: clerk_destroy_fn) -> Option<Arc<Self>> {
        let data = Data { userdata, destroy };
        function.map(|function| Arc::new(Hook { function, data }))
    }

    pub fn userdata(&self) -> *mut c_void {
        self.data.userdata
    }
}

struct Data {
    userdata: *mut c_void,
    destroy: clerk_destroy_fn,
}

// SAFETY: whoever sets a hook promises that it may be called from any thread, several at once; the header says so.
unsafe impl Send for Data {}
// SAFETY: as above.
unsafe impl Sync for Data {}

impl Drop for Data {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the host's own function with the host's own data.
            unsafe { destroy(self.userdata) };
        }
    }
}
