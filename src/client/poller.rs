//! The one thread that a client may start: it applies what other processes have changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::inner::Inner;
use crate::events::Level;
use crate::fork_mutex::ResetMutex;

/// How long one call of the thread waits, and so how long stopping it takes at most.
const WAIT: Duration = Duration::from_millis(250);
/// How long it rests after a panic.
const PAUSE: Duration = Duration::from_millis(250);

/// Owned by all handles of a client together: the last one stops the thread.
#[derive(Default)]
pub(super) struct Poller {
    running: ResetMutex<Option<Running>>,
    /// The process that was asked to run it; 0: none.
    pid: AtomicU32,
}

struct Running {
    thread: JoinHandle<()>,
    is_stopped: Arc<AtomicBool>,
}

impl Poller {
    /// Starts the thread, unless it is running.
    pub fn start(&self, inner: &Arc<Inner>) -> std::io::Result<()> {
        let mut running = self.running.lock();
        let is_own = self.pid.load(Ordering::Relaxed) == std::process::id();
        if running.as_ref().is_some_and(|running| is_own && !running.thread.is_finished()) {
            return Ok(());
        }
        // A thread of the parent does not exist in a forked child, and must not be joined there.
        if let Some(inherited) = running.take().filter(|_| !is_own) {
            std::mem::forget(inherited.thread);
        }
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (inner, stop) = (inner.clone(), is_stopped.clone());
        let work = move || {
            while !stop.load(Ordering::SeqCst) {
                let poll = std::panic::AssertUnwindSafe(|| inner.poll(WAIT));
                if std::panic::catch_unwind(poll).is_err() {
                    let log = || inner.backend.events.log(Level::Error, || "internal error of the poller".into());
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(log));
                    std::thread::sleep(PAUSE);
                }
            }
        };
        let thread = std::thread::Builder::new().name("clerk-poll".into()).stack_size(1024 * 1024).spawn(work)?;
        self.pid.store(std::process::id(), Ordering::Relaxed);
        *running = Some(Running { thread, is_stopped });
        Ok(())
    }

    /// Starts the thread in a forked child if it was running in the parent.
    pub fn restart_after_fork(&self, inner: &Arc<Inner>) {
        let pid = self.pid.load(Ordering::Relaxed);
        if pid != 0 && pid != std::process::id() {
            let _ = self.start(inner);
        }
    }

    /// Has the thread begin no further read.
    pub fn begin_stop(&self) {
        if let Some(running) = &*self.running.lock() {
            running.is_stopped.store(true, Ordering::SeqCst);
        }
    }

    /// Stops the thread and waits for it, unless it is the caller.
    pub fn stop(&self) {
        let (is_own, taken) = {
            // Under the lock: two threads may stop it, and one may be starting it.
            let mut running = self.running.lock();
            (self.pid.swap(0, Ordering::Relaxed) == std::process::id(), running.take())
        };
        let Some(Running { thread, is_stopped }) = taken else { return };
        is_stopped.store(true, Ordering::SeqCst);
        if !is_own {
            std::mem::forget(thread);
            return;
        }
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        self.stop();
    }
}
